//! What goes into a [`super::Session`] and what comes out: the contract between the engine and the shell.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use crate::plan::{Observation, RefusalReason, RestrictiveReason, VerdictLabel};
pub use crate::wire::startup::CancelKey;

pub use super::gate::{Gate, Patience};

use crate::access_log::{Record, RevealRefused};
use crate::catalog::Name;
use crate::login::scram::Nonce;
use crate::login::{EndPoint, Rules};
use crate::plan::budget::{Charge, Overdrawn, Payer};
use crate::plan::guard::{Stop, Watched};
use crate::plan::{Refusal, Snapshot};
use crate::policy::{Counted, Offer};
use crate::sql::statement::Analysis;

/// What the shell knows and the engine does not: handed to every handler.
pub struct Context<'a> {
    /// The newest snapshot. Taken afresh for each call: a reload applies to the next statement.
    pub snapshot: &'a Arc<Snapshot>,
    /// Looks up or makes analyses.
    pub analyst: &'a dyn Analyst,
    /// Whether what was read of the catalog is enough.
    pub gate: &'a Arc<Gate>,
    /// Remembers what filters on protected columns were used.
    pub budgets: &'a dyn Budgets,
    /// Counts what callers do.
    pub guard: &'a Arc<dyn Guard>,
    /// Knows the time, and answers requests for a reveal.
    pub authority: &'a dyn Authority,
}

/// Counts what callers do over all sessions, and knows who is locked out; knows the time.
pub trait Guard: Send + Sync {
    /// Take `least` to `most` of this from what the caller's limits leave: how many, `most` where no limit holds.
    /// What happens to who asks for more than there is, is done by then, but for the end of its session.
    ///
    /// # Errors
    /// Why there is less than `least`.
    fn take(&self, watched: &Watched, what: Counted, least: u64, most: u64) -> Result<u64, Stop>;
    /// Whether the caller's limits let anything out in clear. Who asks where they do not has asked for more than there is.
    ///
    /// # Errors
    /// Why not.
    fn room(&self, watched: &Watched) -> Result<(), Stop> {
        if watched.limits.is_empty() {
            return Ok(());
        }
        for what in [Counted::RevealedRows, Counted::RevealedColumns] {
            let taken = self.take(watched, what, 1, 1)?;
            self.give_back(watched, what, taken);
        }
        Ok(())
    }
    /// So many of what was taken have not happened.
    fn give_back(&self, watched: &Watched, what: Counted, count: u64);
    /// Why a database user, or with `actor` that end user behind it, may not be served from there; `None`: they may.
    fn locked_out(&self, user: &Name, actor: Option<&Arc<str>>, address: IpAddr) -> Option<Refusal>;
}

/// Answers requests for a reveal, over all sessions: checks one-time codes, keeps what waits for a second person. It also
/// knows the time.
pub trait Authority {
    /// What time it is.
    fn now(&self) -> Now;
    /// A session asks for a reveal that its offer allows.
    fn ask(&self, request: Request<'_>) -> Answer;
    /// What has become of a request that waits.
    fn answer(&self, id: &str) -> Waited;
    /// Nobody waits for it any more.
    fn withdraw(&self, id: &str);
    /// Somebody approves or denies another's request. `roles`: those of the policy that he has.
    ///
    /// # Errors
    /// Why it is not taken.
    fn decide(&self, id: &str, approves: bool, by: &Who, roles: &[Arc<str>]) -> Result<(), DecideError>;
    /// Somebody has looked at another's urgent reveal.
    ///
    /// # Errors
    /// Why it is not taken.
    fn review(&self, id: &str, by: &Who, roles: &[Arc<str>]) -> Result<(), DecideError>;
    /// The requests that somebody may answer, as JSON: a list of objects.
    fn requests(&self, by: &Who, roles: &[Arc<str>]) -> String;
    /// The urgent reveals that somebody may review, in the same form.
    fn reviews(&self, by: &Who, roles: &[Arc<str>]) -> String;
}

/// What time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed moment; never goes back.
    pub elapsed: Duration,
    /// Since the Unix epoch.
    pub unix: Duration,
}

/// Somebody, as far as people have to be told from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The database user.
    pub user: Name,
    /// The end user that it asserts.
    pub actor: Option<Arc<str>>,
}

