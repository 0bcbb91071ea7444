//! What tags spread to.

use super::database::{Database, POLICY, name, verdict};
use crate::catalog::{Dependent, ForeignKey, FunctionKind};
use crate::plan::{Inventory, Scan, Snapshot};
use crate::policy::{Policy, PolicySource};
use crate::sql::lineage::{Flow, Source};

/// The tagged columns in a column as text: `customers.email`, with `~` where derived and `?` where something is unknown.
fn held(snapshot: &Snapshot, relation: &str, column: &str) -> String {
    let relation = snapshot.catalog.relations_named(None, &name(relation)).next().unwrap();
    let attnum = relation.column(column).unwrap().attnum;
    shown(snapshot, snapshot.inventory.column(relation.oid, attnum))
}

fn shown(snapshot: &Snapshot, reach: Option<&crate::plan::Reach>) -> String {
    let Some(reach) = reach else { return String::new() };
    let mut parts: Vec<String> = reach
        .columns
        .iter()
        .map(|(&id, flow)| {
            let column = snapshot.policy.column(id).unwrap();
            let mark = match flow {
                Flow::Counted => "#",
                Flow::Direct => "",
                Flow::Derived => "~",
            };
            format!("{mark}{}.{}", column.table, column.column)
        })
        .collect();
    parts.extend(reach.unknown.map(|_| "?".to_owned()));
    parts.join(" ")
}

fn read(snapshot: &Snapshot, function: &str) -> String {
    let function = snapshot.catalog.functions_named(None, &name(function)).next().unwrap().oid;
    if snapshot.inventory.is_opaque(function) {
        return "opaque".to_owned();
    }
    shown(snapshot, snapshot.inventory.source(Source::Function(function)))
}

#[test]
fn constructors_of_range_types_are_not_taken_for_code_of_users() {
    let mut database = Database::shop();
    database.function("spans", "text", "internal", Some("range_constructor2"));
    database.function("slurp", "text", "internal", None);
    let snapshot = database.snapshot();
    assert_eq!(read(&snapshot, "spans"), "");
    assert_eq!(read(&snapshot, "slurp"), "opaque");
}

#[test]
fn views_hold_what_their_definitions_put_there() {
    let mut database = Database::shop();
    database.view(
        "contacts",
        "id int4, contact text, low text, n int8",
        "SELECT c.id, c.email AS contact, lower(c.email) AS low, count(c.email) AS n FROM customers c GROUP BY c.id, c.email",
    );
    database.view("again", "who text, low text", "SELECT contacts.contact AS who, contacts.low FROM contacts");
    database.view("odd", "id int4, x text", "SELECT FROM WHERE customers");
    database.view("clean", "id int4", "SELECT parts.id FROM parts");
    database.view("strings", "x text", "SELECT query_to_xml('select 1', true, true, '') AS x");
    let snapshot = database.snapshot();
    for (relation, column, expected) in [
        ("contacts", "id", ""),
        ("contacts", "contact", "customers.email"),
        ("contacts", "low", "~customers.email"),
        ("contacts", "n", "#customers.email"),
        ("again", "who", "customers.email"),
        ("again", "low", "~customers.email"),
        ("clean", "id", ""),
    ] {
        assert_eq!(held(&snapshot, relation, column), expected, "{relation}.{column}");
    }
    for column in ["id", "x"] {
        let held = held(&snapshot, "odd", column);
        assert!(held.contains("~customers.email") && held.ends_with('?'), "{held}");
    }
    assert!(held(&snapshot, "strings", "x").ends_with('?'));
    assert_eq!(verdict("ann", "SELECT id FROM clean", &snapshot), "pass");
}

