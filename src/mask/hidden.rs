//! Values that say nothing: for each type one that the server's own input functions accept.

use bytes::BytesMut;

use super::cell::put_field;
use super::{Format, TextEncoding, record};
use crate::catalog::ValueType;

/// Stands for a redacted text, however long the text is.
const REDACTED_TEXT: &str = "####";
/// 1970-01-01 in days from 2000-01-01.
const EPOCH_DAYS: i32 = -10_957;
/// 1970-01-01 00:00:00 in microseconds from 2000-01-01.
const EPOCH_MICROSECONDS: i64 = -946_684_800_000_000;

/// The type's empty value. `None`: it has none that is safe to show, so NULL is all that is left.
pub(super) fn empty(value_type: &ValueType, format: Format, encoding: TextEncoding) -> Option<Vec<u8>> {
    constant(value_type, format, encoding, "")
}

/// The type's redacted value: as [`empty`], but a text shows that it is redacted.
pub(super) fn redacted(value_type: &ValueType, format: Format, encoding: TextEncoding) -> Option<Vec<u8>> {
    constant(value_type, format, encoding, REDACTED_TEXT)
}

fn constant(value_type: &ValueType, format: Format, encoding: TextEncoding, text: &str) -> Option<Vec<u8>> {
    let (shown, binary): (&str, &[u8]) = match value_type {
        ValueType::Bool => ("f", &[0]),
        ValueType::Int2 => ("0", &[0; 2]),
        // `0` and not the `-` of `regclass`: the types that share this form all take it.
        ValueType::Int4 | ValueType::Oid | ValueType::Float4 => ("0", &[0; 4]),
        ValueType::Int8 | ValueType::Float8 | ValueType::Numeric => ("0", &[0; 8]),
        ValueType::Money => match format {
            // Its text depends on the server's `lc_monetary`.
            Format::Text => return None,
            Format::Binary => ("", &[0; 8]),
        },
        ValueType::Text => (text, text.as_bytes()),
        ValueType::Char => match text.as_bytes() {
            [] => ("", &[0]),
            [..] => ("#", b"#"),
        },
        ValueType::Bytea => ("\\x", &[]),
        ValueType::Json => ("null", b"null"),
        ValueType::Jsonb => ("null", b"\x01null"),
        ValueType::Jsonpath => ("$", b"\x01$"),
        ValueType::Xml => ("", &[]),
        ValueType::Uuid => ("00000000-0000-0000-0000-000000000000", &[0; 16]),
        ValueType::Date => ("1970-01-01", &EPOCH_DAYS.to_be_bytes()),
        ValueType::Time => ("00:00:00", &[0; 8]),
        ValueType::TimeTz => ("00:00:00+00", &[0; 12]),
        ValueType::Timestamp => ("1970-01-01 00:00:00", &EPOCH_MICROSECONDS.to_be_bytes()),
        ValueType::TimestampTz => ("1970-01-01 00:00:00+00", &EPOCH_MICROSECONDS.to_be_bytes()),
        ValueType::Interval => ("00:00:00", &[0; 16]),
        ValueType::Inet => ("0.0.0.0", &[2, 32, 0, 4, 0, 0, 0, 0]),
        ValueType::Cidr => ("0.0.0.0/32", &[2, 32, 1, 4, 0, 0, 0, 0]),
        ValueType::MacAddr => ("00:00:00:00:00:00", &[0; 6]),
        ValueType::MacAddr8 => ("00:00:00:00:00:00:00:00", &[0; 8]),
        // One bit: `bit` without a length is `bit(1)`, and drivers read it as false.
        ValueType::Bits => ("0", &[0, 0, 0, 1, 0]),
        // The server sends an empty `tsquery` so, though it does not take one back.
        ValueType::TsVector | ValueType::TsQuery => ("", &[0; 4]),
        ValueType::PgLsn => ("0/0", &[0; 8]),
        ValueType::Point => ("(0,0)", &[0; 16]),
        // y = 0: a line needs a direction.
        ValueType::Line => ("{0,1,0}", &[0, 0, 0, 0, 0, 0, 0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ValueType::Lseg => ("[(0,0),(0,0)]", &[0; 32]),
        ValueType::Box => ("(0,0),(0,0)", &[0; 32]),
        // A closed path of one point.
        ValueType::Path => ("((0,0))", &[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ValueType::Polygon => ("((0,0))", &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ValueType::Circle => ("<(0,0),0>", &[0; 24]),
        ValueType::Enum(label) => {
            let label = label.as_deref().filter(|label| encoding.writes(label.as_bytes()))?;
            (label, label.as_bytes())
        }
        ValueType::Range(_) => ("empty", &[1]),
        ValueType::Multirange(_) => ("{}", &[0; 4]),
        ValueType::Array(element, _) => match format {
            Format::Text => ("{}", &[]),
            // No dimensions, no NULLs, the element type.
            Format::Binary => return Some([&[0; 8][..], &element.0.to_be_bytes()].concat()),
        },
        ValueType::Composite(fields) => {
            let shown: Vec<_> = fields.iter().map(|(_, field)| constant(field, format, encoding, text)).collect();
            let mut out = BytesMut::new();
            match format {
                Format::Text => record::put_text(shown.iter().map(Option::as_deref), &mut out),
                Format::Binary => {
                    out.extend_from_slice(&i32::try_from(fields.len()).ok()?.to_be_bytes());
                    for ((oid, _), value) in fields.iter().zip(shown) {
                        out.extend_from_slice(&oid.0.to_be_bytes());
                        put_field(value.as_deref(), &mut out);
                    }
                }
            }
            return Some(out.to_vec());
        }
        ValueType::Record | ValueType::Unknown => return None,
    };
    Some(match format {
        Format::Text => shown.as_bytes().to_vec(),
        Format::Binary => binary.to_vec(),
    })
}

/// Whether the type's hidden value holds a NULL where a value should be, for want of a better one.
pub(super) fn is_buildable(value_type: &ValueType, format: Format, encoding: TextEncoding) -> bool {
    match value_type {
        ValueType::Composite(fields) => fields.iter().all(|(_, field)| is_buildable(field, format, encoding)),
        _ => empty(value_type, format, encoding).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Oid;

    #[test]
    fn a_row_is_hidden_field_by_field() {
        let row = ValueType::Composite(vec![
            (Oid(23), ValueType::Int4),
            (Oid(25), ValueType::Text),
            (Oid(99_999), ValueType::Unknown),
        ]);
        let encoding = TextEncoding::Utf8;
        assert_eq!(empty(&row, Format::Text, encoding).unwrap(), b"(0,\"\",)");
        assert_eq!(redacted(&row, Format::Text, encoding).unwrap(), b"(0,####,)");
        let binary = [
            &[0, 0, 0, 3][..],
            &[0, 0, 0, 23, 0, 0, 0, 4, 0, 0, 0, 0],
            &[0, 0, 0, 25, 0, 0, 0, 0],
            &[0, 1, 0x86, 0x9f, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(empty(&row, Format::Binary, encoding).unwrap(), binary);
        assert!(!is_buildable(&row, Format::Binary, encoding));
    }

    #[test]
    fn labels_that_the_client_would_misread_are_not_shown() {
        let mood = ValueType::Enum(Some("fröhlich".into()));
        assert_eq!(empty(&mood, Format::Text, TextEncoding::Utf8).unwrap(), "fröhlich".as_bytes());
        assert_eq!(empty(&mood, Format::Text, TextEncoding::SingleByte), None);
        assert_eq!(empty(&ValueType::Enum(None), Format::Text, TextEncoding::Utf8), None);
    }
}
