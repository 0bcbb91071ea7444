"""Values of each type that functions may stumble over: empty, long, negative, huge, malformed, ragged.

Each is the text of a literal; a type that refuses one of them as input drops it.
"""

TEXTS = [
    "a", "", "ab", " ", "1", "-1", "0", "1.5", "99999999999999999999", "year", "hour", "nosuch", "NFC", "pg_class", "a.b.c.d.e", '"', "pg_class()",
    "no such(", "a\\", "(", "*", "%", "%s", "%1$s", "%n", "{a,b}", "{", "[1]", '{"a": 1}', "<a/>", "<", "utf8", "sha256", "hex", "zz", "a & b", "a &",
    "2020-01-31", "Europe/Paris", "g", "simple", "postgres", "select", "--", "?>", "xml", "AM", "UTC", "é", "ß€", "\U0001f600", "\x01", "x" * 70, "x" * 300,
]
ARRAYS = ["{%a,%b}", "{}", "{NULL}", "{%a}", "{%a,%b,%a}", "{{%a,%b},{%b,%a}}", "{{%a}}", "[5:6]={%a,%b}", "{%a,NULL}", "{{%a,%b,%a}}"]
INTS = ["0", "1", "-1", "2", "5", "64", "1000", "55296", "1114112", "32767", "-32768", "2147483647", "-2147483648", "9223372036854775807",
        "-9223372036854775808"]
JSONS = ["1", '"a"', "null", "true", "[]", "{}", "[1, 2]", '["a", "b"]', '{"a": 1}', '{"a": {"b": [1, null]}}', '[{"a": 1}]', '{"a": "x", "a": "y"}',
         '"\\u0000"', '"\\ud800"', "1e400", '"2020-01-01"', "[[1]]", '[1, {"a": "x"}]', '{"f1": "x", "f2": 1}']
TIMES = ["2020-01-31 10:00", "infinity", "-infinity", "0001-01-01 BC", "4713-01-01 BC", "294276-12-31", "5874897-12-31", "1970-01-01", "2000-02-29 23:59:60"]

RANGES = {"int4": ("1", "2", "2147483646", "2147483647"), "int8": ("1", "2", "9223372036854775806", "9223372036854775807"), "num": ("1", "2", "3", "1e1000"),
          "ts": ("2000-01-01", "2001-01-01", "2020-01-01", "294276-01-01"), "tstz": ("2000-01-01", "2001-01-01", "2020-01-01", "294276-01-01"),
          "date": ("2000-01-01", "2001-01-01", "2020-01-01", "5874897-01-01")}


def arrays(one: str, other: str) -> list[str]:
    return [form.replace("%a", one).replace("%b", other) for form in ARRAYS]


def ranges(a: str, b: str, c: str, d: str) -> list[str]:
    return ["empty", f"[{a},{b}]", f"[{a},{b})", f"({a},{c})", f"[{c},{d})", f"[{c},{d}]", "(,)", f"({a},)", f"(,{b})", f"[{d},{d}]"]


