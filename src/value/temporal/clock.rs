//! Times of day and fractions of seconds (`DecodeTimeCommon`, `ParseFraction` of `datetime.c`).

use super::date_error::DateError;

const SECOND: i64 = 1_000_000;

/// A time of day or a span of hours.
pub(super) struct ClockTime {
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) microsecond: i64,
}

impl ClockTime {
    /// `hh:mm`, `hh:mm:ss.fff`, `mm:ss.fff`. `minutes_first`: two fields are minutes and seconds.
    pub(super) fn parse(text: &str, minutes_first: bool) -> Result<Self, DateError> {
        let (clock, fraction) = match text.find('.') {
            Some(point) => text.split_at_checked(point).ok_or(DateError::BadFormat)?,
            None => (text, ""),
        };
        let mut pieces = clock.split(':');
        let first = pieces.next().unwrap_or_default();
        // The hours of an interval may be many.
        let hour = if first.is_empty() { 0 } else { first.parse::<i64>().map_err(|_| DateError::FieldOverflow)? };
        // The server takes nothing for zero.
        let number = |digits: &str| if digits.is_empty() { Ok(0) } else { whole(digits) };
        let minute = number(pieces.next().ok_or(DateError::BadFormat)?)?;
        let second = pieces.next().map(number).transpose()?;
        if pieces.next().is_some() {
            return Err(DateError::BadFormat);
        }
        let microsecond = if fraction.is_empty() { 0 } else { microseconds(fraction)? };
        let time = match second {
            Some(second) => Self { hour, minute, second, microsecond },
            None if minutes_first || !fraction.is_empty() => {
                if hour > i64::from(i32::MAX) {
                    return Err(DateError::FieldOverflow);
                }
                Self { hour: 0, minute: hour, second: minute, microsecond }
            }
            None => Self { hour, minute, second: 0, microsecond },
        };
        if time.minute > 59 || time.second > 60 || time.microsecond > SECOND {
            return Err(DateError::FieldOverflow);
        }
        Ok(time)
    }
}

/// Digits as a number that a C `int` holds.
pub(super) fn whole(digits: &str) -> Result<i64, DateError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DateError::BadFormat);
    }
    digits.parse::<i32>().map(i64::from).map_err(|_| DateError::FieldOverflow)
}

/// `.fff` of a second, rounded as the server does: by way of a floating-point number.
pub(super) fn microseconds(fraction: &str) -> Result<i64, DateError> {
    let value = self::fraction(fraction)?;
    // At most a million.
    Ok((value * 1e6).round_ties_even() as i64)
}

/// `.fff`, from 0 to 1.
pub(super) fn fraction(text: &str) -> Result<f64, DateError> {
    if text == "." {
        return Ok(0.0);
    }
    let digits = text.strip_prefix('.').ok_or(DateError::BadFormat)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DateError::BadFormat);
    }
    text.parse().map_err(|_| DateError::BadFormat)
}
