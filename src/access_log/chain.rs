//! The chain: each record says its number and the digest of the line before it, so that no line can be changed, taken
//! out, put in or moved without breaking it.
//!
//! A digest is the SHA-256 of a line's bytes, its line feed included: `sed -n 41p access.jsonl | sha256sum` prints what
//! line 42 has as `prev`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a line; written as 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What the first record of a log has before it.
    pub const NOTHING: Self = Self([0; 32]);

    /// The digest of a line, with its line feed.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits in lower case")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digit = |character: u8| match character {
            b'0'..=b'9' => Ok(character - b'0'),
            b'a'..=b'f' => Ok(character - b'a' + 10),
            _ => Err(NotADigest),
        };
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            let [high, low] = *pair;
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a log is: the number of its next record and the digest of its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    next: u64,
    last: Digest,
}

impl Default for Chain {
    fn default() -> Self {
        Self { next: 1, last: Digest::NOTHING }
    }
}

impl Chain {
    /// Behind a record.
    pub fn behind(seq: u64, digest: Digest) -> Self {
        Self { next: seq.saturating_add(1), last: digest }
    }

    /// The number of the next record, from 1.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The number of the last record; 0: there is none.
    pub fn seq(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The digest of the last record's line.
    pub fn last(&self) -> Digest {
        self.last
    }

    /// This line was appended.
    pub fn append(&mut self, line: &[u8]) {
        *self = Self::behind(self.next, Digest::of(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        let digest = Digest::of(b"abc\n");
        assert_eq!(digest.to_string(), "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let good = Digest::NOTHING.to_string();
        for text in [&good[1..], &format!("{good}0"), &good.replacen('0', "A", 1), &good.replacen('0', "g", 1), ""] {
            assert_eq!(text.parse::<Digest>(), Err(NotADigest), "{text}");
        }
    }

    #[test]
    fn a_chain_counts_and_links() {
        let mut chain = Chain::default();
        assert_eq!((chain.next(), chain.seq(), chain.last()), (1, 0, Digest::NOTHING));
        chain.append(b"one\n");
        assert_eq!((chain.next(), chain.seq(), chain.last()), (2, 1, Digest::of(b"one\n")));
    }
}
