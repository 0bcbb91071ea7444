use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::catalog::{Catalog, CatalogVersion, Column, Name, Oid, Relation, RelationKind};
use crate::sql::Limits;
use crate::sql::analyze::analyze;
use crate::sql::statement::{Analysis, Statement};

fn shaped(text: &str) -> Option<String> {
    shape(text).map(|shape| shape.text)
}

#[test]
fn texts_that_differ_in_literals_of_one_sort_have_one_shape() {
    for (expected, texts) in [
        (
            "select name from people where ssn = 'abcde'",
            vec![
                "select name from people where ssn = '123-45-6789'",
                "select name from people where ssn = 'é -- /* $$ \"'",
                "select name from people where ssn = 'abcde'",
            ],
        ),
        ("select name from people where ssn = 'a'", vec!["select name from people where ssn = 'b'"]),
        (
            "select name from people where ssn = 'ab'",
            vec!["select name from people where ssn = 'é'", "select name from people where ssn = 'abcd'"],
        ),
        ("select 1 from people where ssn like 'x%'", vec!["select 1 from people where ssn like 'abc%'"]),
        ("select 1 from people where ssn like '%%'", vec!["select 1 from people where ssn like 'a_c'"]),
        ("select 1 from people where ssn like '%'", vec!["select 1 from people where ssn like '_'"]),
        (
            "select id from people where id = 1 order by 2 limit 1 offset 1;",
            vec![
                "select id from people where id = 42 order by 2 limit 10 offset 300;",
                "select id from people where id = 65535 order by 2 limit 0 offset 0;",
            ],
        ),
        (
            "insert into people values (65536, 'a', 7)",
            vec![
                "insert into people values (65536, 'x', 7)",
                "insert into people values (18446744073709551615, 'y', 7)",
            ],
        ),
    ] {
        for text in texts {
            assert_eq!(shaped(text).as_deref(), Some(expected), "{text}");
        }
    }
}

#[test]
fn what_is_not_plain_stays_as_it_is() {
    for text in [
        "select id from people",
        "select id from people where id = $1",
        "select id from people order by 2, 3",
        "select id from people where ssn = 'it''s'",
        r"select id from people where ssn = 'a\b'",
        r"select id from people where ssn = E'a'",
        "select id from people where ssn = U&'a'",
        "select id from people where ssn = $$a$$",
        "select id from people where ssn = 'a'\n'b'",
        "select date '2025-01-01'",
        "select id as 'x'",
        "select jsonb_path_query(to_jsonb(ssn), '$.type()') from people",
        "select x.a from people, xmltable('/r' passing 'a' columns a text) x where ssn = 'a'",
        "select id from people where id = 1.5",
        "select id from people where id = 1e9",
        "select id from people where id = 0x1F",
        "select id from people where id = 1_000",
        "select id from people where id = 99999999999999999999",
        "select id from people order by -1",
        "select id from people group by 1, 2 having (3) is null",
        // strings that are run, that name something, or that are not of one statement
        "do 'begin end'",
        "set search_path = 'a'",
        "explain select 1 where 'a' = 'b'",
        "(select 1 where 'a' = 'b')",
        "select 1 where 'a' = 'b'; select 2",
        "; select 1 where 'a' = 'b'",
        // what is no statement
        "select 1 where 'a' = 'b",
        "select 1 where 'a' = 'b\0'",
    ] {
        assert_eq!(shaped(text), None, "{text}");
    }
}

#[test]
fn the_span_is_that_of_the_text_as_written() {
    for text in [" select id from people where id = 123456 ", "/* x */select 1 where 'longer' <> 'than that';; -- end"]
    {
        let span = shape(text).unwrap().span;
        let Analysis::Statements(statements) = analyzed(text) else { panic!("{text}") };
        assert_eq!(statements.iter().map(|statement| statement.span.clone()).collect::<Vec<_>>(), [span], "{text}");
    }
}

fn analyzed(text: &str) -> Analysis {
    let column = |attnum, name, type_oid| Column {
        attnum,
        name: Name::exact(name),
        type_oid: Oid(type_oid),
        not_null: false,
        unique: false,
        collated: false,
        defaulted: false,
        tight: false,
        generated: None,
    };
    let mut catalog = Catalog::new(CatalogVersion(1), Name::exact("shop"));
    catalog.add_relation(Relation {
        oid: Oid(100),
        schema: Name::exact("public"),
        name: Name::exact("people"),
        kind: RelationKind::Table,
        row_type: Oid(0),
        columns: vec![column(1, "id", 23), column(2, "ssn", 25), column(3, "name", 25), column(4, "doc", 3802)],
        parents: Vec::new(),
        definition: None,
        has_rules: false,
        primary_key: Vec::new(),
    });
    analyze(text.as_bytes(), &catalog, &Limits::default())
}

