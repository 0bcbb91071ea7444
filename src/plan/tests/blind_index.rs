//! Statements at columns that have a blind index: its column is compared, and nobody is shown it.

use std::sync::Arc;

use super::database::Database;
use super::encryption::{sealed, shape};
use crate::crypto::KeyRing;
use crate::plan::Snapshot;
use crate::policy::index_expression;

const POLICY: &str = r##"
version: 1
tags:
  email: { mask: email }
  name: { mask: full }
columns:
  customers:
    email: { tag: email, encrypted: { type: varchar(60), key: k, domain: email, blind_index: email_index } }
    born: { tag: name, encrypted: { type: date, key: k, domain: born, blind_index: Born_Index } }
    photo: { tag: name, encrypted: { type: bytea, key: k, domain: photo, blind_index: photo_index } }
    moving: { tag: name, encrypted: { type: text, key: k, domain: moving, blind_index: moving_index, stored: mixed } }
    late: { tag: name, encrypted: { type: text, key: k, domain: late, blind_index: late_index } }
    plain: { tag: name, encrypted: { type: text, key: k, domain: plain, mode: deterministic } }
"##;

fn snapshot() -> Snapshot {
    let mut database = Database::empty();
    database.table(
        "customers",
        "id int4, email text, born text, photo bytea, moving text, late text, plain text, city text, \
         email_index text, Born_Index text, photo_index text, moving_index text, late_index text",
    );
    database.table("orders", "id int4, customer_id int4, note text, email_index text");
    let customers = database.relation_oid("customers");
    database.alter(customers, |customers| {
        let indexes = [
            ("email", "email_index", false),
            ("born", "Born_Index", false),
            ("photo", "photo_index", true),
            ("moving", "moving_index", false),
            // Not the index, whatever it is called.
            ("id", "late_index", false),
        ];
        for (of, index, is_bytes) in indexes {
            let index = customers.columns.iter_mut().find(|column| column.name.as_str() == index).unwrap();
            index.generated = Some(index_expression(of, is_bytes).into());
        }
    });
    let mut snapshot = database.snapshot_of(POLICY);
    snapshot.ring = Arc::new(KeyRing::of_tests(&["k"]));
    snapshot
}

#[test]
fn the_index_is_compared_in_the_place_of_the_column() {
    let snapshot = snapshot();
    for (text, expected) in [
        (
            "SELECT email FROM customers WHERE email = 'jane@x'",
            "SELECT email FROM customers WHERE \"customers\".\"email_index\" = 'email'",
        ),
        (
            "SELECT id FROM customers c WHERE c.email <> $1 AND c.id = $2",
            "SELECT id FROM customers c WHERE \"c\".\"email_index\" <> $1 AND c.id = $2",
        ),
        (
            "SELECT $1, id FROM customers WHERE $1 = customers.email",
            "SELECT $1, id FROM customers WHERE $2 = \"customers\".\"email_index\"",
        ),
        (
            "SELECT id FROM customers \"C\" WHERE (email)::text IN ('a', NULL, $1)",
            "SELECT id FROM customers \"C\" WHERE ( \"C\".\"email_index\" )::text IN ( 'email' , NULL, $1 )",
        ),
        (
            "SELECT id FROM customers WHERE born = DATE '1990-01-31' AND email NOT IN ('a')",
            "SELECT id FROM customers WHERE \"customers\".\"Born_Index\" = 'born' AND \"customers\".\"email_index\" NOT IN ( 'email' )",
        ),
        (
            "SELECT id FROM customers WHERE email = ANY ($1) AND photo = ANY (ARRAY['\\x00', $2]::bytea[])",
            "SELECT id FROM customers WHERE \"customers\".\"email_index\" = ANY ( $1 ) AND \
             \"customers\".\"photo_index\" = ANY (ARRAY[ 'photo' , $2 ]:: text[] )",
        ),
        (
            "SELECT id FROM customers WHERE email IS NOT DISTINCT FROM $1",
            "SELECT id FROM customers WHERE \"customers\".\"email_index\" IS NOT DISTINCT FROM $1",
        ),
        (
            "UPDATE customers SET email = $1, city = 'x' WHERE email = $1",
            "UPDATE customers SET email = $1 , city = 'x' WHERE \"customers\".\"email_index\" = $2",
        ),
        (
            "DELETE FROM customers AS d USING orders o WHERE o.customer_id = d.id AND d.email = $1",
            "DELETE FROM customers AS d USING orders o WHERE o.customer_id = d.id AND \"d\".\"email_index\" = $1",
        ),
        (
            "INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (email_index) DO UPDATE SET email = excluded.email",
            "INSERT INTO customers (id, email) VALUES (1, 'email' ) ON CONFLICT (email_index) DO UPDATE SET email = excluded.email",
        ),
        (
            "WITH c AS (SELECT id, email FROM customers WHERE email = 'a') SELECT * FROM c",
            "WITH c AS (SELECT id, email FROM customers WHERE \"customers\".\"email_index\" = 'email' ) SELECT * FROM c",
        ),
        (
            "SELECT a.id FROM customers a JOIN customers b ON a.id = b.id WHERE a.email = $1 AND b.email = $2",
            "SELECT a.id FROM customers a JOIN customers b ON a.id = b.id WHERE \"a\".\"email_index\" = $1 AND \"b\".\"email_index\" = $2",
        ),
        (
            "SELECT o.id FROM orders o JOIN customers ON customers.id = o.customer_id WHERE email = $1",
            "SELECT o.id FROM orders o JOIN customers ON customers.id = o.customer_id WHERE \"customers\".\"email_index\" = $1",
        ),
        (
            "SELECT id FROM orders o WHERE EXISTS (SELECT FROM customers c WHERE c.id = o.customer_id AND email = $1)",
            "SELECT id FROM orders o WHERE EXISTS (SELECT FROM customers c WHERE c.id = o.customer_id AND \"c\".\"email_index\" = $1 )",
        ),
        (
            "SELECT count(*) FILTER (WHERE email = 'a') FROM customers",
            "SELECT count(*) FILTER (WHERE \"customers\".\"email_index\" = 'email' ) FROM customers",
        ),
        (
            "PREPARE p (varchar, bytea) AS SELECT id FROM customers WHERE email = $1 OR photo = $2",
            "PREPARE p (pg_catalog.text, pg_catalog.text) AS SELECT id FROM customers WHERE \
             \"customers\".\"email_index\" = $1 OR \"customers\".\"photo_index\" = $2",
        ),
        (
            "DELETE FROM customers WHERE NOT moving = 'a'",
            "DELETE FROM customers WHERE NOT (\"customers\".\"moving_index\" IS NOT NULL AND \"customers\".\"moving_index\" = 'moving' \
             OR \"customers\".\"moving_index\" IS NULL AND moving = 'moving' )",
        ),
        (
            "SELECT id FROM customers c WHERE moving IN ($1, 'b')",
            "SELECT id FROM customers c WHERE (\"c\".\"moving_index\" IS NOT NULL AND \"c\".\"moving_index\" IN ( $1 , 'moving' ) \
             OR \"c\".\"moving_index\" IS NULL AND moving IN ( $2 , 'moving' ))",
        ),
    ] {
        assert_eq!(shape(text, &snapshot).replace("  ", " "), expected, "{text}");
    }
}

