//! Functions that open cursors, made by callers who do not see everything in clear.
//!
//! What a cursor shows is protected when it is fetched, by what the server says of its columns. How many rows it has, and in
//! which order, nothing protects: a function of such a caller may open a cursor only on rows that no masked value chooses.

use super::Bench;
use crate::plan::Refusal;
use crate::policy::Sight;
use crate::sql::lineage::{FilterKind, Flow, Lineage};
use crate::sql::statement::{Analysis, Reading, Statement, StatementKind};
use crate::sql::{Limits, analyze, opened_by_made};

impl Bench<'_> {
    /// Whether a function that is made does nothing but open cursors whose rows no masked value chooses.
    pub(super) fn shows_no_choice(&self, text: &str) -> Result<bool, Refusal> {
        let Some(queries) = opened_by_made(text) else { return Ok(false) };
        let catalog = self.own.catalog(&self.snapshot.catalog);
        for query in queries {
            let Analysis::Statements(statements) = analyze::analyze(query.as_bytes(), &catalog, &Limits::default())
            else {
                return Ok(false);
            };
            let [Statement { kind, reading: Reading::Understood(lineage), .. }] = statements.as_slice() else {
                return Ok(false);
            };
            let reads = matches!(kind, StatementKind::Select | StatementKind::Values | StatementKind::Table);
            if !reads || !self.chooses_nothing(lineage) {
                return Ok(false);
            }
            self.guarded(lineage)?;
            let outputs = self.shown_by(lineage);
            self.none_denied(&outputs)?;
            if outputs.unknown.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether all of a query is known, it calls nothing of users, stores nothing, and finds and sorts its rows by what the
    /// caller sees in clear.
    fn chooses_nothing(&self, lineage: &Lineage) -> bool {
        let known = lineage.unresolved.is_empty()
            && lineage.functions.is_empty()
            && lineage.forbidden.is_empty()
            && lineage.given.is_empty()
            && lineage.given_in_doubt.is_clean()
            && lineage.filters_unknown.is_none()
            && lineage.writes.is_empty()
            && lineage.into.is_none()
            && !lineage.open_ended;
        let clear = |source| {
            let reach = self.own.held().source(source, &self.snapshot.inventory);
            reach.unknown.is_none()
                && reach
                    .columns
                    .iter()
                    .all(|(&id, flow)| *flow == Flow::Counted || self.decision(id).sight == Sight::Clear)
        };
        let mut filters = lineage.filters.iter().filter(|used| used.kind != FilterKind::NullTest);
        let mut orderings = lineage.orderings.iter().flat_map(|ordering| &ordering.by);
        known && filters.all(|used| clear(used.source)) && orderings.all(|&source| clear(source))
    }
}
