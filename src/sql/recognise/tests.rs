use super::*;
use crate::catalog::Name;
use crate::sql::lexer::Lexer;
use crate::sql::tree::ObjectName;
use StatementKind as Kind;

/// Kind and inner query's text.
fn recognised(text: &str) -> (Recognised, Option<String>) {
    let tokens = Lexer::tokens(text, 10_000).unwrap();
    let found = recognise(&tokens);
    let query = match &found.query {
        InnerQuery::Tokens(range) => {
            let inner = &tokens[range.clone()];
            Some(inner.first().map_or(String::new(), |first| text[first.start..inner.last().unwrap().end].to_owned()))
        }
        InnerQuery::None => None,
        InnerQuery::NotUnderstood(reason) => Some(format!("!{reason}")),
    };
    (found, query)
}

#[test]
fn every_command_of_the_manual_has_its_kind() {
    for (text, kind) in [
        ("ABORT", Kind::Rollback),
        ("ALTER TABLE t ADD c int", Kind::Alter),
        ("ALTER SYSTEM SET x = 1", Kind::Alter),
        ("ANALYZE t", Kind::Analyze),
        ("ANALYSE VERBOSE t", Kind::Analyze),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, DEFERRABLE", Kind::Begin),
        ("CALL p(1)", Kind::Call),
        ("CHECKPOINT", Kind::Checkpoint),
        ("CLOSE c", Kind::CloseCursor),
        ("CLUSTER t USING i", Kind::Cluster),
        ("COMMENT ON TABLE t IS 'x'", Kind::Comment),
        ("COMMIT AND CHAIN", Kind::Commit),
        ("COMMIT PREPARED 'x'", Kind::PrepareTransaction),
        ("COPY t FROM STDIN", Kind::Copy),
        ("CREATE ACCESS METHOD m TYPE INDEX HANDLER h", Kind::CreateOther),
        ("CREATE AGGREGATE a(int) (sfunc = f, stype = int)", Kind::CreateOther),
        ("CREATE CAST (a AS b) WITH FUNCTION f(a)", Kind::CreateOther),
        ("CREATE COLLATION c (locale = 'C')", Kind::CreateOther),
        ("CREATE DEFAULT CONVERSION c FOR 'a' TO 'b' FROM f", Kind::CreateOther),
        ("CREATE DATABASE d", Kind::CreateOther),
        ("CREATE DOMAIN d AS text", Kind::CreateOther),
        ("CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()", Kind::CreateTrigger),
        ("CREATE EXTENSION hstore", Kind::CreateOther),
        ("CREATE FOREIGN DATA WRAPPER w", Kind::CreateOther),
        ("CREATE FOREIGN TABLE t (a int) SERVER s", Kind::CreateTable),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", Kind::CreateFunction),
        ("CREATE GROUP g", Kind::CreateOther),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY t (a)", Kind::CreateIndex),
        ("CREATE OR REPLACE TRUSTED LANGUAGE l", Kind::CreateOther),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", Kind::CreateMaterializedView),
        ("CREATE OPERATOR === (FUNCTION = f)", Kind::CreateOther),
        ("CREATE OPERATOR CLASS c FOR TYPE t USING btree AS STORAGE t", Kind::CreateOther),
        ("CREATE POLICY p ON t", Kind::CreateOther),
        ("CREATE PROCEDURE p() LANGUAGE sql AS ''", Kind::CreateFunction),
        ("CREATE PUBLICATION p FOR ALL TABLES", Kind::CreateOther),
        ("CREATE ROLE r", Kind::CreateOther),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING", Kind::CreateRule),
        ("CREATE SCHEMA s CREATE TABLE t (a int)", Kind::CreateOther),
        ("CREATE TEMP SEQUENCE s", Kind::CreateOther),
        ("CREATE SERVER s FOREIGN DATA WRAPPER w", Kind::CreateOther),
        ("CREATE STATISTICS s ON a, b FROM t", Kind::CreateOther),
        ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", Kind::CreateOther),
        ("CREATE UNLOGGED TABLE t (a int DEFAULT 1 GENERATED ALWAYS AS (1) STORED)", Kind::CreateTable),
        ("CREATE TABLE t PARTITION OF p FOR VALUES IN (1)", Kind::CreateTable),
        ("CREATE TABLESPACE t LOCATION '/x'", Kind::CreateOther),
        ("CREATE TEXT SEARCH CONFIGURATION c (COPY = english)", Kind::CreateOther),
        ("CREATE TRANSFORM FOR t LANGUAGE l (FROM SQL WITH FUNCTION f(internal))", Kind::CreateOther),
        ("CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", Kind::CreateTrigger),
        ("CREATE TYPE t AS (a int)", Kind::CreateOther),
        ("CREATE USER MAPPING FOR u SERVER s", Kind::CreateOther),
        ("CREATE VIEW v AS SELECT 1", Kind::CreateView),
        ("DEALLOCATE ALL", Kind::Deallocate),
        ("DECLARE c CURSOR FOR SELECT 1", Kind::DeclareCursor),
        ("DELETE FROM t", Kind::Delete),
        ("DISCARD ALL", Kind::Discard),
        ("DO $$begin end$$", Kind::Do),
        ("DROP OWNED BY r", Kind::Drop),
        ("END", Kind::Commit),
        ("EXECUTE p(1)", Kind::Execute),
        ("EXPLAIN SELECT 1", Kind::Explain),
        ("FETCH ALL IN c", Kind::Fetch),
        ("GRANT SELECT ON t TO r", Kind::Grant),
        ("IMPORT FOREIGN SCHEMA s FROM SERVER v INTO x", Kind::ImportForeignSchema),
        ("INSERT INTO t DEFAULT VALUES", Kind::Insert),
        ("LISTEN x", Kind::Listen),
        ("LOAD 'lib'", Kind::Load),
        ("LOCK t", Kind::Lock),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", Kind::Merge),
        ("MOVE 5 FROM c", Kind::Move),
        ("NOTIFY x, 'y'", Kind::Notify),
        ("PREPARE p AS SELECT 1", Kind::Prepare),
        ("PREPARE TRANSACTION 'x'", Kind::PrepareTransaction),
        ("REASSIGN OWNED BY a TO b", Kind::ReassignOwned),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", Kind::RefreshMaterializedView),
        ("REINDEX (VERBOSE) TABLE CONCURRENTLY t", Kind::Reindex),
        ("RELEASE SAVEPOINT s", Kind::ReleaseSavepoint),
        ("RESET ALL", Kind::Reset),
        ("REVOKE ALL ON t FROM r", Kind::Revoke),
        ("ROLLBACK", Kind::Rollback),
        ("ROLLBACK PREPARED 'x'", Kind::PrepareTransaction),
        ("ROLLBACK WORK TO SAVEPOINT s", Kind::RollbackToSavepoint),
        ("SAVEPOINT s", Kind::Savepoint),
        ("SECURITY LABEL ON TABLE t IS 'x'", Kind::SecurityLabel),
        ("SELECT 1", Kind::Select),
        ("SET x TO 1", Kind::Set),
        ("SET CONSTRAINTS ALL DEFERRED", Kind::SetConstraints),
        ("SET ROLE r", Kind::SetRole),
        ("SET SESSION AUTHORIZATION DEFAULT", Kind::SetRole),
        ("SET TRANSACTION READ ONLY", Kind::SetTransaction),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Kind::SetTransaction),
        ("SHOW ALL", Kind::Show),
        ("START TRANSACTION", Kind::Begin),
        ("TABLE t", Kind::Table),
        ("TRUNCATE ONLY t", Kind::Truncate),
        ("UNLISTEN *", Kind::Unlisten),
        ("UPDATE t SET a = 1", Kind::Update),
        ("VACUUM (ANALYZE) t", Kind::Vacuum),
        ("VALUES (1)", Kind::Values),
        ("FROBNICATE t", Kind::Unrecognised),
        ("CREATE FROBNICATION t", Kind::Unrecognised),
        ("\"select\" 1", Kind::Unrecognised),
        ("1", Kind::Unrecognised),
    ] {
        assert_eq!(recognised(text).0.kind, kind, "{text}");
    }
}

