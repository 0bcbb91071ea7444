"""Cursors and prepared statements that touch nothing tagged go on as without pgveil, whatever else changes; the others stay masked."""

import itertools

import pytest

from conftest import HERE
from harness.wire import Raw, bind, execute, parse, query, sync

pytestmark = pytest.mark.proxy

VALUE = b"jane@example.com"
MASKED = b"j###@#######.###"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def clients(pg, front):
    """`client(user)`: a connection through pgveil to a database of this module's own; without a user, straight."""
    name = f"prepared_{next(NUMBERS)}"
    pg.psql(f"CREATE DATABASE {name}")
    tables = (HERE / "sql" / "people.sql").read_text(encoding="utf-8")
    pg.psql("\n".join(line for line in tables.splitlines() if not line.startswith("CREATE ROLE")), database=name)
    pg.psql("GRANT CREATE ON SCHEMA public TO support; CREATE TABLE town AS SELECT i AS id, 'town ' || i AS label FROM generate_series(1, 9) i;"
            "GRANT ALL ON town TO support;"
            "CREATE FUNCTION label(int) RETURNS text STABLE LANGUAGE sql AS 'SELECT ''label'' || $1'", database=name)
    target = front("people.yaml", database=name)
    made = []

    def client(user: str | None = "sam") -> Raw:
        one = Raw(target.host, target.port) if user else Raw(pg.host, pg.port)
        one.login(user or "postgres", name)
        made.append(one)
        return one

    yield client
    for one in made:
        one.close()


def simple(session: Raw, sql: str) -> bytes:
    """All that is answered but descriptions, which have object identifiers in them."""
    return b"".join(one.body for one in session.ask(query(sql)) if one.tag != "T")


def extended(session: Raw, sql: str) -> bytes:
    return b"".join(one.body for one in session.ask(parse("", sql) + bind("", "") + execute() + sync()))


def play(session: Raw, script: list[str]) -> list[bytes]:
    return [simple(session, sql) for sql in script]


CHANGES = ["CREATE TABLE another (id int)", "DROP TABLE another", "CREATE VIEW other_view AS SELECT id FROM town", "DROP VIEW other_view"]


@pytest.mark.parametrize("hold", [True, False])
def test_a_cursor_that_shows_nothing_tagged_goes_on_while_the_catalog_changes(clients, hold):
    session, other = clients(), clients(None)
    simple(session, "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT label FROM town ORDER BY id; COMMIT" if hold else
           "BEGIN; DECLARE c CURSOR FOR SELECT label FROM town ORDER BY id")
    for number, change in enumerate(CHANGES, start=1):
        simple(other, change)
        # The catalog is read again for a name that it does not have.
        simple(clients(), f"SELECT * FROM not_there_{number}_{hold}")
        assert f"town {number}".encode() in simple(session, "FETCH c")
    simple(session, "CLOSE c" if hold else "COMMIT")


def test_a_held_cursor_outlives_its_table(clients):
    session = clients()
    play(session, ["CREATE TABLE passing AS SELECT 'here'::text AS what", "BEGIN", "DECLARE h CURSOR WITH HOLD FOR SELECT what FROM passing", "COMMIT"])
    assert b"DROP TABLE" in simple(session, "DROP TABLE passing")
    assert b"here" in simple(session, "FETCH ALL IN h")


def test_a_cursor_over_a_function_is_masked_once_that_reads_a_tagged_column(clients):
    session, other = clients(), clients(None)
    simple(session, "BEGIN; DECLARE c CURSOR FOR SELECT label(id) FROM town ORDER BY id")
    assert b"label1" in simple(session, "FETCH c")
    simple(other, "CREATE OR REPLACE FUNCTION label(int) RETURNS text STABLE LANGUAGE sql AS 'SELECT email FROM person WHERE id = 1'")
    try:
        simple(clients(), "SELECT * FROM not_there_after_the_function")
        for _ in range(3):
            assert VALUE not in simple(session, "FETCH c")
    finally:
        simple(session, "ROLLBACK")
        simple(other, "CREATE OR REPLACE FUNCTION label(int) RETURNS text STABLE LANGUAGE sql AS 'SELECT ''label'' || $1'")


SAVEPOINTS = [
    ["BEGIN", "SAVEPOINT a", "DECLARE c CURSOR FOR SELECT label FROM town", "SAVEPOINT b", "FETCH c", "ROLLBACK TO b", "FETCH c", "RELEASE b", "FETCH c",
     "ROLLBACK TO a", "FETCH c", "ROLLBACK"],
    ["BEGIN", "SAVEPOINT a", "SAVEPOINT b", "DECLARE c CURSOR FOR SELECT label FROM town", "RELEASE b", "FETCH c", "SAVEPOINT b", "ROLLBACK TO b",
     "FETCH c", "ROLLBACK TO a", "FETCH c", "ROLLBACK"],
    ["BEGIN", "SAVEPOINT a", "DECLARE c CURSOR FOR SELECT 1 / (id - 2) FROM town", "SAVEPOINT a", "FETCH ALL c", "ROLLBACK TO a", "FETCH c", "ROLLBACK"],
]


