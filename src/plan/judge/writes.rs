//! Where tagged values may be stored: writes, new relations, COPY.

use std::sync::Arc;

use super::{Bench, Verdict};
use crate::access_log::Fingerprint;
use crate::catalog::{Column, Dependent, Oid, Relation, RelationKind, Used};
use crate::mask::Mask;
use crate::plan::copy::is_unfollowed;
use crate::plan::inventory::Touched;
use crate::plan::own::{covers, is_own};
use crate::plan::{Reach, Refusal};
use crate::policy::Sight;
use crate::sql::NotUnderstood;
use crate::sql::copy::CopyStatement;
use crate::sql::lineage::{Flow, Lineage, Source, Write, WritePlace};
use crate::sql::statement::{Columns, Definition, Detail, Statement, StatementKind};

impl Bench<'_> {
    /// A write of tagged values: into a column with the same tag it may go unchanged, elsewhere not.
    pub(super) fn write(&self, write: &Write, named: &Reach) -> Result<(), Refusal> {
        let reach = self.resolve(&write.taint);
        self.none_denied(&reach)?;
        self.none_unknown(&reach, named)?;
        if write.relation.is_some_and(|relation| self.inherits(relation, write.attnum)) {
            return Ok(());
        }
        let target = match (write.relation, write.attnum) {
            (Some(relation), Some(attnum)) => self.snapshot.inventory.column(relation, attnum),
            _ => None,
        };
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            let (column, tag) = self.named(id);
            let whole = flow == Flow::Direct || (adds_to_itself(write) && shows_no_letter(&decision.sight));
            let stays = whole && target.is_some_and(|target| self.keeps(target, &tag, &decision.sight));
            if flow == Flow::Counted || decision.sight == Sight::Clear || stays {
                continue;
            }
            return Err(Refusal::write(&column, &tag, &decision.rule));
        }
        Ok(())
    }

    /// Whether a relation is a temporary table whose columns take the tags of what is stored in them, and nothing tells of
    /// what is stored in this one.
    fn inherits(&self, relation: Oid, attnum: Option<i16>) -> bool {
        let takes = |own: Oid| self.own.is_temporary_table(own) && !self.own.compares(own, attnum);
        if is_own(relation) {
            return takes(relation);
        }
        let known = self.snapshot.catalog.relation(relation);
        known.is_some_and(|known| {
            known.schema.as_str().starts_with("pg_temp")
                && known.kind == RelationKind::Table
                && self.own.named(&known.name).any(|own| takes(own.oid))
        })
    }

    /// A relation that the statement makes, filled with the query's outputs: a temporary one inherits their tags, a view
    /// shows them as they are; any other has no tags.
    pub(super) fn make(&self, statement: &Statement, lineage: &Lineage, named: &Reach) -> Result<(), Refusal> {
        let outputs = lineage.into.as_ref().unwrap_or(&lineage.outputs);
        let columns: Vec<Reach> = outputs.iter().map(|output| self.resolve(&output.origin.taint())).collect();
        let mut all = Reach::default();
        columns.iter().for_each(|column| all.absorb(column, Flow::Direct));
        self.none_denied(&all)?;
        self.none_unknown(&all, named)?;
        let Detail::Makes(definition) = &statement.detail else { return self.may_leave(&all, named) };
        let view = statement.kind == StatementKind::CreateView;
        let kept = statement.kind == StatementKind::CreateMaterializedView;
        let clear = self.all_clear(&all) || self.caller.sees_everything(self.snapshot);
        if clear || (!definition.filled && !kept) {
            return Ok(());
        }
        if kept || !self.own.made_now() || !(view || self.own.makes_temporary(definition)) {
            return self.may_leave(&all, named);
        }
        if view && !self.own.makes_temporary(definition) {
            self.replaces_no_less(definition, &columns)?;
        }
        Ok(())
    }

    /// A name that other sessions know must not mean more all at once: what they have asked for under it was judged by
    /// what it meant.
    fn replaces_no_less(&self, definition: &Definition, columns: &[Reach]) -> Result<(), Refusal> {
        let Some(name) = &definition.name else { return Ok(()) };
        let shared = |known: &&Relation| !known.schema.as_str().starts_with("pg_temp");
        for known in self.snapshot.catalog.relations_named(None, &name.name).filter(shared) {
            let held =
                |column: &Column| self.snapshot.inventory.column(known.oid, column.attnum).cloned().unwrap_or_default();
            let before: Vec<Reach> = known.columns.iter().map(held).collect();
            let mut pairs = before.iter().map(Some).chain(std::iter::repeat(None)).zip(columns);
            if !pairs
                .all(|(before, now)| now.is_clean() || before.is_some_and(|before| self.shows_no_more(before, now)))
            {
                return Err(Refusal::kind("CREATE VIEW under the name of a relation that shows less"));
            }
        }
        Ok(())
    }

    /// Whether the caller sees no more of a value that reaches `now` if it is taken for one that reaches `before`.
    pub(super) fn shows_no_more(&self, before: &Reach, now: &Reach) -> bool {
        if covers(std::slice::from_ref(before), std::slice::from_ref(now)) {
            return true;
        }
        let sights = |reach: &Reach| reach.columns.keys().map(|&id| self.decision(id).sight).collect::<Vec<_>>();
        let (before, now) = (sights(before), sights(now));
        !before.is_empty() && before.iter().all(|sight| shows_nothing(sight) || now.iter().all(|other| other == sight))
    }

    /// Whether `CREATE TABLE` names tagged relations only as parents, models or targets of foreign keys.
    pub(super) fn stores_nothing(&self, statement: &Statement) -> bool {
        let Detail::Makes(definition) = &statement.detail else { return false };
        let Columns::Listed(_) = &definition.columns else { return false };
        !self.calls_reaching(statement)
            && !["generated", "check", "of", "exclude"].iter().any(|word| {
                statement.words.contains(*word) && !(*word == "of" && statement.words.contains("partition"))
            })
    }

    /// Whether a word of a statement is the name of a function, or of a type with casts by functions, that reaches tagged
    /// columns or may pass on what it is given.
    pub(super) fn calls_reaching(&self, statement: &Statement) -> bool {
        let (catalog, inventory) = (&self.snapshot.catalog, &self.snapshot.inventory);
        let reaches =
            |function: Oid| inventory.source(Source::Function(function)).is_some() || inventory.acts(function);
        let named = statement.words.iter().flat_map(|word| catalog.functions_named(None, word));
        statement.words.iter().any(|word| self.own.doubt().has_code(word))
            || named.into_iter().any(|function| reaches(function.oid))
            || catalog.dependencies().iter().any(|dependency| match (&dependency.of, dependency.on) {
                (Dependent::Cast { source, target }, Used::Function(function)) => {
                    reaches(function)
                        && [source, target]
                            .into_iter()
                            .any(|&oid| catalog.type_of(oid).is_some_and(|known| statement.words.contains(&known.name)))
                }
                _ => false,
            })
    }

    /// Whether a column has this tag and no other, and shows the caller no more of a value than it may see of it now: a
    /// rule for the one column can be looser than that for the other.
    fn keeps(&self, target: &Reach, tag: &Arc<str>, sight: &Sight) -> bool {
        !target.columns.is_empty()
            && target.unknown.is_none()
            && target.columns.keys().all(|&id| {
                let shown = self.decision(id).sight;
                self.named(id).1 == *tag && (shown == *sight || matches!(shown, Sight::Hidden(_) | Sight::Denied))
            })
    }

    /// Outputs on their way into a relation that the statement makes.
    pub(super) fn may_leave(&self, outputs: &Reach, named: &Reach) -> Result<(), Refusal> {
        self.none_unknown(outputs, named)?;
        for (&id, &flow) in &outputs.columns {
            let decision = self.decision(id);
            if flow != Flow::Counted && decision.sight != Sight::Clear {
                let (column, tag) = self.named(id);
                return Err(Refusal::write(&column, &tag, &decision.rule));
            }
        }
        Ok(())
    }

    /// A value of unknown origin may be any of the columns that the statement names a way to.
    fn none_unknown(&self, value: &Reach, named: &Reach) -> Result<(), Refusal> {
        if value.unknown.is_some() && !self.all_clear(named) && !self.caller.sees_everything(self.snapshot) {
            return Err(Refusal::not_understood(NotUnderstood::Construct("a value that is stored")));
        }
        Ok(())
    }

    /// `COPY table FROM` a file of the server, or with options that are not known (else it is judged as an INSERT): passed
    /// where the columns that it fills hold nothing tagged; else allowed to those who see them in clear.
    pub(super) fn copy_from(
        &self,
        statement: &Statement,
        touched: &Touched,
        shape: Fingerprint,
    ) -> Result<Option<Verdict>, Refusal> {
        let Detail::Copy(copy) = &statement.detail else { return Ok(None) };
        let Some(table) = &copy.table else { return Err(Refusal::copy(&**copy)) };
        let mut relations = self.snapshot.catalog.relations_named(table.schema.as_ref(), &table.name).peekable();
        let named_elsewhere =
            relations.peek().is_none() && !self.own.has_relation(&table.name) && !touched.reach.is_clean();
        let mut reach = Reach::default();
        for relation in self.own.named(&table.name) {
            for column in
                relation.columns.iter().filter(|column| copy.columns.is_empty() || copy.columns.contains(&column.name))
            {
                let inner = self.own.held().column(relation.oid, column.attnum, &self.snapshot.inventory);
                reach.absorb(&inner, Flow::Direct);
            }
        }
        for relation in relations {
            let all = copy.columns.is_empty();
            for column in relation.columns.iter().filter(|column| all || copy.columns.contains(&column.name)) {
                if let Some(inner) = self.snapshot.inventory.column(relation.oid, column.attnum) {
                    reach.absorb(inner, Flow::Direct);
                }
            }
        }
        // COPY ... FROM ... WHERE evaluates its condition for each row.
        if statement.words.contains("where") && !self.all_clear(&touched.reach) {
            return Err(Refusal::copy(&**copy));
        }
        let apart = reach.is_clean() && (!copy.server_side || touched.reach.is_clean());
        if !named_elsewhere && (apart || self.all_clear(&touched.reach)) {
            return Ok(Some(self.watched(touched, shape)));
        }
        Err(Refusal::copy(&**copy))
    }

    /// `COPY TO`: what a file or program of the server gets is not rewritten, so that only counts may be in it; what the
    /// client gets is, where that can be done in its encoding.
    pub(super) fn copy_to(&self, copy: &CopyStatement, outputs: &Reach, named: &Reach) -> Result<(), Refusal> {
        let counts = outputs.columns.values().all(|&flow| flow == Flow::Counted);
        if copy.server_side && (outputs.unknown.is_some() || !counts || !named.is_clean()) {
            return Err(Refusal::copy(copy));
        }
        let encoding = copy.options.as_ref().and_then(|options| options.encoding.as_deref());
        if encoding.is_some_and(is_unfollowed) && !self.all_clear(outputs) {
            return Err(Refusal::copy_encoding(copy));
        }
        Ok(())
    }
}

/// `UPDATE t SET note = note || ' called'`: a stored value goes back to where it was, with more before or behind it or in
/// other letters. Whoever is shown no letter of it learns nothing by that, by equality neither.
fn adds_to_itself(write: &Write) -> bool {
    let (Some(relation), Some(attnum)) = (write.relation, write.attnum) else { return false };
    write.faithful
        && matches!(write.place, WritePlace::Stored(_))
        && write.taint.unknown.is_none()
        && write.taint.sources.keys().all(|source| *source == Source::Column { relation, attnum })
}

/// Whether nothing of a value is shown but, at most, how long its words are.
fn shows_no_letter(sight: &Sight) -> bool {
    shows_nothing(sight) || matches!(sight, Sight::Masked(mask) if matches!(**mask, Mask::Full))
}

/// Whether nothing of a value is shown, not its shape either.
fn shows_nothing(sight: &Sight) -> bool {
    match sight {
        Sight::Clear => false,
        Sight::Hidden(_) | Sight::Denied => true,
        Sight::Masked(mask) => matches!(**mask, Mask::Replace(_) | Mask::Nullify),
    }
}
