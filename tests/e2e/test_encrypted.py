"""Encrypted columns: an application reads and writes them as before; the database has ciphertext."""

import asyncio
import base64
import datetime
import decimal
import json
import subprocess
import time
import uuid

import asyncpg
import psycopg
import pytest

from harness.pgveil import Pgveil, binary
from harness.wire import Raw, bind, execute, parse, query, sync

pytestmark = pytest.mark.proxy

DATABASE = "sealed"

# column: the type that the application sees, whether it is deterministic, a value
COLUMNS = {
    "email": ("varchar(60)", True, "jane.doe@example.org"),
    "name": ("text", False, "Jane Dóe 💶"),
    "code": ("char(8)", True, "AB&12"),
    "born": ("date", True, "1984-02-29"),
    "salary": ("numeric(12,2)", False, "51780.25"),
    "number": ("int8", True, "-4711"),
    "small": ("int2", True, "47"),
    "age": ("integer", False, "39"),
    "flag": ("boolean", True, "t"),
    "token": ("uuid", True, "8d8ac610-566d-4ef0-9c22-186b2a5ed793"),
    "photo": ("bytea", False, "\\x00ff10c4a7e15d0b"),
    "rate": ("double precision", False, "0.1"),
}
# No hash and no ciphertext, in hexadecimal or in base64, holds one of them by chance.
PLAINTEXTS = ["jane.doe", "Jane D", "AB&12", "1984-02-29", "51780.25", "8d8ac610", "00ff10c4a7e15d0b"]


def policy(stored: str = "encrypted") -> str:
    entries = "\n".join(
        f'    {name}: {{ tag: private, encrypted: {{ type: "{kind}", key: people, domain: {name}, '
        f"mode: {'deterministic' if deterministic else 'randomized'}, stored: {stored} }} }}"
        for name, (kind, deterministic, _) in COLUMNS.items()
    )
    return (
        "version: 1\ntags:\n  private: { mask: full }\n"
        f"columns:\n  people:\n{entries}\n"
        '  orders:\n    buyer: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic } }\n'
        'roles:\n  owners: { users: [owner], sees: { "*": clear } }\n'
        '  careful: { users: [careful], sees: { "*": hidden } }\n'
        "  clerks: { users: [clerk3], sees: { people.email: { masked: email }, people.born: { masked: { date_trunc: year } }, "
        "people.salary: { masked: { round: 1000 } }, people.code: { masked: { show_last: 2 } } } }\n"
    )


def stored_type(kind: str) -> str:
    return "bytea" if kind == "bytea" else "text"


@pytest.fixture(scope="module")
def sealed(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    types = ", ".join(f"{name} {stored_type(kind)}" for name, (kind, _, _) in COLUMNS.items())
    plain = ", ".join(f"{name} {kind}" for name, (kind, _, _) in COLUMNS.items())
    pg.psql(
        "CREATE USER owner; CREATE USER clerk2; CREATE USER clerk3; CREATE USER careful;"
        f"CREATE TABLE people (id int PRIMARY KEY, {types}, city text, UNIQUE (email));"
        "CREATE TABLE orders (id int PRIMARY KEY, buyer text REFERENCES people (email), amount int);"
        f"CREATE TABLE plain_people (id int PRIMARY KEY, {plain}, city text, UNIQUE (email));"
        "CREATE TABLE plain_orders (id int PRIMARY KEY, buyer varchar(60) REFERENCES plain_people (email), amount int);"
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO owner, clerk2, clerk3, careful",
        database=DATABASE,
    )
    directory = tmp_path_factory.mktemp("sealed")
    (directory / "policy.yaml").write_text(policy())
    settings = {"keys": {"keyring": directory / "keyring.json", "kek_file": directory / "kek"}}
    proxy = Pgveil(pg, directory / "policy.yaml", settings, DATABASE)
    for command in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *command, "--config", proxy.config], check=True, capture_output=True)
    proxy.start()
    yield proxy
    assert proxy.stop() == 0, proxy.log()
    assert "panicked" not in proxy.log()
    for value in PLAINTEXTS:
        assert value not in proxy.log() and value not in proxy.access_log.read_text()
    proxy.remove()


@pytest.fixture(autouse=True)
def empty(pg, sealed):
    pg.psql("TRUNCATE people, orders, plain_people, plain_orders", database=DATABASE)


def connect(sealed, user="owner", **options):
    return psycopg.connect(host=sealed.host, port=sealed.port, user=user, dbname=DATABASE, autocommit=True, **options)


def direct(pg, **options):
    return psycopg.connect(host=pg.host, port=pg.port, user="postgres", dbname=DATABASE, autocommit=True, **options)


NAMES = ", ".join(COLUMNS)
LITERALS = ", ".join(f"'{value}'" for _, _, value in COLUMNS.values())


def rows(cursor):
    return [(tuple(row), [column.type_code for column in cursor.description]) for row in cursor.fetchall()]


def stored(pg):
    with direct(pg) as connection:
        return connection.execute(f"SELECT {NAMES} FROM people ORDER BY id").fetchall()


def test_literals_are_stored_as_envelopes_and_come_back(pg, sealed):
    with connect(sealed) as connection:
        connection.execute(f"INSERT INTO people (id, {NAMES}) VALUES (1, {LITERALS})")
        connection.execute(f"INSERT INTO plain_people (id, {NAMES}) VALUES (1, {LITERALS})")
        for binary_format in (False, True):
            cursor = connection.cursor(binary=binary_format)
            expected = rows(cursor.execute(f"SELECT id, {NAMES} FROM plain_people"))
            assert rows(cursor.execute(f"SELECT id, {NAMES} FROM people")) == expected
    (row,) = stored(pg)
    for value in row:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        assert text.startswith("PV" if isinstance(value, bytes) else "pgveil:")
        assert not any(plaintext in text for plaintext in PLAINTEXTS)


@pytest.mark.parametrize("binary_format", [False, True])
def test_parameters_are_stored_as_envelopes_and_come_back(pg, sealed, binary_format):
    values = (
        "jane.doe@example.org", "Jane Dóe 💶", "AB&12", datetime.date(1984, 2, 29), decimal.Decimal("51780.25"), -4711, 47, 39,
        True, uuid.UUID("8d8ac610-566d-4ef0-9c22-186b2a5ed793"), b"\x00\xff\x10\xc4\xa7\xe1\x5d\x0b", 0.1,
    )
    place = "%b" if binary_format else "%t"
    places = ", ".join([place] * len(values))
    with connect(sealed) as connection:
        for table in ("plain_people", "people"):
            connection.execute(f"INSERT INTO {table} (id, {NAMES}) VALUES (1, {places})", values)
            connection.execute(f"INSERT INTO {table} (id) VALUES (2)")
        cursor = connection.cursor(binary=True)
        expected = rows(cursor.execute(f"SELECT id, {NAMES} FROM plain_people ORDER BY id"))
        assert rows(cursor.execute(f"SELECT id, {NAMES} FROM people ORDER BY id")) == expected
    first, second = stored(pg)
    assert all(value is not None for value in first) and all(value is None for value in second)


