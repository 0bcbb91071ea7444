//! `text`, `varchar`, `bpchar`, `name`: texts whose two forms are the same bytes (`varchar.c`, `name.c`).

use bytes::BytesMut;

use super::{PlainType, Scalar, ValueError};

/// `NAMEDATALEN` without its closing zero byte.
const NAME_BYTES_MAX: usize = 63;

/// What PostgreSQL takes for a space between and around words: `isspace()` of the C locale.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// The bytes as text: UTF-8, no zero byte.
pub(super) fn checked(bytes: &[u8]) -> Result<&str, ValueError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| ValueError::new("22021", "invalid byte sequence for encoding \"UTF8\""))?;
    if text.contains('\0') {
        return Err(ValueError::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00"));
    }
    Ok(text)
}

/// A `name` is cut to its length without a word, at the end of a character.
pub(super) fn name(text: &str) -> Vec<u8> {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.as_bytes().iter().take(end).copied().collect()
}

/// In binary form it has to be as short as it can be.
pub(super) fn name_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(ValueError::new("42622", "identifier too long"));
    }
    Ok(checked(bytes)?.as_bytes().to_vec())
}

/// The length of `varchar(n)` and `char(n)`, in characters: only blanks are cut off.
pub(super) fn fit(plain_type: &PlainType, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let text = std::str::from_utf8(plaintext).map_err(|_| ValueError::damaged(plain_type.scalar))?;
    let length = usize::try_from(plain_type.modifier - 4).unwrap_or(0);
    let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
    let (kept, excess) = text.split_at_checked(end).unwrap_or((text, ""));
    if excess.bytes().any(|byte| byte != b' ') {
        return Err(ValueError::new("22001", format!("value too long for type {plain_type}")));
    }
    let kept = if plain_type.scalar == Scalar::Bpchar { kept.trim_end_matches(' ') } else { kept };
    Ok(kept.as_bytes().to_vec())
}

/// What a cast to `varchar(n)` or `char(n)` leaves of it.
pub(super) fn cut(plain_type: &PlainType, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let text = std::str::from_utf8(plaintext).map_err(|_| ValueError::damaged(plain_type.scalar))?;
    let length = usize::try_from(plain_type.modifier - 4).unwrap_or(0);
    let kept: String = text.chars().take(length).collect();
    fit(plain_type, kept.as_bytes())
}

/// A `char(n)` is shown with blanks up to its length.
pub(super) fn write_padded(modifier: i32, plaintext: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(plaintext);
    let characters = plaintext.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let length = usize::try_from(modifier.saturating_sub(4)).unwrap_or(0);
    out.extend(std::iter::repeat_n(b' ', length.saturating_sub(characters)));
}

/// A `bpchar` as other texts see it: without blanks at its end.
pub(super) fn trim_blanks(mut plaintext: Vec<u8>) -> Vec<u8> {
    let blanks = plaintext.iter().rev().take_while(|byte| **byte == b' ').count();
    plaintext.truncate(plaintext.len() - blanks);
    plaintext
}

/// A `"char"`: the first byte of the text, which three octal digits behind a backslash may stand for.
pub(super) fn read_byte(text: &str) -> Vec<u8> {
    let octal = |digit: &u8| (b'0'..=b'7').contains(digit);
    match text.as_bytes() {
        [b'\\', a, b, c] if octal(a) && octal(b) && octal(c) => {
            // As in C, what is too much for a byte is lost.
            vec![(a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')]
        }
        [first, ..] => vec![*first],
        [] => vec![0],
    }
}

pub(super) fn write_byte(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    match plaintext {
        [0] => {}
        [byte @ 0x80..=0xff] => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        [byte] => out.extend_from_slice(&[*byte]),
        _ => return Err(ValueError::damaged(Scalar::Char)),
    }
    Ok(())
}
