//! What the guard counts of an execution: taken before rows leave, and given back where fewer did.

use std::sync::Arc;

use super::io::Guard;
use crate::plan::guard::{Stop, Watched};
use crate::policy::Counted;

/// Rows that are taken at a time where a limit holds: this part of it, and no more than so many. What is not used is given back when
/// the execution ends or pauses; until then other sessions of the caller do without.
const PART_AT_A_TIME: u64 = 50;
const ROWS_AT_A_TIME: u64 = 64;

/// Counts the rows of one execution.
pub(super) struct Meter {
    guard: Arc<dyn Guard>,
    watched: Arc<Watched>,
    /// Rows that may leave before more have to be taken.
    left: u64,
}

impl Meter {
    pub(super) fn new(guard: &Arc<dyn Guard>, watched: Arc<Watched>) -> Self {
        Self { guard: Arc::clone(guard), watched, left: 0 }
    }

    /// Whom it counts for.
    pub(super) fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.watched)
    }

    /// The execution is about to show so many tagged columns in clear.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn columns(&self, count: u64) -> Result<(), Stop> {
        self.guard.take(&self.watched, Counted::RevealedColumns, count, count).map(|_| ())
    }

    /// Take what so many rows need, or as many of them as may leave.
    ///
    /// # Errors
    /// None may.
    pub(super) fn reserve(&mut self, rows: u64) -> Result<(), Stop> {
        if self.left == 0 {
            let rows = if self.watched.limits_for(Counted::RevealedRows).next().is_some() { rows } else { u64::MAX };
            self.left = self.guard.take(&self.watched, Counted::RevealedRows, 1, rows)?;
        }
        Ok(())
    }

    /// Whether so many rows may leave with what was taken.
    pub(super) fn covers(&self, rows: u64) -> bool {
        self.left >= rows
    }

    /// A row leaves; whether more had to be taken.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn row(&mut self) -> Result<bool, Stop> {
        let more = self.left == 0;
        if more {
            let least = self.watched.limits_for(Counted::RevealedRows).map(|limit| limit.max.get()).min();
            self.reserve(least.map_or(ROWS_AT_A_TIME, |max| (max / PART_AT_A_TIME).clamp(1, ROWS_AT_A_TIME)))?;
        }
        self.left = self.left.saturating_sub(1);
        Ok(more)
    }

    /// What was taken for rows that did not come is given back.
    pub(super) fn pause(&mut self) {
        let left = std::mem::take(&mut self.left);
        if left > 0 {
            self.guard.give_back(&self.watched, Counted::RevealedRows, left);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.pause();
    }
}
