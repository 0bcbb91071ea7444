//! Which changes of the catalog can not have given a statement another meaning.
//!
//! A change is known by the words of its definition ([`Words`](super::gate::Words)): it can matter to a statement only if
//! one of them is a name that the statement says, or that is said by what it names in its turn: the definition of a view,
//! the body of a function, the code of a table's triggers, defaults and policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::io::{Analyst, Lookup};
use crate::catalog::{Catalog, Dependent, Name, Oid, RelationKind, Type, TypeKind, Used};
use crate::plan::Snapshot;
use crate::sql::NotUnderstood;
use crate::sql::statement::{Analysis, Reading, Statement};
use crate::sql::words::deep_words;

/// What matters to a statement.
pub(super) struct Matters {
    /// The names that a change has to be about, none: no change does.
    pub names: BTreeSet<Name>,
    /// Whether they are those of tables alone, which each change of them names.
    pub plain: bool,
}

/// What matters to a statement of a text, the one at that place. `None`: that is not known.
pub(super) fn names_that_matter(
    analysis: &Analysis,
    at: usize,
    snapshot: &Arc<Snapshot>,
    analyst: &dyn Analyst,
) -> Option<Matters> {
    let (names, seen, waiting) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut following = Following { snapshot, analyst, catalog: &snapshot.catalog, names, seen, waiting, plain: true };
    match analysis {
        Analysis::Statements(statements) => following.statement(statements.get(at)?)?,
        // Where it could not be split, all of its words were found nevertheless.
        Analysis::Opaque(
            NotUnderstood::Disagreement | NotUnderstood::Syntax | NotUnderstood::Construct(_) | NotUnderstood::Lexical,
            words,
        ) => words.iter().for_each(|word| following.named(word)),
        Analysis::Opaque(NotUnderstood::Encoding | NotUnderstood::TooLarge | NotUnderstood::Unread, _) => return None,
    }
    following.all_followed()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Relation(Oid),
    Function(Oid),
    Type(Oid),
}

struct Following<'a> {
    snapshot: &'a Arc<Snapshot>,
    analyst: &'a dyn Analyst,
    catalog: &'a Catalog,
    names: BTreeSet<Name>,
    seen: BTreeSet<Thing>,
    waiting: Vec<Thing>,
    plain: bool,
}

