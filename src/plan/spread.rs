//! How tags spread from the columns that the policy names to everything that is made of them.

use std::collections::{HashMap, HashSet};

use super::Reach;
use super::inventory::{Binding, FunctionReach};
use super::powers::is_acting;
use super::system::{QUOTING, QUOTING_FUNCTIONS};
use crate::catalog::{Catalog, Function, FunctionKind, Name, Oid, Relation, Type, TypeKind};
use crate::sql::lineage::{Flow, Source, Taint, Unknown, is_forbidden};
use crate::sql::statement::{Analysis, Reading};
use crate::sql::words::loose_words;
use crate::sql::{Limits, analyze};

/// How often tags may spread by one more step before what is left counts as done. Each step follows every view, child
/// and function one level further; a schema nested deeper than this does not occur outside of attacks.
const STEPS_MAX: usize = 100;

/// What every column and function reaches.
pub(super) struct Spread {
    pub columns: HashMap<(Oid, i16), Reach>,
    pub functions: HashMap<Oid, FunctionReach>,
    /// User-defined functions that may keep what they are given or pass it on.
    pub acting: HashSet<Oid>,
}

/// The origins of a view's columns in terms of the relations that it names; `None`: its definition is not understood.
type ViewColumns = Option<Vec<Taint>>;

struct Spreading<'a> {
    catalog: &'a Catalog,
    everything: &'a Reach,
    spread: Spread,
    views: HashMap<Oid, ViewColumns>,
    changed: bool,
}

impl Spread {
    /// Spread the bindings' tags over a catalog.
    pub(super) fn over(catalog: &Catalog, bindings: &[Binding], everything: &Reach) -> Self {
        let spread = Self { columns: HashMap::new(), functions: HashMap::new(), acting: HashSet::new() };
        let mut spreading = Spreading { catalog, everything, spread, views: HashMap::new(), changed: false };
        for binding in bindings {
            spreading.mark(binding.relation, binding.attnum, &Reach::of(binding.id, Flow::Direct), Flow::Direct);
        }
        spreading.mark_quoting();
        spreading.mark_opaque_functions();
        for _ in 0..STEPS_MAX {
            spreading.changed = false;
            for relation in catalog.relations().filter(|relation| !is_system(&relation.schema)) {
                spreading.along_inheritance(relation);
                spreading.along_generated(relation);
                spreading.along_composites(relation);
                spreading.along_view(relation);
            }
            for function in catalog.functions().filter(|function| !is_system(&function.schema)) {
                spreading.along_function(function);
                spreading.along_calls(function);
            }
            if !spreading.changed {
                break;
            }
        }
        spreading.spread
    }
}

