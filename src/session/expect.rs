//! What the server owes: one entry for each request that has an answer, in order.

use std::sync::Arc;

use bytes::Bytes;

use super::standing::Changes;
use super::statements::{Effect, Prepared, Watch};
use super::tenants::Asked;
use crate::plan::{Refusal, RowTenants, Snapshot, Verdict};
use crate::policy::Actor;
use crate::wire::backend::RowDescription;
use crate::wire::frontend::Subject;

/// What the server owes for one request.
pub(super) enum Expect {
    /// Query: results, then ReadyForQuery.
    Query(Box<QueryReply>),
    /// ParseComplete.
    Parse {
        /// The statement's name.
        name: Bytes,
        /// The statement; `None`: refused.
        prepared: Option<Arc<Prepared>>,
        /// Why it was refused.
        refusal: Option<Arc<Refusal>>,
    },
    /// ParseComplete of a text that pgveil can not read and refuses: for pgveil alone, as is the CloseComplete behind it.
    /// Where the server can not read it either, its error goes out.
    Check,
    /// CloseComplete of such a statement.
    CheckClose,
    /// ReadyForQuery of a Sync of pgveil's own, behind a check; whether it is what the client waits for.
    CheckSync {
        /// The check failed, and the server passed over the Query behind it.
        answers: bool,
    },
    /// BindComplete.
    Bind {
        /// The portal's name.
        portal: Bytes,
        /// The statement's name.
        statement: Bytes,
        /// Whether the portal's rows are looked at.
        watched: bool,
        /// Columns whose stored values are kept.
        told: Option<Arc<str>>,
        /// What it does to what the session stands for.
        changes: Option<Changes>,
        /// The changes of the catalog that it was judged by.
        epoch: u64,
        /// Whose the rows are that it shows, where its parameters say so.
        tenants: Option<Arc<RowTenants>>,
        /// Why it was refused.
        refusal: Option<Arc<Refusal>>,
    },
    /// ParseComplete of a statement in which masks are not stored, for pgveil alone.
    OwnParse,
    /// CloseComplete of the one before it, for pgveil alone.
    OwnClose,
    /// RowDescription or NoData of a portal, for pgveil alone.
    OwnDescribe {
        /// The portal's name.
        portal: Bytes,
    },
    /// The description of what a COPY will send, for pgveil alone.
    Probe(Box<Probe>),
    /// What settings are, for pgveil alone.
    Settings(Box<Asked>),
    /// ReadyForQuery, for pgveil alone.
    OwnSync,
    /// ParameterDescription, RowDescription or NoData.
    Describe {
        /// What is described.
        subject: Subject,
        /// Its name.
        name: Bytes,
    },
    /// Rows, and what ends them.
    Execute {
        /// The portal's name.
        portal: Bytes,
        /// The changes of the catalog that were known when it was sent.
        epoch: u64,
    },
    /// CloseComplete.
    Close {
        /// What is closed.
        subject: Subject,
        /// Its name.
        name: Bytes,
    },
    /// ReadyForQuery.
    Sync,
    /// FunctionCallResponse, then ReadyForQuery.
    FunctionCall {
        /// Why it was refused: an error comes, then.
        refusal: Option<Arc<Refusal>>,
    },
    /// An error: the message is malformed, which the server says better.
    Malformed {
        /// Whether ReadyForQuery comes behind it: it is a Query or a FunctionCall.
        ready: bool,
    },
    /// Nothing: here the client ended a COPY.
    CopyEnd,
}

impl Expect {
    /// Whether errors and notices of it may quote protected values.
    pub(super) fn scrubs(&self) -> bool {
        match self {
            Self::Query(reply) => reply.scrubs(),
            Self::Parse { prepared, .. } => {
                prepared.as_ref().and_then(|prepared| Watch::of(&prepared.verdict)).is_some_and(|watch| watch.scrubs())
            }
            Self::Bind { watched, .. } => *watched,
            Self::OwnDescribe { .. }
            | Self::Probe(_)
            | Self::Settings(_)
            | Self::Check
            | Self::OwnParse
            | Self::OwnClose => true,
            Self::CheckClose
            | Self::CheckSync { .. }
            | Self::Describe { .. }
            | Self::Execute { .. }
            | Self::Close { .. }
            | Self::Sync
            | Self::OwnSync
            | Self::FunctionCall { .. }
            | Self::Malformed { .. }
            | Self::CopyEnd => false,
        }
    }

