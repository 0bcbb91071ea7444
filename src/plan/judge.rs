//! The verdict on one statement, before anything of it is sent.

mod alter;
mod code;
mod cursors;
mod explain;
mod filters;
mod kinds;
mod sorts;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::sorts::{Sort, sort};
use super::budget::{ColumnNames, Look};
use super::copy_in::is_looked_at;
use super::inventory::Touched;
use super::lifted::single_names;
use super::powers;
use super::result::Protection;
use super::system::{Guard, is_monitor};
use super::{Caller, Observation, Own, Reach, Refusal, RestrictiveReason, Snapshot};
use crate::access_log::Endpoint;
use crate::access_log::Fingerprint;
use crate::catalog::Name;
use crate::policy::{Decision, Sight, TaggedColumnId};
use crate::sql::copy::CopyStatement;
use crate::sql::lineage::{Flow, Lineage, Source, Taint, Unknown};
use crate::sql::statement::{Detail, Reading, Statement, StatementKind};
use crate::sql::{NotUnderstood, comment_tags, fingerprint};

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
    /// It shows the plan of the prepared statement of that name, and does not run it.
    RecallPlan(Name),
}

impl Verdict {
    /// The same of a statement whose filters look at columns that the caller does not see in clear.
    fn costing(self, looks: Arc<[Look]>) -> Self {
        match self {
            Self::Protect(protection) if !looks.is_empty() => {
                let mut protection = Arc::unwrap_or_clone(protection);
                protection.looks = looks;
                Self::Protect(Arc::new(protection))
            }
            other => other,
        }
    }

    /// The same of a statement that a part of an application asks for.
    fn asked_by(self, endpoint: Endpoint) -> Self {
        match self {
            Self::Protect(protection) => Self::Protect(Arc::new(Arc::unwrap_or_clone(protection).asked_by(endpoint))),
            other @ (Self::Pass | Self::Refuse(_) | Self::Recall(_) | Self::RecallPlan(_)) => other,
        }
    }
}

/// A verdict, and what was noticed on the way to it.
#[derive(Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What there is to count.
    pub observations: Vec<Observation>,
}

/// Judge one statement of a message for a caller. `own`: what its session has made, this statement taken in
/// ([`Own::take_in`]); the statement was analysed against the catalog with that ([`Own::catalog`]).
pub fn judge(text: &str, statement: &Statement, snapshot: &Snapshot, caller: &Caller, own: &Own) -> Judgement {
    let mut bench = Bench { snapshot, caller, own, observations: Vec::new(), looks: BTreeMap::new() };
    let verdict = match (bench.verdict(text, statement), &statement.detail) {
        (Ok(Verdict::Protect(protection)), Detail::Copy(copy)) if !copy.inward => {
            Verdict::Protect(Arc::new(Arc::unwrap_or_clone(protection).copying(copy)))
        }
        (Ok(Verdict::Protect(protection)), Detail::Copy(copy)) => match is_looked_at(copy, snapshot, caller) {
            Ok(true) => Verdict::Protect(Arc::new(Arc::unwrap_or_clone(protection).copying(copy))),
            Ok(false) if !protection.scrub && protection.looks.is_empty() => Verdict::Pass,
            Ok(false) => Verdict::Protect(protection),
            Err(refusal) => Verdict::Refuse(Arc::new(refusal)),
        },
        (Ok(Verdict::Pass), Detail::Copy(copy)) if copy.inward && snapshot.policy.encrypts() => {
            match is_looked_at(copy, snapshot, caller) {
                Ok(true) => Verdict::Protect(Arc::new(Protection::clean(0).copying(copy))),
                Ok(false) => Verdict::Pass,
                Err(refusal) => Verdict::Refuse(Arc::new(refusal)),
            }
        }
        // The server is asked whether that is still so.
        (Ok(Verdict::Pass), Detail::Copy(copy)) if bench.may_have_changed(statement, copy) => {
            Verdict::Protect(Arc::new(Protection::clean(0).copying(copy)))
        }
        (Ok(verdict), _) => verdict,
        (Err(refusal), _) => Verdict::Refuse(Arc::new(refusal)),
    };
    let verdict = match Endpoint::of(comment_tags(text, &statement.span)) {
        Some(endpoint) => verdict.asked_by(endpoint),
        None => verdict,
    };
    Judgement { verdict, observations: bench.observations }
}

