//! Statements at encrypted columns: what the server gets in their place, and what is refused.

use std::sync::{Arc, LazyLock};

use super::database::{Database, statement};
use crate::catalog::Oid;
use crate::crypto::{Bound, KeyRing, NonceSource};
use crate::mask::Format;
use crate::plan::{BoundValue, Means, Own, Sealing, Snapshot, TenantSettings, sealing};
use crate::sql::analyze::analyze;
use crate::value::TextForms;

const POLICY: &str = r##"
version: 1
tags:
  email: { mask: email }
  name: { mask: full }
  birth: { mask: { date_trunc: year } }
columns:
  customers:
    email: { tag: email, encrypted: { type: varchar(60), mode: deterministic, key: k, domain: email } }
    name: { tag: name, encrypted: { type: text, key: k, domain: name } }
    born: { tag: birth, encrypted: { type: date, key: k, domain: born } }
    moving: { tag: name, encrypted: { type: text, mode: deterministic, key: k, domain: moving, stored: mixed } }
    phone: name
  orders:
    customer_email: { tag: email, encrypted: { type: varchar(60), mode: deterministic, key: k, domain: email } }
"##;

fn snapshot() -> Snapshot {
    let mut database = Database::empty();
    database.table("customers", "id int4, email text, name text, born text, moving text, phone text, city text");
    database.table("orders", "id int4, customer_id int4, customer_email text, note text");
    database.table("scratch", "t text, n int4");
    let customers = database.relation_oid("customers");
    database.alter(customers, |customers| {
        let id = customers.columns.first_mut().unwrap();
        (id.unique, id.not_null) = (true, true);
    });
    let keeps = database.function(
        "keeps",
        "int4",
        "plpgsql",
        Some("BEGIN INSERT INTO customers (email) VALUES ('x'); RETURN 1; END"),
    );
    database.takes(keeps, "int4");
    let mut snapshot = database.snapshot_of(POLICY);
    snapshot.ring = Arc::new(KeyRing::of_tests(&["k"]));
    snapshot
}

fn means<'a>(snapshot: &'a Snapshot, forms: &'a TextForms, nonces: &'a mut NonceSource) -> Means<'a> {
    static NOTHING: LazyLock<TenantSettings> = LazyLock::new(TenantSettings::default);
    Means::new(&snapshot.ring, forms, nonces, &NOTHING)
}

pub(super) fn sealed(text: &str, snapshot: &Snapshot) -> Result<Option<Sealing>, String> {
    let mut nonces = NonceSource::new([7; 32]);
    let forms = TextForms::default();
    let mut means = means(snapshot, &forms, &mut nonces);
    let mut analyses = |text: &str| Some(Arc::new(analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits)));
    match sealing(text, &statement(text, snapshot), (snapshot, &Own::default()), &mut means, &mut analyses) {
        Ok(found) => Ok(found.expect("no analysis is waited for").sealing),
        Err(refusal) => Err(refusal.message.to_string()),
    }
}

/// What runs in the place of a statement, with the domain in the place of an envelope; `as it is`; or why not.
pub(super) fn shape(text: &str, snapshot: &Snapshot) -> String {
    match sealed(text, snapshot) {
        Ok(None) => "as it is".to_owned(),
        Ok(Some(sealing)) => {
            assert!(!sealing.text.contains("jane@"), "{}", sealing.text);
            sealing.shape.split_whitespace().collect::<Vec<_>>().join(" ")
        }
        Err(message) => message,
    }
}

