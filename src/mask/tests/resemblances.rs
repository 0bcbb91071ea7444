//! What masks show is known again; what people write is not taken for it.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{CellMask, CellRule, DateUnit, Format, HiddenForm, Mask, Resemblance, TextEncoding};
use super::{any_cell, any_text, array_text, keys, masks, row_type, shown, types};
use crate::catalog::{Oid, ValueType};
use Resemblance::{No, Partly, Perhaps, Surely};

fn of(mask: &Mask, value_type: &ValueType, value: &str) -> Resemblance {
    let rule = CellRule::Mask(Arc::new(mask.clone()));
    rule.resemblance(Some(value.as_bytes()), value_type, Format::Text, TextEncoding::Utf8)
}

/// Values of a type, in text and binary form.
fn values(value_type: &ValueType) -> BoxedStrategy<(Vec<u8>, Vec<u8>)> {
    match value_type {
        ValueType::Text => any_text().prop_map(|text| (text.clone().into_bytes(), text.into_bytes())).boxed(),
        ValueType::Int2 => {
            any::<i16>().prop_map(|number| (number.to_string().into(), number.to_be_bytes().into())).boxed()
        }
        ValueType::Int4 => {
            any::<i32>().prop_map(|number| (number.to_string().into(), number.to_be_bytes().into())).boxed()
        }
        ValueType::Int8 => {
            any::<i64>().prop_map(|number| (number.to_string().into(), number.to_be_bytes().into())).boxed()
        }
        ValueType::Float4 => {
            (-1e6_f32..1e6).prop_map(|number| (number.to_string().into(), number.to_be_bytes().into())).boxed()
        }
        ValueType::Float8 => {
            (-1e12_f64..1e12).prop_map(|number| (number.to_string().into(), number.to_be_bytes().into())).boxed()
        }
        ValueType::Numeric => (0_u16..9999, 0_u16..9999)
            .prop_map(|(whole, fraction)| {
                let binary = [0, 2, 0, 0, 0, 0, 0, 4].into_iter();
                let binary = binary.chain(whole.to_be_bytes()).chain(fraction.to_be_bytes()).collect();
                (format!("{whole}.{fraction:04}").into(), binary)
            })
            .boxed(),
        ValueType::Bytea => proptest::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                (format!("\\x{hex}").into(), bytes)
            })
            .boxed(),
        ValueType::Uuid => any::<[u8; 16]>()
            .prop_map(|octets| (uuid::Uuid::from_bytes(octets).to_string().into(), octets.into()))
            .boxed(),
        ValueType::Date => (0_i32..20_000)
            .prop_map(|days| {
                let mut text = bytes::BytesMut::new();
                super::super::date::put_date(days.into(), &mut text);
                (text.to_vec(), days.to_be_bytes().into())
            })
            .boxed(),
        ValueType::Timestamp | ValueType::TimestampTz => {
            let zone = if *value_type == ValueType::Timestamp { "" } else { "+05:30" };
            (0_i32..20_000, 0_i64..86_400)
                .prop_map(move |(days, seconds)| {
                    let mut text = bytes::BytesMut::new();
                    super::super::date::put_date(days.into(), &mut text);
                    let clock = format!(" {:02}:{:02}:{:02}{zone}", seconds / 3600, seconds / 60 % 60, seconds % 60);
                    let microseconds = (i64::from(days) * 86_400 + seconds) * 1_000_000;
                    ([&text[..], clock.as_bytes()].concat(), microseconds.to_be_bytes().into())
                })
                .boxed()
        }
        ValueType::Inet | ValueType::Cidr => any::<[u8; 4]>()
            .prop_map(|octets| {
                let address = std::net::Ipv4Addr::from(octets);
                (address.to_string().into(), [&[2, 32, 0, 4][..], &octets].concat())
            })
            .boxed(),
        _ => any_cell().prop_map(|cell| (cell.clone(), cell)).boxed(),
    }
}

