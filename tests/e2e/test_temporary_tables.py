"""Temporary tables and views inherit the tags of what they are made of: in the transaction that makes them, and later."""

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
    """`client(user)`: a connection through pgveil to a database of this module's own."""
    name = f"temporary_{next(NUMBERS)}"
    pg.psql(f"CREATE DATABASE {name}")
    tables = (HERE / "sql" / "people.sql").read_text(encoding="utf-8")
    pg.psql("\n".join(line for line in tables.splitlines() if not line.startswith("CREATE ROLE")), database=name)
    pg.psql("GRANT CREATE ON SCHEMA public TO support, billing; ALTER TABLE visit OWNER TO sam;"
            "CREATE TYPE pair AS (a int, b text, count text, nextval text, last text);"
            "CREATE FUNCTION last(pair) RETURNS int LANGUAGE sql AS 'SELECT 1';"
            "CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(x) FROM loot); END'", database=name)
    target = front("people.yaml", database=name)
    made = []

    def client(user: str = "sam") -> Raw:
        one = Raw(target.host, target.port)
        one.login(user, name)
        made.append(one)
        return one

    yield client
    for one in made:
        one.close()


def extended(session: Raw, sql: str) -> bytes:
    return b"".join(one.body for one in session.ask(parse("", sql) + bind("", "") + execute() + sync()))


def simple(session: Raw, sql: str) -> bytes:
    return b"".join(one.body for one in session.ask(query(sql)))


WAYS = {
    "create as": ["CREATE TEMP TABLE t AS SELECT id, email AS x FROM person WHERE id < 3"],
    "create as, names": ["CREATE TEMP TABLE t (id, x) AS SELECT id, email FROM person WHERE id < 3"],
    "into": ["SELECT id, email AS x INTO TEMP t FROM person WHERE id < 3"],
    "in pg_temp": ["CREATE TABLE pg_temp.t AS SELECT id, email AS x FROM person WHERE id < 3"],
    "insert": ["CREATE TEMP TABLE t (id int, x text)", "INSERT INTO t SELECT id, email FROM person WHERE id < 3"],
    "update": ["CREATE TEMP TABLE t (id int, x text)", "INSERT INTO t VALUES (1, 'a')",
               "UPDATE t SET x = p.email FROM person p WHERE p.id = t.id"],
    "update of several": ["CREATE TEMP TABLE t (id int, x text)", "INSERT INTO t VALUES (1, 'a')",
                          "UPDATE t SET (id, x) = (SELECT id, email FROM person WHERE id = 1)"],
    "upsert": ["CREATE TEMP TABLE t (id int PRIMARY KEY, x text)", "INSERT INTO t VALUES (1, 'a')",
               "INSERT INTO t SELECT id, email FROM person WHERE id < 3 ON CONFLICT (id) DO UPDATE SET x = excluded.x"],
    "merge": ["CREATE TEMP TABLE t (id int, x text)",
              "MERGE INTO t USING person p ON t.id = p.id WHEN NOT MATCHED THEN INSERT VALUES (p.id, p.email)"],
    "common table expression": ["CREATE TEMP TABLE t (id int, x text)",
                                "WITH i AS (INSERT INTO t SELECT id, email FROM person RETURNING id) SELECT count(*) FROM i"],
    "like": ["CREATE TEMP TABLE t (LIKE visit)", "ALTER TABLE t RENAME email TO x", "INSERT INTO t SELECT * FROM visit WHERE id = 10"],
    "a copy of a copy": ["CREATE TEMP TABLE s AS SELECT id, email AS x FROM person", "CREATE TEMP TABLE t AS TABLE s"],
    "renamed": ["CREATE TEMP TABLE s AS SELECT id, email AS y FROM person", "ALTER TABLE s RENAME y TO x", "ALTER TABLE s RENAME TO t"],
    "added column": ["CREATE TEMP TABLE t AS SELECT id FROM person WHERE id = 1", "ALTER TABLE t ADD x text",
                     "UPDATE t SET x = p.email FROM person p WHERE p.id = t.id"],
    "a view over it": ["CREATE TEMP TABLE s (id int, x text)", "CREATE VIEW t AS SELECT * FROM s", "INSERT INTO s SELECT id, email FROM person"],
    "temporary view": ["CREATE TEMP VIEW t AS SELECT id, email AS x FROM person"],
    "savepoint": ["CREATE TEMP TABLE t (id int, x text)", "INSERT INTO t SELECT id, email FROM person WHERE id < 3"],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["apart", "transaction", "message", "extended", "extended transaction"])
