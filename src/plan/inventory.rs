//! Every column and function of the database through which tagged data can be reached.

use std::collections::{HashMap, HashSet};

use super::Reach;
use super::spread::Spread;
use super::system::{QUOTING_FUNCTIONS, WEIGHTY_WORDS};
use crate::catalog::{Catalog, Name, Oid, ValueType};
use crate::policy::{Policy, TaggedColumnId};
use crate::sql::lineage::{Flow, Source, Taint, is_forbidden};
use crate::sql::{lexer, words};

/// The policy bound to one catalog: tags on (OID, attnum), spread along views, partitions, inheritance, generated
/// columns, composite types and functions.
#[derive(Debug, Default)]
pub struct Inventory {
    columns: HashMap<(Oid, i16), Reach>,
    functions: HashMap<Oid, FunctionReach>,
    acting: HashSet<Oid>,
    bindings: Vec<Binding>,
    words: HashMap<Name, Weight>,
    everything: Reach,
}

/// Where a tagged column of the policy is in this catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The policy's entry.
    pub id: TaggedColumnId,
    /// Schema, table and column as the policy names them.
    pub names: (Name, Name, Name),
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

/// What a word in a statement can mean at the worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// A known name of nothing tagged.
    Harmless,
    /// Nothing tagged itself, but the statement must be looked at.
    Look,
    /// These tagged columns.
    Reaches(Reach),
    /// Any tagged column.
    Everything,
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
    /// column that was renamed behind pgveil's back stays tagged.
    pub fn new(policy: &Policy, catalog: &Catalog, before: Option<&Self>) -> Self {
        let bindings = bind(policy, catalog, before);
        if bindings.is_empty() {
            return Self::default();
        }
        let mut everything = Reach::default();
        for binding in &bindings {
            everything.absorb(&Reach::of(binding.id, Flow::Derived), Flow::Derived);
        }
        let Spread { columns, functions, acting } = Spread::over(catalog, &bindings, &everything);
        let words = weigh(catalog, &columns, &functions);
        Self { columns, functions, acting, bindings, words, everything }
    }

    /// Whether nothing is tagged in this database.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// Where the policy's columns are.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The binding of a tagged column.
    pub fn binding(&self, id: TaggedColumnId) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.id == id)
    }

    /// What a column of a relation holds; `None`: nothing tagged.
    pub fn column(&self, relation: Oid, attnum: i16) -> Option<&Reach> {
        self.columns.get(&(relation, attnum))
    }

    /// Every tagged column of the policy that this database has.
    pub fn everything(&self) -> &Reach {
        &self.everything
    }

    /// Whether a function can reach anything at all: it evaluates strings or can not be read.
    pub fn is_opaque(&self, function: Oid) -> bool {
        self.functions.get(&function) == Some(&FunctionReach::Opaque)
    }

    /// Whether a user-defined function may keep what it is given or pass it on.
    pub fn acts(&self, function: Oid) -> bool {
        self.acting.contains(&function) || self.is_opaque(function)
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
            Source::Column { relation, attnum } => self.columns.get(&(relation, attnum)),
            Source::Function(function) => match self.functions.get(&function) {
                Some(FunctionReach::Reads(reach)) => Some(reach),
                Some(FunctionReach::Opaque) => Some(&self.everything),
                None => None,
            },
        }
    }

    /// Everything that a relation's columns reach.
    pub fn relation(&self, catalog: &Catalog, relation: Oid) -> Reach {
        let mut all = Reach::default();
        for column in catalog.relation(relation).into_iter().flat_map(|relation| &relation.columns) {
            if let Some(reach) = self.column(relation, column.attnum) {
                all.absorb(reach, Flow::Direct);
            }
        }
        all
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
        let mut scan = Scan::Harmless;
        let lexed = words(text, |word| {
            if scan == Scan::Harmless && self.words.get(word.text) != Some(&Weight::Harmless) {
                scan = Scan::Look;
            }
        });
        if lexed.is_ok() { scan } else { Scan::Look }
    }

    /// Whether the catalog has something of that name, or it is a key word.
    pub fn knows(&self, word: &Name) -> bool {
        self.words.contains_key(word)
    }

    /// What a statement of these words can reach at the worst, and whether each word is a known name. Words that the
    /// catalog does not have name nothing that it has.
    pub fn touched<'a>(&self, words: impl IntoIterator<Item = &'a Name>) -> Touched {
        let mut touched = Touched { reach: Reach::default(), harmless: true };
        for word in words {
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
    /// Whether every word is a known name of nothing tagged.
    pub harmless: bool,
}

fn bind(policy: &Policy, catalog: &Catalog, before: Option<&Inventory>) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for (id, tagged) in policy.columns() {
        let names = (tagged.schema.clone(), tagged.table.clone(), tagged.column.clone());
        let now = catalog
            .relations_named(Some(&tagged.schema), &tagged.table)
            .find_map(|relation| relation.column(tagged.column.as_str()).map(|column| (relation.oid, column.attnum)));
        if let Some((relation, attnum)) = now {
            bindings.push(Binding { id, names: names.clone(), relation, attnum, renamed: false });
        }
        let earlier = before.into_iter().flat_map(|before| &before.bindings).filter(|earlier| earlier.names == names);
        for earlier in earlier {
            let here = (earlier.relation, earlier.attnum);
            let lives = catalog.relation(here.0).is_some_and(|relation| relation.attribute(here.1).is_some());
            if lives && now != Some(here) {
                bindings.push(Binding { id, names: names.clone(), relation: here.0, attnum: here.1, renamed: true });
            }
        }
    }
    bindings
}

