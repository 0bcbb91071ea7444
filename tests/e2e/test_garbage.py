"""Garbage on the port costs bounded memory and time, and leaves other sessions undisturbed."""

import random
import socket
import struct
import threading
import time

import pytest

from harness import wire
from harness.wire import Raw, query

LENGTHS = {"zero": 0, "three": 3, "the largest": 2**31 - 1, "negative": 2**32 - 1, "a gigabyte": 2**30}
GOOD = wire.startup("sam", "people")


def garbage() -> dict[str, bytes]:
    chance = random.Random(6432)
    made = {f"random {size}": chance.randbytes(size) for size in (1, 4, 8, 100, 5000, 200_000)}
    made |= {f"a startup of length {name}": struct.pack("!II", length, wire.PROTOCOL_3) + b"user\0sam\0\0" for name, length in LENGTHS.items()}
    made |= {f"a message of length {name}": GOOD + b"Q" + struct.pack("!I", length) + b"SELECT 1\0" for name, length in LENGTHS.items()}
    made |= {
        "half a startup": GOOD[: len(GOOD) // 2],
        "a startup without its end": struct.pack("!II", 20, wire.PROTOCOL_3) + b"user\0sam\0dat",
        "an unknown protocol": struct.pack("!II", 8, 0x00010000),
        "protocol 4": struct.pack("!II", 8, 0x00040000),
        "no user": struct.pack("!II", 9, wire.PROTOCOL_3) + b"\0",
        "a startup of 20,000 bytes": wire.startup("sam", "people", padding="x" * 20_000),
        "a parameter without a value": struct.pack("!II", 13, wire.PROTOCOL_3) + b"user\0",
        "an unknown message": GOOD + b"~" + struct.pack("!I", 4),
        "a startup twice": GOOD + GOOD,
        "an empty Bind": GOOD + wire.frame("B"),
        "an empty Parse": GOOD + wire.frame("P"),
        "an empty Query": GOOD + wire.frame("Q"),
        "a Parse that lies about its types": GOOD + wire.frame("P", b"\0SELECT 1\0" + struct.pack("!H", 65535)),
        "a Bind that lies about its values": GOOD + wire.parse("", "SELECT 1") + wire.frame("B", b"\0\0\0\0" + struct.pack("!Hi", 1, 2**31 - 1)),
        "a query without its NUL": GOOD + wire.frame("Q", b"SELECT 1"),
        "a query with a NUL inside": GOOD + wire.frame("Q", b"SELECT 1\0; SELECT email FROM person\0"),
        "a query that is not UTF-8": GOOD + wire.frame("Q", b"SELECT '\xff\xfe'\0"),
        "a TLS handshake without SSLRequest": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500),
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a cancel request that is short": struct.pack("!II", 12, wire.CANCEL_REQUEST) + b"\0\0\0\1",
        "a cancel request for nobody": struct.pack("!IIII", 16, wire.CANCEL_REQUEST, 1, 2),
    }
    return made


def answered(host: str, port: int, data: bytes, seconds: float = 5.0, hang_up: bool = True) -> bytes:
    """Send, stop sending, and read until the server closes."""
    with socket.create_connection((host, port), seconds) as plain:
        try:
            plain.sendall(data)
            if hang_up:
                plain.shutdown(socket.SHUT_WR)
            got = b""
            while True:
                more = plain.recv(65536)
                if not more:
                    return got
                got += more
        except (ConnectionResetError, BrokenPipeError):
            return b""


class Bystander:
    """A session that works on while others misbehave; says how long its slowest query took."""

    def __init__(self, host: str, port: int):
        self.client = Raw(host, port)
        self.client.login("sam", "people")
        self.slowest, self.count, self.fault = 0.0, 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self):
        try:
            while not self.stopping.is_set():
                start = time.monotonic()
                assert len(self.client.rows("SELECT id, email FROM person")) == 5
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.count += 1
                time.sleep(0.005)
        except Exception as fault:
            self.fault = fault

    def stop(self) -> None:
        deadline = time.monotonic() + 10
        while self.count <= 3 and self.thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.stopping.set()
        self.thread.join(30)
        self.client.close()
        assert self.fault is None, self.fault
        assert self.count > 3
        assert self.slowest < 2.0, f"a query of another session took {self.slowest:.2f} s"


