//! Dates, times and intervals (PostgreSQL manual, section 8.5 and appendix B; `datetime.c`, `date.c`, `timestamp.c`).
//!
//! [`fields`] takes a text apart, [`decode`] makes a date and a time of it, [`zone`] has the time zones; here are the types'
//! ranges, binary forms and what they are written as.

mod abbreviations;
mod calendar;
mod clock;
mod date_error;
mod decode;
mod fields;
mod interval;
mod interval_text;
mod words;
mod zone;

use bytes::{BufMut, BytesMut};

use super::binary::{self, Reader};
use super::forms::{DateOrder, DateStyle};
use super::{Scalar, TextForms, ValueError};
use calendar::{Civil, EPOCH_DAY};
use date_error::DateError;
use decode::Moment;

pub(super) use interval::{fit_interval, interval_from_binary, interval_of_time, read_interval};
pub(super) use interval_text::write_interval;
pub(super) use zone::Zone;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Days from 2000-01-01 to 1970-01-01.
const UNIX_EPOCH_DAY: i64 = -10_957;
/// The first day after the last that a `date` can be, and a `timestamp`.
const DATE_END: i64 = 2_147_483_494 - EPOCH_DAY;
const TIMESTAMP_END: i64 = (109_203_528 - EPOCH_DAY) * DAY;
/// The first moment of 4714-11-24 BC.
const TIMESTAMP_FIRST: i64 = -EPOCH_DAY * DAY;
/// PostgreSQL's buffers for the fields of a text.
const DATE_BYTES_MAX: usize = 129;
const TIMESTAMP_BYTES_MAX: usize = 153;
/// Offsets from UTC lie below 16 hours.
const OFFSET_END: i32 = 16 * 3600;

fn out_of_range(what: &'static str) -> ValueError {
    ValueError::new("22008", what)
}

/// Days since 2000-01-01 as four bytes.
pub(super) fn read_date(text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let range = || out_of_range("date out of range");
    let moment = fields::split(text, DATE_BYTES_MAX).and_then(|fields| decode::date_time(&fields, forms));
    let days = match moment.map_err(|error| error.of(Scalar::Date))? {
        Moment::Infinity => i32::MAX,
        Moment::MinusInfinity => i32::MIN,
        Moment::Epoch => i32::try_from(UNIX_EPOCH_DAY).map_err(|_| range())?,
        Moment::Local(local) => {
            let days = Some(local.day.days()).filter(|days| (-EPOCH_DAY..DATE_END).contains(days));
            days.and_then(|days| i32::try_from(days).ok()).ok_or_else(range)?
        }
    };
    Ok(days.to_be_bytes().to_vec())
}

pub(super) fn date_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let days = i32::from_be_bytes(binary::fixed(bytes)?);
    let finite = !matches!(days, i32::MIN | i32::MAX);
    if finite && !(-EPOCH_DAY..DATE_END).contains(&days.into()) {
        return Err(out_of_range("date out of range"));
    }
    Ok(bytes.to_vec())
}

pub(super) fn write_date(plaintext: &[u8], forms: &TextForms, out: &mut BytesMut) -> Result<(), ValueError> {
    let days = i32::from_be_bytes(binary::fixed(plaintext).map_err(|_| ValueError::damaged(Scalar::Date))?);
    match days {
        i32::MAX => out.put_slice(b"infinity"),
        i32::MIN => out.put_slice(b"-infinity"),
        days => {
            let day = Civil::of_days(days.into());
            let text = format!("{}{}", date_text(day, forms), era(day));
            out.put_slice(text.as_bytes());
        }
    }
    Ok(())
}

