//! Days and dates of the proleptic Gregorian calendar (`date2j`, `j2date` of `datetime.c`).

/// 2000-01-01, which binary forms count from, as a Julian day.
pub(in crate::value) const EPOCH_DAY: i64 = 2_451_545;

/// A day of the calendar. Years are astronomical: 0 is 1 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::value) struct Civil {
    pub(in crate::value) year: i64,
    pub(in crate::value) month: i64,
    pub(in crate::value) day: i64,
}

impl Civil {
    /// The day's number from 2000-01-01 on.
    pub(in crate::value) fn days(self) -> i64 {
        // Years that begin in March have their leap day at the end.
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730_425
    }

    /// The reverse of [`Civil::days`].
    pub(in crate::value) fn of_days(days: i64) -> Self {
        let days = days + 730_425;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self { year: year + era * 400 + i64::from(month <= 2), month, day: of_year - (153 * shifted + 2) / 5 + 1 }
    }

    /// How many days its month has.
    pub(in crate::value) fn days_of_month(self) -> i64 {
        match self.month {
            2 if is_leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// Whether the year has a 29th of February.
pub(in crate::value) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}
