"""A refusal is an error of PostgreSQL to whoever talks to it: SQLSTATE, order of replies, transaction state.

Each script runs twice: directly with a twin statement that PostgreSQL itself refuses, and through pgveil with one that
pgveil refuses. The outlines (tags, SQLSTATEs, transaction states) must be those of one of two twins: a table without
the right to read it (refused when it runs), or a syntax error (refused when it is read).
"""

import psycopg
import pytest

from harness import drivers
from harness.script import Column, Statement, Step
from harness.wire import Raw, bind, close, describe, execute, flush, outline, parse, query, sync

REFUSED = "SELECT notes FROM person"
TWINS = {"no right": "SELECT content FROM vault", "not read": "SELEC content FROM vault"}
USER = "ana"


def ext(sql: str, params=()) -> bytes:
    return parse("", sql) + bind("", "", params) + describe("P", "") + execute()


def one_by_one(*messages: bytes) -> list[tuple[bytes, tuple[str, ...]]]:
    return [(message, ("Z",)) for message in messages]


# Each: steps of (bytes, tags to wait for), of the statement X that is refused.
SCRIPTS = {
    "alone": lambda x: one_by_one(query(x), query("SELECT 1")),
    "in a transaction": lambda x: one_by_one(query("BEGIN"), query("SELECT 1"), query(x), query("SELECT 2"), query("COMMIT"), query("SELECT 3")),
    "in a transaction, rolled back": lambda x: one_by_one(query("BEGIN"), query(x), query("ROLLBACK"), query("SELECT 1")),
    "behind a savepoint": lambda x: one_by_one(query("BEGIN"), query("SAVEPOINT a"), query(x), query("SELECT 1"), query("ROLLBACK TO a"),
                                               query("SELECT 2"), query("COMMIT")),
    "twice behind savepoints": lambda x: one_by_one(query("BEGIN"), query("SAVEPOINT a"), query(x), query("ROLLBACK TO a"), query("SAVEPOINT b"),
                                                    query(x), query("ROLLBACK TO b"), query("SELECT 2"), query("COMMIT")),
    "in a failed transaction": lambda x: one_by_one(query("BEGIN"), query("SELECT 1/0"), query(x), query("ROLLBACK")),
    "first of several": lambda x: one_by_one(query(f"{x}; SELECT 1"), query("SELECT 2")),
    "in the middle of several": lambda x: one_by_one(query(f"SELECT 1; {x}; SELECT 2"), query("SELECT 3")),
    "last of several": lambda x: one_by_one(query(f"SELECT 1; {x}"), query("SELECT 2")),
    "behind BEGIN in one message": lambda x: one_by_one(query(f"BEGIN; {x}"), query("SELECT 1"), query("ROLLBACK")),
    "behind COMMIT in one message": lambda x: one_by_one(query("BEGIN"), query(f"SELECT 1; COMMIT; {x}; SELECT 2"), query("ROLLBACK")),
    "extended": lambda x: one_by_one(ext(x) + sync(), ext("SELECT 1") + sync()),
    "extended, skipped until Sync": lambda x: one_by_one(ext("SELECT 1") + ext(x) + ext("SELECT 2") + ext("SELECT 3") + sync(), ext("SELECT 4") + sync()),
    "extended, in a transaction": lambda x: one_by_one(ext("BEGIN") + sync(), ext(x) + sync(), ext("SELECT 1") + sync(), ext("ROLLBACK") + sync()),
    "extended, two refused": lambda x: one_by_one(ext(x) + ext(x) + sync(), ext(x) + sync(), ext("SELECT 1") + sync()),
    "pipelines": lambda x: [(ext("SELECT 1") + sync() + ext(x) + sync() + ext("SELECT 2") + sync() + query(x) + query("SELECT 3"), tuple("ZZZZZ"))],
    "a pipelined transaction": lambda x: [(ext("BEGIN") + ext("SELECT 1") + sync() + ext(x) + sync() + ext("ROLLBACK") + sync(), tuple("ZZZ"))],
    "flushed": lambda x: [(ext(x) + flush(), ("E",)), (ext("SELECT 'skipped'") + flush() + sync(), ("Z",)), (query("SELECT 1"), ("Z",))],
    "a named statement": lambda x: one_by_one(parse("s", x) + sync(), bind("", "s") + execute() + sync(), close("S", "s") + sync(), ext("SELECT 1") + sync()),
    "simple behind extended": lambda x: [(ext("SELECT 1") + sync() + query(x) + ext("SELECT 2") + sync(), tuple("ZZZ"))],
}


