//! Names mean what they mean to PostgreSQL.

use super::check;

#[test]
fn relations_columns_and_rows_are_found() {
    check(&[
        ("SELECT email FROM a.twins", "email = a.twins.email", ""),
        ("SELECT email FROM twins", "email = a.twins.email+b.twins.email", ""),
        ("SELECT * FROM twins", "id = a.twins.id+b.twins.id, email = a.twins.email+b.twins.email", ""),
        (
            "SELECT * FROM cousins",
            "id = a.cousins.id, email = a.cousins.email, email = b.cousins.email, id = b.cousins.id, extra = b.cousins.extra, ...",
            "",
        ),
        ("SELECT email FROM cousins", "email = a.cousins.email+b.cousins.email", ""),
        ("SELECT extra FROM cousins", "extra = b.cousins.extra", ""),
        (
            "SELECT 1 AS one, cousins.* FROM cousins",
            "one = -, id = a.cousins.id, email = a.cousins.email, email = b.cousins.email, id = b.cousins.id, extra = b.cousins.extra, ...",
            "",
        ),
        ("SELECT x FROM cousins AS t(x)", "x = cousins.*+cousins.*", ""),
        ("SELECT a.twins.email FROM a.twins", "email = a.twins.email", ""),
        (
            "SELECT twins.email, b.twins.email FROM a.twins, b.twins",
            "email = a.twins.email+b.twins.email, email = b.twins.email",
            "",
        ),
        ("SELECT * FROM parameters", "id = parameters.id, email = parameters.email", ""),
        (
            "SELECT specific_name FROM information_schema.parameters",
            "specific_name = information_schema.parameters.specific_name",
            "",
        ),
        ("SELECT nope FROM people_p", "nope = ?Column", ""),
        ("SELECT nope.x FROM people_p", "x = ?Column", ""),
        ("SELECT email FROM missing, people_p", "email = people_p.email", ""),
        ("SELECT x FROM missing WHERE x = 1", "x = ?Relation", "?Relation"),
        ("SELECT * FROM missing", "* = ?Relation, ...", ""),
        ("SELECT email, o.* FROM people_p, missing o", "email = people_p.email, * = ?Relation, ...", ""),
        ("SELECT (SELECT email FROM orders LIMIT 1) FROM people_p", "email = people_p.email", ""),
        ("SELECT (SELECT o.email FROM people_p o) FROM orders o", "email = people_p.email", ""),
        ("SELECT people_p FROM people_p", "people_p = {people_p.*}", ""),
        ("SELECT people_p.people_p FROM people_p", "people_p = ~people_p.*", ""),
        ("SELECT id, ctid, tableoid FROM people_p", "id = people_p.id, ctid = -, tableoid = -", ""),
        ("SELECT (SELECT xmin FROM people_p LIMIT 1)", "xmin = -", ""),
        ("SELECT email(people_p) FROM people_p", "email = people_p.email", ""),
        ("SELECT (p).* FROM people_p p", "id = people_p.id, email = people_p.email, region = people_p.region", ""),
        ("SELECT p.* FROM people_p p", "id = people_p.id, email = people_p.email, region = people_p.region", ""),
        (
            "SELECT public.people_p.* FROM public.people_p",
            "id = people_p.id, email = people_p.email, region = people_p.region",
            "",
        ),
        ("SELECT public.people_p.email FROM public.people_p p", "email = ?Column", ""),
        ("SELECT veilrow.public.people_p.email FROM public.people_p", "email = people_p.email", ""),
        ("SELECT email FROM other.public.people_p", "email = ?Relation", ""),
        ("SELECT (home).city FROM staff", "city = staff.home", ""),
        ("SELECT (s).home.city FROM staff s", "city = staff.home", ""),
        ("SELECT (home).* FROM staff", "street = staff.home, city = staff.home", ""),
        ("SELECT home FROM staff", "home = staff.home", ""),
        ("SELECT ((SELECT p FROM people_p p LIMIT 1)).email", "email = people_p.email", ""),
        ("SELECT most_common_vals FROM pg_stats", "most_common_vals = pg_catalog.pg_stats.most_common_vals", ""),
        ("SELECT email FROM ONLY people_p", "email = people_p.email", ""),
        ("SELECT email FROM people_p TABLESAMPLE BERNOULLI (10)", "email = people_p.email", ""),
        (
            r#"SELECT "Customers".email, customers.email FROM "Customers", customers"#,
            "email = Customers.email, email = customers.email",
            "",
        ),
        ("SELECT *", "", ""),
        ("SELECT x.* FROM people_p", "* = ?Relation, ...", ""),
        (
            "SELECT DISTINCT ON (region) email FROM people_p ORDER BY region, email",
            "email = people_p.email",
            "people_p.email Sort, people_p.region Grouping",
        ),
    ]);
}

