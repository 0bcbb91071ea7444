//! What expressions and functions do with values.

use super::check;

#[test]
fn functions_are_told_apart() {
    check(&[
        ("SELECT people_p.upper FROM people_p", "upper = ~people_p.*", ""),
        ("SELECT unnest(tags) FROM staff", "unnest = staff.tags", ""),
        ("SELECT u FROM staff, unnest(tags) u", "u = staff.tags", ""),
        ("SELECT u.t, n FROM staff, unnest(tags) WITH ORDINALITY AS u(t, n)", "t = staff.tags, n = -", ""),
        ("SELECT u FROM staff, unnest(tags) AS u(x)", "u = staff.tags", ""),
        (
            "SELECT e.email FROM (SELECT array_agg(p) AS ps FROM people_p p) s, unnest(s.ps) AS e",
            "email = people_p.email",
            "",
        ),
        ("SELECT * FROM unnest(ARRAY[1], ARRAY['a']) AS u(a, b)", "a = -, b = -", ""),
        ("SELECT * FROM get_email(1)", "get_email = ~get_email()", ""),
        ("SELECT * FROM get_email(1) AS g", "g = ~get_email()", ""),
        ("SELECT g FROM get_email(1) AS g(x)", "g = ~get_email()", ""),
        ("SELECT nm, em FROM out_fn(1)", "nm = ~out_fn().0, em = ~out_fn().1", ""),
        ("SELECT (out_fn(1)).em", "em = ~out_fn().1", ""),
        ("SELECT mail FROM one_out(1)", "mail = ~one_out()", ""),
        ("SELECT * FROM one_out(1) AS o", "mail = ~one_out()", ""),
        ("SELECT x FROM one_out(1) AS o(x)", "x = ~one_out()", ""),
        (
            "SELECT email FROM get_customers() WHERE email = 'x'",
            "email = ~get_customers().2",
            "get_customers().2 Equality",
        ),
        ("SELECT (get_customers()).email", "email = ~get_customers().2", ""),
        ("SELECT * FROM XMLTABLE('/r' PASSING '<r/>' COLUMNS a text, b text) x", "a = -, b = -", ""),
        ("SELECT * FROM ROWS FROM (generate_series(1, 2), get_email(1)) AS t(a, b)", "a = -, b = ~get_email()", ""),
        ("SELECT n FROM generate_series(1, 10) n", "n = -", ""),
        ("SELECT * FROM generate_series(1, 10) WITH ORDINALITY", "generate_series = -, ordinality = -", ""),
        ("SELECT * FROM jsonb_each_text('{}')", "key = -, value = -", ""),
        ("SELECT merge_action()", "merge_action = -", ""),
    ]);
}

#[test]
fn values_are_direct_derived_or_counted() {
    check(&[
        ("SELECT tags[1], tags[1:2] FROM staff", "tags = staff.tags, tags = staff.tags", ""),
        ("SELECT doc['a'], doc->>'a' FROM staff", "doc = ~staff.doc, ?column? = ~staff.doc", ""),
        ("SELECT (ARRAY[mail, 'x'])[id] FROM staff", "array = ~staff.id+staff.mail", ""),
        (
            "SELECT mail::text, mail::varchar, born::text, born::date, tags::text, tags::text[], id::text, home::text FROM staff",
            "mail = staff.mail, mail = staff.mail, born = staff.born, born = staff.born, tags = ~staff.tags, tags = staff.tags, id = staff.id, home = ~staff.home",
            "",
        ),
        (
            "SELECT CAST(email AS varchar(10)), email::char, email::name, email::citext FROM people_p",
            "email = ~people_p.email, email = ~people_p.email, email = ~people_p.email, email = people_p.email",
            "",
        ),
        ("SELECT coalesce(mail, 'x')::text FROM staff", "coalesce = staff.mail", ""),
        (
            "SELECT count(*) OVER (PARTITION BY email ORDER BY region), lag(email, 1, 'x') OVER w FROM people_p WINDOW w AS (ORDER BY email DESC)",
            "count = -, lag = people_p.email",
            "people_p.email Grouping Sort, people_p.region Sort",
        ),
        (
            "SELECT CASE WHEN email LIKE 'a%' THEN id ELSE 0 END, CASE id WHEN 1 THEN email END, CASE email WHEN 'x' THEN 'y' ELSE email END FROM people_p",
            "case = people_p.id+~people_p.email, case = ~people_p.id+people_p.email, email = ~people_p.email",
            "",
        ),
        (
            "SELECT nullif(email, 'x') IS NULL, email IS DISTINCT FROM 'x', email IN ('a', 'b'), email ~ 'a', NOT (email = 'a') FROM people_p",
            "?column? = ~people_p.email, ?column? = ~people_p.email, ?column? = ~people_p.email, ?column? = ~people_p.email, ?column? = ~people_p.email",
            "",
        ),
        (
            r#"SELECT email COLLATE "C", email || '', -region, region + 1, now() AT TIME ZONE email FROM people_p"#,
            "email = people_p.email, ?column? = ~people_p.email, ?column? = ~people_p.region, ?column? = ~people_p.region, timezone = ~people_p.email",
            "people_p.email Conversion, people_p.region Conversion",
        ),
        (
            "SELECT (SELECT p FROM people_p p LIMIT 1), (SELECT p FROM people_p p LIMIT 1) IS NULL",
            "p = {people_p.*}, ?column? = #people_p.*",
            "",
        ),
        (
            "SELECT 1, 'x', NULL, $1, TRUE, current_date, now(), current_user, 1::int8, interval '1 day', extract(year from born) FROM staff",
            "?column? = -, ?column? = -, ?column? = -, ?column? = -, * = -, current_date = -, now = -, current_user = -, int8 = -, interval = -, * = ~staff.born",
            "",
        ),
    ]);
}
