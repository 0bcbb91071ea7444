"""How connections come about and end: authentication, TLS on both legs, cancelling, reloading, draining."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest

from harness import wire
from harness.pgveil import Pgveil
from harness.postgres import Postgres
from harness.wire import Raw, query

PASSWORD = "correct horse"
POLICY = Path(__file__).parent / "policies" / "people.yaml"


def dsn(target, user, **more) -> str:
    settings = {"host": target.host, "port": target.port, "user": user, "dbname": "people", "connect_timeout": 10, **more}
    return " ".join(f"{key}='{value}'" for key, value in settings.items())


@pytest.mark.parametrize("user", ["pw_user", "md5_user", "scram_user", "sam"])
def test_the_login_is_relayed(front, user):
    target = front("people.yaml")
    with psycopg.connect(dsn(target, user, password=PASSWORD)) as connection:
        assert connection.execute("SELECT session_user::text, city FROM person WHERE id = 1").fetchone() == (user, "Köln")
        if target.proxied:
            assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone() == ("j###@#######.###",)


@pytest.mark.parametrize("user", ["pw_user", "md5_user", "scram_user"])
def test_a_wrong_password_is_the_servers_refusal(front, user):
    target = front("people.yaml")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn(target, user, password="wrong"))


@pytest.mark.parametrize("user", ["pw_user", "md5_user", "scram_user"])
def test_psql_logs_in(front, user):
    target = front("people.yaml")
    done = subprocess.run(["psql", "-X", "-A", "-t", dsn(target, user, password=PASSWORD), "-c", "SELECT city FROM person WHERE id = 1"],
                          capture_output=True, text=True, check=False)
    assert done.stdout == "Köln\n", done.stderr


@pytest.mark.proxy
def test_a_refused_login_is_counted(front):
    target = front("people.yaml")
    before = target.metric("pgveil_login_failures_total")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn(target, "scram_user", password="wrong"))
    assert target.metric("pgveil_login_failures_total") == before + 1


@pytest.mark.proxy
@pytest.mark.parametrize("user", ["pw_user", "md5_user", "scram_user", "sam"])
def test_tls_to_the_client(own_front, certificates, user):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key})
    with psycopg.connect(dsn(target, user, password=PASSWORD, sslmode="verify-full", sslrootcert=certificates.authority)) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone() == ("j###@#######.###",)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(dsn(target, user, password=PASSWORD, sslmode="verify-full", sslrootcert=certificates.stranger))
    with psycopg.connect(dsn(target, user, password=PASSWORD, sslmode="disable")) as connection:
        assert not connection.pgconn.ssl_in_use


@pytest.mark.proxy
def test_tls_can_be_required(own_front, certificates):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key, "required": True})
    with psycopg.connect(dsn(target, "sam", sslmode="require")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="(?i)tls|ssl"):
        psycopg.connect(dsn(target, "sam", sslmode="disable"))


def test_without_a_certificate_ssl_request_is_answered_no(front):
    target = front("people.yaml")
    if not target.proxied:
        pytest.skip("the PostgreSQL of the tests has a certificate")
    with psycopg.connect(dsn(target, "sam", sslmode="prefer")) as connection:
        assert not connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        psycopg.connect(dsn(target, "sam", sslmode="require"))


@pytest.mark.proxy
def test_gss_encryption_is_answered_no(front):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.send(struct.pack("!II", 8, wire.GSSENC_REQUEST))
    assert client.socket.recv(1) == b"N"
    client.login("sam", "people")
    assert client.rows("SELECT 1") == [[b"1"]]
    client.close()


@pytest.mark.proxy
@pytest.mark.parametrize(("sslmode", "root", "works"), [
    ("disable", None, True), ("prefer", None, True), ("require", None, True),
    ("verify-ca", "authority", True), ("verify-full", "authority", True),
    ("verify-ca", "stranger", False), ("verify-full", "stranger", False),
])
def test_tls_to_the_server(pg, own_front, certificates, sslmode, root, works):
    upstream = {"sslmode": sslmode}
    if root:
        upstream["sslrootcert"] = getattr(certificates, root)
    if not works:
        refused = Pgveil(pg, POLICY, {"upstream": upstream}, "people")
        try:
            with pytest.raises(RuntimeError, match="(?i)certificate"):
                refused.start(seconds=3)
        finally:
            refused.stop()
            refused.remove()
        return
    target = own_front("people.yaml", upstream=upstream)
    with psycopg.connect(dsn(target, "sam")) as connection:
        found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert found == (sslmode != "disable",)


@pytest.fixture(scope="module")
def misnamed(certificates):
    """A server whose certificate is good but for another host."""
    server = Postgres("misnamed", tls=(certificates.other_name, certificates.other_name_key)).start()
    server.psql("CREATE DATABASE people")
    server.psql("CREATE ROLE pgveil LOGIN; CREATE ROLE sam LOGIN")
    server.psql("CREATE TABLE person (id int, full_name text, email text, phone text, born date, salary numeric, notes text);"
                "CREATE TABLE visit (LIKE person); GRANT SELECT ON person TO sam", database="people")
    yield server
    server.stop()


@pytest.mark.proxy
@pytest.mark.parametrize(("sslmode", "works"), [("verify-ca", True), ("verify-full", False)])
def test_only_verify_full_looks_at_the_servers_name(misnamed, certificates, sslmode, works):
    target = Pgveil(misnamed, POLICY, {"upstream": {"sslmode": sslmode, "sslrootcert": certificates.authority}}, "people")
    try:
        if works:
            target.start()
            with psycopg.connect(dsn(target, "sam")) as connection:
                assert connection.execute("SELECT count(*) FROM person").fetchone() == (0,)
        else:
            with pytest.raises(RuntimeError, match="(?i)certificate"):
                target.start(seconds=3)
    finally:
        target.stop()
        target.remove()


@pytest.mark.parametrize("leg", ["plain", "tls"])
def test_cancel_ends_the_running_query(own_front, front, certificates, leg):
    target = front("people.yaml")
    if target.proxied and leg == "tls":
        target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key}, upstream={"sslmode": "require"})
    with psycopg.connect(dsn(target, "sam", sslmode="require" if leg == "tls" else "disable"), autocommit=True) as connection:
        threading.Timer(0.5, connection.cancel).start()
        start = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        assert time.monotonic() - start < 5
        assert connection.execute("SELECT 1").fetchone() == (1,)


@contextlib.contextmanager
def held_up(pg, seconds: float):
    """For so long the server does not answer pgveil's own connections."""
    stopped = []
    for pid in map(int, pg.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'pgveil'").split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    try:
        yield
        time.sleep(seconds)
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_cancel_sent_right_behind_a_request_does_not_overtake_it(pg, front):
    """Before what does more than read, pgveil asks whether the catalog has changed, which takes long here; meanwhile the server has nothing of it."""
    target, lost = front("people.yaml"), 0
    client = Raw(target.host, target.port)
    key = next(one.body for one in client.login("sam", "people") if one.tag == "K")
    for _ in range(8):
        with socket.create_connection((target.host, target.port)) as other:
            with held_up(pg, 0.1):
                client.send(query("INSERT INTO note SELECT 900, 'x' FROM pg_sleep(1)"))
                other.sendall(struct.pack("!II", 8 + len(key), wire.CANCEL_REQUEST) + key)
            lost += not any(b"57014" in one.body for one in client.until("Z") if one.tag == "E")
            assert other.recv(10) == b""
        client.ask(query("DELETE FROM note WHERE id = 900"))
    client.close()
    # PostgreSQL itself takes the signal before it reads the request now and then.
    assert lost <= 4


def test_psql_cancels_by_interrupt(front):
    target = front("people.yaml")
    running = subprocess.Popen(["psql", "-X", dsn(target, "sam"), "-c", "SELECT pg_sleep(20)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.7)
    start = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=15)
    assert "canceling statement due to user request" in errors
    assert time.monotonic() - start < 5


def test_a_cancel_key_of_nobody_cancels_nothing(front):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    start = client.login("sam", "people")
    key = next(one.body for one in start if one.tag == "K")
    client.send(query("SELECT pg_sleep(1), 'done'"))
    for wrong in (key[:4] + bytes([key[4] ^ 1]) + key[5:], b"\0\0\0\1" + key[4:], key[:4] + b"\0\0\0\0"):
        with socket.create_connection((target.host, target.port)) as other:
            other.sendall(struct.pack("!II", 8 + len(wrong), wire.CANCEL_REQUEST) + wrong)
            assert other.recv(10) == b""
    assert [one.tag for one in client.until("Z")][:2] == ["T", "D"]
    client.close()


@pytest.mark.proxy
@pytest.mark.parametrize("value", ["true", "on", "1", "yes", "database"])
def test_replication_connections_are_refused(front, value):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.send(wire.startup("postgres", "people", replication=value))
    got = client.until_closed()
    assert [one.tag for one in got] == ["E"]
    assert got[0].fields()["C"] in ("42501", "28000", "0A000")
    assert "replication" in got[0].fields()["M"]


POLICY_BLOCK = """version: 1
tags:
  all: {{ mask: {mask} }}
columns:
  public.person:
    city: all
"""


def city(target) -> bytes | None:
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    shown = client.rows("SELECT city FROM person WHERE id = 2")[0][0]
    client.close()
    return shown


def wait_for(what, wanted, seconds: float = 10.0):
    deadline = time.monotonic() + seconds
    while (got := what()) != wanted:
        assert time.monotonic() < deadline, f"still {got!r}, not {wanted!r}"
        time.sleep(0.1)


@pytest.mark.proxy
@pytest.mark.parametrize("by", ["signal", "file"])
def test_a_changed_policy_holds_for_the_next_statement_of_open_connections(own_front, tmp_path, by):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY_BLOCK.format(mask="full"))
    target = own_front(policy)
    client = Raw(target.host, target.port)
    client.login("sam", "people")

    def shown():
        return client.rows("SELECT city FROM person WHERE id = 2")[0][0]

    assert shown() == b"######"
    if by == "file":
        target.policy.write_text(POLICY_BLOCK.format(mask="{ replace: somewhere }"))
    else:
        # The file watcher must not be what noticed: the signal is sent at once.
        target.policy.write_text(POLICY_BLOCK.format(mask="{ replace: somewhere }"))
        target.reload()
    wait_for(shown, b"somewhere")
    # As editors and configuration managers do it: another file moved over the old one.
    other = target.base / "new.tmp"
    other.write_text(POLICY_BLOCK.format(mask="{ show_first: 2 }"))
    shutil.move(other, target.policy)
    if by == "signal":
        target.reload()
    wait_for(shown, b"Be####")
    client.close()


@pytest.mark.proxy
@pytest.mark.parametrize("text", ["version: 1\ntags: [", "version: 1\ntags:\n  all: { mask: no_such_mask }\n", "", "version: 1\nunknown: {}\n",
                                  "version: 1\ntags: { a: { mask: full } }\ncolumns:\n  public.person:\n    no_such_column: a\n"])
def test_a_bad_policy_keeps_the_one_in_force_and_raises_the_alarm(own_front, tmp_path, text):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY_BLOCK.format(mask="full"))
    target = own_front(policy)
    assert target.metric("pgveil_policy_reload_ok") == 1
    target.policy.write_text(text)
    target.reload()
    wait_for(lambda: target.metric("pgveil_policy_reload_ok"), 0.0)
    assert target.metric("pgveil_policy_reload_failures_total") >= 1
    assert city(target) == b"######"
    assert "policy.yaml" in target.log()
    target.policy.write_text(POLICY_BLOCK.format(mask="{ show_first: 1 }"))
    target.reload()
    wait_for(lambda: target.metric("pgveil_policy_reload_ok"), 1.0)
    wait_for(lambda: city(target), b"B#####")


