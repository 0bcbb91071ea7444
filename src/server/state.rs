//! What all sessions share: the newest snapshot, the access log, the catalog's refresher, metrics, TLS.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::login::Rules;
use crate::plan::Snapshot;
use crate::server::budgets::SharedBudgets;
use crate::server::catalog_login::Seen;
use crate::server::guard::SharedGuard;
use crate::server::log_sink::AccessLog;
use crate::server::reveals::Reveals;
use crate::server::seeds::SessionSeeds;
use crate::server::shipping::Shipping;
use crate::server::{Acceptor, Verifiers};
use crate::session::gate::Gate;
use crate::session::io::CatalogChanges;
use crate::telemetry::Metrics;

/// Shared by every worker, session and background task of the process.
pub struct SharedState {
    /// The newest snapshot. Load it afresh for each call of the engine.
    pub snapshot: ArcSwap<Snapshot>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where access events are written.
    pub access_log: AccessLog,
    /// What ships them elsewhere.
    pub shipping: Shipping,
    /// What filters on protected columns were used.
    pub budgets: Arc<SharedBudgets>,
    /// What callers do, and who is locked out.
    pub guard: Arc<SharedGuard>,
    /// Requests for a reveal.
    pub reveals: Reveals,
    /// What the newest snapshot's catalog was read from, for looks at whether it is still there.
    pub seen: ArcSwapOption<Seen>,
    /// Asks for a new reading of the catalog.
    pub refresher: RefreshHandle,
    /// The settings.
    pub config: Arc<Config>,
    /// How clients are offered TLS; `None`: they are not. New handshakes take the newest.
    pub client_tls: ArcSwapOption<Acceptor>,
    /// Who may come from where, and how they log in. New connections take the newest.
    pub rules: ArcSwap<Rules>,
    /// What the server has stored of passwords.
    pub verifiers: Verifiers,
    /// Random bytes for sessions.
    pub seeds: SessionSeeds,
    /// Whether the process is ending: no new connections, `/readyz` says so.
    pub draining: AtomicBool,
}

impl SharedState {
    /// From now on the process is ending.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process is ending.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Put a snapshot in force. Only the reloader calls this, so versions only grow.
    pub(super) fn publish(&self, snapshot: Snapshot) {
        self.metrics.snapshot_published(&snapshot);
        self.snapshot.store(Arc::new(snapshot));
    }
}

/// Asks the reloader for a reading of the catalog, and waits for it.
///
/// Requests are tickets, counted from 1. A reading serves all tickets that were drawn before it started, so any number of
/// sessions that ask at the same time share one reading; how often the reader starts one is its own business.
#[derive(Clone)]
pub struct RefreshHandle {
    shared: Arc<RefreshShared>,
    served: watch::Receiver<Served>,
}

struct RefreshShared {
    drawn: Mutex<Drawn>,
    wanted: Notify,
    gate: Arc<Gate>,
    /// Sessions that are logged in.
    sessions: AtomicU64,
    /// Counts what [`Gate::is_waiting`] was for.
    landings: watch::Sender<u64>,
}

/// The newest tickets.
#[derive(Clone, Copy, Debug, Default)]
struct Drawn {
    ticket: u64,
    /// Of those who want all changes.
    for_all: u64,
}

/// How far the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Served {
    /// Tickets up to this one have been served.
    ticket: u64,
    /// Tickets up to this one by a reading that succeeded.
    read: u64,
    /// When the newest reading that succeeded started.
    read_at: Option<Instant>,
}

/// The reader's end of a [`RefreshHandle`].
pub struct RefreshQueue {
    shared: Arc<RefreshShared>,
    served: watch::Sender<Served>,
}

/// A reading under way: which tickets it serves, and since when it runs.
#[must_use]
pub struct Reading {
    ticket: u64,
    wanted: CatalogChanges,
    epoch: u64,
    started: Instant,
}

impl Reading {
    /// The changes of the catalog that it sees ([`Gate::epoch`]).
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which changes are wanted by those whom it serves.
    pub fn wanted(&self) -> CatalogChanges {
        self.wanted
    }

