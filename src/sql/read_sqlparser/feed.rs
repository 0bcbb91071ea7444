//! PostgreSQL's tokens as sqlparser's.
//!
//! Some of PostgreSQL's syntax that sqlparser misreads or does not know, and that says nothing about where values come
//! from, is rewritten here, token by token.

use std::collections::BTreeSet;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token as SqlToken, TokenWithSpan, Word};

use super::Result;
use crate::sql::NotUnderstood;
use crate::sql::lexer::{KeywordClass, LiteralStyle, Mark, Token, TokenKind, keyword_class};

/// What sqlparser gets, and what to check afterwards.
pub(super) struct Feed {
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Where the names begin that `ONLY` was taken away from.
    pub(super) only: BTreeSet<usize>,
    /// Where the identifiers begin that have to be found in the syntax tree: all that are no key words.
    pub(super) identifiers: Vec<usize>,
}

/// Built-in types that are no key words in PostgreSQL and that sqlparser knows by theirs.
const TYPES: &[&str] = &[
    "bool",
    "bytea",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "jsonb",
    "regclass",
    "timestamptz",
    "timetz",
    "tsquery",
    "tsvector",
    "uuid",
    "varbit",
];

pub(super) fn feed(source: &[Token<'_>]) -> Result<Feed> {
    let mut feed = Feed { tokens: Vec::with_capacity(source.len()), only: BTreeSet::new(), identifiers: Vec::new() };
    let mut at = 0_usize;
    // the closing parentheses of `ONLY (t)`
    let mut dropped: BTreeSet<usize> = BTreeSet::new();
    while let Some(token) = source.get(at) {
        let before = at.checked_sub(1).and_then(|index| source.get(index));
        let rest = source.get(at..).unwrap_or_default();
        if dropped.contains(&at) {
            at = at.saturating_add(1);
            continue;
        }
        at = at.saturating_add(match token.kind {
            TokenKind::Word(_) => match feed.rewritten(before, rest)? {
                Rewritten::Kept => {
                    feed.push(token)?;
                    1
                }
                Rewritten::Passed(count) => count,
                Rewritten::Only { name, close } => {
                    let start = rest.get(name).map_or(0, |token| token.start);
                    feed.only.insert(start);
                    if let Some(close) = close {
                        dropped.insert(at.saturating_add(close));
                    }
                    name
                }
            },
            _ => {
                feed.push(token)?;
                1
            }
        });
    }
    Ok(feed)
}

enum Rewritten {
    /// The word means what it says.
    Kept,
    /// So many tokens were dealt with.
    Passed(usize),
    /// `ONLY name`, `ONLY (name)`: how far ahead the name and the closing parenthesis are.
    Only { name: usize, close: Option<usize> },
}

impl Feed {
    fn rewritten(&mut self, before: Option<&Token<'_>>, rest: &[Token<'_>]) -> Result<Rewritten> {
        let [word, ahead @ ..] = rest else { return Ok(Rewritten::Kept) };
        // behind these a word is a label or a part of a name
        if before.is_some_and(|token| token.is("as") || token.is_mark(Mark::Dot)) {
            return Ok(Rewritten::Kept);
        }
        let follows = |keywords: &[&str]| {
            ahead.len() >= keywords.len() && keywords.iter().zip(ahead).all(|(keyword, token)| token.is(keyword))
        };
        if word.is("only") && before.is_some_and(may_precede_only) {
            return only(ahead);
        }
        if word.is("table") && before.is_none_or(may_precede_table) && ahead.first().is_some_and(begins_relation) {
            // TABLE t is SELECT * FROM t
            self.keyword("select", word);
            self.sql(SqlToken::Mul, word);
            self.keyword("from", word);
            return Ok(Rewritten::Passed(1));
        }
        if word.is("for") && follows(&["no", "key", "update"]) {
            self.push(word)?;
            return Ok(Rewritten::Passed(3));
        }
        if word.is("for") && follows(&["key", "share"]) {
            self.push(word)?;
            return Ok(Rewritten::Passed(2));
        }
        if word.is("between") && (follows(&["symmetric"]) || follows(&["asymmetric"])) {
            self.push(word)?;
            return Ok(Rewritten::Passed(2));
        }
        if word.is("overriding") && (follows(&["system", "value"]) || follows(&["user", "value"])) {
            return Ok(Rewritten::Passed(3));
        }
        // sqlparser keeps the schema of an operator as text
        if word.is("operator")
            && let [open, schema, dot, ..] = ahead
            && open.is_mark(Mark::LeftParen)
            && schema.is("pg_catalog")
            && dot.is_mark(Mark::Dot)
        {
            self.push(word)?;
            self.push(open)?;
            self.keyword("pg_catalog", schema);
            return Ok(Rewritten::Passed(3));
        }
        if word.is("variadic")
            && before.is_some_and(|token| token.is_mark(Mark::LeftParen) || token.is_mark(Mark::Comma))
        {
            return Ok(Rewritten::Passed(1));
        }
        if word.is_any(&["isnull", "notnull"]) && before.is_some_and(ends_operand) {
            self.keyword("is", word);
            if word.is("notnull") {
                self.keyword("not", word);
            }
            self.keyword("null", word);
            return Ok(Rewritten::Passed(1));
        }
        Ok(Rewritten::Kept)
    }

    fn keyword(&mut self, keyword: &str, at: &Token<'_>) {
        self.sql(SqlToken::make_word(keyword, None), at);
    }

    fn sql(&mut self, token: SqlToken, at: &Token<'_>) {
        self.tokens.push(TokenWithSpan { token, span: Span::new(location(at.start), location(at.end)) });
    }

    fn push(&mut self, token: &Token<'_>) -> Result<()> {
        let fed = match token.kind {
            TokenKind::Word(word) => {
                let mut value = word.to_owned();
                value.make_ascii_lowercase();
                if keyword_class(&value).is_some() || TYPES.binary_search(&value.as_str()).is_ok() {
                    SqlToken::make_word(&value, None)
                } else {
                    self.identifiers.push(token.start);
                    SqlToken::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword })
                }
            }
            TokenKind::Quoted(quoted) => {
                self.identifiers.push(token.start);
                let value = quoted.value()?.into_owned();
                SqlToken::Word(Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword })
            }
            TokenKind::Text(literal) => {
                let value = literal.value()?.into_owned();
                match literal.style {
                    LiteralStyle::Plain | LiteralStyle::Escape | LiteralStyle::Unicode | LiteralStyle::Dollar => {
                        SqlToken::SingleQuotedString(value)
                    }
                    LiteralStyle::National => SqlToken::NationalStringLiteral(value),
                    LiteralStyle::Bit => SqlToken::SingleQuotedByteStringLiteral(value),
                    LiteralStyle::Hex => SqlToken::HexStringLiteral(value),
                }
            }
            TokenKind::Number(number) => SqlToken::Number(number.to_owned(), false),
            TokenKind::Parameter(number) => SqlToken::Placeholder(format!("${number}")),
            TokenKind::Operator(operator) => operator_token(operator),
            TokenKind::Mark(mark) => match mark {
                Mark::LeftParen => SqlToken::LParen,
                Mark::RightParen => SqlToken::RParen,
                Mark::LeftBracket => SqlToken::LBracket,
                Mark::RightBracket => SqlToken::RBracket,
                Mark::Comma => SqlToken::Comma,
                Mark::Dot => SqlToken::Period,
                Mark::Colon => SqlToken::Colon,
                Mark::DoubleColon => SqlToken::DoubleColon,
                // the old sign for a named argument
                Mark::ColonEquals => SqlToken::RArrow,
                Mark::Semicolon | Mark::DoubleDot => return Err(NotUnderstood::Syntax),
            },
        };
        self.sql(fed, token);
        Ok(())
    }
}

