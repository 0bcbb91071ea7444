"""The access log under load and trouble: complete, in time, and no way around it."""

import os
import signal
import threading
import time

import pytest

from harness.pgveil import ROOT, Pgveil
from harness.wire import Closed, Raw, bind, execute, parse, query, sync

pytestmark = pytest.mark.proxy

REVEALING = "SELECT email FROM person WHERE id = 1"


def connected(target, user: str) -> Raw:
    client = Raw(target.host, target.port)
    client.login(user, "people")
    return client


def extended(sql: str, rows: int = 0, portal: str = "") -> bytes:
    return parse("", sql) + bind(portal, "") + execute(portal, rows)


def test_each_execution_of_a_prepared_statement_is_an_event_of_its_own(own_front):
    target = own_front("people.yaml")
    client = connected(target, "bella")
    client.ask(parse("s", "SELECT email FROM person WHERE id = $1") + sync())
    for number in (1, 2, 4, 0):
        client.ask(bind("", "s", [str(number)]) + execute() + sync())
    client.ask(b"".join(bind("", "s", [str(number)]) + execute() for number in (1, 2, 3)) + sync())
    client.close()
    events = target.events()
    # Row 0 does not exist; row 3 is there, and its e-mail address is NULL.
    assert len(events) == 6
    assert len({event["execution"] for event in events}) == 6
    assert len({event["id"] for event in events}) == 6


def test_a_portal_that_is_read_in_pieces_is_one_execution(own_front):
    target = own_front("people.yaml")
    client = connected(target, "bella")
    client.ask(query("BEGIN"))
    client.ask(extended("SELECT email FROM person ORDER BY id", 2, "p") + execute("p", 2) + execute("p", 2) + sync())
    client.ask(query("COMMIT"))
    client.close()
    assert [event["column"] for event in target.events()] == ["email"]


def test_several_statements_in_one_message_are_several_executions(own_front):
    target = own_front("people.yaml")
    client = connected(target, "bella")
    client.ask(query(f"{REVEALING}; SELECT 1; {REVEALING}; SELECT phone FROM person WHERE id = 1"))
    client.close()
    assert [event["column"] for event in target.events()] == ["email", "email", "phone"]


def test_the_event_is_in_the_file_when_the_first_row_arrives(own_front):
    target = own_front("people.yaml")
    client = connected(target, "bella")
    tail = target.tail()
    for _ in range(50):
        client.send(query(REVEALING))
        client.until("D")
        assert len(tail.events()) == 1
        client.until("Z")
    client.close()


def test_the_event_of_a_long_result_is_there_before_its_end(own_front):
    target = own_front("people.yaml")
    client = connected(target, "bella")
    client.send(query("SELECT p.email, repeat('x', 1000) FROM person p, generate_series(1, 20000)"))
    client.until("D")
    assert [event["column"] for event in target.events()] == ["email"]
    client.until("Z")
    (event,) = target.events()
    if event["rows"] is None:
        closings = [record for record in target.records() if record["kind"] == "close"]
        deadline = time.monotonic() + 5
        while not closings and time.monotonic() < deadline:
            time.sleep(0.05)
            closings = [record for record in target.records() if record["kind"] == "close"]
        assert [(one["execution"], one["rows"], one["complete"]) for one in closings] == [(event["execution"], 100_000, True)]
    else:
        assert event["rows"] == 100_000
    client.close()


def test_while_the_log_can_not_be_written_nothing_is_revealed_and_all_else_goes_on(pg):
    target = Pgveil(pg, ROOT / "tests" / "e2e" / "policies" / "people.yaml", {"access_log": {"path": "/dev/full"}}, "people")
    target.start(ready=(503,))
    bella, sam = connected(target, "bella"), connected(target, "sam")
    for _ in range(3):
        try:
            got = bella.ask(query(REVEALING))
        except (Closed, ConnectionResetError):
            got, bella = bella.frames, connected(target, "bella")
        assert b"jane@example.com" not in b"".join(one.body for one in got)
    assert sam.rows(REVEALING) == [[b"j###@#######.###"]]
    assert sam.rows("SELECT body FROM note WHERE id = 1") == [[b"nothing personal"]]
    assert target.metric("pgveil_access_log_ready") == 0
    sam.close()
    assert target.stop() == 0
    target.remove()


def test_after_sighup_events_go_to_a_new_file(own_front):
    target = own_front("people.yaml")
    client = connected(target, "bella")
    client.rows(REVEALING)
    rotated = target.access_log.with_suffix(".1")
    os.rename(target.access_log, rotated)
    target.reload()
    deadline = time.monotonic() + 5
    while not target.access_log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    client.rows(REVEALING)
    client.close()
    assert len(target.events()) == 1
    assert len(rotated.read_text(encoding="utf-8").splitlines()) >= 1


def test_killed_at_any_moment_no_revealed_row_is_without_its_event(own_front):
    target = own_front("people.yaml")
    seen = [0] * 4
    clients = [connected(target, "bella") for _ in seen]

    def read(number: int) -> None:
        try:
            while True:
                clients[number].send(query(REVEALING))
                clients[number].until("D")
                seen[number] += 1
                clients[number].until("Z")
                clients[number].frames.clear()
        except OSError:
            pass
        except Closed:
            pass

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(seen))]
    for one in threads:
        one.start()
    time.sleep(0.7)
    target.process.send_signal(signal.SIGKILL)
    for one in threads:
        one.join(10)
    target.process.wait(10)
    assert sum(seen) > 20
    assert len(target.events()) >= sum(seen)


def test_sessions_side_by_side_see_by_their_own_rights_only(own_front):
    target = own_front("people.yaml")
    shown = {
        "sam": [b"Jane Doe", b"j###@#######.###", b"+49 170 5550100"],
        "bella": [b"Jane Doe", b"jane@example.com", b"+49 170 5550100"],
        "ana": [b"", b"j###@#######.###", b"+## ### ###0100"],
    }
    sql = "SELECT full_name, email, phone FROM person WHERE id = 1"
    faults: list[str] = []

    def work(user: str, number: int) -> None:
        try:
            client = connected(target, user)
            for turn in range(30):
                if (turn + number) % 2:
                    rows = client.rows(sql)
                else:
                    got = client.ask(extended(sql) + sync())
                    rows = [one.cells() for one in got if one.tag == "D"]
                if rows != [shown[user]]:
                    faults.append(f"{user}: {rows}")
            client.close()
        except Exception as fault:
            faults.append(f"{user}: {fault!r}")

    threads = [threading.Thread(target=work, args=(user, number)) for number in range(10) for user in shown]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert not faults, faults[:5]
    users = [event["user"] for event in target.events()]
    assert users.count("bella") == 10 * 30 * 3
    assert users.count("sam") == 10 * 30 * 2
    assert users.count("ana") == 0
