//! Cells of encrypted columns on their way to the client: opened, then shown by the rule of the column.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use zeroize::Zeroizing;

use super::tenants::{RowTenant, canonical, tenant_column};
use crate::catalog::{Oid, ValueType};
use crate::crypto::{Bound, KeyRing, OpenError, is_envelope};
use crate::mask::{CellMask, CellRule, Mask};
use crate::plan::column_rule::Beside;
use crate::plan::{KeyOfColumn, Snapshot};
use crate::policy::{Encryption, Stored, Tenant};
use crate::value::{PlainType, Scalar, TextForms, read, read_array, write, write_array};
use crate::wire::Format;
use crate::wire::backend::Field;

/// What stands for a value whose key was destroyed.
const EXPUNGED: &str = "█████";

/// How the cells of a result column are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Opening {
    /// The columns that they may be of.
    pub columns: Vec<OpenedColumn>,
    /// Whether values that are not encrypted may be among them: constants, other columns.
    pub mixed: bool,
    /// Whether they are arrays of such values.
    pub array: bool,
    /// Whether the result has no length or precision, whatever the columns have.
    pub unlimited: bool,
    /// Whether the result is `text`, whatever the columns are.
    pub as_text: bool,
}

/// A column whose values are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct OpenedColumn {
    pub encryption: Arc<Encryption>,
    /// `schema.table.column`.
    pub name: Arc<str>,
    /// The relation whose rows it is read from; 0: that is not known.
    pub relation: Oid,
}

/// Whose the values of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Owner {
    /// They are bound to nobody.
    Nobody,
    /// This tenant's.
    Is(Arc<[u8]>),
    /// Of the tenant in this cell of the row, of that type and format.
    Beside(usize, PlainType, Format),
    /// Nobody knows, and why.
    Unknown(Arc<str>),
}

impl Opening {
    /// The type that the client sees; `None`: the columns do not agree on one.
    pub fn plain(&self) -> Option<&PlainType> {
        let first = &self.columns.first()?.encryption;
        self.columns.iter().all(|other| other.encryption.plain == first.plain).then_some(&first.plain)
    }

    /// Whose the values are, for each of the columns.
    pub fn owners(&self, snapshot: &Snapshot, beside: &Beside<'_>) -> Vec<Owner> {
        self.columns.iter().map(|column| column.owner(snapshot, beside)).collect()
    }
}

impl OpenedColumn {
    fn owner(&self, snapshot: &Snapshot, beside: &Beside<'_>) -> Owner {
        let unknown = |why: String| Owner::Unknown(why.into());
        match &self.encryption.tenant {
            None => Owner::Nobody,
            Some(Tenant::Setting(name)) => match beside.tenants.and_then(|tenants| tenants.setting(name)) {
                Some(Some(tenant)) => Owner::Is(Arc::clone(tenant)),
                Some(None) => unknown(format!("its tenant is not known, for setting \"{name}\" is not set")),
                None => unknown(format!("its tenant is not known, for nobody has asked for setting \"{name}\"")),
            },
            Some(Tenant::Column(name)) => {
                let of = beside.tenants.and_then(|tenants| tenants.of(self.relation));
                let place = |attnum: i16| {
                    let wanted = |field: &&Field| (field.table, field.attnum) == (self.relation, attnum);
                    beside.fields.iter().position(wanted)
                };
                let column = tenant_column(self.relation, name, snapshot);
                match (of, column) {
                    (Some(RowTenant::Is(tenant)), _) => Owner::Is(Arc::clone(tenant)),
                    (Some(RowTenant::Beside(attnum)), Some((now, plain))) if *attnum == now => match place(now) {
                        Some(at) => {
                            let format = beside.fields.get(at).map(|field| field.format);
                            Owner::Beside(at, plain, beside.format.or(format).unwrap_or(Format::Text))
                        }
                        None => unknown(format!("its tenant is not known, for column {name} is not beside it")),
                    },
                    (Some(RowTenant::Beside(_) | RowTenant::Values(_)) | None, _) => {
                        unknown(format!("its tenant is not known; select column {name} of the same table beside it"))
                    }
                }
            }
        }
    }
}

impl Opening {
    /// The type that masks and hidden values are chosen by; `None`: the columns do not agree on one.
    pub fn value_type(&self) -> Option<ValueType> {
        let plain = self.plain()?;
        let own = plain.value_type();
        Some(if self.array { ValueType::Array(plain.oid(), Box::new(own)) } else { own })
    }

    /// What the client is told of the column.
    pub fn announced(&self, field: &Field) -> Field {
        let Some(plain) = self.plain() else { return field.clone() };
        let (type_oid, size) = match (self.array, self.as_text) {
            (true, true) => (Scalar::Text.array_oid(), -1),
            (true, false) => (plain.array_oid(), -1),
            (false, true) => (Scalar::Text.oid(), -1),
            (false, false) => (plain.oid(), plain.size()),
        };
        Field { type_oid, size, modifier: self.modifier(plain), ..field.clone() }
    }

