//! Values of a type that the client has declared, for a column of another: the casts that an assignment applies
//! (PostgreSQL manual, section 10.4; `pg_cast.dat`).

use bytes::BytesMut;

use super::numeric::{Decimal, Numeric};
use super::{
    PlainType, Scalar, TextForms, ValueError, binary, character, float, integer, json, money, network, temporal,
};

/// Whether a value of type `source` may be assigned to a column of type `target`.
pub(super) fn check(source: Scalar, target: Scalar) -> Result<(), ValueError> {
    if source == target || is_text(target) || is_known(source, target) {
        Ok(())
    } else {
        Err(ValueError::not_assignable(target, Some(source)))
    }
}

/// Whether [`assign`] has a cast for it, that to texts by the type's output apart.
fn is_known(source: Scalar, target: Scalar) -> bool {
    use Scalar::{Float4, Float8, Int2, Int4, Int8, Numeric};
    let number = |scalar| matches!(scalar, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric);
    match (source, target) {
        (source, target) if number(source) && number(target) => true,
        (_, Scalar::Name) => true,
        (Scalar::Date, Scalar::Timestamp | Scalar::TimestampTz)
        | (Scalar::Timestamp, Scalar::TimestampTz)
        | (Scalar::TimestampTz, Scalar::Timestamp)
        | (Scalar::Timestamp | Scalar::TimestampTz, Scalar::Date)
        | (Scalar::Time, Scalar::Interval)
        | (Scalar::Interval, Scalar::Time)
        | (Scalar::Timestamp | Scalar::TimestampTz, Scalar::Time)
        | (Scalar::TimeTz, Scalar::Time)
        | (Scalar::Bit, Scalar::Varbit)
        | (Scalar::Varbit, Scalar::Bit)
        | (Scalar::Inet, Scalar::Cidr)
        | (Scalar::Cidr, Scalar::Inet)
        | (Scalar::MacAddr, Scalar::MacAddr8)
        | (Scalar::MacAddr8, Scalar::MacAddr)
        | (Scalar::Json, Scalar::Jsonb)
        | (Scalar::Jsonb, Scalar::Json)
        | (Int4 | Int8 | Numeric, Scalar::Money)
        | (Scalar::Money, Numeric)
        | (Int2 | Int4 | Int8, Scalar::Oid)
        | (Scalar::Oid, Int4 | Int8) => true,
        (source, Scalar::Char) => is_text(source),
        _ => false,
    }
}

fn is_text(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Text | Scalar::Varchar | Scalar::Bpchar)
}

