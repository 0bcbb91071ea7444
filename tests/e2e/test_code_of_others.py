"""Code that another session changes under a name that this one uses, and code of a masked caller's own that code of others
calls: neither is handed values, nor taken for what had the name before.

`mallory` is masked, may make schemas and functions, and has two sessions. The `maker` commits; the `asker` asks just
after, or has asked before in a message that the server comes to later. The functions and tables of `dba` are what such
callers meet in real databases: triggers, checks and functions that call a helper which the application's own role owns.
"""

import time

import pytest

from harness.wire import Closed, Raw, bind, execute, parse, query, sync

VALUE = b"jane@example.com"

SHOWS = "LANGUAGE sql AS 'SELECT $1'"
STASH = "CREATE TABLE mallory.stash (a text)"
KEEP = "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mallory.stash VALUES ($1); RETURN $1; END $$"
KEPT = "SELECT a FROM mallory.stash"
NUM_NULLS = f"CREATE FUNCTION mallory.num_nulls(text) RETURNS text {SHOWS}"
FIRST = "SET search_path = mallory, pg_catalog, public"

# What is there and read, what the maker commits, what the asker asks.
BETWEEN = {
    "a function of a name of PostgreSQL's": ([], [NUM_NULLS], ["SELECT num_nulls(email) FROM person"]),
    "a function of a name of PostgreSQL's, for a row": (
        [],
        ["CREATE FUNCTION mallory.num_nulls(person) RETURNS text LANGUAGE sql AS 'SELECT ($1)::text'"],
        ["SELECT num_nulls(p) FROM person p"],
    ),
    "a function, renamed": (
        [f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}"],
        ["ALTER FUNCTION mallory.f(text) RENAME TO num_nulls"],
        ["SELECT num_nulls(email) FROM person"],
    ),
    "an aggregate": (
        [],
        ["CREATE AGGREGATE mallory.count(text) (SFUNC = pg_catalog.textcat, STYPE = text, INITCOND = '')"],
        ["SELECT count(email) FROM person"],
    ),
    "a DO": ([], [f"DO $d$ BEGIN {NUM_NULLS}; END $d$"], ["SELECT num_nulls(email) FROM person"]),
    "a procedure": (
        [f"CREATE PROCEDURE mallory.make() LANGUAGE plpgsql AS $p$ BEGIN EXECUTE $e$ {NUM_NULLS} $e$; END $p$"],
        ["CALL mallory.make()"],
        ["SELECT num_nulls(email) FROM person"],
    ),
    "a DBA's procedure": ([], ["CALL others_made_by_dba()"], ["SELECT num_nulls(email) FROM person"]),
    "a DBA's function": ([], ["SELECT others_made_by_dba_too()"], ["SELECT num_nulls(email) FROM person"]),
    "a transaction that was prepared": (
        [],
        ["BEGIN", NUM_NULLS, "PREPARE TRANSACTION 'others'", "COMMIT PREPARED 'others'"],
        ["SELECT num_nulls(email) FROM person"],
    ),
    "a function that computed and acts": (
        [STASH, f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}"],
        [f"CREATE OR REPLACE FUNCTION mallory.f(text) RETURNS text {KEEP}"],
        ["SELECT f(email) FROM person", KEPT],
    ),
    "a function that computed and acts, made again": (
        [STASH, f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}"],
        ["DROP FUNCTION mallory.f(text)", f"CREATE FUNCTION mallory.f(text) RETURNS text {KEEP}"],
        ["SELECT f(email) FROM person", KEPT],
    ),
    "a function that computed and acts, another one": (
        [STASH, f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}", f"CREATE FUNCTION mallory.g(text) RETURNS text {KEEP}"],
        ["BEGIN", "ALTER FUNCTION mallory.f(text) RENAME TO h", "ALTER FUNCTION mallory.g(text) RENAME TO f", "COMMIT"],
        ["SELECT f(email) FROM person", KEPT],
    ),
    "a function that computed and acts, of a better signature": (
        [STASH, f"CREATE FUNCTION mallory.f(anyelement) RETURNS anyelement {SHOWS}"],
        [f"CREATE FUNCTION mallory.f(text) RETURNS text {KEEP}"],
        ["SELECT f(email) FROM person", KEPT],
    ),
    "a function that computed and calls what acts": (
        [STASH, f"CREATE FUNCTION mallory.k(text) RETURNS text {KEEP}", f"CREATE FUNCTION mallory.f(text) RETURNS text {SHOWS}"],
        ["CREATE OR REPLACE FUNCTION mallory.f(text) RETURNS text LANGUAGE sql AS 'SELECT mallory.k($1)'"],
        ["SELECT f(email) FROM person", KEPT],
    ),
    "a schema, renamed": (
        [
            STASH,
            "CREATE SCHEMA mallory_2",
            "CREATE SCHEMA mallory_3",
            f"CREATE FUNCTION mallory_2.f(text) RETURNS text {SHOWS}",
            f"CREATE FUNCTION mallory_3.f(text) RETURNS text {KEEP}",
        ],
        ["BEGIN", "ALTER SCHEMA mallory_2 RENAME TO mallory_4", "ALTER SCHEMA mallory_3 RENAME TO mallory_2", "COMMIT"],
        ["SELECT mallory_2.f(email) FROM person", KEPT],
    ),
    "a function, moved": (
        [
            STASH,
            "CREATE SCHEMA mallory_2",
            "CREATE SCHEMA mallory_3",
            f"CREATE FUNCTION mallory_2.f(text) RETURNS text {SHOWS}",
            f"CREATE FUNCTION mallory_3.f(text) RETURNS text {KEEP}",
        ],
        ["DROP FUNCTION mallory_2.f(text)", "ALTER FUNCTION mallory_3.f(text) SET SCHEMA mallory_2"],
        ["SELECT mallory_2.f(email) FROM person", KEPT],
    ),
    "a domain of a type's name": (
        [STASH, f"CREATE FUNCTION mallory.k(text) RETURNS text {KEEP}", FIRST],
        ["CREATE DOMAIN mallory.text AS pg_catalog.text CHECK (mallory.k(value) IS NOT NULL)"],
        ["SELECT email::text FROM person", KEPT],
    ),
    "a domain that tests": (
        [STASH, f"CREATE FUNCTION mallory.k(text) RETURNS text {KEEP}", "CREATE DOMAIN mallory.d AS text"],
        ["ALTER DOMAIN mallory.d ADD CHECK (mallory.k(value) IS NOT NULL)"],
        ["SELECT email::mallory.d FROM person", KEPT],
    ),
    "a function that was not there": ([STASH], [f"CREATE FUNCTION mallory.unheard(text) RETURNS text {KEEP}"], ["SELECT mallory.unheard(email) FROM person", KEPT]),
    "a type that was not there": (
        [STASH, f"CREATE FUNCTION mallory.k(text) RETURNS text {KEEP}"],
        ["CREATE DOMAIN mallory.unheard AS text CHECK (mallory.k(value) IS NOT NULL)"],
        ["SELECT email::mallory.unheard FROM person", KEPT],
    ),
    "a type that was another": (
        [STASH, f"CREATE FUNCTION mallory.k(text) RETURNS text {KEEP}", "CREATE TYPE mallory.d AS ENUM ('a')"],
        ["DROP TYPE mallory.d", "CREATE DOMAIN mallory.d AS text CHECK (mallory.k(value) IS NOT NULL)"],
        ["SELECT email::mallory.d FROM person", KEPT],
    ),
    "a domain whose function acts": (
        [
            STASH,
            f"CREATE FUNCTION mallory.k(text) RETURNS text {SHOWS}",
            "CREATE DOMAIN mallory.d AS text CHECK (mallory.k(value) IS NOT NULL)",
        ],
        [f"CREATE OR REPLACE FUNCTION mallory.k(text) RETURNS text {KEEP}"],
        ["SELECT email::mallory.d FROM person", KEPT],
    ),
}

