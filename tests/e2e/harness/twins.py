"""Two tables for each built-in scalar type, an encrypted one and a plain one: what is done to one is done to the other, through pgveil, and
all that a client sees of it has to be the same.
"""

import re
import subprocess
from contextlib import contextmanager

import psycopg
from psycopg import pq

from .pgveil import Pgveil, binary

TEXTS = ["", " ", "plain", "pgveil:", "it's", 'q"u,o{t}e\\', "tab\tand\nline", "Grüße, 日本語 💶", "NULL", "x" * 40]
NUMBERS = ["0", "1", "-1", "42", " 7 ", "x", ""]
FLOATS = ["0", "-0", "1.5", "0.1", "-1e-7", "1e20", "NaN", "Infinity", "-Infinity", "123456.789", "", "1e999"]
DAYS = ["2000-01-01", "1984-02-29", "2026-11-22", "0044-03-15 BC", "infinity", "-infinity", "January 8, 1999", "19990108", "2021-02-30", ""]
MOMENTS = ["2000-01-01 00:00:00", "1984-02-29 23:59:59.999999", "2026-03-29 02:30:00", "2026-07-01 12:00:00+05:30", "infinity", "0099-12-31 BC", "1850-01-01 12:00", "x"]
TIMES = ["00:00", "23:59:59.999999", "24:00:00", "04:05 PM", "040506", "25:00"]
SPANS = ["0", "1 day", "1 year 2 mons -3 days 04:05:06.789", "-1 mon", "P1Y2M3DT4H5M6S", "1-2", "1 12:59:10", "15 years ago", "", "x"]

# type: values, which need not be valid
TYPES = {
    "text": [*TEXTS, "é€" * 2_000],
    "varchar": TEXTS,
    "varchar(10)": [*TEXTS, "ten chars!", "ten chars!  ", "zehn Zeich…"],
    "char(8)": [*TEXTS, "AB", "AB      ", "eight ch", "acht Zeü"],
    "bpchar": [*TEXTS, "AB  "],
    "name": [*TEXTS, "n" * 80],
    '"char"': ["a", "", "ab", "\\377", "ü"],
    "boolean": ["t", "f", "true", "no", " on ", "1", "x", ""],
    "smallint": [*NUMBERS, "32767", "-32768", "32768"],
    "integer": [*NUMBERS, "2147483647", "-2147483648", "2147483648"],
    "bigint": [*NUMBERS, "9223372036854775807", "-9223372036854775808", "9223372036854775808"],
    "oid": ["0", "4294967295", "4294967296", "x"],
    "numeric": ["0", "-0.00", "1.0", "1.00", "1e10", "1e-10", "12345678901234567890.0123456789", "NaN", "Infinity", "-Infinity", "9" * 900, "", "x"],
    "numeric(12,2)": ["0", "-0.005", "1.005", "9999999999.99", "9999999999.995", "NaN", "1e3"],
    "real": FLOATS,
    "double precision": FLOATS,
    "money": ["0", "12.34", "-$1,234.56", "92233720368547758.07", "x"],
    "bytea": ["\\x", "\\x00ff10", "\\x5056", "abc\\000def", "\\xg0"],
    "uuid": ["8d8ac610-566d-4ef0-9c22-186b2a5ed793", "{8D8AC610566D4EF09C22186B2A5ED793}", "x"],
    "date": DAYS,
    "time": TIMES,
    "time(0)": TIMES,
    "timetz": ["00:00+00", "23:59:59.999999-08", "24:00:00+14", "04:05 PM+01", "25:00+00", "12:00+05:30", "12:00:00.5-11", "04:05"],
    "timestamp": MOMENTS,
    "timestamp(3)": MOMENTS,
    "timestamptz": MOMENTS,
    "timestamptz(0)": MOMENTS,
    "interval": SPANS,
    "interval(2)": SPANS,
    "interval day to second": SPANS,
    "bit": ["0", "1", "10", ""],
    "bit(5)": ["10101", "b10101", "x1", "1010"],
    "bit varying": ["", "1", "B101", "XFF", "2"],
    "bit varying(9)": ["", "101010101", "1010101010"],
    "inet": ["192.0.2.1", "192.0.2.1/24", "2001:db8::1/64", "::ffff:1.2.3.4", "300.0.0.1"],
    "cidr": ["192.0.2.0/24", "10", "2001:db8::/32", "192.0.2.1/24"],
    "macaddr": ["08:00:2b:01:02:03", "08002b-010203", "x"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "08002b:010203", "x"],
    "json": ['{"a": [1, null, "x"]}', "null", '"ü💶"', " [1 ,2] ", '{"b":1,"b":2}', "{", ""],
    "jsonb": ['{"b": {"c": 1.50}, "a": 1}', "null", '"ü💶"', " [1 ,2] ", '{"b":1,"b":2}', "1e2", '"\\u0041"', "{"],
    "xml": ["<a>1</a>", "ü<b/>", "<a>", ""],
    "tsvector": ["'cat' 'fat'", "fat:2,4 cat:3A", "", "'"],
    "tsquery": ["'fat' & 'cat'", "fat & (rat | !cat:ab)", "fat|rat&cat <-> dog", "(fat | rat:*A) <3> (a <-> b)", "!(a|b)|c", "a||b", "&"],
    "jsonpath": ['$."a"', "lax $[*] ? (@ > 1)", "strict $.a.**{1 to last}[0, 2 to last].size() + 1.50 * -$b", '$ ? (@.a like_regex "^x.*" flag "i" || !(exists (@ ? (@ starts with "é"))))', "$.", "@"],
    "point": ["(1,2)", "1.5,-0", "(NaN,Infinity)", "(1)"],
    "line": ["{1,2,3}", "(0,0),(1,1)", "{0,0,1}"],
    "lseg": ["[(0,0),(1,1.5)]", "x"],
    "box": ["(3,4),(1,2)", "(1,2),(3,4)", "x"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))", "()"],
    "polygon": ["((0,0),(1,1),(2,0))", "(1,1)", "x"],
    "circle": ["<(1,2),3>", "<(0,0),-1>"],
    "pg_lsn": ["16/B374D848", "0/0", "x"],
    "pg_snapshot": ["10:20:10,14,15", "10:10:", "20:10:"],
    "txid_snapshot": ["10:20:10,14,15", "10:10:"],
    "int4range": ["[1,5)", "(1,5]", "empty", "(,)", "[5,1)", "x"],
    "int8range": ["[1,5)", "[9223372036854775807,)", "[1,9223372036854775807]"],
    "numrange": ["[1.50,2.5]", "(1,1)", "[,2)"],
    "daterange": ["[2020-01-01,2020-02-01]", "(,infinity)", "[2020-01-01,infinity]", "empty"],
    "tsrange": ['["2020-01-01 00:00","2020-01-02 12:30:00.5")', "(,)"],
    "tstzrange": ['["2020-01-01 00:00+01",)', '[2020-06-01, 2020-07-01]'],
    "int4multirange": ["{}", "{[1,5),[5,7]}", "{(5,9],(,2]}", "{empty}", "{[5,1)}", "x"],
    "int8multirange": ["{[1,5),[9223372036854775806,)}", "{[1,9223372036854775807]}"],
    "nummultirange": ["{[1.50,2.5],[1.5,2)}", "{(1,2),(2,3)}", "{}"],
    "datemultirange": ["{[2020-01-01,2020-02-01],[2020-02-02,2020-03-01)}", "{(,infinity)}", "{}"],
    "tsmultirange": ['{["2020-01-01 00:00","2020-01-02 12:30:00.5"),[2021-01-01,)}', "{(,)}"],
    "tstzmultirange": ['{["2020-01-01 00:00+01",)}', "{[2020-06-01, 2020-07-01]}"],
}
# Forms that it does not read: refused, not misread. (Of `interval` with fields the cast, not the column.)
# Without a zone `timetz` has that of today in a zone whose offset changes.
REFUSED = {"line": "(0,0),(1,1)", "interval day to second": "::", "timetz": "'04:05'"}