#[test]
fn values_for_encrypted_columns_are_sealed_and_others_are_not() {
    let snapshot = snapshot();
    for (text, expected) in [
        (
            "INSERT INTO customers (id, email, phone) VALUES (1, 'jane@x', '555')",
            "INSERT INTO customers (id, email, phone) VALUES (1, 'email' , '555')",
        ),
        (
            "INSERT INTO customers (id, email) VALUES (1, NULL), (2, 'a'), (3, DEFAULT)",
            "INSERT INTO customers (id, email) VALUES (1, NULL), (2, 'email' ), (3, DEFAULT)",
        ),
        (
            "INSERT INTO customers (id, name, born) SELECT 1, 'Jane', DATE '1990-01-31'",
            "INSERT INTO customers (id, name, born) SELECT 1, 'name' , 'born'",
        ),
        (
            "UPDATE customers SET email = 'x', name = 'y', phone = 'z' WHERE id = 7",
            "UPDATE customers SET email = 'email' , name = 'name' , phone = 'z' WHERE id = 7",
        ),
        (
            "UPDATE customers SET (email, name) = ('x', 'y') WHERE email = 'x'::varchar",
            "UPDATE customers SET (email, name) = ( 'email' , 'name' ) WHERE email = 'email'",
        ),
        (
            "INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (email) DO UPDATE SET email = excluded.email, name = 'n'",
            "INSERT INTO customers (id, email) VALUES (1, 'email' ) ON CONFLICT (email) DO UPDATE SET email = excluded.email, name = 'name'",
        ),
        (
            "PREPARE p (varchar(60), int, text) AS INSERT INTO customers (email, id, name, phone) VALUES ($1, $2, $3, $3)",
            "PREPARE p (pg_catalog.text, int, text, pg_catalog.text) AS INSERT INTO customers (email, id, name, phone) VALUES ( $1 , $2, $4 , $3)",
        ),
        // what stands in the place of values is the text of one
        (
            "SELECT coalesce(email, 'none'), coalesce(id, 5) FROM customers",
            "SELECT coalesce(email, 'email' ), coalesce(id, 5) FROM customers",
        ),
        (
            "SELECT CASE WHEN id = 1 THEN born ELSE $1 END FROM customers",
            "SELECT CASE WHEN id = 1 THEN born ELSE $1 END FROM customers",
        ),
        (
            "INSERT INTO customers (email) SELECT DISTINCT x FROM (VALUES ('a'), ('b')) v(x) WHERE x IS NOT NULL",
            "INSERT INTO customers (email) SELECT DISTINCT x FROM (VALUES ( 'email' ), ( 'email' )) v(x) WHERE x IS NOT NULL",
        ),
        (
            "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) WHERE NOT EXISTS (SELECT 1 FROM customers WHERE email = x)",
            "INSERT INTO customers (email) SELECT x FROM (VALUES ( 'email' )) v(x) WHERE NOT EXISTS (SELECT 1 FROM customers WHERE email = x)",
        ),
        // whether they are equal
        (
            "SELECT email = 'a', $1 <> email, email IN ($1, 'b'), email IS DISTINCT FROM $2, email = ANY($3) FROM customers",
            "SELECT email = 'email' , $1 <> email, email IN ( $1 , 'email' ), email IS DISTINCT FROM $2 , email = ANY( $3 ) FROM customers",
        ),
        (
            "SELECT CASE WHEN email = 'a'::text THEN 'yes' END, coalesce(email = 'b', false) FROM customers ORDER BY email = 'a'",
            "SELECT CASE WHEN email = 'email' THEN 'yes' END, coalesce(email = 'email' , false) FROM customers ORDER BY email = 'email'",
        ),
        (
            "SELECT k FROM (SELECT email <> 'a' AS k FROM customers) q WHERE k ORDER BY k",
            "SELECT k FROM (SELECT email <> 'email' AS k FROM customers) q WHERE k ORDER BY k",
        ),
        (
            "SELECT moving = 'a', moving NOT IN ('b') FROM customers",
            "SELECT moving = ANY (ARRAY['moving', 'moving']) , moving NOT IN ( 'moving', 'moving' ) FROM customers",
        ),
        (
            "SELECT CASE email WHEN 'a' THEN id WHEN $1 THEN 2 END FROM customers",
            "SELECT CASE email WHEN 'email' THEN id WHEN $1 THEN 2 END FROM customers",
        ),
        (
            "UPDATE customers SET city = CASE email WHEN 'a' THEN 1 / 0 ELSE 1 END, name = CASE email WHEN 'b' THEN 'c' END",
            "UPDATE customers SET city = CASE email WHEN 'email' THEN 1 / 0 ELSE 1 END, name = CASE email WHEN 'email' THEN 'name' END",
        ),
        (
            "SELECT c.email = v.e FROM customers c, (VALUES ('a'), ($1)) v(e)",
            "SELECT c.email = v.e FROM customers c, (VALUES ( 'email' ), ( $1 )) v(e)",
        ),
        (
            "INSERT INTO customers (id, email) VALUES (1, 'a'), (2, $1) ON CONFLICT (id) DO UPDATE SET email = excluded.email, \
             city = CASE WHEN customers.email IS NOT DISTINCT FROM excluded.email AND customers.id = excluded.id THEN customers.city ELSE 'x' END",
            "INSERT INTO customers (id, email) VALUES (1, 'email' ), (2, $1 ) ON CONFLICT (id) DO UPDATE SET email = excluded.email, \
             city = CASE WHEN customers.email IS NOT DISTINCT FROM excluded.email AND customers.id = excluded.id THEN customers.city ELSE 'x' END",
        ),
        // what a statement chooses among
        (
            "UPDATE customers SET name = CASE WHEN id = 1 THEN 'a' WHEN phone LIKE 'b%' THEN $1 ELSE name END",
            "UPDATE customers SET name = CASE WHEN id = 1 THEN 'name' WHEN phone LIKE 'b%' THEN $1 ELSE name END",
        ),
        (
            "UPDATE customers SET phone = CASE WHEN email = 'a' THEN 'x' END, name = CASE WHEN email IN ('a') THEN 'y' END",
            "UPDATE customers SET phone = CASE WHEN email = 'email' THEN 'x' END, name = CASE WHEN email IN ( 'email' ) THEN 'name' END",
        ),
        (
            "UPDATE customers SET name = (SELECT 'a'), email = (SELECT e FROM (VALUES (1, 'b')) v(i, e) WHERE i = id)",
            "UPDATE customers SET name = (SELECT 'name' ), email = (SELECT e FROM (VALUES (1, 'email' )) v(i, e) WHERE i = id)",
        ),
        (
            "UPDATE customers SET (name, city) = (SELECT 'a', 'b'), (email, phone) = (SELECT $1, o.note FROM orders o WHERE o.id = customers.id)",
            "UPDATE customers SET (name, city) = (SELECT 'name' , 'b'), (email, phone) = (SELECT $1 , o.note FROM orders o WHERE o.id = customers.id)",
        ),
        // casts around more than a value
        (
            "UPDATE customers SET born = (CASE WHEN id = 1 THEN '1990-01-31' ELSE $1 END)::date, phone = ('x')::text",
            "UPDATE customers SET born = (CASE WHEN id = 1 THEN 'born' ELSE $1 END):: text , phone = ('x')::text",
        ),
        (
            "INSERT INTO customers (born, phone) SELECT CAST(b AS date), p::text FROM (VALUES ('1990-01-31', 'x'), ($1, $2)) v(b, p)",
            "INSERT INTO customers (born, phone) SELECT CAST(b AS text ), p::text FROM (VALUES ( 'born' , 'x'), ( $1 , $2)) v(b, p)",
        ),
        (
            "INSERT INTO customers (born, name) SELECT b, ('x')::text FROM unnest(($1)::text[]::date[]) u(b)",
            "INSERT INTO customers (born, name) SELECT b, 'name' FROM unnest( $1 :: text[] ) u(b)",
        ),
        // rows that the statement makes up
        (
            "INSERT INTO customers (id, email) SELECT * FROM unnest($1::int[], $2::text[])",
            "INSERT INTO customers (id, email) SELECT * FROM unnest($1::int[], $2 )",
        ),
        (
            "INSERT INTO customers (id, email, name) SELECT 1, unnest('{a,b}'::text[]), 'n'",
            "INSERT INTO customers (id, email, name) SELECT 1, unnest( 'email'::text[] ), 'name'",
        ),
        (
            "INSERT INTO customers (id, email) SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a', $1]::varchar(60)[])",
            "INSERT INTO customers (id, email) SELECT * FROM unnest(ARRAY[1, 2], ARRAY[ 'email' , $1 ]:: text[] )",
        ),
        (
            "UPDATE customers SET name = v.n FROM (VALUES (1, 'a', 'b'), (2, $1, $2)) v(i, e, n) WHERE customers.email = v.e",
            "UPDATE customers SET name = v.n FROM (VALUES (1, 'email' , 'name' ), (2, $1 , $2 )) v(i, e, n) WHERE customers.email = v.e",
        ),
        (
            "SELECT c.id FROM customers c JOIN unnest($1::text[]) u(e) ON c.email = u.e",
            "SELECT c.id FROM customers c JOIN unnest( $1 ) u(e) ON c.email = u.e",
        ),
        ("SELECT id FROM customers WHERE email = 'a'", "SELECT id FROM customers WHERE email = 'email'"),
        (
            "COPY (SELECT id FROM customers WHERE email = 'a') TO STDOUT",
            "COPY (SELECT id FROM customers WHERE email = 'email' ) TO STDOUT",
        ),
        ("SELECT id FROM customers WHERE 'a' <> email", "SELECT id FROM customers WHERE 'email' <> email"),
        (
            "SELECT id FROM customers WHERE email IN ('a', 'b') AND city = 'c'",
            "SELECT id FROM customers WHERE email IN ( 'email' , 'email' ) AND city = 'c'",
        ),
        (
            "SELECT id FROM customers WHERE email = ANY('{a,b}') LIMIT 5",
            "SELECT id FROM customers WHERE email = ANY( 'email' ) LIMIT 5",
        ),
        (
            "SELECT id FROM customers WHERE email = $1 AND id = $2",
            "SELECT id FROM customers WHERE email = $1 AND id = $2",
        ),
        (
            "SELECT $1, id FROM customers WHERE email = $1::text AND name IS NULL",
            "SELECT $1, id FROM customers WHERE email = $2 AND name IS NULL",
        ),
        (
            "INSERT INTO customers (email, name, phone) VALUES ($1, $1, $1)",
            "INSERT INTO customers (email, name, phone) VALUES ( $2 , $3 , $1)",
        ),
        (
            "INSERT INTO customers (email, id) VALUES (coalesce($1, $2), 5)",
            "INSERT INTO customers (email, id) VALUES (coalesce( $1 , $2 ), 5)",
        ),
        (
            "DELETE FROM customers WHERE moving = 'a' AND moving <> $1 OR moving IN ('b')",
            "DELETE FROM customers WHERE moving = ANY (ARRAY['moving', 'moving']) AND moving <> ALL (ARRAY[$1, $2]) OR moving IN ( 'moving', 'moving' )",
        ),
        (
            "SELECT id FROM customers WHERE moving = ANY (ARRAY['a', $1]) AND moving <> ALL (ARRAY['b'::text])",
            "SELECT id FROM customers WHERE moving = ANY (ARRAY[ 'moving', 'moving' , $1, $2 ]) AND moving <> ALL (ARRAY[ 'moving', 'moving' ])",
        ),
        (
            "WITH c AS (SELECT id, email FROM customers WHERE email = 'a') SELECT * FROM c WHERE c.email <> 'b'",
            "WITH c AS (SELECT id, email FROM customers WHERE email = 'email' ) SELECT * FROM c WHERE c.email <> 'email'",
        ),
    ] {
        assert_eq!(shape(text, &snapshot), expected, "{text}");
    }
}

