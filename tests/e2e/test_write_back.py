"""Masks that come back: an edit form reads a row, changes one field and saves all of them. What is masked stays as it is."""

import asyncio
import datetime
import decimal
import json
import subprocess
import uuid

import asyncpg
import psycopg
import pytest

from harness import drivers
from harness.pgveil import Pgveil

DATABASE = "forms"

# column: type, the mask of its tag, the value that is stored
COLUMNS = {
    "whole": ("text", "full", "Jane Doe"),
    "partial": ("text", "{ partial: { prefix: 1, suffix: 1, pad: '***' } }", "jane doe"),
    "first": ("text", "{ show_first: 2 }", "Jane Doe"),
    "last": ("varchar(30)", "{ show_last: 2 }", "Jane Doe"),
    "padded": ("char(20)", "{ show_first: 3 }", "Jane Doe"),
    "email": ("text", "email", "jane.doe@mail.example.org"),
    "phone": ("text", "phone", "+49 (30) 555-0123"),
    "card": ("text", "card", "4111 1111 1111 1234"),
    "iban": ("text", "iban", "DE89 3704 0044 0532 0130 00"),
    "alias": ("text", "pseudonym", "Jane Doe"),
    "alias_mail": ("text", "pseudonym", "jane@example.org"),
    "replaced": ("text", "{ replace: withheld }", "Jane Doe"),
    "nothing": ("text", "nullify", "Jane Doe"),
    "names": ("text[]", "full", "{Jane,John}"),
    "born": ("date", "{ date_trunc: year }", "1984-02-29"),
    "seen": ("timestamp", "{ date_trunc: month }", "2024-02-29 13:45:06.789"),
    "seen_at": ("timestamptz", "{ date_trunc: day }", "2024-02-29 13:45:06.789+00"),
    "salary": ("int4", "{ round: 1000 }", "51780"),
    "wage": ("numeric(12,2)", "{ round: 100 }", "51780.25"),
    "rate": ("float8", "{ bucket: 10 }", "517.25"),
    "small": ("int2", "{ bucket: 10 }", "47"),
    "address": ("inet", "network", "192.0.2.77"),
    "range": ("cidr", "network", "10.1.2.0/25"),
    "flag": ("bool", "full", "t"),
    "number": ("int8", "full", "4711"),
    "day": ("date", "full", "1984-02-29"),
    "token": ("uuid", "full", "8d8ac610-566d-4ef0-9c22-186b2a5ed793"),
    "document": ("jsonb", "full", '{"name": "Jane Doe"}'),
}
NAMES = ", ".join(COLUMNS)
STORED = {name: value for name, (_, _, value) in COLUMNS.items()}


def policy() -> str:
    tags = "\n".join(f"  {name}: {{ mask: {mask} }}" for name, (_, mask, _) in COLUMNS.items())
    columns = "\n".join(f"    {name}: {name}" for name in COLUMNS)
    return (
        f"version: 1\ntags:\n{tags}\n  code: {{ mask: {{ hash: {{ digits: 16 }} }} }}\n  strict: {{ mask: full, write_back: refuse }}\n"
        f"columns:\n  people:\n{columns}\n  codes: {{ code: code, strict: strict }}\n"
        'roles:\n  owners: { users: boss, sees: { "*": clear } }\n'
    )


@pytest.fixture(scope="module")
def forms(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in COLUMNS.items())
    pg.psql(
        f"CREATE USER clerk; CREATE USER boss; CREATE TABLE people (id int4 PRIMARY KEY, {columns}, note text);"
        "CREATE TABLE codes (id int4 PRIMARY KEY, code text, strict text); CREATE TABLE orders (id int4, street text);"
        "GRANT ALL ON people, codes, orders TO clerk, boss; ALTER DATABASE forms SET TimeZone = 'Asia/Kolkata'",
        database=DATABASE,
    )
    directory = tmp_path_factory.mktemp("forms")
    (directory / "policy.yaml").write_text(policy())
    proxy = Pgveil(pg, directory / "policy.yaml", database=DATABASE).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def direct(pg, forms):
    dsn = f"host={pg.host} port={pg.port} user=boss dbname={DATABASE}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM people; DELETE FROM codes; DELETE FROM orders")
        values = ", ".join("%s" for _ in COLUMNS)
        connection.execute(f"INSERT INTO people (id, {NAMES}, note) VALUES (1, {values}, 'before')", list(STORED.values()))
        connection.execute("SET TimeZone = 'UTC'; INSERT INTO codes VALUES (1, 'Jane', 'Doe')")
        yield connection


