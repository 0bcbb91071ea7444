//! `pgveil reveal`: answers requests for a reveal, reviews urgent ones, makes secrets of one-time codes.
//!
//! Who answers logs in to pgveil as himself, as for any query: so pgveil knows who it is, whatever machine he is at.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::against::{AgainstError, described};
use crate::config::{FileError, read_totp_secrets};
use crate::server::reveals::secret_uri;
use crate::server::{TlsError, Upstream};

/// What is done with reveals.
#[derive(Subcommand)]
pub(super) enum RevealCommand {
    /// Print the requests that you may approve or deny
    List(Connected),
    /// Approve a request
    Approve {
        /// Its number
        id: String,
        #[command(flatten)]
        connected: Connected,
    },
    /// Deny a request
    Deny {
        /// Its number
        id: String,
        #[command(flatten)]
        connected: Connected,
    },
    /// Print the urgent reveals that nobody has reviewed, or mark one as reviewed
    Review {
        /// The number of the one that you have reviewed
        id: Option<String>,
        #[command(flatten)]
        connected: Connected,
    },
    /// Make a secret of one-time codes for somebody, and print what his authenticator reads
    TotpSecret {
        /// The database user, or the end user that an account asserts
        name: String,
        /// The file of setting totp_file
        #[arg(long, value_name = "FILE", env = "PGVEIL_TOTP_FILE")]
        file: PathBuf,
        /// Replace the one that he has
        #[arg(long)]
        replace: bool,
    },
}

/// How pgveil is reached.
#[derive(Args)]
pub(super) struct Connected {
    /// pgveil, and you: a libpq connection string or URI (the password may come from PGPASSWORD)
    #[arg(long, value_name = "CONNECTION", env = "PGVEIL_CONNECTION")]
    connection: String,
    /// The end user that your account asserts, or a token for him
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RevealError {
    #[error(transparent)]
    Connection(#[from] AgainstError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{server}: {reason}")]
    Server { server: String, reason: String },
    #[error("no runtime can be started: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Secrets(#[from] FileError),
    #[error("{}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{name:?} has a secret already: --replace makes another one")]
    HasSecret { name: String },
    #[error("no random bytes are to be had")]
    NoRandom,
    #[error("pgveil's answer is not understood: is it pgveil that answers?")]
    Answer,
    #[error("a number of a reveal has letters and digits only")]
    Id,
}

/// Run one of them.
pub(super) fn run(command: RevealCommand) -> Result<(), RevealError> {
    match command {
        RevealCommand::List(connected) => list(&connected, "reveal_requests"),
        RevealCommand::Review { id: None, connected } => list(&connected, "reveal_reviews"),
        RevealCommand::Approve { id, connected } => answer(&connected, "reveal_approve", &id),
        RevealCommand::Deny { id, connected } => answer(&connected, "reveal_deny", &id),
        RevealCommand::Review { id: Some(id), connected } => answer(&connected, "reveal_review", &id),
        RevealCommand::TotpSecret { name, file, replace } => totp_secret(&name, &file, replace),
    }
}

fn answer(connected: &Connected, setting: &str, id: &str) -> Result<(), RevealError> {
    if id.is_empty() || !id.chars().all(|sign| sign.is_ascii_alphanumeric()) {
        return Err(RevealError::Id);
    }
    ask(connected, &format!("SET pgveil.{setting} = '{id}'")).map(|_| ())
}

fn list(connected: &Connected, setting: &str) -> Result<(), RevealError> {
    let shown = ask(connected, &format!("SHOW pgveil.{setting}"))?.ok_or(RevealError::Answer)?;
    let listed: Vec<Value> = serde_json::from_str(&shown).map_err(|_| RevealError::Answer)?;
    let mut out = io::stdout().lock();
    for one in &listed {
        let text = |field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default();
        let who = match text("actor") {
            "" => text("user").to_owned(),
            actor => format!("{actor} (by {})", text("user")),
        };
        let asked = one.get("asked").and_then(Value::as_i64).and_then(|at| Timestamp::from_second(at).ok());
        let asked = asked.map(|at| at.to_string()).unwrap_or_default();
        let subject = Some(text("subject")).filter(|it| !it.is_empty()).map(|it| format!(" only {it}"));
        // A terminal that is closed is no reason to fail.
        let _written = writeln!(
            out,
            "{}  {asked}  {who}  tags {}{}  {}",
            text("id"),
            text("tags"),
            subject.unwrap_or_default(),
            text("reason")
        );
    }
    Ok(())
}

/// Run one statement as whoever the connection string names; the value that it shows.
fn ask(connected: &Connected, statement: &str) -> Result<Option<String>, RevealError> {
    let (upstream, login) = described(&connected.connection, std::env::var("PGPASSWORD").ok())?;
    let server = upstream.address();
    let upstream = Arc::new(Upstream::new(&upstream)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RevealError::Runtime)?;
    let failed = |reason: String| RevealError::Server { server: server.clone(), reason };
    let said = |error: tokio_postgres::Error| match error.as_db_error() {
        Some(said) => failed(match said.hint() {
            Some(hint) => format!("{}\n{hint}", said.message()),
            None => said.message().to_owned(),
        }),
        None => failed(error.to_string()),
    };
    runtime.block_on(async {
        let stream = upstream.connect().await.map_err(|error| failed(error.to_string()))?;
        let mut config = tokio_postgres::Config::new();
        config.user(&login.user).dbname(&login.database).application_name("pgveil reveal");
        // TLS, if any, is below this stream already.
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        if let Some(password) = &login.password {
            config.password(password.expose());
        }
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(said)?;
        let driver = tokio::spawn(async move {
            // An error here is seen by the query too.
            let _lost = connection.await;
        });
        if let Some(actor) = &connected.actor {
            let assert = format!("SET pgveil.actor = '{}'", actor.replace('\'', "''"));
            client.simple_query(&assert).await.map_err(said)?;
        }
        let answers = client.simple_query(statement).await.map_err(said)?;
        drop(client);
        let _ended = driver.await;
        Ok(answers.into_iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    })
}

fn totp_secret(name: &str, file: &Path, replace: bool) -> Result<(), RevealError> {
    let mut secrets = match file.exists() {
        true => read_totp_secrets(file)?,
        false => Default::default(),
    };
    if secrets.contains_key(name) && !replace {
        return Err(RevealError::HasSecret { name: name.to_owned() });
    }
    let (secret, uri) = secret_uri(name).ok_or(RevealError::NoRandom)?;
    secrets.insert(name.to_owned(), secret);
    let mut text = zeroize::Zeroizing::new(String::new());
    for (name, secret) in &secrets {
        text.push_str(&format!("{} = {:?}\n", serde_json::Value::from(name.as_str()), secret.as_str()));
    }
    let failed = |source| RevealError::Unwritable { path: file.to_owned(), source };
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut new = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, file).map_err(failed)?;
    let mut out = io::stdout().lock();
    let _written = writeln!(out, "{}", *uri);
    Ok(())
}
