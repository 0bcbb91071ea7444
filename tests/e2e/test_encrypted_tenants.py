"""Encrypted columns whose values are bound to tenants, by a column of the row or by a setting of the session."""

import asyncio
import subprocess
import uuid

import asyncpg
import psycopg
import pytest

from harness.encryption import Encryption
from harness.pgveil import Pgveil, binary

pytestmark = pytest.mark.proxy

DATABASE = "tenants"
POLICY = """
version: 1
tags:
  private: { mask: full }
columns:
  people:
    email: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic, tenant: { column: org } } }
    born: { tag: private, encrypted: { type: date, key: people, domain: born, tenant: { column: org } } }
  orders:
    buyer: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic, tenant: { column: tenant_id } } }
  documents:
    body: { tag: private, encrypted: { type: text, key: people, domain: body, tenant: { column: owner } } }
  notes:
    title: { tag: private, encrypted: { type: text, key: people, domain: title, mode: deterministic, tenant: { setting: app.tenant_id } } }
    body: { tag: private, encrypted: { type: text, key: people, domain: note, tenant: { setting: App.Tenant_Id } } }
roles:
  owners: { users: [landlord], sees: { "*": clear } }
"""
OWNER = "0e37df36-f698-11e6-8dd4-cb9ced3df976"


@pytest.fixture(scope="module")
def sealed(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    pg.psql(
        "CREATE USER landlord; CREATE USER porter;"
        "CREATE TABLE people (id int PRIMARY KEY, org int NOT NULL, email text, born text, city text, UNIQUE (org, email));"
        "CREATE TABLE orders (id int PRIMARY KEY, tenant_id int8 NOT NULL, buyer text, amount int);"
        "CREATE TABLE documents (id int PRIMARY KEY, owner uuid NOT NULL, body text);"
        "CREATE TABLE notes (id int PRIMARY KEY, title text, body text);"
        "CREATE VIEW contacts AS SELECT id, org, email FROM people;"
        "CREATE FUNCTION switches(text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.tenant_id', $1, false) $$;"
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO landlord, porter",
        database=DATABASE,
    )
    directory = tmp_path_factory.mktemp("tenants")
    (directory / "policy.yaml").write_text(POLICY)
    settings = {"keys": {"keyring": directory / "keyring.json", "kek_file": directory / "kek"}}
    proxy = Pgveil(pg, directory / "policy.yaml", settings, DATABASE)
    for command in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *command, "--config", proxy.config], check=True, capture_output=True)
    proxy.start()
    yield proxy
    assert proxy.stop() == 0, proxy.log()
    assert "panicked" not in proxy.log()
    assert "jane@" not in proxy.log() and "acme" not in proxy.log()
    proxy.remove()


@pytest.fixture(autouse=True)
def empty(pg, sealed):
    pg.psql("TRUNCATE people, orders, documents, notes", database=DATABASE)


def connect(sealed, user="landlord", **options):
    return psycopg.connect(host=sealed.host, port=sealed.port, user=user, dbname=DATABASE, autocommit=True, **options)


def direct(pg):
    return psycopg.connect(host=pg.host, port=pg.port, user="postgres", dbname=DATABASE, autocommit=True)


def fill(connection):
    connection.execute(
        "INSERT INTO people (id, org, email, born) VALUES (1, 1, 'jane@x', '1990-01-31'), (2, 2, 'jane@x', '1991-01-31'), (3, 2, NULL, NULL)"
    )


def error(connection, statement, *arguments):
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement, *arguments)
    return caught.value


def test_equal_values_of_two_tenants_are_stored_differently_and_come_back(pg, sealed):
    with connect(sealed) as connection, direct(pg) as server:
        fill(connection)
        stored = dict(server.execute("SELECT id, email FROM people").fetchall())
        assert stored[1].startswith("pgveil:") and stored[2].startswith("pgveil:") and stored[1][:23] == stored[2][:23] and stored[1] != stored[2]
        for binary_format in (False, True):
            rows = connection.cursor(binary=binary_format).execute("SELECT * FROM people ORDER BY id").fetchall()
            assert [row[:3] for row in rows] == [(1, 1, "jane@x"), (2, 2, "jane@x"), (3, 2, None)]
            assert rows[0][3].isoformat() == "1990-01-31"
            for tenant, expected in ((1, [("jane@x",)]), (2, [("jane@x",), (None,)]), (3, [])):
                cursor = connection.cursor(binary=binary_format)
                assert cursor.execute("SELECT email FROM people WHERE org = %s ORDER BY id", (tenant,)).fetchall() == expected
                assert cursor.execute(f"SELECT email FROM people WHERE org = {tenant} ORDER BY id").fetchall() == expected
            cursor = connection.cursor(binary=binary_format)
            find = "SELECT id FROM people WHERE org = %s AND email = %s"
            assert cursor.execute(find, (2, "jane@x")).fetchall() == [(2,)]
            assert cursor.execute(find, (3, "jane@x")).fetchall() == []
        assert connection.execute("SELECT id, org, email FROM contacts WHERE id = 2").fetchall() == [(2, 2, "jane@x")]


