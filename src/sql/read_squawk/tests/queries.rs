//! Queries.

use super::assert_read;

#[test]
fn queries_keep_their_clauses() {
    assert_read(&[
        ("SELECT", "select []"),
        ("SELECT FROM t", "select [] from [t]"),
        ("SELECT *, t.*, s.t.*, d.s.t.* FROM t", "select [*, t.*, s.t.*, d.s.t.*] from [t]"),
        (
            "SELECT (t).*, (t.c).*, (f(a)).*, a[1].*, (a).b.*, (ROW(1, 2)).*",
            "select [(t).*, (t.c).*, (f(a)).*, (a[1]).*, ((a).b).*, (row(1, 2)).*]",
        ),
        ("SELECT t.* AS x, (t.*), ((t.*)), (t).* AS y FROM t", "select [t.*, t.*, t.*, (t).*] from [t]"),
        (
            r#"SELECT a b, a AS b, a "B", a AS select, a AS "from", a end"#,
            "select [a as b, a as b, a as B, a as select, a as from, a as end]",
        ),
        ("SELECT ALL a FROM t", "select [a] from [t]"),
        ("SELECT DISTINCT a FROM t", "select distinct [a] from [t]"),
        (
            "SELECT DISTINCT ON (a, b::int BETWEEN 1 AND 2) c FROM t",
            "select distinct on (a, between(b::int4, 1, 2)) [c] from [t]",
        ),
        ("SELECT a INTO x FROM t", "select [a] into x from [t]"),
        ("SELECT a INTO TEMP TABLE s.x FROM t", "select [a] into s.x from [t]"),
        (
            "SELECT a FROM t WHERE b GROUP BY a HAVING count(*) > 1",
            "select [a] from [t] where b group [a] having (count(*) > 1)",
        ),
        ("SELECT 1 FROM t GROUP BY a, 2, (b, c), (d), ROW(e), ()", "select [1] from [t] group [a, 2, b, c, d, row(e)]"),
        (
            "SELECT 1 FROM t GROUP BY ROLLUP (a, (b, c)), CUBE (d), GROUPING SETS ((e), (f, g), (), ROLLUP (h))",
            "select [1] from [t] group [a, b, c, d, e, f, g, h]",
        ),
        (
            "SELECT grouping(a, b) FROM t GROUP BY DISTINCT CUBE (a, b)",
            "select [grouping!(a, b)] from [t] group [a, b]",
        ),
        (
            "SELECT rank() OVER w2 FROM t WINDOW w AS (PARTITION BY a), w2 AS (w ORDER BY b), w3 AS ()",
            "select [rank() over(w2)] from [t] window [w (by a), w2 (w order b), w3 ()]",
        ),
        ("SELECT a FROM t ORDER BY a DESC NULLS FIRST, 2, lower(b) ASC", "select [a] from [t] order [a, 2, lower(b)]"),
        ("SELECT a FROM t LIMIT 10 OFFSET $1", "select [a] from [t] limit [10, $1]"),
        ("SELECT a FROM t OFFSET 5 ROWS FETCH FIRST 10 ROWS WITH TIES", "select [a] from [t] limit [5, 10]"),
        ("SELECT a FROM t LIMIT ALL", "select [a] from [t]"),
        ("SELECT a FROM t FETCH NEXT ($1 + 1) ROWS ONLY", "select [a] from [t] limit [($1 + 1)]"),
        ("SELECT a FROM t FOR UPDATE", "select [a] from [t]"),
        (
            "SELECT a FROM t, u FOR NO KEY UPDATE OF t NOWAIT FOR SHARE OF u SKIP LOCKED FOR KEY SHARE",
            "select [a] from [t, u]",
        ),
        ("VALUES (1, 'a'), ($1, NULL) ORDER BY 1 LIMIT 1", "values [(1, 'a'), ($1, null)] order [1] limit [1]"),
        ("TABLE t", "select [*] from [t]"),
        ("TABLE ONLY s.t", "select [*] from [only s.t]"),
        ("TABLE t * ORDER BY 1", "select [*] from [t] order [1]"),
        ("SELECT 1 UNION SELECT 2", "{select [1] distinct select [2]}"),
        (
            "SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3 ORDER BY 1 LIMIT 2",
            "{{select [1] all select [2]} distinct select [3]} order [1] limit [2]",
        ),
        (
            "SELECT 1 UNION SELECT 2 INTERSECT ALL SELECT 3 UNION DISTINCT SELECT 4",
            "{{select [1] distinct {select [2] distinct select [3]}} distinct select [4]}",
        ),
        (
            "SELECT 1 INTERSECT SELECT 2 UNION SELECT 3 EXCEPT ALL SELECT 4 INTERSECT SELECT 5",
            "{{{select [1] distinct select [2]} distinct select [3]} distinct {select [4] distinct select [5]}}",
        ),
        ("(SELECT 1 UNION SELECT 2) INTERSECT SELECT 3", "{{select [1] distinct select [2]} distinct select [3]}"),
        (
            "SELECT 1 UNION (SELECT 2 INTERSECT SELECT 3) UNION VALUES (4)",
            "{{select [1] distinct {select [2] distinct select [3]}} distinct values [(4)]}",
        ),
        ("VALUES (1) UNION ALL TABLE t", "{values [(1)] all select [*] from [t]}"),
        (
            "(SELECT a FROM t ORDER BY a LIMIT 1) UNION ALL (SELECT b FROM u LIMIT 2) ORDER BY 1",
            "{select [a] from [t] order [a] limit [1] all select [b] from [u] limit [2]} order [1]",
        ),
        ("(SELECT 1)", "select [1]"),
        ("((SELECT a FROM t ORDER BY a)) LIMIT 1", "select [a] from [t] order [a] limit [1]"),
        ("(SELECT 1) ORDER BY 1", "select [1] order [1]"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "with [x = select [1]] select [*] from [x]"),
        (
            "WITH x(a, b) AS MATERIALIZED (SELECT 1, 2), y AS NOT MATERIALIZED (TABLE x) SELECT * FROM y",
            "with [x(a, b) = select [1, 2], y = select [*] from [x]] select [*] from [y]",
        ),
        (
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) TABLE x",
            "with recursive [x(n) = {select [1] all select [(n + 1)] from [x]}] select [*] from [x]",
        ),
        ("WITH x AS (SELECT 1) SELECT 1 UNION SELECT 2", "with [x = select [1]] {select [1] distinct select [2]}"),
        ("WITH x AS (SELECT 1) (SELECT 2) LIMIT 1", "with [x = select [1]] select [2] limit [1]"),
        (
            "WITH x AS (DELETE FROM t RETURNING *), y AS (INSERT INTO u TABLE x RETURNING a), z AS (UPDATE v SET a = 1) SELECT * FROM y",
            "with [x = delete t returning [*], y = insert u () select [*] from [x] returning [a], z = update v set [a = 1]] select [*] from [y]",
        ),
        ("SELECT (WITH x AS (SELECT 1) SELECT * FROM x)", "select [<with [x = select [1]] select [*] from [x]>]"),
        ("SELECT a FROM t;", "select [a] from [t]"),
        ("SELECT a /* x /* y */ z */ FROM t -- end", "select [a] from [t]"),
    ]);
}
