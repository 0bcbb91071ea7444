//! Fields to a date and a time of day (`DecodeDateTime`, `DecodeTimeOnly` of `datetime.c`).
//!
//! What PostgreSQL decides is decided here in its order. Left out, and refused, are forms that nothing prints: labels between
//! the digits (`y2001m02d04`), Julian days, `allballs`, `MET DST`.

use super::super::TextForms;
use super::super::forms::DateOrder;
use super::abbreviations::{AMBIGUOUS, Abbreviation, abbreviation};
use super::calendar::Civil;
use super::clock::{ClockTime, microseconds, whole};
use super::date_error::DateError;
use super::fields::{Field, FieldKind};
use super::words::{WORD_BYTES_MAX, Word, word};
use super::zone::Zone;

/// A date with or without a time of day, or one of the words that stand for one.
pub(super) enum Moment {
    Infinity,
    MinusInfinity,
    Epoch,
    Local(Local),
}

/// A date and a time as they are written, and the zone that stands with them.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) day: Civil,
    /// Microseconds since midnight, up to those of 24 hours.
    pub(super) time: i64,
    pub(super) has_date: bool,
    zone: Option<ZoneForm>,
}

/// How a zone was written.
#[derive(Debug)]
enum ZoneForm {
    /// Seconds east of Greenwich.
    Offset(i64),
    Named(Zone),
    Abbreviated(String, Abbreviation),
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Local {
    /// Seconds east of Greenwich at that time, in the zone that was written or else the session's.
    pub(super) fn offset(&self, forms: &TextForms) -> Result<i64, DateError> {
        let seconds = self.time / SECOND;
        let session = || forms.zone.offset_at_local(self.day, seconds).ok_or(DateError::UnknownSessionZone);
        match &self.zone {
            None => session(),
            Some(ZoneForm::Offset(offset)) => Ok(*offset),
            // The zone is known, but not at that time.
            Some(ZoneForm::Named(zone)) => zone.offset_at_local(self.day, seconds).ok_or(DateError::Rare),
            Some(ZoneForm::Abbreviated(word, meaning)) => {
                let said_by = |zone: &Zone, offset: i64| {
                    let local = zone.at(self.day.days() * 86_400 + seconds - offset);
                    local.is_some_and(|local| local.offset == offset && local.abbreviation.eq_ignore_ascii_case(word))
                };
                match meaning {
                    Abbreviation::Fixed(offset) => {
                        let offset = i64::from(*offset);
                        let certain = !AMBIGUOUS.contains(&word.as_str()) || said_by(&forms.zone, offset);
                        if certain { Ok(offset) } else { Err(DateError::Abbreviation) }
                    }
                    Abbreviation::Dynamic(zone) => {
                        let zone = Zone::in_database(zone);
                        let offset = zone.offset_at_local(self.day, seconds).ok_or(DateError::UnknownZone)?;
                        let certain = said_by(&zone, offset)
                            && (!AMBIGUOUS.contains(&word.as_str()) || said_by(&forms.zone, offset));
                        if certain { Ok(offset) } else { Err(DateError::Abbreviation) }
                    }
                }
            }
        }
    }

    /// Seconds east of Greenwich of a time of day, which may have no date.
    pub(super) fn offset_of_time(&self, forms: &TextForms) -> Result<i64, DateError> {
        if self.has_date {
            return self.offset(forms);
        }
        match &self.zone {
            // The server takes today's offset.
            None => match &forms.zone {
                Zone::Unknown => Err(DateError::UnknownSessionZone),
                zone => zone.lasting_offset().ok_or(DateError::Clock),
            },
            Some(ZoneForm::Offset(offset)) => Ok(*offset),
            Some(ZoneForm::Abbreviated(word, Abbreviation::Fixed(offset))) if !AMBIGUOUS.contains(&word.as_str()) => {
                Ok(i64::from(*offset))
            }
            Some(ZoneForm::Abbreviated(..)) => Err(DateError::Abbreviation),
            Some(ZoneForm::Named(_)) => Err(DateError::Rare),
        }
    }
}

/// Which parts are there, as bits: none may come twice.
mod part {
    pub(super) const YEAR: u32 = 1;
    pub(super) const MONTH: u32 = 1 << 1;
    pub(super) const DAY: u32 = 1 << 2;
    pub(super) const DATE: u32 = YEAR | MONTH | DAY;
    pub(super) const TIME: u32 = 1 << 3;
    pub(super) const ZONE: u32 = 1 << 4;
    pub(super) const DAY_OF_YEAR: u32 = 1 << 5;
    pub(super) const ERA: u32 = 1 << 6;
    pub(super) const MERIDIEM: u32 = 1 << 7;
    pub(super) const DAY_OF_WEEK: u32 = 1 << 8;
}

/// What the fields have said so far.
struct Decoder<'a> {
    forms: &'a TextForms,
    seen: u32,
    day: Civil,
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
    microsecond: i64,
    zone: Option<ZoneForm>,
    has_text_month: bool,
    has_two_digit_year: bool,
    before_christ: bool,
    /// Whether the hour is one of twelve, and of which half of the day.
    afternoon: Option<bool>,
    /// The field before was the T of ISO 8601.
    after_t: bool,
}

