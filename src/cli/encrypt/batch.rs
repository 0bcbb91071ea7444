//! The rows of one table that holds rows, batch by batch, in the order that they are stored in.
//!
//! A pass goes over the table's blocks. Rows that have something to convert are listed by their place (`ctid`), read, and
//! updated where they still hold the values that were read: a change that somebody else made meanwhile is never undone, and
//! the row is left for the next pass. No state is kept outside of the rows: what is converted is told by its form.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::{Row, Statement};
use zeroize::Zeroizing;

use super::convert::{Converter, Trouble};
use super::login::{Database, DatabaseError, failed};
use super::table::{Leaf, quoted};
use super::troubles::Troubles;

/// Blocks that are listed at a time.
const WINDOW_BLOCKS: i64 = 64;
/// Bytes of values in one batch; a single longer value is a batch of its own.
const BATCH_BYTES_MAX: i64 = 4 << 20;
/// Attempts at a batch that meets other transactions.
const ATTEMPTS_MAX: u32 = 10;

/// How fast it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Rows of one batch.
    pub(super) batch_rows: usize,
    /// Pause after each batch.
    pub(super) sleep: Duration,
}

/// One column of the table: its name, how it is stored, and what is done with its values.
pub(super) struct ColumnWork<'a> {
    pub(super) column: &'a str,
    pub(super) is_bytes: bool,
    pub(super) converter: Converter<'a>,
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// Rows that were converted.
    pub(super) converted: u64,
    /// Rows that somebody else changed meanwhile: there is something left to do.
    pub(super) missed: u64,
    /// Whether it was stopped before the end.
    pub(super) stopped: bool,
}

/// A pass over one leaf.
pub(super) struct Pass<'a> {
    database: &'a Database,
    leaf: &'a Leaf,
    columns: &'a [ColumnWork<'a>],
    pace: Pace,
    list: Statement,
    fetch: Statement,
    update: Statement,
    /// Whether each batch is a transaction of its own; else all of them are part of one that is open.
    is_online: bool,
}

/// A row that was read.
struct Fetched {
    place: String,
    /// For each column whose values are its, `None` for the others.
    tenants: Vec<Option<String>>,
    /// For each column; `None`: it stays as it is.
    cells: Vec<Option<Conversion>>,
}

/// What a column holds, and what it becomes.
struct Conversion {
    old: Zeroizing<Vec<u8>>,
    new: Zeroizing<Vec<u8>>,
}

