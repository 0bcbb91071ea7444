"""Masks keep the type: every built-in type, every mask, text and binary, simple and extended protocol.

One table has a column of every type that `pg_type` lists, and arrays and rows of them; one user sees all of it under one
mask. What is shown is worked out once more here, from the description of the masks (policies/README.md), and the server
itself says whether it is a value of the type, and that the text and the binary form mean the same value.
"""

import ipaddress
import json
import re
import struct
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from pathlib import Path

import pytest

from harness import copy, masks, wire
from harness.pgveil import ROOT
from harness.wire import Raw

HERE = Path(__file__).parent
DATABASE = "types"

# ---- The values ------------------------------------------------------------------------------------------------------

TEXTS = [
    "Jane Doe", "jane@example.org", "+49 30 555-0123", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "192.0.2.77", "",
    "a",
    "日本語 Zoë \"q\\u'o\" {x},(y);", "NULL", "2001:db8:1:2::3/64", " \t ", "zoë.ümläut@exämple.co.uk", "10000", "null",
    "j###@#######.###", "𝔘𝔫𝔦", "line\none\r\nline\ttwo\\n", "\\N", "x" * 3000 + "é",
]
MOMENTS = [
    "1984-02-29 13:45:06.789012", "infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999",
    "0044-03-15 12:00:00 BC", "2024-01-01 00:00:00", "1999-12-31 23:59:59.5", "0001-01-01 00:00:01", "10000-05-06 07:08:09",
]
GIVEN = {
    "bool": ["t", "f"],
    "bytea": ["\\x4a616e6520446f65", "\\x", "\\x00ff5c27", "\\x" + "ab" * 2000],
    "char": ["J", "", " ", '"', "\\", ","],
    "name": [text for text in TEXTS if len(text.encode()) < 64],
    "int2": ["47", "0", "-32768", "32767", "40", "-15", "15", "-40", "32760"],
    "int4": ["51780", "0", "-2147483648", "2147483647", "40", "-15", "15", "-40", "7"],
    "int8": ["51780", "0", "-9223372036854775808", "9223372036854775807", "40", "-15", "15", "-40", "9007199254740993"],
    "float4": ["51780.25", "0", "-0", "3.4028235e+38", "1e-45", "NaN", "Infinity", "-Infinity", "-15", "0.1", "12.25", "1e+10"],
    "float8": ["51780.25", "0", "-0", "1.7976931348623157e+308", "5e-324", "NaN", "Infinity", "-Infinity", "-15", "0.1", "12.25"],
    "numeric": ["51780.25", "0", "-0.001", "NaN", "Infinity", "-Infinity", "9" * 130 + "." + "5" * 40, "40.000", "-15", "12.25",
                "1" + "0" * 600, "0." + "0" * 300 + "1"],
    "money": ["$51,780.25", "$0.00", "-$92,233,720,368,547,758.08"],
    "oid": ["4711", "0", "4294967295"],
    "xid": ["4711", "0", "4294967295"],
    "cid": ["4711", "0", "4294967295"],
    "xid8": ["4711", "0", "18446744073709551615"],
    "tid": ["(47,11)", "(0,0)", "(4294967295,65535)"],
    "regproc": ["pg_sleep", "-"],
    "regprocedure": ["upper(text)", "-"],
    "regoper": ["||/", "0"],
    "regoperator": ["+(integer,integer)", "0"],
    "regclass": ["pg_class", "-"],
    "regtype": ["integer", "-"],
    "regcollation": ['"C"', "-"],
    "regrole": ["pgveil", "-"],
    "regnamespace": ["pg_catalog", "-"],
    "regconfig": ["english", "-"],
    "regdictionary": ["english_stem", "-"],
    "json": ['{"name": "Jane Doe"}', "null", "[]", ' { "a" : "日本" } ', "4711", '"a, \\"b\\" (c) {d}"'],
    "jsonb": ['{"name": "Jane Doe"}', "null", "[]", '{"a": "日本"}', "4711", '"a, \\"b\\" (c) {d}"'],
    "jsonpath": ['$."name"[*]?(@ == "Jane")', "$"],
    "xml": ["<name>Jane Doe</name>", "", "plain text"],
    "point": ["(47.5,-11)", "(0,0)", "(1e+300,Infinity)"],
    "lseg": ["[(1,2),(3,4)]", "[(0,0),(0,0)]"],
    "path": ["((1,2),(3,4),(5,6))", "[(1,2),(3,4)]"],
    "box": ["(3,4),(1,2)", "(0,0),(0,0)"],
    "polygon": ["((1,2),(3,4),(5,7))", "((0,0))"],
    "line": ["{1,2,3}", "{0,1,0}"],
    "circle": ["<(1,2),3>", "<(0,0),0>"],
    "macaddr": ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "ff:ff:ff:ff:ff:ff:ff:ff"],
    "inet": ["192.0.2.77", "192.168.1.77/28", "10.1.2.3/8", "2001:db8:1:2::3", "2001:db8:1:2::3/64", "255.255.255.255", "::1",
             "0.0.0.0/0", "::ffff:1.2.3.4", "192.0.2.0", "192.0.2.0/24"],
    "cidr": ["192.0.2.77/32", "192.168.1.64/28", "10.0.0.0/8", "2001:db8:1:2::/64", "2001:db8::3/128", "0.0.0.0/0", "::/0"],
    "aclitem": ["pgveil=r/postgres"],
    "uuid": ["0f8fad5b-d9cb-469f-a165-70867728950e", "00000000-0000-0000-0000-000000000000"],
    "date": ["1984-02-29", "infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "0044-03-15 BC", "2024-01-01", "0001-01-02"],
    "time": ["13:45:06.789012", "00:00:00", "24:00:00"],
    "timetz": ["13:45:06.789012+05:30", "00:00:00+00", "24:00:00-15:59"],
    "timestamp": MOMENTS,
    "timestamptz": [re.sub(r"(\d\d:\d\d:\d\d[.\d]*)", r"\1+00", moment) for moment in MOMENTS],
    "interval": ["1 year 2 mons -3 days +04:05:06.7", "00:00:00", "-178000000 years", "178000000 years"],
    "bit": ["10110", "00000"],
    "varbit": ["1011001110001111", "", "0"],
    "tsvector": ["'cat':3A 'jane doe':1,2B", "", "'it''s'"],
    "tsquery": ["'cat' & !'jane doe':*A | 'rat'", "'a' <-> 'b'"],
    "refcursor": ["a portal", ""],
    "pg_lsn": ["16/B374D848", "0/0", "FFFFFFFF/FFFFFFFF"],
    "txid_snapshot": ["10:20:10,14,15"],
    "pg_snapshot": ["10:20:10,14,15"],
    "int2vector": ["47 11", ""],
    "oidvector": ["47 11", ""],
    "int4range": ["[47,51)", "empty", "(,)"],
    "int8range": ["[47,51)", "empty"],
    "numrange": ["[4.7,5.1]", "(,5)"],
    "daterange": ["[1984-02-29,1984-03-01)", "(,infinity)"],
    "tsrange": ['["1984-02-29 13:45:06","1984-03-01 00:00:00"]', "(,)"],
    "tstzrange": ['["1984-02-29 13:45:06+00","1984-03-01 00:00:00+00"]', "(,)"],
    "int4multirange": ["{[47,51),[60,70)}", "{}"],
    "int8multirange": ["{[47,51)}", "{}"],
    "nummultirange": ["{[4.7,5.1]}", "{}"],
    "datemultirange": ["{[1984-02-29,1984-03-01)}", "{}"],
    "tsmultirange": ['{["1984-02-29 13:45:06","1984-03-01 00:00:00"]}', "{}"],
    "tstzmultirange": ['{["1984-02-29 13:45:06+00","1984-03-01 00:00:00+00"]}', "{}"],
    # Not built in.
    "citext": TEXTS,
    "mood": ["so so", 'happy, "very"', "sad"],
    "nothing": [],
    "textrange": ['["Jane Doe","Zoë, ""Q"""]', "empty"],
    "textmultirange": ["{[Jane,Zoë)}", "{}"],
} | {name: TEXTS for name in ("text", "varchar", "bpchar")}

