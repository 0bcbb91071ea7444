//! PostgreSQL's own lexical rules (manual, section 4.1 "Lexical Structure"; `scan.l`), over UTF-8 text.
//!
//! [`Lexer`] yields tokens that borrow from the text; nothing is allocated until a name or a string's value is asked
//! for. `standard_conforming_strings` is taken to be on: whoever lets a session turn it off must not trust the result.
//! Where supported versions differ, what some of them reject is read as the others read it: `1FROM` is two tokens, as
//! before PostgreSQL 15; `1_000` and `0x1F` are numbers, as since PostgreSQL 16 (before 15 they were a number and a label).
//! So what is an error here is an error for every server, in the whole of the text.

mod keyword;
mod literal;

pub(crate) use keyword::{KeywordClass, keyword_class, keywords};
pub(crate) use literal::NATIONAL;
pub use literal::{Literal, LiteralStyle, QuotedIdentifier};

use super::NotUnderstood;
use crate::catalog::Name;

/// One token, with its place in the text: bytes `start..end`.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind<'a>,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug)]
pub enum TokenKind<'a> {
    /// An identifier without quotes, or a key word, as written.
    Word(&'a str),
    /// `"..."`, `U&"..." [UESCAPE 'c']`.
    Quoted(QuotedIdentifier<'a>),
    /// A string or bit string of any style.
    Text(Literal<'a>),
    /// A number, as written, without a sign.
    Number(&'a str),
    /// `$1` or the like.
    Parameter(u32),
    /// An operator, as written; also the characters that are operators of their own (`+`, `*`, `<`), and `=>`.
    Operator(&'a str),
    /// A character with a meaning of its own.
    Mark(Mark),
}

/// Special characters (manual, section 4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are what they are called
pub enum Mark {
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Semicolon,
    Dot,
    DoubleDot,
    Colon,
    /// `::`
    DoubleColon,
    /// `:=`
    ColonEquals,
}

impl<'a> Token<'a> {
    /// Whether it is this key word: an unquoted word, in any case. `keyword` is in lower case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self.kind, TokenKind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether it is one of these key words.
    pub fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// The string that it is, if it is one.
    pub fn literal(&self) -> Option<Literal<'a>> {
        match self.kind {
            TokenKind::Text(literal) => Some(literal),
            TokenKind::Word(_)
            | TokenKind::Quoted(_)
            | TokenKind::Number(_)
            | TokenKind::Parameter(_)
            | TokenKind::Operator(_)
            | TokenKind::Mark(_) => None,
        }
    }

    /// Whether it is that special character.
    pub fn is_mark(&self, mark: Mark) -> bool {
        matches!(self.kind, TokenKind::Mark(found) if found == mark)
    }

    /// Whether it is that operator.
    pub fn is_operator(&self, operator: &str) -> bool {
        matches!(self.kind, TokenKind::Operator(found) if found == operator)
    }

    /// The name that it stands for, if it is a word or a quoted identifier that can be decoded.
    pub fn name(&self) -> Option<Name> {
        match self.kind {
            TokenKind::Word(word) => Some(Name::folded(word)),
            TokenKind::Quoted(quoted) => quoted.value().ok().map(|text| Name::exact(&text)),
            TokenKind::Text(_)
            | TokenKind::Number(_)
            | TokenKind::Parameter(_)
            | TokenKind::Operator(_)
            | TokenKind::Mark(_) => None,
        }
    }
}

/// Reads a text token by token. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, NotUnderstood>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.token();
        if result.is_err() {
            self.at = self.text.len();
        }
        result.transpose()
    }
}

const WORD_START: u8 = 1;
const WORD: u8 = 2;
const OPERATOR: u8 = 4;
const DIGIT: u8 = 8;
const SPACE: u8 = 16;

/// What each byte may be part of. Every byte of a character outside of ASCII belongs to identifiers.
static CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing, clippy::as_conversions)] // evaluated by the compiler, over all 256 bytes
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => WORD_START | WORD,
            b'0'..=b'9' => WORD | DIGIT,
            b'$' => WORD,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<'
            | b'>' | b'=' => OPERATOR,
            // vertical tab: white space since PostgreSQL 17, and an error in all of the text before that
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            _ => 0,
        };
        at += 1;
    }
    table
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Whether this byte may stand inside an identifier.
pub(crate) fn is_word_byte(byte: u8) -> bool {
    class(byte) & WORD != 0
}

