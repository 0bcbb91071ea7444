//! Functions of users that may store into tagged columns: what callers hand them may be masks that come back.
//!
//! Which argument goes where is not asked: a body in whatever language names what it fills, and nothing but a mask looks like one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::spread::is_system;
use super::storing::{called_by, fills_all, writes};
use crate::catalog::{Catalog, Function, Name, Oid};
use crate::sql::words::deep_words;

/// Columns as (`pg_class.oid`, `pg_attribute.attnum`).
type Columns = BTreeSet<(Oid, i16)>;

/// The tagged columns that functions may store into.
#[derive(Debug, Default)]
pub(super) struct Filling {
    functions: HashMap<Oid, Columns>,
    /// By the names that functions have.
    names: HashMap<Name, Columns>,
}

impl Filling {
    /// Find them. `columns`: every tagged column, through whatever relation it is written to.
    pub fn of(catalog: &Catalog, columns: impl Iterator<Item = (Oid, i16)>) -> Self {
        let mut tagged: BTreeMap<Oid, Vec<i16>> = BTreeMap::new();
        for (relation, attnum) in columns {
            tagged.entry(relation).or_default().push(attnum);
        }
        let own = |function: &&Function| {
            function.body.is_some() && function.language.as_str() != "internal" && !is_system(&function.schema)
        };
        let functions: Vec<&Function> = catalog.functions().filter(own).collect();
        let mut found = Self::default();
        for function in &functions {
            let filled = filled(function.body.as_deref().unwrap_or_default(), &tagged, catalog);
            found.add(function, filled);
        }
        // What calls them stores, too.
        let calls: Vec<_> = functions.iter().map(|function| (*function, called_by(function))).collect();
        loop {
            let before: usize = found.functions.values().map(Columns::len).sum();
            for (function, calls) in &calls {
                let filled: Columns =
                    calls.iter().filter_map(|name| found.names.get(name)).flatten().copied().collect();
                found.add(function, filled);
            }
            if found.functions.values().map(Columns::len).sum::<usize>() == before {
                return found;
            }
        }
    }

    fn add(&mut self, function: &Function, columns: Columns) {
        if !columns.is_empty() {
            self.names.entry(function.name.clone()).or_default().extend(&columns);
            self.functions.entry(function.oid).or_default().extend(columns);
        }
    }

    /// What a function may store into.
    pub fn by(&self, function: Oid) -> impl Iterator<Item = (Oid, i16)> + '_ {
        self.functions.get(&function).into_iter().flatten().copied()
    }

    /// The names of such functions.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.keys()
    }
}

/// The columns that a body may store into: those that it names of relations that it names, or all of these where it leaves the
/// columns out, or can not be taken apart.
fn filled(body: &str, tagged: &BTreeMap<Oid, Vec<i16>>, catalog: &Catalog) -> Columns {
    let words = deep_words(body);
    if words.as_ref().is_some_and(|words| !writes(words)) {
        return Columns::new();
    }
    let mut found = Columns::new();
    for (oid, columns) in tagged {
        let Some(relation) = catalog.relation(*oid) else { continue };
        let named = |name: &Name| words.as_ref().is_none_or(|words| words.contains(name));
        if !named(&relation.name) {
            continue;
        }
        let all = words.as_ref().is_none_or(|words| words.contains("merge")) || fills_all(body, relation);
        let said = |attnum: &&i16| all || relation.attribute(**attnum).is_some_and(|column| named(&column.name));
        found.extend(columns.iter().filter(said).map(|attnum| (*oid, *attnum)));
    }
    found
}
