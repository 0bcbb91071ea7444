//! The authenticated caller.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::Actor;
use crate::catalog::Name;

/// Who asks, as far as rules can tell callers apart. `SET ROLE` does not change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The database user that logged in.
    pub user: Name,
    /// The PostgreSQL roles that this user holds, directly or through others, itself left out.
    pub member_of: BTreeSet<Name>,
    /// The end user that a trusted account has asserted.
    pub actor: Option<Arc<Actor>>,
    /// The client's address.
    pub address: IpAddr,
    /// The common name of the client's certificate, if it showed one that was verified.
    pub certificate: Option<Arc<str>>,
    /// What the client calls itself. Forgeable: narrows, never widens.
    pub application_name: Option<Arc<str>>,
}
