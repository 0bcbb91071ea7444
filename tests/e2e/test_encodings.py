"""Statements in other encodings than UTF-8: what pgveil reads is what the server reads, or it is refused."""

import os
import struct
import subprocess

import pytest

from harness.pgveil import Pgveil
from harness.postgres import Postgres
from harness.wire import Closed, Raw, bind, describe, execute, query, sync

pytestmark = pytest.mark.proxy

CANARY = b"canary.seven@example.org"
POLICY = """\
version: 1
tags:
  email: {{ mask: email }}
columns:
  public.plain:
    email: email
  public."{table}":
    "{column}": email
roles: {{}}
"""
# Encoding of the database: table and column that are tagged, and a harmless pair that a wrong reading takes them for.
DATABASES = {
    # Bytes e6 of LATIN2; LATIN1 has æ there.
    "UTF8": ("ćwiek", "ćma", "æwiek", "æma"),
    # What UTF-8 writes é with.
    "LATIN1": ("Ã©table", "Ã©mail", "étable", "émail"),
    # The two bytes of 津 are those of é in UTF-8.
    "EUC_JP": (b"\xc3\xa9".decode("euc_jp") + "table", b"\xc3\xa9".decode("euc_jp") + "mail", None, None),
    "SQL_ASCII": ("ćwiek", "ćma", "æwiek", "æma"),
}


def named(encoding: str) -> str:
    return "names_" + encoding.lower()


@pytest.fixture(scope="module")
def places(pg, front, tmp_path_factory):
    """pgveil in front of a database of each encoding."""
    started = {}

    def place(encoding: str):
        if encoding in started:
            return started[encoding]
        table, column, other, harmless = DATABASES[encoding]
        name = named(encoding)
        pg.psql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
        pg.psql(f"""
            SET client_encoding = 'UTF8';
            CREATE TABLE "{table}" (id int, "{column}" text); INSERT INTO "{table}" VALUES (1, '{CANARY.decode()}');
            CREATE TABLE plain (id int, email text, "größe" text); INSERT INTO plain VALUES (1, '{CANARY.decode()}', 'groß');
            {f'CREATE TABLE "{other}" (id int, "{harmless}" text);' if other else ''}
            GRANT ALL ON ALL TABLES IN SCHEMA public TO public; GRANT ALL ON SCHEMA public TO public; ANALYZE;
        """ if encoding != "EUC_JP" else f"""
            SET client_encoding = 'UTF8';
            CREATE TABLE "{table}" (id int, "{column}" text); INSERT INTO "{table}" VALUES (1, '{CANARY.decode()}');
            CREATE TABLE plain (id int, email text); INSERT INTO plain VALUES (1, '{CANARY.decode()}');
            GRANT ALL ON ALL TABLES IN SCHEMA public TO public; GRANT ALL ON SCHEMA public TO public; ANALYZE;
        """, database=name)
        policy = tmp_path_factory.mktemp(name) / "policy.yaml"
        policy.write_text(POLICY.format(table=table, column=column), encoding="utf-8")
        started[encoding] = front(policy, database=name)
        return started[encoding]

    return place


def simple(text: bytes) -> bytes:
    return b"Q" + struct.pack("!I", len(text) + 5) + text + b"\0"


def prepared(text: bytes, name: bytes = b"") -> bytes:
    body = name + b"\0" + text + b"\0\0\0"
    return b"P" + struct.pack("!I", len(body) + 4) + body


def run(name: str = "") -> bytes:
    return bind("", name) + describe("P", "") + execute()


def setting(encoding: str) -> bytes:
    return f"SET client_encoding = '{encoding}'".encode()


