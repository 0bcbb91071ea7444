//! The order in which rows come out where no filter sorts them: the server sorts rows to number them within partitions,
//! and may sort them to group them.

use std::collections::BTreeSet;

use super::value::{Table, Value};
use super::walk::Walk;
use super::{Flow, Origin, Source};
use crate::catalog::{Oid, RelationKind};
use crate::sql::tree::{Expr, Select, SelectItem};

/// Rows that come out in the order of columns' values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// The columns.
    pub by: BTreeSet<Source>,
    /// What comes out beside, on the same level of the statement.
    pub beside: BTreeSet<Source>,
    /// Whether constants come out beside that tell rows apart (`SELECT email, 0 ... UNION SELECT 'm', 1`).
    pub marked: bool,
    /// Whether they do so for certain; else it is for the server to choose.
    pub certain: bool,
    /// Whether the order decides which rows there are: sorting them again does not hide it.
    pub(super) sealed: bool,
}

impl Ordering {
    /// Rows of a table, in the order of values.
    pub(super) fn of<'a>(values: impl IntoIterator<Item = &'a Value>, table: &Table, certain: bool) -> Self {
        let sources = |value: &Value| -> Vec<Source> {
            let taint = value.taint();
            taint.sources.iter().filter(|(_, flow)| **flow != Flow::Counted).map(|(source, _)| *source).collect()
        };
        let by = values.into_iter().flat_map(sources).collect();
        let beside = table.columns.iter().flat_map(|column| sources(&column.value)).collect();
        let telling = |value: &Value| {
            let traits = value.traits;
            value.taint().is_clean() && (traits.constants > 1 || (traits.varying && traits.constants > 0))
        };
        let marked = table.open.is_some() || table.columns.iter().any(|column| telling(&column.value));
        Self { by, beside, marked, certain, sealed: false }
    }
}

impl<'q> Walk<'q> {
    pub(super) fn ordered(&mut self, ordering: Ordering) {
        if !ordering.by.is_empty() && !self.found.orderings.contains(&ordering) {
            self.found.orderings.push(ordering);
        }
    }

    /// Whether a key of sorting leaves nothing to chance: no two of the rows have the same.
    /// Whether a key of grouping is a column of a relation that stands in the statement once, and a unique key of that is
    /// another: rows that the one tells apart, the other does.
    pub(super) fn is_beside_key(&self, value: &Value, keys: &[Value]) -> bool {
        let taint = value.taint();
        let mut relations = taint.sources.keys().map(|source| match source {
            Source::Column { relation, .. } => Some(*relation),
            Source::Function(_) | Source::Field { .. } => None,
        });
        let (Some(Some(relation)), None) = (relations.next(), relations.next()) else { return false };
        let once = self.named.get(&relation) == Some(&1);
        once && keys.iter().any(|key| *key != *value && self.is_unique(key, Some(relation)))
    }

    pub(super) fn is_unique(&self, value: &Value, rows_of: Option<Oid>) -> bool {
        let Some(rows_of) = rows_of else { return false };
        let Origin::Value(taint) = &value.origin else { return false };
        let mut sources = taint.sources.iter();
        let (Some((Source::Column { relation, attnum }, Flow::Direct)), None) = (sources.next(), sources.next()) else {
            return false;
        };
        let Some(table) = self.catalog.relation(*relation).filter(|_| *relation == rows_of) else { return false };
        let unique = table.attribute(*attnum).is_some_and(|column| column.unique && column.not_null);
        // an index does not span the tables that inherit from its own
        let whole = table.kind == RelationKind::PartitionedTable
            || !self.catalog.relations().any(|other| other.parents.contains(relation));
        unique && whole && taint.unknown.is_none() && value.traits.constants == 0 && !value.traits.varying
    }
}

/// Whether each row of a SELECT is one row of what is in FROM.
pub(super) fn keeps_rows(select: &Select) -> bool {
    select.group_by.is_empty()
        && select.having.is_none()
        && select.items.iter().all(|item| match item {
            SelectItem::Expr(Expr::Call(call), _) => call.over.is_some(),
            SelectItem::Expr(expr, _) => matches!(expr, Expr::Column(_) | Expr::Constant(_)),
            SelectItem::Star | SelectItem::QualifiedStar(_) => true,
            SelectItem::FieldStar(_) => false,
        })
}
