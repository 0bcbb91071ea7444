//! Passes over a table until one finds nothing to do.

use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::{ColumnWork, Pace, Pass};
use super::convert::{Converter, Direction};
use super::login::Database;
use super::progress::Progress;
use super::run::RunError;
use super::stored::StoredType;
use super::target::Target;
use super::troubles::Troubles;
use crate::crypto::KeyRing;

/// Passes that find rows to convert, and can not convert one of them, until that is an error.
const IDLE_PASSES_MAX: u32 = 5;

/// Passes over the rows of one table.
pub(super) struct Passes<'a> {
    pub(super) database: &'a Database,
    /// Columns of that table; all have the same leaves.
    pub(super) table: &'a [&'a Target],
    pub(super) work: &'a [ColumnWork<'a>],
    pub(super) pace: Pace,
    /// Whether each batch is a transaction of its own; else all of it is a part of one that is open.
    pub(super) is_online: bool,
    pub(super) stop: &'a AtomicBool,
}

/// What is done with the values of a column.
///
/// # Errors
/// Its key is not there to write with.
pub(super) fn column_work<'a>(
    target: &'a Target,
    ring: &'a KeyRing,
    direction: Direction,
) -> Result<ColumnWork<'a>, RunError> {
    let Target { facts, encryption, .. } = target;
    let stored = StoredType::of(facts);
    let converter = Converter::new(ring, encryption, stored, direction);
    let converter = converter.map_err(|source| RunError::Key {
        key: encryption.key.to_string(),
        column: facts.name.clone(),
        source,
    })?;
    Ok(ColumnWork { column: &facts.name.column, is_bytes: stored.is_bytes(), converter })
}

impl Passes<'_> {
    /// Until a pass finds nothing to do but what can not be done, which is in `troubles` then.
    ///
    /// # Errors
    /// The server refuses, it was stopped, or rows are there that can not be updated.
    pub(super) async fn until_idle(&self, troubles: &mut Troubles) -> Result<(), RunError> {
        let Some(first) = self.table.first() else { return Ok(()) };
        let mut idle = 0;
        loop {
            troubles.clear();
            let (mut converted, mut missed) = (0, 0);
            for leaf in &first.facts.leaves {
                let pass = Pass::prepare(self.database, leaf, self.work, self.pace, self.is_online).await?;
                let mut progress = Progress::new(format!("converting {}", leaf.name));
                let passed = pass.run(self.stop, troubles, |rows, done| progress.advance(rows, done)).await?;
                if passed.converted > 0 || passed.stopped {
                    progress.finish(if passed.stopped { "stopped" } else { "done" });
                }
                if passed.stopped || self.stop.load(Ordering::Relaxed) {
                    return Err(RunError::Stopped);
                }
                converted += passed.converted;
                missed += passed.missed;
            }
            if converted == 0 && missed == 0 {
                return Ok(());
            }
            idle = if converted == 0 { idle + 1 } else { 0 };
            if idle >= IDLE_PASSES_MAX {
                return Err(RunError::Stuck { table: first.facts.table_name(), rows: missed });
            }
        }
    }
}
