//! What filters on protected columns were used by whom: one ledger for all sessions of the process. It outlives reloads of
//! policy and catalog, and starts empty with the process.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::plan::budget::{Charge, Ledger, Overdrawn, Payer};
use crate::session::io::Budgets;

/// The ledger, and the moment from which its time counts.
pub struct SharedBudgets {
    ledger: Mutex<Ledger>,
    started: Instant,
}

impl Default for SharedBudgets {
    fn default() -> Self {
        Self { ledger: Mutex::default(), started: Instant::now() }
    }
}

impl Budgets for SharedBudgets {
    fn spend(&self, payer: &Payer, charges: &[Charge<'_>]) -> Result<(), Overdrawn> {
        // Held for a look-up or two, and only by statements that filter by a protected column.
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.spend(payer, charges, self.started.elapsed())
    }
}
