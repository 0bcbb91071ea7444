"""Cursors and prepared statements that touch nothing tagged go on as without pgveil, whatever else changes; the others stay masked."""

import itertools
import time
from contextlib import suppress

import pytest

from conftest import HERE
from harness.wire import Closed, Raw, bind, close, describe, execute, parse, query, sync

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


EXPLAINED = [
    ("SELECT label FROM town WHERE id < $1 ORDER BY id", "EXPLAIN (COSTS off) EXECUTE p(3)"),
    ("SELECT label FROM town WHERE id < $1 ORDER BY id", "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE p(NULL)"),
    ("SELECT t.label FROM town t LEFT JOIN town u USING (id) WHERE u.label = $1", "explain verbose execute p(upper('a') || 'b')"),
    ("UPDATE town SET label = $1 WHERE id = 1 RETURNING label", "EXPLAIN EXECUTE p('it''s')"),
    ("SELECT label FROM town", "EXPLAIN EXECUTE p(1)"),
    ("SELECT 1 / 0", "EXPLAIN EXECUTE p"),
]


@pytest.mark.parametrize(("text", "explain"), EXPLAINED)
@pytest.mark.parametrize("by_sql", [True, False])
def test_what_was_prepared_over_nothing_tagged_can_be_explained_by_every_protocol(clients, text, explain, by_sql):
    def played(session: Raw) -> list:
        make = query(f"PREPARE p AS {text}") if by_sql else parse("p", text) + sync()
        answers = [session.ask(make), session.ask(parse("q", explain) + describe("S", "q") + sync())]
        answers += [session.ask(bind("", "q") + describe("P", "") + execute() + sync()) for _ in range(2)]
        answers.append(session.ask(parse("", explain) + bind("", "") + execute() + bind("", "q") + execute() + sync()))
        return [[(one.tag, one.body) for one in answer] for answer in answers]

    assert played(clients()) == played(clients(None))


TAGGED = "SELECT email FROM person WHERE id = 1"
EXPLAIN = parse("q", "EXPLAIN (VERBOSE) EXECUTE p")
RUN = bind("", "q") + execute()


# Where `p` stands for what reads a tagged column: before, since the EXPLAIN was parsed, since it was bound, and in one flight with it.
@pytest.mark.parametrize("flights", [
    [parse("p", TAGGED) + sync(), EXPLAIN + RUN + sync()],
    [parse("p", TAGGED) + EXPLAIN + RUN + sync()],
    [query(f"PREPARE p AS {TAGGED}") + EXPLAIN + RUN + sync()],
    [parse("p", "SELECT 1") + EXPLAIN + sync(), close("S", "p") + parse("p", TAGGED) + sync(), RUN + sync()],
    [parse("p", "SELECT 1") + EXPLAIN + sync(), close("S", "p") + parse("p", TAGGED) + RUN + sync()],
    [parse("p", "SELECT 1") + EXPLAIN + sync(), query(f"DEALLOCATE p; PREPARE p AS {TAGGED}"), RUN + sync()],
    [query("BEGIN"), parse("p", "SELECT 1") + EXPLAIN + bind("x", "q") + sync(), close("S", "p") + parse("p", TAGGED) + sync(), execute("x") + sync()],
    [parse("p", "SELECT 1") + EXPLAIN + bind("x", "q") + close("S", "p") + parse("p", TAGGED) + execute("x") + sync()],
    [parse("p", "SELECT 1") + EXPLAIN + sync(), close("S", "p") + parse("p", TAGGED) + sync(), query("EXECUTE q")],
    [parse("p", TAGGED) + sync(), query("EXPLAIN VERBOSE EXECUTE p")],
    [parse("p", "SELECT email AS \"QUERY PLAN\" FROM person WHERE id = 1") + EXPLAIN + RUN + sync()],
])
def test_the_plan_of_what_reads_a_tagged_column_is_not_shown(clients, flights):
    def answers(session: Raw) -> bytes:
        # Where the name changes between Bind and Execute the session ends.
        with suppress(Closed):
            for flight in flights:
                session.send(flight)
                for _ in range(flight.count(sync()) + flight.startswith(b"Q")):
                    session.until("Z")
        return b"".join(one.body for one in session.frames if one.tag in "DE")

    assert b"public.person" in answers(clients(None)), "the server shows it"
    assert b"person" not in (shown := answers(clients())), shown


@pytest.mark.parametrize("explain", ["EXPLAIN ANALYZE EXECUTE p", "EXPLAIN (\"analyze\") EXECUTE p", "EXPLAIN (\"analyze\") " + TAGGED, "EXPLAIN (U&\"\\0061nalyze\") " + TAGGED])
def test_how_many_rows_there_were_is_not_said(clients, explain):
    for prepared in ("SELECT 1", TAGGED):
        session = clients()
        session.ask(parse("p", prepared) + sync())
        said = simple(session, explain) if prepared == TAGGED else b""
        assert b"actual" not in said + extended(session, explain)


def test_the_arguments_of_what_is_explained_show_nothing(clients):
    owner, session = clients(None), clients()
    simple(owner, "CREATE OR REPLACE FUNCTION first_email() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT email FROM person WHERE id = 1'; GRANT EXECUTE ON FUNCTION first_email TO support")
    for explain in ("EXPLAIN EXECUTE p(first_email())", "EXPLAIN (VERBOSE) EXECUTE p(pg_temp.made())"):
        session.ask(query("CREATE FUNCTION pg_temp.made() RETURNS text LANGUAGE sql AS 'SELECT first_email()'"))
        session.ask(query("PREPARE p(text) AS SELECT label FROM town WHERE label = $1"))
        assert VALUE not in simple(session, explain) + extended(session, explain), explain


@pytest.mark.parametrize("by_sql", [True, False])
@pytest.mark.parametrize("when", ["before", "bound", "executed"])
def test_what_is_executed_by_name_is_followed_when_a_function_becomes_another(clients, by_sql, when):
    """The change comes before the Bind, between that and the Execute, or while that waits for a lock."""
    owner, session = clients(None), clients()
    becomes = "CREATE OR REPLACE FUNCTION shown(int) RETURNS text STABLE LANGUAGE sql AS '{}'; GRANT EXECUTE ON FUNCTION shown TO support".format
    simple(owner, becomes("SELECT ''town'' || $1"))
    text = "SELECT shown(id) FROM town"
    session.ask(query(f"PREPARE p AS {text}") if by_sql else parse("p", text) + sync())
    session.ask(parse("e", "EXECUTE p") + sync())
    assert b"town1" in b"".join(one.body for one in session.ask(bind("", "e") + execute() + sync()))
    session.ask(query("BEGIN"))
    if when == "bound":
        session.ask(bind("x", "e") + sync())
    run = (b"" if when == "bound" else bind("x", "e")) + execute("x") + sync()
    if when == "executed":
        simple(owner, "BEGIN; LOCK TABLE town")
        session.send(run)
        time.sleep(1)
        simple(owner, becomes("SELECT email FROM person WHERE id = 1") + "; COMMIT")
    else:
        simple(owner, becomes("SELECT email FROM person WHERE id = 1"))
        session.send(run)
    with suppress(Closed):
        session.until("Z")
    session.close()
    assert VALUE not in (said := b"".join(one.body for one in session.frames)), said
