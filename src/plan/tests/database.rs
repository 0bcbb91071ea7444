//! A database, a policy and callers for tests.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::{
    Catalog, CatalogVersion, Column, Dependency, Dependent, Function, FunctionKind, Name, Oid, Relation, RelationKind,
    Type, TypeKind, Used,
};
use crate::mask::{Format, MaskKeys};
use crate::plan::{Caller, Inventory, Judgement, Own, Snapshot, Verdict, judge};
use crate::policy::{Policy, PolicySource, Principal};
use crate::sql::statement::{Analysis, Statement};
use crate::sql::{Limits, analyze};
use crate::wire::backend::{Field, RowDescription};

pub(super) const POLICY: &str = r#"
version: 1
tags:
  email: { mask: email }
  name: { mask: full, filter: search }
  phone: { mask: { show_last: 2 }, filter: refuse }
  birth: { mask: { date_trunc: year } }
  notes: { mask: full, filter: allow }
  card: { mask: card }
columns:
  customers: { email: email, name: name, phone: phone, born: birth, notes: notes, card: card }
  orders: { customer_email: email }
  leads: { mail: email }
roles:
  owners:
    users: dora
    sees: { "*": clear }
  billing:
    users: bill
    sees: { email: clear, name: hidden, customers.card: denied }
  careful:
    users: carl
    sees: { orders.customer_email: clear }
"#;

/// Types that fixtures name, with PostgreSQL's OIDs.
const TYPES: &[(&str, u32)] = &[
    ("bool", 16),
    ("bpchar", 1042),
    ("bytea", 17),
    ("int8", 20),
    ("int4", 23),
    ("text", 25),
    ("json", 114),
    ("varchar", 1043),
    ("date", 1082),
    ("numeric", 1700),
    ("record", 2249),
    ("trigger", 2279),
    ("anyelement", 2283),
];

pub(super) fn name(text: &str) -> Name {
    Name::exact(text)
}

/// A catalog in the making; everything is in `public` unless its name says otherwise.
pub(super) struct Database {
    pub catalog: Catalog,
    next: u32,
}

impl Database {
    /// PostgreSQL's own types and some of its functions.
    pub fn empty() -> Self {
        let mut made = Self { catalog: Catalog::new(CatalogVersion(1), name("shop")), next: 5_000 };
        for &(type_name, oid) in TYPES {
            made.add_type(Oid(oid), "pg_catalog", type_name, TypeKind::Base);
        }
        made.add_type(Oid(1009), "pg_catalog", "_text", TypeKind::Array(Oid(25)));
        made.add_type(Oid(1007), "pg_catalog", "_int4", TypeKind::Array(Oid(23)));
        for (own, returns) in [
            ("lower", "text"),
            ("upper", "text"),
            ("length", "int4"),
            ("count", "int8"),
            ("max", "anyelement"),
            ("array_agg", "anyelement"),
            ("unnest", "anyelement"),
        ] {
            made.function(&format!("pg_catalog.{own}"), returns, "internal", None);
        }
        made.next = 20_000;
        made
    }

    /// `customers`, `orders`, `leads` with tagged columns, and `parts`, `scratch` without.
    pub fn shop() -> Self {
        let mut made = Self::empty();
        made.table(
            "customers",
            "id int4, email text, name text, phone text, born date, notes text, card text, tenant int4",
        );
        made.table("orders", "id int4, customer_id int4, customer_email text, amount numeric");
        made.table("leads", "id int4, mail text");
        made.table("parts", "id int4, title text, price numeric");
        made.table("scratch", "t text, n int4");
        made
    }

    fn oid(&mut self) -> Oid {
        self.next += 1;
        Oid(self.next)
    }

    fn add_type(&mut self, oid: Oid, schema: &str, type_name: &str, kind: TypeKind) {
        self.catalog.add_type(Type { oid, schema: name(schema), name: name(type_name), kind });
    }

