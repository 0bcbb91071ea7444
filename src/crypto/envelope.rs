//! The envelope's form: its header, and its two spellings, bytes and text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The most that an envelope is longer than its plaintext, in bytes, before the text form.
pub(super) const OVERHEAD_BYTES_MAX: usize = Mode::Indexed.overhead_bytes();

pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;

/// Magic, version, suite and key id.
pub(super) const ADDRESS_BYTES: usize = 12;

const MAGIC: [u8; 2] = *b"PV";
const VERSION: u8 = 1;

const TEXT_PREFIX: &[u8] = b"pgveil:";

/// Base64 digits of the address and of the longest header: 12 bytes are 16 digits and 39 are 52, so that what follows is
/// spelled apart from it.
const ADDRESS_DIGITS: usize = ADDRESS_BYTES / 3 * 4;
const HEADER_BYTES_MAX: usize = Mode::Indexed.header_bytes();

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
    /// With a random nonce and a [`BlindIndex`]: equal plaintexts have different envelopes, of which that part is equal under
    /// one key. AES-256-GCM-SIV.
    Indexed,
}

/// A keyed digest of a plaintext to look it up by, of 120 bits: equal plaintexts have equal ones, and no others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlindIndex(pub(super) [u8; BlindIndex::BYTES]);

impl BlindIndex {
    /// Its length in bytes: 20 base64 digits, none of them shared with what is beside it.
    pub const BYTES: usize = 15;

    /// What the text forms of all envelopes have in front that hold an index, and no others: the suite is in it.
    pub const TEXT_MARK: &str = "pgveil:UFYBB";

    /// The same of envelopes in bytes: magic, version and suite.
    pub const BYTES_MARK: [u8; 4] = [0x50, 0x56, VERSION, Mode::Indexed.suite()];

    /// Where it is in the text form of an envelope: the place of its first character, from 1 as SQL counts, and its length.
    pub const PLACE_IN_TEXT: (usize, usize) = (TEXT_PREFIX.len() + ADDRESS_DIGITS + 1, Self::BYTES / 3 * 4);

    /// The same in bytes.
    pub const PLACE_IN_BYTES: (usize, usize) = (ADDRESS_BYTES + 1, Self::BYTES);

    /// Its text form: 20 base64 digits, as they stand in the text form of the envelope.
    pub fn text(&self) -> String {
        STANDARD_NO_PAD.encode(self.0)
    }
}

impl Mode {
    /// The mode's byte in the header.
    pub(super) const fn suite(self) -> u8 {
        match self {
            Self::Randomized => 1,
            Self::Deterministic => 2,
            // 4 to 7 are one base64 digit after those of magic and version: the text form tells it by whole characters.
            Self::Indexed => 4,
        }
    }

    /// What an envelope is longer than its plaintext, in bytes, before the text form.
    pub const fn overhead_bytes(self) -> usize {
        self.header_bytes() + TAG_BYTES
    }

    pub(super) const fn header_bytes(self) -> usize {
        match self {
            Self::Randomized | Self::Deterministic => ADDRESS_BYTES + NONCE_BYTES,
            Self::Indexed => ADDRESS_BYTES + BlindIndex::BYTES + NONCE_BYTES,
        }
    }

    /// Whether equal values are known by what is stored: then they have to be under one version of their key.
    pub fn is_comparable(self) -> bool {
        match self {
            Self::Randomized => false,
            Self::Deterministic | Self::Indexed => true,
        }
    }

    fn of_suite(suite: u8) -> Option<Self> {
        match suite {
            1 => Some(Self::Randomized),
            2 => Some(Self::Deterministic),
            4 => Some(Self::Indexed),
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

    /// The index that it holds, if it is of [`Mode::Indexed`].
    pub fn blind_index(&self) -> Option<BlindIndex> {
        self.header.index
    }

    /// How long its plaintext is, in bytes.
    pub fn plaintext_len(&self) -> usize {
        self.sealed.len() - TAG_BYTES
    }

    /// The envelope in bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OVERHEAD_BYTES_MAX + self.sealed.len());
        self.header.append_to(&mut bytes);
        bytes.extend_from_slice(&self.sealed);
        bytes
    }
}

/// Whether that stands for an envelope and not for a plaintext, by its first bytes: the text form by its prefix, bytes by
/// magic, version and suite. It may be damaged all the same.
pub fn is_envelope(stored: &[u8]) -> bool {
    stored.starts_with(TEXT_PREFIX)
        || matches!(stored, [first, second, VERSION, suite, ..] if [*first, *second] == MAGIC
            && Mode::of_suite(*suite).is_some_and(|mode| stored.len() >= mode.overhead_bytes()))
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
    /// There in [`Mode::Indexed`] alone.
    pub(super) index: Option<BlindIndex>,
    pub(super) nonce: [u8; NONCE_BYTES],
}

impl Header {
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&address(self.mode.suite(), self.key));
        if let Some(index) = &self.index {
            bytes.extend_from_slice(&index.0);
        }
        bytes.extend_from_slice(&self.nonce);
    }

    /// Read it off bytes that it fills.
    fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let (address, rest) = bytes.split_first_chunk::<ADDRESS_BYTES>().ok_or(Damaged)?;
        let (mode, key) = read_address(address)?;
        let (index, nonce) = match mode {
            Mode::Randomized | Mode::Deterministic => (None, rest),
            Mode::Indexed => {
                let (index, nonce) = rest.split_first_chunk::<{ BlindIndex::BYTES }>().ok_or(Damaged)?;
                (Some(BlindIndex(*index)), nonce)
            }
        };
        Ok(Self { mode, key, index, nonce: nonce.try_into().map_err(|_| Damaged)? })
    }
}

