//! Verdicts.

use std::collections::BTreeSet;

use super::database::{Database, caller, judged, name, shown, statement, verdict};
use crate::catalog::Dependent;
use crate::plan::{Own, Verdict, judge, judge_opaque};
use crate::session::io::RefusalReason;
use crate::sql::NotUnderstood;

fn all(user: &str, cases: &[(&str, &str)]) {
    let snapshot = Database::shop().snapshot();
    for (text, expected) in cases {
        assert_eq!(verdict(user, text, &snapshot), *expected, "{user}: {text}");
    }
}

#[test]
fn what_names_nothing_tagged_passes() {
    all(
        "ann",
        &[
            ("SELECT title FROM parts WHERE price > 3 ORDER BY title", "pass"),
            ("SELECT 1", "pass"),
            ("INSERT INTO scratch (t) VALUES ('x') RETURNING t", "pass"),
            ("SELECT email FROM parts p (id, email)", "pass"),
            ("BEGIN", "pass"),
            ("SHOW search_path", "pass"),
            ("COPY parts TO STDOUT", "protect"),
            ("COPY (SELECT title FROM parts) TO STDOUT", "protect"),
            ("COPY parts FROM STDIN", "pass"),
            ("CREATE TABLE x (email text)", "pass"),
            ("DO $$ BEGIN PERFORM 1 FROM parts; END $$", "pass"),
            ("EXPLAIN ANALYZE SELECT * FROM parts", "pass"),
        ],
    );
}

#[test]
fn what_touches_tagged_relations_is_protected() {
    all(
        "ann",
        &[
            ("SELECT email FROM customers", "protect scrub"),
            ("SELECT tenant FROM customers", "protect scrub"),
            ("SELECT count(email) FROM customers", "protect scrub"),
            ("UPDATE customers SET tenant = 1", "protect scrub"),
            ("DELETE FROM customers WHERE id = 1", "protect scrub"),
            ("EXPLAIN SELECT email FROM customers", "protect scrub"),
            ("DECLARE c CURSOR FOR SELECT email FROM customers", "protect scrub"),
            ("PREPARE p AS SELECT email FROM customers", "protect scrub"),
            ("FETCH ALL FROM c", "recall c"),
            ("EXECUTE p", "recall p"),
            ("TRUNCATE customers", "protect scrub"),
            ("REINDEX TABLE customers", "protect scrub"),
            ("VACUUM customers", "protect scrub"),
            ("LOCK TABLE customers", "pass"),
            ("GRANT SELECT ON customers TO bill", "pass"),
        ],
    );
    all(
        "dora",
        &[("SELECT email FROM customers", "protect"), ("TRUNCATE customers", "pass"), ("VACUUM customers", "pass")],
    );
}

