//! Statements that only read.
//!
//! Where the catalog is looked at for each statement (`catalog.check = "statement"`), what they show is held until it was
//! looked at behind it. That is enough for them: they leave nothing behind that a look before could still prevent.

use super::io::{Context, Lookup};
use crate::catalog::{Catalog, Volatility};
use crate::sql::statement::{Analysis, Reading, Statement, StatementKind};

/// Whether each statement of a text, as it is read, only reads, or ends or begins a transaction.
pub(super) fn only_reads(text: &[u8], context: &Context<'_>) -> bool {
    let Lookup::Ready(analysis) = context.analyst.analysis(context.snapshot, text) else { return false };
    match &*analysis {
        Analysis::Statements(statements) => {
            !statements.is_empty() && statements.iter().all(|statement| reads(statement, &context.snapshot.catalog))
        }
        Analysis::Opaque(..) => false,
    }
}

fn reads(statement: &Statement, catalog: &Catalog) -> bool {
    match (&statement.reading, statement.kind) {
        (Reading::Understood(lineage), StatementKind::Select | StatementKind::Values) => {
            // Any name may be that of a function: `nextval`, `pg_notify`, `lo_create` leave something behind.
            let harmless =
                |name| catalog.functions_named(None, name).all(|function| function.volatility != Volatility::Volatile);
            lineage.into.is_none()
                && lineage.writes.is_empty()
                && lineage.functions.is_empty()
                && lineage.forbidden.is_empty()
                && lineage.unresolved.is_empty()
                && statement.words.iter().all(harmless)
        }
        (Reading::NoQuery, StatementKind::Begin | StatementKind::Commit | StatementKind::Rollback) => true,
        (Reading::Understood(_) | Reading::NotUnderstood(_) | Reading::NoQuery, _) => false,
    }
}
