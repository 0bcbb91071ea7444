//! Permits: the only way from a decision to a clear value.
//!
//! [`RevealPermit`]s are minted in `plan` alone, one for each tagged column that an execution would show. Spending them
//! yields the access events that must be written, and the [`Opener`] without which no row rewriter lets a clear value
//! through. So "revealed without an event" does not compile.

use std::sync::Arc;

use crate::access_log::{AccessEvent, Action, Endpoint, Fingerprint, How, RevealedColumn, Visit};
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
}

/// Spend the permits of one execution: the events to be written before anything clear leaves, and the opener.
pub fn spend(permits: Vec<RevealPermit>, execution: &Execution, rows: Option<u64>) -> (Vec<AccessEvent>, Opener) {
    let events = permits
        .into_iter()
        .map(|permit| AccessEvent {
            visit: Arc::clone(&execution.visit),
            execution: execution.number,
            role: permit.role,
            rule: permit.rule,
            column: permit.column,
            how: permit.how,
            action: execution.action,
            fingerprint: execution.fingerprint,
            rows,
            endpoint: execution.endpoint.clone(),
            entities: Vec::new(),
        })
        .collect();
    (events, Opener(()))
}
