//! Ships the access log elsewhere: to standard output, syslog, PostgreSQL, NATS JetStream, Kafka.
//!
//! The log's own files are the write-ahead of everything else: what is to be shipped is read from them, so that a sink that is
//! down or slow holds nothing up and needs no memory. Each sink has a thread of its own with a runtime of its own, a position
//! file, and at most one batch in memory. A batch is sent again until it is acknowledged, in order; the position moves, on the
//! disk, after the acknowledgement: so each record arrives at least once.

mod back_off;
mod batch;
#[cfg(test)]
mod fixtures;
mod position;
mod progress;
mod runner;
mod segments;
mod sink;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::config::Config;
use crate::server::log_sink::AccessLog;
use crate::telemetry::{Metrics, SinkMetrics};
pub use position::{Position, PositionError, PositionFile, read as read_position};
use progress::Progress;
use runner::{Runner, Wanted};
use segments::Segments;
use sink::Sink;
pub use sink::SinkError;
pub use sink::postgresql::table_definition;

/// Why the log can not be shipped.
#[derive(Debug, thiserror::Error)]
pub enum ShippingError {
    /// A sink's settings are wrong.
    #[error("[[access_log.ship]] {name:?}: {source}")]
    Sink {
        /// The sink's name.
        name: String,
        /// What is wrong.
        source: SinkError,
    },
    /// A thread can not be started.
    #[error("the thread that ships the access log can not be started: {0}")]
    Thread(#[from] io::Error),
}

/// The threads that ship.
pub struct Shipping {
    sinks: Vec<(Arc<Progress>, SinkMetrics)>,
    durable: watch::Receiver<u64>,
    wanted: watch::Sender<Wanted>,
    /// Closed when the last thread has ended.
    ended: watch::Receiver<()>,
}

impl Shipping {
    /// Check all sinks' settings, then start a thread for each.
    ///
    /// # Errors
    /// Settings are wrong, or a thread can not be started. That a sink is out of reach is no error.
    pub fn start(config: &Config, log: &AccessLog, metrics: &Metrics) -> Result<Self, ShippingError> {
        let (wanted, listener) = watch::channel(Wanted::default());
        let (running, ended) = watch::channel(());
        let running = Arc::new(running);
        let mut runners = Vec::new();
        for sink in &config.ship {
            let wrong = |source| ShippingError::Sink { name: sink.name.clone(), source };
            // What can not be read counts as nothing shipped, here: so all is kept.
            let reached = read_position(&sink.position_file).ok().flatten().map_or(0, |position| position.seq);
            runners.push(Runner {
                config: sink.clone(),
                segments: Segments::new(&config.access_log.path, log.durable()),
                sink: Sink::new(sink).map_err(wrong)?,
                progress: Arc::new(Progress::new(reached, log.hold(reached))),
                metrics: metrics.sink(&sink.name),
                wanted: listener.clone(),
            });
        }
        let mut started = Vec::new();
        for runner in runners {
            started.push((Arc::clone(&runner.progress), runner.metrics.clone()));
            start(runner, Arc::clone(&running))?;
        }
        Ok(Self { sinks: started, durable: log.durable(), wanted, ended })
    }

    /// Of a program that ships nothing.
    #[cfg(test)]
    pub fn none() -> Self {
        let (wanted, ended) = (watch::Sender::default(), watch::channel(()).1);
        Self { sinks: Vec::new(), durable: watch::channel(0).1, wanted, ended }
    }

    /// Read passwords and TLS files anew, connect anew, and try at once what is waiting to be tried again.
    pub fn reload(&self) {
        self.wanted.send_modify(|wanted| wanted.reloads = wanted.reloads.wrapping_add(1));
    }

    /// Ship what is there, for so long at most. What is left is shipped after the next start.
    pub async fn finish(&self, patience: Duration) {
        self.wanted.send_modify(|wanted| wanted.end = true);
        let mut ended = self.ended.clone();
        let all = async { while ended.changed().await.is_ok() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("not all of the access log is shipped yet; the rest is after the next start");
        }
    }

    /// Bring the metrics up to date on how far the sinks are behind.
    pub fn measure(&self) {
        let newest = *self.durable.borrow();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for (progress, metrics) in &self.sinks {
            let (records, seconds) = progress.behind(newest, now);
            metrics.behind_records.set(i64::try_from(records).unwrap_or(i64::MAX));
            metrics.behind_seconds.set(seconds);
        }
    }
}

/// A thread that has ended without being asked to ships nothing any more: somebody has to know.
struct Alarm {
    name: String,
    metrics: SinkMetrics,
    /// Dropped with the thread.
    _running: Arc<watch::Sender<()>>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.metrics.stopped.set(1);
            tracing::error!(sink = %self.name, "the access log is not shipped any more until pgveil is started again");
        }
    }
}

fn start(runner: Runner, running: Arc<watch::Sender<()>>) -> io::Result<()> {
    let name = runner.config.name.clone();
    let alarm = Alarm { name: name.clone(), metrics: runner.metrics.clone(), _running: running };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    // Names of threads are cut after 15 characters.
    std::thread::Builder::new().name(format!("ship-{name}")).spawn(move || {
        let _alarm = alarm;
        runtime.block_on(runner.run());
        // A write to standard output that nobody reads would be waited for.
        runtime.shutdown_background();
    })?;
    Ok(())
}
