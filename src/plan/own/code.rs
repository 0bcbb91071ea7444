//! Code of users that may run where nobody names it: as rows are stored, or before a name is looked up.

use super::Own;
use std::sync::Arc;

use crate::catalog::{Catalog, Column, Conduct, Dependent, Doubt, Name, Relation, TypeKind};
use crate::plan::{Snapshot, is_acting};
use crate::sql::lineage::{FilterKind, FilterUse, Flow, Output, Source, fails_for_no_text};
use crate::sql::statement::{Change, Code, Detail, Reading, Statement, StatementKind};
use crate::sql::{ConfigCall, config_calls, opened_by_made};

impl Own {
    /// What a statement makes or changes of code, and what it runs that may.
    pub(super) fn take_in_code(&mut self, statement: &Statement, text: &str, snapshot: &Snapshot) {
        let inventory = &snapshot.inventory;
        let mut doubt = Doubt::clone(&self.doubt);
        for code in &statement.code {
            match code {
                Code::Routine(name) => {
                    let conduct = match statement.kind {
                        StatementKind::CreateFunction | StatementKind::CreateAggregate => {
                            self.conduct(statement, text, snapshot)
                        }
                        _ => Conduct::Acts,
                    };
                    // What others call by name is not what they were judged by.
                    doubt.anything |= inventory.is_mentioned(name) && conduct == Conduct::Acts;
                    if let Some(column) = inventory.stored_by_code(&statement.words) {
                        self.storing.insert(name.clone(), column);
                    }
                    let known = doubt.routines.entry(name.clone()).or_insert(conduct);
                    *known = conduct.max(*known);
                }
                Code::Type(name) => drop(doubt.types.insert(name.clone())),
                Code::Operator => doubt.operators = true,
                Code::Schema => doubt.schemas = true,
                Code::Anything => doubt.anything = true,
            }
        }
        // A function that was said to read nothing tagged may read this.
        let renamed = |change: &Change| matches!(change, Change::Rename(name) if self.mentioned.contains(name));
        let read = match &statement.detail {
            Detail::Makes(definition) => {
                definition.name.as_ref().is_some_and(|object| self.mentioned.contains(&object.name))
            }
            Detail::Alters(alteration) => alteration.changes.iter().any(renamed),
            Detail::None
            | Detail::Cursor(_)
            | Detail::Prepared(_)
            | Detail::Savepoint(_)
            | Detail::Setting(..)
            | Detail::Copy(_)
            | Detail::Explain { .. }
            | Detail::Object(_) => false,
        };
        if read {
            doubt.routines.values_mut().for_each(|conduct| *conduct = Conduct::Acts);
        }
        let runs_makers = statement.words.iter().any(|word| inventory.makes_code(word));
        doubt.anything |= runs_makers;
        self.code_now = runs_makers || !statement.code.is_empty();
        if *self.doubt != doubt {
            self.doubt = Arc::new(doubt);
            self.changed();
        }
        self.doubted_now |= self.code_now;
    }

    /// What a function does that a statement makes. One that names nothing tagged and nothing that acts computes something of
    /// what it is given.
    fn conduct(&self, statement: &Statement, text: &str, snapshot: &Snapshot) -> Conduct {
        let has = |word: &str| statement.words.contains(word);
        // CREATE is its own first word.
        let acts = statement.words.iter().any(|word| is_acting(word) && word.as_str() != "create");
        let touched = snapshot.inventory.touched(&statement.words);
        let calls = |word: &Name| {
            let own = matches!(&statement.detail, Detail::Object(Some(object)) if object.name == *word);
            let acting = |conduct| conduct == Conduct::Acts;
            !own && self.doubt.routine(None, word).is_some_and(acting) || self.has(word)
        };
        let acting = |word: &Name| {
            let mut functions = snapshot.catalog.functions_named(None, word);
            functions.any(|function| snapshot.inventory.acts(function.oid))
        };
        let read = has("plpgsql") || has("sql") || statement.kind == StatementKind::CreateAggregate;
        let computes = read
            && !acts
            && !statement.words.iter().any(acting)
            && !has("table")
            && touched.reach.is_clean()
            && touched.runs.is_clean()
            && !statement.words.iter().any(calls);
        if opened_by_made(text).is_some() {
            // what it opens is judged when it is made, and shown to nobody but who fetches it
            return Conduct::Chooses;
        }
        let own = |word: &Name| matches!(&statement.detail, Detail::Object(Some(object)) if object.name == *word);
        let calls_made = statement.words.iter().any(|word| !own(word) && self.doubt.routine(None, word).is_some());
        match computes {
            true if !calls_made && fails_for_no_text(text, &snapshot.catalog) => Conduct::Computes,
            true => Conduct::Chooses,
            false => Conduct::Acts,
        }
    }

