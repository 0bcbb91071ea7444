//! State in tables of a PostgreSQL database.
//!
//! Each exchange is one transaction: what was counted is added, and what has changed since the last one comes back, with
//! some overlap, since a transaction that began earlier may be seen later. Numbers come back whole, so what is read
//! twice is no error. Rows that are gone stay for a while, marked as such, so that everybody sees it.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::{Change, Clock, CountRow, Fact, Kept, Kind, SpentRow, StateError};
use crate::config::StateDatabase;
use crate::server::Upstream;
use crate::server::catalog_login::{CatalogReadError, Connected, OwnLogin, connect, server};

/// The tables, made by `pgveil state init`, or by whoever may.
pub const DDL: &str = include_str!("schema.sql");

/// What changed up to so long before the last exchange is read again.
const OVERLAP_SECONDS: f64 = 6.0;
/// Between two looks for rows that count for nothing any more.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

const ADD_COUNTS: &str = "INSERT INTO pgveil.state_counts AS known (limit_name, subject, bucket, width, count) \
     SELECT * FROM unnest($1, $2, $3, $4, $5) ORDER BY 1, 2, 3, 4 \
     ON CONFLICT (limit_name, subject, bucket, width) DO UPDATE \
     SET count = known.count + excluded.count, changed_at = clock_timestamp()";
const ADD_SPENT: &str = "INSERT INTO pgveil.state_spent AS known (payer, column_name, whole_at) \
     SELECT payer, column_name, at + spent FROM unnest($1, $2, $3, $4) AS new (payer, column_name, at, spent) \
     ORDER BY 1, 2 \
     ON CONFLICT (payer, column_name) DO UPDATE SET changed_at = clock_timestamp(), \
     whole_at = greatest(excluded.whole_at, known.whole_at + (SELECT new.spent \
     FROM unnest($1, $2, $4) AS new (payer, column_name, spent) \
     WHERE new.payer = known.payer AND new.column_name = known.column_name))";
const KEEP: &str = "INSERT INTO pgveil.state_kept (kind, id, document, ends, gone) VALUES ($1, $2, $3, $4, false) \
     ON CONFLICT (kind, id) DO UPDATE SET document = excluded.document, ends = excluded.ends, gone = false, \
     changed_at = clock_timestamp()";
const DROP: &str = "UPDATE pgveil.state_kept SET gone = true, changed_at = clock_timestamp() \
     WHERE kind = $1 AND id = $2 AND NOT gone";
const CLEAR: &str = "UPDATE pgveil.state_counts SET count = 0, changed_at = clock_timestamp() WHERE count <> 0 AND \
     ($1::text IS NOT NULL OR $2::text IS NOT NULL) AND ($1::text IS NULL OR subject::jsonb ->> 'user' = $1) AND \
     ($2::text IS NULL OR subject::jsonb ->> 'address' IS NULL OR subject::jsonb ->> 'address' = $2) AND \
     ($3::text IS NULL OR subject::jsonb ->> 'actor' = $3)";
const READ_KEPT: &str =
    "SELECT kind, id, document, ends, gone FROM pgveil.state_kept WHERE changed_at >= to_timestamp($1)";
const READ_COUNTS: &str = "SELECT limit_name, subject, bucket, width, count FROM pgveil.state_counts \
     WHERE changed_at >= to_timestamp($1)";
const READ_SPENT: &str =
    "SELECT payer, column_name, whole_at FROM pgveil.state_spent WHERE changed_at >= to_timestamp($1)";
const PRUNE: &str = "DELETE FROM pgveil.state_counts WHERE (bucket + 63) * width < extract(epoch FROM clock_timestamp()) * 1000; \
     DELETE FROM pgveil.state_spent WHERE whole_at < (extract(epoch FROM clock_timestamp()) - 3600) * 1e9; \
     DELETE FROM pgveil.state_kept WHERE changed_at < clock_timestamp() - interval '7 days' \
     AND (gone OR ends < extract(epoch FROM clock_timestamp()) * 1000)";

