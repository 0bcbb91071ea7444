//! Functions of users that may store into encrypted columns or, in SQL, look for values in them, and what becomes of their arguments.
//!
//! A function runs in the server, which can not encrypt. What it is given can be encrypted before, where it stores that as it is:
//! its statements are read as those of clients are, with a parameter of its own in the place of each argument wherever one stands.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::encryption::literals;
use super::write_back::edited;
use crate::catalog::{Catalog, Dependent, Function, Name, Oid, Relation, Used};
use crate::policy::TaggedColumnId;
use crate::sql::lexer::{Lexer, Mark, Token, TokenKind};
use crate::sql::lineage::Lineage;
use crate::sql::statement::{Analysis, Reading, Statement};
use crate::sql::words::deep_words;
use crate::sql::{Limits, analyze};

/// The encrypted columns of one relation.
type Columns<'a> = Vec<(&'a Name, TaggedColumnId)>;

/// Functions that may store into encrypted columns.
#[derive(Debug, Default)]
pub(super) struct Storing {
    functions: HashMap<Oid, StoringFunction>,
    /// By the names of such functions, one of the columns.
    names: HashMap<Name, TaggedColumnId>,
    /// By the names of relations with encrypted columns, one of the columns.
    relations: HashMap<Name, TaggedColumnId>,
    /// By relation, a function that is called when its rows are written.
    triggers: HashMap<Oid, StoringFunction>,
}

/// A function that may store into encrypted columns, or in SQL and names a relation that has some.
#[derive(Clone, Debug)]
pub(super) struct StoringFunction {
    pub name: Name,
    /// One of the columns.
    pub column: TaggedColumnId,
    /// Whether it may store.
    pub stores: bool,
    /// What it does; `None`: that is not known.
    pub body: Option<Arc<Body>>,
}

/// The statements of a function in SQL.
#[derive(Debug)]
pub(super) struct Body {
    /// Each with a parameter of its own, numbered through all of them, wherever an argument or a literal stands.
    pub statements: Vec<Statement>,
    /// Where the first parameter stands, the second and so on.
    pub places: Vec<Place>,
    /// The types of the arguments.
    pub inputs: Vec<Oid>,
}

/// Where an argument or a literal stands.
#[derive(Debug)]
pub(super) struct Place {
    /// Which of the arguments, from 0; `None`: a literal.
    pub argument: Option<usize>,
    /// In bytes of the statements' text.
    pub at: usize,
}

impl Storing {
    /// Find them. `columns`: every encrypted column, through whatever relation it is written to.
    pub fn of(catalog: &Catalog, columns: impl Iterator<Item = (Oid, i16, TaggedColumnId)>) -> Self {
        let mut encrypted: BTreeMap<Oid, Columns<'_>> = BTreeMap::new();
        let columns: BTreeSet<_> = columns.collect();
        for (relation, attnum, id) in columns {
            if let Some(column) = catalog.relation(relation).and_then(|relation| relation.attribute(attnum)) {
                encrypted.entry(relation).or_default().push((&column.name, id));
            }
        }
        let mut found = Self::default();
        for (relation, columns) in &encrypted {
            let name = catalog.relation(*relation).map(|relation| relation.name.clone());
            found.relations.extend(name.zip(columns.first().map(|(_, id)| *id)));
        }
        let code = |function: &&Function| function.body.is_some() && function.language.as_str() != "internal";
        for function in catalog.functions().filter(code) {
            let text = function.body.as_deref().unwrap_or_default();
            let stores = stored_by(text, &encrypted, catalog);
            let in_sql = function.language.as_str() == "sql";
            let Some(column) = stores.or_else(|| named_by(text, &encrypted, catalog).filter(|_| in_sql)) else {
                continue;
            };
            let body = Some(function).filter(|_| in_sql).and_then(|function| Body::of(function, catalog));
            if stores.is_some() || body.is_some() {
                let (name, stores, body) = (function.name.clone(), stores.is_some(), body.map(Arc::new));
                found.functions.insert(function.oid, StoringFunction { name, column, stores, body });
            }
        }
        found.add_callers(catalog);
        for function in found.functions.values().filter(|function| function.stores) {
            found.names.insert(function.name.clone(), function.column);
        }
        found.add_triggers(catalog, &encrypted);
        found
    }

    /// The function, if it may store into encrypted columns, or look for values in them as is known.
    pub fn function(&self, function: Oid) -> Option<&StoringFunction> {
        self.functions.get(&function)
    }