#[test]
fn roles_that_the_policy_knows_people_by_are_not_handed_out() {
    let mut database = Database::shop();
    database.catalog.add_memberships(name("deputy"), [name("dora")].into());
    let snapshot = database.snapshot();
    let refused = |command: &str| {
        format!("pgveil: {command} is not permitted where it touches protected columns that you do not see in clear")
    };
    for (text, expected) in [
        ("CREATE ROLE clerk LOGIN", "pass".to_owned()),
        ("CREATE ROLE clerk IN ROLE pg_monitor ROLE ann", "pass".to_owned()),
        ("CREATE USER dora SUPERUSER", refused("CREATE ROLE")),
        ("CREATE GROUP clerks ROLE bill", refused("CREATE ROLE")),
        ("CREATE ROLE clerk IN ROLE \"deputy\"", refused("CREATE ROLE")),
        ("CREATE ROLE clerk IN ROLE current_user", refused("CREATE ROLE")),
        ("GRANT clerk TO ann", "pass".to_owned()),
        ("GRANT dora TO ann", refused("GRANT")),
        ("GRANT U&\"d\\006frA\", U&\"d\\006fra\" TO ann", refused("GRANT")),
        ("GRANT deputy TO ann", refused("GRANT")),
        ("ALTER GROUP clerk ADD USER ann", "pass".to_owned()),
        ("ALTER GROUP deputy ADD USER ann", refused("ALTER")),
        ("ALTER ROLE clerk RENAME TO helper", "pass".to_owned()),
        ("ALTER ROLE clerk RENAME TO dora", refused("ALTER")),
        ("ALTER USER dora RENAME TO clerk", refused("ALTER")),
        ("ALTER ROLE clerk PASSWORD 'x'", "pass".to_owned()),
        ("ALTER ROLE dora LOGIN PASSWORD 'x'", refused("ALTER")),
        ("ALTER ROLE deputy ENCRYPTED PASSWORD 'x'", refused("ALTER")),
        ("ALTER USER session_user PASSWORD 'x'", refused("ALTER")),
        ("DO $$ BEGIN GRANT dora TO ann; END $$", refused("DO")),
        ("DO $$ BEGIN CREATE ROLE clerk IN ROLE deputy; END $$", refused("DO")),
        ("DO $$ BEGIN ALTER USER dora PASSWORD 'x'; END $$", refused("DO")),
        ("DO $$ BEGIN ALTER ROLE session_user PASSWORD 'x'; END $$", refused("DO")),
        ("DO $$ BEGIN GRANT clerk TO ann; CREATE ROLE another; END $$", "pass".to_owned()),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'GRANT dora TO ann'", refused("CREATE FUNCTION")),
        ("CREATE PROCEDURE f() LANGUAGE plpgsql AS 'BEGIN GRANT bill TO ann; END'", refused("CREATE FUNCTION")),
        ("ALTER ROLE dora SET datestyle = 'ISO'", "pass".to_owned()),
    ] {
        assert_eq!(verdict("ann", text, &snapshot), expected, "{text}");
        assert_eq!(verdict("dora", text, &snapshot), "pass", "{text}");
    }
    assert_eq!(verdict("bill", "ALTER USER bill PASSWORD 'x'", &snapshot), "pass");
    assert_eq!(verdict("bill", "ALTER USER dora PASSWORD 'x'", &snapshot), refused("ALTER"));
}

#[test]
fn functions_are_made_in_languages_that_are_read() {
    all(
        "ann",
        &[
            ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "pass"),
            ("CREATE FUNCTION f() RETURNS int RETURN 1", "pass"),
            ("CREATE PROCEDURE f() BEGIN ATOMIC SELECT 1; END", "pass"),
            (
                "CREATE FUNCTION f(cstring) RETURNS text LANGUAGE internal AS 'textin'",
                "pgveil: CREATE FUNCTION is not permitted where it touches protected columns that you do not see in clear",
            ),
        ],
    );
}

#[test]
fn filters_are_judged_by_the_mode_of_their_column() {
    let refused = |what: &str, column: &str, tag: &str, line: u32| {
        format!(
            "pgveil: {what} on column public.customers.{column} is not permitted (tag \"{tag}\", rule shop.yaml:{line})"
        )
    };
    let snapshot = Database::shop().snapshot();
    let modes = [("phone", "phone", 6, 0), ("email", "email", 4, 1), ("name", "name", 5, 2), ("notes", "notes", 8, 3)];
    // Each with the lowest mode that permits it: 0 refuse, 1 equality, 2 search, 3 allow.
    let filters = [
        ("SELECT id FROM customers WHERE {c} IS NULL", "", 0),
        ("SELECT count(*) FROM customers GROUP BY {c}", "grouping", 1),
        ("SELECT DISTINCT {c} FROM customers", "grouping", 1),
        ("SELECT id FROM customers WHERE {c} = 'x'", "a comparison by equality", 1),
        ("SELECT id FROM customers WHERE {c} = $1", "a comparison by equality", 1),
        ("SELECT id FROM customers WHERE {c} IN ('x', 'y')", "a comparison by equality", 1),
        ("SELECT a.id FROM customers a JOIN customers b ON a.{c} = b.{c}", "a comparison with another column", 1),
        ("SELECT id FROM customers WHERE {c} LIKE 'x%'", "a search by prefix", 2),
        ("SELECT id FROM customers WHERE {c} LIKE '%x'", "a search by pattern", 2),
        ("SELECT id FROM customers WHERE {c} > 'x'", "a comparison by range", 2),
        ("SELECT id FROM customers ORDER BY {c}", "sorting", 2),
        ("SELECT id FROM customers WHERE length({c}) = 3", "a condition", 3),
    ];
    for (column, tag, line, mode) in modes {
        for (text, what, least) in filters {
            let text = text.replace("{c}", column);
            let judgement = judged("ann", &text, &snapshot);
            let looks = match &judgement.verdict {
                Verdict::Protect(protection) => protection.looks.to_vec(),
                Verdict::Pass | Verdict::Refuse(_) | Verdict::Recall(_) | Verdict::RecallPlan(_) => Vec::new(),
            };
            let permitted = looks.iter().any(|look| &*look.tag == tag && look.times > 0);
            let expected = if least <= mode { "protect scrub".to_owned() } else { refused(what, column, tag, line) };
            assert_eq!(shown(&judgement.verdict), expected, "{text}");
            assert_eq!(permitted, least <= mode && !what.is_empty(), "{text}");
            let clear = judged("dora", &text, &snapshot).verdict;
            assert!(matches!(&clear, Verdict::Protect(clear) if clear.looks.is_empty()), "{text}");
        }
    }
}

