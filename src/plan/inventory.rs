//! Every column and function of the database through which tagged data can be reached.

mod memory;
mod weight;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Reach;
use super::filling::Filling;
use super::spread::Spread;
use super::storing::{Storing, StoringFunction};
use super::system::{Guard, QUOTING};
use crate::catalog::{Catalog, Name, Oid};
use crate::policy::{Policy, TaggedColumnId};
use crate::sql::lexer::{Lexer, TokenKind};
use crate::sql::lineage::{FilterUse, Flow, Source, Taint};
use crate::sql::words;
pub(super) use memory::Memory;
use weight::{Weight, heavier, weigh};

/// The policy bound to one catalog: tags on (OID, attnum), spread along views, partitions, inheritance, generated
/// columns, composite types and functions.
#[derive(Debug, Default)]
pub struct Inventory {
    spread: Spread,
    bindings: Vec<Binding>,
    /// Whether the policy tags anything, be it in this catalog or not.
    tags: bool,
    words: HashMap<Name, Weight>,
    /// What code that a name stands for runs unnamed: of relations, by rules too, and of domains.
    runs: HashMap<Name, Reach>,
    guards: HashMap<(Oid, i16), Guard>,
    everything: Reach,
    /// Of which policy this is.
    policy: Box<str>,
    memory: Memory,
    kept: Vec<String>,
    /// Names of functions in SQL that compute something of what they are given, or once did under this policy: statements
    /// on their way to the server hand them values.
    computing: HashSet<Name>,
    storing: Storing,
    filling: Filling,
}

/// More names of functions that are no longer there are not remembered.
const FORMER_MAX: usize = 10_000;

/// Schema, table and column as the policy names them.
type Names = (Name, Name, Name);

/// Where a tagged column of the policy is in this catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The policy's entry.
    pub id: TaggedColumnId,
    /// Schema, table and column as the policy names them.
    pub names: Names,
    /// `pg_class.oid`.
    pub relation: Oid,
    /// `pg_attribute.attnum`.
    pub attnum: i16,
    /// Whether the policy's names mean another column by now (or none): the tag stuck to this one.
    pub renamed: bool,
}

/// What a user-defined function can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FunctionReach {
    /// These tagged columns: its body names their relations.
    Reads(Reach),
    /// Anything: it evaluates strings, or is in a language that pgveil does not read.
    Opaque,
}

/// The outcome of the quick look at a statement's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Each of its words is a known name of nothing tagged: it can not touch tagged data, whatever it says.
    Harmless,
    /// It has to be analysed.
    Look,
}

impl Inventory {
    /// Bind a policy to a catalog. `before`: the inventory in force until now, whose tags stick to (OID, attnum): a
    /// column that was renamed behind pgveil's back stays tagged. So do, while the policy is the same, columns that were
    /// tagged through a parent, a key or an expression that they have lost.
    pub fn new(policy: &Policy, catalog: &Catalog, before: Option<&Self>) -> Self {
        let bindings = bind(policy, catalog, before);
        let fingerprint: Box<str> = policy.fingerprint().into();
        let before = before.filter(|before| before.policy == fingerprint);
        let remembered = before.map(|before| before.memory.in_catalog(catalog)).unwrap_or_default();
        let tags = !policy.is_empty() || !remembered.is_empty();
        if !tags {
            return Self::default();
        }
        let mut everything = Reach::default();
        for binding in &bindings {
            everything.absorb(&Reach::of(binding.id, Flow::Derived), Flow::Derived);
        }
        for (_, _, reach) in remembered.columns() {
            everything.absorb(reach, Flow::Derived);
        }
        let indexes: HashSet<TaggedColumnId> =
            policy.columns().filter(|(_, column)| column.index_of.is_some()).map(|(id, _)| id).collect();
        let spread = Spread::over(catalog, (&bindings, &indexes), &remembered, &everything);
        let memory = Memory::of(catalog, &spread, &bindings);
        let kept = remembered.alone(catalog, &spread);
        let mut words = weigh(catalog, &spread);
        watch_settings(policy, &mut words);
        let mut runs: HashMap<Name, Reach> = HashMap::new();
        let relations = spread.unnamed.relations.iter().chain(&spread.unnamed.rules);
        let relations = relations.filter_map(|(&oid, reach)| Some((&catalog.relation(oid)?.name, reach)));
        let domains = spread.unnamed.domains.iter();
        let domains = domains.filter_map(|(&oid, reach)| Some((&catalog.type_of(oid)?.name, reach)));
        for (name, reach) in relations.chain(domains) {
            runs.entry(name.clone()).or_default().absorb(reach, Flow::Derived);
        }
        let guards = guards(catalog);
        let mut computing = computing(catalog, &spread);
        if let Some(before) = before.filter(|before| before.computing.len() <= computing.len() + FORMER_MAX) {
            computing.extend(before.computing.iter().cloned());
        }
        let storing = match policy.encrypts() {
            true => Storing::of(catalog, encrypted(policy, &spread)),
            false => Storing::default(),
        };
        let filling = Filling::of(catalog, spread.columns.keys().copied());
        for name in storing.names(catalog).chain(filling.names()) {
            heavier(&mut words, name, Weight::Look);
        }
        let policy = fingerprint;
        Self {
            spread,
            bindings,
            tags,
            words,
            runs,
            guards,
            everything,
            policy,
            memory,
            kept,
            computing,
            storing,
            filling,
        }
    }

