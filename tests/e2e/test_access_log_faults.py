"""The access log on a disk that fails, waits, fills up or loses its power: nothing is shown without an event, the rest goes on.

The disk is a library between pgveil and the C library (harness/faulty_disk.c). PGVEIL_FAULT_ROUNDS: how often each test has
the disk fail (2 in an ordinary run); PGVEIL_POWER_RUNS: how often the power is lost (4).
"""

import errno
import os
import random
import signal
import threading
import time

import pytest

from harness.evidence import UNFINISHED, WHOLE, Masked, Reader, connected, lines, reveals, verify, whole
from harness.wire import Closed, bind, execute, parse, query, sync

pytestmark = pytest.mark.proxy

ROUNDS = int(os.environ.get("PGVEIL_FAULT_ROUNDS", "2"))
POWER_RUNS = int(os.environ.get("PGVEIL_POWER_RUNS", "4"))
ASKED = "SELECT email FROM person WHERE id = 1"
# What a second of failing may take; a queue that nobody empties would take far more.
MEMORY_KIB = 32 * 1024


def until(holds, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_subsequence(got: list, logged: list) -> bool:
    rest = iter(logged)
    return all(one in rest for one in got)


def refused(target) -> str:
    """The error that a reveal is answered with, as SQLSTATE and message; empty where the value came."""
    client = connected(target, "bella")
    try:
        answer = client.ask(query(ASKED))
    except (Closed, OSError):
        answer = client.frames
    client.close()
    errors = [one.fields() for one in answer if one.tag == "E"]
    if any(b"jane@example.com" in one.body for one in answer):
        assert not errors
        return ""
    assert all(error["C"] == "58030" for error in errors), errors
    return "".join(f"{error['C']} {error['M']}" for error in errors) or "hidden"


class Again(threading.Thread):
    """Readers one after another: each asks until its session ends. Where none can log in it waits a little."""

    def __init__(self, target, seed: int):
        super().__init__()
        self.target, self.seed, self.over, self.readers = target, seed, threading.Event(), []

    def run(self) -> None:
        while not self.over.is_set():
            try:
                one = Reader(self.target, self.seed + len(self.readers))
            except (Closed, OSError):
                time.sleep(0.05)
                continue
            self.readers.append(one)
            # In this thread, not in one of its own.
            one.run()

    def end(self) -> None:
        self.over.set()
        if self.readers:
            self.readers[-1].client.socket.shutdown(2)
        self.join(20)
        assert not self.is_alive()


@pytest.mark.timeout(180 + 30 * ROUNDS)
@pytest.mark.parametrize("order", [f"sync {errno.EIO}", f"write {errno.EIO}", f"write {errno.ENOSPC}", f"write {errno.EROFS}"])
def test_while_the_disk_fails_nothing_is_revealed_and_masked_traffic_goes_on(signed, order):
    target = signed(faulty=True, durability="fsync", checkpoint_seconds=1)
    again = [Again(target, seed * 1000) for seed in range(4)]
    masked, sam = Masked(target), connected(target, "sam")
    for one in [*again, masked]:
        one.start()
    for _ in range(ROUNDS):
        time.sleep(0.5)
        before = target.memory_kib()
        target.disk.order(order)
        until(lambda: target.metric("pgveil_access_log_ready") == 0, 10, "the failure was not noticed")
        size, shown, asked = target.access_log.stat().st_size, [len(reader.got) for one in again for reader in one.readers], masked.count
        until(lambda: "access log can not be written" in refused(target), 10, "no clear error came")
        assert sam.rows(ASKED) == [[b"j###@#######.###"]]
        time.sleep(1.5)
        assert target.metric("pgveil_access_log_ready") == 0, "an attempt to write again has succeeded"
        now_shown = [len(reader.got) for one in again for reader in one.readers][:len(shown)]
        # Rows that left before the failure may have been on their way.
        assert sum(now_shown) - sum(shown) <= len(again), "rows came while nothing could be written"
        assert masked.is_alive() and masked.count > asked, "masked traffic stands still"
        assert target.access_log.stat().st_size <= size + 4096
        grown = target.memory_kib() - before
        assert grown < MEMORY_KIB, f"{grown} KiB more"
        target.disk.order("ok")
        until(lambda: target.metric("pgveil_access_log_ready") == 1, 10, "writing was not taken up again")
        # Sessions learn of it a moment later.
        until(lambda: "" == refused(target), 10, "nothing is revealed any more")
    for one in again:
        one.end()
    masked.client.socket.shutdown(2)
    masked.join(20)
    target.stop()
    said = whole(target)
    assert f"{ROUNDS} times nothing could be written for a while" in said, said
    events, received = reveals(target), 0
    for reader in (reader for one in again for reader in one.readers):
        assert is_subsequence(reader.got, events.get(reader.port, [])), "more was shown than is logged"
        received += len(reader.got)
    assert received > 10 * ROUNDS
    print(f"{order}: {ROUNDS} failures, {received} executions seen by clients, all logged")


def test_what_was_begun_before_the_disk_failed_does_not_go_on_and_says_why(signed):
    target = signed(faulty=True, durability="fsync", checkpoint_seconds=1)
    asked = "SELECT email FROM person ORDER BY id"
    begun = {
        "a prepared statement": (parse("s", asked) + bind("", "s") + execute() + sync(), bind("", "s") + execute() + sync()),
        "PREPARE": (query(f"PREPARE s AS {asked}"), query("EXECUTE s")),
        "a cursor": (query(f"BEGIN; DECLARE c CURSOR FOR {asked}; FETCH 1 FROM c"), query("FETCH 1 FROM c")),
        "a cursor that holds": (query(f"DECLARE c CURSOR WITH HOLD FOR {asked}"), parse("", "FETCH 1 FROM c") + bind("", "") + execute() + sync()),
        "a cursor read as a portal": (query(f"BEGIN; DECLARE c CURSOR FOR {asked}"), execute("c", 1) + sync()),
        "a portal": (query("BEGIN") + parse("", asked) + bind("p", "") + execute("p", 1) + sync(), execute("p", 1) + sync()),
    }
    clients = {}
    for name, (first, _) in begun.items():
        clients[name] = connected(target, "bella")
        clients[name].ask(first, *(["Z", "Z"] if name == "a portal" else ["Z"]))
    masked = connected(target, "sam")
    masked.ask(query(f"BEGIN; DECLARE c CURSOR FOR {asked}"))
    target.disk.order(f"sync {errno.EIO}")
    until(lambda: refused(target) and target.metric("pgveil_access_log_ready") == 0, 10, "the failure was not noticed")
    for name, (_, then) in begun.items():
        got = clients[name].ask(then)
        assert [one.fields()["C"] for one in got if one.tag == "E"] == ["58030"] and not [one for one in got if one.tag == "D"], (name, got)
    assert masked.rows("FETCH 1 FROM c") == [[b"j###@#######.###"]]
    target.disk.order("ok")
    until(lambda: target.metric("pgveil_access_log_ready") == 1 and refused(target) == "", 10, "writing was not taken up again")
    assert clients["a cursor that holds"].rows("FETCH 1 FROM c") == [[b"jane@example.com"]]



def test_a_disk_that_waits_holds_up_what_is_revealed_and_nothing_else(signed):
    target = signed(faulty=True, durability="fsync", checkpoint_seconds=60)
    bella, sam = connected(target, "bella"), connected(target, "sam")
    crowd = [connected(target, "bella") for _ in range(16)]
    bella.rows(ASKED)
    before = target.memory_kib()
    target.disk.order("wait 2000")
    start = time.monotonic()
    for one in [bella, *crowd]:
        one.frames.clear()
        one.send(query(ASKED))
    slowest = 0.0
    while time.monotonic() - start < 1.5:
        asked = time.monotonic()
        assert sam.rows(ASKED) == [[b"j###@#######.###"]]
        slowest = max(slowest, time.monotonic() - asked)
    assert slowest < 1.0, f"masked traffic waited {slowest:.2f} s"
    bella.socket.settimeout(0.01)
    with pytest.raises(TimeoutError):
        # All that may have come is what comes before the first row.
        while bella.next().tag != "D":
            pass
    for one in [bella, *crowd]:
        one.socket.settimeout(20)
        assert "D" in [found.tag for found in one.until("Z")]
    target.disk.order("ok")
    assert target.memory_kib() - before < MEMORY_KIB
    target.stop()
    whole(target)
    assert sum(map(len, reveals(target).values())) == 18


def lose_power(target, seed: int, seconds: float) -> tuple[list[Reader], int]:
    """Kill pgveil under load, then take away what no sync has covered: its readers, and how many bytes are gone."""
    readers = [Reader(target, seed * 100 + number) for number in range(5)]
    for one in readers:
        one.start()
    time.sleep(seconds)
    target.process.send_signal(signal.SIGKILL)
    target.process.wait(10)
    for one in readers:
        one.join(20)
    return readers, target.disk.lose_power()


@pytest.mark.timeout(180 + 10 * POWER_RUNS)
def test_what_clients_got_outlives_a_loss_of_power(signed):
    target = signed(faulty=True, durability="fsync", checkpoint_seconds=1)
    chance, received, gone = random.Random(2027), 0, 0
    for turn in range(POWER_RUNS):
        before = len(lines(target))
        readers, lost = lose_power(target, turn, chance.uniform(0.05, 0.8))
        assert verify(target)[0] in (UNFINISHED, WHOLE)
        with target.disk.under():
            target.start()
        events = reveals(target, before)
        for reader in readers:
            assert reader.got == events.get(reader.port, [])[:len(reader.got)], f"run {turn}: more was shown than is on the disk"
            received += len(reader.got)
        gone += lost
        whole(target)
    assert received > POWER_RUNS
    print(f"{POWER_RUNS} losses of power, {received} executions seen by clients, {gone} bytes gone")


def test_without_fsync_a_loss_of_power_takes_events_with_it(signed):
    """What `durability = "write"` says of itself; and that the test above would notice."""
    target = signed(faulty=True, durability="write", checkpoint_seconds=60)
    readers, lost = lose_power(target, 7, 0.8)
    assert verify(target)[0] in (UNFINISHED, WHOLE)
    events = reveals(target)
    assert lost > 0
    assert any(reader.got != events.get(reader.port, [])[:len(reader.got)] for reader in readers)
