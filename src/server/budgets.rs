//! What filters on protected columns were used by whom: one ledger for all sessions of the process. It outlives reloads of
//! policy and catalog, and with a store the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::plan::budget::{Charge, Ledger, Overdrawn, Payer};
use crate::server::shared_state::{Change, Fact, SpentRow, StateStore};
use crate::session::io::Budgets;

/// The ledger, and the store that says what the time is.
pub struct SharedBudgets {
    ledger: Mutex<Ledger>,
    store: StateStore,
}

impl SharedBudgets {
    /// Nothing is spent yet.
    pub fn new(store: StateStore) -> Self {
        Self { ledger: Mutex::default(), store }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was spent since the last call, for the store.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> + use<> {
        let changes = self.ledger().changes();
        changes.into_iter().map(|spent| Change::Spend(SpentRow::from(&spent)))
    }

    /// Whether the store has it.
    pub(super) fn sent(&self, stored: bool) {
        self.ledger().sent(stored);
    }

    /// What the store says.
    pub(super) fn learn(&self, facts: &[Fact]) {
        let now = self.store.now();
        let mut ledger = self.ledger();
        for fact in facts {
            if let Fact::Spent(row) = fact
                && let Some(spent) = row.spent()
            {
                ledger.learn(spent, now);
            }
        }
    }
}

impl Budgets for SharedBudgets {
    fn spend(&self, payer: &Payer, charges: &[Charge<'_>]) -> Result<(), Overdrawn> {
        // Held for a look-up or two, and only by statements that filter by a protected column.
        self.ledger().spend(payer, charges, self.store.now())
    }
}
