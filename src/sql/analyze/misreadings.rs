//! Statements that PostgreSQL accepts and a parser is known to misread, each named by what the misreading would hide. None of
//! the two readers may lose the column; where one gives up, the other or the words decide.

use std::collections::BTreeSet;

use super::super::lineage::lineage;
use super::super::readings::readings;
use super::super::tree::Query;
use super::*;
use crate::catalog::Oid;
use crate::sql::lineage::Source;

const SSN: Source = Source::Column { relation: Oid(100), attnum: 2 };

fn looked_at(lineage: &Lineage) -> BTreeSet<Source> {
    let shown = (0..lineage.outputs.len()).flat_map(|at| lineage.origin_at(at).taint().sources.into_keys());
    let filters = lineage.filters.iter().map(|used| used.source);
    let written = lineage.writes.iter().flat_map(|write| write.taint.sources.keys().copied());
    shown.chain(filters).chain(written).collect()
}

fn sees(reader: &str, query: &Query, text: &str) {
    let catalog = tests::catalog();
    let Ok(found) = lineage(query, &catalog, &Limits::default()) else { return };
    let unknown = (0..found.outputs.len()).any(|at| found.origin_at(at).taint().unknown.is_some());
    assert!(unknown || looked_at(&found).contains(&SSN), "{reader} lost the column: {text}");
}

/// Neither reader loses `people.ssn`, and together they either know of it or do not understand the statement.
#[track_caller]
fn seen(texts: &[&str]) {
    for text in texts {
        if let Some(one) = readings(text, &Limits::default()).unwrap().pop() {
            if let Ok(query) = &one.first {
                sees("sqlparser", query, text);
            }
            if let Ok(query) = &one.second {
                sees("squawk", query, text);
            }
        }
        let Analysis::Statements(statements) = analyze(text.as_bytes(), &tests::catalog(), &Limits::default()) else {
            panic!("{text}: not split");
        };
        let last = statements.last().unwrap();
        assert!(last.words.contains("ssn") || last.words.contains("people"), "no word of it is missing: {text}");
        match &last.reading {
            Reading::Understood(found) => {
                let unknown = (0..found.outputs.len()).any(|at| found.origin_at(at).taint().unknown.is_some());
                assert!(unknown || looked_at(found).contains(&SSN), "{text}");
            }
            Reading::NotUnderstood(_) => {}
            Reading::NoQuery => panic!("{text}: there is a query in it"),
        }
    }
}

#[track_caller]
fn not_understood(text: &str) {
    let Analysis::Statements(statements) = analyze(text.as_bytes(), &tests::catalog(), &Limits::default()) else {
        panic!("{text}: not split");
    };
    let last = statements.last().unwrap();
    assert!(
        matches!(last.reading, Reading::NotUnderstood(_)) && last.words.contains("nchar"),
        "{text}: {:?}",
        last.reading
    );
}

/// The same, and it is understood: nobody is refused for how it is written.
#[track_caller]
fn understood(texts: &[&str]) {
    seen(texts);
    for text in texts {
        let Analysis::Statements(statements) = analyze(text.as_bytes(), &tests::catalog(), &Limits::default()) else {
            panic!("{text}: not split");
        };
        let reading = &statements.last().unwrap().reading;
        assert!(matches!(reading, Reading::Understood(_)), "{text}: {reading:?}");
    }
}

/// sqlparser ends at END, and calls it a whole statement.
#[test]
fn what_follows_end_as_a_label_is_read() {
    understood(&[
        "SELECT 1 END, ssn FROM people",
        "SELECT 1 AS end, upper(ssn) FROM people",
        "SELECT 1 end, max(ssn) END FROM people",
    ]);
}

#[test]
fn what_follows_end_and_a_semicolon_is_a_statement_of_its_own() {
    understood(&[
        "SELECT 1 END; SELECT ssn FROM people",
        "END; SELECT ssn FROM people",
        "SELECT 1 END;; SELECT ssn END FROM people",
    ]);
}

/// sqlparser takes ONLY for the table and the table for its alias.
#[test]
fn only_is_no_table() {
    understood(&[
        "SELECT ssn FROM ONLY people",
        "SELECT ssn FROM ONLY (people)",
        "SELECT p.ssn FROM ONLY people p",
        "SELECT o.id, ssn FROM orders o, ONLY people",
        "SELECT ssn FROM orders o JOIN ONLY people p ON o.person = p.id",
        "UPDATE ONLY people SET name = ssn",
        "UPDATE ONLY people SET name = 'x' RETURNING ssn",
        "DELETE FROM ONLY people RETURNING ssn",
        "DELETE FROM orders USING ONLY people RETURNING ssn",
        "TABLE ONLY people",
        "SELECT * FROM ONLY people",
    ]);
}

