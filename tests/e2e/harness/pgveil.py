"""pgveil as a process: started on free ports with a policy and a configuration, watched, and stopped by SIGTERM."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

from .postgres import Postgres, free_port

ROOT = Path(__file__).resolve().parents[3]


def mode() -> str:
    """`proxy` (the default) or `direct`: the same tests against PostgreSQL itself."""
    chosen = os.environ.get("PGVEIL_E2E", "proxy")
    if chosen not in ("proxy", "direct"):
        raise RuntimeError(f"PGVEIL_E2E is {chosen!r}: expected proxy or direct")
    return chosen


def binary() -> Path:
    """The program under test: PGVEIL_BIN, else the debug build."""
    path = Path(os.environ.get("PGVEIL_BIN", ROOT / "target" / "debug" / "pgveil"))
    if not path.is_file():
        raise RuntimeError(f"no pgveil at {path}: run `cargo build`, or set PGVEIL_BIN, or PGVEIL_E2E=direct")
    return path


def toml_value(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(str(value), ensure_ascii=False)


def toml(document: dict) -> str:
    """A two-level document as TOML: plain settings first, then one table for each nested dict."""
    plain = {key: value for key, value in document.items() if not isinstance(value, dict)}
    lines = [f"{key} = {toml_value(value)}" for key, value in plain.items()]
    for name, table in document.items():
        if isinstance(table, dict):
            lines.append(f"\n[{name}]")
            lines += [f"{key} = {toml_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


class Direct:
    """PostgreSQL itself in pgveil's place: nothing is masked and nothing is logged."""

    proxied = False

    def __init__(self, postgres: Postgres):
        self.host, self.port = postgres.host, postgres.port

    def events(self) -> list[dict]:
        return []

    def stop(self) -> None:
        pass


class Pgveil:
    """One running pgveil. `settings` are merged into the configuration, table by table."""

    proxied = True
    running: ClassVar[list["Pgveil"]] = []

    def __init__(self, postgres: Postgres, policy: Path, settings: dict | None = None, database: str = "postgres"):
        self.base = Path(tempfile.mkdtemp(prefix="pgveil-proxy-"))
        self.host, self.port, self.admin_port = "127.0.0.1", free_port(), free_port()
        self.access_log = self.base / "access.jsonl"
        self.policy = self.base / "policy.yaml"
        self.policy.write_text(policy.read_text(encoding="utf-8"), encoding="utf-8")
        self.keys = self.base / "mask-keys.toml"
        self.keys.write_text(f'default = "{"0123456789abcdef" * 4}"\n', encoding="utf-8")
        self.keys.chmod(0o600)
        document = self._configuration(postgres, database)
        for key, value in (settings or {}).items():
            if isinstance(value, dict):
                document.setdefault(key, {}).update(value)
            else:
                document[key] = value
        self.config = self.base / "pgveil.toml"
        self.config.write_text(toml(document), encoding="utf-8")
        self.process: subprocess.Popen | None = None
        # Where its standard output goes, if not to the operational log.
        self.stdout: Path | None = None

    def _configuration(self, postgres: Postgres, database: str) -> dict:
        return {
            "listen": f"{self.host}:{self.port}",
            "admin_listen": f"{self.host}:{self.admin_port}",
            "policies": [self.policy],
            "mask_keys_file": self.keys,
            "upstream": {"host": postgres.host, "port": postgres.port, "sslmode": "disable"},
            "catalog": {"database": database, "user": "pgveil"},
            "access_log": {"path": self.access_log},
        }

    def start(self, seconds: float = 30.0, ready: tuple[int, ...] = (200,)) -> "Pgveil":
        """Start and wait until it is ready; a RuntimeError if it ends, or is not ready in time.

        `ready`: what /readyz may say then.
        """
        begun = self.log().count("listening on") if (self.base / "stderr").exists() else 0
        with open(self.base / "stderr", "ab") as log, open(self.stdout or self.base / "stderr", "ab") as stdout:
            self.process = subprocess.Popen(
                # It ends with the tests, however these end.
                ["setpriv", "--pdeathsig", "KILL", "--", str(binary()), "serve", "--config", str(self.config)],
                stdout=stdout, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )
        if self not in Pgveil.running:
            Pgveil.running.append(self)
        deadline = time.monotonic() + seconds
        while self.status("/readyz") not in ready or self.log().count("listening on") == begun:
            if self.process.poll() is not None:
                raise RuntimeError(f"pgveil ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"pgveil was not ready after {seconds} s:\n{self.log()}")
            time.sleep(0.05)
        return self

    def log(self) -> str:
        """The operational log."""
        return (self.base / "stderr").read_text(encoding="utf-8", errors="replace")

    def status(self, path: str) -> int | None:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.admin_port}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as answer:
            return answer.code
        except OSError:
            return None

    def metrics_text(self) -> str:
        with urllib.request.urlopen(f"http://{self.host}:{self.admin_port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels; 0 where there is none."""
        total = 0.0
        for line in self.metrics_text().splitlines():
            found = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if not found or found[1] != name:
                continue
            has = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
            if all(has.get(key) == value for key, value in labels.items()):
                total += float(found[3])
        return total

    def records(self) -> list[dict]:
        """All lines of the access log."""
        if not self.access_log.exists():
            return []
        lines = self.access_log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def events(self) -> list[dict]:
        """The access log's reveal events."""
        return [record for record in self.records() if record.get("kind") == "reveal"]

    def tail(self) -> "LogTail":
        """Follows the access log from here on."""
        return LogTail(self.access_log)

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

    def cpu_seconds(self) -> float:
        """What it has used of the processors so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise RuntimeError(f"pgveil did not end within 30 s of SIGTERM:\n{self.log()}") from None
        return self.process.returncode

    def strange_records(self) -> list[str]:
        """What the published schema says against lines of its access log: of each kind the first ones are looked at."""
        validator = record_validator()
        seen: dict[str, int] = {}
        found = []
        for record in self.records():
            kind = record["kind"]
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= 20:
                found += [f"{kind}: {error.message}" for error in validator(kind).iter_errors(record)]
        return found

    def remove(self) -> None:
        """Remove its files, once it is stopped and its log was looked at."""
        if self in Pgveil.running:
            Pgveil.running.remove(self)
        shutil.rmtree(self.base, ignore_errors=True)


@functools.cache
def record_validator():
    """A validator for lines of each kind, by the published schema."""
    schema = json.loads((ROOT / "deploy" / "access-log.schema.json").read_text(encoding="utf-8"))
    forms = {form["title"]: form for form in schema["oneOf"]}

    @functools.cache
    def of(kind: str):
        # Programs other than the tests use this file without that package.
        from jsonschema import Draft202012Validator

        return Draft202012Validator({**forms.get(kind, forms["other"]), "$defs": schema["$defs"]})

    return of


class LogTail:
    """Reads what came into the access log since the last look."""

    def __init__(self, path: Path):
        self.path = path
        self.at = path.stat().st_size if path.exists() else 0

    def events(self) -> list[dict]:
        """The new reveal events."""
        return [record for record in self.records() if record["kind"] == "reveal"]

    def records(self) -> list[dict]:
        """The new records of every kind."""
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self.at)
            new = file.read()
        self.at += len(new)
        return [json.loads(line) for line in new.decode().splitlines()]