fn read_address(address: &[u8; ADDRESS_BYTES]) -> Result<(Mode, KeyId), Damaged> {
    let ([m, a, version, suite], key) = address.split_first_chunk::<4>().ok_or(Damaged)?;
    let mode = Mode::of_suite(*suite).ok_or(Damaged)?;
    if [*m, *a] != MAGIC || *version != VERSION {
        return Err(Damaged);
    }
    Ok((mode, KeyId(key.try_into().map_err(|_| Damaged)?)))
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
        let mut address = [0; ADDRESS_BYTES];
        let first = digits.get(..ADDRESS_DIGITS).ok_or(Damaged)?;
        STANDARD_NO_PAD.decode_slice(first, &mut address).map_err(|_| Damaged)?;
        let (mode, _) = read_address(&address)?;
        let (header, rest) = digits.split_at_checked(mode.header_bytes() / 3 * 4).ok_or(Damaged)?;
        let mut bytes = [0; HEADER_BYTES_MAX];
        let bytes = bytes.get_mut(..mode.header_bytes()).ok_or(Damaged)?;
        STANDARD_NO_PAD.decode_slice(header, bytes).map_err(|_| Damaged)?;
        // 16 bytes are 22 digits.
        if rest.len() < (TAG_BYTES * 4).div_ceil(3) {
            return Err(Damaged);
        }
        Ok((Header::read(bytes)?, Sealed::Digits(rest)))
    } else {
        let address = stored.first_chunk::<ADDRESS_BYTES>().ok_or(Damaged)?;
        let (mode, _) = read_address(address)?;
        let (header, rest) = stored.split_at_checked(mode.header_bytes()).ok_or(Damaged)?;
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
        bytes_of(Mode::Deterministic, plaintext_len)
    }

    fn bytes_of(mode: Mode, plaintext_len: usize) -> Vec<u8> {
        let index = (mode == Mode::Indexed).then_some(BlindIndex([5; BlindIndex::BYTES]));
        let mut bytes = Vec::new();
        Header { mode, key: KEY, index, nonce: [9; NONCE_BYTES] }.append_to(&mut bytes);
        bytes.extend(vec![7; plaintext_len + TAG_BYTES]);
        bytes
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
    fn an_index_is_spelled_apart_and_tells_itself_by_what_stands_in_front() {
        assert_eq!((BlindIndex::PLACE_IN_TEXT, BlindIndex::PLACE_IN_BYTES), ((24, 20), (13, 15)));
        for len in [0, 1, 2, 3, 100] {
            let bytes = bytes_of(Mode::Indexed, len);
            let text = text_form(&bytes);
            let read = Envelope::parse(text.as_bytes()).unwrap();
            assert_eq!((read.key(), read.mode(), read.plaintext_len()), (KEY, Mode::Indexed, len));
            assert_eq!(read, Envelope::parse(&bytes).unwrap());
            assert_eq!(read.to_bytes(), bytes);
            let index = read.blind_index().unwrap();
            assert_eq!(&text[23..43], index.text());
            assert_eq!(&bytes[12..27], index.0);
            assert!(text.starts_with(BlindIndex::TEXT_MARK) && bytes.starts_with(&BlindIndex::BYTES_MARK));
        }
        for key in [KeyId([0; 8]), KEY, KeyId([0xff; 8])] {
            for mode in [Mode::Randomized, Mode::Deterministic, Mode::Indexed] {
                assert_eq!(key.text_prefix(mode).starts_with(BlindIndex::TEXT_MARK), mode == Mode::Indexed);
            }
        }
        let whole = bytes_of(Mode::Indexed, 5);
        for len in 0..Mode::Indexed.overhead_bytes() {
            assert_eq!(Envelope::parse(&whole[..len]), Err(Damaged), "{len}");
            assert_eq!(Envelope::parse(text_form(&whole[..len]).as_bytes()), Err(Damaged), "{len}");
            assert!(!is_envelope(&whole[..len]), "{len}");
        }
    }

    #[test]
    fn what_is_cut_off_foreign_or_not_base64_is_damaged() {
        let whole = bytes(5);
        for len in 0..Mode::Deterministic.overhead_bytes() {
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
