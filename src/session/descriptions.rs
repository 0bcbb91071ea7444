//! What the server says of results before it sends them, held against what was made of the statements.

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::Conversation;
use super::delivery::Delivery;
use super::expect::Expect;
use super::io::{CatalogChanges, Context, Observation, RestrictiveReason};
use super::outbox::Outbox;
use super::replies::Next;
use super::statements::{Made, Portal, Prepared, Watch};
use crate::plan::{Protection, Snapshot, Verdict};
use crate::sql::lineage::Unknown;
use crate::wire::backend::RowDescription;
use crate::wire::frontend::Subject;
use crate::wire::{Malformed, compose};

impl Conversation {
    pub(super) fn row_description(
        &mut self,
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Next, Malformed> {
        match self.replies.front() {
            Some(Expect::Describe { subject, name }) => {
                let (subject, name) = (*subject, name.clone());
                self.replies.pop_front();
                if !context.snapshot.inventory.is_empty() {
                    self.compare_description(subject, &name, body, context, out)?;
                }
                let watch = match subject {
                    Subject::Portal => self.registry.watch(&name).cloned(),
                    Subject::Statement => self.registry.statement(&name).and_then(|known| Watch::of(&known.verdict)),
                };
                Ok(self
                    .announced(watch.as_ref(), body, context)?
                    .map_or(Next::Forward, |body| Next::Replace(body, None)))
            }
            Some(Expect::OwnDescribe { portal }) => {
                let portal = portal.clone();
                self.replies.pop_front();
                let known = self.registry.portal(&portal).ok_or(Malformed("RowDescription"))?;
                if known.watch.is_pass() {
                    self.compare_description(Subject::Portal, &portal, body, context, out)?;
                    return Ok(Next::Swallow);
                }
                let watch = known.watch.clone();
                let description = RowDescription::decode(body)?;
                let delivery = self.planned(&watch, &description, context);
                if let Some(portal) = self.registry.portal(&portal) {
                    portal.description = Some(Arc::new(description));
                    if let Delivery::Undescribed | Delivery::Untouched | Delivery::Masked(..) = portal.delivery {
                        portal.delivery = delivery;
                    }
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
                let announces = Some(watch.clone());
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
                match self.announced(announces.as_ref(), body, context)? {
                    None => Ok(before.map_or(Next::Forward, |before| Next::Settle(before, true))),
                    Some(instead) => Ok(Next::Replace(instead, before)),
                }
            }
            _ => Err(Malformed("RowDescription")),
        }
    }

    /// The description that the client gets in the place of the server's, where that is another.
    fn announced(
        &mut self,
        watch: Option<&Watch>,
        body: &[u8],
        context: &Context<'_>,
    ) -> Result<Option<Bytes>, Malformed> {
        let Some(watch) = watch.filter(|_| context.snapshot.policy.encrypts()) else { return Ok(None) };
        let Some(protection) = self.protection(watch, context.snapshot, 4) else { return Ok(None) };
        let caller = self.caller(context.snapshot);
        let announced = protection.announced(&RowDescription::decode(body)?, context.snapshot, &caller);
        Ok(announced.map(|announced| compose::raw(b'T', &announced.encode())))
    }

    /// Whether the server says of a statement that passes what can only be so if the catalog has changed since it was
    /// read: that it shows a tagged column, or a relation that nobody knew. The server's word counts, and the catalog is
    /// read again.
    pub(super) fn is_outdated(
        &mut self,
        description: &RowDescription,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> bool {
        let snapshot = context.snapshot;
        let outdated = snapshot.shows_tagged(description) || (!self.own.pending && snapshot.shows_unread(description));
        if outdated {
            Self::observe(out, Observation::RestrictiveDefault(RestrictiveReason::Contradiction));
            self.stale = true;
            self.ask_refresh(CatalogChanges::All, out);
        }
        outdated
    }

    /// A description that the client asked for says of a statement that passes that it shows a tagged column: the catalog
    /// has changed since it was read, and the server's word counts.
    pub(super) fn compare_description(
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
            if let (Subject::Portal, Some(portal)) = (subject, self.registry.portal(name)) {
                portal.description = Some(Arc::new(description));
            }
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
                        own: prepared.own,
                        spoken: prepared.spoken.clone(),
                        verdict: Verdict::Protect(unknown),
                        effect: prepared.effect.clone(),
                        by_sql: prepared.by_sql,
                        passed: None,
                        types: prepared.types.clone(),
                        sealed: prepared.sealed.clone(),
                    };
                    self.registry.parsed(Bytes::copy_from_slice(name), Arc::new(watched));
                }
            }
        }
        Ok(())
    }

    pub(super) fn no_data(&mut self) -> Result<Next, Malformed> {
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

    /// The portal that a BindComplete is about.
    pub(super) fn portal_of(&mut self, statement: &[u8], watched: bool, snapshot: &Snapshot) -> Portal {
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
        let prepared_under = prepared.as_ref().map_or(self.standing.generation, |prepared| prepared.own.1);
        let (delivery, made) = (Delivery::Undescribed, Made::Now);
        Portal {
            watch,
            delivery,
            prepared,
            version,
            standing: prepared_under,
            changes: None,
            passed: None,
            cursor: false,
            hold: false,
            begun: false,
            made,
            told: None,
            bound: None,
            description: None,
        }
    }
}
