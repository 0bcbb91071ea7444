//! Values of PostgreSQL's built-in types, out of the form that a client gives them and into the form that it wants.
//!
//! Encrypted columns are stored as bytes that say nothing of their type, so what PostgreSQL's input and output functions do
//! for other columns is done here: [`read`] takes a value in text or binary form under the session's settings and makes
//! its [`Plaintext`], the one form that is encrypted; [`write()`] makes either form out of it again. PostgreSQL 15 is the
//! specification: what is read in any form and written in any form is what the server returns from a plain column of that
//! type, byte for byte. What is not understood is refused with the server's SQLSTATE; nothing is guessed.
//!
//! A plaintext is what the type's send function makes (PostgreSQL manual, section 55.7; sources in
//! `src/backend/utils/adt`), and UTF-8 text for the types that are text: `text`, `varchar`, `bpchar` (without trailing
//! blanks where the type has a length), `name`, `json`, `jsonb` and `xml`.

mod array;
mod binary;
mod bits;
mod bytea;
mod cast;
mod character;
mod error;
mod float;
mod forms;
mod geometry;
mod integer;
mod json;
mod jsonpath;
mod money;
mod multirange;
mod network;
mod numeric;
mod plain_type;
mod range;
mod scalar;
mod system;
mod temporal;
#[cfg(test)]
mod tests;
mod tsquery;
mod tsvector;
mod uuid;
mod xml;

use std::ops::Deref;

use bytes::BytesMut;
use zeroize::Zeroizing;

pub use array::{read_array, write_array};
pub use error::ValueError;
pub use forms::TextForms;
pub use plain_type::{PlainType, UnknownType};
pub use scalar::Scalar;

use crate::catalog::Oid;
use crate::wire::Format;

/// `unknown`: what a literal or a parameter is of before it has a type.
const UNKNOWN: Oid = Oid(705);
/// Before the text in `jsonb`'s binary form.
const JSONB_VERSION: u8 = 1;
/// What the binary form of `jsonpath` begins with.
const JSONPATH_VERSION: u8 = 1;

/// A value in the one form that is encrypted. Wiped from memory when it is dropped; it can not be printed.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Deref for Plaintext {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The plaintext of a value for a column of that type, its length or precision applied as an assignment does.
///
/// `given` is the type that the client has declared: 0 and `unknown` mean the column's own. Another type is converted where
/// PostgreSQL has an assignment cast (manual, section 10.4), else it is refused with 42804.
pub fn read(
    plain_type: &PlainType,
    given: Oid,
    format: Format,
    bytes: &[u8],
    forms: &TextForms,
) -> Result<Plaintext, ValueError> {
    let target = plain_type.scalar;
    let source = source_of(given, target).ok_or_else(|| ValueError::not_assignable(target, None))?;
    // A value without a type of its own goes through the column's input function, which knows its length; any other is
    // converted first and cut or rounded then. The results are the same.
    cast::check(source, target)?;
    let plaintext = Plaintext::of(read_form(source, fields_of(plain_type, given), format, bytes, forms)?);
    let plaintext = Plaintext::of(cast::assign(source, target, &plaintext, forms)?);
    fit(plain_type, &plaintext).map(Plaintext::of)
}

/// The plaintext of a value that a statement casts to the type: what is too long for it is cut off, and texts are read as the type's
/// input function reads them ("I/O conversion", manual, CREATE CAST).
///
/// `given` is as in [`read`].
pub fn read_cast(
    plain_type: &PlainType,
    given: Oid,
    format: Format,
    bytes: &[u8],
    forms: &TextForms,
) -> Result<Plaintext, ValueError> {
    let is_text = |scalar| matches!(scalar, Scalar::Text | Scalar::Varchar | Scalar::Bpchar | Scalar::Name);
    // What a number without a unit means to fields of an interval is another thing in a text than in a literal.
    let has_fields = plain_type.scalar == Scalar::Interval && plain_type.modifier >= 0;
    let converts = Scalar::of(given).is_some_and(is_text) && !is_text(plain_type.scalar) && !has_fields;
    // Texts are the same in both forms.
    let (given, format) = if converts { (Oid(0), Format::Text) } else { (given, format) };
    match plain_type.scalar {
        Scalar::Varchar | Scalar::Bpchar | Scalar::Bit | Scalar::Varbit if plain_type.modifier >= 0 => {
            let of_any_length = PlainType { modifier: -1, ..plain_type.clone() };
            let plaintext = read(&of_any_length, given, format, bytes, forms)?;
            match plain_type.scalar {
                Scalar::Bit | Scalar::Varbit => bits::cut(plain_type, &plaintext),
                _ => character::cut(plain_type, &plaintext),
            }
            .map(Plaintext::of)
        }
        _ => read(plain_type, given, format, bytes, forms),
    }
}

