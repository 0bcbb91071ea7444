"""Errors, settings and orders that a caller makes depend on masked values: refused, and what looks like it but does not is not."""

import pytest

from harness.wire import Raw, query

pytestmark = pytest.mark.proxy

TEMPORARY = "CREATE TEMP TABLE mine (a {}); INSERT INTO mine SELECT {} FROM person WHERE id = 1"
KEPT = "CREATE TEMP TABLE mine AS SELECT {} AS a, id FROM person; {}"
CHOSEN = "CASE WHEN email LIKE 'j%' THEN 'xx' END"

REFUSED = [
    # texts of two collations can not be compared
    "SELECT CASE WHEN a LIKE 'j%' THEN a < b END FROM (SELECT email COLLATE \"C\" AS a, city COLLATE \"POSIX\" AS b FROM person) s",
    "SELECT CASE WHEN a LIKE 'j%' THEN upper(b || c) END FROM (SELECT email AS a, city COLLATE \"C\" AS b, city COLLATE \"POSIX\" AS c FROM person) s",
    "SELECT a < b FROM (SELECT city COLLATE \"C\" AS a, CASE WHEN email LIKE 'j%' THEN 'x' END COLLATE \"POSIX\" AS b FROM person) s",
    "SELECT CASE WHEN p.email LIKE 'j%' THEN c.a < c.b END FROM person p, two_collations c",
    "CREATE TEMP TABLE mine (a text COLLATE \"C\", b text COLLATE \"POSIX\"); SELECT CASE WHEN email LIKE 'j%' THEN a < b END FROM person, mine",
    # nor can rows of other fields
    "SELECT CASE WHEN email LIKE 'j%' THEN s.r = t.r END FROM person, (SELECT ROW(1, 2) AS r OFFSET 0) s, (SELECT ROW('a', 2) AS r OFFSET 0) t",
    # what was called can be seen afterwards
    "SELECT CASE WHEN email LIKE 'j%' THEN set_config('my.x', 'y', false) END FROM person",
    "SELECT CASE WHEN email LIKE 'j%' THEN random() END FROM person",
    # not every value fits
    TEMPORARY.format("varchar(1)", CHOSEN), TEMPORARY.format("text NOT NULL", CHOSEN), TEMPORARY.format("int2", "ascii(email) * 330"),
    KEPT.format("email", "ALTER TABLE mine ALTER a TYPE varchar(9)"), KEPT.format(CHOSEN, "ALTER TABLE mine ALTER a SET NOT NULL"),
    f"CREATE TEMP TABLE mine (a text); ALTER TABLE mine ALTER a TYPE varchar(1); INSERT INTO mine SELECT {CHOSEN} FROM person",
    # rows come out as they are stored
    KEPT.format("email", "CREATE INDEX i ON mine (a); CLUSTER mine USING i"),
    KEPT.format("email", "CREATE INDEX ON mine (a) INCLUDE (id)"), KEPT.format("email", "CREATE INDEX ON mine (lower(a), id)"),
    KEPT.format("email", "CREATE INDEX ON mine ((left(a, 1)))"), KEPT.format("email", "CREATE INDEX ON mine (id) WHERE a LIKE 'j%'"),
    # nor is a table as large as the caller lets values make it
    *(KEPT.format("CASE WHEN email LIKE 'j%' THEN repeat('x', 9999) END", told) for told in [
        "SELECT pg_relation_size('mine')", "SELECT pg_catalog.pg_total_relation_size(oid) FROM pg_class WHERE relname = 'mine'",
        "SELECT max(ctid) FROM mine", "SELECT \"ctid\" FROM mine", "ANALYZE mine; SELECT relpages FROM pg_class WHERE relname = 'mine'", "EXPLAIN SELECT 1 FROM mine"]),
]

SHOWN = {
    "SELECT CASE WHEN email LIKE 'j%' THEN upper(city) END FROM person WHERE id = 1": [[b"####"]],
    "SELECT city COLLATE \"C\" < 'L', upper(email) FROM person WHERE id = 1": [[b"t", b"####"]],
    "SELECT a < 'b' FROM two_collations": [[b"t"]],
    "CREATE TEMP TABLE mine (a varchar(99) NOT NULL, b int, c text, d boolean); "
    "INSERT INTO mine SELECT email, length(email), upper(email) || id, email LIKE 'j%' FROM person WHERE id = 1; SELECT c FROM mine": [[b"####"]],
    "SELECT set_config('my.x', 'y', false)": [[b"y"]],
    KEPT.format("email", "CREATE INDEX ON mine (id); SELECT count(a) FROM mine"): [[b"4"]],
    "CREATE TEMP TABLE mine AS SELECT id FROM person; CREATE INDEX ON mine (id); SELECT pg_relation_size('mine') > 0": [[b"t"]],
}


@pytest.fixture(scope="module")
def database(pg, front):
    pg.psql("CREATE DATABASE chosen TEMPLATE people_template")
    collations = "CREATE TABLE two_collations (a text COLLATE \"C\", b text COLLATE \"POSIX\"); INSERT INTO two_collations VALUES ('a', 'b')"
    pg.psql(f"{collations}; GRANT SELECT ON two_collations TO PUBLIC; GRANT TEMPORARY ON DATABASE chosen TO PUBLIC", database="chosen")
    return front("people.yaml", database="chosen")


@pytest.fixture
def caller(database):
    made = Raw(database.host, database.port)
    made.login("sam", "chosen")
    yield made
    made.close()


@pytest.mark.parametrize("asked", REFUSED)
def test_whether_something_fails_or_happens_is_not_chosen_by_masked_values(caller, asked):
    assert next((frame.fields()["C"] for frame in caller.ask(query(asked)) if frame.tag == "E"), "") == "42501"


@pytest.mark.parametrize("asked", SHOWN)
def test_what_fails_for_no_value_of_the_callers_choice_is_shown(caller, asked):
    assert [frame.cells() for frame in caller.ask(query(asked)) if frame.tag == "D"] == SHOWN[asked]
