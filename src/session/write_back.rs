//! Masks that come back with statements: in their texts, and in the values that are bound to them.
//!
//! A text with masks among its literals is changed before it goes on. Of a statement with parameters the server has the
//! text as it is; where a Bind brings masks for it, pgveil parses a variant of the statement under a name of its own,
//! in which the columns in question keep what is stored, and the Bind goes to that. It is closed before the next one is
//! parsed, so nothing has to be remembered of it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::conversation::{Conversation, LOOKED_AT_BYTES_MAX, Waiting};
use super::io::{CloseReason, Context, Lookup, Observation, Output};
use super::outbox::Outbox;
use super::sealing::SealedValues;
use super::statements::{Effect, Prepared};
use super::verdicts::Judged;
use crate::catalog::{Oid, ValueType};
use crate::plan::{Bound, Change, GivenValue, Judgement, Refusal, Verdict, write_back};
use crate::sql::statement::{Analysis, Statement};
use crate::wire::frame::Header;
use crate::wire::frontend::{BindHead, BindValues};
use crate::wire::{Malformed, Reader, compose};

/// The statement that pgveil prepares for itself.
const OWN_STATEMENT: &[u8] = b"pgveil keeps what is stored";

/// What has to be changed in a message's text.
#[derive(Default)]
pub(super) struct Changes {
    /// Statements by their place in it, and their new texts.
    statements: Vec<(Range<usize>, String)>,
}

impl Changes {
    /// The text of a statement as it runs but for what is encrypted in it; `None`: as it is.
    pub(super) fn of(&self, statement: &Statement) -> Option<&str> {
        self.statements.iter().find(|(span, _)| *span == statement.span).map(|(_, text)| text.as_str())
    }

    /// The changes of statements other than these.
    pub(super) fn others<'a>(
        &'a self,
        these: impl Iterator<Item = &'a Range<usize>>,
    ) -> impl Iterator<Item = (&'a Range<usize>, &'a str)> {
        let these: Vec<_> = these.collect();
        let others = self.statements.iter().filter(move |(span, _)| !these.contains(&span));
        others.map(|(span, text)| (span, text.as_str()))
    }

    /// The effect of a statement that may have been changed.
    pub(super) fn effect(&self, effect: Effect, statement: &Statement) -> Effect {
        match (effect, self.statements.last()) {
            (Effect::Prepares(name, _, passed, sealed), Some((span, text))) if *span == statement.span => {
                Effect::Prepares(name, Bytes::copy_from_slice(text.as_bytes()), passed, sealed)
            }
            (effect, _) => effect,
        }
    }
}

/// What became of the masks that a Bind brings.
pub(super) enum Kept {
    /// There are none.
    Nothing,
    /// The Bind is not all there.
    Wait,
    /// They would be stored.
    Refused(Arc<Refusal>),
    /// The client does not speak the protocol.
    Malformed(Malformed),
    /// They are kept by these messages in the place of the Bind.
    By(KeptBind),
}

/// Messages that go in the place of a Bind.
pub(super) struct KeptBind {
    pub messages: Bytes,
    told: Option<Arc<str>>,
}

impl Conversation {
    /// The analysis of a text; `None`: it is made elsewhere first.
    pub(super) fn analysed(&mut self, text: &[u8], context: &Context<'_>, out: &mut Outbox) -> Option<Arc<Analysis>> {
        if let Some((_, made)) = self.analyses.iter().find(|(known, _)| known == text) {
            return Some(Arc::clone(made));
        }
        match context.analyst.analysis(context.snapshot, text) {
            Lookup::Ready(analysis) => Some(analysis),
            Lookup::Later => {
                let text = Bytes::copy_from_slice(text);
                self.waiting = Some(Waiting::Analysis(text.clone()));
                out.push(Output::Analyze(text));
                None
            }
        }
    }

