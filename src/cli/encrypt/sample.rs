//! What values a column has, in numbers: nothing of a value itself is kept.

use super::login::{Database, DatabaseError, failed};
use super::stored::StoredType;
use super::table::{ColumnFacts, quoted};

/// Rows up to which all are read; of larger tables a sample of about as many.
const SAMPLE_ROWS: f64 = 300_000.0;

/// Numbers on a column's values.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Rows read, and those of them that are not NULL.
    pub(super) rows: i64,
    pub(super) values: i64,
    /// Values that are envelopes already, in form.
    pub(super) envelopes: i64,
    /// Of the others: those that only begin like one.
    pub(super) lookalikes: i64,
    /// Bytes of plaintexts: on average, and the longest.
    pub(super) bytes_mean: f64,
    pub(super) bytes_max: i64,
    /// Different plaintexts, and how often the most frequent one is there.
    pub(super) distinct: i64,
    pub(super) most_frequent: i64,
    /// Whether that was all rows.
    pub(super) is_whole: bool,
}

impl Sample {
    /// Values that are no envelopes.
    pub(super) fn plaintexts(&self) -> i64 {
        self.values - self.envelopes
    }

    /// How much of the plaintexts the most frequent one is, from 0 to 1.
    pub(super) fn top_share(&self) -> f64 {
        share(self.most_frequent, self.plaintexts())
    }

    /// How many of the plaintexts are different, from 0 to 1.
    pub(super) fn distinct_share(&self) -> f64 {
        share(self.distinct, self.plaintexts())
    }
}

/// Counts are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Read a column's values, or a sample of them.
///
/// # Errors
/// The server does not let this login read it.
pub(super) async fn sample(database: &Database, facts: &ColumnFacts) -> Result<Sample, DatabaseError> {
    let rows = facts.rows();
    let percent = rows.filter(|rows| *rows > SAMPLE_ROWS).map(|rows| SAMPLE_ROWS / rows * 100.0);
    let stored = StoredType::of(facts);
    let column = quoted(&facts.name.column);
    let value = if stored.is_bytes() { column } else { format!("{column}::text") };
    let of_table = match percent {
        Some(percent) => format!("{} TABLESAMPLE SYSTEM ({percent})", facts.table_name()),
        None => facts.table_name(),
    };
    // Bytes are told by magic and version, and nothing shorter is looked at.
    let looks = if stored.is_bytes() { "false" } else { "pg_catalog.\"left\"(x, 7) = 'pgveil:'" };
    let is_envelope = stored.is_envelope("x");
    let query = format!(
        "WITH s AS MATERIALIZED (SELECT {value} AS x FROM {of_table}), \
              p AS (SELECT x, pg_catalog.count(*) AS n FROM s WHERE x IS NOT NULL AND NOT ({is_envelope}) GROUP BY x) \
         SELECT pg_catalog.count(*), pg_catalog.count(x), pg_catalog.count(*) FILTER (WHERE {is_envelope}), \
                pg_catalog.count(*) FILTER (WHERE {looks} AND NOT ({is_envelope})), \
                coalesce(pg_catalog.avg(pg_catalog.octet_length(x)) FILTER (WHERE NOT ({is_envelope})), 0)::float8, \
                coalesce(pg_catalog.max(pg_catalog.octet_length(x)) FILTER (WHERE NOT ({is_envelope})), 0)::int8, \
                (SELECT pg_catalog.count(*) FROM p), (SELECT coalesce(pg_catalog.max(n), 0)::int8 FROM p) \
           FROM s"
    );
    let what = format!("reading the values of {}", facts.name);
    let row = database.client().query_one(&query, &[]).await.map_err(failed(what))?;
    Ok(Sample {
        rows: row.get(0),
        values: row.get(1),
        envelopes: row.get(2),
        lookalikes: row.get(3),
        bytes_mean: row.get(4),
        bytes_max: row.get(5),
        distinct: row.get(6),
        most_frequent: row.get(7),
        is_whole: percent.is_none(),
    })
}