@pytest.mark.parametrize("place", ["%t", "%b"])
def test_parameters_are_sealed_for_the_tenant_that_is_given_beside(sealed, place):
    with connect(sealed) as connection:
        insert = f"INSERT INTO documents (id, owner, body) VALUES ({place}, {place}, {place}) RETURNING body"
        assert connection.execute(insert, (1, uuid.UUID(OWNER), "text")).fetchall() == [("text",)]
        assert connection.execute("INSERT INTO documents VALUES (%s, %s, 'literal') RETURNING id, body", (2, OWNER), prepare=True).fetchall() == [(2, "literal")]
        connection.execute("INSERT INTO documents VALUES (4, %s, 'upper')", (OWNER.upper(),))
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO documents (id, owner, body) VALUES (%s, %s, %s)", [(number, OWNER, f"many {number}") for number in range(10, 20)])
        assert connection.execute("SELECT count(*), count(body) FROM documents").fetchone() == (13, 13)
        rows = connection.execute(f"SELECT id, body FROM documents WHERE owner = {place} ORDER BY id", (uuid.UUID(OWNER),)).fetchall()
        assert rows[:3] == [(1, "text"), (2, "literal"), (4, "upper")] and rows[-1] == (19, "many 19")
        update = f"UPDATE documents SET body = {place} WHERE owner = {place} AND id = {place} RETURNING id, body"
        assert connection.execute(update, ("new", uuid.UUID(OWNER), 1)).fetchall() == [(1, "new")]
        assert error(connection, "INSERT INTO documents VALUES (5, %s, %s)", (None, "x")).sqlstate == "22004"


def test_moved_ciphertext_does_not_open_for_another_tenant(pg, sealed):
    with connect(sealed) as connection, direct(pg) as server:
        fill(connection)
        server.execute("UPDATE people SET email = (SELECT email FROM people WHERE id = 1) WHERE id = 3")
        for query in ("SELECT * FROM people WHERE id = 3", "SELECT email FROM people WHERE org = 2", "COPY people (id, org, email) TO STDOUT"):
            with pytest.raises(psycopg.Error) as caught:
                if query.startswith("COPY"):
                    with connection.cursor().copy(query) as copy:
                        list(copy)
                else:
                    connection.execute(query)
            assert caught.value.sqlstate == "XX001", query
            assert "public.people.email" in str(caught.value) and "another tenant" in str(caught.value)
        assert connection.execute("SELECT * FROM people WHERE id = 1").fetchone()[2] == "jane@x"
        server.execute("UPDATE people SET org = 3 WHERE id = 2")
        assert error(connection, "SELECT org, email FROM people WHERE id = 2").sqlstate == "XX001"


def test_what_does_not_tell_the_tenant_is_refused_with_a_hint(sealed):
    with connect(sealed) as connection:
        fill(connection)
        for statement in (
            "SELECT email FROM people WHERE id = 1",
            "SELECT id FROM people WHERE email = 'jane@x'",
            "INSERT INTO people (id, email) VALUES (9, 'x')",
            "UPDATE people SET email = 'x' WHERE id = 1",
            "UPDATE people SET org = 2 WHERE id = 1",
            "COPY people (id, email) TO STDOUT",
        ):
            found = error(connection, statement)
            assert found.sqlstate == "0A000" and "org" in found.diag.message_hint, statement
        with pytest.raises(psycopg.Error) as caught, connection.cursor().copy("COPY people (id, email) FROM STDIN") as copy:
            copy.write("9\tx\n")
        assert caught.value.sqlstate == "0A000"
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (3,)


