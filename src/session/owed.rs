//! The queue of what the server owes.
//!
//! A pipeline may be as long as a client likes, and each of its messages asks something of all that is before it. What is
//! asked is kept beside the queue, so that no answer needs a look through it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::expect::{Expect, Step};
use super::statements::{Effect, Prepared, cut};

/// What the server owes, in order.
#[derive(Default)]
pub(super) struct Owed {
    queue: VecDeque<Entry>,
    /// How many there ever were: the number of the last one.
    last: u64,
    /// How many of them a ReadyForQuery answers.
    ready: usize,
    /// How many may run a statement that changes the catalog.
    changes: usize,
    /// The statements that the server was asked to parse, by their names, with their numbers.
    parses: HashMap<Bytes, VecDeque<(u64, Arc<Prepared>)>>,
    /// The last one in which an error makes the server skip nothing.
    unskipped: u64,
    /// The last one in which it does.
    skipping: u64,
    /// The last Sync.
    sync: u64,
}

struct Entry {
    number: u64,
    ready: bool,
    changes: bool,
    expect: Expect,
}

impl Owed {
    pub(super) fn push_back(&mut self, expect: Expect) {
        self.last = self.last.saturating_add(1);
        let number = self.last;
        let (ready, changes) = (expect.is_ready(), expect.may_change_catalog());
        self.ready = self.ready.saturating_add(usize::from(ready));
        self.changes = self.changes.saturating_add(usize::from(changes));
        if expect.skips_on_error() {
            self.skipping = number;
        } else {
            self.unskipped = number;
        }
        match &expect {
            Expect::Parse { name, prepared: Some(prepared), .. } => {
                let known = self.parses.entry(name.slice(..cut(name).len())).or_default();
                known.push_back((number, Arc::clone(prepared)));
            }
            Expect::Sync => self.sync = number,
            _ => {}
        }
        self.queue.push_back(Entry { number, ready, changes, expect });
    }

