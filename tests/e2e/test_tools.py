"""PostgreSQL's own client programs through pgveil: what they print and leave behind is what they print and leave behind directly."""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.postgres import binaries

pytestmark = pytest.mark.proxy

DATABASE = "tools"
# Both are superusers, as who dumps and mends databases mostly is.
CLEAR, MASKED = "clara", "marge"

# Names, types and storage that dumps have to carry; nothing of it is tagged by itself.
SCHEMA = r"""
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, kind text CHECK (kind <> ''), body jsonb, raw bytea) PARTITION BY RANGE (at);
CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE event_rest PARTITION OF event DEFAULT;
INSERT INTO event (at, kind, body, raw) SELECT timestamptz '2025-06-01 00:00Z' + n * interval '1 day', E'tab\t back\\slash\nline ' || n, json_build_object('n', n), decode(md5(n::text), 'hex')
    FROM generate_series(1, 500) n;
CREATE INDEX event_kind ON event (kind);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE "Odd ""Name" ("Select" mood DEFAULT 'ok', p positive, nothing text, tags text[], span int4range);
INSERT INTO "Odd ""Name" VALUES ('happy', 1, NULL, '{a,"b c",NULL}', '[1,5)'), ('sad', 2, '\N', '{}', 'empty'), (NULL, 3, '', NULL, NULL);
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE FUNCTION thrice(n int) RETURNS int IMMUTABLE RETURN n * 3;
CREATE VIEW recent AS SELECT kind, twice(id::int) FROM event WHERE at > '2025-12-01';
CREATE MATERIALIZED VIEW busy AS SELECT date_trunc('month', at) AS month, count(*) FROM event GROUP BY 1;
CREATE UNIQUE INDEX busy_month ON busy (month);
CREATE SEQUENCE ticket START 42;
CREATE PUBLICATION notes FOR TABLE note;
CREATE STATISTICS event_stats ON kind, at FROM event;
COMMENT ON TABLE event IS 'what happened; "so to speak"';
CLUSTER event_2025 USING event_2025_kind_idx;
GRANT SELECT ON event TO PUBLIC;
ANALYZE;
"""


@dataclass
class Done:
    """What a program left on its outputs."""

    code: int
    out: str
    err: str


class Place:
    """Programs against one server: PostgreSQL itself, or pgveil in front of it."""

    def __init__(self, host: str, port: int):
        self.host, self.port = host, port

    def environment(self, user: str, database: str = DATABASE) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**kept, "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": user, "PGDATABASE": database, "PGTZ": "UTC", "LC_ALL": "C.UTF-8"}

    def run(self, user: str, program: str, *arguments, given: str | None = None, cwd: Path | None = None, database: str = DATABASE) -> Done:
        done = subprocess.run([str(binaries() / program), *map(str, arguments)], env=self.environment(user, database), input=given, cwd=cwd, text=True,
                              capture_output=True, check=False, timeout=120)
        # The port is what a client can tell pgveil by; a process has a number of its own.
        texts = (re.sub(r"\bPID \d+", "PID", re.sub(rf"\b{self.port}\b", "PORT", text)) for text in (done.stdout, done.stderr))
        return Done(done.returncode, *texts)

    def good(self, *arguments, **more) -> str:
        done = self.run(*arguments, **more)
        assert done.code == 0, f"{arguments}: {done.err[-2000:]}"
        return done.out


@pytest.fixture(scope="module")
def direct(pg) -> Place:
    pg.psql(f"CREATE ROLE {CLEAR} SUPERUSER LOGIN IN ROLE billing; CREATE ROLE {MASKED} SUPERUSER LOGIN; CREATE DATABASE {DATABASE} TEMPLATE people_template")
    pg.psql("CREATE EXTENSION amcheck;" + SCHEMA, database=DATABASE)
    return Place(pg.host, pg.port)


