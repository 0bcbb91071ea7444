//! Encrypted columns whose values are bound to tenants: whose each value is, and what is refused because nobody knows.

use std::sync::Arc;

use super::database::{Database, statement};
use crate::catalog::Oid;
use crate::crypto::{Bound, KeyRing, NonceSource};
use crate::mask::Format;
use crate::plan::{BoundValue, Means, Own, Sealed, Snapshot, TenantSettings, sealing};
use crate::sql::analyze::analyze;
use crate::value::TextForms;

const POLICY: &str = r#"
version: 1
tags:
  private: { mask: full }
columns:
  customers:
    email: { tag: private, encrypted: { type: text, mode: deterministic, key: k, domain: email, tenant: { column: org } } }
    name: { tag: private, encrypted: { type: text, key: k, domain: name, tenant: { column: org } } }
  invoices:
    payer: { tag: private, encrypted: { type: text, mode: deterministic, key: k, domain: email, tenant: { column: tenant_id } } }
  notes:
    body: { tag: private, encrypted: { type: text, mode: deterministic, key: k, domain: body, tenant: { setting: app.tenant } } }
"#;

fn snapshot() -> Snapshot {
    let mut database = Database::empty();
    database.table("customers", "id int4, org int4, email text, name text, city text");
    database.table("invoices", "id int4, tenant_id int4, customer_id int4, payer text");
    database.table("notes", "id int4, body text");
    database.table("orgs", "id int4, title text");
    let mut snapshot = database.snapshot_of(POLICY);
    snapshot.ring = Arc::new(KeyRing::of_tests(&["k"]));
    snapshot
}

/// Under a setting `app.tenant` of this value. `later`: as the protocol prepares it.
fn sealed(text: &str, setting: Option<&str>, later: bool, snapshot: &Snapshot) -> Result<Sealed, String> {
    let mut nonces = NonceSource::new([7; 32]);
    let forms = TextForms::default();
    let mut settings = TenantSettings::default();
    settings.set(&"app.tenant".into(), setting.map(str::as_bytes));
    let mut means = Means { later, ..Means::new(&snapshot.ring, &forms, &mut nonces, &settings) };
    let mut analyses = |text: &str| Some(Arc::new(analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits)));
    match sealing(text, &statement(text, snapshot), (snapshot, &Own::default()), &mut means, &mut analyses) {
        Ok(found) => Ok(found.expect("no analysis is waited for")),
        Err(refusal) => Err(refusal.message.to_string()),
    }
}

/// The plaintexts in a text with the tenants that they open for, in its order: `email jane@x of 1`.
fn opened(text: &str, snapshot: &Snapshot) -> Vec<String> {
    let envelopes = text.split('\'').filter(|part| part.starts_with("pgveil:"));
    envelopes.map(|envelope| opened_as(envelope.as_bytes(), snapshot)).collect()
}

fn opened_as(envelope: &[u8], snapshot: &Snapshot) -> String {
    for domain in ["email", "name", "body"] {
        for tenant in ["1", "2", "-3", "acme"] {
            let bound = Bound { domain, tenant: Some(tenant.as_bytes()) };
            let mut plaintext = Vec::new();
            if snapshot.ring.open("k", envelope, &bound, &mut plaintext).is_ok() {
                return format!("{domain} {} of {tenant}", String::from_utf8(plaintext).unwrap());
            }
        }
    }
    "of nobody".to_owned()
}

