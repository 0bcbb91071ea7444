"""Functions that open cursors: what these show is protected when it is fetched, and their rows are found by what the caller asked."""

import pytest

from harness.wire import Raw, bind, describe, execute, parse, query, sync

pytestmark = pytest.mark.proxy

# The column's own mask: the server says of a cursor which columns it shows.
MASKED = b"j###@#######.###"

FUNCTIONS = """
CREATE FUNCTION opened() RETURNS refcursor LANGUAGE plpgsql AS $$
  DECLARE r refcursor := 'rr'; BEGIN OPEN r FOR SELECT id, email, upper(email) AS loud FROM person ORDER BY id; RETURN r; END $$;
CREATE FUNCTION several() RETURNS SETOF refcursor LANGUAGE plpgsql AS $$
  DECLARE a refcursor := 'ra'; b refcursor := 'rb';
  BEGIN OPEN a SCROLL FOR SELECT email FROM person; RETURN NEXT a; OPEN b FOR SELECT id FROM note; RETURN NEXT b; END $$;
CREATE FUNCTION of_id(refcursor, wanted int) RETURNS refcursor LANGUAGE plpgsql AS $$
  BEGIN OPEN $1 FOR SELECT p.id, p.email FROM person p WHERE p.id = wanted; RETURN $1; END $$;
CREATE FUNCTION of_email(wanted text) RETURNS refcursor LANGUAGE plpgsql AS $$
  DECLARE r refcursor := 'rr'; BEGIN OPEN r FOR SELECT p.id FROM person p WHERE p.email = of_email.wanted; RETURN r; END $$;
CREATE FUNCTION found(what text) RETURNS refcursor LANGUAGE plpgsql AS $$
  DECLARE r refcursor := 'rr'; BEGIN OPEN r FOR SELECT p.id FROM person p WHERE p.email LIKE what; RETURN r; END $$;
CREATE FUNCTION found_otherwise(what text) RETURNS refcursor LANGUAGE plpgsql AS $$
  DECLARE r refcursor := 'rr'; n int; BEGIN n := 1; OPEN r FOR SELECT p.id FROM person p WHERE p.email LIKE what; RETURN r; END $$;
CREATE FUNCTION found_in_passing(what text) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE r refcursor := 'rr'; BEGIN OPEN r FOR SELECT p.id FROM person p WHERE p.email LIKE what; END $$;
CREATE FUNCTION named(wanted int) RETURNS TABLE (id int, city text, email text) LANGUAGE sql STABLE AS
  'SELECT p.id, p.city, p.email FROM person p WHERE p.id = wanted AND p.id = named.wanted';
CREATE FUNCTION city_of(wanted int) RETURNS text LANGUAGE sql STABLE AS 'SELECT city FROM person WHERE id = wanted';
CREATE FUNCTION shadowed(email text) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM person WHERE email LIKE ''j%''';
"""


@pytest.fixture(scope="module")
def functions(pg, front):
    pg.psql("CREATE DATABASE cursors_of_functions TEMPLATE people_template")
    pg.psql(FUNCTIONS, database="cursors_of_functions")
    return front("people.yaml", database="cursors_of_functions")


@pytest.fixture
def caller(functions):
    made = Raw(functions.host, functions.port)
    made.login("sam", "cursors_of_functions")
    yield made
    made.close()


def cells(frames) -> list[list[bytes | None]]:
    return [frame.cells() for frame in frames if frame.tag == "D"]


def told(frames) -> str:
    return " ".join(frame.fields()["C"] for frame in frames if frame.tag == "E")


def test_what_a_function_has_opened_is_fetched_masked(caller):
    frames = caller.ask(query("BEGIN; SELECT opened(); FETCH 1 FROM rr; MOVE 1 FROM rr; FETCH ALL FROM rr; CLOSE rr; COMMIT"))
    name, first, *others = cells(frames)
    assert (name, told(frames)) == ([b"rr"], "")
    assert first == [b"1", MASKED, b"####"]
    assert all(row[2] == b"####" for row in others)
    assert b"jane@" not in b"".join(frame.body for frame in frames).lower()


def test_names_of_several_cursors_are_told(caller):
    frames = caller.ask(query("BEGIN; SELECT several(); FETCH ALL FROM ra; MOVE ALL FROM rb; CLOSE ALL; COMMIT"))
    assert cells(frames)[:3] == [[b"ra"], [b"rb"], [MASKED]]
    assert b"jane@" not in b"".join(frame.body for frame in frames).lower()


def test_the_same_by_the_extended_protocol(caller):
    def run(sql: str, values=()) -> list:
        return caller.ask(parse("", sql) + bind("", "", values) + describe("P", "") + execute() + sync())

    caller.ask(query("BEGIN"))
    assert cells(run("SELECT of_id($1, $2)", ["mine", "1"])) == [[b"mine"]]
    assert cells(run("FETCH ALL FROM mine")) == [[b"1", MASKED]]
    assert told(run("MOVE BACKWARD ALL FROM mine") + run("CLOSE mine") + run("COMMIT")) == ""


def test_rows_that_are_found_by_equality_are_counted(caller, functions):
    def counted() -> float:
        return functions.metric("pgveil_filters_permitted_total", tag="email")

    before = counted()
    frames = caller.ask(query("BEGIN; SELECT of_email('nobody@example.com'); FETCH ALL FROM rr; COMMIT"))
    assert (cells(frames), told(frames), counted()) == ([[b"rr"]], "", before + 1)


