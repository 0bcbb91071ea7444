//! The thread that writes: it serves requests in groups, and sees to checkpoints, segments and attempts to write again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use super::disk::Disk;
use super::journal::{Journal, JournalError, now, stamp};
use super::{AccessLogError, Holds, Request};
use crate::access_log::checkpoint::CheckpointReason;
use crate::access_log::{Chain, Outage, Record, Stamp, push_record};
use crate::config::AccessLogConfig;
use crate::telemetry::Metrics;

/// Time between two attempts to write when writing has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two looks for segments that are to be deleted.
const RETENTION_INTERVAL: Duration = Duration::from_secs(600);
/// Room that there has to be for lines before reveals are possible.
const ROOM_BYTES: usize = 64 * 1024;
/// Requests that one write serves.
const BATCH_REQUESTS_MAX: usize = 4096;
/// Records that nobody waits for kept while the log can not be written; what is more is lost and counted.
const NOTES_KEPT_MAX: usize = 10_000;

type Ack = oneshot::Sender<Result<(), AccessLogError>>;

pub(super) struct Writer {
    config: AccessLogConfig,
    metrics: Arc<Metrics>,
    ready: watch::Sender<bool>,
    durable: watch::Sender<u64>,
    holds: Holds,
    journal: Journal,
    /// Since when and why nothing that somebody waits for can be written.
    failing: Option<Failing>,
    notes: VecDeque<(Stamp, Record)>,
    lost: u64,
    next_checkpoint: Instant,
    next_retention: Instant,
    lines: Lines,
}

struct Failing {
    error: AccessLogError,
    since: Timestamp,
    reason: String,
    retry_at: Instant,
}

/// Lines made and not yet written, with those who wait for them and the notes that are among them.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    chain: Option<Chain>,
    acks: Vec<Ack>,
    notes: Vec<(Stamp, Record)>,
}

impl Writer {
    pub(super) fn new(
        config: AccessLogConfig,
        metrics: Arc<Metrics>,
        ready: watch::Sender<bool>,
        durable: watch::Sender<u64>,
        holds: Holds,
        disk: Disk,
    ) -> Self {
        let journal = Journal::new(config.clone(), Arc::clone(&metrics), disk);
        let start = Instant::now();
        Self {
            next_checkpoint: start + config.checkpoint_interval,
            next_retention: start,
            config,
            metrics,
            ready,
            durable,
            holds,
            journal,
            failing: None,
            notes: VecDeque::new(),
            lost: 0,
            lines: Lines::default(),
        }
    }

