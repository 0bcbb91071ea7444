//! pgveil's own settings: `SET pgveil.actor`, `SET pgveil.reveal` and their like, from the statement to what it does.
//!
//! They are recognised when a statement is judged, and taken for true when the server has done what it says: what fails
//! there changes nothing here. The server keeps them as it keeps every setting with a dot in its name, so that
//! `current_setting` works; it is told the end user's name and a grant's number, never a token, a code or a reason. What it
//! holds decides nothing: code that runs on the server may set it to anything.
//!
//! Messages behind one that changes what the session stands for wait until that is answered.

mod own_use;
mod reveals;
mod shown;
mod taken;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::conversation::Conversation;
use super::io::{Context, Observation, Output};
use super::outbox::Outbox;
use super::standing::{Came, Change, Changes, Standing};
use super::statements::Effect;
use super::verdicts::Judged;
use crate::access_log::{ActorChange, ActorStep, Record};
use crate::plan::{Refusal, Snapshot, SubjectKey};
use crate::policy::{Actor, ActorError};
use crate::sql::statement::{Statement, StatementKind};
use crate::sql::{CommentTag, OwnSetting, OwnSettings, SettingValue, comment_tag, own_settings};
use crate::wire::frontend::BindValues;
pub(super) use own_use::OwnUse;
use own_use::{bind_with, edited};

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
                    edits.extend(used.replaced(&instead));
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
        match edits.is_empty() {
            true => None,
            false => self.send_edited(judged, text, edits, out),
        }
    }

    /// The server gets the message with these edits.
    fn send_edited(
        &mut self,
        judged: &mut Judged,
        text: &[u8],
        edits: Vec<(Range<usize>, String)>,
        out: &mut Outbox,
    ) -> Option<Arc<Refusal>> {
        let readable = self.as_read(text).and_then(|text| String::from_utf8(text.to_vec()).ok());
        judged.sent = readable.and_then(|readable| self.as_written(&edited(&readable, edits)));
        judged.sent.is_none().then(|| Self::refused_setting(Refusal::unclear_setting(), out))
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
            Ok((_, instead)) => used.replaced(&instead),
            Err(refusal) => return Some(Self::refused_setting(refusal, out)),
        };
        if edits.is_empty() {
            return None;
        }
        if judged.changed.is_some() || judged.sent.is_some() || judged.verdicts.len() > 1 {
            return Some(Self::refused_setting(Refusal::setting_alone(), out));
        }
        self.send_edited(judged, text, edits, out)
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
