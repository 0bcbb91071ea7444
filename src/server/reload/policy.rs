//! From policy files to a policy that is bound to a catalog.

use std::sync::Arc;

use super::files::PolicyFileError;
use crate::catalog::Catalog;
use crate::config::{Config, FileError, read_actor_keys, read_mask_keys};
use crate::crypto::KeyRing;
use crate::mask::MaskKeys;
use crate::plan::Inventory;
use crate::policy::{ActorKeyError, ActorKeys, Diagnostic, Policy, PolicySource, Severity};
use crate::telemetry::Metrics;

/// Parsers of view definitions go deep: stack of the thread that binds a policy to a catalog.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Why there is no policy to put in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Its files can not be read.
    #[error(transparent)]
    Files(#[from] PolicyFileError),
    /// The file with the mask keys can not be used.
    #[error(transparent)]
    Keys(#[from] FileError),
    /// A mask needs a key that is not there.
    #[error("the policy needs the mask key {name:?}: add it to the file that mask_keys_file names")]
    KeyMissing {
        /// The key's name.
        name: Arc<str>,
    },
    /// Tokens are checked with a key that is not there.
    #[error("the policy needs the key {name:?} for tokens: add it to the file that actor_keys_file names")]
    ActorKeyMissing {
        /// The key's name.
        name: Arc<str>,
    },
    /// A key that tokens are checked with can not be used.
    #[error("the key {name:?} for tokens can not be used: {source}")]
    ActorKey {
        /// The key's name.
        name: Arc<str>,
        /// Why.
        source: ActorKeyError,
    },
    /// A column is encrypted with a key that is not there.
    #[error(
        "the policy encrypts columns with the key {name:?}, which the keyring does not have: pgveil keys create {name}"
    )]
    EncryptionKeyMissing {
        /// The key's name.
        name: Arc<str>,
    },
    /// Columns are encrypted, and no keyring is named.
    #[error("the policy encrypts columns, which needs keys: set keys.keyring, and run pgveil keys init")]
    NoKeyring,
    /// It is wrong in itself, or does not fit the database.
    #[error("{}", rendered(.0))]
    Wrong(Vec<Diagnostic>),
}

/// Building a snapshot did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread ended without a result.
    #[error("the thread that binds the policy to the catalog failed")]
    Panicked,
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A policy, the keys that its masks need, and those that tokens of end users are checked with.
pub(super) type Parsed = (Arc<Policy>, Arc<MaskKeys>, Arc<ActorKeys>);

/// The policy of these files, and the keys that its masks need. The keys of its encrypted columns have to be in the ring.
pub(super) fn parse(sources: &[PolicySource], config: &Config, ring: &KeyRing) -> Result<Parsed, PolicyError> {
    let policy =
        if sources.is_empty() { Policy::empty() } else { Policy::parse(sources).map_err(PolicyError::Wrong)? };
    let mut keys = MaskKeys::default();
    if let Some(path) = &config.mask_keys_file {
        for (name, key) in &read_mask_keys(path)?.0 {
            keys.insert(name, **key);
        }
    }
    let mut encrypted = policy.columns().filter_map(|(_, column)| column.encryption.as_ref());
    let lacking = encrypted.find(|encryption| !ring.contains(&encryption.key)).cloned();
    drop(encrypted);
    match (lacking, &config.keys) {
        (None, _) => {}
        (Some(lacking), Some(_)) => return Err(PolicyError::EncryptionKeyMissing { name: Arc::clone(&lacking.key) }),
        (Some(_), None) => return Err(PolicyError::NoKeyring),
    }
    match policy.keys().into_iter().find(|name| !keys.contains(name)) {
        Some(name) => Err(PolicyError::KeyMissing { name }),
        None => {
            let actor_keys = actor_keys(&policy, config)?;
            Ok((Arc::new(policy), Arc::new(keys), Arc::new(actor_keys)))
        }
    }
}

/// The keys that tokens of asserted end users are checked with: those that the policy names have to be there.
fn actor_keys(policy: &Policy, config: &Config) -> Result<ActorKeys, PolicyError> {
    let mut keys = ActorKeys::default();
    if let Some(path) = &config.actor_keys_file {
        for entry in read_actor_keys(path)? {
            let wrong = |source| PolicyError::ActorKey { name: entry.name.as_str().into(), source };
            keys.insert(&entry.name, &entry.algorithm, &entry.key).map_err(wrong)?;
        }
    }
    match policy.actor_keys().into_iter().find(|name| !keys.contains(name)) {
        Some(name) => Err(PolicyError::ActorKeyMissing { name }),
        None => Ok(keys),
    }
}

/// What is worth a warning between a policy and a database.
///
/// # Errors
/// A tagged column would not be protected as written.
pub(super) fn fit(policy: &Policy, catalog: &Catalog) -> Result<Vec<Diagnostic>, PolicyError> {
    let found = policy.check_against(catalog);
    if errors_among(&found) > 0 { Err(PolicyError::Wrong(found)) } else { Ok(found) }
}

pub(super) fn errors_among(diagnostics: &[Diagnostic]) -> i64 {
    let errors = diagnostics.iter().filter(|diagnostic| match diagnostic.severity {
        Severity::Error => true,
        Severity::Warning => false,
    });
    i64::try_from(errors.count()).unwrap_or(i64::MAX)
}

pub(super) fn report(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        match diagnostic.severity {
            Severity::Error => tracing::error!("policy and database do not go together:\n{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
        }
    }
}

/// Columns that have lost what they were tagged through, and keep the tag until the policy says something else.
pub(super) fn report_kept(inventory: &Inventory, metrics: &Metrics) {
    let count = i64::try_from(inventory.kept().len()).unwrap_or(i64::MAX);
    if !inventory.kept().is_empty() && metrics.tags_kept.get() != count {
        tracing::warn!(
            "these columns keep the tags of a parent or key that they no longer have, until the policy is changed or pgveil is started \
             again: {}; name them in the policy",
            inventory.kept().join(", ")
        );
    }
    metrics.tags_kept.set(count);
}

/// Bind a policy to a catalog, on a thread of its own: it parses every view's definition.
pub(super) async fn bind(
    policy: &Arc<Policy>,
    catalog: &Arc<Catalog>,
    before: Option<&Arc<Inventory>>,
) -> Result<Arc<Inventory>, BuildError> {
    let (policy, catalog, before) = (Arc::clone(policy), Arc::clone(catalog), before.cloned());
    let (done, made) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("inventory".into()).stack_size(STACK_BYTES).spawn(move || {
        let inventory = Inventory::new(&policy, &catalog, before.as_deref());
        // Nobody waits any more: the process is ending.
        let _left = done.send(Arc::new(inventory));
    })?;
    made.await.map_err(|_| BuildError::Panicked)
}
