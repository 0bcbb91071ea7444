//! EXPLAIN: what a plan tells beside the statement's own text.

use std::sync::Arc;

use super::{Bench, Verdict, flowing};
use crate::access_log::Fingerprint;
use crate::plan::inventory::Touched;
use crate::plan::result::Protection;
use crate::plan::{Reach, Refusal};
use crate::policy::TaggedColumnId;
use crate::sql::lineage::{FilterKind, Flow, Lineage, Source};
use crate::sql::statement::Statement;

impl Bench<'_> {
    /// A plan quotes constants of the statement alone. With ANALYZE it also says how many rows each step saw, and how much
    /// memory their values took: nothing, where no condition looks at a protected column and none is in what comes out.
    pub(super) fn explain(
        &self,
        statement: &Statement,
        lineage: &Lineage,
        touched: &Touched,
        outputs: &Reach,
        analyze: bool,
        shape: Fingerprint,
    ) -> Result<Verdict, Refusal> {
        let (inventory, named) = (&self.snapshot.inventory, &touched.reach);
        let clear = self.all_clear(named) && self.all_clear(&touched.runs);
        if analyze && !clear && !self.runs_unseen(statement, lineage, outputs) {
            return Err(Refusal::kind("EXPLAIN ANALYZE"));
        }
        // The planner calls functions that are said to be immutable, and shows what they gave.
        let function = lineage.functions.iter().find(|&&function| {
            inventory.source(Source::Function(function)).is_some_and(|reach| !self.all_clear(reach))
        });
        if let Some(function) = function.and_then(|&function| self.snapshot.catalog.function(function)) {
            return Err(Refusal::function(&function.name));
        }
        Ok(if named.is_clean() && touched.runs.is_clean() {
            Verdict::Pass
        } else {
            Verdict::Protect(Arc::new(Protection::plan_text(shape, !clear)))
        })
    }

    /// Whether nothing that running a statement measures depends on a column that the caller does not see in clear.
    fn runs_unseen(&self, statement: &Statement, lineage: &Lineage, outputs: &Reach) -> bool {
        let inventory = &self.snapshot.inventory;
        let counts = |reach: &Reach| self.all_clear(&Reach { columns: flowing(reach), unknown: reach.unknown });
        let filters = lineage.filters.iter().filter(|filter| filter.kind != FilterKind::NullTest);
        // What it says of stored bytes and of rows on their way out; commands that do more than a query does.
        let measures = ["wal", "serialize", "create", "declare", "refresh", "execute"];
        counts(outputs)
            && filters.map(|filter| self.own.held().source(filter.source, inventory)).all(|reach| counts(&reach))
            && lineage.writes.iter().all(|write| counts(&self.resolve(&write.taint)))
            && lineage.into.is_none()
            && lineage.relations.iter().filter_map(|&relation| inventory.rules(relation)).all(counts)
            && !measures.iter().any(|word| statement.words.contains(*word))
    }

    /// Whether the estimate of rows in a plan tells no more of a column than what the statement's own text says: with a
    /// constant that a unique index finds, it is one row whatever is stored. Elsewhere it comes out of the most common
    /// values and the histogram.
    pub(super) fn estimates_nothing(&self, id: TaggedColumnId, flow: Flow, kind: FilterKind) -> bool {
        match kind {
            FilterKind::NullTest | FilterKind::Grouping | FilterKind::Conversion | FilterKind::Gathering => true,
            FilterKind::Equality => {
                let found = self.snapshot.inventory.bindings().iter().filter(|binding| binding.id == id);
                let mut columns = found.map(|binding| {
                    self.snapshot.catalog.relation(binding.relation).and_then(|table| table.attribute(binding.attnum))
                });
                flow == Flow::Direct && columns.all(|column| column.is_some_and(|column| column.unique))
            }
            FilterKind::Any(_)
            | FilterKind::Like(_)
            | FilterKind::Join(_)
            | FilterKind::Prefix
            | FilterKind::Pattern
            | FilterKind::Range
            | FilterKind::Sort
            | FilterKind::MadeUp
            | FilterKind::Other => false,
        }
    }
}
