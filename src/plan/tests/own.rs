//! What a session makes, fills and changes.

use super::database::Database;
use super::session::Session;
use crate::plan::{Ended, Own, Verdict};
use crate::sql::lineage::Flow;

const STORED_ELSEWHERE: &str =
    "pgveil: values of column public.customers.email may not be stored elsewhere (tag \"email\", rule shop.yaml:4)";

#[test]
fn temporary_tables_inherit_the_tags_of_what_they_are_filled_with() {
    for (user, sight) in [("ann", "masked"), ("dora", "revealed")] {
        for (made, read) in [
            (&["CREATE TEMP TABLE t AS SELECT id, email AS x FROM customers"][..], "SELECT x FROM t"),
            (&["CREATE TEMP TABLE t (id, x) AS SELECT id, email FROM customers"], "SELECT x FROM t"),
            (&["CREATE TEMPORARY TABLE t ON COMMIT DROP AS SELECT id, email AS x FROM customers"], "SELECT x FROM t"),
            (&["CREATE TABLE pg_temp.t AS SELECT id, email AS x FROM customers"], "SELECT x FROM pg_temp.t"),
            (&["SELECT id, email AS x INTO TEMP t FROM customers"], "SELECT x FROM t"),
            (&["SELECT id, email AS x INTO TEMPORARY TABLE t FROM customers"], "SELECT x FROM t"),
            (
                &["CREATE TEMP TABLE t (id int, x text)", "INSERT INTO t SELECT id, email FROM customers"],
                "SELECT x FROM t",
            ),
            (
                &["CREATE TEMP TABLE t (id int, x text)", "INSERT INTO t (x) SELECT email FROM customers"],
                "SELECT x FROM t",
            ),
            (
                &["CREATE TEMP TABLE t (id int, x text)", "UPDATE t SET x = email FROM customers c WHERE c.id = t.id"],
                "SELECT x FROM t",
            ),
            (
                &[
                    "CREATE TEMP TABLE t (id int, x text)",
                    "UPDATE t SET (id, x) = (SELECT id, email FROM customers WHERE id = 1)",
                ],
                "SELECT x FROM t",
            ),
            (
                &[
                    "CREATE TEMP TABLE t (id int, x text)",
                    "WITH i AS (INSERT INTO t SELECT id, email FROM customers RETURNING id) SELECT id FROM i",
                ],
                "SELECT x FROM t",
            ),
            (
                &[
                    "CREATE TEMP TABLE t (id int, x text)",
                    "MERGE INTO t USING customers c ON t.id = c.id WHEN NOT MATCHED THEN INSERT VALUES (c.id, c.email)",
                ],
                "SELECT x FROM t",
            ),
            (
                &[
                    "CREATE TEMP TABLE t (id int, x text)",
                    "INSERT INTO t SELECT id, email FROM customers",
                    "ALTER TABLE t RENAME x TO y",
                ],
                "SELECT y AS x FROM t",
            ),
            (
                &["CREATE TEMP TABLE t AS SELECT id, email AS x FROM customers", "ALTER TABLE t RENAME TO u"],
                "SELECT x FROM u",
            ),
            (
                &[
                    "CREATE TEMP TABLE t AS SELECT id, email AS x FROM customers",
                    "CREATE TEMP TABLE u AS SELECT * FROM t",
                ],
                "SELECT x FROM u",
            ),
            (
                &[
                    "CREATE TEMP TABLE t AS SELECT id, email AS x FROM customers",
                    "CREATE TEMP TABLE u (LIKE t)",
                    "INSERT INTO u TABLE t",
                ],
                "SELECT x FROM u",
            ),
            (
                &[
                    "CREATE TEMP TABLE t (id int, x text)",
                    "CREATE VIEW u AS SELECT * FROM t",
                    "INSERT INTO t SELECT id, email FROM customers",
                ],
                "SELECT x FROM u",
            ),
            (&["CREATE VIEW u AS SELECT id, email AS x FROM customers"], "SELECT x FROM u"),
            (&["CREATE TEMP VIEW u (id, x) AS SELECT id, email FROM customers"], "SELECT x FROM u"),
        ] {
            let mut session = Session::of(user);
            for text in made {
                let verdict = session.judged(text);
                assert!(["pass", "protect", "protect scrub"].contains(&&*verdict), "{user}: {text}: {verdict}");
            }
            assert_eq!(session.column(read, "x", 2), sight, "{user}: {made:?}");
            // What the server can not say where it comes from.
            let computed =
                read.replace("SELECT x", "SELECT lower(x) AS x").replace("SELECT y AS x", "SELECT lower(y) AS x");
            assert_eq!(session.column(&computed, "x", 0), sight, "{user}: {computed}");
            let starred = format!("SELECT t FROM ({read}) t");
            assert_eq!(session.column(&starred, "t", 0), sight, "{user}: {starred}");
        }
    }
}

