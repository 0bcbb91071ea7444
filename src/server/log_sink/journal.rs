//! The log as it is on the disk: where its chain is, the file that is open, and what begins and ends segments.
//!
//! What was appended and reported done is in the file; what failed is cut off again, and the file is not touched by that
//! descriptor any more: after a failed sync nobody knows what of it the system still means to write. [`Journal::open`]
//! opens it anew and goes on behind the last record that was done.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use uuid::Uuid;

use super::disk::{Disk, sync_directory};
use super::recovery::{Found, State, find, rename_new};
use super::segments::{beside, lock, segments};
use super::signing::{self, KeyFile, SigningKeyError};
use crate::access_log::checkpoint::CheckpointReason;
use crate::access_log::{
    Chain, Digest, FORMAT, Head, KeyChange, Mark, Outage, Recovery, Retention, SegmentHeader, SegmentName, Stamp,
    Start, Unwritable, push_checkpoint, push_mark,
};
use crate::config::{AccessLogConfig, Durability};
use crate::telemetry::Metrics;

/// Bytes that the disk keeps free behind the log, for what has to be said when it is full: checkpoints, ends.
const RESERVE_BYTES: u64 = 64 * 1024;
/// Bytes that it is asked to keep at once.
const RESERVE_STEP_BYTES: u64 = 1024 * 1024;

/// Why the log can not be opened or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("another process writes it")]
    InUse,
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    #[error("it is signed, and access_log.signing_key is not set")]
    NoKey,
    #[error(
        "the signing key is not the one that has signed it so far, nor named by that one (`pgveil log rotate-key`)"
    )]
    OtherKey,
    #[error("{0}")]
    Open(#[source] io::Error),
    #[error("{0}")]
    Write(#[source] io::Error),
    #[error("{0}")]
    Line(#[from] Unwritable),
    #[error("it is not open")]
    Closed,
}

impl JournalError {
    /// Whether the disk, or this user's part of it, is full.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Open(error) | Self::Write(error) => {
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::InUse | Self::Key(_) | Self::NoKey | Self::OtherKey | Self::Line(_) | Self::Closed => false,
        }
    }
}

pub(super) struct Journal {
    config: AccessLogConfig,
    metrics: Arc<Metrics>,
    disk: Disk,
    boot: Uuid,
    key: Option<KeyFile>,
    lock: Option<File>,
    /// Where the log is; `None`: nothing was opened yet.
    state: Option<State>,
    file: Option<OpenFile>,
}

struct OpenFile {
    file: File,
    /// Not a pipe and not a terminal: it can be read, cut, locked and made durable.
    regular: bool,
    /// Up to which byte the disk keeps room.
    reserved: u64,
}

/// What is written at once: lines, and where the chain is behind them.
struct Batch {
    bytes: Vec<u8>,
    chain: Chain,
}

impl Batch {
    fn mark(&mut self, mark: &Mark) -> Result<(), Unwritable> {
        push_mark(&mut self.bytes, &mut self.chain, &stamp(), mark)
    }
}

