//! Whether a startup may go on, and how its login is made.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::asked::{database, is_false, is_true, turns_off_strings};
use crate::catalog::Name;
use crate::login::{Arrival, CertificateCheck, Method};
use crate::plan::Caller;
use crate::policy::Principal;
use crate::session::io::{ClientTls, Context, LoginFailure, Opening, RefusalReason};
use crate::wire::startup::Startup;

/// A client that has said who it wants to be.
pub(super) struct Arriving<'a> {
    pub(super) opening: &'a Opening,
    pub(super) tls: Option<&'a ClientTls>,
    pub(super) startup: &'a Startup,
}

/// How a client may log in.
pub(super) enum Admitted {
    Relayed,
    Certified,
    /// As this user, if the password is right.
    Checked(Name),
}

/// A startup that is refused.
pub(super) struct Refused {
    pub(super) reason: RefusalReason,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Arriving<'_> {
    /// Who it says it is.
    pub(super) fn principal(&self) -> Principal {
        let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
        Principal {
            user: Name::exact(&self.startup.parameter("user").map(text).unwrap_or_default()),
            member_of: BTreeSet::new(),
            actor: None,
            address: self.opening.client.ip(),
            certificate: self.tls.and_then(|tls| tls.common_name.clone()),
            application_name: self.startup.parameter("application_name").map(|name| text(name).into()),
        }
    }

    /// Why a startup may not go on.
    pub(super) fn refused(&self, context: &Context<'_>) -> Option<Refused> {
        let snapshot = context.snapshot;
        let principal = self.principal();
        let replication = self.startup.parameter("replication").is_some_and(|value| !is_false(value));
        if replication {
            let caller = Caller::new(principal, snapshot);
            if !snapshot.policy.allows_replication(&caller.roles) {
                return Some(Refused {
                    reason: RefusalReason::Protocol,
                    code: "42501",
                    message: "pgveil: replication connections are not permitted".into(),
                    hint: "Allow it for a role of the policy (replication: true), or connect to the server directly."
                        .into(),
                });
            }
        }
        let weakened = self.startup.parameter("options").is_some_and(|options| turns_off_strings(options))
            || self.startup.parameters.iter().any(|(name, value)| {
                // Names of settings fold; the first of a name as the last of it has to be harmless.
                name.eq_ignore_ascii_case(b"standard_conforming_strings") && !is_true(value)
            });
        // What is prepared and asked then is not read where it depends on that, should something be tagged later.
        if weakened && !snapshot.policy.is_empty() {
            return Some(Refused {
                reason: RefusalReason::Setting,
                code: "42501",
                message: "pgveil: parameter \"standard_conforming_strings\" can not be changed to that value".into(),
                hint: "Through pgveil it may be \"on\" only.".into(),
            });
        }
        let database = database(self.startup);
        let protected = snapshot.catalog.database();
        if !snapshot.policy.is_empty() && protected.is_some_and(|protected| *protected != database) {
            return Some(Refused {
                reason: RefusalReason::Protocol,
                code: "42501",
                message: "pgveil: connections to this database are not permitted".into(),
                hint: format!(
                    "This pgveil protects the database \"{}\" only (setting catalog.database).",
                    protected.map(Name::as_str).unwrap_or_default()
                ),
            });
        }
        None
    }

    /// How the rules let this client log in.
    pub(super) fn method(&self, context: &Context<'_>) -> Result<Admitted, LoginFailure> {
        let principal = self.principal();
        let roles = context.snapshot.catalog.roles_of(&principal.user);
        let is_member = |role: &str| roles.is_some_and(|roles| roles.contains(role));
        let (user, database) = (principal.user.as_str(), database(self.startup));
        let physical = self.startup.parameter("replication").is_some_and(|value| is_true(value));
        let rules = &self.opening.rules;
        let method = rules.method(&Arrival {
            address: principal.address,
            tls: self.tls.is_some(),
            user,
            database: database.as_str(),
            replication: physical,
            is_member: &is_member,
        });
        let shown = self.tls.is_some_and(|tls| tls.certificate);
        let passes = |check: &CertificateCheck| {
            let passes = rules.passes(check, shown, principal.certificate.as_deref(), user);
            if passes { Ok(()) } else { Err(LoginFailure::Certificate) }
        };
        // pgveil and the server must not understand a name differently where it is pgveil that lets it in
        let plain = self.startup.parameter("user").is_some_and(|user| std::str::from_utf8(user).is_ok());
        match method {
            None => Err(LoginFailure::NoRule),
            Some(Method::Reject) => Err(LoginFailure::Rejected),
            Some(Method::Relay(check)) => check.as_ref().map_or(Ok(()), passes).map(|()| Admitted::Relayed),
            Some(Method::Scram(_) | Method::Cert(_)) if !plain => Err(LoginFailure::NoRule),
            Some(Method::Scram(check)) => {
                check.as_ref().map_or(Ok(()), passes).map(|()| Admitted::Checked(principal.user.clone()))
            }
            Some(Method::Cert(check)) => passes(check).map(|()| Admitted::Certified),
        }
    }

    /// What a client is told that the rules turn away, as PostgreSQL says it.
    pub(super) fn turned_away(&self, failure: LoginFailure) -> String {
        let (principal, database) = (self.principal(), database(self.startup));
        let encryption = if self.tls.is_some() { "SSL encryption" } else { "no encryption" };
        let whose = format!(
            "for host \"{}\", user \"{}\", database \"{database}\", {encryption}",
            principal.address, principal.user
        );
        match failure {
            LoginFailure::Rejected => format!("pgveil: a rule rejects connections {whose}"),
            LoginFailure::Certificate => {
                format!("pgveil: connection requires a valid client certificate of user \"{}\"", principal.user)
            }
            _ => format!("pgveil: there is no rule {whose}"),
        }
    }
}