#[test]
fn the_query_inside_is_found() {
    for (text, kind, query) in [
        ("((SELECT 1))", Kind::Select, "((SELECT 1))"),
        ("(VALUES (1)) UNION SELECT 2", Kind::Values, "(VALUES (1)) UNION SELECT 2"),
        ("WITH a AS (SELECT 1), b(x) AS NOT MATERIALIZED (SELECT 2) INSERT INTO t TABLE a", Kind::Insert, ""),
        (
            "WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY x, y SET z CYCLE x SET c USING p DELETE FROM t",
            Kind::Delete,
            "",
        ),
        ("WITH insert AS (SELECT 1) SELECT * FROM insert", Kind::Select, ""),
        ("WITH recursive AS (SELECT 1) TABLE recursive", Kind::Table, ""),
        ("WITH \"a\" AS (SELECT 1) (WITH b AS (SELECT 2) UPDATE t SET a = 1)", Kind::Update, ""),
        ("EXPLAIN SELECT 1", Kind::Explain, "SELECT 1"),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", Kind::Explain, "SELECT 1"),
        ("EXPLAIN (ANALYZE, COSTS off) (SELECT 1)", Kind::Explain, "(SELECT 1)"),
        ("EXPLAIN (SELECT 1)", Kind::Explain, "(SELECT 1)"),
        ("EXPLAIN ((VALUES (1)))", Kind::Explain, "((VALUES (1)))"),
        ("EXPLAIN DECLARE c CURSOR FOR SELECT 1", Kind::Explain, "SELECT 1"),
        ("EXPLAIN CREATE TABLE t AS SELECT 1 WITH NO DATA", Kind::Explain, "SELECT 1"),
        ("EXPLAIN EXPLAIN SELECT 1", Kind::Explain, "!EXPLAIN of this command is not followed"),
        (
            "DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1 FOR UPDATE",
            Kind::DeclareCursor,
            "SELECT 1 FOR UPDATE",
        ),
        ("PREPARE p (int, numeric(10, 2)) AS SELECT $1", Kind::Prepare, "SELECT $1"),
        ("CREATE TEMP TABLE t AS SELECT 1", Kind::CreateTableAs, "SELECT 1"),
        (
            "CREATE TABLE IF NOT EXISTS s.t (a, b) USING heap WITH (x = 1) ON COMMIT DROP AS TABLE u WITH DATA",
            Kind::CreateTableAs,
            "TABLE u",
        ),
        ("CREATE TABLE t AS VALUES (1)", Kind::CreateTableAs, "VALUES (1)"),
        (
            "CREATE OR REPLACE TEMP VIEW v (a) WITH (security_barrier) AS SELECT 1 WITH LOCAL CHECK OPTION",
            Kind::CreateView,
            "SELECT 1",
        ),
        ("CREATE RECURSIVE VIEW v (a) AS SELECT 1", Kind::CreateView, "!CREATE RECURSIVE VIEW is not followed"),
        (
            "CREATE MATERIALIZED VIEW IF NOT EXISTS m TABLESPACE x AS SELECT 1 WITH NO DATA",
            Kind::CreateMaterializedView,
            "SELECT 1",
        ),
        ("COPY (SELECT 1) TO STDOUT", Kind::Copy, "SELECT 1"),
        ("COPY (UPDATE t SET a = 1 RETURNING (b)) TO 'f'", Kind::Copy, "UPDATE t SET a = 1 RETURNING (b)"),
    ] {
        let (found, inner) = recognised(text);
        assert_eq!(found.kind, kind, "{text}");
        let expected = if query.is_empty() { text } else { query };
        assert_eq!(inner.as_deref(), Some(expected), "{text}");
    }
}

