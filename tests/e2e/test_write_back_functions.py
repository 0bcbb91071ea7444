"""Masks that come back as arguments: a function or procedure that may store into a tagged column is not given what is shown of it."""

import subprocess

import psycopg
import pytest

from harness.pgveil import Pgveil, binary

pytestmark = pytest.mark.proxy

DATABASE = "handed_back"

POLICY = """
version: 1
tags:
  email: { mask: email }
  name: { mask: full }
columns:
  person:
    email: email
    name: name
    phone: { tag: name, encrypted: { type: text, key: people, domain: phone, mode: randomized } }
roles:
  owners: { users: handed_boss, sees: { "*": clear } }
"""

SETUP = """
CREATE USER handed; CREATE USER handed_boss;
CREATE TABLE person (id int PRIMARY KEY, email text, name text, phone text, city text);
CREATE FUNCTION set_email(who int, what text) RETURNS void LANGUAGE sql AS 'UPDATE person SET email = $2 WHERE id = $1';
CREATE FUNCTION set_name(who int, what text) RETURNS void LANGUAGE sql AS 'UPDATE person SET name = what WHERE id = who';
CREATE FUNCTION rename(who int, what text) RETURNS int LANGUAGE sql AS 'SELECT set_name(who, trim(what)); SELECT who';
CREATE FUNCTION add_person(int, text, text) RETURNS int LANGUAGE sql AS 'INSERT INTO person (id, email, name) VALUES ($1, $2, $3) RETURNING id';
CREATE FUNCTION set_phone(who int, what text) RETURNS void LANGUAGE sql AS 'UPDATE person SET phone = $2 WHERE id = $1';
CREATE FUNCTION set_city(who int, what text) RETURNS void LANGUAGE sql AS 'UPDATE person SET city = $2 WHERE id = $1';
GRANT ALL ON person TO handed, handed_boss;
"""

# What stores, which column that is, and what it gets in the place of X. Functions in other languages, and procedures, that name protected tables are
# refused to who sees masks, whatever they are given.
CALLS = [
    ("SELECT set_email(1, X)", "email"),
    ("SELECT set_name(1, X)", "name"),
    ("SELECT set_name(who => 1, what => X)", "name"),
    ("SELECT set_name(1, CASE WHEN city = 'Rome' THEN X ELSE 'Joe' END) FROM person", "name"),
    ("SELECT * FROM rename(1, X)", "name"),
    ("SELECT add_person(7, 'new@example.org', X)", "name"),
    ("SELECT add_person(7, X, 'New')", "email"),
    ("SELECT set_phone(1, X)", "phone"),
]


@pytest.fixture(scope="module")
def front(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    pg.psql(SETUP, database=DATABASE)
    directory = tmp_path_factory.mktemp(DATABASE)
    (directory / "policy.yaml").write_text(POLICY, encoding="utf-8")
    proxy = Pgveil(pg, directory / "policy.yaml", {"keys": {"keyring": directory / "keyring.json", "kek_file": directory / "kek"}}, DATABASE)
    for command in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *command, "--config", proxy.config], check=True, capture_output=True)
    yield proxy.start()
    proxy.stop()


@pytest.fixture
def boss(front):
    with psycopg.connect(f"host=127.0.0.1 port={front.port} user=handed_boss dbname={DATABASE}", autocommit=True) as connection:
        connection.execute("DELETE FROM person")
        connection.execute("INSERT INTO person VALUES (1, 'jane@example.org', 'Jane Doe', '555', 'Rome')")
        yield connection


def stored(boss) -> list:
    return boss.execute("SELECT * FROM person ORDER BY id").fetchall()


@pytest.fixture
def masked(front):
    with psycopg.connect(f"host=127.0.0.1 port={front.port} user=handed dbname={DATABASE}", autocommit=True) as connection:
        yield connection


def call(connection, sql: str, value: str, way: str) -> None:
    if way == "literal":
        psycopg.ClientCursor(connection).execute(sql.replace("X", "%s"), (value,))
    elif way == "prepared":
        connection.execute("DEALLOCATE ALL")
        connection.execute("PREPARE one (text) AS " + sql.replace("X", "$1"))
        psycopg.ClientCursor(connection).execute("EXECUTE one (%s)", (value,))
    else:
        connection.execute(sql.replace("X", "%s::text"), (value,), binary=way == "binary")


WAYS = ["literal", "parameter", "binary", "prepared"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("sql", "column"), CALLS)
def test_a_mask_is_refused_and_a_value_is_stored(boss, masked, sql, column, way):
    before = stored(boss)
    shown = masked.execute(f"SELECT {column} FROM person WHERE id = 1").fetchone()[0]
    assert "#" in shown and "@" * (column == "email") in shown
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is a mask"):
        call(masked, sql, shown, way)
    assert stored(boss) == before
    call(masked, sql, "somebody@example.com", way)
    assert "somebody@example.com" in str(stored(boss))


@pytest.mark.parametrize("way", WAYS)
def test_other_functions_and_those_who_see_everything_give_what_they_like(boss, masked, way):
    call(masked, "SELECT set_city(1, X)", "#### ###", way)
    assert stored(boss)[0][4] == "#### ###"
    call(boss, "SELECT set_name(1, X)", "#### ###", way)
    assert stored(boss)[0][2] == "#### ###"