    /// The length or precision of the result; -1: none (`pg_attribute.atttypmod`).
    pub fn modifier(&self, plain: &PlainType) -> i32 {
        if self.unlimited { -1 } else { plain.modifier() }
    }
}

/// One cell of each row.
pub(in crate::plan) enum PlannedCell {
    /// As it is stored, under its rule.
    Stored(CellMask),
    /// It is encrypted.
    Sealed(Box<SealedCell>),
}

impl PlannedCell {
    /// The keys that it is opened with, and of which columns it may be.
    pub fn opens(&self) -> impl Iterator<Item = KeyOfColumn> {
        let columns = match self {
            Self::Sealed(cell) if cell.opens => cell.opening.columns.as_slice(),
            Self::Sealed(_) | Self::Stored(_) => &[],
        };
        columns.iter().map(|column| (Arc::clone(&column.encryption.key), Arc::clone(&column.name)))
    }
}

/// A cell that is encrypted.
pub(in crate::plan) struct SealedCell {
    opening: Opening,
    /// Whose the values are, by the columns that they may be of.
    owners: Vec<Owner>,
    plain: PlainType,
    /// What is shown of the plaintext.
    mask: CellMask,
    /// Whether the mask looks at the value at all: what shows nothing of it does not open it.
    opens: bool,
    format: Format,
    forms: TextForms,
    /// Whether the server has it as `bytea`.
    bytes: bool,
    ring: Arc<KeyRing>,
}

/// The cells of the same row by their places, as they are stored, where one of them says whose others are.
pub(in crate::plan) type Cells<'c, 'v> = dyn Fn(usize) -> Option<&'v [u8]> + 'c;

impl OpenedColumn {
    fn is_mixed(&self) -> bool {
        self.encryption.stored == Stored::Mixed
    }
}

/// A value that can not be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// Its column.
    pub column: Arc<str>,
    /// Why.
    pub why: Arc<str>,
}

impl SealedCell {
    pub fn new(
        (opening, owners): (Opening, Vec<Owner>),
        plain: PlainType,
        (rule, mask): (&CellRule, CellMask),
        (format, forms, bytes): (Format, &TextForms, bool),
        ring: &Arc<KeyRing>,
    ) -> Self {
        let opens = match rule {
            CellRule::Keep | CellRule::Row(_) => true,
            CellRule::Mask(mask) => !matches!(**mask, Mask::Nullify | Mask::Replace(_)),
            CellRule::Hide(_) | CellRule::Redact => false,
        };
        Self { opening, owners, plain, mask, opens, format, forms: forms.clone(), bytes, ring: Arc::clone(ring) }
    }

    /// Appends what is shown of the cell; `false`: NULL, and nothing is appended.
    fn show(&self, cell: Option<&[u8]>, beside: &Cells<'_, '_>, out: &mut BytesMut) -> Result<bool, Unopened> {
        let Some(stored) = cell.filter(|_| self.opens) else { return Ok(self.mask.show(cell, out)) };
        if self.opening.array {
            return self.show_array(stored, beside, out);
        }
        let mut value = BytesMut::new();
        match self.value((stored, self.format), beside, &mut value)? {
            true => Ok(self.mask.show(Some(&value), out)),
            false => Ok(self.expunged(out)),
        }
    }

    /// An array, element by element.
    fn show_array(&self, stored: &[u8], beside: &Cells<'_, '_>, out: &mut BytesMut) -> Result<bool, Unopened> {
        let scalar = if self.bytes { Scalar::Bytea } else { Scalar::Text };
        let element = PlainType { scalar, modifier: -1 };
        let elements = read_array(&element, self.format, stored, &self.forms)
            .map_err(|_| self.unopened("an array of several dimensions"))?;
        let mut opened = Vec::with_capacity(elements.len());
        for element in &elements {
            opened.push(match element {
                None => None,
                Some(stored) => {
                    let mut value = BytesMut::new();
                    // What is read of an array's elements is their binary form.
                    let there = self.value((stored, Format::Binary), beside, &mut value)? || self.expunged(&mut value);
                    there.then(|| value.to_vec())
                }
            });
        }
        let mut array = BytesMut::new();
        let written = write_array(&opened, self.plain.oid(), self.format, &mut array);
        written.map_err(|_| self.unopened("an array that is too long"))?;
        Ok(self.mask.show(Some(&array), out))
    }

