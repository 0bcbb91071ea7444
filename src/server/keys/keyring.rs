//! What a keyring says: named keys, their versions, and which of them is used for what. Each change is a method that
//! refuses what would make stored values unreadable or unequal without anybody having said so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::crypto::{Equality, KeyId, KeyState};

/// The version of the file's form that this pgveil reads and writes.
const FORMAT: u32 = 1;
/// The longest name, in bytes: as of PostgreSQL's own names.
const NAME_BYTES_MAX: usize = 63;

/// All named keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyring {
    format: u32,
    keys: BTreeMap<String, NamedKey>,
}

/// A key as policies name it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// The version that deterministic values are written and compared under.
    #[serde(with = "id_text")]
    pinned: KeyId,
    /// The version that they are being moved away from.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_id_text")]
    leaving: Option<KeyId>,
    /// The oldest first; never empty.
    versions: Vec<Version>,
}

/// One version of a named key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its id, in each envelope that it sealed.
    #[serde(with = "id_text")]
    pub id: KeyId,
    /// What it may be used for.
    #[serde(with = "state_text")]
    pub state: KeyState,
    /// When it was made: RFC 3339, in UTC.
    pub created: String,
    /// The key, wrapped. `None`: destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapped: Option<Wrapped>,
}

/// A data key that its provider has wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// By whom and with which key, in the provider's words.
    pub by: String,
    /// What the provider made of it.
    pub key: String,
}

/// What a version is used for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// New values of the randomized mode.
    pub randomized: bool,
    /// New values of the deterministic mode.
    pub deterministic: bool,
    /// Deterministic values are being moved away from it.
    pub leaving: bool,
}

/// Why a keyring can not be changed, or not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// It does not hang together: somebody has edited it, or it is of another pgveil.
    #[error("{0}")]
    Wrong(String),
    /// There is a key of that name.
    #[error("there is a key {0:?} already; a new version of it is made by: pgveil keys rotate {0}")]
    Taken(String),
    /// No key has that name.
    #[error("there is no key {0:?}; it is made by: pgveil keys create {0}")]
    UnknownName(String),
    /// A name that no key can have.
    #[error("{0:?} can not name a key: 1 to {NAME_BYTES_MAX} letters, digits, \"_\", \"-\" and \".\"")]
    BadName(String),
    /// No version has that id.
    #[error("no key has the id {0}; pgveil keys list shows what there is")]
    UnknownId(KeyId),
    /// The version is one that values are written under.
    #[error("key {id} of {name:?} is the one that {modes} values are written under; {remedy}")]
    Written {
        /// The version.
        id: KeyId,
        /// Its key's name.
        name: String,
        /// Which values.
        modes: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Values are being moved.
    #[error(
        "deterministic values of {name:?} are being moved from key {from} to key {to}: pgveil encrypt run ends that"
    )]
    Moving {
        /// The key's name.
        name: String,
        /// From which version.
        from: KeyId,
        /// To which version.
        to: KeyId,
    },
    /// The version is no longer active.
    #[error("key {id} of {name:?} is {state}: values can only be moved to an active key of the same name")]
    NotActive {
        /// The version.
        id: KeyId,
        /// The key's name.
        name: String,
        /// What it is.
        state: &'static str,
    },
    /// The version was destroyed before.
    #[error("key {0} is destroyed already")]
    Destroyed(KeyId),
}

impl Default for Keyring {
    fn default() -> Self {
        Self { format: FORMAT, keys: BTreeMap::new() }
    }
}

