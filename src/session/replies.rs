//! The server's replies on their way to the client.
//!
//! Each request that has an answer leaves an [`Expect`] in the queue; the server answers in order, so the front of the
//! queue says whose answer a message is. This is the one place where both directions meet.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::calls::stands_for_refused_call;
use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, split};
use super::delivery::Delivery;
use super::expect::Expect;
use super::io::{CatalogChanges, CloseReason, Context, Observation};
use super::outbox::Outbox;
use super::scrub::{self, Stage};
use super::statements::Watch;
use crate::plan::{RowError, Snapshot, Spoiled};
use crate::policy::Actor;
use crate::wire::backend::{self, Report, TransactionStatus};
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::frontend::Subject;
use crate::wire::{Malformed, compose};

/// What becomes of one reply.
pub(super) enum Next {
    /// It goes on as it is.
    Forward,
    /// It is pgveil's own business.
    Swallow,
    /// This goes in its place, after the rows before it are settled (`complete`: the execution came to its end).
    Replace(Bytes, Option<Delivery>),
    /// The rows before it are settled, then it goes on.
    Settle(Delivery, bool),
    /// The rows before it are settled, this is said, then it goes on.
    Tell(Bytes, Option<Delivery>),
    /// The rows before it that are held back go out, then it goes on.
    Pause,
    /// It is a row to be looked at.
    Row,
}

impl Conversation {
    /// Take what the server sent, as far as it is complete.
    pub(super) fn upstream(&mut self, input: &mut BytesMut, context: &Context<'_>, out: &mut Outbox) {
        let mut run = 0_usize;
        self.answers.seen(input.len());
        self.look_at_standing(context, out);
        while !self.over && !self.verifying {
            if self.upstream_left > 0 {
                let here = self.upstream_left.min(input.len().saturating_sub(run));
                run = run.saturating_add(here);
                self.upstream_left -= here;
                if self.upstream_left > 0 {
                    break;
                }
                continue;
            }
            let rest = input.get(run..).unwrap_or_default();
            let header = match Header::read(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(_) => {
                    // What came before the fault still goes out; nothing may come after the end.
                    out.client(split(input, std::mem::take(&mut run)));
                    self.upstream_fault(Malformed("frame"), out);
                    break;
                }
            };
            if self.comments_speak {
                self.spoken = self.spoken_at_front();
            }
            let whole = rest.get(HEADER_BYTES..header.frame());
            if (whole.is_some() || header.tag == b'D')
                && self.is_held(header.tag, whole.unwrap_or_default(), context, out)
            {
                break;
            }
            if !self.repeat.discards() && self.streams(header.tag, context.snapshot) {
                self.upstream_left = header.frame();
                continue;
            }
            if rest.len() < header.frame() {
                if header.frame() > LOOKED_AT_BYTES_MAX {
                    let message = match header.tag {
                        b'D' | b'd' => {
                            "pgveil: a row with protected columns is longer than 64 MiB (looked_at_bytes_max)"
                        }
                        _ => "pgveil: a message of the server is longer than 64 MiB (looked_at_bytes_max)",
                    };
                    out.client(split(input, run));
                    self.fail(out, "54000", message, CloseReason::Refused);
                    run = 0;
                }
                break;
            }
            let body = rest.get(HEADER_BYTES..header.frame()).unwrap_or_default();
            // What settings are and what others notify is no part of an answer.
            let discards = self.repeat.discards()
                && !matches!(header.tag, b'S' | b'A')
                && !(header.tag == b'E' && self.takes_error());
            let next = match discards {
                true => self.discarded(header.tag, body, context, out),
                false => self.reply(header.tag, body, context, out),
            };
            if !self.opens.is_empty() {
                let keys = std::mem::take(&mut self.opens);
                self.note_keys(&keys, out);
            }
            let next = match next {
                Ok(next) => next,
                Err(what) => {
                    out.client(split(input, run));
                    run = 0;
                    self.upstream_fault(what, out);
                    break;
                }
            };
            if matches!(next, Next::Forward) {
                self.upstream_left = header.frame();
                continue;
            }
            out.client(split(input, run));
            run = 0;
            if matches!(next, Next::Row) {
                // the commonest by far: it is read where it is
                let frame = input.get(..header.frame()).unwrap_or_default();
                let delivered = match &mut self.rows {
                    Some(rows) => rows.row(frame, out),
                    None => Err(Malformed("DataRow").into()),
                };
                input.advance(header.frame().min(input.len()));
                if let Err(what) = delivered {
                    self.row_fault(what, out);
                }
                continue;
            }
            let frame = split(input, header.frame());
            let settled = match next {
                Next::Forward | Next::Swallow | Next::Row => Ok(()),
                Next::Replace(instead, rows) => {
                    let settled = rows.map_or(Ok(()), |rows| rows.finish(false, out));
                    out.client(instead);
                    settled
                }
                Next::Settle(rows, complete) => {
                    let settled = rows.finish(complete, out);
                    match &settled {
                        // What is said in the frame's place is the end of the execution.
                        Err(RowError::Spoiled(spoiled)) => self.spoiled_at_end(spoiled, &frame, out),
                        Ok(()) | Err(RowError::Malformed(_)) => {
                            out.client(frame);
                            settled
                        }
                    }
                }
                Next::Tell(notice, rows) => {
                    let settled = rows.map_or(Ok(()), |rows| rows.finish(true, out));
                    match &settled {
                        Err(RowError::Spoiled(spoiled)) => self.spoiled_at_end(spoiled, &frame, out),
                        Ok(()) | Err(RowError::Malformed(_)) => {
                            out.client(notice);
                            out.client(frame);
                            settled
                        }
                    }
                }
                Next::Pause => {
                    let settled = self.pause(out);
                    match &settled {
                        Err(RowError::Spoiled(spoiled)) => self.spoiled_at_end(spoiled, &frame, out),
                        Ok(()) | Err(RowError::Malformed(_)) => {
                            out.client(frame);
                            settled
                        }
                    }
                }
            };
            if let Err(what) = settled {
                self.row_fault(what, out);
            }
        }
        out.client(split(input, run));
        self.copy_in_settled();
        self.answers_settled();
        if self.over {
            input.clear();
        }
        self.answers.taken(input.len());
    }

