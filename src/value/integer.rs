//! `bool` and the integers (`bool.c`, `int.c`, `numutils.c`).

use bytes::{BufMut, BytesMut};

use super::character::is_space;
use super::{Scalar, ValueError, binary};

/// Any beginning of `true`, `yes`, `on`, `false`, `no`, `off` that means one of them, `1` and `0`.
pub(super) fn read_bool(text: &str) -> Result<Vec<u8>, ValueError> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let begins = |full: &str, shortest: usize| word.len() >= shortest && full.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1" {
        Ok(vec![1])
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(vec![0])
    } else {
        Err(ValueError::syntax(Scalar::Bool))
    }
}

pub(super) fn bool_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let [byte] = binary::fixed::<1>(bytes)?;
    Ok(vec![u8::from(byte != 0)])
}

pub(super) fn write_bool(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let [byte] = binary::fixed::<1>(plaintext).map_err(|_| ValueError::damaged(Scalar::Bool))?;
    out.put_u8(if byte != 0 { b't' } else { b'f' });
    Ok(())
}

/// Decimal digits with a sign or none, spaces around them.
pub(super) fn read_text(scalar: Scalar, text: &str) -> Result<Vec<u8>, ValueError> {
    let number = text.trim_matches(is_space);
    let sign = usize::from(number.starts_with(['-', '+']));
    let digits = number.bytes().skip(sign).take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(ValueError::syntax(scalar));
    }
    // Whether it fits is said before what follows the digits is looked at.
    let value = number.get(..sign + digits).and_then(|number| number.parse::<i64>().ok());
    let encoded = value.and_then(|value| encode(scalar, value)).ok_or_else(|| ValueError::out_of_range(scalar))?;
    if sign + digits == number.len() { Ok(encoded) } else { Err(ValueError::syntax(scalar)) }
}

pub(super) fn write_text(scalar: Scalar, plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let value = decode(plaintext).ok_or_else(|| ValueError::damaged(scalar))?;
    out.put_slice(value.to_string().as_bytes());
    Ok(())
}

/// The integer in the type's width. `None`: it does not fit.
pub(super) fn encode(scalar: Scalar, value: i64) -> Option<Vec<u8>> {
    match scalar {
        Scalar::Int2 => i16::try_from(value).ok().map(|value| value.to_be_bytes().to_vec()),
        Scalar::Int4 => i32::try_from(value).ok().map(|value| value.to_be_bytes().to_vec()),
        _ => Some(value.to_be_bytes().to_vec()),
    }
}

/// The integer of any of the three widths.
pub(super) fn decode(bytes: &[u8]) -> Option<i64> {
    if let Ok(bytes) = <[u8; 2]>::try_from(bytes) {
        return Some(i16::from_be_bytes(bytes).into());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(i32::from_be_bytes(bytes).into());
    }
    <[u8; 8]>::try_from(bytes).ok().map(i64::from_be_bytes)
}

/// An unsigned number; a negative one down to that of `int4` counts from the end, as `strtoul` has it.
pub(super) fn read_oid(text: &str) -> Result<Vec<u8>, ValueError> {
    let invalid = || ValueError::syntax(Scalar::Oid);
    let number = text.trim_matches(is_space);
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let range = || ValueError::out_of_range(Scalar::Oid);
    let value = number.parse::<i64>().map_err(|_| range())?;
    let oid = match u32::try_from(value) {
        Ok(oid) => oid,
        Err(_) => i32::try_from(value).map_err(|_| range())?.cast_unsigned(),
    };
    Ok(oid.to_be_bytes().to_vec())
}

pub(super) fn write_oid(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let oid = u32::from_be_bytes(binary::fixed(plaintext).map_err(|_| ValueError::damaged(Scalar::Oid))?);
    out.put_slice(oid.to_string().as_bytes());
    Ok(())
}
