//! What is to be done with the cells of one result column, and why one of them can not be shown.

use super::Snapshot;
use super::encryption::{Opening, PlannedCell, RowTenants, SealedCell, Unopened};
use super::guard::Stop;
use crate::catalog::{Oid, ValueType};
use crate::mask::{CellMask, CellRule, Format, TextEncoding};
use crate::value::TextForms;
use crate::wire::Malformed;
use crate::wire::backend::Field;

/// What is to be done with the cells of one result column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnRule {
    /// What is shown of a value.
    pub rule: CellRule,
    /// The type that the client sees.
    pub value_type: ValueType,
    /// How it is opened first, where it is encrypted.
    pub(super) opening: Option<Opening>,
}

/// What there is beside a cell that says whose it is.
pub(super) struct Beside<'a> {
    /// The columns of the result.
    pub fields: &'a [&'a Field],
    /// What is known of whose values are.
    pub tenants: Option<&'a RowTenants>,
    /// The format of all cells, where their columns do not say it.
    pub format: Option<Format>,
}

impl ColumnRule {
    /// Whether its cells go out as they are stored.
    pub fn is_keep(&self) -> bool {
        self.rule == CellRule::Keep && self.opening.is_none()
    }

    pub(super) fn stored(rule: CellRule, value_type: ValueType) -> Self {
        Self { rule, value_type, opening: None }
    }

    /// That made ready for cells of one format.
    pub(super) fn cell(
        self,
        field: &Field,
        format: Format,
        (encoding, forms): (TextEncoding, &TextForms),
        (snapshot, beside): (&Snapshot, &Beside<'_>),
    ) -> PlannedCell {
        const BYTEA: [Oid; 2] = [Oid(17), Oid(1001)];
        let opened = self.opening.as_ref().and_then(|opening| Some(opening.modifier(opening.plain()?)));
        let modifier = opened.unwrap_or(field.modifier);
        let mask = CellMask::for_encoding(&self.rule, &self.value_type, format, encoding, &snapshot.keys)
            .with_modifier(&self.value_type, modifier);
        let sealed = self.opening.is_some();
        match self.opening.and_then(|opening| Some((opening.plain()?.clone(), opening))) {
            Some((plain, opening)) => {
                let form = (format, forms, BYTEA.contains(&field.type_oid));
                let owners = opening.owners(snapshot, beside);
                let rule = (&self.rule, mask);
                PlannedCell::Sealed(Box::new(SealedCell::new((opening, owners), plain, rule, form, &snapshot.ring)))
            }
            // Encrypted, and nobody knows as what: what is stored is not shown.
            None if sealed => PlannedCell::Stored(CellMask::for_encoding(
                &CellRule::Redact,
                &self.value_type,
                format,
                encoding,
                &snapshot.keys,
            )),
            None => PlannedCell::Stored(mask),
        }
    }
}

/// Why a row can not be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowError {
    /// It is not what was announced.
    Malformed(Malformed),
    /// It may not be shown.
    Spoiled(Spoiled),
}

/// Why the rest of a result is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// An encrypted value does not open.
    Unopened(Unopened),
    /// The guard does not let it pass.
    Stopped(Stop),
}

impl From<Malformed> for RowError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Unopened> for RowError {
    fn from(unopened: Unopened) -> Self {
        Self::Spoiled(Spoiled::Unopened(unopened))
    }
}

impl From<Stop> for RowError {
    fn from(stop: Stop) -> Self {
        Self::Spoiled(Spoiled::Stopped(stop))
    }
}