# Types that no literal can be written of: values that the server itself has made.
MADE = {
    "pg_node_tree": "(SELECT adbin FROM pg_attrdef WHERE adrelid = 'measured'::regclass)",
    "pg_ndistinct": "(SELECT stxdndistinct FROM pg_statistic_ext_data LIMIT 1)",
    "pg_dependencies": "(SELECT stxddependencies FROM pg_statistic_ext_data LIMIT 1)",
    "pg_mcv_list": "(SELECT stxdmcv FROM pg_statistic_ext_data LIMIT 1)",
}
# Columns of these can be made, but only an index can hold a value: NULL throughout.
VALUELESS = ["gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"]

ROWS = max(len(values) for values in GIVEN.values()) + 1

# ---- Types -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scalar:
    name: str


@dataclass(frozen=True)
class Array:
    element: "Type"


@dataclass(frozen=True)
class Row:
    fields: tuple["Type", ...]


Type = Scalar | Array | Row


@dataclass(frozen=True)
class Items:
    """A value of an array: its bounds as the text form has them, and its elements, in lists for more dimensions."""

    bounds: str
    elements: list


@dataclass(frozen=True)
class Column:
    name: str
    sql_type: str
    type: Type
    values: list  # of ROWS values: None, a text, Items, or a tuple of fields


TEXT, INT4, DATE, NUMERIC = (Scalar(name) for name in ("text", "int4", "date", "numeric"))
PAIR, MIXED = Row((TEXT, Scalar("varchar"))), Row((TEXT, INT4, DATE))
NEST = Row((PAIR, Array(TEXT), Array(MIXED), NUMERIC))
OWN_STRUCTURES = {
    "pair": PAIR, "mixed": MIXED, "nest": NEST, "holed": Row((TEXT, TEXT)), "single": Row((TEXT,)), "dom_pair": PAIR,
    "dom_list": Array(TEXT), "pair[]": Array(PAIR), "mixed[]": Array(MIXED), "nest[]": Array(NEST), "dom_text": TEXT,
    "dom_of_dom": TEXT, "dom_amount": NUMERIC, "dom_text[]": Array(TEXT), "dom_pair[]": Array(PAIR), "varchar(30)": Scalar("varchar"),
    "numeric(20,2)": NUMERIC, "char(30)": Scalar("bpchar"), "timestamptz(0)": Scalar("timestamptz"),
}


def make(kind: Type, at: int, deep: bool = False):
    """The value of that row; inside of others, every seventh is NULL."""
    if deep and at % 7 == 3:
        return None
    match kind:
        case Scalar(name):
            return GIVEN[name][at % len(GIVEN[name])] if GIVEN[name] else None
        case Array(element):
            one, two, three = (make(element, at + step, True) for step in (0, 1, 2))
            return [
                Items("", [one, None, two]), Items("", [[one, two], [three, None]]), Items("", []), Items("[0:1]=", [one, two]),
                Items("", [None]), Items("[-1:0][2:2]=", [[three], [one]]), Items("", [[[one, two]], [[two, three]]]),
            ][at % 7]
        case Row(fields):
            return tuple(make(field, at + step, True) for step, field in enumerate(fields))


def literal(kind: Type, value) -> str:
    """A value as text that the server takes, everything in it quoted."""
    match kind:
        case Scalar(_):
            return value
        case Array(element):
            delimiter = ";" if element == Scalar("box") else ","

            def item(one) -> str:
                if isinstance(one, list):
                    return "{" + delimiter.join(item(inner) for inner in one) + "}"
                return "NULL" if one is None else '"' + re.sub(r'(["\\])', r"\\\1", literal(element, one)) + '"'

            return value.bounds + item(value.elements)
        case Row(fields):
            quoted = ["" if one is None else '"' + re.sub(r'(["\\])', r"\1\1", literal(field, one)) + '"'
                      for field, one in zip(fields, value, strict=True)]
            return "(" + ",".join(quoted) + ")"


