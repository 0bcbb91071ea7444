//! `real` and `double precision` (PostgreSQL manual, section 8.1.3; `float.c`, `d2s.c`, `f2s.c`).

use bytes::{BufMut, BytesMut};

use super::character::is_space;
use super::{Scalar, TextForms, ValueError, binary};

/// The number as big-endian bytes of the type's width.
pub(super) fn read_text(scalar: Scalar, text: &str) -> Result<Vec<u8>, ValueError> {
    let text = text.trim_matches(is_space);
    match scalar {
        Scalar::Float4 => parse_single(text).map(|value| value.to_be_bytes().to_vec()),
        _ => parse_double(text, scalar).map(|value| value.to_be_bytes().to_vec()),
    }
}

pub(super) fn write_text(
    scalar: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let damaged = |_| ValueError::damaged(scalar);
    let text = match scalar {
        Scalar::Float4 => single_text(f32::from_be_bytes(binary::fixed(plaintext).map_err(damaged)?), forms),
        _ => double_text(f64::from_be_bytes(binary::fixed(plaintext).map_err(damaged)?), forms),
    };
    out.put_slice(text.as_bytes());
    Ok(())
}

/// What `strtod` takes, but for hexadecimal digits and `NaN` with a payload. The text has no spaces around it.
pub(super) fn parse_double(text: &str, scalar: Scalar) -> Result<f64, ValueError> {
    let value = parse_number::<f64>(text, scalar)?;
    let lost = (value.is_infinite() && !is_word(text)) || (value == 0.0 && has_digit(text));
    if lost { Err(ValueError::out_of_range(Scalar::Float8)) } else { Ok(value) }
}

fn parse_single(text: &str) -> Result<f32, ValueError> {
    let value = parse_number::<f32>(text, Scalar::Float4)?;
    let lost = (value.is_infinite() && !is_word(text)) || (value == 0.0 && has_digit(text));
    if lost { Err(ValueError::out_of_range(Scalar::Float4)) } else { Ok(value) }
}

/// Rust takes the same numbers and words as C does in decimal.
fn parse_number<T: std::str::FromStr>(text: &str, scalar: Scalar) -> Result<T, ValueError> {
    text.parse().map_err(|_| {
        let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
        if unsigned.starts_with("0x") || unsigned.starts_with("nan(") {
            return ValueError::new("0A000", "pgveil does not read hexadecimal numbers and NaN with a payload");
        }
        ValueError::syntax(scalar)
    })
}

/// Whether it is one of `inf`, `infinity`, `nan`.
fn is_word(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).starts_with(|first: char| first.is_ascii_alphabetic())
}

/// Whether the mantissa has a digit other than zero.
fn has_digit(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    mantissa.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0')
}

/// As `float8out` writes it.
pub(super) fn double_text(value: f64, forms: &TextForms) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    if forms.extra_float_digits <= 0 {
        return general(value, 15 + forms.extra_float_digits);
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let shortest = format!("{value:e}");
    let bits = value.abs().to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) as i32);
    let binary = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let digits = inside(&shortest, binary, 17, |digits| {
        let text = format!("{value:.digits$e}");
        (text.parse::<f64>() == Ok(value)).then_some(text)
    });
    positional(&digits, 15)
}

fn single_text(value: f32, forms: &TextForms) -> String {
    if let Some(word) = special(value.into()) {
        return word.to_owned();
    }
    if forms.extra_float_digits <= 0 {
        return general(value.into(), 6 + forms.extra_float_digits);
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let shortest = format!("{value:e}");
    let bits = value.abs().to_bits();
    let (fraction, exponent) = (bits & ((1 << 23) - 1), (bits >> 23) as i32);
    let binary = if exponent == 0 { (fraction, -149) } else { (fraction | 1 << 23, exponent - 150) };
    let digits = inside(&shortest, (binary.0.into(), binary.1), 9, |digits| {
        let text = format!("{value:.digits$e}");
        (text.parse::<f32>() == Ok(value)).then_some(text)
    });
    positional(&digits, 6)
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("Infinity")
    } else if value == f64::NEG_INFINITY {
        Some("-Infinity")
    } else {
        None
    }
}

