//! The access log's file: one thread appends lines; whoever waits for one is told only after it is written.
//!
//! All requests that are waiting are written by one write (and one `fdatasync`, with `durability = "fsync"`). A line is
//! never glued to what a crash left behind, and what a failed write left behind is cut off again. While the file can not
//! be written, [`AccessLog::is_ready`] is false and each second a new attempt is made.

mod meter;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use crate::access_log::Record;
use crate::config::AccessLogConfig;
use crate::telemetry::Metrics;
use meter::Meter;
use writer::Writer;

/// Why records could not be written. Holds nothing of them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The file can not be opened or written.
    #[error("the access log {} can not be written: {reason}", path.display())]
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
}

/// Handle of the access log; clones share it.
#[derive(Clone)]
pub struct AccessLog {
    requests: mpsc::Sender<Request>,
    ready: watch::Receiver<bool>,
    meter: Arc<Meter>,
}

impl AccessLog {
    /// Open the file and start its writer.
    ///
    /// # Errors
    /// The thread can not be started, or, with `must_open`, the file can not be opened. Without `must_open` the log
    /// starts out not ready and is tried again each second.
    pub fn open(config: &AccessLogConfig, metrics: Arc<Metrics>, must_open: bool) -> Result<Self, AccessLogError> {
        let (requests, queue) = mpsc::channel();
        let (ready_sender, ready) = watch::channel(false);
        let mut writer = Writer::new(config.clone(), metrics, ready_sender);
        let opened = writer.open();
        if must_open {
            opened?;
        }
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&queue))
            .map_err(|error| AccessLogError::File { path: config.path.clone(), reason: error.to_string().into() })?;
        Ok(Self { requests, ready, meter: Arc::default() })
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

    /// Open the file anew, because it was moved away (`logrotate`).
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

    /// Whether events can be written, as far as known.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Follows [`AccessLog::is_ready`].
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}
