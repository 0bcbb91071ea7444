//! What comes out by other ways than result columns: errors that some values cause, functions that tell, tables below tables.

use super::{check, of};
use crate::catalog::Name;

#[test]
fn whether_a_choice_fails_is_a_filter() {
    check(&[
        (
            "SELECT 1 / (CASE WHEN email LIKE 'a%' THEN 0 ELSE 1 END) FROM people_p",
            "?column? = ~people_p.email",
            "people_p.email Other",
        ),
        ("SELECT (email = 'x')::text::int4 FROM people_p", "int4 = ~people_p.email", "people_p.email Other"),
        (
            "SELECT repeat('x', CASE WHEN email > 'm' THEN 1 ELSE -1 END) FROM people_p",
            "repeat = ~people_p.email",
            "people_p.email Other",
        ),
        (
            "SELECT CASE WHEN email LIKE 'a%' THEN 1 / id END FROM people_p",
            "case = ~people_p.id+~people_p.email",
            "people_p.email Prefix",
        ),
        (
            "SELECT email LIKE 'a%' AND 1 / id = 1 FROM people_p",
            "?column? = ~people_p.id+~people_p.email",
            "people_p.email Prefix",
        ),
    ]);
}

#[test]
fn a_value_that_fails_by_itself_is_no_filter() {
    check(&[
        ("SELECT email::int4 FROM people_p", "email = ~people_p.email", ""),
        (
            "SELECT (CASE WHEN id = 3 THEN email ELSE '1' END)::int4 FROM people_p",
            "int4 = ~people_p.id+~people_p.email",
            "",
        ),
        ("SELECT CASE WHEN email LIKE 'a%' THEN upper(email) END FROM people_p", "case = ~people_p.email", ""),
        ("SELECT sum(CASE WHEN email = '' THEN 1 ELSE 0 END) FROM people_p", "sum = ~people_p.email", ""),
    ]);
}

#[test]
fn a_predicate_in_the_select_list_is_computed_from_what_it_looks_at() {
    check(&[
        ("SELECT EXISTS (SELECT 1 FROM people_p WHERE email LIKE 'a%')", "exists = ~people_p.email", ""),
        ("SELECT EXISTS (SELECT 1 FROM people_p WHERE email = 'x')", "exists = -", "people_p.email Equality"),
        ("SELECT count(*) FILTER (WHERE email LIKE 'a%') FROM people_p", "count = ~people_p.email", ""),
        ("SELECT count(*) FILTER (WHERE email = 'x') FROM people_p", "count = -", "people_p.email Equality"),
        // errors tell which rows pass
        (
            "SELECT sum(1 / id) FILTER (WHERE email LIKE 'a%') FROM people_p",
            "sum = ~people_p.id",
            "people_p.email Prefix",
        ),
        (
            "SELECT EXISTS (SELECT 1 FROM people_p WHERE email LIKE 'a%' AND 1 / id = 1)",
            "exists = -",
            "people_p.email Prefix",
        ),
    ]);
}

#[test]
fn rows_are_grouped_by_sorting_them_or_not() {
    check(&[
        ("SELECT DISTINCT email FROM people_p ORDER BY email", "email = people_p.email", "people_p.email Grouping"),
        ("SELECT email FROM people_p GROUP BY email ORDER BY 1", "email = people_p.email", "people_p.email Grouping"),
        ("SELECT email FROM people_p UNION ALL SELECT 'x' ORDER BY 1", "email = people_p.email", "people_p.email Sort"),
        ("SELECT email FROM people_p WINDOW w AS (ORDER BY email)", "email = people_p.email", ""),
        (
            "SELECT id, rank() OVER w FROM people_p WINDOW w AS (ORDER BY email)",
            "id = people_p.id, rank = -",
            "people_p.email Sort",
        ),
    ]);
}

#[test]
fn a_function_that_may_tell_what_it_gets_is_a_place_to_store_it() {
    for (sql, writes) in [
        ("SELECT tells(email) FROM people_p", 1),
        ("SELECT count(tells(email)) FROM people_p", 1),
        ("SELECT 1 FROM people_p WHERE tells(email)", 1),
        ("SELECT tells('x')", 0),
        ("SELECT initcap(email) FROM people_p", 0),
        ("SELECT pg_notify('c', email) FROM people_p", 1),
    ] {
        assert_eq!(of(sql).writes.len(), writes, "{sql}");
    }
}

#[test]
fn a_call_with_more_arguments_than_the_built_in_function_takes_is_of_another() {
    let found = of("SELECT count(email, 'x') FROM people_p");
    assert!(found.unresolved.contains(&Name::exact("count")));
    assert!(found.outputs[0].origin.taint().unknown.is_some());
}

#[test]
fn tables_below_tables_are_forbidden() {
    for sql in ["SELECT chunk_data FROM pg_toast.pg_toast_20000", "SELECT data FROM pg_largeobject"] {
        assert!(!of(sql).forbidden.is_empty(), "{sql}");
    }
}