def stored(direct) -> list:
    casts = ", ".join(f"{name}::text" for name in COLUMNS)
    return list(direct.execute(f"SELECT {casts}, note FROM people WHERE id = 1").fetchone())


def login(forms, user="clerk"):
    return drivers.Login("127.0.0.1", forms.port, user, DATABASE)


def connect(forms, user="clerk", **more):
    return psycopg.connect(login(forms, user).dsn(), autocommit=True, **more)


SETS = ", ".join(f"{name} = ${at}" for at, name in enumerate(COLUMNS, 1))
EVERY = f"UPDATE people SET {SETS}, note = ${len(COLUMNS) + 1} WHERE id = ${len(COLUMNS) + 2}"


def psql_form(forms):
    from harness.postgres import binaries

    def run(sql, *options):
        command = [str(binaries() / "psql"), "-XAt", "-F", "\x1f", "-d", login(forms).dsn(), *options]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
        return done

    shown = run(f"\\pset null <null>\nSELECT {NAMES} FROM people WHERE id = 1;", "-q").stdout.strip("\n").split("\x1f")
    literals = ["NULL" if cell == "<null>" else "'" + cell.replace("'", "''") + "'" for cell in shown]
    sets = ", ".join(f"{name} = {literal}" for name, literal in zip(COLUMNS, literals, strict=True))
    assert "WARNING" in run(f"UPDATE people SET {sets}, note = 'after' WHERE id = 1;").stderr


def psycopg_form(cursor_factory=psycopg.Cursor, binary=False, prepare=False):
    def form(forms):
        with connect(forms, cursor_factory=cursor_factory) as connection:
            told = []
            connection.add_notice_handler(lambda notice: told.append(notice.sqlstate))
            row = connection.cursor(binary=binary).execute(f"SELECT {NAMES} FROM people WHERE id = 1").fetchone()
            # The driver says `jsonb` for dictionaries only if it is told to.
            row = [psycopg.types.json.Jsonb(None) if name == "document" else cell for name, cell in zip(COLUMNS, row, strict=True)]
            form = "%b" if binary else "%s"
            sets = ", ".join(f"{name} = {form}" for name in COLUMNS)
            more = {} if cursor_factory is psycopg.ClientCursor else {"prepare": prepare}
            done = connection.execute(f"UPDATE people SET {sets}, note = {form} WHERE id = 1", [*row, "after"], **more)
            assert done.rowcount == 1 and told == ["01000"]

    return form


def asyncpg_form(forms):
    async def play():
        connection = await asyncpg.connect(login(forms).url())
        row = await connection.fetchrow(f"SELECT {NAMES} FROM people WHERE id = 1")
        assert await connection.execute(EVERY, *row, "after", 1) == "UPDATE 1"
        await connection.close()

    asyncio.run(play())


def node_form(forms):
    script = """
      const { Client } = require('pg');
      const [url, select, update] = JSON.parse(process.argv[1]);
      (async () => {
        const client = new Client({ connectionString: url });
        await client.connect();
        const row = (await client.query({ text: select, rowMode: 'array' })).rows[0];
        // node-postgres writes arrays of JavaScript for arrays, and documents as JSON if they are text
        const values = row.map((cell, at) => (at === row.length - 1 ? 'null' : cell));
        const done = await client.query(update, [...values, 'after', 1]);
        console.log(done.rowCount);
        await client.end();
      })().catch((error) => { console.error(error.message); process.exit(1); });
    """
    job = json.dumps([login(forms).url(), f"SELECT {NAMES} FROM people WHERE id = 1", EVERY])
    done = subprocess.run(
        ["node", "-e", script, job], capture_output=True, text=True, check=False, timeout=60,
        env={"NODE_PATH": str(drivers.NODE_MODULES), "PATH": "/usr/bin:/bin:/usr/local/bin", "TZ": "UTC"},
    )
    assert done.stdout.strip() == "1", done.stderr


FORMS = {
    "psql": psql_form,
    "psycopg": psycopg_form(),
    "psycopg-prepared": psycopg_form(prepare=True),
    "psycopg-binary": psycopg_form(binary=True),
    "psycopg-client-side": psycopg_form(psycopg.ClientCursor),
    "asyncpg": asyncpg_form,
    "node": node_form,
}


@pytest.mark.proxy
@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_is_saved_unchanged_changes_nothing(forms, direct, form):
    before = stored(direct)
    FORMS[form](forms)
    assert stored(direct) == [*before[:-1], "after"]


