//! `pgveil encrypt verify`: reads every value of the columns, and says which of them are no envelopes that open.
//!
//! It takes no lock that keeps anybody from anything, holds no more than one batch in memory, and may run several times
//! at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::batch::{blocks, cell, in_blocks, key_text};
use super::convert::{Converter, Direction, Trouble};
use super::index_column::IndexState;
use super::login::{Database, failed};
use super::progress::Progress;
use super::run::RunError;
use super::stored::StoredType;
use super::table::{Leaf, quoted};
use super::target::{Target, Targets};
use super::troubles::Troubles;
use crate::crypto::{KeyId, KeyRing};

/// Blocks that are listed at a time.
const WINDOW_BLOCKS: i64 = 64;
/// Bytes of values that are read at a time, and rows.
const BATCH_BYTES_MAX: i64 = 4 << 20;
const BATCH_ROWS_MAX: usize = 5_000;

/// What was found in all columns.
#[derive(Serialize)]
pub(super) struct Verified {
    columns: Vec<ColumnVerified>,
    /// Rows that are not as they should be, by their primary keys.
    rows: Vec<String>,
    #[serde(skip)]
    is_clean: bool,
}

/// What was found in one column.
#[derive(Serialize)]
struct ColumnVerified {
    /// `schema.table.column`.
    column: String,
    /// NULLs, which are not encrypted.
    nulls: u64,
    /// Values that open, by the version of the key: 1 is the oldest.
    opened: BTreeMap<String, u64>,
    /// The setting that values are bound to, so that they can not be opened: that they are envelopes of the key is what was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_to_setting: Option<String>,
    /// Values that do not, by why.
    troubles: BTreeMap<String, u64>,
}

/// Counts of one column.
#[derive(Default)]
struct Counts {
    nulls: u64,
    opened: BTreeMap<KeyId, u64>,
    troubles: BTreeMap<Trouble, u64>,
}

/// Read all values of the chosen columns.
///
/// # Errors
/// The server refuses, or it was stopped.
pub(super) async fn verify(
    database: &Database,
    targets: &Targets,
    ring: &KeyRing,
    stop: &AtomicBool,
) -> Result<Verified, RunError> {
    let mut verified = Verified { columns: Vec::new(), rows: Vec::new(), is_clean: true };
    let mut troubles = Troubles::default();
    for table in targets.tables() {
        let mut counts: Vec<Counts> = table.iter().map(|_| Counts::default()).collect();
        for leaf in table.first().map(|first| first.facts.leaves.as_slice()).unwrap_or_default() {
            let scan = Scan { database, leaf, table: &table, ring };
            scan.run(stop, &mut counts, &mut troubles).await?;
        }
        for (target, counts) in table.iter().zip(counts) {
            verified.is_clean &= counts.troubles.is_empty();
            verified.columns.push(ColumnVerified::new(target, ring, counts));
        }
    }
    verified.rows = troubles.lines();
    for target in targets.chosen() {
        let Some(index) = target.index.as_ref().filter(|index| index.state != IndexState::Made) else { continue };
        verified.is_clean = false;
        let missing = match index.state {
            IndexState::Made | IndexState::Missing => "is not there",
            IndexState::Other => "is not generated of it",
        };
        verified.rows.push(format!("{}: column {} of its blind index {missing}", target.facts.name, index.name));
    }
    Ok(verified)
}

struct Scan<'a> {
    database: &'a Database,
    leaf: &'a Leaf,
    table: &'a [&'a Target],
    ring: &'a KeyRing,
}

