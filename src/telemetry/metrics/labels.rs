//! Label values: closed sets, each with its names and all its members.

use crate::session::io::{CloseReason, RefusalReason, RestrictiveReason, VerdictLabel};

/// Where a client connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Before the login is done.
    Startup,
    /// Logged in.
    Open,
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Passed on to the server.
    Forwarded,
    /// No session has this key.
    UnknownKey,
    /// The server could not be reached.
    Failed,
}

/// One of the two connections of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// Client and pgveil.
    Client,
    /// pgveil and PostgreSQL.
    Upstream,
}

/// Which way bytes went, seen from pgveil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Read by pgveil.
    Received,
    /// Written by pgveil.
    Sent,
}

/// What a version of a key of encrypted columns is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLabel {
    /// Writes and reads.
    Active,
    /// Reads.
    Retired,
    /// Gone for ever.
    Destroyed,
    /// Not destroyed, and can not be unwrapped.
    Unavailable,
}

impl KeyLabel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Retired, Self::Destroyed, Self::Unavailable];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
            Self::Unavailable => "unavailable",
        }
    }
}

impl ConnectionState {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Open => "open",
        }
    }
}

pub(super) const CLOSE_REASONS: [CloseReason; 12] = [
    CloseReason::ClientLeft,
    CloseReason::UpstreamLeft,
    CloseReason::ClientFault,
    CloseReason::UpstreamFault,
    CloseReason::CancelRequest,
    CloseReason::Refused,
    CloseReason::UpstreamUnreachable,
    CloseReason::LoginFailed,
    CloseReason::AccessLogFailed,
    CloseReason::Guard,
    CloseReason::Timeout,
    CloseReason::Shutdown,
];

pub(super) fn verdict_label(verdict: VerdictLabel) -> &'static str {
    match verdict {
        VerdictLabel::Passed => "passed",
        VerdictLabel::Protected => "protected",
        VerdictLabel::Refused => "refused",
    }
}

pub(super) const REFUSAL_REASONS: [RefusalReason; 17] = [
    RefusalReason::Denied,
    RefusalReason::Filter,
    RefusalReason::Reveal,
    RefusalReason::Actor,
    RefusalReason::Budget,
    RefusalReason::Write,
    RefusalReason::WriteBack,
    RefusalReason::Encrypted,
    RefusalReason::NotUnderstood,
    RefusalReason::Kind,
    RefusalReason::Function,
    RefusalReason::Copy,
    RefusalReason::Protocol,
    RefusalReason::Setting,
    RefusalReason::AccessLog,
    RefusalReason::Guard,
    RefusalReason::LockedOut,
];

pub(super) const RESTRICTIVE_REASONS: [RestrictiveReason; 6] = [
    RestrictiveReason::UnknownOrigin,
    RestrictiveReason::Contradiction,
    RestrictiveReason::UnknownType,
    RestrictiveReason::Disagreement,
    RestrictiveReason::NotUnderstood,
    RestrictiveReason::MalformedCell,
];

pub(super) fn restrictive_label(reason: RestrictiveReason) -> &'static str {
    match reason {
        RestrictiveReason::UnknownOrigin => "unknown_origin",
        RestrictiveReason::Contradiction => "contradiction",
        RestrictiveReason::UnknownType => "unknown_type",
        RestrictiveReason::Disagreement => "disagreement",
        RestrictiveReason::NotUnderstood => "not_understood",
        RestrictiveReason::MalformedCell => "malformed_cell",
    }
}

pub(super) fn cancel_label(outcome: CancelOutcome) -> &'static str {
    match outcome {
        CancelOutcome::Forwarded => "forwarded",
        CancelOutcome::UnknownKey => "unknown_key",
        CancelOutcome::Failed => "failed",
    }
}

pub(super) const BYTE_FLOWS: [(Leg, Direction); 4] = [
    (Leg::Client, Direction::Received),
    (Leg::Client, Direction::Sent),
    (Leg::Upstream, Direction::Received),
    (Leg::Upstream, Direction::Sent),
];

pub(super) fn bytes_label((leg, direction): (Leg, Direction)) -> &'static str {
    match (leg, direction) {
        (Leg::Client, Direction::Received) => "client_received",
        (Leg::Client, Direction::Sent) => "client_sent",
        (Leg::Upstream, Direction::Received) => "upstream_received",
        (Leg::Upstream, Direction::Sent) => "upstream_sent",
    }
}
