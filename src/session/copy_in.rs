//! Data of COPY on its way to the server.
//!
//! Where the caller is shown masks of columns that a COPY fills, its rows are looked at before they go on: as they came,
//! but in messages that end where a row ends. At the first mask among them pgveil ends the COPY in the client's place
//! (CopyFail), and the error that the server raises for that is the refusal's; what the client still sends of the data is
//! passed over. Nothing of the COPY is stored then.
//!
//! Data that comes before the server has said that it reads it (a client that does not wait for that) has to wait until
//! it is known what has to be looked at in it.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting, split};
use super::encoding::Encoding;
use super::expect::Expect;
use super::io::{CatalogChanges, Context, Observation};
use super::outbox::Outbox;
use super::replies::Next;
use super::statements::{Watch, cut};
use crate::plan::{CopyInPlan, Refusal, Verdict, copy_in};
use crate::sql::copy::CopyStatement;
use crate::wire::backend::Report;
use crate::wire::copy;
use crate::wire::frame::Header;
use crate::wire::{Malformed, compose};

/// What pgveil gives the server as the reason of a COPY's end; the server quotes it.
const REASON: &str = "pgveil refused the data";

/// What a session knows of its COPYs from the client.
#[derive(Default)]
pub(super) struct CopyIn {
    /// The server reads data.
    pub reads: bool,
    /// The server has begun a COPY, and not ended it.
    pub begun: bool,
    /// Syncs that came before the end of COPY data. The server passes over those that it reads as part of the COPY, and
    /// answers those that it reads after the COPY has failed: only its answers tell which.
    pub syncs: usize,
    /// Portals of this transaction that run, or ran, a COPY whose data has to be looked at.
    portals: HashSet<Bytes>,
    /// What the data is held against; `None`: it passes unseen.
    looked_at: Option<Box<CopyInPlan>>,
    /// How much is still to come of the message under way that is looked at, in bytes.
    pub left: usize,
    /// Why pgveil has ended the COPY under way.
    refusal: Option<Arc<Refusal>>,
    /// The client has not ended its data yet, which is passed over.
    pub ignores: bool,
}

/// What becomes of a message that belongs to a COPY.
pub(super) enum Piece {
    /// It goes on as it is.
    Passes,
    /// Its data is looked at.
    LookedAt,
    /// This goes on in its place.
    Becomes(Bytes),
    /// The server has to say first whether it reads the data.
    Waits,
}

impl CopyIn {
    /// A transaction is over, and its portals with it.
    pub(super) fn end_transaction(&mut self) {
        self.portals.clear();
    }

    /// The server has ended a COPY, or whatever it was at.
    pub(super) fn ended(&mut self) {
        (self.looked_at, self.refusal, self.begun) = (None, None, false);
    }
}

/// The COPY of a watch whose data has to be looked at.
fn looked_at(watch: &Watch) -> Option<&Arc<CopyStatement>> {
    let Watch::Protect(protection) = watch else { return None };
    protection.copy.as_ref().filter(|copy| copy.inward)
}

impl Conversation {
    /// A portal was bound to a statement with that verdict.
    pub(super) fn note_copy_in(&mut self, portal: &[u8], verdict: &Verdict) {
        if Watch::of(verdict).as_ref().and_then(looked_at).is_some() {
            self.copy_in.portals.insert(Bytes::copy_from_slice(cut(portal)));
        }
    }

    /// CopyData, CopyDone or CopyFail.
    pub(super) fn copied(&mut self, header: Header, out: &mut Outbox) -> Piece {
        if self.copy_in.ignores {
            self.copy_in.ignores = header.tag == b'd';
            return Piece::Becomes(Bytes::new());
        }
        if !self.copy_in.reads {
            if !self.skipping && self.may_be_looked_at() {
                return Piece::Waits;
            }
            if header.tag != b'd' && !self.replies.is_empty() && !self.skipping {
                self.replies.push_back(Expect::CopyEnd);
            }
            return Piece::Passes;
        }
        if header.tag == b'd' {
            return if self.copy_in.looked_at.is_some() { Piece::LookedAt } else { Piece::Passes };
        }
        self.copy_in.reads = false;
        match self.copy_in.looked_at.take() {
            Some(mut plan) if header.tag == b'c' => match plan.finish(&mut self.nonces) {
                Ok(rest) => {
                    self.note_keys(plan.keys(), out);
                    Piece::Becomes([copy_data(&rest), compose::raw(b'c', b"")].concat().into())
                }
                Err(refusal) => {
                    self.refuse_copy(refusal, out);
                    self.copy_in.ignores = false;
                    Piece::Becomes(compose::copy_fail(REASON))
                }
            },
            Some(_) | None => Piece::Passes,
        }
    }

