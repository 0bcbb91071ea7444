//! The whole way from a text to what its statements are and do.
//!
//! [`analyze`] needs a stack of 64 MiB for texts at the caps of [`Limits`], also when optimisation is off: the parsers,
//! the trees and the lineage recurse. Whoever calls it provides the thread.

use std::collections::BTreeSet;

use super::agree::agreed;

use super::lexer::{Lexer, LiteralStyle, NATIONAL, Token, TokenKind};
use super::lineage::Lineage;
use super::recognise::{InnerQuery, Piece, Splitter, code, code_in, recognise};
use super::statement::{Analysis, Code, Detail, Reading, Statement, StatementKind};
use super::words::{deep_words, loose_words, words};
use super::{Limits, NotUnderstood, caps, read_sqlparser, read_squawk};
use crate::catalog::{Catalog, NAME_BYTES_MAX, Name};

/// What the statements of a Query or Parse message are, and what each of them reads and shows.
///
/// `text` is the message's text without the terminating NUL, in UTF-8, under `standard_conforming_strings = on`; for a
/// session with another encoding or setting the answer can not be trusted. Nothing of the text is kept but names.
///
/// A text that can not be split is [`Analysis::Opaque`], with every word in it that could be found, those in strings and
/// comments included. For [`NotUnderstood::Encoding`] and [`NotUnderstood::TooLarge`] these words need not be all. For
/// other reasons the server rejects the text as a whole, or the words are complete.
pub fn analyze(text: &[u8], catalog: &Catalog, limits: &Limits) -> Analysis {
    let readable = match std::str::from_utf8(text) {
        Ok(readable) if !text.contains(&0) => readable,
        _ => return Analysis::Opaque(NotUnderstood::Encoding, loose_words(&String::from_utf8_lossy(text))),
    };
    let mut found = Found { text: readable, catalog, limits, statements: Vec::new() };
    match found.read() {
        Ok(()) => Analysis::Statements(found.statements),
        Err(reason) => {
            // words in quotes with escapes are only found by the lexer
            let mut all = loose_words(readable);
            let _ = words(readable, |word| collect(&mut all, word.text));
            Analysis::Opaque(reason, all)
        }
    }
}

/// An analysis in the making.
struct Found<'a> {
    text: &'a str,
    catalog: &'a Catalog,
    limits: &'a Limits,
    statements: Vec<Statement>,
}

/// The statement that is being read: its tokens up to the cap.
#[derive(Default)]
struct Pending<'a> {
    tokens: Vec<Token<'a>>,
    words: BTreeSet<Name>,
    end: usize,
    too_many: bool,
}

impl<'a> Found<'a> {
    /// One pass over the text; no more than one statement's tokens are held.
    fn read(&mut self) -> Result<(), NotUnderstood> {
        let mut splitter = Splitter::default();
        let mut pending = Pending::default();
        let mut folded = String::new();
        for token in Lexer::new(self.text) {
            let token = token?;
            if splitter.separates(&token)? {
                self.finish(&mut pending)?;
                continue;
            }
            match token.kind {
                TokenKind::Word(word) => {
                    folded.clear();
                    folded.push_str(word);
                    folded.make_ascii_lowercase();
                    collect(&mut pending.words, &folded);
                }
                TokenKind::Quoted(quoted) => collect(&mut pending.words, &quoted.value()?),
                TokenKind::Text(literal) if literal.style == LiteralStyle::National => {
                    collect(&mut pending.words, NATIONAL);
                }
                TokenKind::Text(_)
                | TokenKind::Number(_)
                | TokenKind::Parameter(_)
                | TokenKind::Operator(_)
                | TokenKind::Mark(_) => {}
            }
            pending.end = token.end;
            if pending.tokens.len() < self.limits.tokens_max {
                pending.tokens.push(token);
            } else {
                pending.too_many = true;
            }
        }
        self.finish(&mut pending)
    }