    /// A row can not be shown.
    fn row_fault(&mut self, what: RowError, out: &mut Outbox) {
        match what {
            RowError::Malformed(malformed) => self.upstream_fault(malformed, out),
            RowError::Spoiled(spoiled) => {
                let ends = matches!(&spoiled, Spoiled::Stopped(stop) if stop.ends_session());
                let before = self.rows.replace(Delivery::Spoiled(spoiled.clone()));
                Self::abandon(before.into_iter().collect(), out);
                if ends {
                    self.end_spoiled(&spoiled, out);
                }
            }
        }
    }

    fn upstream_fault(&mut self, what: Malformed, out: &mut Outbox) {
        let message = format!("pgveil: the server's answer is not what was asked for ({what})");
        self.fail(out, "08P01", &message, CloseReason::UpstreamFault);
    }

    /// Whether messages of that type pass unseen now, however long they are.
    fn streams(&mut self, tag: u8, snapshot: &Snapshot) -> bool {
        match tag {
            b'd' => self.copies.is_unseen() || snapshot.inventory.is_empty(),
            // Only asked for while nothing is tagged.
            b'V' => {
                self.skip_copy_ends();
                matches!(self.replies.front(), Some(Expect::FunctionCall { refusal: None }))
            }
            b'D' => {
                self.find_rows();
                if self.rows.is_none() && snapshot.inventory.is_empty() {
                    // A portal that a function opened.
                    self.rows = Some(Delivery::Untouched);
                }
                matches!(self.rows, Some(Delivery::Untouched))
            }
            _ => false,
        }
    }

    /// The end user that the comment of what is answered now asserts.
    fn spoken_at_front(&mut self) -> Option<Arc<Actor>> {
        let portal = match self.replies.front()? {
            Expect::Query(reply) => return reply.spoken.clone(),
            Expect::Bind { statement, .. } => {
                return self.registry.statement(statement).and_then(|known| known.spoken.clone());
            }
            Expect::Describe { subject: Subject::Statement, name } => {
                return self.registry.statement(name).and_then(|known| known.spoken.clone());
            }
            Expect::Execute { portal, .. }
            | Expect::OwnDescribe { portal }
            | Expect::Describe { subject: Subject::Portal, name: portal } => portal,
            _ => return None,
        };
        self.registry.portal(portal).and_then(|portal| portal.prepared.as_ref()?.spoken.clone())
    }

    /// The delivery that rows at this point belong to.
    pub(super) fn find_rows(&mut self) {
        if self.rows.is_some() {
            return;
        }
        self.skip_copy_ends();
        self.rows = match self.replies.front() {
            Some(Expect::Query(reply)) if reply.refusal.is_none() && reply.steps.is_empty() => {
                Some(Delivery::Untouched)
            }
            Some(Expect::Execute { portal, .. }) => match self.registry.portal(portal) {
                Some(portal) => {
                    portal.begun = true;
                    let passes = portal.watch.is_pass();
                    Some(if passes { Delivery::Untouched } else { std::mem::take(&mut portal.delivery) })
                }
                None => None,
            },
            _ => None,
        };
    }

