//! What outlives the process, and what several processes share: locks, alerts, grants, what the guard has counted, what
//! was spent of inference budgets.
//!
//! A thread of its own exchanges with the store: what was counted here since the last time goes there, what others have
//! counted comes back. That is each `POLL_INTERVAL`, and at once when somebody waits for it, so that no session waits for
//! the store but one that has counted much ([`StateStore::settle`]). The store is a file, which several processes of one
//! machine may share, or a PostgreSQL database for several machines, or nothing at all.

mod journal;
mod postgresql;
mod text;

pub use postgresql::DDL;
pub use text::{CountRow, Kept, Kind, SpentRow, SubjectText};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::counting::Counting;
use crate::config::StateConfig;
use journal::Journal;
use postgresql::Database;

/// Time between two exchanges that nobody asked for: what is locked or let in by another process is so here by then.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time that an exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after an exchange that failed.
const BACK_OFF: Duration = Duration::from_millis(500);
/// What was exchanged last is good for so long.
const FRESH: Duration = Duration::from_secs(3);
/// Changes that wait for a store which can not be reached; further ones are lost, and said so.
const PENDING_MAX: usize = 10_000;

/// Why the store does not do what it should.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// The file.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The database.
    #[error("the state's database: {0}")]
    Database(Arc<str>),
    /// It took too long.
    #[error("the state's store did not answer in {} s", EXCHANGE_TIMEOUT.as_secs())]
    Timeout,
    /// The process is ending, or the thread could not be started.
    #[error("the state's store is closed")]
    Closed,
}

impl StateError {
    fn file(path: &std::path::Path, reason: &impl ToString) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string().into() }
    }
}

/// Something for the store. The file has one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Keep this, in the place of what had the same kind and id.
    Keep(Kept),
    /// Keep it no longer.
    Drop(Kind, String),
    /// So many more were counted.
    Count(CountRow),
    /// So much more was spent.
    Spend(SpentRow),
    /// What was counted for this database user, or from this address, is forgotten.
    Clear(SubjectText),
}

/// Something that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// This is kept.
    Kept(Kept),
    /// This is not, any more.
    Gone(Kind, String),
    /// So many all processes have counted.
    Count(CountRow),
    /// Then what all have spent will have come back.
    Spent(SpentRow),
}

/// The time that all who share a store agree upon.
#[derive(Default)]
pub struct Clock {
    /// What the store's clock is ahead of this machine's, in milliseconds.
    ahead: AtomicI64,
}

impl Clock {
    /// Since the Unix epoch.
    pub fn now(&self) -> Duration {
        let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ahead = self.ahead.load(Ordering::Relaxed);
        let difference = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { own.saturating_sub(difference) } else { own.saturating_add(difference) }
    }

    fn agree(&self, store: Duration) {
        let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.ahead.store(millis(store).saturating_sub(millis(own)), Ordering::Relaxed);
    }
}

/// Handle of the store; clones share it.
#[derive(Clone)]
pub struct StateStore {
    shared: Arc<Shared>,
    requests: mpsc::UnboundedSender<Request>,
}

struct Shared {
    clock: Clock,
    kept: RwLock<BTreeMap<(Kind, String), Kept>>,
    started: Instant,
    /// When the last exchange succeeded, in milliseconds since `started`: a clock that is set does not make it fresh.
    exchanged: AtomicU64,
    /// Whether the last exchange failed.
    failing: AtomicBool,
    keeps: bool,
    is_shared: bool,
}

struct Request {
    change: Option<Change>,
    done: Option<oneshot::Sender<Result<(), StateError>>>,
}

/// The store's end of a [`StateStore`], before its thread runs.
pub struct Unstarted {
    store: StateStore,
    requests: mpsc::UnboundedReceiver<Request>,
    config: StateConfig,
}

impl StateStore {
    /// A store that is not open yet.
    pub fn new(config: &StateConfig) -> (Self, Unstarted) {
        let (sender, requests) = mpsc::unbounded_channel();
        let shared = Shared {
            clock: Clock::default(),
            kept: RwLock::default(),
            started: Instant::now(),
            exchanged: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            keeps: !matches!(config, StateConfig::Memory),
            is_shared: matches!(config, StateConfig::Postgresql(_)),
        };
        let store = Self { shared: Arc::new(shared), requests: sender };
        (store.clone(), Unstarted { store, requests, config: config.clone() })
    }

