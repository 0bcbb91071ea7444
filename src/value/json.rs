//! `json`, which is kept as it was written, and `jsonb`, which is not (PostgreSQL manual, section 8.14; `jsonapi.c`, `jsonb.c`,
//! `jsonb_util.c`).

use super::numeric::Numeric;
use super::{Scalar, ValueError};

/// How deep values may be nested. PostgreSQL's own limit is that of its stack, and higher.
const NESTING_MAX: u32 = 1_000;

/// Fails where the text is not JSON as the type `json` takes it.
pub(super) fn check(text: &str) -> Result<(), ValueError> {
    let mut parser = Parser { rest: text, keeps_values: false };
    parser.whole().map(|_| ())
}

/// The text of a `jsonb`: keys in its order and once each, numbers and spaces in one form.
pub(super) fn normalized(text: &str) -> Result<String, ValueError> {
    let mut parser = Parser { rest: text, keeps_values: true };
    let value = parser.whole()?;
    let mut out = String::with_capacity(text.len());
    value.write(&mut out);
    Ok(out)
}

enum Json {
    /// `null`, `true`, `false` or a number's digits.
    Plain(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct Parser<'a> {
    rest: &'a str,
    /// Whether the value is wanted, with all the checks that `jsonb` makes; else `json` only checks the form.
    keeps_values: bool,
}

fn invalid() -> ValueError {
    ValueError::syntax(Scalar::Json)
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Result<Json, ValueError> {
        let value = self.value(NESTING_MAX)?;
        self.skip_space();
        if self.rest.is_empty() { Ok(value) } else { Err(invalid()) }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Whether that character comes next, which is taken then.
    fn takes(&mut self, wanted: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, left: u32) -> Result<Json, ValueError> {
        let left = left.checked_sub(1).ok_or_else(|| ValueError::new("54001", "stack depth limit exceeded"))?;
        self.skip_space();
        match self.rest.chars().next() {
            Some('{') => self.object(left),
            Some('[') => self.array(left),
            Some('"') => self.text().map(Json::Text),
            Some('-' | '0'..='9') => self.number(),
            _ => {
                let word = self.word();
                if matches!(word, "null" | "true" | "false") {
                    Ok(Json::Plain(word.to_owned()))
                } else {
                    Err(invalid())
                }
            }
        }
    }

    fn object(&mut self, left: u32) -> Result<Json, ValueError> {
        self.takes('{');
        let mut members = Vec::new();
        if self.takes('}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if !self.rest.starts_with('"') {
                return Err(invalid());
            }
            let key = self.text()?;
            if !self.takes(':') {
                return Err(invalid());
            }
            let value = self.value(left)?;
            if self.keeps_values {
                members.push((key, value));
            }
            if self.takes('}') {
                return Ok(Json::Object(in_order(members)));
            }
            if !self.takes(',') {
                return Err(invalid());
            }
        }
    }

    fn array(&mut self, left: u32) -> Result<Json, ValueError> {
        self.takes('[');
        let mut elements = Vec::new();
        if self.takes(']') {
            return Ok(Json::Array(elements));
        }
        loop {
            let value = self.value(left)?;
            if self.keeps_values {
                elements.push(value);
            }
            if self.takes(']') {
                return Ok(Json::Array(elements));
            }
            if !self.takes(',') {
                return Err(invalid());
            }
        }
    }

    /// Letters, digits, underscores and whatever is not ASCII: what the server takes for one word.
    fn word(&mut self) -> &'a str {
        let joined = |next: char| next.is_ascii_alphanumeric() || next == '_' || !next.is_ascii();
        let end = self.rest.find(|next: char| !joined(next)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        word
    }

    fn number(&mut self) -> Result<Json, ValueError> {
        let text = self.rest;
        let digits = |from: usize| {
            let count = text.bytes().skip(from).take_while(u8::is_ascii_digit).count();
            if count == 0 { Err(invalid()) } else { Ok(from + count) }
        };
        let at = |position: usize| text.get(position..).unwrap_or_default();
        let start = usize::from(text.starts_with('-'));
        let mut end = if at(start).starts_with('0') { start + 1 } else { digits(start)? };
        if at(end).starts_with('.') {
            end = digits(end + 1)?;
        }
        if at(end).starts_with(['e', 'E']) {
            end = digits(end + 1 + usize::from(at(end + 1).starts_with(['+', '-'])))?;
        }
        let (number, rest) = text.split_at_checked(end).ok_or_else(invalid)?;
        self.rest = rest;
        if !self.word().is_empty() {
            return Err(invalid());
        }
        if !self.keeps_values {
            return Ok(Json::Plain(String::new()));
        }
        let number = Numeric::parse(number, Scalar::Numeric)?;
        // What does not fit into a numeric does not fit here.
        number.encode()?;
        Ok(Json::Plain(number.text()))
    }

    /// A string, from its quotation mark on.
    fn text(&mut self) -> Result<String, ValueError> {
        let mut characters = self.rest.char_indices().skip(1);
        let mut out = String::new();
        // The first half of a character that takes two escapes.
        let mut high: Option<u32> = None;
        while let Some((at, next)) = characters.next() {
            if high.is_some() && next != '\\' {
                return Err(invalid());
            }
            match next {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(out);
                }
                '\\' => {}
                control if control < ' ' => return Err(invalid()),
                other => {
                    out.push(other);
                    continue;
                }
            }
            let escaped = characters.next().ok_or_else(invalid)?.1;
            if high.is_some() && escaped != 'u' {
                return Err(invalid());
            }
            out.push(match escaped {
                '"' | '\\' | '/' => escaped,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let mut code = 0;
                    for _ in 0..4 {
                        let digit = characters.next().and_then(|(_, digit)| digit.to_digit(16)).ok_or_else(invalid)?;
                        code = code << 4 | digit;
                    }
                    if !self.keeps_values {
                        continue;
                    }
                    let code = match (high.take(), code) {
                        (None, 0xd800..=0xdbff) => {
                            high = Some(code);
                            continue;
                        }
                        (Some(first), 0xdc00..=0xdfff) => 0x10000 + ((first - 0xd800) << 10) + (code - 0xdc00),
                        (Some(_), _) => return Err(invalid()),
                        (None, 0) => return Err(ValueError::new("22P05", "unsupported Unicode escape sequence")),
                        (None, code) => code,
                    };
                    char::from_u32(code).ok_or_else(invalid)?
                }
                _ => return Err(invalid()),
            });
        }
        Err(invalid())
    }
}

/// Shorter keys first, then by their bytes; of equal ones the last.
fn in_order(mut members: Vec<(String, Json)>) -> Vec<(String, Json)> {
    members.reverse();
    members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    members.dedup_by(|(a, _), (b, _)| a == b);
    members
}

impl Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Text(text) => write_text(text, out),
            Self::Array(elements) => {
                out.push('[');
                for (position, element) in elements.iter().enumerate() {
                    out.push_str(if position > 0 { ", " } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (position, (key, value)) in members.iter().enumerate() {
                    out.push_str(if position > 0 { ", " } else { "" });
                    write_text(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// `escape_json`
pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for next in text.chars() {
        match next {
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}
