//! Queries that pgveil sends again.
//!
//! Where the catalog changes while a query runs, it may not be known what its result shows. If nothing of it has gone to the
//! client yet, and it does nothing but read, its answer is thrown away and it is judged and sent once more.

use bytes::{Bytes, BytesMut};

use super::conversation::{Conversation, Waiting};
use super::expect::Expect;
use super::io::{CloseReason, Context, Lookup};
use super::outbox::Outbox;
use super::reads::only_reads;
use super::replies::Next;
use crate::sql::statement::Analysis;
use crate::wire::backend::{self, TransactionStatus};
use crate::wire::{Malformed, compose};

/// A query is sent so many times at most.
const TIMES_MAX: u8 = 3;

/// What is to be sent again.
#[derive(Default)]
pub(super) struct Repeat {
    /// The Query whose answer is being thrown away.
    discarded: Option<Bytes>,
    /// The Query whose answer is gone.
    again: Option<Bytes>,
    /// The catalog can not be read that says what an answer shows, which is thrown away; how the session ends behind it.
    unread: Option<(&'static str, String)>,
    /// How often the one at hand was sent again.
    times: u8,
}

impl Repeat {
    /// Whether what the server says is thrown away.
    pub(super) fn discards(&self) -> bool {
        self.discarded.is_some() || self.unread.is_some()
    }

    /// Whether there is something to be sent again.
    pub(super) fn is_due(&self) -> bool {
        self.again.is_some()
    }

    /// Puts what is to be sent again before what the client has sent since.
    pub(super) fn take(&mut self, input: &mut BytesMut) {
        if let Some(again) = self.again.take() {
            let later = input.split();
            input.extend_from_slice(&again);
            input.extend_from_slice(&later);
        }
    }

    /// An answer has come to its end.
    pub(super) fn answered(&mut self) {
        self.times = 0;
    }
}

impl Conversation {
    /// Throw away what the server says to the Query at the front, and send that again; `false`: it can not be.
    pub(super) fn repeats(&mut self, context: &Context<'_>) -> bool {
        // Nothing may be on its way behind it, which would be done before it then.
        let alone =
            self.replies.len() == 1 && self.waiting.is_none() && self.client_left == 0 && self.client_dropped == 0;
        if !alone || self.commit.is_some() || self.left || self.repeat.times >= TIMES_MAX {
            return false;
        }
        let text = match self.replies.front() {
            Some(Expect::Query(reply)) if !reply.answered && reply.at == 0 && self.rows.is_none() => reply.text.clone(),
            _ => None,
        };
        let Some(text) = text.filter(|text| is_one(text, context) && only_reads(text, context)) else {
            return false;
        };
        let written = std::str::from_utf8(&text).ok().and_then(|text| self.as_written(text));
        let Some(written) = written else { return false };
        self.repeat.discarded = Some(compose::raw(b'Q', &[&written, &b"\0"[..]].concat()));
        self.repeat.times += 1;
        self.waiting = Some(Waiting::Repeat);
        true
    }

    /// Whether an error that comes is shown, instead of what is thrown away: the server may be ending.
    pub(super) fn takes_error(&mut self) -> bool {
        let takes = self.repeat.unread.take().is_some();
        // It may be of a statement behind the one that the catalog could not be read for.
        self.withheld |= takes;
        takes
    }

    /// Show nothing of the answer at the front, and end the session behind it, unless an error of the server ends it first.
    pub(super) fn ends_behind(&mut self, state: &'static str, message: String) {
        self.repeat.unread = Some((state, message));
    }

    /// A message of an answer that is thrown away.
    pub(super) fn discarded(
        &mut self,
        tag: u8,
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Next, Malformed> {
        if tag == b'Z'
            && let Some((state, message)) = self.repeat.unread.take()
        {
            self.fail(out, state, &message, CloseReason::Refused);
        } else if tag == b'Z' {
            if let Some(Expect::Query(reply)) = self.replies.front_mut() {
                reply.answered = true;
            }
            self.ready(body, context, out)?;
            self.waiting = None;
            self.repeat.again = self.repeat.discarded.take();
            if backend::ready_for_query(body)? == TransactionStatus::Failed {
                let message = "pgveil: the database's catalog has changed while this statement ran: run it again";
                self.fail(out, "40001", message, CloseReason::Refused);
            }
        }
        Ok(Next::Swallow)
    }
}

/// Whether a text is one statement.
fn is_one(text: &[u8], context: &Context<'_>) -> bool {
    match context.analyst.analysis(context.snapshot, text) {
        Lookup::Ready(analysis) => matches!(&*analysis, Analysis::Statements(statements) if statements.len() == 1),
        Lookup::Later => false,
    }
}
