//! A small database for tests, and lineages as text.

use std::collections::BTreeMap;

use super::{FilterKind, Flow, Lineage, Origin, Source, Taint, Unknown};
use crate::catalog::{
    Catalog, CatalogVersion, Column, Function, FunctionKind, Name, Oid, Relation, RelationKind, Type, TypeKind,
};

const SCHEMA: &str = "
    type pg_catalog.bool = 16
    type pg_catalog.bytea = 17
    type pg_catalog.name = 19
    type pg_catalog.int8 = 20
    type pg_catalog.int4 = 23
    type pg_catalog.text = 25
    type pg_catalog.json = 114
    type pg_catalog.xml = 142
    type pg_catalog.bpchar = 1042
    type pg_catalog.varchar = 1043
    type pg_catalog.date = 1082
    type pg_catalog.timestamptz = 1184
    type pg_catalog.numeric = 1700
    type pg_catalog.record = 2249
    type pg_catalog.anyelement = 2283
    type pg_catalog.anyarray = 2277
    type pg_catalog.uuid = 2950
    type pg_catalog.tsvector = 3614
    type pg_catalog.jsonb = 3802
    array pg_catalog._text of text
    array pg_catalog._int4 of int4
    type public.citext = 20001
    domain public.email_address of text
    domain public.short_name of varchar
    composite public.address(street text, city text)
    table public.customers(id int4, name text, email text, phone text, street text, city text, card_number text, notes text, tenant_id int4)
    table public.orders(id int4, customer_id int4, customer_email text, amount numeric)
    table public.scratch(t text)
    table public.staff(id int4, home address, mail email_address, tags _text, born date, doc jsonb)
    table public.\"Customers\"(email text)
    view public.customers_v(id int4, name text, contact text, phone text)
    view public.customers_sb(id int4, name text, email text)
    table public.people_p(id int4, email text, region int4)
    table public.people_p1(id int4, email text, region int4)
    table a.twins(id int4, email text)
    table b.twins(id int4, email text)
    table a.cousins(id int4, email text)
    table b.cousins(email text, id int4, extra text)
    table public.parameters(id int4, email text)
    view information_schema.parameters(specific_name name, ordinal int4)
    table pg_catalog.pg_class(oid int8, relname name, relkind text)
    table pg_catalog.pg_stats(tablename name, most_common_vals anyarray)
    function public.get_email(int4) text sql
    function public.get_customers() setof customers sql
    function public.out_fn(int4) record sql (nm text, em text)
    function public.one_out(int4) text sql (mail text)
    function public.initcap(text) text sql
    function public.dyn(text) text plpgsql
    function public.tells(text) bool plpgsql
    table pg_toast.pg_toast_20000(chunk_id int4, chunk_seq int4, chunk_data bytea)
    table pg_catalog.pg_largeobject(loid int4, pageno int4, data bytea)
    function public.digest(text, text) bytea c pgcrypto
    function public.soundex(text) text c fuzzystrmatch
    function public.heap_things(text) text c pageinspect
";

/// Built-in functions without anything special in what they return.
const BUILT_IN: &str = "
    upper text; lower text; substr text; left text; length int4; format text; concat text; concat_ws text; md5 text;
    encode text; convert_to bytea; ascii int4; translate text; split_part text; to_tsvector tsvector; row_to_json json;
    to_json json; to_jsonb jsonb; json_build_object json; jsonb_build_object jsonb; jsonb_build_array jsonb; json_agg json; jsonb_agg jsonb;
    jsonb_object_agg jsonb; string_agg text; array_agg anyarray; max anyelement; min anyelement; sum int8; avg numeric;
    count int8; bool_or bool; every bool; rank int8; row_number int8; ntile int4; first_value anyelement;
    last_value anyelement; lag anyelement; lead anyelement; nth_value anyelement; mode anyelement;
    percentile_disc anyelement; percentile_cont numeric; now timestamptz; btrim text; replace text; chr text;
    pg_typeof text; num_nonnulls int4; any_value anyelement; quote_literal text; jsonb_pretty text; pg_column_size int4;
    record_out text; strpos int4; starts_with bool; current_setting text; set_config text; pg_notify text; random numeric;
    query_to_xml xml; pg_get_viewdef text; pg_backend_pid int4; date_trunc timestamptz; repeat text; to_char text;
    array_append anyarray; array_position int4; lo_get bytea; initcap text; ts_rewrite text; nextval int8; text text;
    lpad text; date_part numeric; string_to_array _text; json_object json; abs int4; age timestamptz; right text
