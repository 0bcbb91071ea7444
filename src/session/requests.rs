//! The client's requests on their way to the server.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting, split};
use super::copies::may_copy;
use super::copy_in::Piece;
use super::expect::{Expect, QueryReply, Step};
use super::io::{CloseReason, Context, Observation, Output, VerdictLabel};
use super::outbox::Outbox;
use super::statements::Watch;
use super::verdicts::{is_begin, keeps_encoding};
use crate::plan::Refusal;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::frontend;
use crate::wire::{Malformed, compose};

/// What a refused statement is replaced by: it can only fail, in PostgreSQL, with `42P01` (undefined_table), and that
/// error is then replaced by pgveil's own. So order, transaction state and skipping are PostgreSQL's own.
pub(super) const STAND_IN: &str = "SELECT FROM pg_catalog.pgveil_refused";

/// A statement and a portal that do not exist, for refusals after Parse: `26000` and `34000`.
pub(super) const NOWHERE: &str = "pgveil refused this";

/// A Bind, and a Parse that nothing else of is looked at, have their names in this much of them, in bytes; and a FunctionCall
/// the number of its arguments.
const HEAD_BYTES: usize = 64 * 1024;
/// What becomes of one request.
pub(super) enum Next {
    /// It goes on as it is.
    Forward,
    /// It goes on as it is, and this after it.
    ForwardThen(Bytes),
    /// This goes before it.
    Precede(Bytes),
    /// The one goes before it, the other after it.
    Between(Bytes, Bytes),
    /// This goes in its place.
    Replace(Bytes),
    /// It is CopyData that is looked at as it comes.
    LookAtData,
    /// It has to wait.
    Wait,
    /// It has to wait for something that the server has to say of what was sent before it.
    Hold(Waiting),
    /// It goes on, and the session is over.
    Terminate,
    /// The client does not speak the protocol.
    Fault(Malformed),
}

impl Conversation {
    /// Take what the client sent, as far as it is complete.
    pub(super) fn client(&mut self, input: &mut BytesMut, context: &Context<'_>, out: &mut Outbox) {
        // How many bytes at the start of the input go on unchanged, in one piece.
        let mut run = 0_usize;
        if self.waiting.is_none() {
            self.repeat.take(input);
        }
        self.requests.seen(input.len());
        self.look_at_standing(context, out);
        while !self.over && !self.left && self.waiting.is_none() {
            if self.client_dropped > 0 {
                // Nothing is before it: what something else is sent for ends the run.
                let here = self.client_dropped.min(input.len());
                drop(split(input, here));
                self.client_dropped -= here;
                if self.client_dropped > 0 {
                    break;
                }
                continue;
            }
            if self.copy_in.left > 0 {
                if input.is_empty() {
                    break;
                }
                self.copied_piece(input, out);
                continue;
            }
            if self.client_left > 0 {
                let here = self.client_left.min(input.len().saturating_sub(run));
                run = run.saturating_add(here);
                self.client_left -= here;
                if self.client_left > 0 {
                    break;
                }
                if let Some(after) = self.client_after.take() {
                    out.upstream(split(input, run));
                    out.upstream(after);
                    run = 0;
                }
                continue;
            }
            let rest = input.get(run..).unwrap_or_default();
            let breach = |tag: u8| !frontend::is_message(tag) || (self.copy_in.reads && !frontend::may_be_in_copy(tag));
            if let Some(tag) = rest.first().copied().filter(|tag| breach(*tag)) {
                // The server says so, at the first byte, and hangs up. No more of it goes on: should it have ended the COPY
                // by then, it might take this for a request.
                out.upstream(split(input, std::mem::take(&mut run)));
                out.upstream(Bytes::copy_from_slice(&[tag]));
                self.foreign_message = true;
                self.leave(out);
                break;
            }
            let header = match Header::read(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(_) => {
                    // As PostgreSQL does: what came before is still served, and to this it says nothing.
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.leave(out);
                    break;
                }
            };
            let looked_at = self.looked_at_bytes(header, context);
            if rest.len() < looked_at {
                if looked_at > LOOKED_AT_BYTES_MAX {
                    let message =
                        "pgveil: a message that has to be looked at is longer than 64 MiB (looked_at_bytes_max)";
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.fail(out, "54000", message, CloseReason::ClientFault);
                }
                break;
            }
            let body = rest.get(HEADER_BYTES..header.frame().min(rest.len())).unwrap_or_default();
            let behind = rest.get(header.frame()..).unwrap_or_default();
            let next = self.request(header, body, behind, context, out);
            if !matches!(next, Next::Wait | Next::Hold(_)) {
                self.waived = None;
                self.tenants.note_sent(header.tag);
                self.note_commit(header.tag, context, out);
            }
            match next {
                Next::Forward => self.client_left = header.frame(),
                Next::ForwardThen(after) => {
                    self.client_left = header.frame();
                    self.client_after = Some(after);
                }
                Next::Precede(before) => {
                    out.upstream(split(input, run));
                    out.upstream(before);
                    run = 0;
                    self.client_left = header.frame();
                }
                Next::Between(before, after) => {
                    out.upstream(split(input, run));
                    out.upstream(before);
                    run = 0;
                    self.client_left = header.frame();
                    self.client_after = Some(after);
                }
                Next::Replace(instead) => {
                    out.upstream(split(input, run));
                    out.upstream(instead);
                    run = 0;
                    self.client_dropped = header.frame();
                }
                Next::LookAtData => {
                    out.upstream(split(input, run));
                    run = 0;
                    drop(split(input, HEADER_BYTES));
                    self.copy_in.left = header.body;
                }
                Next::Wait => {
                    if let Some(question) = self.question(header.tag, context.snapshot) {
                        out.upstream(split(input, std::mem::take(&mut run)));
                        out.upstream(question);
                    }
                    break;
                }
                Next::Hold(what) => {
                    out.upstream(split(input, std::mem::take(&mut run)));
                    // Without it the server might keep its answers to itself.
                    out.upstream(compose::raw(b'H', b""));
                    self.waiting = Some(what);
                }
                Next::Terminate => {
                    run = run.saturating_add(header.frame());
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.leave(out);
                    break;
                }
                Next::Fault(malformed) => {
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.fail(out, "08P01", &malformed.to_string(), CloseReason::ClientFault);
                }
            }
        }
        out.upstream(split(input, run));
        if self.over || self.left {
            input.clear();
        }
        self.requests.taken(input.len());
    }

