//! The keys that are usable now, by name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::data_key::{Bound, DataKey};
use super::envelope::{KeyId, Mode, is_envelope, split};

/// The keys by the names that policies call them: each has versions, of which new values are sealed with one and older
/// ones open what they sealed. Made by the shell, never changed: another one takes its place.
#[derive(Default)]
pub struct KeyRing {
    names: HashMap<Box<str>, NamedKey>,
}

struct NamedKey {
    /// The oldest first.
    versions: Vec<KeyVersion>,
    equality: Equality,
}

/// One version of a named key.
#[derive(Clone, Debug)]
pub struct KeyVersion {
    /// Its id, in each envelope that it sealed.
    pub id: KeyId,
    /// What it may be used for.
    pub state: KeyState,
    /// The key. `None`: it is destroyed, or could not be unwrapped.
    pub key: Option<Arc<DataKey>>,
}

/// What a version of a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Seals and opens.
    Active,
    /// Opens what it has sealed.
    Retired,
    /// Its key is gone, and with it all that it sealed.
    Destroyed,
}

/// Under which versions deterministic values and those with a blind index are, which have to be under one to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equality {
    /// The version that they are written under.
    pub pinned: KeyId,
    /// The version that they are being moved away from, while that is under way.
    pub leaving: Option<KeyId>,
}

/// Why there is no key to write or compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key has that name.
    #[error("no key has that name")]
    Unknown,
    /// The version that is needed could not be unwrapped.
    #[error("the key is not available: its provider could not unwrap it")]
    Unavailable,
    /// The version that is needed was destroyed, or none is left to write under.
    #[error("the key was destroyed")]
    Destroyed,
}

/// Why a stored value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not look like an envelope.
    #[error("not an envelope")]
    NotAnEnvelope,
    /// It was changed, cut off, or moved from where it belongs.
    #[error("damaged, or moved from where it belongs")]
    Damaged,
    /// It was sealed with a key of another name, or one that nobody knows.
    #[error("sealed with key {0}, which is not one of this column's")]
    Foreign(KeyId),
    /// The version that sealed it could not be unwrapped.
    #[error("sealed with key {0}, which is not available")]
    Unavailable(KeyId),
    /// The version that sealed it was destroyed: nobody reads it again.
    #[error("sealed with key {0}, which was destroyed")]
    Destroyed(KeyId),
}

impl KeyRing {
    /// Add a key with its versions, the oldest first; a second one of the same name replaces the first.
    pub fn insert(&mut self, name: &str, versions: Vec<KeyVersion>, equality: Equality) {
        self.names.insert(name.into(), NamedKey { versions, equality });
    }

    /// Whether there is a key of that name, usable or not.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The key to seal values with. Randomized: the newest active version that is there; deterministic, or with a blind
    /// index: the one that values are compared under.
    pub fn writing(&self, name: &str, mode: Mode) -> Result<&DataKey, KeyError> {
        let named = self.names.get(name).ok_or(KeyError::Unknown)?;
        match mode {
            Mode::Randomized => named.newest(),
            Mode::Deterministic | Mode::Indexed => {
                named.version(named.equality.pinned).ok_or(KeyError::Unavailable)?.usable()
            }
        }
    }

    /// All versions that values which are compared may be stored under, the one that they are written under first. More than
    /// one only while they are moved. Values under a destroyed version are equal to nothing.
    pub fn comparing(&self, name: &str) -> Result<Vec<&DataKey>, KeyError> {
        let named = self.names.get(name).ok_or(KeyError::Unknown)?;
        let mut keys = vec![self.writing(name, Mode::Deterministic)?];
        if let Some(leaving) = named.equality.leaving {
            match named.version(leaving).ok_or(KeyError::Unavailable)?.usable() {
                Ok(key) => keys.push(key),
                Err(KeyError::Destroyed) => {}
                Err(error @ (KeyError::Unknown | KeyError::Unavailable)) => return Err(error),
            }
        }
        Ok(keys)
    }

