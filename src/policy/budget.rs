//! Inference budgets: how many filters on a masked column a caller may run in which time.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// How many permitted filters on a column that is not clear to the caller it may use, for each principal and column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// As many as it likes.
    Unlimited,
    /// So many in each period.
    Limited(Allowance),
}

/// A number of filters in a period. It comes back evenly: `60/min` is one more each second, up to 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many.
    pub filters: NonZeroU32,
    /// In how long.
    pub period: Period,
}

/// The period of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `/s`
    Second,
    /// `/min`
    Minute,
    /// `/h`
    Hour,
    /// `/day`
    Day,
}

impl Period {
    /// Each with the words for it in a policy, the usual one first.
    pub(super) const WORDS: [(Self, [&'static str; 2]); 4] = [
        (Self::Second, ["s", "second"]),
        (Self::Minute, ["min", "minute"]),
        (Self::Hour, ["h", "hour"]),
        (Self::Day, ["day", "d"]),
    ];

    /// How long it is.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        })
    }
}

impl Default for Budget {
    /// A hundred people who look up a hundred customers an hour behind one login do not meet it. To try out each of the
    /// 36,500 birthdays of a century takes it most of four hours.
    fn default() -> Self {
        NonZeroU32::new(10_000)
            .map_or(Self::Unlimited, |filters| Self::Limited(Allowance { filters, period: Period::Hour }))
    }
}

impl Budget {
    /// The one of two that allows less in the long run; of two that allow the same, the one that allows less at once.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unlimited, other) => other,
            (one, Self::Unlimited) => one,
            (Self::Limited(one), Self::Limited(two)) => {
                let rate = |own: Allowance, others: Allowance| {
                    u128::from(own.filters.get()) * u128::from(others.period.length().as_secs())
                };
                let later = (rate(two, one), two.filters) < (rate(one, two), one.filters);
                if later { other } else { self }
            }
        }
    }

    /// Read off its spelling in a policy: `unlimited`, `10000/h`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text == "unlimited" {
            return Some(Self::Unlimited);
        }
        let (number, unit) = text.split_once('/')?;
        let (number, unit) = (number.trim_end(), unit.trim_start());
        let plain = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let filters = plain.then(|| number.parse().ok()).flatten()?;
        let period = Period::WORDS.into_iter().find(|(_, words)| words.contains(&unit)).map(|(period, _)| period)?;
        Some(Self::Limited(Allowance { filters, period }))
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => "second",
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day => "day",
        };
        write!(out, "{} per {period}", self.filters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_of_filters_in_a_period() {
        for (text, shown) in [
            ("10000/h", Some("10000 per hour")),
            ("10000/hour", Some("10000 per hour")),
            ("5 / min", Some("5 per minute")),
            ("1/s", Some("1 per second")),
            ("200/day", Some("200 per day")),
            ("0/h", None),
            ("-1/h", None),
            ("+1/h", None),
            ("1/week", None),
            ("1", None),
            ("4294967296/h", None),
            ("/h", None),
        ] {
            let found = Budget::read(text).map(|budget| match budget {
                Budget::Limited(allowance) => allowance.to_string(),
                Budget::Unlimited => "unlimited".to_owned(),
            });
            assert_eq!(found.as_deref(), shown, "{text}");
        }
        assert_eq!(Budget::read("unlimited"), Some(Budget::Unlimited));
    }

    #[test]
    fn the_stricter_budget_allows_less_in_the_long_run() {
        for (one, two) in [("1/min", "unlimited"), ("59/h", "1/min"), ("1/min", "60/h"), ("10/day", "1/h")] {
            let (strict, lax) = (Budget::read(one).unwrap(), Budget::read(two).unwrap());
            assert_eq!((strict.stricter(lax), lax.stricter(strict)), (strict, strict), "{one} {two}");
        }
    }
}
