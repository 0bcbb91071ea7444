//! Bodies of functions that put texts together and compare them, and do nothing else: they fail for no text.
//!
//! It is a small grammar that is known to the end, types included. A body of which anything else is there may fail for the
//! texts that its author chose: by a missing `RETURN`, a pattern that ends in a backslash, a second row, a name that is
//! nowhere, or whatever else comes to somebody's mind.

use super::forbidden::is_built_in;
use crate::catalog::{Catalog, Name};
use crate::sql::lexer::{KeywordClass, Lexer, LiteralStyle, Mark, Token, TokenKind, keyword_class};

/// Longer bodies may make texts too long (`call::GROWTH_BY_USERS`), in bytes.
const BODY_BYTES_MAX: usize = 1_000;

/// How deep expressions may be nested.
const DEPTH_MAX: usize = 12;

/// Functions of texts that yield a text, with the least and the highest number of arguments.
const OF_TEXTS: [(&str, usize, usize); 16] = [
    ("btrim", 1, 2),
    ("coalesce", 1, usize::MAX),
    ("concat", 1, usize::MAX),
    ("greatest", 1, usize::MAX),
    ("initcap", 1, 1),
    ("least", 1, usize::MAX),
    ("lower", 1, 1),
    ("ltrim", 1, 2),
    ("md5", 1, 1),
    ("nullif", 2, 2),
    ("replace", 3, 3),
    ("reverse", 1, 1),
    ("rtrim", 1, 2),
    ("translate", 3, 3),
    ("trim", 1, 1),
    ("upper", 1, 1),
];

/// Functions of texts and places, with the number of texts, and the least and the highest number of places.
const OF_PLACES: [(&str, usize, usize, usize); 5] =
    [("left", 1, 1, 1), ("right", 1, 1, 1), ("split_part", 2, 1, 1), ("substr", 1, 1, 2), ("substring", 1, 1, 2)];

/// Functions of a text that yield a number.
const LENGTHS: [&str; 2] = ["char_length", "length"];

/// Whether a body in `sql` or `plpgsql`, of a function of texts that returns a text, is of that kind. `arguments`: their
/// names in order, empty where one has none.
pub(super) fn only_composes(language: &str, body: &str, arguments: &[Name], catalog: &Catalog) -> bool {
    if body.len() > BODY_BYTES_MAX {
        return false;
    }
    let Ok(tokens) = Lexer::new(body).collect::<Result<Vec<_>, _>>() else { return false };
    let mut reader = Reader { rest: &tokens, arguments, catalog, multiplied: false };
    let read = match language {
        "sql" => reader.query(),
        "plpgsql" => reader.block(),
        _ => None,
    };
    read.is_some() && reader.rest.is_empty()
}

/// What is left to be read. All of its functions yield `None` where something else is there.
struct Reader<'t, 'a> {
    rest: &'t [Token<'a>],
    arguments: &'t [Name],
    catalog: &'t Catalog,
    /// Whether something was called already that makes a text as many times longer as it has characters.
    multiplied: bool,
}