    /// The time.
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// What is kept of that kind.
    pub fn kept(&self, kind: Kind) -> Vec<Kept> {
        let kept = self.shared.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.values().filter(|kept| kept.kind == kind).cloned().collect()
    }

    /// What is kept of that kind under that id.
    pub fn kept_as(&self, kind: Kind, id: &str) -> Option<Kept> {
        let kept = self.shared.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(kind, id.to_owned())).cloned()
    }

    /// Make this change as soon as the store can be reached; nobody waits for it.
    pub fn change(&self, change: Change) {
        let _closed = self.requests.send(Request { change: Some(change), done: None });
    }

    /// Make this change, and wait until the store has it.
    ///
    /// # Errors
    /// It has not.
    pub fn make(&self, change: Change) -> impl Future<Output = Result<(), StateError>> + Send + 'static + use<> {
        self.ask(Some(change))
    }

    /// Wait until the store has heard of all that was counted here, and what others have counted is known here.
    ///
    /// # Errors
    /// It has not.
    pub fn settle(&self) -> impl Future<Output = Result<(), StateError>> + Send + 'static + use<> {
        self.ask(None)
    }

    fn ask(&self, change: Option<Change>) -> impl Future<Output = Result<(), StateError>> + Send + 'static + use<> {
        let (done, outcome) = oneshot::channel();
        let asked = self.requests.send(Request { change, done: Some(done) });
        async move {
            if asked.is_err() {
                return Err(StateError::Closed);
            }
            outcome.await.unwrap_or(Err(StateError::Closed))
        }
    }

    /// Whether other machines may use the same store.
    pub fn is_shared(&self) -> bool {
        self.shared.is_shared
    }

    /// Whether anything outlives the process.
    pub fn keeps(&self) -> bool {
        self.shared.keeps
    }

    /// Whether the last exchange failed: what would have to wait for the next one fails at once.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Whether the store could be reached within the last seconds.
    pub fn is_fresh(&self) -> bool {
        let exchanged = Duration::from_millis(self.shared.exchanged.load(Ordering::Relaxed));
        !self.shared.keeps || self.shared.started.elapsed().saturating_sub(exchanged) <= FRESH
    }
}

impl Unstarted {
    /// Open the store, let those who count know what is in it, and start its thread.
    ///
    /// # Errors
    /// The store can not be opened.
    pub(super) async fn start(self, counting: Counting) -> Result<(), StateError> {
        let (opened, open) = oneshot::channel();
        let thread = std::thread::Builder::new().name("state".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(self.run(&counting, opened)),
                Err(_) => drop(opened.send(Err(StateError::Closed))),
            }
        });
        match thread {
            Ok(_runs) => open.await.unwrap_or(Err(StateError::Closed)),
            Err(_) => Err(StateError::Closed),
        }
    }

    async fn run(mut self, counting: &Counting, opened: oneshot::Sender<Result<(), StateError>>) {
        let mut engine = match Engine::open(&self.config) {
            Ok(engine) => engine,
            Err(error) => return drop(opened.send(Err(error))),
        };
        match engine.exchange_in_time(&[], &self.store.shared.clock).await {
            Ok(facts) => self.store.shared.learn(facts, counting, true),
            Err(error) => return drop(opened.send(Err(error))),
        }
        let _gone = opened.send(Ok(()));
        let mut pending: Vec<Change> = Vec::new();
        let mut failing = false;
        loop {
            let mut waiting = Vec::new();
            let pause = if failing { BACK_OFF } else { POLL_INTERVAL };
            match tokio::time::timeout(pause, self.requests.recv()).await {
                Ok(None) => return,
                Ok(Some(first)) => {
                    let more = std::iter::from_fn(|| self.requests.try_recv().ok());
                    waiting.extend(std::iter::once(first).chain(more));
                }
                Err(_) => {}
            }
            // What nobody waits for is tried again; what somebody waits for has failed then.
            let (told, untold): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|request| request.done.is_some());
            for change in untold.into_iter().filter_map(|request| request.change) {
                if pending.len() < PENDING_MAX {
                    pending.push(change);
                } else {
                    tracing::error!("a change of the state is lost: its store can not be reached for too long");
                }
            }
            let mut changes = pending.clone();
            changes.extend(told.iter().filter_map(|request| request.change.clone()));
            if self.store.shared.keeps {
                changes.extend(counting.changes());
            }
            counting.wake();
            let outcome = engine.exchange_in_time(&changes, &self.store.shared.clock).await;
            if self.store.shared.keeps {
                counting.sent(outcome.is_ok());
            }
            self.store.shared.failing.store(outcome.is_err(), Ordering::Relaxed);
            let answer = match outcome {
                Ok(facts) => {
                    pending.clear();
                    self.store.shared.learn(facts, counting, false);
                    if std::mem::take(&mut failing) {
                        tracing::info!("the state's store can be reached again");
                        counting.store_is(true);
                    }
                    Ok(())
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%error, "the state's store can not be reached: callers with limits are shown nothing in clear");
                        counting.store_is(false);
                    }
                    Err(error)
                }
            };
            counting.wake();
            for done in told.into_iter().filter_map(|request| request.done) {
                let _gone = done.send(answer.clone());
            }
        }
    }
}

