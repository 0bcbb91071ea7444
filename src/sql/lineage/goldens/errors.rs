//! What comes out by other ways than result columns: errors that some values cause, functions that tell, tables below tables.

use super::super::fixture::{catalog, filters_text};
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
        ("SELECT email::int4 FROM people_p", "email = ~people_p.email", "people_p.email Conversion"),
        (
            "SELECT (CASE WHEN id = 3 THEN email ELSE '1' END)::int4 FROM people_p",
            "int4 = ~people_p.id+~people_p.email",
            "people_p.email Conversion",
        ),
        ("SELECT CASE WHEN email LIKE 'a%' THEN upper(email) END FROM people_p", "case = ~people_p.email", ""),
        ("SELECT sum(CASE WHEN email = '' THEN 1 ELSE 0 END) FROM people_p", "sum = ~people_p.email", ""),
    ]);
}

#[test]
fn what_a_caller_asks_of_a_computed_value_is_a_filter_where_it_can_fail() {
    let filters = |sql: &str| filters_text(&catalog(), &of(sql));
    let people = |expr: &str| filters(&format!("SELECT {expr} FROM people_p")).replace("people_p.", "");
    for (expr, expected) in [
        ("substr(email, 1, 1)::int4", "email Other"),
        ("translate(substr(email, 1, 1), 'a', '1')::int4", "email Other"),
        ("greatest(email, 'm')::int4", "email Other"),
        ("lower(email)::int4", "email Conversion"),
        ("email::text::int4::numeric", "email Conversion"),
        ("nullif(email, '')::int4", "email Equality Conversion"),
        ("split_part(email, '@', 1)::int4", "email Conversion"),
        ("split_part(email, 'a', 1)::int4", "email Other"),
        ("('<a>' || email || '</a>')::xml", "email Conversion"),
        ("('[' || email || ',m]')::json", "email Other"),
        ("email::char(1)::int4", "email Other"),
        ("email::\"char\"::text::int4", "email Other"),
        ("coalesce(email, '0')::int4", "email Conversion"),
        ("max(email)::int4", "email Conversion"),
        ("(email = 'x')::int4", ""),
        ("length(email)::int8", ""),
        ("email::varchar(3)", ""),
        ("region * 12", "region Conversion"),
        ("region + 65535", "region Conversion"),
        ("region * 12 / 52", "region Conversion"),
        ("region / 12", ""),
        ("region + 2147480000", "region Other"),
        ("region * 2000", "region Other"),
        ("region * 10 * 10", "region Other"),
        ("region + $1", "region Other"),
        ("region + '2147480000'", "region Other"),
        ("(region + '2147480000') || ''", "region Other"),
        ("region + (SELECT 2147480000)", "region Other"),
        ("region ^ 2", "region Other"),
        ("1 / region", "region Other"),
        ("1 / nullif(region, 0)", ""),
        ("region / 0.000000000000000001", "region Other"),
        ("ascii(email) * 10000000", "email Other"),
        ("repeat('x', ascii(email) * 1000 * 1000)", "email Other"),
        ("repeat('x', length(email))", "email Conversion"),
        ("substr('abc', 1, ascii(email) - 97)", "email Other"),
        ("substr(email, 1, 3)", ""),
        ("email LIKE 'a%'", ""),
        ("email LIKE 'a\\'", "email Pattern"),
        ("email ~~ 'a\\'", "email Pattern"),
        ("email LIKE 'a!' ESCAPE '!'", "email Pattern"),
        ("email LIKE $1", "email Pattern"),
        ("'x' ~ ('[m-' || email || ']')", "email Other"),
        ("to_jsonb(email) - 'a'", "email Other"),
        ("CASE WHEN email LIKE 'a%' THEN region * 12 END", "email Prefix, region Conversion"),
        ("CASE WHEN email LIKE 'a%' THEN 1 WHEN 1 / id = 1 THEN 2 END", "email Prefix"),
        ("CASE WHEN email LIKE 'a%' THEN 'x' ELSE 'y' END", ""),
        ("(email LIKE 'a%' AND 1 / id = 1) = true", "email Prefix"),
        ("email IN ('x', (1 / id)::text)", "email Equality Other"),
        ("(email, 1 / id) = ('x', 0)", "email Equality"),
        ("coalesce(nullif(email, 'x'), (1 / id)::text)", "email Other"),
        // texts that grow
        ("repeat(replace(left(email, 1), 'a', ''), 2000000000)", "email Other"),
        ("repeat(left(email, 1), $1)", "email Other"),
        ("repeat(repeat(left(email, 1), 60000), 60000)", "email Other"),
        ("lpad(left(email, 1), 2000000000)", "email Other"),
        ("repeat('x', 1000000000) || left(email, 20)", "email Other"),
        (
            "replace(left(email, 1), 'a', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')",
            "email Other",
        ),
        (
            "replace(replace(replace(replace(replace(left(email, 1), 'a', 'xxxxxxxxxxxxxxxx'), 'x', 'yyyyyyyyyyyyyyyy'), 'y', 'xxxxxxxxxxxxxxxx'), 'x', 'zzzzzzzzzzzzzzzz'), 'z', 'zz')",
            "email Other",
        ),
        ("replace(replace(replace(replace(email, 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), ' ', '_')", ""),
        ("replace(replace(replace(email, ' ', ''), '-', ''), '(', '')", ""),
        ("replace(email, $1, $2)", ""),
        ("lpad(left(email, 2), 10, '*')", ""),
        ("repeat('*', length(email)) || right(email, 2)", "email Conversion"),
        // what one argument makes fail, unless another is NULL
        ("date_part(left(email, 4), now())", "email Other"),
        ("json_build_object(nullif(left(email, 1), 'a'), 1)", "email Other"),
        ("json_build_object('a', nullif(left(email, 1), 'a'))", ""),
        ("split_part(nullif(left(email, 1), 'a'), ',', 0)", "email Other"),
        ("length(nullif(left(email, 1), 'a')) / 0", "email Other"),
        ("split_part(left(email, 9), ',', 1)", ""),
        ("nullif(left(email, 1), 'a') ~ '('", "email Other"),
        ("format('%*s', left(email, 1), 'x')", "email Other"),
        ("format('%*s'::text, left(email, 1), 'x')", "email Other"),
        ("format($1, left(email, 1), 'x')", "email Other"),
        ("format('%s %s', left(email, 1), 'x')", ""),
        // arrays in arrays, rows, documents
        ("array_agg(string_to_array(left(email, 1), 'a'))", "email Other"),
        ("ARRAY[string_to_array(left(email, 1), 'a'), ARRAY['', '']]", "email Other"),
        ("ARRAY[left(email, 1), 'b']", ""),
        ("ARRAY[['a', 'b']] || string_to_array(left(email, 1), 'a')", "email Other"),
        ("string_to_array(left(email, 9), ',') || ARRAY['x']", ""),
        ("json_object(string_to_array(left(email, 9), 'a'))", "email Other"),
        ("CASE WHEN left(email, 1) = 'a' THEN ROW(1, 2) ELSE ROW(1) END = ROW(1, 2)", "email Other"),
        ("array_agg(string_to_array(left(email, 9), ','))", "email Other"),
        // numbers and dates at the end of their range
        ("sum(CASE WHEN left(email, 1) = 'a' THEN 1e308::float8 ELSE 0 END)", "email Other"),
        ("sum(CASE WHEN left(email, 1) = 'a' THEN 1.5 ELSE 0 END)", ""),
        ("abs(CASE WHEN left(email, 1) = 'a' THEN -2147483648 ELSE 0 END)", "email Other"),
        ("age(CASE WHEN left(email, 1) = 'a' THEN 'infinity'::timestamp END)", "email Other"),
    ] {
        assert_eq!(people(expr), expected, "{expr}");
    }
    let staff = |expr: &str| filters(&format!("SELECT {expr} FROM staff")).replace("staff.", "");
    for (expr, expected) in [
        ("born + interval '18 years'", ""),
        ("current_date - born", ""),
        ("(current_date - born) / 365", ""),
        ("((current_date - born) / 365.25)::int4", "born Conversion"),
        ("extract(year from now()) - extract(year from born)", ""),
        ("born + interval '290000 years'", "born Other"),
        ("born + 290000 * 365", "born Other"),
        ("born + $1", "born Other"),
        ("born - date '2000-01-31'", ""),
        ("chr(born - date '2000-01-31')", "born Other"),
        ("born::timestamptz", ""),
    ] {
        assert_eq!(staff(expr), expected, "{expr}");
    }
    // what is computed in FROM is computed where it is used
    let nested = "SELECT CASE WHEN email LIKE 'a%' THEN s.x END FROM (SELECT email, 1 / id AS x FROM people_p) s";
    assert_eq!(filters(nested), "people_p.email Prefix");
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
