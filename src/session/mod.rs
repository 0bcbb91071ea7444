//! The engine: one client session as a value that never waits.
//!
//! Bytes go in by the handlers, and [`Session::poll_output`] yields what is to be done, in order; after every handler
//! call the shell drains it to `None`. Handlers return nothing: a fault of a peer becomes outputs. There is no clock, no
//! socket, no task in here.
//!
//! A session is a `login` until the server's first ReadyForQuery, and a `conversation` from then on: its `requests` go up
//! (`verdicts` say how), its `replies` come down (`descriptions`, the `delivery` of rows, `completions`), and one queue of
//! what the server owes, of what it is to `expect`, joins the two directions.

mod ahead;
mod apart;
mod calls;
mod commits;
mod completions;
mod conversation;
mod copies;
mod copy_in;
mod delivery;
mod descriptions;
mod encoding;
mod executed;
mod expect;
mod extended;
pub mod gate;
pub mod io;
mod login;
mod metering;
mod outbox;
mod owed;
mod reads;
mod repeat;
mod replies;
mod requests;
mod savepoints;
mod scrub;
mod sealing;
mod settings;
mod spending;
mod standing;
mod statements;
mod tenants;
#[cfg(test)]
mod tests;
mod verdicts;
mod verify;
mod write_back;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::login::EndPoint;
use crate::login::scram::Verifier;
use crate::plan::guard::{Stop, Watched};
use crate::plan::{Refusal, Snapshot};
use crate::sql::statement::Analysis;
use conversation::{Conversation, Waiting};
use io::{CatalogChanges, ClientTls, CloseReason, Context, Nonces, Opening, Output};
use login::Login;
use outbox::Outbox;

/// One client session, from its first byte to its last.
pub struct Session {
    phase: Phase,
    out: Outbox,
}

enum Phase {
    Login(Box<Login>),
    Conversation(Box<Conversation>),
    Over,
}

impl Session {
    /// A session whose client has just connected.
    pub fn new(opening: Opening) -> Self {
        Self { phase: Phase::Login(Box::new(Login::new(opening))), out: Outbox::default() }
    }

    /// Take bytes from the client. What is not consumed stays in `input`; the shell appends to it and calls again.
    pub fn handle_client(&mut self, input: &mut BytesMut, context: &Context<'_>) {
        match &mut self.phase {
            Phase::Login(login) => login.client(input, context, &mut self.out),
            Phase::Conversation(conversation) => conversation.client(input, context, &mut self.out),
            Phase::Over => input.clear(),
        }
    }

    /// Take bytes from the server.
    pub fn handle_upstream(&mut self, input: &mut BytesMut, context: &Context<'_>) {
        if let Phase::Login(login) = &mut self.phase
            && let Some(logged_in) = login.upstream(input, context, &mut self.out)
        {
            let mut conversation = Box::new(Conversation::new(logged_in));
            conversation.begins(&mut self.out);
            self.phase = Phase::Conversation(conversation);
        }
        match &mut self.phase {
            Phase::Login(_) => {}
            Phase::Conversation(conversation) => conversation.upstream(input, context, &mut self.out),
            Phase::Over => input.clear(),
        }
    }

    /// The TLS handshake with the client is done.
    pub fn handle_client_tls(&mut self, tls: ClientTls) {
        if let Phase::Login(login) = &mut self.phase {
            login.client_tls(tls);
        }
    }

    /// What the server has stored of the password of the user that [`Output::FetchVerifier`] named, or
    /// [`Verifier::mock`]. Call [`Session::handle_client`] afterwards: input may be waiting.
    pub fn handle_verifier(&mut self, verifier: Verifier, nonces: Nonces) {
        if let Phase::Login(login) = &mut self.phase {
            login.verifier(verifier, nonces, &mut self.out);
        }
    }

    /// The server could not be asked for it.
    pub fn handle_verifier_failed(&mut self) {
        if let Phase::Login(login) = &mut self.phase {
            login.verifier_failed(&mut self.out);
        }
    }

    /// The server is connected; what the connection to it ends at, if it is encrypted and a login can be bound to it.
    pub fn handle_connected(&mut self, end_point: Option<EndPoint>) {
        if let Phase::Login(login) = &mut self.phase {
            login.connected(end_point, &mut self.out);
        }
    }

    /// The server can not be reached; `reason` is shown to the client and holds no secret.
    pub fn handle_connect_failed(&mut self, reason: &str) {
        if let Phase::Login(login) = &mut self.phase {
            login.connect_failed(reason, &mut self.out);
        }
    }

    /// An analysis that [`Output::Analyze`] asked for. Call [`Session::handle_client`] afterwards: input may be waiting.
    pub fn handle_analysis(&mut self, analysis: Arc<Analysis>, _context: &Context<'_>) {
        if let Phase::Conversation(conversation) = &mut self.phase {
            match conversation.waiting.take() {
                Some(Waiting::Analysis(text)) => conversation.analyses.push((text, analysis)),
                other => conversation.waiting = other,
            }
        }
    }