    fn finish(&mut self, pending: &mut Pending<'a>) -> Result<(), NotUnderstood> {
        let Some(start) = pending.tokens.first().map(|token| token.start) else { return Ok(()) };
        if self.statements.len() >= self.limits.statements_max {
            return Err(NotUnderstood::TooLarge);
        }
        let span = start..pending.end;
        let recognised = recognise(&pending.tokens);
        if matches!(recognised.kind, StatementKind::Do | StatementKind::CreateFunction) {
            // its strings are run; should they not all be among the tokens, all of the text is searched
            match pending.too_many {
                true => pending.words.extend(loose_words(self.text.get(span.clone()).unwrap_or_default())),
                false => body_words(&pending.tokens, &mut pending.words),
            }
        }
        let too_large = pending.too_many || span.len() > self.limits.statement_bytes_max;
        let reading = match recognised.query {
            InnerQuery::None if recognised.kind == StatementKind::Unrecognised => {
                Reading::NotUnderstood(NotUnderstood::Syntax)
            }
            InnerQuery::None => self.copied(&recognised.detail).unwrap_or(Reading::NoQuery),
            InnerQuery::NotUnderstood(reason) => Reading::NotUnderstood(reason),
            InnerQuery::Tokens(_) | InnerQuery::Pieces(_) if too_large => {
                Reading::NotUnderstood(NotUnderstood::TooLarge)
            }
            InnerQuery::Tokens(range) => match self.query(self.text, pending.tokens.get(range).unwrap_or_default()) {
                Ok(lineage) => Reading::Understood(lineage.into()),
                Err(reason) => Reading::NotUnderstood(reason),
            },
            InnerQuery::Pieces(pieces) => match self.made_of(&pieces, &pending.tokens) {
                Ok(lineage) => Reading::Understood(lineage.into()),
                Err(reason) => Reading::NotUnderstood(reason),
            },
        };
        let words = std::mem::take(&mut pending.words);
        let (code, makes_makers) = match recognised.kind {
            // their bodies may be among the tokens that are not kept; of all others the first ones say it
            StatementKind::Do | StatementKind::CreateFunction if pending.too_many => (vec![Code::Anything], true),
            kind => made_code(kind, &pending.tokens),
        };
        let (kind, detail) = (recognised.kind, recognised.detail);
        self.statements.push(Statement { kind, span, reading, detail, words, code, makes_makers });
        pending.tokens.clear();
        pending.too_many = false;
        Ok(())
    }

    /// The lineage of a query that is put together.
    fn made_of(&self, pieces: &[Piece], tokens: &[Token<'a>]) -> Result<Lineage, NotUnderstood> {
        let mut text = String::new();
        for piece in pieces {
            let words = match piece {
                Piece::Words(words) => words,
                Piece::Tokens(range) => {
                    let tokens = tokens.get(range.clone()).unwrap_or_default();
                    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
                        return Err(NotUnderstood::Syntax);
                    };
                    self.text.get(first.start..last.end).unwrap_or_default()
                }
            };
            // A comment at the end of a line ends there.
            text.push('\n');
            text.push_str(words);
        }
        let tokens = Lexer::tokens(&text, self.limits.tokens_max)?;
        self.query(&text, &tokens)
    }

    /// What `COPY table TO` copies: what a query of its columns would show. What comes with `COPY table FROM STDIN` goes
    /// where an INSERT of it would go.
    fn copied(&self, detail: &Detail) -> Option<Reading> {
        let Detail::Copy(copy) = detail else { return None };
        let text = if copy.inward { copy.as_insert(self.text, self.catalog)? } else { copy.as_query(self.text)? };
        let lineage = Lexer::tokens(&text, self.limits.tokens_max).and_then(|tokens| self.query(&text, &tokens));
        Some(lineage.map_or_else(Reading::NotUnderstood, |lineage| Reading::Understood(lineage.into())))
    }

    /// The lineage of the query that is these tokens of a text.
    fn query(&self, text: &str, tokens: &[Token<'_>]) -> Result<Lineage, NotUnderstood> {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Err(NotUnderstood::Syntax) };
        caps::check(tokens, self.limits)?;
        let text = text.get(first.start..last.end).unwrap_or_default();
        agreed(read_sqlparser::read(tokens), read_squawk::read(text), self.catalog, self.limits)
    }
}

/// The code that a statement makes, and whether that makes code in its turn.
fn made_code(kind: StatementKind, tokens: &[Token<'_>]) -> (Vec<Code>, bool) {
    let bodies = || tokens.iter().filter(|token| matches!(token.kind, TokenKind::Text(_)));
    match kind {
        StatementKind::Do => {
            let mut made = Vec::new();
            let mut inner = false;
            for body in bodies() {
                let (code, deeper) = code_in(body);
                made.extend(code);
                inner |= deeper;
            }
            (made, inner)
        }
        StatementKind::CreateFunction => (code(tokens), bodies().any(|body| !code_in(body).0.is_empty())),
        StatementKind::Unrecognised => (vec![Code::Anything], false),
        _ => (code(tokens), false),
    }
}

/// Keep a word that is not there yet.
fn collect(words: &mut BTreeSet<Name>, word: &str) {
    // a longer word is cut first, and is looked up by what it is cut to
    if word.len() > NAME_BYTES_MAX || !words.contains(word) {
        words.insert(Name::exact(word));
    }
}

/// The words in the strings of a statement whose strings are run, and in the strings in these.
fn body_words(tokens: &[Token<'_>], found: &mut BTreeSet<Name>) {
    for token in tokens {
        let TokenKind::Text(literal) = token.kind else { continue };
        let Ok(body) = literal.value() else { continue };
        match deep_words(&body) {
            Some(mut inside) => found.append(&mut inside),
            None => {
                found.append(&mut loose_words(&body));
                // What can not be taken apart may run strings.
                found.insert(Name::exact("execute"));
            }
        }
    }
}

#[cfg(test)]
mod misreadings;
#[cfg(test)]
mod tests;
