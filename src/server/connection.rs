//! One session: both sockets and the engine between them, in one task.
//!
//! The task polls both sockets, hands what it reads to the engine, drains the engine's outputs in their order and writes.
//! An [`Output::Access`] holds back every output after it until the access log has it. While much waits to be written to
//! one side the other is not read, so that a slow reader slows down the writer and memory stays bounded.

mod close;
#[cfg(test)]
pub(super) mod fixtures;
mod job;
mod steps;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::{Instant as Deadline, Sleep};
use tracing::{debug, error, warn};

use super::cancel::Registered;
use super::catalog_check::CatalogChecker;
use super::guard::Guarded;
use super::listener::admission::Admission;
use super::log_sink::AccessLogError;
use super::shared_state::StateError;
use super::shutdown::{Phase, Present};
use super::stream::Stream;
use super::stream::lane::{Filled, Lane};
use super::worker::Shell;
use crate::catalog::Name;
use crate::plan::{Observation, Refusal, Snapshot};
use crate::policy::Counted;
#[cfg(not(test))]
use crate::session::Session;
use crate::session::io::{self, Authority as _, CancelKey, CloseReason, Guard as _, Opening, Output, TlsStart};
use crate::telemetry::{Direction, Leg};

use job::{Job, JobDone, Wait, analyse, refresh};

// The loop's own tests drive it by a session that does what the test's client says; see there.
#[cfg(test)]
use fixtures::Session;

/// Bytes waiting for one side above which the other side is not read.
const QUEUED_BYTES_MAX: usize = 256 * 1024;

/// Time that others wait for a message that may commit a change of the catalog. It may itself wait for a lock that one of
/// them holds.
const COMMIT_PATIENCE: Duration = Duration::from_millis(200);

/// One in as many reads from a client is timed; a power of two.
const READS_FOR_A_TIMED_ONE: u32 = 16;

/// The time that requests spend in pgveil, of a sample of them.
#[derive(Default)]
struct Overhead {
    reads: u32,
    /// When the request came that is being timed.
    arrived: Option<Instant>,
}

impl Overhead {
    /// A read brought requests.
    fn arrives(&mut self) {
        if self.reads.is_multiple_of(READS_FOR_A_TIMED_ONE) {
            self.arrived.get_or_insert_with(Instant::now);
        }
        self.reads = self.reads.wrapping_add(1);
    }
}

/// Why outputs that had to wait may not leave.
enum Unreleased {
    /// What they show could not be written down.
    AccessLog(AccessLogError),
    /// What was counted could not be told to the store.
    State(StateError),
}

/// What the exchange stops for.
enum Step {
    AcceptTls(TlsStart),
    FetchVerifier(Name),
    Connect,
    Cancel(CancelKey),
    Close(CloseReason),
}

/// A client connection, the server connection made for it, and the engine.
pub(super) struct Connection {
    shell: Arc<Shell>,
    present: Present,
    admission: Admission,
    session: Session,
    id: u64,
    address: SocketAddr,
    client: Lane,
    upstream: Option<Lane>,
    /// The answer of the access log, or of the store of what is counted, that further outputs wait for.
    held: Option<Wait<Result<(), Unreleased>>>,
    jobs: Vec<Job>,
    /// Until when the login must be done; `None`: it is done.
    startup: Option<(Deadline, Pin<Box<Sleep>>)>,
    registered: Option<Registered>,
    /// The client says no more, and is not read. The session ends when the server has nothing more to say.
    left: bool,
    /// The engine was told to end, and why.
    ended: Option<CloseReason>,
    /// The engine has learnt something since it last saw the client's input: it may take now what it left there.
    offer_again: bool,
    /// Wakes it when somebody is locked out.
    guarded: Guarded,
    /// Whether this task is woken when the process ends.
    wakes: bool,
    overhead: Overhead,
    /// When the engine wants to be told the time.
    deadline: Option<(Duration, Pin<Box<Sleep>>)>,
    /// It counts among the sessions that are logged in.
    joined: bool,
    /// Who looks at the catalog for it, where it is looked at each time.
    checker: Option<Arc<CatalogChecker>>,
}