def test_what_a_temporary_relation_holds_is_masked(clients, way, how):
    session = clients()
    ask = extended if how.startswith("extended") else simple
    if how == "message":
        answer = simple(session, "; ".join(WAYS[way]) + "; SELECT max(x) AS x FROM t WHERE id IN (1, 10)")
        assert VALUE not in answer and b"42501" not in answer and b"0A000" not in answer, answer
    else:
        if how.endswith("transaction"):
            ask(session, "BEGIN")
        for sql in WAYS[way]:
            answer = ask(session, sql)
            assert VALUE not in answer and b"42501" not in answer and b"0A000" not in answer, (sql, answer)
    for read in ("SELECT x FROM t", "SELECT t.x FROM t", "SELECT * FROM t", "TABLE t", "SELECT max(x) FROM t", "SELECT lower(x) FROM t",
                 "SELECT t FROM t", "SELECT t::text FROM t", "SELECT row_to_json(t) FROM t", "SELECT x || '' FROM (SELECT * FROM t) u",
                 "SELECT x FROM pg_temp.t", "COPY t TO STDOUT", "COPY (SELECT x || '' FROM t) TO STDOUT", "EXPLAIN SELECT x FROM t"):
        for again in (simple, extended):
            answer = again(session, read)
            assert VALUE not in answer, (read, answer)
            if how.endswith("transaction") and b"25P02" in answer or b"SERROR" in answer:
                again(session, "ROLLBACK")
                return
    read = ask(session, "SELECT x FROM t")
    assert MASKED in read, read


@pytest.mark.parametrize("how", ["apart", "transaction"])
def test_who_sees_it_in_clear_sees_the_copy_in_clear(clients, how):
    session = clients("bella")
    if how == "transaction":
        simple(session, "BEGIN")
    simple(session, "CREATE TEMP TABLE t AS SELECT id, email AS x FROM person")
    assert session.rows("SELECT x FROM t WHERE id = 1") == [[VALUE]]
    assert session.rows("SELECT lower(x) FROM t WHERE id = 1") == [[VALUE]]


def test_it_goes_back_only_into_columns_of_its_tag(clients):
    session = clients()
    simple(session, "CREATE TEMP TABLE t AS SELECT id, email AS x, city AS c FROM person")
    assert b"42501" in simple(session, "INSERT INTO note SELECT 900, x FROM t")
    assert b"42501" in simple(session, "UPDATE note SET body = t.x FROM t WHERE t.id = 1 AND note.id = 1")
    assert b"42501" in simple(session, "CREATE TABLE kept AS TABLE t")
    assert b"42501" in simple(session, "CREATE MATERIALIZED VIEW kept AS SELECT x FROM t")
    assert b"INSERT 0 1" in simple(session, "INSERT INTO note SELECT 901, c FROM t WHERE id = 1")
    assert b"UPDATE 1" in simple(session, "UPDATE visit SET email = t.x FROM t WHERE t.id = 1 AND visit.id = 10")


@pytest.mark.parametrize("ends", ["ROLLBACK", "COMMIT", "ROLLBACK TO a; COMMIT", "ROLLBACK TO a; INSERT INTO t SELECT 1, email FROM person; COMMIT"])
def test_no_end_of_a_transaction_uncovers_it(clients, ends):
    session = clients()
    simple(session, "CREATE TEMP TABLE t (id int, x text); INSERT INTO t SELECT id, email FROM person")
    simple(session, "BEGIN; SAVEPOINT a; DROP TABLE t; CREATE TEMP TABLE t (id int, x text)")
    for sql in ends.split("; "):
        simple(session, sql)
    for read in ("SELECT x FROM t", "SELECT x || '' FROM t", "SELECT max(x) FROM t"):
        assert VALUE not in simple(session, read)
        assert VALUE not in extended(session, read)


