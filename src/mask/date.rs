//! Dates and times: ISO text (`DateStyle` ISO, PostgreSQL's default), binary forms, cutting down.

use bytes::{BufMut, BytesMut};

use super::{DateUnit, Format};

/// Which of the types that hold a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateType {
    /// `date`: i32 days since 2000-01-01 in binary form.
    Date,
    /// `timestamp`: i64 microseconds since 2000-01-01 in binary form.
    Timestamp,
    /// `timestamptz`: the same, in UTC; its text shows the session's zone.
    TimestampTz,
}

const DAY_MICROSECONDS: i64 = 86_400_000_000;
const HOUR_MICROSECONDS: i64 = 3_600_000_000;
/// 4714-11-24 BC, the first day that PostgreSQL knows, in days from 2000-01-01.
const FIRST_DAY: i64 = -2_451_545;
/// Days from 0000-03-01 to 2000-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_2000: i64 = 730_425;

/// What is shown of a date or time. `None`: not in the type's form (another `DateStyle`), or cut down it would lie
/// before the first day that PostgreSQL knows. `infinity` stays as it is.
pub(super) fn truncate(
    value: &[u8],
    unit: DateUnit,
    date_type: DateType,
    format: Format,
    out: &mut BytesMut,
) -> Option<()> {
    match (format, date_type) {
        (Format::Text, _) => truncate_text(value, unit, date_type, out),
        (Format::Binary, DateType::Date) => {
            let days = i32::from_be_bytes(value.try_into().ok()?);
            let cut = match days {
                i32::MAX | i32::MIN => days,
                _ => i32::try_from(truncate_days(days.into(), unit)?).ok()?,
            };
            out.put_i32(cut);
            Some(())
        }
        (Format::Binary, DateType::Timestamp | DateType::TimestampTz) => {
            let microseconds = i64::from_be_bytes(value.try_into().ok()?);
            let cut = match (microseconds, unit) {
                (i64::MAX | i64::MIN, _) => microseconds,
                (_, DateUnit::Hour) => microseconds.div_euclid(HOUR_MICROSECONDS).checked_mul(HOUR_MICROSECONDS)?,
                (_, DateUnit::Year | DateUnit::Month | DateUnit::Day) => {
                    truncate_days(microseconds.div_euclid(DAY_MICROSECONDS), unit)?.checked_mul(DAY_MICROSECONDS)?
                }
            };
            out.put_i64(cut);
            Some(())
        }
    }
}

pub(super) fn truncate_days(days: i64, unit: DateUnit) -> Option<i64> {
    let (year, month, _) = civil(days);
    let cut = match unit {
        DateUnit::Year => days_of(year, 1, 1),
        DateUnit::Month => days_of(year, month, 1),
        DateUnit::Day | DateUnit::Hour => days,
    };
    (cut >= FIRST_DAY).then_some(cut)
}

fn truncate_text(value: &[u8], unit: DateUnit, date_type: DateType, out: &mut BytesMut) -> Option<()> {
    if matches!(value, b"infinity" | b"-infinity") {
        out.put_slice(value);
        return Some(());
    }
    let shown = IsoText::parse(std::str::from_utf8(value).ok()?, date_type)?;
    let cut = truncate_days(shown.days, unit)?;
    let (_, month, day) = civil(cut);
    out.put_slice(shown.year.as_bytes());
    put_two(b"-", month, out);
    put_two(b"-", day, out);
    if let Some(time) = shown.time {
        let hour = if unit == DateUnit::Hour { time.hour } else { "00" };
        out.put_slice(b" ");
        out.put_slice(hour.as_bytes());
        out.put_slice(b":00:00");
        out.put_slice(time.zone.as_bytes());
    }
    if shown.before_christ {
        out.put_slice(b" BC");
    }
    Some(())
}

fn put_two(before: &[u8], number: u8, out: &mut BytesMut) {
    out.put_slice(before);
    out.put_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
}

/// A date or time as ISO text writes it, taken apart.
#[cfg_attr(test, derive(Debug))]
pub(super) struct IsoText<'a> {
    /// Four digits or more.
    year: &'a str,
    before_christ: bool,
    /// Days from 2000-01-01, in the zone shown.
    pub(super) days: i64,
    time: Option<IsoTime<'a>>,
}

