//! For whom a session speaks, and what is revealed to it on request.
//!
//! pgveil's own settings behave as PostgreSQL's do (manual, section 20.1.3 and SET): what is set holds for the session, with
//! `LOCAL` for the transaction, and is undone when the transaction or savepoint that it was set in is rolled back. A reveal
//! that has ended does not come back by a rollback. What is not certain ends: nobody is spoken for, nothing is revealed.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::access_log::{RevealEnd, RevealTerms};
use crate::catalog::Name;
use crate::plan::{Grant, SubjectKey};
use crate::policy::Actor;

/// More savepoints of one transaction are not told from each other.
const SAVEPOINTS_MAX: usize = 1_000;

/// What a statement does to what a session stands for. Compared by identity: each execution has its own.
#[derive(Clone)]
pub(super) struct Changes(pub Arc<[Change]>);

impl PartialEq for Changes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Changes {}

impl std::fmt::Debug for Changes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} changes", self.0.len())
    }
}

/// One change.
pub(super) enum Change {
    /// An end user is asserted.
    Actor { actor: Arc<Actor>, local: bool },
    /// The session speaks for whom it did at its beginning.
    NoActor { local: bool },
    /// A reveal is granted.
    Granted { grant: Arc<Grant>, local: bool },
    /// A reveal waits for a second person.
    Waits { waiting: Arc<Waits>, local: bool },
    /// Nothing is revealed any more.
    NoReveal,
    /// For which subject the next reveal is.
    Subject(Option<SubjectKey>),
    /// The code that goes with the next one.
    Code(Option<Arc<Zeroizing<String>>>),
    /// Whether the next one is urgent.
    Urgent(bool),
    /// All of that is as at the session's beginning.
    All,
    /// Nothing, but something is told.
    Tells(Arc<str>),
}

/// A reveal that waits for a second person.
pub(super) struct Waits {
    pub id: Arc<str>,
    pub terms: RevealTerms,
    /// Makes the grant of it, when it is approved.
    pub grant: Box<dyn Fn(Arc<str>, std::time::Duration) -> Grant + Send + Sync>,
}

/// What a session stands for.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// Changes with everything that decisions depend on.
    pub generation: u64,
    /// Asserted when the session was opened: what resetting comes back to.
    opened_for: Option<Arc<Actor>>,
    actor: Slot,
    pub reveal: Reveal,
    pub next: Asking,
    /// What was there before the transaction under way changed anything.
    before: Option<Before>,
    savepoints: Vec<(Option<Name>, Before)>,
}

#[derive(Clone, Default)]
struct Slot {
    session: Option<Arc<Actor>>,
    local: Option<Option<Arc<Actor>>>,
}

#[derive(Clone)]
struct Before {
    actor: Slot,
    /// The reveal that was there, by its number.
    reveal: Option<Arc<str>>,
    next: Asking,
}

/// What is revealed on request.
#[derive(Clone, Default)]
pub(super) enum Reveal {
    /// Nothing.
    #[default]
    None,
    /// Nothing yet; whether for the transaction only.
    Waits(Arc<Waits>, bool),
    /// This; whether for the transaction only.
    Open(Arc<Grant>, bool),
}

/// What the next request for a reveal says beside its reason.
#[derive(Clone, Default)]
pub(super) struct Asking {
    pub subject: Option<SubjectKey>,
    pub code: Option<Arc<Zeroizing<String>>>,
    pub urgent: bool,
}

/// What has come of a change, for the log.
pub(super) enum Came {
    Asserted(Arc<Actor>),
    Silent,
    Granted(Arc<Grant>),
    Waits(Arc<Waits>),
    Ended(Reveal, RevealEnd),
}

impl Reveal {
    /// Its number.
    pub(super) fn id(&self) -> Option<&Arc<str>> {
        match self {
            Self::None => None,
            Self::Waits(waits, _) => Some(&waits.id),
            Self::Open(grant, _) => Some(&grant.grounds.grant),
        }
    }

    fn is_local(&self) -> bool {
        match self {
            Self::None => false,
            Self::Waits(_, local) | Self::Open(_, local) => *local,
        }
    }
}

impl Standing {
    /// A session for which an end user was asserted when it was opened.
    pub(super) fn opened_for(actor: Option<Arc<Actor>>) -> Self {
        Self { opened_for: actor.clone(), actor: Slot { session: actor, local: None }, ..Self::default() }
    }

    /// For whom it speaks.
    pub(super) fn actor(&self) -> Option<&Arc<Actor>> {
        self.actor.local.as_ref().unwrap_or(&self.actor.session).as_ref()
    }