/// Judge a text that could not even be split into statements.
pub fn judge_opaque(why: NotUnderstood, words: &BTreeSet<Name>, snapshot: &Snapshot, caller: &Caller) -> Judgement {
    let own = &Own::default();
    let mut bench = Bench { snapshot, caller, own, observations: Vec::new(), looks: BTreeMap::new() };
    let touched = snapshot.inventory.touched(words);
    // Where the words themselves could not be read, nothing is known of it.
    let blind = matches!(why, NotUnderstood::Encoding | NotUnderstood::TooLarge | NotUnderstood::Unread);
    let verdict = if snapshot.inventory.is_empty()
        || (touched.reach.is_clean() && !blind)
        || (!snapshot.policy.encrypts() && bench.all_clear(snapshot.inventory.everything()))
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
    /// What filters look at of columns that the caller does not see in clear.
    looks: BTreeMap<TaggedColumnId, Look>,
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
            powers::forbidden_to_masked(statement, own_text, self.snapshot, self.caller, self.own)?;
            self.takes_no_code(statement, own_text)?;
        }
        if let Some((name, reach)) = inventory.called_unnamed(own_text, &statement.words)
            && !self.all_clear(&reach)
        {
            return Err(Refusal::function(&name));
        }
        if let Some((_, reach)) = self.own.read_by_code(inventory, &self.snapshot.catalog)
            && !self.all_clear(&reach)
            && sort(statement.kind) != Sort::Ends
        {
            let what = "a relation of this session with protected values whose name a function of the database says";
            return Err(Refusal::not_understood(NotUnderstood::Construct(what)));
        }
        let mut touched = inventory.touched(&statement.words);
        self.own.touch(&mut touched, &statement.words, inventory);
        if let Some(name) = recalled(statement) {
            if statement.kind == StatementKind::Execute && !self.arguments_are_clear(statement, &name, &touched) {
                return Err(Refusal::kind("EXECUTE with arguments that reach protected columns"));
            }
            return Ok(Verdict::Recall(name));
        }
        if touched.harmless && !self.own.pending {
            return Ok(Verdict::Pass);
        }
        let shape = || fingerprint(own_text);
        match &statement.reading {
            Reading::Understood(lineage) => {
                let verdict = self.query(statement, own_text, lineage, &touched, shape())?;
                let looks = self.counted_looks(lineage);
                Ok(verdict.costing(looks))
            }
            Reading::NotUnderstood(why) if touched.reach.is_clean() && !names_unknown_calls(*why) => {
                // Nothing in it names a way to tagged data; what it runs unnamed may show rows or be quoted.
                Ok(self.watched(&touched, shape()))
            }
            Reading::NotUnderstood(why) => {
                if self.all_clear(&touched.reach) && !touched.reach.is_clean() {
                    let scrub = !self.all_clear(&touched.runs);
                    return Ok(Verdict::Protect(Arc::new(Protection::unknown(Unknown::Construct, shape(), scrub))));
                }
                self.restrict(match why {
                    NotUnderstood::Disagreement => RestrictiveReason::Disagreement,
                    NotUnderstood::Encoding
                    | NotUnderstood::TooLarge
                    | NotUnderstood::Lexical
                    | NotUnderstood::Syntax
                    | NotUnderstood::Construct(_)
                    | NotUnderstood::Unread => RestrictiveReason::NotUnderstood,
                });
                Err(Refusal::not_understood(*why))
            }
            Reading::NoQuery => self.other(statement, own_text, touched, shape()),
        }
    }

    /// Whether the server can say of a COPY that passes whether the catalog that it was judged by is out of date.
    fn may_have_changed(&self, statement: &Statement, copy: &CopyStatement) -> bool {
        let asked = !copy.inward && !copy.server_side && matches!(statement.reading, Reading::Understood(_));
        asked && !self.snapshot.inventory.is_empty()
    }

    /// A statement that holds a query whose lineage is known.
    fn query(
        &mut self,
        statement: &Statement,
        own_text: &str,
        lineage: &Arc<Lineage>,
        touched: &Touched,
        shape: Fingerprint,
    ) -> Result<Verdict, Refusal> {
        let snapshot = self.snapshot;
        let (inventory, named) = (&snapshot.inventory, &touched.reach);
        let opaque = lineage.functions.iter().find(|&&function| inventory.is_opaque(function));
        let unresolved = lineage.unresolved.iter().any(|name| !self.own.is_harmless(name));
        let made_anew = unresolved && self.own.is_unsettled();
        let reaches_past = opaque.is_some() || !lineage.forbidden.is_empty() || made_anew;
        if reaches_past && !self.all_clear(inventory.everything()) {
            if let Some(name) = lineage.forbidden.first() {
                return Err(Refusal::function(name));
            }
            if let Some(function) = opaque.and_then(|&function| snapshot.catalog.function(function)) {
                return Err(Refusal::function(&function.name));
            }
            let mut refusal = Refusal::not_understood(NotUnderstood::Construct("something that this transaction made"));
            // Where it is not there, the server's own error is the answer.
            refusal.unreadable = true;
            return Err(refusal);
        }
        let spills = lineage.functions.iter().find(|&&function| {
            let reach = || inventory.source(Source::Function(function));
            inventory.spills(function) && !reach().is_some_and(|reach| self.all_clear(reach))
        });
        if let Some(function) = spills.and_then(|&function| snapshot.catalog.function(function)) {
            return Err(Refusal::function(&function.name));
        }
        if statement.kind == StatementKind::CreateIndex {
            self.indexed(lineage)?;
        }
        self.read_in_order(lineage)?;
        if !lineage.unresolved.is_empty() && !lineage.given_in_doubt.is_clean() {
            // Somebody may be making it just now. Where it is still not there, the server's own error is the answer.
            let given = self.resolve(&lineage.given_in_doubt);
            if !self.all_clear(&Reach { columns: flowing(&given), unknown: None }) {
                let what = "a function or type that is not there, and is handed protected values,";
                let mut refusal = Refusal::not_understood(NotUnderstood::Construct(what));
                refusal.unreadable = true;
                return Err(refusal);
            }
        }
        for (&function, given) in lineage.given.iter().filter(|(function, _)| inventory.acts(**function)) {
            let covered = self.resolve(given);
            if !self.all_clear(&Reach { columns: flowing(&covered), unknown: None })
                && let Some(function) = snapshot.catalog.function(function)
            {
                return Err(Refusal::function(&function.name));
            }
        }
        if matches!(sort(statement.kind), Sort::KeepsCalls | Sort::KeepsQuery) && !self.caller.sees_everything(snapshot)
        {
            // A function of users is called whenever it is read, built anew or filled, and may be another by then.
            let given = self.resolve(&lineage.given_in_doubt);
            if !self.all_clear(&Reach { columns: flowing(&given), unknown: given.unknown }) {
                return Err(Refusal::not_understood(NotUnderstood::Construct("something that this transaction made")));
            }
            for (&function, given) in &lineage.given {
                let covered = self.resolve(given);
                let known = snapshot.catalog.function(function).filter(|known| known.extension.is_none());
                if let Some(known) = known
                    && !self.all_clear(&Reach { columns: flowing(&covered), unknown: covered.unknown })
                {
                    return Err(Refusal::function(&known.name));
                }
            }
        }
        let system = lineage.writes.iter().filter_map(|write| snapshot.catalog.relation(write.relation?));
        if system.into_iter().any(|relation| relation.schema.as_str() == "pg_catalog")
            && !self.all_clear(inventory.everything())
        {
            return Err(Refusal::kind("a change of the system catalogs"));
        }
        let explained = matches!(statement.detail, Detail::Explain { .. });
        for filter in &lineage.filters {
            self.filter(filter, explained)?;
            self.found_in_order(filter, lineage)?;
        }
        for filter in lineage.functions.iter().flat_map(|&function| inventory.filters(function)) {
            self.filter_of_function(filter, explained)?;
        }
        for ordering in &lineage.orderings {
            self.ordering(ordering, lineage, statement)?;
        }
        if lineage.filters_unknown.is_some() && !named.is_clean() && !self.all_clear(named) {
            self.restrict(RestrictiveReason::UnknownOrigin);
            return Err(Refusal::not_understood(NotUnderstood::Construct("a condition on a column that is not known")));
        }
        self.guarded(lineage)?;
        let outputs = self.shown_by(lineage);
        self.none_denied(&outputs)?;
        if outputs.unknown.is_some() {
            // It may be any column that it names.
            self.none_denied(named)?;
        }
        for write in &lineage.writes {
            self.write(write, named)?;
        }
        if lineage.into.is_some() || matches!(sort(statement.kind), Sort::StoresRows | Sort::KeepsQuery) {
            self.make(statement, lineage, named)?;
        }
        if let Detail::Alters(alteration) = &statement.detail {
            return self.alter(statement, alteration, touched, shape);
        }
        if sort(statement.kind) == Sort::KeepsCalls {
            // What they compute is kept where nobody reads it; what its errors quote is not.
            return Ok(self.watched(touched, shape));
        }
        if self.reveals(&outputs) && !self.snapshot.access_log_ready {
            return Err(Refusal::access_log());
        }
        match &statement.detail {
            Detail::Explain { analyze } => return self.explain(statement, lineage, touched, &outputs, *analyze, shape),
            Detail::Copy(copy) if !copy.inward => self.copy_to(copy, &outputs, named)?,
            Detail::None
            | Detail::Copy(_)
            | Detail::Cursor(_)
            | Detail::Prepared(_)
            | Detail::Savepoint(_)
            | Detail::Setting(..)
            | Detail::Makes(_)
            | Detail::Alters(_)
            | Detail::Object(_) => {}
        }
        let rules = lineage.relations.iter().filter_map(|&relation| inventory.rules(relation));
        if writes_rows(statement) && rules.into_iter().any(|reach| !self.all_clear(reach)) {
            // A rule may put its own rows in the place of the statement's.
            return Ok(Verdict::Protect(Arc::new(Protection::unknown(Unknown::Construct, shape, true))));
        }
        let relations = lineage.relations.iter().any(|&relation| inventory.relation(relation).is_some());
        let functions =
            lineage.functions.iter().any(|&function| inventory.source(Source::Function(function)).is_some());
        let fills = lineage.functions.iter().any(|&function| inventory.filled_by(function).next().is_some());
        let touches = relations || functions || fills || !outputs.columns.is_empty() || !named.is_clean();
        // What is unknown though the catalog has every name, and no name means anything tagged, is not tagged. What the
        // session has made itself may hold what its maker sees in clear, and is not shown without an event.
        if !touches && (outputs.unknown.is_none() || lineage.unresolved.is_empty()) && self.all_clear(&touched.runs) {
            return Ok(Verdict::Pass);
        }
        let scrub = !(self.all_clear(named) && self.all_clear(&outputs) && self.all_clear(&touched.runs));
        let mut protection = Protection::known(Arc::clone(lineage), shape, scrub);
        let stores = lineage.into.is_some() || matches!(sort(statement.kind), Sort::StoresRows | Sort::KeepsQuery);
        protection.reveals = !stores && self.reveals(&outputs);
        if snapshot.policy.offers() && snapshot.policy.subjects().next().is_some() {
            protection.single = Arc::new(single_names(own_text));
        }
        Ok(Verdict::Protect(Arc::new(if self.own.is_empty() { protection } else { protection.of_session(self.own) })))
    }

    /// Whether the arguments of EXECUTE, which are evaluated as well, reach nothing that the caller does not see in clear.
    fn arguments_are_clear(&self, statement: &Statement, executed: &Name, touched: &Touched) -> bool {
        let inventory = &self.snapshot.inventory;
        let is_new = |word: &Name| word != executed && !inventory.knows(word) && !self.own.has_relation(word);
        let made_just_now = self.own.pending && statement.words.iter().any(is_new);
        self.all_clear(if made_just_now { inventory.everything() } else { &touched.reach })
    }

    /// What a value reaches, that of this session's relations included.
    fn resolve(&self, taint: &Taint) -> Reach {
        match self.own.is_empty() {
            true => self.snapshot.inventory.resolve(taint),
            false => self.own.held().resolve(taint, &self.snapshot.inventory),
        }
    }

    /// What shows statistics of columns, or what other sessions are doing, is refused to those who do not see everything.
    fn guarded(&self, lineage: &Lineage) -> Result<(), Refusal> {
        let inventory = &self.snapshot.inventory;
        for output in &lineage.outputs {
            for (source, flow) in &output.origin.taint().sources {
                let Source::Column { relation, attnum } = *source else { continue };
                let refused = match inventory.guard(relation, attnum) {
                    Some(Guard::Refused) => true,
                    Some(Guard::OwnOnly) => is_monitor(self.caller, &self.snapshot.catalog),
                    Some(Guard::Redacted) | None => false,
                };
                if refused && *flow != Flow::Counted && !self.all_clear(inventory.everything()) {
                    let relation = self.snapshot.catalog.relation(relation);
                    let column = relation.and_then(|relation| relation.attribute(attnum));
                    let relation = relation.map(|relation| relation.name.as_str()).unwrap_or_default();
                    let column = column.map(|column| column.name.as_str()).unwrap_or_default();
                    return Err(Refusal::quoting(&relation, &column));
                }
            }
        }
        Ok(())
    }

    /// What the result's columns are made of.
    fn shown_by(&self, lineage: &Lineage) -> Reach {
        let mut outputs = Reach::default();
        for output in &lineage.outputs {
            outputs.absorb(&self.resolve(&output.origin.taint()), Flow::Direct);
        }
        outputs
    }

    fn none_denied(&self, reach: &Reach) -> Result<(), Refusal> {
        for (&id, &flow) in &reach.columns {
            let decision = self.caller.shown(self.snapshot, id);
            if flow != Flow::Counted && decision.sight == Sight::Denied {
                return Err(self.denied(id, &decision));
            }
        }
        Ok(())
    }

    fn reveals(&self, outputs: &Reach) -> bool {
        outputs
            .columns
            .iter()
            .any(|(&id, &flow)| flow != Flow::Counted && self.caller.shown(self.snapshot, id).sight == Sight::Clear)
    }

    /// Whether the caller sees each of these columns in clear, and whatever else there may be if something is unknown.
    fn all_clear(&self, reach: &Reach) -> bool {
        reach.columns.keys().all(|&id| self.decision(id).sight == Sight::Clear)
            && (reach.unknown.is_none() || self.caller.sees_whatever(self.snapshot))
    }

    fn decision(&self, id: TaggedColumnId) -> Decision {
        self.snapshot.policy.decide(&self.caller.roles, id)
    }

    fn denied(&self, id: TaggedColumnId, decision: &Decision) -> Refusal {
        let (column, tag) = self.named(id);
        let refusal = Refusal::denied(&column, &tag, &decision.rule);
        if self.caller.may_ask(self.snapshot, id) { refusal.or_ask() } else { refusal }
    }

    fn named(&self, id: TaggedColumnId) -> (ColumnNames, Arc<str>) {
        match self.snapshot.policy.column(id) {
            Some(column) => (
                ColumnNames(column.schema.clone(), column.table.clone(), column.column.clone()),
                Arc::clone(&column.tag.name),
            ),
            None => (ColumnNames(Name::exact("?"), Name::exact("?"), Name::exact("?")), "?".into()),
        }
    }

    fn restrict(&mut self, reason: RestrictiveReason) {
        self.observations.push(Observation::RestrictiveDefault(reason));
    }
}

