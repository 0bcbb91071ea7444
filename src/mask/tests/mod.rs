//! Claims that hold for every rule, type and format.

mod resemblances;
mod structures;

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;

use super::cursor::Cursor;
use super::{CATALOGUE, CellMask, CellRule, DateUnit, Format, HiddenForm, Mask, MaskKeys, TextEncoding, record};
use crate::catalog::{Oid, ValueType};

fn keys() -> MaskKeys {
    let mut keys = MaskKeys::default();
    keys.insert("default", [3; 32]);
    keys
}

fn masks() -> Vec<Mask> {
    let key: Arc<str> = "default".into();
    vec![
        Mask::Full,
        Mask::Partial { prefix: 1, suffix: 2, pad: "***".into() },
        Mask::ShowFirst(2),
        Mask::ShowLast(4),
        Mask::Email,
        Mask::Phone { keep: 3 },
        Mask::Card,
        Mask::Iban,
        Mask::Hash { key: key.clone(), digits: 16 },
        Mask::Hash { key: "missing".into(), digits: 16 },
        Mask::Pseudonym { key },
        Mask::DateTrunc(DateUnit::Year),
        Mask::DateTrunc(DateUnit::Month),
        Mask::DateTrunc(DateUnit::Day),
        Mask::DateTrunc(DateUnit::Hour),
        Mask::Round("10".into()),
        Mask::Round("0.5".into()),
        Mask::Bucket("1000".into()),
        Mask::Network { v4: 24, v6: 48 },
        Mask::Replace("7".into()),
        Mask::Replace("größer".into()),
        Mask::Nullify,
    ]
}

fn scalars() -> Vec<ValueType> {
    use ValueType::*;
    vec![
        Bool,
        Int2,
        Int4,
        Int8,
        Oid,
        Float4,
        Float8,
        Numeric,
        Money,
        Text,
        Char,
        Bytea,
        Json,
        Jsonb,
        Jsonpath,
        Xml,
        Uuid,
        Date,
        Time,
        TimeTz,
        Timestamp,
        TimestampTz,
        Interval,
        Inet,
        Cidr,
        MacAddr,
        MacAddr8,
        Bits,
        TsVector,
        TsQuery,
        PgLsn,
        Point,
        Line,
        Lseg,
        Box,
        Path,
        Polygon,
        Circle,
    ]
}

fn row_type() -> ValueType {
    ValueType::Composite(vec![(Oid(25), ValueType::Text), (Oid(23), ValueType::Int4), (Oid(17), ValueType::Bytea)])
}

fn types() -> Vec<ValueType> {
    let mut types = scalars();
    types.extend([
        ValueType::Enum(Some("sad".into())),
        ValueType::Enum(None),
        ValueType::Range(ValueType::Int4.into()),
        ValueType::Multirange(ValueType::Date.into()),
        ValueType::Array(Oid(25), ValueType::Text.into()),
        ValueType::Array(Oid(23), ValueType::Int4.into()),
        ValueType::Array(Oid(603), ValueType::Box.into()),
        row_type(),
        ValueType::Array(Oid(90_000), row_type().into()),
        ValueType::Record,
        ValueType::Unknown,
    ]);
    types
}

fn rules() -> Vec<CellRule> {
    let mut rules: Vec<CellRule> = masks().into_iter().map(|mask| CellRule::Mask(Arc::new(mask))).collect();
    let mask = |mask| CellRule::Mask(Arc::new(mask));
    rules.extend([
        CellRule::Keep,
        CellRule::Hide(HiddenForm::Null),
        CellRule::Hide(HiddenForm::Empty),
        CellRule::Redact,
        CellRule::Row(vec![]),
        CellRule::Row(vec![CellRule::Keep, CellRule::Redact, CellRule::Hide(HiddenForm::Empty)]),
        CellRule::Row(vec![mask(Mask::Email), CellRule::Keep, mask(Mask::Nullify)]),
        CellRule::Row(vec![CellRule::Row(vec![CellRule::Keep]), CellRule::Keep, CellRule::Keep]),
    ]);
    rules
}

