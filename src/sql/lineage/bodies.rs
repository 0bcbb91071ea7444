//! Whether users' functions can fail, by what their bodies say.

use super::forbidden::is_built_in;
use super::total::{Failure, failure};
use crate::catalog::{Catalog, Function, Name};
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};

/// Words with which a value is turned into something else, counted out or looked up, or a result is ended with an error.
const FAILING_WORDS: &[&str] = &[
    "array",
    "assert",
    "call",
    "cast",
    "exception",
    "execute",
    "exists",
    "fetch",
    "for",
    "foreach",
    "from",
    "int",
    "integer",
    "bigint",
    "smallint",
    "numeric",
    "decimal",
    "real",
    "double",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "boolean",
    "bool",
    "json",
    "jsonb",
    "xml",
    "uuid",
    "into",
    "limit",
    "loop",
    "offset",
    "perform",
    "raise",
    "rowtype",
    "strict",
    "while",
    "escape",
    "similar",
];

/// Whether a user's function may fail for some of its arguments and not for others: unless it is in SQL or PL/pgSQL,
/// returns text, and does nothing but put texts together and compare them.
pub(super) fn may_fail(function: &Function, catalog: &Catalog) -> bool {
    const TEXT: [u32; 2] = [25, 1043];
    let language = function.language.as_str();
    let in_text = TEXT.contains(&function.returns.0) && function.inputs.iter().all(|input| TEXT.contains(&input.0));
    if !(in_text && matches!(language, "sql" | "plpgsql")) {
        return true;
    }
    function.body.as_deref().is_none_or(|body| body_may_fail(language, body, catalog))
}

/// Whether the function that `CREATE FUNCTION` makes returns one value for each text, and fails for none. `text`: the
/// statement's own.
pub fn fails_for_no_text(text: &str, catalog: &Catalog) -> bool {
    let Ok(tokens) = Lexer::new(text).collect::<Result<Vec<_>, _>>() else { return false };
    let is_type = |token: &Token<'_>| token.is_any(&["text", "varchar"]);
    let Some(open) = tokens.iter().position(|token| token.is_mark(Mark::LeftParen)) else { return false };
    let Some(close) = tokens.iter().position(|token| token.is_mark(Mark::RightParen)) else { return false };
    let arguments = tokens.get(open.saturating_add(1)..close).unwrap_or_default();
    let is_argument = |argument: &[Token<'_>]| match argument {
        [of] => is_type(of),
        [name, of] => {
            is_type(of) && matches!(name.kind, TokenKind::Word(_)) && !name.is_any(&["out", "inout", "variadic"])
        }
        _ => false,
    };
    let aggregate = tokens.iter().take(open).any(|token| token.is("aggregate"));
    let mut arguments = arguments.split(|token| token.is_mark(Mark::Comma));
    if !(close == open.saturating_add(1) || arguments.all(is_argument)) {
        return false;
    }
    let mut rest = tokens.get(close.saturating_add(1)..).unwrap_or_default();
    if aggregate {
        return puts_together(rest);
    }
    let (mut returns, mut language, mut body) = (false, None, None);
    loop {
        rest = match rest {
            [] => break,
            [keyword, of, rest @ ..] if keyword.is("returns") && is_type(of) && !returns => {
                returns = true;
                rest
            }
            [keyword, name, rest @ ..] if keyword.is("language") && name.is_any(&["sql", "plpgsql"]) => {
                language = name.name();
                rest
            }
            [keyword, string, rest @ ..] if keyword.is("as") && body.is_none() => {
                let TokenKind::Text(literal) = string.kind else { return false };
                body = literal.value().ok();
                rest
            }
            [keyword, rest @ ..] if keyword.is_any(&["immutable", "stable", "volatile", "strict"]) => rest,
            _ => return false,
        };
    }
    let (Some(language), Some(body)) = (language, body) else { return false };
    returns && !body_may_fail(language.as_str(), &body, catalog)
}

