//! What of a process the store hears of: what the guard has counted, and what was spent of budgets.

use std::sync::Arc;

use super::budgets::SharedBudgets;
use super::guard::SharedGuard;
use super::shared_state::{Change, Fact};
use crate::telemetry::Metrics;

/// Both of them.
pub(super) struct Counting {
    pub(super) guard: Arc<SharedGuard>,
    pub(super) budgets: Arc<SharedBudgets>,
    pub(super) metrics: Arc<Metrics>,
}

impl Counting {
    /// What was counted since the last call.
    pub(super) fn changes(&self) -> Vec<Change> {
        self.guard.changes().chain(self.budgets.changes()).collect()
    }

    /// Let the sessions know of locks that have changed.
    pub(super) fn wake(&self) {
        self.guard.wake();
    }

    /// Whether the store has it.
    pub(super) fn sent(&self, stored: bool) {
        self.guard.sent(stored);
        self.budgets.sent(stored);
    }

    /// What the store says. `first`: it was so before this process started.
    pub(super) fn learn(&self, facts: &[Fact], first: bool) {
        self.budgets.learn(facts);
        self.guard.learn(facts, first);
    }

    /// Whether the store can be reached has changed.
    pub(super) fn store_is(&self, ready: bool) {
        self.metrics.state_ready.set(i64::from(ready));
    }
}