#[test]
fn joins_are_between_columns_of_one_tag() {
    let snapshot = Database::shop().snapshot();
    let join = |left: &str, right: &str| {
        let text = format!("SELECT 1 FROM customers c, orders o, parts p WHERE {left} = {right}");
        verdict("ann", &text, &snapshot)
    };
    assert_eq!(join("c.email", "o.customer_email"), "protect scrub");
    assert_eq!(join("o.customer_email", "c.email"), "protect scrub");
    for (left, right) in [("c.email", "p.title"), ("p.title", "c.email"), ("c.email", "c.name"), ("c.name", "c.email")]
    {
        assert!(join(left, right).contains("a comparison with another column"), "{left} {right}");
    }
}

#[test]
fn denied_columns_are_refused_in_any_use_but_counting() {
    let denied = "pgveil: permission denied for column public.customers.card (tag \"card\", rule shop.yaml:20)";
    let mut cases = vec![
        ("SELECT count(card) FROM customers", "protect scrub"),
        ("SELECT id FROM customers WHERE card IS NOT NULL", "protect scrub"),
        ("SELECT email FROM customers", "protect scrub"),
        ("UPDATE customers SET card = 'x'", "protect scrub"),
    ];
    for text in [
        "SELECT card FROM customers",
        "SELECT * FROM customers",
        "SELECT c FROM customers c",
        "SELECT lower(card) FROM customers",
        "SELECT id FROM customers WHERE card = 'x'",
        "SELECT id FROM customers GROUP BY id, card",
        "INSERT INTO scratch (t) SELECT card FROM customers",
        "DELETE FROM customers RETURNING card",
        "CREATE TABLE x AS SELECT card FROM customers",
    ] {
        cases.push((text, denied));
    }
    all("bill", &cases);
}

#[test]
fn tagged_values_are_stored_under_their_own_tag_only() {
    let elsewhere =
        "pgveil: values of column public.customers.email may not be stored elsewhere (tag \"email\", rule shop.yaml:4)";
    all(
        "ann",
        &[
            ("INSERT INTO orders (customer_email) SELECT email FROM customers", "protect scrub"),
            ("UPDATE orders SET customer_email = c.email FROM customers c WHERE c.id = customer_id", "protect scrub"),
            ("INSERT INTO orders (customer_email) SELECT lower(email) FROM customers", elsewhere),
            ("INSERT INTO customers (name) SELECT email FROM customers", elsewhere),
            ("INSERT INTO scratch (t) SELECT email FROM customers", elsewhere),
            ("INSERT INTO scratch (n) SELECT count(email) FROM customers", "protect scrub"),
            ("WITH w AS (INSERT INTO scratch (t) SELECT email FROM customers) SELECT 1", elsewhere),
            ("CREATE TABLE x AS SELECT email FROM customers", elsewhere),
            ("CREATE VIEW x AS SELECT email FROM customers", elsewhere),
            ("CREATE VIEW x AS SELECT tenant FROM customers", "protect scrub"),
            ("SELECT email INTO x FROM customers", elsewhere),
        ],
    );
    all("dora", &[("INSERT INTO scratch (t) SELECT email FROM customers", "protect")]);
    // A rule for the one column that is looser than that for the other is no way around.
    let looser =
        "pgveil: values of column public.customers.email may not be stored elsewhere (tag \"email\", rule shop.yaml:4)";
    all("carl", &[("INSERT INTO orders (customer_email) SELECT email FROM customers", looser)]);
}