    pub(super) fn skip_copy_ends(&mut self) {
        while matches!(self.replies.front(), Some(Expect::CopyEnd)) {
            self.replies.pop_front();
        }
    }

    fn reply(&mut self, tag: u8, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        match tag {
            b'S' => {
                let (name, value) = backend::parameter_status(body)?;
                self.parameter(name, value);
                return Ok(Next::Forward);
            }
            b'A' => return self.notification(body, context, out),
            // The COPY behind it will say it again.
            b'N' if matches!(self.replies.front(), Some(Expect::Probe(_))) => return Ok(Next::Swallow),
            b'N' => {
                let stage = self.stage();
                let scrubs = self.scrubs_now(context.snapshot);
                let encrypts = context.snapshot.policy.encrypts();
                let scrubbed = if scrubs || encrypts {
                    let report = Report::decode(body)?;
                    let scrubbed = if scrubs { scrub::scrub(&report, stage, true) } else { None };
                    scrubbed.or_else(|| {
                        if encrypts { scrub::without_envelopes(&report, true, context.snapshot) } else { None }
                    })
                } else {
                    None
                };
                return Ok(scrubbed.map_or(Next::Forward, |instead| Next::Replace(instead, None)));
            }
            _ => {}
        }
        self.skip_copy_ends();
        let stage = self.stage();
        // Whatever the server made of the Syncs of an earlier COPY, they are answered before anything else is.
        let copying = std::mem::take(&mut self.copy_in.begun);
        if tag != b'Z' && !(copying && tag == b'E') {
            self.copy_in.syncs = 0;
        }
        if let Some(answer) = self.probe_answered(tag, body) {
            return answer;
        }
        if let Some(answer) = self.settings_answered(tag, body) {
            return answer;
        }
        match tag {
            b'E' => self.error(body, stage, context.snapshot, out),
            b'Z' => self.ready(body, context, out),
            b'T' => self.row_description(body, context, out),
            b'n' => self.no_data(),
            b'D' => Ok(Next::Row),
            b'C' => {
                self.aborted = false;
                self.command_complete(body, out)
            }
            b'I' => self.command_complete(b"", out),
            b's' => match self.replies.pop_front() {
                Some(Expect::Execute { portal, .. }) => Ok(self.suspended(&portal, b"", out)),
                _ => Err(Malformed("PortalSuspended")),
            },
            b'1' => match self.replies.pop_front() {
                Some(Expect::OwnParse) => Ok(Next::Swallow),
                Some(Expect::Parse { name, prepared: Some(prepared), refusal: None }) => {
                    self.registry.parsed(name, prepared);
                    Ok(Next::Forward)
                }
                Some(Expect::Check) => Ok(Next::Swallow),
                _ => Err(Malformed("ParseComplete")),
            },
            b'2' => match self.replies.pop_front() {
                Some(Expect::Bind { portal, statement, watched, told, changes, epoch, tenants, refusal: None }) => {
                    let mut portal_of = self.portal_of(&statement, watched, context.snapshot);
                    portal_of.watch = portal_of.watch.with_tenants(tenants);
                    portal_of.told = told;
                    portal_of.changes = changes;
                    portal_of.bound = (!context.gate.is_open(epoch, self.own_commit())).then_some(epoch);
                    self.protected |= self.quotes(&portal_of.watch, context.snapshot);
                    if let Some(before) = self.registry.bound(portal, portal_of) {
                        Self::abandon(vec![before.delivery], out);
                    }
                    Ok(Next::Forward)
                }
                _ => Err(Malformed("BindComplete")),
            },
            b'3' => match self.replies.pop_front() {
                Some(Expect::OwnClose) => Ok(Next::Swallow),
                Some(Expect::Close { subject, name }) => {
                    match subject {
                        Subject::Statement => self.registry.close_statement(&name),
                        Subject::Portal => {
                            let closed = self.registry.close_portal(&name);
                            Self::abandon(closed.into_iter().map(|portal| portal.delivery).collect(), out);
                        }
                    }
                    Ok(Next::Forward)
                }
                Some(Expect::CheckClose) => Ok(Next::Swallow),
                _ => Err(Malformed("CloseComplete")),
            },
            b't' => match self.replies.front() {
                Some(Expect::Describe { subject: Subject::Statement, name }) => {
                    let prepared = self.registry.statement(name);
                    let own = prepared.and_then(|prepared| prepared.sealed.as_ref()?.described(body, &prepared.types));
                    let name = name.clone();
                    self.registry.described(&name, own.as_deref().unwrap_or(body));
                    Ok(own.map_or(Next::Forward, |own| Next::Replace(compose::raw(b't', &own), None)))
                }
                Some(Expect::Describe { .. }) => Ok(Next::Forward),
                _ => Err(Malformed("ParameterDescription")),
            },
            b'G' => self.copy_in_response(body, context, out),
            // Replication, which the policy has to allow, sends them too.
            b'H' | b'c' if context.snapshot.inventory.is_empty() => Ok(Next::Forward),
            b'H' => self.copy_out_response(body, context, out),
            b'd' => self.copy_data(body),
            b'c' => self.copy_done(),
            // CopyBothResponse belongs to replication, which the policy has to allow; 'K' to a login.
            b'W' if context.snapshot.inventory.is_empty() => Ok(Next::Forward),
            _ => Err(Malformed("backend")),
        }
    }

