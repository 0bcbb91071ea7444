"""The guard: limits that hold in every way to be shown something, locks that outlive the process, alerts, several instances."""

import hashlib
import hmac
import http.server
import json
import re
import ssl
import subprocess
import threading
import time

import psycopg
import pytest

from harness.pgveil import Pgveil, binary
from harness.wire import Raw, bind, describe, execute, parse, query, sync

pytestmark = pytest.mark.proxy

POLICY = """
version: 1
tags:
  name: {{ mask: full, filter: search }}
  email: {{ mask: email }}
columns:
  person: {{ full_name: name, email: email }}
  many: {{ secret: name }}
roles:
  billing: {{ member_of: billing, sees: {{ "*": clear }} }}
guard:
  except: [postgres]
  limits:
{limits}
"""
SECRET = "a secret of more than thirty-two characters"


@pytest.fixture(scope="module", autouse=True)
def many(pg):
    """A table with enough rows to pass any limit, and more than are held back."""
    pg.psql("CREATE TABLE IF NOT EXISTS many (id int PRIMARY KEY, secret text)", database="people")
    pg.psql("INSERT INTO many SELECT n, 'secret of ' || n || repeat('x', 40) FROM generate_series(1, 5000) n ON CONFLICT DO NOTHING", database="people")
    pg.psql("GRANT SELECT ON many TO billing, support, analyst", database="people")
    pg.psql("ANALYZE many", database="people")


@pytest.fixture
def guarded(own_front, tmp_path):
    """`guarded("name: { ... }", ..., **settings)`: pgveil with these limits."""

    def start(*limits: str, **settings) -> Pgveil:
        path = tmp_path / "guard.yaml"
        path.write_text(POLICY.format(limits="\n".join(f"    {limit}" for limit in limits)), encoding="utf-8")
        return own_front(path, **settings)

    return start


@pytest.fixture
def store(tmp_path) -> dict:
    return {"engine": "embedded", "path": str(tmp_path / "state.jsonl")}


def client(target, user: str = "bella", **parameters) -> Raw:
    raw = Raw(target.host, target.port)
    raw.login(user, "people", **parameters)
    return raw


def connect(target, user: str = "bella", **more) -> psycopg.Connection:
    return psycopg.connect(host=target.host, port=target.port, user=user, dbname="people", **{"autocommit": True, "sslmode": "disable", **more})


def shown(frames) -> int:
    return sum(frame.tag in "Dd" for frame in frames)


def ended(raw: Raw, data: bytes):
    """Send this; all that comes until the connection is closed."""
    raw.send(data)
    return raw.until_closed()


def error(frames) -> dict:
    errors = [frame.fields() for frame in frames if frame.tag == "E"]
    return errors[0] if errors else {}


def command(target: Pgveil, *arguments: str, code: int = 0) -> str:
    run = subprocess.run([str(binary()), *arguments, "--config", str(target.config)], capture_output=True, text=True, timeout=30)
    assert run.returncode == code, run.stderr + run.stdout
    return run.stdout + run.stderr


def within(seconds: float, claim) -> float:
    """Wait until it is so; in how many seconds it was."""
    started = time.monotonic()
    while not claim():
        assert time.monotonic() - started < seconds, f"not so within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


def guard_records(target: Pgveil) -> list[dict]:
    return [record for record in target.records() if record["kind"] == "guard"]


ROWS = "rows: { what: revealed_rows, max: 1000, within: 1 hour }"


def simple(raw: Raw, rows: int):
    return raw.ask(query(f"SELECT id, secret FROM many ORDER BY id LIMIT {rows}"))


def extended(raw: Raw, rows: int):
    sql = "SELECT id, secret FROM many ORDER BY id LIMIT $1"
    return raw.ask(parse("", sql, (23,)) + bind("", "", [str(rows)]) + describe("P", "") + execute() + sync())


def copied(raw: Raw, rows: int):
    return raw.ask(query(f"COPY (SELECT id, secret FROM many ORDER BY id LIMIT {rows}) TO STDOUT"))


