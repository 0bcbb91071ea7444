//! The connection that columns are converted over: straight to the server, as somebody who may change the tables.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::cli::against::{AgainstError, described};
use crate::server::{ConnectError, Upstream};

/// What text forms and visibility depend on, whatever the role's or database's defaults are. `row_security = off` makes a
/// policy that would hide rows an error.
const SESSION_SETTINGS: &str = "SET search_path = ''; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
     SET DateStyle = 'ISO, YMD'; SET IntervalStyle = postgres; SET TimeZone = 'UTC'; SET bytea_output = hex; \
     SET extra_float_digits = 1; SET standard_conforming_strings = on; SET quote_all_identifiers = off; \
     SET row_security = off; SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
     SET client_min_messages = warning; SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// Why the database does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    /// The connection string, or TLS.
    #[error(transparent)]
    Against(#[from] AgainstError),
    /// No connection.
    #[error("{server}: the server can not be reached: {source}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        source: ConnectError,
    },
    /// The server refused, or the connection was lost.
    #[error("{what}: {}", said(.source))]
    Server {
        /// What was attempted.
        what: String,
        /// What the server said; holds values in its details.
        source: tokio_postgres::Error,
    },
}

impl DatabaseError {
    /// The SQLSTATE, if the server gave one.
    pub(super) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server { source, .. } => source.code().map(tokio_postgres::error::SqlState::code),
            Self::Against(_) | Self::Unreachable { .. } => None,
        }
    }

    /// Whether the same may succeed a moment later: a lock was not to be had in time, or two transactions met.
    pub(super) fn is_contention(&self) -> bool {
        matches!(self.sqlstate(), Some("55P03" | "40P01" | "40001"))
    }
}

/// The server's own words. Those on data (class 22) quote values, and are left out; so are details, always.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) if said.code().code().starts_with("22") => {
            format!("a value does not fit its type (SQLSTATE {})", said.code().code())
        }
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

/// Name what was attempted when the server refuses it.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> DatabaseError {
    move |source| DatabaseError::Server { what: what.into(), source }
}

/// The database under a login of the operator's.
pub(super) struct Database {
    client: Client,
    /// `server_version_num`: 150004 is 15.4.
    version: u32,
    driver: tokio::task::JoinHandle<()>,
}

impl Database {
    /// Connect as a libpq connection string or URI says.
    ///
    /// # Errors
    /// The string makes no sense, the server can not be reached or refuses the login.
    pub(super) async fn connect(connection: &str, password: Option<String>) -> Result<Self, DatabaseError> {
        let (upstream, login) = described(connection, password)?;
        let server = upstream.address();
        let stream = Upstream::new(&upstream).map_err(AgainstError::from)?.connect().await;
        let stream = stream.map_err(|source| DatabaseError::Unreachable { server: server.clone(), source })?;
        let mut config = tokio_postgres::Config::new();
        config.user(&login.user).dbname(&login.database).application_name("pgveil encrypt");
        // TLS, if any, is below this stream already.
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        if let Some(password) = &login.password {
            config.password(password.expose());
        }
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed(server.clone()))?;
        let driver = tokio::spawn(async move {
            // An error here is seen by the next query too.
            let _lost = connection.await;
        });
        client.batch_execute(SESSION_SETTINGS).await.map_err(failed(server.clone()))?;
        let version = "SELECT current_setting('server_version_num')::int4";
        let version: i32 = client.query_one(version, &[]).await.map_err(failed(server))?.get(0);
        Ok(Self { client, version: u32::try_from(version).unwrap_or(0), driver })
    }

    /// To ask it.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// `server_version_num`.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// Run statements that return nothing.
    ///
    /// # Errors
    /// The server refuses one; `what` is in the error.
    pub(super) async fn execute(&self, what: &str, statements: &str) -> Result<(), DatabaseError> {
        self.client.batch_execute(statements).await.map_err(failed(what))
    }

    /// Run one transaction that needs a strong lock.
    ///
    /// # Errors
    /// As [`Database::begin_locked`].
    pub(super) async fn execute_locked(
        &self,
        what: &str,
        statements: &str,
        patience: &Patience,
    ) -> Result<(), DatabaseError> {
        self.begin_locked(what, statements, patience).await?;
        self.execute(what, "COMMIT").await
    }

    /// Begin a transaction with statements that need a strong lock: wait for the lock only a moment, since all others queue
    /// behind a lock that is waited for, and try again. There is no transaction whenever it fails.
    ///
    /// # Errors
    /// The server refuses, or the lock was not to be had in all attempts.
    pub(super) async fn begin_locked(
        &self,
        what: &str,
        statements: &str,
        patience: &Patience,
    ) -> Result<(), DatabaseError> {
        let text = format!("BEGIN; SET LOCAL lock_timeout = '{}ms'; {statements}", patience.lock_timeout_ms);
        let mut attempt = 1;
        loop {
            let Err(error) = self.client.batch_execute(&text).await.map_err(failed(what)) else { return Ok(()) };
            // An error here is seen by the next statement too.
            let _rolled_back = self.client.batch_execute("ROLLBACK").await;
            if !error.is_contention() || attempt >= patience.attempts {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(500 * u64::from(attempt.min(10)))).await;
            attempt += 1;
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// How long a strong lock is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Milliseconds of one attempt.
    pub(super) lock_timeout_ms: u32,
    /// Attempts.
    pub(super) attempts: u32,
}