impl Connection {
    /// A client that was accepted.
    pub(super) fn new(
        shell: Arc<Shell>,
        checker: Option<Arc<CatalogChecker>>,
        stream: Stream,
        address: SocketAddr,
        id: u64,
        present: Present,
        admission: Admission,
    ) -> Self {
        let config = &shell.state.config;
        let opening = Opening {
            id,
            client: address,
            tls_offered: shell.state.client_tls.load().is_some(),
            tls_required: config.tls.as_ref().is_some_and(|tls| tls.required),
            shows_certificate: config.upstream.client_certificate.is_some(),
            rules: shell.state.rules.load_full(),
            seed: shell.state.seeds.of(id),
        };
        let deadline = Deadline::now() + config.startup_timeout;
        let metrics = &shell.state.metrics;
        let client = Lane::new(
            stream,
            metrics.transferred_counter(Leg::Client, Direction::Received),
            metrics.transferred_counter(Leg::Client, Direction::Sent),
        );
        Self {
            present,
            admission,
            session: Session::new(opening),
            id,
            address,
            client,
            upstream: None,
            held: None,
            jobs: Vec::new(),
            startup: Some((deadline, Box::pin(tokio::time::sleep_until(deadline)))),
            registered: None,
            left: false,
            ended: None,
            guarded: shell.state.guard.watch(id),
            offer_again: false,
            wakes: false,
            overhead: Overhead::default(),
            deadline: None,
            joined: false,
            checker,
            shell,
        }
    }

    /// Serve it to its end.
    pub(super) async fn run(mut self) {
        let reason = loop {
            // what is rare is boxed, so that it takes no room in the task of an idle session
            match std::future::poll_fn(|cx| self.poll_step(cx)).await {
                Step::AcceptTls(start) => {
                    Box::pin(self.accept_tls(start)).await;
                    self.offer_again = true;
                }
                Step::FetchVerifier(user) => {
                    Box::pin(self.fetch_verifier(&user)).await;
                    self.offer_again = true;
                }
                Step::Connect => {
                    if let Some(reason) = Box::pin(self.connect()).await {
                        break reason;
                    }
                    self.offer_again = true;
                }
                Step::Cancel(key) => {
                    Box::pin(self.cancel(&key)).await;
                    break CloseReason::CancelRequest;
                }
                Step::Close(reason) => break reason,
            }
        };
        debug!(session = self.id, ?reason, "session ends");
        self.shell.state.metrics.connection_closed(reason);
        self.registered = None;
        // What it was about to commit is not waited for any more.
        drop(self.session);
        if self.joined {
            self.shell.state.refresher.left();
            self.shell.state.refresher.landed(false);
        }
        self.admission.leave_session();
        Box::pin(close::close(self.client, self.upstream, reason)).await;
    }

