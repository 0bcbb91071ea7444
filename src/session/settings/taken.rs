//! What becomes of what the session stands for: what the server has done, what time, other people and the policy change; each of it is
//! written down.

use std::sync::Arc;
use std::time::Duration;

use crate::access_log::{ActorChange, ActorStep, Record, RevealChange, RevealEnd, RevealStep, Visit};
use crate::session::conversation::Conversation;
use crate::session::io::{Context, Output, Waited};
use crate::session::outbox::Outbox;
use crate::session::standing::{Came, Change, Changes, Reveal};

impl Conversation {
    /// What has become true: the server has done what a statement says.
    pub(in crate::session) fn take_changes(&mut self, changes: &Changes, out: &mut Outbox) {
        for change in changes.0.iter() {
            if let Change::Tells(told) = change {
                self.saying = Some(Arc::clone(told));
            }
            let came = self.standing.change(change);
            self.log_standing(came, out);
        }
    }

    /// Write down what has come of what the session stands for.
    pub(in crate::session) fn log_standing(&mut self, came: Vec<Came>, out: &mut Outbox) {
        let mut durable = Vec::new();
        for came in came {
            let record = match came {
                Came::Asserted(actor) => {
                    let change = ActorChange::Asserted { actor: Arc::clone(&actor.name), signed: actor.signed };
                    let visit = self.visit_of(Some(&actor.name));
                    out.push(Output::Note(Record::ActorStep(ActorStep { visit, change })));
                    continue;
                }
                Came::Silent => {
                    let visit = self.visit_of(None);
                    out.push(Output::Note(Record::ActorStep(ActorStep { visit, change: ActorChange::Ended })));
                    continue;
                }
                Came::Granted(grant) => {
                    let actor = grant.actor.as_ref().map(|actor| Arc::clone(&actor.name));
                    let change = RevealChange::Granted(grant.terms());
                    let grant = Arc::clone(&grant.grounds.grant);
                    durable.push(RevealStep { visit: self.visit_of(actor.as_ref()), grant, change });
                    continue;
                }
                Came::Waits(waits) => {
                    let change = RevealChange::Asked(waits.terms.clone());
                    RevealStep { visit: self.visit(), grant: Arc::clone(&waits.id), change }
                }
                Came::Ended(reveal, why) => {
                    let (actor, rows) = match &reveal {
                        Reveal::Open(grant, _) => {
                            (grant.actor.as_ref().map(|actor| Arc::clone(&actor.name)), grant.shown())
                        }
                        Reveal::Waits(..) | Reveal::None => (self.standing.actor().map(|it| Arc::clone(&it.name)), 0),
                    };
                    if let Reveal::Waits(waits, _) = &reveal {
                        self.withdrawn.push(Arc::clone(&waits.id));
                    }
                    let Some(grant) = reveal.id().cloned() else { continue };
                    let change = RevealChange::Ended { why, rows };
                    RevealStep { visit: self.visit_of(actor.as_ref()), grant, change }
                }
            };
            out.push(Output::Note(Record::RevealStep(record)));
        }
        if !durable.is_empty() {
            out.push(Output::Access(durable.into_iter().map(Record::RevealStep).collect()));
        }
    }

    /// What time, other people and the policy have changed of what the session stands for.
    pub(in crate::session) fn look_at_standing(&mut self, context: &Context<'_>, out: &mut Outbox) {
        for id in std::mem::take(&mut self.withdrawn) {
            context.authority.withdraw(&id);
        }
        if !self.standing.is_timed() {
            return;
        }
        let now = context.authority.now();
        if self.standing.actor().and_then(|actor| actor.until).is_some_and(|until| until <= now.unix) {
            let came = self.standing.falls_silent();
            self.log_standing(came, out);
        }
        let waited = match &self.standing.reveal {
            Reveal::Waits(waits, _) => Some((Arc::clone(waits), context.authority.answer(&waits.id))),
            Reveal::Open(..) | Reveal::None => None,
        };
        let came = match waited {
            Some((waits, Waited::Approved { by, ends })) => self.standing.approved(Arc::new((waits.grant)(by, ends))),
            Some((_, Waited::Denied | Waited::Gone)) => self.standing.ends(RevealEnd::NotApproved),
            Some((_, Waited::Still)) | None => Vec::new(),
        };
        self.log_standing(came, out);
        let Some(grant) = self.standing.grant().cloned() else { return };
        let why = if grant.ends <= now.elapsed {
            Some(RevealEnd::Expired)
        } else if grant.left() == Some(0) {
            Some(RevealEnd::UsedUp)
        } else if self.allowed_at != Some((context.snapshot.version, self.standing.generation)) {
            self.allowed_at = Some((context.snapshot.version, self.standing.generation));
            let speaks = self.spoken.take();
            let caller = self.caller(context.snapshot);
            self.spoken = speaks;
            caller.grant.is_none().then_some(RevealEnd::Revoked)
        } else {
            None
        };
        if let Some(why) = why {
            let came = self.standing.ends(why);
            self.log_standing(came, out);
        }
    }

    /// When time changes what the session stands for, by the shell's clock.
    pub(in crate::session) fn deadline(&self) -> Option<Duration> {
        self.standing.grant().map(|grant| grant.ends)
    }

    fn visit_of(&mut self, actor: Option<&Arc<str>>) -> Arc<Visit> {
        let visit = self.visit();
        if visit.actor.as_ref() == actor {
            visit
        } else {
            Arc::new(Visit { actor: actor.cloned(), ..(*visit).clone() })
        }
    }
}
