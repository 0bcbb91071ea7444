"""Attacks on the guard: races, reconnecting, locks amid a result, stores that are slow or come and go, kills, commands side by side."""

import json
import random
import subprocess
import threading
import time

import pytest

from harness.pgveil import binary
from harness.wire import Closed, Raw, query

from test_guard import ROWS, client, command, connect, copied, error, extended, guarded, guard_records, is_locked_out, many, shared, shown, simple, store, within

pytestmark = pytest.mark.proxy

# Enough to be on its way for seconds.
LARGE = "SELECT m.id, m.secret FROM many m, generate_series(1, 400) g"


def together(number: int, work) -> None:
    """`work(0)` to `work(number - 1)` at the same time."""
    failed = []

    def run(index: int):
        try:
            work(index)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if failed:
        raise failed[0]


def until_closed(raw: Raw) -> bytes:
    """All bytes until the connection is closed."""
    got = bytearray(raw.buffer)
    try:
        while more := raw.socket.recv(1 << 20):
            got += more
    except ConnectionError:
        pass
    return bytes(got)


@pytest.mark.parametrize("rows", [1, 7, 900])
def test_sessions_that_race_share_one_budget_to_the_row(guarded, rows):
    target = guarded(ROWS)
    left = [0] * 24

    def read(index: int):
        raw, way = client(target), (simple, extended, copied)[index % 3]
        for _ in range(max(2, 100 // rows)):
            left[index] += shown(way(raw, rows))

    together(len(left), read)
    assert sum(left) == 1000


def test_who_comes_again_has_what_is_left(guarded):
    target = guarded("rows: { what: revealed_rows, max: 50, within: 1 hour }")
    seen = []
    for _ in range(12):
        raw = client(target)
        seen.append(shown(simple(raw, 7)))
        raw.close()
    assert seen == [7] * 7 + [1] + [0] * 4


def test_a_large_result_of_one_session_leaves_a_small_limit_to_the_others(guarded):
    # What is taken ahead for rows that have not left yet is not missing elsewhere for long, and locks nobody out.
    target = guarded("rows: { what: revealed_rows, max: 3000, within: 1 hour, on_breach: [alert, lock_account] }")
    one = client(target)
    one.send(query("BEGIN; DECLARE c CURSOR FOR SELECT id, secret FROM many; FETCH 1400 FROM c"))
    assert shown(one.until("Z")) == 1400
    assert shown(simple(client(target), 1600)) == 1600
    assert not is_locked_out(target)


@pytest.mark.parametrize("user", ["bella", "sam"])
def test_a_lock_ends_a_result_that_is_on_its_way(guarded, store, user):
    target = guarded("none: { what: refusals, max: 1000, within: 1 hour }", state=store)
    raw = client(target, user)
    raw.send(query(LARGE))
    assert raw.next().tag == "T"
    command(target, "guard", "lock", user)
    started = time.monotonic()
    got = until_closed(raw)
    # What lay in sockets' buffers still comes; of 2,000,000 rows by far the most do not.
    assert len(got) < 100_000_000 and time.monotonic() - started < 8
    assert b"is locked out" in got[-2000:]
    if user == "bella":
        # A session's last record may be written after its client has been told.
        within(5.0, lambda: any(record["kind"] == "close" for record in target.records()))
        closed = [record for record in target.records() if record["kind"] == "close"]
        assert closed[-1]["complete"] is False and closed[-1]["rows"] < 2_000_000


def test_a_client_that_takes_nothing_is_ended_by_a_lock_too(guarded, store):
    target = guarded(ROWS.replace("1000", "100000000"), state=store)
    raw = client(target)
    raw.send(query(LARGE))
    time.sleep(1)
    before = target.metric("pgveil_client_connections_closed_total", reason="guard")
    command(target, "guard", "lock", "bella")
    within(10.0, lambda: target.metric("pgveil_client_connections_closed_total", reason="guard") > before)


def test_amid_a_frame_nothing_is_said(guarded, store):
    target = guarded("none: { what: refusals, max: 1000, within: 1 hour }", state=store)
    raw = client(target, "sam")
    raw.send(query("SELECT repeat('x', 200000000)"))
    assert raw.next().tag == "T"
    command(target, "guard", "lock", "sam")
    got = until_closed(raw)
    if len(got) < 200_000_000:
        assert b"locked out" not in got and got.strip(b"x")[1:5] == (200_000_000 + 10).to_bytes(4, "big")


def test_a_lock_between_login_and_first_statement_counts(guarded, store):
    target = guarded("none: { what: refusals, max: 1000, within: 1 hour }", state=store)
    stop = threading.Event()
    let_in = []

    def come():
        while not stop.is_set():
            try:
                with connect(target) as connection:
                    let_in.append((time.monotonic(), connection))
                    connection.execute("SELECT 1")
            except Exception:
                pass

    threads = [threading.Thread(target=come) for _ in range(4)]
    [thread.start() for thread in threads]
    time.sleep(0.5)
    command(target, "guard", "lock", "bella")
    within(2.0, lambda: is_locked_out(target))
    locked = time.monotonic()
    time.sleep(1)
    stop.set()
    [thread.join() for thread in threads]
    assert let_in and max(at for at, _ in let_in) < locked + 0.3


def test_a_store_that_is_slow_stops_reveals_and_nothing_else(guarded, shared, pg):
    target = guarded(ROWS.replace("within", "users: [bella], within"), state=shared)
    raw, masked = client(target), client(target, "sam")
    assert shown(simple(raw, 5)) == 5
    holder = subprocess.Popen(
        ["psql", "-h", pg.host, "-p", str(pg.port), "-U", "postgres", "-d", "state_store", "-c",
         "BEGIN; LOCK TABLE pgveil.state_counts, pgveil.state_kept IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(7); COMMIT"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    sent, codes, slowest, end = 5, set(), 0.0, time.monotonic() + 6
    while time.monotonic() < end:
        started = time.monotonic()
        assert shown(simple(masked, 100)) == 100
        slowest = max(slowest, time.monotonic() - started)
        try:
            frames = simple(raw, 30)
            sent += shown(frames)
            codes.add(error(frames).get("C"))
        except Closed:
            codes.add("closed")
            raw = client(target)
        time.sleep(0.05)
    assert "58030" in codes and codes <= {None, "58030", "closed"}, codes
    assert slowest < 1 and sent < 5 + 100 + 64 + 30, (slowest, sent)
    holder.wait(20)
    within(6.0, lambda: shown(simple(client(target), 1)) == 1)
    more = shown(simple(client(target), 2000))
    assert 1000 - 64 - 30 <= sent + more <= 1000 + 30, (sent, more)


def test_a_store_whose_connections_break_loses_and_forgets_nothing(guarded, shared, pg):
    one, two = guarded(ROWS, state=shared), guarded(ROWS, state=shared)
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'state_store'")
            time.sleep(random.uniform(0.05, 0.6))

    thread = threading.Thread(target=disturb)
    thread.start()
    sent, end = [0, 0], time.monotonic() + 8
    try:
        def read(index: int):
            target, raw = (one, two)[index], None
            while time.monotonic() < end:
                try:
                    raw = raw or client(target)
                    sent[index] += shown(simple(raw, 9))
                except Closed:
                    raw = None
        together(2, read)
    finally:
        stop.set()
        thread.join()
    time.sleep(1.5)
    assert 800 <= sum(sent) <= 1000 + 2 * (100 + 64), sent
    # Locks that are made meanwhile are known to both, too.
    command(one, "guard", "lock", "ana")
    within(3.0, lambda: is_locked_out(one, "ana") and is_locked_out(two, "ana"))


def test_kills_at_random_moments_forget_little_and_no_lock(guarded, store):
    target = guarded(ROWS.replace("1000", "2000"), state=store)
    sent, kills = 0, 12
    for number in range(kills):
        raws, counts, stop = [client(target) for _ in range(3)], [0] * 3, threading.Event()

        def read(index: int, raws=raws, counts=counts, stop=stop):
            try:
                while not stop.is_set():
                    counts[index] += shown(simple(raws[index], 3))
            except (Closed, ConnectionError):
                pass

        threads = [threading.Thread(target=read, args=(index,)) for index in range(3)]
        [thread.start() for thread in threads]
        time.sleep(random.uniform(0.02, 0.3))
        if number == 3:
            command(target, "guard", "lock", "sam")
        target.process.kill()
        target.process.wait(10)
        stop.set()
        [thread.join() for thread in threads]
        sent += sum(counts)
        target.start()
        assert is_locked_out(target, "sam") == (number >= 3)
    raw = client(target)
    for _ in range(40):
        sent += shown(simple(raw, 100))
    assert 2000 - 9 * kills <= sent <= 2000 + kills * (200 + 40), sent
    for line in (open(store["path"], encoding="utf-8")):
        json.loads(line)


def test_commands_side_by_side_do_not_lose_each_other_s_work(guarded, store):
    target = guarded(ROWS, state=store)
    names = [f"user{number}" for number in range(30)]

    def work(index: int):
        for name in names[index::6]:
            command(target, "guard", "lock", name)
            if name != "user7":
                command(target, "guard", "unlock", name)

    together(6, work)
    listed = [json.loads(line)["subject"] for line in command(target, "guard", "list", "--json").splitlines()]
    assert listed == [{"user": "user7"}]

    def steps() -> list:
        return [(record["action"], record["user"]) for record in guard_records(target)]

    # Of the others, too, there is one alone now and then.
    within(2.0, lambda: ("lock", "user7") in steps() and target.metric("pgveil_guard_locks") == 1)
    done = steps()
    assert done.count(("lock", "user7")) == 1 and ("unlock", "user7") not in done


def test_names_that_nobody_has_lock_out_nobody_else_and_cost_little(guarded, store):
    limit = "guessing: { what: failed_logins, max: 1, within: 1 hour, on_breach: lock_account }"
    target = guarded(limit, state=store)

    def guess(index: int):
        for number in range(60):
            for _ in range(2):
                raw = Raw(target.host, target.port)
                try:
                    raw.login(f"nobody{index}_{number}", "people")
                except (Closed, AssertionError):
                    pass
                raw.close()

    together(4, guess)
    within(3.0, lambda: target.metric("pgveil_guard_locks") == 240)
    started = time.monotonic()
    raw = client(target, "sam")
    assert shown(simple(raw, 100)) == 100 and time.monotonic() - started < 0.5
    said = subprocess.run([str(binary()), "guard", "unlock", "--address", "127.0.0.1", "--config", str(target.config)], capture_output=True, text=True, timeout=30)
    assert said.returncode == 0 and said.stdout.count("is let in again") == 240
    within(2.0, lambda: target.metric("pgveil_guard_locks") == 0)
