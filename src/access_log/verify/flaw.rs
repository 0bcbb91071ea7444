//! What is wrong with a log, and where.

use std::fmt;

use crate::access_log::checkpoint::BadNote;

/// The first thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The file.
    pub file: String,
    /// The line in it, from 1; 0: it is about the file.
    pub line: u64,
    /// The record's number, if it has one: what it says itself, or the last good one where something is missing.
    pub seq: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line is no record.
    #[error("this line is no record: it was altered, or put in")]
    NotARecord,
    /// The number is not the next.
    #[error("record {expected} should be here: records were removed, put in or moved")]
    Sequence {
        /// The number that should be here.
        expected: u64,
    },
    /// The digest of the record is not the one that the next has.
    #[error("the record was altered after it was written")]
    Altered,
    /// The record does not name the one before it.
    #[error("the record, or the one before it, was altered after it was written")]
    Link,
    /// A checkpoint is not what it should be.
    #[error("the checkpoint is not valid: {0}")]
    Checkpoint(BadNote),
    /// A checkpoint's line says something else than its note.
    #[error("the checkpoint's line is not what its note says")]
    CheckpointLine,
    /// The first line of a file is no header.
    #[error("the file does not begin with a segment's header")]
    NoHeader,
    /// A header in the middle of a file.
    #[error("a segment's header stands in the middle of a file")]
    HeaderInside,
    /// The format is another.
    #[error("the format of this log is not known to this version of pgveil")]
    Format,
    /// The file's name is not that of its first record.
    #[error("the file's name is not that of its first record: it was renamed, or its content is another's")]
    Name,
    /// A record of another log.
    #[error("this is of another log")]
    OtherLog,
    /// A segment is missing.
    #[error("this is segment {found}, and segment {expected} should be here: a file is missing or was put in")]
    Segment {
        /// Which should be here.
        expected: u64,
        /// Which is.
        found: u64,
    },
    /// The first record of a log is not number 1, or number 1 is not of the first segment.
    #[error("the number of the segment and that of its first record do not go together")]
    Beginning,
    /// Older segments are missing.
    #[error("the segments up to {through} are missing, and no record says that they were deleted by rule")]
    Deleted {
        /// The last of those that are missing.
        through: u64,
    },
    /// A file has no end.
    #[error("the end of this segment is missing")]
    NoEnd,
    /// A line is only begun.
    #[error("the file ends in half a line")]
    Half,
    /// There is something behind the end.
    #[error("there is something behind the end")]
    BehindEnd,
    /// A process began to write though the one before had not ended.
    #[error("a process began to write here, and there is no record of how the one before ended")]
    NoStop,
    /// No process began to write behind a recovery.
    #[error("behind a recovery there is no start")]
    NoStart,
    /// A recovery speaks of another record than the one before it.
    #[error("the recovery is not of the record before it")]
    Recovery,
    /// A public key can not be read, or is another than before.
    #[error("the key is not the one that signed before, and no record says that it was changed")]
    Key,
    /// A key that the former has not named.
    #[error("the key that signed before has not named this one as its successor")]
    Succession,
    /// The log is signed by a key that is not trusted.
    #[error("the log is signed by a key that is none of those given, nor follows from one of them")]
    UnknownKey,
    /// The log is not signed, though a key is given.
    #[error("the log is not signed, though a public key is given")]
    NotSigned,
    /// A record is not what it was when a checkpoint of it was taken outside.
    #[error("the records up to here are not those of the checkpoint of record {kept} that was kept outside")]
    NotAsKept {
        /// The checkpoint's record.
        kept: u64,
    },
    /// Records are missing that a checkpoint kept outside speaks of.
    #[error(
        "the log ends here, and the checkpoint that was kept outside has records up to {kept}: the end was cut off"
    )]
    Truncated {
        /// The checkpoint's record.
        kept: u64,
    },
    /// A checkpoint of another log was given.
    #[error("the checkpoint of record {kept} that was kept outside is of another log")]
    KeptOfAnotherLog {
        /// The checkpoint's record.
        kept: u64,
    },
    /// There is no log.
    #[error("there is no log here")]
    Empty,
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, seq, fault } = self;
        write!(out, "{file}:{line}: ")?;
        if let Some(seq) = seq {
            write!(out, "record {seq}: ")?;
        }
        write!(out, "{fault}")
    }
}