impl Spreading<'_> {
    fn mark(&mut self, relation: Oid, attnum: i16, reach: &Reach, flow: Flow) {
        if reach.is_clean() {
            return;
        }
        let known = self.spread.columns.entry((relation, attnum)).or_default();
        let before = known.clone();
        known.absorb(reach, flow);
        self.changed |= *known != before;
    }

    fn reach(&self, relation: Oid, attnum: i16) -> Option<Reach> {
        self.spread.columns.get(&(relation, attnum)).cloned()
    }

    /// System relations that can quote values of any table.
    fn mark_quoting(&mut self) {
        for quoting in QUOTING {
            for relation in self.catalog.relations_named(None, &Name::exact(quoting.relation)) {
                for column in quoting.columns.iter().filter_map(|name| relation.column(name)) {
                    self.mark(relation.oid, column.attnum, self.everything, Flow::Derived);
                }
            }
        }
    }

    /// Functions that pgveil can not look into, or that evaluate strings.
    fn mark_opaque_functions(&mut self) {
        for function in self.catalog.functions() {
            if is_system(&function.schema) {
                if QUOTING_FUNCTIONS.contains(&function.name.as_str()) {
                    let reach = FunctionReach::Reads(self.everything.clone());
                    self.spread.functions.insert(function.oid, reach);
                }
            } else if is_opaque(function) {
                self.spread.functions.insert(function.oid, FunctionReach::Opaque);
            }
        }
    }

    /// A child's rows are read through its parents, and a parent's policy is meant for its children.
    fn along_inheritance(&mut self, child: &Relation) {
        for parent in child.parents.iter().filter_map(|&parent| self.catalog.relation(parent)) {
            for column in &child.columns {
                let Some(above) = parent.column(column.name.as_str()) else { continue };
                if let Some(reach) = self.reach(parent.oid, above.attnum) {
                    self.mark(child.oid, column.attnum, &reach, Flow::Direct);
                }
                if let Some(reach) = self.reach(child.oid, column.attnum) {
                    self.mark(parent.oid, above.attnum, &reach, Flow::Direct);
                }
            }
        }
    }

    /// A generated column is derived from every column that its expression names.
    fn along_generated(&mut self, relation: &Relation) {
        for column in &relation.columns {
            let Some(expression) = &column.generated else { continue };
            for word in loose_words(expression) {
                let Some(used) = relation.column(word.as_str()) else { continue };
                if let Some(reach) = self.reach(relation.oid, used.attnum) {
                    self.mark(relation.oid, column.attnum, &reach, Flow::Derived);
                }
            }
        }
    }

    /// A column whose type is the row type of a relation holds what that relation's columns hold.
    fn along_composites(&mut self, relation: &Relation) {
        for column in &relation.columns {
            let Some(row) = composite(self.catalog, column.type_oid) else { continue };
            let fields: Vec<Reach> = self
                .catalog
                .relation(row)
                .into_iter()
                .flat_map(|row| row.columns.iter().filter_map(|field| self.reach(row.oid, field.attnum)))
                .collect();
            for reach in fields {
                self.mark(relation.oid, column.attnum, &reach, Flow::Derived);
            }
        }
    }

    /// A view's columns hold what its definition puts there.
    fn along_view(&mut self, view: &Relation) {
        let Some(definition) = &view.definition else { return };
        let columns = match self.views.get(&view.oid) {
            Some(columns) => columns.clone(),
            None => {
                if !self.names_reached(definition) {
                    return;
                }
                let columns = view_columns(definition, view.columns.len(), self.catalog);
                self.views.insert(view.oid, columns.clone());
                columns
            }
        };
        match columns {
            Some(taints) => {
                for (column, taint) in view.columns.iter().zip(taints) {
                    let reach = self.resolve(&taint);
                    self.mark(view.oid, column.attnum, &reach, Flow::Direct);
                }
            }
            None => {
                let mut reach = self.words_reach(definition);
                reach.unknown = Some(Unknown::Construct);
                for column in &view.columns {
                    self.mark(view.oid, column.attnum, &reach, Flow::Derived);
                }
            }
        }
    }

    /// A function reads what its body names.
    fn along_function(&mut self, function: &Function) {
        let Some(body) = &function.body else { return };
        let before = match self.spread.functions.get(&function.oid) {
            Some(FunctionReach::Opaque) => return,
            Some(FunctionReach::Reads(reach)) => Some(reach.clone()),
            None => None,
        };
        let reach = self.words_reach(body);
        if !reach.is_clean() && before.as_ref() != Some(&reach) {
            self.spread.functions.insert(function.oid, FunctionReach::Reads(reach));
            self.changed = true;
        }
    }

    /// A function acts if its body says so, or calls one that does. Of an aggregate pgveil does not know the functions.
    fn along_calls(&mut self, function: &Function) {
        if self.spread.acting.contains(&function.oid) || function.extension.is_some() {
            return;
        }
        let acts = match &function.body {
            None => true,
            Some(body) => loose_words(body).iter().any(|word| {
                is_acting(word)
                    || self.catalog.functions_named(None, word).any(|other| self.spread.acting.contains(&other.oid))
            }),
        };
        if acts {
            self.spread.acting.insert(function.oid);
            self.changed = true;
        }
    }

    fn resolve(&self, taint: &Taint) -> Reach {
        let mut reach = Reach { unknown: taint.unknown, ..Reach::default() };
        for (&source, &flow) in &taint.sources {
            match source {
                Source::Column { relation, attnum } => {
                    if let Some(inner) = self.spread.columns.get(&(relation, attnum)) {
                        reach.absorb(inner, flow);
                    }
                }
                Source::Function(function) => match self.spread.functions.get(&function) {
                    Some(FunctionReach::Reads(inner)) => reach.absorb(inner, Flow::Derived),
                    Some(FunctionReach::Opaque) => reach.absorb(self.everything, Flow::Derived),
                    None => {}
                },
            }
        }
        reach
    }

    fn names_reached(&self, text: &str) -> bool {
        !self.words_reach(text).is_clean()
    }

    /// What the relations and functions named in a text reach, at the worst.
    fn words_reach(&self, text: &str) -> Reach {
        let mut reach = Reach::default();
        for word in loose_words(text) {
            for relation in self.catalog.relations_named(None, &word) {
                for column in &relation.columns {
                    if let Some(inner) = self.spread.columns.get(&(relation.oid, column.attnum)) {
                        reach.absorb(inner, Flow::Derived);
                    }
                }
            }
            for function in self.catalog.functions_named(None, &word) {
                match self.spread.functions.get(&function.oid) {
                    Some(FunctionReach::Reads(inner)) => reach.absorb(inner, Flow::Derived),
                    Some(FunctionReach::Opaque) => reach.absorb(self.everything, Flow::Derived),
                    None => {}
                }
            }
        }
        reach
    }
}

