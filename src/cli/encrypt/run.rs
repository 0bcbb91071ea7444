//! `pgveil encrypt run`: converts what is there, on line, table by table.
//!
//! Each table: its columns get the type that holds envelopes, then passes convert rows until a pass finds nothing to do,
//! then a constraint keeps plaintext out. All of it may be stopped or killed at any moment, and is taken up again by
//! running the same command: what is done is told by what is there.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Keys;
use super::batch::{ColumnWork, Pace};
use super::convert::Direction;
use super::findings::{Weight, findings};
use super::group::{Group, GroupChange, groups};
use super::index_column::{check_index, make_indexes};
use super::login::{Database, DatabaseError, Patience, failed};
use super::moves::move_keys;
use super::passes::{Passes, column_work};
use super::stored::{StoredType, TypeChange, alter, constraint_name};
use super::table::{ColumnName, Constraint, ConstraintKind, quoted};
use super::target::{Target, Targets};
use super::troubles::Troubles;
use crate::crypto::{KeyError, KeyRing, Mode};
use crate::policy::Stored;
use crate::server::keys::KeysError;

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunOptions {
    pub(super) pace: Pace,
    pub(super) patience: Patience,
    /// Whether tables may be written anew under ACCESS EXCLUSIVE.
    pub(super) allow_rewrite: bool,
    /// Whether triggers of the tables are kept from firing.
    pub(super) disable_triggers: bool,
    /// Whether deterministic values, and those with a blind index, are moved to the newest version of their key.
    pub(super) moves: bool,
    /// Time that every pgveil has to notice that.
    pub(super) settle: Duration,
    /// Whether the constraint is made in the end.
    pub(super) add_constraint: bool,
}

/// Why a run ends without being done.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("key `{key}` of {column}: {source}; `pgveil keys list` shows what there is")]
    Key { key: String, column: ColumnName, source: KeyError },
    #[error("{column} can not be encrypted as it is:\n{findings}`pgveil encrypt plan` says more")]
    Blocked { column: ColumnName, findings: String },
    #[error(
        "{0} holds plaintext, and the policy says that it holds none: write `stored: mixed` into its `encrypted`, so that pgveil \
         reads both forms and writes envelopes meanwhile, and run this again"
    )]
    NotMixed(ColumnName),
    #[error(
        "{column} becomes `{to}`, and the server writes the whole table anew for that, while nobody reads or writes it; give \
         --allow-rewrite when that is acceptable"
    )]
    Rewrite { column: ColumnName, to: String },
    #[error(
        "{column} gets column `{index}` for its blind index, and the server writes the whole table anew for that, while nobody reads \
         or writes it; give --allow-rewrite when that is acceptable"
    )]
    IndexRewrite { column: ColumnName, index: String },
    #[error(
        "column `{index}` is there, but is not generated as the blind index of {column}: drop it, or name another one in the policy \
         (`pgveil encrypt plan` prints how it is made)"
    )]
    NoIndex { column: ColumnName, index: String },
    #[error(
        "write `stored: mixed` into the policy's `encrypted` of {0} first, so that pgveil reads both forms meanwhile, and run this \
         again"
    )]
    NotMixedBack(ColumnName),
    #[error("{0} is bound to a chosen column by a foreign key: choose both with --column, or leave --column out")]
    LeftOut(ColumnName),
    #[error("{0} has values of a key that is to be moved, too: choose it with --column, or leave --column out")]
    LeftOutOfMove(ColumnName),
    #[error("{0} is not converted yet: run this without --move-keys first")]
    Unconverted(ColumnName),
    #[error(
        "values of key `{0}` are being moved to another version: give --move-keys, so that this is brought to its end first"
    )]
    Moving(String),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("stopped; run the same command again to go on")]
    Stopped,
    #[error("{table}: {rows} rows can not be changed; does a trigger or a rule keep them from being updated?")]
    Stuck { table: String, rows: u64 },
    #[error("some rows stay as they are:\n{0}")]
    Troubles(String),
}

