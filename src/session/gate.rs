//! When what was read of the catalog is not enough any more.
//!
//! A message that may commit a change of the catalog counts as a [`Commit`] from before it is sent until it is answered.
//! Meanwhile statements of all other sessions wait, for a short time; once it is answered they wait for a reading of the
//! catalog that was begun afterwards. What was sent before and is answered after is held against the catalog again before
//! anything of it is shown (`session/verify.rs`).

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalog::Name;

/// Bits of the word that count messages on their way.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Changes whose words are remembered.
const REMEMBERED_MAX: usize = 1_024;

/// Every word of the definitions that a change consists of; `None`: it may be about anything.
pub type Words = Option<Arc<BTreeSet<Name>>>;

/// What changes are about.
#[derive(Debug, Default)]
struct Changes {
    /// Of messages under way.
    sent: Vec<(u64, Words)>,
    numbers: u64,
    /// Of what has changed, by the epoch that began with it.
    landed: VecDeque<(u64, Words)>,
}

/// Shared by all sessions and by who reads the catalog.
#[derive(Debug, Default)]
pub struct Gate {
    /// How often the catalog may have changed (the epoch), and how many [`Commit`]s are under way (the lower bits).
    state: AtomicU64,
    /// How many of these are not waited for any more.
    overdue: AtomicU64,
    /// Whether nothing counts as known without having asked the server.
    each: AtomicBool,
    /// Looked into only where the gate is shut.
    changes: Mutex<Changes>,
}

impl Gate {
    /// How often the catalog may have changed. A reading that begins now has seen all of these changes.
    pub fn epoch(&self) -> u64 {
        self.state.load(Ordering::SeqCst) >> COUNT_BITS
    }

    /// Whether nothing has changed since that epoch and nothing is about to, but by this message of the caller's own.
    pub fn is_open(&self, epoch: u64, own: Option<&Commit>) -> bool {
        let own = own.map_or(0, |_| 1);
        self.state.load(Ordering::SeqCst) == (epoch << COUNT_BITS).saturating_add(own)
    }

