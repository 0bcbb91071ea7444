//! Functions that a session makes or changes, and those that it may yet change.

use super::database::Database;
use super::session::Session;
use crate::plan::{Own, Verdict};

#[test]
fn a_function_that_may_become_another_is_not_built_into_anything_over_tagged_columns() {
    for text in [
        "CREATE VIEW v AS SELECT twice(email) FROM customers",
        "CREATE INDEX ON customers (twice(email))",
        "CREATE STATISTICS s ON (twice(email)), id FROM customers",
        "ALTER TABLE customers ADD y text GENERATED ALWAYS AS (twice(email)) STORED",
        "ALTER TABLE customers ADD CHECK (twice(email) IS NOT NULL)",
    ] {
        let mut database = Database::shop();
        let twice = database.function("twice", "text", "sql", Some("SELECT $1 || $1"));
        database.takes(twice, "text");
        let mut session = Session { snapshot: database.snapshot(), user: "ann", own: Own::default() };
        assert!(session.judged(text).contains("function twice is not permitted"), "{text}: {}", session.judged(text));
    }
}

#[test]
fn a_function_of_the_transaction_is_not_built_into_anything_over_tagged_columns() {
    for text in [
        "CREATE VIEW v AS SELECT twice(email) FROM customers",
        "CREATE INDEX ON customers (twice(email))",
        "CREATE STATISTICS s ON (twice(email)), id FROM customers",
        "ALTER TABLE customers ADD y text GENERATED ALWAYS AS (twice(email)) STORED",
    ] {
        let mut session = Session::of("ann");
        let function = "CREATE FUNCTION twice(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $1'";
        assert_eq!(session.judged(function), "pass");
        let refused = session.judged(text);
        assert!(refused.contains("something that this transaction made"), "{text}: {refused}");
        assert_eq!(session.column("SELECT twice(email) AS x FROM customers", "x", 0), "masked", "{text}");
    }
}

#[test]
fn a_schema_that_has_got_another_name_says_nothing_of_what_is_in_it() {
    let mut database = Database::shop();
    database.table("old.customers", "id int4, email text");
    let mut session = Session { snapshot: database.snapshot(), user: "ann", own: Own::default() };
    let asked = "SELECT lower(email) AS x FROM old.customers";
    // By its name alone it might be the other one, which then contradicts the server.
    let before = session.verdict("SELECT lower(email) AS x FROM old.customers WHERE email LIKE 'a%'");
    assert!(!matches!(before, Verdict::Refuse(_)));
    session.judged("ALTER SCHEMA old RENAME TO older");
    session.judged("ALTER SCHEMA public RENAME TO old");
    assert_eq!(session.column(asked, "x", 0), "masked");
    let refused = session.judged("SELECT lower(email) AS x FROM old.customers WHERE email LIKE 'a%'");
    assert!(refused.contains("a search by prefix on column public.customers.email"), "{refused}");
}

#[test]
fn a_function_must_not_read_a_relation_that_takes_the_name_that_it_says() {
    let body = "BEGIN RETURN (SELECT email FROM loot); END";
    for taken in ["ALTER TABLE customers RENAME TO loot", "CREATE VIEW loot AS SELECT email FROM customers"] {
        let mut session = Session::of("ann");
        let function = format!("CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql AS '{body}'");
        assert_eq!(session.judged(&function), "pass");
        assert_eq!(session.judged("SELECT peek()"), "pass", "there is nothing to read yet");
        assert!(session.judged(taken).contains("whose name a function of the database says"), "{taken}");
        let mut database = Database::shop();
        database.function("peek", "text", "plpgsql", Some(body));
        let mut session = Session { snapshot: database.snapshot(), user: "ann", own: Own::default() };
        assert_eq!(session.judged("SELECT peek()"), "pass");
        assert!(session.judged(taken).contains("whose name a function of the database says"), "{taken}");
    }
}

#[test]
fn a_function_of_the_transaction_that_reads_nothing_tagged_is_not_withheld() {
    let mut session = Session::of("ann");
    let made = "CREATE FUNCTION pg_temp.made(OUT a parts, OUT b text) LANGUAGE plpgsql AS 'BEGIN SELECT * INTO a FROM parts; END'";
    assert_eq!(session.judged("CREATE FUNCTION three() RETURNS int LANGUAGE sql AS 'SELECT 3'"), "pass");
    assert_eq!(session.judged("SELECT three()"), "pass");
    assert_eq!(session.judged(made), "pass");
    assert!(
        session.judged("SELECT (made.a).id, made.b FROM pg_temp.made()").contains("this transaction made"),
        "INTO acts"
    );
}
