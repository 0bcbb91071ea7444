//! Masks of text, character by character.

use bytes::{BufMut, BytesMut};

/// What the bytes of text stand for, by the client's `client_encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextEncoding {
    /// `UTF8`. Also for `SQL_ASCII`: what is not UTF-8 is taken byte by byte.
    #[default]
    Utf8,
    /// One byte for each character, the first 128 of them ASCII: `LATIN1`, `WIN1252`, `KOI8R`, ...
    SingleByte,
    /// Several bytes for a character, some of which may look like ASCII (`SJIS`, `BIG5`, `GBK`, ...): only values that
    /// are ASCII throughout are taken apart, all others are redacted.
    MultiByte,
}

impl TextEncoding {
    /// By the name that the ParameterStatus `client_encoding` has. Unknown names are [`TextEncoding::MultiByte`].
    pub fn named(client_encoding: &str) -> Self {
        let name = client_encoding.to_ascii_uppercase();
        let single = ["LATIN", "WIN", "ISO_8859_", "KOI8"].iter().any(|prefix| name.starts_with(prefix));
        match name.as_str() {
            "UTF8" | "UNICODE" | "SQL_ASCII" => Self::Utf8,
            _ if single => Self::SingleByte,
            _ => Self::MultiByte,
        }
    }

    /// Whether a value can be taken apart at ASCII characters without mistaking part of another character for one.
    pub(super) fn splits(self, value: &[u8]) -> bool {
        match self {
            Self::Utf8 => std::str::from_utf8(value).is_ok(),
            Self::SingleByte => true,
            Self::MultiByte => value.is_ascii(),
        }
    }

    /// Whether a text of the policy means the same characters in this encoding.
    pub(super) fn writes(self, text: &[u8]) -> bool {
        match self {
            Self::Utf8 => true,
            Self::SingleByte | Self::MultiByte => text.is_ascii(),
        }
    }
}