fn rules() -> Vec<CellRule> {
    let mut rules: Vec<CellRule> = masks().into_iter().map(|mask| CellRule::Mask(Arc::new(mask))).collect();
    rules.extend([CellRule::Hide(HiddenForm::Null), CellRule::Hide(HiddenForm::Empty), CellRule::Redact]);
    rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn whatever_a_rule_shows_is_known_again(seed in any::<u64>()) {
        let keys = keys();
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            ProptestConfig::default(),
            proptest::test_runner::TestRng::from_seed(
                proptest::test_runner::RngAlgorithm::XorShift,
                &[seed.to_be_bytes(), (!seed).to_be_bytes()].concat(),
            ),
        );
        // No column is of type `record`.
        for value_type in types().into_iter().filter(|of| *of != ValueType::Record) {
            let drawn = values(&value_type).new_tree(&mut runner).unwrap().current();
            for rule in rules() {
                for (format, value) in [(Format::Text, &drawn.0), (Format::Binary, &drawn.1)] {
                    for encoding in [TextEncoding::Utf8, TextEncoding::SingleByte, TextEncoding::MultiByte] {
                        let mask = CellMask::for_encoding(&rule, &value_type, format, encoding, &keys);
                        let output = shown(&mask, Some(value));
                        // What is shown as it is stands for itself.
                        if output.as_ref() == Some(value) {
                            continue;
                        }
                        // A mask of a text that has nothing in it is nothing.
                        if value_type == ValueType::Text && output.as_ref().is_some_and(|text| text.trim_ascii().is_empty())
                            && rule != CellRule::Hide(HiddenForm::Empty) {
                            continue;
                        }
                        let found = rule.resemblance(output.as_deref(), &value_type, format, encoding);
                        // No array, no row: shown as an empty one, which is nothing to be afraid of.
                        let hollow = matches!(value_type, ValueType::Array(..)) && matches!(rule, CellRule::Mask(_));
                        prop_assert!(found != No || hollow, "{:?} {:?} {:?} {:?}", rule, value_type, format, output);
                    }
                }
            }
        }
    }

    #[test]
    fn arrays_of_masked_texts_are_known_again(elements in proptest::collection::vec("[a-z@.]{4,9}", 1..5)) {
        let keys = keys();
        let array = ValueType::Array(Oid(25), ValueType::Text.into());
        let given: Vec<Vec<u8>> = elements.iter().map(|element| element.clone().into_bytes()).collect();
        for mask in [Mask::Full, Mask::Email, Mask::ShowFirst(2), Mask::Pseudonym { key: "default".into() }] {
            let rule = CellRule::Mask(Arc::new(mask));
            let cell = CellMask::new(&rule, &array, Format::Text, &keys);
            let output = shown(&cell, Some(&array_text(&given)));
            prop_assert_eq!(rule.resemblance(output.as_deref(), &array, Format::Text, TextEncoding::Utf8), Surely);
            let resemblance = rule.resemblance(Some(&array_text(&given)), &array, Format::Text, TextEncoding::Utf8);
            prop_assert_eq!(resemblance, No);
        }
    }

    #[test]
    fn no_bytes_panic(cell in any_cell()) {
        for value_type in types() {
            for rule in rules() {
                for format in [Format::Text, Format::Binary] {
                    let first = rule.resemblance(Some(&cell), &value_type, format, TextEncoding::Utf8);
                    prop_assert_eq!(rule.resemblance(Some(&cell), &value_type, format, TextEncoding::Utf8), first);
                }
            }
        }
    }
}

#[test]
fn what_people_write_is_not_taken_for_a_mask() {
    let masks: Vec<Mask> =
        masks().into_iter().filter(|mask| mask.fits(&ValueType::Text) && !matches!(mask, Mask::Replace(_))).collect();
    for value in [
        "jane@example.org",
        "Jane Doe",
        "Zoë Müller-Lüdenscheidt",
        "+49 (30) 123-4567",
        "4111 1111 1111 1234",
        "DE89 3704 0044 0532 0130 00",
        "Apartment #4, 12 Main St",
        "C# in depth",
        "日本語",
        "O'Hara",
        "10.11.12.13",
        "",
        "   ",
        "*",
        "a-b-c",
    ] {
        for mask in &masks {
            assert_eq!(of(mask, &ValueType::Text, value), No, "{mask:?} {value}");
        }
    }
}

