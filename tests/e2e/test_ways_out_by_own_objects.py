"""Ways out that need objects of the caller's own, or that change how later statements are read.

`mallory` is masked and owns a schema, as many application users do. As in `test_ways_out`, whatever comes back must not
hold the value, whether a statement is refused or not.
"""

import pytest

from harness.wire import Closed, Raw, bind, execute, flush, frame, parse, query, sync

VALUE = b"jane@example.com"

READS = "DECLARE x text; BEGIN EXECUTE 'SELECT em'||'ail FROM per'||'son WHERE id=1' INTO x; RETURN x; END"
KEEPS = (
    "CREATE TABLE mallory.stash (a text)",
    "CREATE FUNCTION mallory.keep(v text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mallory.stash VALUES (v); RETURN 1; END $$",
)


def made(head: str, *carriers: str) -> list[str]:
    """A function that is harmless while something is made that calls it, and is not afterwards."""
    return [
        f"CREATE FUNCTION {head} LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        *carriers,
        f"CREATE OR REPLACE FUNCTION {head} LANGUAGE plpgsql AS $$ {READS} $$",
    ]


# Each statement commits by itself. NAME is another one in each test: pgveil may still remember the last.
WAYS = {
    "EXECUTE with a call": [
        "PREPARE q(text) AS SELECT $1",
        "EXECUTE q(query_to_xml('select email from person where id=1',true,true,'')::text)",
    ],
    "a function that keeps its argument": [*KEEPS, "SELECT mallory.keep(email) FROM person WHERE id = 1", "SELECT a FROM mallory.stash"],
    "a function that keeps a row": [
        KEEPS[0],
        "CREATE FUNCTION mallory.keep(v anyelement) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mallory.stash VALUES (v::text); RETURN 1; END $$",
        "SELECT mallory.keep(p) FROM person p WHERE id = 1",
        "SELECT a FROM mallory.stash",
    ],
    "a counted function": [*KEEPS, "SELECT count(mallory.keep(email)) FROM person", "SELECT a FROM mallory.stash"],
    "an equality sign of one's own": [
        KEEPS[0],
        "CREATE FUNCTION mallory.eq(a text, b text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mallory.stash VALUES (a); RETURN true; END $$",
        "CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.eq)",
        "SET search_path = mallory, pg_catalog, public",
        "SELECT id FROM person WHERE email = 'x'",
        "SELECT a FROM mallory.stash",
    ],
    "a domain's check": [
        *KEEPS,
        "CREATE DOMAIN mallory.d AS text CHECK (mallory.keep(value) = 1)",
        "SELECT email::mallory.d FROM person WHERE id = 1",
        "SELECT a FROM mallory.stash",
    ],
    "a type named text": [
        *KEEPS,
        "CREATE DOMAIN mallory.text AS pg_catalog.text CHECK (mallory.keep(value) = 1)",
        "SET search_path = mallory, pg_catalog, public",
        "SELECT email::text FROM person WHERE id = 1",
        "SELECT a FROM mallory.stash",
    ],
    "an operator": [
        *made("mallory.NAME(a int, b int) RETURNS text", "CREATE OPERATOR mallory.@@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = mallory.NAME)"),
        "SELECT 1 OPERATOR(mallory.@@@) 2",
    ],
    "a column default": [
        *made("mallory.NAME() RETURNS text", "CREATE TABLE mallory.t (id int, x text DEFAULT mallory.NAME())"),
        "INSERT INTO mallory.t VALUES (1)",
        "SELECT x FROM mallory.t",
    ],
    "a trigger": [
        "CREATE FUNCTION mallory.NAME() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TABLE mallory.t (x text)",
        "CREATE TRIGGER g BEFORE INSERT ON mallory.t FOR EACH ROW EXECUTE FUNCTION mallory.NAME()",
        "CREATE OR REPLACE FUNCTION mallory.NAME() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT em'||'ail FROM per'||'son WHERE id=1' INTO NEW.x; RETURN NEW; END $$",
        "INSERT INTO mallory.t VALUES ('a') RETURNING x",
    ],
    "an aggregate": [
        *made("mallory.NAME(a text, b int) RETURNS text", "CREATE AGGREGATE mallory.agg(int) (SFUNC = mallory.NAME, STYPE = text)"),
        "SELECT mallory.agg(1)",
    ],
    "a cast": [
        "CREATE TYPE mallory.c AS (a text)",
        *made("mallory.NAME(mallory.c) RETURNS text", "CREATE CAST (mallory.c AS text) WITH FUNCTION mallory.NAME(mallory.c)"),
        "SELECT ROW('x')::mallory.c::text",
    ],
    "a rule": [
        "CREATE TABLE mallory.t (x text)",
        *made("mallory.NAME() RETURNS text", "CREATE RULE r AS ON INSERT TO mallory.t DO ALSO SELECT mallory.NAME()"),
        "INSERT INTO mallory.t VALUES ('a')",
    ],
    "a check that raises": [
        "CREATE FUNCTION mallory.NAME() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$",
        "CREATE TABLE mallory.t (a int CHECK (mallory.NAME()))",
        "CREATE OR REPLACE FUNCTION mallory.NAME() RETURNS bool LANGUAGE plpgsql AS $$ DECLARE x text; BEGIN EXECUTE 'SELECT em'||'ail FROM per'||'son WHERE id=1' INTO x; RAISE EXCEPTION '%', x; END $$",
        "INSERT INTO mallory.t VALUES (1)",
    ],
    "a name that is known": [
        "BEGIN",
        f"CREATE FUNCTION mallory.body() RETURNS text LANGUAGE plpgsql AS $$ {READS} $$",
        "SELECT body()",
        "ROLLBACK",
    ],
    "a name that is known, in a DO": [
        "BEGIN",
        f"CREATE FUNCTION mallory.body() RETURNS text LANGUAGE plpgsql AS $$ {READS} $$",
        "DO $$ BEGIN RAISE NOTICE '%', body(); END $$",
        "ROLLBACK",
    ],
    "a name that is known, called": [
        "BEGIN",
        "CREATE PROCEDURE mallory.body(INOUT x text) LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT em'||'ail FROM per'||'son WHERE id=1' INTO x; END $$",
        "CALL body('')",
        "ROLLBACK",
    ],
    "a name that is not known, not understood": [
        "BEGIN",
        f"CREATE FUNCTION mallory.unheard() RETURNS text LANGUAGE plpgsql AS $$ {READS} $$",
        "SELECT mallory.unheard() ORDER BY 1 USING ~<~",
        "ROLLBACK",
    ],
    "a default of the transaction, copied": [
        "BEGIN",
        f"CREATE FUNCTION mallory.unheard() RETURNS text LANGUAGE plpgsql AS $$ {READS} $$",
        "CREATE TABLE mallory.t (x text DEFAULT mallory.unheard())",
        "INSERT INTO mallory.t DEFAULT VALUES",
        "COPY mallory.t TO STDOUT",
        "ROLLBACK",
    ],
    "a function that reads a cursor": [
        "CREATE FUNCTION mallory.NAME(c refcursor) RETURNS text LANGUAGE plpgsql AS $$ DECLARE x text; BEGIN FETCH c INTO x; RETURN x; END $$",
        "BEGIN",
        "DECLARE c1 CURSOR FOR SELECT email FROM person WHERE id = 1",
        "SELECT mallory.NAME('c1')",
        "ROLLBACK",
    ],
    "an escaped identifier two strings deep": [
        'DO $$ BEGIN CREATE FUNCTION mallory.NAME() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN (SELECT email FROM U&"\\0070erson" WHERE id = 1); END $f$; END $$',
        "SELECT mallory.NAME()",
    ],
    "strings that escape, by DO": [
        "DO $$ BEGIN SET standard_conforming_strings = off; END $$",
        "SELECT '\\', ' , email||$$$$ FROM person WHERE id=1 --'",
    ],
    "strings that escape, by set_config()": [
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SELECT '\\', ' , email||$$$$ FROM person WHERE id=1 --'",
    ],
    "strings that escape, by pg_settings": [
        "UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'",
        "SELECT '\\', ' , email||$$$$ FROM person WHERE id=1 --'",
    ],
    "two updates of a statement": [
        "PREPARE q(text) AS INSERT INTO note VALUES (77, $1)",
        "EXECUTE q(query_to_xml('select email from person where id=1',true,true,'')::text)",
        "SELECT body FROM note WHERE id = 77",
    ],
}


