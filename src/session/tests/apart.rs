//! Which changes can matter to a statement.

use std::sync::Arc;

use super::database::{POLICY, on_a_large_stack, snapshot};
use crate::catalog::{
    Catalog, Column, Dependency, Dependent, ForeignKey, Function, FunctionKind, Name, Oid, Relation, RelationKind,
    Type, TypeKind, Used, Volatility,
};
use crate::plan::Snapshot;
use crate::session::apart::names_that_matter;
use crate::session::io::{Analyst, Lookup};
use crate::session::statements::Effect;
use crate::sql::statement::{Analysis, Statement};

struct Reader;

impl Analyst for Reader {
    fn analysis(&self, snapshot: &Arc<Snapshot>, text: &[u8]) -> Lookup {
        Lookup::Ready(Arc::new(on_a_large_stack(snapshot, text)))
    }
}

fn add_relation(catalog: &mut Catalog, oid: u32, name: &str, columns: &[(&str, u32)], parent: Option<u32>) {
    let columns = columns.iter().zip(1..).map(|(&(column, type_oid), attnum)| Column {
        attnum,
        name: Name::exact(column),
        type_oid: Oid(type_oid),
        not_null: false,
        unique: false,
        collated: false,
        defaulted: false,
        tight: false,
        generated: None,
    });
    let definition = match name {
        "recent" => Some("SELECT notes.note AS a FROM notes;".into()),
        _ => None,
    };
    catalog.add_relation(Relation {
        oid: Oid(oid),
        schema: Name::exact("public"),
        name: Name::exact(name),
        kind: if definition.is_some() { RelationKind::View } else { RelationKind::Table },
        row_type: Oid(0),
        columns: columns.collect(),
        parents: parent.into_iter().map(Oid).collect(),
        definition,
        has_rules: name == "ruled",
        primary_key: Vec::new(),
    });
}

fn add_function(catalog: &mut Catalog, oid: u32, name: &str, language: &str, body: Option<&str>) {
    catalog.add_function(Function {
        oid: Oid(oid),
        schema: Name::exact("public"),
        name: Name::exact(name),
        kind: FunctionKind::Function,
        language: Name::exact(language),
        body: body.map(Arc::from),
        inputs: Vec::new(),
        arguments: Vec::new(),
        outputs: Vec::new(),
        returns: Oid(25),
        returns_set: false,
        volatility: Volatility::Volatile,
        extension: None,
    });
}

/// `customers` and `notes`, and what stands around them.
fn shop() -> Arc<Snapshot> {
    let mut shop = snapshot(1, POLICY);
    let mut catalog = Catalog::clone(&shop.catalog);
    add_relation(&mut catalog, 17_000, "a", &[("x", 25)], None);
    add_relation(&mut catalog, 17_001, "recent", &[("a", 25)], None);
    add_relation(&mut catalog, 17_002, "parts", &[("x", 25)], None);
    add_relation(&mut catalog, 17_003, "bolts", &[("x", 25)], Some(17_002));
    add_relation(&mut catalog, 17_004, "orders", &[("id", 23), ("size", 17_100)], None);
    add_relation(&mut catalog, 17_005, "ruled", &[("id", 23)], None);
    add_function(&mut catalog, 17_050, "teller", "plpgsql", Some("BEGIN RETURN (SELECT x FROM parts); END"));
    add_function(&mut catalog, 17_051, "checker", "plpgsql", Some("BEGIN RETURN new; END"));
    add_function(&mut catalog, 17_052, "fits", "sql", Some("SELECT $1 > 0"));
    let kind = TypeKind::Domain(Oid(23));
    catalog.add_type(Type { oid: Oid(17_100), schema: Name::exact("public"), name: Name::exact("width"), kind });
    for (of, on) in [
        (Dependent::Relation(Oid(17_004)), Used::Function(Oid(17_051))),
        (Dependent::Domain(Oid(17_100)), Used::Function(Oid(17_052))),
        (Dependent::Rule(Oid(17_005)), Used::Relation(Oid(17_000))),
    ] {
        catalog.add_dependency(Dependency { of, on });
    }
    let mut lower = Function::clone(catalog.function(Oid(17_052)).unwrap());
    (lower.oid, lower.schema, lower.name) = (Oid(870), Name::exact("pg_catalog"), Name::exact("lower"));
    catalog.add_function(lower);
    catalog.add_foreign_key(ForeignKey { relation: Oid(17_000), references: Oid(17_005), columns: vec![(1, 1)] });
    Arc::get_mut(&mut shop).unwrap().catalog = Arc::new(catalog);
    shop
}

