//! `pgveil ship`: what there is to do by hand about sinks of the access log.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::Configured;
use crate::config::{Config, ConfigError, PostgresqlConfig, ShipConfig, ShipTarget};
use crate::server::shipping::{Position, PositionError, PositionFile, read_position, table_definition};

/// Time to wait for a pgveil that tries from time to time whether what stopped it is put right.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Subcommand)]
pub(super) enum ShipCommand {
    /// Print the SQL that makes the table of a PostgreSQL sink, for whoever may make tables
    Table {
        /// The sink, if there are several with tables
        sink: Option<String>,
        #[command(flatten)]
        configured: Box<Configured>,
    },
    /// Print how far each sink has come, as its position file says
    Status(Box<Configured>),
    /// Set how far a sink has come, where its position and the log do not go together. Records that are passed over by that
    /// are never sent there
    Move(MoveArguments),
}

#[derive(Args)]
pub(super) struct MoveArguments {
    /// The sink
    sink: String,
    /// The last record that counts as shipped; 0: none, the whole log is sent again
    #[arg(long, value_name = "RECORD")]
    to: u64,
    #[command(flatten)]
    configured: Box<Configured>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShipError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no sink is called {0:?}: [[access_log.ship]] has {1}")]
    Unknown(String, String),
    #[error("there is no PostgreSQL sink in the settings")]
    NoTable,
    #[error("several sinks have tables: name one of {0}")]
    Several(String),
    #[error("{0:?} is not a PostgreSQL sink")]
    NotATable(String),
    #[error("a pgveil ships to {0} at the moment, and is not stopped by anything: end it first")]
    Shipping(String),
    #[error(transparent)]
    Position(#[from] PositionError),
    #[error("standard output: {0}")]
    Output(#[source] io::Error),
}

/// Do it, and say on standard output what was done.
pub(super) fn run(command: ShipCommand) -> Result<(), ShipError> {
    let said = match command {
        ShipCommand::Table { sink, configured } => {
            let PostgresqlConfig { schema, table, user, .. } = table_of(&configured.load()?, sink.as_deref())?;
            format!(
                "{}GRANT USAGE ON SCHEMA \"{schema}\" TO \"{user}\";\nGRANT SELECT, INSERT ON \"{schema}\".\"{table}\" TO \"{user}\";\n",
                table_definition(&schema, &table)
            )
        }
        ShipCommand::Status(configured) => status(&configured.load()?)?,
        ShipCommand::Move(MoveArguments { sink, to, configured }) => {
            let config = configured.load()?;
            move_to(named(&config, &sink)?, to)?;
            match to {
                0 => format!("{sink} has nothing: the whole log is sent\n"),
                to => format!("{sink} counts as having everything up to record {to}\n"),
            }
        }
    };
    io::stdout().write_all(said.as_bytes()).map_err(ShipError::Output)
}

fn named<'a>(config: &'a Config, name: &str) -> Result<&'a ShipConfig, ShipError> {
    let unknown = || ShipError::Unknown(name.to_owned(), names(&config.ship));
    config.ship.iter().find(|sink| sink.name == name).ok_or_else(unknown)
}

fn names<'a>(sinks: impl IntoIterator<Item = &'a ShipConfig>) -> String {
    let names: Vec<_> = sinks.into_iter().map(|sink| sink.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn table_of(config: &Config, sink: Option<&str>) -> Result<PostgresqlConfig, ShipError> {
    let table = |sink: &ShipConfig| match &sink.target {
        ShipTarget::Postgresql(table) => Some(table.clone()),
        ShipTarget::Stdout | ShipTarget::Syslog(_) | ShipTarget::Nats(_) | ShipTarget::Kafka(_) => None,
    };
    if let Some(name) = sink {
        return table(named(config, name)?).ok_or_else(|| ShipError::NotATable(name.to_owned()));
    }
    let mut tables = config.ship.iter().filter_map(table);
    match (tables.next(), tables.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(ShipError::NoTable),
        (Some(_), Some(_)) => Err(ShipError::Several(names(config.ship.iter().filter(|sink| table(sink).is_some())))),
    }
}

fn status(config: &Config) -> Result<String, ShipError> {
    let mut said = String::new();
    for ShipConfig { name, position_file, .. } in &config.ship {
        // Writing to a String does not fail.
        let _written = match read_position(position_file)? {
            Some(Position { log, seq, .. }) => writeln!(said, "{name}: has everything up to record {seq} of log {log}"),
            None => writeln!(said, "{name}: has nothing yet"),
        };
        let parked = refused(position_file);
        if parked > 0 {
            let _written =
                writeln!(said, "{name}: has refused {parked} records, in {}.refused", position_file.display());
        }
    }
    Ok(said)
}

fn refused(position_file: &Path) -> usize {
    let mut name = position_file.as_os_str().to_owned();
    name.push(".refused");
    std::fs::read(name).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// A pgveil that is stopped by a trouble has the file only while it tries again.
fn move_to(sink: &ShipConfig, to: u64) -> Result<(), ShipError> {
    let started = Instant::now();
    let file = loop {
        match PositionFile::open(&sink.position_file) {
            Err(PositionError::InUse { .. }) if started.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_INTERVAL),
            Err(PositionError::InUse { .. }) => return Err(ShipError::Shipping(sink.name.clone())),
            opened => break opened?,
        }
    };
    Ok(file.write(&Position { log: String::new(), seq: to, digest: String::new() })?)
}
