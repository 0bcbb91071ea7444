"""COPY to the client shows what SELECT shows, in every format, spelling and mode of the protocol."""

import subprocess

import psycopg
import pytest

from conftest import HERE
from harness import copy, wire
from harness.wire import Raw

pytestmark = pytest.mark.proxy

DATABASE = "copies"

# What formats have to quote or to escape, in masked columns (notes: each character but white space becomes #), in clear
# ones, and where masks keep it (full_name: the first character).
AWKWARD = [
    ",comma", ";semicolon", '"quote"', "~tilde", "back\\slash", "\\", "\\.", "\\N", "NULL", "", " ", "tab\there", "line\nbreak",
    "carriage\rreturn", "\x0b\x0c\x08", "X and Y", "Y", "Zoë", "日本語", "'", "a,b\n\"c\"", "####", "#", "#,",
]


@pytest.fixture(scope="module")
def people(pg, front):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    tables = (HERE / "sql" / "people.sql").read_text(encoding="utf-8")
    pg.psql("\n".join(line for line in tables.splitlines() if not line.startswith("CREATE ROLE")), database=DATABASE)
    pg.psql("CREATE TABLE computed (id int, email text, twice text GENERATED ALWAYS AS (email || email) STORED, last int);"
            "INSERT INTO computed VALUES (1, 'canary@example.com', DEFAULT, 7);"
            "CREATE TABLE dropped (gone int, id int, email text); ALTER TABLE dropped DROP gone;"
            "INSERT INTO dropped VALUES (1, 'canary@example.com');"
            "GRANT SELECT ON computed, dropped TO support, billing, analyst", database=DATABASE)
    with psycopg.connect(host=pg.host, port=pg.port, user="postgres", dbname=DATABASE, autocommit=True) as connection:
        for number, text in enumerate(AWKWARD, 1000):
            connection.execute("INSERT INTO person (id, full_name, email, notes, city) VALUES (%s, %s, %s, %s, %s)",
                               (number, text, text, text, text))
    return front("people.yaml", database=DATABASE)


def client_of(target, user: str, **parameters: str) -> Raw:
    client = Raw(target.host, target.port)
    client.login(user, DATABASE, **parameters)
    return client


def simple(client: Raw, sql: str) -> list[wire.Frame]:
    return client.ask(wire.query(sql))


def extended(client: Raw, sql: str) -> list[wire.Frame]:
    return client.ask(wire.parse("", sql) + wire.bind("", "") + wire.describe("P", "") + wire.execute() + wire.sync())


def pipelined(client: Raw, sql: str) -> list[wire.Frame]:
    """The second of three in one flight."""
    other = wire.parse("", "SELECT 1") + wire.bind("", "") + wire.execute()
    one = wire.parse("c", sql) + wire.bind("p", "c") + wire.execute("p") + wire.close("P", "p") + wire.close("S", "c")
    got = client.ask(other + one + other + wire.sync())
    assert [frame.tag for frame in got][-4:] == ["2", "D", "C", "Z"], wire.outline(got)
    return got


MODES = [simple, extended, pipelined]
COLUMNS = {"sam": "id, full_name, email, phone, born, salary, notes, city", "ana": "id, full_name, email, born, salary, city"}

# Options, and how to read what they ask for.
OPTIONS = {
    "": copy.text_rows,
    "WITH DELIMITER 'X' NULL '\\N'": lambda data: copy.text_rows(data, b"X"),
    "(DELIMITER ';')": lambda data: copy.text_rows(data, b";"),
    "USING": None,
    "CSV": copy.csv_rows,
    "WITH CSV DELIMITER AS ';' QUOTE AS '~' ESCAPE '!' NULL AS 'NULL'": lambda data: copy.csv_rows(data, b";", b"~", b"!", b"NULL"),
    "(FORMAT csv, FORCE_QUOTE *)": copy.csv_rows,
    "(FORMAT csv, FORCE_QUOTE (email, full_name), NULL '#')": lambda data: copy.csv_rows(data, null=b"#"),
    "(FORMAT csv, ESCAPE $$\\$$)": lambda data: copy.csv_rows(data, escape=b"\\"),
    "(FORMAT csv, HEADER)": copy.csv_rows,
    "(FORMAT csv, ENCODING 'UTF-8')": copy.csv_rows,
    "BINARY": copy.binary_rows,
    "(FORMAT 'binary')": copy.binary_rows,
}
del OPTIONS["USING"]


