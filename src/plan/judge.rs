//! The verdict on one statement, before anything of it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::powers;
use super::result::Protection;
use super::{Caller, Observation, Reach, Refusal, RestrictiveReason, Snapshot};
use crate::catalog::{Name, Oid};
use crate::policy::{Decision, FilterMode, Sight, TaggedColumnId};
use crate::sql::lineage::{FilterKind, FilterUse, Flow, Lineage, Unknown, Write};
use crate::sql::statement::{Detail, Reading, Statement, StatementKind};
use crate::sql::{NotUnderstood, fingerprint};

/// What to do with a statement.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It touches nothing tagged: nothing of it or its results is looked at.
    Pass,
    /// Its results are rewritten and its errors scrubbed as this says.
    Protect(Arc<Protection>),
    /// It must not run.
    Refuse(Arc<Refusal>),
    /// It runs a statement or cursor of that name, which was judged before.
    Recall(Name),
}

/// A verdict, and what was noticed on the way to it.
#[derive(Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What there is to count.
    pub observations: Vec<Observation>,
}

/// What the transaction under way has made, which no other session can see.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Relations and functions that were judged when they were made: they hold and do nothing that the caller may not
    /// see.
    pub names: BTreeSet<Name>,
    /// Whether it has changed the catalog at all.
    pub pending: bool,
}

/// Judge one statement of a message for a caller. `own`: what its transaction has made so far.
pub fn judge(text: &str, statement: &Statement, snapshot: &Snapshot, caller: &Caller, own: &Own) -> Judgement {
    let mut bench = Bench { snapshot, caller, own, observations: Vec::new() };
    let verdict = match bench.verdict(text, statement) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::Refuse(Arc::new(refusal)),
    };
    Judgement { verdict, observations: bench.observations }
}

/// Judge a text that could not even be split into statements.
pub fn judge_opaque(why: NotUnderstood, words: &BTreeSet<Name>, snapshot: &Snapshot, caller: &Caller) -> Judgement {
    let mut bench = Bench { snapshot, caller, own: &Own::default(), observations: Vec::new() };
    let touched = snapshot.inventory.touched(words);
    // Where the words themselves could not be read, nothing is known of it.
    let blind = matches!(why, NotUnderstood::Encoding | NotUnderstood::TooLarge);
    let verdict = if snapshot.inventory.is_empty()
        || (touched.reach.is_clean() && !blind)
        || bench.all_clear(&snapshot.inventory.everything().clone())
    {
        Verdict::Pass
    } else {
        bench.restrict(RestrictiveReason::NotUnderstood);
        Verdict::Refuse(Arc::new(Refusal::not_understood(why)))
    };
    Judgement { verdict, observations: bench.observations }
}

struct Bench<'a> {
    snapshot: &'a Snapshot,
    caller: &'a Caller,
    own: &'a Own,
    observations: Vec<Observation>,
}