# Encoding of the database; that of the client; the text, as the client means it.
READ_WRONGLY = [
    ("UTF8", "LATIN2", 'SELECT upper("ćma") FROM "ćwiek"'),
    ("UTF8", "LATIN2", 'SELECT upper(ćma) FROM ćwiek'),
    ("UTF8", "LATIN2", 'SELECT reverse("ćma") FROM "ćwiek"'),
    ("UTF8", "LATIN2", "DO $$ BEGIN RAISE NOTICE '%', (SELECT upper(ćma) FROM ćwiek); END $$"),
    ("UTF8", "LATIN2", "CREATE FUNCTION public.f1() RETURNS text LANGUAGE sql AS 'SELECT upper(ćma) FROM ćwiek'; SELECT public.f1()"),
    ("UTF8", "LATIN2", 'COPY (SELECT upper("ćma") FROM "ćwiek") TO STDOUT'),
    ("UTF8", "LATIN2", 'COPY "ćwiek" TO STDOUT'),
    ("UTF8", "LATIN2", 'CREATE TABLE public.taken AS SELECT "ćma" AS x FROM "ćwiek"; SELECT upper(x) FROM public.taken'),
    ("UTF8", "WIN1250", 'SELECT upper("ćma") FROM "ćwiek"'),
    ("UTF8", "ISO_8859_5", 'SELECT upper(email) FROM plain'),
    ("SQL_ASCII", "UTF8", 'SELECT upper("ćma") FROM "ćwiek"'),
    ("SQL_ASCII", "SQL_ASCII", 'SELECT upper("ćma") FROM "ćwiek"'),
    ("SQL_ASCII", "LATIN1", 'SELECT upper("ćma") FROM "ćwiek"'),
    ("LATIN1", "SQL_ASCII", 'SELECT upper("Ã©mail") FROM "Ã©table"'),
    ("LATIN1", "UTF8", 'SELECT upper("Ã©mail") FROM "Ã©table"'),
    ("LATIN1", "LATIN1", 'SELECT upper("Ã©mail") FROM "Ã©table"'),
    ("EUC_JP", "UTF8", 'SELECT upper("{column}") FROM "{table}"'),
    ("EUC_JP", "EUC_JP", 'SELECT upper("{column}") FROM "{table}"'),
    ("EUC_JP", "SQL_ASCII", 'SELECT upper("{column}") FROM "{table}"'),
    ("EUC_JP", "SJIS", 'SELECT upper("{column}") FROM "{table}"'),
]
PYTHON = {"UTF8": "utf-8", "LATIN1": "latin-1", "LATIN2": "iso8859_2", "WIN1250": "cp1250", "WIN1252": "cp1252", "ISO_8859_5": "iso8859_5", "EUC_JP": "euc_jp", "SJIS": "shift_jis"}


def written(database: str, client: str, text: str) -> bytes:
    table, column, _, _ = DATABASES[database]
    text = text.replace("{table}", table).replace("{column}", column)
    # SQL_ASCII: the client's bytes are taken for the server's.
    encoding = client if client != "SQL_ASCII" else database if database != "SQL_ASCII" else "UTF8"
    if database == "SQL_ASCII":
        encoding = "UTF8"
    return text.encode(PYTHON[encoding])


def received(client: Raw, data: bytes) -> bytes:
    client.send(data)
    ready = data.count(b"S\0\0\0\4") + sum(data[at : at + 1] == b"Q" for at in starts(data))
    frames = [one for _ in range(ready) for one in client.until("Z")]
    return b"".join(one.tag.encode() + one.body for one in frames)


def starts(data: bytes):
    """Where the messages of a flight begin."""
    at = 0
    while at < len(data):
        yield at
        at += 1 + struct.unpack_from("!I", data, at + 1)[0]


def hides(got: bytes) -> bool:
    return CANARY.upper() not in got.upper() and CANARY[::-1] not in got