#[test]
fn what_gives_no_values_goes_as_it_is() {
    let snapshot = snapshot();
    for text in [
        "SELECT email, name, born FROM customers",
        "SELECT email::text, name::varchar FROM customers",
        "SELECT * FROM customers c WHERE c.id = 5",
        "SELECT email, count(*) FROM customers GROUP BY email",
        "SELECT DISTINCT email FROM customers",
        "SELECT c.id FROM customers c JOIN orders o ON o.customer_email = c.email",
        "SELECT id FROM orders WHERE customer_email IN (SELECT email FROM customers WHERE id = 5)",
        "INSERT INTO orders (customer_id, customer_email) SELECT id, email FROM customers",
        "UPDATE customers SET email = NULL, name = DEFAULT",
        "UPDATE customers SET city = 'x' WHERE email IS NULL",
        "SELECT email FROM customers UNION SELECT customer_email FROM orders",
        "SELECT count(email), count(*) FROM customers WHERE name IS NOT NULL",
        "SELECT array_agg(email) FROM customers",
        "SELECT a.email = b.email, a.email IS DISTINCT FROM o.customer_email FROM customers a, customers b, orders o",
        "UPDATE orders SET (customer_email, note) = (SELECT email, city FROM customers c WHERE c.id = orders.customer_id)",
        "UPDATE customers c SET city = CASE WHEN c.email <> o.customer_email THEN 'x' END FROM orders o",
        "SELECT t FROM scratch WHERE t LIKE 'a%'",
        "SELECT id, name, count(*) FROM customers GROUP BY id, name",
        "SELECT c.id, c.name, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY 2, 1",
    ] {
        assert_eq!(shape(text, &snapshot), "as it is", "{text}");
    }
}

