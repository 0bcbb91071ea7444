//! Reading the catalog of real servers.

use super::live_server::{LiveServer, program_directories};
use super::*;
use crate::catalog::{FunctionKind, Oid, Relation, RelationKind, TypeKind};
use crate::config::{Config, Settings};

/// For every version. `reader` has no right on any table, and settings of its own that try to mislead it.
const SCHEMA: &str = "
    CREATE ROLE reader LOGIN;
    CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC;
    CREATE FUNCTION trap.pg_get_viewdef(oid) RETURNS text LANGUAGE sql AS $$ SELECT 'trapped' $$;
    CREATE TABLE trap.pg_class (oid oid, relname name);
    ALTER ROLE reader SET search_path = trap, public, pg_catalog;
    ALTER ROLE reader SET quote_all_identifiers = on;
    CREATE ROLE staff; CREATE ROLE clerks IN ROLE staff; CREATE ROLE ann LOGIN IN ROLE clerks;
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    CREATE TYPE mood AS ENUM ('sad', 'happy'); ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy';
    CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
    CREATE TYPE pair AS (a int, b mail);
    CREATE TYPE span AS RANGE (SUBTYPE = float8);
    CREATE TABLE people (id int PRIMARY KEY, gone int, email mail NOT NULL, moods mood[],
        low text GENERATED ALWAYS AS (lower(email)) STORED);
    ALTER TABLE people DROP COLUMN gone;
    CREATE VIEW emails AS SELECT email FROM people;
    CREATE MATERIALIZED VIEW lows AS SELECT low FROM people;
    CREATE TABLE vips (level int) INHERITS (people);
    CREATE TABLE log (at date, what text) PARTITION BY RANGE (at);
    CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE RULE ignore AS ON DELETE TO log_2026 DO INSTEAD NOTHING;
    CREATE SEQUENCE counter;
    CREATE FUNCTION split(n int, OUT first text, INOUT rest text) LANGUAGE sql AS $$ SELECT 'x'::text, rest $$;
    CREATE FUNCTION rows_of(VARIADIC n int[]) RETURNS TABLE (\"Odd, {name}\" int) LANGUAGE plpgsql AS
        $$ BEGIN RETURN QUERY SELECT 1; END $$;
    CREATE PROCEDURE act() LANGUAGE sql AS $$ SELECT 1 $$;
";

/// What came with PostgreSQL 14.
const SCHEMA_14: &str = "CREATE FUNCTION atomic() RETURNS SETOF text BEGIN ATOMIC SELECT low FROM people; END";

fn login(server: &LiveServer) -> CatalogLogin {
    let settings = Settings { policies: Some(Vec::new()), ..server.reader() };
    let config = Config::complete(settings).unwrap();
    CatalogLogin::new(Arc::new(Upstream::new(&config.upstream).unwrap()), config.catalog)
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn name(text: &str) -> Name {
    Name::exact(text)
}

fn relation<'a>(catalog: &'a Catalog, wanted: &str) -> &'a Relation {
    let public = name("public");
    catalog.relations().find(|relation| relation.schema == public && relation.name == name(wanted)).unwrap()
}

fn type_of<'a>(catalog: &'a Catalog, wanted: &str) -> &'a crate::catalog::Type {
    catalog.types_named(None, &name(wanted)).next().unwrap()
}

#[test]
fn the_catalog_of_a_live_server_is_read_as_it_is() {
    for programs in program_directories() {
        let server = LiveServer::start(&programs);
        run(async {
            let owner = server.client().await;
            owner.batch_execute(SCHEMA).await.unwrap();
            let mut login = login(&server);
            login.read_all().await.unwrap();
            let version = login.connected.as_ref().unwrap().connected.server_version;
            if version >= 140_000 {
                owner.batch_execute(SCHEMA_14).await.unwrap();
            }
            every_change_is_noticed(&owner, &mut login).await;
            what_others_have_locked_holds_nobody_up(&server, &owner, &mut login, version).await;
            let more = login.read_all().await.unwrap();
            let catalog = more.load(CatalogVersion(2)).unwrap();
            tables_and_views(&catalog);
            types(&catalog, version);
            functions(&catalog, version);
            assert_eq!(
                catalog.roles_of(&name("ann")).unwrap().iter().map(Name::as_str).collect::<Vec<_>>(),
                ["clerks", "staff"]
            );
            assert!(catalog.roles_of(&name("reader")).unwrap().is_empty());
            drop(owner);
            server.control("restart");
            assert_eq!(login.read_all().await.unwrap().digest(), more.digest(), "a lost connection is made anew");
        });
    }
}

