//! The guard of all sessions: what callers do is counted against the policy's limits, and who does more is refused,
//! cut off, locked out, and told of.
//!
//! It outlives reloads of policy and catalog, and with a store ([`super::shared_state`]) the process as well. What is
//! decided is decided by what is known here, without waiting; the store is told behind.

pub(super) mod alerts;
mod lock;

pub use alerts::AlertsError;
pub use lock::{Lock, time_text};

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::log_sink::AccessLog;
use super::shared_state::{Change, CountRow, Fact, Kind, StateStore, SubjectText};
use crate::access_log::{GuardAction, GuardEvent};
use crate::catalog::Name;
use crate::plan::Refusal;
use crate::plan::guard::{Breach, Stop, Subject, Watched, Windows};
use crate::policy::{Counted, Limit, LockTime};
use crate::session::io::Guard;
use crate::telemetry::Metrics;
use alerts::Alert;

/// What is counted here before the store has to hear of it: this part of a limit, and no more than this.
const UNSETTLED_PART: u64 = 10;
const UNSETTLED_MAX: u64 = 1_000;
/// Locks that limits make, at the most.
const LOCKS_MAX: usize = 100_000;
/// Between two times that all sessions are woken to look at locks.
const WAKE_INTERVAL: Duration = Duration::from_millis(100);

/// Counts for all sessions of the process.
pub struct SharedGuard {
    windows: Mutex<Windows>,
    locks: RwLock<HashMap<Subject, Lock>>,
    /// Whether there are locks.
    locked: AtomicBool,
    /// Counts changes of the locks: sessions look at them when it has changed.
    generation: AtomicU64,
    sessions: DashMap<u64, Waker>,
    /// When the sessions were woken last, and the generation that they were woken for.
    woken: Mutex<(Option<Instant>, u64)>,
    store: StateStore,
    metrics: Arc<Metrics>,
    access_log: AccessLog,
    /// Whether somebody is told of breaches.
    alerts: bool,
}

/// A session that is woken when somebody is locked out.
pub(super) struct Guarded {
    guard: Arc<SharedGuard>,
    session: u64,
    seen: u64,
}

impl SharedGuard {
    /// A guard that has counted nothing.
    pub fn new(store: StateStore, metrics: Arc<Metrics>, access_log: AccessLog, alerts: bool) -> Self {
        Self {
            windows: Mutex::default(),
            locks: RwLock::default(),
            locked: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            sessions: DashMap::new(),
            woken: Mutex::default(),
            store,
            metrics,
            access_log,
            alerts,
        }
    }

    /// Where it keeps what it counts.
    pub fn store(&self) -> &StateStore {
        &self.store
    }

    /// A session is woken when somebody is locked out, until what is returned is dropped.
    pub(super) fn watch(self: &Arc<Self>, session: u64) -> Guarded {
        Guarded { guard: Arc::clone(self), session, seen: self.generation.load(Ordering::Acquire) }
    }

    /// One more of what can not be prevented: a failed login, a refused statement.
    ///
    /// # Errors
    /// That is more than a limit allows.
    pub fn count(&self, watched: &Watched, what: Counted) -> Result<(), Stop> {
        self.taken(watched, what, (1, 1)).map(|_| ())
    }

    /// Whether so much was counted for this caller that the store has to hear of it before more happens.
    pub fn is_unsettled(&self, watched: &Watched) -> bool {
        if !self.store.keeps() {
            return false;
        }
        let limits = watched.limits_for(Counted::RevealedRows).chain(watched.limits_for(Counted::RevealedColumns));
        let Some(most) = limits.map(|limit| (limit.max.get() / UNSETTLED_PART).clamp(1, UNSETTLED_MAX)).min() else {
            return false;
        };
        let windows = self.windows();
        [Counted::RevealedRows, Counted::RevealedColumns].iter().any(|what| windows.unsent_of(watched, *what) >= most)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, watched: &Watched, what: Counted, (least, most): (u64, u64)) -> Result<u64, Stop> {
        if watched.limits_for(what).next().is_none() {
            return Ok(most);
        }
        let taken = self.windows().take(watched, what, (least, most), self.store.now());
        for breach in &taken.breaches {
            self.exceeded(breach, watched);
        }
        let refusing = || taken.breaches.iter().find(|breach| breach.limit.on_breach.refuse);
        match (taken.granted, refusing()) {
            (Some(granted), _) => Ok(granted),
            (None, Some(breach)) => Err(breach.stop()),
            (None, None) => Ok(0),
        }
    }