impl Bench<'_> {
    fn verdict(&mut self, text: &str, statement: &Statement) -> Result<Verdict, Refusal> {
        let inventory = &self.snapshot.inventory;
        if inventory.is_empty() {
            return Ok(Verdict::Pass);
        }
        let own_text = text.get(statement.span.clone()).unwrap_or_default();
        powers::forbidden_to_all(statement, own_text)?;
        if !self.all_clear(inventory.everything()) {
            powers::forbidden_to_masked(statement, own_text)?;
        }
        if let Some(name) = recalled(statement) {
            return Ok(Verdict::Recall(name));
        }
        let touched = inventory.touched(&statement.words);
        if touched.harmless {
            return Ok(Verdict::Pass);
        }
        let shape = || fingerprint(own_text);
        match &statement.reading {
            Reading::Understood(lineage) => self.query(statement, lineage, &touched.reach, shape()),
            Reading::NotUnderstood(why) if touched.reach.is_clean() && !names_unknown_calls(*why) => {
                // Nothing in it names a way to tagged data.
                Ok(Verdict::Pass)
            }
            Reading::NotUnderstood(why) => {
                if self.all_clear(&touched.reach) && !touched.reach.is_clean() {
                    return Ok(Verdict::Protect(Arc::new(Protection::unknown(Unknown::Construct, shape(), false))));
                }
                self.restrict(match why {
                    NotUnderstood::Disagreement => RestrictiveReason::Disagreement,
                    _ => RestrictiveReason::NotUnderstood,
                });
                Err(Refusal::not_understood(*why))
            }
            Reading::NoQuery => self.other(statement, &touched.reach),
        }
    }

    /// A statement that holds a query whose lineage is known.
    fn query(
        &mut self,
        statement: &Statement,
        lineage: &Arc<Lineage>,
        named: &Reach,
        shape: crate::access_log::Fingerprint,
    ) -> Result<Verdict, Refusal> {
        let inventory = Arc::clone(&self.snapshot.inventory);
        let everything_clear = self.all_clear(inventory.everything());
        if !everything_clear {
            if let Some(name) = lineage.forbidden.first() {
                return Err(Refusal::function(name));
            }
            if let Some(function) = lineage.functions.iter().find(|&&function| inventory.is_opaque(function)) {
                let name = self.snapshot.catalog.function(*function).map(|function| function.name.clone());
                return Err(Refusal::function(&name.unwrap_or_else(|| Name::exact("(unknown)"))));
            }
        }
        let unresolved = lineage.unresolved.iter().any(|name| !self.own.names.contains(name));
        if unresolved && self.own.pending && !everything_clear {
            return Err(Refusal::not_understood(NotUnderstood::Construct("something that this transaction made")));
        }
        for (&function, given) in lineage.given.iter().filter(|(function, _)| inventory.acts(**function)) {
            let covered = inventory.resolve(given);
            if !self.all_clear(&Reach { columns: flowing(&covered), unknown: None }) {
                let name = self.snapshot.catalog.function(function).map(|function| function.name.clone());
                return Err(Refusal::function(&name.unwrap_or_else(|| Name::exact("(unknown)"))));
            }
        }
        for filter in &lineage.filters {
            self.filter(filter)?;
        }
        if lineage.filters_unknown.is_some() && !named.is_clean() && !self.all_clear(named) {
            self.restrict(RestrictiveReason::UnknownOrigin);
            return Err(Refusal::not_understood(NotUnderstood::Construct("a condition on a column that is not known")));
        }
        let mut outputs = Reach::default();
        for output in &lineage.outputs {
            outputs.absorb(&inventory.resolve(&output.origin.taint()), Flow::Direct);
        }
        self.none_denied(&outputs)?;
        let into = moves_rows(statement.kind);
        for write in &lineage.writes {
            self.write(write)?;
        }
        if into {
            // What it makes is filled with the query's outputs, and has no tags of its own.
            self.may_leave(&outputs)?;
        }
        if self.reveals(&outputs) && !self.snapshot.access_log_ready {
            return Err(Refusal::access_log());
        }
        match &statement.detail {
            Detail::Explain { analyze: true } if !self.all_clear(named) => {
                return Err(Refusal::kind("EXPLAIN ANALYZE"));
            }
            Detail::Explain { .. } => {
                return Ok(if named.is_clean() {
                    Verdict::Pass
                } else {
                    Verdict::Protect(Arc::new(Protection::plan_text(shape, !self.all_clear(named))))
                });
            }
            Detail::Copy { inward: false, server_side, .. } => {
                if !(self.all_clear(named) && outputs.unknown.is_none() && outputs.columns.is_empty()) {
                    return Err(Refusal::copy(&"a query"));
                }
                if *server_side && !named.is_clean() {
                    return Err(Refusal::copy(&"a query"));
                }
            }
            Detail::None
            | Detail::Cursor(_)
            | Detail::Prepared(_)
            | Detail::Setting(..)
            | Detail::Copy { .. }
            | Detail::Object(_) => {}
        }
        let relations = lineage.relations.iter().any(|&relation| self.reaches(relation));
        let touches = relations || !outputs.is_clean() || !lineage.functions.is_empty();
        if !touches && outputs.unknown.is_none() && named.is_clean() {
            return Ok(Verdict::Pass);
        }
        if !touches && !unresolved && outputs.columns.is_empty() && named.is_clean() {
            // Unknown only for relations that the session made itself.
            return Ok(Verdict::Pass);
        }
        let scrub = !(self.all_clear(named) && self.all_clear(&outputs));
        Ok(Verdict::Protect(Arc::new(Protection::known(Arc::clone(lineage), shape, scrub))))
    }

    /// A statement without a query of its own.
    fn other(&mut self, statement: &Statement, touched: &Reach) -> Result<Verdict, Refusal> {
        let inventory = Arc::clone(&self.snapshot.inventory);
        // EXPLAIN EXECUTE and CREATE TABLE AS EXECUTE say nothing of what they run.
        let unnamed = matches!(statement.detail, Detail::Prepared(_))
            && matches!(statement.kind, StatementKind::Explain | StatementKind::CreateTableAs);
        if unnamed && !self.all_clear(inventory.everything()) {
            return Err(Refusal::kind(statement.kind.command()));
        }
        // What runs strings, or is in a language that pgveil does not read, can reach anything.
        let runs_strings = statement.words.contains("execute")
            || (statement.words.contains("language") && !statement.words.contains("plpgsql"));
        let mut touched = touched.clone();
        let made_just_now = self.own.pending
            && statement.words.iter().any(|word| !self.own.names.contains(word) && !inventory.knows(word));
        if (statement.kind == StatementKind::Do && runs_strings)
            || (statement.kind == StatementKind::Call && made_just_now)
        {
            touched.absorb(inventory.everything(), Flow::Derived);
        }
        let touched = &touched;
        if touched.is_clean() {
            return Ok(Verdict::Pass);
        }
        if let Detail::Copy { table, columns, server_side, .. } = &statement.detail {
            return self.copy(table.as_ref(), columns, *server_side, touched);
        }
        match statement.kind {
            // No value of a table is read, shown or moved by these.
            StatementKind::Begin
            | StatementKind::Commit
            | StatementKind::Rollback
            | StatementKind::Savepoint
            | StatementKind::ReleaseSavepoint
            | StatementKind::RollbackToSavepoint
            | StatementKind::PrepareTransaction
            | StatementKind::SetTransaction
            | StatementKind::SetConstraints
            | StatementKind::Set
            | StatementKind::SetRole
            | StatementKind::Reset
            | StatementKind::Show
            | StatementKind::Discard
            | StatementKind::Listen
            | StatementKind::Notify
            | StatementKind::Unlisten
            | StatementKind::Load
            | StatementKind::Lock
            | StatementKind::Truncate
            | StatementKind::Drop
            | StatementKind::Comment
            | StatementKind::SecurityLabel
            | StatementKind::Grant
            | StatementKind::Revoke
            | StatementKind::ReassignOwned
            | StatementKind::Vacuum
            | StatementKind::Analyze
            | StatementKind::Cluster
            | StatementKind::Reindex
            | StatementKind::Checkpoint
            | StatementKind::Move
            | StatementKind::CloseCursor
            | StatementKind::Deallocate
            | StatementKind::RefreshMaterializedView => Ok(Verdict::Pass),
            StatementKind::Select
            | StatementKind::Values
            | StatementKind::Table
            | StatementKind::Insert
            | StatementKind::Update
            | StatementKind::Delete
            | StatementKind::Merge
            | StatementKind::Explain
            | StatementKind::DeclareCursor
            | StatementKind::Fetch
            | StatementKind::Prepare
            | StatementKind::Execute
            | StatementKind::CreateTableAs
            | StatementKind::CreateView
            | StatementKind::CreateMaterializedView
            | StatementKind::Copy
            | StatementKind::Do
            | StatementKind::Call
            | StatementKind::CreateFunction
            | StatementKind::CreateTrigger
            | StatementKind::CreateRule
            | StatementKind::CreateTable
            | StatementKind::CreateIndex
            | StatementKind::CreateOther
            | StatementKind::Alter
            | StatementKind::ImportForeignSchema
            | StatementKind::Unrecognised => {
                if self.all_clear(touched) {
                    Ok(Verdict::Pass)
                } else {
                    Err(Refusal::kind(statement.kind.command()))
                }
            }
        }
    }

    /// `COPY table`: passed where the columns that it copies hold nothing tagged, refused where they do.
    fn copy(
        &mut self,
        table: Option<&crate::sql::tree::ObjectName>,
        columns: &[Name],
        server_side: bool,
        touched: &Reach,
    ) -> Result<Verdict, Refusal> {
        let Some(table) = table else { return Err(Refusal::copy(&"a query")) };
        let relations: Vec<_> = self.snapshot.catalog.relations_named(table.schema.as_ref(), &table.name).collect();
        let mut reach = Reach::default();
        for relation in &relations {
            for column in &relation.columns {
                if !columns.is_empty() && !columns.contains(&column.name) {
                    continue;
                }
                if let Some(inner) = self.snapshot.inventory.column(relation.oid, column.attnum) {
                    reach.absorb(inner, Flow::Direct);
                }
            }
        }
        let named_elsewhere = relations.is_empty() && !touched.is_clean();
        if reach.is_clean() && !named_elsewhere && (touched.is_clean() || !server_side) {
            return Ok(Verdict::Pass);
        }
        Err(Refusal::copy(&table.name))
    }

    fn filter(&mut self, filter: &FilterUse) -> Result<(), Refusal> {
        let Some(reach) = self.snapshot.inventory.source(filter.source).cloned() else { return Ok(()) };
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            if flow == Flow::Counted || filter.kind == FilterKind::NullTest || decision.sight == Sight::Clear {
                continue;
            }
            if decision.sight == Sight::Denied {
                return Err(self.denied(id, &decision));
            }
            if !self.permits(&decision, id, flow, filter.kind) {
                let (column, tag) = self.named(id);
                return Err(Refusal::filter(&column, &tag, &decision.rule, described(filter.kind)));
            }
            let (_, tag) = self.named(id);
            self.observations.push(Observation::FilterPermitted(tag));
        }
        Ok(())
    }

    /// Whether a column's filter mode permits a use of it.
    fn permits(&self, decision: &Decision, id: TaggedColumnId, flow: Flow, kind: FilterKind) -> bool {
        match decision.filter {
            FilterMode::Allow => return true,
            FilterMode::Refuse => return false,
            FilterMode::Equality | FilterMode::Search => {}
        }
        // A view's or generated column that is computed from the tagged one: what equality with it tells is not known.
        if flow == Flow::Derived && kind != FilterKind::Grouping {
            return false;
        }
        match kind {
            FilterKind::NullTest | FilterKind::Grouping | FilterKind::Equality => true,
            FilterKind::Join(other) => {
                let tag = self.named(id).1;
                self.snapshot.inventory.source(other).is_some_and(|other| {
                    !other.columns.is_empty()
                        && other.unknown.is_none()
                        && other
                            .columns
                            .iter()
                            .all(|(&other, &flow)| flow != Flow::Derived && self.named(other).1 == tag)
                })
            }
            FilterKind::Prefix | FilterKind::Pattern | FilterKind::Range | FilterKind::Sort => {
                decision.filter == FilterMode::Search
            }
            FilterKind::Other => false,
        }
    }

    /// A write of tagged values: into a column with the same tag it may go unchanged, elsewhere not.
    fn write(&mut self, write: &Write) -> Result<(), Refusal> {
        let reach = self.snapshot.inventory.resolve(&write.taint);
        self.none_denied(&reach)?;
        let target = match (write.relation, write.attnum) {
            (Some(relation), Some(attnum)) => self.snapshot.inventory.column(relation, attnum),
            _ => None,
        };
        let target_tags: BTreeSet<Arc<str>> =
            target.into_iter().flat_map(|target| target.columns.keys().map(|&id| self.named(id).1)).collect();
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            let (column, tag) = self.named(id);
            let stays = flow == Flow::Direct && target_tags.len() == 1 && target_tags.contains(&tag);
            if flow == Flow::Counted || decision.sight == Sight::Clear || stays {
                continue;
            }
            return Err(Refusal::write(&column, &tag, &decision.rule));
        }
        Ok(())
    }

    /// Outputs on their way into a relation that the statement makes.
    fn may_leave(&self, outputs: &Reach) -> Result<(), Refusal> {
        for (&id, &flow) in &outputs.columns {
            let decision = self.decision(id);
            if flow != Flow::Counted && decision.sight != Sight::Clear {
                let (column, tag) = self.named(id);
                return Err(Refusal::write(&column, &tag, &decision.rule));
            }
        }
        Ok(())
    }

    fn none_denied(&self, reach: &Reach) -> Result<(), Refusal> {
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            if flow != Flow::Counted && decision.sight == Sight::Denied {
                return Err(self.denied(id, &decision));
            }
        }
        Ok(())
    }

    fn reveals(&self, outputs: &Reach) -> bool {
        outputs.columns.iter().any(|(&id, &flow)| flow != Flow::Counted && self.decision(id).sight == Sight::Clear)
    }

    /// Whether the caller sees each of these columns in clear, and nothing is unknown.
    fn all_clear(&self, reach: &Reach) -> bool {
        reach.unknown.is_none() && reach.columns.keys().all(|&id| self.decision(id).sight == Sight::Clear)
    }

    fn reaches(&self, relation: Oid) -> bool {
        !self.snapshot.inventory.relation(&self.snapshot.catalog, relation).is_clean()
    }

    fn decision(&self, id: TaggedColumnId) -> Decision {
        self.snapshot.policy.decide(&self.caller.roles, id)
    }

    fn denied(&self, id: TaggedColumnId, decision: &Decision) -> Refusal {
        let (column, tag) = self.named(id);
        Refusal::denied(&column, &tag, &decision.rule)
    }

    fn named(&self, id: TaggedColumnId) -> (QualifiedColumn, Arc<str>) {
        match self.snapshot.policy.column(id) {
            Some(column) => (
                QualifiedColumn(column.schema.clone(), column.table.clone(), column.column.clone()),
                Arc::clone(&column.tag.name),
            ),
            None => (QualifiedColumn(Name::exact("?"), Name::exact("?"), Name::exact("?")), "?".into()),
        }
    }

    fn restrict(&mut self, reason: RestrictiveReason) {
        self.observations.push(Observation::RestrictiveDefault(reason));
    }
}