/// Microseconds since 2000-01-01, of a `timestamptz` in UTC, as eight bytes.
pub(super) fn read_timestamp(scalar: Scalar, text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let failed = |error: DateError| error.of(scalar);
    let moment = fields::split(text, TIMESTAMP_BYTES_MAX).and_then(|fields| decode::date_time(&fields, forms));
    let microseconds = match moment.map_err(failed)? {
        Moment::Infinity => i64::MAX,
        Moment::MinusInfinity => i64::MIN,
        Moment::Epoch => UNIX_EPOCH_DAY * DAY,
        Moment::Local(local) => {
            let days = local.day.days();
            // Beyond are years that no timestamp has; nearer ones are looked at below.
            if days.abs() > TIMESTAMP_END / DAY {
                return Err(out_of_range("timestamp out of range"));
            }
            let offset = if scalar == Scalar::TimestampTz { local.offset(forms).map_err(failed)? } else { 0 };
            let time = local.time - offset * SECOND;
            days.checked_mul(DAY)
                .and_then(|midnight| midnight.checked_add(time))
                .filter(in_range)
                .ok_or_else(|| out_of_range("timestamp out of range"))?
        }
    };
    Ok(microseconds.to_be_bytes().to_vec())
}

fn in_range(microseconds: &i64) -> bool {
    (TIMESTAMP_FIRST..TIMESTAMP_END).contains(microseconds)
}

pub(super) fn timestamp_from_binary(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let microseconds = i64::from_be_bytes(binary::fixed(bytes)?);
    if !matches!(microseconds, i64::MIN | i64::MAX) && !in_range(&microseconds) {
        return Err(out_of_range("timestamp out of range"));
    }
    Ok(bytes.to_vec())
}

pub(super) fn write_timestamp(
    scalar: Scalar,
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let microseconds = i64::from_be_bytes(binary::fixed(plaintext).map_err(|_| ValueError::damaged(scalar))?);
    match microseconds {
        i64::MAX => out.put_slice(b"infinity"),
        i64::MIN => out.put_slice(b"-infinity"),
        microseconds if scalar == Scalar::TimestampTz => {
            let unknown = || DateError::UnknownSessionZone.of(scalar);
            let local = forms.zone.at(microseconds.div_euclid(SECOND)).ok_or_else(unknown)?;
            let shown = timestamp_text(microseconds + local.offset * SECOND, Some(&local), forms);
            out.put_slice(shown.as_bytes());
        }
        microseconds => out.put_slice(timestamp_text(microseconds, None, forms).as_bytes()),
    }
    Ok(())
}

/// Microseconds since midnight as eight bytes; of a `timetz` four more, the seconds west of Greenwich.
pub(super) fn read_time(scalar: Scalar, text: &str, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let failed = |error: DateError| error.of(scalar);
    let local = fields::split(text, DATE_BYTES_MAX).and_then(|fields| decode::time_only(&fields, forms));
    let local = local.map_err(failed)?;
    let mut out = local.time.to_be_bytes().to_vec();
    if scalar == Scalar::TimeTz {
        let east = local.offset_of_time(forms).map_err(failed)?;
        let west = i32::try_from(-east).map_err(|_| out_of_range("time zone displacement out of range"))?;
        out.extend(west.to_be_bytes());
    }
    Ok(out)
}

pub(super) fn time_from_binary(scalar: Scalar, bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut reader = Reader::new(bytes);
    if !(0..=DAY).contains(&reader.i64()?) {
        return Err(out_of_range("time out of range"));
    }
    if scalar == Scalar::TimeTz {
        let west = reader.i32()?;
        if west <= -OFFSET_END || west >= OFFSET_END {
            return Err(ValueError::new("22009", "time zone displacement out of range"));
        }
    }
    reader.end()?;
    Ok(bytes.to_vec())
}

pub(super) fn write_time(scalar: Scalar, plaintext: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let damaged = |_| ValueError::damaged(scalar);
    let mut reader = Reader::new(plaintext);
    let mut text = time_text(reader.i64().map_err(damaged)?);
    if scalar == Scalar::TimeTz {
        text.push_str(&offset_text(-i64::from(reader.i32().map_err(damaged)?)));
    }
    reader.end().map_err(damaged)?;
    out.put_slice(text.as_bytes());
    Ok(())
}

/// The day after a date. `None`: it is infinite.
pub(super) fn following_day(plaintext: &[u8]) -> Result<Option<Vec<u8>>, ValueError> {
    let days = i32::from_be_bytes(binary::fixed(plaintext)?);
    if matches!(days, i32::MIN | i32::MAX) {
        return Ok(None);
    }
    let next = Some(days + 1).filter(|next| i64::from(*next) < DATE_END);
    let next = next.ok_or_else(|| out_of_range("date out of range"))?;
    Ok(Some(next.to_be_bytes().to_vec()))
}