/// What a date, or a timestamp, is made of.
pub(super) fn date_time(fields: &[Field], forms: &TextForms) -> Result<Moment, DateError> {
    let mut decoder = Decoder::new(forms);
    for (position, field) in fields.iter().enumerate() {
        let parts = match field.kind {
            FieldKind::Date => decoder.date_field(&field.text)?,
            FieldKind::Time => {
                decoder.after_t = false;
                let parts = decoder.time(&field.text)?;
                decoder.check_time()?;
                parts
            }
            FieldKind::Zone => decoder.offset(&field.text)?,
            FieldKind::Number => decoder.number_field(&field.text)?,
            FieldKind::Text | FieldKind::Special => match decoder.word(&field.text)? {
                WordMeaning::Parts(parts) => parts,
                WordMeaning::Nothing => continue,
                WordMeaning::Alone(moment) if fields.len() == 1 => return Ok(moment),
                WordMeaning::Alone(_) => return Err(DateError::Rare),
                WordMeaning::IsoTime => {
                    let next = fields.get(position + 1).map(|field| field.kind);
                    let next = matches!(next, Some(FieldKind::Number | FieldKind::Time | FieldKind::Date));
                    if decoder.seen & part::DATE != part::DATE || !next {
                        return Err(DateError::BadFormat);
                    }
                    decoder.after_t = true;
                    0
                }
            },
        };
        decoder.add(parts)?;
    }
    decoder.validate_date()?;
    decoder.apply_meridiem()?;
    if decoder.seen & part::DATE != part::DATE {
        return Err(DateError::BadFormat);
    }
    // The server lets digits without separators pass, and carries what is too much.
    decoder.check_time().map_err(|_| DateError::Rare)?;
    Ok(Moment::Local(decoder.finish()))
}

