//! Which tagged columns a value reaches back to.

use std::collections::BTreeMap;

use crate::policy::TaggedColumnId;
use crate::sql::lineage::{Flow, Unknown};

/// The tagged columns in a value, each with the strongest of its flows: lineage after views, functions and inheritance
/// have been followed down to what the policy tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The columns.
    pub columns: BTreeMap<TaggedColumnId, Flow>,
    /// Set where part of the value is of unknown origin.
    pub unknown: Option<Unknown>,
}

impl Reach {
    /// One tagged column.
    pub fn of(column: TaggedColumnId, flow: Flow) -> Self {
        Self { columns: BTreeMap::from([(column, flow)]), unknown: None }
    }

    /// Whether the value reaches nothing tagged, for certain.
    pub fn is_clean(&self) -> bool {
        self.columns.is_empty() && self.unknown.is_none()
    }

    /// Take in another value's columns as they flow on by `flow`.
    pub fn absorb(&mut self, other: &Self, flow: Flow) {
        for (&column, &inner) in &other.columns {
            // What was computed from stays computed from; what is only counted is no more than counted.
            let through = match flow {
                Flow::Counted => Flow::Counted,
                Flow::Direct => inner,
                // As for a statement's own values: what is computed from a count tells no more than the count does.
                Flow::Derived if inner == Flow::Counted => Flow::Counted,
                Flow::Derived => Flow::Derived,
            };
            let known = self.columns.entry(column).or_insert(through);
            *known = (*known).max(through);
        }
        self.unknown = self.unknown.or(other.unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_from_a_count_is_a_count() {
        for flow in [Flow::Counted, Flow::Direct, Flow::Derived] {
            let mut outer = Reach::default();
            outer.absorb(&Reach::of(TaggedColumnId(0), Flow::Counted), flow);
            assert_eq!(outer.columns.get(&TaggedColumnId(0)), Some(&Flow::Counted));
        }
    }

    #[test]
    fn a_derived_value_never_becomes_direct_again() {
        let inner = Reach::of(TaggedColumnId(0), Flow::Derived);
        for (flow, expected) in
            [(Flow::Direct, Flow::Derived), (Flow::Derived, Flow::Derived), (Flow::Counted, Flow::Counted)]
        {
            let mut outer = Reach::default();
            outer.absorb(&inner, flow);
            assert_eq!(outer.columns.get(&TaggedColumnId(0)), Some(&expected));
        }
    }
}
