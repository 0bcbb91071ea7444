"""Functions in SQL that return rows: each of their columns is protected by what the body puts there and by what decides which rows there are."""

import pytest

from harness.wire import Raw, query

pytestmark = pytest.mark.proxy

FUNCTIONS = """
CREATE FUNCTION listed() RETURNS SETOF person LANGUAGE sql STABLE AS 'SELECT * FROM person ORDER BY id';
CREATE FUNCTION brief() RETURNS TABLE (id int, email text, city text) LANGUAGE sql STABLE AS 'SELECT id, email, city FROM person ORDER BY id';
CREATE FUNCTION of_id(int) RETURNS TABLE (id int, email text, city text) LANGUAGE sql STABLE AS 'SELECT id, email, city FROM person WHERE id = $1';
CREATE FUNCTION found(text) RETURNS TABLE (id int, city text) LANGUAGE sql STABLE AS 'SELECT id, city FROM person WHERE email LIKE $1';
CREATE FUNCTION found_by_name(what text) RETURNS TABLE (id int, city text) LANGUAGE sql STABLE AS 'SELECT id, city FROM person WHERE email LIKE what';
CREATE FUNCTION sorted(int) RETURNS TABLE (id int, city text) LANGUAGE sql STABLE AS 'SELECT id, city FROM person ORDER BY email LIMIT 1 OFFSET $1';
CREATE FUNCTION of_email(text) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM person WHERE email = $1';
CREATE FUNCTION found_within(text) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM found($1)';
CREATE FUNCTION found_by_code(text) RETURNS SETOF int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN QUERY SELECT id FROM person WHERE email LIKE $1; END $$;
CREATE FUNCTION found_by_setting() RETURNS SETOF int LANGUAGE sql STABLE AS $$ SELECT id FROM person WHERE email LIKE current_setting('my.pattern', true) $$;
CREATE FUNCTION whole() RETURNS SETOF person LANGUAGE sql STABLE AS 'SELECT p FROM person p ORDER BY id';
CREATE FUNCTION computed() RETURNS TABLE (id int, letter text) LANGUAGE sql STABLE AS 'SELECT id, left(email, 1) FROM person ORDER BY id';
CREATE FUNCTION swapped() RETURNS TABLE (id text, email text) LANGUAGE sql STABLE AS 'SELECT email, id::text FROM person ORDER BY id';
CREATE FUNCTION handed_on() RETURNS TABLE (id int, email text) LANGUAGE sql STABLE AS 'SELECT b.id, b.email FROM brief() b';
CREATE FUNCTION known(what text) RETURNS int LANGUAGE plpgsql AS $$ DECLARE p person%ROWTYPE; BEGIN
  SELECT * INTO p FROM person WHERE email = what; IF NOT FOUND THEN RAISE EXCEPTION 'nobody'; END IF; RETURN 1; END $$;
CREATE FUNCTION like_one(what text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
  IF NOT EXISTS (SELECT FROM person WHERE email LIKE what) THEN RAISE EXCEPTION 'nobody'; END IF; RETURN 1; END $$;
CREATE FUNCTION only_one(what text) RETURNS int LANGUAGE plpgsql AS $$ DECLARE i int; BEGIN SELECT id INTO STRICT i FROM person WHERE left(email, 1) = what; RETURN i; END $$;
CREATE FUNCTION part_of(what text) RETURNS int LANGUAGE sql AS 'SELECT 1 / count(*)::int FROM person WHERE email LIKE what';
CREATE FUNCTION of_number(number int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE p person%ROWTYPE; BEGIN
  SELECT * INTO p FROM person WHERE id = number; IF NOT FOUND THEN RAISE EXCEPTION 'nobody'; END IF; RETURN p.email; END $$;
CREATE FUNCTION first_like(what text) RETURNS text LANGUAGE sql AS 'SELECT city FROM person WHERE email LIKE what';
CREATE FUNCTION procedural() RETURNS TABLE (a int, b text) LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN QUERY SELECT p.id, p.email FROM person p; END $$;
"""

SHOWN = {
    "SELECT id, email, city FROM listed() WHERE id = 1": [[b"1", b"####", b"K\xc3\xb6ln"]],
    "SELECT id, email, city FROM brief() WHERE id = 1": [[b"1", b"####", b"K\xc3\xb6ln"]],
    "SELECT b.city FROM brief() b WHERE b.id < 2 ORDER BY b.id": [[b"K\xc3\xb6ln"]],
    "SELECT (of_id(1)).city": [[b"K\xc3\xb6ln"]],
    "SELECT o.city, o.email FROM note n, LATERAL of_id(1) o WHERE n.id = 1": [[b"K\xc3\xb6ln", b"####"]],
    "SELECT id FROM computed() WHERE id = 1": [[b"1"]],
    "SELECT email FROM swapped() WHERE email = '1'": [[b"1"]],
    "SELECT city FROM brief() GROUP BY city HAVING city = 'Berlin'": [[b"Berlin"]],
}