    /// Code that runs when rows are stored may be attached to a relation.
    pub(super) fn attach(&mut self, statement: &Statement, snapshot: &Snapshot) {
        let attaches = match statement.kind {
            StatementKind::CreateTrigger | StatementKind::CreateRule | StatementKind::CreatePolicy => true,
            StatementKind::Do => statement.words.contains("create") || statement.words.contains("alter"),
            StatementKind::AlterTable | StatementKind::CreateIndex | StatementKind::CreateStatistics => {
                self.runs_code(statement, &snapshot.catalog)
            }
            _ => return,
        };
        for made in &mut self.relations {
            made.plain &= !(attaches && statement.words.contains(&made.relation.name));
        }
        self.attach_tests(statement);
    }

    /// What is stored in a relation from now on may be tested, computed with, or compared with what is there.
    fn attach_tests(&mut self, statement: &Statement) {
        let tests = statement.kind == StatementKind::CreateIndex
            || ["check", "exclude", "generated", "primary", "unique"]
                .iter()
                .any(|word| statement.words.contains(*word));
        if !tests {
            return;
        }
        let lineage = match &statement.reading {
            Reading::Understood(lineage) => Some(&**lineage),
            Reading::NoQuery | Reading::NotUnderstood(_) => None,
        };
        let derives = |output: &Output| output.origin.taint().sources.values().any(|flow| *flow == Flow::Derived);
        let grouping = |used: &FilterUse| used.kind == FilterKind::Grouping;
        let plain = lineage.is_some_and(|lineage| {
            lineage.filters.iter().all(grouping) && !lineage.outputs.iter().any(derives) && lineage.writes.is_empty()
        });
        for made in self.relations.iter_mut().filter(|made| statement.words.contains(&made.relation.name)) {
            made.plain &= plain;
            let sources = lineage.into_iter().flat_map(|lineage| &lineage.filters).map(|used| used.source);
            made.compared.extend(sources.filter_map(|source| match source {
                Source::Column { relation, attnum } if relation == made.relation.oid => Some(attnum),
                Source::Column { .. } | Source::Function(_) | Source::Field { .. } => None,
            }));
        }
    }

    /// Whether a word of a statement may be the name of a function or domain that users made: who made it may make it
    /// again as something else.
    pub(super) fn runs_code(&self, statement: &Statement, catalog: &Catalog) -> bool {
        statement.words.iter().any(|word| {
            let foreign = |schema: &Name| schema.as_str() != "pg_catalog" && schema.as_str() != "information_schema";
            let mut functions = catalog.functions_named(None, word);
            let mut types = catalog.types_named(None, word);
            self.doubt.has_code(word)
                || functions.any(|function| foreign(&function.schema) && function.extension.is_none())
                || types.any(|known| foreign(&known.schema) && matches!(known.kind, TypeKind::Domain(_)))
        })
    }
}

/// Whether a relation of the catalog is one that no code of users is attached to.
pub(super) fn is_plain(relation: &Relation, catalog: &Catalog) -> bool {
    let attached = catalog.dependencies().iter().any(|dependency| match dependency.of {
        Dependent::Relation(of) | Dependent::Rule(of) => of == relation.oid,
        Dependent::View(_)
        | Dependent::Domain(_)
        | Dependent::Operator(_)
        | Dependent::Cast { .. }
        | Dependent::Function(_) => false,
    });
    !attached && !relation.has_rules && !has_domains(relation, catalog)
}

