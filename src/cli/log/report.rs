//! `pgveil log report`: summaries for access reviews and incidents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::LogCommandError;
use super::query::{Asked, Found, said};
use super::records::Certainty;
use super::table::{Format, Table};
use crate::policy::{Policy, Roles, Sight};
use crate::server::reload::read_policies;

/// A summary.
#[derive(Subcommand)]
pub(in crate::cli) enum ReportCommand {
    /// Who was shown what in clear, and how often
    Access(ReportArguments),
    /// What was seen of whom: for each key and column how often, by how many, from when to when
    Exposure(ReportArguments),
    /// Which role has the right to see a column in clear, and has never used it in that time
    Unused {
        /// Policy files, or directories with them
        #[arg(long, value_name = "PATH", required = true)]
        policy: Vec<PathBuf>,
        #[command(flatten)]
        arguments: ReportArguments,
    },
}

/// Of what, and how it is written.
#[derive(Args)]
pub(in crate::cli) struct ReportArguments {
    #[command(flatten)]
    asked: Asked,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What some accesses come to.
#[derive(Default)]
struct Sum {
    times: u64,
    rows: u64,
    exports: u64,
    users: BTreeSet<String>,
    first: String,
    last: String,
}

impl Sum {
    fn add(&mut self, (access, _): &Found) {
        self.times = self.times.saturating_add(1);
        self.rows = self.rows.saturating_add(access.rows.unwrap_or_default());
        self.exports = self.exports.saturating_add(u64::from(access.action.as_deref() == Some("export")));
        self.users.insert(access.actor.clone().or_else(|| access.user.clone()).unwrap_or_default());
        if self.first.is_empty() {
            self.first.clone_from(&access.time);
        }
        self.last.clone_from(&access.time);
    }
}

pub(super) fn run(command: ReportCommand) -> Result<String, LogCommandError> {
    match command {
        ReportCommand::Access(ReportArguments { asked, format }) => Ok(access(&asked.find()?).write(format)),
        ReportCommand::Exposure(ReportArguments { asked, format }) => Ok(exposure(asked)?.write(format)),
        ReportCommand::Unused { policy, arguments: ReportArguments { asked, format } } => {
            let sources = read_policies(&policy).map_err(|error| LogCommandError::Policy(error.to_string()))?;
            let policy = Policy::parse(&sources).map_err(|found| {
                LogCommandError::Policy(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
            })?;
            Ok(unused(&policy, &asked.find()?).write(format))
        }
    }
}

const ACCESS: &[&str] = &["user", "actor", "role", "column", "tag", "times", "rows", "exports", "first", "last"];

/// For each person, role and column how often.
fn access(found: &[Found]) -> Table {
    type Key<'a> = (&'a Option<String>, &'a Option<String>, &'a Option<String>, String, &'a Option<String>);
    let mut sums: BTreeMap<Key<'_>, Sum> = BTreeMap::new();
    for one in found.iter().filter(|(access, _)| access.kind == "reveal") {
        let access = &one.0;
        let key = (&access.user, &access.actor, &access.role, access.object(), &access.tag);
        sums.entry(key).or_default().add(one);
    }
    let row = |((user, actor, role, object, tag), sum): (Key<'_>, Sum)| {
        let Sum { times, rows, exports, first, last, .. } = sum;
        vec![
            json!(user),
            json!(actor),
            json!(role),
            json!(object),
            json!(tag),
            json!(times),
            json!(rows),
            json!(exports),
            json!(first),
            json!(last),
        ]
    };
    Table { columns: ACCESS, rows: sums.into_iter().map(row).collect() }
}

const EXPOSURE: &[&str] = &["subject", "key", "column", "match", "times", "people", "exports", "first", "last"];

/// For each key and column how often; of accesses whose keys are not all known a row without key.
fn exposure(asked: Asked) -> Result<Table, LogCommandError> {
    let subject = asked.subject.clone();
    let found = asked.find()?;
    let mut sums: BTreeMap<(String, Option<String>, String, bool), Sum> = BTreeMap::new();
    for one in found.iter().filter(|(access, _)| access.kind == "reveal") {
        let object = one.0.object();
        let wanted =
            |kind: &str, key: &str| subject.as_ref().is_none_or(|asked| asked.key == key && asked.kind == kind);
        let mut known = false;
        for keys in &one.0.entities {
            let kind = match &subject {
                Some(asked) if keys.are(&asked.kind) => &asked.kind,
                Some(_) => continue,
                None => &keys.kind,
            };
            for key in keys.keys.iter().filter(|key| wanted(kind, key)) {
                sums.entry((kind.clone(), Some(key.clone()), object.clone(), true)).or_default().add(one);
            }
            known |= keys.complete || (subject.is_some() && keys.keys.iter().any(|key| wanted(kind, key)));
        }
        if !known {
            let kind = subject.as_ref().map_or_else(String::new, |asked| asked.kind.clone());
            sums.entry((kind, None, object, false)).or_default().add(one);
        }
    }
    let row = |((kind, key, object, seen), sum): ((String, Option<String>, String, bool), Sum)| -> Vec<Value> {
        let certainty = if seen { Certainty::Seen } else { Certainty::Possible };
        let people: Vec<String> = sum.users.into_iter().collect();
        vec![
            json!(kind),
            json!(key),
            json!(object),
            json!(said(certainty)),
            json!(sum.times),
            json!(people.join(" ")),
            json!(sum.exports),
            json!(sum.first),
            json!(sum.last),
        ]
    };
    Ok(Table { columns: EXPOSURE, rows: sums.into_iter().map(row).collect() })
}

const UNUSED: &[&str] = &["role", "who", "column", "tag"];

/// Rights that nobody has used: of each role, and of the users that it names.
fn unused(policy: &Policy, found: &[Found]) -> Table {
    let used: BTreeSet<(&str, String)> =
        found.iter().filter_map(|(access, _)| Some((access.role.as_deref()?, access.object()))).collect();
    let by: BTreeSet<(&str, &str, String)> = found
        .iter()
        .filter_map(|(access, _)| Some((access.role.as_deref()?, access.user.as_deref()?, access.object())))
        .collect();
    let mut rows = Vec::new();
    for ((role, users), number) in policy.role_users().zip(0..) {
        for (id, column) in policy.columns() {
            if policy.decide(&Roles { numbers: vec![number], masked_only: false }, id).sight != Sight::Clear {
                continue;
            }
            let object = format!("{}.{}.{}", column.schema, column.table, column.column);
            let tag = &column.tag.name;
            if !used.contains(&(&**role, object.clone())) {
                rows.push(vec![json!(role), json!("all"), json!(object), json!(tag)]);
                continue;
            }
            let idle = users.iter().filter(|user| !by.contains(&(&**role, user.as_str(), object.clone())));
            rows.extend(idle.map(|user| vec![json!(role), json!(user.as_str()), json!(object), json!(tag)]));
        }
    }
    Table { columns: UNUSED, rows }
}