/// The plaintext of a value that the column's values are compared with by `=`: it is not cut, rounded or refused for the
/// column's length. What can not be equal to any value of the column is a plaintext that none of them has.
///
/// `given` is as in [`read`]; refused with 42883 is what PostgreSQL has no operator for, or would compare in another way
/// than by the column's own type.
pub fn read_operand(
    plain_type: &PlainType,
    given: Oid,
    format: Format,
    bytes: &[u8],
    forms: &TextForms,
) -> Result<Plaintext, ValueError> {
    let target = plain_type.scalar;
    // There is no operator for `cidr`: it is compared as an `inet`, and so is what it is compared with.
    let untyped = if target == Scalar::Cidr { Scalar::Inet } else { target };
    let source = source_of(given, untyped).ok_or_else(|| ValueError::no_operator(target, None))?;
    cast::check_operand(source, target)?;
    let plaintext = Plaintext::of(read_form(source, -1, format, bytes, forms)?);
    let plaintext = Plaintext::of(cast::operand(source, target, &plaintext, forms)?);
    match plain_type.scalar {
        // Values of `char(n)` are compared without the blanks at their end, and stored so.
        Scalar::Bpchar
            if plain_type.modifier >= 0 && matches!(source, Scalar::Bpchar | Scalar::Varchar | Scalar::Name) =>
        {
            Ok(Plaintext::of(character::trim_blanks(plaintext.to_vec())))
        }
        Scalar::Numeric if plain_type.modifier >= 0 => {
            numeric::as_compared(plain_type.modifier, &plaintext).map(Plaintext::of)
        }
        _ => Ok(plaintext),
    }
}

/// Append the value in that form to `out`: a cell's bytes without its length.
///
/// Fails with XX001 where the plaintext is none of that type.
pub fn write(
    plain_type: &PlainType,
    plaintext: &[u8],
    format: Format,
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    match format {
        Format::Text => write_text(plain_type, plaintext, forms, out),
        Format::Binary => write_binary(plain_type, plaintext, out),
    }
}

/// The type that a value comes in. `None`: pgveil does not know it.
fn source_of(given: Oid, target: Scalar) -> Option<Scalar> {
    match given {
        Oid(0) | UNKNOWN => Some(target),
        declared => Scalar::of(declared),
    }
}

/// The column's modifier, where a number without a unit counts the last field of an interval: literals and COPY, while a
/// parameter or an expression has no modifier yet.
fn fields_of(plain_type: &PlainType, given: Oid) -> i32 {
    match given {
        Oid(0) | UNKNOWN => plain_type.modifier,
        _ => -1,
    }
}

fn read_form(
    scalar: Scalar,
    modifier: i32,
    format: Format,
    bytes: &[u8],
    forms: &TextForms,
) -> Result<Vec<u8>, ValueError> {
    match format {
        Format::Text => read_text(scalar, modifier, bytes, forms),
        Format::Binary => read_binary(scalar, bytes),
    }
}

/// What the type's input function makes of a text, without the column's length; of the modifier only an interval's fields
/// count.
fn read_text(scalar: Scalar, modifier: i32, bytes: &[u8], forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let text = character::checked(bytes)?;
    match scalar {
        Scalar::Text | Scalar::Varchar | Scalar::Bpchar => Ok(text.as_bytes().to_vec()),
        Scalar::Name => Ok(character::name(text)),
        Scalar::Bool => integer::read_bool(text),
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => integer::read_text(scalar, text),
        Scalar::Float4 | Scalar::Float8 => float::read_text(scalar, text),
        Scalar::Numeric => numeric::read_text(text),
        Scalar::Bytea => bytea::read_text(text),
        Scalar::Uuid => uuid::read_text(text),
        Scalar::Date => temporal::read_date(text, forms),
        Scalar::Timestamp | Scalar::TimestampTz => temporal::read_timestamp(scalar, text, forms),
        Scalar::Time | Scalar::TimeTz => temporal::read_time(scalar, text, forms),
        Scalar::Interval => temporal::read_interval(modifier, text, forms),
        Scalar::Point | Scalar::Line | Scalar::Lseg | Scalar::Box | Scalar::Path | Scalar::Polygon | Scalar::Circle => {
            geometry::read_text(scalar, text)
        }
        Scalar::Int4Range
        | Scalar::Int8Range
        | Scalar::NumRange
        | Scalar::DateRange
        | Scalar::TsRange
        | Scalar::TstzRange => range::read_text(scalar, text, forms),
        Scalar::Int4Multirange
        | Scalar::Int8Multirange
        | Scalar::NumMultirange
        | Scalar::DateMultirange
        | Scalar::TsMultirange
        | Scalar::TstzMultirange => multirange::read_text(scalar, text, forms),
        Scalar::PgLsn => system::read_lsn(text),
        Scalar::PgSnapshot | Scalar::TxidSnapshot => system::read_snapshot(text),
        Scalar::Oid => integer::read_oid(text),
        Scalar::Char => Ok(character::read_byte(text)),
        Scalar::Bit | Scalar::Varbit => bits::read_text(text),
        Scalar::Inet | Scalar::Cidr => network::read_network(scalar, text),
        Scalar::MacAddr => network::read_mac(text),
        Scalar::MacAddr8 => network::read_mac8(text),
        Scalar::Money => money::read_text(text, forms),
        Scalar::Json => json::check(text).map(|()| text.as_bytes().to_vec()),
        Scalar::Jsonb => json::normalized(text).map(String::into_bytes),
        Scalar::Jsonpath => jsonpath::normalized(text).map(String::into_bytes),
        Scalar::TsQuery => tsquery::read_text(text),
        Scalar::TsVector => tsvector::read_text(text),
        Scalar::Xml => xml::check(text).map(|()| text.as_bytes().to_vec()),
    }
}

