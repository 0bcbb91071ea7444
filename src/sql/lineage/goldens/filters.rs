//! What filters do with columns.

use super::check;

#[test]
fn conditions_are_judged_by_what_a_caller_can_learn() {
    check(&[
        ("SELECT id FROM people_p WHERE email = 'x'", "id = people_p.id", "people_p.email Equality"),
        ("SELECT id FROM people_p WHERE 'x' = email", "id = people_p.id", "people_p.email Equality"),
        (
            "SELECT id FROM people_p WHERE email <> 'x' OR NOT email != $1",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        (
            "SELECT id FROM people_p WHERE email = 'x'::text AND email::varchar = $1",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        ("SELECT id FROM people_p WHERE email IN ('a', 'b', $1)", "id = people_p.id", "people_p.email Equality"),
        (
            "SELECT id FROM people_p WHERE email NOT IN ('a', name_of()) ",
            "id = people_p.id",
            "people_p.email Equality Other, ?Function",
        ),
        (
            "SELECT id FROM people_p WHERE 'x' IN (email, region::text)",
            "id = people_p.id",
            "people_p.email Equality, people_p.region Equality",
        ),
        ("SELECT id FROM people_p WHERE email = ANY($1)", "id = people_p.id", "people_p.email Any(1)"),
        ("SELECT id FROM people_p WHERE email = ANY($2::text[])", "id = people_p.id", "people_p.email Any(2)"),
        ("SELECT id FROM people_p WHERE email = ANY(ARRAY['a', 'b'])", "id = people_p.id", "people_p.email Equality"),
        (
            "SELECT id FROM people_p WHERE email <> ALL(ARRAY['a', 'b']::text[])",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        ("SELECT id FROM people_p WHERE email = ANY('{a,b}')", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE email LIKE ANY(ARRAY['a%', 'b'])",
            "id = people_p.id",
            "people_p.email Pattern",
        ),
        ("SELECT id FROM staff WHERE 'x' = ANY(tags)", "id = staff.id", "staff.tags Equality"),
        (
            "SELECT id FROM people_p WHERE lower(email) = 'x' AND upper(email) = upper($1) AND lower(email::text) IN ('a')",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        (
            "SELECT id FROM people_p WHERE trim(email) = 'x' AND lower(trim(email::text)) = $1",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        (
            "SELECT id FROM people_p WHERE lower(btrim(email)::varchar(3)) = 'x'",
            "id = people_p.id",
            "people_p.email Other",
        ),
        ("SELECT id FROM people_p WHERE lower(btrim(email, 'x')) = 'x'", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE lower(email) = lower(email)",
            "id = people_p.id",
            "people_p.email Join(people_p.email)",
        ),
        ("SELECT id FROM people_p WHERE lower(substr(email, 1, 1)) = 'a'", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE initcap(email) = 'A'",
            "id = people_p.id",
            "initcap() Other, people_p.email Other",
        ),
        (
            "SELECT id FROM people_p WHERE pg_catalog.lower(email) LIKE 'a%'",
            "id = people_p.id",
            "people_p.email Prefix",
        ),
        (
            "SELECT id FROM people_p WHERE email LIKE 'abc' AND email ILIKE 'abc'",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        ("SELECT id FROM people_p WHERE email LIKE 'abc%'", "id = people_p.id", "people_p.email Prefix"),
        ("SELECT id FROM people_p WHERE email ILIKE '%abc%'", "id = people_p.id", "people_p.email Pattern"),
        ("SELECT id FROM people_p WHERE email LIKE $1", "id = people_p.id", "people_p.email Like(1)"),
        (
            "SELECT id FROM people_p WHERE lower(email) LIKE lower($3::text)",
            "id = people_p.id",
            "people_p.email Like(3)",
        ),
        ("SELECT id FROM people_p WHERE email ILIKE $1 ESCAPE '!'", "id = people_p.id", "people_p.email Pattern"),
        ("SELECT id FROM people_p WHERE email LIKE '%' || $1", "id = people_p.id", "people_p.email Pattern"),
        (
            "SELECT id FROM people_p WHERE email = ANY(coalesce($1, ARRAY['a']))",
            "id = people_p.id",
            "people_p.email Other",
        ),
        ("SELECT id FROM people_p WHERE email LIKE 'a!%' ESCAPE '!'", "id = people_p.id", "people_p.email Pattern"),
        ("SELECT id FROM people_p WHERE email SIMILAR TO 'abc'", "id = people_p.id", "people_p.email Pattern"),
        ("SELECT id FROM people_p WHERE email ~ 'abc' OR email !~* 'x'", "id = people_p.id", "people_p.email Pattern"),
        ("SELECT id FROM people_p WHERE email ~~ 'abc%'", "id = people_p.id", "people_p.email Prefix"),
        ("SELECT id FROM people_p WHERE 'alice' LIKE email || '%'", "id = people_p.id", "people_p.email Other"),
        ("SELECT id FROM people_p WHERE email ^@ 'a'", "id = people_p.id", "people_p.email Prefix"),
        ("SELECT id FROM people_p WHERE to_tsvector(email) @@ 'a'", "id = people_p.id", "people_p.email Other"),
        ("SELECT id FROM people_p WHERE email > 'a' AND 'z' >= email", "id = people_p.id", "people_p.email Range"),
        ("SELECT id FROM people_p WHERE email BETWEEN 'a' AND $1", "id = people_p.id", "people_p.email Range"),
        ("SELECT id FROM staff WHERE born > now() - interval '1 day'", "id = staff.id", "staff.born Range"),
        (
            "SELECT id FROM people_p WHERE (email, region) = ('x', 1)",
            "id = people_p.id",
            "people_p.email Equality, people_p.region Equality",
        ),
        (
            "SELECT id FROM people_p WHERE (email, region) > ($1, $2)",
            "id = people_p.id",
            "people_p.email Range, people_p.region Range",
        ),
        (
            "SELECT id FROM people_p WHERE (email, region) IN (('x', 1), ('y', 2))",
            "id = people_p.id",
            "people_p.email Equality, people_p.region Equality",
        ),
        (
            "SELECT id FROM people_p p WHERE p = ROW(1, 'x', 2)::people_p",
            "id = people_p.id",
            "people_p.email Equality, people_p.region Equality",
        ),
        (
            "SELECT id FROM people_p WHERE email IS NULL OR email IS NOT NULL",
            "id = people_p.id",
            "people_p.email NullTest",
        ),
        ("SELECT id FROM people_p WHERE nullif(email, 'x') IS NULL", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE email IS DISTINCT FROM 'x' AND email IS NOT DISTINCT FROM NULL",
            "id = people_p.id",
            "people_p.email NullTest Equality",
        ),
        ("SELECT id FROM people_p WHERE (email = 'x') IS TRUE", "id = people_p.id", "people_p.email Equality"),
        ("SELECT id FROM people_p WHERE (email = 'x') = true", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE CASE WHEN email = 'x' THEN true END",
            "id = people_p.id",
            "people_p.email Other",
        ),
        ("SELECT id FROM people_p WHERE coalesce(email, '') = 'x'", "id = people_p.id", "people_p.email Equality"),
        ("SELECT id FROM people_p WHERE greatest(email) = 'x'", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM (SELECT id, max(email) AS m FROM people_p GROUP BY id) s WHERE m = 'x'",
            "id = people_p.id",
            "people_p.email Other",
        ),
        ("SELECT id FROM people_p WHERE email = current_setting('a.b')", "id = people_p.id", "people_p.email Other"),
        (
            "SELECT id FROM people_p WHERE email = lower(btrim('X ')) || '@x'",
            "id = people_p.id",
            "people_p.email Equality",
        ),
        ("SELECT id FROM people_p WHERE email = 'a' || random()::text", "id = people_p.id", "people_p.email Other"),
        ("SELECT id FROM people_p WHERE email = (SELECT 'x')", "id = people_p.id", "people_p.email Equality"),
        (
            "SELECT id FROM people_p WHERE email = (SELECT name FROM customers LIMIT 1)",
            "id = people_p.id",
            "customers.name Join(people_p.email), people_p.email Join(customers.name)",
        ),
        (
            "SELECT id FROM people_p WHERE email IN (SELECT customer_email FROM orders)",
            "id = people_p.id",
            "orders.customer_email Join(people_p.email), people_p.email Join(orders.customer_email)",
        ),
        (
            "SELECT id FROM people_p WHERE (id, email) IN (SELECT customer_id, customer_email FROM orders)",
            "id = people_p.id",
            "orders.customer_email Join(people_p.email), people_p.email Join(orders.customer_email)",
        ),
        (
            "SELECT id FROM people_p WHERE 'x' IN (SELECT customer_email FROM orders)",
            "id = people_p.id",
            "orders.customer_email Equality",
        ),
        (
            "SELECT id FROM people_p WHERE email > ANY(SELECT customer_email FROM orders)",
            "id = people_p.id",
            "orders.customer_email Other, people_p.email Other",
        ),
        (
            "SELECT id FROM people_p WHERE EXISTS (SELECT 1 FROM orders WHERE customer_email = email)",
            "id = people_p.id",
            "orders.customer_email Join(people_p.email), people_p.email Join(orders.customer_email)",
        ),
        ("SELECT id FROM people_p WHERE email = name_of()", "id = people_p.id", "people_p.email Other, ?Function"),
        ("SELECT email FROM people_p p WHERE p.ctid = '(0,1)'", "email = people_p.email", ""),
        ("SELECT id FROM missing WHERE email = 'x'", "id = ?Relation", "?Relation"),
        ("SELECT id FROM people_p WHERE nope = 'x'", "id = people_p.id", "?Column"),
        (
            "SELECT id FROM people_p WHERE email = region::text OR email = email",
            "id = people_p.id",
            "people_p.email Join(people_p.email) Join(people_p.region), people_p.region Join(people_p.email)",
        ),
        ("SELECT id FROM people_p WHERE email", "id = people_p.id", "people_p.email Other"),
        ("DELETE FROM people_p WHERE email = 'x' RETURNING email", "email = people_p.email", "people_p.email Equality"),
        (
            "DELETE FROM people_p USING orders o WHERE o.customer_email = email RETURNING o.*",
            "id = orders.id, customer_id = orders.customer_id, customer_email = orders.customer_email, amount = orders.amount",
            "orders.customer_email Join(people_p.email), people_p.email Join(orders.customer_email)",
        ),
    ]);
}

#[test]
fn keys_and_row_counts_are_filters_too() {
    check(&[
        (
            "SELECT id FROM people_p p JOIN customers c ON p.email = lower(c.email)",
            "id = ?Column",
            "customers.email Join(people_p.email), people_p.email Join(customers.email)",
        ),
        (
            "SELECT id FROM people_p p JOIN customers c ON p.email || 'x' = c.email",
            "id = ?Column",
            "customers.email Other, people_p.email Other",
        ),
        (
            "SELECT p.id FROM people_p p JOIN customers c ON p.email < c.email",
            "id = people_p.id",
            "customers.email Other, people_p.email Other",
        ),
        (
            "SELECT id FROM people_p GROUP BY id, email HAVING count(email) > 1 AND max(email) = 'x'",
            "id = people_p.id",
            "people_p.email NullTest Grouping Other",
        ),
        (
            "SELECT region, count(*) FROM people_p GROUP BY 1",
            "region = people_p.region, count = -",
            "people_p.region Grouping",
        ),
        (
            "SELECT lower(email) AS l, count(*) FROM people_p GROUP BY l",
            "l = ~people_p.email, count = -",
            "people_p.email Grouping",
        ),
        (
            "SELECT substr(email, 1, 1) AS l, count(*) FROM people_p GROUP BY l",
            "l = ~people_p.email, count = -",
            "people_p.email Other",
        ),
        (
            "SELECT email AS region FROM people_p GROUP BY region, email",
            "region = people_p.email",
            "people_p.email Grouping, people_p.region Grouping",
        ),
        ("SELECT email AS region FROM people_p ORDER BY region", "region = people_p.email", "people_p.email Sort"),
        (
            "SELECT id FROM people_p ORDER BY email || 'x', lower(email), substr(email, 2), email LIKE 'a%'",
            "id = people_p.id",
            "people_p.email Sort Other",
        ),
        (
            "SELECT id, email FROM people_p ORDER BY 2 DESC, 1",
            "id = people_p.id, email = people_p.email",
            "people_p.email Sort",
        ),
        ("SELECT DISTINCT email FROM people_p", "email = people_p.email", "people_p.email Grouping"),
        ("SELECT DISTINCT email LIKE 'a%' FROM people_p", "?column? = ~people_p.email", "people_p.email Other"),
        (
            "SELECT DISTINCT email || ' ' || region FROM people_p",
            "?column? = ~people_p.email+~people_p.region",
            "people_p.email Grouping, people_p.region Grouping",
        ),
        (
            "SELECT count(DISTINCT email), string_agg(email, ',' ORDER BY region) FROM people_p",
            "count = #people_p.email, string_agg = ~people_p.email",
            "people_p.email Grouping, people_p.region Sort",
        ),
        ("SELECT count(*) FILTER (WHERE email = 'x') FROM people_p", "count = -", "people_p.email Equality"),
        (
            "SELECT substr('a', 1, 1) EXCEPT ALL SELECT substr(email, 1, 1) FROM people_p",
            "substr = ~people_p.email",
            "people_p.email Other",
        ),
        (
            "SELECT email FROM people_p INTERSECT ALL SELECT email FROM people_p",
            "email = people_p.email",
            "people_p.email Grouping",
        ),
        ("SELECT email FROM people_p UNION ALL SELECT email FROM people_p", "email = people_p.email", ""),
        (
            "SELECT email FROM people_p UNION SELECT g::text FROM generate_series(1, 9) g",
            "email = people_p.email",
            "people_p.email Other",
        ),
        (
            "SELECT v FROM (SELECT email v FROM people_p UNION ALL SELECT g::text FROM generate_series(1, 9) g) s GROUP BY v",
            "v = people_p.email",
            "people_p.email Other",
        ),
        (
            "SELECT v FROM (SELECT email v FROM people_p UNION ALL SELECT 'x') s GROUP BY v",
            "v = people_p.email",
            "people_p.email Equality",
        ),
        (
            "WITH RECURSIVE r(v) AS (SELECT 'a' UNION ALL SELECT v || 'b' FROM r) SELECT v FROM r UNION SELECT email FROM people_p",
            "v = people_p.email",
            "people_p.email Other",
        ),
        (
            "SELECT id FROM people_p LIMIT (SELECT length(email) FROM people_p LIMIT 1)",
            "id = people_p.id",
            "people_p.email Other",
        ),
        ("SELECT count(*) FROM people_p, generate_series(1, ascii(email)) g", "count = -", "people_p.email Other"),
        (
            "SELECT id, generate_series(1, region) FROM people_p",
            "id = people_p.id, generate_series = ~people_p.region",
            "people_p.region Other",
        ),
        ("SELECT count(*) FROM people_p, regexp_matches(email, '^a')", "count = -", "people_p.email Other"),
        ("SELECT count(*) FROM people_p, unnest(string_to_array(email, '@'))", "count = -", "people_p.email Other"),
        ("SELECT value FROM people_p p, jsonb_each_text(to_jsonb(p))", "value = ~people_p.*", ""),
        ("SELECT value FROM staff, jsonb_each_text(doc)", "value = ~staff.doc", "staff.doc Conversion Other"),
        ("SELECT x FROM people_p, json_each_text(json_build_object('a', email)) AS j(k, x)", "x = ~people_p.email", ""),
        (
            "SELECT x FROM people_p, json_each_text(json_build_object(email, 1)) AS j(k, x)",
            "x = ~people_p.email",
            "people_p.email Conversion Other",
        ),
        (
            "SELECT sum(region) OVER (PARTITION BY lower(email) ORDER BY region ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM people_p",
            "sum = ~people_p.region",
            "people_p.email Grouping, people_p.region Sort",
        ),
        ("INSERT INTO people_p DEFAULT VALUES", "", ""),
        ("SELECT set_config('a.b', 'x', false), set_config('a.b', $1, true)", "set_config = -, set_config = -", ""),
        ("SELECT setval('s', region) FROM people_p", "setval = ~people_p.region+?Function", ""),
        (
            "SELECT ts_rewrite('a', 'b', 'c'), query_to_xml('x', true, true, ''), public.dblink('x', 'y')",
            "ts_rewrite = -, query_to_xml = -, dblink = ?Function",
            "",
        ),
        (
            "SELECT pg_get_viewdef(1), pg_backend_pid(), nextval('s')",
            "pg_get_viewdef = -, pg_backend_pid = -, nextval = -",
            "",
        ),
    ]);
}
