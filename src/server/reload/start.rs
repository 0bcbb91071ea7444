//! The start: everything that sessions need, and the catalog as soon as the server is there.
//!
//! Where the server can not be reached, or is only just starting, clients are answered all the same: their logins fail
//! with 57P03 until the catalog was read for the first time. What does not pass by itself (a wrong password, a database
//! that is not there, a policy that does not fit it) ends pgveil, as does everything that is wrong in its own files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::policy::{bind, fit, parse, report};
use super::rings::Rings;
use super::{InForce, PolicyError, READING_INTERVAL_MIN, ReloadHandle, Reloader, StartError, read_policies};
use crate::access_log::{Reloaded, Trigger};
use crate::catalog::{Catalog, CatalogVersion, Name};
use crate::config::{CatalogCheck, Config};
use crate::mask::MaskKeys;
use crate::plan::Snapshot;
use crate::policy::{ActorKeys, Policy, PolicySource};
use crate::server::budgets::SharedBudgets;
use crate::server::catalog_login::{CatalogLogin, CatalogRows};
use crate::server::counting::Counting;
use crate::server::guard::SharedGuard;
use crate::server::guard::alerts::Sender;
use crate::server::log_sink::AccessLog;
use crate::server::login_rules::read_login_rules;
use crate::server::reveals::Reveals;
use crate::server::seeds::SessionSeeds;
use crate::server::shared_state::StateStore;
use crate::server::shipping::Shipping;
use crate::server::state::{Reading, RefreshQueue, SharedState, refresh_channel};
use crate::server::{Upstream, VerifierError, Verifiers, load_client_tls};
use crate::sql::Limits;
use crate::telemetry::Metrics;

/// Time between two attempts to read the catalog for the first time.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);
/// The log says again that the server is waited for when it was waited for so long.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// A pgveil that has everything but the catalog.
pub struct Start {
    state: Arc<SharedState>,
    login: CatalogLogin,
    queue: RefreshQueue,
    reloads: ReloadHandle,
    sources: Vec<PolicySource>,
    policy: Arc<Policy>,
    keys: Arc<MaskKeys>,
    actor_keys: Arc<ActorKeys>,
    rings: Rings,
}

impl Start {
    /// Read policy, keys and TLS files, open the access log: everything that sessions need but the catalog.
    ///
    /// # Errors
    /// Anything that is wrong: pgveil does not start with half of it.
    pub async fn new(config: Arc<Config>, upstream: Arc<Upstream>, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let sources = read_policies(&config.policies).map_err(PolicyError::from)?;
        let refresh_interval = config.catalog.refresh_interval;
        let mut rings = Rings::start(config.keys.as_ref(), refresh_interval, Arc::clone(&metrics)).await?;
        let ring = rings.newest();
        let (policy, keys, actor_keys) = parse(&sources, &config, &ring)?;
        let client_tls = config.tls.as_ref().map(load_client_tls).transpose()?;
        let rules = read_login_rules(&config)?;
        let access_log = AccessLog::open(&config.access_log, Arc::clone(&metrics), !policy.is_empty())?;
        let shipping = Shipping::start(&config, &access_log, &metrics)?;
        let database = config.catalog.database.clone();
        let verifiers = Verifiers::start(Arc::clone(&upstream), config.login.clone(), database.clone())?;
        let login = CatalogLogin::new(upstream, config.catalog.clone());
        let (refresher, queue) = refresh_channel();
        match config.catalog.check {
            CatalogCheck::Interval => {}
            CatalogCheck::Statement => refresher.gate().check_each(),
        }
        // nobody can log in by it
        let catalog = Arc::new(Catalog::new(CatalogVersion::UNREAD, Name::exact(&database)));
        let snapshot = Snapshot {
            version: 0,
            policy: Arc::clone(&policy),
            inventory: bind(&policy, &catalog, None).await?,
            catalog,
            keys: Arc::clone(&keys),
            actor_keys: Arc::clone(&actor_keys),
            ring,
            access_log_ready: access_log.is_ready(),
            limits: Limits::default(),
            epoch: 0,
            since: 0,
            exact: true,
            past: Arc::default(),
        };
        let (store, unstarted) = StateStore::new(&config.state);
        let alerts = config.alerts.as_ref();
        let guard = SharedGuard::new(store.clone(), Arc::clone(&metrics), access_log.clone(), alerts.is_some());
        let (guard, budgets) = (Arc::new(guard), Arc::new(SharedBudgets::new(store.clone())));
        let counting =
            Counting { guard: Arc::clone(&guard), budgets: Arc::clone(&budgets), metrics: Arc::clone(&metrics) };
        unstarted.start(counting).await?;
        metrics.state_ready.set(1);
        let reveals = Reveals::open(&config, &store)?;
        if let Some(alerts) = alerts {
            tokio::spawn(Sender::new(alerts, store.clone(), Arc::clone(&metrics))?.run());
        }
        if !store.keeps() && !policy.limits().is_empty() {
            tracing::warn!("what the guard counts and locks ends with this process: set state.engine to keep it");
        }
        let state = Arc::new(SharedState {
            snapshot: ArcSwap::from_pointee(snapshot),
            metrics,
            access_log,
            budgets,
            guard,
            reveals,
            shipping,
            seen: ArcSwapOption::empty(),
            refresher,
            config,
            client_tls: ArcSwapOption::new(client_tls),
            rules: ArcSwap::from_pointee(rules),
            verifiers,
            seeds: SessionSeeds::draw().map_err(VerifierError::from)?,
            draining: false.into(),
        });
        Ok(Self { state, login, queue, reloads: ReloadHandle::default(), sources, policy, keys, actor_keys, rings })
    }

