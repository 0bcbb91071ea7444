//! SQL that tells whether a value is what a rule shows of the value that is stored: where masks are values that may as
//! well be real, only the server can say.

use super::date::DateType;
use super::{CellRule, DateUnit, Format, HiddenForm, Mask, TextEncoding, hidden};
use crate::catalog::ValueType;

impl CellRule {
    /// A condition that is true where `new` is what this rule shows of `stored`: both are SQL expressions of the type
    /// `type_name`. `None`: it can not be told in SQL, for want of the key or of a form.
    ///
    /// It tells the caller no more than the mask does: where it is true, what is shown afterwards is the same as if `new`
    /// had been stored.
    pub fn shown_sql(&self, new: &str, stored: &str, type_name: &str, value_type: &ValueType) -> Option<String> {
        let constant = |text: Option<Vec<u8>>| {
            let text = String::from_utf8(text?).ok()?;
            let text = text.replace('\'', "''");
            // What holds a backslash is read by a setting, which may be changed.
            let safe = !text.contains('\\');
            safe.then(|| match value_type {
                // however many places the one or the other has
                ValueType::Numeric => format!("(({new}) = '{text}'::{type_name})"),
                _ => format!("(({new})::pg_catalog.text = ('{text}'::{type_name})::pg_catalog.text)"),
            })
        };
        let redacted = || hidden::redacted(value_type, Format::Text, TextEncoding::Utf8);
        if matches!(value_type, ValueType::Array(..) | ValueType::Composite(_)) {
            return None;
        }
        match self {
            Self::Keep | Self::Row(_) | Self::Hide(HiddenForm::Null) => None,
            Self::Hide(HiddenForm::Empty) => constant(hidden::empty(value_type, Format::Text, TextEncoding::Utf8)),
            Self::Redact => constant(redacted()),
            Self::Mask(mask) if !mask.fits(value_type) => constant(redacted()),
            Self::Mask(mask) => match &**mask {
                Mask::Full if matches!(value_type, ValueType::Text) => None,
                Mask::Full => constant(redacted()),
                Mask::Replace(text) => constant(super::replace::constant(text, value_type, Format::Text)),
                Mask::Partial { prefix, suffix, pad } if !pad.contains('\\') => {
                    let (core, pad) =
                        (format!("pg_catalog.rtrim(({stored})::pg_catalog.text)"), pad.replace('\'', "''"));
                    Some(format!(
                        "(pg_catalog.rtrim(({new})::pg_catalog.text) = pg_catalog.rtrim(CASE WHEN \
                         pg_catalog.char_length({core}) > {} THEN pg_catalog.left({core}, {prefix}) || '{pad}' || \
                         pg_catalog.right({core}, {suffix}) ELSE '{pad}' END))",
                        prefix.checked_add(*suffix)?
                    ))
                }
                Mask::Round(step) => Some(is_multiple(new, stored, step, type_name, value_type, false)),
                Mask::Bucket(step) => Some(is_multiple(new, stored, step, type_name, value_type, true)),
                Mask::DateTrunc(unit) => is_cut_down(new, stored, *unit, value_type),
                Mask::Network { v4, v6 } => is_network(new, stored, *v4, *v6, value_type),
                Mask::Partial { .. }
                | Mask::ShowFirst(_)
                | Mask::ShowLast(_)
                | Mask::Email
                | Mask::Phone { .. }
                | Mask::Card
                | Mask::Iban
                | Mask::Hash { .. }
                | Mask::Pseudonym { .. }
                | Mask::Nullify => None,
            },
        }
    }
}

/// Exact in `numeric`: `div` and `mod` lose no digit, which a division would.
fn is_multiple(new: &str, stored: &str, step: &str, type_name: &str, value_type: &ValueType, down: bool) -> String {
    let number = format!("({stored})::pg_catalog.text::pg_catalog.numeric");
    let multiple = if down {
        format!("({number} - pg_catalog.mod(pg_catalog.mod({number}, {step}) + {step}, {step}))")
    } else {
        format!(
            "(pg_catalog.sign({number}) * pg_catalog.div(pg_catalog.abs({number}) * 2 + {step}, {step} * 2) * {step})"
        )
    };
    let range = match value_type {
        ValueType::Int2 => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
        ValueType::Int4 => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        ValueType::Int8 => Some((i64::MIN, i64::MAX)),
        _ => None,
    };
    // What can not be rounded in its type shows as 0.
    let shown = match range {
        Some((least, most)) => format!("CASE WHEN {multiple} BETWEEN {least} AND {most} THEN {multiple} ELSE 0 END"),
        None => format!(
            "CASE WHEN ({stored})::pg_catalog.text IN ('NaN', 'Infinity', '-Infinity') THEN 0 ELSE {multiple} END"
        ),
    };
    format!("(({new}) = CAST({shown} AS {type_name}))")
}

fn is_cut_down(new: &str, stored: &str, unit: DateUnit, value_type: &ValueType) -> Option<String> {
    let of = match value_type {
        ValueType::Date => DateType::Date,
        ValueType::Timestamp => DateType::Timestamp,
        ValueType::TimestampTz => DateType::TimestampTz,
        _ => return None,
    };
    let unit = match unit {
        DateUnit::Year => "year",
        DateUnit::Month => "month",
        DateUnit::Day => "day",
        DateUnit::Hour => "hour",
    };
    // Text of another style than ISO shows as the first day of 1970.
    let other_style = "pg_catalog.current_setting('DateStyle') NOT LIKE 'ISO%'";
    Some(match of {
        DateType::Date => format!(
            "(({new}) = pg_catalog.date_trunc('{unit}', ({stored})::pg_catalog.timestamp)::pg_catalog.date OR \
             (({new}) = '1970-01-01'::pg_catalog.date AND {other_style}))"
        ),
        DateType::Timestamp => format!(
            "(({new}) = pg_catalog.date_trunc('{unit}', {stored}) OR \
             (({new}) = '1970-01-01'::pg_catalog.timestamp AND {other_style}))"
        ),
        // In text the zone is the session's, in binary form it is UTC.
        DateType::TimestampTz => format!(
            "(({new}) = pg_catalog.date_trunc('{unit}', {stored}) OR ({new}) = pg_catalog.timezone('UTC', \
             pg_catalog.date_trunc('{unit}', pg_catalog.timezone('UTC', {stored}))) OR \
             (({new}) = '1970-01-01 00:00:00+00'::pg_catalog.timestamptz AND {other_style}))"
        ),
    })
}

fn is_network(new: &str, stored: &str, v4: u8, v6: u8, value_type: &ValueType) -> Option<String> {
    let length = format!("pg_catalog.masklen({stored})");
    let kept = format!("CASE pg_catalog.family({stored}) WHEN 4 THEN {v4} ELSE {v6} END");
    let network =
        format!("pg_catalog.network(pg_catalog.set_masklen(({stored})::pg_catalog.inet, LEAST({length}, {kept})))");
    match value_type {
        ValueType::Cidr => Some(format!("(({new}) = {network})")),
        // A host address stays one.
        ValueType::Inet => Some(format!(
            "(({new}) = CASE WHEN {length} = CASE pg_catalog.family({stored}) WHEN 4 THEN 32 ELSE 128 END THEN \
             pg_catalog.host({network})::pg_catalog.inet ELSE {network}::pg_catalog.inet END)"
        )),
        _ => None,
    }
}
