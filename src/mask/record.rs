//! Row values: `(1,"a b",)` and the binary form of records.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::Format;
use super::cell::{CellMask, put_length_of};
use super::cursor::Cursor;
use crate::catalog::{Catalog, Oid, ValueType};

/// What is done with the fields of a row.
#[derive(Debug)]
pub(super) enum Fields {
    /// Each by its place; the type of each, as the binary form states it.
    Known(Vec<(Oid, CellMask)>),
    /// Each by its place; the types show in the values alone.
    Anonymous(Vec<AnonymousField>),
    /// Any number of fields, all alike.
    Alike(Box<AnonymousField>),
}

/// A field of a `record`.
#[derive(Debug)]
pub(super) struct AnonymousField {
    /// For text form, and for text in binary form.
    pub(super) text: CellMask,
    /// For other types in binary form.
    pub(super) rule: super::CellRule,
}

/// What is shown of a row value. `None`: not a row of that shape. What was written to `out` is then to be taken off.
pub(super) fn write(value: &[u8], fields: &Fields, format: Format, out: &mut BytesMut) -> Option<()> {
    match format {
        Format::Text => write_text(value, fields, out),
        Format::Binary => write_binary(value, fields, out),
    }
}

fn write_text(value: &[u8], fields: &Fields, out: &mut BytesMut) -> Option<()> {
    let mut given = parse(value)?;
    let expected = match fields {
        Fields::Known(known) => known.len(),
        Fields::Anonymous(fields) => fields.len(),
        Fields::Alike(_) => given.len(),
    };
    // `()` is the form of no field and of one NULL.
    if expected == 0 && value == b"()" {
        given.clear();
    }
    if given.len() != expected {
        return None;
    }
    out.put_u8(b'(');
    let mut scratch = BytesMut::new();
    for (place, field) in given.iter().enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        let mask = match fields {
            Fields::Known(known) => &known.get(place)?.1,
            Fields::Anonymous(fields) => &fields.get(place)?.text,
            Fields::Alike(field) => &field.text,
        };
        if mask.is_keep() {
            out.put_slice(field.raw);
            continue;
        }
        scratch.clear();
        if mask.show(field.value.as_deref(), &mut scratch) {
            put_value(&scratch, out);
        }
    }
    out.put_u8(b')');
    Some(())
}

/// A field as it is written, and what it stands for.
struct Field<'a> {
    raw: &'a [u8],
    value: Option<Cow<'a, [u8]>>,
}

/// Takes apart what `record_out` writes; no more than that is understood.
fn parse(value: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut rest = value.strip_prefix(b"(")?.strip_suffix(b")")?;
    let mut fields = Vec::new();
    loop {
        let end = if rest.first() == Some(&b'"') {
            quoted_end(rest)?
        } else {
            rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len())
        };
        let (raw, after) = rest.split_at_checked(end)?;
        let value = match raw {
            [] => None,
            [b'"', quoted @ .., b'"'] => Some(unquoted(quoted)),
            _ if raw.iter().any(|byte| matches!(byte, b'"' | b'\\' | b'(' | b')')) => return None,
            _ => Some(Cow::Borrowed(raw)),
        };
        fields.push(Field { raw, value });
        match after {
            [] => return Some(fields),
            [b',', after @ ..] => rest = after,
            _ => return None,
        }
    }
}

/// The fields of a row value; `None`: not one. Also those are taken apart whose text only the server would write otherwise.
pub(super) fn cells(value: &[u8], format: Format) -> Option<Vec<Option<Cow<'_, [u8]>>>> {
    match format {
        Format::Text => Some(parse(value.trim_ascii())?.into_iter().map(|field| field.value).collect()),
        Format::Binary => {
            let mut given = Cursor(value);
            let count = usize::try_from(given.i32()?).ok()?;
            let mut cells = Vec::new();
            for _ in 0..count {
                given.u32()?;
                cells.push(given.field()?.map(Cow::Borrowed));
            }
            given.end()?;
            Some(cells)
        }
    }
}

/// Where a quoted field ends: behind a quote that is neither doubled nor escaped.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter().enumerate().skip(1).peekable();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()?),
            b'"' if bytes.peek().is_some_and(|(_, next)| **next == b'"') => drop(bytes.next()),
            b'"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

