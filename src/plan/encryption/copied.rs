//! Rows of `COPY ... FROM STDIN` that fill encrypted columns.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use super::Means;
use super::target::{Copy, Target, Value};
use super::tenants::{canonical, tenant_column, unknown};
use super::uses::target_of;
use crate::catalog::{Oid, Relation};
use crate::mask::TextEncoding;
use crate::plan::{Refusal, Snapshot};
use crate::sql::copy::{CopyStatement, ForcedColumns, filled};
use crate::value::PlainType;
use crate::wire::Format;
use crate::wire::copy::CopyFormat;
use crate::wire::copy_in::CopiedField;

/// What becomes of the fields of each row, by their position.
pub(in crate::plan) struct CopiedSeals {
    columns: Vec<Option<Filled>>,
    format: CopyFormat,
    encoding: TextEncoding,
    null: Box<[u8]>,
}

/// An encrypted column as one COPY fills it.
#[derive(Clone, PartialEq)]
struct Filled {
    target: Target,
    /// Where in a row it stands whose the value is, and of what type that is.
    tenant: Option<(usize, PlainType)>,
    /// What would be NULL is the text that stands for it, and the other way round (CSV only).
    force_not_null: bool,
    force_null: bool,
}

/// Whether a COPY fills encrypted columns of a relation.
pub(in crate::plan) fn fills_encrypted(copy: &CopyStatement, relation: &Relation, snapshot: &Snapshot) -> bool {
    snapshot.policy.encrypts() && filled_columns(copy, relation, snapshot).iter().any(Option::is_some)
}

fn filled_columns(copy: &CopyStatement, relation: &Relation, snapshot: &Snapshot) -> Vec<Option<Filled>> {
    let columns: Vec<_> = match copy.columns.as_slice() {
        [] => filled(relation).collect(),
        named => named.iter().filter_map(|name| relation.column(name.as_str())).collect(),
    };
    let options = copy.options.as_ref();
    let places = columns.clone();
    let column = |column: &crate::catalog::Column| {
        let forced = |forced: Option<&ForcedColumns>| match forced {
            None | Some(ForcedColumns::None) => false,
            Some(ForcedColumns::All) => true,
            Some(ForcedColumns::Named(names)) => names.contains(&column.name),
        };
        let target = target_of(relation.oid, column.attnum, (false, true), snapshot)?;
        let tenant = target.encryption.tenant_column().and_then(|tenant| {
            let (attnum, plain) = tenant_column(relation.oid, tenant, snapshot)?;
            Some((places.iter().position(|place| place.attnum == attnum)?, plain))
        });
        Some(Filled {
            // Which of the relations of a name it is matters where they differ.
            target: Target { relation: Oid(0), ..target },
            tenant,
            force_not_null: forced(options.map(|options| &options.force_not_null)),
            force_null: forced(options.map(|options| &options.force_null)),
        })
    };
    columns.into_iter().map(column).collect()
}