#[test]
fn where_the_table_is_not_at_hand_the_index_is_taken_out_of_the_value() {
    let snapshot = snapshot();
    let taken = |column: &str| {
        format!("({} COLLATE pg_catalog.\"C\")", index_expression(column, false))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (text, before, column, after) in [
        (
            "SELECT id FROM (SELECT id, email AS e FROM customers) s WHERE s.e = 'a'",
            "SELECT id FROM (SELECT id, email AS e FROM customers) s WHERE ",
            "s.e",
            " = 'email'",
        ),
        (
            "WITH c AS (SELECT * FROM customers) SELECT id FROM c WHERE email IN ('a')",
            "WITH c AS (SELECT * FROM customers) SELECT id FROM c WHERE ",
            "email",
            " IN ( 'email' )",
        ),
        (
            "SELECT 1 FROM customers AS c (a, b) WHERE b = $1",
            "SELECT 1 FROM customers AS c (a, b) WHERE ",
            "b",
            " = $1",
        ),
        // The column of the index is none.
        ("SELECT id FROM customers WHERE late = $1", "SELECT id FROM customers WHERE ", "late", " = $1"),
        // An entry that is called by the same name further in.
        (
            "SELECT 1 FROM customers c WHERE EXISTS (SELECT FROM orders c WHERE email = $1)",
            "SELECT 1 FROM customers c WHERE EXISTS (SELECT FROM orders c WHERE ",
            "email",
            " = $1 )",
        ),
        // Another row's.
        (
            "SELECT 1 FROM (SELECT id, email FROM customers) s, customers AS t (i, e) WHERE email = $1",
            "SELECT 1 FROM (SELECT id, email FROM customers) s, customers AS t (i, e) WHERE ",
            "email",
            " = $1",
        ),
    ] {
        assert_eq!(shape(text, &snapshot), format!("{before}{}{after}", taken(column)), "{text}");
    }
}

#[test]
fn a_value_is_looked_for_under_both_versions_of_a_key() {
    use crate::crypto::{DataKey, Equality, KeyId, KeyState, KeyVersion};
    let mut snapshot = snapshot();
    let version = |id: u8| KeyVersion {
        id: KeyId([id; 8]),
        state: KeyState::Active,
        key: Some(Arc::new(DataKey::new(KeyId([id; 8]), &[id; 32]))),
    };
    let mut ring = KeyRing::default();
    let equality = Equality { pinned: KeyId([2; 8]), leaving: Some(KeyId([1; 8])) };
    ring.insert("k", vec![version(1), version(2), version(3)], equality);
    snapshot.ring = Arc::new(ring);
    for (text, expected) in [
        (
            "SELECT id FROM customers WHERE email = $1",
            "SELECT id FROM customers WHERE \"customers\".\"email_index\" = ANY (ARRAY[$1, $2])",
        ),
        (
            "SELECT id FROM customers WHERE email <> 'a' AND email IN ('b', $1)",
            "SELECT id FROM customers WHERE \"customers\".\"email_index\" <> ALL (ARRAY['email', 'email']) AND \
             \"customers\".\"email_index\" IN ( 'email', 'email' , $1, $2 )",
        ),
        (
            "SELECT id FROM customers WHERE email = ANY ($1)",
            "SELECT id FROM customers WHERE \"customers\".\"email_index\" = ANY ( ($1 || $2) )",
        ),
    ] {
        assert_eq!(shape(text, &snapshot), expected, "{text}");
    }
    // What is written is under the version that values are compared under, not under the newest.
    let text = sealed("UPDATE customers SET email = 'jane@x'", &snapshot).unwrap().unwrap().text;
    assert!(text.contains(&KeyId([2; 8]).text_prefix(crate::crypto::Mode::Indexed)), "{text}");
}

#[test]
fn what_a_blind_index_does_not_serve_is_refused() {
    let snapshot = snapshot();
    for (text, expected) in [
        ("SELECT email FROM customers GROUP BY email", "grouping and comparing its values"),
        ("SELECT DISTINCT email FROM customers", "grouping and comparing its values"),
        ("SELECT id FROM customers ORDER BY email", "sorting by it"),
        ("SELECT 1 FROM customers a JOIN customers b ON a.email = b.email", "a join with it"),
        ("SELECT 1 FROM customers a JOIN customers b USING (email)", "a join with it"),
        ("SELECT id FROM customers WHERE email LIKE 'a%'", "a search by pattern in it"),
        ("SELECT id FROM customers WHERE lower(email) = 'a'", "a comparison with anything but plain values"),
        ("SELECT id FROM customers WHERE email = lower('A')", "a comparison with anything but plain values"),
        ("SELECT id FROM customers WHERE email = plain", "a join with it"),
        ("INSERT INTO customers (email) VALUES ('a') ON CONFLICT (email) DO NOTHING", "ON CONFLICT by it"),
        ("SELECT id FROM customers WHERE (email, id) = ('a', 1)", "a comparison in this form"),
        ("SELECT id FROM customers c, (VALUES ('a')) v (e) WHERE c.email = v.e", "is encrypted"),
        ("SELECT id FROM customers c JOIN unnest($1::text[]) u(e) ON c.email = u.e", "a comparison with it"),
        (
            "WITH v AS (SELECT $1 AS e) UPDATE customers SET email = v.e FROM v WHERE email = v.e",
            "a comparison with it",
        ),
        ("SELECT id FROM customers WHERE email_index = 'a'", "a condition on the column of its blind index"),
        ("SELECT id FROM customers WHERE email_index = $1", "a condition on the column of its blind index"),
        ("SELECT id FROM customers WHERE email_index = ANY ($1)", "a condition on the column of its blind index"),
        ("SELECT id FROM customers WHERE email_index LIKE 'a%'", "a condition on the column of its blind index"),
        ("SELECT id FROM customers ORDER BY email_index", "a condition on the column of its blind index"),
        ("SELECT email_index FROM customers GROUP BY 1", "a condition on the column of its blind index"),
        (
            "SELECT 1 FROM customers a JOIN customers b USING (email_index)",
            "a condition on the column of its blind index",
        ),
        ("SELECT md5(email_index) FROM customers", "computing with its values"),
        ("SELECT coalesce(email_index, 'x') = 'y' FROM customers", "computing with its values"),
        ("SELECT coalesce(email, email_index) FROM customers", "computing with its values"),
        ("UPDATE customers SET city = email_index", "storing its values in a column that is not encrypted"),
        ("UPDATE customers SET plain = email_index", "storing values of another column"),
        ("UPDATE orders SET note = c.email_index FROM customers c WHERE c.id = customer_id", "storing its values"),
        ("CREATE TABLE copies AS SELECT email_index FROM customers", "a table that is made of this column"),
    ] {
        let found = shape(text, &snapshot);
        assert!(found.contains(expected), "{text}: {found}");
    }
    for text in [
        "SELECT * FROM customers",
        "SELECT email, email_index FROM customers WHERE email_index IS NULL",
        "SELECT email_index FROM customers UNION ALL SELECT photo_index FROM customers",
        "SELECT count(email_index) FROM customers",
        "UPDATE customers SET email_index = DEFAULT",
        "SELECT email_index FROM orders WHERE email_index = 'a'",
    ] {
        assert_eq!(shape(text, &snapshot), "as it is", "{text}");
    }
}
