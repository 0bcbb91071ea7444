//! The tokens of a path (`jsonpath_scan.l`).

use super::{ValueError, syntax, unread};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `"..."`
    Text(String),
    /// A name without quotes; a key word is one of them.
    Word(String),
    /// `$name`, `$"name"`
    Variable(String),
    /// Digits and nothing else.
    Integer(String),
    Decimal(String),
    /// Anything else that means something: `.`, `**`, `&&`
    Sign(&'static str),
}

/// Signs of two characters before those of one.
const SIGNS: [&str; 32] = [
    "&&", "||", "**", "==", "<>", "!=", "<=", ">=", "<", ">", "!", "=", "?", "%", "$", ".", "[", "]", "{", "}", "(",
    ")", "|", "&", "@", "#", ",", "*", ":", "-", "+", "/",
];

/// All tokens of a path.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ValueError> {
    let mut lexer = Lexer { rest: text };
    let mut found = Vec::new();
    while let Some(token) = lexer.token()? {
        found.push(token);
    }
    Ok(found)
}

struct Lexer<'a> {
    rest: &'a str,
}

fn is_blank(next: char) -> bool {
    matches!(next, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// Whether it may stand in a name without quotes.
fn is_other(next: char) -> bool {
    !is_blank(next)
        && !matches!(
            next,
            '?' | '%'
                | '$'
                | '.'
                | '['
                | ']'
                | '{'
                | '}'
                | '('
                | ')'
                | '|'
                | '&'
                | '!'
                | '='
                | '<'
                | '>'
                | '@'
                | '#'
                | ','
                | '*'
                | ':'
                | '-'
                | '+'
                | '/'
                | '\\'
                | '"'
        )
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Option<Token>, ValueError> {
        self.skip_blanks()?;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if let Some(inner) = self.rest.strip_prefix('"') {
            self.rest = inner;
            return self.text().map(Token::Text).map(Some);
        }
        if let Some(inner) = self.rest.strip_prefix("$\"") {
            self.rest = inner;
            return self.text().map(Token::Variable).map(Some);
        }
        if let Some(inner) = self.rest.strip_prefix('$')
            && inner.starts_with(is_other)
        {
            self.rest = inner;
            let name = self.others();
            return if self.rest.starts_with('\\') {
                Err(unread())
            } else {
                Ok(Some(Token::Variable(name.to_owned())))
            };
        }
        if first.is_ascii_digit() {
            return self.number().map(Some);
        }
        if first == '\\' {
            return Err(unread());
        }
        if is_other(first) {
            let word = self.others();
            return if self.rest.starts_with('\\') { Err(unread()) } else { Ok(Some(Token::Word(word.to_owned()))) };
        }
        let sign = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)).ok_or_else(syntax)?;
        self.rest = self.rest.get(sign.len()..).unwrap_or_default();
        // `.5` is a number since PostgreSQL 15.
        if sign == "." && self.rest.starts_with(|next: char| next.is_ascii_digit()) {
            return Err(unread());
        }
        Ok(Some(Token::Sign(sign)))
    }

    fn skip_blanks(&mut self) -> Result<(), ValueError> {
        loop {
            self.rest = self.rest.trim_start_matches(is_blank);
            let Some(comment) = self.rest.strip_prefix("/*") else { return Ok(()) };
            let (_, behind) = comment.split_once("*/").ok_or_else(syntax)?;
            self.rest = behind;
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|next| !wanted(next)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn others(&mut self) -> &'a str {
        self.take_while(is_other)
    }

    /// `12`, `1.5`, `1.5e-3`: the forms that all majors read alike.
    fn number(&mut self) -> Result<Token, ValueError> {
        let digit = |next: char| next.is_ascii_digit();
        let all = self.rest;
        let whole = self.take_while(digit);
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(unread());
        }
        let mut is_integer = true;
        if let Some(fraction) = self.rest.strip_prefix('.') {
            if !fraction.starts_with(digit) {
                return Err(unread());
            }
            (self.rest, is_integer) = (fraction, false);
            self.take_while(digit);
        }
        if let Some(exponent) = self.rest.strip_prefix(['e', 'E']) {
            self.rest = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            is_integer = false;
            if self.take_while(digit).is_empty() {
                return Err(unread());
            }
        }
        if self.rest.starts_with(|next| is_other(next) || next == '.' || next == '\\') {
            return Err(unread());
        }
        let number = all.get(..all.len().saturating_sub(self.rest.len())).unwrap_or_default().to_owned();
        Ok(if is_integer { Token::Integer(number) } else { Token::Decimal(number) })
    }

    /// What stands up to the next quote.
    fn text(&mut self) -> Result<String, ValueError> {
        let mut out = String::new();
        loop {
            let mut rest = self.rest.chars();
            let next = rest.next().ok_or_else(syntax)?;
            self.rest = rest.as_str();
            match next {
                '"' => return Ok(out),
                '\\' => self.escaped(&mut out)?,
                next => out.push(next),
            }
        }
    }

    fn escaped(&mut self, out: &mut String) -> Result<(), ValueError> {
        let mut rest = self.rest.chars();
        let next = rest.next().ok_or_else(syntax)?;
        self.rest = rest.as_str();
        let sign = match next {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => {
                let code = self.hexadecimal(2)?;
                self.sign(code)?
            }
            'u' => {
                let code = self.unicode()?;
                self.sign(code)?
            }
            other => other,
        };
        out.push(sign);
        Ok(())
    }

    /// `00e9`, `{e9}`
    fn unicode(&mut self) -> Result<u32, ValueError> {
        let Some(braced) = self.rest.strip_prefix('{') else { return self.hexadecimal(4) };
        let (digits, behind) = braced.split_once('}').ok_or_else(syntax)?;
        if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(syntax());
        }
        self.rest = behind;
        u32::from_str_radix(digits, 16).map_err(|_| syntax())
    }

    fn hexadecimal(&mut self, count: usize) -> Result<u32, ValueError> {
        let digits = self.rest.get(..count).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(syntax)?;
        self.rest = self.rest.get(count..).unwrap_or_default();
        u32::from_str_radix(digits, 16).map_err(|_| syntax())
    }

    fn sign(&mut self, code: u32) -> Result<char, ValueError> {
        let untranslatable = || ValueError::new("22P05", "unsupported Unicode escape sequence");
        match code {
            0 => Err(untranslatable()),
            0xd800..=0xdbff => {
                let invalid = || ValueError::new("22P02", "invalid input syntax for type jsonpath");
                self.rest = self.rest.strip_prefix("\\u").ok_or_else(invalid)?;
                let low = self.unicode()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(invalid());
                }
                let code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                char::from_u32(code).ok_or_else(invalid)
            }
            code => {
                char::from_u32(code).ok_or_else(|| ValueError::new("22P02", "invalid input syntax for type jsonpath"))
            }
        }
    }
}
