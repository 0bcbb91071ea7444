//! `pgveil encrypt` and `pgveil decrypt`: what is in the database already becomes ciphertext, or plaintext again.
//!
//! These commands connect to the server themselves, as somebody who may change the tables (`--against`), and go by the
//! policy: columns that it declares `encrypted`. `plan` looks and says what would change; `types` makes room for envelopes,
//! before pgveil has the policy and writes them; `run` converts on line while
//! pgveil serves both forms (`stored: mixed`); `verify` reads everything and says whether it opens; `decrypt run` is the way
//! back.
//!
//! Where to start reading: `target` (which columns), `table` (what hangs on them), `findings` (what is in the way), `batch`
//! (how rows are converted, and why nothing is lost), `run`.

mod batch;
mod convert;
mod decrypt;
mod findings;
mod group;
mod index_column;
mod login;
mod moves;
mod passes;
mod plan;
mod progress;
mod run;
mod sample;
mod setting_column;
mod statements;
mod stored;
mod table;
mod target;
mod troubles;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand};

use self::batch::Pace;
use self::login::{Database, DatabaseError, Patience};
use self::run::{RunError, RunOptions};
use self::setting_column::SettingColumn;
use self::statements::StatementsError;
use self::target::{TargetError, Targets};
use super::Configured;
use super::against::{AgainstError, catalog_at};
use crate::config::{ConfigError, KeysConfig, Settings};
use crate::crypto::KeyRing;
use crate::policy::{Diagnostic, Policy};
use crate::server::keys::{self, KeysError, Unavailable};
use crate::server::reload::{PolicyFileError, read_policies};

/// `pgveil encrypt ...`
#[derive(Subcommand)]
pub(super) enum EncryptAction {
    /// Say what encrypting the columns would change, and what is in its way
    Plan(PlanArguments),
    /// Give the columns the types that hold envelopes, and the columns of blind indexes, and no more: before pgveil has the policy, since it writes envelopes then
    Types(RunArguments),
    /// Convert the columns on line, in batches; may be stopped, and is taken up again by running it again
    Run(RunArguments),
    /// Read every value, and report rows that are no envelopes that open
    Verify(VerifyArguments),
}

/// `pgveil decrypt ...`
#[derive(Subcommand)]
pub(super) enum DecryptAction {
    /// Convert the columns back to plaintext of their declared types
    Run(RunArguments),
}

#[derive(Args)]
struct Common {
    /// The database, as somebody who may change the tables: a libpq connection string or URI (the password may come from
    /// PGPASSWORD)
    #[arg(long, value_name = "CONNECTION")]
    against: String,
    /// Only this column, as TABLE.COLUMN or SCHEMA.TABLE.COLUMN; may be given several times [default: all that the policy
    /// declares encrypted]
    #[arg(long = "column", value_name = "COLUMN")]
    columns: Vec<String>,
    /// The column of the same row that has what applications set as SETTING, where the policy binds values to that
    /// (`tenant: { setting: ... }`); SETTING=TABLE.COLUMN where it is another one in each table
    #[arg(long = "setting-column", value_name = "SETTING=COLUMN")]
    setting_columns: Vec<SettingColumn>,
    /// Policy files and directories [default: those that the settings name]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    configured: Configured,
}

#[derive(Args)]
pub(super) struct PlanArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A server log, or a file of statements: say which of them would be refused
    #[arg(long, value_name = "FILE")]
    statements: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct VerifyArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct RunArguments {
    /// Rows that are converted in one transaction
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_rows: u32,
    /// Milliseconds between two transactions
    #[arg(long, value_name = "MS", default_value_t = 0)]
    sleep_ms: u64,
    /// Milliseconds that a lock is waited for before a change of a table is tried again
    #[arg(long, value_name = "MS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    lock_timeout_ms: u32,
    /// How often a change of a table is tried
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    lock_attempts: u32,
    /// Let the server write whole tables anew where a column's type asks for it: nobody reads or writes them meanwhile
    #[arg(long)]
    allow_rewrite: bool,
    /// Keep the tables' triggers from firing for converted rows (session_replication_role; superusers only)
    #[arg(long)]
    disable_triggers: bool,
    /// Move values of deterministic columns and of those with a blind index to the newest version of their key, in one
    /// transaction in which nobody else writes them
    #[arg(long)]
    move_keys: bool,
    /// Seconds that every pgveil has to notice the move of a key
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    settle_seconds: u64,
    /// Leave out the constraint by which the server itself refuses plaintext afterwards
    #[arg(long)]
    no_constraint: bool,
    #[command(flatten)]
    common: Common,
}

/// The keys of the columns, and where they are kept.
struct Keys {
    ring: KeyRing,
    config: KeysConfig,
}

