//! Builds snapshots and puts them in force: at the start, when the policy changes, when the catalog changes, when the
//! access log becomes writable or stops being so.
//!
//! One task ([`Start::run`]) does all of it, so that snapshots replace each other in one order. What is wrong with a
//! new policy or a new reading changes nothing: what is in force stays, an error is logged, a metric says so.

mod files;
#[cfg(test)]
mod live_tests;
mod policy;
mod rings;
mod start;
mod watch;

pub use files::{PolicyFileError, read_policies};
pub use policy::{BuildError, PolicyError};
pub use start::Start;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use policy::{bind, errors_among, fit, parse, report, report_kept};
use rings::Rings;

use crate::access_log::{Administration, Record, Reload, Reloaded, Trigger};
use crate::catalog::{Catalog, CatalogVersion};
use crate::crypto::{KeyRing, KeyState, KeyVersion};
use crate::mask::MaskKeys;
use crate::plan::{Inventory, Snapshot};
use crate::policy::{ActorKeys, Diagnostic, Policy, PolicySource};
use crate::server::catalog_login::{CatalogLogin, CatalogReadError, CatalogReading, Fingerprint};
use crate::server::guard::AlertsError;
use crate::server::keys::KeysError;
use crate::server::log_sink::AccessLogError;
use crate::server::login_rules::{LoginRulesError, read_login_rules};
use crate::server::reveals;
use crate::server::shared_state::StateError;
use crate::server::shipping::ShippingError;
use crate::server::state::{Reading, RefreshQueue, SharedState};
use crate::server::{TlsError, VerifierError, load_client_tls};
use crate::session::io::CatalogChanges;
use crate::sql::Limits;

/// Longest time that a wanted reading of the catalog is put off after the start of the one before.
const READING_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Until then it is put off as many times as long as that one took: statements that make tables one after the other wait
/// for a reading each, and the server has to have time for others.
const WANTED_SHARE: u32 = 2;
/// Longest time that the catalog's fingerprint is relied on before all of it is read again.
const FULL_READING_INTERVAL: Duration = Duration::from_secs(600);
/// The timer leaves this many times as long between two readings as one takes: with a catalog so large that looking at it
/// is costly it is looked at more seldom.
const READING_SHARE: u32 = 25;
/// The same of looks at PostgreSQL's own objects, too, which only superusers change.
const SYSTEM_SHARE: u32 = 250;
/// Readings before the one in force that are kept, for statements that were judged by them and are not answered yet.
const PAST_MAX: usize = 15;
/// Time that files have to be left alone after an event before they are read.
const SETTLE_TIME: Duration = Duration::from_millis(200);
/// Longest time between two attempts after a reading failed; attempts start at [`READING_INTERVAL_MIN`] and double.
const BACK_OFF_MAX: Duration = Duration::from_secs(15);