def both(sealed, statements, user="owner", **options):
    """What the statements answer on the encrypted tables and on the plain ones."""
    answers = []
    for suffix in ("", "plain_"):
        answer = []
        with connect(sealed, user, **options) as connection:
            cursor = connection.cursor()
            for statement, *values in statements:
                statement = statement.replace("PEOPLE", f"{suffix}people").replace("ORDERS", f"{suffix}orders")
                try:
                    cursor.execute(statement, *values)
                    answer.append((cursor.statusmessage, sorted(rows(cursor), key=repr) if cursor.description else None))
                except psycopg.Error as error:
                    answer.append((error.sqlstate, None))
        answers.append(answer)
    return answers


PEOPLE = [
    ("INSERT INTO PEOPLE (id, email, name, born, number, city) VALUES (1, 'a@x', 'Ann', '1990-01-31', 5, 'Ulm'), (2, 'b@x', 'Bob', '1985-02-28', 6, 'Ulm'), (3, NULL, NULL, NULL, NULL, 'Bonn')",),
    ("INSERT INTO PEOPLE (id, email, name, born, number, city) VALUES (%s, %s, %s, %s, %s, %s)", (4, "d@x", "", datetime.date(1990, 1, 31), 5, "Bonn")),
    ("INSERT INTO ORDERS VALUES (1, 'a@x', 10), (2, 'a@x', 20), (3, 'd@x', 5), (4, NULL, 1)",),
]

SEARCHES = [
    ("SELECT id, email FROM PEOPLE WHERE email = 'a@x'",),
    ("SELECT id, email FROM PEOPLE WHERE email = %s", ("b@x",)),
    ("SELECT id FROM PEOPLE WHERE email <> 'a@x'",),
    ("SELECT id FROM PEOPLE WHERE email IN ('a@x', 'zz', 'd@x')",),
    ("SELECT id FROM PEOPLE WHERE email NOT IN ('a@x')",),
    ("SELECT id FROM PEOPLE WHERE email = ANY(%s)", (["a@x", "b@x", 'q"\\', None],)),
    ("SELECT id FROM PEOPLE WHERE email = ANY('{a@x,NULL}')",),
    ("SELECT id FROM PEOPLE WHERE born = '1990-01-31' AND number = 5",),
    ("SELECT id FROM PEOPLE WHERE born = %s", (datetime.date(1990, 1, 31),)),
    ("SELECT id FROM PEOPLE WHERE number = ANY(%s)", ([5, 7],)),
    ("SELECT id FROM PEOPLE WHERE born = DATE '1990-01-31'",),
    ("SELECT id FROM PEOPLE WHERE email IS NOT DISTINCT FROM 'a@x'",),
    ("SELECT id FROM PEOPLE WHERE email IS NULL OR name IS NULL",),
    ("SELECT count(*), count(email), count(DISTINCT born) FROM PEOPLE",),
    ("SELECT born, count(*) FROM PEOPLE GROUP BY born",),
    ("SELECT DISTINCT number FROM PEOPLE",),
    ("SELECT p.name, o.amount FROM PEOPLE p JOIN ORDERS o ON o.buyer = p.email WHERE p.email = 'a@x'",),
    ("SELECT p.id, sum(o.amount) FROM PEOPLE p LEFT JOIN ORDERS o ON o.buyer = p.email GROUP BY p.id",),
    ("SELECT id FROM ORDERS WHERE buyer IN (SELECT email FROM PEOPLE WHERE city = 'Ulm')",),
    ("SELECT id FROM PEOPLE WHERE EXISTS (SELECT 1 FROM ORDERS o WHERE o.buyer = PEOPLE.email)",),
    ("SELECT email FROM PEOPLE UNION SELECT buyer FROM ORDERS",),
    ("SELECT coalesce(email, 'none'), coalesce(name, 'n') FROM PEOPLE",),
    ("SELECT CASE WHEN city = 'Ulm' THEN name END FROM PEOPLE",),
    ("WITH p AS (SELECT * FROM PEOPLE WHERE email = 'b@x') SELECT p.id, p.email, p.born FROM p",),
    ("SELECT (SELECT email FROM PEOPLE WHERE id = 2)",),
    ("SELECT first_value(email) OVER (PARTITION BY born ORDER BY id), lag(name) OVER (ORDER BY id) FROM PEOPLE",),
    ("SELECT array_agg(email ORDER BY id) FROM PEOPLE",),
    # Whether they are equal, as a value.
    ("SELECT id, email = 'a@x', email <> 'a@x', 'a@x' = email, NOT email = 'a@x', email != %s FROM PEOPLE", ("b@x",)),
    ("SELECT id, email = %s, email IS DISTINCT FROM %s, email IS NOT DISTINCT FROM 'a@x' FROM PEOPLE", ("a@x", None)),
    ("SELECT id, email IN ('a@x', %s), email NOT IN ('a@x', NULL), email = ANY(%s), email <> ALL(ARRAY['a@x']) FROM PEOPLE", ("b@x", ["d@x", None])),
    ("SELECT id, born = '1990-01-31', born = %s, number = 5, number IN (5, 6) AND email = 'a@x' FROM PEOPLE", (datetime.date(1985, 2, 28),)),
    ("SELECT CASE WHEN email = 'a@x' THEN 'it' ELSE city END, CASE WHEN email = %s THEN born END FROM PEOPLE", ("a@x",)),
    ("SELECT count(CASE WHEN email = 'a@x' THEN 1 END), sum(CASE WHEN number = 5 THEN id ELSE 0 END), bool_or(email = 'a@x') FROM PEOPLE",),
    ("SELECT email = 'a@x' AS it, count(*) FROM PEOPLE GROUP BY 1 ORDER BY 1",),
    ("SELECT email = %s AS it, min(id) FROM PEOPLE GROUP BY 1 HAVING min(id) > 0", ("a@x",)),
    ("SELECT id, email FROM PEOPLE ORDER BY email = 'b@x' DESC NULLS LAST, id",),
    ("SELECT DISTINCT email IN ('a@x', 'b@x'), coalesce(born = '1990-01-31', false) FROM PEOPLE",),
    ("SELECT id FROM (SELECT id, email = 'a@x' AS it FROM PEOPLE) q WHERE it IS NOT TRUE",),
    ("SELECT id FROM PEOPLE WHERE CASE WHEN city = 'Ulm' THEN email = %s ELSE number = 5 END", ("b@x",)),
    ("SELECT row_number() OVER (PARTITION BY email = 'a@x' ORDER BY id), id FROM PEOPLE",),
    ("SELECT id FROM PEOPLE WHERE email IN (" + ", ".join(f"'{number}@x'" for number in range(150)) + ", 'a@x')",),
]

