//! Code that runs without a statement naming it: triggers, defaults, checks, rules, operators, casts.

use std::collections::HashMap;

use super::Spread;
use crate::catalog::{Catalog, Dependent, Name, Oid, Used};
use crate::plan::Reach;
use crate::sql::lineage::Flow;

/// Symbols whose meaning filters rely on.
const EQUALITY: [&str; 6] = ["=", "<>", "~~", "~~*", "!~~", "!~~*"];

/// What runs without being named, as far as it reaches anything tagged.
#[derive(Debug, Default)]
pub(in crate::plan) struct Unnamed {
    /// What using a relation runs: triggers, defaults, checks, row security, index expressions, constraints of its
    /// columns' domains. Its errors and notices may quote what it reads.
    pub relations: HashMap<Oid, Reach>,
    /// What a relation's rewrite rules read: statements that write to it may show rows of that.
    pub rules: HashMap<Oid, Reach>,
    /// What domains' constraints read, by the domain.
    pub domains: HashMap<Oid, Reach>,
    /// What operators read, by symbol.
    pub operators: HashMap<Name, Reach>,
    /// What casts read, by the names of their types.
    pub casts: HashMap<Name, Reach>,
    /// Whether somebody has defined an operator of their own that a filter takes for equality.
    pub equality_redefined: bool,
}

impl Unnamed {
    pub(super) fn new(catalog: &Catalog, spread: &Spread, everything: &Reach) -> Self {
        let mut unnamed = Self::default();
        for dependency in catalog.dependencies() {
            if let (Dependent::Operator(symbol), Used::Function(function)) = (&dependency.of, dependency.on) {
                // Compiled code of extensions compares values (citext's LIKE is PostgreSQL's own code, under another name); a
                // function in SQL may do anything with them.
                let compiled = catalog.function(function).is_some_and(|function| {
                    function.extension.is_some() && matches!(function.language.as_str(), "c" | "internal")
                });
                unnamed.equality_redefined |= EQUALITY.contains(&symbol.as_str()) && !compiled;
            }
            let Some(reach) = spread.used(catalog, dependency.on, everything) else { continue };
            match &dependency.of {
                Dependent::Relation(relation) => absorb(&mut unnamed.relations, *relation, reach),
                Dependent::Rule(relation) => absorb(&mut unnamed.rules, *relation, reach),
                Dependent::Domain(domain) => absorb(&mut unnamed.domains, *domain, reach),
                Dependent::Operator(symbol) => absorb(&mut unnamed.operators, symbol.clone(), reach),
                Dependent::Cast { source, target } => {
                    for described in [source, target].into_iter().filter_map(|&oid| catalog.type_of(oid)) {
                        // The names of PostgreSQL's own types are everywhere; one of the two always is a user's, unless
                        // a superuser has changed how its own types are cast.
                        if described.schema.as_str() != "pg_catalog" {
                            absorb(&mut unnamed.casts, described.name.clone(), reach);
                        }
                    }
                }
                Dependent::View(_) | Dependent::Function(_) => {}
            }
        }
        unnamed.spread_to_columns(catalog);
        unnamed
    }

    /// Storing into a column of a domain runs the domain's constraints; so may a cast to the column's type.
    fn spread_to_columns(&mut self, catalog: &Catalog) {
        if self.domains.is_empty() && self.casts.is_empty() {
            return;
        }
        for relation in catalog.relations() {
            for described in relation.columns.iter().filter_map(|column| catalog.type_of(column.type_oid)) {
                for reach in [self.domains.get(&described.oid), self.casts.get(&described.name)].into_iter().flatten() {
                    absorb(&mut self.relations, relation.oid, reach);
                }
            }
        }
    }
}

fn absorb<K: std::hash::Hash + Eq>(into: &mut HashMap<K, Reach>, key: K, reach: &Reach) {
    into.entry(key).or_default().absorb(reach, Flow::Derived);
}