";

const BUILT_IN_SETS: &str = "
    function pg_catalog.generate_series(int4, int4) setof int4 internal
    function pg_catalog.generate_series(int8, int8) setof int8 internal
    function pg_catalog.unnest(anyarray) setof anyelement internal
    function pg_catalog.unnest(tsvector) setof record internal (lexeme text, positions _int4, weights _text)
    function pg_catalog.regexp_split_to_table(text, text) setof text internal
    function pg_catalog.regexp_matches(text, text) setof _text internal
    function pg_catalog.json_each_text(json) setof record internal (key text, value text)
    function pg_catalog.jsonb_each_text(jsonb) setof record internal (key text, value text)
    function pg_catalog.json_to_record(json) record internal
    function pg_catalog.jsonb_populate_record(anyelement, jsonb) anyelement internal
    function pg_catalog.jsonb_array_elements_text(jsonb) setof text internal (value text)
    function pg_catalog.jsonb_array_elements(jsonb) setof jsonb internal (value jsonb)
    function pg_catalog.jsonb_object_keys(jsonb) setof text internal
    function pg_catalog.jsonb_each(jsonb) setof record internal (key text, value jsonb)
    function pg_catalog.jsonb_path_query(jsonb, text, jsonb, bool) setof jsonb internal
    function pg_catalog.jsonb_path_query_first(jsonb, text, jsonb, bool) jsonb internal
    function pg_catalog.jsonb_path_query_array(jsonb, text, jsonb, bool) jsonb internal
";

struct Builder {
    catalog: Catalog,
    next: u32,
    next_built_in: u32,
}

/// The fixture's database.
pub(super) fn catalog() -> Catalog {
    let catalog = Catalog::new(CatalogVersion(1), Name::exact("veilrow"));
    let mut builder = Builder { catalog, next: 20_100, next_built_in: 5_100 };
    for line in SCHEMA.lines().chain(BUILT_IN_SETS.lines()).map(str::trim).filter(|line| !line.is_empty()) {
        builder.line(line);
    }
    for entry in BUILT_IN.split(';').map(str::trim) {
        let (name, returns) = entry.split_once(' ').unwrap();
        let inputs = if name == "count" { "anyelement".to_owned() } else { ["anyelement"; 8].join(", ") };
        builder.line(&format!("function pg_catalog.{name}({inputs}) {returns} internal"));
    }
    builder.catalog
}