#[test]
fn a_table_of_the_transaction_that_is_not_temporary_takes_no_tagged_values() {
    let mut session = Session::of("ann");
    assert_eq!(session.judged("CREATE TABLE t AS SELECT email AS x FROM customers"), STORED_ELSEWHERE);
    assert_eq!(session.judged("SELECT email AS x INTO t FROM customers"), STORED_ELSEWHERE);
    assert_eq!(session.judged("CREATE MATERIALIZED VIEW t AS SELECT email AS x FROM customers"), STORED_ELSEWHERE);
    assert_eq!(session.judged("CREATE TABLE t (id int, x text)"), "pass");
    assert_eq!(session.judged("INSERT INTO t SELECT id, email FROM customers"), STORED_ELSEWHERE);
    assert_eq!(session.judged("CREATE TABLE u AS SELECT id, email AS x FROM customers WITH NO DATA"), "protect scrub");
    assert_eq!(session.judged("INSERT INTO u SELECT id, email FROM customers"), STORED_ELSEWHERE);
    assert_eq!(session.judged("INSERT INTO u VALUES (1, 'a')"), "pass");
    assert_eq!(session.judged("CREATE TEMP TABLE v (x text)"), "pass");
    assert_eq!(session.judged("INSERT INTO v SELECT email FROM customers"), "protect scrub");
    assert_eq!(session.judged("INSERT INTO scratch (t) SELECT x FROM v"), STORED_ELSEWHERE);
    assert_eq!(session.judged("INSERT INTO orders (customer_email) SELECT x FROM v"), "protect scrub");
}

#[test]
fn temporary_tables_of_untagged_values_are_untouched_also_under_a_tagged_name() {
    let mut session = Session::of("ann");
    assert_eq!(session.judged("CREATE TEMP TABLE t AS SELECT id, title AS x FROM parts"), "pass");
    assert_eq!(session.judged("SELECT x FROM t WHERE x LIKE '%a' ORDER BY x"), "pass");
    assert_eq!(session.judged("CREATE TEMP TABLE customers AS SELECT 1 AS id, 'fake'::text AS email"), "protect scrub");
    assert_eq!(session.column("SELECT email FROM customers", "email", 2), "untouched");
    // It may be the other one, where the session has said that temporary relations are not the first to be looked for.
    session.judged("SET search_path = public, pg_temp");
    assert_eq!(session.column("SELECT email FROM customers", "email", 2), "masked");
}

#[test]
fn what_is_not_certain_to_be_gone_is_kept_in_mind() {
    let filled = |user| {
        let mut session = Session::of(user);
        session.judged("CREATE TEMP TABLE t AS SELECT email AS x FROM customers");
        session
    };
    for (how, idle, known) in [
        (Ended::Committed, true, true),
        (Ended::RolledBack, true, false),
        (Ended::RolledBack, false, true),
        (Ended::Unsure, true, true),
    ] {
        let mut session = filled("ann");
        session.own.ended(how, idle);
        assert_eq!(!session.own.is_empty(), known, "{how:?} {idle}");
        // A later transaction that is rolled back takes nothing with it.
        session.own.ended(Ended::RolledBack, true);
        assert_eq!(!session.own.is_empty(), known, "{how:?} {idle}");
    }
    let mut session = filled("ann");
    session.own.ended(Ended::Committed, true);
    session.judged("DROP TABLE t");
    session.own.rolled_back_to();
    session.own.ended(Ended::Committed, true);
    assert!(!session.own.is_empty(), "its DROP was rolled back");
    session.judged("DROP TABLE t");
    session.own.ended(Ended::RolledBack, true);
    assert!(!session.own.is_empty(), "its DROP was rolled back");
    session.judged("DROP TABLE t");
    session.own.ended(Ended::Committed, true);
    assert!(session.own.is_empty(), "it was dropped");
    let mut session = Session::of("ann");
    session.judged("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT email AS x FROM customers");
    session.judged("CREATE VIEW v AS SELECT email AS x FROM customers");
    session.own.ended(Ended::Committed, true);
    assert_eq!(session.column("SELECT x FROM v", "x", 1), "masked", "until the catalog has it");
    session.own.ended(Ended::Committed, true);
    session.own.read();
    assert!(session.own.is_empty());
}