impl Journal {
    pub(super) fn new(config: AccessLogConfig, metrics: Arc<Metrics>, disk: Disk) -> Self {
        Self { config, metrics, disk, boot: Uuid::now_v7(), key: None, lock: None, state: None, file: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Where the chain is.
    pub(super) fn chain(&self) -> Chain {
        self.state.as_ref().map(|state| state.chain).unwrap_or_default()
    }

    /// Open the file, in place of one that is open, and write what has to be said there first. `outage`: why nothing could
    /// be written since when.
    pub(super) fn open(&mut self, outage: Option<Outage>) -> Result<(), JournalError> {
        self.file = None;
        let regular = std::fs::metadata(&self.config.path).map_or(true, |found| found.is_file());
        if regular {
            self.take_lock()?;
        }
        self.load_key()?;
        match self.state.take() {
            None => self.begin(regular),
            Some(state) => {
                // What was done stays so, whatever becomes of this attempt.
                self.state = Some(state);
                self.resume(regular, outage)
            }
        }
    }

    /// Append lines; `chain` is where the chain is behind them. Done when they are in the file, and, if it is to be so
    /// by the settings or `durable`, on the disk.
    pub(super) fn append(&mut self, bytes: &[u8], chain: Chain, durable: bool) -> Result<(), JournalError> {
        let (Some(state), Some(open)) = (&mut self.state, &self.file) else { return Err(JournalError::Closed) };
        let durable = open.regular && (durable || self.config.durability == Durability::Fsync);
        let there = || match open.regular && open.file.metadata()?.nlink() == 0 {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed")),
            false => Ok(()),
        };
        let written = there().and_then(|()| self.disk.write(&open.file, bytes)).and_then(|()| match durable {
            true => {
                let start = Instant::now();
                let synced = self.disk.sync(&open.file);
                self.metrics.access_log_sync_seconds.observe(start.elapsed().as_secs_f64());
                synced
            }
            false => Ok(()),
        });
        if let Err(error) = written {
            if open.regular {
                // This process is the only writer, so what is behind is this batch's. If it can not be cut off now, it
                // is when the file is opened again.
                let _kept = open.file.set_len(state.len);
            }
            self.file = None;
            return Err(JournalError::Write(error));
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.metrics.access_log_bytes.inc_by(length);
        self.metrics.access_log_writes.inc_by(chain.seq().saturating_sub(state.chain.seq()));
        state.len = state.len.saturating_add(length);
        state.chain = chain;
        Ok(())
    }

    /// Have the disk keep room for so many bytes, and for what has to be said when it is full. Where it can not, nothing
    /// was written, and the file stays open.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), JournalError> {
        let (Some(state), Some(open)) = (&self.state, &mut self.file) else { return Err(JournalError::Closed) };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let needed = state.len.saturating_add(bytes).saturating_add(RESERVE_BYTES);
        if !open.regular || open.reserved >= needed {
            return Ok(());
        }
        let mut outcome = Ok(());
        for more in [RESERVE_STEP_BYTES, 0] {
            let to = needed.saturating_add(more);
            match self.disk.reserve(&open.file, state.len, to - state.len) {
                Ok(kept) => {
                    open.reserved = if kept { to } else { u64::MAX };
                    return Ok(());
                }
                Err(error) => outcome = Err(JournalError::Write(error)),
            }
        }
        outcome
    }

    /// Write a checkpoint of all that there is. It is on the disk then, whatever the settings say of records.
    pub(super) fn checkpoint(&mut self, reason: CheckpointReason) -> Result<(), JournalError> {
        let batch = Batch { bytes: Vec::new(), chain: self.chain() };
        self.finish(batch, reason)
    }

    /// Say that for a time nothing could be written.
    pub(super) fn outage(&mut self, outage: Option<Outage>) -> Result<(), JournalError> {
        let mut batch = Batch { bytes: Vec::new(), chain: self.chain() };
        self.push_marks(&mut batch, outage.map(Mark::Outage).into_iter().collect())?;
        self.finish(batch, CheckpointReason::Interval)
    }

    /// Whether it is time for another segment.
    pub(super) fn is_due(&self) -> bool {
        let (Some(state), Some(open)) = (&self.state, &self.file) else { return false };
        let age = now().duration_since(state.begun).unsigned_abs();
        open.regular && (state.len >= self.config.segment_bytes || age >= self.config.segment_age)
    }

    /// End the segment and begin the next.
    pub(super) fn rotate(&mut self) -> Result<(), JournalError> {
        self.end_segment()?;
        self.next_segment(CheckpointReason::Start, Vec::new())
    }

    /// The path may name another file, and the key may have been changed: go on with those.
    pub(super) fn follow(&mut self) -> Result<(), JournalError> {
        self.load_key()?;
        let moved = match (&self.file, &self.state) {
            (Some(open), Some(_)) if open.regular => !is_named(&open.file, &self.config.path),
            _ => false,
        };
        if moved {
            // Whoever has moved it away gets a file with an end.
            self.end_segment_in_place()?;
            return self.next_segment(CheckpointReason::Start, Vec::new());
        }
        let mut batch = Batch { bytes: Vec::new(), chain: self.chain() };
        self.push_key_change(&mut batch)?;
        if batch.bytes.is_empty() { Ok(()) } else { self.finish(batch, CheckpointReason::Interval) }
    }

    /// The process ends.
    pub(super) fn stop(&mut self) -> Result<(), JournalError> {
        self.checkpoint(CheckpointReason::Stop)?;
        self.release_room();
        self.file = None;
        Ok(())
    }

    /// Delete segments that are older than they are to be kept, up to the record that was passed on.
    pub(super) fn retain(&mut self, passed_on: u64) -> Result<(), JournalError> {
        let Some(keep) = self.config.retention.time() else { return Ok(()) };
        if self.file.as_ref().is_none_or(|open| !open.regular) {
            return Ok(());
        }
        let files = segments(&self.config.path).map_err(JournalError::Open)?;
        let oldest_kept = now().as_second().saturating_sub(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX));
        // A segment's last record is older than the first of the next.
        let closed: Vec<_> = files.iter().filter_map(|file| file.name.map(|name| (file, name))).collect();
        let next = closed.iter().skip(1).map(|(file, name)| (&file.path, name.second, name.first));
        let live = self.state.as_ref().map(|state| (&self.config.path, state.begun.as_second(), state.first));
        let old = closed
            .iter()
            .zip(next.chain(live))
            .take_while(|(_, (_, second, first))| *second < oldest_kept && first.saturating_sub(1) <= passed_on);
        let old: Vec<_> = old.map(|((file, _), (next, ..))| (file.path.clone(), next.clone())).collect();
        let Some((_, next)) = old.last() else { return Ok(()) };
        let (segment, seq, prev) = first_line(next).map_err(JournalError::Open)?;
        let mut batch = Batch { bytes: Vec::new(), chain: self.chain() };
        batch.mark(&Mark::Retention(Retention {
            through_segment: segment.saturating_sub(1),
            through_seq: seq.saturating_sub(1),
            through_digest: prev,
            rule: self.config.retention.to_string(),
        }))?;
        self.finish(batch, CheckpointReason::Interval)?;
        for (path, _) in &old {
            std::fs::remove_file(path).map_err(JournalError::Open)?;
            tracing::info!(path = %path.display(), "a segment of the access log was deleted, by access_log.retention");
        }
        sync_directory(&self.config.path).map_err(JournalError::Open)?;
        self.count_segments();
        Ok(())
    }

    fn take_lock(&mut self) -> Result<(), JournalError> {
        let path = beside(&self.config.path, "lock");
        if self.lock.as_ref().is_some_and(|lock| is_named(lock, &path)) {
            return Ok(());
        }
        self.lock = Some(lock(&self.config.path).map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse,
            TryLockError::Error(error) => JournalError::Open(error),
        })?);
        Ok(())
    }

    fn load_key(&mut self) -> Result<(), JournalError> {
        self.key = self.config.signing_key.as_deref().map(signing::read).transpose()?;
        Ok(())
    }

    /// The first time in this process: behind what a former one has left.
    fn begin(&mut self, regular: bool) -> Result<(), JournalError> {
        let found = if regular { find(&self.config.path, now()).map_err(JournalError::Open)? } else { None };
        let (state, recovery, live) = match found {
            Some(Found { state, recovery, live }) => (state, recovery, live),
            None => (self.new_log(), None, false),
        };
        let ended = state.ended;
        self.state = Some(state);
        let begun = self.begin_in(regular, recovery, live, ended);
        if begun.is_err() {
            // The next attempt looks again at what is there.
            (self.state, self.file) = (None, None);
        }
        begun
    }

    fn begin_in(
        &mut self,
        regular: bool,
        recovery: Option<Recovery>,
        live: bool,
        ended: bool,
    ) -> Result<(), JournalError> {
        let mut marks = Vec::new();
        if let Some(recovery) = recovery {
            tracing::warn!(
                last = recovery.last,
                cut_bytes = recovery.cut_bytes,
                "the access log was not ended cleanly: it goes on behind its last record"
            );
            marks.push(Mark::Recovery(recovery));
        }
        marks.push(Mark::Start(Start { boot: self.boot, version: env!("CARGO_PKG_VERSION").to_owned() }));
        if !ended {
            self.open_file(regular)?;
            let mut batch = Batch { bytes: Vec::new(), chain: self.chain() };
            self.push_marks(&mut batch, marks)?;
            self.push_key_change(&mut batch)?;
            return self.finish(batch, CheckpointReason::Start);
        }
        if live {
            self.close_name()?;
        }
        self.next_segment_in(regular, CheckpointReason::Start, marks)
    }

    /// Behind what this process has written.
    fn resume(&mut self, regular: bool, outage: Option<Outage>) -> Result<(), JournalError> {
        let marks: Vec<_> = outage.map(Mark::Outage).into_iter().collect();
        let Some(state) = &self.state else { return Err(JournalError::Closed) };
        let (len, last, ended) = (state.len, state.chain.last(), state.ended);
        let ours = regular && is_behind(&self.config.path, len, last).map_err(JournalError::Open)?;
        if ended && ours {
            self.close_name()?;
        }
        if ended || (regular && !ours) {
            return self.next_segment_in(regular, CheckpointReason::Start, marks);
        }
        self.open_file(regular)?;
        if let (Some(open), true) = (&self.file, regular) {
            open.file.set_len(len).map_err(JournalError::Write)?;
        }
        let mut batch = Batch { bytes: Vec::new(), chain: self.chain() };
        self.push_marks(&mut batch, marks)?;
        self.push_key_change(&mut batch)?;
        self.finish(batch, CheckpointReason::Interval)
    }

    fn new_log(&self) -> State {
        State {
            log: Uuid::now_v7(),
            chain: Chain::default(),
            segment: 0,
            first: 1,
            begun: now(),
            signer: self.key.as_ref().map(|file| file.key.public().clone()),
            succession: self.key.as_ref().map(|file| file.succession.clone()).unwrap_or_default(),
            len: 0,
            ended: true,
        }
    }

    fn open_file(&mut self, regular: bool) -> Result<(), JournalError> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let file = options.read(regular).open(&self.config.path).map_err(JournalError::Open)?;
        self.file = Some(OpenFile { file, regular, reserved: 0 });
        Ok(())
    }

    /// The segment's last record, and its file's last name.
    fn end_segment(&mut self) -> Result<(), JournalError> {
        self.end_segment_in_place()?;
        self.close_name()
    }

    fn end_segment_in_place(&mut self) -> Result<(), JournalError> {
        self.checkpoint(CheckpointReason::SegmentEnd)?;
        self.release_room();
        if let Some(state) = &mut self.state {
            state.ended = true;
        }
        self.file = None;
        Ok(())
    }

    /// Give the file that has ended the name of a closed segment.
    fn close_name(&mut self) -> Result<(), JournalError> {
        let Some(state) = &self.state else { return Err(JournalError::Closed) };
        let path = &self.config.path;
        let base = path.file_name().unwrap_or_default().to_string_lossy();
        let closed = path.with_file_name(SegmentName::new(state.first, state.begun).beside(&base));
        rename_new(path, &closed).and_then(|()| sync_directory(path)).map_err(JournalError::Open)
    }

    fn next_segment(&mut self, reason: CheckpointReason, marks: Vec<Mark>) -> Result<(), JournalError> {
        self.next_segment_in(true, reason, marks)
    }

    /// Make the next file, with its header, these marks and a checkpoint.
    fn next_segment_in(
        &mut self,
        regular: bool,
        reason: CheckpointReason,
        marks: Vec<Mark>,
    ) -> Result<(), JournalError> {
        if regular {
            self.make_way().map_err(JournalError::Open)?;
        }
        self.open_file(regular)?;
        let Some(state) = &mut self.state else { return Err(JournalError::Closed) };
        let (mut batch, stamp) = (Batch { bytes: Vec::new(), chain: state.chain }, stamp());
        let header = SegmentHeader {
            format: FORMAT.to_owned(),
            log: state.log,
            segment: state.segment.saturating_add(1),
            boot: self.boot,
            checkpoint_seconds: self.config.checkpoint_interval.as_secs(),
            public_key: state.signer.as_ref().map(ToString::to_string),
            succession: state.succession.clone(),
        };
        push_mark(&mut batch.bytes, &mut batch.chain, &stamp, &Mark::Segment(header))?;
        let (first, before) = (state.chain.next(), state.len);
        state.len = 0;
        let filled = self.fill(batch, reason, marks);
        let Some(state) = &mut self.state else { return Err(JournalError::Closed) };
        if let Err(error) = filled {
            // The file is empty again.
            state.len = before;
            return Err(error);
        }
        state.segment = state.segment.saturating_add(1);
        (state.first, state.begun, state.ended) = (first, stamp.time, false);
        if regular {
            sync_directory(&self.config.path).map_err(JournalError::Open)?;
            self.count_segments();
        }
        Ok(())
    }

    /// What is at the path and was not written by this process is kept under another name.
    fn make_way(&self) -> io::Result<()> {
        let path = &self.config.path;
        match std::fs::metadata(path) {
            Ok(found) if found.len() > 0 => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let other = beside(path, &format!("foreign-{}", now().strftime("%Y%m%dT%H%M%SZ")));
        tracing::error!(
            path = %path.display(), other = %other.display(),
            "the access log's file is not the one that was written: it is kept under this name, and another begins"
        );
        rename_new(path, &other)
    }

    fn fill(&mut self, mut batch: Batch, reason: CheckpointReason, marks: Vec<Mark>) -> Result<(), JournalError> {
        self.push_marks(&mut batch, marks)?;
        self.push_key_change(&mut batch)?;
        self.finish(batch, reason)
    }

    fn push_marks(&self, batch: &mut Batch, marks: Vec<Mark>) -> Result<(), JournalError> {
        for mut mark in marks {
            if let Mark::Recovery(recovery) = &mut mark {
                recovery.last = batch.chain.seq();
            }
            batch.mark(&mark)?;
        }
        Ok(())
    }

    /// If another key is to sign from here on, say so.
    fn push_key_change(&mut self, batch: &mut Batch) -> Result<(), JournalError> {
        let Some(state) = &mut self.state else { return Err(JournalError::Closed) };
        let file = match (&self.key, &state.signer) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(JournalError::NoKey),
            (Some(file), Some(signer)) if file.key.public() == signer => return Ok(()),
            (Some(file), _) => file,
        };
        if let Some(signer) = &state.signer {
            let named = file.succession.iter().fold(signer.clone(), |key, note| key.successor(note).unwrap_or(key));
            if named != *file.key.public() {
                return Err(JournalError::OtherKey);
            }
        }
        let public_key = file.key.public().to_string();
        batch.mark(&Mark::Key(KeyChange { public_key, succession: file.succession.clone() }))?;
        Ok(())
    }

    /// Append a batch and a checkpoint behind it.
    fn finish(&mut self, mut batch: Batch, reason: CheckpointReason) -> Result<(), JournalError> {
        let Some(state) = &self.state else { return Err(JournalError::Closed) };
        let (log, stamp) = (state.log, stamp());
        let key = self.key.as_ref();
        if key.is_none() && state.signer.is_some() {
            return Err(JournalError::NoKey);
        }
        let Batch { bytes, chain } = &mut batch;
        let note = push_checkpoint(bytes, chain, &stamp, log, reason, key.map(|file| &file.key))?;
        self.append(&batch.bytes, batch.chain, true)?;
        if let (Some(state), Some(file)) = (&mut self.state, &self.key) {
            state.signer = Some(file.key.public().clone());
            state.succession.clone_from(&file.succession);
        }
        self.metrics.access_log_checkpoint_time.set(seconds(stamp.time));
        self.export(&note);
        Ok(())
    }

    /// Put the checkpoint where others take it from. That it can not be put there stops nothing.
    fn export(&self, note: &str) {
        let Some(path) = &self.config.checkpoint_file else { return };
        let new = beside(path, "new");
        let put = std::fs::write(&new, note).and_then(|()| std::fs::rename(&new, path));
        if let Err(error) = put {
            tracing::error!(path = %path.display(), %error, "access_log.checkpoint_file can not be written");
        }
    }

    /// Give back the room behind the end of the file.
    fn release_room(&self) {
        if let (Some(open), Some(state)) = (&self.file, &self.state)
            && open.regular
        {
            let _kept = open.file.set_len(state.len);
        }
    }

    fn count_segments(&self) {
        if let Ok(files) = segments(&self.config.path) {
            self.metrics.access_log_segments.set(i64::try_from(files.len()).unwrap_or(i64::MAX));
        }
    }
}

