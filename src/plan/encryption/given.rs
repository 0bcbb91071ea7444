//! The values that a statement gives: literals and parameters, with the casts around them.

use std::fmt;
use std::ops::Range;

use crate::plan::write_back::literal;
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};

/// A value that a statement gives.
#[derive(Debug)]
pub(super) struct Given {
    /// Where it stands in the statement, casts included, in bytes.
    pub span: Range<usize>,
    pub place: Place,
    /// The type that it is cast to, as it is written.
    pub cast: Option<String>,
    /// The types that something is cast to of which it is part: a list, or what it is handed on by.
    pub outer_casts: Vec<OuterCast>,
    pub position: Position,
    /// Whether it is an element of a list of such, none of which says a type: to PostgreSQL they are texts then.
    pub untyped_element: bool,
}

/// The type of a cast around more than a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OuterCast {
    /// Where it stands, in bytes.
    pub span: Range<usize>,
    /// As it is written.
    pub written: String,
    /// Whether what is cast is an array.
    pub is_list: bool,
}

/// What stands there. Values are not shown.
pub(super) enum Place {
    /// The parameter of this number.
    Parameter(u32),
    /// A literal of this value; `None` is NULL.
    Literal(Option<Box<[u8]>>),
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(number) => write!(out, "${number}"),
            Self::Literal(_) => out.write_str("a literal"),
        }
    }
}

/// What is before and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// `= value`
    BehindEqual,
    /// `<> value`
    BehindUnequal,
    /// `IN (value, value)`, `ARRAY[value, value]`
    Listed,
    /// Anything else.
    Elsewhere,
}

/// Every value that a statement gives, in the order of the text, but for NULL.
pub(super) fn given(text: &str) -> Vec<Given> {
    let Ok(tokens) = Lexer::new(text).collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    let mut all: Vec<Given> = Vec::new();
    let mut keys = Keys::default();
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        keys.pass(token);
        match token.kind {
            TokenKind::Mark(Mark::LeftParen | Mark::LeftBracket) => open.push(at),
            TokenKind::Mark(Mark::RightParen | Mark::RightBracket) => drop(open.pop()),
            _ => {}
        }
        if all.last().is_some_and(|before| token.start < before.span.end) {
            // The length of a cast's type.
            continue;
        }
        let (first, place) = match token.kind {
            TokenKind::Parameter(number) => (at, Place::Parameter(number)),
            TokenKind::Number(_) if keys.are_listed() => continue,
            TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Word(_) => match literal(&tokens, at) {
                Some((first, Some(value))) => (first, Place::Literal(Some(value))),
                Some((_, None)) | None => continue,
            },
            TokenKind::Quoted(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => continue,
        };
        // `DATE '2024-01-31'`
        let named = (first < at).then(|| tokens.get(first)).flatten().filter(|name| !name.is_operator("-"));
        let typed = named.and_then(|name| text.get(name.start..name.end)).map(str::to_owned);
        let (span, cast) = match typed {
            Some(typed) => (first..at.saturating_add(1), Some(typed)),
            None => cast_around(text, &tokens, first, at),
        };
        let opener = open.iter().rev().copied().find(|open| *open < span.start);
        let position = position(&tokens, &span, opener);
        let (Some(start), Some(end)) = (tokens.get(span.start), tokens.get(span.end.saturating_sub(1))) else {
            continue;
        };
        all.push(Given {
            span: start.start..end.end,
            place,
            cast,
            outer_casts: Vec::new(),
            position,
            untyped_element: false,
        });
    }
    cast_with_lists(text, &tokens, &mut all);
    all
}

/// Where literals stand in a text, but for NULL.
pub(in crate::plan) fn literals(text: &str) -> impl Iterator<Item = Range<usize>> {
    let literals = given(text).into_iter().filter(|given| matches!(given.place, Place::Literal(_)));
    literals.map(|given| given.span)
}

/// The elements of `ARRAY[...]::type[]` and `CAST(ARRAY[...] AS type[])` are cast to that type, each of them.
fn cast_with_lists(text: &str, tokens: &[Token<'_>], all: &mut [Given]) {
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.is_mark(Mark::LeftBracket) {
            open.push(token.start);
        }
        if !token.is_mark(Mark::RightBracket) {
            continue;
        }
        let Some(begin) = open.pop() else { continue };
        let is_in = |given: &Given| begin < given.span.start && given.span.end <= token.start;
        let mut behind = at.saturating_add(1);
        while tokens.get(behind).is_some_and(|token| token.is_mark(Mark::RightParen)) {
            behind = behind.saturating_add(1);
        }
        if !tokens.get(behind).is_some_and(|token| token.is_mark(Mark::DoubleColon) || token.is("as")) {
            let typed = all.iter().any(|given| is_in(given) && given.cast.is_some());
            all.iter_mut().filter(|given| is_in(given)).for_each(|given| given.untyped_element = !typed);
            continue;
        }
        let named = behind.saturating_add(1)..type_end(tokens, behind.saturating_add(1));
        let Some(cast) = written(text, tokens, named.clone()).filter(|named| named.ends_with(']')) else { continue };
        let (Some(first), Some(last)) = (tokens.get(named.start), tokens.get(named.end.saturating_sub(1))) else {
            continue;
        };
        for given in all.iter_mut().filter(|given| is_in(given)) {
            given.outer_casts = vec![OuterCast { span: first.start..last.end, written: cast.clone(), is_list: true }];
        }
    }
}

