//! The rows of `COPY ... FROM STDIN`: masks among them are not stored, as with INSERT.
//!
//! The statement is judged as an INSERT that fills the same columns ([`CopyStatement::as_insert`]). The values come later,
//! and are held against what the caller is shown of the columns before they go on.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::copy::{is_unfollowed, layout, text_encoding};
use super::encryption::{CopiedSeals, Means, RowOfTenants, TenantSettings, fills_encrypted};
use super::write_back::{GivenValue, Written};
use super::{Caller, KeyOfColumn, Refusal, Snapshot};
use crate::catalog::{Relation, RelationKind};
use crate::crypto::{KeyRing, NonceSource};
use crate::mask::{Format, TextEncoding};
use crate::sql::copy::{CopyLayout, CopyOptions, CopyStatement, ForcedColumns, filled};
use crate::sql::lineage::{Flow, WritePlace};
use crate::value::TextForms;
use crate::wire::copy::CopyFormat;
use crate::wire::copy_in::{CopiedField, CopyFault, CopyReader};

/// What is to be done with the rows that come with one COPY.
pub struct CopyInPlan {
    table: Box<str>,
    reader: CopyReader,
    /// By position: the columns that may be meant there and of which the caller is shown masks.
    columns: Vec<Vec<Place>>,
    /// What is encrypted in the rows; `None`: nothing.
    seals: Option<CopiedSeals>,
    ring: Arc<KeyRing>,
    forms: TextForms,
    settings: TenantSettings,
    /// The keys that were used so far.
    keys: Vec<KeyOfColumn>,
    format: Format,
    encoding: TextEncoding,
    /// What stands for a column's default.
    default: Option<Box<[u8]>>,
    csv: bool,
}

/// A column as one COPY fills it.
struct Place {
    column: Written,
    /// What would be NULL is the text that stands for it (CSV only). What FORCE_NULL makes NULL is looked at as a value.
    force_not_null: bool,
}

/// Why the rows that come with a COPY may not be stored by this caller whatever they are; `Ok`: whether they have to be
/// looked at.
///
/// # Errors
/// They would have to be looked at, and can not be.
pub(super) fn is_looked_at(copy: &CopyStatement, snapshot: &Snapshot, caller: &Caller) -> Result<bool, Refusal> {
    let looked_at = candidates(copy, snapshot).any(|relation| {
        let columns = places(copy, relation, snapshot, caller);
        columns.iter().any(Option::is_some) || fills_encrypted(copy, relation, snapshot)
    });
    if !looked_at {
        return Ok(false);
    }
    let Some(options) = &copy.options else {
        return Err(Refusal::copy_unread(copy, "its options are not known"));
    };
    if options.format != CopyLayout::Binary && options.encoding.as_deref().is_some_and(is_unfollowed) {
        return Err(unreadable_encoding(copy));
    }
    match layout(options, &[]) {
        Some(_) => Ok(true),
        None => Err(Refusal::copy_unread(copy, "its options are not of ASCII alone")),
    }
}

/// Lines in that encoding can not be cut at characters of ASCII.
fn unreadable_encoding(copy: &CopyStatement) -> Refusal {
    Refusal::copy_unread(copy, "of their encoding")
}

/// The relations that a COPY may fill. The schemas of other sessions' temporary tables are among them: what is meant is
/// for the server to say.
fn candidates<'a>(copy: &'a CopyStatement, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Relation> {
    let table = copy.table.iter();
    let relations = table.flat_map(|table| snapshot.catalog.relations_named(table.schema.as_ref(), &table.name));
    relations.filter(|relation| {
        relation.kind != RelationKind::CompositeType
            && copy.columns.iter().all(|name| relation.column(name.as_str()).is_some())
    })
}

/// The columns that are filled, in the order of the data; `None` where the caller is shown no masks.
fn places(copy: &CopyStatement, relation: &Relation, snapshot: &Snapshot, caller: &Caller) -> Vec<Option<Place>> {
    let options = copy.options.as_ref();
    let columns: Vec<_> = match copy.columns.as_slice() {
        [] => filled(relation).collect(),
        named => named.iter().filter_map(|name| relation.column(name.as_str())).collect(),
    };
    let place = |column: &crate::catalog::Column| {
        let forced = |forced: Option<&ForcedColumns>| match forced {
            None | Some(ForcedColumns::None) => false,
            Some(ForcedColumns::All) => true,
            Some(ForcedColumns::Named(names)) => names.contains(&column.name),
        };
        Some(Place {
            force_not_null: forced(options.map(|options| &options.force_not_null)),
            column: Written::of(relation, column.attnum, WritePlace::New, snapshot, caller)?,
        })
    };
    columns.into_iter().map(place).collect()
}

