//! `pgveil guard`: who is locked out, locking out and letting in again; `pgveil state`: the store that this is kept in.
//!
//! The commands change the store, and what runs on it knows of it within a quarter of a second.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::{ConfigError, Settings, StateConfig, StateSettings, TcpConfig};
use crate::plan::guard::network_of;
use crate::policy::GuardPeriod;
use crate::server::guard::{Lock, time_text};
use crate::server::shared_state::{Change, DDL, Fact, Kind, StateError, SubjectText, Visit};

/// What is done with locks.
#[derive(Subcommand)]
pub(super) enum GuardCommand {
    /// Print who is locked out, and why
    List {
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        configured: Configured,
    },
    /// Lock an account out: its sessions end, and it can not log in
    Lock {
        #[command(flatten)]
        whom: Whom,
        /// Why; it is written in the access log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// For how long, as "30 minutes" [default: until it is let in again]
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
        #[command(flatten)]
        configured: Configured,
    },
    /// Let an account in again, and forget what was counted for it
    Unlock {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        configured: Configured,
    },
}

/// What is done with the store.
#[derive(Subcommand)]
pub(super) enum StateCommand {
    /// Make the tables that the settings' database needs
    Init(Configured),
    /// Print the SQL that makes these tables
    Ddl,
}

/// Who is meant.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(super) struct Whom {
    /// The database user
    user: Option<String>,
    /// From that client address only, or, without a user, everybody from there
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The end user behind that database user
    #[arg(long, value_name = "NAME", requires = "user")]
    actor: Option<String>,
}

/// The settings of the store, wherever they come from.
#[derive(Args)]
pub(super) struct Configured {
    /// The settings file [default: /etc/pgveil/pgveil.toml, if there is one]
    #[arg(long, env = "PGVEIL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    state: StateSettings,
}

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuardCommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "state.engine is \"memory\": what runs keeps its locks to itself; set it to \"embedded\" or \"postgresql\""
    )]
    Memory,
    #[error(transparent)]
    State(#[from] StateError),
    #[error("\"{0}\" is not a time: write \"90 s\", \"30 minutes\", \"1 hour\" or up to \"31 days\"")]
    Time(String),
    #[error("nobody like that is locked out; pgveil guard list shows who is")]
    NotLocked,
    #[error("no runtime can be started: {0}")]
    Runtime(#[source] io::Error),
    #[error("standard output: {0}")]
    Output(#[source] io::Error),
}

/// Do it, and say on standard output what was done.
pub(super) fn run(command: GuardCommand) -> Result<(), GuardCommandError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(GuardCommandError::Runtime)?;
    let said = runtime.block_on(async {
        match command {
            GuardCommand::List { json, configured } => {
                let mut visit = Visit::open(&configured.load()?)?;
                let locks = locks(&mut visit).await?;
                Ok(if json { listed(&locks) } else { table(&locks) })
            }
            GuardCommand::Lock { whom, reason, time, configured } => {
                lock(&mut Visit::open(&configured.load()?)?, &whom, reason.as_deref(), time).await
            }
            GuardCommand::Unlock { whom, configured } => unlock(&mut Visit::open(&configured.load()?)?, &whom).await,
        }
    });
    print(&said?)
}

/// Do it, and say on standard output what was done.
pub(super) fn run_state(command: StateCommand) -> Result<(), GuardCommandError> {
    match command {
        StateCommand::Ddl => print(DDL),
        StateCommand::Init(configured) => {
            let config = configured.load()?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(GuardCommandError::Runtime)?;
            runtime.block_on(async { Visit::open(&config)?.init().await })?;
            print("the store is ready\n")
        }
    }
}

impl Configured {
    fn load(self) -> Result<StateConfig, GuardCommandError> {
        let given = Settings { state: self.state, ..Settings::default() };
        let settings = given.over_file(self.config.as_deref()).map_err(ConfigError::from)?;
        let access_log = settings.access_log.file();
        match settings.state.complete(TcpConfig::default(), &access_log)? {
            StateConfig::Memory => Err(GuardCommandError::Memory),
            config @ (StateConfig::Embedded(_) | StateConfig::Postgresql(_)) => Ok(config),
        }
    }
}

impl Whom {
    fn subject(&self) -> SubjectText {
        let address = self.address.map(network_of);
        SubjectText { user: self.user.clone(), actor: self.actor.clone(), address }
    }

    /// Whether a lock is one of those that letting this one in takes away.
    fn frees(&self, of: &SubjectText) -> bool {
        let is = |own: Option<&String>, other: Option<&String>| own.is_none() || own == other;
        let address = self.address.is_none() || self.address.map(network_of) == of.address;
        is(self.user.as_ref(), of.user.as_ref()) && is(self.actor.as_ref(), of.actor.as_ref()) && address
    }
}

async fn locks(visit: &mut Visit) -> Result<Vec<Lock>, StateError> {
    let facts = visit.exchange(&[]).await?;
    let now = visit.now();
    let mut locks = std::collections::BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Kept(kept) if kept.kind == Kind::Lock => {
                if let Some(lock) = Lock::of(&kept).filter(|lock| lock.holds(now)) {
                    locks.insert(kept.id, lock);
                }
            }
            Fact::Gone(Kind::Lock, id) => drop(locks.remove(&id)),
            Fact::Kept(_) | Fact::Gone(..) | Fact::Count(_) | Fact::Spent(_) => {}
        }
    }
    Ok(locks.into_values().collect())
}

