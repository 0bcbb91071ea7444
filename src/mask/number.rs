//! Rounding and bucketing of numbers, in their own types.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};

use super::Format;
use super::decimal::{Decimal, Direction, Step};

/// The number types that are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberType {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
}

/// Digits before the point up to which the server writes a `float4` and a `float8` without exponent.
const FLOAT4_DIGITS: i32 = 6;
const FLOAT8_DIGITS: i32 = 15;

/// A multiple of the step in place of the value; a `numeric` with at least as many places after the point. `None`: not a finite number of the type, or the multiple is not one.
/// What was written to `out` is then to be taken off.
pub(super) fn write(
    value: &[u8],
    number_type: NumberType,
    step: Step,
    direction: Direction,
    places: usize,
    format: Format,
    out: &mut BytesMut,
) -> Option<()> {
    match number_type {
        NumberType::Int2 | NumberType::Int4 | NumberType::Int8 => {
            let multiple = integer(read_integer(value, number_type, format)?, step.whole()?, direction)?;
            write_integer(multiple, number_type, format, out)
        }
        NumberType::Float4 => {
            let number: f32 = match format {
                Format::Text => std::str::from_utf8(value).ok()?.parse().ok()?,
                Format::Binary => f32::from_be_bytes(value.try_into().ok()?),
            };
            let written = Decimal::parse(&number.to_string())?.to_multiple(step, direction).to_text();
            let multiple = written.parse().ok().filter(|number: &f32| number.is_finite())?;
            match format {
                Format::Text => {
                    out.put_slice(float4_text(multiple).as_bytes());
                    Some(())
                }
                Format::Binary => {
                    out.put_f32(multiple);
                    Some(())
                }
            }
        }
        NumberType::Float8 => {
            let number: f64 = match format {
                Format::Text => std::str::from_utf8(value).ok()?.parse().ok()?,
                Format::Binary => f64::from_be_bytes(value.try_into().ok()?),
            };
            let written = Decimal::parse(&number.to_string())?.to_multiple(step, direction).to_text();
            let multiple = written.parse().ok().filter(|number: &f64| number.is_finite())?;
            match format {
                Format::Text => {
                    out.put_slice(float8_text(multiple).as_bytes());
                    Some(())
                }
                Format::Binary => {
                    out.put_f64(multiple);
                    Some(())
                }
            }
        }
        NumberType::Numeric => {
            let number = match format {
                Format::Text => Decimal::parse(std::str::from_utf8(value).ok()?)?,
                Format::Binary => Decimal::from_binary(value)?,
            };
            let multiple = number.to_multiple(step, direction).with_places(places);
            match format {
                Format::Text => {
                    multiple.write_text(out);
                    Some(())
                }
                Format::Binary => multiple.write_binary(out),
            }
        }
    }
}

/// A `numeric` with at least as many places after the point. `None`: not a finite one.
pub(super) fn widened(value: &[u8], places: usize, format: Format) -> Option<Vec<u8>> {
    let mut out = BytesMut::new();
    match format {
        Format::Text => Decimal::parse(std::str::from_utf8(value).ok()?)?.with_places(places).write_text(&mut out),
        Format::Binary => Decimal::from_binary(value)?.with_places(places).write_binary(&mut out)?,
    }
    Some(out.to_vec())
}

/// A finite `float4` as the server writes it.
pub(super) fn float4_text(number: f32) -> String {
    float_text(number.to_string(), &format!("{number:e}"), FLOAT4_DIGITS)
}

/// A finite `float8` as the server writes it.
pub(super) fn float8_text(number: f64) -> String {
    float_text(number.to_string(), &format!("{number:e}"), FLOAT8_DIGITS)
}

/// `1e+20` and `1e-05`, with an exponent of two digits or more, for what is below 0.0001 or has more than `digits` digits
/// before the point; the plain form for all else.
fn float_text(plain: String, scientific: &str, digits: i32) -> String {
    let parts = scientific.split_once('e').and_then(|(mantissa, exponent)| Some((mantissa, exponent.parse().ok()?)));
    match parts {
        Some((mantissa, exponent)) if !(-4..digits).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        Some(_) | None => plain,
    }
}

/// An integer of that type, in text or big-endian form.
pub(super) fn read_integer(value: &[u8], number_type: NumberType, format: Format) -> Option<i64> {
    match (format, number_type) {
        (Format::Text, _) => std::str::from_utf8(value).ok()?.parse().ok(),
        (Format::Binary, NumberType::Int2) => Some(i16::from_be_bytes(value.try_into().ok()?).into()),
        (Format::Binary, NumberType::Int4) => Some(i32::from_be_bytes(value.try_into().ok()?).into()),
        (Format::Binary, NumberType::Int8) => Some(i64::from_be_bytes(value.try_into().ok()?)),
        (Format::Binary, NumberType::Float4 | NumberType::Float8 | NumberType::Numeric) => None,
    }
}