@pytest.mark.parametrize("user", COLUMNS)
@pytest.mark.parametrize("options", OPTIONS)
def test_copy_shows_what_select_shows(people, user, options):
    columns = COLUMNS[user]
    client = client_of(people, user)
    query = f"SELECT {columns} FROM person ORDER BY id"
    binary = "binary" in options.lower()
    bind = wire.bind("", "", result_formats=[int(binary)])
    seen = [row.cells() for row in client.ask(wire.parse("", query) + bind + wire.execute() + wire.sync()) if row.tag == "D"]
    assert len(seen) > len(AWKWARD)
    read = OPTIONS[options]
    for mode in MODES:
        for source in (f"person ({columns})", f"({query})"):
            got = mode(client, f"COPY {source} TO STDOUT {options}")
            assert not [frame.fields() for frame in got if frame.tag == "E"], (mode.__name__, source)
            content = copy.data(got)
            if "HEADER" in options:
                header, _, content = content.partition(b"\n")
                assert header.decode() == columns.replace(" ", "")
            # A table is copied in the order that its rows have.
            rows = read(content)
            assert (rows if source.startswith("(") else sorted(rows, key=seen.index)) == seen, (mode.__name__, source)
            assert b"COPY %d\0" % len(seen) in [frame.body for frame in got if frame.tag == "C"]
    client.close()


def test_columns_that_nothing_masks_keep_their_bytes(people, pg):
    direct = Raw(pg.host, pg.port)
    direct.login("postgres", DATABASE)
    client = client_of(people, "sam")
    for options in OPTIONS:
        sql = f"COPY (SELECT id, full_name, phone, city FROM person ORDER BY id) TO STDOUT {options}"
        assert simple(client, sql) == simple(direct, sql), options
    client.close()
    direct.close()


def test_a_value_that_looks_like_null_does_not_show_that_it_does(people):
    """In text format the caller chooses what NULL looks like, and so could ask who has that value."""
    client = client_of(people, "sam")
    for guess in ("jane@example.com", "Y", "not an address", "#"):
        rows = copy.text_rows(copy.data(simple(client, f"COPY (SELECT id, email FROM person ORDER BY id) TO STDOUT (NULL '{guess}')")))
        plain = copy.text_rows(copy.data(simple(client, "COPY (SELECT id, email FROM person ORDER BY id) TO STDOUT")))
        assert [(key, value) for key, value in rows if value is not None and key != b"3"] == [
            (key, value) for key, value in plain if value is not None], guess
    client.close()


def test_generated_and_dropped_columns_are_where_the_server_leaves_them(people):
    client = client_of(people, "sam")
    for sql, expected in [
        ("COPY computed TO STDOUT", [[b"1", b"canary@example.com", b"7"]]),
        ("COPY dropped TO STDOUT", [[b"1", b"canary@example.com"]]),
    ]:
        assert copy.text_rows(copy.data(simple(client, sql))) == expected
    client.close()


