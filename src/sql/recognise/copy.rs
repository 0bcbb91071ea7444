//! COPY and its options, as `gram.y` and `ProcessCopyOptions` of PostgreSQL read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cursor::Cursor;
use super::{InnerQuery, Recognised};
use crate::catalog::Name;
use crate::sql::copy::{CopyLayout, CopyOptions, CopyStatement, ForcedColumns};
use crate::sql::lexer::{Mark, Token, TokenKind};
use crate::sql::statement::{Detail, StatementKind};

/// `COPY (query) TO ...`, `COPY [BINARY] table [(columns)] FROM|TO ...`.
pub(super) fn copy(mut cursor: Cursor<'_, '_>) -> Recognised {
    let mut inner = InnerQuery::None;
    let mut binary = false;
    let (mut table, mut columns, mut query) = (None, Vec::new(), None);
    if cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen)) {
        let start = cursor.at().saturating_add(1);
        let tokens = cursor.parenthesised();
        inner = InnerQuery::Tokens(start..start.saturating_add(tokens.len()));
        query = tokens.first().zip(tokens.last()).map(|(first, last)| first.start..last.end);
    } else {
        if cursor.peek_at(1).is_some_and(|token| token.name().is_some() && !token.is_any(&["from", "to"])) {
            binary = cursor.eat("binary");
        }
        table = cursor.object_name();
        if cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen)) {
            columns = cursor.parenthesised().iter().filter_map(Token::name).collect();
        }
    }
    let inward = cursor.eat("from");
    if !inward {
        cursor.eat("to");
    }
    let server_side = !cursor.peek().is_some_and(|token| token.is_any(&["stdin", "stdout"]));
    let (mut layout, mut filter) = (None, None);
    if !server_side {
        cursor.next();
        layout = options(&mut cursor, binary);
    }
    if layout.is_some() && cursor.eat("where") {
        filter = cursor.rest().first().zip(cursor.rest().last()).map(|(first, last)| first.start..last.end);
    }
    let detail = CopyStatement { table, columns, query, inward, server_side, options: layout, filter };
    Recognised { kind: StatementKind::Copy, query: inner, detail: Detail::Copy(Arc::new(detail)) }
}

/// Options that are being read.
#[derive(Default)]
struct Reading {
    options: CopyOptions,
    seen: BTreeSet<&'static str>,
}

/// What is behind STDIN or STDOUT; `None`: not known, or certain to be refused by the server.
fn options(cursor: &mut Cursor<'_, '_>, binary: bool) -> Option<CopyOptions> {
    let mut reading = Reading::default();
    if binary {
        reading.format("binary")?;
    }
    if cursor.peek().is_some_and(|token| token.is_any(&["using", "delimiters"])) {
        cursor.eat("using");
        cursor.eat("delimiters").then_some(())?;
        reading.delimiter(&text(cursor.next()?)?)?;
    }
    cursor.eat("with");
    if cursor.peek().is_some_and(|token| token.is_mark(Mark::LeftParen)) {
        for option in listed(cursor.parenthesised()) {
            reading.generic(option)?;
        }
    } else {
        while cursor.peek().is_some_and(|token| !token.is("where")) {
            reading.old(cursor)?;
        }
    }
    // The condition is for rows that come in.
    cursor.peek().is_none_or(|token| token.is("where")).then_some(reading.options)
}

/// The parts between the commas that are in no further parentheses.
fn listed<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            match token.kind {
                TokenKind::Mark(Mark::LeftParen) => depth = depth.saturating_add(1),
                TokenKind::Mark(Mark::RightParen) => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.is_mark(Mark::Comma)
        })
        .collect()
}

