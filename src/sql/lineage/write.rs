//! INSERT, UPDATE, DELETE and MERGE: what is stored where, and RETURNING.

use std::rc::Rc;

use super::from::aliased;
use super::query::excluded;
use super::references::{Role, Rows, cells_of};
use super::scope::{Item, Scope};
use super::value::{Column, Table, Value, flows};
use super::walk::Walk;
use super::{FilterKind, Flow, Source, Taint, Write, WritePlace};
use crate::catalog::{Name, Relation};
use crate::sql::NotUnderstood;
use crate::sql::tree::{
    Alias, Assignment, Body, Delete, Expr, Insert, Merge, MergeAction, MergeRows, Query, SelectItem, Target, Update,
};

/// The relation that is written to.
struct Written<'q> {
    candidates: Vec<&'q Relation>,
    item: Item,
}

impl<'q> Walk<'q> {
    pub(super) fn insert(&mut self, insert: &'q Insert, outer: &Scope<'_, 'q>) -> Result<Table, NotUnderstood> {
        let alias = insert.alias.as_ref().map(|name| Alias { name: name.clone(), columns: Vec::new() });
        let written = self.written(&insert.target, alias.as_ref())?;
        self.named_for(written.item.reference, Role::Filled);
        let is_values = |query: &Query| matches!(query.body, Body::Values(_)) && query.with.is_empty();
        let before = self.captured.take();
        self.captured = insert.source.as_ref().filter(|query| is_values(query)).map(|_| Vec::new());
        let stored = match &insert.source {
            Some(query) => self.query(query, Some(outer))?,
            None => Table::default(),
        };
        let rows = std::mem::replace(&mut self.captured, before);
        let rows = rows.unwrap_or_else(|| vec![cells_of(stored.columns.iter().map(|column| column.value.as_ref()))]);
        for target in &insert.columns {
            self.subscripts(target, outer)?;
        }
        let columns: Vec<Vec<Name>> = if insert.columns.is_empty() {
            written
                .candidates
                .iter()
                .map(|relation| relation.columns.iter().map(|column| column.name.clone()).collect())
                .collect()
        } else {
            let named: Vec<Name> = insert.columns.iter().map(|target| target.column.clone()).collect();
            written.candidates.iter().map(|_| named.clone()).collect()
        };
        let mut proposed: Vec<(Name, Value)> = Vec::new();
        for (relation, columns) in written.candidates.iter().zip(&columns) {
            self.charge(columns.len())?;
            if !stored.ragged {
                self.filled(relation.oid, written.item.reference, columns, &rows);
            }
            for (position, column) in columns.iter().enumerate() {
                if position >= stored.columns.len() && !stored.ragged {
                    break;
                }
                let value = stored.value_at(position);
                self.charge_value(&value)?;
                self.write_to(&[*relation], column, &value, WritePlace::New);
                proposed.push((column.clone(), value));
            }
        }
        if written.candidates.is_empty() {
            let taint = stored.taint();
            self.found.writes.push(Write::elsewhere(taint));
        }
        if let Some(conflict) = &insert.on_conflict {
            let target = Scope::within(Some(outer), vec![written.item.clone()]);
            self.conflicts(&conflict.target, &written, &proposed, &target)?;
            let table = Table {
                columns: self.proposed_row(&written.item.table, &proposed)?,
                open: written.item.table.open,
                ragged: written.item.table.ragged,
                rows_of: None,
            };
            let scope = Scope::within(Some(outer), vec![written.item.clone(), excluded(table)]);
            let keys = conflict.target.iter().filter_map(|key| match key {
                Expr::Column(path) => path.last().cloned(),
                _ => None,
            });
            let rows = Rows::Conflicting(keys.collect());
            self.assignments(&conflict.assignments, &written, &scope, rows)?;
            if let Some(filter) = &conflict.filter {
                self.filter(filter, &scope)?;
            }
        }
        self.returning(&insert.returning, vec![written.item.clone()], &written.item, outer)
    }

