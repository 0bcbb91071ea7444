//! What a statement has to do with tenants: whose the values are that it writes, compares and shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Holds;
use super::given::Given;
use super::target::Target;
use super::tenants::{RowTenant, RowTenants, TenantSource, TenantValue, tenant_column, unknown};
use crate::catalog::{Name, Oid, RelationKind};
use crate::plan::{Refusal, Snapshot};
use crate::policy::{Encryption, Tenant};
use crate::sql::lineage::{Counterpart, Flow, Lineage, Origin, Role, Rows, Source, WrittenCell, WrittenRow};
use crate::value::TextForms;

/// What a statement has to do with tenants.
pub(super) struct Tenancy<'a> {
    lineage: &'a Lineage,
    given: &'a [Given],
    snapshot: &'a Snapshot,
}

impl<'a> Tenancy<'a> {
    /// `lineage`: of the probe, in which each of the given values is a parameter of its own.
    pub fn of(lineage: &'a Lineage, given: &'a [Given], snapshot: &'a Snapshot) -> Self {
        Self { lineage, given, snapshot }
    }

    /// For values by their numbers, where the tenants come from that they are bound to by a column.
    ///
    /// # Errors
    /// It is not known of one of them, or rows would become another tenant's.
    pub fn of_values(&self, targets: &mut [Option<Target>]) -> Result<(), Refusal> {
        let mut stored: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for row in &self.lineage.rows {
            self.stays(row)?;
            for (name, cell) in &row.cells {
                let Some((tenant, column)) = self.bound_column(row.relation, name) else { continue };
                let fresh = self.fresh(row, cell);
                if !fresh.is_empty() {
                    let found = self.tenants_of_row(row, &tenant);
                    if found.is_empty() || self.is_view(row.relation) {
                        return Err(unknown(&column, &tenant));
                    }
                    for number in fresh {
                        stored.entry(number).or_default().extend(&found);
                    }
                }
                self.copied(row, cell, &tenant, &column)?;
            }
        }
        self.writes_are_known()?;
        let mut compared: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for comparison in &self.lineage.comparisons {
            let (Counterpart::Parameter(number) | Counterpart::Elements(number)) = comparison.with else { continue };
            let Some((tenant, column)) = self.bound_source(comparison.source) else { continue };
            let Source::Column { relation, .. } = comparison.source else { continue };
            if stored.contains_key(&number) {
                continue;
            }
            match self.fixed(relation, &tenant, |role| role != Role::Filled) {
                Some(found) if !self.is_view(relation) => compared.entry(number).or_default().extend(found),
                Some(_) | None => return Err(unknown(&column, &tenant)),
            }
        }
        for (target, number) in targets.iter_mut().zip(1_u32..) {
            let Some(target) = target.as_mut().filter(|target| !target.shows) else { continue };
            let Some(tenant) = target.encryption.tenant_column().cloned() else { continue };
            let found = stored.get(&number).or_else(|| compared.get(&number));
            let found = found.filter(|found| !found.is_empty()).ok_or_else(|| unknown(&target.column, &tenant))?;
            target.tenant = Some(TenantSource::Values(self.values(found, target.relation, &tenant, &target.column)?));
        }
        Ok(())
    }

    /// Whose the values are that it shows; `None`: of nobody. `prepares`: it is prepared by SQL.
    ///
    /// # Errors
    /// That is not known of one of them.
    pub fn of_rows(&self, prepares: bool) -> Result<Option<RowTenants>, Refusal> {
        let mut tenants = RowTenants::default();
        let mut any = false;
        for (relation, tenant, column, setting) in self.shown() {
            any = true;
            if setting {
                tenants.needs_settings = true;
                continue;
            }
            if tenants.relations.contains_key(&relation) {
                continue;
            }
            if let Some(attnum) = self.beside(relation, &tenant) {
                tenants.relations.insert(relation, RowTenant::Beside(attnum));
                continue;
            }
            let found = self.fixed_rows(relation, &tenant).filter(|found| !found.is_empty());
            let found = found.ok_or_else(|| unknown(&column, &tenant))?;
            let values = self.values(&found, relation, &tenant, &column)?;
            if prepares && values.iter().any(|value| value.parameter.is_some()) {
                return Err(unknown(&column, &tenant));
            }
            tenants.relations.insert(relation, RowTenant::Values(values));
        }
        let nothing = |_| None;
        Ok(match any {
            true if tenants.are_literals() => Some(tenants.bound(nothing, &TextForms::default())?),
            true => Some(tenants),
            false => None,
        })
    }