impl<'a> Lexer<'a> {
    /// Start at the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// All tokens of `text`.
    ///
    /// # Errors
    /// The first thing that PostgreSQL's lexical rules do not accept; more than `tokens_max` tokens are too large.
    pub fn tokens(text: &'a str, tokens_max: usize) -> Result<Vec<Token<'a>>, NotUnderstood> {
        let mut tokens = Vec::with_capacity((text.len() / 6).min(tokens_max).saturating_add(8));
        for token in Self::new(text) {
            if tokens.len() >= tokens_max {
                return Err(NotUnderstood::TooLarge);
            }
            tokens.push(token?);
        }
        Ok(tokens)
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The first place from `at` on whose byte is not of that class.
    fn end_of(&self, at: usize, wanted: u8) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at.saturating_add(rest.iter().position(|&byte| class(byte) & wanted == 0).unwrap_or(rest.len()))
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, NotUnderstood> {
        self.skip_blank()?;
        let start = self.at;
        if start >= self.text.len() {
            return Ok(None);
        }
        let first = self.byte(start);
        let kind = match class(first) {
            flags if flags & WORD_START != 0 => self.word(start, first)?,
            flags if flags & DIGIT != 0 => self.number(start),
            flags if flags & OPERATOR != 0 => self.operator(start),
            _ => self.other(start, first)?,
        };
        Ok(Some(Token { kind, start, end: self.at }))
    }

    fn skip_blank(&mut self) -> Result<(), NotUnderstood> {
        loop {
            match (self.byte(self.at), self.byte(self.at.saturating_add(1))) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at = self.end_of(self.at, SPACE),
                (b'-', b'-') => self.at = literal::end_of_line(self.text.as_bytes(), self.at),
                (b'/', b'*') => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// Comments nest.
    fn skip_comment(&mut self) -> Result<(), NotUnderstood> {
        let mut depth = 0_u32;
        while self.at < self.text.len() {
            match (self.byte(self.at), self.byte(self.at.saturating_add(1))) {
                (b'/', b'*') => depth = depth.saturating_add(1),
                (b'*', b'/') => depth = depth.saturating_sub(1),
                _ => {
                    self.at = self.at.saturating_add(1);
                    continue;
                }
            }
            self.at = self.at.saturating_add(2);
            if depth == 0 {
                return Ok(());
            }
        }
        Err(NotUnderstood::Lexical)
    }

    fn word(&mut self, start: usize, first: u8) -> Result<TokenKind<'a>, NotUnderstood> {
        let style = match (first, self.byte(start.saturating_add(1))) {
            (b'e' | b'E', b'\'') => LiteralStyle::Escape,
            (b'b' | b'B', b'\'') => LiteralStyle::Bit,
            (b'x' | b'X', b'\'') => LiteralStyle::Hex,
            (b'n' | b'N', b'\'') => LiteralStyle::National,
            (b'u' | b'U', b'&') => match self.byte(start.saturating_add(2)) {
                b'\'' => LiteralStyle::Unicode,
                b'"' => return self.quoted(start, start.saturating_add(3), true),
                _ => return Ok(self.plain_word(start)),
            },
            _ => return Ok(self.plain_word(start)),
        };
        let inside = if style == LiteralStyle::Unicode { 3 } else { 2 };
        self.string(start, start.saturating_add(inside), style)
    }

    fn plain_word(&mut self, start: usize) -> TokenKind<'a> {
        self.at = self.end_of(start, WORD);
        TokenKind::Word(self.slice(start, self.at))
    }

    /// A string whose first character after the quote is at `inside`.
    fn string(&mut self, start: usize, inside: usize, style: LiteralStyle) -> Result<TokenKind<'a>, NotUnderstood> {
        self.at = literal::end_of_string(self.text.as_bytes(), inside, style == LiteralStyle::Escape)
            .ok_or(NotUnderstood::Lexical)?;
        let written = self.slice(start, self.at);
        let escape = if style == LiteralStyle::Unicode { self.uescape()? } else { '\\' };
        Ok(TokenKind::Text(Literal { style, written, escape }))
    }

    fn quoted(&mut self, start: usize, inside: usize, unicode: bool) -> Result<TokenKind<'a>, NotUnderstood> {
        let mut at = inside;
        loop {
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            let quote = rest.iter().position(|&byte| byte == b'"').ok_or(NotUnderstood::Lexical)?;
            at = at.saturating_add(quote).saturating_add(1);
            if self.byte(at) != b'"' {
                break;
            }
            at = at.saturating_add(1);
        }
        self.at = at;
        let written = self.slice(start, at);
        if at == inside.saturating_add(1) {
            return Err(NotUnderstood::Lexical); // zero-length delimited identifier
        }
        let escape = if unicode { Some(self.uescape()?) } else { None };
        let quoted = QuotedIdentifier { written, escape };
        if unicode {
            quoted.value()?; // a wrong escape fails in the server's lexer too
        }
        Ok(TokenKind::Quoted(quoted))
    }

