//! Masks among the rows that come with a COPY.

use proptest::prelude::*;

use super::database::{Database, caller, statement};
use crate::crypto::NonceSource;
use crate::mask::TextEncoding;
use crate::plan::{Snapshot, TenantSettings, copy_in};
use crate::sql::statement::Detail;
use crate::value::TextForms;

const ROW_BYTES_MAX: usize = 1_000;

/// What becomes of data that comes in pieces of that size: `passes`, or why it is refused.
fn outcome(user: &str, text: &str, count: usize, data: &[u8], piece: usize, snapshot: &Snapshot) -> String {
    let Detail::Copy(copy) = statement(text, snapshot).detail else { panic!("not a COPY: {text}") };
    let binary = text.contains("binary");
    let caller = caller(user, snapshot);
    let encoding = Some(TextEncoding::Utf8);
    let (forms, settings) = (TextForms::default(), TenantSettings::default());
    let mut plan =
        match copy_in(&copy, (binary, count), snapshot, &caller, (encoding, &forms, &settings), ROW_BYTES_MAX) {
            Ok(Some(plan)) => plan,
            Ok(None) => return "not looked at".into(),
            Err(refusal) => return refusal.message.to_string(),
        };
    let mut handed_on = Vec::new();
    for piece in data.chunks(piece) {
        match plan.push(piece, &mut NonceSource::default()) {
            Ok(read) => handed_on.extend_from_slice(&read),
            Err(refusal) => return refusal.message.to_string(),
        }
        assert!(data.starts_with(&handed_on));
    }
    match plan.finish(&mut NonceSource::default()) {
        Ok(rest) => handed_on.extend_from_slice(&rest),
        Err(refusal) => return refusal.message.to_string(),
    }
    assert_eq!(handed_on, data, "{text}");
    "passes".into()
}

fn all(user: &str, cases: &[(&str, usize, &str, &str)]) {
    let snapshot = Database::shop().snapshot();
    for (text, count, data, expected) in cases {
        for piece in [1, 2, 3, 7, data.len().max(1)] {
            let found = outcome(user, text, *count, data.as_bytes(), piece, &snapshot);
            let found = found.strip_prefix("pgveil: the new value of column public.customers.").unwrap_or(&found);
            assert_eq!(found, *expected, "{text}: {data:?}");
        }
    }
}

#[test]
fn a_mask_in_a_row_is_not_stored() {
    let email = "email is a mask (tag \"email\") in line";
    let cases = [
        ("(id, email)", "1\ta@x.org\n2\ta##@#.###\n", format!("{email} 2 of the data")),
        ("(email, id)", "a@x.org\t1\n\\N\t2\n\t3\nb@x.org\t4", "passes".into()),
        // Escapes, by which the same value is written in other ways.
        ("(id, email)", "1\ta\\x23\\43@\\#.###\n", format!("{email} 1 of the data")),
        ("(id, email)", "1\ta##@#.###\\.\n", format!("{email} 1 of the data")),
        ("(id, email)", "1\ta##@#.###\\", format!("{email} 1 of the data")),
        ("(id, email)", "1\ta\n\\.\n2\ta##@#.###", format!("{email} 3 of the data")),
        // Part of a mask.
        (
            "(id, notes)",
            "1\tcalled ####, will call back\n",
            "notes is a mask (tag \"notes\") in line 1 of the data".into(),
        ),
        ("(id, tenant)", "1\t####\n", "not looked at".into()),
        ("(email, tenant)", "a@x.org\t####\n", "passes".into()),
    ];
    for (columns, data, expected) in &cases {
        all("ann", &[(&format!("COPY customers {columns} FROM STDIN"), 2, data, expected)]);
    }
    let csv = "COPY customers (id, email) FROM STDIN (FORMAT csv, HEADER, NULL 'none', FORCE_NOT_NULL (email))";
    all(
        "ann",
        &[
            (csv, 2, "id,email\r\n1,\"a@x.org\"\r\n2,none\r\n", "passes"),
            (csv, 2, "id,email\n\"1\",\"a#\"\"@x.org\"", "passes"),
            (
                csv,
                2,
                "a##@#.###,a##@#.###\n1,\"a\"##@\"#.###\"\n",
                "email is a mask (tag \"email\") in line 2 of the data",
            ),
            (csv, 2, "id,email\n\"1\n\n\",x\n2,####\n", "email is a mask (tag \"email\") in line 5 of the data"),
            (csv, 2, "id,email\n\\.\n2,####\n", "email is a mask (tag \"email\") in line 3 of the data"),
            (
                "COPY customers (email) FROM STDIN (FORMAT csv, NULL '####', FORCE_NOT_NULL *)",
                1,
                "####\n",
                "email is a mask (tag \"email\") in line 1 of the data",
            ),
            ("COPY customers (email) FROM STDIN (FORMAT csv, NULL '####')", 1, "####\n", "passes"),
            ("COPY customers (email) FROM STDIN (DEFAULT '####')", 1, "####\n", "passes"),
            (
                "COPY customers (email) FROM STDIN (FORMAT csv, DEFAULT '####')",
                1,
                "\"####\"\n",
                "email is a mask (tag \"email\") in line 1 of the data",
            ),
            (
                "COPY customers (id, email) FROM STDIN DELIMITER '|' NULL ''",
                2,
                "1|\n2|####",
                "email is a mask (tag \"email\") in line 2 of the data",
            ),
        ],
    );
}

