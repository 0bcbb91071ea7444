//! What a caller reads when a statement is refused.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::budget::Look;
use super::guard::Stop;
use super::{RefusalReason, Spoiled, Unopened};
use crate::access_log::RevealRefused;
use crate::catalog::Name;
use crate::crypto::KeyError;
use crate::policy::{ActorError, Allowance, Limit, Offer};
use crate::sql::NotUnderstood;
use crate::value::ValueError;

const LOCKED_OUT_HINT: &str = "Ask who runs pgveil; `pgveil guard unlock` lets the user in again.";

/// A refusal: SQLSTATE, message and hint, made so that PostgreSQL might have raised it. Holds no text of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is counted as.
    pub reason: RefusalReason,
    /// `42501` (insufficient_privilege) unless the statement can not be analysed (`0A000`) or pgveil is at fault.
    pub code: &'static str,
    /// What happened.
    pub message: Arc<str>,
    /// What the caller can do.
    pub hint: Arc<str>,
    /// Whether the text could not be read: where the server can not read it either, its own words are the better ones.
    pub unreadable: bool,
    /// The column that it is about, as `schema.table.column`, if it is about one.
    pub column: Option<Arc<str>>,
    /// The rule, as `file:line`, if one says so.
    pub rule: Option<Arc<str>>,
}

impl Refusal {
    fn new(reason: RefusalReason, message: String, hint: &str) -> Self {
        let message = format!("pgveil: {message}").into();
        Self { reason, code: "42501", message, hint: hint.into(), unreadable: false, column: None, rule: None }
    }

    /// What it is about, for its record.
    fn about(self, column: &(impl Display + ?Sized)) -> Self {
        Self { column: Some(column.to_string().into()), ..self }
    }

    /// Which rule says so.
    fn by(self, rule: &str) -> Self {
        Self { rule: Some(rule.into()), ..self }
    }

    /// A column is denied.
    pub fn denied(column: &dyn Display, tag: &str, rule: &str) -> Self {
        Self::new(
            RefusalReason::Denied,
            format!("permission denied for column {column} (tag \"{tag}\", rule {rule})"),
            "Leave the column out, or ask the owner of the policy for the right to see it.",
        )
        .about(column)
        .by(rule)
    }

    /// The same to somebody who may ask for a reveal.
    #[must_use]
    pub(super) fn or_ask(self) -> Self {
        let hint = format!("{} A reveal is possible: SET pgveil.reveal = 'reason'.", self.hint);
        Self { hint: hint.into(), ..self }
    }

    /// A reveal that is not granted, or an answer to one that is not taken.
    pub fn reveal(message: &str, code: &'static str, hint: &str) -> Self {
        Self { code, ..Self::new(RefusalReason::Reveal, message.to_owned(), hint) }
    }

    /// A reveal that was asked for and is not granted. `offer`: what is offered to the caller.
    pub fn reveal_refused(why: RevealRefused, offer: Option<&Offer>) -> Self {
        let patterns = || {
            let patterns = offer.into_iter().flat_map(|offer| &offer.reasons);
            patterns.map(|pattern| format!("'{pattern}'")).collect::<Vec<_>>().join(" and ")
        };
        let (message, hint) = match why {
            RevealRefused::NotOffered => (
                "no reveal is offered to you",
                "Ask the owner of the policy (`reveal` of a role). An account that asserts end users has to do so first."
                    .to_owned(),
            ),
            RevealRefused::Reason => (
                "the reason is not what it has to look like",
                match patterns() {
                    none if none.is_empty() => "Give a reason of up to 500 characters on one line.".to_owned(),
                    patterns => format!("It has to match {patterns}, and have up to 500 characters on one line."),
                },
            ),
            RevealRefused::Subject => (
                "a reveal is for one subject only",
                "SET pgveil.reveal_subject = 'customer:42' first, with the sort and key of the one you mean.".to_owned(),
            ),
            RevealRefused::CodeMissing => (
                "a reveal needs a one-time code",
                "SET pgveil.reveal_totp = '123456' first, with the code of your authenticator.".to_owned(),
            ),
            RevealRefused::CodeWrong => (
                "the one-time code is wrong, or was used before",
                "Wait for the next one, SET pgveil.reveal_totp and ask again.".to_owned(),
            ),
            RevealRefused::CodeLocked => (
                "there were too many wrong one-time codes",
                "Try again in a quarter of an hour.".to_owned(),
            ),
            RevealRefused::CodeUnknown => (
                "there is no secret for your one-time codes",
                "Ask the operator of pgveil for one (pgveil reveal totp-secret).".to_owned(),
            ),
            RevealRefused::Unwritable => (
                "the request could not be written down",
                "Tell the operator of pgveil (setting reveal_state_file).".to_owned(),
            ),
            RevealRefused::Busy => ("too many reveals wait for approval", "Try again later.".to_owned()),
        };
        Self::reveal(message, "42501", &hint)
    }

