//! The listening socket: accepts clients and deals them out to the workers.

pub(super) mod admission;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tracing::{error, info, warn};

use super::analyst::{Analyses, AnalysisThreads, Analyze};
use super::cancel::CancelKeys;
use super::shutdown::Presence;
use super::state::SharedState;
use super::upstream::Upstream;
use super::worker::{Accepted, Shell, Workers};
use crate::session::io::Guard;
use crate::telemetry::Metrics;
use admission::{Admissions, Full};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 1024;
/// Cancel requests on their way to the server at a time.
const CANCELS_MAX: usize = 64;
/// Clients at a time that are told that there are too many; others are just closed.
const REFUSALS_MAX: usize = 64;
/// Time that telling them may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time that who came in last has for what it came for, when another process takes over.
const HANDOVER: Duration = Duration::from_secs(1);
/// Time that sessions have to say goodbye after the drain's deadline.
const DRAIN_GRACE: Duration = Duration::from_secs(3);

/// Why clients can not be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can not be listened on.
    #[error("can not listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// No thread, or no event queue.
    #[error("can not start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A running server. Dropping it stops accepting and cuts all sessions off; [`ServerHandle::drain`] is the polite way.
pub struct ServerHandle {
    address: SocketAddr,
    /// Dropped or used: accepting stops.
    stop: oneshot::Sender<()>,
    /// The workers, when accepting has stopped.
    stopped: oneshot::Receiver<Workers>,
    presence: Arc<Presence>,
    threads: Vec<JoinHandle<()>>,
    /// Time between the end of accepting and that of the first sessions.
    handover: Duration,
}

/// Listen on the configured address and serve clients until [`ServerHandle::drain`], all of it on threads of its own.
///
/// # Errors
/// The address is taken, or there are no threads.
pub fn serve(state: Arc<SharedState>, upstream: Arc<Upstream>, analyze: Analyze) -> Result<ServerHandle, ListenError> {
    let config = Arc::clone(&state.config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ListenError::Thread)?;
    let wrong = |source| ListenError::Listen { address: config.listen, source };
    let listening = {
        let _entered = runtime.enter();
        listen(config.listen, config.reuse_port).and_then(|listener| Ok((listener.local_addr()?, listener)))
    };
    let (address, listener) = match listening {
        Ok(listening) => listening,
        Err(source) => {
            // dropped, it would wait for its threads, which the caller's runtime does not allow
            runtime.shutdown_background();
            return Err(wrong(source));
        }
    };
    let analyses = Arc::new(Analyses::new(analyze, Arc::clone(&state.metrics)));
    let shell = Arc::new(Shell {
        upstream,
        analysis_threads: AnalysisThreads::start(&analyses).map_err(ListenError::Thread)?,
        analyses,
        cancel_keys: Arc::new(CancelKeys::default()),
        cancels: Semaphore::new(CANCELS_MAX),
        guard: Arc::clone(&state.guard) as Arc<dyn Guard>,
        state,
    });
    let (workers, mut threads) = Workers::start(config.workers.get(), &shell).map_err(ListenError::Thread)?;
    let presence = Arc::new(Presence::default());
    let (stop, stopping) = oneshot::channel();
    let (hand_over, stopped) = oneshot::channel();
    let mut door = Door {
        workers,
        presence: Arc::clone(&presence),
        admissions: Arc::new(Admissions::new(config.max_connections, Arc::clone(&shell.state.metrics))),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        metrics: Arc::clone(&shell.state.metrics),
        accepted: 0,
    };
    let accept = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = stopping => {}
                () = door.accept(&listener) => {}
            }
        });
        // whoever is told that we have stopped finds the address closed
        let workers = runtime.block_on(async { door.close(listener) });
        // if nobody waits for them, they are dropped, and their sessions with them
        let _nobody_waits = hand_over.send(workers);
    };
    let acceptor =
        std::thread::Builder::new().name("pgveil-accept".into()).spawn(accept).map_err(ListenError::Thread)?;
    threads.push(acceptor);
    info!(%address, workers = config.workers, "listening");
    let handover = if config.reuse_port { HANDOVER } else { Duration::ZERO };
    Ok(ServerHandle { address, stop, stopped, presence, threads, handover })
}

impl ServerHandle {
    /// Where clients connect; with port 0 in the settings, what became of it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stop accepting; end sessions that are between transactions at once and the others when they get there, or at the
    /// latest after `patience`. The number of sessions that were cut off because they did not end even then. Must be
    /// called within a tokio runtime with time.
    pub async fn drain(self, patience: Duration) -> usize {
        let Self { stop, stopped, presence, threads, handover, .. } = self;
        drop(stop);
        // they live on until the sessions have ended
        let workers = stopped.await;
        tokio::time::sleep(handover).await;
        let left = presence.drain(patience, DRAIN_GRACE).await;
        drop(workers);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        if tokio::time::timeout(DRAIN_GRACE, joined).await.is_err() {
            warn!("a thread did not end in time");
        }
        left
    }
}

/// Listen on an address. `reuse_port`: others may listen there too; the kernel deals new connections out among them.
///
/// # Errors
/// The address is taken, or not this machine's.
pub fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // a restart must not wait for the last connections of the process before
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Where clients come in.
struct Door {
    workers: Workers,
    presence: Arc<Presence>,
    admissions: Arc<Admissions>,
    refusals: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    accepted: u64,
}

impl Door {
    async fn accept(&mut self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => self.admit(stream, client),
                // it was gone before we looked
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    error!(%error, "can not accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Stop listening. Who is connected already and was not accepted yet would be reset by that: they are accepted before.
    fn close(mut self, listener: TcpListener) -> Workers {
        if let Ok(listener) = listener.into_std() {
            let mut waiting = Vec::new();
            while let Ok(accepted) = listener.accept() {
                waiting.push(accepted);
            }
            drop(listener);
            for (stream, client) in waiting {
                let taken = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                match taken {
                    Ok(stream) => self.admit(stream, client),
                    Err(error) => warn!(%error, "a connection was gone before it was served"),
                }
            }
        }
        self.workers
    }

    fn admit(&mut self, stream: TcpStream, client: SocketAddr) {
        self.metrics.connections_total.inc();
        // policies speak of IPv4 networks also where the socket is both
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let Some(admission) = self.admissions.admit(client.ip()) else {
            self.metrics.connections_refused.inc();
            if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    let _done = tokio::time::timeout(REFUSAL_TIMEOUT, refuse(stream)).await;
                    drop(place);
                });
            }
            return;
        };
        self.accepted = self.accepted.saturating_add(1);
        let id = self.accepted;
        match stream.into_std() {
            Ok(stream) => {
                let present = self.presence.enter(id);
                self.workers.deal(Accepted { stream, client, id, present, admission });
            }
            Err(error) => warn!(%error, "a connection could not be handed to a worker"),
        }
    }
}

/// Tell a client that there are too many, and wait until it has hung up: unread bytes would make the message vanish.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&Full::Startup.error_response()).await?;
    stream.shutdown().await?;
    let mut dropped = [0; 1024];
    while stream.read(&mut dropped).await? > 0 {}
    Ok(())
}