#[test]
fn a_view_must_not_show_more_under_a_name_that_others_know() {
    let mut session = Session::of("ann");
    let refused = "pgveil: CREATE VIEW under the name of a relation that shows less is not permitted where it touches protected columns that you do not see in clear";
    assert_eq!(session.judged("CREATE OR REPLACE VIEW parts AS SELECT id, email AS title FROM customers"), refused);
    assert_eq!(session.judged("CREATE VIEW elsewhere.parts AS SELECT id, email AS title FROM customers"), refused);
    assert_eq!(
        session.judged("CREATE OR REPLACE VIEW leads AS SELECT id, email AS mail FROM customers"),
        "protect scrub"
    );
    assert_eq!(session.judged("CREATE TEMP VIEW parts AS SELECT id, email AS title FROM customers"), "protect scrub");
    assert_eq!(session.column("SELECT lower(title) AS x FROM parts", "x", 0), "masked");
}

#[test]
fn a_function_must_not_read_what_a_temporary_table_has_inherited() {
    let mut database = Database::shop();
    database.function("peek", "text", "plpgsql", Some("BEGIN RETURN (SELECT x FROM loot); END"));
    let mut session = Session { snapshot: database.snapshot(), user: "ann", own: Own::default() };
    let refused = session.judged("CREATE TEMP TABLE loot AS SELECT email AS x FROM customers");
    assert!(refused.contains("whose name a function of the database says"), "{refused}");
    assert_eq!(session.judged("CREATE TEMP TABLE loot (x text)"), "pass");
    assert!(session.judged("INSERT INTO loot SELECT email FROM customers").contains("whose name a function"));
    assert_eq!(session.judged("INSERT INTO loot SELECT title FROM parts"), "pass");
    let mut session = Session::of("ann");
    let function = "CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT x FROM loot); END'";
    assert_eq!(session.judged(function), "pass");
    assert!(
        session.judged("CREATE TEMP TABLE loot AS SELECT email AS x FROM customers").contains("whose name a function")
    );
}

#[test]
fn a_column_or_relation_that_is_renamed_is_known_under_both_names() {
    let mut session = Session::of("ann");
    assert_eq!(session.judged("ALTER TABLE customers RENAME COLUMN email TO contact"), "protect scrub");
    assert_eq!(session.column("SELECT lower(contact) AS x FROM customers", "x", 0), "masked");
    assert_eq!(session.judged("ALTER TABLE customers RENAME TO people"), "protect scrub");
    assert_eq!(session.column("SELECT lower(contact) AS x FROM people", "x", 0), "masked");
    let refused = "a column under the name of another that shows less";
    assert!(session.judged("ALTER TABLE customers RENAME card TO tenant").contains(refused));
    assert_eq!(session.judged("ALTER TABLE parts RENAME title TO email"), "pass");
    let refused = "a relation under the name of another that shows less";
    session.judged("ALTER TABLE people RENAME contact TO title");
    assert!(session.judged("ALTER TABLE people RENAME TO parts").contains(refused));
}

