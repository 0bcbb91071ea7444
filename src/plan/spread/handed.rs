//! Names of code that is handed tagged values without a statement of the caller's handing them: by triggers, checks,
//! defaults, policies of rows, rules, views, index expressions, and by functions that read them.

use std::collections::HashSet;

use super::Spread;
use super::acting::with_callers;
use super::mentions::{Mentions, names_in};
use crate::catalog::{Catalog, Dependent, Function, Name, Oid, Relation, Used};
use crate::plan::inventory::FunctionReach;
use crate::sql::lexer::{Lexer, Mark};

/// What code says that handles tagged values though the statement does not name them.
#[derive(Debug, Default)]
pub(in crate::plan) struct Handed {
    /// Every name by which code may be called that is handed values.
    pub code: HashSet<Name>,
    /// Names of what such code, and code that reads tagged columns, stores rows in.
    pub filled: HashSet<Name>,
    /// Functions that read tagged columns and make temporary relations, or call such.
    pub spilling: HashSet<Oid>,
}

/// Find it. Bodies name what they call, and a name may come to mean another function
/// (by the search path, or because the one that it meant is dropped): it is the names that count, and all words of a body
/// are names.
pub(super) fn handed(
    catalog: &Catalog,
    spread: &Spread,
    bodies: &[(&Function, Mentions)],
    views: &[(&Relation, Mentions)],
) -> Handed {
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
    let mut found = Handed { code: own.collect(), ..Handed::default() };
    for (function, mentions) in bodies {
        let reads = reads(function.oid) || mentions.reads_tagged(spread);
        if !reads && !handed.contains(&function.oid) {
            continue;
        }
        let body = function.body.as_deref().unwrap_or_default();
        let words = names_in(body).unwrap_or_default();
        if reads && ["temp", "temporary", "pg_temp"].iter().any(|word| words.contains(*word)) {
            found.spilling.insert(function.oid);
        }
        found.code.extend(words);
        found.filled.extend(filled(body));
    }
    found.spilling = with_callers(found.spilling, bodies);
    found
}

/// The names behind `INTO`, `UPDATE` and `COPY`, each part of those with dots: of relations, and of variables too.
fn filled(body: &str) -> HashSet<Name> {
    let mut names = HashSet::new();
    // Whether a name comes, and whether a part of one was just there.
    let (mut comes, mut there) = (false, false);
    for token in Lexer::new(body).map_while(Result::ok) {
        let dot = there && token.is_mark(Mark::Dot);
        there = false;
        if dot || token.is_any(&["into", "update", "copy"]) {
            comes = true;
        } else if comes
            && !token.is_any(&["only", "table", "strict"])
            && let Some(name) = token.name()
        {
            names.insert(name);
            (comes, there) = (false, true);
        } else {
            comes &= token.is_any(&["only", "table", "strict"]);
        }
    }
    names
}
