//! Everything that is written down.

use super::activity::{
    Administration, EntitiesSeen, Filtered, KeyUse, Login, LoginFailed, Logout, Refused, Reload, Suppressed,
};
use super::event::{AccessEvent, Closing};
use super::guard::GuardEvent;
use super::reveal::{ActorStep, RevealStep};

/// One record of the access log: one line of it. Holds no value, no parameter and no literal.
///
/// A further kind is a variant here, with a type that says what happened, and its fields in `line.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A column was revealed.
    Reveal(AccessEvent),
    /// An execution ended whose reveals had no row count.
    Closing(Closing),
    /// Keys of rows that were seen, more than fit into one record.
    Entities(EntitiesSeen),
    /// Somebody was let in.
    Login(Login),
    /// Somebody was not let in.
    LoginFailed(LoginFailed),
    /// A session has ended.
    Logout(Logout),
    /// A statement was refused.
    Refused(Refused),
    /// A filter on a column that its caller does not see in clear was permitted.
    Filtered(Filtered),
    /// A key was used by a session for the first time.
    KeyUse(KeyUse),
    /// A limit was exceeded, an account locked out or let in again.
    Guard(GuardEvent),
    /// Policy, keys, certificates or login rules were read again.
    Reload(Reload),
    /// Something that who runs pgveil has done.
    Administration(Administration),
    /// A reveal on request was asked for, granted, refused or ended.
    RevealStep(RevealStep),
    /// An end user was asserted, or was not.
    ActorStep(ActorStep),
    /// Records that were not written, for there were too many of their kind.
    Suppressed(Suppressed),
}

impl Record {
    /// The kind that its line names.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reveal(_) => "reveal",
            Self::Closing(_) => "close",
            Self::Entities(_) => "entities",
            Self::Login(_) => "login",
            Self::LoginFailed(_) => "login_failed",
            Self::Logout(_) => "logout",
            Self::Refused(_) => "refusal",
            Self::Filtered(_) => "filter",
            Self::KeyUse(_) => "key_use",
            Self::Guard(_) => "guard",
            Self::Reload(_) => "reload",
            Self::Administration(_) => "admin",
            Self::RevealStep(step) => step.change.kind(),
            Self::ActorStep(step) => step.change.kind(),
            Self::Suppressed(_) => "suppressed",
        }
    }
}

impl From<AccessEvent> for Record {
    fn from(event: AccessEvent) -> Self {
        Self::Reveal(event)
    }
}

impl From<Closing> for Record {
    fn from(closing: Closing) -> Self {
        Self::Closing(closing)
    }
}

impl From<GuardEvent> for Record {
    fn from(event: GuardEvent) -> Self {
        Self::Guard(event)
    }
}