fn statement(text: &str, shop: &Snapshot) -> Statement {
    let Analysis::Statements(statements) = on_a_large_stack(shop, text.as_bytes()) else { panic!("{text}") };
    statements.into_iter().next().unwrap()
}

#[test]
fn a_statement_s_meaning_hangs_on_what_it_names_and_on_what_that_names() {
    let shop = shop();
    for (text, expected) in [
        ("SELECT 1", ""),
        ("SELECT lower(note) AS customers FROM notes", "lower notes"),
        ("SELECT a FROM recent", "notes recent ..."),
        ("SELECT x FROM parts", "bolts parts"),
        ("SELECT x FROM bolts", "bolts parts"),
        ("SELECT teller()", "bolts parts teller ..."),
        ("SELECT id FROM orders", "checker fits orders width ..."),
        ("SELECT note::width FROM notes", "fits notes width ..."),
        ("SELECT id FROM ruled", "a ruled ..."),
        ("SELECT x FROM a", "a ruled ..."),
        ("SELECT later(note) FROM notes", "later notes ..."),
        ("ALTER TABLE notes ADD y text", "notes"),
        ("VACUUM parts", "bolts parts"),
        ("SELECT 'open FROM notes", "notes"),
    ] {
        let matters = names_that_matter(&on_a_large_stack(&shop, text.as_bytes()), 0, &shop, &Reader).unwrap();
        let mut names: Vec<_> = matters.names.iter().map(Name::as_str).collect();
        if !matters.plain {
            names.push("...");
        }
        assert_eq!(names.join(" "), expected, "{text}");
    }
}

#[test]
fn a_change_is_about_what_it_changes() {
    let shop = shop();
    for (text, expected) in [
        ("CREATE TABLE t (notes text, x text)", "t"),
        ("CREATE TABLE t (x text) PARTITION BY LIST (x)", "t"),
        ("CREATE TABLE t PARTITION OF parts FOR VALUES IN ('b')", "for in parts t values"),
        ("CREATE TABLE t (y text) INHERITS (parts, a)", "a parts t"),
        ("CREATE VIEW v AS SELECT x FROM parts", "v"),
        ("CREATE OR REPLACE VIEW recent AS SELECT x AS a FROM parts", "recent"),
        ("ALTER TABLE parts ADD COLUMN notes text", "parts"),
        ("ALTER TABLE parts RENAME TO pieces", "parts pieces"),
        ("ALTER TABLE bolts INHERIT a", "a bolts"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT note FROM notes'", "f"),
        ("DROP TABLE a", "a drop table"),
    ] {
        let Effect::ChangesCatalog { words: Some(words), .. } = Effect::of(&statement(text, &shop), text) else {
            panic!("{text}");
        };
        let words: Vec<_> = words.iter().map(Name::as_str).collect();
        assert_eq!(words.join(" "), expected, "{text}");
    }
    for text in [
        "ALTER SCHEMA public RENAME TO p",
        "DROP OWNED BY sam",
        "DO 'BEGIN END'",
        "CREATE EXTENSION citext",
        "CREATE OPERATOR || (FUNCTION = teller, LEFTARG = text, RIGHTARG = text)",
        "CREATE CAST (text AS width) WITH FUNCTION fits",
    ] {
        let Effect::ChangesCatalog { words: None, .. } = Effect::of(&statement(text, &shop), text) else {
            panic!("{text}");
        };
    }
}
