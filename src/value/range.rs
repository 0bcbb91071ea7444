//! Ranges of built-in types (PostgreSQL manual, section 8.17; `rangetypes.c`): a byte of flags, then each bound that there is
//! with its length.

use std::cmp::Ordering;

use bytes::{BufMut, BytesMut};

use super::binary::{self, Reader};
use super::character::is_space;
use super::numeric::Numeric;
use super::{PlainType, Scalar, TextForms, ValueError};

/// Flags of the binary form.
mod flag {
    pub(super) const EMPTY: u8 = 0x01;
    pub(super) const LOWER_INCLUSIVE: u8 = 0x02;
    pub(super) const UPPER_INCLUSIVE: u8 = 0x04;
    pub(super) const LOWER_INFINITE: u8 = 0x08;
    pub(super) const UPPER_INFINITE: u8 = 0x10;
}

/// A bound's value as the subtype's plaintext; without one it is infinite.
pub(super) struct Bound {
    pub(super) value: Option<Vec<u8>>,
    pub(super) inclusive: bool,
}

/// A range; `None` is the empty one.
pub(super) struct Range(Option<(Bound, Bound)>);

fn subtype(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::Int4Range => Scalar::Int4,
        Scalar::Int8Range => Scalar::Int8,
        Scalar::NumRange => Scalar::Numeric,
        Scalar::DateRange => Scalar::Date,
        Scalar::TsRange => Scalar::Timestamp,
        _ => Scalar::TimestampTz,
    }
}

pub(super) fn read_text(scalar: Scalar, text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    Range::parse(scalar, text, forms)?.encode()
}

pub(super) fn from_binary(scalar: Scalar, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    Range::decode(scalar, bytes)?.encode()
}

pub(super) fn write_text(
    scalar: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    Range::decode(scalar, plaintext).map_err(|_| ValueError::damaged(scalar))?.show(scalar, forms, out)
}

/// A bound's text without quotation marks and backslashes, `None` where there is none; what follows it.
fn bound_text(text: &str) -> Option<(Option<String>, &str)> {
    if text.starts_with([',', ')', ']']) {
        return Some((None, text));
    }
    let mut out = String::new();
    let mut quoted = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, next)) = characters.next() {
        match next {
            ',' | ')' | ']' if !quoted => return Some((Some(out), text.get(at..)?)),
            '\\' => out.push(characters.next()?.1),
            '"' if quoted && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                out.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            other => out.push(other),
        }
    }
    None
}

