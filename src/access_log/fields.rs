//! The fields of each kind of record, in the order in which its line has them.
//!
//! What is documented here is what the JSON schema and the reference say.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::activity::{
    Administration, EntitiesSeen, Filtered, KeyUse, Login, LoginFailed, LoginMethod, Logout, Refused, Reload, Reloaded,
    Suppressed, Trigger,
};
use super::endpoint::Endpoint;
use super::entity::Entities;
use super::event::{AccessEvent, Action, Closing, How, RevealedColumn, Visit};
use super::guard::{GuardAction, GuardEvent};
use super::reveal::{ActorChange, ActorStep, RevealChange, RevealStep};
use crate::catalog::Name;

/// A tagged column was shown in clear by an execution. On disk before the first of its bytes leaves.
#[derive(Serialize, JsonSchema)]
pub(super) struct RevealFields<'a> {
    /// The database user that logged in.
    user: &'a str,
    /// The end user that a trusted application asserts.
    actor: Option<&'a str>,
    /// The policy's role that the decision came from.
    role: Option<&'a str>,
    /// The rule, as `file:line`.
    rule: &'a str,
    /// The database.
    database: &'a str,
    /// The tenant that the session has set, where the policy binds encrypted values to that setting.
    tenant: Option<&'a str>,
    /// The tagged column's schema. Null, as table, column and tag are, where the values' origin is not known.
    schema: Option<&'a str>,
    /// Its table.
    table: Option<&'a str>,
    /// The column.
    column: Option<&'a str>,
    /// Its tag.
    tag: Option<&'a str>,
    /// `clear`: as stored; `decrypted`: opened by pgveil.
    how: &'static str,
    /// `view`, or `export`: COPY, or a result of more rows than anybody looks at.
    action: &'static str,
    /// Keyed hash of the statement's shape.
    fingerprint: String,
    /// Rows of the result; null: a `close` record of the same execution has it.
    rows: Option<u64>,
    /// The client's address.
    client_address: IpAddr,
    /// The client's port.
    client_port: u16,
    /// What the client calls itself.
    application_name: Option<&'a str>,
    /// pgveil's number of the session, unique from its start on.
    session: u64,
    /// The execution within the session.
    execution: u64,
    /// What the application says of itself in a comment (sqlcommenter).
    endpoint: Option<&'a Endpoint>,
    /// Whose rows they are. Of results that were not complete before anything had to leave, the `entities` and `close`
    /// records of the same execution say it.
    entities: &'a [Entities],
    /// The grant of a reveal on request that it was shown under.
    grant: Option<&'a str>,
    /// The reason that was given for it.
    reason: Option<&'a str>,
}

/// An execution ended whose reveals had no number of rows.
#[derive(Serialize, JsonSchema)]
pub(super) struct CloseFields<'a> {
    /// The session.
    session: u64,
    /// The execution.
    execution: u64,
    /// Rows that went out.
    rows: u64,
    /// Whether the result came to its end.
    complete: bool,
    /// The database user.
    user: &'a str,
    /// `view` or `export`: known better now.
    action: &'static str,
    /// Whose rows they were, as far as no record says it before.
    entities: &'a [Entities],
}

/// Keys of rows that were seen, more than fit into one record.
#[derive(Serialize, JsonSchema)]
pub(super) struct EntitiesFields<'a> {
    /// The session.
    session: u64,
    /// The execution.
    execution: u64,
    /// The database user.
    user: &'a str,
    /// Whose rows they are.
    entities: &'a [Entities],
}

/// Who came from where: part of most records.
#[derive(Serialize, JsonSchema)]
pub(super) struct VisitFields<'a> {
    /// The database user, as it logged in or said it was.
    user: &'a str,
    /// The end user that a trusted application asserts.
    actor: Option<&'a str>,
    /// The database.
    database: &'a str,
    /// The client's address.
    client_address: IpAddr,
    /// The client's port.
    client_port: u16,
    /// What the client calls itself.
    application_name: Option<&'a str>,
    /// pgveil's number of the session.
    session: u64,
}

/// Somebody was let in.
#[derive(Serialize, JsonSchema)]
pub(super) struct LoginFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// `relayed`: the server asked; `scram-sha-256`: pgveil checked the password; `cert`: the client's certificate.
    method: &'static str,
    /// Whether the client's connection is encrypted.
    tls: bool,
    /// The common name of the client's certificate.
    certificate: Option<&'a str>,
}

/// Somebody was not let in.
#[derive(Serialize, JsonSchema)]
pub(super) struct LoginFailedFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// Why: `no_rule`, `rejected`, `certificate`, `password`, `binding`, `protocol`, `no_verifier`, `server`, or what of the
    /// startup was refused.
    reason: &'static str,
    /// Whether the client's connection is encrypted.
    tls: bool,
}