def copied_in_binary(raw: Raw, rows: int):
    return raw.ask(query(f"COPY (SELECT id, secret FROM many ORDER BY id LIMIT {rows}) TO STDOUT (FORMAT binary)"))


@pytest.mark.parametrize("way", [simple, extended, copied, copied_in_binary])
@pytest.mark.parametrize("pieces", [[1500], [400, 400, 400], [999, 1, 1], [1] * 3 + [2000]])
def test_the_row_over_the_limit_does_not_leave_whatever_the_way(guarded, way, pieces):
    target = guarded(ROWS)
    raw, left = client(target), 1000
    for rows in pieces:
        frames = way(raw, rows)
        # A binary COPY has a header and a trailer of its own.
        extra = 1 if way is copied_in_binary and shown(frames) > min(rows, left) else 0
        assert shown(frames) - extra == min(rows, left), (rows, left)
        failed = error(frames)
        if rows > left:
            assert failed["C"] == "53400" and failed["S"] == "ERROR", failed
            assert 'pgveil: limit "rows" is reached: 1000 revealed rows within 1 hour (rule' in failed["M"]
            assert "ask who runs pgveil" in failed["H"] and "room again in" in failed["H"]
            assert not any(frame.tag == "C" for frame in frames), "it must not look complete"
        else:
            assert not failed
        left = max(0, left - rows)
        assert frames[-1].tag == "Z"
    # The session goes on, and what shows nothing in clear is not counted.
    assert not error(raw.ask(query("SELECT count(*) FROM many")))
    assert not error(raw.ask(query("SELECT id FROM many LIMIT 3000")))
    # All sessions of the user together.
    assert error(way(client(target), 2000))["C"] == "53400" if left == 0 else True
    assert shown(simple(client(target, "sam"), 2000)) == 2000, "who sees masks is not limited"
    assert target.metric("pgveil_guard_breaches_total", limit="rows", what="revealed_rows") == 1
    # What the events say is what left.
    records = target.records()
    told = sum(record["rows"] for record in records if record["kind"] in ("reveal", "close") and record["rows"])
    assert told == min(1000, sum(pieces)), records


def test_a_cursor_is_cut_off_at_the_row_over_the_limit(guarded):
    target = guarded("rows: { what: revealed_rows, max: 250, within: 1 hour }")
    with connect(target, autocommit=False) as connection:
        seen = []
        with pytest.raises(psycopg.Error) as failed, connection.cursor("c") as cursor:
            cursor.execute("SELECT secret FROM many ORDER BY id")
            while rows := cursor.fetchmany(100):
                seen += rows
        assert failed.value.sqlstate == "53400" or "limit \"rows\" is reached" in str(failed.value), failed.value
    assert 200 <= len(seen) <= 250
    # A portal that is read in pieces, without SQL.
    raw = client(guarded("rows: { what: revealed_rows, max: 250, within: 1 hour }"))
    raw.send(query("BEGIN"))
    raw.until("Z")
    frames = raw.ask(parse("", "SELECT secret FROM many ORDER BY id") + bind("p", "") + execute("p", 100) + sync())
    assert shown(frames) == 100
    frames = raw.ask(execute("p", 100) + sync())
    assert shown(frames) == 100
    frames = ended(raw, execute("p", 100) + sync())
    assert shown(frames) == 50 and error(frames)["C"] == "53400"