#[test]
fn joins_merge_and_hide_columns() {
    check(&[
        ("SELECT (SELECT email) FROM people_p", "email = people_p.email", ""),
        (
            "SELECT * FROM people_p JOIN orders USING (id)",
            "id = people_p.id, email = people_p.email, region = people_p.region, customer_id = orders.customer_id, customer_email = orders.customer_email, amount = orders.amount",
            "",
        ),
        (
            "SELECT * FROM people_p FULL JOIN orders USING (id)",
            "id = orders.id+people_p.id, email = people_p.email, region = people_p.region, customer_id = orders.customer_id, customer_email = orders.customer_email, amount = orders.amount",
            "",
        ),
        (
            "SELECT id FROM people_p LEFT JOIN customers USING (id, email)",
            "id = people_p.id",
            "customers.email Join(people_p.email), people_p.email Join(customers.email)",
        ),
        (
            "SELECT email FROM people_p RIGHT JOIN customers USING (email)",
            "email = customers.email",
            "customers.email Join(people_p.email), people_p.email Join(customers.email)",
        ),
        (
            "SELECT email FROM people_p FULL JOIN customers USING (email)",
            "email = customers.email+people_p.email",
            "customers.email Join(people_p.email), people_p.email Join(customers.email)",
        ),
        (
            "SELECT email FROM people_p NATURAL JOIN customers",
            "email = people_p.email",
            "customers.email Join(people_p.email), people_p.email Join(customers.email)",
        ),
        (
            "SELECT j.email, j.id FROM people_p JOIN customers USING (email) AS j",
            "email = people_p.email, id = ~people_p.email+?Column",
            "customers.email Join(people_p.email), people_p.email Join(customers.email)",
        ),
        ("SELECT x.email FROM (people_p JOIN orders ON true) AS x", "email = people_p.email", ""),
        ("SELECT people_p.email FROM (people_p JOIN orders ON true) AS x", "email = ?Column", ""),
        ("SELECT people_p.email FROM (people_p JOIN orders ON true)", "email = people_p.email", ""),
        (
            "SELECT a.email, b.email FROM people_p a JOIN customers b ON a.email = b.email AND b.notes LIKE 'x%'",
            "email = people_p.email, email = customers.email",
            "customers.email Join(people_p.email), customers.notes Prefix, people_p.email Join(customers.email)",
        ),
        ("SELECT e FROM people_p p, LATERAL (SELECT p.email AS e) l", "e = people_p.email", ""),
        ("SELECT e FROM people_p p, (SELECT p.email AS e) l", "e = ?Column", ""),
        ("SELECT e FROM customers p, LATERAL (SELECT email AS e FROM people_p p) l", "e = people_p.email", ""),
        (
            "SELECT digest(email, 'x'), soundex(email), heap_things(email) FROM people_p",
            "digest = ~people_p.email, soundex = ~people_p.email, heap_things = ~people_p.email",
            "people_p.email Conversion",
        ),
        ("SELECT initcap(email) FROM people_p", "initcap = ~people_p.email+~initcap()", "people_p.email Other"),
        ("SELECT pg_catalog.initcap(email) FROM people_p", "initcap = ~people_p.email", ""),
        ("SELECT nofn(email) FROM people_p", "nofn = ~people_p.email+?Function", ""),
        ("SELECT address(home) FROM staff", "address = ~staff.home", ""),
        (
            "SELECT max(email), min(email)::text, any_value(email), max(lower(email)) FROM people_p",
            "max = people_p.email, min = people_p.email, any_value = people_p.email, max = ~people_p.email",
            "",
        ),
        ("SELECT greatest(email) FROM people_p", "greatest = people_p.email", ""),
        (
            "SELECT count(email), count(nullif(email, 'x')), count(email) + 1, num_nonnulls(email, id), (email IS NULL)::text FROM people_p",
            "count = #people_p.email, count = ~people_p.email, ?column? = #people_p.email, num_nonnulls = #people_p.id+#people_p.email, text = #people_p.email",
            "people_p.email NullTest",
        ),
        (
            "SELECT ROW(email, region), (id, email) FROM people_p",
            "row = {people_p.email, people_p.region}, row = {people_p.id, people_p.email}",
            "",
        ),
        ("SELECT (r).f2 FROM (SELECT ROW(id, email) AS r FROM people_p) s", "f2 = people_p.email", ""),
        (
            "SELECT pg_typeof(email), GROUPING(email) FROM people_p GROUP BY email",
            "pg_typeof = -, grouping = -",
            "people_p.email Grouping",
        ),
        ("WITH people_p AS (SELECT 1 AS email) SELECT email FROM people_p", "email = -", ""),
        ("WITH people_p AS (SELECT 1 AS email) SELECT email FROM public.people_p", "email = people_p.email", ""),
        (
            "WITH RECURSIVE r AS (SELECT id, email FROM people_p WHERE id = 1 UNION SELECT c.id, c.email FROM customers c JOIN r ON r.id = c.tenant_id) SELECT email FROM r",
            "email = customers.email+people_p.email",
            "customers.email Grouping, people_p.email Grouping",
        ),
        ("SELECT text(email) FROM people_p", "text = ~people_p.email", ""),
        (
            "SELECT a.*, b.* FROM a.twins a JOIN b.twins b USING (id)",
            "id = a.twins.id, email = a.twins.email, id = b.twins.id, email = b.twins.email",
            "",
        ),
    ]);
}

