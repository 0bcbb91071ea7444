//! pgveil's own settings: `SET pgveil.actor`, `SET pgveil.reveal` and their like, from the statement to what it does.
//!
//! They are recognised when a statement is judged, and taken for true when the server has done what it says: what fails
//! there changes nothing here. The server keeps them as it keeps every setting with a dot in its name, so that
//! `current_setting` works; it is told the end user's name and a grant's number, never a token, a code or a reason. What it
//! holds decides nothing: code that runs on the server may set it to anything.
//!
//! Messages behind one that changes what the session stands for wait until that is answered.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::conversation::Conversation;
use super::io::{Answer, Context, DecideError, Observation, Output, Request, Waited, Who};
use super::outbox::Outbox;
use super::standing::{Came, Change, Changes, Reveal, Standing, Waits};
use super::statements::Effect;
use super::verdicts::Judged;
use crate::access_log::{
    ActorChange, ActorStep, Grounds, Record, RevealChange, RevealEnd, RevealRefused, RevealStep, RevealTerms, Visit,
};
use crate::plan::{Caller, Grant, Refusal, ResultPlan, Snapshot, SubjectKey};
use crate::policy::{Actor, ActorError, Offer, REASON_CHARS_MAX};
use crate::sql::statement::{Statement, StatementKind};
use crate::sql::{CommentTag, OwnSetting, OwnSettings, PREFIX, SettingValue, comment_tag, own_settings};
use crate::wire::compose;
use crate::wire::frontend::BindValues;

/// What can be set.
const SETTINGS: [&str; 8] = [
    "actor",
    "reveal",
    "reveal_subject",
    "reveal_totp",
    "reveal_urgent",
    "reveal_approve",
    "reveal_deny",
    "reveal_review",
];
/// What can be shown besides.
const SHOWN: [&str; 3] = ["reveal_status", "reveal_requests", "reveal_reviews"];

/// What a statement says of these settings, and where it stands in its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnUse {
    pub span: Range<usize>,
    pub uses: Vec<OwnSetting>,
}

impl OwnUse {
    /// The setting that it shows.
    pub(super) fn shows(&self) -> Option<&str> {
        match self.uses.as_slice() {
            [OwnSetting::Show { name, .. }] => Some(name),
            _ => None,
        }
    }

    fn changes_nothing(&self) -> bool {
        self.shows().is_some()
    }

    /// Whether the server may be told something else than the client says.
    fn is_rewritten(&self) -> bool {
        self.uses.iter().any(|one| matches!(one, OwnSetting::Set { .. } | OwnSetting::Show { .. }))
    }
}

/// What the values of a statement's settings are, and what the server is told in their place.
type Resolved = (Vec<Change>, Vec<Option<String>>);

impl Conversation {
    /// What a statement says of pgveil's settings. `text`: its own.
    pub(super) fn own_use(
        &self,
        statement: &Statement,
        text: &str,
        snapshot: &Snapshot,
    ) -> Result<Option<OwnUse>, Refusal> {
        let settings = matches!(
            statement.kind,
            StatementKind::Set | StatementKind::Reset | StatementKind::Show | StatementKind::Discard
        );
        if !settings && !["set_config", "current_setting"].into_iter().any(|word| statement.words.contains(word)) {
            return Ok(None);
        }
        let uses = match own_settings(text) {
            OwnSettings::None => return Ok(None),
            OwnSettings::Uses(uses) => uses,
            OwnSettings::Unclear => return Err(Refusal::unclear_setting()),
            OwnSettings::Computed if snapshot.policy.account(self.user()).is_some() => {
                return Err(Refusal::unclear_setting());
            }
            OwnSettings::Computed => return Ok(None),
        };
        for one in &uses {
            let (name, known) = match one {
                OwnSetting::Set { name, .. } | OwnSetting::Reset { name: Some(name), .. } => {
                    (name, SETTINGS.contains(&name.as_str()))
                }
                OwnSetting::Show { name, .. } => {
                    (name, SETTINGS.contains(&name.as_str()) || SHOWN.contains(&name.as_str()))
                }
                OwnSetting::Reset { name: None, .. } => continue,
            };
            if !known {
                return Err(Refusal::unknown_setting(name, &SETTINGS));
            }
        }
        Ok(Some(OwnUse { span: statement.span.clone(), uses }))
    }