def test_the_name_of_a_tagged_table_can_be_taken_by_one_that_holds_nothing(clients):
    session = clients()
    for how in ("CREATE TEMP TABLE person AS SELECT 1 AS id, 'fake'::text AS email; SELECT email FROM person", "SELECT email FROM person"):
        assert b"fake" in simple(session, how)
    simple(session, "DROP TABLE person")
    assert session.rows("SELECT email FROM person WHERE id = 1") == [[MASKED]]


def test_temporary_tables_of_untagged_values_are_untouched(clients):
    session = clients()
    simple(session, "BEGIN")
    simple(session, "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT id, body AS x FROM note")
    assert session.rows("SELECT lower(x) FROM t WHERE x LIKE 'nothing%' ORDER BY x") == [[b"nothing personal"]]
    simple(session, "INSERT INTO t SELECT id, city FROM person WHERE id = 2")
    assert session.rows("SELECT x FROM t WHERE id = 2 AND x > 'A' AND x < 'C'") == [[b"Berlin"]]
    simple(session, "COMMIT")
    assert b"42P01" in simple(session, "SELECT * FROM t")


def test_a_function_that_reads_a_table_of_that_name_gets_none(clients):
    session = clients()
    simple(session, "CREATE TEMP TABLE loot (x text)")
    assert b"pgveil" in simple(session, "INSERT INTO loot SELECT email FROM person")
    assert VALUE not in simple(session, "SELECT peek()")
    assert b"INSERT 0 1" in simple(session, "INSERT INTO loot VALUES ('mine')")


TESTS = {
    "check": ["CREATE TEMP TABLE tested (id int, x text CHECK (x LIKE 'j%'))"],
    "check, added": ["CREATE TEMP TABLE tested (id int, x text)", "ALTER TABLE tested ADD CHECK (x LIKE 'j%')"],
    "generated": ["CREATE TEMP TABLE tested (id int, x text, y text GENERATED ALWAYS AS (x || '!') STORED)"],
    "unique": ["CREATE TEMP TABLE tested (id int, x text UNIQUE)"],
    "unique index": ["CREATE TEMP TABLE tested (id int, x text)", "CREATE UNIQUE INDEX ON tested ((left(x, 1)))"],
    "index": ["CREATE TEMP TABLE tested (id int, x text)", "CREATE INDEX ON tested ((1 / (ascii(x) - 107)))"],
    "partitions": ["CREATE TEMP TABLE tested (id int, x text) PARTITION BY RANGE (x)",
                   "CREATE TEMP TABLE u PARTITION OF tested FOR VALUES FROM ('j') TO ('k')"],
}


@pytest.mark.parametrize("ask", [simple, extended])
@pytest.mark.parametrize("test", TESTS)
def test_a_temporary_table_that_tests_its_rows_gets_none(clients, test, ask):
    session = clients()
    for sql in TESTS[test]:
        assert b"SERROR" not in ask(session, sql), sql
    assert b"42501" in ask(session, "INSERT INTO tested SELECT id, email FROM person ON CONFLICT DO NOTHING")
    assert b"INSERT 0 1" in ask(session, "INSERT INTO tested VALUES (1, 'jk')")


def test_a_column_that_is_computed_from_others_holds_what_they_hold(clients):
    session = clients()
    simple(session, "CREATE TEMP TABLE t AS SELECT id, email AS x FROM person")
    simple(session, "ALTER TABLE t ADD y text GENERATED ALWAYS AS (x || '') STORED")
    assert VALUE not in simple(session, "SELECT y FROM t") + simple(session, "COPY t (y) TO STDOUT") + extended(session, "SELECT y FROM t")