#[test]
fn names_in_quotes_are_found_in_definitions() {
    let mut database = Database::empty();
    database.table("my people", "e-mail text, low text = lower(\"e-mail\")");
    database.view("shown", "x text", "SELECT \"e-mail\" AS x FROM public.\"my people\"");
    database.function("quoted", "text", "sql", Some("SELECT \"e-mail\" FROM \"my people\""));
    database.function("escaped", "text", "sql", Some("SELECT \"e-mail\" FROM U&\"my \\0070eople\""));
    database.function("open", "text", "sql", Some("SELECT \"e-mail"));
    database.table("größen", "maß text");
    database.function("umlauts", "text", "sql", Some("SELECT maß FROM größen"));
    let policy =
        "version: 1\ntags: { t: { mask: full } }\ncolumns:\n  my people: { e-mail: t }\n  größen: { maß: t }\n";
    let snapshot = database.snapshot_of(policy);
    assert_eq!(held(&snapshot, "my people", "low"), "~my people.e-mail");
    assert_eq!(held(&snapshot, "shown", "x"), "my people.e-mail");
    assert_eq!(read(&snapshot, "quoted"), "~my people.e-mail");
    assert_eq!(read(&snapshot, "escaped"), "~my people.e-mail");
    assert_eq!(read(&snapshot, "open"), "opaque");
    assert_eq!(read(&snapshot, "umlauts"), "~größen.maß");
}

#[test]
fn children_and_parents_share_their_tags() {
    let mut database = Database::shop();
    let customers = database.relation_oid("customers");
    let child = database.table("archive", "id int4, email text, reason text");
    let grandchild = database.table("old_archive", "email text");
    database.alter(child, |relation| relation.parents = vec![customers]);
    database.alter(grandchild, |relation| relation.parents = vec![child]);
    // A partition that the policy tags shows through its untagged parent.
    let leads = database.relation_oid("leads");
    let parent = database.table("all_leads", "id int4, mail text");
    database.alter(leads, |relation| relation.parents = vec![parent]);
    let snapshot = database.snapshot();
    assert_eq!(held(&snapshot, "archive", "email"), "customers.email");
    assert_eq!(held(&snapshot, "archive", "reason"), "");
    assert_eq!(held(&snapshot, "old_archive", "email"), "customers.email");
    assert_eq!(held(&snapshot, "all_leads", "mail"), "leads.mail");
    assert_eq!(held(&snapshot, "all_leads", "id"), "");
}

#[test]
fn generated_columns_are_derived_from_what_they_name() {
    let mut database = Database::shop();
    database.function("peek", "text", "sql", Some("SELECT email FROM customers"));
    let customers = database.relation_oid("customers");
    database.alter(customers, |relation| {
        let mut column = relation.columns[1].clone();
        (column.attnum, column.name, column.generated) = (20, name("low"), Some("lower(email)".into()));
        relation.columns.push(column);
    });
    database.table("calls", "id int4, x text = peek(), y int4 = (id + 1)");
    let snapshot = database.snapshot();
    assert_eq!(held(&snapshot, "customers", "low"), "~customers.email");
    assert_eq!(held(&snapshot, "calls", "x"), "~customers.email");
    assert_eq!(held(&snapshot, "calls", "y"), "");
}

#[test]
fn columns_of_a_row_type_hold_all_of_the_row() {
    let mut database = Database::shop();
    database.table("copies", "one leads, many _leads, id int4");
    let snapshot = database.snapshot();
    for (column, expected) in [("one", "~leads.mail"), ("many", "~leads.mail"), ("id", "")] {
        assert_eq!(held(&snapshot, "copies", column), expected, "{column}");
    }
}

#[test]
fn columns_that_reference_a_tagged_one_hold_its_values() {
    let mut database = Database::shop();
    let (customers, orders) = (database.relation_oid("customers"), database.relation_oid("orders"));
    let notes = database.table("calls", "id int4, mail text");
    let replies = database.table("replies", "mail text");
    for (relation, references, own, referenced) in
        [(notes, customers, 2, 2), (replies, notes, 1, 2), (orders, customers, 3, 2)]
    {
        let columns = vec![(own, referenced)];
        database.catalog.add_foreign_key(ForeignKey { relation, references, columns });
    }
    let snapshot = database.snapshot();
    assert_eq!(held(&snapshot, "calls", "mail"), "customers.email");
    assert_eq!(held(&snapshot, "calls", "id"), "");
    assert_eq!(held(&snapshot, "replies", "mail"), "customers.email");
    assert_eq!(held(&snapshot, "orders", "customer_email"), "orders.customer_email", "the policy's own word counts");
}

