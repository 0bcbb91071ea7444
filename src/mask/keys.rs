//! Secret keys of keyed masks.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Secret keys of keyed masks by their names in the policy. Loaded by the shell; wiped from memory when the last user
/// of a key is gone.
#[derive(Default)]
pub struct MaskKeys {
    keys: HashMap<Box<str>, MaskKey>,
}

impl MaskKeys {
    /// Add a key; a second one of the same name replaces the first.
    pub fn insert(&mut self, name: &str, key: [u8; 32]) {
        self.keys.insert(name.into(), MaskKey { secret: Arc::new(Zeroizing::new(key)) });
    }

    /// Whether there is a key of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.keys.contains_key(name)
    }

    /// The key of that name.
    pub(super) fn named(&self, name: &str) -> Option<MaskKey> {
        self.keys.get(name).map(|key| MaskKey { secret: Arc::clone(&key.secret) })
    }
}

impl fmt::Debug for MaskKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.keys.keys()).finish()
    }
}

/// What a keyed value is for: values of one purpose say nothing about those of another, under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Hash,
    EmailPseudonym,
    TextPseudonym,
    DigitsPseudonym,
    IntegerPseudonym,
    UuidPseudonym,
    DatePseudonym,
}

impl Purpose {
    /// The label that goes before the value; none is the beginning of another, for each ends in its only zero byte.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Hash => b"pgveil mask hash v1\0",
            Self::EmailPseudonym => b"pgveil mask pseudonym email v1\0",
            Self::TextPseudonym => b"pgveil mask pseudonym text v1\0",
            Self::DigitsPseudonym => b"pgveil mask pseudonym digits v1\0",
            Self::IntegerPseudonym => b"pgveil mask pseudonym integer v1\0",
            Self::UuidPseudonym => b"pgveil mask pseudonym uuid v1\0",
            Self::DatePseudonym => b"pgveil mask pseudonym date v1\0",
        }
    }
}

/// One key, shared by the masks that were made with it.
pub(super) struct MaskKey {
    secret: Arc<Zeroizing<[u8; 32]>>,
}

impl MaskKey {
    /// HMAC-SHA-256 of the value for that purpose. `block` counts from 0 where one digest is too short.
    pub(super) fn digest(&self, purpose: Purpose, block: u32, value: &[u8]) -> [u8; 32] {
        // HMAC fills shorter keys up with zeros to the block's 64 bytes; a key of that size is taken without a way to fail.
        let mut padded = Zeroizing::new([0; 64]);
        for (to, from) in padded.iter_mut().zip(self.secret.iter()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new((&*padded).into());
        mac.update(purpose.label());
        mac.update(&block.to_be_bytes());
        mac.update(value);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MaskKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_keys_and_shows_no_key_byte() {
        let mut keys = MaskKeys::default();
        keys.insert("default", [0xab; 32]);
        assert_eq!(format!("{keys:?}"), r#"{"default"}"#);
        assert_eq!(format!("{:?}", keys.named("default")), "Some(MaskKey)");
        assert!(keys.contains("default") && !keys.contains("other"));
    }

    #[test]
    fn purposes_keys_blocks_and_values_are_told_apart() {
        let mut keys = MaskKeys::default();
        keys.insert("a", [1; 32]);
        keys.insert("b", [2; 32]);
        let (a, b) = (keys.named("a").unwrap(), keys.named("b").unwrap());
        let digest = a.digest(Purpose::Hash, 0, b"x");
        assert_eq!(digest, a.digest(Purpose::Hash, 0, b"x"));
        assert_ne!(digest, a.digest(Purpose::TextPseudonym, 0, b"x"));
        assert_ne!(digest, a.digest(Purpose::Hash, 1, b"x"));
        assert_ne!(digest, a.digest(Purpose::Hash, 0, b"y"));
        assert_ne!(digest, b.digest(Purpose::Hash, 0, b"x"));
    }

    #[test]
    fn digests_are_hmac_sha_256() {
        // RFC 4231 has no 32-byte key; the value was computed with Python's `hmac` module.
        let mut keys = MaskKeys::default();
        keys.insert("a", [7; 32]);
        let digest = keys.named("a").unwrap().digest(Purpose::Hash, 0, b"jane");
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f17a81bf231db066a75582738452cc03ed95d44194b6350216acd9ec4187e913");
    }
}
