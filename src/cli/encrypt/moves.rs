//! Deterministic values, and those with a blind index, go to the newest version of their key, all of them at once.
//!
//! They are compared as they are stored, so all values under one key have to be under one version of it at every moment that
//! anybody sees. The keyring says first that a move is under way: every pgveil then writes under the newer version and
//! compares under both. Then all columns are converted in one transaction, in which others read and do not write. What a
//! pgveil wrote that noticed late is converted after it; then the keyring says that the move is over. Killed in between, the
//! next run goes on where this one was.

use std::sync::atomic::AtomicBool;

use super::Keys;
use super::convert::Direction;
use super::group::{Group, GroupChange, drop_check};
use super::login::Database;
use super::passes::{Passes, column_work};
use super::run::{RunError, RunOptions, add_constraint, analyze, validate_constraint};
use super::stored::TypeChange;
use super::target::{Target, Targets, by_table};
use super::troubles::Troubles;
use crate::crypto::{Equality, KeyId, KeyRing, Mode};
use crate::policy::Stored;
use crate::server::keys::{begin_move, finish_move, load};

/// Move what has to be moved. The keys as they are then; `None`: they are as they were.
///
/// # Errors
/// The server or the keyring refuses, or it was stopped: the next run goes on.
pub(super) async fn move_keys(
    database: &Database,
    targets: &Targets,
    keys: &Keys,
    options: &RunOptions,
    stop: &AtomicBool,
    troubles: &mut Troubles,
) -> Result<Option<KeyRing>, RunError> {
    let is_compared = |target: &&Target| target.encryption.mode.is_comparable();
    let mut names: Vec<&str> = targets.chosen().map(|target| &*target.encryption.key).collect();
    names.sort_unstable();
    names.dedup();
    let mut moved = None;
    for name in names {
        let Some((to, equality)) = due(&keys.ring, name) else { continue };
        if !options.moves {
            let compares = targets.chosen().filter(is_compared).any(|target| *target.encryption.key == *name);
            if equality.leaving.is_some() && compares {
                return Err(RunError::Moving(name.to_owned()));
            }
            eprintln!(
                "values that are compared (deterministic, or by a blind index) stay under version {} of key `{name}`; --move-keys moves them to {to}, in one \
                 transaction in which nobody else writes them",
                equality.pinned
            );
            continue;
        }
        let group: Vec<&Target> =
            targets.all().iter().filter(|target| is_compared(target) && *target.encryption.key == *name).collect();
        if let Some(left_out) = group.iter().find(|target| !target.is_chosen()) {
            return Err(RunError::LeftOutOfMove(left_out.facts.name.clone()));
        }
        if let Some(unconverted) = group.iter().find(|target| TypeChange::needed(&target.facts) != TypeChange::None) {
            return Err(RunError::Unconverted(unconverted.facts.name.clone()));
        }
        let move_ = Move { database, keys, name, group: &group, options, stop };
        moved = Some(move_.to(to, troubles).await?);
        if !troubles.is_empty() {
            break;
        }
    }
    Ok(moved)
}

/// Where values of a key have to go, if anywhere.
fn due(ring: &KeyRing, name: &str) -> Option<(KeyId, Equality)> {
    let equality = ring.equality(name)?;
    // One that is under way goes where it was going.
    let to = match equality.leaving {
        Some(_) => equality.pinned,
        None => ring.writing(name, Mode::Randomized).ok()?.id(),
    };
    (equality.leaving.is_some() || to != equality.pinned).then_some((to, equality))
}

struct Move<'a> {
    database: &'a Database,
    keys: &'a Keys,
    name: &'a str,
    group: &'a [&'a Target],
    options: &'a RunOptions,
    stop: &'a AtomicBool,
}

impl Move<'_> {
    async fn to(&self, to: KeyId, troubles: &mut Troubles) -> Result<KeyRing, RunError> {
        let Self { database, keys, name, group, options, stop } = *self;
        for target in group {
            // It asks for the older version.
            let what = format!("dropping a constraint of {}", target.facts.table_name());
            database.execute_locked(&what, &drop_check(target), &options.patience).await?;
        }
        begin_move(&keys.config, name, to)?;
        if group.is_empty() {
            finish_move(&keys.config, name)?;
            return Ok(load(&keys.config)?.ring);
        }
        let ring = load(&keys.config)?.ring;
        eprintln!(
            "key `{name}`: values go to version {to}; waiting {} s for every pgveil to notice",
            options.settle.as_secs()
        );
        tokio::time::sleep(options.settle).await;
        let group = Group { database, columns: group, ring: &ring, change: GroupChange::Move, options, stop };
        group.convert(troubles).await?;
        if !troubles.is_empty() {
            return Ok(ring);
        }
        // Of what a pgveil wrote that noticed late.
        let mut late = Troubles::default();
        for table in by_table(self.group.iter().copied()) {
            let work = table
                .iter()
                .map(|target| column_work(target, &ring, direction(target)))
                .collect::<Result<Vec<_>, _>>()?;
            let passes = Passes { database, table: &table, work: &work, pace: options.pace, is_online: true, stop };
            if options.add_constraint {
                for (target, work) in table.iter().zip(&work) {
                    add_constraint(database, target, work, options, true).await?;
                }
            }
            passes.until_idle(&mut late).await?;
            if options.add_constraint && late.is_empty() {
                for target in &table {
                    validate_constraint(database, target, options).await?;
                }
            }
            analyze(database, &table).await?;
            troubles.extend(std::mem::take(&mut late));
        }
        if troubles.is_empty() {
            finish_move(&keys.config, name)?;
            println!("key `{name}`: all values that are compared are under version {to}");
        }
        Ok(load(&keys.config)?.ring)
    }
}

/// What is done with the values of a column that may hold plaintext, or may not.
pub(super) fn direction(target: &Target) -> Direction {
    match target.encryption.stored {
        Stored::Mixed => Direction::Encrypt,
        Stored::Encrypted => Direction::Reseal,
    }
}