async fn lock(
    visit: &mut Visit,
    whom: &Whom,
    reason: Option<&str>,
    time: Option<String>,
) -> Result<String, GuardCommandError> {
    let time = match time {
        Some(text) => Some(GuardPeriod::read(&text).ok_or(GuardCommandError::Time(text))?),
        None => None,
    };
    visit.exchange(&[]).await?;
    let now = visit.now();
    let until = time.map(|time: Duration| now.saturating_add(time));
    let lock = Lock::by_hand(whom.subject(), &operator(), reason, now, until);
    visit.exchange(&[Change::Keep(lock.kept())]).await?;
    let until =
        lock.until_text().map_or_else(|| "until it is let in again".to_owned(), |until| format!("until {until}"));
    Ok(format!("{} is locked out {until}\n", shown(&lock.subject)))
}

async fn unlock(visit: &mut Visit, whom: &Whom) -> Result<String, GuardCommandError> {
    let freed: Vec<Lock> = locks(visit).await?.into_iter().filter(|lock| whom.frees(&lock.subject)).collect();
    if freed.is_empty() {
        return Err(GuardCommandError::NotLocked);
    }
    let mut said = String::new();
    let mut changes = Vec::new();
    for lock in &freed {
        changes.push(Change::Clear(lock.subject.clone()));
        changes.push(Change::Drop(Kind::Lock, lock.id()));
        said.push_str(&format!("{} is let in again\n", shown(&lock.subject)));
    }
    visit.exchange(&changes).await?;
    Ok(said)
}

/// Who runs this command, as far as the machine says.
fn operator() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn shown(subject: &SubjectText) -> String {
    let mut words = Vec::new();
    words.push(subject.user.as_ref().map_or_else(|| "everybody".to_owned(), |user| format!("user {user:?}")));
    words.extend(subject.actor.as_ref().map(|actor| format!("for end user {actor:?}")));
    words.extend(subject.address.map(|address| format!("from {address}")));
    words.join(" ")
}

fn table(locks: &[Lock]) -> String {
    if locks.is_empty() {
        return "nobody is locked out\n".to_owned();
    }
    let mut out = String::new();
    for lock in locks {
        let until = lock.until_text().map_or_else(|| "until let in again".to_owned(), |until| format!("until {until}"));
        let why = match (&lock.limit, &lock.by) {
            (Some(limit), _) => format!("limit {limit:?}"),
            (None, Some(by)) => format!("by {by}"),
            (None, None) => "?".to_owned(),
        };
        let reason = lock.reason.as_ref().map(|reason| format!(": {reason:?}")).unwrap_or_default();
        out.push_str(&format!("{}  since {}  {until}  {why}{reason}\n", shown(&lock.subject), time_text(lock.since)));
    }
    out
}

fn listed(locks: &[Lock]) -> String {
    locks.iter().map(|lock| format!("{}\n", serde_json::to_string(lock).unwrap_or_default())).collect()
}

fn print(said: &str) -> Result<(), GuardCommandError> {
    let mut out = io::stdout().lock();
    out.write_all(said.as_bytes()).and_then(|()| out.flush()).map_err(GuardCommandError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letting_in_takes_away_what_is_narrower_and_not_what_is_wider() {
        let whom = |user: Option<&str>, address: Option<&str>| Whom {
            user: user.map(str::to_owned),
            address: address.map(|address| address.parse().unwrap()),
            actor: None,
        };
        let (ann, ann_there, there) = (
            whom(Some("ann"), None).subject(),
            whom(Some("ann"), Some("2001:db8::1")).subject(),
            whom(None, Some("2001:db8::2")).subject(),
        );
        for (given, freed) in [
            (whom(Some("ann"), None), [true, true, false]),
            (whom(Some("ann"), Some("2001:db8::3")), [false, true, false]),
            (whom(None, Some("2001:db8::4")), [false, true, true]),
            (whom(Some("bob"), None), [false, false, false]),
        ] {
            assert_eq!([&ann, &ann_there, &there].map(|subject| given.frees(subject)), freed);
        }
        assert_eq!(shown(&ann_there), "user \"ann\" from 2001:db8::");
    }
}
