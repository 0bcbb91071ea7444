//! Queries: WITH, SELECT, VALUES, set operations, ORDER BY and LIMIT.

use std::rc::Rc;

use super::names::output_name;
use super::order::{Ordering, keeps_rows};
use super::references::cells_of;
use super::scope::{Found, Item, Scope};
use super::value::{Column, Table, Value};
use super::walk::Walk;
use super::{FilterKind, Flow, Lineage, Output, Unknown};
use crate::catalog::{Catalog, Name};
use crate::sql::tree::{Body, Constant, Distinct, Expr, FromItem, Query, Select, SelectItem, Window};
use crate::sql::{Limits, NotUnderstood};

/// The lineage of a whole statement.
pub(super) fn statement(query: &Query, catalog: &Catalog, limits: &Limits) -> Result<Lineage, NotUnderstood> {
    let mut walk = Walk::new(catalog, limits);
    let table = walk.query(query, None)?;
    walk.cap_equalities();
    walk.follow_facts();
    let mut found = walk.found;
    if !found.repeats {
        found.single = walk.named.iter().filter(|(_, times)| **times == 1).map(|(relation, _)| *relation).collect();
    }
    found.fails = walk.fails;
    found.open_ended = table.ragged || table.open.is_some();
    let mut outputs: Vec<Output> = table
        .columns
        .into_iter()
        .map(|column| {
            let made_up = column.value.made_up();
            Output {
                name: column.name,
                unaltered: column.value.is_unaltered(),
                unlimited: column.value.traits.unlimited,
                as_text: column.value.traits.as_text,
                origin: Rc::unwrap_or_clone(column.value).origin,
                made_up,
            }
        })
        .collect();
    if let Some(reason) = table.open {
        outputs.push(Output {
            name: None,
            origin: Value::unknown(reason).origin,
            made_up: usize::MAX,
            unaltered: false,
            unlimited: true,
            as_text: false,
        });
    }
    if into_a_table(query) {
        found.into = Some(outputs);
    } else {
        found.outputs = outputs;
    }
    Ok(found)
}

/// `SELECT ... INTO` yields no rows. In a set operation it stands in the leftmost arm.
fn into_a_table(query: &Query) -> bool {
    let mut body = &query.body;
    loop {
        body = match body {
            Body::Select(select) => return select.into.is_some(),
            Body::SetOperation { left, .. } => &left.body,
            Body::Nested(inner) => &inner.body,
            Body::Values(_) | Body::Insert(_) | Body::Update(_) | Body::Delete(_) | Body::Merge(_) => return false,
        };
    }
}

impl<'q> Walk<'q> {
    /// A query inside `outer`: its result columns.
    pub(super) fn query(&mut self, query: &'q Query, outer: Option<&Scope<'_, 'q>>) -> Result<Table, NotUnderstood> {
        self.enter()?;
        let orderings = self.found.orderings.len();
        let scope = Scope::within(outer, Vec::new());
        self.with(query, &scope)?;
        let table = match &query.body {
            Body::Select(select) => self.select(select, &query.order_by, &scope)?,
            Body::SetOperation { .. } => {
                let table = self.set_operation(query, &scope)?;
                for key in &query.order_by {
                    let value = self.sort_key(key, &table, &scope)?;
                    let compared = matches!(query.body, Body::SetOperation { all: false, .. });
                    if compared && !value.traits.varying && is_direct(&value) {
                        self.ordered(Ordering::of([&value], &table, true));
                    } else {
                        self.sort(&value);
                    }
                }
                table
            }
            Body::Values(rows) => {
                let table = self.values(rows, &scope)?;
                self.order_outputs(&query.order_by, &table, &scope)?;
                table
            }
            Body::Nested(inner) => {
                let table = self.query(inner, Some(&scope))?;
                self.order_outputs(&query.order_by, &table, &scope)?;
                table
            }
            Body::Insert(insert) => self.insert(insert, &scope)?,
            Body::Update(update) => self.update(update, &scope)?,
            Body::Delete(delete) => self.delete(delete, &scope)?,
            Body::Merge(merge) => self.merge_statement(merge, &scope)?,
        };
        for expr in &query.limits {
            // how many rows come back tells the value
            self.filter_opaque(expr, &scope)?;
        }
        if !query.limits.is_empty() {
            // which rows there are depends on their order
            self.found.orderings.iter_mut().skip(orderings).for_each(|ordering| ordering.sealed = true);
        }
        self.leave();
        Ok(table)
    }