impl<'t, 'a> Reader<'t, 'a> {
    fn next(&mut self) -> Option<&'t Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn takes(&mut self, matches: impl Fn(&Token<'a>) -> bool) -> bool {
        let found = self.rest.first().is_some_and(matches);
        if found {
            self.next();
        }
        found
    }

    fn word(&mut self, keyword: &str) -> bool {
        self.takes(|token| token.is(keyword))
    }

    fn mark(&mut self, mark: Mark) -> bool {
        self.takes(|token| token.is_mark(mark))
    }

    fn expect(&mut self, keyword: &str) -> Option<()> {
        self.word(keyword).then_some(())
    }

    fn expect_mark(&mut self, mark: Mark) -> Option<()> {
        self.mark(mark).then_some(())
    }

    /// `SELECT text [;]`
    fn query(&mut self) -> Option<()> {
        self.expect("select")?;
        self.text(0)?;
        self.mark(Mark::Semicolon);
        Some(())
    }

    /// `BEGIN ... RETURN text; END [;]`
    fn block(&mut self) -> Option<()> {
        self.expect("begin")?;
        self.statements(0)?.then_some(())?;
        self.expect("end")?;
        self.mark(Mark::Semicolon);
        Some(())
    }

    /// `RETURN text;` and `IF condition THEN ... END IF;`: whether the last of them returns.
    fn statements(&mut self, depth: usize) -> Option<bool> {
        let depth = deeper(depth)?;
        let mut returns = false;
        loop {
            if self.word("return") {
                self.text(depth)?;
                returns = true;
            } else if self.word("if") {
                returns = self.branches(depth)?;
            } else {
                return Some(returns);
            }
            self.expect_mark(Mark::Semicolon)?;
        }
    }

    /// What is behind `IF`: whether all of its branches return.
    fn branches(&mut self, depth: usize) -> Option<bool> {
        let mut all = true;
        loop {
            self.condition(depth)?;
            self.expect("then")?;
            all &= self.statements(depth)?;
            if !(self.word("elsif") || self.word("elseif")) {
                break;
            }
        }
        let otherwise = self.word("else");
        if otherwise {
            all &= self.statements(depth)?;
        }
        self.expect("end")?;
        self.expect("if")?;
        Some(all && otherwise)
    }

    /// `text || text ...`
    fn text(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        self.operand(depth)?;
        while self.takes(|token| token.is_operator("||")) {
            self.operand(depth)?;
        }
        Some(())
    }

    fn operand(&mut self, depth: usize) -> Option<()> {
        let first = self.next()?;
        match first.kind {
            TokenKind::Text(_) => literal(first).map(drop),
            TokenKind::Parameter(number) => {
                let number = usize::try_from(number).ok()?;
                (1..=self.arguments.len()).contains(&number).then_some(())
            }
            TokenKind::Mark(Mark::LeftParen) => {
                self.text(depth)?;
                self.expect_mark(Mark::RightParen)
            }
            TokenKind::Word(_) if first.is("null") => Some(()),
            TokenKind::Word(_) if first.is("case") => self.case(depth),
            TokenKind::Word(_) if self.mark(Mark::LeftParen) => self.call(first, depth),
            TokenKind::Word(word) => {
                let class = keyword_class(&word.to_ascii_lowercase());
                // RETURN NEXT, RETURN QUERY
                let free = matches!(class, None | Some(KeywordClass::Unreserved)) && !first.is_any(&["next", "query"]);
                let named = first.name().is_some_and(|name| self.arguments.contains(&name));
                (free && named).then_some(())
            }
            TokenKind::Quoted(_) | TokenKind::Number(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => None,
        }
    }

    /// What is behind `CASE`.
    fn case(&mut self, depth: usize) -> Option<()> {
        let compares = !self.rest.first()?.is("when");
        if compares {
            self.text(depth)?;
        }
        self.expect("when")?;
        loop {
            if compares {
                self.text(depth)?
            } else {
                self.condition(depth)?
            };
            self.expect("then")?;
            self.text(depth)?;
            if !self.word("when") {
                break;
            }
        }
        if self.word("else") {
            self.text(depth)?;
        }
        self.expect("end")
    }

    /// What is behind `name(`.
    fn call(&mut self, called: &Token<'a>, depth: usize) -> Option<()> {
        let name = called.name()?;
        self.is_known(&name)?;
        if let Some((_, least, most)) = OF_TEXTS.iter().find(|(known, ..)| *known == name.as_str()) {
            if name.as_str() == "replace" && std::mem::replace(&mut self.multiplied, true) {
                return None;
            }
            let mut count = 1_usize;
            self.text(depth)?;
            while self.mark(Mark::Comma) {
                self.text(depth)?;
                count = count.saturating_add(1);
            }
            self.expect_mark(Mark::RightParen)?;
            return (*least..=*most).contains(&count).then_some(());
        }
        let (_, texts, least, most) = OF_PLACES.iter().find(|(known, ..)| *known == name.as_str())?;
        for _ in 0..*texts {
            self.text(depth)?;
            self.expect_mark(Mark::Comma)?;
        }
        self.place()?;
        let mut count = 1_usize;
        while self.mark(Mark::Comma) {
            self.place()?;
            count = count.saturating_add(1);
        }
        self.expect_mark(Mark::RightParen)?;
        (*least..=*most).contains(&count).then_some(())
    }

    /// Whether a name of a function is PostgreSQL's own, and nobody else's.
    fn is_known(&self, name: &Name) -> Option<()> {
        let syntax = matches!(name.as_str(), "coalesce" | "greatest" | "least" | "nullif" | "trim" | "substring");
        let mut meant = self.catalog.functions_named(None, name).peekable();
        let own = (syntax || meant.peek().is_some()) && meant.all(is_built_in);
        own.then_some(())
    }

    /// A whole number from 1 on.
    fn place(&mut self) -> Option<()> {
        let TokenKind::Number(written) = self.next()?.kind else { return None };
        let digits = written.len() <= 9 && written.bytes().all(|byte| byte.is_ascii_digit());
        (digits && !written.starts_with('0')).then_some(())
    }

    fn condition(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        loop {
            while self.word("not") {}
            self.comparison(depth)?;
            if !(self.word("and") || self.word("or")) {
                return Some(());
            }
        }
    }

    fn comparison(&mut self, depth: usize) -> Option<()> {
        let (before, multiplied) = (self.rest, self.multiplied);
        if let [paren, ..] = before
            && paren.is_mark(Mark::LeftParen)
        {
            self.next();
            if self.condition(depth).is_some() && self.mark(Mark::RightParen) {
                return Some(());
            }
            (self.rest, self.multiplied) = (before, multiplied);
        }
        if let [length, paren, ..] = before
            && length.is_any(&LENGTHS)
            && paren.is_mark(Mark::LeftParen)
        {
            self.is_known(&length.name()?)?;
            self.next();
            self.next();
            self.text(depth)?;
            self.expect_mark(Mark::RightParen)?;
            self.takes(compares).then_some(())?;
            return self.place();
        }
        self.text(depth)?;
        if self.takes(compares) {
            return self.text(depth);
        }
        if self.word("is") {
            self.word("not");
            return self.expect("null");
        }
        self.word("not");
        if self.word("in") {
            self.expect_mark(Mark::LeftParen)?;
            self.text(depth)?;
            while self.mark(Mark::Comma) {
                self.text(depth)?;
            }
            return self.expect_mark(Mark::RightParen);
        }
        (self.word("like") || self.word("ilike")).then_some(())?;
        let pattern = literal(self.next()?)?;
        let more = self.rest.first().is_some_and(|token| token.is_operator("||") || token.is("escape"));
        // a backslash at its end is an error where it comes so far
        (!more && !pattern.contains('\\')).then_some(())
    }
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < DEPTH_MAX).then(|| depth.saturating_add(1))
}

