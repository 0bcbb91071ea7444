//! Statements that look harmless, or that a shorter reading of PostgreSQL's rules gets wrong.

use super::{check, check_writes};

#[test]
fn traps_are_seen() {
    check(&[
        (
            "SELECT id FROM customers WHERE card_number::bigint BETWEEN 1 AND 2",
            "id = customers.id",
            "customers.card_number Conversion Other",
        ),
        (
            "WITH RECURSIVE r AS (WITH w AS (SELECT email FROM people_p) SELECT email FROM w UNION ALL SELECT email FROM r) SELECT * FROM r",
            "email = people_p.email",
            "",
        ),
        (
            "SELECT percentile_disc(CASE WHEN max(email) > 'm' THEN 0 ELSE 1 END) WITHIN GROUP (ORDER BY region) FROM people_p",
            "percentile_disc = ~people_p.email+people_p.region",
            "people_p.email Other",
        ),
        (
            "SELECT x.one FROM orders o, LATERAL (SELECT 1 AS one WHERE o.customer_email LIKE 'a%') x",
            "one = -",
            "orders.customer_email Prefix",
        ),
        (
            "SELECT id FROM customers_v WHERE contact IN (SELECT 'a' UNION SELECT name FROM customers)",
            "id = customers_v.id",
            "customers.name Equality Join(customers_v.contact), customers_v.contact Equality Join(customers.name)",
        ),
        (
            "SELECT email FROM a.twins NATURAL LEFT JOIN cousins",
            "email = a.twins.email+a.cousins.email+b.cousins.email",
            "a.cousins.email Join(a.twins.email), a.twins.email Join(a.cousins.email) Join(b.cousins.email), b.cousins.email Join(a.twins.email)",
        ),
        (
            "SELECT array_agg(p) FILTER (WHERE p.email ~ 'a') FROM people_p p",
            "array_agg = people_p.id+~people_p.email+people_p.region",
            "",
        ),
        ("SELECT (s).p.email FROM (SELECT p FROM people_p p) s", "email = people_p.email", ""),
        ("SELECT (s).home.city FROM staff s", "city = staff.home", ""),
        ("SELECT count(*) FROM people_p HAVING bool_or(email = 'x')", "count = -", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE id = (SELECT count(*) FROM orders WHERE customer_email < email)",
            "id = people_p.id",
            "orders.customer_email Other, people_p.email Other",
        ),
        ("SELECT sum(CASE WHEN email LIKE 'a%' THEN 1 ELSE 0 END) FROM people_p", "sum = ~people_p.email", ""),
        (
            "SELECT greatest(email, 'm'), max(coalesce(email, 'm')) FROM people_p GROUP BY email",
            "greatest = ~people_p.email, max = ~people_p.email",
            "people_p.email Grouping",
        ),
        (
            "SELECT id FROM people_p ORDER BY (SELECT name FROM customers c WHERE c.email = people_p.email)",
            "id = people_p.id",
            "customers.email Join(people_p.email), customers.name Sort, people_p.email Join(customers.email)",
        ),
        ("SELECT e FROM people_p, LATERAL (VALUES (email)) v(e)", "e = people_p.email", ""),
        (
            "SELECT x FROM (SELECT DISTINCT email AS x FROM people_p) s FULL JOIN (SELECT phone AS x FROM customers) t USING (x)",
            "x = customers.phone+people_p.email",
            "customers.phone Join(people_p.email), people_p.email Grouping Join(customers.phone)",
        ),
    ]);
}

#[test]
fn writes_hide_nowhere() {
    check_writes(&[
        // a domain's checks are handed the value, called by its name as well
        ("SELECT email_address(email) FROM people_p", "email_address = ~people_p.email", "", "? := people_p.email"),
        (
            "UPDATE people_p SET email = 'x' RETURNING old.email, new.id",
            "email = people_p.email, id = people_p.id",
            "",
            "people_p.email := -",
        ),
        (
            "WITH t AS (INSERT INTO scratch SELECT email FROM people_p RETURNING *) SELECT * FROM t",
            "t = scratch.t",
            "",
            "scratch.t := people_p.email",
        ),
        (
            "SELECT id FROM people_p WHERE pg_notify('c', email) IS NULL",
            "id = people_p.id",
            "people_p.email Other",
            "? := people_p.email",
        ),
        (
            "INSERT INTO orders SELECT c.* FROM cousins c",
            "",
            "",
            "orders.id := cousins.*+cousins.*, orders.customer_id := cousins.*+cousins.*, orders.customer_email := cousins.*+cousins.*, orders.amount := cousins.*+cousins.*",
        ),
    ]);
}
