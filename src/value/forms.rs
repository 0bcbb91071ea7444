//! The session's settings that text forms depend on.

use super::temporal::Zone;

/// How values are written as text in a session, and how dates among what is read are meant (PostgreSQL manual, sections
/// 20.11.2 and 8.5.2). Fed with what the server reports of its settings.
///
/// `bytea_output`, `extra_float_digits` and `lc_monetary` are not among what the server reports by itself.
#[derive(Clone, Debug)]
pub struct TextForms {
    pub(super) date_style: DateStyle,
    pub(super) date_order: DateOrder,
    pub(super) interval_style: IntervalStyle,
    pub(super) zone: Zone,
    pub(super) bytea_escape: bool,
    pub(super) extra_float_digits: i32,
    /// Whether `lc_monetary` is C or en_US; it is as long as nobody says otherwise.
    pub(super) money_in_dollars: bool,
}

/// The first word of `DateStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateStyle {
    Iso,
    Sql,
    Postgres,
    German,
}

/// The second word of `DateStyle`: what `01/02/2003` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateOrder {
    Ymd,
    Dmy,
    Mdy,
}

/// `IntervalStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntervalStyle {
    Postgres,
    PostgresVerbose,
    SqlStandard,
    Iso8601,
}

impl Default for TextForms {
    /// `DateStyle` ISO, MDY; `IntervalStyle` postgres; `TimeZone` UTC; `bytea_output` hex; `extra_float_digits` 1.
    fn default() -> Self {
        Self {
            date_style: DateStyle::Iso,
            date_order: DateOrder::Mdy,
            interval_style: IntervalStyle::Postgres,
            zone: Zone::utc(),
            bytea_escape: false,
            extra_float_digits: 1,
            money_in_dollars: true,
        }
    }
}

impl TextForms {
    /// Take a setting in, under the name that the server reports it by, in any case. Settings that no form depends on
    /// change nothing. A time zone that pgveil does not know is kept as unknown: what depends on it is refused.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "datestyle" => self.set_date_style(value),
            "intervalstyle" => match value.to_ascii_lowercase().as_str() {
                "postgres" => self.interval_style = IntervalStyle::Postgres,
                "postgres_verbose" => self.interval_style = IntervalStyle::PostgresVerbose,
                "sql_standard" => self.interval_style = IntervalStyle::SqlStandard,
                "iso_8601" => self.interval_style = IntervalStyle::Iso8601,
                _ => {}
            },
            "timezone" => self.zone = Zone::named(value),
            "bytea_output" => self.bytea_escape = value.eq_ignore_ascii_case("escape"),
            "extra_float_digits" => {
                if let Ok(digits) = value.parse::<i32>() {
                    self.extra_float_digits = digits.clamp(-15, 3);
                }
            }
            "lc_monetary" => {
                let locale = value.split('.').next().unwrap_or_default();
                self.money_in_dollars = matches!(locale, "C" | "POSIX" | "en_US");
            }
            _ => {}
        }
    }

    /// Whether something that forms depend on is not known.
    #[cfg(test)]
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.zone, Zone::Unknown) || !self.money_in_dollars
    }

    fn set_date_style(&mut self, value: &str) {
        for word in value.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "iso" => self.date_style = DateStyle::Iso,
                "sql" => self.date_style = DateStyle::Sql,
                "postgres" => self.date_style = DateStyle::Postgres,
                "german" => self.date_style = DateStyle::German,
                "ymd" => self.date_order = DateOrder::Ymd,
                "dmy" | "euro" | "european" => self.date_order = DateOrder::Dmy,
                "mdy" | "us" | "noneuro" | "noneuropean" => self.date_order = DateOrder::Mdy,
                _ => {}
            }
        }
    }
}