#[test]
fn changes_of_tagged_tables_are_judged_by_what_they_tell() {
    let kind = |what: &str| {
        format!("pgveil: {what} is not permitted where it touches protected columns that you do not see in clear")
    };
    let search = "pgveil: a search by prefix on column public.customers.email is not permitted (tag \"email\", rule shop.yaml:4)";
    for (text, expected) in [
        ("ALTER TABLE customers ADD COLUMN age int DEFAULT 0 CHECK (age >= 0)", "protect scrub"),
        ("ALTER TABLE customers ADD COLUMN low text GENERATED ALWAYS AS (lower(email)) STORED", "protect scrub"),
        ("ALTER TABLE customers ADD PRIMARY KEY (id)", "protect scrub"),
        ("ALTER TABLE customers ADD CONSTRAINT u UNIQUE (email)", "protect scrub"),
        ("ALTER TABLE customers ADD UNIQUE USING INDEX u", "protect scrub"),
        ("ALTER TABLE customers ADD EXCLUDE USING gist (tenant WITH =, email WITH =)", "protect scrub"),
        ("ALTER TABLE customers ADD CHECK (tenant > 0), ALTER tenant SET NOT NULL", "protect scrub"),
        ("ALTER TABLE customers ADD FOREIGN KEY (tenant) REFERENCES parts (id)", "protect scrub"),
        ("ALTER TABLE customers ALTER email SET NOT NULL, ALTER COLUMN email TYPE varchar(300)", "protect scrub"),
        ("ALTER TABLE customers ALTER tenant TYPE numeric USING tenant::numeric", "protect scrub"),
        ("ALTER TABLE customers DROP COLUMN email", "protect scrub"),
        ("ALTER TABLE ONLY customers OWNER TO ann, SET (fillfactor = 70)", "protect scrub"),
        ("ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (customer_id) REFERENCES customers (id)", "protect scrub"),
        ("CREATE TABLE invoices (id int, customer int REFERENCES customers (id))", "protect scrub"),
        ("CREATE TABLE more PARTITION OF customers FOR VALUES IN (1)", "protect scrub"),
        ("CREATE TABLE kid () INHERITS (customers)", "protect scrub"),
        ("CREATE TABLE same (LIKE customers)", "protect scrub"),
        ("CREATE INDEX ON customers (lower(email), tenant)", "protect scrub"),
        ("CREATE INDEX ON customers USING gin (email gin_trgm_ops)", "protect scrub"),
        ("CREATE INDEX i ON customers (email) WHERE tenant = 7", "protect scrub"),
        ("CREATE UNIQUE INDEX ON customers (email)", "protect scrub"),
        ("CREATE STATISTICS s (ndistinct) ON email, tenant FROM customers", "protect scrub"),
        ("DROP TABLE customers", "pass"),
        ("ALTER TABLE customers ADD CHECK (email LIKE 'a%')", search),
        ("ALTER TABLE customers ADD EXCLUDE (tenant WITH =) WHERE (email LIKE 'a%')", search),
        ("CREATE INDEX ON customers (id) WHERE email LIKE 'a%'", search),
        ("CREATE STATISTICS s ON (CASE WHEN email LIKE 'a%' THEN 1 END), id FROM customers", "protect scrub"),
        (
            "ALTER TABLE customers ALTER tenant TYPE text USING email",
            "values of column public.customers.email may not be stored",
        ),
        (
            "ALTER TABLE customers ALTER email TYPE text USING lower(email)",
            "values of column public.customers.email may not be stored",
        ),
        ("ALTER TABLE customers NO INHERIT parts", "protect scrub"),
        ("ALTER TABLE customers DETACH PARTITION parts CONCURRENTLY", "protect scrub"),
        ("ALTER TABLE customers SET SCHEMA elsewhere", "protect scrub"),
        (
            "ALTER TABLE customers ATTACH PARTITION parts DEFAULT",
            &kind("a relation that is there already, and shows more, as a child"),
        ),
        ("ALTER TABLE parts ATTACH PARTITION customers DEFAULT", &kind("a relation under a parent that shows less")),
        ("ALTER TABLE customers INHERIT parts", &kind("a relation under a parent that shows less")),
        ("ALTER TABLE customers ALTER low DROP EXPRESSION", "protect scrub"),
        ("ALTER TABLE customers ALTER low SET EXPRESSION AS (upper(low))", &kind("ALTER TABLE")),
        ("CREATE TABLE x (c customers)", "protect scrub"),
    ] {
        let mut session = Session::of("ann");
        let verdict = session.judged(text);
        assert!(verdict == expected || verdict.contains(expected) && expected.len() > 20, "{text}: {verdict}");
    }
}

#[test]
fn a_temporary_table_that_runs_code_takes_no_tagged_values() {
    let keep = "BEGIN INSERT INTO scratch VALUES (v); RETURN true; END";
    for (made, kind) in [
        (&["CREATE TEMP TABLE t (x text CHECK (keep(x)))"][..], "of the catalog"),
        (
            &[
                "CREATE TEMP TABLE t (x text)",
                "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION keep()",
            ],
            "trigger",
        ),
        (
            &[
                "CREATE TEMP TABLE t (x text)",
                "CREATE RULE r AS ON INSERT TO t DO ALSO INSERT INTO scratch VALUES (NEW.x)",
            ],
            "rule",
        ),
        (&["CREATE TEMP TABLE t (x text)", "CREATE INDEX ON t (keep(x))"], "index"),
        (
            &["CREATE TEMP TABLE t (x text)", "ALTER TABLE t ADD y bool GENERATED ALWAYS AS (keep(x)) STORED"],
            "generated",
        ),
        (
            &[
                "CREATE FUNCTION now_made(v text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO scratch VALUES (v); RETURN true; END'",
                "CREATE TEMP TABLE t (x text CHECK (now_made(x)))",
            ],
            "of the transaction",
        ),
        (&["CREATE DOMAIN dom AS text CHECK (keep(VALUE))", "CREATE TEMP TABLE t (x dom)"], "domain"),
        (&["CREATE TEMP TABLE s (x text CHECK (keep(x)))", "CREATE TEMP TABLE t (LIKE s INCLUDING ALL)"], "like"),
    ] {
        let mut database = Database::shop();
        database.function("keep", "bool", "plpgsql", Some(keep));
        let mut session = Session { snapshot: database.snapshot(), user: "ann", own: Own::default() };
        for text in made {
            assert_eq!(session.judged(text), "pass", "{kind}: {text}");
        }
        assert_eq!(session.judged("INSERT INTO t (x) SELECT email FROM customers"), STORED_ELSEWHERE, "{kind}");
        assert_eq!(session.judged("INSERT INTO t (x) SELECT title FROM parts"), "pass", "{kind}");
    }
}