    /// The judgement of a statement with what becomes of masks in it; `None`: it has to wait.
    pub(super) fn without_masks(
        &mut self,
        judgement: Judgement,
        text: &str,
        statement: &Statement,
        changes: &mut Changes,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Judgement> {
        let Verdict::Protect(protection) = &judgement.verdict else { return Some(judgement) };
        let caller = self.caller(context.snapshot);
        let mut analyses = |text: &str| self.analysed(text.as_bytes(), context, out);
        let verdict = match write_back(text, statement, context.snapshot, &caller, &mut analyses) {
            Ok(None) => return None,
            Ok(Some((found, change))) => {
                if let Change::To(changed) = change {
                    changes.statements.push((statement.span.clone(), changed));
                }
                if found.is_nothing() {
                    return Some(judgement);
                }
                Verdict::Protect(Arc::new(protection.with_write_back(found)))
            }
            Err(refusal) => Verdict::Refuse(Arc::new(refusal)),
        };
        Some(Judgement { verdict, ..judgement })
    }

    /// The verdicts on a text, and the text that goes on in its place.
    pub(super) fn changed(&self, verdicts: Vec<(Verdict, Effect)>, text: &str, changes: &Changes) -> Judged {
        if changes.statements.is_empty() {
            return Judged { verdicts, changed: None, sent: None, sealed: None };
        }
        let mut changed = text.to_owned();
        for (span, statement) in changes.statements.iter().rev() {
            changed.replace_range(span.clone(), statement);
        }
        match self.encoding.bytes(&changed) {
            Some(changed) => Judged { verdicts, changed: Some(changed.into()), sent: None, sealed: None },
            None => {
                let refusal = Arc::new(Refusal::mask_in_text());
                Judged {
                    verdicts: vec![(Verdict::Refuse(refusal), Effect::None)],
                    changed: None,
                    sent: None,
                    sealed: None,
                }
            }
        }
    }

    /// Count what becomes of masks among the literals of a statement that runs.
    pub(super) fn observe_kept(verdict: &Verdict, out: &mut Outbox) {
        if let Verdict::Protect(protection) = verdict {
            for observation in &protection.write_back.observations {
                Self::observe(out, observation.clone());
            }
        }
    }

    /// What the client is told when a portal has run.
    pub(super) fn told(current: &[Arc<Prepared>], kept: Option<&KeptBind>, out: &mut Outbox) -> Option<Arc<str>> {
        let own = current.first().and_then(|prepared| {
            Self::observe_kept(&prepared.verdict, out);
            match &prepared.verdict {
                Verdict::Protect(protection) => protection.write_back.told.clone(),
                Verdict::Pass | Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => None,
            }
        });
        match (own, kept.and_then(|kept| kept.told.clone())) {
            (Some(own), Some(bound)) => Some(format!("{own}, {bound}").into()),
            (own, bound) => own.or(bound),
        }
    }

    /// What becomes of the masks that a Bind brings for one of these statements: those that the server may have under its
    /// name, as the snapshot of now judges them, the likeliest first.
    pub(super) fn kept_at_bind(
        &mut self,
        current: &[Arc<Prepared>],
        body: &[u8],
        header: Header,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Kept {
        let watches = |prepared: &Prepared| match &prepared.verdict {
            Verdict::Protect(protection) => !protection.write_back.is_empty(),
            Verdict::Pass | Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => false,
        };
        if !current.iter().any(|prepared| watches(prepared)) {
            return Kept::Nothing;
        }
        if body.len() < header.body {
            if header.frame() > LOOKED_AT_BYTES_MAX {
                let message = "pgveil: a statement's values are longer than 64 MiB (looked_at_bytes_max)";
                self.fail(out, "54000", message, CloseReason::ClientFault);
            }
            return Kept::Wait;
        }
        let (head, values) = match (BindHead::decode(body), BindValues::decode(body)) {
            (Ok(head), Ok(values)) => (head, values),
            (Err(malformed), _) | (_, Err(malformed)) => return Kept::Malformed(malformed),
        };
        let mut kept = Kept::Nothing;
        for (place, prepared) in current.iter().enumerate() {
            let Verdict::Protect(protection) = &prepared.verdict else { continue };
            let types = types(&prepared.types);
            let value = |number: u32| {
                let at = usize::try_from(number).ok()?;
                let (cell, format) = values.value(at)?;
                let of = types.get(at.checked_sub(1)?).filter(|oid| oid.0 != 0);
                let value_type = of.map(|oid| ValueType::of(&context.snapshot.catalog, *oid));
                Some(GivenValue { cell, format, value_type })
            };
            let mut observations = Vec::new();
            let Some(text) = prepared.text.as_deref() else { continue };
            let text = String::from_utf8_lossy(text);
            let bound = protection.write_back.bound(&text, self.cells(), value, &mut observations);
            let refuse = |refusal: Refusal, out: &mut Outbox| {
                Self::observe(out, Observation::Refusal(refusal.reason));
                Kept::Refused(Arc::new(refusal))
            };
            match bound {
                Ok(None) => {}
                Err(refusal) => return refuse(refusal, out),
                // Which of the statements the server will have is not known, or it is one of SQL's.
                Ok(Some(_)) if place > 0 || prepared.by_sql => return refuse(Refusal::mask_in_text(), out),
                Ok(Some(Bound { text, told })) => {
                    let (text, sealed) = match self.sealed_variant(&text, context, out) {
                        Some(Ok(variant)) => variant,
                        Some(Err(refusal)) => return refuse(refusal, out),
                        None => return Kept::Wait,
                    };
                    let rest = match self.sealed_values(sealed.as_deref(), &prepared.types, &values, context, out) {
                        Ok(SealedValues::Are(rest)) => Some(rest),
                        Ok(SealedValues::AsTheyAre) => None,
                        Ok(SealedValues::Wait) => return Kept::Wait,
                        Err(refusal) => return Kept::Refused(refusal),
                    };
                    let declared =
                        sealed.map_or_else(|| prepared.types.clone(), |sealed| sealed.declared(&prepared.types));
                    let Some(text) = self.as_written(&text) else {
                        return refuse(Refusal::mask_in_text(), out);
                    };
                    for observation in observations {
                        Self::observe(out, observation);
                    }
                    let messages = [
                        compose::close_statement(OWN_STATEMENT),
                        compose::parse_of(OWN_STATEMENT, &text, &declared),
                        compose::bind_of(head.portal, OWN_STATEMENT, rest.as_deref().unwrap_or(values.rest)),
                    ];
                    kept = Kept::By(KeptBind { messages: messages.concat().into(), told });
                }
            }
        }
        kept
    }

    /// The statements that the server may have under a name when it comes to what is sent now, the likeliest first: the
    /// last one that it was asked to parse, before that which it has.
    pub(super) fn likeliest_first(
        &self,
        name: &[u8],
        mut candidates: Vec<Arc<Prepared>>,
        pending: usize,
    ) -> Vec<Arc<Prepared>> {
        if pending == 0 {
            return candidates;
        }
        if let Some(pending) = candidates.get_mut(..pending) {
            pending.reverse();
        }
        // What it has now counts only if that Parse fails, and then this is skipped with it, unless a Sync is between.
        if self.replies.parsed_since_sync(name) {
            candidates.truncate(1);
        }
        candidates
    }
}

/// Types of parameters as Parse and ParameterDescription have them.
pub(super) fn types(body: &[u8]) -> Vec<Oid> {
    let mut reader = Reader::new(body, "Parse");
    let count = reader.count().unwrap_or_default();
    (0..count).map_while(|_| reader.u32().ok().map(Oid)).collect()
}
