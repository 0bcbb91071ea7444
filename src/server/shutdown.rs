//! Ending: every session is told, may finish its transaction until a deadline, and is counted out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::Notify;

/// How far the process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It is not ending.
    Open,
    /// Sessions end as soon as they are between transactions.
    Draining,
    /// Sessions end now.
    Ending,
}

/// Everybody who is connected.
#[derive(Default)]
pub(super) struct Presence {
    /// A [`Phase`] as its number.
    phase: AtomicU8,
    connections: AtomicUsize,
    wakers: DashMap<u64, Waker>,
    left: Notify,
}

/// A connection, from its acceptance; counted out when it is dropped.
pub(super) struct Present {
    presence: Arc<Presence>,
    session: u64,
}

impl Presence {
    /// A connection was accepted.
    pub(super) fn enter(self: &Arc<Self>, session: u64) -> Present {
        self.connections.fetch_add(1, Ordering::SeqCst);
        Present { presence: Arc::clone(self), session }
    }

    /// How far the process is from its end.
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::Ending,
        }
    }

    fn advance(&self, phase: u8) {
        self.phase.fetch_max(phase, Ordering::SeqCst);
        for waker in &self.wakers {
            waker.wake_by_ref();
        }
    }

    /// End all sessions: those between transactions at once, others when they get there, the rest after `patience`; who
    /// has not gone after `grace` more is left alone. The number of those.
    pub(super) async fn drain(&self, patience: Duration, grace: Duration) -> usize {
        self.advance(1);
        if tokio::time::timeout(patience, self.emptied()).await.is_err() {
            self.advance(2);
            let _late = tokio::time::timeout(grace, self.emptied()).await;
        }
        self.connections.load(Ordering::SeqCst)
    }

    async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.connections.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Present {
    /// Wake this task at each change of [`Presence::phase`]. Look at the phase after this call, not only before.
    pub(super) fn wake_by(&self, waker: &Waker) {
        self.presence.wakers.insert(self.session, waker.clone());
    }

    /// How far the process is from its end.
    pub(super) fn phase(&self) -> Phase {
        self.presence.phase()
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.presence.wakers.remove(&self.session);
        // both this and the other side write before they read: one of them sees the other
        self.presence.connections.fetch_sub(1, Ordering::SeqCst);
        if self.presence.phase() != Phase::Open {
            self.presence.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    /// Stays until the phase is at least this.
    async fn stay(present: Present, until: Phase) {
        std::future::poll_fn(|cx| {
            present.wake_by(cx.waker());
            if present.phase() >= until { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn the_last_to_go_ends_the_wait() {
        run(async {
            let presence = Arc::new(Presence::default());
            for session in 0..10 {
                tokio::spawn(stay(presence.enter(session), Phase::Draining));
            }
            tokio::task::yield_now().await;
            let started = std::time::Instant::now();
            assert_eq!(presence.drain(Duration::from_secs(30), Duration::from_secs(1)).await, 0);
            assert!(started.elapsed() < Duration::from_secs(30));
            assert!(presence.wakers.is_empty());
        });
    }

    #[test]
    fn who_does_not_end_is_told_again_at_the_deadline_and_counted_after_it() {
        run(async {
            let presence = Arc::new(Presence::default());
            tokio::spawn(stay(presence.enter(1), Phase::Ending));
            let _stuck = presence.enter(2);
            tokio::task::yield_now().await;
            assert_eq!(presence.drain(Duration::from_millis(20), Duration::from_millis(20)).await, 1);
            assert_eq!(presence.phase(), Phase::Ending);
        });
    }
}