/// What the type's receive function makes of its binary form, without the column's length.
fn read_binary(scalar: Scalar, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    match scalar {
        Scalar::Text | Scalar::Varchar | Scalar::Bpchar => Ok(character::checked(bytes)?.as_bytes().to_vec()),
        Scalar::Name => character::name_from_binary(bytes),
        Scalar::Bool => integer::bool_from_binary(bytes),
        Scalar::Int2 => binary::sized::<2>(bytes),
        Scalar::Int4 => binary::sized::<4>(bytes),
        Scalar::Int8 => binary::sized::<8>(bytes),
        Scalar::Float4 => binary::sized::<4>(bytes),
        Scalar::Float8 => binary::sized::<8>(bytes),
        Scalar::Numeric => numeric::from_binary(bytes),
        Scalar::Bytea => Ok(bytes.to_vec()),
        Scalar::Uuid => binary::sized::<16>(bytes),
        Scalar::Date => temporal::date_from_binary(bytes),
        Scalar::Timestamp | Scalar::TimestampTz => temporal::timestamp_from_binary(bytes),
        Scalar::Time | Scalar::TimeTz => temporal::time_from_binary(scalar, bytes),
        Scalar::Interval => temporal::interval_from_binary(bytes),
        Scalar::Point | Scalar::Line | Scalar::Lseg | Scalar::Box | Scalar::Path | Scalar::Polygon | Scalar::Circle => {
            geometry::from_binary(scalar, bytes)
        }
        Scalar::Int4Range
        | Scalar::Int8Range
        | Scalar::NumRange
        | Scalar::DateRange
        | Scalar::TsRange
        | Scalar::TstzRange => range::from_binary(scalar, bytes),
        Scalar::Int4Multirange
        | Scalar::Int8Multirange
        | Scalar::NumMultirange
        | Scalar::DateMultirange
        | Scalar::TsMultirange
        | Scalar::TstzMultirange => multirange::from_binary(scalar, bytes),
        Scalar::PgLsn => binary::sized::<8>(bytes),
        Scalar::PgSnapshot | Scalar::TxidSnapshot => system::snapshot_from_binary(bytes),
        Scalar::Oid => binary::sized::<4>(bytes),
        Scalar::Char => binary::sized::<1>(bytes),
        Scalar::Bit | Scalar::Varbit => bits::from_binary(bytes),
        Scalar::Inet | Scalar::Cidr => network::network_from_binary(scalar, bytes),
        Scalar::MacAddr => binary::sized::<6>(bytes),
        Scalar::MacAddr8 => network::mac8_from_binary(bytes),
        Scalar::Money => binary::sized::<8>(bytes),
        Scalar::Json => {
            let text = character::checked(bytes)?;
            json::check(text).map(|()| text.as_bytes().to_vec())
        }
        Scalar::TsQuery => tsquery::from_binary(bytes),
        Scalar::TsVector => tsvector::from_binary(bytes),
        Scalar::Xml => {
            let text = character::checked(bytes)?;
            xml::check(text).map(|()| text.as_bytes().to_vec())
        }
        Scalar::Jsonb => match bytes {
            [JSONB_VERSION, text @ ..] => json::normalized(character::checked(text)?).map(String::into_bytes),
            [] => Err(ValueError::short()),
            _ => Err(ValueError::new("XX000", "unsupported jsonb version number")),
        },
        Scalar::Jsonpath => match bytes {
            [JSONPATH_VERSION, text @ ..] => jsonpath::normalized(character::checked(text)?).map(String::into_bytes),
            [] => Err(ValueError::short()),
            _ => Err(ValueError::new("XX000", "unsupported jsonpath version number")),
        },
    }
}

