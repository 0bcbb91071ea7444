//! What there is to count of judgements and deliveries. Labels are closed sets; tags are the policy's own names.

use std::sync::Arc;

use crate::policy::Counted;

/// Something to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A statement was judged.
    Statement(VerdictLabel),
    /// A statement was refused.
    Refusal(RefusalReason),
    /// A restrictive default was taken because something is not known.
    RestrictiveDefault(RestrictiveReason),
    /// An execution delivered a column with this tag masked, hidden or redacted.
    ColumnMasked(Arc<str>),
    /// An execution delivered a column with this tag in clear.
    ColumnRevealed(Arc<str>),
    /// An execution delivered values of unknown origin to who sees everything in clear.
    UnknownRevealed,
    /// An execution looked so often at columns with this tag by permitted filters, though they are not clear to the caller.
    Filters(Arc<str>, u64),
    /// A mask of this tag came back in an UPDATE: the stored value was kept.
    MaskKept(Arc<str>),
    /// A value of this tag that may be a mask came in an UPDATE: the server compares it with what is stored.
    MaskCompared(Arc<str>),
    /// The server sent an error whose text was scrubbed.
    ErrorScrubbed,
}

/// What was decided for a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerdictLabel {
    /// Touches nothing tagged: untouched.
    Passed,
    /// Results are rewritten or watched.
    Protected,
    /// Refused.
    Refused,
}

/// Why a statement was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// A column is denied to the caller.
    Denied,
    /// A filter on a column that the column's filter mode does not allow.
    Filter,
    /// A reveal on request that is not granted.
    Reveal,
    /// An end user who is not asserted.
    Actor,
    /// A filter on a column whose inference budget is used up.
    Budget,
    /// A tagged value would be written into an untagged column.
    Write,
    /// A mask would be stored over a real value, or in a new row.
    WriteBack,
    /// Not understood, and names something tagged.
    NotUnderstood,
    /// A kind of statement that is not allowed to touch tagged data.
    Kind,
    /// A function that evaluates strings, reads files or other sessions.
    Function,
    /// COPY of tagged data.
    Copy,
    /// A replication connection, or a fast-path call.
    Protocol,
    /// A setting that would make statements read differently.
    Setting,
    /// The access log can not be written.
    AccessLog,
    /// A limit of the guard is reached, or what it counts in can not be reached.
    Guard,
    /// The account is locked out.
    LockedOut,
    /// What an encrypted column can not do, or a value that can not be encrypted.
    Encrypted,
}

impl RefusalReason {
    /// What metrics and records call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Filter => "filter",
            Self::Reveal => "reveal",
            Self::Actor => "actor",
            Self::Budget => "budget",
            Self::Write => "write",
            Self::WriteBack => "write_back",
            Self::Encrypted => "encrypted",
            Self::NotUnderstood => "not_understood",
            Self::Kind => "kind",
            Self::Function => "function",
            Self::Copy => "copy",
            Self::Protocol => "protocol",
            Self::Setting => "setting",
            Self::AccessLog => "access_log",
            Self::Guard => "guard",
            Self::LockedOut => "locked_out",
        }
    }

    /// What the guard counts it as; nothing where it does not speak against the caller.
    pub fn counted(self) -> &'static [Counted] {
        match self {
            Self::Filter | Self::Budget => &[Counted::InferenceProbes, Counted::Refusals],
            Self::Denied
            | Self::Reveal
            | Self::Actor
            | Self::Write
            | Self::WriteBack
            | Self::NotUnderstood
            | Self::Kind
            | Self::Function
            | Self::Copy
            | Self::Protocol
            | Self::Setting => &[Counted::Refusals],
            Self::AccessLog | Self::Encrypted | Self::Guard | Self::LockedOut => &[],
        }
    }
}

/// Why a restrictive default was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestrictiveReason {
    /// The origin of a result column is not known.
    UnknownOrigin,
    /// The server's RowDescription contradicts the lineage.
    Contradiction,
    /// A type that no value can be built of.
    UnknownType,
    /// The two readers disagree.
    Disagreement,
    /// Not understood.
    NotUnderstood,
    /// A row or cell that is not shaped as announced.
    MalformedCell,
}