# A helper of mallory's that code of the DBA's calls with values; how mallory changes it; what runs the DBA's code.
HELPER = f"CREATE OR REPLACE FUNCTION mallory.helper(text) RETURNS text {SHOWS}"
CALLERS = {
    "a trigger": (
        "CREATE FUNCTION others_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.city := coalesce(NEW.city, left(helper(NEW.email), 0)); RETURN NEW; END $$;"
        "CREATE TRIGGER others BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION others_trigger()",
        "DROP FUNCTION others_trigger CASCADE",
        "UPDATE person SET city = NULL WHERE id = 1",
    ),
    "a trigger, with the schema": (
        "CREATE FUNCTION others_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.city := left(mallory.helper(NEW.email), 0); RETURN NEW; END $$;"
        "CREATE TRIGGER others BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION others_trigger()",
        "DROP FUNCTION others_trigger CASCADE",
        "UPDATE person SET city = NULL WHERE id = 1",
    ),
    "a trigger's condition": (
        "CREATE FUNCTION others_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        "CREATE TRIGGER others BEFORE UPDATE ON person FOR EACH ROW WHEN (mallory.helper(NEW.email) IS NOT NULL) EXECUTE FUNCTION others_trigger()",
        "DROP FUNCTION others_trigger CASCADE",
        "UPDATE person SET city = NULL WHERE id = 1",
    ),
    "a check": (
        "ALTER TABLE person ADD CONSTRAINT others CHECK (email IS NULL OR mallory.helper(email) IS NOT NULL)",
        "ALTER TABLE person DROP CONSTRAINT IF EXISTS others",
        "UPDATE person SET city = NULL WHERE id = 1",
    ),
    "a policy of rows": (
        "CREATE POLICY others ON person TO mallory USING (email IS NULL OR mallory.helper(email) IS NOT NULL); ALTER TABLE person ENABLE ROW LEVEL SECURITY",
        "DROP POLICY IF EXISTS others ON person; ALTER TABLE person DISABLE ROW LEVEL SECURITY",
        "SELECT id FROM person",
    ),
    "a view": (
        "CREATE VIEW others_view AS SELECT id, mallory.helper(email) IS NULL AS missing FROM person; GRANT SELECT ON others_view TO mallory",
        "DROP VIEW IF EXISTS others_view",
        "SELECT missing FROM others_view",
    ),
    "a function of its definer": (
        "CREATE FUNCTION others_definer() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(mallory.helper(email)) FROM person'",
        "DROP FUNCTION others_definer",
        "SELECT others_definer()",
    ),
    "a function of its definer, in PL/pgSQL": (
        "CREATE FUNCTION others_definer() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM mallory.helper(email) FROM person; RETURN 1; END'",
        "DROP FUNCTION others_definer",
        "SELECT others_definer()",
    ),
    "an index": (
        "CREATE FUNCTION others_fixed(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN mallory.helper($1); END'; CREATE INDEX others ON person (others_fixed(email))",
        "DROP INDEX IF EXISTS others; DROP FUNCTION others_fixed",
        "UPDATE person SET email = email WHERE id = 1",
    ),
    "a generated column": (
        "CREATE FUNCTION others_fixed(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN left(mallory.helper($1), 0); END';"
        "ALTER TABLE person ADD COLUMN e text GENERATED ALWAYS AS (others_fixed(email)) STORED",
        "ALTER TABLE person DROP COLUMN e; DROP FUNCTION others_fixed",
        "UPDATE person SET email = email WHERE id = 1",
    ),
}
ACTS = f"CREATE OR REPLACE FUNCTION mallory.helper(text) RETURNS text {KEEP}"
CHANGES = {
    "replaced": [ACTS],
    "made again": ["DROP FUNCTION mallory.helper(text)", ACTS],
    "renamed": [ACTS.replace("mallory.helper", "mallory.other"), "ALTER FUNCTION mallory.helper RENAME TO old", "ALTER FUNCTION mallory.other RENAME TO helper"],
    "moved": [
        "CREATE SCHEMA mallory_2",
        ACTS.replace("mallory.helper", "mallory_2.helper"),
        "ALTER FUNCTION mallory.helper RENAME TO old",
        "ALTER FUNCTION mallory_2.helper(text) SET SCHEMA mallory",
    ],
    "another schema": [
        "CREATE SCHEMA mallory_2",
        ACTS.replace("mallory.helper", "mallory_2.helper"),
        "ALTER SCHEMA mallory RENAME TO mallory_3",
        "ALTER SCHEMA mallory_2 RENAME TO mallory",
    ],
    "by DO": [f"DO $d$ BEGIN {ACTS}; END $d$"],
    "in two steps": [
        f"CREATE FUNCTION mallory.later(text) RETURNS text {SHOWS}",
        "CREATE OR REPLACE FUNCTION mallory.helper(text) RETURNS text LANGUAGE sql AS 'SELECT mallory.later($1)'",
        ACTS.replace("mallory.helper", "mallory.later"),
    ],
    "of PostgreSQL's own": [
        ACTS.replace("mallory.helper(text)", "mallory.left(text, int)"),
        ACTS.replace("mallory.helper(text) RETURNS text", "mallory.length(text) RETURNS int").replace("RETURN $1", "RETURN 1"),
    ],
}


