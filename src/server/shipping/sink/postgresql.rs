//! A PostgreSQL table: one row a record, its number with the log's identity the primary key. What comes twice is there once;
//! what comes under the number of another record is noticed.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::{Delivery, Failure, SinkError, with_causes};
use crate::config::{PostgresqlConfig, SecretSource};
use crate::server::Upstream;
use crate::server::shipping::batch::{Batch, Record};

/// A table in PostgreSQL.
pub(in crate::server::shipping) struct Postgresql {
    config: PostgresqlConfig,
    server: Upstream,
    timeout: Duration,
    connected: Option<Connected>,
}

struct Connected {
    client: Client,
    insert: tokio_postgres::Statement,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why a batch was not stored.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the server can not be reached: {0}")]
    Unreachable(#[from] crate::server::ConnectError),
    #[error(transparent)]
    Secret(#[from] crate::config::ConfigError),
    #[error("{what}: {}", said(.source))]
    Server { what: &'static str, source: tokio_postgres::Error },
    #[error(
        "the table {0} is not there, and create_table is false: make it as `pgveil ship table` prints it, and grant INSERT \
         and SELECT on it"
    )]
    NoTable(String),
}

/// The statements that make the table, for a database administrator.
pub fn table_definition(schema: &str, table: &str) -> String {
    let name = qualified(schema, table);
    let comment =
        "The access log of pgveil. line: the record byte for byte, as it was chained; record: the same, to be asked.";
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (\n    log text NOT NULL,\n    seq bigint NOT NULL,\n    \
         received_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n    line text NOT NULL,\n    \
         record jsonb GENERATED ALWAYS AS (line::jsonb) STORED,\n    PRIMARY KEY (log, seq)\n);\n\
         COMMENT ON TABLE {name} IS '{comment}';\n"
    )
}

/// Rows that are there already stay as they are; those among them that are not the same are what it returns.
fn insert(schema: &str, table: &str) -> String {
    let name = qualified(schema, table);
    format!(
        "WITH given AS (SELECT seq, line FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.int8[]), \
         pg_catalog.unnest($3::pg_catalog.text[])) AS given (seq, line)), \
         stored AS (INSERT INTO {name} (log, seq, line) SELECT $1, seq, line FROM given ORDER BY seq \
         ON CONFLICT (log, seq) DO NOTHING) \
         SELECT given.seq FROM given JOIN {name} AS held ON held.log = $1 AND held.seq = given.seq \
         WHERE held.line <> given.line ORDER BY given.seq LIMIT 1"
    )
}

fn qualified(schema: &str, table: &str) -> String {
    format!("\"{schema}\".\"{table}\"")
}

/// The server's own words, but for those that quote a value: they may hold the record.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) if said.code().code().starts_with("22") => format!("SQLSTATE {}", said.code().code()),
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => with_causes(error),
    }
}

/// Whether a record is refused for what it is: it does not fit its type, or a constraint of the table's.
fn is_about_the_record(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map_or("", SqlState::code);
    // P0001: a trigger's RAISE. 54000: longer than anything may be.
    code.starts_with("22") || code.starts_with("23") || code == "P0001" || code == "54000"
}

