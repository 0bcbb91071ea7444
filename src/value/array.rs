//! Arrays of values, as they come with `= ANY ($1)` and go with what that becomes (PostgreSQL manual, section 8.15.6;
//! `arrayfuncs.c`).

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::character::{checked, is_space};
use super::{PlainType, Plaintext, Scalar, TextForms, ValueError, read_operand};
use crate::catalog::Oid;
use crate::wire::Format;

/// The elements of an array of one dimension that the column's values are compared with, each as [`read_operand`] reads
/// it; `None` is NULL.
pub fn read_array(
    element: &PlainType,
    format: Format,
    bytes: &[u8],
    forms: &TextForms,
) -> Result<Vec<Option<Plaintext>>, ValueError> {
    match format {
        Format::Text => {
            let elements = split(checked(bytes)?)?;
            let read = |text: String| read_operand(element, Oid(0), Format::Text, text.as_bytes(), forms);
            elements.into_iter().map(|element| element.map(read).transpose()).collect()
        }
        Format::Binary => {
            let mut reader = Reader::new(bytes);
            let (dimensions, _has_nulls, given) = (reader.i32()?, reader.i32()?, Oid(reader.u32()?));
            let count = match dimensions {
                0 => 0,
                1 => {
                    let (count, _lower_bound) = (reader.i32()?, reader.i32()?);
                    count
                }
                _ => return Err(several_dimensions()),
            };
            let mut elements = Vec::new();
            for _ in 0..count {
                let length = reader.i32()?;
                elements.push(match usize::try_from(length) {
                    Ok(length) => {
                        let bytes = reader.bytes(length)?;
                        Some(read_operand(element, given, Format::Binary, bytes, forms)?)
                    }
                    Err(_) if length == -1 => None,
                    Err(_) => return Err(ValueError::binary()),
                });
            }
            reader.end()?;
            Ok(elements)
        }
    }
}

/// Append an array of one dimension. `element`: the type of its elements, which are in that format; `None` is NULL.
///
/// # Errors
/// An element or their number is beyond what the form can say.
pub fn write_array(
    elements: &[Option<Vec<u8>>],
    element: Oid,
    format: Format,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    match format {
        Format::Text => {
            write_text(elements, delimiter(element), out);
            Ok(())
        }
        Format::Binary => write_binary(elements, element, out),
    }
}

/// `pg_type.typdelim`: only `box` has another.
fn delimiter(element: Oid) -> u8 {
    if element == Scalar::Box.oid() { b';' } else { b',' }
}

/// The text form, with quotation marks where `array_out` has them.
fn write_text(elements: &[Option<Vec<u8>>], delimiter: u8, out: &mut BytesMut) {
    out.put_u8(b'{');
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            out.put_u8(delimiter);
        }
        match element {
            None => out.put_slice(b"NULL"),
            Some(text) if !is_quoted(text, delimiter) => out.put_slice(text),
            Some(text) => {
                out.put_u8(b'"');
                for byte in text {
                    if matches!(byte, b'"' | b'\\') {
                        out.put_u8(b'\\');
                    }
                    out.put_u8(*byte);
                }
                out.put_u8(b'"');
            }
        }
    }
    out.put_u8(b'}');
}

/// Whether an element stands in quotation marks: an empty one, one that says NULL, one with characters that mean something.
fn is_quoted(text: &[u8], delimiter: u8) -> bool {
    let means = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t'..=b'\r') || *byte == delimiter;
    text.is_empty() || text.eq_ignore_ascii_case(b"null") || text.iter().any(means)
}

fn write_binary(elements: &[Option<Vec<u8>>], element: Oid, out: &mut BytesMut) -> Result<(), ValueError> {
    let too_long = |_| ValueError::new("54000", "array size exceeds the maximum allowed");
    let count = i32::try_from(elements.len()).map_err(too_long)?;
    out.put_i32(i32::from(count > 0));
    out.put_i32(i32::from(elements.iter().any(Option::is_none)));
    out.put_u32(element.0);
    if count > 0 {
        out.put_i32(count);
        out.put_i32(1);
    }
    for element in elements {
        match element {
            None => out.put_i32(-1),
            Some(bytes) => {
                out.put_i32(i32::try_from(bytes.len()).map_err(too_long)?);
                out.put_slice(bytes);
            }
        }
    }
    Ok(())
}

fn several_dimensions() -> ValueError {
    ValueError::new("0A000", "pgveil reads arrays of one dimension only")
}