    pub fn domain(&mut self, domain: &str, of: &str) -> Oid {
        let (oid, of) = (self.oid(), self.type_oid(of));
        self.add_type(oid, "public", domain, TypeKind::Domain(of));
        oid
    }

    pub fn table(&mut self, table: &str, columns: &str) -> Oid {
        self.relation(table, RelationKind::Table, columns, None)
    }

    pub fn view(&mut self, view: &str, columns: &str, definition: &str) -> Oid {
        self.relation(view, RelationKind::View, columns, Some(definition))
    }

    /// `columns`: `name type [= expression of a generated column], ...`
    fn relation(&mut self, relation: &str, kind: RelationKind, columns: &str, definition: Option<&str>) -> Oid {
        let (schema, relation) = relation.split_once('.').unwrap_or(("public", relation));
        let (oid, row_type, array) = (self.oid(), self.oid(), self.oid());
        self.add_type(row_type, schema, relation, TypeKind::Composite(oid));
        self.add_type(array, schema, &format!("_{relation}"), TypeKind::Array(row_type));
        let columns = columns.split(", ").zip(1..).map(|(column, attnum)| {
            let (column, generated) =
                column.split_once(" = ").map_or((column, None), |(left, right)| (left, Some(right)));
            let (column, type_name) = column.rsplit_once(' ').unwrap();
            let type_oid = self.type_oid(type_name);
            Column {
                attnum,
                name: name(column),
                type_oid,
                not_null: false,
                unique: false,
                collated: false,
                defaulted: false,
                tight: false,
                generated: generated.map(Arc::from),
            }
        });
        let columns = columns.collect();
        self.catalog.add_relation(Relation {
            oid,
            schema: name(schema),
            name: name(relation),
            kind,
            row_type,
            columns,
            parents: Vec::new(),
            definition: definition.map(Arc::from),
            has_rules: false,
            primary_key: Vec::new(),
        });
        oid
    }

    /// The columns of a table's primary key, by their numbers.
    pub fn primary_key(&mut self, table: &str, key: &[i16]) {
        let found = self.catalog.relations_named(None, &name(table)).next().unwrap().clone();
        self.catalog.add_relation(Relation { primary_key: key.to_vec(), ..found });
    }

    pub fn function(&mut self, function: &str, returns: &str, language: &str, body: Option<&str>) -> Oid {
        let (schema, function) = function.split_once('.').unwrap_or(("public", function));
        let (oid, returns) = (self.oid(), self.type_oid(returns));
        self.catalog.add_function(Function {
            oid,
            schema: name(schema),
            name: name(function),
            kind: FunctionKind::Function,
            language: name(language),
            body: body.map(Arc::from),
            inputs: if matches!(schema, "pg_catalog") { vec![Oid(2283)] } else { Vec::new() },
            arguments: Vec::new(),
            outputs: Vec::new(),
            returns,
            returns_set: false,
            volatility: crate::catalog::Volatility::Immutable,
            extension: None,
        });
        oid
    }

    /// Give a function an argument.
    pub fn takes(&mut self, function: Oid, type_name: &str) {
        let mut changed = self.catalog.function(function).unwrap().clone();
        changed.inputs.push(self.type_oid(type_name));
        self.catalog.add_function(changed);
    }

    /// Give a function an argument with a name.
    pub fn takes_named(&mut self, function: Oid, argument: &str, type_name: &str) {
        let mut changed = self.catalog.function(function).unwrap().clone();
        changed.inputs.push(self.type_oid(type_name));
        changed.arguments.push(name(argument));
        self.catalog.add_function(changed);
    }

    /// Change what is there already.
    pub fn alter(&mut self, oid: Oid, change: impl FnOnce(&mut Relation)) {
        let mut relation = self.catalog.relation(oid).unwrap().clone();
        change(&mut relation);
        self.catalog.add_relation(relation);
    }

    pub fn depends(&mut self, of: Dependent, on: Oid) {
        self.catalog.add_dependency(Dependency { of, on: Used::Function(on) });
    }

