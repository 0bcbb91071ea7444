//! Key-encryption keys that pgveil holds itself: in a file, or in a setting.
//!
//! A wrapped data key is `nonce(12) ‖ ciphertext(32) ‖ tag(16)`, in base64: AES-256-GCM-SIV (RFC 8452) with a random nonce
//! under a subkey of the key-encryption key (HKDF-SHA-256, salt `pgveil key-encryption key v1`, info `wrap`). Associated
//! data is `pgveil wrapped key v1`, the key's name with its length before it as 8 bytes, and the data key's id. So it
//! unwraps under its own name and id alone. Which key-encryption key it was is written beside it: the first 8 bytes of the
//! subkey with info `id`.

use std::fmt;

use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Tag};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keyring::Wrapped;
use super::provider::{ProviderError, Secret, associated_data};
use crate::crypto::KeyId;

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Key-encryption keys: the first one wraps, each unwraps what it has wrapped.
pub(super) struct Keks {
    keks: Vec<Kek>,
}

/// A key-encryption key.
pub(super) struct Kek {
    id: KeyId,
    cipher: Aes256GcmSiv,
}

/// A text that is not key-encryption keys. It says nothing of what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key-encryption key is 64 hexadecimal digits (openssl rand -hex 32)")]
pub struct NotKeks;

impl Keks {
    /// Read them: each 64 hexadecimal digits, with white space or commas between.
    pub(super) fn parse(text: &str) -> Result<Self, NotKeks> {
        let words = text.split(|letter: char| letter.is_whitespace() || letter == ',').filter(|word| !word.is_empty());
        let keks = words.map(|digits| key_bytes(digits).map(|key| Kek::new(&key))).collect::<Option<Vec<_>>>();
        keks.filter(|keks| !keks.is_empty()).map(|keks| Self { keks }).ok_or(NotKeks)
    }

    pub(super) fn wrap(&self, name: &str, id: KeyId, secret: &Secret) -> Result<Wrapped, ProviderError> {
        let kek = self.keks.first().ok_or(NotKeks)?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        Ok(Wrapped { by: named(kek.id), key: STANDARD.encode(kek.seal(nonce, name, id, secret)?) })
    }

    pub(super) fn unwrap(&self, name: &str, id: KeyId, wrapped: &Wrapped) -> Result<Secret, ProviderError> {
        let kek = self.keks.iter().find(|kek| named(kek.id) == wrapped.by);
        let kek = kek.ok_or_else(|| ProviderError::OtherKey(wrapped.by.clone()))?;
        kek.open(name, id, &wrapped.key).ok_or(ProviderError::Damaged)
    }
}

impl Kek {
    fn new(key: &[u8; 32]) -> Self {
        let derivation = Hkdf::<Sha256>::new(Some(b"pgveil key-encryption key v1"), key);
        let subkey = |purpose: &[u8]| {
            let mut subkey = Zeroizing::new([0; 32]);
            let Ok(()) = derivation.expand(purpose, &mut *subkey) else { unreachable!("HKDF gives up to 8,160 bytes") };
            subkey
        };
        let [a, b, c, d, e, f, g, h, ..] = *subkey(b"id");
        Self { id: KeyId([a, b, c, d, e, f, g, h]), cipher: Aes256GcmSiv::new((&*subkey(b"wrap")).into()) }
    }

    fn seal(&self, nonce: [u8; NONCE_BYTES], name: &str, id: KeyId, secret: &Secret) -> Result<Vec<u8>, ProviderError> {
        let mut buffer = Zeroizing::new(**secret);
        let sealed =
            self.cipher.encrypt_inout_detached(&nonce.into(), &associated_data(name, id), (&mut buffer[..]).into());
        let tag = sealed.map_err(|_| ProviderError::Damaged)?;
        Ok([&nonce[..], &buffer[..], &tag].concat())
    }

