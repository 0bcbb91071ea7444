"""Very large and very wide messages: what nothing has to look at passes without being held, what has to be looked at has a limit.

The largest come from a server in the relay's place and go to it, so that PostgreSQL need not build them.
"""

import hashlib
import os
import struct
import threading
import time
from pathlib import Path

import pytest

from harness import wire
from harness.pgveil import Pgveil
from harness.relay import Relay
from harness.wire import Raw, bind, describe, execute, frame, parse, query, sync

GIGABYTE = 1_000_000_000
# What is large where a gigabyte would only take longer: PGVEIL_LARGE_BYTES.
LARGE = int(os.environ.get("PGVEIL_LARGE_BYTES", "200000000"))
PIECE = bytes(range(256)) * 4096
# What pgveil may hold more while something large passes, in KiB: buffers of both directions, and what the allocator keeps.
GROWTH_KIB_MAX = 8 * 1024

READY = frame("Z", b"I")
DESCRIPTION = frame("T", struct.pack("!H", 1) + b"big\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0))


def header(tag: str, body: int) -> bytes:
    return tag.encode() + struct.pack("!I", body + 4)


class Backend:
    """Answers in the server's place what has to do with `big`."""

    def __init__(self, pg):
        self.relay = Relay(pg.host, pg.port)
        self.relay.answers = self.answer
        # The beginning of a flight that has not come whole.
        self.flight = b""
        # How many bytes it takes before it answers.
        self.coming, self.taken, self.expected = 0, 0, 0
        self.digest = hashlib.md5(usedforsecurity=False)

    def answer(self, data: bytes, connection) -> bool:
        """Whether the client's bytes are for this one and answered."""
        if self.expected:
            self._take(data, connection)
            return True
        data, self.flight = self.flight + data, b""
        if b"big row" in data:
            extended = data[:1] == b"P"
            if extended and not data.endswith(sync()):
                self.flight = data
                return True
            before = frame("1") + frame("2") + DESCRIPTION if extended else DESCRIPTION
            size = LARGE if extended else GIGABYTE
            self._stream(connection, before + header("D", size) + struct.pack("!hi", 1, size - 6), size - 6, frame("C", b"SELECT 1\0") + READY)
        elif b"big copy out" in data:
            # pgveil may ask first what the COPY will send, and puts a Sync of its own behind it.
            asked = b"pgveil describes copy" in data
            before = frame("3") + frame("1") + frame("t", b"\0\0") + DESCRIPTION + frame("3") if asked else b""
            self._stream(connection, before + frame("H", b"\0\0\1\0\0") + header("d", LARGE), LARGE, frame("c") + frame("C", b"COPY 1\0") + READY * (1 + asked))
        elif b"big copy in" in data:
            connection.sendall(frame("G", b"\0\0\1\0\0"))
            self.expected = self.coming
        elif b"big parameter" in data or b"big call" in data or b"big text" in data:
            self.expected = self.coming
            self._take(data, connection)
        else:
            return False
        return True

    def _take(self, data: bytes, connection) -> None:
        self.taken += len(data)
        self.digest.update(data)
        if self.taken >= self.expected:
            self.expected = 0
            connection.sendall(frame("C", b"DONE\0") + READY)

    @staticmethod
    def _stream(connection, before: bytes, count: int, after: bytes) -> None:
        connection.sendall(before)
        for at in range(0, count, len(PIECE)):
            connection.sendall(PIECE[: min(len(PIECE), count - at)])
        connection.sendall(after)


@pytest.fixture
def backend(pg):
    made = Backend(pg)
    with made.relay:
        yield made


@pytest.fixture
def served(own_front, backend):
    def start(policy: str) -> Pgveil:
        return own_front(policy, upstream={"host": backend.relay.host, "port": backend.relay.port})

    return start


def peak_kib(target: Pgveil) -> int:
    status = Path(f"/proc/{target.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def growing(target: Pgveil, act) -> int:
    """What the process holds more, at most, while `act` runs, in KiB."""
    Path(f"/proc/{target.process.pid}/clear_refs").write_text("5", encoding="ascii")
    before = peak_kib(target)
    act()
    return peak_kib(target) - before


def wait_until(holds, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read_big(client: Raw, before: str, tag: str, count: int, after: str) -> None:
    """Frames of these types, one of `count` bytes that is not kept, and these."""
    for expected in before:
        one = client.next()
        assert one.tag == expected, one
    while len(client.buffer) < 5:
        client.buffer += client.socket.recv(65536)
    assert client.buffer[:5] == header(tag, count)
    left, buffer = count - (len(client.buffer) - 5), bytearray(1 << 20)
    client.buffer = b""
    while left > 0:
        left -= client.socket.recv_into(buffer, min(left, len(buffer)))
    for expected in after:
        assert client.next().tag == expected


def logged_in(target: Pgveil, user: str = "sam") -> Raw:
    client = Raw(target.host, target.port, timeout=60)
    client.login(user, "people")
    return client


@pytest.mark.proxy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", ["empty.yaml", "people.yaml"])
@pytest.mark.parametrize("kind", ["simple", "extended", "copy"])
def test_a_row_of_a_gigabyte_passes_without_being_held(served, policy, kind):
    target = served(policy)
    client = logged_in(target)

    def act():
        if kind == "copy":
            client.send(query("COPY (SELECT 'big copy out' AS big) TO STDOUT"))
            read_big(client, "H", "d", LARGE, "cCZ")
        elif kind == "simple":
            client.send(query("SELECT 'big row'"))
            read_big(client, "T", "D", GIGABYTE, "CZ")
        else:
            client.send(parse("", "SELECT 'big row'") + bind("", "") + describe("P", "") + execute() + sync())
            read_big(client, "12T", "D", LARGE, "CZ")

    assert growing(target, act) < GROWTH_KIB_MAX
    assert client.rows("SELECT 1") == [[b"1"]]
    client.close()


@pytest.mark.proxy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", ["empty.yaml", "people.yaml"])
@pytest.mark.parametrize("kind", ["parameter", "copy", "call", "query", "parse"])
def test_a_large_message_to_the_server_passes_without_being_held(served, backend, policy, kind):
    if policy == "people.yaml" and kind in ("call", "query", "parse"):
        pytest.skip("with tags these are looked at")
    target = served(policy)
    client = logged_in(target)
    size = LARGE
    start, end, last = {
        "parameter": (parse("", "SELECT length('big parameter'), $1") + header("B", size) + b"\0\0\0\0\0\1" + struct.pack("!i", size - 12), b"\0\0", size - 12),
        "copy": (header("d", size), frame("c"), size),
        "call": (header("F", size) + struct.pack("!IHHi", 1, 0, 1, size - 14) + b"big call", b"\0\0", size - 22),
        "query": (header("Q", size) + b"SELECT 'big text ", b"'\0", size - 19),
        "parse": (header("P", size) + b"name\0SELECT 'big text ", b"'\0\0\0", size - 26),
    }[kind]

    def act():
        backend.coming = len(start) + last + len(end)
        if kind == "copy":
            client.ask(query("COPY note (body) FROM STDIN -- big copy in"), "G")
        client.send(start)
        digest = hashlib.md5(start, usedforsecurity=False)
        for at in range(0, last, len(PIECE)):
            piece = PIECE[: min(len(PIECE), last - at)]
            client.socket.sendall(piece)
            digest.update(piece)
        client.send(end)
        digest.update(end)
        if kind in ("parameter", "parse"):
            # What the stand-in answers is not what these are answered: pgveil notices.
            assert client.until_closed()[-1].fields()["C"] == "08P01"
        elif kind == "call":
            client.until_closed()
        else:
            assert [one.tag for one in client.until("Z")] == ["C", "Z"]
        if policy == "empty.yaml":
            assert backend.digest.digest() == digest.digest()

    assert growing(target, act) < GROWTH_KIB_MAX
    client.socket.close()
    # Nothing is kept for it once it is gone.
    wait_until(lambda: target.metric("pgveil_client_connections") == 0)


@pytest.mark.proxy
@pytest.mark.parametrize("kind", ["row", "copy row", "query", "parameters"])
def test_what_has_to_be_looked_at_has_a_limit_and_says_so(front, kind):
    target = front("people.yaml")
    client = logged_in(target)
    bystander = logged_in(target)
    long = 70 * 1024 * 1024
    if kind == "row":
        client.send(query(f"SELECT email, repeat('x', {long}) FROM person WHERE id = 1"))
    elif kind == "copy row":
        client.send(query(f"COPY (SELECT email, repeat('x', {long}) FROM person WHERE id = 1) TO STDOUT"))
    elif kind == "query":
        client.send(header("Q", long) + b"SELECT '")
    else:
        client.send(parse("", "UPDATE person SET email = $1 WHERE id = 1") + header("B", long) + b"\0\0\0\0\0\1" + struct.pack("!i", long - 12)
                    + bytes(100_000))
    got = client.until_closed()
    assert got[-1].tag == "E", got[-1]
    fields = got[-1].fields()
    assert (fields["S"], fields["C"]) == ("FATAL", "54000")
    assert "64 MiB (looked_at_bytes_max)" in fields["M"]
    assert not any(b"jane@example.com" in one.body for one in got)
    assert bystander.rows("SELECT 1") == [[b"1"]]
    bystander.close()


COLUMNS = 1600
WIDE = "CREATE TABLE wide (" + ", ".join(f"c{n} text" for n in range(1, COLUMNS + 1)) + ")"


@pytest.fixture(scope="module")
def wide(pg) -> str:
    pg.psql("CREATE DATABASE wide TEMPLATE people_template")
    pg.psql(f"{WIDE}; GRANT SELECT, INSERT ON wide TO PUBLIC; INSERT INTO wide VALUES ("
            + ", ".join(f"'v{n % 10}'" for n in range(1, COLUMNS + 1)) + ")", database="wide")
    return "wide"


def wide_policy(directory: Path, tagged) -> Path:
    path = directory / "wide.yaml"
    path.write_text("version: 1\ntags:\n  text: { mask: full }\ncolumns:\n  public.wide:\n"
                    + "".join(f"    c{n}: text\n" for n in tagged), encoding="utf-8")
    return path


@pytest.mark.proxy
@pytest.mark.parametrize("tagged", [[1, 800, 1600], range(1, COLUMNS + 1)], ids=["three", "all"])
def test_a_row_of_1600_columns_is_masked(own_front, wide, tmp_path, tagged):
    target = own_front(wide_policy(tmp_path, tagged), database=wide)
    client = Raw(target.host, target.port)
    client.login("sam", wide)
    expected = [b"#" * len(f"v{n % 10}") if n in tagged else f"v{n % 10}".encode() for n in range(1, COLUMNS + 1)]
    columns = ", ".join(f"c{n}" for n in range(1, COLUMNS + 1))
    assert client.rows("SELECT * FROM wide") == [expected]
    assert client.rows(f"SELECT {columns} FROM wide WHERE c2 = 'v2'" if 2 not in tagged else f"SELECT {columns} FROM wide") == [expected]
    for formats in ([], [1], [n % 2 for n in range(COLUMNS)]):
        got = client.ask(parse("", "SELECT * FROM wide") + bind("", "", (), (), formats) + describe("P", "") + execute() + sync())
        assert [one.cells() for one in got if one.tag == "D"] == [expected]
    got = client.ask(query("COPY wide TO STDOUT"))
    assert b"".join(one.body for one in got if one.tag == "d") == b"\t".join(expected) + b"\n"
    client.close()


@pytest.mark.proxy
def test_a_row_of_1600_columns_passes_as_it_is(pg, front, wide):
    target = front("empty.yaml", database=wide)
    answers = []
    for one in (pg, target):
        client = Raw(one.host, one.port)
        client.login("sam", wide)
        answers.append(client.ask(query("SELECT * FROM wide")) + client.ask(parse("", "SELECT * FROM wide") + bind("", "", (), (), [1]) + describe("P", "") + execute() + sync()))
        client.close()
    assert answers[0] == answers[1]


@pytest.mark.proxy
def test_a_slow_reader_slows_the_server_and_memory_stays_bounded(served):
    target = served("empty.yaml")
    client = logged_in(target)

    def act():
        client.send(query("SELECT 'big row'"))
        done = threading.Event()
        threading.Timer(3.0, done.set).start()
        while not done.is_set():
            assert client.socket.recv(10)
            done.wait(0.02)

    assert growing(target, act) < GROWTH_KIB_MAX
    client.socket.close()
    # Nothing is kept for it once it is gone.
    wait_until(lambda: target.metric("pgveil_client_connections") == 0)