#[test]
fn common_table_expressions_have_their_scopes() {
    check(&[
        ("SELECT max(v) FROM (SELECT email v FROM people_p UNION ALL SELECT 'm') s", "max = ~people_p.email", ""),
        ("WITH t(a, b) AS (SELECT id, email FROM people_p) SELECT b FROM t", "b = people_p.email", ""),
        ("WITH x AS (SELECT email FROM y), y AS (SELECT email FROM people_p) SELECT * FROM x", "email = ?Relation", ""),
        (
            "WITH RECURSIVE x AS (SELECT email FROM y), y AS (SELECT email FROM people_p) SELECT * FROM x",
            "email = people_p.email",
            "",
        ),
        (
            "WITH RECURSIVE r(a, b, c) AS (SELECT id, email, 'k' FROM people_p UNION ALL SELECT b::int, c, a::text FROM r) SELECT * FROM r",
            "a = ~people_p.id+~people_p.email, b = ~people_p.id+~people_p.email, c = ~people_p.id+~people_p.email",
            "people_p.email Conversion",
        ),
        (
            "WITH RECURSIVE r AS (SELECT email FROM people_p UNION ALL SELECT email FROM (WITH r AS (SELECT name AS email FROM customers) SELECT email FROM r) x) SELECT * FROM r",
            "email = customers.name+people_p.email",
            "",
        ),
        (
            "WITH w AS (SELECT email FROM people_p) SELECT (WITH w AS (SELECT name FROM customers) SELECT name FROM w LIMIT 1), email FROM w",
            "name = customers.name, email = people_p.email",
            "",
        ),
        (
            "SELECT * FROM (VALUES (1, 'a'), (2, (SELECT email FROM people_p LIMIT 1))) v",
            "column1 = -, column2 = people_p.email",
            "",
        ),
        ("SELECT column2 FROM (VALUES (1, 'a')) v", "column2 = -", ""),
        ("SELECT * FROM (VALUES (1, 'a')) v(x)", "x = -, column2 = -", ""),
        (
            "SELECT email AS e FROM people_p UNION SELECT name FROM customers ORDER BY e",
            "e = customers.name+people_p.email",
            "customers.name Grouping, people_p.email Grouping",
        ),
        (
            "SELECT email FROM people_p UNION ALL (SELECT name FROM customers ORDER BY notes LIMIT 1)",
            "email = customers.name+people_p.email",
            "customers.notes Sort",
        ),
        (
            "(SELECT email FROM people_p) UNION ALL SELECT name FROM customers INTERSECT SELECT notes FROM customers",
            "email = customers.name+customers.notes+people_p.email",
            "customers.name Grouping, customers.notes Grouping",
        ),
        (
            "SELECT p FROM people_p p UNION ALL SELECT q FROM people_p1 q",
            "p = {people_p.id+people_p1.id, people_p.email+people_p1.email, people_p.region+people_p1.region}",
            "",
        ),
    ]);
}
