//! Documents that a statement puts together, and what is taken out of them.

use super::super::fixture::{catalog, filters_text};
use super::of;

fn people(expected: &[(&str, &str)]) {
    for (sql, filters) in expected {
        assert_eq!(filters_text(&catalog(), &of(sql)).replace("customers.", ""), *filters, "{sql}");
    }
}

fn from_xml(expected: &[(&str, &str)]) {
    for (table, filters) in expected {
        people(&[(&format!("SELECT x.* FROM customers c, XMLTABLE({table}) x"), filters)]);
    }
}

const DOCUMENT: &str = "xmlelement(name r, xmlelement(name e, email))";

#[test]
fn rows_out_of_a_document_whose_form_is_written_tell_no_values() {
    from_xml(&[
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e text PATH 'e'"), "email Conversion"),
        (&format!("'//r/e' PASSING {DOCUMENT} COLUMNS n FOR ORDINALITY, e text PATH '.'"), "email Conversion"),
        (&format!("'/r' PASSING BY VALUE {DOCUMENT} COLUMNS e text PATH 'e/text()'"), "email Conversion"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e int PATH 'e' DEFAULT 5 NOT NULL"), "email Conversion"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e xml, f text DEFAULT c.phone NOT NULL"), "email Conversion"),
        (
            &format!("XMLNAMESPACES('http://a' AS a), '/a:r' PASSING {DOCUMENT} COLUMNS e text PATH 'a:e'"),
            "email Conversion",
        ),
        (
            "'/r' PASSING xmlforest(email AS r, 'x'||phone AS s) COLUMNS e text PATH '.'",
            "email Conversion, phone Conversion",
        ),
        (
            "'/r/e' PASSING xmlelement(name r, xmlattributes(id AS a), upper(email)) COLUMNS e text PATH '.'",
            "email Conversion",
        ),
    ]);
}

#[test]
fn rows_that_are_found_by_values_are_a_filter() {
    from_xml(&[
        (&format!("'/r[e=\"x\"]' PASSING {DOCUMENT} COLUMNS e text PATH 'e'"), "email Other"),
        (&format!("'/r/e/text()' PASSING {DOCUMENT} COLUMNS e text PATH '.'"), "email Other"),
        (&format!("$1 PASSING {DOCUMENT} COLUMNS e text PATH 'e'"), "email Other"),
        (&format!("'/'||'r' PASSING {DOCUMENT} COLUMNS e text PATH 'e'"), "email Other"),
        (&format!("'/'||c.phone PASSING {DOCUMENT} COLUMNS e text PATH 'e'"), "email Other, phone Other"),
        (
            &format!("XMLNAMESPACES(c.phone AS a), '/a:r' PASSING {DOCUMENT} COLUMNS e text"),
            "email Conversion, phone Other",
        ),
        // the stored value may be a document itself, or there may be none
        ("'/r' PASSING email::xml COLUMNS e text PATH 'e'", "email Conversion Other"),
        ("'/r' PASSING xmlelement(name r, email::xml) COLUMNS e text PATH 'e'", "email Conversion Other"),
        ("'/r' PASSING xmlforest(CASE WHEN email LIKE 'a%' THEN 1 END AS r) COLUMNS e text PATH 'e'", "email Other"),
        ("'/r' PASSING CASE WHEN email LIKE 'a%' THEN xmlelement(name r) END COLUMNS e text PATH 'e'", "email Other"),
        (
            "'/r' PASSING nullif(xmlelement(name r, email)::text, 'x')::xml COLUMNS e text PATH 'e'",
            "email Equality Conversion Other",
        ),
    ]);
}

#[test]
fn columns_out_of_a_document_that_fail_for_values_of_the_callers_choice_are_filters() {
    from_xml(&[
        // there may be more than one, and then it is an error
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e text PATH 'e[.=\"x\"]'"), "email Conversion Other"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e text PATH 'e[.=\"x\"]' NOT NULL"), "email Conversion Other"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e text PATH 'e/text()' NOT NULL"), "email Conversion Other"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e varchar(3) PATH 'e'"), "email Conversion Other"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e int PATH 'substring(e,1,1)'"), "email Conversion Other"),
        (&format!("'/r' PASSING {DOCUMENT} COLUMNS e int PATH 'e/text()' DEFAULT 1 / c.id"), "email Conversion Other"),
        ("'/r' PASSING xmlelement(name r, '1', substr(email, 1, 1)) COLUMNS e int PATH '.'", "email Other"),
        // a text of more than 10 MB is an error
        ("'/r' PASSING xmlelement(name r, email, $1) COLUMNS e text PATH '.'", "email Other"),
        ("'/r' PASSING xmlelement(name r, email, repeat('x', 9999990)) COLUMNS e text PATH '.'", "email Other"),
    ]);
}

