//! Statements that PostgreSQL accepts and sqlparser alone misreads: each hid a table or a column from it.

use super::shown;
use super::shown::read;

/// The tree in one line, or `!` where it is not understood.
fn shown(text: &str) -> String {
    read(text).map_or_else(|_| "!".to_owned(), |query| shown::query(&query))
}

#[track_caller]
fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(shown(text), *expected, "{text}");
    }
}

#[test]
fn nothing_behind_end_is_lost() {
    check(&[
        ("SELECT 1 END, ssn FROM people", "!"),
        ("SELECT 1 END", "!"),
        ("SELECT 1 AS end, ssn FROM people", "select 1 as end, ssn from people"),
    ]);
}

#[test]
fn only_is_no_table() {
    check(&[
        ("SELECT ssn FROM ONLY people", "select ssn from people!"),
        ("SELECT ssn FROM ONLY (people) p", "select ssn from people! p"),
        ("SELECT * FROM t, ONLY s.people", "select * from t, s.people!"),
        ("SELECT * FROM (ONLY a JOIN ONLY b ON true)", "select * from {a! Inner b! on bool}"),
        ("UPDATE ONLY people SET a = ssn", "update people! set a=ssn"),
        ("DELETE FROM ONLY people USING ONLY u", "delete people! from u!"),
        ("TABLE ONLY people", "select * from people!"),
        ("SELECT ssn FROM \"only\" people", "select ssn from only people"),
        ("SELECT a AS only, t.only FROM t", "select a as only, t.only from t"),
        ("SELECT a FROM t FETCH FIRST 1 ROW ONLY", "select a from t limit 1"),
    ]);
}

