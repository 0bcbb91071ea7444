//! `pgveil log query`: what was seen of whom, by whom, and when.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::records::{Access, Certainty, Place, Subject, accesses};
use super::table::{Format, Table};
use super::{Configured, LogCommandError};
use crate::server::log_sink::open_segments;

/// Which accesses are asked for.
#[derive(Args)]
pub(super) struct Asked {
    /// From this time on: 2026-11-21T09:00:00Z, 2026-11-21
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Whose rows: a subject of the policy or a table, and a key (customer:42, public.customer:42). Where a record does not have all
    /// keys, it may have been the subject's: `possible`
    #[arg(long, value_name = "SUBJECT:KEY")]
    pub subject: Option<Subject>,
    /// Column (email, customer.email, public.customer.email), or tag
    #[arg(long)]
    pub column: Option<String>,
    /// Database user
    #[arg(long)]
    pub user: Option<String>,
    /// End user that an application has asserted
    #[arg(long)]
    pub actor: Option<String>,
    #[command(flatten)]
    configured: Configured,
}

/// What `pgveil log query` is asked.
#[derive(Args)]
pub(in crate::cli) struct QueryArguments {
    #[command(flatten)]
    asked: Asked,
    /// Only what is certain to have been seen of the subject
    #[arg(long, requires = "subject")]
    certain: bool,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// An access that was asked for, and how certain it is that it was.
pub(super) type Found = (Access, Option<Certainty>);

const COLUMNS: &[&str] = &[
    "time",
    "user",
    "actor",
    "role",
    "action",
    "column",
    "rows",
    "match",
    "client_address",
    "application_name",
    "endpoint",
    "tenant",
    "reason",
    "grant",
    "session",
    "execution",
];

pub(super) fn run(arguments: QueryArguments) -> Result<String, LogCommandError> {
    let QueryArguments { asked, certain, format } = arguments;
    let mut found = asked.find()?;
    found.retain(|(_, certainty)| !certain || *certainty == Some(Certainty::Seen));
    Ok(Table { columns: COLUMNS, rows: found.iter().map(row).collect() }.write(format))
}

fn row((access, certainty): &Found) -> Vec<Value> {
    vec![
        json!(access.time),
        json!(access.user),
        json!(access.actor),
        json!(access.role),
        json!(access.action),
        json!(access.object()),
        json!(access.rows),
        json!(certainty.map(said)),
        json!(access.client_address),
        json!(access.application_name),
        json!(access.endpoint.as_ref().and_then(Place::name)),
        json!(access.tenant),
        json!(access.reason),
        json!(access.grant),
        json!(access.session),
        json!(access.execution),
    ]
}

pub(super) fn said(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Seen => "seen",
        Certainty::Possible => "possible",
    }
}

impl Asked {
    /// What the log has of it, oldest first.
    pub fn find(self) -> Result<Vec<Found>, LogCommandError> {
        let Self { since, until, subject, column, user, actor, configured } = self;
        let config = configured.load()?;
        let failed = |source| LogCommandError::Read { path: config.path.clone(), source };
        let files = open_segments(&config.path).map_err(failed)?;
        let all = accesses(files, (since, until)).map_err(|(path, source)| LogCommandError::Read { path, source })?;
        let of = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let asked = all.into_iter().filter_map(|access| {
            let fits = of(&user, &access.user)
                && of(&actor, &access.actor)
                && column.as_ref().is_none_or(|column| access.is_of(column));
            let certainty = subject.as_ref().map(|subject| access.shows(subject));
            match certainty {
                _ if !fits => None,
                Some(None) => None,
                Some(shows) => Some((access, shows)),
                None => Some((access, None)),
            }
        });
        Ok(asked.collect())
    }
}

/// A time, or the beginning of a day (UTC).
fn moment(text: &str) -> Result<Timestamp, String> {
    let day = |text: &str| {
        let day: jiff::civil::Date = text.parse().ok()?;
        day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp())
    };
    text.parse()
        .ok()
        .or_else(|| day(text))
        .ok_or_else(|| "expected a time such as 2026-11-21T09:05:04Z, or a day such as 2026-11-21".to_owned())
}