/// Convert the chosen columns.
///
/// # Errors
/// See [`RunError`]; whatever was converted stays so.
pub(super) async fn run(
    database: &Database,
    targets: &Targets,
    keys: &Keys,
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<(), RunError> {
    for target in targets.chosen() {
        check(target, targets, options)?;
    }
    quiet_triggers(database, options).await?;
    let mut troubles = Troubles::default();
    let moved = move_keys(database, targets, keys, options, stop, &mut troubles).await?;
    outcome(&troubles)?;
    let ring = moved.as_ref().unwrap_or(&keys.ring);
    let groups = groups(targets);
    for group in &groups {
        if needs_work(database, group, ring).await? {
            Group { database, columns: group, ring, change: GroupChange::Encrypt, options, stop }
                .convert(&mut troubles)
                .await?;
        }
        if troubles.is_empty() {
            for target in group {
                analyze(database, &[target]).await?;
                tell_done(target);
            }
        }
    }
    for table in targets.tables_without(&groups) {
        convert_table(database, &table, ring, options, stop, &mut troubles).await?;
    }
    outcome(&troubles)
}

/// Give the chosen columns the types that hold envelopes, and no more: a length that is gone is in nobody's way, and pgveil
/// may write envelopes as soon as it has the policy.
///
/// # Errors
/// See [`RunError`]; columns that were changed stay so.
pub(super) async fn run_types(
    database: &Database,
    targets: &Targets,
    keys: &Keys,
    options: &RunOptions,
    stop: &AtomicBool,
) -> Result<(), RunError> {
    for target in targets.chosen() {
        check(target, targets, options)?;
    }
    let groups = groups(targets);
    let mut troubles = Troubles::default();
    for columns in &groups {
        if columns.iter().any(|target| TypeChange::needed(&target.facts) != TypeChange::None) {
            let change = GroupChange::Types;
            Group { database, columns, ring: &keys.ring, change, options, stop }.convert(&mut troubles).await?;
        }
    }
    for table in targets.tables_without(&groups) {
        change_types(database, &table, options).await?;
        make_indexes(database, &table, options).await?;
    }
    println!(
        "the columns can hold envelopes: let pgveil have the policy with `stored: mixed`, then `pgveil encrypt run`"
    );
    Ok(())
}

/// Keep triggers from firing, if that was asked for.
///
/// # Errors
/// The login may not.
pub(super) async fn quiet_triggers(database: &Database, options: &RunOptions) -> Result<(), DatabaseError> {
    if !options.disable_triggers {
        return Ok(());
    }
    let quiet = "SET session_replication_role = replica";
    database.execute("keeping triggers from firing (--disable-triggers is for superusers)", quiet).await
}

/// An error if something stays as it is.
///
/// # Errors
/// There are troubles.
pub(super) fn outcome(troubles: &Troubles) -> Result<(), RunError> {
    if troubles.is_empty() {
        return Ok(());
    }
    Err(RunError::Troubles(troubles.lines().iter().map(|line| format!("    {line}\n")).collect()))
}

/// Renew the planner's statistics of columns of one table: they hold frequent values.
///
/// # Errors
/// The server refuses.
pub(super) async fn analyze(database: &Database, table: &[&Target]) -> Result<(), DatabaseError> {
    let columns: Vec<&str> = table.iter().map(|target| target.facts.name.column.as_str()).collect();
    analyze_columns(database, table, &columns).await
}

/// The same of some columns of the table.
///
/// # Errors
/// The server refuses.
pub(super) async fn analyze_columns(
    database: &Database,
    table: &[&Target],
    columns: &[&str],
) -> Result<(), DatabaseError> {
    let Some(first) = table.first().filter(|_| !columns.is_empty()) else { return Ok(()) };
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let analyze = format!("ANALYZE {} ({})", first.facts.table_name(), columns.join(", "));
    database.execute("renewing the planner's statistics, which hold values", &analyze).await
}

/// Whether a group has something to convert.
async fn needs_work(database: &Database, group: &[&Target], ring: &KeyRing) -> Result<bool, RunError> {
    for target in group {
        let facts = &target.facts;
        let is_left = column_work(target, ring, Direction::Encrypt)?.converter.is_left(&facts.name.column);
        if target.encryption.stored == Stored::Encrypted && has_plaintext(database, target).await? {
            return Err(RunError::NotMixed(facts.name.clone()));
        }
        if TypeChange::needed(facts) != TypeChange::None {
            return Ok(true);
        }
        let query = format!("SELECT EXISTS (SELECT FROM {} WHERE {is_left})", facts.table_name());
        let what = format!("looking for rows of {}", facts.name);
        if database.client().query_one(&query, &[]).await.map_err(failed(what))?.get(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a column can be converted at all.
fn check(target: &Target, targets: &Targets, options: &RunOptions) -> Result<(), RunError> {
    let Target { facts, encryption, .. } = target;
    check_index(target, options)?;
    let others = |column: &ColumnName| targets.encryption_of(column);
    let found = findings(facts, encryption, None, &others);
    let blocking: String = found
        .iter()
        .filter(|finding| finding.weight == Weight::Blocks)
        .map(|finding| format!("    {}: {}\n", finding.about, finding.text))
        .collect();
    if !blocking.is_empty() {
        return Err(RunError::Blocked { column: facts.name.clone(), findings: blocking });
    }
    match TypeChange::needed(facts) {
        TypeChange::Rewrite(to) if !options.allow_rewrite => {
            Err(RunError::Rewrite { column: facts.name.clone(), to: to.name().to_owned() })
        }
        TypeChange::None | TypeChange::Quick(_) | TypeChange::Rewrite(_) => Ok(()),
    }
}

async fn convert_table(
    database: &Database,
    table: &[&Target],
    ring: &KeyRing,
    options: &RunOptions,
    stop: &AtomicBool,
    troubles: &mut Troubles,
) -> Result<(), RunError> {
    let mut work = Vec::new();
    for target in table {
        let direction = match target.encryption.stored {
            Stored::Mixed => Direction::Encrypt,
            Stored::Encrypted if has_plaintext(database, target).await? => {
                return Err(RunError::NotMixed(target.facts.name.clone()));
            }
            Stored::Encrypted => Direction::Reseal,
        };
        work.push(column_work(target, ring, direction)?);
    }
    change_types(database, table, options).await?;
    make_indexes(database, table, options).await?;
    let mut found = Troubles::default();
    let passes = Passes { database, table, work: &work, pace: options.pace, is_online: true, stop };
    passes.until_idle(&mut found).await?;
    if options.add_constraint && found.is_empty() {
        let mixed = || table.iter().zip(&work).filter(|(target, _)| target.encryption.stored == Stored::Mixed);
        for (target, work) in mixed() {
            add_constraint(database, target, work, options, false).await?;
        }
        // Plaintext may have come in until the constraint was there.
        passes.until_idle(&mut found).await?;
        for (target, _) in mixed().filter(|_| found.is_empty()) {
            validate_constraint(database, target, options).await?;
        }
    }
    analyze(database, table).await?;
    let indexes: Vec<&str> =
        table.iter().filter_map(|target| target.index.as_ref()).map(|index| index.name.as_str()).collect();
    analyze_columns(database, table, &indexes).await?;
    if found.is_empty() {
        table.iter().for_each(|target| tell_done(target));
    }
    troubles.extend(found);
    Ok(())
}

async fn has_plaintext(database: &Database, target: &Target) -> Result<bool, DatabaseError> {
    let facts = &target.facts;
    // A column that can not even hold envelopes holds plaintext, if anything.
    if TypeChange::needed(facts) != TypeChange::None {
        return Ok(true);
    }
    let is_envelope = StoredType::of(facts).is_envelope(&facts.name.column);
    let query = format!("SELECT EXISTS (SELECT FROM {} WHERE NOT ({is_envelope}))", facts.table_name());
    let what = format!("looking for plaintext in {}", facts.name);
    Ok(database.client().query_one(&query, &[]).await.map_err(failed(what))?.get(0))
}

async fn change_types(database: &Database, table: &[&Target], options: &RunOptions) -> Result<(), RunError> {
    let Some(first) = table.first() else { return Ok(()) };
    let actions = type_changes(table);
    let Some(statement) = alter(&first.facts, &actions) else { return Ok(()) };
    let what = format!("changing the types of columns of {}", first.facts.table_name());
    database.execute_locked(&what, &statement, &options.patience).await?;
    Ok(())
}

/// What has to be done to the columns of a table; said to the operator.
pub(super) fn type_changes(table: &[&Target]) -> Vec<String> {
    let action = |target: &&Target| {
        let facts = &target.facts;
        let change = TypeChange::needed(facts);
        let how = match change {
            TypeChange::None => return None,
            TypeChange::Rewrite(_) => "by writing the table anew; nobody reads or writes it meanwhile",
            TypeChange::Quick(_) => "a change of the catalog alone",
        };
        eprintln!("{}: {} becomes {}, {how}", facts.name, facts.type_name, StoredType::of(facts).name());
        change.action(facts)
    };
    table.iter().filter_map(action).collect()
}

/// Add the constraint, which holds for what is written from now on; `replaces`: one is there that asks for another key.
///
/// # Errors
/// The server refuses.
pub(super) async fn add_constraint(
    database: &Database,
    target: &Target,
    work: &ColumnWork<'_>,
    options: &RunOptions,
    replaces: bool,
) -> Result<(), DatabaseError> {
    let (facts, name) = (&target.facts, constraint_name(&target.facts.name.column));
    let is_there = |constraint: &Constraint| constraint.kind == ConstraintKind::Check && constraint.name == name;
    if !replaces && facts.constraints.iter().any(is_there) {
        return Ok(());
    }
    let condition = StoredType::of(facts).check(&facts.name.column, work.converter.key(), target.encryption.mode);
    let (table, constraint) = (facts.table_name(), quoted(&name));
    let statement = format!(
        "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}; \
         ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({condition}) NOT VALID"
    );
    database.execute_locked(&format!("adding constraint {name} to {table}"), &statement, &options.patience).await
}

/// Have the server check all rows, under a lock that lets others read and write.
///
/// # Errors
/// The server refuses.
pub(super) async fn validate_constraint(
    database: &Database,
    target: &Target,
    options: &RunOptions,
) -> Result<(), DatabaseError> {
    let (table, name) = (target.facts.table_name(), constraint_name(&target.facts.name.column));
    let statement = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quoted(&name));
    database.execute_locked(&format!("validating constraint {name} of {table}"), &statement, &options.patience).await
}

fn tell_done(target: &Target) {
    let facts = &target.facts;
    let mode = match target.encryption.mode {
        Mode::Randomized => "randomized",
        Mode::Deterministic => "deterministic",
        Mode::Indexed => "randomized, with a blind index",
    };
    println!("{}: every value is encrypted ({mode})", facts.name);
    if target.encryption.stored == Stored::Mixed {
        println!(
            "    now take `stored: mixed` out of its entry in the policy, so that plaintext is an error from then on"
        );
    }
    println!(
        "    old plaintext is still in free space of the table's files, in the log (WAL) and in backups: VACUUM FULL {} \
         takes it out of the files",
        facts.table_name()
    );
}
