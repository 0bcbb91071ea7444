//! When what was read of the catalog is not enough any more.
//!
//! A message that may commit a change of the catalog counts as a [`Commit`] from before it is sent until it is answered.
//! Meanwhile statements of all other sessions wait, for a short time; once it is answered they wait for a reading of the
//! catalog that was begun afterwards. What was sent before and is answered after is held against the catalog again before
//! anything of it is shown (`session/verify.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bits of the word that count messages on their way.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Shared by all sessions and by who reads the catalog.
#[derive(Debug, Default)]
pub struct Gate {
    /// How often the catalog may have changed (the epoch), and how many [`Commit`]s are under way (the lower bits).
    state: AtomicU64,
    /// How many of these are not waited for any more.
    overdue: AtomicU64,
    /// Whether nothing counts as known without having asked the server.
    each: AtomicBool,
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
        (self.state.fetch_add(1 << COUNT_BITS, Ordering::SeqCst) >> COUNT_BITS).saturating_add(1)
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
    pub fn commit(self: &Arc<Self>) -> Commit {
        self.state.fetch_add(1, Ordering::SeqCst);
        Commit { gate: Arc::clone(self), overdue: Arc::default(), landed: false }
    }
}

/// A message that may commit a change of the catalog, until it is answered. Dropped without an answer it has committed.
#[derive(Debug)]
pub struct Commit {
    gate: Arc<Gate>,
    overdue: Arc<AtomicBool>,
    landed: bool,
}

impl Commit {
    /// For who looks at the clock.
    pub fn patience(&self) -> Patience {
        Patience { gate: Arc::clone(&self.gate), overdue: Arc::clone(&self.overdue) }
    }

    /// It is answered; whether it may have committed a change.
    pub fn land(mut self, changed: bool) {
        self.landing(changed);
    }

    fn landing(&mut self, changed: bool) {
        if std::mem::replace(&mut self.landed, true) {
            return;
        }
        // One step: nobody may see it gone and the change not there.
        let step = if changed { 1 << COUNT_BITS } else { 0_u64 };
        self.gate.state.fetch_add(step.wrapping_sub(1), Ordering::SeqCst);
        if self.overdue.swap(true, Ordering::SeqCst) {
            self.gate.overdue.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        self.landing(true);
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
        let commit = gate.commit();
        assert!(!gate.is_open(0, None) && gate.is_open(0, Some(&commit)) && gate.is_waiting());
        commit.land(true);
        assert!(!gate.is_open(0, None) && gate.is_open(1, None) && !gate.is_waiting());
        gate.commit().land(false);
        assert!(gate.is_open(1, None));
        drop(gate.commit());
        gate.changed();
        assert!(gate.is_open(3, None));
    }

    #[test]
    fn what_takes_long_is_not_waited_for_and_keeps_it_shut() {
        let gate = Arc::new(Gate::default());
        let (slow, quick) = (gate.commit(), gate.commit());
        let (patience, unneeded) = (slow.patience(), quick.patience());
        patience.is_over();
        assert!(gate.is_waiting());
        quick.land(false);
        unneeded.is_over();
        assert!(!gate.is_waiting() && !gate.is_open(0, None));
        let next = gate.commit();
        assert!(gate.is_waiting());
        slow.land(true);
        assert!(gate.is_waiting());
        next.land(false);
        assert!(!gate.is_waiting() && gate.is_open(1, None));
    }
}