    /// Open the log for the first time.
    pub(super) fn open(&mut self) -> Result<(), AccessLogError> {
        match self.journal.open(None).and_then(|()| self.journal.reserve(ROOM_BYTES)) {
            Ok(()) => {
                self.is_written();
                self.set_ready(true);
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Serve requests until the log is stopped or every handle is gone.
    pub(super) fn run(mut self, queue: &Receiver<Request>) {
        loop {
            let first = queue.recv_timeout(self.next_event().saturating_duration_since(Instant::now()));
            self.look_at_the_clock();
            let mut stop = None;
            match first {
                Ok(first) => {
                    let more = queue.try_iter().take(BATCH_REQUESTS_MAX);
                    for request in std::iter::once(first).chain(more) {
                        if let Some(done) = self.take(request) {
                            stop = Some(done);
                            break;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.stop();
                    return;
                }
            }
            self.write_lines();
            if let Some(done) = stop {
                self.stop();
                // With it goes the right to write: whoever is told may begin.
                drop(self);
                let _left = done.send(());
                return;
            }
            if self.journal.is_due() {
                let rotated = self.journal.rotate();
                self.did("the access log's file can not be closed and a new one begun", rotated);
            }
        }
    }

    fn next_event(&self) -> Instant {
        let next = self.next_checkpoint.min(self.next_retention);
        self.failing.as_ref().map_or(next, |failing| failing.retry_at.min(next))
    }

    fn look_at_the_clock(&mut self) {
        let at = Instant::now();
        if self.failing.as_ref().is_some_and(|failing| failing.retry_at <= at) {
            self.try_again();
        }
        if self.next_checkpoint <= at {
            self.next_checkpoint = at + self.config.checkpoint_interval;
            if self.journal.is_open() {
                let made = self.journal.checkpoint(CheckpointReason::Interval);
                self.did("a checkpoint of the access log can not be written", made);
            }
        }
        if self.next_retention <= at {
            self.next_retention = at + RETENTION_INTERVAL;
            if self.journal.is_open() {
                let retained = self.journal.retain(self.holds.passed_on());
                self.did("old segments of the access log can not be deleted", retained);
            }
        }
    }

    /// Take a request; whoever asks to stop is returned.
    fn take(&mut self, request: Request) -> Option<oneshot::Sender<()>> {
        match request {
            Request::Write(records, ack) => {
                if let Some(failing) = &self.failing {
                    self.metrics.access_log_failures.inc();
                    let _left = ack.send(Err(failing.error.clone()));
                } else {
                    self.push_all(&records, ack);
                }
            }
            Request::Note(record) => {
                self.keep((stamp(), record));
                self.push_notes();
            }
            Request::Reopen => {
                self.write_lines();
                if self.journal.is_open() {
                    let followed = self.journal.follow();
                    self.did("the access log can not go on in the file that is at its path now", followed);
                } else {
                    self.try_again();
                }
            }
            Request::Flush(done) => {
                self.write_lines();
                let _left = done.send(());
            }
            Request::Stop(done) => return Some(done),
        }
        None
    }

    fn push_all(&mut self, records: &[Record], ack: Ack) {
        let mut chain = self.lines.chain.unwrap_or_else(|| self.journal.chain());
        let length = self.lines.bytes.len();
        let made =
            records.iter().try_for_each(|record| push_record(&mut self.lines.bytes, &mut chain, &stamp(), record));
        match made {
            Ok(()) => {
                self.lines.chain = Some(chain);
                self.lines.acks.push(ack);
            }
            Err(error) => {
                self.lines.bytes.truncate(length);
                self.metrics.access_log_failures.inc();
                let _left = ack.send(Err(self.error(&JournalError::Line(error))));
            }
        }
    }

    fn keep(&mut self, note: (Stamp, Record)) {
        if self.notes.len() < NOTES_KEPT_MAX {
            self.notes.push_back(note);
        } else {
            self.lost = self.lost.saturating_add(1);
            self.metrics.access_log_failures.inc();
        }
    }

    /// Turn kept notes into lines, if they can be written.
    fn push_notes(&mut self) {
        if self.failing.is_some() || self.notes.is_empty() {
            return;
        }
        let mut chain = self.lines.chain.unwrap_or_else(|| self.journal.chain());
        while let Some((stamp, record)) = self.notes.pop_front() {
            if push_record(&mut self.lines.bytes, &mut chain, &stamp, &record).is_ok() {
                self.lines.notes.push((stamp, record));
            } else {
                self.metrics.access_log_failures.inc();
            }
        }
        self.lines.chain = Some(chain);
    }

    /// Write the lines that are waiting, and tell those who wait.
    fn write_lines(&mut self) {
        let Lines { mut bytes, chain, acks, notes } = std::mem::take(&mut self.lines);
        let Some(chain) = chain else { return };
        let count = chain.seq().saturating_sub(self.journal.chain().seq());
        let written = self.journal.reserve(bytes.len()).and_then(|()| self.journal.append(&bytes, chain, false));
        bytes.clear();
        self.lines.bytes = bytes;
        let told = match written {
            Ok(()) => {
                self.is_written();
                // A batch of more lines than a float can count is not written.
                self.metrics.access_log_batch_records.observe(u32::try_from(count).map_or(f64::MAX, f64::from));
                Ok(())
            }
            Err(error) => {
                for note in notes.into_iter().rev() {
                    self.notes.push_front(note);
                }
                self.metrics.access_log_failures.inc_by(u64::try_from(acks.len().max(1)).unwrap_or(1));
                Err(self.fail(&error))
            }
        };
        for ack in acks {
            // Whoever does not wait any more has ended its session: nothing was shown.
            let _left = ack.send(told.clone());
        }
    }

    /// Writing has failed: see whether it can be done again.
    fn try_again(&mut self) {
        let outage = self.failing.as_ref().map(|failing| Outage {
            since: failing.since,
            reason: failing.reason.clone(),
            lost: self.lost,
        });
        let was_open = self.journal.is_open();
        let mut opened = if was_open { Ok(()) } else { self.journal.open(outage.clone()) };
        opened = opened.and_then(|()| self.journal.reserve(ROOM_BYTES));
        if was_open && opened.is_ok() {
            // Only room was missing: the same file goes on, and says so.
            opened = self.journal.outage(outage);
        }
        match opened {
            Ok(()) => {
                (self.failing, self.lost) = (None, 0);
                self.is_written();
                self.set_ready(true);
                self.push_notes();
            }
            Err(error) => {
                let _told = self.fail(&error);
            }
        }
    }

    /// What nobody waits for was done, or not.
    fn did(&mut self, what: &'static str, outcome: Result<(), JournalError>) {
        match outcome {
            Ok(()) => self.is_written(),
            Err(error) => {
                tracing::error!(%error, "{what}");
                if !self.journal.is_open() {
                    let _told = self.fail(&error);
                }
            }
        }
    }

    fn stop(&mut self) {
        self.push_notes();
        self.write_lines();
        if self.journal.is_open() {
            let stopped = self.journal.stop();
            self.did("the access log's last checkpoint can not be written", stopped);
        }
        self.set_ready(false);
    }

    fn is_written(&self) {
        self.durable.send_replace(self.journal.chain().seq());
    }

    fn fail(&mut self, error: &JournalError) -> AccessLogError {
        let told = self.error(error);
        let retry_at = Instant::now() + RETRY_INTERVAL;
        match &mut self.failing {
            // Attempts are made each second: say it once for each failure.
            Some(failing) => (failing.error, failing.retry_at) = (told.clone(), retry_at),
            None => {
                tracing::error!(error = %told, "no reveal is possible until the access log can be written");
                let (since, reason) = (now(), error.to_string());
                self.failing = Some(Failing { error: told.clone(), since, reason, retry_at });
            }
        }
        self.set_ready(false);
        told
    }

    fn error(&self, error: &JournalError) -> AccessLogError {
        let path = self.config.path.clone();
        let reason: Arc<str> = error.to_string().into();
        match error {
            JournalError::InUse => AccessLogError::InUse { path },
            error if error.is_full() => AccessLogError::Full { path },
            JournalError::Write(_) | JournalError::Line(_) | JournalError::Closed => {
                AccessLogError::Unwritable { path, reason }
            }
            JournalError::Key(_) | JournalError::NoKey | JournalError::OtherKey | JournalError::Open(_) => {
                AccessLogError::File { path, reason }
            }
        }
    }

    fn set_ready(&self, ready: bool) {
        self.metrics.access_log_ready.set(i64::from(ready));
        if self.ready.send_replace(ready) != ready && ready {
            tracing::info!(path = %self.config.path.display(), "access log can be written");
        }
    }
}

impl Holds {
    /// The last record that all who pass records on have passed on.
    pub(super) fn passed_on(&self) -> u64 {
        let Ok(mut holds) = self.0.lock() else { return 0 };
        holds.retain(|hold| hold.strong_count() > 0);
        let passed = holds.iter().filter_map(std::sync::Weak::upgrade).map(|hold| hold.load(Ordering::Acquire));
        passed.min().unwrap_or(u64::MAX)
    }
}
