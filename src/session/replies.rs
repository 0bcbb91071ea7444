//! The server's replies on their way to the client, and the queue of what it owes.
//!
//! Each request that has an answer leaves an [`Expect`] in the queue; the server answers in order, so the front of the
//! queue says whose answer a message is. This is the one place where both directions meet.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, split};
use super::delivery::Delivery;
use super::io::{CloseReason, Context, Observation, RestrictiveReason};
use super::outbox::Outbox;
use super::scrub;
use super::statements::{Effect, Made, Portal, Prepared, Watch};
use crate::plan::{Protection, Refusal, Snapshot, Verdict};
use crate::sql::lineage::Unknown;
use crate::wire::Malformed;
use crate::wire::backend::{self, Report, RowDescription, TransactionStatus};
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::frontend::Subject;

/// What the server owes for one request.
pub(super) enum Expect {
    /// Query: results, then ReadyForQuery.
    Query(Box<QueryReply>),
    /// ParseComplete.
    Parse {
        /// The statement's name.
        name: Bytes,
        /// The statement; `None`: refused.
        prepared: Option<Arc<Prepared>>,
        /// Why it was refused.
        refusal: Option<Arc<Refusal>>,
    },
    /// BindComplete.
    Bind {
        /// The portal's name.
        portal: Bytes,
        /// The statement's name.
        statement: Bytes,
        /// Whether the portal's rows are looked at; if so, an [`Expect::OwnDescribe`] follows.
        watched: bool,
        /// Why it was refused.
        refusal: Option<Arc<Refusal>>,
    },
    /// RowDescription or NoData of a portal, for pgveil alone.
    OwnDescribe {
        /// The portal's name.
        portal: Bytes,
    },
    /// ParameterDescription, RowDescription or NoData.
    Describe {
        /// What is described.
        subject: Subject,
        /// Its name.
        name: Bytes,
    },
    /// Rows, and what ends them.
    Execute {
        /// The portal's name.
        portal: Bytes,
    },
    /// CloseComplete.
    Close {
        /// What is closed.
        subject: Subject,
        /// Its name.
        name: Bytes,
    },
    /// ReadyForQuery.
    Sync,
    /// FunctionCallResponse, then ReadyForQuery.
    FunctionCall,
    /// Nothing: here the client ended a COPY.
    CopyEnd,
}

impl Expect {
    /// Whether errors and notices of it may quote protected values.
    pub(super) fn scrubs(&self) -> bool {
        match self {
            Self::Query(reply) => reply.steps.iter().any(|step| step.watch.scrubs()),
            Self::Parse { prepared, .. } => {
                prepared.as_ref().and_then(|prepared| Watch::of(&prepared.verdict)).is_some_and(|watch| watch.scrubs())
            }
            Self::Bind { watched, .. } => *watched,
            Self::OwnDescribe { .. } => true,
            Self::Describe { .. }
            | Self::Execute { .. }
            | Self::Close { .. }
            | Self::Sync
            | Self::FunctionCall
            | Self::CopyEnd => false,
        }
    }

    /// Whether a transaction may end here, and deferred constraints be checked.
    pub(super) fn may_end_transaction(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Execute { .. } | Self::Sync | Self::Close { .. })
    }

    /// Whether an error in it makes the server skip everything until the next Sync.
    fn skips_on_error(&self) -> bool {
        match self {
            Self::Query(_) | Self::Sync | Self::FunctionCall => false,
            Self::Parse { .. }
            | Self::Bind { .. }
            | Self::OwnDescribe { .. }
            | Self::Describe { .. }
            | Self::Execute { .. }
            | Self::Close { .. }
            | Self::CopyEnd => true,
        }
    }
}

/// The statements of a Query and where the server is in them.
#[derive(Default)]
pub(super) struct QueryReply {
    /// What is to be done with the results in order; none: they pass, all of them.
    steps: Vec<Step>,
    at: usize,
    refusal: Option<Arc<Refusal>>,
    /// The snapshot that it was judged under.
    version: u64,
    /// Whether the server has answered at all: ReadyForQuery may come.
    answered: bool,
}

/// One statement of a Query.
pub(super) struct Step {
    pub watch: Watch,
    pub verdict: Verdict,
    pub effect: Effect,
}

