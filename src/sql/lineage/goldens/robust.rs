//! Extreme statements, what is listed beside the columns, and what is not known.

use std::thread;

use super::super::Origin;
use super::super::fixture::{catalog, outputs_text, taint_text};
use super::{of, read};
use crate::catalog::{Catalog, Column, Name, Oid};
use crate::sql::lineage::{FilterKind, Unknown, lineage};
use crate::sql::tree::{Body, Constant, Expr, FromItem, JoinCondition, JoinKind, ObjectName, Operator, Query, Select};
use crate::sql::tree::{Distinct, Junction, SelectItem};
use crate::sql::{Limits, NotUnderstood};

/// Analyses run on a stack of this size.
const STACK_BYTES: usize = 64 * 1024 * 1024;

fn on_a_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap()
}

fn column(name: &str) -> Expr {
    Expr::Column(vec![Name::exact(name)])
}

fn relation(name: &str, alias: Option<String>) -> FromItem {
    let alias = alias.map(|name| crate::sql::tree::Alias { name: Name::exact(&name), columns: Vec::new() });
    FromItem::Relation { name: ObjectName::bare(Name::exact(name)), only: false, alias, sample: Vec::new() }
}

fn select(items: Vec<Expr>, from: Vec<FromItem>, filter: Option<Expr>) -> Query {
    let items = items.into_iter().map(|expr| SelectItem::Expr(expr, None)).collect();
    query(Body::Select(Box::new(Select {
        distinct: Distinct::No,
        items,
        into: None,
        from,
        filter,
        group_by: Vec::new(),
        having: None,
        windows: Vec::new(),
    })))
}

fn query(body: Body) -> Query {
    Query { recursive: false, with: Vec::new(), body, order_by: Vec::new(), limits: Vec::new() }
}

fn operator(symbol: &str) -> Operator {
    Operator { schema: None, symbol: symbol.into() }
}

#[test]
fn long_chains_are_followed() {
    on_a_large_stack(|| {
        let concatenated = (0..5_000).fold(column("email"), |all, _| {
            Expr::Operator(operator("||"), vec![all, Expr::Constant(Constant::plain_text())])
        });
        let condition = (0..5_000).fold(Expr::NullTest(Box::new(column("email"))), |all, _| {
            Expr::Logic(Junction::And, vec![all, Expr::NullTest(Box::new(column("region")))])
        });
        let tree = select(vec![concatenated], vec![relation("people_p", None)], Some(condition));
        let found = lineage(&tree, &catalog(), &Limits::default()).unwrap();
        assert_eq!(taint_text(&catalog(), &found.origin_at(0).taint()), "~people_p.email");

        let arms = (0..5_000).fold(select(vec![column("email")], vec![relation("people_p", None)], None), |left, _| {
            let right = select(vec![column("name")], vec![relation("customers", None)], None);
            query(Body::SetOperation { all: false, left: Box::new(left), right: Box::new(right) })
        });
        let found = lineage(&arms, &catalog(), &Limits::default()).unwrap();
        assert_eq!(taint_text(&catalog(), &found.origin_at(0).taint()), "customers.name+people_p.email");
        assert!(found.filters.iter().all(|used| used.kind == FilterKind::Grouping));
    });
}

