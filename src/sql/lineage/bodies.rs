//! Whether users' functions can fail, by what their bodies say.

use super::texts::only_composes;
use crate::catalog::{Catalog, Function, Name};
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};

/// Whether a user's function may fail for some of its arguments and not for others: unless it is in SQL or PL/pgSQL,
/// returns text, and does nothing but put texts together and compare them ([`only_composes`]).
pub(super) fn may_fail(function: &Function, catalog: &Catalog) -> bool {
    const TEXT: [u32; 2] = [25, 1043];
    let language = function.language.as_str();
    let in_text = TEXT.contains(&function.returns.0) && function.inputs.iter().all(|input| TEXT.contains(&input.0));
    if !(in_text && matches!(language, "sql" | "plpgsql")) {
        return true;
    }
    let mut arguments = function.arguments.clone();
    arguments.resize(function.inputs.len(), Name::exact(""));
    function.body.as_deref().is_none_or(|body| !only_composes(language, body, &arguments, catalog))
}

/// Whether the function that `CREATE FUNCTION` makes returns one value for each text, and fails for none. `text`: the
/// statement's own.
pub fn fails_for_no_text(text: &str, catalog: &Catalog) -> bool {
    let Ok(tokens) = Lexer::new(text).collect::<Result<Vec<_>, _>>() else { return false };
    let is_type = |token: &Token<'_>| token.is_any(&["text", "varchar"]);
    let Some(open) = tokens.iter().position(|token| token.is_mark(Mark::LeftParen)) else { return false };
    let Some(close) = tokens.iter().position(|token| token.is_mark(Mark::RightParen)) else { return false };
    let arguments = tokens.get(open.saturating_add(1)..close).unwrap_or_default();
    let argument = |argument: &[Token<'_>]| match argument {
        [of] => is_type(of).then(|| Name::exact("")),
        [name, of] => {
            let named = matches!(name.kind, TokenKind::Word(_)) && !name.is_any(&["in", "out", "inout", "variadic"]);
            name.name().filter(|_| is_type(of) && named)
        }
        _ => None,
    };
    let aggregate = tokens.iter().take(open).any(|token| token.is("aggregate"));
    let arguments = match arguments {
        [] => Vec::new(),
        arguments => {
            let read: Option<Vec<Name>> = arguments.split(|token| token.is_mark(Mark::Comma)).map(argument).collect();
            let Some(read) = read else { return false };
            read
        }
    };
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
    returns && only_composes(language.as_str(), &body, &arguments, catalog)
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
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF $1 LIKE 'a%' THEN RETURN 'x'; END IF; END $$",
            "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN $1; END $$",
            "CREATE AGGREGATE f(text) (SFUNC = g, STYPE = text)",
            "CREATE AGGREGATE f(text) (SFUNC = textcat, STYPE = text, FINALFUNC = g)",
            "CREATE AGGREGATE f(int) (SFUNC = int4div, STYPE = int)",
        ] {
            assert!(!fails_for_no_text(text, &catalog), "{text}");
        }
    }
}