CHANGES = [
    ("UPDATE PEOPLE SET email = 'new@x', name = 'New' WHERE email = 'b@x' RETURNING id, email, name",),
    ("UPDATE PEOPLE SET name = %s, born = %s WHERE id = %s RETURNING *", ("Née", datetime.date(2000, 2, 29), 3)),
    ("INSERT INTO PEOPLE (id, email) VALUES (9, 'a@x')",),
    ("INSERT INTO PEOPLE (id, email, name) VALUES (9, 'a@x', 'Up') ON CONFLICT (email) DO UPDATE SET name = excluded.name RETURNING id, name",),
    # Only what has changed.
    *[(f"INSERT INTO PEOPLE (id, email) VALUES ({row}, %s) ON CONFLICT (id) DO UPDATE SET email = excluded.email, city = 'new' WHERE PEOPLE.email {differs} excluded.email RETURNING *", (email,))
      for differs in ("<>", "IS DISTINCT FROM") for row, email in ((1, "a@x"), (4, "e@x"), (3, "f@x"), (3, None), (8, "h@x"))],
    *[(f"MERGE INTO PEOPLE t USING (VALUES (1, 'a@x'), (4, 'g@x'), (3, 'f@x')) s(id, email) ON t.id = s.id WHEN MATCHED AND t.email {differs} s.email THEN UPDATE SET email = s.email, city = 'merged'",)
      for differs in ("<>", "IS DISTINCT FROM")],
    ("UPDATE PEOPLE SET city = 'told' WHERE id = 1 RETURNING email, email = 'a@x', email <> %s", ("a@x",)),
    ("INSERT INTO ORDERS VALUES (7, 'nobody@x', 1)",),
    ("INSERT INTO ORDERS SELECT id + 100, email, 1 FROM PEOPLE WHERE email IS NOT NULL RETURNING buyer",),
    ("DELETE FROM ORDERS WHERE buyer = %s RETURNING id, buyer", ("a@x",)),
    ("INSERT INTO PEOPLE (id, born) VALUES (20, 'not a date')",),
    ("INSERT INTO PEOPLE (id, number) VALUES (20, 'x')",),
    ("INSERT INTO PEOPLE (id, small) VALUES (20, '70000')",),
    ("SELECT * FROM PEOPLE",),
]


@pytest.mark.parametrize("cursor", ["simple", "extended", "prepared", "binary"])
def test_what_an_application_does_is_answered_as_on_plain_tables(sealed, cursor):
    factory = psycopg.ClientCursor if cursor == "simple" else psycopg.Cursor
    options = {"cursor_factory": factory, "prepare_threshold": 0 if cursor == "prepared" else None}
    script = PEOPLE + SEARCHES + CHANGES
    found, expected = both(sealed, script, **options)
    for (statement, *values), one, other in zip(script, found, expected, strict=True):
        assert one == other, (statement, values)


def fill(sealed):
    with connect(sealed) as connection:
        connection.execute(f"INSERT INTO people (id, {NAMES}) VALUES (1, {LITERALS})")
        connection.execute(f"INSERT INTO plain_people (id, {NAMES}) VALUES (1, {LITERALS})")


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT id FROM people ORDER BY email", "sorting by it"),
        ("SELECT id FROM people WHERE email LIKE 'a%'", "a search by pattern"),
        ("SELECT id FROM people WHERE born > '1990-01-01'", "a comparison by order"),
        ("SELECT lower(email) FROM people", "computing with its values"),
        ("SELECT id FROM people WHERE name = 'x'", "a comparison with it"),
        ("UPDATE people SET email = lower('X')", "that the database computes"),
        ("INSERT INTO people (id, email) VALUES (20, repeat('x', 3))", "that the database computes"),
        ("UPDATE people SET city = email", "not encrypted"),
        ("SELECT * INTO copies FROM people", "a table that is made of this column"),
    ],
)
@pytest.mark.parametrize("user", ["owner", "clerk2", "careful"])
def test_what_can_not_be_asked_is_refused_with_a_hint(sealed, statement, says, user):
    with connect(sealed, user) as connection:
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(statement)
        # Who is shown masks may be refused for that, before.
        assert refused.value.sqlstate in ("0A000", "42501")
        if user == "owner":
            assert says in str(refused.value) and "people." in str(refused.value) and refused.value.diag.message_hint
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_masks_are_made_of_what_was_decrypted_and_hidden_values_are_not_decrypted(pg, sealed):
    fill(sealed)
    with connect(sealed, "clerk2") as connection:
        expected = rows(connection.execute(f"SELECT {NAMES} FROM plain_people"))
        # The twin is not tagged: what is compared are the types, and the masks of texts by themselves.
        found = rows(connection.execute(f"SELECT {NAMES} FROM people"))
        assert found[0][1] == expected[0][1]
        assert found[0][0][:2] == ("####################", "#### ### #")
        assert not any(plaintext in repr(found[0][0]) for plaintext in PLAINTEXTS)
    with connect(sealed, "careful") as connection:
        assert connection.execute("SELECT email, born, number FROM people").fetchone() == ("", datetime.date(1970, 1, 1), 0)
    # What was damaged is not even looked at where nothing of it is shown.
    with direct(pg) as connection:
        connection.execute("UPDATE people SET email = 'pgveil:broken'")
    with connect(sealed, "careful") as connection:
        assert connection.execute("SELECT email FROM people").fetchone() == ("",)


TOLD = [
    "email = {0}", "email <> {0}", "email IN ({0}, 'b')", "email IS DISTINCT FROM {0}", "CASE WHEN email = {0} THEN 'it' ELSE 'not' END", "count(CASE WHEN email = {0} THEN 1 END)",
    "CASE WHEN email = {0} THEN city END", "coalesce(email = {0}, false)", "email = ANY(ARRAY[{0}])", "sum(CASE WHEN email = {0} THEN 1 ELSE 0 END)", "bool_or(email = {0})",
]


@pytest.mark.parametrize("user", ["clerk2", "careful"])
def test_whether_a_value_is_equal_is_no_answer_to_who_does_not_see_it(sealed, user):
    """As values, comparisons are redacted as all that is computed from a column is: a right guess looks like a wrong one."""
    fill(sealed)
    with connect(sealed, user) as connection:
        def answer(statement, values=None):
            try:
                return connection.execute(statement, values).fetchall()
            except psycopg.Error as error:
                assert error.sqlstate in ("0A000", "42501"), (statement, error)
                return error.sqlstate

        for told in TOLD:
            for statement in (f"SELECT {told} FROM people", f"SELECT 1 FROM people ORDER BY {told}", f"SELECT q.x FROM (SELECT {told} AS x FROM people) q WHERE x IS NOT NULL"):
                right, wrong = (answer(statement.format(f"'{guess}'")) for guess in ("jane.doe@example.org", "else@example.org"))
                assert right == wrong, statement
                right, wrong = (answer(statement.format("%s::text"), (guess,)) for guess in ("jane.doe@example.org", "else@example.org"))
                assert right == wrong, statement


