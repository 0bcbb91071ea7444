"""Restarts of either side, timeouts, and what goes on meanwhile."""

import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.pgveil import Pgveil
from harness.postgres import Postgres
from harness.wire import Raw, query

pytestmark = pytest.mark.proxy


class Visitors:
    """Clients that come, ask once and leave, one after the other, in several threads; counts what went wrong."""

    def __init__(self, target, count: int = 3):
        self.target, self.faults, self.visits = target, [], 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._visit) for _ in range(count)]
        for one in self.threads:
            one.start()

    def _visit(self) -> None:
        while not self.stopping.is_set():
            try:
                client = Raw(self.target.host, self.target.port)
                client.login("sam", "people")
                assert client.rows("SELECT email FROM person WHERE id = 1") == [[b"j###@#######.###"]]
                client.close()
                self.visits += 1
            except Exception as fault:
                self.faults.append((time.monotonic(), fault))

    def stop(self) -> None:
        self.stopping.set()
        for one in self.threads:
            one.join(30)


def test_a_second_pgveil_takes_over_and_no_connection_is_refused(own_front):
    first = own_front("people.yaml", reuse_port=True)
    second = own_front("people.yaml", reuse_port=True, listen=f"{first.host}:{first.port}")
    staying = Raw(first.host, first.port)
    staying.login("sam", "people")
    visitors = Visitors(first)
    for old in (first, second):
        time.sleep(1)
        if old is second:
            third = own_front("people.yaml", reuse_port=True, listen=f"{first.host}:{first.port}")
            time.sleep(0.5)
        assert old.stop() == 0
    time.sleep(1)
    visitors.stop()
    assert not visitors.faults, visitors.faults[:3]
    assert visitors.visits > 20
    assert third.metric("pgveil_client_connections_total") > 0


def test_without_the_setting_an_address_is_taken_once(pg, own_front):
    first = own_front("people.yaml")
    second = Pgveil(pg, first.policy, {"listen": f"{first.host}:{first.port}"}, "people")
    try:
        with pytest.raises(RuntimeError, match="can not listen"):
            second.start(seconds=10)
    finally:
        second.stop()
        second.remove()


@pytest.fixture
def own_server(certificates):
    server = Postgres("restarting", tls=(certificates.certificate, certificates.key)).start()
    server.psql("CREATE DATABASE people")
    server.psql(file=wire_sql(), database="people")
    yield server
    server.stop()


def wire_sql():
    from conftest import HERE

    return HERE / "sql" / "people.sql"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_of_the_server_is_seen_as_it_is_directly_and_then_all_goes_on(own_server, own_front, how):
    target = Pgveil(own_server, wire_sql().parents[1] / "policies" / "people.yaml", {}, "people").start()
    try:
        pairs = []
        for place in (own_server, target):
            idle, busy, open_transaction = (Raw(place.host, place.port) for _ in range(3))
            for client in (idle, busy, open_transaction):
                client.login("sam", "people")
            open_transaction.ask(query("BEGIN; SELECT 1"))
            busy.send(query("SELECT id, email FROM person ORDER BY id; SELECT pg_sleep(20)"))
            pairs.append((idle, busy, open_transaction))
        time.sleep(0.5)
        own_server.process.send_signal(how)
        own_server.process.wait(20)
        ended = [[[(one.tag, one.fields()["C"]) for one in client.until_closed() if one.tag == "E"] for client in clients] for clients in pairs]
        assert ended[0] == ended[1]
        client = Raw(target.host, target.port)
        client.send(wire.startup("sam", "people"))
        (error,) = client.until_closed()
        assert (error.fields()["S"], error.fields()["C"]) == ("FATAL", "08001")
        own_server._launch()
        start = time.monotonic()
        client = Raw(target.host, target.port)
        client.login("sam", "people")
        assert client.rows("SELECT email FROM person WHERE id = 1") == [[b"j###@#######.###"]]
        assert time.monotonic() - start < 1
        client.close()
    finally:
        target.stop()
        assert "panicked" not in target.log()
        target.remove()


