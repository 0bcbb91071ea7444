"""One server that begins every run from the same bytes, and pgveil in front of it, so that clients find either at the same place."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from packages import ROOT

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness.pgveil import Pgveil  # noqa: E402
from harness.postgres import Postgres  # noqa: E402

# Where clients connect to, whoever answers there; and where the server listens while pgveil does.
FRONT, BEHIND = "127.0.0.1", "127.0.0.2"

HBA = """\
local all         all            trust
host  all         pass_user      127.0.0.0/8 password
host  all         md5_user       127.0.0.0/8 md5
host  all         scram_user     127.0.0.0/8 scram-sha-256
host  replication all            127.0.0.0/8 trust
host  all         all            127.0.0.0/8 trust
"""

# The table that is tagged in one of the ways is there in all of them; no suite has its names. So is pgveil's own login.
TAGGED = """
CREATE SCHEMA veiled_schema;
CREATE TABLE veiled_schema.veiled_person (veiled_id int PRIMARY KEY, veiled_name text NOT NULL);
INSERT INTO veiled_schema.veiled_person VALUES (1, 'Katherine Kowalski');
"""
POLICIES = {
    # Replication shows a server's data as a whole, so that it is allowed by name alone.
    "empty": "version: 1\ncolumns: {}\nroles:\n  suite: { users: [postgres], replication: true }\n",
    "tagged": "version: 1\ntags:\n  name: { mask: full }\ncolumns:\n  veiled_schema.veiled_person: { veiled_name: name }\n",
}


class Server(Postgres):
    """`run()` gives the server on a fresh copy of the prepared data."""

    def __init__(self, port: int | None):
        super().__init__("suites", settings={"wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "10"}, hba=HBA)
        self.port = port or self.port
        self.prepared = self.base / "prepared"

    def prepare(self, database: str, sql: str) -> None:
        self.start()
        self.psql("CREATE ROLE pgveil LOGIN")
        if database != "postgres":
            self.psql(f'CREATE DATABASE "{database}"')
        self.psql(TAGGED + sql, database=database)
        self._halt()
        self.data.rename(self.prepared)

    def run(self, address: str) -> None:
        self._halt()
        shutil.rmtree(self.data, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self.prepared), str(self.data)], check=True)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"listen_addresses = '{address}'\n")
        self.host = address
        self._launch()


@contextmanager
def front(server: Server, way: str, database: str, log: Path):
    """Something that answers at FRONT and the server's port: the server itself, or pgveil under that way's policy."""
    if way not in POLICIES:
        server.run(FRONT)
        yield
        return
    server.run(BEHIND)
    policy = server.base / f"{way}.yaml"
    policy.write_text(POLICIES[way], encoding="utf-8")
    pgveil = Pgveil(server, policy, {"listen": f"{FRONT}:{server.port}"}, database)
    try:
        pgveil.start()
        yield
        pgveil.stop()
    finally:
        log.write_text(pgveil.log(), encoding="utf-8")
        panicked = "panicked" in pgveil.log()
        if pgveil.process and pgveil.process.poll() is None:
            pgveil.process.kill()
        pgveil.remove()
    assert not panicked, f"a panic: see {log}"


def environment(server: Server, database: str) -> dict[str, str]:
    """What suites find the server by."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {
        "PGHOST": FRONT, "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": "pw", "PGDATABASE": database, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable",
        "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1",
    }