impl CopiedSeals {
    /// Those of a COPY that may fill these relations, each of as many columns as there are fields; `None`: nothing is encrypted.
    ///
    /// # Errors
    /// The relations differ in what is encrypted.
    pub fn new<'r>(
        copy: &CopyStatement,
        relations: impl Iterator<Item = &'r Relation>,
        (format, encoding): (&CopyFormat, TextEncoding),
        snapshot: &Snapshot,
    ) -> Result<Option<Self>, Refusal> {
        if !snapshot.policy.encrypts() {
            return Ok(None);
        }
        let mut known: Option<Vec<Option<Filled>>> = None;
        for relation in relations {
            let columns = filled_columns(copy, relation, snapshot);
            match &known {
                Some(before) if *before != columns => {
                    let hint = "Say the schema of the table.";
                    return Err(Refusal::encrypted(copy, "COPY into one of several tables of that name is", hint));
                }
                Some(_) => {}
                None => known = Some(columns),
            }
        }
        let columns = known.unwrap_or_default();
        for filled in columns.iter().flatten() {
            if let (Some(tenant), None) = (filled.target.encryption.tenant_column(), &filled.tenant) {
                return Err(unknown(&filled.target.column, tenant));
            }
        }
        let null = match format {
            CopyFormat::Text { null, .. } | CopyFormat::Csv { null, .. } => null.clone(),
            CopyFormat::Binary => Box::default(),
        };
        let any = columns.iter().any(Option::is_some);
        Ok(any.then(|| Self { columns, format: format.clone(), encoding, null }))
    }

    /// Append a field of a row to `out`, with what is before it: the delimiter, or in binary data the length.
    ///
    /// # Errors
    /// The value is none of the column's type, or there is no key.
    pub fn field(
        &self,
        position: usize,
        field: &CopiedField<'_>,
        tenants: &RowOfTenants,
        (means, out): (&mut Means<'_>, &mut BytesMut),
    ) -> Result<(), Refusal> {
        let binary = self.format == CopyFormat::Binary;
        if position > 0 && !binary {
            out.put_u8(self.format.delimiter());
        }
        let filled = self.columns.get(position).and_then(Option::as_ref);
        let sealed = match filled {
            Some(filled) if !self.is_null(filled, field) => Some(self.sealed(filled, field.value, tenants, means)?),
            Some(_) | None => None,
        };
        match (sealed, binary) {
            (None, false) => out.put_slice(field.raw),
            (Some(stored), false) => self.format.write(position, Some(&stored), false, out),
            (sealed, true) => {
                let value = sealed.as_deref().or((!field.is_null).then_some(field.value));
                out.put_i32(value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX)));
                out.put_slice(value.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Take note of a field that says whose values of the same row are. `default`: it stands for the column's default.
    pub fn note(&self, position: usize, field: &CopiedField<'_>, default: bool, row: &mut RowOfTenants) {
        let says = |filled: &&Filled| filled.tenant.as_ref().is_some_and(|(place, _)| *place == position);
        if self.columns.iter().flatten().any(|filled| says(&filled)) {
            row.0.insert(position, (!(default || field.is_null)).then(|| field.value.to_vec()));
        }
    }

    /// Whose a value of a row is; `None`: it is bound to nobody.
    fn tenant(&self, filled: &Filled, row: &RowOfTenants, means: &mut Means<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let Some((place, plain)) = &filled.tenant else { return filled.target.tenant_of(&|_| None, means) };
        let value = row.0.get(place).and_then(Option::as_deref).ok_or_else(Refusal::no_tenant)?;
        let format = if self.format == CopyFormat::Binary { Format::Binary } else { Format::Text };
        if self.encoding != TextEncoding::Utf8 && !value.is_ascii() && format == Format::Text {
            return Err(Refusal::copy_encoding(&filled.target.column));
        }
        let tenant = canonical(plain, Oid(0), format, value, means.forms);
        tenant.map(Some).map_err(|error| Refusal::value(&filled.target.column, &error))
    }

    /// Whether the server stores NULL for a field.
    fn is_null(&self, filled: &Filled, field: &CopiedField<'_>) -> bool {
        let csv = matches!(self.format, CopyFormat::Csv { .. });
        if csv && filled.force_null && *field.value == *self.null {
            return true;
        }
        field.is_null && !(csv && filled.force_not_null)
    }

    fn sealed(
        &self,
        filled: &Filled,
        value: &[u8],
        tenants: &RowOfTenants,
        means: &mut Means<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let target = &filled.target;
        let binary = self.format == CopyFormat::Binary;
        if self.encoding != TextEncoding::Utf8 && !value.is_ascii() && !binary {
            let hint = "Set client_encoding to UTF8, and send the data so.";
            return Err(Refusal::encrypted(
                &target.column,
                "COPY of such data in another encoding than UTF-8 is",
                hint,
            ));
        }
        let format = if binary { Format::Binary } else { Format::Text };
        let plaintext = target.plaintext(&Value { given: Oid(0), format, bytes: value }, &[], means.forms)?;
        let tenant = self.tenant(filled, tenants, means)?;
        match binary {
            true => target.envelope_cell(&plaintext, tenant.as_deref(), means),
            false => target.form(&plaintext, (Copy::Sealed(0), tenant.as_deref()), means),
        }
    }
}

/// What a row says of whose its values are, by the positions of the fields.
#[derive(Default)]
pub(in crate::plan) struct RowOfTenants(BTreeMap<usize, Option<Vec<u8>>>);

/// The settings have to be known that values are bound to which a COPY brings.
pub(super) fn settings(copy: &CopyStatement, snapshot: &Snapshot, means: &mut Means<'_>) {
    let table = copy.table.iter();
    let relations = table.flat_map(|table| snapshot.catalog.relations_named(table.schema.as_ref(), &table.name));
    let filled = relations.flat_map(|relation| filled_columns(copy, relation, snapshot)).flatten();
    let settings: Vec<_> = filled.filter_map(|filled| filled.target.encryption.tenant_setting().cloned()).collect();
    means.used |= !settings.is_empty();
    if !means.later {
        means.missing = settings.into_iter().find(|setting| means.settings.known(setting).is_none());
    }
}
