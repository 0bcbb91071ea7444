//! The fixed value of `replace`, in the form that the type writes it in.

use bytes::{BufMut, BytesMut};

use super::Format;
use super::date::{self, DateType, IsoText};
use super::decimal::Decimal;
use super::number;
use crate::catalog::ValueType;

/// Whether the text is a value of the type, as far as pgveil can tell without asking the server.
pub(super) fn is_value(text: &str, value_type: &ValueType) -> bool {
    constant(text, value_type, Format::Text).is_some()
}

/// The value that a text stands for, as the server would send it. `None`: not a value of the type, or not a type that
/// values can be made of.
pub(super) fn constant(text: &str, value_type: &ValueType, format: Format) -> Option<Vec<u8>> {
    let word = text.trim();
    match value_type {
        ValueType::Text => Some(text.as_bytes().to_vec()),
        ValueType::Char => match text.as_bytes() {
            [byte] if byte.is_ascii() => Some(vec![*byte]),
            _ => None,
        },
        ValueType::Bool => {
            let truth = boolean(word)?;
            Some(in_format(format, if truth { "t" } else { "f" }, &[u8::from(truth)]))
        }
        ValueType::Int2 => {
            let number: i16 = word.parse().ok()?;
            Some(in_format(format, &number.to_string(), &number.to_be_bytes()))
        }
        ValueType::Int4 => {
            let number: i32 = word.parse().ok()?;
            Some(in_format(format, &number.to_string(), &number.to_be_bytes()))
        }
        ValueType::Int8 => {
            let number: i64 = word.parse().ok()?;
            Some(in_format(format, &number.to_string(), &number.to_be_bytes()))
        }
        ValueType::Oid => {
            let number: u32 = word.parse().ok()?;
            Some(in_format(format, &number.to_string(), &number.to_be_bytes()))
        }
        ValueType::Float4 => {
            Decimal::parse(word)?;
            let number: f32 = word.parse().ok().filter(|number: &f32| number.is_finite())?;
            Some(in_format(format, &number::float4_text(number), &number.to_be_bytes()))
        }
        ValueType::Float8 => {
            Decimal::parse(word)?;
            let number: f64 = word.parse().ok().filter(|number: &f64| number.is_finite())?;
            Some(in_format(format, &number::float8_text(number), &number.to_be_bytes()))
        }
        ValueType::Numeric => {
            let number = Decimal::parse(word)?;
            let (mut text, mut binary) = (BytesMut::new(), BytesMut::new());
            number.write_text(&mut text);
            number.write_binary(&mut binary)?;
            Some(match format {
                Format::Text => text.to_vec(),
                Format::Binary => binary.to_vec(),
            })
        }
        ValueType::Uuid => {
            let uuid: uuid::Uuid = word.parse().ok()?;
            Some(in_format(format, &uuid.hyphenated().to_string(), uuid.as_bytes()))
        }
        ValueType::Date | ValueType::Timestamp | ValueType::TimestampTz => moment(word, value_type, format),
        ValueType::Json | ValueType::Jsonb => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
            let jsonb = matches!((value_type, format), (ValueType::Jsonb, Format::Binary));
            let version: &[u8] = if jsonb { &[1] } else { &[] };
            Some([version, text.as_bytes()].concat())
        }
        ValueType::Bytea => {
            let digits = word.strip_prefix("\\x")?;
            let bytes = from_hex(digits.as_bytes())?;
            Some(in_format(format, &word.to_ascii_lowercase(), &bytes))
        }
        ValueType::Enum(first) => match first {
            Some(label) if **label == *text => Some(text.as_bytes().to_vec()),
            // The other labels are not known here.
            Some(_) | None => None,
        },
        ValueType::Money
        | ValueType::Jsonpath
        | ValueType::Xml
        | ValueType::Time
        | ValueType::TimeTz
        | ValueType::Interval
        | ValueType::Inet
        | ValueType::Cidr
        | ValueType::MacAddr
        | ValueType::MacAddr8
        | ValueType::Bits
        | ValueType::TsVector
        | ValueType::TsQuery
        | ValueType::PgLsn
        | ValueType::Point
        | ValueType::Line
        | ValueType::Lseg
        | ValueType::Box
        | ValueType::Path
        | ValueType::Polygon
        | ValueType::Circle
        | ValueType::Range(_)
        | ValueType::Multirange(_)
        | ValueType::Array(..)
        | ValueType::Composite(_)
        | ValueType::Record
        | ValueType::Unknown => None,
    }
}

