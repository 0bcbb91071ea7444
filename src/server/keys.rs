//! The keys of encrypted columns: a keyring's file with wrapped data keys, and the provider that unwraps them.
//!
//! A data key is 32 random bytes. It is never stored but wrapped by a key-encryption key, which the provider has and the
//! keyring has not. [`init`] makes a keyring, [`create`], [`rotate`], [`retire`], [`destroy`] and [`rewrap`] change it, and
//! [`Keys::load`] makes a [`KeyRing`] of it for sessions. A version that can not be unwrapped does not keep the others
//! from being used, and what was unwrapped once stays usable while its provider can not be reached.
//!
//! Deterministic values can be compared only under one version. So they stay under the version that their key is pinned
//! to when it is rotated; a migration moves them ([`begin_move`], [`finish_move`]).

#[cfg(feature = "aws-kms")]
mod aws_kms;
mod file;
#[cfg(any(feature = "aws-kms", feature = "vault"))]
mod https;
mod kek;
mod keyring;
mod memory;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod provider;
#[cfg(test)]
mod tests;
#[cfg(feature = "vault")]
mod vault;

pub use kek::NotKeks;
pub use keyring::{Keyring, KeyringError, NamedKey, Uses, Version, Wrapped};
pub use memory::keep_out_of_dumps;
pub use provider::ProviderError;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use time::OffsetDateTime;
use time::macros::format_description;
use zeroize::Zeroizing;

use file::Lock;
use provider::{Provider, Secret};

use crate::config::{KeysConfig, ProviderConfig, read_private};
use crate::crypto::{DataKey, Equality, KeyId, KeyRing, KeyState, KeyVersion};

/// Why keys can not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No keyring.
    #[error("{}: there is no keyring; it is made by: pgveil keys init", path.display())]
    NoKeyring {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file that would be overwritten.
    #[error("{}: it is there already, and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file can not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file can not be written.
    #[error("{}: it can not be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Others can change the keyring.
    #[error("{}: others than its owner can change it (mode {mode:04o}): chmod 600 it", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The keyring is somebody else's.
    #[error("{}: belongs to user {owner}, this is user {own_user}: run the command as the file's owner", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is, as a number.
        owner: u32,
        /// Who runs this command.
        own_user: u32,
    },
    /// Another command has the lock.
    #[error("{}: another command has been changing the keyring for too long", path.display())]
    Busy {
        /// The lock's file.
        path: PathBuf,
    },
    /// What the keyring says, or what is asked of it.
    #[error("{}: {source}", path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyringError,
    },
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A key that can not be unwrapped, and so not be wrapped anew.
    #[error("key {id} of {name:?} can not be unwrapped: {source}")]
    Unwrap {
        /// The key's name.
        name: String,
        /// The version.
        id: KeyId,
        /// What the provider says.
        source: ProviderError,
    },
    /// A version that unwraps to something else than it did.
    #[error("key {id} of {name:?} could not be wrapped anew; nothing was changed")]
    Rewrap {
        /// The key's name.
        name: String,
        /// The version.
        id: KeyId,
    },
    /// Reading it has failed for a reason that the log has.
    #[error("the thread that reads the keyring has failed")]
    Failed,
}

/// The name of the key that [`init`] has wrapped for a trial.
const TRIAL: &str = "trial";

/// What [`init`] has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialised {
    /// A keyring, and a key-encryption key for it.
    KeyringAndKek,
    /// A keyring alone: the provider has a key.
    Keyring,
}

/// Make an empty keyring, and with provider `file` a key-encryption key, unless there is one. Nothing is overwritten.
///
/// # Errors
/// There is a keyring, a file can not be written, or the provider does not unwrap what it has wrapped.
pub fn init(config: &KeysConfig) -> Result<Initialised, KeysError> {
    let _lock = Lock::acquire(&config.keyring)?;
    if config.keyring.exists() {
        return Err(KeysError::Exists { path: config.keyring.clone() });
    }
    let made = match &config.provider {
        ProviderConfig::File { kek_file } if !kek_file.exists() => {
            let digits = kek::new_digits().map_err(ProviderError::from)?;
            file::create(kek_file, &Zeroizing::new(format!("{}\n", *digits)))?;
            Initialised::KeyringAndKek
        }
        ProviderConfig::File { .. }
        | ProviderConfig::Env { .. }
        | ProviderConfig::Pkcs11(_)
        | ProviderConfig::AwsKms(_)
        | ProviderConfig::Vault(_) => Initialised::Keyring,
    };
    let provider = Provider::open(&config.provider)?;
    provider.prepare()?;
    let (id, secret) = new_data_key()?;
    let wrapped = provider.wrap(TRIAL, id, &secret)?;
    if *provider.unwrap(TRIAL, id, &wrapped)? != *secret {
        return Err(ProviderError::Damaged.into());
    }
    file::create(&config.keyring, &Keyring::default().to_text())?;
    Ok(made)
}

