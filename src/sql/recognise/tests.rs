use super::*;
use crate::catalog::Name;
use crate::sql::lexer::Lexer;
use crate::sql::statement::{Change, Columns, Element};
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
        InnerQuery::Pieces(pieces) => {
            let piece = |piece: &Piece| match piece {
                Piece::Words(words) => (*words).to_owned(),
                Piece::Tokens(range) => {
                    let inner = &tokens[range.clone()];
                    text[inner[0].start..inner.last().unwrap().end].to_owned()
                }
            };
            Some(pieces.iter().map(piece).collect::<Vec<_>>().join(" "))
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
        ("ALTER TABLE t ADD c int", Kind::AlterTable),
        ("ALTER SYSTEM SET x = 1", Kind::AlterOther),
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
        ("CREATE AGGREGATE a(int) (sfunc = f, stype = int)", Kind::CreateAggregate),
        ("CREATE CAST (a AS b) WITH FUNCTION f(a)", Kind::CreateCast),
        ("CREATE COLLATION c (locale = 'C')", Kind::CreateOther),
        ("CREATE DEFAULT CONVERSION c FOR 'a' TO 'b' FROM f", Kind::CreateOther),
        ("CREATE DATABASE d", Kind::CreateOther),
        ("CREATE DOMAIN d AS text", Kind::CreateDomain),
        ("CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()", Kind::CreateTrigger),
        ("CREATE EXTENSION hstore", Kind::CreateExtension),
        ("CREATE FOREIGN DATA WRAPPER w", Kind::CreateServer),
        ("CREATE FOREIGN TABLE t (a int) SERVER s", Kind::CreateForeignTable),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", Kind::CreateFunction),
        ("CREATE GROUP g", Kind::CreateRole),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY t (a)", Kind::CreateIndex),
        ("CREATE OR REPLACE TRUSTED LANGUAGE l", Kind::CreateOther),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", Kind::CreateMaterializedView),
        ("CREATE OPERATOR === (FUNCTION = f)", Kind::CreateOperator),
        ("CREATE OPERATOR CLASS c FOR TYPE t USING btree AS STORAGE t", Kind::CreateOperator),
        ("CREATE POLICY p ON t", Kind::CreatePolicy),
        ("CREATE PROCEDURE p() LANGUAGE sql AS ''", Kind::CreateFunction),
        ("CREATE PUBLICATION p FOR ALL TABLES", Kind::CreatePublication),
        ("CREATE ROLE r", Kind::CreateRole),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING", Kind::CreateRule),
        ("CREATE SCHEMA s CREATE TABLE t (a int)", Kind::CreateSchema),
        ("CREATE TEMP SEQUENCE s", Kind::CreateSequence),
        ("CREATE SERVER s FOREIGN DATA WRAPPER w", Kind::CreateServer),
        ("CREATE STATISTICS s ON a, b FROM t", Kind::CreateStatistics),
        ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", Kind::CreateSubscription),
        ("CREATE UNLOGGED TABLE t (a int DEFAULT 1 GENERATED ALWAYS AS (1) STORED)", Kind::CreateTable),
        ("CREATE TABLE t PARTITION OF p FOR VALUES IN (1)", Kind::CreateTable),
        ("CREATE TABLESPACE t LOCATION '/x'", Kind::CreateOther),
        ("CREATE TEXT SEARCH CONFIGURATION c (COPY = english)", Kind::CreateOther),
        ("CREATE TRANSFORM FOR t LANGUAGE l (FROM SQL WITH FUNCTION f(internal))", Kind::CreateOther),
        ("CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", Kind::CreateTrigger),
        ("CREATE TYPE t AS (a int)", Kind::CreateType),
        ("CREATE USER MAPPING FOR u SERVER s", Kind::CreateServer),
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
        (
            "CREATE RECURSIVE VIEW s.v (a, b) AS SELECT 1 WITH CHECK OPTION",
            Kind::CreateView,
            "WITH RECURSIVE v ( a, b ) AS ( SELECT 1 ) SELECT a, b FROM v",
        ),
        ("CREATE RECURSIVE VIEW v AS SELECT 1", Kind::CreateView, "!CREATE RECURSIVE VIEW is not followed"),
        (
            "CREATE UNIQUE INDEX i ON ONLY s.t USING btree (a DESC, lower(b) text_pattern_ops, (c || 'x')) INCLUDE (d) WHERE a > 1",
            Kind::CreateIndex,
            "SELECT DISTINCT a , lower(b) , (c || 'x') FROM s.t WHERE ( a > 1 )",
        ),
        ("CREATE INDEX ON t ((a, b))", Kind::CreateIndex, "SELECT (a, b) FROM t"),
        ("CREATE INDEX ON t (1 + a)", Kind::CreateIndex, "!the statement can not be parsed"),
        ("CREATE STATISTICS s (mcv) ON a, (b || 'x') FROM t", Kind::CreateStatistics, "SELECT a, (b || 'x') FROM t"),
        (
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1) NOT VALID",
            Kind::AlterTable,
            "SELECT 1 FROM t WHERE ( (a > 1) )",
        ),
        ("ALTER TABLE t ADD UNIQUE NULLS NOT DISTINCT (a, b)", Kind::AlterTable, "SELECT DISTINCT a , b FROM t"),
        (
            "ALTER TABLE t ADD EXCLUDE USING gist (a WITH =, (lower(b)) WITH =) WHERE (c > 1)",
            Kind::AlterTable,
            "SELECT DISTINCT a , (lower(b)) FROM t WHERE ( (c > 1) )",
        ),
        ("ALTER TABLE t ADD EXCLUDE (a WITH &&)", Kind::AlterTable, "!a constraint of ALTER TABLE is not followed"),
        (
            "ALTER TABLE ONLY t ALTER a TYPE int USING b::int, ALTER COLUMN c SET DATA TYPE text COLLATE x USING d",
            Kind::AlterTable,
            "UPDATE t SET a = ( b::int ) , c = ( d )",
        ),
        (
            "ALTER TABLE t ADD g text GENERATED ALWAYS AS (lower(a)) STORED, ADD h int CHECK (h > 0) CHECK (h > a)",
            Kind::AlterTable,
            "SELECT (lower(a)) FROM t WHERE ( (h > a) )",
        ),
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
        ("EXPLAIN (\"analyze\") SELECT 1", Detail::Explain { analyze: true }),
        ("EXPLAIN (COSTS off, U&\"\\0061nalyze\" on) SELECT 1", Detail::Explain { analyze: true }),
        ("EXPLAIN (U&\"!0061nalyze\" UESCAPE '!') SELECT 1", Detail::Explain { analyze: true }),
        ("EXPLAIN (COSTS off, ANALYZE 'off') SELECT 1", Detail::Explain { analyze: false }),
        ("EXPLAIN (VERBOSE) SELECT 1", Detail::Explain { analyze: false }),
        ("ALTER INDEX IF EXISTS s.i RENAME TO j", object("s.i")),
        ("ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y", Detail::Object(None)),
        ("ALTER ROLE r SET x = 1", Detail::Object(None)),
        ("DROP TABLE IF EXISTS a, b", object("a")),
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