/// Whether a relation has columns of domains that users made.
pub(super) fn has_domains(relation: &Relation, catalog: &Catalog) -> bool {
    let domain = |column: &Column| {
        let known = catalog.type_of(column.type_oid);
        known.is_some_and(|known| {
            known.schema.as_str() != "information_schema" && matches!(known.kind, TypeKind::Domain(_))
        })
    };
    relation.columns.iter().any(domain)
}

/// Whether a statement may make `search_path` name the schema of temporary relations, which otherwise is the first to be
/// searched.
pub(super) fn moves_temporary(statement: &Statement, text: &str, snapshot: &Snapshot) -> bool {
    let names_it = || {
        let text = text.to_ascii_lowercase();
        text.contains("temp") || text.contains('\\') || text.contains("u&")
    };
    match (statement.kind, &statement.detail) {
        (StatementKind::Set, Detail::Setting(Some(name), _)) if name.as_str() == "search_path" => return names_it(),
        (StatementKind::Do | StatementKind::Call, _) if statement.words.contains("search_path") => return true,
        _ => {}
    }
    if statement.words.contains("set_config") {
        let calls = config_calls(text);
        let of_path = |call: &ConfigCall| match call {
            ConfigCall::Named(name) => name == "search_path",
            ConfigCall::Listed(_) | ConfigCall::Computed => true,
        };
        if calls.is_empty() || calls.iter().any(of_path) {
            return true;
        }
    }
    match &statement.reading {
        Reading::Understood(lineage) => lineage.functions.iter().any(|&function| snapshot.inventory.acts(function)),
        Reading::NoQuery | Reading::NotUnderstood(_) => false,
    }
}

/// Whether a text names a setting by which the planner chooses between ways to run a statement.
pub(in crate::plan) fn tells_the_planner(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "enable_",
        "_cost",
        "work_mem",
        "hash_mem",
        "geqo",
        "collapse_limit",
        "plan_cache_mode",
        "effective_cache_size",
        "parallel",
    ]
    .iter()
    .any(|part| text.contains(part))
}

/// Whether a text names a setting by which the planner chooses how to read a table.
pub(super) fn tells_how_to_read(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["enable_seqscan", "enable_index", "enable_bitmap", "enable_tid", "page_cost", "cpu_", "effective_cache_size"]
        .iter()
        .any(|part| text.contains(part))
}

/// Whether a text that changes settings of the planner may change one of these.
pub(super) fn may_tell_how_to_read(text: &str) -> bool {
    let computed = |call: &ConfigCall| matches!(call, ConfigCall::Computed);
    tells_how_to_read(text) || !tells_the_planner(text) || config_calls(text).iter().any(computed)
}

/// Whether a statement may change such a setting.
pub(super) fn steers(statement: &Statement, text: &str, snapshot: &Snapshot) -> bool {
    let named = || statement.words.iter().any(|word| tells_the_planner(word.as_str()));
    match (statement.kind, &statement.detail) {
        (StatementKind::Set, Detail::Setting(Some(name), value)) => {
            let default = value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("default"));
            return tells_the_planner(name.as_str()) && !default;
        }
        (StatementKind::Set, Detail::Setting(None, _)) => return named(),
        (StatementKind::Do | StatementKind::Call, _) => return named() || statement.words.contains("set_config"),
        _ => {}
    }
    if statement.words.contains("set_config") {
        let calls = config_calls(text);
        let of_planner = |call: &ConfigCall| match call {
            ConfigCall::Named(name) | ConfigCall::Listed(name) => tells_the_planner(name),
            ConfigCall::Computed => true,
        };
        if calls.is_empty() || calls.iter().any(of_planner) {
            return true;
        }
    }
    let sets_elsewhere = || snapshot.inventory.is_mentioned(&Name::exact("set_config"));
    match &statement.reading {
        Reading::Understood(lineage) => {
            lineage.functions.iter().any(|&function| snapshot.inventory.acts(function)) && sets_elsewhere()
        }
        Reading::NoQuery | Reading::NotUnderstood(_) => false,
    }
}