/// What a time of day is made of; a date may stand with it.
pub(super) fn time_only(fields: &[Field], forms: &TextForms) -> Result<Local, DateError> {
    let mut decoder = Decoder::new(forms);
    let kind = |position: usize| fields.get(position).map(|field| field.kind);
    let last_is_date = fields.len() >= 2 && kind(fields.len() - 1) == Some(FieldKind::Date);
    for (position, field) in fields.iter().enumerate() {
        let text = field.text.as_str();
        let parts = match field.kind {
            FieldKind::Date if position == 0 && (last_is_date || kind(1) == Some(FieldKind::Time)) => {
                decoder.date(text)?
            }
            FieldKind::Date if text.starts_with(|first: char| first.is_ascii_digit()) => {
                if decoder.seen & part::TIME != 0 {
                    return Err(DateError::BadFormat);
                }
                decoder.time_with_offset(text, part::DATE)?
            }
            FieldKind::Date => decoder.named_zone(text)?,
            FieldKind::Time => decoder.time(text)?,
            FieldKind::Zone => decoder.offset(text)?,
            FieldKind::Number if decoder.after_t => {
                decoder.after_t = false;
                decoder.run_together(text, decoder.seen | part::DATE)?
            }
            FieldKind::Number => match text.find('.') {
                Some(_) if position == 0 && last_is_date => decoder.date(text)?,
                Some(point) if point > 2 => decoder.run_together(text, decoder.seen | part::DATE)?,
                Some(_) => return Err(DateError::BadFormat),
                None if text.len() > 4 => decoder.run_together(text, decoder.seen | part::DATE)?,
                None => decoder.number(text, false, decoder.seen | part::DATE)?,
            },
            FieldKind::Text | FieldKind::Special => match decoder.word(text)? {
                WordMeaning::Parts(part::MONTH | part::DAY | part::DAY_OF_WEEK) | WordMeaning::Alone(_) => {
                    return Err(DateError::BadFormat);
                }
                WordMeaning::Parts(parts) => parts,
                WordMeaning::Nothing => continue,
                WordMeaning::IsoTime => {
                    let next =
                        matches!(kind(position + 1), Some(FieldKind::Number | FieldKind::Time | FieldKind::Date));
                    if !next {
                        return Err(DateError::BadFormat);
                    }
                    decoder.after_t = true;
                    0
                }
            },
        };
        decoder.add(parts)?;
    }
    decoder.validate_date()?;
    decoder.apply_meridiem()?;
    decoder.check_time()?;
    let dated = decoder.seen & part::DATE;
    if decoder.seen & part::TIME == 0 || (dated != 0 && dated != part::DATE) {
        return Err(DateError::BadFormat);
    }
    // Zones by name need a date, but for some.
    if dated == 0 && matches!(decoder.zone, Some(ZoneForm::Named(_))) {
        return Err(DateError::Rare);
    }
    Ok(decoder.finish())
}

/// What a word adds.
enum WordMeaning {
    Parts(u32),
    Nothing,
    Alone(Moment),
    IsoTime,
}

impl<'a> Decoder<'a> {
    fn new(forms: &'a TextForms) -> Self {
        Self {
            forms,
            seen: 0,
            day: Civil { year: 0, month: 0, day: 0 },
            day_of_year: 0,
            hour: 0,
            minute: 0,
            second: 0,
            microsecond: 0,
            zone: None,
            has_text_month: false,
            has_two_digit_year: false,
            before_christ: false,
            afternoon: None,
            after_t: false,
        }
    }

    fn add(&mut self, parts: u32) -> Result<(), DateError> {
        if self.seen & parts != 0 {
            return Err(DateError::BadFormat);
        }
        self.seen |= parts;
        Ok(())
    }

    /// A field with separators: a date, the name of a zone, or a time with an offset behind it.
    fn date_field(&mut self, text: &str) -> Result<u32, DateError> {
        let month_and_day = part::MONTH | part::DAY;
        if !self.after_t && self.seen & month_and_day != month_and_day {
            return self.date(text);
        }
        if self.after_t || text.starts_with(|first: char| first.is_ascii_digit()) {
            self.after_t = false;
            if self.seen & part::TIME != 0 {
                return Err(DateError::BadFormat);
            }
            return self.time_with_offset(text, self.seen);
        }
        self.named_zone(text)
    }

    /// `hhmmss-zz`
    fn time_with_offset(&mut self, text: &str, seen: u32) -> Result<u32, DateError> {
        let hyphen = text.find('-').ok_or(DateError::BadFormat)?;
        let (time, offset) = text.split_at_checked(hyphen).ok_or(DateError::BadFormat)?;
        let zone = self.offset(offset)?;
        Ok(zone | self.run_together(time, seen)?)
    }

    fn named_zone(&mut self, text: &str) -> Result<u32, DateError> {
        match Zone::in_database(text) {
            // It may be a rule for a zone.
            Zone::Unknown if text.bytes().any(|byte| byte.is_ascii_digit()) => Err(DateError::Rare),
            Zone::Unknown => Err(DateError::UnknownZone),
            zone => {
                self.zone = Some(ZoneForm::Named(zone));
                Ok(part::ZONE)
            }
        }
    }