def everything(frames) -> bytes:
    return b"".join(one.body for one in frames if one.tag in "DdENASV")


@pytest.fixture
def mallory(front, pg):
    target = front("people.yaml")
    pg.psql(
        "CREATE ROLE mallory LOGIN IN ROLE support; CREATE SCHEMA mallory AUTHORIZATION mallory;"
        "ALTER ROLE mallory SET search_path = mallory, public",
        database="people",
    )
    client = Raw(target.host, target.port)
    client.login("mallory", "people")
    yield client
    client.close()
    pg.psql("DELETE FROM note WHERE id > 2; DROP SCHEMA mallory CASCADE; DROP OWNED BY mallory; DROP ROLE mallory", database="people")


@pytest.mark.proxy
@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_object_of_ones_own_lets_the_value_out(mallory, way, protocol):
    name = f"f_{sorted(WAYS).index(way)}_{protocol}"
    for number, sql in enumerate(WAYS[way]):
        sql = sql.replace("NAME", name)
        try:
            if protocol == "simple":
                got = mallory.ask(query(sql))
            else:
                statement = f"s{number}"
                got = mallory.ask(parse(statement, sql) + bind("", statement) + execute() + sync())
        except Closed:
            assert VALUE not in everything(mallory.frames), sql
            return
        assert VALUE not in everything(got), sql
        assert VALUE.hex().encode() not in everything(got), sql


