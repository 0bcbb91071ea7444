//! What is known of a log in which nothing was found wrong.

use jiff::Timestamp;
use uuid::Uuid;

use crate::access_log::checkpoint::{Attested, PublicKey};
use crate::access_log::line::Head;

/// What is known of a log in which nothing was found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The log.
    pub log: Option<Uuid>,
    /// Files.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// The first and the last record's number and time.
    pub first: Option<(u64, Timestamp)>,
    /// See `first`.
    pub last: Option<(u64, Timestamp)>,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The newest checkpoint, and its note.
    pub newest: Option<(Attested, String)>,
    /// Processes that did not end cleanly, and what was found of them.
    pub crashes: Vec<Crash>,
    /// Times in which nothing could be written.
    pub outages: u64,
    /// Records that are older than the one before them: the clock was set back.
    pub clock_set_back: u64,
    /// Checkpoints kept outside that are older than the oldest record: they say nothing any more.
    pub kept_too_old: Vec<u64>,
    /// How it ends.
    pub ending: Ending,
    /// Who vouches for it.
    pub attestation: Attestation,
}

/// A process that did not end cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The record that says so.
    pub seq: u64,
    /// When it was found.
    pub time: Timestamp,
    /// Bytes that were cut off behind the last record.
    pub cut_bytes: u64,
    /// Whole lines among them.
    pub cut_lines: u64,
}

/// How a log ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The process ended and said so, signed.
    Clean,
    /// It is being written.
    Live {
        /// Records since the newest checkpoint.
        unsigned: u64,
    },
    /// It is being written, and the next checkpoint is overdue.
    Stale {
        /// Records since the newest checkpoint.
        unsigned: u64,
        /// Age of the newest checkpoint.
        seconds: i64,
    },
    /// The process was killed, or the end was cut off: nothing says which.
    Crash {
        /// Records since the newest checkpoint.
        unsigned: u64,
        /// Bytes behind the last line feed.
        half_bytes: u64,
    },
    /// The segment that is being written is missing.
    #[default]
    NoLiveFile,
}

/// Who vouches for a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attestation {
    /// A key that was given, or one that follows from it.
    Trusted(PublicKey),
    /// A key that nobody but the log itself names.
    Unanchored(PublicKey),
    /// Nobody.
    #[default]
    Unsigned,
}

/// What is to be made of a log in which nothing was found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was written, all of it.
    Whole,
    /// Whoever can write the file could have written all of it.
    Unattested,
    /// It ends, or was cut, where a killed process may have left it: what was behind is not known.
    Unfinished,
}

impl Report {
    /// What is to be made of it.
    pub fn verdict(&self) -> Verdict {
        let damaged = self.crashes.iter().any(|crash| crash.cut_lines > 0);
        match (&self.ending, &self.attestation) {
            _ if damaged => Verdict::Unfinished,
            (Ending::Stale { .. } | Ending::Crash { .. } | Ending::NoLiveFile, _) => Verdict::Unfinished,
            (Ending::Clean | Ending::Live { .. }, Attestation::Trusted(_)) => Verdict::Whole,
            (Ending::Clean | Ending::Live { .. }, Attestation::Unanchored(_) | Attestation::Unsigned) => {
                Verdict::Unattested
            }
        }
    }

    pub(super) fn takes(&mut self, head: &Head<'_>) {
        let now = (head.seq, head.stamp.time);
        if self.last.is_some_and(|(_, before)| before > head.stamp.time) {
            self.clock_set_back += 1;
        }
        self.records += 1;
        self.first = self.first.or(Some(now));
        self.last = Some(now);
    }
}
