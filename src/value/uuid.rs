//! `uuid` (PostgreSQL manual, section 8.12; `uuid.c`).

use bytes::{BufMut, BytesMut};

use super::bytea::{hex_digit, put_hex};
use super::{Scalar, ValueError, binary};

/// 32 digits, in braces or not, with a hyphen after any group of four.
pub(super) fn read_text(text: &str) -> Result<Vec<u8>, ValueError> {
    let invalid = || ValueError::syntax(Scalar::Uuid);
    let digits = match text.strip_prefix('{') {
        Some(opened) => opened.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut rest = digits.as_bytes();
    let mut out = Vec::with_capacity(16);
    while let [high, low, after @ ..] = rest {
        let (high, low) = (hex_digit(*high).ok_or_else(invalid)?, hex_digit(*low).ok_or_else(invalid)?);
        out.push(high << 4 | low);
        rest = match after {
            [b'-', after @ ..] if out.len() % 2 == 0 && out.len() < 16 => after,
            after => after,
        };
    }
    if rest.is_empty() && out.len() == 16 { Ok(out) } else { Err(invalid()) }
}

pub(super) fn write_text(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let bytes = binary::fixed::<16>(plaintext).map_err(|_| ValueError::damaged(Scalar::Uuid))?;
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            out.put_u8(b'-');
        }
        put_hex(*byte, out);
    }
    Ok(())
}