#[test]
fn unicode_identifiers_are_identifiers() {
    check(&[
        (r#"SELECT U&"\0073sn" FROM people"#, "select ssn from people"),
        (r#"SELECT u&"!0073sn" UESCAPE '!' FROM U&"p\0065ople""#, "select ssn from people"),
        (r#"SELECT U & "x" FROM t"#, "select (u & x) from t"),
        (r"SELECT U&'\0073sn' FROM people", "select '' from people"),
    ]);
}

#[test]
fn bare_labels_do_not_swallow_from() {
    check(&[
        ("SELECT max(ssn) OR FROM people", "!"),
        ("SELECT max(ssn) AND FROM people", "!"),
        ("SELECT max(ssn) XOR FROM people", "select max(ssn) as xor from people"),
        ("SELECT max(ssn) RLIKE FROM people", "select max(ssn) as rlike from people"),
        ("SELECT max(ssn) REGEXP FROM people", "select max(ssn) as regexp from people"),
        ("SELECT max(ssn) DIV FROM people", "select max(ssn) as div from people"),
        ("SELECT max(ssn) MATCH FROM people", "!"),
        ("SELECT ssn NOT FROM people", "select ssn as not from people"),
        ("SELECT ssn COLLATE FROM people", "!"),
        ("SELECT ssn LIKE FROM people", "!"),
        ("SELECT ssn IN FROM people", "!"),
        ("SELECT ssn BETWEEN FROM people", "!"),
        ("SELECT ssn IS FROM people", "!"),
        ("SELECT ssn CASE FROM people", "select ssn as case from people"),
    ]);
}

#[test]
fn interval_may_be_a_column() {
    check(&[
        ("SELECT interval FROM people", "!"),
        ("SELECT 1 FROM people WHERE interval = 1", "select 1 from people where (interval = 1)"),
        ("SELECT interval WHERE true", "!"),
        ("SELECT t.interval FROM t", "select t.interval from t"),
        ("SELECT interval '1 day' FROM t", "select ''::interval from t"),
    ]);
}

#[test]
fn isnull_is_a_test_and_no_alias() {
    check(&[
        ("SELECT ssn ISNULL FROM people", "select null?(ssn) from people"),
        ("SELECT ssn NOTNULL FROM people", "select null?(ssn) from people"),
        ("SELECT ssn AS isnull FROM people", "select ssn as isnull from people"),
        ("SELECT p.* ISNULL FROM people p", "!"),
        ("SELECT isnull(a) FROM t", "select isnull(a) from t"),
        ("SELECT a FROM t WHERE b ISNULL AND c NOTNULL", "select a from t where logic(null?(b), null?(c))"),
    ]);
}

#[test]
fn stars_in_parentheses_expand() {
    check(&[
        ("SELECT (people.*) FROM people", "select people.* from people"),
        ("SELECT ((people.*)) FROM people", "select people.* from people"),
        ("SELECT (people.*) AS x FROM people", "!"),
        ("SELECT (s.people.*), a FROM s.people", "select s.people.*, a from s.people"),
    ]);
}

#[test]
fn continued_strings_are_one_string() {
    check(&[
        ("SELECT 'a'\n'b'", "select ''"),
        ("SELECT 'a' -- c\n'b' x", "select '' as x"),
        ("SELECT 'a' 'b'", "!"),
        ("SELECT a LIKE 'x'\n'%' FROM t", "select (a Like '_%') from t"),
    ]);
}

#[test]
fn the_table_command_is_seen_everywhere() {
    check(&[
        ("VALUES (1) UNION ALL TABLE people", "(values (1)) set+ (select * from people)"),
        ("WITH x AS (TABLE people) TABLE x", "with x=(select * from people): select * from x"),
        ("SELECT * FROM (TABLE \"People\") p", "select * from (select * from People) p"),
        ("INSERT INTO t TABLE people", "insert t() <- select * from people"),
        ("SELECT ARRAY(TABLE people), (TABLE t)", "select array(select * from people), sub(select * from t)"),
        ("SELECT 1 AS table, x.table FROM x", "select 1 as table, x.table from x"),
    ]);
}

#[test]
fn literals_of_other_types_are_no_columns() {
    check(&[
        ("SELECT xid8 '1' FROM t", "!"),
        ("SELECT my.typ 'x' FROM t", "!"),
        ("SELECT a 'alias' FROM t", "!"),
        ("SELECT _utf8 'x' FROM t", "!"),
    ]);
}

#[test]
fn operators_are_cut_as_postgresql_cuts_them() {
    check(&[
        ("SELECT a<-1 FROM t", "select (a < (-1)) from t"),
        ("SELECT a@-1 FROM t", "select (a @- 1) from t"),
        ("SELECT a =-1, b<>-c, 2--3\n FROM t", "select (a = (-1)), (b <> (-c)), 2 from t"),
        ("SELECT a == b FROM t", "select (a == b) from t"),
        ("SELECT a->b->>c FROM t", "select ((a -> b) ->> c) from t"),
        ("SELECT a|>b FROM t", "select (a |> b) from t"),
    ]);
}

#[test]
fn comments_hide_nothing() {
    check(&[
        ("SELECT /*+ hint */ ssn /* a /* b */ c */ FROM people", "select ssn from people"),
        ("SELECT 1 --\r, ssn FROM people", "select 1, ssn from people"),
        ("SELECT 1 # 2, ssn FROM people", "select (1 # 2), ssn from people"),
    ]);
}

#[test]
fn backslashes_and_dollars_do_not_end_strings() {
    check(&[
        (r"SELECT 'x\', ssn FROM people --'", "select '%_%', ssn from people"),
        (r"SELECT E'x\', ssn FROM people --'", "select ''"),
        ("SELECT $a$ $b$ ' $a$, ssn FROM people", "select '', ssn from people"),
        ("SELECT a$$, ssn FROM people", "select a$$, ssn from people"),
    ]);
}

#[test]
fn reserved_words_are_no_names() {
    for text in [
        "SELECT a FROM where",
        "SELECT select",
        "SELECT a FROM t order",
        "SELECT a FROM left",
        "UPDATE with SET a = 1",
        "SELECT from.a FROM t",
        "SELECT a FROM t AS where",
        "INSERT INTO select VALUES (1)",
    ] {
        assert_eq!(shown(text), "!", "{text}");
    }
}