    /// Appends the value in the client's form; `false`: nobody can read it any more. `form`: what the stored one is in.
    fn value(
        &self,
        (stored, form): (&[u8], Format),
        beside: &Cells<'_, '_>,
        out: &mut BytesMut,
    ) -> Result<bool, Unopened> {
        let unescaped;
        let stored = match (self.bytes, form) {
            (true, Format::Text) => {
                let bytea = PlainType { scalar: Scalar::Bytea, modifier: -1 };
                unescaped =
                    read(&bytea, Oid(0), Format::Text, stored, &self.forms).map_err(|_| self.unopened("damaged"))?;
                &unescaped[..]
            }
            _ => stored,
        };
        let mut plaintext = Zeroizing::new(Vec::new());
        if is_envelope(stored) {
            if !self.opened(stored, beside, &mut plaintext)? {
                return Ok(false);
            }
        } else if self.opening.mixed || self.opening.columns.iter().any(OpenedColumn::is_mixed) {
            // What stands there is the text of a value, or the bytes of one.
            let plain = PlainType { modifier: self.opening.modifier(&self.plain), ..self.plain.clone() };
            let form = if self.bytes { Format::Binary } else { Format::Text };
            let read = read(&plain, Oid(0), form, stored, &TextForms::default());
            let read = read.map_err(|_| self.unopened("not a value of the column's type"))?;
            return self.written(&plain, &read, out);
        } else {
            return Err(self.unopened("not encrypted"));
        }
        self.written(&self.plain, &plaintext, out)
    }

    fn written(&self, plain: &PlainType, plaintext: &[u8], out: &mut BytesMut) -> Result<bool, Unopened> {
        let written = write(plain, plaintext, self.format, &self.forms, out);
        written.map_err(|_| self.unopened("not a value of the column's type"))?;
        Ok(true)
    }

    /// Open it as a value of one of the columns that it may be of; `false`: its key was destroyed.
    fn opened(&self, stored: &[u8], beside: &Cells<'_, '_>, plaintext: &mut Vec<u8>) -> Result<bool, Unopened> {
        let mut failed: Option<Unopened> = None;
        for (column, owner) in self.opening.columns.iter().zip(&self.owners) {
            let OpenedColumn { encryption, name, .. } = column;
            let unopened = |why: &str| Unopened { column: Arc::clone(name), why: why.into() };
            let tenant = match owner {
                Owner::Nobody => None,
                Owner::Is(tenant) => Some(Cow::Borrowed(&**tenant)),
                Owner::Beside(at, plain, format) => {
                    let tenant = beside(*at).map(|cell| canonical(plain, Oid(0), *format, cell, &self.forms));
                    let Some(Ok(tenant)) = tenant else {
                        failed = Some(unopened("its tenant is NULL"));
                        continue;
                    };
                    Some(Cow::Owned(tenant))
                }
                Owner::Unknown(why) => {
                    failed = Some(unopened(why));
                    continue;
                }
            };
            let bound = Bound { domain: &encryption.domain, tenant: tenant.as_deref() };
            match self.ring.open(&encryption.key, stored, &bound, plaintext) {
                Ok(()) => return Ok(true),
                Err(OpenError::Destroyed(_)) => return Ok(false),
                Err(OpenError::Damaged) if tenant.is_some() => {
                    failed = Some(unopened("damaged, moved from where it belongs, or another tenant's"));
                }
                Err(error) => failed = Some(unopened(&error.to_string())),
            }
        }
        Err(failed.unwrap_or_else(|| self.unopened("of no known column")))
    }

    /// A value that nobody can read any more.
    fn expunged(&self, out: &mut BytesMut) -> bool {
        match self.plain.scalar {
            Scalar::Text | Scalar::Varchar | Scalar::Bpchar | Scalar::Name => {
                out.put_slice(EXPUNGED.as_bytes());
                true
            }
            _ => false,
        }
    }

    fn unopened(&self, why: &str) -> Unopened {
        let column = self.opening.columns.first().map(|column| Arc::clone(&column.name)).unwrap_or_default();
        Unopened { column, why: why.into() }
    }
}

impl PlannedCell {
    /// Whether every cell stays as it is.
    pub fn is_keep(&self) -> bool {
        match self {
            Self::Stored(mask) => mask.is_keep(),
            Self::Sealed(_) => false,
        }
    }

    /// Whether another cell of its row says whose it is.
    pub fn looks_beside(&self) -> bool {
        match self {
            Self::Stored(_) => false,
            Self::Sealed(sealed) => sealed.owners.iter().any(|owner| matches!(owner, Owner::Beside(..))),
        }
    }

    /// Appends what is shown of the cell; `false`: NULL, and nothing is appended.
    pub fn show(&self, cell: Option<&[u8]>, beside: &Cells<'_, '_>, out: &mut BytesMut) -> Result<bool, Unopened> {
        match self {
            Self::Stored(mask) => Ok(mask.show(cell, out)),
            Self::Sealed(sealed) => sealed.show(cell, beside, out),
        }
    }

    /// Appends the cell's field of a DataRow message: its length as i32 and its bytes, or -1 for NULL.
    pub fn apply(&self, cell: Option<&[u8]>, beside: &Cells<'_, '_>, out: &mut BytesMut) -> Result<(), Unopened> {
        match self {
            Self::Stored(mask) => mask.apply(cell, out),
            Self::Sealed(sealed) => {
                let start = out.len();
                out.put_i32(-1);
                let begin = out.len();
                if sealed.show(cell, beside, out)? {
                    let length = i32::try_from(out.len().saturating_sub(begin)).unwrap_or(i32::MAX);
                    if let Some(place) = out.get_mut(start..begin) {
                        place.copy_from_slice(&length.to_be_bytes());
                    }
                }
            }
        }
        Ok(())
    }
}