/// The plaintext as the target's. [`check`] has let the pair through.
pub(super) fn assign(
    source: Scalar,
    target: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
) -> Result<Vec<u8>, ValueError> {
    if source == target {
        return Ok(plaintext.to_vec());
    }
    match (source, target) {
        (Scalar::Bpchar, target) if is_text(target) => Ok(character::trim_blanks(plaintext.to_vec())),
        (source, target) if is_text(source) && is_text(target) => Ok(plaintext.to_vec()),
        (Scalar::Bpchar, Scalar::Name) => {
            Ok(character::name(character::checked(&character::trim_blanks(plaintext.to_vec()))?))
        }
        (source, Scalar::Name) if is_text(source) => Ok(character::name(character::checked(plaintext)?)),
        // The server makes texts of these that are none.
        (Scalar::Char, Scalar::Bpchar) if matches!(plaintext, [0 | 0x80..=0xff]) => {
            Err(ValueError::new("0A000", "this \"char\" is no character of a text"))
        }
        (Scalar::Bool, target) if is_text(target) => {
            Ok(if plaintext.first() == Some(&0) { b"false".to_vec() } else { b"true".to_vec() })
        }
        (Scalar::Inet | Scalar::Cidr, target) if is_text(target) => {
            let mut out = BytesMut::new();
            network::write_network(source, plaintext, true, &mut out)?;
            Ok(out.to_vec())
        }
        (source, Scalar::Name) => {
            let mut out = BytesMut::new();
            super::write_text(&PlainType { scalar: source, modifier: -1 }, plaintext, forms, &mut out)?;
            Ok(character::name(character::checked(&out)?))
        }
        (source, target) if is_text(target) => {
            let mut out = BytesMut::new();
            super::write_text(&PlainType { scalar: source, modifier: -1 }, plaintext, forms, &mut out)?;
            Ok(out.to_vec())
        }
        (source, Scalar::Char) if is_text(source) => Ok(character::read_byte(character::checked(plaintext)?)),
        (Scalar::Date, target) => temporal::timestamp_of_date(target, plaintext, forms),
        (Scalar::Timestamp, Scalar::TimestampTz) => temporal::timestamptz_of_timestamp(plaintext, forms),
        (Scalar::Timestamp | Scalar::TimestampTz, target) => {
            let local = temporal::local_timestamp(source, plaintext, forms)?;
            match target {
                Scalar::Date => temporal::date_of_timestamp(local),
                Scalar::Time => temporal::time_of_timestamp(local),
                _ => Ok(local.to_be_bytes().to_vec()),
            }
        }
        (Scalar::Time, Scalar::Interval) => temporal::interval_of_time(plaintext),
        (Scalar::TimeTz, Scalar::Time) => Ok(plaintext.iter().take(8).copied().collect()),
        (Scalar::Interval, Scalar::Time) => temporal::time_of_interval(plaintext),
        (Scalar::Bit, Scalar::Varbit) | (Scalar::Varbit, Scalar::Bit) => Ok(plaintext.to_vec()),
        (Scalar::Inet | Scalar::Cidr, target) => network::other_network(target, plaintext),
        (Scalar::MacAddr | Scalar::MacAddr8, _) => network::other_mac(plaintext),
        (Scalar::Json, Scalar::Jsonb) => json::normalized(character::checked(plaintext)?).map(String::into_bytes),
        (Scalar::Jsonb, Scalar::Json) => Ok(plaintext.to_vec()),
        (source, target) => number(source, target, plaintext),
    }
}

/// Whether values of type `target` are compared with one of type `source` in a way that [`operand`] knows.
pub(super) fn check_operand(source: Scalar, target: Scalar) -> Result<(), ValueError> {
    let text = |scalar| is_text(scalar) || scalar == Scalar::Name;
    let compared = match (source, target) {
        // That compares without blanks at the end on both sides.
        (Scalar::Bpchar, Scalar::Varchar) => false,
        (Scalar::Inet | Scalar::Cidr, Scalar::Inet | Scalar::Cidr) => true,
        (Scalar::Numeric, target) if is_integer(target) => true,
        (source, target) if is_integer(source) => is_integer(target) || target == Scalar::Numeric,
        (source, target) => source == target || (text(source) && text(target)),
    };
    if compared { Ok(()) } else { Err(ValueError::no_operator(target, Some(source))) }
}

fn is_integer(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Int2 | Scalar::Int4 | Scalar::Int8)
}

/// The plaintext as the target's, for a comparison. [`check_operand`] has let the pair through.
pub(super) fn operand(
    source: Scalar,
    target: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
) -> Result<Vec<u8>, ValueError> {
    // A `name` is compared with texts as a text: it is not cut.
    if target == Scalar::Name && source != Scalar::Name {
        return assign(source, Scalar::Text, plaintext, forms);
    }
    let converted = assign(source, target, plaintext, forms);
    // What has no equal in the column's type stays what it is: none of the column's values has these bytes.
    match (source, target) {
        (source, target) if is_integer(source) && is_integer(target) => converted.or_else(|_| Ok(plaintext.to_vec())),
        (Scalar::Numeric, target) if is_integer(target) => match (converted, Numeric::decode(plaintext)?) {
            (Ok(converted), Numeric::Finite(decimal)) if decimal.is_whole() => Ok(converted),
            _ => Ok(plaintext.to_vec()),
        },
        (Scalar::Inet, Scalar::Cidr) if !network::is_masked(plaintext)? => Ok(plaintext.to_vec()),
        _ => converted,
    }
}

