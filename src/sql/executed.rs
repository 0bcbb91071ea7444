//! What `EXPLAIN EXECUTE` and `CREATE TABLE AS EXECUTE` would say without the prepared statement between.

use super::lexer::{Lexer, Mark, Token, TokenKind};
use crate::catalog::Name;

/// A statement that holds `EXECUTE name [(arguments)]`, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Executed<'a> {
    head: &'a str,
    name: &'a Name,
    arguments: &'a str,
    tail: &'a str,
}

impl<'a> Executed<'a> {
    /// Take a statement apart that executes what `name` stands for. `None`: it says so in a way that is not read here.
    pub fn of(text: &'a str, name: &'a Name, tokens_max: usize) -> Option<Self> {
        let tokens = Lexer::tokens(text, tokens_max).ok()?;
        let mut found = tokens.iter().enumerate().filter(|(_, token)| token.is("execute"));
        let (place, execute) = found.next()?;
        // Of two, one may be the name of a table.
        if found.next().is_some() {
            return None;
        }
        let named = tokens.get(place.saturating_add(1)).filter(|token| token.name().as_ref() == Some(name))?;
        let rest = tokens.get(place.saturating_add(2)..).unwrap_or_default();
        let (arguments, end) = parenthesised(rest).unwrap_or((named.end..named.end, named.end));
        Some(Self { head: text.get(..execute.start)?, name, arguments: text.get(arguments)?, tail: text.get(end..)? })
    }

    /// Two statements: one that computes the arguments, and one that holds in place what was prepared. `prepared`: its
    /// text; `by_sql`: whether that is `PREPARE ... AS`.
    pub fn with(&self, prepared: &str, by_sql: bool, tokens_max: usize) -> Option<String> {
        let query = if by_sql { prepared_query(prepared, self.name, tokens_max)? } else { prepared };
        let query = query.trim_end().trim_end_matches(';');
        let arguments = if self.arguments.trim().is_empty() { "" } else { self.arguments };
        // A comment at an end must not reach further.
        Some(format!("SELECT {arguments}\n;{head}{query}\n{tail}", head = self.head, tail = self.tail))
    }
}

/// Where the arguments are in the parentheses that begin here, and where these end.
fn parenthesised(tokens: &[Token<'_>]) -> Option<(std::ops::Range<usize>, usize)> {
    let open = tokens.first().filter(|token| token.is_mark(Mark::LeftParen))?;
    let mut depth = 0_usize;
    for token in tokens {
        if token.is_mark(Mark::LeftParen) {
            depth = depth.saturating_add(1);
        } else if token.is_mark(Mark::RightParen) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some((open.end..token.start, token.end));
            }
        }
    }
    None
}

/// The query of `PREPARE name [(types)] AS query`.
fn prepared_query<'a>(text: &'a str, name: &Name, tokens_max: usize) -> Option<&'a str> {
    let tokens = Lexer::tokens(text, tokens_max).ok()?;
    let [prepare, named, rest @ ..] = tokens.as_slice() else { return None };
    if !prepare.is("prepare") || named.name().as_ref() != Some(name) {
        return None;
    }
    let end = parenthesised(rest).map_or(named.end, |(_, end)| end);
    let behind = rest.iter().find(|token| token.start >= end)?;
    let is_end = |token: &Token<'_>| matches!(token.kind, TokenKind::Mark(Mark::Semicolon));
    let last = rest.iter().rev().find(|token| !is_end(token))?;
    behind.is("as").then(|| text.get(behind.end..last.end)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, prepared: &str) -> Option<String> {
        let name = Name::exact("p");
        let by_sql = prepared.to_ascii_lowercase().starts_with("prepare");
        let text = Executed::of(text, &name, 1_000)?.with(prepared, by_sql, 1_000)?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_was_prepared_stands_in_the_place_of_execute() {
        for (text, prepared, expected) in [
            ("EXPLAIN EXECUTE p", "PREPARE p AS SELECT 1;", "SELECT ;EXPLAIN SELECT 1"),
            (
                "explain (costs off) execute P(1, f(2))",
                "prepare p(int, a.b[]) as select $1",
                "SELECT 1, f(2) ;explain (costs off) select $1",
            ),
            (
                "CREATE TABLE t AS EXECUTE p(') -- ') WITH NO DATA",
                "SELECT 2 -- x",
                "SELECT ') -- ' ;CREATE TABLE t AS SELECT 2 -- x WITH NO DATA",
            ),
        ] {
            assert_eq!(expanded(text, prepared).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_may_mean_something_else_is_not_taken_apart() {
        for (text, prepared) in [
            ("EXPLAIN CREATE TABLE execute AS EXECUTE p", "SELECT 1"),
            ("EXPLAIN EXECUTE q", "SELECT 1"),
            ("EXPLAIN EXECUTE p", "PREPARE q AS SELECT 1"),
            ("EXPLAIN EXECUTE p(1", "PREPARE p(int AS SELECT 1"),
        ] {
            assert_eq!(expanded(text, prepared), None, "{text}");
        }
    }
}