/// What the rows of a COPY are held against. `count`: how many columns the server says it has. `encoding`: the client's;
/// `None` where lines in it can not be cut at characters of ASCII. `row_bytes_max`: how long a row may be. `Ok(None)`:
/// there is nothing to look for.
///
/// # Errors
/// They have to be looked at, and can not be.
pub fn copy_in(
    copy: &CopyStatement,
    (binary, count): (bool, usize),
    snapshot: &Snapshot,
    caller: &Caller,
    (encoding, forms, settings): (Option<TextEncoding>, &TextForms, &TenantSettings),
    row_bytes_max: usize,
) -> Result<Option<CopyInPlan>, Refusal> {
    let mut columns: Vec<Vec<Place>> = Vec::new();
    columns.resize_with(count, Vec::new);
    let (mut known, mut any) = (0_usize, 0_usize);
    for relation in candidates(copy, snapshot) {
        known = known.saturating_add(1);
        let places = places(copy, relation, snapshot, caller);
        // Of another number of columns: it is not the one that is filled.
        if places.len() != count {
            continue;
        }
        any = any.saturating_add(1);
        for (column, place) in columns.iter_mut().zip(places) {
            column.extend(place);
        }
    }
    if known > 0 && any == 0 {
        return Err(Refusal::copy_unread(copy, "the table has other columns than pgveil knows of"));
    }
    let encrypted = candidates(copy, snapshot).any(|relation| fills_encrypted(copy, relation, snapshot));
    if columns.iter().all(Vec::is_empty) && !encrypted {
        return Ok(None);
    }
    let unknown = || Refusal::copy_unread(copy, "its options are not known");
    let options: &CopyOptions = copy.options.as_ref().ok_or_else(unknown)?;
    if (options.format == CopyLayout::Binary) != binary {
        return Err(unknown());
    }
    let format = layout(options, &[]).ok_or_else(unknown)?;
    let encoding = text_encoding(Some(options), encoding, binary).ok_or_else(|| unreadable_encoding(copy))?;
    let fitting = candidates(copy, snapshot).filter(|relation| places(copy, relation, snapshot, caller).len() == count);
    let seals = CopiedSeals::new(copy, fitting, (&format, encoding), snapshot)?;
    Ok(Some(CopyInPlan {
        seals,
        ring: Arc::clone(&snapshot.ring),
        forms: forms.clone(),
        settings: settings.clone(),
        table: copy.to_string().into(),
        columns,
        format: if binary { Format::Binary } else { Format::Text },
        encoding,
        default: options.default.as_ref().map(|default| default.as_bytes().into()),
        csv: matches!(format, CopyFormat::Csv { .. }),
        keys: Vec::new(),
        reader: CopyReader::new(format, options.header, row_bytes_max),
    }))
}

impl CopyInPlan {
    /// The keys that were used so far, each with its column.
    pub fn keys(&self) -> &[KeyOfColumn] {
        &self.keys
    }

    /// Data that the client sends; what of all that came may go on to the server.
    ///
    /// # Errors
    /// There is a mask in it, or it can not be read.
    pub fn push(&mut self, data: &[u8], nonces: &mut NonceSource) -> Result<Bytes, Refusal> {
        self.reader.push(data);
        let mut read = self.read_rows(nonces)?;
        read.extend_from_slice(&self.reader.take_read());
        Ok(read.freeze())
    }

    /// The data is at its end; the rest of it. What is no row the server does not take for one either.
    ///
    /// # Errors
    /// There is a mask in it.
    pub fn finish(&mut self, nonces: &mut NonceSource) -> Result<Bytes, Refusal> {
        self.reader.finish();
        let mut read = self.read_rows(nonces)?;
        read.extend_from_slice(&self.reader.take_rest());
        Ok(read.freeze())
    }

    /// Read all rows that are there; those that have become others.
    fn read_rows(&mut self, nonces: &mut NonceSource) -> Result<BytesMut, Refusal> {
        let Self { reader, columns, seals, ring, forms, settings, format, encoding, default, csv, table, keys } = self;
        let mut means = Means { keys: std::mem::take(keys), ..Means::new(ring, forms, nonces, settings) };
        let mut changed = BytesMut::new();
        loop {
            match reader.next_row() {
                Ok(true) => {}
                Ok(false) => {
                    *keys = means.keys;
                    return Ok(changed);
                }
                Err(CopyFault::TooLong) => return Err(Refusal::copy_row_too_long(table)),
                Err(CopyFault::Malformed) => {
                    return Err(Refusal::copy_unread(table, "the data is not of the binary format"));
                }
            }
            let mut refused = None;
            reader.fields(|position, field| {
                let places = columns.get(position).map(Vec::as_slice).unwrap_or_default();
                if places.is_empty() || refused.is_some() || is_default(&field, default.as_deref()) {
                    return;
                }
                refused = places.iter().find_map(|place| {
                    let cell = place.value(&field, *csv);
                    let given = GivenValue { cell, format: *format, value_type: None };
                    place.column.refused_in_new_row(place.column.parameter(&given, Flow::Direct, *encoding))
                });
            });
            if let Some(refusal) = refused {
                return Err(refusal.in_data(reader.line(), *format == Format::Binary));
            }
            let Some(seals) = seals else { continue };
            let mut tenants = RowOfTenants::default();
            reader.fields(|position, field| {
                seals.note(position, &field, is_default(&field, default.as_deref()), &mut tenants);
            });
            let (mut row, mut count, mut failed) = (BytesMut::new(), 0_u16, None);
            reader.fields(|position, field| {
                if failed.is_none() {
                    failed = seals.field(position, &field, &tenants, (&mut means, &mut row)).err();
                    count = count.saturating_add(1);
                }
            });
            if let Some(refusal) = failed {
                return Err(refusal.in_data(reader.line(), *format == Format::Binary));
            }
            let (before, behind) = reader.take_around();
            changed.extend_from_slice(&before);
            if *format == Format::Binary {
                changed.extend_from_slice(&count.to_be_bytes());
            }
            changed.extend_from_slice(&row);
            changed.extend_from_slice(&behind);
        }
    }
}

fn is_default(field: &CopiedField<'_>, default: Option<&[u8]>) -> bool {
    default.is_some() && field.written == default
}

impl Place {
    /// The value that is stored; `None`: NULL.
    fn value<'v>(&self, field: &CopiedField<'v>, csv: bool) -> Option<&'v [u8]> {
        (!field.is_null || (csv && self.force_not_null)).then_some(field.value)
    }
}
