//! What is stored where.

use super::check_writes;

#[test]
fn stored_values_have_an_origin() {
    check_writes(&[
        ("INSERT INTO scratch SELECT upper(email) FROM people_p", "", "", "scratch.t := ~people_p.email"),
        (
            "INSERT INTO orders (amount, customer_email) VALUES (1, 'x'), (2, (SELECT email FROM people_p LIMIT 1)) RETURNING id, customer_email",
            "id = orders.id, customer_email = orders.customer_email",
            "",
            "orders.amount := -, orders.customer_email := people_p.email",
        ),
        ("INSERT INTO people_p VALUES (1, DEFAULT)", "", "", "people_p.id := -, people_p.email := -"),
        (
            "INSERT INTO people_p (id, email) VALUES (1, 'x') ON CONFLICT (email) DO UPDATE SET email = excluded.email, region = people_p.region + 1 WHERE people_p.email LIKE 'a%' RETURNING *",
            "id = people_p.id, email = people_p.email, region = people_p.region",
            "people_p.email Equality Prefix, people_p.region Conversion",
            "people_p.id := -, people_p.email := -, people_p.email := -, people_p.region := ~people_p.region",
        ),
        (
            "INSERT INTO people_p (id, email) SELECT id, name FROM customers ON CONFLICT (id) DO UPDATE SET email = excluded.email",
            "",
            "",
            "people_p.id := customers.id, people_p.email := customers.name, people_p.email := customers.name",
        ),
        (
            "INSERT INTO people_p AS p (id) VALUES (1) RETURNING p.email",
            "email = people_p.email",
            "",
            "people_p.id := -",
        ),
        ("INSERT INTO missing VALUES ((SELECT email FROM people_p LIMIT 1))", "", "", "? := people_p.email"),
        (
            "INSERT INTO people_p (nope) VALUES ((SELECT email FROM people_p LIMIT 1))",
            "",
            "",
            "people_p.? := people_p.email",
        ),
        (
            "UPDATE people_p SET email = upper(email), region = DEFAULT",
            "",
            "",
            "people_p.email := ~people_p.email, people_p.region := -",
        ),
        (
            "UPDATE people_p AS p SET email = c.name FROM customers c WHERE c.id = p.id AND c.email = 'x' RETURNING p.email, c.name",
            "email = people_p.email, name = customers.name",
            "customers.email Equality",
            "people_p.email := customers.name",
        ),
        (
            "UPDATE people_p SET (email, region) = (SELECT name, tenant_id FROM customers LIMIT 1)",
            "",
            "",
            "people_p.email := customers.name, people_p.region := customers.tenant_id",
        ),
        ("UPDATE people_p SET (email, region) = ROW('x', 1)", "", "", "people_p.email := -, people_p.region := -"),
        ("UPDATE staff SET tags[1] = mail, home.city = 'x'", "", "", "staff.tags := staff.mail, staff.home := -"),
        ("UPDATE people_p SET email = 'x' WHERE CURRENT OF c", "", "", "people_p.email := -"),
        (
            "UPDATE people_p SET email = 'x' RETURNING *",
            "id = people_p.id, email = people_p.email, region = people_p.region",
            "",
            "people_p.email := -",
        ),
        (
            "WITH moved AS (DELETE FROM people_p RETURNING email) INSERT INTO scratch SELECT email FROM moved",
            "",
            "",
            "scratch.t := people_p.email",
        ),
        (
            "WITH w AS (UPDATE people_p SET email = (SELECT name FROM customers LIMIT 1) RETURNING email) SELECT 1",
            "?column? = -",
            "",
            "people_p.email := customers.name",
        ),
        (
            "MERGE INTO scratch USING customers t ON t.id = 0 WHEN NOT MATCHED AND t::text LIKE 'a%' THEN INSERT VALUES (t::text)",
            "",
            "customers.card_number Other, customers.city Other, customers.email Other, customers.name Other, customers.notes Other, customers.phone Other, customers.street Other",
            "scratch.t := ~customers.*",
        ),
        (
            "MERGE INTO people_p p USING customers c ON p.id = c.id WHEN MATCHED AND c.email LIKE 'x%' THEN UPDATE SET email = c.email WHEN NOT MATCHED THEN INSERT (id, email) VALUES (c.id, c.name) WHEN MATCHED THEN DELETE",
            "",
            "customers.email Prefix",
            "people_p.email := customers.email, people_p.id := customers.id, people_p.email := customers.name",
        ),
        ("SELECT email INTO copied FROM people_p", "", "", "? := people_p.email"),
        (
            "SELECT set_config('a.b', email, false) FROM people_p",
            "set_config = ~people_p.email",
            "",
            "? := people_p.email",
        ),
    ]);
}