#[test]
fn a_temporary_table_that_tests_its_rows_takes_no_tagged_values() {
    let empty = "CREATE TEMP TABLE t (id int, x text)";
    for made in [
        &["CREATE TEMP TABLE t (id int, x text CHECK (x LIKE 'a%'))"][..],
        &["CREATE TEMP TABLE t (id int, x text, CONSTRAINT c CHECK (x LIKE 'a%'))"],
        &["CREATE TEMP TABLE t (id int, x text UNIQUE)"],
        &["CREATE TEMP TABLE t (id int, x text, PRIMARY KEY (id, x))"],
        &["CREATE TEMP TABLE t (id int, x text, EXCLUDE (x WITH =))"],
        &["CREATE TEMP TABLE t (id int, x text, y text GENERATED ALWAYS AS (x || '!') STORED)"],
        &["CREATE TEMP TABLE t (id int, x text) PARTITION BY LIST (x)"],
        &["CREATE TEMP TABLE t (LIKE scratch INCLUDING ALL, x text)"],
        &["CREATE TEMP TABLE t (x text) INHERITS (scratch)"],
        &[empty, "ALTER TABLE t ADD CHECK (x LIKE 'a%')"],
        &[empty, "ALTER TABLE t ADD UNIQUE (x)"],
        &[empty, "ALTER TABLE t ADD y text GENERATED ALWAYS AS (x || '!') STORED"],
        &[empty, "CREATE UNIQUE INDEX ON t (x)"],
        &[empty, "CREATE UNIQUE INDEX ON t (id) WHERE x LIKE 'a%'"],
        &[empty, "CREATE INDEX ON t ((x::int))"],
    ] {
        let mut session = Session::of("ann");
        for text in made {
            assert_eq!(session.judged(text), "pass", "{text}");
        }
        assert_eq!(session.judged("INSERT INTO t (x) SELECT email FROM customers"), STORED_ELSEWHERE, "{made:?}");
    }
    for made in [
        &["CREATE TEMP TABLE t (id serial PRIMARY KEY, x text, y date DEFAULT now())"][..],
        &["CREATE TEMP TABLE t (id int GENERATED ALWAYS AS IDENTITY, x text, UNIQUE (id))"],
        &["CREATE TEMP TABLE t (LIKE scratch, x text)"],
        &[empty, "CREATE UNIQUE INDEX ON t (id)", "CREATE INDEX ON t (x)", "ALTER TABLE t ADD PRIMARY KEY (id)"],
    ] {
        let mut session = Session::of("ann");
        for text in made {
            assert_eq!(session.judged(text), "pass", "{text}");
        }
        assert_eq!(session.judged("INSERT INTO t (x) SELECT email FROM customers"), "protect scrub", "{made:?}");
        assert_eq!(session.column("SELECT x FROM t", "x", 2), "masked", "{made:?}");
    }
}

#[test]
fn a_column_that_is_computed_from_a_temporary_table_s_others_holds_what_they_hold() {
    let mut session = Session::of("ann");
    session.judged("CREATE TEMP TABLE t AS SELECT id, email AS x FROM customers");
    session.judged("ALTER TABLE t ADD y text GENERATED ALWAYS AS (x || '!') STORED");
    assert_eq!(session.column("SELECT y FROM t", "y", 3), "masked");
}