/// The shortest digits that lie between the number's neighbours' halves, and not on one; of two that are as near, the even
/// ones.
///
/// Rust's shortest form may lie just in the middle between two numbers, since reading rounds to the even one; PostgreSQL
/// writes one digit more then, for readers that round otherwise. `binary` is mantissa and exponent, `again` writes with so
/// many digits after the point, rounded half to even, if that reads as the same number.
fn inside(
    shortest: &str,
    (mantissa, exponent): (u64, i32),
    digits_max: usize,
    again: impl Fn(usize) -> Option<String>,
) -> String {
    let length = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let between = |text: &String| !is_halfway(text, mantissa, exponent);
    match again(length - 1).filter(between) {
        Some(nearest) => return nearest,
        // Below a power of two the nearest digits may belong to its neighbour.
        None if between(&shortest.to_owned()) => return shortest.to_owned(),
        None => {}
    }
    (length..digits_max).find_map(|digits| again(digits).filter(between)).unwrap_or_else(|| shortest.to_owned())
}

/// Whether a decimal is just in the middle between `mantissa * 2^exponent` and the next number of the type.
fn is_halfway(decimal: &str, mantissa: u64, exponent: i32) -> bool {
    let Some((digits, power)) = decimal.trim_start_matches('-').split_once('e') else { return false };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (Ok(digits), Ok(power)) = (format!("{whole}{fraction}").parse::<u128>(), power.parse::<i32>()) else {
        return false;
    };
    let power = power - i32::try_from(fraction.len()).unwrap_or(0);
    // digits * 5^power * 2^power = middle * 2^(exponent - 1); both odd parts and both powers of two have to be equal.
    let mantissa = u128::from(mantissa);
    // Below a power of two the numbers lie twice as dense, but for the smallest ones.
    let below = match mantissa.is_power_of_two() && !matches!(exponent, -1074 | -149) {
        true => (4 * mantissa - 1, exponent - 2),
        false => (2 * mantissa - 1, exponent - 1),
    };
    [(2 * mantissa + 1, exponent - 1), below].into_iter().any(|(middle, exponent)| {
        let fives = 5_u128.checked_pow(power.unsigned_abs());
        let (left, right) = match fives {
            Some(fives) if power >= 0 => (digits.checked_mul(fives), Some(middle)),
            Some(fives) => (Some(digits), middle.checked_mul(fives)),
            None => return false,
        };
        let (Some(left), Some(right)) = (left, right) else { return false };
        let (left_twos, right_twos) = (left.trailing_zeros(), right.trailing_zeros());
        let twos = |count: u32| i32::try_from(count).unwrap_or(0);
        left >> left_twos == right >> right_twos && twos(left_twos) + power == twos(right_twos) + exponent
    })
}

/// Digits in scientific form, as Rust writes them, in PostgreSQL's: positional from `1e-4` to below ten to the power of
/// `exponent_max`, else with an exponent of at least two digits.
fn positional(scientific: &str, exponent_max: i32) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_owned() };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        kept => kept,
    };
    if !(-4..exponent_max).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{exponent_sign}{:02}", exponent.unsigned_abs());
    }
    let Ok(whole) = usize::try_from(exponent + 1) else {
        let zeros = usize::try_from(-1 - exponent).unwrap_or(0);
        return format!("{sign}0.{}{digits}", "0".repeat(zeros));
    };
    match digits.split_at_checked(whole) {
        Some((all, "")) => format!("{sign}{all}"),
        Some(("", fraction)) => format!("{sign}0.{fraction}"),
        Some((integer, fraction)) => format!("{sign}{integer}.{fraction}"),
        None => format!("{sign}{digits}{}", "0".repeat(whole - digits.len())),
    }
}

/// C's `%.*g`.
pub(super) fn general(value: f64, digits: i32) -> String {
    let digits = digits.max(1);
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let after = usize::try_from(digits - 1).unwrap_or(0);
    positional(&format!("{value:.after$e}"), digits)
}