fn named(name: &str) -> Option<Name> {
    Some(Name::exact(name))
}

fn object(name: &str) -> Detail {
    let mut parts = name.rsplit('.').map(Name::exact);
    Detail::Object(Some(ObjectName { name: parts.next().unwrap(), schema: parts.next(), database: parts.next() }))
}

#[test]
fn details_are_told() {
    let setting = |name: &str, value: Option<&str>| Detail::Setting(named(name), value.map(str::to_owned));
    for (text, detail) in [
        ("DECLARE \"C\" CURSOR FOR SELECT 1", Detail::Cursor(named("C"))),
        ("FETCH c", Detail::Cursor(named("c"))),
        ("FETCH FORWARD 10 FROM C", Detail::Cursor(named("c"))),
        ("MOVE NEXT IN c", Detail::Cursor(named("c"))),
        ("CLOSE ALL", Detail::Cursor(None)),
        ("CLOSE \"all\"", Detail::Cursor(named("all"))),
        ("PREPARE p AS SELECT 1", Detail::Prepared(named("p"))),
        ("EXECUTE p", Detail::Prepared(named("p"))),
        ("EXPLAIN ANALYZE EXECUTE p(1)", Detail::Prepared(named("p"))),
        ("CREATE TABLE t AS EXECUTE p", Detail::Prepared(named("p"))),
        ("DEALLOCATE PREPARE p", Detail::Prepared(named("p"))),
        ("DEALLOCATE prepare", Detail::Prepared(named("prepare"))),
        ("DEALLOCATE ALL", Detail::Prepared(None)),
        ("SET search_path TO S", setting("search_path", Some("s"))),
        ("SET search_path = a, b", setting("search_path", None)),
        ("SET SESSION x.Y = 'v'", setting("x.y", Some("v"))),
        ("SET LOCAL a TO -1", setting("a", Some("-1"))),
        ("SET TIME ZONE 'UTC'", setting("timezone", Some("UTC"))),
        ("SET TIME ZONE INTERVAL '1' HOUR", setting("timezone", None)),
        ("SET NAMES 'LATIN1'", setting("client_encoding", Some("LATIN1"))),
        ("SET SCHEMA 's'", setting("search_path", Some("s"))),
        ("SET \"Client_Encoding\" = utf8", setting("client_encoding", Some("utf8"))),
        ("SET ROLE r", setting("role", Some("r"))),
        ("SET LOCAL ROLE 'r'", setting("role", Some("r"))),
        ("SET \"ROLE\" TO r", setting("role", Some("r"))),
        ("SET SESSION SESSION AUTHORIZATION r", setting("session_authorization", Some("r"))),
        ("SET session_authorization = r", setting("session_authorization", Some("r"))),
        ("SET SESSION AUTHORIZATION 'r'", setting("session_authorization", Some("r"))),
        ("RESET SESSION AUTHORIZATION", setting("session_authorization", None)),
        ("RESET x", setting("x", None)),
        ("RESET ALL", Detail::Setting(None, None)),
        ("SHOW TIME ZONE", setting("timezone", None)),
        ("SHOW TRANSACTION ISOLATION LEVEL", setting("transaction_isolation", None)),
        ("EXPLAIN ANALYSE SELECT 1", Detail::Explain { analyze: true }),
        ("EXPLAIN (ANALYZE) SELECT 1", Detail::Explain { analyze: true }),
        ("EXPLAIN (ANALYZE true) SELECT 1", Detail::Explain { analyze: true }),
        ("EXPLAIN (COSTS off, ANALYZE 'off') SELECT 1", Detail::Explain { analyze: false }),
        ("EXPLAIN (VERBOSE) SELECT 1", Detail::Explain { analyze: false }),
        ("ALTER TABLE IF EXISTS ONLY s.t ADD c int", object("s.t")),
        ("ALTER MATERIALIZED VIEW m RENAME TO n", object("m")),
        ("ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y", Detail::Object(None)),
        ("ALTER ROLE r SET x = 1", Detail::Object(None)),
        ("DROP TABLE IF EXISTS a, b", object("a")),
        ("CREATE TABLE IF NOT EXISTS t (a int)", object("t")),
        ("CREATE TABLE t AS SELECT 1", object("t")),
        ("CREATE INDEX ON ONLY s.t (a)", object("s.t")),
        ("CREATE TRIGGER g BEFORE UPDATE OF a, b ON t EXECUTE FUNCTION f()", object("t")),
        ("CREATE RULE r AS ON SELECT TO d.s.t DO INSTEAD NOTHING", object("d.s.t")),
        ("TRUNCATE TABLE ONLY t", object("t")),
        ("TRUNCATE only", object("only")),
        ("LOCK TABLE t IN SHARE MODE", object("t")),
        ("LOCK TABLE ONLY (t)", object("t")),
        ("VACUUM FULL FREEZE VERBOSE ANALYZE t", object("t")),
        ("VACUUM", Detail::Object(None)),
        ("ANALYZE (VERBOSE) t (a)", object("t")),
        ("REFRESH MATERIALIZED VIEW m", object("m")),
        ("REINDEX TABLE t", object("t")),
        ("REINDEX DATABASE d", Detail::Object(None)),
    ] {
        assert_eq!(recognised(text).0.detail, detail, "{text}");
    }
}

