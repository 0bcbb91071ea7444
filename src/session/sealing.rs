//! Values on their way into encrypted columns: in texts, and in what is bound to them.
//!
//! What the server is sent in the place of a client's text is made of what pgveil keeps of it: masks that come back are dealt with
//! before ([`super::write_back`]). A statement with parameters for encrypted columns has other parameters at the server,
//! and each Bind is put together anew.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting};
use super::delivery::Delivery;
use super::expect::Expect;
use super::io::{CloseReason, Context, Observation};
use super::outbox::Outbox;
use super::replies;
use super::statements::{Effect, Prepared};
use super::verdicts::Judged;
use super::write_back::{Changes, types};
use crate::catalog::Oid;
use crate::plan::{
    BoundValue, Judgement, Means, Own, Refusal, RowError, Sealed as Found, Sealing, Slots, Spoiled, Verdict,
    introspection, sealing, table_of_prepared,
};
use crate::sql::statement::{Analysis, Detail, Statement, StatementKind};
use crate::wire::frame::Header;
use crate::wire::frontend::{BindHead, BindValues};
use crate::wire::{Malformed, compose};

/// A prepared statement as the server has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SealedStatement {
    /// Its text without what stands for literals: what is the same whenever it is made.
    shape: String,
    /// Its parameters.
    slots: Option<Arc<Slots>>,
}

/// A text, and what its parameters are at the server.
pub(super) type Variant = (String, Option<Arc<SealedStatement>>);

/// What a text becomes because of the values in it that are encrypted.
#[derive(Default)]
pub(super) struct Sealed {
    /// Statements by their place in it, and what takes their place.
    statements: Vec<(Range<usize>, Sealing)>,
    /// The same of those that run what was prepared.
    executed: Vec<(Range<usize>, String)>,
}

/// What became of a Bind.
pub(super) enum SealedBind {
    /// Nothing: it goes on as it is.
    AsItIs,
    /// It is not all there.
    Wait,
    /// It may not go on.
    Refused(Arc<Refusal>),
    /// This goes in its place.
    By(Bytes),
}

/// All that follows the names in a Bind.
pub(super) enum SealedValues {
    /// As it is.
    AsTheyAre,
    /// This.
    Are(Vec<u8>),
    /// The settings have to be asked for first.
    Wait,
}

impl Sealed {
    /// The text that goes to the server; `None`: as it is.
    pub(super) fn text(&self, text: &str) -> Option<String> {
        if self.statements.is_empty() {
            return None;
        }
        let mut sealed = text.to_owned();
        for (span, sealing) in self.statements.iter().rev() {
            sealed.replace_range(span.clone(), &sealing.text);
        }
        Some(sealed)
    }

    /// The effect of a statement that prepares another.
    pub(super) fn effect(&self, effect: Effect, statement: &Statement) -> Effect {
        match (effect, self.statements.last()) {
            (Effect::Prepares(name, text, passed, _), Some((span, sealing))) if *span == statement.span => {
                Effect::Prepares(name, text, passed, Some(Arc::new(SealedStatement::of(sealing))))
            }
            (effect, _) => effect,
        }
    }

    /// What there is to remember of a prepared statement.
    pub(super) fn statement(&self) -> Option<Arc<SealedStatement>> {
        let (_, sealing) = self.statements.first()?;
        let sealed = SealedStatement::of(sealing);
        // The parameters of a PREPARE are not its own.
        let slots = sealed.slots.filter(|_| !sealing.prepares);
        Some(Arc::new(SealedStatement { slots, ..sealed }))
    }
}

impl SealedStatement {
    fn of(sealing: &Sealing) -> Self {
        Self { shape: sealing.shape.clone(), slots: sealing.slots.clone() }
    }