/// Why a command can not do its work.
#[derive(Debug, thiserror::Error)]
enum EncryptError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no policy is named: give files or directories, or a settings file with --config")]
    NoPolicy,
    #[error("keys.keyring is not set: name the keyring's file (--keys-keyring, PGVEIL_KEYS_KEYRING)")]
    NoKeyring,
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    PolicyFile(#[from] PolicyFileError),
    #[error("the policy can not be used:\n{0}")]
    Policy(String),
    #[error("no runtime can be started: {0}")]
    Runtime(#[from] std::io::Error),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Against(#[from] AgainstError),
    #[error(transparent)]
    Statements(#[from] StatementsError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the result can not be printed: {0}")]
    Json(#[from] serde_json::Error),
}

/// Run `pgveil encrypt ...`. The exit code is 0 when it succeeded, 1 when it did not, when something is in the way of the
/// plan, or when not all values are valid.
pub(super) fn encrypt(action: EncryptAction) -> ExitCode {
    exit(match action {
        EncryptAction::Plan(arguments) => plan_command(arguments),
        EncryptAction::Types(arguments) => types_command(arguments),
        EncryptAction::Run(arguments) => run_command(arguments),
        EncryptAction::Verify(arguments) => verify_command(arguments),
    })
}

/// Run `pgveil decrypt ...`.
pub(super) fn decrypt(action: DecryptAction) -> ExitCode {
    exit(match action {
        DecryptAction::Run(arguments) => decrypt_command(arguments),
    })
}

fn exit(outcome: Result<ExitCode, EncryptError>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("pgveil: {error}");
        ExitCode::FAILURE
    })
}

fn plan_command(arguments: PlanArguments) -> Result<ExitCode, EncryptError> {
    let PlanArguments { json, statements, common } = arguments;
    let policy = Arc::new(common.policy()?);
    let judged = match statements {
        Some(path) => {
            let catalog = catalog_at(&common.against, std::env::var("PGPASSWORD").ok())?;
            Some(statements::judge(&path, Arc::clone(&policy), catalog)?)
        }
        None => None,
    };
    common.with_database(&policy, async |database, targets, _| {
        let plan = plan::plan(database, targets, judged).await?;
        if json {
            println!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            print!("{}", plan.text());
        }
        Ok(if plan.is_blocked() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

fn types_command(arguments: RunArguments) -> Result<ExitCode, EncryptError> {
    let options = arguments.options();
    let (policy, keys) = (arguments.common.policy()?, arguments.common.keys()?);
    arguments.common.with_database(&policy, async |database, targets, stop| {
        run::run_types(database, targets, &keys, &options, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn run_command(arguments: RunArguments) -> Result<ExitCode, EncryptError> {
    let options = arguments.options();
    let (policy, keys) = (arguments.common.policy()?, arguments.common.keys()?);
    arguments.common.with_database(&policy, async |database, targets, stop| {
        run::run(database, targets, &keys, &options, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn decrypt_command(arguments: RunArguments) -> Result<ExitCode, EncryptError> {
    let options = arguments.options();
    let (policy, keys) = (arguments.common.policy()?, arguments.common.keys()?);
    arguments.common.with_database(&policy, async |database, targets, stop| {
        decrypt::decrypt(database, targets, &keys.ring, &options, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn verify_command(arguments: VerifyArguments) -> Result<ExitCode, EncryptError> {
    let VerifyArguments { json, common } = arguments;
    let (policy, keys) = (common.policy()?, common.keys()?);
    common.with_database(&policy, async |database, targets, stop| {
        let verified = verify::verify(database, targets, &keys.ring, stop).await?;
        if json {
            println!("{}", serde_json::to_string_pretty(&verified)?);
        } else {
            print!("{}", verified.text());
        }
        Ok(if verified.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

impl RunArguments {
    fn options(&self) -> RunOptions {
        RunOptions {
            pace: Pace {
                batch_rows: usize::try_from(self.batch_rows).unwrap_or(usize::MAX),
                sleep: Duration::from_millis(self.sleep_ms),
            },
            patience: Patience { lock_timeout_ms: self.lock_timeout_ms, attempts: self.lock_attempts },
            allow_rewrite: self.allow_rewrite,
            disable_triggers: self.disable_triggers,
            moves: self.move_keys,
            settle: Duration::from_secs(self.settle_seconds),
            add_constraint: !self.no_constraint,
        }
    }
}

impl Common {
    fn settings(&self) -> Result<Settings, EncryptError> {
        let given = self.configured.settings.clone();
        let mut settings = given.over_file(self.configured.config.as_deref()).map_err(ConfigError::from)?;
        if !self.paths.is_empty() {
            settings.policies = Some(self.paths.clone());
        }
        Ok(settings)
    }

    fn policy(&self) -> Result<Policy, EncryptError> {
        let policies = self.settings()?.policies.ok_or(EncryptError::NoPolicy)?;
        let shown = |found: Vec<Diagnostic>| found.iter().map(|found| format!("{}\n", found.render(false))).collect();
        Policy::parse(&read_policies(&policies)?).map_err(|found| EncryptError::Policy(shown(found)))
    }

    /// Those of the keyring that can be unwrapped.
    fn keys(&self) -> Result<Keys, EncryptError> {
        let config = self.settings()?.keys.complete()?.ok_or(EncryptError::NoKeyring)?;
        let loaded = keys::load(&config)?;
        for Unavailable { name, id, reason } in &loaded.unavailable {
            eprintln!("pgveil: key {name}, version {id} is not available: {reason}");
        }
        Ok(Keys { ring: loaded.ring, config })
    }

    /// Connect, find the columns, and do the work until it is done or a signal asks for the end.
    fn with_database(
        &self,
        policy: &Policy,
        work: impl AsyncFnOnce(&Database, &Targets, &AtomicBool) -> Result<ExitCode, EncryptError>,
    ) -> Result<ExitCode, EncryptError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = Arc::new(AtomicBool::new(false));
            tokio::spawn(stop_on_signal(Arc::clone(&stop)));
            let database = Database::connect(&self.against, std::env::var("PGPASSWORD").ok()).await?;
            let targets = Targets::find(&database, policy, &self.columns, &self.setting_columns).await?;
            work(&database, &targets, &stop).await
        })
    }
}

/// The first signal lets the batch end that is under way; the second ends at once, which loses nothing either.
async fn stop_on_signal(stop: Arc<AtomicBool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    }
}