#[test]
fn masks_are_known_by_their_shape() {
    let partial = |prefix, suffix, pad: &str| Mask::Partial { prefix, suffix, pad: pad.into() };
    for (mask, value, expected) in [
        (Mask::Full, "#### ###", Surely),
        (Mask::Full, "Jane ###", Partly),
        (Mask::Email, "j###@#######.###", Surely),
        (Mask::Email, "J###@#######.###  ", Surely),
        (Mask::Email, "#@#.#", Surely),
        (Mask::Email, "####", Surely),
        (Mask::Email, "jane@#######.###", Partly),
        (Mask::Email, "jane@example.org", No),
        (Mask::ShowFirst(2), "ja##", Surely),
        (Mask::ShowFirst(2), "ja#", Surely),
        (Mask::ShowFirst(2), "ja", No),
        (Mask::ShowLast(2), "##ne", Surely),
        (Mask::ShowLast(2), "Jane", No),
        (Mask::Phone { keep: 4 }, "+## (##) ###-4567", Surely),
        (Mask::Phone { keep: 4 }, "+49 (30) 123-4567", No),
        (Mask::Card, "#### #### #### 1234", Surely),
        (Mask::Card, "4111 1111 1111 1234", No),
        (Mask::Iban, "DE## #### #### #### ##30 00", Surely),
        (Mask::Iban, "DE89 3704 0044 0532 0130 00", No),
        (partial(1, 2, "***"), "4***11", Surely),
        (partial(1, 2, "***"), "***", Surely),
        (partial(1, 2, "***"), "4***1", No),
        (partial(1, 1, "x"), "axb", Perhaps),
        (partial(1, 1, ""), "ab", Perhaps),
        (Mask::Hash { key: "k".into(), digits: 8 }, "0123abcd", Perhaps),
        (Mask::Hash { key: "k".into(), digits: 8 }, "0123ABCD", No),
        (Mask::Pseudonym { key: "k".into() }, "babab-dadad-fafaf", Surely),
        (Mask::Pseudonym { key: "k".into() }, "babab-dadad-fafaf@example.invalid", Surely),
        (Mask::Pseudonym { key: "k".into() }, "jane@example.invalid", No),
        (Mask::Pseudonym { key: "k".into() }, "0301234567", Perhaps),
        (Mask::Network { v4: 24, v6: 48 }, "192.168.1.0", Perhaps),
        (Mask::Network { v4: 24, v6: 48 }, "192.168.1.7", No),
        (Mask::Replace("withheld".into()), "withheld", Surely),
        (Mask::Replace("withheld".into()), "held", No),
    ] {
        assert_eq!(of(&mask, &ValueType::Text, value), expected, "{mask:?} {value}");
    }
}