#[test]
fn what_is_too_deep_is_refused_before_the_stack_ends() {
    on_a_large_stack(|| {
        let catalog = catalog();
        let one = || Expr::Constant(Constant::Number(Some(1)));
        type Nest = fn(Expr) -> Expr;
        let call: Nest = |inner| Expr::call(ObjectName::bare(Name::exact("upper")), false, vec![inner]);
        let case: Nest = |inner| Expr::Case(None, vec![(Expr::Constant(Constant::Bool), inner)], None);
        let cast: Nest = |inner| Expr::Field(Box::new(Expr::Row(vec![inner])), Name::exact("f1"));
        let subquery: Nest = |inner| Expr::Subquery(Box::new(select(vec![inner], Vec::new(), None)));
        let exists: Nest = |inner| Expr::Exists(Box::new(select(Vec::new(), Vec::new(), Some(inner))));
        let array: Nest = |inner| Expr::Subscript(Box::new(Expr::Array(vec![inner])), Vec::new());
        let derived: Nest = |inner| {
            let query = Box::new(select(vec![inner], Vec::new(), None));
            let from = FromItem::Subquery { lateral: true, query, alias: None };
            Expr::Subquery(Box::new(select(vec![Expr::Constant(Constant::Null)], vec![from], None)))
        };
        for nest in [call, case, cast, subquery, exists, array, derived] {
            let deep = (0..2_000).fold(one(), |inner, _| nest(inner));
            let in_list = select(vec![deep.clone()], Vec::new(), None);
            assert_eq!(lineage(&in_list, &catalog, &Limits::default()), Err(NotUnderstood::TooLarge));
            let in_filter = select(vec![one()], Vec::new(), Some(deep));
            assert_eq!(lineage(&in_filter, &catalog, &Limits::default()), Err(NotUnderstood::TooLarge));
            let shallow = (0..200).fold(one(), |inner, _| nest(inner));
            assert!(lineage(&select(vec![shallow], Vec::new(), None), &catalog, &Limits::default()).is_ok());
        }
        let joins = (0..2_000).fold(relation("scratch", None), |left, _| FromItem::Join {
            kind: JoinKind::Cross,
            left: Box::new(left),
            right: Box::new(relation("scratch", None)),
            condition: JoinCondition::None,
            alias: None,
        });
        let tree = select(vec![one()], vec![joins], None);
        assert_eq!(lineage(&tree, &catalog, &Limits::default()), Err(NotUnderstood::TooLarge));
    });
}

/// A relation of the most columns that PostgreSQL allows.
fn wide(catalog: &mut Catalog) {
    let template = catalog.relations_named(None, &Name::exact("scratch")).next().unwrap().clone();
    let columns = (1..=1_600).map(|attnum| Column {
        attnum,
        name: Name::exact(&format!("c{attnum}")),
        type_oid: Oid(25),
        not_null: false,
        unique: false,
        collated: false,
        defaulted: false,
        tight: false,
        generated: None,
    });
    let columns = columns.collect();
    catalog.add_relation(crate::catalog::Relation { oid: Oid(30_000), name: Name::exact("wide"), columns, ..template });
}

#[test]
fn wide_relations_are_followed_and_their_multiplication_is_refused() {
    let mut catalog = catalog();
    wide(&mut catalog);
    let star = |from: Vec<FromItem>| {
        let mut tree = select(Vec::new(), from, None);
        if let Body::Select(select) = &mut tree.body {
            select.items = vec![SelectItem::Star];
        }
        tree
    };
    let nested = (0..20).fold(star(vec![relation("wide", None)]), |inner, _| {
        star(vec![FromItem::Subquery { lateral: false, query: Box::new(inner), alias: None }])
    });
    let found = lineage(&nested, &catalog, &Limits::default()).unwrap();
    assert_eq!(found.outputs.len(), 1_600);

    let many = (0..600).map(|number| relation("wide", Some(format!("w{number}")))).collect();
    assert_eq!(lineage(&star(many), &catalog, &Limits::default()), Err(NotUnderstood::TooLarge));
    // each level names the whole row of the one below twice
    let twice = |row: &str, from: FromItem| {
        let mut tree = select(Vec::new(), vec![from], None);
        if let Body::Select(select) = &mut tree.body {
            select.items = ["a", "b"].map(|name| SelectItem::Expr(column(row), Some(Name::exact(name)))).into();
        }
        tree
    };
    let doubled = (0..40).fold(twice("wide", relation("wide", None)), |inner, _| {
        let alias = Some(crate::sql::tree::Alias { name: Name::exact("d"), columns: Vec::new() });
        twice("d", FromItem::Subquery { lateral: false, query: Box::new(inner), alias })
    });
    assert_eq!(lineage(&doubled, &catalog, &Limits::default()), Err(NotUnderstood::TooLarge));
}