fn compares(token: &Token<'_>) -> bool {
    ["=", "<>", "!=", "<", ">", "<=", ">="].iter().any(|operator| token.is_operator(operator))
}

/// What a string is that has no type but `text`.
fn literal(token: &Token<'_>) -> Option<String> {
    let literal = token.literal()?;
    match literal.style {
        LiteralStyle::Plain | LiteralStyle::Escape | LiteralStyle::Unicode | LiteralStyle::Dollar => {}
        LiteralStyle::National | LiteralStyle::Bit | LiteralStyle::Hex => return None,
    }
    literal.value().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::catalog;
    use super::*;

    fn composes(language: &str, body: &str) -> bool {
        only_composes(language, body, &[Name::exact("a"), Name::exact("")], &catalog())
    }

    #[test]
    fn what_puts_texts_together_fails_for_none() {
        for body in [
            "SELECT $1",
            "select a || ' ' || $2;",
            "SELECT lower(trim(a)) || CASE WHEN $2 IS NULL THEN '' ELSE ', ' || upper($2) END",
            "SELECT CASE a WHEN 'x' THEN 'y' END",
            "SELECT CASE WHEN NOT ((a) = 'x' OR (length($2) > 3 AND a LIKE 'a%')) AND a NOT IN ('b', $2) THEN left(a, 3) END",
            "SELECT coalesce(nullif(a, ''), replace($2, '-', ' '))",
        ] {
            assert!(composes("sql", body), "{body}");
        }
        for body in [
            "BEGIN RETURN a; END",
            "BEGIN IF a IS NULL THEN RETURN $2; END IF; RETURN substr(a, 1, 3) || '...'; END;",
            "BEGIN IF a = 'x' THEN RETURN 'y'; ELSIF a LIKE 'x%' THEN RETURN 'z'; ELSE RETURN ''; END IF; END",
        ] {
            assert!(composes("plpgsql", body), "{body}");
        }
    }

    #[test]
    fn what_may_fail_for_some_texts_is_not_taken_for_that() {
        for body in [
            "SELECT (SELECT 'a' UNION ALL SELECT 'b' WHERE $1 LIKE 'x%')",
            "SELECT (SELECT unnest(string_to_array($1, 'x')))",
            "SELECT CASE WHEN $1 LIKE 'x\\' THEN 'a' END",
            "SELECT CASE WHEN $1 LIKE 'x' || '\\' THEN 'a' END",
            "SELECT CASE WHEN $1 LIKE $2 THEN 'a' END",
            "SELECT CASE WHEN $1 = 'x' THEN 1 / 0 END",
            "SELECT CASE WHEN $1 = 'x' THEN int4 'x' END",
            "SELECT CASE WHEN $1 = 'x' THEN repeat($1, 2000000000) END",
            "SELECT replace(replace($1, 'x', 'yyyyyyyyyy'), 'y', 'zzzzzzzzzz')",
            "SELECT $1 COLLATE \"C\"",
            "SELECT $3",
            "SELECT b",
            "SELECT lower()",
            "SELECT lower($1, $2)",
            "SELECT left($1, $2)",
            "SELECT substr($1, 0)",
            "SELECT substr($1, 1, -1)",
            "SELECT B'1'",
            "SELECT 1",
            "SELECT $1; SELECT 1",
            "SELECT",
            "",
        ] {
            assert!(!composes("sql", body), "{body}");
        }
        for body in [
            "BEGIN END",
            "BEGIN IF a LIKE 'x%' THEN RETURN 'x'; END IF; END",
            "BEGIN IF a LIKE 'x%' THEN RETURN 'x'; ELSIF a = 'y' THEN RETURN 'y'; END IF; END",
            "BEGIN CASE WHEN a LIKE 'x%' THEN RETURN 'x'; END CASE; RETURN 'y'; END",
            "BEGIN IF a LIKE 'x%' THEN SELECT 1; END IF; RETURN 'y'; END",
            "BEGIN IF a LIKE 'x%' THEN ROLLBACK; END IF; RETURN 'y'; END",
            "BEGIN IF a LIKE 'x%' THEN SHOW work_mem; END IF; RETURN 'y'; END",
            "DECLARE v int4; BEGIN IF a LIKE 'x%' THEN v := 'x'; END IF; RETURN 'y'; END",
            "DECLARE v text NOT NULL := 'a'; BEGIN v := nullif(a, 'x'); RETURN v; END",
            "DECLARE v char; BEGIN v := a; RETURN v; END",
            "BEGIN RETURN nothing; END",
            "BEGIN RETURN next; END",
            "BEGIN RETURN; END",
            "BEGIN RETURN a; EXCEPTION WHEN others THEN RETURN ''; END",
            "BEGIN a := a || a; RETURN a; END",
        ] {
            assert!(!composes("plpgsql", body), "{body}");
        }
        assert!(!composes("sql", &format!("SELECT {}a{}", "(".repeat(100), ")".repeat(100))));
        assert!(!composes("sql", &format!("SELECT a || '{}'", "x".repeat(1_000))));
    }
}
