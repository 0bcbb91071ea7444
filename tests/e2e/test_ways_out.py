"""Ways out of a database for a value that the caller may see masked only: none of them may let it through.

Each way is a list of statements that run one after another on one connection; whatever comes back to the client, in rows,
errors, notices or notifications, must not hold the value. Whether a way is refused or masked is not this test's question.
"""

import pytest

from harness.wire import Raw, bind, execute, parse, query, sync

VALUE = b"jane@example.com"

WAYS = {
    "DO update": [
        "DO $$ BEGIN UPDATE note SET body=(SELECT email FROM person WHERE id=1) WHERE id=1; END $$",
        "SELECT body FROM note WHERE id = 1",
    ],
    "DO notice": [
        "DO $$ DECLARE x text; BEGIN SELECT email INTO x FROM person WHERE id=1; RAISE NOTICE '%',x; END $$",
    ],
    "DO exception": [
        "DO $$ DECLARE x text; BEGIN SELECT email INTO x FROM person WHERE id=1; RAISE EXCEPTION '%',x; END $$",
    ],
    "DO dynamic": [
        "DO $$ BEGIN EXECUTE 'UPDATE no'||'te SET body=(SELECT email FROM per'||'son WHERE id=1) WHERE id=1'; END $$",
        "SELECT body FROM note WHERE id = 1",
    ],
    "DO, set_config()": [
        "DO $$ BEGIN PERFORM set_config('a.b',(SELECT email FROM person WHERE id=1),false); END $$",
        "SHOW a.b",
        "SELECT current_setting('a.b')",
    ],
    "set_config()": [
        "SELECT set_config('a.c',email,false) FROM person WHERE id = 1",
        "SHOW a.c",
    ],
    "a temporary function, plpgsql": [
        "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql AS $$ DECLARE x text; BEGIN SELECT email INTO x FROM person WHERE id=1; RETURN x; END $$",
        "SELECT pg_temp.f()",
    ],
    "a temporary function, SQL": [
        "CREATE FUNCTION pg_temp.g() RETURNS text LANGUAGE sql AS 'SELECT email FROM person WHERE id = 1'",
        "SELECT pg_temp.g()",
    ],
    "a temporary function, dynamic": [
        "CREATE FUNCTION pg_temp.h() RETURNS text LANGUAGE plpgsql AS $$ DECLARE x text; BEGIN EXECUTE 'SELECT em'||'ail FROM per'||'son WHERE id=1' INTO x; RETURN x; END $$",
        "SELECT pg_temp.h()",
    ],
    "query_to_xml()": [
        "SELECT query_to_xml('SELECT email FROM person',true,true,'')",
    ],
    "table_to_xml()": [
        "SELECT table_to_xml('person',true,true,'')",
    ],
    "pg_notify()": [
        "LISTEN q",
        "SELECT pg_notify('q',email) FROM person WHERE id = 1",
    ],
    "INSERT in a CTE": [
        "WITH w AS (INSERT INTO note SELECT 90,email FROM person WHERE id = 1 RETURNING body) SELECT body FROM w",
    ],
    "MERGE": [
        "MERGE INTO note USING person p ON note.id = p.id WHEN MATCHED THEN UPDATE SET body = p.email",
        "SELECT body FROM note WHERE id = 1",
    ],
    "UPDATE FROM": [
        "UPDATE note SET body = p.email FROM person p WHERE p.id = note.id",
        "SELECT body FROM note WHERE id = 1",
    ],
    "a failing cast": [
        "SELECT email::int FROM person WHERE id = 1",
    ],
    "a failing regclass": [
        "SELECT email::regclass FROM person WHERE id = 1",
    ],
    "a duplicate key": [
        "INSERT INTO person SELECT 1,full_name,email FROM person WHERE id = 1",
    ],
    "a large object": [
        "SELECT lo_from_bytea(987654, email::bytea) FROM person WHERE id = 1",
        "SELECT lo_get(987654)",
    ],
    "an alias END": [
        "SELECT 1 END, email FROM person WHERE id = 1",
    ],
    "an escaped identifier": [
        "SELECT U&\"\\0065mail\" FROM person WHERE id = 1",
    ],
    "ONLY": [
        "SELECT email FROM ONLY person WHERE id = 1",
    ],
    "TABLE": [
        "TABLE person",
    ],
    "(c).*": [
        "SELECT (p).* FROM person p WHERE id = 1",
    ],
    "email(p)": [
        "SELECT email(p) FROM person p WHERE id = 1",
    ],
    "json_populate_record()": [
        "SELECT * FROM json_populate_record(null::person,(SELECT row_to_json(p) FROM person p WHERE id = 1))",
    ],
    "unnest(array_agg())": [
        "SELECT unnest(array_agg(email)) FROM person WHERE id = 1",
    ],
    "VALUES": [
        "VALUES ((SELECT email FROM person WHERE id = 1))",
    ],
    "EXPLAIN VERBOSE": [
        "EXPLAIN (VERBOSE) SELECT * FROM person WHERE email = (SELECT max(email) FROM person)",
    ],
    "pg_stats": [
        "SELECT most_common_vals FROM pg_stats WHERE tablename='person' AND attname='email'",
    ],
    "all of pg_stats": [
        "SELECT * FROM pg_stats",
    ],
    "pg_statistic": [
        "SELECT stavalues1 FROM pg_statistic",
    ],
    "pg_stats, cast": [
        "SELECT histogram_bounds::text, most_common_vals::text::text[] FROM pg_stats",
    ],
    "DO reads a cursor": [
        "BEGIN",
        "DECLARE c1 CURSOR FOR SELECT email FROM person WHERE id = 1",
        "DO $$ DECLARE r refcursor:='c1'; x text; BEGIN FETCH r INTO x; RAISE NOTICE '%',x; END $$",
        "COMMIT",
    ],
    "standard_conforming_strings": [
        "SET standard_conforming_strings = off",
        "SELECT '\\',(SELECT 1), '",
        "SELECT '\\'' , email FROM person WHERE id = 1 --'",
    ],
    "COPY": [
        "COPY (SELECT 1) TO STDOUT",
        "COPY person TO STDOUT (FORMAT csv)",
        "COPY person(email) TO STDOUT (FORMAT binary)",
    ],
    "nextval()": [
        "SELECT nextval(email) FROM person",
    ],
    "format()": [
        "SELECT format('%s',p) FROM person p WHERE id = 1",
    ],
    "row as text": [
        "SELECT p::text FROM person p WHERE id = 1",
    ],
    "md5()": [
        "SELECT md5(email) FROM person WHERE id = 1",
    ],
    "pg_typeof()": [
        "SELECT pg_typeof(email) FROM person WHERE id = 1",
    ],
    "SET ROLE": [
        "SET ROLE billing",
        "SELECT email FROM person WHERE id = 1",
    ],
    "a trigger": [
        "CREATE TEMP TABLE tt(x text)",
        "CREATE FUNCTION pg_temp.tr() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.x := (SELECT email FROM person WHERE id=1); RETURN NEW; END $$",
        "CREATE TRIGGER t BEFORE INSERT ON tt FOR EACH ROW EXECUTE FUNCTION pg_temp.tr()",
        "INSERT INTO tt VALUES ('a') RETURNING x",
        "SELECT x FROM tt",
    ],
    "a chain of views": [
        "CREATE TEMP VIEW v1 AS SELECT email e FROM person",
        "CREATE TEMP VIEW v2 AS SELECT e||'' x FROM v1",
        "SELECT x FROM v2",
    ],
    "ALTER TABLE RENAME": [
        "ALTER TABLE person RENAME email TO foo",
        "SELECT foo FROM person",
    ],
    "a temporary table in the way": [
        "CREATE TEMP TABLE visit (person_id int)",
        "SELECT email FROM public.person WHERE id = 1",
    ],
    "search_path": [
        "SET search_path = pg_catalog",
        "SELECT email FROM public.person WHERE id = 1",
        "SELECT p.email FROM public.person p",
    ],
    "EXPLAIN EXECUTE": [
        "PREPARE z AS SELECT email FROM person WHERE id = 1",
        "EXPLAIN EXECUTE z",
        "CREATE TEMP TABLE k AS EXECUTE z",
        "SELECT * FROM k",
    ],
    "a default": [
        "CREATE FUNCTION pg_temp.f2() RETURNS text LANGUAGE sql AS 'SELECT email FROM person WHERE id = 1'",
        "CREATE TEMP TABLE td (x text DEFAULT pg_temp.f2())",
        "INSERT INTO td DEFAULT VALUES RETURNING x",
        "SELECT x FROM td",
    ],
    "CALL": [
        "CREATE PROCEDURE pg_temp.p(INOUT x text) LANGUAGE plpgsql AS $$ BEGIN SELECT email INTO x FROM person WHERE id = 1; END $$",
        "CALL pg_temp.p('')",
    ],
    "a rule": [
        "CREATE TABLE rt (x text)",
        "CREATE RULE r AS ON INSERT TO rt DO INSTEAD SELECT email FROM person WHERE id = 1",
        "INSERT INTO rt VALUES ('a')",
    ],
    "extended DO": [
        "DO LANGUAGE plpgsql 'BEGIN UPDATE note SET body = (SELECT email FROM person WHERE id = 1) WHERE id = 1; END'",
        "SELECT body FROM note WHERE id = 1",
    ],
}


