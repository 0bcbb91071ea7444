//! Texts of dates, times and intervals, taken apart (`ParseDateTime` of `datetime.c`; PostgreSQL manual, appendix B.1).

use super::date_error::DateError;
use super::words::word;

/// What sort of field it is, by its first characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// Digits, or digits with a point.
    Number,
    /// Letters.
    Text,
    /// Digits, letters and `-`, `/`, `.`; or the name of a time zone.
    Date,
    /// Digits and `:`.
    Time,
    /// A sign and digits.
    Zone,
    /// A sign and letters.
    Special,
}

/// A part of the text, in lower case.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) kind: FieldKind,
    pub(super) text: String,
}

/// `MAXDATEFIELDS`
const FIELDS_MAX: usize = 25;

/// Take the text apart. `bytes_max` is the size of PostgreSQL's buffer for the type, each field's end included.
pub(super) fn split(text: &str, bytes_max: usize) -> Result<Vec<Field>, DateError> {
    let mut splitter = Splitter { rest: text.as_bytes() };
    let mut fields = Vec::new();
    let mut bytes = 0;
    while let Some(first) = splitter.peek() {
        if is_space(first) {
            splitter.next();
            continue;
        }
        if fields.len() >= FIELDS_MAX {
            return Err(DateError::BadFormat);
        }
        let Some(field) = splitter.field(first)? else { continue };
        // The server's check is before each character that it keeps.
        if bytes + field.text.len() >= bytes_max {
            return Err(DateError::BadFormat);
        }
        bytes += field.text.len() + 1;
        fields.push(field);
    }
    Ok(fields)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

struct Splitter<'a> {
    rest: &'a [u8],
}

impl Splitter<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn is(&self, accepted: impl Fn(u8) -> bool) -> bool {
        self.peek().is_some_and(accepted)
    }

    /// Append what follows and is accepted.
    fn take(&mut self, text: &mut String, accepted: impl Fn(u8) -> bool) {
        while let Some(byte) = self.peek().filter(|byte| accepted(*byte)) {
            text.push(char::from(byte.to_ascii_lowercase()));
            self.next();
        }
    }

    /// The field that begins here. `None`: punctuation, which only separates.
    fn field(&mut self, first: u8) -> Result<Option<Field>, DateError> {
        let mut text = String::new();
        let kind = match first {
            b'0'..=b'9' => self.digits(&mut text),
            b'.' => {
                text.push('.');
                self.next();
                self.take(&mut text, |byte| byte.is_ascii_digit());
                FieldKind::Number
            }
            letter if letter.is_ascii_alphabetic() => self.letters(&mut text),
            b'+' | b'-' => {
                text.push(char::from(first));
                self.next();
                while self.is(is_space) {
                    self.next();
                }
                if self.is(|byte| byte.is_ascii_digit()) {
                    self.take(&mut text, |byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-'));
                    FieldKind::Zone
                } else if self.is(|byte| byte.is_ascii_alphabetic()) {
                    self.take(&mut text, |byte| byte.is_ascii_alphabetic());
                    FieldKind::Special
                } else {
                    return Err(DateError::BadFormat);
                }
            }
            other if other.is_ascii_punctuation() => {
                self.next();
                return Ok(None);
            }
            _ => return Err(DateError::BadFormat),
        };
        Ok(Some(Field { kind, text }))
    }

    /// A date or a time.
    fn digits(&mut self, text: &mut String) -> FieldKind {
        let digit = |byte: u8| byte.is_ascii_digit();
        self.take(text, digit);
        match self.peek() {
            Some(b':') => {
                self.take(text, |byte| digit(byte) || matches!(byte, b':' | b'.'));
                FieldKind::Time
            }
            Some(separator @ (b'-' | b'/' | b'.')) => {
                text.push(char::from(separator));
                self.next();
                if !self.is(digit) {
                    self.take(text, |byte| byte.is_ascii_alphanumeric() || byte == separator);
                    return FieldKind::Date;
                }
                self.take(text, digit);
                if self.is(|byte| byte == separator) {
                    self.take(text, |byte| digit(byte) || byte == separator);
                    return FieldKind::Date;
                }
                if separator == b'.' { FieldKind::Number } else { FieldKind::Date }
            }
            _ => FieldKind::Number,
        }
    }

    /// A word, a date with a month's name, the name of a zone.
    fn letters(&mut self, text: &mut String) -> FieldKind {
        self.take(text, |byte| byte.is_ascii_alphabetic());
        let date = match self.peek() {
            Some(b'-' | b'/' | b'.') => true,
            Some(b'+' | b'0'..=b'9') => word(text).is_none(),
            _ => false,
        };
        if !date {
            return FieldKind::Text;
        }
        self.take(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':'));
        FieldKind::Date
    }
}