/// What stands between the quotes of a field.
fn unquoted(quoted: &[u8]) -> Cow<'_, [u8]> {
    if !quoted.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Cow::Borrowed(quoted);
    }
    let mut value = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            // The quote's or backslash's second half, or whatever is escaped.
            b'"' | b'\\' => value.extend(bytes.next()),
            _ => value.push(*byte),
        }
    }
    Cow::Owned(value)
}

/// A field as `record_out` writes it.
fn put_value(value: &[u8], out: &mut BytesMut) {
    let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | 0x09..=0x0d);
    if !value.is_empty() && value.iter().all(plain) {
        return out.put_slice(value);
    }
    out.put_u8(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(*byte);
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

/// A row in text form; `None` is NULL.
pub(super) fn put_text<'a>(fields: impl Iterator<Item = Option<&'a [u8]>>, out: &mut BytesMut) {
    out.put_u8(b'(');
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        if let Some(value) = field {
            put_value(value, out);
        }
    }
    out.put_u8(b')');
}

fn write_binary(value: &[u8], fields: &Fields, out: &mut BytesMut) -> Option<()> {
    let mut given = Cursor(value);
    let count = usize::try_from(given.i32()?).ok()?;
    let expected = match fields {
        Fields::Known(known) => known.len(),
        Fields::Anonymous(fields) => fields.len(),
        Fields::Alike(_) => count,
    };
    if count != expected {
        return None;
    }
    out.put_i32(i32::try_from(count).ok()?);
    for place in 0..count {
        let oid = Oid(given.u32()?);
        let cell = given.field()?;
        out.put_u32(oid.0);
        match fields {
            Fields::Known(known) => {
                let (known, mask) = known.get(place)?;
                // Another type than the catalog has: the row type was altered since, and its fields may be others.
                if *known != oid {
                    return None;
                }
                put_length_of(out, |out| mask.show(cell, out));
            }
            Fields::Anonymous(fields) => fields.get(place)?.write_binary(oid, cell, out),
            Fields::Alike(field) => field.write_binary(oid, cell, out),
        }
    }
    given.end()
}

impl AnonymousField {
    fn write_binary(&self, oid: Oid, cell: Option<&[u8]>, out: &mut BytesMut) {
        // Types that only the catalog knows are unknown here, and so NULL.
        let value_type = match oid.0 {
            // `unknown`: a literal without a type.
            705 => ValueType::Text,
            _ => ValueType::of(&Catalog::default(), oid),
        };
        if self.text.is_keep() || matches!(value_type, ValueType::Text) {
            put_length_of(out, |out| self.text.show(cell, out));
        } else {
            let mask = self.text.of_other_type(&self.rule, &value_type);
            put_length_of(out, |out| mask.show(cell, out));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Option<Vec<Option<String>>> {
        let fields = parse(text.as_bytes())?;
        let value = |field: Field<'_>| field.value.map(|value| String::from_utf8(value.into_owned()).unwrap());
        Some(fields.into_iter().map(value).collect())
    }

    #[test]
    fn record_text_is_taken_apart() {
        let some = |text: &str| Some(text.to_owned());
        for (text, fields) in [
            ("()", vec![None]),
            ("(,)", vec![None, None]),
            ("(1,a)", vec![some("1"), some("a")]),
            (r#"("a b","","x""y\\z")"#, vec![some("a b"), some(""), some(r#"x"y\z"#)]),
            (r#"("(1,""a,b"")",)"#, vec![some(r#"(1,"a,b")"#), None]),
        ] {
            assert_eq!(values(text), Some(fields), "{text}");
        }
        for text in ["", "(", "1,2", r#"("a)"#, r#"("a"b)"#, r#"(a"b")"#, "(a(b)", r"(a\b)", r#"("a\)"#, "(1)x"] {
            assert_eq!(values(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(fields in proptest::collection::vec(proptest::option::of(".{0,12}"), 1..6)) {
            let mut out = BytesMut::new();
            put_text(fields.iter().map(|field| field.as_deref().map(str::as_bytes)), &mut out);
            prop_assert_eq!(values(std::str::from_utf8(&out).unwrap()), Some(fields));
        }
    }
}
