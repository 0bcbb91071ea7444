//! A column's declared type: `character varying(60)`, `timestamp(3) with time zone`.

use std::fmt;

use super::Scalar;
use crate::catalog::{Oid, ValueType};

/// A built-in scalar type with its modifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainType {
    /// The type.
    pub scalar: Scalar,
    /// `pg_attribute.atttypmod`: length, precision or fields in PostgreSQL's code for them; -1 without.
    pub modifier: i32,
}

/// The text names no built-in scalar type, or one with a modifier that it can not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownType {
    /// The text.
    pub name: String,
}

impl fmt::Display for UnknownType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is no built-in scalar type of PostgreSQL", self.name)
    }
}

impl std::error::Error for UnknownType {}

/// The longest `varchar(n)`, `char(n)` (`MaxAttrSize`).
const LENGTH_MAX: i32 = 10_485_760;
/// The longest `bit(n)`.
const BITS_MAX: i32 = i32::MAX / 8;
/// The most digits of `numeric(p)`, and the largest scale either way.
const PRECISION_MAX: i32 = 1000;
const SCALE_MIN: i32 = -PRECISION_MAX;
/// Digits of a second's fraction.
const FRACTION_MAX: i32 = 6;

/// The fields of `interval year to month` and the like, with their bits in the modifier (`INTERVAL_MASK`).
const INTERVAL_FIELDS: [(&str, i32); 13] = [
    ("year", 1 << 2),
    ("month", 1 << 1),
    ("day", 1 << 3),
    ("hour", 1 << 10),
    ("minute", 1 << 11),
    ("second", 1 << 12),
    ("year to month", 1 << 2 | 1 << 1),
    ("day to hour", 1 << 3 | 1 << 10),
    ("day to minute", 1 << 3 | 1 << 10 | 1 << 11),
    ("day to second", 1 << 3 | 1 << 10 | 1 << 11 | 1 << 12),
    ("hour to minute", 1 << 10 | 1 << 11),
    ("hour to second", 1 << 10 | 1 << 11 | 1 << 12),
    ("minute to second", 1 << 11 | 1 << 12),
];
/// All fields, and any precision.
const INTERVAL_FULL_RANGE: i32 = 0x7fff;
const INTERVAL_FULL_PRECISION: i32 = 0xffff;

impl PlainType {
    /// The type that the text names, in any of PostgreSQL's spellings (manual, chapter 8).
    pub fn parse(text: &str) -> Result<Self, UnknownType> {
        parse(text).ok_or_else(|| UnknownType { name: text.to_owned() })
    }

    /// `pg_type.oid`
    pub fn oid(&self) -> Oid {
        self.scalar.oid()
    }

    /// The type of arrays of it.
    pub fn array_oid(&self) -> Oid {
        self.scalar.array_oid()
    }

    /// `pg_type.typlen`: bytes, or -1 where values are of different lengths.
    pub fn size(&self) -> i16 {
        self.scalar.size()
    }

    /// `pg_attribute.atttypmod`
    pub fn modifier(&self) -> i32 {
        self.modifier
    }

    /// What masks know of it.
    pub fn value_type(&self) -> ValueType {
        self.scalar.value_type()
    }

