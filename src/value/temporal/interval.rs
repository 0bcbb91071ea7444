//! `interval`: months, days and microseconds (PostgreSQL manual, section 8.5.4; `DecodeInterval` and `DecodeISO8601Interval` of
//! `datetime.c`).

use super::super::binary::Reader;
use super::super::forms::IntervalStyle;
use super::super::{Scalar, TextForms, ValueError};
use super::clock::{ClockTime, fraction, whole};
use super::date_error::DateError;
use super::fields::{self, Field, FieldKind};
use super::words::WORD_BYTES_MAX;
use super::{SECOND, round};

pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const INTERVAL_BYTES_MAX: usize = 256;
const ALL_FIELDS: i32 = 0x7fff;
const ANY_PRECISION: i32 = 0xffff;

/// The bits of fields in the modifier (`INTERVAL_MASK`).
mod bit {
    pub(super) const MONTH: i32 = 1 << 1;
    pub(super) const YEAR: i32 = 1 << 2;
    pub(super) const DAY: i32 = 1 << 3;
    pub(super) const HOUR: i32 = 1 << 10;
    pub(super) const MINUTE: i32 = 1 << 11;
    pub(super) const SECOND: i32 = 1 << 12;
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
    /// A word that counts nothing here, as `quarter` and `ago` without a unit before it.
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) microseconds: i64,
    pub(super) days: i32,
    pub(super) months: i32,
}

/// An interval while its text is read: years are apart.
#[derive(Default)]
struct Sum {
    microseconds: i64,
    days: i32,
    months: i32,
    years: i32,
}

/// Microseconds (8 bytes), days (4), months (4). `modifier` says what a number without a unit counts.
pub(in crate::value) fn read_interval(modifier: i32, text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let fields = if modifier < 0 { ALL_FIELDS } else { modifier >> 16 & ALL_FIELDS };
    let parsed = fields::split(text, INTERVAL_BYTES_MAX).and_then(|parts| decode(&parts, fields, forms));
    let sum = match parsed {
        Err(DateError::BadFormat) => decode_iso(text),
        other => other,
    };
    let sum = sum.map_err(|error| error.of(Scalar::Interval))?;
    let months = i64::from(sum.years) * 12 + i64::from(sum.months);
    let months = i32::try_from(months).map_err(|_| ValueError::new("22008", "interval out of range"))?;
    Ok(Interval { microseconds: sum.microseconds, days: sum.days, months }.encode())
}

pub(in crate::value) fn interval_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    Interval::decode(bytes).map(Interval::encode)
}

/// A time of day as an interval.
pub(in crate::value) fn interval_of_time(plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let microseconds = Reader::new(plaintext).i64()?;
    Ok(Interval { microseconds, days: 0, months: 0 }.encode())
}

/// Drop what is smaller than the column's last field, and round the seconds.
pub(in crate::value) fn fit_interval(modifier: i32, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut interval = Interval::decode(plaintext)?;
    let fields = modifier >> 16 & ALL_FIELDS;
    if fields != ALL_FIELDS {
        let has = |field: i32| fields & field != 0;
        let time_unit = if has(bit::SECOND) {
            Some(1)
        } else if has(bit::MINUTE) {
            Some(MINUTE)
        } else if has(bit::HOUR) {
            Some(HOUR)
        } else {
            None
        };
        match time_unit {
            Some(unit) => interval.microseconds = interval.microseconds / unit * unit,
            None => {
                interval.microseconds = 0;
                if !has(bit::DAY) {
                    interval.days = 0;
                    if !has(bit::MONTH) {
                        interval.months = interval.months / 12 * 12;
                    }
                }
            }
        }
    }
    let precision = modifier & 0xffff;
    if precision != ANY_PRECISION {
        // The server's sum wraps around here.
        let rounded = round(interval.microseconds, precision);
        interval.microseconds = rounded.ok_or_else(|| ValueError::new("22008", "interval out of range"))?;
    }
    Ok(interval.encode())
}