    /// Whether all that it shows has its tenant beside, or in a setting.
    pub fn is_beside(&self) -> bool {
        self.shown()
            .into_iter()
            .all(|(relation, tenant, _, setting)| setting || self.beside(relation, &tenant).is_some())
    }

    /// The settings that values are bound to that it shows.
    pub fn settings(&self) -> BTreeSet<Arc<str>> {
        self.sources().filter_map(|source| self.encryption_of(source)?.0.tenant_setting().cloned()).collect()
    }

    /// Whether it writes columns that say whose values are, or writes or shows such values.
    pub fn concerns(&self) -> bool {
        let rows = self.lineage.rows.iter().map(|row| row.relation);
        rows.into_iter().any(|relation| self.has_bound(relation))
            || self
                .sources()
                .any(|source| self.encryption_of(source).is_some_and(|(encryption, _)| encryption.tenant.is_some()))
    }

    /// What the result columns are made of.
    fn sources(&self) -> impl Iterator<Item = Source> {
        let taints = self.lineage.outputs.iter().map(|output| output.origin.taint());
        taints.flat_map(|taint| {
            taint.sources.into_iter().filter(|(_, flow)| *flow != Flow::Counted).map(|(source, _)| source)
        })
    }

    /// The relations whose values it shows, the columns that say whose they are, names for messages; whether it is a setting
    /// that says so.
    fn shown(&self) -> Vec<(Oid, Name, Arc<str>, bool)> {
        let shown = self.sources().filter_map(|source| {
            let (encryption, column) = self.encryption_of(source)?;
            let relation = match source {
                Source::Column { relation, .. } => relation,
                // Nobody knows whose rows a function has read.
                Source::Function(_) | Source::Field { .. } => Oid(0),
            };
            match &encryption.tenant {
                Some(Tenant::Column(tenant)) => Some((relation, tenant.clone(), column, false)),
                Some(Tenant::Setting(setting)) => Some((relation, Name::exact(setting), column, true)),
                None => None,
            }
        });
        shown.collect()
    }

    fn encryption_of(&self, source: Source) -> Option<(Arc<Encryption>, Arc<str>)> {
        match self.snapshot.holds(source) {
            Holds::Envelopes(encryption, id) => Some((encryption, self.snapshot.column_name(id))),
            Holds::Plain | Holds::Index(_) | Holds::Computed(_) => None,
        }
    }

    /// The column that says whose the values of a source are, and the source's name.
    fn bound_source(&self, source: Source) -> Option<(Name, Arc<str>)> {
        let (encryption, column) = self.encryption_of(source)?;
        Some((encryption.tenant_column()?.clone(), column))
    }

    fn bound_column(&self, relation: Oid, name: &Name) -> Option<(Name, Arc<str>)> {
        let attnum = self.snapshot.catalog.relation(relation)?.column(name.as_str())?.attnum;
        self.bound_source(Source::Column { relation, attnum })
    }

    /// The columns of a relation whose values are bound to a column of it: their names, that column, names for messages.
    fn bound_columns(&self, relation: Oid) -> Vec<(Name, Name, Arc<str>)> {
        let Some(known) = self.snapshot.catalog.relation(relation) else { return Vec::new() };
        let bound = known.columns.iter().filter_map(|column| {
            let (tenant, named) = self.bound_column(relation, &column.name)?;
            Some((column.name.clone(), tenant, named))
        });
        bound.collect()
    }

    fn has_bound(&self, relation: Oid) -> bool {
        !self.bound_columns(relation).is_empty()
    }

    fn is_view(&self, relation: Oid) -> bool {
        let kind = self.snapshot.catalog.relation(relation).map(|relation| relation.kind);
        matches!(kind, None | Some(RelationKind::View | RelationKind::MaterializedView))
    }

    /// The parameters in a cell that have no other place in the rows of the statement: those that `excluded` hands on have.
    fn fresh(&self, row: &WrittenRow, cell: &WrittenCell) -> Vec<u32> {
        let conflicting = matches!(row.rows, Rows::Conflicting(_));
        let new = self.lineage.rows.iter().filter(|new| new.rows == Rows::New && new.reference == row.reference);
        let handed_on: BTreeSet<u32> = match conflicting {
            true => new.flat_map(|new| &new.cells).flat_map(|(_, cell)| cell.parameters.iter().copied()).collect(),
            false => BTreeSet::new(),
        };
        cell.parameters.iter().copied().filter(|number| !handed_on.contains(number)).collect()
    }

