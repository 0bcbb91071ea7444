//! Keyed masks: hashes, and stand-ins of the same sort.

use bytes::{BufMut, BytesMut};

use super::Format;
use super::characters::Characters;
use super::date::{self, DateType, IsoText};
use super::keys::{MaskKey, Purpose};
use super::number::{self, NumberType};
use super::replace::from_hex;
use super::shapes;

/// Days that pseudonyms of dates are among: 1930-01-01 to 2009-12-31, so that they read as dates of birth of adults.
const DATE_SPAN: u64 = 29_220;
/// Letters of made-up words.
const CONSONANTS: [u8; 16] = *b"bdfghjklmnprstvz";
const VOWELS: [u8; 4] = *b"aiou";
/// Integers beyond 2^53 are not exact in JavaScript and JSON.
const INT8_SPAN: u64 = (1 << 53) - 1;

/// The first hexadecimal digits of the digest of a text. Blanks at the end are not part of the value: `char(n)` has them
/// where `varchar` has not.
pub(super) fn hash_text(value: Characters<'_>, key: &MaskKey, digits: usize, out: &mut BytesMut) {
    let (core, _) = value.without_padding();
    put_hex(&key.digest(Purpose::Hash, 0, core.bytes()), digits, out);
}

/// The first bytes of the digest of a `bytea`. `None`: not the text form of one.
pub(super) fn hash_bytea(value: &[u8], key: &MaskKey, digits: usize, format: Format, out: &mut BytesMut) -> Option<()> {
    let octets = digits.div_ceil(2);
    match format {
        Format::Text => {
            let digest = key.digest(Purpose::Hash, 0, &bytea(value)?);
            out.put_slice(b"\\x");
            put_hex(&digest, octets * 2, out);
        }
        Format::Binary => out.put_slice(key.digest(Purpose::Hash, 0, value).get(..octets)?),
    }
    Some(())
}

fn put_hex(digest: &[u8], digits: usize, out: &mut BytesMut) {
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for nibble in nibbles.take(digits) {
        out.put_u8(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

/// The bytes of a `bytea` in text form, `bytea_output` hex or escape.
fn bytea(text: &[u8]) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix(b"\\x") {
        return from_hex(digits);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', after @ ..] => {
                bytes.push(b'\\');
                after
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                after
            }
            [b'\\', ..] => return None,
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        }
    }
}

/// A stand-in for a text: for an e-mail address one under a domain that can not exist (RFC 2606), for digits as many
/// digits, for anything else three made-up words.
pub(super) fn text(value: Characters<'_>, key: &MaskKey, out: &mut BytesMut) {
    let (core, _) = value.without_padding();
    let bytes = core.bytes();
    if shapes::email_parts(core).is_some() {
        put_words(&key.digest(Purpose::EmailPseudonym, 0, bytes), out);
        out.put_slice(b"@example.invalid");
    } else if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
        put_digits(bytes, key, out);
    } else {
        put_words(&key.digest(Purpose::TextPseudonym, 0, bytes), out);
    }
}

/// 48 bits as three words of five letters that can be spoken ("proquints": consonants stand for four bits, vowels for
/// two).
fn put_words(digest: &[u8; 32], out: &mut BytesMut) {
    let consonant = |bits: u16| CONSONANTS.get(usize::from(bits & 15)).copied().unwrap_or(b'b');
    let vowel = |bits: u16| VOWELS.get(usize::from(bits & 3)).copied().unwrap_or(b'a');
    for (place, pair) in digest.chunks_exact(2).take(3).enumerate() {
        let bits = pair.iter().fold(0, |bits: u16, byte| bits << 8 | u16::from(*byte));
        if place > 0 {
            out.put_u8(b'-');
        }
        out.put_slice(&[
            consonant(bits >> 12),
            vowel(bits >> 10),
            consonant(bits >> 6),
            vowel(bits >> 4),
            consonant(bits),
        ]);
    }
}

/// Whether a text is three made-up words. Nobody has such a name.
pub(super) fn is_words(text: &[u8]) -> bool {
    text.len() == 17
        && text.iter().enumerate().all(|(place, byte)| match place % 6 {
            5 => *byte == b'-',
            1 | 3 => VOWELS.contains(byte),
            _ => CONSONANTS.contains(byte),
        })
}

/// Whether a date is among those that stand in for others.
pub(super) fn is_stand_in(days: i64) -> bool {
    let first = date::days_of(1930, 1, 1);
    (0..DATE_SPAN).contains(&u64::try_from(days.saturating_sub(first)).unwrap_or(u64::MAX))
}

/// As many digits as the value has.
fn put_digits(value: &[u8], key: &MaskKey, out: &mut BytesMut) {
    let mut left = value.len();
    let mut block = 0;
    while left > 0 {
        // 250 is a multiple of ten: no digit is more likely than another.
        for byte in key.digest(Purpose::DigitsPseudonym, block, value).into_iter().filter(|byte| *byte < 250) {
            if left > 0 {
                left -= 1;
                out.put_u8(b'0' + byte % 10);
            }
        }
        block += 1;
    }
}

/// A stand-in for an integer, above 0: below 2^15, 2^31 or 2^53.
pub(super) fn integer(
    value: &[u8],
    number_type: NumberType,
    key: &MaskKey,
    format: Format,
    out: &mut BytesMut,
) -> Option<()> {
    let number = number::read_integer(value, number_type, format)?;
    let span = match number_type {
        NumberType::Int2 => u64::try_from(i16::MAX).ok()?,
        NumberType::Int4 => u64::try_from(i32::MAX).ok()?,
        NumberType::Int8 => INT8_SPAN,
        NumberType::Float4 | NumberType::Float8 | NumberType::Numeric => return None,
    };
    let drawn = leading(&key.digest(Purpose::IntegerPseudonym, 0, &number.to_be_bytes())) % span;
    number::write_integer(i64::try_from(drawn).ok()?.checked_add(1)?, number_type, format, out)
}

