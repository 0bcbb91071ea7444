//! `bytea`: hex and escape form (PostgreSQL manual, section 8.4; `varlena.c`, `encode.c`).

use bytes::{BufMut, BytesMut};

use super::{Scalar, TextForms, ValueError};

pub(super) fn read_text(text: &str) -> Result<Vec<u8>, ValueError> {
    match text.strip_prefix("\\x") {
        Some(digits) => read_hex(digits),
        None => read_escaped(text.as_bytes()),
    }
}

pub(super) fn write_text(plaintext: &[u8], forms: &TextForms, out: &mut BytesMut) {
    if forms.bytea_escape {
        for byte in plaintext {
            match byte {
                b'\\' => out.put_slice(b"\\\\"),
                b' '..=b'~' => out.put_u8(*byte),
                other => out.put_slice(format!("\\{other:03o}").as_bytes()),
            }
        }
    } else {
        out.put_slice(b"\\x");
        for byte in plaintext {
            put_hex(*byte, out);
        }
    }
}

/// Two lower-case hexadecimal digits.
pub(super) fn put_hex(byte: u8, out: &mut BytesMut) {
    for digit in [byte >> 4, byte & 0xf] {
        out.put_u8(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }
}

/// The value of a hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Blanks may stand between bytes, not within one.
fn read_hex(digits: &str) -> Result<Vec<u8>, ValueError> {
    let invalid = || ValueError::new("22023", "invalid hexadecimal digit");
    let mut out = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.bytes();
    while let Some(first) = rest.next() {
        if matches!(first, b' ' | b'\n' | b'\t' | b'\r') {
            continue;
        }
        let high = hex_digit(first).ok_or_else(invalid)?;
        let odd = || ValueError::new("22023", "invalid hexadecimal data: odd number of digits");
        let low = hex_digit(rest.next().ok_or_else(odd)?).ok_or_else(invalid)?;
        out.push(high << 4 | low);
    }
    Ok(out)
}

fn read_escaped(mut rest: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut out = Vec::with_capacity(rest.len());
    loop {
        rest = match rest {
            [] => return Ok(out),
            [b'\\', b'\\', after @ ..] => {
                out.push(b'\\');
                after
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            [b'\\', ..] => return Err(ValueError::syntax(Scalar::Bytea)),
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}