#[test]
fn a_stored_value_of_unknown_origin_may_be_any() {
    let unknown =
        "pgveil: a statement that may touch protected data is not understood: a value that is stored is not followed";
    all(
        "ann",
        &[
            ("INSERT INTO scratch (t) SELECT missing FROM nowhere, customers", unknown),
            ("CREATE TABLE x AS SELECT missing FROM nowhere, customers", unknown),
        ],
    );
    all("dora", &[("INSERT INTO scratch (t) SELECT missing FROM nowhere, customers", "protect")]);
}

#[test]
fn copy_to_the_client_is_protected_and_to_the_server_refused() {
    let refused = |what: &str| {
        format!(
            "pgveil: COPY of {what} is not permitted, because it holds protected columns that you do not see in clear"
        )
    };
    let (query, table) = (refused("a query"), refused("customers"));
    let unseen = |why: &str| {
        format!(
            "pgveil: COPY to customers is not permitted like this: masks among its rows could not be seen, because {why}"
        )
    };
    let (encoding, options) = (unseen("of their encoding"), unseen("its options are not of ASCII alone"));
    let common = [
        ("COPY customers TO '/tmp/x'", &*table),
        ("COPY customers (id) TO '/tmp/x'", &table),
        ("COPY (SELECT email FROM customers) TO '/tmp/x'", &query),
        ("COPY (SELECT id FROM customers) TO PROGRAM 'x'", &query),
    ];
    all("ann", &common);
    all("dora", &common);
    all(
        "ann",
        &[
            ("COPY customers TO STDOUT", "protect scrub"),
            ("COPY customers (email) TO STDOUT (FORMAT binary)", "protect scrub"),
            ("COPY (SELECT lower(email) FROM customers) TO STDOUT CSV", "protect scrub"),
            ("COPY customers (id, tenant) TO STDOUT", "protect scrub"),
            ("COPY (SELECT id, count(email) FROM customers GROUP BY id) TO STDOUT", "protect scrub"),
            ("COPY customers TO STDOUT (ENCODING 'LATIN1')", "protect scrub"),
            (
                "COPY customers TO STDOUT (ENCODING 'sjis')",
                "pgveil: COPY of customers in this encoding is not permitted, because its protected columns can not be masked",
            ),
            // Its rows are looked at when they come.
            ("COPY customers FROM STDIN", "protect scrub"),
            ("COPY customers (tenant) FROM STDIN", "protect scrub"),
            (
                "COPY customers (email) FROM STDIN (FORMAT csv, HEADER) WHERE email LIKE 'a%' OR tenant > 1",
                "protect scrub",
            ),
            ("COPY public.parts FROM STDIN", "pass"),
            ("COPY customers FROM '/tmp/x'", &table),
            ("COPY customers FROM STDIN (COMPRESSION zstd)", &table),
            ("COPY customers (tenant) FROM STDIN (COMPRESSION zstd)", "protect scrub"),
            ("COPY customers FROM STDIN (ENCODING 'sjis')", &encoding),
            ("COPY customers FROM STDIN (NULL 'é')", &options),
            ("COPY customers (tenant) FROM STDIN (ENCODING 'sjis')", "protect scrub"),
        ],
    );
    all(
        "dora",
        &[
            ("COPY customers FROM STDIN", "pass"),
            ("COPY customers TO STDOUT", "protect"),
            ("COPY customers TO STDOUT (ENCODING 'sjis')", "protect"),
        ],
    );
}