def test_rows_change_their_tenant_with_all_that_is_bound_to_it(sealed):
    with connect(sealed) as connection:
        fill(connection)
        update = "UPDATE people SET org = %s, email = %s, born = %s WHERE id = 1 RETURNING email, born"
        assert connection.execute(update, (5, "new@x", None)).fetchall() == [("new@x", None)]
        upsert = (
            "INSERT INTO people (id, org, email) VALUES (20, 5, 'new@x'), (21, 2, 'other@x') ON CONFLICT (org, email) DO UPDATE SET city = 'same' "
        )
        connection.execute(upsert)
        assert connection.execute("SELECT id, org, email, city FROM people ORDER BY id").fetchall() == [
            (1, 5, "new@x", "same"), (2, 2, "jane@x", None), (3, 2, None, None), (21, 2, "other@x", None),
        ]
        connection.execute(
            "INSERT INTO people (id, org, email, born) VALUES (2, 7, 'seven@x', NULL) ON CONFLICT (id) DO UPDATE "
            "SET org = excluded.org, email = excluded.email, born = excluded.born"
        )
        assert connection.execute("SELECT org, email FROM people WHERE id = 2").fetchall() == [(7, "seven@x")]
        connection.execute("INSERT INTO orders (id, tenant_id, buyer) SELECT id, org, email FROM people")
        found = connection.execute("SELECT o.tenant_id, o.buyer FROM orders o JOIN people p ON p.email = o.buyer ORDER BY o.id").fetchall()
        assert found == [(5, "new@x"), (7, "seven@x"), (2, "other@x")]


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
def test_copy_both_ways(sealed, form):
    with connect(sealed) as connection:
        options = f"(FORMAT {form})"
        with connection.cursor().copy(f"COPY people (email, id, org, city) FROM STDIN {options}") as copy:
            if form == "binary":
                copy.set_types(["text", "int4", "int4", "text"])
                for row in (("jane@x", 1, 1, "a"), ("jane@x", 2, -2, None), (None, 3, 2, "c")):
                    copy.write_row(row)
            else:
                null, mark = ("\\N", "\t") if form == "text" else ("", ",")
                copy.write("".join(mark.join(row) + "\n" for row in (("jane@x", "1", "1", "a"), ("jane@x", "2", "-2", null), (null, "3", "2", "c"))))
        expected = [("jane@x", 1, 1, "a"), ("jane@x", 2, -2, None), (None, 3, 2, "c")]
        assert connection.execute("SELECT email, id, org, city FROM people ORDER BY id").fetchall() == expected
        for query in ("people (email, id, org, city)", "(SELECT email, id, org, city FROM people ORDER BY id)"):
            with connection.cursor().copy(f"COPY {query} TO STDOUT {options}") as copy:
                if form == "binary":
                    copy.set_types(["text", "int4", "int4", "text"])
                    assert list(copy.rows()) == expected
                else:
                    null, mark = ("\\N", "\t") if form == "text" else ("", ",")
                    data = b"".join(bytes(part) for part in copy).decode()
                    assert data == "".join(mark.join(null if cell is None else str(cell) for cell in row) + "\n" for row in expected)
        with connection.cursor().copy("COPY (SELECT email FROM people WHERE org = 1) TO STDOUT") as copy:
            assert b"".join(bytes(part) for part in copy) == b"jane@x\n"


def test_asyncpg_reads_and_writes(sealed):
    async def run():
        connection = await asyncpg.connect(host=sealed.host, port=sealed.port, user="landlord", database=DATABASE, ssl=False)
        await connection.executemany("INSERT INTO people (id, org, email) VALUES ($1, $2, $3)", [(number, number % 2, f"p{number}@x") for number in range(20)])
        assert await connection.fetchval("SELECT email FROM people WHERE org = $1 AND id = $2", 1, 7) == "p7@x"
        assert await connection.fetchval("SELECT id FROM people WHERE org = $1 AND email = ANY($2)", 0, ["p4@x", "p5@x"]) == 4
        rows = await connection.fetch("SELECT org, email FROM people ORDER BY id")
        assert [(row["org"], row["email"]) for row in rows] == [(number % 2, f"p{number}@x") for number in range(20)]
        async with connection.transaction():
            found = [row["email"] async for row in connection.cursor("SELECT org, email FROM people ORDER BY id", prefetch=3)]
            assert found == [f"p{number}@x" for number in range(20)]
        await connection.copy_records_to_table("people", records=[(30, 1, "copied@x")], columns=["id", "org", "email"])
        assert await connection.fetchval("SELECT email FROM people WHERE org = 1 AND id = 30") == "copied@x"
        for tenant in ("1", "acme"):
            await connection.execute("SELECT set_config('app.tenant_id', $1, false)", tenant)
            await connection.execute("INSERT INTO notes VALUES ($1, $2, 'literal')", len(tenant), f"title of {tenant}")
            assert await connection.fetchrow("SELECT title, body FROM notes WHERE title = $1", f"title of {tenant}") == (f"title of {tenant}", "literal")
        await connection.close()

    asyncio.run(run())


def note(connection, number, title, **options):
    connection.execute("INSERT INTO notes VALUES (%s, %s, 'a body')", (number, title), **options)


