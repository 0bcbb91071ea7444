//! References: columns, whole rows, fields, relations.

use std::rc::Rc;

use super::cast::{is_nested, is_plain};
use super::scope::{Found, Item, Scope, column_of};
use super::value::{Column, Table, Value};
use super::walk::Walk;
use super::{Flow, Origin, Source, Taint, Unknown};
use crate::catalog::{Catalog, Name, Oid, Relation, RelationKind};
use crate::sql::NotUnderstood;
use crate::sql::tree::ObjectName;

impl<'q> Walk<'q> {
    /// `a`, `t.a`, `s.t.a`, `d.s.t.a` (`transformColumnRef`). `t.a` where `t` has no such column is the function `a` of
    /// the whole row.
    pub(super) fn reference(&mut self, parts: &[Name], scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        let (schema, relation, column) = match parts {
            [column] => return self.bare_reference(column, scope),
            [relation, column] => (None, relation, column),
            [schema, relation, column] | [_, schema, relation, column] => (Some(schema), relation, column),
            _ => return Ok(Value::unknown(Unknown::Construct)),
        };
        let Some(items) = scope.item(schema, relation) else {
            if let Some(value) = self.argument(parts) {
                return Ok(value);
            }
            // an item of a relation that is not known may be the one that is meant
            self.unresolved(relation);
            return Ok(Value::unknown(Unknown::Column));
        };
        let mut value: Option<Value> = None;
        for item in &items {
            let found = match column_of(&item.table, item.system_columns, column) {
                Found::Value(found) => found,
                Found::Uncertain(found) if self.is_callable(column) => {
                    let whole = item.whole_row();
                    self.charge_value(&whole)?;
                    found.merged(self.attribute_or_function(whole, column)?)
                }
                Found::Uncertain(found) => found,
                Found::Ambiguous => Value::unknown(Unknown::Column),
                Found::Open(reason) => Value::unknown(reason),
                Found::Nothing => {
                    let whole = item.whole_row();
                    self.charge_value(&whole)?;
                    self.attribute_or_function(whole, column)?
                }
            };
            value = Some(match value {
                Some(known) => known.merged(found),
                None => found,
            });
        }
        Ok(value.unwrap_or_else(|| Value::unknown(Unknown::Column)))
    }

    fn bare_reference(&mut self, name: &Name, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        match scope.column(name, false) {
            Found::Value(value) => Ok(value),
            Found::Uncertain(value) => Ok(match self.whole_row(std::slice::from_ref(name), scope)? {
                Some(row) => value.merged(row),
                None => match self.argument(std::slice::from_ref(name)) {
                    Some(argument) => value.merged(argument),
                    None => value,
                },
            }),
            Found::Ambiguous => Ok(Value::unknown(Unknown::Column)),
            Found::Open(reason) => Ok(Value::unknown(reason)),
            Found::Nothing => match self.whole_row(std::slice::from_ref(name), scope)? {
                Some(value) => Ok(value),
                None => match self.argument(std::slice::from_ref(name)) {
                    Some(argument) => Ok(argument),
                    None => {
                        self.unresolved(name);
                        Ok(Value::unknown(Unknown::Column))
                    }
                },
            },
        }
    }

    /// An argument of the function whose body this is, or a field of one: `a`, `function.a`, `a.field`, `function.a.field`
    /// (`sql_fn_post_column_ref`).
    pub(super) fn argument(&self, parts: &[Name]) -> Option<Value> {
        let parameter = |qualifier, name| self.catalog.parameter(qualifier, name);
        let number = match parts {
            [name] => parameter(None, name),
            [first, second] => parameter(Some(first), second).or_else(|| parameter(None, first)),
            [function, name, _field] => parameter(Some(function), name),
            _ => None,
        };
        let mut value = Value::parameter(number?);
        value.traits.edge = true;
        Some(value)
    }

    /// The whole row of an entry of FROM, named as before a star.
    pub(super) fn whole_row(&mut self, parts: &[Name], scope: &Scope<'_, 'q>) -> Result<Option<Value>, NotUnderstood> {
        let Some(items) = Self::items_named(parts, scope) else { return Ok(None) };
        let mut value: Option<Value> = None;
        for item in items {
            let row = item.whole_row();
            self.charge_value(&row)?;
            value = Some(match value {
                Some(known) => known.merged(row),
                None => row,
            });
        }
        Ok(value)
    }