#[test]
fn a_long_list_of_constants_is_a_dictionary() {
    let list = |count: usize| vec!["'x'"; count].join(", ");
    let kinds = |sql: String| of(&sql).filters.into_iter().map(|used| used.kind).collect::<Vec<_>>();
    assert_eq!(kinds(format!("SELECT 1 FROM people_p WHERE email IN ({})", list(100))), [FilterKind::Equality]);
    let over = kinds(format!("SELECT 1 FROM people_p WHERE email IN ({})", list(101)));
    assert!(over.contains(&FilterKind::Other));
    let over = kinds(format!("SELECT 1 FROM people_p WHERE email = ANY(ARRAY[{}])", list(101)));
    assert!(over.contains(&FilterKind::Other));
    let chained = vec!["email = 'x'"; 101].join(" OR ");
    assert!(kinds(format!("SELECT 1 FROM people_p WHERE {chained}")).contains(&FilterKind::Other));
}

#[test]
fn everything_named_is_listed() {
    let found =
        of("SELECT get_email(1), dyn('x'), soundex('x') FROM people_p, twins WHERE EXISTS (SELECT FROM orders)");
    assert_eq!(found.relations.len(), 4);
    assert_eq!(found.functions.len(), 3);
    assert!(found.forbidden.is_empty() && found.unresolved.is_empty());
    let found = of("INSERT INTO scratch SELECT nope(missing.x) FROM missing");
    assert_eq!(found.relations.len(), 1);
    assert_eq!(found.unresolved, ["missing", "nope"].map(Name::exact).into());
}

#[test]
fn what_reads_around_the_statement_is_listed_as_forbidden() {
    for (sql, forbidden) in [
        ("SELECT query_to_xml('x', true, true, '')", "query_to_xml"),
        ("SELECT * FROM ext.dblink('x', 'y') AS t(a int)", "dblink"),
        ("SELECT heap_things('x')", "heap_things"),
        ("SELECT set_config('a.b', email, false) FROM people_p", "set_config"),
        ("WITH w AS (SELECT lo_get(1)) SELECT 1", "lo_get"),
    ] {
        assert_eq!(of(sql).forbidden, [Name::exact(forbidden)].into(), "{sql}");
    }
    assert!(of("SELECT set_config('search_path', '', false), ts_rewrite('a', 'b', 'c')").forbidden.is_empty());
}

#[test]
fn positions_after_a_star_that_is_not_known_may_hold_anything() {
    let found = of("SELECT o.*, email FROM people_p, missing o");
    assert!(found.open_ended);
    let Origin::Value(taint) = found.origin_at(7) else { panic!("a row") };
    assert_eq!(taint.unknown, Some(Unknown::Relation));
    assert_eq!(taint_text(&catalog(), &taint), "people_p.email+?Relation");
    let found = of("SELECT email FROM people_p");
    assert_eq!(found.origin_at(1).taint().unknown, Some(Unknown::Contradiction));
}

#[test]
fn statements_without_rows_have_no_outputs() {
    for sql in ["DELETE FROM people_p", "INSERT INTO scratch VALUES ('x')", "SELECT email INTO copied FROM people_p"] {
        assert!(read(sql).unwrap().outputs.is_empty(), "{sql}");
    }
}

#[test]
fn types_that_change_places_in_a_recursion_come_to_rest() {
    let sql = "WITH RECURSIVE q (a, b, c) AS (SELECT born, mail, tags FROM staff UNION ALL SELECT b, c, b FROM q) \
               SELECT a FROM q";
    assert_eq!(outputs_text(&catalog(), &of(sql)), "a = staff.mail+staff.tags+staff.born");
}
