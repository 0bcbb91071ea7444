//! ALTER TABLE and its like, by caller who does not see everything in clear.

use super::{Bench, Verdict};
use crate::access_log::Fingerprint;
use crate::catalog::{Name, Relation};
use crate::plan::inventory::Touched;
use crate::plan::own::{covers, is_own};
use crate::plan::{Reach, Refusal};
use crate::sql::statement::{Alteration, Change, Statement};

impl Bench<'_> {
    /// A change of a relation. Its conditions and computed values were judged as those of a query.
    pub(super) fn alter(
        &self,
        statement: &Statement,
        alteration: &Alteration,
        touched: &Touched,
        shape: Fingerprint,
    ) -> Result<Verdict, Refusal> {
        if self.all_clear(&touched.reach) {
            return Ok(self.watched(touched, shape));
        }
        let refused = || Refusal::kind(statement.kind.command());
        let Some(name) = &alteration.relation else { return Err(refused()) };
        if self.calls_reaching(statement) || !self.own.has_room() {
            return Err(refused());
        }
        for change in &alteration.changes {
            match change {
                Change::Plain | Change::AddColumn(_) | Change::AddComputed(_) | Change::SetSchema(_) => {}
                Change::Tighten(column) => self.fits(&name.name, column)?,
                Change::RenameColumn(before, after) => self.renames_no_less(&name.name, before, after)?,
                Change::Rename(after) => self.takes_no_name(&name.name, after)?,
                Change::Inherit(parent) => self.joins_no_less(&name.name, &parent.name)?,
                Change::Attach(child) => self.joins_no_less(&child.name, &name.name)?,
                Change::Other => return Err(refused()),
            }
        }
        Ok(self.watched(touched, shape))
    }

    fn column(&self, relation: &Relation, name: &Name) -> Option<Reach> {
        let column = relation.column(name.as_str())?;
        Some(self.own.held().column(relation.oid, column.attnum, &self.snapshot.inventory))
    }

    /// Relations of a name, those of this session too.
    fn known<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Relation> {
        self.snapshot.catalog.relations_named(None, name).chain(self.own.named(name))
    }

    /// What this session has put into a relation of its own must not be made to fit: for which values that fails, the caller
    /// chose.
    fn fits(&self, relation: &Name, column: &Name) -> Result<(), Refusal> {
        for known in self.known(relation).filter(|known| is_own(known.oid)) {
            if self.column(known, column).is_some_and(|held| !self.all_clear(&held)) {
                return Err(Refusal::kind("ALTER COLUMN TYPE or SET NOT NULL of what holds protected values"));
            }
        }
        Ok(())
    }

    /// A column must not take the name of one that shows less: other sessions have asked for that.
    fn renames_no_less(&self, relation: &Name, before: &Name, after: &Name) -> Result<(), Refusal> {
        for known in self.known(relation).filter(|known| !known.schema.as_str().starts_with("pg_temp")) {
            let (Some(moved), Some(there)) = (self.column(known, before), self.column(known, after)) else { continue };
            if !moved.is_clean() && !self.shows_no_more(&there, &moved) {
                return Err(Refusal::kind("a column under the name of another that shows less"));
            }
        }
        Ok(())
    }

    /// A relation must not take the name of one whose columns show less.
    fn takes_no_name(&self, relation: &Name, after: &Name) -> Result<(), Refusal> {
        // Temporary relations are nobody else's.
        let shared = |known: &&Relation| !known.schema.as_str().starts_with("pg_temp");
        for moved in self.known(relation).filter(shared) {
            for there in self.known(after).filter(shared) {
                for column in &moved.columns {
                    let (Some(moved), Some(there)) =
                        (self.column(moved, &column.name), self.column(there, &column.name))
                    else {
                        continue;
                    };
                    if !moved.is_clean() && !self.shows_no_more(&there, &moved) {
                        return Err(Refusal::kind("a relation under the name of another that shows less"));
                    }
                }
            }
        }
        Ok(())
    }

    /// A relation must not be read through a parent whose columns show less: other sessions have asked for those. Nor must
    /// rows of the parent go into a child of whose columns less is said, before the catalog is read again; what the session
    /// has made itself it keeps in mind.
    fn joins_no_less(&self, child: &Name, parent: &Name) -> Result<(), Refusal> {
        for parent in self.known(parent) {
            for child in self.known(child) {
                for column in parent.columns.iter().filter(|_| !is_own(child.oid)) {
                    let shown = self.column(parent, &column.name).unwrap_or_default();
                    let held = self.column(child, &column.name).unwrap_or_default();
                    if !covers(std::slice::from_ref(&held), std::slice::from_ref(&shown)) {
                        return Err(Refusal::kind("a relation that is there already, and shows more, as a child"));
                    }
                }
                for column in &child.columns {
                    let held = self.column(child, &column.name).unwrap_or_default();
                    let shown = self.column(parent, &column.name).unwrap_or_default();
                    if !held.is_clean() && !self.shows_no_more(&shown, &held) {
                        return Err(Refusal::kind("a relation under a parent that shows less"));
                    }
                }
            }
        }
        Ok(())
    }
}