def columns(types: list[tuple[str, bool]]) -> list[Column]:
    """One column of each type, and one of arrays of it where there are such."""
    found = []
    for name, has_array in types:
        if name in MADE or name in VALUELESS:
            found.append(Column(f"c_{name}", f'"{name}"', Scalar(name), [None] * ROWS))
            continue
        quoted = "bit(5)" if name == "bit" else f'"{name}"'
        kinds = [("c_", quoted, Scalar(name))] + ([("l_", f"{quoted}[]", Array(Scalar(name)))] if has_array else [])
        for prefix, sql_type, kind in kinds:
            found.append(Column(f"{prefix}{name}", sql_type, kind, [make(kind, at) for at in range(ROWS - 1)] + [None]))
    for at, (sql_type, kind) in enumerate(OWN_STRUCTURES.items()):
        values = [make(kind, row) for row in range(ROWS - 1)] + [None]
        if sql_type == "varchar(30)":
            values = [value and value[:30] for value in values]
        if sql_type == "char(30)":
            values = [value if value is None else value[:30].ljust(30) for value in values]
        if sql_type == "numeric(20,2)":
            values = ["51780.25", "0.00", "-15.50", None] * ROWS
        if sql_type == "timestamptz(0)":
            values = ["1984-02-29 13:45:06+00", "2024-01-01 00:00:00+00", None] * ROWS
        found.append(Column(f"s{at}_" + re.sub(r"\W+", "_", sql_type), sql_type, kind, values[:ROWS]))
    return found


# ---- What is shown ---------------------------------------------------------------------------------------------------

# Users, by what they see: a mask with its parameters, or one of the sights.
SIGHTS = {
    "hidden_empty": ("hidden", "empty"),
    "hidden_null": ("hidden", "null"),
    "full": ("full", {}),
    "partial": ("partial", {"prefix": 1, "suffix": 2}),
    "partial_pad": ("partial", {"prefix": 3, "suffix": 0, "pad": '"ä\\,'}),
    "show_first": ("show_first", {"count": 2}),
    "show_last": ("show_last", {"count": 3}),
    "email": ("email", {}),
    "phone": ("phone", {"keep": 2}),
    "card": ("card", {}),
    "iban": ("iban", {}),
    "hash": ("hash", {}),
    "hash_long": ("hash", {"digits": 64}),
    "pseudonym": ("pseudonym", {}),
    "year": ("date_trunc", {"unit": "year"}),
    "month": ("date_trunc", {"unit": "month"}),
    "day": ("date_trunc", {"unit": "day"}),
    "hour": ("date_trunc", {"unit": "hour"}),
    "round_10": ("round", {"step": 10}),
    "round_half": ("round", {"step": 0.5}),
    "bucket_15": ("bucket", {"width": 15}),
    "bucket_part": ("bucket", {"width": 0.25}),
    "network": ("network", {}),
    "network_wide": ("network", {"v4": 0, "v6": 0}),
    "replace_word": ("replace", {"text": "[hidden, \"ä\"]"}),
    "replace_number": ("replace", {"text": "7"}),
    "replace_true": ("replace", {"text": "true"}),
    "replace_date": ("replace", {"text": "2001-02-03"}),
    "replace_uuid": ("replace", {"text": "0F8FAD5B-D9CB-469F-A165-708677289500"}),
    "replace_json": ("replace", {"text": '{"a": "b"}'}),
    "replace_bytes": ("replace", {"text": "\\xAB00"}),
    "replace_label": ("replace", {"text": "sad"}),
    "nullify": ("nullify", {}),
}

# One user for each mask and sight, for what all parameters have in common.
FEW = list({(mask, parameters if mask == "hidden" else ""): user for user, (mask, parameters) in reversed(SIGHTS.items())}.values())

TEXT_TYPES = {"text", "varchar", "bpchar", "name", "citext"}
INTEGERS = {"int2": 15, "int4": 31, "int8": 63}
FRACTIONS = {"numeric", "float4", "float8"}
FITS = {
    "hash": TEXT_TYPES | {"bytea"},
    "pseudonym": TEXT_TYPES | {*INTEGERS, "uuid", "date"},
    "network": TEXT_TYPES | {"inet", "cidr"},
}
# What the texts of `replace` are values of, besides texts.
REPLACED = {
    "replace_word": {},
    "replace_number": {name: "7" for name in (*INTEGERS, *FRACTIONS, "oid", "json", "jsonb", "char")},
    "replace_true": {"bool": "t", "json": "true", "jsonb": "true"},
    "replace_date": {"date": "2001-02-03", "timestamp": "2001-02-03 00:00:00", "timestamptz": "2001-02-03 00:00:00+00"},
    "replace_uuid": {"uuid": "0f8fad5b-d9cb-469f-a165-708677289500"},
    "replace_json": {"json": '{"a": "b"}', "jsonb": '{"a": "b"}'},
    "replace_bytes": {"bytea": "\\xab00"},
    "replace_label": {"mood": "sad"},
}
# Types that pgveil takes for an `oid`: four unsigned bytes.
LIKE_OID = {"oid", "xid", "cid"} | {name for name in GIVEN if name.startswith("reg")}
REPLACED["replace_number"] |= dict.fromkeys(LIKE_OID, "7")

EMPTY = {
    "bool": "f", "bytea": "\\x", "char": "", "json": "null", "jsonb": "null", "jsonpath": "$", "xml": "",
    "uuid": "00000000-0000-0000-0000-000000000000", "date": "1970-01-01", "time": "00:00:00", "timetz": "00:00:00+00",
    "timestamp": "1970-01-01 00:00:00", "timestamptz": "1970-01-01 00:00:00+00", "interval": "00:00:00", "inet": "0.0.0.0",
    "cidr": "0.0.0.0/32", "macaddr": "00:00:00:00:00:00", "macaddr8": "00:00:00:00:00:00:00:00", "bit": "0", "varbit": "0",
    "tsvector": "", "tsquery": "", "pg_lsn": "0/0", "point": "(0,0)", "line": "{0,1,0}", "lseg": "[(0,0),(0,0)]",
    "box": "(0,0),(0,0)", "path": "((0,0))", "polygon": "((0,0))", "circle": "<(0,0),0>", "mood": "sad", "money": "0",
} | {name: "" for name in TEXT_TYPES} | dict.fromkeys((*INTEGERS, *FRACTIONS, *LIKE_OID), "0")
EMPTY |= {name: "{}" if "multirange" in name else "empty" for name in GIVEN if "range" in name}

# The hidden value is NULL: there is no other, or pgveil does not know the type.
NULL_FOR_EMPTY = {"nothing", "xid8", "tid", "aclitem", "refcursor", "txid_snapshot", "pg_snapshot", "int2vector", "oidvector",
                  *MADE, *VALUELESS}
