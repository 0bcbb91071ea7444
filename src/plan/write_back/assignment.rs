//! `SET column = expression`, where masks are kept by the whole expression rather than by the places that they stand in.
//!
//! Where a value comes from elsewhere (`EXCLUDED.email`, `FROM (VALUES ...)`) or through a cast to a type with a length,
//! the column can not be read in its place. The expression can be compared instead, if all that it does is to choose among
//! values: then what it yields is one of them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::column::Written;
use super::watched::Deed;
use crate::catalog::Name;
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};

/// One assignment of the only SET list of a statement, whose expression only chooses among values.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub column: Name,
    /// The expression, in bytes of the statement.
    pub span: Range<usize>,
    /// How many characters casts in it leave of a text.
    pub cut: Option<usize>,
}

/// The assignments of a statement that can be kept as a whole.
pub(super) fn assignments(text: &str) -> Vec<Assignment> {
    let Ok(tokens) = Lexer::new(text).collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    let mut nesting = Nesting::default();
    let mut sets = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        nesting.pass(token);
        if nesting.is_outside() && token.is("set") {
            sets.push(at.saturating_add(1));
        }
    }
    let [start] = sets.as_slice() else { return Vec::new() };
    listed(tokens.get(*start..).unwrap_or_default()).into_iter().filter_map(assignment).collect()
}

/// Where a token stands among parentheses and CASE expressions.
#[derive(Default)]
struct Nesting {
    parentheses: usize,
    cases: usize,
}

impl Nesting {
    fn pass(&mut self, token: &Token<'_>) {
        match token.kind {
            TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) => {
                self.parentheses = self.parentheses.saturating_add(1)
            }
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => {
                self.parentheses = self.parentheses.saturating_sub(1);
            }
            _ if token.is("case") => self.cases = self.cases.saturating_add(1),
            _ if token.is("end") => self.cases = self.cases.saturating_sub(1),
            _ => {}
        }
    }

    fn is_outside(&self) -> bool {
        self.parentheses == 0 && self.cases == 0
    }
}

/// The items of a SET list, up to what ends it.
fn listed<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut nesting = Nesting::default();
    let (mut items, mut start) = (Vec::new(), 0_usize);
    let mut end = tokens.len();
    for (at, token) in tokens.iter().enumerate() {
        let outside = nesting.is_outside();
        nesting.pass(token);
        let distinct =
            at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|token| token.is("distinct"));
        if outside && token.is_any(&["from", "where", "returning", "when"]) && !distinct {
            end = at;
            break;
        }
        if outside && token.is_mark(Mark::Comma) {
            items.extend(tokens.get(start..at));
            start = at.saturating_add(1);
        }
    }
    items.extend(tokens.get(start..end));
    items
}

