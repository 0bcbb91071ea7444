"""A network that cuts, resets, stalls, or lets bytes through one at a time, at every point of a session, on both legs.

PGVEIL_FAULT_STEP: faults strike at every so many bytes (default: some hundred places on each leg; 1: at every one).
"""

import os
import socket
import time

import psycopg
import pytest

from harness import wire
from harness.relay import REPLIES, REQUESTS, Fault, Relay
from harness.wire import Raw, bind, describe, execute, flush, frame, parse, query, sync

pytestmark = [pytest.mark.proxy, pytest.mark.timeout(3600)]

STEP = int(os.environ.get("PGVEIL_FAULT_STEP", "0"))

# What is sent and what is waited for. All states of a session are in it: what fails, what is masked, COPY both ways,
# a portal that is suspended, an open transaction.
SCRIPT = [
    (query("SELECT id, email, city FROM person ORDER BY id"), "Z"),
    (parse("s", "SELECT email, phone FROM person WHERE id = $1") + describe("S", "s") + bind("", "s", ["1"]) + execute() + sync(), "Z"),
    (query("BEGIN"), "Z"),
    (parse("", "SELECT id, full_name, email FROM person ORDER BY id") + bind("p", "") + execute("p", 2) + flush(), "s"),
    (execute("p", 0) + sync(), "Z"),
    (query("COPY (SELECT id, email FROM person ORDER BY id) TO STDOUT"), "Z"),
    (query("COPY note FROM STDIN"), "G"),
    (frame("d", b"7001\tone\n7002\ttwo\n") + frame("d", b"7003\tthree\n") + frame("c"), "Z"),
    (query("ROLLBACK"), "Z"),
    (query("SELECT email FROM no_such_table; SELECT 1"), "Z"),
    (query("UPDATE person SET email = 'x' WHERE id = -1 RETURNING email"), "Z"),
    (query("SELECT 'the end'"), "Z"),
]
# A session short enough to be cut at every byte.
SHORT = [
    (query("SELECT id, email FROM person WHERE id < 3 ORDER BY id"), "Z"),
    (parse("", "SELECT email FROM person WHERE id = $1") + bind("", "", ["1"]) + execute() + sync(), "Z"),
    (query("COPY (SELECT email FROM person WHERE id = 1) TO STDOUT"), "Z"),
    (query("BEGIN; COPY note FROM STDIN"), "G"),
    (frame("d", b"7001\tone\n") + frame("c"), "Z"),
    (query("SELECT 'the end'"), "Z"),
]
SECRETS = (b"jane@example.com", b"oc@example.org")


def played(client: Raw, patience: float = 10.0, script=SCRIPT) -> bytes:
    """Play the script as far as it goes; all that came, with the key taken out."""
    client.socket.settimeout(patience)
    try:
        client.login("sam", "people")
        for data, tag in script:
            client.ask(data, tag)
    except (OSError, wire.Closed):
        pass
    got = b"".join(frame(one.tag, bytes(len(one.body)) if one.tag == "K" else one.body) for one in client.frames)
    rest = client.buffer[:5] + bytes(len(client.buffer[5:])) if client.buffer[:1] == b"K" else client.buffer
    client.socket.close()
    return got + rest


def sessions(target) -> float:
    return target.metric("pgveil_client_connections")


