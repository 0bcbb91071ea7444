//! The threads that serve sessions, each with a runtime of its own.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::debug;

use super::analyst::{Analyses, AnalysisThreads};
use super::cancel::CancelKeys;
use super::catalog_check::CatalogChecker;
use super::connection::Connection;
use super::listener::admission::Admission;
use super::shutdown::Present;
use super::state::SharedState;
use super::stream::{Stream, tune};
use super::upstream::Upstream;
use crate::session::io::Guard;

/// Stack of a worker: analyses run on it. The kernel gives only what is used.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Threads of a worker that resolve the server's name.
const RESOLVERS_MAX: usize = 4;

/// What all sessions need of the shell.
pub(super) struct Shell {
    pub(super) state: Arc<SharedState>,
    /// The same as the state's, as the engine knows it.
    pub(super) guard: Arc<dyn Guard>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) analyses: Arc<Analyses>,
    pub(super) analysis_threads: AnalysisThreads,
    pub(super) cancel_keys: Arc<CancelKeys>,
    /// Places for cancel requests on their way to the server.
    pub(super) cancels: Semaphore,
}

/// A client connection on its way to a worker.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) client: SocketAddr,
    pub(super) id: u64,
    pub(super) present: Present,
    pub(super) admission: Admission,
}

/// All workers. They end, and drop what sessions they still have, when it is dropped.
pub(super) struct Workers {
    workers: Vec<Worker>,
    next: usize,
}

struct Worker {
    queue: UnboundedSender<Accepted>,
    /// Sessions that it has.
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Start as many; the threads are returned to be joined.
    ///
    /// # Errors
    /// The operating system gives no thread or no event queue.
    pub(super) fn start(count: usize, shell: &Arc<Shell>) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let mut workers = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 1..=count {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                // for resolving the server's name only
                .max_blocking_threads(RESOLVERS_MAX)
                .build()?;
            // bounded by the connections that may be before their login
            let (queue, accepted) = unbounded_channel();
            let load = Arc::new(AtomicUsize::new(0));
            let (shell, served) = (Arc::clone(shell), Arc::clone(&load));
            threads.push(
                std::thread::Builder::new()
                    .name(format!("pgveil-worker-{number}"))
                    .stack_size(STACK_BYTES)
                    .spawn(move || runtime.block_on(serve(accepted, &shell, &served)))?,
            );
            workers.push(Worker { queue, load });
        }
        Ok((Self { workers, next: 0 }, threads))
    }

    /// Give a connection to the worker that has fewest; among equals they take turns.
    pub(super) fn deal(&mut self, accepted: Accepted) {
        let count = self.workers.len().max(1);
        self.next = self.next.wrapping_add(1) % count;
        let (after, before) = self.workers.split_at(self.next.min(self.workers.len()));
        let worker = before.iter().chain(after).min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        if let Some(worker) = worker {
            worker.load.fetch_add(1, Ordering::Relaxed);
            // an error means that the worker's thread is gone; the connection is closed by being dropped
            let _gone = worker.queue.send(accepted);
        }
    }
}

/// Counts a session out, also when its task panics.
struct Served(Arc<AtomicUsize>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(mut accepted: UnboundedReceiver<Accepted>, shell: &Arc<Shell>, load: &Arc<AtomicUsize>) {
    let checks_each = shell.state.refresher.gate().checks_each();
    let checker =
        checks_each.then(|| Arc::new(CatalogChecker::start(Arc::clone(&shell.state), Arc::clone(&shell.upstream))));
    while let Some(Accepted { stream, client, id, present, admission }) = accepted.recv().await {
        let served = Served(Arc::clone(load));
        let stream = tokio::net::TcpStream::from_std(stream).and_then(|stream| {
            tune(&stream, &shell.state.config.tcp)?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => {
                let checker = checker.clone();
                let connection =
                    Connection::new(Arc::clone(shell), checker, Stream::Tcp(stream), client, id, present, admission);
                tokio::spawn(async move {
                    connection.run().await;
                    drop(served);
                });
            }
            Err(error) => debug!(session = id, %error, "a connection was gone before it was served"),
        }
    }
}
