//! The envelope's form: its header, and its two spellings, bytes and text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What an envelope is longer than its plaintext, in bytes, before the text form.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

pub(super) const HEADER_BYTES: usize = ADDRESS_BYTES + NONCE_BYTES;
pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;

/// Magic, version, suite and key id.
pub(super) const ADDRESS_BYTES: usize = 12;

const MAGIC: [u8; 2] = *b"PV";
const VERSION: u8 = 1;

const TEXT_PREFIX: &[u8] = b"pgveil:";

/// Base64 digits of the header: 24 bytes are 32 digits, so that what follows is spelled apart from it.
const HEADER_DIGITS: usize = HEADER_BYTES / 3 * 4;

/// Which key an envelope was sealed with: chosen at random when the key is made, and written as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

/// How values of a column are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// With a random nonce: equal plaintexts have different envelopes. AES-256-GCM-SIV.
    Randomized,
    /// With a nonce derived from the plaintext: equal plaintexts have equal envelopes under one key. AES-256-GCM-SIV.
    Deterministic,
}

impl Mode {
    /// The mode's byte in the header.
    pub(super) fn suite(self) -> u8 {
        match self {
            Self::Randomized => 1,
            Self::Deterministic => 2,
        }
    }

    fn of_suite(suite: u8) -> Option<Self> {
        match suite {
            1 => Some(Self::Randomized),
            2 => Some(Self::Deterministic),
            _ => None,
        }
    }
}

impl KeyId {
    /// What the text forms of all envelopes have in front that this key sealed in that mode, and no others.
    pub fn text_prefix(self, mode: Mode) -> String {
        text_form(&address(mode.suite(), self))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyId({self})")
    }
}

/// A text that is not 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 16 hex digits")]
pub struct NotAKeyId;

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAKeyId);
        }
        u64::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| NotAKeyId)
    }
}

/// Bytes that call themselves an envelope and are none: cut off, of another version, or not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a damaged envelope")]
pub struct Damaged;

/// An envelope that is whole in form. Whether it opens is for its key to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    header: Header,
    /// Ciphertext and tag.
    sealed: Cow<'a, [u8]>,
}

impl<'a> Envelope<'a> {
    /// Read an envelope, in bytes or in its text form.
    pub fn parse(stored: &'a [u8]) -> Result<Self, Damaged> {
        let (header, sealed) = split(stored)?;
        Ok(match sealed {
            Sealed::Bytes(sealed) => Self { header, sealed: Cow::Borrowed(sealed) },
            Sealed::Digits(_) => {
                let mut bytes = Vec::new();
                sealed.append_to(&mut bytes)?;
                Self { header, sealed: Cow::Owned(bytes) }
            }
        })
    }

    /// The key that it was sealed with.
    pub fn key(&self) -> KeyId {
        self.header.key
    }

    /// How it was sealed.
    pub fn mode(&self) -> Mode {
        self.header.mode
    }

    /// How long its plaintext is, in bytes.
    pub fn plaintext_len(&self) -> usize {
        self.sealed.len() - TAG_BYTES
    }

    /// The envelope in bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header.to_bytes(), &*self.sealed].concat()
    }
}

/// Whether that stands for an envelope and not for a plaintext, by its first bytes: the text form by its prefix, bytes by
/// magic, version and suite. It may be damaged all the same.
pub fn is_envelope(stored: &[u8]) -> bool {
    stored.starts_with(TEXT_PREFIX)
        || (stored.len() >= OVERHEAD_BYTES
            && matches!(stored, [first, second, VERSION, suite, ..]
                if [*first, *second] == MAGIC && Mode::of_suite(*suite).is_some()))
}

/// The text form of an envelope that is given in bytes.
pub fn text_form(envelope: &[u8]) -> String {
    let mut text = String::with_capacity(TEXT_PREFIX.len() + envelope.len().div_ceil(3) * 4);
    text.push_str("pgveil:");
    STANDARD_NO_PAD.encode_string(envelope, &mut text);
    text
}

/// What stands before the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) mode: Mode,
    pub(super) key: KeyId,
    pub(super) nonce: [u8; NONCE_BYTES],
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let whole = address(self.mode.suite(), self.key).into_iter().chain(self.nonce);
        for (to, from) in bytes.iter_mut().zip(whole) {
            *to = from;
        }
        bytes
    }

    fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Damaged> {
        let (address, nonce) = bytes.split_first_chunk::<ADDRESS_BYTES>().ok_or(Damaged)?;
        let ([m, a, version, suite], key) = address.split_first_chunk::<4>().ok_or(Damaged)?;
        let mode = Mode::of_suite(*suite).ok_or(Damaged)?;
        if [*m, *a] != MAGIC || *version != VERSION {
            return Err(Damaged);
        }
        let key = KeyId(key.try_into().map_err(|_| Damaged)?);
        Ok(Self { mode, key, nonce: nonce.try_into().map_err(|_| Damaged)? })
    }
}

/// What the header begins with: magic, version, suite, key id.
pub(super) fn address(suite: u8, key: KeyId) -> [u8; ADDRESS_BYTES] {
    let [m, a] = MAGIC;
    let KeyId([b, c, d, e, f, g, h, i]) = key;
    [m, a, VERSION, suite, b, c, d, e, f, g, h, i]
}

