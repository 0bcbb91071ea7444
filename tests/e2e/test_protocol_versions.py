"""Versions of the protocol, what they negotiate, and the keys and connections that come with the newer ones."""

import socket
import ssl
import struct
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.relay import Relay
from harness.wire import Frame, Raw, frame, query, startup_of

V3_0, V3_1, V3_2, GREASE = 0x00030000, 0x00030001, 0x00030002, 0x0003270F
BASE = {"user": "sam", "database": "people"}
ODD = {"_pq_.odd": "x"}


def levelled(frames: list[Frame]) -> list[tuple[str, bytes]]:
    """Keys are each server process's own: only how long they are can be compared."""
    return [(one.tag, b"%d bytes" % len(one.body) if one.tag == "K" else one.body) for one in frames]


def answer(target, version: int, parameters: dict[str, str]) -> list[tuple[str, bytes]]:
    client = Raw(target.host, target.port)
    client.send(startup_of(version, parameters))
    try:
        return levelled(client.until("Z"))
    except wire.Closed:
        return levelled(client.frames)
    finally:
        client.socket.close()


@pytest.mark.parametrize("policy", ["empty.yaml", "people.yaml"])
@pytest.mark.parametrize("version", [V3_0, V3_1, V3_2, GREASE], ids=["3.0", "3.1", "3.2", "3.9999"])
@pytest.mark.parametrize("more", [{}, ODD, {**ODD, "application_name": "after it", "_pq_.other": ""}, {"database": "no such database"},
                                  {**ODD, "database": "no such database"}, {**ODD, "no_such_setting": "1"}],
                         ids=["plain", "option", "options", "unknown database", "option and unknown database", "option and unknown setting"])
def test_a_version_is_negotiated_as_the_server_does(front, pg, policy, version, more):
    if policy == "people.yaml" and "database" in more:
        pytest.skip("with tags pgveil lets nobody into other databases")
    assert answer(front(policy), version, {**BASE, **more}) == answer(pg, version, {**BASE, **more})


@pytest.mark.parametrize("version", [0x00020000, 0x00040000, 0x03E70000], ids=["2.0", "4.0", "999.0"])
def test_another_protocol_is_refused(front, version):
    got = answer(front("empty.yaml"), version, BASE)
    assert [tag for tag, _ in got] == ["E"]
    assert b"unsupported frontend protocol" in got[0][1]


@pytest.mark.parametrize("policy", ["empty.yaml", "people.yaml"])
@pytest.mark.parametrize("more", [b"", query("SELECT 2"), frame("X")], ids=["one", "two", "and goodbye"])
def test_requests_may_come_before_the_login_is_done(front, pg, policy, more):
    def answers(target) -> list[tuple[str, bytes]]:
        client = Raw(target.host, target.port)
        client.send(startup_of(V3_0, BASE) + query("SELECT city FROM person WHERE id = 1") + more)
        try:
            for _ in range(3 if more[:1] == b"Q" else 2):
                client.until("Z")
            return levelled(client.frames)
        finally:
            client.socket.close()

    def asked_before_the_password(target, user: str) -> list[tuple[str, bytes]]:
        client = Raw(target.host, target.port)
        client.send(startup_of(V3_0, {**BASE, "user": user}) + query("SELECT 1"))
        with pytest.raises(wire.Closed):
            client.until("Z")
        return [(one.tag, one.body.split(b"\0")[2:4]) for one in client.frames if one.tag == "E"]

    assert answers(front(policy)) == answers(pg)
    for user in ("pw_user", "md5_user", "scram_user"):
        assert asked_before_the_password(front(policy), user) == asked_before_the_password(pg, user)


def cancelled(target, key: bytes, context: ssl.SSLContext | None = None, more: bytes = b"") -> bytes:
    """Send a cancel request and read until the other side hangs up; what it said."""
    with socket.create_connection((target.host, target.port), 20) as plain:
        connection = plain
        if context:
            plain.sendall(struct.pack("!II", 8, wire.SSL_REQUEST))
            assert plain.recv(1) == b"S"
            connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(struct.pack("!II", 8 + len(key), wire.CANCEL_REQUEST) + key + more)
        said = b""
        try:
            while got := connection.recv(4096):
                said += got
        except ConnectionResetError:
            pass
        return said


def sleeps(client: Raw, cancel, seconds: float = 20.0) -> tuple[str, float]:
    """The SQLSTATE that a long query ends with when `cancel` is called, and how long it took."""
    threading.Timer(0.3, cancel).start()
    start = time.monotonic()
    got = client.ask(query(f"SELECT pg_sleep({seconds})"))
    errors = [one.fields()["C"] for one in got if one.tag == "E"]
    return (errors or ["done"])[0], time.monotonic() - start