impl<'a> Pass<'a> {
    /// Prepare a pass.
    ///
    /// # Errors
    /// The server refuses what it is going to be asked.
    pub(super) async fn prepare(
        database: &'a Database,
        leaf: &'a Leaf,
        columns: &'a [ColumnWork<'a>],
        pace: Pace,
        is_online: bool,
    ) -> Result<Self, DatabaseError> {
        let what = || format!("preparing to convert {}", leaf.name);
        let client = database.client();
        let list = client.prepare(&list_query(database, leaf, columns)).await.map_err(failed(what()))?;
        let fetch = client.prepare(&fetch_query(leaf, columns)).await.map_err(failed(what()))?;
        let update = client.prepare(&update_statement(leaf, columns)).await.map_err(failed(what()))?;
        Ok(Self { database, leaf, columns, pace, list, fetch, update, is_online })
    }

    /// Go over the table once. `progress` is told how many rows were converted, and how far of the table that is, from 0
    /// to 1.
    ///
    /// # Errors
    /// The server refuses, or the connection is lost. What was converted stays so.
    pub(super) async fn run(
        &self,
        stop: &AtomicBool,
        troubles: &mut Troubles,
        mut progress: impl FnMut(u64, f64),
    ) -> Result<Passed, DatabaseError> {
        let mut passed = Passed::default();
        let blocks = blocks(self.database, self.leaf).await?;
        let mut block = 0;
        while block < blocks {
            let end = (block + WINDOW_BLOCKS).min(blocks);
            for batch in self.listed(block, end).await? {
                if stop.load(Ordering::Relaxed) {
                    passed.stopped = true;
                    return Ok(passed);
                }
                let before = passed.converted;
                self.batch(batch, &mut passed, troubles).await?;
                progress(passed.converted - before, share(block, blocks));
                if !self.pace.sleep.is_zero() {
                    tokio::time::sleep(self.pace.sleep).await;
                }
            }
            if stop.load(Ordering::Relaxed) {
                passed.stopped = true;
                return Ok(passed);
            }
            block = end;
            progress(0, share(block, blocks));
        }
        Ok(passed)
    }

    /// The places of rows in these blocks that have something to convert, in batches.
    async fn listed(&self, block: i64, end: i64) -> Result<Vec<Vec<String>>, DatabaseError> {
        let what = format!("looking for rows of {}", self.leaf.name);
        let rows = self.database.client().query(&self.list, &[&block, &end]).await.map_err(failed(what))?;
        Ok(batches(rows.iter().map(|row| (row.get(0), row.get(1))), self.pace.batch_rows, BATCH_BYTES_MAX))
    }

    /// Convert one batch. Where a row of it is refused by a constraint, that one is found by halving.
    async fn batch(
        &self,
        places: Vec<String>,
        passed: &mut Passed,
        troubles: &mut Troubles,
    ) -> Result<(), DatabaseError> {
        let mut pending = vec![places];
        let mut attempt = 1;
        while let Some(places) = pending.pop() {
            let error = match self.attempt(&places, troubles).await {
                Ok((converted, missed)) => {
                    passed.converted += converted;
                    passed.missed += missed;
                    continue;
                }
                Err(error) => error,
            };
            if !self.is_online {
                return Err(error);
            }
            let trouble = match error.sqlstate() {
                // unique_violation
                Some("23505") => Trouble::Duplicate,
                // program_limit_exceeded: too long for an index
                Some("54000") => Trouble::TooLong,
                _ if error.is_contention() && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(100 * u64::from(attempt))).await;
                    pending.push(places);
                    continue;
                }
                _ => return Err(error),
            };
            match places.as_slice() {
                [] => {}
                [only] => {
                    let key = self.key_of(only).await?;
                    troubles.add(&self.leaf.name, "", key, trouble);
                }
                [..] => {
                    let (first, second) = places.split_at(places.len() / 2);
                    pending.push(second.to_vec());
                    pending.push(first.to_vec());
                }
            }
        }
        Ok(())
    }

    /// Read the rows at these places and update them: rows that were converted, and rows that somebody else changed.
    async fn attempt(&self, places: &[String], troubles: &mut Troubles) -> Result<(u64, u64), DatabaseError> {
        let client = self.database.client();
        let what = || format!("reading rows of {}", self.leaf.name);
        let rows = client.query(&self.fetch, &[&places]).await.map_err(failed(what()))?;
        let mut fetched = Vec::with_capacity(rows.len());
        for row in &rows {
            let place: String = row.get(0);
            let tenants = tenants_of(row, self.columns);
            let (cells, found) = self.converted(row, &tenants);
            for (column, trouble) in found {
                let key = self.key_of(&place).await?;
                troubles.add(&self.leaf.name, column, key, trouble);
            }
            if cells.iter().any(Option::is_some) {
                fetched.push(Fetched { place, tenants, cells });
            }
        }
        if fetched.is_empty() {
            return Ok((0, 0));
        }
        let updated = self.update(&fetched).await?;
        let all = u64::try_from(fetched.len()).unwrap_or(u64::MAX);
        Ok((updated, all.saturating_sub(updated)))
    }

    /// What becomes of each column of a row.
    fn converted(&self, row: &Row, tenants: &[Option<String>]) -> (Vec<Option<Conversion>>, Vec<(&'a str, Trouble)>) {
        let mut troubles = Vec::new();
        let cells = self.columns.iter().zip(tenants).enumerate().map(|(number, (work, tenant))| {
            let stored = cell(row, number + 1, work.is_bytes)?;
            match work.converter.convert(&stored, tenant.as_deref()) {
                Ok(new) => Some(Conversion { old: stored, new }),
                Err(trouble) => {
                    troubles.push((work.column, trouble));
                    None
                }
            }
        });
        let cells = cells.collect();
        (cells, troubles)
    }

    async fn update(&self, fetched: &[Fetched]) -> Result<u64, DatabaseError> {
        let what = format!("converting rows of {}", self.leaf.name);
        let places: Vec<&str> = fetched.iter().map(|row| row.place.as_str()).collect();
        let mut values: Vec<Box<dyn tokio_postgres::types::ToSql + Sync + '_>> = vec![Box::new(places)];
        for (number, work) in self.columns.iter().enumerate() {
            for side in [Side::Old, Side::New] {
                let of_row = |row: &'_ Fetched| {
                    let Conversion { old, new } = row.cells.get(number)?.as_ref()?;
                    // Both live as long as the rows do.
                    Some(match side {
                        Side::Old => old.as_slice().to_vec(),
                        Side::New => new.as_slice().to_vec(),
                    })
                };
                let cells: Vec<Option<Vec<u8>>> = fetched.iter().map(of_row).collect();
                if work.is_bytes {
                    values.push(Box::new(cells));
                } else {
                    let texts = cells.into_iter().map(|cell| cell.and_then(|cell| String::from_utf8(cell).ok()));
                    values.push(Box::new(texts.collect::<Vec<Option<String>>>()));
                }
            }
            if work.converter.tenant_text().is_some() {
                let of_row = |row: &Fetched| row.tenants.get(number).cloned().flatten();
                values.push(Box::new(fetched.iter().map(of_row).collect::<Vec<Option<String>>>()));
            }
        }
        let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
            values.iter().map(|value| &**value as _).collect();
        self.database.client().execute(&self.update, &values).await.map_err(failed(what))
    }

    /// The primary key of the row at a place, to name it by.
    async fn key_of(&self, place: &str) -> Result<String, DatabaseError> {
        if self.leaf.key.is_empty() {
            return Ok(format!("ctid={place}"));
        }
        let query =
            format!("SELECT {} FROM ONLY {} WHERE ctid = $1::text::tid", key_text(&self.leaf.key), self.leaf.name);
        let what = format!("reading a key of {}", self.leaf.name);
        let row = self.database.client().query_opt(&query, &[&place]).await.map_err(failed(what))?;
        Ok(row.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_else(|| format!("ctid={place}")))
    }
}