    /// The entries of FROM that a qualifier means: more than one only where the server would call it ambiguous.
    pub(super) fn items_named<'a>(parts: &[Name], scope: &'a Scope<'_, 'q>) -> Option<Vec<&'a Item>> {
        match parts {
            [name] => scope.item(None, name),
            [schema, name] | [_, schema, name] => scope.item(Some(schema), name),
            _ => None,
        }
    }

    /// `(x).name`: a field, else the function of that name with `x` as its argument.
    pub(super) fn attribute_or_function(&mut self, whole: Value, name: &Name) -> Result<Value, NotUnderstood> {
        if let Some(fields) = whole.fields(self.catalog) {
            if let Some((_, field)) = fields.into_iter().find(|(known, _)| known == name) {
                return Ok(field);
            }
        } else if whole.origin.taint().unknown.is_some() {
            return Ok(whole);
        }
        let mut taint = whole.taint().derived();
        let part = self.is_of_unknown_type(&whole);
        if self.is_callable(name) {
            let called = self.apply(&ObjectName::bare(name.clone()), (vec![whole], None), false)?;
            // A field of that name goes before it.
            return Ok(if part { called.merged(Value::stored(taint, None)) } else { called });
        }
        // a record whose fields are not known, or a column that the catalog does not have yet
        self.unresolved(name);
        if !part {
            taint.unknown = taint.unknown.or(Some(Unknown::Column));
        }
        Ok(Value::stored(taint, None))
    }

    /// Whether a value is one of a relation that the session has made, whose columns' types are not known: what is taken of
    /// it is a part of it, whatever it is called.
    pub(super) fn is_of_unknown_type(&self, value: &Value) -> bool {
        let Origin::Value(taint) = &value.origin else { return false };
        let own = |source: &Source| match *source {
            Source::Column { relation, attnum } => {
                let column = self.catalog.relation(relation).and_then(|relation| relation.attribute(attnum));
                column.is_some_and(|column| column.type_oid == Oid(0))
            }
            Source::Function(_) | Source::Field { .. } => false,
        };
        value.type_oid.is_none() && !taint.sources.is_empty() && taint.sources.keys().all(own)
    }

    fn is_callable(&self, name: &Name) -> bool {
        self.catalog.functions_named(None, name).next().is_some()
            || self.catalog.types_named(None, name).next().is_some()
            || self.catalog.doubt().has_code(name)
    }

    /// The relations that a name may mean. An unqualified name means all of that name; those of `information_schema`
    /// only where there is no other, for they show no table's data.
    pub(super) fn candidates(&mut self, name: &ObjectName) -> Vec<&'q Relation> {
        let catalog = self.catalog;
        let other_database = match (&name.database, catalog.database()) {
            (Some(written), Some(current)) => written != current,
            (Some(_) | None, _) => false,
        };
        let mut found: Vec<&Relation> = if other_database {
            Vec::new()
        } else {
            catalog
                .relations_named(None, &name.name)
                .filter(|relation| relation.kind != RelationKind::CompositeType)
                .filter(|relation| catalog.may_be_in(name.schema.as_ref(), &relation.schema))
                .collect()
        };
        if name.schema.as_ref().is_some_and(|schema| schema.as_str() == "pg_temp") {
            // the session's own temporary schema goes by this name
            found = catalog
                .relations_named(None, &name.name)
                .filter(|relation| relation.schema.as_str().starts_with("pg_temp"))
                .collect();
        }
        if name.schema.is_none() && found.iter().any(|relation| relation.schema.as_str() != "information_schema") {
            found.retain(|relation| relation.schema.as_str() != "information_schema");
        }
        if found.iter().any(|relation| relation.schema.as_str() == "pg_temp") {
            // The session knows its own; the others of that name are of other sessions, which nobody else can read.
            found.retain(|relation| !relation.schema.as_str().starts_with("pg_temp_"));
        }
        found.sort_by_key(|relation| relation.oid);
        if found.is_empty() {
            self.unresolved(&name.name);
        }
        if found.iter().any(|relation| shows_raw_data(relation)) {
            self.found.forbidden.insert(name.name.clone());
        }
        self.found.relations.extend(found.iter().map(|relation| relation.oid));
        found
    }

    /// A relation of FROM, or the target of a writing statement: `None` where a CTE hides it.
    pub(super) fn relation_item(&mut self, name: &ObjectName) -> Result<(Item, Vec<&'q Relation>), NotUnderstood> {
        let candidates = self.candidates(name);
        for candidate in &candidates {
            *self.named.entry(candidate.oid).or_default() += 1;
        }
        let mut table = self.columns_of(&candidates)?;
        if let [relation] = candidates.as_slice() {
            let stored = matches!(
                relation.kind,
                RelationKind::Table | RelationKind::PartitionedTable | RelationKind::MaterializedView
            );
            table.rows_of = stored.then_some(relation.oid);
        }
        let mut item = Item::new(Some(name.name.clone()), table);
        item.schemas = match (&name.schema, candidates.is_empty()) {
            (Some(schema), true) => Rc::new([schema.clone()]),
            (Some(schema), false) => {
                let known = candidates.iter().map(|relation| relation.schema.clone());
                known.chain([schema.clone()]).collect()
            }
            (None, _) => candidates.iter().map(|relation| relation.schema.clone()).collect(),
        };
        item.system_columns = !candidates.is_empty();
        item.reference = self.named_relation(candidates.iter().map(|relation| relation.oid).collect());
        if let [relation] = candidates.as_slice() {
            item.row_type = Some(relation.row_type).filter(|&row_type| row_type != Oid(0));
            item.relation = Some(relation.oid);
        }
        Ok((item, candidates))
    }

    fn columns_of(&mut self, candidates: &[&'q Relation]) -> Result<Table, NotUnderstood> {
        let Some((first, others)) = candidates.split_first() else {
            return Ok(Table::unknown(Unknown::Relation));
        };
        self.charge(first.columns.len())?;
        let catalog = self.catalog;
        let mut columns: Vec<Column> = first.columns.iter().map(|column| stored(catalog, first, column)).collect();
        let same = others.iter().all(|other| {
            other.columns.len() == first.columns.len()
                && other.columns.iter().zip(&first.columns).all(|(one, two)| one.name == two.name)
        });
        for other in others {
            self.charge(other.columns.len())?;
            if same {
                for (known, column) in columns.iter_mut().zip(&other.columns) {
                    let merged =
                        known.value.as_ref().clone().merged(stored(catalog, other, column).value.as_ref().clone());
                    known.value = Rc::new(merged);
                }
            } else {
                columns.extend(other.columns.iter().map(|column| stored(catalog, other, column)));
            }
        }
        if !same {
            for column in &mut columns {
                column.certain = false;
            }
        }
        Ok(Table { columns, open: None, ragged: !same, rows_of: None })
    }
}

/// Relations that hold pieces of other relations' values, or bytes that anyone may have put there.
fn shows_raw_data(relation: &Relation) -> bool {
    matches!(relation.schema.as_str(), "pg_toast")
        || relation.schema.as_str().starts_with("pg_toast_temp")
        || (relation.schema.as_str() == "pg_catalog" && relation.name.as_str() == "pg_largeobject")
}

fn stored(catalog: &Catalog, relation: &Relation, column: &crate::catalog::Column) -> Column {
    let source = Source::Column { relation: relation.oid, attnum: column.attnum };
    // The types of what a session has made are not known.
    let type_oid = Some(column.type_oid).filter(|&type_oid| type_oid != Oid(0));
    let mut value = Value::stored(Taint::of(source, Flow::Direct), type_oid);
    // what a session put there itself is of its own making
    let own = relation.schema.as_str().starts_with("pg_temp");
    value.traits.edge = own;
    // put together with one of another collation it can not be compared
    value.traits.collated = column.collated;
    value.traits.nested = type_oid.is_none_or(|type_oid| is_nested(catalog, type_oid));
    value.traits.odd = own && !type_oid.is_some_and(is_plain);
    Column::new(Some(column.name.clone()), value)
}