/// The database.
pub(super) struct Database {
    upstream: Upstream,
    config: StateDatabase,
    connected: Option<Connected>,
    /// The time of the last exchange by the database's clock, in seconds since the Unix epoch.
    seen: f64,
    pruned: f64,
}

impl Database {
    pub(super) fn new(config: &StateDatabase) -> Result<Self, StateError> {
        let upstream =
            Upstream::new(&config.upstream).map_err(|error| StateError::Database(error.to_string().into()))?;
        Ok(Self { upstream, config: config.clone(), connected: None, seen: 0.0, pruned: 0.0 })
    }

    /// The next exchange makes a new connection.
    pub(super) fn give_up(&mut self) {
        if let Some(connected) = self.connected.take() {
            connected.give_up();
        }
    }

    async fn connected(&mut self) -> Result<&mut Connected, StateError> {
        let live = self.connected.take().filter(|connected| !connected.client.is_closed());
        let connected = match live {
            Some(connected) => connected,
            None => {
                let login = OwnLogin {
                    user: &self.config.user,
                    password: self.config.password.as_ref(),
                    database: &self.config.database,
                    setting: "the login of state.dsn failed",
                };
                connect(&self.upstream, &login).await.map_err(|error| said(&error))?
            }
        };
        Ok(self.connected.insert(connected))
    }

    pub(super) async fn init(&mut self) -> Result<(), StateError> {
        let connected = self.connected().await?;
        connected.client.batch_execute(DDL).await.map_err(|error| failed("making the tables", &error))
    }

    /// Make these changes, and read what is new.
    pub(super) async fn exchange(&mut self, changes: &[Change], clock: &Clock) -> Result<Vec<Fact>, StateError> {
        let (seen, prunes) = (self.seen, self.seen - self.pruned >= PRUNE_INTERVAL.as_secs_f64());
        let connected = self.connected().await?;
        let transaction = connected.client.transaction().await.map_err(|error| failed("BEGIN", &error))?;
        make(&transaction, changes).await.map_err(|error| failed("writing", &error))?;
        if prunes {
            transaction.batch_execute(PRUNE).await.map_err(|error| failed("forgetting", &error))?;
        }
        let (now, facts) =
            read(&transaction, seen - OVERLAP_SECONDS).await.map_err(|error| failed("reading", &error))?;
        transaction.commit().await.map_err(|error| failed("COMMIT", &error))?;
        clock.agree(Duration::try_from_secs_f64(now).unwrap_or_default());
        self.seen = now;
        if prunes {
            self.pruned = now;
        }
        Ok(facts)
    }
}