@pytest.fixture(scope="module")
def veiled(direct, front) -> Place:
    one = front("people.yaml", database=DATABASE)
    return Place(one.host, one.port)


@pytest.fixture
def elsewhere(pg):
    """`elsewhere()`: a new, empty database, past pgveil."""
    made = []

    def make() -> str:
        made.append(f"loaded_{len(made)}")
        pg.psql(f"DROP DATABASE IF EXISTS {made[-1]} WITH (FORCE)")
        pg.psql(f"CREATE DATABASE {made[-1]} TEMPLATE template0")
        return made[-1]

    yield make
    for name in made:
        pg.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def plain(place: Place, user: str, path: Path) -> str:
    """An archive as SQL, without what tells when and by what it was made."""
    return place.good(user, "pg_restore", KEY, "-f", "-", path)


# Plain dumps begin with a random key.
KEY = "--restrict-key=key"
DUMPS = [
    [], ["--inserts"], ["--column-inserts", "--rows-per-insert=3"], ["--schema-only", "--clean", "--if-exists"], ["--data-only", "--disable-triggers"],
    ["--no-owner", "--no-privileges", "--quote-all-identifiers"], ["--serializable-deferrable"], ["--lock-wait-timeout=5s", "-t", "person", "-t", "event*"],
    ["--encoding=LATIN1", "-T", "person", "-T", "visit"], ["--section=pre-data", "--section=post-data"], ["-n", "public", "-B"],
]


@pytest.mark.parametrize("options", DUMPS, ids=" ".join)
def test_plain_dumps_of_clear_roles_are_byte_equal(direct, veiled, options):
    expected = direct.run(CLEAR, "pg_dump", KEY, *options)
    assert expected.code == 0, expected.err
    assert veiled.run(CLEAR, "pg_dump", KEY, *options) == expected


@pytest.mark.parametrize("options", [["-Fc"], ["-Ft"], ["-Fd"], ["-Fd", "-j", "3"], ["-Fc", "-Z0"]], ids=" ".join)
def test_archives_of_clear_roles_hold_the_same(direct, veiled, tmp_path, options):
    archives = []
    for number, place in enumerate((direct, veiled)):
        archives.append(tmp_path / f"archive{number}")
        assert place.run(CLEAR, "pg_dump", *options, "-f", archives[-1]).err == ""
    assert plain(direct, CLEAR, archives[0]) == plain(direct, CLEAR, archives[1])