impl Keyring {
    /// Read a keyring's text.
    ///
    /// # Errors
    /// It is not JSON of this form, or contradicts itself.
    pub(super) fn parse(text: &str) -> Result<Self, KeyringError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let wrong = |error: serde_json::Error| KeyringError::Wrong(format!("not a keyring: {error}"));
        let Format { format } = serde_json::from_str(text).map_err(wrong)?;
        if format != FORMAT {
            return Err(KeyringError::Wrong(format!(
                "a keyring of format {format}; this pgveil reads format {FORMAT}"
            )));
        }
        let keyring: Self = serde_json::from_str(text).map_err(wrong)?;
        keyring.check()?;
        Ok(keyring)
    }

    /// As text for [`Self::parse`].
    pub(super) fn to_text(&self) -> String {
        // Strings and lists of them are written without a way to fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What a person can have got wrong.
    fn check(&self) -> Result<(), KeyringError> {
        let wrong = |what: String| Err(KeyringError::Wrong(what));
        let mut seen = BTreeMap::new();
        for (name, key) in &self.keys {
            check_name(name)?;
            for version in &key.versions {
                if let Some(other) = seen.insert(version.id, name) {
                    return wrong(format!("key {} is twice in the keyring, of {other:?} and of {name:?}", version.id));
                }
                if (version.state == KeyState::Destroyed) != version.wrapped.is_none() {
                    return wrong(format!(
                        "key {} of {name:?} is destroyed or has a wrapped key, but not both",
                        version.id
                    ));
                }
            }
            for id in [Some(key.pinned), key.leaving].into_iter().flatten() {
                if key.version(id).is_none() {
                    return wrong(format!(
                        "deterministic values of {name:?} are under key {id}, which it does not have"
                    ));
                }
            }
            if key.version(key.pinned).is_some_and(|pinned| pinned.state == KeyState::Retired) {
                return wrong(format!(
                    "deterministic values of {name:?} are written under key {}, which is retired",
                    key.pinned
                ));
            }
        }
        Ok(())
    }

    /// All keys by name.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &NamedKey)> {
        self.keys.iter().map(|(name, key)| (name.as_str(), key))
    }

    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&NamedKey> {
        self.keys.get(name)
    }

    /// The version of that id, and its key with its name.
    pub fn find(&self, id: KeyId) -> Option<(&str, &NamedKey, &Version)> {
        self.keys().find_map(|(name, key)| Some((name, key, key.version(id)?)))
    }

    /// Add a key with its first version.
    pub(super) fn create(&mut self, name: &str, first: Version) -> Result<(), KeyringError> {
        check_name(name)?;
        if self.keys.contains_key(name) {
            return Err(KeyringError::Taken(name.to_owned()));
        }
        let key = NamedKey { pinned: first.id, leaving: None, versions: vec![first] };
        self.keys.insert(name.to_owned(), key);
        Ok(())
    }

    /// Add a version: randomized values are written under it from now on. Deterministic ones are where they were, unless
    /// all of them are lost with the version that they were under.
    pub(super) fn rotate(&mut self, name: &str, version: Version) -> Result<(), KeyringError> {
        let key = self.key_mut(name)?;
        if key.version(key.pinned).is_none_or(|pinned| pinned.state == KeyState::Destroyed) {
            key.pinned = version.id;
        }
        key.versions.push(version);
        Ok(())
    }

    /// Nothing is written under that version any more.
    pub(super) fn retire(&mut self, id: KeyId) -> Result<(), KeyringError> {
        let (name, key) = self.key_of(id)?;
        let uses = key.uses(id);
        let written = |modes, remedy| Err(KeyringError::Written { id, name: name.to_owned(), modes, remedy });
        if uses.randomized {
            return written("randomized", "make a new version first: pgveil keys rotate");
        }
        if uses.deterministic {
            return written("deterministic", "move them to another version first: pgveil encrypt run --move-keys");
        }
        if uses.leaving {
            return Err(KeyringError::Moving { name: name.to_owned(), from: id, to: key.pinned });
        }
        let version = key.version_mut(id).ok_or(KeyringError::UnknownId(id))?;
        match version.state {
            KeyState::Active | KeyState::Retired => version.state = KeyState::Retired,
            KeyState::Destroyed => return Err(KeyringError::Destroyed(id)),
        }
        Ok(())
    }

    /// That version's key is gone, and what it sealed is unreadable. Its id stays.
    pub(super) fn destroy(&mut self, id: KeyId) -> Result<(), KeyringError> {
        let (_, key) = self.key_of(id)?;
        let version = key.version_mut(id).ok_or(KeyringError::UnknownId(id))?;
        match version.state {
            KeyState::Active | KeyState::Retired => {
                version.state = KeyState::Destroyed;
                version.wrapped = None;
            }
            KeyState::Destroyed => return Err(KeyringError::Destroyed(id)),
        }
        Ok(())
    }

    /// Deterministic values of that key are written under `to` from now on, and compared under both, until
    /// [`Self::finish_move`]. Nothing changes if they are there already, or on their way.
    pub(super) fn begin_move(&mut self, name: &str, to: KeyId) -> Result<Equality, KeyringError> {
        let key = self.key_mut(name)?;
        let version = key.version(to).ok_or(KeyringError::UnknownId(to))?;
        if version.state != KeyState::Active {
            return Err(KeyringError::NotActive {
                id: to,
                name: name.to_owned(),
                state: state_text::name(version.state),
            });
        }
        match key.leaving {
            Some(from) if key.pinned != to => {
                return Err(KeyringError::Moving { name: name.to_owned(), from, to: key.pinned });
            }
            None if key.pinned != to => {
                key.leaving = Some(key.pinned);
                key.pinned = to;
            }
            Some(_) | None => {}
        }
        Ok(key.equality())
    }

    /// No value is left under the version that they were moved away from.
    pub(super) fn finish_move(&mut self, name: &str) -> Result<(), KeyringError> {
        self.key_mut(name)?.leaving = None;
        Ok(())
    }

    /// All that is wrapped, with the name and the id that it is bound to.
    pub(super) fn wrapped_mut(&mut self) -> impl Iterator<Item = (&str, KeyId, &mut Wrapped)> {
        self.keys.iter_mut().flat_map(|(name, key)| {
            key.versions.iter_mut().filter_map(|version| Some((name.as_str(), version.id, version.wrapped.as_mut()?)))
        })
    }

    fn key_mut(&mut self, name: &str) -> Result<&mut NamedKey, KeyringError> {
        self.keys.get_mut(name).ok_or_else(|| KeyringError::UnknownName(name.to_owned()))
    }

    fn key_of(&mut self, id: KeyId) -> Result<(&str, &mut NamedKey), KeyringError> {
        let mut keys = self.keys.iter_mut().map(|(name, key)| (name.as_str(), key));
        keys.find(|(_, key)| key.version(id).is_some()).ok_or(KeyringError::UnknownId(id))
    }
}