/// Ciphertext and tag as they are stored.
pub(super) enum Sealed<'a> {
    Bytes(&'a [u8]),
    Digits(&'a [u8]),
}

impl Sealed<'_> {
    /// Append them in bytes. At an error nothing is appended.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) -> Result<(), Damaged> {
        match self {
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Digits(digits) => {
                let start = out.len();
                if STANDARD_NO_PAD.decode_vec(digits, out).is_err() {
                    out.truncate(start);
                    return Err(Damaged);
                }
            }
        }
        Ok(())
    }
}

/// The header of an envelope in either form, and what follows it, which is as long as a tag at least.
pub(super) fn split(stored: &[u8]) -> Result<(Header, Sealed<'_>), Damaged> {
    if let Some(digits) = stored.strip_prefix(TEXT_PREFIX) {
        let (header, rest) = digits.split_at_checked(HEADER_DIGITS).ok_or(Damaged)?;
        let mut bytes = [0; HEADER_BYTES];
        STANDARD_NO_PAD.decode_slice(header, &mut bytes).map_err(|_| Damaged)?;
        // 16 bytes are 22 digits.
        if rest.len() < (TAG_BYTES * 4).div_ceil(3) {
            return Err(Damaged);
        }
        Ok((Header::read(&bytes)?, Sealed::Digits(rest)))
    } else {
        let (header, rest) = stored.split_first_chunk::<HEADER_BYTES>().ok_or(Damaged)?;
        if rest.len() < TAG_BYTES {
            return Err(Damaged);
        }
        Ok((Header::read(header)?, Sealed::Bytes(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);

    fn bytes(plaintext_len: usize) -> Vec<u8> {
        let header = Header { mode: Mode::Deterministic, key: KEY, nonce: [9; NONCE_BYTES] };
        [&header.to_bytes()[..], &vec![7; plaintext_len + TAG_BYTES]].concat()
    }

    #[test]
    fn key_ids_are_written_and_read_as_sixteen_hex_digits() {
        assert_eq!(KEY.to_string(), "0123456789abcdef");
        assert_eq!("0123456789abcdef".parse(), Ok(KEY));
        assert_eq!("0123456789ABCDEF".parse(), Ok(KEY));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "+123456789abcdef", "0123456789abcdeg"] {
            assert_eq!(wrong.parse::<KeyId>(), Err(NotAKeyId), "{wrong}");
        }
    }

    #[test]
    fn both_forms_are_the_same_envelope() {
        for len in [0, 1, 2, 3, 100] {
            let bytes = bytes(len);
            let text = text_form(&bytes);
            let read = Envelope::parse(&bytes).unwrap();
            assert_eq!((read.key(), read.mode(), read.plaintext_len()), (KEY, Mode::Deterministic, len));
            assert_eq!(read, Envelope::parse(text.as_bytes()).unwrap());
            assert_eq!(read.to_bytes(), bytes);
            assert!(is_envelope(&bytes) && is_envelope(text.as_bytes()));
            assert!(text.starts_with(&KEY.text_prefix(Mode::Deterministic)));
            assert!(!text.starts_with(&KEY.text_prefix(Mode::Randomized)));
        }
        assert_eq!(KEY.text_prefix(Mode::Randomized), "pgveil:UFYBAQEjRWeJq83v");
    }

    #[test]
    fn what_is_cut_off_foreign_or_not_base64_is_damaged() {
        let whole = bytes(5);
        for len in 0..OVERHEAD_BYTES {
            assert_eq!(Envelope::parse(&whole[..len]), Err(Damaged), "{len}");
            let text = text_form(&whole[..len]);
            assert_eq!(Envelope::parse(text.as_bytes()), Err(Damaged), "{len}");
        }
        for (at, value) in [(0, b'p'), (1, b'v'), (2, 0), (2, 2), (3, 0), (3, 3)] {
            let mut other = whole.clone();
            other[at] = value;
            assert_eq!(Envelope::parse(&other), Err(Damaged));
            assert_eq!(Envelope::parse(text_form(&other).as_bytes()), Err(Damaged));
            assert!(!is_envelope(&other));
        }
        let text = text_form(&whole);
        for wrong in [format!("{text}="), format!("{text} "), format!("{text}\n"), text.replacen('U', "_", 1)] {
            assert_eq!(Envelope::parse(wrong.as_bytes()), Err(Damaged), "{wrong}");
        }
    }

    #[test]
    fn a_text_has_one_spelling() {
        // 44 bytes are 59 digits: of the last one only four bits count, and the others have to be zero.
        let text = text_form(&bytes(4));
        assert_eq!(text.len(), "pgveil:".len() + 59);
        let spellings = (0..64).filter(|value| {
            let digit = STANDARD_NO_PAD.encode([0, 0, *value]).pop().unwrap();
            let other = format!("{}{digit}", &text[..text.len() - 1]);
            Envelope::parse(other.as_bytes()).is_ok_and(|envelope| envelope.to_bytes() == bytes(4))
        });
        assert_eq!(spellings.count(), 1);
    }

    #[test]
    fn plaintexts_are_no_envelopes() {
        let prefixed = [b"PV\x01\x01".as_slice(), &[0; 35]].concat();
        for plain in [b"".as_slice(), b"jane@example.org", b"pgveil", b"PV", b"PV\x01\x01", &prefixed] {
            assert!(!is_envelope(plain), "{plain:?}");
        }
        assert!(is_envelope(b"pgveil:"));
    }
}