def test_every_statement_that_yields_rows_can_be_copied(people):
    client = client_of(people, "sam")
    for inner, expected in [
        ("UPDATE person SET city = city WHERE id = 1 RETURNING email", [[b"j###@#######.###"]]),
        ("VALUES (1, 'x')", [[b"1", b"x"]]),
        ("TABLE note", None),
        ("SELECT lower(email), email IS NULL, count(*) OVER () > 0 FROM person WHERE id = 1", [[b"####", b"f", b"t"]]),
        ("SELECT email FROM person_view WHERE id = 1 UNION ALL SELECT NULL", [[b"j###@#######.###"], [None]]),
        ("WITH w AS (SELECT born FROM person WHERE id = 1) SELECT born, born::text FROM w", [[b"1984-01-01", b"####"]]),
        ("SELECT p FROM person p WHERE id = 1", None),
        ("SELECT array_agg(email) FROM person WHERE id IN (1, 5)", [[b"{j###@#######.###,j###@#######.###}"]]),
    ]:
        got = simple(client, f"COPY ({inner}) TO STDOUT")
        assert not [frame.fields() for frame in got if frame.tag == "E"], inner
        rows = copy.text_rows(copy.data(got))
        assert expected is None or rows == expected, inner
        assert b"jane@" not in copy.data(got) and b"1984-02-29" not in copy.data(got)
    client.close()


def test_among_other_statements_a_query_has_null_for_what_is_masked(people):
    client = client_of(people, "sam")
    got = simple(client, "BEGIN; COPY (SELECT id, email FROM person WHERE id = 1) TO STDOUT; COPY visit (person_id, email) TO STDOUT CSV; COMMIT")
    lines = [frame.body for frame in got if frame.tag == "d"]
    assert lines[:2] == [b"1\t\\N\n", b"1,j###@#######.###\n"], lines
    client.close()


def test_errors_are_the_servers_own(people, pg):
    direct = Raw(pg.host, pg.port)
    direct.login("sam", DATABASE)
    client = client_of(people, "sam")
    for sql in [
        "COPY person TO STDOUT (FORMAT json)",
        "COPY person TO STDOUT (FORMAT csv, FORMAT csv)",
        "COPY person TO STDOUT (DELIMITER 'ab')",
        "COPY person TO STDOUT (FORMAT csv, QUOTE ',')",
        "COPY person TO STDOUT (NULL E'\\n')",
        "COPY person TO STDOUT (HEADER match)",
        "COPY person TO STDOUT (FORMAT binary, HEADER)",
        "COPY person TO STDOUT (ENCODING 'klingon')",
        "COPY person (email, nothing) TO STDOUT",
        "COPY person (email, email) TO STDOUT",
        "COPY nowhere TO STDOUT",
        "COPY no.person TO STDOUT",
        "COPY person_view TO STDOUT",
        "COPY (SELECT nothing FROM person) TO STDOUT",
        "/* ä */ COPY (SELECT email, nothing\n FROM person) TO STDOUT (FORMAT csv)",
        "COPY (SELECT email FROM) TO STDOUT",
        "COPY (UPDATE person SET city = city WHERE false) TO STDOUT",
        "COPY (SELECT id INTO x FROM person) TO STDOUT",
        "COPY (SELECT $1) TO STDOUT",
    ]:
        for mode in (simple, extended):
            for block in (False, True):
                both = []
                for one in (direct, client):
                    if block:
                        one.ask(wire.query("BEGIN"))
                    got = mode(one, sql)
                    error = next(frame.fields() for frame in got if frame.tag == "E")
                    both.append(([error.get(code) for code in "SCMDHP"], wire.outline(got), wire.outline(simple(one, "ROLLBACK"))))
                    simple(one, "SELECT 1")
                assert both[0] == both[1], (sql, mode.__name__, block)
    direct.close()
    client.close()


def test_denied_columns_are_refused_and_others_copied(people):
    client = client_of(people, "ana")
    error = next(frame.fields() for frame in simple(client, "COPY person TO STDOUT") if frame.tag == "E")
    assert (error["C"], "person.notes" in error["M"]) == ("42501", True)
    assert copy.text_rows(copy.data(simple(client, "COPY person (id, full_name) TO STDOUT")))[0][1] == b""
    client.close()