/// From one type of numbers to another.
fn number(source: Scalar, target: Scalar, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let range = || ValueError::new("22003", format!("{} out of range", target.title()));
    let damaged = |_| ValueError::damaged(source);
    match source {
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => {
            let value = integer::decode(plaintext).ok_or_else(|| ValueError::damaged(source))?;
            match target {
                Scalar::Numeric => Numeric::Finite(Decimal::integer(value)).encode(),
                Scalar::Money => money::of_integer(value),
                Scalar::Oid => match source {
                    Scalar::Int8 => u32::try_from(value)
                        .map(|oid| oid.to_be_bytes().to_vec())
                        .map_err(|_| ValueError::new("22003", "OID out of range")),
                    // The bits stay as they are.
                    _ => integer::encode(Scalar::Int4, value).ok_or_else(range),
                },
                // The nearest number is what the server takes, too.
                Scalar::Float4 => Ok((value as f32).to_be_bytes().to_vec()),
                Scalar::Float8 => Ok((value as f64).to_be_bytes().to_vec()),
                _ => integer::encode(target, value).ok_or_else(range),
            }
        }
        Scalar::Numeric => {
            let value = Numeric::decode(plaintext).map_err(damaged)?;
            match target {
                Scalar::Float4 | Scalar::Float8 => float::read_text(target, &value.text()),
                Scalar::Money => match value {
                    Numeric::Finite(decimal) => {
                        let hundredths = decimal.to_scaled(2);
                        let range = || ValueError::new("22003", "bigint out of range");
                        hundredths.map(|value| value.to_be_bytes().to_vec()).ok_or_else(range)
                    }
                    Numeric::NotANumber => Err(not_integer("NaN", Scalar::Int8)),
                    Numeric::Infinity { .. } => Err(not_integer("infinity", Scalar::Int8)),
                },
                _ => match value {
                    Numeric::Finite(decimal) => {
                        decimal.to_i64().and_then(|value| integer::encode(target, value)).ok_or_else(range)
                    }
                    Numeric::NotANumber => Err(not_integer("NaN", target)),
                    Numeric::Infinity { .. } => Err(not_integer("infinity", target)),
                },
            }
        }
        Scalar::Money => {
            let hundredths = i64::from_be_bytes(binary::fixed(plaintext).map_err(damaged)?);
            Numeric::Finite(Decimal::scaled(hundredths, 2)).encode()
        }
        Scalar::Oid => {
            let oid = u32::from_be_bytes(binary::fixed(plaintext).map_err(damaged)?);
            match target {
                Scalar::Int4 => Ok(oid.to_be_bytes().to_vec()),
                _ => Ok(i64::from(oid).to_be_bytes().to_vec()),
            }
        }
        Scalar::Float4 => {
            let value = f32::from_be_bytes(binary::fixed(plaintext).map_err(damaged)?);
            double(value.into(), 6, target)
        }
        _ => double(f64::from_be_bytes(binary::fixed(plaintext).map_err(damaged)?), 15, target),
    }
}

fn not_integer(what: &str, target: Scalar) -> ValueError {
    ValueError::new("0A000", format!("cannot convert {what} to {}", target.title()))
}

/// A floating-point number of so many certain decimal digits.
fn double(value: f64, digits: i32, target: Scalar) -> Result<Vec<u8>, ValueError> {
    let range = || ValueError::new("22003", format!("{} out of range", target.title()));
    match target {
        Scalar::Float8 => Ok(value.to_be_bytes().to_vec()),
        Scalar::Float4 => {
            let single = value as f32;
            if single.is_infinite() && value.is_finite() {
                return Err(ValueError::new("22003", "value out of range: overflow"));
            }
            if single == 0.0 && value != 0.0 {
                return Err(ValueError::new("22003", "value out of range: underflow"));
            }
            Ok(single.to_be_bytes().to_vec())
        }
        Scalar::Numeric => {
            if value.is_finite() {
                Numeric::parse(&float::general(value, digits), Scalar::Numeric)?.encode()
            } else if value.is_nan() {
                Numeric::NotANumber.encode()
            } else {
                Numeric::Infinity { negative: value < 0.0 }.encode()
            }
        }
        _ => {
            let rounded = value.round_ties_even();
            // Both bounds are powers of two, so the comparisons are exact.
            if rounded.is_nan() || rounded < -(2_f64.powi(63)) || rounded >= 2_f64.powi(63) {
                return Err(range());
            }
            integer::encode(target, rounded as i64).ok_or_else(range)
        }
    }
}