    /// The grant in force.
    pub(super) fn grant(&self) -> Option<&Arc<Grant>> {
        match &self.reveal {
            Reveal::Open(grant, _) => Some(grant),
            Reveal::None | Reveal::Waits(..) => None,
        }
    }

    /// Whether something of it ends with the transaction under way, or with its failure.
    pub(super) fn is_open(&self) -> bool {
        self.before.is_some() || self.actor.local.is_some() || self.reveal.is_local()
    }

    /// Whether time changes it.
    pub(super) fn is_timed(&self) -> bool {
        !matches!(self.reveal, Reveal::None) || self.actor().is_some_and(|actor| actor.until.is_some())
    }

    /// Take a change in.
    pub(super) fn change(&mut self, change: &Change) -> Vec<Came> {
        let mut came = Vec::new();
        self.remember();
        let before = self.actor().cloned();
        match change {
            Change::Actor { actor, local: true } => self.actor.local = Some(Some(Arc::clone(actor))),
            Change::Actor { actor, local: false } => {
                self.actor = Slot { session: Some(Arc::clone(actor)), local: None };
            }
            Change::NoActor { local: true } => self.actor.local = Some(self.opened_for.clone()),
            Change::NoActor { local: false } => self.actor = Slot { session: self.opened_for.clone(), local: None },
            Change::Granted { grant, local } => {
                self.end(RevealEnd::Replaced, &mut came);
                self.reveal = Reveal::Open(Arc::clone(grant), *local);
                self.next = Asking::default();
                came.push(Came::Granted(Arc::clone(grant)));
            }
            Change::Waits { waiting, local } => {
                self.end(RevealEnd::Replaced, &mut came);
                self.reveal = Reveal::Waits(Arc::clone(waiting), *local);
                self.next = Asking::default();
                came.push(Came::Waits(Arc::clone(waiting)));
            }
            Change::NoReveal => self.end(RevealEnd::Reset, &mut came),
            Change::Subject(subject) => self.next.subject.clone_from(subject),
            Change::Code(code) => self.next.code.clone_from(code),
            Change::Urgent(urgent) => self.next.urgent = *urgent,
            Change::All => {
                self.end(RevealEnd::Reset, &mut came);
                self.actor = Slot { session: self.opened_for.clone(), local: None };
                self.next = Asking::default();
            }
            Change::Tells(_) => {}
        }
        self.spoken_since(before.as_ref(), &mut came);
        self.generation = self.generation.saturating_add(1);
        came
    }

    /// A reveal that has waited is granted.
    pub(super) fn approved(&mut self, grant: Arc<Grant>) -> Vec<Came> {
        let Reveal::Waits(_, local) = self.reveal else { return Vec::new() };
        self.reveal = Reveal::Open(Arc::clone(&grant), local);
        self.generation = self.generation.saturating_add(1);
        vec![Came::Granted(grant)]
    }

    /// What is revealed ends.
    pub(super) fn ends(&mut self, why: RevealEnd) -> Vec<Came> {
        let mut came = Vec::new();
        self.end(why, &mut came);
        came
    }

    /// Nobody is spoken for any more: the token's time is over.
    pub(super) fn falls_silent(&mut self) -> Vec<Came> {
        let (mut came, before) = (Vec::new(), self.actor().cloned());
        match &mut self.actor.local {
            Some(local) => *local = None,
            None => self.actor.session = None,
        }
        self.spoken_since(before.as_ref(), &mut came);
        self.generation = self.generation.saturating_add(1);
        came
    }

    fn end(&mut self, why: RevealEnd, came: &mut Vec<Came>) {
        let reveal = std::mem::take(&mut self.reveal);
        if reveal.id().is_some() {
            self.generation = self.generation.saturating_add(1);
            came.push(Came::Ended(reveal, why));
        }
    }

    /// Where somebody else is spoken for now, what was revealed to the one before has ended.
    fn spoken_since(&mut self, before: Option<&Arc<Actor>>, came: &mut Vec<Came>) {
        let now = self.actor().cloned();
        if before.map(|actor| &actor.name) == now.as_ref().map(|actor| &actor.name) {
            return;
        }
        let theirs = match &self.reveal {
            Reveal::Open(grant, _) => {
                grant.actor.as_ref().map(|actor| &actor.name) == now.as_ref().map(|actor| &actor.name)
            }
            // What waits was asked for by whoever was spoken for then.
            Reveal::Waits(..) | Reveal::None => false,
        };
        if !theirs {
            self.end(RevealEnd::ActorChanged, came);
        }
        came.push(now.map_or(Came::Silent, Came::Asserted));
    }