/// What is made, in short: flags, name, columns.
fn made(text: &str) -> String {
    let Detail::Makes(made) = recognised(text).0.detail else { return "nothing".to_owned() };
    let columns = match made.columns {
        Columns::OfQuery(names) => names.iter().map(Name::to_string).collect::<Vec<_>>().join(","),
        Columns::Listed(elements) => {
            let element = |element: &Element| {
                Some(match element {
                    Element::Column(name) => name.to_string(),
                    Element::Tight(_) => return None,
                    Element::Of(other) => format!("*{}", other.name),
                    Element::Unique(names) => {
                        format!("unique {}", names.iter().map(Name::to_string).collect::<Vec<_>>().join("+"))
                    }
                    Element::Default(name) => format!("default {name}"),
                    Element::Tests => "!".to_owned(),
                })
            };
            elements.iter().filter_map(element).collect::<Vec<_>>().join(",")
        }
        Columns::Unknown => "?".to_owned(),
    };
    let flags = [
        (made.temporary, "temporary "),
        (made.drops_on_commit, "dropped "),
        (made.replaces, "replacing "),
        (!made.filled, "empty "),
    ];
    let flags: String = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect();
    let name = made.name.unwrap();
    let schema = name.schema.map(|schema| format!("{schema}.")).unwrap_or_default();
    format!("{flags}{schema}{}({columns})", name.name)
}

#[test]
fn what_is_made_is_told() {
    for (text, expected) in [
        (
            "CREATE TABLE IF NOT EXISTS t (a int, \"B\" numeric(10, 2) DEFAULT f(1, 2), CONSTRAINT c CHECK (a > 1))",
            "t(a,B,default B,!)",
        ),
        (
            "CREATE TABLE t (LIKE s.u INCLUDING ALL, exclude int, EXCLUDE USING gist (a WITH =), PRIMARY KEY (a))",
            "t(*u,!,exclude,!,unique a)",
        ),
        ("CREATE TABLE t (a int) INHERITS (u, s.v)", "t(!,*u,*v,a)"),
        ("CREATE TABLE t PARTITION OF u (a DEFAULT 1) FOR VALUES IN (1)", "t(*u,!)"),
        ("CREATE TABLE t (a serial PRIMARY KEY, b int CHECK (b > 1), UNIQUE (a, b))", "t(a,unique a,b,!,unique a+b)"),
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY, b int GENERATED ALWAYS AS (a) STORED)", "t(a,b,!)"),
        ("CREATE TABLE t (LIKE u, a int) PARTITION BY LIST (a)", "t(*u,a,!)"),
        ("CREATE TABLE t (a int REFERENCES u, FOREIGN KEY (a) REFERENCES u)", "t(a)"),
        ("CREATE TABLE t OF ty", "t(?)"),
        ("CREATE TABLE t ()", "t()"),
        ("CREATE TEMP TABLE t (a int) ON COMMIT DROP", "temporary dropped t(a)"),
        ("CREATE LOCAL TEMPORARY TABLE t (a int) ON COMMIT DELETE ROWS", "temporary t(a)"),
        ("CREATE TABLE s.t (a, b) AS SELECT 1, 2 WITH NO DATA", "empty s.t(a,b)"),
        ("CREATE TABLE t AS SELECT 1 WITH DATA", "t()"),
        ("CREATE OR REPLACE TEMP VIEW v (a) AS SELECT 1", "temporary replacing v(a)"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", "m()"),
        ("SELECT 1 INTO TEMP TABLE t FROM u", "temporary t()"),
        ("SELECT 1 INTO temp FROM u", "temp()"),
        ("SELECT 1 INTO TEMP temp WHERE true", "temporary temp()"),
        ("SELECT 1 INTO temp.t", "temp.t()"),
        ("SELECT 1 INTO local", "local()"),
        ("WITH x AS (SELECT 1) SELECT a INTO UNLOGGED s.t FROM x", "s.t()"),
        ("SELECT (SELECT 1 INTO t) FROM u", "nothing"),
        ("INSERT INTO t SELECT 1", "nothing"),
    ] {
        assert_eq!(made(text), expected, "{text}");
    }
}