    /// Whether messages are under way that are waited for.
    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::SeqCst) & COUNT > self.overdue.load(Ordering::SeqCst)
    }

    /// The catalog has changed, whoever did it: readings that were begun before are not enough. The epoch from now on.
    pub fn changed(&self) -> u64 {
        let mut changes = self.changes();
        self.step(1 << COUNT_BITS, Some(None), &mut changes)
    }

    /// Whether no change since that epoch, and none that is under way, is about one of these names (`None`: about anything);
    /// those of the caller's own are left out: the one under way, and those that these epochs began with. What is changed past pgveil, or by code
    /// that runs, is not known: it counts as apart from `plain` tables, unless each statement looks.
    pub fn is_untouched(
        &self,
        since: u64,
        names: Option<&BTreeSet<Name>>,
        plain: bool,
        (own, landed): (Option<&Commit>, &VecDeque<u64>),
    ) -> bool {
        let changes = self.changes();
        let unknown = plain && !self.checks_each();
        let apart = |words: &Words| match (words, names) {
            (Some(words), Some(names)) => words.is_disjoint(names),
            (None, Some(_)) => unknown,
            (_, None) => false,
        };
        let mut known = changes.landed.iter().filter(|(epoch, _)| *epoch > since);
        let count = self.epoch().saturating_sub(since);
        let mut sent = changes.sent.iter().filter(|(number, _)| own.is_none_or(|own| own.number != *number));
        sent.all(|(_, words)| apart(words))
            && u64::try_from(known.clone().count()).is_ok_and(|remembered| remembered == count)
            && known.all(|(epoch, words)| landed.contains(epoch) || apart(words))
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of the word; what has changed with it is remembered in the same moment. The epoch behind it.
    fn step(&self, step: u64, changed: Option<Words>, changes: &mut Changes) -> u64 {
        let epoch = self.state.fetch_add(step, Ordering::SeqCst).wrapping_add(step) >> COUNT_BITS;
        if let Some(words) = changed {
            changes.landed.push_back((epoch, words));
            if changes.landed.len() > REMEMBERED_MAX {
                changes.landed.pop_front();
            }
        }
        epoch
    }

    /// From now on each message of a caller to whom something is masked waits for a look at the catalog.
    pub fn check_each(&self) {
        self.each.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub fn checks_each(&self) -> bool {
        self.each.load(Ordering::Relaxed)
    }

    /// A message that may commit a change is about to be sent.
    pub fn commit(self: &Arc<Self>, words: Words) -> Commit {
        let mut changes = self.changes();
        let number = changes.numbers;
        changes.numbers = number.wrapping_add(1);
        changes.sent.push((number, words));
        self.step(1, None, &mut changes);
        Commit { gate: Arc::clone(self), number, overdue: Arc::default(), landed: false }
    }
}

/// A message that may commit a change of the catalog, until it is answered. Dropped without an answer it has committed.
#[derive(Debug)]
pub struct Commit {
    gate: Arc<Gate>,
    number: u64,
    overdue: Arc<AtomicBool>,
    landed: bool,
}

impl Commit {
    /// For who looks at the clock.
    pub fn patience(&self) -> Patience {
        Patience { gate: Arc::clone(&self.gate), overdue: Arc::clone(&self.overdue) }
    }

    /// More is sent before it is answered: what all of it is about.
    pub fn is_about(&self, words: Words) {
        let mut changes = self.gate.changes();
        let sent = changes.sent.iter_mut().filter(|(number, _)| *number == self.number);
        sent.for_each(|(_, known)| known.clone_from(&words));
    }

    /// It is answered; whether it may have committed a change. The epoch that began with it, if so.
    pub fn land(mut self, changed: bool) -> Option<u64> {
        self.landing(changed)
    }

    fn landing(&mut self, changed: bool) -> Option<u64> {
        if std::mem::replace(&mut self.landed, true) {
            return None;
        }
        // One step: nobody may see it gone and the change not there.
        let step = if changed { 1 << COUNT_BITS } else { 0_u64 };
        let mut changes = self.gate.changes();
        let place = changes.sent.iter().position(|(number, _)| *number == self.number);
        let words = place.and_then(|place| changes.sent.swap_remove(place).1);
        let epoch = self.gate.step(step.wrapping_sub(1), changed.then_some(words), &mut changes);
        drop(changes);
        if self.overdue.swap(true, Ordering::SeqCst) {
            self.gate.overdue.fetch_sub(1, Ordering::SeqCst);
        }
        changed.then_some(epoch)
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let _epoch = self.landing(true);
    }
}

/// Tells when a [`Commit`] is not to be waited for any longer: it may wait for a lock that somebody holds who waits here.
#[derive(Debug)]
pub struct Patience {
    gate: Arc<Gate>,
    overdue: Arc<AtomicBool>,
}

impl Patience {
    /// Nobody waits for it from now on. What it may commit is looked for each time that it matters.
    pub fn is_over(self) {
        if !self.overdue.swap(true, Ordering::SeqCst) {
            self.gate.overdue.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shut_from_before_the_message_until_it_was_read_what_it_did() {
        let gate = Arc::new(Gate::default());
        let commit = gate.commit(None);
        assert!(!gate.is_open(0, None) && gate.is_open(0, Some(&commit)) && gate.is_waiting());
        commit.land(true);
        assert!(!gate.is_open(0, None) && gate.is_open(1, None) && !gate.is_waiting());
        gate.commit(None).land(false);
        assert!(gate.is_open(1, None));
        drop(gate.commit(None));
        gate.changed();
        assert!(gate.is_open(3, None));
    }

    #[test]
    fn what_takes_long_is_not_waited_for_and_keeps_it_shut() {
        let gate = Arc::new(Gate::default());
        let (slow, quick) = (gate.commit(None), gate.commit(None));
        let (patience, unneeded) = (slow.patience(), quick.patience());
        patience.is_over();
        assert!(gate.is_waiting());
        quick.land(false);
        unneeded.is_over();
        assert!(!gate.is_waiting() && !gate.is_open(0, None));
        let next = gate.commit(None);
        assert!(gate.is_waiting());
        slow.land(true);
        assert!(gate.is_waiting());
        next.land(false);
        assert!(!gate.is_waiting() && gate.is_open(1, None));
    }

    #[test]
    fn what_changes_are_about_is_remembered() {
        let gate = Arc::new(Gate::default());
        let words = |text: &str| Some(Arc::new(text.split(' ').map(Name::exact).collect::<BTreeSet<_>>()));
        let untouched = |since, name: &str| {
            gate.is_untouched(since, Some(&BTreeSet::from([Name::exact(name)])), true, (None, &VecDeque::new()))
        };
        assert!(untouched(0, "t"));
        let commit = gate.commit(words("create table t"));
        assert!(!untouched(0, "t") && untouched(0, "u"));
        commit.is_about(words("create table t u"));
        assert!(!untouched(0, "u") && untouched(0, "v"));
        commit.land(true);
        gate.commit(words("alter table v")).land(true);
        gate.commit(words("alter table w")).land(false);
        assert!(
            !untouched(0, "t") && untouched(1, "t") && !untouched(1, "v") && untouched(2, "v") && untouched(0, "w")
        );
        gate.changed();
        assert!(untouched(2, "t") && untouched(3, "t"));
        drop(gate.commit(None));
        assert!(untouched(3, "t"));
        gate.check_each();
        assert!(!untouched(2, "t") && !untouched(3, "t") && untouched(4, "t"));
        for _ in 0..=REMEMBERED_MAX {
            gate.commit(words("alter table x")).land(true);
        }
        assert!(!untouched(4, "t") && untouched(5, "t"));
        // One's own are left out, and then nothing is left.
        let epoch = gate.commit(None).land(true).unwrap();
        let of_others = |since, own: u64| !gate.is_untouched(since, None, false, (None, &VecDeque::from([own])));
        assert!(!of_others(epoch - 1, epoch) && of_others(epoch - 2, epoch) && of_others(epoch - 1, 0));
        let commit = gate.commit(None);
        assert!(of_others(epoch - 1, epoch));
        assert!(gate.is_untouched(epoch - 1, None, false, (Some(&commit), &VecDeque::from([epoch]))));
    }
}
