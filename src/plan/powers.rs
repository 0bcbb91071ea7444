//! Statements that would give a caller the power to reach past every analysis, or that would make later statements read
//! differently from what pgveil reads. They are refused whatever they name.

use super::own::tells_the_planner;
use super::{Caller, Own, Refusal, Snapshot};
use crate::catalog::Name;
use crate::sql::lineage::is_forbidden;
use crate::sql::statement::{Code, Detail, Statement, StatementKind};
use crate::sql::{ConfigCall, config_calls, opened_by_made};

/// Settings on which the reading of a statement's text depends: `standard_conforming_strings` must stay on for everyone,
/// `client_encoding` must be one that pgveil can read.
const READING_SETTINGS: [&str; 2] = ["standard_conforming_strings", "client_encoding"];

/// What nobody may do where anything is tagged. `text`: the statement's.
pub(super) fn forbidden_to_all(statement: &Statement, text: &str) -> Result<(), Refusal> {
    let strings = || Refusal::setting("standard_conforming_strings", "\"on\" only");
    if let Detail::Setting(Some(name), value) = &statement.detail
        && statement.kind == StatementKind::Set
    {
        let value = value.as_deref().map(str::to_ascii_lowercase);
        if name.as_str() == "standard_conforming_strings"
            && !matches!(value.as_deref(), Some("on" | "true" | "yes" | "1" | "default"))
        {
            return Err(strings());
        }
        return Ok(());
    }
    let sets_elsewhere = matches!(
        statement.kind,
        StatementKind::Do
            | StatementKind::Call
            | StatementKind::CreateFunction
            | StatementKind::CreateRole
            | StatementKind::AlterRoutine
            | StatementKind::AlterOther
    );
    if sets_elsewhere && statement.words.contains("standard_conforming_strings") {
        return Err(strings());
    }
    let turns = |call: &ConfigCall| match call {
        ConfigCall::Named(name) | ConfigCall::Listed(name) => name == "standard_conforming_strings",
        ConfigCall::Computed => false,
    };
    if statement.words.contains("set_config") && config_calls(text).iter().any(turns) {
        return Err(strings());
    }
    Ok(())
}

/// What tells how large tables are, and where in them rows are.
const SIZES: [&str; 7] = [
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_indexes_size",
    "relpages",
    "relallvisible",
    "ctid",
];