    /// Columns that have lost what they were tagged through, and keep the tag: `schema.table.column`.
    pub fn kept(&self) -> &[String] {
        &self.kept
    }

    /// What guards a column of the system catalogs or statistics that can quote values.
    pub(super) fn guard(&self, relation: Oid, attnum: i16) -> Option<Guard> {
        self.guards.get(&(relation, attnum)).copied()
    }

    /// Whether notifications may hold tagged values, because of functions that send them.
    pub fn notifies(&self) -> bool {
        self.spread.notifies
    }

    /// Whether nothing is tagged, here or anywhere. A policy whose tables are all gone is another thing: each of them may be
    /// made again at any moment, as by a restore, and is then not known before a statement that names it was looked at.
    pub fn is_empty(&self) -> bool {
        !self.tags
    }

    /// Where the policy's columns are.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// What a column of a relation holds; `None`: nothing tagged.
    pub fn column(&self, relation: Oid, attnum: i16) -> Option<&Reach> {
        self.spread.columns.get(&(relation, attnum))
    }

    /// The column that a view's column is as it is, where each row of the view has one row of that one's relation.
    pub(super) fn stored_in(&self, relation: Oid, attnum: i16) -> Option<(Oid, i16)> {
        self.spread.stored.get(&(relation, attnum)).copied()
    }

    /// Every column that holds something tagged.
    pub(super) fn tagged(&self) -> impl Iterator<Item = (Oid, i16)> {
        self.spread.columns.keys().copied()
    }

    /// Every tagged column of the policy that this database has.
    pub fn everything(&self) -> &Reach {
        &self.everything
    }

    /// Whether a function can reach anything at all: it evaluates strings or can not be read.
    pub fn is_opaque(&self, function: Oid) -> bool {
        self.spread.functions.get(&function) == Some(&FunctionReach::Opaque)
    }

    /// Whether a user-defined function may keep what it is given or pass it on.
    pub fn acts(&self, function: Oid) -> bool {
        self.spread.acting.contains(&function) || self.is_opaque(function)
    }

    /// The filters by which a function finds the rows that it returns, as its caller's arguments say; none: it returns a
    /// single one, or always the same.
    pub fn filters(&self, function: Oid) -> &[FilterUse] {
        self.spread.filters.get(&function).map_or(&[], |filters| filters)
    }

    /// Follow a value's sources down to what the policy tags.
    pub fn resolve(&self, taint: &Taint) -> Reach {
        let mut reach = Reach { unknown: taint.unknown, ..Reach::default() };
        for (&source, &flow) in &taint.sources {
            if let Some(inner) = self.source(source) {
                reach.absorb(inner, flow);
            }
        }
        reach
    }

    /// What one source reaches.
    pub fn source(&self, source: Source) -> Option<&Reach> {
        match source {
            Source::Column { relation, attnum } => self.spread.columns.get(&(relation, attnum)),
            Source::Function(function) => match self.spread.functions.get(&function) {
                Some(FunctionReach::Reads(reach)) => Some(reach),
                Some(FunctionReach::Opaque) => Some(&self.everything),
                None => None,
            },
            Source::Field { function, position } => match self.spread.field(function, position) {
                Some(reach) => Some(reach).filter(|reach| !reach.is_clean()),
                None => self.source(Source::Function(function)),
            },
        }
    }

    /// Everything that a relation's columns reach; `None`: nothing tagged.
    pub fn relation(&self, relation: Oid) -> Option<&Reach> {
        self.spread.relations.get(&relation)
    }

    /// What a relation's rewrite rules read: a statement that writes to it may show rows of that.
    pub fn rules(&self, relation: Oid) -> Option<&Reach> {
        self.spread.unnamed.rules.get(&relation)
    }

