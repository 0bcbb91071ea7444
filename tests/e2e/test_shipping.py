"""The access log is shipped to other places: all of it, in order, at least once, whatever becomes of them, and without holding
anybody up.

`PGVEIL_OUTAGE_SECONDS`: how long a sink is down here (3 by default; 60 is what it is made for).
"""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.pgveil import Pgveil
from harness.relay import Fault, Relay
from harness.sinks import KafkaBroker, NatsServer, Output, Rsyslog, SyslogReceiver, TableServer, wait_for
from harness.wire import Closed, Raw, query

pytestmark = pytest.mark.proxy

REVEALING = "SELECT email FROM person WHERE id = 1"
OUTAGE_SECONDS = float(os.environ.get("PGVEIL_OUTAGE_SECONDS", "3"))

SINKS = {
    "stdout": lambda certificates: Output(),
    "udp": lambda certificates: SyslogReceiver("udp"),
    "tcp": lambda certificates: SyslogReceiver("tcp"),
    "tls": lambda certificates: SyslogReceiver("tls", certificates),
    "unix": lambda certificates: SyslogReceiver("unix"),
    "rsyslog-udp": lambda certificates: Rsyslog("udp", certificates),
    "rsyslog-tcp": lambda certificates: Rsyslog("tcp", certificates),
    "rsyslog-tls": lambda certificates: Rsyslog("tls", certificates),
    "rsyslog-unix": lambda certificates: Rsyslog("unix", certificates),
    "postgresql": lambda certificates: TableServer(),
    "nats": lambda certificates: NatsServer(),
    "kafka": lambda certificates: KafkaBroker(),
}
# Those by which pgveil knows what has arrived.
ACKNOWLEDGING = ["stdout", "tcp", "tls", "rsyslog-tcp", "rsyslog-tls", "postgresql", "nats", "kafka"]
# Those that have each record once, whatever happens.
EXACT = ["postgresql", "nats"]


@pytest.fixture
def sink(certificates):
    """`sink(kind)`: a sink that is up."""
    made = []

    def make(kind: str):
        one = SINKS[kind](certificates)
        made.append(one)
        return one.up()

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def ship(pg):
    """`ship(sink, ...)`: pgveil that ships to it."""
    started: list[Pgveil] = []

    def start(one, **settings) -> Pgveil:
        return start_on(one.place(), getattr(one, "fifo", None), **settings)

    def start_on(place: dict, stdout: Path | None = None, **settings) -> Pgveil:
        entry = {"name": "test", "timeout_ms": 2000, "retry_max_ms": 500, "batch_delay_ms": 50, **place, **settings}
        policy = Path(__file__).resolve().parent / "policies" / "people.yaml"
        target = Pgveil(pg, policy, {"access_log": {"ship": [entry]}}, "people")
        target.stdout = stdout
        started.append(target)
        return target.start()

    start.on = start_on
    yield start
    panics = []
    for one in started:
        with contextlib.suppress(RuntimeError):
            one.stop()
        if "panicked" in one.log():
            panics.append(one.log()[-2000:])
        one.remove()
    assert not panics, "\n".join(panics)


class Load:
    """Somebody who looks at an e-mail address again and again, as quickly as it goes or so many times a second."""

    def __init__(self, target: Pgveil, a_second: float | None = None):
        self.target, self.a_second = target, a_second
        self.seconds: list[float] = []
        self.ending = threading.Event()
        self.fault: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            client = Raw(self.target.host, self.target.port)
            client.login("bella", "people")
            while not self.ending.is_set():
                started = time.monotonic()
                client.send(query(REVEALING))
                client.until("Z")
                client.frames.clear()
                took = time.monotonic() - started
                self.seconds.append(took)
                if self.a_second:
                    self.ending.wait(max(0.0, 1 / self.a_second - took))
            client.close()
        except (OSError, Closed) as fault:
            self.fault = fault

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.ending.set()
        self.thread.join(20)


def reveal(target: Pgveil, times: int) -> None:
    client = Raw(target.host, target.port)
    client.login("bella", "people")
    for _ in range(times):
        client.rows(REVEALING)
    client.close()


def written(target: Pgveil) -> list[str]:
    """The lines of the access log, of all of its files."""
    log = target.access_log
    files = [*sorted(log.parent.glob(log.name + ".0*")), log]
    return [line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]


