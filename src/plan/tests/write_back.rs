//! Masks that come back, statement by statement.

use std::sync::Arc;

use super::database::{Database, caller, statement};
use crate::mask::{Format, TextEncoding};
use crate::plan::{Change, GivenValue, Snapshot, WriteBack, write_back};
use crate::sql::analyze::analyze;

const POLICY: &str = r##"
version: 1
tags:
  email: { mask: email }
  name: { mask: full }
  phone: { mask: { show_last: 2 } }
  birth: { mask: { date_trunc: year } }
  pay: { mask: { round: 1000 } }
  note: { mask: full, write_back: refuse }
  code: { mask: { hash: { digits: 8 } } }
  secret: { mask: nullify }
columns:
  customers: { email: email, name: name, phone: phone, born: birth, salary: pay, notes: note, code: code, token: secret }
roles:
  owners: { users: dora, sees: { "*": clear } }
"##;

fn snapshot() -> Snapshot {
    let mut database = Database::empty();
    database.table(
        "customers",
        "id int4, email text, name text, phone text, born date, salary numeric, notes text, code text, token text, free text",
    );
    database.table("orders", "id int4, email text, customer_id int4");
    database.table("staging", "id int4, email text");
    database.snapshot_of(POLICY)
}

fn found(user: &str, text: &str, snapshot: &Snapshot) -> Result<(WriteBack, Option<String>), String> {
    let mut analyses = |text: &str| Some(Arc::new(analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits)));
    let statement = statement(text, snapshot);
    match write_back(text, &statement, snapshot, &caller(user, snapshot), &mut analyses) {
        Ok(Some((found, Change::None))) => Ok((found, None)),
        Ok(Some((found, Change::To(text)))) => Ok((found, Some(text))),
        Ok(None) => panic!("{text}: waits for an analysis"),
        Err(refusal) => Err(refusal.message.to_string()),
    }
}

/// What runs in the place of a statement with literals, or `as it is`, or `refused`; blanks between words do not count.
fn changed(user: &str, text: &str, snapshot: &Snapshot) -> String {
    match found(user, text, snapshot) {
        Ok((_, Some(text))) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Ok((_, None)) => "as it is".to_owned(),
        Err(_) => "refused".to_owned(),
    }
}

/// What runs in the place of a statement with parameters, with these values as text.
fn bound(text: &str, values: &[Option<&str>], snapshot: &Snapshot) -> String {
    let (found, changed) = match found("ann", text, snapshot) {
        Ok(found) => found,
        Err(message) => panic!("{text}: {message}"),
    };
    assert_eq!(changed, None, "{text}");
    let value = |number: u32| {
        let value = values.get(usize::try_from(number).unwrap() - 1)?;
        Some(GivenValue { cell: value.map(str::as_bytes), format: Format::Text, value_type: None })
    };
    match found.bound(text, TextEncoding::Utf8, value, &mut Vec::new()) {
        Ok(Some(bound)) => bound.text.split_whitespace().collect::<Vec<_>>().join(" "),
        Ok(None) => "as it is".to_owned(),
        Err(_) => "refused".to_owned(),
    }
}