def everything(frames) -> bytes:
    return b"".join(one.body for one in frames if one.tag in "DdENASV")


def quiet(got) -> bool:
    seen = everything(got)
    return VALUE not in seen and VALUE.hex().encode() not in seen


def refused(got) -> bool:
    return any(one.fields()["M"].startswith("pgveil: ") for one in got if one.tag == "E")


def done(client: Raw, *steps: str) -> None:
    for sql in steps:
        got = client.ask(query(sql))
        assert [one.fields() for one in got if one.tag == "E"] == [], sql


def as_mallory(root: Raw, *steps: str) -> None:
    done(root, "SET SESSION AUTHORIZATION mallory", "SET search_path = mallory, public", *steps, "RESET SESSION AUTHORIZATION")


@pytest.fixture(scope="module")
def root(pg):
    """A connection of the superuser, past pgveil, to a database of these tests' own."""
    pg.psql("CREATE DATABASE others TEMPLATE people_template")
    client = Raw("127.0.0.1", pg.port)
    client.login("postgres", "others")
    done(
        client,
        "CREATE ROLE mallory LOGIN IN ROLE support; ALTER ROLE mallory SET search_path = mallory, public; GRANT CREATE ON DATABASE others TO mallory;"
        "GRANT UPDATE ON person TO mallory",
        "CREATE PROCEDURE others_made_by_dba() LANGUAGE plpgsql AS $p$ BEGIN CREATE FUNCTION mallory.num_nulls(text) RETURNS text LANGUAGE sql AS 'SELECT $1'; END $p$;"
        "CREATE FUNCTION others_made_by_dba_too() RETURNS void LANGUAGE plpgsql AS $p$ BEGIN CALL others_made_by_dba(); END $p$",
    )
    yield client
    done(
        client,
        "DROP PROCEDURE others_made_by_dba; DROP FUNCTION others_made_by_dba_too; DROP OWNED BY mallory CASCADE; DROP ROLE mallory",
    )
    client.close()


