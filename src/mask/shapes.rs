//! Masks of text of a known shape: e-mail addresses, telephone numbers, card numbers, IBANs. What has not the shape is
//! masked in full.

use bytes::{BufMut, BytesMut};

use super::characters::Characters;
use super::text::{full, is_white_space, show_first};

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
    use super::super::TextEncoding;
    use super::*;

    fn shown(value: &str, mask: impl Fn(Characters<'_>, &mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        mask(Characters::of(value.as_bytes(), TextEncoding::Utf8).unwrap(), &mut out);
        String::from_utf8(out.to_vec()).unwrap()
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
}