    /// What sessions share.
    pub fn state(&self) -> Arc<SharedState> {
        Arc::clone(&self.state)
    }

    /// For those who want a reload.
    pub fn handle(&self) -> ReloadHandle {
        self.reloads.clone()
    }

    /// Read the catalog, put it in force, and keep what is in force up to date. Ends with what keeps pgveil from starting,
    /// and only before the catalog was read for the first time; drop it to end it.
    pub async fn run(self) -> StartError {
        match self.first_reading().await {
            Ok(reloader) => {
                reloader.run().await;
                std::future::pending().await
            }
            Err(error) => error,
        }
    }

    async fn first_reading(self) -> Result<Reloader, StartError> {
        let Self { state, mut login, queue, reloads, sources, policy, keys, actor_keys, mut rings } = self;
        let (reading, rows) = read(&mut login, &queue).await?;
        let digest = *rows.digest();
        let catalog = Arc::new(rows.load(CatalogVersion(1))?);
        let fingerprint = rows.fingerprint().clone();
        drop(rows);
        let misfits = fit(&policy, &catalog)?;
        report(&misfits);
        let inventory = bind(&policy, &catalog, None).await?;
        let metrics = &state.metrics;
        metrics.catalog_reads.inc();
        metrics.catalog_read_seconds.observe(reading.elapsed().as_secs_f64());
        metrics.policy_published(1, policy.fingerprint());
        metrics.policy_reload_ok.set(1);
        let in_force = InForce { sources, policy, keys, actor_keys, ring: rings.newest(), catalog, inventory };
        let now = Instant::now();
        let reloader = Reloader {
            state,
            login,
            queue,
            reloads,
            rings,
            in_force,
            fingerprint,
            digest,
            full_reading: now,
            refused: None,
            generation: 1,
            misfits,
            last_reading: now,
            last_poll: now,
            poll_time: Duration::ZERO,
            last_look: now,
            last_timer: now,
            reading_time: READING_INTERVAL_MIN,
            failures: 0,
        };
        reloader.publish();
        reloader.record(Reloaded::Policy, Trigger::Start, true);
        reloader.state.seen.store(Some(Arc::clone(reloader.fingerprint.seen())));
        reloader.queue.finish(reading, true);
        Ok(reloader)
    }
}

/// Read the catalog, however long it takes until the server is there.
async fn read(login: &mut CatalogLogin, queue: &RefreshQueue) -> Result<(Reading, CatalogRows), StartError> {
    let mut said: Option<Instant> = None;
    loop {
        let reading = queue.start();
        match login.read_all().await {
            Ok(rows) => {
                if said.is_some() {
                    tracing::info!("the server is there");
                }
                return Ok((reading, rows));
            }
            Err(error) if error.is_passing() => {
                if said.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
                    tracing::warn!(%error, "waiting for the server: logins fail with 57P03 until its catalog was read");
                    said = Some(Instant::now());
                }
                tokio::time::sleep(ATTEMPT_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