    fn remember(&mut self) {
        if self.before.is_none() {
            self.before = Some(self.as_it_is());
        }
    }

    fn as_it_is(&self) -> Before {
        Before { actor: self.actor.clone(), reveal: self.reveal.id().cloned(), next: self.next.clone() }
    }

    fn back_to(&mut self, before: Before, came: &mut Vec<Came>) {
        let spoken = self.actor().cloned();
        self.actor = before.actor;
        self.next = before.next;
        if self.reveal.id() != before.reveal.as_ref() {
            self.end(RevealEnd::Transaction, came);
        }
        self.spoken_since(spoken.as_ref(), came);
        self.generation = self.generation.saturating_add(1);
    }

    /// Nobody knows what holds: nothing does.
    fn unsure(&mut self, came: &mut Vec<Came>) {
        let spoken = self.actor().cloned();
        self.actor = Slot::default();
        self.next = Asking::default();
        self.end(RevealEnd::Transaction, came);
        self.spoken_since(spoken.as_ref(), came);
        self.generation = self.generation.saturating_add(1);
    }

    /// The transaction under way has ended.
    pub(super) fn transaction_ended(&mut self, committed: bool) -> Vec<Came> {
        let mut came = Vec::new();
        self.savepoints.clear();
        let before = self.before.take();
        if !committed && let Some(before) = before {
            self.back_to(before, &mut came);
        }
        if self.reveal.is_local() {
            self.end(RevealEnd::Transaction, &mut came);
        }
        if self.actor.local.is_some() {
            let spoken = self.actor().cloned();
            self.actor.local = None;
            self.spoken_since(spoken.as_ref(), &mut came);
            self.generation = self.generation.saturating_add(1);
        }
        came
    }