/// Round a time or timestamp to so many digits of the second's fraction, half away from zero.
///
/// PostgreSQL lets a timestamp become one that it does not read in binary form; here that is refused.
pub(super) fn fit(modifier: i32, plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut reader = Reader::new(plaintext);
    let microseconds = reader.i64()?;
    let mut out = plaintext.to_vec();
    if !matches!(microseconds, i64::MIN | i64::MAX) {
        let rounded = round(microseconds, modifier).filter(in_range);
        let rounded = rounded.ok_or_else(|| out_of_range("timestamp out of range"))?.to_be_bytes();
        for (to, from) in out.iter_mut().zip(rounded) {
            *to = from;
        }
    }
    Ok(out)
}

/// Round to so many digits of a second's fraction, half away from zero. `None`: that does not fit.
fn round(microseconds: i64, digits: i32) -> Option<i64> {
    let unit = u32::try_from(6 - digits).ok().and_then(|zeros| 10_i64.checked_pow(zeros)).unwrap_or(1);
    let half = if unit == 1 { 0 } else { unit / 2 };
    let magnitude = microseconds.checked_abs()?.checked_add(half)? / unit * unit;
    Some(if microseconds < 0 { -magnitude } else { magnitude })
}

/// A date at midnight: as a `timestamp`, or in the session's zone as a `timestamptz`.
pub(super) fn timestamp_of_date(target: Scalar, plaintext: &[u8], forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let range = || out_of_range("date out of range for timestamp");
    let days = i32::from_be_bytes(binary::fixed(plaintext)?);
    let microseconds = match days {
        i32::MAX => i64::MAX,
        i32::MIN => i64::MIN,
        days => {
            let local = i64::from(days).checked_mul(DAY).filter(|local| *local < TIMESTAMP_END).ok_or_else(range)?;
            if target == Scalar::TimestampTz {
                in_session_zone(target, local, forms)?.ok_or_else(range)?
            } else {
                local
            }
        }
    };
    Ok(microseconds.to_be_bytes().to_vec())
}

/// A `timestamp` in the session's zone.
pub(super) fn timestamptz_of_timestamp(plaintext: &[u8], forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let local = i64::from_be_bytes(binary::fixed(plaintext)?);
    let microseconds = match local {
        i64::MAX | i64::MIN => local,
        local => {
            in_session_zone(Scalar::TimestampTz, local, forms)?.ok_or_else(|| out_of_range("timestamp out of range"))?
        }
    };
    Ok(microseconds.to_be_bytes().to_vec())
}

/// `None`: out of range.
fn in_session_zone(scalar: Scalar, local: i64, forms: &TextForms) -> Result<Option<i64>, ValueError> {
    let day = Civil::of_days(local.div_euclid(DAY));
    let offset = forms.zone.offset_at_local(day, local.rem_euclid(DAY) / SECOND);
    let offset = offset.ok_or_else(|| DateError::UnknownSessionZone.of(scalar))?;
    Ok(Some(local - offset * SECOND).filter(in_range))
}

/// The local time of a `timestamptz` in the session's zone, or a `timestamp` as it is.
pub(super) fn local_timestamp(source: Scalar, plaintext: &[u8], forms: &TextForms) -> Result<i64, ValueError> {
    let microseconds = i64::from_be_bytes(binary::fixed(plaintext)?);
    if source != Scalar::TimestampTz || matches!(microseconds, i64::MIN | i64::MAX) {
        return Ok(microseconds);
    }
    let local = forms.zone.at(microseconds.div_euclid(SECOND));
    let local = local.ok_or_else(|| DateError::UnknownSessionZone.of(source))?;
    let shifted = Some(microseconds + local.offset * SECOND).filter(in_range);
    shifted.ok_or_else(|| out_of_range("timestamp out of range"))
}

/// The date of a local time.
pub(super) fn date_of_timestamp(local: i64) -> Result<Vec<u8>, ValueError> {
    let days = match local {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        local => i32::try_from(local.div_euclid(DAY)).map_err(|_| out_of_range("date out of range"))?,
    };
    Ok(days.to_be_bytes().to_vec())
}