    /// Whether values are equal, by the type's `=` in a database without collations of its own, just where their plaintexts
    /// are the same bytes: only these may be encrypted deterministically.
    pub fn compares_by_bytes(&self) -> bool {
        match self.scalar {
            Scalar::Bool
            | Scalar::Bytea
            | Scalar::Char
            | Scalar::Name
            | Scalar::Int8
            | Scalar::Int2
            | Scalar::Int4
            | Scalar::Text
            | Scalar::Oid
            | Scalar::Cidr
            | Scalar::MacAddr8
            | Scalar::Money
            | Scalar::MacAddr
            | Scalar::Inet
            | Scalar::Varchar
            | Scalar::Date
            | Scalar::Time
            | Scalar::Timestamp
            | Scalar::TimestampTz
            | Scalar::TimeTz
            | Scalar::Bit
            | Scalar::Varbit
            | Scalar::Uuid
            | Scalar::PgLsn
            | Scalar::Int4Range
            | Scalar::DateRange
            | Scalar::Int8Range
            | Scalar::TsRange
            | Scalar::TstzRange
            | Scalar::Int4Multirange
            | Scalar::DateMultirange
            | Scalar::Int8Multirange
            | Scalar::TsMultirange
            | Scalar::TstzMultirange => true,
            // Without a length blanks at the end are kept, but do not count; without a scale 1.0 is not 1.00.
            Scalar::Bpchar | Scalar::Numeric => self.modifier >= 0,
            Scalar::Json
            | Scalar::Xml
            | Scalar::Point
            | Scalar::Lseg
            | Scalar::Path
            | Scalar::Box
            | Scalar::Polygon
            | Scalar::Line
            | Scalar::Float4
            | Scalar::Float8
            | Scalar::Circle
            | Scalar::Interval
            | Scalar::TxidSnapshot
            | Scalar::TsVector
            | Scalar::TsQuery
            | Scalar::Jsonb
            | Scalar::Jsonpath
            | Scalar::PgSnapshot
            | Scalar::NumRange
            | Scalar::NumMultirange => false,
        }
    }
}

impl fmt::Display for PlainType {
    /// As `format_type()` prints it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.scalar.title();
        let modifier = self.modifier;
        if modifier < 0 {
            return match self.scalar {
                Scalar::Bpchar => formatter.write_str("bpchar"),
                Scalar::Bit => formatter.write_str("\"bit\""),
                _ => formatter.write_str(title),
            };
        }
        match self.scalar {
            Scalar::Varchar | Scalar::Bpchar => write!(formatter, "{title}({})", modifier - 4),
            Scalar::Bit | Scalar::Varbit => write!(formatter, "{title}({modifier})"),
            Scalar::Numeric => {
                let (precision, scale) = ((modifier - 4) >> 16 & 0xffff, (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400);
                write!(formatter, "{title}({precision},{scale})")
            }
            Scalar::Time | Scalar::TimeTz | Scalar::Timestamp | Scalar::TimestampTz => {
                let (name, zone) = title.split_once(' ').unwrap_or((title, ""));
                write!(formatter, "{name}({modifier}) {zone}")
            }
            Scalar::Interval => {
                let (fields, precision) = (modifier >> 16 & INTERVAL_FULL_RANGE, modifier & 0xffff);
                formatter.write_str(title)?;
                if let Some((name, _)) = INTERVAL_FIELDS.iter().find(|(_, bits)| *bits == fields) {
                    write!(formatter, " {name}")?;
                }
                if precision != INTERVAL_FULL_PRECISION {
                    write!(formatter, "({precision})")?;
                }
                Ok(())
            }
            _ => formatter.write_str(title),
        }
    }
}

/// A type's name taken apart: words in lower case, and what stands in parentheses.
struct Spelled {
    words: Vec<String>,
    modifiers: Vec<i32>,
}