impl Shared {
    fn learn(&self, facts: Vec<Fact>, counting: &Counting, first: bool) {
        self.exchanged.store(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let now = self.clock.now();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        // What is known already, or ends by itself, is no news.
        let mut news = Vec::with_capacity(facts.len());
        for fact in facts {
            match &fact {
                Fact::Kept(one) if one.is_over(now) => {}
                Fact::Kept(one) => {
                    let key = (one.kind, one.id.clone());
                    if kept.get(&key) != Some(one) {
                        kept.insert(key, one.clone());
                        news.push(fact);
                    }
                }
                Fact::Gone(kind, id) => {
                    if kept.remove(&(*kind, id.clone())).is_some() {
                        news.push(fact);
                    }
                }
                Fact::Count(_) | Fact::Spent(_) => news.push(fact),
            }
        }
        let over: Vec<(Kind, String)> =
            kept.iter().filter(|(_, one)| one.is_over(now)).map(|(key, _)| key.clone()).collect();
        for key in over {
            kept.remove(&key);
            news.push(Fact::Gone(key.0, key.1));
        }
        drop(kept);
        if !news.is_empty() {
            counting.learn(&news, first);
        }
    }
}

/// Where state is kept.
enum Engine {
    Memory,
    Journal(Journal),
    Database(Box<Database>),
}

impl Engine {
    fn open(config: &StateConfig) -> Result<Self, StateError> {
        Ok(match config {
            StateConfig::Memory => Self::Memory,
            StateConfig::Embedded(path) => Self::Journal(Journal::open(path)?),
            StateConfig::Postgresql(database) => Self::Database(Box::new(Database::new(database)?)),
        })
    }

    async fn exchange_in_time(&mut self, changes: &[Change], clock: &Clock) -> Result<Vec<Fact>, StateError> {
        match self {
            Self::Memory => Ok(changes.iter().filter_map(echo).collect()),
            Self::Journal(journal) => journal.exchange(changes, clock.now()),
            Self::Database(database) => {
                match tokio::time::timeout(EXCHANGE_TIMEOUT, database.exchange(changes, clock)).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        database.give_up();
                        Err(StateError::Timeout)
                    }
                }
            }
        }
    }
}

fn echo(change: &Change) -> Option<Fact> {
    match change {
        Change::Keep(kept) => Some(Fact::Kept(kept.clone())),
        Change::Drop(kind, id) => Some(Fact::Gone(*kind, id.clone())),
        Change::Count(_) | Change::Spend(_) | Change::Clear(_) => None,
    }
}

/// A store for a command, which opens it, makes its changes and ends.
pub struct Visit {
    engine: Engine,
    clock: Clock,
}

impl Visit {
    /// Open the store.
    ///
    /// # Errors
    /// It can not be opened, or keeps nothing.
    pub fn open(config: &StateConfig) -> Result<Self, StateError> {
        Ok(Self { engine: Engine::open(config)?, clock: Clock::default() })
    }

    /// Make these changes; all that is known then.
    ///
    /// # Errors
    /// None of them is made.
    pub async fn exchange(&mut self, changes: &[Change]) -> Result<Vec<Fact>, StateError> {
        self.engine.exchange_in_time(changes, &self.clock).await
    }

    /// The time by the store's clock.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Make the tables, where the store has tables.
    ///
    /// # Errors
    /// The database does not let it.
    pub async fn init(&mut self) -> Result<(), StateError> {
        match &mut self.engine {
            Engine::Memory | Engine::Journal(_) => Ok(()),
            Engine::Database(database) => database.init().await,
        }
    }
}
