//! What is known of reveals beyond the end of the process: one JSON file, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::codes::Codes;
use crate::catalog::Name;
use crate::session::io::Who;

/// The file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It can not be read.
    #[error("the state of reveals {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what pgveil has written.
    #[error("the state of reveals {} is damaged: put it aside to start without it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    path: PathBuf,
    /// One-time codes, by person.
    pub codes: BTreeMap<String, Codes>,
    /// Urgent reveals that nobody has reviewed.
    pub reviews: Vec<Review>,
}

/// An urgent reveal that has to be reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Review {
    pub id: String,
    pub user: String,
    pub actor: Option<String>,
    pub reason: String,
    pub subject: Option<String>,
    pub tags: String,
    pub approval: Vec<Vec<String>>,
    /// Since the Unix epoch, in seconds.
    pub asked: u64,
}

impl Review {
    pub(super) fn who(&self) -> Who {
        Who { user: Name::exact(&self.user), actor: self.actor.as_deref().map(Into::into) }
    }

    pub(super) fn approval(&self) -> Vec<Vec<Arc<str>>> {
        self.approval.iter().map(|any| any.iter().map(|role| role.as_str().into()).collect()).collect()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Form {
    #[serde(default)]
    codes: BTreeMap<String, Codes>,
    #[serde(default)]
    reviews: Vec<Review>,
}

impl Kept {
    /// Read it; nothing, if it is not there.
    pub(super) fn read(path: &Path) -> Result<Self, StateError> {
        let form = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| StateError::Damaged { path: path.to_owned() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Form::default(),
            Err(source) => return Err(StateError::Unreadable { path: path.to_owned(), source }),
        };
        Ok(Self { path: path.to_owned(), codes: form.codes, reviews: form.reviews })
    }

    /// Write it, durably.
    pub(super) fn write(&self) -> io::Result<()> {
        let form = Form { codes: self.codes.clone(), reviews: self.reviews.clone() };
        let text = serde_json::to_vec(&form).map_err(io::Error::other)?;
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}