WITHHELD = [
    "SELECT of_number(1)", "SELECT first_like('j%')",
    "SELECT email FROM listed() WHERE id = 1", "SELECT * FROM brief() WHERE id = 1", "SELECT listed() FROM note", "SELECT l FROM listed() l",
    "SELECT (listed()).email", "SELECT email FROM of_id(1)", "SELECT whole()", "SELECT email FROM whole()", "SELECT letter FROM computed()",
    "SELECT id FROM swapped()", "SELECT upper(id) FROM swapped()", "SELECT email FROM handed_on()", "SELECT b FROM procedural()",
    "SELECT * FROM ROWS FROM (brief(), listed()) r", "SELECT to_json(b) FROM brief() b", "SELECT string_agg(email, ',') FROM brief()",
    "WITH b AS (SELECT * FROM brief()) SELECT email FROM b", "CREATE TEMP TABLE kept AS SELECT * FROM brief(); SELECT email FROM kept",
    "CREATE TEMP VIEW seen AS SELECT email AS e FROM brief(); SELECT e FROM seen",
]

# The rows say whether an e-mail address begins with a letter of the caller's choice, or how it is sorted.
REFUSED = [
    "SELECT id FROM found('j%')", "SELECT count(*) FROM found('j%')", "SELECT EXISTS (SELECT FROM found('j%'))", "SELECT 1 FROM note, LATERAL found('j%')",
    "SELECT found('j%') FROM note", "SELECT count(*) FROM found_by_name('j%')", "SELECT id FROM sorted(0)", "SELECT count(*) FROM found_within('j%')",
    "SELECT count(*) FROM found_by_code('j%')", "SELECT count(*) FROM found_by_setting()", "SELECT id FROM brief() WHERE email LIKE 'j%'",
    "SELECT id FROM swapped() WHERE id LIKE 'j%'", "SELECT id FROM computed() WHERE letter = 'j'", "SELECT id FROM computed() ORDER BY letter",
    "SELECT like_one('j%')", "SELECT only_one('j')", "SELECT part_of('j%')", "SELECT count(part_of('j%'))",
    "SELECT 1 / (a - 1) FROM procedural() WHERE b LIKE 'j%'", "WITH f AS (SELECT FROM found('j%')) SELECT count(*) FROM f",
]


@pytest.fixture(scope="module")
def functions(pg, front):
    pg.psql("CREATE DATABASE row_functions TEMPLATE people_template")
    pg.psql(FUNCTIONS, database="row_functions")
    return front("people.yaml", database="row_functions")


@pytest.fixture
def caller(functions):
    made = Raw(functions.host, functions.port)
    made.login("sam", "row_functions")
    yield made
    made.close()


@pytest.mark.parametrize("sql", SHOWN)
def test_a_column_that_holds_nothing_protected_comes_in_clear(caller, sql):
    assert caller.rows(sql) == SHOWN[sql]


@pytest.mark.parametrize("sql", WITHHELD)
def test_a_column_that_holds_something_protected_does_not(caller, sql):
    answer = b"".join(message.body for message in caller.ask(query(sql)))
    assert b"jane@" not in answer.lower()
    letters = [message.body for message in caller.frames if message.tag == "D" and message.body.endswith(b"\x00\x00\x00\x01j")]
    assert not letters


@pytest.mark.parametrize("sql", REFUSED)
def test_rows_that_a_caller_finds_by_something_protected_are_a_filter(caller, sql):
    [error] = [message.body for message in caller.ask(query(sql)) if message.tag == "E"]
    assert b"C42501" in error


def test_equality_in_a_function_is_permitted_and_counted(caller, functions):
    def counted() -> float:
        return functions.metric("pgveil_filters_permitted_total", tag="email")

    before = counted()
    assert caller.rows("SELECT count(*) FROM of_email('jane@example.com')") == [[b"2"]]
    assert caller.rows("SELECT count(*) FROM of_email('nobody@example.com')") == [[b"0"]]
    assert counted() == before + 2


def test_an_error_that_tells_whether_a_value_is_there_is_equality(caller, functions):
    def counted() -> float:
        return functions.metric("pgveil_filters_permitted_total", tag="email")

    before = counted()
    assert caller.rows("SELECT known('jane@example.com')")
    [error] = [one.fields() for one in caller.ask(query("SELECT known('nobody@example.com')")) if one.tag == "E"]
    assert (error["C"], counted()) == ("P0001", before + 2)
