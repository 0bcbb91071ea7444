//! What the relations of a session hold.

use std::collections::BTreeMap;

use crate::catalog::{Name, Oid, Relation};
use crate::plan::{Inventory, Reach};
use crate::policy::Policy;
use crate::sql::lineage::{Flow, Source, Taint, Unknown};

/// OIDs from here on are given to relations of sessions. The server gives them out last, and starts again before.
const FIRST_OWN: u32 = 0xFFFF_0000;

/// Views over views are followed this deep.
const DEPTH_MAX: u32 = 32;

/// Whether an OID was given by [`super::Own`].
pub(in crate::plan) fn is_own(oid: Oid) -> bool {
    oid.0 >= FIRST_OWN
}

/// The OID of the relation that is the `number`-th.
pub(super) fn own_oid(number: u32) -> Oid {
    Oid(FIRST_OWN.saturating_add(number))
}

/// What the columns of a session's relations hold, by relation and `attnum`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held(BTreeMap<(Oid, i16), Content>);

/// What a column holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    /// What it was filled from; a view reads it whenever it is read.
    taint: Taint,
    /// The tagged columns that this meant then, by the names that the policy has for them: its numbers change with it, and
    /// what it was filled from may be something else by now.
    tags: BTreeMap<(Name, Name, Name), Flow>,
    /// How many values that the session has made up, or taken from elsewhere, may be among those.
    made_up: usize,
    /// Whether it was computed anew from what it held (`SET n = n * 2`), and may be so again whatever it holds by then.
    recomputed: bool,
}

impl Held {
    /// Follow a value's sources down to what the policy tags.
    pub(in crate::plan) fn resolve(&self, taint: &Taint, inventory: &Inventory) -> Reach {
        self.follow(taint, inventory, DEPTH_MAX)
    }

    /// What one source reaches.
    pub(in crate::plan) fn source(&self, source: Source, inventory: &Inventory) -> Reach {
        match source {
            Source::Column { relation, attnum } if is_own(relation) => self.column(relation, attnum, inventory),
            Source::Column { .. } | Source::Function(_) | Source::Field { .. } => {
                inventory.source(source).cloned().unwrap_or_default()
            }
        }
    }

    /// What a column holds.
    pub(in crate::plan) fn column(&self, relation: Oid, attnum: i16, inventory: &Inventory) -> Reach {
        if is_own(relation) {
            return self.own_column(relation, attnum, inventory, DEPTH_MAX);
        }
        inventory.column(relation, attnum).cloned().unwrap_or_default()
    }

    /// Everything that a relation's columns hold.
    pub(in crate::plan) fn relation(&self, relation: &Relation, inventory: &Inventory) -> Reach {
        let mut all = Reach::default();
        for column in &relation.columns {
            all.absorb(&self.column(relation.oid, column.attnum, inventory), Flow::Direct);
        }
        all
    }

    /// How many values that the session has made up may be in a column among stored ones: comparing these with each other
    /// is to compare them with constants. None, but in relations of the session.
    pub(in crate::plan) fn made_up(&self, source: Source) -> usize {
        self.made_up_below(source, DEPTH_MAX)
    }

    fn made_up_below(&self, source: Source, depth: u32) -> usize {
        let Source::Column { relation, attnum } = source else { return 0 };
        let (Some(content), Some(depth)) = (self.0.get(&(relation, attnum)), depth.checked_sub(1)) else { return 0 };
        let below = content.taint.sources.keys().map(|&inner| self.made_up_below(inner, depth));
        below.max().unwrap_or_default().max(content.made_up)
    }

    /// Values get into a column that are not what its tags say. Whether that is new.
    pub(super) fn mix(&mut self, relation: Oid, attnum: i16, values: usize) -> bool {
        let content = self.0.entry((relation, attnum)).or_default();
        let before = content.made_up;
        content.made_up = before.saturating_add(values);
        content.made_up != before
    }

