//! Reads the access log's files from a record on, in order, and holds no more than one batch of it.
//!
//! The files are read as they are written. A file that is renamed while it is read is still read to its end; then the one
//! that goes on with the next number is opened. Only what the writer has announced as written is looked at: what a failed
//! write leaves behind is cut off again, and another record comes in its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::batch::{Batch, Record};
use super::position::{Position, digest};
use crate::access_log::{Head, Mark};
use crate::server::log_sink::segments;

/// What is read at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Times that the directory is read until nothing has changed in it meanwhile.
const LISTINGS_MAX: usize = 10;
/// Longest line that begins a file, in bytes.
const FIRST_LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why the log can not be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: byte {at} does not begin a record of the access log", path.display())]
    Damaged { path: PathBuf, at: u64 },
    #[error(
        "records {wanted} to {before} are not in the access log any more, and were not shipped: put the missing segments back, or \
         go on without them by `pgveil ship move`",
        before = found.saturating_sub(1)
    )]
    Gap { wanted: u64, found: u64 },
    #[error(
        "record {shipped} was shipped, but the access log ends with record {newest}: it has lost its end, or is another one; when \
         that is explained, set the position by `pgveil ship move`"
    )]
    Ahead { shipped: u64, newest: u64 },
    #[error(
        "record {seq} of the access log is not the one that was shipped: the log was altered, or is another one; when that is \
         explained, set the position by `pgveil ship move`"
    )]
    Another { seq: u64 },
}

/// The log's files.
pub(super) struct Segments {
    path: PathBuf,
    /// The number of the newest record that is written.
    durable: watch::Receiver<u64>,
    open: Option<Open>,
}

