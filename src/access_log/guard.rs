//! What the guard does: breaches of limits, accounts locked out and let in again.

use std::net::IpAddr;
use std::sync::Arc;

use crate::catalog::Name;

/// Something that the guard, or somebody who commands it, has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardEvent {
    /// What.
    pub action: GuardAction,
    /// The limit that it is about; `None`: somebody did it by hand.
    pub limit: Option<Arc<str>>,
    /// The rule, as `file:line`.
    pub rule: Option<Arc<str>>,
    /// The database user.
    pub user: Option<Name>,
    /// The end user that it asserts.
    pub actor: Option<Arc<str>>,
    /// Where it comes from, or what address it is locked out from.
    pub client_address: Option<IpAddr>,
    /// Who did it, where somebody did it by hand.
    pub by: Option<Arc<str>>,
    /// Why, in the words of who did it by hand.
    pub reason: Option<Arc<str>>,
    /// Until when a lock holds (RFC 3339); `None`: until it is taken away.
    pub until: Option<Arc<str>>,
}

/// What the guard does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardAction {
    /// A limit was exceeded: told once in the limit's time.
    Breach,
    /// An account was locked out.
    Lock,
    /// It was let in again.
    Unlock,
}