KEYED = ("hash", "pseudonym")
# What a keyed mask makes can not be worked out without the key: its shape.
SHAPES = {
    "int2": r"[1-9]\d{0,4}", "int4": r"[1-9]\d{0,9}", "int8": r"[1-9]\d{0,15}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "date": r"(19[3-9]\d|200\d)-\d\d-\d\d",
}
WORDS = r"[a-z]{5}-[a-z]{5}-[a-z]{5}"


def fits(user: str, kind: Type) -> bool:
    mask, parameters = SIGHTS[user]
    match kind:
        case Array(element):
            return fits(user, element)
        case Row(fields):
            return all(fits(user, field) for field in fields)
    name = kind.name
    if mask in ("hidden", "nullify"):
        return True
    if mask == "full":
        return True
    if name in NULL_FOR_EMPTY and name != "nothing":
        return False
    match mask:
        case "replace":
            return name in TEXT_TYPES or name in REPLACED[user]
        case "date_trunc":
            return name in ("timestamp", "timestamptz") or (name == "date" and parameters["unit"] in ("year", "month"))
        case "round" | "bucket":
            step = parameters.get("step", parameters.get("width"))
            return name in FRACTIONS or (name in INTEGERS and step == int(step))
        case _:
            return name in FITS.get(mask, TEXT_TYPES)


def empty(kind: Type, text: str = ""):
    """The hidden value; with a text, the redacted one."""
    match kind:
        case Array(_):
            return Items("", [])
        case Row(fields):
            return tuple(empty(field, text) for field in fields)
    if kind.name in TEXT_TYPES:
        return text
    if kind.name == "char":
        return text[:1]
    return None if kind.name in NULL_FOR_EMPTY else EMPTY[kind.name]


class Expected:
    """What users see of a value. Stand-ins are learnt from the first sight of a value, and are to stay the same."""

    def __init__(self):
        self.stand_ins: dict[tuple, str] = {}

    def shown(self, user: str, kind: Type, value):
        mask, parameters = SIGHTS[user]
        if value is None or mask == "nullify" or parameters == "null":
            return None
        if mask == "hidden" or not fits(user, kind):
            return empty(kind)
        return self.masked(user, kind, value)

    def masked(self, user: str, kind: Type, value):
        if value is None:
            return None
        match kind:
            case Array(element):
                def each(one):
                    return [each(inner) for inner in one] if isinstance(one, list) else self.masked(user, element, one)

                return Items(value.bounds, each(value.elements))
            case Row(fields):
                return tuple(self.masked(user, field, one) for field, one in zip(fields, value, strict=True))
        mask = SIGHTS[user][0]
        if mask in KEYED:
            return self.stand_ins[self.key(user, kind, value)] if value not in ("infinity", "-infinity") else empty(kind)
        if kind.name in TEXT_TYPES:
            return masked_text(user, value)
        return masked_other(user, kind.name, value)

    @staticmethod
    def key(user: str, kind: Scalar, value: str) -> tuple:
        """Texts of all types have the same stand-in, and blanks at the end do not count."""
        return (user, "text", value.rstrip(" ")) if kind.name in TEXT_TYPES else (user, kind.name, value)

    def learn(self, user: str, kind: Scalar, value: str | None, shown: str | None) -> None:
        mask, parameters = SIGHTS[user]
        if mask not in KEYED or not fits(user, kind) or value in (None, "infinity", "-infinity"):
            return
        if mask == "hash":
            shape = ("\\\\x" if kind.name == "bytea" else "") + f"[0-9a-f]{{{parameters.get('digits', 16)}}}"
        elif kind.name not in TEXT_TYPES:
            shape = SHAPES[kind.name]
        elif re.fullmatch(r"[^@\s]+@[^@\s]+ *", value):
            shape = WORDS + r"@example\.invalid"
        elif re.fullmatch(r"[0-9]+ *", value):
            shape = f"[0-9]{{{len(value.rstrip())}}}"
        else:
            shape = WORDS
        assert shown is not None and re.fullmatch(shape, shown), (user, kind, value, shown)
        assert self.stand_ins.setdefault(self.key(user, kind, value), shown) == shown, (user, kind, value, shown)


def masked_text(user: str, value: str) -> str:
    mask, parameters = SIGHTS[user]
    core = value.rstrip(" ")
    padding = value[len(core) :]
    match mask:
        case "full":
            return masks.full(value)
        case "partial":
            first, last, pad = parameters["prefix"], parameters["suffix"], parameters.get("pad", "***")
            return core[:first] + pad + core[len(core) - last :] if len(core) > first + last else pad
        case "show_first":
            keep = parameters["count"]
            return (core[:keep] if len(core) > keep else "#" * min(len(core), keep)) + "#" * (len(core) - keep) + padding
        case "show_last":
            keep = parameters["count"]
            return ("#" * (len(core) - keep) + core[-keep:] if len(core) > keep else "#" * len(core)) + padding
        case "email":
            return masks.email(core) + padding
        case "phone":
            return last_digits(value, r" *\+?[0-9 ()./-]*", range(parameters["keep"] + 1, 10**6), parameters["keep"])
        case "card":
            return last_digits(value, r"[0-9 -]*", range(12, 20), 4)
        case "iban":
            dense = value.replace(" ", "")
            if not re.fullmatch(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}", dense):
                return masks.full(value)
            shown = iter(dense[:2] + "#" * (len(dense) - 6) + dense[-4:])
            return "".join(" " if one == " " else next(shown) for one in value)
        case "network":
            return network(user, "text", value.strip(" ")) or masks.full(value)
        case "replace":
            return parameters["text"]
    raise AssertionError(mask)


def last_digits(value: str, sound: str, counts: range, keep: int) -> str:
    places = [at for at, one in enumerate(value) if one in "0123456789"]
    if not re.fullmatch(sound, value) or len(places) not in counts:
        return masks.full(value)
    hidden = set(places[: len(places) - keep])
    return "".join("#" if at in hidden else one for at, one in enumerate(value))


def network(user: str, name: str, value: str) -> str | None:
    parameters = SIGHTS[user][1]
    address, _, bits = value.partition("/")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    host = not bits
    bits = int(bits or parsed.max_prefixlen)
    kept = min(bits, parameters.get("v4", 24) if parsed.version == 4 else parameters.get("v6", 48))
    cut = str(ipaddress.ip_network(f"{address}/{kept}", strict=False).network_address)
    return cut if host and name != "cidr" else f"{cut}/{kept}"