    /// The values that say whose a row is: all of them are the same.
    fn tenants_of_row(&self, row: &WrittenRow, tenant: &Name) -> BTreeSet<u32> {
        let own = row.cells.iter().find(|(name, _)| name == tenant).map(|(_, cell)| cell);
        match (&row.rows, own) {
            (Rows::New | Rows::Stored, Some(cell)) => cell.parameter().into_iter().collect(),
            (Rows::New, None) => BTreeSet::new(),
            (Rows::Stored, None) => {
                let reference = self.lineage.references.get(row.reference);
                reference.and_then(|reference| reference.fixed.get(tenant)).copied().into_iter().collect()
            }
            (Rows::Conflicting(_), _) => self.tenants_of_new_rows(row, tenant),
        }
    }

    fn tenants_of_new_rows(&self, row: &WrittenRow, tenant: &Name) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let same =
            |new: &&WrittenRow| (&new.rows, new.reference, new.relation) == (&Rows::New, row.reference, row.relation);
        for new in self.lineage.rows.iter().filter(same) {
            match new.cells.iter().find(|(name, _)| name == tenant).and_then(|(_, cell)| cell.parameter()) {
                Some(number) => found.insert(number),
                None => return BTreeSet::new(),
            };
        }
        found
    }

    /// A row that is there has to stay its tenant's, or to be written anew.
    fn stays(&self, row: &WrittenRow) -> Result<(), Refusal> {
        for (name, tenant, column) in self.bound_columns(row.relation) {
            let writes = |wanted: &Name| row.cells.iter().find(|(name, _)| name == wanted).map(|(_, cell)| cell);
            let moves = match (&row.rows, writes(&tenant)) {
                (Rows::New, _) => false,
                (Rows::Stored, cell) => {
                    let own = tenant_column(row.relation, &tenant, self.snapshot)
                        .map(|(attnum, _)| Source::Column { relation: row.relation, attnum });
                    let same =
                        cell.is_none_or(|cell| own.is_some() && cell.source() == own && self.is_alone(row.relation));
                    !same && writes(&name).is_none()
                }
                // The row that is there is one of the same tenant, or becomes one with all that it has.
                (Rows::Conflicting(keys), _) if keys.contains(&tenant) => false,
                (Rows::Conflicting(_), Some(cell)) => {
                    let handed_on = cell.alone || !cell.parameters.is_empty();
                    let new = self.tenants_of_new_rows(row, &tenant);
                    let same =
                        handed_on && !new.is_empty() && cell.parameters.iter().copied().collect::<BTreeSet<_>>() == new;
                    !(same && writes(&name).is_some())
                }
                (Rows::Conflicting(_), None) => writes(&name).is_some(),
            };
            if moves {
                let what =
                    format!("writing it or column {tenant}, which says whose its values are, without the other is");
                let hint = format!(
                    "Write both in one statement; with ON CONFLICT name {tenant} among the columns in conflict, or set it to excluded.{tenant}."
                );
                return Err(Refusal::encrypted(&column, &what, &hint));
            }
        }
        Ok(())
    }

    /// Values of other columns stay with their tenant.
    fn copied(&self, row: &WrittenRow, cell: &WrittenCell, tenant: &Name, column: &Arc<str>) -> Result<(), Refusal> {
        for &source in &cell.sources {
            let Source::Column { relation, .. } = source else { return Err(elsewhere(column, tenant)) };
            let Some((of_source, _)) = self.bound_source(source) else { continue };
            let own = row.cells.iter().find(|(name, _)| name == tenant).map(|(_, cell)| cell);
            let beside = tenant_column(relation, &of_source, self.snapshot)
                .map(|(attnum, _)| Source::Column { relation, attnum });
            let same = match (&row.rows, own) {
                (Rows::New, Some(cell)) => {
                    cell.source().is_some() && cell.source() == beside && self.is_alone(relation)
                }
                (Rows::Stored | Rows::Conflicting(_), None) => relation == row.relation && self.is_alone(relation),
                // What `excluded` hands on was looked at as a new row.
                (Rows::Conflicting(_), Some(_)) => self.is_alone(relation),
                (Rows::New, None) | (Rows::Stored, Some(_)) => false,
            };
            if !same || self.lineage.repeats {
                return Err(elsewhere(column, tenant));
            }
        }
        Ok(())
    }

    /// Whether the rows of a relation come into it at one place only.
    fn is_alone(&self, relation: Oid) -> bool {
        let read = self.lineage.references.iter();
        read.filter(|reference| reference.role != Role::Filled && reference.relations.contains(&relation)).count() == 1
    }

    /// Everything that is written to such columns, or to those that say whose values are, stands in a row that is known.
    fn writes_are_known(&self) -> Result<(), Refusal> {
        for write in &self.lineage.writes {
            let Some((relation, attnum)) = write.relation.zip(write.attnum) else { continue };
            let Some(written) = self.snapshot.catalog.relation(relation).and_then(|known| known.attribute(attnum))
            else {
                continue;
            };
            let given = !(write.taint.parameters.is_empty() && write.taint.sources.is_empty());
            for (name, tenant, column) in self.bound_columns(relation) {
                let concerned = (name == written.name && given)
                    || (tenant == written.name && matches!(write.place, crate::sql::lineage::WritePlace::Stored(_)));
                let known = self
                    .lineage
                    .rows
                    .iter()
                    .any(|row| row.relation == relation && row.cells.iter().any(|(cell, _)| *cell == written.name));
                if concerned && !known {
                    return Err(unknown(&column, &tenant));
                }
            }
        }
        Ok(())
    }

    /// The values that a column has in all rows of a relation, wherever it is named for one of these; `None`: not in all.
    fn fixed(&self, relation: Oid, tenant: &Name, counts: impl Fn(Role) -> bool) -> Option<BTreeSet<u32>> {
        let references = self.lineage.references.iter();
        let references =
            references.filter(|reference| counts(reference.role) && reference.relations.contains(&relation));
        references.map(|reference| reference.fixed.get(tenant).copied()).collect()
    }

    /// The same for rows that are shown, among them those that are written.
    fn fixed_rows(&self, relation: Oid, tenant: &Name) -> Option<BTreeSet<u32>> {
        let mut found = BTreeSet::new();
        for (place, reference) in self.lineage.references.iter().enumerate() {
            if !reference.relations.contains(&relation) {
                continue;
            }
            let rows = self.lineage.rows.iter().filter(|row| (row.reference, row.relation) == (place, relation));
            let rows: Vec<&WrittenRow> = rows.collect();
            let says = |row: &&&WrittenRow| row.rows == Rows::New || row.cells.iter().any(|(name, _)| name == tenant);
            let writes = rows.iter().any(|row| says(&row));
            if reference.role == Role::Filled && !writes {
                return None;
            }
            if writes {
                for row in rows.iter().filter(says) {
                    let of_row = self.tenants_of_row(row, tenant);
                    if of_row.is_empty() {
                        return None;
                    }
                    found.extend(of_row);
                }
            }
            if reference.role == Role::Read || !writes {
                found.insert(*reference.fixed.get(tenant)?);
            }
        }
        Some(found)
    }

    /// The column of a relation that says whose its rows are, if it is among the result's, and the relation is named once.
    fn beside(&self, relation: Oid, tenant: &Name) -> Option<i16> {
        let named = self.lineage.references.iter().filter(|reference| reference.relations.contains(&relation)).count();
        if named != 1 || self.lineage.repeats || self.lineage.open_ended {
            return None;
        }
        let (attnum, _) = tenant_column(relation, tenant, self.snapshot)?;
        let source = Source::Column { relation, attnum };
        let is_it = |origin: &Origin| match origin {
            Origin::Value(taint) => {
                taint.unknown.is_none()
                    && taint.parameters.is_empty()
                    && taint.sources.get(&source) == Some(&Flow::Direct)
                    && taint.sources.len() == 1
            }
            Origin::Row(_) => false,
        };
        let mut outputs = self.lineage.outputs.iter();
        outputs.any(|output| output.unaltered && output.made_up == 0 && is_it(&output.origin)).then_some(attnum)
    }

    fn values(
        &self,
        numbers: &BTreeSet<u32>,
        relation: Oid,
        tenant: &Name,
        column: &Arc<str>,
    ) -> Result<Arc<[TenantValue]>, Refusal> {
        let (_, plain) = tenant_column(relation, tenant, self.snapshot).ok_or_else(|| unknown(column, tenant))?;
        let values = numbers.iter().map(|number| {
            let place = usize::try_from(*number).unwrap_or(usize::MAX).saturating_sub(1);
            let given = self.given.get(place).ok_or_else(|| unknown(column, tenant))?;
            TenantValue::of(given, plain.clone(), column)
        });
        values.collect()
    }
}

fn elsewhere(column: &Arc<str>, tenant: &Name) -> Refusal {
    let what = format!("storing values of other rows in it, whose tenant (column {tenant}) may be another, is");
    let hint =
        "Select the tenant's column along with the value from one table, or write the values from the application.";
    Refusal::encrypted(column, &what, hint)
}