#[test]
fn what_is_altered_is_told() {
    let n = Name::exact;
    for (text, relation, changes) in [
        ("ALTER TABLE IF EXISTS ONLY s.t ADD c int", "t", vec![Change::AddColumn(n("c"))]),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS \"C\" int, DROP d CASCADE",
            "t",
            vec![Change::AddColumn(n("C")), Change::Plain],
        ),
        ("ALTER TABLE t RENAME a TO b", "t", vec![Change::RenameColumn(n("a"), n("b"))]),
        ("ALTER TABLE t * RENAME COLUMN a TO b", "t", vec![Change::RenameColumn(n("a"), n("b"))]),
        ("ALTER TABLE t RENAME column TO b", "t", vec![Change::RenameColumn(n("column"), n("b"))]),
        ("ALTER MATERIALIZED VIEW m RENAME TO n", "m", vec![Change::Rename(n("n"))]),
        ("ALTER TABLE t RENAME CONSTRAINT a TO b", "t", vec![Change::Plain]),
        ("ALTER TABLE t DROP CONSTRAINT c", "t", vec![Change::Plain]),
        ("ALTER TABLE t ALTER a TYPE text, ALTER b SET DEFAULT 1, ALTER c DROP NOT NULL", "t", vec![Change::Plain; 3]),
        (
            "ALTER TABLE t ALTER a TYPE varchar(9), ALTER b SET NOT NULL",
            "t",
            vec![Change::Tighten(n("a")), Change::Tighten(n("b"))],
        ),
        ("ALTER TABLE t ALTER a DROP EXPRESSION", "t", vec![Change::Plain]),
        ("ALTER TABLE t ALTER a SET EXPRESSION AS (b)", "t", vec![Change::Other]),
        ("ALTER TABLE t INHERIT u", "t", vec![Change::Inherit(ObjectName::bare(n("u")))]),
        ("ALTER TABLE t NO INHERIT u", "t", vec![Change::Plain]),
        ("ALTER TABLE t ATTACH PARTITION u DEFAULT", "t", vec![Change::Attach(ObjectName::bare(n("u")))]),
        ("ALTER TABLE t DETACH PARTITION u", "t", vec![Change::Plain]),
        ("ALTER TABLE t SET SCHEMA s", "t", vec![Change::SetSchema(n("s"))]),
        ("ALTER TABLE t SET (fillfactor = 1), ENABLE TRIGGER ALL, OWNER TO x", "t", vec![Change::Plain; 3]),
        ("ALTER TABLE t FROBNICATE", "t", vec![Change::Other]),
    ] {
        let Detail::Alters(alteration) = recognised(text).0.detail else { panic!("{text}") };
        assert_eq!((alteration.relation.unwrap().name, alteration.changes), (n(relation), changes), "{text}");
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

#[test]
fn a_column_that_does_not_take_every_value_is_told_from_one_that_does() {
    let tight = |column: &str| {
        let text = format!("CREATE TEMP TABLE t (c {column})");
        let Detail::Makes(made) = recognised(&text).0.detail else { return None };
        let Columns::Listed(elements) = made.columns else { return None };
        Some(elements.contains(&Element::Tight(Name::exact("c"))))
    };
    for column in ["text", "varchar", "character varying", "text[]", "boolean DEFAULT false", "jsonb", "text UNIQUE"] {
        assert_eq!(tight(column), Some(false), "{column}");
    }
    for column in [
        "varchar(9)",
        "character varying(9)",
        "char",
        "int2",
        "numeric(2,0)",
        "text NOT NULL",
        "text PRIMARY KEY",
        "s.text",
        "bit(2)",
    ] {
        assert_eq!(tight(column), Some(true), "{column}");
    }
}
