"""A PostgreSQL server of the tests' own: made by initdb in a temporary directory, on a free port, as a non-root user."""

import contextlib
import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HBA = """\
# type  database     user           address        method
local   all          all                           trust
host    all          pw_user        127.0.0.1/32   password
host    all          md5_user       127.0.0.1/32   md5
host    all          scram_user     127.0.0.1/32   scram-sha-256
host    replication  all            127.0.0.1/32   trust
hostssl all          tls_only_user  127.0.0.1/32   trust
host    all          tls_only_user  127.0.0.1/32   reject
host    all          all            127.0.0.1/32   trust
"""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_connections": "150",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "max_wal_senders": "2",
    "max_prepared_transactions": "10",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "lc_messages": "C",
}


def binaries() -> Path:
    """The directory of initdb and postgres: PGVEIL_PG_BIN, else the newest one that Debian installed."""
    given = os.environ.get("PGVEIL_PG_BIN")
    if given:
        return Path(given)
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise RuntimeError("no PostgreSQL server binaries: set PGVEIL_PG_BIN to the directory of initdb and postgres")
    return Path(found[-1])


GIVEN: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at the moment, and that no connection is given as its own in the meantime.

    No port is given twice, and processes that run tests side by side have ports of their own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    first = 10_000 + 5_000 * worker
    while True:
        port = random.randint(first, first + 4_999)
        if port in GIVEN:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            GIVEN.add(port)
            return port


def as_postgres_user(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root: then it runs as the user `postgres`. It ends with the tests, however these end.

    Where its libraries are beside its programs, as outside of Debian, it finds them there.
    """
    other = [] if os.geteuid() != 0 else ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
    libraries = Path(command[0]).parent.parent / "lib"
    environment = ["env", f"LD_LIBRARY_PATH={libraries}"] if (libraries / "libpq.so.5").exists() else []
    return ["setpriv", "--pdeathsig", "INT", *other, "--", *environment, *command]


class Postgres:
    """Start with `start()`, stop with `stop()`; `psql()` runs SQL as the superuser over the Unix socket.

    `hba`: pg_hba.conf; `files`: further files of its data directory, by their names.
    """

    def __init__(self, name: str = "pg", tls: tuple[Path, Path] | None = None, settings: dict | None = None,
                 hba: str = HBA, files: dict[str, str] | None = None):
        self.bin = binaries()
        self.tls = tls
        self.hba = hba
        self.files = files or {}
        self.settings = {**SETTINGS, **(settings or {})}
        self.base = Path(tempfile.mkdtemp(prefix=f"pgveil-{name}-"))
        self.data = self.base / "data"
        self.host = "127.0.0.1"
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def start(self) -> "Postgres":
        os.chmod(self.base, 0o755)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.base, account.pw_uid, account.pw_gid)
        subprocess.run(
            as_postgres_user(
                [str(self.bin / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
                + ["--locale=C.UTF-8", "--no-sync"]
            ),
            check=True, stdout=subprocess.DEVNULL, cwd="/",
        )
        settings = dict(self.settings)
        settings.update({"port": str(self.port), "unix_socket_directories": str(self.base)})
        if self.tls:
            for source, name in zip(self.tls, ("server.crt", "server.key"), strict=True):
                self._put(name, source.read_text(), mode=0o600)
            settings.update({"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"})
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            for key, value in settings.items():
                conf.write(f"{key} = '{value}'\n")
        self._put("pg_hba.conf", self.hba, mode=0o600)
        for name, text in self.files.items():
            self._put(name, text, mode=0o600)
        self._launch()
        return self

    def _put(self, name: str, text: str, mode: int) -> None:
        path = self.data / name
        path.write_text(text, encoding="utf-8")
        os.chmod(path, mode)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(path, account.pw_uid, account.pw_gid)

    def _launch(self) -> None:
        with open(self.base / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                as_postgres_user([str(self.bin / "postgres"), "-D", str(self.data)]),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while subprocess.run(
            ["psql", "-X", "-h", str(self.base), "-p", str(self.port), "-U", "postgres", "-c", "", "postgres"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        ).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + self.log())
            time.sleep(0.1)

    def copied(self, name: str) -> "Postgres":
        """A second server on a copy of this one's data, with the same object ids. This one is stopped for it and started again."""
        other = Postgres(name, self.tls, self.settings, self.hba, self.files)
        os.chmod(other.base, 0o755)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(other.base, account.pw_uid, account.pw_gid)
        self._halt()
        subprocess.run(["cp", "-a", str(self.data), str(other.data)], check=True)
        with open(other.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"port = '{other.port}'\nunix_socket_directories = '{other.base}'\n")
        self._launch()
        other._launch()
        return other

    def log(self) -> str:
        """What the server wrote to its log."""
        return (self.base / "server.log").read_text(encoding="utf-8", errors="replace")

    def psql(self, sql: str | None = None, database: str = "postgres", file: Path | None = None) -> str:
        """Run SQL as the superuser over the Unix socket; returns what psql prints, unaligned."""
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.base), "-p", str(self.port)]
        command += ["-U", "postgres", "-d", database]
        command += ["-f", str(file)] if file else ["-f", "-"]
        done = subprocess.run(command, input=sql, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"psql failed: {done.stderr}\nfor: {(sql or str(file))[:400]}")
        return done.stdout

    def stop(self) -> None:
        self._halt()
        shutil.rmtree(self.base, ignore_errors=True)

    def _halt(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(20)
