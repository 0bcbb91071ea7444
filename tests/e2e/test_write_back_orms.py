"""What ORMs make of new values and of masks that come back: new values are stored, masks never are."""

import contextlib
import datetime
import decimal
import json
import os
import subprocess
import sys

import psycopg
import pytest

from conftest import HERE
from harness.pgveil import Pgveil

pytestmark = pytest.mark.proxy

DATABASE = "saves"

POLICY = """
version: 1
tags:
  email: { mask: email }
  name: { mask: full }
  pay: { mask: { round: 1000 } }
  birth: { mask: { date_trunc: year } }
columns:
  person: { email: email, name: name, salary: pay, born: birth }
roles:
  owners: { users: save_boss, sees: { "*": clear } }
"""

STORED = [
    (1, "jane@example.org", "Jane Doe", decimal.Decimal("51780.25"), datetime.date(1984, 2, 29), "before"),
    (2, "joe@example.org", "Joe Doe", decimal.Decimal("42310.00"), datetime.date(1990, 7, 1), "before"),
]
KEPT = [(*row[:-1], "after") for row in STORED]
NEW = [
    (key, f"new{key}@example.org", f"New Name {key}", decimal.Decimal(61000), datetime.date(1991, 1, 1), "new") for key in (1, 2)
]


@pytest.fixture(scope="module")
def saves(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    pg.psql(
        "CREATE USER saver; CREATE USER save_boss;"
        "CREATE TABLE person (id bigserial PRIMARY KEY, email varchar(80), name text, salary numeric(12,2), born date, note text);"
        "GRANT ALL ON person, person_id_seq TO saver, save_boss",
        database=DATABASE,
    )
    directory = tmp_path_factory.mktemp("saves")
    (directory / "policy.yaml").write_text(POLICY)
    proxy = Pgveil(pg, directory / "policy.yaml", database=DATABASE).start()
    yield proxy
    proxy.stop()


@contextlib.contextmanager
def two_people(host: str, port: int, user: str, database: str):
    """The connection of somebody who sees everything. Two people are there."""
    with psycopg.connect(f"host={host} port={port} user={user} dbname={database}", autocommit=True) as connection:
        connection.execute("DELETE FROM person")
        for row in STORED:
            connection.execute("INSERT INTO person VALUES (%s, %s, %s, %s, %s, %s)", row)
        connection.execute("SELECT setval('person_id_seq', 1000)")
        yield connection


@pytest.fixture
def direct(pg, saves):
    with two_people(pg.host, pg.port, "save_boss", DATABASE) as connection:
        yield connection


def stored(direct) -> list:
    return direct.execute("SELECT id, email, name, salary, born, note FROM person ORDER BY id").fetchall()


def run(saves, script: str, deed: str, values: str, binding: str = "client", database: str = DATABASE, user: str = "saver") -> str:
    environment = {
        **os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(saves.port), "PGUSER": user, "PGDATABASE": database,
        "DEED": deed, "VALUES": values, "BINDING": binding,
    }
    done = subprocess.run([sys.executable, HERE / "orms" / script], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


WAYS = [
    *[("django_saves.py", deed, binding) for deed in ("save", "bulk_update", "update_or_create", "upsert", "insert") for binding in ("client", "server")],
    *[("sqlalchemy_saves.py", deed, "") for deed in ("save", "bulk_update", "executemany", "by_case", "upsert", "insert")],
]


@pytest.mark.parametrize(("script", "deed", "binding"), WAYS)
def test_new_values_are_stored(saves, direct, script, deed, binding):
    assert run(saves, script, deed, "new", binding) == "done"
    found = stored(direct)
    if deed == "insert":
        assert found[:2] == STORED and [row[1:4] for row in found[2:]] == [row[1:4] for row in NEW]
    else:
        assert [row[:-1] for row in found] == [row[:-1] for row in NEW]


@pytest.mark.parametrize(("script", "deed", "binding"), WAYS)
def test_masks_are_kept_or_refused(saves, direct, script, deed, binding):
    outcome = run(saves, script, deed, "masks", binding)
    if deed in ("upsert", "insert"):
        # Whether the row is new is not known before it runs.
        assert "is a mask" in outcome and stored(direct) == STORED, outcome
    else:
        assert outcome == "done" and stored(direct) == KEPT


BULK = {
    "values": "UPDATE person AS p SET email = v.email, salary = v.salary, note = 'after'"
              " FROM (VALUES (%s::bigint, %s, %s::numeric), (%s, %s, %s)) AS v(id, email, salary) WHERE p.id = v.id",
    "unnest": "WITH v(id, email, salary) AS (SELECT %s::bigint, %s, %s::numeric UNION ALL SELECT %s, %s, %s)"
              " UPDATE person SET email = v.email, salary = v.salary, note = 'after' FROM v WHERE person.id = v.id",
    "case": "UPDATE person SET email = CASE id WHEN %s THEN %s::varchar(80) ELSE email END, salary = CASE WHEN id > 0 THEN %s END::numeric(12,2),"
            " note = 'after' WHERE id = 1 OR (id, email, salary) = (%s, %s, %s)",
}


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize("way", BULK)
def test_one_row_of_several_keeps_what_is_stored(saves, direct, way, prepare):
    """The first row comes back as it is shown, the second is new."""
    expected = [(*STORED[0][:-1], "after"), (2, "new2@example.org", "Joe Doe", decimal.Decimal(61000), STORED[1][4], "after")]
    if way == "case":
        expected[1] = STORED[1]
    with psycopg.connect(f"host=127.0.0.1 port={saves.port} user=saver dbname={DATABASE}", autocommit=True) as connection:
        email, salary = connection.execute("SELECT email, salary FROM person WHERE id = 1").fetchone()
        connection.execute(BULK[way], (1, email, salary, 2, "new2@example.org", decimal.Decimal(61000)), prepare=prepare)
        assert stored(direct) == expected
        client = psycopg.ClientCursor(connection)
        client.execute(BULK[way], (1, email, salary, 2, "new2@example.org", decimal.Decimal(61000)))
    assert stored(direct) == expected


def test_an_upsert_writes_new_values_that_look_like_masks(saves, direct):
    """Rounded amounts are ordinary: where they are what is shown of the stored one, that stays."""
    upsert = "INSERT INTO person (id, email, salary) VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email, salary = EXCLUDED.salary"
    with psycopg.connect(f"host=127.0.0.1 port={saves.port} user=saver dbname={DATABASE}", autocommit=True) as connection:
        shown = [connection.execute("SELECT salary FROM person WHERE id = %s", [key]).fetchone()[0] for key in (1, 2)]
        for cursor in (connection.cursor(), psycopg.ClientCursor(connection)):
            cursor.execute(upsert, (1, "a@example.org", shown[0]))
            cursor.execute(upsert, (2, "b@example.org", decimal.Decimal(70000)))
            cursor.execute(upsert, (3, "c@example.org", decimal.Decimal(70000)))
        found = [row[:2] + row[3:4] for row in stored(direct)]
        assert found == [(1, "a@example.org", STORED[0][3]), (2, "b@example.org", 70000), (3, "c@example.org", 70000)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="email is a mask"):
            connection.execute(upsert, (1, "a####@#######.###", 1))