/// A session that was let in has ended.
#[derive(Serialize, JsonSchema)]
pub(super) struct LogoutFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// Why: `client_left`, `upstream_left`, `shutdown` and so on.
    reason: &'static str,
    /// How many executions of it revealed something.
    executions: u64,
}

/// A statement was refused.
#[derive(Serialize, JsonSchema)]
pub(super) struct RefusalFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// Why: `denied`, `filter`, `budget`, `write`, `not_understood` and so on, as the metric has it.
    reason: &'static str,
    /// What the client was told.
    sqlstate: &'static str,
    /// The tagged column that it is about, as `schema.table.column`.
    object: Option<&'a str>,
    /// The rule, as `file:line`.
    rule: Option<&'a str>,
}

/// A filter on a column that its caller does not see in clear was permitted, and ran.
#[derive(Serialize, JsonSchema)]
pub(super) struct FilterFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// `filter`.
    action: &'static str,
    /// The tagged column's schema.
    schema: &'a str,
    /// Its table.
    table: &'a str,
    /// The column.
    column: &'a str,
    /// Its tag.
    tag: &'a str,
    /// The rule that permits it, as `file:line`.
    rule: &'a str,
    /// How often it was looked at: each constant of a list counts.
    times: u64,
    /// What the application says of itself.
    endpoint: Option<&'a Endpoint>,
}

/// A key of encrypted columns was used by a session for the first time.
#[derive(Serialize, JsonSchema)]
pub(super) struct KeyUseFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// The key's name in the keyring.
    key: &'a str,
    /// The column, as `schema.table.column`.
    object: &'a str,
}

/// A limit of the policy was exceeded, an account was locked out or let in again.
#[derive(Serialize, JsonSchema)]
pub(super) struct GuardFields<'a> {
    /// `breach`: told once in the limit's time; `lock`; `unlock`: by hand, or because its time is over.
    action: &'static str,
    /// The limit; null: somebody did it by hand.
    limit: Option<&'a str>,
    /// The limit's place in the policy, as `file:line`.
    rule: Option<&'a str>,
    /// The database user; null: everybody who comes from that address.
    user: Option<&'a str>,
    /// The end user that a trusted application asserts.
    actor: Option<&'a str>,
    /// Where a breach came from, or what address is locked out; null: all are.
    client_address: Option<IpAddr>,
    /// Who did it by hand.
    by: Option<&'a str>,
    /// Why, in the words of who did it by hand.
    reason: Option<&'a str>,
    /// Until when a lock holds; null: until it is taken away.
    until: Option<&'a str>,
}

/// Policy, keys, certificates or login rules were read again.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReloadFields<'a> {
    /// `policy`, `keyring`, `tls` or `login_rules`.
    what: &'static str,
    /// `start`, `signal` or `file`.
    trigger: &'static str,
    /// Whether it is in force; else what was before stays so.
    ok: bool,
    /// How many policies have been put in force since the start.
    generation: u64,
    /// SHA-256 of the policy in force.
    policy_sha256: &'a str,
}

/// Something that who runs pgveil has done.
#[derive(Serialize, JsonSchema)]
pub(super) struct AdminFields<'a> {
    /// `start`, `stop`, `reload`, or a command of the program.
    action: &'a str,
    /// What it was done to: a key's name.
    object: Option<&'a str>,
    /// The program's version.
    version: &'static str,
    /// SHA-256 of the settings in force, secrets left out.
    settings_sha256: Option<&'a str>,
    /// The operating system's user, by number.
    uid: Option<u32>,
}

/// Records came faster than they are written down: so many of one kind and user were not.
#[derive(Serialize, JsonSchema)]
pub(super) struct SuppressedFields<'a> {
    /// Their kind. (`kind` is this record's own.)
    of: &'static str,
    /// Whose they were; null: of more users than are told apart.
    user: Option<&'a str>,
    /// The column that they were about, as `schema.table.column`.
    object: Option<&'a str>,
    /// How many.
    count: u64,
}

/// A step of a reveal on request: it was asked for and waits, was granted, refused, has ended; or somebody else has approved,
/// denied or reviewed it.
#[derive(Serialize, JsonSchema)]
pub(super) struct GrantFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// Its number, which reveals under it have as `grant`.
    grant: &'a str,
    /// The policy's roles that offer it.
    role: Option<&'a str>,
    /// Their rules, as `file:line`.
    rule: Option<&'a str>,
    /// The tags, with commas between them.
    tags: Option<&'a str>,
    /// The reason that was given.
    reason: Option<&'a str>,
    /// The one subject that it is for: `customer:42`.
    subject: Option<&'a str>,
    /// For how long, in seconds.
    seconds: Option<u64>,
    /// For how many rows; of one that has ended, how many it showed.
    rows: Option<u64>,
    /// Whether a one-time code was given.
    totp: Option<bool>,
    /// Who has approved it.
    approved_by: Option<&'a str>,
    /// Whether it was urgent, and has to be reviewed.
    urgent: Option<bool>,
    /// Why it was refused or has ended: a word of a closed set.
    why: Option<&'static str>,
}