def everything(frames) -> bytes:
    return b"".join(one.body for one in frames if one.tag in "DdENASV")


@pytest.fixture
def session(front, pg):
    target = front("people.yaml")
    clients = []

    def log_in(user: str) -> Raw:
        clients.append(Raw(target.host, target.port))
        clients[-1].login(user, "people")
        return clients[-1]

    yield log_in
    for one in clients:
        one.close()
    pg.psql("UPDATE note SET body = 'written over' WHERE body LIKE '%@%'; DELETE FROM note WHERE id > 2; DROP TABLE IF EXISTS rt",
            database="people")


@pytest.mark.proxy
@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("user", ["sam", "postgres"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_way_lets_the_value_out(session, way, user, protocol):
    client = session(user)
    client.ask(query("BEGIN"))
    for sql in WAYS[way]:
        client.ask(query("SAVEPOINT here"))
        if protocol == "simple":
            got = client.ask(query(sql))
        else:
            got = client.ask(parse("", sql) + bind("", "") + execute() + sync())
        assert VALUE not in everything(got), sql
        assert VALUE.hex().encode() not in everything(got), sql
        if got[-1].body == b"E":
            client.ask(query("ROLLBACK TO here"))
    assert VALUE not in everything(client.ask(query("ROLLBACK")))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_the_statements_are_read_by_postgresql(pg, way):
    """A way that is misspelt would prove nothing."""
    client = Raw(pg.host, pg.port)
    client.login("postgres", "people")
    client.ask(query("BEGIN"))
    syntax_errors = []
    for sql in WAYS[way]:
        client.ask(query("SAVEPOINT here"))
        got = client.ask(query(sql))
        syntax_errors += [sql for one in got if one.tag == "E" and one.fields()["C"] == "42601"]
        if got[-1].body == b"E":
            client.ask(query("ROLLBACK TO here"))
    client.ask(query("ROLLBACK"))
    client.close()
    assert not syntax_errors or way == "standard_conforming_strings"