def masked_other(user: str, name: str, value: str) -> str | None:
    mask, parameters = SIGHTS[user]
    match mask:
        case "full":
            return empty(Scalar(name), "####")
        case "replace":
            return REPLACED[user][name]
        case "network":
            return network(user, name, value)
        case "date_trunc":
            return cut_down(name, parameters["unit"], value)
        case "round" | "bucket":
            return multiple(name, mask, str(parameters.get("step", parameters.get("width"))), value)
    raise AssertionError(mask)


def cut_down(name: str, unit: str, value: str) -> str:
    if "infinity" in value:
        return value
    year, month, day, rest = re.fullmatch(r"(\d+)-(\d\d)-(\d\d)(.*)", value).groups()
    month = month if unit != "year" else "01"
    day = day if unit in ("day", "hour") else "01"
    if year == "4714" and unit in ("year", "month"):
        return EMPTY[name]  # before the first day that PostgreSQL knows
    era = " BC" if value.endswith(" BC") else ""
    if name == "date":
        return f"{year}-{month}-{day}{era}"
    hour = rest[1:3] if unit == "hour" else "00"
    zone = "+00" if name == "timestamptz" else ""
    return f"{year}-{month}-{day} {hour}:00:00{zone}{era}"


def multiple(name: str, mask: str, step: str, value: str) -> str:
    if value in ("NaN", "Infinity", "-Infinity"):
        return "0"
    context = Context(prec=2000)
    places = len(step.partition(".")[2])
    step = Decimal(step)
    rounding = ROUND_HALF_UP if mask == "round" else ROUND_FLOOR
    count = context.divide(Decimal(value), step).to_integral_value(rounding)
    result = context.multiply(count, step)
    if name in INTEGERS:
        inside = -(2 ** INTEGERS[name]) <= result < 2 ** INTEGERS[name]
        return str(int(result)) if inside else "0"
    return format(result.copy_abs() if result == 0 else result, f".{places}f")


# ---- Server and users ------------------------------------------------------------------------------------------------


class Meaning:
    """What the server says of values: their text, and their own form once more. Asked for many at a time."""

    def __init__(self, host: str, port: int, settings: dict[str, str] | None = None):
        self.client = Raw(host, port)
        self.client.login("postgres", DATABASE, **(settings or {}))
        self.names = {int(oid): name.decode() for oid, name in self.client.rows("SELECT oid, format_type(oid, -1) FROM pg_type")}
        self.statements: set[int] = set()
        self.known: dict[tuple[int, int, bytes], tuple[str, bytes]] = {}
        self.own_form: dict[tuple[int, int, bytes], bytes] = {}

    def ask(self, values: set[tuple[int, int, bytes]]) -> None:
        """Ask for (type, format, value): `known` says (`ok`, text) or (`error`, message), `own_form` how the server writes it."""
        new = [one for one in sorted(values) if one not in self.known]
        for start in range(0, len(new), 100):
            batch = new[start : start + 100]
            out = b""
            for oid, fmt, value in batch:
                if oid not in self.statements:
                    self.statements.add(oid)
                    out += wire.parse(f"t{oid}", f"SELECT $1::{self.names[oid]}, $1::{self.names[oid]}")
                out += wire.bind("", f"t{oid}", [value], [fmt], [0, fmt]) + wire.execute() + wire.sync()
            got = self.client.ask(out, *("Z" * len(batch)))
            answers = [one for one in got if one.tag in "DE"]
            assert len(answers) == len(batch)
            for key, answer in zip(batch, answers, strict=True):
                if answer.tag == "D":
                    text, self.own_form[key] = answer.cells()
                    self.known[key] = ("ok", text)
                else:
                    self.known[key] = ("error", answer.fields()["M"].encode())


def answer(client: Raw, request: bytes) -> list[wire.Frame]:
    frames = client.ask(request)
    errors = [one.fields() for one in frames if one.tag == "E"]
    assert not errors, errors
    return frames


def rows_of(frames) -> list[list[bytes | None]]:
    return [one.cells() for one in frames if one.tag == "D"]


@dataclass
class Shown:
    """What a user got: the announced types, and cells by row and column."""

    oids: list[int]
    text: list[list[bytes | None]]
    binary: list[list[bytes | None]]


def everything(client: Raw, select: list[str], binary_select: list[str]) -> Shown:
    """Read the table by all ways that there are, which all have to show the same."""
    sql = f"SELECT {', '.join(select)} FROM typed ORDER BY id"
    binary_sql = f"SELECT {', '.join(binary_select)} FROM typed ORDER BY id"
    simple = answer(client, wire.query(sql))
    oids = [column[3] for column in next(one for one in simple if one.tag == "T").columns()]
    text = rows_of(simple)
    assert read(client, sql) == text

    binary = read(client, binary_sql, True)
    answer(client, wire.query(f"BEGIN; DECLARE c BINARY CURSOR FOR {binary_sql}"))
    cursor = answer(client, wire.query("FETCH ALL FROM c"))
    assert rows_of(cursor) == binary
    answer(client, wire.query("COMMIT"))

    assert copy.text_rows(copy.data(answer(client, wire.query(f"COPY ({sql}) TO STDOUT")))) == text
    assert copy.csv_rows(copy.data(answer(client, wire.query(f"COPY ({sql}) TO STDOUT CSV")))) == text
    assert copy.binary_rows(copy.data(answer(client, wire.query(f"COPY ({binary_sql}) TO STDOUT (FORMAT binary)")))) == binary
    return Shown(oids, text, binary)


@dataclass
class World:
    columns: list[Column]
    binary_columns: list[Column]  # those whose types have a binary form
    meaning: Meaning
    clear: Shown
    target: object

    def client(self, user: str) -> Raw:
        client = Raw(self.target.host, self.target.port, timeout=60.0)
        client.login(f"types_{user}", DATABASE)
        return client


BUILT_IN = """
SELECT typname, typarray <> 0 FROM pg_type t
WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
   OR typname IN ('citext', 'mood', 'nothing', 'textrange', 'textmultirange')
ORDER BY oid"""


NO_BINARY = """
SELECT attname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
WHERE attrelid = 'typed'::regclass AND (t.typsend = 0 OR e.typsend = 0)"""