/// An account has asserted an end user, was not believed, or speaks for nobody any more.
#[derive(Serialize, JsonSchema)]
pub(super) struct ActorFields<'a> {
    #[serde(flatten)]
    visit: VisitFields<'a>,
    /// Who.
    asserted: Option<&'a str>,
    /// Whether a token proves it.
    signed: Option<bool>,
    /// Why it was refused: a word of a closed set.
    why: Option<&'a str>,
}

fn action(action: Action) -> &'static str {
    match action {
        Action::View => "view",
        Action::Export => "export",
    }
}

impl<'a> From<&'a AccessEvent> for RevealFields<'a> {
    fn from(event: &'a AccessEvent) -> Self {
        let AccessEvent {
            visit,
            execution,
            role,
            rule,
            column,
            how,
            action: done,
            fingerprint,
            rows,
            endpoint,
            tenant,
            entities,
            grounds,
        } = event;
        let grounds = grounds.as_ref();
        let column = column.as_ref();
        Self {
            user: visit.user.as_str(),
            actor: visit.actor.as_deref(),
            role: role.as_deref(),
            rule,
            database: visit.database.as_str(),
            tenant: tenant.as_deref(),
            schema: column.map(|known| known.schema.as_str()),
            table: column.map(|known| known.table.as_str()),
            column: column.map(|known| known.column.as_str()),
            tag: column.map(|known| &*known.tag),
            how: match how {
                How::Clear => "clear",
                How::Decrypted => "decrypted",
            },
            action: action(*done),
            fingerprint: format!("{fingerprint:016x}"),
            rows: *rows,
            client_address: visit.client.ip(),
            client_port: visit.client.port(),
            application_name: visit.application_name.as_deref(),
            session: visit.session,
            execution: *execution,
            endpoint: endpoint.as_deref(),
            entities,
            grant: grounds.map(|grounds| &*grounds.grant),
            reason: grounds.map(|grounds| &*grounds.reason),
        }
    }
}

impl<'a> From<&'a Closing> for CloseFields<'a> {
    fn from(closing: &'a Closing) -> Self {
        let Closing { visit, execution, rows, complete, action: done, entities } = closing;
        Self {
            session: visit.session,
            execution: *execution,
            rows: *rows,
            complete: *complete,
            user: visit.user.as_str(),
            action: action(*done),
            entities,
        }
    }
}

impl<'a> From<&'a EntitiesSeen> for EntitiesFields<'a> {
    fn from(seen: &'a EntitiesSeen) -> Self {
        let EntitiesSeen { visit, execution, entities } = seen;
        Self { session: visit.session, execution: *execution, user: visit.user.as_str(), entities }
    }
}

impl<'a> From<&'a Visit> for VisitFields<'a> {
    fn from(visit: &'a Visit) -> Self {
        Self {
            user: visit.user.as_str(),
            actor: visit.actor.as_deref(),
            database: visit.database.as_str(),
            client_address: visit.client.ip(),
            client_port: visit.client.port(),
            application_name: visit.application_name.as_deref(),
            session: visit.session,
        }
    }
}

impl<'a> From<&'a Login> for LoginFields<'a> {
    fn from(login: &'a Login) -> Self {
        let Login { visit, method, tls, certificate } = login;
        let method = match method {
            LoginMethod::Relayed => "relayed",
            LoginMethod::Password => "scram-sha-256",
            LoginMethod::Certificate => "cert",
        };
        Self { visit: (&**visit).into(), method, tls: *tls, certificate: certificate.as_deref() }
    }
}

impl<'a> From<&'a LoginFailed> for LoginFailedFields<'a> {
    fn from(failed: &'a LoginFailed) -> Self {
        let LoginFailed { visit, reason, tls } = failed;
        Self { visit: (&**visit).into(), reason, tls: *tls }
    }
}

impl<'a> From<&'a Logout> for LogoutFields<'a> {
    fn from(logout: &'a Logout) -> Self {
        let Logout { visit, reason, executions } = logout;
        Self { visit: (&**visit).into(), reason, executions: *executions }
    }
}

