//! Texts that a reader is easily misled by.

use super::assert_read;

#[test]
fn texts_that_mislead_are_read_as_postgresql_reads_them() {
    assert_read(&[
        ("SELECT 1 END, ssn FROM people", "select [1 as end, ssn] from [people]"),
        ("SELECT ssn FROM ONLY people", "select [ssn] from [only people]"),
        (r#"SELECT U&"\0073sn" FROM people"#, "select [ssn] from [people]"),
        (r#"SELECT U&"!0073sn" UESCAPE '!' FROM U&"p\0065ople""#, "select [ssn] from [people]"),
        ("SELECT max(ssn) OR FROM people", "select [max(ssn) as or] from [people]"),
        ("SELECT max(ssn) AND FROM people", "select [max(ssn) as and] from [people]"),
        ("SELECT interval FROM people", "select [interval] from [people]"),
        ("SELECT ssn ISNULL, ssn NOTNULL FROM people", "select [isnull(ssn), isnull(ssn)] from [people]"),
        ("SELECT ssn AS isnull FROM people", "select [ssn as isnull] from [people]"),
        ("SELECT (t.*) FROM people t", "select [t.*] from [people as t]"),
        ("SELECT t.* ISNULL FROM people t", "select [isnull(t.*)] from [people as t]"),
        ("SELECT xid8 'lit' FROM people", "select ['a'::xid8] from [people]"),
        ("VALUES (1, 'a') UNION ALL TABLE people", "{values [(1, 'a')] all select [*] from [people]}"),
        ("WITH x AS (TABLE people) TABLE x", "with [x = select [*] from [people]] select [*] from [x]"),
        (
            r#"SELECT user, "user", t.user, t."user" FROM people t"#,
            "select [user!(), user, t.user, t.user] from [people as t]",
        ),
        (r#"SELECT SSN, "SSN", "a""b" FROM People, "People""#, r#"select [ssn, SSN, a"b] from [people, People]"#),
        ("SELECT ssn--1", "select [ssn]"),
        (
            "SELECT a*-1, a@-b, a<-1, a- -1, a<>-1 FROM t",
            "select [(a * (- 1)), (a @- b), (a < (- 1)), (a - (- 1)), (a <> (- 1))] from [t]",
        ),
        (r#"SELECT a -> 'x' AS "from", b FROM t"#, "select [(a -> 'a') as from, b] from [t]"),
        (r#"SELECT 'x' "ssn", 'y' ssn FROM people"#, "select ['a' as ssn, 'a' as ssn] from [people]"),
        ("SELECT $$FROM people$$, 'FROM'/* FROM x */ FROM people", "select ['a', 'a'] from [people]"),
        (
            "SELECT date, time, text, interval, year, json FROM people",
            "select [date, time, text, interval, year, json] from [people]",
        ),
        (r#"SELECT a"b"FROM people"#, "select [a as b] from [people]"),
        (r#"SELECT 'a'::text"b"FROM people"#, "select ['a'::text as b] from [people]"),
    ]);
}