    /// Append the plaintext of a stored value, which is in either form of the envelope, if it was sealed with a version of
    /// that key for where it is bound to. At an error nothing is appended. The caller wipes `out`.
    pub fn open(&self, name: &str, stored: &[u8], bound: &Bound<'_>, out: &mut Vec<u8>) -> Result<(), OpenError> {
        if !is_envelope(stored) {
            return Err(OpenError::NotAnEnvelope);
        }
        let (header, sealed) = split(stored).map_err(|_| OpenError::Damaged)?;
        let id = header.key;
        let version = self.names.get(name).and_then(|named| named.version(id)).ok_or(OpenError::Foreign(id))?;
        match version.usable() {
            Ok(key) => key.open(&header, &sealed, bound, out).map_err(|_| OpenError::Damaged),
            Err(KeyError::Destroyed) => Err(OpenError::Destroyed(id)),
            Err(KeyError::Unavailable | KeyError::Unknown) => Err(OpenError::Unavailable(id)),
        }
    }

    /// The versions of the key of that name, the oldest first; none if there is no such key.
    pub fn versions(&self, name: &str) -> &[KeyVersion] {
        self.names.get(name).map_or(&[], |named| &named.versions)
    }

    /// The versions that deterministic values of that key are under.
    pub fn equality(&self, name: &str) -> Option<Equality> {
        self.names.get(name).map(|named| named.equality)
    }

    /// The names of all keys, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.names.keys()).finish()
    }
}

impl NamedKey {
    fn version(&self, id: KeyId) -> Option<&KeyVersion> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// The newest active version that is there. One that can not be unwrapped does not stop writing under an older one.
    fn newest(&self) -> Result<&DataKey, KeyError> {
        let mut found = Err(KeyError::Destroyed);
        for version in self.versions.iter().rev().filter(|version| version.state == KeyState::Active) {
            match version.usable() {
                Ok(key) => return Ok(key),
                Err(error) => found = Err(error),
            }
        }
        found
    }
}

impl KeyVersion {
    fn usable(&self) -> Result<&DataKey, KeyError> {
        match (self.state, &self.key) {
            (KeyState::Destroyed, _) => Err(KeyError::Destroyed),
            (KeyState::Active | KeyState::Retired, Some(key)) => Ok(key),
            (KeyState::Active | KeyState::Retired, None) => Err(KeyError::Unavailable),
        }
    }
}