    fn number_field(&mut self, text: &str) -> Result<u32, DateError> {
        if self.after_t {
            self.after_t = false;
            let parts = self.run_together(text, self.seen | part::DATE)?;
            return if parts == part::TIME { Ok(parts) } else { Err(DateError::BadFormat) };
        }
        let has_date = self.seen & part::DATE != 0;
        match text.find('.') {
            Some(_) if !has_date => self.date(text),
            Some(point) if point > 2 => self.run_together(text, self.seen),
            None if text.len() >= 6 && (!has_date || self.seen & part::TIME == 0) => self.run_together(text, self.seen),
            _ => self.number(text, self.has_text_month, self.seen),
        }
    }

    fn word(&mut self, text: &str) -> Result<WordMeaning, DateError> {
        let compared = text.get(..WORD_BYTES_MAX.min(text.len())).unwrap_or(text);
        if let Some(meaning) = abbreviation(compared) {
            self.zone = Some(ZoneForm::Abbreviated(text.to_owned(), meaning));
            return Ok(WordMeaning::Parts(part::ZONE));
        }
        Ok(match word(compared) {
            None => {
                // A word that is none may be the name of a zone.
                if matches!(Zone::in_database(text), Zone::Unknown) {
                    return Err(DateError::BadFormat);
                }
                WordMeaning::Parts(self.named_zone(text)?)
            }
            Some(Word::Infinity) => WordMeaning::Alone(Moment::Infinity),
            Some(Word::MinusInfinity) => WordMeaning::Alone(Moment::MinusInfinity),
            Some(Word::Epoch) => WordMeaning::Alone(Moment::Epoch),
            Some(Word::Clock) => return Err(DateError::Clock),
            Some(Word::Rare) => return Err(DateError::Rare),
            Some(Word::Filler) => WordMeaning::Nothing,
            Some(Word::IsoTime) => WordMeaning::IsoTime,
            Some(Word::DayOfWeek) => WordMeaning::Parts(part::DAY_OF_WEEK),
            Some(era @ (Word::AnnoDomini | Word::BeforeChrist)) => {
                self.before_christ = era == Word::BeforeChrist;
                WordMeaning::Parts(part::ERA)
            }
            Some(half @ (Word::Ante | Word::Post)) => {
                self.afternoon = Some(half == Word::Post);
                WordMeaning::Parts(part::MERIDIEM)
            }
            Some(Word::Month(month)) => {
                let mut parts = part::MONTH;
                // A number that was taken for the month may be the day.
                let taken = self.seen & part::MONTH != 0 && !self.has_text_month && self.seen & part::DAY == 0;
                if taken && (1..=31).contains(&self.day.month) {
                    self.day.day = self.day.month;
                    parts = part::DAY;
                }
                self.has_text_month = true;
                self.day.month = month;
                WordMeaning::Parts(parts)
            }
        })
    }

    /// A whole date in one field.
    fn date(&mut self, text: &str) -> Result<u32, DateError> {
        let mut pieces: Vec<&str> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(|next: char| !next.is_ascii_alphanumeric());
            let first = rest.chars().next().ok_or(DateError::BadFormat)?;
            let same = |next: char| next.is_ascii_digit() == first.is_ascii_digit() && next.is_ascii_alphanumeric();
            let end = rest.find(|next: char| !same(next)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at_checked(end).ok_or(DateError::BadFormat)?;
            // The server loses the letter that follows a digit here.
            if after.starts_with(|next: char| next.is_ascii_alphanumeric()) {
                return Err(DateError::Rare);
            }
            pieces.push(piece);
            rest = after.get(1..).unwrap_or_default();
        }
        let mut seen = self.seen;
        let mut parts = 0;
        let mut text_month = false;
        let mut add = |seen: &mut u32, added: u32| {
            if *seen & added != 0 {
                return Err(DateError::BadFormat);
            }
            *seen |= added;
            parts |= added;
            Ok(())
        };
        for piece in pieces.iter().filter(|piece| piece.starts_with(|first: char| first.is_ascii_alphabetic())) {
            match word(piece.get(..WORD_BYTES_MAX.min(piece.len())).unwrap_or(piece)) {
                Some(Word::Month(month)) => {
                    self.day.month = month;
                    text_month = true;
                    add(&mut seen, part::MONTH)?;
                }
                _ => return Err(DateError::BadFormat),
            }
        }
        for piece in pieces.iter().filter(|piece| piece.starts_with(|first: char| first.is_ascii_digit())) {
            let added = self.number(piece, text_month, seen)?;
            add(&mut seen, added)?;
        }
        if seen & !(part::DAY_OF_YEAR | part::ZONE) == part::DATE { Ok(parts) } else { Err(DateError::BadFormat) }
    }

