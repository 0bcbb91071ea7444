//! Where tagged values may be stored: writes, new relations, COPY.

use std::sync::Arc;

use super::{Bench, Verdict};
use crate::access_log::Fingerprint;
use crate::plan::copy::is_unfollowed;
use crate::plan::inventory::Touched;
use crate::plan::{Reach, Refusal};
use crate::policy::Sight;
use crate::sql::NotUnderstood;
use crate::sql::copy::CopyStatement;
use crate::sql::lineage::{Flow, Write};
use crate::sql::statement::{Detail, Statement};

impl Bench<'_> {
    /// A write of tagged values: into a column with the same tag it may go unchanged, elsewhere not.
    pub(super) fn write(&self, write: &Write, named: &Reach) -> Result<(), Refusal> {
        let reach = self.snapshot.inventory.resolve(&write.taint);
        self.none_denied(&reach)?;
        self.none_unknown(&reach, named)?;
        let target = match (write.relation, write.attnum) {
            (Some(relation), Some(attnum)) => self.snapshot.inventory.column(relation, attnum),
            _ => None,
        };
        for (&id, &flow) in &reach.columns {
            let decision = self.decision(id);
            let (column, tag) = self.named(id);
            let stays = flow == Flow::Direct && target.is_some_and(|target| self.keeps(target, &tag, &decision.sight));
            if flow == Flow::Counted || decision.sight == Sight::Clear || stays {
                continue;
            }
            return Err(Refusal::write(&column, &tag, &decision.rule));
        }
        Ok(())
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
        if value.unknown.is_some() && !self.all_clear(named) {
            return Err(Refusal::not_understood(NotUnderstood::Construct("a value that is stored")));
        }
        Ok(())
    }

    /// `COPY table FROM`: passed where the columns that it fills hold nothing tagged; else allowed to those who see them in
    /// clear. (Others could store masked values over real ones.)
    pub(super) fn copy_from(
        &self,
        statement: &Statement,
        touched: &Touched,
        shape: Fingerprint,
    ) -> Result<Option<Verdict>, Refusal> {
        let Detail::Copy(copy) = &statement.detail else { return Ok(None) };
        let Some(table) = &copy.table else { return Err(Refusal::copy(&**copy)) };
        let mut relations = self.snapshot.catalog.relations_named(table.schema.as_ref(), &table.name).peekable();
        let named_elsewhere = relations.peek().is_none() && !touched.reach.is_clean();
        let mut reach = Reach::default();
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