def test_once_a_limit_is_used_up_cursors_and_portals_do_not_go_on_and_the_session_does(guarded):
    raw = client(guarded("rows: { what: revealed_rows, max: 200, within: 1 hour }"))
    raw.ask(query("BEGIN; DECLARE c CURSOR FOR SELECT secret FROM many ORDER BY id; DECLARE d CURSOR FOR SELECT id FROM many"))
    raw.ask(parse("", "SELECT secret FROM many ORDER BY id") + bind("p", "") + execute("p", 100) + sync())
    assert shown(raw.ask(query("FETCH 100 FROM c"))) == 100
    assert shown(raw.ask(query("FETCH 3 FROM d"))) == 3
    for piece in (query("FETCH 1 FROM c"), parse("", "FETCH 1 FROM c") + bind("", "") + execute() + sync(), execute("p", 100) + sync()):
        raw.ask(query("SAVEPOINT s"))
        frames = raw.ask(piece)
        assert shown(frames) == 0 and error(frames)["C"] == "53400" and frames[-1].body == b"E"
        raw.ask(query("ROLLBACK TO s"))
    # Where it stands is where the server has it: behind what was shown.
    assert raw.rows("FETCH 1 FROM d") == [[b"4"]]
    assert raw.ask(query("COMMIT"))[-1].body == b"I"


def test_within_a_transaction_the_session_ends(guarded):
    target = guarded("rows: { what: revealed_rows, max: 2, within: 1 hour }")
    with connect(target, autocommit=False) as connection, pytest.raises(psycopg.Error) as failed:
        connection.execute("SELECT 1")
        connection.execute("SELECT full_name FROM person").fetchall()
    assert "limit \"rows\" is reached" in str(failed.value)


def test_once_a_limit_is_used_up_a_transaction_goes_on_as_the_server_has_it(guarded):
    target = guarded("rows: { what: revealed_rows, max: 2, within: 1 hour }")
    with connect(target, autocommit=False) as connection:
        assert len(connection.execute("SELECT full_name FROM person LIMIT 2").fetchall()) == 2
        connection.execute("SAVEPOINT s")
        for statement in ("SELECT full_name FROM person", "UPDATE person SET full_name = full_name RETURNING full_name"):
            with pytest.raises(psycopg.Error) as failed:
                connection.execute(statement)
            assert failed.value.sqlstate == "53400" and connection.info.transaction_status.name == "INERROR"
            connection.execute("ROLLBACK TO s")
        assert connection.execute("SELECT count(*) FROM person").fetchone()[0] > 2
        connection.execute("UPDATE person SET full_name = full_name")


def test_room_comes_back_when_the_time_is_over(guarded):
    target = guarded("rows: { what: revealed_rows, max: 5, within: 3 s }")
    raw = client(target)
    assert shown(simple(raw, 5)) == 5
    assert error(simple(raw, 1))["C"] == "53400"
    time.sleep(3.3)
    assert shown(simple(raw, 5)) == 5 and error(simple(raw, 1))["C"] == "53400"


def test_columns_probes_and_refusals_are_counted(guarded):
    target = guarded(
        "columns: { what: revealed_columns, max: 3, within: 1 hour }",
        "probes: { what: inference_probes, max: 3, within: 1 hour }",
        "refused: { what: refusals, max: 3, within: 1 hour, users: [ana], on_breach: [alert, block_session] }",
    )
    raw = client(target)
    one = query("SELECT full_name, email FROM person")
    assert not error(raw.ask(one))
    assert error(raw.ask(one))["C"] == "53400"
    assert not error(raw.ask(query("SELECT email FROM person")))
    assert error(raw.ask(query("SELECT email FROM person")))["C"] == "53400"
    masked = client(target, "sam")
    ask = query("SELECT id FROM person WHERE full_name = 'x'")
    assert [error(masked.ask(ask)).get("C") for _ in range(5)] == [None] * 3 + ["53400"] * 2
    other = client(target, "ana")
    refused = query("INSERT INTO note SELECT id + 100, full_name FROM person")
    assert [error(other.ask(refused))["C"] for _ in range(3)] == ["42501"] * 3
    last = ended(other, refused)
    assert error([frame for frame in last if frame.tag == "E" and frame.fields()["S"] == "FATAL"])["C"] == "53400"
    assert target.metric("pgveil_client_connections_closed_total", reason="guard") == 1
    assert {record["limit"] for record in guard_records(target)} == {"columns", "probes", "refused"}


