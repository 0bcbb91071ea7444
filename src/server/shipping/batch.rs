//! What is sent: lines of the access log, byte for byte, so that what arrives can be verified as the log itself.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its number in the log.
    pub(super) seq: u64,
    /// The line, without its end.
    pub(super) line: Box<str>,
}

/// Some records in a row, not none.
#[derive(Debug)]
pub(super) struct Batch {
    /// The log's identity.
    pub(super) log: String,
    /// The records, by number.
    pub(super) records: Vec<Record>,
}

/// What is read of a record to send it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl Record {
    /// When it was written, if it says so.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.head().time.parse().ok()
    }

    /// What it is, if it says so.
    pub(super) fn kind(&self) -> String {
        self.head().kind.into_owned()
    }

    fn head(&self) -> Head<'_> {
        serde_json::from_str(&self.line).unwrap_or_default()
    }
}

impl Batch {
    /// The same in every attempt to send it, and nowhere else.
    #[cfg(any(feature = "nats", feature = "kafka"))]
    pub(super) fn id(&self, record: &Record) -> String {
        format!("{}-{}", self.log, record.seq)
    }

    /// Those from this index on, in parts of so many.
    #[cfg(feature = "nats")]
    pub(super) fn from(&self, at: usize) -> &[Record] {
        self.records.get(at..).unwrap_or_default()
    }
}
