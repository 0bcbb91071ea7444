//! The ends of executions, and what they did to what the session knows.

use std::sync::Arc;

use bytes::Bytes;

use super::conversation::Conversation;
use super::delivery::Delivery;
use super::expect::{Expect, Step};
use super::outbox::Outbox;
use super::replies::Next;
use super::scrub::{kept_notice, said_notice};
use super::statements::{Effect, Made, Portal, Prepared, Watch};
use crate::plan::{RowError, Verdict};
use crate::wire::Malformed;

impl Conversation {
    /// CommandComplete (with its tag) or EmptyQueryResponse: one statement is done.
    pub(super) fn command_complete(&mut self, tag: &[u8], out: &mut Outbox) -> Result<Next, Malformed> {
        let mut cursor = None;
        let mut seen = Effect::None;
        let mut told = None;
        let rows = match self.replies.front_mut() {
            Some(Expect::Query(reply)) if reply.refusal.is_none() => {
                let rows = self.rows.take();
                if let Some(Step { watch: Watch::Recall(name), .. }) = reply.steps.get(reply.at) {
                    cursor = Some(name.clone());
                }
                if let Some(Step { watch: Watch::Protect(protection), .. }) = reply.steps.get(reply.at) {
                    told = protection.write_back.told.clone();
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
                let Some(Expect::Execute { portal, .. }) = self.replies.pop_front() else {
                    return Err(Malformed("CommandComplete"));
                };
                let known = self.registry.portal(&portal);
                told = known.as_ref().and_then(|portal| portal.told.clone());
                if let Some(Portal { watch: Watch::Recall(name), .. }) = &known {
                    cursor = Some(name.clone());
                }
                let prepared = known.filter(|portal| !portal.cursor).and_then(|portal| portal.prepared.clone());
                if let Some(prepared) = prepared.filter(|prepared| prepared.effect != Effect::None)
                    && let Some(watch) = Watch::of(&prepared.verdict)
                {
                    let changes = self.registry.portal(&portal).and_then(|portal| portal.changes.clone());
                    seen = changes.map_or_else(|| prepared.effect.clone(), Effect::Configured);
                    self.took_effect(seen.clone(), watch, prepared.verdict.clone(), prepared.version, out);
                }
                rows
            }
            _ => return Err(Malformed("CommandComplete")),
        };
        self.copy_in.ended();
        self.tagged(tag, &seen, out);
        if let Some(name) = cursor.filter(|name| self.registry.is_cursor(name.as_str().as_bytes())) {
            // What was fetched is a piece of the cursor's execution, which goes on until the cursor is closed.
            self.rows = rows;
            return Ok(self.suspended(name.as_str().as_bytes(), tag, out));
        }
        if let Some(said) = self.saying.take() {
            return Ok(Next::Tell(said_notice(&said), rows));
        }
        Ok(match rows {
            rows if told.is_some() => Next::Tell(told.as_deref().map(kept_notice).unwrap_or_default(), rows),
            Some(rows @ (Delivery::Sealed(_) | Delivery::Open(_))) => Next::Settle(rows, true),
            Some(Delivery::Spoiled(spoiled)) => self.spoiled(&spoiled, tag, out),
            // Held back rows that nothing was shown of are settled above.
            Some(Delivery::Undescribed | Delivery::Untouched | Delivery::Told(_) | Delivery::Masked(..)) | None => {
                Next::Forward
            }
        })
    }

    /// The server has done what a statement says.
    pub(super) fn took_effect(
        &mut self,
        effect: Effect,
        watch: Watch,
        verdict: Verdict,
        version: u64,
        out: &mut Outbox,
    ) {
        match effect {
            Effect::None
            | Effect::ChangesCatalog { .. }
            | Effect::EndsTransaction
            | Effect::Executes(..)
            | Effect::Saves(_)
            | Effect::Releases(_)
            | Effect::Configures(_)
            | Effect::RollsBackTo(_) => {}
            Effect::Configured(changes) => self.take_changes(&changes, out),
            Effect::Closes(name) => {
                let closed = self.registry.close_portal(name.as_str().as_bytes());
                Self::abandon_portals(closed.into_iter().collect(), out);
            }
            Effect::Declares(name, hold, passed) => {
                let (delivery, made) = (Delivery::Undescribed, Made::Now);
                let cursor = Portal {
                    watch,
                    delivery,
                    prepared: None,
                    version,
                    standing: self.standing.generation,
                    changes: None,
                    passed,
                    cursor: true,
                    hold,
                    begun: false,
                    made,
                    told: None,
                    bound: None,
                    description: None,
                };
                if let Some(before) = self.registry.bound(Bytes::copy_from_slice(name.as_str().as_bytes()), cursor) {
                    Self::abandon(vec![before.delivery], out);
                }
            }
            Effect::Prepares(name, text, passed, sealed) => {
                let (types, own) = (Bytes::from_static(&[0, 0]), self.generation());
                let spoken = self.spoken.clone();
                let effect = Effect::None;
                let text = Some(text);
                let prepared =
                    Prepared { text, version, own, spoken, verdict, effect, by_sql: true, passed, types, sealed };
                self.registry.parsed(Bytes::copy_from_slice(name.as_str().as_bytes()), Arc::new(prepared));
            }
            Effect::Deallocates(name) => self.registry.close_statement(name.as_str().as_bytes()),
        }
    }

    /// What a command's tag says of the server's tables, for statements whose text was not read as well.
    pub(super) fn tagged(&mut self, tag: &[u8], seen: &Effect, out: &mut Outbox) {
        let unseen = matches!(seen, Effect::None | Effect::Executes(..));
        let back_to = match seen {
            Effect::RollsBackTo(name) => Some(name.as_ref()),
            _ => None,
        };
        self.ends.completed(tag, back_to.is_some());
        let ended = match tag.strip_suffix(b"\0").unwrap_or(tag) {
            b"SAVEPOINT" => {
                let name = if let Effect::Saves(name) = seen { Some(name) } else { None };
                self.registry.saved(name);
                self.standing.saved(name);
                return;
            }
            b"RELEASE" => {
                let name = if let Effect::Releases(name) = seen { Some(name) } else { None };
                self.registry.released(name);
                self.standing.released(name);
                return;
            }
            b"COMMIT" | b"PREPARE TRANSACTION" => {
                let came = self.standing.transaction_ended(true);
                self.log_standing(came, out);
                self.registry.end_transaction(true)
            }
            b"ROLLBACK" => match back_to {
                Some(name) => {
                    self.own.rolled_back_to();
                    let came = self.standing.rolled_back_to(name);
                    self.log_standing(came, out);
                    self.registry.roll_back_to(name)
                }
                None => {
                    let came = self.standing.transaction_ended(false);
                    self.log_standing(came, out);
                    self.registry.end_transaction(false)
                }
            },
            b"CLOSE CURSOR ALL" => self.registry.end(),
            b"DEALLOCATE ALL" => {
                self.registry.close_statements();
                return;
            }
            b"DISCARD TEMP" => {
                self.own.discarded(self.replies.len() <= 1);
                return;
            }
            b"DISCARD ALL" => {
                self.own.discarded(self.replies.len() <= 1);
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
    pub(super) fn suspended(&mut self, portal: &[u8], tag: &[u8], out: &mut Outbox) -> Next {
        let Some(rows) = self.rows.take() else { return Next::Forward };
        if let Delivery::Spoiled(spoiled) = &rows {
            return self.spoiled(spoiled, tag, out);
        }
        let Some(known) = self.registry.portal(portal) else { return Next::Forward };
        let held = matches!(rows, Delivery::Sealed(_) | Delivery::Open(_));
        known.delivery = rows;
        if !held {
            return Next::Forward;
        }
        self.paused = Some(Bytes::copy_from_slice(portal));
        Next::Pause
    }

    pub(super) fn pause(&mut self, out: &mut Outbox) -> Result<(), RowError> {
        let Some(name) = self.paused.take() else { return Ok(()) };
        self.registry.portal(&name).map_or(Ok(()), |portal| portal.delivery.pause(out))
    }

    pub(super) fn abandon_portals(portals: Vec<Portal>, out: &mut Outbox) {
        Self::abandon(portals.into_iter().map(|portal| portal.delivery).collect(), out);
    }
}
