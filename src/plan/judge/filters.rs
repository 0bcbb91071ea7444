//! Which filters on a column its mode permits.

use super::Bench;
use crate::plan::{Observation, Refusal};
use crate::policy::{Decision, FilterMode, Sight, TaggedColumnId};
use crate::sql::lineage::{FilterKind, FilterUse, Flow};

impl Bench<'_> {
    /// One use of a column by a filter; `explained`: the statement is not run, or measured while it runs.
    pub(super) fn filter(&mut self, filter: &FilterUse, explained: bool) -> Result<(), Refusal> {
        let snapshot = self.snapshot;
        let Some(reach) = snapshot.inventory.source(filter.source) else { return Ok(()) };
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            if flow == Flow::Counted || filter.kind == FilterKind::NullTest || decision.sight == Sight::Clear {
                continue;
            }
            if decision.sight == Sight::Denied {
                return Err(self.denied(id, &decision));
            }
            if !self.permits(&decision, id, flow, filter.kind) {
                let (column, tag) = self.named(id);
                return Err(Refusal::filter(&column, &tag, &decision.rule, described(filter.kind)));
            }
            let searches = matches!(decision.filter, FilterMode::Search | FilterMode::Allow);
            if explained && !searches && !self.estimates_nothing(id, flow, filter.kind) {
                let (column, tag) = self.named(id);
                return Err(Refusal::estimate(&column, &tag, &decision.rule, described(filter.kind)));
            }
            let (_, tag) = self.named(id);
            self.observations.push(Observation::FilterPermitted(tag));
        }
        Ok(())
    }

    /// Whether a column's filter mode permits a use of it.
    fn permits(&self, decision: &Decision, id: TaggedColumnId, flow: Flow, kind: FilterKind) -> bool {
        match decision.filter {
            FilterMode::Allow => return true,
            FilterMode::Refuse => return false,
            FilterMode::Equality | FilterMode::Search => {}
        }
        // A view's or generated column that is computed from the tagged one: what equality with it tells is not known.
        if flow == Flow::Derived && kind != FilterKind::Grouping {
            return false;
        }
        let compares = matches!(kind, FilterKind::Equality | FilterKind::Join(_));
        if compares && self.snapshot.inventory.equality_is_redefined() {
            return false;
        }
        match kind {
            FilterKind::NullTest | FilterKind::Grouping | FilterKind::Equality => true,
            FilterKind::Join(other) => {
                let tag = self.named(id).1;
                self.snapshot.inventory.source(other).is_some_and(|other| {
                    !other.columns.is_empty()
                        && other.unknown.is_none()
                        && other
                            .columns
                            .iter()
                            .all(|(&other, &flow)| flow != Flow::Derived && self.named(other).1 == tag)
                })
            }
            FilterKind::Prefix | FilterKind::Pattern | FilterKind::Range | FilterKind::Sort => {
                decision.filter == FilterMode::Search
            }
            FilterKind::Other => false,
        }
    }
}

fn described(kind: FilterKind) -> &'static str {
    match kind {
        FilterKind::NullTest => "a test for NULL",
        FilterKind::Grouping => "grouping",
        FilterKind::Equality => "a comparison by equality",
        FilterKind::Join(_) => "a comparison with another column",
        FilterKind::Prefix => "a search by prefix",
        FilterKind::Pattern => "a search by pattern",
        FilterKind::Range => "a comparison by range",
        FilterKind::Sort => "sorting",
        FilterKind::Other => "a condition",
    }
}