    fn follow(&self, taint: &Taint, inventory: &Inventory, depth: u32) -> Reach {
        let mut reach = Reach { unknown: taint.unknown, ..Reach::default() };
        for (&source, &flow) in &taint.sources {
            match source {
                Source::Column { relation, attnum } if is_own(relation) => {
                    reach.absorb(&self.own_column(relation, attnum, inventory, depth), flow);
                }
                Source::Column { .. } | Source::Function(_) | Source::Field { .. } => {
                    if let Some(inner) = inventory.source(source) {
                        reach.absorb(inner, flow);
                    }
                }
            }
        }
        reach
    }

    fn own_column(&self, relation: Oid, attnum: i16, inventory: &Inventory, depth: u32) -> Reach {
        let unknown = Reach { unknown: Some(Unknown::Relation), ..Reach::default() };
        let (Some(content), Some(depth)) = (self.0.get(&(relation, attnum)), depth.checked_sub(1)) else {
            return unknown;
        };
        // What went in from a relation that is gone by now is among the tags.
        let mut there = content.taint.clone();
        there.sources.retain(|source, _| match source {
            Source::Column { relation, attnum } => !is_own(*relation) || self.0.contains_key(&(*relation, *attnum)),
            Source::Function(_) | Source::Field { .. } => true,
        });
        let mut reach = self.follow(&there, inventory, depth);
        for (names, &flow) in &content.tags {
            match inventory.bindings().iter().find(|binding| binding.names == *names) {
                Some(binding) => reach.absorb(&Reach::of(binding.id, flow), Flow::Direct),
                None => reach.unknown = Some(Unknown::Column),
            }
        }
        if !content.recomputed {
            return reach;
        }
        let mut computed = Reach::default();
        computed.absorb(&reach, Flow::Derived);
        computed
    }

    /// A column is there; what it held stays.
    pub(super) fn add(&mut self, relation: Oid, attnum: i16) {
        self.0.entry((relation, attnum)).or_default();
    }

    /// A column is computed from others, whatever they come to hold.
    pub(super) fn read(&mut self, relation: Oid, attnum: i16, sources: impl Iterator<Item = Source>) {
        let content = self.0.entry((relation, attnum)).or_default();
        for source in sources {
            content.taint.join(&Taint::of(source, Flow::Derived));
        }
    }

    /// A value goes into a column, of which so many may be made up. Whether that is new.
    pub(super) fn put(
        &mut self,
        relation: Oid,
        attnum: i16,
        (taint, made_up): (&Taint, usize),
        inventory: &Inventory,
        policy: &Policy,
    ) -> bool {
        let below = taint.sources.keys().map(|&source| self.made_up(source)).max().unwrap_or_default();
        let mut taint = taint.clone();
        let recomputed = taint.sources.remove(&Source::Column { relation, attnum }) == Some(Flow::Derived);
        let reach = self.resolve(&taint, inventory);
        // What is stored elsewhere untagged is as good as made up.
        let untagged = taint.sources.keys().any(|&source| self.source(source, inventory).is_clean());
        let mixed = if untagged { usize::MAX } else { made_up.max(below) };
        let content = self.0.entry((relation, attnum)).or_default();
        let before = content.clone();
        content.made_up = content.made_up.saturating_add(mixed);
        content.recomputed |= recomputed;
        content.taint.join(&taint);
        content.taint.unknown = content.taint.unknown.or(reach.unknown);
        for (&id, &flow) in &reach.columns {
            let Some(column) = policy.column(id) else { continue };
            let names = (column.schema.clone(), column.table.clone(), column.column.clone());
            let known = content.tags.entry(names).or_insert(flow);
            *known = (*known).max(flow);
        }
        *content != before
    }

    pub(super) fn keep(&mut self, stays: impl Fn(Oid) -> bool) {
        self.0.retain(|(relation, _), _| stays(*relation));
    }
}