def test_a_limit_that_only_alerts_stops_nothing(guarded):
    target = guarded("rows: { what: revealed_rows, max: 10, within: 1 hour, on_breach: alert }")
    raw = client(target)
    assert shown(simple(raw, 4000)) == 4000 and shown(simple(raw, 100)) == 100
    assert target.metric("pgveil_guard_breaches_total") == 1


def test_block_session_ends_the_session_and_no_other(guarded):
    target = guarded("rows: { what: revealed_rows, max: 10, within: 2 s, on_breach: [block_session] }")
    one, other = client(target), client(target)
    frames = ended(one, query("SELECT secret FROM many"))
    assert shown(frames) == 10 and error(frames)["S"] == "FATAL" and error(frames)["C"] == "53400"
    assert not error(other.ask(query("SELECT 1")))
    time.sleep(2.2)
    assert shown(simple(client(target), 10)) == 10


LOCK = "rows: { what: revealed_rows, max: 10, within: 1 hour, on_breach: [alert, lock_account: until_unlocked] }"


def is_locked_out(target: Pgveil, user: str = "bella") -> bool:
    try:
        connect(target, user).close()
    except psycopg.OperationalError as failed:
        assert "is locked out" in str(failed) and "HINT:  Ask who runs pgveil" in str(failed), failed
        return True
    return False


def test_a_locked_account_is_out_at_once_and_stays_so_after_kill_9_until_it_is_let_in(guarded, store):
    target = guarded(LOCK, state=store)
    idle, busy = client(target), client(target)
    busy.send(query("BEGIN; SELECT pg_sleep(30)"))
    frames = ended(client(target), query("SELECT secret FROM many"))
    assert shown(frames) == 10 and error(frames)["C"] == "53400"
    for raw in (idle, busy):
        told = raw.until_closed()
        assert error(told)["C"] == "28000" and error(told)["S"] == "FATAL" and "locked out" in error(told)["M"]
    assert is_locked_out(target) and not is_locked_out(target, "sam")
    listed = command(target, "guard", "list")
    assert 'user "bella"' in listed and 'limit "rows"' in listed and "until let in again" in listed
    time.sleep(0.3)  # the store hears of it behind
    target.process.kill()
    target.process.wait(10)
    target.start()
    assert is_locked_out(target)
    assert target.metric("pgveil_guard_locks") == 1
    said = command(target, "guard", "unlock", "bella")
    assert 'user "bella" is let in again' in said
    assert within(1.0, lambda: not is_locked_out(target)) < 1.0
    assert shown(simple(client(target), 10)) == 10, "what was counted is forgotten"
    assert [record["action"] for record in guard_records(target)] == ["breach", "lock", "unlock"]
    assert "nobody is locked out" in command(target, "guard", "list")
    command(target, "guard", "unlock", "bella", code=1)


def test_kill_9_forgets_no_more_than_a_tenth_of_a_limit(guarded, store):
    target = guarded(ROWS, state=store)
    raw, sent = client(target), 0
    for _ in range(45):
        sent += shown(simple(raw, 20))
    target.process.kill()
    target.process.wait(10)
    target.start()
    raw = client(target)
    more = sum(shown(simple(raw, 20)) for _ in range(20))
    assert sent == 900 and 1000 <= sent + more <= 1000 + 100 + 64, more


def test_an_operator_locks_and_lets_in_within_a_second(guarded, store):
    target = guarded(ROWS, state=store)
    raw = client(target)
    said = command(target, "guard", "lock", "bella", "--reason", "left the company", "--for", "2 hours")
    assert 'user "bella" is locked out until 2' in said
    told = raw.until_closed()
    assert error(told)["C"] == "28000" and is_locked_out(target)
    record = guard_records(target)[-1]
    assert (record["action"], record["user"], record["reason"]) == ("lock", "bella", "left the company") and record["by"]
    listed = [json.loads(line) for line in command(target, "guard", "list", "--json").splitlines()]
    assert [lock["subject"] for lock in listed] == [{"user": "bella"}]
    command(target, "guard", "unlock", "bella")
    within(1.0, lambda: not is_locked_out(target))
    command(target, "guard", "lock", "--address", "127.0.0.1", "--for", "1 s")
    within(1.0, lambda: is_locked_out(target, "sam"))
    within(3.0, lambda: not is_locked_out(target, "sam"))
    assert '"soon" is not a time' in command(target, "guard", "lock", "bella", "--for", "soon", code=1)


