//! The thread that owns the file.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::{AccessLogError, Request};
use crate::access_log::{Record, Stamp, push_line};
use crate::config::{AccessLogConfig, Durability};
use crate::telemetry::Metrics;

/// Time between two attempts to open a file that could not be written.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Requests that one write serves.
const BATCH_REQUESTS_MAX: usize = 4096;
/// Records that nobody waits for kept while the file can not be written; what is more is lost and counted.
const NOTES_KEPT_MAX: usize = 10_000;
/// Bytes that must fit on the disk before the log counts as writable again.
const PROBE_BYTES: usize = 4096;

type Ack = oneshot::Sender<Result<(), AccessLogError>>;

pub(super) struct Writer {
    config: AccessLogConfig,
    metrics: Arc<Metrics>,
    ready: watch::Sender<bool>,
    file: Result<File, AccessLogError>,
    /// When to try again: while there is no file, or the file has been moved away and no new one can be opened.
    retry_at: Option<Instant>,
    notes: VecDeque<(Stamp, Record)>,
    /// Whether the failure under way has been logged.
    failing: bool,
    lines: Lines,
}

/// Lines made and not yet written, with those who wait for them.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
    acks: Vec<Ack>,
}

impl Writer {
    pub(super) fn new(config: AccessLogConfig, metrics: Arc<Metrics>, ready: watch::Sender<bool>) -> Self {
        Self {
            config,
            metrics,
            ready,
            file: Err(AccessLogError::Closed),
            retry_at: None,
            notes: VecDeque::new(),
            failing: false,
            lines: Lines::default(),
        }
    }

    /// Serve requests until every handle is gone.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        loop {
            let first = match self.retry_at {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            if self.retry_at.is_some_and(|at| at <= Instant::now()) {
                self.follow_path();
            }
            match first {
                Ok(first) => {
                    self.take(first);
                    for request in queue.try_iter().take(BATCH_REQUESTS_MAX) {
                        self.take(request);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.write_lines();
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Write(records, ack) => {
                let length = self.lines.bytes.len();
                let made = records.iter().try_for_each(|record| push_line(&mut self.lines.bytes, &stamp(), record));
                match made {
                    Ok(()) => {
                        self.lines.count += u64::try_from(records.len()).unwrap_or(u64::MAX);
                        self.lines.acks.push(ack);
                    }
                    Err(error) => {
                        self.lines.bytes.truncate(length);
                        self.metrics.access_log_failures.inc();
                        let _left = ack.send(Err(self.error(&error)));
                    }
                }
            }
            Request::Note(record) => {
                self.keep(record);
                self.write_notes();
            }
            Request::Reopen => {
                self.write_lines();
                self.follow_path();
            }
            Request::Flush(done) => {
                self.write_lines();
                let _left = done.send(());
            }
        }
    }

    fn keep(&mut self, record: Record) {
        if self.notes.len() < NOTES_KEPT_MAX {
            self.notes.push_back((stamp(), record));
        } else {
            self.metrics.access_log_failures.inc();
        }
    }

    /// Turn kept notes into lines, if there is a file for them.
    fn write_notes(&mut self) {
        if self.file.is_err() {
            return;
        }
        for (stamp, record) in self.notes.drain(..) {
            let length = self.lines.bytes.len();
            if push_line(&mut self.lines.bytes, &stamp, &record).is_ok() {
                self.lines.count += 1;
            } else {
                self.lines.bytes.truncate(length);
                self.metrics.access_log_failures.inc();
            }
        }
    }

    /// Write the lines that are waiting, and tell those who wait.
    fn write_lines(&mut self) {
        let Lines { bytes, count, acks } = &mut self.lines;
        if bytes.is_empty() && acks.is_empty() {
            return;
        }
        let (count, acks) = (std::mem::take(count), std::mem::take(acks));
        let mut bytes = std::mem::take(bytes);
        let mut outcome = self.append(&bytes);
        if let Err(Unwritten::Gone) = outcome {
            let _failed = self.open();
            outcome = self.append(&bytes);
        }
        bytes.clear();
        self.lines.bytes = bytes;
        let told = match outcome {
            Ok(()) => {
                self.metrics.access_log_writes.inc_by(count);
                Ok(())
            }
            Err(Unwritten::Gone) => Err(self.failed("the file was removed")),
            Err(Unwritten::NoFile(error)) => Err(error),
            Err(Unwritten::File(error)) => Err(self.failed(&error)),
        };
        if told.is_err() {
            self.metrics.access_log_failures.inc_by(u64::try_from(acks.len().max(1)).unwrap_or(1));
        }
        for ack in acks {
            // Whoever does not wait any more has ended its session: nothing was shown.
            let _left = ack.send(told.clone());
        }
    }

    fn append(&self, bytes: &[u8]) -> Result<(), Unwritten> {
        let mut file = self.file.as_ref().map_err(|error| Unwritten::NoFile(error.clone()))?;
        let before = file.metadata()?;
        if before.is_file() && before.nlink() == 0 {
            return Err(Unwritten::Gone);
        }
        let durable = match self.config.durability {
            Durability::Write => false,
            Durability::Fsync => before.is_file(),
        };
        let written = file.write_all(bytes).and_then(|()| if durable { file.sync_data() } else { Ok(()) });
        if written.is_err() && before.is_file() {
            // The lock makes this process the only writer, so what is past `before` is this batch's. If it can not be
            // cut off, the next opening ends the half line.
            let _kept = file.set_len(before.len());
        }
        Ok(written?)
    }

    /// Open the file of the path, in place of the one that is open.
    pub(super) fn open(&mut self) -> Result<(), AccessLogError> {
        self.file = Err(AccessLogError::Closed); // the old lock must go before a new one is taken
        let recovering = self.failing;
        match open_file(&self.config).and_then(|file| probe(&file, recovering).map(|()| file).map_err(Unopened::File)) {
            Ok(file) => {
                self.file = Ok(file);
                self.retry_at = None;
                self.failing = false;
                self.set_ready(true);
                self.write_notes();
                Ok(())
            }
            Err(Unopened::InUse) => {
                let error = AccessLogError::InUse { path: self.config.path.clone() };
                Err(self.fail(error))
            }
            Err(Unopened::File(error)) => Err(self.failed(&error)),
        }
    }

    /// The file may have been moved away: open the one that the path means now. If that fails, go on with the old one,
    /// which still records, and try again.
    fn follow_path(&mut self) {
        self.retry_at = None;
        let Ok(open) = &self.file else {
            // Failing again is told by `fail`, and to whoever asks for a write.
            let _failed = self.open();
            return;
        };
        if same_file(open, &self.config.path) {
            return;
        }
        match open_file(&self.config) {
            Ok(file) => {
                self.file = Ok(file);
                tracing::info!(path = %self.config.path.display(), "access log opened anew");
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY_INTERVAL);
                let path = self.config.path.display();
                tracing::error!(%path, %error, "access log can not be opened anew; going on with the file that is open");
            }
        }
    }

    fn failed(&mut self, reason: impl std::fmt::Display) -> AccessLogError {
        let error = self.error(reason);
        self.fail(error)
    }

    fn fail(&mut self, error: AccessLogError) -> AccessLogError {
        // Attempts are made each second: say it once for each failure.
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, "no reveal is possible until the access log can be written");
        }
        self.file = Err(error.clone());
        self.retry_at = Some(Instant::now() + RETRY_INTERVAL);
        self.set_ready(false);
        error
    }

    fn error(&self, reason: impl std::fmt::Display) -> AccessLogError {
        AccessLogError::File { path: self.config.path.clone(), reason: reason.to_string().into() }
    }

    fn set_ready(&self, ready: bool) {
        self.metrics.access_log_ready.set(i64::from(ready));
        if self.ready.send_replace(ready) != ready && ready {
            tracing::info!(path = %self.config.path.display(), "access log can be written");
        }
    }
}