@pytest.mark.parametrize("version", [V3_0, V3_2], ids=["3.0", "3.2"])
def test_a_key_of_any_version_cancels_its_own_session_only(front, version):
    target = front("people.yaml")
    clients, keys = [], []
    for _ in range(3):
        client = Raw(target.host, target.port)
        client.send(startup_of(version, BASE))
        keys.append(next(one.body for one in client.until("Z") if one.tag == "K"))
        clients.append(client)
    assert len(set(keys)) == 3
    results: dict[int, tuple[str, float]] = {}
    others = [threading.Thread(target=lambda at=at: results.update({at: sleeps(clients[at], lambda: None, 1.0)})) for at in (0, 2)]
    for one in others:
        one.start()
    code, seconds = sleeps(clients[1], lambda: cancelled(target, keys[1]))
    for one in others:
        one.join()
    assert code == "57014"
    assert seconds < 5
    assert {at: code for at, (code, _) in results.items()} == {0: "done", 2: "done"}
    for client in clients:
        assert client.rows("SELECT 1") == [[b"1"]]
        client.close()


@pytest.mark.proxy
@pytest.mark.parametrize("length", [4, 5, 31, 32, 255, 256])
def test_keys_of_every_length_are_passed_on_whole(pg, own_front, length):
    secret = bytes(range(256))[:length]
    requests: list[bytes] = []
    relay = Relay(pg.host, pg.port)
    relay.replies = lambda data: with_secret(data, secret)
    relay.requests = lambda data: requests.append(data) or data
    with relay:
        target = own_front("people.yaml", upstream={"host": relay.host, "port": relay.port})
        client = Raw(target.host, target.port)
        key = next(one.body for one in client.login("sam", "people") if one.tag == "K")
        assert key[4:] == secret
        requests.clear()
        for wrong in (key[:-1] + bytes([key[-1] ^ 1]), key[:-1], key + b"x", bytes([key[0] ^ 1]) + key[1:]):
            assert cancelled(target, wrong) == b""
        time.sleep(0.2)
        assert not any(struct.pack("!I", wire.CANCEL_REQUEST) in one for one in requests)
        assert cancelled(target, key) == b""
        assert struct.pack("!II", 12 + length, wire.CANCEL_REQUEST) + key in requests
        client.close()


def with_secret(data: bytes, secret: bytes) -> bytes:
    """The server's bytes with another secret in BackendKeyData."""
    at = data.find(b"K\0\0\0\x0c")
    if at < 0 or data[:1] != b"R":
        return data
    return data[:at] + wire.frame("K", data[at + 5 : at + 9] + secret) + data[at + 13 :]


@pytest.mark.proxy
def test_bytes_behind_a_cancel_request_change_nothing(front):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    key = next(one.body for one in client.login("sam", "people") if one.tag == "K")
    code, seconds = sleeps(client, lambda: cancelled(target, key, more=wire.startup("sam", "people") + query("SELECT 1")))
    assert (code, seconds < 5) == ("57014", True)
    assert client.rows("SELECT 1") == [[b"1"]]
    client.close()


@pytest.mark.proxy
def test_a_key_is_worth_nothing_once_its_session_has_ended(front):
    target = front("people.yaml")
    ended = Raw(target.host, target.port)
    key = next(one.body for one in ended.login("sam", "people") if one.tag == "K")
    ended.close()
    before = target.metric("pgveil_cancel_requests_total", outcome="unknown_key")
    deadline = time.monotonic() + 10
    while target.metric("pgveil_cancel_requests_total", outcome="unknown_key") == before:
        assert time.monotonic() < deadline
        assert cancelled(target, key) == b""


@pytest.mark.proxy
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_a_storm_of_wrong_keys_cancels_nothing_and_hides_no_right_one(own_front, certificates, encrypted):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key})
    context = certificates.context() if encrypted else None
    client = Raw(target.host, target.port)
    key = next(one.body for one in client.login("sam", "people") if one.tag == "K")
    storm, count = 16, 12 if encrypted else 125

    def blow(seed: int) -> None:
        for number in range(count):
            wrong = key[:4] + struct.pack("!I", struct.unpack("!I", key[4:8])[0] ^ (1 + seed * count + number)) + key[8:]
            assert cancelled(target, wrong, context) == b""

    before = target.metric("pgveil_cancel_requests_total", outcome="unknown_key")
    files = target.open_files()
    threads = [threading.Thread(target=blow, args=(seed,)) for seed in range(storm)]
    for one in threads:
        one.start()
    code, _ = sleeps(client, lambda: None, 1.0)
    assert code == "done"
    code, seconds = sleeps(client, lambda: cancelled(target, key, context))
    assert (code, seconds < 5) == ("57014", True)
    for one in threads:
        one.join()
    assert client.rows("SELECT 1") == [[b"1"]]
    assert target.metric("pgveil_cancel_requests_total", outcome="unknown_key") - before == storm * count
    deadline = time.monotonic() + 10
    while target.open_files() > files:
        assert time.monotonic() < deadline, "cancel requests leave descriptors behind"
        time.sleep(0.1)
    client.close()