    /// What the statements do that are on their way.
    pub(super) fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.steps().map(|step| &step.effect)
    }

    /// The statements of the same.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.queue.iter().flat_map(|entry| match &entry.expect {
            Expect::Query(reply) => reply.steps.as_slice(),
            _ => &[],
        })
    }

    /// Whether nothing is owed behind an execution that has just ended that an error would have kept from running: it was the
    /// only statement of its Query, or Sync is next.
    pub(super) fn ends_with_execution(&self) -> bool {
        match self.queue.front().map(|entry| &entry.expect) {
            Some(Expect::Query(reply)) => reply.steps.len() <= 1,
            Some(Expect::Sync) | None => true,
            Some(_) => false,
        }
    }

    pub(super) fn extend(&mut self, more: impl IntoIterator<Item = Expect>) {
        more.into_iter().for_each(|expect| self.push_back(expect));
    }

    pub(super) fn pop_front(&mut self) -> Option<Expect> {
        let entry = self.queue.pop_front()?;
        Some(self.gone(entry))
    }

    /// One that is not answered after all.
    pub(super) fn remove(&mut self, at: usize) -> Option<Expect> {
        let entry = self.queue.remove(at)?;
        let number = entry.number;
        let expect = self.gone(entry);
        // What comes now is behind the one before it.
        let last = |is: &dyn Fn(&Expect) -> bool| {
            self.queue.iter().rev().find(|entry| is(&entry.expect)).map_or(0, |entry| entry.number)
        };
        if number == self.sync {
            self.sync = last(&|expect| matches!(expect, Expect::Sync));
        }
        if number == self.unskipped {
            self.unskipped = last(&|expect| !expect.skips_on_error());
        }
        if number == self.skipping {
            self.skipping = last(&|expect| expect.skips_on_error());
        }
        Some(expect)
    }

    fn gone(&mut self, entry: Entry) -> Expect {
        self.ready = self.ready.saturating_sub(usize::from(entry.ready));
        self.changes = self.changes.saturating_sub(usize::from(entry.changes));
        if let Expect::Parse { name, prepared: Some(_), .. } = &entry.expect
            && let Some(known) = self.parses.get_mut(cut(name))
        {
            if known.front().is_some_and(|(number, _)| *number == entry.number) {
                known.pop_front();
            } else {
                known.retain(|(number, _)| *number != entry.number);
            }
            if known.is_empty() {
                self.parses.remove(cut(name));
            }
        }
        entry.expect
    }

    pub(super) fn front(&self) -> Option<&Expect> {
        self.get(0)
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Expect> {
        self.queue.front_mut().map(|entry| &mut entry.expect)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Expect> {
        self.queue.get(at).map(|entry| &entry.expect)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Expect> {
        self.queue.iter().map(|entry| &entry.expect)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many ReadyForQuery are owed.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Whether one of them may run a statement that changes the catalog.
    pub(super) fn may_change_catalog(&self) -> bool {
        self.changes > 0
    }

    /// Whether the server may pass over what is sent now, up to the client's next Sync.
    pub(super) fn may_be_skipped(&self) -> bool {
        self.skipping > self.sync && self.queue.front().is_some_and(|front| front.number <= self.skipping)
    }

    /// The statements of that name that the server was asked to parse, in order.
    pub(super) fn parsing(&self, name: &[u8]) -> impl Iterator<Item = &Arc<Prepared>> {
        self.parses.get(cut(name)).into_iter().flatten().map(|(_, prepared)| prepared)
    }

    /// The one that it was asked to parse last, if it skips what is sent now should that fail: no other statement can have
    /// that name by then but by SQL.
    pub(super) fn parsed_ahead(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        let (number, prepared) = self.parses.get(cut(name))?.back()?;
        (*number > self.unskipped).then_some(prepared)
    }

    /// Whether one of that name is behind the last Sync.
    pub(super) fn parsed_since_sync(&self, name: &[u8]) -> bool {
        self.parses.get(cut(name)).and_then(VecDeque::back).is_some_and(|(number, _)| *number > self.sync)
    }

    /// A statement was judged again under a later snapshot.
    pub(super) fn rejudged(&mut self, before: &Arc<Prepared>, now: &Arc<Prepared>) {
        if self.parses.is_empty() {
            return;
        }
        for (_, known) in self.parses.values_mut().flatten().filter(|(_, known)| Arc::ptr_eq(known, before)) {
            *known = Arc::clone(now);
        }
        for entry in &mut self.queue {
            if let Expect::Parse { prepared: Some(known), .. } = &mut entry.expect
                && Arc::ptr_eq(known, before)
            {
                *known = Arc::clone(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::statements::Effect;
    use super::*;
    use crate::plan::Verdict;

    fn expect(kind: u8, name: &'static str) -> Expect {
        let name = Bytes::from_static(name.as_bytes());
        match kind {
            0 => Expect::Sync,
            1 => Expect::Query(Box::default()),
            2 => {
                let (portal, told) = (Bytes::new(), None);
                let (watched, changes, epoch, tenants) = (false, None, 0, None);
                Expect::Bind { portal, statement: name, watched, told, changes, epoch, tenants, refusal: None }
            }
            3 => Expect::Execute { portal: Bytes::new(), epoch: 0 },
            4 => Expect::CopyEnd,
            5 => Expect::OwnSync,
            _ => {
                let (text, effect, types, passed) = (None, Effect::None, Bytes::new(), None);
                let verdict = Verdict::Pass;
                let prepared = Prepared {
                    text,
                    version: 0,
                    own: (0, 0),
                    spoken: None,
                    verdict,
                    effect,
                    by_sql: false,
                    passed,
                    types,
                    sealed: None,
                };
                Expect::Parse { name, prepared: Some(Arc::new(prepared)), refusal: None }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_beside_the_queue_is_what_a_look_through_it_says(
            steps in proptest::collection::vec((0_u8..10, prop::sample::select(vec!["", "a", "b"])), 0..60)
        ) {
            let mut owed = Owed::default();
            for (kind, name) in steps {
                match kind {
                    8 => drop(owed.pop_front()),
                    9 => drop(owed.remove(1)),
                    kind => owed.push_back(expect(kind, name)),
                }
                prop_assert_eq!(owed.ready(), owed.iter().filter(|expect| expect.is_ready()).count());
                prop_assert_eq!(owed.may_change_catalog(), owed.iter().any(Expect::may_change_catalog));
                let mut since_sync = owed.iter().rev().take_while(|expect| !matches!(expect, Expect::Sync));
                prop_assert_eq!(owed.may_be_skipped(), since_sync.any(Expect::skips_on_error));
                for name in ["", "a", "b"] {
                    let of_name = |expect: &Expect| match expect {
                        Expect::Parse { name: parsed, prepared, .. } if parsed == name.as_bytes() => prepared.clone(),
                        _ => None,
                    };
                    let address = |prepared: &Arc<Prepared>| Arc::as_ptr(prepared).addr();
                    let looked: Vec<usize> = owed.iter().filter_map(of_name).map(|it| address(&it)).collect();
                    prop_assert_eq!(owed.parsing(name.as_bytes()).map(address).collect::<Vec<_>>(), looked);
                    let ahead = owed.iter().rev().take_while(|expect| expect.skips_on_error()).find_map(of_name);
                    prop_assert_eq!(owed.parsed_ahead(name.as_bytes()).map(address), ahead.as_ref().map(address));
                    let mut since = owed.iter().rev().take_while(|expect| !matches!(expect, Expect::Sync));
                    prop_assert_eq!(owed.parsed_since_sync(name.as_bytes()), since.any(|it| of_name(it).is_some()));
                }
            }
        }
    }
}
