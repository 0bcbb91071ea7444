//! What is the same in all rows of a relation that count for a statement, and which values stand side by side in the rows
//! that it makes.
//!
//! `WHERE c.tenant = $1` fixes a column of `c`, and with `o.tenant = c.tenant` one of `o`, too. Only what conditions that all
//! have to hold say of columns as they are is taken: what decides over rows of an outer join says something of the side that
//! has to have a partner, and what stands in a sub-query something of that one's own relations.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::{Found, Item, Scope};
use super::value::{Value, flows};
use super::walk::Walk;
use super::{Flow, Source};
use crate::catalog::{Name, Oid};
use crate::sql::tree::{Expr, JoinKind, Junction};

/// A relation where a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The relations that may be meant.
    pub relations: Vec<Oid>,
    /// What it is there for.
    pub role: Role,
    /// Columns that hold the value of the parameter of this number in all of its rows that count.
    pub fixed: BTreeMap<Name, u32>,
}

/// What a relation is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its rows are read.
    Read,
    /// Its rows are changed or deleted.
    Changed,
    /// Rows are added.
    Filled,
}

/// Values that stand side by side in rows that a statement makes or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRow {
    /// The relation, one of those that may be meant.
    pub relation: Oid,
    /// Where the statement names it: its place in [`super::Lineage::references`].
    pub reference: usize,
    /// Which rows they are.
    pub rows: Rows,
    /// The columns, with their new values. Of new rows those alone that something is given for.
    pub cells: Vec<(Name, WrittenCell)>,
}

/// Which rows a [`WrittenRow`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// New ones.
    New,
    /// Those that are there.
    Stored,
    /// Those that are there in the place of new ones: these columns are the same in both.
    Conflicting(Vec<Name>),
}

/// A value in such a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenCell {
    /// The parameters in it.
    pub parameters: Vec<u32>,
    /// The stored values in it.
    pub sources: Vec<Source>,
    /// Whether it is one of these as it is, and never anything else.
    pub alone: bool,
}

/// A column of a reference holds the same as something else.
pub(super) struct Fact {
    of: (usize, Name),
    same_as: Term,
}

#[derive(Clone)]
enum Term {
    Parameter(u32),
    Column(usize, Name),
}

impl WrittenCell {
    fn of(value: &Value) -> Self {
        let taint = value.taint();
        let parameters: Vec<u32> = taint.parameters.keys().copied().collect();
        let sources: Vec<Source> = flows(&taint).map(|(source, _)| source).collect();
        let direct = flows(&taint).all(|(_, flow)| flow == Flow::Direct);
        let constants = value.traits.constants == parameters.len();
        let alone = parameters.len().saturating_add(sources.len()) == 1 && direct && constants;
        let whole = !value.traits.nested && !value.traits.element;
        Self { alone: alone && value.is_as_given() && whole, parameters, sources }
    }

    /// The parameter that it is.
    pub fn parameter(&self) -> Option<u32> {
        self.parameters.first().copied().filter(|_| self.alone && self.sources.is_empty())
    }

    /// The stored value that it is.
    pub fn source(&self) -> Option<Source> {
        self.sources.first().copied().filter(|_| self.alone && self.parameters.is_empty())
    }
}

