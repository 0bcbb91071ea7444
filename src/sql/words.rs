//! The quick look at a statement before any parse: which words does it hold?
//!
//! Most statements hold only words that are known to be harmless; for them nothing else has to be asked. The answer is
//! the same that the full analysis would give: it is read by PostgreSQL's own lexical rules.

use std::collections::BTreeSet;

use super::NotUnderstood;
use super::lexer::{Lexer, LiteralStyle, NATIONAL, TokenKind, is_word_byte};
use crate::catalog::{NAME_BYTES_MAX, Name};

/// A word outside of strings and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word as PostgreSQL takes it: folded unless it was quoted, unescaped, cut to 63 bytes.
    pub text: &'a str,
    /// Whether it stood in quotes: it then is no key word.
    pub quoted: bool,
}

/// Visit every identifier and key word of `text` in order, all statements of it together. Plain lower-case words are
/// handed on without a copy; others are folded in one buffer.
///
/// # Errors
/// [`NotUnderstood::Encoding`] for a NUL and [`NotUnderstood::Lexical`] for an open quote or comment or a character that
/// PostgreSQL does not accept; some words may have been visited before.
pub fn words(text: &str, mut visit: impl FnMut(Word<'_>)) -> Result<(), NotUnderstood> {
    if text.as_bytes().contains(&0) {
        return Err(NotUnderstood::Encoding);
    }
    let mut folded = String::new();
    for token in Lexer::new(text) {
        match token?.kind {
            TokenKind::Word(word) => {
                let word = truncated(word);
                if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    folded.clear();
                    folded.push_str(word);
                    folded.make_ascii_lowercase();
                    visit(Word { text: &folded, quoted: false });
                } else {
                    visit(Word { text: word, quoted: false });
                }
            }
            TokenKind::Quoted(quoted) => visit(Word { text: truncated(&quoted.value()?), quoted: true }),
            TokenKind::Text(literal) if literal.style == LiteralStyle::National => {
                visit(Word { text: NATIONAL, quoted: false });
            }
            TokenKind::Text(_)
            | TokenKind::Number(_)
            | TokenKind::Parameter(_)
            | TokenKind::Operator(_)
            | TokenKind::Mark(_) => {}
        }
    }
    Ok(())
}

/// Every word of a text whatever it is part of, strings and comments included, each once, folded, and as it is written
/// where that differs: for bodies whose strings may be run, and for text that can not be lexed. A `$` may be part of a
/// word or of a dollar quote: both readings are there; so are words behind the digits of a number.
pub(crate) fn loose_words(text: &str) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    let mut add = |word: &str| {
        if !word.is_empty() && !found.contains(truncated(word)) {
            found.insert(Name::folded(word));
            found.insert(Name::exact(word));
        }
    };
    let boundary = |character: char| u8::try_from(character).is_ok_and(|byte| byte.is_ascii() && !is_word_byte(byte));
    for run in text.split(boundary) {
        add(run);
        for part in run.split('$') {
            add(part);
            add(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
    }
    found
}

/// Strings in strings are followed this deep.
const NESTING_MAX: u32 = 6;

/// Every name in a text, those in its strings and comments included, and those in the strings' own strings: a body may
/// make another function, or run what it says. Names in quotes can hold any character, and be written with escapes: only
/// the lexer finds those. `None`: PostgreSQL's lexical rules do not accept it, or it is nested too deeply.
pub(crate) fn deep_words(text: &str) -> Option<BTreeSet<Name>> {
    let mut found = BTreeSet::new();
    let mut too_deep = false;
    let lexed = gather(text, NESTING_MAX, &mut found, &mut too_deep);
    (lexed && !too_deep).then_some(found)
}

/// Whether the text is one that PostgreSQL's lexical rules accept; a string in it that is not is no more than its words.
fn gather(text: &str, left: u32, found: &mut BTreeSet<Name>, too_deep: &mut bool) -> bool {
    found.append(&mut loose_words(text));
    let Some(left) = left.checked_sub(1) else {
        *too_deep = true;
        return false;
    };
    for token in Lexer::new(text) {
        let Ok(token) = token else { return false };
        if let TokenKind::Text(literal) = &token.kind {
            if literal.style == LiteralStyle::National {
                found.insert(Name::exact(NATIONAL));
            }
            let Ok(value) = literal.value() else { return false };
            gather(&value, left, found, too_deep);
        } else if let Some(name) = token.name() {
            found.insert(name);
        }
    }
    true
}

/// Cut as [`crate::catalog::Name`] is.
fn truncated(word: &str) -> &str {
    if word.len() <= NAME_BYTES_MAX {
        return word;
    }
    let end = (0..=NAME_BYTES_MAX).rev().find(|&at| word.is_char_boundary(at)).unwrap_or(0);
    word.get(..end).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(text: &str) -> Result<Vec<String>, NotUnderstood> {
        let mut found = Vec::new();
        words(text, |word| found.push(word.text.to_owned()))?;
        Ok(found)
    }

    #[test]
    fn names_are_found_however_deep_in_strings_and_however_escaped() {
        let body = r#"BEGIN CREATE FUNCTION f() AS $f$ SELECT * FROM U&"\0070erson" WHERE x = E'a\x62' $f$; END"#;
        let found = deep_words(body).unwrap();
        assert!(found.contains("person") && found.contains("ab"), "{found:?}");
        let deep = (0..10).fold("x".to_owned(), |inner, level| format!("$d{level}${inner}$d{level}$"));
        assert_eq!(deep_words(&deep), None);
        assert_eq!(deep_words("'open"), None);
        assert!(deep_words("SELECT 'it is ''open'").is_some());
    }

    #[test]
    fn every_word_outside_of_strings_and_comments_is_visited() {
        for (text, expected) in [
            ("select abalance from t where a = 1", vec!["select", "abalance", "from", "t", "where", "a"]),
            ("SELECT Email FROM \"Cust\"\"omers\"", vec!["select", "email", "from", "Cust\"omers"]),
            ("select 'email' -- email\n, /* email /* */ */ x", vec!["select", "x"]),
            ("select U&\"\\0073sn\", $$ssn$$", vec!["select", "ssn"]),
            ("a; b", vec!["a", "b"]),
            ("select n'a', s.N'b'", vec!["select", "nchar", "s", "nchar"]),
        ] {
            assert_eq!(collected(text), Ok(expected.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn long_words_are_cut_as_the_server_cuts_them() {
        let long = format!("select {}, \"{}é\"", "A".repeat(70), "b".repeat(62));
        assert_eq!(collected(&long).unwrap(), ["select".to_owned(), "a".repeat(63), "b".repeat(62)]);
    }

    #[test]
    fn loose_words_are_found_in_strings_and_quotes() {
        let found = loose_words("EXECUTE $q$select Email from $q$ || 'cust''omers' -- 1FROM x$y");
        for word in ["execute", "EXECUTE", "q", "select", "email", "Email", "cust", "omers", "from", "x$y", "x", "y"] {
            assert!(found.contains(word), "{word}");
        }
    }

    #[test]
    fn what_the_server_does_not_accept_is_an_error() {
        assert_eq!(collected("select 'open"), Err(NotUnderstood::Lexical));
        assert_eq!(collected("select /* open"), Err(NotUnderstood::Lexical));
        assert_eq!(collected("select 1\0"), Err(NotUnderstood::Encoding));
        assert_eq!(collected("select '\0'"), Err(NotUnderstood::Encoding));
    }
}