def test_without_a_store_locks_are_the_process_s_own(guarded):
    target = guarded(LOCK, state={"engine": "memory"})
    assert "set state.engine to keep it" in target.log()
    ended(client(target), query("SELECT secret FROM many"))
    assert is_locked_out(target)
    assert "state.engine" in command(target, "guard", "list", code=1)


def fails(target, user: str, password: str = "wrong", address: str = "127.0.0.1") -> str:
    try:
        connect(target, user, password=password, options="-c application_name=x").close()
    except psycopg.OperationalError as failed:
        return str(failed)
    return ""


def test_failed_logins_lock_out_who_fails_from_where_it_fails(guarded, store):
    limit = "guessing: { what: failed_logins, max: 3, within: 1 hour, on_breach: [alert, lock_account: 2 s] }"
    target = guarded(limit, state=store)
    for _ in range(4):
        assert "password authentication failed" in fails(target, "scram_user")
    # Not even with the right password, from there, for the time.
    assert "locked out until 2" in fails(target, "scram_user", "correct horse")
    assert fails(target, "pw_user", "correct horse") == "", "others from there are not locked out"
    listed = command(target, "guard", "list")
    assert 'user "scram_user" from 127.0.0.1' in listed, listed
    within(4.0, lambda: fails(target, "scram_user", "correct horse") == "")
    assert target.metric("pgveil_guard_breaches_total", limit="guessing") == 1


def test_failed_logins_by_address_and_by_user(guarded):
    target = guarded("guessing: { what: failed_logins, max: 3, within: 1 hour, per: address, on_breach: lock_account }")
    for user in ("scram_user", "md5_user", "pw_user", "nobody"):
        fails(target, user)
    assert "locked out" in fails(target, "scram_user", "correct horse")
    target = guarded("guessing: { what: failed_logins, max: 1, within: 1 hour, per: user, on_breach: lock_account }")
    fails(target, "scram_user"), fails(target, "scram_user")
    assert "locked out" in fails(target, "scram_user", "correct horse") and fails(target, "md5_user", "correct horse") == ""


def test_a_server_that_is_full_locks_nobody_out(guarded, pg):
    target = guarded("guessing: { what: failed_logins, max: 1, within: 1 hour, on_breach: lock_account }")
    pg.psql("ALTER ROLE sam CONNECTION LIMIT 0")
    try:
        for _ in range(4):
            assert "too many connections" in fails(target, "sam")
    finally:
        pg.psql("ALTER ROLE sam CONNECTION LIMIT -1")
    assert not is_locked_out(target, "sam")


def test_who_is_excepted_is_not_counted(guarded, pg):
    target = guarded(LOCK.replace("within", "except: [bella], within"))
    assert shown(simple(client(target), 4000)) == 4000


class Receiver:
    """A webhook that fails as often as it is told, and keeps what it is sent."""

    def __init__(self, failures: int = 0, tls: tuple | None = None):
        self.taken, self.tried, self.failures = [], 0, failures
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tried += 1
                if outer.tried <= outer.failures:
                    self.send_response(503)
                else:
                    outer.taken.append((self.headers, body))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def alerts(self) -> list[dict]:
        for headers, body in self.taken:
            signed = headers["X-Pgveil-Timestamp"].encode() + b"." + body
            expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
            assert hmac.compare_digest(headers["X-Pgveil-Signature"], expected)
            assert abs(time.time() - int(headers["X-Pgveil-Timestamp"])) < 30
            assert headers["X-Pgveil-Id"] == json.loads(body)["id"]
        return [json.loads(body) for _, body in self.taken]