    fn open(&self, name: &str, id: KeyId, wrapped: &str) -> Option<Secret> {
        let bytes = STANDARD.decode(wrapped).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
        let mut secret = Zeroizing::new(<[u8; 32]>::try_from(ciphertext).ok()?);
        let associated = associated_data(name, id);
        let buffer = (&mut secret[..]).into();
        self.cipher.decrypt_inout_detached(&(*nonce).into(), &associated, buffer, &Tag::from(*tag)).ok()?;
        Some(secret)
    }
}

impl fmt::Debug for Keks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.keks.iter().map(|kek| kek.id)).finish()
    }
}

/// 64 digits of a new key-encryption key.
pub(super) fn new_digits() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key)?;
    let mut digits = Zeroizing::new(String::with_capacity(64));
    for digit in key.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        digits.extend(char::from_digit(digit.into(), 16));
    }
    Ok(digits)
}

fn named(kek: KeyId) -> String {
    format!("key-encryption key {kek}")
}

fn key_bytes(digits: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 2 * key.len() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: KeyId = KeyId([1; 8]);

    #[test]
    fn a_wrapped_key_unwraps_under_its_own_name_id_and_kek_alone() {
        let (one, two) = ("0f".repeat(32), "f0".repeat(32));
        let secret = Zeroizing::new([7; 32]);
        let keks = Keks::parse(&one).unwrap();
        let wrapped = keks.wrap("customer", ID, &secret).unwrap();
        assert_ne!(wrapped, keks.wrap("customer", ID, &secret).unwrap());
        let both = Keks::parse(&format!("{two}\n{one}\n")).unwrap();
        for keks in [&keks, &both] {
            assert_eq!(keks.unwrap("customer", ID, &wrapped).ok().as_deref(), Some(&[7; 32]));
            assert!(matches!(keks.unwrap("customers", ID, &wrapped), Err(ProviderError::Damaged)));
            assert!(matches!(keks.unwrap("customer", KeyId([2; 8]), &wrapped), Err(ProviderError::Damaged)));
        }
        let other = Keks::parse(&two).unwrap();
        assert!(matches!(other.unwrap("customer", ID, &wrapped), Err(ProviderError::OtherKey(by)) if by == wrapped.by));
        assert_eq!(both.wrap("customer", ID, &secret).unwrap().by, named(other.keks[0].id));
        for at in 0..wrapped.key.len() {
            let mut key = wrapped.key.clone().into_bytes();
            key[at] = if key[at] == b'A' { b'B' } else { b'A' };
            let changed = Wrapped { key: String::from_utf8(key).unwrap(), ..wrapped.clone() };
            assert!(keks.unwrap("customer", ID, &changed).is_err());
        }
    }

    #[test]
    fn a_kek_is_64_hexadecimal_digits() {
        let good = "0f".repeat(32);
        for text in ["", "\n", &good[1..], &good.replace('0', "g"), &format!("{good}0"), &format!("{good} 0f")] {
            assert_eq!(Keks::parse(text).err(), Some(NotKeks), "{text}");
        }
        assert!(Keks::parse(&format!(" {good},{}\n", good.to_uppercase())).is_ok());
        let made = new_digits().unwrap();
        assert_eq!(made.len(), 64);
        assert!(Keks::parse(&made).is_ok());
    }

    #[test]
    fn the_wrapping_is_what_the_documentation_says() {
        // Computed with Python's hmac and cryptography packages.
        let keks = Keks::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
        let sealed = keks.keks[0].seal([9; 12], "customer", ID, &Zeroizing::new([7; 32])).unwrap();
        assert_eq!(keks.keks[0].id.to_string(), "513056d4db5d5251");
        assert_eq!(
            STANDARD.encode(sealed),
            "CQkJCQkJCQkJCQkJrd02KkNj49X47b0FCvKSq7awyQwou5pvtdbl+Ww7M6STL3arTz4HP9QqC2fRpaxD"
        );
    }
}