    /// The end user that the comment at a text's end asserts.
    pub(super) fn spoken_in(&self, text: &str, context: &Context<'_>) -> Result<Option<Arc<Actor>>, ActorError> {
        let snapshot = context.snapshot;
        let Some(account) = snapshot.policy.account(self.user()).filter(|account| account.by_comment) else {
            return Ok(None);
        };
        match comment_tag(text, "actor") {
            CommentTag::None => Ok(None),
            CommentTag::Ambiguous => Err(ActorError::Ambiguous),
            CommentTag::Value(value) => {
                let unix = context.authority.now().unix;
                account.assert(&value, &snapshot.actor_keys, unix).map(|actor| Some(Arc::new(actor)))
            }
        }
    }

    /// Somebody was not believed.
    pub(super) fn actor_refused(&mut self, error: ActorError, out: &mut Outbox) -> Refusal {
        let change = ActorChange::Refused(error.to_string().into());
        let visit = self.visit();
        out.push(Output::Note(Record::ActorStep(ActorStep { visit, change })));
        Refusal::actor(&error)
    }

    /// Before a later statement of a message is judged: what the session will stand for when it runs.
    pub(super) fn previews(&mut self, effect: &Effect, kind: StatementKind, context: &Context<'_>) {
        let changes = match effect {
            Effect::Configures(used) => !used.changes_nothing(),
            Effect::EndsTransaction | Effect::Saves(_) | Effect::Releases(_) | Effect::RollsBackTo(_) => {
                self.saved_standing.is_some() || self.standing.is_open()
            }
            _ => false,
        };
        if !changes {
            return;
        }
        if self.saved_standing.is_none() {
            self.saved_standing = Some(self.standing.clone());
        }
        match effect {
            Effect::Configures(used) => {
                let mut unsent = Outbox::default();
                // What is wrong with it is said when it is done.
                let _tried = self.resolved(&used.uses, &|_| None, true, context, &mut unsent);
            }
            Effect::EndsTransaction => {
                let committed = kind == StatementKind::Commit && !self.aborted;
                drop(self.standing.transaction_ended(committed));
            }
            Effect::Saves(name) => self.standing.saved(Some(name)),
            Effect::Releases(name) => self.standing.released(Some(name)),
            Effect::RollsBackTo(name) => drop(self.standing.rolled_back_to(name.as_ref())),
            _ => {}
        }
    }

    /// What was only looked ahead at is forgotten.
    pub(super) fn previewed(&mut self) {
        if let Some(real) = self.saved_standing.take() {
            self.restore(real);
        }
    }

    /// What the session stands for is what it was; what was worked out for the other is not taken for it.
    fn restore(&mut self, real: Standing) {
        let generation = self.standing.generation.max(real.generation);
        self.standing = real;
        self.standing.generation = generation.saturating_add(1);
    }

    /// The session has begun, for an end user that was asserted with it.
    pub(super) fn begins(&mut self, out: &mut Outbox) {
        if let Some(actor) = self.standing.actor().cloned() {
            self.log_standing(vec![Came::Asserted(actor)], out);
        }
    }

