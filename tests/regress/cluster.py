"""One PostgreSQL cluster that begins every run from the same bytes: same directory, same port, same object ids."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from harness.postgres import Postgres, binaries

DATABASE = "regression"
# Where clients connect to, whoever answers there.
FRONT = "127.0.0.1"
# Where the server listens while pgveil stands in front of it, on the same port.
BEHIND = "127.0.0.2"
# Where pgveil listens while a relay stands in front of it.
MIDDLE = "127.0.0.3"

# As pg_regress sets them up; autovacuum and parallel checkpoints would differ from run to run by themselves.
SETTINGS = {"max_prepared_transactions": "2", "log_min_messages": "panic", "max_connections": "100"}

# The table that is tagged in one of the runs is there in all of them; no file of the suite has its names. So is pgveil's own login.
PREPARE = f"""
CREATE ROLE pgveil LOGIN;
CREATE DATABASE {DATABASE} TEMPLATE template0;
ALTER DATABASE {DATABASE} SET lc_messages TO 'C';
ALTER DATABASE {DATABASE} SET lc_monetary TO 'C';
ALTER DATABASE {DATABASE} SET lc_numeric TO 'C';
ALTER DATABASE {DATABASE} SET lc_time TO 'C';
ALTER DATABASE {DATABASE} SET bytea_output TO 'hex';
ALTER DATABASE {DATABASE} SET timezone_abbreviations TO 'Default';
"""
SECRET = "Katherine Kowalski"
TAGGED = f"""
CREATE SCHEMA veiled_schema;
CREATE TABLE veiled_schema.veiled_person (veiled_id int PRIMARY KEY, veiled_name text NOT NULL);
INSERT INTO veiled_schema.veiled_person VALUES (1, '{SECRET}');
"""


class Cluster(Postgres):
    """`run()` gives a server on a fresh copy of the prepared data."""

    def __init__(self, suite: Path):
        super().__init__("regress", settings=SETTINGS)
        self.prepared = self.base / "prepared"
        self.suite = self.base / "suite"
        # What the suite writes, the server as its own user and psql as ours.
        self.written = self.base / "written"
        self._given = suite

    def prepare(self) -> None:
        self.start()
        self.psql(PREPARE)
        self.psql(TAGGED, database=DATABASE)
        self._halt()
        self.data.rename(self.prepared)
        shutil.copytree(self._given, self.suite)

    def run(self, address: str) -> None:
        """Start anew; the server listens at the address."""
        self._halt()
        for left in (self.data, self.written):
            shutil.rmtree(left, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self.prepared), str(self.data)], check=True)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"listen_addresses = '{address}'\n")
        for directory in (self.written, self.written / "results"):
            directory.mkdir()
            directory.chmod(0o777)
            if os.geteuid() == 0:
                account = pwd.getpwnam("postgres")
                os.chown(directory, account.pw_uid, account.pw_gid)
        self.host = address
        self._launch()

    def environment(self) -> dict[str, str]:
        """What psql is given, as by pg_regress."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        return kept | {
            "PGHOST": FRONT, "PGPORT": str(self.port), "PGUSER": "postgres", "PGTZ": "America/Los_Angeles", "PGDATESTYLE": "Postgres, MDY",
            "PGOPTIONS": "-c intervalstyle=postgres_verbose", "LC_MESSAGES": "C", "LANG": "C", "PG_ABS_SRCDIR": str(self.suite),
            "PG_ABS_BUILDDIR": str(self.written), "PG_LIBDIR": str(self.suite / "lib"), "PG_DLSUFFIX": ".so",
        }

    def psql_program(self) -> str:
        return str(binaries() / "psql")