/// A reveal is asked for.
pub struct Request<'a> {
    /// By whom.
    pub who: Who,
    /// In which session.
    pub session: u64,
    /// On which conditions.
    pub offer: &'a Offer,
    /// Why.
    pub reason: &'a str,
    /// For which subject only.
    pub subject: Option<Arc<str>>,
    /// The one-time code.
    pub code: Option<&'a str>,
    /// Whether it goes without approval, to be reviewed later.
    pub urgent: bool,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is granted.
    Granted {
        /// Its number.
        id: Arc<str>,
        /// Until when ([`Now::elapsed`]).
        ends: Duration,
    },
    /// A second person has to approve it.
    Waiting {
        /// Its number.
        id: Arc<str>,
    },
    /// It is not granted.
    Refused(RevealRefused),
}

/// What has become of a request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Nobody has answered.
    Still,
    /// It is approved.
    Approved {
        /// By whom.
        by: Arc<str>,
        /// Until when it holds.
        ends: Duration,
    },
    /// It is denied.
    Denied,
    /// It is not known any more: nobody has answered in time.
    Gone,
}

/// Why an answer to another's request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// There is no such request.
    #[error("no reveal of that number waits for an answer")]
    Unknown,
    /// It is his own.
    #[error("nobody answers his own request for a reveal")]
    Own,
    /// He has none of the roles that it takes.
    #[error("this reveal is for others to answer")]
    NotAllowed,
    /// It could not be kept.
    #[error("the answer could not be written down")]
    Unwritable,
}

/// Counts permitted filters on columns that the caller does not see in clear, over all sessions; knows the time.
pub trait Budgets {
    /// Take these charges from the budgets of a principal, all or none: [`crate::plan::budget::Ledger::spend`].
    fn spend(&self, payer: &Payer, charges: &[Charge<'_>]) -> Result<(), Overdrawn>;
}

/// Makes analyses of statement texts; remembers them by text and catalog version.
pub trait Analyst {
    /// The analysis of a message's text (without its terminating NUL) against the snapshot's catalog.
    /// [`Lookup::Later`]: too large to be made here; the engine then emits [`Output::Analyze`] and waits for
    /// [`super::Session::handle_analysis`].
    fn analysis(&self, snapshot: &Arc<Snapshot>, text: &[u8]) -> Lookup;
}

/// The answer of an [`Analyst`].
pub enum Lookup {
    /// Here it is.
    Ready(Arc<Analysis>),
    /// To be made elsewhere.
    Later,
}

/// What a new session is told.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Number of the session, unique on this instance since its start.
    pub id: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// Whether pgveil has a certificate to offer the client TLS with.
    pub tls_offered: bool,
    /// Whether clients without TLS are refused.
    pub tls_required: bool,
    /// Whether pgveil shows the server a certificate of its own.
    pub shows_certificate: bool,
    /// Who may come from where, and how they log in.
    pub rules: Arc<Rules>,
    /// Fresh random bytes, for this session alone.
    pub seed: Seed,
}

/// Random bytes that nobody else has. They are not printed.
#[derive(Clone, Copy, Default)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Seed")
    }
}

/// A TLS connection with the client.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// Whether the client showed a certificate; it was verified.
    pub certificate: bool,
    /// Its common name, if it has one that can be relied on.
    pub common_name: Option<Arc<str>>,
    /// What the connection ends at on this side, if a login can be bound to it.
    pub end_point: Option<EndPoint>,
}

/// Fresh random bytes for a login that is checked here.
#[derive(Clone, Copy, Default)]
pub struct Nonces {
    /// For the exchange with the client.
    pub client: Nonce,
    /// For that with the server.
    pub upstream: Nonce,
}

/// Why a login failed, for the operational log. Closed, and nothing of what the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
    /// No rule is for this client.
    #[error("no rule matches")]
    NoRule,
    /// A rule says so.
    #[error("a rule rejects it")]
    Rejected,
    /// The client's certificate is missing or is another's.
    #[error("the client certificate is not the one that the rule asks for")]
    Certificate,
    /// The password is wrong.
    #[error("wrong password")]
    Password,
    /// The login is bound to another TLS connection: somebody may be in between.
    #[error("wrong channel binding")]
    Binding,
    /// The client's messages are not those of a login.
    #[error("malformed messages")]
    Protocol,
    /// The server could not be asked for the verifier.
    #[error("the password's verifier can not be had")]
    NoVerifier,
    /// The server does not let it in.
    #[error("the server refuses it")]
    Server,
    /// The server can not let anybody in now.
    #[error("the server is not ready for it")]
    Unready,
}

impl LoginFailure {
    /// Whether it speaks against the client: a guess that was wrong, a rule that does not let it in.
    pub fn is_of_client(self) -> bool {
        match self {
            Self::NoRule | Self::Rejected | Self::Certificate | Self::Password | Self::Binding | Self::Server => true,
            Self::Protocol | Self::NoVerifier | Self::Unready => false,
        }
    }
}