    fn select(
        &mut self,
        select: &'q Select,
        order_by: &'q [Expr],
        outer: &Scope<'_, 'q>,
    ) -> Result<Table, NotUnderstood> {
        let orderings = self.found.orderings.len();
        let outer_partitions = std::mem::take(&mut self.partitions);
        let items = self.entries(&select.from, Vec::new(), outer)?;
        let orderings = orderings..self.found.orderings.len();
        let rows_of = match (select.from.as_slice(), items.as_slice()) {
            ([FromItem::Relation { .. } | FromItem::Subquery { .. }], [item]) => item.table.rows_of,
            _ => None,
        };
        let scope = Scope::within(Some(outer), items);
        if let Some(filter) = &select.filter {
            self.filter(filter, &scope)?;
            self.fix(filter, &scope, &scope.items);
        }
        let mut table = self.select_items(&select.items, &scope)?;
        let alone = matches!(select.distinct, Distinct::No) && keeps_rows(select);
        table.rows_of = rows_of.filter(|_| alone);
        let mut grouping = Vec::with_capacity(select.group_by.len());
        for expr in &select.group_by {
            grouping.push(self.grouping_key(expr, &table, &scope)?);
        }
        for value in &grouping {
            self.beside_key = self.is_beside_key(value, &grouping);
            self.group(value);
            self.beside_key = false;
        }
        if let Some(having) = &select.having {
            self.filter(having, &scope)?;
        }
        let used = calls_over_windows(select, order_by);
        for (_, window) in &select.windows {
            if used { self.window(window, &scope)? } else { self.unused_window(window, &scope)? }
        }
        let partitions = std::mem::replace(&mut self.partitions, outer_partitions);
        let mut keys = Vec::with_capacity(order_by.len());
        for key in order_by {
            keys.push(self.sort_key(key, &table, &scope)?);
        }
        let total = keys.iter().any(|key| self.is_unique(key, rows_of));
        let same = partitions.windows(2).all(|pair| matches!(pair, [(one, _), (two, _)] if one == two));
        if total && alone && partitions.is_empty() {
            // what FROM yields is sorted by something else
            let mut at = 0..;
            self.found
                .orderings
                .retain(|ordering| at.next().is_none_or(|at| !orderings.contains(&at)) || ordering.sealed);
        }
        if !(total && same) {
            // rows are sorted to find the partitions
            self.ordered(Ordering::of(partitions.iter().flat_map(|(_, values)| values), &table, true));
        }
        if !total {
            self.ordered(Ordering::of(&grouping, &table, false));
        }
        let mut grouped: Vec<Value> = grouping;
        match &select.distinct {
            Distinct::No => {}
            Distinct::Rows => {
                for column in &table.columns {
                    self.group(&column.value);
                    grouped.push(column.value.as_ref().clone());
                }
                self.group_open(&table);
                if !total {
                    self.ordered(Ordering::of(&grouped, &table, false));
                }
            }
            Distinct::On(keys) => {
                for key in keys {
                    let value = self.sort_key(key, &table, &scope)?;
                    self.group(&value);
                    grouped.push(value);
                }
                if !total {
                    self.ordered(Ordering::of(&grouped, &table, true));
                }
            }
        }
        for value in &keys {
            if is_stored(value) && grouped.contains(value) {
                // nothing is told where nothing comes out beside
                self.ordered(Ordering::of([value], &table, true));
            } else {
                self.sort(value);
            }
        }
        Ok(table)
    }

    /// A select list, or RETURNING.
    pub(super) fn select_items(
        &mut self,
        items: &'q [SelectItem],
        scope: &Scope<'_, 'q>,
    ) -> Result<Table, NotUnderstood> {
        let mut table = Table::default();
        for item in items {
            match item {
                SelectItem::Expr(expr, alias) => {
                    let (mut value, fails) = self.apart(|walk| walk.value(expr, scope))?;
                    value.traits.fails |= fails;
                    self.charge_value(&value)?;
                    let name = alias.clone().or_else(|| output_name(expr));
                    table.columns.push(Column::new(name, value));
                }
                SelectItem::Star => self.add(&mut table, &scope.star())?,
                SelectItem::QualifiedStar(name) => {
                    let parts: Vec<Name> = name.schema.iter().chain([&name.name]).cloned().collect();
                    match Self::items_named(&parts, scope) {
                        Some(found) => {
                            for item in found {
                                self.add(&mut table, &item.table)?;
                            }
                        }
                        None => {
                            self.unresolved(&name.name);
                            self.add(&mut table, &Table::unknown(Unknown::Relation))?;
                        }
                    }
                }
                SelectItem::FieldStar(expr) => {
                    let value = self.value(expr, scope)?;
                    self.charge_value(&value)?;
                    match value.fields(self.catalog) {
                        Some(fields) => {
                            let columns = fields.into_iter().map(|(name, field)| Column::new(Some(name), field));
                            table.columns.extend(columns);
                        }
                        None => {
                            let mut taint = value.taint();
                            taint.unknown = taint.unknown.or(Some(Unknown::Type));
                            table.open = table.open.or(taint.unknown);
                            table.ragged = true;
                            table.columns.push(Column::new(None, Value::stored(taint, None)));
                        }
                    }
                }
            }
        }
        Ok(table)
    }