impl Postgresql {
    pub(super) fn new(config: &PostgresqlConfig, timeout: Duration) -> Result<Self, SinkError> {
        let server = Upstream::new(&config.server)?;
        Ok(Self { config: config.clone(), server, timeout, connected: None })
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = None;
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Delivery {
        let connected = match self.connected.take().filter(|connected| !connected.client.is_closed()) {
            Some(connected) => connected,
            None => match self.connect().await {
                Ok(connected) => connected,
                Err(fault) => return Delivery::unavailable(format!("{}: {fault}", self.place())),
            },
        };
        let delivery = connected.store_all(batch).await;
        if !matches!(delivery.failure, Some(Failure::Unavailable(_))) {
            self.connected = Some(connected);
        }
        delivery
    }

    async fn connect(&self) -> Result<Connected, Fault> {
        let PostgresqlConfig { server: _, database, user, password, schema, table, create_table } = &self.config;
        let stream = self.server.connect().await?;
        let mut config = tokio_postgres::Config::new();
        config.user(user).dbname(database).application_name("pgveil ship");
        // TLS, if any, is below this stream already.
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        if let Some(password) = password.as_ref().map(SecretSource::read).transpose()? {
            config.password(password.expose());
        }
        let failed = |what| move |source| Fault::Server { what, source };
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed("connecting"))?;
        let driver = tokio::spawn(async move {
            // An error here is seen by the next statement too.
            let _lost = connection.await;
        });
        // What is acknowledged has to be on the disk, whatever the role's or database's defaults are.
        let settings = format!(
            "SET search_path = ''; SET synchronous_commit = on; SET standard_conforming_strings = on; \
             SET client_min_messages = warning; SET statement_timeout = '{}ms'",
            self.timeout.as_millis()
        );
        client.batch_execute(&settings).await.map_err(failed("setting up the connection"))?;
        let sought = qualified(schema, table);
        let there = "SELECT pg_catalog.to_regclass($1::pg_catalog.text) IS NOT NULL";
        let there = client.query_one(there, &[&sought]).await.map_err(failed("looking for the table"))?;
        if !there.try_get::<_, bool>(0).map_err(failed("looking for the table"))? {
            if !create_table {
                return Err(Fault::NoTable(sought));
            }
            client.batch_execute(&table_definition(schema, table)).await.map_err(failed("making the table"))?;
            tracing::info!(table = %sought, "made the table for the access log");
        }
        let insert = client.prepare(&insert(schema, table)).await.map_err(failed("preparing"))?;
        Ok(Connected { client, insert, driver })
    }

    fn place(&self) -> String {
        format!("postgresql {}", self.config.server.address())
    }
}

impl Connected {
    /// All at once; where a record among them is refused, one by one up to that.
    async fn store_all(&self, batch: &Batch) -> Delivery {
        match self.store(batch, &batch.records).await {
            Ok(None) => return Delivery::complete(batch.records.len()),
            Ok(Some(seq)) => return diverged(batch, seq),
            Err(error) if is_about_the_record(&error) => {}
            Err(error) => return Delivery::unavailable(format!("storing: {}", said(&error))),
        }
        for (stored, record) in batch.records.iter().enumerate() {
            let failure = match self.store(batch, std::slice::from_ref(record)).await {
                Ok(None) => continue,
                Ok(Some(seq)) => return diverged(batch, seq),
                Err(error) if is_about_the_record(&error) => Failure::Refused(said(&error)),
                Err(error) => Failure::Unavailable(format!("storing: {}", said(&error))),
            };
            return Delivery::partial(stored, failure);
        }
        // What was refused among others was not refused alone.
        Delivery::complete(batch.records.len())
    }

    /// The number of the first of them that the table has another record under.
    async fn store(&self, batch: &Batch, records: &[Record]) -> Result<Option<u64>, tokio_postgres::Error> {
        let numbers: Vec<i64> = records.iter().map(|record| i64::try_from(record.seq).unwrap_or(i64::MAX)).collect();
        let lines: Vec<&str> = records.iter().map(|record| &*record.line).collect();
        let other = self.client.query_opt(&self.insert, &[&batch.log, &numbers, &lines]).await?;
        let other = other.map(|row| row.try_get::<_, i64>(0)).transpose()?;
        Ok(other.map(|seq| u64::try_from(seq).unwrap_or(0)))
    }
}

/// Those before it are there.
fn diverged(batch: &Batch, seq: u64) -> Delivery {
    let before = batch.records.iter().take_while(|record| record.seq < seq).count();
    Delivery::partial(before, Failure::Diverged(format!("the table has another record under number {seq} of this log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_s_definition_names_it_with_its_schema() {
        let text = table_definition("audit", "Access Log");
        assert!(text.starts_with("CREATE TABLE IF NOT EXISTS \"audit\".\"Access Log\" (\n    log text NOT NULL,\n"));
        assert!(text.contains("record jsonb GENERATED ALWAYS AS (line::jsonb) STORED") && text.ends_with("';\n"));
    }
}