/// What was too large or not text was not looked at in full: its words say nothing for certain.
fn names_unknown_calls(why: NotUnderstood) -> bool {
    matches!(why, NotUnderstood::Encoding | NotUnderstood::TooLarge | NotUnderstood::Lexical)
}

/// A statement that runs what was judged earlier under a name.
fn recalled(statement: &Statement) -> Option<Name> {
    match (sort(statement.kind), &statement.detail) {
        (Sort::Recalls, Detail::Cursor(Some(name)) | Detail::Prepared(Some(name))) => Some(name.clone()),
        (Sort::Recalls | Sort::Ends | Sort::KeepsCalls | Sort::StoresRows | Sort::KeepsQuery | Sort::Other, _) => None,
    }
}

/// Whether a statement holds a command that a rewrite rule may replace. Its words tell: such a command may stand in a
/// common table expression.
fn writes_rows(statement: &Statement) -> bool {
    ["insert", "update", "delete", "merge"].into_iter().any(|command| statement.words.contains(command))
}

/// The columns of which more than their presence is in a value.
fn flowing(reach: &Reach) -> BTreeMap<TaggedColumnId, Flow> {
    reach.columns.iter().filter(|(_, flow)| **flow != Flow::Counted).map(|(&id, &flow)| (id, flow)).collect()
}
