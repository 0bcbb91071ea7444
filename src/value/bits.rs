//! `bit` and `bit varying` (PostgreSQL manual, section 8.10; `varbit.c`): a count of four bytes, then the bits, the last
//! byte filled up with zeros.

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::bytea::hex_digit;
use super::{PlainType, Scalar, ValueError};

/// The longest bit string (`VARBITMAXLEN`).
const BITS_MAX: usize = i32::MAX as usize - 7;

/// Zeros and ones, or hexadecimal digits behind an `x`.
pub(super) fn read_text(text: &str) -> Result<Vec<u8>, ValueError> {
    let hexadecimal = text.starts_with(['x', 'X']);
    let digits = text.strip_prefix(['x', 'X', 'b', 'B']).unwrap_or(text);
    let (width, invalid) = if hexadecimal {
        (4, "invalid hexadecimal digit in a bit string")
    } else {
        (1, "invalid binary digit in a bit string")
    };
    let count = digits.len() * width;
    let count = i32::try_from(count).ok().filter(|_| count <= BITS_MAX);
    let count = count.ok_or_else(|| ValueError::new("54000", "bit string length exceeds the maximum allowed"))?;
    let mut out = count.to_be_bytes().to_vec();
    let (mut byte, mut free) = (0_u8, 8);
    for digit in digits.bytes() {
        let value = hex_digit(digit).filter(|value| hexadecimal || *value < 2);
        free -= width;
        byte |= value.ok_or_else(|| ValueError::new("22P02", invalid))? << free;
        if free == 0 {
            out.push(byte);
            (byte, free) = (0, 8);
        }
    }
    if free < 8 {
        out.push(byte);
    }
    Ok(out)
}

pub(super) fn from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut reader = Reader::new(bytes);
    let count = usize::try_from(reader.i32()?).ok().filter(|count| *count <= BITS_MAX);
    let count = count.ok_or_else(|| ValueError::new("22P03", "invalid length in external bit string"))?;
    reader.bytes(count.div_ceil(8))?;
    reader.end()?;
    let mut out = bytes.to_vec();
    if let (Some(last), over @ 1..) = (out.last_mut(), count % 8) {
        *last &= 0xff << (8 - over);
    }
    Ok(out)
}

/// `bit(n)` has just that length, `bit varying(n)` no more.
pub(super) fn fit(plain_type: &PlainType, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let (count, length) = (Reader::new(plaintext).i32()?, plain_type.modifier);
    match plain_type.scalar {
        Scalar::Bit if count != length => {
            Err(ValueError::new("22026", format!("bit string length {count} does not match type bit({length})")))
        }
        Scalar::Varbit if count > length => {
            Err(ValueError::new("22001", format!("bit string too long for type bit varying({length})")))
        }
        _ => Ok(plaintext.to_vec()),
    }
}

/// What a cast to `bit(n)` or `bit varying(n)` makes of it: bits are cut off, and `bit(n)` is filled up with zeros.
pub(super) fn cut(plain_type: &PlainType, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut reader = Reader::new(plaintext);
    let (count, modifier) = (reader.i32()?, plain_type.modifier);
    let length = if plain_type.scalar == Scalar::Bit { modifier } else { count.min(modifier) };
    let bits = usize::try_from(length).unwrap_or(0);
    let mut bytes = plaintext.get(4..).unwrap_or_default().to_vec();
    bytes.resize(bits.div_ceil(8), 0);
    if let (Some(last), over @ 1..) = (bytes.last_mut(), bits % 8) {
        *last &= 0xff << (8 - over);
    }
    Ok([&length.to_be_bytes()[..], &bytes].concat())
}

pub(super) fn write_text(scalar: Scalar, plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let damaged = || ValueError::damaged(scalar);
    let mut reader = Reader::new(plaintext);
    let count = reader.i32().ok().and_then(|count| usize::try_from(count).ok()).ok_or_else(damaged)?;
    let bytes = reader.bytes(count.div_ceil(8)).map_err(|_| damaged())?;
    reader.end().map_err(|_| damaged())?;
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| b'0' + (byte >> place & 1)));
    bits.take(count).for_each(|bit| out.put_u8(bit));
    Ok(())
}
