"""What an idle session costs, that coming and going leaves nothing behind, and that a pipeline costs by its length. `tests/bench/scale` is the same
in large."""

import threading
import time

import pytest

from harness import crowd
from harness.crowd import Crowd
from harness.wire import Raw, bind, execute, parse, sync

pytestmark = pytest.mark.proxy

SESSIONS = 1000
SESSION_KIB_MAX = 20
# What the allocator and the counters may keep over some thousand connections, in KiB.
KEPT_KIB_MAX = 3 * 1024


@pytest.fixture
def crowded(pg, own_front):
    with Crowd(pg.host, pg.port) as server:
        yield own_front("people.yaml", upstream={"host": server.host, "port": server.port})


def settled(target, sessions: int, files: int | None = None) -> None:
    deadline = time.monotonic() + 20
    while target.metric("pgveil_client_connections") != sessions or (files is not None and target.open_files() > files):
        assert time.monotonic() < deadline, (target.metric("pgveil_client_connections"), target.open_files(), files)
        time.sleep(0.1)


def test_an_idle_session_takes_little_memory(crowded):
    for _ in range(20):
        crowd.came_in(crowded.host, crowded.port).close()
    settled(crowded, 0)
    before, files = crowded.memory_kib(), crowded.open_files()
    clients = [crowd.came_in(crowded.host, crowded.port) for _ in range(SESSIONS)]
    for client in clients:
        crowd.ask(client, "SELECT 1")
    each = (crowded.memory_kib() - before) / SESSIONS
    assert each < SESSION_KIB_MAX, f"{each:.1f} KiB"
    for client in clients:
        client.close()
    settled(crowded, 0, files)


def test_coming_and_going_leaves_nothing_behind(crowded):
    crowd.churn(crowded.host, crowded.port, 2, 2)
    settled(crowded, 0)
    memory, files = crowded.memory_kib(), crowded.open_files()
    count = crowd.churn(crowded.host, crowded.port, 4, 2)
    settled(crowded, 0, files)
    grown = crowded.memory_kib() - memory
    assert count > 100
    assert grown < KEPT_KIB_MAX, f"{grown} KiB after {count} connections"


def pipelined(client: Raw, way: str, count: int) -> None:
    """Send them all before anything is read, and read all of the answers."""
    end = sync() if way == "a sync behind each" else b""
    one = {"unnamed": parse("", "SELECT 1") + bind("", "") + execute(),
           "a name for each": None,
           "one statement, bound often": bind("", "s0") + execute(),
           "a sync behind each": parse("", "SELECT 1") + bind("", "") + execute()}[way]
    messages = [one or parse(f"s{at}", "SELECT 1") + bind("", f"s{at}") + execute() for at in range(count)]
    first = parse("s0", "SELECT 1") if way == "one statement, bound often" else b""
    sent = threading.Thread(target=client.socket.sendall, args=(first + b"".join(message + end for message in messages) + sync(),))
    sent.start()
    ends = count + 1 if end else 1
    rest, completed = b"", 0
    while ends > 0:
        # Only tags are counted: the answers are all alike.
        rest += client.socket.recv(1 << 20)
        at = 0
        while len(rest) - at >= 5 and len(rest) - at > (length := int.from_bytes(rest[at + 1 : at + 5], "big")):
            assert rest[at : at + 1] != b"E", rest[at : at + length]
            completed += rest[at : at + 1] == b"C"
            ends -= rest[at : at + 1] == b"Z"
            at += length + 1
        rest = rest[at:]
    sent.join()
    assert completed == count


@pytest.mark.parametrize("way", ["unnamed", "a name for each", "one statement, bound often", "a sync behind each"])
def test_a_pipeline_costs_by_its_length(front, way):
    target = front("people.yaml")
    costs = []
    for count in (1000, 4000, 16_000):
        client = Raw(target.host, target.port, timeout=300)
        client.login("sam", "people")
        before = target.cpu_seconds()
        pipelined(client, way, count)
        costs.append(target.cpu_seconds() - before)
        client.close()
    print(f"{way}: {costs} s")
    # Four times as many cost four times as much; by looking through what is owed it would be sixteen times.
    assert costs[2] < max(9 * costs[1], 0.5), costs