#[test]
fn copy_tells_direction_and_other_end() {
    for (text, table, columns, inward, server_side) in [
        ("COPY t FROM STDIN", Some("t"), vec![], true, false),
        ("COPY s.t (a, \"B\") TO STDOUT WITH (FORMAT csv)", Some("s.t"), vec!["a", "B"], false, false),
        ("COPY BINARY t TO stdout", Some("t"), vec![], false, false),
        ("COPY binary FROM STDIN", Some("binary"), vec![], true, false),
        ("COPY t FROM '/f' WITH CSV", Some("t"), vec![], true, true),
        ("COPY t TO PROGRAM 'cat'", Some("t"), vec![], false, true),
        ("COPY (SELECT 1) TO STDOUT", None, vec![], false, false),
        ("COPY t FROM STDIN WHERE a > 1", Some("t"), vec![], true, false),
    ] {
        let Detail::Object(table) = table.map_or(Detail::Object(None), object) else { unreachable!() };
        let columns: Vec<_> = columns.into_iter().map(Name::exact).collect();
        let Detail::Copy(copy) = recognised(text).0.detail else { panic!("not a COPY: {text}") };
        assert_eq!((&copy.table, &copy.columns), (&table, &columns), "{text}");
        assert_eq!((copy.inward, copy.server_side), (inward, server_side), "{text}");
    }
}

