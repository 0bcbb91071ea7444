//! The messages of the extended query protocol on their way to the server: Parse, Bind, Describe, Execute. (PostgreSQL
//! manual, "Extended Query".)

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting};
use super::expect::Expect;
use super::io::{CloseReason, Context, Observation, VerdictLabel};
use super::outbox::Outbox;
use super::requests::{NOWHERE, Next, STAND_IN};
use super::sealing::SealedBind;
use super::spending::needs_parameters;
use super::statements::{Effect, Prepared, Watch, cut};
use super::tenants::BoundTenants;
use super::verdicts::{is_begin, keeps_encoding, may_show_columns};
use super::write_back::Kept;
use crate::plan::{Protection, Refusal, Verdict};
use crate::sql::lineage::Unknown;
use crate::wire::frame::Header;
use crate::wire::frontend::{self, BindHead, Parse};
use crate::wire::{Malformed, compose};

impl Conversation {
    pub(super) fn parse(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        let parse = Parse::decode(body)?;
        self.prepares = true;
        self.tenants.begin_message();
        let Some(mut judged) = self.judged(parse.text, context, out) else { return Ok(Next::Wait) };
        let configured =
            judged.refusal().is_none().then(|| self.configure_prepared(&mut judged, parse.text, context, out));
        let name = Bytes::copy_from_slice(parse.name);
        let foreign = || self.foreign(parse.name, "the name of a prepared statement", context);
        if let Some(refusal) = judged.refusal().or_else(|| configured.flatten()).or_else(foreign) {
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
            own: self.generation(),
            spoken: self.spoken.clone(),
            verdict,
            effect,
            by_sql: false,
            passed: None,
            types: Bytes::copy_from_slice(parse.types),
            sealed: judged.sealed.clone(),
        });
        self.replies.push_back(Expect::Parse { name, prepared: Some(prepared), refusal: None });
        let types = judged.sealed.map(|sealed| sealed.declared(parse.types));
        let types = types.as_deref().unwrap_or(parse.types);
        Ok(match judged.sent.or(changed) {
            Some(text) => Next::Replace(compose::parse_of(parse.name, &text, types)),
            None => Next::Forward,
        })
    }

    /// A Parse of which only the start is there: what it says is not known, should it matter later.
    pub(super) fn parse_unseen(
        &mut self,
        head: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Next, Malformed> {
        let name = Bytes::copy_from_slice(Parse::name(head)?);
        Self::observe(out, Observation::Statement(VerdictLabel::Passed));
        let prepared = Some(Arc::new(Prepared {
            text: None,
            version: context.snapshot.version,
            own: self.generation(),
            spoken: None,
            verdict: Verdict::Pass,
            effect: Effect::None,
            by_sql: false,
            passed: None,
            types: Bytes::new(),
            sealed: None,
        }));
        self.replies.push_back(Expect::Parse { name, prepared, refusal: None });
        Ok(Next::Forward)
    }

    pub(super) fn bind(
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
        let (likely, pending);
        match self.replies.parsed_ahead(head.statement).cloned() {
            // Where that fails the server skips this Bind too.
            Some(prepared) => {
                (likely, pending) = (0, 1);
                candidates.push(prepared);
            }
            None => {
                candidates.extend(self.replies.parsing(head.statement).cloned());
                // The last one that it was asked to parse, if that does not fail.
                (likely, pending) = (candidates.len().saturating_sub(1), candidates.len());
                if !self.is_foreign(head.statement) {
                    candidates.extend(self.registry.statement(head.statement).cloned());
                }
            }
        }
        let texts: Option<Vec<&[u8]>> = candidates.iter().map(|candidate| candidate.text.as_deref()).collect();
        if !self.may_go(&texts.unwrap_or_default(), context, out) {
            return Ok(Next::Wait);
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
                Verdict::Protect(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => watched = true,
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
        self.tenants.begin_message();
        if let Some(spoken) = current.iter().find_map(|prepared| prepared.spoken.clone()) {
            self.spoken = Some(spoken);
        }
        let ordered = self.likeliest_first(head.statement, current.clone(), pending);
        let tenants = match self.bound_tenants(&ordered, body, header, context, out)? {
            BoundTenants::Nothing => None,
            BoundTenants::Wait => return Ok(Next::Wait),
            BoundTenants::Refused(refusal) => return Ok(self.refused_bind(portal, refusal)),
            BoundTenants::Are(tenants) => Some(tenants),
        };
        let kept = match self.kept_at_bind(&ordered, body, header, context, out) {
            Kept::Nothing => None,
            Kept::Wait => return Ok(Next::Wait),
            Kept::Refused(refusal) => return Ok(self.refused_bind(portal, refusal)),
            Kept::Malformed(malformed) => return Err(malformed),
            Kept::By(messages) => Some(messages),
        };
        let sealed = match kept {
            Some(_) => None,
            None => match self.sealed_bind(&ordered, body, header, context, out)? {
                SealedBind::AsItIs => None,
                SealedBind::Wait => return Ok(Next::Wait),
                SealedBind::Refused(refusal) => return Ok(self.refused_bind(portal, refusal)),
                SealedBind::By(message) => Some(message),
            },
        };
        let runs = current.iter().map(|candidate| (&candidate.verdict, &candidate.effect));
        if let Some(refusal) = self.spend_bind(runs, body, context, out) {
            return Ok(self.refused_bind(portal, refusal));
        }
        let (mut changes, mut configured) = (None, None);
        if let Some(Effect::Configures(used)) = current.get(likely).map(|run| &run.effect) {
            if body.len() < header.body {
                return Ok(Next::Wait);
            }
            match self.configure_bind(used, head.portal, head.statement, body, context, out) {
                Ok((made, sent)) => (changes, configured) = (Some(made), sent),
                Err(refusal) => return Ok(self.refused_bind(portal, refusal)),
            }
            self.configures = Some(portal.clone());
        } else if self.configures.as_ref() == Some(&portal) {
            self.configures = None;
        }
        let sealed = sealed.or(configured);
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
        let epoch = context.snapshot.epoch;
        let bound = portal.clone();
        let expect = Expect::Bind { portal: bound, statement, watched, told, changes, epoch, tenants, refusal: None };
        self.replies.push_back(expect);
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
            (None, describe) if sealed.is_some() => {
                Next::Replace([&sealed.unwrap_or_default()[..], &describe.unwrap_or_default()[..]].concat().into())
            }
            (None, Some(describe)) => Next::ForwardThen(describe),
            (None, None) => Next::Forward,
        })
    }

    fn refused_bind(&mut self, portal: Bytes, refusal: Arc<Refusal>) -> Next {
        let refusal = Some(refusal);
        let (statement, told) = (Bytes::new(), None);
        let (watched, changes, epoch, tenants) = (false, None, 0, None);
        self.replies.push_back(Expect::Bind { portal, statement, watched, told, changes, epoch, tenants, refusal });
        Next::Replace(compose::bind(NOWHERE, NOWHERE))
    }

    /// A name that only the server could say what it is for is refused, where anything depends on it.
    fn foreign(&self, name: &[u8], what: &str, context: &Context<'_>) -> Option<Arc<Refusal>> {
        (self.is_foreign(name) && !context.snapshot.inventory.is_empty())
            .then(|| Arc::new(Refusal::protocol(&format!("{what} that is not ASCII, unless all encodings are UTF-8,"))))
    }

    pub(super) fn describe(&mut self, body: &[u8]) -> Result<Next, Malformed> {
        let (subject, name) = frontend::subject(body)?;
        self.replies.push_back(Expect::Describe { subject, name: Bytes::copy_from_slice(name) });
        Ok(Next::Forward)
    }

    pub(super) fn execute(&mut self, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> Result<Next, Malformed> {
        let (name, _limit) = frontend::execute(body)?;
        let portal = Bytes::copy_from_slice(name);
        let epoch = context.snapshot.epoch;
        let changes = self.registry.portal(name).is_some_and(|portal| portal.changes.is_some());
        self.standing_pending |= changes || self.configures.as_ref() == Some(&portal);
        let Some(aborted) = self.execute_comes_to_aborted(name, context) else {
            return Ok(Next::Hold(Waiting::Answers));
        };
        if aborted {
            self.unsettled = true;
            self.recoding = true;
            self.replies.push_back(Expect::Execute { portal, epoch });
            return Ok(Next::Forward);
        }
        if self.registry.is_cursor(name) && self.tenants.are_wanted(context.snapshot) && self.asks_for_settings() {
            return Ok(Next::Wait);
        }
        if let Some(refusal) = self.ends_at_execute(name, context, out) {
            // In its place comes what can only fail.
            return Ok(self.refused_bind(portal, refusal));
        }
        match self.is_overtaken(name, context, out) {
            None => return Ok(Next::Wait),
            Some(false) => {}
            Some(true) => {
                self.unsettled = true;
                self.recoding = true;
                self.replies.push_back(Expect::OwnDescribe { portal: portal.clone() });
                self.replies.push_back(Expect::Execute { portal, epoch });
                return Ok(Next::Precede(compose::describe_portal(name)));
            }
        }
        self.unsettled |= self.begins.as_ref() != Some(&portal);
        self.recoding |= self.keeps.as_ref() != Some(&portal);
        let asked = self.ask_about_portal(name);
        let expect = Expect::Execute { portal: portal.clone(), epoch };
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
        if !self.may_go(prepared.text.as_deref().as_slice(), context, out) {
            return None;
        }
        let Some(portal) = self.registry.portal(name) else { return Some(false) };
        if (portal.version, portal.standing) == (version, self.standing.generation) && !self.is_unread(context) {
            return Some(false);
        }
        // While it runs, its rows go by what was decided when they were asked for.
        let runs = |expect: &Expect| matches!(expect, Expect::Execute { portal, .. } if cut(portal) == cut(name));
        if self.replies.iter().any(runs) {
            return Some(false);
        }
        let now = self.current(&prepared, context, out)?;
        self.note_copy_in(name, &now.verdict);
        let unknown = || Watch::Protect(Arc::new(Protection::unknown(Unknown::Construct, 0, true)));
        let watch = Watch::of(&now.verdict).unwrap_or_else(unknown);
        let Some(portal) = self.registry.portal(name) else { return Some(false) };
        let watch = watch.keeping(Some(&portal.watch));
        portal.version = version;
        portal.standing = self.standing.generation;
        if portal.watch.is_pass() && watch.is_pass() {
            return Some(false);
        }
        portal.watch = watch;
        portal.prepared = Some(now);
        let before = std::mem::take(&mut portal.delivery);
        Self::abandon(vec![before], out);
        Some(true)
    }
}
