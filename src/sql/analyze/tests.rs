use super::*;
use crate::catalog::{CatalogVersion, Column, Function, FunctionKind, Oid, Relation, RelationKind};
use crate::sql::lineage::Source;
use proptest::prelude::*;

fn column(attnum: i16, name: &str, type_oid: u32) -> Column {
    Column {
        attnum,
        name: Name::exact(name),
        type_oid: Oid(type_oid),
        not_null: false,
        unique: false,
        generated: None,
        collated: false,
        defaulted: false,
        tight: false,
    }
}

fn relation(oid: u32, name: &str, columns: Vec<Column>) -> Relation {
    Relation {
        oid: Oid(oid),
        schema: Name::exact("public"),
        name: Name::exact(name),
        kind: RelationKind::Table,
        row_type: Oid(0),
        columns,
        parents: Vec::new(),
        definition: None,
        has_rules: false,
        primary_key: Vec::new(),
    }
}

/// people (id, ssn, name), orders (id, person, interval), max().
pub(super) fn catalog() -> Catalog {
    let mut catalog = Catalog::new(CatalogVersion(1), Name::exact("shop"));
    catalog.add_relation(relation(
        100,
        "people",
        vec![column(1, "id", 23), column(2, "ssn", 25), column(3, "name", 25)],
    ));
    catalog.add_function(Function {
        oid: Oid(2129),
        schema: Name::exact("pg_catalog"),
        name: Name::exact("max"),
        kind: FunctionKind::Aggregate,
        language: Name::exact("internal"),
        body: None,
        inputs: vec![Oid(25)],
        arguments: Vec::new(),
        outputs: Vec::new(),
        returns: Oid(25),
        returns_set: false,
        volatility: crate::catalog::Volatility::Immutable,
        extension: None,
    });
    catalog.add_relation(relation(
        200,
        "orders",
        vec![column(1, "id", 23), column(2, "person", 23), column(3, "interval", 25)],
    ));
    catalog
}

fn statements(text: &str) -> Vec<Statement> {
    match analyze(text.as_bytes(), &catalog(), &Limits::default()) {
        Analysis::Statements(statements) => statements,
        Analysis::Opaque(reason, _) => panic!("{text}: {reason}"),
    }
}