    /// The client says no more. What it has asked for is still answered.
    pub(super) fn leave(&mut self, out: &mut Outbox) {
        self.left = true;
        out.push(Output::Leave);
    }

    /// How much of a frame has to be there to look at it.
    fn looked_at_bytes(&self, header: Header, context: &Context<'_>) -> usize {
        let empty = context.snapshot.inventory.is_empty();
        match header.tag {
            // Never looked at.
            b'd' => HEADER_BYTES,
            b'F' if !empty => header.frame().min(HEAD_BYTES),
            b'F' => HEADER_BYTES,
            b'B' => header.frame().min(HEAD_BYTES),
            // Too long to be kept in mind.
            b'P' if empty && header.frame() > LOOKED_AT_BYTES_MAX => HEAD_BYTES,
            b'Q' if empty => HEADER_BYTES,
            _ => header.frame(),
        }
    }

    /// `behind`: what is there of the requests behind it.
    fn request(&mut self, header: Header, body: &[u8], behind: &[u8], context: &Context<'_>, out: &mut Outbox) -> Next {
        let may_be_in_copy = frontend::may_be_in_copy(header.tag);
        self.spoken = None;
        let executes = (header.tag == b'E').then(|| frontend::execute(body).map(|(portal, _)| portal).ok()).flatten();
        if matches!(header.tag, b'Q' | b'P' | b'B' | b'E' | b'F') && !self.skipping && self.awaits_standing(executes) {
            return Next::Hold(Waiting::Answers);
        }
        self.copy_in.ignores &= may_be_in_copy;
        if self.skipping && self.copy_in.syncs > 0 && !may_be_in_copy {
            // Whether the server skips this depends on where in the COPY it failed.
            return Next::Fault(Malformed("COPY"));
        }
        let looked_at = match header.tag {
            // With a body it is an error, which nothing in the queue stands for. (A Sync with a body is an error too, and
            // then a Sync.)
            b'H' if !body.is_empty() && !self.skipping => Err(Malformed("Flush")),
            b'S' => {
                if self.copy_in.reads {
                    self.copy_in.syncs = self.copy_in.syncs.saturating_add(1);
                } else {
                    self.skipping = false;
                    self.replies.push_back(Expect::Sync);
                }
                Ok(Next::Forward)
            }
            b'X' => Ok(Next::Terminate),
            b'd' | b'c' | b'f' => Ok(match self.copied(header, out) {
                Piece::Passes => Next::Forward,
                Piece::LookedAt => Next::LookAtData,
                Piece::Becomes(instead) => Next::Replace(instead),
                Piece::Waits => Next::Hold(Waiting::CopyIn),
            }),
            // The server ignores these, and so does its mirror.
            _ if self.skipping => Ok(Next::Forward),
            b'Q' => self.query(body, context, out),
            b'P' if body.len() < header.body => self.parse_unseen(body, context, out),
            b'P' => self.parse(body, context, out),
            b'B' => self.bind(header, body, behind, context, out),
            b'D' => self.describe(body),
            b'E' => self.execute(body, context, out),
            b'C' => frontend::subject(body).map(|(subject, name)| {
                self.replies.push_back(Expect::Close { subject, name: Bytes::copy_from_slice(name) });
                Next::Forward
            }),
            b'F' => Ok(self.function_call(header, body, context, out)),
            // Flush has no answer.
            _ => Ok(Next::Forward),
        };
        match looked_at {
            Ok(next) => next,
            // All of it is here: the server is asked to say what is wrong with it. Should it find nothing, its answer is not
            // what was expected, and goes to nobody.
            Err(_) if body.len() >= header.body => {
                self.replies.push_back(Expect::Malformed { ready: header.tag == b'Q' });
                Next::Forward
            }
            Err(malformed) => Next::Fault(malformed),
        }
    }