#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

/// A cell's bytes; `None`: NULL, or nothing to convert.
pub(super) fn cell(row: &Row, number: usize, is_bytes: bool) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = if is_bytes {
        row.get::<_, Option<Vec<u8>>>(number)
    } else {
        row.get::<_, Option<String>>(number).map(String::into_bytes)
    };
    bytes.map(Zeroizing::new)
}

/// Whose the values of each column are, as a row says in the columns behind these.
fn tenants_of(row: &Row, columns: &[ColumnWork<'_>]) -> Vec<Option<String>> {
    (0..columns.len()).map(|number| row.get(columns.len() + number + 1)).collect()
}

/// How many blocks a table has now.
///
/// # Errors
/// The server does not say.
pub(super) async fn blocks(database: &Database, leaf: &Leaf) -> Result<i64, DatabaseError> {
    let query = "SELECT pg_relation_size($1::oid) / current_setting('block_size')::int8";
    let what = format!("asking for the size of {}", leaf.name);
    Ok(database.client().query_one(query, &[&leaf.oid]).await.map_err(failed(what))?.get(0))
}

/// The SQL condition that a row is in the blocks from `$1` to before `$2`. Before version 14 rows are looked up one by one.
pub(super) fn in_blocks(database: &Database) -> &'static str {
    if database.version() >= 140_000 {
        "ctid >= ('(' || $1::int8 || ',0)')::tid AND ctid < ('(' || $2::int8 || ',0)')::tid"
    } else {
        "ctid = ANY (ARRAY(SELECT ('(' || b || ',' || o || ')')::tid FROM generate_series($1::int8, $2::int8 - 1) AS b, \
         generate_series(1, (current_setting('block_size')::int8 - 24) / 28) AS o))"
    }
}

