//! The FROM list: what each entry adds to the names, joins and their merged columns (PostgreSQL's `parse_clause.c`).

use std::rc::Rc;

use super::Unknown;
use super::references::follows;
use super::scope::{Found, Item, Scope, column_of};
use super::value::{Column, Table, Value};
use super::walk::Walk;
use crate::catalog::Name;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Alias, FromItem, JoinCondition, JoinKind};

/// What an entry of FROM adds: entries for names, and its columns for a join around it.
pub(super) struct Joined {
    pub items: Vec<Item>,
    pub table: Rc<Table>,
}

impl<'q> Walk<'q> {
    /// The whole FROM list. `outer`: the level around the SELECT; `items`: what is visible before it (the target of an
    /// UPDATE).
    pub(super) fn entries(
        &mut self,
        list: &'q [FromItem],
        mut items: Vec<Item>,
        outer: &Scope<'_, 'q>,
    ) -> Result<Vec<Item>, NotUnderstood> {
        for entry in list {
            let joined = self.entry(entry, &items, outer)?;
            items.extend(joined.items);
        }
        Ok(items)
    }

    /// One entry. `before`: the entries to its left, visible to LATERAL.
    pub(super) fn entry(
        &mut self,
        entry: &'q FromItem,
        before: &[Item],
        outer: &Scope<'_, 'q>,
    ) -> Result<Joined, NotUnderstood> {
        self.enter()?;
        let joined = match entry {
            FromItem::Relation { name, only: _, alias, sample } => {
                self.entry_of_stored_rows();
                let mut item = match self.cte_table(name, outer)? {
                    Some(table) => {
                        self.charge(table.columns.len())?;
                        self.read_again(Rc::as_ptr(&table));
                        Item { table, ..Item::new(Some(name.name.clone()), Table::default()) }
                    }
                    None => self.relation_item(name)?.0,
                };
                if let Some(alias) = alias {
                    item = aliased(item, alias);
                }
                for expr in sample {
                    let scope = Scope::within(Some(outer), before.to_vec());
                    self.filter_opaque(expr, &scope)?;
                }
                Joined::single(item)
            }
            FromItem::Subquery { lateral, query, alias } => {
                let table = if *lateral {
                    let scope = Scope::within(Some(outer), before.to_vec());
                    self.query(query, Some(&scope))?
                } else {
                    self.query(query, Some(outer))?
                };
                let item = Item::new(None, table);
                Joined::single(match alias {
                    Some(alias) => aliased(item, alias),
                    None => item,
                })
            }
            FromItem::Functions { calls, ordinality, alias } => {
                let scope = Scope::within(Some(outer), before.to_vec());
                Joined::single(self.functions_item(calls, *ordinality, alias.as_ref(), &scope)?)
            }
            FromItem::TableExpr { table, alias } => {
                let scope = Scope::within(Some(outer), before.to_vec());
                let item = self.document_item(table, &scope)?;
                Joined::single(match alias {
                    Some(alias) => aliased(item, alias),
                    None => item,
                })
            }
            FromItem::Join { kind, left, right, condition, alias } => {
                let left = self.entry(left, before, outer)?;
                let visible: Vec<Item> = before.iter().chain(&left.items).cloned().collect();
                self.charge(visible.len())?;
                let right = self.entry(right, &visible, outer)?;
                self.join(*kind, left, right, condition, alias.as_ref(), outer)?
            }
        };
        self.leave();
        Ok(joined)
    }