impl<'a> From<&'a Refused> for RefusalFields<'a> {
    fn from(refused: &'a Refused) -> Self {
        let Refused { visit, reason, code, column, rule } = refused;
        let visit = (&**visit).into();
        Self { visit, reason, sqlstate: code, object: column.as_deref(), rule: rule.as_deref() }
    }
}

impl<'a> From<&'a Filtered> for FilterFields<'a> {
    fn from(filtered: &'a Filtered) -> Self {
        let Filtered { visit, column, rule, times, endpoint } = filtered;
        let RevealedColumn { schema, table, column, tag } = column;
        Self {
            visit: (&**visit).into(),
            action: "filter",
            schema: schema.as_str(),
            table: table.as_str(),
            column: column.as_str(),
            tag,
            rule,
            times: *times,
            endpoint: endpoint.as_deref(),
        }
    }
}

impl<'a> From<&'a KeyUse> for KeyUseFields<'a> {
    fn from(used: &'a KeyUse) -> Self {
        let KeyUse { visit, key, column } = used;
        Self { visit: (&**visit).into(), key, object: column }
    }
}

impl<'a> From<&'a Reload> for ReloadFields<'a> {
    fn from(reload: &'a Reload) -> Self {
        let Reload { what, trigger, ok, generation, policy } = reload;
        let what = match what {
            Reloaded::Policy => "policy",
            Reloaded::Keyring => "keyring",
            Reloaded::Tls => "tls",
            Reloaded::LoginRules => "login_rules",
        };
        let trigger = match trigger {
            Trigger::Start => "start",
            Trigger::Signal => "signal",
            Trigger::Change => "file",
        };
        Self { what, trigger, ok: *ok, generation: *generation, policy_sha256: policy }
    }
}

impl<'a> From<&'a Administration> for AdminFields<'a> {
    fn from(done: &'a Administration) -> Self {
        let Administration { action, object, version, settings, uid } = done;
        let settings_sha256 = settings.as_deref();
        Self { action, object: object.as_deref(), version, settings_sha256, uid: *uid }
    }
}

impl<'a> From<&'a GuardEvent> for GuardFields<'a> {
    fn from(event: &'a GuardEvent) -> Self {
        let GuardEvent { action, limit, rule, user, actor, client_address, by, reason, until } = event;
        Self {
            action: match action {
                GuardAction::Breach => "breach",
                GuardAction::Lock => "lock",
                GuardAction::Unlock => "unlock",
            },
            limit: limit.as_deref(),
            rule: rule.as_deref(),
            user: user.as_ref().map(Name::as_str),
            actor: actor.as_deref(),
            client_address: *client_address,
            by: by.as_deref(),
            reason: reason.as_deref(),
            until: until.as_deref(),
        }
    }
}

impl<'a> From<&'a RevealStep> for GrantFields<'a> {
    fn from(step: &'a RevealStep) -> Self {
        let RevealStep { visit, grant, change } = step;
        let (terms, reason, rows, why) = match change {
            RevealChange::Asked(terms) | RevealChange::Granted(terms) => {
                (Some(terms), Some(&*terms.reason), terms.rows, None)
            }
            RevealChange::Refused { why, reason } => (None, Some(&**reason), None, Some(why.word())),
            RevealChange::Ended { why, rows } => (None, None, Some(*rows), Some(why.word())),
            RevealChange::Approved | RevealChange::Denied | RevealChange::Reviewed => (None, None, None, None),
        };
        Self {
            visit: (&**visit).into(),
            grant,
            role: terms.map(|terms| &*terms.role),
            rule: terms.map(|terms| &*terms.rule),
            tags: terms.map(|terms| &*terms.tags),
            reason,
            subject: terms.and_then(|terms| terms.subject.as_deref()),
            seconds: terms.map(|terms| terms.seconds),
            rows,
            totp: terms.map(|terms| terms.totp),
            approved_by: terms.and_then(|terms| terms.approved_by.as_deref()),
            urgent: terms.map(|terms| terms.urgent),
            why,
        }
    }
}

impl<'a> From<&'a ActorStep> for ActorFields<'a> {
    fn from(step: &'a ActorStep) -> Self {
        let ActorStep { visit, change } = step;
        let (asserted, signed, why) = match change {
            ActorChange::Asserted { actor, signed } => (Some(&**actor), Some(*signed), None),
            ActorChange::Refused(why) => (None, None, Some(&**why)),
            ActorChange::Ended => (None, None, None),
        };
        Self { visit: (&**visit).into(), asserted, signed, why }
    }
}

impl<'a> From<&'a Suppressed> for SuppressedFields<'a> {
    fn from(suppressed: &'a Suppressed) -> Self {
        let Suppressed { kind, user, object, count } = suppressed;
        Self { of: kind, user: user.as_deref(), object: object.as_deref(), count: *count }
    }
}