@pytest.mark.parametrize("filled", [
    ["INSERT INTO t SELECT 'jane@' || d || '.com', d FROM unnest(string_to_array('example,x', ',')) d", "INSERT INTO t SELECT email FROM person"],
    ["INSERT INTO t SELECT email FROM person", "INSERT INTO t SELECT body, body FROM note"],
    ["INSERT INTO t SELECT email, NULL FROM person UNION ALL SELECT body, body FROM note"],
])
def test_a_dictionary_among_stored_values_is_compared_with_none_of_them(clients, filled):
    session = clients()
    for sql in ["CREATE TEMP TABLE t (x text, guess text)", *filled]:
        assert b"SERROR" not in simple(session, sql), sql
    for read in ("SELECT max(guess) FROM t GROUP BY x HAVING count(*) > 1", "SELECT guess FROM t JOIN person p ON p.email = t.x",
                 "SELECT DISTINCT x FROM t", "SELECT guess FROM t WHERE x IN (SELECT email FROM person)"):
        for ask in (simple, extended):
            assert b"42501" in ask(session, read), read


def test_a_statement_prepared_before_sees_what_went_in_since(clients):
    session = clients()
    simple(session, "CREATE TEMP TABLE t (id int, x text)")
    session.ask(parse("p", "SELECT x || '' AS x FROM t") + sync())
    simple(session, "PREPARE q AS SELECT x || '' AS x FROM t")
    simple(session, "BEGIN; INSERT INTO t SELECT id, email FROM person")
    assert VALUE not in b"".join(one.body for one in session.ask(bind("", "p") + execute() + sync()))
    assert VALUE not in simple(session, "EXECUTE q")
    simple(session, "COMMIT")
    assert VALUE not in b"".join(one.body for one in session.ask(bind("", "p") + execute() + sync()))
    assert VALUE not in simple(session, "EXECUTE q")


def test_a_loop_of_dropping_and_making_works(clients):
    session = clients()
    for number in range(30):
        answer = simple(session, f"DROP TABLE IF EXISTS t; CREATE TEMP TABLE t AS SELECT id, email AS x{number} FROM person")
        assert b"42501" not in answer and b"0A000" not in answer
        assert session.rows(f"SELECT x{number} FROM t WHERE id = 1") == [[MASKED]]
    simple(session, "DISCARD TEMP")
    assert b"42P01" in simple(session, "SELECT * FROM t")


PARTS = ["SELECT (p).{} FROM t", "SELECT (t.p).{} FROM t", "SELECT (q[1]).{} FROM t", "SELECT upper((p).{}) FROM t", "SELECT (SELECT (u.p).{}) FROM t u",
         "SELECT max((p).{}) FROM t", "SELECT (s.p).{} FROM (SELECT p FROM t) s", "WITH s AS (SELECT p FROM t) SELECT (p).{} FROM s",
         "SELECT {}(p) FROM t", "SELECT {}(q[1]) FROM t"]


@pytest.mark.parametrize("field", ["b", "count", "nextval", "last"])
def test_a_part_of_a_composite_shows_no_less_and_no_more_than_the_whole(clients, field):
    session = clients()
    simple(session, "CREATE TEMP TABLE t (id int, p pair, q pair[])")
    simple(session, "INSERT INTO t VALUES (1, ROW(3, 'plainly', 'plainly', 'plainly', 'plainly'), "
                    "ARRAY[ROW(3, 'plainly', 'plainly', 'plainly', 'plainly')::pair])")
    for read in PARTS:
        # A function of that name that takes it is what is called, if there is one.
        called = field in ("count", "last") and "{}(" in read
        for ask in (simple, extended):
            assert called or b"plainly" in ask(session, read.format(field)).lower(), read
    simple(session, "TRUNCATE t")
    for read in PARTS:
        for ask in (simple, extended):
            assert b"INSERT 0 5" in simple(session, f"INSERT INTO t (id, p.{field}, q[1].{field}) SELECT id, email, email FROM person")
            assert VALUE not in ask(session, read.format(field)).lower(), read