#[test]
fn without_a_list_all_columns_are_filled_in_their_order() {
    let copy = "COPY customers FROM STDIN";
    let unknown = "pgveil: COPY to customers is not permitted like this: masks among its rows could not be seen, because the \
                   table has other columns than pgveil knows of";
    all(
        "ann",
        &[
            (copy, 8, "1\ta@x.org\tAda\t123\t1984-02-29\tfine\t4111\t7\n", "passes"),
            (copy, 8, "1\ta@x.org\tAda\t123\t1984-01-01\tfine\t4111\t7\n", "passes"),
            (
                copy,
                8,
                "1\ta@x.org\t####\t123\t\\N\tfine\t4111\t7\n",
                "name is a mask (tag \"name\") in line 1 of the data",
            ),
            (copy, 7, "1\n", unknown),
        ],
    );
    all("dora", &[(copy, 8, "1\t####\n", "not looked at")]);
    all(
        "bill",
        &[
            // Seen in clear; hidden: an empty text is nobody's name, and no row's loss; denied: no mask is shown.
            (
                copy,
                8,
                "1\ta##@#.###\t\t###\t\\N\tfine\t############1111\t7\n",
                "phone is a mask (tag \"phone\") in line 1 of the data",
            ),
        ],
    );
}

#[test]
fn rows_and_data_that_can_not_be_read_are_refused() {
    let unseen =
        "pgveil: COPY to customers is not permitted like this: masks among its rows could not be seen, because ";
    let long = "x".repeat(2 * ROW_BYTES_MAX);
    let snapshot = Database::shop().snapshot();
    for (text, data, expected) in [
        ("COPY customers (email) FROM STDIN", &*long, "one is longer than 64 MiB (looked_at_bytes_max)"),
        ("COPY customers (email) FROM STDIN (FORMAT binary)", "no header", "the data is not of the binary format"),
    ] {
        assert_eq!(outcome("ann", text, 1, data.as_bytes(), 100, &snapshot), format!("{unseen}{expected}"), "{text}");
    }
}

proptest! {
    /// Where the frames end does not matter.
    #[test]
    fn how_the_data_is_cut_changes_no_verdict(
        data in r#"([a#@.,"\\\\\t\n\r]|a##@#\.###|####|\\\\\.\n|"")*"#, piece in 1_usize..9,
        format in prop::sample::select(vec!["", "(FORMAT csv)", "(FORMAT csv, HEADER, ESCAPE '\\')", "(NULL '', DELIMITER ',')"]),
    ) {
        let snapshot = Database::shop().snapshot();
        let text = format!("COPY customers (name, email) FROM STDIN {format}");
        let whole = outcome("ann", &text, 2, data.as_bytes(), data.len().max(1), &snapshot);
        prop_assert_eq!(outcome("ann", &text, 2, data.as_bytes(), piece, &snapshot), whole);
    }

    #[test]
    fn how_binary_data_is_cut_changes_no_verdict(
        cells in prop::collection::vec(prop::option::of("[a#]{0,6}"), 0..8), noise in prop::option::of((0_usize..99, any::<u8>())),
        piece in 1_usize..9,
    ) {
        let snapshot = Database::shop().snapshot();
        let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in cells.chunks_exact(2) {
            data.extend([0, 2]);
            for cell in row {
                data.extend(cell.as_ref().map_or(u32::MAX, |cell| u32::try_from(cell.len()).unwrap()).to_be_bytes());
                data.extend(cell.iter().flat_map(|cell| cell.bytes()));
            }
        }
        data.extend([0xff, 0xff]);
        if let Some((at, byte)) = noise {
            data.get_mut(at).into_iter().for_each(|place| *place = byte);
        }
        let text = "COPY customers (name, email) FROM STDIN (FORMAT binary)";
        let whole = outcome("ann", text, 2, &data, data.len(), &snapshot);
        let hashes = |cell: &Option<String>| cell.as_ref().is_some_and(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte == b'#'));
        if noise.is_none() && cells.chunks_exact(2).any(|row| hashes(&row[0]) || hashes(&row[1])) {
            prop_assert!(whole.contains("of the data"), "{}", whole);
        }
        prop_assert_eq!(outcome("ann", text, 2, &data, piece, &snapshot), whole);
    }
}