def wait_for_the_end(target, others: int, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while sessions(target) > others:
        assert time.monotonic() < deadline, f"{sessions(target) - others} sessions are left"
        time.sleep(0.02)


class Site:
    """pgveil with a relay on each side, and a session that is to be disturbed by nothing.

    `encrypted`: the legs that TLS is used on. `script`: what is played.
    """

    def __init__(self, pg, front, certificates, encrypted: tuple[str, ...] = (), script=SCRIPT):
        self.pg, self.script = pg, script
        self.context = certificates.context() if "client" in encrypted else None
        self.server_leg = Relay(pg.host, pg.port).__enter__()
        upstream = {"host": self.server_leg.host, "port": self.server_leg.port}
        if "server" in encrypted:
            upstream |= {"sslmode": "verify-full", "sslrootcert": certificates.authority}
        tls = {"tls": {"certificate": certificates.certificate, "key": certificates.key}} if self.context else {}
        self.target = front("people.yaml", upstream=upstream, **tls)
        self.client_leg = Relay(self.target.host, self.target.port).__enter__()
        self.bystander = Raw(self.target.host, self.target.port)
        self.bystander.login("bella", "people")
        self.kept = frozenset(self.server_leg.open)
        self.expected = self.play()
        assert b"the end" in self.expected
        assert not any(secret in self.expected for secret in SECRETS)
        # Of the server's leg: what goes over it is not what the client sees.
        self.lengths = {"client": dict(self.client_leg.passed), "server": dict(self.server_leg.passed)}
        wait_for_the_end(self.target, 1)
        self.files = self.target.open_files()

    def play(self, patience: float = 10.0) -> bytes:
        client = Raw(self.client_leg.host, self.client_leg.port, timeout=patience)
        if self.context:
            try:
                client.start_tls(self.context)
            except (OSError, AssertionError):
                client.socket.close()
                return b""
        return played(client, patience, self.script)

    def relay(self, leg: str) -> Relay:
        return self.client_leg if leg == "client" else self.server_leg

    def places(self, leg: str, direction: str, share: int) -> range:
        length = self.lengths[leg][direction]
        return range(0, length + 1, STEP or max(length // share, 1))

    def check(self) -> None:
        """Nothing is left of what was disturbed, and the bystander never noticed."""
        for relay in (self.client_leg, self.server_leg):
            relay.fault = relay.chunk = None
        wait_for_the_end(self.target, 1)
        deadline = time.monotonic() + 10
        while self.target.open_files() > self.files:
            assert time.monotonic() < deadline, f"{self.target.open_files()} files, {self.files} before"
            time.sleep(0.1)
        assert self.bystander.rows("SELECT email FROM person WHERE id = 1") == [[b"jane@example.com"]]
        assert self.play() == self.expected
        # An open transaction ends with its session.
        deadline = time.monotonic() + 10
        while self.pg.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'sam'", database="people").strip() != "0":
            assert time.monotonic() < deadline, "sessions of the server are left"
            time.sleep(0.1)
        assert self.pg.psql("SELECT count(*) FROM note WHERE id > 7000", database="people").strip() == "0"


    def close(self) -> None:
        self.bystander.close()
        for relay in (self.client_leg, self.server_leg):
            relay.__exit__()


@pytest.fixture(scope="module")
def site(pg, front, certificates):
    made = Site(pg, front, certificates)
    yield made
    made.close()


@pytest.fixture(scope="module")
def short(pg, front, certificates):
    made = Site(pg, front, certificates, script=SHORT)
    yield made
    made.close()


@pytest.fixture(scope="module", params=[("server",), ("client", "server")], ids=["TLS to the server", "TLS on both legs"])
def encrypted(request, pg, front, certificates):
    made = Site(pg, front, certificates, request.param)
    yield made
    made.close()


def assert_a_part(got: bytes, expected: bytes, where) -> None:
    """Nothing came that the whole session does not have, at most pgveil's last word behind a whole message."""
    assert not any(secret in got for secret in SECRETS), where
    if expected.startswith(got):
        return
    same = next(at for at, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1])
    last = wire.frames_of(got[same:] if got[same : same + 1] == b"E" else got[same - 1 :])
    assert [one.tag for one in last] == ["E"], (where, got[same - 20 :])
    assert last[0].fields()["S"] == "FATAL", (where, last)


@pytest.mark.parametrize("kind", ["cut", "reset"])
@pytest.mark.parametrize("direction", [REQUESTS, REPLIES])
@pytest.mark.parametrize("leg", ["client", "server"])
def test_a_connection_that_breaks_anywhere_ends_that_session_alone(site, leg, direction, kind):
    for after in site.places(leg, direction, 25):
        site.relay(leg).fault = Fault(kind, direction, after)
        start = time.monotonic()
        got = site.play()
        assert time.monotonic() - start < 5, (leg, direction, kind, after)
        assert_a_part(got, site.expected, (leg, direction, kind, after))
    site.check()


@pytest.mark.parametrize("kind", ["stall", "half"])
@pytest.mark.parametrize("direction", [REQUESTS, REPLIES])
@pytest.mark.parametrize("leg", ["client", "server"])
def test_a_connection_that_falls_silent_anywhere_ends_when_the_client_gives_up(site, leg, direction, kind):
    for after in site.places(leg, direction, 6):
        site.relay(leg).fault = Fault(kind, direction, after)
        got = site.play(patience=0.4)
        assert_a_part(got, site.expected, (leg, direction, kind, after))
    # What fell silent for good is not noticed by any of them before a keepalive is.
    for relay in (site.client_leg, site.server_leg):
        relay.drop(site.kept)
    site.check()


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("leg", ["client", "server"])
def test_bytes_that_come_one_at_a_time_are_the_same_session(site, leg, chunk):
    site.relay(leg).chunk = chunk
    assert site.play() == site.expected
    site.check()


@pytest.mark.parametrize("direction", [REQUESTS, REPLIES])
@pytest.mark.parametrize("leg", ["client", "server"])
def test_a_cut_at_every_byte_of_a_session_ends_it_and_nothing_else(short, leg, direction):
    for after in range(short.lengths[leg][direction] + 1):
        short.relay(leg).fault = Fault("cut", direction, after)
        start = time.monotonic()
        got = short.play()
        assert time.monotonic() - start < 5, (leg, direction, after)
        assert_a_part(got, short.expected, (leg, direction, after))
    short.check()


@pytest.mark.parametrize("kind", ["cut", "reset", "stall", "half"])
@pytest.mark.parametrize("direction", [REQUESTS, REPLIES])
@pytest.mark.parametrize("leg", ["client", "server"])
def test_an_encrypted_connection_that_breaks_or_falls_silent_anywhere_shows_nothing_more(encrypted, leg, direction, kind):
    silent = kind in ("stall", "half")
    for after in encrypted.places(leg, direction, 6 if silent else 25):
        encrypted.relay(leg).fault = Fault(kind, direction, after)
        start = time.monotonic()
        got = encrypted.play(patience=0.4 if silent else 10.0)
        assert time.monotonic() - start < 5, (leg, direction, kind, after)
        assert_a_part(got, encrypted.expected, (leg, direction, kind, after))
    for relay in (encrypted.client_leg, encrypted.server_leg):
        relay.drop(encrypted.kept)
    encrypted.check()


@pytest.mark.parametrize("leg", ["client", "server"])
def test_encrypted_bytes_that_come_one_at_a_time_are_the_same_session(encrypted, leg):
    encrypted.relay(leg).chunk = 1
    assert encrypted.play() == encrypted.expected
    encrypted.check()


@pytest.mark.parametrize("direction", [REQUESTS, REPLIES])
@pytest.mark.parametrize("leg", ["client", "server"])
@pytest.mark.parametrize("user", ["scram_user", "md5_user"])
def test_a_login_that_breaks_anywhere_is_no_login(site, user, leg, direction):
    def asked():
        parameters = {"host": site.client_leg.host, "port": site.client_leg.port, "user": user, "password": "correct horse", "dbname": "people",
                      "connect_timeout": 10}
        with psycopg.connect(**parameters) as connection:
            return connection.execute("SELECT email FROM person WHERE id = 1").fetchone()

    assert asked() == ("j###@#######.###",)
    length = site.relay(leg).passed[direction]
    for after in range(0, length + 1, STEP or max(length // 15, 1)):
        site.relay(leg).fault = Fault("cut", direction, after)
        try:
            assert asked() == ("j###@#######.###",)
        except psycopg.OperationalError:
            pass
    site.check()


def test_a_server_that_can_not_be_reached_is_said_and_comes_back(pg, own_front):
    relay = Relay(pg.host, pg.port)
    with relay:
        target = own_front("people.yaml", upstream={"host": relay.host, "port": relay.port})
        port = relay.port
    client = Raw(target.host, target.port)
    client.send(wire.startup("sam", "people"))
    (error,) = client.until_closed()
    assert (error.fields()["S"], error.fields()["C"]) == ("FATAL", "08001")
    again = Relay(pg.host, pg.port)
    again.listener.close()
    again.listener = socket.create_server(("127.0.0.1", port), backlog=64)
    again.host, again.port = again.listener.getsockname()
    with again:
        start = time.monotonic()
        client = Raw(target.host, target.port)
        client.login("sam", "people")
        assert client.rows("SELECT email FROM person WHERE id = 1") == [[b"j###@#######.###"]]
        assert time.monotonic() - start < 1
        client.close()
