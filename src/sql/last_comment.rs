//! Tags that an application puts into a comment at the end of a statement, as sqlcommenter does
//! (google.github.io/sqlcommenter/spec): `/*action='show',route='%2Forders'*/`, keys and values URL-encoded.
//!
//! Only what is behind the statement's last token counts: a comment within it may be part of what somebody else wrote.

use super::lexer::{Lexer, Mark};

/// The value of a tag, or why there is none to rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommentTag {
    /// No comment at the end has it.
    None,
    /// The last comment has it.
    Value(String),
    /// It is there twice, or in a comment that is not the last one.
    Ambiguous,
}

/// The value of the tag of that name in the comment that a text ends with.
pub fn comment_tag(text: &str, name: &str) -> CommentTag {
    let end = text.trim_end_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', ';']);
    if !end.ends_with("*/") {
        return CommentTag::None;
    }
    let mut behind = 0;
    for token in Lexer::new(text) {
        match token {
            Ok(token) if token.is_mark(Mark::Semicolon) => {}
            Ok(token) => behind = token.end,
            Err(_) => return CommentTag::None,
        }
    }
    let comments = comments(text.get(behind..).unwrap_or_default());
    let mut found = comments.iter().enumerate().flat_map(|(at, comment)| {
        let values = tags(comment).into_iter().filter(|(key, _)| key == name);
        values.map(move |(_, value)| (at, value))
    });
    match (found.next(), found.next()) {
        (None, _) => CommentTag::None,
        (Some((at, value)), None) if at.saturating_add(1) == comments.len() => CommentTag::Value(value),
        (Some(_), _) => CommentTag::Ambiguous,
    }
}

/// The contents of the comments of a text that has nothing but blanks, semicolons and comments.
fn comments(mut text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches(|sign: char| sign.is_ascii_whitespace() || sign == ';' || sign == '\u{b}');
        if let Some(line) = text.strip_prefix("--") {
            text = line.find(['\n', '\r']).and_then(|end| line.get(end..)).unwrap_or_default();
            continue;
        }
        let Some(inside) = text.strip_prefix("/*") else { return found };
        let (mut depth, mut at) = (1_u32, 0_usize);
        let bytes = inside.as_bytes();
        while depth > 0 {
            match bytes.get(at..at.saturating_add(2)) {
                Some(b"/*") => (depth, at) = (depth.saturating_add(1), at.saturating_add(2)),
                Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at.saturating_add(2)),
                Some(_) => at = at.saturating_add(1),
                None => return found,
            }
        }
        found.push(inside.get(..at.saturating_sub(2)).unwrap_or_default());
        text = inside.get(at..).unwrap_or_default();
    }
}

/// The tags of a comment; none, if it is not made of tags.
fn tags(comment: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = comment.trim();
    loop {
        let Some((key, value)) = rest.split_once('=') else { return Vec::new() };
        let Some(value) = value.trim_start().strip_prefix('\'') else { return Vec::new() };
        let Some(end) = value.find('\'') else { return Vec::new() };
        let written = value.get(..end).unwrap_or_default();
        let (Some(key), Some(decoded)) = (decoded(key.trim()), decoded(written)) else { return Vec::new() };
        found.push((key, decoded));
        rest = value.get(end.saturating_add(1)..).unwrap_or_default().trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return found,
            None => return Vec::new(),
        }
    }
}

/// A text without its percent signs (RFC 3986, section 2.1). `None`: it is not encoded so.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            // An escaped quote would have ended the value for whoever reads SQL.
            b'\\' => return None,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_comment_behind_the_statement_speaks() {
        let value = |value: &str| CommentTag::Value(value.to_owned());
        for (text, expected) in [
            ("SELECT 1 /*actor='jane%40shop',route='%2Forders'*/", value("jane@shop")),
            ("SELECT 1 /* route='x', actor='jane' */ ; ", value("jane")),
            ("SELECT 1; /*actor='jane'*/", value("jane")),
            ("SELECT 1 -- x\n/*actor='jane'*/", value("jane")),
            ("/*actor='root'*/ SELECT 1", CommentTag::None),
            ("SELECT /*actor='root'*/ 1", CommentTag::None),
            ("SELECT /*actor='root'*/ 1 /*actor='jane'*/", value("jane")),
            ("SELECT 1 /*actor='root'*/ /*actor='jane'*/", CommentTag::Ambiguous),
            ("SELECT 1 /*actor='root'*/ /*route='x'*/", CommentTag::Ambiguous),
            ("SELECT 1 /*actor='root',actor='jane'*/", CommentTag::Ambiguous),
            ("SELECT 1 /*route='x'*/ /*actor='jane'*/", value("jane")),
            ("SELECT '/*actor=''root''*/'", CommentTag::None),
            ("SELECT $$ /*actor='root'*/ $$", CommentTag::None),
            ("SELECT 1 -- /*actor='root'*/", CommentTag::None),
            ("SELECT 1 /* -- */ -- */\n", CommentTag::None),
            ("SELECT 1 /* x /*actor='root'*/ */", CommentTag::None),
            ("SELECT 1 /*actor=root*/", CommentTag::None),
            ("SELECT 1 /*actor='a\\'b'*/", CommentTag::None),
            ("SELECT 1 /*actor='%zz'*/", CommentTag::None),
            ("SELECT 1 /*actor='a' route='b'*/", CommentTag::None),
            ("SELECT 1 /*xactor='root'*/", CommentTag::None),
            ("SELECT 'open /*actor='root'*/", CommentTag::None),
            ("SELECT 1", CommentTag::None),
            ("/*actor='jane'*/", value("jane")),
        ] {
            assert_eq!(comment_tag(text, "actor"), expected, "{text}");
        }
    }
}