    /// Whether rows with the same keys are there shows in what happens: these are compared with what is proposed. No
    /// target: any unique column.
    fn conflicts(
        &mut self,
        target: &'q [Expr],
        written: &Written<'q>,
        proposed: &[(Name, Value)],
        scope: &Scope<'_, 'q>,
    ) -> Result<(), NotUnderstood> {
        let given = |name: &Name| -> Vec<Value> {
            proposed.iter().filter(|(column, _)| column == name).map(|(_, value)| value.clone()).collect()
        };
        if target.is_empty() {
            for relation in &written.candidates {
                for column in relation.columns.iter().filter(|column| column.unique) {
                    let source = Source::Column { relation: relation.oid, attnum: column.attnum };
                    let stored = Value::stored(Taint::of(source, Flow::Direct), Some(column.type_oid));
                    self.conflict(&stored, &given(&column.name));
                }
            }
        }
        for expr in target {
            let stored = self.value(expr, scope)?;
            self.found.conflicts.extend(stored.taint().sources.keys());
            let column = if let Expr::Column(path) = expr { path.last() } else { None };
            match column {
                Some(column) => self.conflict(&stored, &given(column)),
                None if proposed.iter().all(|(_, value)| value.is_constant()) => {
                    self.look_at(&stored, FilterKind::Equality, FilterKind::Other);
                }
                None => self.look_at(&stored, FilterKind::Other, FilterKind::Other),
            }
        }
        Ok(())
    }

    fn conflict(&mut self, stored: &Value, proposed: &[Value]) {
        // what is compared is what would be stored
        self.exactly(|walk| walk.look_at(stored, FilterKind::Equality, FilterKind::Other));
        for value in proposed {
            if !value.is_constant() {
                self.filter_equal(stored, value);
            }
            for (source, _) in flows(&stored.taint()) {
                *self.found.looks.entry(source).or_default() += value.traits.constants.saturating_sub(1);
            }
        }
    }

    fn proposed_row(&mut self, table: &Table, proposed: &[(Name, Value)]) -> Result<Vec<Column>, NotUnderstood> {
        self.charge(table.columns.len().saturating_add(proposed.len()))?;
        let mut values = std::collections::BTreeMap::new();
        for (name, value) in proposed {
            let merged = match values.remove(name) {
                Some(known) => value.clone().merged(known),
                None => value.clone(),
            };
            values.insert(name.clone(), merged);
        }
        let columns = table.columns.iter().map(|column| {
            let given = column.name.as_ref().and_then(|name| values.get(name)).cloned();
            Column { value: Rc::new(given.unwrap_or_else(Value::null)), ..column.clone() }
        });
        Ok(columns.collect())
    }

    pub(super) fn update(&mut self, update: &'q Update, outer: &Scope<'_, 'q>) -> Result<Table, NotUnderstood> {
        let written = self.written(&update.target, update.alias.as_ref())?;
        let mut items = vec![written.item.clone()];
        // entries of FROM can not refer to the target
        items.extend(self.entries(&update.from, Vec::new(), outer)?);
        let scope = Scope::within(Some(outer), items);
        self.named_for(written.item.reference, Role::Changed);
        if let Some(filter) = &update.filter {
            self.filter(filter, &scope)?;
            self.fix(filter, &scope, &scope.items);
        }
        self.assignments(&update.assignments, &written, &scope, Rows::Stored)?;
        self.returning(&update.returning, scope.items, &written.item, outer)
    }

    pub(super) fn delete(&mut self, delete: &'q Delete, outer: &Scope<'_, 'q>) -> Result<Table, NotUnderstood> {
        let written = self.written(&delete.target, delete.alias.as_ref())?;
        let mut items = vec![written.item.clone()];
        items.extend(self.entries(&delete.using, Vec::new(), outer)?);
        let scope = Scope::within(Some(outer), items);
        self.named_for(written.item.reference, Role::Changed);
        if let Some(filter) = &delete.filter {
            self.filter(filter, &scope)?;
            self.fix(filter, &scope, &scope.items);
        }
        self.returning(&delete.returning, scope.items, &written.item, outer)
    }

