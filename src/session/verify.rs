//! Replies to what was judged before the catalog has changed, or may have.
//!
//! A statement is judged before it is sent, and the server reads its names when it comes to it: what another session
//! commits in between counts for it. So where the [`Gate`](super::gate::Gate) is not as it was, the first reply of a
//! result waits for a reading of the catalog that was begun after it came. If the statement shows the same in each state
//! that the catalog was in since, it goes on by that; else, or if a state is not known, the session
//! ends: nobody knows what the rows hold.

use std::sync::Arc;

use bytes::Bytes;

use super::apart::{Matters, names_that_matter};
use super::conversation::Conversation;
use super::expect::{Expect, Step};
use super::io::{CatalogChanges, CloseReason, Context, Lookup, Observation, RestrictiveReason};
use super::outbox::Outbox;
use super::reads::only_reads;
use super::statements::{Effect, Watch};
use super::verdicts::looks_at_no_rows;
use crate::plan::{Caller, ColumnRule, Snapshot, Verdict, judge, judge_opaque};
use crate::sql::statement::Analysis;
use crate::wire::backend::RowDescription;

/// What a statement shows in one state of the catalog.
#[derive(PartialEq)]
struct Shown {
    /// The rule for each column; none: all of them are kept.
    rules: Vec<ColumnRule>,
    /// Whether its errors may quote what the caller must not see.
    scrub: bool,
}

impl Conversation {
    /// Whether the reply at hand has to wait for a reading of the catalog, which is asked for.
    pub(super) fn is_held(&mut self, tag: u8, body: &[u8], context: &Context<'_>, out: &mut Outbox) -> bool {
        let begins = match tag {
            b'T' | b'H' | b'E' | b'N' => true,
            b'D' => self.rows.is_none(),
            // how many rows there are, of what may not have been looked at before
            b'C' => {
                let executed = matches!(self.replies.front(), Some(Expect::Execute { .. }));
                context.gate.checks_each() && executed && self.rows.is_none() && self.reads_at_front(context)
            }
            _ => false,
        };
        if !begins || self.repeat.discards() || context.snapshot.inventory.is_empty() {
            return false;
        }
        self.skip_copy_ends();
        if matches!(tag, b'E' | b'N') && self.quotes_no_rows() {
            return false;
        }
        let Some(judged) = self.judged_at() else { return false };
        // It is for the reply at hand alone.
        let checked = self.checked.take();
        if self.is_known(judged, self.answers.are_behind_a_look(), context) {
            return false;
        }
        let Some(read) = checked else {
            self.verifying = true;
            self.ask_refresh(CatalogChanges::Lasting, out);
            return true;
        };
        let report = matches!(tag, b'E' | b'N');
        self.arriving = (tag == b'T').then(|| RowDescription::decode(body).ok()).flatten();
        let holds = read && self.still_holds(judged, report, context);
        match (holds, report) {
            (true, true) => {}
            (true, false) => self.judged_now(context.snapshot.epoch),
            (false, true) => {
                Self::observe(out, Observation::RestrictiveDefault(RestrictiveReason::Contradiction));
                self.withheld = true;
            }
            (false, false) if self.repeats(context) => {}
            (false, false) => self.withhold(read, context, out),
        }
        false
    }

    /// Nothing of the result at the front is shown, and the session ends. `read`: whether the catalog could be read.
    fn withhold(&mut self, read: bool, context: &Context<'_>, out: &mut Outbox) {
        Self::observe(out, Observation::RestrictiveDefault(RestrictiveReason::Contradiction));
        // Neither clear values nor NULL in their place, which might be stored over them.
        let (state, advice) = match self.reads_at_front(context) {
            true => ("40001", "run it again"),
            false => ("40003", "look whether it has been done"),
        };
        let message = format!(
            "pgveil: the database's catalog has changed while this statement ran, so that it is not known what its \
             result shows: {advice}"
        );
        if read {
            self.fail(out, state, &message, CloseReason::Refused);
        } else {
            // Perhaps because the server is ending, which it says next.
            self.ends_behind(state, message);
        }
    }

    /// Whether the statement at the front quotes no values in errors and notices, whatever its names mean.
    fn quotes_no_rows(&mut self) -> bool {
        self.text_at_front().is_some_and(|text| looks_at_no_rows(&text))
    }

    /// Whether what is at the front only reads.
    fn reads_at_front(&mut self, context: &Context<'_>) -> bool {
        self.text_at_front().is_some_and(|text| only_reads(&text, context))
    }