/// The elements of an array's text form, without quotation marks and backslashes.
fn split(text: &str) -> Result<Vec<Option<String>>, ValueError> {
    let malformed = || ValueError::new("22P02", "malformed array literal");
    let text = text.trim_matches(is_space);
    if text.starts_with('[') {
        return Err(ValueError::new("0A000", "pgveil does not read arrays with bounds"));
    }
    let inner = text.strip_prefix('{').ok_or_else(malformed)?;
    let mut elements = Vec::new();
    let mut rest = inner.trim_start_matches(is_space);
    if let Some(after) = rest.strip_prefix('}') {
        return if after.is_empty() { Ok(elements) } else { Err(malformed()) };
    }
    loop {
        rest = rest.trim_start_matches(is_space);
        if rest.starts_with('{') {
            return Err(several_dimensions());
        }
        let (element, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (element, after) = take(quoted, |next| next == '"').ok_or_else(malformed)?;
                (Some(element.text), after.strip_prefix('"').ok_or_else(malformed)?.trim_start_matches(is_space))
            }
            None => {
                let (element, after) =
                    take(rest, |next| matches!(next, ',' | '}' | '{' | '"')).ok_or_else(malformed)?;
                let kept = element.text.get(..element.solid).unwrap_or_default().to_owned();
                if kept.is_empty() {
                    return Err(malformed());
                }
                let null = !element.escaped && kept.eq_ignore_ascii_case("null");
                (if null { None } else { Some(kept) }, after)
            }
        };
        elements.push(element);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after == "}" => return Ok(elements),
            None => return Err(malformed()),
        }
    }
}

/// A part of an array's text.
struct Taken {
    text: String,
    /// Where the spaces begin that end it.
    solid: usize,
    /// Whether a backslash was in it: what is written so is not NULL.
    escaped: bool,
}

/// What stands before the first character that ends it and is not behind a backslash, and what follows from there on.
fn take(text: &str, ends: impl Fn(char) -> bool) -> Option<(Taken, &str)> {
    let mut taken = Taken { text: String::new(), solid: 0, escaped: false };
    let mut characters = text.char_indices();
    while let Some((at, next)) = characters.next() {
        if next == '\\' {
            taken.text.push(characters.next()?.1);
            taken.escaped = true;
            taken.solid = taken.text.len();
        } else if ends(next) {
            return Some((taken, text.get(at..)?));
        } else {
            taken.text.push(next);
            if !is_space(next) {
                taken.solid = taken.text.len();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Scalar;

    fn elements(text: &str) -> Result<Vec<Option<String>>, &'static str> {
        split(text).map_err(|error| error.sqlstate)
    }

    #[test]
    fn text_forms_are_taken_apart_as_the_server_does() {
        let some = |texts: &[&str]| Ok(texts.iter().map(|text| Some((*text).to_owned())).collect());
        for (text, read) in [
            ("{}", some(&[])),
            (" { } ", some(&[])),
            ("{a,b}", some(&["a", "b"])),
            ("{ a b , \"c \\\"d\\\\\" }", some(&["a b", "c \"d\\"])),
            ("{\"NULL\",\\null}", some(&["NULL", "null"])),
            ("{\"\"}", some(&[""])),
            ("{a\\ }", some(&["a "])),
            ("{null}", Ok(vec![None])),
            ("{a,}", Err("22P02")),
            ("{,a}", Err("22P02")),
            ("{a", Err("22P02")),
            ("{a}}", Err("22P02")),
            ("{a\"b\"}", Err("22P02")),
            ("{\"a\"b}", Err("22P02")),
            ("a", Err("22P02")),
            ("{{a}}", Err("0A000")),
            ("[1:1]={a}", Err("0A000")),
        ] {
            assert_eq!(elements(text), read, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let texts = [Some(b"a \"b\\ {},".to_vec()), None, Some(Vec::new()), Some("ä".into())];
        let element = PlainType { scalar: Scalar::Text, modifier: -1 };
        for (format, elements) in [(Format::Text, &texts[..]), (Format::Binary, &texts[..]), (Format::Binary, &[])] {
            let mut out = BytesMut::new();
            write_array(elements, Oid(25), format, &mut out).unwrap();
            let read = read_array(&element, format, &out, &TextForms::default()).unwrap();
            let read: Vec<_> = read.iter().map(|element| element.as_ref().map(|element| element.to_vec())).collect();
            assert_eq!(read, elements);
        }
    }
}
