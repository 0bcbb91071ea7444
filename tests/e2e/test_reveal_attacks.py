"""Attacks on reveals and asserted end users: nothing is shown in clear without a grant in force, and nothing without its record."""

import time

import psycopg
import pytest

from harness.wire import Raw, bind, describe, execute, parse, query, sync
from test_reveal import JANE, MASKED, connect, one, records

pytestmark = pytest.mark.proxy

POLICY = """
version: 1
tags:
  email: { mask: email }
  phone: { mask: full }
columns:
  person: { email: email, phone: phone }
  person_view: { email: email, phone: phone }
actors:
  ann: { assert: plain, by: [setting, comment] }
subjects:
  person: [person.id]
roles:
  desk:
    users: [bella]
    sees: { "*": masked }
    reveal: { tags: [email], lasts: 3s, rows: 1000 }
  bound:
    users: [carl]
    sees: { "*": masked }
    reveal: { tags: [email], lasts: 60s, rows: 1000, subject: required }
  agents:
    actors: ["jane@*"]
    sees: { "*": masked }
    reveal: { tags: [email], lasts: 60s, rows: 1000 }
  boss: { actors: ["boss"], sees: { "*": clear } }
"""
ASKED = "SELECT email FROM person WHERE id = 1"


@pytest.fixture(scope="module")
def clear(pg) -> tuple[set[str], set[str]]:
    """All emails and phone numbers that there are."""
    read = lambda column: set(pg.psql(f"SELECT {column} FROM person WHERE {column} IS NOT NULL", database="people").split("\n")) - {"", "112"}
    return read("email"), read("phone")


@pytest.fixture
def asking(pg, own_front, tmp_path):
    pg.psql("".join(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') THEN CREATE ROLE {user} LOGIN; END IF; END $$; GRANT SELECT ON person, person_view TO {user};"
        for user in ("ann", "carl", "bella")
    ), database="people")
    (tmp_path / "policy.yaml").write_text(POLICY)
    target = own_front(tmp_path / "policy.yaml", reveal_state_file=tmp_path / "reveals.json")
    yield target
    # Whatever was shown, each reveal stands on a grant, and that was recorded before it.
    granted: set[str] = set()
    for record in records(target, "reveal_granted", "reveal"):
        if record["kind"] == "reveal_granted":
            granted.add(record["grant"])
        elif record.get("grant"):
            assert record["grant"] in granted, record
        else:
            assert record["actor"] == "boss", record


def raw(target, user: str = "bella", **parameters) -> Raw:
    client = Raw(target.host, target.port)
    client.login(user, "people", **parameters)
    return client


def cells(frames) -> list[str]:
    """The texts of all rows, those of COPY and of errors and notices included."""
    found = []
    for frame in frames:
        if frame.tag == "D":
            found += [cell.decode() for cell in frame.cells() if cell is not None]
        elif frame.tag in "dEN":
            found.append(frame.body.decode(errors="replace"))
    return found


def shows(found: list[str], values) -> bool:
    return any(value in cell for cell in found for value in values)


def said(connection: psycopg.Connection, statement: str) -> list[str]:
    """Whatever a statement tells: rows, notices, its error."""
    told: list[str] = []
    handler = lambda notice: told.append(str(notice.message_primary) + str(notice.message_detail))
    connection.add_notice_handler(handler)
    try:
        cursor = connection.execute(statement)
        if cursor.description:
            told += [str(cell) for row in cursor.fetchall() for cell in row]
    except psycopg.Error as error:
        told.append(str(error) + str(error.diag.message_detail) + str(error.diag.context))
    connection.remove_notice_handler(handler)
    return told