    fn add(&mut self, table: &mut Table, more: &Table) -> Result<(), NotUnderstood> {
        self.charge(more.columns.len())?;
        table.columns.extend(more.columns.iter().cloned());
        table.open = table.open.or(more.open);
        table.ragged = table.ragged || more.ragged;
        Ok(())
    }

    fn values(&mut self, rows: &'q [Vec<Expr>], scope: &Scope<'_, 'q>) -> Result<Table, NotUnderstood> {
        let mut merged: Vec<Value> = Vec::new();
        // those within its rows are others
        let mut captured = self.captured.take();
        for (number, row) in rows.iter().enumerate() {
            let (row, fails) = self.apart(|walk| walk.list(row, scope))?;
            self.charge(row.len())?;
            if let Some(captured) = &mut captured {
                captured.push(cells_of(row.iter()));
            }
            for (position, mut value) in row.into_iter().enumerate() {
                value.traits.fails |= fails;
                self.charge_value(&value)?;
                match merged.get_mut(position) {
                    Some(known) => *known = std::mem::replace(known, Value::null()).or(value),
                    None if number == 0 => merged.push(value),
                    None => {}
                }
            }
        }
        self.captured = captured;
        let columns = merged
            .into_iter()
            .enumerate()
            .map(|(position, value)| Column::new(Some(Name::exact(&format!("column{}", position + 1))), value));
        Ok(Table { columns: columns.collect(), open: None, ragged: false, rows_of: None })
    }

    /// UNION, INTERSECT, EXCEPT. Chains lean to the left and may be thousands long: the left spine is a loop.
    fn set_operation(&mut self, query: &'q Query, scope: &Scope<'_, 'q>) -> Result<Table, NotUnderstood> {
        let mut arms: Vec<(bool, &'q Query)> = Vec::new();
        let mut at = query;
        let first: &'q Query = loop {
            match &at.body {
                Body::SetOperation { all, left, right } => {
                    arms.push((*all, right));
                    let plain = left.with.is_empty() && left.order_by.is_empty() && left.limits.is_empty();
                    if plain && matches!(left.body, Body::SetOperation { .. }) {
                        at = left;
                    } else {
                        break left.as_ref();
                    }
                }
                Body::Select(_)
                | Body::Values(_)
                | Body::Nested(_)
                | Body::Insert(_)
                | Body::Update(_)
                | Body::Delete(_)
                | Body::Merge(_) => break at,
            }
        };
        let mut table = self.query(first, Some(scope))?;
        // comparing rows of the last arm that is compared covers all before it
        let compared = arms.iter().position(|(all, _)| !all);
        for (position, (_, arm)) in arms.iter().enumerate().rev() {
            let right = self.query(arm, Some(scope))?;
            self.charge(table.columns.len())?;
            table = united(table, right);
            if Some(position) == compared {
                for column in &table.columns {
                    self.charge_value(&column.value)?;
                    self.group(&column.value);
                }
                self.group_open(&table);
                self.ordered(Ordering::of(table.columns.iter().map(|column| column.value.as_ref()), &table, false));
            }
        }
        Ok(table)
    }

