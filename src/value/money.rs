//! `money` (PostgreSQL manual, section 8.2; `cash.c`) of the locales C and en_US: hundredths, in eight bytes.

use bytes::{BufMut, BytesMut};

use super::character::is_space;
use super::{Scalar, TextForms, ValueError, binary};

/// Cents of a dollar.
const HUNDREDTHS: i64 = 100;

fn other_locale() -> ValueError {
    ValueError {
        hint: Some("Set lc_monetary to C or en_US, or send the value in binary form."),
        ..ValueError::new("0A000", "pgveil does not know how money is written under this lc_monetary")
    }
}

pub(super) fn read_text(text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    if !forms.money_in_dollars {
        return Err(other_locale());
    }
    // Spaces, a currency symbol, spaces.
    let skip = |rest: &str| {
        let rest = rest.trim_start_matches(is_space);
        text.len() - rest.strip_prefix('$').unwrap_or(rest).trim_start_matches(is_space).len()
    };
    let from = |position: usize| text.get(position..).unwrap_or_default();
    let mut rest = from(skip(text));
    let mut negative = false;
    match rest.chars().next() {
        Some('-' | '(') => (negative, rest) = (true, rest.get(1..).unwrap_or_default()),
        Some('+') => rest = rest.get(1..).unwrap_or_default(),
        _ => {}
    }
    let rest = from(skip(rest));
    let range = || ValueError::out_of_range(Scalar::Money);
    // Counted downwards, where there is one more.
    let mut value: i64 = 0;
    let mut decimals = None;
    let mut characters = rest.char_indices();
    let mut left = "";
    for (at, next) in characters.by_ref() {
        match (next.to_digit(10), decimals) {
            (Some(digit), None | Some(0 | 1)) => {
                let added = value.checked_mul(10).and_then(|value| value.checked_sub(digit.into()));
                value = added.ok_or_else(range)?;
                decimals = decimals.map(|count| count + 1);
            }
            (None, None) if next == '.' => decimals = Some(0),
            (None, _) if next == ',' => {}
            _ => {
                left = rest.get(at..).unwrap_or_default();
                break;
            }
        }
    }
    if left.starts_with(|next: char| ('5'..='9').contains(&next)) {
        value = value.checked_sub(1).ok_or_else(range)?;
    }
    for _ in decimals.unwrap_or(0)..2 {
        value = value.checked_mul(10).ok_or_else(range)?;
    }
    let left = left.trim_start_matches(|next: char| next.is_ascii_digit());
    for next in left.chars() {
        match next {
            '-' => negative = true,
            ')' | '+' | '$' => {}
            next if is_space(next) => {}
            _ => return Err(ValueError::syntax(Scalar::Money)),
        }
    }
    let value = if negative { value } else { value.checked_neg().ok_or_else(range)? };
    Ok(value.to_be_bytes().to_vec())
}

pub(super) fn write_text(plaintext: &[u8], forms: &TextForms, out: &mut BytesMut) -> Result<(), ValueError> {
    if !forms.money_in_dollars {
        return Err(other_locale());
    }
    let value = i64::from_be_bytes(binary::fixed(plaintext).map_err(|_| ValueError::damaged(Scalar::Money))?);
    let (dollars, cents) = (value.unsigned_abs() / 100, value.unsigned_abs() % 100);
    let digits = dollars.to_string();
    out.put_slice(if value < 0 { b"-$" } else { b"$" });
    for (position, digit) in digits.bytes().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            out.put_u8(b',');
        }
        out.put_u8(digit);
    }
    out.put_slice(format!(".{cents:02}").as_bytes());
    Ok(())
}

/// Whole dollars.
pub(super) fn of_integer(value: i64) -> Result<Vec<u8>, ValueError> {
    let hundredths = value.checked_mul(HUNDREDTHS).ok_or_else(|| ValueError::new("22003", "bigint out of range"))?;
    Ok(hundredths.to_be_bytes().to_vec())
}