/// The file that is read.
struct Open {
    path: PathBuf,
    file: File,
    log: String,
    /// Where the next record begins.
    at: u64,
    /// Its number.
    next: u64,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Segments {
    /// Of the log whose newest file is at this path. `durable`: the number of its newest record, as the writer
    /// announces it.
    pub(super) fn new(path: &Path, durable: watch::Receiver<u64>) -> Self {
        Self { path: path.to_owned(), durable, open: None }
    }

    /// The number of the newest record.
    pub(super) fn newest(&self) -> u64 {
        *self.durable.borrow()
    }

    /// What is announced by now is known.
    pub(super) fn announced(&mut self) {
        self.durable.mark_unchanged();
    }

    /// Wait until more is announced since then.
    pub(super) async fn more(&mut self) {
        if self.durable.changed().await.is_err() {
            // There is no writer any more.
            std::future::pending().await
        }
    }

    /// Look for the position again, the next time.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// The records after this position, or from the oldest on; `None`: there are none yet.
    pub(super) fn read(&mut self, after: Option<&Position>, limits: Limits) -> Result<Option<Batch>, ReadError> {
        let newest = self.newest();
        // Without a position it is the oldest record each time, whatever was read before: nothing is acknowledged yet.
        let wanted = after.map(|position| position.seq.saturating_add(1));
        if self.open.as_ref().is_none_or(|open| wanted != Some(open.next)) {
            self.open = None;
            if newest == 0 {
                return Ok(None);
            }
            self.open = self.find(after, newest)?;
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.next > newest {
            return Ok(None);
        }
        let mut records = open.records(newest, limits)?;
        if records.is_empty() {
            // This file has ended: the next one goes on with the next number.
            let next = open.next;
            let files = files(&self.path)?;
            let Some((_, path)) = files.iter().find(|(first, _)| *first == next) else {
                return match files.iter().find(|(first, _)| *first > next) {
                    Some((found, _)) => Err(ReadError::Gap { wanted: next, found: *found }),
                    None => Ok(None),
                };
            };
            let mut following = Open::at_start(path, next)?;
            following.log.clone_from(&open.log);
            records = following.records(newest, limits)?;
            *open = following;
        }
        let log = open.log.clone();
        Ok(if records.is_empty() { None } else { Some(Batch { log, records }) })
    }

    /// The file with the record after this position, read up to there.
    fn find(&self, after: Option<&Position>, newest: u64) -> Result<Option<Open>, ReadError> {
        let files = files(&self.path)?;
        let Some((oldest, oldest_path)) = files.first() else { return Ok(None) };
        let Some(position) = after.filter(|position| position.seq > 0) else {
            return Open::at_start(oldest_path, *oldest).map(Some);
        };
        if position.seq > newest {
            return Err(ReadError::Ahead { shipped: position.seq, newest });
        }
        if position.seq.saturating_add(1) < *oldest {
            return Err(ReadError::Gap { wanted: position.seq.saturating_add(1), found: *oldest });
        }
        let holding = files.iter().rfind(|(first, _)| *first <= position.seq);
        // Of what was shipped nothing is left: the log goes on right after it.
        let Some((first, path)) = holding else { return Open::at_start(oldest_path, *oldest).map(Some) };
        let mut open = Open::at_start(path, *first)?;
        while open.next <= position.seq {
            let last = open.records(position.seq, Limits { records: 1000, bytes: CHUNK_BYTES })?.pop();
            let Some(last) = last else { return Err(ReadError::Gap { wanted: open.next, found: newest }) };
            let same = position.digest.is_empty() || digest(&last.line) == position.digest;
            if last.seq == position.seq && !same {
                return Err(ReadError::Another { seq: position.seq });
            }
        }
        if open.log != position.log && !position.log.is_empty() {
            return Err(ReadError::Another { seq: position.seq });
        }
        Ok(Some(open))
    }
}

/// The log's files, each with the number of its first record, by that.
fn files(log: &Path) -> Result<Vec<(u64, PathBuf)>, ReadError> {
    let list = || segments(log).map_err(|source| ReadError::File { path: log.to_owned(), source });
    let mut found = list()?;
    // The newest file may get another name while it is looked for under the old one.
    for _ in 0..LISTINGS_MAX {
        let again = list()?;
        if again == found {
            break;
        }
        found = again;
    }
    let numbered = found.into_iter().filter_map(|file| {
        let first = file.name.map(|name| name.first).or_else(|| first_number(&file.path))?;
        Some((first, file.path))
    });
    Ok(numbered.collect())
}

/// The number of a file's first record, if it begins with one.
fn first_number(path: &Path) -> Option<u64> {
    let mut line = Vec::new();
    let file = File::open(path).ok()?;
    io::BufRead::read_until(&mut io::BufReader::new(io::Read::take(file, FIRST_LINE_BYTES_MAX)), b'\n', &mut line)
        .ok()?;
    Head::read(&line).ok().map(|head| head.seq)
}

impl Open {
    fn at_start(path: &Path, first: u64) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, log: String::new(), at: 0, next: first })
    }

    /// Records from here on, up to this number.
    fn records(&mut self, newest: u64, limits: Limits) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::new();
        let mut room = CHUNK_BYTES.min(limits.bytes);
        let mut taken = 0;
        while self.next <= newest && records.len() < limits.records && taken < limits.bytes {
            let mut bytes = vec![0; room];
            let length = self.fill(&mut bytes)?;
            bytes.truncate(length);
            let lines = self.take(&bytes, newest, limits.records - records.len())?;
            if lines.is_empty() {
                if length < room {
                    break; // the end, or a line that is still being written
                }
                room *= 4;
                if room > LINE_BYTES_MAX {
                    return Err(ReadError::Damaged { path: self.path.clone(), at: self.at });
                }
                continue;
            }
            taken += lines.iter().map(|record| record.line.len()).sum::<usize>();
            records.extend(lines);
        }
        Ok(records)
    }

    /// Whole lines among these bytes, which are those at `at`.
    fn take(&mut self, bytes: &[u8], newest: u64, most: usize) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            if records.len() == most || self.next > newest {
                break;
            }
            let damaged = || ReadError::Damaged { path: self.path.clone(), at: self.at };
            let text = std::str::from_utf8(text).map_err(|_| damaged())?;
            let Head { seq, kind, .. } = Head::read(line).map_err(|_| damaged())?;
            if seq != self.next {
                return Err(ReadError::Gap { wanted: self.next, found: seq });
            }
            if let Ok(Some(Mark::Segment(header))) = Mark::read(&kind, line) {
                self.log = header.log.to_string();
            }
            records.push(Record { seq, line: text.into() });
            self.next = seq.saturating_add(1);
            self.at += u64::try_from(line.len()).unwrap_or(0);
        }
        Ok(records)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = self.at + u64::try_from(filled).unwrap_or(0);
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::File { path: self.path.clone(), source }),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::shipping::fixtures::{Scratch, line, line_with};

    const ALL: Limits = Limits { records: 1000, bytes: 1 << 20 };

    struct Log {
        scratch: Scratch,
        durable: watch::Sender<u64>,
    }

    impl Log {
        fn new() -> Self {
            Self { scratch: Scratch::new(), durable: watch::Sender::new(0) }
        }

        fn segments(&self) -> Segments {
            Segments::new(&self.scratch.path("access.jsonl"), self.durable.subscribe())
        }

        /// Append these records to the newest file, and announce them.
        fn write(&self, numbers: std::ops::RangeInclusive<u64>) {
            let last = *numbers.end();
            let lines: String = numbers.map(|seq| line(seq) + "\n").collect();
            self.append(&lines);
            self.durable.send_replace(last);
        }

        fn append(&self, text: &str) {
            let path = self.scratch.path("access.jsonl");
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        }

        fn rotate(&self, first: u64) {
            std::fs::rename(self.scratch.path("access.jsonl"), self.closed(first)).unwrap();
        }

        fn closed(&self, first: u64) -> PathBuf {
            self.scratch.path(&format!("access.jsonl.{first:018}-20261121T090504Z"))
        }
    }

    fn numbers(read: Result<Option<Batch>, ReadError>) -> Vec<u64> {
        read.unwrap().map_or_else(Vec::new, |batch| batch.records.iter().map(|record| record.seq).collect())
    }

    fn at(seq: u64) -> Position {
        Position::of("", seq, &line(seq))
    }

    #[test]
    fn records_are_read_in_order_across_files_and_batches() {
        let log = Log::new();
        let mut segments = log.segments();
        assert_eq!(numbers(segments.read(None, ALL)), [0; 0]);
        log.write(1..=3);
        let two = Limits { records: 2, ..ALL };
        assert_eq!(numbers(segments.read(None, two)), [1, 2]);
        assert_eq!(numbers(segments.read(None, two)), [1, 2]);
        log.rotate(1);
        log.write(4..=5);
        assert_eq!(numbers(segments.read(Some(&at(2)), ALL)), [3]);
        assert_eq!(numbers(segments.read(Some(&at(3)), ALL)), [4, 5]);
        assert_eq!(numbers(segments.read(Some(&at(5)), ALL)), [0; 0]);
        // Somebody who begins, and somebody who was interrupted.
        assert_eq!(numbers(log.segments().read(None, ALL)), [1, 2, 3]);
        assert_eq!(numbers(log.segments().read(Some(&at(4)), ALL)), [5]);
        // The batch is sent again: it is read again.
        assert_eq!(numbers(segments.read(Some(&at(3)), ALL)), [4, 5]);
    }

    #[test]
    fn only_what_is_announced_is_read() {
        let log = Log::new();
        let mut segments = log.segments();
        log.write(1..=1);
        log.append(&format!("{}\n{}", line(2), &line(3)[..10]));
        assert_eq!(numbers(segments.read(None, ALL)), [1]);
        assert_eq!(numbers(segments.read(Some(&at(1)), ALL)), [0; 0]);
        // The write had failed: it is cut off, and something else comes in its place.
        let path = log.scratch.path("access.jsonl");
        let length = u64::try_from(line(1).len() + 1).unwrap();
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
        log.append(&(line_with(2, &format!(",\"other\":\"{}\"", "9".repeat(400_000))) + "\n"));
        log.durable.send_replace(2);
        let batch = segments.read(Some(&at(1)), ALL).unwrap().unwrap();
        assert!(batch.records[0].line.contains("other"));
    }

    #[test]
    fn what_is_missing_or_changed_is_told_and_not_passed_over() {
        let log = Log::new();
        log.write(1..=2);
        log.rotate(1);
        log.write(3..=4);
        log.rotate(3);
        log.write(5..=6);
        let position = Position::of("", 2, &line(9));
        assert!(matches!(log.segments().read(Some(&position), ALL), Err(ReadError::Another { seq: 2 })));
        assert!(matches!(log.segments().read(Some(&at(9)), ALL), Err(ReadError::Ahead { shipped: 9, newest: 6 })));
        let mut reading = log.segments();
        assert_eq!(numbers(reading.read(Some(&at(1)), ALL)), [2]);
        std::fs::remove_file(log.closed(3)).unwrap();
        assert!(matches!(reading.read(Some(&at(2)), ALL), Err(ReadError::Gap { wanted: 3, found: 5 })));
        std::fs::remove_file(log.closed(1)).unwrap();
        assert!(matches!(log.segments().read(Some(&at(2)), ALL), Err(ReadError::Gap { wanted: 3, found: 5 })));
        // Nothing is lost that was not shipped.
        assert_eq!(numbers(log.segments().read(Some(&at(4)), ALL)), [5, 6]);
        log.append("half a rec\n");
        log.durable.send_replace(7);
        let mut reading = log.segments();
        assert!(matches!(reading.read(Some(&at(6)), ALL), Err(ReadError::Damaged { .. })));
    }
}