#[test]
fn fields_of_the_rows_of_functions_hold_what_their_bodies_put_there() {
    let mut database = Database::shop();
    let mut rows = |function: &str, language: &str, body: &str| {
        let made = database.function(function, "record", language, Some(body));
        let text = database.type_oid("text");
        let mut known = database.catalog.function(made).unwrap().clone();
        known.outputs = ["first", "second"].map(|output| (name(output), text)).to_vec();
        known.returns_set = true;
        database.catalog.add_function(known);
    };
    rows("listed", "sql", "SELECT id, email FROM customers");
    rows("chosen", "sql", "SELECT id, phone FROM customers WHERE name LIKE $1");
    rows("sorted", "sql", "SELECT id, phone FROM customers ORDER BY email LIMIT 1 OFFSET $1");
    rows("handed_on", "sql", "SELECT second, first FROM listed()");
    rows("whole", "sql", "SELECT c FROM customers c");
    rows("two", "sql", "SELECT 1; SELECT id, email FROM customers");
    rows("procedural", "plpgsql", "BEGIN RETURN QUERY SELECT id, email FROM customers; END");
    database.view("listing", "first text, second text", "SELECT l.first, l.second FROM listed() l");
    let snapshot = database.snapshot();
    let field = |function: &str, position: usize| {
        let function = snapshot.catalog.functions_named(None, &name(function)).next().unwrap().oid;
        shown(&snapshot, snapshot.inventory.source(Source::Field { function, position }))
    };
    let all = "~customers.email ~customers.name ~customers.phone ~customers.born ~customers.notes ~customers.card";
    for (function, first, second) in [
        ("listed", "", "~customers.email"),
        ("chosen", "~customers.name", "~customers.name ~customers.phone"),
        ("sorted", "~customers.email", "~customers.email ~customers.phone"),
        ("handed_on", "~customers.email", "~customers.email"),
        ("whole", all, all),
        ("two", all, all),
        ("procedural", all, all),
    ] {
        assert_eq!((field(function, 0).as_str(), field(function, 1).as_str()), (first, second), "{function}");
    }
    assert_eq!(held(&snapshot, "listing", "first"), "");
    assert_eq!(held(&snapshot, "listing", "second"), "~customers.email");
    for (sql, expected) in [
        ("SELECT * FROM listed() WHERE first = '1'", "protect scrub"),
        ("SELECT first FROM listed() WHERE first < '1' ORDER BY first", "protect scrub"),
        ("SELECT first FROM chosen() WHERE first < '1'", "refused"),
        ("SELECT first FROM listed() WHERE second < '1'", "refused"),
        ("SELECT first FROM procedural() WHERE first < '1'", "refused"),
    ] {
        let verdict = verdict("sam", sql, &snapshot);
        assert_eq!(
            if verdict.starts_with("protect") { "protect scrub" } else { "refused" },
            expected,
            "{sql}: {verdict}"
        );
    }
}