#[cfg(test)]
impl KeyRing {
    /// A ring for tests: each name has one active version, whose id and secret are made of the name.
    pub fn of_tests(names: &[&str]) -> Self {
        use sha2::{Digest, Sha256};
        let mut ring = Self::default();
        for name in names {
            let secret: [u8; 32] = Sha256::digest(name).into();
            let id = KeyId(*secret.first_chunk().expect("8 of 32 bytes"));
            let key = Some(Arc::new(DataKey::new(id, &secret)));
            ring.insert(
                name,
                vec![KeyVersion { id, state: KeyState::Active, key }],
                Equality { pinned: id, leaving: None },
            );
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::super::data_key::Nonce;
    use super::super::envelope::text_form;
    use super::*;

    const BOUND: Bound<'static> = Bound { domain: "email", tenant: None };
    const A: KeyId = KeyId([0xa; 8]);
    const B: KeyId = KeyId([0xb; 8]);
    const C: KeyId = KeyId([0xc; 8]);

    fn key(id: KeyId) -> Arc<DataKey> {
        Arc::new(DataKey::new(id, &[id.0[0]; 32]))
    }

    fn there(id: KeyId, state: KeyState) -> KeyVersion {
        KeyVersion { id, state, key: Some(key(id)) }
    }

    fn absent(id: KeyId, state: KeyState) -> KeyVersion {
        KeyVersion { id, state, key: None }
    }

    fn ring(versions: Vec<KeyVersion>, pinned: KeyId, leaving: Option<KeyId>) -> KeyRing {
        let mut ring = KeyRing::default();
        ring.insert("customer", versions, Equality { pinned, leaving });
        ring
    }

    fn sealed(id: KeyId) -> Vec<u8> {
        let mut out = Vec::new();
        key(id).seal(Nonce::Derived, &BOUND, b"jane", &mut out).unwrap();
        out
    }

    #[test]
    fn randomized_values_are_written_under_the_newest_active_version_that_is_there() {
        use KeyState::{Active, Destroyed, Retired};
        for (versions, expected) in [
            (vec![there(A, Active), there(B, Active)], Ok(B)),
            (vec![there(A, Active), there(B, Retired)], Ok(A)),
            (vec![there(A, Active), absent(B, Active)], Ok(A)),
            (vec![there(A, Retired), absent(B, Active)], Err(KeyError::Unavailable)),
            (vec![there(A, Retired), absent(B, Destroyed)], Err(KeyError::Destroyed)),
            (vec![absent(A, Destroyed)], Err(KeyError::Destroyed)),
        ] {
            let ring = ring(versions.clone(), A, None);
            let writing = ring.writing("customer", Mode::Randomized).map(DataKey::id);
            assert_eq!(writing, expected, "{versions:?}");
        }
        assert_eq!(KeyRing::default().writing("customer", Mode::Randomized).unwrap_err(), KeyError::Unknown);
    }

    #[test]
    fn deterministic_values_stay_under_the_version_that_they_are_pinned_to() {
        use KeyState::{Active, Destroyed, Retired};
        for (versions, pinned, leaving, expected) in [
            (vec![there(A, Active), there(B, Active)], A, None, Ok(vec![A])),
            (vec![there(A, Active), there(B, Active)], B, Some(A), Ok(vec![B, A])),
            (vec![there(A, Retired), there(B, Active)], B, Some(A), Ok(vec![B, A])),
            (vec![absent(A, Destroyed), there(B, Active)], B, Some(A), Ok(vec![B])),
            (vec![absent(A, Active), there(B, Active)], B, Some(A), Err(KeyError::Unavailable)),
            (vec![there(A, Active), absent(B, Active)], B, Some(A), Err(KeyError::Unavailable)),
            (vec![absent(A, Destroyed), there(B, Active)], A, None, Err(KeyError::Destroyed)),
            (vec![there(B, Active)], A, None, Err(KeyError::Unavailable)),
        ] {
            let ring = ring(versions.clone(), pinned, leaving);
            let ids = ring.comparing("customer").map(|keys| keys.into_iter().map(DataKey::id).collect::<Vec<_>>());
            assert_eq!(ids, expected, "{versions:?}");
            let writing = ring.writing("customer", Mode::Deterministic).map(DataKey::id);
            assert!(expected.is_err() || writing == Ok(pinned));
        }
        assert_eq!(KeyRing::default().comparing("customer").unwrap_err(), KeyError::Unknown);
    }

    #[test]
    fn a_value_opens_with_the_version_that_sealed_it_or_says_why_not() {
        use KeyState::{Active, Destroyed, Retired};
        let ring = ring(vec![there(A, Retired), absent(B, Active), absent(C, Destroyed)], A, None);
        let mut damaged = sealed(A);
        damaged[30] ^= 1;
        for (name, stored, expected) in [
            ("customer", sealed(A), Ok(b"jane".as_slice())),
            ("customer", text_form(&sealed(A)).into_bytes(), Ok(b"jane")),
            ("customer", damaged, Err(OpenError::Damaged)),
            ("customer", sealed(A)[..39].to_vec(), Err(OpenError::NotAnEnvelope)),
            ("customer", b"pgveil:UFYB".to_vec(), Err(OpenError::Damaged)),
            ("customer", b"jane@example.org".to_vec(), Err(OpenError::NotAnEnvelope)),
            ("customer", sealed(B), Err(OpenError::Unavailable(B))),
            ("customer", sealed(C), Err(OpenError::Destroyed(C))),
            ("customer", sealed(KeyId([9; 8])), Err(OpenError::Foreign(KeyId([9; 8])))),
            ("order", sealed(A), Err(OpenError::Foreign(A))),
        ] {
            let mut out = Vec::new();
            let opened = ring.open(name, &stored, &BOUND, &mut out);
            assert_eq!(opened.map(|()| out.as_slice()), expected, "{name}");
            assert!(opened.is_ok() || out.is_empty());
        }
    }

    #[test]
    fn a_ring_of_tests_seals_and_opens_and_prints_names_alone() {
        let ring = KeyRing::of_tests(&["customer", "order"]);
        let mut envelope = Vec::new();
        let key = ring.writing("customer", Mode::Deterministic).unwrap();
        key.seal(Nonce::Derived, &BOUND, b"jane", &mut envelope).unwrap();
        let mut out = Vec::new();
        assert_eq!(ring.open("customer", &envelope, &BOUND, &mut out), Ok(()));
        assert_eq!(out, b"jane");
        assert_eq!(ring.open("order", &envelope, &BOUND, &mut out), Err(OpenError::Foreign(key.id())));
        assert!(ring.contains("order") && !ring.contains("orders"));
        assert_eq!(format!("{:?}", KeyRing::of_tests(&["customer"])), r#"{"customer"}"#);
    }
}