# How a session comes by its encoding: parameters of the startup, and flights of messages.
WAYS = {
    "startup, simple": lambda encoding, text: ({"client_encoding": encoding}, [simple(text)]),
    "startup, extended": lambda encoding, text: ({"client_encoding": encoding}, [prepared(text) + run() + sync()]),
    "options": lambda encoding, text: ({"options": f"-c client_encoding={encoding}"}, [simple(text)]),
    "SET, then": lambda encoding, text: ({}, [simple(setting(encoding)), simple(text)]),
    "SET NAMES, then": lambda encoding, text: ({}, [simple(f"SET NAMES '{encoding}'".encode()), prepared(text) + run() + sync()]),
    "SET in the same flight": lambda encoding, text: ({}, [simple(setting(encoding)) + simple(text)]),
    "SET in the same flight, extended": lambda encoding, text: ({}, [prepared(setting(encoding)) + run() + prepared(text) + run() + sync()]),
    "SET LOCAL, in a transaction": lambda encoding, text: ({}, [simple(b"BEGIN"), simple(f"SET LOCAL client_encoding TO {encoding}".encode()), simple(text)]),
    "set_config": lambda encoding, text: ({}, [simple(f"SELECT set_config('client_encoding', '{encoding}', false)".encode()), simple(text)]),
    "back by ROLLBACK in the same flight": lambda encoding, text: (
        {"client_encoding": encoding}, [simple(b"BEGIN"), simple(setting("UTF8")), simple(b"ROLLBACK") + simple(text)]),
    "back by RESET in the same flight": lambda encoding, text: (
        {"client_encoding": encoding}, [simple(setting("UTF8")), simple(b"RESET client_encoding") + prepared(text) + run() + sync()]),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("row", READ_WRONGLY, ids=lambda row: f"{row[0]} {row[1]} {row[2][:30]}")
def test_no_encoding_hides_a_name(places, row, way):
    database, encoding, text = row
    target = places(database)
    parameters, flights = WAYS[way](encoding, written(database, encoding, text))
    client = Raw(target.host, target.port)
    client.login("sam", named(database), **parameters)
    got = b"".join(received(client, flight) for flight in flights)
    assert hides(got), got
    client.close()


def test_a_prepared_statement_is_what_it_was_when_it_was_read(places):
    target = places("UTF8")
    client = Raw(target.host, target.port)
    client.login("sam", named("UTF8"))
    text = 'SELECT upper("ćma") FROM "ćwiek"'.encode()
    got = received(client, prepared(text, b"s") + sync()) + received(client, simple(b"PREPARE t AS " + text))
    # Under another encoding, and judged again because the session has made something.
    for encoding in ("LATIN1", "SQL_ASCII", "LATIN2", "UTF8"):
        got += received(client, simple(setting(encoding)))
        got += received(client, simple(f"CREATE TEMP TABLE made_{encoding} (a int)".encode()))
        got += received(client, run("s") + sync()) + received(client, simple(b"EXECUTE t")) + received(client, simple(b"EXECUTE s"))
    assert hides(got), got
    client.close()


# In encodings of which a character's second byte can be a backslash: text that ends a string for who does not know them.
TREACHEROUS = {"SJIS": b"\x83\\", "BIG5": b"\xa5\\", "GBK": b"\x81\\", "UHC": b"\xb0\\", "GB18030": b"\x81\\", "JOHAB": b"\x88\\", "SHIFT_JIS_2004": b"\x83\\"}


@pytest.mark.parametrize("encoding", list(TREACHEROUS))
def test_where_bytes_of_characters_look_like_backslashes_only_ascii_is_read(places, encoding):
    target = places("UTF8")
    client = Raw(target.host, target.port)
    client.login("sam", named("UTF8"), client_encoding=encoding)
    hidden = b"SELECT E'" + TREACHEROUS[encoding] + b"' , upper(email) FROM plain --'"
    for flight in (simple(hidden), prepared(hidden) + run() + sync()):
        got = received(client, flight)
        assert hides(got) and b"C0A000\0" in got, got
    # The masks hold, and what is ASCII is understood.
    got = received(client, simple(b"SELECT email FROM plain"))
    assert hides(got) and b"c####" in got, got
    # In one flight with the change.
    client.close()
    client = Raw(target.host, target.port)
    client.login("sam", named("UTF8"))
    assert hides(received(client, simple(setting(encoding)) + simple(hidden)))
    client.close()


# Text that every encoding of its kind reads alike runs and is masked: encoding of database and client, text, what is to be in the answer.
UNDERSTOOD = [
    ("UTF8", "LATIN1", 'SELECT "größe", email FROM plain', "groß"),
    ("UTF8", "WIN1252", 'SELECT größe, email FROM plain', "groß"),
    ("UTF8", "LATIN2", "SELECT 'größe', email FROM plain", "größe"),
    ("UTF8", "EUC_JP", "SELECT '津', email FROM plain", "津"),
    ("UTF8", "SQL_ASCII", 'SELECT größe, email FROM plain', "groß"),
    ("UTF8", "LATIN1", "SELECT email FROM plain WHERE größe = 'groß'", "@"),
    ("LATIN1", "UTF8", "SELECT größe, email FROM plain", "groß"),
    ("LATIN1", "LATIN1", "SELECT größe, email FROM plain", "groß"),
    ("LATIN1", "LATIN1", 'SELECT "Ã©mail" FROM "Ã©table"', "@"),
    ("EUC_JP", "UTF8", "SELECT '津', email FROM plain", "津"),
    ("EUC_JP", "EUC_JP", "SELECT '津', email FROM plain", "津"),
    ("SQL_ASCII", "UTF8", 'SELECT "größe", email FROM plain', "groß"),
    ("SQL_ASCII", "SQL_ASCII", "SELECT 'größe', email FROM plain", "größe"),
]


@pytest.mark.parametrize("row", UNDERSTOOD, ids=lambda row: f"{row[0]} {row[1]} {row[2][:30]}")
def test_other_encodings_are_understood_where_they_can_be(places, row):
    database, encoding, text, expected = row
    target = places(database)
    client = Raw(target.host, target.port)
    client.login("sam", named(database), client_encoding=encoding)
    for flight in (simple(written(database, encoding, text)), prepared(written(database, encoding, text)) + run() + sync()):
        got = received(client, flight)
        assert hides(got) and written(database, encoding, expected) in got and b"\0C" not in got.split(b"T\0")[0], got
    client.close()


def test_copy_of_another_encoding_is_masked(places):
    target = places("UTF8")
    client = Raw(target.host, target.port)
    client.login("sam", named("UTF8"))
    for encoding in ("LATIN1", "SJIS", "GB18030", "SQL_ASCII", "EUC_JP"):
        for table in ("plain", "(SELECT email FROM plain)", "(SELECT upper(email) FROM plain)"):
            got = received(client, simple(f"COPY {table} TO STDOUT (ENCODING '{encoding}')".encode()))
            assert hides(got), got
    client.close()


def test_an_encoding_of_a_role_or_database_is_known(pg, places):
    target = places("UTF8")
    for whose in ("ROLE sam", f"DATABASE {named('UTF8')}"):
        pg.psql(f"ALTER {whose} SET client_encoding = 'SJIS'")
        try:
            client = Raw(target.host, target.port)
            client.login("sam", named("UTF8"))
            got = received(client, simple(b"SELECT E'\x83\\' , upper(email) FROM plain --'"))
            assert hides(got) and b"C0A000\0" in got, got
            client.close()
        finally:
            pg.psql(f"ALTER {whose} RESET client_encoding")


def test_a_server_that_folds_other_letters_than_ascii_hides_no_name(tmp_path, tmp_path_factory):
    locale = tmp_path_factory.mktemp("locale")
    locale.chmod(0o755)
    for above in locale.parents[:3]:
        above.chmod(above.stat().st_mode | 0o055)
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(locale / "de_DE.ISO-8859-1")], capture_output=True, check=False)
    if made.returncode > 1 or not (locale / "de_DE.ISO-8859-1").is_dir():
        pytest.skip("localedef can not make de_DE.ISO-8859-1: Debian's package locales")
    os.environ["LOCPATH"] = str(locale)
    try:
        server = Postgres("folding").start()
    finally:
        del os.environ["LOCPATH"]
    try:
        server.psql("CREATE ROLE sam LOGIN; CREATE ROLE pgveil LOGIN; CREATE DATABASE folding TEMPLATE template0 ENCODING LATIN1 LC_CTYPE 'de_DE.ISO-8859-1' LC_COLLATE 'C'")
        server.psql(f"""
            SET client_encoding = 'UTF8';
            CREATE TABLE "käufer" (id int, "é" text); INSERT INTO "käufer" VALUES (1, '{CANARY.decode()}');
            CREATE TABLE "kÄufer" (id int, "É" text); GRANT ALL ON ALL TABLES IN SCHEMA public TO public; ANALYZE
        """, database="folding")
        assert server.psql("SET client_encoding = 'UTF8'; SELECT É FROM KÄUFER", database="folding").strip() == CANARY.decode(), "the server folds"
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY.format(table="käufer", column="é").replace("  public.plain:\n    email: email\n", ""), encoding="utf-8")
        target = Pgveil(server, policy, {}, "folding").start()
        try:
            client = Raw(target.host, target.port)
            client.login("sam", "folding", client_encoding="UTF8")
            for text in ("SELECT upper(É) FROM KÄUFER", "SELECT upper(é) FROM käufer", "SELECT reverse(É) FROM käufer", 'SELECT upper(é) FROM KÄUFER'):
                for flight in (simple(text.encode()), prepared(text.encode()) + run() + sync()):
                    assert hides(got := received(client, flight)), got
            client.close()
        finally:
            target.stop()
            target.remove()
    finally:
        server.stop()