    pub(super) fn merge_statement(&mut self, merge: &'q Merge, outer: &Scope<'_, 'q>) -> Result<Table, NotUnderstood> {
        let written = self.written(&merge.target, merge.alias.as_ref())?;
        let source = self.entry(&merge.source, &[], outer)?;
        let mut items = source.items.clone();
        items.push(written.item.clone());
        let both = Scope::within(Some(outer), items);
        // a row that has no partner can not name one: the same word may mean a column of the other side elsewhere
        let of_source = Scope::within(Some(outer), source.items);
        let of_target = Scope::within(Some(outer), vec![written.item.clone()]);
        self.filter(&merge.condition, &both)?;
        self.named_for(written.item.reference, Role::Changed);
        if !merge.branches.iter().any(|branch| branch.rows == MergeRows::OfTarget) {
            // rows of the source that have no partner do not meet it
            self.fix(&merge.condition, &both, &of_target.items);
        }
        for branch in &merge.branches {
            let scope = match branch.rows {
                MergeRows::Matched => &both,
                MergeRows::OfSource => &of_source,
                MergeRows::OfTarget => &of_target,
            };
            if let Some(filter) = &branch.filter {
                self.filter(filter, scope)?;
            }
            match &branch.action {
                MergeAction::Nothing | MergeAction::Delete => {}
                MergeAction::Update(assignments) => self.assignments(assignments, &written, scope, Rows::Stored)?,
                MergeAction::Insert(targets, values) => {
                    let values = self.list(values, scope)?;
                    for target in targets {
                        self.subscripts(target, scope)?;
                    }
                    let named = |relation: &Relation| -> Vec<Name> {
                        match targets.is_empty() {
                            true => relation.columns.iter().map(|column| column.name.clone()).collect(),
                            false => targets.iter().map(|target| target.column.clone()).collect(),
                        }
                    };
                    for relation in &written.candidates {
                        let row = cells_of(values.iter());
                        self.filled(relation.oid, written.item.reference, &named(relation), &[row]);
                    }
                    for (position, value) in values.iter().enumerate() {
                        self.charge_value(value)?;
                        match targets.get(position) {
                            Some(target) => {
                                self.write_to(&written.candidates, &target.column, value, WritePlace::New);
                            }
                            None if targets.is_empty() => self.write_at(&written.candidates, position, value),
                            None => {}
                        }
                    }
                    if written.candidates.is_empty() {
                        for value in &values {
                            let taint = value.taint();
                            self.found.writes.push(Write::elsewhere(taint));
                        }
                    }
                }
            }
        }
        // a star in RETURNING shows the source's columns first
        self.returning(&merge.returning, both.items, &written.item, outer)
    }