impl Builder {
    fn oid(&mut self, schema: &str) -> Oid {
        let next = if matches!(schema, "pg_catalog" | "information_schema") {
            &mut self.next_built_in
        } else {
            &mut self.next
        };
        *next += 1;
        Oid(*next)
    }

    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        let (schema, rest) = rest.split_once('.').unwrap();
        match word {
            "type" => {
                let (name, oid) = rest.split_once(" = ").unwrap();
                let kind = if matches!(name, "record" | "anyelement" | "anyarray") {
                    TypeKind::Pseudo
                } else {
                    TypeKind::Base
                };
                self.add_type(Oid(oid.parse().unwrap()), schema, name, kind);
            }
            "array" | "domain" => {
                let (name, of) = rest.split_once(" of ").unwrap();
                let of = self.type_oid(of);
                let kind = if word == "array" { TypeKind::Array(of) } else { TypeKind::Domain(of) };
                let oid = self.oid(schema);
                self.add_type(oid, schema, name, kind);
            }
            "function" => self.function(schema, rest),
            _ => self.relation(word, schema, rest),
        }
    }

    fn relation(&mut self, word: &str, schema: &str, rest: &str) {
        let (name, columns) = rest.split_once('(').unwrap();
        let name = name.trim_matches('"');
        let (oid, row_type) = (self.oid(schema), self.oid(schema));
        self.add_type(row_type, schema, name, TypeKind::Composite(oid));
        let columns = self.pairs(columns).into_iter().zip(1..);
        let columns = columns
            .map(|((name, type_oid), attnum)| Column {
                attnum,
                name,
                type_oid,
                not_null: false,
                unique: false,
                collated: false,
                defaulted: false,
                tight: false,
                generated: None,
            })
            .collect();
        let kind = match word {
            "table" => RelationKind::Table,
            "view" => RelationKind::View,
            "composite" => RelationKind::CompositeType,
            other => panic!("{other}"),
        };
        self.catalog.add_relation(Relation {
            oid,
            schema: Name::exact(schema),
            name: Name::exact(name),
            kind,
            row_type,
            columns,
            parents: Vec::new(),
            definition: None,
            has_rules: false,
            primary_key: Vec::new(),
        });
    }

    /// `name(inputs) [setof] type language [extension] [(outputs)]`
    fn function(&mut self, schema: &str, rest: &str) {
        let (name, rest) = rest.split_once('(').unwrap();
        let (inputs, rest) = rest.split_once(')').unwrap();
        let inputs = inputs.split(',').map(str::trim).filter(|input| !input.is_empty());
        let inputs = inputs.map(|input| self.type_oid(input)).collect();
        let (rest, outputs) =
            rest.split_once('(').map_or((rest, Vec::new()), |(rest, outputs)| (rest, self.pairs(outputs)));
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        let returns_set = words[0] == "setof";
        if returns_set {
            words.remove(0);
        }
        let oid = self.oid(schema);
        self.catalog.add_function(Function {
            oid,
            schema: Name::exact(schema),
            name: Name::exact(name),
            kind: FunctionKind::Function,
            language: Name::exact(words[1]),
            body: None,
            inputs,
            arguments: Vec::new(),
            outputs,
            returns: self.type_oid(words[0]),
            returns_set,
            volatility: crate::catalog::Volatility::Immutable,
            extension: words.get(2).map(|extension| Name::exact(extension)),
        });
    }

    fn pairs(&self, text: &str) -> Vec<(Name, Oid)> {
        let pairs = text.trim_end_matches(')').split(", ").map(|pair| pair.split_once(' ').unwrap());
        pairs.map(|(name, type_name)| (Name::exact(name), self.type_oid(type_name))).collect()
    }

    fn type_oid(&self, name: &str) -> Oid {
        let mut known = self.catalog.types_named(None, &Name::exact(name));
        known.next().unwrap_or_else(|| panic!("no type {name}")).oid
    }

    fn add_type(&mut self, oid: Oid, schema: &str, name: &str, kind: TypeKind) {
        self.catalog.add_type(Type { oid, schema: Name::exact(schema), name: Name::exact(name), kind });
    }
}

/// The result columns as text: `name = origin`, origins as [`taint_text`] writes them, rows in braces.
pub(super) fn outputs_text(catalog: &Catalog, lineage: &Lineage) -> String {
    let mut outputs: Vec<String> = lineage
        .outputs
        .iter()
        .map(|output| {
            let name = output.name.as_ref().map_or("*", Name::as_str);
            format!("{name} = {}", origin_text(catalog, &output.origin))
        })
        .collect();
    if lineage.open_ended {
        outputs.push("...".to_owned());
    }
    outputs.join(", ")
}

fn origin_text(catalog: &Catalog, origin: &Origin) -> String {
    match origin {
        Origin::Value(taint) => taint_text(catalog, taint),
        Origin::Row(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| origin_text(catalog, field)).collect();
            let fields = fields.join(", ");
            let whole = catalog.relations().find(|relation| columns_text(catalog, relation) == fields);
            match whole {
                Some(relation) => format!("{{{}.*}}", relation.name),
                None => format!("{{{fields}}}"),
            }
        }
    }
}

