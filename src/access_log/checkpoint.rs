//! Signed checkpoints: what attests the log, and what is to be kept outside.
//!
//! A checkpoint is a C2SP signed note (<https://c2sp.org/signed-note>) with an Ed25519 signature, so that programs which
//! are not pgveil can check it. Its text has six lines, each ended by a line feed:
//!
//! ```text
//! pgveil.access-log/018f4e7c-0000-7000-8000-000000000000     the log
//! 1234                                                       records, which is the number of the last one
//! 2jmj7l5rSw0yVb/vlWAYkK/YBwk4LC0nUGGKjBCMOGY=               SHA-256 of that record's line, in base64
//! 2026-11-21T09:05:04.000123Z                                when it was made
//! interval                                                   why: start, interval, segment-end, stop
//! 018f4e7c-0000-7000-8000-000000000001                       the id of the record that holds it
//! ```
//!
//! behind which come an empty line and `— NAME SIGNATURE`: a dash (U+2014), the key's name, and in base64 the first four
//! bytes of SHA-256(name, 0x0A, 0x01, public key) followed by the signature of the text. In the log it is the field `note`
//! of a record of kind `checkpoint`; all other fields of that record follow from the note, so that no byte of its line
//! can be changed. Without a signing key the note ends with the empty line.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::chain::Digest;
use super::line::Stamp;

/// What the first line of a checkpoint begins with.
const ORIGIN: &str = "pgveil.access-log/";
/// The name that keys have in their signatures.
const KEY_NAME: &str = "pgveil-access-log";
/// What the note begins with by which a key names its successor.
const SUCCESSION: &str = "pgveil.access-log/key-change";
/// The type of Ed25519 keys in signed notes.
const ED25519_TYPE: u8 = 1;

/// Why a checkpoint was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointReason {
    /// A process began to write, or a segment was begun.
    Start,
    /// It was time.
    Interval,
    /// The segment ends; nothing is behind it.
    SegmentEnd,
    /// The process ends cleanly.
    Stop,
}

impl CheckpointReason {
    /// As the note says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Interval => "interval",
            Self::SegmentEnd => "segment-end",
            Self::Stop => "stop",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Start, Self::Interval, Self::SegmentEnd, Self::Stop].into_iter().find(|reason| reason.name() == name)
    }
}

/// What a checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attested {
    /// The log.
    pub log: Uuid,
    /// The last record that it speaks of.
    pub seq: u64,
    /// The digest of that record's line.
    pub digest: Digest,
    /// When it was made, and the id of the record that holds it.
    pub stamp: Stamp,
    /// Why it was made.
    pub reason: CheckpointReason,
}

impl Attested {
    /// The note of it, signed if there is a key.
    pub fn note(&self, key: Option<&SigningKey>) -> String {
        let text = self.to_string();
        match key {
            Some(key) => key.note(&text),
            None => text + "\n",
        }
    }

    /// What a note says. Its signatures are not looked at.
    ///
    /// # Errors
    /// It is no checkpoint.
    pub fn read(note: &str) -> Result<Self, BadNote> {
        let (text, _) = parts(note)?;
        let mut lines = text.split_terminator('\n');
        let mut line = || lines.next().ok_or(BadNote::Form);
        let (origin, seq, digest, time, reason, id) = (line()?, line()?, line()?, line()?, line()?, line()?);
        let read = || {
            let digest: [u8; 32] = STANDARD.decode(digest).ok()?.try_into().ok()?;
            Some(Self {
                log: origin.strip_prefix(ORIGIN)?.parse().ok()?,
                seq: seq.parse().ok()?,
                digest: digest.into(),
                stamp: Stamp { time: time.parse().ok()?, id: id.parse().ok()? },
                reason: CheckpointReason::named(reason)?,
            })
        };
        // Each has one spelling only.
        read().filter(|read| read.to_string() == text).ok_or(BadNote::Form)
    }
}

impl fmt::Display for Attested {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, seq, digest, stamp, reason } = self;
        let digest = STANDARD.encode(digest.as_bytes());
        writeln!(out, "{ORIGIN}{log}\n{seq}\n{digest}\n{:.6}\n{}\n{}", stamp.time, reason.name(), stamp.id)
    }
}

/// Why a note is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// It has not the form of such a note.
    #[error("it is not a note of that form")]
    Form,
    /// It is not signed.
    #[error("it is not signed")]
    Unsigned,
    /// It is signed by a key that is not the one expected.
    #[error("it is signed by another key")]
    OtherKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
}

/// Text and signature lines of a note.
fn parts(note: &str) -> Result<(&str, &str), BadNote> {
    let at = note.rfind("\n\n").ok_or(BadNote::Form)?;
    let (text, signatures) = note.split_at_checked(at + 1).ok_or(BadNote::Form)?;
    Ok((text, signatures.strip_prefix('\n').ok_or(BadNote::Form)?))
}

/// A key that checks signatures, written as a verifier key of signed notes: `NAME+HASH+KEY`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

impl PublicKey {
    fn hash(&self) -> [u8; 4] {
        let mut digest = Sha256::new();
        digest.update(&self.name);
        digest.update([b'\n', ED25519_TYPE]);
        digest.update(self.key);
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        [a, b, c, d]
    }

