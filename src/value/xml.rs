//! `xml` (PostgreSQL manual, section 8.13; `xml.c`): kept as it was written, if it is a well-formed piece of content.
//!
//! What the server changes (an XML declaration, a line's end at the front) or reads by rules of its own (a document type) is
//! refused.

use super::ValueError;

/// Elements that are open at a time (libxml's `XML_PARSER_MAX_DEPTH`, which the server keeps).
const DEPTH_MAX: usize = 256;

fn malformed() -> ValueError {
    ValueError::new("2200N", "invalid XML content")
}

fn rare() -> ValueError {
    ValueError {
        hint: Some("Leave out the XML declaration, the document type and a line's end at the beginning."),
        ..ValueError::new("0A000", "pgveil does not read this form of XML")
    }
}

/// Fails where the text is no XML content, or some that is not kept as it is.
pub(super) fn check(text: &str) -> Result<(), ValueError> {
    if text.starts_with(['\n', '\r']) || text.contains("<?xml") || text.contains("<!DOCTYPE") {
        return Err(rare());
    }
    let allowed = |next: char| matches!(next, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if !text.chars().all(allowed) {
        return Err(malformed());
    }
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, markup) = rest.split_at_checked(at).ok_or_else(malformed)?;
        character_data(before)?;
        rest = if let Some(comment) = markup.strip_prefix("<!--") {
            let (_, after) = comment.split_once("--").ok_or_else(malformed)?;
            after.strip_prefix('>').ok_or_else(malformed)?
        } else if let Some(data) = markup.strip_prefix("<![CDATA[") {
            // Outside of an element the server's parser takes it, too.
            data.split_once("]]>").ok_or_else(malformed)?.1
        } else if let Some(instruction) = markup.strip_prefix("<?") {
            let (target, after) = name(instruction)?;
            if target.eq_ignore_ascii_case("xml") {
                return Err(malformed());
            }
            if target.contains(':') || !after.starts_with(['?', ' ', '\t', '\n', '\r']) {
                return Err(rare());
            }
            after.split_once("?>").ok_or_else(malformed)?.1
        } else if let Some(end) = markup.strip_prefix("</") {
            let (closed, after) = name(end)?;
            if open.pop() != Some(closed) {
                return Err(malformed());
            }
            skip_space(after).strip_prefix('>').ok_or_else(malformed)?
        } else {
            let (element, after) = name(markup.get(1..).unwrap_or_default())?;
            let (after, empty) = attributes(after)?;
            if !empty {
                open.push(element);
            }
            if open.len() >= DEPTH_MAX {
                return Err(rare());
            }
            after
        };
    }
    character_data(rest)?;
    if open.is_empty() { Ok(()) } else { Err(malformed()) }
}

fn is_space(next: char) -> bool {
    matches!(next, ' ' | '\t' | '\n' | '\r')
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// A name, and what follows it.
fn name(text: &str) -> Result<(&str, &str), ValueError> {
    let first = text.chars().next().ok_or_else(malformed)?;
    let end = text.find(|next: char| {
        !(next.is_ascii_alphanumeric()
            || matches!(next, '_' | ':' | '-' | '.')
            || (!next.is_ascii() && next.is_alphabetic()))
    });
    let (name, after) = text.split_at_checked(end.unwrap_or(text.len())).ok_or_else(malformed)?;
    // Which other letters a name may have is a long list.
    if !name.is_ascii() || after.starts_with(|next: char| !next.is_ascii()) {
        let common =
            name.chars().all(|next| next < '\u{d8}' && next.is_ascii() || ('\u{d8}'..='\u{17f}').contains(&next));
        if !common || name.contains(['\u{f7}', '\u{d7}']) || after.starts_with(|next: char| !next.is_ascii()) {
            return Err(rare());
        }
    }
    if first.is_ascii_alphabetic() || first == '_' || first == ':' || !first.is_ascii() {
        Ok((name, after))
    } else {
        Err(malformed())
    }
}

/// Attributes up to the tag's end; what follows, and whether the element ends there.
fn attributes(mut rest: &str) -> Result<(&str, bool), ValueError> {
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let trimmed = skip_space(rest);
        if let Some(after) = trimmed.strip_prefix("/>") {
            return Ok((after, true));
        }
        if let Some(after) = trimmed.strip_prefix('>') {
            return Ok((after, false));
        }
        if trimmed.len() == rest.len() {
            return Err(malformed());
        }
        let (attribute, after) = name(trimmed)?;
        if seen.contains(&attribute) {
            return Err(malformed());
        }
        // Two prefixes may stand for the same namespace, and namespaces have rules of their own.
        if seen.iter().any(|other| local(other) == local(attribute)) || attribute.starts_with("xml:") {
            return Err(rare());
        }
        seen.push(attribute);
        let value = skip_space(skip_space(after).strip_prefix('=').ok_or_else(malformed)?);
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or_else(malformed)?;
        let (value, after) = value.get(1..).unwrap_or_default().split_once(quote).ok_or_else(malformed)?;
        if value.contains('<') {
            return Err(malformed());
        }
        references(value)?;
        rest = after;
    }
}

fn local(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

fn character_data(text: &str) -> Result<(), ValueError> {
    if text.contains("]]>") {
        return Err(malformed());
    }
    references(text)
}

/// Each `&` begins a reference to a character, by its number or one of five names.
fn references(text: &str) -> Result<(), ValueError> {
    for reference in text.split('&').skip(1) {
        let (name, _) = reference.split_once(';').ok_or_else(malformed)?;
        if matches!(name, "amp" | "lt" | "gt" | "quot" | "apos") {
            continue;
        }
        let number = name.strip_prefix('#').ok_or_else(malformed)?;
        let code = match number.strip_prefix('x') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(digits, 16),
            Some(_) => return Err(malformed()),
            None if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse(),
            None => return Err(malformed()),
        };
        let code = code.map_err(|_| malformed())?;
        if !matches!(code, 9 | 10 | 13 | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x10000..=0x10ffff) {
            return Err(malformed());
        }
    }
    Ok(())
}
