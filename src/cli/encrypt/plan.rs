//! `pgveil encrypt plan`: what encrypting the columns would change, and what is in its way.

use std::fmt::Write as _;

use serde::Serialize;

use super::findings::{Finding, Weight, findings};
use super::index_column::IndexPlan;
use super::login::{Database, DatabaseError};
use super::sample::{Sample, sample};
use super::statements::StatementsJudged;
use super::stored::{StoredType, TypeChange, alter};
use super::table::ColumnName;
use super::target::{Target, Targets};
use crate::crypto::Mode;

/// What is planned for all columns, as text or as JSON.
#[derive(Serialize)]
pub(super) struct Plan {
    columns: Vec<ColumnPlan>,
    /// What becomes of the application's statements, if any were given.
    statements: Option<StatementsJudged>,
}

/// What is planned for one column.
#[derive(Serialize)]
struct ColumnPlan {
    /// `schema.table.column`.
    column: String,
    /// Its type now, and when it holds envelopes.
    present_type: String,
    stored_type: &'static str,
    /// The ALTER TABLE, and whether it writes the table anew.
    alter: Option<String>,
    rewrites_table: bool,
    /// The column of its blind index, if it is to have one.
    blind_index: Option<IndexPlan>,
    mode: &'static str,
    key: String,
    domain: String,
    /// Estimated.
    rows: Option<u64>,
    /// How many values are there already, of those that were read.
    values_read: i64,
    values_encrypted: i64,
    /// Estimated bytes of the values in all rows.
    bytes_before: Option<u64>,
    bytes_after: Option<u64>,
    table_bytes: i64,
    findings: Vec<Finding>,
}

/// Look at all columns.
///
/// # Errors
/// The server does not let this login read what it has to.
pub(super) async fn plan(
    database: &Database,
    targets: &Targets,
    statements: Option<StatementsJudged>,
) -> Result<Plan, DatabaseError> {
    let mut columns = Vec::new();
    for target in targets.chosen() {
        let readable = matches!(target.facts.kind, 'r' | 'p');
        let numbers = if readable { Some(sample(database, &target.facts).await?) } else { None };
        columns.push(column_plan(target, targets, numbers.as_ref()));
    }
    Ok(Plan { columns, statements })
}

fn column_plan(target: &Target, targets: &Targets, numbers: Option<&Sample>) -> ColumnPlan {
    let Target { facts, encryption, index, .. } = target;
    let change = TypeChange::needed(facts);
    let stored = StoredType::of(facts);
    let others = |column: &ColumnName| targets.encryption_of(column);
    // What was counted whole is exact.
    let rows = match numbers {
        Some(numbers) if numbers.is_whole => Some(u64::try_from(numbers.rows).unwrap_or(0)),
        _ => facts.rows().map(whole),
    };
    let size = |each: f64| {
        let numbers = numbers?;
        let share = if numbers.rows == 0 { 0.0 } else { numbers.plaintexts() as f64 / numbers.rows as f64 };
        Some(whole(rows? as f64 * share * each))
    };
    let mean = numbers.map_or(0.0, |numbers| numbers.bytes_mean);
    ColumnPlan {
        column: facts.name.to_string(),
        present_type: facts.type_name.clone(),
        stored_type: stored.name(),
        alter: alter(facts, &change.action(facts).into_iter().collect::<Vec<_>>()),
        rewrites_table: matches!(change, TypeChange::Rewrite(_)),
        blind_index: index.as_ref().map(|index| index.plan(facts)),
        mode: match encryption.mode {
            Mode::Randomized => "randomized",
            Mode::Deterministic => "deterministic",
            Mode::Indexed => "randomized, with a blind index",
        },
        key: encryption.key.to_string(),
        domain: encryption.domain.to_string(),
        rows,
        values_read: numbers.map_or(0, |numbers| numbers.values),
        values_encrypted: numbers.map_or(0, |numbers| numbers.envelopes),
        bytes_before: size(mean),
        bytes_after: size(stored.envelope_bytes(mean as i64, encryption.mode) as f64),
        table_bytes: facts.bytes(),
        findings: findings(facts, encryption, numbers, &others),
    }
}

/// Estimates are not negative.
fn whole(estimate: f64) -> u64 {
    estimate.max(0.0) as u64
}

impl Plan {
    /// Whether something has to be done before `encrypt run`.
    pub(super) fn is_blocked(&self) -> bool {
        self.columns.iter().flat_map(|column| &column.findings).any(|finding| finding.weight == Weight::Blocks)
            || self.statements.as_ref().is_some_and(|statements| !statements.refused.is_empty())
    }

    /// As text for people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for column in &self.columns {
            // Writing to a String does not fail.
            let _written = column.describe(&mut out);
        }
        if let Some(StatementsJudged { read, rewritten, refused }) = &self.statements {
            let _written =
                writeln!(out, "statements: {read} read, {rewritten} have values that are encrypted on their way");
            for statement in refused {
                let _written = writeln!(out, "    REFUSED   {statement}");
            }
            out.push('\n');
        }
        let of = |weight| {
            self.columns.iter().flat_map(|column| &column.findings).filter(|finding| finding.weight == weight).count()
        };
        let (blocking, warnings) = (of(Weight::Blocks), of(Weight::Warning));
        let refused = self.statements.as_ref().map_or(0, |statements| statements.refused.len());
        let _written = writeln!(
            out,
            "{} columns: {blocking} things in the way, {warnings} warnings{}",
            self.columns.len(),
            if refused == 0 { String::new() } else { format!(", {refused} forms of statements that would be refused") }
        );
        out
    }
}

impl ColumnPlan {
    fn describe(&self, out: &mut String) -> std::fmt::Result {
        let Self { column, mode, key, domain, .. } = self;
        writeln!(out, "{column}: {mode}, key `{key}`, domain `{domain}`")?;
        let change = match (&self.alter, self.rewrites_table) {
            (None, _) => "stays as it is".to_owned(),
            (Some(_), false) => format!("becomes {}, without writing the table anew", self.stored_type),
            (Some(_), true) => format!("becomes {}, by writing the table anew", self.stored_type),
        };
        writeln!(out, "    type      {}, {change}", self.present_type)?;
        let rows = self.rows.map_or_else(|| "an unknown number of".to_owned(), |rows| rows.to_string());
        write!(out, "    rows      {rows}, the table has {}", bytes(u64::try_from(self.table_bytes).unwrap_or(0)))?;
        match (self.bytes_before, self.bytes_after) {
            (Some(before), Some(after)) if before > 0 => {
                writeln!(out, "; plaintexts of {} become {}", bytes(before), bytes(after))?;
            }
            _ => writeln!(out)?,
        }
        if self.values_encrypted > 0 {
            writeln!(out, "    so far    {} of {} values are encrypted", self.values_encrypted, self.values_read)?;
        }
        if let Some(index) = &self.blind_index {
            index.describe(out)?;
        }
        for finding in &self.findings {
            let weight = match finding.weight {
                Weight::Blocks => "BLOCKS",
                Weight::Warning => "warning",
                Weight::Note => "note",
            };
            writeln!(out, "    {weight:<9} {}: {}", finding.about, finding.text)?;
        }
        writeln!(out)
    }
}

/// A size as people read it.
pub(super) fn bytes(count: u64) -> String {
    let mut size = count as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if size < 1024.0 {
            return if unit == "bytes" { format!("{count} bytes") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (count, shown) in [(0, "0 bytes"), (1023, "1023 bytes"), (2048, "2.0 kB"), (5 << 40, "5.0 TB")] {
            assert_eq!(bytes(count), shown);
        }
    }
}