# What a batch tells: each of these is sent at once.
@pytest.mark.parametrize("batch, expected", [
    (["SET pgveil.reveal = 'x'", ASKED], True),
    ([ASKED, "SET pgveil.reveal = 'x'"], False),
    (["SET pgveil.reveal = 'x'", "RESET pgveil.reveal", ASKED], False),
    (["SET pgveil.reveal = 'x'", "DISCARD ALL", ASKED], False),
    (["SET pgveil.reveal = 'x'", "RESET ALL", ASKED], False),
    (["BEGIN", "SET pgveil.reveal = 'x'", "ROLLBACK", ASKED], False),
    (["BEGIN", "SET LOCAL pgveil.reveal = 'x'", "COMMIT", ASKED], False),
    (["BEGIN", "SET LOCAL pgveil.reveal = 'x'", "COMMIT AND CHAIN", ASKED, "COMMIT"], False),
    (["BEGIN", "SET LOCAL pgveil.reveal = 'x'", ASKED, "COMMIT"], True),
    (["BEGIN", "SAVEPOINT a", "SET pgveil.reveal = 'x'", "ROLLBACK TO a", ASKED, "COMMIT"], False),
    (["BEGIN", "SAVEPOINT a", "SET pgveil.reveal = 'x'", "RELEASE a", "ROLLBACK", ASKED], False),
    (["BEGIN", "SAVEPOINT a", "SAVEPOINT \"A\"", "SET pgveil.reveal = 'x'", "ROLLBACK TO A", ASKED, "COMMIT"], False),
    (["BEGIN", "SET pgveil.reveal = 'x'", "SELECT 1/0", "COMMIT", ASKED], False),
    (["BEGIN", "SELECT 1/0", "SET pgveil.reveal = 'x'", "COMMIT", ASKED], False),
    (["SET LOCAL pgveil.reveal = 'x'", ASKED], False),
])
@pytest.mark.parametrize("way", ["messages", "one query", "pipeline", "one sync"])
def test_a_batch_shows_what_the_same_statements_show_one_by_one(asking, clear, batch, expected, way):
    if way == "one query" and any("ROLL" in text or "COMMIT" in text or "BEGIN" in text or "DISCARD" in text or "SET LOCAL" in text for text in batch):
        pytest.skip("one transaction of its own")
    if way == "one sync" and batch[0] == "SET LOCAL pgveil.reveal = 'x'":
        pytest.skip("one transaction of its own")
    client = raw(asking)
    if way == "one query":
        found = cells(client.ask(query("; ".join(batch))))
    elif way == "messages":
        client.send(b"".join(query(text) for text in batch))
        found = [cell for _ in batch for cell in cells(client.until("Z"))]
    else:
        message = lambda text: parse("", text) + bind("", "") + describe("P", "") + execute()
        end = b"" if way == "one sync" else sync()
        if way == "one sync" and ("DISCARD ALL" in batch or "SELECT 1/0" in batch):
            pytest.skip("one transaction of its own")
        client.send(b"".join(message(text) + end for text in batch) + (sync() if way == "one sync" else b""))
        found = [cell for _ in (batch if way == "pipeline" else [1]) for cell in cells(client.until("Z"))]
    assert shows(found, clear[0]) == expected, found
    assert expected or not records(asking, "reveal")


def test_cursors_portals_and_prepared_statements_show_what_holds_when_they_are_read(asking, clear):
    client = raw(asking)
    client.ask(query("SET pgveil.reveal = 'x'"))
    client.ask(query("BEGIN"))
    client.ask(query("DECLARE c CURSOR FOR SELECT email FROM person ORDER BY id"))
    client.ask(query("DECLARE h CURSOR WITH HOLD FOR SELECT email FROM person ORDER BY id"))
    assert shows(cells(client.ask(query("FETCH 1 FROM c"))), clear[0])
    client.ask(query("PREPARE p AS SELECT email FROM person ORDER BY id"))
    assert shows(cells(client.ask(query("EXECUTE p"))), clear[0])
    client.ask(parse("named", "SELECT email FROM person ORDER BY id") + sync())
    begun = client.ask(bind("portal", "named") + describe("P", "portal") + execute("portal", 1) + sync())
    assert shows(cells(begun), clear[0])
    client.ask(query("RESET pgveil.reveal"))
    for left in ("FETCH ALL FROM c", "FETCH BACKWARD ALL FROM c", "FETCH ALL FROM h", "MOVE BACKWARD ALL FROM h", "FETCH 2 FROM h", "EXECUTE p"):
        assert not shows(cells(client.ask(query(left))), clear[0]), left
    assert not shows(cells(client.ask(execute("portal") + sync())), clear[0])
    assert not shows(cells(client.ask(bind("", "named") + execute() + sync())), clear[0])
    client.ask(query("COMMIT"))
    assert not shows(cells(client.ask(query("MOVE BACKWARD ALL FROM h; FETCH ALL FROM h"))), clear[0])
    assert not shows(cells(client.ask(query("EXECUTE p"))), clear[0])
    # And the other way about: what was planned before shows it, with its record.
    client.ask(query("SET pgveil.reveal = 'y'"))
    before = len(records(asking, "reveal"))
    assert shows(cells(client.ask(query("EXECUTE p"))), clear[0])
    assert len(records(asking, "reveal")) == before + 1


