//! Functions of users that store into encrypted columns, or look for values in them: what is sealed, and what is refused.

use super::database::Database;
use super::encryption::shape;
use crate::catalog::Dependent;
use crate::crypto::KeyRing;
use crate::plan::Snapshot;
use std::sync::Arc;

const POLICY: &str = "
version: 1
tags: { private: { mask: full } }
columns:
  people:
    email: { tag: private, encrypted: { type: varchar(60), mode: deterministic, key: k, domain: email } }
    note: { tag: private, encrypted: { type: text, key: k, domain: note } }
    born: { tag: private, encrypted: { type: date, key: k, domain: born } }
";

/// Name, language, types of the arguments (`name type`), body.
type Defined<'a> = (&'a str, &'a str, &'a str, &'a str);

fn snapshot(functions: &[Defined<'_>]) -> Snapshot {
    let mut database = Database::empty();
    database.table("people", "id int4, email text, note text, born text, city text");
    database.table("queue", "what text");
    for (function, language, arguments, body) in functions {
        let oid = database.function(function, "int4", language, Some(body));
        for argument in arguments.split(", ").filter(|argument| !argument.is_empty()) {
            let (name, type_name) = argument.split_once(' ').unwrap();
            database.takes_named(oid, name, type_name);
        }
    }
    let mut snapshot = database.snapshot_of(POLICY);
    snapshot.ring = Arc::new(KeyRing::of_tests(&["k"]));
    snapshot
}

const REFUSED: &str = "which may store what is not encrypted, is not possible";

#[test]
fn arguments_that_a_function_stores_or_compares_as_they_are_are_sealed() {
    let add = "INSERT INTO people (email, note, city) VALUES (mail, add.n, $3) RETURNING id";
    let find = "SELECT id FROM people WHERE email = mail";
    let snapshot = snapshot(&[
        ("add", "sql", "mail text, n text, city text", add),
        ("add_plain", "sql", "city text", "INSERT INTO people (city) VALUES (city)"),
        (
            "email",
            "sql",
            "email varchar",
            "INSERT INTO people (email) VALUES (email.email) ON CONFLICT (email) DO NOTHING",
        ),
        ("find", "sql", "mail text", find),
        (
            "change",
            "sql",
            "old text, mail text",
            "BEGIN ATOMIC\n UPDATE people SET email = change.mail\n  WHERE (people.email = change.old);\nEND",
        ),
        (
            "move_to",
            "sql",
            "mail text, c text",
            "DELETE FROM people WHERE email = mail; INSERT INTO people (email, city) VALUES (mail, c)",
        ),
        ("touch", "plpgsql", "i int4", "BEGIN UPDATE people SET city = 'x' WHERE id = i; RETURN 1; END"),
    ]);
    for (call, expected) in [
        ("SELECT add('a', 'b', 'c')", "SELECT add( 'email' , 'note' , 'c')"),
        ("SELECT add(city => 'c', mail => $1, n => NULL)", "SELECT add(city => 'c', mail => $1 , n => NULL)"),
        ("SELECT add($1, $1, $1)", "SELECT add( $2 , $3 , $1)"),
        ("SELECT add('a'::varchar, 'b', city) FROM people", "SELECT add( 'email' , 'note' , city) FROM people"),
        (
            "SELECT add(x, 'b', 'c') FROM (VALUES ('a'), ($1)) v(x)",
            "SELECT add(x, 'note' , 'c') FROM (VALUES ( 'email' ), ( $1 )) v(x)",
        ),
        ("SELECT * FROM add('a', 'b', 'c')", "SELECT * FROM add( 'email' , 'note' , 'c')"),
        ("SELECT add_plain('a')", "as it is"),
        ("SELECT email('a')", "SELECT email( 'email' )"),
        ("SELECT find('a') + 1", "SELECT find( 'email' ) + 1"),
        (
            "UPDATE people SET city = 'x' WHERE id = find('a')",
            "UPDATE people SET city = 'x' WHERE id = find( 'email' )",
        ),
        ("INSERT INTO queue SELECT find('a')::text", "INSERT INTO queue SELECT find( 'email' )::text"),
        ("SELECT change('a', $1)", "SELECT change( 'email' , $1 )"),
        ("SELECT move_to('a', 'c')", "SELECT move_to( 'email' , 'c')"),
    ] {
        assert_eq!(shape(call, &snapshot), expected, "{call}");
    }
}

#[test]
fn functions_that_may_store_anything_else_in_encrypted_columns_are_refused() {
    let in_sql = |body: &'static str| ("f", "sql", "mail text", body);
    for (function, call) in [
        (in_sql("INSERT INTO people (email) VALUES (lower(mail))"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) VALUES (mail || '')"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) VALUES (coalesce(mail, 'none'))"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) VALUES ('none')"), "SELECT f('a')"),
        (in_sql("INSERT INTO people VALUES (1, 'none')"), "SELECT f('a')"),
        // the same argument is something else as well
        (in_sql("INSERT INTO people (email, city) VALUES (mail, mail)"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email, note) VALUES (mail, mail)"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) SELECT mail WHERE length(mail) > 3"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) VALUES (mail) RETURNING f.mail"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) VALUES (mail); SELECT $1"), "SELECT f('a')"),
        (in_sql("INSERT INTO people (email) VALUES (mail); DELETE FROM people WHERE note = 'x'"), "SELECT f('a')"),
        (in_sql("CREATE TEMP TABLE t AS SELECT 1; INSERT INTO people (email) VALUES (mail)"), "SELECT f('a')"),
        (
            in_sql("INSERT INTO people (email) SELECT unnest(mails) FROM (VALUES (ARRAY[mail])) v (mails)"),
            "SELECT f('a')",
        ),
        // of other types, in other languages, with a default
        (("f", "sql", "b date", "INSERT INTO people (born) VALUES (b)"), "SELECT f('2000-01-01')"),
        (("f", "sql", "mail bpchar", "INSERT INTO people (email) VALUES (mail)"), "SELECT f('a')"),
        (("f", "plpgsql", "mail text", "BEGIN INSERT INTO people (email) VALUES (mail); END"), "SELECT f('a')"),
        (("f", "plpgsql", "mail text", "BEGIN INSERT INTO people SELECT 1, mail; END"), "SELECT f('a')"),
        (("f", "sql", "mail text, n text", "INSERT INTO people (email, note) VALUES (mail, n)"), "SELECT f('a')"),
        // what is given is no value
        (in_sql("INSERT INTO people (email) VALUES (mail)"), "SELECT f('a' || 'b')"),
        (in_sql("INSERT INTO people (email) VALUES (mail)"), "SELECT f(upper($1))"),
        (in_sql("INSERT INTO people (email) VALUES (mail)"), "SELECT f(unnest($1))"),
        (in_sql("INSERT INTO people (email) VALUES (mail)"), "DO 'BEGIN PERFORM f(''a''); END'"),
        (in_sql("INSERT INTO people (email) VALUES (mail)"), "CALL f('a')"),
    ] {
        let found = shape(call, &snapshot(&[function]));
        assert!(found.contains("not possible"), "{function:?} {call}: {found}");
    }
}

