//! How tags spread from the columns that the policy names to everything that is made of them.

mod acting;
mod handed;
mod mentions;
mod unnamed;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Reach;
use super::inventory::{Binding, FunctionReach, Memory};
use super::system::{QUOTING, QUOTING_FUNCTIONS};
use crate::catalog::{Catalog, Dependent, Function, FunctionKind, Name, Oid, Relation, Type, TypeKind, Used};
use crate::policy::TaggedColumnId;
use crate::sql::lineage::{FilterKind, FilterUse, Flow, Source, Taint, Unknown, is_closed, is_forbidden};
use acting::{acting, makers};
use handed::{Handed, handed};
use mentions::{
    Mentions, Query, ViewColumns, compares_only, filters_of_cursors, names_in, takes_texts, used_by_query,
    view_columns, whole,
};
pub(super) use unnamed::Unnamed;

/// What every column and function reaches.
#[derive(Debug, Default)]
pub(super) struct Spread {
    pub columns: HashMap<(Oid, i16), Reach>,
    /// Each relation's columns taken together.
    pub relations: HashMap<Oid, Reach>,
    pub functions: HashMap<Oid, FunctionReach>,
    /// What functions put into each field of the rows that they return, where that can be told; clean ones too.
    pub fields: HashMap<Oid, Vec<Reach>>,
    /// Filters in functions that return as many rows, or open cursors with as many, as their caller's arguments find, or fail by
    /// what these find: they are the caller's own.
    pub filters: HashMap<Oid, Arc<[FilterUse]>>,
    pub unnamed: Unnamed,
    /// Columns of views that are columns of other relations as they are.
    pub stored: HashMap<(Oid, i16), (Oid, i16)>,
    /// Every word of the bodies of user-defined functions.
    pub mentioned: HashSet<Name>,
    /// User-defined functions that may keep what they are given or pass it on.
    pub acting: HashSet<Oid>,
    /// Names of user-defined functions that make or change code when they run.
    pub makers: HashSet<Name>,
    /// What handles tagged values though statements do not name them.
    pub handed: Handed,
    /// Whether functions send notifications that may hold tagged values: they read them, or are triggers of their tables.
    pub notifies: bool,
}

struct Spreading<'a> {
    catalog: &'a Catalog,
    everything: &'a Reach,
    indexes: &'a HashSet<TaggedColumnId>,
    spread: Spread,
    views: HashMap<Oid, ViewColumns>,
    /// What functions in SQL use, where they are a single statement that is understood.
    queries: HashMap<Oid, Option<Query>>,
    /// What decides which rows the cursors show that functions open.
    cursors: HashMap<Oid, Arc<[FilterUse]>>,
    changed: bool,
}

/// A column whose values are rows of a relation: the column's relation and number, and the relation of its rows.
type Rows = (Oid, i16, Oid);