    /// `UESCAPE 'c'` behind a `U&` string or identifier, if there is one.
    fn uescape(&mut self) -> Result<char, NotUnderstood> {
        // no recursion through `token`: U& strings may follow each other without end
        let before = self.at;
        self.skip_blank()?;
        let end = self.end_of(self.at, WORD);
        if !self.slice(self.at, end).eq_ignore_ascii_case("uescape") {
            self.at = before;
            return Ok('\\');
        }
        self.at = end;
        self.skip_blank()?;
        let start = self.at;
        let inside = start.saturating_add(1);
        let found = match (self.byte(start), self.byte(inside)) {
            (b'\'', _) => self.string(start, inside, LiteralStyle::Plain)?,
            (b'e' | b'E', b'\'') => self.string(start, inside.saturating_add(1), LiteralStyle::Escape)?,
            (b'$', _) => self.dollar(start)?,
            _ => return Err(NotUnderstood::Lexical),
        };
        let TokenKind::Text(literal) = found else { return Err(NotUnderstood::Lexical) };
        let value = literal.value()?;
        let mut characters = value.chars();
        match (characters.next(), characters.next()) {
            (Some(escape), None)
                if !escape.is_ascii_hexdigit() && !"+'\" \t\n\r\x0b\x0c".contains(escape) && escape.is_ascii() =>
            {
                Ok(escape)
            }
            _ => Err(NotUnderstood::Lexical),
        }
    }

    fn digits(&self, mut at: usize) -> usize {
        loop {
            at = self.end_of(at, DIGIT);
            // digits may be grouped by single underscores since PostgreSQL 16
            if self.byte(at) == b'_' && self.byte(at.saturating_add(1)).is_ascii_digit() {
                at = at.saturating_add(1);
            } else {
                return at;
            }
        }
    }

