//! Text in, tree out. The expectations were checked against PostgreSQL's own grammar.

mod dml;
mod expressions;
mod queries;
mod relations;
mod robust;
mod show;
mod traps;

use super::read;
use crate::sql::NotUnderstood;

fn shown(text: &str) -> String {
    match read(text) {
        Ok(query) => show::query(&query),
        Err(error) => format!("{error:?}"),
    }
}

fn assert_read(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(&shown(text), expected, "{text}");
    }
}

#[test]
fn a_string_goes_on_after_a_new_line() {
    assert_read(&[
        ("SELECT 'a'\n'b%'", "select ['a%']"),
        ("SELECT 'a%' -- still one string\n 'b', c FROM t", "select ['%a%', c] from [t]"),
        ("SELECT E'a'\n'\\x25'", "select ['a%']"),
        ("SELECT 'a' 'b'", "Syntax"),
        ("SELECT 'a' /* no */ 'b'", "Syntax"),
    ]);
}

#[test]
fn a_comment_ends_at_a_carriage_return() {
    assert_eq!(shown("SELECT 1 --\r, ssn FROM people"), "select [1, ssn] from [people]");
}

#[test]
fn names_are_folded_unescaped_and_cut() {
    let long = "x".repeat(70);
    assert_eq!(shown(&format!("SELECT {long}")), format!("select [{}]", &long[..63]));
    assert_eq!(shown("SELECT \"A\"\"b\", U&\"\\+000061\\\\\", ÄB"), "select [A\"b, a\\, Äb]");
    for text in ["SELECT \"\"", "SELECT U&\"\\0000\"", "SELECT U&\"\\D800\"", "SELECT U&\"!0061\" UESCAPE '+'"] {
        assert_eq!(shown(text), "Syntax", "{text}");
    }
}

#[test]
fn what_is_no_single_statement_is_a_syntax_error() {
    for text in [
        "",
        ";",
        "SELECT 1; SELECT 2",
        "SELECT 1; ; SELECT 2",
        "SELECT 1 SELECT 2",
        "SELECT a FROM",
        "SELECT 'a",
        "SELECT a /* b",
        "SELECT a b c",
        "SELECT :a",
        "\\d t",
        "SELECT a < b < c",
        "SELECT a = b = c",
        "SELECT a IS DISTINCT FROM b IS DISTINCT FROM c",
        "SELECT a LIKE b LIKE c",
        "SELECT 1 LIMIT 1 UNION SELECT 2",
        "SELECT 1 UNION WITH x AS (SELECT 1) TABLE x",
        "SELECT * FROM a JOIN b",
        "SELECT * FROM a CROSS JOIN b ON true",
        "SELECT * FROM (t) x",
        "SELECT ANY (a)",
        "SELECT from FROM t",
        "SELECT $99999999999",
        "SELECT 12abc",
        "SELECT a\u{b}b FROM t",
        "INSERT INTO t VALUES (1) RETURNING",
        "UPDATE t SET a",
    ] {
        assert_eq!(read(text), Err(NotUnderstood::Syntax), "{text}");
    }
}

#[test]
fn what_has_no_place_in_the_tree_is_named() {
    for (text, what) in [
        ("EXPLAIN SELECT 1", "a statement that yields no rows"),
        ("CREATE TABLE t (a int)", "a statement that yields no rows"),
        ("COPY t TO STDOUT", "a statement that yields no rows"),
        ("WITH RECURSIVE x AS (SELECT 1) SEARCH DEPTH FIRST BY a SET b TABLE x", "SEARCH in a common table expression"),
        ("WITH RECURSIVE x AS (SELECT 1) CYCLE a SET b USING c TABLE x", "CYCLE in a common table expression"),
        ("DELETE FROM t RETURNING WITH (OLD AS o) o.a", "RETURNING WITH"),
        ("SELECT treat(a AS b)", "TREAT"),
        ("SELECT a::setof int", "SETOF in an expression"),
        ("SELECT a FROM t ORDER BY a USING ~<~", "ORDER BY ... USING"),
        ("SELECT system_user", "SYSTEM_USER"),
        ("SELECT * FROM cast(a AS int)", "an expression in FROM"),
        ("SELECT sum(a) IGNORE NULLS OVER () FROM t", "a function call of an unusual form"),
        ("SELECT f((a).*) FROM t", "the fields of a composite value in an expression"),
        ("UPDATE t FOR PORTION OF p FROM 1 TO 2 SET a = 1", "an unusual part of UPDATE"),
    ] {
        assert_eq!(read(text), Err(NotUnderstood::Construct(what)), "{text}");
    }
}

#[test]
fn clauses_around_parentheses_belong_to_the_right_query() {
    assert_read(&[
        (
            "WITH x AS (SELECT 1) (SELECT 2) UNION TABLE x",
            "with [x = select [1]] {select [2] distinct select [*] from [x]}",
        ),
        (
            "(WITH x AS (SELECT 1) SELECT 2) UNION TABLE x",
            "{with [x = select [1]] select [2] distinct select [*] from [x]}",
        ),
        ("(SELECT a FROM t LIMIT 1) ORDER BY b", "select [a] from [t] order [b] limit [1]"),
        ("(SELECT a FROM t ORDER BY a) ORDER BY b", "Syntax"),
        ("(SELECT 1) LIMIT 1 UNION SELECT 2", "Syntax"),
        (
            "SELECT a FROM t WHERE a IN (SELECT 1) UNION SELECT 2",
            "{select [a] from [t] where in(a, <select [1]>) distinct select [2]}",
        ),
        ("SELECT 1 FROM (SELECT 1) x UNION SELECT 2", "{select [1] from [<select [1]> as x] distinct select [2]}"),
        // squawk gives the UNION to the sub-select, which is not what PostgreSQL reads.
        ("SELECT 1 FROM (SELECT 1) UNION SELECT 2", "Syntax"),
        ("SELECT 1 FROM t, LATERAL (SELECT 1) UNION SELECT 2", "Syntax"),
        ("UPDATE t SET (a, b) = ((SELECT 1, 2))", "update t set [a, b = <select [1, 2]>]"),
    ]);
}