    pub fn type_oid(&self, type_name: &str) -> Oid {
        let wanted = name(type_name);
        self.catalog.types_named(None, &wanted).next().unwrap_or_else(|| panic!("no type {type_name}")).oid
    }

    pub fn relation_oid(&self, relation: &str) -> Oid {
        self.catalog.relations_named(None, &name(relation)).next().unwrap().oid
    }

    pub fn snapshot(self) -> Snapshot {
        self.snapshot_of(POLICY)
    }

    pub fn snapshot_of(self, policy: &str) -> Snapshot {
        let policy = Policy::parse(&[PolicySource { path: "shop.yaml".to_owned(), text: policy.to_owned() }]).unwrap();
        Snapshot {
            version: 1,
            inventory: Arc::new(Inventory::new(&policy, &self.catalog, None)),
            policy: Arc::new(policy),
            catalog: Arc::new(self.catalog),
            keys: Arc::new(MaskKeys::default()),
            actor_keys: Arc::default(),
            ring: Arc::default(),
            access_log_ready: true,
            limits: Limits::default(),
            epoch: 0,
            since: 0,
            exact: true,
            past: Arc::default(),
        }
    }
}

/// A login, by the policy `ann` is masked, `dora` sees everything, `bill` e-mail addresses.
pub(super) fn caller(user: &str, snapshot: &Snapshot) -> Caller {
    let principal = Principal {
        user: name(user),
        member_of: [].into(),
        actor: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate: None,
        application_name: None,
    };
    Caller::new(principal, snapshot)
}

pub(super) fn statement(text: &str, snapshot: &Snapshot) -> Statement {
    match analyze::analyze(text.as_bytes(), &snapshot.catalog, &snapshot.limits) {
        Analysis::Statements(mut statements) if statements.len() == 1 => statements.remove(0),
        other => panic!("{text}: {other:?}"),
    }
}

pub(super) fn judged(user: &str, text: &str, snapshot: &Snapshot) -> Judgement {
    judge(text, &statement(text, snapshot), snapshot, &caller(user, snapshot), &Own::default())
}

/// A verdict as text: `pass`, `protect`, `protect scrub`, `recall x`, or the refusal's message.
pub(super) fn verdict(user: &str, text: &str, snapshot: &Snapshot) -> String {
    shown(&judged(user, text, snapshot).verdict)
}

pub(super) fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Protect(protection) => if protection.scrub { "protect scrub" } else { "protect" }.to_owned(),
        Verdict::Refuse(refusal) => refusal.message.to_string(),
        Verdict::Recall(name) => format!("recall {name}"),
        Verdict::RecallPlan(name) => format!("recall the plan of {name}"),
    }
}

/// A result column: its name, `relation.column` or `-` for where the server says it comes from, and its type.
pub(super) fn field(snapshot: &Snapshot, field: &str, origin: &str, type_name: &str) -> Field {
    let catalog = &snapshot.catalog;
    let type_oid = catalog.types_named(None, &name(type_name)).next().unwrap_or_else(|| panic!("{type_name}")).oid;
    let (table, attnum) = match origin.rsplit_once('.') {
        None => (Oid(0), 0),
        Some((relation, column)) => {
            let (schema, relation) = relation.split_once('.').unwrap_or(("public", relation));
            let schema = name(schema);
            let relation = catalog.relations_named(Some(&schema), &name(relation)).next().unwrap();
            let attnum = match column {
                "*" => 0,
                "ctid" => -1,
                column => relation.column(column).unwrap().attnum,
            };
            (relation.oid, attnum)
        }
    };
    Field {
        name: Bytes::copy_from_slice(field.as_bytes()),
        table,
        attnum,
        type_oid,
        size: -1,
        modifier: -1,
        format: Format::Text,
    }
}

pub(super) fn description(fields: Vec<Field>) -> RowDescription {
    RowDescription { fields }
}