    /// Operators and types in a text that call functions which read tagged columns, though lineage knows operators by
    /// their symbols only: the first of each, and all that they read.
    pub fn called_unnamed(&self, text: &str, words: &BTreeSet<Name>) -> Option<(Name, Reach)> {
        let unnamed = &self.spread.unnamed;
        let mut found: Option<(Name, Reach)> = None;
        let mut add = |name: &Name, reach: &Reach| {
            found.get_or_insert_with(|| (name.clone(), Reach::default())).1.absorb(reach, Flow::Derived);
        };
        for (name, reach) in &unnamed.casts {
            if words.contains(name) {
                add(name, reach);
            }
        }
        if !unnamed.operators.is_empty() {
            for token in Lexer::new(text) {
                let Ok(token) = token else { break };
                if let TokenKind::Operator(symbol) = token.kind
                    && let Some((symbol, reach)) = unnamed.operators.get_key_value(symbol)
                {
                    add(symbol, reach);
                }
            }
        }
        found
    }

    /// Whether no operator or cast calls a function that reads tagged columns.
    pub(super) fn has_no_unnamed_calls(&self) -> bool {
        self.spread.unnamed.operators.is_empty() && self.spread.unnamed.casts.is_empty()
    }

    /// Whether `=` and its like may mean something else than equality.
    pub fn equality_is_redefined(&self) -> bool {
        self.spread.unnamed.equality_redefined
    }

    /// The quick look at a message's text, before any parsing. Text that can not be lexed has to be looked at.
    pub fn scan(&self, text: &[u8]) -> Scan {
        if self.is_empty() {
            return Scan::Harmless;
        }
        // Outside of UTF-8 only text of ASCII alone reads the same in every encoding.
        let Some(text) = text.is_ascii().then_some(text).and_then(|text| std::str::from_utf8(text).ok()) else {
            return Scan::Look;
        };
        if self.spread.unnamed.operators.keys().any(|symbol| text.contains(symbol.as_str())) {
            return Scan::Look;
        }
        let mut scan = Scan::Harmless;
        let lexed = words(text, |word| {
            if scan == Scan::Harmless && self.words.get(word.text) != Some(&Weight::Harmless) {
                scan = Scan::Look;
            }
        });
        if lexed.is_ok() { scan } else { Scan::Look }
    }

    /// Whether the body of a user-defined function says a word, in its strings too.
    pub(super) fn is_mentioned(&self, word: &Name) -> bool {
        self.spread.mentioned.contains(word)
    }

    /// Whether a word is the name of a function of users that makes or changes code when it runs.
    pub(super) fn makes_code(&self, word: &Name) -> bool {
        self.spread.makers.contains(word)
    }

    /// Whether code that is handed tagged values by other code goes by this name, or may.
    pub(super) fn is_handed(&self, name: &Name) -> bool {
        self.spread.handed.code.contains(name)
    }

    /// Whether code that handles tagged values stores rows in what goes by this name.
    pub(super) fn is_filled(&self, name: &Name) -> bool {
        self.spread.handed.filled.contains(name)
    }

    /// Whether a function reads tagged columns and makes temporary relations.
    pub(super) fn spills(&self, function: Oid) -> bool {
        self.spread.handed.spilling.contains(&function)
    }

    /// Whether a function in SQL of this name computes something of what it is given and does no more, or once did.
    pub(super) fn computes(&self, name: &Name) -> bool {
        self.computing.contains(name)
    }

    /// The tagged columns that a function may store into, each as (`pg_class.oid`, `pg_attribute.attnum`).
    pub(super) fn filled_by(&self, function: Oid) -> impl Iterator<Item = (Oid, i16)> + '_ {
        self.filling.by(function)
    }

    /// A function, if it may store into encrypted columns, or look for values in them as is known.
    pub(super) fn uses_encrypted(&self, function: Oid) -> Option<&StoringFunction> {
        self.storing.function(function)
    }

    /// An encrypted column that functions may store into which go by one of these words.
    pub(super) fn stored_by_names<'w>(&self, words: impl Iterator<Item = &'w Name>) -> Option<TaggedColumnId> {
        self.storing.named(words)
    }

    /// An encrypted column that code of these words may store into.
    pub(super) fn stored_by_code(&self, words: &BTreeSet<Name>) -> Option<TaggedColumnId> {
        self.storing.by_words(words)
    }

    /// A function that may store into encrypted columns when rows of a relation are written.
    pub(super) fn trigger_stores(&self, relation: Oid) -> Option<&StoringFunction> {
        self.storing.trigger(relation)
    }

    /// Whether the catalog has something of that name, or it is a key word.
    pub fn knows(&self, word: &Name) -> bool {
        self.words.contains_key(word)
    }

    /// What a statement of these words can reach at the worst, and whether each word is a known name. Words that the
    /// catalog does not have name nothing that it has.
    pub fn touched<'a>(&self, words: impl IntoIterator<Item = &'a Name>) -> Touched {
        let mut touched = Touched { reach: Reach::default(), runs: Reach::default(), harmless: true };
        for word in words {
            if let Some(reach) = self.runs.get(word) {
                touched.runs.absorb(reach, Flow::Derived);
            }
            match self.words.get(word) {
                Some(Weight::Harmless) => {}
                Some(Weight::Look) | None => touched.harmless = false,
                Some(Weight::Reaches(reach)) => {
                    touched.harmless = false;
                    touched.reach.absorb(reach, Flow::Derived);
                }
                Some(Weight::Everything) => {
                    touched.harmless = false;
                    touched.reach.absorb(&self.everything, Flow::Derived);
                }
            }
        }
        touched
    }
}