#[test]
fn literals_are_sealed_for_the_tenant_of_their_row() {
    let snapshot = snapshot();
    for (text, expected) in [
        ("INSERT INTO customers (id, org, email, name) VALUES (1, 1, 'a', 'b')", "email a of 1, name b of 1"),
        ("INSERT INTO customers VALUES (1, '1', 'a', 'b', 'c')", "email a of 1, name b of 1"),
        (
            "INSERT INTO customers (email, id, org, name) VALUES ('a', 1, 1, NULL), ('b', 2, -3, 'c'), (NULL, 3, NULL, NULL)",
            "email a of 1, email b of -3, name c of -3",
        ),
        ("INSERT INTO customers (org, email) SELECT 2::int8, 'a'", "email a of 2"),
        (
            "INSERT INTO customers (org, email) SELECT 2, e FROM unnest(ARRAY['a', 'b']) u(e)",
            "email a of 2, email b of 2",
        ),
        ("INSERT INTO customers (org, email) SELECT * FROM (VALUES (2, 'a')) v", "email a of 2"),
        ("UPDATE customers SET email = 'a' WHERE org = 1 AND id = 5", "email a of 1"),
        ("UPDATE customers SET email = 'a' WHERE (id, org) = (5, 2)", "email a of 2"),
        ("UPDATE customers AS c SET name = 'a' WHERE '2' = c.org AND (c.id = 5 OR c.id = 6)", "name a of 2"),
        ("UPDATE customers SET org = 2, email = 'a', name = 'b' WHERE org = 1", "email a of 2, name b of 2"),
        (
            "UPDATE customers SET org = 2, email = 'a', name = NULL WHERE email = 'c' AND org = 1",
            "email a of 2, email c of 1",
        ),
        ("UPDATE customers c SET email = 'a' FROM orgs o WHERE c.org = o.id AND o.id = 1", "email a of 1"),
        (
            "INSERT INTO customers (id, org, email) VALUES (1, 1, 'a'), (2, 2, 'b') ON CONFLICT (id, org) DO UPDATE SET email = excluded.email",
            "email a of 1, email b of 2",
        ),
        (
            "INSERT INTO customers (id, org, email, name) VALUES (1, 1, 'a', 'b') \
             ON CONFLICT (id) DO UPDATE SET email = excluded.email, name = 'c', org = excluded.org",
            "email a of 1, name b of 1, name c of 1",
        ),
        ("SELECT id FROM customers WHERE org = 1 AND email = 'a'", "email a of 1"),
        ("SELECT id FROM customers WHERE org = 1 AND email IN ('a', 'b')", "email a of 1, email b of 1"),
        ("SELECT c.id FROM customers c JOIN orgs o ON o.id = c.org WHERE o.id = 2 AND c.email = 'a'", "email a of 2"),
        ("SELECT c.id FROM orgs o LEFT JOIN customers c ON c.org = 2 AND c.email = 'a'", "email a of 2"),
        (
            "SELECT id FROM customers c WHERE org = 1 AND EXISTS (SELECT 1 FROM invoices i WHERE i.tenant_id = c.org AND payer = 'a')",
            "email a of 1",
        ),
        ("DELETE FROM customers WHERE org = 1 AND email = 'a'", "email a of 1"),
        ("SELECT email = 'a', count(*) FROM customers WHERE org = 1 GROUP BY 1", "email a of 1"),
        ("SELECT c.email = 'a' FROM orgs o LEFT JOIN customers c ON c.org = 2", "email a of 2"),
        ("SELECT a.id FROM customers a, customers b WHERE a.org = 1 AND b.org = 1 AND a.email = 'x'", "email x of 1"),
        (
            "MERGE INTO customers c USING orgs o ON c.org = 1 AND c.id = o.id WHEN MATCHED THEN UPDATE SET email = 'a' \
             WHEN NOT MATCHED THEN INSERT (id, org, email) VALUES (o.id, 2, 'b')",
            "email a of 1, email b of 2",
        ),
        ("INSERT INTO notes VALUES (1, 'a')", "body a of acme"),
        ("SELECT id FROM notes WHERE body = 'a'", "body a of acme"),
        ("UPDATE customers SET city = 'x', email = NULL", ""),
        ("UPDATE customers SET org = org, city = 'x'", ""),
        ("INSERT INTO customers (id, city) VALUES (1, 'x')", ""),
        ("INSERT INTO invoices (tenant_id, payer) SELECT org, email FROM customers", ""),
        ("UPDATE customers SET email = email WHERE id = 1", ""),
    ] {
        let found = match sealed(text, Some("acme"), false, &snapshot) {
            Ok(found) => found.sealing.map(|sealing| opened(&sealing.text, &snapshot).join(", ")).unwrap_or_default(),
            Err(message) => message,
        };
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_does_not_tell_whose_a_value_is_is_refused() {
    let snapshot = snapshot();
    let unknown = "does not tell that one";
    for (text, expected) in [
        ("INSERT INTO customers (id, email) VALUES (1, 'a')", unknown),
        ("INSERT INTO customers (org, email) VALUES (NULL, 'a')", unknown),
        ("INSERT INTO customers (org, email) VALUES (DEFAULT, 'a')", unknown),
        ("INSERT INTO customers (org, email) VALUES (1 + 1, 'a')", unknown),
        ("INSERT INTO customers (org, email) SELECT id, 'a' FROM orgs", unknown),
        ("INSERT INTO customers (org, email) SELECT * FROM unnest($1::int[], $2::text[])", unknown),
        ("INSERT INTO customers (org, email) SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v", unknown),
        ("INSERT INTO customers (org, email) SELECT unnest($1::int[]), 'a'", unknown),
        ("UPDATE customers SET email = v.e FROM unnest($1::int[], $2::text[]) v(o, e) WHERE org = v.o", unknown),
        ("UPDATE customers SET email = v.e FROM (VALUES (1, 'a')) v(o, e) WHERE org = v.o", unknown),
        ("UPDATE customers SET email = 'a' WHERE id = 1", unknown),
        ("UPDATE customers SET email = 'a' WHERE org = 1 OR id = 1", unknown),
        ("UPDATE customers SET email = 'a' WHERE NOT (org = 1)", unknown),
        ("UPDATE customers SET email = 'a' WHERE org <> 1", unknown),
        ("UPDATE customers SET email = 'a' WHERE org IN (1, 2)", unknown),
        ("UPDATE customers SET email = 'a' WHERE org::text = '1'", unknown),
        ("UPDATE customers c SET email = 'a' FROM orgs o WHERE o.id = 1", unknown),
        ("SELECT id FROM customers WHERE email = 'a'", unknown),
        ("SELECT email = 'a' FROM customers", unknown),
        ("SELECT CASE WHEN org = 1 THEN email = 'a' END FROM customers", unknown),
        ("SELECT email = 'a' FROM customers WHERE org = 1 OR id = 2", unknown),
        ("SELECT c.email = 'a' FROM customers c LEFT JOIN orgs o ON c.org = 1", unknown),
        ("SELECT id FROM orgs WHERE id = 1 AND EXISTS (SELECT 1 FROM customers WHERE email = 'a')", unknown),
        ("SELECT c.id FROM customers c LEFT JOIN orgs o ON c.org = 1 WHERE c.email = 'a'", unknown),
        ("SELECT c.id FROM customers c FULL JOIN orgs o ON c.org = 1 WHERE c.email = 'a'", unknown),
        ("SELECT a.id FROM customers a, customers b WHERE a.org = 1 AND a.email = 'x'", unknown),
        ("SELECT a.id FROM customers a, customers b WHERE a.org = 1 AND b.org = 2 AND a.email = 'x'", "names several"),
        (
            "SELECT id FROM customers WHERE org = 1 AND email = 'a' UNION SELECT id FROM customers WHERE email = 'a'",
            unknown,
        ),
        ("SELECT email FROM customers", unknown),
        ("SELECT email, org + 1 AS org FROM customers", unknown),
        ("SELECT email FROM customers WHERE org = 1 OR id = 2", unknown),
        ("SELECT a.email, b.org FROM customers a, customers b", unknown),
        ("WITH x AS (SELECT * FROM customers) SELECT a.email, b.org FROM x a, x b", unknown),
        ("SELECT org, email FROM customers UNION ALL SELECT 5, email FROM customers", unknown),
        ("INSERT INTO customers (org, name) VALUES (1, 'a'), (2, 'b') RETURNING name", "names several"),
        ("UPDATE customers SET org = 2 WHERE org = 1", "without the other"),
        ("UPDATE customers SET org = 2, email = 'a' WHERE org = 1", "without the other"),
        ("UPDATE customers SET org = id", "without the other"),
        ("UPDATE customers a SET org = b.org FROM customers b", "without the other"),
        (
            "INSERT INTO customers (id, org, email) VALUES (1, 1, 'a') ON CONFLICT (id) DO UPDATE SET email = excluded.email",
            "without the other",
        ),
        (
            "INSERT INTO customers (id, org) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET org = excluded.org",
            "without the other",
        ),
        (
            "INSERT INTO customers (id, org, email, name) VALUES (1, 1, 'a', 'b') \
             ON CONFLICT (id) DO UPDATE SET email = excluded.email, name = 'c', org = 2",
            "without the other",
        ),
        ("INSERT INTO invoices (tenant_id, payer) SELECT 1, email FROM customers", "whose tenant"),
        ("INSERT INTO invoices (tenant_id, payer) SELECT a.org, b.email FROM customers a, customers b", "whose tenant"),
        ("INSERT INTO invoices (tenant_id, payer) SELECT id, email FROM customers", "whose tenant"),
        ("UPDATE invoices SET payer = email FROM customers WHERE customers.id = customer_id", "whose tenant"),
        ("PREPARE p AS INSERT INTO customers (org, email) VALUES ($1, 'a')", "prepared before its tenant is known"),
        ("PREPARE p AS INSERT INTO notes VALUES (1, 'a')", "prepared before its tenant is known"),
        ("PREPARE p AS SELECT email FROM customers WHERE org = $1", unknown),
        ("INSERT INTO notes VALUES (1, 'a')", "which is not set"),
        ("SELECT id FROM notes WHERE body = 'a'", "which is not set"),
    ] {
        let found = sealed(text, None, false, &snapshot).err().unwrap_or_default();
        assert!(found.contains(expected), "{text}: {found:?}");
    }
}

#[test]
fn rows_are_shown_that_say_whose_they_are() {
    let snapshot = snapshot();
    for (text, expected) in [
        ("SELECT * FROM customers", "column 2"),
        ("SELECT email, org AS o FROM customers WHERE id = 1", "column 2"),
        ("SELECT array_agg(email), org FROM customers GROUP BY org", "column 2"),
        ("SELECT x.email, x.org FROM (SELECT * FROM customers) x", "column 2"),
        ("SELECT email FROM customers WHERE org = 1", "a tenant"),
        ("SELECT email FROM customers WHERE org = $1", "[$1]"),
        ("SELECT a.email FROM customers a JOIN customers b USING (id, org) WHERE org = $1", "[$1]"),
        ("SELECT a.email FROM customers a JOIN customers b USING (id, org) WHERE a.org = 2", "a tenant"),
        ("INSERT INTO customers (org, email) VALUES ($1, $2) RETURNING email", "[$1]"),
        ("INSERT INTO customers (org, email) VALUES ($1, $2), ($3, $4) RETURNING id, org, email", "column 2"),
        ("UPDATE customers SET name = $1 WHERE org = $2 RETURNING email", "[$2]"),
        ("UPDATE customers SET name = $1, email = $2, org = $3 WHERE org = $4 RETURNING email", "[$3]"),
        ("DELETE FROM customers WHERE org = 1 RETURNING email", "a tenant"),
        ("SELECT count(email) FROM customers", "nobody"),
        ("SELECT title FROM orgs", "nobody"),
    ] {
        let found = match sealed(text, None, true, &snapshot) {
            Ok(Sealed { tenants: Some(tenants), .. }) => {
                let shown = format!("{tenants:?}");
                let (_, shown) = shown.split_once(": ").unwrap();
                shown.split_once('}').unwrap().0.split(": ").last().unwrap().to_owned()
            }
            Ok(Sealed { tenants: None, .. }) => "nobody".to_owned(),
            Err(message) => message,
        };
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_prepared_is_sealed_for_the_tenant_that_is_bound() {
    let snapshot = snapshot();
    for (text, given, setting, expected) in [
        (
            "INSERT INTO customers (org, email) VALUES ($1, $2)",
            vec![("1", Format::Text), ("a", Format::Text)],
            None,
            "email a of 1",
        ),
        (
            "INSERT INTO customers (email, org, name) VALUES ('x', $1, $2)",
            vec![("\0\0\0\x02", Format::Binary), ("a", Format::Text)],
            None,
            "name a of 2, email x of 2",
        ),
        ("INSERT INTO notes VALUES (1, 'x')", vec![], Some("acme"), "body x of acme"),
        ("INSERT INTO notes VALUES (1, $1)", vec![("y", Format::Text)], Some("acme"), "body y of acme"),
        ("INSERT INTO notes VALUES (1, 'x')", vec![], None, "which is not set"),
        (
            "UPDATE customers SET email = $1 WHERE org = $2::int8",
            vec![("a", Format::Text), ("2", Format::Text)],
            None,
            "email a of 2",
        ),
        (
            "SELECT id FROM customers a, invoices i WHERE a.org = $1 AND i.tenant_id = $2 AND email = $3 AND payer = $3",
            vec![("1", Format::Text), ("1", Format::Text), ("a", Format::Text)],
            None,
            "email a of 1, email a of 1",
        ),
    ] {
        let found = sealed(text, setting, true, &snapshot).unwrap();
        let slots = found.sealing.unwrap().slots.unwrap();
        let (mut nonces, forms) = (NonceSource::new([1; 32]), TextForms::default());
        let mut settings = TenantSettings::default();
        settings.set(&"app.tenant".into(), setting.map(str::as_bytes));
        let mut means = Means::new(&snapshot.ring, &forms, &mut nonces, &settings);
        let value = |number: u32| {
            let (cell, format) = given.get(usize::try_from(number).ok()? - 1)?;
            let declared = if *format == Format::Binary { Oid(23) } else { Oid(0) };
            Some(BoundValue { cell: Some(cell.as_bytes()), text: None, format: *format, declared })
        };
        let found = match slots.bound((given.len(), 0), value, &mut means) {
            Ok(body) => {
                let body = body.unwrap();
                let parts = body.split(|byte| *byte == 0).filter_map(|part| {
                    let start = part.windows(7).position(|window| window == b"pgveil:")?;
                    Some(opened_as(&part[start..], &snapshot))
                });
                parts.collect::<Vec<_>>().join(", ")
            }
            Err(refusal) => refusal.message.to_string(),
        };
        assert!(found.contains(expected), "{text}: {found}");
    }
}