@pytest.mark.proxy
def test_new_values_are_stored_among_masks_in_statements_that_run_many_times(forms, direct):
    direct.execute("INSERT INTO people (id, email, salary, note) SELECT id, 'old' || id || '@example.org', 51780, '' FROM generate_series(2, 40) id")
    with connect(forms) as connection:
        rows = connection.execute("SELECT id, email, salary FROM people WHERE id > 1 ORDER BY id").fetchall()
        forms_of = [
            (f"new{key}@example.org" if key % 2 else email, 61500 if key % 3 else salary, key) for key, email, salary in rows
        ]
        for prepare in (False, True):
            for values in forms_of:
                connection.execute("UPDATE people SET email = %s, salary = %s WHERE id = %s", values, prepare=prepare)
        with connection.cursor() as cursor:
            cursor.executemany("UPDATE people SET email = %s, salary = %s WHERE id = %s", forms_of)
        with connection.pipeline():
            for values in forms_of:
                connection.execute("UPDATE people SET email = %s, salary = %s WHERE id = %s", values)
    for key, email, salary in direct.execute("SELECT id, email, salary FROM people WHERE id > 1"):
        assert email == (f"new{key}@example.org" if key % 2 else f"old{key}@example.org")
        assert salary == (61500 if key % 3 else 51780)


@pytest.mark.proxy
def test_real_values_that_look_like_masks_are_stored_where_they_are_not_what_is_shown(forms, direct):
    with connect(forms) as connection:
        for salary, born, expected in [(60000, "1990-01-01", (60000, "1990-01-01")), (60000, "1990-01-01", (60000, "1990-01-01"))]:
            connection.execute("UPDATE people SET salary = %s, born = %s WHERE id = 1", (salary, born))
            connection.execute(f"UPDATE people SET wage = {salary}, rate = 40 WHERE id = 1")
            assert direct.execute("SELECT salary, born::text FROM people WHERE id = 1").fetchone() == expected
            assert direct.execute("SELECT wage, rate FROM people WHERE id = 1").fetchone() == (decimal.Decimal(60000), 40.0)


@pytest.mark.proxy
def test_copies_of_masked_rows_are_refused_and_the_connection_goes_on(forms, direct):
    with connect(forms) as connection:
        for name in ("whole", "partial", "first", "email", "phone", "card", "iban", "alias", "alias_mail", "replaced", "names"):
            value = connection.execute(f"SELECT {name} FROM people WHERE id = 1").fetchone()[0]
            for prepare in (False, True):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"people.{name} is a mask"):
                    connection.execute(f"INSERT INTO people (id, {name}) VALUES (2, %s)", [value], prepare=prepare)
            client = psycopg.ClientCursor(connection)
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"people.{name} is a mask"):
                client.execute(f"INSERT INTO people (id, {name}) VALUES (2, %s)", [value])
        address = connection.execute("SELECT email FROM people").fetchone()[0]
        connection.execute("INSERT INTO orders VALUES (1, %s)", [address])
        connection.execute("INSERT INTO people (id, email, salary, born) VALUES (3, 'new@example.org', 52000, '1980-01-01')")
    assert direct.execute("SELECT count(*) FROM people WHERE id = 2").fetchone() == (0,)
    assert direct.execute("SELECT email, salary FROM people WHERE id = 3").fetchone() == ("new@example.org", 52000)


@pytest.mark.proxy
def test_what_can_not_be_told_or_may_not_be_kept_is_refused(forms, direct):
    with connect(forms) as connection:
        code, strict = connection.execute("SELECT code, strict FROM codes").fetchone()
        for column, value in (("code", code), ("strict", strict)):
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
                connection.execute(f"UPDATE codes SET {column} = %s", [value])
            assert raised.value.diag.message_hint
        connection.execute("UPDATE codes SET code = 'Janet', strict = 'Roe'")
    assert direct.execute("SELECT code, strict FROM codes").fetchone() == ("Janet", "Roe")


@pytest.mark.proxy
def test_those_who_see_the_values_store_what_they_like(forms, direct):
    with connect(forms, "boss") as connection:
        connection.execute("UPDATE people SET email = 'j###@#######.##', salary = %s WHERE id = 1", [52000])
    assert direct.execute("SELECT email, salary FROM people WHERE id = 1").fetchone() == ("j###@#######.##", 52000)


@pytest.mark.proxy
def test_what_was_kept_does_not_show_in_what_is_returned(forms, direct):
    with connect(forms) as connection:
        kept = connection.execute("UPDATE people SET salary = 52000 WHERE id = 1 RETURNING salary").fetchone()
        written = connection.execute("UPDATE people SET salary = 53000 WHERE id = 1 RETURNING salary").fetchone()
        assert (kept, written) == ((52000,), (53000,))
    assert forms.metric("pgveil_masks_compared_total", tag="salary") >= 2