def first_copies(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def position(target: Pgveil) -> int:
    path = target.access_log.with_name(target.access_log.name + ".ship-test")
    return json.loads(path.read_text(encoding="utf-8"))["seq"] if path.exists() else 0


def caught_up(target: Pgveil, seconds: float = 30.0) -> None:
    # Of a log that has lost its end a sink is ahead, and stopped.
    through = lambda: target.metric("pgveil_shipping_behind_records") == 0 and target.metric("pgveil_shipping_stopped") == 0
    wait_for(through, seconds, "a sink that has caught up")


def arrived(target: Pgveil, one, exact: bool) -> list[str]:
    """Everything that was written has arrived, in its order, byte for byte. What arrived."""
    lines = written(target)
    got = wait_for(lambda: (found := one.records()) and len(set(found)) >= len(lines) and found, 30, f"{len(lines)} records in the sink")
    assert first_copies(got) == lines
    if exact:
        assert len(got) == len(lines)
    return got


@pytest.mark.parametrize("kind", SINKS)
def test_each_record_arrives_once_in_order_and_byte_for_byte(kind, sink, ship):
    one = sink(kind)
    target = ship(one)
    reveal(target, 30)
    caught_up(target)
    reveal(target, 300)
    caught_up(target)
    arrived(target, one, exact=True)
    assert target.metric("pgveil_shipping_records_total", sink="test") == len(written(target)) == position(target)
    assert target.metric("pgveil_shipping_failures_total") == 0
    # The last records are shipped before the end.
    reveal(target, 20)
    target.stop()
    arrived(target, one, exact=True)


@pytest.mark.parametrize("kind", ACKNOWLEDGING)
def test_a_sink_that_was_down_gets_what_it_missed_and_nobody_waited_for_it(kind, sink, ship):
    one = sink(kind)
    target = ship(one)
    with Load(target, 200) as load:
        time.sleep(1)
        wait_for(lambda: target.metric("pgveil_shipping_behind_records") < 50, what="a sink that keeps up")
        calm = list(load.seconds)
        memory = target.memory_kib()
        one.down()
        time.sleep(OUTAGE_SECONDS)
        behind = target.metric("pgveil_shipping_behind_records"), target.metric("pgveil_shipping_behind_seconds")
        troubled = load.seconds[len(calm):]
        grown = target.memory_kib() - memory
        one.up()
        wait_for(lambda: target.metric("pgveil_shipping_behind_records") < 50, 60, "a sink that has caught up")
    assert load.fault is None
    caught_up(target)
    print(f"{kind}: {len(troubled)} reveals in {OUTAGE_SECONDS} s of outage, behind {behind}, median {median(calm):.5f} s before and "
          f"{median(troubled):.5f} s during it, {grown} KiB more memory, {target.metric('pgveil_shipping_failures_total')} failed attempts")
    assert behind[0] > 50 * OUTAGE_SECONDS and OUTAGE_SECONDS - 1 < behind[1] < OUTAGE_SECONDS + 3
    assert median(troubled) < 3 * median(calm) + 0.002
    assert grown < 16 * 1024
    if kind != "stdout":  # which is only waited for
        assert target.metric("pgveil_shipping_failures_total", reason="unavailable") > 0
    assert target.metric("pgveil_shipping_stopped") == 0
    arrived(target, one, exact=kind in EXACT)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_a_sink_that_is_half_as_fast_as_the_load_falls_behind_and_catches_up(sink, ship):
    one = sink("tcp")
    one.seconds_each = 0.01
    target = ship(one, batch_records=10_000)
    with Load(target, 200) as load:
        time.sleep(1)
        memory = target.memory_kib()
        time.sleep(4)
        behind = target.metric("pgveil_shipping_behind_records")
        assert behind > 100
        assert len(one.lines) > 50
        assert target.memory_kib() - memory < 16 * 1024
    assert load.fault is None
    assert len(load.seconds) > 500
    one.seconds_each = 0.001
    caught_up(target, 60)
    arrived(target, one, exact=False)


def test_a_sink_that_takes_longer_for_a_batch_than_it_has_is_sent_smaller_ones(sink, ship):
    one = sink("tcp")
    one.seconds_each = 0.05
    target = ship(one, timeout_ms=1000)
    reveal(target, 100)
    caught_up(target, 60)
    assert len(one.lines) < 4 * len(written(target))
    arrived(target, one, exact=False)


def test_a_reader_of_standard_output_may_take_his_time(sink, ship):
    one = sink("stdout")
    one.bytes_a_second = 20_000
    target = ship(one)
    with Load(target) as load:
        time.sleep(2)
    assert load.fault is None and len(load.seconds) > 200
    assert target.metric("pgveil_shipping_behind_records") > 0
    one.bytes_a_second = None
    caught_up(target)
    arrived(target, one, exact=True)


@pytest.mark.parametrize("kind", ACKNOWLEDGING)
def test_killed_in_the_middle_of_it_nothing_is_lost_and_the_order_stays(kind, sink, ship):
    one = sink(kind)
    target = ship(one, batch_records=20)
    for seconds in (0.31, 0.43, 0.57, 0.23):
        with Load(target):
            time.sleep(seconds)
            target.process.send_signal(signal.SIGKILL)
            target.process.wait(10)
        reached = position(target)
        assert reached <= len(written(target))
        target.start()
    reveal(target, 5)
    caught_up(target)
    got = arrived(target, one, exact=kind in EXACT)
    # What is there twice is of the batches that were under way.
    assert len(got) - len(set(got)) <= 4 * 20


@pytest.mark.parametrize("kind", ["tcp", "rsyslog-tcp", "postgresql", "nats"])
def test_a_sink_that_dies_in_the_middle_of_it_loses_nothing(kind, sink, ship):
    one = sink(kind)
    target = ship(one)
    failures = lambda: target.metric("pgveil_shipping_failures_total", reason="unavailable")
    with Load(target) as load:
        for _ in range(3):
            time.sleep(0.4)
            before = failures()
            if kind == "tcp":
                one.dies_after = 3
            elif kind == "postgresql":
                one.kill()
            elif kind == "rsyslog-tcp":
                one.down(signal.SIGTERM)
            else:
                one.down()
            wait_for(lambda: failures() > before, 10, "a failure that is noticed")
            if kind != "tcp":
                one.up()
    assert load.fault is None
    caught_up(target)
    arrived(target, one, exact=kind in EXACT)


def test_what_a_table_refuses_stops_the_rest_until_the_table_takes_it(sink, ship):
    one = sink("postgresql")
    target = ship(one)
    reveal(target, 5)
    caught_up(target)
    one.psql("ALTER TABLE pgveil_access_log ADD CHECK (record ->> 'application_name' IS DISTINCT FROM 'poison')", database="audit")
    before = position(target)
    client = Raw(target.host, target.port)
    client.login("bella", "people", application_name="poison")
    client.rows(REVEALING)
    client.close()
    reveal(target, 5)
    wait_for(lambda: target.metric("pgveil_shipping_stopped", sink="test") == 1, what="the alarm")
    assert target.metric("pgveil_shipping_failures_total", reason="refused") >= 1
    assert target.metric("pgveil_shipping_behind_records") >= 6
    assert "is refused" in target.log() and "poison" not in target.log()
    stored = one.records()
    assert stored == written(target)[:len(stored)] and len(stored) == position(target) >= before
    one.psql("ALTER TABLE pgveil_access_log DROP CONSTRAINT pgveil_access_log_record_check", database="audit")
    caught_up(target)
    assert target.metric("pgveil_shipping_stopped") == 0
    arrived(target, one, exact=True)


def test_what_is_refused_may_be_put_aside(sink, ship):
    one = sink("nats")
    one.ask(lambda stream: stream.update_stream(name="AUDIT", subjects=["audit.pgveil"], max_msg_size=1000))
    target = ship(one, on_refused="park")
    reveal(target, 5)
    for _ in range(2):
        client = Raw(target.host, target.port)
        client.login("bella", "people", application_name="x" * 60 + "\u2665" * 300)
        client.rows(f"SET application_name = '{'y' * 63}'")
        client.close()
    reveal(target, 5)
    caught_up(target)
    parked = target.access_log.with_name(target.access_log.name + ".ship-test.refused")
    if not parked.exists():
        # No record of this log is longer: make all of them too long.
        one.ask(lambda stream: stream.update_stream(name="AUDIT", subjects=["audit.pgveil"], max_msg_size=200))
        reveal(target, 3)
        caught_up(target)
    aside = parked.read_text(encoding="utf-8").splitlines()
    assert aside and target.metric("pgveil_shipping_parked_total", sink="test") == len(aside)
    got = one.records()
    lines = written(target)
    assert sorted([*got, *aside]) == sorted(lines) and got == [line for line in lines if line not in aside]
    assert parked.stat().st_mode & 0o777 == 0o600


def test_a_log_whose_end_was_lost_is_noticed(sink, ship):
    one = sink("tcp")
    target = ship(one)
    reveal(target, 10)
    caught_up(target)
    target.stop()
    path = target.access_log.with_name(target.access_log.name + ".ship-test")
    reached = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**reached, "seq": reached["seq"] + 1000}), encoding="utf-8")
    target.start()
    wait_for(lambda: target.metric("pgveil_shipping_failures_total", reason="ahead") >= 1, what="the alarm")
    assert target.metric("pgveil_shipping_stopped") == 1
    reveal(target, 5)
    assert len(one.lines) == reached["seq"]
    # As `pgveil ship move` does, while pgveil runs.
    path.write_text(json.dumps(reached), encoding="utf-8")
    caught_up(target)
    assert target.metric("pgveil_shipping_stopped") == 0
    arrived(target, one, exact=True)