impl LoginFailure {
    /// What records call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::Rejected => "rejected",
            Self::Certificate => "certificate",
            Self::Password => "password",
            Self::Binding => "binding",
            Self::Protocol => "protocol",
            Self::NoVerifier => "no_verifier",
            Self::Server => "server",
            Self::Unready => "unready",
        }
    }
}

/// Why the engine ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client said Terminate, or hung up.
    ClientLeft,
    /// The server closed the connection.
    UpstreamLeft,
    /// The client's bytes are not the protocol's.
    ClientFault,
    /// The server's bytes are not the protocol's.
    UpstreamFault,
    /// A cancel request: done.
    CancelRequest,
    /// The client may not come in like this (no TLS, replication, no policy).
    Refused,
    /// The server could not be reached.
    UpstreamUnreachable,
    /// The server refused the login.
    LoginFailed,
    /// An access event could not be written: nothing more may leave.
    AccessLogFailed,
    /// The guard: a limit is reached, or the account is locked out.
    Guard,
    /// The startup took too long.
    Timeout,
    /// pgveil is shutting down.
    Shutdown,
}

impl CloseReason {
    /// What metrics and records call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::UpstreamLeft => "upstream_left",
            Self::ClientFault => "client_fault",
            Self::UpstreamFault => "upstream_fault",
            Self::CancelRequest => "cancel_request",
            Self::Refused => "refused",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::LoginFailed => "login_failed",
            Self::AccessLogFailed => "access_log_failed",
            Self::Guard => "guard",
            Self::Timeout => "timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

/// How a client came to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsStart {
    /// It asked by SSLRequest, and `S` went out. What it sent since in clear must not be read as if it were protected.
    Asked,
    /// It began with the handshake, whose first bytes were left in the input (libpq: `sslnegotiation=direct`). It has to
    /// name the protocol by ALPN, so that no other protocol's client can be brought to speak to a database.
    Direct,
}

/// Which changes of the catalog a reading has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogChanges {
    /// All.
    All,
    /// All but of temporary objects, which matter to nobody but the session that makes them.
    Lasting,
}

/// What the shell has to do, in this order.
pub enum Output {
    /// Write to the server.
    ToUpstream(Bytes),
    /// Write to the client.
    ToClient(Bytes),
    /// Write these records to the access log, and only when that is done go on with the outputs after them. If it can not
    /// be done: drop every further output, call [`super::Session::handle_access_failed`], do what it says.
    Access(Vec<Record>),
    /// Write this record; nothing waits for it.
    Note(Record),
    /// Something was counted for this caller. If that is much of what the common store of several processes has not heard of,
    /// tell it, and only when that is done go on with the outputs after this. If it can not be done: drop every further
    /// output, call [`super::Session::handle_guard_failed`], do what it says.
    Settle(Arc<Watched>),
    /// Do the TLS handshake with the client as its server, then call [`super::Session::handle_client_tls`].
    AcceptTls(TlsStart),
    /// A login failed: count it and log it.
    LoginFailed(Name, LoginFailure),
    /// Ask the server for what it has stored of this user's password, then call [`super::Session::handle_verifier`] or
    /// [`super::Session::handle_verifier_failed`].
    FetchVerifier(Name),
    /// Connect to the server, with TLS as configured, then call [`super::Session::handle_connected`] or
    /// [`super::Session::handle_connect_failed`].
    Connect,
    /// A cancel request came: pass it on if the key is known, then close.
    Cancel(CancelKey),
    /// The login is done; cancel requests with this key are this session's.
    LoggedIn(Option<CancelKey>),
    /// Analyse this text on another thread against the newest snapshot, then call [`super::Session::handle_analysis`].
    Analyze(Bytes),
    /// Read the catalog again, if it has changed. When nothing that [`Gate::is_waiting`] for is under way, and a reading that
    /// started after that is in place (or reading failed), call [`super::Session::handle_refreshed`].
    Refresh(CatalogChanges),
    /// A message that may commit a change of the catalog is about to be sent: after a short time nobody waits for it.
    Commits(Patience),
    /// It is answered; whether it may have committed one, so that the catalog has to be read again.
    Landed(bool),
    /// The guard ends the session: call [`super::Session::handle_stopped`].
    Stop(Stop),
    /// Something to count.
    Observe(Observation),
    /// The client has said goodbye, or can not be understood any more: nothing more is taken from it. What the server still
    /// has to say goes out; when it hangs up the session ends.
    Leave,
    /// Flush what is to be written, then close both connections.
    Close(CloseReason),
}
