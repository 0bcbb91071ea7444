//! `numeric` (PostgreSQL manual, section 8.1.2; `numeric.c`).

use std::cmp::Ordering;

use bytes::{BufMut, BytesMut};

use super::binary::Reader;
use super::character::is_space;
use super::{Scalar, ValueError};

/// Digits that the binary form can say after the point (`NUMERIC_DSCALE_MAX`).
const SCALE_MAX: i64 = 16_383;
/// Groups of four digits before the point (`NUMERIC_WEIGHT_MAX`).
const WEIGHT_MAX: i64 = 32_767;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const POSITIVE_INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

/// A `numeric`.
pub(super) enum Numeric {
    NotANumber,
    Infinity { negative: bool },
    Finite(Decimal),
}

/// A number as decimal digits, 0 to 9, the highest first.
pub(super) struct Decimal {
    pub(super) negative: bool,
    digits: Vec<u8>,
    /// How many of the digits stand before the point; negative: zeros after the point before the first digit.
    point: i64,
    /// How many digits are shown after the point.
    pub(super) scale: i64,
}

/// The binary form of what `numeric` takes as text.
pub(super) fn read_text(text: &str) -> Result<Vec<u8>, ValueError> {
    Numeric::parse(text, Scalar::Numeric)?.encode()
}

/// A binary form in its canonical spelling: no group of zeros at either end, no digits beyond the scale.
pub(super) fn from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    Numeric::decode(bytes)?.encode()
}

/// Round to the column's scale, refuse what is beyond its precision.
pub(super) fn fit(modifier: i32, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let precision = i64::from(((modifier - 4) >> 16) & 0xffff);
    // The scale is a number of eleven bits with a sign.
    let scale = i64::from((((modifier - 4) & 0x7ff) ^ 0x400) - 0x400);
    let overflow = || ValueError::new("22003", "numeric field overflow");
    match Numeric::decode(plaintext)? {
        Numeric::Infinity { .. } => Err(overflow()),
        Numeric::NotANumber => Numeric::NotANumber.encode(),
        Numeric::Finite(mut decimal) => {
            decimal.round(scale);
            if decimal.integer_digits().is_some_and(|digits| digits > precision - scale) {
                return Err(overflow());
            }
            Numeric::Finite(decimal).encode()
        }
    }
}

/// A number that the column's are compared with: in the column's scale where it has the same value there, else as it is.
pub(super) fn as_compared(modifier: i32, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let Ok(fitted) = fit(modifier, plaintext) else { return Ok(plaintext.to_vec()) };
    // Zeros at the end make no other groups: but for the scale's two bytes the forms of equal numbers are the same.
    let without_scale = |bytes: &[u8]| (bytes.get(..6).map(<[u8]>::to_vec), bytes.get(8..).map(<[u8]>::to_vec));
    Ok(if without_scale(&fitted) == without_scale(plaintext) { fitted } else { plaintext.to_vec() })
}

pub(super) fn write_text(plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let number = Numeric::decode(plaintext).map_err(|_| ValueError::damaged(Scalar::Numeric))?;
    out.put_slice(number.text().as_bytes());
    Ok(())
}