def test_reveals_are_logged_as_decrypted(sealed):
    fill(sealed)
    tail = sealed.tail()
    with connect(sealed) as connection:
        connection.execute("SELECT email, name FROM people")
        connection.execute("SELECT id FROM people WHERE email = 'x'")
    with connect(sealed, "clerk2") as connection:
        connection.execute("SELECT email, name FROM people")
    events = tail.events()
    assert [(event["column"], event["how"]) for event in events] == [("email", "decrypted"), ("name", "decrypted")]


@pytest.mark.parametrize("user", ["owner", "clerk2"])
@pytest.mark.parametrize(
    "damage",
    [
        "email = 'pgveil:UFYBAgAAAAA'",
        "email = overlay(email placing CASE substr(email, 60, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 60 for 1)",
        "email = 'plain@example.org'",
        "email = code",
        "photo = '\\x00'",
    ],
)
def test_a_value_that_does_not_open_is_an_error_that_names_the_column(pg, sealed, damage, user):
    fill(sealed)
    with direct(pg) as connection:
        connection.execute(f"UPDATE people SET {damage}")
    column = damage.split()[0]
    for statement in (f"SELECT id, {column} FROM people", f"SELECT {column} FROM people"):
        with connect(sealed, user) as connection:
            for _ in range(2):
                with pytest.raises(psycopg.Error) as failed:
                    connection.execute(statement)
                assert failed.value.sqlstate == "XX001" and f"public.people.{column}" in str(failed.value)
                assert "plain@" not in str(failed.value)
                assert connection.execute("SELECT id, city FROM people").fetchone() == (1, None)
        # Also where most of the rows have gone out by then.
        for form in ("text", "csv", "binary"):
            with connect(sealed, user) as connection:
                for query in ("people", f"(SELECT {column}, 1 FROM people)", f"(SELECT id, {column}, repeat('x', 100000) FROM people)"):
                    with pytest.raises(psycopg.Error) as failed, connection.cursor().copy(f"COPY {query} TO STDOUT (FORMAT {form})") as copy:
                        list(copy)
                    assert failed.value.sqlstate == "XX001" and f"public.people.{column}" in str(failed.value)
        with connect(sealed, user) as connection, pytest.raises(psycopg.Error), connection.transaction():
            connection.execute(f"DECLARE c CURSOR FOR SELECT id, {column} FROM people")
            connection.execute("FETCH ALL FROM c")
        # In a transaction an error would be taken for the end of it: the session ends instead.
        with connect(sealed, user) as connection, pytest.raises(psycopg.Error):
            connection.execute("BEGIN")
            connection.execute(statement)
    with connect(sealed) as connection:
        assert connection.execute("SELECT id FROM people").fetchall() == [(1,)]


def test_results_leave_by_cursors_and_copies_as_from_plain_tables(sealed):
    fill(sealed)
    with connect(sealed) as connection:
        answers = []
        for table in ("people", "plain_people"):
            answer = []
            with connection.transaction():
                connection.execute(f"DECLARE c CURSOR FOR SELECT {NAMES} FROM {table}")
                answer.append(rows(connection.execute("FETCH ALL FROM c")))
                with connection.cursor("named", withhold=False) as cursor:
                    cursor.execute(f"SELECT {NAMES} FROM {table}")
                    answer.append(cursor.fetchall())
            for options in ("", "(FORMAT csv, HEADER)", "(FORMAT binary)"):
                with connection.cursor().copy(f"COPY (SELECT {NAMES} FROM {table}) TO STDOUT {options}") as copy:
                    answer.append(b"".join(bytes(piece) for piece in copy))
            with connection.cursor().copy(f"COPY {table} ({NAMES}) TO STDOUT") as copy:
                answer.append(b"".join(bytes(piece) for piece in copy))
            answers.append(answer)
    assert answers[0] == answers[1]


def test_rows_are_copied_under_conditions_on_encrypted_columns(sealed):
    fill(sealed)
    email = COLUMNS["email"][2]
    queries = (
        f"SELECT id, {{names}} FROM {{table}} WHERE email = '{email}'", f"SELECT id FROM {{table}} WHERE email IN ('x', '{email}') AND born = '1984-02-29'",
        f"SELECT email FROM {{table}} WHERE email = ANY ('{{{{x,{email}}}}}')", "SELECT count(*) FROM {table} WHERE email = 'x'",
        "UPDATE {table} SET email = 'new@x' WHERE number = -4711 RETURNING email, name", "SELECT id FROM {table} WHERE code <> 'ÄÖ' AND email = 'new@x' -- ü",
    )
    with connect(sealed) as connection:
        for number, query in enumerate(queries):
            for options in ("", " (FORMAT csv, HEADER)", " (FORMAT binary)") if number != 4 else ("",):
                answers = []
                for table in ("people", "plain_people"):
                    with connection.cursor().copy(f"COPY ({query.format(table=table, names=NAMES)}\n) TO STDOUT{options}") as copy:
                        answers.append(b"".join(bytes(piece) for piece in copy))
                assert answers[0] == answers[1] and answers[0], query
        assert connection.execute("SELECT id FROM people WHERE email = 'new@x'").fetchall() == [(1,)]
    for text in ("COPY (SELECT email FROM people WHERE email = 'new@x') TO STDOUT; SELECT 1", "COPY (SELECT email FROM people WHERE email = 'new@x') TO STDOUT"):
        with connect(sealed) as connection:
            if text.endswith("1"):
                said = connection.pgconn.exec_(text.encode())
            else:
                said = connection.pgconn.prepare(b"", text.encode())
            assert said.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"0A000", text
            assert connection.execute("SELECT 1").fetchone() == (1,)
    # masks are made of what was decrypted there, too
    with connect(sealed, "clerk2") as connection, connection.cursor().copy("COPY (SELECT id, email FROM people WHERE id = 1) TO STDOUT") as copy:
        assert b"".join(bytes(piece) for piece in copy) not in (b"", b"1\tnew@x\n")


def test_a_dump_of_the_server_holds_no_value(pg, sealed):
    fill(sealed)
    dump = subprocess.run(
        ["pg_dump", "-h", pg.host, "-p", str(pg.port), "-U", "postgres", "-t", "people", DATABASE],
        check=True, capture_output=True,
    ).stdout.decode()
    assert "pgveil:" in dump and not any(plaintext in dump for plaintext in PLAINTEXTS)


