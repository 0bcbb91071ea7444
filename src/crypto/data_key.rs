//! The key that values are sealed with.

use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

use super::envelope::{
    ADDRESS_BYTES, BlindIndex, Damaged, Header, KeyId, Mode, NONCE_BYTES, Sealed, TAG_BYTES, address,
};

/// The longest plaintext, in bytes: its text form is what PostgreSQL still takes for one value, below 1 GiB.
pub const PLAINTEXT_BYTES_MAX: usize = 0x3000_0000 - 96;

/// Salt of the derivation of a data key's subkeys.
const SALT: &[u8] = b"pgveil data key v1";

/// A key that values are sealed with, and its subkeys, each for one purpose. They are wiped when it is dropped.
pub struct DataKey {
    id: KeyId,
    subkeys: Box<Subkeys>,
}

/// On memory pages of their own, so that these can be locked.
#[repr(align(4096))]
struct Subkeys {
    encryption: Aes256GcmSiv,
    /// HMAC under the subkey that nonces of the deterministic mode are derived with.
    nonces: Hmac<Sha256>,
    /// HMAC under the subkey of blind indexes.
    blind_index: Hmac<Sha256>,
}

/// Where a value belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    /// The column, or the columns that may be compared with each other, by an id that survives renames.
    pub domain: &'a str,
    /// Whose value it is, where tenants are told apart.
    pub tenant: Option<&'a [u8]>,
}

/// What goes into the encryption but once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonce {
    /// From a cryptographic random source, for this value alone: [`Mode::Randomized`].
    Random([u8; 12]),
    /// From the plaintext and what it is bound to, by HMAC-SHA-256: [`Mode::Deterministic`].
    Derived,
    /// From a cryptographic random source, with a blind index beside it: [`Mode::Indexed`].
    Indexed([u8; 12]),
}

/// A plaintext longer than [`PLAINTEXT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is too long to be encrypted")]
pub struct TooLong;

impl DataKey {
    /// The data key of that id with its subkeys, by HKDF-SHA-256 (RFC 5869). The caller wipes `secret`.
    pub fn new(id: KeyId, secret: &[u8; 32]) -> Self {
        let derivation = Hkdf::<Sha256>::new(Some(SALT), secret);
        let subkey = |purpose: &[u8]| {
            // HMAC fills a shorter key up with zeros to the block's 64 bytes; a key of that size is taken without a way to fail.
            let mut key = Zeroizing::new([0; 64]);
            let Some(half) = key.first_chunk_mut::<32>() else { unreachable!("32 of 64 bytes") };
            let Ok(()) = derivation.expand(purpose, half) else { unreachable!("HKDF gives up to 8,160 bytes") };
            key
        };
        let encryption = subkey(b"encryption");
        let Some(encryption) = encryption.first_chunk::<32>() else { unreachable!("32 of 64 bytes") };
        let subkeys = Subkeys {
            encryption: Aes256GcmSiv::new(encryption.into()),
            nonces: Hmac::new((&*subkey(b"nonce")).into()),
            blind_index: Hmac::new((&*subkey(b"blind index")).into()),
        };
        Self { id, subkeys: Box::new(subkeys) }
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Where its subkeys are in memory, and how many bytes they take, for those who can keep them from being swapped out.
    pub fn memory(&self) -> (*const (), usize) {
        let subkeys: *const Subkeys = &*self.subkeys;
        (subkeys.cast(), size_of::<Subkeys>())
    }

    /// Append the envelope of a plaintext, in bytes: [`Mode::overhead_bytes`] more than that has.
    pub fn seal(&self, nonce: Nonce, bound: &Bound<'_>, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(TooLong);
        }
        let mode = match nonce {
            Nonce::Random(_) => Mode::Randomized,
            Nonce::Derived => Mode::Deterministic,
            Nonce::Indexed(_) => Mode::Indexed,
        };
        let index = (mode == Mode::Indexed).then(|| self.blind_index(bound, plaintext));
        let associated = bound.associated_data(mode.suite(), self.id, index.as_ref());
        let nonce = match nonce {
            Nonce::Random(nonce) | Nonce::Indexed(nonce) => nonce,
            Nonce::Derived => self.derived_nonce(&associated, plaintext),
        };
        let start = out.len();
        // All at once: what grows leaves copies of the plaintext behind.
        out.reserve(plaintext.len() + mode.overhead_bytes());
        Header { mode, key: self.id, index, nonce }.append_to(out);
        let body = out.len();
        out.extend_from_slice(plaintext);
        let (_, buffer) = out.split_at_mut(body);
        match self.subkeys.encryption.encrypt_inout_detached(&nonce.into(), &associated, buffer.into()) {
            Ok(tag) => {
                out.extend_from_slice(&tag);
                Ok(())
            }
            Err(_) => {
                wipe_from(start, out);
                Err(TooLong)
            }
        }
    }