/// `(SFUNC = textcat, STYPE = text, INITCOND = '')`: an aggregate of PostgreSQL's own function, which fails for no texts but
/// those that are too long.
fn puts_together(definition: &[Token<'_>]) -> bool {
    let [open, inner @ .., close] = definition else { return false };
    let mut options = inner.split(|token| token.is_mark(Mark::Comma));
    open.is_mark(Mark::LeftParen)
        && close.is_mark(Mark::RightParen)
        && options.all(|option| match option {
            [name, equals, value] if equals.is_operator("=") => match value.kind {
                TokenKind::Text(_) => name.is("initcond"),
                _ => {
                    (name.is("sfunc") && value.is_any(&["textcat", "text_larger", "text_smaller"]))
                        || (name.is("stype") && value.is("text"))
                }
            },
            _ => false,
        })
}

fn body_may_fail(language: &str, body: &str, catalog: &Catalog) -> bool {
    let mut named: Option<Name> = None;
    for token in Lexer::new(body) {
        let Ok(token) = token else { return true };
        let called = named.take();
        match token.kind {
            TokenKind::Word(_) | TokenKind::Quoted(_) => {
                let Some(name) = token.name() else { return true };
                if FAILING_WORDS.contains(&name.as_str()) {
                    return true;
                }
                named = Some(name);
            }
            TokenKind::Mark(Mark::LeftParen) => {
                let Some(name) = called else { continue };
                let mut meant = catalog.functions_named(None, &name).peekable();
                let all_known = meant.peek().is_some() && meant.all(is_built_in);
                let is_syntax = matches!(
                    name.as_str(),
                    "and"
                        | "or"
                        | "not"
                        | "in"
                        | "when"
                        | "then"
                        | "else"
                        | "if"
                        | "elsif"
                        | "case"
                        | "return"
                        | "select"
                        | "coalesce"
                        | "nullif"
                        | "like"
                        | "ilike"
                        | "varchar"
                );
                if name.as_str() == "varchar" && language == "plpgsql"
                    || !(is_syntax
                        || all_known && (failure(name.as_str(), None) == Failure::NEVER || name.as_str() == "extract"))
                {
                    return true;
                }
            }
            TokenKind::Operator("||" | "=" | "<>" | "!=" | "<" | ">" | "<=" | ">=") => {}
            TokenKind::Operator(_) | TokenKind::Mark(Mark::DoubleColon | Mark::LeftBracket) => return true,
            TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) | TokenKind::Mark(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::fixture::catalog;
    use super::*;

    #[test]
    fn a_function_that_is_made_is_read_like_one_that_is_there() {
        let catalog = catalog();
        for text in [
            "CREATE FUNCTION pg_temp.f(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
            "CREATE OR REPLACE FUNCTION f(a text, b varchar) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT lower($1) || $2 $$",
            "CREATE AGGREGATE f(text) (SFUNC = textcat, STYPE = text, INITCOND = '')",
            "CREATE FUNCTION f() RETURNS text AS $$ BEGIN RETURN 'x'; END $$ LANGUAGE plpgsql STABLE",
        ] {
            assert!(fails_for_no_text(text, &catalog), "{text}");
        }
        for text in [
            "CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE FUNCTION f(text) RETURNS SETOF text LANGUAGE sql AS $$SELECT $1 WHERE $1 LIKE 'a%'$$",
            "CREATE FUNCTION f(text) RETURNS TABLE (a text) LANGUAGE sql AS 'SELECT $1'",
            "CREATE FUNCTION f(text) RETURNS text[] LANGUAGE sql AS 'SELECT $1'",
            "CREATE FUNCTION f(text, OUT text) LANGUAGE sql AS 'SELECT $1'",
            "CREATE FUNCTION f(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT $1[1]'",
            "CREATE FUNCTION f(a text DEFAULT 'x') RETURNS text LANGUAGE sql AS 'SELECT $1'",
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT 1 / length($1)'",
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT $1::int::text'",
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql SET search_path = x AS 'SELECT $1'",
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT $1; END",
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE plperl AS 'x'",
            "CREATE AGGREGATE f(text) (SFUNC = g, STYPE = text)",
            "CREATE AGGREGATE f(text) (SFUNC = textcat, STYPE = text, FINALFUNC = g)",
            "CREATE AGGREGATE f(int) (SFUNC = int4div, STYPE = int)",
        ] {
            assert!(!fails_for_no_text(text, &catalog), "{text}");
        }
    }
}
