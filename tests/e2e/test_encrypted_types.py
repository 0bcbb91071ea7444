"""What is written into an encrypted column through any path comes back equal through any path: for each of PostgreSQL's built-in scalar types,
held against a plain column of that type in the same server.

Each type has two tables, one encrypted and one plain. What is done to one is done to the other, through pgveil, and all that a client
sees of it has to be the same: rows, formats, types, modifiers, SQLSTATEs.
"""

import itertools
import re
import subprocess

import psycopg
import pytest
from psycopg import pq

from harness.pgveil import Pgveil, binary

pytestmark = [pytest.mark.proxy, pytest.mark.timeout(300)]

DATABASE = "sealed_types"
LONG = 1_000_000
TEXTS = ["", " ", "plain", "pgveil:", "it's", 'q"u,o{t}e\\', "tab\tand\nline", "Grüße, 日本語 💶", "NULL", "x" * 40]
NUMBERS = ["0", "1", "-1", "42", " 7 ", "x", ""]
FLOATS = ["0", "-0", "1.5", "0.1", "-1e-7", "1e20", "NaN", "Infinity", "-Infinity", "123456.789", "", "1e999"]
DAYS = ["2000-01-01", "1984-02-29", "2026-11-22", "0044-03-15 BC", "infinity", "-infinity", "January 8, 1999", "19990108", "2021-02-30", ""]
MOMENTS = ["2000-01-01 00:00:00", "1984-02-29 23:59:59.999999", "2026-03-29 02:30:00", "2026-07-01 12:00:00+05:30", "infinity", "0099-12-31 BC", "1850-01-01 12:00", "x"]
TIMES = ["00:00", "23:59:59.999999", "24:00:00", "04:05 PM", "040506", "25:00"]
SPANS = ["0", "1 day", "1 year 2 mons -3 days 04:05:06.789", "-1 mon", "P1Y2M3DT4H5M6S", "1-2", "1 12:59:10", "15 years ago", "", "x"]