async fn make(transaction: &Transaction<'_>, changes: &[Change]) -> Result<(), tokio_postgres::Error> {
    // In one order, so that two who write at the same time do not wait for each other in a circle; and each row once.
    let mut counts: std::collections::BTreeMap<_, i64> = std::collections::BTreeMap::new();
    let mut spent: std::collections::BTreeMap<_, (i64, i64)> = std::collections::BTreeMap::new();
    for change in changes {
        match change {
            Change::Count(CountRow { limit, subject, bucket, width, count }) => {
                let sum =
                    counts.entry((limit.as_str(), subject.as_str(), signed(*bucket), signed(*width))).or_default();
                *sum = sum.saturating_add(*count);
            }
            Change::Spend(row) => {
                let (at, sum) = spent.entry((row.payer.as_str(), row.column.as_str())).or_default();
                *at = signed(row.at).max(*at);
                *sum = sum.saturating_add(signed(row.time));
            }
            Change::Keep(_) | Change::Drop(..) | Change::Clear(_) => {}
        }
    }
    // Kept rows first: who is locked out is more urgent than who has counted what.
    for change in changes {
        match change {
            Change::Keep(Kept { kind, id, document, ends }) => {
                let ends = ends.map(signed);
                let given: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
                    [(&kind.word(), Type::TEXT), (id, Type::TEXT), (document, Type::TEXT), (&ends, Type::INT8)];
                transaction.execute_typed(KEEP, &given).await?;
            }
            Change::Drop(kind, id) => {
                transaction.execute_typed(DROP, &[(&kind.word(), Type::TEXT), (id, Type::TEXT)]).await?;
            }
            Change::Clear(of) => {
                let address = of.address.map(|address| address.to_string());
                let given: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                    [(&of.user, Type::TEXT), (&address, Type::TEXT), (&of.actor, Type::TEXT)];
                transaction.execute_typed(CLEAR, &given).await?;
            }
            Change::Count(_) | Change::Spend(_) => {}
        }
    }
    if !counts.is_empty() {
        let (limits, subjects): (Vec<&str>, Vec<&str>) = counts.keys().map(|key| (key.0, key.1)).unzip();
        let (buckets, widths): (Vec<i64>, Vec<i64>) = counts.keys().map(|key| (key.2, key.3)).unzip();
        let sums: Vec<i64> = counts.into_values().collect();
        let given: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
            (&limits, Type::TEXT_ARRAY),
            (&subjects, Type::TEXT_ARRAY),
            (&buckets, Type::INT8_ARRAY),
            (&widths, Type::INT8_ARRAY),
            (&sums, Type::INT8_ARRAY),
        ];
        transaction.execute_typed(ADD_COUNTS, &given).await?;
    }
    if !spent.is_empty() {
        let (payers, columns): (Vec<&str>, Vec<&str>) = spent.keys().copied().unzip();
        let (ats, sums): (Vec<i64>, Vec<i64>) = spent.into_values().unzip();
        let given: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
            (&payers, Type::TEXT_ARRAY),
            (&columns, Type::TEXT_ARRAY),
            (&ats, Type::INT8_ARRAY),
            (&sums, Type::INT8_ARRAY),
        ];
        transaction.execute_typed(ADD_SPENT, &given).await?;
    }
    Ok(())
}

async fn read(transaction: &Transaction<'_>, since: f64) -> Result<(f64, Vec<Fact>), tokio_postgres::Error> {
    let mut facts = Vec::new();
    let asked = [(&since as &(dyn tokio_postgres::types::ToSql + Sync), Type::FLOAT8)];
    let now = transaction.query_typed("SELECT extract(epoch FROM clock_timestamp())::float8", &[]).await?;
    let now: f64 = now.first().map_or(Ok(0.0), |row| row.try_get(0))?;
    for row in transaction.query_typed(READ_KEPT, &asked).await? {
        facts.extend(kept(&row)?);
    }
    for row in transaction.query_typed(READ_COUNTS, &asked).await? {
        let (bucket, width): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        facts.push(Fact::Count(CountRow {
            limit: row.try_get(0)?,
            subject: row.try_get(1)?,
            bucket: unsigned(bucket),
            width: unsigned(width),
            count: row.try_get(4)?,
        }));
    }
    for row in transaction.query_typed(READ_SPENT, &asked).await? {
        let time: i64 = row.try_get(2)?;
        facts.push(Fact::Spent(SpentRow {
            payer: row.try_get(0)?,
            column: row.try_get(1)?,
            at: 0,
            time: unsigned(time),
        }));
    }
    Ok((now, facts))
}

/// `None`: of a kind that a later version knows.
fn kept(row: &Row) -> Result<Option<Fact>, tokio_postgres::Error> {
    let Some(kind) = Kind::of(row.try_get(0)?) else { return Ok(None) };
    let (id, gone): (String, bool) = (row.try_get(1)?, row.try_get(4)?);
    let ends: Option<i64> = row.try_get(3)?;
    Ok(Some(match gone {
        true => Fact::Gone(kind, id),
        false => Fact::Kept(Kept { kind, id, document: row.try_get(2)?, ends: ends.map(unsigned) }),
    }))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn failed(what: &'static str, error: &tokio_postgres::Error) -> StateError {
    let absent = error.code().is_some_and(|code| ["42P01", "3F000"].contains(&code.code()));
    if absent {
        return StateError::Database("its tables are not there: make them with `pgveil state init`".into());
    }
    said(&server(what, error))
}

fn said(error: &CatalogReadError) -> StateError {
    StateError::Database(Arc::from(error.to_string()))
}