def played(host: str, port: int, steps) -> list[str]:
    client = Raw(host, port)
    client.login(USER, "people")
    lines = []
    for data, tags in steps:
        lines += outline(client.ask(data, *tags))
    client.close()
    return lines


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_refusal_reads_like_postgresqls_own(pg, front, name):
    target = front("people.yaml")
    twins = {}
    for twin, sql in TWINS.items():
        lines = played(pg.host, pg.port, SCRIPTS[name](sql))
        twins[twin] = [line.replace("E 42601", "E 42501") for line in lines]
        assert any(line.startswith("E ") for line in lines)
    got = played(target.host, target.port, SCRIPTS[name](REFUSED if target.proxied else TWINS["no right"]))
    assert got in twins.values(), "\n".join(["got:", *got, "", "PostgreSQL:", *twins["no right"]])


def test_nothing_of_the_refused_transaction_stays(pg, front):
    target = front("people.yaml")
    refused = REFUSED if target.proxied else TWINS["no right"]
    client = Raw(target.host, target.port)
    client.login(USER, "people")
    client.ask(ext("INSERT INTO note VALUES (501, 'x')") + ext(refused) + sync())
    client.ask(query(f"INSERT INTO note VALUES (502, 'x'); {refused}"))
    client.close()
    assert pg.psql("SELECT count(*) FROM note WHERE id > 500", database="people").strip() == "0"


@pytest.mark.proxy
def test_a_refusal_says_what_to_do(front):
    target = front("people.yaml")
    with psycopg.connect(drivers.Login(target.host, target.port, USER, "people").dsn()) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            connection.execute(REFUSED)
        diagnostic = caught.value.diag
        assert "pgveil" in diagnostic.message_primary
        assert "notes" in diagnostic.message_primary
        assert diagnostic.message_hint
        assert diagnostic.severity == "ERROR"
        connection.rollback()
        assert connection.execute("SELECT id FROM person WHERE id = 1").fetchall() == [(1,)]


@pytest.mark.proxy
@pytest.mark.parametrize("driver", sorted(set(drivers.WAYS) - {"psql"}))
def test_every_driver_sees_the_refusal_and_goes_on(front, driver):
    target = front("people.yaml")
    refused = Statement("refused", REFUSED, (Column(),))
    fine = Statement("fine", "SELECT id FROM person ORDER BY id", (Column(),))
    steps = []
    for way, form in drivers.WAYS[driver]:
        steps += [Step(refused, way.rstrip("*"), form), Step(fine, way.rstrip("*"), form)]
    outcomes = drivers.run(driver, drivers.Login(target.host, target.port, USER, "people"), steps)
    assert len(outcomes) == len(steps)
    for at, (step, one) in enumerate(zip(steps, outcomes, strict=True)):
        if at % 2 == 0:
            assert one.error and one.error["code"] == "42501", (step, one)
            assert one.error["hint"], (step, one)
        else:
            assert len(one.rows) == 5, (step, one)


@pytest.mark.proxy
def test_refusals_are_counted_by_reason(front):
    target = front("people.yaml")
    before = target.metric("pgveil_refusals_total", reason="denied")
    client = Raw(target.host, target.port)
    client.login(USER, "people")
    client.ask(query(REFUSED))
    client.close()
    assert target.metric("pgveil_refusals_total", reason="denied") == before + 1
    assert not target.events() or all(event["column"] != "notes" or event["role"] == "billing" for event in target.events())


@pytest.mark.proxy
def test_set_role_does_not_widen_what_is_seen(front):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("postgres", "people")
    client.ask(query("SET ROLE billing"))
    got = client.ask(query("SELECT email FROM person WHERE id = 1"))
    client.close()
    assert b"jane@example.com" not in b"".join(one.body for one in got)