    /// The reading that [`Output::Refresh`] asked for is in place, or failed. Call [`Session::handle_client`] and
    /// [`Session::handle_upstream`] afterwards, with the newest snapshot: input may be waiting.
    pub fn handle_refreshed(&mut self, read: bool, shown: CatalogChanges) {
        if let Phase::Conversation(conversation) = &mut self.phase {
            conversation.refreshed(read, shown);
        }
    }

    /// An access event could not be written: what it is about must not leave, so nothing more does.
    pub fn handle_access_failed(&mut self) {
        self.out.clear();
        if let Phase::Conversation(conversation) = &mut self.phase {
            let message = "pgveil: protected values can not be shown, because the access log can not be written";
            conversation.fail(&mut self.out, "58030", message, CloseReason::AccessLogFailed);
        }
        self.phase = Phase::Over;
    }

    /// What was counted could not be told to the store: what it is about must not leave, so nothing more does.
    pub fn handle_guard_failed(&mut self) {
        self.out.clear();
        self.handle_stopped(&Refusal::stopped(&Stop::StoreAway));
    }

    /// The guard ends the session: a limit is reached, or the account is locked out.
    pub fn handle_stopped(&mut self, why: &Refusal) {
        match &mut self.phase {
            Phase::Login(login) => login.stopped(why, &mut self.out),
            Phase::Conversation(conversation) => {
                let reason = CloseReason::Guard;
                conversation.fail_with_hint(&mut self.out, why.code, &why.message, Some(&why.hint), reason);
            }
            Phase::Over => {}
        }
        self.phase = Phase::Over;
    }

    /// Whom the guard counts for; `None`: the client has not said yet who it is, or the session is over.
    pub fn watched(&mut self, snapshot: &Snapshot) -> Option<Arc<Watched>> {
        match &mut self.phase {
            Phase::Login(login) => login.watched(snapshot),
            Phase::Conversation(conversation) => Some(conversation.watched(snapshot)),
            Phase::Over => None,
        }
    }

    /// When [`Session::handle_timeout`] wants to be called ([`io::Now::elapsed`]); `None`: not.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Conversation(conversation) => conversation.deadline(),
            Phase::Login(_) | Phase::Over => None,
        }
    }

    /// That time has come, or another one.
    pub fn handle_timeout(&mut self, context: &Context<'_>) {
        if let Phase::Conversation(conversation) = &mut self.phase {
            conversation.look_at_standing(context, &mut self.out);
        }
    }

    /// End of input from the client (it hung up), or the shell ends the session for this reason.
    pub fn handle_end(&mut self, reason: CloseReason) {
        match &mut self.phase {
            Phase::Login(_) => self.out.push(Output::Close(reason)),
            Phase::Conversation(conversation) => conversation.end(reason, &mut self.out),
            Phase::Over => {}
        }
        self.phase = Phase::Over;
    }

    /// Whether the session is between transactions with nothing outstanding: a drain may end it now.
    pub fn is_idle(&self) -> bool {
        match &self.phase {
            Phase::Login(_) => false,
            Phase::Conversation(conversation) => conversation.is_idle(),
            Phase::Over => true,
        }
    }

    /// Whether the server may still have something to say to what the client has sent.
    pub fn owes_answers(&self) -> bool {
        match &self.phase {
            Phase::Login(_) | Phase::Over => false,
            Phase::Conversation(conversation) => conversation.owes_answers(),
        }
    }

    /// Whether the login is done: before that, the startup deadline applies.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.phase, Phase::Conversation(_))
    }

    /// Whether client bytes should be read now (false while an analysis or a refresh is awaited).
    pub fn wants_client(&self) -> bool {
        match &self.phase {
            Phase::Login(login) => login.wants_client(),
            Phase::Conversation(conversation) => conversation.waiting.is_none(),
            Phase::Over => false,
        }
    }

    /// Whether a request of the client's waits here while the server has nothing to do: what would cancel it comes too early.
    pub fn holds_request(&self) -> bool {
        match &self.phase {
            Phase::Conversation(conversation) => conversation.holds_request(),
            Phase::Login(_) | Phase::Over => false,
        }
    }

    /// Whether [`Session::handle_client`] has something to do without any bytes of the client's.
    pub fn repeats(&self) -> bool {
        matches!(&self.phase, Phase::Conversation(conversation) if conversation.repeat.is_due())
    }

    /// Whether the server's bytes should be read now (false while a reading of the catalog is awaited that they depend on).
    pub fn wants_upstream(&self) -> bool {
        match &self.phase {
            Phase::Login(_) | Phase::Over => true,
            Phase::Conversation(conversation) => !conversation.verifying,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }
}
