//! Names of code that is handed tagged values without a statement of the caller's handing them: by triggers, checks,
//! defaults, policies of rows, rules, views, index expressions, and by functions that read them.

use std::collections::HashSet;

use super::Spread;
use super::mentions::{Mentions, names_in};
use crate::catalog::{Catalog, Dependent, Function, Name, Oid, Relation, Used};
use crate::plan::inventory::FunctionReach;

/// Every name by which such code may be called. Bodies name what they call, and a name may come to mean another function
/// (by the search path, or because the one that it meant is dropped): it is the names that count, and all words of a body
/// are names.
pub(super) fn handed(
    catalog: &Catalog,
    spread: &Spread,
    bodies: &[(&Function, Mentions)],
    views: &[(&Relation, Mentions)],
) -> HashSet<Name> {
    let reads = |function: Oid| match spread.functions.get(&function) {
        Some(FunctionReach::Reads(reach)) => !reach.is_clean(),
        Some(FunctionReach::Opaque) => true,
        None => false,
    };
    let mut handed: HashSet<Oid> = HashSet::new();
    for dependency in catalog.dependencies() {
        let hands = match &dependency.of {
            Dependent::Relation(relation) => spread.relations.contains_key(relation),
            // What they are used on nothing here says.
            Dependent::Rule(_)
            | Dependent::View(_)
            | Dependent::Domain(_)
            | Dependent::Operator(_)
            | Dependent::Cast { .. } => true,
            Dependent::Function(_) => false,
        };
        if let (true, Used::Function(function)) = (hands, dependency.on) {
            handed.insert(function);
        }
    }
    for (view, mentions) in views {
        if spread.relations.contains_key(&view.oid) || mentions.reads_tagged(spread) {
            handed.extend(&mentions.functions);
        }
    }
    loop {
        let before = handed.len();
        for (function, mentions) in bodies {
            if reads(function.oid) || mentions.reads_tagged(spread) || handed.contains(&function.oid) {
                handed.extend(&mentions.functions);
            }
        }
        for dependency in catalog.dependencies() {
            if let (Dependent::Function(of), Used::Function(on)) = (&dependency.of, dependency.on)
                && (reads(*of) || handed.contains(of))
            {
                handed.insert(on);
            }
        }
        if handed.len() == before {
            break;
        }
    }
    let own = handed.iter().filter_map(|&function| catalog.function(function));
    let own = own.filter(|function| !super::is_system(&function.schema)).map(|function| function.name.clone());
    let mut names: HashSet<Name> = own.collect();
    for (function, mentions) in bodies {
        if reads(function.oid) || mentions.reads_tagged(spread) || handed.contains(&function.oid) {
            let body = function.body.as_deref().unwrap_or_default();
            names.extend(names_in(body).unwrap_or_default());
        }
    }
    names
}
