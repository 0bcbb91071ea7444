//! Multiranges of built-in types (PostgreSQL manual, section 8.17; `multirangetypes.c`): a count of ranges (4 bytes), then
//! each with its length. The ranges are none of them empty, in their order, and merged where they overlap or touch.

use std::cmp::Ordering;

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::character::is_space;
use super::numeric::Numeric;
use super::range::{Bound, Range};
use super::{Scalar, TextForms, ValueError};

/// From so many on the server's sort may put equal ranges in any order.
const STABLE_COUNT: usize = 7;

/// Its ranges.
struct Multirange(Vec<Range>);

pub(super) fn read_text(scalar: Scalar, text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let parse = |text| Range::parse(range_type(scalar), text, forms);
    let mut ranges = Vec::new();
    let mut rest = text.trim_matches(is_space).strip_prefix('{').ok_or_else(malformed)?.trim_start_matches(is_space);
    let mut first = true;
    while !(first && rest == "}") {
        first = false;
        let (range, after) = if rest.starts_with(['[', '(']) {
            let (range, after) = rest.split_at_checked(range_length(rest)?).ok_or_else(malformed)?;
            (Some(parse(range)?), after)
        } else if rest.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("empty")) {
            (None, rest.get(5..).unwrap_or_default())
        } else {
            return Err(malformed());
        };
        ranges.extend(range);
        rest = after.trim_start_matches(is_space);
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start_matches(is_space),
            None if rest == "}" => break,
            None => return Err(malformed()),
        }
    }
    Multirange::of(scalar, ranges)?.encode()
}

pub(super) fn from_binary(scalar: Scalar, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    Multirange::decode(scalar, bytes)?.encode()
}

pub(super) fn write_text(
    scalar: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let multirange = Multirange::decode(scalar, plaintext).map_err(|_| ValueError::damaged(scalar))?;
    out.put_u8(b'{');
    for (number, range) in multirange.0.iter().enumerate() {
        if number > 0 {
            out.put_u8(b',');
        }
        range.show(range_type(scalar), forms, out)?;
    }
    out.put_u8(b'}');
    Ok(())
}

fn malformed() -> ValueError {
    ValueError::new("22P02", "malformed multirange literal")
}

fn range_type(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::Int4Multirange => Scalar::Int4Range,
        Scalar::Int8Multirange => Scalar::Int8Range,
        Scalar::NumMultirange => Scalar::NumRange,
        Scalar::DateMultirange => Scalar::DateRange,
        Scalar::TsMultirange => Scalar::TsRange,
        _ => Scalar::TstzRange,
    }
}

/// How many bytes the range has that the text begins with.
fn range_length(text: &str) -> Result<usize, ValueError> {
    let (mut quoted, mut escaped) = (false, false);
    let mut characters = text.char_indices().peekable();
    while let Some((at, next)) = characters.next() {
        match next {
            // The server skips these even between a backslash and what it stands before.
            space if is_space(space) => {}
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if quoted && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                characters.next();
            }
            '"' => quoted = !quoted,
            ']' | ')' if !quoted => return Ok(at + 1),
            _ => {}
        }
    }
    Err(malformed())
}

impl Multirange {
    /// The ranges in the one form that there is for them.
    fn of(scalar: Scalar, ranges: Vec<Range>) -> Result<Self, ValueError> {
        let count = ranges.len();
        let mut spans = Vec::with_capacity(count);
        for (lower, upper) in ranges.into_iter().filter_map(Range::into_bounds) {
            spans.push((Edge::of(scalar, lower, Side::Lower)?, Edge::of(scalar, upper, Side::Upper)?));
        }
        spans.sort_by(|left, right| left.0.compare(&right.0).then_with(|| left.1.compare(&right.1)));
        let mut merged: Vec<(Edge, Edge)> = Vec::with_capacity(spans.len());
        for span in spans {
            // Of numbers that are equal and not written alike the later ones stay, and those are not certain.
            let uncertain = |last: &(Edge, Edge)| {
                let alike = |one: &Edge, other: &Edge| {
                    one.compare(other) == Ordering::Equal && one.bound.value != other.bound.value
                };
                count >= STABLE_COUNT && (alike(&last.0, &span.0) || alike(&last.1, &span.1))
            };
            match merged.last_mut() {
                Some(last) if last.1.reaches(&span.0) => {
                    if uncertain(last) {
                        return Err(ValueError::new(
                            "0A000",
                            "pgveil does not read multiranges of many ranges with equal bounds of different scales",
                        ));
                    }
                    if last.0.compare(&span.0) != Ordering::Less {
                        last.0 = span.0;
                    }
                    if last.1.compare(&span.1) != Ordering::Greater {
                        last.1 = span.1;
                    }
                }
                _ => merged.push(span),
            }
        }
        Ok(Self(merged.into_iter().map(|(lower, upper)| Range::between(lower.bound, upper.bound)).collect()))
    }

    fn decode(scalar: Scalar, bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let count = reader.u32()?;
        let mut ranges = Vec::new();
        for _ in 0..count {
            let length = usize::try_from(reader.i32()?).map_err(|_| ValueError::short())?;
            ranges.push(Range::decode(range_type(scalar), reader.bytes(length)?)?);
        }
        reader.end()?;
        Self::of(scalar, ranges)
    }

    fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let size = |length: usize| i32::try_from(length).map_err(|_| ValueError::binary());
        let mut out = size(self.0.len())?.to_be_bytes().to_vec();
        for range in &self.0 {
            let range = range.encode()?;
            out.extend(size(range.len())?.to_be_bytes());
            out.extend(range);
        }
        Ok(out)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
}

