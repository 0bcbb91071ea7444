//! The client's requests on their way to the server.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting, split};
use super::copy_in::Piece;
use super::expect::{Expect, QueryReply, Step};
use super::io::{CloseReason, Context, Observation, VerdictLabel};
use super::outbox::Outbox;
use super::spending::needs_parameters;
use super::statements::{Effect, Prepared, Watch, cut};
use super::verdicts::{is_begin, keeps_encoding, may_show_columns};
use super::write_back::Kept;
use crate::plan::{Protection, Refusal, Verdict};
use crate::sql::lineage::Unknown;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::frontend::{self, BindHead, Parse};
use crate::wire::{Malformed, compose};

/// What a refused statement is replaced by: it can only fail, in PostgreSQL, with `42P01` (undefined_table), and that
/// error is then replaced by pgveil's own. So order, transaction state and skipping are PostgreSQL's own.
const STAND_IN: &str = "SELECT FROM pg_catalog.pgveil_refused";

/// A statement and a portal that do not exist, for refusals after Parse: `26000` and `34000`.
const NOWHERE: &str = "pgveil refused this";

/// A Bind is looked at when this much of it is there, in bytes: its names come first.
const BIND_HEAD_BYTES: usize = 64 * 1024;

/// What becomes of one request.
enum Next {
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
    /// It has to wait until the server has answered what was sent before it.
    Hold,
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
        while !self.over && self.waiting.is_none() {
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
            let header = match Header::read(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(_) => {
                    // What came before the fault is still served; nothing may come after the end.
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.fail(out, "08P01", "invalid message length", CloseReason::ClientFault);
                    break;
                }
            };
            if !self.is_enough(header, rest.len(), context) {
                if header.frame() > LOOKED_AT_BYTES_MAX {
                    let message = "pgveil: a statement is longer than 64 MiB (looked_at_bytes_max)";
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.fail(out, "54000", message, CloseReason::ClientFault);
                }
                break;
            }
            let body = rest.get(HEADER_BYTES..header.frame().min(rest.len())).unwrap_or_default();
            let behind = rest.get(header.frame()..).unwrap_or_default();
            match self.request(header, body, behind, context, out) {
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
                Next::Wait => break,
                Next::Hold => {
                    out.upstream(split(input, std::mem::take(&mut run)));
                    // Without it the server might keep its answers to itself.
                    out.upstream(compose::raw(b'H', b""));
                    self.waiting = Some(Waiting::CopyIn);
                }
                Next::Terminate => {
                    run = run.saturating_add(header.frame());
                    out.upstream(split(input, run));
                    self.close_portals(out);
                    self.close(out, CloseReason::ClientLeft);
                    return;
                }
                Next::Fault(malformed) => {
                    out.upstream(split(input, std::mem::take(&mut run)));
                    self.fail(out, "08P01", &malformed.to_string(), CloseReason::ClientFault);
                }
            }
        }
        out.upstream(split(input, run));
        if self.over {
            input.clear();
        }
    }

    /// Whether enough of a frame is there to look at it.
    fn is_enough(&self, header: Header, there: usize, context: &Context<'_>) -> bool {
        match header.tag {
            // Never looked at.
            b'd' => true,
            b'B' => there >= header.frame().min(BIND_HEAD_BYTES),
            b'Q' if context.snapshot.inventory.is_empty() => true,
            _ => there >= header.frame(),
        }
    }

    /// `behind`: what is there of the requests behind it.
    fn request(&mut self, header: Header, body: &[u8], behind: &[u8], context: &Context<'_>, out: &mut Outbox) -> Next {
        let may_be_in_copy = matches!(header.tag, b'd' | b'c' | b'f' | b'S' | b'H' | b'X');
        if self.copy_in.reads && !may_be_in_copy {
            // The server would take this for the end of the copy and answer it with an error: an exchange that nobody
            // needs and that would have to be followed.
            return Next::Fault(Malformed("COPY"));
        }
        self.copy_in.ignores &= may_be_in_copy;
        if self.skipping && self.copy_in.syncs > 0 && !may_be_in_copy {
            // Whether the server skips this depends on where in the COPY it failed.
            return Next::Fault(Malformed("COPY"));
        }
        let looked_at = match header.tag {
            // With a body it is an error, which nothing in the queue stands for. (A Sync with a body is an error too, and
            // then a Sync.)
            b'H' if !body.is_empty() => Err(Malformed("Flush")),
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
                Piece::Waits => Next::Hold,
            }),
            // The server ignores these, and so does its mirror.
            _ if self.skipping => Ok(Next::Forward),
            b'Q' => self.query(body, context, out),
            b'P' => self.parse(body, context, out),
            b'B' => self.bind(header, body, behind, context, out),
            b'D' => self.describe(body),
            b'E' => self.execute(body, context, out),
            b'C' => frontend::subject(body).map(|(subject, name)| {
                self.replies.push_back(Expect::Close { subject, name: Bytes::copy_from_slice(name) });
                Next::Forward
            }),
            b'F' => Ok(self.function_call(context, out)),
            // Flush has no answer; what the protocol does not know the server refuses.
            _ => Ok(Next::Forward),
        };
        looked_at.unwrap_or_else(Next::Fault)
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
        let Some(judged) = self.judged(text, context, out) else { return Ok(Next::Wait) };
        self.unsettled |= !is_begin(text);
        self.recoding |= !keeps_encoding(text);
        let refusal = judged.refusal().or_else(|| self.spend_query(&judged.verdicts, context, out));
        if let Some(refusal) = refusal {
            let alone = refusal.unreadable && judged.verdicts.len() == 1 && !text.contains(&0);
            let refused = Expect::Query(Box::new(QueryReply::refused(refusal)));
            // A Sync in the middle of a pipeline would end it.
            if !alone || self.copy_in.syncs > 0 || self.replies.back().is_some_and(|before| before.skips_on_error()) {
                self.replies.push_back(refused);
                return Ok(Next::Replace(compose::query(STAND_IN)));
            }
            // Where the server can not parse it either, it passes over the Query, up to the Sync.
            self.replies.extend([Expect::Check, refused, Expect::CheckSync { answers: false }]);
            let check = compose::raw(b'P', &[b"\0", text, &[0, 0, 0]].concat());
            return Ok(Next::Replace([check, compose::query(STAND_IN), compose::raw(b'S', b"")].concat().into()));
        }
        if judged.changed.is_some() && judged.copies() {
            // What is asked about it is asked of the text as it came.
            let refusal = Arc::new(Refusal::mask_in_text());
            Self::observe(out, Observation::Refusal(refusal.reason));
            self.replies.push_back(Expect::Query(Box::new(QueryReply::refused(refusal))));
            return Ok(Next::Replace(compose::query(STAND_IN)));
        }
        let asked = match judged.verdicts.as_slice() {
            [(verdict, _)] => self.ask_about_query(verdict, text, context.snapshot),
            _ => None,
        };
        let changed = judged.changed.clone();
        let steps = judged
            .verdicts
            .into_iter()
            .filter_map(|(verdict, effect)| Some(Step { watch: Watch::of(&verdict)?, verdict, effect }))
            .collect::<Vec<_>>();
        for step in &steps {
            self.note(&step.effect);
            Self::observe_kept(&step.verdict, out);
        }
        self.replies.push_back(Expect::Query(Box::new(QueryReply::of(steps, context.snapshot.version))));
        Ok(match (asked, changed) {
            (Some((before, after)), _) => {
                self.replies.push_back(Expect::OwnSync);
                Next::Between(before, after)
            }
            (None, Some(text)) => Next::Replace(compose::raw(b'Q', &[&text, &b"\0"[..]].concat())),
            (None, None) => Next::Forward,
        })
    }

    fn parse(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        let parse = Parse::decode(body)?;
        let Some(judged) = self.judged(parse.text, context, out) else { return Ok(Next::Wait) };
        let name = Bytes::copy_from_slice(parse.name);
        let foreign = || self.foreign(parse.name, "the name of a prepared statement", context);
        if let Some(refusal) = judged.refusal().or_else(foreign) {
            // The same name: that a statement of it exists already is for the server to say.
            let mut stand_in = parse.name.to_vec();
            stand_in.push(0);
            stand_in.extend_from_slice(STAND_IN.as_bytes());
            stand_in.extend_from_slice(&[0, 0, 0]);
            let stand_in = compose::raw(b'P', &stand_in);
            if !refusal.unreadable {
                self.replies.push_back(Expect::Parse { name, prepared: None, refusal: Some(refusal) });
                return Ok(Next::Replace(stand_in));
            }
            // The client's own message asks the server first: it makes the statement, and runs nothing.
            let close = compose::raw(b'C', &[b"S", parse.name, b"\0"].concat());
            self.replies.extend([Expect::Check, Expect::CheckClose]);
            self.replies.push_back(Expect::Parse { name, prepared: None, refusal: Some(refusal) });
            return Ok(Next::Replace([compose::raw(b'P', body), close, stand_in].concat().into()));
        }
        let changed = judged.changed.clone();
        // More than one statement: the server refuses the message.
        let (verdict, effect) = judged.verdicts.into_iter().next().unwrap_or((Verdict::Pass, Effect::None));
        let prepared = Arc::new(Prepared {
            text: self.as_read(changed.as_deref().unwrap_or(parse.text)),
            version: context.snapshot.version,
            own: self.own.generation(),
            verdict,
            effect,
            by_sql: false,
            types: Bytes::copy_from_slice(parse.types),
        });
        self.parses = self.parses.saturating_add(1);
        self.replies.push_back(Expect::Parse { name, prepared: Some(prepared), refusal: None });
        Ok(match changed {
            Some(text) => Next::Replace(compose::parse_of(parse.name, &text, parse.types)),
            None => Next::Forward,
        })
    }

    fn bind(
        &mut self,
        header: Header,
        body: &[u8],
        behind: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Next, Malformed> {
        let head = match BindHead::decode(body) {
            Ok(head) => head,
            Err(malformed) if body.len() >= header.body => return Err(malformed),
            Err(_) => return Err(Malformed("Bind")),
        };
        let portal = Bytes::copy_from_slice(head.portal);
        if let Some(refusal) = self.foreign(head.portal, "the name of a portal", context) {
            return Ok(self.refused_bind(portal, refusal));
        }
        // What the server will have under that name when it comes to this Bind: what it has now, or what it was asked
        // to parse since. Each of them has to allow it.
        let mut candidates: Vec<Arc<Prepared>> = Vec::new();
        // An unnamed statement is always replaced, and where that fails the server skips this Bind too.
        let replaced = head.statement.is_empty().then(|| self.replaced()).flatten();
        let (likely, pending);
        match replaced {
            Some(prepared) => {
                (likely, pending) = (0, 1);
                candidates.push(prepared);
            }
            None => {
                if self.parses > 0 {
                    let pending = self.replies.iter().filter_map(|expect| match expect {
                        Expect::Parse { name, prepared, .. } if cut(name) == cut(head.statement) => prepared.clone(),
                        _ => None,
                    });
                    candidates.extend(pending);
                }
                // The last one that it was asked to parse, if that does not fail.
                (likely, pending) = (candidates.len().saturating_sub(1), candidates.len());
                if !self.is_foreign(head.statement) {
                    candidates.extend(self.registry.statement(head.statement).cloned());
                }
            }
        }
        let begins = !candidates.is_empty()
            && candidates.iter().all(|candidate| candidate.text.as_deref().is_some_and(is_begin));
        self.begins = begins.then(|| portal.clone());
        let keep = |candidate: &Arc<Prepared>| candidate.text.as_deref().is_some_and(keeps_encoding);
        self.keeps = (!candidates.is_empty() && candidates.iter().all(keep)).then(|| portal.clone());
        let empty = context.snapshot.inventory.is_empty();
        let unknown = candidates.is_empty() && !empty;
        let mut watched = unknown;
        let mut current = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            let prepared = match self.current(candidate, context, out) {
                Some(prepared) => prepared,
                None => return Ok(Next::Wait),
            };
            match &prepared.verdict {
                Verdict::Pass => {}
                Verdict::Protect(_) | Verdict::Recall(_) => watched = true,
                Verdict::Refuse(refusal) => return Ok(self.refused_bind(portal, Arc::clone(refusal))),
            }
            if body.len() < header.body && needs_parameters(&prepared.verdict) {
                if header.frame() > LOOKED_AT_BYTES_MAX {
                    let message = "pgveil: a Bind whose parameters have to be looked at is longer than 64 MiB (looked_at_bytes_max)";
                    self.fail(out, "54000", message, CloseReason::ClientFault);
                }
                // Else the rest of it is on its way.
                return Ok(Next::Wait);
            }
            current.push(prepared);
        }
        let ordered = self.likeliest_first(head.statement, current.clone(), pending);
        let kept = match self.kept_at_bind(&ordered, body, header, context, out) {
            Kept::Nothing => None,
            Kept::Wait => return Ok(Next::Wait),
            Kept::Refused(refusal) => return Ok(self.refused_bind(portal, refusal)),
            Kept::Malformed(malformed) => return Err(malformed),
            Kept::By(messages) => Some(messages),
        };
        let runs = current.iter().map(|candidate| (&candidate.verdict, &candidate.effect));
        if let Some(refusal) = self.spend_bind(runs, body, context, out) {
            return Ok(self.refused_bind(portal, refusal));
        }
        for candidate in &current {
            self.note(&candidate.effect);
        }
        let run = current.get(likely).map(|run| &**run);
        let told = Self::told(&ordered, kept.as_ref(), out);
        if kept.is_some() {
            self.replies.push_back(Expect::OwnClose);
            self.replies.push_back(Expect::OwnParse);
        }
        self.note_portal(head.portal, run, context.snapshot);
        for candidate in &current {
            self.note_copy_in(head.portal, &candidate.verdict);
        }
        let statement = Bytes::copy_from_slice(head.statement);
        self.replies.push_back(Expect::Bind { portal: portal.clone(), statement, watched, told, refusal: None });
        // The server says what the portal will return, before it returns it: also where it was judged to pass, for the
        // database may have changed since the catalog was read. What the client asks for itself is read as well.
        let describe = compose::describe_portal(head.portal);
        let shows = |candidate: &Arc<Prepared>| candidate.text.as_deref().is_none_or(may_show_columns);
        let shows_rows = !empty && candidates.iter().any(shows);
        let describes = watched || (shows_rows && !behind.starts_with(&describe));
        let describe = describes.then_some(describe);
        if describes {
            self.replies.push_back(Expect::OwnDescribe { portal });
        }
        Ok(match (kept, describe) {
            (Some(kept), describe) => {
                Next::Replace([&kept.messages, &describe.unwrap_or_default()[..]].concat().into())
            }
            (None, Some(describe)) => Next::ForwardThen(describe),
            (None, None) => Next::Forward,
        })
    }

    /// The unnamed statement that was parsed last, if nothing but an error can keep the server from having it now.
    fn replaced(&self) -> Option<Arc<Prepared>> {
        if self.parses == 0 {
            return None;
        }
        let since_sync = self.replies.iter().rev().take_while(|expect| expect.skips_on_error());
        since_sync.into_iter().find_map(|expect| match expect {
            Expect::Parse { name, prepared, .. } if name.is_empty() => Some(prepared.clone()),
            _ => None,
        })?
    }

    fn refused_bind(&mut self, portal: Bytes, refusal: Arc<Refusal>) -> Next {
        let refusal = Some(refusal);
        self.replies.push_back(Expect::Bind { portal, statement: Bytes::new(), watched: false, told: None, refusal });
        Next::Replace(compose::bind(NOWHERE, NOWHERE))
    }

    /// A name that only the server could say what it is for is refused, where anything depends on it.
    fn foreign(&self, name: &[u8], what: &str, context: &Context<'_>) -> Option<Arc<Refusal>> {
        (self.is_foreign(name) && !context.snapshot.inventory.is_empty())
            .then(|| Arc::new(Refusal::protocol(&format!("{what} that is not ASCII, unless all encodings are UTF-8,"))))
    }

    fn describe(&mut self, body: &[u8]) -> Result<Next, Malformed> {
        let (subject, name) = frontend::subject(body)?;
        self.replies.push_back(Expect::Describe { subject, name: Bytes::copy_from_slice(name) });
        Ok(Next::Forward)
    }

    fn execute(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        let (name, _limit) = frontend::execute(body)?;
        let portal = Bytes::copy_from_slice(name);
        match self.is_overtaken(name, context, out) {
            None => return Ok(Next::Wait),
            Some(false) => {}
            Some(true) => {
                self.unsettled = true;
                self.recoding = true;
                self.replies.push_back(Expect::OwnDescribe { portal: portal.clone() });
                self.replies.push_back(Expect::Execute { portal });
                return Ok(Next::Precede(compose::describe_portal(name)));
            }
        }
        self.unsettled |= self.begins.as_ref() != Some(&portal);
        self.recoding |= self.keeps.as_ref() != Some(&portal);
        let asked = self.ask_about_portal(name);
        let expect = Expect::Execute { portal: portal.clone() };
        if !self.registry.is_cursor(name) || context.snapshot.inventory.is_empty() {
            self.replies.push_back(expect);
            return Ok(asked.map_or(Next::Forward, Next::Precede));
        }
        // A cursor of SQL, whose position SQL may have moved: the server has to describe it first.
        self.replies.push_back(Expect::OwnDescribe { portal });
        self.replies.push_back(expect);
        Ok(Next::Precede(compose::describe_portal(name)))
    }

    /// Whether a portal that is to run was judged under an earlier snapshot: it is judged by that of now, and has to be
    /// described again. `None`: it has to wait.
    fn is_overtaken(&mut self, name: &[u8], context: &Context<'_>, out: &mut Outbox) -> Option<bool> {
        let version = context.snapshot.version;
        let Some(portal) = self.registry.portal(name) else { return Some(false) };
        let Some(prepared) = portal.prepared.clone() else { return Some(false) };
        if portal.version == version {
            return Some(false);
        }
        // While it runs, its rows go by what was decided when they were asked for.
        let runs = |expect: &Expect| matches!(expect, Expect::Execute { portal } if cut(portal) == cut(name));
        if self.replies.iter().any(runs) {
            return Some(false);
        }
        let now = self.current(&prepared, context, out)?;
        self.note_copy_in(name, &now.verdict);
        let unknown = || Watch::Protect(Arc::new(Protection::unknown(Unknown::Construct, 0, true)));
        let watch = Watch::of(&now.verdict).unwrap_or_else(unknown);
        let Some(portal) = self.registry.portal(name) else { return Some(false) };
        portal.version = version;
        if portal.watch.is_pass() && watch.is_pass() {
            return Some(false);
        }
        portal.watch = watch;
        portal.prepared = Some(now);
        let before = std::mem::take(&mut portal.delivery);
        Self::abandon(vec![before], out);
        Some(true)
    }

    /// Fast-path calls name a function by its OID and return its raw value, past every mask.
    fn function_call(&mut self, context: &Context<'_>, out: &mut Outbox) -> Next {
        if context.snapshot.inventory.is_empty() {
            self.replies.push_back(Expect::FunctionCall);
            return Next::Forward;
        }
        let refusal = Refusal::protocol("a fast-path function call");
        Self::observe(out, Observation::Refusal(refusal.reason));
        // A Query that fails is answered like a FunctionCall that fails: ErrorResponse, ReadyForQuery.
        self.replies.push_back(Expect::Query(Box::new(QueryReply::refused(Arc::new(refusal)))));
        Next::Replace(compose::query(STAND_IN))
    }
}
