"""Encrypted columns: a policy, its keys, and the commands that convert what is in the database."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from .pgveil import binary, toml
from .postgres import Postgres


class Encryption:
    """A policy with encrypted columns of one database, and a keyring with the keys that it names."""

    def __init__(self, postgres: Postgres, database: str, columns: dict[str, dict[str, str]], keys: tuple[str, ...] = ("customer",)):
        self.base = Path(tempfile.mkdtemp(prefix="pgveil-encryption-"))
        self.postgres, self.database = postgres, database
        self.policy = self.base / "policy.yaml"
        self.config = self.base / "pgveil.toml"
        self.columns = columns
        self.write_policy()
        self.config.write_text(toml({
            "policies": [self.policy],
            "upstream": {"host": postgres.host, "port": postgres.port, "sslmode": "disable"},
            "catalog": {"database": database, "user": "pgveil"},
            "access_log": {"path": self.base / "access.jsonl"},
            "keys": self.keys(),
        }), encoding="utf-8")
        self.run("keys", "init")
        for key in keys:
            self.run("keys", "create", key)

    def keys(self) -> dict[str, Path]:
        """The settings `[keys]`."""
        return {"keyring": self.base / "keyring.toml", "kek_file": self.base / "kek"}

    def write_policy(self, stored: str = "mixed") -> None:
        """`columns`: by table and column, what stands in `encrypted` but for `stored` and the key, which is `customer` if none is said."""
        lines = ["version: 1", "tags: { secret: { mask: full } }", "columns:"]
        for table, columns in self.columns.items():
            lines.append(f"  {table}:")
            for column, says in columns.items():
                key = "" if "key:" in says else "key: customer, "
                lines.append(f"    {column}: {{ tag: secret, encrypted: {{ {says}, {key}stored: {stored} }} }}")
        lines += ["roles:", "  app: { users: [app], sees: { \"*\": clear } }"]
        self.policy.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        against = f"host={self.postgres.base} port={self.postgres.port} user=postgres dbname={self.database}"
        connects = ["--against", against] if arguments[0] in ("encrypt", "decrypt") else []
        return [str(binary()), *arguments, *connects, "--config", str(self.config)]

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a command; what it says comes as one text."""
        return subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run a command to its end; what it says on both of its outputs. AssertionError where it ends otherwise than it should."""
        done = subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=170)
        assert (done.returncode == 1) if fails else (done.returncode == 0), f"{arguments}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def remove(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