def test_another_record_under_a_number_is_noticed(sink, ship):
    one = sink("postgresql")
    target = ship(one)
    reveal(target, 10)
    caught_up(target)
    target.stop()
    one.psql("UPDATE pgveil_access_log SET line = '{\"altered\": true}' WHERE seq = 4", database="audit")
    target.access_log.with_name(target.access_log.name + ".ship-test").unlink()
    target.start()
    wait_for(lambda: target.metric("pgveil_shipping_failures_total", reason="diverged") >= 1, what="the alarm")
    assert target.metric("pgveil_shipping_stopped") == 1
    assert position(target) == 3


def test_a_table_may_be_made_by_somebody_else(sink, ship):
    one = sink("postgresql")
    place = one.place()
    place["postgresql"] |= {"create_table": False, "table": "logs.access"}
    target = ship.on(place)
    reveal(target, 3)
    wait_for(lambda: "is not there, and create_table is false" in target.log(), what="the reason in the log")
    one.psql("CREATE SCHEMA logs; SET ROLE postgres; CREATE TABLE logs.access (log text NOT NULL, seq bigint NOT NULL, line text NOT NULL, "
             "record jsonb GENERATED ALWAYS AS (line::jsonb) STORED, PRIMARY KEY (log, seq)); GRANT USAGE ON SCHEMA logs TO shipper; "
             "GRANT SELECT, INSERT ON logs.access TO shipper", database="audit")
    caught_up(target)
    stored = one.psql("SELECT line FROM logs.access ORDER BY seq", database="audit").splitlines()
    assert stored == written(target)
    assert int(one.psql("SELECT count(*) FROM logs.access WHERE record ->> 'kind' = 'reveal'", database="audit")) == 3