    fn query(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        if context.snapshot.inventory.is_empty() {
            Self::observe(out, Observation::Statement(VerdictLabel::Passed));
            self.replies.push_back(Expect::Query(Box::default()));
            self.unsettled = true;
            self.recoding = true;
            return Ok(Next::Forward);
        }
        let text = frontend::query(body)?;
        if self.comes_to_aborted(None).is_none() && may_copy(text) && !self.may_be_skipped() {
            return Ok(Next::Hold(Waiting::Answers));
        }
        let readable = self.readable(text);
        if !self.may_go(&[readable.as_deref().unwrap_or(text)], context, out) {
            return Ok(Next::Wait);
        }
        self.prepares = false;
        self.tenants.begin_message();
        let Some(mut judged) = self.judged_query(text, context, out) else { return Ok(Next::Wait) };
        let verdicts: Vec<_> = judged.verdicts.iter().map(|(verdict, _)| verdict).collect();
        if self.recalls_settings(&verdicts, context.snapshot) {
            return Ok(Next::Wait);
        }
        self.unsettled |= !is_begin(text);
        self.recoding |= !keeps_encoding(text);
        let refusal = judged.refusal().or_else(|| self.spend_query(&judged.verdicts, context, out));
        let refusal = refusal.or_else(|| self.configure(&mut judged, text, context, out));
        if let Some(refusal) = refusal {
            let alone = refusal.unreadable && judged.verdicts.len() == 1 && !text.contains(&0);
            let refused = Expect::Query(Box::new(QueryReply::refused(refusal)));
            if !alone || self.copy_in.syncs > 0 || self.may_be_skipped() {
                self.replies.push_back(refused);
                return Ok(Next::Replace(compose::query(STAND_IN)));
            }
            // Where the server can not parse it either, it passes over the Query, up to the Sync.
            self.replies.extend([Expect::Check, refused, Expect::CheckSync { answers: false }]);
            let check = compose::raw(b'P', &[b"\0", text, &[0, 0, 0]].concat());
            return Ok(Next::Replace([check, compose::query(STAND_IN), compose::raw(b'S', b"")].concat().into()));
        }
        let changed = judged.sent.clone().or_else(|| judged.changed.clone());
        let asked = match judged.verdicts.as_slice() {
            [(verdict, _)] => self.ask_about_query(verdict, (text, changed.as_deref()), context.snapshot),
            _ => None,
        };
        if changed.is_some() && asked.is_none() && judged.copies() {
            // What it sends is not known.
            let refusal = Arc::new(Refusal::copy_alone());
            Self::observe(out, Observation::Refusal(refusal.reason));
            self.replies.push_back(Expect::Query(Box::new(QueryReply::refused(refusal))));
            return Ok(Next::Replace(compose::query(STAND_IN)));
        }
        let steps = judged
            .verdicts
            .into_iter()
            .filter_map(|(verdict, effect)| Some(Step { watch: Watch::of(&verdict)?, verdict, effect }))
            .collect::<Vec<_>>();
        for step in &steps {
            self.note(&step.effect);
            Self::observe_kept(&step.verdict, out);
        }
        let spoken = self.spoken.clone();
        let reply = QueryReply { spoken, ..QueryReply::of(steps, context.snapshot, self.as_read(text)) };
        self.replies.push_back(Expect::Query(Box::new(reply)));
        Ok(match (asked, changed) {
            (Some((before, after)), changed) => {
                self.replies.push_back(Expect::OwnSync);
                match changed {
                    None => Next::Between(before, after),
                    Some(text) => {
                        let query = compose::raw(b'Q', &[&text, &b"\0"[..]].concat());
                        Next::Replace([before, query, after].concat().into())
                    }
                }
            }
            (None, Some(text)) => Next::Replace(compose::raw(b'Q', &[&text, &b"\0"[..]].concat())),
            (None, None) => Next::Forward,
        })
    }

    /// Whether the server may pass over what is sent now, up to the client's next Sync: a Sync of pgveil's own would end
    /// that before its time.
    pub(super) fn may_be_skipped(&self) -> bool {
        self.skipping || self.replies.may_be_skipped()
    }
}
