//! `pgveil keys`: makes and changes the keys of encrypted columns.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{ConfigError, KeysConfig, KeysSettings, ProviderConfig, Settings};
use crate::crypto::{KeyId, KeyState};
use crate::server::keys::{self, Former, Initialised, Keyring, KeysError, NamedKey, Uses, Version};

/// What is done with keys.
#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make an empty keyring, and a key-encryption key where the provider is "file"; nothing is overwritten
    Init(Configured),
    /// Make a key that policies can name
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        configured: Configured,
    },
    /// Print what keys there are, and what they are used for
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        configured: Configured,
    },
    /// Make a new version of a key: new values of randomized columns are written under it. Values of deterministic columns
    /// stay under the version that they are compared under, until `pgveil encrypt run` moves them
    Rotate {
        /// The key's name
        name: String,
        #[command(flatten)]
        configured: Configured,
    },
    /// Let a version only read what it has written
    Retire {
        /// The version's id
        id: KeyId,
        #[command(flatten)]
        configured: Configured,
    },
    /// Wipe a version: what it has written can never be read again
    Destroy {
        /// The version's id
        id: KeyId,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        configured: Configured,
    },
    /// Wrap all keys anew: where the provider is "file" under a new key-encryption key, else under the one that the provider
    /// uses now. Values in the database stay as they are
    Rewrap {
        /// Take earlier key-encryption keys out of their file: older copies of the keyring can not be used again
        #[arg(long)]
        forget: bool,
        #[command(flatten)]
        configured: Configured,
    },
}

/// The settings of keys, wherever they come from.
#[derive(Args)]
pub(super) struct Configured {
    /// The settings file [default: /etc/pgveil/pgveil.toml, if there is one]
    #[arg(long, env = "PGVEIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: KeysSettings,
}