@pytest.fixture
def mallory(front, root):
    """Opens sessions of mallory's."""
    done(root, "CREATE SCHEMA mallory AUTHORIZATION mallory")
    target = front("people.yaml", database="others")
    opened = []

    def session() -> Raw:
        client = Raw(target.host, target.port)
        client.login("mallory", "others")
        opened.append(client)
        return client

    yield session
    for client in opened:
        client.close()
    done(root, "DROP SCHEMA IF EXISTS mallory, mallory_2, mallory_3, mallory_4 CASCADE")


def read_again(client: Raw) -> None:
    """Have pgveil read the catalog."""
    client.ask(query("BEGIN; CREATE TABLE read_again (); ROLLBACK"))
    client.ask(query("SELECT 1 FROM person"))


@pytest.mark.proxy
@pytest.mark.parametrize("when", ["at once", "before", "before, prepared"])
@pytest.mark.parametrize("way", sorted(BETWEEN))
def test_code_that_another_session_commits_is_not_taken_for_what_had_its_name(mallory, way, when):
    there, made, asked = BETWEEN[way]
    maker, asker = mallory(), mallory()
    for sql in there:
        maker.ask(query(sql))
    if FIRST in there:
        done(asker, FIRST)
    read_again(asker)
    got = []
    if when == "at once":
        for sql in made:
            maker.ask(query(sql))
        asker.send(query(asked[0]))
    elif when == "before":
        asker.send(query(f"SELECT pg_sleep(0.5); {asked[0]}"))
    else:
        asker.ask(query(f"PREPARE asked AS {asked[0]}"))
        asker.send(b"".join(parse("", sql) + bind("", "") + execute() for sql in ("SELECT pg_sleep(0.5)", "EXECUTE asked")) + sync())
    if when != "at once":
        time.sleep(0.1)
        for sql in made:
            maker.ask(query(sql))
    try:
        got += asker.until("Z")
        for sql in asked[1:]:
            got += asker.ask(query(sql))
    except Closed:
        got = asker.frames
    assert quiet(got)