#[test]
fn what_an_encrypted_column_can_not_do_is_refused() {
    let snapshot = snapshot();
    for text in [
        // by order and pattern, for everyone
        "SELECT id FROM customers ORDER BY email",
        "SELECT id FROM customers WHERE email LIKE 'a%'",
        "SELECT id FROM customers WHERE email LIKE 'a'",
        "SELECT id FROM customers WHERE email > 'a'",
        "SELECT id FROM customers WHERE email BETWEEN 'a' AND 'b'",
        "SELECT max(email) FROM customers",
        "SELECT row_number() OVER (ORDER BY email) FROM customers",
        "SELECT id FROM customers WHERE lower(email) = 'a'",
        "SELECT id FROM customers WHERE email = lower('A')",
        "SELECT id FROM customers WHERE email = 'a' || 'b'",
        "SELECT id FROM customers WHERE email ~ 'a'",
        "SELECT id FROM customers WHERE coalesce(email, '') = ''",
        "SELECT coalesce(email, 'none'), array_agg(id) FROM customers GROUP BY 1",
        // values of another type in its place
        "SELECT city FROM customers UNION ALL SELECT born FROM customers",
        "SELECT coalesce(born, city) FROM customers",
        // randomized columns are not found
        "SELECT id FROM customers WHERE name = 'a'",
        "SELECT id FROM customers WHERE born = '1990-01-31'",
        "SELECT name FROM customers GROUP BY name",
        "SELECT DISTINCT name FROM customers",
        "SELECT a.id, b.name FROM customers a, customers b GROUP BY a.id, b.name",
        "WITH c AS (SELECT id, name FROM customers) SELECT a.id, b.name FROM c a, c b GROUP BY a.id, b.name",
        "SELECT id, name FROM customers GROUP BY ROLLUP (id, name)",
        "SELECT name, city FROM customers GROUP BY name, city",
        "INSERT INTO customers (name) VALUES ('a') ON CONFLICT (name) DO NOTHING",
        // what is computed
        "SELECT lower(email) FROM customers",
        "SELECT email || 'x' FROM customers",
        "SELECT length(name) FROM customers",
        "SELECT born::date FROM customers",
        "SELECT born::text FROM customers",
        // what is more than whether it equals given values
        "SELECT CASE WHEN email = 'a' THEN email END FROM customers",
        "SELECT nullif(email, 'a') FROM customers",
        "SELECT email = lower('A') FROM customers",
        "SELECT email = 'a' || 'b' FROM customers",
        "SELECT email = city FROM customers",
        "SELECT email = moving FROM customers",
        "SELECT email IN ('a', city) FROM customers",
        "SELECT lower(email) = 'a' FROM customers",
        "SELECT email < 'a' FROM customers",
        "SELECT email = 'a' OR email LIKE 'b%' FROM customers",
        "SELECT email = 'a' FROM customers ORDER BY email",
        "SELECT id FROM customers ORDER BY CASE WHEN email = 'a' THEN email END",
        "SELECT name = 'a' FROM customers",
        "SELECT CASE name WHEN 'a' THEN 1 END FROM customers",
        "SELECT CASE moving WHEN 'a' THEN 1 END FROM customers",
        "SELECT CASE email WHEN city THEN 1 END FROM customers",
        "SELECT CASE email WHEN 'a' || 'b' THEN 1 END FROM customers",
        "SELECT CASE email WHEN 'a' THEN 1 WHEN lower('B') THEN 2 END FROM customers",
        "SELECT CASE lower(email) WHEN 'a' THEN 1 END FROM customers",
        "SELECT CASE email WHEN 'a' THEN email END FROM customers",
        "SELECT CASE 'a' WHEN email THEN 1 END FROM customers",
        "SELECT a.name = b.name FROM customers a, customers b",
        "SELECT a.email > b.email FROM customers a, customers b",
        "SELECT a.moving = b.moving FROM customers a, customers b",
        "SELECT a.email = a.moving FROM customers a",
        "SELECT c.email = s.t FROM customers c, scratch s",
        "SELECT email = x, x FROM customers, (VALUES ('a')) v(x)",
        "SELECT email = x, x LIKE 'a%' FROM customers, (VALUES ('a')) v(x)",
        "SELECT email = x FROM customers, (VALUES ('a' || 'b')) v(x)",
        "SELECT email = x FROM customers, (SELECT current_user AS x) v",
        "SELECT moving = x FROM customers, (VALUES ('a')) v(x)",
        "UPDATE customers c SET city = CASE WHEN c.name = v.n THEN 'x' END FROM (VALUES ('a')) v(n)",
        "INSERT INTO customers (id, name) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET city = CASE WHEN customers.name = excluded.name THEN 'x' END",
        "INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET city = CASE WHEN customers.email > excluded.email THEN 'x' END",
        "INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET city = CASE WHEN customers.email = excluded.email THEN excluded.email END",
        // not all rows that are equal are stored alike, and of a value in a row there is one form
        "SELECT id FROM customers JOIN (VALUES ('a')) v(x) ON moving = x",
        "SELECT id FROM customers WHERE (moving, id) IN (('a', 1))",
        "SELECT id FROM customers WHERE moving = ('a')",
        "SELECT id FROM customers, unnest($1::text[]) v(x) WHERE moving = x",
        "INSERT INTO customers (id, moving) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET city = 'x' WHERE customers.moving <> excluded.moving",
        "INSERT INTO customers (id, moving) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET city = CASE WHEN customers.moving = excluded.moving THEN 'x' END",
        "SELECT sum(CASE WHEN name = 'a' THEN 1 ELSE 0 END) FROM customers",
        "UPDATE customers SET phone = CASE WHEN email > 'a' THEN 'x' END",
        "UPDATE customers SET phone = CASE WHEN name = 'a' THEN 'x' END",
        "UPDATE customers SET phone = CASE WHEN email = 'a' THEN email END",
        "UPDATE customers SET name = CASE WHEN name = 'a' THEN 'x' END",
        "UPDATE customers SET name = CASE WHEN id = 1 THEN phone ELSE 'x' END",
        "UPDATE customers SET name = CASE WHEN id = 1 THEN 'a' || 'b' ELSE 'x' END",
        "UPDATE customers SET born = (CASE WHEN id = 1 THEN '1990-01-31' ELSE phone END)::date",
        // cast in one way and in another
        "INSERT INTO customers (name, city) SELECT x::varchar(3), x FROM (VALUES ('abcdef')) v(x)",
        "WITH v(x) AS (VALUES ('abcdef')) INSERT INTO customers (name) SELECT x::varchar(3) FROM v UNION ALL SELECT x FROM v",
        "INSERT INTO customers (name) SELECT CASE WHEN x IS NULL THEN x ELSE x::varchar(3) END FROM (VALUES ('abcdef')) v(x)",
        "CREATE TABLE copies AS SELECT email = 'a' AS is_a FROM customers",
        // what the server would compute and store
        "UPDATE customers SET email = lower('A')",
        "UPDATE customers SET email = 'a' || 'b'",
        "UPDATE customers SET email = city",
        "UPDATE customers SET (email, city) = (SELECT note, customer_email FROM orders o WHERE o.id = 1)",
        "UPDATE customers SET (city, email) = (SELECT customer_email, 'x' FROM orders o WHERE o.id = 1)",
        "UPDATE customers SET (city, email) = (SELECT o.* FROM orders o WHERE o.id = 1)",
        "UPDATE customers SET email = name",
        "UPDATE customers SET email = nullif($1, '')",
        "INSERT INTO customers (email) SELECT t FROM scratch",
        "INSERT INTO customers (email) SELECT customer_email || '' FROM orders",
        // ciphertext where nobody expects it
        "INSERT INTO scratch (t) SELECT email FROM customers",
        "UPDATE customers SET phone = email",
        "CREATE TABLE copies AS SELECT email FROM customers",
        "SELECT email INTO copies FROM customers",
        // other domains, and columns that are not encrypted
        "SELECT 1 FROM customers c JOIN scratch s ON s.t = c.email",
        "SELECT 1 FROM customers WHERE email = city",
        "SELECT email FROM customers UNION SELECT t FROM scratch",
        "SELECT moving FROM customers GROUP BY moving",
        // values that are none of the column's type
        "INSERT INTO customers (born) VALUES ('yesterday noon')",
        "UPDATE customers SET email = '0123456789012345678901234567890123456789012345678901234567890123456789'",
        // one value for two sorts of columns
        "WITH v(x) AS (VALUES ('a')), i AS (INSERT INTO customers (email) SELECT x FROM v) SELECT x FROM v",
        "SELECT id, x FROM customers JOIN (VALUES ('a')) v(x) ON email = x",
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) WHERE x IN (SELECT city FROM customers)",
        // a value that something else is done with as well
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) WHERE x LIKE 'a%'",
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) WHERE length(x) = 3",
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a'), ($1)) v(x) WHERE x = 'a'",
        "INSERT INTO customers (email) SELECT x FROM unnest($1::text[]) v(x) WHERE x <> ''",
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) ORDER BY x LIMIT 1",
        "INSERT INTO customers (name) SELECT DISTINCT x FROM (VALUES ('a'), ('a')) v(x)",
        "INSERT INTO customers (name) SELECT x FROM (VALUES ('a'), ('a')) v(x) GROUP BY x",
        "INSERT INTO customers (name) SELECT 'a' UNION SELECT 'a'",
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) JOIN (VALUES ('a')) w(y) ON x = y",
        "INSERT INTO customers (email) SELECT x FROM (VALUES ('a')) v(x) JOIN (VALUES ('a')) w(x) USING (x)",
        "INSERT INTO customers (email) SELECT CASE WHEN x = 'a' THEN x END FROM (VALUES ('a')) v(x)",
        "INSERT INTO customers (email, id) SELECT x, CASE WHEN x = 'a' THEN 1 END FROM (VALUES ('a')) v(x)",
        "INSERT INTO customers (email, id) SELECT x, row_number() OVER (ORDER BY x) FROM (VALUES ('a')) v(x)",
        "INSERT INTO customers (email, id) SELECT x, length(x) FROM (VALUES ('a')) v(x)",
        "WITH v(x) AS (VALUES ('a')) INSERT INTO customers (email) SELECT x FROM v LIMIT (SELECT length(x) FROM v)",
        "WITH v(x) AS (VALUES ('a')) INSERT INTO customers (email) SELECT x FROM v WHERE (SELECT count(*) FROM v WHERE x > 'b') = 0",
        "UPDATE customers SET city = 'z' FROM (VALUES ('a', 'b')) v(x, y) WHERE email = x AND x < y",
        "SELECT id FROM customers, (VALUES ('a', 'b')) v(x, y) WHERE email = x AND x || y = 'ab'",
        "INSERT INTO customers (email, phone) SELECT v, v FROM (SELECT $1 AS v) s",
        "SELECT c FROM customers c",
        "SELECT ROW(id, email) FROM customers",
        "SELECT array_agg(c) FROM customers c",
        "SELECT coalesce(email, name) FROM customers",
        "SELECT keeps(1)",
        "SELECT 1 FROM keeps(1)",
        "COPY customers FROM '/tmp/x'",
        "DO $$ BEGIN INSERT INTO customers (email) VALUES ('a'); END $$",
        "CREATE INDEX ON customers (lower(email))",
        "CREATE VIEW v AS SELECT lower(email) FROM customers",
    ] {
        let found = shape(text, &snapshot);
        assert!(found.contains("encrypted"), "{text}: {found}");
    }
}