def test_what_ends_by_itself_ends_in_the_middle_of_a_result_and_of_a_cursor(asking, clear):
    with connect(asking, "bella") as connection:
        connection.execute("SET pgveil.reveal = 'x'")
        started = time.monotonic()
        shown = [(row[0], row[1]) for row in connection.execute("SELECT email, pg_sleep(1), n FROM person, generate_series(1, 5) n WHERE id = 1 ORDER BY n").fetchall()]
        assert time.monotonic() - started > 4
        assert shown[-1][0] == MASKED, shown
        assert one(connection) == MASKED
        connection.execute("SET pgveil.reveal = 'y'")
        with connection.transaction():
            connection.execute("DECLARE c CURSOR FOR SELECT email FROM person WHERE id = 1 UNION ALL SELECT email FROM person WHERE id = 1")
            assert said(connection, "FETCH 1 FROM c") == [JANE]
            time.sleep(3.2)
            assert said(connection, "FETCH 1 FROM c") == [MASKED]


@pytest.mark.parametrize("trick", [
    "DO $$ BEGIN SET pgveil.reveal = 'x'; END $$",
    "DO $$ BEGIN EXECUTE 'SET pgveil.reveal = ''x'''; END $$",
    "WITH a AS (SELECT set_config('pgveil.reveal', 'x', false)) SELECT * FROM a",
    "SELECT * FROM set_config('pgveil.reveal', 'x', false)",
    "SELECT 1 WHERE set_config('pgveil.reveal', 'x', false) = 'x'",
    "SELECT set_config('pgveil.reveal', 'x', false), 1",
    "SELECT lower(set_config('pgveil.reveal', 'x', false))",
    "SELECT set_config(chr(112) || 'gveil.reveal', 'x', false)",
    "VALUES (set_config('pgveil.reveal', 'x', false))",
    "SET ROLE bella",
    "SET SESSION AUTHORIZATION bella",
    "SET pgveil.reveal FROM CURRENT",
    "SET pgveil.reveal = DEFAULT",
    "SET pgveil.reveal = ''",
    "ALTER ROLE bella SET pgveil.reveal = 'x'",
    "SET pgveil_reveal.x = 'x'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "/* SET pgveil.reveal = 'x' */ SELECT 1",
])
def test_nothing_else_is_taken_for_a_request(asking, clear, trick):
    with connect(asking, "bella") as connection:
        said(connection, trick)
        assert not shows(said(connection, ASKED), clear[0])
    assert not records(asking, "reveal_granted", "reveal")


@pytest.mark.parametrize("statement", [
    "SELECT phone FROM person",
    "SELECT email || phone FROM person",
    "SELECT concat(email, phone) FROM person",
    "SELECT coalesce(phone, email) FROM person",
    "SELECT CASE WHEN id > 0 THEN phone ELSE email END FROM person",
    "SELECT email FROM person UNION ALL SELECT phone FROM person",
    "SELECT phone FROM person UNION ALL SELECT email FROM person",
    "SELECT p FROM person p",
    "SELECT row_to_json(p) FROM person p",
    "SELECT (SELECT phone FROM person q WHERE q.id = p.id) FROM person p",
    "SELECT x.email FROM (SELECT phone AS email FROM person) x",
    "WITH x(email) AS (SELECT phone FROM person) SELECT email FROM x",
    "SELECT phone FROM person_view",
    "COPY person TO STDOUT",
    "COPY (SELECT email, phone FROM person) TO STDOUT",
    "SELECT phone::int FROM person",
    "SELECT string_agg(phone, ',') FROM person",
    "DO $$ BEGIN RAISE NOTICE '%', (SELECT phone FROM person WHERE id = 1); END $$",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT phone FROM person",
])
def test_a_grant_of_one_tag_shows_nothing_of_another(asking, clear, statement):
    client = raw(asking)
    client.ask(query("SET pgveil.reveal = 'x'"))
    assert not shows(cells(client.ask(query(statement))), clear[1])
    assert all(record["tag"] != "phone" for record in records(asking, "reveal"))


