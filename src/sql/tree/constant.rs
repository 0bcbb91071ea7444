//! What is kept of literals: not what they are, but what can be done with them.

use super::Path;

/// What is kept of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// `NULL`.
    Null,
    /// A number; small positive integers keep their value, for they may be positions (`ORDER BY 2`).
    Number(Option<u16>),
    /// An ordinary fraction: at most three digits before the point and six behind it, and not zero.
    Fraction,
    /// A string (also bit strings), with what `LIKE` would make of it, and how many bytes it has at most: 255 stands for
    /// any number.
    Text(Wildcards, u8),
    /// `TRUE` or `FALSE`.
    Bool,
}

/// What `%` and `_` (not escaped by a backslash) a string holds, as `LIKE` reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcards {
    /// None: `LIKE` is equality.
    None,
    /// None, and a date or an interval of everyday size (`'2000-01-31'`, `'18 years'`, `'30'`): what is added to it does
    /// not run out of range.
    Modest,
    /// None, for it is empty, or one character that is no letter, no digit and nothing special in a regular expression: a
    /// text that is split by it tells how long it is or how many such characters it has, and no more.
    Separator,
    /// One or more `%` at the end and none elsewhere, with something before them: a prefix.
    Trailing,
    /// Anywhere else.
    Anywhere,
    /// Anywhere else; and `format()` finds a width or a name in it (`%*s`, `%-5s`, `%I`), which some arguments make fail.
    Format,
    /// Anywhere else, as far as `LIKE` goes: it is an SQL/JSON path that finds as much in a document whatever values are in
    /// it ([`Path::of_json`]).
    Path,
    /// It ends in a lone backslash: `LIKE` fails where it comes so far.
    Dangling,
}

/// Words that an interval of everyday size is written with.
const UNITS: [&str; 22] = [
    "y", "year", "years", "mon", "mons", "month", "months", "w", "week", "weeks", "d", "day", "days", "h", "hour",
    "hours", "min", "mins", "minute", "minutes", "second", "seconds",
];

/// Whether a text is a date, or an interval of less than about a thousand years.
fn is_modest(text: &str) -> bool {
    let date = text.get(..10).filter(|date| {
        date.bytes().zip("dddd-dd-dd".bytes()).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == b'-',
        })
    });
    let rest = date.and_then(|date| text.strip_prefix(date)).unwrap_or(text);
    let mut parts = rest.split([' ', '+', '-', ':', '.']).filter(|part| !part.is_empty());
    let modest = |part: &str| {
        (part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
            || UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(part))
    };
    text.len() <= 40 && text.bytes().any(|byte| byte.is_ascii_digit()) && parts.all(modest)
}

/// Whether `format()` would pad what this text tells it to put in, or take it for a name.
fn may_fail_as_format(text: &str) -> bool {
    text.split('%').skip(1).any(|behind| {
        let digits = behind.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let flags = digits.strip_prefix('$').unwrap_or(behind);
        flags.starts_with(|flag: char| flag.is_ascii_digit() || matches!(flag, '*' | '-' | 'I'))
    })
}

impl Wildcards {
    /// Read off a string as `LIKE` with the default escape character would.
    pub fn of(text: &str) -> Self {
        let backslashes = text.chars().rev().take_while(|&last| last == '\\').count();
        if backslashes % 2 == 1 {
            return Self::Dangling;
        }
        if text.contains('$') && Path::of_json(text) != Path::Asking {
            return Self::Path;
        }
        let mut characters = text.chars();
        if let (first, None) = (characters.next(), characters.next())
            && first.is_some_and(|only| {
                only.is_ascii() && !only.is_ascii_alphanumeric() && !r".^$[]()*+?{}|\%_".contains(only)
            })
        {
            return Self::Separator;
        }
        let anywhere = if may_fail_as_format(text) { Self::Format } else { Self::Anywhere };
        let mut characters = text.chars();
        let (mut literal, mut trailing) = (false, false);
        while let Some(character) = characters.next() {
            match character {
                '_' => return anywhere,
                '%' => trailing = true,
                _ if trailing => return anywhere,
                '\\' if characters.next().is_none() => return Self::Dangling,
                _ => literal = true,
            }
        }
        match (literal, trailing) {
            (_, false) if is_modest(text) => Self::Modest,
            (_, false) => Self::None,
            (true, true) => Self::Trailing,
            (false, true) => anywhere,
        }
    }
}

impl Constant {
    /// A string.
    pub fn text(text: &str) -> Self {
        let wildcards = Wildcards::of(text);
        // few sizes, so that statements that differ in their literals have one shape
        let size = match (wildcards, text.len()) {
            (_, 255..) => u8::MAX,
            (Wildcards::Separator, _) | (Wildcards::None | Wildcards::Anywhere, ..=1) => 1,
            (Wildcards::None, ..=4) => 4,
            (Wildcards::Modest, _) => 40,
            (
                Wildcards::None
                | Wildcards::Trailing
                | Wildcards::Anywhere
                | Wildcards::Format
                | Wildcards::Path
                | Wildcards::Dangling,
                _,
            ) => 254,
        };
        Self::Text(wildcards, size)
    }

    /// A string of which it is only known that it holds nothing special.
    pub fn plain_text() -> Self {
        Self::Text(Wildcards::None, u8::MAX)
    }

    /// A number as it is written, without a sign.
    pub fn number(written: &str) -> Self {
        let digits = |part: &str, most: usize| part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit());
        match written.split_once('.') {
            Some((whole, part))
                if digits(whole, 3) && digits(part, 6) && written.bytes().any(|byte| matches!(byte, b'1'..=b'9')) =>
            {
                Self::Fraction
            }
            Some(_) => Self::Number(None),
            None if digits(written, usize::MAX) => Self::Number(written.parse().ok()),
            None => Self::Number(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_read_as_like_reads_them() {
        for (pattern, expected) in [
            ("", Wildcards::None),
            ("@", Wildcards::Separator),
            (".", Wildcards::None),
            ("a", Wildcards::None),
            ("abc", Wildcards::None),
            (r"10\%", Wildcards::None),
            (r"a\_b", Wildcards::None),
            ("abc%", Wildcards::Trailing),
            ("abc%%", Wildcards::Trailing),
            ("%", Wildcards::Anywhere),
            ("%a", Wildcards::Anywhere),
            ("%s, %2$s", Wildcards::Anywhere),
            ("%*s", Wildcards::Format),
            ("x%1$-5s", Wildcards::Format),
            ("%I.%s", Wildcards::Format),
            ("a%b", Wildcards::Anywhere),
            ("a_", Wildcards::Anywhere),
            (r"a%\%", Wildcards::Anywhere),
            (r"a\", Wildcards::Dangling),
            (r"%a\", Wildcards::Dangling),
            (r"a\\", Wildcards::None),
            ("7", Wildcards::Modest),
            ("2000-01-31", Wildcards::Modest),
            ("2000-01-31 12:00:00.5", Wildcards::Modest),
            ("1 Year 3 mons", Wildcards::Modest),
            ("1999", Wildcards::None),
            ("6700-1", Wildcards::None),
            ("290 millennia", Wildcards::None),
            ("years", Wildcards::None),
            ("$.a_b.datetime()", Wildcards::Path),
            ("$", Wildcards::Path),
            ("$5", Wildcards::None),
        ] {
            assert_eq!(Wildcards::of(pattern), expected, "{pattern}");
        }
    }
}
