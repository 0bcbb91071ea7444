//! Functions in PL/pgSQL that do nothing but open cursors: what these show is known, and what they return is the names of
//! the cursors. (PostgreSQL manual, section 43.7.)

use super::lexer::{Lexer, Mark, Token, TokenKind};

/// Longer bodies are not looked into, in bytes.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// The queries of the cursors that a body in PL/pgSQL opens; `None`: it does something else, too.
///
/// `[DECLARE name refcursor [:= 'portal']; ...] BEGIN OPEN name FOR query; ... RETURN [NEXT] name; ... END`. A cursor may be an
/// argument (`$1`).
pub fn opened(body: &str) -> Option<Vec<&str>> {
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let tokens: Vec<Token<'_>> = Lexer::new(body).collect::<Result<_, _>>().ok()?;
    let mut statements = tokens.split(|token| token.is_mark(Mark::Semicolon));
    let mut queries = Vec::new();
    let mut first = statements.next()?;
    if let [declare, rest @ ..] = first
        && declare.is("declare")
    {
        let mut variable = rest;
        while let Some(name) = declared(variable) {
            name?;
            variable = statements.next()?;
        }
        first = variable;
    }
    let [begin, rest @ ..] = first else { return None };
    if !begin.is("begin") {
        return None;
    }
    let mut statement = rest;
    loop {
        match statement {
            [end] if end.is("end") => break,
            [open, cursor, rest @ ..] if open.is("open") && is_variable(cursor) => {
                queries.push(query(body, rest)?);
            }
            [only] if only.is("return") => {}
            [first, value] if first.is("return") && is_variable(value) => {}
            [first, next, value] if first.is("return") && next.is("next") && is_variable(value) => {}
            _ => return None,
        }
        statement = statements.next()?;
    }
    let nothing_left = statements.all(<[_]>::is_empty);
    (nothing_left && !queries.is_empty()).then_some(queries)
}

/// The queries of the cursors that the function opens which `CREATE FUNCTION` makes; `None`: it does something else, or says
/// more than what it is made of. `text`: the statement's own.
pub fn opened_by_made(text: &str) -> Option<Vec<String>> {
    let tokens: Vec<Token<'_>> = Lexer::new(text).collect::<Result<_, _>>().ok()?;
    let says_more = |token: &Token<'_>| token.is_any(&["set", "security", "default", "support", "transform"]);
    let procedural =
        tokens.windows(2).any(|pair| matches!(pair, [keyword, name] if keyword.is("language") && name.is("plpgsql")));
    if !procedural || tokens.iter().any(says_more) {
        return None;
    }
    let mut bodies = tokens.iter().filter_map(Token::literal);
    let (body, None) = (bodies.next()?.value().ok()?, bodies.next()) else { return None };
    Some(opened(&body)?.into_iter().map(str::to_owned).collect())
}

/// `name refcursor [{:= | = | DEFAULT} 'portal']`; `None`: no declaration, `Some(None)`: one of something else.
fn declared(tokens: &[Token<'_>]) -> Option<Option<()>> {
    if tokens.first().is_some_and(|first| first.is("begin")) {
        return None;
    }
    let is_cursor = match tokens {
        [name, of] => is_variable(name) && of.is("refcursor"),
        [name, of, set, portal] => {
            is_variable(name)
                && of.is("refcursor")
                && (set.is_mark(Mark::ColonEquals) || set.is_operator("=") || set.is("default"))
                && matches!(portal.kind, TokenKind::Text(_))
        }
        _ => false,
    };
    Some(is_cursor.then_some(()))
}

fn is_variable(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Word(_) => !token.is_any(&["next", "query", "null", "true", "false"]),
        TokenKind::Quoted(_) | TokenKind::Parameter(_) => true,
        TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => false,
    }
}

/// `[[NO] SCROLL] FOR query`.
fn query<'a>(body: &'a str, tokens: &[Token<'_>]) -> Option<&'a str> {
    let rest = match tokens {
        [no, scroll, rest @ ..] if no.is("no") && scroll.is("scroll") => rest,
        [scroll, rest @ ..] if scroll.is("scroll") => rest,
        rest => rest,
    };
    match rest {
        [keyword, first, ..] if keyword.is("for") && first.is_any(&["select", "with", "values", "table"]) => {
            body.get(first.start..rest.last()?.end)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_only_opens_cursors_is_known_by_their_queries() {
        for (body, queries) in [
            ("DECLARE r refcursor := 'rr'; BEGIN OPEN r FOR SELECT a FROM t; RETURN r; END", vec!["SELECT a FROM t"]),
            ("BEGIN OPEN $1 FOR TABLE t; RETURN $1; END;", vec!["TABLE t"]),
            (
                "declare a refcursor; \"B\" refcursor default 'b'; begin open a no scroll for select 1; return next a; -- x\n
                 open \"B\" scroll for values (2); return next \"B\"; return; end;",
                vec!["select 1", "values (2)"],
            ),
        ] {
            assert_eq!(opened(body), Some(queries), "{body}");
        }
    }

    #[test]
    fn a_body_that_does_anything_else_is_not() {
        for body in [
            "",
            "BEGIN RETURN 1; END",
            "BEGIN END",
            "DECLARE r refcursor; BEGIN OPEN r FOR EXECUTE 'SELECT 1'; RETURN r; END",
            "DECLARE r refcursor; x int; BEGIN OPEN r FOR SELECT 1; RETURN r; END",
            "DECLARE r refcursor := f(); BEGIN OPEN r FOR SELECT 1; RETURN r; END",
            "DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; RETURN f(r); END",
            "DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; RETURN QUERY SELECT 2; END",
            "DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; IF true THEN RETURN r; END IF; END",
            "DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; r := 'x'; RETURN r; END",
            "DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; RAISE NOTICE 'x'; RETURN r; END",
            "DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; RETURN r; EXCEPTION WHEN others THEN RETURN r; END",
            "<<l>> DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; RETURN r; END l",
            "#variable_conflict use_variable\nDECLARE r refcursor; BEGIN OPEN r FOR SELECT 1; RETURN r; END",
            "DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; RETURN c; END",
            "BEGIN OPEN r FOR SELECT 1; RETURN r; END; BEGIN END",
            "BEGIN OPEN r FOR INSERT INTO t VALUES (1); RETURN r; END",
            "BEGIN OPEN r FOR SELECT 'x; RETURN r; END",
        ] {
            assert_eq!(opened(body), None, "{body}");
        }
    }
}