@pytest.mark.proxy
def test_a_condition_of_copy_does_not_quote_the_value(mallory):
    mallory.ask(query("CREATE TABLE mallory.t (a text)"))
    mallory.send(query("COPY mallory.t FROM STDIN WHERE query_to_xml('select email from person where id=1',true,true,'')::text::int = 1"))
    got = [mallory.next()]
    if got[0].tag == "G":
        mallory.send(frame("d", b"a\n") + frame("c"))
    while got[-1].tag != "Z":
        got.append(mallory.next())
    assert VALUE not in everything(got)


# One string for UTF-8; in SJIS the backslash is half of a character, and the string ends before the comma.
TWO_READINGS = b"SELECT E'\xe3\x81\x83\\' , email||$$$$ FROM person WHERE id=1 --'\0"


@pytest.mark.proxy
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_an_encoding_changed_in_the_same_flight_does_not_change_the_reading(mallory, protocol):
    change = "SET client_encoding = 'SJIS'"
    try:
        if protocol == "simple":
            got = mallory.ask(query(change) + frame("Q", TWO_READINGS), "Z", "Z")
        else:
            got = mallory.ask(parse("", change) + bind("", "") + execute() + flush(), "C")
            got += mallory.ask(frame("P", b"\0" + TWO_READINGS + b"\0\0") + bind("", "") + execute() + sync())
    except Closed:
        got = mallory.frames
    assert VALUE not in everything(got)


@pytest.mark.proxy
def test_a_statement_prepared_in_sql_is_judged_as_the_catalog_is_now(own_front, pg):
    target = own_front("people.yaml")
    pg.psql("CREATE VIEW shown AS SELECT 'clean'::text AS x; GRANT SELECT ON shown TO support", database="people")
    try:
        client = Raw(target.host, target.port)
        client.login("sam", "people")
        client.ask(query("PREPARE k AS SELECT x FROM shown"))
        pg.psql("CREATE OR REPLACE VIEW shown AS SELECT (email||'')::text AS x FROM person WHERE id = 1", database="people")
        # Whatever pgveil changes itself makes it read the catalog again.
        client.ask(query("CREATE TEMP TABLE again ()"))
        assert VALUE not in everything(client.ask(query("SELECT x FROM shown")))
        assert VALUE not in everything(client.ask(query("EXECUTE k")))
        client.close()
    finally:
        pg.psql("DROP VIEW shown", database="people")


ORACLES = {
    "an equality sign that means less": [
        "CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.text_lt)",
        "SET search_path = mallory, pg_catalog, public",
        "SELECT 1 FROM person WHERE id OPERATOR(pg_catalog.=) 1 AND email = '{}'",
    ],
    "division by zero": ["SELECT CASE WHEN email < '{}' THEN 1/(id-1) END FROM person WHERE id = 1"],
    "a domain's check": [
        "CREATE DOMAIN mallory.i AS text CHECK (value < 'i')",
        "CREATE DOMAIN mallory.k AS text CHECK (value < 'k')",
        "SELECT email::mallory.{} FROM person WHERE id = 1",
    ],
    "a notification": [
        "LISTEN told",
        "SELECT CASE WHEN email < '{}' THEN pg_notify('told', 'yes') END FROM person WHERE id = 1",
    ],
    "a range": ["SELECT id FROM person WHERE email < '{}'"],
    "a window frame": ["SELECT count(*) OVER (ROWS (SELECT 1 FROM person WHERE id = 1 AND email < '{}') PRECEDING) FROM note"],
    "a limit": ["SELECT 1 FROM note LIMIT (SELECT ascii(email) - ascii('{}') + 3 FROM person WHERE id = 1)"],
    "a count": ["SELECT count(CASE WHEN email < '{}' THEN 1 END) FROM person WHERE id = 1"],
    "a test for NULL": ["SELECT (CASE WHEN email < '{}' THEN 1 END) IS NULL FROM person WHERE id = 1"],
}


@pytest.mark.proxy
@pytest.mark.parametrize("oracle", sorted(ORACLES))
def test_no_order_is_told_by_equality(mallory, oracle):
    """`jane...` lies between `i` and `k`: what comes back must be the same for both."""
    *before, asked = ORACLES[oracle]
    for sql in before:
        mallory.ask(query(sql))
    answers = []
    for bound in ("i", "k"):
        got = mallory.ask(query(asked.format(bound)))
        # The text of an error may quote the statement; that it is one, and which, counts.
        answers.append([one.fields()["C"] if one.tag in "EN" else one.body for one in got if one.tag in "DENA"])
    assert answers[0] == answers[1]
