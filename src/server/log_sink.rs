//! The access log's files: one thread appends lines; whoever waits for one is told only after it is written.
//!
//! All requests that are waiting are written by one write (and one `fdatasync`, with `durability = "fsync"`), as lines of one
//! chain (see [`crate::access_log`]). What a failed write left behind is cut off again, and the file is then opened anew: see
//! `journal`. While it can not be written, [`AccessLog::is_ready`] is false and each second a new attempt is made. The log is
//! kept in segments (`segments`), which begin and end by size and age, and are deleted as the settings say; a process that
//! begins goes on behind what the one before left (`recovery`).

mod disk;
mod journal;
mod meter;
mod recovery;
mod segments;
pub mod signing;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use crate::access_log::Record;
use crate::config::AccessLogConfig;
use crate::telemetry::Metrics;
use disk::Disk;
pub use journal::now;
use meter::Meter;
pub use segments::{Cursor, SegmentFile, is_written, open_segments, segments, verify};
use writer::Writer;

/// Why records could not be written. Holds nothing of them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessLogError {
    /// There is no room on the disk.
    #[error("the access log {} can not be written: the disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file can not be written.
    #[error("the access log {} can not be written: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: Arc<str>,
    },
    /// The file can not be opened, or not be gone on with.
    #[error("the access log {} can not be opened: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: Arc<str>,
    },
    /// Another process writes this file.
    #[error("the access log {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The writer has ended: the process is ending.
    #[error("the access log is closed")]
    Closed,
}

/// What the writer is asked to do.
enum Request {
    Write(Vec<Record>, oneshot::Sender<Result<(), AccessLogError>>),
    Note(Record),
    Reopen,
    Flush(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
}

/// What has been passed on, of each who passes records on.
#[derive(Clone, Default)]
struct Holds(Arc<Mutex<Vec<Weak<AtomicU64>>>>);

/// Keeps segments from being deleted whose records were not passed on yet, as long as it lives.
#[derive(Default)]
pub struct Hold(Arc<AtomicU64>);

impl Hold {
    /// All records up to this one were passed on.
    pub fn shipped_up_to(&self, seq: u64) {
        self.0.fetch_max(seq, Ordering::AcqRel);
    }
}

/// Handle of the access log; clones share it.
#[derive(Clone)]
pub struct AccessLog {
    requests: mpsc::Sender<Request>,
    ready: watch::Receiver<bool>,
    durable: watch::Receiver<u64>,
    holds: Holds,
    meter: Arc<Meter>,
}

impl AccessLog {
    /// Open the file and start its writer.
    ///
    /// # Errors
    /// The thread can not be started, or, with `must_open`, the file can not be opened, or not be gone on with. Without
    /// `must_open`, or where only the disk can not be written, the log starts out not ready and is tried again each second.
    pub fn open(config: &AccessLogConfig, metrics: Arc<Metrics>, must_open: bool) -> Result<Self, AccessLogError> {
        Self::open_on(Disk::default(), config, metrics, must_open)
    }

    fn open_on(
        disk: Disk,
        config: &AccessLogConfig,
        metrics: Arc<Metrics>,
        must_open: bool,
    ) -> Result<Self, AccessLogError> {
        let (requests, queue) = mpsc::channel();
        let (ready_sender, ready) = watch::channel(false);
        let (durable_sender, durable) = watch::channel(0);
        let holds = Holds::default();
        let mut writer = Writer::new(config.clone(), metrics, ready_sender, durable_sender, holds.clone(), disk);
        match writer.open() {
            Ok(()) | Err(AccessLogError::Full { .. } | AccessLogError::Unwritable { .. }) => {}
            Err(error) if must_open => return Err(error),
            Err(_) => {}
        }
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&queue))
            .map_err(|error| AccessLogError::File { path: config.path.clone(), reason: error.to_string().into() })?;
        Ok(Self { requests, ready, durable, holds, meter: Arc::default() })
    }

    /// Write these records. Done when they are in the file (on the disk, with `durability = "fsync"`). The request is
    /// queued by the call itself, so that requests are written in the order of the calls.
    ///
    /// # Errors
    /// None of them may be taken as written; nothing that they speak of may be shown.
    pub fn write(
        &self,
        records: Vec<Record>,
    ) -> impl Future<Output = Result<(), AccessLogError>> + Send + 'static + use<> {
        let (done, outcome) = oneshot::channel();
        let queued = self.requests.send(Request::Write(records, done));
        async move {
            if queued.is_err() {
                return Err(AccessLogError::Closed);
            }
            outcome.await.unwrap_or(Err(AccessLogError::Closed))
        }
    }

    /// Write this record; nobody waits for it. While the file can not be written a bounded number of them is kept for
    /// later; what is more is lost, and counted. Of kinds that callers can bring about as often as they like, more than so many
    /// a second are counted only, and the count is written.
    pub fn note(&self, record: Record) {
        if self.meter.takes(&record, Instant::now()) {
            // An error means that the writer has ended with the process.
            let _closed = self.requests.send(Request::Note(record));
        }
    }

    /// Write how many records were counted only since this was called last. To be called every few seconds.
    pub fn tell_suppressed(&self) {
        for suppressed in self.meter.suppressed(Instant::now()) {
            let _closed = self.requests.send(Request::Note(Record::Suppressed(suppressed)));
        }
    }

    /// Look at the file and the signing key again: the file may have been moved away (`logrotate`; there is no need to),
    /// the key may have been changed.
    pub fn reopen(&self) {
        let _closed = self.requests.send(Request::Reopen);
    }

    /// Wait until all that was asked before this call is written, or has failed.
    pub async fn flush(&self) {
        self.tell_suppressed();
        let (done, flushed) = oneshot::channel();
        if self.requests.send(Request::Flush(done)).is_ok() {
            let _closed = flushed.await;
        }
    }

    /// End the log: all that was asked before this call is written, or has failed, and what is asked later fails. Its last
    /// record says, signed, that it ends here.
    pub async fn stop(&self) {
        self.tell_suppressed();
        let (done, stopped) = oneshot::channel();
        if self.requests.send(Request::Stop(done)).is_ok() {
            let _closed = stopped.await;
        }
    }

    /// The number of the last record that was written (with `durability = "fsync"`: that is on the disk). Those who read the
    /// files to pass records on go no further.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }

    /// Someone will pass records on, and has done so up to this one: what comes later is not deleted before.
    pub fn hold(&self, passed_on: u64) -> Hold {
        let hold = Arc::new(AtomicU64::new(passed_on));
        if let Ok(mut holds) = self.holds.0.lock() {
            holds.push(Arc::downgrade(&hold));
        }
        Hold(hold)
    }

    /// Whether events can be written, as far as known.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Follows [`AccessLog::is_ready`].
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}
