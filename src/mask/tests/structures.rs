//! Arrays and rows, by example.

use std::sync::Arc;

use super::super::{CellMask, CellRule, Format, Mask};
use super::{keys, row_type, shown};
use crate::catalog::{Oid, ValueType};

#[test]
fn arrays_keep_their_shape() {
    let text = ValueType::Array(Oid(25), ValueType::Text.into());
    let full = CellRule::Mask(Arc::new(Mask::Full));
    let replace = CellRule::Mask(Arc::new(Mask::Replace("a \"b\\".into())));
    for (rule, value, masked) in [
        (&full, "{}", "{}"),
        (&full, "{abc,NULL,\"a b\",\"\",\"NULL\"}", "{###,NULL,\"# #\",\"\",####}"),
        (&full, "{{a,b},{c,d}}", "{{#,#},{#,#}}"),
        (&full, "[2:3]={ab,c}", "[2:3]={##,#}"),
        (&full, "[0:0][-1:-1]={{ab}}", "[0:0][-1:-1]={{##}}"),
        (&replace, "{a,NULL}", "{\"a \\\"b\\\\\",NULL}"),
        // Not arrays: redacted as a whole.
        (&full, "{a", "{}"),
        (&full, "{a}}", "{}"),
        (&full, "{a,}", "{}"),
        (&full, "{a b}", "{}"),
        (&full, "{\"a\"b}", "{}"),
        (&full, "[secret]={a}", "{}"),
        (&full, "secret", "{}"),
        (&full, "{{{{{{{a}}}}}}}", "{}"),
    ] {
        let mask = CellMask::new(rule, &text, Format::Text, &keys());
        assert_eq!(shown(&mask, Some(value.as_bytes())).unwrap(), masked.as_bytes(), "{value}");
    }
    let boxes = CellMask::new(&full, &ValueType::Array(Oid(603), ValueType::Box.into()), Format::Text, &keys());
    assert_eq!(shown(&boxes, Some(b"{(1,1),(0,0);(2,2),(1,1)}")).unwrap(), b"{(0,0),(0,0);(0,0),(0,0)}");
}

#[test]
fn binary_arrays_say_that_they_have_nulls_if_they_have() {
    let nullable = ValueType::Array(Oid(25), ValueType::Unknown.into());
    let head = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1];
    let given = [&head[..], &[0, 0, 0, 2, b'a', b'b']].concat();
    let full = CellRule::Mask(Arc::new(Mask::Full));
    let mask = CellMask::new(&full, &nullable, Format::Binary, &keys());
    assert!(mask.is_unbuildable());
    let nulled = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(shown(&mask, Some(&given)).unwrap(), nulled);

    let text = CellMask::new(&full, &ValueType::Array(Oid(25), ValueType::Text.into()), Format::Binary, &keys());
    assert_eq!(shown(&text, Some(&given)).unwrap(), [&head[..], &[0, 0, 0, 2, b'#', b'#']].concat());
    // Elements of another type, too few of them, too many: redacted as a whole.
    let empty = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25];
    let other = CellMask::new(&full, &ValueType::Array(Oid(23), ValueType::Text.into()), Format::Binary, &keys());
    assert_eq!(shown(&other, Some(&given)).unwrap(), [&empty[..11], &[23]].concat());
    assert_eq!(shown(&text, Some(&given[..given.len() - 1])).unwrap(), empty);
    assert_eq!(shown(&text, Some(&[&given[..], &[0]].concat())).unwrap(), empty);
}

#[test]
fn rows_are_masked_field_by_field() {
    let email = CellRule::Mask(Arc::new(Mask::Email));
    let rule = CellRule::Row(vec![email.clone(), CellRule::Keep, CellRule::Redact]);
    let row = row_type();
    let known = CellMask::new(&rule, &row, Format::Text, &keys());
    for (value, masked) in [
        ("(jane@example.org,7,\"\\\\x6162\")", "(j###@#######.###,7,\"\\\\x\")"),
        ("(,,)", "(,,\"\\\\x\")"),
        // Another number of fields, or no row at all: redacted as a whole.
        ("(jane@example.org,7)", "(####,0,\"\\\\x\")"),
        ("(jane@example.org,7,,)", "(####,0,\"\\\\x\")"),
        ("jane@example.org", "(####,0,\"\\\\x\")"),
    ] {
        assert_eq!(shown(&known, Some(value.as_bytes())).unwrap(), masked.as_bytes(), "{value}");
    }
    assert_eq!(shown(&known, None), None);

    let rows = CellMask::new(&rule, &ValueType::Array(Oid(90_000), row.clone().into()), Format::Text, &keys());
    let (value, masked) = (r#"{"(ab@c.de,7,)",NULL}"#, r##"{"(a#@#.##,7,\"\\\\x\")",NULL}"##);
    assert_eq!(shown(&rows, Some(value.as_bytes())).unwrap(), masked.as_bytes());

    // One mask for a whole row: on each field by its type.
    let all = CellMask::new(&email, &row, Format::Text, &keys());
    assert_eq!(shown(&all, Some(b"(ab@c.de,7,)")).unwrap(), b"(a#@#.##,0,)");

    let anonymous = CellMask::new(&rule, &ValueType::Record, Format::Text, &keys());
    assert_eq!(shown(&anonymous, Some(b"(ab@c.de,7,x)")).unwrap(), b"(a#@#.##,7,####)");
    assert_eq!(shown(&anonymous, Some(b"(ab@c.de,7)")), None);
}

#[test]
fn fields_of_anonymous_binary_rows_are_masked_by_their_own_type() {
    let field = |oid: u32, value: &[u8]| {
        [&oid.to_be_bytes()[..], &u32::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    };
    let null = |oid: u32| [&oid.to_be_bytes()[..], &[0xff; 4]].concat();
    let row = |fields: &[Vec<u8>]| [&u32::try_from(fields.len()).unwrap().to_be_bytes()[..], &fields.concat()].concat();
    let email = CellRule::Mask(Arc::new(Mask::Email));
    let given = row(&[field(25, b"ab@c.de"), field(23, &7_i32.to_be_bytes()), field(90_001, b"?")]);
    let alike = CellMask::new(&email, &ValueType::Record, Format::Binary, &keys());
    let masked = row(&[field(25, b"a#@#.##"), field(23, &[0; 4]), null(90_001)]);
    assert_eq!(shown(&alike, Some(&given)), Some(masked));

    let rule = CellRule::Row(vec![CellRule::Redact, CellRule::Keep, CellRule::Keep]);
    let by_place = CellMask::new(&rule, &ValueType::Record, Format::Binary, &keys());
    let masked = row(&[field(25, b"####"), field(23, &7_i32.to_be_bytes()), field(90_001, b"?")]);
    assert_eq!(shown(&by_place, Some(&given)), Some(masked));

    // A row type that was altered since the catalog was read.
    let known = CellMask::new(&rule, &row_type(), Format::Binary, &keys());
    let redacted = row(&[field(25, b"####"), field(23, &[0; 4]), field(17, b"")]);
    assert_eq!(shown(&known, Some(&given)), Some(redacted));
}