fn location(at: usize) -> Location {
    Location { line: 1, column: u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1) }
}

/// What stands before a relation in a FROM list or as a target.
fn may_precede_only(token: &Token<'_>) -> bool {
    token.is_any(&["from", "join", "update", "using", "into", "table"])
        || token.is_mark(Mark::Comma)
        || token.is_mark(Mark::LeftParen)
}

/// `TABLE t` as a query does not stand behind these: there it belongs to `INTO`.
fn may_precede_table(token: &Token<'_>) -> bool {
    !token.is_any(&["into", "temp", "temporary", "unlogged", "local", "global"])
}

/// Whether a relation's name, or `ONLY`, begins here.
fn begins_relation(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Word(word) => {
            token.is("only")
                || !matches!(
                    keyword_class(&word.to_ascii_lowercase()),
                    Some(KeywordClass::Reserved | KeywordClass::TypeFunctionName)
                )
        }
        TokenKind::Quoted(_) => true,
        _ => false,
    }
}

/// Whether an expression may end here, so that a postfix operator can follow.
fn ends_operand(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Word(word) => match keyword_class(&word.to_ascii_lowercase()) {
            Some(KeywordClass::Reserved) => token.is_any(&["end", "null", "true", "false"]),
            Some(KeywordClass::TypeFunctionName) => false,
            Some(KeywordClass::Unreserved | KeywordClass::ColumnName) | None => true,
        },
        TokenKind::Quoted(_) | TokenKind::Text(_) | TokenKind::Number(_) | TokenKind::Parameter(_) => true,
        TokenKind::Operator(_) => false,
        TokenKind::Mark(mark) => matches!(mark, Mark::RightParen | Mark::RightBracket),
    }
}