    fn exceeded(&self, breach: &Breach, watched: &Watched) {
        let Breach { limit, subject, first, .. } = breach;
        let locks = match limit.on_breach.lock {
            // Of who has no window of its own nobody knows who has done what.
            Some(time) if *subject != Subject::default() => self.lock_for(limit, subject, time),
            Some(_) | None => None,
        };
        if *first {
            self.metrics.guard_breach(limit);
            tracing::warn!(limit = &*limit.name, user = ?watched.user, client = %watched.address, "a limit is exceeded");
            self.access_log.note(event(GuardAction::Breach, limit, subject, watched, None).into());
            if self.alerts && limit.on_breach.alert {
                let alert = Alert::of_breach(breach, watched, locks.as_ref(), self.store.now());
                match alerts::queue(&self.store, &alert) {
                    true => {}
                    false => self.metrics.guard_alerts_dropped.inc(),
                }
            }
        }
        if let Some(lock) = locks {
            self.access_log.note(event(GuardAction::Lock, limit, subject, watched, lock.until_text()).into());
            self.store.change(Change::Keep(lock.kept()));
        }
    }

    /// Lock an account out, unless it is; the lock, if it is new.
    fn lock_for(&self, limit: &Limit, subject: &Subject, time: LockTime) -> Option<Lock> {
        let now = self.store.now();
        let until = match time {
            LockTime::UntilUnlocked => None,
            LockTime::For(time) => Some(now.saturating_add(time)),
        };
        let lock = Lock::by_limit(&limit.name, SubjectText::from(subject), now, until);
        let mut locks = self.locks.write().unwrap_or_else(PoisonError::into_inner);
        if locks.get(subject).is_some_and(|known| known.holds(now)) {
            return None;
        }
        if locks.len() >= LOCKS_MAX {
            tracing::error!(
                limit = &*limit.name,
                "nobody is locked out: there are {LOCKS_MAX} locks; pgveil guard unlock takes them away"
            );
            return None;
        }
        locks.insert(subject.clone(), lock.clone());
        self.locks_have_changed(locks);
        Some(lock)
    }

    fn locks_have_changed(&self, locks: RwLockWriteGuard<'_, HashMap<Subject, Lock>>) {
        self.locked.store(!locks.is_empty(), Ordering::Release);
        self.metrics.guard_locks.set(i64::try_from(locks.len()).unwrap_or(i64::MAX));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Wake the sessions if locks have changed; not more often than they can bear, so the store's thread calls it again
    /// and again.
    pub(super) fn wake(&self) {
        let generation = self.generation.load(Ordering::Acquire);
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, of) = *woken;
        if of == generation || at.is_some_and(|at| at.elapsed() < WAKE_INTERVAL) {
            return;
        }
        *woken = (Some(Instant::now()), generation);
        drop(woken);
        for waker in &self.sessions {
            waker.wake_by_ref();
        }
    }

    /// The lock that covers a caller; of an end user behind an account only where `actor` is asked for.
    fn lock_of(&self, user: &Name, actor: Option<&Arc<str>>, address: IpAddr) -> Option<Lock> {
        if !self.locked.load(Ordering::Acquire) {
            return None;
        }
        let now = self.store.now();
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        Subject::covering(user, actor, address).filter_map(|of| locks.get(&of)).find(|lock| lock.holds(now)).cloned()
    }

