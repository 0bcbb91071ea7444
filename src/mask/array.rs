//! Arrays: `{1,"a b",NULL}` and their binary form.

use bytes::{BufMut, BytesMut};

use super::Format;
use super::cell::{CellMask, put_length_of};
use super::cursor::Cursor;
use crate::catalog::Oid;

/// What is done with an array.
#[derive(Debug)]
pub(super) struct ArrayMask {
    /// The element type, as the binary form states it.
    pub(super) element_type: Oid,
    /// `,`, or `;` for arrays of `box` (`pg_type.typdelim`).
    pub(super) delimiter: u8,
    /// What is done with each element.
    pub(super) element: CellMask,
}

/// `MAXDIM`
const DIMENSIONS_MAX: usize = 6;

impl ArrayMask {
    /// What is shown of an array. `None`: not an array of that type. What was written to `out` is then to be taken off.
    pub(super) fn write(&self, value: &[u8], format: Format, out: &mut BytesMut) -> Option<()> {
        Self::walk(self.element_type, self.delimiter, value, format, out, |cell, out| self.element.show(cell, out))
    }

    /// Go through the elements of an array; what is written for each (`false`: NULL) stands in its place in `out`.
    pub(super) fn walk(
        element_type: Oid,
        delimiter: u8,
        value: &[u8],
        format: Format,
        out: &mut BytesMut,
        show: impl FnMut(Option<&[u8]>, &mut BytesMut) -> bool,
    ) -> Option<()> {
        match format {
            Format::Text => Walk { delimiter, show }.text(value, out),
            Format::Binary => binary(element_type, value, out, show),
        }
    }
}

/// One walk over an array's text.
struct Walk<F> {
    delimiter: u8,
    show: F,
}

impl<F: FnMut(Option<&[u8]>, &mut BytesMut) -> bool> Walk<F> {
    fn text(&mut self, value: &[u8], out: &mut BytesMut) -> Option<()> {
        let mut rest = put_bounds(value, out)?;
        let mut depth = 0_usize;
        let mut awaited = Awaited::Open;
        let mut scratch = (BytesMut::new(), BytesMut::new());
        loop {
            let (byte, after) = rest.split_first()?;
            let item = matches!(awaited, Awaited::Item | Awaited::ItemOrEnd);
            match byte {
                b'{' if item || awaited == Awaited::Open => {
                    depth += 1;
                    if depth > DIMENSIONS_MAX {
                        return None;
                    }
                    out.put_u8(*byte);
                    awaited = Awaited::ItemOrEnd;
                    rest = after;
                }
                b'}' if matches!(awaited, Awaited::ItemOrEnd | Awaited::DelimiterOrEnd) => {
                    depth = depth.checked_sub(1)?;
                    out.put_u8(*byte);
                    if depth == 0 {
                        return after.is_empty().then_some(());
                    }
                    awaited = Awaited::DelimiterOrEnd;
                    rest = after;
                }
                _ if *byte == self.delimiter && awaited == Awaited::DelimiterOrEnd => {
                    out.put_u8(*byte);
                    awaited = Awaited::Item;
                    rest = after;
                }
                b'"' if item => {
                    scratch.0.clear();
                    rest = unquote(after, &mut scratch.0)?;
                    self.put_element(Some(&scratch.0), &mut scratch.1, out);
                    awaited = Awaited::DelimiterOrEnd;
                }
                _ if item => {
                    let end = rest.iter().position(|byte| *byte == self.delimiter || *byte == b'}')?;
                    let (element, after) = rest.split_at_checked(end)?;
                    if element.is_empty() || element.iter().any(|byte| self.needs_quotes(*byte)) {
                        return None;
                    }
                    let null = element.eq_ignore_ascii_case(b"NULL");
                    self.put_element((!null).then_some(element), &mut scratch.1, out);
                    awaited = Awaited::DelimiterOrEnd;
                    rest = after;
                }
                _ => return None,
            }
        }
    }

    fn put_element(&mut self, element: Option<&[u8]>, scratch: &mut BytesMut, out: &mut BytesMut) {
        scratch.clear();
        if !(self.show)(element, scratch) {
            return out.put_slice(b"NULL");
        }
        let plain = !scratch.is_empty()
            && !scratch.eq_ignore_ascii_case(b"NULL")
            && !scratch.iter().any(|byte| self.needs_quotes(*byte));
        if plain {
            return out.put_slice(scratch);
        }
        out.put_u8(b'"');
        for byte in scratch.iter() {
            if matches!(byte, b'"' | b'\\') {
                out.put_u8(b'\\');
            }
            out.put_u8(*byte);
        }
        out.put_u8(b'"');
    }

    /// As `array_out` has it.
    fn needs_quotes(&self, byte: u8) -> bool {
        byte == self.delimiter || matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | 0x09..=0x0d)
    }
}

fn binary(
    element_type: Oid,
    value: &[u8],
    out: &mut BytesMut,
    mut show: impl FnMut(Option<&[u8]>, &mut BytesMut) -> bool,
) -> Option<()> {
    let mut given = Cursor(value);
    let dimensions = usize::try_from(given.i32()?).ok().filter(|count| *count <= DIMENSIONS_MAX)?;
    let nulls = given.i32()?;
    if Oid(given.u32()?) != element_type {
        return None;
    }
    let mut elements = usize::from(dimensions > 0);
    let mut bounds = given;
    for _ in 0..dimensions {
        let length = usize::try_from(bounds.i32()?).ok()?;
        bounds.i32()?;
        elements = elements.checked_mul(length)?;
    }
    out.put_i32(i32::try_from(dimensions).ok()?);
    let flag = out.len();
    out.put_i32(nulls);
    out.put_u32(element_type.0);
    out.put_slice(given.take(dimensions.checked_mul(8)?)?);

    let mut null = false;
    for _ in 0..elements {
        let element = given.field()?;
        null |= !put_length_of(out, |out| show(element, out));
    }
    if null {
        out.get_mut(flag..flag.checked_add(4)?)?.copy_from_slice(&1_i32.to_be_bytes());
    }
    given.end()
}

/// What may come next in an array's text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Open,
    ItemOrEnd,
    Item,
    DelimiterOrEnd,
}

/// Copies the `[2:3][0:1]=` of an array whose lower bounds are not all 1; what comes after it.
fn put_bounds<'a>(value: &'a [u8], out: &mut BytesMut) -> Option<&'a [u8]> {
    if value.first() != Some(&b'[') {
        return Some(value);
    }
    let end = value.iter().position(|byte| *byte == b'=')?;
    let (bounds, rest) = value.split_at_checked(end.checked_add(1)?)?;
    let sound = |byte: &u8| matches!(byte, b'[' | b']' | b':' | b'-' | b'+' | b'=' | b'0'..=b'9');
    // Six times two bounds of up to 11 characters.
    if bounds.len() > DIMENSIONS_MAX * 25 + 1 || !bounds.iter().all(sound) {
        return None;
    }
    out.put_slice(bounds);
    Some(rest)
}

/// The value of a quoted element; what comes after its closing quote.
fn unquote<'a>(quoted: &'a [u8], value: &mut BytesMut) -> Option<&'a [u8]> {
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', byte, after @ ..] => {
                value.put_u8(*byte);
                after
            }
            [b'\\'] | [] => return None,
            [byte, after @ ..] => {
                value.put_u8(*byte);
                after
            }
        };
    }
}
