//! What the log says of itself: the records that are not about what anybody did, but about the log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::Digest;

/// The form of the log that this program writes and reads.
pub const FORMAT: &str = "pgveil-access-log/1";

/// A record of the log about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The first line of each segment.
    Segment(SegmentHeader),
    /// A process began to write.
    Start(Start),
    /// What the process before this one left behind, which did not end cleanly.
    Recovery(Recovery),
    /// For a time nothing could be written.
    Outage(Outage),
    /// From here on another key signs.
    Key(KeyChange),
    /// Old segments may be deleted.
    Retention(Retention),
    /// All records up to here, signed.
    Checkpoint(Checkpoint),
}

/// The first line of a segment: what has to be known to read on from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHeader {
    /// [`FORMAT`].
    pub format: String,
    /// The log, the same in all of its segments.
    pub log: Uuid,
    /// The segment's number, from 1, without gaps.
    pub segment: u64,
    /// The run of the program that began the segment.
    pub boot: Uuid,
    /// Time between two checkpoints, in seconds.
    pub checkpoint_seconds: u64,
    /// The key that signs, as a verifier key of C2SP signed notes; `None`: nothing is signed.
    pub public_key: Option<String>,
    /// How that key follows from the first: one signed note for each change, oldest first.
    pub succession: Vec<String>,
}

/// A process began to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The run of the program.
    pub boot: Uuid,
    /// The program's version.
    pub version: String,
}

/// What a process that did not end cleanly left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The last record that was whole; it is the one before this.
    pub last: u64,
    /// Bytes behind it that were no record; they were cut off and put into a file beside the log.
    pub cut_bytes: u64,
    /// Whole lines among them. A process that is killed leaves none; damage of a disk may.
    pub cut_lines: u64,
    /// Their SHA-256, if there are any.
    pub cut_digest: Option<Digest>,
    /// The file that they are in, if there are any.
    pub cut_file: Option<String>,
}

/// For a time nothing could be written, and so nothing was revealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When the first write failed.
    pub since: Timestamp,
    /// Why, as the operating system says it.
    pub reason: String,
    /// Records that nobody waited for and that were lost, since more came than are kept.
    pub lost: u64,
}

/// From the next checkpoint on another key signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key that signs from here on.
    pub public_key: String,
    /// The notes by which former keys name the new one, oldest first; none where nothing was signed before.
    pub succession: Vec<String>,
}

/// Segments up to this one may be deleted, and are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The last segment that goes.
    pub through_segment: u64,
    /// Its last record.
    pub through_seq: u64,
    /// The digest of that record's line: what the oldest segment that is left has as its first `prev`.
    pub through_digest: Digest,
    /// The rule, as the settings say it.
    pub rule: String,
}

/// All records up to the one before this, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// A C2SP signed note; see [`super::checkpoint`].
    pub note: String,
}

impl Mark {
    /// The kind that its line names.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Segment(_) => "segment",
            Self::Start(_) => "start",
            Self::Recovery(_) => "recovery",
            Self::Outage(_) => "outage",
            Self::Key(_) => "key",
            Self::Retention(_) => "retention",
            Self::Checkpoint(_) => "checkpoint",
        }
    }

    /// The record of the log about itself that a line of this kind holds; `None`: it is about something else.
    ///
    /// # Errors
    /// The line lacks fields of its kind.
    pub fn read(kind: &str, line: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match kind {
            "segment" => Self::Segment(serde_json::from_slice(line)?),
            "start" => Self::Start(serde_json::from_slice(line)?),
            "recovery" => Self::Recovery(serde_json::from_slice(line)?),
            "outage" => Self::Outage(serde_json::from_slice(line)?),
            "key" => Self::Key(serde_json::from_slice(line)?),
            "retention" => Self::Retention(serde_json::from_slice(line)?),
            "checkpoint" => Self::Checkpoint(serde_json::from_slice(line)?),
            _ => return Ok(None),
        }))
    }
}
