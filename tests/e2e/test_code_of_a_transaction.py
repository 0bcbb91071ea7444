"""Functions, types and operators that the caller's own transaction has made, or may have: nothing that is resolved by name is
taken for PostgreSQL's own before the catalog has been read again.

`mallory` is masked and may make schemas and functions. Each way is played in one message, in one transaction of several
messages, in one pipeline, and with a commit after each step.
"""

import pytest

from harness.wire import Closed, Raw, bind, execute, parse, query, sync

VALUE = b"jane@example.com"

SHOWS = "LANGUAGE sql AS 'SELECT $1'"
KEEPS = (
    "CREATE TABLE mallory.stash (a text)",
    "CREATE FUNCTION mallory.keep(v text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mallory.stash VALUES (v); RETURN 1; END $$",
)
NUM_NULLS = f"CREATE FUNCTION mallory.num_nulls(text) RETURNS text {SHOWS}"
ASKED = "SELECT num_nulls(email) FROM person"
FIRST = "SET search_path = mallory, pg_catalog, public"

WAYS = {
    "a function": [NUM_NULLS, ASKED],
    "a function, with its schema": [NUM_NULLS, "SELECT mallory.num_nulls(email) FROM person"],
    "a function, copied": [NUM_NULLS, "COPY (SELECT num_nulls(email) FROM person) TO STDOUT"],
    "a function, prepared before": ["PREPARE p AS SELECT num_nulls(email) FROM person", NUM_NULLS, "ANALYZE note", "EXECUTE p"],
    "a function, prepared": [NUM_NULLS, "PREPARE p2 AS SELECT num_nulls(email) FROM person", "EXECUTE p2"],
    "a function, by a cursor": ["BEGIN", NUM_NULLS, "DECLARE c CURSOR FOR SELECT num_nulls(email) FROM person", "FETCH ALL c"],
    "a function, into a table": [NUM_NULLS, "CREATE TEMP TABLE kept AS SELECT num_nulls(email) AS n FROM person", "SELECT n FROM kept"],
    "a function, by RETURNING": [NUM_NULLS, "UPDATE person SET city = city RETURNING num_nulls(email)"],
    "a function of the row": [
        "CREATE FUNCTION mallory.num_nulls(person) RETURNS text LANGUAGE sql AS 'SELECT ($1)::text'",
        "SELECT p.num_nulls FROM person p",
        "SELECT num_nulls(p) FROM person p",
    ],
    "a function, renamed": [
        f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}",
        "ALTER FUNCTION mallory.f(text) RENAME TO num_nulls",
        ASKED,
    ],
    "a routine, renamed": [f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}", "ALTER ROUTINE mallory.f RENAME TO num_nulls", ASKED],
    "a function, moved": [
        "CREATE SCHEMA mallory_2",
        f"CREATE FUNCTION mallory_2.num_nulls(text) RETURNS text {SHOWS}",
        "ALTER FUNCTION mallory_2.num_nulls(text) SET SCHEMA mallory",
        ASKED,
    ],
    "a schema, renamed": [
        "CREATE SCHEMA mallory_3",
        f"CREATE FUNCTION mallory_3.num_nulls(text) RETURNS text {SHOWS}",
        "ALTER SCHEMA mallory_3 RENAME TO mallory_2",
        "SET search_path = mallory_2, public",
        ASKED,
    ],
    "an aggregate": [
        "CREATE AGGREGATE mallory.count(text) (SFUNC = pg_catalog.textcat, STYPE = text, INITCOND = '')",
        "SELECT count(email) FROM person",
    ],
    "an aggregate, renamed": [
        "CREATE AGGREGATE mallory.g(text) (SFUNC = pg_catalog.textcat, STYPE = text, INITCOND = '')",
        "ALTER AGGREGATE mallory.g(text) RENAME TO count",
        "SELECT count(email) FROM person",
    ],
    "a DO": [f"DO $$ BEGIN CREATE FUNCTION mallory.num_nulls(text) RETURNS text {SHOWS}; END $$", ASKED],
    "a DO that renames": [
        f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}",
        "DO 'BEGIN ALTER FUNCTION mallory.f(text) RENAME TO num_nulls; END'",
        ASKED,
    ],
    "a function that makes one": [
        f"CREATE FUNCTION mallory.make() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE FUNCTION mallory.num_nulls(text) RETURNS text {SHOWS}; END $$",
        "SELECT mallory.make()",
        ASKED,
    ],
    "a function of several steps that makes one": [
        "DO $do$ BEGIN CREATE FUNCTION mallory.make() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE FUNCTION mallory.num_nulls(text) "
        "RETURNS text LANGUAGE sql AS 'SELECT $1'; END $$; END $do$",
        "SELECT mallory.make()",
        ASKED,
    ],
    "a procedure that makes one": [
        f"CREATE PROCEDURE mallory.make() LANGUAGE plpgsql AS $$ BEGIN CREATE FUNCTION mallory.num_nulls(text) RETURNS text {SHOWS}; END $$",
        "CALL mallory.make()",
        ASKED,
    ],
    "a DBA's procedure that makes one": ["CALL made_by_dba()", ASKED],
    "a DBA's function that makes one": ["SELECT made_by_dba_too()", ASKED],
    "a function that changes": [
        *KEEPS[:1],
        "CREATE FUNCTION mallory.f(v text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION mallory.f(v text) RETURNS int LANGUAGE sql AS 'INSERT INTO mallory.stash VALUES ($1) RETURNING 1'",
        "SELECT mallory.f(email) FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a function of two signatures": [
        *KEEPS[:1],
        "CREATE FUNCTION mallory.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION mallory.f(text) RETURNS int LANGUAGE sql AS 'INSERT INTO mallory.stash VALUES ($1) RETURNING 1'",
        "SELECT f(email) FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a function of two signatures, the other way round": [
        *KEEPS[:1],
        "CREATE FUNCTION mallory.f(text) RETURNS int LANGUAGE sql AS 'INSERT INTO mallory.stash VALUES ($1) RETURNING 1'",
        "CREATE FUNCTION mallory.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT f(email) FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a function that calls one that acts": [
        *KEEPS,
        "CREATE FUNCTION mallory.f(text) RETURNS int LANGUAGE sql AS 'SELECT mallory.keep($1)'",
        "SELECT f(email) FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a function that a filter takes for lower()": [
        *KEEPS,
        "CREATE FUNCTION mallory.lower(text) RETURNS text LANGUAGE sql AS 'SELECT mallory.keep($1)::text'",
        FIRST,
        "SELECT id FROM person WHERE lower(email) = 'x'",
        "SELECT a FROM mallory.stash",
    ],
    "a domain": [
        *KEEPS,
        "CREATE DOMAIN mallory.text AS pg_catalog.text CHECK (mallory.keep(value) = 1)",
        FIRST,
        "SELECT email::text FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a domain, called": [
        *KEEPS,
        "CREATE DOMAIN mallory.num_nulls AS text CHECK (mallory.keep(value) = 1)",
        "SELECT num_nulls(email) FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a domain, changed": [
        *KEEPS,
        "CREATE DOMAIN mallory.d AS text",
        "ALTER DOMAIN mallory.d ADD CHECK (mallory.keep(value) = 1)",
        "SELECT email::mallory.d FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "a domain, renamed": [
        *KEEPS,
        "CREATE DOMAIN mallory.d AS pg_catalog.text CHECK (mallory.keep(value) = 1)",
        "ALTER DOMAIN mallory.d RENAME TO text",
        FIRST,
        "SELECT email::text FROM person",
        "SELECT a FROM mallory.stash",
    ],
    "an operator, by DO": [
        *KEEPS,
        "CREATE FUNCTION mallory.eq(a text, b text) RETURNS bool LANGUAGE sql AS 'SELECT mallory.keep(a) = 1'",
        "DO $$ BEGIN CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.eq); END $$",
        FIRST,
        "SELECT id FROM person WHERE email = 'x'",
        "SELECT a FROM mallory.stash",
    ],
    "a cast, by DO": [
        *KEEPS,
        "CREATE TYPE mallory.t AS (a text)",
        "CREATE FUNCTION mallory.to_t(text) RETURNS mallory.t LANGUAGE sql AS 'SELECT ROW(mallory.keep($1)::text)::mallory.t'",
        "DO $$ BEGIN CREATE CAST (text AS mallory.t) WITH FUNCTION mallory.to_t(text); END $$",
        "SELECT email::mallory.t FROM person",
        "SELECT a FROM mallory.stash",
    ],
}

MODES = ("one message", "one transaction", "one pipeline", "prepared in a pipeline", "committed")


def everything(frames) -> bytes:
    return b"".join(one.body for one in frames if one.tag in "DdENASV")


def extended(sql: str, name: str = "") -> bytes:
    return parse(name, sql) + bind("", name) + execute()


def played(client: Raw, steps: list[str], mode: str) -> list:
    if mode == "one message":
        return client.ask(query("; ".join(steps)))
    if mode == "one pipeline":
        return client.ask(b"".join(extended(sql) for sql in steps) + sync())
    if mode == "prepared in a pipeline":
        # All but the last are there before the last is parsed, and it is run again when all of them have run.
        client.ask(parse("asked", steps[-1]) + sync())
        return client.ask(b"".join(extended(sql) for sql in steps) + bind("", "asked") + execute() + sync())
    got = client.ask(query("BEGIN")) if mode == "one transaction" else []
    for sql in steps:
        got += client.ask(query(sql))
    return got


def done(client: Raw, sql: str) -> None:
    got = client.ask(query(sql))
    assert [one.fields() for one in got if one.tag == "E"] == []


@pytest.fixture(scope="module")
def root(pg):
    """A connection of the superuser, past pgveil."""
    client = Raw("127.0.0.1", pg.port)
    client.login("postgres", "people")
    done(client, "CREATE ROLE mallory LOGIN IN ROLE support; ALTER ROLE mallory SET search_path = mallory, public; GRANT CREATE ON DATABASE people TO mallory")
    done(
        client,
        "CREATE PROCEDURE made_by_dba() LANGUAGE plpgsql AS $p$ BEGIN CREATE FUNCTION mallory.num_nulls(text) RETURNS text LANGUAGE sql AS 'SELECT $1'; END $p$;"
        "CREATE FUNCTION made_by_dba_too() RETURNS void LANGUAGE plpgsql AS $p$ BEGIN CALL made_by_dba(); END $p$",
    )
    yield client
    done(client, "DROP PROCEDURE made_by_dba; DROP FUNCTION made_by_dba_too; DROP OWNED BY mallory CASCADE; DROP ROLE mallory")
    client.close()


@pytest.fixture
def mallory(front, root):
    done(root, "CREATE SCHEMA mallory AUTHORIZATION mallory")
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("mallory", "people")
    # The catalog is read again: it has what was made since.
    client.ask(query("BEGIN; CREATE TABLE mallory.read_again (); ROLLBACK"))
    client.ask(query("SELECT 1 FROM person"))
    yield client
    client.close()
    done(root, "DROP SCHEMA mallory CASCADE; DROP SCHEMA IF EXISTS mallory_2, mallory_3 CASCADE")


@pytest.mark.proxy
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", sorted(WAYS))
def test_code_of_the_callers_own_is_never_taken_for_postgresqls(mallory, way, mode):
    try:
        got = played(mallory, WAYS[way], mode)
    except Closed:
        got = mallory.frames
    assert VALUE not in everything(got)
    assert VALUE.hex().encode() not in everything(got)


# What is made has nothing to do with what is asked.
GOES_ON = {
    "another name": [f"CREATE FUNCTION mallory.other(text) RETURNS text {SHOWS}", "SELECT count(email) FROM person"],
    "PostgreSQL's own, by its schema": ["DO $$ BEGIN PERFORM 1; END $$", "SELECT sum(pg_catalog.num_nulls(email)) + 3 FROM person"],
    "a DO that makes nothing": ["DO $$ BEGIN PERFORM 1; END $$", "SELECT count(email) FROM person"],
    "a DO that makes a table": ["DO $$ BEGIN CREATE TABLE mallory.t (a int); END $$", "SELECT count(email) FROM person"],
    "a type": ["CREATE TYPE mallory.mood AS ENUM ('a')", "ALTER TYPE mallory.mood ADD VALUE 'b'", "SELECT count(email) FROM person"],
    "a filter": [f"CREATE FUNCTION mallory.other(text) RETURNS text {SHOWS}", "SELECT 4 FROM person WHERE email = 'oc@example.org'"],
}


@pytest.mark.proxy
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "prepared in a pipeline"])
@pytest.mark.parametrize("way", sorted(GOES_ON))
def test_what_has_another_name_means_what_it_did(mallory, way, mode):
    got = played(mallory, GOES_ON[way], mode)
    assert [one.fields() for one in got if one.tag == "E"] == []
    assert [one.cells() for one in got if one.tag == "D"][-1] == [b"4"]
