//! A small database for tests.

use crate::catalog::{Catalog, CatalogVersion, Column, Name, Oid, Relation, RelationKind, Type, TypeKind};

/// Columns as (name, type, not null).
type Columns<'a> = &'a [(&'a str, u32, bool)];

const TEXT: u32 = 25;
const INT4: u32 = 23;
const DATE: u32 = 1082;
const INET: u32 = 869;

/// Schemas `public` (tables `customer`, `orders`, view `customer_view`, sequence `customer_id_seq`) and `crm` (`lead`);
/// the user `sam`, a member of `support`.
pub(super) fn shop() -> Catalog {
    let mut catalog = Catalog::new(CatalogVersion(1), Name::exact("shop"));
    let relations: [(&str, &str, RelationKind, Columns<'_>); 5] = [
        (
            "public",
            "customer",
            RelationKind::Table,
            &[
                ("id", INT4, true),
                ("email", TEXT, true),
                ("phone", TEXT, false),
                ("birth_date", DATE, false),
                ("last_ip", INET, false),
            ],
        ),
        ("public", "orders", RelationKind::Table, &[("id", INT4, true), ("customer_email", TEXT, false)]),
        ("public", "customer_view", RelationKind::View, &[("email", TEXT, false)]),
        ("public", "customer_id_seq", RelationKind::Sequence, &[("last_value", INT4, true)]),
        ("crm", "lead", RelationKind::Table, &[("email", TEXT, false)]),
    ];
    for ((schema, name, kind, columns), oid) in relations.into_iter().zip(16_384..) {
        let columns = columns.iter().zip(1..).map(|(&(name, type_oid, not_null), attnum)| Column {
            attnum,
            name: Name::exact(name),
            type_oid: Oid(type_oid),
            not_null,
            unique: false,
            collated: false,
            defaulted: false,
            tight: false,
            generated: None,
        });
        catalog.add_relation(Relation {
            oid: Oid(oid),
            schema: Name::exact(schema),
            name: Name::exact(name),
            kind,
            row_type: Oid(0),
            columns: columns.collect(),
            parents: Vec::new(),
            definition: None,
            has_rules: false,
            primary_key: Vec::new(),
        });
    }
    for (oid, name) in [(TEXT, "text"), (INT4, "int4"), (DATE, "date"), (INET, "inet")] {
        catalog.add_type(Type {
            oid: Oid(oid),
            schema: Name::exact("pg_catalog"),
            name: Name::exact(name),
            kind: TypeKind::Base,
        });
    }
    catalog.add_memberships(Name::exact("sam"), [Name::exact("support")].into());
    catalog.add_memberships(Name::exact("support"), [].into());
    catalog
}