    /// ORDER BY of what is no plain SELECT: result columns by position or name.
    fn order_outputs(&mut self, keys: &'q [Expr], table: &Table, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        for key in keys {
            let value = self.sort_key(key, table, scope)?;
            self.sort(&value);
        }
        Ok(())
    }

    /// A key of ORDER BY or DISTINCT ON: a position, the name of a result column, else an expression
    /// (`findTargetlistEntrySQL92`).
    fn sort_key(&mut self, key: &'q Expr, table: &Table, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        match self.output_reference(key, table)? {
            Some(value) => Ok(value),
            None => self.value(key, scope),
        }
    }

    /// A key of GROUP BY: like ORDER BY, but a column of FROM goes before a result column's name.
    fn grouping_key(&mut self, key: &'q Expr, table: &Table, scope: &Scope<'_, 'q>) -> Result<Value, NotUnderstood> {
        if let Expr::Column(parts) = key
            && let [name] = parts.as_slice()
        {
            match scope.column(name, true) {
                Found::Nothing => {}
                Found::Uncertain(value) => {
                    let named = self.output_reference(key, table)?;
                    return Ok(named.map_or(value.clone(), |named| named.merged(value)));
                }
                Found::Value(value) => return Ok(value),
                Found::Ambiguous => return Ok(Value::unknown(Unknown::Column)),
                Found::Open(reason) => return Ok(Value::unknown(reason)),
            }
        }
        self.sort_key(key, table, scope)
    }

    fn output_reference(&mut self, key: &Expr, table: &Table) -> Result<Option<Value>, NotUnderstood> {
        if let Expr::Constant(Constant::Number(Some(position))) = key {
            let value = match usize::from(*position).checked_sub(1) {
                Some(position) => table.value_at(position),
                None => Value::unknown(Unknown::Column),
            };
            self.charge_value(&value)?;
            return Ok(Some(value));
        }
        let Expr::Column(parts) = key else { return Ok(None) };
        let [name] = parts.as_slice() else { return Ok(None) };
        self.charge(table.columns.len())?;
        let mut named = table.columns.iter().filter(|column| column.name.as_ref() == Some(name));
        let first = named.next().map(|column| column.value.as_ref().clone());
        Ok(first.map(|first| named.fold(first, |all, column| all.merged(column.value.as_ref().clone()))))
    }

    /// PARTITION BY, ORDER BY and frame of a window.
    pub(super) fn window(&mut self, window: &'q Window, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        let mut partition = Vec::with_capacity(window.partition_by.len());
        for expr in &window.partition_by {
            let value = self.value(expr, scope)?;
            self.group(&value);
            partition.push(value);
        }
        if window.base.is_none() {
            self.partitions.push((&window.partition_by, partition));
        }
        for expr in &window.order_by {
            let value = self.value(expr, scope)?;
            self.sort(&value);
        }
        for expr in &window.frame {
            let value = self.value(expr, scope)?;
            self.look_at(&value, FilterKind::Other, FilterKind::Other);
        }
        Ok(())
    }

    /// A window that nothing is computed over. Rows are not sorted by it, but its keys are evaluated all the same: whether
    /// that fails tells of them, and what they call is called.
    fn unused_window(&mut self, window: &'q Window, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        let keys = window.partition_by.iter().chain(&window.order_by).chain(&window.frame);
        for expr in keys.filter(|expr| has_call(expr)) {
            let value = self.value(expr, scope)?;
            self.look_at(&value, FilterKind::Other, FilterKind::Other);
        }
        Ok(())
    }

    fn group_open(&mut self, table: &Table) {
        if let Some(reason) = table.open {
            self.found.filters_unknown.get_or_insert(reason);
        }
    }
}

/// Whether a value is a stored one, or NULL in its place.
fn is_stored(value: &Value) -> bool {
    value.traits.constants == 0 && !value.traits.varying && is_direct(value)
}

/// Whether all that is stored in a value is in it as it is.
fn is_direct(value: &Value) -> bool {
    let taint = value.taint();
    taint.unknown.is_none() && taint.sources.values().all(|flow| *flow == Flow::Direct)
}

/// Whether a SELECT can have a function call OVER a window: windows that nothing is computed over are not sorted.
fn calls_over_windows(select: &Select, order_by: &[Expr]) -> bool {
    select.items.iter().any(|item| match item {
        SelectItem::Expr(expr, _) | SelectItem::FieldStar(expr) => has_call(expr),
        SelectItem::Star | SelectItem::QualifiedStar(_) => false,
    }) || order_by.iter().any(has_call)
        || matches!(&select.distinct, Distinct::On(keys) if keys.iter().any(has_call))
}

/// Whether an expression is more than columns and constants.
fn has_call(expr: &Expr) -> bool {
    !matches!(expr, Expr::Column(_) | Expr::Star(_) | Expr::Constant(_) | Expr::Parameter(_))
}

/// The rows of two set operation arms under the names of the left one.
fn united(left: Table, right: Table) -> Table {
    let open = left.open.or(right.open);
    if left.ragged || right.ragged {
        let any = Rc::new(left.any_value().merged(right.any_value()));
        let columns = left.columns.into_iter().map(|column| Column { value: Rc::clone(&any), ..column }).collect();
        return Table { columns, open, ragged: true, rows_of: None };
    }
    let mut columns = Vec::with_capacity(left.columns.len());
    let mut others = right.columns.into_iter();
    for column in left.columns {
        columns.push(match others.next() {
            Some(other) => Column {
                value: Rc::new(Rc::unwrap_or_clone(column.value).or(Rc::unwrap_or_clone(other.value))),
                ..column
            },
            None => column,
        });
    }
    Table { columns, open, ragged: false, rows_of: None }
}

/// One entry of FROM out of the columns of something.
pub(super) fn excluded(table: Table) -> Item {
    let mut item = Item::new(Some(Name::exact("excluded")), table);
    item.columns_visible = false;
    item
}