impl Interval {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader::new(bytes);
        let interval = Self { microseconds: reader.i64()?, days: reader.i32()?, months: reader.i32()? };
        reader.end()?;
        Ok(interval)
    }

    fn encode(self) -> Vec<u8> {
        let mut out = self.microseconds.to_be_bytes().to_vec();
        out.extend(self.days.to_be_bytes());
        out.extend(self.months.to_be_bytes());
        out
    }
}

/// What a unit's word means.
enum UnitWord {
    Unit(Unit),
    Ago,
}

/// `deltatktbl`
fn unit_word(text: &str) -> Option<UnitWord> {
    let word = text.get(..WORD_BYTES_MAX.min(text.len())).unwrap_or(text);
    Some(UnitWord::Unit(match word {
        "ago" => return Some(UnitWord::Ago),
        "c" | "cent" | "centuries" | "century" => Unit::Century,
        "d" | "day" | "days" => Unit::Day,
        "dec" | "decade" | "decades" | "decs" => Unit::Decade,
        "h" | "hour" | "hours" | "hr" | "hrs" => Unit::Hour,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "microsecon" | "us" | "usec" | "useconds" | "usecs" => Unit::Microsecond,
        "mil" | "millennia" | "millennium" | "mils" => Unit::Millennium,
        "millisecon" | "ms" | "msec" | "mseconds" | "msecs" => Unit::Millisecond,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "s" | "sec" | "second" | "seconds" | "secs" => Unit::Second,
        "w" | "week" | "weeks" => Unit::Week,
        "y" | "year" | "years" | "yr" | "yrs" => Unit::Year,
        "qtr" | "quarter" | "timezone" | "timezone_h" | "timezone_m" => Unit::Other,
        _ => return None,
    }))
}

/// Read from the end, for units stand behind their numbers.
fn decode(fields: &[Field], range: i32, forms: &TextForms) -> Result<Sum, DateError> {
    let signed = |field: &Field| field.text.starts_with(['-', '+']);
    // SQL's `-1 1:00:00` is all negative, unless another field has a sign.
    let negative = forms.interval_style == IntervalStyle::SqlStandard
        && fields.first().is_some_and(|first| first.text.starts_with('-'))
        && !fields.iter().skip(1).any(signed);
    let mut sum = Sum::default();
    let mut unit: Option<Unit> = None;
    let mut seen: u32 = 0;
    let mut ago = false;
    for field in fields.iter().rev() {
        let parts = match field.kind {
            FieldKind::Time => {
                sum.microseconds = clock(&field.text, range)?;
                if negative {
                    sum.microseconds = -sum.microseconds.abs();
                }
                unit = Some(Unit::Day);
                CLOCK
            }
            FieldKind::Zone if field.text.contains(':') && clock(unsigned(&field.text), range).is_ok() => {
                sum.microseconds = clock(unsigned(&field.text), range)?;
                if negative || field.text.starts_with('-') {
                    sum.microseconds = -sum.microseconds.abs();
                }
                unit = Some(Unit::Day);
                CLOCK
            }
            FieldKind::Zone | FieldKind::Date | FieldKind::Number => {
                let counted = unit.unwrap_or_else(|| rightmost(range));
                let number = SignedNumber::parse(&field.text, negative)?;
                let counted = if number.in_months { Unit::Month } else { counted };
                unit = Some(if counted == Unit::Hour { Unit::Day } else { counted });
                sum.add(number.whole, number.fraction, counted)?;
                match counted {
                    // With a fraction the smaller units are said, too.
                    Unit::Second if number.fraction != 0.0 => {
                        mask(Unit::Second) | mask(Unit::Millisecond) | mask(Unit::Microsecond)
                    }
                    other => mask(other),
                }
            }
            FieldKind::Text | FieldKind::Special => {
                match unit_word(&field.text).ok_or(DateError::BadFormat)? {
                    UnitWord::Unit(word) => unit = Some(word),
                    UnitWord::Ago => {
                        ago = true;
                        unit = Some(Unit::Other);
                    }
                }
                0
            }
        };
        if seen & parts != 0 {
            return Err(DateError::BadFormat);
        }
        seen |= parts;
    }
    if seen == 0 {
        return Err(DateError::BadFormat);
    }
    if ago { sum.negated() } else { Ok(sum) }
}