/// Weigh every name that the catalog has, and PostgreSQL's key words.
fn weigh(
    catalog: &Catalog,
    columns: &HashMap<(Oid, i16), Reach>,
    functions: &HashMap<Oid, FunctionReach>,
) -> HashMap<Name, Weight> {
    let mut words: HashMap<Name, Weight> = HashMap::new();
    for word in lexer::keywords() {
        words.insert(Name::exact(word), Weight::Harmless);
    }
    for relation in catalog.relations() {
        words.entry(relation.schema.clone()).or_insert(Weight::Harmless);
        let mut reach = Reach::default();
        for column in &relation.columns {
            words.entry(column.name.clone()).or_insert(Weight::Harmless);
            if let Some(inner) = columns.get(&(relation.oid, column.attnum)) {
                reach.absorb(inner, Flow::Direct);
            }
        }
        let unread = relation.has_rules && relation.schema.as_str() != "pg_catalog";
        let weight = match (reach.is_clean(), unread) {
            (true, false) => Weight::Harmless,
            (true, true) => Weight::Look,
            (false, _) => Weight::Reaches(reach),
        };
        heavier(&mut words, &relation.name, weight.clone());
        // The types of its rows and of arrays of its rows are ways to name it as well.
        if let Some(array) = catalog.types().find(|described| {
            weight != Weight::Harmless
                && matches!(ValueType::of(catalog, described.oid), ValueType::Array(element, _) if element == relation.row_type)
        }) {
            heavier(&mut words, &array.name, weight);
        }
    }
    for described in catalog.types() {
        words.entry(described.name.clone()).or_insert(Weight::Harmless);
    }
    for function in catalog.functions() {
        let weight = match functions.get(&function.oid) {
            Some(FunctionReach::Reads(reach)) => Weight::Reaches(reach.clone()),
            Some(FunctionReach::Opaque) => Weight::Everything,
            None if is_forbidden(&function.name) => Weight::Everything,
            None if QUOTING_FUNCTIONS.contains(&function.name.as_str()) => Weight::Everything,
            None => Weight::Harmless,
        };
        heavier(&mut words, &function.name, weight);
    }
    for word in WEIGHTY_WORDS {
        heavier(&mut words, &Name::exact(word), Weight::Look);
    }
    words
}

/// Give a word the heavier of its weights; reaches of several meanings add up.
fn heavier(words: &mut HashMap<Name, Weight>, word: &Name, weight: Weight) {
    let known = words.entry(word.clone()).or_insert(Weight::Harmless);
    *known = match (std::mem::replace(known, Weight::Harmless), weight) {
        (Weight::Everything, _) | (_, Weight::Everything) => Weight::Everything,
        (Weight::Reaches(mut one), Weight::Reaches(other)) => {
            one.absorb(&other, Flow::Direct);
            Weight::Reaches(one)
        }
        (Weight::Reaches(reach), Weight::Harmless | Weight::Look)
        | (Weight::Harmless | Weight::Look, Weight::Reaches(reach)) => Weight::Reaches(reach),
        (Weight::Look, Weight::Harmless | Weight::Look) | (Weight::Harmless, Weight::Look) => Weight::Look,
        (Weight::Harmless, Weight::Harmless) => Weight::Harmless,
    };
}
