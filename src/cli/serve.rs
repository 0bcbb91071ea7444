//! `pgveil serve`: starts everything, follows signals, ends in order.
//!
//! The main thread has a runtime of its own for what is not a session: snapshots, the admin endpoint, signals. Sessions
//! are served by the threads that [`crate::server`] starts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::open_files::allow_open_files;
use super::service_manager::ServiceManager;
use crate::access_log::{Administration, Record};
use crate::config::{Config, ConfigError, ShipTarget};
use crate::server::catalog_login::CatalogReadError;
use crate::server::keys::keep_out_of_dumps;
use crate::server::reload::{ReloadHandle, Start, StartError};
use crate::server::state::SharedState;
use crate::server::{ListenError, TlsError, Upstream, admin, listen};
use crate::sql::analyze::analyze;
use crate::telemetry::{Metrics, log_panics_without_their_message, start_log};

/// Why pgveil does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("log.level: {0}")]
    LogLevel(#[from] tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Start(StartError),
    #[error("{server}: {source}")]
    Catalog { server: String, source: CatalogReadError },
    #[error("metrics can not be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("{setting} = \"{address}\": {source}")]
    Listen { setting: &'static str, address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Server(#[from] ListenError),
    #[error("the process can not be set up: {0}")]
    Process(#[from] io::Error),
}

impl ServeError {
    /// The task that puts snapshots in force has ended.
    fn ended(ended: Result<StartError, tokio::task::JoinError>, config: &Config) -> Self {
        match ended {
            Ok(error) => Self::starting(error, config),
            Err(panicked) => Self::Process(io::Error::other(panicked)),
        }
    }

    /// What keeps pgveil from starting, and where it was met.
    fn starting(error: StartError, config: &Config) -> Self {
        match error {
            StartError::Catalog(source) => Self::Catalog { server: config.upstream.address(), source },
            error @ (StartError::Policy(_)
            | StartError::AccessLog(_)
            | StartError::Reveals(_)
            | StartError::Tls(_)
            | StartError::Keys(_)
            | StartError::Login(_)
            | StartError::Verifiers(_)
            | StartError::State(_)
            | StartError::Alerts(_)
            | StartError::Shipping(_)
            | StartError::Build(_)) => Self::Start(error),
        }
    }
}

/// Time that the server has before clients are answered without it.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);

/// Time after which the access log says how many records were counted only.
const TELLING_INTERVAL: Duration = Duration::from_secs(10);
/// Time to ship what is not shipped yet, at the end.
const SHIPPING_PATIENCE: Duration = Duration::from_secs(5);

/// Serve until a signal ends it.
pub(super) fn serve(config: Config) -> Result<(), ServeError> {
    start_log(&config.log)?;
    log_panics_without_their_message();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(Arc::new(config)))
}

async fn run(config: Arc<Config>) -> Result<(), ServeError> {
    allow_open_files(&config);
    if config.keys.is_some() {
        keep_out_of_dumps();
    }
    let mut signals = Signals::new()?;
    let upstream = Arc::new(Upstream::new(&config.upstream)?);
    let metrics = Arc::new(Metrics::new()?);
    let admin_listener = listen(config.admin_listen, config.reuse_port).map_err(|source| ServeError::Listen {
        setting: "admin_listen",
        address: config.admin_listen,
        source,
    })?;
    let admin_address = admin_listener.local_addr()?;
    let start = Start::new(Arc::clone(&config), Arc::clone(&upstream), metrics).await;
    let start = start.map_err(|error| ServeError::starting(error, &config))?;
    let (state, reloads) = (start.state(), start.handle());
    tokio::spawn(admin::serve(admin_listener, Arc::clone(&state)));
    let mut snapshots = tokio::spawn(start.run());
    let served =
        serve_until_ended(&config, &state, &reloads, upstream, &mut signals, &mut snapshots, admin_address).await;
    state.access_log.stop().await;
    state.shipping.finish(SHIPPING_PATIENCE).await;
    served
}

async fn serve_until_ended(
    config: &Config,
    state: &Arc<SharedState>,
    reloads: &ReloadHandle,
    upstream: Arc<Upstream>,
    signals: &mut Signals,
    snapshots: &mut JoinHandle<StartError>,
    admin_address: SocketAddr,
) -> Result<(), ServeError> {
    let service_manager = ServiceManager::new(std::env::var_os("NOTIFY_SOCKET"));
    tokio::select! {
        // what is wrong between policy and database is found before anybody is let in, and where another pgveil listens on
        // the address too, nobody is taken from it for nothing
        () = state.refresher.first() => {}
        () = tokio::time::sleep(SERVER_PATIENCE) => {}
        ended = &mut *snapshots => return Err(ServeError::ended(ended, config)),
        // Nothing is served yet, so there is nothing to drain.
        () = signals.end() => return Ok(()),
    }
    let server = crate::server::serve(Arc::clone(state), upstream, analyze)?;
    let addresses = format!("listening on {}\nadmin on http://{admin_address}", server.address());
    if config.ship.iter().any(|sink| matches!(sink.target, ShipTarget::Stdout)) {
        eprintln!("{addresses}"); // standard output is the access log's
    } else {
        println!("{addresses}");
    }
    state.access_log.note(administration("start", Some(config)));
    let telling = tokio::spawn(tell_suppressed(Arc::clone(state)));
    service_manager.ready();
    tokio::select! {
        () = signals.follow(state, reloads) => {}
        ended = &mut *snapshots => return Err(ServeError::ended(ended, config)),
    }
    service_manager.stopping();
    state.start_draining();
    tracing::info!(patience_ms = config.drain_timeout.as_millis(), "ending; a second signal ends it at once");
    tokio::select! {
        left = server.drain(config.drain_timeout) => {
            if left > 0 {
                tracing::warn!(sessions = left, "sessions were cut off");
            }
        }
        () = signals.end() => tracing::warn!("sessions were cut off"),
    }
    telling.abort();
    state.access_log.note(administration("stop", None));
    Ok(())
}

/// What who runs pgveil has done, for the access log. The settings are told by their digest.
fn administration(action: &str, config: Option<&Config>) -> Record {
    let digest = |config: &Config| Arc::from(hex(&Sha256::digest(config.to_toml())));
    Record::Administration(Administration {
        action: action.into(),
        object: None,
        version: env!("CARGO_PKG_VERSION"),
        settings: config.map(digest),
        uid: Some(rustix::process::getuid().as_raw()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Have the access log told how many records were counted only.
async fn tell_suppressed(state: Arc<SharedState>) {
    loop {
        tokio::time::sleep(TELLING_INTERVAL).await;
        state.access_log.tell_suppressed();
    }
}

/// The signals that pgveil follows.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Wait for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Reload at each SIGHUP, until SIGTERM or SIGINT.
    async fn follow(&mut self, state: &SharedState, reloads: &ReloadHandle) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    tracing::info!("reloading");
                    state.access_log.note(administration("reload", Some(&state.config)));
                    state.access_log.reopen();
                    state.shipping.reload();
                    reloads.reload();
                }
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}