def titles(connection):
    found = []
    for (number,) in connection.execute("SELECT id FROM notes ORDER BY id").fetchall():
        try:
            found.append(connection.execute("SELECT title FROM notes WHERE id = %s", (number,)).fetchone()[0])
        except psycopg.Error as caught:
            assert caught.sqlstate == "XX001", caught
            found.append("not ours")
    return found


def test_the_setting_counts_as_it_is(sealed):
    with connect(sealed) as connection:
        assert error(connection, "INSERT INTO notes VALUES (1, 'x', NULL)").sqlstate == "55000"
        assert error(connection, "SELECT id FROM notes WHERE title = 'x'").sqlstate == "55000"
        connection.execute("SET app.tenant_id = 'acme'")
        note(connection, 1, "first")
        connection.execute("INSERT INTO notes VALUES (2, 'second', 'b')")
        assert titles(connection) == ["first", "second"]
        connection.execute("SET APP.tenant_id TO 'umbrella'")
        note(connection, 3, "first", prepare=True)
        assert titles(connection) == ["not ours", "not ours", "first"]
        assert connection.execute("SELECT id FROM notes WHERE title = 'first'").fetchall() == [(3,)]
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL app.tenant_id = 'acme'")
            assert connection.execute("SELECT id, title FROM notes WHERE title = %s", ("first",)).fetchall() == [(1, "first")]
            with connection.transaction(force_rollback=True):
                connection.execute("SET LOCAL app.tenant_id = 'umbrella'")
                assert connection.execute("SELECT id FROM notes WHERE title = %s", ("first",)).fetchall() == [(3,)]
            assert connection.execute("SELECT id FROM notes WHERE title = %s", ("first",)).fetchall() == [(1,)]
        assert connection.execute("SELECT id FROM notes WHERE title = 'first'").fetchall() == [(3,)]
        connection.execute("SELECT switches('acme')")
        assert titles(connection) == ["first", "second", "not ours"]
        connection.execute("RESET app.tenant_id")
        found = error(connection, "SELECT title FROM notes WHERE id = 1")
        assert found.sqlstate == "XX001" and "app.tenant_id" in str(found) and "public.notes.title" in str(found)
        connection.execute("SET app.tenant_id = 'acme'")
        connection.execute("DISCARD ALL")
        assert error(connection, "INSERT INTO notes VALUES (4, 'x', NULL)").sqlstate == "55000"
    with connect(sealed, options="-c app.tenant_id=acme") as connection:
        assert titles(connection) == ["first", "second", "not ours"]