    /// One of the columns that functions may store into which these words name.
    pub fn named<'w>(&self, mut words: impl Iterator<Item = &'w Name>) -> Option<TaggedColumnId> {
        if self.names.is_empty() { None } else { words.find_map(|word| self.names.get(word).copied()) }
    }

    /// One of the columns that code of these words may store into, of which no more is known.
    pub fn by_words(&self, words: &BTreeSet<Name>) -> Option<TaggedColumnId> {
        let calls = || self.named(words.iter());
        let stores = || words.iter().filter(|_| writes(words)).find_map(|word| self.relations.get(word).copied());
        calls().or_else(stores)
    }

    /// The names by which statements come upon such functions: their own, and those of relations whose triggers call them.
    pub fn names<'a>(&'a self, catalog: &'a Catalog) -> impl Iterator<Item = &'a Name> {
        let relations = self.triggers.keys().filter_map(|&relation| Some(&catalog.relation(relation)?.name));
        self.names.keys().chain(relations)
    }

    /// A function that may store into encrypted columns when rows of that relation are written.
    pub fn trigger(&self, relation: Oid) -> Option<&StoringFunction> {
        self.triggers.get(&relation)
    }

    /// What calls them stores, too: functions by name, aggregates and others by what PostgreSQL records.
    fn add_callers(&mut self, catalog: &Catalog) {
        let user = |function: &&Function| !super::spread::is_system(&function.schema) && function.body.is_some();
        let calls: Vec<(&Function, HashSet<Name>)> =
            catalog.functions().filter(user).map(|function| (function, called_by(function))).collect();
        let mut names: HashMap<Name, TaggedColumnId> = self
            .functions
            .values()
            .filter(|function| function.stores)
            .map(|function| (function.name.clone(), function.column))
            .collect();
        loop {
            let before = names.len();
            for (function, calls) in &calls {
                let Some(&column) = calls.iter().find_map(|name| names.get(name)) else { continue };
                let own = StoringFunction { name: function.name.clone(), column, stores: true, body: None };
                self.functions.insert(function.oid, own);
                names.entry(function.name.clone()).or_insert(column);
            }
            for dependency in catalog.dependencies() {
                let (&Dependent::Function(caller), Used::Function(called)) = (&dependency.of, dependency.on) else {
                    continue;
                };
                let column = self.functions.get(&called).filter(|called| called.stores).map(|called| called.column);
                let (Some(column), Some(caller)) = (column, catalog.function(caller)) else { continue };
                let own = StoringFunction { name: caller.name.clone(), column, stores: true, body: None };
                self.functions.insert(caller.oid, own);
                names.entry(caller.name.clone()).or_insert(column);
            }
            if names.len() == before {
                return;
            }
        }
    }

    /// What runs when rows of relations are written. What it gets of a relation with encrypted columns may well be envelopes, to be
    /// stored as they are.
    fn add_triggers(&mut self, catalog: &Catalog, encrypted: &BTreeMap<Oid, Columns<'_>>) {
        const TRIGGER: Oid = Oid(2279);
        for dependency in catalog.dependencies() {
            let (Dependent::Relation(relation) | Dependent::Rule(relation)) = &dependency.of else { continue };
            let columns = encrypted.get(relation);
            let storing = match dependency.on {
                Used::Relation(filled) => encrypted.get(&filled).filter(|_| columns.is_none()).and_then(|filled| {
                    let rule = Name::exact("a rule");
                    Some(StoringFunction { name: rule, column: filled.first()?.1, stores: true, body: None })
                }),
                Used::Function(function) => catalog.function(function).and_then(|function| match columns {
                    None => self.functions.get(&function.oid).filter(|function| function.stores).cloned(),
                    Some(columns) if function.returns == TRIGGER => {
                        let column = changed_by(function.body.as_deref()?, columns)?;
                        Some(StoringFunction { name: function.name.clone(), column, stores: true, body: None })
                    }
                    Some(_) => None,
                }),
            };
            let Some(storing) = storing else { continue };
            // Rows come to a partition through what it is a part of.
            let mut above = vec![*relation];
            while let Some(relation) = above.pop() {
                let known = self.triggers.insert(relation, storing.clone()).is_some();
                let parents = catalog.relation(relation).map(|relation| relation.parents.as_slice());
                above.extend(parents.into_iter().flatten().filter(|_| !known));
            }
        }
    }
}

/// An encrypted column of a relation that a body names.
fn named_by(body: &str, encrypted: &BTreeMap<Oid, Columns<'_>>, catalog: &Catalog) -> Option<TaggedColumnId> {
    let words = deep_words(body)?;
    let is_named = |oid: &Oid| catalog.relation(*oid).is_some_and(|relation| words.contains(&relation.name));
    encrypted.iter().filter(|(oid, _)| is_named(oid)).find_map(|(_, columns)| Some(columns.first()?.1))
}

