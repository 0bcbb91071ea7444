//! What a session waits for while its outputs go on.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::server::catalog_check::CatalogChecker;
use crate::server::worker::Shell;
use crate::session::io::CatalogChanges;
use crate::sql::statement::Analysis;

/// Something awaited, kept from one poll to the next.
pub(super) type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the session waits for without its outputs waiting.
pub(super) enum Job {
    /// [`Output::Analyze`](crate::session::io::Output::Analyze): the text, and the version of the snapshot that it is analysed against.
    Analysis(Bytes, u64, oneshot::Receiver<Arc<Analysis>>),
    /// [`Output::Refresh`](crate::session::io::Output::Refresh).
    Refresh(Wait<bool>, CatalogChanges),
}

/// How a [`Job`] ended.
pub(super) enum JobDone {
    /// Here is the analysis.
    Analysis(Arc<Analysis>),
    /// The analysis failed by a fault of its own.
    NoAnalysis,
    /// The reading is in place, or failed.
    Refreshed(bool, CatalogChanges),
}

impl Job {
    /// Whether it has ended. Not to be called again after it has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<JobDone> {
        match self {
            Self::Analysis(_, _, analysis) => {
                pin!(analysis).poll(cx).map(|made| made.map_or(JobDone::NoAnalysis, JobDone::Analysis))
            }
            Self::Refresh(refresh, shown) => refresh.as_mut().poll(cx).map(|read| JobDone::Refreshed(read, *shown)),
        }
    }
}

/// Have a text analysed against the newest snapshot.
pub(super) fn analyse(shell: &Shell, text: Bytes) -> Job {
    let snapshot = shell.state.snapshot.load_full();
    let version = snapshot.version;
    Job::Analysis(text.clone(), version, shell.analysis_threads.submit(text, snapshot))
}

/// Have the catalog read again, if it has changed. Where nobody is known to change it a look may say that it has not.
pub(super) fn refresh(shell: &Shell, checker: Option<Arc<CatalogChecker>>, wanted: CatalogChanges) -> Job {
    let refresher = shell.state.refresher.clone();
    let gate = refresher.gate();
    let in_force = gate.epoch() == shell.state.snapshot.load().epoch && !gate.is_waiting();
    let checker = checker.filter(|_| in_force && wanted == CatalogChanges::Lasting);
    let reading = async move {
        match checker {
            Some(checker) if checker.is_same().await => true,
            Some(_) | None => refresher.refresh(wanted).await,
        }
    };
    Job::Refresh(Box::pin(reading), wanted)
}