/// Why pgveil does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogReadError),
    /// The access log.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// What is kept of reveals.
    #[error(transparent)]
    Reveals(#[from] reveals::StateError),
    /// TLS, on either side.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The keys of encrypted columns.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The rules of logins.
    #[error(transparent)]
    Login(#[from] LoginRulesError),
    /// Logins can not be checked.
    #[error(transparent)]
    Verifiers(#[from] VerifierError),
    /// What outlives the process.
    #[error("setting state: {0}")]
    State(#[from] StateError),
    /// Who is told of breaches.
    #[error(transparent)]
    Alerts(#[from] AlertsError),
    /// The access log can not be shipped as the settings say.
    #[error(transparent)]
    Shipping(#[from] ShippingError),
    /// The thread that builds snapshots.
    #[error("a snapshot can not be built: {0}")]
    Build(#[from] BuildError),
}

/// Asks for reloads.
#[derive(Clone, Default)]
pub struct ReloadHandle {
    asked: Arc<Notify>,
}

impl ReloadHandle {
    /// Read policy, keys and TLS files anew, whether or not they look changed.
    pub fn reload(&self) {
        self.asked.notify_one();
    }
}

/// The policy in force and what it was made of.
struct InForce {
    sources: Vec<PolicySource>,
    policy: Arc<Policy>,
    keys: Arc<MaskKeys>,
    actor_keys: Arc<ActorKeys>,
    ring: Arc<KeyRing>,
    catalog: Arc<Catalog>,
    inventory: Arc<Inventory>,
}

/// The task that puts snapshots in force, once the catalog was read.
struct Reloader {
    state: Arc<SharedState>,
    login: CatalogLogin,
    queue: RefreshQueue,
    reloads: ReloadHandle,
    rings: Rings,
    in_force: InForce,
    /// Fingerprint and digest of the rows that the catalog in force was made of.
    fingerprint: Fingerprint,
    digest: [u8; 32],
    /// When all rows were read last.
    full_reading: Instant,
    /// Files that were refused, so that they are not tried again and again.
    refused: Option<Vec<PolicySource>>,
    /// How many policies were put in force.
    generation: u64,
    /// What is wrong between policy and database, as logged last.
    misfits: Vec<Diagnostic>,
    last_reading: Instant,
    last_poll: Instant,
    /// How long the newest one took.
    poll_time: Duration,
    /// When a poll looked last at PostgreSQL's own objects, too.
    last_look: Instant,
    /// When the timer came by last.
    last_timer: Instant,
    /// How long the newest reading took.
    reading_time: Duration,
    failures: u32,
}

impl Reloader {
    /// Keep the snapshot in force up to date. Does not end.
    async fn run(mut self) {
        let changed = Arc::new(Notify::new());
        let paths = &self.state.config.policies;
        let _watcher = match watch::watch(paths, Arc::clone(&changed)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "changes of policy files are noticed by the timer and SIGHUP only");
                None
            }
        };
        let mut ready = self.state.access_log.readiness();
        let asked = Arc::clone(&self.reloads.asked);
        loop {
            let poll_interval =
                self.state.config.catalog.check_interval.max(self.poll_time.saturating_mul(READING_SHARE));
            let next_poll = tokio::time::Instant::from_std(self.last_poll + poll_interval);
            let next_reading = tokio::time::Instant::from_std(self.last_timer + self.reading_interval());
            tokio::select! {
                () = asked.notified() => {
                    self.reload_tls();
                    self.reload_login_rules();
                    self.rings.reload();
                    self.reload_policy(true).await;
                }
                () = self.rings.changed() => self.renew_ring(),
                () = changed.notified() => {
                    while tokio::time::timeout(SETTLE_TIME, changed.notified()).await.is_ok() {}
                    self.reload_policy(false).await;
                }
                Ok(()) = ready.changed() => {
                    if self.state.snapshot.load().access_log_ready != *ready.borrow_and_update() {
                        self.publish();
                    }
                }
                () = self.queue.wanted() => self.read_catalog().await,
                () = tokio::time::sleep_until(next_poll), if self.polls() => self.poll().await,
                () = tokio::time::sleep_until(next_reading) => {
                    self.reload_policy(false).await;
                    self.read_catalog().await;
                    self.last_timer = Instant::now();
                }
            }
        }
    }

    /// Time from one reading to the next that nobody asks for.
    fn reading_interval(&self) -> Duration {
        if self.failures == 0 {
            let share = self.reading_time.saturating_mul(READING_SHARE);
            return self.state.config.catalog.refresh_interval.max(share);
        }
        let doubled = 2_u32.saturating_pow(self.failures.min(16));
        READING_INTERVAL_MIN.saturating_mul(doubled).min(BACK_OFF_MAX)
    }

    /// Read the catalog, and if it has changed put it in force.
    async fn read_catalog(&mut self) {
        if self.failures == 0 && self.is_trusted() {
            let reading = self.queue.start();
            let same = match reading.wanted() {
                CatalogChanges::All => self.login.is_still(&self.fingerprint).await,
                CatalogChanges::Lasting => self.login.is_same(&self.fingerprint).await,
            };
            if same {
                let exact = self.state.refresher.gate().is_open(reading.epoch(), None);
                if self.state.snapshot.load().exact {
                    self.read_again(reading.epoch());
                } else if exact {
                    self.publish_as(reading.epoch(), exact, false);
                }
                self.queue.finish(reading, true);
                return;
            }
        }
        let since = self.last_reading.elapsed();
        let put_off = match self.failures {
            0 => self.reading_time.saturating_mul(WANTED_SHARE).min(READING_INTERVAL_MIN),
            _ => READING_INTERVAL_MIN,
        };
        tokio::time::sleep(put_off.saturating_sub(since)).await;
        self.last_reading = Instant::now();
        let reading = self.queue.start();
        let outcome = self.renew_catalog(&reading).await;
        self.reading_time = reading.elapsed();
        let metrics = &self.state.metrics;
        match &outcome {
            Ok(()) => {
                // Not before: what is another by now has been counted.
                self.state.seen.store(Some(Arc::clone(self.fingerprint.seen())));
                metrics.catalog_reads.inc();
                metrics.catalog_read_seconds.observe(self.reading_time.as_secs_f64());
                if self.failures > 0 {
                    tracing::info!("the catalog can be read again");
                }
                self.failures = 0;
            }
            Err(error) => {
                metrics.catalog_read_failures.inc();
                if self.failures == 0 {
                    tracing::error!(%error, "the catalog can not be read; the last reading stays in force");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
        self.queue.finish(reading, outcome.is_ok());
    }

    /// Whether the fingerprint may be relied on.
    fn is_trusted(&self) -> bool {
        self.full_reading.elapsed() < FULL_READING_INTERVAL
    }

    /// Whether to look often whether the catalog has changed: somebody is there to whom it matters.
    fn polls(&self) -> bool {
        self.failures == 0 && self.state.refresher.has_sessions() && !self.in_force.inventory.is_empty()
    }

    /// Look whether any transaction has ended, and if one has, whether the catalog is another: for a small share of the
    /// time only.
    async fn poll(&mut self) {
        let started = Instant::now();
        let same = self.login.is_same(&self.fingerprint).await;
        self.poll_time = started.elapsed();
        let rests = self.last_look.elapsed() < self.login.fingerprint_time().saturating_mul(SYSTEM_SHARE);
        if !same {
            self.read_catalog().await;
        } else if !rests && !self.login.is_still_as_looked(&self.fingerprint).await {
            if self.login.is_another(&self.fingerprint).await {
                self.read_catalog().await;
            }
            self.last_look = Instant::now();
        }
        self.last_poll = Instant::now();
    }

    async fn renew_catalog(&mut self, reading: &Reading) -> Result<(), StartError> {
        let gate = Arc::clone(self.state.refresher.gate());
        let trusted = self.is_trusted();
        let known = self.state.snapshot.load().epoch;
        // Nobody has said so: whoever comes now waits for what is about to be read.
        let noticed = AtomicU64::new(reading.epoch());
        let changed = || {
            if gate.is_open(known, None) {
                let epoch = gate.changed();
                if epoch == reading.epoch().saturating_add(1) {
                    noticed.store(epoch, Ordering::Relaxed);
                }
            }
        };
        let outcome = self.login.read(trusted.then_some(&self.fingerprint), changed).await;
        let epoch = noticed.load(Ordering::Relaxed);
        let rows = match outcome? {
            CatalogReading::Unchanged(fingerprint) => {
                self.fingerprint = fingerprint;
                let now = self.state.snapshot.load_full();
                let exact = gate.is_open(epoch, None);
                if exact && now.exact && epoch.saturating_sub(now.epoch) <= 1 {
                    self.read_again(epoch);
                } else {
                    // What was made and taken away again in between has left no trace.
                    self.publish_as(epoch, exact, false);
                }
                return Ok(());
            }
            CatalogReading::Rows(rows) => rows,
        };
        // What began to be committed since may be in it without being counted: then it shows more than one change.
        let exact = gate.is_open(epoch, None);
        self.full_reading = Instant::now();
        if *rows.digest() == self.digest {
            // It was something else in between, or something has changed that does not matter.
            self.fingerprint = rows.fingerprint().clone();
            self.publish_as(epoch, exact, false);
            return Ok(());
        }
        let version = CatalogVersion(self.in_force.catalog.version().0.saturating_add(1));
        let catalog = Arc::new(rows.load(version)?);
        let inventory = bind(&self.in_force.policy, &catalog, Some(&self.in_force.inventory)).await?;
        self.fingerprint = rows.fingerprint().clone();
        self.digest = *rows.digest();
        self.in_force.catalog = catalog;
        self.in_force.inventory = inventory;
        self.publish_as(epoch, exact, true);
        tracing::info!(version = version.0, "the database's catalog has changed");
        report_kept(&self.in_force.inventory, &self.state.metrics);
        // What did not fit the old catalog may fit this one.
        self.refused = None;
        // A table that went away is no reason to keep an old catalog, but somebody has to know.
        let misfits = self.in_force.policy.check_against(&self.in_force.catalog);
        if misfits != self.misfits {
            report(&misfits);
            self.state.metrics.policy_misfits.set(errors_among(&misfits));
            self.misfits = misfits;
        }
        Ok(())
    }

    /// Read the policy files and put them in force, if they have changed or if somebody `asked`.
    async fn reload_policy(&mut self, asked: bool) {
        let sources = match read_policies(&self.state.config.policies) {
            Ok(sources) => sources,
            Err(error) => {
                // The timer comes by again: say it once.
                if asked || self.state.metrics.policy_reload_ok.get() == 1 {
                    self.refuse(&PolicyError::from(error).into());
                    self.record(Reloaded::Policy, trigger(asked), false);
                }
                return;
            }
        };
        let in_order = sources == self.in_force.sources && self.state.metrics.policy_reload_ok.get() == 1;
        if !asked && (in_order || self.refused.as_ref() == Some(&sources)) {
            return;
        }
        match self.renew_policy(&sources).await {
            Ok(()) => {
                self.refused = None;
                let (generation, files) = (self.generation, sources.len());
                let digest = self.in_force.policy.fingerprint();
                tracing::info!(generation, files, digest, "policy in force");
                self.in_force.sources = sources;
                self.record(Reloaded::Policy, trigger(asked), true);
            }
            Err(error) => {
                self.refuse(&error);
                self.refused = Some(sources);
                self.record(Reloaded::Policy, trigger(asked), false);
            }
        }
    }

    async fn renew_policy(&mut self, sources: &[PolicySource]) -> Result<(), StartError> {
        let (policy, keys, actor_keys) = parse(sources, &self.state.config, &self.in_force.ring)?;
        let misfits = fit(&policy, &self.in_force.catalog)?;
        let inventory = bind(&policy, &self.in_force.catalog, Some(&self.in_force.inventory)).await?;
        report(&misfits);
        self.misfits = misfits;
        self.generation = self.generation.saturating_add(1);
        let metrics = &self.state.metrics;
        metrics.policy_published(self.generation, policy.fingerprint());
        metrics.policy_reloads.inc();
        metrics.policy_reload_ok.set(1);
        metrics.policy_misfits.set(0);
        self.in_force.policy = policy;
        self.in_force.keys = keys;
        self.in_force.actor_keys = actor_keys;
        self.in_force.inventory = inventory;
        self.publish();
        Ok(())
    }

    fn refuse(&self, error: &StartError) {
        self.state.metrics.policy_reload_failures.inc();
        self.state.metrics.policy_reload_ok.set(0);
        tracing::error!("the new policy is refused, the running one stays in force:\n{error}");
    }

    fn reload_tls(&self) {
        let Some(files) = &self.state.config.tls else {
            return;
        };
        match load_client_tls(files) {
            Ok(tls) => {
                self.state.client_tls.store(Some(tls));
                tracing::info!("TLS files for clients read");
                self.record(Reloaded::Tls, Trigger::Signal, true);
            }
            Err(error) => {
                self.record(Reloaded::Tls, Trigger::Signal, false);
                self.state.metrics.tls_reload_failures.inc();
                tracing::error!(%error, "the TLS files for clients are refused, the running ones stay in force");
            }
        }
    }

    fn reload_login_rules(&self) {
        if self.state.config.login.hba_file.is_none() {
            return;
        }
        match read_login_rules(&self.state.config) {
            Ok(rules) => {
                self.state.rules.store(Arc::new(rules));
                tracing::info!("rules of logins read");
                self.record(Reloaded::LoginRules, Trigger::Signal, true);
            }
            Err(error) => {
                self.record(Reloaded::LoginRules, Trigger::Signal, false);
                self.state.metrics.rules_reload_failures.inc();
                tracing::error!(%error, "the rules of logins are refused, the running ones stay in force");
            }
        }
    }

    /// Put the newest keys of encrypted columns in force.
    fn renew_ring(&mut self) {
        let before = std::mem::replace(&mut self.in_force.ring, self.rings.newest());
        for done in changes_of_keys(&before, &self.in_force.ring) {
            self.state.access_log.note(Record::Administration(done));
        }
        // A policy that lacked a key may have it now.
        self.refused = None;
        let now = self.state.snapshot.load_full();
        // Earlier readings of the catalog would keep keys in memory that were destroyed.
        let ring = &self.in_force.ring;
        let past =
            now.past.iter().map(|past| Arc::new(Snapshot { ring: Arc::clone(ring), ..self.snapshot_like(past) }));
        let known = (now.epoch, now.since, now.exact);
        self.state.publish(self.snapshot(now.version.saturating_add(1), known, past.collect()));
        self.record(Reloaded::Keyring, Trigger::Change, true);
    }

    /// What has become of something that was read again, for the access log.
    fn record(&self, what: Reloaded, trigger: Trigger, ok: bool) {
        let policy = self.in_force.policy.fingerprint().into();
        let reload = Reload { what, trigger, ok, generation: self.generation, policy };
        self.state.access_log.note(Record::Reload(reload));
    }

    fn publish(&self) {
        let now = self.state.snapshot.load_full();
        let version = now.version.saturating_add(1);
        self.state.publish(self.snapshot(version, (now.epoch, now.since, now.exact), Arc::clone(&now.past)));
    }

    /// A reading has found the catalog as it was: it is known up to that many changes.
    fn read_again(&self, epoch: u64) {
        let now = self.state.snapshot.load_full();
        if epoch > now.epoch {
            let known = (epoch, now.since, now.exact);
            self.state.publish(self.snapshot(now.version, known, Arc::clone(&now.past)));
        }
    }

    /// A reading has found something else. `exact`: it is the state after the last change that was counted. `renewed`: it is in
    /// force now; else it was none of what matters here.
    fn publish_as(&self, epoch: u64, exact: bool, renewed: bool) {
        let now = self.state.snapshot.load_full();
        let version = if renewed { now.version.saturating_add(1) } else { now.version };
        let known = exact && now.exact;
        let before = known.then(|| self.snapshot_like(&now));
        let skipped = if known { now.past.len().saturating_sub(PAST_MAX) } else { now.past.len() };
        let past = now.past.iter().skip(skipped).cloned().chain(before.map(Arc::new)).collect();
        let (epoch, exact) = if epoch > now.epoch {
            (epoch, exact)
        } else {
            // Nobody has counted it yet, and no two states may go by the same number.
            let counted = self.state.refresher.gate().changed();
            let alone = counted == now.epoch.saturating_add(1);
            if alone { (counted, exact) } else { (now.epoch, false) }
        };
        // What was judged by an earlier state under the same number was not judged by this one.
        let since = if exact { epoch } else { epoch.saturating_add(1) };
        self.state.publish(self.snapshot(version, (epoch, since, exact), past));
    }

    /// The same without what was before it.
    fn snapshot_like(&self, now: &Snapshot) -> Snapshot {
        Snapshot {
            version: now.version,
            policy: Arc::clone(&now.policy),
            catalog: Arc::clone(&now.catalog),
            inventory: Arc::clone(&now.inventory),
            keys: Arc::clone(&now.keys),
            actor_keys: Arc::clone(&now.actor_keys),
            ring: Arc::clone(&now.ring),
            access_log_ready: now.access_log_ready,
            limits: now.limits,
            epoch: now.epoch,
            since: now.since,
            exact: now.exact,
            past: Arc::default(),
        }
    }

    fn snapshot(&self, version: u64, (epoch, since, exact): (u64, u64, bool), past: Arc<[Arc<Snapshot>]>) -> Snapshot {
        let InForce { policy, keys, actor_keys, ring, catalog, inventory, sources: _ } = &self.in_force;
        Snapshot {
            version,
            policy: Arc::clone(policy),
            catalog: Arc::clone(catalog),
            inventory: Arc::clone(inventory),
            keys: Arc::clone(keys),
            actor_keys: Arc::clone(actor_keys),
            ring: Arc::clone(ring),
            access_log_ready: self.state.access_log.is_ready(),
            limits: Limits::default(),
            epoch,
            since,
            exact,
            past,
        }
    }
}

fn trigger(asked: bool) -> Trigger {
    if asked { Trigger::Signal } else { Trigger::Change }
}

/// What has become of keys between two readings of the keyring, whoever did it.
fn changes_of_keys(before: &KeyRing, now: &KeyRing) -> Vec<Administration> {
    let state = |version: &KeyVersion| match (version.state, &version.key) {
        (KeyState::Destroyed, _) => "key destroyed",
        (KeyState::Active | KeyState::Retired, None) => "key unavailable",
        (KeyState::Active, Some(_)) => "key active",
        (KeyState::Retired, Some(_)) => "key retired",
    };
    let mut changes = Vec::new();
    let mut changed = |name: &str, version: &KeyVersion, action: &str| {
        changes.push(Administration {
            action: action.into(),
            object: Some(format!("{name}/{}", version.id).into()),
            version: env!("CARGO_PKG_VERSION"),
            settings: None,
            uid: None,
        });
    };
    for name in now.names() {
        let known = before.versions(name);
        for version in now.versions(name) {
            let known = known.iter().find(|known| known.id == version.id);
            if known.map(state) != Some(state(version)) {
                changed(name, version, state(version));
            }
        }
    }
    for name in before.names() {
        let left = now.versions(name);
        for version in before.versions(name).iter().filter(|gone| left.iter().all(|left| left.id != gone.id)) {
            changed(name, version, "key gone");
        }
    }
    changes
}