    /// A notification says that something happened; what is in it, nobody has judged.
    fn notification(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        if !context.snapshot.inventory.notifies() {
            return Ok(Next::Forward);
        }
        let caller = self.caller(context.snapshot);
        let (process, channel, payload) = backend::notification(body)?;
        if payload.is_empty() || !context.snapshot.withholds_payloads(&caller) {
            return Ok(Next::Forward);
        }
        Self::observe(out, Observation::ErrorScrubbed);
        let instead = compose::raw(b'A', &[&process.to_be_bytes()[..], channel, &[0, 0]].concat());
        Ok(Next::Replace(instead, None))
    }

    /// What the server is doing, as far as the queue says.
    fn stage(&self) -> Stage {
        match self.replies.front() {
            _ if self.copy_in.begun => Stage::CopyIn,
            Some(Expect::Parse { .. } | Expect::Probe(_) | Expect::Check) => Stage::Parse,
            _ if self.copy_is_to_begin() => Stage::Parse,
            Some(Expect::Bind { .. }) => Stage::Bind,
            _ => Stage::Run,
        }
    }

    /// Whether what is at the front of the queue may be quoted to the caller's loss. Portals and statements say it by
    /// what is known of them now.
    fn scrubs_now(&mut self, snapshot: &Snapshot) -> bool {
        if std::mem::take(&mut self.withheld) {
            return true;
        }
        let watches: Option<Vec<Watch>> = match self.replies.front() {
            Some(Expect::Query(reply)) => Some(reply.begun().cloned().collect()),
            Some(Expect::Execute { portal, .. } | Expect::OwnDescribe { portal }) => {
                self.registry.watch(portal).map(|watch| vec![watch.clone()])
            }
            Some(Expect::Bind { statement, .. }) => {
                match self.registry.statement(statement).map(|prepared| Watch::of(&prepared.verdict)) {
                    Some(Some(watch)) => Some(vec![watch]),
                    Some(None) => return true,
                    None => None,
                }
            }
            _ => None,
        };
        let known = watches.map(|watches| watches.iter().any(|watch| self.quotes(watch, snapshot)));
        match (known, self.replies.front()) {
            (Some(true), _) => true,
            (Some(false), Some(expect)) => self.protected && expect.may_end_transaction(),
            (Some(false) | None, _) => self.scrubs(),
        }
    }