@pytest.fixture
def secret_file(tmp_path) -> str:
    path = tmp_path / "webhook-secret"
    path.write_text(SECRET + "\n", encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def test_an_alert_is_signed_and_sent_again_until_it_is_taken_once_for_a_breach(guarded, store, secret_file):
    receiver = Receiver(failures=2)
    alerts = {"url": f"http://127.0.0.1:{receiver.port}/hook?x=1", "secret_file": secret_file}
    target = guarded(LOCK.replace("until_unlocked", "30 min"), state=store, alerts=alerts)
    ended(client(target), query("SELECT secret FROM many"))
    within(8.0, lambda: receiver.taken)
    time.sleep(0.6)
    [alert] = receiver.alerts()
    assert receiver.tried == 3
    assert (alert["kind"], alert["limit"], alert["what"], alert["user"]) == ("guard_breach", "rows", "revealed_rows", "bella")
    assert (alert["max"], alert["within_seconds"], alert["locked"], alert["client_address"]) == (10, 3600, True, "127.0.0.1")
    assert "secret of" not in json.dumps(alert)
    assert target.metric("pgveil_guard_alerts_sent_total") == 1
    assert target.metric("pgveil_guard_alert_failures_total") == 2


def test_an_alert_that_nobody_took_is_sent_after_a_restart(guarded, store, secret_file):
    receiver = Receiver(failures=10_000)
    alerts = {"url": f"http://127.0.0.1:{receiver.port}/", "secret_file": secret_file}
    target = guarded(ROWS.replace("1000", "3"), state=store, alerts=alerts)
    raw = client(target)
    for _ in range(20):
        error(simple(raw, 5))
    within(5.0, lambda: receiver.tried >= 1)
    target.process.kill()
    target.process.wait(10)
    receiver.failures = 0
    target.start()
    within(5.0, lambda: receiver.taken)
    time.sleep(1)
    assert len(receiver.alerts()) == 1


def test_alerts_go_over_tls_to_who_can_prove_to_be_the_receiver(guarded, secret_file, certificates):
    receiver = Receiver(tls=(certificates.certificate, certificates.key))
    alerts = {"url": f"https://localhost:{receiver.port}/", "secret_file": secret_file, "ca_file": str(certificates.authority)}
    target = guarded(ROWS.replace("1000", "3"), alerts=alerts)
    simple(client(target), 5)
    within(5.0, lambda: receiver.alerts())
    # Without the authority it is not believed.
    other = Receiver(tls=(certificates.certificate, certificates.key))
    target = guarded(ROWS.replace("1000", "3"), alerts={"url": f"https://localhost:{other.port}/", "secret_file": secret_file})
    simple(client(target), 5)
    within(5.0, lambda: target.metric("pgveil_guard_alert_failures_total") >= 1)
    assert not other.taken


@pytest.fixture
def shared(pg):
    """The settings of a store in PostgreSQL, with its tables made by a user who is no superuser."""
    pg.psql("DROP DATABASE IF EXISTS state_store WITH (FORCE)")
    pg.psql("DO $$ BEGIN CREATE ROLE state_user LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    pg.psql("CREATE DATABASE state_store OWNER state_user")
    dsn = f"postgresql://state_user@{pg.host}:{pg.port}/state_store?sslmode=disable"
    settings = {"engine": "postgresql", "dsn": dsn}
    run = subprocess.run([str(binary()), "state", "init", "--state-engine", "postgresql", "--state-dsn", dsn], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    again = subprocess.run([str(binary()), "state", "init", "--state-engine", "postgresql", "--state-dsn", dsn], capture_output=True, text=True, timeout=30)
    assert again.returncode == 0, again.stderr
    return settings


def test_two_instances_share_counts_and_locks(guarded, shared):
    one, two = (guarded(ROWS, LOCK.replace("rows:", "lock:").replace("10,", "1200,"), state=shared) for _ in range(2))
    assert shown(simple(client(one), 600)) == 600
    time.sleep(0.6)
    assert shown(simple(client(two), 600)) == 400, "what the one has shown, the other has not to show any more"
    time.sleep(0.6)
    assert shown(simple(client(one), 600)) == 0
    idle = client(two)
    command(one, "guard", "lock", "bella", "--reason", "x")
    told = idle.until_closed()
    assert error(told)["C"] == "28000"
    within(1.0, lambda: is_locked_out(one) and is_locked_out(two))
    command(two, "guard", "unlock", "bella")
    within(1.0, lambda: not is_locked_out(one) and not is_locked_out(two))
    assert shown(simple(client(one), 300)) == 300, "what was counted is forgotten everywhere"
    time.sleep(0.6)
    assert shown(simple(client(two), 900)) == 700


@pytest.mark.parametrize("engine", ["embedded", "postgresql"])
def test_one_end_user_s_limit_and_lock_do_not_hit_the_others_of_a_pooled_account(own_front, tmp_path, store, shared, engine):
    path = tmp_path / "actors.yaml"
    path.write_text("actors: { bella: { assert: plain, by: [setting, comment] } }\n" + POLICY.format(
        limits="    rows: { what: revealed_rows, max: 10, within: 1 hour, on_breach: [alert, refuse, lock_account] }"
    ).replace("member_of: billing", "member_of: billing, actors: ['*']"))
    target = own_front(path, state=store if engine == "embedded" else shared)
    jane, eve = (f"SELECT id, secret FROM many ORDER BY id LIMIT {{}} /*actor='{name}'*/" for name in ("jane", "eve"))
    raw = client(target)
    assert shown(raw.ask(query(jane.format(10)))) == 10
    assert error(raw.ask(query(jane.format(1))))["C"] == "53400"
    within(2.0, lambda: "jane" in command(target, "guard", "list"))
    assert "eve" not in command(target, "guard", "list")
    # The session serves the others, and jane neither what is shown in clear nor what is masked.
    for sql in (jane.format(1), "SELECT count(*) FROM person /*actor='jane'*/"):
        assert error(raw.ask(query(sql)))["C"] == "28000", sql
    assert shown(raw.ask(query(eve.format(4)))) == 4
    raw.ask(query("SET pgveil.actor = 'jane'"))
    assert error(raw.ask(query("SELECT id FROM person LIMIT 1")))["C"] == "28000"
    assert error(raw.ask(parse("", "SELECT secret FROM many") + bind("", "") + execute() + sync()))["C"] == "28000"
    assert not error(raw.ask(query("DISCARD ALL"))), "the pool hands the session on"
    assert shown(raw.ask(query(eve.format(4)))) == 4 and shown(raw.ask(query("SELECT 1"))) == 1
    assert shown(client(target).ask(query(eve.format(1)))) == 1
    assert "nobody" in command(target, "guard", "unlock", "bella", "--actor", "eve", code=1)
    command(target, "guard", "unlock", "bella", "--actor", "jane")
    within(2.0, lambda: not error(raw.ask(query("SELECT id FROM person /*actor='jane'*/"))))
    # What was counted for her is forgotten, and what was for the others is not.
    time.sleep(0.6)
    assert shown(raw.ask(query(jane.format(10)))) == 10
    assert error(raw.ask(query(eve.format(2))))["C"] == "53400", "nine, and two more"
    within(2.0, lambda: "eve" in command(target, "guard", "list"))
    command(target, "guard", "lock", "bella", "--actor", "mia", "--reason", "left", "--for", "1 hour")
    within(2.0, lambda: error(raw.ask(query("SELECT id FROM person /*actor='mia'*/"))).get("C") == "28000")
    assert not error(raw.ask(query("SELECT id FROM person /*actor='ann'*/")))
    locks = [(record["action"], record.get("actor")) for record in guard_records(target) if record["action"] != "breach"]
    assert ("lock", "jane") in locks and ("unlock", "jane") in locks and ("lock", "mia") in locks, locks
    assert not {"jane", "eve", "mia"} & set(re.findall(r"\w+", target.metrics_text()))


def test_two_instances_that_show_at_the_same_time_overrun_a_limit_by_little(guarded, shared):
    one, two = (guarded(ROWS, state=shared) for _ in range(2))
    counts = [0, 0]

    def read(number: int, target: Pgveil):
        raw = client(target)
        for _ in range(60):
            counts[number] += shown(simple(raw, 25))

    threads = [threading.Thread(target=read, args=pair) for pair in enumerate((one, two))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    # One more tenth of the limit, and what is taken at a time, for the other instance.
    assert 1000 <= sum(counts) <= 1000 + 100 + 64, counts


def test_budgets_of_filters_are_shared_and_outlive_the_process(guarded, shared, store):
    def asks(target, count):
        raw = client(target, "sam")
        return [error(raw.ask(query("SELECT id FROM person WHERE email = 'x'"))).get("C") for _ in range(count)]

    limit = "none: { what: refusals, max: 1000, within: 1 hour }"
    one = guarded(limit, state=store)
    text = one.policy.read_text(encoding="utf-8").replace("email: { mask: email }", "email: { mask: email, budget: 5/day }")
    one.policy.write_text(text, encoding="utf-8")
    one.reload()
    time.sleep(1)
    assert asks(one, 3) == [None] * 3
    time.sleep(0.5)
    one.process.kill()
    one.process.wait(10)
    one.start()
    assert asks(one, 3) == [None, None, "42501"]
    two, three = guarded(limit, state=shared), guarded(limit, state=shared)
    for target in (two, three):
        target.policy.write_text(text, encoding="utf-8")
        target.reload()
    time.sleep(1)
    assert asks(two, 3) == [None] * 3
    time.sleep(0.6)
    assert asks(three, 3) == [None, None, "42501"]


def test_while_the_store_is_away_nothing_is_revealed_to_who_has_limits_and_masks_go_on(guarded, shared, pg):
    target = guarded(ROWS.replace("within", "users: [bella], within"), state=shared)
    assert shown(simple(client(target), 5)) == 5
    pg.psql("ALTER DATABASE state_store ALLOW_CONNECTIONS false")
    pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'state_store'")
    try:
        raw, masked = client(target), client(target, "sam")
        within(6.0, lambda: error(simple(raw, 5)).get("C") == "58030")
        failed = error(simple(raw, 5))
        assert "the store that pgveil counts them in can not be reached" in failed["M"] and failed["H"]
        assert shown(simple(masked, 100)) == 100 and not error(raw.ask(query("SELECT id FROM many LIMIT 3")))
        assert target.metric("pgveil_state_ready") == 0
        assert target.status("/readyz") == 200
    finally:
        pg.psql("ALTER DATABASE state_store ALLOW_CONNECTIONS true")
    within(6.0, lambda: shown(simple(client(target), 5)) == 5)
    assert target.metric("pgveil_state_ready") == 1


def test_pgveil_does_not_start_without_its_store(guarded, shared, pg, store):
    for settings, expected in [
        ({**shared, "dsn": shared["dsn"].replace("state_store", "people")}, "make them with `pgveil state init`"),
        ({**shared, "dsn": shared["dsn"].replace("state_store", "no_such_database")}, "does not exist"),
        ({"engine": "embedded", "path": "/no/such/directory/state"}, "/no/such/directory/state"),
    ]:
        with pytest.raises(RuntimeError) as failed:
            guarded(ROWS, state=settings)
        assert expected in str(failed.value), failed.value
    assert "CREATE TABLE IF NOT EXISTS pgveil.state_kept" in subprocess.run([str(binary()), "state", "ddl"], capture_output=True, text=True).stdout