    /// How long it runs by now.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Both ends.
pub fn refresh_channel() -> (RefreshHandle, RefreshQueue) {
    let shared = Arc::new(RefreshShared {
        drawn: Mutex::default(),
        wanted: Notify::new(),
        gate: Arc::default(),
        sessions: AtomicU64::new(0),
        landings: watch::Sender::new(0),
    });
    let (sender, served) = watch::channel(Served::default());
    (RefreshHandle { shared: Arc::clone(&shared), served }, RefreshQueue { shared, served: sender })
}

impl RefreshShared {
    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefreshHandle {
    /// Wait until nobody is about to change the catalog any more, and then until a reading of it that started after that is
    /// in place, or has failed; whether it is. Where nothing has changed that is `wanted`, the one in place is enough.
    pub async fn refresh(&self, wanted: CatalogChanges) -> bool {
        let mut landings = self.shared.landings.subscribe();
        while self.shared.gate.is_waiting() {
            if landings.changed().await.is_err() {
                break;
            }
        }
        let ticket = self.draw(wanted);
        let mut served = self.served.clone();
        // An error means that the reader is gone: the process is ending.
        served.wait_for(|served| served.ticket >= ticket).await.is_ok_and(|served| served.read >= ticket)
    }

    /// Whether what was read is enough.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.shared.gate
    }

    /// A session is logged in. While there was none nobody has looked often whether the catalog has changed.
    pub fn joined(&self) {
        if self.shared.sessions.fetch_add(1, Ordering::SeqCst) == 0 {
            self.shared.gate.changed();
            self.request();
        }
    }

    /// A session that was logged in has ended.
    pub fn left(&self) {
        self.shared.sessions.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether there are sessions that are logged in.
    pub fn has_sessions(&self) -> bool {
        self.shared.sessions.load(Ordering::Relaxed) > 0
    }

    /// Something that others wait for is over. `changed`: the catalog has to be read again.
    pub fn landed(&self, changed: bool) {
        if changed {
            self.request();
        }
        self.shared.landings.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Ask for a reading without waiting for it.
    pub fn request(&self) {
        let _unwaited = self.draw(CatalogChanges::All);
    }

    fn draw(&self, wanted: CatalogChanges) -> u64 {
        let mut drawn = self.shared.drawn();
        drawn.ticket = drawn.ticket.saturating_add(1);
        if wanted == CatalogChanges::All {
            drawn.for_all = drawn.ticket;
        }
        self.shared.wanted.notify_one();
        drawn.ticket
    }

    /// Wait until a reading has succeeded.
    pub async fn first(&self) {
        let mut served = self.served.clone();
        // An error means that the reader is gone: the process is ending.
        let _gone = served.wait_for(|served| served.read_at.is_some()).await;
    }

    /// How long ago the newest reading that succeeded was started; `None`: there was none.
    pub fn age(&self) -> Option<Duration> {
        self.served.borrow().read_at.map(|at| at.elapsed())
    }
}

impl RefreshQueue {
    /// Wait until somebody asks for a reading.
    pub async fn wanted(&self) {
        while self.shared.drawn().ticket <= self.served.borrow().ticket {
            self.shared.wanted.notified().await;
        }
    }

    /// A reading starts now.
    pub fn start(&self) -> Reading {
        let Drawn { ticket, for_all } = *self.shared.drawn();
        let epoch = self.shared.gate.epoch();
        let all = for_all > self.served.borrow().ticket;
        let wanted = if all { CatalogChanges::All } else { CatalogChanges::Lasting };
        Reading { ticket, wanted, epoch, started: Instant::now() }
    }

    /// The reading has ended; what it read, if anything, is in force.
    pub fn finish(&self, reading: Reading, succeeded: bool) {
        self.served.send_modify(|served| {
            served.ticket = served.ticket.max(reading.ticket);
            if succeeded {
                served.read = served.read.max(reading.ticket);
                served.read_at = Some(reading.started);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_reading_serves_those_who_asked_before_it_started_and_no_others() {
        run(async {
            let (handle, queue) = refresh_channel();
            let early = tokio::spawn({
                let handle = handle.clone();
                async move { handle.refresh(CatalogChanges::All).await }
            });
            queue.wanted().await;
            let reading = queue.start();
            let late = tokio::spawn({
                let handle = handle.clone();
                async move { handle.refresh(CatalogChanges::All).await }
            });
            tokio::task::yield_now().await;
            queue.finish(reading, true);
            assert!(early.await.unwrap());
            assert!(!late.is_finished());
            queue.wanted().await;
            queue.finish(queue.start(), false);
            assert!(!late.await.unwrap());
        });
    }

    #[test]
    fn a_reader_that_is_gone_leaves_nobody_waiting() {
        run(async {
            let (handle, queue) = refresh_channel();
            drop(queue);
            assert!(!handle.refresh(CatalogChanges::All).await);
            assert_eq!(handle.age(), None);
        });
    }
}