fn in_format(format: Format, text: &str, binary: &[u8]) -> Vec<u8> {
    match format {
        Format::Text => text.as_bytes().to_vec(),
        Format::Binary => binary.to_vec(),
    }
}

fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "t" | "true" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A date, or a date with a time that is taken as UTC for `timestamptz`.
fn moment(word: &str, value_type: &ValueType, format: Format) -> Option<Vec<u8>> {
    let mut text = BytesMut::new();
    if matches!(value_type, ValueType::Date) {
        let date = IsoText::parse(word, DateType::Date)?;
        date::put_date(date.days, &mut text);
        let days = i32::try_from(date.days).ok()?;
        return Some(match format {
            Format::Text => text.to_vec(),
            Format::Binary => days.to_be_bytes().to_vec(),
        });
    }
    let written = if word.contains(' ') { word.to_owned() } else { format!("{word} 00:00:00") };
    let written = written.strip_suffix("+00").unwrap_or(&written);
    let microseconds = IsoText::parse(written, DateType::Timestamp)?.microseconds()?;
    text.put_slice(written.as_bytes());
    if matches!(value_type, ValueType::TimestampTz) {
        text.put_slice(b"+00");
    }
    Some(match format {
        Format::Text => text.to_vec(),
        Format::Binary => microseconds.to_be_bytes().to_vec(),
    })
}

/// Bytes from pairs of hexadecimal digits.
pub(super) fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(value(*high)? * 16 + value(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_a_value_of_the_type_replaces_it() {
        for (text, value_type, shown, binary) in [
            ("x", ValueType::Text, "x", &b"x"[..]),
            ("yes", ValueType::Bool, "t", &[1]),
            ("-7", ValueType::Int2, "-7", &[0xff, 0xf9]),
            ("7", ValueType::Int8, "7", &[0, 0, 0, 0, 0, 0, 0, 7]),
            ("1.50", ValueType::Float4, "1.5", &[0x3f, 0xc0, 0, 0]),
            ("1e20", ValueType::Float8, "1e+20", &[0x44, 0x15, 0xaf, 0x1d, 0x78, 0xb5, 0x8c, 0x40]),
            ("1.50", ValueType::Numeric, "1.50", &[0, 2, 0, 0, 0, 0, 0, 2, 0, 1, 0x13, 0x88]),
            ("2000-01-02", ValueType::Date, "2000-01-02", &[0, 0, 0, 1]),
            ("2000-01-01", ValueType::TimestampTz, "2000-01-01 00:00:00+00", &[0; 8]),
            ("{\"a\":1}", ValueType::Jsonb, "{\"a\":1}", b"\x01{\"a\":1}"),
            ("\\xAB", ValueType::Bytea, "\\xab", &[0xab]),
        ] {
            assert_eq!(constant(text, &value_type, Format::Text).as_deref(), Some(shown.as_bytes()), "{text}");
            assert_eq!(constant(text, &value_type, Format::Binary).as_deref(), Some(binary), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_value_of_the_type_does_not() {
        for (text, value_type) in [
            ("x", ValueType::Int4),
            ("40000", ValueType::Int2),
            ("nan", ValueType::Float8),
            ("1e39", ValueType::Float4),
            ("{", ValueType::Json),
            ("31.12.2020", ValueType::Date),
            ("other", ValueType::Enum(Some("first".into()))),
            ("x", ValueType::Unknown),
        ] {
            assert!(!is_value(text, &value_type), "{text}");
        }
    }
}