#[test]
fn paths_that_find_as_much_whatever_the_values_are_no_filters() {
    people(&[
        ("SELECT jsonb_path_query(to_jsonb(email), '$.datetime()') FROM customers", "email Conversion"),
        ("SELECT jsonb_path_query(to_jsonb(email), '$') FROM customers", "email Conversion"),
        (
            "SELECT jsonb_path_query_first(jsonb_build_object('a', email, 'b', 1), 'strict $.a.double()') FROM customers",
            "email Conversion",
        ),
        ("SELECT jsonb_path_query_array(to_jsonb(ROW(email)), '$.*') FROM customers", "email Conversion"),
        ("SELECT jsonb_path_query(to_jsonb(email), '$.datetime(\"YYYY\")') FROM customers", "email Other"),
        ("SELECT jsonb_path_query(to_jsonb(email), '$ ? (@ starts with \"a\")') FROM customers", "email Other"),
        ("SELECT jsonb_path_query(to_jsonb(email), $1) FROM customers", "email Other"),
        ("SELECT jsonb_path_query(to_jsonb(email), '$', '{}') FROM customers", "email Other"),
        ("SELECT jsonb_path_query(to_jsonb(substr(email, 1, 1)), '$.double()') FROM customers", "email Other"),
        (
            "SELECT jsonb_path_query(to_jsonb(CASE WHEN email LIKE 'a%' THEN 'x' END), '$') FROM customers",
            "email Other",
        ),
        ("SELECT jsonb_path_query(email::jsonb, '$.a') FROM customers", "email Conversion Other"),
        ("SELECT jsonb_path_query(to_jsonb(string_to_array(email, 'a')), '$[*]') FROM customers", "email Other"),
    ]);
}

#[test]
fn what_takes_an_error_for_null_does_not_tell_of_one() {
    people(&[
        ("SELECT JSON_VALUE(to_jsonb(email), '$ ? (@ == \"x\")') FROM customers", ""),
        (
            "SELECT JSON_QUERY(jsonb_build_object('a', substr(email, 1, 1)), '$.a' DEFAULT '1' ON ERROR) FROM customers",
            "",
        ),
        ("SELECT JSON_EXISTS(to_jsonb(email), '$.a' ERROR ON ERROR) FROM customers", "email Other"),
        ("SELECT JSON_VALUE(to_jsonb(email), '$' RETURNING int ERROR ON ERROR) FROM customers", "email Other"),
        ("SELECT JSON_VALUE(to_jsonb(email), '$' DEFAULT 1 / id ON EMPTY) FROM customers", "email Other"),
        ("SELECT JSON_VALUE(to_jsonb(id), '$' PASSING email AS x) FROM customers", "email Other"),
        (
            "SELECT j.* FROM customers, JSON_TABLE(jsonb_build_object('e', substr(email, 1, 1)), '$' COLUMNS (n FOR ORDINALITY, NESTED PATH '$.e' COLUMNS (e int PATH '$ ? (@ == 1)'), b bool EXISTS PATH '$.e')) j",
            "",
        ),
        (
            "SELECT j.* FROM customers, JSON_TABLE(jsonb_build_object('e', email), '$' COLUMNS (n FOR ORDINALITY, NESTED PATH '$.e' COLUMNS (e int PATH '$ ? (@ == 1)'), b bool EXISTS PATH '$.e')) j",
            "",
        ),
        (
            "SELECT j.* FROM customers, JSON_TABLE(to_jsonb(email), '$' COLUMNS (e int PATH '$' ERROR ON ERROR)) j",
            "email Conversion",
        ),
        (
            "SELECT j.* FROM customers, JSON_TABLE(to_jsonb(email), '$ ? (@ == \"x\")' COLUMNS (e int PATH '$')) j",
            "email Other",
        ),
        (
            "SELECT j.* FROM customers, JSON_TABLE(to_jsonb(email), '$' COLUMNS (e varchar(3) PATH '$' ERROR ON ERROR)) j",
            "email Other",
        ),
    ]);
}

#[test]
fn how_many_elements_a_document_has_tells_of_the_values_that_were_counted_out() {
    people(&[
        ("SELECT jsonb_array_elements(to_jsonb(string_to_array(email, 'e'))) FROM customers", "email Other"),
        (
            "SELECT jsonb_array_elements(to_jsonb(CASE WHEN email LIKE 'a%' THEN ARRAY[1] END)) FROM customers",
            "email Other",
        ),
        ("SELECT jsonb_object_keys(to_jsonb(CASE WHEN email LIKE 'a%' THEN ROW(1) END)) FROM customers", "email Other"),
        ("SELECT unnest(max(ARRAY[id]) FILTER (WHERE email LIKE 'a%')) FROM customers", "email Other"),
        ("SELECT jsonb_array_elements(jsonb_agg(id) FILTER (WHERE email LIKE 'a%')) FROM customers", "email Other"),
        (
            "SELECT jsonb_array_elements(jsonb_build_array(VARIADIC string_to_array(email, 'e'))) FROM customers",
            "email Other",
        ),
        ("SELECT jsonb_array_elements(jsonb_build_array(VARIADIC ARRAY[email, upper(email)])) FROM customers", ""),
        ("SELECT jsonb_array_elements(jsonb_build_array(id, email)) FROM customers", ""),
        ("SELECT jsonb_each(to_jsonb(c)) FROM customers c", ""),
        ("SELECT jsonb_array_elements(jsonb_agg(email)) FROM customers", ""),
        ("SELECT jsonb_array_elements(to_jsonb(ARRAY[email, upper(email)])) FROM customers", ""),
    ]);
}

#[test]
fn dates_that_xml_does_not_have_are_the_callers_choice() {
    people(&[
        ("SELECT xmlelement(name e, CASE WHEN email ~ '^a' THEN date 'infinity' END) FROM customers", "email Other"),
        (
            "SELECT CASE WHEN email LIKE 'a%' THEN xmlelement(name e, date 'infinity') END FROM customers",
            "email Prefix",
        ),
        ("SELECT CASE WHEN email LIKE 'a%' THEN xmlelement(name e, 'infinity', 5) END FROM customers", ""),
        ("SELECT xmlelement(name e, email, current_date) FROM customers", ""),
    ]);
}