/// What the keyring says. The provider is not asked.
///
/// # Errors
/// There is none, or it can not be read.
pub fn list(config: &KeysConfig) -> Result<Keyring, KeysError> {
    file::read(&config.keyring)
}

/// Make a key of that name, with one version.
///
/// # Errors
/// There is one, or the keyring or the provider can not be used.
pub fn create(config: &KeysConfig, name: &str) -> Result<KeyId, KeysError> {
    let version = new_version(config, name)?;
    let id = version.id;
    update(config, |keyring| keyring.create(name, version))?;
    Ok(id)
}

/// Make a new version of a key: from now on randomized values are written under it.
///
/// # Errors
/// No key has that name, or the keyring or the provider can not be used.
pub fn rotate(config: &KeysConfig, name: &str) -> Result<KeyId, KeysError> {
    let version = new_version(config, name)?;
    let id = version.id;
    update(config, |keyring| keyring.rotate(name, version))?;
    Ok(id)
}

/// Let a version only open what it has sealed.
///
/// # Errors
/// Values are still written under it, or the keyring can not be changed.
pub fn retire(config: &KeysConfig, id: KeyId) -> Result<(), KeysError> {
    update(config, |keyring| keyring.retire(id))
}

/// Wipe a version's key. What it has sealed can not be read again, by anybody who has not kept the keyring as it was
/// together with the key-encryption key.
///
/// # Errors
/// It is not there, or the keyring can not be changed.
pub fn destroy(config: &KeysConfig, id: KeyId) -> Result<(), KeysError> {
    update(config, |keyring| keyring.destroy(id))
}

/// Begin to move deterministic values of a key to another version: they are written under that one from now on, and
/// compared under both. A pgveil that runs notices this within some seconds; until then it writes as before.
///
/// Asking again for the same changes nothing.
///
/// # Errors
/// The version is not an active one of that key, values are being moved to another one, or the keyring can not be changed.
pub fn begin_move(config: &KeysConfig, name: &str, to: KeyId) -> Result<Equality, KeysError> {
    update(config, |keyring| keyring.begin_move(name, to))
}

/// Nothing is left under the version that values were moved away from. The caller has made sure of that.
///
/// # Errors
/// No key has that name, or the keyring can not be changed.
pub fn finish_move(config: &KeysConfig, name: &str) -> Result<(), KeysError> {
    update(config, |keyring| keyring.finish_move(name))
}

/// What becomes of key-encryption keys that wrap nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// They stay in their file, for older copies of the keyring.
    Kept,
    /// They are taken out of it: older copies of the keyring can not be unwrapped again.
    Forgotten,
}

/// Wrap all keys anew: with provider `file` under a new key-encryption key, else under the one that the provider uses now.
/// It can be stopped at any moment, and run again. Says how many keys that were.
///
/// # Errors
/// A key can not be unwrapped, or a file not be written: then all keys are wrapped as before.
pub fn rewrap(config: &KeysConfig, former: Former) -> Result<usize, KeysError> {
    let _lock = Lock::acquire(&config.keyring)?;
    let mut keyring = file::read(&config.keyring)?;
    let newest = match &config.provider {
        ProviderConfig::File { kek_file } => {
            let digits = kek::new_digits().map_err(ProviderError::from)?;
            let known = read_private(kek_file).map_err(ProviderError::from)?;
            let both = Zeroizing::new(format!("{}\n{}", *digits, *known));
            // Before there is anything that it has wrapped.
            file::replace(kek_file, &both)?;
            Some((kek_file, digits))
        }
        ProviderConfig::Env { .. }
        | ProviderConfig::Pkcs11(_)
        | ProviderConfig::AwsKms(_)
        | ProviderConfig::Vault(_) => None,
    };
    let provider = Provider::open(&config.provider)?;
    provider.prepare()?;
    let mut count = 0;
    for (name, id, wrapped) in keyring.wrapped_mut() {
        let name = name.to_owned();
        let unwrapped = provider.unwrap(&name, id, wrapped);
        let secret = unwrapped.map_err(|source| KeysError::Unwrap { name: name.clone(), id, source })?;
        let anew = provider.wrap(&name, id, &secret)?;
        if *provider.unwrap(&name, id, &anew)? != *secret {
            return Err(KeysError::Rewrap { name, id });
        }
        *wrapped = anew;
        count += 1;
    }
    file::replace(&config.keyring, &keyring.to_text())?;
    if let (Some((kek_file, digits)), Former::Forgotten) = (newest, former) {
        file::replace(kek_file, &Zeroizing::new(format!("{}\n", *digits)))?;
    }
    Ok(count)
}

