//! Lineage × policy: what to do with each statement and each result column.
//!
//! A [`Snapshot`] holds all that decisions depend on under one version. [`Inventory`] is the policy bound to a catalog.

mod inventory;

pub use inventory::Inventory;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::mask::MaskKeys;
use crate::policy::Policy;

/// Everything that decisions depend on, of one moment. Taken at each execution.
pub struct Snapshot {
    /// Counts snapshots; also the version that analyses are remembered under.
    pub version: u64,
    /// The policy.
    pub policy: Arc<Policy>,
    /// The database.
    pub catalog: Arc<Catalog>,
    /// The policy bound to the database.
    pub inventory: Arc<Inventory>,
    /// Keys for keyed masks.
    pub keys: Arc<MaskKeys>,
    /// Whether access events can be written: if not, statements that would reveal are refused.
    pub access_log_ready: bool,
    /// Caps on analysis.
    pub limits: crate::sql::Limits,
}
