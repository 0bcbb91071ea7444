//! What an `interval` is written as, in the four styles (`EncodeInterval` of `datetime.c`).

use bytes::{BufMut, BytesMut};

use super::super::forms::IntervalStyle;
use super::super::{Scalar, TextForms, ValueError};
use super::interval::{HOUR, Interval, MINUTE};
use super::{SECOND, fraction_text};

pub(in crate::value) fn write_interval(
    plaintext: &[u8],
    forms: &TextForms,
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let interval = Interval::decode(plaintext).map_err(|_| ValueError::damaged(Scalar::Interval))?;
    let parts = Parts::of(interval);
    let text = match forms.interval_style {
        IntervalStyle::Postgres => parts.postgres(),
        IntervalStyle::PostgresVerbose => parts.verbose(),
        IntervalStyle::SqlStandard => parts.sql_standard(),
        IntervalStyle::Iso8601 => parts.iso_8601(),
    };
    out.put_slice(text.as_bytes());
    Ok(())
}

/// An interval as it is shown.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    microseconds: i64,
}

impl Parts {
    fn of(interval: Interval) -> Self {
        let Interval { microseconds, days, months } = interval;
        Self {
            years: i64::from(months / 12),
            months: i64::from(months % 12),
            days: days.into(),
            hours: microseconds / HOUR,
            minutes: microseconds % HOUR / MINUTE,
            seconds: microseconds % MINUTE / SECOND,
            microseconds: microseconds % SECOND,
        }
    }

    fn all(&self) -> [i64; 7] {
        [self.years, self.months, self.days, self.hours, self.minutes, self.seconds, self.microseconds]
    }

    fn time(&self) -> [i64; 4] {
        [self.hours, self.minutes, self.seconds, self.microseconds]
    }

    /// `hh:mm:ss.fff` without a sign, the hours in at least that many digits.
    fn clock(&self, width: usize) -> String {
        let (hours, minutes, seconds) = (self.hours.abs(), self.minutes.abs(), self.seconds.abs());
        format!("{hours:0width$}:{minutes:02}:{seconds:02}{}", fraction_text(self.microseconds.abs()))
    }

    fn postgres(&self) -> String {
        let mut out = String::new();
        // The sign is shown on what follows something negative.
        let mut after_negative = false;
        for (value, unit) in [(self.years, "year"), (self.months, "mon"), (self.days, "day")] {
            if value == 0 {
                continue;
            }
            let space = if out.is_empty() { "" } else { " " };
            let sign = if after_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            out.push_str(&format!("{space}{sign}{value} {unit}{plural}"));
            after_negative = value < 0;
        }
        let time = self.time();
        if out.is_empty() || time.iter().any(|part| *part != 0) {
            let space = if out.is_empty() { "" } else { " " };
            let sign = if time.iter().any(|part| *part < 0) {
                "-"
            } else if after_negative {
                "+"
            } else {
                ""
            };
            out.push_str(&format!("{space}{sign}{}", self.clock(2)));
        }
        out
    }

    fn verbose(&self) -> String {
        let mut out = "@".to_owned();
        let mut ago = None;
        let units = [
            (self.years, "year"),
            (self.months, "mon"),
            (self.days, "day"),
            (self.hours, "hour"),
            (self.minutes, "min"),
        ];
        for (value, unit) in units {
            if value == 0 {
                continue;
            }
            // The first one's sign is said at the end, for all.
            let backwards = *ago.get_or_insert(value < 0);
            let value = if backwards { -value } else { value };
            let plural = if value == 1 { "" } else { "s" };
            out.push_str(&format!(" {value} {unit}{plural}"));
        }
        if self.seconds != 0 || self.microseconds != 0 {
            let negative = self.seconds < 0 || (self.seconds == 0 && self.microseconds < 0);
            let backwards = *ago.get_or_insert(negative);
            let sign = if negative == backwards { "" } else { "-" };
            let seconds = self.seconds.abs();
            let plural = if seconds == 1 && self.microseconds == 0 { "" } else { "s" };
            out.push_str(&format!(" {sign}{seconds}{} sec{plural}", fraction_text(self.microseconds.abs())));
        }
        match ago {
            None => out.push_str(" 0"),
            Some(true) => out.push_str(" ago"),
            Some(false) => {}
        }
        out
    }

    fn sql_standard(&self) -> String {
        let negative = self.all().iter().any(|part| *part < 0);
        let positive = self.all().iter().any(|part| *part > 0);
        let has_months = self.years != 0 || self.months != 0;
        let has_time = self.time().iter().any(|part| *part != 0);
        if !negative && !positive {
            return "0".to_owned();
        }
        let (years, months, days) = (self.years.abs(), self.months.abs(), self.days.abs());
        if (negative && positive) || (has_months && (self.days != 0 || has_time)) {
            let sign = |below: bool| if below { '-' } else { '+' };
            return format!(
                "{}{years}-{months} {}{days} {}{}",
                sign(self.years < 0 || self.months < 0),
                sign(self.days < 0),
                sign(self.time().iter().any(|part| *part < 0)),
                self.clock(1)
            );
        }
        let sign = if negative { "-" } else { "" };
        if has_months {
            format!("{sign}{years}-{months}")
        } else if self.days != 0 {
            format!("{sign}{days} {}", self.clock(1))
        } else {
            format!("{sign}{}", self.clock(1))
        }
    }

    fn iso_8601(&self) -> String {
        if self.all().iter().all(|part| *part == 0) {
            return "PT0S".to_owned();
        }
        let mut out = "P".to_owned();
        let add = |out: &mut String, value: i64, unit: char| {
            if value != 0 {
                out.push_str(&format!("{value}{unit}"));
            }
        };
        add(&mut out, self.years, 'Y');
        add(&mut out, self.months, 'M');
        add(&mut out, self.days, 'D');
        if self.time().iter().any(|part| *part != 0) {
            out.push('T');
        }
        add(&mut out, self.hours, 'H');
        add(&mut out, self.minutes, 'M');
        if self.seconds != 0 || self.microseconds != 0 {
            let sign = if self.seconds < 0 || self.microseconds < 0 { "-" } else { "" };
            let fraction = fraction_text(self.microseconds.abs());
            out.push_str(&format!("{sign}{}{fraction}S", self.seconds.abs()));
        }
        out
    }
}
