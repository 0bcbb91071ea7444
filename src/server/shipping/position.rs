//! How far a sink has come: a small file, written anew after each acknowledgement and renamed into place.
//!
//! It holds the number of the last acknowledged record and the digest of its line, so that a log that is not the one that
//! was shipped (its end lost with the power, or another put in its place) is noticed. A lock beside it keeps a second
//! process, as during a takeover, from shipping the same log at the same time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::access_log::Digest;

/// The last record that a sink has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The log's identity.
    pub log: String,
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its line, line feed included, as 64 hexadecimal digits; empty: not compared.
    #[serde(default)]
    pub digest: String,
}

impl Position {
    /// That of this record.
    pub(super) fn of(log: &str, seq: u64, line: &str) -> Self {
        Self { log: log.to_owned(), seq, digest: digest(line) }
    }
}

/// That of its line, as the next record has it as `prev`.
pub(super) fn digest(line: &str) -> String {
    Digest::of(format!("{line}\n").as_bytes()).to_string()
}

/// Why a position can not be had.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The file can not be read or written.
    #[error("the position file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It holds something else.
    #[error("the position file {} is damaged: {reason}; put it right, or remove it to send the whole log again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process ships to this sink.
    #[error("the position file {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// The file, locked.
#[derive(Debug)]
pub struct PositionFile {
    path: PathBuf,
    _lock: File,
}

impl PositionFile {
    /// Lock it.
    ///
    /// # Errors
    /// Another process has it, or its directory can not be written.
    pub fn open(path: &Path) -> Result<Self, PositionError> {
        let failed = |source| PositionError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600);
        let lock = options.open(with_suffix(path, ".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(PositionError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// What it holds; `None`: there is no file, nothing was acknowledged yet.
    ///
    /// # Errors
    /// It can not be read, or is damaged.
    pub fn read(&self) -> Result<Option<Position>, PositionError> {
        read(&self.path)
    }

    /// Put this in its place; on the disk when it returns.
    ///
    /// # Errors
    /// The old position is still there.
    pub fn write(&self, position: &Position) -> Result<(), PositionError> {
        let failed = |source| PositionError::File { path: self.path.clone(), source };
        let mut text = serde_json::to_string(position).map_err(|error| failed(error.into()))?;
        text.push('\n');
        replace(&self.path, text.as_bytes()).map_err(failed)
    }
}

/// What a position file holds, without locking it.
///
/// # Errors
/// It can not be read, or is damaged.
pub fn read(path: &Path) -> Result<Option<Position>, PositionError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PositionError::File { path: path.to_owned(), source }),
    };
    let damaged =
        |error: serde_json::Error| PositionError::Damaged { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory)?.sync_all()
}

/// A file beside it.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::shipping::fixtures::Scratch;

    #[test]
    fn what_was_written_is_read_and_nobody_else_may_write() {
        let scratch = Scratch::new();
        let path = scratch.path("siem");
        let file = PositionFile::open(&path).unwrap();
        assert_eq!(file.read().unwrap(), None);
        for seq in [7, 9] {
            let position = Position::of("log", seq, "{}");
            file.write(&position).unwrap();
            assert_eq!(file.read().unwrap(), Some(position));
        }
        assert!(matches!(PositionFile::open(&path), Err(PositionError::InUse { .. })));
        drop(file);
        assert_eq!(PositionFile::open(&path).unwrap().read().unwrap().unwrap().seq, 9);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_beginning() {
        let scratch = Scratch::new();
        let path = scratch.path("siem");
        for text in ["", "{\"log\":\"a\"", "{\"log\":\"a\",\"seq\":-1,\"digest\":\"\"}", "7"] {
            std::fs::write(&path, text).unwrap();
            let shown = PositionFile::open(&path).unwrap().read().unwrap_err().to_string();
            assert!(shown.contains("is damaged"), "{shown}");
        }
    }
}