# type: values, which need not be valid
TYPES = {
    "text": [*TEXTS, "e" * LONG, "é€" * 20_000],
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
    "bytea": ["\\x", "\\x00ff10", "\\x5056", "abc\\000def", "\\xg0", "\\x" + "00ff" * (LONG // 2)],
    "uuid": ["8d8ac610-566d-4ef0-9c22-186b2a5ed793", "{8D8AC610566D4EF09C22186B2A5ED793}", "x"],
    "date": DAYS,
    "time": TIMES,
    "time(0)": TIMES,
    "timetz": [*TIMES, "12:00+05:30", "12:00:00.5-11"],
    "timestamp": MOMENTS,
    "timestamp(3)": MOMENTS,
    "timestamptz": MOMENTS,
    "timestamptz(0)": MOMENTS,
    "interval": SPANS,
    "interval(2)": SPANS,
    "interval day to second": SPANS,
    "bit": ["0", "1", "10", ""],
    "bit(5)": ["10101", "b10101", "x1", "1010"],
    "bit varying": ["", "1", "B101", "XFF", "2", "10" * (LONG // 2)],
    "bit varying(9)": ["", "101010101", "1010101010"],
    "inet": ["192.0.2.1", "192.0.2.1/24", "2001:db8::1/64", "::ffff:1.2.3.4", "300.0.0.1"],
    "cidr": ["192.0.2.0/24", "10", "2001:db8::/32", "192.0.2.1/24"],
    "macaddr": ["08:00:2b:01:02:03", "08002b-010203", "x"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "08002b:010203", "x"],
    "json": ['{"a": [1, null, "x"]}', "null", '"ü💶"', " [1 ,2] ", '{"b":1,"b":2}', "{", "", '["' + "j" * LONG + '"]'],
    "jsonb": ['{"b": {"c": 1.50}, "a": 1}', "null", '"ü💶"', " [1 ,2] ", '{"b":1,"b":2}', "1e2", '"\\u0041"', "{", '["' + "j" * LONG + '"]'],
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
}
# What pgveil does not read yet, and says so.
NOT_YET = {"xml": "<a>1</a>", "tsvector": "'cat' 'fat'", "tsquery": "'fat' & 'cat'", "jsonpath": '$."a"'}
# Arrays, names of the catalog's objects, what only the system has, and multiranges are no scalar types: a policy can not declare them.
NO_SCALARS = ["integer[]", "regclass", "xid", "cid", "tid", "int4multirange", "record", "oidvector", "aclitem", "refcursor", "pg_node_tree"]

SETTINGS = [
    {"TimeZone": "UTC", "DateStyle": "ISO, MDY"},
    {"TimeZone": "America/New_York", "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "bytea_output": "escape", "extra_float_digits": "0"},
    {"TimeZone": "Asia/Kolkata", "DateStyle": "German, DMY", "IntervalStyle": "iso_8601", "extra_float_digits": "-4"},
    {"TimeZone": "Europe/Berlin", "DateStyle": "Postgres, MDY", "IntervalStyle": "postgres_verbose"},
]
# What is not compared by the bytes of a plaintext: it can not be deterministic.
RANDOMIZED = {"json", "jsonb", "xml", "real", "double precision", "numeric", "bpchar", "interval", "interval(2)", "interval day to second", "numrange",
              "point", "line", "lseg", "box", "path", "polygon", "circle", "pg_snapshot", "txid_snapshot", "tsvector", "tsquery", "jsonpath"}
NUMBERED = {kind: number for number, kind in enumerate([*TYPES, *NOT_YET])}


def column(kind: str) -> str:
    mode = "randomized" if kind in RANDOMIZED else "deterministic"
    return f"    v: {{ tag: private, encrypted: {{ type: '{kind}', key: people, domain: d{NUMBERED[kind]}, mode: {mode} }} }}\n"


@pytest.fixture(scope="module")
def sealed(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}; CREATE USER typist")
    pg.psql("".join(f"CREATE TABLE e{number} (id int PRIMARY KEY, v {'bytea' if kind == 'bytea' else 'text'}, note text);"
                    f"CREATE TABLE p{number} (id int PRIMARY KEY, v {kind}, note text);" for kind, number in NUMBERED.items()) +
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO typist", database=DATABASE)
    directory = tmp_path_factory.mktemp("sealed_types")
    policy = "version: 1\ntags:\n  private: { mask: full }\ncolumns:\n" + "".join(f"  e{number}:\n{column(kind)}" for kind, number in NUMBERED.items())
    (directory / "policy.yaml").write_text(policy + 'roles:\n  all: { users: [typist], sees: { "*": clear } }\n', encoding="utf-8")
    proxy = Pgveil(pg, directory / "policy.yaml", {"keys": {"keyring": directory / "keyring.toml", "kek_file": directory / "kek"}}, DATABASE)
    for words in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *words, "--config", proxy.config], check=True, capture_output=True)
    proxy.start()
    yield proxy
    assert proxy.stop() == 0, proxy.log()[-2000:]
    assert "panicked" not in proxy.log(), proxy.log()[-2000:]
    proxy.remove()


class Session:
    """One connection, whose statements are run on the encrypted table and on the plain one."""

    def __init__(self, sealed, kind: str, settings: dict | None = None):
        options = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in (settings or SETTINGS[0]).items())
        self.connection = psycopg.connect(host=sealed.host, port=sealed.port, user="typist", dbname=DATABASE, autocommit=True, options=options)
        self.pgconn, self.kind, self.number = self.connection.pgconn, kind, NUMBERED[kind]
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
            return [[described.param_type(at) for at in range(described.nparams)], described, *results]
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
        if found != expected:
            one, other = str(expected), str(found)
            at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
            self.differing.append(f"{what}: at {at}:\n      plain     {one[max(at - 60, 0):at + 90]}\n      encrypted {other[max(at - 60, 0):at + 90]}")
        return expected

    def ended(self) -> None:
        assert not self.differing, f"{self.kind}: {len(self.differing)} differ:\n" + "\n".join(self.differing[:40])


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


def reads(session: Session, also: str = "") -> None:
    """Every path out."""
    for form in (0, 1):
        session.both(f"read, format {form}{also}", session.bound("SELECT id, v FROM TABLE_ ORDER BY id", shown=form))
        session.both(f"array_agg, format {form}{also}", session.bound("SELECT array_agg(v ORDER BY id) FROM TABLE_ WHERE length(note) < 90", shown=form))
        session.both(f"read prepared, format {form}{also}", session.prepared("SELECT v FROM TABLE_ WHERE id = $1", [b"1"], [b"2"], shown=form))
    session.both(f"read, simple{also}", session.simple("SELECT v, id, v AS again FROM TABLE_ ORDER BY id"))
    for binary_cursor in ("", "BINARY "):
        def fetched(table: str, binary_cursor=binary_cursor):
            session.simple("BEGIN")("")
            results = [session.simple(f"DECLARE c {binary_cursor}CURSOR FOR SELECT v FROM TABLE_ ORDER BY id")(table), session.simple("FETCH 2 FROM c")(""), session.simple("FETCH ALL FROM c")("")]
            session.simple("COMMIT")("")
            return results

        session.both(f"fetched from a {binary_cursor}cursor{also}", fetched)
    for options in ("", " (FORMAT csv, HEADER)", " (FORMAT csv, FORCE_QUOTE *, NULL 'nil')", " (FORMAT binary)"):
        session.both(f"COPY of a query{options}{also}", session.copied(f"COPY (SELECT id, v FROM TABLE_ ORDER BY id) TO STDOUT{options}"))
        session.both(f"COPY{options}{also}", session.copied(f"COPY TABLE_ (v, id) TO STDOUT{options}"))


def writes(session: Session, values: list[str], numbers) -> None:
    """Every path in, with RETURNING."""
    kind = session.kind
    insert = "INSERT INTO TABLE_ (id, v) VALUES"
    for value in values:
        raw, literal = value.encode(), quoted(value)
        what = repr(short(value))
        session.both(f"literal {what}", session.simple(f"{insert} ({next(numbers)}, {literal}) RETURNING v"))
        session.both(f"parameter {what}", session.bound(f"{insert} ({next(numbers)}, $1) RETURNING id, v", raw))
        if len(value) > 1000:
            continue
        session.both(f"literal with its type {what}", session.simple(f"{insert} ({next(numbers)}, {literal}::{kind}) RETURNING v"))
        session.both(f"INSERT of a query {what}", session.simple(f"INSERT INTO TABLE_ (id, v) SELECT {next(numbers)}, {literal} RETURNING v"))
        at = next(numbers)
        upsert = f"{insert} ({at}, {literal}) ON CONFLICT (id) DO UPDATE SET v = excluded.v, note = 'again' RETURNING v, note"
        session.both(f"upsert {what}", session.simple(upsert))
        session.both(f"upsert again {what}", session.simple(upsert))
        session.both(f"upsert with a value {what}", session.bound(f"{insert} ({at}, NULL) ON CONFLICT (id) DO UPDATE SET v = $1 RETURNING v", raw, shown=1))
        session.both(f"UPDATE by literal {what}", session.simple(f"UPDATE TABLE_ SET v = {literal} WHERE id = {at} RETURNING v"))
        session.both(f"prepared {what}", session.prepared(f"{insert} ($1, $2) RETURNING *", [b"%d" % next(numbers), raw], [b"%d" % next(numbers), None],
                                                          [b"%d" % next(numbers), raw]))
    session.both("NULL", session.simple(f"{insert} ({next(numbers)}, NULL), ({next(numbers)}, DEFAULT) RETURNING v"))
    session.both("NULL as parameter", session.bound(f"{insert} ({next(numbers)}, $1) RETURNING v", None))


def stored_values(session: Session) -> list[bytes]:
    """The binary forms of what the plain table holds, each once."""
    (_, _, rows) = seen(session.bound("SELECT v FROM TABLE_ WHERE v IS NOT NULL ORDER BY id", shown=1)(f"p{session.number}"))
    return list(dict.fromkeys(row[0] for row in rows))


def writes_binary(session: Session, numbers) -> None:
    """What is there already, sent in binary form."""
    for raw in stored_values(session):
        for types in (None, [declared(session)]):
            session.both(f"binary parameter {raw[:30]}, {types}", session.bound("INSERT INTO TABLE_ (id, v) VALUES ($1, $2) RETURNING v", b"%d" % next(numbers), raw,
                         types=types and [23, *types], formats=[0, 1], shown=1))
        session.both(f"UPDATE by binary parameter {raw[:30]}", session.bound("UPDATE TABLE_ SET v = $1 WHERE id = 1 RETURNING v", raw, formats=[1]))


def declared(session: Session) -> int:
    return session.bound("SELECT v FROM TABLE_ LIMIT 0")(f"p{session.number}").ftype(0)


def searches(session: Session) -> None:
    """Values that are found, in every form, and what is only compared with itself."""
    values = [raw for raw in stored_values(session) if len(raw) < 1000]
    (_, _, rows) = seen(session.simple("SELECT v FROM TABLE_ WHERE v IS NOT NULL AND length(v::text) < 1000 ORDER BY id")(f"p{session.number}"))
    texts = list(dict.fromkeys(row[0].decode() for row in rows))
    for raw in values[:12]:
        session.both(f"= binary {raw[:30]}", session.bound("SELECT id FROM TABLE_ WHERE v = $1 ORDER BY id", raw, formats=[1]))
    for text in texts[:12]:
        session.both(f"= literal {short(text)!r}", session.simple(f"SELECT id FROM TABLE_ WHERE v = {quoted(text)} ORDER BY id"))
        session.both(f"= parameter {short(text)!r}", session.prepared("SELECT id, v FROM TABLE_ WHERE v = $1 ORDER BY id", [text.encode()], [None]))
        session.both(f"<> literal {short(text)!r}", session.simple(f"SELECT id FROM TABLE_ WHERE v <> {quoted(text)} AND id < 20 ORDER BY id"))
    some = texts[1::2]
    listed = ", ".join(quoted(text) for text in some)
    if some:
        session.both("IN", session.simple(f"SELECT id FROM TABLE_ WHERE v IN ({listed}) ORDER BY id"))
        session.both("NOT IN", session.simple(f"SELECT id FROM TABLE_ WHERE v NOT IN ({listed}) ORDER BY id"))
    # What a varchar column is compared with is an array of text.
    of = "::text" if session.kind.startswith("varchar") else ""
    for form in (0, 1):
        (_, _, ((array,),)) = seen(session.bound(f"SELECT array_agg(v{of} ORDER BY id) FILTER (WHERE id % 2 = 0 AND length(v::text) < 1000) FROM TABLE_", shown=form)(f"p{session.number}"))
        session.both(f"= ANY, format {form}", session.bound("SELECT id FROM TABLE_ WHERE v = ANY($1) ORDER BY id", array, formats=[form]))
        if form == 0 and array:
            session.both("= ANY of a literal", session.simple(f"SELECT id FROM TABLE_ WHERE v = ANY({quoted(array.decode())}) ORDER BY id"))
    session.both("distinct", session.simple("SELECT count(DISTINCT v), count(v), count(*) FROM TABLE_"))
    session.both("sizes of groups", session.simple("SELECT n, count(*) FROM (SELECT count(*) AS n FROM TABLE_ GROUP BY v) AS q GROUP BY n ORDER BY n"))
    session.both("joined", session.simple("SELECT count(*) FROM TABLE_ one JOIN TABLE_ other ON one.v = other.v"))


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_written_through_any_path_comes_back_through_any(pg, sealed, kind):
    pg.psql(f"TRUNCATE e{NUMBERED[kind]}, p{NUMBERED[kind]}", database=DATABASE)
    numbers = itertools.count(1)
    with Session(sealed, kind) as session:
        writes(session, TYPES[kind], numbers)
        writes_binary(session, numbers)
        # What only one of them took is told already.
        pg.psql("DELETE FROM {0} WHERE id NOT IN (SELECT id FROM {1}); DELETE FROM {1} WHERE id NOT IN (SELECT id FROM {0})".format(
            *(f"{letter}{session.number}" for letter in "ep")), database=DATABASE)
        session.both("marks", session.simple("UPDATE TABLE_ SET note = 'long' || repeat('.', 100) WHERE id IN (SELECT id FROM p%d WHERE length(v::text) > 100000)" % session.number))
        reads(session)
        if kind not in RANDOMIZED:
            searches(session)
    plaintext = re.compile(r"^pgveil:|^\\x50560")
    stored = pg.psql(f"SELECT v FROM e{NUMBERED[kind]} WHERE v IS NOT NULL", database=DATABASE).splitlines()
    assert stored and all(plaintext.match(line) for line in stored)
    session.ended()