#[test]
fn rows_do_not_get_defaults_in_encrypted_columns() {
    let mut database = Database::empty();
    database.table("customers", "id int4, email text, name text, born text, moving text, phone text, city text");
    let customers = database.relation_oid("customers");
    database.alter(customers, |customers| {
        for column in &mut customers.columns {
            column.defaulted = matches!(column.name.as_str(), "id" | "email" | "city");
        }
    });
    let mut snapshot = database.snapshot_of(POLICY);
    snapshot.ring = Arc::new(KeyRing::of_tests(&["k"]));
    for (text, refused) in [
        ("INSERT INTO customers (name) VALUES ('x')", true),
        ("INSERT INTO customers (id, email) VALUES (1, DEFAULT)", true),
        ("INSERT INTO customers DEFAULT VALUES", true),
        ("UPDATE customers SET email = DEFAULT", true),
        ("COPY customers (id, name) FROM STDIN", true),
        ("INSERT INTO customers (email) VALUES ('x')", false),
        ("INSERT INTO customers (email) VALUES (NULL)", false),
        ("UPDATE customers SET name = 'x'", false),
        ("DELETE FROM customers WHERE id = 1", false),
        ("COPY customers (id, email) FROM STDIN", false),
        ("COPY customers FROM STDIN", false),
    ] {
        let found = shape(text, &snapshot);
        assert_eq!(found.contains("a row with its default is not possible"), refused, "{text}: {found}");
    }
}