/// The column's length or precision, as the cast of the type to itself applies it.
fn fit(plain_type: &PlainType, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let modifier = plain_type.modifier;
    if modifier < 0 {
        return Ok(plaintext.to_vec());
    }
    match plain_type.scalar {
        Scalar::Varchar | Scalar::Bpchar => character::fit(plain_type, plaintext),
        Scalar::Numeric => numeric::fit(modifier, plaintext),
        Scalar::Timestamp | Scalar::TimestampTz | Scalar::Time | Scalar::TimeTz => temporal::fit(modifier, plaintext),
        Scalar::Interval => temporal::fit_interval(modifier, plaintext),
        Scalar::Bit | Scalar::Varbit => bits::fit(plain_type, plaintext),
        _ => Ok(plaintext.to_vec()),
    }
}

fn write_text(
    plain_type: &PlainType,
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let scalar = plain_type.scalar;
    match scalar {
        Scalar::Text | Scalar::Varchar | Scalar::Name => out.extend_from_slice(plaintext),
        Scalar::Bpchar => character::write_padded(plain_type.modifier, plaintext, out),
        Scalar::Bool => integer::write_bool(plaintext, out)?,
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => integer::write_text(scalar, plaintext, out)?,
        Scalar::Float4 | Scalar::Float8 => float::write_text(scalar, plaintext, forms, out)?,
        Scalar::Numeric => numeric::write_text(plaintext, out)?,
        Scalar::Bytea => bytea::write_text(plaintext, forms, out),
        Scalar::Uuid => uuid::write_text(plaintext, out)?,
        Scalar::Date => temporal::write_date(plaintext, forms, out)?,
        Scalar::Timestamp | Scalar::TimestampTz => temporal::write_timestamp(scalar, plaintext, forms, out)?,
        Scalar::Time | Scalar::TimeTz => temporal::write_time(scalar, plaintext, out)?,
        Scalar::Interval => temporal::write_interval(plaintext, forms, out)?,
        Scalar::Point | Scalar::Line | Scalar::Lseg | Scalar::Box | Scalar::Path | Scalar::Polygon | Scalar::Circle => {
            geometry::write_text(scalar, plaintext, forms, out)?
        }
        Scalar::Int4Range
        | Scalar::Int8Range
        | Scalar::NumRange
        | Scalar::DateRange
        | Scalar::TsRange
        | Scalar::TstzRange => range::write_text(scalar, plaintext, forms, out)?,
        Scalar::Int4Multirange
        | Scalar::Int8Multirange
        | Scalar::NumMultirange
        | Scalar::DateMultirange
        | Scalar::TsMultirange
        | Scalar::TstzMultirange => multirange::write_text(scalar, plaintext, forms, out)?,
        Scalar::PgLsn => system::write_lsn(plaintext, out)?,
        Scalar::PgSnapshot | Scalar::TxidSnapshot => system::write_snapshot(scalar, plaintext, out)?,
        Scalar::TsQuery => tsquery::write_text(plaintext, out)?,
        Scalar::TsVector => tsvector::write_text(plaintext, out)?,
        Scalar::Oid => integer::write_oid(plaintext, out)?,
        Scalar::Char => character::write_byte(plaintext, out)?,
        Scalar::Bit | Scalar::Varbit => bits::write_text(scalar, plaintext, out)?,
        Scalar::Inet | Scalar::Cidr => network::write_network(scalar, plaintext, false, out)?,
        Scalar::MacAddr | Scalar::MacAddr8 => network::write_mac(plaintext, out),
        Scalar::Money => money::write_text(plaintext, forms, out)?,
        Scalar::Json | Scalar::Jsonb | Scalar::Jsonpath | Scalar::Xml => out.extend_from_slice(plaintext),
    }
    Ok(())
}

fn write_binary(plain_type: &PlainType, plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    match plain_type.scalar {
        Scalar::Bpchar => character::write_padded(plain_type.modifier, plaintext, out),
        Scalar::Jsonb | Scalar::Jsonpath => {
            let jsonb = plain_type.scalar == Scalar::Jsonb;
            out.extend_from_slice(&[if jsonb { JSONB_VERSION } else { JSONPATH_VERSION }]);
            out.extend_from_slice(plaintext);
        }
        _ => out.extend_from_slice(plaintext),
    }
    Ok(())
}
