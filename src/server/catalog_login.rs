//! pgveil's own login: one connection to the protected database, for reading its catalog.
//!
//! The connection has an empty `search_path` and states every setting that the queries depend on, so that what a role or
//! database has as its defaults changes nothing. It is kept open, and made anew when it was lost.

mod definitions;
mod reader;

pub(super) use reader::{Looks, Reader, Seen};

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use self::definitions::Definitions;
use crate::catalog::load_rows::{Loader, Part, RowError, fingerprint_query};
use crate::catalog::{Catalog, CatalogVersion, Name};
use crate::config::{CatalogConfig, Secret};
use crate::server::{ConnectError, Upstream};

/// Time that a whole reading may take, reconnecting included.
const READING_TIMEOUT: Duration = Duration::from_secs(60);

/// DDL that commits between two functions of one query can make it fail; the next attempt sees what it made.
const ATTEMPTS_MAX: u32 = 3;

const READING: &str = "reading the catalog's fingerprint";

/// What the queries depend on, whatever the role's or database's defaults are.
const SESSION_SETTINGS: &str = "SET search_path = ''; SET statement_timeout = '30s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '60s'; SET standard_conforming_strings = on; \
     SET quote_all_identifiers = off; SET client_min_messages = error; SET jit = off; \
     SET plan_cache_mode = force_generic_plan";

/// Why the catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogReadError {
    /// The server can not be reached.
    #[error("the server can not be reached: {}", with_cause(.0))]
    Unreachable(#[from] ConnectError),
    /// The server refused the login, or a query failed.
    #[error("{what}: {message}")]
    Server {
        /// What was attempted.
        what: &'static str,
        /// What the server said.
        message: String,
        /// Whether it may pass by itself: the server is starting, ending or full, or the connection was lost.
        passing: bool,
    },
    /// The server answered with rows of another form.
    #[error(transparent)]
    Row(#[from] RowError),
    /// It took too long.
    #[error("reading the catalog took longer than {} s", READING_TIMEOUT.as_secs())]
    Timeout,
}

impl CatalogReadError {
    /// Whether it may pass by itself within moments, as while the server starts.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout => true,
            Self::Server { passing, .. } => *passing,
            Self::Row(_) => false,
        }
    }
}

fn with_cause(error: &ConnectError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What a reading found.
pub enum CatalogReading {
    /// Nothing has changed since the rows with the fingerprint that was given. The fingerprint to give next time.
    Unchanged(Fingerprint),
    /// The rows of a full reading.
    Rows(CatalogRows),
}

/// Tells cheaply whether anything may have changed since a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    seen: Arc<Seen>,
    /// Answer to [`fingerprint_query`].
    objects: Objects,
}

impl Fingerprint {
    /// Of a reading that lacks something: whoever looks finds that it is another, and reads again.
    fn of_nothing() -> Self {
        let nothing = Objects { lasting: String::new(), temporary: String::new() };
        Self { seen: Arc::default(), objects: nothing }
    }

    /// For looks at whether anything has changed that matters to sessions that have not changed it themselves.
    pub(super) fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }
}

/// What the catalog consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Objects {
    lasting: String,
    temporary: String,
}

/// The rows of one consistent reading.
pub struct CatalogRows {
    database: Name,
    fingerprint: Fingerprint,
    parts: Vec<(Part, Vec<SimpleQueryMessage>)>,
    definitions: Arc<Definitions>,
    digest: [u8; 32],
}

impl CatalogRows {
    /// SHA-256 over all rows: two readings with the same digest make the same catalog.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// For the next [`CatalogLogin::read`].
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The catalog that these rows describe.
    ///
    /// # Errors
    /// A row is not as its query gives it.
    pub fn load(&self, version: CatalogVersion) -> Result<Catalog, CatalogReadError> {
        let mut loader = Loader::new(version, self.database.clone());
        for (part, messages) in &self.parts {
            for row in rows(messages) {
                let mut cells = cells(row)?;
                self.definitions.complete(*part, &mut cells);
                loader.row(*part, &cells)?;
            }
        }
        Ok(loader.finish())
    }
}