    /// Whether the server has the same for both.
    pub(super) fn is_like(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => one.shape == other.shape && one.slots == other.slots,
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// The types of parameters for the server's Parse, out of the client's.
    pub(super) fn declared(&self, given: &[u8]) -> Bytes {
        match &self.slots {
            Some(slots) => slots.declared(&types(given)).into(),
            None => Bytes::copy_from_slice(given),
        }
    }

    /// The client's ParameterDescription, out of the server's; `None`: it is the same.
    pub(super) fn described(&self, server: &[u8], declared: &[u8]) -> Option<Vec<u8>> {
        Some(self.slots.as_ref()?.described(&types(server), &types(declared)))
    }
}

impl Conversation {
    /// What a statement becomes because of the values in it that are encrypted; `None`: it has to wait.
    fn sealing_of(
        &mut self,
        own: &str,
        (statement, session): (&Statement, &Own),
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Result<Found, Refusal>> {
        // The analyses are the session's to ask for, as are the random numbers.
        let mut nonces = std::mem::take(&mut self.nonces);
        let forms = self.forms.clone();
        let (ring, settings) = (&context.snapshot.ring, self.tenants.now());
        let later = self.prepares;
        let mut means = Means { later, ..Means::new(ring, &forms, &mut nonces, &settings) };
        let mut analyses = |text: &str| self.analysed(text.as_bytes(), context, out);
        let found = sealing(own, statement, (context.snapshot, session), &mut means, &mut analyses);
        let (used, missing, keys) = (means.used, means.missing.is_some(), means.keys);
        self.nonces = nonces;
        if used && let Some(refusal) = self.settings_unsettled(context.snapshot) {
            return Some(Err(refusal));
        }
        if missing && self.asks_for_settings() {
            return None;
        }
        match found {
            Ok(None) => None,
            Ok(Some(found)) => {
                self.note_keys(&keys, out);
                Some(Ok(found))
            }
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// The judgement of a statement with what becomes of the values in it that are encrypted; `None`: it has to wait.
    pub(super) fn seal_statement(
        &mut self,
        judgement: Judgement,
        text: &str,
        statement: &Statement,
        changes: &Changes,
        (sealed, session, context): (&mut Sealed, &Own, &Context<'_>),
        out: &mut Outbox,
    ) -> Option<Judgement> {
        if !context.snapshot.policy.encrypts() || matches!(judgement.verdict, Verdict::Refuse(_)) {
            return Some(judgement);
        }
        let found = match changes.of(statement) {
            None => self.sealing_of(
                text.get(statement.span.clone()).unwrap_or_default(),
                (statement, session),
                context,
                out,
            )?,
            // Masks in it keep what is stored: that is another statement.
            Some(changed) => {
                let analysis = self.analysed(changed.as_bytes(), context, out)?;
                match &*analysis {
                    Analysis::Statements(statements) if statements.len() == 1 => match statements.first() {
                        Some(statement) => self.sealing_of(changed, (statement, session), context, out)?,
                        None => Ok(Found::default()),
                    },
                    Analysis::Statements(_) | Analysis::Opaque(..) => Err(Refusal::mask_in_text()),
                }
            }
        };
        Some(match found {
            Ok(Found { sealing, tenants }) => {
                sealed.statements.extend(sealing.map(|sealing| (statement.span.clone(), sealing)));
                match (judgement.verdict, tenants) {
                    (Verdict::Protect(protection), Some(tenants)) => {
                        let protection = protection.as_ref().clone().with_tenants(Some(Arc::new(tenants)));
                        Judgement { verdict: Verdict::Protect(Arc::new(protection)), ..judgement }
                    }
                    (verdict, _) => Judgement { verdict, ..judgement },
                }
            }
            Err(refusal) => Judgement { verdict: Verdict::Refuse(Arc::new(refusal)), ..judgement },
        })
    }

    /// The judgement of a statement that runs what was prepared, with the values in it that are encrypted; `None`: it has to
    /// wait. `before`: what the statements before it in its message are.
    pub(super) fn seal_executed(
        &mut self,
        judgement: Judgement,
        (own, statement): (&str, &Statement),
        before: &[(Verdict, Effect)],
        sealed: &mut Sealed,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Judgement> {
        let Detail::Prepared(Some(name)) = &statement.detail else { return Some(judgement) };
        let runs =
            matches!(statement.kind, StatementKind::Execute | StatementKind::Explain | StatementKind::CreateTableAs);
        if !runs || matches!(judgement.verdict, Verdict::Refuse(_)) {
            return Some(judgement);
        }
        // Where it comes to run, the PREPARE before it in its message has made what it runs: else the message has ended.
        let here = before.iter().rev().find_map(|(verdict, effect)| match effect {
            Effect::Prepares(prepared, text, _, sealed) if prepared == name => Some((verdict, text, sealed)),
            _ => None,
        });
        let key = name.as_str().as_bytes();
        if statement.kind == StatementKind::Execute {
            let ahead = self.replies.steps().map(|step| (&step.verdict, &step.effect));
            let ahead =
                ahead.filter(|(_, effect)| matches!(effect, Effect::Prepares(prepared, ..) if prepared == name));
            let ahead =
                ahead.map(|(verdict, _)| verdict).chain(self.replies.parsing(key).map(|parsed| &parsed.verdict));
            // What stands there by now is looked at elsewhere.
            let comes: Vec<&Verdict> = here.map_or_else(|| ahead.collect(), |(verdict, ..)| vec![verdict]);
            let masks = comes.into_iter().find_map(|verdict| match verdict {
                Verdict::Protect(protection) => protection.write_back.executed(own).err(),
                Verdict::Pass | Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => None,
            });
            if let Some(refusal) = masks {
                return refused(judgement, refusal);
            }
        }
        if !context.snapshot.policy.encrypts() {
            return Some(judgement);
        }
        // EXPLAIN ANALYZE CREATE TABLE AS EXECUTE makes it as well.
        let makes = statement.kind == StatementKind::CreateTableAs
            || (statement.kind == StatementKind::Explain && statement.words.contains("create"));
        let (text, statement_sealed) = match here {
            Some((_, text, sealed)) => (Some(text.clone()), sealed.clone()),
            None => {
                let ahead = self.replies.effects().any(|effect| match effect {
                    Effect::Prepares(prepared, ..) => prepared == name,
                    _ => false,
                });
                let runs = |expect: &Expect| matches!(expect, Expect::Bind { .. } | Expect::Execute { .. });
                if ahead || self.replies.parsing(key).next().is_some() || self.replies.iter().any(runs) {
                    // What is on its way to be prepared under that name is not known to be there when this runs.
                    self.waiting = Some(Waiting::Answers);
                    return None;
                }
                let known = self.registry.statement(key);
                (known.and_then(|known| known.text.clone()), known.and_then(|known| known.sealed.clone()))
            }
        };
        if let Some(text) = text.filter(|_| makes) {
            let analysis = self.analysed(&text, context, out)?;
            if let Err(refusal) = table_of_prepared(&analysis, context.snapshot) {
                return refused(judgement, refusal);
            }
        }
        let Some(slots) = statement_sealed.and_then(|sealed| sealed.slots.clone()) else { return Some(judgement) };
        let forms = self.forms.clone();
        let (ring, settings) = (&context.snapshot.ring, self.tenants.now());
        let mut means = Means::new(ring, &forms, &mut self.nonces, &settings);
        let executed = slots.executed(own, &mut means);
        let (used, missing, keys) = (means.used, means.missing.is_some(), means.keys);
        if used && let Some(refusal) = self.settings_unsettled(context.snapshot) {
            return refused(judgement, refusal);
        }
        if missing && self.asks_for_settings() {
            return None;
        }
        match executed {
            Ok(executed) => {
                self.note_keys(&keys, out);
                sealed.executed.push((statement.span.clone(), executed));
                Some(judgement)
            }
            Err(refusal) => refused(judgement, refusal),
        }
    }

    /// Queries of the system catalogs show the declared types of encrypted columns.
    pub(super) fn show_declared_types(&self, judged: &mut Judged, text: &[u8], context: &Context<'_>) {
        if !context.snapshot.policy.encrypts() || judged.refusal().is_some() {
            return;
        }
        let base = judged.sent.as_ref().or(judged.changed.as_ref()).map_or(text, |text| text);
        let Some(readable) = self.readable(base) else { return };
        let shown = introspection(&String::from_utf8_lossy(&readable), context.snapshot);
        if let Some(shown) = shown.and_then(|shown| self.as_written(&shown)) {
            judged.sent = Some(shown);
        }
    }

    /// What goes to the server in the place of a text.
    pub(super) fn send_sealed(&self, judged: &mut Judged, text: &str, changes: &Changes, sealed: &Sealed) {
        if (sealed.statements.is_empty() && sealed.executed.is_empty()) || judged.refusal().is_some() {
            return;
        }
        let kept = changes.others(sealed.statements.iter().map(|(span, _)| span));
        let executed = sealed.executed.iter().map(|(span, text)| (span, text.as_str()));
        let sealings = sealed.statements.iter().map(|(span, sealing)| (span, sealing.text.as_str())).chain(executed);
        let mut edits: Vec<(&Range<usize>, &str)> = kept.chain(sealings).collect();
        edits.sort_by_key(|(span, _)| span.start);
        let mut sent = text.to_owned();
        for (span, edit) in edits.into_iter().rev() {
            sent.replace_range(span.clone(), edit);
        }
        match self.as_written(&sent) {
            Some(sent) => {
                judged.sent = Some(sent);
                judged.sealed = sealed.statement();
            }
            None => judged.refuse(Refusal::mask_in_text()),
        }
    }

    /// A text of one statement that keeps what is stored in the place of masks, with the values in it that are encrypted, and
    /// what its parameters are; `None`: it has to wait.
    pub(super) fn sealed_variant(
        &mut self,
        text: &str,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Result<Variant, Refusal>> {
        if !context.snapshot.policy.encrypts() {
            return Some(Ok((text.to_owned(), None)));
        }
        let analysis = self.analysed(text.as_bytes(), context, out)?;
        let Analysis::Statements(statements) = &*analysis else { return Some(Err(Refusal::mask_in_text())) };
        let [statement] = statements.as_slice() else { return Some(Err(Refusal::mask_in_text())) };
        let own = text.get(statement.span.clone()).unwrap_or_default();
        let session = self.own.clone();
        Some(self.sealing_of(own, (statement, &session), context, out)?.map(|found| match found.sealing {
            None => (text.to_owned(), None),
            Some(sealing) => {
                let sealed = Sealed { statements: vec![(statement.span.clone(), sealing)], ..Sealed::default() };
                (sealed.text(text).unwrap_or_default(), sealed.statement())
            }
        }))
    }

    /// What becomes of a Bind for one of these statements, the likeliest first.
    pub(super) fn sealed_bind(
        &mut self,
        current: &[Arc<Prepared>],
        body: &[u8],
        header: Header,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<SealedBind, Malformed> {
        let Some(first) = current.first() else { return Ok(SealedBind::AsItIs) };
        if current.iter().all(|prepared| prepared.sealed.as_ref().is_none_or(|sealed| sealed.slots.is_none())) {
            return Ok(SealedBind::AsItIs);
        }
        if body.len() < header.body {
            if header.frame() > LOOKED_AT_BYTES_MAX {
                let message = "pgveil: a statement's values are longer than 64 MiB (looked_at_bytes_max)";
                self.fail(out, "54000", message, CloseReason::ClientFault);
            }
            return Ok(SealedBind::Wait);
        }
        let same = |other: &Arc<Prepared>| SealedStatement::is_like(first.sealed.as_deref(), other.sealed.as_deref());
        if !current.iter().all(same) {
            return Ok(SealedBind::Refused(Arc::new(Refusal::sealed_otherwise())));
        }
        let (head, values) = (BindHead::decode(body)?, BindValues::decode(body)?);
        let bound = self.sealed_values(first.sealed.as_deref(), &first.types, &values, context, out);
        Ok(match bound {
            Ok(SealedValues::Are(rest)) => SealedBind::By(compose::bind_of(head.portal, head.statement, &rest)),
            Ok(SealedValues::AsTheyAre) => SealedBind::AsItIs,
            Ok(SealedValues::Wait) => SealedBind::Wait,
            Err(refusal) => SealedBind::Refused(refusal),
        })
    }

    /// All that follows the names in a Bind, with encrypted values.
    pub(super) fn sealed_values(
        &mut self,
        statement: Option<&SealedStatement>,
        given: &[u8],
        values: &BindValues<'_>,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<SealedValues, Arc<Refusal>> {
        let Some(slots) = statement.and_then(|statement| statement.slots.as_ref()) else {
            return Ok(SealedValues::AsTheyAre);
        };
        let declared = types(given);
        let encoding = self.encoding;
        let unreadable = std::cell::Cell::new(false);
        // Values of encrypted columns are kept in UTF-8.
        let texts: Vec<Option<Vec<u8>>> = (1..=values.count())
            .map(|number| match values.value(number) {
                Some((Some(cell), _)) if !cell.is_ascii() && encoding != super::encoding::Encoding::Utf8 => {
                    let text = encoding.text(cell).map(|text| text.into_owned());
                    unreadable.set(unreadable.get() || text.is_none());
                    text
                }
                _ => None,
            })
            .collect();
        let value = |number: u32| {
            let at = usize::try_from(number).ok()?;
            let (cell, format) = values.value(at)?;
            let of = declared.get(at.checked_sub(1)?).copied().unwrap_or(Oid(0));
            let text = texts.get(at.checked_sub(1)?).and_then(Option::as_deref);
            Some(BoundValue { cell, text, format, declared: of })
        };
        let forms = self.forms.clone();
        let (ring, settings) = (&context.snapshot.ring, self.tenants.now());
        let mut means = Means::new(ring, &forms, &mut self.nonces, &settings);
        let bound = slots.bound((values.count(), declared.len()), value, &mut means);
        let keys = std::mem::take(&mut means.keys);
        if means.missing.is_some() && self.asks_for_settings() {
            return Ok(SealedValues::Wait);
        }
        match bound {
            Ok(Some(mut bound)) => {
                self.note_keys(&keys, out);
                bound.extend_from_slice(values.results);
                Ok(SealedValues::Are(bound))
            }
            Ok(None) => Ok(SealedValues::AsTheyAre),
            Err(refusal) => {
                Self::observe(out, Observation::Refusal(refusal.reason));
                Err(Arc::new(refusal))
            }
        }
    }

    /// Rows that were held back to the end could not be shown: `frame` is what would end them.
    pub(super) fn spoiled_at_end(&mut self, spoiled: &Spoiled, frame: &[u8], out: &mut Outbox) -> Result<(), RowError> {
        let tag = match frame {
            [b'C', _, _, _, _, tag @ ..] => tag,
            // The end of COPY data: its error comes in the place of what is behind it.
            [b'c' | b'd', ..] => {
                self.rows = Some(Delivery::Spoiled(spoiled.clone()));
                return Ok(());
            }
            _ => b"",
        };
        if let replies::Next::Replace(instead, _) = self.spoiled(spoiled, tag, out) {
            out.client(instead);
        }
        Ok(())
    }

    /// The end of an execution with a value that could not be shown. An error in its place is the truth only where the server
    /// has done nothing that the client would take for undone, and nothing that it would take for skipped.
    pub(super) fn spoiled(&mut self, spoiled: &Spoiled, tag: &[u8], out: &mut Outbox) -> replies::Next {
        let reads = [&b"SELECT"[..], b"FETCH", b"COPY"].iter().any(|read| tag.starts_with(read));
        let ends = matches!(spoiled, Spoiled::Stopped(stop) if stop.ends_session());
        if ends
            || !reads
            || !self.replies.ends_with_execution()
            || self.status != crate::wire::backend::TransactionStatus::Idle
        {
            self.end_spoiled(spoiled, out);
            return replies::Next::Swallow;
        }
        let Refusal { code, message, hint, .. } = Refusal::spoiled(spoiled);
        replies::Next::Replace(compose::error(code, &message, &hint), None)
    }

    /// The session ends where a result can not be shown and an error in its place would not be the truth, or is not enough.
    pub(super) fn end_spoiled(&mut self, spoiled: &Spoiled, out: &mut Outbox) {
        let Refusal { code, message, hint, .. } = Refusal::spoiled(spoiled);
        let reason = match spoiled {
            Spoiled::Unopened(_) => CloseReason::UpstreamFault,
            Spoiled::Stopped(_) => CloseReason::Guard,
        };
        self.fail_with_hint(out, code, &message, Some(&hint), reason);
    }
}

/// It may not run.
fn refused(judgement: Judgement, refusal: Refusal) -> Option<Judgement> {
    Some(Judgement { verdict: Verdict::Refuse(Arc::new(refusal)), ..judgement })
}