@pytest.mark.parametrize("options", [["-Fp"], ["-Fp", "--inserts"], ["-Fc"], ["-Fd", "-j", "2"]], ids=" ".join)
def test_masked_dumps_load_into_another_database(pg, direct, veiled, elsewhere, tmp_path, options):
    archive = tmp_path / "masked"
    assert veiled.run(MASKED, "pg_dump", *options, "-f", archive).err == ""
    loaded = elsewhere()
    if options[0] == "-Fp":
        direct.good(MASKED, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", archive, database=loaded)
    else:
        direct.good(MASKED, "pg_restore", "--exit-on-error", "-j", "2", "-d", loaded, archive, database=loaded)
    everything = ("-X", "-A", "-c", "TABLE event", "-c", 'TABLE "Odd ""Name"', "-c", "TABLE busy", "-c", "SELECT id, city FROM person", "-c", "SELECT id, page FROM visit")
    assert direct.good(MASKED, "psql", *everything, database=loaded) == direct.good(MASKED, "psql", *everything)
    tagged = ("-X", "-A", "-c", "TABLE person", "-c", "TABLE visit", "-c", "TABLE person_view")
    shown = veiled.good(MASKED, "psql", *tagged)
    assert direct.good(MASKED, "psql", *tagged, database=loaded) == shown
    assert "jane@example.com" not in shown
    assert pg.psql("SELECT count(*) FROM person", database=loaded).strip() == "5"


def test_an_archive_is_restored_through_pgveil(pg, direct, own_front, elsewhere, tmp_path):
    archive = tmp_path / "archive"
    direct.good(CLEAR, "pg_dump", "-Fc", "-f", archive)
    expected = direct.good(CLEAR, "pg_dump", KEY)
    for before, options in (["--section=pre-data"], ["--section=data", "--section=post-data", "-j", "2"]), ([], ["--single-transaction", "--clean", "--if-exists"]):
        loaded = elsewhere()
        # The tagged tables have to be there when pgveil starts.
        direct.good(CLEAR, "pg_restore", *before, "-d", loaded, archive, database=loaded)
        one = own_front("people.yaml", database=loaded)
        through = Place(one.host, one.port)
        assert through.run(CLEAR, "pg_restore", "--exit-on-error", *options, "-d", loaded, archive, database=loaded) == Done(0, "", "")
        one.stop()
        assert direct.good(CLEAR, "pg_dump", KEY, database=loaded) == expected


def test_roles_and_tablespaces_are_dumped_alike(direct, veiled):
    options = ["--globals-only", KEY, "--no-role-passwords", "-l", DATABASE]
    assert veiled.run(CLEAR, "pg_dumpall", *options) == direct.run(CLEAR, "pg_dumpall", *options)


def test_what_works_on_every_database_of_the_server_says_that_pgveil_protects_one(veiled):
    for program, *options in (["pg_dumpall", "-l", DATABASE], ["vacuumdb", "--all", "--maintenance-db", DATABASE], ["createdb", "--maintenance-db", "postgres", "another"],
                              ["createuser", "somebody"], ["dropuser", "somebody"], ["psql", "-d", "nowhere"]):
        done = veiled.run(CLEAR, program, *options)
        assert done.code != 0
        assert "pgveil: connections to this database are not permitted" in done.err


def test_databases_and_roles_are_made_and_dropped(pg, direct, veiled):
    steps = [
        ["psql", "-X", "-c", "CREATE ROLE newcomer CREATEDB", "-c", "CREATE ROLE newcomer"],
        ["createdb", "--maintenance-db", DATABASE, "--owner", "newcomer", "--template", "template0", "fresh", "with a comment"],
        ["createdb", "--maintenance-db", DATABASE, "fresh"],
        ["psql", "-X", "-c", "DROP ROLE newcomer"],
        ["dropdb", "--maintenance-db", DATABASE, "--force", "fresh"],
        ["dropdb", "--maintenance-db", DATABASE, "--if-exists", "fresh"],
        ["psql", "-X", "-c", "DROP ROLE newcomer"],
    ]
    for user in (CLEAR, MASKED):
        assert [veiled.run(user, *step) for step in steps] == [direct.run(user, *step) for step in steps]
    assert pg.psql("SELECT count(*) FROM pg_database WHERE datname = 'fresh'").strip() == "0"


MAINTENANCE = [
    ["vacuumdb"], ["vacuumdb", "-j", "3", "-t", "note", "-t", "event", "-t", "visit", "--full"], ["vacuumdb", "-j", "2", "-Z"], ["vacuumdb", "--analyze-in-stages"], ["vacuumdb", "-t", "no_such"],
    ["reindexdb"], ["reindexdb", "--concurrently", "-t", "event"], ["reindexdb", "-j", "2", "-S", "public"], ["reindexdb", "--system"], ["clusterdb"], ["clusterdb", "-t", "event_2025"],
    ["clusterdb", "-t", "note"], ["pg_amcheck", "-t", "note"], ["vacuumlo", "-v", "-n", DATABASE], ["oid2name", "-d", DATABASE, "-t", "note"], ["pg_isready"], ["pg_isready", "-d", "nowhere"],
]


@pytest.mark.parametrize("user", [CLEAR, MASKED])
@pytest.mark.parametrize("command", MAINTENANCE, ids=" ".join)
def test_maintenance_says_and_does_the_same(direct, veiled, user, command):
    results = []
    for place in (direct, veiled):
        done = place.run(user, *command)
        results.append((done.code, done.out, sorted(done.err.splitlines())))
    assert results[0] == results[1]


PSQL = [
    r"\copy note to stdout", r"\copy (SELECT * FROM event ORDER BY id) to 'events.csv' csv header", r"\copy note to program 'tr a-z A-Z > notes.txt'",
    r"CREATE TEMP TABLE copied (LIKE note)" + "\n" + r"\copy copied from stdin" + "\n7\tseven\n8\t\\N\n\\.\nTABLE copied",
    "CREATE TEMP TABLE copied (id int)\n\\copy copied from stdin\n1\nx\n\\.\nSELECT 1", r"COPY note TO STDOUT \g copied.txt", r"SELECT id, body FROM note ORDER BY id \gdesc",
    r"SELECT date_trunc('month', at)::date AS m, length(kind) AS l, count(*) FROM event GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview m l", r"SELECT 1 AS a, 2 AS b \gset x_",
    r"SELECT format('SELECT %s', n) FROM generate_series(1, 3) n \gexec", "\\set FETCH_COUNT 7\nSELECT id, kind FROM event ORDER BY id LIMIT 40", r"SELECT 1 \; SELECT 2 \; SELECT 1/0 \; SELECT 3",
    "SELECT 1/0;\n\\errverbose", "SELECT nothing FROM note;\n\\errverbose", r"SELECT * FROM note \gx", r"SELECT 1 \watch 0.05", r"\sf+ twice", r"\sv recent", r"\d+ event", r"\d \"Odd *\"",
    "BEGIN;\nINSERT INTO note VALUES (99, 'x');\nSAVEPOINT s;\nSELECT 1/0;\nROLLBACK TO s;\nTABLE note;\nROLLBACK;", "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT 2;\nCOMMIT;",
    "\\set AUTOCOMMIT off\nSELECT 1;\nROLLBACK;", "LISTEN here;\nNOTIFY here, 'hello';\nSELECT 1;", "\\encoding LATIN1\nSELECT 'é';\n\\encoding", "\\c - sam\nSELECT current_user;\nTABLE note;",
    "\\pset format csv\nTABLE note;\n\\pset format html\nTABLE note;\n\\pset format unaligned\nTABLE note;", "\\timing off\nSET application_name = 'me';\nSHOW application_name;",
    "DO $$ BEGIN RAISE WARNING 'careful'; RAISE NOTICE 'by the way'; END $$;", r"SELECT pg_sleep(5) \g", "\\dconfig work_mem\n\\dt\n\\di+\n\\dv\n\\dm\n\\ds\n\\df\n\\dT+\n\\dD\n\\dRp+\n\\dX\n\\dP+\n\\dp",
]


@pytest.mark.parametrize("user", [CLEAR, MASKED])
@pytest.mark.parametrize("script", PSQL)
def test_psql_prints_the_same(direct, veiled, tmp_path, user, script):
    results = []
    for name, place in (("direct", direct), ("veiled", veiled)):
        directory = tmp_path / name
        directory.mkdir()
        # What runs until somebody ends it is cut off by the server.
        lasting = "SET statement_timeout = '300ms';\n" if "pg_sleep" in script else ""
        given = script if not script.endswith("watch 0.05") else ""
        if given:
            done = place.run(user, "psql", "-X", "-a", "-P", "pager=off", given=lasting + given + ("" if given.endswith(";") else "\n;\n"), cwd=directory)
        else:
            done = watched(place, user, script)
        results.append((done, {path.name: path.read_bytes() for path in directory.iterdir()}))
    assert results[0] == results[1]
    assert results[0][0].out


def watched(place: Place, user: str, script: str) -> Done:
    """Two rounds of `\\watch`, ended by an interrupt; without its times."""
    child = subprocess.Popen([str(binaries() / "psql"), "-X", "-P", "pager=off"], env=place.environment(user), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdin.write(script + "\n")
    child.stdin.flush()
    lines = []
    while sum("(1 row)" in line for line in lines) < 2:
        lines.append(child.stdout.readline())
    child.send_signal(signal.SIGINT)
    time.sleep(0.1)
    child.kill()
    child.communicate()
    return Done(0, "".join("" if "every 0.05s" in line else line for line in lines), "")


def test_large_objects_go_in_and_out_for_clear_roles(direct, veiled, tmp_path):
    body = os.urandom(300_000)
    (tmp_path / "in").write_bytes(body)
    results = []
    for number, place in enumerate((direct, veiled)):
        script = f"\\set id 0\n\\lo_import in 'a comment'\n\\set id :LASTOID\n\\lo_export :id out{number}\n\\lo_list\n\\lo_unlink :id\n\\lo_list\n"
        done = place.run(CLEAR, "psql", "-X", given=script, cwd=tmp_path)
        results.append(re.sub(r"\d{4,}", "OID", done.out + done.err))
        assert done.code == 0 and (tmp_path / f"out{number}").is_file(), done.err
        assert (tmp_path / f"out{number}").read_bytes() == body
    assert results[0] == results[1]
    refused = veiled.run(MASKED, "psql", "-X", given="\\lo_import in\n", cwd=tmp_path)
    assert "pgveil: a fast-path function call is not permitted" in refused.err


PIPELINE = "\\set n random(1, 100000)\n\\startpipeline\nSELECT abalance FROM pgbench_accounts WHERE aid = :n;\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :n;\nSELECT 1;\n\\endpipeline\n"
GSET = "\\set n random(1, 1000)\nSELECT abalance AS balance FROM pgbench_accounts WHERE aid = :n \\gset\nSELECT :balance + 1 AS more \\gset\nSELECT 2 AS two \\aset\n"


@pytest.fixture(scope="module")
def bench(direct, veiled):
    veiled.good(MASKED, "pgbench", "-i", "-I", "dtgvpf", "-s", "1", "-q")
    return veiled


@pytest.mark.parametrize("options", [
    ["-M", "simple"], ["-M", "extended"], ["-M", "prepared"], ["-M", "prepared", "-C"], ["-S", "-M", "prepared"], ["-N", "-M", "extended"], ["-b", "tpcb-like", "-j", "2"],
    ["-M", "extended", "-f", "pipeline.sql"], ["-M", "prepared", "-f", "pipeline.sql"], ["-f", "gset.sql"], ["-M", "prepared", "-f", "gset.sql"], ["-C", "-S"],
], ids=" ".join)
def test_pgbench_runs_in_every_mode(bench, tmp_path, options):
    (tmp_path / "pipeline.sql").write_text(PIPELINE)
    (tmp_path / "gset.sql").write_text(GSET)
    done = bench.run(MASKED, "pgbench", "-n", "-c", "4", "-t", "25", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "number of transactions actually processed: 100/100" in done.out
    assert "number of failed transactions: 0 " in done.out


def test_pgbench_books_balance(bench, pg):
    bench.good(MASKED, "pgbench", "-n", "-c", "8", "-t", "25", "-M", "prepared")
    sums = "SELECT (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)"
    assert pg.psql(sums, database=DATABASE).strip() == "t"


@pytest.mark.parametrize("steps", ["dtGvpf", "dtgvp"])
def test_pgbench_makes_its_tables(pg, direct, veiled, steps):
    for partitions in ([], ["--partitions=3", "--partition-method=hash"]):
        for place in (direct, veiled):
            place.good(MASKED, "pgbench", "-i", "-I", steps, "-q", *(partitions if steps == "dtgvp" else []))
            found = pg.psql("SELECT count(*), sum(abalance), max(aid) FROM pgbench_accounts", database=DATABASE).strip()
            assert found == "100000|0|100000"
    pg.psql("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history", database=DATABASE)