impl Numeric {
    /// What `numeric_in` takes: digits with sign, point, exponent; `NaN`, `Infinity`, `inf`; spaces around.
    pub(super) fn parse(text: &str, scalar: Scalar) -> Result<Self, ValueError> {
        let text = text.trim_matches(is_space);
        match text.to_ascii_lowercase().as_str() {
            "nan" => return Ok(Self::NotANumber),
            "infinity" | "+infinity" | "inf" | "+inf" => return Ok(Self::Infinity { negative: false }),
            "-infinity" | "-inf" => return Ok(Self::Infinity { negative: true }),
            _ => {}
        }
        Decimal::parse(text, scalar).map(Self::Finite)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let external = |what: &str| ValueError::new("22P03", format!("invalid {what} in external \"numeric\" value"));
        let mut reader = Reader::new(bytes);
        let count = reader.u16()?;
        let weight = i64::from(reader.i16()?);
        let sign = reader.u16()?;
        let scale = i64::from(reader.u16()?);
        let mut digits = Vec::with_capacity(usize::from(count) * 4);
        if scale > SCALE_MAX {
            return Err(external("scale"));
        }
        for _ in 0..count {
            let group = reader.i16()?;
            let group = u16::try_from(group).ok().filter(|group| *group < 10_000).ok_or_else(|| external("digit"))?;
            for unit in [1000, 100, 10, 1] {
                digits.push(u8::try_from(group / unit % 10).unwrap_or(0));
            }
        }
        reader.end()?;
        let negative = match sign {
            POSITIVE => false,
            NEGATIVE => true,
            NAN => return Ok(Self::NotANumber),
            POSITIVE_INFINITY => return Ok(Self::Infinity { negative: false }),
            NEGATIVE_INFINITY => return Ok(Self::Infinity { negative: true }),
            _ => return Err(external("sign")),
        };
        let mut decimal = Decimal { negative, digits, point: (weight + 1) * 4, scale };
        decimal.cut(scale);
        Ok(Self::Finite(decimal))
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let special = |sign: u16, scale: u16| {
            [0, 0, sign, scale].iter().flat_map(|word: &u16| word.to_be_bytes()).collect::<Vec<u8>>()
        };
        match self {
            Self::NotANumber => Ok(special(NAN, 0)),
            // The sign's bits beyond the two that say "special" show through in what the server sends as scale.
            Self::Infinity { negative: false } => Ok(special(POSITIVE_INFINITY, 0x20)),
            Self::Infinity { negative: true } => Ok(special(NEGATIVE_INFINITY, 0x20)),
            Self::Finite(decimal) => decimal.encode(),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::NotANumber => "NaN".to_owned(),
            Self::Infinity { negative: false } => "Infinity".to_owned(),
            Self::Infinity { negative: true } => "-Infinity".to_owned(),
            Self::Finite(decimal) => decimal.text(),
        }
    }
}