def test_values_of_every_length_come_back(sealed):
    values = ["", " ", "'", "\\", "pgveil:", "pgveil:AAAA", "\u00e9" * 7, "\U0001f4b6", "x" * 1_000_000, "a\nb\tc\rd"]
    with connect(sealed) as connection:
        for number, value in enumerate(values):
            connection.execute("INSERT INTO people (id, name) VALUES (%s, %s)", (number, value))
            quoted = value.replace("'", "''")
            connection.execute(f"INSERT INTO people (id, name) VALUES ({number + 100}, '{quoted}')".encode())
        found = dict(connection.execute("SELECT id, name FROM people").fetchall())
    for number, value in enumerate(values):
        assert found[number] == value and found[number + 100] == value


def test_asyncpg_sees_the_declared_types(sealed):
    async def run():
        connection = await asyncpg.connect(host=sealed.host, port=sealed.port, user="owner", database=DATABASE)
        answers = []
        for table in ("people", "plain_people"):
            places = ", ".join(f"${number + 2}" for number in range(len(COLUMNS)))
            statement = await connection.prepare(f"INSERT INTO {table} (id, {NAMES}) VALUES ($1, {places})")
            types = [parameter.name for parameter in statement.get_parameters()]
            values = [
                "a@x", "Ann", "AB", datetime.date(1990, 1, 31), decimal.Decimal("5.25"), 5, 6, 7, True,
                uuid.UUID("8d8ac610-566d-4ef0-9c22-186b2a5ed793"), b"x", 1.5,
            ]
            await statement.fetch(1, *values)
            await connection.executemany(f"INSERT INTO {table} (id, email) VALUES ($1, $2)", [(2, "b@x"), (3, "c@x")])
            statement = await connection.prepare(f"SELECT * FROM {table} WHERE email = $1 OR born = ANY($2) OR number = $3")
            types += [parameter.name for parameter in statement.get_parameters()]
            types += [attribute.type.name for attribute in statement.get_attributes()]
            found = await statement.fetch("b@x", [datetime.date(1990, 1, 31)], 77)
            answers.append((types, [tuple(row) for row in found]))
        await connection.close()
        return answers

    found, expected = asyncio.run(run())
    assert found == expected


COPIES = [
    ("", "1\ta@x\tAnn\t1990-01-31\t5\n2\t\\N\t\\N\t\\N\t\\N\n3\tt\\tab\\\\\t\t1985-02-28\t-6\n\\.\n"),
    ("(FORMAT csv)", '1,a@x,Ann,1990-01-31,5\r\n2,,,,\r\n3,"q""u,o\nte","",1985-02-28,-6\r\n'),
    ("(FORMAT csv, HEADER, DELIMITER ';', NULL 'nil', QUOTE '!')", "id;email;name;born;number\n1;a@x;!Ann!;1990-01-31;5\n2;nil;nil;nil;nil\n3;!nil!;;1985-02-28;!7!"),
    ("(FORMAT csv, FORCE_NULL (email), FORCE_NOT_NULL (name))", '1,"",,1990-01-31,5\n2,"x",,,\n'),
    ("(DELIMITER 'A')", "1Aa@xAnnA1990-01-31A5\n"),
]


@pytest.mark.parametrize(("options", "data"), COPIES)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_rows_of_copy_are_encrypted_on_their_way(pg, sealed, options, data, piece):
    raw = data.encode()
    answers = []
    with connect(sealed) as connection:
        for table in ("people", "plain_people"):
            with connection.cursor().copy(f"COPY {table} (id, email, name, born, number) FROM STDIN {options}") as copy:
                for at in range(0, len(raw), piece):
                    copy.write(raw[at : at + piece])
            answers.append(rows(connection.execute(f"SELECT id, email, name, born, number FROM {table} ORDER BY id")))
    assert answers[0] == answers[1] and answers[0]
    for row in stored(pg):
        assert all(value is None or value.startswith("pgveil:") for value in row[:2])


def test_rows_of_binary_copy_are_encrypted_on_their_way(pg, sealed):
    fill(sealed)
    with connect(sealed) as connection:
        with connection.cursor().copy(f"COPY plain_people (id, {NAMES}) TO STDOUT (FORMAT binary)") as copy:
            data = b"".join(bytes(piece) for piece in copy)
        connection.execute("TRUNCATE people CASCADE")
        with connection.cursor().copy(f"COPY people (id, {NAMES}) FROM STDIN (FORMAT binary)") as copy:
            for at in range(0, len(data), 11):
                copy.write(data[at : at + 11])
        found = rows(connection.execute(f"SELECT * FROM people"))
        assert found == rows(connection.execute(f"SELECT * FROM plain_people"))
    assert stored(pg)[0][0].startswith("pgveil:")


def test_a_row_of_copy_that_does_not_fit_ends_it(pg, sealed):
    with connect(sealed) as connection:
        with pytest.raises(psycopg.Error) as failed, connection.cursor().copy("COPY people (id, born) FROM STDIN") as copy:
            copy.write("1\t1990-01-31\n2\tno date\n")
        assert failed.value.sqlstate == "22007" and "line 2" in str(failed.value) and "no date" not in str(failed.value)
        with pytest.raises(psycopg.Error) as failed:
            connection.execute("COPY people (id, email) FROM '/tmp/nothing'")
        assert failed.value.sqlstate in ("0A000", "42501")
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (0,)