    /// Letters right behind a number begin a word.
    fn number(&mut self, start: usize) -> TokenKind<'a> {
        let mut at = start;
        let prefixed = self.byte(at) == b'0' && matches!(self.byte(at.saturating_add(1)) | 0x20, b'x' | b'o' | b'b');
        let digits = self.slice(start.saturating_add(2), self.end_of(at, WORD));
        if prefixed && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_') {
            at = self.end_of(at, WORD);
        } else {
            at = self.digits(at);
            if self.byte(at) == b'.' && self.byte(at.saturating_add(1)) != b'.' {
                at = self.digits(at.saturating_add(1));
            }
            if self.byte(at) | 0x20 == b'e' {
                let sign = usize::from(matches!(self.byte(at.saturating_add(1)), b'+' | b'-'));
                let exponent = at.saturating_add(1).saturating_add(sign);
                if self.byte(exponent).is_ascii_digit() {
                    at = self.digits(exponent);
                }
            }
        }
        self.at = at;
        TokenKind::Number(self.slice(start, at))
    }

    fn operator(&mut self, start: usize) -> TokenKind<'a> {
        let run = self.slice(start, self.end_of(start, OPERATOR));
        let comment = [run.find("/*"), run.find("--")].into_iter().flatten().min();
        let mut kept = run.get(..comment.unwrap_or(run.len())).unwrap_or(run);
        // `a<-1` is `a < -1`: an operator of several characters ends in + or - only if it holds one of these
        if kept.len() > 1 && kept.ends_with(['+', '-']) {
            let before = kept.get(..kept.len().saturating_sub(1)).unwrap_or_default();
            if !before.contains(['~', '!', '@', '#', '^', '&', '|', '`', '?', '%']) {
                let stripped = kept.trim_end_matches(['+', '-']);
                kept = if stripped.is_empty() { kept.get(..1).unwrap_or(kept) } else { stripped };
            }
        }
        self.at = start.saturating_add(kept.len());
        TokenKind::Operator(kept)
    }

    fn other(&mut self, start: usize, first: u8) -> Result<TokenKind<'a>, NotUnderstood> {
        let second = self.byte(start.saturating_add(1));
        let (mark, length) = match (first, second) {
            (b'\'', _) => return self.string(start, start.saturating_add(1), LiteralStyle::Plain),
            (b'"', _) => return self.quoted(start, start.saturating_add(1), false),
            (b'$', _) => return self.dollar(start),
            (b'.', b'0'..=b'9') => return Ok(self.number(start)),
            (b'.', b'.') => (Mark::DoubleDot, 2),
            (b'.', _) => (Mark::Dot, 1),
            (b':', b':') => (Mark::DoubleColon, 2),
            (b':', b'=') => (Mark::ColonEquals, 2),
            (b':', _) => (Mark::Colon, 1),
            (b'(', _) => (Mark::LeftParen, 1),
            (b')', _) => (Mark::RightParen, 1),
            (b'[', _) => (Mark::LeftBracket, 1),
            (b']', _) => (Mark::RightBracket, 1),
            (b',', _) => (Mark::Comma, 1),
            (b';', _) => (Mark::Semicolon, 1),
            (0, _) => return Err(NotUnderstood::Encoding),
            _ => return Err(NotUnderstood::Lexical),
        };
        self.at = start.saturating_add(length);
        Ok(TokenKind::Mark(mark))
    }

    /// A parameter or a dollar-quoted string.
    fn dollar(&mut self, start: usize) -> Result<TokenKind<'a>, NotUnderstood> {
        let next = start.saturating_add(1);
        if self.byte(next).is_ascii_digit() {
            let end = self.end_of(next, DIGIT);
            self.at = end;
            // the server's own arithmetic wraps before PostgreSQL 18, so that a large number may be a valid parameter
            let number = self.slice(next, end).bytes().fold(0_u32, |number, digit| {
                number.wrapping_mul(10).wrapping_add(u32::from(digit.saturating_sub(b'0')))
            });
            return Ok(TokenKind::Parameter(number));
        }
        let tag = literal::dollar_tag(self.slice(start, self.text.len())).ok_or(NotUnderstood::Lexical)?;
        let inside = start.saturating_add(tag.len());
        let length = self.slice(inside, self.text.len()).find(tag).ok_or(NotUnderstood::Lexical)?;
        self.at = inside.saturating_add(length).saturating_add(tag.len());
        let written = self.slice(start, self.at);
        Ok(TokenKind::Text(Literal { style: LiteralStyle::Dollar, written, escape: '\\' }))
    }
}

#[cfg(test)]
mod tests;
