//! Statements that write.

use super::assert_read;

#[test]
fn writes_keep_their_targets_and_sources() {
    assert_read(&[
        ("INSERT INTO t VALUES (1, DEFAULT), ($1, 'x')", "insert t () values [(1, default), ($1, 'a')]"),
        ("INSERT INTO s.t (a, b) SELECT a, b FROM u", "insert s.t (a, b) select [a, b] from [u]"),
        (
            "INSERT INTO t AS x (a, b[1], c.d, e[1:2].f) VALUES (1, 2, 3, 4)",
            "insert t as x (a, b~[1], c~, e~[1, 2]) values [(1, 2, 3, 4)]",
        ),
        ("INSERT INTO t DEFAULT VALUES", "insert t () default values"),
        ("INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)", "insert t (a) values [(1)]"),
        ("INSERT INTO t OVERRIDING USER VALUE TABLE u", "insert t () select [*] from [u]"),
        ("INSERT INTO t (SELECT 1)", "insert t () select [1]"),
        ("INSERT INTO t (a) (SELECT 1) UNION SELECT 2", "insert t (a) {select [1] distinct select [2]}"),
        ("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x", "insert t () with [x = select [1]] select [*] from [x]"),
        (
            "WITH x AS (SELECT 1) INSERT INTO t TABLE x RETURNING *",
            "with [x = select [1]] insert t () select [*] from [x] returning [*]",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "insert t () values [(1)] conflict [] set []"),
        (
            r#"INSERT INTO t VALUES (1) ON CONFLICT (a, lower(b), (c || d) COLLATE "C" text_ops) WHERE e > 0 DO NOTHING"#,
            "insert t () values [(1)] conflict [a, lower(b), collate((c || d)), (e > 0)] set []",
        ),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT k DO UPDATE SET a = excluded.a, (b, c) = (1, DEFAULT) WHERE t.a = 1 RETURNING a AS x, t.*",
            "insert t () values [(1)] conflict [] set [a = excluded.a, b, c = row(1, default)] where (t.a = 1) returning [a as x, t.*]",
        ),
        ("UPDATE t SET a = 1", "update t set [a = 1]"),
        (
            "UPDATE ONLY s.t AS x SET a = DEFAULT, b = b + 1 WHERE c = $1 RETURNING *",
            "update only s.t as x set [a = default, b = (b + 1)] where (c = $1) returning [*]",
        ),
        ("UPDATE ONLY (t) SET a = 1", "update only t set [a = 1]"),
        ("UPDATE t * x SET a = 1", "update t as x set [a = 1]"),
        (
            "UPDATE t SET a[1] = 2, b[1:i] = c, d.e = f, (g, h) = (SELECT 1, 2), (i, j) = ROW(1, DEFAULT), (k, l) = (m, n)",
            "update t set [a~[1] = 2, b~[1, i] = c, d~ = f, g, h = <select [1, 2]>, i, j = row(1, default), k, l = row(m, n)]",
        ),
        (
            "UPDATE t SET a = u.a FROM u JOIN v ON true, LATERAL f(t.a) WHERE t.id = u.id",
            "update t set [a = u.a] from [(u inner v on bool), functions(f(t.a))] where (t.id = u.id)",
        ),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", "update t set [a = 1] where current of c"),
        (
            "WITH x AS (SELECT 1) UPDATE t SET a = (SELECT * FROM x)",
            "with [x = select [1]] update t set [a = <select [*] from [x]>]",
        ),
        ("DELETE FROM t", "delete t"),
        (
            "DELETE FROM ONLY t AS x USING u, v WHERE x.a = u.a RETURNING x.a, old.b",
            "delete only t as x using [u, v] where (x.a = u.a) returning [x.a, old.b]",
        ),
        (r#"DELETE FROM t WHERE CURRENT OF "C""#, "delete t where current of C"),
        (
            "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET a = u.b, (c, d) = (1, 2) WHEN NOT MATCHED THEN INSERT (a, b) VALUES (u.a, DEFAULT)",
            "merge t using u on (t.a = u.a) [update [a = u.b, c, d = row(1, 2)], insert (a, b) [u.a, default]]",
        ),
        (
            "MERGE INTO ONLY s.t AS x USING (SELECT 1) AS y ON true WHEN MATCHED AND x.a > 1 THEN DELETE WHEN NOT MATCHED BY SOURCE THEN DO NOTHING WHEN NOT MATCHED BY TARGET AND b THEN INSERT DEFAULT VALUES",
            "merge only s.t as x using <select [1]> as y on bool [(x.a > 1) -> delete, nothing, b -> insert () []]",
        ),
        (
            "MERGE INTO t x USING u JOIN v ON p ON q WHEN NOT MATCHED THEN INSERT OVERRIDING SYSTEM VALUE VALUES (1) RETURNING merge_action(), x.*",
            "merge t as x using (u inner v on p) on q [insert () [1]] returning [merge_action!(), x.*]",
        ),
        (
            "WITH y AS (SELECT 1) MERGE INTO t USING y ON true WHEN MATCHED THEN DO NOTHING",
            "with [y = select [1]] merge t using y on bool [nothing]",
        ),
    ]);
}
