//! One walk over a statement: what has been found so far, and how far it may go.

use std::collections::BTreeMap;

use super::gather::Rows;
use super::references::{Fact, WrittenCell};
use super::value::{Table, Value};
use super::{Lineage, Origin, Source};
use crate::catalog::{Catalog, Name, Oid};
use crate::sql::tree::Expr;
use crate::sql::{Limits, NotUnderstood};

/// Columns, values and sources that one lineage may go through before the statement is too large.
const STEPS_MAX: usize = 1_000_000;
/// How deep queries, joins and expressions may be nested, chains of the same operator aside.
const DEPTH_MAX: usize = 1_000;

/// One walk over a statement.
pub(super) struct Walk<'q> {
    pub catalog: &'q Catalog,
    pub limits: &'q Limits,
    /// What has been found so far.
    pub found: Lineage,
    /// How often each relation stands in the statement.
    pub named: BTreeMap<Oid, usize>,
    /// What is grouped now is told apart by a unique key of its relation already.
    pub beside_key: bool,
    /// How many constants each column is compared with.
    pub equalities: BTreeMap<Source, usize>,
    /// Whether what looks at values now is accounted for in [`Lineage::comparisons`].
    pub exact: bool,
    /// Whether something has been found that may fail, since [`Walk::apart`] began.
    pub fails: bool,
    /// The partitions of the windows of the SELECT under way, and what they are made of.
    pub partitions: Vec<(&'q [Expr], Vec<Value>)>,
    /// How often a stored value may come.
    pub rows: Rows,
    /// How many relations have been gone through.
    pub entries: usize,
    /// Whether the caller has made a series of rows.
    pub series: bool,
    /// What is the same as what.
    pub facts: Vec<Fact>,
    /// The rows of the VALUES that an INSERT adds; `None`: they are not asked for.
    pub captured: Option<Vec<Vec<WrittenCell>>>,
    /// The common table expressions that were read.
    pub read: Vec<*const Table>,
    steps: usize,
    depth: usize,
}

impl<'q> Walk<'q> {
    pub(super) fn new(catalog: &'q Catalog, limits: &'q Limits) -> Self {
        Self {
            catalog,
            limits,
            found: Lineage::default(),
            named: BTreeMap::new(),
            beside_key: false,
            equalities: BTreeMap::new(),
            exact: false,
            fails: false,
            partitions: Vec::new(),
            rows: Rows::default(),
            entries: 0,
            series: false,
            facts: Vec::new(),
            captured: None,
            read: Vec::new(),
            steps: 0,
            depth: 0,
        }
    }

    /// Count work that grows with the statement's width.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), NotUnderstood> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX { Err(NotUnderstood::TooLarge) } else { Ok(()) }
    }

    /// Count a value that was put together.
    pub(super) fn charge_value(&mut self, value: &Value) -> Result<(), NotUnderstood> {
        self.charge(weight(&value.origin))
    }

    /// Go one level down: every `enter` is followed by a [`Walk::leave`], unless the walk ends with an error.
    pub(super) fn enter(&mut self) -> Result<(), NotUnderstood> {
        self.depth += 1;
        self.charge(1)?;
        if self.depth > DEPTH_MAX { Err(NotUnderstood::TooLarge) } else { Ok(()) }
    }

    /// Walk over something and say whether computing it may fail.
    pub(super) fn apart<T>(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<T, NotUnderstood>,
    ) -> Result<(T, bool), NotUnderstood> {
        let before = std::mem::replace(&mut self.fails, false);
        let result = walk(self)?;
        let fails = std::mem::replace(&mut self.fails, before);
        self.fails |= fails;
        Ok((result, fails))
    }

    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn unresolved(&mut self, name: &Name) {
        self.found.unresolved.insert(name.clone());
    }
}

/// How much there is of an origin.
fn weight(origin: &Origin) -> usize {
    match origin {
        Origin::Value(taint) => 1 + taint.sources.len() + taint.parameters.len(),
        Origin::Row(fields) => fields.iter().fold(1usize, |sum, field| sum.saturating_add(weight(field))),
    }
}