/// What a caller may not do who does not see every tagged column in clear. `own`: what its transaction has made.
pub(super) fn forbidden_to_masked(
    statement: &Statement,
    text: &str,
    snapshot: &Snapshot,
    caller: &Caller,
    own: &Own,
) -> Result<(), Refusal> {
    let catalog = &snapshot.catalog;
    let has = |word: &str| statement.words.contains(word);
    let kind = || Err(Refusal::kind(statement.kind.command()));
    if statement.code.contains(&Code::Operator) {
        // What `=` means and what a cast does would be theirs to say.
        return Err(Refusal::kind("CREATE OPERATOR or CREATE CAST"));
    }
    // How many values go into a table of the caller's own, and how long they are, may hang on what they were made of.
    if let Some(size) = SIZES.into_iter().find(|size| has(size))
        && own.holds_tagged(own.names(), snapshot).is_some()
        && (size != "ctid" || own.holds_tagged(&statement.words, snapshot).is_some())
    {
        return Err(Refusal::function(&Name::exact(size)));
    }
    if statement.makes_makers {
        // Nothing would say when it runs, and what a name means after that.
        return kind();
    }
    match (statement.kind, &statement.detail) {
        // A function that runs strings, reads cursors that others opened, or is in a language that is not read here.
        (StatementKind::CreateFunction, _) => {
            // Without LANGUAGE its body is not a string, and SQL.
            let read = has("sql") || has("plpgsql") || !has("language");
            let reads_cursors = || has("fetch") || (has("refcursor") && opened_by_made(text).is_none());
            if has("execute") || reads_cursors() || !read || has("client_encoding") {
                return kind();
            }
            if hands_out_roles(statement, snapshot) {
                return kind();
            }
        }
        (StatementKind::Do, _) if has("client_encoding") || has("fetch") => return kind(),
        // The plan's costs are those of a table that is as large as the caller made it by the values in it.
        (StatementKind::Explain, _) if own.holds_tagged(&statement.words, snapshot).is_some() => return kind(),
        // Rows of other servers, also of this one, come without tags; so do those of a publication, and it may be of all tables.
        (
            StatementKind::ImportForeignSchema
            | StatementKind::Load
            | StatementKind::CreateServer
            | StatementKind::CreateSubscription
            | StatementKind::CreateExtension,
            _,
        ) => return kind(),
        (StatementKind::CreatePublication, _) if has("all") || has("tables") || has("schema") => return kind(),
        (StatementKind::CreateTable, _) if has("foreign") && has("server") => return kind(),
        (StatementKind::CreateOther, _) if ["language", "transform"].into_iter().any(has) => return kind(),
        (StatementKind::AlterOther, _)
            if ["server", "subscription", "system", "mapping", "wrapper"].into_iter().any(has)
                || (has("publication") && ["all", "tables", "schema"].into_iter().any(has)) =>
        {
            return kind();
        }
        // What a role sets for itself holds from its next session on.
        (StatementKind::AlterOther, _)
            if (has("role") || has("user") || has("database"))
                && statement.words.iter().any(|word| tells_the_planner(word.as_str())) =>
        {
            return kind();
        }
        // The policy knows people by their roles: who may hand those out could hand himself one that sees more.
        (StatementKind::AlterOther, _)
            if ["role", "user", "group"].into_iter().any(has)
                && (has("rename") || has("add"))
                && names_people(statement, snapshot, None) =>
        {
            return kind();
        }
        // So could he who gives other people passwords. SET may have changed who the caller is by now.
        (StatementKind::AlterOther, _)
            if has("password")
                && (names_people(statement, snapshot, Some(&caller.principal.user))
                    || stands_for_a_role(statement)) =>
        {
            return kind();
        }
        (StatementKind::CreateRole, _) if names_people(statement, snapshot, None) || stands_for_a_role(statement) => {
            return kind();
        }
        (StatementKind::Grant, _) if !has("on") && names_people(statement, snapshot, None) => return kind(),
        (StatementKind::Do | StatementKind::CreateRule, _) if hands_out_roles(statement, snapshot) => return kind(),
        (_, Detail::Copy(copy)) if copy.server_side => return Err(Refusal::copy(copy)),
        _ => {}
    }
    if has("set_config") {
        for call in config_calls(text) {
            let reads = match call {
                ConfigCall::Named(name) => READING_SETTINGS.contains(&name.as_str()),
                ConfigCall::Listed(name) => {
                    let settings = Name::exact("pg_settings");
                    let mut tables = catalog.relations_named(None, &settings);
                    let own_table = own.pending || tables.any(|table| table.schema.as_str() != "pg_catalog");
                    own_table || READING_SETTINGS.contains(&name.as_str())
                }
                ConfigCall::Computed => true,
            };
            if reads {
                return Err(Refusal::function(&"set_config"));
            }
        }
    }
    if matches!(statement.kind, StatementKind::Update | StatementKind::Merge) && has("pg_settings") {
        return Err(Refusal::kind("a change of pg_settings"));
    }
    Ok(())
}

/// Whether a statement names a role that the policy knows people by, or one that holds such a role. `but`: one whose name
/// does not count.
fn names_people(statement: &Statement, snapshot: &Snapshot, but: Option<&Name>) -> bool {
    let known = |name: &Name| snapshot.policy.knows_people_by(name);
    let counts = |name: &&Name| but != Some(*name);
    statement
        .words
        .iter()
        .filter(counts)
        .any(|name| known(name) || snapshot.catalog.roles_of(name).is_some_and(|held| held.iter().any(known)))
}

/// Whether code in a statement may hand out a role that the policy knows people by, or the login of somebody who has one.
fn hands_out_roles(statement: &Statement, snapshot: &Snapshot) -> bool {
    let has = |word: &str| statement.words.contains(word);
    let about_roles = has("role") || has("user") || (has("group") && !has("by"));
    let changes_roles = about_roles && (has("create") || has("alter"));
    (has("grant") || changes_roles)
        && (names_people(statement, snapshot, None)
            || (stands_for_a_role(statement) && (has("password") || (has("in") && has("role")))))
}

/// Whether a statement means a role by a word that stands for one.
fn stands_for_a_role(statement: &Statement) -> bool {
    ["current_user", "current_role", "session_user"].into_iter().any(|word| statement.words.contains(word))
}

/// Words in a function's body that can keep, move or pass on what the function is given. (`RAISE` chooses its SQLSTATE,
/// which is not withheld.)
const ACTING_WORDS: &[&str] = &[
    "assert",
    "copy",
    "create",
    "delete",
    "execute",
    "insert",
    "into",
    "merge",
    "nextval",
    "notify",
    "pg_notify",
    "raise",
    "set_config",
    "setval",
    "update",
];

/// Whether a word of a function's body says that it may do more than compute.
pub fn is_acting(word: &Name) -> bool {
    ACTING_WORDS.contains(&word.as_str()) || is_forbidden(word)
}
