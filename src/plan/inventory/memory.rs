//! Tags that columns have had through something else than the policy's own word for them.
//!
//! A partition, a child table, a column with a foreign key or an expression hold values of tagged columns. When what they
//! had the tag through goes away, the values stay. So what they had is remembered, by (OID, attnum), for as long as the
//! policy is the same.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, Name, Oid, Relation, RelationKind};
use crate::plan::Reach;
use crate::plan::spread::Spread;

use super::Binding;

/// What columns of relations that hold rows reach, but for those that the policy names.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct Memory(BTreeMap<(Oid, i16), Reach>);

impl Memory {
    /// What is to be remembered of this.
    pub(super) fn of(catalog: &Catalog, spread: &Spread, bindings: &[Binding]) -> Self {
        let bound = |relation, attnum| {
            let mut bindings = bindings.iter();
            bindings.any(|binding| (binding.relation, binding.attnum) == (relation, attnum))
        };
        let held = spread.columns.iter().filter(|((relation, attnum), reach)| {
            !reach.is_clean() && !bound(*relation, *attnum) && catalog.relation(*relation).is_some_and(holds_rows)
        });
        Self(held.map(|(&column, reach)| (column, reach.clone())).collect())
    }

    /// What of it is still there.
    pub(super) fn in_catalog(&self, catalog: &Catalog) -> Self {
        let lives = |relation: Oid, attnum: i16| {
            catalog.relation(relation).is_some_and(|relation| relation.attribute(attnum).is_some())
        };
        let living = self.0.iter().filter(|((relation, attnum), _)| lives(*relation, *attnum));
        Self(living.map(|(&column, reach)| (column, reach.clone())).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each column with what it had.
    pub(in crate::plan) fn columns(&self) -> impl Iterator<Item = (Oid, i16, &Reach)> {
        self.0.iter().map(|(&(relation, attnum), reach)| (relation, attnum, reach))
    }

    /// The columns that nothing else than this says to be tagged: `schema.table.column`.
    pub(super) fn alone(&self, catalog: &Catalog, spread: &Spread) -> Vec<String> {
        let tagged = |relation: Oid, attnum: i16| spread.columns.contains_key(&(relation, attnum));
        let related = |one: &Relation, other: &Relation, name: &Name| {
            (one.parents.contains(&other.oid) || other.parents.contains(&one.oid))
                && other.column(name.as_str()).is_some_and(|column| tagged(other.oid, column.attnum))
        };
        let explained = |relation: &Relation, attnum: i16, name: &Name| {
            catalog.relations().any(|other| related(relation, other, name))
                || catalog.foreign_keys().iter().filter(|key| key.relation == relation.oid).any(|key| {
                    key.columns.iter().any(|&(own, referenced)| own == attnum && tagged(key.references, referenced))
                })
        };
        let columns = self.0.keys().filter_map(|&(relation, attnum)| {
            let relation = catalog.relation(relation)?;
            let column = relation.attribute(attnum)?;
            let computed = column.generated.is_some() || relation.kind == RelationKind::MaterializedView;
            let alone = !computed && !explained(relation, attnum, &column.name);
            alone.then(|| format!("{}.{}.{}", relation.schema, relation.name, column.name))
        });
        columns.collect()
    }
}

fn holds_rows(relation: &Relation) -> bool {
    let own = !matches!(relation.schema.as_str(), "pg_catalog" | "information_schema")
        && !relation.schema.as_str().starts_with("pg_toast");
    own && match relation.kind {
        RelationKind::Table
        | RelationKind::PartitionedTable
        | RelationKind::ForeignTable
        | RelationKind::MaterializedView => true,
        RelationKind::View | RelationKind::CompositeType | RelationKind::Sequence | RelationKind::Other => false,
    }
}
