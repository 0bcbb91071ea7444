//! `pgveil log`: the access log's signing key, its checkpoints, and whether it is what was written.

mod query;
mod records;
mod report;
mod table;
mod verify;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::access_log::{Head, Mark};
use crate::config::{AccessLogConfig, AccessLogSettings, ConfigError, Settings};
use crate::server::keys::keep_out_of_dumps;
use crate::server::log_sink::signing::{self, SigningKeyError};
use crate::server::log_sink::{now, open_segments};

/// What is done with the access log.
#[derive(Subcommand)]
pub(super) enum LogCommand {
    /// Make the key that signs checkpoints (access_log.signing_key), and print its public key; nothing is overwritten
    Init(Configured),
    /// Print the public key: keep it outside, `pgveil log verify` needs it
    PublicKey(Configured),
    /// Put a new signing key in the old one's place, which signs that it is its successor. A running pgveil takes it at
    /// SIGHUP, others when they start. The public key that is kept outside stays good
    RotateKey(Configured),
    /// Print the newest checkpoint: keep it outside, `pgveil log verify --against` holds the log against it
    Checkpoint(Configured),
    /// Say whether the log is what was written, and name the first record that is not.
    ///
    /// Exit codes: 0 it is, 1 it is not, 2 it can not be read, 3 it is in itself but nothing signed by a key that was given
    /// vouches for it, 4 it ends, or was cut once, where a killed process may have left it
    Verify(verify::VerifyArguments),
    /// What was shown in clear, or found out by permitted filters: of whom, by whom, when. What it answers is as good as the
    /// log: `pgveil log verify` says whether that is whole
    Query(query::QueryArguments),
    /// Summaries for access reviews and incidents
    #[command(subcommand)]
    Report(report::ReportCommand),
}

/// The settings of the access log, wherever they come from.
#[derive(Args)]
pub(super) struct Configured {
    /// The settings file [default: /etc/pgveil/pgveil.toml, if there is one]
    #[arg(long, env = "PGVEIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    access_log: AccessLogSettings,
}

/// Why a command on the access log has failed.
#[derive(Debug, thiserror::Error)]
enum LogCommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "access_log.signing_key is not set: name the signing key's file (--access-log-signing-key, \
         PGVEIL_ACCESS_LOG_SIGNING_KEY)"
    )]
    NoKey,
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: there is no checkpoint yet", .0.display())]
    NoCheckpoint(PathBuf),
    #[error("{}: expected a public key in each line, as `pgveil log public-key` prints it", .0.display())]
    PublicKey(PathBuf),
    #[error("{}: expected a checkpoint, as `pgveil log checkpoint` prints it", .0.display())]
    Checkpoint(PathBuf),
    #[error("{}: the checkpoint is not signed by one of the public keys that were given", .0.display())]
    ForeignCheckpoint(PathBuf),
    #[error("--since: expected a time such as 2026-11-21T09:05:04Z: {0}")]
    Since(jiff::Error),
    #[error("{0}")]
    Policy(String),
    #[error("standard output: {0}")]
    Output(#[source] io::Error),
}

/// Do it. The exit codes are those of [`LogCommand::Verify`]; all other commands end with 0 or 1.
pub(super) fn run(command: LogCommand) -> ExitCode {
    let said = match command {
        LogCommand::Init(configured) => configured.key().and_then(|path| {
            keep_out_of_dumps();
            let public = signing::create(&path)?;
            Ok(format!("{public}\n"))
        }),
        LogCommand::PublicKey(configured) => configured.key().and_then(|path| {
            keep_out_of_dumps();
            Ok(format!("{}\n", signing::read(&path)?.key.public()))
        }),
        LogCommand::RotateKey(configured) => configured.key().and_then(|path| {
            keep_out_of_dumps();
            let public = signing::rotate(&path, now())?;
            Ok(format!("{public}\n"))
        }),
        LogCommand::Checkpoint(configured) => configured.load().and_then(|config| newest_checkpoint(&config)),
        LogCommand::Verify(arguments) => return verify::run(arguments),
        LogCommand::Query(arguments) => query::run(arguments),
        LogCommand::Report(command) => report::run(command),
    };
    super::report(said.and_then(|said| print(&said)))
}

fn print(said: &str) -> Result<(), LogCommandError> {
    let mut out = io::stdout().lock();
    out.write_all(said.as_bytes()).and_then(|()| out.flush()).map_err(LogCommandError::Output)
}

impl Configured {
    fn load(self) -> Result<AccessLogConfig, LogCommandError> {
        let given = Settings { access_log: self.access_log, ..Settings::default() };
        let settings = given.over_file(self.config.as_deref()).map_err(ConfigError::from)?;
        Ok(settings.access_log.complete()?)
    }

    fn key(self) -> Result<PathBuf, LogCommandError> {
        self.load()?.signing_key.ok_or(LogCommandError::NoKey)
    }
}

/// The note of the newest checkpoint in the log's files.
fn newest_checkpoint(config: &AccessLogConfig) -> Result<String, LogCommandError> {
    let failed = |source| LogCommandError::Read { path: config.path.clone(), source };
    for (_, file) in open_segments(&config.path).map_err(failed)?.into_iter().rev() {
        if let Some(note) = last_note(file).map_err(failed)? {
            return Ok(note);
        }
    }
    Err(LogCommandError::NoCheckpoint(config.path.clone()))
}

fn last_note(file: File) -> io::Result<Option<String>> {
    let (mut reader, mut line, mut newest) = (BufReader::new(file), Vec::new(), None);
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Ok(head) = Head::read(&line)
            && head.kind == "checkpoint"
            && let Ok(Some(Mark::Checkpoint(checkpoint))) = Mark::read(&head.kind, &line)
        {
            newest = Some(checkpoint.note);
        }
        line.clear();
    }
    Ok(newest)
}