def test_prepare_and_execute_of_sql_work_as_on_plain_tables(pg, sealed):
    script = [
        ("PREPARE add (int, varchar, date, text) AS INSERT INTO PEOPLE (id, email, born, name, city) VALUES ($1, $2, $3, $4, $4)",),
        ("EXECUTE add (1, 'a@x', '1990-01-31', 'Ann')",),
        ("EXECUTE add (2, NULL, '1990-01-31', 'Bob, \"B\" ''(x)')",),
        ("PREPARE find AS SELECT id, email, name, city FROM PEOPLE WHERE email = $1 OR born = ANY($2)",),
        ("EXECUTE find ('a@x', '{1985-01-01}')",),
        ("EXECUTE find ('', '{1985-01-01,1990-01-31}')",),
        ("PREPARE fixed AS INSERT INTO PEOPLE (id, email) VALUES (3, 'c@x')",),
        ("EXECUTE fixed",),
        ("SELECT id, email, born, name, city FROM PEOPLE",),
        ("EXECUTE add (4, 'x')",),
        ("DEALLOCATE add",),
        ("EXECUTE add (5, 'a@y', NULL, NULL)",),
        ("DEALLOCATE ALL",),
    ]
    found, expected = both(sealed, script, cursor_factory=psycopg.ClientCursor)
    assert found == expected
    assert all(value is None or value.startswith("pgveil:") for row in stored(pg) for value in row[:2])
    with connect(sealed, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("PREPARE q AS INSERT INTO people (id, email) VALUES (9, $1)")
        assert error(connection, "EXECUTE q (lower('PLAIN'))").sqlstate == "0A000"
    assert all(value is None or value.startswith("pgveil:") for row in stored(pg) for value in row[:2])


def error(connection, statement) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as failed:
        connection.execute(statement)
    return failed.value


# Each is one message. What runs is what the PREPARE before it in the message has made, or what was there before.
MESSAGES = [
    "PREPARE add AS INSERT INTO PEOPLE (id, email) VALUES ($1, $2) RETURNING email; EXECUTE add (1, 'a@x'); EXECUTE add (2, 'b@x')",
    "SELECT 1; EXECUTE add (3, 'c@x'); EXECUTE add (4, NULL)",
    # There is one of that name.
    "PREPARE add AS INSERT INTO PEOPLE (id, city) VALUES ($1, $2) RETURNING city; EXECUTE add (5, 'plain')",
    "DEALLOCATE add; PREPARE add AS INSERT INTO PEOPLE (id, city) VALUES ($1, $2) RETURNING city; EXECUTE add (5, 'Ulm')",
    "DEALLOCATE add; PREPARE add AS INSERT INTO PEOPLE (id, name) VALUES ($1, $2) RETURNING name; EXECUTE add (6, 'Eve'); DEALLOCATE ALL",
    "EXECUTE add (7, 'x')",
    "PREPARE a AS SELECT id FROM PEOPLE WHERE email = $1; DEALLOCATE a; EXECUTE a ('a@x')",
    "PREPARE a AS SELECT id FROM PEOPLE WHERE email = $1; DEALLOCATE a; PREPARE a AS SELECT id FROM PEOPLE WHERE city = $1; EXECUTE a ('Ulm'); EXECUTE a ('a@x')",
    'PREPARE "A b" AS UPDATE PEOPLE SET email = $1 WHERE email = $2 RETURNING id, email; EXECUTE "A b" (\'n@x\', \'a@x\'); EXECUTE "A b" (\'a@x\', \'n@x\')',
    # Transactions: what was prepared outlives them.
    "BEGIN; PREPARE t AS SELECT id FROM PEOPLE WHERE email = $1; ROLLBACK; EXECUTE t ('b@x'); BEGIN; SELECT 1 / 0; EXECUTE t ('a@x')",
    "EXECUTE t ('a@x')",
    "PREPARE never AS INSERT INTO PEOPLE (id, email) VALUES (8, $1); EXECUTE never ('x')",
    "ROLLBACK; EXECUTE t ('a@x'); EXECUTE never ('x')",
    "PREPARE fails AS INSERT INTO PEOPLE (id, email) VALUES (1, $1); EXECUTE fails ('x'); EXECUTE t ('a@x')",
    "EXECUTE t ('a@x'); EXECUTE fails ('x')",
    # What only names it.
    "PREPARE up AS UPDATE PEOPLE SET email = $1 WHERE id = 2; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE up ('e@x')",
    "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE up ('f@x')",
    "PREPARE found AS SELECT id FROM PEOPLE WHERE email = $1; CREATE TEMP TABLE kept AS EXECUTE found ('f@x'); TABLE kept",
    "CREATE TEMP TABLE kept2 AS EXECUTE found ('a@x')",
    "SELECT * FROM kept2; DROP TABLE kept, kept2",
    "SELECT id, email, name, city FROM PEOPLE ORDER BY id",
]


def test_several_statements_that_prepare_and_execute_may_be_one_message(pg, sealed):
    answers = []
    for table in ("people", "plain_people"):
        answer = []
        with connect(sealed, cursor_factory=psycopg.ClientCursor) as connection:
            for message in MESSAGES:
                cursor, found = connection.cursor(), []
                try:
                    cursor.execute(message.replace("PEOPLE", table))
                    while True:
                        plan = cursor.statusmessage == "EXPLAIN"
                        found.append((cursor.statusmessage, cursor.fetchall() if cursor.description and not plan else None))
                        if not cursor.nextset():
                            break
                except psycopg.Error as failed:
                    found.append(failed.sqlstate)
                answer.append(found)
        answers.append(answer)
    for message, found, expected in zip(MESSAGES, *answers, strict=True):
        assert found == expected, message
    assert all(value is None or value.startswith("pgveil:") for row in stored(pg) for value in row[:2])
    with connect(sealed, cursor_factory=psycopg.ClientCursor) as connection:
        for message in (
            "PREPARE r AS SELECT email FROM people; CREATE TEMP TABLE r AS EXECUTE r",
            "PREPARE r AS SELECT email FROM people; EXPLAIN ANALYZE CREATE TEMP TABLE r AS EXECUTE r",
            "PREPARE r AS INSERT INTO people (id, email) VALUES (50, $1); EXECUTE r (lower('PLAIN'))",
            "PREPARE r AS INSERT INTO people (id, email) VALUES (50, $1); EXPLAIN ANALYZE EXECUTE r (lower('PLAIN'))",
        ):
            assert error(connection, message).sqlstate == "0A000", message
        connection.execute("PREPARE r AS SELECT email FROM people")
        for message in ("CREATE TEMP TABLE r AS EXECUTE r", "EXPLAIN ANALYZE CREATE TEMP TABLE r AS EXECUTE r"):
            assert error(connection, message).sqlstate == "0A000", message
    assert all(value is None or value.startswith("pgveil:") for row in stored(pg) for value in row[:2])


def test_what_is_prepared_on_its_way_takes_values_as_well(pg, sealed):
    raw = Raw(sealed.host, sealed.port)
    raw.login("owner", "sealed")
    insert = "INSERT INTO people (id, email) VALUES ($1, $2)"
    for number, flight in enumerate((
        query(f"PREPARE w0 AS {insert}") + query("EXECUTE w0 (10, 'plain 10')"),
        query(f"PREPARE w1 AS {insert}") + query("EXPLAIN ANALYZE EXECUTE w1 (11, 'plain 11')"),
        parse("", f"PREPARE w2 AS {insert}") + bind("", "") + execute() + parse("", "EXECUTE w2 (12, 'plain 12')") + bind("", "") + execute() + sync(),
        parse("w3", insert) + parse("", "EXECUTE w3 (13, 'plain 13')") + bind("", "") + execute() + sync(),
        parse("w4", insert) + query("EXECUTE w4 (14, 'plain 14')"),
        # The first fails, and what it would have prepared is not there.
        query("SELECT 1 / 0; PREPARE w5 AS " + insert) + query("EXECUTE w5 (15, 'plain 15')"),
        parse("", "SELECT 1 / 0") + bind("", "") + execute() + parse("w6", insert) + parse("", "EXECUTE w6 (16, 'plain 16')") + sync(),
    )):
        raw.send(flight)
        ends = 1 if number in (2, 3, 4, 6) else 2
        answers = [raw.until("Z") for _ in range(ends)]
        assert ("ERROR" in repr(answers)) == (number >= 5), (number, answers)
    raw.socket.close()
    assert [row[0][:7] for row in stored(pg)] == ["pgveil:"] * 5


ASKED = [
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attlen, a.atttypid FROM pg_attribute a WHERE a.attrelid = 'PEOPLE'::regclass AND a.attnum > 0 ORDER BY a.attnum",
    "SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute WHERE attrelid = 'PEOPLE'::regclass AND attnum > 0 ORDER BY attnum",
    "SELECT attname, typname FROM pg_class c, pg_attribute, pg_type t WHERE c.oid = attrelid AND t.oid = pg_attribute.atttypid AND relname = 'PEOPLE' AND attnum > 0 ORDER BY attnum",
    "SELECT column_name, data_type, udt_name, character_maximum_length, character_octet_length, numeric_precision, numeric_precision_radix,"
    " numeric_scale, datetime_precision, is_nullable FROM information_schema.columns WHERE table_name = 'PEOPLE' ORDER BY ordinal_position",
    "SELECT c.column_name, c.data_type FROM information_schema.tables t JOIN information_schema.columns AS c ON c.table_name = t.table_name WHERE t.table_name = 'PEOPLE' ORDER BY c.ordinal_position",
]


@pytest.mark.parametrize("user", ["owner", "clerk2"])
def test_the_catalogs_tell_the_declared_types(sealed, user):
    with connect(sealed, user) as connection:
        for statement in ASKED:
            found, expected = (
                rows(connection.execute(statement.replace("PEOPLE", table))) for table in ("people", "plain_people")
            )
            assert found == expected, statement


def test_tools_describe_the_tables_as_declared(sealed):
    shown = []
    for table in ("people", "plain_people"):
        psql = ["psql", "-X", "-h", sealed.host, "-p", str(sealed.port), "-U", "owner", "-d", DATABASE, "-c", f"\\d {table}"]
        text = subprocess.run(psql, check=True, capture_output=True, text=True).stdout
        shown.append([line for line in text.splitlines() if "|" in line])
    assert shown[0] == shown[1] and len(shown[0]) == len(COLUMNS) + 3


def test_keys_are_rotated_and_destroyed_under_a_running_application(pg, sealed, tmp_path):
    """Equal values stay equal while two versions of a key are live; what a destroyed one has written are black boxes."""
    settings = {"keys": {"keyring": tmp_path / "keyring.json", "kek_file": tmp_path / "kek"}}
    proxy = Pgveil(pg, sealed.policy, settings, DATABASE)

    def keys(*command):
        done = subprocess.run([binary(), "keys", *command, "--config", proxy.config], check=True, capture_output=True, text=True)
        return done.stdout

    def versions():
        return [version["id"] for version in json.loads(keys("list", "--json"))]

    keys("init")
    keys("create", "people")
    proxy.start()
    try:
        with connect(proxy) as connection:
            add = "INSERT INTO people (id, email, name, born) VALUES (%s, %s, %s, '1990-01-31')"
            connection.execute(add, (1, "a@x", "before"), prepare=True)
            keys("rotate", "people")
            old, new = versions()
            deadline = time.monotonic() + 20
            while proxy.metric("pgveil_encryption_keys", state="active") < 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            connection.execute(add, (2, "b@x", "after"), prepare=True)
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute(add, (3, "a@x", "again"), prepare=True)
            assert connection.execute("SELECT id, name FROM people WHERE email IN ('a@x', 'b@x') ORDER BY id").fetchall() == [
                (1, "before"), (2, "after"),
            ]
            assert connection.execute("SELECT born, count(*) FROM people GROUP BY born").fetchall() == [
                (datetime.date(1990, 1, 31), 2)
            ]
            with direct(pg) as server:
                found = server.execute("SELECT email, name FROM people ORDER BY id").fetchall()
            under = [[base64.b64decode(cell[7:] + "==")[4:12].hex() for cell in row] for row in found]
            assert under == [[old, old], [old, new]]
            keys("destroy", new, "--yes")
            deadline = time.monotonic() + 20
            while proxy.metric("pgveil_encryption_keys", state="destroyed") < 1:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert connection.execute("SELECT email, name FROM people ORDER BY id").fetchall() == [
                ("a@x", "before"), ("b@x", "█████"),
            ]
        assert proxy.stop() == 0
    finally:
        proxy.stop()
        proxy.remove()


WRITES = [
    "INSERT INTO people AS p (id, email) VALUES (1, E'we\\x6cl')",
    "INSERT INTO people (id, email) VALUES (1, $$well$$)",
    "INSERT INTO people (id, email) VALUES (1, U&'\\0077ell')",
    "INSERT INTO people (id, email) VALUES (1, 'we'\n'll')",
    "INSERT INTO people (id, email) VALUES (1, /* 'x' */ 'well' -- 'y'\n)",
    "INSERT INTO people VALUES (1, 'well')",
    "INSERT INTO people (email, id) SELECT 'well', 1",
    "INSERT INTO people (email, id) SELECT v, 1 FROM (VALUES ('well')) t (v)",
    "INSERT INTO people (email, id) SELECT v, 1 FROM unnest(ARRAY['well']) v",
    "WITH t AS (SELECT 'well' AS v) INSERT INTO people (id, email) SELECT 1, v FROM t",
    "WITH t AS (INSERT INTO people (id, email) VALUES (1, 'well') RETURNING id) SELECT * FROM t",
    "INSERT INTO people (id, email) VALUES (1, (SELECT 'well'))",
    "INSERT INTO people (id, email) VALUES (1, CASE WHEN true THEN 'well' END)",
    "INSERT INTO people (id, email) VALUES (1, coalesce(NULL, 'well'))",
    "INSERT INTO people (id, email) VALUES (1, concat('we', 'll'))",
    "INSERT INTO people (id, email) VALUES (1, current_user)",
    "INSERT INTO people (id, email) VALUES (1, greatest('well', 'a'))",
    "INSERT INTO people (id, email) VALUES (1, ('well')::text::varchar)",
    "INSERT INTO people (id, email) VALUES (1, CAST(('well') AS varchar))",
    "INSERT INTO people (id, email) VALUES (1, varchar 'well')",
    "INSERT INTO people (id, email) VALUES (1, NULL); UPDATE people SET email = 'well'",
    "INSERT INTO people (id) VALUES (1); UPDATE ONLY people SET (email) = ROW('well') WHERE id = 1",
    "INSERT INTO people (id) VALUES (1); UPDATE people SET email = v FROM (VALUES ('well')) t (v)",
    "INSERT INTO people (id) VALUES (1); UPDATE people p SET email = (SELECT v FROM (VALUES ('well')) t (v))",
    "INSERT INTO people (id) VALUES (1) ON CONFLICT DO NOTHING; INSERT INTO people (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET email = 'well'",
    "MERGE INTO people p USING (VALUES (1, 'well')) t (i, v) ON p.id = t.i WHEN NOT MATCHED THEN INSERT (id, email) VALUES (i, v)",
    "INSERT INTO \"people\" (id, \"email\") VALUES (1, 'well')",
    "INSERT INTO public . people (id, email) VALUES (1, 'well')",
    "CREATE TEMP VIEW v AS SELECT id, email FROM people; INSERT INTO v VALUES (1, 'well')",
    "CREATE TEMP TABLE t (v text); INSERT INTO t VALUES ('well'); INSERT INTO people (id, email) SELECT 1, v FROM t",
    "PREPARE w AS INSERT INTO people (id, email) VALUES (1, 'well'); EXECUTE w",
    "DO $$ BEGIN INSERT INTO people (id, email) VALUES (1, 'well'); END $$",
    "EXPLAIN ANALYZE INSERT INTO people (id, email) VALUES (1, 'well')",
    "SELECT query_to_xml('INSERT INTO people (id, email) VALUES (1, ''well'') RETURNING id', true, true, '')",
    "INSERT INTO people (id, born) VALUES (1, now())",
    "INSERT INTO people (id, number) VALUES (1, 2 + 3)",
    "INSERT INTO people (id, flag) VALUES (1, true), (2, 1 = 1)",
]


@pytest.mark.parametrize("statement", WRITES)
def test_no_way_of_writing_stores_plaintext(pg, sealed, statement):
    with connect(sealed, cursor_factory=psycopg.ClientCursor) as connection:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            assert error.sqlstate in ("0A000", "42501", "42601"), (statement, error)
        values = [value for row in connection.execute("SELECT email, born, number, flag FROM people").fetchall() for value in row]
    kept = [value for row in stored(pg) for value in row if value is not None]
    assert all(value.startswith("pgveil:") for value in kept)
    assert [value for value in values if value is not None] in ([], ["well"], [True]) and len(kept) <= 1


@pytest.mark.parametrize("count", range(6))
def test_a_bind_with_a_wrong_number_of_values_is_refused_by_the_server(pg, sealed, count):
    # In the place of two parameters of the client's the server has three: email is stored, and city as it is.
    with connect(sealed) as connection:
        answers = []
        for table in ("people", "plain_people"):
            sql = f"INSERT INTO {table} (id, email, city) VALUES (1, $1::text, $1::text), (2, $2::text, 'Ulm')".encode()
            result = connection.pgconn.exec_params(sql, [f"wrong{number}@x".encode() for number in range(count)])
            answers.append((result.error_field(psycopg.pq.DiagnosticField.SQLSTATE), result.command_status))
    assert answers == ([(None, b"INSERT 0 2")] * 2 if count == 2 else [(b"08P01", b"")] * 2)
    assert all("wrong" not in row[0] for row in stored(pg))


def test_errors_quote_no_ciphertext(sealed):
    fill(sealed)
    with connect(sealed) as connection:
        for statement in ("INSERT INTO people (id, email) VALUES (2, 'jane.doe@example.org')", "INSERT INTO orders VALUES (1, 'nobody@x', 1)"):
            with pytest.raises(psycopg.IntegrityError) as failed:
                connection.execute(statement)
            assert "(encrypted)" in failed.value.diag.message_detail and "pgveil:" not in str(failed.value)
            assert failed.value.diag.constraint_name


CHOICES = [
    "coalesce(number, 5), coalesce(email, 'none'), coalesce(code, 'x'), coalesce(salary, 1.555), coalesce(born, '2000-01-01')",
    "CASE WHEN id = 1 THEN email ELSE 'x' END, CASE WHEN id = 2 THEN email END, CASE id WHEN 1 THEN number ELSE 7 END",
    "lag(email) OVER (ORDER BY id), lag(email, 1, 'none') OVER (ORDER BY id), first_value(salary) OVER (ORDER BY id)",
    "email::text, email::varchar, ARRAY[email], (SELECT email), array_agg(email) OVER ()",
    "coalesce(number, $1), coalesce(email, $2), coalesce(born, $3)",
]


@pytest.mark.parametrize("items", CHOICES)
@pytest.mark.parametrize("shown", [0, 1])
def test_what_stands_beside_encrypted_values_is_described_and_shown_as_on_plain_tables(sealed, items, shown):
    fill(sealed)
    given = [b"12", b"a longer text than sixty letters " * 3, b"1999-12-31"] if "$1" in items else []
    answers = []
    with connect(sealed) as connection:
        for table in ("people", "plain_people"):
            connection.execute(f"INSERT INTO {table} (id) VALUES (2)")
            result = connection.pgconn.exec_params(f"SELECT {items} FROM {table} ORDER BY id".encode(), given, None, None, shown)
            columns = range(result.nfields)
            described = [(result.fname(at), result.ftype(at), result.fmod(at), result.fsize(at)) for at in columns]
            answers.append((result.error_message, described, [[result.get_value(row, at) for at in columns] for row in range(result.ntuples)]))
    assert answers[0] == answers[1] and answers[0][2]


def test_the_first_use_of_a_key_by_a_session_is_logged(sealed):
    fill(sealed)
    tail = sealed.tail()
    with connect(sealed) as connection:
        for _ in range(2):
            connection.execute("SELECT email FROM people").fetchall()
        connection.execute("INSERT INTO people (id, name) VALUES (50, 'n')")
        connection.execute("INSERT INTO people (id, name) VALUES (%s, %s)", (51, "n"))
        connection.execute("SELECT count(*) FROM people").fetchall()
    found: list[dict] = []
    deadline = time.monotonic() + 5
    while len(found) < 2 and time.monotonic() < deadline:
        found += [record for record in tail.records() if record["kind"] == "key_use"]
    assert [(one["user"], one["key"], one["object"]) for one in found] == [
        ("owner", "people", "public.people.email"), ("owner", "people", "public.people.name"),
    ]


@pytest.mark.parametrize("binary_form", [False, True])
def test_masks_are_of_the_values_that_are_in_a_column(sealed, binary_form):
    """Not of the ciphertext, whose type in the database is `text`."""
    with connect(sealed) as owner:
        owner.execute("INSERT INTO people (id, email, born, salary, code) VALUES (1, 'jane.doe@example.org', '1984-02-29', 51780.25, 'AB&12')")
    with connect(sealed, "clerk3") as clerk:
        found = clerk.execute("SELECT born, salary, email, code FROM people", binary=binary_form).fetchone()
    assert found == (datetime.date(1984, 1, 1), decimal.Decimal(52000), "j#######@#######.###", "###12   ")