/// sqlparser reads `U & "\0073sn"`.
#[test]
fn escaped_identifiers_are_what_they_are_escaped_to() {
    understood(&[
        r#"SELECT U&"\0073sn" FROM people"#,
        r#"SELECT u&"\0073\+000073n" FROM people"#,
        r#"SELECT U&"!0073sn" UESCAPE '!' FROM people"#,
        r#"SELECT ssn FROM U&"p\0065ople""#,
        r#"SELECT U&"p\0065ople".* FROM U&"p\0065ople""#,
        "SELECT U&\"!0073sn\" -- why\n /* so */ UESCAPE\n'!' FROM people",
        r#"SELECT max(U&"\0073sn") U&"x" FROM people"#,
    ]);
}

/// sqlparser takes operators' words for operators, and FROM for a column.
#[test]
fn words_of_operators_as_labels_do_not_swallow_from() {
    seen(&[
        "SELECT max(ssn) OR FROM people",
        "SELECT max(ssn) AND FROM people",
        "SELECT max(ssn) XOR FROM people",
        "SELECT max(ssn) RLIKE FROM people",
        "SELECT max(ssn) REGEXP FROM people",
        "SELECT max(ssn) DIV FROM people",
        "SELECT max(ssn) NOT FROM people",
        "SELECT max(ssn) COLLATE FROM people",
        "SELECT max(ssn) LIKE FROM people",
        "SELECT max(ssn) IS FROM people",
        "SELECT max(ssn) IN FROM people",
    ]);
}

/// sqlparser wants an INTERVAL literal, and takes FROM or WHERE into it.
#[test]
fn interval_may_be_the_name_of_a_column() {
    seen(&[
        "SELECT interval, ssn FROM people, orders",
        "SELECT max(ssn), interval FROM people, orders GROUP BY interval",
        "SELECT ssn FROM people, orders WHERE interval = ssn",
        "SELECT ssn, interval '1 day' FROM people",
    ]);
}

/// sqlparser takes ISNULL and NOTNULL for aliases.
#[test]
fn isnull_and_notnull_are_tests() {
    understood(&[
        "SELECT id FROM people WHERE ssn ISNULL",
        "SELECT id FROM people WHERE ssn NOTNULL",
        "SELECT ssn AS isnull, ssn AS notnull FROM people",
    ]);
    seen(&[
        "SELECT ssn ISNULL FROM people",
        "SELECT people.* ISNULL FROM people",
        "SELECT (people.*) NOTNULL FROM people",
    ]);
}

/// sqlparser takes `(t.*)` for one expression.
#[test]
fn a_star_in_parentheses_is_a_star() {
    understood(&["SELECT (people.*) FROM people", "SELECT ((p.*)) FROM people p", "SELECT (p).ssn FROM people p"]);
    seen(&["SELECT (p.*) AS x FROM people p", "SELECT ROW(p.*) FROM people p"]);
}

/// sqlparser takes the second half for an alias.
#[test]
fn a_string_goes_on_behind_a_line_end() {
    understood(&["SELECT 'a'\n'b', ssn FROM people", "SELECT 'a' -- x\n'b' y, ssn FROM people"]);
    // squawk does not take a carriage return for the end of a line
    seen(&["SELECT E'a'\r'\\'' , ssn FROM people --'"]);
}

/// sqlparser's visitors pass TABLE by.
#[test]
fn the_table_command_reads_a_table() {
    understood(&[
        "VALUES (1, 'a', 'b') UNION ALL TABLE people",
        "WITH x AS (TABLE people) TABLE x",
        "TABLE people",
        "SELECT * FROM (TABLE people) p",
        "INSERT INTO people TABLE people",
        "SELECT ARRAY(SELECT ssn FROM (TABLE people) p)",
        "(TABLE people)",
    ]);
}

/// sqlparser takes the type of a literal that it does not know for a column, the literal for its alias.
#[test]
fn a_literal_of_an_unknown_type_is_no_column() {
    // one token here, a name and a string there
    understood(&["SELECT N'x', ssn FROM people"]);
    not_understood("SELECT public.n'x', ssn FROM people");
    seen(&[
        "SELECT xid8 '1', ssn FROM people",
        "SELECT people 'x', ssn FROM people",
        "SELECT ssn, my.typ 'x' FROM people",
    ]);
}

