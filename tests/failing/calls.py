"""What can be called: functions, aggregates, operators and casts out of the catalog, and forms with a syntax of their own.

A call is a template with `{}` for each argument, and the arguments' types.
"""

from dataclasses import dataclass

from samples import SAMPLES, name_of

SKIPPED = {
    "pg_sleep": "waits", "pg_stat_file": "reads files", "pg_read_file": "reads files", "pg_ls_dir": "reads files", "pg_terminate_backend": "ends sessions",
    "pg_cancel_backend": "ends statements", "lo_get": "large objects", "query_to_xml": "runs SQL", "query_to_xmlschema": "runs SQL",
    "query_to_xml_and_xmlschema": "runs SQL", "ts_stat": "runs SQL", "ts_rewrite": "one of its forms runs SQL", "pg_get_replication_slots": "state of the server",
    "hstore_version_diag": "internal", "pg_stat_get_wal_receiver": "state of the server",
}
"""Functions that are not called: why."""
EXTENSIONS = ("hstore", "citext", "ltree", "fuzzystrmatch", "pg_trgm", "unaccent", "pgcrypto", "intarray")

FUNCTIONS = """
SELECT p.oid, CASE n.nspname WHEN 'pg_catalog' THEN '' ELSE quote_ident(n.nspname) || '.' END || quote_ident(p.proname), p.prokind,
       ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u(t, n) ORDER BY n), p.provariadic <> 0, p.proname
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE (n.nspname = 'pg_catalog' OR p.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype = 'e'))
  AND p.provolatile IN ('i', 's') AND p.prokind IN ('f', 'a', 'w') AND l.lanname IN ('internal', 'c', 'sql') AND p.pronargs > 0
  AND p.prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype, 'cstring'::regtype)
ORDER BY p.proname, p.oid
"""
OPERATORS = """
SELECT CASE WHEN o.oprleft = 0 THEN '' ELSE format_type(o.oprleft, NULL) END, o.oprname, format_type(o.oprright, NULL)
FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode WHERE p.provolatile IN ('i', 's') ORDER BY 2, o.oid
"""