/// Where keys of grouping and sorting are listed: a number among them is the place of a result column, not a value.
#[derive(Default)]
struct Keys {
    /// Whether the list under way is one of keys, for each parenthesis that is open.
    open: Vec<bool>,
    listed: bool,
}

impl Keys {
    fn pass(&mut self, token: &Token<'_>) {
        // What ends such a list, but for the end of what it is in (manual, SELECT).
        const CLAUSES: [&str; 14] = [
            "having",
            "limit",
            "offset",
            "fetch",
            "for",
            "window",
            "union",
            "intersect",
            "except",
            "select",
            "values",
            "rows",
            "range",
            "groups",
        ];
        if token.is_mark(Mark::LeftParen) {
            self.open.push(std::mem::take(&mut self.listed));
        } else if token.is_mark(Mark::RightParen) {
            self.listed = self.open.pop().unwrap_or_default();
        } else if token.is("by") {
            self.listed = true;
        } else if token.is_any(&CLAUSES) || token.is_mark(Mark::Semicolon) {
            self.listed = false;
        }
    }

    fn are_listed(&self) -> bool {
        self.listed
    }
}

/// The tokens of a value with the cast around it, and the type that it is cast to. It may stand in parentheses there.
fn cast_around(text: &str, tokens: &[Token<'_>], first: usize, last: usize) -> (Range<usize>, Option<String>) {
    let bare = (first..last.saturating_add(1), None);
    let token = |at: Option<usize>| at.and_then(|at| tokens.get(at));
    let (mut first, mut last) = (first, last);
    loop {
        let behind = last.saturating_add(1);
        let start = behind.saturating_add(1);
        let end = type_end(tokens, start);
        let is = |at: usize, mark: Mark| tokens.get(at).is_some_and(|token| token.is_mark(mark));
        if is(behind, Mark::DoubleColon) {
            return match written(text, tokens, start..end) {
                Some(named) if end > start => (first..end, Some(named)),
                _ => bare,
            };
        }
        let opens = first.checked_sub(1).is_some_and(|open| is(open, Mark::LeftParen));
        let before = token(first.checked_sub(2));
        if opens && before.is_some_and(|word| word.is("cast")) && token(Some(behind)).is_some_and(|word| word.is("as"))
        {
            return match written(text, tokens, start..end) {
                Some(named) if is(end, Mark::RightParen) => {
                    (first.saturating_sub(2)..end.saturating_add(1), Some(named))
                }
                _ => bare,
            };
        }
        // Parentheses of a function are none of the value's.
        let own = before.is_none_or(|before| match before.kind {
            TokenKind::Word(_) => before.is_any(&OPERANDS),
            TokenKind::Mark(mark) => matches!(mark, Mark::LeftParen | Mark::LeftBracket | Mark::Comma),
            TokenKind::Operator(_) => true,
            TokenKind::Quoted(_) | TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) => false,
        });
        if !(opens && own && is(behind, Mark::RightParen)) {
            return bare;
        }
        (first, last) = (first.saturating_sub(1), behind);
    }
}

/// Key words behind which an expression may begin with a parenthesis.
pub(super) const OPERANDS: [&str; 10] = ["where", "and", "or", "not", "on", "when", "having", "then", "else", "select"];