#[test]
fn numbers_dates_and_constants_are_known_in_every_form() {
    let round = Mask::Round("1000".into());
    for (mask, value_type, value, expected) in [
        (&round, ValueType::Int4, "52000", Perhaps),
        (&round, ValueType::Int4, "52345", No),
        (&round, ValueType::Numeric, "52000.00", Perhaps),
        (&round, ValueType::Numeric, "5.2e4", Perhaps),
        (&round, ValueType::Numeric, "52000.01", No),
        (&round, ValueType::Text, "52000", No),
        (&Mask::Bucket("0.5".into()), ValueType::Numeric, "1.5", Perhaps),
        (&Mask::DateTrunc(DateUnit::Year), ValueType::Date, "1980-01-01", Perhaps),
        (&Mask::DateTrunc(DateUnit::Year), ValueType::Date, "1980-07-01", No),
        (&Mask::DateTrunc(DateUnit::Year), ValueType::Date, "January 8, 1999", Perhaps),
        (&Mask::DateTrunc(DateUnit::Month), ValueType::TimestampTz, "1980-01-01 00:00:00+01", Perhaps),
        (&Mask::DateTrunc(DateUnit::Month), ValueType::TimestampTz, "1980-01-01T00:00:00Z", Perhaps),
        (&Mask::DateTrunc(DateUnit::Month), ValueType::TimestampTz, "1980-01-01 00:00:07+01", No),
        (&Mask::Network { v4: 24, v6: 48 }, ValueType::Inet, "10.1.2.0/32", Perhaps),
        (&Mask::Network { v4: 24, v6: 48 }, ValueType::Inet, "10.1.2.3", No),
        (&Mask::Full, ValueType::Int4, "0", Surely),
        (&Mask::Full, ValueType::Int4, " 0 ", Surely),
        (&Mask::Full, ValueType::Int4, "7", No),
        (&Mask::Full, ValueType::Bool, "false", Surely),
        (&Mask::Full, ValueType::Date, "1970-01-01", Surely),
        (&Mask::Full, ValueType::Uuid, "00000000000000000000000000000000", Surely),
        (&Mask::Email, ValueType::Int4, "0", Surely),
        (&Mask::Replace("7".into()), ValueType::Numeric, "7.00", Surely),
        (&Mask::Replace("7".into()), ValueType::Numeric, "70", No),
        (&Mask::Pseudonym { key: "k".into() }, ValueType::Int4, "7", Perhaps),
        (&Mask::Pseudonym { key: "k".into() }, ValueType::Int4, "-7", No),
        (&Mask::Pseudonym { key: "k".into() }, ValueType::Date, "1985-05-05", Perhaps),
        (&Mask::Pseudonym { key: "k".into() }, ValueType::Date, "2024-05-05", No),
    ] {
        assert_eq!(of(mask, &value_type, value), expected, "{mask:?} {value_type:?} {value}");
    }
}

#[test]
fn null_and_empty_are_masks_where_they_are_what_is_shown() {
    let null = |rule: &CellRule| rule.resemblance(None, &ValueType::Text, Format::Text, TextEncoding::Utf8);
    assert_eq!(null(&CellRule::Hide(HiddenForm::Null)), Surely);
    assert_eq!(null(&CellRule::Mask(Arc::new(Mask::Nullify))), Surely);
    assert_eq!(null(&CellRule::Hide(HiddenForm::Empty)), No);
    assert_eq!(null(&CellRule::Mask(Arc::new(Mask::Full))), No);
    let empty =
        CellRule::Hide(HiddenForm::Empty).resemblance(Some(b""), &ValueType::Text, Format::Text, TextEncoding::Utf8);
    assert_eq!(empty, Surely);
}

#[test]
fn a_mask_beside_something_new_is_neither_the_one_nor_the_other() {
    let array = ValueType::Array(Oid(25), ValueType::Text.into());
    for (value, expected) in [
        ("{####,#####}", Surely),
        ("{####,NULL}", Surely),
        ("{####,Jane}", Partly),
        ("{Jane,John}", No),
        ("{}", No),
        ("{ #### , ##### }", Perhaps),
    ] {
        assert_eq!(of(&Mask::Full, &array, value), expected, "{value}");
    }
    for (value, expected) in [("(####,0,\"\\\\x\")", Surely), ("(####,7,)", Partly), ("(Jane,7,\"\\\\x61\")", No)] {
        assert_eq!(of(&Mask::Full, &row_type(), value), expected, "{value}");
    }
    let kept = CellRule::Row(vec![CellRule::Mask(Arc::new(Mask::Full)), CellRule::Keep, CellRule::Keep]);
    let of_row = |value: &str| kept.resemblance(Some(value.as_bytes()), &row_type(), Format::Text, TextEncoding::Utf8);
    assert_eq!((of_row("(####,7,)"), of_row("(Jane,7,)")), (Partly, No));
}
