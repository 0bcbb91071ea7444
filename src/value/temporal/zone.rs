//! Time zones, from IANA's database, which is part of the program: built as PostgreSQL's and those of Linux distributions
//! are, with what is known of zones before 1970.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::calendar::Civil;
use super::clock::whole;

/// From here on the calendar's years are mapped to equal ones of 400 years that jiff knows.
const MAPPED_FROM: i64 = 9000;
const MAPPED_TO: i64 = 2400;
const SECONDS_PER_DAY: i64 = 86_400;
/// 2000-01-01 from 1970-01-01, in seconds.
const EPOCH_SECONDS: i64 = 946_684_800;
/// 2025-01-01 from 1970-01-01, in seconds: before now, whenever this runs.
const PAST_SECONDS: i64 = 1_735_689_600;

/// A session's time zone.
#[derive(Clone, Debug)]
pub(in crate::value) enum Zone {
    /// It is in the database, or a POSIX rule.
    Known {
        rules: TimeZone,
        /// Seconds from 2000-01-01: what it was before depends on the build of the server's database.
        certain_from: i64,
    },
    /// PostgreSQL prints so what was set as an offset: `<+02>-02`.
    Fixed {
        /// Seconds east of Greenwich.
        offset: i64,
        abbreviation: String,
    },
    /// What depends on it can not be read or written.
    Unknown,
}

/// What holds in a zone at a time.
pub(super) struct Local {
    /// Seconds east of Greenwich.
    pub(super) offset: i64,
    pub(super) abbreviation: String,
}

impl Zone {
    pub(in crate::value) fn utc() -> Self {
        Self::Known { rules: TimeZone::UTC, certain_from: i64::MIN }
    }

    /// The zone of that name, in any case; else a POSIX rule.
    pub(in crate::value) fn named(name: &str) -> Self {
        if let Some(fixed) = Self::fixed(name) {
            return fixed;
        }
        match Self::in_database(name) {
            Self::Unknown => match TimeZone::posix(name) {
                Ok(rules) => Self::Known { rules, certain_from: i64::MIN },
                Err(_) => Self::Unknown,
            },
            known => known,
        }
    }

    /// The zone of that name, in any case.
    pub(super) fn in_database(name: &str) -> Self {
        match tzdb_data::find_raw(name.as_bytes()).and_then(|data| TimeZone::tzif(name, data).ok()) {
            Some(rules) => Self::Known { rules, certain_from: certain_from(name) },
            None => Self::Unknown,
        }
    }

    /// `<+02>-02`: an abbreviation, and the offset with its sign turned round.
    fn fixed(name: &str) -> Option<Self> {
        let (abbreviation, offset) = name.strip_prefix('<')?.split_once('>')?;
        let (east, digits) = match offset.strip_prefix('-') {
            Some(digits) => (1, digits),
            None => (-1, offset.strip_prefix('+').unwrap_or(offset)),
        };
        let mut seconds = 0;
        let mut unit = 3600;
        for piece in digits.split(':') {
            seconds += whole(piece).ok().filter(|number| *number < 60)? * unit;
            unit /= 60;
        }
        Some(Self::Fixed { offset: east * seconds, abbreviation: abbreviation.to_owned() })
    }

    /// What holds so many seconds after 2000-01-01 UTC. `None`: the zone is unknown.
    pub(super) fn at(&self, seconds: i64) -> Option<Local> {
        let rules = match self {
            Self::Known { rules, certain_from } if seconds >= *certain_from => rules,
            Self::Fixed { offset, abbreviation } => {
                return Some(Local { offset: *offset, abbreviation: abbreviation.clone() });
            }
            Self::Known { .. } | Self::Unknown => return None,
        };
        let day = Civil::of_days(seconds.div_euclid(SECONDS_PER_DAY));
        let mapped = mapped(day).days() * SECONDS_PER_DAY + seconds.rem_euclid(SECONDS_PER_DAY);
        let info = rules.to_offset_info(Timestamp::from_second(mapped + EPOCH_SECONDS).ok()?);
        Some(Local { offset: info.offset().seconds().into(), abbreviation: info.abbreviation().to_owned() })
    }

    /// Seconds east of Greenwich at a local time (seconds of the day from 0 to 86,400). Where a change of the clocks leaves
    /// that time out the offset before it holds, where it comes twice that after it, as in `DetermineTimeZoneOffset`.
    /// `None`: the zone is unknown.
    pub(super) fn offset_at_local(&self, day: Civil, seconds: i64) -> Option<i64> {
        let rules = match self {
            Self::Known { rules, certain_from } if day.days() * SECONDS_PER_DAY >= *certain_from => rules,
            Self::Fixed { offset, .. } => return Some(*offset),
            Self::Known { .. } | Self::Unknown => return None,
        };
        let day = mapped(Civil::of_days(day.days() + seconds.div_euclid(SECONDS_PER_DAY)));
        let seconds = seconds.rem_euclid(SECONDS_PER_DAY);
        let local = DateTime::new(
            day.year.try_into().ok()?,
            day.month.try_into().ok()?,
            day.day.try_into().ok()?,
            (seconds / 3600).try_into().ok()?,
            (seconds / 60 % 60).try_into().ok()?,
            (seconds % 60).try_into().ok()?,
            0,
        );
        let offset: Offset = match rules.to_ambiguous_timestamp(local.ok()?).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        Some(offset.seconds().into())
    }

    /// Seconds east of Greenwich, if that does not depend on the date, today or later.
    pub(super) fn lasting_offset(&self) -> Option<i64> {
        let rules = match self {
            Self::Known { rules, .. } => rules,
            Self::Fixed { offset, .. } => return Some(*offset),
            Self::Unknown => return None,
        };
        let past = Timestamp::from_second(PAST_SECONDS).ok()?;
        match rules.following(past).next() {
            None => Some(rules.to_offset(past).seconds().into()),
            Some(_) => None,
        }
    }
}

/// Since 2024 these names stand for cities of their zone, whose past is another one; not everywhere, though.
const LINKED: [&str; 11] =
    ["CET", "CST6CDT", "EET", "EST", "EST5EDT", "HST", "MET", "MST", "MST7MDT", "PST8PDT", "WET"];

fn certain_from(name: &str) -> i64 {
    if LINKED.iter().any(|linked| name.eq_ignore_ascii_case(linked)) { -EPOCH_SECONDS } else { i64::MIN }
}

/// The Gregorian calendar repeats after 400 years, and so do the rules of zones from their last change on.
fn mapped(day: Civil) -> Civil {
    if day.year < MAPPED_FROM { day } else { Civil { year: MAPPED_TO + day.year.rem_euclid(400), ..day } }
}
