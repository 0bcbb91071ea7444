//! Exact decimal numbers: the text of `numeric` and floats, the binary form of `numeric`, and rounding.

use bytes::{BufMut, BytesMut};

/// A finite decimal number. No digit is lost between reading, rounding and writing.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Decimal {
    negative: bool,
    /// Values 0 to 9, the most significant first.
    digits: Vec<u8>,
    /// How many of the digits stand after the decimal point.
    scale: usize,
}

/// The step of `round`, the width of `bucket`: `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    mantissa: u64,
    scale: usize,
}

/// Which multiple of the step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The nearest; half away from zero.
    Nearest,
    /// The next lower.
    Down,
}

/// Digits of a step, so that its multiples fit 128 bits with room.
const STEP_DIGITS_MAX: usize = 15;
/// The largest exponent in the text of a float; `float8` ends at 308, and its smallest value has 324 places.
const EXPONENT_MAX: i32 = 400;
/// Digits of a `numeric`: 131072 before and 16383 after the point (PostgreSQL manual, table 8.2).
const DIGITS_MAX: usize = 131_072 + 16_383;

impl Step {
    /// From `10` or `0.5`. `None`: not a number, not above 0, or of more than 15 digits.
    pub(super) fn parse(written: &str) -> Option<Self> {
        let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
        if whole.is_empty() || written.ends_with('.') {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let digits = [whole, fraction].concat();
        if digits.len() > STEP_DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mantissa = digits.parse().ok().filter(|mantissa| *mantissa > 0)?;
        Some(Self { mantissa, scale: fraction.len() })
    }

    /// The step as an integer, if it is one.
    pub(super) fn whole(self) -> Option<i64> {
        if self.scale == 0 { i64::try_from(self.mantissa).ok() } else { None }
    }
}

impl Decimal {
    /// From text such as `-12.50` or `1.5e+20`. `None`: anything else, `NaN` and `Infinity` among it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if (whole.is_empty() && fraction.is_empty()) || unsigned.len() > DIGITS_MAX {
            return None;
        }
        let mut digits = Vec::with_capacity(unsigned.len());
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits.push(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
        }
        let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let scale = match usize::try_from(places) {
            Ok(scale) => scale,
            Err(_) => {
                digits.resize(digits.len() + usize::try_from(places.checked_neg()?).ok()?, 0);
                0
            }
        };
        let mut parsed = Self { negative, digits, scale };
        parsed.pad_to_point();
        Some(parsed)
    }

    /// From the binary form of `numeric` (`numeric_send`: count, weight, sign and display scale of 16 bits each, then
    /// digits to the base of 10000). `None`: not in that form, `NaN` or infinite.
    pub(super) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let mut halves = bytes.chunks_exact(2).map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        });
        if !bytes.len().is_multiple_of(2) {
            return None;
        }
        let count = usize::from(halves.next()?);
        let weight = i32::from(i16::from_be_bytes(halves.next()?.to_be_bytes()));
        let negative = match halves.next()? {
            0x0000 => false,
            0x4000 => true,
            _ => return None,
        };
        halves.next()?;
        let groups: Vec<u16> = halves.collect();
        if groups.len() != count || groups.iter().any(|group| *group > 9999) {
            return None;
        }
        let mut digits = Vec::with_capacity(count.checked_mul(4)?);
        for group in groups {
            for unit in [1000, 100, 10, 1] {
                digits.push(u8::try_from(group / unit % 10).ok()?);
            }
        }
        // The first group counts 10000^weight, so the last counts 10000^(weight + 1 - count).
        let after = i32::try_from(count).ok()?.checked_sub(weight)?.checked_sub(1)?.checked_mul(4)?;
        let scale = match usize::try_from(after) {
            Ok(scale) => scale,
            Err(_) => {
                digits.resize(digits.len() + usize::try_from(after.checked_neg()?).ok()?, 0);
                0
            }
        };
        if scale > 4 * 65_536 {
            return None;
        }
        let mut parsed = Self { negative, digits, scale };
        parsed.pad_to_point();
        Some(parsed)
    }

    /// Leading zeros, so that there is a digit before the point.
    fn pad_to_point(&mut self) {
        let missing = (self.scale + 1).saturating_sub(self.digits.len());
        self.digits.splice(0..0, std::iter::repeat_n(0, missing));
    }

    /// A multiple of the step, with as many places after the point as the step has.
    pub(super) fn to_multiple(&self, step: Step, direction: Direction) -> Self {
        let mut digits = self.digits.clone();
        let kept = digits.len() - self.scale + step.scale;
        let tail = if kept < digits.len() { digits.split_off(kept) } else { Vec::new() };
        digits.resize(kept, 0);

        let mantissa = u128::from(step.mantissa);
        let mut remainder: u128 = 0;
        for digit in &digits {
            remainder = (remainder * 10 + u128::from(*digit)) % mantissa;
        }
        let exact = remainder == 0 && tail.iter().all(|digit| *digit == 0);
        let tail_is_half = tail.first().is_some_and(|digit| *digit >= 5);
        let away = match direction {
            Direction::Nearest => remainder * 2 >= mantissa || (remainder * 2 + 1 == mantissa && tail_is_half),
            Direction::Down => self.negative && !exact,
        };
        subtract(&mut digits, remainder);
        if away {
            add(&mut digits, mantissa);
        }
        let negative = self.negative && digits.iter().any(|digit| *digit != 0);
        let mut result = Self { negative, digits, scale: step.scale };
        result.pad_to_point();
        result
    }

    /// With at least as many places after the point.
    pub(super) fn with_places(mut self, places: usize) -> Self {
        if let Some(more) = places.checked_sub(self.scale) {
            self.digits.extend(std::iter::repeat_n(0, more));
            self.scale = places;
        }
        self
    }

    /// As `numeric` and integers are written: `-12.50`.
    pub(super) fn write_text(&self, out: &mut BytesMut) {
        let point = self.digits.len() - self.scale;
        let zeros = self.digits.iter().take(point.saturating_sub(1)).take_while(|digit| **digit == 0).count();
        if self.negative {
            out.put_u8(b'-');
        }
        for (place, digit) in self.digits.iter().enumerate().skip(zeros) {
            if place == point {
                out.put_u8(b'.');
            }
            out.put_u8(b'0' + digit);
        }
    }

    /// As [`Decimal::write_text`], as a string.
    pub(super) fn to_text(&self) -> String {
        let mut text = BytesMut::new();
        self.write_text(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The binary form of `numeric`. `None`: more digits than a `numeric` can have; nothing is written.
    pub(super) fn write_binary(&self, out: &mut BytesMut) -> Option<()> {
        let point = self.digits.len() - self.scale;
        let lead = (4 - point % 4) % 4;
        let trail = (4 - self.scale % 4) % 4;
        let zeros = |count| std::iter::repeat_n(0_u8, count);
        let padded: Vec<u8> = zeros(lead).chain(self.digits.iter().copied()).chain(zeros(trail)).collect();
        let groups: Vec<u16> =
            padded.chunks(4).map(|group| group.iter().fold(0, |value, digit| value * 10 + u16::from(*digit))).collect();
        let skipped = groups.iter().take_while(|group| **group == 0).count();
        let end = groups.iter().rposition(|group| *group != 0).map_or(skipped, |last| last + 1);
        let significant = groups.get(skipped..end)?;

        let weight = i64::try_from((point + lead) / 4).ok()? - 1 - i64::try_from(skipped).ok()?;
        let weight = if significant.is_empty() { 0 } else { i16::try_from(weight).ok()? };
        let count = u16::try_from(significant.len()).ok()?;
        let scale = u16::try_from(self.scale).ok().filter(|scale| *scale <= 16_383)?;
        out.put_u16(count);
        out.put_i16(weight);
        out.put_u16(if self.negative && !significant.is_empty() { 0x4000 } else { 0 });
        out.put_u16(scale);
        significant.iter().for_each(|group| out.put_u16(*group));
        Some(())
    }
}

/// The places after the point that a column `numeric(precision, scale)` shows, of its type modifier (`make_numeric_typmod`:
/// the length of a header, and the scale in the 11 lower bits, with a sign). `None`: it has none.
pub(super) fn places(modifier: i32) -> Option<usize> {
    let scale = modifier.checked_sub(4).filter(|packed| *packed >= 0)? & 0x7ff;
    usize::try_from(scale).ok().filter(|scale| *scale < 1024)
}

/// Take a number off that is not larger.
fn subtract(digits: &mut [u8], amount: u128) {
    let mut left = amount;
    let mut borrow = 0;
    for digit in digits.iter_mut().rev() {
        let take = digit_of(left % 10) + borrow;
        left /= 10;
        borrow = u8::from(*digit < take);
        *digit = *digit + 10 * borrow - take;
    }
}

/// Add a number, with more digits in front if they are needed.
fn add(digits: &mut Vec<u8>, amount: u128) {
    let mut left = amount;
    for digit in digits.iter_mut().rev() {
        left += u128::from(*digit);
        *digit = digit_of(left % 10);
        left /= 10;
    }
    while left > 0 {
        digits.insert(0, digit_of(left % 10));
        left /= 10;
    }
}

fn digit_of(value: u128) -> u8 {
    u8::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn multiple(value: &str, step: &str, direction: Direction) -> String {
        Decimal::parse(value).unwrap().to_multiple(Step::parse(step).unwrap(), direction).to_text()
    }

    #[test]
    fn steps_are_positive_numbers_of_few_digits() {
        assert_eq!(Step::parse("10"), Some(Step { mantissa: 10, scale: 0 }));
        assert_eq!(Step::parse("0.50"), Some(Step { mantissa: 5, scale: 1 }));
        assert_eq!(Step::parse("2.0").and_then(Step::whole), Some(2));
        for bad in ["", "0", "0.0", "-1", "1e3", "1.", ".5", "x", "1234567890123456", "1.2.3", "+5"] {
            assert_eq!(Step::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rounding_goes_half_away_from_zero_and_buckets_go_down() {
        for (value, step, nearest, down) in [
            ("12", "10", "10", "10"),
            ("15", "10", "20", "10"),
            ("-15", "10", "-20", "-20"),
            ("-14.999", "10", "-10", "-20"),
            ("14.999", "10", "10", "10"),
            ("-4", "10", "0", "-10"),
            ("-10", "10", "-10", "-10"),
            ("7.5", "15", "15", "0"),
            ("1.25", "0.5", "1.5", "1.0"),
            ("1.24", "0.5", "1.0", "1.0"),
            ("0.004", "0.01", "0.00", "0.00"),
            ("0.005", "0.01", "0.01", "0.00"),
            ("1.5", "3", "3", "0"),
            ("1.4999999999999999999999", "3", "0", "0"),
            ("99999999999999999999999.5", "1", "100000000000000000000000", "99999999999999999999999"),
            ("1.5e+3", "1000", "2000", "1000"),
            ("1e-300", "0.1", "0.0", "0.0"),
            ("-1e-300", "0.1", "0.0", "-0.1"),
        ] {
            assert_eq!(multiple(value, step, Direction::Nearest), nearest, "{value} to {step}");
            assert_eq!(multiple(value, step, Direction::Down), down, "{value} down to {step}");
        }
    }

    #[test]
    fn binary_forms_are_those_of_postgresql() {
        // `SELECT encode(numeric_send(...), 'hex')` of PostgreSQL 15.
        for (text, hex) in [
            ("0", "0000000000000000"),
            ("1", "000100000000000000 01"),
            ("-12.50", "00020000400000 02000c1388"),
            ("10000", "00010001000000000001"),
            ("123456789.0001", "0004000200000004000109291a850001"),
            ("0.00001234", "0001fffe0000000804d2"),
        ] {
            let hex = hex.replace(' ', "");
            let mut out = BytesMut::new();
            Decimal::parse(text).unwrap().write_binary(&mut out).unwrap();
            let written: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(written, hex, "{text}");
            let step = Step::parse("0.00000001").unwrap();
            let [back, parsed] = [Decimal::from_binary(&out), Decimal::parse(text)]
                .map(|number| number.unwrap().to_multiple(step, Direction::Down).to_text());
            assert_eq!(back, parsed, "{text}");
        }
    }

    #[test]
    fn a_columns_places_are_those_of_its_type_modifier() {
        // `SELECT atttypmod` of numeric, numeric(10,2), numeric(5), numeric(1000,1000) and numeric(3,-2) of PostgreSQL 15
        for (modifier, shown) in
            [(-1, None), (655_366, Some(2)), (327_684, Some(0)), (65_537_004, Some(1000)), (198_658 + 4 - 4, None)]
        {
            assert_eq!(places(modifier), shown, "{modifier}");
        }
        for (value, shown) in [("48000", "48000.00"), ("0.5", "0.50"), ("-1.234", "-1.234"), ("0", "0.00")] {
            assert_eq!(Decimal::parse(value).unwrap().with_places(2).to_text(), shown);
        }
    }

    #[test]
    fn what_is_no_finite_number_is_none() {
        for text in ["", "NaN", "Infinity", "-", "1.2.3", "--1", "1e999", "1e", "0x10", "١"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        for bytes in
            [&[][..], &[0, 0, 0, 0, 0xc0, 0, 0, 0], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff]]
        {
            assert_eq!(Decimal::from_binary(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn multiples_are_those_of_integer_arithmetic(value in -1_000_000_000_000_i64..1_000_000_000_000, step in 1_i64..100_000) {
            let down = value.div_euclid(step) * step;
            let (size, half) = (value.abs(), step);
            let nearest = (size * 2 + half).div_euclid(step * 2) * step * value.signum();
            prop_assert_eq!(multiple(&value.to_string(), &step.to_string(), Direction::Down), down.to_string());
            prop_assert_eq!(multiple(&value.to_string(), &step.to_string(), Direction::Nearest), nearest.to_string());
        }

        #[test]
        fn binary_and_text_forms_agree(text in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?") {
            let mut out = BytesMut::new();
            let parsed = Decimal::parse(&text).unwrap();
            parsed.write_binary(&mut out).unwrap();
            let back = Decimal::from_binary(&out).unwrap();
            let step = Step::parse("0.7").unwrap();
            prop_assert_eq!(back.to_multiple(step, Direction::Nearest).to_text(), parsed.to_multiple(step, Direction::Nearest).to_text());
            prop_assert_eq!(parsed.to_text(), text);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "\\PC{0,20}") {
            let step = Step::parse("0.5").unwrap();
            for parsed in [Decimal::from_binary(&bytes), Decimal::parse(&text)].into_iter().flatten() {
                let mut out = BytesMut::new();
                parsed.to_multiple(step, Direction::Nearest).write_binary(&mut out);
                parsed.to_multiple(step, Direction::Down).write_text(&mut out);
            }
        }
    }
}
