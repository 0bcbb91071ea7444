//! Whose rows a result shows, as its access events say it.

use bytes::{BufMut, BytesMut};

use super::binding::{bound, executing};
use super::database::{Database, POLICY, field};
use crate::access_log::{Entities, Record};
use crate::plan::{PlannedRows, Seen, Snapshot};
use crate::wire::Format;

fn shop() -> Snapshot {
    let mut made = Database::shop();
    made.primary_key("customers", &[1]);
    made.primary_key("orders", &[1]);
    made.table("lines", "order_id int4, number int4, item text");
    made.primary_key("lines", &[1, 2]);
    made.view("people", "number int4, address text", "SELECT id AS number, email AS address FROM customers");
    made.view("pairs", "id int4, address text", "SELECT a.id, b.email FROM customers a, customers b");
    made.snapshot_of(
        &POLICY
            .replace(
                "roles:\n",
                "subjects:\n  customer: [customers.id, public.orders.customer_id]\n  mail: leads.mail\nroles:\n",
            )
            .replace("  leads: { mail: email }\n", "  leads: { mail: email }\n  lines: { item: name }\n"),
    )
}

fn body(row: &[Option<&[u8]>]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16(row.len().try_into().unwrap());
    for cell in row {
        match cell {
            None => body.put_i32(-1),
            Some(cell) => {
                body.put_u32(cell.len().try_into().unwrap());
                body.put_slice(cell);
            }
        }
    }
    body
}