impl Following<'_> {
    fn all_followed(mut self) -> Option<Matters> {
        while let Some(thing) = self.waiting.pop() {
            if self.seen.insert(thing) {
                match thing {
                    Thing::Relation(relation) => self.relation(relation)?,
                    Thing::Function(function) => self.function(function)?,
                    Thing::Type(known) => self.described(known),
                }
            }
        }
        Some(Matters { names: self.names, plain: self.plain })
    }

    fn statement(&mut self, statement: &Statement) -> Option<()> {
        match &statement.reading {
            Reading::Understood(lineage) => {
                self.waiting.extend(lineage.relations.iter().copied().map(Thing::Relation));
                self.waiting.extend(lineage.functions.iter().copied().map(Thing::Function));
                // Not there, neither when it was judged nor now: somebody may have made it in between.
                self.names.extend(lineage.unresolved.iter().cloned());
                self.plain &= lineage.unresolved.is_empty();
                statement.words.iter().for_each(|word| {
                    self.types(word, false);
                    self.shadowed(word);
                });
                Some(())
            }
            Reading::NoQuery
            | Reading::NotUnderstood(
                NotUnderstood::Disagreement | NotUnderstood::Syntax | NotUnderstood::Construct(_),
            ) => {
                statement.words.iter().for_each(|word| self.named(word));
                Some(())
            }
            // Its words are not known for certain.
            Reading::NotUnderstood(
                NotUnderstood::Encoding | NotUnderstood::TooLarge | NotUnderstood::Lexical | NotUnderstood::Unread,
            ) => None,
        }
    }

    /// A view's definition: the words of its columns mean nothing else.
    fn query(&mut self, definition: &str) -> Option<()> {
        if let Lookup::Ready(analysis) = self.analyst.analysis(self.snapshot, definition.as_bytes())
            && let Analysis::Statements(statements) = &*analysis
            && let [statement] = statements.as_slice()
        {
            return self.statement(statement);
        }
        self.said(definition)
    }

    fn relation(&mut self, oid: Oid) -> Option<()> {
        let relation = self.catalog.relation(oid)?;
        self.names.insert(relation.name.clone());
        if is_system(&relation.schema) {
            return Some(());
        }
        match relation.kind {
            RelationKind::Table
            | RelationKind::PartitionedTable
            | RelationKind::Sequence
            | RelationKind::View
            | RelationKind::MaterializedView
            | RelationKind::CompositeType => {}
            RelationKind::ForeignTable | RelationKind::Other => return None,
        }
        self.plain &= !relation.has_rules;
        if let Some(definition) = &relation.definition {
            self.plain = false;
            self.query(definition)?;
        }
        // What is attached to a table names it, or what it is attached to itself; tags go both ways.
        self.waiting.extend(relation.parents.iter().copied().map(Thing::Relation));
        let children = self.catalog.relations().filter(|child| child.parents.contains(&oid));
        self.waiting.extend(children.map(|child| Thing::Relation(child.oid)));
        let keys = self.catalog.foreign_keys().iter().filter(|key| key.relation == oid);
        self.waiting.extend(keys.map(|key| Thing::Relation(key.references)));
        self.depends(Dependent::Relation(oid));
        self.depends(Dependent::Rule(oid));
        self.depends(Dependent::View(oid));
        for column in &relation.columns {
            if let Some(expression) = &column.generated {
                self.said(expression)?;
            }
            self.waiting.push(Thing::Type(column.type_oid));
        }
        Some(())
    }

    fn function(&mut self, oid: Oid) -> Option<()> {
        let function = self.catalog.function(oid)?;
        if is_system(&function.schema) {
            return Some(());
        }
        self.names.insert(function.name.clone());
        self.plain = false;
        self.depends(Dependent::Function(oid));
        let outputs = function.outputs.iter().map(|(_, output)| *output);
        let types = function.inputs.iter().copied().chain(outputs).chain([function.returns]);
        self.waiting.extend(types.map(Thing::Type));
        match &function.body {
            Some(body) => self.said(body),
            None if matches!(function.language.as_str(), "c" | "internal") => Some(()),
            None => None,
        }
    }

    /// A type that users made, and what it is built of.
    fn described(&mut self, oid: Oid) {
        let Some(known) = self.catalog.type_of(oid).filter(|known| !is_system(&known.schema)) else { return };
        self.names.insert(known.name.clone());
        match known.kind {
            TypeKind::Array(of) | TypeKind::Range(of) | TypeKind::Multirange(of) => self.waiting.push(Thing::Type(of)),
            TypeKind::Domain(of) => {
                self.waiting.push(Thing::Type(of));
                self.depends(Dependent::Domain(oid));
            }
            TypeKind::Composite(relation) => self.waiting.push(Thing::Relation(relation)),
            TypeKind::Base | TypeKind::Enum(_) | TypeKind::Pseudo => {}
        }
    }

    fn depends(&mut self, of: Dependent) {
        let used = self.catalog.dependencies().iter().filter(|dependency| dependency.of == of);
        self.waiting.extend(used.map(|dependency| match dependency.on {
            Used::Function(function) => Thing::Function(function),
            Used::Relation(relation) => Thing::Relation(relation),
        }));
    }

    /// Whatever the words of a definition may mean.
    fn said(&mut self, text: &str) -> Option<()> {
        deep_words(text)?.iter().for_each(|word| self.named(word));
        Some(())
    }

    fn named(&mut self, word: &Name) {
        let relations = self.catalog.relations_named(None, word);
        self.waiting.extend(relations.map(|relation| Thing::Relation(relation.oid)));
        let functions = self.catalog.functions_named(None, word).filter(|function| !is_system(&function.schema));
        self.waiting.extend(functions.map(|function| Thing::Function(function.oid)));
        self.types(word, true);
        self.shadowed(word);
    }

    /// A function of PostgreSQL's gives way to one of that name that fits the arguments better.
    fn shadowed(&mut self, word: &Name) {
        if self.catalog.functions_named(None, word).next().is_some() {
            self.names.insert(word.clone());
        }
    }

    /// Types that users made: a value may be cast to one by its name. `rows`: those of the rows of relations, too.
    fn types(&mut self, word: &Name, rows: bool) {
        let casts = |known: &&Type| rows || !matches!(known.kind, TypeKind::Composite(_));
        let types = self.catalog.types_named(None, word).filter(casts);
        self.waiting.extend(types.map(|known| Thing::Type(known.oid)));
    }
}

/// Of what nobody but superusers changes.
fn is_system(schema: &Name) -> bool {
    matches!(schema.as_str(), "pg_catalog" | "information_schema")
}