const fn mask(unit: Unit) -> u32 {
    1 << unit as u32
}

/// What `hh:mm:ss` says.
const CLOCK: u32 =
    mask(Unit::Hour) | mask(Unit::Minute) | mask(Unit::Second) | mask(Unit::Millisecond) | mask(Unit::Microsecond);

fn unsigned(text: &str) -> &str {
    text.get(1..).unwrap_or_default()
}

/// What a number without a unit counts: the column's last field.
fn rightmost(range: i32) -> Unit {
    const YEAR_TO_MONTH: i32 = bit::YEAR | bit::MONTH;
    const DAY_TO_HOUR: i32 = bit::DAY | bit::HOUR;
    const HOUR_TO_MINUTE: i32 = bit::HOUR | bit::MINUTE;
    const DAY_TO_MINUTE: i32 = bit::DAY | bit::HOUR | bit::MINUTE;
    match range {
        bit::YEAR => Unit::Year,
        bit::MONTH | YEAR_TO_MONTH => Unit::Month,
        bit::DAY => Unit::Day,
        bit::HOUR | DAY_TO_HOUR => Unit::Hour,
        bit::MINUTE | HOUR_TO_MINUTE | DAY_TO_MINUTE => Unit::Minute,
        _ => Unit::Second,
    }
}

/// `hh:mm:ss` in microseconds.
fn clock(text: &str, range: i32) -> Result<i64, DateError> {
    let time = ClockTime::parse(text, range == bit::MINUTE | bit::SECOND)?;
    let small = time.minute * MINUTE + time.second * SECOND + time.microsecond;
    time.hour.checked_mul(HOUR).and_then(|hours| hours.checked_add(small)).ok_or(DateError::FieldOverflow)
}

/// `-12`, `1.5`, `1-2` (years and months).
struct SignedNumber {
    whole: i64,
    fraction: f64,
    in_months: bool,
}

impl SignedNumber {
    fn parse(text: &str, force_negative: bool) -> Result<Self, DateError> {
        let minus = text.starts_with('-');
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let end = digits.find(|next: char| !next.is_ascii_digit()).unwrap_or(digits.len());
        let (head, rest) = digits.split_at_checked(end).ok_or(DateError::BadFormat)?;
        let head = if head.is_empty() { "0" } else { head };
        let signed = if minus { format!("-{head}") } else { head.to_owned() };
        let mut number =
            Self { whole: signed.parse().map_err(|_| DateError::FieldOverflow)?, fraction: 0.0, in_months: false };
        if let Some(months) = rest.strip_prefix('-') {
            if months.starts_with('-') {
                return Err(DateError::FieldOverflow);
            }
            let months = whole(if months.is_empty() { "0" } else { months })?;
            if months >= 12 {
                return Err(DateError::FieldOverflow);
            }
            let months = if minus { -months } else { months };
            let total = number.whole.checked_mul(12).and_then(|years| years.checked_add(months));
            number.whole = total.ok_or(DateError::FieldOverflow)?;
            number.in_months = true;
        } else if rest.starts_with('.') {
            number.fraction = if minus { -fraction(rest)? } else { fraction(rest)? };
        } else if !rest.is_empty() {
            return Err(DateError::BadFormat);
        }
        if force_negative {
            number.whole = number.whole.checked_abs().map_or(number.whole, |whole| -whole);
            number.fraction = -number.fraction.abs();
        }
        Ok(number)
    }
}