fn written(text: &str, tokens: &[Token<'_>], span: Range<usize>) -> Option<String> {
    let start = tokens.get(span.start)?.start;
    let end = tokens.get(span.end.checked_sub(1)?)?.end;
    text.get(start..end).map(str::to_owned)
}

/// The token behind the name of a type that begins at that one (manual, section 8, "Data Types").
pub(super) fn type_end(tokens: &[Token<'_>], start: usize) -> usize {
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| token.is_any(words));
    let mark = |at: usize, mark: Mark| tokens.get(at).is_some_and(|token| token.is_mark(mark));
    let is_name =
        |at: usize| tokens.get(at).is_some_and(|token| matches!(token.kind, TokenKind::Word(_) | TokenKind::Quoted(_)));
    if !is_name(start) {
        return start;
    }
    let mut at = start.saturating_add(1);
    if is(start, &["double"]) && is(at, &["precision"])
        || is(start, &["character", "char", "bit", "nchar"]) && is(at, &["varying"])
    {
        at = at.saturating_add(1);
    }
    if mark(at, Mark::Dot) && is_name(at.saturating_add(1)) {
        at = at.saturating_add(2);
    }
    if mark(at, Mark::LeftParen) {
        let mut inner = at.saturating_add(1);
        while tokens
            .get(inner)
            .is_some_and(|token| matches!(token.kind, TokenKind::Number(_)) || token.is_mark(Mark::Comma))
        {
            inner = inner.saturating_add(1);
        }
        if mark(inner, Mark::RightParen) {
            at = inner.saturating_add(1);
        }
    }
    if is(start, &["time", "timestamp"])
        && is(at, &["with", "without"])
        && is(at.saturating_add(1), &["time"])
        && is(at.saturating_add(2), &["zone"])
    {
        at = at.saturating_add(3);
    }
    if mark(at, Mark::LeftBracket) && mark(at.saturating_add(1), Mark::RightBracket) {
        at = at.saturating_add(2);
    }
    at
}

/// `opener`: the parenthesis or bracket that it is in.
fn position(tokens: &[Token<'_>], span: &Range<usize>, opener: Option<usize>) -> Position {
    let before = |at: usize| at.checked_sub(1).and_then(|at| tokens.get(at));
    let is_list = |open: usize| {
        let (mark, word) = (tokens.get(open), before(open));
        let is = |expected: Mark, name: &str| {
            mark.is_some_and(|mark| mark.is_mark(expected)) && word.is_some_and(|word| word.is(name))
        };
        is(Mark::LeftParen, "in") || is(Mark::LeftBracket, "array")
    };
    let ends =
        |token: &Token<'_>| matches!(token.kind, TokenKind::Mark(Mark::Comma | Mark::RightParen | Mark::RightBracket));
    match before(span.start) {
        Some(before) if before.is_operator("=") => Position::BehindEqual,
        Some(before) if before.is_operator("<>") || before.is_operator("!=") => Position::BehindUnequal,
        Some(before)
            if (before.is_mark(Mark::Comma) || opener.map(|open| open.saturating_add(1)) == Some(span.start))
                && opener.is_some_and(is_list)
                && tokens.get(span.end).is_some_and(ends) =>
        {
            Position::Listed
        }
        _ => Position::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_with_their_casts() {
        for (text, expected) in [
            ("SELECT $1", vec![("$1", None)]),
            ("INSERT INTO t VALUES (1, 'x', NULL, -2)", vec![("1", None), ("'x'", None), ("-2", None)]),
            (
                "WHERE a = $1::text AND b = 'x' :: character varying(10)",
                vec![("$1::text", Some("text")), ("'x' :: character varying(10)", Some("character varying(10)"))],
            ),
            ("a = ANY($1::text[])", vec![("$1::text[]", Some("text[]"))]),
            (
                "a = CAST($2 AS timestamp(3) with time zone)",
                vec![("CAST($2 AS timestamp(3) with time zone)", Some("timestamp(3) with time zone"))],
            ),
            (
                "SELECT ($1)::date, (('x')) :: text",
                vec![("($1)::date", Some("date")), ("(('x')) :: text", Some("text"))],
            ),
            ("f($1)::date, f(($1))::date", vec![("$1", None), ("$1", None)]),
            (
                "CAST(($1) AS int[]), ($1, 'x')",
                vec![("CAST(($1) AS int[])", Some("int[]")), ("$1", None), ("'x'", None)],
            ),
            ("a = DATE '2024-01-31'", vec![("DATE '2024-01-31'", Some("DATE"))]),
            ("a = $1::numeric(10, 2)", vec![("$1::numeric(10, 2)", Some("numeric(10, 2)"))]),
            ("a = 'x'::my.kind", vec![("'x'::my.kind", Some("my.kind"))]),
            (
                "SELECT 5 GROUP BY 1, lower(2) HAVING 3 ORDER BY x, 1 DESC LIMIT 4",
                vec![("5", None), ("2", None), ("3", None), ("4", None)],
            ),
        ] {
            let found = given(text);
            let found: Vec<_> =
                found.iter().map(|given| (text.get(given.span.clone()).unwrap(), given.cast.as_deref())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn values_are_known_by_where_they_stand() {
        use Position::{BehindEqual, BehindUnequal, Elsewhere, Listed};
        for (text, expected) in [
            ("a = $1 AND b <> 'x'", vec![BehindEqual, BehindUnequal]),
            ("a IN ($1, CAST($2 AS text), 'x'::text)", vec![Listed, Listed, Listed]),
            ("a = ANY (ARRAY['x', f('y'), 'z'])", vec![Listed, Elsewhere, Listed]),
            ("VALUES ('x', 'y'), ('z')", vec![Elsewhere; 3]),
            ("(a, b) IN (('x', 1))", vec![Elsewhere; 2]),
            ("a IN ('x' || 'y')", vec![Elsewhere; 2]),
            ("a IN (SELECT 'x', f('y'))", vec![Elsewhere; 2]),
        ] {
            let found: Vec<_> = given(text).into_iter().map(|given| given.position).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn elements_of_lists_are_cast_with_their_list() {
        for (text, expected) in [
            ("a = ANY (ARRAY['x', $1]::varchar(3)[])", vec![Some("varchar(3)[]"), Some("varchar(3)[]")]),
            ("a = ANY (CAST((ARRAY['x']) AS int[]))", vec![Some("int[]")]),
            ("a = ANY (ARRAY['x']) AND b = 'y'::text[]", vec![None, None]),
            ("a[1]::text = 'x'", vec![None, None]),
        ] {
            let found = given(text);
            let found: Vec<_> =
                found.iter().map(|given| given.outer_casts.first().map(|cast| cast.written.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