    /// Whether a transaction may end here, and deferred constraints be checked.
    pub(super) fn may_end_transaction(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Execute { .. } | Self::Sync | Self::Close { .. })
    }

    /// Whether it may run a statement that changes the catalog.
    pub(super) fn may_change_catalog(&self) -> bool {
        match self {
            Self::Query(reply) => reply.steps.iter().any(|step| matches!(step.effect, Effect::ChangesCatalog { .. })),
            // What it binds is known when it is bound.
            Self::Bind { .. } => true,
            Self::Parse { .. }
            | Self::Check
            | Self::CheckClose
            | Self::CheckSync { .. }
            | Self::OwnDescribe { .. }
            | Self::Probe(_)
            | Self::Settings(_)
            | Self::OwnParse
            | Self::OwnClose
            | Self::Describe { .. }
            | Self::Execute { .. }
            | Self::Close { .. }
            | Self::Sync
            | Self::OwnSync
            | Self::FunctionCall { .. }
            | Self::Malformed { .. }
            | Self::CopyEnd => false,
        }
    }

    /// Whether a ReadyForQuery answers it.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Query(_) | Self::Sync | Self::OwnSync | Self::CheckSync { .. } | Self::FunctionCall { .. } => true,
            Self::Malformed { ready } => *ready,
            Self::Parse { .. }
            | Self::Check
            | Self::CheckClose
            | Self::Bind { .. }
            | Self::OwnDescribe { .. }
            | Self::Probe(_)
            | Self::Settings(_)
            | Self::OwnParse
            | Self::OwnClose
            | Self::Describe { .. }
            | Self::Execute { .. }
            | Self::Close { .. }
            | Self::CopyEnd => false,
        }
    }

    /// Whether an error in it makes the server skip everything until the next Sync.
    pub(super) fn skips_on_error(&self) -> bool {
        match self {
            Self::Query(_) | Self::Sync | Self::OwnSync | Self::CheckSync { .. } | Self::FunctionCall { .. } => false,
            Self::Malformed { ready } => !ready,
            Self::Parse { .. }
            | Self::Check
            | Self::CheckClose
            | Self::Bind { .. }
            | Self::OwnDescribe { .. }
            | Self::Probe(_)
            | Self::Settings(_)
            | Self::OwnParse
            | Self::OwnClose
            | Self::Describe { .. }
            | Self::Execute { .. }
            | Self::Close { .. }
            | Self::CopyEnd => true,
        }
    }
}

/// The answers to Close, Parse, Describe and Close of a query that pgveil asks about before a COPY.
pub(super) struct Probe {
    /// The query.
    pub text: Bytes,
    /// Which of them are there.
    pub at: ProbeAnswer,
    /// What the query would return.
    pub description: RowDescription,
}

/// What is awaited next of a [`Probe`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeAnswer {
    /// CloseComplete, for what an earlier one has left.
    Cleared,
    /// ParseComplete.
    Parsed,
    /// ParameterDescription.
    Parameters,
    /// RowDescription or NoData.
    Described,
    /// CloseComplete.
    Closed,
}

/// The statements of a Query and where the server is in them.
#[derive(Default)]
pub(super) struct QueryReply {
    /// What is to be done with the results in order; none: they pass, all of them.
    pub steps: Vec<Step>,
    /// The one that the server is at.
    pub at: usize,
    /// Why it was refused.
    pub refusal: Option<Arc<Refusal>>,
    /// The snapshot that it was judged under.
    pub version: u64,
    /// The changes of the catalog that this snapshot has.
    pub epoch: u64,
    /// Its text as it was read, where something may have to be judged again.
    pub text: Option<Bytes>,
    /// The end user that its comment asserts.
    pub spoken: Option<Arc<Actor>>,
    /// Whether the server has answered at all: ReadyForQuery may come.
    pub answered: bool,
}

/// One statement of a Query.
pub(super) struct Step {
    pub watch: Watch,
    pub verdict: Verdict,
    pub effect: Effect,
}

impl QueryReply {
    pub(super) fn of(steps: Vec<Step>, snapshot: &Snapshot, text: Option<Bytes>) -> Self {
        let (version, epoch) = (snapshot.version, snapshot.epoch);
        let plain = steps.iter().all(|step| step.watch.is_pass() && matches!(step.effect, Effect::None));
        Self { steps: if plain { Vec::new() } else { steps }, version, epoch, text, ..Self::default() }
    }

    pub(super) fn refused(refusal: Arc<Refusal>) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    /// Whether errors and notices of it may quote protected values: those of the statement that the server is at, or,
    /// as all of them are one transaction, of those before it.
    pub(super) fn scrubs(&self) -> bool {
        self.begun().any(Watch::scrubs)
    }

    /// What watches the statement that the server is at, and those before it.
    pub(super) fn begun(&self) -> impl Iterator<Item = &Watch> {
        self.steps.get(..=self.at).unwrap_or(&self.steps).iter().map(|step| &step.watch)
    }
}