#[test]
fn literals_that_are_masks_are_replaced_by_the_column() {
    let snapshot = snapshot();
    let column = r#""customers"."email""#;
    for (text, expected) in [
        ("UPDATE customers SET email = 'j###@#######.##'", format!("UPDATE customers SET email = {column}")),
        ("UPDATE customers SET email = E'j\\x23##@#######.##'", format!("UPDATE customers SET email = {column}")),
        (
            "UPDATE customers SET email = $$####$$ WHERE email = '####'",
            format!("UPDATE customers SET email = {column} WHERE email = '####'"),
        ),
        ("UPDATE customers SET email = U&'\\0023###'", format!("UPDATE customers SET email = {column}")),
        ("UPDATE customers SET email = '####'::text", format!("UPDATE customers SET email = {column} ::text")),
        (
            "UPDATE customers SET email = CAST('####' AS text)",
            format!("UPDATE customers SET email = CAST( {column} AS text)"),
        ),
        ("UPDATE customers SET email = text '####'", format!("UPDATE customers SET email = {column}")),
        (
            "UPDATE customers SET email = COALESCE('####', email)",
            format!("UPDATE customers SET email = COALESCE( {column} , email)"),
        ),
        ("UPDATE customers SET email = NULLIF('####', '')", format!("UPDATE customers SET email = {column}")),
        ("UPDATE customers SET email = lower('####')", format!("UPDATE customers SET email = {column}")),
        (
            "UPDATE customers SET (email, name) = ('####', 'Ada')",
            format!("UPDATE customers SET (email, name) = ( {column} , 'Ada')"),
        ),
        (
            "UPDATE customers SET (email, name) = ROW('####', 'Ada')",
            format!("UPDATE customers SET (email, name) = ROW( {column} , 'Ada')"),
        ),
        ("UPDATE customers SET email = (SELECT '####')", format!("UPDATE customers SET email = (SELECT {column} )")),
        (
            "UPDATE customers SET email = CASE WHEN id = 1 THEN '####' ELSE 'a@b.de' END",
            format!("UPDATE customers SET email = CASE WHEN id = 1 THEN {column} ELSE 'a@b.de' END"),
        ),
        ("UPDATE public.customers SET email = '####'", format!("UPDATE public.customers SET email = {column}")),
        (
            "UPDATE customers AS c SET email = '####' FROM orders o WHERE o.id = c.id",
            r#"UPDATE customers AS c SET email = "c"."email" FROM orders o WHERE o.id = c.id"#.to_owned(),
        ),
        (
            "WITH u AS (UPDATE customers SET email = '####' RETURNING id) SELECT id FROM u",
            format!("WITH u AS (UPDATE customers SET email = {column} RETURNING id) SELECT id FROM u"),
        ),
        (
            "INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET email = '####'",
            format!("INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET email = {column}"),
        ),
        (
            "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET email = '####'",
            r#"MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET email = "c"."email""#
                .to_owned(),
        ),
        ("UPDATE customers SET token = NULL", r#"UPDATE customers SET token = "customers"."token""#.to_owned()),
        (
            "UPDATE customers SET email = '####', free = '####'",
            format!("UPDATE customers SET email = {column} , free = '####'"),
        ),
    ] {
        assert_eq!(changed("ann", text, &snapshot), expected, "{text}");
        assert_eq!(changed("dora", text, &snapshot), "as it is", "{text}");
    }
}

#[test]
fn what_may_be_real_is_compared_by_the_server() {
    let snapshot = snapshot();
    for text in [
        "UPDATE customers SET salary = 52000",
        "UPDATE customers SET salary = '52000.00'",
        "UPDATE customers SET salary = -52000 WHERE id = 1",
        "UPDATE customers SET born = '1980-01-01'",
        "UPDATE customers SET born = date '1980-01-01'",
        "UPDATE customers SET born = '1980-01-01'::date",
        "UPDATE customers SET born = '1/1/1980'",
    ] {
        let changed = changed("ann", text, &snapshot);
        assert!(changed.contains("(CASE WHEN (") && changed.contains(" ELSE "), "{text}: {changed}");
    }
    for text in [
        "UPDATE customers SET salary = 52345",
        "UPDATE customers SET born = '1980-07-01'",
        "UPDATE customers SET salary = NULL, email = NULL",
        "UPDATE customers SET free = '52000' WHERE salary = 52000",
        "UPDATE orders SET id = 52000",
        "INSERT INTO customers (id, token) VALUES (1, NULL)",
        "INSERT INTO customers (id, salary, born) VALUES (1000, 52000, '1980-01-01')",
        "UPDATE customers SET name = 'Ada' WHERE id = 1000",
    ] {
        assert_eq!(changed("ann", text, &snapshot), "as it is", "{text}");
    }
}

#[test]
fn what_can_not_be_kept_is_refused() {
    let snapshot = snapshot();
    for text in [
        "INSERT INTO customers (email) VALUES ('####')",
        "INSERT INTO customers VALUES (1, '####')",
        "INSERT INTO customers (id, email) VALUES (1, 'a@b.de'), (2, 'j###@#######.##')",
        "INSERT INTO customers (id, email) SELECT 1, '####'",
        "INSERT INTO customers (id, email) SELECT id, '####' FROM orders",
        "INSERT INTO customers (id, email) SELECT 1, 'a@b.de' UNION ALL SELECT 2, '####'",
        "INSERT INTO customers (id, email) VALUES (1, '####') ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN NOT MATCHED THEN INSERT (id, email) VALUES (1, '####')",
        "UPDATE customers SET email = v.email FROM (VALUES (1, '##' || '##')) v(id, email) WHERE v.id = customers.id",
        "UPDATE customers SET email = upper(v.email) FROM (VALUES (1, '####')) v(id, email) WHERE v.id = customers.id",
        "UPDATE customers SET email = CASE WHEN id = 1 THEN '######' ELSE 'a@b.de' END::varchar(5)",
        "UPDATE customers SET email = v.email, name = '####' || free FROM (VALUES (1, '####')) v(id, email)",
        "UPDATE customers SET email = '####' || free",
        "UPDATE customers SET email = 'jane@#######.##'",
        "UPDATE customers SET notes = '####'",
        "UPDATE customers SET code = '0123abcd'",
    ] {
        assert_eq!(changed("ann", text, &snapshot), "refused", "{text}");
        assert_eq!(changed("dora", text, &snapshot), "as it is", "{text}");
    }
}

#[test]
fn parameters_are_watched_and_replaced_where_they_bring_masks() {
    let snapshot = snapshot();
    let kept = r#"(CASE WHEN false THEN $1 ELSE "customers"."email" END)"#;
    let mask = Some("j###@#######.##");
    for (text, values, expected) in [
        ("UPDATE customers SET email = $1 WHERE id = $2", vec![mask, Some("1")], format!("UPDATE customers SET email = {kept} WHERE id = $2")),
        ("UPDATE customers SET email = $1 WHERE id = $2", vec![Some("a@b.de"), Some("1")], "as it is".to_owned()),
        ("UPDATE customers SET email = $1 WHERE email = $1", vec![mask], format!("UPDATE customers SET email = {kept} WHERE email = $1")),
        ("UPDATE customers SET email = $1, free = $1", vec![mask], format!("UPDATE customers SET email = {kept} , free = $1")),
        ("UPDATE customers SET email = COALESCE($1, email)", vec![mask], format!("UPDATE customers SET email = COALESCE( {kept} , email)")),
        ("UPDATE customers SET email = $1::text", vec![mask], format!("UPDATE customers SET email = {kept} ::text")),
        ("UPDATE customers SET email = nullif($1, '')", vec![mask], r#"UPDATE customers SET email = (CASE WHEN false THEN nullif($1, '') ELSE "customers"."email" END)"#.to_owned()),
        ("UPDATE customers SET name = $1, email = $2", vec![Some("####"), mask], r#"UPDATE customers SET name = (CASE WHEN false THEN $1 ELSE "customers"."name" END) , email = (CASE WHEN false THEN $2 ELSE "customers"."email" END)"#.to_owned()),
        ("UPDATE customers SET name = $1, email = $2", vec![Some("Ada"), None], "as it is".to_owned()),
        ("UPDATE customers SET token = $1", vec![None], r#"UPDATE customers SET token = (CASE WHEN false THEN $1 ELSE "customers"."token" END)"#.to_owned()),
        ("INSERT INTO customers (email) VALUES ($1)", vec![mask], "refused".to_owned()),
        ("INSERT INTO customers (email) VALUES ($1), ($2)", vec![Some("a@b.de"), mask], "refused".to_owned()),
        ("INSERT INTO customers (email) VALUES ($1), ($2)", vec![Some("a@b.de"), None], "as it is".to_owned()),
        ("INSERT INTO customers (email) SELECT * FROM unnest($1::text[])", vec![Some("{a@b.de,####}")], "refused".to_owned()),
        ("INSERT INTO customers (email) SELECT * FROM unnest($1::text[])", vec![Some("{a@b.de,c@d.de}")], "as it is".to_owned()),
        ("UPDATE customers SET email = v.email FROM (VALUES ($1, $2)) v(id, email) WHERE v.id = customers.id", vec![Some("1"), mask],
         r#"UPDATE customers SET email = (CASE WHEN (pg_catalog.rtrim((v.email)::pg_catalog.text) IN (pg_catalog.rtrim((CAST($2 AS "pg_catalog"."text"))::pg_catalog.text))) THEN "customers"."email" ELSE v.email END) FROM (VALUES ($1, $2)) v(id, email) WHERE v.id = customers.id"#.to_owned()),
        ("INSERT INTO customers (id, salary) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET salary = EXCLUDED.salary", vec![Some("1"), Some("52345")], "as it is".to_owned()),
        ("INSERT INTO customers (id, email) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email", vec![Some("1"), mask], "refused".to_owned()),
        ("UPDATE customers SET email = v.email FROM (VALUES ($1, $2)) v(id, email) WHERE v.id = customers.id", vec![Some("1"), Some("a@b.de")], "as it is".to_owned()),
        ("UPDATE customers SET notes = $1", vec![Some("####")], "refused".to_owned()),
        ("UPDATE customers SET code = $1", vec![Some("0123abcd")], "refused".to_owned()),
        ("UPDATE customers SET free = $1", vec![mask], "as it is".to_owned()),
        ("UPDATE orders SET email = $1", vec![mask], "as it is".to_owned()),
        ("DELETE FROM customers WHERE email = $1", vec![mask], "as it is".to_owned()),
    ] {
        assert_eq!(bound(text, &values, &snapshot), expected, "{text}");
    }
    let compared = bound("UPDATE customers SET salary = $1 WHERE id = $2", &[Some("52000"), Some("1")], &snapshot);
    assert!(compared.contains("THEN \"customers\".\"salary\" ELSE $1 END) WHERE id = $2"), "{compared}");
    let written = bound("UPDATE customers SET salary = $1 WHERE id = $2", &[Some("52345"), Some("1")], &snapshot);
    assert_eq!(written, "as it is");
}

#[test]
fn an_expression_that_chooses_keeps_as_a_whole() {
    let snapshot = snapshot();
    let stored = r#""customers"."email""#;
    let known = |masks: &[&str]| {
        let cast = |mask: &&str| format!(r#"pg_catalog.rtrim((CAST({mask} AS "pg_catalog"."text"))::pg_catalog.text)"#);
        masks.iter().map(cast).collect::<Vec<_>>().join(", ")
    };
    let whole = |expression: &str, masks: &[&str]| {
        let known = known(masks);
        format!(
            "(CASE WHEN (pg_catalog.rtrim(({expression})::pg_catalog.text) IN ({known})) THEN {stored} ELSE {expression} END)"
        )
    };
    let case = "(CASE WHEN id = 1 THEN 'a@b.de' WHEN id = 2 THEN '####' ELSE '#####' END)::varchar(80)";
    for (before, expression, masks, after) in [
        ("UPDATE customers SET email = ", case, &["'#####'", "'####'"][..], " WHERE id IN (1, 2)"),
        (
            "UPDATE customers SET email = ",
            "v.email",
            &["'####'"],
            " FROM (VALUES (1, '####'), (2, 'a@b.de')) v(id, email) WHERE v.id = customers.id",
        ),
        ("WITH v AS (SELECT '####' AS email) UPDATE customers SET email = ", "v.email", &["'####'"], " FROM v"),
        ("UPDATE customers SET free = '####', email = ", "CAST('####' AS char(4))", &["'####'"], ""),
    ] {
        let text = format!("{before}{expression}{after}");
        let expected = format!("{before} {} {after}", whole(expression, masks));
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(changed("ann", &text, &snapshot), expected, "{text}");
        assert_eq!(changed("dora", &text, &snapshot), "as it is", "{text}");
    }
    for text in [
        "UPDATE customers SET salary = (CASE WHEN id = 1 THEN 52000.00 ELSE 52345 END)::numeric(12, 2)",
        "UPDATE customers SET salary = v.pay FROM (VALUES (1, 52000)) v(id, pay) WHERE v.id = customers.id",
        "INSERT INTO customers (id, salary) VALUES (1, 52000) ON CONFLICT (id) DO UPDATE SET salary = EXCLUDED.salary",
    ] {
        let changed = changed("ann", text, &snapshot);
        assert!(
            changed.contains("salary = (CASE WHEN (") && changed.contains("\"customers\".\"salary\" ELSE"),
            "{text}: {changed}"
        );
    }
}