@pytest.mark.parametrize("statement", [
    "SELECT email::int FROM person WHERE id = 1",
    "SELECT 1 / (length(email) - length(email)) FROM person WHERE id = 1",
    "DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM person WHERE id = 1); END $$",
    "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT email FROM person WHERE id = 1); END $$",
    "SELECT pg_notify('x', email) FROM person",
    "SELECT set_config('my.x', email, false) IS NULL FROM person",
    "SELECT query_to_xml('SELECT email FROM person', true, true, '')",
    "SELECT cast(email AS date) FROM person",
    "CREATE TEMP TABLE mine AS SELECT email AS x FROM person",
    "SELECT email AS x INTO TEMP mine FROM person",
    "SELECT id FROM person WHERE email LIKE 'j%'",
    "SELECT id FROM person ORDER BY email",
])
def test_what_a_grant_lets_out_is_recorded_whatever_the_way(asking, clear, statement):
    client = raw(asking)
    client.ask(query("LISTEN x"))
    client.ask(query("SET pgveil.reveal = 'x'"))
    found = cells(client.ask(query(statement)))
    assert not shows(found, clear[0]) or records(asking, "reveal"), found
    client.ask(query("RESET pgveil.reveal"))
    for later in ("SELECT x FROM mine", "SELECT current_setting('my.x')", "SELECT 1"):
        frames = client.ask(query(later))
        assert not shows(cells(frames) + [frame.body.decode(errors="replace") for frame in frames if frame.tag == "A"], clear[0]), later


@pytest.mark.parametrize("statement", [
    "SELECT 1 AS id, email FROM person WHERE id = 2",
    "SELECT id - 1 AS id, email FROM person WHERE id = 2",
    "SELECT a.id, b.email FROM person a JOIN person b ON b.id = 2 WHERE a.id = 1",
    "SELECT a.id, b.email FROM person a, person_view b WHERE a.id = 1 AND b.id = 2",
    "SELECT a.id, b.email FROM person_view b, person a WHERE a.id = 1 AND b.id = 2",
    "SELECT id, (SELECT email FROM person_view v WHERE v.id = 2) FROM person WHERE id = 1",
    "SELECT 1 AS id, max(email) FROM person WHERE id = 2",
    "SELECT min(id), max(email) FROM person WHERE id < 3",
    "SELECT id, lead(email) OVER (ORDER BY id) FROM person WHERE id < 3",
    "SELECT id, string_agg(email, ',') OVER () FROM person",
    "SELECT id, email FROM person WHERE id = 2 UNION ALL SELECT 1, email FROM person WHERE id = 2",
    "SELECT 1 AS id, email FROM person WHERE id = 2 UNION ALL SELECT id, email FROM person WHERE id = 1",
    "WITH p(id, email) AS (SELECT 1, email FROM person WHERE id = 2) SELECT id, email FROM p",
    "SELECT person.id, x.email FROM person, LATERAL (SELECT email FROM person_view v WHERE v.id = 2) x WHERE person.id = 1",
    "SELECT id, email FROM person GROUP BY GROUPING SETS ((id), (email))",
    "SELECT v.id, p.email FROM person p JOIN (VALUES (1)) v(id) ON true WHERE p.id = 2",
    "SELECT id, email FROM (SELECT 1 AS id, email FROM person WHERE id = 2) person",
    "SELECT email FROM person WHERE id = 2",
    "SELECT id, email FROM person WHERE id = 2",
    "SELECT 1, id, email FROM person WHERE id = 2",
    "COPY (SELECT id, email FROM person WHERE id = 2) TO STDOUT",
    "COPY person TO STDOUT",
    "SELECT array_agg(email) FROM person",
    "SELECT p FROM person p WHERE id = 2",
    "TABLE person",
    "DECLARE c CURSOR FOR SELECT 1 AS id, email FROM person WHERE id = 2; FETCH ALL FROM c",
])
def test_a_grant_for_one_subject_shows_nobody_else(asking, clear, statement):
    client = raw(asking, "carl")
    client.ask(query("SET pgveil.reveal_subject = 'person:1'"))
    client.ask(query("SET pgveil.reveal = 'x'"))
    assert shows(cells(client.ask(query("SELECT id, email FROM person WHERE id = 1"))), {JANE})
    others = clear[0] - {JANE}
    for way in (query(statement), parse("", statement) + bind("", "") + describe("P", "") + execute() + sync()):
        assert not shows(cells(client.ask(way)), others)