/// Segment, number and `prev` of a file's header.
fn first_line(path: &Path) -> io::Result<(u64, u64, Digest)> {
    let mut line = Vec::new();
    io::BufRead::read_until(&mut io::BufReader::new(File::open(path)?), b'\n', &mut line)?;
    let read = || {
        let head = Head::read(&line).ok()?;
        match Mark::read(&head.kind, &line).ok()? {
            Some(Mark::Segment(header)) => Some((header.segment, head.seq, head.prev)),
            _ => None,
        }
    };
    read().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} has no header", path.display())))
}

/// Whether the file at a path has a line with this digest that ends at this byte.
fn is_behind(path: &Path, len: u64, last: Digest) -> io::Result<bool> {
    const LINE_BYTES_MAX: u64 = 1024 * 1024;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() < len {
        return Ok(false);
    }
    let from = len.saturating_sub(LINE_BYTES_MAX);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(len - from).read_to_end(&mut bytes)?;
    let line = bytes.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
    Ok(Digest::of(line) == last)
}

/// Whether a path names the file that is open.
fn is_named(open: &File, path: &Path) -> bool {
    match (open.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

/// The time, as records have it: to the microsecond.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

pub(super) fn stamp() -> Stamp {
    Stamp { time: now(), id: Uuid::now_v7() }
}

fn seconds(time: Timestamp) -> f64 {
    // Whole microseconds of this century are exact.
    std::time::Duration::from_micros(u64::try_from(time.as_microsecond()).unwrap_or(0)).as_secs_f64()
}