    /// There is a savepoint; its name, where that was seen.
    pub(super) fn saved(&mut self, name: Option<&Name>) {
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            self.savepoints.clear();
            self.savepoints.push((None, self.as_it_is()));
            return;
        }
        self.savepoints.push((name.cloned(), self.as_it_is()));
    }

    /// The savepoint of that name is no more.
    pub(super) fn released(&mut self, name: Option<&Name>) {
        match self.savepoint(name) {
            Some(at) => self.savepoints.truncate(at),
            None => self.savepoints = vec![(None, self.as_it_is())],
        }
    }

    /// What was set since the savepoint of that name is undone.
    pub(super) fn rolled_back_to(&mut self, name: Option<&Name>) -> Vec<Came> {
        let mut came = Vec::new();
        let Some((at, before)) = self.savepoint(name).and_then(|at| Some((at, self.savepoints.get(at)?.1.clone())))
        else {
            if self.is_open() {
                self.unsure(&mut came);
            }
            return came;
        };
        self.savepoints.truncate(at.saturating_add(1));
        self.back_to(before, &mut came);
        came
    }

    /// Where the innermost savepoint of that name is; `None`: one after it may have the same name.
    fn savepoint(&self, name: Option<&Name>) -> Option<usize> {
        let name = name?;
        let at = self.savepoints.iter().rposition(|(known, _)| known.as_ref().is_none_or(|known| known == name))?;
        self.savepoints.get(at)?.0.as_ref().map(|_| at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access_log::Grounds;
    use crate::policy::{Offer, Tags};

    fn actor(name: &str) -> Arc<Actor> {
        Arc::new(Actor { name: name.into(), groups: Vec::new(), signed: false, until: None })
    }

    fn grant(id: &str, actor: Option<&Arc<Actor>>) -> Arc<Grant> {
        let offer = Offer {
            tags: Tags::All,
            lasts: Duration::from_secs(60),
            rows: None,
            reasons: Vec::new(),
            subject_required: false,
            totp: false,
            approval: Vec::new(),
            urgent: false,
            notice: false,
            role: "r".into(),
            rule: "p:1".into(),
        };
        let grounds = Grounds { grant: id.into(), reason: "x".into() };
        Arc::new(Grant::of(&offer, grounds, actor.cloned(), Duration::from_secs(60)))
    }

    /// Plays `jane` (SET), `local bob`, `reset`, `all`, `reveal 1`, `local reveal 1`, `end`, `save a`, `back a`, `release a`,
    /// `commit`, `rollback`; who is spoken for and what is revealed after each.
    fn play(steps: &[&str]) -> Vec<String> {
        let mut standing = Standing::default();
        let mut seen = Vec::new();
        for step in steps {
            let words: Vec<&str> = step.split(' ').collect();
            let name = |text: &str| (text != "?").then(|| Name::exact(text));
            let asked = standing.actor().cloned();
            let came = match words.as_slice() {
                ["commit"] => standing.transaction_ended(true),
                ["rollback"] => standing.transaction_ended(false),
                ["save", at] => {
                    standing.saved(name(at).as_ref());
                    Vec::new()
                }
                ["release", at] => {
                    standing.released(name(at).as_ref());
                    Vec::new()
                }
                ["back", at] => standing.rolled_back_to(name(at).as_ref()),
                ["reset"] => standing.change(&Change::NoActor { local: false }),
                ["all"] => standing.change(&Change::All),
                ["end"] => standing.change(&Change::NoReveal),
                ["reveal", id] => standing.change(&Change::Granted { grant: grant(id, asked.as_ref()), local: false }),
                ["local", "reveal", id] => {
                    standing.change(&Change::Granted { grant: grant(id, asked.as_ref()), local: true })
                }
                ["local", who] => standing.change(&Change::Actor { actor: actor(who), local: true }),
                [who] => standing.change(&Change::Actor { actor: actor(who), local: false }),
                other => panic!("{other:?}"),
            };
            let ended: Vec<_> = came
                .iter()
                .filter_map(|came| match came {
                    Came::Ended(reveal, why) => Some(format!(" -{} {}", reveal.id().unwrap(), why.word())),
                    _ => None,
                })
                .collect();
            let who = standing.actor().map_or("nobody".to_owned(), |actor| actor.name.to_string());
            let what = standing.reveal.id().map(|id| format!(" +{id}")).unwrap_or_default();
            seen.push(format!("{who}{what}{}", ended.concat()));
        }
        seen
    }

    #[test]
    fn settings_follow_transactions_and_savepoints_as_those_of_the_server_do() {
        for (steps, last) in [
            (&["jane", "commit", "bob", "rollback"][..], "jane"),
            (&["jane", "rollback"], "nobody"),
            (&["jane", "commit", "local bob", "commit"], "jane"),
            (&["jane", "commit", "local bob", "rollback"], "jane"),
            (&["jane", "local bob", "commit"], "jane"),
            (&["local bob", "jane", "commit"], "jane"),
            (&["jane", "commit", "reset", "rollback"], "jane"),
            (&["jane", "commit", "all", "commit"], "nobody"),
            (&["jane", "commit", "save a", "bob", "back a"], "jane"),
            (&["jane", "save a", "bob", "release a", "commit"], "bob"),
            (&["jane", "save a", "bob", "release a", "rollback"], "nobody"),
            (&["save a", "jane", "save a", "bob", "back a"], "jane"),
            (&["save a", "jane", "save a", "bob", "back a", "release a", "back a"], "nobody"),
            // Which savepoint it was is not known: nobody is spoken for.
            (&["jane", "save a", "bob", "back ?"], "nobody"),
            (&["jane", "save ?", "bob", "back a"], "nobody"),
            (&["jane", "commit", "back a"], "jane"),
        ] {
            assert_eq!(play(steps).last().unwrap(), last, "{steps:?}");
        }
    }

    #[test]
    fn a_reveal_ends_once_and_does_not_come_back() {
        for (steps, last) in [
            (&["reveal 1", "commit"][..], "nobody +1"),
            (&["reveal 1", "rollback"], "nobody -1 transaction"),
            (&["reveal 1", "commit", "end", "rollback"], "nobody"),
            (&["reveal 1", "commit", "reveal 2"], "nobody +2 -1 replaced"),
            (&["reveal 1", "commit", "reveal 2", "rollback"], "nobody -2 transaction"),
            (&["local reveal 1", "commit"], "nobody -1 transaction"),
            (&["jane", "reveal 1", "bob"], "bob -1 actor_changed"),
            (&["jane", "reveal 1", "reset"], "nobody -1 actor_changed"),
            (&["jane", "reveal 1", "jane"], "jane +1"),
            (&["jane", "reveal 1", "all"], "nobody -1 reset"),
            (&["jane", "commit", "reveal 1", "save a", "reveal 2", "back a"], "jane -2 transaction"),
            (&["local jane", "reveal 1", "commit"], "nobody -1 actor_changed"),
        ] {
            assert_eq!(play(steps).last().unwrap(), last, "{steps:?}");
        }
    }
}