impl QueryReply {
    pub(super) fn of(steps: Vec<Step>, version: u64) -> Self {
        let plain = steps.iter().all(|step| step.watch.is_pass() && matches!(step.effect, Effect::None));
        Self { steps: if plain { Vec::new() } else { steps }, version, ..Self::default() }
    }

    pub(super) fn refused(refusal: Arc<Refusal>) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }
}

/// What becomes of one reply.
enum Next {
    /// It goes on as it is.
    Forward,
    /// It is pgveil's own business.
    Swallow,
    /// This goes in its place, after the rows before it are settled (`complete`: the execution came to its end).
    Replace(Bytes, Option<Delivery>),
    /// The rows before it are settled, then it goes on.
    Settle(Delivery, bool),
    /// The rows before it that are held back go out, then it goes on.
    Pause,
    /// It is a row to be looked at.
    Row,
}

impl Conversation {
    /// Take what the server sent, as far as it is complete.
    pub(super) fn upstream(&mut self, input: &mut BytesMut, context: &Context<'_>, out: &mut Outbox) {
        let mut run = 0_usize;
        while !self.over {
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
                    self.upstream_fault(Malformed("frame"), out);
                    break;
                }
            };
            if self.streams(header.tag, context.snapshot) {
                self.upstream_left = header.frame();
                continue;
            }
            if rest.len() < header.frame() {
                if header.frame() > LOOKED_AT_BYTES_MAX {
                    let message = "pgveil: a row with protected columns is longer than 64 MiB (looked_at_bytes_max)";
                    out.client(split(input, run));
                    self.fail(out, "54000", message, CloseReason::Refused);
                    run = 0;
                }
                break;
            }
            let body = rest.get(HEADER_BYTES..header.frame()).unwrap_or_default();
            let next = match self.reply(header.tag, body, context, out) {
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
                    None => Err(Malformed("DataRow")),
                };
                input.advance(header.frame().min(input.len()));
                if let Err(what) = delivered {
                    self.upstream_fault(what, out);
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
                    out.client(frame);
                    settled
                }
                Next::Pause => {
                    let settled = self.pause(out);
                    out.client(frame);
                    settled
                }
            };
            if let Err(what) = settled {
                self.upstream_fault(what, out);
            }
        }
        out.client(split(input, run));
        if self.over {
            input.clear();
        }
    }

    fn upstream_fault(&mut self, what: Malformed, out: &mut Outbox) {
        let message = format!("pgveil: the server's answer is not what was asked for ({what})");
        self.fail(out, "08P01", &message, CloseReason::UpstreamFault);
    }

    /// Whether messages of that type pass unseen now, however long they are.
    fn streams(&mut self, tag: u8, snapshot: &Snapshot) -> bool {
        match tag {
            b'd' => true,
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

    /// The delivery that rows at this point belong to.
    fn find_rows(&mut self) {
        if self.rows.is_some() {
            return;
        }
        self.skip_copy_ends();
        self.rows = match self.replies.front() {
            Some(Expect::Query(reply)) if reply.refusal.is_none() && reply.steps.is_empty() => {
                Some(Delivery::Untouched)
            }
            Some(Expect::Execute { portal }) => match self.registry.portal(portal) {
                Some(portal) if portal.watch.is_pass() => Some(Delivery::Untouched),
                Some(portal) => {
                    portal.begun = true;
                    Some(std::mem::take(&mut portal.delivery))
                }
                None => None,
            },
            _ => None,
        };
    }

    fn skip_copy_ends(&mut self) {
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
            b'A' | b'v' => return Ok(Next::Forward),
            b'N' => {
                let scrubbed = if self.scrubs_now() { scrub::scrub(&Report::decode(body)?, true) } else { None };
                return Ok(scrubbed.map_or(Next::Forward, |instead| Next::Replace(instead, None)));
            }
            _ => {}
        }
        self.skip_copy_ends();
        // Whatever the server made of the Syncs of an earlier COPY, they are answered before anything else is.
        let copying = std::mem::take(&mut self.copying);
        if tag != b'Z' && !(copying && tag == b'E') {
            self.copy_syncs = 0;
        }
        match tag {
            b'E' => self.error(body, out),
            b'Z' => self.ready(body, context, out),
            b'T' => self.row_description(body, context, out),
            b'n' => self.no_data(),
            b'D' => Ok(Next::Row),
            b'C' => self.command_complete(body, out),
            b'I' => self.command_complete(b"", out),
            b's' => match self.replies.pop_front() {
                Some(Expect::Execute { portal }) => Ok(self.suspended(&portal)),
                _ => Err(Malformed("PortalSuspended")),
            },
            b'1' => match self.replies.pop_front() {
                Some(Expect::Parse { name, prepared: Some(prepared), refusal: None }) => {
                    self.parses = self.parses.saturating_sub(1);
                    self.registry.parsed(name, prepared);
                    Ok(Next::Forward)
                }
                _ => Err(Malformed("ParseComplete")),
            },
            b'2' => match self.replies.pop_front() {
                Some(Expect::Bind { portal, statement, watched, refusal: None }) => {
                    let portal_of = self.portal_of(&statement, watched, context.snapshot);
                    if let Some(before) = self.registry.bound(portal, portal_of) {
                        Self::abandon(vec![before.delivery], out);
                    }
                    Ok(Next::Forward)
                }
                _ => Err(Malformed("BindComplete")),
            },
            b'3' => match self.replies.pop_front() {
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
                _ => Err(Malformed("CloseComplete")),
            },
            b't' => match self.replies.front() {
                Some(Expect::Describe { .. }) => Ok(Next::Forward),
                _ => Err(Malformed("ParameterDescription")),
            },
            b'G' => self.copy_in_response(),
            b'H' | b'c' => match self.replies.front() {
                // COPY of anything tagged was refused before it was sent.
                Some(Expect::Query(_) | Expect::Execute { .. }) => Ok(Next::Forward),
                _ => Err(Malformed("CopyOutResponse")),
            },
            b'V' => match self.replies.front() {
                Some(Expect::FunctionCall) => Ok(Next::Forward),
                _ => Err(Malformed("FunctionCallResponse")),
            },
            // CopyBothResponse belongs to replication, which the policy has to allow; 'K' to a login.
            b'W' if context.snapshot.inventory.is_empty() => Ok(Next::Forward),
            _ => Err(Malformed("backend")),
        }
    }

    fn scrubs_now(&mut self) -> bool {
        if let Some(Expect::Execute { portal }) = self.replies.front() {
            let portal = portal.clone();
            if self.registry.portal(&portal).is_some_and(|portal| portal.watch.scrubs()) {
                return true;
            }
        }
        self.scrubs()
    }

    /// The portal that a BindComplete is about.
    fn portal_of(&mut self, statement: &[u8], watched: bool, snapshot: &Snapshot) -> Portal {
        let prepared = self.registry.statement(statement).cloned();
        let passes = match &prepared {
            Some(prepared) => matches!(prepared.verdict, Verdict::Pass),
            None => snapshot.inventory.is_empty(),
        };
        // Not watched and yet not passing: what it shows was seen after it was bound. Its rows have no description to
        // be held against, and end the session.
        let watch = if watched || !passes {
            let judged = prepared.as_ref().and_then(|prepared| Watch::of(&prepared.verdict));
            judged.unwrap_or_else(|| Watch::Protect(Arc::new(Protection::unknown(Unknown::Construct, 0, true))))
        } else {
            Watch::Pass
        };
        let version = prepared.as_ref().map_or(snapshot.version, |prepared| prepared.version);
        let (delivery, made) = (Delivery::Undescribed, Made::Now);
        Portal { watch, delivery, prepared, version, cursor: false, hold: false, begun: false, made }
    }

    fn error(&mut self, body: &[u8], out: &mut Outbox) -> Result<Next, Malformed> {
        let report = Report::decode(body)?;
        self.failed = true;
        if let Some(Expect::Query(reply)) = self.replies.front_mut() {
            reply.answered = true;
        }
        self.find_rows_of_execute();
        let rows = self.rows.take();
        let refusal = match self.replies.front() {
            Some(Expect::Query(reply)) => reply.refusal.clone(),
            Some(Expect::Parse { refusal, .. } | Expect::Bind { refusal, .. }) => refusal.clone(),
            _ => None,
        };
        let stands_for_refusal =
            matches!(report.field(b'C'), Some(b"42P01" | b"26000" | b"34000")) && report.field(b'S') != Some(b"FATAL");
        let instead = match refusal {
            Some(refusal) if stands_for_refusal => Some(scrub::refusal(&refusal)),
            Some(_) => None,
            None if self.scrubs_now() => {
                let scrubbed = scrub::scrub(&report, false);
                if scrubbed.is_some() {
                    Self::observe(out, Observation::ErrorScrubbed);
                }
                scrubbed
            }
            None => None,
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
        self.copy_in = false;
        let Some(front) = self.replies.front() else { return };
        if !front.skips_on_error() {
            return;
        }
        while let Some(expect) = self.replies.front() {
            if matches!(expect, Expect::Sync) {
                return;
            }
            if matches!(expect, Expect::Parse { prepared: Some(_), .. }) {
                self.parses = self.parses.saturating_sub(1);
            }
            self.replies.pop_front();
        }
        self.skipping = true;
    }

    fn ready(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        match self.replies.front() {
            Some(Expect::Query(reply)) if reply.answered => drop(self.replies.pop_front()),
            Some(Expect::Sync | Expect::FunctionCall) => drop(self.replies.pop_front()),
            // One more than is owed: the server failed a COPY before it came to the Sync.
            _ if self.copy_syncs > 0 && !self.copy_in => self.copy_syncs -= 1,
            _ => return Err(Malformed("ReadyForQuery")),
        }
        self.copy_in = false;
        self.skipping = false;
        self.rows = None;
        self.status = backend::ready_for_query(body)?;
        if self.replies.is_empty() {
            self.unsettled = false;
            self.begins = None;
        }
        let failed = std::mem::take(&mut self.failed);
        if self.status == TransactionStatus::Idle {
            let ended = self.registry.end_transaction(!failed);
            Self::abandon_portals(ended, out);
            self.protected = false;
            if std::mem::take(&mut self.own).pending {
                self.stale = true;
                self.ask_refresh(context, out);
            }
        }
        Ok(Next::Forward)
    }

    fn abandon_portals(portals: Vec<Portal>, out: &mut Outbox) {
        Self::abandon(portals.into_iter().map(|portal| portal.delivery).collect(), out);
    }

    fn row_description(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        match self.replies.front() {
            Some(Expect::Describe { subject, name }) => {
                let (subject, name) = (*subject, name.clone());
                self.replies.pop_front();
                if !context.snapshot.inventory.is_empty() {
                    self.compare_description(subject, &name, body, context, out)?;
                }
                Ok(Next::Forward)
            }
            Some(Expect::OwnDescribe { portal }) => {
                let portal = portal.clone();
                self.replies.pop_front();
                let description = RowDescription::decode(body)?;
                let known = self.registry.portal(&portal).ok_or(Malformed("RowDescription"))?;
                let watch = known.watch.clone();
                let delivery = self.planned(&watch, &description, context);
                if let Some(portal) = self.registry.portal(&portal)
                    && matches!(portal.delivery, Delivery::Undescribed | Delivery::Untouched | Delivery::Masked(..))
                {
                    portal.delivery = delivery;
                }
                Ok(Next::Swallow)
            }
            Some(Expect::Query(reply)) if reply.refusal.is_none() => {
                let unknown = || Watch::Protect(Arc::new(Protection::unknown(Unknown::Contradiction, 0, true)));
                let watch = match reply.steps.get(reply.at) {
                    Some(step) => step.watch.clone(),
                    None if reply.steps.is_empty() => Watch::Pass,
                    None => unknown(),
                };
                let delivery = match watch {
                    Watch::Pass if context.snapshot.inventory.is_empty() => Delivery::Untouched,
                    Watch::Pass => {
                        let description = RowDescription::decode(body)?;
                        if self.is_outdated(&description, context, out) {
                            self.planned(&unknown(), &description, context)
                        } else {
                            Delivery::Untouched
                        }
                    }
                    watch => self.planned(&watch, &RowDescription::decode(body)?, context),
                };
                // A rule can make one statement return several results.
                let before = self.rows.replace(delivery);
                Ok(before.map_or(Next::Forward, |before| Next::Settle(before, true)))
            }
            _ => Err(Malformed("RowDescription")),
        }
    }

    /// Whether the server says of a statement that passes what can only be so if the catalog has changed since it was
    /// read: that it shows a tagged column, or a relation that nobody knew. The server's word counts, and the catalog is
    /// read again.
    fn is_outdated(&mut self, description: &RowDescription, context: &Context<'_>, out: &mut Outbox) -> bool {
        let snapshot = context.snapshot;
        let outdated = snapshot.shows_tagged(description) || (!self.own.pending && snapshot.shows_unread(description));
        if outdated {
            Self::observe(out, Observation::RestrictiveDefault(RestrictiveReason::Contradiction));
            self.stale = true;
            self.ask_refresh(context, out);
        }
        outdated
    }

    /// A description that the client asked for says of a statement that passes that it shows a tagged column: the catalog
    /// has changed since it was read, and the server's word counts.
    fn compare_description(
        &mut self,
        subject: Subject,
        name: &[u8],
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let passes = match subject {
            Subject::Portal => self.registry.portal(name).is_some_and(|portal| portal.watch.is_pass()),
            Subject::Statement => {
                self.registry.statement(name).is_some_and(|prepared| matches!(prepared.verdict, Verdict::Pass))
            }
        };
        if !passes {
            return Ok(());
        }
        let description = RowDescription::decode(body)?;
        if !self.is_outdated(&description, context, out) {
            return Ok(());
        }
        let unknown = Arc::new(Protection::unknown(Unknown::Contradiction, 0, true));
        match subject {
            Subject::Portal => {
                let watch = Watch::Protect(unknown);
                let delivery = self.planned(&watch, &description, context);
                if let Some(portal) = self.registry.portal(name) {
                    portal.watch = watch;
                    portal.delivery = delivery;
                }
            }
            Subject::Statement => {
                if let Some(prepared) = self.registry.statement(name).cloned() {
                    let watched = Prepared {
                        text: prepared.text.clone(),
                        version: prepared.version,
                        verdict: Verdict::Protect(unknown),
                        effect: prepared.effect.clone(),
                        by_sql: prepared.by_sql,
                    };
                    self.registry.parsed(Bytes::copy_from_slice(name), Arc::new(watched));
                }
            }
        }
        Ok(())
    }

    fn no_data(&mut self) -> Result<Next, Malformed> {
        match self.replies.pop_front() {
            Some(Expect::Describe { .. }) => Ok(Next::Forward),
            Some(Expect::OwnDescribe { portal }) => {
                if let Some(portal) = self.registry.portal(&portal) {
                    portal.delivery = Delivery::Untouched;
                }
                Ok(Next::Swallow)
            }
            _ => Err(Malformed("NoData")),
        }
    }

    /// CommandComplete (with its tag) or EmptyQueryResponse: one statement is done.
    fn command_complete(&mut self, tag: &[u8], out: &mut Outbox) -> Result<Next, Malformed> {
        let mut cursor = None;
        let mut seen = Effect::None;
        let rows = match self.replies.front_mut() {
            Some(Expect::Query(reply)) if reply.refusal.is_none() => {
                let rows = self.rows.take();
                if let Some(Step { watch: Watch::Recall(name), .. }) = reply.steps.get(reply.at) {
                    cursor = Some(name.clone());
                }
                let step = reply.steps.get(reply.at).filter(|step| step.effect != Effect::None);
                let effect = step.map(|step| (step.effect.clone(), step.watch.clone(), step.verdict.clone()));
                reply.at = reply.at.saturating_add(1);
                reply.answered = true;
                let version = reply.version;
                if let Some((effect, watch, verdict)) = effect {
                    seen = effect.clone();
                    self.took_effect(effect, watch, verdict, version, out);
                }
                rows
            }
            Some(Expect::Execute { .. }) => {
                self.find_rows();
                let rows = self.rows.take();
                let Some(Expect::Execute { portal }) = self.replies.pop_front() else {
                    return Err(Malformed("CommandComplete"));
                };
                let known = self.registry.portal(&portal);
                if let Some(Portal { watch: Watch::Recall(name), .. }) = &known {
                    cursor = Some(name.clone());
                }
                let prepared = known.filter(|portal| !portal.cursor).and_then(|portal| portal.prepared.clone());
                if let Some(prepared) = prepared.filter(|prepared| prepared.effect != Effect::None)
                    && let Some(watch) = Watch::of(&prepared.verdict)
                {
                    seen = prepared.effect.clone();
                    self.took_effect(seen.clone(), watch, prepared.verdict.clone(), prepared.version, out);
                }
                rows
            }
            _ => return Err(Malformed("CommandComplete")),
        };
        self.tagged(tag, &seen, out);
        if let Some(name) = cursor.filter(|name| self.registry.is_cursor(name.as_str().as_bytes())) {
            // What was fetched is a piece of the cursor's execution, which goes on until the cursor is closed.
            self.rows = rows;
            return Ok(self.suspended(name.as_str().as_bytes()));
        }
        Ok(match rows {
            Some(rows @ (Delivery::Sealed(_) | Delivery::Open(_))) => Next::Settle(rows, true),
            Some(Delivery::Undescribed | Delivery::Untouched | Delivery::Masked(..)) | None => Next::Forward,
        })
    }

    /// The server has done what a statement says.
    fn took_effect(&mut self, effect: Effect, watch: Watch, verdict: Verdict, version: u64, out: &mut Outbox) {
        match effect {
            Effect::None | Effect::ChangesCatalog | Effect::RollsBackTo => {}
            Effect::Closes(name) => {
                let closed = self.registry.close_portal(name.as_str().as_bytes());
                Self::abandon_portals(closed.into_iter().collect(), out);
            }
            Effect::Declares(name, hold) => {
                let (delivery, made) = (Delivery::Undescribed, Made::Now);
                let cursor =
                    Portal { watch, delivery, prepared: None, version, cursor: true, hold, begun: false, made };
                if let Some(before) = self.registry.bound(Bytes::copy_from_slice(name.as_str().as_bytes()), cursor) {
                    Self::abandon(vec![before.delivery], out);
                }
            }
            Effect::Prepares(name, text) => {
                let prepared = Prepared { text, version, verdict, effect: Effect::None, by_sql: true };
                self.registry.parsed(Bytes::copy_from_slice(name.as_str().as_bytes()), Arc::new(prepared));
            }
            Effect::Deallocates(name) => self.registry.close_statement(name.as_str().as_bytes()),
        }
    }

    /// What a command's tag says of the server's tables, for statements whose text was not read as well.
    fn tagged(&mut self, tag: &[u8], seen: &Effect, out: &mut Outbox) {
        let unseen = matches!(seen, Effect::None);
        let ended = match tag.strip_suffix(b"\0").unwrap_or(tag) {
            b"SAVEPOINT" => {
                self.registry.saved();
                return;
            }
            b"COMMIT" | b"PREPARE TRANSACTION" => self.registry.end_transaction(true),
            b"ROLLBACK" if *seen == Effect::RollsBackTo => self.registry.roll_back_to(),
            b"ROLLBACK" => self.registry.end_transaction(false),
            b"CLOSE CURSOR ALL" => self.registry.end(),
            b"DEALLOCATE ALL" => {
                self.registry.close_statements();
                return;
            }
            b"DISCARD ALL" => {
                self.registry.close_statements();
                self.registry.end()
            }
            b"PREPARE" | b"DEALLOCATE" if unseen => {
                self.registry.close_statements();
                return;
            }
            b"DECLARE CURSOR" | b"CLOSE CURSOR" if unseen => self.registry.forget_cursors(),
            _ => return,
        };
        Self::abandon_portals(ended, out);
    }

    /// PortalSuspended: the row limit of Execute is reached, more may follow.
    fn suspended(&mut self, portal: &[u8]) -> Next {
        let Some(rows) = self.rows.take() else { return Next::Forward };
        let Some(known) = self.registry.portal(portal) else { return Next::Forward };
        let held = matches!(rows, Delivery::Sealed(_));
        known.delivery = rows;
        if !held {
            return Next::Forward;
        }
        self.paused = Some(Bytes::copy_from_slice(portal));
        Next::Pause
    }

    fn pause(&mut self, out: &mut Outbox) -> Result<(), Malformed> {
        let Some(name) = self.paused.take() else { return Ok(()) };
        self.registry.portal(&name).map_or(Ok(()), |portal| portal.delivery.pause(out))
    }

    /// CopyInResponse: the server reads COPY data now, and does not answer the Syncs that are already on their way.
    fn copy_in_response(&mut self) -> Result<Next, Malformed> {
        if !matches!(self.replies.front(), Some(Expect::Query(_) | Expect::Execute { .. })) {
            return Err(Malformed("CopyInResponse"));
        }
        self.copying = true;
        while let Some(next) = self.replies.get(1) {
            match next {
                Expect::Sync => {
                    self.copy_syncs = self.copy_syncs.saturating_add(1);
                    self.replies.remove(1);
                }
                Expect::CopyEnd => {
                    self.replies.remove(1);
                    return Ok(Next::Forward);
                }
                // Anything else the server takes for a breach of the protocol, and so does pgveil.
                _ => return Err(Malformed("COPY")),
            }
        }
        self.copy_in = true;
        Ok(Next::Forward)
    }
}
