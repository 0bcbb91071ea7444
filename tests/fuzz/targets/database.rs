//! The database and the policy that the targets run against.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use pgveil::catalog::{
    Catalog, CatalogVersion, Column, Function, FunctionKind, Name, Oid, Relation, RelationKind, Type, TypeKind,
};
use pgveil::mask::MaskKeys;
use pgveil::plan::{Caller, Inventory, Snapshot};
use pgveil::policy::{Policy, PolicySource, Principal};
use pgveil::sql::Limits;

/// PostgreSQL's own types with their OIDs, and those of their arrays.
const TYPES: &str = "bool 16 1000, bytea 17 1001, char 18 1002, name 19 1003, int8 20 1016, int2 21 1005, int4 23 1007, \
    text 25 1009, oid 26 1028, json 114 199, xml 142 143, point 600 1017, lseg 601 1018, path 602 1019, box 603 1020, \
    polygon 604 1027, line 628 629, cidr 650 651, float4 700 1021, float8 701 1022, circle 718 719, macaddr8 774 775, \
    money 790 791, macaddr 829 1040, inet 869 1041, bpchar 1042 1014, varchar 1043 1015, date 1082 1182, time 1083 1183, \
    timestamp 1114 1115, timestamptz 1184 1185, interval 1186 1187, timetz 1266 1270, bit 1560 1561, varbit 1562 1563, \
    numeric 1700 1231, uuid 2950 2951, pg_lsn 3220 3221, tsvector 3614 3643, tsquery 3615 3645, jsonb 3802 3807, \
    jsonpath 4072 4073, record 2249 2287, anyelement 2283 0, anyarray 2277 0, int4range 3904 3905, numrange 3906 3907, \
    daterange 3912 3913, int4multirange 4451 6150";

const TABLES: &str = "
    customers: id int4, name text, email text, phone text, street text, city text, card_number text, notes text, tenant_id int4
    orders: id int4, customer_id int4, customer_email text, amount numeric
    scratch: t text, n int4
    address: street text, city text
    staff: id int4, home address, homes _address, mood mood, born date
";

const FUNCTIONS: &str = "lower upper length substr left concat format count max min sum avg array_agg string_agg row_to_json \
    to_json coalesce now random generate_series unnest row_number rank lag first_value regexp_matches query_to_xml \
    set_config pg_sleep";

/// Masks that a column may have, with a tag for each.
pub const MASKS: &[(&str, &str)] = &[
    ("full", "full"),
    ("email", "email"),
    ("phone", "{ phone: { keep: 2 } }"),
    ("card", "card"),
    ("iban", "iban"),
    ("partial", "{ partial: { prefix: 1, suffix: 2 } }"),
    ("show_first", "{ show_first: 3 }"),
    ("show_last", "{ show_last: 3 }"),
    ("hash", "hash"),
    ("pseudonym", "pseudonym"),
    ("year", "{ date_trunc: year }"),
    ("hour", "{ date_trunc: hour }"),
    ("round", "{ round: 10 }"),
    ("bucket", "{ bucket: 25 }"),
    ("network", "network"),
    ("replace", "{ replace: \"7\" }"),
    ("nullify", "nullify"),
];

/// The one snapshot.
pub static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let catalog = catalog();
    let policy = Policy::parse(&[PolicySource { path: "p.yaml".into(), text: policy(&catalog) }]);
    let policy = policy.unwrap_or_else(|found| panic!("{found:#?}"));
    let mut keys = MaskKeys::default();
    keys.insert("default", [7; 32]);
    Arc::new(Snapshot {
        version: 1,
        inventory: Arc::new(Inventory::new(&policy, &catalog, None)),
        policy: Arc::new(policy),
        catalog: Arc::new(catalog),
        keys: Arc::new(keys),
        actor_keys: Arc::default(),
        ring: Arc::default(),
        access_log_ready: true,
        limits: Limits::default(),
        epoch: 0,
        since: 0,
        exact: true,
        past: Arc::default(),
    })
});

/// Somebody of that name: `boss` sees everything in clear, others see masks.
pub fn caller(user: &str) -> Caller {
    let principal = Principal {
        user: Name::exact(user),
        member_of: Default::default(),
        actor: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate: None,
        application_name: None,
    };
    Caller::new(principal, &SNAPSHOT)
}

/// The tables that have a column of each type under each mask: `of_full`, `of_email`, ...
pub fn typed_table(mask: usize) -> &'static Relation {
    let (name, _) = MASKS[mask % MASKS.len()];
    let name = Name::exact(&format!("of_{name}"));
    SNAPSHOT.catalog.relations_named(None, &name).next().unwrap()
}