    /// A subject that is none.
    pub fn subject<'a>(known: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let known: Vec<_> = known.map(|name| format!("'{name}:...'")).collect();
        let hint = match known.as_slice() {
            [] => "The policy has no subjects.".to_owned(),
            known => format!("Subjects are {}, with a key behind the colon.", known.join(", ")),
        };
        Self::reveal("that is no subject", "22023", &hint)
    }

    /// An end user who is not asserted.
    pub fn actor(error: &ActorError) -> Self {
        let hint = match error {
            ActorError::NotTrusted => {
                "The policy names under `actors` the accounts that may. Leave pgveil.actor alone, or log in as one of them."
            }
            ActorError::Way => "The policy says under `by` where this account asserts them.",
            ActorError::Name => "Give a name that tells this person from others.",
            ActorError::Malformed | ActorError::Signature => {
                "Give a JSON Web Token that a key of this account has signed (`keys` in the policy)."
            }
            ActorError::Expired | ActorError::NotYet => "Give a token that is valid now.",
            ActorError::Audience => "Give a token with the audience and issuer that the policy names.",
            ActorError::NoClaim => "The policy names the claim that has to be in it (`claim`).",
            ActorError::Ambiguous => "Put one comment with one tag `actor` behind the statement.",
        };
        Self::new(RefusalReason::Actor, error.to_string(), hint)
    }

    /// A setting of pgveil's that there is not.
    pub fn unknown_setting(name: &str, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|name| format!("pgveil.{name}")).collect();
        let refusal = Self::new(
            RefusalReason::Setting,
            format!("unrecognized configuration parameter \"pgveil.{name}\""),
            &format!("There are {}.", known.join(", ")),
        );
        Self { code: "42704", ..refusal }
    }

    /// A change of pgveil's settings that can not be read for certain.
    pub fn unclear_setting() -> Self {
        Self::new(
            RefusalReason::Setting,
            "settings of pgveil can not be changed like this".to_owned(),
            "SET pgveil.x = 'value' with one constant, or SELECT set_config('pgveil.x', value, false) with nothing around it.",
        )
    }

    /// Such a change beside something that is sent in another form than it came in.
    pub fn setting_alone() -> Self {
        let refusal = Self::new(
            RefusalReason::Setting,
            "settings of pgveil can not be changed in one message with this".to_owned(),
            "Send the statements one by one.",
        );
        Self { code: "0A000", ..refusal }
    }

    /// A filter that the column's mode does not allow.
    pub fn filter(column: &dyn Display, tag: &str, rule: &str, use_of_it: &str) -> Self {
        Self::new(
            RefusalReason::Filter,
            format!("{use_of_it} on column {column} is not permitted (tag \"{tag}\", rule {rule})"),
            "Compare the column with a constant by = or IN, leave it out of the condition or the sort order, or ask the \
             owner of the policy for the filter mode that you need.",
        )
        .about(column).by(rule)
    }

    /// Rows that would come out in the order of a column's values. `certain`: not only because of the session's settings
    /// of the planner.
    pub fn ordering(column: &dyn Display, tag: &str, rule: &str, certain: bool) -> Self {
        let why = match certain {
            true => "rows that come out in the order of",
            false => {
                "under settings of the planner that the session has changed, rows that may come out in the order of"
            }
        };
        Self::new(
            RefusalReason::Filter,
            format!("{why} column {column} are not permitted (tag \"{tag}\", rule {rule})"),
            "Sort the result by a unique column of its only table that you see in clear, show nothing beside the column, or \
             ask the owner of the policy for the filter mode `search`. In a session that has changed settings of the \
             planner, start a new one.",
        )
        .about(column).by(rule)
    }

    /// A permitted filter that the inference budget does not cover. `wait`: when it will; `None`: never.
    pub fn budget(look: &Look, allowance: Allowance, wait: Option<Duration>) -> Self {
        let Look { column, tag, rule, .. } = look;
        let free = match wait {
            Some(wait) => format!("is used up; it covers this statement in {} s", wait.as_secs().saturating_add(1)),
            None => "does not cover so many filters in one statement".to_owned(),
        };
        Self::new(
            RefusalReason::Budget,
            format!("the inference budget of {allowance} for column {column} {free} (tag \"{tag}\", rule {rule})"),
            "Filter by other columns, with fewer constants or later, or ask the owner of the policy for a larger budget.",
        )
        .about(column).by(rule)
    }

    /// A plan whose estimates would tell how often a value is stored.
    pub fn estimate(column: &dyn Display, tag: &str, rule: &str, use_of_it: &str) -> Self {
        Self::new(
            RefusalReason::Filter,
            format!("EXPLAIN of {use_of_it} on column {column} is not permitted (tag \"{tag}\", rule {rule})"),
            "Its estimates tell how often a value is stored. Explain the statement without that condition, or with one on \
             a column that has a unique index of its own.",
        )
        .about(column).by(rule)
    }

    /// A tagged value on its way into an untagged column.
    pub fn write(column: &dyn Display, tag: &str, rule: &str) -> Self {
        Self::new(
            RefusalReason::Write,
            format!("values of column {column} may not be stored elsewhere (tag \"{tag}\", rule {rule})"),
            "Store them in a column with the same tag, or leave the column out.",
        )
        .about(column)
        .by(rule)
    }

    /// What an encrypted column can not do. `what` ends in a verb: "sorting by it is".
    pub fn encrypted(column: &(impl Display + ?Sized), what: &str, hint: &str) -> Self {
        let message = format!("column {column} is encrypted: {what} not possible");
        Self { code: "0A000", ..Self::new(RefusalReason::Encrypted, message, hint) }.about(column)
    }

    /// A value that is none of an encrypted column's type, in the server's words and with its code.
    pub fn value(column: &(impl Display + ?Sized), error: &ValueError) -> Self {
        let message = format!("{} (encrypted column {column})", error.message);
        let hint = error.hint.unwrap_or("Give a value of the column's type.");
        Self { code: error.sqlstate, ..Self::new(RefusalReason::Encrypted, message, hint) }
    }

    /// A value that is too long for an envelope.
    pub fn too_long(column: &(impl Display + ?Sized)) -> Self {
        let message = format!("the value for encrypted column {column} is too long");
        Self { code: "54000", ..Self::new(RefusalReason::Encrypted, message, "Give a shorter value.") }
    }

    /// A statement that gives no tenant where values are bound to one.
    pub fn no_tenant() -> Self {
        let message = "the tenant that values of encrypted columns are bound to is NULL or not given".to_owned();
        let hint = "Give the tenant's column a value.";
        Self { code: "22004", ..Self::new(RefusalReason::Encrypted, message, hint) }
    }

    /// A statement about rows of several tenants that says so of none of them.
    pub fn several_tenants() -> Self {
        let message = "values of encrypted columns are bound to tenants, and this statement names several".to_owned();
        let hint = "Name the same tenant wherever the table is named, or select the tenant's column beside the encrypted ones.";
        Self { code: "0A000", ..Self::new(RefusalReason::Encrypted, message, hint) }
    }

    /// The setting that values are bound to is not set.
    pub fn tenant_not_set(column: &(impl Display + ?Sized), setting: &str) -> Self {
        let message = format!(
            "values of encrypted column {column} are bound to the tenant in setting \"{setting}\", which is not set"
        );
        let hint = format!("Set it before: SET {setting} = '...'.");
        Self { code: "55000", ..Self::new(RefusalReason::Encrypted, message, &hint) }
    }

    /// The setting that values are bound to may be changed by another statement of the same message.
    pub fn tenant_within_message(setting: &str) -> Self {
        let message = format!(
            "values of encrypted columns are bound to the tenant in setting \"{setting}\", which another statement of the \
             same message may change"
        );
        let hint = "Send what changes settings, calls functions or ends transactions in a message of its own, before.";
        Self { code: "0A000", ..Self::new(RefusalReason::Encrypted, message, hint) }
    }

    /// What is encrypted, and how, has changed since a statement was prepared.
    pub fn sealed_otherwise() -> Self {
        let message = "which columns are encrypted has changed since this statement was prepared".to_owned();
        Self { code: "0A000", ..Self::new(RefusalReason::Encrypted, message, "Prepare the statement again.") }
    }

    /// A key that a value can not be encrypted without.
    pub fn key(column: &(impl Display + ?Sized), key: &str, error: KeyError) -> Self {
        let message = format!("key \"{key}\" of encrypted column {column} can not be used: {error}");
        let hint = "Ask who runs pgveil; `pgveil keys list` says what there is.";
        Self { code: "58000", ..Self::new(RefusalReason::Encrypted, message, hint) }
    }

    /// A mask on its way into a new row.
    pub fn mask_inserted(column: &dyn Display, tag: &str) -> Self {
        Self::new(
            RefusalReason::WriteBack,
            format!("the new value of column {column} is a mask (tag \"{tag}\")"),
            "A mask is shown in the place of the value and is none itself. Write the real value, leave the column out, or \
             copy the row with a role that sees it in clear.",
        )
        .about(column)
    }

    /// The same of data that comes with a COPY; `row`: its line or row, counted from 1.
    pub fn in_data(self, row: u64, binary: bool) -> Self {
        let unit = if binary { "row" } else { "line" };
        Self { message: format!("{} in {unit} {row} of the data", self.message).into(), ..self }
    }

    /// Data of a COPY that can not be looked through for masks.
    pub fn copy_unread(table: &dyn Display, why: &str) -> Self {
        Self::new(
            RefusalReason::Copy,
            format!(
                "COPY to {table} is not permitted like this: masks among its rows could not be seen, because {why}"
            ),
            "Use text, CSV or binary format with options of ASCII and the client encoding UTF8, or use INSERT.",
        )
    }

    /// A row of COPY data that is too long to be looked at.
    pub fn copy_row_too_long(table: &dyn Display) -> Self {
        let mut refusal = Self::copy_unread(table, "one is longer than 64 MiB (looked_at_bytes_max)");
        refusal.code = "54000";
        refusal
    }

    /// A mask on its way back, where the policy wants that refused.
    pub fn mask_refused(column: &dyn Display, tag: &str) -> Self {
        Self::new(
            RefusalReason::WriteBack,
            format!("the new value of column {column} is the mask that you are shown of it (tag \"{tag}\")"),
            "Leave the column out of the statement, or write the real value.",
        )
        .about(column)
    }

    /// A mask on its way back through something that the column can not be read in the place of.
    pub fn mask_not_kept(column: &dyn Display, tag: &str) -> Self {
        Self::new(
            RefusalReason::WriteBack,
            format!(
                "a value that may be the mask of column {column} would be stored, and the stored value can not be kept in \
                 this statement (tag \"{tag}\")"
            ),
            "Leave the column out of the statement, or set it to a plain parameter or literal.",
        )
        .about(column)
    }

    /// A statement that was prepared with a mask in its text, before it was one.
    pub fn mask_in_text() -> Self {
        Self::new(
            RefusalReason::WriteBack,
            "the prepared statement would store a mask".to_owned(),
            "Prepare the statement again.",
        )
    }

    /// A COPY that goes to the server in another form, and what it sends can not be asked.
    pub fn copy_alone() -> Self {
        let message =
            "COPY with values for encrypted columns, or with masks that come back, together with other statements";
        Self { code: "0A000", ..Self::new(RefusalReason::Copy, message.to_owned(), "Send it as a message of its own.") }
    }

    /// Part of a mask on its way back.
    pub fn mask_edited(column: &dyn Display, tag: &str) -> Self {
        Self::new(
            RefusalReason::WriteBack,
            format!("the new value of column {column} holds part of a mask (tag \"{tag}\")"),
            "A mask is shown in the place of the value: write the whole real value, or leave the column out.",
        )
        .about(column)
    }

    /// A value that a keyed mask may have shown, or that may be real.
    pub fn mask_or_value(column: &dyn Display, tag: &str) -> Self {
        Self::new(
            RefusalReason::WriteBack,
            format!(
                "it can not be told whether the new value of column {column} is a mask of what is stored (tag \"{tag}\")"
            ),
            "If you have not changed it, leave the column out of the statement; else ask somebody who sees it in clear.",
        )
        .about(column)
    }

    /// A statement that is not understood and names something tagged.
    pub fn not_understood(why: NotUnderstood) -> Self {
        let mut refusal = Self::new(
            RefusalReason::NotUnderstood,
            format!("a statement that may touch protected data is not understood: {why}"),
            "Write the statement in another way, or leave the protected tables out of it.",
        );
        refusal.code = "0A000";
        refusal.unreadable = match why {
            NotUnderstood::Lexical | NotUnderstood::Syntax | NotUnderstood::Disagreement => true,
            NotUnderstood::Encoding | NotUnderstood::TooLarge | NotUnderstood::Construct(_) | NotUnderstood::Unread => {
                false
            }
        };
        refusal
    }

    /// A kind of statement that may not touch tagged data.
    pub fn kind(what: &str) -> Self {
        Self::new(
            RefusalReason::Kind,
            format!("{what} is not permitted where it touches protected columns that you do not see in clear"),
            "Ask the owner of the policy, or connect with a role that may.",
        )
    }

    /// Code under a name by which values may be handed to it.
    pub fn code(name: &dyn Display, why: &str) -> Self {
        Self::new(
            RefusalReason::Kind,
            format!("{name} can not be made, changed or renamed like this, because {why}"),
            "Give it a name that is not in use, or have it changed by a role that sees all protected columns in clear.",
        )
    }

    /// A function of users that makes code when it runs.
    pub fn maker(name: &dyn Display) -> Self {
        Self::new(
            RefusalReason::Function,
            format!("function {name} is not permitted, because it makes or changes code when it runs"),
            "Have it run by a role that sees all protected columns in clear.",
        )
    }

    /// A function that could reach past the masks.
    pub fn function(name: &dyn Display) -> Self {
        Self::new(
            RefusalReason::Function,
            format!("function {name} is not permitted, because it can read protected columns past their masks"),
            "Query the tables directly, or ask the owner of the policy.",
        )
    }

    /// A column of the system's own views that can quote values or statements of others.
    pub fn quoting(relation: &dyn Display, column: &dyn Display) -> Self {
        Self::new(
            RefusalReason::Function,
            format!("column {column} of {relation} is not permitted, because it can quote protected values"),
            "Leave the column out, or connect with a role that sees everything.",
        )
    }

    /// COPY of tagged data.
    pub fn copy(table: &dyn Display) -> Self {
        Self::new(
            RefusalReason::Copy,
            format!(
                "COPY of {table} is not permitted, because it holds protected columns that you do not see in clear"
            ),
            "Use SELECT, which masks them, or leave the protected columns out of the column list.",
        )
    }

    /// COPY in an encoding in which masks can not be written.
    pub fn copy_encoding(table: &dyn Display) -> Self {
        Self::new(
            RefusalReason::Copy,
            format!(
                "COPY of {table} in this encoding is not permitted, because its protected columns can not be masked"
            ),
            "Use an encoding of one byte for each character, or UTF8.",
        )
    }

    /// A protocol feature that could reach past the masks.
    pub fn protocol(what: &str) -> Self {
        Self::new(
            RefusalReason::Protocol,
            format!("{what} is not permitted"),
            "Use SQL statements, or ask the owner of the policy.",
        )
    }

    /// A setting that would make statements read differently from what pgveil reads.
    pub fn setting(name: &str, allowed: &str) -> Self {
        Self::new(
            RefusalReason::Setting,
            format!("parameter \"{name}\" can not be changed to that value"),
            &format!("Through pgveil it may be {allowed}."),
        )
    }

    /// The guard does not let something happen.
    pub fn stopped(stop: &Stop) -> Self {
        match stop {
            Stop::Limit { limit, wait, .. } => {
                let Limit { name, rule, .. } = &**limit;
                let message = format!("limit \"{name}\" is reached: {limit} (rule {rule})");
                let hint = format!(
                    "There is room again in {} s. If you need more, ask who runs pgveil for a larger limit.",
                    wait.as_secs().saturating_add(1)
                );
                Self { code: "53400", ..Self::new(RefusalReason::Guard, message, &hint) }
            }
            Stop::StoreAway => {
                let message =
                    "protected values can not be shown, because the store that pgveil counts them in can not \
                     be reached"
                        .to_owned();
                let hint = "Tell the operator of pgveil; statements that show masks only go on working.";
                Self { code: "58030", ..Self::new(RefusalReason::Guard, message, hint) }
            }
            Stop::LockedOut(until) => {
                let until = until.as_deref().map(|until| format!(" until {until}")).unwrap_or_default();
                let message = format!("protected values are not shown: you are locked out{until}");
                Self::new(RefusalReason::LockedOut, message, LOCKED_OUT_HINT)
            }
        }
    }

    /// An account that is locked out, or with `actor` an end user behind it. `until`: for people; `None`: until it is let in again.
    pub fn locked_out(user: &Name, actor: Option<&Arc<str>>, until: Option<&str>) -> Self {
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        let behind = actor.map(|actor| format!("end user \"{actor}\" of ")).unwrap_or_default();
        let message = format!("{behind}user \"{user}\" is locked out{until}");
        Self { code: "28000", ..Self::new(RefusalReason::LockedOut, message, LOCKED_OUT_HINT) }
    }

    /// A result of which the rest can not be shown.
    pub fn spoiled(spoiled: &Spoiled) -> Self {
        match spoiled {
            Spoiled::Unopened(Unopened { column, why }) => {
                let message = format!("a value of encrypted column {column} can not be shown: {why}");
                let hint = "`pgveil encrypt verify` lists the rows whose values do not open.";
                Self { code: "XX001", ..Self::new(RefusalReason::Encrypted, message, hint) }
            }
            Spoiled::Stopped(stop) => Self::stopped(stop),
        }
    }

    /// The access log can not be written.
    pub fn access_log() -> Self {
        let mut refusal = Self::new(
            RefusalReason::AccessLog,
            "protected values can not be shown, because the access log can not be written".to_owned(),
            "Tell the operator of pgveil; statements that show masks only go on working.",
        );
        refusal.code = "58030";
        refusal
    }
}
