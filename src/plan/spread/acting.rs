//! Functions that do more than compute.

use std::collections::HashSet;

use super::mentions::Mentions;
use crate::catalog::{Catalog, Function, Oid};

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
    loop {
        let before = acting.len();
        let callers =
            bodies.iter().filter(|(_, mentions)| mentions.functions.iter().any(|called| acting.contains(called)));
        let callers: Vec<Oid> = callers.map(|(function, _)| function.oid).collect();
        acting.extend(callers);
        if acting.len() == before {
            return acting;
        }
    }
}