impl Spread {
    /// Spread the bindings' tags over a catalog. `indexes`: the columns of blind indexes.
    pub(super) fn over(
        catalog: &Catalog,
        (bindings, indexes): (&[Binding], &HashSet<TaggedColumnId>),
        remembered: &Memory,
        everything: &Reach,
    ) -> Self {
        let spread = Self::default();
        let (views, queries, cursors) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut spreading = Spreading { catalog, everything, indexes, spread, views, queries, cursors, changed: false };
        let mut bound = HashSet::new();
        for binding in bindings {
            bound.insert((binding.relation, binding.attnum));
            spreading.mark(binding.relation, binding.attnum, &Reach::of(binding.id, Flow::Direct), Flow::Direct);
        }
        for (relation, attnum, reach) in remembered.columns() {
            spreading.mark(relation, attnum, reach, Flow::Direct);
        }
        spreading.mark_quoting();
        spreading.mark_opaque_functions();
        let users: Vec<&Relation> = catalog.relations().filter(|relation| !is_system(&relation.schema)).collect();
        let children: Vec<&Relation> = users.iter().copied().filter(|child| !child.parents.is_empty()).collect();
        let generated: Vec<_> = users.iter().flat_map(|relation| generated_columns(catalog, relation)).collect();
        let composites: Vec<Rows> = users.iter().flat_map(|relation| rows_of(catalog, relation)).collect();
        let defined = |view: &&'_ Relation| Some(Mentions::of(catalog, view.definition.as_deref()?));
        let views: Vec<_> = users.iter().filter_map(|view| Some((*view, defined(view)?))).collect();
        let bodies = catalog.functions().filter(|function| !is_system(&function.schema));
        let bodies: Vec<_> =
            bodies.filter_map(|function| Some((function, Mentions::of(catalog, function.body.as_deref()?)))).collect();
        // Each round follows every view, child and function one level further. Reaches only grow, and there is a largest
        // one: it ends.
        loop {
            spreading.changed = false;
            for relation in &children {
                spreading.along_inheritance(relation);
            }
            for (relation, attnum, expression) in &generated {
                spreading.along_generated(relation, *attnum, expression);
            }
            for &rows in &composites {
                spreading.along_composite(rows);
            }
            spreading.along_foreign_keys(&bound);
            for (view, mentions) in &views {
                spreading.along_view(view, mentions);
            }
            for (function, mentions) in &bodies {
                spreading.along_function(function, mentions);
            }
            spreading.along_dependencies();
            if !spreading.changed {
                break;
            }
        }
        let words = catalog.functions().filter(|function| !is_system(&function.schema));
        let words = words.filter_map(|function| names_in(function.body.as_deref()?)).flatten();
        spreading.spread.mentioned = words.collect();
        spreading.spread.acting = acting(catalog, &bodies);
        spreading.spread.makers = makers(catalog, &bodies);
        spreading.spread.handed = handed(catalog, &spreading.spread, &bodies, &views);
        spreading.spread.notifies = spreading.notifies(&bodies);
        spreading.spread.unnamed = Unnamed::new(catalog, &spreading.spread, everything);
        spreading.spread
    }

    /// What a function of users reaches when it is called; `None`: nothing tagged.
    fn called<'a>(&'a self, catalog: &Catalog, function: Oid, everything: &'a Reach) -> Option<&'a Reach> {
        match self.functions.get(&function) {
            Some(FunctionReach::Reads(reach)) => Some(reach),
            Some(FunctionReach::Opaque) => Some(everything),
            // One of an extension that runs strings or reaches other sessions.
            None => catalog.function(function).is_some_and(is_closed).then_some(everything),
        }
    }

    /// What a function of users puts into a field of the rows that it returns, if that can be told.
    pub(super) fn field(&self, function: Oid, position: usize) -> Option<&Reach> {
        self.fields.get(&function)?.get(position)
    }

    /// What something uses.
    fn used<'a>(&'a self, catalog: &Catalog, used: Used, everything: &'a Reach) -> Option<&'a Reach> {
        match used {
            Used::Function(function) => self.called(catalog, function, everything),
            Used::Relation(relation) => self.relations.get(&relation),
        }
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
        if *known != before {
            self.changed = true;
            self.spread.relations.entry(relation).or_default().absorb(known, Flow::Direct);
        }
    }

    fn mark_function(&mut self, function: Oid, reach: &Reach) {
        if reach.is_clean() {
            return;
        }
        let known = self.spread.functions.entry(function).or_insert_with(|| FunctionReach::Reads(Reach::default()));
        if let FunctionReach::Reads(known) = known {
            let before = known.clone();
            known.absorb(reach, Flow::Derived);
            self.changed |= *known != before;
        }
    }

    fn reach(&self, relation: Oid, attnum: i16) -> Option<Reach> {
        self.spread.columns.get(&(relation, attnum)).cloned()
    }

