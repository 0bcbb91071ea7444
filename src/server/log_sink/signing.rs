//! The file with the key that signs checkpoints. It is apart from the log: who can write the log's files but not read this
//! one can not make a log that verifies.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::disk::sync_directory;
use super::segments::beside;
use crate::access_log::checkpoint::{PublicKey, SigningKey};

const FORMAT: &str = "pgveil-access-log-key/1";

/// The key that signs, and how it follows from the first.
pub struct KeyFile {
    /// The key.
    pub key: SigningKey,
    /// One note for each change of the key, oldest first: the former key names the next.
    pub succession: Vec<String>,
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file can not be read.
    #[error("the signing key {} can not be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file can not be written.
    #[error("the signing key {} can not be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error("others than its owner may read or write the signing key {}: chmod 600", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
    },
    /// It is not a key's file.
    #[error("{} is not a signing key as `pgveil log init` makes it", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The operating system has no random bytes.
    #[error("there are no random bytes: {0}")]
    Random(getrandom::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    seed: String,
    public_key: String,
    succession: Vec<String>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// Read a key.
///
/// # Errors
/// It can not be read, others may read it too, or it is not a key's file.
pub fn read(path: &Path) -> Result<KeyFile, SigningKeyError> {
    let failed = |source| SigningKeyError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.mode() & 0o077 != 0 {
        return Err(SigningKeyError::Permissions { path: path.to_owned() });
    }
    let text = Zeroizing::new(std::fs::read(path).map_err(failed)?);
    parse(&text).ok_or_else(|| SigningKeyError::Form { path: path.to_owned() })
}

fn parse(text: &[u8]) -> Option<KeyFile> {
    let written: Written = serde_json::from_slice(text).ok()?;
    let seed = Zeroizing::new(STANDARD.decode(&written.seed).ok()?);
    let key = SigningKey::from_seed(&seed)?;
    let right = written.format == FORMAT && written.public_key == key.public().to_string();
    right.then(|| KeyFile { key, succession: written.succession.clone() })
}

/// Make a key where there is none.
///
/// # Errors
/// There is a file already, or it can not be written.
pub fn create(path: &Path) -> Result<PublicKey, SigningKeyError> {
    let failed = |source| SigningKeyError::Unwritable { path: path.to_owned(), source };
    let (text, public) = generated(Vec::new())?;
    write_new(path, &text).map_err(failed)?;
    sync_directory(path).map_err(failed)?;
    Ok(public)
}

/// Put a new key in the place of the one that is there, which signs that it is its successor. The old one is gone then,
/// as far as the file system forgets what was in a file.
///
/// # Errors
/// The old one can not be read, or the new one can not be written.
pub fn rotate(path: &Path, now: Timestamp) -> Result<PublicKey, SigningKeyError> {
    let failed = |source| SigningKeyError::Unwritable { path: path.to_owned(), source };
    let KeyFile { key, mut succession } = read(path)?;
    let seed = random_seed()?;
    let next = SigningKey::from_seed(&*seed).ok_or_else(|| SigningKeyError::Form { path: path.to_owned() })?;
    succession.push(key.succession(next.public(), now));
    let text = text_of(&seed, &next, succession);
    let new = beside(path, "new");
    // What a command that was killed left there is no key of anybody's.
    let _none = std::fs::remove_file(&new);
    write_new(&new, &text).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)?;
    sync_directory(path).map_err(failed)?;
    Ok(next.public().clone())
}

fn generated(succession: Vec<String>) -> Result<(Zeroizing<String>, PublicKey), SigningKeyError> {
    let seed = random_seed()?;
    let key = SigningKey::from_seed(&*seed).ok_or_else(|| SigningKeyError::Form { path: PathBuf::new() })?;
    Ok((text_of(&seed, &key, succession), key.public().clone()))
}

fn random_seed() -> Result<Zeroizing<[u8; 32]>, SigningKeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(SigningKeyError::Random)?;
    Ok(seed)
}

fn text_of(seed: &[u8; 32], key: &SigningKey, succession: Vec<String>) -> Zeroizing<String> {
    let written = Written {
        format: FORMAT.to_owned(),
        seed: STANDARD.encode(seed),
        public_key: key.public().to_string(),
        succession,
    };
    // Four texts are always JSON.
    Zeroizing::new(serde_json::to_string(&written).unwrap_or_default() + "\n")
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn a_key_is_made_once_and_names_its_successor() {
        let scratch = Scratch::new();
        let path = scratch.0.join("key");
        let first = create(&path).unwrap();
        assert_eq!(read(&path).unwrap().key.public(), &first);
        assert!(matches!(create(&path), Err(SigningKeyError::Unwritable { .. })));
        let second = rotate(&path, Timestamp::UNIX_EPOCH).unwrap();
        let now = read(&path).unwrap();
        assert_eq!(now.key.public(), &second);
        assert_eq!(first.successor(&now.succession[0]).as_ref(), Ok(&second));
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        let scratch = Scratch::new();
        let path = scratch.0.join("key");
        create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(SigningKeyError::Permissions { .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_not_taken_for_one() {
        let scratch = Scratch::new();
        let path = scratch.0.join("key");
        create(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for wrong in ["", "{}", &text.replace("key/1", "key/2"), &text.replace("\"seed\":\"", "\"seed\":\"A")] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(read(&path), Err(SigningKeyError::Form { .. })), "{wrong}");
        }
    }
}