struct QualifiedColumn(Name, Name, Name);

impl fmt::Display for QualifiedColumn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What was too large or not text was not looked at in full: its words say nothing for certain.
fn names_unknown_calls(why: NotUnderstood) -> bool {
    matches!(why, NotUnderstood::Encoding | NotUnderstood::TooLarge | NotUnderstood::Lexical)
}

/// A statement that runs what was judged earlier under a name.
fn recalled(statement: &Statement) -> Option<Name> {
    match (statement.kind, &statement.detail) {
        (StatementKind::Fetch, Detail::Cursor(Some(name))) | (StatementKind::Execute, Detail::Prepared(Some(name))) => {
            Some(name.clone())
        }
        _ => None,
    }
}

fn moves_rows(kind: StatementKind) -> bool {
    matches!(kind, StatementKind::CreateTableAs | StatementKind::CreateView | StatementKind::CreateMaterializedView)
}

/// The columns of which more than their presence is in a value.
fn flowing(reach: &Reach) -> BTreeMap<TaggedColumnId, Flow> {
    reach.columns.iter().filter(|(_, flow)| **flow != Flow::Counted).map(|(&id, &flow)| (id, flow)).collect()
}

fn described(kind: FilterKind) -> &'static str {
    match kind {
        FilterKind::NullTest => "a test for NULL",
        FilterKind::Grouping => "grouping",
        FilterKind::Equality => "a comparison by equality",
        FilterKind::Join(_) => "a comparison with another column",
        FilterKind::Prefix => "a search by prefix",
        FilterKind::Pattern => "a search by pattern",
        FilterKind::Range => "a comparison by range",
        FilterKind::Sort => "sorting",
        FilterKind::Other => "a condition",
    }
}
