//! What a statement makes or changes that later statements may run without knowing: functions, types, operators.

use super::cursor::Cursor;
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};
use crate::sql::statement::Code;

/// The tokens of a body that are looked through.
const TOKENS_MAX: usize = 100_000;

/// What one statement makes or changes.
pub(crate) fn code(tokens: &[Token<'_>]) -> Vec<Code> {
    let mut cursor = Cursor::new(tokens);
    match cursor.keyword().as_deref() {
        Some("create") => created(cursor),
        Some("alter") => altered(cursor),
        // What was prepared in another transaction is there all at once.
        Some("commit") if cursor.eat("prepared") => vec![Code::Anything],
        Some(_) | None => Vec::new(),
    }
}

/// What a body makes when it runs, as far as it does not run strings, and whether that makes code in its turn. `literal`:
/// the string that it is written in.
pub(crate) fn code_in(literal: &Token<'_>) -> (Vec<Code>, bool) {
    let TokenKind::Text(literal) = literal.kind else { return (Vec::new(), false) };
    match literal.value() {
        Ok(body) => code_of_body(&body),
        Err(_) => (vec![Code::Anything], true),
    }
}

/// Whether a body makes or changes functions, types, operators or casts when it runs, as far as it does not run strings.
pub fn makes_code(body: &str) -> bool {
    let body = body.trim_ascii();
    // Most bodies have none of these words.
    let has = |word: &[u8]| body.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    (has(b"create") || has(b"alter") || has(b"prepared")) && !code_of_body(body).0.is_empty()
}

/// The same of a body by itself.
fn code_of_body(body: &str) -> (Vec<Code>, bool) {
    let Ok(tokens) = Lexer::tokens(body, TOKENS_MAX) else { return (vec![Code::Anything], true) };
    let mut made = Vec::new();
    let mut inner = false;
    for statement in tokens.split(|token| token.is_mark(Mark::Semicolon)) {
        for (at, token) in statement.iter().enumerate() {
            if token.is_any(&["create", "alter", "commit"]) {
                made.extend(code(statement.get(at..).unwrap_or_default()));
            }
            inner |= matches!(token.kind, TokenKind::Text(_)) && !code_in(token).0.is_empty();
        }
    }
    // A string that nothing is made of is only said.
    let makes = !made.is_empty();
    (made, inner && makes)
}

/// Behind `CREATE`.
fn created(mut cursor: Cursor<'_, '_>) -> Vec<Code> {
    if cursor.eat("or") {
        cursor.eat("replace");
    }
    let named = |code: Option<Code>| vec![code.unwrap_or(Code::Anything)];
    match cursor.keyword().as_deref() {
        Some("function" | "procedure" | "aggregate") => {
            named(cursor.object_name().map(|object| Code::Routine(object.name)))
        }
        Some("type" | "domain") => named(cursor.object_name().map(|object| Code::Type(object.name))),
        Some("operator" | "cast") => vec![Code::Operator],
        Some("extension" | "language" | "trusted" | "procedural" | "transform" | "event" | "access") => {
            vec![Code::Anything]
        }
        Some(_) | None => Vec::new(),
    }
}

/// Behind `ALTER`.
fn altered(mut cursor: Cursor<'_, '_>) -> Vec<Code> {
    let kind = cursor.keyword().unwrap_or_default();
    let (routine, renamed_only) = match kind.as_str() {
        "function" | "procedure" | "routine" | "aggregate" => (true, false),
        "domain" => (false, false),
        // Values of enumerations and fields of rows are no code.
        "type" => (false, true),
        "schema" if cursor.skip_past(&["rename"]) => return vec![Code::Schema],
        "extension" => return vec![Code::Anything],
        _ => return Vec::new(),
    };
    let Some(object) = cursor.object_name() else { return vec![Code::Anything] };
    cursor.skip_parens();
    let moves = cursor.peek().is_some_and(|token| token.is_any(&["rename", "set"]));
    if renamed_only && !moves {
        return Vec::new();
    }
    let of = |name| if routine { Code::Routine(name) } else { Code::Type(name) };
    let mut code = vec![of(object.name)];
    if cursor.eat("rename") && cursor.eat("to") {
        code.push(cursor.name().map_or(Code::Anything, of));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Name;

    fn made(text: &str) -> Vec<Code> {
        code(&Lexer::tokens(text, TOKENS_MAX).unwrap())
    }

    #[test]
    fn what_later_statements_may_run_is_known_by_its_name() {
        let routine = |name| vec![Code::Routine(Name::exact(name))];
        for (text, expected) in [
            ("CREATE FUNCTION public.num_nulls(text) RETURNS text AS 'x'", routine("num_nulls")),
            ("create or replace procedure \"P\"() as 'x'", routine("P")),
            ("CREATE AGGREGATE count(text) (SFUNC = f, STYPE = text)", routine("count")),
            ("ALTER FUNCTION f SET SCHEMA x", routine("f")),
            ("ALTER FUNCTION f(int, text) SET search_path = a", routine("f")),
            ("ALTER DOMAIN d ADD CHECK (f(value))", vec![Code::Type(Name::exact("d"))]),
            ("CREATE TYPE s.t AS (a int)", vec![Code::Type(Name::exact("t"))]),
            ("ALTER TYPE t ADD VALUE 'x'", vec![]),
            ("CREATE OPERATOR = (LEFTARG = text)", vec![Code::Operator]),
            ("CREATE CAST (a AS b) WITHOUT FUNCTION", vec![Code::Operator]),
            ("ALTER SCHEMA a RENAME TO b", vec![Code::Schema]),
            ("ALTER SCHEMA a OWNER TO b", vec![]),
            ("CREATE EXTENSION hstore", vec![Code::Anything]),
            ("ALTER EXTENSION hstore SET SCHEMA x", vec![Code::Anything]),
            ("COMMIT PREPARED 'a'", vec![Code::Anything]),
            ("COMMIT", vec![]),
            ("CREATE TABLE t (a int)", vec![]),
            ("ALTER TABLE t RENAME TO u", vec![]),
            ("SELECT 1", vec![]),
        ] {
            assert_eq!(made(text), expected, "{text}");
        }
        for text in ["ALTER FUNCTION f(int) RENAME TO count", "ALTER ROUTINE f RENAME TO count"] {
            let both = [Code::Routine(Name::exact("f")), Code::Routine(Name::exact("count"))];
            assert_eq!(made(text), both, "{text}");
        }
    }

    #[test]
    fn what_a_body_makes_is_found_in_it_and_what_that_makes_is_suspected() {
        let routine = |name| vec![Code::Routine(Name::exact(name))];
        for (body, expected) in [
            ("BEGIN CREATE FUNCTION a() AS 'SELECT 1'; END", (routine("a"), false)),
            ("BEGIN IF x THEN ALTER FUNCTION a() RENAME TO b; END IF; END", {
                (vec![Code::Routine(Name::exact("a")), Code::Routine(Name::exact("b"))], false)
            }),
            ("BEGIN CREATE FUNCTION a() AS $$ BEGIN CREATE FUNCTION b() AS ''; END $$; END", (routine("a"), true)),
            ("BEGIN RAISE NOTICE 'create function x'; END", (vec![], false)),
            ("BEGIN CREATE TABLE x (a int); END", (vec![], false)),
            ("'open", (vec![Code::Anything], true)),
        ] {
            assert_eq!(code_of_body(body), expected, "{body}");
        }
    }
}
