//! Masks of any text, character by character.

use bytes::{BufMut, BytesMut};

use super::characters::Characters;

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
pub(super) fn is_white_space(byte: u8) -> bool {
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

#[cfg(test)]
mod tests {
    use super::super::TextEncoding;
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