def quote(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


@pytest.fixture(scope="module")
def world(pg, front, tmp_path_factory) -> World:
    pg.psql(f"CREATE DATABASE {DATABASE}")
    pg.psql(file=HERE / "sql" / "types.sql", database=DATABASE)
    types = [tuple(line.split("|")) for line in pg.psql(BUILT_IN, database=DATABASE).splitlines()]
    table = columns([(name, has_array == "t") for name, has_array in types])
    rows = []
    for at in range(ROWS):
        cells = [str(at)]
        for column in table:
            made = MADE.get(getattr(column.type, "name", None)) if at < ROWS - 1 else None
            value = column.values[at]
            cells.append(made or quote(None if value is None else literal(column.type, value)))
        rows.append("(" + ", ".join(cells) + ")")
    pg.psql(
        f"CREATE TABLE typed (id int4 PRIMARY KEY, {', '.join(f'{one.name} {one.sql_type}' for one in table)});"
        + "".join(f"INSERT INTO typed VALUES {row};\n" for row in rows)
        + "".join(f"CREATE USER types_{user};" for user in (*SIGHTS, "clear"))
        + "GRANT SELECT ON typed TO PUBLIC;",
        database=DATABASE,
    )
    roles = {"clear": {"users": "types_clear", "sees": {"*": "clear"}}}
    for user, (mask, parameters) in SIGHTS.items():
        if mask == "hidden":
            sight = {"hidden": None if parameters == "null" else parameters}
        else:
            sight = {"masked": {mask: parameters} if parameters else mask}
        roles[user] = {"users": f"types_{user}", "sees": {"*": sight}}
    tagged = {one.name: "any" for one in table}
    document = {"version": 1, "tags": {"any": {"mask": "full"}}, "columns": {"typed": tagged}, "roles": roles}
    policy = tmp_path_factory.mktemp("types") / "types.yaml"
    # JSON is YAML.
    policy.write_text(json.dumps(document, indent=1), encoding="utf-8")
    target = front(policy, database=DATABASE)

    no_binary = set(pg.psql(NO_BINARY, database=DATABASE).split())
    with_binary = [one for one in table if one.name not in no_binary]
    direct = Raw(pg.host, pg.port)
    direct.login("postgres", DATABASE)
    clear = everything(direct, [one.name for one in table], [one.name for one in with_binary])
    return World(table, with_binary, Meaning(pg.host, pg.port), clear, target)


# ---- The tests -------------------------------------------------------------------------------------------------------


def test_every_type_of_the_server_has_values(world):
    assert {one.type.name for one in world.columns if isinstance(one.type, Scalar)} >= {*GIVEN, *MADE, *VALUELESS}
    for at, column in enumerate(world.columns):
        for row, value in zip(world.clear.text, column.values, strict=True):
            if isinstance(column.type, Scalar) and column.type.name in GIVEN:
                assert row[at] == (None if value is None else value.encode()), column.name


def test_every_mask_of_the_catalogue_is_tried():
    page = (ROOT / "policies" / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"<!-- masks: .*?-->(.*?)<!-- end of masks -->", page, re.S)[1]
    assert set(re.findall(r"^\| `(\w+)` \|", listed, re.M)) == {mask for mask, _ in SIGHTS.values()} - {"hidden"}


@pytest.mark.proxy
def test_clear_is_clear(world):
    client = world.client("clear")
    got = everything(client, [one.name for one in world.columns], [one.name for one in world.binary_columns])
    client.close()
    assert got == world.clear


@dataclass(frozen=True)
class Cell:
    """A cell that was shown, and the value that it is to have."""

    where: str
    oid: int
    type: Type
    text: bytes | None
    # A list of one, or of none where the type has no binary form.
    binary: list[bytes | None]
    wanted: object


def judge(world: World, cells: list[Cell]) -> list[str]:
    """What is wrong with what is shown."""
    wanted = [None if cell.wanted is None else literal(cell.type, cell.wanted).encode() for cell in cells]
    asked = {(cell.oid, 0, value) for cell, text in zip(cells, wanted, strict=True) for value in (cell.text, text)}
    asked |= {(cell.oid, 1, value) for cell in cells for value in cell.binary}
    meaning = world.meaning
    meaning.ask({one for one in asked if one[2] is not None})
    faults = []
    for cell, want in zip(cells, wanted, strict=True):
        want = want if want is None else meaning.known[cell.oid, 0, want]
        if want and want[0] == "error":
            faults.append(f"{cell.where}: what is expected is no value of the type: {want[1]}")
        for fmt, value in [(0, cell.text), *((1, value) for value in cell.binary)]:
            key = (cell.oid, fmt, value)
            means = None if value is None else meaning.known[key]
            excused = excuse(meaning.names[cell.oid], fmt, value, means)
            if means != want and not excused:
                faults.append(f"{cell.where}: {str(value)[:200]} means {str(means)[:200]}, not {str(want)[:200]}")
            own = meaning.own_form.get(key, value)
            if own != value and not excused and not own_way(meaning.names[cell.oid], fmt):
                faults.append(f"{cell.where}: {str(value)[:200]} is not how the server writes {str(own)[:200]}")
    return faults


def excuse(name: str, fmt: int, value: bytes | None, means: tuple | None) -> bool:
    """What is known not to be a value of the type, or another one in one of the formats."""
    base = name.removesuffix("[]")
    if base == "money" and fmt == 0:
        # Its text depends on `lc_monetary`: NULL stands for it, and in arrays of it.
        return value is None or not re.search(rb"[0-9$]", value.rpartition(b"=")[2])
    if base == "tsquery" and fmt == 1:
        # So the server sends an empty one, and does not take it back.
        return means == ("error", b"malformed tsquery: operand not found")
    # Masks take `name` for a text, of which they do not know that it ends after 63 bytes.
    return base == "name" and value is not None and re.search(rb"[0-9a-f]{64}", value) is not None


def own_way(name: str, fmt: int) -> bool:
    """Values that are written in another way than the server's own: `0` for the `-` of `regclass` and its like."""
    return fmt == 0 and name.startswith("reg")


def cells_shown(world: World, shown: Shown, wanted: list[list]) -> list[Cell]:
    binary_at = {column.name: at for at, column in enumerate(world.binary_columns)}
    return [
        Cell(f"{column.name}, row {row}, of {str(world.clear.text[row][at])[:60]}", shown.oids[at], column.type, shown.text[row][at],
             [shown.binary[row][binary_at[column.name]]] if column.name in binary_at else [], wanted[row][at])
        for row in range(ROWS) for at, column in enumerate(world.columns)
    ]


@pytest.fixture(scope="module")
def expected(world) -> Expected:
    return Expected()


def read(client: Raw, sql: str, binary: bool = False) -> list[list[bytes | None]]:
    """The rows, by the extended protocol."""
    bind = wire.bind("", "", result_formats=[int(binary)])
    return rows_of(answer(client, wire.parse("", sql) + bind + wire.execute() + wire.sync()))


def learn(world: World, expected: Expected, user: str) -> Shown:
    """What the user sees of the table; stand-ins are noted."""
    client = world.client(user)
    shown = everything(client, [one.name for one in world.columns], [one.name for one in world.binary_columns])
    client.close()
    for at, column in enumerate(world.columns):
        if isinstance(column.type, Scalar):
            for row in range(ROWS):
                cell = shown.text[row][at]
                expected.learn(user, column.type, column.values[row], None if cell is None else cell.decode())
    return shown


def need(world: World, expected: Expected, user: str) -> None:
    """The stand-ins of the user, if no test has noted them yet."""
    if SIGHTS[user][0] in KEYED and not any(key[0] == user for key in expected.stand_ins):
        learn(world, expected, user)


def of_scale(column: Column, shown):
    """A column of a fixed scale shows it, whatever the mask makes of its values."""
    if column.sql_type != "numeric(20,2)" or shown is None or shown == "":
        return shown
    whole, _, places = shown.partition(".")
    return f"{whole}.{places.ljust(2, '0')}"


@pytest.mark.proxy
@pytest.mark.parametrize("user", SIGHTS)
def test_what_is_shown_is_a_value_of_the_type_and_the_right_one(world, expected, user):
    shown = learn(world, expected, user)
    assert shown.oids == world.clear.oids
    wanted = [[of_scale(column, expected.shown(user, column.type, column.values[row])) for column in world.columns] for row in range(ROWS)]
    faults = judge(world, cells_shown(world, shown, wanted))
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:400])


