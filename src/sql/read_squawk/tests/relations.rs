//! FROM.

use super::assert_read;

#[test]
fn from_items_and_joins_are_grouped_as_postgresql_groups_them() {
    assert_read(&[
        (
            r#"SELECT * FROM t, s.t, d.s.t, "T" AS "U", t x, t AS x (a, b)"#,
            "select [*] from [t, s.t, d.s.t, T as U, t as x, t as x(a, b)]",
        ),
        (
            "SELECT * FROM ONLY t, ONLY (s.t) AS x, ONLY t y, t *, t * AS z",
            "select [*] from [only t, only s.t as x, only t as y, t, t as z]",
        ),
        (
            "SELECT * FROM t TABLESAMPLE bernoulli (10), t AS x TABLESAMPLE system (a) REPEATABLE (3)",
            "select [*] from [t sample [10], t as x sample [a, 3]]",
        ),
        (
            "SELECT * FROM (SELECT 1) AS x, (VALUES (1, 2)) v (a, b), (TABLE t) y, LATERAL (SELECT t.a) z",
            "select [*] from [<select [1]> as x, <values [(1, 2)]> as v(a, b), <select [*] from [t]> as y, lateral <select [t.a]> as z]",
        ),
        (
            "SELECT * FROM (SELECT 1), ((SELECT 2)) x, (WITH q AS (SELECT 1) TABLE q) y, ((SELECT 1) UNION (SELECT 2)) z",
            "select [*] from [<select [1]>, <select [2]> as x, <with [q = select [1]] select [*] from [q]> as y, <{select [1] distinct select [2]}> as z]",
        ),
        (
            "SELECT * FROM f(1), s.f(a) AS g, LATERAL f(t.a) x (b, c), f() WITH ORDINALITY AS o (a, n)",
            "select [*] from [functions(f(1)), functions(s.f(a)) as g, functions(f(t.a)) as x(b, c), functions(f()) ordinality as o(a, n)]",
        ),
        (
            r#"SELECT * FROM f() AS (a int, b text COLLATE "C"), g() AS x (a int), "quoted"(1)"#,
            "select [*] from [functions(f()(a, b)), functions(g()(a)) as x, functions(quoted(1))]",
        ),
        (
            "SELECT * FROM ROWS FROM (f(1), g() AS (a int, b text)) WITH ORDINALITY AS x (a, b, c), LATERAL ROWS FROM (h(t.a))",
            "select [*] from [functions(f(1), g()(a, b)) ordinality as x(a, b, c), functions(h(t.a))]",
        ),
        (
            "SELECT * FROM current_date, current_user AS u, coalesce(a, b) AS c, generate_series(1, 2) g",
            "select [*] from [functions(current_date!()), functions(current_user!()) as u, functions(coalesce!(a, b)) as c, functions(generate_series(1, 2)) as g]",
        ),
        ("SELECT * FROM a JOIN b ON a.x = b.x", "select [*] from [(a inner b on (a.x = b.x))]"),
        (
            "SELECT * FROM a INNER JOIN b USING (x, y) LEFT JOIN c USING (z) AS j",
            "select [*] from [((a inner b using(x, y)) left c using(z) as j)]",
        ),
        (
            "SELECT * FROM a NATURAL JOIN b, c CROSS JOIN d, e NATURAL LEFT OUTER JOIN f",
            "select [*] from [(a inner b natural), (c cross d), (e left f natural)]",
        ),
        (
            "SELECT * FROM a RIGHT JOIN b ON true FULL OUTER JOIN c ON false",
            "select [*] from [((a right b on bool) full c on bool)]",
        ),
        ("SELECT * FROM a JOIN b JOIN c ON p ON q", "select [*] from [(a inner (b inner c on p) on q)]"),
        ("SELECT * FROM a JOIN b CROSS JOIN c ON p", "select [*] from [(a inner (b cross c) on p)]"),
        (
            "SELECT * FROM a NATURAL JOIN b CROSS JOIN c JOIN d ON p",
            "select [*] from [(((a inner b natural) cross c) inner d on p)]",
        ),
        (
            "SELECT * FROM a CROSS JOIN b LEFT JOIN c ON p JOIN d USING (x)",
            "select [*] from [(((a cross b) left c on p) inner d using(x))]",
        ),
        ("SELECT * FROM a JOIN (b JOIN c ON p) ON q", "select [*] from [(a inner (b inner c on p) on q)]"),
        (
            "SELECT * FROM (a JOIN b ON p) AS j (x, y), ((c JOIN d ON p)) k, ((e CROSS JOIN f) CROSS JOIN g) AS m",
            "select [*] from [(a inner b on p) as j(x, y), (c inner d on p) as k, ((e cross f) cross g) as m]",
        ),
        (
            "SELECT * FROM a LEFT JOIN LATERAL (SELECT a.x) b ON true JOIN LATERAL f(a.x) c ON true",
            "select [*] from [((a left lateral <select [a.x]> as b on bool) inner functions(f(a.x)) as c on bool)]",
        ),
    ]);
}