# What is not compared by the bytes of a plaintext: it can not be deterministic.
RANDOMIZED = {"json", "jsonb", "xml", "real", "double precision", "numeric", "bpchar", "interval", "interval(2)", "interval day to second", "numrange", "nummultirange",
              "point", "line", "lseg", "box", "path", "polygon", "circle", "pg_snapshot", "txid_snapshot", "tsvector", "tsquery", "jsonpath"}
NOT_READ = b"0A000"
# What is compared with values of these types is described as of the other: `varchar` and `text`, `cidr` and `inet`.
COMPARED_AS = {1043: 25, 650: 869}
NUMBERED = {kind: number for number, kind in enumerate(TYPES)}


def column(kind: str) -> str:
    mode = "randomized" if kind in RANDOMIZED else "deterministic"
    return f"    v: {{ tag: private, encrypted: {{ type: '{kind}', key: people, domain: d{NUMBERED[kind]}, mode: {mode} }} }}\n"


@contextmanager
def served(pg, database: str, directory):
    """A database with the twins of all types, and pgveil before it."""
    user = f"{database}_typist"
    pg.psql(f"CREATE DATABASE {database}; CREATE USER {user}")
    pg.psql("".join(f"CREATE TABLE e{number} (id int PRIMARY KEY, v {'bytea' if kind == 'bytea' else 'text'}, note text);"
                    f"CREATE TABLE p{number} (id int PRIMARY KEY, v {kind}, note text);" for kind, number in NUMBERED.items()) +
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}", database=database)
    policy = "version: 1\ntags:\n  private: { mask: full }\ncolumns:\n" + "".join(f"  e{number}:\n{column(kind)}" for kind, number in NUMBERED.items())
    (directory / "policy.yaml").write_text(policy + f'roles:\n  all: {{ users: [{user}], sees: {{ "*": clear }} }}\n', encoding="utf-8")
    proxy = Pgveil(pg, directory / "policy.yaml", {"keys": {"keyring": directory / "keyring.toml", "kek_file": directory / "kek"}}, database)
    for words in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *words, "--config", proxy.config], check=True, capture_output=True)
    proxy.start()
    yield Twins(pg, proxy, database, user)
    assert proxy.stop() == 0, proxy.log()[-2000:]
    assert "panicked" not in proxy.log(), proxy.log()[-2000:]
    proxy.remove()


