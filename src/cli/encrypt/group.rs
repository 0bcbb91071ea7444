//! Columns that hang together by foreign keys: all of them are converted in one transaction, or none.
//!
//! A row that references another has to hold the same value at every moment that anybody sees. So their tables are locked,
//! the constraints dropped, the values converted, the constraints made again, which checks them, and all of it becomes
//! visible at once. Whoever is killed before that has changed nothing.

use std::sync::atomic::AtomicBool;

use super::convert::Direction;
use super::login::{Database, DatabaseError};
use super::passes::{Passes, column_work};
use super::run::{RunError, RunOptions, type_changes};
use super::stored::{StoredType, alter, back, constraint_name};
use super::table::{ColumnName, Constraint, ConstraintKind, literal, quoted};
use super::target::{Target, Targets, by_table};
use super::troubles::Troubles;
use crate::crypto::KeyRing;
use crate::policy::Stored;

/// The columns that hang together with others.
pub(super) fn groups<'a>(targets: &'a Targets) -> Vec<Vec<&'a Target>> {
    let all: Vec<&Target> = targets.all().iter().collect();
    let mut group_of: Vec<usize> = (0..all.len()).collect();
    let place = |name: &ColumnName| all.iter().position(|target| target.facts.name == *name);
    for target in &all {
        for (child, parent) in target.facts.constraints.iter().filter_map(foreign_key) {
            let group = |place: Option<usize>| place.and_then(|place| group_of.get(place).copied());
            if let (Some(one), Some(other)) = (group(place(child)), group(place(parent))) {
                group_of.iter_mut().filter(|group| **group == other).for_each(|group| *group = one);
            }
        }
    }
    let mut groups: Vec<Vec<&'a Target>> = vec![Vec::new(); all.len()];
    for (target, group) in all.iter().zip(group_of) {
        let hangs = target.facts.constraints.iter().any(|constraint| foreign_key(constraint).is_some());
        if let Some(group) = groups.get_mut(group).filter(|_| hangs) {
            group.push(target);
        }
    }
    groups.retain(|group| group.iter().any(|target| target.is_chosen()));
    groups
}

fn foreign_key(constraint: &Constraint) -> Option<(&ColumnName, &ColumnName)> {
    match &constraint.kind {
        ConstraintKind::ForeignKey { child, parent } => Some((child, parent)),
        ConstraintKind::Check | ConstraintKind::Unique | ConstraintKind::Exclusion | ConstraintKind::Other => None,
    }
}

/// Columns that are converted in one transaction, and how.
pub(super) struct Group<'a> {
    pub(super) database: &'a Database,
    pub(super) columns: &'a [&'a Target],
    pub(super) ring: &'a KeyRing,
    pub(super) change: GroupChange,
    pub(super) options: &'a RunOptions,
    pub(super) stop: &'a AtomicBool,
}

/// What becomes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupChange {
    /// The types that hold envelopes, with the values as they are.
    Types,
    /// Envelopes, with a constraint in the end.
    Encrypt,
    /// Envelopes under another version of the key; constraints on them are somebody else's matter.
    Move,
    /// Plaintext of the declared types.
    Decrypt,
}

