//! Which names code of a masked caller's may take.

use super::database::{Database, caller, name};
use crate::catalog::Dependent;
use crate::plan::{Inventory, Own, Snapshot, Verdict, judge};
use crate::sql::analyze;
use crate::sql::statement::Analysis;

/// `customers` has a check that calls `checked`, whose body calls `below`; `computed` is in SQL; `told` acts.
fn database() -> Database {
    let mut made = Database::shop();
    let checked = made.function("checked", "bool", "plpgsql", Some("BEGIN RETURN below(1); END"));
    let customers = made.relation_oid("customers");
    made.depends(Dependent::Relation(customers), checked);
    let stores =
        made.function("stores", "bool", "plpgsql", Some("BEGIN INSERT INTO audit.log VALUES (NEW.email); END"));
    made.depends(Dependent::Relation(customers), stores);
    made.function("spills", "int4", "plpgsql", Some("BEGIN CREATE TEMP TABLE t AS SELECT email FROM customers; END"));
    made.function("calls", "int4", "plpgsql", Some("BEGIN RETURN spills(); END"));
    made.function("below", "bool", "sql", Some("SELECT true"));
    made.function("computed", "text", "sql", Some("SELECT $1"));
    made.function("told", "text", "plpgsql", Some("BEGIN INSERT INTO scratch VALUES ($1); END"));
    made
}

fn verdict(user: &str, text: &str, snapshot: &Snapshot) -> String {
    let Analysis::Statements(statements) = analyze::analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits)
    else {
        panic!("{text}")
    };
    let [statement] = statements.as_slice() else { panic!("{text}") };
    let mut own = Own::default();
    own.take_in(statement, text, snapshot);
    match judge(text, statement, snapshot, &caller(user, snapshot), &own).verdict {
        Verdict::Refuse(refusal) => refusal.message.split("because ").nth(1).unwrap_or("else").to_owned(),
        Verdict::Pass | Verdict::Protect(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => String::new(),
    }
}

#[test]
fn code_of_a_masked_caller_takes_no_name_that_others_count_on() {
    let snapshot = database().snapshot();
    const OWN: &str = "the name is one of PostgreSQL's own or of an extension's";
    const HANDED: &str = "other code hands protected values to what goes by this name";
    const COMPUTES: &str =
        "it might keep or pass on what statements hand to the function of this name, which only computes";
    const TYPE: &str = "protected values are handed to what goes by this name";
    let acting = |name: &str| {
        format!(
            "CREATE FUNCTION {name}(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO scratch VALUES ($1); END'"
        )
    };
    let computing = |name: &str| format!("CREATE FUNCTION {name}(text) RETURNS text LANGUAGE sql AS 'SELECT $1'");
    for (text, expected) in [
        (computing("s.upper"), OWN),
        (format!("DO $d$ BEGIN {}; END $d$", computing("upper")), OWN),
        ("ALTER FUNCTION told(text) RENAME TO upper".to_owned(), OWN),
        ("CREATE DOMAIN s.text AS int".to_owned(), OWN),
        (computing("checked"), HANDED),
        (computing("below"), HANDED),
        (acting("s.below"), HANDED),
        ("ALTER FUNCTION told(text) RENAME TO below".to_owned(), HANDED),
        ("ALTER FUNCTION below() SET search_path = s".to_owned(), HANDED),
        ("ALTER SCHEMA public RENAME TO p".to_owned(), HANDED),
        ("CREATE DOMAIN below AS int".to_owned(), TYPE),
        (acting("computed"), COMPUTES),
        ("ALTER FUNCTION told(text) RENAME TO computed".to_owned(), COMPUTES),
        (
            "CREATE PROCEDURE computed(a text) LANGUAGE plpgsql AS 'BEGIN INSERT INTO scratch VALUES (a); END'"
                .to_owned(),
            COMPUTES,
        ),
        ("CREATE FUNCTION computed() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'".to_owned(), ""),
        (computing("computed"), ""),
        (acting("told"), ""),
        (acting("unheard"), ""),
        ("ALTER FUNCTION computed(text) IMMUTABLE".to_owned(), ""),
        // As it is.
        ("CREATE OR REPLACE FUNCTION below() RETURNS bool LANGUAGE sql AS 'SELECT true'".to_owned(), ""),
        (
            "CREATE OR REPLACE FUNCTION below() RETURNS bool LANGUAGE sql SET search_path = s AS 'SELECT true'"
                .to_owned(),
            HANDED,
        ),
        (
            "CREATE FUNCTION below(a text DEFAULT 'SELECT true') RETURNS bool LANGUAGE sql AS 'SELECT false'"
                .to_owned(),
            HANDED,
        ),
    ] {
        assert_eq!(verdict("ann", &text, &snapshot), expected, "{text}");
        assert_eq!(verdict("dora", &text, &snapshot), "", "{text}");
    }
}

#[test]
fn a_function_that_only_computed_is_remembered_when_it_is_gone() {
    let before = database().snapshot();
    let mut after = Database::shop().snapshot();
    let inventory = Inventory::new(&after.policy, &after.catalog, Some(&before.inventory));
    assert!(inventory.computes(&name("computed")) && !after.inventory.computes(&name("computed")));
    after.inventory = inventory.into();
    let text =
        "CREATE FUNCTION computed(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO scratch VALUES ($1); END'";
    assert!(!verdict("ann", text, &after).is_empty());
}

#[test]
fn what_code_of_others_stores_rows_in_is_not_taken() {
    let snapshot = database().snapshot();
    const FILLED: &str = "code of others that handles protected values stores rows in what goes by this name";
    for (text, expected) in [
        ("CREATE TABLE s.log (a text)", FILLED),
        ("CREATE TEMP TABLE log AS SELECT 1 AS a", FILLED),
        ("SELECT 1 AS a INTO log FROM scratch", FILLED),
        ("CREATE VIEW log AS SELECT t FROM scratch", FILLED),
        ("ALTER TABLE scratch RENAME TO log", FILLED),
        ("ALTER TABLE log SET SCHEMA s", FILLED),
        ("CREATE TABLE logs (a text)", ""),
        ("ALTER TABLE scratch SET SCHEMA s", ""),
    ] {
        assert_eq!(verdict("ann", text, &snapshot), expected, "{text}");
        assert_eq!(verdict("dora", text, &snapshot), "", "{text}");
    }
}

#[test]
fn functions_that_spill_into_temporary_tables_are_for_those_who_see_what_they_spill() {
    let snapshot = database().snapshot();
    for text in ["SELECT spills()", "SELECT calls()"] {
        assert_eq!(verdict("ann", text, &snapshot), "it can read protected columns past their masks", "{text}");
        assert_eq!(verdict("dora", text, &snapshot), "", "{text}");
    }
}