/// The time of day of a local time.
pub(super) fn time_of_timestamp(local: i64) -> Result<Vec<u8>, ValueError> {
    if matches!(local, i64::MAX | i64::MIN) {
        return Err(ValueError::new("0A000", "infinity has no time of day"));
    }
    Ok(local.rem_euclid(DAY).to_be_bytes().to_vec())
}

/// The time of day of an interval, without its days and months.
pub(super) fn time_of_interval(plaintext: &[u8]) -> Result<Vec<u8>, ValueError> {
    Ok(Reader::new(plaintext).i64()?.rem_euclid(DAY).to_be_bytes().to_vec())
}

/// As `EncodeDateOnly` writes it, without the era.
fn date_text(day: Civil, forms: &TextForms) -> String {
    let Civil { year, month, day } = day;
    let year = if year > 0 { year } else { 1 - year };
    let day_first = forms.date_order == DateOrder::Dmy;
    match forms.date_style {
        DateStyle::Iso => format!("{year:04}-{month:02}-{day:02}"),
        DateStyle::German => format!("{day:02}.{month:02}.{year:04}"),
        DateStyle::Sql if day_first => format!("{day:02}/{month:02}/{year:04}"),
        DateStyle::Sql => format!("{month:02}/{day:02}/{year:04}"),
        DateStyle::Postgres if day_first => format!("{day:02}-{month:02}-{year:04}"),
        DateStyle::Postgres => format!("{month:02}-{day:02}-{year:04}"),
    }
}

fn era(day: Civil) -> &'static str {
    if day.year > 0 { "" } else { " BC" }
}

/// As `EncodeDateTime` writes it.
fn timestamp_text(local: i64, zone: Option<&zone::Local>, forms: &TextForms) -> String {
    let day = Civil::of_days(local.div_euclid(DAY));
    let time = time_text(local.rem_euclid(DAY));
    let shown_zone = match (zone, forms.date_style) {
        (None, _) => String::new(),
        (Some(zone), DateStyle::Iso) => offset_text(zone.offset),
        // PostgreSQL cuts abbreviations to ten bytes.
        (Some(zone), _) => format!(" {:.10}", zone.abbreviation),
    };
    if forms.date_style != DateStyle::Postgres {
        return format!("{} {time}{shown_zone}{}", date_text(day, forms), era(day));
    }
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    // 2000-01-01 was a Saturday.
    const DAYS: &str = "SatSunMonTueWedThuFri";
    let three = |names: &'static str, position: i64| {
        let at = usize::try_from(position).unwrap_or(0) * 3;
        names.get(at..at + 3).unwrap_or_default()
    };
    let day_name = three(DAYS, day.days().rem_euclid(7));
    let month_name = three(MONTHS, day.month - 1);
    let year = if day.year > 0 { day.year } else { 1 - day.year };
    let month_and_day = match forms.date_order {
        DateOrder::Dmy => format!("{:02} {month_name}", day.day),
        DateOrder::Mdy | DateOrder::Ymd => format!("{month_name} {:02}", day.day),
    };
    format!("{day_name} {month_and_day} {time} {year:04}{shown_zone}{}", era(day))
}

/// `hh:mm:ss`, with as many digits of the fraction as there are.
fn time_text(microseconds: i64) -> String {
    let (seconds, fraction) = (microseconds / SECOND, microseconds % SECOND);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{clock}{}", fraction_text(fraction))
}

/// `.fff` without zeros at its end; nothing for zero.
fn fraction_text(microseconds: i64) -> String {
    if microseconds == 0 {
        return String::new();
    }
    format!(".{microseconds:06}").trim_end_matches('0').to_owned()
}

/// `+hh`, with minutes and seconds where there are some.
fn offset_text(east: i64) -> String {
    let sign = if east < 0 { '-' } else { '+' };
    let west = east.abs();
    let (hours, minutes, seconds) = (west / 3600, west / 60 % 60, west % 60);
    if seconds != 0 {
        format!("{sign}{hours:02}:{minutes:02}:{seconds:02}")
    } else if minutes != 0 {
        format!("{sign}{hours:02}:{minutes:02}")
    } else {
        format!("{sign}{hours:02}")
    }
}