    /// System relations that can quote values of any table, and the storage of long values.
    fn mark_quoting(&mut self) {
        for toast in self.catalog.relations().filter(|relation| relation.schema.as_str().starts_with("pg_toast")) {
            for column in &toast.columns {
                self.mark(toast.oid, column.attnum, self.everything, Flow::Derived);
            }
        }
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

    /// A generated column is derived from every column that its expression names, and from what its functions read.
    /// The column of a blind index is one of its own, and shown to nobody.
    fn along_generated(&mut self, relation: &Relation, attnum: i16, expression: &Expression) {
        let known = self.spread.columns.get(&(relation.oid, attnum));
        if known.is_some_and(|known| known.columns.keys().any(|id| self.indexes.contains(id))) {
            return;
        }
        for &used in &expression.columns {
            if let Some(reach) = self.reach(relation.oid, used) {
                self.mark(relation.oid, attnum, &reach, Flow::Derived);
            }
        }
        if expression.mentions.unreadable {
            self.mark(relation.oid, attnum, self.everything, Flow::Derived);
        }
        let mut called = Reach::default();
        for &function in &expression.mentions.functions {
            if let Some(reach) = self.spread.called(self.catalog, function, self.everything) {
                called.absorb(reach, Flow::Derived);
            }
        }
        self.mark(relation.oid, attnum, &called, Flow::Derived);
    }

    /// A column whose type is the row type of a relation holds what that relation's columns hold.
    fn along_composite(&mut self, (relation, attnum, row): Rows) {
        if let Some(reach) = self.spread.relations.get(&row).cloned() {
            self.mark(relation, attnum, &reach, Flow::Derived);
        }
    }

    /// A column that references a tagged one holds values of it. Where the policy speaks of the referencing column
    /// itself, its word counts.
    fn along_foreign_keys(&mut self, bound: &HashSet<(Oid, i16)>) {
        for key in self.catalog.foreign_keys() {
            for &(own, referenced) in &key.columns {
                if bound.contains(&(key.relation, own)) {
                    continue;
                }
                if let Some(reach) = self.reach(key.references, referenced) {
                    self.mark(key.relation, own, &reach, Flow::Direct);
                }
            }
        }
    }

    /// A view's columns hold what its definition puts there.
    fn along_view(&mut self, view: &Relation, mentions: &Mentions) {
        let reached = self.mentioned(mentions);
        if reached.is_clean() && !mentions.runs_strings {
            return;
        }
        let columns = match self.views.get(&view.oid) {
            Some(columns) => columns.clone(),
            None => {
                let definition = view.definition.as_deref().unwrap_or_default();
                let columns = view_columns(definition, view.columns.len(), self.catalog);
                self.views.insert(view.oid, columns.clone());
                columns
            }
        };
        let mut unclear = match columns {
            ViewColumns::Known(taints, stored) => {
                for (column, stored) in view.columns.iter().zip(stored.iter()) {
                    if let Some(stored) = stored {
                        self.spread.stored.insert((view.oid, column.attnum), *stored);
                    }
                }
                for (column, taint) in view.columns.iter().zip(taints.iter()) {
                    let reach = self.resolve(taint);
                    self.mark(view.oid, column.attnum, &reach, Flow::Direct);
                }
                return;
            }
            ViewColumns::NotUnderstood => reached,
            ViewColumns::RunsStrings => self.everything.clone(),
        };
        unclear.unknown = Some(Unknown::Construct);
        for column in &view.columns {
            self.mark(view.oid, column.attnum, &unclear, Flow::Derived);
        }
    }

    /// A function reads what its body uses, where that is known, or else all that its body names.
    fn along_function(&mut self, function: &Function, mentions: &Mentions) {
        let mut reach = self.mentioned(mentions);
        if reach.is_clean() {
            return;
        }
        let mut filters: Arc<[FilterUse]> = Arc::new([whole(function.oid)]);
        // whether it fails tells its caller what it has found
        let mut tells = false;
        if function.language.as_str() == "sql" {
            let body = function.body.as_deref().unwrap_or_default();
            let catalog = self.catalog;
            let known =
                self.queries.entry(function.oid).or_insert_with(|| used_by_query(body, function, catalog)).clone();
            if let Some(query) = known {
                reach = self.resolve(&query.used);
                filters = Arc::clone(&query.filters);
                tells = query.fails;
                // a single column may be the whole row
                let fields = query.fields.as_ref().filter(|fields| fields.len() == fields_of(self.catalog, function));
                if let Some(fields) = fields {
                    let all = self.resolve(&query.rows);
                    let fields: Vec<Reach> = fields.iter().map(|taint| self.resolve(taint)).collect();
                    for (position, mut field) in fields.into_iter().enumerate() {
                        field.absorb(&all, Flow::Derived);
                        self.mark_field(function.oid, position, &field);
                    }
                }
            }
        }
        if mentions.opens_cursors && function.language.as_str() == "plpgsql" {
            let (catalog, own) = (self.catalog, &filters);
            let known = self.cursors.entry(function.oid);
            filters = Arc::clone(
                known.or_insert_with(|| filters_of_cursors(function, catalog).unwrap_or_else(|| Arc::clone(own))),
            );
        }
        if mentions.raises
            && !(function.returns_set || mentions.opens_cursors)
            && (takes_texts(function) || mentions.reads_settings)
            && function.language.as_str() == "plpgsql"
        {
            (tells, filters) = (true, self.sought(function, mentions));
        }
        // a setting is an argument, too
        let asks = !function.inputs.is_empty() || mentions.reads_settings;
        if (function.returns_set || mentions.opens_cursors || tells) && asks {
            self.spread.filters.insert(function.oid, filters);
        }
        self.mark_function(function.oid, &reach);
    }

    /// What a function in PL/pgSQL finds values by, where its error tells whether it has found some.
    fn sought(&self, function: &Function, mentions: &Mentions) -> Arc<[FilterUse]> {
        let body = function.body.as_deref().unwrap_or_default();
        let Some(names) = names_in(body).filter(|_| compares_only(body)) else {
            return Arc::new([whole(function.oid)]);
        };
        let relations = mentions.relations.iter().filter_map(|&relation| self.catalog.relation(relation));
        let columns = relations.flat_map(|relation| {
            let named = relation.columns.iter().filter(|column| names.contains(&column.name));
            named.map(|column| Source::Column { relation: relation.oid, attnum: column.attnum })
        });
        columns.map(|source| FilterUse { source, kind: FilterKind::Equality }).collect()
    }

    fn mark_field(&mut self, function: Oid, position: usize, reach: &Reach) {
        let fields = self.spread.fields.entry(function).or_default();
        if fields.len() <= position {
            fields.resize_with(position.saturating_add(1), Reach::default);
        }
        if let Some(known) = fields.get_mut(position) {
            let before = known.clone();
            known.absorb(reach, Flow::Derived);
            self.changed |= *known != before;
        }
    }

    /// Whether a function that sends notifications reads tagged columns, or is called by a relation that has them.
    fn notifies(&self, bodies: &[(&Function, Mentions)]) -> bool {
        // The extension tcn puts the key of each changed row into its payloads.
        let keys = self.catalog.functions_named(None, &Name::exact("triggered_change_notification"));
        let sending = bodies.iter().filter(|(_, mentions)| mentions.notifies).map(|(function, _)| function.oid);
        let sending: HashSet<Oid> = sending.chain(keys.map(|function| function.oid)).collect();
        let called = |of: &Dependent, on: Used| match (of, on) {
            (Dependent::Relation(relation), Used::Function(function)) => {
                sending.contains(&function) && self.spread.relations.contains_key(relation)
            }
            _ => false,
        };
        sending.iter().any(|function| self.spread.functions.contains_key(function))
            || self.catalog.dependencies().iter().any(|dependency| called(&dependency.of, dependency.on))
    }

    /// What functions call without naming it in their bodies, and what operators in views call: lineage knows operators
    /// by their symbols only.
    fn along_dependencies(&mut self) {
        for dependency in self.catalog.dependencies() {
            let used = || self.spread.used(self.catalog, dependency.on, self.everything).cloned();
            match &dependency.of {
                Dependent::Function(function) => {
                    if let Some(reach) = used() {
                        self.mark_function(*function, &reach);
                        let fields = self.spread.fields.get(function).map_or(0, Vec::len);
                        (0..fields).for_each(|position| self.mark_field(*function, position, &reach));
                    }
                }
                Dependent::View(view) => {
                    let (Some(reach), Some(view)) = (used(), self.catalog.relation(*view)) else { continue };
                    for column in &view.columns {
                        self.mark(view.oid, column.attnum, &reach, Flow::Derived);
                    }
                }
                Dependent::Relation(_)
                | Dependent::Rule(_)
                | Dependent::Domain(_)
                | Dependent::Operator(_)
                | Dependent::Cast { .. } => {}
            }
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
                Source::Function(function) => {
                    if let Some(inner) = self.spread.called(self.catalog, function, self.everything) {
                        reach.absorb(inner, Flow::Derived);
                    }
                }
                Source::Field { function, position } => {
                    let whole = || self.spread.called(self.catalog, function, self.everything);
                    let inner = self.spread.field(function, position).or_else(whole);
                    if let Some(inner) = inner {
                        reach.absorb(inner, Flow::Derived);
                    }
                }
            }
        }
        reach
    }

