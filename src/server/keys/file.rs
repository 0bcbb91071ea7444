//! The keyring's file: read without a lock, for it is always whole; changed under one.
//!
//! A new text is written beside the file, made durable, and put in its place by a rename, so that whoever reads sees the
//! old or the new one, also after a crash at any moment.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::KeysError;
use super::keyring::Keyring;

/// Longest time to wait for another command that changes the keyring.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// The right to change the keyring. It ends when it is dropped, and with the process.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Wait for that right.
    pub(super) fn acquire(keyring: &Path) -> Result<Self, KeysError> {
        let path = beside(keyring, "lock");
        let failed = |source| KeysError::Unwritable { path: path.clone(), source };
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_INTERVAL),
                Err(TryLockError::WouldBlock) => return Err(KeysError::Busy { path }),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

/// Read a keyring.
pub(super) fn read(path: &Path) -> Result<Keyring, KeysError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeysError::NoKeyring { path: path.to_owned() },
        _ => KeysError::Unreadable { path: path.to_owned(), source },
    };
    let mode = std::fs::metadata(path).map_err(failed)?.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(KeysError::Permissions { path: path.to_owned(), mode });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Keyring::parse(&text).map_err(|source| KeysError::Keyring { path: path.to_owned(), source })
}

/// Put a text in a file's place, with the same permissions. The caller has the lock.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), KeysError> {
    let failed = |source| KeysError::Unwritable { path: path.to_owned(), source };
    let old = std::fs::metadata(path).map_err(failed)?;
    let (new, file) = write_beside(path, text).map_err(failed)?;
    let own_user = file.metadata().map_err(failed)?.uid();
    if own_user != old.uid() {
        // Another owner's program could not read what this one has written.
        std::fs::remove_file(&new).map_err(failed)?;
        return Err(KeysError::Owner { path: path.to_owned(), owner: old.uid(), own_user });
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o777)).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)?;
    sync_directory(path).map_err(failed)
}

/// Make a file that only its owner can read and that was not there before. The caller has the lock.
pub(super) fn create(path: &Path, text: &str) -> Result<(), KeysError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeysError::Exists { path: path.to_owned() },
        _ => KeysError::Unwritable { path: path.to_owned(), source },
    };
    let (new, _) = write_beside(path, text).map_err(failed)?;
    // A link, unlike a rename, puts nothing in another file's place.
    let linked = std::fs::hard_link(&new, path);
    std::fs::remove_file(&new).map_err(failed)?;
    linked.map_err(failed)?;
    sync_directory(path).map_err(failed)
}

/// Write a text beside a file, durably, and unreadable to others.
fn write_beside(path: &Path, text: &str) -> io::Result<(PathBuf, File)> {
    let new = beside(path, "new");
    // What a command left behind that was ended; under the lock nobody else writes it.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok((new, file))
}

/// What is in a directory survives a loss of power only when that is written, too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