class Twins:
    """All the tables."""

    def __init__(self, pg, proxy: Pgveil, database: str, user: str):
        self.pg, self.proxy, self.database, self.user = pg, proxy, database, user

    def psql(self, sql: str) -> str:
        return self.pg.psql(sql, database=self.database)

    def emptied(self, kind: str) -> "Twins":
        self.psql(f"TRUNCATE e{NUMBERED[kind]}, p{NUMBERED[kind]}")
        return self

    def session(self, kind: str, settings: dict | None = None) -> "Session":
        options = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in (settings or {"TimeZone": "UTC"}).items())
        return Session(psycopg.connect(host=self.proxy.host, port=self.proxy.port, user=self.user, dbname=self.database, autocommit=True, options=options), kind)

    def only_what_both_took(self, kind: str) -> None:
        tables = [f"{letter}{NUMBERED[kind]}" for letter in "ep"]
        self.psql("DELETE FROM {0} WHERE id NOT IN (SELECT id FROM {1}); DELETE FROM {1} WHERE id NOT IN (SELECT id FROM {0})".format(*tables))

    def all_are_envelopes(self, kind: str) -> None:
        stored = self.psql(f"SELECT v FROM e{NUMBERED[kind]} WHERE v IS NOT NULL").splitlines()
        assert stored and all(re.match(r"pgveil:UFYB|\\x505601", line) for line in stored)


class Session:
    """One connection, whose statements are run on the encrypted table and on the plain one."""

    def __init__(self, connection: psycopg.Connection, kind: str):
        self.connection, self.pgconn, self.kind, self.number = connection, connection.pgconn, kind, NUMBERED[kind]
        self.differing: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def simple(self, sql: str):
        return lambda table: self.pgconn.exec_(sql.replace("TABLE_", table).encode())

    def bound(self, sql: str, *params: bytes | None, types=None, formats=None, shown: int = 0):
        return lambda table: self.pgconn.exec_params(sql.replace("TABLE_", table).encode(), params, types, formats, shown)

    def prepared(self, sql: str, *runs: list[bytes | None], formats=None, shown: int = 0):
        def run(table: str):
            made = self.pgconn.prepare(b"s", sql.replace("TABLE_", table).encode())
            if made.status != pq.ExecStatus.COMMAND_OK:
                return made
            described = self.pgconn.describe_prepared(b"s")
            results = [self.pgconn.exec_prepared(b"s", params, formats, shown) for params in runs]
            self.pgconn.exec_(b"DEALLOCATE s")
            return [[COMPARED_AS.get(of := described.param_type(at), of) for at in range(described.nparams)], described, *results]
        return run

    def copied(self, sql: str):
        def run(table: str):
            begun = self.pgconn.exec_(sql.replace("TABLE_", table).encode())
            if begun.status != pq.ExecStatus.COPY_OUT:
                return begun
            pieces = []
            while (got := self.pgconn.get_copy_data(0))[0] > 0:
                pieces.append(bytes(got[1]))
            # Rows of a table come in the order that they lie in.
            return [pieces if " ORDER BY " in sql else sorted(pieces), self.pgconn.get_result()]
        return run

    def both(self, what: str, do) -> object:
        """What both tables answer has to be the same; the plain one's answer."""
        found, expected = (seen(do(f"{letter}{self.number}")) for letter in "ep")
        left_out = self.kind in REFUSED and REFUSED[self.kind] in what
        if not alike(found, expected, left_out):
            one, other = str(expected), str(found)
            at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
            self.differing.append(f"{what}: at {at}:\n      plain     {one[max(at - 60, 0):at + 90]}\n      encrypted {other[max(at - 60, 0):at + 90]}")
        return expected

    def ended(self) -> None:
        assert not self.differing, f"{self.kind}: {len(self.differing)} differ:\n" + "\n".join(self.differing[:40])


def alike(found, expected, left_out: bool) -> bool:
    """Whether the encrypted table has answered as the plain one. What neither takes may be refused for another reason."""
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(alike(one, other, left_out) for one, other in zip(found, expected, strict=True))
    refused = found == NOT_READ and (left_out or isinstance(expected, bytes))
    return refused or found == expected


def seen(result):
    """All that a client sees of results."""
    if isinstance(result, list):
        return [seen(one) for one in result]
    if not isinstance(result, pq.PGresult):
        return result
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return result.error_field(pq.DiagnosticField.SQLSTATE)
    of = range(result.nfields)
    fields = [(result.fname(at), result.ftype(at), result.fmod(at), result.fsize(at), result.fformat(at)) for at in of]
    rows = [[result.get_value(row, at) for at in of] for row in range(result.ntuples)]
    return result.command_status, fields, rows


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def short(value: str) -> str:
    return value if len(value) < 60 else f"{value[:20]}... ({len(value)})"