# What comes before a text in one flight, and whether names that are not ASCII can be read behind it.
BEFORE = [
    ("SELECT größe FROM plain", True), ("UPDATE plain SET größe = größe", True), ("BEGIN", True), ("INSERT INTO plain (größe) SELECT 'x' WHERE false", True),
    ("SET application_name = 'x'", False), ("SELECT set_config('a.b', 'c', false)", False), ("COMMIT", False), ("ROLLBACK", False), ("RESET ALL", False),
    ("DISCARD ALL", False),
]


@pytest.mark.parametrize(("before", "read"), BEFORE)
def test_names_behind_queries_of_the_same_flight_are_read(places, before, read):
    target = places("UTF8")
    text = "SELECT größe, email FROM plain".encode()
    for flight in (prepared(before.encode()) + run() + prepared(text) + run() + sync(), simple(before.encode()) + simple(text)):
        client = Raw(target.host, target.port)
        client.login("sam", named("UTF8"))
        got = received(client, flight)
        refused, shown = b"C0A000\0" in got, "groß".encode() in got
        # Where the rest of the flight had to wait until the first was answered, what that has set is known.
        assert hides(got) and (shown if read else refused or shown), got
        client.close()


def test_unicode_is_another_name_of_utf8(front):
    """The server says it as the client did."""
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    client.ask(query("SET client_encoding = 'UNICODE'"))
    assert client.rows("SELECT 'é'::text") == [["é".encode()]]
    client.close()
