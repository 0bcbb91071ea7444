//! What happens beside reveals: who came and went, what was refused, what was permitted though it tells something, and what
//! became of policy and keys. None of it holds a value, a parameter, a literal or a statement's text.

use std::sync::Arc;

use super::endpoint::Endpoint;
use super::entity::Entities;
use super::event::{RevealedColumn, Visit};

/// Somebody was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub visit: Arc<Visit>,
    /// How it was proved who they are.
    pub method: LoginMethod,
    /// Whether the client's connection is encrypted.
    pub tls: bool,
    /// The common name of the client's certificate, if it showed one.
    pub certificate: Option<Arc<str>>,
}

/// How a login was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// The server has asked, and pgveil has passed it on.
    Relayed,
    /// pgveil has checked the password.
    Password,
    /// By the client's certificate.
    Certificate,
}

/// Somebody was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFailed {
    /// Who they said they were.
    pub visit: Arc<Visit>,
    /// Why, as a word of a closed set.
    pub reason: &'static str,
    /// Whether the client's connection is encrypted.
    pub tls: bool,
}

/// A session that was let in has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// Who.
    pub visit: Arc<Visit>,
    /// Why, as a word of a closed set.
    pub reason: &'static str,
    /// How many results it was shown that something was revealed or could have been in.
    pub executions: u64,
}

/// A statement was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who.
    pub visit: Arc<Visit>,
    /// Why, as a word of a closed set.
    pub reason: &'static str,
    /// The SQLSTATE that the client was told.
    pub code: &'static str,
    /// The tagged column that it is about, as `schema.table.column`, if it is about one.
    pub column: Option<Arc<str>>,
    /// The rule, as `file:line`, if there is one.
    pub rule: Option<Arc<str>>,
}

/// A filter on a column that the caller does not see in clear was permitted: an execution could tell something of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// Who.
    pub visit: Arc<Visit>,
    /// The column.
    pub column: RevealedColumn,
    /// The rule that permits it, as `file:line`.
    pub rule: Arc<str>,
    /// How often it was looked at: each constant of a list is one look.
    pub times: u64,
    /// What the application says of itself.
    pub endpoint: Option<Arc<Endpoint>>,
}

/// A key of encrypted columns was used by a session for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Who.
    pub visit: Arc<Visit>,
    /// The key's name in the keyring.
    pub key: Arc<str>,
    /// The column, as `schema.table.column`.
    pub column: Arc<str>,
}

/// Keys of rows that were seen, more than fit into the record of what was revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntitiesSeen {
    /// Who.
    pub visit: Arc<Visit>,
    /// The execution.
    pub execution: u64,
    /// The keys.
    pub entities: Vec<Entities>,
}

/// Something that sessions go by was read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// What.
    pub what: Reloaded,
    /// Who or what asked for it.
    pub trigger: Trigger,
    /// Whether it is in force now; else what was in force before stays so.
    pub ok: bool,
    /// How many policies have been put in force since the start.
    pub generation: u64,
    /// SHA-256 of the policy in force, in hexadecimal digits.
    pub policy: Arc<str>,
}

/// What was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The policy, and the keys of its masks.
    Policy,
    /// The keyring of encrypted columns.
    Keyring,
    /// Certificates and keys of TLS.
    Tls,
    /// Who may log in how.
    LoginRules,
}

/// What something was read again for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The start of the process.
    Start,
    /// SIGHUP.
    Signal,
    /// A file has changed.
    Change,
}

/// Something that who runs pgveil has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administration {
    /// What, as a word of a closed set: `start`, `stop`, `reload`, or a command of the program (`keys rotate`).
    pub action: Arc<str>,
    /// What it was done to: a key's name, a file.
    pub object: Option<Arc<str>>,
    /// The program's version.
    pub version: &'static str,
    /// SHA-256 of the settings in force without secrets, in hexadecimal digits; those of the policy are apart.
    pub settings: Option<Arc<str>>,
    /// The operating system's user who did it, by its number, where that is known.
    pub uid: Option<u32>,
}

/// Records of one kind came faster than they are written down: so many were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// Their kind.
    pub kind: &'static str,
    /// Whose they were; `None`: of more users than are told apart.
    pub user: Option<Arc<str>>,
    /// The column that they were about, as `schema.table.column`, where they were of one.
    pub object: Option<Arc<str>>,
    /// How many.
    pub count: u64,
}