/// Change the keyring under the lock.
fn update<T>(
    config: &KeysConfig,
    change: impl FnOnce(&mut Keyring) -> Result<T, KeyringError>,
) -> Result<T, KeysError> {
    let _lock = Lock::acquire(&config.keyring)?;
    let mut keyring = file::read(&config.keyring)?;
    let done = change(&mut keyring).map_err(|source| KeysError::Keyring { path: config.keyring.clone(), source })?;
    file::replace(&config.keyring, &keyring.to_text())?;
    Ok(done)
}

/// A new data key, wrapped.
fn new_version(config: &KeysConfig, name: &str) -> Result<Version, KeysError> {
    // Whoever has not made a keyring yet is told that first.
    file::read(&config.keyring)?;
    let (id, secret) = new_data_key()?;
    let wrapped = Some(Provider::open(&config.provider)?.wrap(name, id, &secret)?);
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let created = OffsetDateTime::now_utc().format(form).unwrap_or_default();
    Ok(Version { id, state: KeyState::Active, created, wrapped })
}

fn new_data_key() -> Result<(KeyId, Secret), ProviderError> {
    let (mut id, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut *secret)?;
    Ok((KeyId(id), secret))
}

/// The keys in use: what was unwrapped once stays so while the keyring has it.
pub struct Keys {
    config: KeysConfig,
    /// The file as it was read last.
    text: Option<Vec<u8>>,
    unwrapped: HashMap<(String, KeyId), Arc<DataKey>>,
}

/// A key ring, and what it lacks.
#[derive(Debug)]
pub struct Loaded {
    /// What is usable.
    pub ring: KeyRing,
    /// What could not be unwrapped.
    pub unavailable: Vec<Unavailable>,
}

/// A version that could not be unwrapped.
#[derive(Debug)]
pub struct Unavailable {
    /// Its key's name.
    pub name: String,
    /// Its id.
    pub id: KeyId,
    /// Why, without anything of the key.
    pub reason: String,
}

/// The keys of a keyring, for programs that read it once.
///
/// # Errors
/// The keyring can not be read. What can not be unwrapped is no error.
pub fn load(config: &KeysConfig) -> Result<Loaded, KeysError> {
    Keys::new(config.clone()).load()
}

impl Keys {
    /// Nothing is read yet.
    pub fn new(config: KeysConfig) -> Self {
        Self { config, text: None, unwrapped: HashMap::new() }
    }

    /// Whether the file is another one than when it was read last.
    pub fn is_changed(&self) -> bool {
        std::fs::read(&self.config.keyring).ok() != self.text
    }

    /// Read the keyring, and unwrap what is not known yet. This may wait for the provider.
    ///
    /// # Errors
    /// The keyring can not be read: what was loaded before is still good. What can not be unwrapped is no error.
    pub fn load(&mut self) -> Result<Loaded, KeysError> {
        self.text = std::fs::read(&self.config.keyring).ok();
        let keyring = file::read(&self.config.keyring)?;
        let mut provider = None;
        let mut unwrapped = HashMap::new();
        let mut loaded = Loaded { ring: KeyRing::default(), unavailable: Vec::new() };
        for (name, key) in keyring.keys() {
            let mut versions = Vec::new();
            for Version { id, state, created: _, wrapped } in key.versions() {
                let mut usable = None;
                if let Some(wrapped) = wrapped {
                    let known = (name.to_owned(), *id);
                    let found = match self.unwrapped.get(&known) {
                        Some(key) => Ok(Arc::clone(key)),
                        None => {
                            let provider = provider.get_or_insert_with(|| Provider::open(&self.config.provider));
                            data_key(provider, name, *id, wrapped)
                        }
                    };
                    match found {
                        Ok(key) => {
                            unwrapped.insert(known, Arc::clone(&key));
                            usable = Some(key);
                        }
                        Err(reason) => loaded.unavailable.push(Unavailable { name: name.to_owned(), id: *id, reason }),
                    }
                }
                versions.push(KeyVersion { id: *id, state: *state, key: usable });
            }
            loaded.ring.insert(name, versions, key.equality());
        }
        // Destroyed keys and those that are gone are wiped with the last ring that has them.
        self.unwrapped = unwrapped;
        Ok(loaded)
    }
}

/// Unwrap a data key, or say why that does not go. A provider that can not be reached is not asked again this time.
fn data_key(
    provider: &mut Result<Provider, ProviderError>,
    name: &str,
    id: KeyId,
    wrapped: &Wrapped,
) -> Result<Arc<DataKey>, String> {
    let unwrapped = match provider {
        Ok(provider) => provider.unwrap(name, id, wrapped),
        Err(error) => return Err(error.to_string()),
    };
    match unwrapped {
        Ok(secret) => {
            let key = DataKey::new(id, &secret);
            memory::lock(&key);
            Ok(Arc::new(key))
        }
        Err(error) => {
            let reason = error.to_string();
            if matches!(error, ProviderError::Unreachable(_)) {
                *provider = Err(error);
            }
            Err(reason)
        }
    }
}
