//! `pgveil decrypt run`: the way back to plaintext in the declared type.

use std::sync::atomic::AtomicBool;

use super::convert::Direction;
use super::group::{Group, GroupChange, drop_check, groups};
use super::index_column::drop_index;
use super::login::Database;
use super::passes::{Passes, column_work};
use super::run::{RunError, RunOptions, analyze, outcome, quiet_triggers};
use super::stored::{alter, back};
use super::table::ConstraintKind;
use super::target::{Target, Targets};
use super::troubles::Troubles;
use crate::crypto::KeyRing;
use crate::policy::Stored;

/// Convert the chosen columns back.
///
/// # Errors
/// See [`RunError`]; whatever was converted stays so.
pub(super) async fn decrypt(
    database: &Database,
    targets: &Targets,
    ring: &KeyRing,
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<(), RunError> {
    for target in targets.chosen() {
        if target.encryption.stored != Stored::Mixed {
            return Err(RunError::NotMixedBack(target.facts.name.clone()));
        }
        if back(&target.facts, &target.encryption).is_some() && !options.allow_rewrite {
            let to = target.encryption.plain.to_string();
            return Err(RunError::Rewrite { column: target.facts.name.clone(), to });
        }
    }
    quiet_triggers(database, options).await?;
    let mut troubles = Troubles::default();
    let groups = groups(targets);
    for group in &groups {
        Group { database, columns: group, ring, change: GroupChange::Decrypt, options, stop }
            .convert(&mut troubles)
            .await?;
        if troubles.is_empty() {
            for target in group {
                analyze(database, &[target]).await?;
                tell_done(target);
            }
        }
    }
    for table in targets.tables_without(&groups) {
        let found = decrypt_table(database, &table, ring, options, stop).await?;
        if found.is_empty() {
            analyze(database, &table).await?;
            table.iter().for_each(|target| tell_done(target));
        }
        troubles.extend(found);
    }
    outcome(&troubles)
}

async fn decrypt_table(
    database: &Database,
    table: &[&Target],
    ring: &KeyRing,
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<Troubles, RunError> {
    let mut work = Vec::new();
    for target in table {
        work.push(column_work(target, ring, Direction::Decrypt)?);
        let name = super::stored::constraint_name(&target.facts.name.column);
        let is_check = |kind: &ConstraintKind| *kind == ConstraintKind::Check;
        if target.facts.constraints.iter().any(|constraint| is_check(&constraint.kind) && constraint.name == name) {
            let what = format!("dropping constraint {name}");
            database.execute_locked(&what, &drop_check(target), &options.patience).await?;
        }
    }
    let mut found = Troubles::default();
    let online = Passes { database, table, work: &work, pace: options.pace, is_online: true, stop };
    online.until_idle(&mut found).await?;
    let actions: Vec<String> = table.iter().filter_map(|target| back(&target.facts, &target.encryption)).collect();
    let Some(first) = table.first().filter(|_| found.is_empty()) else { return Ok(found) };
    // A column that is generated of another keeps that one's type.
    let mut statements: Vec<String> = table.iter().filter_map(|target| drop_index(target)).collect();
    statements.extend(alter(&first.facts, &actions));
    if statements.is_empty() {
        return Ok(found);
    }
    let statement = statements.join("; ");
    // What others write from here on waits until the type is back.
    let name = first.facts.table_name();
    let lock = format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE");
    database.begin_locked(&format!("locking {name}"), &lock, &options.patience).await?;
    let last = Passes { is_online: false, ..online };
    let mut changed = last.until_idle(&mut found).await;
    if changed.is_ok() && found.is_empty() {
        eprintln!("{name}: its columns get their declared types again; nobody reads or writes it meanwhile");
        changed = database
            .execute(&format!("changing the types of columns of {name}"), &statement)
            .await
            .map_err(RunError::from);
    }
    let end = if changed.is_ok() && found.is_empty() { "COMMIT" } else { "ROLLBACK" };
    database.execute("ending the transaction", end).await?;
    changed.map(|()| found)
}

fn tell_done(target: &Target) {
    println!("{}: every value is plaintext, of type {}", target.facts.name, target.encryption.plain);
    println!(
        "    now take `encrypted` out of its entry in the policy: as long as it is there pgveil writes envelopes; what it wrote \
         meanwhile `pgveil decrypt run` finds before that"
    );
}
