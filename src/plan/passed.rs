//! What a statement was judged by that passed, to see under a later catalog or policy whether it would pass still.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Inventory;
use crate::catalog::Name;
use crate::sql::lineage::{Lineage, Source};
use crate::sql::statement::{Reading, Statement};

/// A statement that touched nothing tagged when it was judged. A cursor goes on with the relations that it was declared
/// over, whatever is dropped, renamed or made since, so what counts is their object identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    lineage: Arc<Lineage>,
    words: BTreeSet<Name>,
}

impl Passed {
    /// What is known of a statement; `None`: not enough to tell later.
    pub fn of(statement: &Statement) -> Option<Self> {
        match &statement.reading {
            Reading::Understood(lineage) if lineage.unresolved.is_empty() => {
                Some(Self { lineage: Arc::clone(lineage), words: statement.words.clone() })
            }
            Reading::Understood(_) | Reading::NoQuery | Reading::NotUnderstood(_) => None,
        }
    }

    /// Whether nothing that it reads, calls or runs unnamed is tagged by now.
    pub fn holds(&self, inventory: &Inventory) -> bool {
        let lineage = &self.lineage;
        let clean = |source| inventory.source(source).is_none();
        lineage.relations.iter().all(|&oid| inventory.relation(oid).is_none() && inventory.rules(oid).is_none())
            && lineage.functions.iter().all(|&function| clean(Source::Function(function)))
            && lineage.outputs.iter().all(|output| output.origin.taint().sources.keys().all(|&source| clean(source)))
            && lineage.filters.iter().all(|filter| clean(filter.source))
            && inventory.touched(&self.words).runs.is_clean()
            && inventory.has_no_unnamed_calls()
    }
}
