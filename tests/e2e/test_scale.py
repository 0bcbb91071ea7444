"""What an idle session costs, and that coming and going leaves nothing behind. `tests/bench/scale` is the same in large."""

import time

import pytest

from harness import crowd
from harness.crowd import Crowd

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