impl NamedKey {
    /// Its versions, the oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The versions that deterministic values are under.
    pub fn equality(&self) -> Equality {
        Equality { pinned: self.pinned, leaving: self.leaving }
    }

    /// What the version of that id is used for.
    pub fn uses(&self, id: KeyId) -> Uses {
        let newest = self.versions.iter().rev().find(|version| version.state == KeyState::Active);
        let destroyed = self.version(id).is_none_or(|version| version.state == KeyState::Destroyed);
        Uses {
            randomized: newest.is_some_and(|newest| newest.id == id),
            deterministic: self.pinned == id && !destroyed,
            leaving: self.leaving == Some(id) && !destroyed,
        }
    }

    fn version(&self, id: KeyId) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    fn version_mut(&mut self, id: KeyId) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.id == id)
    }
}

fn check_name(name: &str) -> Result<(), KeyringError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(KeyringError::BadName(name.to_owned()))
    }
}

/// Key ids as text.
mod id_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::crypto::KeyId;

    pub(super) fn serialize<S: Serializer>(id: &KeyId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<KeyId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Key ids that may be missing, as text.
mod optional_id_text {
    use serde::{Deserializer, Serializer};

    use crate::crypto::KeyId;

    pub(super) fn serialize<S: Serializer>(id: &Option<KeyId>, to: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => to.collect_str(id),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<KeyId>, D::Error> {
        super::id_text::deserialize(from).map(Some)
    }
}

/// States as words.
pub(super) mod state_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::crypto::KeyState;

    /// The state's word.
    pub(in crate::server) fn name(state: KeyState) -> &'static str {
        match state {
            KeyState::Active => "active",
            KeyState::Retired => "retired",
            KeyState::Destroyed => "destroyed",
        }
    }

    pub(super) fn serialize<S: Serializer>(state: &KeyState, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name(*state))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<KeyState, D::Error> {
        let word = String::deserialize(from)?;
        let states = [KeyState::Active, KeyState::Retired, KeyState::Destroyed];
        let found = states.into_iter().find(|state| name(*state) == word);
        found.ok_or_else(|| D::Error::custom("a key's state is active, retired or destroyed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: KeyId = KeyId([0xa; 8]);
    const B: KeyId = KeyId([0xb; 8]);
    const C: KeyId = KeyId([0xc; 8]);

    fn version(id: KeyId) -> Version {
        let wrapped = Some(Wrapped { by: "kek".into(), key: "wrapped".into() });
        Version { id, state: KeyState::Active, created: "2026-01-02T03:04:05Z".into(), wrapped }
    }

    /// A key `k` with these versions.
    fn keyring(versions: &[KeyId]) -> Keyring {
        let mut keyring = Keyring::default();
        for (at, id) in versions.iter().enumerate() {
            let version = version(*id);
            if at == 0 { keyring.create("k", version) } else { keyring.rotate("k", version) }.unwrap();
        }
        keyring
    }

    fn uses(keyring: &Keyring, id: KeyId) -> Uses {
        keyring.find(id).unwrap().1.uses(id)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut keyring = keyring(&[A, B]);
        keyring.begin_move("k", B).unwrap();
        keyring.destroy(A).unwrap();
        let text = keyring.to_text();
        let read = Keyring::parse(&text).unwrap();
        assert_eq!(read.to_text(), text);
        assert_eq!(read.key("k").unwrap().equality(), Equality { pinned: B, leaving: Some(A) });
        assert_eq!(Keyring::parse(&Keyring::default().to_text()).unwrap().keys().count(), 0);
    }

    #[test]
    fn what_does_not_hang_together_is_refused() {
        let good = keyring(&[A, B]).to_text();
        for (from, to, expected) in [
            ("\"format\": 1", "\"format\": 2", "a keyring of format 2; this pgveil reads format 1"),
            ("\"format\": 1,", "", "not a keyring: missing field `format`"),
            ("\"keys\"", "\"kees\"", "not a keyring: unknown field `kees`"),
            ("0b0b0b0b0b0b0b0b", "0a0a0a0a0a0a0a0a", "is twice in the keyring"),
            ("\"pinned\": \"0a", "\"pinned\": \"1a", "which it does not have"),
            ("\"active\"", "\"retired\"", "which is retired"),
            ("\"active\"", "\"destroyed\"", "but not both"),
            ("\"active\"", "\"idle\"", "a key's state is active, retired or destroyed"),
            ("\"k\": {", "\"k k\": {", "can not name a key"),
            ("{", "", "not a keyring"),
        ] {
            assert!(good.contains(from));
            let shown = Keyring::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn a_rotation_moves_randomized_values_alone() {
        let keyring = keyring(&[A, B]);
        assert_eq!(uses(&keyring, A), Uses { deterministic: true, ..Uses::default() });
        assert_eq!(uses(&keyring, B), Uses { randomized: true, ..Uses::default() });
    }

    #[test]
    fn what_is_written_under_is_not_retired() {
        let mut keyring = keyring(&[A, B, C]);
        assert!(matches!(keyring.retire(C), Err(KeyringError::Written { modes: "randomized", .. })));
        assert!(matches!(keyring.retire(A), Err(KeyringError::Written { modes: "deterministic", .. })));
        keyring.begin_move("k", C).unwrap();
        assert!(matches!(keyring.retire(A), Err(KeyringError::Moving { from: A, to: C, .. })));
        keyring.finish_move("k").unwrap();
        for _ in 0..2 {
            assert_eq!(keyring.retire(A), Ok(()));
            assert_eq!(keyring.retire(B), Ok(()));
        }
        assert!(matches!(keyring.retire(C), Err(KeyringError::Written { .. })));
        assert_eq!(keyring.retire(KeyId([0; 8])), Err(KeyringError::UnknownId(KeyId([0; 8]))));
    }

    #[test]
    fn a_destroyed_key_keeps_its_id_and_loses_its_material() {
        let mut keyring = keyring(&[A]);
        keyring.destroy(A).unwrap();
        assert!(!keyring.to_text().contains("wrapped"));
        assert_eq!(keyring.find(A).unwrap().2.state, KeyState::Destroyed);
        assert_eq!(keyring.destroy(A), Err(KeyringError::Destroyed(A)));
        assert_eq!(keyring.retire(A), Err(KeyringError::Destroyed(A)));
        assert_eq!(uses(&keyring, A), Uses::default());
    }

    #[test]
    fn after_the_pinned_version_is_destroyed_a_rotation_pins_the_new_one() {
        let mut keyring = keyring(&[A, B]);
        keyring.destroy(A).unwrap();
        keyring.rotate("k", version(C)).unwrap();
        assert_eq!(keyring.key("k").unwrap().equality(), Equality { pinned: C, leaving: None });
    }

    #[test]
    fn a_move_can_be_begun_again_and_not_changed() {
        let mut keyring = keyring(&[A, B, C]);
        let moving = Equality { pinned: B, leaving: Some(A) };
        assert_eq!(keyring.begin_move("k", A), Ok(Equality { pinned: A, leaving: None }));
        assert_eq!(keyring.begin_move("k", B), Ok(moving));
        assert_eq!(keyring.begin_move("k", B), Ok(moving));
        assert!(matches!(keyring.begin_move("k", C), Err(KeyringError::Moving { from: A, to: B, .. })));
        for _ in 0..2 {
            assert_eq!(keyring.finish_move("k"), Ok(()));
            assert_eq!(keyring.key("k").unwrap().equality(), Equality { pinned: B, leaving: None });
        }
        assert_eq!(keyring.retire(A), Ok(()));
        assert!(matches!(keyring.begin_move("k", A), Err(KeyringError::NotActive { state: "retired", .. })));
        assert!(matches!(keyring.begin_move("x", A), Err(KeyringError::UnknownName(_))));
    }

    #[test]
    fn names_are_taken_once_and_are_plain() {
        let mut keyring = keyring(&[A]);
        assert_eq!(keyring.create("k", version(B)), Err(KeyringError::Taken("k".into())));
        for name in ["", "a b", "a\n", "é", &"x".repeat(64)] {
            assert_eq!(keyring.create(name, version(B)), Err(KeyringError::BadName(name.into())));
        }
        assert_eq!(keyring.create(&"x".repeat(63), version(B)), Ok(()));
    }
}
