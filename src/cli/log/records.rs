//! The log's records as questions need them: of any kind, with the fields that are asked about, and the keys of rows brought
//! together that several records of one execution have.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

/// One thing that somebody was shown, or found out by a filter.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Access {
    pub time: String,
    pub kind: String,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub actor: Option<String>,
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub schema: Option<String>,
    #[serde(default)]
    pub table: Option<String>,
    #[serde(default)]
    pub column: Option<String>,
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(default)]
    pub action: Option<String>,
    #[serde(default)]
    pub rows: Option<u64>,
    #[serde(default)]
    pub client_address: Option<String>,
    #[serde(default)]
    pub application_name: Option<String>,
    /// The part of the application that asked.
    #[serde(default)]
    pub endpoint: Option<Place>,
    #[serde(default)]
    pub tenant: Option<String>,
    /// Of a reveal on request: its grant, and why it was asked for.
    #[serde(default)]
    pub grant: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub session: Option<u64>,
    #[serde(default)]
    pub execution: Option<u64>,
    #[serde(default)]
    pub entities: Vec<Keys>,
}

/// Part of an application, as its comments say.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    controller: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    route: Option<String>,
}

impl Place {
    /// The route, or controller and action.
    pub fn name(&self) -> Option<String> {
        match (&self.route, &self.controller, &self.action) {
            (Some(route), _, _) => Some(route.clone()),
            (None, Some(controller), Some(action)) => Some(format!("{controller}#{action}")),
            (None, one, other) => one.clone().or_else(|| other.clone()),
        }
    }
}

/// Keys of the rows that were seen.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Keys {
    #[serde(rename = "type")]
    pub kind: String,
    pub table: String,
    pub keys: BTreeSet<String>,
    pub complete: bool,
}

/// A sort of subject and its key, as `customer:42`.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub kind: String,
    pub key: String,
}

/// How sure it is that rows were those of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// They may have been: not all keys were known.
    Possible,
    /// Its key is in the record.
    Seen,
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((kind, key)) if !kind.is_empty() && !key.is_empty() => {
                Ok(Self { kind: kind.to_owned(), key: key.to_owned() })
            }
            _ => Err("expected SUBJECT:KEY, such as customer:42".to_owned()),
        }
    }
}

impl Keys {
    /// Whether they are of that sort: a subject of the policy, or a table with or without its schema.
    pub fn are(&self, kind: &str) -> bool {
        self.kind == kind || self.table == kind || self.table.split_once('.').is_some_and(|(_, table)| table == kind)
    }
}

impl Access {
    /// `schema.table.column`; of values whose origin is not known: `?`.
    pub fn object(&self) -> String {
        match (&self.schema, &self.table, &self.column) {
            (Some(schema), Some(table), Some(column)) => format!("{schema}.{table}.{column}"),
            _ => "?".to_owned(),
        }
    }

    /// Whether it is of that column: `column`, `table.column` or `schema.table.column`, or its tag. What is of unknown origin may be
    /// of any.
    pub fn is_of(&self, column: &str) -> bool {
        let object = self.object();
        object == "?"
            || object == column
            || object.strip_suffix(column).is_some_and(|before| before.ends_with('.'))
            || self.tag.as_deref() == Some(column)
    }

    /// Whether it shows rows of the subject.
    pub fn shows(&self, subject: &Subject) -> Option<Certainty> {
        if self.column.is_none() && self.kind == "reveal" {
            return Some(Certainty::Possible);
        }
        let own = self.entities.iter().filter(|keys| keys.are(&subject.kind));
        own.filter_map(|keys| match keys.keys.contains(&subject.key) {
            true => Some(Certainty::Seen),
            false => (!keys.complete).then_some(Certainty::Possible),
        })
        .max()
    }
}

/// All reveals and permitted filters in these files, oldest first, of the time between the two.
///
/// # Errors
/// A file can not be read.
pub(super) fn accesses(
    files: Vec<(PathBuf, File)>,
    (since, until): (Option<Timestamp>, Option<Timestamp>),
) -> Result<Vec<Access>, (PathBuf, io::Error)> {
    let mut found: Vec<Access> = Vec::new();
    // Which of them are of an execution that has not ended: session and execution, since the last start of the process.
    let mut open: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
    let mut line = Vec::new();
    for (path, file) in files {
        let mut reader = BufReader::new(file);
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err((path, error)),
            }
            // What has no time and kind is no record; `pgveil log verify` says so.
            let Ok(access) = serde_json::from_slice::<Access>(&line) else { continue };
            let execution = access.session.zip(access.execution);
            match access.kind.as_str() {
                "start" => open.clear(),
                "reveal" | "filter" => {
                    let inside = access.time.parse::<Timestamp>().is_ok_and(|time| {
                        since.is_none_or(|since| since <= time) && until.is_none_or(|until| time < until)
                    });
                    if inside {
                        if let Some(execution) = execution {
                            open.entry(execution).or_default().push(found.len());
                        }
                        found.push(access);
                    }
                }
                "entities" | "close" => {
                    let of = execution.and_then(|execution| match access.kind == "close" {
                        true => open.remove(&execution),
                        false => open.get(&execution).cloned(),
                    });
                    for at in of.into_iter().flatten() {
                        if let Some(reveal) = found.get_mut(at) {
                            reveal.take(&access);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

impl Access {
    /// What a later record of the same execution says.
    fn take(&mut self, later: &Self) {
        if later.kind == "close" {
            self.rows = later.rows;
            self.action.clone_from(&later.action);
        }
        let table = self.schema.iter().zip(&self.table).map(|(schema, table)| format!("{schema}.{table}")).next();
        for keys in later.entities.iter().filter(|keys| Some(&keys.table) == table.as_ref()) {
            match self.entities.iter_mut().find(|known| known.kind == keys.kind) {
                Some(known) => {
                    known.keys.extend(keys.keys.iter().cloned());
                    known.complete &= keys.complete;
                }
                None => self.entities.push(keys.clone()),
            }
        }
    }
}