SAMPLES = {
    "bool": ["true", "false"],
    "bytea": ["", "a", "\\x00", "\\xff", "\\xc3", "\\x30810a", "abcdefgh", "\\x" + "00" * 20],
    '"char"': ["", "a", "A", "z", "-", "\\377"],
    "name": ["a", "", "pg_class", "nosuch", "a b", "x" * 63],
    "int8": INTS, "int4": INTS, "int2": INTS,
    "oid": ["0", "1", "10", "23", "1259", "2200", "16384", "4294967295"],
    "xid": ["0", "3", "4294967295"], "xid8": ["0", "3", "18446744073709551615"], "cid": ["0", "7"], "tid": ["(0,0)", "(0,1)", "(4294967295,65535)"],
    "regproc": ["now", "-", "0", "99999"], "regprocedure": ["now()", "-", "99999"], "regoper": ["!~~*", "0", "99999"], "regoperator": ["+(int4,int4)", "0", "99999"],
    "regclass": ["pg_class", "-", "99999", "pg_database", "pg_class_oid_index"], "regtype": ["int4", "-", "99999", "_text", "pg_class"], "regrole": ["postgres", "-", "99999"],
    "regnamespace": ["pg_catalog", "-", "99999"], "regconfig": ["simple", "english", "99999"], "regdictionary": ["simple", "99999"], "regcollation": ['"C"', "99999"],
    "text": TEXTS,
    "json": JSONS, "jsonb": JSONS, "jsonpath": ["$", "$.a", "$.a[*]", "strict $.a", "$[5]", "strict $[5]", "$ ? (@ > 1)", "$.a.datetime()", "$.a / 0", "$.double()", "$x", "-$"],
    "xml": ["<a/>", "a", "", "<a/><b/>", "<a>x</a>", "<!-- x -->"],
    "point": ["(0,0)", "(1,1)", "(1e300,1e300)", "(NaN,0)", "(-1,2)", "(inf,-inf)", "(1e-320,0)"],
    "lseg": ["[(0,0),(1,1)]", "[(0,0),(0,0)]", "[(1e300,1e300),(-1e300,0)]", "[(NaN,0),(1,1)]"],
    "line": ["{1,1,0}", "{0,1,1}", "{1,0,1}", "{1e300,1e300,1}", "{NaN,1,1}"],
    "box": ["(1,1),(0,0)", "(0,0),(0,0)", "(1e300,1e300),(-1e300,-1e300)", "(NaN,1),(0,0)"],
    "path": ["((0,0),(1,1))", "[(0,0),(1,1)]", "((0,0))", "[(1e300,1e300),(-1e300,0)]", "[(NaN,0),(1,1)]", "((0,0),(0,0),(0,0))"],
    "polygon": ["((0,0),(1,1),(1,0))", "((0,0))", "((1e300,1e300),(-1e300,0))", "((0,0),(0,0))", "((NaN,0),(1,1))"],
    "circle": ["<(0,0),1>", "<(0,0),0>", "<(1e300,0),1e300>", "<(NaN,0),1>"],
    "float8": ["0", "1", "-1", "0.5", "2", "-0.5", "1e308", "-1e308", "1e-320", "NaN", "inf", "-inf", "1e10", "1e20", "100000", "710"],
    "float4": ["0", "1", "-1", "0.5", "2", "3e38", "-3e38", "1e-45", "NaN", "inf", "-inf", "1e10"],
    "numeric": ["0", "1", "-1", "0.5", "2", "-0.5", "1e1000", "1e131071", "-1e131071", "1e-1000", "NaN", "inf", "-inf", "1e10", "1e20", "100000", "6000"],
    "money": ["0", "1", "-1", "92233720368547758.07", "-92233720368547758.08"],
    "macaddr": ["08:00:2b:01:02:03", "00:00:00:00:00:00"], "macaddr8": ["08:00:2b:01:02:03:04:05", "08:00:2b:ff:fe:01:02:03"],
    "inet": ["1.2.3.4", "1.2.3.0/24", "255.255.255.255", "0.0.0.0/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1.2.3.4/8", "::/0"],
    "cidr": ["1.2.3.0/24", "0.0.0.0/0", "::/0", "1.2.3.4/32", "::1/128"],
    "bpchar": ["a", "", "ab ", "1"], "varchar": TEXTS[:24],
    "date": TIMES, "timestamp": TIMES, "timestamptz": TIMES, "time": ["00:00", "24:00", "10:00", "23:59:59.999999"],
    "timetz": ["00:00+00", "24:00-15:59", "10:00+15:59", "23:59:59.999999+01"],
    "interval": ["0", "1 day", "-1 day", "1 month", "178000000 years", "-178000000 years", "1 year 1 mon 1 day 01:00", "2562047788:00:54.775807", "2147483647 days",
                 "00:00:01", "-00:00:01", "15:00", "200:00", "1 mon"],
    "bit": ["0", "1", "101", "", "1" * 70], "varbit": ["0", "1", "101", "", "1" * 70],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "pg_lsn": ["0/0", "0/1", "FFFFFFFF/FFFFFFFF"],
    "tsvector": ["", "a", "a:1A b:2", "'a b':16383", "a:1 a:2 c:3D"],
    "tsquery": ["", "a", "a & b", "!a", "a <-> b", "a <16384> b", "a | !b", "a:*"],
    "txid_snapshot": ["1:1:", "1:5:2,3"], "pg_snapshot": ["1:1:", "1:5:2,3"],
    **{f"{name}range": ranges(*bounds) for name, bounds in RANGES.items()},
    **{f"{name}multirange": ["{}", *(f"{{{one}}}" for one in ranges(*bounds)[1:7]), f"{{[{bounds[0]},{bounds[0]}], [{bounds[2]},{bounds[2]}]}}"]
       for name, bounds in RANGES.items()},
    "int4[]": [*arrays("1", "2"), "{0}", "{-1}", "{2147483647,2147483647}"], "int8[]": arrays("1", "2"), "int2[]": arrays("1", "2"), "oid[]": arrays("23", "25"),
    "text[]": [*arrays("a", "b"), "{1}", "{a,1}", '{""}', "{a,b,c,d}", "{-1}", "{{a,b},{a,NULL}}", "{NULL,a}", "{(,a}", "{%}", r"{a\\}"], "name[]": arrays("a", "b"), "varchar[]": arrays("a", "b"),
    '"char"[]': ["{}", "{a}", "{A,b}", "{z}", "{NULL}", "{{a,b}}"], "float8[]": [*arrays("1", "2"), "{0.1,0.2,0.4,1.0}", "{-1,-1,-1,-1}", "{2,2,2,2}", "{NaN}"],
    "float4[]": [*arrays("1", "0.5"), "{0.1,0.2,0.4,1.0}", "{2,2,2,2}", "{NULL,1,1,1}", "{-1,-1,-1,-1}"], "numeric[]": arrays("1", "2"), "bool[]": arrays("t", "f"),
    "json[]": arrays("1", "2"), "jsonb[]": arrays("1", "2"), "xml[]": arrays("a", "b"), "bytea[]": arrays("a", "b"), "regtype[]": arrays("int4", "text"),
    "tsquery[]": arrays("a", "b"), "timestamptz[]": arrays("2020-01-01", "2021-01-01"), "date[]": arrays("2020-01-01", "infinity"),
    "hstore": ["", "a=>1", "a=>NULL", "a=>1,b=>2", "f1=>x,f2=>y"], "citext": TEXTS[:24],
    "ltree": ["", "a", "a.b", "a.b.c"], "lquery": ["*", "a.*", "*.b{1}"], "ltxtquery": ["a", "a & b"], "ltree[]": arrays("a", "b"), "lquery[]": arrays("*", "b"),
    "hstore[]": arrays('"a=>1"', '"b=>2"'), "query_int": ["1", "1&2", "!3"],
    "record": ["ROW(1, 'a'::text)", "ROW()", "ROW(2, 'b'::text)", "ROW('a'::text, 1)", "ROW(1)", "ROW(1, point '(0,0)')", "ROW(NULL, NULL)"],
}
"""By type; `record`: expressions."""