FORMS = [
    ("{} AT TIME ZONE {}", "timestamptz text"), ("{} AT TIME ZONE {}", "timestamp text"), ("{} AT TIME ZONE {}", "timestamptz interval"), ("{} AT TIME ZONE {}", "timetz text"),
    ("{} LIKE {}", "text text"), ("{} ILIKE {}", "text text"), ("{} LIKE {} ESCAPE {}", "text text text"), ("{} SIMILAR TO {}", "text text"),
    ("{} SIMILAR TO {} ESCAPE {}", "text text text"), ("substring({} SIMILAR {} ESCAPE {})", "text text text"), ("substring({} FROM {} FOR {})", "text int4 int4"),
    ("substring({} FROM {})", "text text"), ("overlay({} PLACING {} FROM {} FOR {})", "text text int4 int4"), ("position({} IN {})", "text text"),
    ("trim(both {} from {})", "text text"), ("normalize({})", "text"), ("{} IS NFC NORMALIZED", "text"), ("{} IS DOCUMENT", "xml"),
    ("extract(year from {})", "timestamptz"), ("extract(hour from {})", "interval"), ("extract(year from {})", "date"), ("extract(epoch from {})", "time"),
    ("ARRAY[{}, {}]", "text[] text[]"), ("ARRAY[{}, {}]", "int4[] int4[]"), ("({})[{}]", "int4[] int4"), ("({})[{}:{}]", "text[] int4 int4"), ("({})[{}]", "jsonb text"), ("({})[{}]", "jsonb int4"),
    ("{} = ANY ({})", "text text[]"), ("{} < ALL ({})", "text text[]"), ("{} ~ ANY ({})", "text text[]"), ("{} LIKE ANY ({})", "text text[]"), ("{} IN ({}, {})", "text text text"),
    ("{} BETWEEN {} AND {}", "text text text"), ("{} IS DISTINCT FROM {}", "text text"), ("{} = {}", "record record"), ("{} < {}", "record record"), ("{} IN ({})", "record record"),
    ("coalesce({}, {})", "text text"), ("nullif({}, {})", "text text"), ("greatest({}, {})", "text text"), ("greatest({}, {})", "record record"), ("concat({}, {})", "text text"),
    ("concat_ws({}, {}, {})", "text text text"), ("format({}, {}, {})", "text text text"), ("format('%1$s', {})", "text"), ("format('%I', {})", "text"),
    ("format('%*s', {}, {})", "int4 text"), ("json_build_object({}, {})", "text text"), ("jsonb_build_object({}, {})", "text text"), ("jsonb_build_object({}, {})", "text[] text"),
    ("json_build_array({}, {})", "text text"), ("num_nulls({}, {})", "text text"), ("pg_typeof({})", "text"),
    ("xmlparse(document {})", "text"), ("xmlparse(content {})", "text"), ("xmlpi(name a, {})", "text"), ("xmlelement(name a, {})", "text"),
    ("xmlelement(name a, xmlattributes({} as b))", "text"), ("xmlforest({} as b)", "text"), ("xmlconcat({}, {})", "xml xml"), ("xmlserialize(document {} as text)", "xml"),
    ("xmlserialize(content {} as text)", "xml"), ("xmlroot({}, version {})", "xml text"), ("xmlexists({} passing {})", "text xml"),
    ("percentile_disc({}) WITHIN GROUP (ORDER BY 1)", "float8"), ("percentile_cont({}) WITHIN GROUP (ORDER BY 1.5)", "float8"),
    ("percentile_cont({}) WITHIN GROUP (ORDER BY 1.5)", "float8[]"), ("percentile_cont(0.5) WITHIN GROUP (ORDER BY {})", "float8"), ("mode() WITHIN GROUP (ORDER BY {})", "text"),
    ("rank({}) WITHIN GROUP (ORDER BY 'a'::text)", "text"),
    ("({})::numeric(3,1)", "numeric"), ("({})::numeric(3,1)", "text"), ("({})::varchar(3)", "text"), ("({})::char(3)", "text"), ("({})::varbit(3)", "varbit"), ("({})::bit(3)", "bit"),
    ("({})::interval(2)", "interval"), ("({})::timestamp(2)", "timestamp"), ("({})::timestamptz(0)", "timestamptz"), ("({})::interval year", "interval"),
    ("(SELECT count(*) FROM generate_series({}, {}, {}))", "int4 int4 int4"), ("(SELECT count(*) FROM json_to_recordset({}) AS t(a int))", "json"),
    ("(SELECT count(*) FROM jsonb_to_record({}) AS t(a int))", "jsonb"), ("(SELECT count(*) FROM jsonb_to_record({}) AS t(a text[]))", "jsonb"),
    ("(SELECT count(*) FROM json_populate_record(NULL::pg_am, {}))", "json"), ("(SELECT count(*) FROM jsonb_populate_recordset(NULL::pg_am, {}))", "jsonb"),
    ("(SELECT count(*) FROM ROWS FROM (unnest({}), unnest({})))", "text[] text[]"),
    ("(SELECT count(x) FROM xmltable({} PASSING {} COLUMNS x int PATH {}) t)", "text xml text"), ("hstore({}, {})", "text text"),
    ("array_fill({}, {}, {})", "text int4[] int4[]"), ("split_part({}, {}, {})", "text text int4"),
]


@dataclass(frozen=True)
class Call:
    name: str
    template: str
    types: tuple[str, ...]


def aggregate(name: str, types: tuple[str, ...]) -> Call:
    """Over two rows."""
    names = [f"c{number}" for number in range(len(types))]
    row = "(" + ", ".join("{}" for _ in types) + ")"
    return Call(name, f"(SELECT {name}({', '.join(names)}) FROM (VALUES {row}, {row}) AS t({', '.join(names)}))", types * 2)


def functions(rows) -> list[Call]:
    found = []
    for _, name, kind, formatted, variadic, bare in rows:
        types = tuple(name_of(one) for one in formatted)
        if bare in SKIPPED or any(of not in SAMPLES for of in types) or len(types) > 6:
            continue
        places = ["{}" for _ in types]
        if variadic and types[-1].endswith("[]"):
            places[-1] = "VARIADIC {}"
        if kind == "a":
            found.append(aggregate(name, types))
        else:
            found.append(Call(name, f"{name}({', '.join(places)})" + (" OVER ()" if kind == "w" else ""), types))
    return found


def operators(rows) -> list[Call]:
    found = []
    for left, name, right in rows:
        one, two = name_of(left), name_of(right)
        if left == "":
            if two in SAMPLES:
                found.append(Call(name, f"{name} {{}}", (two,)))
        elif one in SAMPLES and two in SAMPLES:
            found.append(Call(name, f"{{}} {name} {{}}", (one, two)))
    return found


def casts() -> list[Call]:
    types = [of for of in SAMPLES if of != "record"]
    return [Call(f"::{target}", f"({{}})::{target}", (source,)) for target in types for source in types if source != target]


def forms() -> list[Call]:
    return [Call(template, template, tuple(types.split())) for template, types in FORMS]