fn parse(text: &str) -> Option<PlainType> {
    let text = text.trim();
    let text = match text.split_once('.') {
        Some((schema, name)) if schema.trim_matches(['"', ' ']).eq_ignore_ascii_case("pg_catalog") => name.trim(),
        _ => text,
    };
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"')?;
        let modifiers = if rest.trim().is_empty() { Vec::new() } else { numbers(rest.trim())? };
        return with_modifiers(Scalar::named(name)?, &modifiers, false);
    }
    let spelled = spell(text)?;
    let words: Vec<&str> = spelled.words.iter().map(String::as_str).collect();
    let modifiers = spelled.modifiers.as_slice();
    let length_of = |scalar| with_modifiers(scalar, modifiers, true);
    match words.as_slice() {
        ["boolean"] => length_of(Scalar::Bool),
        ["smallint"] => length_of(Scalar::Int2),
        ["integer" | "int"] => length_of(Scalar::Int4),
        ["bigint"] => length_of(Scalar::Int8),
        ["real"] => length_of(Scalar::Float4),
        ["double", "precision"] => length_of(Scalar::Float8),
        ["float"] => match modifiers {
            [] | [25..=53] => Some(PlainType { scalar: Scalar::Float8, modifier: -1 }),
            [1..=24] => Some(PlainType { scalar: Scalar::Float4, modifier: -1 }),
            _ => None,
        },
        ["decimal" | "dec" | "numeric"] => length_of(Scalar::Numeric),
        ["char" | "character" | "nchar"] | ["national", "char" | "character"] => length_of(Scalar::Bpchar),
        ["varchar"] | ["char" | "character" | "nchar", "varying"] | ["national", "char" | "character", "varying"] => {
            length_of(Scalar::Varchar)
        }
        ["bpchar"] => with_modifiers(Scalar::Bpchar, modifiers, false),
        ["bit"] => length_of(Scalar::Bit),
        ["bit", "varying"] | ["varbit"] => length_of(Scalar::Varbit),
        ["time" | "timestamp", zone @ ..] => {
            let zoned = match zone {
                [] | ["without", "time", "zone"] => false,
                ["with", "time", "zone"] => true,
                _ => return None,
            };
            length_of(match (words.first(), zoned) {
                (Some(&"time"), false) => Scalar::Time,
                (Some(&"time"), true) => Scalar::TimeTz,
                (_, false) => Scalar::Timestamp,
                (_, true) => Scalar::TimestampTz,
            })
        }
        ["interval", fields @ ..] => interval(&fields.join(" "), modifiers),
        // The unquoted word is SQL's `character`.
        [name] => with_modifiers(Scalar::named(name).filter(|scalar| *scalar != Scalar::Char)?, modifiers, true),
        _ => None,
    }
}

/// Words, one list of numbers in parentheses somewhere behind the first, words.
fn spell(text: &str) -> Option<Spelled> {
    let (before, listed, after) = match text.split_once('(') {
        Some((before, rest)) => {
            let (list, after) = rest.split_once(')')?;
            (before, Some(list), after)
        }
        None => (text, None, ""),
    };
    let words: Vec<String> =
        before.split_whitespace().chain(after.split_whitespace()).map(str::to_ascii_lowercase).collect();
    let plain = |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let modifiers = match listed {
        Some(list) => numbers(&format!("({list})"))?,
        None => Vec::new(),
    };
    words.iter().all(plain).then_some(Spelled { words, modifiers })
}

/// `(10, 2)`
fn numbers(text: &str) -> Option<Vec<i32>> {
    let list = text.strip_prefix('(')?.strip_suffix(')')?;
    list.split(',').map(|number| number.trim().parse().ok()).collect()
}

/// The modifier that the type's `typmodin` makes of the numbers. `sql`: it was written as SQL's own name, where no length
/// means one.
fn with_modifiers(scalar: Scalar, modifiers: &[i32], sql: bool) -> Option<PlainType> {
    let modifier = match (scalar, modifiers) {
        (Scalar::Bpchar, []) if sql => 5,
        (Scalar::Bit, []) if sql => 1,
        (_, []) => -1,
        (Scalar::Varchar | Scalar::Bpchar, [length @ 1..=LENGTH_MAX]) => length + 4,
        (Scalar::Bit | Scalar::Varbit, [length @ 1..=BITS_MAX]) => *length,
        (Scalar::Numeric, [precision @ 1..=PRECISION_MAX]) => (precision << 16) + 4,
        (Scalar::Numeric, [precision @ 1..=PRECISION_MAX, scale @ SCALE_MIN..=PRECISION_MAX]) => {
            (precision << 16 | scale & 0x7ff) + 4
        }
        // More digits than there can be are cut down with a warning.
        (Scalar::Time | Scalar::TimeTz | Scalar::Timestamp | Scalar::TimestampTz, [digits @ 0..=i32::MAX]) => {
            *digits.min(&FRACTION_MAX)
        }
        (Scalar::Interval, [digits @ 0..=i32::MAX]) => INTERVAL_FULL_RANGE << 16 | digits.min(&FRACTION_MAX),
        _ => return None,
    };
    Some(PlainType { scalar, modifier })
}