    /// The text that is executed at the front, if it is known.
    fn text_at_front(&mut self) -> Option<Bytes> {
        match self.replies.front() {
            Some(Expect::Query(reply)) => reply.text.clone(),
            Some(Expect::Execute { portal, .. }) => {
                let prepared = self.registry.portal(portal).and_then(|portal| portal.prepared.clone());
                prepared.and_then(|prepared| prepared.text.clone())
            }
            _ => None,
        }
    }

    /// The changes of the catalog that were known when the statement at the front was judged; `None`: it shows nothing.
    fn judged_at(&mut self) -> Option<u64> {
        match self.replies.front() {
            Some(Expect::Query(reply)) if reply.refusal.is_none() => Some(reply.epoch),
            Some(Expect::Bind { epoch, refusal: None, .. }) => Some(*epoch),
            Some(Expect::Execute { portal, epoch }) => {
                let epoch = *epoch;
                let bound = self.registry.portal(portal).and_then(|portal| portal.bound);
                Some(bound.map_or(epoch, |bound| bound.min(epoch)))
            }
            _ => None,
        }
    }

    /// It counts as judged by this reading.
    fn judged_now(&mut self, now: u64) {
        match self.replies.front_mut() {
            Some(Expect::Query(reply)) => reply.epoch = now,
            Some(Expect::Bind { epoch, .. }) => *epoch = now,
            Some(Expect::Execute { portal, epoch }) => {
                *epoch = now;
                if let Some(portal) = self.registry.portal(portal) {
                    portal.bound = None;
                }
            }
            _ => {}
        }
    }

    /// Whether the statement at the front shows the same in each state of the catalog since then; it goes by the last.
    /// `report`: what came is an error or a notice of it.
    fn still_holds(&mut self, judged: u64, report: bool, context: &Context<'_>) -> bool {
        let now = Arc::clone(context.snapshot);
        if judged >= now.since {
            return true;
        }
        // Definitions do not wait for one another; what they and their triggers say is about what the session knows.
        if report && context.gate.is_untouched(judged, None, false, self.own_changes()) {
            return true;
        }
        let mut plan = false;
        let (text, at, description) = match self.replies.front() {
            Some(Expect::Query(reply)) => {
                let watch = reply.steps.get(reply.at).map(|step| &step.watch);
                plan = matches!(watch, Some(Watch::RecallPlan(_)));
                if let Some(name) = watch.and_then(Watch::recalled).cloned() {
                    if self.registry.is_cursor(name.as_str().as_bytes()) {
                        // What it shows was settled when it was declared, and is held against the newest reading.
                        return true;
                    }
                    let prepared = self.registry.statement(name.as_str().as_bytes());
                    (prepared.and_then(|prepared| prepared.text.clone()), 0, None)
                } else {
                    (reply.text.clone(), reply.at, None)
                }
            }
            Some(Expect::Bind { statement, .. }) => {
                let statement = statement.clone();
                (self.registry.statement(&statement).and_then(|prepared| prepared.text.clone()), 0, None)
            }
            Some(Expect::Execute { portal, .. }) => {
                let portal = self.registry.portal(portal);
                if portal.as_ref().is_some_and(|portal| portal.cursor) {
                    return true;
                }
                let watch = portal.as_ref().map(|portal| portal.watch.clone());
                plan = matches!(watch, Some(Watch::RecallPlan(_)));
                let known = portal.and_then(|portal| Some((portal.prepared.clone()?, portal.description.clone())));
                // FETCH names a portal, also one of the protocol, that is another thing than the statement of that name.
                let recalled = watch.as_ref().and_then(Watch::recalled).map(|name| name.as_str().as_bytes());
                let recalled = recalled.filter(|name| self.registry.portal(name).is_none());
                let recalled = recalled.and_then(|name| self.registry.statement(name).cloned());
                match known.map(|(prepared, description)| (recalled.unwrap_or(prepared), description)) {
                    Some((prepared, description)) => (prepared.text.clone(), 0, description),
                    None => (None, 0, None),
                }
            }
            _ => return false,
        };
        let described = description.or_else(|| self.arriving.take().map(Arc::new));
        let Some(text) = text else { return false };
        let described = described.as_deref();
        let first = self.shown(&text, at, described, report, &now, context);
        let clear = self.caller(&now).sees_everything(&now);
        // Things of the session itself: it goes by what it was judged as.
        let Some((shown, verdict)) = first else { return self.is_apart(&text, at, judged, &now, context) };
        if plan && !matches!(verdict, Verdict::Pass) {
            return false;
        }
        // Who sees everything is shown it as well; but it is to be logged as what it is.
        let states = if clear { Some(Vec::new()) } else { now.states_since(judged) };
        let Some(states) = states else {
            // Else it goes by what it was judged as, which is the same.
            return self.is_apart(&text, at, judged, &now, context)
                && (report || !matches!(verdict, Verdict::Pass) || self.goes_by(verdict, at, described, context));
        };
        for state in &states {
            match self.shown(&text, at, described, report, state, context) {
                Some((other, _)) if other == shown => {}
                _ => return false,
            }
        }
        report || self.goes_by(verdict, at, described, context)
    }

