"""Peers that vanish without a word, on either side: noticed in the time that the settings say, and what they held is freed."""

import re
import subprocess
import time

import psycopg
import pytest

from harness import wire
from harness.namespace import CLIENT, RELAY, Namespace
from harness.postgres import free_port
from harness.wire import Raw, query

pytestmark = pytest.mark.proxy

# Noticed two to four seconds after the last sign of life.
SOON = {"keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 2}
# What waits for an acknowledgement is not asked for a sign of life: the other setting is for that.
SOON_IN_MID_RESULT = SOON | {"user_timeout": 3000}

needs_namespaces = pytest.mark.skipif(not Namespace.possible(), reason="network namespaces need root")


def until(holds, seconds: float, what: str) -> float:
    """Wait until it holds; how long it took."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, what
        time.sleep(0.1)
    return time.monotonic() - start


def sessions(pg, user: str = "sam") -> int:
    return int(pg.psql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}' AND datname = 'people'"))


@needs_namespaces
@pytest.mark.parametrize("busy", [False, True], ids=["idle in a transaction", "in mid-result"])
def test_a_client_that_vanished_is_noticed_and_its_locks_are_freed(pg, own_front, busy):
    port = free_port()
    target = own_front("people.yaml", listen=f"0.0.0.0:{port}", tcp=SOON_IN_MID_RESULT if busy else SOON)
    before = sessions(pg)
    files = target.open_files()
    with Namespace(1) as elsewhere:
        client = elsewhere.run(CLIENT, elsewhere.here, str(port))

        def say(data: bytes) -> None:
            client.stdin.write(data.hex() + "\n")
            client.stdin.flush()

        say(wire.startup("sam", "people"))
        client.stdout.readline()
        say(query("BEGIN; LOCK TABLE note"))
        until(lambda: int(pg.psql("SELECT count(*) FROM pg_locks WHERE relation = 'note'::regclass", database="people")) > 0, 10, "no lock")
        if busy:
            # More than there is room for on the way, to somebody who reads it no longer.
            say(query("SELECT repeat('x', 1000), pg_sleep(0.0001) FROM generate_series(1, 10000000)"))
            time.sleep(0.5)
        assert sessions(pg) == before + 1
        elsewhere.pull()
        took = until(lambda: sessions(pg) == before, 20, "the session of a client that vanished is still there")
        assert took > 0.5
        assert pg.psql("SELECT count(*) FROM pg_locks WHERE relation = 'note'::regclass", database="people").strip() == "0"
        until(lambda: target.open_files() <= files, 5, "its files are still open")


@needs_namespaces
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in mid-result"])
def test_a_server_that_vanished_is_noticed_and_the_client_let_go(pg, own_front, busy):
    with Namespace(2) as elsewhere:
        relay = elsewhere.run(RELAY, elsewhere.there, "5432", f"{pg.base}/.s.PGSQL.{pg.port}")
        assert relay.stdout.readline() == "listening\n"
        target = own_front("people.yaml", upstream={"host": elsewhere.there, "port": 5432}, tcp=SOON)
        files = target.open_files()
        client = Raw(target.host, target.port)
        client.login("sam", "people")
        if busy:
            client.send(query("SELECT repeat('x', 20000) FROM generate_series(1, 10); SELECT pg_sleep(60)"))
            client.until(*"DDDDDDDD")
        start = time.monotonic()
        elsewhere.pull()
        left = client.until_closed()
        assert 0.5 < time.monotonic() - start < 15
        # As from a server that is gone: nothing more, and no part of a message.
        assert {one.tag for one in left} <= {"D"}
        client.socket.close()
        until(lambda: target.open_files() <= files, 15, "its files are still open")


def seconds_left(timer: str) -> float | None:
    """Until the next sign of life of a connection is asked for, from what `ss -o` says of it: "6.120ms" is 6.12 seconds, "7sec", "120ms".

    None where another timer runs, as while something sent is not acknowledged yet."""
    left = re.search(r"timer:\(keepalive,(?:(\d+)min)?(?:(\d+)(?:sec|\.(?=\d)))?(?:(\d+)ms)?,", timer)
    if left is None:
        return None
    minutes, seconds, milliseconds = (int(part or 0) for part in left.groups())
    return minutes * 60 + seconds + milliseconds / 1000


def test_both_legs_are_asked_for_a_sign_of_life_as_the_settings_say(pg, own_front):
    target = own_front("people.yaml", tcp={"keepalives_idle": 7, "keepalives_interval": 3, "keepalives_count": 2})
    with psycopg.connect(f"host={target.host} port={target.port} user=sam dbname=people") as connection:
        connection.execute("SELECT 1")
        own = target.process.pid

        def asked() -> list[float | None]:
            shown = subprocess.run(["ss", "-tnopH", "state", "established"], capture_output=True, text=True, check=True).stdout
            lines = [line for line in shown.splitlines() if f"pid={own}," in line]
            to_client = [line for line in lines if line.split()[2].endswith(f":{target.port}")]
            to_server = [line for line in lines if line.split()[3].endswith(f":{pg.port}")]
            assert to_client and to_server, shown
            return [seconds_left(line) for line in to_client + to_server]

        # What was just sent has a timer of its own until it is acknowledged; pgveil asks for the catalog's changes now and then.
        until(lambda: all(left is not None and left <= 7 for left in asked()), 5, "a leg is not asked for a sign of life in 7 s")