impl Sum {
    /// Add a number of units; a fraction goes into smaller units.
    fn add(&mut self, whole: i64, fraction: f64, unit: Unit) -> Result<(), DateError> {
        let added = match unit {
            Unit::Microsecond => self.add_time(whole, fraction, 1),
            Unit::Millisecond => self.add_time(whole, fraction, 1000),
            Unit::Second => self.add_time(whole, fraction, SECOND),
            Unit::Minute => self.add_time(whole, fraction, MINUTE),
            Unit::Hour => self.add_time(whole, fraction, HOUR),
            Unit::Day => self.add_days(whole, 1).and_then(|()| self.add_fraction(fraction, DAY)),
            Unit::Week => self.add_days(whole, 7).and_then(|()| self.add_fraction_of_days(fraction, 7)),
            Unit::Month => {
                let months = i32::try_from(whole).ok().and_then(|months| self.months.checked_add(months));
                months.and_then(|months| {
                    self.months = months;
                    self.add_fraction_of_days(fraction, 30)
                })
            }
            Unit::Year => self.add_years(whole, fraction, 1),
            Unit::Decade => self.add_years(whole, fraction, 10),
            Unit::Century => self.add_years(whole, fraction, 100),
            Unit::Millennium => self.add_years(whole, fraction, 1000),
            Unit::Other => return Err(DateError::BadFormat),
        };
        added.ok_or(DateError::FieldOverflow)
    }

    fn add_time(&mut self, whole: i64, fraction: f64, unit: i64) -> Option<()> {
        self.microseconds = self.microseconds.checked_add(whole.checked_mul(unit)?)?;
        self.add_fraction(fraction, unit)
    }

    /// A fraction below one, of a unit of so many microseconds.
    fn add_fraction(&mut self, fraction: f64, unit: i64) -> Option<()> {
        let exact = fraction * unit as f64;
        // Less than a day, so it fits.
        let mut microseconds = exact as i64;
        let rest = exact - microseconds as f64;
        if rest > 0.5 {
            microseconds += 1;
        } else if rest < -0.5 {
            microseconds -= 1;
        }
        self.microseconds = self.microseconds.checked_add(microseconds)?;
        Some(())
    }

    fn add_days(&mut self, whole: i64, unit: i32) -> Option<()> {
        self.days = self.days.checked_add(i32::try_from(whole).ok()?.checked_mul(unit)?)?;
        Some(())
    }

    fn add_fraction_of_days(&mut self, fraction: f64, unit: i32) -> Option<()> {
        let exact = fraction * f64::from(unit);
        // Below 31.
        let days = exact as i32;
        self.days = self.days.checked_add(days)?;
        self.add_fraction(exact - f64::from(days), DAY)
    }

    fn add_years(&mut self, whole: i64, fraction: f64, unit: i32) -> Option<()> {
        self.years = self.years.checked_add(i32::try_from(whole).ok()?.checked_mul(unit)?)?;
        // At most 12,000.
        let months = (fraction * f64::from(unit) * 12.0).round_ties_even() as i32;
        self.months = self.months.checked_add(months)?;
        Some(())
    }

    fn negated(self) -> Result<Self, DateError> {
        let negated = || {
            Some(Self {
                microseconds: self.microseconds.checked_neg()?,
                days: self.days.checked_neg()?,
                months: self.months.checked_neg()?,
                years: self.years.checked_neg()?,
            })
        };
        negated().ok_or(DateError::FieldOverflow)
    }
}

/// A number of ISO 8601 with its width before the point, and what follows it.
struct IsoNumber<'a> {
    whole: i64,
    fraction: f64,
    width: usize,
    rest: &'a str,
}

