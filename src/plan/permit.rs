//! Permits: the only way from a decision to a clear value.
//!
//! [`RevealPermit`]s are minted in `plan` alone, one for each tagged column that an execution would show. Spending them
//! yields the access events that must be written, and the [`Opener`] without which no row rewriter lets a clear value
//! through. So "revealed without an event" does not compile.

use std::sync::Arc;

use super::Seen;
use super::result::ShownBy;
use crate::access_log::{
    AccessEvent, Action, Endpoint, Entities, EntitiesSeen, Fingerprint, Grounds, How, Record, RevealedColumn, Visit,
};
use crate::policy::TaggedColumnId;

/// The right to show one tagged column, or values of unknown origin, in one execution, once its event is written. Not `Clone`: one permit, one event.
#[derive(Debug)]
#[must_use = "a column may only be shown when its permit has been spent"]
pub struct RevealPermit {
    pub(super) id: Option<TaggedColumnId>,
    pub(super) column: Option<RevealedColumn>,
    pub(super) role: Option<Arc<str>>,
    pub(super) rule: Arc<str>,
    pub(super) how: How,
    /// On what grounds, where it is shown on request.
    pub(super) grounds: Option<Arc<Grounds>>,
}

impl RevealPermit {
    /// What it shows, and by which grant.
    pub(super) fn shown(&self) -> ShownBy {
        (self.id, self.grounds.as_ref().map(|grounds| Arc::clone(&grounds.grant)))
    }
}

/// Proof that the events of an execution exist. Only [`spend`] makes one.
#[derive(Debug)]
pub struct Opener(());

/// What all events of one execution have in common.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Who looks.
    pub visit: Arc<Visit>,
    /// Its number within the session.
    pub number: u64,
    /// The statement's shape.
    pub fingerprint: Fingerprint,
    /// What is done.
    pub action: Action,
    /// What the application says of itself.
    pub endpoint: Option<Arc<Endpoint>>,
    /// The tenant that the session has set, where the policy names the setting.
    pub tenant: Option<Arc<str>>,
}

/// Results of so many rows are taken away, not looked at.
const EXPORT_ROWS: u64 = 1_000;

impl Execution {
    /// What was done, where so many rows were shown.
    pub fn action_of(&self, rows: u64) -> Action {
        if rows >= EXPORT_ROWS { Action::Export } else { self.action }
    }
}

/// Spend the permits of one execution: the records to be written before anything clear leaves, and the opener. `rows`: how many there
/// are, where that is known; then the events say whose they are, too.
pub fn spend(
    permits: Vec<RevealPermit>,
    execution: &Execution,
    rows: Option<u64>,
    seen: &mut Seen,
) -> (Vec<Record>, Opener) {
    let known = rows.is_some() || seen.has_keys();
    let mut batches = if known { seen.take() } else { Vec::new() };
    let mut first = Vec::new();
    if rows.is_some() {
        // What is still open goes into the events: each sort is in it, if only to say that it is not complete.
        first = batches.pop().unwrap_or_default();
    }
    let action = rows.map_or(execution.action, |rows| execution.action_of(rows));
    let events = permits.into_iter().map(|permit| {
        let table = permit.column.as_ref().map(|column| format!("{}.{}", column.schema, column.table));
        let of_table = |known: &&Entities| Some(&*known.table) == table.as_deref();
        Record::Reveal(AccessEvent {
            visit: Arc::clone(&execution.visit),
            execution: execution.number,
            role: permit.role,
            rule: permit.rule,
            entities: first.iter().filter(of_table).cloned().collect(),
            column: permit.column,
            how: permit.how,
            action,
            fingerprint: execution.fingerprint,
            rows,
            endpoint: execution.endpoint.clone(),
            tenant: execution.tenant.clone(),
            grounds: permit.grounds,
        })
    });
    let mut records: Vec<Record> = events.collect();
    let number = execution.number;
    records.extend(batches.into_iter().map(|entities| {
        Record::Entities(EntitiesSeen { visit: Arc::clone(&execution.visit), execution: number, entities })
    }));
    (records, Opener(()))
}