def stopped_server(name: str) -> Postgres:
    """A server that has run and does not run now, with the database `people` in it."""
    server = Postgres(name, hba="local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n").start()
    server.psql("CREATE DATABASE people")
    server.psql(file=wire_sql(), database="people")
    server.psql("ALTER ROLE pgveil PASSWORD 'own secret'; ALTER ROLE sam PASSWORD 'correct horse'")
    server._halt()
    return server


POLICY = "policies/people.yaml"


def test_a_server_that_is_not_there_at_the_start_is_waited_for(certificates, tmp_path):
    server = stopped_server("late")
    password = tmp_path / "password"
    password.write_text("own secret")
    password.chmod(0o600)
    target = Pgveil(server, wire_sql().parents[1] / POLICY, {
        "catalog": {"password_file": password}, "tls": {"certificate": certificates.certificate, "key": certificates.key},
    }, "people")
    address = f"host={target.host} port={target.port} user=sam dbname=people password='correct horse'"
    try:
        start = time.monotonic()
        target.start(ready=(503,))
        deadline = time.monotonic() + 10
        while "listening" not in target.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert time.monotonic() - start < 6
        # Whoever comes is told so, at once, whatever way it comes.
        for sslmode in ("disable", "require"):
            start = time.monotonic()
            with pytest.raises(psycopg.OperationalError, match="FATAL:  pgveil: the server could not be reached since"):
                psycopg.connect(f"{address} sslmode={sslmode}")
            assert time.monotonic() - start < 1
        client = Raw(target.host, target.port)
        client.send(wire.startup("sam", "people"))
        (error,) = client.until_closed()
        assert (error.fields()["S"], error.fields()["C"]) == ("FATAL", "57P03")
        asked = subprocess.run(["pg_isready", "-h", target.host, "-p", str(target.port)], capture_output=True, text=True, check=False)
        assert "rejecting connections" in asked.stdout
        assert (target.status("/readyz"), target.status("/healthz")) == (503, 200)
        assert target.log().count("waiting for the server") == 1
        # Meanwhile a wrong file is refused and a signal is no end.
        target.reload()
        server._launch()
        start = time.monotonic()
        while target.status("/readyz") != 200:
            assert time.monotonic() - start < 5
            time.sleep(0.05)
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone() == ("j###@#######.###",)
        assert target.stop() == 0
    finally:
        target.stop()
        assert "panicked" not in target.log()
        target.remove()
        server.stop()


@pytest.mark.parametrize(("catalog", "policy", "said"), [
    ({"user": "nobody"}, POLICY, 'role "nobody" does not exist|password authentication failed'),
    ({"password": "wrong"}, POLICY, "password authentication failed"),
    ({"database": "nowhere"}, POLICY, 'database "nowhere" does not exist'),
    ({}, "policies/chinook.yaml", "(?i)there is no|not in the database|no such"),
], ids=["user", "password", "database", "policy"])
def test_what_does_not_pass_by_itself_ends_it_when_the_server_comes(catalog, policy, said):
    server = stopped_server("misfit")
    target = Pgveil(server, wire_sql().parents[1] / policy, {"catalog": {"password": "own secret"} | catalog}, "people")
    try:
        target.start(ready=(503,))
        time.sleep(0.2)
        assert target.process.poll() is None
        server._launch()
        assert target.process.wait(15) != 0
        assert re.search(said, target.log()), target.log()
        # The same with the server there.
        start = time.monotonic()
        with pytest.raises(RuntimeError, match=said):
            target.start()
        assert time.monotonic() - start < 10
    finally:
        target.stop()
        target.remove()
        server.stop()


def test_it_can_be_ended_while_it_waits_for_the_server():
    server = stopped_server("never")
    target = Pgveil(server, wire_sql().parents[1] / POLICY, {"catalog": {"password": "own secret"}}, "people").start(ready=(503,))
    try:
        for wait in (0.1, 4):
            if wait > 1:
                target.start(ready=(503,))
            time.sleep(wait)
            start = time.monotonic()
            assert target.stop() == 0
            assert time.monotonic() - start < 3
    finally:
        target.remove()
        server.stop()


@pytest.mark.parametrize(("setting", "before"), [("statement_timeout", None), ("idle_in_transaction_session_timeout", "BEGIN"),
                                                 ("idle_session_timeout", None), ("lock_timeout", None)])