def test_what_is_shown_in_clear_would_be_found(world, expected):
    """The judge, judged: the clear values are not what `full` shows."""
    wanted = [[expected.shown("full", column.type, column.values[row]) for column in world.columns] for row in range(ROWS)]
    faults = judge(world, cells_shown(world, world.clear, wanted))
    found = {fault.partition(",")[0] for fault in faults}
    # Columns of nothing but NULL, and those that an `excuse` covers in one of the formats only.
    assert {column.name for column in world.columns} - found <= {"c_nothing", "l_nothing", *(f"c_{name}" for name in VALUELESS)}


@pytest.mark.proxy
@pytest.mark.parametrize("user", ["hidden_empty", "hidden_null", "full", "show_last", "nullify", "replace_number", "pseudonym"])
def test_a_derived_value_is_a_constant_of_the_type(world, user):
    def derived(one: Column) -> str:
        return f"CASE WHEN length(c_text) >= 0 THEN {one.name} END"

    client = world.client(user)
    shown = everything(client, [derived(one) for one in world.columns], [derived(one) for one in world.binary_columns])
    client.close()
    constants = [empty(column.type, "####") for column in world.columns]
    faults = judge(world, cells_shown(world, shown, [constants] * ROWS))
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])


@pytest.mark.proxy
@pytest.mark.parametrize("user", FEW)
def test_what_is_gathered_in_an_array_is_shown_as_by_itself(world, expected, user):
    """`array_agg` of each column, as an array of its type; of rows too, and of the fields of one."""
    need(world, expected, user)
    # These two are arrays themselves.
    listed = {one.name.removeprefix("l_") for one in world.columns if one.name.startswith("l_")} - {"int2vector", "oidvector"}
    gathered = [one for one in world.columns if one.name.removeprefix("c_") in listed or one.sql_type in ("pair", "mixed", "nest")]
    binary = {one.name for one in world.binary_columns}
    select = "SELECT {} FROM (SELECT * FROM typed WHERE id < 9 ORDER BY id) t"
    client = world.client(user)
    sql = select.format(", ".join(f"array_agg({one.name})" for one in gathered))
    got = answer(client, wire.query(sql))
    oids = [one[3] for one in next(one for one in got if one.tag == "T").columns()]
    (text,) = rows_of(got)
    sent = [one for one in gathered if one.name in binary]
    (in_binary,) = read(client, select.format(", ".join(f"array_agg({one.name})" for one in sent)), True)
    client.close()
    by_name = dict(zip([one.name for one in sent], in_binary, strict=True))
    cells = [
        Cell(f"array_agg({one.name})", oid, Array(one.type), cell, [by_name[one.name]] if one.name in by_name else [],
             expected.shown(user, Array(one.type), Items("", one.values[:9])))
        for one, oid, cell in zip(gathered, oids, text, strict=True)
    ]
    faults = judge(world, cells)
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])


@pytest.mark.proxy
@pytest.mark.parametrize("user", FEW)
def test_a_whole_row_shows_each_column_as_by_itself(world, expected, user):
    need(world, expected, user)
    client = world.client(user)
    rows = read(client, "SELECT typed FROM typed ORDER BY id")
    client.close()
    cells = []
    for at, (row,) in enumerate(rows):
        number, *fields = fields_of_row(row)
        assert number == str(at).encode()
        cells += [
            Cell(f"{column.name}, row {at}", oid, column.type, field, [], expected.shown(user, column.type, column.values[at]))
            for column, oid, field in zip(world.columns, world.clear.oids, fields, strict=True)
        ]
    faults = judge(world, cells)
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])


def fields_of_row(row: bytes) -> list[bytes | None]:
    """The fields of a row in text form, as `record_out` writes it."""
    parts = re.findall(rb'(?:^\(|,)((?:"(?:[^"\\]|""|\\\\)*"|[^",()\\])*)(?=[,)])', row, re.S)
    unquoted = [re.sub(rb'""|\\\\', lambda two: two[0][:1], part[1:-1]) if part.startswith(b'"') else part for part in parts]
    return [one if part else None for one, part in zip(unquoted, parts, strict=True)]


