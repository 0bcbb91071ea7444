//! Common table expressions.

use std::rc::Rc;

use super::Unknown;
use super::failing::{GROWTH_MAX, GROWTH_OF_LONG, GROWTH_OF_ROUNDS};
use super::gather::Rows;
use super::scope::{CteState, Scope};
use super::value::{Column, Table};
use super::walk::Walk;
use crate::sql::NotUnderstood;
use crate::sql::tree::{Body, Cte, ObjectName, Query};

/// Rounds of a recursion after which types are known or never will be: that of a column whose first arm is NULL comes
/// with the second.
const ROUNDS_WITH_TYPES: usize = 3;

impl<'q> Walk<'q> {
    /// The common table expression that an unqualified name means, if one does.
    pub(super) fn cte_table(
        &mut self,
        name: &ObjectName,
        scope: &Scope<'_, 'q>,
    ) -> Result<Option<Rc<Table>>, NotUnderstood> {
        if name.schema.is_some() {
            return Ok(None);
        }
        let Some((level, state)) = scope.cte(&name.name) else { return Ok(None) };
        match state {
            CteState::Known(table) => Ok(Some(table)),
            CteState::Running(Some(table)) => {
                self.rows = Rows::Made;
                Ok(Some(table))
            }
            CteState::Running(None) => Ok(Some(Rc::new(Table::unknown(Unknown::Construct)))),
            CteState::Waiting(cte) => self.follow_recursive(cte, level).map(Some),
        }
    }

    /// Make the common table expressions of a query known on its level.
    pub(super) fn with(&mut self, query: &'q Query, scope: &Scope<'_, 'q>) -> Result<(), NotUnderstood> {
        if query.recursive {
            for cte in &query.with {
                scope.set_cte(&cte.name, CteState::Waiting(cte));
            }
            for cte in &query.with {
                let waiting = matches!(
                    scope.ctes.borrow().iter().rev().find(|(name, _)| *name == cte.name),
                    Some((_, CteState::Waiting(_)))
                );
                if waiting {
                    self.follow_recursive(cte, scope)?;
                }
            }
            return Ok(());
        }
        for cte in &query.with {
            let table = self.query(&cte.query, Some(scope))?.renamed(&cte.columns);
            scope.set_cte(&cte.name, CteState::Known(Rc::new(table)));
        }
        Ok(())
    }

    /// A common table expression of `WITH RECURSIVE`, on the level that has it: first without itself, then joined with
    /// what its recursive arm makes of that, until nothing is added.
    pub(super) fn follow_recursive(&mut self, cte: &'q Cte, level: &Scope<'_, 'q>) -> Result<Rc<Table>, NotUnderstood> {
        self.enter()?;
        level.set_cte(&cte.name, CteState::Running(None));
        let table = match &cte.query.body {
            Body::SetOperation { left, .. } => {
                let scope = Scope::within(Some(level), Vec::new());
                self.with(&cte.query, &scope)?;
                let mut known = self.query(left, Some(&scope))?.renamed(&cte.columns);
                let mut rounds = 0;
                loop {
                    self.charge(known.columns.len())?;
                    level.set_cte(&cte.name, CteState::Running(Some(Rc::new(seen_again(&known, 1)))));
                    let mut next = self.query(&cte.query, Some(level))?.renamed(&cte.columns);
                    rounds += 1;
                    if rounds > ROUNDS_WITH_TYPES {
                        forget_types(&mut next, &known);
                    }
                    if next == known {
                        break;
                    }
                    known = next;
                }
                // once more: what one round makes longer by as much again, many rounds make longer than anything
                level.set_cte(&cte.name, CteState::Running(Some(Rc::new(seen_again(&known, GROWTH_OF_ROUNDS)))));
                let grown = self.query(&cte.query, Some(level))?.renamed(&cte.columns);
                let lengths = grown.columns.iter().map(|column| column.value.traits.growth);
                known.columns.iter_mut().zip(lengths).for_each(|(column, length)| grow(column, length));
                known
            }
            Body::Select(_)
            | Body::Values(_)
            | Body::Nested(_)
            | Body::Insert(_)
            | Body::Update(_)
            | Body::Delete(_)
            | Body::Merge(_) => self.query(&cte.query, Some(level))?.renamed(&cte.columns),
        };
        let table = Rc::new(table);
        level.set_cte(&cte.name, CteState::Known(Rc::clone(&table)));
        self.leave();
        Ok(table)
    }
}

/// What was of no known type a round ago stays so: columns of several types that change places at each round would
/// otherwise never come to rest. Everything else only grows.
fn forget_types(next: &mut Table, known: &Table) {
    for (column, before) in next.columns.iter_mut().zip(&known.columns) {
        let mut value = column.value.as_ref().clone();
        value.type_oid = value.type_oid.filter(|_| before.value.type_oid.is_some());
        value.fields = value.fields.filter(|_| before.value.fields.is_some());
        column.value = Rc::new(value);
    }
}

/// What all rounds together make of a column that came round with [`GROWTH_OF_ROUNDS`] and was this long after it.
fn grow(column: &mut Column, length: u32) {
    let all = match length {
        0..=GROWTH_OF_ROUNDS => return,
        _ if length <= GROWTH_MAX => GROWTH_OF_LONG,
        _ => u32::MAX,
    };
    let value = Rc::make_mut(&mut column.value);
    value.traits.growth = value.traits.growth.max(all);
}

/// What a recursive reference sees of what is known so far: a constant that comes round again is none any more. `growth`:
/// how many times as long as what it is made of it is taken to be, for how often it comes round is not known.
fn seen_again(table: &Table, growth: u32) -> Table {
    let columns = table.columns.iter().map(|column| {
        let mut value = column.value.as_ref().clone();
        if value.traits.constants > 0 {
            value.traits.varying = true;
            value.traits.constants = 0;
        }
        if value.traits.growth > 1 {
            value.traits.growth = growth;
        }
        Column { name: column.name.clone(), value: Rc::new(value), certain: column.certain }
    });
    Table { columns: columns.collect(), ..table.clone() }
}