fn policy(catalog: &Catalog) -> String {
    let mut text = "version: 1\ntags:\n".to_owned();
    for (name, mask) in MASKS {
        text += &format!("  {name}: {{ mask: {mask} }}\n");
    }
    text += "columns:\n  customers: { name: show_first, email: email, phone: phone, card_number: card, notes: full }\n";
    text += "  orders: { customer_email: email }\n  staff: { home: full, homes: full, mood: full, born: year }\n";
    for (name, _) in MASKS {
        let relation = catalog.relations_named(None, &Name::exact(&format!("of_{name}"))).next().unwrap();
        let columns: Vec<String> = relation.columns.iter().map(|column| format!("{}: {name}", column.name)).collect();
        text += &format!("  of_{name}: {{ {} }}\n", columns.join(", "));
    }
    text + "roles:\n  bosses: { users: boss, sees: { \"*\": clear } }\n"
}

struct Builder {
    catalog: Catalog,
    next: u32,
}

fn catalog() -> Catalog {
    let mut builder = Builder { catalog: Catalog::new(CatalogVersion(1), Name::exact("shop")), next: 16_400 };
    let mut all = Vec::new();
    for line in TYPES.split(", ") {
        let [name, oid, array] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (oid, array) = (Oid(oid.parse().unwrap()), Oid(array.parse().unwrap()));
        let kind = match name {
            "record" | "anyelement" | "anyarray" => TypeKind::Pseudo,
            "int4range" => TypeKind::Range(Oid(23)),
            "numrange" => TypeKind::Range(Oid(1700)),
            "daterange" => TypeKind::Range(Oid(1082)),
            "int4multirange" => TypeKind::Multirange(Oid(3904)),
            _ => TypeKind::Base,
        };
        builder.add_type(oid, "pg_catalog", name, kind);
        all.push(name.to_owned());
        if array.0 != 0 {
            builder.add_type(array, "pg_catalog", &format!("_{name}"), TypeKind::Array(oid));
            all.push(format!("_{name}"));
        }
    }
    let mood = builder.oid();
    builder.add_type(mood, "public", "mood", TypeKind::Enum(vec!["sad".into(), "happy".into()]));
    for line in TABLES.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, columns) = line.split_once(": ").unwrap();
        let columns = columns.split(", ").map(|column| column.split_once(' ').unwrap());
        builder.table(name, &columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect::<Vec<_>>());
        if name == "address" {
            let (oid, array) = (builder.type_oid("address"), builder.oid());
            builder.add_type(array, "public", "_address", TypeKind::Array(oid));
        }
    }
    all.extend(["mood".to_owned(), "address".to_owned(), "_address".to_owned()]);
    for (mask, _) in MASKS {
        let columns: Vec<_> = all.iter().map(|kind| (format!("c_{kind}"), kind.clone())).collect();
        builder.table(&format!("of_{mask}"), &columns);
    }
    for name in FUNCTIONS.split_whitespace() {
        builder.function(name);
    }
    builder.catalog
}

impl Builder {
    fn oid(&mut self) -> Oid {
        self.next += 1;
        Oid(self.next)
    }

    fn add_type(&mut self, oid: Oid, schema: &str, name: &str, kind: TypeKind) {
        self.catalog.add_type(Type { oid, schema: Name::exact(schema), name: Name::exact(name), kind });
    }

    fn type_oid(&self, name: &str) -> Oid {
        self.catalog.types_named(None, &Name::exact(name)).next().unwrap_or_else(|| panic!("no type {name}")).oid
    }

    fn table(&mut self, name: &str, columns: &[(String, String)]) {
        let (oid, row_type) = (self.oid(), self.oid());
        let columns = columns.iter().zip(1..).map(|((name, kind), attnum)| Column {
            attnum,
            name: Name::exact(name),
            type_oid: self.type_oid(kind),
            not_null: false,
            unique: false,
            collated: false,
            defaulted: false,
            tight: false,
            generated: None,
        });
        let columns = columns.collect();
        self.add_type(row_type, "public", name, TypeKind::Composite(oid));
        self.catalog.add_relation(Relation {
            oid,
            schema: Name::exact("public"),
            name: Name::exact(name),
            kind: RelationKind::Table,
            row_type,
            columns,
            parents: Vec::new(),
            definition: None,
            has_rules: false,
            primary_key: Vec::new(),
        });
    }

    fn function(&mut self, name: &str) {
        let oid = Oid(self.oid().0 - 10_000);
        self.catalog.add_function(Function {
            oid,
            schema: Name::exact("pg_catalog"),
            name: Name::exact(name),
            kind: FunctionKind::Function,
            language: Name::exact("internal"),
            body: None,
            inputs: vec![Oid(2283); 4],
            arguments: Vec::new(),
            outputs: Vec::new(),
            returns: Oid(25),
            volatility: pgveil::catalog::Volatility::Immutable,
            returns_set: matches!(name, "generate_series" | "unnest" | "regexp_matches"),
            extension: None,
        });
    }
}
