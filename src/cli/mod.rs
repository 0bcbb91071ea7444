//! The command line.

mod against;
mod check;
mod encrypt;
mod guard;
mod keys;
mod log;
mod masks;
mod open_files;
mod reveal;
mod serve;
mod service_manager;
mod ship;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::catalog::Catalog;
use crate::config::{Config, ConfigError, Settings};

/// A transparent PostgreSQL proxy that masks personal data by role and logs every reveal.
#[derive(Parser)]
#[command(name = "pgveil", version, propagate_version = true)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the proxy
    Serve(Configured),
    /// Check policy files, and hold them against a database
    Check(CheckArguments),
    /// Print the settings in force, secrets left out, and end
    Config(Configured),
    /// Print what masks there are
    Masks,
    /// Make and change the keys of encrypted columns
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Keys, checkpoints and verification of the access log
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Answer requests for a reveal, review urgent ones, make secrets of one-time codes
    #[command(subcommand)]
    Reveal(reveal::RevealCommand),
    /// Encrypt the columns that the policy declares encrypted: plan, run, verify
    #[command(subcommand)]
    Encrypt(encrypt::EncryptAction),
    /// Who is locked out, locking out and letting in again
    #[command(subcommand)]
    Guard(guard::GuardCommand),
    /// Prepare the store that several instances share
    #[command(subcommand)]
    State(guard::StateCommand),
    /// See to the sinks that the access log is shipped to
    #[command(subcommand)]
    Ship(ship::ShipCommand),
    /// Bring encrypted columns back to plaintext
    #[command(subcommand)]
    Decrypt(encrypt::DecryptAction),
}

/// Settings, wherever they come from: flags win over variables, variables over the file, the file over defaults.
#[derive(Args)]
struct Configured {
    /// The settings file [default: /etc/pgveil/pgveil.toml, if there is one]
    #[arg(long, env = "PGVEIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
struct CheckArguments {
    /// The database: a libpq connection string or URI (the password may come from PGPASSWORD), or "config" for the one
    /// that the settings name
    #[arg(long, value_name = "CONNECTION")]
    against: Option<String>,
    /// Policy files and directories [default: those that the settings name]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    configured: Configured,
}

impl Configured {
    fn load(self) -> Result<Config, ConfigError> {
        Config::load(self.settings, self.config.as_deref())
    }
}

/// Run the command that the arguments name. The exit code is 0 when it succeeded, 1 when it failed, 2 when the arguments
/// make no sense.
pub fn main() -> ExitCode {
    match Command::parse().action {
        Action::Check(arguments) => check(arguments).unwrap_or_else(|error| report(Err(error))),
        Action::Serve(configured) => report(configured.load().map_err(Into::into).and_then(serve::serve)),
        Action::Config(configured) => report(configured.load().map(|config| print!("{}", config.to_toml()))),
        Action::Masks => {
            print!("{}", masks::table());
            ExitCode::SUCCESS
        }
        Action::Keys(command) => report(keys::run(command)),
        Action::Log(command) => log::run(command),
        Action::Reveal(command) => report(reveal::run(command)),
        Action::Ship(command) => report(ship::run(command)),
        Action::Encrypt(action) => encrypt::encrypt(action),
        Action::Guard(command) => report(guard::run(command)),
        Action::State(command) => report(guard::run_state(command)),
        Action::Decrypt(action) => encrypt::decrypt(action),
    }
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Against(#[from] against::AgainstError),
    #[error(transparent)]
    Keys(#[from] crate::server::keys::KeysError),
    #[error("no policy is named: give files or directories, or a settings file with --config")]
    NoPolicy,
}

fn check(arguments: CheckArguments) -> Result<ExitCode, CheckError> {
    let CheckArguments { against, paths, configured } = arguments;
    let mut settings = configured.settings;
    if paths.is_empty() || against.as_deref() == Some("config") {
        settings = settings.over_file(configured.config.as_deref()).map_err(ConfigError::from)?;
    }
    if !paths.is_empty() {
        settings.policies = Some(paths);
    }
    let policies = settings.policies.clone().ok_or(CheckError::NoPolicy)?;
    let keyring = settings.keys.clone().complete()?.map(|keys| crate::server::keys::list(&keys)).transpose()?;
    let catalog: Option<Catalog> = match against.as_deref() {
        None => None,
        Some("config") => Some(against::catalog_of(Config::complete(settings)?)?),
        Some(connection) => Some(against::catalog_at(connection, std::env::var("PGPASSWORD").ok())?),
    };
    Ok(check::check(&policies, catalog.as_ref(), keyring.as_ref()))
}

/// Errors go to standard error, in full: those of a policy are several lines with the offending text underlined.
fn report<E: std::fmt::Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgveil: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_and_a_variable_of_the_same_name() {
        let command = Command::command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut settings = 0;
        for argument in serve.get_arguments().filter(|argument| !argument.is_positional()) {
            let flag = argument.get_long().unwrap();
            if ["help", "version"].contains(&flag) {
                continue;
            }
            let variable = argument.get_env().unwrap().to_str().unwrap();
            assert_eq!(variable, format!("PGVEIL_{}", flag.to_uppercase().replace('-', "_")));
            settings += 1;
        }
        assert!(settings > 20);
    }
}
