//! `guard`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Names, TagName};

/// How much of something a principal may do in which time, and what happens at more.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
pub(super) struct GuardForm {
    /// Database users for whom no limit holds.
    except: Option<Names>,
    /// The limits, by their names.
    limits: Option<BTreeMap<TagName, LimitForm>>,
}

/// How many of something there may be in which time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct LimitForm {
    /// What is counted.
    what: CountedForm,
    /// How many there may be.
    #[schemars(range(min = 1))]
    max: u64,
    /// In how long, at any time: `1 hour`, `30 minutes`, `90 s`, up to `31 days`.
    within: TimeForm,
    /// What is counted together. Default: `principal`; of failed logins `user_and_address`.
    per: Option<PerForm>,
    /// Database users that it is for. Default, if it names no roles either: everybody.
    users: Option<Names>,
    /// Roles of this policy that it is for.
    roles: Option<Names>,
    /// Database users that it is not for.
    except: Option<Names>,
    /// What happens at more. Default: `[alert, refuse]`.
    on_breach: Option<BreachesForm>,
}

/// What is counted.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "these types are described, never built")]
enum CountedForm {
    /// Rows of results that show a tagged column in clear.
    RevealedRows,
    /// Tagged columns shown in clear, one for each execution and column.
    RevealedColumns,
    /// Refused statements.
    Refusals,
    /// Failed logins.
    FailedLogins,
    /// Filters on columns that the caller does not see in clear, permitted and refused.
    InferenceProbes,
}

/// What is counted together.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "these types are described, never built")]
enum PerForm {
    /// All sessions of a database user, and of one end user behind it where one is asserted.
    Principal,
    /// What comes under a database user's name from one client address (failed logins).
    UserAndAddress,
    /// A database user, wherever from and for whomever.
    User,
    /// A client address, whoever comes from there (failed logins).
    Address,
}

/// What happens at more: a word, `lock_account` with a time, or a list of these.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum BreachesForm {
    /// One of them.
    One(BreachForm),
    /// Several.
    Several(Vec<BreachForm>),
}

/// What happens.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "these types are described, never built")]
enum BreachForm {
    /// By one word.
    Word(BreachWord),
    /// The account is locked out for a time.
    Lock(LockForm),
}

/// What happens.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "these types are described, never built")]
enum BreachWord {
    /// The webhook is told. Alone: nothing is stopped.
    Alert,
    /// It does not happen: the row does not leave, the statement fails.
    Refuse,
    /// And the session ends.
    BlockSession,
    /// And the account is locked out until `pgveil guard unlock`.
    LockAccount,
}

/// The account is locked out for a time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "these types are described, never built")]
struct LockForm {
    /// How long: `30 minutes`, `until_unlocked`.
    lock_account: LockTimeForm,
}

const TIME: &str = "0*[1-9][0-9]* *(days|day|d|hours|hour|h|minutes|minute|min|s|seconds|second)";

/// A time: a number and a unit.
struct TimeForm;

impl JsonSchema for TimeForm {
    fn schema_name() -> Cow<'static, str> {
        "TimeForm".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{TIME}$") })
    }
}

/// A time, or `until_unlocked`.
struct LockTimeForm;

impl JsonSchema for LockTimeForm {
    fn schema_name() -> Cow<'static, str> {
        "LockTimeForm".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^(until_unlocked|{TIME})$") })
    }
}