def test_prepared_statements_go_with_the_setting(sealed):
    """A pooled connection: the same prepared statements, one tenant after the other."""
    with connect(sealed, prepare_threshold=0) as connection:
        for number in range(6):
            connection.execute("SELECT set_config('app.tenant_id', %s, false)", (f"t{number % 2}",))
            note(connection, number, "same")
            assert connection.execute("SELECT count(*) FROM notes WHERE title = %s", ("same",)).fetchone() == (number // 2 + 1,)
            assert connection.execute("SELECT title, body FROM notes WHERE title = 'same' AND id = %s", (number,)).fetchone() == ("same", "a body")
        connection.prepare_threshold = None
        connection.execute("PREPARE find (text) AS SELECT id FROM notes WHERE title = $1")
        connection.execute("PREPARE shown AS SELECT title FROM notes WHERE id IN (0, 2)")
        assert connection.execute("EXECUTE find ('same')").fetchall() == [(1,), (3,), (5,)]
        connection.execute("SET app.tenant_id = 't0'")
        assert connection.execute("EXECUTE find ('same')").fetchall() == [(0,), (2,), (4,)]
        assert connection.execute("EXECUTE shown").fetchall() == [("same",), ("same",)]
        connection.execute("SET app.tenant_id = 't1'")
        assert error(connection, "EXECUTE shown").sqlstate == "XX001"
        with connection.pipeline():
            connection.execute("SET app.tenant_id = 't7'")
            note(connection, 70, "piped")
            cursor = connection.execute("SELECT title FROM notes WHERE title = %s", ("piped",))
            connection.execute("SET app.tenant_id = 't8'")
            other = connection.execute("SELECT title FROM notes WHERE title = %s", ("piped",))
            assert cursor.fetchall() == [("piped",)] and other.fetchall() == []


def test_messages_of_several_statements(sealed):
    with connect(sealed) as connection:
        connection.execute("SET app.tenant_id = 'acme'")
        connection.execute("BEGIN; INSERT INTO notes VALUES (1, 'a', NULL); INSERT INTO notes VALUES (2, 'b', NULL); COMMIT")
        assert titles(connection) == ["a", "b"]
        for before in ("SET app.tenant_id = 'umbrella'", "SELECT set_config('app.tenant_id', 'umbrella', false)", "SELECT switches('x')", "DO 'BEGIN END'", "ROLLBACK"):
            found = error(connection, f"{before}; INSERT INTO notes VALUES (3, 'c', NULL)")
            assert found.sqlstate == "0A000" and "message of its own" in found.diag.message_hint, before
        assert titles(connection) == ["a", "b"]


def test_a_failed_transaction_and_a_pipeline_answer_as_the_server_does(sealed):
    with connect(sealed) as connection:
        connection.execute("SET app.tenant_id = 'acme'")
        connection.execute("BEGIN")
        assert error(connection, "SELECT 1/0").sqlstate == "22012"
        assert error(connection, "INSERT INTO notes VALUES (1, 'a', NULL)").sqlstate == "25P02"
        assert error(connection, "SELECT title FROM notes").sqlstate == "25P02"
        connection.execute("ROLLBACK")
        note(connection, 1, "a")
        with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
            connection.execute("SELECT 1/0")
            note(connection, 2, "b")
            connection.execute("SELECT title FROM notes WHERE title = %s", ("a",))
        assert titles(connection) == ["a"]


@pytest.mark.parametrize("form", ["text", "binary"])
def test_copy_under_a_setting(sealed, form):
    with connect(sealed) as connection:
        with pytest.raises(psycopg.Error) as caught, connection.cursor().copy("COPY notes FROM STDIN") as copy:
            copy.write("1\tx\t\\N\n")
        assert caught.value.sqlstate == "55000"
        connection.execute("SET app.tenant_id = 'acme'")
        with connection.cursor().copy(f"COPY notes FROM STDIN (FORMAT {form})") as copy:
            copy.set_types(["int4", "text", "text"])
            for number in range(3):
                copy.write_row((number, f"t{number}", None))
        with connection.cursor().copy(f"COPY notes TO STDOUT (FORMAT {form})") as copy:
            copy.set_types(["int4", "text", "text"])
            assert list(copy.rows()) == [(number, f"t{number}", None) for number in range(3)]
        connection.execute("SET app.tenant_id = 'umbrella'")
        with pytest.raises(psycopg.Error) as caught, connection.cursor().copy("COPY notes TO STDOUT") as copy:
            list(copy)
        assert caught.value.sqlstate == "XX001"


def test_cursors(sealed):
    with connect(sealed) as connection:
        fill(connection)
        connection.execute("SET app.tenant_id = 'acme'")
        for number in range(5):
            note(connection, number, f"t{number}")
        with connection.transaction():
            connection.execute("DECLARE c CURSOR FOR SELECT org, email FROM people ORDER BY id; DECLARE n CURSOR FOR SELECT title FROM notes ORDER BY id")
            assert connection.execute("FETCH 2 FROM c").fetchall() == [(1, "jane@x"), (2, "jane@x")]
            assert connection.execute("FETCH 2 FROM n").fetchall() == [("t0",), ("t1",)]
            assert connection.execute("FETCH ALL FROM n").fetchall() == [("t2",), ("t3",), ("t4",)]
            with connection.cursor("named") as cursor:
                cursor.execute("SELECT email FROM people WHERE org = 1")
                assert cursor.fetchall() == [("jane@x",)]


def test_callers_who_see_masks(sealed):
    with connect(sealed) as owner, connect(sealed, user="porter") as clerk:
        fill(owner)
        owner.execute("SET app.tenant_id = 'acme'")
        note(owner, 1, "secret")
        assert clerk.execute("SELECT org, email FROM people WHERE id = 1").fetchone() == (1, "######")
        assert clerk.execute("SELECT email FROM people WHERE org = 1").fetchall() == [("######",)]
        clerk.execute("UPDATE people SET email = '######', city = 'x' WHERE org = 1 AND id = 1")
        clerk.execute("UPDATE people SET email = %s, city = %s WHERE org = %s AND id = %s", ("######", "y", 1, 1))
        assert owner.execute("SELECT email, city FROM people WHERE org = 1").fetchall() == [("jane@x", "y")]


def test_the_tenant_that_a_session_has_set_is_logged(sealed):
    tail = sealed.tail()
    with connect(sealed) as connection:
        connection.execute("SET app.tenant_id = 'acme'")
        connection.execute("INSERT INTO notes VALUES (1, 'title', 'body')")
        assert connection.execute("SELECT title FROM notes").fetchall() == [("title",)]
    assert [(event["column"], event["tenant"]) for event in tail.events()] == [("title", "acme")]