fn assignment(item: &[Token<'_>]) -> Option<Assignment> {
    let [column, equals, expression @ ..] = item else { return None };
    let (first, last) = (expression.first()?, expression.last()?);
    if !equals.is_operator("=") || !chooses(expression) {
        return None;
    }
    Some(Assignment { column: column.name()?, span: first.start..last.end, cut: cut(expression) })
}

/// Types of texts that a length cuts.
const TEXTS: &[&str] = &["varchar", "char", "character", "varying", "nchar", "bpchar"];

/// The types to which values may be cast, beside those: what they make of a mask is equal to it, or an error.
const TYPES: &[&str] = &[
    "text",
    "numeric",
    "decimal",
    "int",
    "integer",
    "bigint",
    "smallint",
    "int2",
    "int4",
    "int8",
    "bool",
    "boolean",
    "date",
    "uuid",
    "timestamp",
    "timestamptz",
    "inet",
    "cidr",
    "float4",
    "float8",
    "real",
    "double",
];

/// Key words behind which a value stands.
const BEFORE_VALUES: &[&str] = &["case", "when", "then", "else", "and", "or", "not", "in", "distinct", "from"];

/// Whether an expression does no more than to choose among values, and to cast them: it can be read twice, and yields one
/// of them.
fn chooses(expression: &[Token<'_>]) -> bool {
    // Words that compute, or begin something else.
    const OTHERS: &[&str] = &[
        "at", "array", "row", "select", "values", "any", "all", "some", "exists", "operator", "between", "similar",
        "like", "ilike", "default", "interval", "bit", "collate", "uescape",
    ];
    let is_type = |token: &Token<'_>| token.is_any(TEXTS) || token.is_any(TYPES);
    let mut before: Option<&Token<'_>> = None;
    for token in expression {
        let behind_word = before.is_some_and(|before| matches!(before.kind, TokenKind::Word(_) | TokenKind::Quoted(_)));
        let behind_cast = before.is_some_and(|before| before.is_mark(Mark::DoubleColon) || before.is("as"));
        let stands = |words: &[&str]| before.is_some_and(|before| before.is_any(words));
        let allowed = match token.kind {
            _ if behind_cast => is_type(token),
            // `date '2024-01-31'` is a cast.
            TokenKind::Text(_) => !behind_word || stands(BEFORE_VALUES) || before.is_some_and(is_type),
            TokenKind::Number(_) | TokenKind::Parameter(_) | TokenKind::Quoted(_) => true,
            TokenKind::Word(_) => !token.is_any(OTHERS),
            TokenKind::Operator("=" | "<>" | "!=" | "<" | ">" | "<=" | ">=") => true,
            TokenKind::Operator("-") => stands(&["then", "else", "when"]),
            TokenKind::Operator(_) => false,
            TokenKind::Mark(Mark::LeftParen) if behind_word => {
                stands(BEFORE_VALUES) || stands(TEXTS) || stands(&["cast", "numeric", "decimal"])
            }
            TokenKind::Mark(Mark::LeftParen) => before.is_none_or(|before| match before.kind {
                TokenKind::Operator(_) | TokenKind::Mark(Mark::LeftParen | Mark::Comma) => true,
                TokenKind::Mark(_) | TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) => false,
                TokenKind::Word(_) | TokenKind::Quoted(_) => false,
            }),
            TokenKind::Mark(Mark::RightParen | Mark::Comma | Mark::Dot | Mark::DoubleColon) => true,
            TokenKind::Mark(_) => false,
        };
        if !allowed {
            return false;
        }
        before = Some(token);
    }
    before.is_some()
}

/// The least length of a text type in an expression. `char` alone has the length 1.
fn cut(expression: &[Token<'_>]) -> Option<usize> {
    let lengths = expression.iter().enumerate().filter(|(_, token)| token.is_any(TEXTS)).map(|(at, token)| {
        let ahead = |count: usize| expression.get(at.saturating_add(count));
        let length = match (ahead(1), ahead(2).map(|token| &token.kind)) {
            (Some(open), Some(TokenKind::Number(digits))) if open.is_mark(Mark::LeftParen) => digits.parse().ok(),
            _ => None,
        };
        let unbounded =
            token.is_any(&["varchar", "bpchar", "varying"]) || ahead(1).is_some_and(|next| next.is("varying"));
        length.unwrap_or(if unbounded { usize::MAX } else { 1 })
    });
    lengths.min()
}

/// Values that one assignment may bring back, and what is to be done with them.
pub(super) struct Kept<'a> {
    pub written: &'a Written,
    /// The text of the statement in the place of each value; `None`: NULL.
    pub given: Vec<(Deed, Option<&'a str>)>,
}

impl Kept<'_> {
    /// What stands for the expression; `None`: it can not be compared.
    pub(super) fn expression(&self, expression: &str, reference: &str) -> Option<String> {
        let mut conditions = Vec::new();
        let values: BTreeSet<&str> =
            self.given.iter().filter(|(deed, _)| *deed == Deed::Keep).filter_map(|(_, given)| *given).collect();
        if self.given.iter().any(|(deed, given)| *deed == Deed::Keep && given.is_none()) {
            conditions.push(format!("({expression}) IS NULL"));
        }
        if !values.is_empty() {
            conditions.push(self.written.is_one_of(expression, &values)?);
        }
        if self.given.iter().any(|(deed, _)| *deed == Deed::Compare) {
            conditions.push(self.written.condition(expression, reference)?);
        }
        let condition = conditions.join(" OR ");
        Some(format!("(CASE WHEN {condition} THEN {reference} ELSE {expression} END)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_that_only_choose_are_found() {
        for (text, expected) in [
            ("UPDATE t SET a = 1, b = v.b FROM (VALUES (1, 2)) v(id, b) WHERE t.id = v.id", "a=1 b=v.b"),
            (
                "UPDATE t SET a = CASE WHEN id = 1 THEN 'x' ELSE NULL END WHERE id IN (1)",
                "a=CASE WHEN id = 1 THEN 'x' ELSE NULL END",
            ),
            (
                "UPDATE t SET a = (CASE WHEN (t.id = 1) THEN $1 END)::varchar(80), b = 2",
                "a=(CASE WHEN (t.id = 1) THEN $1 END)::varchar(80)<80 b=2",
            ),
            (
                "UPDATE t SET a = x IS DISTINCT FROM y, b = CAST($1 AS char) RETURNING a",
                "a=x IS DISTINCT FROM y b=CAST($1 AS char)<1",
            ),
            ("INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET \"A\" = EXCLUDED.a WHERE true", "A=EXCLUDED.a"),
            ("UPDATE t SET (a, b) = (1, 2), c[1] = 3, d = 4", "d=4"),
            ("UPDATE t SET a = '#' || b, c = lower('#'), d = (SELECT 1), e = ARRAY[1], f = 1 - 2, g = now()", ""),
            (
                "UPDATE t SET a = (CASE WHEN b THEN $1 END)::timestamp with time zone",
                "a=(CASE WHEN b THEN $1 END)::timestamp with time zone",
            ),
            ("UPDATE t SET a = b AT TIME ZONE 'UTC', c = random ()", ""),
            (
                "UPDATE t SET a = '#'::\"char\", b = '#'::name, c = '#'::own, d = own '#', e = CAST('#' AS own), f = s.own '#'",
                "",
            ),
            (
                "UPDATE t SET a = '#'::pg_catalog.name, b = date '2000-01-01', c = $1::bigint",
                "b=date '2000-01-01' c=$1::bigint",
            ),
            (
                "MERGE INTO t USING s ON true WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN DO NOTHING",
                "a=s.a",
            ),
            (
                "MERGE INTO t USING s ON true WHEN MATCHED AND a THEN UPDATE SET a = 1 WHEN MATCHED THEN UPDATE SET a = 2",
                "",
            ),
            ("SELECT 1", ""),
        ] {
            let found = assignments(text).into_iter().map(|found| {
                let cut = found.cut.map(|cut| format!("<{cut}")).unwrap_or_default();
                format!("{}={}{cut}", found.column.as_str(), &text[found.span])
            });
            assert_eq!(found.collect::<Vec<_>>().join(" "), expected, "{text}");
        }
    }
}