impl Range {
    /// What the type's input function takes.
    pub(super) fn parse(scalar: Scalar, text: &str, forms: &TextForms) -> Result<Self, ValueError> {
        let malformed = || ValueError::new("22P02", "malformed range literal");
        let text = text.trim_matches(is_space);
        if text.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("empty")) {
            return if text.len() == 5 { Ok(Self(None)) } else { Err(malformed()) };
        }
        let lower_inclusive = text.starts_with('[');
        let inner = text.strip_prefix(['[', '(']).ok_or_else(malformed)?;
        let (lower, rest) = bound_text(inner).ok_or_else(malformed)?;
        let (upper, rest) = bound_text(rest.strip_prefix(',').ok_or_else(malformed)?).ok_or_else(malformed)?;
        let upper_inclusive = rest == "]";
        if !upper_inclusive && rest != ")" {
            return Err(malformed());
        }
        let read = |bound: Option<String>| {
            bound.map(|bound| super::read_text(subtype(scalar), -1, bound.as_bytes(), forms)).transpose()
        };
        let lower = Bound { value: read(lower)?, inclusive: lower_inclusive };
        let upper = Bound { value: read(upper)?, inclusive: upper_inclusive };
        Self::of(scalar, lower, upper)
    }

    /// Append the text form.
    pub(super) fn show(&self, scalar: Scalar, forms: &TextForms, out: &mut BytesMut) -> Result<(), ValueError> {
        let Some((lower, upper)) = &self.0 else {
            out.put_slice(b"empty");
            return Ok(());
        };
        let plain_type = PlainType { scalar: subtype(scalar), modifier: -1 };
        out.put_u8(if lower.inclusive { b'[' } else { b'(' });
        for (position, bound) in [lower, upper].into_iter().enumerate() {
            if position > 0 {
                out.put_u8(b',');
            }
            let Some(value) = &bound.value else { continue };
            let mut text = BytesMut::new();
            super::write_text(&plain_type, value, forms, &mut text)?;
            // The texts of these types have nothing to escape.
            let quote = text.iter().any(|byte| is_space(char::from(*byte)) || b"()[],".contains(byte));
            let mark: &[u8] = if quote { b"\"" } else { b"" };
            out.put_slice(mark);
            out.put_slice(&text);
            out.put_slice(mark);
        }
        out.put_u8(if upper.inclusive { b']' } else { b')' });
        Ok(())
    }

    /// The bounds, the lower one first. `None`: it is empty.
    pub(super) fn into_bounds(self) -> Option<(Bound, Bound)> {
        self.0
    }

    /// The range between bounds that are of the one form already.
    pub(super) fn between(lower: Bound, upper: Bound) -> Self {
        Self(Some((lower, upper)))
    }

    /// The range between the bounds, in the one form that whole numbers and dates have for it.
    fn of(scalar: Scalar, mut lower: Bound, mut upper: Bound) -> Result<Self, ValueError> {
        let order = order(scalar, &lower, &upper)?;
        if order == Ordering::Greater {
            return Err(ValueError::new("22000", "range lower bound must be less than or equal to range upper bound"));
        }
        if order == Ordering::Equal && !(lower.inclusive && upper.inclusive) {
            return Ok(Self(None));
        }
        lower.inclusive &= lower.value.is_some();
        upper.inclusive &= upper.value.is_some();
        if matches!(scalar, Scalar::Int4Range | Scalar::Int8Range | Scalar::DateRange) {
            // Both become `[lower,upper)`.
            for (bound, moves, inclusive) in [(&mut lower, false, true), (&mut upper, true, false)] {
                if let Some(value) = bound.value.as_mut().filter(|_| bound.inclusive == moves)
                    && let Some(next) = following(scalar, value)?
                {
                    *value = next;
                    bound.inclusive = inclusive;
                }
            }
            if lower.value.is_some() && lower.value == upper.value && !(lower.inclusive && upper.inclusive) {
                return Ok(Self(None));
            }
        }
        Ok(Self(Some((lower, upper))))
    }

    pub(super) fn decode(scalar: Scalar, bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let mut bound = |infinite: u8, inclusive: u8| {
            if flags & (flag::EMPTY | infinite) != 0 {
                return Ok(Bound { value: None, inclusive: false });
            }
            let length = usize::try_from(reader.i32()?).map_err(|_| ValueError::short())?;
            let value = super::read_binary(subtype(scalar), reader.bytes(length)?)?;
            Ok(Bound { value: Some(value), inclusive: flags & inclusive != 0 })
        };
        let lower = bound(flag::LOWER_INFINITE, flag::LOWER_INCLUSIVE)?;
        let upper = bound(flag::UPPER_INFINITE, flag::UPPER_INCLUSIVE)?;
        reader.end()?;
        if flags & flag::EMPTY != 0 { Ok(Self(None)) } else { Self::of(scalar, lower, upper) }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let Some((lower, upper)) = &self.0 else { return Ok(vec![flag::EMPTY]) };
        let mut flags = 0;
        for (bound, infinite, inclusive) in
            [(lower, flag::LOWER_INFINITE, flag::LOWER_INCLUSIVE), (upper, flag::UPPER_INFINITE, flag::UPPER_INCLUSIVE)]
        {
            if bound.value.is_none() {
                flags |= infinite;
            } else if bound.inclusive {
                flags |= inclusive;
            }
        }
        let mut out = vec![flags];
        for value in [lower, upper].into_iter().filter_map(|bound| bound.value.as_ref()) {
            let length = i32::try_from(value.len()).map_err(|_| ValueError::binary())?;
            out.extend(length.to_be_bytes());
            out.extend_from_slice(value);
        }
        Ok(out)
    }
}

/// How the lower bound stands to the upper one.
fn order(scalar: Scalar, lower: &Bound, upper: &Bound) -> Result<Ordering, ValueError> {
    let (Some(lower), Some(upper)) = (&lower.value, &upper.value) else { return Ok(Ordering::Less) };
    if scalar == Scalar::NumRange {
        return Ok(Numeric::decode(lower)?.compare(&Numeric::decode(upper)?));
    }
    let number = |value: &[u8]| super::integer::decode(value).ok_or_else(|| ValueError::damaged(scalar));
    Ok(number(lower)?.cmp(&number(upper)?))
}

/// The next whole number or date. `None`: an infinite date has none.
fn following(scalar: Scalar, value: &[u8]) -> Result<Option<Vec<u8>>, ValueError> {
    match scalar {
        Scalar::Int8Range => {
            let next = i64::from_be_bytes(binary::fixed(value)?).checked_add(1);
            let next = next.ok_or_else(|| ValueError::new("22003", "bigint out of range"))?;
            Ok(Some(next.to_be_bytes().to_vec()))
        }
        Scalar::DateRange => super::temporal::following_day(value),
        _ => {
            let next = i32::from_be_bytes(binary::fixed(value)?).checked_add(1);
            let next = next.ok_or_else(|| ValueError::new("22003", "integer out of range"))?;
            Ok(Some(next.to_be_bytes().to_vec()))
        }
    }
}