#[test]
fn functions_read_what_their_bodies_name() {
    let mut database = Database::shop();
    let get = |database: &mut Database, function: &str, language: &str, body: Option<&str>| {
        database.function(function, "text", language, body)
    };
    get(&mut database, "direct", "sql", Some("SELECT mail FROM leads"));
    get(&mut database, "one_column", "sql", Some("SELECT email FROM customers WHERE id = $1;"));
    get(&mut database, "by_filter", "sql", Some("SELECT 'x' FROM customers WHERE name LIKE $1 AND phone IS NULL"));
    get(&mut database, "storing", "sql", Some("INSERT INTO scratch (t) SELECT card FROM customers RETURNING 'x'"));
    get(&mut database, "untagged", "sql", Some("SELECT tenant FROM customers WHERE id = $1"));
    get(&mut database, "two", "sql", Some("SELECT email FROM customers; SELECT 'x'"));
    get(&mut database, "indirect", "plpgsql", Some("BEGIN RETURN direct(); END"));
    get(&mut database, "dynamic", "plpgsql", Some("BEGIN EXECUTE 'select 1'; END"));
    get(&mut database, "strings", "sql", Some("SELECT query_to_xml($1, true, true, '')"));
    get(&mut database, "harmless", "plpgsql", Some("BEGIN RETURN 1; END"));
    get(&mut database, "python", "plpython3u", Some("return 1"));
    get(&mut database, "compiled", "c", None);
    let extension = get(&mut database, "of_extension", "c", None);
    let mut function = database.catalog.function(extension).unwrap().clone();
    function.extension = Some(name("pgcrypto"));
    database.catalog.add_function(function);
    let aggregate = get(&mut database, "collect", "internal", None);
    let mut function = database.catalog.function(aggregate).unwrap().clone();
    function.kind = FunctionKind::Aggregate;
    database.catalog.add_function(function);
    let support = database.catalog.functions_named(None, &name("direct")).next().unwrap().oid;
    database.depends(Dependent::Function(aggregate), support);
    let view = database.view("by_operator", "x bool", "SELECT 1 === 2 AS x");
    database.depends(Dependent::View(view), support);
    let snapshot = database.snapshot();
    for (function, expected) in [
        ("direct", "~leads.mail"),
        ("one_column", "~customers.email"),
        ("by_filter", "~customers.name #customers.phone"),
        ("storing", "~customers.card"),
        ("untagged", ""),
        ("two", "~customers.email ~customers.name ~customers.phone ~customers.born ~customers.notes ~customers.card"),
        ("indirect", "~leads.mail"),
        ("dynamic", "opaque"),
        ("strings", "opaque"),
        ("harmless", ""),
        ("python", "opaque"),
        ("compiled", "opaque"),
        ("of_extension", ""),
        ("collect", "~leads.mail"),
    ] {
        assert_eq!(read(&snapshot, function), expected, "{function}");
    }
    assert_eq!(held(&snapshot, "by_operator", "x"), "~leads.mail");
}

#[test]
fn views_that_quote_data_or_statements_hold_everything() {
    let mut database = Database::shop();
    database.table("pg_catalog.pg_stat_activity", "pid int4, query text");
    database.table("pg_catalog.pg_stats", "tablename text, most_common_vals text");
    let snapshot = database.snapshot();
    for (relation, column, tagged) in [
        ("pg_stat_activity", "pid", false),
        ("pg_stat_activity", "query", true),
        ("pg_stats", "tablename", false),
        ("pg_stats", "most_common_vals", true),
    ] {
        let held = held(&snapshot, relation, column);
        assert_eq!(held.split(' ').count() > 5, tagged, "{relation}.{column}: {held}");
    }
}

