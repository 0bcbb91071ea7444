//! What each word of a statement can mean at the worst.

use std::collections::HashMap;

use super::FunctionReach;
use crate::catalog::{Catalog, Name, Oid, TypeKind};
use crate::plan::Reach;
use crate::plan::spread::Spread;
use crate::plan::system::{QUOTING_FUNCTIONS, WEIGHTY_WORDS};
use crate::sql::lexer;
use crate::sql::lineage::{Flow, is_closed};

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

/// Weigh every name that the catalog has, and PostgreSQL's key words.
pub(super) fn weigh(catalog: &Catalog, spread: &Spread) -> HashMap<Name, Weight> {
    let mut words: HashMap<Name, Weight> = HashMap::new();
    let harmless = |words: &mut HashMap<Name, Weight>, name: &Name| {
        if !words.contains_key(name) {
            words.insert(name.clone(), Weight::Harmless);
        }
    };
    for word in lexer::keywords() {
        words.insert(Name::exact(word), Weight::Harmless);
    }
    // The types of arrays of a relation's rows are ways to name it as well.
    let mut arrays: HashMap<Oid, &Name> = HashMap::new();
    for described in catalog.types() {
        harmless(&mut words, &described.name);
        if let TypeKind::Array(element) = described.kind {
            arrays.insert(element, &described.name);
        }
    }
    for relation in catalog.relations() {
        harmless(&mut words, &relation.schema);
        for column in &relation.columns {
            harmless(&mut words, &column.name);
        }
        let reach = spread.relations.get(&relation.oid);
        let unread = relation.has_rules && relation.schema.as_str() != "pg_catalog";
        let runs = spread.unnamed.relations.contains_key(&relation.oid);
        let weight = match reach {
            Some(reach) => Weight::Reaches(reach.clone()),
            None if unread || runs => Weight::Look,
            None => Weight::Harmless,
        };
        if let Some(array) = arrays.get(&relation.row_type).filter(|_| weight != Weight::Harmless) {
            heavier(&mut words, array, weight.clone());
        }
        heavier(&mut words, &relation.name, weight);
    }
    for function in catalog.functions() {
        let weight = match spread.functions.get(&function.oid) {
            Some(FunctionReach::Reads(reach)) => Weight::Reaches(reach.clone()),
            Some(FunctionReach::Opaque) => Weight::Everything,
            None if is_closed(function) => Weight::Everything,
            None if QUOTING_FUNCTIONS.contains(&function.name.as_str()) => Weight::Everything,
            None => Weight::Harmless,
        };
        heavier(&mut words, &function.name, weight);
    }
    let domains = spread.unnamed.domains.keys().filter_map(|&oid| Some(&catalog.type_of(oid)?.name));
    for name in domains.chain(spread.unnamed.casts.keys()) {
        heavier(&mut words, name, Weight::Look);
    }
    for name in &spread.makers {
        heavier(&mut words, name, Weight::Look);
    }
    // `SELECT ... INTO` may make another relation of that name.
    let filled = spread.handed.filled.iter();
    for name in filled.filter(|name| catalog.relations_named(None, name).next().is_some()) {
        heavier(&mut words, name, Weight::Look);
    }
    for word in WEIGHTY_WORDS {
        heavier(&mut words, &Name::exact(word), Weight::Look);
    }
    words
}

/// Give a word the heavier of its weights; reaches of several meanings add up.
pub(super) fn heavier(words: &mut HashMap<Name, Weight>, word: &Name, weight: Weight) {
    let Some(known) = words.get_mut(word) else {
        words.insert(word.clone(), weight);
        return;
    };
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