#[test]
fn parameters_are_sealed_as_they_are_bound() {
    let snapshot = snapshot();
    let sealing = sealed("INSERT INTO customers (email, born, phone, id) VALUES ($1, $2, $1, $3)", &snapshot);
    let slots = sealing.unwrap().unwrap().slots.unwrap();
    let oids = |body: &[u8]| -> Vec<u32> {
        body[2..].chunks(4).map(|of| u32::from_be_bytes(of.try_into().unwrap())).collect()
    };
    // What the server is told, what the client reads.
    assert_eq!(oids(&slots.declared(&[Oid(0), Oid(1082)])), [0, 25, 0, 25]);
    assert_eq!(
        oids(&slots.described(&[Oid(1043), Oid(25), Oid(23), Oid(25)], &[Oid(0), Oid(0), Oid(20)])),
        [1043, 1082, 20]
    );
    let (mut nonces, forms) = (NonceSource::new([1; 32]), TextForms::default());
    let mut means = means(&snapshot, &forms, &mut nonces);
    let given =
        [("jane@x".as_bytes(), Format::Text), (&[0xff, 0xff, 0xf1, 0xb8][..], Format::Binary), (b"5", Format::Text)];
    let value = |number: u32| {
        let (cell, format) = given.get(usize::try_from(number).ok()? - 1)?;
        Some(BoundValue { cell: Some(cell), text: None, format: *format, declared: Oid(0) })
    };
    // What the server refuses: as it is, and never with as many values as its own statement has.
    assert_eq!(slots.bound((2, 2), value, &mut means).unwrap(), None);
    assert_eq!(slots.bound((4, 2), value, &mut means).unwrap(), Some(vec![0; 4]));
    let body = slots.bound((3, 2), value, &mut means).unwrap().unwrap();
    let mut cells = Vec::new();
    let mut rest = &body[2 + 4 * 2 + 2..];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        cells.push(&rest[4..4 + length]);
        rest = &rest[4 + length..];
    }
    assert_eq!((cells[0], cells[2]), (&b"jane@x"[..], &b"5"[..]));
    for (cell, domain, plaintext) in
        [(cells[3], "email", &b"jane@x"[..]), (cells[1], "born", &[0xff, 0xff, 0xf1, 0xb8][..])]
    {
        let mut opened = Vec::new();
        snapshot.ring.open("k", cell, &Bound { domain, tenant: None }, &mut opened).unwrap();
        assert_eq!(opened, plaintext, "{domain}");
    }
}