/// sqlparser can not read these at all: the second reader does, alone.
#[test]
fn what_sqlparser_can_not_parse_is_understood_all_the_same() {
    understood(&[
        "SELECT ssn FROM people FOR NO KEY UPDATE",
        "SELECT ssn FROM people FOR KEY SHARE",
        "SELECT id FROM people WHERE ssn OPERATOR(pg_catalog.=) ANY ('{a}')",
        "UPDATE people SET name = ssn WHERE CURRENT OF c",
        "SELECT ssn FROM people *",
        "SELECT id FROM people ORDER BY ssn USING >, name USING <",
        "SELECT (ARRAY[ssn, name])[:2][1:], (ARRAY[ssn])[1][1], ((ARRAY[ssn])[:])[1] FROM people",
        "SELECT (p).* FROM people p",
        "SELECT ssn::text COLLATE \"C\" FROM people",
        "SELECT name FROM people WHERE ssn BETWEEN SYMMETRIC 'b' AND 'a'",
        "SELECT max(ssn) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM people",
        "SELECT max(ssn) FROM people GROUP BY GROUPING SETS (ROLLUP (id, name), CUBE (name), GROUPING SETS ((id), ()))",
        "INSERT INTO people (id, ssn) OVERRIDING SYSTEM VALUE SELECT id, ssn FROM people",
        "INSERT INTO people (id) SELECT id FROM people ON CONFLICT (id) WHERE id > 1 DO UPDATE SET name = people.ssn",
        "SELECT u.x FROM people p, LATERAL ROWS FROM (unnest(ARRAY[p.ssn])) AS u(x)",
        "SELECT xmlforest(ssn AS a, id) FROM people",
        "SELECT substring(ssn SIMILAR 'a#\"b#\"c' ESCAPE '#') FROM people",
        "SELECT concat(VARIADIC ARRAY[ssn, name]) FROM people",
        "MERGE INTO orders o USING people p JOIN orders q ON p.id = q.id ON o.id = p.id WHEN MATCHED THEN UPDATE SET interval = p.ssn",
        "SELECT * FROM json_to_record((SELECT to_json(p) FROM people p)) AS x(a text)",
    ]);
}

/// The text of a statement that sqlparser printed is another statement: `'x\''` would end one character early.
#[test]
fn a_backslash_in_a_plain_string_escapes_nothing() {
    understood(&[
        r"SELECT 'x\', ssn FROM people --'",
        r"SELECT 'x\''', ssn FROM people --'",
        r"SELECT ssn FROM people WHERE name = 'x\'",
    ]);
}

#[test]
fn comments_end_where_postgresql_ends_them() {
    understood(&[
        "SELECT 1 -- x\r, ssn FROM people",
        "SELECT 1 /* /* */ , */ , ssn FROM people",
        "SELECT 1 /*/ x /*/ x */ */ , ssn FROM people",
        "SELECT 1 +-- x\n 1, ssn FROM people",
        "SELECT 1 @/* x */ 1, ssn FROM people",
    ]);
}

#[test]
fn strings_of_every_syntax_hide_nothing_behind_them() {
    understood(&[
        "SELECT '''', ssn FROM people --'",
        r"SELECT E'\'', ssn FROM people --'",
        r"SELECT e'\\', ssn FROM people --'",
        r"SELECT U&'\0027', ssn FROM people --'",
        "SELECT U&'!0027' UESCAPE '!', ssn FROM people --'",
        "SELECT B'01', X'1f', ssn FROM people --'",
        "SELECT N'x', ssn FROM people --'",
        "SELECT $$'$$, ssn FROM people --'",
        "SELECT $a$ $b$ $$ ' $a$, ssn FROM people --'",
        "SELECT $é$ ' $é$, ssn FROM people --'",
        "SELECT -$$'$$::int, ssn FROM people --$$",
        "SELECT \"a''b\".ssn FROM people \"a''b\" --'",
        "SELECT \"a\"\"b\".ssn FROM people \"a\"\"b\" --\"",
    ]);
}

#[test]
fn names_are_folded_quoted_and_cut_as_postgresql_does() {
    let long = |count: usize, last: &str| format!("{}{last}", "x".repeat(count));
    let cut = format!("SELECT {}.ssn FROM people {}", long(63, "abc"), long(63, "def"));
    // the 63rd byte is the first of two: the whole character goes
    let clipped = format!("SELECT {}.ssn FROM people {}", long(62, "é"), long(62, "ü"));
    let three = format!("SELECT \"{}\".ssn FROM people \"{}\"", long(61, "津a"), long(61, "漢b"));
    let escaped = format!("SELECT U&\"{}\\00e9\".ssn FROM people {}", long(62, ""), long(62, "z"));
    seen(&[&escaped]);
    understood(&[
        "SELECT SSN FROM People",
        "SELECT \"ssn\" FROM \"people\"",
        "SELECT pEOPLE.sSN FROM public.PEOPLE",
        &cut,
        &clipped,
        &three,
    ]);
}
