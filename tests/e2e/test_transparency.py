"""What touches nothing tagged leaves as it came: the server's bytes are those of a direct connection."""

import pytest

from harness import session200, wire
from harness.wire import Raw, bind, execute, parse, query, sync


def played(host, port, chunk=None):
    client = Raw(host, port, chunk=chunk)
    start = client.login("postgres", "people", application_name="transparency")
    answers = session200.play(client)
    client.close()
    own: dict[int, int] = {}
    return [("startup", session200.level(start, own))] + [(name, session200.level(got, own)) for name, got in answers]


@pytest.fixture(scope="module")
def expected(pg):
    return played(pg.host, pg.port)


def assert_same(got, expected, guarded=frozenset()):
    different = []
    for (name, here), (_, there) in zip(got, expected, strict=True):
        if here != there and name not in guarded:
            first = next((pair for pair in zip(here, there, strict=False) if pair[0] != pair[1]), (len(here), len(there)))
            different.append(f"step {name!r}:\n  got      {first[0]}\n  expected {first[1]}")
    assert not different, "\n".join(different)


def test_the_session_has_at_least_200_statements():
    assert len(session200.steps()) >= 200


def test_the_script_answers_the_same_twice(pg, expected):
    assert_same(played(pg.host, pg.port), expected)


@pytest.mark.parametrize("policy", ["empty.yaml", "elsewhere.yaml"])
def test_the_server_stream_is_byte_equal(front, expected, policy):
    target = front(policy)
    assert_same(played(target.host, target.port), expected, session200.GUARDED if policy == "elsewhere.yaml" else frozenset())
    assert target.events() == []


@pytest.mark.parametrize("policy", ["empty.yaml", "elsewhere.yaml"])
def test_writing_one_byte_at_a_time_changes_nothing(front, pg, policy):
    target = front(policy)
    script = (query("SELECT id, body FROM note ORDER BY id") + parse("", "SELECT $1::int") + bind("", "", ["5"]) + execute() + sync()
              + query("SELECT 1/0") + query("BEGIN") + query("ROLLBACK"))
    streams = []
    for host, port, chunk in ((pg.host, pg.port, None), (target.host, target.port, 1)):
        client = Raw(host, port, chunk=chunk)
        start = client.login("postgres", "people")
        streams.append(session200.level(start + client.ask(script, *"ZZZZZ")))
        client.close()
    assert streams[0] == streams[1]


@pytest.mark.parametrize("policy", ["empty.yaml", "elsewhere.yaml"])
def test_a_pipeline_of_five_thousand_answers_in_order(front, pg, policy):
    target = front(policy)
    pipeline = b"".join(parse("", f"SELECT {n}") + bind("", "") + execute() + (sync() if n % 50 == 0 else b"") for n in range(1, 5001))
    client = Raw(target.host, target.port)
    client.login("postgres", "people")
    got = client.ask(pipeline, *("Z" * 100))
    client.close()
    assert [one.cells()[0] for one in got if one.tag == "D"] == [str(n).encode() for n in range(1, 5001)]


def test_terminate_in_a_transaction_rolls_back(front, pg):
    target = front("empty.yaml")
    client = Raw(target.host, target.port)
    client.login("postgres", "people")
    client.ask(query("BEGIN; INSERT INTO note VALUES (777, 'never there')"))
    client.close()
    assert pg.psql("SELECT count(*) FROM note WHERE id = 777", database="people").strip() == "0"


def test_startup_parameters_are_passed_on(front):
    target = front("empty.yaml")
    client = Raw(target.host, target.port)
    client.login("postgres", "people", application_name="from the client", options="-c statement_timeout=12345", DateStyle="German")
    assert client.rows("SHOW application_name") == [[b"from the client"]]
    assert client.rows("SHOW statement_timeout") == [[b"12345ms"]]
    assert client.rows("SHOW DateStyle") == [[b"German, DMY"]]
    client.close()


def test_an_unknown_database_is_refused_with_an_error(front):
    target = front("empty.yaml")
    client = Raw(target.host, target.port)
    client.send(wire.startup("postgres", "no_such_database"))
    got = client.until_closed()
    assert [(one.tag, one.fields()["S"]) for one in got if one.tag == "E"] == [("E", "FATAL")]


def test_a_newer_protocol_is_negotiated_down(front):
    target = front("empty.yaml")
    client = Raw(target.host, target.port)
    body = (196608 + 9999).to_bytes(4, "big") + wire.text("user") + wire.text("postgres") + wire.text("database") + wire.text("people") \
        + wire.text("_pq_.odd") + wire.text("x") + b"\0"
    client.send((len(body) + 4).to_bytes(4, "big") + body)
    got = client.until("Z")
    assert "v" in [one.tag for one in got]
    client.close()
