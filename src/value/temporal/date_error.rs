//! What is wrong with a date, time or interval (`DateTimeParseError` of `datetime.c`).

use super::super::{Scalar, ValueError};

/// Why a text is no date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateError {
    BadFormat,
    FieldOverflow,
    /// A month or day that might be meant in another order.
    MonthOrDayOverflow,
    ZoneOverflow,
    UnknownZone,
    /// The session's own zone is not known.
    UnknownSessionZone,
    /// `today` and the like.
    Clock,
    /// A form that PostgreSQL reads.
    Rare,
    /// An abbreviation that may have several meanings.
    Abbreviation,
}

impl DateError {
    pub(super) fn of(self, scalar: Scalar) -> ValueError {
        let overflow = || ValueError::new("22008", "date/time field value out of range");
        let unsupported =
            |message: &'static str, hint| ValueError { hint: Some(hint), ..ValueError::new("0A000", message) };
        match self {
            // The functions of these types name them without their zone.
            Self::BadFormat => ValueError::new(
                "22007",
                format!("invalid input syntax for type {}", scalar.title().replace(" without time zone", "")),
            ),
            Self::FieldOverflow if scalar == Scalar::Interval => {
                ValueError::new("22015", "interval field value out of range")
            }
            Self::FieldOverflow => overflow(),
            Self::MonthOrDayOverflow => {
                ValueError { hint: Some("Perhaps you need a different \"datestyle\" setting."), ..overflow() }
            }
            Self::ZoneOverflow => ValueError::new("22009", "time zone displacement out of range"),
            Self::UnknownZone => ValueError::new("22023", "time zone not recognized"),
            Self::UnknownSessionZone => unsupported(
                "pgveil does not know the time zone of this session",
                "Set TimeZone to a name of the IANA time zone database.",
            ),
            Self::Clock => unsupported(
                "words that depend on the server's clock can not be encrypted",
                "Send the date or time itself.",
            ),
            Self::Rare => {
                unsupported("pgveil does not read this form of dates and times", "Write it in ISO 8601 form.")
            }
            Self::Abbreviation => unsupported(
                "this time zone abbreviation may mean several zones",
                "Write the time zone as an offset from UTC or by its full name.",
            ),
        }
    }
}
