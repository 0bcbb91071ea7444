//! The values of quoted strings and identifiers (manual, sections 4.1.1 and 4.1.2).

use std::borrow::Cow;
use std::fmt;

use crate::sql::NotUnderstood;

/// A string constant. Its `Debug` output does not show it.
#[derive(Clone, Copy)]
pub struct Literal<'a> {
    /// How it is quoted.
    pub style: LiteralStyle,
    /// All of it as written, from the prefix to the last quote, without `UESCAPE`.
    pub(super) written: &'a str,
    /// The escape character of [`LiteralStyle::Unicode`].
    pub(super) escape: char,
}

/// `N'...'` is this key word and a string (`xnstart` in `scan.l`): behind a dot it may name a type of a schema's own.
pub(crate) const NATIONAL: &str = "nchar";

/// How a string constant is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralStyle {
    /// `'...'`
    Plain,
    /// `E'...'`
    Escape,
    /// `U&'...'`
    Unicode,
    /// `N'...'`: of type `bpchar`.
    National,
    /// `B'...'`
    Bit,
    /// `X'...'`: a bit string too.
    Hex,
    /// `$tag$...$tag$`
    Dollar,
}

/// An identifier in double quotes.
#[derive(Clone, Copy)]
pub struct QuotedIdentifier<'a> {
    /// All of it as written, from the prefix to the last quote, without `UESCAPE`.
    pub(super) written: &'a str,
    /// The escape character, for `U&"..."`.
    pub(super) escape: Option<char>,
}

impl fmt::Debug for Literal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Literal({:?})", self.style)
    }
}

impl fmt::Debug for QuotedIdentifier<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.written)
    }
}

impl<'a> Literal<'a> {
    /// What the string holds, unescaped; borrowed where nothing had to be changed.
    ///
    /// # Errors
    /// [`NotUnderstood::Lexical`] for escapes that PostgreSQL rejects, [`NotUnderstood::Encoding`] where byte escapes do
    /// not make up UTF-8.
    pub fn value(&self) -> Result<Cow<'a, str>, NotUnderstood> {
        let prefix = match self.style {
            LiteralStyle::Plain => 1,
            LiteralStyle::Escape | LiteralStyle::National | LiteralStyle::Bit | LiteralStyle::Hex => 2,
            LiteralStyle::Unicode => 3,
            LiteralStyle::Dollar => {
                let tag = dollar_tag(self.written).ok_or(NotUnderstood::Lexical)?;
                let inside = self.written.get(tag.len()..self.written.len().saturating_sub(tag.len()));
                return inside.map(Cow::Borrowed).ok_or(NotUnderstood::Lexical);
            }
        };
        let escapes = self.style == LiteralStyle::Escape;
        let inside = self.written.get(prefix..self.written.len().saturating_sub(1)).ok_or(NotUnderstood::Lexical)?;
        let joined = match inside.bytes().any(|byte| byte == b'\'' || (escapes && byte == b'\\')) {
            false => Cow::Borrowed(inside),
            true => Cow::Owned(unquoted(self.written.as_bytes().get(prefix..).unwrap_or_default(), escapes)?),
        };
        if self.style == LiteralStyle::Unicode { unicode_unescaped(joined, self.escape) } else { Ok(joined) }
    }
}

impl<'a> QuotedIdentifier<'a> {
    /// The identifier without its quotes and escapes, not truncated.
    ///
    /// # Errors
    /// [`NotUnderstood::Lexical`] for escapes that PostgreSQL rejects.
    pub fn value(&self) -> Result<Cow<'a, str>, NotUnderstood> {
        let prefix = if self.escape.is_some() { 3 } else { 1 };
        let inside = self.written.get(prefix..self.written.len().saturating_sub(1)).ok_or(NotUnderstood::Lexical)?;
        let joined =
            if inside.contains('"') { Cow::Owned(inside.replace("\"\"", "\"")) } else { Cow::Borrowed(inside) };
        match self.escape {
            Some(escape) => unicode_unescaped(joined, escape),
            None => Ok(joined),
        }
    }
}

/// The place of the end of a `--` comment: of its line feed or carriage return.
pub(super) fn end_of_line(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at.saturating_add(rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len()))
}

/// The place behind the last quote of a string whose first character is at `at`, continued lines included.
pub(super) fn end_of_string(bytes: &[u8], mut at: usize, escapes: bool) -> Option<usize> {
    loop {
        let rest = bytes.get(at..)?;
        let stop = rest.iter().position(|&byte| byte == b'\'' || (escapes && byte == b'\\'))?;
        at = at.checked_add(stop)?;
        if bytes.get(at) == Some(&b'\\') || bytes.get(at.checked_add(1)?) == Some(&b'\'') {
            at = at.checked_add(2)?;
            continue;
        }
        at = at.checked_add(1)?;
        match continued(bytes, at) {
            Some(next) => at = next,
            None => return Some(at),
        }
    }
}

/// A string goes on behind white space that holds a line end, and comments to the end of a line. `at` is behind a
/// closing quote; the answer is the place behind the next opening one.
fn continued(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut line_ended = false;
    loop {
        match bytes.get(at)? {
            b'\n' | b'\r' => line_ended = true,
            b' ' | b'\t' | 0x0b | 0x0c => {}
            b'-' if bytes.get(at.checked_add(1)?) == Some(&b'-') => {
                at = end_of_line(bytes, at);
                continue;
            }
            b'\'' if line_ended => return at.checked_add(1),
            _ => return None,
        }
        at = at.checked_add(1)?;
    }
}