/// The SQL expression that names a row by its primary key.
pub(super) fn key_text(key: &[String]) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|column| format!("{} || {}::text", super::table::literal(&format!("{column}=")), quoted(column)))
        .collect();
    parts.join(" || ' ' || ")
}

fn list_query(database: &Database, leaf: &Leaf, columns: &[ColumnWork<'_>]) -> String {
    let left: Vec<String> = columns.iter().map(|work| format!("({})", work.converter.is_left(work.column))).collect();
    let sizes: Vec<String> =
        columns.iter().map(|work| format!("coalesce(octet_length({}), 0)", quoted(work.column))).collect();
    format!(
        "SELECT ctid::text, ({})::int8 FROM ONLY {} WHERE {} AND ({})",
        sizes.join(" + "),
        leaf.name,
        in_blocks(database),
        left.join(" OR ")
    )
}

fn fetch_query(leaf: &Leaf, columns: &[ColumnWork<'_>]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .map(|work| format!("CASE WHEN {} THEN {} END", work.converter.is_left(work.column), quoted(work.column)))
        .chain(columns.iter().map(|work| work.converter.tenant_text().unwrap_or_else(|| "NULL::text".to_owned())))
        .collect();
    format!("SELECT ctid::text, {} FROM ONLY {} WHERE ctid = ANY ($1::text[]::tid[])", cells.join(", "), leaf.name)
}

/// Compare and set: `$1` are places, and for each column come the values that were read and those that they become, NULL
/// where the column is not changed, and whose they are where that matters.
fn update_statement(leaf: &Leaf, columns: &[ColumnWork<'_>]) -> String {
    let (mut arrays, mut names) = (vec!["$1::text[]".to_owned()], vec!["place".to_owned()]);
    let (mut sets, mut same) = (Vec::new(), Vec::new());
    for (number, work) in columns.iter().enumerate() {
        let (array, column) = (if work.is_bytes { "bytea[]" } else { "text[]" }, quoted(work.column));
        arrays.extend([0, 1].map(|side| format!("${}::{array}", arrays.len() + side + 1)));
        names.extend([format!("old{number}"), format!("new{number}")]);
        sets.push(format!("{column} = coalesce(v.new{number}, t.{column})"));
        same.push(format!("(v.old{number} IS NULL OR t.{column} = v.old{number})"));
        if let Some(tenant) = work.converter.tenant_text() {
            arrays.push(format!("${}::text[]", arrays.len() + 1));
            names.push(format!("tenant{number}"));
            same.push(format!("(v.old{number} IS NULL OR t.{tenant} = v.tenant{number})"));
        }
    }
    format!(
        "UPDATE ONLY {} AS t SET {} FROM unnest({}) AS v({}) WHERE t.ctid = v.place::tid AND {}",
        leaf.name,
        sets.join(", "),
        arrays.join(", "),
        names.join(", "),
        same.join(" AND ")
    )
}

/// Places with their sizes in bytes, in bounded batches.
pub(super) fn batches(
    listed: impl Iterator<Item = (String, i64)>,
    rows_max: usize,
    bytes_max: i64,
) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for (place, size) in listed {
        match batches.last_mut() {
            Some(batch) if batch.len() < rows_max && bytes + size <= bytes_max => {
                batch.push(place);
                bytes += size;
            }
            _ => {
                batches.push(vec![place]);
                bytes = size;
            }
        }
    }
    batches
}

/// Blocks are below 2^32.
#[allow(clippy::cast_precision_loss)]
fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_in_rows_and_bytes_and_a_long_value_stands_alone() {
        let listed = [("a", 10), ("b", 10), ("c", 10), ("d", BATCH_BYTES_MAX + 1), ("e", 10)];
        let listed = listed.into_iter().map(|(place, size)| (place.to_owned(), size));
        let found: Vec<String> = batches(listed, 2, BATCH_BYTES_MAX).iter().map(|batch| batch.concat()).collect();
        assert_eq!(found, ["ab", "c", "d", "e"]);
    }
}