/// Why a batch was not written.
enum Unwritten {
    /// The file has no name any more: records in it would be lost.
    Gone,
    NoFile(AccessLogError),
    File(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

#[derive(Debug, thiserror::Error)]
enum Unopened {
    #[error("another process has it open")]
    InUse,
    #[error("{0}")]
    File(#[from] io::Error),
}

/// Open for appending, alone, at the start of a line.
fn open_file(config: &AccessLogConfig) -> Result<File, Unopened> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    // A pipe or a terminal can not always be read; a file has to be, for its last byte.
    let regular = std::fs::metadata(&config.path).map_or(true, |found| found.is_file());
    let mut file = options.read(regular).open(&config.path)?;
    if !file.metadata()?.is_file() {
        return Ok(file);
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(Unopened::InUse),
        Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
    }
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Whether the disk takes bytes: write blanks and cut them off again. What is no file on a disk (a pipe, a terminal) can
/// not be cut: it gets an empty line, and only when a write has failed before.
fn probe(mut file: &File, recovering: bool) -> io::Result<()> {
    let before = file.metadata()?;
    if !before.is_file() {
        return if recovering { file.write_all(b"\n") } else { Ok(()) };
    }
    let mut blanks = [b' '; PROBE_BYTES];
    blanks[PROBE_BYTES - 1] = b'\n';
    let written = file.write_all(&blanks);
    // Where this is not permitted (a file that may only grow), a blank line stays.
    let _kept = file.set_len(before.len());
    written
}

fn stamp() -> Stamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp { time: Timestamp::UNIX_EPOCH.saturating_add(since_epoch).unwrap_or(Timestamp::MAX), id: Uuid::now_v7() }
}

fn same_file(open: &File, path: &std::path::Path) -> bool {
    match (open.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}