/// What words can mean, taken together.
pub struct Touched {
    /// The tagged columns.
    pub reach: Reach,
    /// Those that code reads which the statement may run without naming it.
    pub runs: Reach,
    /// Whether every word is a known name of nothing tagged.
    pub harmless: bool,
}

/// Statements that may change pgveil's own settings, or what has become of them, are always looked at.
fn watch_settings(policy: &Policy, words: &mut HashMap<Name, Weight>) {
    const SETTINGS: [&str; 9] = [
        "pgveil",
        "pgveil.actor",
        "pgveil.reveal",
        "pgveil.reveal_subject",
        "pgveil.reveal_totp",
        "pgveil.reveal_urgent",
        "pgveil.reveal_approve",
        "pgveil.reveal_deny",
        "pgveil.reveal_review",
    ];
    const OTHERS: [&str; 7] = ["set_config", "current_setting", "reset", "discard", "savepoint", "release", "rollback"];
    let others = OTHERS.into_iter().filter(|_| policy.has_settings());
    for word in SETTINGS.into_iter().chain(others) {
        heavier(words, &Name::exact(word), Weight::Look);
    }
}

/// Every column that holds values of an encrypted one as they are stored.
fn encrypted<'a>(policy: &'a Policy, spread: &'a Spread) -> impl Iterator<Item = (Oid, i16, TaggedColumnId)> + 'a {
    let is_encrypted = |id: TaggedColumnId| policy.column(id).is_some_and(|column| column.encryption.is_some());
    spread.columns.iter().filter_map(move |(&(relation, attnum), reach)| {
        let (&id, _) = reach.columns.iter().find(|(id, flow)| **flow == Flow::Direct && is_encrypted(**id))?;
        Some((relation, attnum, id))
    })
}

/// Functions in another language are not handed values at all by those who do not see them in clear.
fn computing(catalog: &Catalog, spread: &Spread) -> HashSet<Name> {
    let functions = catalog.functions().filter(|function| {
        function.language.as_str() == "sql" && function.schema.as_str() != "pg_catalog" && function.extension.is_none()
    });
    let functions = functions.filter(|function| !spread.acting.contains(&function.oid));
    functions.map(|function| function.name.clone()).collect()
}

fn guards(catalog: &Catalog) -> HashMap<(Oid, i16), Guard> {
    let mut guards = HashMap::new();
    for quoting in QUOTING {
        for relation in catalog.relations_named(None, &Name::exact(quoting.relation)) {
            let columns = quoting.columns.iter().filter_map(|name| relation.column(name));
            guards.extend(columns.map(|column| ((relation.oid, column.attnum), quoting.guard)));
        }
    }
    guards
}

fn bind(policy: &Policy, catalog: &Catalog, before: Option<&Inventory>) -> Vec<Binding> {
    let mut earlier: HashMap<&Names, Vec<(Oid, i16)>> = HashMap::new();
    for binding in before.into_iter().flat_map(|before| &before.bindings) {
        earlier.entry(&binding.names).or_default().push((binding.relation, binding.attnum));
    }
    let mut bindings = Vec::new();
    for (id, tagged) in policy.columns() {
        let names = (tagged.schema.clone(), tagged.table.clone(), tagged.column.clone());
        let now = catalog
            .relations_named(Some(&tagged.schema), &tagged.table)
            .find_map(|relation| relation.column(tagged.column.as_str()).map(|column| (relation.oid, column.attnum)));
        if let Some((relation, attnum)) = now {
            bindings.push(Binding { id, names: names.clone(), relation, attnum, renamed: false });
        }
        for &(relation, attnum) in earlier.get(&names).into_iter().flatten() {
            let lives = catalog.relation(relation).is_some_and(|relation| relation.attribute(attnum).is_some());
            if lives && now != Some((relation, attnum)) {
                bindings.push(Binding { id, names: names.clone(), relation, attnum, renamed: true });
            }
        }
    }
    bindings
}
