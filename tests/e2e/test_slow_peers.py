"""Peers that stop reading: what is on its way waits where it is, pgveil keeps little of it, and all goes on when they read again.

PGVEIL_SLOW_SECONDS: how long nothing is read (default 2).
"""

import os
import socket
import threading
import time

import pytest

from harness.wire import Raw, bind, execute, flush, frame, parse, query, sync

pytestmark = pytest.mark.proxy

SECONDS = float(os.environ.get("PGVEIL_SLOW_SECONDS", "2"))
# 2 GB of rows.
ROWS = "SELECT p.id, p.email, repeat('x', 1000) FROM person p, generate_series(1, 400000)"
CLEAR = "SELECT g, repeat('x', 1000) FROM generate_series(1, 2000000) g"
WAYS = {
    "simple": lambda sql: query(sql),
    "extended": lambda sql: parse("", sql) + bind("", "") + execute() + sync(),
    "extended in binary form": lambda sql: parse("", sql) + bind("", "", [], [], [1]) + execute() + flush(),
    "copy": lambda sql: query(f"COPY ({sql}) TO STDOUT"),
    "copy in binary form": lambda sql: query(f"COPY ({sql}) TO STDOUT (FORMAT binary)"),
}
# The buffers of both lanes, and what a worker keeps of a read.
GROWTH_KIB = 4 * 1024


def waits_for(pg, user: str) -> str:
    return pg.psql(f"SELECT wait_event FROM pg_stat_activity WHERE usename = '{user}' AND datname = 'people' AND state = 'active'").strip()


def until(holds, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("sql", [ROWS, CLEAR], ids=["masked", "passing"])
@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_stops_reading_holds_the_server_back(pg, front, way, sql):
    target = front("people.yaml")
    warm = Raw(target.host, target.port)
    warm.login("sam", "people")
    warm.ask(query(f"{sql} LIMIT 20000"))
    warm.close()
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    before = target.memory_kib()
    client.send(WAYS[way](sql))

    def moved() -> float:
        before = target.metric("pgveil_network_bytes_total", flow="upstream_received")
        time.sleep(0.5)
        return target.metric("pgveil_network_bytes_total", flow="upstream_received") - before

    # What the kernel has room for fills up first.
    until(lambda: waits_for(pg, "sam") == "ClientWrite" and moved() == 0, 20)
    sent = target.metric("pgveil_network_bytes_total", flow="upstream_received")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert target.memory_kib() < before + GROWTH_KIB
        time.sleep(0.2)
    assert waits_for(pg, "sam") == "ClientWrite"
    assert target.metric("pgveil_network_bytes_total", flow="upstream_received") == sent
    # It goes on where it was.
    seen = 0
    while seen < 3000:
        one = client.next()
        client.frames.clear()
        seen += one.tag in "Dd"
        assert b"@example.com" not in one.body
    assert target.memory_kib() < before + GROWTH_KIB
    client.socket.close()
    until(lambda: waits_for(pg, "sam") == "", 10)


@pytest.mark.parametrize("table", ["note", "person"])
def test_a_server_that_stops_reading_holds_the_client_back(pg, own_front, table):
    """A trigger waits for a lock while the rows of a COPY come in; those of a protected table are looked at."""
    target = own_front("people.yaml")
    pg.psql(
        f"CREATE FUNCTION wait_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_lock_shared(77); PERFORM pg_advisory_unlock_shared(77); RETURN NULL; END $$;"
        f"CREATE TRIGGER waits BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION wait_{table}()", database="people")
    holder = Raw(pg.host, pg.port)
    holder.login("postgres", "people")
    holder.ask(query("SELECT pg_advisory_lock(77)"))
    user = "bella"
    client = Raw(target.host, target.port)
    client.login(user, "people")
    columns = {"note": "(id, body)", "person": "(id, city)"}[table]
    got = client.ask(query(f"COPY {table} {columns} FROM STDIN"), "G")
    assert got[-1].tag == "G"
    before = target.memory_kib()
    row = frame("d", b"1\t" + b"x" * 1000 + b"\n") * 50
    sent = 0

    def send():
        nonlocal sent
        for _ in range(600):
            client.socket.sendall(row)
            sent += len(row)
        client.socket.sendall(frame("c"))

    client.socket.settimeout(120)
    writer = threading.Thread(target=send, daemon=True)
    writer.start()
    try:
        deadline, stuck = time.monotonic() + 30, -1
        while sent != stuck and time.monotonic() < deadline:
            stuck = sent
            time.sleep(SECONDS)
        assert sent == stuck < 30_000_000
        assert target.memory_kib() < before + GROWTH_KIB
        holder.ask(query("SELECT pg_advisory_unlock(77)"))
        assert [one.tag for one in client.until("Z")] == ["C", "Z"]
        writer.join(10)
        assert target.memory_kib() < before + GROWTH_KIB
    finally:
        holder.close()
        client.socket.shutdown(socket.SHUT_RDWR)
        client.socket.close()
        writer.join(10)
        pg.psql(f"SET lock_timeout = '60s'; DROP TRIGGER waits ON {table}; DROP FUNCTION wait_{table}()", database="people")