    /// The text of a note that this key has signed, and no other has.
    ///
    /// # Errors
    /// It has not.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, BadNote> {
        let (text, signatures) = parts(note)?;
        if signatures.is_empty() {
            return Err(BadNote::Unsigned);
        }
        let line = signatures.strip_suffix('\n').filter(|line| !line.contains('\n')).ok_or(BadNote::Form)?;
        let (name, signature) =
            line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' ')).ok_or(BadNote::Form)?;
        let signature = STANDARD.decode(signature).map_err(|_| BadNote::Form)?;
        let (hash, signature) = signature.split_first_chunk::<4>().ok_or(BadNote::Form)?;
        if name != self.name || *hash != self.hash() {
            return Err(BadNote::OtherKey);
        }
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        key.verify(text.as_bytes(), signature).map_err(|_| BadNote::Signature)?;
        Ok(text)
    }

    /// The key that a former key names as its successor by this note.
    ///
    /// # Errors
    /// This key has not signed it, or it is no such note.
    pub fn successor(&self, note: &str) -> Result<Self, BadNote> {
        let mut lines = self.open(note)?.split_terminator('\n');
        match (lines.next(), lines.next(), lines.next(), lines.next()) {
            (Some(SUCCESSION), Some(key), Some(_), None) => key.parse().map_err(|_| BadNote::Form),
            _ => Err(BadNote::Form),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[ED25519_TYPE][..], &self.key].concat());
        write!(out, "{}+{:08x}+{key}", self.name, u32::from_be_bytes(self.hash()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A text that is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a public key as `pgveil log public-key` prints it: NAME+HASH+KEY")]
pub struct NotAKey;

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (name, rest) = text.split_once('+').ok_or(NotAKey)?;
        let (_, key) = rest.split_once('+').ok_or(NotAKey)?;
        let key = STANDARD.decode(key).map_err(|_| NotAKey)?;
        let [ED25519_TYPE, key @ ..] = key.as_slice() else { return Err(NotAKey) };
        let key = Self { name: name.to_owned(), key: key.try_into().map_err(|_| NotAKey)? };
        if name.is_empty() || key.to_string() != text { Err(NotAKey) } else { Ok(key) }
    }
}

/// The key that signs. It is not printed and not copied; ring keeps it until it is dropped.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key of a seed of 32 bytes; `None`: there are not as many.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { pair, public: PublicKey { name: KEY_NAME.to_owned(), key } })
    }

    /// The key that checks its signatures.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The note by which it names its successor.
    pub fn succession(&self, successor: &PublicKey, now: Timestamp) -> String {
        self.note(&format!("{SUCCESSION}\n{successor}\n{now:.6}\n"))
    }

    fn note(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signature = STANDARD.encode([&self.public.hash()[..], signature.as_ref()].concat());
        format!("{text}\n\u{2014} {} {signature}\n", self.public.name)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attested() -> Attested {
        Attested {
            log: Uuid::from_u128(1),
            seq: 1234,
            digest: Digest::of(b"line\n"),
            stamp: Stamp { time: "2026-11-21T09:05:04.000123Z".parse().unwrap(), id: Uuid::from_u128(2) },
            reason: CheckpointReason::Interval,
        }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    #[test]
    fn a_checkpoint_has_exactly_this_text() {
        assert_eq!(
            attested().note(None),
            "pgveil.access-log/00000000-0000-0000-0000-000000000001\n1234\n\
             2jmj7l5rSw0yVb/vlWAYkK/YBwk4LC0nUGGKjBCMOGY=\n2026-11-21T09:05:04.000123Z\ninterval\n\
             00000000-0000-0000-0000-000000000002\n\n"
                .replace(
                    "2jmj7l5rSw0yVb/vlWAYkK/YBwk4LC0nUGGKjBCMOGY=",
                    &STANDARD.encode(Digest::of(b"line\n").as_bytes())
                )
        );
    }

    #[test]
    fn what_was_signed_is_read_back_under_the_key_alone() {
        let note = attested().note(Some(&key(1)));
        assert_eq!(Attested::read(&note), Ok(attested()));
        assert!(key(1).public().open(&note).is_ok());
        assert_eq!(key(2).public().open(&note), Err(BadNote::OtherKey));
        assert_eq!(key(1).public().open(&attested().note(None)), Err(BadNote::Unsigned));
    }

    #[test]
    fn no_bit_of_a_signed_checkpoint_can_be_changed() {
        let (key, note) = (key(1), attested().note(Some(&key(1))));
        for at in 0..note.len() * 8 {
            let mut changed = note.clone().into_bytes();
            changed[at / 8] ^= 1 << (at % 8);
            let accepted = std::str::from_utf8(&changed).is_ok_and(|note| key.public().open(note).is_ok());
            assert!(!accepted, "bit {at}");
        }
    }

    #[test]
    fn a_public_key_is_read_as_it_is_written_and_not_otherwise() {
        let text = key(1).public().to_string();
        assert_eq!(text.parse().as_ref(), Ok(key(1).public()));
        assert!(text.starts_with("pgveil-access-log+"), "{text}");
        for wrong in ["", "a+b+c", &text[1..], &text.replace('+', "-"), &format!("{text}A")] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NotAKey), "{wrong}");
        }
    }

    /// The example of RFC 8032, section 7.1, test 1.
    #[test]
    fn keys_are_those_of_rfc_8032() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse::<Digest>().unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse::<Digest>().unwrap();
        assert_eq!(SigningKey::from_seed(seed.as_bytes()).unwrap().public().key, *public.as_bytes());
    }

    #[test]
    fn a_key_names_its_successor() {
        let note = key(1).succession(key(2).public(), Timestamp::UNIX_EPOCH);
        assert_eq!(key(1).public().successor(&note).as_ref(), Ok(key(2).public()));
        assert_eq!(key(2).public().successor(&note), Err(BadNote::OtherKey));
        assert_eq!(key(1).public().successor(&attested().note(Some(&key(1)))), Err(BadNote::Form));
    }
}