/// An encrypted column that a body may store into: it says so of a relation that has one, and names the column or leaves the
/// columns out.
fn stored_by(body: &str, encrypted: &BTreeMap<Oid, Columns<'_>>, catalog: &Catalog) -> Option<TaggedColumnId> {
    let Some(words) = deep_words(body) else { return encrypted.values().flatten().map(|(_, id)| *id).next() };
    if !writes(&words) {
        return None;
    }
    let relations = encrypted.iter().filter_map(|(oid, columns)| Some((catalog.relation(*oid)?, columns)));
    let mut named = relations.filter(|(relation, _)| words.contains(&relation.name));
    named.find_map(|(relation, columns)| {
        let mut said = columns.iter().filter(|(name, _)| words.contains(*name));
        let all = || columns.first().filter(|_| words.contains("merge") || fills_all(body, relation));
        said.next().or_else(all).map(|(_, id)| *id)
    })
}

/// Whether code of these words may store rows.
pub(super) fn writes(words: &BTreeSet<Name>) -> bool {
    ["insert", "update", "merge", "copy"].iter().any(|word| words.contains(*word))
}

/// Whether a body stores rows in a relation without saying in which columns.
pub(super) fn fills_all(body: &str, relation: &Relation) -> bool {
    let Some(tokens) = tokens(body) else { return true };
    let named = |token: &Token<'_>| token.name().is_some_and(|name| name == relation.name);
    tokens.windows(2).enumerate().any(|(at, pair)| {
        let [name, behind] = pair else { return false };
        // `INTO people (`, `INTO public.people (`, `COPY people (`
        let into = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
        let filled = [into(1), into(3)].into_iter().flatten().any(|word| word.is_any(&["into", "copy"]));
        named(name) && filled && !behind.is_mark(Mark::LeftParen)
    }) || tokens.iter().any(|token| {
        token.literal().is_some_and(|literal| literal.value().is_ok_and(|text| has_word(&text, &relation.name)))
    })
}

/// Whether a string may be a statement that names a relation.
fn has_word(text: &str, name: &Name) -> bool {
    text.contains(char::is_whitespace) && deep_words(text).is_none_or(|words| words.contains(name))
}

/// The encrypted column of its own relation that a trigger may give a value to.
fn changed_by(body: &str, columns: &Columns<'_>) -> Option<TaggedColumnId> {
    let first = || columns.first().map(|(_, id)| *id);
    let Some(tokens) = tokens(body) else { return first() };
    let is_new = |at: usize| tokens.get(at).is_some_and(|token| token.is("new"));
    for at in (0..tokens.len()).filter(|&at| is_new(at)) {
        let token = |ahead: usize| tokens.get(at.saturating_add(ahead));
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let begins = before
            .is_none_or(|before| before.is_mark(Mark::Semicolon) || before.is_any(&["begin", "then", "else", "loop"]));
        let into = before.is_some_and(|before| before.is_any(&["into", "strict"]));
        let is_set = |token: Option<&Token<'_>>| {
            token.is_some_and(|token| token.is_mark(Mark::ColonEquals) || (begins && token.is_operator("=")))
        };
        if token(1).is_some_and(|dot| dot.is_mark(Mark::Dot)) {
            let name = token(2).and_then(Token::name);
            let column = columns.iter().find(|(column, _)| Some(*column) == name.as_ref());
            if let Some((_, id)) = column
                && (into || is_set(token(3)))
            {
                return Some(*id);
            }
        } else if into || is_set(token(1)) {
            return first();
        }
    }
    None
}

/// The names of functions that a body may call.
pub(super) fn called_by(function: &Function) -> HashSet<Name> {
    let body = function.body.as_deref().unwrap_or_default();
    let Some(tokens) = tokens(body) else { return deep_words(body).into_iter().flatten().collect() };
    let calls = tokens.windows(2).filter_map(|pair| match pair {
        [name, open] if open.is_mark(Mark::LeftParen) => name.name(),
        _ => None,
    });
    let texts = tokens.iter().filter_map(|token| token.literal()?.value().ok());
    let texts: Vec<_> = texts.filter(|text| text.contains('(')).collect();
    calls
        .chain(texts.iter().filter_map(|text| deep_words(text)).flatten())
        .filter(|name| *name != function.name)
        .collect()
}

