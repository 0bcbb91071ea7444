"""Fixtures: one PostgreSQL for the whole run, and pgveil processes in front of it, one for each policy and setting."""

import os
from pathlib import Path

import pytest

from harness import evidence, tls
from harness.faulty_disk import FaultyDisk
from harness.pgveil import ROOT, Direct, Pgveil, mode
from harness.postgres import Postgres

HERE = Path(__file__).resolve().parent
POLICIES = HERE / "policies"


def pytest_collection_modifyitems(items):
    if mode() == "direct":
        for item in items:
            if item.get_closest_marker("proxy"):
                item.add_marker(pytest.mark.skip(reason="needs pgveil; this run is against PostgreSQL directly"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """With a failure, what the pgveil processes that run at that time said last."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for one in Pgveil.running:
            report.sections.append((f"log of pgveil at {one.base}", one.log()[-3000:]))


def pytest_report_header():
    return f"pgveil: mode {mode()}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> tls.Certificates:
    return tls.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def pg(certificates) -> Postgres:
    """The server, with the database `people` and the users of the authentication tests."""
    server = Postgres(tls=(certificates.certificate, certificates.key)).start()
    try:
        # Nobody connects to the template, so that tests can make copies of it while pgveil is connected to `people`.
        server.psql("CREATE DATABASE people_template")
        server.psql(file=HERE / "sql" / "people.sql", database="people_template")
        server.psql("CREATE DATABASE people TEMPLATE people_template")
        server.psql(
            "SET password_encryption = 'md5'; CREATE USER md5_user PASSWORD 'correct horse';"
            "SET password_encryption = 'scram-sha-256'; CREATE USER scram_user PASSWORD 'correct horse';"
            "CREATE USER pw_user PASSWORD 'correct horse'; CREATE USER tls_only_user; CREATE USER mona IN ROLE pg_monitor, support;"
            "GRANT support TO md5_user, scram_user, pw_user, tls_only_user;"
        )
        yield server
        # A prepared transaction holds its locks for ever, against whichever test changes the table later.
        left = server.psql("SELECT database, owner, gid FROM pg_prepared_xacts")
        assert not left, f"a test has left a prepared transaction: {left}"
    finally:
        server.stop()


def chinook_file() -> Path | None:
    """PGVEIL_CHINOOK, else a directory `shared` beside one of the directories above the repository."""
    given = os.environ.get("PGVEIL_CHINOOK")
    candidates = [Path(given)] if given else [above / "shared" / "data" / "chinook.sql" for above in ROOT.parents]
    return next((path for path in candidates if path.is_file()), None)


@pytest.fixture(scope="session")
def chinook(pg) -> str:
    """The name of the Chinook database."""
    source = chinook_file()
    if source is None:
        pytest.skip("chinook.sql is not there: set PGVEIL_CHINOOK to its path")
    pg.psql("CREATE DATABASE chinook_template")
    pg.psql(file=source, database="chinook_template")
    pg.psql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO support, billing, analyst", database="chinook_template")
    pg.psql("CREATE DATABASE chinook TEMPLATE chinook_template")
    return "chinook"


@pytest.fixture(scope="session")
def front(pg):
    """`front(policy, database=..., **settings)`: pgveil with that policy; the same arguments give the same process.

    In direct mode: PostgreSQL itself.
    """
    running: dict[str, Pgveil] = {}

    def start(policy: str, database: str = "people", **settings):
        if mode() == "direct":
            return Direct(pg)
        key = repr((policy, database, sorted(settings.items())))
        if key not in running:
            running[key] = Pgveil(pg, POLICIES / policy, settings, database).start()
        return running[key]

    yield start
    failures = []
    for one in running.values():
        code = one.stop()
        if code != 0:
            failures.append(f"exit code {code}:\n{one.log()[-2000:]}")
        if "panicked" in one.log():
            failures.append("a panic:\n" + one.log()[-2000:])
        failures += one.strange_records()
        one.remove()
    assert not failures, "\n".join(failures)


@pytest.fixture
def own_front(pg):
    """As `front`, but a process of the test's own, which the test may reload, stop or ill-treat."""
    started = []

    def start(policy: str | Path, database: str = "people", **settings) -> Pgveil:
        path = policy if isinstance(policy, Path) else POLICIES / policy
        one = Pgveil(pg, path, settings, database)
        started.append(one)
        return one.start()

    yield start
    panics = []
    for one in started:
        one.stop()
        if "panicked" in one.log():
            panics.append(one.log()[-2000:])
        panics += one.strange_records()
        one.remove()
    assert not panics, "\n".join(panics)


@pytest.fixture
def signed(pg):
    """As `own_front`, with a log that is signed; the key is made before it starts. `faulty`: on a `disk` that takes orders."""
    started = []

    def start(faulty: bool = False, **access_log) -> Pgveil:
        # Relative to the directory of the settings' file, which is not known before.
        one = Pgveil(pg, evidence.POLICY, {"access_log": {"signing_key": "key", **access_log}}, "people")
        one.access_log = access_log.get("path", one.access_log)
        made = evidence.command(one, "init")
        assert made.returncode == 0, made.stderr
        (one.base / "public-key").write_text(made.stdout, encoding="utf-8")
        started.append(one)
        if not faulty:
            return one.start()
        place = one.base / "disk"
        place.mkdir()
        one.disk = FaultyDisk(place, one.access_log)
        with one.disk.under():
            return one.start()

    yield start
    for one in started:
        one.stop()
        assert "panicked" not in one.log()
        one.remove()