@pytest.mark.parametrize("script", SAVEPOINTS)
def test_savepoints_treat_cursors_as_without_pgveil(clients, script):
    assert play(clients(), script) == play(clients(None), script)


# The cursor of a function takes the name of one that a rollback has closed.
@pytest.mark.parametrize("script", [
    ["BEGIN", "SAVEPOINT a", "DECLARE c CURSOR FOR SELECT label FROM town", "ROLLBACK TO a"],
    ["BEGIN", "SAVEPOINT a", "SAVEPOINT b", "DECLARE c CURSOR FOR SELECT label FROM town", "RELEASE b", "ROLLBACK TO a"],
    ["BEGIN", "SAVEPOINT a", "SAVEPOINT a", "RELEASE a", "DECLARE c CURSOR FOR SELECT label FROM town", "ROLLBACK TO a"],
])
def test_a_cursor_that_a_savepoint_took_with_it_is_forgotten(clients, script):
    owner = clients(None)
    simple(owner, "CREATE OR REPLACE FUNCTION opens(refcursor) RETURNS refcursor LANGUAGE plpgsql AS "
           "'BEGIN OPEN $1 FOR SELECT upper(email) FROM person; RETURN $1; END'; GRANT EXECUTE ON FUNCTION opens TO support")
    session = clients()
    play(session, script)
    simple(session, "SELECT opens('c')")
    assert VALUE.upper() not in simple(session, "FETCH ALL c")
    simple(session, "ROLLBACK")


PREPARED = [
    ["PREPARE p AS SELECT label FROM town WHERE id < $1 ORDER BY id", "EXPLAIN (COSTS off) EXECUTE p(3)", "EXPLAIN (COSTS off) EXECUTE p(1 + 2)",
     "CREATE TEMP TABLE kept AS EXECUTE p(3)", "SELECT * FROM kept", "DROP TABLE kept",
     "CREATE TEMP TABLE kept (what) AS EXECUTE p(3) WITH NO DATA", "SELECT what FROM kept", "DROP TABLE kept", "DEALLOCATE p"],
    ["PREPARE p (int, text) AS UPDATE town SET label = $2 WHERE id = $1", "EXPLAIN (COSTS off) EXECUTE p(1, 'it''s')", "EXECUTE p(9, 'town 9')"],
]


@pytest.mark.parametrize("script", PREPARED)
def test_what_was_prepared_over_nothing_tagged_can_be_explained_and_kept(clients, script):
    assert play(clients(), script) == play(clients(None), script)


@pytest.mark.parametrize("script", [
    ["PREPARE p AS SELECT email FROM person", "CREATE TEMP TABLE kept AS EXECUTE p"],
    ["PREPARE p AS SELECT email FROM person WHERE email LIKE $1", "EXPLAIN ANALYZE EXECUTE p('j%')"],
    ["PREPARE p AS SELECT 1", "DEALLOCATE p; PREPARE p AS SELECT email FROM person; CREATE TEMP TABLE kept AS EXECUTE p"],
    ["PREPARE p(text) AS SELECT $1", "CREATE TEMP TABLE kept AS EXECUTE p((SELECT email FROM person WHERE id = 1))"],
    ["PREPARE p AS SELECT label FROM town", "EXPLAIN CREATE TEMP TABLE execute AS EXECUTE p", "PREPARE \"as\" AS SELECT 1", "PREPARE q AS SELECT email FROM person",
     "EXPLAIN ANALYZE CREATE TEMP TABLE execute AS EXECUTE q", "CREATE TEMP TABLE kept AS TABLE execute"],
])
def test_what_was_prepared_over_tagged_columns_is_not_kept_in_clear(clients, script):
    session = clients()
    for sql in [*script, "SELECT * FROM kept", "SELECT upper(k::text) FROM kept k"]:
        answer = simple(session, sql)
        assert VALUE not in answer and VALUE.upper() not in answer, (sql, answer)


def test_a_name_is_looked_up_when_the_statement_runs(clients):
    """Prepared while the name stood for something else, or while its new meaning is on its way."""
    session = clients()
    simple(session, "PREPARE p AS SELECT label FROM town")
    session.ask(parse("keeps", "CREATE TEMP TABLE kept AS EXECUTE p") + sync())
    play(session, ["DEALLOCATE p", "PREPARE p AS SELECT email FROM person"])
    session.ask(bind("", "keeps") + execute() + sync())
    assert VALUE not in simple(session, "SELECT * FROM kept")
    play(session, ["DROP TABLE kept", "DEALLOCATE p", "PREPARE p AS SELECT label FROM town"])
    session.send(query("DEALLOCATE p") + query("PREPARE p AS SELECT email FROM person") + query("CREATE TEMP TABLE kept AS EXECUTE p"))
    for _ in range(3):
        session.until("Z")
    assert VALUE not in simple(session, "SELECT * FROM kept")
    assert VALUE not in extended(session, "SELECT upper(k::text) FROM kept k")