def test_encodings_are_those_of_select_or_refused(people):
    beyond = ", ".join(str(1000 + AWKWARD.index(text)) for text in ("日本語", "Zoë"))
    for encoding in ("LATIN1", "WIN1252", "EUC_JP"):
        client = client_of(people, "sam", client_encoding=encoding)
        query = f"SELECT id, email, notes, city FROM person WHERE id > 999 AND id NOT IN ({beyond}) ORDER BY id"
        rows = client.rows(query)
        assert len(rows) > 20
        assert copy.text_rows(copy.data(simple(client, f"COPY ({query}) TO STDOUT"))) == rows
        client.close()
    client = client_of(people, "sam")
    query = "SELECT email, city FROM person WHERE city = 'Köln' AND id = 1"
    got = copy.data(simple(client, f"COPY ({query}) TO STDOUT (ENCODING 'latin1')"))
    assert got == "j###@#######.###\tKöln\n".encode("latin1")
    error = next(frame.fields() for frame in simple(client, f"COPY ({query}) TO STDOUT (ENCODING 'SJIS')") if frame.tag == "E")
    assert (error["C"], "encoding" in error["M"]) == ("42501", True)
    client.close()


def test_who_sees_it_in_clear_leaves_an_event_for_each_column(pg, own_front):
    target = own_front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("bella", "people")
    for sql, columns, rows in [
        ("COPY person (id, email, phone) TO STDOUT CSV HEADER", ["email", "phone"], 5),
        ("COPY person (email) TO STDOUT (FORMAT binary)", ["email"], 5),
        ("COPY (SELECT email FROM person WHERE false) TO STDOUT CSV HEADER", [], 0),
        ("COPY (SELECT email, repeat('x', 30000) FROM person) TO STDOUT", ["email"], None),
    ]:
        before = len(target.events())
        got = client.ask(wire.query(sql))
        assert not [frame.fields() for frame in got if frame.tag == "E"], sql
        events = target.events()[before:]
        assert sorted(event["column"] for event in events) == columns, sql
        assert {(event["action"], event["rows"]) for event in events} <= {("export", rows)}, sql
    direct = Raw(pg.host, pg.port)
    direct.login("bella", "people")
    assert client.ask(wire.query("COPY person TO STDOUT")) == direct.ask(wire.query("COPY person TO STDOUT"))
    direct.close()
    client.close()


def environment(target, user: str) -> list[str]:
    return ["-h", target.host, "-p", str(target.port), "-U", user, "-d", DATABASE]


def test_psql_copies_masks_to_a_file(people, tmp_path):
    out = tmp_path / "people.csv"
    command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", *environment(people, "sam"), "-c",
               f"\\copy (SELECT id, email FROM person WHERE id < 3 ORDER BY id) to '{out}' csv header"]
    subprocess.run(command, check=True, capture_output=True)
    assert out.read_text() == "id,email\n1,j###@#######.###\n2,o#@#######.###\n"


def test_psycopg_copies_masks(people):
    with psycopg.connect(host=people.host, port=people.port, user="sam", dbname=DATABASE) as connection:
        with connection.cursor().copy("COPY person (id, email) TO STDOUT") as rows:
            assert ("1", "j###@#######.###") in list(rows.rows())
        connection.rollback()
        with connection.cursor().copy("COPY (SELECT %s::int, email FROM person WHERE id = 1) TO STDOUT (FORMAT binary)", (7,)) as rows:
            rows.set_types(["int4", "text"])
            assert list(rows.rows()) == [(7, "j###@#######.###")]


def test_what_pg_dump_writes_as_a_masked_role_can_be_loaded(people, pg, tmp_path):
    pg.psql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO support", database=DATABASE)
    dump = tmp_path / "dump.sql"
    for more in ([], ["--inserts"]):
        done = subprocess.run(["pg_dump", *environment(people, "sam"), "-t", "person", "-t", "visit", "--no-owner", "-f", str(dump), *more],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        content = dump.read_text()
        assert "jane@example.com" not in content and "j###@#######.###" in content
        pg.psql("DROP DATABASE IF EXISTS loaded")
        pg.psql("CREATE DATABASE loaded")
        pg.psql(file=dump, database="loaded")
        loaded = pg.psql("SELECT count(*), min(email) FILTER (WHERE id = 1) FROM person", database="loaded").strip()
        assert loaded == f"{5 + len(AWKWARD)}|j###@#######.###"
