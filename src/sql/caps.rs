//! How deep a statement can nest in a parser's tree, told from its tokens.

use super::lexer::{Mark, Token, TokenKind};
use super::{Limits, NotUnderstood};

/// Words that put what is before them a level deeper, as operators do.
const OPERATORS: &[&str] = &[
    "and", "at", "between", "collate", "ilike", "in", "is", "isnull", "like", "not", "notnull", "operator", "or",
    "overlaps", "similar",
];
/// Words that do so with whole queries and tables.
const STRUCTURE: &[&str] = &["except", "intersect", "join", "union"];

/// How many operators one counts for that stands right behind another of its sort (`x::a::b`, `NOT NOT x`, `- - x`): what
/// the readers need for such chains grows with the square of their length.
const STEEP: usize = 10;
/// How many set operations one join counts for, for the same reason.
const JOIN: usize = 5;

/// A group in parentheses or brackets, or a CASE.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    case: bool,
    /// Whether the last operator was a cast.
    cast: bool,
    /// Operators since the last comma, and those of the longest group that they may stand around.
    current: usize,
    /// The most of them between two commas.
    longest: usize,
}

/// Refuse what could take the parsers more stack than they have.
///
/// # Errors
/// [`NotUnderstood::TooLarge`] for more than `depth_max` levels of parentheses, brackets and CASE; for an expression whose
/// operators may nest deeper than `chain_max`; and for more than `chain_max` set operations and joins.
pub(crate) fn check(tokens: &[Token<'_>], limits: &Limits) -> Result<(), NotUnderstood> {
    let mut levels = Levels { open: vec![Level::default()], running: 0 };
    let mut structure = 0_usize;
    let mut dots = 0_usize;
    let mut previous: Option<&Token<'_>> = None;
    for token in tokens {
        match token.kind {
            TokenKind::Mark(Mark::LeftParen) => levels.push(false),
            TokenKind::Mark(Mark::LeftBracket) => {
                levels.add(1);
                levels.push(false);
            }
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => levels.close(),
            TokenKind::Mark(Mark::Comma) => levels.comma(),
            TokenKind::Mark(Mark::DoubleColon) => levels.cast(),
            TokenKind::Operator(_) => {
                let unary = previous.is_some_and(|token| matches!(token.kind, TokenKind::Operator(_)));
                levels.add(if unary { STEEP } else { 1 });
            }
            // the dots of names make no depth, those of fields do
            TokenKind::Mark(Mark::Dot) => {
                dots = if previous.is_some_and(|token| token.name().is_some()) { dots.saturating_add(1) } else { 4 };
                if dots > 3 {
                    levels.add(1);
                }
            }
            TokenKind::Word(_) => {
                let label = previous.is_some_and(|token| token.is("as") || token.is_mark(Mark::Dot));
                if label {
                } else if token.is("case") {
                    levels.push(true);
                } else if token.is("end") {
                    levels.end();
                } else if token.is_any(STRUCTURE) {
                    structure = structure.saturating_add(if token.is("join") { JOIN } else { 1 });
                } else if token.is_any(OPERATORS) {
                    let again = token.is("not") && previous.is_some_and(|token| token.is("not"));
                    levels.add(if again { STEEP } else { 1 });
                }
            }
            TokenKind::Quoted(_)
            | TokenKind::Text(_)
            | TokenKind::Number(_)
            | TokenKind::Parameter(_)
            | TokenKind::Mark(Mark::Semicolon | Mark::DoubleDot | Mark::Colon | Mark::ColonEquals) => {}
        }
        if !token.is_mark(Mark::Dot) && !previous.is_some_and(|token| token.is_mark(Mark::Dot)) {
            dots = 0;
        }
        // the first level is no parenthesis
        let depth = levels.open.len().saturating_sub(1);
        if depth > limits.depth_max || levels.running > limits.chain_max || structure > limits.chain_max {
            return Err(NotUnderstood::TooLarge);
        }
        previous = Some(token);
    }
    Ok(())
}

struct Levels {
    open: Vec<Level>,
    /// The operators of all open levels.
    running: usize,
}

impl Levels {
    fn push(&mut self, case: bool) {
        self.open.push(Level { case, ..Level::default() });
    }

    fn add(&mut self, weight: usize) {
        if let Some(level) = self.open.last_mut() {
            level.current = level.current.saturating_add(weight);
            level.cast = false;
            self.running = self.running.saturating_add(weight);
        }
    }

    fn cast(&mut self) {
        let again = self.open.last().is_some_and(|level| level.cast);
        self.add(if again { STEEP } else { 1 });
        if let Some(level) = self.open.last_mut() {
            level.cast = true;
        }
    }

    fn comma(&mut self) {
        if let Some(level) = self.open.last_mut() {
            level.longest = level.longest.max(level.current);
            self.running = self.running.saturating_sub(level.current);
            level.current = 0;
            level.cast = false;
        }
    }

    /// A group may be the innermost operand of what follows: its operators go on to count.
    fn pop(&mut self) -> Option<Level> {
        if self.open.len() < 2 {
            return None;
        }
        let level = self.open.pop()?;
        let kept = level.current.max(level.longest);
        if let Some(outer) = self.open.last_mut() {
            outer.current = outer.current.saturating_add(kept);
        }
        self.running = self.running.saturating_sub(level.current).saturating_add(kept);
        Some(level)
    }

    /// A closing parenthesis; a CASE without END does not reach beyond it.
    fn close(&mut self) {
        while self.pop().is_some_and(|level| level.case) {}
    }

    /// An END belongs to the CASE that is open innermost; elsewhere it is a label.
    fn end(&mut self) {
        if self.open.last().is_some_and(|level| level.case) {
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Lexer;
    use super::*;

    fn holds(text: &str) -> bool {
        let limits = Limits { depth_max: 3, chain_max: 5, ..Limits::default() };
        check(&Lexer::tokens(text, 1000).unwrap(), &limits).is_ok()
    }

    #[test]
    fn what_nests_is_capped_and_what_stands_side_by_side_is_not() {
        for (text, expected) in [
            ("select 1+1+1+1+1+1", true),
            ("select 1+1+1+1+1+1+1", false),
            ("select 1+1, 1+1, 1+1, 1+1, 1+1, 1+1", true),
            ("select f(-1, -1, -1), -1, -1, -1", true),
            ("select ((1+1+1)+1+1)+1", true),
            ("select ((1+1+1)+1+1)+1+1", false),
            ("select (1, 1+1+1+1)+1+1+1", false),
            ("select (((1)))", true),
            ("select ((((1))))", false),
            ("select case when a then case when b then case when c then 1 end end end", true),
            ("select case when case when case when case when 1 end end end end", false),
            ("select case when (select 1 end) then case when (select 1 end) then case when (select 1)", false),
            ("select case when a.end then case when a.end then case when a.end then case when 1", false),
            ("select not a and not b and not c", true),
            ("select not not a", false),
            ("select - - a", false),
            ("select a::b + c::d", true),
            ("select a::b::c", false),
            ("select d.s.t.a, d.s.t.b, (a).b, (c).d, (e).f, (g).h, (i).j", true),
            ("select d.s.t.a = d.s.t.b", true),
            ("select (a).b.c.d.e.f.g.h", false),
            ("select a.b.c.d.e.f.g.h.i.j.k.l", false),
            ("select a[1][2][3][4][5][6]", false),
            ("select 1 union select 1, 2 union select 1", true),
            (
                "select 1 union select 1 union select 1 union select 1 union select 1 union select 1 union select 1",
                false,
            ),
            ("select * from a join b", true),
            ("select * from a join b join c", false),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }
}
