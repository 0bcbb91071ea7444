//! Which filters on a column its mode permits.

use std::sync::Arc;

use super::Bench;
use crate::plan::Refusal;
use crate::plan::budget::Look;
use crate::plan::own::is_own;
use crate::policy::{Decision, FilterMode, Sight, TaggedColumnId};
use crate::sql::NotUnderstood;
use crate::sql::lineage::{FilterKind, FilterUse, Flow, Lineage, Ordering, Source};
use crate::sql::statement::Statement;

impl Bench<'_> {
    /// One use of a column by a filter; `explained`: the statement is not run, or measured while it runs.
    pub(super) fn filter(&mut self, filter: &FilterUse, explained: bool) -> Result<(), Refusal> {
        let reach = self.own.held().source(filter.source, &self.snapshot.inventory);
        let covered = reach.unknown.is_some() && !self.caller.sees_whatever(self.snapshot);
        if covered && filter.kind != FilterKind::NullTest {
            // A column of this session that may hold anything.
            let what = "a condition on a column that is not known";
            return Err(Refusal::not_understood(NotUnderstood::Construct(what)));
        }
        let made_up = self.made_up(filter);
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            if flow == Flow::Counted || filter.kind == FilterKind::NullTest || decision.sight == Sight::Clear {
                continue;
            }
            if decision.sight == Sight::Denied {
                return Err(self.denied(id, &decision));
            }
            let few = made_up <= self.snapshot.limits.equality_list_max || decision.filter == FilterMode::Allow;
            if !few || !self.permits(&decision, id, flow, filter.kind) {
                let (column, tag) = self.named(id);
                return Err(Refusal::filter(&column, &tag, &decision.rule, described(filter.kind)));
            }
            let searches = matches!(decision.filter, FilterMode::Search | FilterMode::Allow);
            if explained && !searches && !self.estimates_nothing(id, flow, filter.kind) {
                let (column, tag) = self.named(id);
                return Err(Refusal::estimate(&column, &tag, &decision.rule, described(filter.kind)));
            }
            let (column, tag) = self.named(id);
            let look = self.looks.entry(id).or_insert_with(|| Look {
                column,
                tag,
                rule: decision.rule,
                budget: decision.budget,
                equality_only: !searches,
                times: 0,
                arrays: Vec::new(),
                patterns: Vec::new(),
            });
            look.times = look.times.saturating_add(made_up);
            match filter.kind {
                FilterKind::Any(number) => look.arrays.push(number),
                FilterKind::Like(number) => look.patterns.push(number),
                FilterKind::NullTest
                | FilterKind::Grouping
                | FilterKind::Equality
                | FilterKind::Join(_)
                | FilterKind::Conversion
                | FilterKind::Gathering
                | FilterKind::Prefix
                | FilterKind::Pattern
                | FilterKind::Range
                | FilterKind::Sort
                | FilterKind::MadeUp
                | FilterKind::Other => {}
            }
        }
        Ok(())
    }

    /// One filter in a function that the statement calls with arguments.
    pub(super) fn filter_of_function(&mut self, filter: &FilterUse, explained: bool) -> Result<(), Refusal> {
        self.filter(filter, explained)?;
        let reach = self.own.held().source(filter.source, &self.snapshot.inventory);
        for (id, _) in reach.columns.iter().filter(|_| filter.kind != FilterKind::NullTest) {
            if let Some(look) = self.looks.get_mut(id) {
                look.times = look.times.saturating_add(1);
            }
        }
        Ok(())
    }

    /// With how many values of the session's own making a filter compares stored ones, because they are among them.
    fn made_up(&self, filter: &FilterUse) -> usize {
        let held = self.own.held();
        match filter.kind {
            FilterKind::Grouping => held.made_up(filter.source),
            FilterKind::Join(other) => held.made_up(filter.source).max(held.made_up(other)),
            FilterKind::NullTest
            | FilterKind::Equality
            | FilterKind::Any(_)
            | FilterKind::Like(_)
            | FilterKind::Conversion
            | FilterKind::Gathering
            | FilterKind::Prefix
            | FilterKind::Pattern
            | FilterKind::Range
            | FilterKind::Sort
            | FilterKind::MadeUp
            | FilterKind::Other => 0,
        }
    }

    /// Rows that come out in the order of a column's values, or may do so. That tells of each value how it compares with
    /// the others, where something beside it says which row that is.
    pub(super) fn ordering(
        &mut self,
        ordering: &Ordering,
        lineage: &Lineage,
        statement: &Statement,
    ) -> Result<(), Refusal> {
        let certain =
            ordering.certain || ["rollup", "cube", "grouping"].iter().any(|sets| statement.words.contains(*sets));
        if !certain && !self.own.plans() {
            return Ok(());
        }
        let tells = ordering.marked || self.shows_rows(ordering.beside.iter().copied(), lineage);
        ordering.by.iter().filter(|_| tells).try_for_each(|&source| self.unsorted(source, ordering.certain))
    }

    /// Rows that are found by an index of the column, or by merging what is sorted by it, come out in its order. The
    /// server seldom does so for these filters by itself; a session that has told it how to work can have it do so.
    pub(super) fn found_in_order(&mut self, filter: &FilterUse, lineage: &Lineage) -> Result<(), Refusal> {
        let sorted = matches!(filter.kind, FilterKind::NullTest | FilterKind::Join(_));
        if sorted && self.own.plans() && self.shows_rows([], lineage) {
            self.unsorted(filter.source, false)?;
        }
        Ok(())
    }

    /// Rows of a table that are read by an index come out in its order: what the caller makes of a temporary one is an order
    /// that he asks for.
    pub(super) fn indexed(&mut self, lineage: &Lineage) -> Result<(), Refusal> {
        let catalog = &self.snapshot.catalog;
        let temporary = |source: &Source| match *source {
            Source::Column { relation, .. } => {
                let known = catalog.relation(relation);
                is_own(relation) || known.is_some_and(|known| known.schema.as_str().starts_with("pg_temp"))
            }
            Source::Function(_) | Source::Field { .. } => false,
        };
        let keys = lineage.outputs.iter().flat_map(|key| key.origin.taint().sources.into_keys());
        let used = lineage.filters.iter().map(|used| used.source).chain(keys);
        used.filter(temporary).try_for_each(|source| self.unsorted(source, true))
    }

    /// All rows of a table may come in the order of an index, if the session has told the server to read it so: which indexes
    /// there are is not known.
    pub(super) fn read_in_order(&mut self, lineage: &Lineage) -> Result<(), Refusal> {
        if !self.own.scans() || !self.shows_rows([], lineage) {
            return Ok(());
        }
        let catalog = &self.snapshot.catalog;
        let relations = lineage.relations.iter().filter_map(|&relation| catalog.relation(relation));
        let columns = relations.flat_map(|read| {
            let column = |attnum: i16| Source::Column { relation: read.oid, attnum };
            read.columns.iter().map(move |known| column(known.attnum))
        });
        let columns: Vec<Source> = columns.collect();
        columns.into_iter().try_for_each(|source| self.unsorted(source, false))
    }

    /// Whether the caller may see rows in the order of a column.
    fn unsorted(&mut self, by: Source, certain: bool) -> Result<(), Refusal> {
        let reach = self.own.held().source(by, &self.snapshot.inventory);
        for &id in reach.columns.iter().filter(|(_, flow)| **flow != Flow::Counted).map(|(id, _)| id) {
            let decision = self.decision(id);
            if decision.sight == Sight::Clear || matches!(decision.filter, FilterMode::Search | FilterMode::Allow) {
                continue;
            }
            let (column, tag) = self.named(id);
            return Err(Refusal::ordering(&column, &tag, &decision.rule, certain));
        }
        Ok(())
    }

    /// Whether what comes out, and what stands beside it, says which row is which.
    fn shows_rows(&self, beside: impl IntoIterator<Item = Source>, lineage: &Lineage) -> bool {
        let outputs = lineage.outputs.iter().chain(lineage.into.iter().flatten());
        let shown = outputs.flat_map(|output| output.origin.taint().sources).filter(|(_, flow)| *flow != Flow::Counted);
        beside.into_iter().map(|source| (source, Flow::Direct)).chain(shown).any(|(source, made)| {
            let reach = self.own.held().source(source, &self.snapshot.inventory);
            reach.unknown.is_some()
                || reach.columns.is_empty()
                || reach.columns.iter().any(|(&id, &flow)| match self.decision(id).sight {
                    Sight::Clear => true,
                    // what is computed from it is redacted
                    Sight::Masked(_) if made == Flow::Derived || flow == Flow::Derived => false,
                    Sight::Masked(mask) => self.snapshot.type_of(id).is_none_or(|own| mask.tells_values_apart(&own)),
                    Sight::Hidden(_) | Sight::Denied => false,
                })
        })
    }

    /// What the permitted filters of a statement cost: how often each of the columns is looked at.
    pub(super) fn counted_looks(&mut self, lineage: &Lineage) -> Arc<[Look]> {
        for (&source, &times) in &lineage.looks {
            let reach = self.own.held().source(source, &self.snapshot.inventory);
            for (id, _) in reach.columns.iter().filter(|(_, flow)| **flow != Flow::Counted) {
                if let Some(look) = self.looks.get_mut(id) {
                    look.times = look.times.saturating_add(times);
                }
            }
        }
        std::mem::take(&mut self.looks).into_values().collect()
    }

    /// Whether a column's filter mode permits a use of it.
    fn permits(&self, decision: &Decision, id: TaggedColumnId, flow: Flow, kind: FilterKind) -> bool {
        if kind == FilterKind::Gathering {
            // what comes out is protected; that it comes out at all is counted
            return true;
        }
        match decision.filter {
            FilterMode::Allow => return true,
            FilterMode::Refuse => return false,
            FilterMode::Equality | FilterMode::Search => {}
        }
        // A view's or generated column that is computed from the tagged one: what equality with it tells is not known.
        if flow == Flow::Derived && kind != FilterKind::Grouping {
            return false;
        }
        let compares =
            matches!(kind, FilterKind::Equality | FilterKind::Any(_) | FilterKind::Like(_) | FilterKind::Join(_));
        let doubt = self.own.doubt();
        if compares && (doubt.operators || doubt.anything || self.snapshot.inventory.equality_is_redefined()) {
            return false;
        }
        match kind {
            // Of the last two the value of their parameter decides, when it is known.
            FilterKind::NullTest
            | FilterKind::Grouping
            | FilterKind::Equality
            | FilterKind::Conversion
            | FilterKind::Gathering
            | FilterKind::Any(_)
            | FilterKind::Like(_) => true,
            FilterKind::Join(other) => {
                let tag = self.named(id).1;
                let other = self.own.held().source(other, &self.snapshot.inventory);
                let alike = |(&other, &flow): (_, &Flow)| flow != Flow::Derived && self.named(other).1 == tag;
                !other.columns.is_empty() && other.unknown.is_none() && other.columns.iter().all(alike)
            }
            FilterKind::Prefix | FilterKind::Pattern | FilterKind::Range | FilterKind::Sort => {
                decision.filter == FilterMode::Search
            }
            FilterKind::MadeUp | FilterKind::Other => false,
        }
    }
}

fn described(kind: FilterKind) -> &'static str {
    match kind {
        FilterKind::NullTest => "a test for NULL",
        FilterKind::Grouping => "grouping",
        FilterKind::Equality | FilterKind::Any(_) => "a comparison by equality",
        FilterKind::Like(_) => "a search by pattern",
        FilterKind::Join(_) => "a comparison with another column",
        FilterKind::Conversion => "a conversion that may fail",
        FilterKind::Gathering => "an aggregate over a join",
        FilterKind::Prefix => "a search by prefix",
        FilterKind::Pattern => "a search by pattern",
        FilterKind::Range => "a comparison by range",
        FilterKind::Sort => "sorting",
        FilterKind::MadeUp => "a comparison with values of rows that the statement makes up",
        FilterKind::Other => "a condition",
    }
}
