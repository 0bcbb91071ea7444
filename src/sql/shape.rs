//! Texts that differ only in their literals are analysed once.
//!
//! Of a literal the trees keep nothing but its sort ([`Constant`](super::tree::Constant)), so statements that differ in
//! literals of one sort have one analysis. [`shape`] puts the same stand-in in the place of each literal of a sort, and it
//! is the text with the stand-ins that is analysed and remembered: whatever two texts of one shape are, there is only one
//! analysis for both. What is left to show, and tested, is that the stand-ins change nothing of the analysis.
//!
//! That is kept easy to see. Only literals are replaced whose ends no lexer can mistake and that stand where every grammar
//! takes them for values; only in a message of one statement whose strings nobody runs.

use std::ops::Range;

use super::lexer::{Lexer, LiteralStyle, Mark, Token, TokenKind, is_word_byte};
use super::tree::Wildcards;

/// Longer texts are left as they are, in bytes: far below any limit of the analysis, so that no stand-in brings a text
/// under one.
const SHAPED_BYTES_MAX: usize = 16 * 1024;

/// Commands of which no string is run as SQL or names anything.
const COMMANDS: &[&str] = &["select", "insert", "update", "delete", "with", "values", "merge", "table"];

/// Words behind which a value stands.
const BEFORE_VALUES: &[&str] =
    &["and", "between", "else", "ilike", "like", "limit", "not", "offset", "or", "then", "when", "where"];

/// A text with stand-ins for its literals. It is never longer than the text itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// What is to be analysed.
    pub text: String,
    /// Where the one statement in it stands in the text as it was written, in bytes, without semicolons.
    pub span: Range<usize>,
}

/// The shape of a message's text; `None`: it is analysed as it is, for there is nothing to replace or it had better be
/// left alone.
pub fn shape(text: &str) -> Option<Shape> {
    if text.len() > SHAPED_BYTES_MAX || text.as_bytes().contains(&0) {
        return None;
    }
    let mut shaped = String::new();
    let mut copied = 0;
    let mut span: Option<Range<usize>> = None;
    let mut ended = false;
    let mut before: Option<Token<'_>> = None;
    for token in Lexer::new(text) {
        let token = token.ok()?;
        match &mut span {
            None if token.is_any(COMMANDS) => span = Some(token.start..token.end),
            None => return None,
            Some(_) if token.is_mark(Mark::Semicolon) => ended = true,
            // of their paths more is kept than of other strings
            Some(_) if ended || token.is_any(&["xmltable", "json_table"]) => return None,
            Some(span) => span.end = token.end,
        }
        if let Some(stand_in) = before.and_then(|before| stand_in(text, &before, &token)) {
            if copied == 0 {
                shaped.reserve(text.len());
            }
            shaped.push_str(text.get(copied..token.start)?);
            shaped.push_str(stand_in);
            copied = token.end;
        }
        before = Some(token);
    }
    if copied == 0 {
        return None;
    }
    shaped.push_str(text.get(copied..)?);
    Some(Shape { text: shaped, span: span? })
}

/// What a literal is replaced by: one of the same sort; `None`: it stays.
fn stand_in(text: &str, before: &Token<'_>, token: &Token<'_>) -> Option<&'static str> {
    let is_value = match before.kind {
        TokenKind::Operator(_) | TokenKind::Mark(Mark::LeftParen | Mark::Comma) => true,
        TokenKind::Word(_) => before.is_any(BEFORE_VALUES),
        TokenKind::Quoted(_)
        | TokenKind::Text(_)
        | TokenKind::Number(_)
        | TokenKind::Parameter(_)
        | TokenKind::Mark(_) => false,
    };
    match token.kind {
        TokenKind::Text(literal) if is_value && literal.style == LiteralStyle::Plain => {
            let written = text.get(token.start..token.end)?;
            let inside = written.strip_prefix('\'')?.strip_suffix('\'')?;
            if inside.is_empty() || inside.contains(['\'', '\\']) {
                return None;
            }
            // of the same size, as the trees keep it
            Some(match (Wildcards::of(inside), inside.len()) {
                (Wildcards::Dangling | Wildcards::Path, _) | (_, 255..) => return None,
                (Wildcards::None, ..=1) => "'a'",
                (Wildcards::None, ..=4) => "'ab'",
                (Wildcards::None, _) => "'abcde'",
                (Wildcards::Modest, _) => "'1'",
                (Wildcards::Separator, _) => "'@'",
                (Wildcards::Trailing, _) => "'x%'",
                (Wildcards::Anywhere, ..=1) => "'%'",
                (Wildcards::Anywhere, _) => "'%%'",
                (Wildcards::Format, _) => "'%*'",
            })
        }
        TokenKind::Number(digits) if is_value => {
            let behind = text.as_bytes().get(token.end).copied().unwrap_or(b' ');
            if is_word_byte(behind) || behind == b'.' || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            match digits.parse::<u64>().ok()? {
                // no tree keeps the value of such a number
                65_536.. => Some("65536"),
                // the trees keep it because it may be a position, but not here
                _ if is_no_position(before) => Some("1"),
                _ => None,
            }
        }
        TokenKind::Text(_)
        | TokenKind::Number(_)
        | TokenKind::Word(_)
        | TokenKind::Quoted(_)
        | TokenKind::Parameter(_)
        | TokenKind::Operator(_)
        | TokenKind::Mark(_) => None,
    }
}

/// Whether a number behind this token can not be all of an expression in ORDER BY or GROUP BY: it is an operand of a
/// comparison (none of which has only one operand), or counts rows.
fn is_no_position(before: &Token<'_>) -> bool {
    match before.kind {
        TokenKind::Operator(operator) => matches!(operator, "=" | "<>" | "!=" | "<" | ">" | "<=" | ">="),
        TokenKind::Word(_) => before.is_any(&["limit", "offset"]),
        TokenKind::Quoted(_)
        | TokenKind::Text(_)
        | TokenKind::Number(_)
        | TokenKind::Parameter(_)
        | TokenKind::Mark(_) => false,
    }
}

#[cfg(test)]
mod tests;
