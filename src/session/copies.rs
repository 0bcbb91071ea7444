//! Data of COPY on its way to the client.
//!
//! The server does not describe what a COPY sends. So before one that is protected pgveil asks about a query that shows
//! the same: Close, Parse, Describe and Close of a prepared statement of its own go up in front of the COPY, and their
//! answers are its own. Should the server refuse that query, it would refuse the COPY, and its error is the COPY's: behind
//! a COPY of the simple protocol a Sync goes up, so that the server skips to that and no further.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::conversation::Conversation;
use super::delivery::Delivery;
use super::encoding::Encoding;
use super::expect::{Expect, Probe, ProbeAnswer};
use super::io::Context;
use super::outbox::Outbox;
use super::replies::Next;
use super::statements::{Prepared, Watch, cut};
use crate::access_log::Action;
use crate::plan::{Protection, Refusal, Snapshot, Verdict};
use crate::sql::copy::{CopyLayout, CopyStatement};
use crate::sql::lineage::Unknown;
use crate::wire::backend::RowDescription;
use crate::wire::copy::{self, CopyFormat, CopyPiece};
use crate::wire::{Malformed, compose};

/// The prepared statement that pgveil asks about.
const PROBE: &str = "pgveil describes copy";

/// What a session knows of its COPYs to the client.
#[derive(Default)]
pub(super) struct Copies {
    /// The queries to ask about before portals that run a COPY are executed.
    portals: HashMap<Bytes, Bytes>,
    /// The query that was asked about last, and what the server says of it.
    described: Option<(Bytes, RowDescription)>,
    /// The data that the server sends now.
    under_way: Option<CopyData>,
}

