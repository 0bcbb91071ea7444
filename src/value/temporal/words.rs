//! The words of dates and times (`datetktbl` of `datetime.c`; PostgreSQL manual, appendix B.3).

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Infinity,
    MinusInfinity,
    Epoch,
    /// `now`, `today` and the like: what they mean depends on the server's clock.
    Clock,
    AnnoDomini,
    BeforeChrist,
    Ante,
    Post,
    Month(i64),
    DayOfWeek,
    /// Between date and time.
    IsoTime,
    /// Nothing: `at`, `on`.
    Filler,
    /// It has a meaning for PostgreSQL that is not read here: `y2001m02d04`, `J2451187`, `allballs`, `MET DST`.
    Rare,
}

/// PostgreSQL compares this much of a word.
pub(super) const WORD_BYTES_MAX: usize = 10;

/// The meaning of a word in lower case.
pub(super) fn word(text: &str) -> Option<Word> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let month = MONTHS.iter().position(|month| text == *month || Some(text) == month.get(..3));
    if let Some(month) = month.and_then(|month| i64::try_from(month).ok()) {
        return Some(Word::Month(month + 1));
    }
    Some(match text {
        "sept" => Word::Month(9),
        "-infinity" => Word::MinusInfinity,
        "infinity" => Word::Infinity,
        "epoch" => Word::Epoch,
        "now" | "today" | "tomorrow" | "yesterday" => Word::Clock,
        "ad" => Word::AnnoDomini,
        "bc" => Word::BeforeChrist,
        "am" => Word::Ante,
        "pm" => Word::Post,
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds" | "wednesday" | "thu"
        | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" => Word::DayOfWeek,
        "t" => Word::IsoTime,
        "at" | "on" => Word::Filler,
        "allballs" | "d" | "dow" | "doy" | "dst" | "h" | "isodow" | "isoyear" | "j" | "jd" | "julian" | "m" | "mm"
        | "s" | "y" => Word::Rare,
        _ => return None,
    })
}