@pytest.mark.proxy
def test_a_policy_that_is_wrong_at_the_start_stops_the_start(pg, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\ntags:\n  email: { maks: full }\n")
    target = Pgveil(pg, policy, None, "people")
    try:
        with pytest.raises(RuntimeError, match="maks"):
            target.start(seconds=10)
    finally:
        target.stop()
        target.remove()


@pytest.mark.proxy
def test_a_drain_lets_the_open_transaction_end(own_front):
    target = own_front("people.yaml")
    busy, idle = Raw(target.host, target.port), Raw(target.host, target.port)
    for client in (busy, idle):
        client.login("sam", "people")
    busy.ask(query("BEGIN"))
    target.process.send_signal(signal.SIGTERM)
    idle.until_closed()
    time.sleep(0.3)
    with pytest.raises(ConnectionError):
        socket.create_connection((target.host, target.port), 2).close()
    assert busy.rows("SELECT 1") == [[b"1"]]
    assert [one.tag for one in busy.ask(query("COMMIT"))][:1] == ["C"]
    busy.until_closed()
    assert target.process.wait(10) == 0


@pytest.mark.proxy
def test_a_drain_ends_at_its_timeout(own_front):
    target = own_front("people.yaml", drain_timeout_ms=1000)
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    client.ask(query("BEGIN"))
    start = time.monotonic()
    target.process.send_signal(signal.SIGTERM)
    assert target.process.wait(10) == 0
    assert 0.5 < time.monotonic() - start < 5
    client.socket.close()


@pytest.mark.proxy
def test_the_admin_address_says_how_it_is(front):
    target = front("people.yaml")
    assert target.status("/healthz") == 200
    assert target.status("/readyz") == 200
    assert target.status("/nothing") == 404
    assert target.metric("pgveil_build_info") == 1
    assert "# HELP pgveil_restrictive_defaults_total" in target.metrics_text()


@pytest.mark.proxy
def test_the_access_log_names_who_saw_what(pg, own_front):
    target = own_front("people.yaml")
    with psycopg.connect(dsn(target, "bella", application_name="billing desk")) as connection:
        connection.execute("SELECT email, city FROM person WHERE id <= 3")
    (event,) = target.events()
    for key, value in {"user": "bella", "actor": None, "role": "billing", "database": "people", "schema": "public", "table": "person",
                       "column": "email", "tag": "email", "how": "clear", "action": "view", "client_address": "127.0.0.1",
                       "application_name": "billing desk"}.items():
        assert event[key] == value, key
    assert event["rows"] in (3, None)
    if event["rows"] is None:
        (closing,) = [record for record in target.records() if record["kind"] == "close"]
        assert (closing["rows"], closing["complete"], closing["execution"]) == (3, True, event["execution"])
    assert event["time"].endswith("Z")
    assert len(event["time"]) == len("2026-01-01T00:00:00.000000Z")
    assert event["rule"].rsplit(":", 1)[1].isdigit()
    assert "SELECT" not in target.access_log.read_text(encoding="utf-8")


@pytest.mark.proxy
def test_an_unreachable_server_is_an_error_with_a_state(own_front, certificates):
    server = Postgres("leaving").start()
    server.psql("CREATE DATABASE people")
    server.psql("CREATE ROLE pgveil LOGIN")
    server.psql("CREATE TABLE person (id int, full_name text, email text, phone text, born date, salary numeric, notes text);"
                "CREATE TABLE visit (LIKE person)", database="people")
    target = Pgveil(server, POLICY, None, "people").start()
    try:
        server.stop()
        client = Raw(target.host, target.port)
        client.send(wire.startup("sam", "people"))
        got = client.until_closed()
        assert [one.tag for one in got] == ["E"]
        assert got[0].fields()["C"] in ("08006", "08001", "57P03")
        assert target.metric("pgveil_upstream_connect_errors_total") >= 1
        assert target.status("/healthz") == 200
    finally:
        target.stop()
        target.remove()


@pytest.mark.proxy
def test_tls_contexts_of_old_versions_are_refused(own_front, certificates):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    client = Raw(target.host, target.port)
    client.start_tls(context)
    client.login("sam", "people")
    assert client.rows("SELECT 1") == [[b"1"]]
    assert client.socket.version() in ("TLSv1.2", "TLSv1.3")
    client.close()