/// Data that the server sends.
enum CopyData {
    /// Nothing of it is looked at.
    Unseen,
    /// Its rows are counted or rewritten.
    Rows {
        /// How they are written, where that is known.
        format: Option<CopyFormat>,
        /// The names in the header line that is to come first.
        header: Option<Vec<Bytes>>,
        /// What has come of it.
        at: CopyPoint,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CopyPoint {
    /// Nothing yet.
    Start,
    /// Something.
    Rows,
    /// The end.
    End,
}

impl Copies {
    /// A transaction is over, and its portals with it.
    pub(super) fn end_transaction(&mut self) {
        self.portals.clear();
    }

    /// Whether there is something to ask before that portal is executed.
    pub(super) fn asks_about(&self, portal: &[u8]) -> bool {
        self.portals.contains_key(cut(portal))
    }

    /// A COPY is over.
    pub(super) fn ended(&mut self) {
        self.described = None;
        self.under_way = None;
    }

    /// Whether data passes without being looked at.
    pub(super) fn is_unseen(&self) -> bool {
        matches!(self.under_way, Some(CopyData::Unseen))
    }
}

impl Conversation {
    /// The query to ask about before a statement runs, as the client would send it. `text`: the statement's, as it was read.
    fn probe_of(&self, verdict: &Verdict, text: &[u8], snapshot: &Snapshot) -> Option<Bytes> {
        let Verdict::Protect(protection) = verdict else { return None };
        let copy = protection.copy.as_ref().filter(|copy| !copy.inward)?;
        // What the server is going to refuse it refuses in its own words.
        if copy.options.is_none() || !snapshot.has_copied(copy) {
            return None;
        }
        self.as_written(&copy.as_query(std::str::from_utf8(text).ok()?)?)
    }

    /// The same where another text goes to the server in the place of the client's, which differs within the query that is copied.
    fn probe_of_sent(&self, verdict: &Verdict, text: &[u8], sent: &[u8], snapshot: &Snapshot) -> Option<Bytes> {
        let Verdict::Protect(protection) = verdict else { return None };
        let copy = protection.copy.as_ref()?;
        let range = copy.query.as_ref()?;
        let (text, sent) = (std::str::from_utf8(text).ok()?, std::str::from_utf8(sent).ok()?);
        let behind = text.get(range.end..)?;
        let end = sent.len().checked_sub(behind.len())?;
        if sent.get(..range.start)? != text.get(..range.start)? || sent.get(end..)? != behind {
            return None;
        }
        let moved = CopyStatement { query: Some(range.start..end), ..copy.as_ref().clone() };
        copy.options.as_ref()?;
        self.as_written(&moved.as_query(sent)?).filter(|_| snapshot.has_copied(copy))
    }

    /// Frames to be sent before and behind a Query of one statement, if it is a COPY that has to be described. `sent`: what goes to
    /// the server in its place.
    pub(super) fn ask_about_query(
        &mut self,
        verdict: &Verdict,
        (text, sent): (&[u8], Option<&[u8]>),
        snapshot: &Snapshot,
    ) -> Option<(Bytes, Bytes)> {
        // The server might skip what is asked, or refuse it because the transaction has failed.
        if self.may_be_skipped() || self.copy_in.syncs > 0 || self.comes_to_aborted(None) != Some(false) {
            return None;
        }
        let query = match sent {
            None => self.probe_of(verdict, &self.readable(text)?, snapshot)?,
            Some(sent) => self.probe_of_sent(verdict, &self.readable(text)?, &self.readable(sent)?, snapshot)?,
        };
        Some((self.probe(query), compose::sync()))
    }

    /// A portal is bound to a statement: what to ask about before it is executed.
    pub(super) fn note_portal(&mut self, portal: &[u8], prepared: Option<&Prepared>, snapshot: &Snapshot) {
        let query = prepared.and_then(|prepared| self.probe_of(&prepared.verdict, prepared.text.as_deref()?, snapshot));
        let portal = cut(portal);
        match query {
            Some(query) => drop(self.copies.portals.insert(Bytes::copy_from_slice(portal), query)),
            None if self.copies.portals.is_empty() => {}
            None => drop(self.copies.portals.remove(portal)),
        }
    }

    /// Frames to be sent before an Execute, if it runs a COPY that has to be described.
    pub(super) fn ask_about_portal(&mut self, portal: &[u8]) -> Option<Bytes> {
        let query = self.copies.portals.get(cut(portal)).cloned()?;
        Some(self.probe(query))
    }

    fn probe(&mut self, query: Bytes) -> Bytes {
        let frames = compose::probe(PROBE, &query);
        let (at, description) = (ProbeAnswer::Cleared, RowDescription::default());
        self.replies.push_back(Expect::Probe(Box::new(Probe { text: query, at, description })));
        frames
    }

    /// An answer to what was asked, if it is one.
    pub(super) fn probe_answered(&mut self, tag: u8, body: &[u8]) -> Option<Result<Next, Malformed>> {
        let Some(Expect::Probe(probe)) = self.replies.front_mut() else { return None };
        probe.at = match (probe.at, tag) {
            (ProbeAnswer::Cleared, b'3') => ProbeAnswer::Parsed,
            (ProbeAnswer::Parsed, b'1') => ProbeAnswer::Parameters,
            (ProbeAnswer::Parameters, b't') => ProbeAnswer::Described,
            (ProbeAnswer::Described, b'T') => {
                match RowDescription::decode(body) {
                    Ok(description) => probe.description = description,
                    Err(malformed) => return Some(Err(malformed)),
                }
                ProbeAnswer::Closed
            }
            (ProbeAnswer::Described, b'n') => ProbeAnswer::Closed,
            (ProbeAnswer::Closed, b'3') => {
                if let Some(Expect::Probe(probe)) = self.replies.pop_front() {
                    self.copies.described = Some((probe.text, probe.description));
                }
                return Some(Ok(Next::Swallow));
            }
            // The server does not take the query, and skips the COPY: its error is the COPY's.
            (_, b'E') => {
                self.replies.pop_front();
                // A Query is answered by this error, and by the ReadyForQuery of the Sync behind it.
                let query = matches!(self.replies.front(), Some(Expect::Query(_)));
                if query && matches!(self.replies.get(1), Some(Expect::OwnSync)) {
                    self.replies.remove(1);
                }
                return None;
            }
            _ => return Some(Err(Malformed("description of COPY"))),
        };
        Some(Ok(Next::Swallow))
    }

    /// CopyOutResponse.
    pub(super) fn copy_out_response(
        &mut self,
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Next, Malformed> {
        let fault = Malformed("CopyOutResponse");
        let mut described = self.copies.described.take();
        let watch = match self.replies.front() {
            Some(Expect::Query(reply)) if reply.refusal.is_none() => match reply.steps.get(reply.at) {
                Some(step) => step.watch.clone(),
                None if reply.steps.is_empty() => Watch::Pass,
                None => return Err(fault),
            },
            Some(Expect::Execute { portal, .. }) => {
                let portal = portal.clone();
                let (watch, prepared) = match self.registry.portal(&portal) {
                    Some(portal) => (portal.watch.clone(), portal.prepared.clone()),
                    None => (Watch::Pass, None),
                };
                // What was asked about is what was thought to run when it was sent.
                let asked =
                    prepared.and_then(|run| self.probe_of(&run.verdict, run.text.as_deref()?, context.snapshot));
                described = described.filter(|(query, _)| Some(query) == asked.as_ref());
                match self.registry.portal(&portal) {
                    Some(_) => watch,
                    None if context.snapshot.inventory.is_empty() => Watch::Pass,
                    None => return Err(fault),
                }
            }
            _ => return Err(fault),
        };
        if self.copies.under_way.is_some() {
            return Err(fault);
        }
        let Some(protection) = self.protection(&watch, context.snapshot, 4) else {
            self.copies.under_way = Some(CopyData::Unseen);
            return Ok(Next::Forward);
        };
        let described = described.map(|(_, description)| description);
        let protection = if protection.is_clean() {
            let changed = described.as_ref().is_some_and(|described| self.is_outdated(described, context, out));
            if !changed {
                self.copies.under_way = Some(CopyData::Unseen);
                return Ok(Next::Forward);
            }
            let closed = Protection::unknown(Unknown::Contradiction, 0, true);
            Arc::new(protection.copy.iter().fold(closed, Protection::copying))
        } else {
            protection
        };
        let response = copy::response(body)?;
        let caller = self.caller(context.snapshot);
        let encoding = (self.encoding != Encoding::Treacherous).then_some(self.cells);
        let forms = (encoding, &self.forms);
        let protection = self.with_settings(protection, context.snapshot);
        let plan = protection.bind_copy(described.as_ref(), response, context.snapshot, &caller, forms)?;
        self.opens.extend_from_slice(&plan.rows.opens);
        let delivery =
            Delivery::planned(plan.rows, || (self.execution(&protection, Action::Export), self.meter(context)));
        let unseen = matches!(delivery, Delivery::Untouched);
        self.copies.under_way = Some(if unseen {
            CopyData::Unseen
        } else {
            CopyData::Rows { format: plan.format, header: plan.header, at: CopyPoint::Start }
        });
        self.rows = Some(delivery);
        Ok(Next::Forward)
    }

    /// CopyData from the server that is looked at.
    pub(super) fn copy_data(&mut self, body: &[u8]) -> Result<Next, Malformed> {
        let fault = Malformed("CopyData");
        let Some(CopyData::Rows { format, header, at }) = &mut self.copies.under_way else { return Err(fault) };
        if let Some(names) = header.take() {
            // A row that is taken for the header would go out as it is.
            if let Some(format) = format {
                format.check_header(body, &names)?;
            }
            return Ok(Next::Forward);
        }
        let piece = match &format {
            _ if *at == CopyPoint::End => return Err(fault),
            Some(format) => format.piece(body)?,
            None => CopyPiece::Row,
        };
        if *format == Some(CopyFormat::Binary) {
            let (headed, rest) = copy::behind_header(body)?;
            if headed != (*at == CopyPoint::Start) {
                return Err(fault);
            }
            if copy::is_trailer(rest) {
                *at = CopyPoint::End;
                return Ok(self.rows_are_complete());
            }
        }
        *at = CopyPoint::Rows;
        Ok(match piece {
            CopyPiece::Row => Next::Row,
            CopyPiece::Frame => Next::Forward,
        })
    }

    /// CopyDone.
    pub(super) fn copy_done(&mut self) -> Result<Next, Malformed> {
        match self.copies.under_way {
            Some(_) => {
                self.copies.ended();
                Ok(self.rows_are_complete())
            }
            None => Err(Malformed("CopyDone")),
        }
    }

    fn rows_are_complete(&mut self) -> Next {
        match self.rows.take() {
            // A row could not be shown: the COPY ends with that, and not as if it were complete.
            Some(rows @ Delivery::Spoiled(_)) => {
                self.rows = Some(rows);
                Next::Swallow
            }
            Some(rows) => Next::Settle(rows, true),
            None => Next::Forward,
        }
    }

    /// Whether the server is at a `COPY table` of which nothing has come yet: no expression of the statement was
    /// evaluated, so that what the server says of names is about the statement's own.
    pub(super) fn copy_is_to_begin(&self) -> bool {
        if self.copies.under_way.is_some() {
            return false;
        }
        let watch = match self.replies.front() {
            Some(Expect::Query(reply)) => reply.steps.get(reply.at).map(|step| &step.watch),
            Some(Expect::Execute { portal, .. }) => self.registry.watch(portal),
            _ => None,
        };
        let Some(Watch::Protect(protection)) = watch else { return false };
        protection.copy.as_ref().is_some_and(|copy| copy.table.is_some())
    }

    /// Why a COPY can not be masked, or looked through for masks, in the client's encoding.
    pub(super) fn copy_refused(&self, verdict: &Verdict) -> Option<Refusal> {
        let Verdict::Protect(protection) = verdict else { return None };
        let copy = protection.copy.as_ref()?;
        let options = copy.options.as_ref()?;
        let lines = options.format != CopyLayout::Binary && options.encoding.is_none();
        let refusal = if copy.inward {
            Refusal::copy_unread(&**copy, "of their encoding")
        } else {
            Refusal::copy_encoding(&**copy)
        };
        (lines && protection.scrub && self.encoding == Encoding::Treacherous).then_some(refusal)
    }
}

/// Whether a statement of a text may be a COPY.
pub(super) fn may_copy(text: &[u8]) -> bool {
    text.windows(4).any(|word| word.eq_ignore_ascii_case(b"copy"))
}
