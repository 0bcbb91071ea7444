"""The server, its databases, and pgveil in front of each of them."""

import re
import threading
from contextlib import contextmanager
from pathlib import Path

from canaries import TAGGED, Canaries
from harness.pgveil import Pgveil
from harness.postgres import Postgres
from play import Server
from twins import lay_out

HERE = Path(__file__).resolve().parent
SEED = "seed"
# The name that the catalogue gives its database.
SHARED = "veilrow"
# The ids of events and logs, and the hashes that chain these. They are random: now and then they hold seven characters of a telephone number.
RANDOM = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|[0-9a-f]{64}")
SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements", "wal_level": "logical", "max_wal_senders": "4",
    "max_replication_slots": "8", "logging_collector": "on", "log_directory": "log",
}
ROLES = """
CREATE ROLE ro LOGIN; CREATE ROLE app LOGIN; CREATE ROLE mon LOGIN IN ROLE pg_monitor; CREATE ROLE su LOGIN SUPERUSER;
CREATE ROLE pgveil LOGIN;
"""


def with_schema(schema: Path) -> Postgres:
    """A server with the database of the catalogue."""
    server = Postgres("leaks", settings=SETTINGS).start()
    server.psql(ROLES)
    server.psql(f"CREATE DATABASE {SEED}")
    server.psql(file=schema, database=SEED)
    return server


def stages(schema: Path) -> tuple["Stage", "Stage"]:
    """Two that differ only in the values of the tagged columns."""
    server = with_schema(schema)
    twin = server.copied("twin")
    lay_out(server, SEED, twin=False)
    lay_out(twin, SEED, twin=True)
    return Stage(server), Stage(twin)


class Stage:
    """`shared` is the database of the rows that change nothing; `fresh()` gives copies to the others."""

    def __init__(self, postgres: Postgres):
        """On a server that runs and has the database `SEED`."""
        self.postgres = postgres
        self.lock = threading.Lock()
        self.slots = threading.Lock()
        self.count = 0
        self.canaries = Canaries(self._values())
        self.newest_oid = int(self.postgres.psql("SELECT max(oid::bigint) FROM pg_class", database=SEED))
        self.postgres.psql(f"CREATE DATABASE {SHARED} TEMPLATE {SEED}")
        self.logs: list[str] = []

    def major(self) -> int:
        return int(self.postgres.psql("SHOW server_version_num")) // 10000

    def _values(self) -> list[str]:
        union = " UNION ".join(f"SELECT {column}::text FROM {table}" for table, columns in TAGGED.items() for column in columns)
        # No value has a line feed in it.
        return self.postgres.psql(union, database=SEED).splitlines()

    def direct(self, database: str) -> Server:
        return Server(self.postgres.host, self.postgres.port, database)

    def lookup(self, database: str):
        """Answers what a row asks about the database."""
        def answer(name: str) -> str:
            if name == "toast":
                sql = "SELECT relname FROM pg_class WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE relname = 'big_notes')"
            else:
                sql = f"SELECT oid FROM pg_proc WHERE proname = '{name}'"
            return self.postgres.psql(sql, database=database).strip()
        return answer

    @contextmanager
    def fresh(self, name: str | None = None):
        """The name of a new copy of the database, dropped afterwards."""
        with self.lock:
            self.count += 1
            name = name or f"copy{self.count:04}"
            self.postgres.psql(f"CREATE DATABASE {name} TEMPLATE {SEED}")
        try:
            yield name
        finally:
            with self.lock:
                try:
                    self.clear(name)
                    self.postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")
                except RuntimeError:
                    pass  # A subscription holds it. It goes with the server.

    @contextmanager
    def proxied(self, database: str, filter: str = "equality"):
        """pgveil in front of a database. What it wrote is kept for the search at the end."""
        one = Pgveil(self.postgres, HERE / "policy.yaml", {}, database)
        one.policy.write_text(one.policy.read_text(encoding="utf-8").replace("filter: equality", f"filter: {filter}"), encoding="utf-8")
        one.start()
        try:
            yield Server(one.host, one.port, database)
            metrics = one.metrics_text()
        finally:
            code = one.stop()
            log = one.log()
            access = one.access_log.read_text(encoding="utf-8") if one.access_log.exists() else ""
            one.remove()
        if code or "panicked" in log:
            raise RuntimeError(f"pgveil ended with {code}:\n{log[-3000:]}")
        with self.lock:
            self.logs += [f"{kind}: {line}" for kind, text in (("log", log), ("access log", access), ("metrics", metrics)) for line in text.splitlines()]

    def prepare(self, row, database: str) -> None:
        """What the row's mode says must be there before."""
        if row.proto == "slot":
            slot = "s1"
            self.postgres.psql(
                f"SELECT pg_create_logical_replication_slot('{slot}','test_decoding'); UPDATE customers SET tenant_id = 7 WHERE id = 1",
                database=database)

    def clear(self, database: str) -> None:
        """Takes away what `prepare` made outside the database."""
        self.postgres.psql(
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{database}'", database=database)

    def quoted(self) -> list[str]:
        """Lines of logs, access logs and metrics that hold a value, cut short before it could be read."""
        return [f"{found} in the {line[:60]}" for line in self.logs if (found := self._in_log(line))]

    def _in_log(self, line: str) -> str | None:
        found = self.canaries.find(line.encode())
        return self.canaries.find(RANDOM.sub("", line).encode()) if found and "piece of" in found else found

    def stop(self) -> None:
        self.postgres.stop()