/// The tokens behind `ONLY`: a name, or a name in parentheses.
fn only(ahead: &[Token<'_>]) -> Result<Rewritten> {
    let [first, after @ ..] = ahead else { return Err(NotUnderstood::Syntax) };
    if !first.is_mark(Mark::LeftParen) {
        return if begins_relation(first) { Ok(Rewritten::Only { name: 1, close: None }) } else { Ok(Rewritten::Kept) };
    }
    let inside = after.iter().take_while(|token| !token.is_mark(Mark::RightParen));
    let mut length = 0_usize;
    for token in inside {
        if token.name().is_none() && !token.is_mark(Mark::Dot) {
            return Err(NotUnderstood::Syntax);
        }
        length = length.saturating_add(1);
    }
    if length == 0 || length == after.len() {
        return Err(NotUnderstood::Syntax);
    }
    Ok(Rewritten::Only { name: 2, close: Some(length.saturating_add(2)) })
}

/// Operators that sqlparser has tokens for; all others are custom ones.
fn operator_token(operator: &str) -> SqlToken {
    match operator {
        "+" => SqlToken::Plus,
        "-" => SqlToken::Minus,
        "*" => SqlToken::Mul,
        "/" => SqlToken::Div,
        "%" => SqlToken::Mod,
        "^" => SqlToken::Caret,
        "=" => SqlToken::Eq,
        "<>" | "!=" => SqlToken::Neq,
        "<" => SqlToken::Lt,
        ">" => SqlToken::Gt,
        "<=" => SqlToken::LtEq,
        ">=" => SqlToken::GtEq,
        "=>" => SqlToken::RArrow,
        "||" => SqlToken::StringConcat,
        "&" => SqlToken::Ampersand,
        "|" => SqlToken::Pipe,
        "#" => SqlToken::Sharp,
        "##" => SqlToken::DoubleSharp,
        "~" => SqlToken::Tilde,
        "~*" => SqlToken::TildeAsterisk,
        "!~" => SqlToken::ExclamationMarkTilde,
        "!~*" => SqlToken::ExclamationMarkTildeAsterisk,
        "~~" => SqlToken::DoubleTilde,
        "~~*" => SqlToken::DoubleTildeAsterisk,
        "!~~" => SqlToken::ExclamationMarkDoubleTilde,
        "!~~*" => SqlToken::ExclamationMarkDoubleTildeAsterisk,
        "<<" => SqlToken::ShiftLeft,
        ">>" => SqlToken::ShiftRight,
        "&&" => SqlToken::Overlap,
        "@" => SqlToken::AtSign,
        "^@" => SqlToken::CaretAt,
        "|/" => SqlToken::PGSquareRoot,
        "||/" => SqlToken::PGCubeRoot,
        "->" => SqlToken::Arrow,
        "->>" => SqlToken::LongArrow,
        "#>" => SqlToken::HashArrow,
        "#>>" => SqlToken::HashLongArrow,
        "@-@" => SqlToken::AtDashAt,
        "?-" => SqlToken::QuestionMarkDash,
        "&<" => SqlToken::AmpersandLeftAngleBracket,
        "&>" => SqlToken::AmpersandRightAngleBracket,
        "&<|" => SqlToken::AmpersandLeftAngleBracketVerticalBar,
        "|&>" => SqlToken::VerticalBarAmpersandRightAngleBracket,
        "<->" => SqlToken::TwoWayArrow,
        "<^" => SqlToken::LeftAngleBracketCaret,
        ">^" => SqlToken::RightAngleBracketCaret,
        "?#" => SqlToken::QuestionMarkSharp,
        "?-|" => SqlToken::QuestionMarkDashVerticalBar,
        "?||" => SqlToken::QuestionMarkDoubleVerticalBar,
        "~=" => SqlToken::TildeEqual,
        "<<|" => SqlToken::ShiftLeftVerticalBar,
        "|>>" => SqlToken::VerticalBarShiftRight,
        "@>" => SqlToken::AtArrow,
        "<@" => SqlToken::ArrowAt,
        "#-" => SqlToken::HashMinus,
        "@?" => SqlToken::AtQuestion,
        "@@" => SqlToken::AtAt,
        "?" => SqlToken::Question,
        "?&" => SqlToken::QuestionAnd,
        "?|" => SqlToken::QuestionPipe,
        other => SqlToken::CustomBinaryOperator(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_words_are_sorted() {
        assert!(TYPES.is_sorted());
    }
}