/// The columns of each output: `100.2` is ssn; `?`: and something unknown; `!` and the reason where it is not understood.
fn origins(statement: &Statement) -> String {
    match &statement.reading {
        Reading::NoQuery => "-".to_owned(),
        Reading::NotUnderstood(reason) => format!("!{reason:?}"),
        Reading::Understood(lineage) => {
            let outputs = lineage.outputs.iter().map(|output| {
                let taint = output.origin.taint();
                let sources = taint.sources.keys().map(|source| match source {
                    Source::Column { relation, attnum } => format!("{}.{attnum}", relation.0),
                    Source::Function(oid) => format!("f{}", oid.0),
                    Source::Field { function, position } => format!("f{}.{position}", function.0),
                });
                sources.collect::<Vec<_>>().join("+") + taint.unknown.map_or("", |_| "?")
            });
            outputs.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn both_readers_see_the_columns_behind_every_trap() {
    for (text, expected) in [
        ("SELECT ssn FROM people", "100.2"),
        ("SELECT * FROM people", "100.1 100.2 100.3"),
        ("SELECT 1 END, ssn FROM people", " 100.2"),
        ("SELECT ssn FROM ONLY people", "100.2"),
        ("TABLE ONLY people", "100.1 100.2 100.3"),
        (r#"SELECT U&"\0073sn" FROM people"#, "100.2"),
        (r#"SELECT U&"!0073sn" UESCAPE '!' FROM U&"p\0065ople""#, "100.2"),
        ("SELECT max(ssn) OR FROM people", "100.2"),
        ("SELECT max(ssn) AND FROM people", "100.2"),
        ("SELECT max(ssn) XOR FROM people", "100.2"),
        ("SELECT max(ssn) RLIKE FROM people", "100.2"),
        ("SELECT ssn COLLATE FROM people", "100.2"),
        ("SELECT interval FROM orders", "200.3"),
        ("SELECT ssn ISNULL FROM people", "100.2"),
        ("SELECT (people.*) FROM people", "100.1 100.2 100.3"),
        ("SELECT (people).* FROM people", "100.1 100.2 100.3"),
        ("SELECT 'a'\n'b', ssn FROM people", " 100.2"),
        ("VALUES (1, '', '') UNION ALL TABLE people", "100.1 100.2 100.3"),
        ("WITH x AS (TABLE people) TABLE x", "100.1 100.2 100.3"),
        ("SELECT xid8 '1', ssn FROM people", " 100.2"),
        ("SELECT E'x\\', ssn FROM people --'", ""),
        ("SELECT 'x\\', ssn FROM people --'", " 100.2"),
        ("SELECT ssn FROM people WHERE id = ANY ($1) FOR NO KEY UPDATE", "100.2"),
        ("UPDATE people SET name = name RETURNING ssn", "100.2"),
        ("SELECT 1FROM people", "!Syntax"),
    ] {
        let found = statements(text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(origins(&found[0]), expected, "{text}");
    }
}

#[test]
fn the_query_inside_of_a_statement_is_read() {
    for (text, kind, expected) in [
        ("EXPLAIN (COSTS off) SELECT ssn FROM people", StatementKind::Explain, "100.2"),
        ("DECLARE c CURSOR FOR SELECT ssn FROM people", StatementKind::DeclareCursor, "100.2"),
        ("PREPARE p (int) AS SELECT ssn FROM people WHERE id = $1", StatementKind::Prepare, "100.2"),
        ("CREATE TEMP TABLE t AS SELECT ssn FROM people WITH NO DATA", StatementKind::CreateTableAs, "100.2"),
        ("CREATE VIEW v AS SELECT ssn FROM people WITH CHECK OPTION", StatementKind::CreateView, "100.2"),
        ("COPY (SELECT ssn FROM people) TO STDOUT", StatementKind::Copy, "100.2"),
        ("((SELECT ssn FROM people))", StatementKind::Select, "100.2"),
        ("COPY people TO STDOUT", StatementKind::Copy, "100.1 100.2 100.3"),
        ("COPY people FROM STDIN", StatementKind::Copy, ""),
        ("COPY people FROM '/tmp/x'", StatementKind::Copy, "-"),
        ("BEGIN", StatementKind::Begin, "-"),
        ("FROBNICATE people", StatementKind::Unrecognised, "!Syntax"),
        ("CREATE RECURSIVE VIEW v (a) AS SELECT ssn FROM people", StatementKind::CreateView, "100.2"),
        ("CREATE INDEX ON people (ssn, id) WHERE id > 1", StatementKind::CreateIndex, "100.2 100.1"),
    ] {
        let found = statements(text);
        assert_eq!((found[0].kind, origins(&found[0]).as_str()), (kind, expected), "{text}");
    }
}

#[test]
fn statements_of_a_text_keep_their_places() {
    let text = " BEGIN;; SELECT ssn FROM people -- x\n; COMMIT ";
    let found = statements(text);
    let spans: Vec<&str> = found.iter().map(|statement| &text[statement.span.clone()]).collect();
    assert_eq!(spans, ["BEGIN", "SELECT ssn FROM people", "COMMIT"]);
    assert!(statements(" ; /* ; */ -- ;").is_empty());
}

fn has(words: &BTreeSet<Name>, all: &[&str]) -> bool {
    all.iter().all(|&word| words.contains(word))
}

#[test]
fn words_are_the_safety_net() {
    let found = statements("SELECT \"Ssn\", 'people' FROM U&\"p\\0065ople\"; SELECT 1");
    assert!(has(&found[0].words, &["select", "Ssn", "from", "people"]));
    assert_eq!(found[0].words.len(), 4);
    assert_eq!(found[1].words.len(), 1);
    // strings that are run are searched, and the strings in them
    let body = "DO $$BEGIN EXECUTE 'select Ssn from ' || $q$people$q$ || U&\"\\0078x\"; END$$";
    assert!(has(&statements(body)[0].words, &["do", "execute", "ssn", "people", "xx"]));
    let function = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS E'select ssn from \\160eople'";
    assert!(has(&statements(function)[0].words, &["ssn", "people"]));
    assert!(!statements("SELECT 'ssn people'")[0].words.contains("ssn"));
}

#[test]
fn what_can_not_be_split_is_opaque_with_all_its_words() {
    for (text, reason) in [
        (&b"SELECT ssn FROM people 'open"[..], NotUnderstood::Lexical),
        (b"SELECT U&\"\\0073sn\" FROM people /* open", NotUnderstood::Lexical),
        (b"SELECT ssn FROM people \0", NotUnderstood::Encoding),
        (b"SELECT ssn FROM people '\xff'", NotUnderstood::Encoding),
    ] {
        match analyze(text, &catalog(), &Limits::default()) {
            Analysis::Opaque(found, words) => {
                assert_eq!(found, reason);
                assert!(has(&words, &["ssn", "people"]), "{words:?}");
            }
            Analysis::Statements(_) => panic!("{text:?}"),
        }
    }
}

#[test]
fn caps_hold_and_words_are_complete_beyond_them() {
    let limits = Limits { tokens_max: 20, statement_bytes_max: 200, statements_max: 2, ..Limits::default() };
    let many = format!("SELECT {} ssn FROM people", "1, ".repeat(20));
    let long = format!("SELECT '{}', ssn FROM people", "x".repeat(200));
    for text in [many, long] {
        let Analysis::Statements(found) = analyze(text.as_bytes(), &catalog(), &limits) else { panic!() };
        assert_eq!(found[0].reading, Reading::NotUnderstood(NotUnderstood::TooLarge));
        assert_eq!(found[0].kind, StatementKind::Select);
        assert!(has(&found[0].words, &["ssn", "people"]));
        assert!(found[0].code.is_empty() && !found[0].makes_makers);
    }
    assert!(matches!(
        analyze(b"SELECT 1; SELECT 1; SELECT 1", &catalog(), &limits),
        Analysis::Opaque(NotUnderstood::TooLarge, _)
    ));
}

/// In a thread with the stack that the shell gives: an overflow would abort the test.
fn on_a_large_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

#[test]
fn the_deepest_statements_do_not_overflow_the_stack() {
    let Limits { depth_max, chain_max, .. } = Limits::default();
    let chain = |first: &str, link: &str, count: usize| format!("{first}{}", link.repeat(count));
    let nested = |open: &str, inside: &str, close: &str, count: usize| {
        format!("SELECT {}{inside}{}", open.repeat(count), close.repeat(count))
    };
    let texts = [
        nested("(", "ssn", ")", depth_max) + " FROM people",
        nested("(SELECT ", "1", ")", depth_max),
        nested("CASE WHEN true THEN ", "1", " END", depth_max),
        nested("ARRAY[", "1", "]", depth_max),
        nested("f(", "1", ")", depth_max),
        format!("SELECT * FROM {}people{}", "(SELECT * FROM ".repeat(depth_max), ") x".repeat(depth_max)),
        chain("SELECT ssn FROM people WHERE id = 1", " OR true", chain_max - 1),
        chain("SELECT ssn FROM people WHERE id = 1", " AND true OR false", chain_max / 2 - 1),
        chain("SELECT 1", "+1", chain_max),
        chain("SELECT ssn", "::text", chain_max / 10) + " FROM people",
        chain("SELECT ", "NOT ", chain_max / 10) + "true",
        chain("SELECT 1", " IS NULL", chain_max),
        chain("SELECT 1", " UNION ALL SELECT 1", chain_max),
        chain("SELECT 1 FROM people", " CROSS JOIN orders", chain_max / 10),
        chain("SELECT a", "[1]", chain_max),
        chain("SELECT (a)", ".f", chain_max),
    ];
    for text in texts {
        let words = on_a_large_stack(|| statements(&text)[0].words.len());
        assert!(words > 0, "{text:.40}");
    }
}

#[test]
fn more_than_the_deepest_is_too_large() {
    let Limits { depth_max, chain_max, .. } = Limits::default();
    for text in [
        format!("SELECT {}1{}", "(".repeat(depth_max + 1), ")".repeat(depth_max + 1)),
        format!("SELECT 1{}", "+1".repeat(chain_max + 1)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(chain_max + 1)),
        format!("SELECT {}1", "(".repeat(100_000)),
    ] {
        assert_eq!(origins(&statements(&text)[0]), "!TooLarge");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        analyze(&bytes, &catalog(), &Limits::default());
    }

    #[test]
    fn no_tokens_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "SELECT", "ssn", "id", ".", "*", ",", "(", ")", "FROM", "people", "orders", "AS", "WHERE", "=", "1", "'x'", "ONLY",
        "TABLE", "WITH", "JOIN", "ON", "USING", "UNION", "VALUES", "INSERT", "INTO", "UPDATE", "SET", "DELETE", "RETURNING",
        "[", "]", "::", "int", "CASE", "WHEN", "THEN", "END", "ISNULL", "AND", "GROUP BY", "ORDER BY", ";", "$1", "EXPLAIN",
        "CREATE", "VIEW", "COPY", "TO", "BEGIN", "ATOMIC", "FUNCTION", "U&\"\\0073sn\"", "$$", "E'", "--\n", "LATERAL",
    ]), 0..24)) {
        analyze(words.join(" ").as_bytes(), &catalog(), &Limits::default());
    }
}
