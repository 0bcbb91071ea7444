"""Errors and notices: none holds a value that the caller sees masked only, and those about the client's own text stay whole."""

import pytest

from harness.wire import Raw, bind, describe, execute, parse, query, sync

VALUE = b"jane@example.com"
CODE = b"JANE"  # what a function makes of the value where five letters and digits are all that it may say

# Things that a DBA made: triggers, deferred constraints and functions that quote what they work on.
MADE = """
CREATE TABLE member (id integer PRIMARY KEY, email text, note text, CONSTRAINT member_email UNIQUE (email) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO member VALUES (1, 'jane@example.com', 'x'), (2, 'other@example.com', 'y');
CREATE FUNCTION tells() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'now %', NEW; RAISE INFO 'now %', NEW; RETURN NEW; END $$;
CREATE TRIGGER tells BEFORE UPDATE OF note ON member FOR EACH ROW EXECUTE FUNCTION tells();
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.note = 'bad' THEN RAISE EXCEPTION 'row %', NEW USING ERRCODE = '23505', DETAIL = NEW.email, CONSTRAINT = NEW.email, COLUMN = NEW.email, HINT = NEW.email; END IF;
  RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON member DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
CREATE FUNCTION shout(v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', v; RAISE WARNING '%', v; RETURN 'x'; END $$;
CREATE FUNCTION coded(v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = upper(rpad(substr(v, 1, 4), 5, '0')), MESSAGE = v; END $$;
CREATE FUNCTION caught(n int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE x int; t text; BEGIN SELECT email INTO x FROM member WHERE id = n; RETURN 'no';
  EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS t = MESSAGE_TEXT; RAISE NOTICE '%', SQLERRM; RETURN t; END $$;
CREATE FUNCTION strict(v text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT v::int';
GRANT ALL ON member TO support, billing;
"""

POLICY = """\
version: 1
tags:
  email: { mask: email }
columns:
  public.member: { email: email }
  public.person: { email: email }
roles:
  billing: { member_of: [billing], sees: { "*": clear } }
"""

# Statements whose errors or notices quote the value on a direct connection.
QUOTING = {
    "a cast": ["SELECT email::int FROM member WHERE id = 1"],
    "a cast in an inlined function": ["SELECT strict(email) FROM member WHERE id = 1"],
    "a cast to an object": ["SELECT email::regclass FROM member WHERE id = 1"],
    "a cast to a type": ["SELECT email::regtype FROM member WHERE id = 1"],
    "a cast to a type that is no syntax": ["SELECT ('int4 ' || email)::regtype FROM member WHERE id = 1"],
    "a function of its name": ["SELECT email::regprocedure FROM member WHERE id = 1"],
    "an object's address": ["SELECT pg_get_object_address('function', ARRAY[email], '{}') FROM member WHERE id = 1"],
    "an operator's address": ["SELECT pg_get_object_address('operator', ARRAY[email], '{int4,int4}') FROM member WHERE id = 1"],
    "JSON": ["SELECT email::json FROM member WHERE id = 1"],
    "a deferred unique key": ["BEGIN", "INSERT INTO member (id, email) SELECT 3, email FROM member WHERE id = 1", "COMMIT"],
    "a deferred unique key that is set immediate": [
        "BEGIN", "INSERT INTO member (id, email) SELECT 3, email FROM member WHERE id = 1", "SET CONSTRAINTS ALL IMMEDIATE", "COMMIT"],
    "a deferred unique key in one message": ["INSERT INTO member (id, email) SELECT 3, email FROM member WHERE id = 1; SELECT 1"],
    "a deferred trigger": ["BEGIN", "UPDATE member SET note = 'bad' WHERE id = 1", "COMMIT"],
    "a trigger's notices": ["BEGIN", "UPDATE member SET note = 'z' WHERE id = 1", "ROLLBACK"],
    "a failing row": ["INSERT INTO member (id, email) SELECT NULL, email FROM member WHERE id = 1"],
    "a function's notices": ["SELECT shout(email) FROM member WHERE id = 1"],
    "a function's own SQLSTATE": ["SELECT coded(email) FROM member WHERE id = 1"],
    "the SQLSTATE of a function that was just made": [
        "BEGIN",
        "CREATE FUNCTION pg_temp.told(v text) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING ERRCODE = upper(rpad(substr(v, 1, 4), 5, '0')); END $$",
        "SELECT pg_temp.told(email) FROM member WHERE id = 1",
        "ROLLBACK",
    ],
    "an exception that was caught": ["SELECT caught(1)"],
    "an exception that was caught, in a block": ["DO $$ BEGIN RAISE NOTICE '%', caught(1); END $$"],
    "a block's exception": ["DO $$ DECLARE x int; BEGIN SELECT email INTO x FROM member; EXCEPTION WHEN OTHERS THEN RAISE INFO '%', SQLERRM; END $$"],
    "a block that asserts": ["DO $$ BEGIN ASSERT false, (SELECT email FROM member WHERE id = 1); END $$"],
    "debugging": ["SET client_min_messages = debug5", "SELECT upper(email) FROM member WHERE id = 1"],
    "printed plans": ["SET client_min_messages = log; SET debug_print_plan = on; SET debug_print_rewritten = on; SET debug_print_parse = on",
                      "SELECT email FROM member WHERE id = 1"],
    "an update that fails in its statement": ["PREPARE bad AS SELECT email::int FROM member WHERE id = 1", "EXECUTE bad"],
    "a cursor": ["BEGIN", "DECLARE c CURSOR FOR SELECT email::int FROM member WHERE id = 1", "FETCH c", "ROLLBACK"],
}