/// Each of these makes another catalog.
const CHANGES: &[&str] = &[
    "CREATE OR REPLACE PROCEDURE act() LANGUAGE sql AS $$ SELECT 2 $$",
    "CREATE OR REPLACE VIEW changing AS SELECT low AS shown FROM people",
    "CREATE OR REPLACE VIEW changing AS SELECT email::text AS shown FROM people",
    "ALTER TABLE people RENAME low TO lower",
    "ALTER TABLE people RENAME lower TO low",
    "ALTER TYPE mood ADD VALUE 'glad'",
    "ALTER TYPE mood RENAME VALUE 'glad' TO 'gleeful'",
    "CREATE RULE ignore AS ON UPDATE TO log DO INSTEAD NOTHING",
    "DROP RULE ignore ON log",
    "ALTER TABLE vips NO INHERIT people",
    "ALTER TABLE vips INHERIT people",
    "ALTER EXTENSION plpgsql ADD PROCEDURE act()",
    "ALTER EXTENSION plpgsql DROP PROCEDURE act()",
    "REVOKE staff FROM clerks",
    "GRANT staff TO clerks",
    "CREATE ROLE guest",
    "ALTER ROLE guest RENAME TO visitor",
    "DROP ROLE visitor",
    "ALTER SCHEMA trap RENAME TO snare",
];

async fn every_change_is_noticed(owner: &Client, login: &mut CatalogLogin) {
    let mut before = login.read_all().await.unwrap();
    for change in ["CREATE VIEW changing AS SELECT 'x'::text AS shown"].iter().chain(CHANGES) {
        assert!(login.is_same(before.fingerprint()).await, "before {change}");
        owner.batch_execute(change).await.unwrap();
        assert!(!login.is_same(before.fingerprint()).await, "{change}");
        match login.read(Some(before.fingerprint()), || {}).await.unwrap() {
            CatalogReading::Unchanged(_) => panic!("not noticed: {change}"),
            CatalogReading::Rows(rows) => {
                assert_ne!(rows.digest(), before.digest(), "{change}");
                before = rows;
            }
        }
        // A change of another sort moves the moment, and not the objects.
        owner.batch_execute("SELECT pg_catalog.pg_current_xact_id()").await.unwrap();
        let again = login.read(Some(before.fingerprint()), || {}).await.unwrap();
        assert!(matches!(again, CatalogReading::Unchanged(_)), "{change}");
    }
    assert_eq!(login.read_all().await.unwrap().digest(), before.digest());
    let known = before.fingerprint();
    for (unimportant, everywhere) in [
        ("CREATE TEMP TABLE passing (id int PRIMARY KEY DEFAULT 1, word text CHECK (word <> ''))", true),
        ("CREATE TEMP VIEW passed AS SELECT 1 AS x", true),
        ("CREATE TABLE filled AS SELECT 1 AS x; DROP TABLE filled", true),
        ("TRUNCATE log", true),
        ("VACUUM FULL log", true),
        ("CREATE TABLE staying (x int)", false),
        ("DROP TABLE staying", true),
        ("ALTER TABLE log RENAME TO logged", false),
        ("ALTER TABLE logged RENAME TO log", false),
    ] {
        owner.batch_execute(unimportant).await.unwrap();
        assert_eq!(!login.is_another(known).await, everywhere, "{unimportant}");
        assert_eq!(login.is_still_as_looked(known).await, everywhere, "{unimportant}");
        assert_eq!(login.is_same(known).await, everywhere, "{unimportant}");
    }
    owner.batch_execute("DISCARD TEMP").await.unwrap();
}

/// To print a definition the server locks what it names.
async fn what_others_have_locked_holds_nobody_up(
    server: &LiveServer,
    owner: &Client,
    login: &mut CatalogLogin,
    version: u32,
) {
    let before = login.read_all().await.unwrap();
    let holder = server.client().await;
    let loaded = |rows: &CatalogRows| rows.load(CatalogVersion(1)).unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE people, emails; ALTER TABLE people ADD later int").await.unwrap();
    owner.batch_execute("CREATE TABLE other (n int)").await.unwrap();
    let started = Instant::now();
    let locked = login.read_all().await.unwrap();
    assert!(login.is_same(locked.fingerprint()).await, "what is known holds");
    let catalog = loaded(&locked);
    tables_and_views(&catalog);
    functions(&catalog, version);
    owner.batch_execute("DROP TABLE other").await.unwrap();
    assert_eq!(login.read_all().await.unwrap().digest(), before.digest());
    // What was not read before it was locked is not known, and is looked for each time.
    holder.batch_execute("ROLLBACK; CREATE VIEW levels AS SELECT level FROM vips").await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE vips").await.unwrap();
    let lacking = login.read_all().await.unwrap();
    let known =
        |rows: &CatalogRows, view: &str| relation(&loaded(rows), view).definition.as_deref().unwrap().contains("FROM");
    assert!(known(&lacking, "emails") && !known(&lacking, "levels"));
    assert!(!login.is_same(lacking.fingerprint()).await && !login.is_still(lacking.fingerprint()).await);
    holder.batch_execute("COMMIT").await.unwrap();
    let whole = login.read(Some(lacking.fingerprint()), || {}).await.unwrap();
    assert!(matches!(whole, CatalogReading::Rows(rows) if known(&rows, "levels")));
    owner.batch_execute("DROP VIEW levels").await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "nobody has waited for a lock");
}