@pytest.mark.proxy
@pytest.mark.parametrize("caller", sorted(CALLERS))
def test_a_helper_of_the_callers_own_is_not_changed_under_code_that_hands_it_values(mallory, root, caller):
    makes, drops, runs = CALLERS[caller]
    client = mallory()
    as_mallory(root, STASH, HELPER)
    done(root, "SET search_path = public, mallory", makes)
    try:
        for change, steps in CHANGES.items():
            # Some may drop it.
            as_mallory(root, HELPER)
            read_again(client)
            got = []
            for sql in steps:
                got += client.ask(query(sql))
            client.ask(query("CREATE TABLE IF NOT EXISTS mallory.stash (a text)"))
            got += client.ask(query(runs))
            got += client.ask(query(KEPT))
            assert quiet(got), change
            assert refused(got), change
    finally:
        done(root, drops)


# Code of the DBA's that stores values, in tables that it names without a schema or makes itself.
STORES = (
    "CREATE FUNCTION others_fill() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO others_dump SELECT email FROM person; END'",
    "CREATE FUNCTION others_make() RETURNS void LANGUAGE plpgsql AS 'BEGIN CREATE TEMP TABLE others_temp AS SELECT email AS a FROM person; END'",
    "CREATE FUNCTION others_calls() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM others_make(); END'",
    "CREATE TABLE others_audit (a text)",
    "GRANT INSERT ON others_audit TO mallory",
    "CREATE FUNCTION others_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO others_audit VALUES (OLD.email); RETURN NEW; END $$",
    "CREATE TRIGGER others BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION others_trigger()",
)
DROPS = "DROP FUNCTION others_fill, others_make, others_calls; DROP FUNCTION others_trigger CASCADE; DROP TABLE others_audit"
CAUGHT = {
    "a temporary table that a function fills": ["CREATE TEMP TABLE others_dump (a text)", "SELECT others_fill()", "SELECT a FROM others_dump"],
    "a temporary table that a function makes": ["SELECT others_make()", "SELECT a FROM others_temp"],
    "a temporary table that a function makes, in one message": ["SELECT others_calls(); SELECT a || '' FROM others_temp"],
    "a temporary table that a function makes, copied": ["SELECT others_calls()", "COPY others_temp TO STDOUT"],
    "a temporary table that a procedure makes": ["DO $$ BEGIN PERFORM others_make(); END $$", "SELECT upper(a) FROM others_temp"],
    "a temporary table in the place of another": ["CREATE TEMP TABLE others_audit (a text)"],
    "a table in the place of another": ["CREATE TABLE mallory.others_audit (a text)"],
    "a table in the place of another, renamed": ["CREATE TABLE mallory.x (a text)", "ALTER TABLE mallory.x RENAME TO others_audit"],
    "a view in the place of another": ["CREATE TEMP TABLE x (a text)", "CREATE TEMP VIEW others_audit AS SELECT a FROM x"],
    "a table in the place of another, by SELECT": ["SELECT 'x'::text AS a INTO TEMP others_audit"],
}


