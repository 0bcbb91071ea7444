//! Reveals that are asked for and answered: `SET pgveil.reveal`, `SET pgveil.reveal_approve` and their like.

use std::sync::Arc;
use std::time::Duration;

use crate::access_log::{Grounds, Record, RevealChange, RevealRefused, RevealStep, RevealTerms};
use crate::plan::{Caller, Grant, Refusal, ResultPlan, Snapshot, SubjectKey};
use crate::policy::{Offer, REASON_CHARS_MAX};
use crate::session::conversation::Conversation;
use crate::session::io::{Answer, Context, DecideError, Observation, Output, Request, Who};
use crate::session::outbox::Outbox;
use crate::session::standing::{Change, Waits};

impl Conversation {
    /// A reveal is asked for.
    pub(super) fn ask_reveal(
        &mut self,
        reason: &str,
        local: bool,
        tries: bool,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<(Vec<Change>, Option<String>), Refusal> {
        let snapshot = context.snapshot;
        let caller = self.caller(snapshot);
        let next = self.standing.next.clone();
        let Some(offer) = snapshot.policy.offer(&caller.roles) else {
            return Err(self.reveal_refused(RevealRefused::NotOffered, reason, None, tries, out));
        };
        if !offer.takes(reason) {
            return Err(self.reveal_refused(RevealRefused::Reason, reason, Some(&offer), tries, out));
        }
        if offer.subject_required && next.subject.is_none() {
            return Err(self.reveal_refused(RevealRefused::Subject, reason, Some(&offer), tries, out));
        }
        if !snapshot.access_log_ready {
            return Err(Refusal::access_log());
        }
        let actor = caller.principal.actor.clone();
        let urgent = next.urgent && offer.urgent && offer.needs_approval();
        let (subject, totp, words) = (next.subject.clone(), offer.totp, Arc::<str>::from(reason));
        let made = {
            let (offer, words, actor) = (offer.clone(), Arc::clone(&words), actor.clone());
            move |id: Arc<str>, by: Option<Arc<str>>, ends: Duration| {
                let grounds = Grounds { grant: id, reason: Arc::clone(&words) };
                let mut grant = Grant::of(&offer, grounds, actor.clone(), ends);
                grant.subject.clone_from(&subject);
                (grant.totp, grant.approved_by, grant.urgent) = (totp, by, urgent);
                grant
            }
        };
        let answer = if tries {
            Answer::Granted { id: "".into(), ends: Duration::MAX }
        } else {
            context.authority.ask(Request {
                who: self.who(&caller),
                session: self.id,
                offer: &offer,
                reason,
                subject: next.subject.as_ref().map(SubjectKey::text),
                code: next.code.as_ref().map(|code| code.as_str()),
                urgent,
            })
        };
        match answer {
            Answer::Granted { id, ends } => {
                let told = offer.notice.then(|| told_granted(&id, &offer));
                let change = Change::Granted { grant: Arc::new(made(Arc::clone(&id), None, ends)), local };
                let changes = [Some(change), told.map(Change::Tells)].into_iter().flatten().collect();
                Ok((changes, Some(id.to_string())))
            }
            Answer::Waiting { id } => {
                let terms = RevealTerms { approved_by: None, ..made(Arc::clone(&id), None, Duration::ZERO).terms() };
                let told =
                    format!("pgveil: reveal {id} waits for somebody else's approval (pgveil reveal approve {id})");
                let id_of = Arc::clone(&id);
                let grant = Box::new(move |by: Arc<str>, ends| made(Arc::clone(&id_of), Some(by), ends));
                let waiting = Arc::new(Waits { id: Arc::clone(&id), terms, grant });
                Ok((vec![Change::Waits { waiting, local }, Change::Tells(told.into())], Some(id.to_string())))
            }
            Answer::Refused(why) => Err(self.reveal_refused(why, reason, Some(&offer), tries, out)),
        }
    }

    fn reveal_refused(
        &mut self,
        why: RevealRefused,
        reason: &str,
        offer: Option<&Offer>,
        tries: bool,
        out: &mut Outbox,
    ) -> Refusal {
        if !tries {
            let reason: String = reason.chars().filter(|sign| !sign.is_control()).take(REASON_CHARS_MAX).collect();
            let change = RevealChange::Refused { why, reason: reason.into() };
            let step = RevealStep { visit: self.visit(), grant: "".into(), change };
            out.push(Output::Note(Record::RevealStep(step)));
        }
        Refusal::reveal_refused(why, offer)
    }

    /// Somebody answers another's request.
    pub(super) fn decide(
        &mut self,
        name: &str,
        id: &str,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Arc<str>, Refusal> {
        if !context.snapshot.access_log_ready {
            return Err(Refusal::access_log());
        }
        let caller = self.caller(context.snapshot);
        let who = self.who(&caller);
        let roles: Vec<Arc<str>> = context.snapshot.policy.names_of(&caller.roles).cloned().collect();
        let (decided, change, done) = match name {
            "reveal_approve" => {
                (context.authority.decide(id, true, &who, &roles), RevealChange::Approved, "is approved")
            }
            "reveal_deny" => (context.authority.decide(id, false, &who, &roles), RevealChange::Denied, "is denied"),
            _ => (context.authority.review(id, &who, &roles), RevealChange::Reviewed, "is marked as reviewed"),
        };
        decided.map_err(|error| Refusal::reveal(&error.to_string(), "42501", hint_of(error)))?;
        let step = RevealStep { visit: self.visit(), grant: id.into(), change };
        out.push(Output::Access(vec![Record::RevealStep(step)]));
        Ok(format!("pgveil: reveal {id} {done}").into())
    }

    /// The client is shown masks that it may ask to have lifted: it is told so once.
    pub(in crate::session) fn may_be_told(&mut self, plan: &ResultPlan, caller: &Caller, snapshot: &Snapshot) {
        if self.told_to_ask || self.saying.is_some() || caller.grant.is_some() || !snapshot.policy.offers() {
            return;
        }
        let masked = |offer: &Offer| {
            plan.observations
                .iter()
                .any(|seen| matches!(seen, Observation::ColumnMasked(tag) if offer.tags.contains(tag)))
        };
        if snapshot.policy.offer(&caller.roles).is_some_and(|offer| offer.notice && masked(&offer)) {
            self.told_to_ask = true;
            self.saying = Some("pgveil: values are masked; a reveal is possible: SET pgveil.reveal = 'reason'".into());
        }
    }

    pub(super) fn who(&self, caller: &Caller) -> Who {
        let actor = caller.principal.actor.as_ref().map(|actor| Arc::clone(&actor.name));
        Who { user: caller.principal.user.clone(), actor }
    }
}

fn told_granted(id: &str, offer: &Offer) -> Arc<str> {
    let rows = offer.rows.map_or_else(String::new, |rows| format!(", {rows} rows"));
    format!("pgveil: reveal {id} of {} for {} s{rows}", offer.tags, offer.lasts.as_secs()).into()
}

fn hint_of(error: DecideError) -> &'static str {
    match error {
        DecideError::Unknown => "SHOW pgveil.reveal_requests lists those that you may answer.",
        DecideError::Own => "Ask a colleague.",
        DecideError::NotAllowed => "The policy says under `approval` who may.",
        DecideError::Unwritable => "Tell the operator of pgveil.",
    }
}
