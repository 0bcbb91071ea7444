//! What an application says of itself in comments beside a statement, as sqlcommenter writes them:
//! `/*controller='orders',route='%2Forders%2F%3Aid'*/`.
//!
//! Keys and values are percent-encoded, values stand in single quotes, and a quote in them has a backslash before it
//! (specification of sqlcommenter, "Format"). Comments stand behind the statement, or right before it.

use std::ops::Range;

/// The tags of a statement's comments, decoded; `span`: where the statement's own tokens stand in the text.
pub fn comment_tags(text: &str, span: &Range<usize>) -> Vec<(String, String)> {
    let behind = comments(text.get(span.end..).unwrap_or_default());
    let mut tags: Vec<_> = behind.iter().filter_map(|comment| tags_of(comment)).flatten().collect();
    let before = text.get(..span.start).unwrap_or_default().trim_ascii_end().strip_suffix("*/");
    if let Some(comment) = before.and_then(|before| before.get(before.rfind("/*")?.saturating_add(2)..)) {
        tags.extend(tags_of(comment).unwrap_or_default());
    }
    tags
}

/// The comments at the beginning of a text. Those behind a semicolon count where nothing else is behind it.
fn comments(text: &str) -> Vec<&str> {
    let (mut own, mut rest, mut kept) = (Vec::new(), text, None);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(comment) = rest.strip_prefix("/*") {
            let Some((inner, after)) = comment.split_once("*/") else { break };
            own.push(inner);
            rest = after;
        } else if let Some(line) = rest.strip_prefix("--") {
            rest = line.find(['\n', '\r']).and_then(|end| line.get(end..)).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix(';') {
            kept.get_or_insert(own.len());
            rest = after;
        } else {
            break;
        }
    }
    if let (false, Some(kept)) = (rest.is_empty(), kept) {
        own.truncate(kept);
    }
    own
}

/// The tags in a comment; `None`: it is of another form.
fn tags_of(comment: &str) -> Option<Vec<(String, String)>> {
    let (mut tags, mut rest) = (Vec::new(), comment.trim_ascii());
    while !rest.is_empty() {
        let (key, after) = rest.split_once("='")?;
        let end = end_of_value(after)?;
        let value = after.get(..end)?;
        tags.push((decoded(key.trim_ascii())?, decoded(&value.replace("\\'", "'"))?));
        rest = after.get(end.checked_add(1)?..)?.trim_ascii_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_ascii_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(tags)
}

/// Where the quote is that ends a value.
fn end_of_value(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'\'' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Percent-encoding undone (RFC 3986, section 2.1); `None`: what it stands for is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escape.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_comments_beside_the_statement() {
        for (text, expected) in [
            ("SELECT 1 /*route='%2Fa%2F%3Aid',controller='orders'*/", "route=/a/:id controller=orders"),
            ("SELECT 1 /* a */ -- x\n /*action='it\\'s' , route='x'*/;", "action=it's route=x"),
            ("SELECT 1; /*route='behind'*/ ", "route=behind"),
            ("/*route='first'*/ SELECT 1", "route=first"),
            ("/*action='of the other'*/ SELECT 0; /*route='own'*/ SELECT 1", "route=own"),
            ("SELECT 1; /*route='of the next'*/ SELECT 2", ""),
            ("SELECT '/*route=''text''*/'", ""),
            ("SELECT 1 /* a plain comment */", ""),
            ("SELECT 1 /*route='open*/", ""),
            ("SELECT 1 /*route='x' y*/", ""),
            ("SELECT 1 /*route='%ff'*/", ""),
            ("SELECT 1 /*route='100%25 %zz'*/", "route=100% %zz"),
        ] {
            let start = text.find("SELECT 1").unwrap_or_else(|| text.find("SELECT").unwrap());
            let own = text.get(start..).unwrap();
            let end = start + if own.starts_with("SELECT 1") { "SELECT 1".len() } else { own.len() };
            let tags = comment_tags(text, &(start..end));
            let shown: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!(shown.join(" "), expected, "{text}");
        }
    }
}