/// The reverse of [`read_integer`]. `None`: out of the type's range.
pub(super) fn write_integer(number: i64, number_type: NumberType, format: Format, out: &mut BytesMut) -> Option<()> {
    let fits = match number_type {
        NumberType::Int2 => i16::try_from(number).is_ok(),
        NumberType::Int4 => i32::try_from(number).is_ok(),
        NumberType::Int8 => true,
        NumberType::Float4 | NumberType::Float8 | NumberType::Numeric => false,
    };
    if !fits {
        return None;
    }
    match (format, number_type) {
        (Format::Text, _) => write!(out, "{number}").ok()?,
        (Format::Binary, NumberType::Int2) => out.put_i16(i16::try_from(number).ok()?),
        (Format::Binary, NumberType::Int4) => out.put_i32(i32::try_from(number).ok()?),
        (Format::Binary, _) => out.put_i64(number),
    }
    Some(())
}

fn integer(number: i64, step: i64, direction: Direction) -> Option<i64> {
    let (number, step) = (i128::from(number), i128::from(step));
    let multiple = match direction {
        Direction::Down => number.checked_div_euclid(step)? * step,
        Direction::Nearest => (number.abs() * 2 + step).checked_div_euclid(step * 2)? * step * number.signum(),
    };
    i64::try_from(multiple).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str, number_type: NumberType, step: &str, direction: Direction) -> Option<String> {
        let mut out = BytesMut::new();
        write(value.as_bytes(), number_type, Step::parse(step).unwrap(), direction, 0, Format::Text, &mut out)?;
        Some(String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn numbers_are_rounded_and_bucketed_in_their_type() {
        use NumberType::{Float4, Float8, Int2, Int4, Int8, Numeric};
        for (value, number_type, step, nearest, down) in [
            ("1234", Int4, "100", Some("1200"), Some("1200")),
            ("-1250", Int4, "100", Some("-1300"), Some("-1300")),
            ("32760", Int2, "1000", None, Some("32000")),
            ("9223372036854775807", Int8, "10", None, Some("9223372036854775800")),
            ("-9223372036854775808", Int8, "10", None, None),
            ("12.34", Numeric, "0.5", Some("12.5"), Some("12.0")),
            ("NaN", Numeric, "10", None, None),
            ("1234.5", Float8, "10", Some("1230"), Some("1230")),
            ("0.1", Float4, "0.25", Some("0"), Some("0")),
            ("3.4e+38", Float4, "10", Some("3.4e+38"), Some("3.4e+38")),
            ("999999", Float4, "10", Some("1e+06"), Some("999990")),
            ("999999999999999", Float8, "10", Some("1e+15"), Some("999999999999990")),
            ("0.00016", Float8, "0.00001", Some("0.00016"), Some("0.00016")),
            ("-0.000016", Float8, "0.00001", Some("-2e-05"), Some("-2e-05")),
            ("Infinity", Float8, "10", None, None),
            ("x", Int4, "10", None, None),
            ("7", Int4, "0.5", None, None),
        ] {
            assert_eq!(shown(value, number_type, step, Direction::Nearest).as_deref(), nearest, "{value}");
            assert_eq!(shown(value, number_type, step, Direction::Down).as_deref(), down, "{value}");
        }
    }

    #[test]
    fn binary_numbers_keep_their_width() {
        for (value, number_type, shown) in [
            (&1234_i16.to_be_bytes()[..], NumberType::Int2, &1200_i16.to_be_bytes()[..]),
            (&1234_i32.to_be_bytes(), NumberType::Int4, &1200_i32.to_be_bytes()),
            (&1234_i64.to_be_bytes(), NumberType::Int8, &1200_i64.to_be_bytes()),
            (&1234.5_f32.to_be_bytes(), NumberType::Float4, &1200_f32.to_be_bytes()),
            (&1234.5_f64.to_be_bytes(), NumberType::Float8, &1200_f64.to_be_bytes()),
            (&[0, 1, 0, 0, 0, 0, 0, 0, 4, 0xd2], NumberType::Numeric, &[0, 1, 0, 0, 0, 0, 0, 0, 4, 0xb0]),
        ] {
            let mut out = BytesMut::new();
            let step = Step::parse("100").unwrap();
            write(value, number_type, step, Direction::Nearest, 0, Format::Binary, &mut out).unwrap();
            assert_eq!(out[..], *shown);
            assert_eq!(write(&[], number_type, step, Direction::Down, 0, Format::Binary, &mut BytesMut::new()), None);
        }
    }
}