fn statements(text: &str) -> Result<Vec<&str>, NotUnderstood> {
    let tokens = Lexer::tokens(text, 10_000)?;
    let ranges = split(&tokens, 100)?;
    Ok(ranges.into_iter().map(|range| &text[tokens[range.start].start..tokens[range.end - 1].end]).collect())
}

#[test]
fn texts_are_split_where_the_server_splits_them() {
    for (text, expected) in [
        ("", vec![]),
        (" ; ;-- x\n;", vec![]),
        ("SELECT 1; ;SELECT ';' -- ;\n", vec!["SELECT 1", "SELECT ';'"]),
        ("SELECT 1 END; SELECT ssn FROM people", vec!["SELECT 1 END", "SELECT ssn FROM people"]),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            vec!["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 1 AS end; END; SELECT 2",
            vec![
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 1 AS end; END",
                "SELECT 2",
            ],
        ),
        (
            "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 case; END; SELECT ssn, 1 end",
            vec!["CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 case; END", "SELECT ssn, 1 end"],
        ),
        (
            "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END; SELECT 1",
            vec!["CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC END", "SELECT 1"],
        ),
        ("SELECT * FROM begin atomic; SELECT 1; END", vec!["SELECT * FROM begin atomic", "SELECT 1", "END"]),
        ("BEGIN; SELECT 1; END", vec!["BEGIN", "SELECT 1", "END"]),
    ] {
        assert_eq!(statements(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_body_whose_end_is_not_certain_is_not_understood() {
    let text = "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 FROM begin atomic; END; SELECT ssn FROM people; END";
    assert!(matches!(statements(text), Err(NotUnderstood::Construct(_))));
    assert_eq!(statements(&"SELECT 1;".repeat(101)), Err(NotUnderstood::TooLarge));
}

proptest::proptest! {
    #[test]
    fn splitting_loses_nothing(text in "(SELECT|1|;|\\(|\\)|'a;b'|CREATE FUNCTION|BEGIN ATOMIC|END|CASE|--;\n|/*;*/| ){0,24}") {
        let Ok(tokens) = Lexer::tokens(&text, 10_000) else { return Ok(()) };
        let Ok(ranges) = split(&tokens, 100) else { return Ok(()) };
        let mut at = 0;
        for range in ranges.into_iter().chain(std::iter::once(tokens.len()..tokens.len())) {
            proptest::prop_assert!(range.start >= at);
            proptest::prop_assert!(tokens[at..range.start].iter().all(|token| token.is_mark(Mark::Semicolon)));
            at = range.end;
        }
    }

    #[test]
    fn no_tokens_panic(text in "([a-zA-Z]{1,3}|WITH|AS|CREATE|TABLE|VIEW|EXPLAIN|COPY|SET|PREPARE|DECLARE|CURSOR|FOR|\\(|\\)|,|\\.|'x'|1| ){0,20}") {
        if let Ok(tokens) = Lexer::tokens(&text, 10_000) {
            recognise(&tokens);
        }
    }
}