impl Body {
    /// The statements of a function in SQL; `None`: they are not all understood, or do more than read and write rows.
    fn of(function: &Function, catalog: &Catalog) -> Option<Self> {
        let text = statements_of(function.body.as_deref()?);
        let within = catalog.within(function.name.clone(), function.arguments.clone());
        let known = read(text, &within)?;
        let found = tokens(text)?;
        let mut places: Vec<(Range<usize>, usize)> = Vec::new();
        for (at, token) in found.iter().enumerate() {
            if let TokenKind::Parameter(number) = token.kind {
                places.push((token.start..token.end, usize::try_from(number).ok()?.checked_sub(1)?));
                continue;
            }
            let Some(name) = token.name() else { continue };
            let Some(argument) = function.arguments.iter().position(|argument| *argument == name) else { continue };
            let before = |back: usize| at.checked_sub(back).and_then(|at| found.get(at));
            let qualified = before(1).is_some_and(|dot| dot.is_mark(Mark::Dot));
            let start = match before(2).filter(|_| qualified) {
                Some(qualifier) if qualifier.name().is_some_and(|name| name == function.name) => qualifier.start,
                Some(_) => continue,
                None => token.start,
            };
            // A column of that name stands before the argument. What stands for the argument is the same as a parameter.
            let one = numbered(text, [(&(start..token.end), argument.saturating_add(1))].into_iter());
            if read(&one, &within).is_some_and(|one| one == known) {
                places.push((start..token.end, argument));
            }
        }
        if places.iter().any(|(_, argument)| *argument >= function.inputs.len()) {
            return None;
        }
        let arguments = places.into_iter().map(|(span, argument)| (span, Some(argument)));
        let mut places: Vec<_> = arguments.chain(literals(text).map(|span| (span, None))).collect();
        places.sort_by_key(|(span, _)| span.start);
        // No name stands for an argument any more: one that was missed is a column that is not there.
        let probe = numbered(text, places.iter().map(|(span, _)| span).zip(1..));
        let Analysis::Statements(statements) = analyze::analyze(probe.as_bytes(), catalog, &Limits::default()) else {
            return None;
        };
        let probed = read(&probe, catalog)?;
        let alike = probed.len() == known.len() && probed.iter().zip(&known).all(|(one, other)| is_same(one, other));
        let mut parameters = tokens(&probe)?.into_iter().filter(|token| matches!(token.kind, TokenKind::Parameter(_)));
        let place = |(_, argument)| Some(Place { argument, at: parameters.next()?.start });
        let places = places.into_iter().map(place).collect::<Option<_>>()?;
        alike.then(|| Self { statements, places, inputs: function.inputs.clone() })
    }
}

/// The statements of a body, without what is around those of `BEGIN ATOMIC` (manual, CREATE FUNCTION).
fn statements_of(body: &str) -> &str {
    let inner = body.trim().strip_prefix("BEGIN ATOMIC").and_then(|inner| inner.strip_suffix("END"));
    inner.unwrap_or(body)
}

/// What statements do, if they are all understood, and read or write rows.
fn read(text: &str, catalog: &Catalog) -> Option<Vec<Lineage>> {
    let Analysis::Statements(statements) = analyze::analyze(text.as_bytes(), catalog, &Limits::default()) else {
        return None;
    };
    let lineage = |statement: &Statement| match (&statement.reading, statement.kind) {
        (Reading::Understood(lineage), kind)
            if kind.is_of_rows()
                && lineage.forbidden.is_empty()
                && lineage.unresolved.is_empty()
                && lineage.filters_unknown.is_none() =>
        {
            let mut lineage = Lineage::clone(lineage);
            // Of these, arguments by name are held for less than parameters are; they count elsewhere.
            lineage.fails = false;
            lineage.references.iter_mut().for_each(|reference| reference.fixed.clear());
            Some(lineage)
        }
        _ => None,
    };
    statements.iter().map(lineage).collect()
}

/// Whether the statement with other parameters is the same.
fn is_same(one: &Lineage, other: &Lineage) -> bool {
    let sources =
        |lineage: &Lineage| -> Vec<_> { lineage.outputs.iter().map(|output| output.origin.taint().sources).collect() };
    let written = |lineage: &Lineage| -> Vec<_> {
        let writes = lineage.writes.iter();
        writes.map(|write| (write.relation, write.attnum, write.place.clone(), write.taint.sources.clone())).collect()
    };
    (&one.relations, &one.functions, sources(one), written(one))
        == (&other.relations, &other.functions, sources(other), written(other))
}

/// A text with these parameters in these places.
fn numbered<'p>(text: &str, places: impl Iterator<Item = (&'p Range<usize>, usize)>) -> String {
    edited(text, places.map(|(span, number)| (span.clone(), format!("${number}"))).collect())
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    Lexer::new(text).collect::<Result<Vec<_>, _>>().ok()
}
