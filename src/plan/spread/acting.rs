//! Functions that do more than compute.

use std::collections::HashSet;

use super::mentions::Mentions;
use crate::catalog::{Catalog, Function, Name, Oid};

/// User-defined functions that may keep what they are given or pass it on: their bodies say so, or call others that do,
/// or can not be read. Compiled code of extensions works on its arguments; what does more is refused by name.
pub(super) fn acting(catalog: &Catalog, bodies: &[(&Function, Mentions)]) -> HashSet<Oid> {
    let read: HashSet<Oid> = bodies.iter().map(|(function, _)| function.oid).collect();
    let mut acting: HashSet<Oid> = catalog
        .functions()
        .filter(|function| !super::is_system(&function.schema) && function.extension.is_none())
        .map(|function| function.oid)
        .filter(|function| !read.contains(function))
        .collect();
    acting.extend(
        bodies.iter().filter(|(_, mentions)| mentions.acts || mentions.unreadable).map(|(function, _)| function.oid),
    );
    with_callers(acting, bodies)
}

/// The names of user-defined functions that make or change code when they run: their bodies say so, or call others that do.
pub(super) fn makers(catalog: &Catalog, bodies: &[(&Function, Mentions)]) -> HashSet<Name> {
    let makers = bodies.iter().filter(|(_, mentions)| mentions.makes_code).map(|(function, _)| function.oid);
    let makers = with_callers(makers.collect(), bodies);
    makers.into_iter().filter_map(|oid| Some(catalog.function(oid)?.name.clone())).collect()
}

/// These functions, and those whose bodies name one of them.
pub(super) fn with_callers(mut found: HashSet<Oid>, bodies: &[(&Function, Mentions)]) -> HashSet<Oid> {
    loop {
        let before = found.len();
        let callers =
            bodies.iter().filter(|(_, mentions)| mentions.functions.iter().any(|called| found.contains(called)));
        let callers: Vec<Oid> = callers.map(|(function, _)| function.oid).collect();
        found.extend(callers);
        if found.len() == before {
            return found;
        }
    }
}
