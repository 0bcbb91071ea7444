//! EXPLAIN.

use super::database::{Database, verdict};
use crate::plan::Snapshot;

/// The shop, where e-mail addresses are unique.
fn shop() -> Snapshot {
    let mut database = Database::shop();
    let customers = database.relation_oid("customers");
    database.alter(customers, |table| {
        table
            .columns
            .iter_mut()
            .filter(|column| column.name.as_str() == "email")
            .for_each(|column| column.unique = true);
    });
    database.function("peek", "text", "sql", Some("SELECT email FROM customers"));
    database.snapshot()
}

#[test]
fn estimates_are_shown_where_they_do_not_depend_on_what_is_stored() {
    let snapshot = shop();
    for text in [
        "EXPLAIN SELECT email FROM customers",
        "EXPLAIN VERBOSE SELECT max(email) FROM customers",
        "EXPLAIN (SETTINGS, FORMAT JSON) SELECT 1 FROM customers WHERE id = 7 AND email IS NULL",
        "EXPLAIN SELECT 1 FROM customers WHERE email = 'x'",
        "EXPLAIN (GENERIC_PLAN) SELECT 1 FROM customers WHERE email = $1",
        "EXPLAIN DECLARE c CURSOR FOR SELECT 1 FROM customers WHERE email IN ('x', 'y')",
        "EXPLAIN SELECT email, count(*) FROM customers GROUP BY email",
        // who may search may see how often
        "EXPLAIN SELECT 1 FROM customers WHERE name LIKE 'x%'",
        "EXPLAIN SELECT 1 FROM customers WHERE length(notes) = 3",
    ] {
        assert_eq!(verdict("ann", text, &snapshot), "protect scrub", "{text}");
    }
    let refused = |what: &str, column: &str, tag: &str, line: u32| {
        format!(
            "pgveil: EXPLAIN of {what} on column public.{column} is not permitted (tag \"{tag}\", rule shop.yaml:{line})"
        )
    };
    let equality = refused("a comparison by equality", "orders.customer_email", "email", 4);
    let join = refused("a comparison with another column", "customers.email", "email", 4);
    for (text, expected) in [
        ("EXPLAIN SELECT 1 FROM orders WHERE customer_email = 'x'", &equality),
        ("EXPLAIN DELETE FROM orders WHERE customer_email = 'x'", &equality),
        ("EXPLAIN SELECT 1 FROM orders o JOIN customers c ON o.customer_email = c.email", &join),
    ] {
        assert_eq!(verdict("ann", text, &snapshot), *expected, "{text}");
        assert_eq!(verdict("dora", text, &snapshot), "protect", "{text}");
    }
}

#[test]
fn what_runs_is_measured_where_nothing_protected_is_looked_at() {
    let snapshot = shop();
    for text in [
        "EXPLAIN ANALYZE SELECT id FROM customers WHERE id = 1",
        "EXPLAIN ANALYZE SELECT count(email) FROM customers WHERE email IS NULL",
        "EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT JSON) UPDATE customers SET card = 'x' WHERE id = 1",
        "EXPLAIN ANALYZE DELETE FROM customers WHERE tenant = 3 RETURNING id",
    ] {
        assert_eq!(verdict("ann", text, &snapshot), "protect scrub", "{text}");
    }
    let refused =
        "pgveil: EXPLAIN ANALYZE is not permitted where it touches protected columns that you do not see in clear";
    for text in [
        "EXPLAIN ANALYZE SELECT email FROM customers",
        "EXPLAIN (ANALYZE, FORMAT YAML) SELECT length(email) FROM customers",
        "EXPLAIN ANALYZE SELECT id FROM customers WHERE email = 'x'",
        "EXPLAIN ANALYZE SELECT tenant, count(*) FROM customers GROUP BY tenant, email",
        "EXPLAIN (\"analyze\") SELECT id FROM customers WHERE email = 'x'",
        "EXPLAIN (ANALYZE, SERIALIZE TEXT) SELECT id FROM customers",
        "EXPLAIN (ANALYZE, WAL) UPDATE customers SET tenant = 1",
        "EXPLAIN ANALYZE CREATE TABLE x AS SELECT id FROM customers",
        "EXPLAIN ANALYZE INSERT INTO orders (customer_email) SELECT email FROM customers",
        "EXPLAIN ANALYZE SELECT peek()",
    ] {
        assert_eq!(verdict("ann", text, &snapshot), refused, "{text}");
        assert_ne!(verdict("dora", text, &snapshot), refused, "{text}");
    }
}
