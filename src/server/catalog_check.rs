//! Looks at the catalog before each message and each result of callers who see masks (`catalog.check = "statement"`).
//!
//! Each worker has a connection of its own for them, so that no other thread has to be woken. Looks that are asked for while
//! one is under way share the next one. What one finds changed, and whatever goes wrong, is left to who reads the catalog.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::catalog_login::{CatalogReadError, Looks, Reader, Seen};
use super::state::SharedState;
use super::upstream::Upstream;

/// Time after which a look is given up, connecting included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two attempts to connect.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);

/// Asks for looks.
pub(super) struct CatalogChecker {
    asked: mpsc::UnboundedSender<oneshot::Sender<bool>>,
}

impl CatalogChecker {
    /// Start the task that looks; it ends when what is returned is dropped. To be called within a runtime.
    pub(super) fn start(state: Arc<SharedState>, upstream: Arc<Upstream>) -> Self {
        // bounded by the sessions of the worker, each of which asks for one at a time
        let (asked, received) = mpsc::unbounded_channel();
        tokio::spawn(answer(received, state, upstream));
        Self { asked }
    }

    /// Whether the catalog is, at some moment after this call, as it is in force; `false`: it may be another.
    pub(super) async fn is_same(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.asked.send(answer).is_ok() && answered.await.unwrap_or(false)
    }
}

async fn answer(
    mut asked: mpsc::UnboundedReceiver<oneshot::Sender<bool>>,
    state: Arc<SharedState>,
    upstream: Arc<Upstream>,
) {
    let mut checking = Checking { reader: None, attempt: None, held_against: None, looks: Looks::default() };
    // So that the first look need not wait for it. Where it fails, that look tries again.
    checking.reader =
        tokio::time::timeout(ANSWER_TIMEOUT, checking.connected(&state, &upstream)).await.ok().and_then(Result::ok);
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, usize::MAX).await > 0 {
        let look = checking.is_same(&state, &upstream);
        let same = match tokio::time::timeout(ANSWER_TIMEOUT, look).await {
            Ok(Ok(same)) => same,
            Ok(Err(_)) | Err(_) => {
                checking.reader = None;
                false
            }
        };
        for one in waiting.drain(..) {
            // whoever asked may be gone
            let _gone = one.send(same);
        }
    }
}

/// How one worker asks the server, and what it has found.
struct Checking {
    reader: Option<Reader>,
    /// When it connected last, or tried to.
    attempt: Option<Instant>,
    held_against: Option<Arc<Seen>>,
    looks: Looks,
}

impl Checking {
    async fn is_same(&mut self, state: &SharedState, upstream: &Upstream) -> Result<bool, CatalogReadError> {
        let Some(seen) = state.seen.load_full() else { return Ok(false) };
        if self.held_against.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &seen)) {
            self.looks = Looks::default();
            self.held_against = Some(Arc::clone(&seen));
        }
        let reader = match self.reader.take().filter(|reader| !reader.client().is_closed()) {
            Some(reader) => reader,
            None if self.attempt.is_some_and(|at| at.elapsed() < ATTEMPT_INTERVAL) => return Ok(false),
            None => self.connected(state, upstream).await?,
        };
        let reader = self.reader.insert(reader);
        self.looks.is_same(reader, &seen).await
    }

    async fn connected(&mut self, state: &SharedState, upstream: &Upstream) -> Result<Reader, CatalogReadError> {
        self.attempt = Some(Instant::now());
        Reader::connect(upstream, &state.config.catalog).await
    }
}