#[cfg_attr(test, derive(Debug))]
struct IsoTime<'a> {
    hour: &'a str,
    microseconds: i64,
    zone: &'a str,
}

impl<'a> IsoText<'a> {
    /// `2024-01-31`, `2024-01-31 12:34:56.789`, `2024-01-31 12:34:56+02`, each with ` BC` or not.
    pub(super) fn parse(text: &'a str, date_type: DateType) -> Option<Self> {
        let (text, before_christ) = match text.strip_suffix(" BC") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (date, time) = match date_type {
            DateType::Date => (text, None),
            DateType::Timestamp | DateType::TimestampTz => {
                let (date, time) = text.split_once(' ')?;
                (date, Some(IsoTime::parse(time, date_type == DateType::TimestampTz)?))
            }
        };
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !(4..=7).contains(&year.len()) {
            return None;
        }
        let counted = number(year).filter(|year| *year > 0)?;
        // There is no year 0: 1 BC comes before AD 1.
        let counted = if before_christ { 1 - counted } else { counted };
        let (month, day) = (u8::try_from(two(month)?).ok()?, u8::try_from(two(day)?).ok()?);
        if !(1..=12).contains(&month) {
            return None;
        }
        let days = days_of(counted, month, day);
        // A day that the month does not have comes out as one of the next month.
        (civil(days) == (counted, month, day)).then_some(Self { year, before_christ, days, time })
    }

    /// Microseconds from 2000-01-01 00:00:00 in the zone shown.
    pub(super) fn microseconds(&self) -> Option<i64> {
        let in_day = self.time.as_ref().map_or(0, |time| time.microseconds);
        self.days.checked_mul(DAY_MICROSECONDS)?.checked_add(in_day)
    }
}

impl<'a> IsoTime<'a> {
    fn parse(text: &'a str, zoned: bool) -> Option<Self> {
        let at = text.find(['+', '-']).unwrap_or(text.len());
        let (clock, zone) = text.split_at_checked(at)?;
        if zone.is_empty() == zoned {
            return None;
        }
        if let Some(offset) = zone.get(1..) {
            // `+02`, `+05:30`, `-00:01:15`
            let parts: Option<Vec<i64>> = offset.split(':').map(two).collect();
            parts.filter(|parts| parts.len() <= 3)?;
        }
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut parts = clock.split(':');
        let (hour, minute, second) = (parts.next()?, two(parts.next()?)?, two(parts.next()?)?);
        let whole = two(hour).filter(|hour| *hour <= 24)?;
        if parts.next().is_some() || minute > 59 || second > 60 || fraction.len() > 6 {
            return None;
        }
        let places = u32::try_from(fraction.len()).ok()?;
        let fraction = number(fraction)?.checked_mul(10_i64.checked_pow(6_u32.checked_sub(places)?)?)?;
        let microseconds = ((whole * 60 + minute) * 60 + second) * 1_000_000 + fraction;
        Some(Self { hour, microseconds, zone })
    }
}