    /// The settings of a message that is about to be sent: what they become, and the text that goes to the server.
    pub(super) fn configure(
        &mut self,
        judged: &mut Judged,
        text: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Arc<Refusal>> {
        let own: Vec<(usize, Arc<OwnUse>)> = judged
            .verdicts
            .iter()
            .enumerate()
            .filter_map(|(at, (_, effect))| match effect {
                Effect::Configures(used) => Some((at, Arc::clone(used))),
                _ => None,
            })
            .collect();
        if own.is_empty() {
            return None;
        }
        let readable = self.as_read(text).and_then(|text| String::from_utf8(text.to_vec()).ok());
        // `RESET ALL` and its like are sent as they are, whatever stands beside them.
        if own.iter().any(|(_, used)| used.is_rewritten()) {
            if judged.changed.is_some() || judged.sent.is_some() || judged.copies() {
                return Some(Self::refused_setting(Refusal::setting_alone(), out));
            }
            if readable.is_none() {
                return Some(Self::refused_setting(Refusal::unclear_setting(), out));
            }
        }
        let real = self.standing.clone();
        let (mut edits, mut failed) = (Vec::new(), None);
        for (at, used) in own {
            match self.resolved(&used.uses, &|_| None, false, context, out) {
                Ok((changes, instead)) => {
                    edits.extend(replaced(&used, &instead));
                    self.standing_pending |= !used.changes_nothing();
                    if let Some((_, effect)) = judged.verdicts.get_mut(at) {
                        *effect = Effect::Configured(Changes(changes.into()));
                    }
                }
                Err(refusal) => {
                    failed = Some(refusal);
                    break;
                }
            }
        }
        self.restore(real);
        if let Some(refusal) = failed {
            return Some(Self::refused_setting(refusal, out));
        }
        if edits.is_empty() {
            return None;
        }
        match readable.and_then(|readable| self.as_written(&edited(&readable, edits))) {
            Some(sent) => judged.sent = Some(sent),
            None => return Some(Self::refused_setting(Refusal::unclear_setting(), out)),
        }
        None
    }

    fn refused_setting(refusal: Refusal, out: &mut Outbox) -> Arc<Refusal> {
        Self::observe(out, Observation::Refusal(refusal.reason));
        Arc::new(refusal)
    }

    /// The text of a statement that is prepared, without what the server need not know.
    pub(super) fn configure_prepared(
        &mut self,
        judged: &mut Judged,
        text: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Arc<Refusal>> {
        let Some((_, Effect::Configures(used))) = judged.verdicts.first() else { return None };
        let used = Arc::clone(used);
        let real = self.standing.clone();
        let tried = self.resolved(&used.uses, &|_| None, true, context, out);
        self.restore(real);
        let edits = match tried {
            Ok((_, instead)) => replaced(&used, &instead),
            Err(refusal) => return Some(Self::refused_setting(refusal, out)),
        };
        if edits.is_empty() {
            return None;
        }
        if judged.changed.is_some() || judged.sent.is_some() || judged.verdicts.len() > 1 {
            return Some(Self::refused_setting(Refusal::setting_alone(), out));
        }
        let readable = self.as_read(text).and_then(|text| String::from_utf8(text.to_vec()).ok());
        match readable.and_then(|readable| self.as_written(&edited(&readable, edits))) {
            Some(sent) => {
                judged.sent = Some(sent);
                None
            }
            None => Some(Self::refused_setting(Refusal::unclear_setting(), out)),
        }
    }

    /// What running a prepared statement with these parameters does, and the Bind that goes to the server.
    pub(super) fn configure_bind(
        &mut self,
        used: &OwnUse,
        portal: &[u8],
        statement: &[u8],
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<(Changes, Option<Bytes>), Arc<Refusal>> {
        let Ok(values) = BindValues::decode(body) else {
            return Ok((Changes(Arc::new([])), None));
        };
        let given = |number: u32| {
            let (value, _) = values.value(usize::try_from(number).ok()?)?;
            // Text is the same in both formats.
            Some(value.map(|value| String::from_utf8_lossy(value).into_owned()))
        };
        let real = self.standing.clone();
        let resolved = self.resolved(&used.uses, &given, false, context, out);
        self.restore(real);
        let (changes, instead) = resolved.map_err(|refusal| Self::refused_setting(refusal, out))?;
        let parameters: Vec<(usize, &str)> = used
            .uses
            .iter()
            .zip(&instead)
            .filter_map(|(one, instead)| match one {
                OwnSetting::Set { value: SettingValue::Parameter(number), .. } => {
                    Some((usize::try_from(*number).ok()?, instead.as_deref()?))
                }
                _ => None,
            })
            .collect();
        let sent = (!parameters.is_empty()).then(|| bind_with(portal, statement, &values, &parameters));
        Ok((Changes(changes.into()), sent))
    }

    /// What these settings become, one after the other; the session stands for it afterwards. `tries`: nobody is asked yet.
    fn resolved(
        &mut self,
        uses: &[OwnSetting],
        given: &dyn Fn(u32) -> Option<Option<String>>,
        tries: bool,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<Resolved, Refusal> {
        let (mut changes, mut instead) = (Vec::new(), Vec::new());
        for one in uses {
            let (mut made, told) = match one {
                OwnSetting::Show { .. } => (Vec::new(), None),
                OwnSetting::Reset { name: None, .. } => (vec![Change::All], None),
                OwnSetting::Reset { name: Some(name), local } => (reset(name, *local), None),
                OwnSetting::Set { name, value, local } => {
                    let text = match value {
                        SettingValue::Constant(text, _) => Some(text.clone()),
                        SettingValue::Parameter(number) => match given(*number) {
                            Some(text) => text,
                            None if tries => {
                                instead.push(None);
                                continue;
                            }
                            None => None,
                        },
                    };
                    match text.filter(|text| !text.is_empty()) {
                        None => (reset(name, *local), None),
                        Some(text) => self.set(name, Zeroizing::new(text), *local, tries, context, out)?,
                    }
                }
            };
            for change in &made {
                drop(self.standing.change(change));
            }
            changes.append(&mut made);
            instead.push(told);
        }
        Ok((changes, instead))
    }

    fn set(
        &mut self,
        name: &str,
        text: Zeroizing<String>,
        local: bool,
        tries: bool,
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Result<(Vec<Change>, Option<String>), Refusal> {
        let snapshot = context.snapshot;
        match name {
            "actor" => {
                let asserted = match snapshot.policy.account(self.user()) {
                    None => Err(ActorError::NotTrusted),
                    Some(account) if !account.by_setting => Err(ActorError::Way),
                    Some(account) => account.assert(&text, &snapshot.actor_keys, context.authority.now().unix),
                };
                match asserted {
                    Ok(actor) => {
                        let told = actor.name.to_string();
                        Ok((vec![Change::Actor { actor: Arc::new(actor), local }], Some(told)))
                    }
                    Err(error) => Err(self.actor_refused(error, out)),
                }
            }
            "reveal" => self.ask_reveal(&text, local, tries, context, out),
            "reveal_subject" => match SubjectKey::read(&text, &snapshot.policy) {
                Some(subject) => Ok((vec![Change::Subject(Some(subject))], None)),
                None => Err(Refusal::subject(snapshot.policy.subjects())),
            },
            "reveal_totp" => Ok((vec![Change::Code(Some(Arc::new(text)))], Some(String::new()))),
            "reveal_urgent" => match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Ok((vec![Change::Urgent(true)], None)),
                "off" | "false" | "no" | "0" => Ok((vec![Change::Urgent(false)], None)),
                _ => Err(Refusal::reveal("pgveil.reveal_urgent is on or off", "22023", "")),
            },
            _ if tries => Ok((Vec::new(), None)),
            _ => self.decide(name, &text, context, out).map(|told| (vec![Change::Tells(told)], None)),
        }
    }

    /// A reveal is asked for.
    fn ask_reveal(
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
    fn decide(&mut self, name: &str, id: &str, context: &Context<'_>, out: &mut Outbox) -> Result<Arc<str>, Refusal> {
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
    pub(super) fn may_be_told(&mut self, plan: &ResultPlan, caller: &Caller, snapshot: &Snapshot) {
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

    /// What has become true: the server has done what a statement says.
    pub(super) fn take_changes(&mut self, changes: &Changes, out: &mut Outbox) {
        for change in changes.0.iter() {
            if let Change::Tells(told) = change {
                self.saying = Some(Arc::clone(told));
            }
            let came = self.standing.change(change);
            self.log_standing(came, out);
        }
    }

    /// Write down what has come of what the session stands for.
    pub(super) fn log_standing(&mut self, came: Vec<Came>, out: &mut Outbox) {
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
    pub(super) fn look_at_standing(&mut self, context: &Context<'_>, out: &mut Outbox) {
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
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.standing.grant().map(|grant| grant.ends)
    }

    /// The value of one of these settings, as `SHOW` shows it.
    pub(super) fn shown_setting(&mut self, name: &str, context: &Context<'_>) -> String {
        let now = context.authority.now();
        let caller = self.caller(context.snapshot);
        let roles = || -> Vec<Arc<str>> { context.snapshot.policy.names_of(&caller.roles).cloned().collect() };
        match name {
            "actor" => self.standing.actor().map(|actor| actor.name.to_string()).unwrap_or_default(),
            "reveal" => match &self.standing.reveal {
                Reveal::None => String::new(),
                Reveal::Waits(waits, _) => waits.terms.reason.to_string(),
                Reveal::Open(grant, _) => grant.grounds.reason.to_string(),
            },
            "reveal_status" => match &self.standing.reveal {
                Reveal::None => "off".to_owned(),
                Reveal::Waits(waits, _) => format!("{} waits for approval", waits.id),
                Reveal::Open(grant, _) => {
                    let left = grant.ends.saturating_sub(now.elapsed).as_secs();
                    let rows = grant.left().map_or_else(|| "all".to_owned(), |rows| rows.to_string());
                    let subject = grant.subject.as_ref().map(|subject| format!(", only {}", subject.text()));
                    format!(
                        "{} on: {left} s and {rows} rows left, tags {}{}",
                        grant.grounds.grant,
                        grant.tags,
                        subject.unwrap_or_default()
                    )
                }
            },
            "reveal_subject" => self.standing.next.subject.as_ref().map(|it| it.text().to_string()).unwrap_or_default(),
            "reveal_urgent" => if self.standing.next.urgent { "on" } else { "off" }.to_owned(),
            "reveal_requests" => context.authority.requests(&self.who(&caller), &roles()),
            "reveal_reviews" => context.authority.reviews(&self.who(&caller), &roles()),
            _ => String::new(),
        }
    }

    fn who(&self, caller: &Caller) -> Who {
        let actor = caller.principal.actor.as_ref().map(|actor| Arc::clone(&actor.name));
        Who { user: caller.principal.user.clone(), actor }
    }

    fn visit_of(&mut self, actor: Option<&Arc<str>>) -> Arc<Visit> {
        let visit = self.visit();
        if visit.actor.as_ref() == actor {
            visit
        } else {
            Arc::new(Visit { actor: actor.cloned(), ..(*visit).clone() })
        }
    }

    /// Whether a message has to wait until it is known for whom the session speaks when it runs. `portal`: the one that it
    /// executes.
    pub(super) fn awaits_standing(&mut self, portal: Option<&[u8]>) -> bool {
        if !self.standing_pending && !self.standing.is_open() {
            return false;
        }
        if self.replies.is_empty() {
            self.standing_pending = false;
            return false;
        }
        if portal.is_some() && portal == self.configures.as_deref() {
            return false;
        }
        let in_block = self.status == crate::wire::backend::TransactionStatus::Active && !self.ends_transaction;
        self.standing_pending || (self.standing.is_open() && !in_block)
    }
}

impl Standing {
    /// Whether an execution may change it.
    pub(super) fn may_change_by(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Configured(_) => true,
            Effect::Configures(used) => !used.changes_nothing(),
            Effect::EndsTransaction | Effect::Saves(_) | Effect::Releases(_) | Effect::RollsBackTo(_) => self.is_open(),
            _ => false,
        }
    }
}

fn reset(name: &str, local: bool) -> Vec<Change> {
    match name {
        "actor" => vec![Change::NoActor { local }],
        "reveal" => vec![Change::NoReveal],
        "reveal_subject" => vec![Change::Subject(None)],
        "reveal_totp" => vec![Change::Code(None)],
        "reveal_urgent" => vec![Change::Urgent(false)],
        _ => Vec::new(),
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

/// What stands in the place of a statement's values, with their places in the message.
fn replaced<'a>(used: &'a OwnUse, instead: &'a [Option<String>]) -> Vec<(Range<usize>, String)> {
    let mut edits = Vec::new();
    if let [OwnSetting::Show { name, column }] = used.uses.as_slice() {
        let column = column.clone().unwrap_or_else(|| format!("{PREFIX}{name}"));
        let query = format!("SELECT NULL::pg_catalog.text AS \"{}\"", column.replace('"', "\"\""));
        return vec![(used.span.clone(), query)];
    }
    for (one, instead) in used.uses.iter().zip(instead) {
        if let (OwnSetting::Set { value: SettingValue::Constant(_, span), .. }, Some(instead)) = (one, instead) {
            let start = used.span.start.saturating_add(span.start);
            let end = used.span.start.saturating_add(span.end);
            edits.push((start..end, literal(instead)));
        }
    }
    edits
}

fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

fn edited(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut edited = text.to_owned();
    for (span, instead) in edits.into_iter().rev() {
        if edited.get(span.clone()).is_some() {
            edited.replace_range(span, &instead);
        }
    }
    edited
}

/// A Bind with other values for some parameters, which are texts.
fn bind_with(portal: &[u8], statement: &[u8], values: &BindValues<'_>, instead: &[(usize, &str)]) -> Bytes {
    let rest = values.rest;
    let formats =
        rest.len().min(2 + 2 * usize::from(rest.first_chunk::<2>().map_or(0, |count| u16::from_be_bytes(*count))));
    let mut out = [portal, b"\0", statement, b"\0", rest.get(..formats).unwrap_or_default()].concat();
    out.extend_from_slice(&u16::try_from(values.count()).unwrap_or(u16::MAX).to_be_bytes());
    for number in 1..=values.count() {
        let other = instead.iter().find(|(known, _)| *known == number).map(|(_, text)| text.as_bytes());
        match other.or_else(|| values.value(number).and_then(|(value, _)| value)) {
            Some(value) => {
                out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(value);
            }
            None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
        }
    }
    out.extend_from_slice(values.results);
    compose::raw(b'B', &out)
}