impl Scan<'_> {
    async fn run(&self, stop: &AtomicBool, counts: &mut [Counts], troubles: &mut Troubles) -> Result<(), RunError> {
        let mut converters = Vec::new();
        for target in self.table {
            let stored = StoredType::of(&target.facts);
            let converter = Converter::new(self.ring, &target.encryption, stored, Direction::Decrypt);
            converters.push(converter.map_err(|source| RunError::Key {
                key: target.encryption.key.to_string(),
                column: target.facts.name.clone(),
                source,
            })?);
        }
        let indexes = self.table.iter().filter_map(|target| {
            let index = target.index.as_ref().filter(|index| index.state == IndexState::Made)?;
            Some((target.facts.name.column.as_str(), quoted(index.name.as_str())))
        });
        let indexes: Vec<(&str, String)> = indexes.collect();
        let values = self.table.iter().map(|target| self.value(target));
        let tenants = converters.iter().map(|converter| converter.tenant_text());
        let tenants = tenants.map(|tenant| tenant.unwrap_or_else(|| "NULL::text".to_owned()));
        let texts = indexes.iter().map(|(_, index)| format!("{index}::text"));
        let columns: Vec<String> = values.chain(tenants).chain(texts).collect();
        let sizes: Vec<String> =
            self.table.iter().map(|target| format!("coalesce(octet_length({}), 0)", self.value(target))).collect();
        let list = format!(
            "SELECT ctid::text, ({})::int8 FROM ONLY {} WHERE {}",
            sizes.join(" + "),
            self.leaf.name,
            in_blocks(self.database)
        );
        let key = if self.leaf.key.is_empty() { "NULL::text".to_owned() } else { key_text(&self.leaf.key) };
        let fetch = format!(
            "SELECT ctid::text, {key}, {} FROM ONLY {} WHERE ctid = ANY ($1::text[]::tid[])",
            columns.join(", "),
            self.leaf.name
        );
        let what = || format!("reading {}", self.leaf.name);
        let client = self.database.client();
        let list = client.prepare(&list).await.map_err(failed(what()))?;
        let fetch = client.prepare(&fetch).await.map_err(failed(what()))?;
        let mut progress = Progress::new(format!("verifying {}", self.leaf.name));
        // What is added after the start is written by pgveil, or is met by the next run.
        let blocks = blocks(self.database, self.leaf).await?;
        let mut block = 0;
        while block < blocks {
            let end = (block + WINDOW_BLOCKS).min(blocks);
            let listed = client.query(&list, &[&block, &end]).await.map_err(failed(what()))?;
            let listed = listed.iter().map(|row| (row.get(0), row.get(1)));
            for places in super::batch::batches(listed, BATCH_ROWS_MAX, BATCH_BYTES_MAX) {
                if stop.load(Ordering::Relaxed) {
                    return Err(RunError::Stopped);
                }
                let rows = client.query(&fetch, &[&places]).await.map_err(failed(what()))?;
                for row in &rows {
                    for (number, ((target, converter), counts)) in
                        self.table.iter().zip(&converters).zip(counts.iter_mut()).enumerate()
                    {
                        let stored = cell(row, number + 2, StoredType::of(&target.facts).is_bytes());
                        let place = indexes.iter().position(|(column, _)| *column == target.facts.name.column);
                        let index = place.map(|place| row.get::<_, Option<String>>(2 * self.table.len() + place + 2));
                        let tenant = row.get::<_, Option<String>>(self.table.len() + number + 2);
                        let stored = stored.as_deref().map(Vec::as_slice);
                        if let Some(trouble) = counts.add(converter, (stored, tenant.as_deref()), index) {
                            let key = row.get::<_, Option<String>>(1);
                            let key = key.unwrap_or_else(|| format!("ctid={}", row.get::<_, String>(0)));
                            troubles.add(&self.leaf.name, &target.facts.name.column, key, trouble);
                        }
                    }
                }
                progress.advance(u64::try_from(rows.len()).unwrap_or(0), block as f64 / blocks as f64);
            }
            block = end;
        }
        progress.finish("done");
        Ok(())
    }

    /// A column that can not hold envelopes yet is read as text all the same: everything in it is plaintext.
    fn value(&self, target: &Target) -> String {
        let column = quoted(&target.facts.name.column);
        if StoredType::of(&target.facts).is_bytes() { column } else { format!("{column}::text") }
    }
}

impl Counts {
    /// Take a value in; what is wrong with it.
    /// `index`: what the column of its blind index has, if there is one.
    fn add(
        &mut self,
        converter: &Converter<'_>,
        (stored, tenant): (Option<&[u8]>, Option<&str>),
        index: Option<Option<String>>,
    ) -> Option<Trouble> {
        let Some(stored) = stored else {
            self.nulls += 1;
            return None;
        };
        let verified = converter.verified(stored, tenant).and_then(|key| match index {
            Some(index) if !converter.is_index_of(index.as_deref(), stored) => Err(Trouble::IndexElsewhere),
            Some(_) | None => Ok(key),
        });
        match verified {
            Ok(key) => {
                *self.opened.entry(key).or_default() += 1;
                None
            }
            Err(trouble) => {
                *self.troubles.entry(trouble).or_default() += 1;
                Some(trouble)
            }
        }
    }
}

impl ColumnVerified {
    fn new(target: &Target, ring: &KeyRing, counts: Counts) -> Self {
        let name = &target.encryption.key;
        let version = |key: KeyId| {
            let number = ring.versions(name).iter().position(|version| version.id == key);
            number.map_or_else(|| key.to_string(), |number| format!("{name} v{} ({key})", number + 1))
        };
        Self {
            column: target.facts.name.to_string(),
            nulls: counts.nulls,
            bound_to_setting: target.encryption.tenant_setting().map(ToString::to_string),
            opened: counts.opened.into_iter().map(|(key, count)| (version(key), count)).collect(),
            troubles: counts.troubles.into_iter().map(|(trouble, count)| (trouble.to_string(), count)).collect(),
        }
    }
}

impl Verified {
    /// Whether every value opens.
    pub(super) fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// As text for people.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        for ColumnVerified { column, nulls, opened, bound_to_setting, troubles } in &self.columns {
            let all: u64 = opened.values().sum();
            lines.push(match bound_to_setting {
                None => format!("{column}: {all} values open, {nulls} NULL"),
                Some(setting) => format!(
                    "{column}: {all} values are envelopes of its key, {nulls} NULL; bound to setting {setting}, they are opened only with --setting-column"
                ),
            });
            lines.extend(opened.iter().map(|(key, count)| format!("    {count:>10}  key {key}")));
            lines.extend(troubles.iter().map(|(trouble, count)| format!("    {count:>10}  NOT VALID: {trouble}")));
        }
        lines.extend(self.rows.iter().map(|row| format!("    {row}")));
        lines.push(String::new());
        lines.join("\n")
    }
}