impl Group<'_> {
    /// Convert all of it. Nothing is changed if one value can not be converted, which is in `troubles` then.
    ///
    /// # Errors
    /// The server refuses, or it was stopped: then nothing has changed.
    pub(super) async fn convert(&self, troubles: &mut Troubles) -> Result<(), RunError> {
        if let Some(left_out) = self.columns.iter().find(|target| !target.is_chosen()) {
            return Err(RunError::LeftOut(left_out.facts.name.clone()));
        }
        let foreign_keys = foreign_keys(self.columns);
        // Without them, and where no type changes, others may go on reading what was there before.
        let (mode, do_what) = match self.change {
            GroupChange::Move if foreign_keys.is_empty() => ("SHARE ROW EXCLUSIVE", "writes"),
            GroupChange::Types | GroupChange::Encrypt | GroupChange::Move | GroupChange::Decrypt => {
                ("ACCESS EXCLUSIVE", "reads or writes")
            }
        };
        let names: Vec<String> = self.columns.iter().map(|target| target.facts.name.to_string()).collect();
        eprintln!("{}: converted in one transaction; nobody else {do_what} their tables meanwhile", names.join(", "));
        self.begin(mode).await?;
        let outcome = self.in_transaction(&foreign_keys, troubles).await;
        let end = if outcome.is_ok() && troubles.is_empty() { "COMMIT" } else { "ROLLBACK" };
        self.database.execute("ending the transaction", end).await?;
        outcome
    }

    async fn in_transaction(
        &self,
        foreign_keys: &[(String, Constraint)],
        troubles: &mut Troubles,
    ) -> Result<(), RunError> {
        let Self { database, columns, change, .. } = *self;
        for (table, Constraint { name, .. }) in foreign_keys {
            let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {}", quoted(name));
            database.execute(&format!("dropping foreign key {name}"), &drop).await?;
        }
        let tables = by_table(columns.iter().copied());
        for table in &tables {
            if matches!(change, GroupChange::Encrypt | GroupChange::Decrypt) {
                for target in table {
                    database.execute("dropping a constraint", &drop_check(target)).await?;
                }
            }
            if matches!(change, GroupChange::Types | GroupChange::Encrypt) {
                alter_table(database, table, &type_changes(table)).await?;
            }
        }
        for table in tables.iter().filter(|_| change != GroupChange::Types) {
            self.convert_table(table, troubles).await?;
        }
        if !troubles.is_empty() {
            return Ok(());
        }
        // What other triggers were put off until the end would keep the tables from being changed.
        database.execute("checking what was put off", "SET CONSTRAINTS ALL IMMEDIATE").await?;
        for table in tables.iter().filter(|_| change == GroupChange::Decrypt) {
            let back = |target: &&Target| back(&target.facts, &target.encryption);
            alter_table(database, table, &table.iter().filter_map(back).collect::<Vec<_>>()).await?;
        }
        for (table, Constraint { name, definition, comment, .. }) in foreign_keys {
            let add = format!("ALTER TABLE {table} ADD CONSTRAINT {} {definition}", quoted(name));
            database.execute(&format!("making foreign key {name} again"), &add).await?;
            if let Some(comment) = comment {
                let comment = format!("COMMENT ON CONSTRAINT {} ON {table} IS {}", quoted(name), literal(comment));
                database.execute(&format!("commenting on foreign key {name}"), &comment).await?;
            }
        }
        Ok(())
    }

    async fn convert_table(&self, table: &[&Target], troubles: &mut Troubles) -> Result<(), RunError> {
        let Self { database, ring, change, options, stop, .. } = *self;
        let direction = |target: &Target| match (change, target.encryption.stored) {
            (GroupChange::Decrypt, _) => Direction::Decrypt,
            (GroupChange::Move, Stored::Encrypted) => Direction::Reseal,
            (GroupChange::Types | GroupChange::Encrypt | GroupChange::Move, _) => Direction::Encrypt,
        };
        let work: Vec<_> =
            table.iter().map(|target| column_work(target, ring, direction(target))).collect::<Result<_, _>>()?;
        let mut found = Troubles::default();
        let passes = Passes { database, table, work: &work, pace: options.pace, is_online: false, stop };
        passes.until_idle(&mut found).await?;
        if found.is_empty() && change == GroupChange::Encrypt && options.add_constraint {
            for (target, work) in table.iter().zip(&work) {
                let (facts, name) = (&target.facts, constraint_name(&target.facts.name.column));
                let stored = StoredType::of(facts);
                let condition = stored.check(&facts.name.column, work.converter.key(), target.encryption.mode);
                let add =
                    format!("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({condition})", facts.table_name(), quoted(&name));
                database.execute(&format!("adding constraint {name}"), &add).await?;
            }
        }
        troubles.extend(found);
        Ok(())
    }

    /// Begin the transaction with all its locks, so that it does not meet others in the middle.
    async fn begin(&self, mode: &str) -> Result<(), RunError> {
        let mut tables: Vec<String> = self.columns.iter().map(|target| target.facts.table_name()).collect();
        tables.sort_unstable();
        tables.dedup();
        let what = format!("locking {}", tables.join(", "));
        let lock = format!("LOCK TABLE {} IN {mode} MODE", tables.join(", "));
        self.database.begin_locked(&what, &lock, &self.options.patience).await?;
        Ok(())
    }
}

async fn alter_table(database: &Database, table: &[&Target], actions: &[String]) -> Result<(), DatabaseError> {
    let Some(first) = table.first() else { return Ok(()) };
    let Some(statement) = alter(&first.facts, actions) else { return Ok(()) };
    let what = format!("changing the types of columns of {}", first.facts.table_name());
    database.execute(&what, &statement).await
}

/// The statement that drops the constraint that keeps plaintext out of a column, if it is there.
pub(super) fn drop_check(target: &Target) -> String {
    let (facts, name) = (&target.facts, constraint_name(&target.facts.name.column));
    format!("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}", facts.table_name(), quoted(&name))
}

/// The foreign keys of a group, each once, with the table that has it.
fn foreign_keys(group: &[&Target]) -> Vec<(String, Constraint)> {
    let mut found: Vec<(String, Constraint)> = Vec::new();
    for constraint in group.iter().flat_map(|target| &target.facts.constraints) {
        let Some((child, _)) = foreign_key(constraint) else { continue };
        let table = format!("{}.{}", quoted(&child.schema), quoted(&child.table));
        if !found.iter().any(|(of, known)| *of == table && known.name == constraint.name) {
            found.push((table, constraint.clone()));
        }
    }
    found
}