@pytest.mark.proxy
@pytest.mark.parametrize("way", sorted(CAUGHT))
def test_what_code_of_others_stores_is_not_caught_in_a_table_of_ones_own(mallory, root, way):
    done(root, "SET search_path = public", *STORES)
    try:
        client = mallory()
        read_again(client)
        got = []
        for sql in CAUGHT[way] + ["UPDATE person SET city = 'x' WHERE id = 1", "SELECT a FROM others_audit", "SELECT a FROM x"]:
            got += client.ask(query(sql))
        assert quiet(got)
        assert VALUE.upper() not in everything(got)
        assert refused(got)
    finally:
        done(root, DROPS)


TOUCH = "CREATE OR REPLACE FUNCTION mallory.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.city := NEW.city; RETURN NEW; END $$"

# What such callers do day by day.
GOES_ON = {
    "a new function": [f"CREATE FUNCTION mallory.brand_new(text) RETURNS text {KEEP}"],
    "a function that computes, made anew": [f"CREATE OR REPLACE FUNCTION mallory.plain(text) RETURNS text LANGUAGE sql AS 'SELECT upper($1)'"],
    "a function that acts, made anew": [ACTS.replace("mallory.helper", "mallory.acting").replace("RETURN $1", "RETURN NULL")],
    "a function that acts, dropped and made anew": ["DROP FUNCTION mallory.acting(text)", ACTS.replace("mallory.helper", "mallory.acting")],
    "the function of a trigger, as it is": [TOUCH],
    "the function of a trigger of one's own": [
        "CREATE TABLE mallory.mine (a text)",
        "CREATE FUNCTION mallory.t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TRIGGER t BEFORE INSERT ON mallory.mine FOR EACH ROW EXECUTE FUNCTION mallory.t()",
        "CREATE OR REPLACE FUNCTION mallory.t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := upper(NEW.a); RETURN NEW; END $$",
    ],
    "an altered function": ["ALTER FUNCTION mallory.plain(text) IMMUTABLE", "ALTER FUNCTION mallory.acting(text) RENAME TO acting_2"],
    "an enumeration made anew": [
        "CREATE TYPE mallory.mood AS ENUM ('a')",
        "CREATE TABLE mallory.moods (m mallory.mood)",
        "CREATE TYPE mallory.mood_new AS ENUM ('a', 'b')",
        "ALTER TABLE mallory.moods ALTER m TYPE mallory.mood_new USING m::text::mallory.mood_new",
        "ALTER TYPE mallory.mood RENAME TO mood_old",
        "ALTER TYPE mallory.mood_new RENAME TO mood",
        "DROP TYPE mallory.mood_old",
    ],
    "a renamed schema": ["CREATE SCHEMA mallory_2", "CREATE FUNCTION mallory_2.g() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ALTER SCHEMA mallory_2 RENAME TO mallory_3"],
}


@pytest.mark.proxy
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("way", sorted(GOES_ON))
def test_migrations_of_a_masked_owner_go_on(mallory, root, way, together):
    client = mallory()
    as_mallory(root, STASH, f"CREATE FUNCTION mallory.plain(text) RETURNS text {SHOWS}", ACTS.replace("mallory.helper", "mallory.acting"), TOUCH)
    done(root, "CREATE TRIGGER touch BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION mallory.touch()")
    try:
        read_again(client)
        if together:
            done(client, "; ".join(GOES_ON[way]))
        else:
            done(client, *GOES_ON[way])
    finally:
        done(root, "DROP TRIGGER touch ON person")


@pytest.mark.proxy
def test_a_name_that_is_not_there_is_the_servers_error(mallory):
    client = mallory()
    for sql, code in [("SELECT no_such(email) FROM person", "42883"), ("SELECT email::no_such FROM person", "42704")]:
        got = client.ask(query(sql))
        assert [one.fields()["C"] for one in got if one.tag == "E"] == [code]