/// What `strtod` reads, without words and hexadecimal digits; at most 10^15.
fn iso_number(text: &str) -> Result<IsoNumber<'_>, DateError> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let at = |end: usize| text.get(end..).unwrap_or_default();
    let sign = usize::from(text.starts_with('-'));
    let width = digits(at(sign));
    let mut end = sign + width;
    if at(end).starts_with('.') {
        end += 1 + digits(at(end + 1));
    }
    if at(end).starts_with(['e', 'E']) {
        let exponent = 1 + usize::from(at(end + 1).starts_with(['-', '+']));
        let exponent_digits = digits(at(end + exponent));
        if exponent_digits > 0 {
            end += exponent + exponent_digits;
        }
    }
    let number = text.get(..end).unwrap_or_default();
    let value: f64 = number.parse().map_err(|_| DateError::BadFormat)?;
    if value.is_infinite() || (value == 0.0 && number.bytes().any(|byte| matches!(byte, b'1'..=b'9'))) {
        // Where `strtod` reports an overflow or underflow.
        return Err(DateError::BadFormat);
    }
    if value.abs() > 1e15 {
        return Err(DateError::FieldOverflow);
    }
    let whole = value.trunc() as i64;
    Ok(IsoNumber { whole, fraction: value - whole as f64, width, rest: at(end) })
}

/// `P1Y2M3DT4H5M6S`, `P0001-02-03T04:05:06`, `P00010203T040506`
fn decode_iso(text: &str) -> Result<Sum, DateError> {
    let mut sum = Sum::default();
    let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(DateError::BadFormat)?;
    let (mut in_date, mut has_field) = (true, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            (in_date, has_field, rest) = (false, false, after);
            continue;
        }
        let number = iso_number(rest)?;
        let (value, fraction) = (number.whole, number.fraction);
        let unit = number.rest.chars().next();
        let after = unit.map_or("", |unit| number.rest.get(unit.len_utf8()..).unwrap_or_default());
        let counted = match (in_date, unit) {
            (true, Some('Y')) => Unit::Year,
            (true, Some('M')) => Unit::Month,
            (true, Some('W')) => Unit::Week,
            (true, Some('D')) => Unit::Day,
            (false, Some('H')) => Unit::Hour,
            (false, Some('M')) => Unit::Minute,
            (false, Some('S')) => Unit::Second,
            (true, Some('T') | None) if number.width == 8 && !has_field => {
                sum.add(value / 10_000, 0.0, Unit::Year)?;
                sum.add(value / 100 % 100, 0.0, Unit::Month)?;
                sum.add(value % 100, fraction, Unit::Day)?;
                (in_date, rest) = (false, after);
                continue;
            }
            (true, Some('T' | '-') | None) => {
                if has_field {
                    return Err(DateError::BadFormat);
                }
                rest = iso_fields(&mut sum, rest, [Unit::Year, Unit::Month, Unit::Day], '-')?;
                match rest.strip_prefix('T') {
                    Some(after) => (in_date, rest) = (false, after),
                    None if rest.is_empty() => {}
                    None => return Err(DateError::BadFormat),
                }
                continue;
            }
            (false, None) if number.width == 6 && !has_field => {
                sum.add(value / 10_000, 0.0, Unit::Hour)?;
                sum.add(value / 100 % 100, 0.0, Unit::Minute)?;
                sum.add(value % 100, 0.0, Unit::Second)?;
                sum.add(0, fraction, Unit::Microsecond)?;
                return Ok(sum);
            }
            (false, Some(':') | None) => {
                if has_field {
                    return Err(DateError::BadFormat);
                }
                let after = iso_fields(&mut sum, rest, [Unit::Hour, Unit::Minute, Unit::Second], ':')?;
                return if after.is_empty() { Ok(sum) } else { Err(DateError::BadFormat) };
            }
            _ => return Err(DateError::BadFormat),
        };
        sum.add(value, fraction, counted)?;
        (rest, has_field) = (after, true);
    }
    Ok(sum)
}

/// One to three numbers with that separator; what follows them.
fn iso_fields<'a>(sum: &mut Sum, mut rest: &'a str, units: [Unit; 3], separator: char) -> Result<&'a str, DateError> {
    for (position, unit) in units.into_iter().enumerate() {
        let number = iso_number(rest)?;
        sum.add(number.whole, number.fraction, unit)?;
        rest = number.rest;
        match rest.strip_prefix(separator) {
            Some(after) if position < 2 => rest = after,
            _ => return Ok(rest),
        }
    }
    Ok(rest)
}