/// Why a command on keys has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysCommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("keys.keyring is not set: name the keyring's file (--keys-keyring, PGVEIL_KEYS_KEYRING)")]
    NoKeyring,
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("no key has the id {0}; pgveil keys list shows what there is")]
    UnknownId(KeyId),
    #[error("key {0} is destroyed already")]
    Destroyed(KeyId),
    #[error("key {0} was not destroyed: its id was not typed (--yes does not ask)")]
    NotConfirmed(KeyId),
    #[error("standard input: {0}")]
    Input(#[source] io::Error),
    #[error("standard output: {0}")]
    Output(#[source] io::Error),
}

/// Do it, and say on standard output what was done.
pub(super) fn run(command: KeysCommand) -> Result<(), KeysCommandError> {
    keys::keep_out_of_dumps();
    let said = match command {
        KeysCommand::Init(configured) => init(&configured.load()?)?,
        KeysCommand::Create { name, configured } => {
            let id = keys::create(&configured.load()?, &name)?;
            format!("key {name} has its first version, {id}\n")
        }
        KeysCommand::List { json, configured } => {
            let keyring = keys::list(&configured.load()?)?;
            if json { listed(&keyring) } else { table(&keyring) }
        }
        KeysCommand::Rotate { name, configured } => rotate(&configured.load()?, &name)?,
        KeysCommand::Retire { id, configured } => {
            keys::retire(&configured.load()?, id)?;
            format!("key {id} is retired: it reads what it has written, and writes nothing\n")
        }
        KeysCommand::Destroy { id, yes, configured } => destroy(&configured.load()?, id, yes)?,
        KeysCommand::Rewrap { forget, configured } => rewrap(&configured.load()?, forget)?,
    };
    let mut out = io::stdout().lock();
    out.write_all(said.as_bytes()).and_then(|()| out.flush()).map_err(KeysCommandError::Output)
}

impl Configured {
    fn load(self) -> Result<KeysConfig, KeysCommandError> {
        let given = Settings { keys: self.keys, ..Settings::default() };
        let settings = given.over_file(self.config.as_deref()).map_err(ConfigError::from)?;
        settings.keys.complete()?.ok_or(KeysCommandError::NoKeyring)
    }
}

fn init(config: &KeysConfig) -> Result<String, KeysCommandError> {
    let made = keys::init(config)?;
    let keyring = config.keyring.display();
    Ok(match (&config.provider, made) {
        (ProviderConfig::File { kek_file }, Initialised::KeyringAndKek) => format!(
            "{keyring}: an empty keyring\n{}: a new key-encryption key\nKeep copies of both, apart from each other: without them \
             nothing that is encrypted can be read again.\n",
            kek_file.display()
        ),
        (ProviderConfig::File { kek_file }, Initialised::Keyring) => {
            format!(
                "{keyring}: an empty keyring\n{}: the key-encryption key that was there is used\n",
                kek_file.display()
            )
        }
        (
            ProviderConfig::Env { .. }
            | ProviderConfig::Pkcs11(_)
            | ProviderConfig::AwsKms(_)
            | ProviderConfig::Vault(_),
            Initialised::Keyring | Initialised::KeyringAndKek,
        ) => format!("{keyring}: an empty keyring; the provider wraps and unwraps\n"),
    })
}

fn rotate(config: &KeysConfig, name: &str) -> Result<String, KeysCommandError> {
    let id = keys::rotate(config, name)?;
    let keyring = keys::list(config)?;
    let pinned = keyring.key(name).map_or(id, |key| key.equality().pinned);
    let mut said =
        format!("key {name} has a new version, {id}: new values of randomized columns are written under it\n");
    if pinned != id {
        let _written = writeln!(said, "deterministic columns stay under {pinned} until: pgveil encrypt run");
    }
    Ok(said)
}

fn destroy(config: &KeysConfig, id: KeyId, yes: bool) -> Result<String, KeysCommandError> {
    let keyring = keys::list(config)?;
    let (name, key, version) = keyring.find(id).ok_or(KeysCommandError::UnknownId(id))?;
    if version.state == KeyState::Destroyed {
        return Err(KeysCommandError::Destroyed(id));
    }
    if !yes {
        confirm(name, key, id)?;
    }
    keys::destroy(config, id)?;
    Ok(format!(
        "key {id} of {name} is destroyed: what it has written can not be read again\n\
         Older copies of the keyring still have it, wrapped: destroy them, or run pgveil keys rewrap --forget\n"
    ))
}

fn confirm(name: &str, key: &NamedKey, id: KeyId) -> Result<(), KeysCommandError> {
    let mut question = format!("All values that key {id} of {name} has written will be lost for ever.\n");
    let Uses { randomized, deterministic, leaving } = key.uses(id);
    for (used, what) in [
        (randomized, "New values of randomized columns are written under it."),
        (
            deterministic,
            "Values of deterministic columns are written and compared under it: statements on them will fail.",
        ),
        (leaving, "Values of deterministic columns are being moved away from it: what is not moved yet is lost."),
    ] {
        if used {
            let _written = writeln!(question, "{what}");
        }
    }
    if io::stdin().is_terminal() {
        question.push_str("Type its id to destroy it: ");
    }
    eprint!("{question}");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(KeysCommandError::Input)?;
    if answer.trim().parse() == Ok(id) { Ok(()) } else { Err(KeysCommandError::NotConfirmed(id)) }
}

fn rewrap(config: &KeysConfig, forget: bool) -> Result<String, KeysCommandError> {
    let former = if forget { Former::Forgotten } else { Former::Kept };
    let count = keys::rewrap(config, former)?;
    let mut said = format!("keys wrapped anew: {count}\n");
    if let (ProviderConfig::File { kek_file }, Former::Kept) = (&config.provider, former) {
        let _written = writeln!(
            said,
            "{}: earlier key-encryption keys are still in it, for older copies of the keyring; --forget takes them out",
            kek_file.display()
        );
    }
    Ok(said)
}

/// One line for each version, in columns.
fn table(keyring: &Keyring) -> String {
    let mut rows = vec![["KEY", "ID", "STATE", "WRITES", "CREATED"].map(str::to_owned)];
    for (name, key) in keyring.keys() {
        for version in key.versions() {
            let Version { id, state, created, wrapped: _ } = version;
            let uses = uses(key, *id).join(", ");
            rows.push([name.to_owned(), id.to_string(), state_name(*state).to_owned(), uses, created.clone()]);
        }
    }
    let widths: Vec<usize> = (0..5)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One JSON array of all versions.
fn listed(keyring: &Keyring) -> String {
    let versions = keyring.keys().flat_map(|(name, key)| {
        key.versions().iter().map(move |version| {
            json!({
                "key": name,
                "id": version.id.to_string(),
                "state": state_name(version.state),
                "writes": uses(key, version.id),
                "created": version.created,
                "wrapped_by": version.wrapped.as_ref().map(|wrapped| &wrapped.by),
            })
        })
    });
    format!("{:#}\n", serde_json::Value::Array(versions.collect()))
}

fn uses(key: &NamedKey, id: KeyId) -> Vec<&'static str> {
    let Uses { randomized, deterministic, leaving } = key.uses(id);
    let words = [(randomized, "randomized"), (deterministic, "deterministic"), (leaving, "deterministic until moved")];
    words.into_iter().filter_map(|(used, word)| used.then_some(word)).collect()
}

fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Retired => "retired",
        KeyState::Destroyed => "destroyed",
    }
}