/// What is shown of a cell; the frame around it is checked.
fn shown(mask: &CellMask, cell: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut out = BytesMut::from(&b"before"[..]);
    mask.apply(cell, &mut out);
    let mut framed = Cursor(out.strip_prefix(b"before").unwrap());
    let shown = framed.field().unwrap().map(<[u8]>::to_vec);
    framed.end().unwrap();
    shown
}

fn text_shown(mask: &Mask, value: &str) -> String {
    let rule = CellRule::Mask(Arc::new(mask.clone()));
    let mask = CellMask::new(&rule, &ValueType::Text, Format::Text, &keys());
    String::from_utf8(shown(&mask, Some(value.as_bytes())).unwrap()).unwrap()
}

/// Texts of every sort that some mask knows, and others.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,24}",
        "[a-zé .]{0,5}@?[a-z.]{0,9} {0,2}",
        "\\+?[0-9 ()/-]{0,20}",
        "[A-Z]{2}[0-9]{2}[A-Z0-9 ]{8,30}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,2})?",
        "[0-9]{0,12}",
    ]
}

/// Bytes that come near to values in text or binary form, so that they get past the first check.
fn any_cell() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        bytes(),
        any_text().prop_map(String::into_bytes),
        "[\\[\\]{}\",;\\\\() NULa1:=]{0,30}".prop_map(String::into_bytes),
        "\\{(\"?[a-z\\\\]{0,3}\"?,){0,3}\\}".prop_map(String::into_bytes),
        "-?[0-9]{1,5}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?(\\+0[0-9])?)?( BC)?"
            .prop_map(String::into_bytes),
        (0_u8..4, bytes()).prop_map(|(count, tail)| [&[0, 0, 0, count][..], &tail].concat()),
        (0_u8..3, 0_u8..4, bytes()).prop_map(|(dimensions, length, tail)| {
            let head = [0, 0, 0, dimensions, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, length, 0, 0, 0, 1, 0, 0, 0, 1];
            [&head[..], &tail].concat()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_bytes_panic_or_break_the_frame(cell in any_cell()) {
        let keys = keys();
        for value_type in types() {
            for rule in rules() {
                for format in [Format::Text, Format::Binary] {
                    for encoding in [TextEncoding::Utf8, TextEncoding::SingleByte, TextEncoding::MultiByte] {
                        let mask = CellMask::for_encoding(&rule, &value_type, format, encoding, &keys);
                        let first = shown(&mask, Some(&cell));
                        prop_assert_eq!(shown(&mask, Some(&cell)), first);
                    }
                }
            }
        }
    }

    #[test]
    fn kept_length_is_kept_in_characters(value in any_text()) {
        for mask in masks().into_iter().filter(Mask::keeps_length) {
            prop_assert_eq!(text_shown(&mask, &value).chars().count(), value.chars().count(), "{:?}", mask);
        }
    }

    #[test]
    fn no_more_characters_stay_than_the_mask_says(value in any_text()) {
        for mask in masks() {
            let stay = match &mask {
                Mask::Full => 0,
                Mask::ShowFirst(count) | Mask::ShowLast(count) => *count,
                Mask::Email => 1,
                Mask::Phone { keep } => *keep,
                Mask::Card => 4,
                Mask::Iban => 6,
                Mask::Partial { .. }
                | Mask::Hash { .. }
                | Mask::Pseudonym { .. }
                | Mask::DateTrunc(_)
                | Mask::Round(_)
                | Mask::Bucket(_)
                | Mask::Network { .. }
                | Mask::Replace(_)
                | Mask::Nullify => continue,
            };
            // What is left of the shape is no secret: white space, and the separators that the mask names.
            let shape = |character: char| match &mask {
                Mask::Email => matches!(character, '@' | '.'),
                Mask::Phone { .. } | Mask::Card => "+-()./".contains(character),
                _ => false,
            };
            let same = value
                .chars()
                .zip(text_shown(&mask, &value).chars())
                .filter(|(old, new)| old == new && *new != '#' && !new.is_whitespace() && !shape(*new))
                .count();
            prop_assert!(same <= stay, "{:?}: {} characters stay", mask, same);
        }
    }

    #[test]
    fn partial_shows_its_ends_and_never_all(value in "[a-y]{0,12}", prefix in 0_usize..4, suffix in 0_usize..4) {
        let shown = text_shown(&Mask::Partial { prefix, suffix, pad: "zzz".into() }, &value);
        let kept = shown.chars().filter(|character| *character != 'z').count();
        let expected = if value.len() > prefix + suffix { prefix + suffix } else { 0 };
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn keyed_masks_show_nothing_of_the_value(value in "[A-Z ]{1,40}") {
        for mask in [Mask::Hash { key: "default".into(), digits: 64 }, Mask::Pseudonym { key: "default".into() }] {
            let shown = text_shown(&mask, &value);
            prop_assert!(!shown.contains(|character: char| character.is_ascii_uppercase() || character == ' '));
            prop_assert_eq!(text_shown(&mask, &value), shown);
        }
    }

    #[test]
    fn kept_fields_keep_their_bytes(fields in proptest::collection::vec(proptest::option::of(".{0,10}"), 3), mask in 0_usize..4) {
        // One field is hidden, the others stay as they were; with none hidden, all do.
        let rules: Vec<_> = (0..3)
            .map(|place| if place == mask { CellRule::Hide(HiddenForm::Null) } else { CellRule::Keep })
            .collect();
        let mut left = fields.clone();
        if let Some(field) = left.get_mut(mask) {
            *field = None;
        }
        let text = |fields: &[Option<String>]| {
            let mut out = BytesMut::new();
            record::put_text(fields.iter().map(|field| field.as_deref().map(str::as_bytes)), &mut out);
            out.to_vec()
        };
        let binary = |fields: &[Option<String>]| {
            let mut out = vec![0, 0, 0, 3];
            for field in fields {
                out.extend([0, 0, 0, 25]);
                match field {
                    Some(value) => {
                        out.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                        out.extend(value.as_bytes());
                    }
                    None => out.extend((-1_i32).to_be_bytes()),
                }
            }
            out
        };
        let known = ValueType::Composite(vec![(Oid(25), ValueType::Text); 3]);
        for value_type in [known, ValueType::Record] {
            let rule = CellRule::Row(rules.clone());
            let in_text = CellMask::new(&rule, &value_type, Format::Text, &keys());
            let in_binary = CellMask::new(&rule, &value_type, Format::Binary, &keys());
            prop_assert_eq!(shown(&in_text, Some(&text(&fields))), Some(text(&left)));
            prop_assert_eq!(shown(&in_binary, Some(&binary(&fields))), Some(binary(&left)));

            // The same rows as elements of an array.
            let rows = ValueType::Array(Oid(2249), value_type.into());
            let in_text = CellMask::new(&rule, &rows, Format::Text, &keys());
            prop_assert_eq!(shown(&in_text, Some(&array_text(&[text(&fields)]))), Some(array_text(&[text(&left)])));
            let in_binary = CellMask::new(&rule, &rows, Format::Binary, &keys());
            let head = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x08, 0xc9, 0, 0, 0, 1, 0, 0, 0, 1];
            let array = |row: Vec<u8>| [&head[..], &u32::try_from(row.len()).unwrap().to_be_bytes(), &row].concat();
            prop_assert_eq!(shown(&in_binary, Some(&array(binary(&fields)))), Some(array(binary(&left))));
        }
    }

    #[test]
    fn array_elements_are_masked_one_by_one(elements in proptest::collection::vec(".{0,8}", 1..5), last in 0_usize..5) {
        let rule = CellRule::Mask(Arc::new(Mask::ShowLast(last)));
        let mask = CellMask::new(&rule, &ValueType::Array(Oid(25), ValueType::Text.into()), Format::Text, &keys());
        let given: Vec<Vec<u8>> = elements.iter().map(|element| element.clone().into_bytes()).collect();
        let masked: Vec<Vec<u8>> =
            elements.iter().map(|element| text_shown(&Mask::ShowLast(last), element).into_bytes()).collect();
        prop_assert_eq!(shown(&mask, Some(&array_text(&given))), Some(array_text(&masked)));
    }
}

/// A one-dimensional array as `array_out` writes it.
fn array_text(elements: &[Vec<u8>]) -> Vec<u8> {
    let quoted = elements.iter().map(|element| {
        let special = |byte: &u8| b"\"\\{}, \t\n\r\x0b\x0c".contains(byte);
        if !element.is_empty() && !element.iter().any(special) && !element.eq_ignore_ascii_case(b"null") {
            return element.clone();
        }
        let escaped = element.iter().flat_map(|byte| match byte {
            b'"' | b'\\' => vec![b'\\', *byte],
            _ => vec![*byte],
        });
        std::iter::once(b'"').chain(escaped).chain(std::iter::once(b'"')).collect()
    });
    [b"{", &quoted.collect::<Vec<_>>().join(&b','.to_owned())[..], b"}"].concat()
}

#[test]
fn masks_without_kept_length_change_it_somewhere() {
    for mask in masks().into_iter().filter(|mask| !mask.keeps_length() && mask.fits(&ValueType::Text)) {
        if mask != Mask::Nullify {
            let changes = ["", "a", "1.2.3.4", "192.168.100.100"]
                .iter()
                .any(|value| text_shown(&mask, value).len() != value.len());
            assert!(changes, "{mask:?}");
        }
    }
    assert_eq!(CATALOGUE.iter().filter(|info| info.keeps_length).count(), 7);
}

#[test]
fn null_stays_null_under_a_mask_or_hidden_and_is_covered_by_redaction() {
    for value_type in types() {
        for format in [Format::Text, Format::Binary] {
            for mask in masks() {
                let mask = CellMask::new(&CellRule::Mask(Arc::new(mask)), &value_type, format, &keys());
                assert_eq!(shown(&mask, None), None);
            }
            let hidden = CellMask::new(&CellRule::Hide(HiddenForm::Empty), &value_type, format, &keys());
            assert_eq!(shown(&hidden, None), None);
            let redacted = CellMask::new(&CellRule::Redact, &value_type, format, &keys());
            let constant = shown(&redacted, None);
            assert_eq!(constant, shown(&redacted, Some(b"any value")));
            for (unbuildable, shown) in
                [(hidden.is_unbuildable(), shown(&hidden, Some(b"x"))), (redacted.is_unbuildable(), constant)]
            {
                assert!(shown.is_some() || unbuildable, "{value_type:?} {format:?}");
            }
        }
    }
}

#[test]
fn every_scalar_type_has_a_hidden_value() {
    for value_type in scalars() {
        for format in [Format::Text, Format::Binary] {
            let mask = CellMask::new(&CellRule::Hide(HiddenForm::Empty), &value_type, format, &keys());
            let excepted = value_type == ValueType::Money && format == Format::Text;
            assert_eq!(shown(&mask, Some(b"x")).is_none(), excepted, "{value_type:?} {format:?}");
        }
    }
}

#[test]
fn a_mask_without_its_key_or_on_another_type_redacts() {
    let missing = CellRule::Mask(Arc::new(Mask::Pseudonym { key: "missing".into() }));
    let email = CellRule::Mask(Arc::new(Mask::Email));
    for (rule, value_type, masked) in [
        (&missing, ValueType::Text, Some("####")),
        (&missing, ValueType::Int4, Some("0")),
        (&email, ValueType::Int4, Some("0")),
        (&email, ValueType::Json, Some("null")),
        (&email, ValueType::Enum(Some("sad".into())), Some("sad")),
        (&email, ValueType::Range(ValueType::Int4.into()), Some("empty")),
        (&email, ValueType::Unknown, None),
    ] {
        let mask = CellMask::new(rule, &value_type, Format::Text, &keys());
        assert_eq!(shown(&mask, Some(b"7")).as_deref(), masked.map(str::as_bytes), "{value_type:?}");
    }
}

#[test]
fn text_of_other_encodings_is_not_cut_in_the_middle_of_a_character() {
    let last = CellRule::Mask(Arc::new(Mask::ShowLast(1)));
    // The second byte of this character of SJIS is a backslash.
    let sjis = b"\x83\x5c";
    let mask =
        |value_type: &ValueType, encoding| CellMask::for_encoding(&last, value_type, Format::Text, encoding, &keys());
    assert_eq!(shown(&mask(&ValueType::Text, TextEncoding::MultiByte), Some(sjis)).unwrap(), b"####");
    let array = ValueType::Array(Oid(25), ValueType::Text.into());
    assert_eq!(shown(&mask(&array, TextEncoding::MultiByte), Some(b"{\"\x83\x5c\"}")).unwrap(), b"{}");
    assert_eq!(shown(&mask(&array, TextEncoding::SingleByte), Some(b"{a\xeb}")).unwrap(), b"{#\xeb}");
    assert_eq!(shown(&mask(&array, TextEncoding::Utf8), Some(b"{a\xeb}")).unwrap(), b"{}");

    let replace = CellRule::Mask(Arc::new(Mask::Replace("größer".into())));
    let mask = CellMask::for_encoding(&replace, &ValueType::Text, Format::Text, TextEncoding::SingleByte, &keys());
    assert_eq!(shown(&mask, Some(b"x")).unwrap(), b"####");
}

#[test]
fn a_numeric_column_of_a_fixed_scale_keeps_its_places() {
    let numeric_10_2 = 655_366;
    let numbers = ValueType::Array(Oid(1700), ValueType::Numeric.into());
    let round = CellRule::Mask(Arc::new(Mask::Round("1000".into())));
    let replace = CellRule::Mask(Arc::new(Mask::Replace("7".into())));
    for (rule, value_type, value, modifier, shown) in [
        (&round, &ValueType::Numeric, "48123.45", numeric_10_2, "48000.00"),
        (&round, &ValueType::Numeric, "48123.45", -1, "48000"),
        (&round, &ValueType::Numeric, "NaN", numeric_10_2, "0.00"),
        (&round, &numbers, "{48123.45,NULL,NaN}", numeric_10_2, "{48000.00,NULL,0.00}"),
        (&round, &ValueType::Int4, "48123", numeric_10_2, "48000"),
        (&replace, &ValueType::Numeric, "48123.45", numeric_10_2, "7.00"),
        (&CellRule::Redact, &ValueType::Numeric, "48123.45", numeric_10_2, "0.00"),
        (&CellRule::Hide(HiddenForm::Empty), &ValueType::Numeric, "48123.45", numeric_10_2, "0.00"),
        (&CellRule::Redact, &numbers, "{48123.45}", numeric_10_2, "{}"),
        (&CellRule::Keep, &ValueType::Numeric, "48123.4", numeric_10_2, "48123.4"),
    ] {
        let mut out = BytesMut::new();
        let mask = CellMask::new(rule, value_type, Format::Text, &keys()).with_modifier(value_type, modifier);
        assert!(mask.show(Some(value.as_bytes()), &mut out), "{value}");
        assert_eq!(out, shown, "{value}");
    }
    // `numeric_send` of 48123.45 and 48000.00
    let (value, shown) =
        ([0, 3, 0, 1, 0, 0, 0, 2, 0, 4, 0x1f, 0xbb, 0x11, 0x94], [0, 2, 0, 1, 0, 0, 0, 2, 0, 4, 0x1f, 0x40]);
    let mut out = BytesMut::new();
    let mask = CellMask::new(&round, &ValueType::Numeric, Format::Binary, &keys());
    mask.with_modifier(&ValueType::Numeric, numeric_10_2).show(Some(&value), &mut out);
    assert_eq!(out[..], shown);
}