/// A stand-in for a date, between 1930 and 2009.
pub(super) fn date(value: &[u8], key: &MaskKey, format: Format, out: &mut BytesMut) -> Option<()> {
    let days = match format {
        Format::Text => IsoText::parse(std::str::from_utf8(value).ok()?, DateType::Date)?.days,
        Format::Binary => match i32::from_be_bytes(value.try_into().ok()?) {
            i32::MIN | i32::MAX => return None,
            days => i64::from(days),
        },
    };
    let drawn = leading(&key.digest(Purpose::DatePseudonym, 0, &days.to_be_bytes())) % DATE_SPAN;
    let stand_in = date::days_of(1930, 1, 1).checked_add(i64::try_from(drawn).ok()?)?;
    match format {
        Format::Text => date::put_date(stand_in, out),
        Format::Binary => out.put_i32(i32::try_from(stand_in).ok()?),
    }
    Some(())
}

/// A stand-in for a UUID: one of version 8 (RFC 9562).
pub(super) fn uuid(value: &[u8], key: &MaskKey, format: Format, out: &mut BytesMut) -> Option<()> {
    let given = match format {
        Format::Text => uuid::Uuid::try_parse_ascii(value).ok()?,
        Format::Binary => uuid::Uuid::from_slice(value).ok()?,
    };
    let digest = key.digest(Purpose::UuidPseudonym, 0, given.as_bytes());
    let octets = <[u8; 16]>::try_from(digest.get(..16)?).ok()?;
    let stand_in = uuid::Builder::from_custom_bytes(octets).into_uuid();
    match format {
        Format::Text => out.put_slice(stand_in.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes()),
        Format::Binary => out.put_slice(stand_in.as_bytes()),
    }
    Some(())
}

fn leading(digest: &[u8; 32]) -> u64 {
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::super::{MaskKeys, TextEncoding};
    use super::*;

    fn key() -> MaskKey {
        let mut keys = MaskKeys::default();
        keys.insert("default", [9; 32]);
        keys.named("default").unwrap()
    }

    fn stand_in(value: &str) -> String {
        let mut out = BytesMut::new();
        text(Characters::of(value.as_bytes(), TextEncoding::Utf8).unwrap(), &key(), &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn stand_ins_are_of_the_same_sort() {
        let email = stand_in("jane@example.org");
        let (local, domain) = email.split_once('@').unwrap();
        assert_eq!((local.len(), domain), (17, "example.invalid"));
        assert!(local.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));

        let digits = stand_in("00420123456789012345678901234567890123456789");
        assert!(digits.len() == 44 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(stand_in("Jane Doe").len(), 17);
        assert_eq!(stand_in("").len(), 17);
    }

    #[test]
    fn the_same_value_has_the_same_stand_in_and_padding_does_not_matter() {
        assert_eq!(stand_in("jane@example.org"), stand_in("jane@example.org    "));
        assert_ne!(stand_in("jane@example.org"), stand_in("june@example.org"));
        assert_ne!(stand_in("Jane"), stand_in("jane"));
    }

    #[test]
    fn text_and_binary_forms_have_the_same_stand_in() {
        let (mut shown, mut binary) = (BytesMut::new(), BytesMut::new());
        integer(b"-42", NumberType::Int4, &key(), Format::Text, &mut shown).unwrap();
        integer(&(-42_i32).to_be_bytes(), NumberType::Int4, &key(), Format::Binary, &mut binary).unwrap();
        let number = i32::from_be_bytes(binary[..].try_into().unwrap());
        assert!(number > 0);
        assert_eq!(shown, number.to_string());

        let (mut shown, mut binary) = (BytesMut::new(), BytesMut::new());
        date(b"2000-01-11", &key(), Format::Text, &mut shown).unwrap();
        date(&10_i32.to_be_bytes(), &key(), Format::Binary, &mut binary).unwrap();
        let days = IsoText::parse(std::str::from_utf8(&shown).unwrap(), DateType::Date).unwrap().days;
        assert_eq!(days, i64::from(i32::from_be_bytes(binary[..].try_into().unwrap())));
        assert!((date::days_of(1930, 1, 1)..date::days_of(2010, 1, 1)).contains(&days));

        let (mut shown, mut binary) = (BytesMut::new(), BytesMut::new());
        uuid(b"00000000-0000-0000-0000-000000000001", &key(), Format::Text, &mut shown).unwrap();
        uuid(&1_u128.to_be_bytes(), &key(), Format::Binary, &mut binary).unwrap();
        let parsed = uuid::Uuid::try_parse_ascii(&shown).unwrap();
        assert_eq!((parsed.as_bytes().as_slice(), parsed.get_version_num()), (&binary[..], 8));
    }

    #[test]
    fn bytea_hashes_to_bytes_whatever_its_text_form() {
        let (mut hex, mut escape, mut binary) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        hash_bytea(b"\\x615cff", &key(), 16, Format::Text, &mut hex).unwrap();
        hash_bytea(b"a\\\\\\377", &key(), 16, Format::Text, &mut escape).unwrap();
        hash_bytea(b"a\\\xff", &key(), 16, Format::Binary, &mut binary).unwrap();
        assert_eq!((hex.len(), binary.len()), (18, 8));
        assert_eq!(hex, escape);
        assert_eq!(bytea(&hex).unwrap(), binary);
        assert_eq!(hash_bytea(b"\\xa", &key(), 16, Format::Text, &mut hex), None);
        assert_eq!(hash_bytea(b"\\9", &key(), 16, Format::Text, &mut hex), None);
    }
}