    /// What the relations and functions named in a text reach, at the worst.
    fn mentioned(&self, mentions: &Mentions) -> Reach {
        if mentions.unreadable {
            return self.everything.clone();
        }
        let mut reach = Reach::default();
        for relation in &mentions.relations {
            if let Some(inner) = self.spread.relations.get(relation) {
                reach.absorb(inner, Flow::Derived);
            }
        }
        for &function in &mentions.functions {
            if let Some(inner) = self.spread.called(self.catalog, function, self.everything) {
                reach.absorb(inner, Flow::Derived);
            }
        }
        reach
    }
}

/// What the expression of a generated column names.
struct Expression {
    columns: Vec<i16>,
    mentions: Mentions,
}

fn generated_columns<'a>(
    catalog: &'a Catalog,
    relation: &'a Relation,
) -> impl Iterator<Item = (&'a Relation, i16, Expression)> {
    relation.columns.iter().filter_map(move |column| {
        let text = column.generated.as_deref()?;
        let columns = match names_in(text) {
            Some(names) => relation.columns.iter().filter(|used| names.contains(&used.name)).collect::<Vec<_>>(),
            None => relation.columns.iter().collect(),
        };
        let columns = columns.into_iter().map(|used| used.attnum).collect();
        Some((relation, column.attnum, Expression { columns, mentions: Mentions::of(catalog, text) }))
    })
}