/// Statements with places for literals, of which every clause that takes a literal has one.
const STATEMENTS: &[&str] = &[
    "select ?, ssn, name from people where id = ? and ssn <> ? order by ?, 2 limit ? offset ?",
    "select * from people where ssn like ? or name ilike ? or name not like ? or ssn similar to ?",
    "select ssn from people where id in (?, ?, ?) and name = any (array[?, ?])",
    "select case name when ? then ssn else ? end, coalesce(name, ?), nullif(ssn, ?) from people",
    "select count(*), ssn from people group by ?, ssn having max(name) > ? order by ? desc",
    "select id from people where id between ? and ? and id > ? and id - ? <= ? and -? = id",
    "select extract(? from now()), substring(ssn from ? for ?), ssn || ? from people",
    "select doc -> ?, doc ->> ?, doc #>> ?, doc @> ?, doc[?] from people where doc ->> ? = ?",
    "select cast(? as numeric(10, 2)), ?::text, interval ?, date ?, ssn::varchar(20) from people",
    "select distinct on (?) ssn from people order by ?",
    "select f(?, name => ?), set_config(?, ?, false), query_to_xml(?, true, false, ?) from people",
    "with t as (select ssn, ? as k from people where name = ?) select * from t where k = ? union select ?, ?",
    "insert into people (id, ssn, name) values (?, ?, ?), (?, ?, ?) on conflict (id) do update set name = ? returning ssn",
    "insert into people (id, ssn) select ?, ssn from people where name = ?",
    "update people set name = ?, id = ?, doc[?] = ? where ssn = ? returning ?, ssn",
    "delete from people where ssn = ? and id = ?",
    "merge into people p using people q on p.id = ? when matched and q.ssn = ? then update set name = ? \
     when not matched then insert (id, name) values (?, ?)",
    "values (?, ?), (?, ?) order by ?",
    "select ssn from people tablesample system (?) repeatable (?) where ssn = ? fetch first ? rows only",
    "select row_number() over (partition by ? order by ?, ssn rows between ? preceding and ? following) from people",
    "select ssn from people where exists (select ? from people p where p.id = ? order by ?) and (?, ssn) = (?, ?)",
    "select ssn as ?, name ? from people where trim(? from name) = ? and position(? in ssn) > ?",
    "select * from json_table(?, ? columns (a text path ?)) j, xmltable(? passing ? columns b text path ?)",
    "select ? ? from people where ssn = ? ?",
];

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..200u64).prop_map(|number| number.to_string()),
        (65_500..65_600u64).prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        "[0-9]{1,22}",
        "'[a-z0-9 %_.@;$é\"/*-]{0,6}'",
        "'[a-z\\\\'%_\n]{0,5}'",
        "(E|U&|N|B|X|)'[01]{0,3}'",
        Just("1.5".to_owned()),
        Just("null".to_owned()),
        Just("$1".to_owned()),
        Just("$$it's$$".to_owned()),
        Just("'--'".to_owned()),
        Just(format!("'{}'", "long ".repeat(60))),
        Just(format!("'{}'", "longer than short ".repeat(6))),
        Just("'/*'".to_owned()),
    ]
}

/// Everything about a statement but where it stands.
fn said(statement: &Statement) -> String {
    let Statement { kind, span: _, reading, detail, words, code, makes_makers } = statement;
    format!("{kind:?} {reading:?} {detail:?} {words:?} {code:?} {makes_makers}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// What is analysed in place of a text has that text's analysis. So texts of one shape have one analysis.
    #[test]
    fn a_shape_is_analysed_like_the_text_that_it_is_of(at in 0..STATEMENTS.len(), literals in vec(literal(), 1..8)) {
        let mut literals = literals.iter().cycle();
        let text: String = STATEMENTS[at].split_inclusive('?').map(|part| match part.strip_suffix('?') {
            Some(before) => format!("{before}{}", literals.next().unwrap()),
            None => part.to_owned(),
        }).collect();
        if let Some(shape) = shape(&text) {
            prop_assert!(shape.text.len() <= text.len());
            match (analyzed(&text), analyzed(&shape.text)) {
                (Analysis::Statements(written), Analysis::Statements(shaped)) => {
                    let [written] = written.as_slice() else { panic!("{text}") };
                    let [shaped] = shaped.as_slice() else { panic!("{text}") };
                    prop_assert_eq!(said(written), said(shaped), "{}\n{}", text, &shape.text);
                    prop_assert_eq!(&written.span, &shape.span);
                }
                (one, other) => prop_assert!(false, "{:?}\n{:?}", one, other),
            }
        }
    }
}