    /// Whether none of the changes since then, and none that is under way, can have given another meaning to what a statement
    /// names.
    fn is_apart(&self, text: &[u8], at: usize, judged: u64, now: &Arc<Snapshot>, context: &Context<'_>) -> bool {
        let Lookup::Ready(analysis) = context.analyst.analysis(now, text) else { return false };
        let Some(Matters { names, plain }) = names_that_matter(&analysis, at, now, context.analyst) else {
            return false;
        };
        // Without any of them it is computed of what it says itself.
        names.is_empty() || context.gate.is_untouched(judged, Some(&names), plain, self.own_changes())
    }

    /// What a statement shows in one state of the catalog; `None`: that is not known.
    fn shown(
        &mut self,
        text: &Bytes,
        at: usize,
        description: Option<&RowDescription>,
        report: bool,
        state: &Arc<Snapshot>,
        context: &Context<'_>,
    ) -> Option<(Shown, Verdict)> {
        let caller = self.caller_of(state);
        let verdict = self.judged_in(text, at, state, &caller, context)?;
        let shown = match &verdict {
            Verdict::Pass => Shown { rules: Vec::new(), scrub: false },
            Verdict::Protect(protection) => {
                let rules = match description {
                    Some(description) => protection.cell_rules(description, state, &caller),
                    None if report => Vec::new(),
                    None => return None,
                };
                let kept = rules.iter().all(ColumnRule::is_keep);
                Shown { rules: if kept { Vec::new() } else { rules }, scrub: protection.scrub }
            }
            Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => return None,
        };
        Some((shown, verdict))
    }

    /// The verdict on a statement of a text in one state of the catalog.
    fn judged_in(
        &self,
        text: &[u8],
        at: usize,
        state: &Arc<Snapshot>,
        caller: &Caller,
        context: &Context<'_>,
    ) -> Option<Verdict> {
        let Lookup::Ready(analysis) = context.analyst.analysis(state, text) else { return None };
        match &*analysis {
            Analysis::Opaque(why, words) => Some(judge_opaque(*why, words, state, caller).verdict),
            Analysis::Statements(statements) => {
                let statement = statements.get(at)?;
                if self.own.is_named(&statement.words) {
                    return None;
                }
                let text = String::from_utf8_lossy(text);
                Some(judge(&text, statement, state, caller, &self.own).verdict)
            }
        }
    }

    /// From here on the statement at the front is what the newest reading makes of it.
    fn goes_by(
        &mut self,
        verdict: Verdict,
        at: usize,
        description: Option<&RowDescription>,
        context: &Context<'_>,
    ) -> bool {
        let Some(mut watch) = Watch::of(&verdict) else { return false };
        if let Some(Expect::Execute { portal, .. }) = self.replies.front() {
            watch = watch.keeping(self.registry.watch(portal));
        }
        match self.replies.front_mut() {
            Some(Expect::Query(reply)) => {
                if reply.steps.is_empty() {
                    if !watch.is_pass() {
                        // It was the first, and passed. Should others be behind it, nothing is known of these.
                        reply.steps.push(Step { watch, verdict, effect: Effect::None });
                        return at == 0;
                    }
                } else {
                    match reply.steps.get_mut(at) {
                        Some(step) if step.watch.recalled().is_none() => step.watch = watch.keeping(Some(&step.watch)),
                        Some(_) => {}
                        None => return false,
                    }
                }
            }
            Some(Expect::Execute { portal, .. }) => {
                let name = portal.clone();
                let copies = |watch: &Watch| matches!(watch, Watch::Protect(protection) if protection.copy.is_some());
                let delivery = match description {
                    Some(description) if !watch.is_pass() => Some(self.planned(&watch, description, context)),
                    Some(_) | None => None,
                };
                if let Some(portal) = self.registry.portal(&name)
                    && !portal.begun
                    && !copies(&portal.watch)
                {
                    portal.delivery = delivery.unwrap_or_default();
                    portal.watch = watch;
                }
            }
            _ => {}
        }
        true
    }
}