    /// Append the plaintext of an envelope that this key sealed. At an error nothing is appended.
    pub(super) fn open(
        &self,
        header: &Header,
        sealed: &Sealed<'_>,
        bound: &Bound<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        let start = out.len();
        sealed.append_to(out)?;
        let associated = bound.associated_data(header.mode.suite(), self.id, header.index.as_ref());
        let (_, sealed) = out.split_at_mut(start);
        let (buffer, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(Damaged)?;
        let len = buffer.len();
        let tag = Tag::from(*tag);
        let opened =
            self.subkeys.encryption.decrypt_inout_detached(&header.nonce.into(), &associated, buffer.into(), &tag);
        match opened {
            Ok(()) => {
                out.truncate(start + len);
                Ok(())
            }
            Err(_) => {
                wipe_from(start, out);
                Err(Damaged)
            }
        }
    }

    /// What values of [`Mode::Indexed`] are looked up by: equal plaintexts that are bound alike have equal ones.
    pub fn blind_index(&self, bound: &Bound<'_>, plaintext: &[u8]) -> BlindIndex {
        let associated = bound.associated_data(Mode::Indexed.suite(), self.id, None);
        let digest = digest(&self.subkeys.blind_index, &associated, plaintext);
        let mut index = [0; BlindIndex::BYTES];
        for (to, from) in index.iter_mut().zip(digest) {
            *to = from;
        }
        BlindIndex(index)
    }

    /// The nonce of the deterministic mode. It repeats only where the whole envelope does.
    fn derived_nonce(&self, associated: &[u8], plaintext: &[u8]) -> [u8; NONCE_BYTES] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = digest(&self.subkeys.nonces, associated, plaintext);
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DataKey({})", self.id)
    }
}

impl Bound<'_> {
    /// The associated data: each part of unknown length with its length before it, so that no two bounds are the same.
    fn associated_data(&self, suite: u8, key: KeyId, index: Option<&BlindIndex>) -> Vec<u8> {
        let tenant_len = self.tenant.map_or(0, <[u8]>::len);
        let parts = ADDRESS_BYTES + BlindIndex::BYTES + 8 + self.domain.len() + 1 + 8 + tenant_len;
        let mut data = Vec::with_capacity(parts);
        data.extend_from_slice(&address(suite, key));
        data.extend(index.iter().flat_map(|index| index.0));
        append_part(self.domain.as_bytes(), &mut data);
        match self.tenant {
            None => data.push(0),
            Some(tenant) => {
                data.push(1);
                append_part(tenant, &mut data);
            }
        }
        data
    }
}

fn append_part(part: &[u8], data: &mut Vec<u8>) {
    data.extend_from_slice(&(part.len() as u64).to_be_bytes());
    data.extend_from_slice(part);
}

fn digest(keyed: &Hmac<Sha256>, associated: &[u8], plaintext: &[u8]) -> [u8; 32] {
    let mut mac = keyed.clone();
    mac.update(&(associated.len() as u64).to_be_bytes());
    mac.update(associated);
    mac.update(plaintext);
    mac.finalize().into_bytes().into()
}