def test_an_end_user_is_not_the_next_one_of_a_pooled_session(asking, clear):
    client = raw(asking, "ann")
    ask = lambda text: cells(client.ask(query(text)))
    for leave in ("RESET pgveil.actor", "RESET ALL", "DISCARD ALL", "SET pgveil.actor = 'eve'", "SET pgveil.actor = ''"):
        ask("SET pgveil.actor = 'boss'")
        assert shows(ask(ASKED), {JANE})
        ask("PREPARE p AS SELECT email FROM person")
        client.ask(parse("named", ASKED) + sync())
        ask(leave)
        assert not shows(ask(ASKED), clear[0]), leave
        assert not shows(ask("EXECUTE p"), clear[0]), leave
        assert not shows(cells(client.ask(bind("", "named") + describe("P", "") + execute() + sync())), clear[0]), leave
        ask("DEALLOCATE ALL")
    for begin, end in (("BEGIN", "COMMIT"), ("BEGIN", "ROLLBACK"), ("BEGIN", "COMMIT AND CHAIN; COMMIT"), ("BEGIN", "PREPARE TRANSACTION 'x'")):
        ask(begin)
        ask("SET LOCAL pgveil.actor = 'boss'")
        assert shows(ask(ASKED), {JANE})
        ask(end)
        ask("ROLLBACK")
        assert not shows(ask(ASKED), clear[0]), end
    # Left as it is, it would hold its lock on the table for ever, against every test that changes it.
    ask("ROLLBACK PREPARED 'x'")
    # What one end user was granted is not the next one's, nor that of nobody, nor his own again.
    for leave in ("SET pgveil.actor = 'jane@other'", "RESET pgveil.actor"):
        ask("SET pgveil.actor = 'jane@shop'")
        ask("SET pgveil.reveal = 'x'")
        assert shows(ask(ASKED), {JANE})
        ask(leave)
        assert not shows(ask(ASKED), clear[0]), leave
        ask("SET pgveil.actor = 'jane@shop'")
        assert not shows(ask(ASKED), clear[0]), leave
    ask("RESET pgveil.actor")
    # Whom a comment names, its own statement names and no other.
    ask("PREPARE p AS SELECT email FROM person /*actor='boss'*/")
    assert not shows(ask("EXECUTE p"), clear[0])
    ask("BEGIN")
    ask("DECLARE c CURSOR FOR SELECT email FROM person /*actor='boss'*/")
    assert not shows(ask("FETCH ALL FROM c"), clear[0])
    ask("COMMIT")
    ask("SET pgveil.actor = 'jane@shop'")
    ask("SET pgveil.reveal = 'x'")
    assert not shows(ask(f"{ASKED} /*actor='jane@other'*/"), clear[0])
    for twice in ("/*actor='boss',actor='eve'*/", "/*actor='eve'*/ /*actor='boss'*/", "/*ACTOR='boss'*/", "--actor='boss'"):
        ask("RESET ALL")
        assert not shows(ask(f"{ASKED} {twice}"), clear[0]) or "actor='eve'*/ " in twice, twice


@pytest.mark.parametrize("options", [
    {"options": "-c pgveil.reveal=x"}, {"options": "-cpgveil.reveal=x"}, {"options": "--pgveil.reveal=x"}, {"options": "-c PGVEIL.Reveal=x"},
    {"options": "-c pgve\\\\il.reveal=x"}, {"options": "-c pgveil.actor=boss"}, {"options": "--pgveil.actor=boss"}, {"options": "-c pgveil.reveal_status=on"},
])
def test_startup_options_reveal_nothing_and_assert_nobody_where_that_is_not_allowed(asking, clear, options):
    try:
        with connect(asking, "bella", **options) as connection:
            assert not shows(said(connection, ASKED), clear[0])
    except psycopg.OperationalError:
        pass
    assert not records(asking, "reveal_granted", "reveal")


@pytest.mark.parametrize("name", ["pgveil.reveal", "pgveil.actor", "PGVEIL.ACTOR"])
def test_startup_parameters_reveal_nothing_and_assert_nobody_where_that_is_not_allowed(asking, clear, name):
    client = Raw(asking.host, asking.port)
    try:
        client.login("bella", "people", **{name: "boss"})
        assert not shows(cells(client.ask(query(ASKED))), clear[0])
    except Exception:  # refused
        pass
    assert not records(asking, "reveal_granted", "reveal")


def test_defaults_of_the_database_reveal_nothing(asking, clear, pg):
    pg.psql("ALTER ROLE ann SET pgveil.actor = 'boss'; ALTER ROLE bella SET pgveil.reveal = 'x'; ALTER ROLE bella IN DATABASE people SET pgveil.reveal = 'x'")
    try:
        for user in ("ann", "bella"):
            with connect(asking, user) as connection:
                for before in ("SELECT 1", "RESET ALL", "DISCARD ALL", "RESET pgveil.actor", "RESET pgveil.reveal"):
                    said(connection, before)
                    assert not shows(said(connection, ASKED), clear[0]), (user, before)
    finally:
        pg.psql("ALTER ROLE ann RESET ALL; ALTER ROLE bella RESET ALL; ALTER ROLE bella IN DATABASE people RESET ALL")