    fn learn_locks(&self, facts: &[Fact], first: bool) {
        let mut changed = false;
        let mut locks = self.locks.write().unwrap_or_else(PoisonError::into_inner);
        for fact in facts {
            match fact {
                Fact::Kept(kept) if kept.kind == Kind::Lock => {
                    let Some(lock) = Lock::of(kept) else { continue };
                    changed = true;
                    let known = locks.insert(Subject::from(&lock.subject), lock.clone());
                    if !first && known.as_ref() != Some(&lock) && lock.by.is_some() {
                        tracing::warn!(subject = ?lock.subject, "an account is locked out");
                        self.access_log.note(lock.event(GuardAction::Lock).into());
                    }
                }
                Fact::Gone(Kind::Lock, id) => {
                    let Some(lock) = Lock::subject_of(id).and_then(|of| locks.remove(&of)) else { continue };
                    changed = true;
                    tracing::info!(subject = ?lock.subject, "an account is let in again");
                    self.access_log.note(lock.event(GuardAction::Unlock).into());
                    if lock.holds(self.store.now()) {
                        self.windows().clear(&Subject::from(&lock.subject));
                    }
                }
                Fact::Kept(_) | Fact::Gone(..) | Fact::Count(_) | Fact::Spent(_) => {}
            }
        }
        if changed {
            self.locks_have_changed(locks);
        }
    }

    /// What was counted since the last call, for the store.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> + use<> {
        let changes = self.windows().changes();
        changes.into_iter().map(|count| Change::Count(CountRow::from(&count)))
    }

    /// Whether the store has it.
    pub(super) fn sent(&self, stored: bool) {
        self.windows().sent(stored);
    }

    /// What the store says.
    pub(super) fn learn(&self, facts: &[Fact], first: bool) {
        let now = self.store.now();
        let mut windows = self.windows();
        for fact in facts {
            if let Fact::Count(row) = fact
                && let Some(count) = row.count()
            {
                windows.learn(count, now);
            }
        }
        drop(windows);
        self.learn_locks(facts, first);
    }
}

impl Guard for SharedGuard {
    fn take(&self, watched: &Watched, what: Counted, least: u64, most: u64) -> Result<u64, Stop> {
        if watched.limits.is_empty() {
            return Ok(most);
        }
        let reveals = match what {
            Counted::RevealedRows | Counted::RevealedColumns => true,
            Counted::Refusals | Counted::FailedLogins | Counted::InferenceProbes => false,
        };
        if reveals && !self.store.is_fresh() {
            return Err(Stop::StoreAway);
        }
        if let Some(lock) = self.lock_of(&watched.user, watched.actor.as_ref(), watched.address) {
            return Err(Stop::LockedOut(lock.until_text()));
        }
        let granted = self.taken(watched, what, (least, most))?;
        if reveals && self.store.is_failing() && self.is_unsettled(watched) {
            // It would have to wait for the store, and fail with it.
            self.give_back(watched, what, granted);
            return Err(Stop::StoreAway);
        }
        Ok(granted)
    }

    fn give_back(&self, watched: &Watched, what: Counted, count: u64) {
        if watched.limits_for(what).next().is_some() {
            self.windows().give_back(watched, what, count, self.store.now());
        }
    }

    fn locked_out(&self, user: &Name, actor: Option<&Arc<str>>, address: IpAddr) -> Option<Refusal> {
        let lock = self.lock_of(user, actor, address)?;
        Some(Refusal::locked_out(user, actor, lock.until_text().as_deref()))
    }
}

impl Guarded {
    /// Wake this task when locks change.
    pub(super) fn wake_by(&self, waker: &Waker) {
        self.guard.sessions.insert(self.session, waker.clone());
    }

    /// Whether locks have changed since the last call.
    pub(super) fn locks_have_changed(&mut self) -> bool {
        let generation = self.guard.generation.load(Ordering::Acquire);
        std::mem::replace(&mut self.seen, generation) != generation
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.guard.sessions.remove(&self.session);
    }
}

fn event(
    action: GuardAction,
    limit: &Limit,
    subject: &Subject,
    watched: &Watched,
    until: Option<Arc<str>>,
) -> GuardEvent {
    GuardEvent {
        action,
        limit: Some(Arc::clone(&limit.name)),
        rule: Some(Arc::clone(&limit.rule)),
        user: Some(watched.user.clone()),
        actor: subject.actor.clone(),
        client_address: Some(watched.address),
        by: None,
        reason: None,
        until,
    }
}