/// A string constant.
fn text(token: &Token<'_>) -> Option<String> {
    match token.kind {
        TokenKind::Text(literal) => literal.value().ok().map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

/// A string constant, or a word that stands for one.
fn word(token: &Token<'_>) -> Option<String> {
    text(token).or_else(|| token.name().map(|name| name.as_str().to_owned()))
}

/// The one character of ASCII that a string is.
fn one(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Some(*byte),
        _ => None,
    }
}

/// `true`, `on`, `1` and nothing at all; `defGetBoolean`.
fn truth(value: &[Token<'_>]) -> Option<bool> {
    match value {
        [] => Some(true),
        [token] => match token.kind {
            TokenKind::Number("1") => Some(true),
            TokenKind::Number("0") => Some(false),
            _ => match word(token)?.to_ascii_lowercase().as_str() {
                "true" | "on" => Some(true),
                "false" | "off" => Some(false),
                _ => None,
            },
        },
        _ => None,
    }
}

/// `*` or `(a, b)`; without parentheses too, as the old spelling has it.
fn columns(value: &[Token<'_>]) -> Option<ForcedColumns> {
    let names = match value {
        [star] if star.is_operator("*") => return Some(ForcedColumns::All),
        [open, names @ .., close] if open.is_mark(Mark::LeftParen) && close.is_mark(Mark::RightParen) => names,
        names => names,
    };
    let names: Option<Vec<Name>> = names
        .split(|token| token.is_mark(Mark::Comma))
        .map(|name| match name {
            [name] => word(name).map(|name| Name::exact(&name)),
            _ => None,
        })
        .collect();
    names.map(ForcedColumns::Named)
}

impl Reading {
    /// An option that is said twice is an error to the server.
    fn once(&mut self, option: &'static str) -> Option<()> {
        self.seen.insert(option).then_some(())
    }

    fn format(&mut self, format: &str) -> Option<()> {
        self.once("format")?;
        self.options.format = match format {
            "text" => CopyLayout::Text,
            "csv" => CopyLayout::Csv,
            "binary" => CopyLayout::Binary,
            _ => return None,
        };
        Some(())
    }

    fn delimiter(&mut self, value: &str) -> Option<()> {
        self.once("delimiter")?;
        self.options.delimiter = Some(one(value)?);
        Some(())
    }

    fn null(&mut self, value: &str) -> Option<()> {
        self.once("null")?;
        self.options.null = Some(value.into());
        Some(())
    }

    fn quote(&mut self, value: &str) -> Option<()> {
        self.once("quote")?;
        self.options.quote = Some(one(value)?);
        Some(())
    }

    fn escape(&mut self, value: &str) -> Option<()> {
        self.once("escape")?;
        self.options.escape = Some(one(value)?);
        Some(())
    }

    fn encoding(&mut self, value: &str) -> Option<()> {
        self.once("encoding")?;
        // As `clean_encoding_name` does: only letters and digits count.
        let clean: String =
            value.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect();
        self.options.encoding = Some(clean.into());
        Some(())
    }

    /// `name [value]` of a list in parentheses.
    fn generic(&mut self, option: &[Token<'_>]) -> Option<()> {
        let (name, value) = option.split_first()?;
        let name = name.name()?;
        let only = || match value {
            [only] => word(only),
            _ => None,
        };
        match name.as_str() {
            "format" => self.format(&only()?),
            "delimiter" => self.delimiter(&only()?),
            "null" => self.null(&only()?),
            "quote" => self.quote(&only()?),
            "escape" => self.escape(&only()?),
            "encoding" => self.encoding(&only()?),
            "default" => {
                self.once("default")?;
                self.options.default = Some(only()?.into());
                Some(())
            }
            "header" => {
                self.once("header")?;
                // `match` is for COPY FROM; the server refuses it for COPY TO.
                let matches = only().is_some_and(|value| value.eq_ignore_ascii_case("match"));
                self.options.header = matches || truth(value)?;
                Some(())
            }
            "force_quote" => {
                self.once("force_quote")?;
                self.options.force_quote = columns(value)?;
                Some(())
            }
            "force_null" => {
                self.once("force_null")?;
                self.options.force_null = columns(value)?;
                Some(())
            }
            "force_not_null" => {
                self.once("force_not_null")?;
                self.options.force_not_null = columns(value)?;
                Some(())
            }
            // They change nothing of the layout.
            "freeze" => self.once("freeze"),
            "on_error" => self.once("on_error"),
            "reject_limit" => self.once("reject_limit"),
            "log_verbosity" => self.once("log_verbosity"),
            _ => None,
        }
    }

    /// One option of the spelling before PostgreSQL 9.0.
    fn old(&mut self, cursor: &mut Cursor<'_, '_>) -> Option<()> {
        let string = |cursor: &mut Cursor<'_, '_>| {
            cursor.eat("as");
            text(cursor.next()?)
        };
        match cursor.keyword()?.as_str() {
            "binary" => self.format("binary"),
            "csv" => self.format("csv"),
            "freeze" => self.once("freeze"),
            "header" => {
                self.options.header = true;
                self.once("header")
            }
            "delimiter" => self.delimiter(&string(cursor)?),
            "null" => self.null(&string(cursor)?),
            "quote" => self.quote(&string(cursor)?),
            "escape" => self.escape(&string(cursor)?),
            "encoding" => self.encoding(&text(cursor.next()?)?),
            "force" => {
                let option = match cursor.keyword()?.as_str() {
                    "quote" => "force_quote",
                    "null" => "force_null",
                    "not" => {
                        cursor.eat("null").then_some(())?;
                        "force_not_null"
                    }
                    _ => return None,
                };
                self.once(option)?;
                let named = forced(cursor)?;
                match option {
                    "force_quote" => self.options.force_quote = named,
                    "force_null" => self.options.force_null = named,
                    _ => self.options.force_not_null = named,
                }
                Some(())
            }
            _ => None,
        }
    }
}

/// `*` or `a, b` of the old spelling: what is behind a comma is a name, whatever it is.
fn forced(cursor: &mut Cursor<'_, '_>) -> Option<ForcedColumns> {
    if cursor.peek().is_some_and(|token| token.is_operator("*")) {
        cursor.next();
        return Some(ForcedColumns::All);
    }
    let mut names = vec![cursor.name()?];
    while cursor.eat_mark(Mark::Comma) {
        names.push(cursor.name()?);
    }
    Some(ForcedColumns::Named(names))
}

#[cfg(test)]
mod tests {
    use super::super::recognise;
    use super::*;
    use crate::sql::lexer::Lexer;

    fn copied(text: &str) -> Arc<CopyStatement> {
        match recognise(&Lexer::tokens(text, 10_000).unwrap()).detail {
            Detail::Copy(copy) => copy,
            other => panic!("not a COPY: {text}: {other:?}"),
        }
    }

    /// Options as a line of their own, `?` where they are not known.
    fn options(text: &str) -> String {
        let copy = copied(text);
        let Some(options) = &copy.options else { return "?".into() };
        let byte = |byte: Option<u8>| byte.map_or(String::new(), |byte| char::from(byte).to_string());
        let forced = |forced: &ForcedColumns| match forced {
            ForcedColumns::None => String::new(),
            ForcedColumns::All => "*".into(),
            ForcedColumns::Named(names) => names.iter().map(Name::as_str).collect::<Vec<_>>().join(","),
        };
        let parts = [
            format!("{:?}", options.format).to_lowercase(),
            byte(options.delimiter),
            options.null.as_deref().map_or(String::new(), |null| format!("<{null}>")),
            if options.header { "header".into() } else { String::new() },
            byte(options.quote),
            byte(options.escape),
            forced(&options.force_quote),
            options.encoding.as_deref().unwrap_or_default().to_owned(),
        ];
        parts.join("/").trim_end_matches('/').to_owned()
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        for (behind, expected) in [
            ("", "text"),
            ("(FORMAT csv, HEADER, DELIMITER ';', QUOTE '~', FORCE_QUOTE *)", "csv/;//header/~//*"),
            ("WITH (FORMAT text, NULL '', DELIMITER E'\\t')", "text/\t/<>"),
            ("(format \"csv\", header off, force_quote (a, \"B\"), escape '''')", "csv/////'/a,B"),
            ("(FORMAT CSV, HEADER 1, ENCODING 'UTF-8')", "csv///header////utf8"),
            ("(FORMAT 'binary')", "binary"),
            ("(HEADER match)", "text///header"),
            ("WITH BINARY", "binary"),
            ("BINARY", "binary"),
            (
                "WITH CSV HEADER DELIMITER AS ';' NULL AS 'x' QUOTE '|' ESCAPE '!' FORCE QUOTE a, b",
                "csv/;/<x>/header/|/!/a,b",
            ),
            ("CSV FORCE QUOTE * ENCODING 'latin1'", "csv//////*/latin1"),
            ("WITH DELIMITER 'X' NULL 'Y'", "text/X/<Y>"),
            // What the server refuses, or what a later one may take.
            ("(FORMAT json)", "?"),
            ("(FORMAT 'CSV')", "?"),
            ("(FORMAT csv, FORMAT csv)", "?"),
            ("(DELIMITER 'ab')", "?"),
            ("(DELIMITER 'é')", "?"),
            ("(HEADER maybe)", "?"),
            ("(COMPRESSION zstd)", "?"),
            ("CSV, HEADER", "?"),
            ("CSV LATER", "?"),
            ("(FORMAT csv) HEADER", "?"),
            ("(FORMAT)", "?"),
        ] {
            assert_eq!(options(&format!("COPY t TO STDOUT {behind}")), expected, "{behind}");
            assert_eq!(options(&format!("COPY (SELECT 1) TO STDOUT {behind}")), expected, "{behind}");
        }
        for (text, expected) in [
            ("COPY BINARY t TO STDOUT", "binary"),
            ("COPY t TO STDOUT USING DELIMITERS '|' WITH NULL AS ''", "text/|/<>"),
            ("COPY t TO STDIN DELIMITERS '|'", "text/|"),
            ("COPY t FROM STDIN (FORMAT csv) WHERE a = 1", "csv"),
            ("COPY t FROM STDIN CSV HEADER WHERE a = 1", "csv///header"),
        ] {
            assert_eq!(options(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_copied_is_a_query() {
        for (text, query) in [
            ("COPY t TO STDOUT", "SELECT * FROM ONLY \"t\""),
            ("COPY S.t (a, \"B\"\"\") TO STDOUT", "SELECT \"a\", \"B\"\"\" FROM ONLY \"s\".\"t\""),
            ("COPY (SELECT 1) TO STDOUT", "      SELECT 1"),
            ("/* ä */ COPY ( SELECT 1 ) TO STDOUT", "               SELECT 1"),
        ] {
            assert_eq!(copied(text).as_query(text).as_deref(), Some(query), "{text}");
        }
    }

    #[test]
    fn strings_of_the_statement_are_not_printed() {
        assert!(!format!("{:?}", copied("COPY t TO STDOUT (NULL 'canary')")).contains("canary"));
    }
}
