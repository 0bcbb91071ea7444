//! Envelopes that are quoted in other texts, as in what the server says of a duplicate key.

use super::BlindIndex;

/// What all text forms begin with: the prefix and the digits of magic and version.
const TEXT: &[u8] = b"pgveil:UFYB";
/// What the bytes of all envelopes begin with as PostgreSQL writes `bytea`: magic and version.
const HEX: &[u8] = b"\\x505601";

/// The text with each envelope in it replaced; `None`: there is none. A cut off one counts, too.
pub fn without_envelopes(text: &[u8], by: &[u8]) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = text;
    let mut found = false;
    while let Some((&first, after)) = rest.split_first() {
        let end = if rest.starts_with(TEXT) {
            span(rest, TEXT.len(), |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        } else if rest.starts_with(HEX) {
            span(rest, HEX.len(), |byte| byte.is_ascii_hexdigit())
        } else {
            out.push(first);
            rest = after;
            continue;
        };
        found = true;
        out.extend_from_slice(by);
        rest = end;
    }
    found.then_some(out)
}

/// The text with each word in it replaced that is as long as a blind index, between parentheses, commas and blanks, as in what
/// the server says of a row or a key; `None`: there is none.
pub fn without_indexes(text: &[u8], by: &[u8]) -> Option<Vec<u8>> {
    let (_, length) = BlindIndex::PLACE_IN_TEXT;
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut out: Vec<u8> = Vec::new();
    let mut found = false;
    for part in text.split_inclusive(|byte| matches!(byte, b'(' | b')' | b',' | b' ')) {
        let (word, end) = match part.split_last() {
            Some((last, word)) if !is_digit(*last) => (word, part.get(word.len()..).unwrap_or_default()),
            Some(_) | None => (part, &[][..]),
        };
        let is_index = word.len() == length && word.iter().all(|&byte| is_digit(byte));
        found |= is_index;
        out.extend_from_slice(if is_index { by } else { word });
        out.extend_from_slice(end);
    }
    found.then_some(out)
}

/// What follows the first bytes and all of those behind them that belong to an envelope.
fn span(text: &[u8], first: usize, belongs: impl Fn(u8) -> bool) -> &[u8] {
    let rest = text.get(first..).unwrap_or_default();
    let length = rest.iter().take_while(|byte| belongs(**byte)).count();
    rest.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_as_long_as_an_index_are_taken_out_of_a_text() {
        for (text, expected) in [
            ("Key (email_index)=(AbC/+0123456789abcde) already exists.", Some("Key (email_index)=(X) already exists.")),
            ("Failing row contains (1, AbC/+0123456789abcde, x).", Some("Failing row contains (1, X, x).")),
            ("Key (code)=(AbC/+0123456789abcd) already exists.", None),
            ("Key (code)=(AbC/+0123456789abcdef) already exists.", None),
            ("Key (code)=(AbC-+0123456789abcde) already exists.", None),
            ("", None),
        ] {
            let found = without_indexes(text.as_bytes(), b"X");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }

    use super::super::{Bound, DataKey, KeyId, Nonce, text_form};
    use super::*;

    #[test]
    fn envelopes_are_replaced_wherever_they_stand_and_nothing_else_is() {
        let mut envelope = Vec::new();
        let bound = Bound { domain: "email", tenant: None };
        DataKey::new(KeyId([9; 8]), &[7; 32]).seal(Nonce::Derived, &bound, b"jane", &mut envelope).unwrap();
        let text = text_form(&envelope);
        let hex = format!("\\x{}", envelope.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        for (given, expected) in [
            (format!("Key (email)=({text}) already exists."), Some("Key (email)=(E) already exists.")),
            (format!("({text}, {text})"), Some("(E, E)")),
            (format!("row contains (1, {}...)", &text[..30]), Some("row contains (1, E...)")),
            (format!("\"{hex}\""), Some("\"E\"")),
            ("pgveil: column email".to_owned(), None),
            ("\\x5056".to_owned(), None),
            (String::new(), None),
        ] {
            let found = without_envelopes(given.as_bytes(), b"E");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{given}");
        }
    }
}
