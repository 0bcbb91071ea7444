//! What holds of all types and all bytes.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// A type of each kind, with a modifier where it can have one.
const TYPES: &[&str] = &[
    "bool",
    "bytea",
    "\"char\"",
    "name",
    "int2",
    "int4",
    "int8",
    "text",
    "varchar(5)",
    "char(5)",
    "bpchar",
    "oid",
    "json",
    "jsonb",
    "xml",
    "point",
    "lseg",
    "path",
    "box",
    "polygon",
    "line",
    "circle",
    "cidr",
    "inet",
    "macaddr",
    "macaddr8",
    "float4",
    "float8",
    "money",
    "date",
    "time",
    "time(2)",
    "timestamp",
    "timestamp(3)",
    "timestamptz",
    "timetz",
    "interval",
    "interval(1)",
    "interval day to hour",
    "bit",
    "bit(7)",
    "bit varying",
    "varbit(9)",
    "numeric",
    "numeric(8,2)",
    "numeric(3,-2)",
    "uuid",
    "pg_lsn",
    "pg_snapshot",
    "txid_snapshot",
    "tsvector",
    "tsquery",
    "jsonpath",
    "int4range",
    "int8range",
    "numrange",
    "daterange",
    "tsrange",
    "tstzrange",
    "int4multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "int8multirange",
];

/// Sessions of different settings.
fn sessions() -> Vec<TextForms> {
    let settings: [&[(&str, &str)]; 4] = [
        &[],
        &[("DateStyle", "SQL, DMY"), ("TimeZone", "Europe/Berlin"), ("IntervalStyle", "iso_8601")],
        &[
            ("DateStyle", "Postgres, MDY"),
            ("TimeZone", "<-03>+03"),
            ("IntervalStyle", "postgres_verbose"),
            ("bytea_output", "escape"),
        ],
        &[
            ("DateStyle", "German"),
            ("TimeZone", "Nowhere/Land"),
            ("IntervalStyle", "sql_standard"),
            ("extra_float_digits", "-3"),
        ],
    ];
    let session = |settings: &[(&str, &str)]| {
        let mut forms = TextForms::default();
        settings.iter().for_each(|(name, value)| forms.set(name, value.as_bytes()));
        forms
    };
    settings.into_iter().map(session).collect()
}

/// Read the bytes in every way; what is read can be written, and what is written in binary form is read as the same again.
fn read_and_write(bytes: &[u8]) {
    let element_oids = [0, 705, 25, 23, 1700, 701, 1114, 1184, 1082, 1043, 1042];
    for name in TYPES {
        let plain_type = PlainType::parse(name).unwrap();
        for forms in sessions() {
            for format in [Format::Text, Format::Binary] {
                for given in element_oids {
                    let Ok(plaintext) = read(&plain_type, Oid(given), format, bytes, &forms) else { continue };
                    let mut out = BytesMut::new();
                    write(&plain_type, &plaintext, Format::Binary, &forms, &mut out).unwrap();
                    let again = read(&plain_type, Oid(0), Format::Binary, &out, &forms).unwrap();
                    assert_eq!(*again, *plaintext, "{name} from {given} in {format:?}");
                    let mut text = BytesMut::new();
                    let written = write(&plain_type, &plaintext, Format::Text, &forms, &mut text);
                    assert!(written.is_ok_and(|()| std::str::from_utf8(&text).is_ok()) || forms.is_unknown(), "{name}");
                    let _read = read_operand(&plain_type, Oid(given), format, bytes, &forms);
                }
                let _read = read_array(&plain_type, format, bytes, &forms);
            }
            let _written = write(&plain_type, bytes, Format::Text, &forms, &mut BytesMut::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        read_and_write(&bytes);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-+0-9a-fA-FTZPx:./, ()\\[\\]{}<>\"\\\\eE]{0,30}") {
        read_and_write(text.as_bytes());
    }

    #[test]
    fn numbers_in_any_form_are_read_or_refused(text in "[-+]?[0-9]{0,25}\\.?[0-9]{0,25}([eE][-+]?[0-9]{1,4})?") {
        read_and_write(text.as_bytes());
    }
}

#[test]
fn errors_hold_nothing_of_the_value() {
    let forms = TextForms::default();
    for name in TYPES {
        let plain_type = PlainType::parse(name).unwrap();
        for secret in ["secret-4711-secret", "{secret4711", "2024-99-4711 secret"] {
            if let Err(error) = read(&plain_type, Oid(0), Format::Text, secret.as_bytes(), &forms) {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("secret") && !shown.contains("4711"), "{name}: {shown}");
            }
        }
    }
}

#[test]
fn declared_types_that_are_not_assigned_are_refused_in_the_servers_words() {
    let forms = TextForms::default();
    for (column, given, message) in [
        ("int4", 25, "column is of type integer but expression is of type text"),
        ("bool", 23, "column is of type boolean but expression is of type integer"),
        ("uuid", 1043, "column is of type uuid but expression is of type character varying"),
        (
            "timestamptz",
            1083,
            "column is of type timestamp with time zone but expression is of type time without time zone",
        ),
        ("int4", 1007, "column is of type integer but expression is of another type"),
    ] {
        let error = read(&PlainType::parse(column).unwrap(), Oid(given), Format::Text, b"1", &forms).err().unwrap();
        assert_eq!((error.sqlstate, &*error.message), ("42804", message));
    }
}