    fn error(&mut self, body: &[u8], stage: Stage, snapshot: &Snapshot, out: &mut Outbox) -> Result<Next, Malformed> {
        let report = Report::decode(body)?;
        self.failed = true;
        self.copies.ended();
        let copy_refusal = self.copy_in_refusal(&report);
        self.copy_in.ended();
        if let Some(Expect::Query(reply)) = self.replies.front_mut() {
            reply.answered = true;
        }
        self.find_rows_of_execute();
        let rows = self.rows.take();
        let refusal = match self.replies.front() {
            Some(Expect::Query(reply)) => reply.refusal.clone(),
            Some(Expect::Parse { refusal, .. } | Expect::Bind { refusal, .. } | Expect::FunctionCall { refusal }) => {
                refusal.clone()
            }
            _ => None,
        };
        let stands_in = match self.replies.front() {
            Some(Expect::FunctionCall { .. }) => stands_for_refused_call(&report),
            _ => matches!(report.field(b'C'), Some(b"42P01" | b"26000" | b"34000")),
        };
        let stands_for_refusal = stands_in && report.field(b'S') != Some(b"FATAL");
        let told = copy_refusal.clone().or_else(|| refusal.clone().filter(|_| stands_for_refusal));
        if let Some(told) = told {
            self.record_refusal(&told, out);
        }
        let instead = match refusal {
            _ if copy_refusal.is_some() => copy_refusal.as_deref().map(scrub::refusal),
            Some(refusal) if stands_for_refusal => Some(scrub::refusal(&refusal)),
            Some(_) => None,
            None if self.scrubs_now(snapshot) => {
                let scrubbed = scrub::scrub(&report, stage, false);
                if scrubbed.is_some() {
                    Self::observe(out, Observation::ErrorScrubbed);
                }
                scrubbed
            }
            None => None,
        };
        let instead = match instead {
            None if snapshot.policy.encrypts() => scrub::without_envelopes(&report, false, snapshot),
            instead => instead,
        };
        self.after_error();
        Ok(match (instead, rows) {
            (Some(instead), rows) => Next::Replace(instead, rows),
            (None, Some(rows)) => Next::Settle(rows, false),
            (None, None) => Next::Forward,
        })
    }

    /// A suspended portal that fails when it goes on has its delivery to be settled.
    fn find_rows_of_execute(&mut self) {
        if matches!(self.replies.front(), Some(Expect::Execute { .. })) {
            self.find_rows();
        }
    }

    /// What an error does to the queue: in extended query mode the server skips to the next Sync.
    fn after_error(&mut self) {
        self.copy_in.reads = false;
        let Some(front) = self.replies.front() else { return };
        if !front.skips_on_error() {
            return;
        }
        while let Some(expect) = self.replies.front_mut() {
            if matches!(expect, Expect::Sync) {
                return;
            }
            if let Expect::CheckSync { answers } = expect {
                *answers = true;
                return;
            }
            self.replies.pop_front();
        }
        self.skipping = true;
    }

    /// If nothing is owed any more, the server has said all that it will of what was sent.
    fn settled(&mut self) {
        if self.replies.is_empty() {
            self.unsettled = false;
            self.recoding = false;
            self.declared.clear();
            self.keeps = None;
            self.begins = None;
        }
    }

    pub(super) fn ready(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        match self.replies.front() {
            Some(Expect::Query(reply)) if reply.answered => {
                let begun: Vec<Watch> = reply.begun().cloned().collect();
                self.protected |= begun.iter().any(|watch| self.quotes(watch, context.snapshot));
                self.replies.pop_front();
                self.commit_is_nearer();
            }
            Some(Expect::OwnSync) => {
                self.replies.pop_front();
                self.commit_is_nearer();
                self.settled();
                return Ok(Next::Swallow);
            }
            Some(Expect::CheckSync { answers: false }) => {
                self.replies.pop_front();
                self.commit_is_nearer();
                self.settled();
                return Ok(Next::Swallow);
            }
            Some(Expect::Sync | Expect::CheckSync { answers: true } | Expect::FunctionCall { .. }) => {
                self.replies.pop_front();
                self.commit_is_nearer();
            }
            Some(Expect::Malformed { ready: true }) if self.failed => {
                self.replies.pop_front();
                self.commit_is_nearer();
            }
            // One more than is owed: the server failed a COPY before it came to the Sync.
            _ if self.copy_in.syncs > 0 && !self.copy_in.reads => self.copy_in.syncs -= 1,
            _ => return Err(Malformed("ReadyForQuery")),
        }
        if !self.repeat.discards() {
            self.repeat.answered();
        }
        self.copy_in.reads = false;
        self.skipping = false;
        self.rows = None;
        self.note_status(backend::ready_for_query(body)?);
        self.settled();
        let failed = std::mem::take(&mut self.failed);
        self.commit_answered(out);
        if self.status == TransactionStatus::Idle {
            let how = std::mem::take(&mut self.ends).outcome(failed);
            let came = self.standing.transaction_ended(!failed);
            self.log_standing(came, out);
            let ended = self.registry.end_transaction(!failed);
            Self::abandon_portals(ended, out);
            if self.replies.is_empty() {
                self.copies.end_transaction();
                self.copy_in.end_transaction();
            }
            self.protected = false;
            // What it made may be that of a later transaction, which is on its way already.
            let idle = !self.replies.may_change_catalog();
            let pending = self.own.pending;
            self.own.ended(how, idle);
            if pending && idle {
                self.stale = true;
                self.ask_refresh(CatalogChanges::All, out);
            }
        }
        Ok(Next::Forward)
    }
}