impl Numeric {
    /// As PostgreSQL orders them: NaN is equal to itself and above all others.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let rank = |number: &Self| match number {
            Self::Infinity { negative: true } => 0,
            Self::Finite(_) => 1,
            Self::Infinity { negative: false } => 2,
            Self::NotANumber => 3,
        };
        match (self, other) {
            (Self::Finite(left), Self::Finite(right)) => left.compare(right),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl Decimal {
    fn compare(&self, other: &Self) -> Ordering {
        let sign = |decimal: &Self| match (decimal.is_zero(), decimal.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitude = || {
            let digits = |decimal: &Self| -> Vec<u8> {
                let end = decimal.digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
                decimal.digits.iter().take(end).skip_while(|digit| **digit == 0).copied().collect()
            };
            let by_size = self.integer_digits().cmp(&other.integer_digits());
            by_size.then_with(|| digits(self).cmp(&digits(other)))
        };
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            -1 => magnitude().reverse(),
            _ => magnitude(),
        })
    }

    /// Digits with sign, point and exponent. `scalar` is what the error names.
    pub(super) fn parse(text: &str, scalar: Scalar) -> Result<Self, ValueError> {
        let invalid = || ValueError::syntax(scalar);
        let overflow = || ValueError::new("22003", "value overflows numeric format");
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte.wrapping_sub(b'0')).collect();
        if digits.is_empty() || digits.iter().any(|digit| *digit > 9) {
            return Err(invalid());
        }
        let exponent = match exponent {
            None => 0,
            Some(exponent) => {
                let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(invalid());
                }
                let exponent = exponent.parse::<i64>().map_err(|_| overflow())?;
                if exponent.abs() >= i64::from(i32::MAX / 2) {
                    return Err(overflow());
                }
                exponent
            }
        };
        let length = |part: &str| i64::try_from(part.len()).unwrap_or(i64::MAX / 4);
        let (point, scale) = (length(whole) + exponent, (length(fraction) - exponent).max(0));
        Ok(Self { negative, digits, point, scale })
    }

    /// An integer.
    pub(super) fn integer(value: i64) -> Self {
        let digits: Vec<u8> = value.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        let point = i64::try_from(digits.len()).unwrap_or(0);
        Self { negative: value < 0, digits, point, scale: 0 }
    }

    /// The value in units of ten to the minus `scale`, for numbers of few digits.
    pub(super) fn scaled(value: i64, scale: u8) -> Self {
        let mut decimal = Self::integer(value);
        decimal.point -= i64::from(scale);
        decimal.scale = i64::from(scale);
        decimal
    }

    /// Round half away from zero to so many digits after the point; a negative number: before it.
    pub(super) fn round(&mut self, scale: i64) {
        let kept = self.point + scale;
        let up = usize::try_from(kept).is_ok_and(|kept| self.digits.get(kept).is_some_and(|digit| *digit >= 5));
        self.cut(scale);
        if !up {
            return;
        }
        for digit in self.digits.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                return;
            }
            *digit = 0;
        }
        self.digits.insert(0, 1);
        self.point += 1;
    }

    /// Take away what stands behind so many digits after the point.
    fn cut(&mut self, scale: i64) {
        let kept = usize::try_from((self.point + scale).max(0)).unwrap_or(usize::MAX);
        self.digits.truncate(kept);
        self.scale = scale.max(0);
    }

    /// How many digits stand before the point, or zeros, as a negative number, between it and the first other digit.
    /// `None`: it is zero.
    fn integer_digits(&self) -> Option<i64> {
        let zeros = self.digits.iter().position(|digit| *digit != 0)?;
        Some(self.point - i64::try_from(zeros).unwrap_or(i64::MAX / 4))
    }

    /// Whether all digits behind the point are zeros.
    pub(super) fn is_whole(&self) -> bool {
        let whole = usize::try_from(self.point).unwrap_or(0);
        self.digits.iter().skip(whole).all(|digit| *digit == 0)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.iter().all(|digit| *digit == 0)
    }

    /// As an integer, rounded half away from zero. `None`: it does not fit.
    pub(super) fn to_i64(&self) -> Option<i64> {
        let mut rounded = Self { digits: self.digits.clone(), ..*self };
        rounded.round(0);
        match rounded.integer_digits() {
            None => Some(0),
            Some(digits) if digits > 19 => None,
            Some(_) => rounded.text().parse().ok(),
        }
    }

    /// In units of ten to the minus `scale`, rounded half away from zero. `None`: it does not fit.
    pub(super) fn to_scaled(&self, scale: u8) -> Option<i64> {
        Self { digits: self.digits.clone(), point: self.point + i64::from(scale), ..*self }.to_i64()
    }

    fn encode(&self) -> Result<Vec<u8>, ValueError> {
        let overflow = || ValueError::new("22003", "value overflows numeric format");
        let scale =
            u16::try_from(self.scale).ok().filter(|scale| i64::from(*scale) <= SCALE_MAX).ok_or_else(overflow)?;
        let first = self.digits.iter().position(|digit| *digit != 0);
        let last = self.digits.iter().rposition(|digit| *digit != 0);
        let mut out = Vec::with_capacity(8 + self.digits.len() / 2);
        let (Some(first), Some(last)) = (first, last) else {
            for word in [0, 0, POSITIVE, scale] {
                out.extend(word.to_be_bytes());
            }
            return Ok(out);
        };
        let point = self.point - i64::try_from(first).map_err(|_| overflow())?;
        // Groups of four are counted from the point.
        let weight = (point - 1).div_euclid(4);
        let padding = usize::try_from((weight + 1) * 4 - point).map_err(|_| overflow())?;
        if weight > WEIGHT_MAX {
            return Err(overflow());
        }
        let weight = i16::try_from(weight).map_err(|_| overflow())?;
        let digits = self.digits.get(first..=last).unwrap_or_default();
        let padded: Vec<u8> = std::iter::repeat_n(0, padding).chain(digits.iter().copied()).collect();
        let groups = padded.chunks(4).map(|chunk| {
            let mut digits = chunk.iter().copied().chain(std::iter::repeat(0));
            (0..4).fold(0_u16, |group, _| group * 10 + u16::from(digits.next().unwrap_or(0)))
        });
        let groups: Vec<u16> = groups.collect();
        out.extend(u16::try_from(groups.len()).map_err(|_| overflow())?.to_be_bytes());
        out.extend(weight.to_be_bytes());
        out.extend((if self.negative { NEGATIVE } else { POSITIVE }).to_be_bytes());
        out.extend(scale.to_be_bytes());
        for group in groups {
            out.extend(group.to_be_bytes());
        }
        Ok(out)
    }

    /// As `numeric_out` writes it: all digits, no exponent.
    pub(super) fn text(&self) -> String {
        let digit = |position: i64| {
            let digit = usize::try_from(position).ok().and_then(|position| self.digits.get(position));
            char::from(b'0' + digit.copied().unwrap_or(0))
        };
        let mut out = String::new();
        if self.negative && !self.is_zero() {
            out.push('-');
        }
        let zeros = self.point - self.integer_digits().unwrap_or(0).max(0);
        if zeros >= self.point {
            out.push('0');
        }
        out.extend((zeros..self.point).map(digit));
        if self.scale > 0 {
            out.push('.');
            out.extend((self.point..self.point + self.scale).map(digit));
        }
        out
    }
}