#[test]
fn kinds_that_may_do_anything_are_refused_where_they_touch_tagged_data() {
    let kind = |what: &str| {
        format!("pgveil: {what} is not permitted where it touches protected columns that you do not see in clear")
    };
    let snapshot = {
        let mut database = Database::shop();
        database.function("peek", "text", "sql", Some("SELECT email FROM customers"));
        database.function("dyn", "text", "plpgsql", Some("BEGIN EXECUTE q; END"));
        database.snapshot()
    };
    for (text, what) in [
        ("DO $$ BEGIN PERFORM email FROM customers; END $$", "DO"),
        ("DO $$ BEGIN EXECUTE 'x'; END $$", "DO"),
        ("CALL peek()", "CALL"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT email FROM customers'", "CREATE FUNCTION"),
        ("CREATE TRIGGER x AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION f()", "CREATE TRIGGER"),
        ("CREATE RULE r AS ON UPDATE TO scratch DO ALSO SELECT email FROM customers", "CREATE RULE"),
        ("CREATE OPERATOR CLASS x FOR TYPE int4 USING btree AS STORAGE int4", "CREATE OPERATOR or CREATE CAST"),
        ("CREATE TABLE x (b text DEFAULT peek())", "CREATE TABLE"),
        ("EXPLAIN ANALYZE SELECT email FROM customers", "EXPLAIN ANALYZE"),
        ("EXPLAIN ANALYZE EXECUTE p", "EXPLAIN"),
        ("EXPLAIN (\"analyze\", costs off) EXECUTE p", "EXPLAIN"),
        ("EXPLAIN EXECUTE p(peek())", "EXPLAIN"),
        ("CREATE TABLE x AS EXECUTE p", "CREATE TABLE AS"),
        ("CREATE OPERATOR === (LEFTARG = int4, RIGHTARG = int4, FUNCTION = same)", "CREATE OPERATOR or CREATE CAST"),
        ("CREATE CAST (text AS int4) WITH FUNCTION f(text)", "CREATE OPERATOR or CREATE CAST"),
    ] {
        assert_eq!(verdict("ann", text, &snapshot), kind(what), "{text}");
        assert!(matches!(judged("dora", text, &snapshot).verdict, Verdict::Pass | Verdict::Protect(_)), "{text}");
    }
    assert_eq!(
        verdict("ann", "SELECT dyn('x')", &snapshot),
        "pgveil: function dyn is not permitted, because it can read protected columns past their masks"
    );
    assert_eq!(
        verdict("ann", "EXPLAIN SELECT peek()", &snapshot),
        "pgveil: function peek is not permitted, because it can read protected columns past their masks"
    );
}

#[test]
fn refusals_say_what_to_do() {
    let snapshot = Database::shop().snapshot();
    for (user, text, code, reason) in [
        ("bill", "SELECT card FROM customers", "42501", RefusalReason::Denied),
        ("ann", "SELECT id FROM customers WHERE phone = 'x'", "42501", RefusalReason::Filter),
        ("ann", "INSERT INTO scratch (t) SELECT email FROM customers", "42501", RefusalReason::Write),
        ("ann", "SELECT FROM WHERE customers", "0A000", RefusalReason::NotUnderstood),
        ("ann", "ALTER TABLE customers ALTER email SET EXPRESSION AS ('x')", "42501", RefusalReason::Kind),
        ("ann", "SELECT query_to_xml('x', true, true, '')", "42501", RefusalReason::Function),
        ("ann", "COPY customers TO '/tmp/x'", "42501", RefusalReason::Copy),
        ("ann", "SET standard_conforming_strings = off", "42501", RefusalReason::Setting),
    ] {
        let Verdict::Refuse(refusal) = judged(user, text, &snapshot).verdict else { panic!("not refused: {text}") };
        assert_eq!((refusal.code, refusal.reason), (code, reason), "{text}");
        assert!(refusal.message.starts_with("pgveil: ") && refusal.hint.ends_with('.'), "{text}");
    }
}

#[test]
fn settings_that_change_how_text_is_read_are_refused_for_everyone() {
    for user in ["ann", "dora"] {
        all(
            user,
            &[
                ("SET standard_conforming_strings = on", "pass"),
                ("SET search_path = x", "pass"),
                (
                    "SET LOCAL standard_conforming_strings TO 'off'",
                    "pgveil: parameter \"standard_conforming_strings\" can not be changed to that value",
                ),
            ],
        );
    }
}

#[test]
fn what_reveals_needs_the_access_log() {
    let mut snapshot = Database::shop().snapshot();
    snapshot.access_log_ready = false;
    let refused = "pgveil: protected values can not be shown, because the access log can not be written";
    for (user, text, expected) in [
        ("dora", "SELECT email FROM customers", refused),
        ("dora", "SELECT tenant FROM customers", "protect"),
        ("ann", "SELECT email FROM customers", "protect scrub"),
        ("bill", "SELECT lower(email) FROM customers", refused),
    ] {
        assert_eq!(verdict(user, text, &snapshot), expected, "{user}: {text}");
    }
}

#[test]
fn what_the_transaction_made_is_judged_by_what_it_was_made_of() {
    let snapshot = Database::shop().snapshot();
    let judged = |text: &str, own: &Own| {
        shown(&judge(text, &statement(text, &snapshot), &snapshot, &caller("ann", &snapshot), own).verdict)
    };
    let unknown = "pgveil: a statement that may touch protected data is not understood: something that this transaction made is not followed";
    let text = "SELECT x FROM fresh";
    let mut pending = Own::default();
    pending.pending = true;
    let mut own = pending.clone();
    own.names = BTreeSet::from([name("fresh")]);
    assert_eq!(judged(text, &Own::default()), "protect scrub");
    assert_eq!(judged(text, &pending), unknown);
    assert_eq!(judged(text, &own), "protect scrub");
    assert_eq!(judged("SELECT count(*) FROM fresh", &own), "pass");
    assert_eq!(judged("SELECT x, email FROM fresh, customers", &own), "protect scrub");
    assert!(judged("CALL made_now()", &pending).contains("CALL is not permitted"));
}

#[test]
fn code_that_runs_unnamed_is_looked_at() {
    let mut database = Database::shop();
    let peek = database.function("peek", "text", "sql", Some("SELECT email FROM customers"));
    let harmless = database.function("stamp", "text", "plpgsql", Some("BEGIN NEW.t := 'x'; RETURN NEW; END"));
    let (scratch, parts) = (database.relation_oid("scratch"), database.relation_oid("parts"));
    let ruled = database.table("ruled", "t text");
    let domain = database.domain("checked", "int4");
    let odd = database.table("odd", "v int4");
    let odd_type = database.catalog.relation(odd).unwrap().row_type;
    database.depends(Dependent::Relation(scratch), peek);
    database.depends(Dependent::Relation(parts), harmless);
    database.depends(Dependent::Rule(ruled), peek);
    database.alter(ruled, |relation| relation.has_rules = true);
    database.depends(Dependent::Domain(domain), peek);
    database.depends(Dependent::Operator(name("===")), peek);
    database.depends(Dependent::Cast { source: crate::catalog::Oid(23), target: odd_type }, peek);
    let snapshot = database.snapshot();
    let function = |what: &str| {
        format!("pgveil: function {what} is not permitted, because it can read protected columns past their masks")
    };
    for (text, expected) in [
        ("INSERT INTO scratch (t) VALUES ('x')", "protect scrub"),
        ("COPY scratch FROM STDIN", "protect scrub"),
        ("DELETE FROM scratch", "protect scrub"),
        ("INSERT INTO parts (title) VALUES ('x')", "pass"),
        ("UPDATE ruled SET t = 'x'", "protect scrub"),
        ("SELECT 1::checked", "protect scrub"),
        ("SELECT 1 = 1, '==='", "pass"),
        ("SELECT 1 === 2", &function("===")),
        ("SELECT 1 FROM parts WHERE id === 1", &function("===")),
        ("SELECT 1::odd", &function("odd")),
    ] {
        assert_eq!(verdict("ann", text, &snapshot), expected, "{text}");
        assert!(matches!(judged("dora", text, &snapshot).verdict, Verdict::Pass | Verdict::Protect(_)), "{text}");
    }
    for text in ["INSERT INTO scratch VALUES ('x')", "SELECT 1 === 2", "SELECT 1::odd", "SELECT 1::checked"] {
        assert_eq!(snapshot.inventory.scan(text.as_bytes()), crate::plan::Scan::Look, "{text}");
    }
}

#[test]
fn equality_that_users_have_redefined_is_no_equality() {
    let mut database = Database::shop();
    let same = database.function("same", "bool", "plpgsql", Some("BEGIN RAISE NOTICE '%', $1; RETURN true; END"));
    database.depends(Dependent::Operator(name("=")), same);
    let snapshot = database.snapshot();
    let text = "SELECT 1 FROM customers WHERE email = 'x'";
    assert!(verdict("ann", text, &snapshot).contains("is not permitted"));
    assert_eq!(verdict("dora", text, &snapshot), "protect");
    assert_eq!(verdict("ann", "SELECT 1 FROM parts WHERE title = 'x'", &snapshot), "pass");
    assert_eq!(verdict("ann", "SELECT 1 FROM customers GROUP BY email", &snapshot), "protect scrub");
}

#[test]
fn no_power_is_handed_out_because_its_words_are_harmless() {
    let snapshot = Database::shop().snapshot();
    for text in [
        "UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'",
        "MERGE INTO pg_settings USING parts ON true WHEN MATCHED THEN UPDATE SET setting = 'off'",
    ] {
        assert_eq!(snapshot.inventory.scan(text.as_bytes()), crate::plan::Scan::Look, "{text}");
        assert!(verdict("ann", text, &snapshot).contains("is not permitted"), "{text}");
    }
}

#[test]
fn what_is_added_to_a_stored_value_stays_with_it_where_no_letter_of_it_is_shown() {
    let elsewhere = "may not be stored elsewhere";
    for (text, expected) in [
        ("UPDATE customers SET notes = notes || ' called'", "protect scrub"),
        ("UPDATE customers SET notes = 'called ' || notes WHERE id = 1", "protect scrub"),
        ("UPDATE customers SET name = lower(name)", "protect scrub"),
        ("UPDATE customers SET notes = notes || name", elsewhere),
        ("UPDATE customers SET notes = name || ''", elsewhere),
        ("UPDATE customers SET email = 'x@' || email", elsewhere),
        ("UPDATE customers SET card = card || '0'", elsewhere),
        ("INSERT INTO customers (notes) SELECT notes || ' called' FROM customers", elsewhere),
        ("UPDATE parts SET title = notes || '' FROM customers c", elsewhere),
    ] {
        let snapshot = Database::shop().snapshot();
        let said = verdict("ann", text, &snapshot);
        assert!(said == expected || said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn a_text_that_can_not_be_split_passes_only_where_it_names_nothing_tagged() {
    let snapshot = Database::shop().snapshot();
    let ann = caller("ann", &snapshot);
    let judged = |why, words: &[&str], user| {
        let words = words.iter().copied().map(name).collect();
        matches!(judge_opaque(why, &words, &snapshot, user).verdict, Verdict::Pass)
    };
    assert!(judged(NotUnderstood::Lexical, &["select", "parts"], &ann));
    assert!(!judged(NotUnderstood::Lexical, &["select", "customers"], &ann));
    assert!(!judged(NotUnderstood::Encoding, &["select", "parts"], &ann));
    assert!(!judged(NotUnderstood::TooLarge, &[], &ann));
    assert!(judged(NotUnderstood::Encoding, &["customers"], &caller("dora", &snapshot)));
}