    fn written(
        &mut self,
        name: &crate::sql::tree::ObjectName,
        alias: Option<&Alias>,
    ) -> Result<Written<'q>, NotUnderstood> {
        let (item, candidates) = self.relation_item(name)?;
        let item = match alias {
            Some(alias) => aliased(item, alias),
            None => item,
        };
        Ok(Written { candidates, item })
    }

    fn assignments(
        &mut self,
        assignments: &'q [Assignment],
        written: &Written<'q>,
        scope: &Scope<'_, 'q>,
        rows: Rows,
    ) -> Result<(), NotUnderstood> {
        let mut cells = Vec::new();
        for assignment in assignments {
            for target in &assignment.targets {
                self.subscripts(target, scope)?;
            }
            let values = match (assignment.targets.as_slice(), &assignment.value) {
                ([_], value) => vec![self.value(value, scope)?],
                (_, Expr::Row(fields)) => self.list(fields, scope)?,
                (targets, Expr::Subquery(query)) => self.subquery_values(query, targets.len(), scope)?,
                (targets, value) => {
                    let row = self.value(value, scope)?;
                    match row.fields(self.catalog) {
                        Some(fields) if fields.len() == targets.len() => {
                            fields.into_iter().map(|(_, field)| field).collect()
                        }
                        Some(_) | None => targets.iter().map(|_| row.clone()).collect(),
                    }
                }
            };
            for (target, value) in assignment.targets.iter().zip(&values) {
                self.charge_value(value)?;
                let place = WritePlace::Stored(written.item.name.clone());
                self.write_to(&written.candidates, &target.column, value, place);
                if written.candidates.is_empty() {
                    let taint = value.taint();
                    self.found.writes.push(Write::elsewhere(taint));
                }
                cells.push((target.column.clone(), value.clone()));
            }
        }
        let relations: Vec<_> = written.candidates.iter().map(|relation| relation.oid).collect();
        self.changed(&relations, written.item.reference, &rows, &cells);
        Ok(())
    }

    /// `a[n] = ...`: which element is written tells `n`.
    fn subscripts(&mut self, target: &'q Target, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        for subscript in &target.subscripts {
            let taint = self.value(subscript, scope)?.taint().derived();
            if !taint.is_clean() {
                self.found.writes.push(Write::elsewhere(taint));
            }
        }
        Ok(())
    }

    fn write_to(&mut self, candidates: &[&Relation], column: &Name, value: &Value, place: WritePlace) {
        for relation in candidates {
            self.may_not_fit(relation.column(column.as_str()), value);
            let attnum = relation.column(column.as_str()).map(|column| column.attnum);
            if attnum.is_none() && candidates.len() == 1 {
                self.unresolved(column);
            }
            let (relation, taint, place) = (Some(relation.oid), value.taint(), place.clone());
            let (made_up, faithful) = (value.made_up(), value.traits.faithful);
            let (as_given, elements) = (value.is_one_as_given() && !value.traits.nested, value.traits.element);
            self.found.writes.push(Write { relation, attnum, taint, made_up, faithful, as_given, elements, place });
        }
    }

    fn write_at(&mut self, candidates: &[&Relation], position: usize, value: &Value) {
        for relation in candidates {
            self.may_not_fit(relation.columns.get(position), value);
            let attnum = relation.columns.get(position).map(|column| column.attnum);
            let (relation, taint, place) = (Some(relation.oid), value.taint(), WritePlace::New);
            let (made_up, faithful) = (value.made_up(), value.traits.faithful);
            let (as_given, elements) = (value.is_one_as_given() && !value.traits.nested, value.traits.element);
            self.found.writes.push(Write { relation, attnum, taint, made_up, faithful, as_given, elements, place });
        }
    }

    /// State that a value is stored where not every value fits: for which it is an error, the caller chose.
    fn may_not_fit(&mut self, column: Option<&crate::catalog::Column>, value: &Value) {
        if column.is_some_and(|column| column.tight) {
            self.may_fail_of(value, false);
        }
    }

    /// RETURNING. PostgreSQL 18 also knows `old` and `new` there.
    fn returning(
        &mut self,
        items: &'q [SelectItem],
        mut visible: Vec<Item>,
        target: &Item,
        outer: &Scope<'_, 'q>,
    ) -> Result<Table, NotUnderstood> {
        if items.is_empty() {
            return Ok(Table::default());
        }
        for name in ["old", "new"] {
            let name = Name::exact(name);
            if visible.iter().any(|item| item.name_visible && item.name.as_ref() == Some(&name)) {
                continue;
            }
            visible.push(Item { name: Some(name), schemas: Rc::new([]), columns_visible: false, ..target.clone() });
        }
        let scope = Scope::within(Some(outer), visible);
        self.select_items(items, &scope)
    }
}