/// A text as a sequence of characters.
#[derive(Clone, Copy)]
pub(super) enum Characters<'a> {
    Unicode(&'a str),
    /// Each byte is a character.
    Bytes(&'a [u8]),
}

impl<'a> Characters<'a> {
    /// `None`: it can not be told where its characters begin.
    pub(super) fn of(value: &'a [u8], encoding: TextEncoding) -> Option<Self> {
        match encoding {
            TextEncoding::Utf8 => Some(std::str::from_utf8(value).map_or(Self::Bytes(value), Self::Unicode)),
            TextEncoding::SingleByte => Some(Self::Bytes(value)),
            TextEncoding::MultiByte => value.is_ascii().then_some(Self::Bytes(value)),
        }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Unicode(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(super) fn count(self) -> usize {
        match self {
            Self::Unicode(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Before and after that many characters.
    fn split(self, count: usize) -> (Self, Self) {
        match self {
            Self::Unicode(text) => {
                let at = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
                let (head, tail) = text.split_at_checked(at).unwrap_or((text, ""));
                (Self::Unicode(head), Self::Unicode(tail))
            }
            Self::Bytes(bytes) => {
                let (head, tail) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
                (Self::Bytes(head), Self::Bytes(tail))
            }
        }
    }

    /// Without the blanks at the end, which are what pads `char(n)`; and those blanks.
    pub(super) fn without_padding(self) -> (Self, &'a [u8]) {
        let blanks = self.bytes().iter().rev().take_while(|byte| **byte == b' ').count();
        let at = self.bytes().len() - blanks;
        match self {
            Self::Unicode(text) => {
                let (core, padding) = text.split_at_checked(at).unwrap_or((text, ""));
                (Self::Unicode(core), padding.as_bytes())
            }
            Self::Bytes(bytes) => {
                let (core, padding) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
                (Self::Bytes(core), padding)
            }
        }
    }

    /// `#` for each character.
    pub(super) fn put_hashes(self, out: &mut BytesMut) {
        out.put_bytes(b'#', self.count());
    }

    /// `#` for each character but those that a test of ASCII characters keeps.
    pub(super) fn put_keeping(self, out: &mut BytesMut, keeps: impl Fn(u8) -> bool) {
        match self {
            Self::Bytes(bytes) => bytes.iter().for_each(|byte| {
                out.put_u8(if byte.is_ascii() && keeps(*byte) { *byte } else { b'#' });
            }),
            Self::Unicode(text) => text.chars().for_each(|character| {
                let kept = u8::try_from(character).ok().filter(|byte| byte.is_ascii() && keeps(*byte));
                out.put_u8(kept.unwrap_or(b'#'));
            }),
        }
    }
}

/// Each character but white space becomes `#`.
pub(super) fn full(value: Characters<'_>, out: &mut BytesMut) {
    match value {
        Characters::Unicode(text) if !text.is_ascii() => {
            for character in text.chars() {
                if character.is_whitespace() {
                    out.put_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                } else {
                    out.put_u8(b'#');
                }
            }
        }
        Characters::Unicode(_) | Characters::Bytes(_) => {
            let start = out.len();
            out.put_slice(value.bytes());
            for byte in out.iter_mut().skip(start) {
                if !is_white_space(*byte) {
                    *byte = b'#';
                }
            }
        }
    }
}

/// White space that is one byte in every encoding: what `char::is_whitespace` says of ASCII.
fn is_white_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Keeps the first `prefix` and the last `suffix` characters, if there is more than those.
pub(super) fn partial(value: Characters<'_>, prefix: usize, suffix: usize, pad: &[u8], out: &mut BytesMut) {
    let (core, _) = value.without_padding();
    let count = core.count();
    match prefix.checked_add(suffix) {
        Some(kept) if kept < count => {
            out.put_slice(core.split(prefix).0.bytes());
            out.put_slice(pad);
            out.put_slice(core.split(count - suffix).1.bytes());
        }
        Some(_) | None => out.put_slice(pad),
    }
}

/// Keeps the first characters, if there are more than those. Blanks at the end stay and do not count.
pub(super) fn show_first(value: Characters<'_>, kept: usize, out: &mut BytesMut) {
    let (core, padding) = value.without_padding();
    if core.count() > kept {
        let (head, tail) = core.split(kept);
        out.put_slice(head.bytes());
        tail.put_hashes(out);
    } else {
        core.put_hashes(out);
    }
    out.put_slice(padding);
}

/// Keeps the last characters, if there are more than those. Blanks at the end stay and do not count.
pub(super) fn show_last(value: Characters<'_>, kept: usize, out: &mut BytesMut) {
    let (core, padding) = value.without_padding();
    match core.count().checked_sub(kept) {
        Some(hidden) if hidden > 0 => {
            let (head, tail) = core.split(hidden);
            head.put_hashes(out);
            out.put_slice(tail.bytes());
        }
        Some(_) | None => core.put_hashes(out),
    }
    out.put_slice(padding);
}

/// The halves of an e-mail address. Only one `@`, no white space, nothing empty; more is not asked, since the domain
/// shows no more than its dots.
pub(super) fn email_parts(core: Characters<'_>) -> Option<(Characters<'_>, Characters<'_>)> {
    let bytes = core.bytes();
    let at = bytes.iter().position(|byte| *byte == b'@')?;
    let white = match core {
        Characters::Unicode(text) => text.chars().any(char::is_whitespace),
        Characters::Bytes(bytes) => bytes.iter().any(|byte| is_white_space(*byte)),
    };
    let (local, domain) = match core {
        Characters::Unicode(text) => {
            let (local, domain) = (text.get(..at)?, text.get(at + 1..)?);
            (Characters::Unicode(local), Characters::Unicode(domain))
        }
        Characters::Bytes(bytes) => (Characters::Bytes(bytes.get(..at)?), Characters::Bytes(bytes.get(at + 1..)?)),
    };
    let sound = !white && !local.bytes().is_empty() && !domain.bytes().is_empty() && !domain.bytes().contains(&b'@');
    sound.then_some((local, domain))
}

/// `j###@#######.##`.
pub(super) fn email(value: Characters<'_>, out: &mut BytesMut) {
    let (core, padding) = value.without_padding();
    let Some((local, domain)) = email_parts(core) else {
        return full(value, out);
    };
    show_first(local, 1, out);
    out.put_u8(b'@');
    domain.put_keeping(out, |byte| byte == b'.');
    out.put_slice(padding);
}

/// Keeps a leading `+`, the last digits and what separates them.
pub(super) fn phone(value: Characters<'_>, kept: usize, out: &mut BytesMut) {
    let bytes = value.bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let first = bytes.trim_ascii_start().first().copied();
    let sound = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b' ' | b'-' | b'(' | b')' | b'.' | b'/' | b'+'))
        && bytes.iter().filter(|byte| **byte == b'+').count() <= usize::from(first == Some(b'+'));
    if !sound || digits <= kept {
        return full(value, out);
    }
    put_last_digits(bytes, digits - kept, out);
}

/// Keeps the last four digits of a card number (ISO/IEC 7812: up to 19 digits) and what separates them. The check
/// digit is not looked at: a mistyped number deserves no less.
pub(super) fn card(value: Characters<'_>, out: &mut BytesMut) {
    let bytes = value.bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let sound = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b' ' | b'-'));
    if !sound || !(12..=19).contains(&digits) {
        return full(value, out);
    }
    put_last_digits(bytes, digits - 4, out);
}

/// The bytes with `#` for the first of the digits among them.
fn put_last_digits(bytes: &[u8], hidden: usize, out: &mut BytesMut) {
    let mut left = hidden;
    for byte in bytes {
        if byte.is_ascii_digit() && left > 0 {
            left -= 1;
            out.put_u8(b'#');
        } else {
            out.put_u8(*byte);
        }
    }
}

/// Keeps the country code, the last four characters and blanks of an IBAN (ISO 13616: two letters, two check digits,
/// 11 to 30 letters and digits). The check digits are not checked.
pub(super) fn iban(value: Characters<'_>, out: &mut BytesMut) {
    let bytes = value.bytes();
    let dense = || bytes.iter().filter(|byte| **byte != b' ');
    let count = dense().count();
    let sound = (15..=34).contains(&count)
        && dense().all(u8::is_ascii_alphanumeric)
        && dense().take(2).all(u8::is_ascii_alphabetic)
        && dense().skip(2).take(2).all(u8::is_ascii_digit);
    if !sound {
        return full(value, out);
    }
    let mut place = 0;
    for byte in bytes {
        if *byte == b' ' {
            out.put_u8(b' ');
            continue;
        }
        out.put_u8(if place < 2 || place + 4 >= count { *byte } else { b'#' });
        place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str, mask: impl Fn(Characters<'_>, &mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        mask(Characters::of(value.as_bytes(), TextEncoding::Utf8).unwrap(), &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn full_leaves_nothing_but_white_space() {
        for (value, masked) in
            [("", ""), ("Jane Doe", "#### ###"), ("Zoë\tØ\u{3000}日本", "###\t#\u{3000}##"), ("a\u{0b}b", "#\u{0b}#")]
        {
            assert_eq!(shown(value, full), masked);
        }
    }

    #[test]
    fn partial_keeps_both_ends_of_what_is_long_enough() {
        for (value, masked) in [
            ("4111111111", "4***11"),
            ("abcd", "a***cd"),
            ("abc", "***"),
            ("", "***"),
            ("Zoë日本語", "Z***本語"),
            ("abcd      ", "a***cd"),
        ] {
            assert_eq!(shown(value, |value, out| partial(value, 1, 2, b"***", out)), masked, "{value}");
        }
        assert_eq!(shown("abc", |value, out| partial(value, 0, 0, b"*", out)), "*");
        assert_eq!(shown("abc", |value, out| partial(value, usize::MAX, 1, b"*", out)), "*");
    }

    #[test]
    fn short_values_are_fully_masked() {
        for (value, first, last) in [
            ("abcdef", "abcd##", "##cdef"),
            ("abcde", "abcd#", "#bcde"),
            ("abcd", "####", "####"),
            ("é", "#", "#"),
            ("", "", ""),
            ("ab cd ef   ", "ab c####   ", "####d ef   "),
            ("日本語日本", "日本語日#", "#本語日本"),
        ] {
            assert_eq!(shown(value, |value, out| show_first(value, 4, out)), first, "{value}");
            assert_eq!(shown(value, |value, out| show_last(value, 4, out)), last, "{value}");
        }
    }

    #[test]
    fn email_keeps_first_character_at_sign_and_dots_of_the_domain() {
        for (value, masked) in [
            ("jane@example.de", "j###@#######.##"),
            ("jane.doe@mail.example.com", "j#######@####.#######.###"),
            ("j@x.y", "#@#.#"),
            ("zoë@exämple.de  ", "z##@#######.##  "),
            ("no address", "## #######"),
            ("@example.de", "###########"),
            ("jane@", "#####"),
            ("a@b.c,d@e.f", "###########"),
            ("Jane <j@x.de>", "#### ########"),
            ("", ""),
        ] {
            assert_eq!(shown(value, email), masked, "{value}");
        }
    }

    #[test]
    fn phone_keeps_the_last_digits_and_the_shape() {
        for (value, masked) in [
            ("+49 (30) 123-4567", "+## (##) ###-4567"),
            ("0301234567", "######4567"),
            ("12345", "#2345"),
            ("1234", "####"),
            ("call Jane 0301234567", "#### #### ##########"),
            ("030+1234567", "###########"),
            ("", ""),
        ] {
            assert_eq!(shown(value, |value, out| phone(value, 4, out)), masked, "{value}");
        }
    }

    #[test]
    fn card_and_iban_keep_the_last_four() {
        for (value, masked) in [
            ("4111 1111 1111 1234", "#### #### #### 1234"),
            ("4111-1111-1111-1234", "####-####-####-1234"),
            ("41111111", "########"),
            ("4111 1111 1111 123x", "#### #### #### ####"),
        ] {
            assert_eq!(shown(value, card), masked, "{value}");
        }
        for (value, masked) in [
            ("DE89 3704 0044 0532 0130 00", "DE## #### #### #### ##30 00"),
            ("NO9386011117947", "NO#########7947"),
            ("DE89", "####"),
            ("1234 3704 0044 0532 0130 00", "#### #### #### #### #### ##"),
        ] {
            assert_eq!(shown(value, iban), masked, "{value}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_taken_byte_by_byte() {
        let latin1 = b"Zo\xeb M\xfcller";
        let mut out = BytesMut::new();
        full(Characters::of(latin1, TextEncoding::Utf8).unwrap(), &mut out);
        assert_eq!(out[..], *b"### ######");
        out.clear();
        show_first(Characters::of(latin1, TextEncoding::SingleByte).unwrap(), 3, &mut out);
        assert_eq!(out[..], *b"Zo\xeb#######");
        assert!(Characters::of(b"\x83\x5c", TextEncoding::named("SJIS")).is_none());
        assert!(Characters::of(b"plain", TextEncoding::named("SJIS")).is_some());
    }
}
