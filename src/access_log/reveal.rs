//! Reveals on request and the end users that accounts assert: what is asked, granted, refused and ended.

use std::sync::Arc;

use super::event::Visit;

/// On what grounds a column was revealed on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// The grant's number.
    pub grant: Arc<str>,
    /// The reason that was given. Free text of a person: it is written here and nowhere else.
    pub reason: Arc<str>,
}

/// Something happened to a reveal on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealStep {
    /// By whom.
    pub visit: Arc<Visit>,
    /// Its number.
    pub grant: Arc<str>,
    /// What.
    pub change: RevealChange,
}

/// What happens to a reveal on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevealChange {
    /// It was asked for, and waits for a second person.
    Asked(RevealTerms),
    /// It was granted.
    Granted(RevealTerms),
    /// It was refused.
    Refused {
        /// Why.
        why: RevealRefused,
        /// The reason that was given, as far as it was read.
        reason: Arc<str>,
    },
    /// It has ended.
    Ended {
        /// Why.
        why: RevealEnd,
        /// How many rows it showed.
        rows: u64,
    },
    /// A second person has approved it.
    Approved,
    /// A second person has denied it.
    Denied,
    /// A second person has looked at an urgent one.
    Reviewed,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevealTerms {
    /// The policy's roles that offer it.
    pub role: Arc<str>,
    /// `file:line` of their rules.
    pub rule: Arc<str>,
    /// The tags, with commas between them.
    pub tags: Arc<str>,
    /// Why. Free text of a person.
    pub reason: Arc<str>,
    /// For which subject only: `customer:42`.
    pub subject: Option<Arc<str>>,
    /// For how long.
    pub seconds: u64,
    /// For how many rows.
    pub rows: Option<u64>,
    /// Whether a one-time code was given.
    pub totp: bool,
    /// Who has approved it.
    pub approved_by: Option<Arc<str>>,
    /// Whether it was urgent, and has to be reviewed.
    pub urgent: bool,
}

/// Why a reveal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevealRefused {
    /// No role of the caller offers one.
    NotOffered,
    /// The reason is not what it has to look like.
    Reason,
    /// The subject is missing, or of an unknown sort.
    Subject,
    /// The one-time code is missing.
    CodeMissing,
    /// It is wrong, or was used before.
    CodeWrong,
    /// Too many wrong ones.
    CodeLocked,
    /// There is no secret to check it with.
    CodeUnknown,
    /// Too many requests wait.
    Busy,
    /// It could not be written down.
    Unwritable,
}

/// Why a reveal has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevealEnd {
    /// Its time is over.
    Expired,
    /// Its rows are used up.
    UsedUp,
    /// The caller has ended it.
    Reset,
    /// The transaction that it was for, or asked for in, is over.
    Transaction,
    /// Another one was asked for.
    Replaced,
    /// Another end user is asserted.
    ActorChanged,
    /// The policy or the caller's roles do not allow it any more.
    Revoked,
    /// A second person has denied it, or nobody has answered in time.
    NotApproved,
    /// The session is over.
    SessionOver,
}

/// An account has asserted an end user, or was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorStep {
    /// By whom.
    pub visit: Arc<Visit>,
    /// What has become of it.
    pub change: ActorChange,
}

/// What has become of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorChange {
    /// The session speaks for this end user from now on.
    Asserted {
        /// Who.
        actor: Arc<str>,
        /// Whether a token proves it.
        signed: bool,
    },
    /// It was refused; a closed set of words says why.
    Refused(Arc<str>),
    /// The session speaks for nobody.
    Ended,
}

impl RevealChange {
    /// The kind that its line names.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asked(_) => "reveal_asked",
            Self::Granted(_) => "reveal_granted",
            Self::Refused { .. } => "reveal_refused",
            Self::Ended { .. } => "reveal_ended",
            Self::Approved => "reveal_approved",
            Self::Denied => "reveal_denied",
            Self::Reviewed => "reveal_reviewed",
        }
    }
}

impl ActorChange {
    /// The kind that its line names.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asserted { .. } => "actor_asserted",
            Self::Refused(_) => "actor_refused",
            Self::Ended => "actor_ended",
        }
    }
}

impl RevealRefused {
    /// One word, for the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotOffered => "not_offered",
            Self::Reason => "reason",
            Self::Subject => "subject",
            Self::CodeMissing => "code_missing",
            Self::CodeWrong => "code_wrong",
            Self::CodeLocked => "code_locked",
            Self::CodeUnknown => "code_unknown",
            Self::Busy => "busy",
            Self::Unwritable => "unwritable",
        }
    }
}

impl RevealEnd {
    /// One word, for the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::UsedUp => "used_up",
            Self::Reset => "reset",
            Self::Transaction => "transaction",
            Self::Replaced => "replaced",
            Self::ActorChanged => "actor_changed",
            Self::Revoked => "revoked",
            Self::NotApproved => "not_approved",
            Self::SessionOver => "session_over",
        }
    }
}
