//! Values of many rows that are put together: how long all of them are is not for the caller to try out.

use super::super::fixture::{catalog, filters_text};
use super::of;

#[test]
fn what_gathers_stored_values_is_a_filter_where_the_caller_says_how_often_they_come() {
    for (sql, expected) in [
        // as often as they are stored
        ("SELECT string_agg(email, ', ') FROM people_p", ""),
        ("SELECT array_agg(email ORDER BY id) FROM people_p", ""),
        ("SELECT json_agg(p) FROM people_p p", ""),
        ("SELECT ARRAY(SELECT email FROM people_p)", ""),
        ("SELECT region, count(email) FROM people_p GROUP BY region", "people_p.region Grouping"),
        // once for each row of another relation: counted
        ("SELECT string_agg(email, ', ') FROM people_p, staff", "people_p.email Gathering"),
        ("SELECT xmlagg(xmlelement(name x, lower(email))) FROM people_p, staff", "people_p.email Gathering"),
        ("SELECT ARRAY(SELECT p.email FROM people_p p CROSS JOIN people_p q)", "people_p.email Gathering"),
        ("SELECT string_agg(email, ', ') FROM people_p, unnest(ARRAY['a', 'b']) d", "people_p.email Gathering"),
        ("SELECT string_agg(email, ', ') FROM people_p, generate_series(1, 12) month", "people_p.email Gathering"),
        ("SELECT count(email) FROM people_p, generate_series(1, 100000000)", ""),
        // as often as the caller likes
        ("SELECT string_agg(email, '') FROM people_p, generate_series(1, 100000000)", "people_p.email Other"),
        (
            "SELECT string_agg(email, '') FROM people_p, generate_series(1, 999) a, generate_series(1, 999) b",
            "people_p.email Other",
        ),
        ("SELECT string_agg(email, '') FROM people_p, generate_series(1, $1)", "people_p.email Other"),
        ("SELECT string_agg(email, '') FROM people_p, unnest(array_fill(0, ARRAY[100000000]))", "people_p.email Other"),
        (
            "SELECT array_agg(email) FROM (SELECT email, generate_series(1, 100000000) FROM people_p) s",
            "people_p.email Other",
        ),
        ("SELECT string_agg(email, '') OVER () FROM people_p, generate_series(1, 100000000)", "people_p.email Other"),
        ("SELECT ARRAY(SELECT email FROM people_p, generate_series(1, 100000000))", "people_p.email Other"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) \
             SELECT string_agg(email, '') FROM people_p, n",
            "people_p.email Other",
        ),
        // and as long
        ("SELECT string_agg(repeat(email, 60000), '') FROM people_p", "people_p.email Other"),
        (
            "SELECT (SELECT string_agg('x', '') FROM generate_series(1, 1073741000)) || left(email, 20) FROM people_p",
            "people_p.email Other",
        ),
    ] {
        assert_eq!(filters_text(&catalog(), &of(sql)), expected, "{sql}");
    }
}

#[test]
fn what_each_round_of_a_recursion_makes_longer_by_as_much_again_is_a_filter() {
    let rounds = |made: &str| {
        format!(
            "WITH RECURSIVE r(e, i) AS (SELECT email, 1 FROM people_p UNION ALL SELECT {made}, i + 1 FROM r WHERE i < 40) SELECT e FROM r"
        )
    };
    for (made, expected) in [
        ("e || e", "people_p.email Other"),
        ("concat(e, '-', e)", "people_p.email Other"),
        ("replace(e, 'a', 'aa')", "people_p.email Other"),
        ("repeat(e, 2)", "people_p.email Other"),
        ("e || ' > ' || i", ""),
        ("e", ""),
    ] {
        assert_eq!(filters_text(&catalog(), &of(&rounds(made))), expected, "{made}");
    }
    let clean = "WITH RECURSIVE r(e, i) AS (SELECT 'x', 1 UNION ALL SELECT e || e, i + 1 FROM r WHERE i < 31) \
                 SELECT e || left(email, 20) FROM r, people_p";
    assert_eq!(filters_text(&catalog(), &of(clean)), "people_p.email Other");
    let path = "WITH RECURSIVE r(path, i) AS (SELECT email, 1 FROM people_p UNION ALL SELECT path || '/' || i, i + 1 FROM r WHERE i < 9) \
                SELECT lower(path) || '.' FROM r";
    assert_eq!(filters_text(&catalog(), &of(path)), "");
}