NAMES = {"character varying": "varchar", "character": "bpchar", "boolean": "bool", "bigint": "int8", "integer": "int4", "smallint": "int2", "double precision": "float8",
         "real": "float4", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", "time without time zone": "time",
         "time with time zone": "timetz", "bit varying": "varbit"}
"""What format_type() calls a type: what it is called here."""

POLYMORPHIC = {
    "anyelement": "text", "anynonarray": "text", "anycompatible": "text", "anycompatiblenonarray": "text", "any": "text", "anyarray": "text[]",
    "anycompatiblearray": "text[]", "anyrange": "int4range", "anycompatiblerange": "int4range", "anymultirange": "int4multirange",
    "anycompatiblemultirange": "int4multirange",
}


def name_of(formatted: str) -> str:
    """`character varying[]`: `varchar[]`."""
    bare = formatted.removesuffix("[]").strip('"') if formatted.startswith('"any') else formatted.removesuffix("[]")
    return POLYMORPHIC.get(bare, NAMES.get(bare, bare)) + ("[]" if formatted.endswith("[]") else "")


def literal(text: str, of: str) -> str:
    if of == "record":
        return text
    quoted = "'" + text.replace("'", "''") + "'"
    if of.startswith("bit") or of == "varbit":
        return f"({quoted}::varbit)" if of == "varbit" else f"B{quoted}"
    if "\\" in text:
        quoted = " E" + quoted.replace("\\", "\\\\")
    return f"({quoted}::{of})"