#[test]
fn a_column_that_is_computed_anew_from_itself_holds_something_computed() {
    let mut session = Session::of("ann");
    session.judged("CREATE TEMP TABLE heap (id int, n numeric, x text)");
    session.judged("UPDATE heap SET n = n * 2");
    let found = session.judged("SELECT id FROM heap WHERE n < 3");
    assert!(!found.contains("refuse"), "{found}");
    for (first, flow) in [("UPDATE heap SET x = x || '!'", Flow::Derived), ("UPDATE heap SET x = x", Flow::Direct)] {
        let mut session = Session::of("ann");
        session.judged("CREATE TEMP TABLE heap (id int, n numeric, x text)");
        // It may have been prepared, and run again behind what follows.
        session.judged(first);
        session.judged("INSERT INTO heap SELECT id, 0, email FROM customers");
        let catalog = session.own.catalog(&session.snapshot.catalog);
        let heap = catalog.relations().find(|relation| relation.name.as_str() == "heap").unwrap().oid;
        let held = session.own.held().column(heap, 3, &session.snapshot.inventory);
        assert!(held.unknown.is_none() && held.columns.values().eq([&flow]), "{first}: {held:?}");
    }
}

#[test]
fn a_dictionary_among_stored_values_is_compared_with_nothing() {
    let (mail, guess) = ("SELECT email, NULL::text AS guess FROM customers", "INSERT INTO t SELECT t, t FROM scratch");
    let (made, filled) = ("CREATE TEMP TABLE t (email text, guess text)", "INSERT INTO t SELECT email FROM customers");
    let made_as = format!("CREATE TEMP TABLE t AS {mail}");
    let generated = format!("CREATE TEMP TABLE t AS {mail} UNION ALL SELECT t, t FROM scratch");
    for ways in [
        &[made, guess, filled][..],
        &[made, filled, guess],
        &[made_as.as_str(), guess],
        &[generated.as_str()],
        &[made_as.as_str(), "UPDATE t SET email = scratch.t, guess = scratch.t FROM scratch"],
        &[made, "COPY t FROM STDIN", filled],
        &[made_as.as_str(), "PREPARE p AS INSERT INTO t VALUES ($1, $2)"],
        &["CREATE TEMP TABLE t (email text DEFAULT 'x', guess text)", filled],
        &[
            "CREATE TEMP TABLE s (email text, guess text)",
            "INSERT INTO s SELECT t, t FROM scratch",
            "INSERT INTO s SELECT email FROM customers",
            "CREATE TEMP TABLE t AS TABLE s",
            "DROP TABLE s",
        ],
    ] {
        let mut session = Session::of("ann");
        for text in ways {
            let verdict = session.judged(text);
            assert!(!verdict.contains("not permitted"), "{text}: {verdict}");
        }
        for read in [
            "SELECT max(guess) FROM t GROUP BY email HAVING count(*) > 1",
            "SELECT guess FROM t JOIN customers c ON c.email = t.email",
            "SELECT guess FROM t WHERE email IN (SELECT email FROM customers)",
            "SELECT guess, count(*) OVER (PARTITION BY email) FROM t",
            "SELECT DISTINCT email FROM t",
            "SELECT email FROM t INTERSECT SELECT email FROM customers",
        ] {
            assert!(session.judged(read).contains("is not permitted"), "{ways:?}: {read}");
        }
        assert_eq!(session.column("SELECT email FROM t", "email", 1), "masked", "{ways:?}");
    }
    let mut session = Session::of("ann");
    for text in [made_as.as_str(), "INSERT INTO t VALUES (NULL, 'x'), ('nobody', 'y')"] {
        session.judged(text);
    }
    assert_eq!(session.judged("SELECT max(guess) FROM t GROUP BY email"), "protect scrub", "a few constants, as in IN");
}

#[test]
fn what_becomes_a_child_in_this_transaction_shows_no_more_than_its_parent() {
    for (joins, asked) in [
        (
            &["CREATE TABLE more (id int, email text)", "ALTER TABLE customers ATTACH PARTITION more DEFAULT"][..],
            "more",
        ),
        (&["CREATE TABLE more (id int, email text)", "ALTER TABLE more INHERIT customers"], "more"),
        (&["ALTER TABLE customers SET SCHEMA elsewhere"], "elsewhere.customers"),
    ] {
        let mut session = Session::of("ann");
        for text in joins {
            assert!(matches!(session.verdict(text), Verdict::Pass | Verdict::Protect(_)), "{text}");
        }
        assert_eq!(session.column(&format!("SELECT lower(email) AS x FROM {asked}"), "x", 0), "masked", "{asked}");
    }
}