    /// A number whose meaning hangs on what is there already and on the order that dates are written in.
    fn number(&mut self, text: &str, text_month: bool, seen: u32) -> Result<u32, DateError> {
        let (digits, fraction) = match text.find('.') {
            Some(point) => text.split_at_checked(point).ok_or(DateError::BadFormat)?,
            None => (text, ""),
        };
        if digits.is_empty() {
            return Err(DateError::BadFormat);
        }
        let value = whole(digits)?;
        if !fraction.is_empty() {
            if digits.len() > 2 {
                return self.run_together(text, seen | part::DATE);
            }
            self.microsecond = microseconds(fraction)?;
        }
        let long = text.len() >= 3;
        let order = self.forms.date_order;
        if text.len() == 3 && seen & part::DATE == part::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(part::DAY_OF_YEAR | part::MONTH | part::DAY);
        }
        const YEAR_MONTH: u32 = part::YEAR | part::MONTH;
        const MONTH_DAY: u32 = part::MONTH | part::DAY;
        let added = match seen & part::DATE {
            0 if long || order == DateOrder::Ymd => part::YEAR,
            0 if order == DateOrder::Dmy => part::DAY,
            0 => part::MONTH,
            part::YEAR => part::MONTH,
            part::MONTH if text_month && (long || order == DateOrder::Ymd) => part::YEAR,
            part::MONTH => part::DAY,
            YEAR_MONTH if text_month && long && self.has_two_digit_year => {
                // What was taken for the year was the day.
                self.day.day = self.day.year;
                self.day.year = value;
                self.has_two_digit_year = false;
                return Ok(part::DAY);
            }
            YEAR_MONTH => part::DAY,
            part::DAY => part::MONTH,
            MONTH_DAY => part::YEAR,
            part::DATE => return self.run_together(text, seen),
            _ => return Err(DateError::BadFormat),
        };
        match added {
            part::YEAR => {
                self.day.year = value;
                self.has_two_digit_year = text.len() <= 2;
            }
            part::MONTH => self.day.month = value,
            _ => self.day.day = value,
        }
        Ok(added)
    }

    /// Digits without separators: `yymmdd`, `yyyymmdd`, `hhmm`, `hhmmss.fff`.
    fn run_together(&mut self, text: &str, seen: u32) -> Result<u32, DateError> {
        let digits = match text.split_once('.') {
            Some((digits, _)) => {
                self.microsecond = microseconds(text.get(digits.len()..).unwrap_or_default())?;
                digits
            }
            None if seen & part::DATE != part::DATE && text.len() >= 6 => {
                let (year, month_and_day) = text.split_at_checked(text.len() - 4).ok_or(DateError::BadFormat)?;
                let (month, day) = month_and_day.split_at_checked(2).ok_or(DateError::BadFormat)?;
                self.day = Civil { year: whole(year)?, month: whole(month)?, day: whole(day)? };
                if year.len() == 2 {
                    self.has_two_digit_year = true;
                }
                return Ok(part::DATE);
            }
            None => text,
        };
        if seen & part::TIME != 0 || !matches!(digits.len(), 4 | 6) {
            return Err(DateError::BadFormat);
        }
        let pair = |at: usize| digits.get(at..at + 2).map_or(Ok(0), whole);
        (self.hour, self.minute, self.second) = (pair(0)?, pair(2)?, pair(4)?);
        Ok(part::TIME)
    }

    /// `hh:mm`, `hh:mm:ss`, with a fraction of the seconds; `mm:ss.fff`.
    fn time(&mut self, text: &str) -> Result<u32, DateError> {
        let time = ClockTime::parse(text, false)?;
        (self.hour, self.minute, self.second, self.microsecond) =
            (time.hour, time.minute, time.second, time.microsecond);
        Ok(part::TIME)
    }

    /// `+hh`, `-hhmm`, `+hh:mm:ss`
    fn offset(&mut self, text: &str) -> Result<u32, DateError> {
        let number = |digits: &str| match whole(digits) {
            Err(DateError::FieldOverflow) => Err(DateError::ZoneOverflow),
            other => other,
        };
        // The server takes nothing behind a colon for zero.
        let number = |digits: &str| if digits.is_empty() { Ok(0) } else { number(digits) };
        let unsigned = text.get(1..).unwrap_or_default();
        let mut pieces = unsigned.split(':');
        let first = pieces.next().unwrap_or_default();
        let (mut hours, mut minutes, mut seconds) = (number(first)?, 0, 0);
        match (pieces.next(), pieces.next(), pieces.next()) {
            (None, ..) if text.len() > 3 => (hours, minutes) = (hours / 100, hours % 100),
            (None, ..) => {}
            (Some(minute), None, _) => minutes = number(minute)?,
            (Some(minute), Some(second), None) => (minutes, seconds) = (number(minute)?, number(second)?),
            _ => return Err(DateError::BadFormat),
        }
        if hours > 15 || minutes > 59 || seconds > 59 {
            return Err(DateError::ZoneOverflow);
        }
        let east = hours * 3600 + minutes * 60 + seconds;
        self.zone = Some(ZoneForm::Offset(if text.starts_with('-') { -east } else { east }));
        Ok(part::ZONE)
    }

    fn validate_date(&mut self) -> Result<(), DateError> {
        if self.seen & part::YEAR != 0 {
            let year = self.day.year;
            if self.before_christ {
                if year <= 0 {
                    return Err(DateError::FieldOverflow);
                }
                self.day.year = 1 - year;
            } else if self.has_two_digit_year {
                self.day.year += if year < 70 { 2000 } else { 1900 };
            } else if year <= 0 {
                return Err(DateError::FieldOverflow);
            }
        }
        if self.seen & part::DAY_OF_YEAR != 0 {
            let first = Civil { month: 1, day: 1, ..self.day };
            self.day = Civil::of_days(first.days() + self.day_of_year - 1);
        }
        if self.seen & part::MONTH != 0 && !(1..=12).contains(&self.day.month) {
            return Err(DateError::MonthOrDayOverflow);
        }
        if self.seen & part::DAY != 0 && !(1..=31).contains(&self.day.day) {
            return Err(DateError::MonthOrDayOverflow);
        }
        if self.seen & part::DATE == part::DATE && self.day.day > self.day.days_of_month() {
            return Err(DateError::FieldOverflow);
        }
        Ok(())
    }

    fn apply_meridiem(&mut self) -> Result<(), DateError> {
        let Some(afternoon) = self.afternoon else { return Ok(()) };
        if self.hour > 12 {
            return Err(DateError::FieldOverflow);
        }
        self.hour = self.hour % 12 + if afternoon { 12 } else { 0 };
        Ok(())
    }

    fn check_time(&self) -> Result<(), DateError> {
        let fields = self.hour <= 24 && self.minute <= 59 && self.second <= 60 && self.microsecond <= SECOND;
        if fields && self.microseconds() <= DAY { Ok(()) } else { Err(DateError::FieldOverflow) }
    }

    fn microseconds(&self) -> i64 {
        ((self.hour * 60 + self.minute) * 60 + self.second) * SECOND + self.microsecond
    }

    fn finish(self) -> Local {
        let time = self.microseconds();
        Local { day: self.day, time, has_date: self.seen & part::DATE == part::DATE, zone: self.zone }
    }
}