/// Whether a schema is PostgreSQL's own: nothing in it can be made of user tables.
fn is_system(schema: &Name) -> bool {
    matches!(schema.as_str(), "pg_catalog" | "information_schema")
}

/// Whether a user-defined function may do more than its body's words say.
fn is_opaque(function: &Function) -> bool {
    match (function.language.as_str(), &function.body) {
        ("sql", Some(_)) if function.kind != FunctionKind::Aggregate => evaluates_strings(function),
        ("plpgsql", Some(_)) => evaluates_strings(function),
        // Functions in C come with extensions; those that reach past their arguments are forbidden by name.
        ("c" | "internal", _) => function.extension.is_none() && function.kind != FunctionKind::Aggregate,
        _ => function.kind != FunctionKind::Aggregate,
    }
}

fn evaluates_strings(function: &Function) -> bool {
    let body = function.body.as_deref().unwrap_or_default();
    loose_words(body).iter().any(|word| {
        matches!(word.as_str(), "execute" | "fetch" | "client_encoding" | "standard_conforming_strings")
            || is_forbidden(word)
    })
}

fn composite(catalog: &Catalog, type_oid: Oid) -> Option<Oid> {
    let mut described: &Type = catalog.type_of(type_oid)?;
    for _ in 0..8 {
        match &described.kind {
            TypeKind::Composite(relation) => return Some(*relation),
            TypeKind::Array(inner) | TypeKind::Domain(inner) => described = catalog.type_of(*inner)?,
            TypeKind::Base | TypeKind::Enum(_) | TypeKind::Range(_) | TypeKind::Multirange(_) | TypeKind::Pseudo => {
                return None;
            }
        }
    }
    None
}

fn view_columns(definition: &str, count: usize, catalog: &Catalog) -> ViewColumns {
    let limits = Limits::default();
    match analyze::analyze(definition.as_bytes(), catalog, &limits) {
        Analysis::Statements(statements) => match statements.as_slice() {
            [statement] => match &statement.reading {
                Reading::Understood(lineage) if lineage.outputs.len() == count => {
                    Some(lineage.outputs.iter().map(|output| output.origin.taint()).collect())
                }
                Reading::Understood(_) | Reading::NoQuery | Reading::NotUnderstood(_) => None,
            },
            _ => None,
        },
        Analysis::Opaque(..) => None,
    }
}