#[test]
fn a_tag_sticks_to_its_column_through_renames() {
    let policy = Policy::parse(&[PolicySource { path: "shop.yaml".to_owned(), text: POLICY.to_owned() }]).unwrap();
    let first = Database::shop();
    let (customers, leads) = (first.relation_oid("customers"), first.relation_oid("leads"));
    let before = Inventory::new(&policy, &first.catalog, None);
    let changed = |change: &dyn Fn(&mut Database)| {
        let mut database = Database::shop();
        change(&mut database);
        Inventory::new(&policy, &database.catalog, Some(&before))
    };
    let renamed = changed(&|database| database.alter(customers, |table| table.columns[1].name = name("harmless")));
    assert!(renamed.column(customers, 2).is_some());
    assert!(renamed.bindings().iter().any(|binding| binding.renamed && binding.attnum == 2));
    let swapped = changed(&|database| {
        database.alter(customers, |table| {
            table.columns[1].name = name("tenant");
            table.columns[7].name = name("email");
        });
    });
    assert!(swapped.column(customers, 2).is_some() && swapped.column(customers, 8).is_some());
    let moved = changed(&|database| database.alter(customers, |table| table.name = name("clients")));
    assert!(moved.column(customers, 2).is_some());
    let dropped = changed(&|database| {
        database.alter(leads, |table| table.name = name("gone"));
        database.alter(leads, |table| table.columns.clear());
        database.table("leads", "extra int4, mail text");
    });
    assert!(dropped.column(leads, 2).is_none());
    let again = dropped.bindings().iter().find(|binding| binding.names.1 == name("leads")).unwrap();
    assert!(!again.renamed && again.relation != leads && again.attnum == 2);
    // It goes on sticking at the next reading.
    let mut database = Database::shop();
    database.alter(customers, |table| table.columns[1].name = name("harmless"));
    let later = Inventory::new(&policy, &database.catalog, Some(&renamed));
    assert!(later.column(customers, 2).is_some());
}

#[test]
fn a_quick_look_at_the_words_is_enough_for_most_statements() {
    let mut database = Database::shop();
    database.table("Kunden", "x text");
    let snapshot = database.snapshot();
    for (text, expected) in [
        ("SELECT title, price FROM parts WHERE id = 1", Scan::Harmless),
        ("SELECT email FROM parts", Scan::Harmless),
        ("select 'customers' -- customers", Scan::Harmless),
        ("SELECT * FROM \"parts\"", Scan::Harmless),
        ("SELECT * FROM \"Kunden\"", Scan::Harmless),
        ("SELECT * FROM CUSTOMERS", Scan::Look),
        ("SELECT * FROM \"customers\"", Scan::Look),
        ("SELECT * FROM U&\"customer\\0073\"", Scan::Look),
        ("SELECT * FROM unheard_of", Scan::Look),
        ("SELECT * FROM \"PARTS\"", Scan::Look),
        ("SELECT NULL::customers", Scan::Look),
        ("SELECT NULL::_customers", Scan::Look),
        ("EXECUTE p", Scan::Look),
        ("SELECT 'open", Scan::Look),
        ("SELECT 'é'", Scan::Look),
    ] {
        assert_eq!(snapshot.inventory.scan(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(snapshot.inventory.scan(b"SELECT '\xff'"), Scan::Look);
    assert_eq!(Inventory::default().scan(b"anything \0"), Scan::Harmless);
}

#[test]
fn while_every_tagged_table_is_gone_what_is_not_known_is_looked_at() {
    let snapshot = Database::empty().snapshot();
    assert!(snapshot.inventory.bindings().is_empty() && !snapshot.inventory.is_empty());
    assert_eq!(snapshot.inventory.scan(b"SELECT email FROM customers"), Scan::Look);
    assert!(Database::empty().snapshot_of("version: 1\ncolumns: {}\n").inventory.is_empty());
}

#[test]
fn a_large_database_is_bound_quickly() {
    let mut database = Database::shop();
    for table in 0..600 {
        let columns: Vec<String> = (0..20).map(|column| format!("c{column} text")).collect();
        database.table(&format!("t{table}"), &columns.join(", "));
    }
    for view in 0..40 {
        let definition = format!("SELECT c.email AS x, t.c1 AS y FROM customers c JOIN t{view} t ON t.c2 = c.name");
        database.view(&format!("v{view}"), "x text, y text", &definition);
    }
    let policy = Policy::parse(&[PolicySource { path: "shop.yaml".to_owned(), text: POLICY.to_owned() }]).unwrap();
    let started = std::time::Instant::now();
    let inventory = Inventory::new(&policy, &database.catalog, None);
    let took = started.elapsed();
    assert!(inventory.column(database.relation_oid("v39"), 1).is_some());
    // Without optimisation and beside other tests; with quadratic work it would take minutes at ten times the size.
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}
