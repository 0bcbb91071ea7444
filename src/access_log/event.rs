//! The access event: one revealed column of one execution. Holds no value, no parameter and no literal.

use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::entity::Entities;
use super::reveal::Grounds;
use crate::catalog::Name;

/// Who looks: what all events of a session have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// pgveil's number of the session, unique on this instance since its start.
    pub session: u64,
    /// The database user that logged in.
    pub user: Name,
    /// The end user that a trusted application asserts, if any.
    pub actor: Option<Arc<str>>,
    /// The database.
    pub database: Name,
    /// Where the client's connection comes from.
    pub client: SocketAddr,
    /// What the client calls itself at the time.
    pub application_name: Option<Arc<str>>,
}

/// One column revealed by one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessEvent {
    /// Who.
    pub visit: Arc<Visit>,
    /// The execution within the session, from 1.
    pub execution: u64,
    /// The policy's name of the role that the decision came from; `None`: no role matched.
    pub role: Option<Arc<str>>,
    /// The rule, as `file:line`; several, if the column is not known.
    pub rule: Arc<str>,
    /// The column. `None`: values of unknown origin, which may be of any tagged column; only who sees all of them in clear
    /// is shown such.
    pub column: Option<RevealedColumn>,
    /// How its value went out.
    pub how: How,
    /// What was done.
    pub action: Action,
    /// Keyed hash of the statement's shape: no text of it.
    pub fingerprint: Fingerprint,
    /// Rows of the result, where it was complete before anything had to be released.
    pub rows: Option<u64>,
    /// What the application says of itself.
    pub endpoint: Option<Arc<Endpoint>>,
    /// The tenant that the session has set.
    pub tenant: Option<Arc<str>>,
    /// Whose rows they are: keys in them, where the result was complete before anything had to be released.
    pub entities: Vec<Entities>,
    /// On what grounds, where it was revealed on request.
    pub grounds: Option<Arc<Grounds>>,
}

/// A tagged column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealedColumn {
    /// The base table's schema.
    pub schema: Name,
    /// The base table.
    pub table: Name,
    /// The column.
    pub column: Name,
    /// Its tag.
    pub tag: Arc<str>,
}

/// The end of an execution whose events were written without a row count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Who.
    pub visit: Arc<Visit>,
    /// The execution.
    pub execution: u64,
    /// Rows that went out.
    pub rows: u64,
    /// Whether the result came to its end (false: an error, a closed portal, a lost connection).
    pub complete: bool,
    /// What was done.
    pub action: Action,
    /// Whose rows they are: keys in them that were in no record before.
    pub entities: Vec<Entities>,
}

/// 8 bytes that tell statements of different shape apart.
pub type Fingerprint = u64;

/// How a value went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As stored.
    Clear,
    /// Decrypted by pgveil.
    Decrypted,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Rows of a result.
    View,
    /// COPY, or more rows than anybody looks at.
    Export,
}