fn columns_text(catalog: &Catalog, relation: &Relation) -> String {
    let source = |attnum| Source::Column { relation: relation.oid, attnum };
    let columns = relation.columns.iter().map(|column| source_text(catalog, source(column.attnum)));
    columns.collect::<Vec<_>>().join(", ")
}

/// `customers.email` (direct), `~customers.email` (derived), `#customers.email` (counted), `-` (clean), `?Relation`
/// (unknown); several with `+`; `customers.*` for all columns of a relation.
pub(super) fn taint_text(catalog: &Catalog, taint: &Taint) -> String {
    let mut parts: Vec<String> = taint
        .sources
        .iter()
        .map(|(source, flow)| {
            let mark = match flow {
                Flow::Counted => "#",
                Flow::Direct => "",
                Flow::Derived => "~",
            };
            format!("{mark}{}", source_text(catalog, *source))
        })
        .collect();
    for relation in catalog.relations().filter(|relation| relation.columns.len() > 1) {
        for mark in ["", "~", "#"] {
            let columns = columns_text(catalog, relation);
            let all: Vec<String> = columns.split(", ").map(|column| format!("{mark}{column}")).collect();
            if all.iter().all(|column| parts.contains(column)) {
                parts.retain(|part| !all.contains(part));
                parts.push(format!("{mark}{}.*", relation.name));
            }
        }
    }
    parts.extend(taint.unknown.map(|reason: Unknown| format!("?{reason:?}")));
    if parts.is_empty() { "-".to_owned() } else { parts.join("+") }
}

fn source_text(catalog: &Catalog, source: Source) -> String {
    match source {
        Source::Column { relation, attnum } => {
            let relation = catalog.relation(relation).unwrap();
            let schema = match relation.schema.as_str() {
                "public" => String::new(),
                other => format!("{other}."),
            };
            format!("{schema}{}.{}", relation.name, relation.attribute(attnum).unwrap().name)
        }
        Source::Function(oid) => format!("{}()", catalog.function(oid).unwrap().name),
        Source::Field { function, position } => format!("{}().{position}", catalog.function(function).unwrap().name),
    }
}

/// The filter uses as text, by column, those of `id` columns left out: `customers.email Equality Sort`.
pub(super) fn filters_text(catalog: &Catalog, lineage: &Lineage) -> String {
    let mut by_column: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for used in &lineage.filters {
        let kind = match used.kind {
            FilterKind::Join(other) => format!("Join({})", source_text(catalog, other)),
            other => format!("{other:?}"),
        };
        by_column.entry(source_text(catalog, used.source)).or_default().push(kind);
    }
    by_column.retain(|column, _| !column.ends_with(".id") && !column.ends_with("_id"));
    let mut parts: Vec<String> =
        by_column.iter().map(|(column, kinds)| format!("{column} {}", kinds.join(" "))).collect();
    parts.extend(lineage.filters_unknown.map(|reason| format!("?{reason:?}")));
    parts.join(", ")
}

/// What is written, as text: `scratch.t := customers.email`.
pub(super) fn writes_text(catalog: &Catalog, lineage: &Lineage) -> String {
    let made = lineage.into.iter().flatten();
    let made = made.map(|output| format!("? := {}", taint_text(catalog, &output.origin.taint())));
    let writes = lineage.writes.iter().map(|write| {
        let target = match (write.relation, write.attnum) {
            (Some(relation), Some(attnum)) => source_text(catalog, Source::Column { relation, attnum }),
            (Some(relation), None) => format!("{}.?", catalog.relation(relation).unwrap().name),
            (None, _) => "?".to_owned(),
        };
        format!("{target} := {}", taint_text(catalog, &write.taint))
    });
    writes.chain(made).collect::<Vec<_>>().join(", ")
}