    fn join(
        &mut self,
        kind: JoinKind,
        left: Joined,
        right: Joined,
        condition: &'q JoinCondition,
        alias: Option<&Alias>,
        outer: &Scope<'_, 'q>,
    ) -> Result<Joined, NotUnderstood> {
        let (mut names, mut using_alias) = (Vec::new(), None);
        let (of_left, of_right) = (left.items.clone(), right.items.clone());
        let mut items: Vec<Item> = left.items.into_iter().chain(right.items).collect();
        match condition {
            JoinCondition::None => {}
            JoinCondition::On(expr) => {
                let scope = Scope::within(Some(outer), items.clone());
                self.filter(expr, &scope)?;
                let (to_left, to_right) = follows(kind);
                for (side, may) in [(&of_left, to_left), (&of_right, to_right)] {
                    if may {
                        self.fix(expr, &scope, side);
                    }
                }
            }
            JoinCondition::Using(columns, alias) => {
                names.clone_from(columns);
                using_alias = alias.as_ref();
            }
            JoinCondition::Natural => {
                for column in &left.table.columns {
                    let Some(name) = &column.name else { continue };
                    if right.table.columns.iter().any(|other| other.name.as_ref() == Some(name))
                        && !names.contains(name)
                    {
                        names.push(name.clone());
                    }
                }
                if let Some(reason) = left.table.open.or(right.table.open) {
                    // which columns are compared is not known
                    self.found.filters_unknown.get_or_insert(reason);
                }
            }
        }
        self.fix_merged(kind, &of_left, &of_right, &names);
        let table = self.joined_columns(kind, &left.table, &right.table, &names)?;
        if let Some(name) = using_alias {
            // `USING (...) AS name`: the merged columns under a name of their own
            let columns = table.columns.iter().take(names.len()).cloned().collect();
            let mut item = Item::new(Some(name.clone()), Table { columns, open: None, ragged: false, rows_of: None });
            item.columns_visible = false;
            items.push(item);
        }
        let table = Rc::new(table);
        let mut item = Item { table: Rc::clone(&table), ..Item::new(None, Table::default()) };
        let items = match alias {
            Some(alias) => {
                item = aliased(item, alias);
                vec![item.clone()]
            }
            None => {
                for item in &mut items {
                    item.columns_visible = false;
                }
                items.push(item.clone());
                items
            }
        };
        Ok(Joined { items, table: item.table })
    }

    /// The columns of a join: merged ones first, then the rest of the left side and of the right side.
    fn joined_columns(
        &mut self,
        kind: JoinKind,
        left: &Table,
        right: &Table,
        names: &[Name],
    ) -> Result<Table, NotUnderstood> {
        self.charge(left.columns.len() + right.columns.len())?;
        self.charge(names.len().saturating_mul(left.columns.len() + right.columns.len()))?;
        let mut columns = Vec::with_capacity(left.columns.len() + right.columns.len());
        for name in names {
            let (one, one_certain) = self.merge_side(left, name);
            let (two, two_certain) = self.merge_side(right, name);
            self.filter_equal(&one, &two);
            let merged = match kind {
                // where a side may not have the column, NATURAL may not have merged it
                _ if !(one_certain && two_certain) => one.merged(two),
                JoinKind::Left => one,
                JoinKind::Right => two,
                // INNER takes the side that needs no cast: the same value, but of which column is a matter of types
                JoinKind::Inner | JoinKind::Cross if one.type_oid.is_some() && one.type_oid == two.type_oid => one,
                JoinKind::Inner | JoinKind::Cross | JoinKind::Full => one.merged(two),
            };
            columns.push(Column::new(Some(name.clone()), merged));
        }
        let merged = |column: &&Column| !column.name.as_ref().is_some_and(|name| names.contains(name));
        columns.extend(left.columns.iter().filter(merged).cloned());
        columns.extend(right.columns.iter().filter(merged).cloned());
        Ok(Table { columns, open: left.open.or(right.open), ragged: left.ragged || right.ragged, rows_of: None })
    }

    /// The column that a join merges, and whether it is there for certain.
    fn merge_side(&mut self, table: &Table, name: &Name) -> (Value, bool) {
        match column_of(table, false, name) {
            Found::Value(value) => (value, true),
            Found::Uncertain(value) => (value, false),
            Found::Open(reason) => (Value::unknown(reason), false),
            Found::Ambiguous => (Value::unknown(Unknown::Column), false),
            Found::Nothing => {
                self.unresolved(name);
                (Value::unknown(Unknown::Column), false)
            }
        }
    }
}

impl Joined {
    fn single(item: Item) -> Self {
        let table = Rc::clone(&item.table);
        Self { items: vec![item], table }
    }
}

/// An entry under its alias. A relation with an alias can no more be called by its schema.
pub(super) fn aliased(item: Item, alias: &Alias) -> Item {
    let table = if alias.columns.is_empty() {
        Rc::clone(&item.table)
    } else {
        Rc::new(item.table.as_ref().clone().renamed(&alias.columns))
    };
    Item {
        name: Some(alias.name.clone()),
        name_visible: true,
        schemas: Rc::new([]),
        // field names of a whole row come from the alias list
        row_type: item.row_type.filter(|_| alias.columns.is_empty()),
        reference: item.reference.filter(|_| alias.columns.is_empty()),
        relation: item.relation.filter(|_| alias.columns.is_empty()),
        table,
        ..item
    }
}