#[test]
fn what_calls_a_storing_function_stores_too() {
    let inner = ("inner_one", "sql", "mail text", "INSERT INTO people (email) VALUES (mail)");
    for outer in [
        ("outer_one", "sql", "mail text", "SELECT inner_one(mail)"),
        ("outer_one", "plpgsql", "mail text", "BEGIN PERFORM public.inner_one (mail); END"),
        ("outer_one", "plpgsql", "mail text", "BEGIN EXECUTE 'SELECT inner_one($1)' USING mail; END"),
    ] {
        let found = shape("SELECT outer_one('a')", &snapshot(&[inner, outer]));
        assert!(found.ends_with(REFUSED) || found.contains("not possible"), "{outer:?}: {found}");
    }
    let two = ("inner_one", "sql", "number int4", "SELECT number");
    let found = shape("SELECT inner_one('a')", &snapshot(&[inner, two]));
    assert!(found.ends_with(REFUSED), "one of two: {found}");
}

#[test]
fn tables_whose_triggers_store_into_encrypted_columns_are_not_written() {
    let stores = "BEGIN INSERT INTO people (email) VALUES (NEW.what); RETURN NEW; END";
    for (relation, body, refused) in [
        ("queue", stores, true),
        ("queue", "BEGIN UPDATE people SET city = NEW.what; RETURN NEW; END", false),
        ("people", "BEGIN NEW.email := lower(NEW.email); RETURN NEW; END", true),
        ("people", "BEGIN IF NEW.id = 1 THEN NEW.email = 'x'; END IF; RETURN NEW; END", true),
        ("people", "BEGIN SELECT 'x' INTO NEW.email; RETURN NEW; END", true),
        ("people", "BEGIN NEW := OLD; RETURN NEW; END", true),
        ("people", "BEGIN IF NEW.email = OLD.email THEN NEW.city := 'same'; END IF; RETURN NEW; END", false),
        ("people", "BEGIN INSERT INTO queue VALUES (NEW.email); RETURN NEW; END", false),
    ] {
        let mut database = Database::empty();
        database.table("people", "id int4, email text, note text, born text, city text");
        database.table("queue", "what text");
        let function = database.function("fires", "trigger", "plpgsql", Some(body));
        let relation_oid = database.relation_oid(relation);
        database.depends(Dependent::Relation(relation_oid), function);
        let mut snapshot = database.snapshot_of(POLICY);
        snapshot.ring = Arc::new(KeyRing::of_tests(&["k"]));
        let (write, copy) = match relation {
            "queue" => ("INSERT INTO queue VALUES ('a')", "COPY queue FROM STDIN"),
            _ => ("UPDATE people SET city = 'c' WHERE id = 1", "COPY people FROM STDIN"),
        };
        for text in [write, copy] {
            let found = shape(text, &snapshot);
            assert_eq!(found.contains("by which fires may store"), refused, "{body} {text}: {found}");
        }
    }
}