/// Cut off what was appended, wiped.
fn wipe_from(start: usize, out: &mut Vec<u8>) {
    let (_, appended) = out.split_at_mut(start);
    appended.zeroize();
    out.truncate(start);
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{split, text_form};
    use super::*;

    const BOUND: Bound<'static> = Bound { domain: "email", tenant: None };
    const NONCES: [Nonce; 3] = [Nonce::Derived, Nonce::Random([3; 12]), Nonce::Indexed([3; 12])];

    fn key() -> DataKey {
        DataKey::new(KeyId([1; 8]), &[7; 32])
    }

    fn sealed(key: &DataKey, nonce: Nonce, bound: &Bound<'_>, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key.seal(nonce, bound, plaintext, &mut out).unwrap();
        out
    }

    fn opened(key: &DataKey, bound: &Bound<'_>, stored: &[u8]) -> Result<Vec<u8>, Damaged> {
        let (header, body) = split(stored)?;
        let mut out = b"before".to_vec();
        let result = key.open(&header, &body, bound, &mut out);
        let after = out.split_off(6);
        assert_eq!(out, b"before");
        assert!(result.is_ok() || after.is_empty());
        result.map(|()| after)
    }

    #[test]
    fn what_was_sealed_opens_in_both_forms_and_all_modes() {
        for nonce in NONCES {
            for plaintext in [b"".as_slice(), b"x", b"jane@example.org", "żółć 😀".as_bytes(), &[0; 100_000]] {
                for bound in [BOUND, Bound { domain: "", tenant: Some(b"7") }] {
                    let envelope = sealed(&key(), nonce, &bound, plaintext);
                    let read = split(&envelope).unwrap().0;
                    assert_eq!(envelope.len(), plaintext.len() + read.mode.overhead_bytes());
                    assert_eq!(opened(&key(), &bound, &envelope).as_deref(), Ok(plaintext));
                    assert_eq!(opened(&key(), &bound, text_form(&envelope).as_bytes()).as_deref(), Ok(plaintext));
                }
            }
        }
    }

    #[test]
    fn what_is_bound_elsewhere_does_not_open() {
        let bounds = [
            Bound { domain: "email", tenant: None },
            Bound { domain: "emai", tenant: None },
            Bound { domain: "email\0", tenant: None },
            Bound { domain: "email", tenant: Some(b"") },
            Bound { domain: "email", tenant: Some(b"1") },
            Bound { domain: "email1", tenant: Some(b"") },
            Bound { domain: "", tenant: Some(b"email") },
        ];
        for nonce in NONCES {
            for (here, bound) in bounds.iter().enumerate() {
                let envelope = sealed(&key(), nonce, bound, b"jane");
                for (there, other) in bounds.iter().enumerate() {
                    assert_eq!(opened(&key(), other, &envelope).is_ok(), here == there, "{bound:?} {other:?}");
                }
                let (same_secret, same_id) =
                    (DataKey::new(KeyId([2; 8]), &[7; 32]), DataKey::new(KeyId([1; 8]), &[8; 32]));
                assert_eq!(opened(&same_secret, bound, &envelope), Err(Damaged));
                assert_eq!(opened(&same_id, bound, &envelope), Err(Damaged));
            }
        }
    }

    #[test]
    fn any_changed_bit_is_damage() {
        for nonce in NONCES {
            let envelope = sealed(&key(), nonce, &BOUND, b"jane");
            for at in 0..envelope.len() {
                // The key id is looked up before a key opens anything; that one is bound, another test says.
                if (4..12).contains(&at) {
                    continue;
                }
                for bit in 0..8 {
                    let mut changed = envelope.clone();
                    changed[at] ^= 1 << bit;
                    assert_eq!(opened(&key(), &BOUND, &changed), Err(Damaged), "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn equal_plaintexts_have_equal_envelopes_only_with_derived_nonces() {
        let of = |nonce, plaintext: &[u8]| sealed(&key(), nonce, &BOUND, plaintext);
        assert_eq!(of(Nonce::Derived, b"jane"), of(Nonce::Derived, b"jane"));
        assert_ne!(of(Nonce::Derived, b"jane")[12..24], of(Nonce::Derived, b"joan")[12..24]);
        assert_ne!(of(Nonce::Random([1; 12]), b"jane"), of(Nonce::Random([2; 12]), b"jane"));
    }

    #[test]
    fn blind_indexes_are_equal_where_key_bound_and_plaintext_are() {
        let other = Bound { domain: "name", tenant: None };
        let tenant = Bound { domain: "email", tenant: Some(b"7") };
        let index = |bound: &Bound<'_>, plaintext: &[u8]| key().blind_index(bound, plaintext);
        assert_eq!(index(&BOUND, b"jane"), index(&BOUND, b"jane"));
        assert_ne!(index(&BOUND, b"jane"), index(&BOUND, b"joan"));
        assert_ne!(index(&BOUND, b"jane"), index(&other, b"jane"));
        assert_ne!(index(&BOUND, b"jane"), index(&tenant, b"jane"));
        assert_ne!(index(&BOUND, b"jane"), DataKey::new(KeyId([2; 8]), &[7; 32]).blind_index(&BOUND, b"jane"));
        let (one, two) = (Nonce::Indexed([1; 12]), Nonce::Indexed([2; 12]));
        let (one, two) = (sealed(&key(), one, &BOUND, b"jane"), sealed(&key(), two, &BOUND, b"jane"));
        assert_eq!((&one[..27], &one[12..27]), (&two[..27], &index(&BOUND, b"jane").0[..]));
        assert_ne!(one[27..], two[27..]);
    }

    #[test]
    fn the_longest_plaintext_fits_a_value_of_postgresql() {
        let text = "pgveil:".len() + (PLAINTEXT_BYTES_MAX + Mode::Indexed.overhead_bytes()).div_ceil(3) * 4;
        // A value has a header of four bytes, and a message that carries it a few more.
        assert!(text < (1 << 30) - 16, "{text}");
    }

    #[test]
    fn a_key_prints_its_id_alone() {
        assert_eq!(format!("{:?}", key()), "DataKey(0101010101010101)");
    }
}