/// `$tag$` at the beginning of `text`.
pub(super) fn dollar_tag(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let length = rest.find('$')?;
    let tag = rest.get(..length)?;
    let valid = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii());
    if !valid || tag.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    text.get(..length.checked_add(2)?)
}

/// The contents of a string from behind its first quote, up to and with its last quote.
fn unquoted(bytes: &[u8], escapes: bool) -> Result<String, NotUnderstood> {
    let mut value = Vec::with_capacity(bytes.len());
    let mut at = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        let next = at.saturating_add(1);
        if byte == b'\'' {
            if bytes.get(next) == Some(&b'\'') {
                value.push(b'\'');
                at = at.saturating_add(2);
            } else {
                match continued(bytes, next) {
                    Some(inside) => at = inside,
                    None => break,
                }
            }
        } else if byte == b'\\' && escapes {
            at = escaped(bytes, next, &mut value)?;
        } else {
            value.push(byte);
            at = next;
        }
    }
    if value.contains(&0) {
        return Err(NotUnderstood::Encoding);
    }
    String::from_utf8(value).map_err(|_| NotUnderstood::Encoding)
}

/// One escape of an `E''` string; `at` is behind the backslash, the answer behind the escape.
fn escaped(bytes: &[u8], at: usize, value: &mut Vec<u8>) -> Result<usize, NotUnderstood> {
    let first = *bytes.get(at).ok_or(NotUnderstood::Lexical)?;
    let next = at.saturating_add(1);
    let simple = match first {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0'..=b'7' => {
            let (number, end) = digits(bytes, at, 8, 3);
            // as the server does, three octal digits are cut to a byte
            value.push(u8::try_from(number & 0xff).map_err(|_| NotUnderstood::Lexical)?);
            return Ok(end);
        }
        b'x' => {
            let (number, end) = digits(bytes, next, 16, 2);
            if end > next {
                value.push(u8::try_from(number).map_err(|_| NotUnderstood::Lexical)?);
                return Ok(end);
            }
            b'x'
        }
        b'u' | b'U' => {
            let wanted = if first == b'u' { 4 } else { 8 };
            let (number, end) = digits(bytes, next, 16, wanted);
            if end != next.saturating_add(wanted) {
                return Err(NotUnderstood::Lexical);
            }
            let (character, end) = match number {
                0xd800..=0xdbff => {
                    let low = match (bytes.get(end), bytes.get(end.saturating_add(1))) {
                        (Some(b'\\'), Some(b'u')) => digits(bytes, end.saturating_add(2), 16, 4),
                        (Some(b'\\'), Some(b'U')) => digits(bytes, end.saturating_add(2), 16, 8),
                        _ => return Err(NotUnderstood::Lexical),
                    };
                    (surrogates(number, low.0), low.1)
                }
                _ => (char::from_u32(number), end),
            };
            let character = character.filter(|&found| found != '\0').ok_or(NotUnderstood::Lexical)?;
            value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(end);
        }
        other => other,
    };
    value.push(simple);
    Ok(next)
}

/// Up to `count` digits from `at` on; their value and the place behind them.
fn digits(bytes: &[u8], at: usize, radix: u32, count: usize) -> (u32, usize) {
    let mut number = 0_u32;
    let mut end = at;
    for &byte in bytes.get(at..).unwrap_or_default().iter().take(count) {
        let Some(digit) = char::from(byte).to_digit(radix) else { break };
        number = number.wrapping_mul(radix).wrapping_add(digit);
        end = end.saturating_add(1);
    }
    (number, end)
}

fn surrogates(high: u32, low: u32) -> Option<char> {
    if !(0xdc00..=0xdfff).contains(&low) {
        return None;
    }
    char::from_u32(0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff))
}

/// `\XXXX`, `\+XXXXXX` and a doubled escape character (manual, section 4.1.2.3).
fn unicode_unescaped(text: Cow<'_, str>, escape: char) -> Result<Cow<'_, str>, NotUnderstood> {
    if !text.contains(escape) {
        return Ok(text);
    }
    let mut value = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find(escape) {
        value.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at.saturating_add(escape.len_utf8())..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix(escape) {
            value.push(escape);
            rest = after;
            continue;
        }
        let (number, after) = unicode_escape(rest)?;
        rest = after;
        let character = if (0xd800..=0xdbff).contains(&number) {
            let after = rest.strip_prefix(escape).ok_or(NotUnderstood::Lexical)?;
            let (low, after) = unicode_escape(after)?;
            rest = after;
            surrogates(number, low)
        } else {
            char::from_u32(number)
        };
        value.push(character.filter(|&found| found != '\0').ok_or(NotUnderstood::Lexical)?);
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}

fn unicode_escape(rest: &str) -> Result<(u32, &str), NotUnderstood> {
    let (skip, count) = if rest.starts_with('+') { (1, 6) } else { (0, 4) };
    let (number, end) = digits(rest.as_bytes(), skip, 16, count);
    if end != skip + count {
        return Err(NotUnderstood::Lexical);
    }
    Ok((number, rest.get(end..).unwrap_or_default()))
}