    /// Whether the server may be about to read data that has to be looked at.
    fn may_be_looked_at(&self) -> bool {
        self.replies.iter().any(|expect| match expect {
            Expect::Query(reply) => {
                let steps = reply.steps.get(reply.at..).unwrap_or_default();
                reply.refusal.is_none() && steps.iter().any(|step| looked_at(&step.watch).is_some())
            }
            Expect::Execute { portal, .. } => self.copy_in.portals.contains(cut(portal)),
            _ => false,
        })
    }

    /// The data waits no more, if the server has said what it does.
    pub(super) fn copy_in_settled(&mut self) {
        let waits = self.waiting == Some(Waiting::CopyIn);
        if waits && (self.copy_in.reads || self.copy_in.ignores || !self.may_be_looked_at()) {
            self.waiting = None;
        }
    }

    /// A piece of a CopyData message that is looked at.
    pub(super) fn copied_piece(&mut self, input: &mut BytesMut, out: &mut Outbox) {
        let here = self.copy_in.left.min(input.len());
        self.copy_in.left -= here;
        let data = split(input, here);
        let Some(plan) = &mut self.copy_in.looked_at else { return };
        match plan.push(&data, &mut self.nonces) {
            Ok(read) => {
                let keys = plan.keys().to_vec();
                let frame = copy_data(&read);
                out.upstream(frame);
                self.note_keys(&keys, out);
            }
            Err(refusal) => {
                self.refuse_copy(refusal, out);
                out.upstream(compose::copy_fail(REASON));
            }
        }
    }

    /// The COPY under way does not go on.
    fn refuse_copy(&mut self, refusal: Refusal, out: &mut Outbox) {
        Self::observe(out, Observation::Refusal(refusal.reason));
        self.copy_in.refusal = Some(Arc::new(refusal));
        self.copy_in.looked_at = None;
        self.copy_in.reads = false;
        self.copy_in.ignores = true;
    }

    /// Why a COPY has failed, if pgveil has ended it and this is the server's error for that.
    pub(super) fn copy_in_refusal(&mut self, report: &Report<'_>) -> Option<Arc<Refusal>> {
        let refusal = self.copy_in.refusal.take()?;
        // Before it came to the end, something else may have failed. (57014: query_canceled.)
        let own = report.field(b'C') == Some(b"57014")
            && report.field(b'M').is_some_and(|message| message.ends_with(REASON.as_bytes()));
        own.then_some(refusal)
    }

    /// CopyInResponse: the server reads COPY data now, and does not answer the Syncs that are already on their way.
    pub(super) fn copy_in_response(
        &mut self,
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Next, Malformed> {
        let watch = match self.replies.front() {
            Some(Expect::Query(reply)) => reply.steps.get(reply.at).map(|step| step.watch.clone()),
            Some(Expect::Execute { portal, .. }) => {
                let portal = portal.clone();
                self.registry.portal(&portal).map(|portal| portal.watch.clone())
            }
            _ => return Err(Malformed("CopyInResponse")),
        };
        self.copy_in.begun = true;
        while let Some(next) = self.replies.get(1) {
            match next {
                Expect::Sync => {
                    self.copy_in.syncs = self.copy_in.syncs.saturating_add(1);
                    self.replies.remove(1);
                }
                Expect::CopyEnd if watch.as_ref().and_then(looked_at).is_none() => {
                    self.replies.remove(1);
                    return Ok(Next::Forward);
                }
                // Data has gone on that nobody has looked at.
                Expect::CopyEnd => return Err(Malformed("COPY")),
                // Anything else the server takes for a breach of the protocol, says so and hangs up, before any data that has
                // waited to be looked at goes on: nothing is stored.
                _ => {
                    self.leave(out);
                    return Ok(Next::Forward);
                }
            }
        }
        self.copy_in.reads = true;
        if let Some(statement) = watch.as_ref().and_then(looked_at) {
            let response = copy::response(body)?;
            let caller = self.caller(context.snapshot);
            let encoding = (self.encoding != Encoding::Treacherous).then_some(self.cells);
            let forms = (encoding, &self.forms, self.tenants.of_rows());
            match copy_in(statement, response, context.snapshot, &caller, forms, LOOKED_AT_BYTES_MAX) {
                Ok(plan) => self.copy_in.looked_at = plan.map(Box::new),
                Err(refusal) => {
                    self.refuse_copy(refusal, out);
                    out.upstream(compose::copy_fail(REASON));
                    // The table may have changed behind pgveil's back.
                    self.ask_refresh(CatalogChanges::All, out);
                }
            }
        }
        Ok(Next::Forward)
    }
}

/// A CopyData message; nothing where there is no data.
fn copy_data(data: &Bytes) -> Bytes {
    if data.is_empty() { Bytes::new() } else { compose::raw(b'd', data) }
}