    /// Exchange bytes until something else has to be done.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if !self.wakes {
            self.present.wake_by(cx.waker());
            self.guarded.wake_by(cx.waker());
            self.wakes = true;
        }
        loop {
            self.look_at_the_clock(cx);
            self.look_at_locks();
            let mut progressed = self.poll_held(cx) || self.poll_jobs(cx);
            let waited_for = self.waited_for();
            if let Some(step) = self.drain_outputs(cx.waker()) {
                return Poll::Ready(step);
            }
            // what is waited for only since now has not been polled yet, so nothing would wake this task
            progressed |= self.waited_for() != waited_for;
            // the sockets' own wakers go on where these stop
            let _client_waits = self.client.poll_drain(cx);
            let _upstream_waits = self.upstream.as_mut().map(|upstream| upstream.poll_drain(cx));
            self.observe_overhead();
            if self.held.is_none() {
                if let Some(reason) = self.ended {
                    // told to end, and no more to say
                    return Poll::Ready(Step::Close(reason));
                }
                if self.client.is_broken() {
                    self.end(CloseReason::ClientLeft);
                    progressed = true;
                } else {
                    progressed |= self.read_client(cx);
                    progressed |= self.read_upstream(cx);
                }
            }
            if !progressed {
                if let Some(registered) = &self.registered
                    && !self.session.holds_request()
                {
                    registered.has_sent();
                }
                return Poll::Pending;
            }
        }
    }

    /// What has to be polled beside the sockets.
    fn waited_for(&self) -> (bool, usize) {
        (self.held.is_some(), self.jobs.len())
    }

    /// End the session if its startup took too long or the process ends.
    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) {
        if let Some((_, sleep)) = &mut self.startup
            && sleep.as_mut().poll(cx).is_ready()
        {
            self.end(CloseReason::Timeout);
        }
        self.tell_the_time(cx);
        let due = match self.present.phase() {
            Phase::Open => false,
            Phase::Draining => {
                let quiet = self.session.is_idle() && self.client.input.is_empty() && self.jobs.is_empty();
                quiet || !self.session.is_logged_in()
            }
            Phase::Ending => true,
        };
        if due {
            self.end(CloseReason::Shutdown);
        }
    }

    /// End the session if its user is locked out.
    fn look_at_locks(&mut self) {
        if !self.guarded.locks_have_changed() || self.ended.is_some() {
            return;
        }
        let snapshot = self.shell.state.snapshot.load();
        let Some(watched) = self.session.watched(&snapshot) else { return };
        if let Some(refusal) = self.shell.state.guard.locked_out(&watched.user, None, watched.address) {
            self.stop(&refusal);
        }
    }

    /// The guard ends the session.
    fn stop(&mut self, why: &Refusal) {
        if self.ended.is_none() {
            self.ended = Some(CloseReason::Guard);
            self.session.handle_stopped(why);
        }
    }

    /// Something that speaks against the caller: it is counted.
    fn count(&mut self, what: Counted) {
        let snapshot = self.shell.state.snapshot.load();
        let Some(watched) = self.session.watched(&snapshot) else { return };
        if let Err(stop) = self.shell.state.guard.count(&watched, what)
            && stop.ends_session()
        {
            self.stop(&Refusal::stopped(&stop));
        }
    }

    /// Call the engine when it wants to be called.
    fn tell_the_time(&mut self, cx: &mut Context<'_>) {
        let Some(wanted) = self.session.deadline() else {
            self.deadline = None;
            return;
        };
        if self.deadline.as_ref().is_none_or(|(known, _)| *known != wanted) {
            let left = wanted.saturating_sub(self.shell.state.reveals.now().elapsed);
            self.deadline = Some((wanted, Box::pin(tokio::time::sleep(left))));
        }
        let due = self.deadline.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        if due && self.held.is_none() {
            self.deadline = None;
            let snapshot = self.shell.state.snapshot.load_full();
            self.session.handle_timeout(&context(&self.shell, &snapshot));
        }
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(held) = &mut self.held else {
            return false;
        };
        let Poll::Ready(outcome) = held.as_mut().poll(cx) else {
            return false;
        };
        self.held = None;
        match outcome {
            Ok(()) => {}
            Err(Unreleased::AccessLog(error)) => {
                error!(session = self.id, %error, "nothing is revealed: the access log can not be written");
                while self.session.poll_output().is_some() {}
                self.session.handle_access_failed();
            }
            Err(Unreleased::State(error)) => {
                error!(session = self.id, %error, "nothing is revealed: the state's store can not be reached");
                while self.session.poll_output().is_some() {}
                self.session.handle_guard_failed();
            }
        }
        true
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        if self.held.is_some() {
            return false;
        }
        let done = self.jobs.iter_mut().enumerate().find_map(|(at, job)| match job.poll(cx) {
            Poll::Ready(outcome) => Some((at, outcome)),
            Poll::Pending => None,
        });
        let Some((at, outcome)) = done else {
            return false;
        };
        let job = self.jobs.swap_remove(at);
        let snapshot = self.shell.state.snapshot.load_full();
        match (outcome, job) {
            (JobDone::Analysis(_), Job::Analysis(text, version, _)) if version != snapshot.version => {
                // what it says of the database or the policy may not be so any more
                self.jobs.push(analyse(&self.shell, text));
                return true;
            }
            (JobDone::Analysis(analysis), _) => {
                self.session.handle_analysis(analysis, &context(&self.shell, &snapshot));
            }
            (JobDone::Refreshed(read, shown), _) => self.session.handle_refreshed(read, shown),
            (JobDone::NoAnalysis, _) => {
                error!(session = self.id, "the analysis of a statement failed: the session is closed");
                self.end(CloseReason::ClientFault);
                return true;
            }
        }
        // under the same snapshot: the analysis is used by this call
        self.feed_client_with(&snapshot);
        self.feed_upstream();
        true
    }

    /// Take the engine's outputs in their order, up to one that they have to wait for.
    fn drain_outputs(&mut self, waker: &Waker) -> Option<Step> {
        while self.held.is_none() {
            let state = &self.shell.state;
            match self.session.poll_output()? {
                Output::ToUpstream(bytes) => {
                    if let Some(upstream) = &mut self.upstream {
                        upstream.put(bytes);
                    }
                }
                Output::ToClient(bytes) => self.client.put(bytes),
                Output::Access(records) => {
                    let written = state.access_log.write(records);
                    self.held = Some(Box::pin(async move { written.await.map_err(Unreleased::AccessLog) }));
                }
                Output::Settle(watched) => {
                    if state.guard.is_unsettled(&watched) {
                        let settled = state.guard.store().settle();
                        self.held = Some(Box::pin(async move { settled.await.map_err(Unreleased::State) }));
                    }
                }
                Output::Note(record) => state.access_log.note(record),
                Output::AcceptTls(start) => return Some(Step::AcceptTls(start)),
                Output::FetchVerifier(user) => return Some(Step::FetchVerifier(user)),
                Output::Connect => return Some(Step::Connect),
                Output::LoginFailed(user, reason) => {
                    state.metrics.login_failures.inc();
                    let client = self.address;
                    warn!(session = self.id, ?user, %client, %reason, "a login failed");
                    if reason.is_of_client() {
                        self.count(Counted::FailedLogins);
                    }
                }
                Output::Cancel(key) => return Some(Step::Cancel(key)),
                Output::LoggedIn(key) => {
                    self.startup = None;
                    self.admission.logged_in();
                    self.joined = true;
                    state.refresher.joined();
                    self.registered = key.map(|key| self.shell.cancel_keys.register(self.id, key, waker.clone()));
                }
                Output::Analyze(text) => self.jobs.push(analyse(&self.shell, text)),
                Output::Refresh(wanted) => {
                    let checker = self.checker.clone();
                    self.jobs.push(refresh(&self.shell, checker, wanted));
                }
                Output::Commits(patience) => {
                    let refresher = state.refresher.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(COMMIT_PATIENCE).await;
                        patience.is_over();
                        refresher.landed(false);
                    });
                }
                Output::Landed(committed) => state.refresher.landed(committed),
                Output::Observe(observation) => {
                    state.metrics.observe(&observation);
                    if let Observation::Refusal(reason) = observation {
                        for what in reason.counted() {
                            self.count(*what);
                        }
                    }
                }
                Output::Stop(stop) => self.stop(&Refusal::stopped(&stop)),
                Output::Leave => self.leave(),
                Output::Close(reason) => return Some(Step::Close(reason)),
            }
        }
        None
    }

    fn read_client(&mut self, cx: &mut Context<'_>) -> bool {
        if self.left {
            return false;
        }
        if !self.session.wants_client() {
            self.offer_again = true;
            return false;
        }
        if std::mem::take(&mut self.offer_again) && (!self.client.input.is_empty() || self.session.repeats()) {
            self.feed_client();
            return true;
        }
        if self.upstream.as_ref().is_some_and(|upstream| upstream.queued_bytes() > QUEUED_BYTES_MAX) {
            return false;
        }
        match self.client.poll_fill(cx) {
            Poll::Pending => false,
            Poll::Ready(Filled::Bytes) => {
                if self.session.is_logged_in() {
                    self.overhead.arrives();
                }
                self.feed_client();
                true
            }
            Poll::Ready(Filled::End) => {
                self.leave();
                true
            }
        }
    }

    /// The client says no more. It may have closed its sending side only, and wait for the answers to what it has sent.
    fn leave(&mut self) {
        match &mut self.upstream {
            Some(upstream) if self.session.owes_answers() => {
                upstream.finish();
                self.left = true;
            }
            Some(_) | None => self.end(CloseReason::ClientLeft),
        }
    }

    /// What came from the client has gone on to the server, unless the engine or the server's socket makes it wait.
    fn observe_overhead(&mut self) {
        let gone = self.session.wants_client() && self.upstream.as_ref().is_some_and(|lane| lane.queued_bytes() == 0);
        if gone && let Some(arrived) = self.overhead.arrived.take() {
            self.shell.state.metrics.statement_overhead_seconds.observe(arrived.elapsed().as_secs_f64());
        }
    }

    fn feed_client(&mut self) {
        let snapshot = self.shell.state.snapshot.load();
        self.feed_client_with(&snapshot);
    }

    fn feed_client_with(&mut self, snapshot: &Arc<Snapshot>) {
        self.session.handle_client(&mut self.client.input, &context(&self.shell, snapshot));
        self.client.settle();
    }

    fn read_upstream(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(upstream) = &mut self.upstream else {
            return false;
        };
        if self.client.queued_bytes() > QUEUED_BYTES_MAX || !self.session.wants_upstream() {
            return false;
        }
        match upstream.poll_fill(cx) {
            Poll::Pending => false,
            Poll::Ready(Filled::Bytes) => {
                self.feed_upstream();
                true
            }
            Poll::Ready(Filled::End) => {
                // all that the server said before is with the engine already
                self.end(if self.left { CloseReason::ClientLeft } else { CloseReason::UpstreamLeft });
                true
            }
        }
    }

    fn feed_upstream(&mut self) {
        if let Some(upstream) = &mut self.upstream
            && !upstream.input.is_empty()
        {
            let snapshot = self.shell.state.snapshot.load();
            self.session.handle_upstream(&mut upstream.input, &context(&self.shell, &snapshot));
            upstream.settle();
            self.offer_again = true;
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if self.ended.is_none() {
            self.ended = Some(reason);
            self.session.handle_end(reason);
        }
    }
}

fn context<'a>(shell: &'a Shell, snapshot: &'a Arc<Snapshot>) -> io::Context<'a> {
    io::Context {
        snapshot,
        analyst: &*shell.analyses,
        gate: shell.state.refresher.gate(),
        budgets: &*shell.state.budgets,
        guard: &shell.guard,
        authority: &shell.state.reveals,
    }
}