impl Walk<'_> {
    /// A relation is named.
    pub(super) fn named_relation(&mut self, relations: Vec<Oid>) -> Option<usize> {
        if relations.is_empty() {
            return None;
        }
        self.found.references.push(Reference { relations, role: Role::Read, fixed: BTreeMap::new() });
        self.found.references.len().checked_sub(1)
    }

    /// That is what it is named for.
    pub(super) fn named_for(&mut self, reference: Option<usize>, role: Role) {
        if let Some(reference) = reference.and_then(|reference| self.found.references.get_mut(reference)) {
            reference.role = role;
        }
    }

    /// A condition that all rows of these relations have to meet.
    pub(super) fn fix(&mut self, condition: &Expr, scope: &Scope<'_, '_>, of: &[Item]) {
        let local: BTreeSet<usize> = of.iter().filter_map(|item| item.reference).collect();
        let mut waiting = vec![condition];
        while let Some(condition) = waiting.pop() {
            match condition {
                Expr::Logic(Junction::And, parts) => waiting.extend(parts),
                Expr::Operator(operator, operands) if is_equal(operator) => {
                    let [left, right] = operands.as_slice() else { continue };
                    match (left, right) {
                        (Expr::Row(left), Expr::Row(right)) if left.len() == right.len() => {
                            for (left, right) in left.iter().zip(right) {
                                self.same(left, right, scope, &local);
                            }
                        }
                        _ => self.same(left, right, scope, &local),
                    }
                }
                _ => {}
            }
        }
    }

    /// Columns of both sides of a join that it merges.
    pub(super) fn fix_merged(&mut self, kind: JoinKind, left: &[Item], right: &[Item], names: &[Name]) {
        let having = |items: &[Item], name: &Name| -> Vec<usize> {
            items.iter().filter(|item| has_column(item, name)).filter_map(|item| item.reference).collect()
        };
        for name in names {
            let (ones, twos) = (having(left, name), having(right, name));
            let (to_left, to_right) = follows(kind);
            for (targets, sources, may) in [(&ones, &twos, to_left), (&twos, &ones, to_right)] {
                if let (true, [source]) = (may, sources.as_slice()) {
                    let facts = targets.iter().map(|target| Fact {
                        of: (*target, name.clone()),
                        same_as: Term::Column(*source, name.clone()),
                    });
                    self.facts.extend(facts);
                }
            }
        }
    }

    fn same(&mut self, left: &Expr, right: &Expr, scope: &Scope<'_, '_>, local: &BTreeSet<usize>) {
        let (ones, twos) = (terms(left, scope), terms(right, scope));
        for (targets, sources) in [(&ones, &twos), (&twos, &ones)] {
            // Of a column that a join has merged it is not known which side's value it has.
            let [source] = sources.as_slice() else { continue };
            for target in targets {
                if let Term::Column(reference, name) = target
                    && local.contains(reference)
                {
                    self.facts.push(Fact { of: (*reference, name.clone()), same_as: source.clone() });
                }
            }
        }
    }

    /// Follow what was found to be the same, to the end.
    pub(super) fn follow_facts(&mut self) {
        let facts = std::mem::take(&mut self.facts);
        loop {
            let mut changed = false;
            for Fact { of: (reference, name), same_as } in &facts {
                let number = match same_as {
                    Term::Parameter(number) => Some(*number),
                    Term::Column(other, of_other) => {
                        let other = self.found.references.get(*other);
                        other.and_then(|other| other.fixed.get(of_other).copied())
                    }
                };
                if let (Some(number), Some(reference)) = (number, self.found.references.get_mut(*reference))
                    && !reference.fixed.contains_key(name)
                {
                    reference.fixed.insert(name.clone(), number);
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// New rows.
    pub(super) fn filled(
        &mut self,
        relation: Oid,
        reference: Option<usize>,
        columns: &[Name],
        rows: &[Vec<WrittenCell>],
    ) {
        let Some(reference) = reference else { return };
        for row in rows {
            let given = |(_, cell): &(&Name, &WrittenCell)| !(cell.parameters.is_empty() && cell.sources.is_empty());
            let cells = columns.iter().zip(row).filter(given);
            let cells: Vec<_> = cells.map(|(name, cell)| (name.clone(), cell.clone())).collect();
            if !cells.is_empty() {
                self.found.rows.push(WrittenRow { relation, reference, rows: Rows::New, cells });
            }
        }
    }

    /// Rows that are there get these values.
    pub(super) fn changed(
        &mut self,
        relations: &[Oid],
        reference: Option<usize>,
        rows: &Rows,
        cells: &[(Name, Value)],
    ) {
        let Some(reference) = reference else { return };
        let cells: Vec<_> = cells.iter().map(|(name, value)| (name.clone(), WrittenCell::of(value))).collect();
        for &relation in relations {
            self.found.rows.push(WrittenRow { relation, reference, rows: rows.clone(), cells: cells.clone() });
        }
    }

    /// A common table expression is read.
    pub(super) fn read_again(&mut self, table: *const super::value::Table) {
        self.found.repeats |= self.read.contains(&table);
        self.read.push(table);
    }
}

/// Cells of one row.
pub(super) fn cells_of<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<WrittenCell> {
    values.map(WrittenCell::of).collect()
}

/// Of which sides the rows of a join meet its condition: the left, the right.
pub(super) fn follows(kind: JoinKind) -> (bool, bool) {
    match kind {
        JoinKind::Inner | JoinKind::Cross => (true, true),
        JoinKind::Left => (false, true),
        JoinKind::Right => (true, false),
        JoinKind::Full => (false, false),
    }
}

fn is_equal(operator: &crate::sql::tree::Operator) -> bool {
    let built_in = operator.schema.as_ref().is_none_or(|schema| schema.as_str() == "pg_catalog");
    built_in && operator.symbol.as_ref() == "="
}

/// Whether a relation has a column of that name for certain.
fn has_column(item: &Item, name: &Name) -> bool {
    item.reference.is_some()
        && item.table.columns.iter().any(|column| column.certain && column.name.as_ref() == Some(name))
}

/// What an expression stands for, if it is a parameter or the column of a relation; several where a join has merged them.
fn terms(expr: &Expr, scope: &Scope<'_, '_>) -> Vec<Term> {
    let path = match expr {
        Expr::Parameter(number) => return vec![Term::Parameter(*number)],
        Expr::Column(path) => path,
        _ => return Vec::new(),
    };
    let column = |item: &Item, name: &Name| match item.reference {
        Some(reference) if has_column(item, name) => Some(Term::Column(reference, name.clone())),
        Some(_) | None => None,
    };
    match path.as_slice() {
        [name] => {
            let mut level = Some(scope);
            while let Some(scope) = level {
                if !matches!(scope.column(name, true), Found::Nothing) {
                    return scope.items.iter().filter_map(|item| column(item, name)).collect();
                }
                level = scope.parent;
            }
            Vec::new()
        }
        [parts @ .., name] => match Walk::items_named(parts, scope) {
            Some(items) => match items.as_slice() {
                [item] => column(item, name).into_iter().collect(),
                _ => Vec::new(),
            },
            None => Vec::new(),
        },
        [] => Vec::new(),
    }
}