/// Two digits.
fn two(text: &str) -> Option<i64> {
    if text.len() == 2 { number(text) } else { None }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `date` as ISO text.
pub(super) fn put_date(days: i64, out: &mut BytesMut) {
    let (year, month, day) = civil(days);
    let shown = if year > 0 { year } else { 1 - year };
    out.put_slice(format!("{shown:04}").as_bytes());
    put_two(b"-", month, out);
    put_two(b"-", day, out);
    if year <= 0 {
        out.put_slice(b" BC");
    }
}

/// Days from 2000-01-01 of a date of the proleptic Gregorian calendar; year 0 is 1 BC.
pub(super) fn days_of(year: i64, month: u8, day: u8) -> i64 {
    // Years that begin in March have their leap day at the end.
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_2000
}

/// The reverse of [`days_of`].
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + DAYS_TO_2000;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: &str, unit: DateUnit, date_type: DateType) -> Option<String> {
        let mut out = BytesMut::new();
        truncate(value.as_bytes(), unit, date_type, Format::Text, &mut out)?;
        Some(String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn iso_text_is_cut_down_in_the_zone_shown() {
        use DateType::{Date, Timestamp, TimestampTz};
        for (value, unit, date_type, shown) in [
            ("2024-07-31", DateUnit::Year, Date, Some("2024-01-01")),
            ("2024-07-31", DateUnit::Month, Date, Some("2024-07-01")),
            ("12024-07-31", DateUnit::Month, Date, Some("12024-07-01")),
            ("0044-03-15 BC", DateUnit::Year, Date, Some("0044-01-01 BC")),
            ("4714-11-24 BC", DateUnit::Year, Date, None),
            ("infinity", DateUnit::Year, Date, Some("infinity")),
            ("2024-02-30", DateUnit::Year, Date, None),
            ("31.07.2024", DateUnit::Year, Date, None),
            ("07/31/2024", DateUnit::Year, Date, None),
            ("", DateUnit::Year, Date, None),
            ("2024-07-31 12:34:56.789", DateUnit::Hour, Timestamp, Some("2024-07-31 12:00:00")),
            ("2024-07-31 12:34:56.789", DateUnit::Day, Timestamp, Some("2024-07-31 00:00:00")),
            ("0044-03-15 12:00:00 BC", DateUnit::Month, Timestamp, Some("0044-03-01 00:00:00 BC")),
            ("2024-07-31 12:34:56.789+02", DateUnit::Month, TimestampTz, Some("2024-07-01 00:00:00+02")),
            ("2024-07-31 12:34:56-03:30", DateUnit::Hour, TimestampTz, Some("2024-07-31 12:00:00-03:30")),
            ("2024-07-31 12:34:56", DateUnit::Hour, TimestampTz, None),
            ("2024-07-31 12:34:56 CEST", DateUnit::Hour, TimestampTz, None),
            ("Wed Jul 31 12:34:56 2024 CEST", DateUnit::Hour, TimestampTz, None),
        ] {
            assert_eq!(text(value, unit, date_type).as_deref(), shown, "{value}");
        }
    }

    #[test]
    fn binary_dates_and_times_are_cut_down() {
        let mut out = BytesMut::new();
        // 2024-07-31 is day 8978.
        assert_eq!((days_of(2024, 7, 31), days_of(2000, 1, 1), days_of(1970, 1, 1)), (8978, 0, -10957));
        truncate(&8978_i32.to_be_bytes(), DateUnit::Month, DateType::Date, Format::Binary, &mut out).unwrap();
        assert_eq!(out[..], (8978_i32 - 30).to_be_bytes());
        out.clear();
        let before = -1_i64;
        truncate(&before.to_be_bytes(), DateUnit::Year, DateType::Timestamp, Format::Binary, &mut out).unwrap();
        assert_eq!(out[..], (-365 * DAY_MICROSECONDS).to_be_bytes());
        out.clear();
        truncate(&i64::MAX.to_be_bytes(), DateUnit::Year, DateType::TimestampTz, Format::Binary, &mut out).unwrap();
        assert_eq!(out[..], i64::MAX.to_be_bytes());
    }

    proptest! {
        #[test]
        fn days_and_dates_are_each_others_reverse(days in -2_451_545_i64..2_000_000) {
            let (year, month, day) = civil(days);
            prop_assert_eq!(days_of(year, month, day), days);
            let mut out = BytesMut::new();
            put_date(days, &mut out);
            let written = String::from_utf8(out.to_vec()).unwrap();
            prop_assert_eq!(IsoText::parse(&written, DateType::Date).map(|date| date.days), Some(days));
        }

        #[test]
        fn text_and_binary_dates_are_cut_to_the_same_day(days in -2_400_000_i32..2_000_000, month: bool) {
            let unit = if month { DateUnit::Month } else { DateUnit::Year };
            let (mut binary, mut written, mut shown) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
            truncate(&days.to_be_bytes(), unit, DateType::Date, Format::Binary, &mut binary).unwrap();
            put_date(days.into(), &mut written);
            truncate(&written, unit, DateType::Date, Format::Text, &mut shown).unwrap();
            let cut = IsoText::parse(std::str::from_utf8(&shown).unwrap(), DateType::Date).unwrap().days;
            prop_assert_eq!(i64::from(i32::from_be_bytes(binary[..].try_into().unwrap())), cut);
        }
    }
}