/// What a bound's value is compared by.
enum Key {
    Integer(i64),
    Numeric(Numeric),
}

/// A bound with what it is compared by.
struct Edge {
    bound: Bound,
    side: Side,
    /// `None`: it is infinite.
    key: Option<Key>,
}

impl Edge {
    fn of(scalar: Scalar, bound: Bound, side: Side) -> Result<Self, ValueError> {
        let key = match &bound.value {
            None => None,
            Some(value) if scalar == Scalar::NumMultirange => Some(Key::Numeric(Numeric::decode(value)?)),
            Some(value) => {
                Some(Key::Integer(super::integer::decode(value).ok_or_else(|| ValueError::damaged(scalar))?))
            }
        };
        Ok(Self { bound, side, key })
    }

    /// Which value comes first, whether it belongs to the range or not.
    fn compare_values(&self, other: &Self) -> Ordering {
        let beyond = |edge: &Self| match (&edge.key, edge.side) {
            (Some(_), _) => 0,
            (None, Side::Lower) => -1,
            (None, Side::Upper) => 1,
        };
        match (&self.key, &other.key) {
            (Some(Key::Integer(left)), Some(Key::Integer(right))) => left.cmp(right),
            (Some(Key::Numeric(left)), Some(Key::Numeric(right))) => left.compare(right),
            _ => beyond(self).cmp(&beyond(other)),
        }
    }

    /// Which comes first of two bounds of the same side.
    fn compare(&self, other: &Self) -> Ordering {
        let by_inclusion = || match self.side {
            Side::Lower => other.bound.inclusive.cmp(&self.bound.inclusive),
            Side::Upper => self.bound.inclusive.cmp(&other.bound.inclusive),
        };
        self.compare_values(other).then_with(by_inclusion)
    }

    /// Whether nothing lies between this upper bound and that lower one.
    fn reaches(&self, lower: &Self) -> bool {
        match self.compare_values(lower) {
            Ordering::Less => false,
            Ordering::Equal => self.bound.inclusive || lower.bound.inclusive,
            Ordering::Greater => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(scalar: Scalar, text: &str) -> Result<String, &'static str> {
        let forms = TextForms::default();
        let plaintext = read_text(scalar, text, &forms).map_err(|error| error.sqlstate)?;
        assert_eq!(from_binary(scalar, &plaintext).as_ref(), Ok(&plaintext), "{text}");
        let mut out = BytesMut::new();
        write_text(scalar, &plaintext, &forms, &mut out).map_err(|error| error.sqlstate)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn ranges_are_sorted_and_merged_as_the_server_does() {
        for (scalar, text, expected) in [
            (Scalar::Int4Multirange, "{}", Ok("{}")),
            (Scalar::Int4Multirange, " { empty , EMPTY } ", Ok("{}")),
            (Scalar::Int4Multirange, "{[5,7],[1,2]}", Ok("{[1,3),[5,8)}")),
            (Scalar::Int4Multirange, "{[1,2],[3,4]}", Ok("{[1,5)}")),
            (Scalar::Int4Multirange, "{(,3),[2,),empty}", Ok("{(,)}")),
            (Scalar::Int4Multirange, "{[\"1\",2\\5)}", Ok("{[1,25)}")),
            (Scalar::Int4Multirange, "{[1,2),}", Err("22P02")),
            (Scalar::Int4Multirange, "{[1,2)", Err("22P02")),
            (Scalar::Int4Multirange, "{[1,2)}x", Err("22P02")),
            (Scalar::Int4Multirange, "[1,2)", Err("22P02")),
            (Scalar::Int4Multirange, "{1}", Err("22P02")),
            (Scalar::Int4Multirange, "{[2,1]}", Err("22000")),
            (Scalar::NumMultirange, "{(1,2),(2,3)}", Ok("{(1,2),(2,3)}")),
            (Scalar::NumMultirange, "{(1,2),[2,3)}", Ok("{(1,3)}")),
            (Scalar::NumMultirange, "{[1.0,2.0],[1.00,2.00]}", Ok("{[1.00,2.00]}")),
            (Scalar::NumMultirange, "{[1.0,2.0],[1.00,2.00],[5,5],[6,6],[7,7],[8,8],[9,9]}", Err("0A000")),
            (Scalar::DateMultirange, "{[2024-02-28,2024-02-29],[infinity,infinity]}", {
                Ok("{[2024-02-28,2024-03-01),[infinity,infinity]}")
            }),
            (Scalar::TsMultirange, "{[2024-02-28,2024-02-29]}", {
                Ok("{[\"2024-02-28 00:00:00\",\"2024-02-29 00:00:00\"]}")
            }),
        ] {
            assert_eq!(shown(scalar, text), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn damaged_binary_forms_are_refused() {
        for (bytes, expected) in [
            (&[0, 0, 0, 0][..], Ok(())),
            (&[0, 0, 0], Err("08P01")),
            (&[0, 0, 0, 1], Err("08P01")),
            (&[255, 255, 255, 255], Err("08P01")),
            (&[0, 0, 0, 1, 255, 255, 255, 255], Err("08P01")),
            (&[0, 0, 0, 1, 0, 0, 0, 1, 1], Ok(())),
            (&[0, 0, 0, 0, 0], Err("22P03")),
        ] {
            let read = from_binary(Scalar::Int4Multirange, bytes);
            assert_eq!(read.map(|_| ()).map_err(|error| error.sqlstate), expected, "{bytes:?}");
        }
    }
}