fn shown(entities: &[Entities]) -> String {
    let one = |entities: &Entities| {
        let keys: Vec<&str> = entities.keys.iter().map(|key| &**key).collect();
        let ending = if entities.complete { "" } else { " ..." };
        format!("{}[{}]{ending}", entities.kind, keys.join(" "))
    };
    entities.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The entities of the first reveal of a statement whose result has these columns (each with its origin) and rows.
fn seen(text: &str, columns: &[(&str, &str, &str)], rows: &[&[Option<&str>]]) -> String {
    let snapshot = shop();
    let fields = columns.iter().map(|(column, origin, type_name)| field(&snapshot, column, origin, type_name));
    let plan = bound("dora", text, fields.collect(), &snapshot);
    let PlannedRows::Sealed(sealed) = plan.rows else { panic!("nothing is revealed: {text}") };
    let mut seen = sealed.seen();
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.map(str::as_bytes)).collect();
        sealed.note(&body(&cells), &mut seen);
    }
    let (records, _) = sealed.open(&executing(), u64::try_from(rows.len()).ok(), &mut seen);
    match records.first() {
        Some(Record::Reveal(event)) => shown(&event.entities),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_taken_where_they_name_the_row_that_is_shown_and_nowhere_else() {
    let (id, email) = (("id", "customers.id", "int4"), ("email", "customers.email", "text"));
    let plain = ("id", "-", "int4");
    let rows: &[&[Option<&str>]] = &[&[Some("42"), Some("a@b.c")], &[Some("7"), Some("d@e.f")], &[Some("42"), None]];
    for (text, columns, expected) in [
        ("SELECT id, email FROM customers", [id, email], "customer[42 7]"),
        ("SELECT c.id, lower(c.email) AS email FROM customers c", [id, ("email", "-", "text")], "customer[42 7]"),
        (
            "SELECT id, max(email) AS email FROM customers GROUP BY id",
            [id, ("email", "-", "text")],
            "customer[42 7] ...",
        ),
        ("SELECT tenant AS id, email FROM customers", [("id", "customers.tenant", "int4"), email], "customer[] ..."),
        ("SELECT id + 1 AS id, email FROM customers", [plain, email], "customer[] ..."),
        ("SELECT a.id, b.email FROM customers a, customers b", [id, email], "customer[] ..."),
        (
            "SELECT id, (SELECT max(email) FROM customers) AS email FROM customers",
            [id, ("email", "-", "text")],
            "customer[] ...",
        ),
        (
            "SELECT number AS id, address AS email FROM people",
            [("id", "people.number", "int4"), ("email", "people.address", "text")],
            "customer[42 7]",
        ),
        (
            "SELECT id, address AS email FROM pairs",
            [("id", "pairs.id", "int4"), ("email", "pairs.address", "text")],
            "customer[] ...",
        ),
        (
            "SELECT id, email FROM customers UNION ALL SELECT id, 'x' FROM parts",
            [plain, ("email", "-", "text")],
            "customer[] ...",
        ),
        (
            "SELECT customer_id AS id, customer_email AS email FROM orders",
            [("id", "orders.customer_id", "int4"), ("email", "orders.customer_email", "text")],
            "customer[42 7], public.orders[] ...",
        ),
        // A key that is tagged is never written.
        (
            "SELECT id, mail AS email FROM leads",
            [("id", "leads.id", "int4"), ("email", "leads.mail", "text")],
            "mail[] ...",
        ),
    ] {
        assert_eq!(seen(text, &columns, rows), expected, "{text}");
    }
}

#[test]
fn a_key_of_several_columns_is_there_with_all_of_them() {
    let (order, number) = (("order_id", "lines.order_id", "int4"), ("number", "lines.number", "int4"));
    let item = ("item", "lines.item", "text");
    let rows: &[&[Option<&str>]] = &[&[Some("1"), Some("2"), Some("x")], &[None, None, None]];
    assert_eq!(seen("SELECT order_id, number, item FROM lines", &[order, number, item], rows), "public.lines[1/2]");
    let rows: &[&[Option<&str>]] = &[&[Some("1"), Some("x")]];
    assert_eq!(seen("SELECT order_id, item FROM lines", &[order, item], rows), "public.lines[] ...");
}

#[test]
fn keys_in_binary_form_are_written_as_text() {
    let snapshot = shop();
    let mut fields =
        vec![field(&snapshot, "id", "customers.id", "int4"), field(&snapshot, "email", "customers.email", "text")];
    for field in &mut fields {
        field.format = Format::Binary;
    }
    let PlannedRows::Sealed(sealed) = bound("dora", "SELECT id, email FROM customers", fields, &snapshot).rows else {
        panic!()
    };
    let mut seen = sealed.seen();
    sealed.note(&body(&[Some(&(-42_i32).to_be_bytes()), Some(b"x")]), &mut seen);
    sealed.note(&body(&[Some(b"no number"), Some(b"x")]), &mut seen);
    let taken: Vec<_> = seen.take().concat();
    assert_eq!(shown(&taken), "customer[-42] ...");
}

#[test]
fn more_keys_than_fit_into_a_record_come_in_several_and_the_result_is_an_export() {
    let snapshot = shop();
    let fields =
        vec![field(&snapshot, "id", "customers.id", "int4"), field(&snapshot, "email", "customers.email", "text")];
    let PlannedRows::Sealed(sealed) = bound("dora", "SELECT id, email FROM customers", fields, &snapshot).rows else {
        panic!()
    };
    let mut seen: Seen = sealed.seen();
    for number in 0..2_500 {
        sealed.note(&body(&[Some(number.to_string().as_bytes()), Some(b"x")]), &mut seen);
    }
    let (records, _) = sealed.open(&executing(), Some(2_500), &mut seen);
    let told: Vec<(&str, usize)> = records
        .iter()
        .map(|record| match record {
            Record::Reveal(event) => {
                assert_eq!(event.action, crate::access_log::Action::Export);
                ("reveal", event.entities.iter().map(|entities| entities.keys.len()).sum())
            }
            Record::Entities(seen) => ("entities", seen.entities.iter().map(|entities| entities.keys.len()).sum()),
            other => (other.kind(), 0),
        })
        .collect();
    assert_eq!(told, [("reveal", 500), ("entities", 1_000), ("entities", 1_000)]);
}