# Statements about tagged tables whose errors say nothing of a value: as on a direct connection, byte for byte.
OWN_TEXT = {
    "a syntax error": "SELECT email FROM member WHERE",
    "a quote that is not closed": "SELECT email FROM member WHERE note = 'x",
    "junk behind a number": "SELECT 1e, email FROM member",
    "a colon": "SELECT :email FROM member",
    "a syntax error without a position": "SELECT email FROM member FETCH FIRST 1 ROWS WITH TIES",
    "no such column": "SELECT emial FROM member",
    "no such function": "SELECT lower(email, 1) FROM member",
    "a literal that is no number": "SELECT email FROM member WHERE id = 'x'",
    "a literal that is no type": "SELECT email, 'x'::regtype FROM member",
    "no such savepoint": "BEGIN; SELECT email FROM member; ROLLBACK TO nowhere",
    "permission": "TABLE vault; SELECT email FROM member",
    "two rows": "SELECT (SELECT note FROM member), email FROM member",
    "a view that is not for writing": "INSERT INTO members VALUES (1)",
}


@pytest.fixture(scope="module")
def members(pg) -> str:
    pg.psql("CREATE DATABASE members TEMPLATE people_template")
    pg.psql(MADE + "CREATE VIEW members AS SELECT DISTINCT email FROM member; GRANT ALL ON members TO support;", database="members")
    return "members"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "members.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return path


@pytest.fixture
def front(own_front, policy, members):
    return own_front(policy, database=members)


def texts(frames) -> bytes:
    return b"".join(one.body for one in frames if one.tag in "ENDSAT")


def play(client: Raw, statements: list[str], extended: bool) -> list:
    got = []
    for sql in statements:
        got += client.ask(parse("", sql) + bind("", "") + describe("P", "") + execute() + sync() if extended else query(sql))
    return got


@pytest.mark.proxy
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_no_error_or_notice_quotes_what_is_masked(front, pg, members, extended):
    quoted_directly = 0
    for name, statements in QUOTING.items():
        for client, masked in ((Raw(pg.host, pg.port), False), (Raw(front.host, front.port), True)):
            client.login("sam", members)
            got = play(client, statements, extended)
            client.close()
            held = VALUE in texts(got) or CODE in texts(got)
            if masked:
                assert not held, (name, [one.fields() for one in got if one.tag in "EN"])
            else:
                quoted_directly += held
    assert quoted_directly >= len(QUOTING) - 4, quoted_directly


@pytest.mark.proxy
def test_all_of_a_flight_at_once_tells_no_more(front, members):
    """Requests that are sent before the answers to earlier ones have come."""
    client = Raw(front.host, front.port)
    client.login("sam", members)
    taken = "INSERT INTO member (id, email) SELECT 3, email FROM member WHERE id = 1"
    client.send(query("SELECT 1") + query("BEGIN") + query(taken) + query("COMMIT") + query("SELECT 1/0"))
    got = client.until("Z", "Z", "Z", "Z", "Z")
    errors = [one.fields() for one in got if one.tag == "E"]
    assert [one["C"] for one in errors] == ["23505", "22012"] and "D" not in errors[0] and VALUE not in texts(got)
    assert errors[0]["n"] == "member_email"
    client.send(parse("", taken) + bind("", "") + execute() + parse("", "SELECT 1") + bind("", "") + execute() + sync())
    got = client.until("Z")
    assert VALUE not in texts(got) and [one.fields()["C"] for one in got if one.tag == "E"] == ["23505"]
    client.close()


@pytest.mark.proxy
def test_what_speaks_of_the_clients_own_text_stays_as_it_is(front, pg, members):
    for name, sql in OWN_TEXT.items():
        answers = []
        for host, port in ((pg.host, pg.port), (front.host, front.port)):
            client = Raw(host, port)
            client.login("sam", members)
            answers.append([(one.tag, one.body) for one in client.ask(query(sql)) if one.tag in "ENCZ"])
            client.close()
        assert answers[0] == answers[1], name


@pytest.mark.proxy
def test_who_sees_everything_reads_every_error(front, pg, members):
    answers = []
    for host, port in ((pg.host, pg.port), (front.host, front.port)):
        client = Raw(host, port)
        client.login("bella", members)
        answers.append([[(one.tag, one.body) for one in play(client, QUOTING[name], False)] for name in ("a cast", "a failing row")])
        client.close()
    assert answers[0] == answers[1]


@pytest.mark.proxy
def test_a_parameter_that_can_not_be_read_is_named(front, pg, members):
    """From PostgreSQL 14 on the context says that the error is about the parameter."""
    answers = []
    for host, port in ((pg.host, pg.port), (front.host, front.port)):
        client = Raw(host, port)
        client.login("sam", members)
        flight = parse("s", "SELECT email FROM member WHERE id = $1") + bind("", "s", ["x"]) + execute() + sync()
        answers.append([one.fields() for one in client.ask(flight) if one.tag == "E"])
        client.close()
    (direct,), (through,) = answers
    if "W" in direct:
        assert through == direct
    else:
        assert through["C"] == direct["C"] == "22P02" and "x" not in through["M"].split()