fn tables_and_views(catalog: &Catalog) {
    let people = relation(catalog, "people");
    let columns: Vec<_> =
        people.columns.iter().map(|column| (column.attnum, column.name.as_str(), column.not_null)).collect();
    assert_eq!(columns, [(1, "id", true), (3, "email", true), (4, "moods", false), (5, "low", false)]);
    assert_eq!(people.column("low").unwrap().generated.as_deref(), Some("lower((email)::text)"));
    assert!(people.columns.iter().take(3).all(|column| column.generated.is_none()));
    let emails = relation(catalog, "emails");
    let definition: Vec<_> = emails.definition.as_deref().unwrap().split_whitespace().collect();
    // PostgreSQL 16 and later leave the table's name before a column out where it is not needed.
    assert!(definition.ends_with(&["FROM", "public.people;"]), "{definition:?}");
    assert!(!definition.concat().contains('"'), "{definition:?}");
    for (wanted, kind, parents, rules) in [
        ("people", RelationKind::Table, vec![], false),
        ("emails", RelationKind::View, vec![], false),
        ("lows", RelationKind::MaterializedView, vec![], false),
        ("vips", RelationKind::Table, vec!["people"], false),
        ("log", RelationKind::PartitionedTable, vec![], false),
        ("log_2026", RelationKind::Table, vec!["log"], true),
        ("counter", RelationKind::Sequence, vec![], false),
        ("pair", RelationKind::CompositeType, vec![], false),
    ] {
        let found = relation(catalog, wanted);
        let of: Vec<_> = found.parents.iter().map(|oid| catalog.relation(*oid).unwrap().name.as_str()).collect();
        assert_eq!((found.kind, of, found.has_rules), (kind, parents, rules), "{wanted}");
        assert_eq!(found.definition.is_some(), matches!(kind, RelationKind::View | RelationKind::MaterializedView));
    }
    for system in ["pg_stats", "pg_stat_activity", "tables"] {
        assert!(catalog.relations_named(None, &name(system)).next().is_some(), "{system}");
    }
}

fn types(catalog: &Catalog, version: u32) {
    let mail = type_of(catalog, "mail");
    assert_eq!(type_of(catalog, "mood").kind, TypeKind::Enum(["sad", "ok", "happy", "gleeful"].map(Into::into).into()));
    assert_eq!(type_of(catalog, "_mood").kind, TypeKind::Array(type_of(catalog, "mood").oid));
    assert_eq!(mail.kind, TypeKind::Domain(Oid(25)));
    assert_eq!(type_of(catalog, "pair").kind, TypeKind::Composite(relation(catalog, "pair").oid));
    assert_eq!(relation(catalog, "pair").column("b").unwrap().type_oid, mail.oid);
    assert_eq!(type_of(catalog, "span").kind, TypeKind::Range(Oid(701)));
    if version >= 140_000 {
        assert_eq!(type_of(catalog, "span_multirange").kind, TypeKind::Multirange(type_of(catalog, "span").oid));
    }
    assert_eq!(type_of(catalog, "record").kind, TypeKind::Pseudo);
    assert_eq!(type_of(catalog, "int2vector").kind, TypeKind::Base);
}

fn functions(catalog: &Catalog, version: u32) {
    let function = |wanted: &str| catalog.functions_named(Some(&name("public")), &name(wanted)).next().cloned();
    let split = function("split").unwrap();
    assert_eq!(split.inputs, [Oid(23), Oid(25)]);
    assert_eq!(split.outputs, [(name("first"), Oid(25)), (name("rest"), Oid(25))]);
    assert_eq!((split.language.as_str(), split.body.as_deref()), ("sql", Some(" SELECT 'x'::text, rest ")));
    let rows_of = function("rows_of").unwrap();
    assert_eq!((rows_of.inputs, rows_of.outputs), (vec![Oid(1007)], vec![(name("Odd, {name}"), Oid(23))]));
    assert!(rows_of.returns_set && rows_of.extension.is_none());
    assert_eq!(function("act").unwrap().kind, FunctionKind::Procedure);
    if version >= 140_000 {
        let body = function("atomic").unwrap().body.unwrap();
        assert!(body.contains("BEGIN ATOMIC") && body.contains("public.people"), "{body}");
    }
    let (schema, lower) = (name("pg_catalog"), name("lower"));
    let built_in = catalog.functions_named(Some(&schema), &lower).next().unwrap();
    assert_eq!((built_in.language.as_str(), &built_in.body), ("internal", &None));
    let handler = catalog.functions_named(None, &name("plpgsql_call_handler")).next().unwrap();
    assert_eq!(handler.extension, Some(name("plpgsql")));
}