def fields_of_binary_row(row: bytes) -> list[tuple[int, bytes | None]]:
    """The types and fields of a row in binary form."""
    fields, at = [], 4
    for _ in range(struct.unpack_from("!i", row)[0]):
        oid, length = struct.unpack_from("!Ii", row, at)
        at += 8
        fields.append((oid, None if length < 0 else row[at : at + length]))
        at += max(length, 0)
    assert at == len(row)
    return fields


@pytest.mark.proxy
@pytest.mark.parametrize("user", ["hidden_empty", "full", "show_last", "email", "hash", "pseudonym", "year", "round_10", "network",
                                  "replace_number", "nullify"])
def test_fields_of_a_row_without_a_type_show_no_more_than_the_columns(world, expected, user):
    """`ROW(...)`: the types of its fields are not announced, so that more of them are hidden than need be."""
    need(world, expected, user)
    select = f"SELECT ROW({', '.join(one.name for one in world.binary_columns)}) FROM typed ORDER BY id"
    client = world.client(user)
    rows = read(client, select, True)
    text_rows = read(client, select)
    client.close()
    asked, found = set(), []
    for at, (row,) in enumerate(rows):
        for column, (oid, field) in zip(world.binary_columns, fields_of_binary_row(row), strict=True):
            value = column.values[at]
            allowed = [expected.shown(user, column.type, value), empty(column.type), empty(column.type, "####")]
            allowed = [literal(column.type, one).encode() for one in allowed if one is not None]
            found.append((column, at, oid, field, allowed))
            asked |= {(oid, 0, one) for one in allowed} | ({(oid, 1, field)} if field is not None else set())
    world.meaning.ask(asked)
    faults = []
    for column, at, oid, field, allowed in found:
        means = None if field is None else world.meaning.known[oid, 1, field]
        name = world.meaning.names[oid]
        good = field is None or means in [world.meaning.known[oid, 0, one] for one in allowed] or excuse(name, 1, field, means)
        if not good:
            faults.append(f"{column.name}, row {at}: {field[:200]} means {str(means)[:200]}")
    for at, (row,) in enumerate(text_rows):
        for column, field in zip(world.binary_columns, fields_of_row(row), strict=True):
            value = column.values[at]
            if field is None or value is None:
                continue
            clear = literal(column.type, value)
            allowed = (expected.shown(user, column.type, value), empty(column.type))
            allowed = [literal(column.type, one) for one in allowed if one is not None]
            if SIGHTS[user][0] not in ("hidden", "nullify", *KEYED) and fits(user, TEXT):
                allowed.append(masked_text(user, clear))
            if len(clear) > 3 and field.decode() == clear and clear not in allowed:
                faults.append(f"{column.name}, row {at}: {clear[:200]} in clear")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])


SETTINGS = [
    {"DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "bytea_output": "escape", "TimeZone": "America/St_Johns",
     "extra_float_digits": "0"},
    {"DateStyle": "German", "IntervalStyle": "iso_8601", "TimeZone": "Asia/Kolkata", "xmlbinary": "hex"},
    {"DateStyle": "Postgres, MDY", "IntervalStyle": "postgres_verbose", "TimeZone": "<+1530>-15:30", "extra_float_digits": "-3"},
    {"DateStyle": "ISO, YMD", "client_encoding": "LATIN1", "TimeZone": "America/St_Johns"},
    {"client_encoding": "SJIS"},
]


@pytest.mark.proxy
@pytest.mark.parametrize("user", ["hidden_empty", "full", "show_last", "hash", "pseudonym", "month", "hour", "bucket_part", "replace_date"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings.values())))
def test_other_settings_of_the_session_change_the_form_and_show_no_more(world, pg, user, settings):
    """The texts are values of the type for a session of the same settings, NULL stays NULL, nothing is shown in clear."""
    # What these encodings have no characters for is the server's error: rows, and then columns, are left out.
    rows = {"LATIN1": [*range(8), 12], "SJIS": range(8)}.get(settings.get("client_encoding"), range(ROWS))
    plain = [at for at, column in enumerate(world.columns)
             if all(has_characters(settings.get("client_encoding"), world.clear.text[row][at]) for row in rows)]
    names, ids = ", ".join(world.columns[at].name for at in plain), ", ".join(map(str, rows))
    sql = f"SELECT {names} FROM typed WHERE id IN ({ids}) ORDER BY id"
    client = Raw(world.target.host, world.target.port)
    client.login(f"types_{user}", DATABASE, **settings)
    shown = read(client, sql)
    client.close()
    meaning = Meaning(pg.host, pg.port, settings)
    direct = read(meaning.client, sql)
    asked = {(world.clear.oids[at], 0, cell) for row in shown for at, cell in zip(plain, row, strict=True) if cell is not None}
    meaning.ask(asked)
    meaning.client.close()
    faults = [f"{cell[:200]} is no {meaning.names[oid]}: {meaning.known[oid, fmt, cell]}" for oid, fmt, cell in asked
              if meaning.known[oid, fmt, cell][0] != "ok"]
    for row, (cells, clear) in zip(rows, zip(shown, direct, strict=True), strict=True):
        for at, cell, was in zip(plain, cells, clear, strict=True):
            column = world.columns[at]
            if was is None:
                if cell is not None:
                    faults.append(f"{column.name}, row {row}: NULL became {cell[:200]}")
            elif cell == was and len(was) > 6 and not keeps(user, column.type, column.values[row]):
                faults.append(f"{column.name}, row {row}: {was[:200]} in clear")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])


def has_characters(encoding: str | None, value: bytes | None) -> bool:
    """Whether a value can be had in that encoding."""
    if encoding is None or value is None:
        return True
    try:
        value.decode().encode({"LATIN1": "latin-1", "SJIS": "shift_jis"}[encoding])
    except UnicodeEncodeError:
        return False
    return True


def keeps(user: str, kind: Type, value) -> bool:
    """Whether the mask shows this very value as it is."""
    mask = SIGHTS[user][0]
    if mask in KEYED and fits(user, kind):
        return False
    if mask in ("round", "bucket") and kind in (Scalar("float4"), Scalar("float8"), Array(Scalar("float4")), Array(Scalar("float8"))):
        # Fewer digits are shown than there are: what is rounded may look as what is not.
        return True
    return Expected().shown(user, kind, value) == value