@pytest.fixture
def encrypted(own_front, certificates):
    return own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key})


@pytest.mark.proxy
def test_a_connection_may_begin_with_tls(encrypted, certificates):
    parameters = {"host": "localhost", "hostaddr": encrypted.host, "port": encrypted.port, "user": "sam", "dbname": "people"}
    with psycopg.connect(**parameters, sslmode="verify-full", sslrootcert=str(certificates.authority), sslnegotiation="direct") as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone() == ("j###@#######.###",)
    with psycopg.connect(**parameters, sslmode="require", max_protocol_version="3.2") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def direct_tls(target, certificates, protocols: list[str], chunk: int | None = None, before: bytes = b"") -> Raw:
    context = certificates.context()
    if protocols:
        context.set_alpn_protocols(protocols)
    client = Raw(target.host, target.port)
    if before:
        client.send(before)
        assert client.socket.recv(1) == b"N"
    if chunk is None:
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
    else:
        # The handshake in small pieces, as from a client far away.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                data = outgoing.read()
                for at in range(0, len(data), chunk):
                    client.socket.sendall(data[at : at + chunk])
                    time.sleep(0.001)
                incoming.write(client.socket.recv(65536))
        client.socket.sendall(outgoing.read())
        session.write(wire.startup("sam", "people"))
        client.socket.sendall(outgoing.read())
        got = b""
        while b"Z\0\0\0\5I" not in got:
            incoming.write(client.socket.recv(65536))
            try:
                while True:
                    got += session.read(65536)
            except ssl.SSLWantReadError:
                pass
    return client


@pytest.mark.proxy
@pytest.mark.parametrize("chunk", [1, 7, 300])
def test_the_first_handshake_may_come_in_pieces(encrypted, certificates, chunk):
    direct_tls(encrypted, certificates, ["postgresql"], chunk).socket.close()


@pytest.mark.proxy
def test_who_begins_with_tls_has_to_name_the_protocol(encrypted, certificates):
    client = direct_tls(encrypted, certificates, ["h2", "postgresql"])
    assert client.socket.selected_alpn_protocol() == "postgresql"
    client.login("sam", "people")
    assert client.rows("SELECT city FROM person WHERE id = 1") == [["Köln".encode()]]
    client.close()
    with pytest.raises(ssl.SSLError, match="(?i)alpn|no application protocol"):
        direct_tls(encrypted, certificates, ["h2", "http/1.1"])
    unnamed = direct_tls(encrypted, certificates, [])
    with pytest.raises((OSError, wire.Closed)):
        unnamed.login("sam", "people")


@pytest.mark.proxy
def test_tls_begins_a_connection_or_is_asked_for(encrypted, certificates):
    with pytest.raises(OSError):
        direct_tls(encrypted, certificates, ["postgresql"], before=struct.pack("!II", 8, wire.GSSENC_REQUEST))
    twice = direct_tls(encrypted, certificates, ["postgresql"])
    twice.send(struct.pack("!II", 8, wire.SSL_REQUEST))
    assert twice.socket.recv(1) == b"N"
    twice.login("sam", "people")
    assert twice.rows("SELECT 1") == [[b"1"]]
    twice.close()


@pytest.mark.proxy
def test_without_a_certificate_a_connection_that_begins_with_tls_is_closed(front, certificates):
    with pytest.raises(OSError):
        direct_tls(front("people.yaml"), certificates, ["postgresql"])


@pytest.mark.proxy
def test_a_direct_tls_connection_can_cancel(encrypted, certificates):
    client = direct_tls(encrypted, certificates, ["postgresql"])
    key = next(one.body for one in client.login("sam", "people") if one.tag == "K")

    def cancel():
        other = direct_tls(encrypted, certificates, ["postgresql"])
        other.send(struct.pack("!II", 8 + len(key), wire.CANCEL_REQUEST) + key)
        other.until_closed()

    code, seconds = sleeps(client, cancel)
    assert (code, seconds < 5) == ("57014", True)
    client.close()