def test_a_password_that_is_put_right_counts_after_sighup(sink, ship, tmp_path):
    one = sink("postgresql")
    one.down()
    (one.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="ascii")
    one.up()
    password = tmp_path / "password"
    password.write_text("wrong horse\n", encoding="ascii")
    password.chmod(0o600)
    place = one.place()
    place["postgresql"] |= {"password_file": password}
    target = ship.on(place, retry_max_ms=60_000)
    reveal(target, 3)
    wait_for(lambda: "password authentication failed" in target.log(), what="the reason in the log")
    password.write_text("correct horse\n", encoding="ascii")
    target.reload()
    caught_up(target, 10)
    arrived(target, one, exact=True)
    for word in ("wrong horse", "correct horse"):
        assert word not in target.log() + target.metrics_text()


@pytest.mark.parametrize("kind", ["tls", "rsyslog-tls"])
def test_nothing_is_sent_to_who_has_another_certificate(kind, sink, ship, certificates):
    one = sink(kind)
    place = one.place()
    place["syslog"]["sslrootcert"] = certificates.stranger
    target = ship.on(place)
    reveal(target, 3)
    wait_for(lambda: target.metric("pgveil_shipping_failures_total", reason="unavailable") >= 2, what="failures")
    assert "certificate" in target.log()
    assert one.records() == []
    assert position(target) == 0


@pytest.mark.parametrize(("place", "reason"), [
    ({"syslog": {"server": "tls://127.0.0.1:1", "sslrootcert": "/nowhere"}}, "/nowhere can not be read"),
    ({"syslog": {"server": "127.0.0.1:1"}}, 'syslog.server is "127.0.0.1:1"; allowed is udp://'),
    ({"postgresql": {"host": "h"}}, "postgresql.database is not set"),
    ({"postgresql": {"database": "d", "password_env": "PGVEIL_NOWHERE"}}, "the environment variable PGVEIL_NOWHERE is not set"),
    ({"postgresql": {"database": "d", "password": "hunter2"}}, "unknown field `password`"),
    ({"nats": {"servers": ["nats://nats.example:4222"], "subject": "s", "user": "u", "password_env": "HOME"}}, "credentials go over TLS only"),
    ({"stdout": True, "name": "A"}, "a name has 1 to 32 lower-case letters"),
])
def test_settings_that_are_wrong_are_found_at_the_start(place, reason, ship):
    with pytest.raises(RuntimeError) as failed:
        ship.on({"name": "test", **place})
    assert reason in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_a_network_that_cuts_connections_at_any_byte_loses_nothing(sink, ship):
    one = sink("postgresql")
    with Relay(one.host, one.port) as relay:
        place = one.place()
        place["postgresql"] |= {"host": relay.host, "port": relay.port}
        target = ship.on(place, timeout_ms=500, retry_max_ms=100, batch_records=10)
        with Load(target, 300):
            for after in range(0, 4000, 160):
                relay.fault = Fault("cut", "requests", after)
                time.sleep(0.12)
            relay.fault = None
        caught_up(target)
        arrived(target, one, exact=True)