def test_timeouts_of_the_server_are_the_servers(pg, front, setting, before):
    target = front("people.yaml")
    blocker = Raw(pg.host, pg.port)
    blocker.login("postgres", "people")
    blocker.ask(query("BEGIN; LOCK TABLE note"))
    answers = []
    for place in (pg, target):
        client = Raw(place.host, place.port)
        client.login("sam", "people", options=f"-c {setting}=300ms")
        if before:
            client.ask(query(before))
        if setting.startswith("idle"):
            got = client.until_closed()
        else:
            got = client.ask(query("TABLE note" if setting == "lock_timeout" else "SELECT pg_sleep(10)"))
            client.close()
        answers.append([(one.tag, one.body) for one in got])
    blocker.close()
    assert answers[0] == answers[1]
    assert answers[0][0 if setting.startswith(("idle", "lock")) else 1][0] == "E"


def test_certificates_are_exchanged_under_open_sessions(own_front, certificates, tmp_path):
    files = {name: tmp_path / name for name in ("tls.crt", "tls.key")}
    shutil.copy(certificates.certificate, files["tls.crt"])
    shutil.copy(certificates.key, files["tls.key"])
    target = own_front("people.yaml", tls={"certificate": files["tls.crt"], "key": files["tls.key"]})
    staying = Raw(target.host, target.port)
    staying.start_tls(certificates.context())
    staying.login("sam", "people")

    def subject() -> str:
        shown = subprocess.run(["openssl", "s_client", "-starttls", "postgres", "-connect", f"{target.host}:{target.port}"], input="",
                               capture_output=True, text=True, check=False).stdout
        return next(line for line in shown.splitlines() if line.startswith("subject="))

    def subject_becomes(name: str) -> None:
        deadline = time.monotonic() + 10
        while name not in subject():
            assert time.monotonic() < deadline, subject()
            time.sleep(0.1)

    subject_becomes("localhost")
    shutil.copy(certificates.other_name, files["tls.crt"])
    shutil.copy(certificates.other_name_key, files["tls.key"])
    target.reload()
    subject_becomes("elsewhere.example")
    # A bad file keeps what is in force.
    files["tls.key"].write_text("no key", encoding="ascii")
    target.reload()
    time.sleep(0.5)
    subject_becomes("elsewhere.example")
    assert "tls.key" in target.log()
    assert staying.rows("SELECT email FROM person WHERE id = 1") == [[b"j###@#######.###"]]
    staying.close()


def test_an_end_tells_each_client_so(own_front):
    target = own_front("people.yaml", drain_timeout_ms=500)
    idle, busy = (Raw(target.host, target.port) for _ in range(2))
    for client in (idle, busy):
        client.login("sam", "people")
    busy.send(query("SELECT pg_sleep(30)"))
    time.sleep(0.2)
    target.process.send_signal(signal.SIGTERM)
    for client in (idle, busy):
        last = client.until_closed()[-1]
        assert (last.tag, last.fields()["S"], last.fields()["C"]) == ("E", "FATAL", "57P01")
    assert target.process.wait(10) == 0


def test_dead_peers_are_looked_for_on_both_legs(pg, front):
    """What the kernel is told about each connection: without a keepalive a peer that vanished would be kept for ever."""
    target = front("people.yaml")
    with psycopg.connect(f"host={target.host} port={target.port} user=sam dbname=people") as connection:
        connection.execute("SELECT 1")
        # While something is on its way another timer is shown.
        time.sleep(0.5)
        shown = subprocess.run(["ss", "-tnoH", "state", "established"], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            pytest.skip("no ss on this machine")
        legs = [line for line in shown.stdout.splitlines() if f":{target.port} " in line.split()[2] + " "]
        to_server = [line for line in shown.stdout.splitlines() if line.split()[3].endswith(f":{pg.port}")]
        assert legs and all("timer:(keepalive" in line for line in legs), legs
        assert to_server and any("timer:(keepalive" in line for line in to_server), to_server


def test_a_client_that_only_connects_does_not_stay(own_front):
    target = own_front("people.yaml", startup_timeout_ms=500)
    silent = socket.create_connection((target.host, target.port))
    slow = Raw(target.host, target.port)
    slow.send(wire.startup("sam", "people")[:10])
    for one in (silent, slow.socket):
        one.settimeout(5)
        while one.recv(4096):
            pass