@pytest.mark.parametrize("call", ["found('j%')", "found_otherwise('j%')", "found_in_passing('j%')", "count(*) FROM shadowed('x')"])
def test_rows_that_are_found_by_a_pattern_are_a_filter(caller, call):
    assert told(caller.ask(query(f"SELECT {call}"))) == "42501"


def test_arguments_by_name_are_read_as_by_number(caller):
    assert caller.rows("SELECT * FROM named(1)") == [[b"1", b"K\xc3\xb6ln", b"####"]]
    assert caller.rows("SELECT city_of(1)") == [[b"K\xc3\xb6ln"]]


MADE = {
    "SELECT upper(email) AS e FROM person WHERE id = 1": "",
    "SELECT email, id FROM person WHERE email IS NOT NULL": "",
    "SELECT id FROM person WHERE email LIKE $a$j%$a$": "42501",
    "SELECT id FROM person WHERE email = $a$jane@example.com$a$": "42501",
    "SELECT id FROM person ORDER BY email": "42501",
    "SELECT id, count(*) OVER (ORDER BY email) FROM person": "42501",
    "SELECT 1 / (length(email) - 16) FROM person": "42501",
}


@pytest.mark.parametrize("body", MADE)
def test_a_masked_caller_makes_cursors_on_rows_that_no_masked_value_chooses(caller, body):
    made = f"CREATE FUNCTION pg_temp.mine() RETURNS refcursor LANGUAGE plpgsql AS $$DECLARE r refcursor := 'rr'; BEGIN OPEN r FOR {body}; RETURN r; END$$"
    frames = caller.ask(query(f"BEGIN; {made}; SELECT pg_temp.mine(); FETCH ALL FROM rr; ROLLBACK"))
    assert told(frames) == MADE[body]
    assert b"jane@" not in b"".join(frame.body for frame in frames).lower()


CHOSEN = [
    "f(text) RETURNS int LANGUAGE sql AS $$ SELECT 1 / CASE WHEN $1 LIKE 'j%' THEN 0 ELSE 1 END $$",
    "f(text) RETURNS SETOF int LANGUAGE sql AS $$ SELECT 1 WHERE $1 LIKE 'j%' $$",
    "f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN $1 LIKE 'j%' THEN $1::int::text END; END $$",
    "f(text) RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE r refcursor; BEGIN OPEN r FOR SELECT 1 WHERE $1 LIKE 'j%'; RETURN r; END $$",
    "f(text) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN $1 LIKE 'jane\\' THEN 'a' END $$",
    "f(text) RETURNS text LANGUAGE sql AS $$ SELECT (SELECT 'a' UNION ALL SELECT 'b' WHERE $1 LIKE 'j%') $$",
    "f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF $1 LIKE 'j%' THEN RETURN 'x'; END IF; END $$",
    "f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN CASE WHEN $1 LIKE 'j%' THEN RETURN 'x'; END CASE; RETURN 'y'; END $$",
    "f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF $1 LIKE 'j%' THEN ROLLBACK; END IF; RETURN 'y'; END $$",
    "f(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF $1 LIKE 'j%' THEN SELECT 1; END IF; RETURN 'y'; END $$",
    "f(text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE v int4; BEGIN IF $1 LIKE 'j%' THEN v := 'x'; END IF; RETURN 'y'; END $$",
]


@pytest.mark.parametrize("function", CHOSEN)
def test_a_function_of_the_transactions_own_does_not_choose_by_its_outcome(caller, function):
    made = function.replace("f(", "pg_temp.f(", 1)
    assert told(caller.ask(query(f"BEGIN; CREATE FUNCTION {made}; SELECT pg_temp.f(email) FROM person WHERE id = 1; ROLLBACK"))) == "42501"


FAILING = [
    "f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / 0; END $$",
    "f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN END $$",
    "f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN nothing; END $$",
    "f() RETURNS int LANGUAGE sql AS $$ SELECT 1 / 0 $$",
]


@pytest.mark.parametrize("function", FAILING)
def test_whether_a_function_of_the_transactions_own_is_called_does_not_tell_a_value(caller, function):
    made = function.replace("f(", "pg_temp.f(", 1)
    asked = "SELECT CASE WHEN email LIKE 'j%' THEN pg_temp.f() END FROM person WHERE id = 1"
    assert told(caller.ask(query(f"BEGIN; CREATE FUNCTION {made}; {asked}; ROLLBACK"))) == "42501"


def test_texts_do_not_grow_without_end_in_functions_of_the_transactions_own(caller):
    made = "CREATE FUNCTION pg_temp.twice(text) RETURNS text LANGUAGE sql AS 'SELECT $1 || $1'"
    once = caller.ask(query(f"BEGIN; {made}; SELECT pg_temp.twice(email) FROM person WHERE id = 1; ROLLBACK"))
    assert (cells(once), told(once)) == ([[b"####"]], "")
    often = "pg_temp.twice(" * 26 + "email" + ")" * 26
    assert told(caller.ask(query(f"BEGIN; {made}; SELECT length({often}) FROM person WHERE id = 1; ROLLBACK"))) == "42501"