fn rows(messages: &[SimpleQueryMessage]) -> impl Iterator<Item = &SimpleQueryRow> {
    messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

fn cells(row: &SimpleQueryRow) -> Result<Vec<Option<&str>>, CatalogReadError> {
    (0..row.len()).map(|column| row.try_get(column).map_err(|error| server("reading a catalog row", &error))).collect()
}

/// Lengths go into the digest too, so that no two different lists of cells look the same.
fn digest(parts: &[(Part, Vec<SimpleQueryMessage>)], definitions: &Definitions) -> Result<[u8; 32], CatalogReadError> {
    let mut digest = Sha256::new();
    for (part, messages) in parts {
        for row in rows(messages) {
            let mut cells = cells(row)?;
            definitions.complete(*part, &mut cells);
            for cell in cells {
                match cell {
                    Some(text) => {
                        digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                        digest.update(text);
                    }
                    None => digest.update(u64::MAX.to_le_bytes()),
                }
            }
        }
        digest.update([0xff; 9]);
    }
    Ok(digest.finalize().into())
}

/// The login and its connection.
pub struct CatalogLogin {
    upstream: Arc<Upstream>,
    login: CatalogConfig,
    connected: Option<Reader>,
    /// How long the newest fingerprint took.
    fingerprint_time: Duration,
    /// The moment when the catalog was seen to be what it was, but for what is temporary.
    looked: Option<String>,
    looks: Looks,
    /// Those of the newest reading.
    definitions: Arc<Definitions>,
}

/// A connection of pgveil's own.
pub(super) struct Connected {
    pub(super) client: Client,
    server_version: u32,
    driver: tokio::task::JoinHandle<()>,
}

impl Connected {
    /// Close it: whoever waits for an answer on it is told that it is closed.
    pub(super) fn give_up(&self) {
        self.driver.abort();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl CatalogLogin {
    /// A login that is not connected yet.
    pub fn new(upstream: Arc<Upstream>, login: CatalogConfig) -> Self {
        Self {
            upstream,
            login,
            connected: None,
            fingerprint_time: Duration::ZERO,
            looked: None,
            looks: Looks::default(),
            definitions: Arc::default(),
        }
    }

    /// How long the newest fingerprint took.
    pub fn fingerprint_time(&self) -> Duration {
        self.fingerprint_time
    }

    /// Whether no transaction that changes anything has ended since: then the catalog is the same. Asks next to nothing of
    /// the server. If that can not be had it may be another.
    pub async fn is_still(&mut self, known: &Fingerprint) -> bool {
        matches!(self.asked(Reader::moment).await, Some(now) if now == known.seen.moment)
    }

    /// Whether the catalog is the same, but for what is temporary (that matters to nobody but the session that makes it) and
    /// for PostgreSQL's own objects: quick enough to be asked for each statement. If that can not be had it may be another.
    pub async fn is_same(&mut self, known: &Fingerprint) -> bool {
        let Some(reader) = self.connected.as_ref().filter(|reader| !reader.client().is_closed()) else { return false };
        let look = self.looks.is_same(reader, &known.seen);
        matches!(tokio::time::timeout(READING_TIMEOUT, look).await, Ok(Ok(true)))
    }

    /// Whether there is more in the catalog than before, or less, or something else, but for what is temporary. If that can
    /// not be had it may be another.
    pub async fn is_another(&mut self, known: &Fingerprint) -> bool {
        let started = Instant::now();
        let look = async |reader: &Reader| Ok((reader.moment().await?, objects(reader.client()).await?));
        let Some((moment, objects)) = self.asked(look).await else { return true };
        self.fingerprint_time = started.elapsed();
        let another = objects.lasting != known.objects.lasting;
        self.looked = (!another).then_some(moment);
        another
    }

    /// Whether nothing has ended since [`CatalogLogin::is_another`] looked, or since the fingerprint was taken.
    pub async fn is_still_as_looked(&mut self, known: &Fingerprint) -> bool {
        let now = self.asked(Reader::moment).await;
        now.is_some() && (now.as_ref() == Some(&known.seen.moment) || now == self.looked)
    }

    /// An answer, if the connection is there and gives it.
    async fn asked<T>(&self, question: impl AsyncFn(&Reader) -> Result<T, CatalogReadError>) -> Option<T> {
        let reader = self.connected.as_ref().filter(|reader| !reader.client().is_closed())?;
        tokio::time::timeout(READING_TIMEOUT, question(reader)).await.ok()?.ok()
    }

    /// Read the catalog in one transaction, unless its fingerprint is the known one. `changed` is called before it is read.
    ///
    /// # Errors
    /// The server is out of reach, refuses, or answers what is not expected. The connection is then given up.
    pub async fn read(
        &mut self,
        known: Option<&Fingerprint>,
        changed: impl Fn(),
    ) -> Result<CatalogReading, CatalogReadError> {
        let outcome = match tokio::time::timeout(READING_TIMEOUT, self.attempts(known, &changed)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CatalogReadError::Timeout),
        };
        if outcome.is_err() {
            self.connected = None;
        }
        outcome
    }

    /// Read the catalog in one transaction.
    ///
    /// # Errors
    /// As [`CatalogLogin::read`].
    pub async fn read_all(&mut self) -> Result<CatalogRows, CatalogReadError> {
        match self.read(None, || {}).await? {
            CatalogReading::Rows(rows) => Ok(rows),
            CatalogReading::Unchanged(_) => Err(unexpected("reading the catalog")),
        }
    }

    async fn attempts(
        &mut self,
        known: Option<&Fingerprint>,
        changed: &impl Fn(),
    ) -> Result<CatalogReading, CatalogReadError> {
        let mut attempt = 1;
        loop {
            let reused = self.connected.as_ref().is_some_and(|reader| !reader.client().is_closed());
            let reader = match self.connected.take() {
                Some(reader) if reused => reader,
                Some(_) | None => Reader::connect(&self.upstream, &self.login).await?,
            };
            let reader = self.connected.insert(reader);
            let earlier = &self.definitions;
            let reading =
                read_parts(reader, &self.login.database, known, earlier, changed, &mut self.fingerprint_time).await;
            match reading {
                Ok(reading) => {
                    if let CatalogReading::Rows(rows) = &reading {
                        self.definitions = Arc::clone(&rows.definitions);
                    }
                    return Ok(reading);
                }
                // A kept connection may have been lost since it was used last; a query may have met DDL.
                Err(_) if attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    self.connected = None;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// As whom pgveil itself logs in.
pub(super) struct OwnLogin<'a> {
    pub(super) user: &'a str,
    pub(super) password: Option<&'a Secret>,
    pub(super) database: &'a str,
    /// What to say when the login fails: names the setting that the user is in.
    pub(super) setting: &'static str,
}

/// Connect as pgveil itself, with settings that do not depend on the role's or database's defaults.
pub(super) async fn connect(upstream: &Upstream, login: &OwnLogin<'_>) -> Result<Connected, CatalogReadError> {
    let stream = upstream.connect().await?;
    let mut config = tokio_postgres::Config::new();
    config.user(login.user).dbname(login.database).application_name("pgveil");
    // TLS, if any, is below this stream already.
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    if let Some(password) = login.password {
        config.password(password.expose());
    }
    let refused = |error| server(login.setting, &error);
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(refused)?;
    let driver = tokio::spawn(async move {
        // An error here is seen by the next query too.
        let _lost = connection.await;
    });
    let mut connected = Connected { client, server_version: 0, driver };
    connected.client.batch_execute(SESSION_SETTINGS).await.map_err(refused)?;
    let shown = connected.client.simple_query("SHOW server_version_num").await.map_err(refused)?;
    connected.server_version = only_text(&shown)
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| unexpected("reading the server's version"))?;
    Ok(connected)
}

/// The text of a result of one row and one column.
fn only_text(messages: &[SimpleQueryMessage]) -> Option<&str> {
    rows(messages).next()?.try_get(0).ok()?
}

fn unexpected(what: &'static str) -> CatalogReadError {
    CatalogReadError::Server { what, message: "the answer is not as expected".to_owned(), passing: false }
}

async fn objects(client: &Client) -> Result<Objects, CatalogReadError> {
    let answer = client.simple_query(&fingerprint_query()).await.map_err(|error| server(READING, &error))?;
    let text = only_text(&answer).ok_or_else(|| unexpected(READING))?;
    let mut objects = Objects { lasting: String::new(), temporary: String::new() };
    for pair in text.split(' ') {
        let (lasting, temporary) = pair.split_once('/').unwrap_or((pair, ""));
        objects.lasting.extend([lasting, " "]);
        objects.temporary.extend([temporary, " "]);
    }
    Ok(objects)
}

async fn read_parts(
    reader: &Reader,
    database: &str,
    known: Option<&Fingerprint>,
    earlier: &Definitions,
    changed: &impl Fn(),
    fingerprint_time: &mut Duration,
) -> Result<CatalogReading, CatalogReadError> {
    let Connected { client, server_version, .. } = &reader.connected;
    let failed = |error| server("reading the catalog", &error);
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let moment = reader.moment().await?;
    let fingerprint = match known {
        Some(known) if known.seen.moment == moment => known.clone(),
        Some(_) | None => {
            let seen = Arc::new(reader.look().await?);
            let started = Instant::now();
            let objects = objects(client).await?;
            *fingerprint_time = started.elapsed();
            Fingerprint { seen, objects }
        }
    };
    if known.is_some_and(|known| known.objects == fingerprint.objects) {
        client.batch_execute("COMMIT").await.map_err(failed)?;
        return Ok(CatalogReading::Unchanged(fingerprint));
    }
    if known.is_none_or(|known| known.objects.lasting != fingerprint.objects.lasting) {
        changed();
    }
    let mut parts = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        parts.push((part, client.simple_query(&part.query(*server_version)).await.map_err(failed)?));
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    let (definitions, whole) = Definitions::of(&parts, earlier)?;
    let fingerprint = if whole { fingerprint } else { Fingerprint::of_nothing() };
    let digest = digest(&parts, &definitions)?;
    let (database, definitions) = (Name::exact(database), Arc::new(definitions));
    Ok(CatalogReading::Rows(CatalogRows { database, fingerprint, parts, definitions, digest }))
}

/// The server's own words, if the error is the server's: catalog queries see no value of any user's table.
pub(super) fn server(what: &'static str, error: &tokio_postgres::Error) -> CatalogReadError {
    let message = match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    };
    let passing = match error.code() {
        Some(state) => is_passing(state.code()),
        None => error.is_closed() || std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>()),
    };
    CatalogReadError::Server { what, message, passing }
}

/// Whether an SQLSTATE speaks of the server's condition, not of what was asked: connections (class 08), want of resources
/// (53), starting, ending, cancelled (57), files (58).
fn is_passing(state: &str) -> bool {
    ["08", "53", "57", "58"].iter().any(|class| state.starts_with(class))
}

#[cfg(test)]
pub(super) mod live_server;
#[cfg(test)]
mod live_tests;