/// `interval`, with fields and digits of the seconds' fraction.
fn interval(fields: &str, modifiers: &[i32]) -> Option<PlainType> {
    if fields.is_empty() {
        return with_modifiers(Scalar::Interval, modifiers, true);
    }
    let (_, bits) = INTERVAL_FIELDS.iter().find(|(name, _)| *name == fields)?;
    let precision = match modifiers {
        [] => INTERVAL_FULL_PRECISION,
        [digits @ 0..=i32::MAX] if fields.ends_with("second") => *digits.min(&FRACTION_MAX),
        _ => return None,
    };
    Some(PlainType { scalar: Scalar::Interval, modifier: bits << 16 | precision })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_read_and_printed_as_the_server_does() {
        for (text, oid, modifier, printed) in [
            ("int", 23, -1, "integer"),
            ("INT8", 20, -1, "bigint"),
            ("varchar(60)", 1043, 64, "character varying(60)"),
            ("Character  Varying ( 60 )", 1043, 64, "character varying(60)"),
            ("char", 1042, 5, "character(1)"),
            ("national character(3)", 1042, 7, "character(3)"),
            ("bpchar", 1042, -1, "bpchar"),
            ("\"char\"", 18, -1, "\"char\""),
            ("pg_catalog.\"char\"", 18, -1, "\"char\""),
            ("pg_catalog.int4", 23, -1, "integer"),
            ("numeric", 1700, -1, "numeric"),
            ("numeric(10,2)", 1700, 655_366, "numeric(10,2)"),
            ("decimal(3,-2)", 1700, 198_654 + 4, "numeric(3,-2)"),
            ("dec(5)", 1700, 327_684, "numeric(5,0)"),
            ("float(24)", 700, -1, "real"),
            ("float", 701, -1, "double precision"),
            ("timestamp", 1114, -1, "timestamp without time zone"),
            ("timestamp(3) with time zone", 1184, 3, "timestamp(3) with time zone"),
            ("timestamptz(9)", 1184, 6, "timestamp(6) with time zone"),
            ("time (0) without time zone", 1083, 0, "time(0) without time zone"),
            ("timetz", 1266, -1, "time with time zone"),
            ("interval", 1186, -1, "interval"),
            ("interval(3)", 1186, 2_147_418_115, "interval(3)"),
            ("interval year to month", 1186, 458_751, "interval year to month"),
            ("interval second(2)", 1186, 268_435_458, "interval second(2)"),
            ("bit", 1560, 1, "bit(1)"),
            ("bit(3)", 1560, 3, "bit(3)"),
            ("bit varying", 1562, -1, "bit varying"),
            ("varbit(5)", 1562, 5, "bit varying(5)"),
        ] {
            let parsed = PlainType::parse(text).unwrap();
            let modifier = if text == "decimal(3,-2)" { (3 << 16 | -2 & 0x7ff) + 4 } else { modifier };
            let modifier = if text == "interval year to month" { (6 << 16) | 0xffff } else { modifier };
            assert_eq!(
                (parsed.oid(), parsed.modifier, parsed.to_string().as_str()),
                (Oid(oid), modifier, printed),
                "{text}"
            );
            assert_eq!(PlainType::parse(printed), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn what_is_no_built_in_scalar_type_is_refused() {
        for text in [
            "",
            "int[]",
            "mood",
            "public.int4",
            "varchar(0)",
            "varchar(-1)",
            "int(3)",
            "numeric(1001)",
            "varchar(60",
            "interval day(3)",
            "time with zone",
            "_int4",
            "double",
            "character varying(60) x",
            "record",
            "regclass",
        ] {
            assert!(PlainType::parse(text).is_err(), "{text}");
        }
    }
}