fn rows_of<'a>(catalog: &'a Catalog, relation: &'a Relation) -> impl Iterator<Item = Rows> {
    let columns = relation.columns.iter();
    columns.filter_map(move |column| Some((relation.oid, column.attnum, composite(catalog, column.type_oid)?)))
}

/// How many fields the rows have that a function returns; 0: it returns none, or which ones is not known.
fn fields_of(catalog: &Catalog, function: &Function) -> usize {
    match (function.outputs.len(), composite(catalog, function.returns)) {
        (0 | 1, Some(relation)) => catalog.relation(relation).map_or(0, |relation| relation.columns.len()),
        (0 | 1, None) => 0,
        (outputs, _) => outputs,
    }
}

/// Whether a schema is PostgreSQL's own: nothing in it can be made of user tables.
pub(super) fn is_system(schema: &Name) -> bool {
    matches!(schema.as_str(), "pg_catalog" | "information_schema")
}

/// Whether a user-defined function may do more than its body's words say.
fn is_opaque(function: &Function) -> bool {
    match (function.language.as_str(), &function.body) {
        ("sql", Some(body)) | ("plpgsql", Some(body)) if function.kind != FunctionKind::Aggregate => {
            names_in(body).is_none_or(|names| names.iter().any(runs_strings))
        }
        // The server's own, which build a value of their arguments.
        ("internal", Some(_)) => false,
        // Functions in C come with extensions; those that reach past their arguments are forbidden by name.
        ("c" | "internal", _) => function.extension.is_none() && function.kind != FunctionKind::Aggregate,
        _ => function.kind != FunctionKind::Aggregate,
    }
}

fn composite(catalog: &Catalog, type_oid: Oid) -> Option<Oid> {
    let mut described: &Type = catalog.type_of(type_oid)?;
    // Arrays and domains are made of types that were there before them: there is no circle, and the bound is only there
    // so that a catalog that says otherwise ends as well.
    for _ in 0..10_000 {
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

/// Whether a word of a function's body says that it runs strings, reads what others opened, or changes how later
/// statements read.
fn runs_strings(word: &Name) -> bool {
    matches!(word.as_str(), "execute" | "fetch" | "client_encoding" | "standard_conforming_strings")
        || is_forbidden(word)
}