@pytest.mark.parametrize("name", sorted(garbage()))
def test_garbage_closes_its_own_connection_only(front, name):
    target = front("people.yaml")
    bystander = Bystander(target.host, target.port)
    for _ in range(3):
        got = answered(target.host, target.port, garbage()[name])
        assert b"jane@example.com" not in got
    bystander.stop()


@pytest.mark.proxy
def test_garbage_costs_bounded_memory_and_returns_its_files(own_front):
    target = own_front("people.yaml")
    bystander = Bystander(target.host, target.port)
    pieces = list(garbage().values())
    for data in pieces:
        answered(target.host, target.port, data)
    memory, files = target.memory_kib(), target.open_files()
    for _ in range(20):
        for data in pieces:
            answered(target.host, target.port, data)
    bystander.stop()
    deadline = time.monotonic() + 5
    while target.open_files() > files and time.monotonic() < deadline:
        time.sleep(0.1)
    assert target.open_files() <= files
    assert target.memory_kib() < memory + 32 * 1024
    assert "panicked" not in target.log()


@pytest.mark.proxy
def test_a_claimed_length_allocates_nothing(own_front):
    target = own_front("people.yaml")
    before = target.memory_kib()
    plain = []
    for _ in range(50):
        one = Raw(target.host, target.port)
        one.login("sam", "people")
        one.send(b"Q" + struct.pack("!I", 2**30) + b"SELECT")
        plain.append(one)
    time.sleep(0.3)
    assert target.memory_kib() < before + 64 * 1024
    for one in plain:
        one.socket.close()


def ended_while_sending_slowly(host: str, port: int) -> float:
    """Send a startup at five bytes a second; how many seconds the server put up with it."""
    start = time.monotonic()
    with socket.create_connection((host, port), 10) as slow:
        slow.settimeout(0.2)
        for byte in GOOD:
            try:
                slow.sendall(bytes([byte]))
                while slow.recv(1000):
                    pass
                break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
    return time.monotonic() - start


@pytest.mark.proxy
def test_a_startup_that_never_finishes_is_ended(own_front):
    target = own_front("people.yaml", startup_timeout_ms=1500)
    idle = [socket.create_connection((target.host, target.port), 10) for _ in range(20)]
    for number, one in enumerate(idle):
        one.sendall(GOOD[: number % len(GOOD)])
    assert ended_while_sending_slowly(target.host, target.port) < 6
    for one in idle:
        one.settimeout(5)
        try:
            while one.recv(1000):
                pass
        except ConnectionResetError:
            pass
    files = target.open_files()
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    client.close()
    time.sleep(0.3)
    assert target.open_files() <= files + 1


@pytest.mark.proxy
def test_bytes_behind_an_ssl_request_close_the_connection(own_front, certificates):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key})
    request = struct.pack("!II", 8, wire.SSL_REQUEST)
    for extra in (GOOD, b"x", b"\x16\x03\x01"):
        got = answered(target.host, target.port, request + extra, hang_up=False)
        assert b"Z" not in got[1:], "the startup that came in clear was taken"
        assert len(got) <= 1 or got[:1] == b"E"


@pytest.mark.proxy
def test_tls_garbage_behind_an_ssl_request_closes(own_front, certificates):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key})
    for data in (random.Random(1).randbytes(2000), b"\x16\x03\x01\xff\xff" + b"\0" * 2000, GOOD):
        with socket.create_connection((target.host, target.port), 5) as plain:
            plain.sendall(struct.pack("!II", 8, wire.SSL_REQUEST))
            assert plain.recv(1) == b"S"
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            try:
                while plain.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    client.close()


@pytest.mark.proxy
def test_a_slow_reader_of_a_big_result_costs_bounded_memory(own_front):
    target = own_front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    before = target.memory_kib()
    client.send(query("SELECT p.id, p.email, repeat('x', 1000) FROM person p, generate_series(1, 100000)"))
    time.sleep(2)
    assert target.memory_kib() < before + 64 * 1024
    assert sum(one.tag == "D" for one in client.until("Z")) == 500_000
    client.close()


def test_a_sync_with_a_body_is_an_error_and_a_sync(front):
    client = Raw(front("people.yaml").host, front("people.yaml").port)
    client.login("sam", "people")
    for before in (b"", wire.parse("", "SELECT 1/0"), wire.parse("", "nonsense")):
        got = client.ask(before + wire.frame("S", b"\0"))
        assert [one.fields()["C"] for one in got if one.tag == "E"][-1] == "08P01"
        assert len(client.rows("SELECT id FROM person")) == 5
    client.close()
