"""Statements of sqlsmith, which reads the catalog of a database and makes random queries for it."""

import re
import subprocess


def statements(server, role: str, count: int, seed: int, catalog: bool) -> list[str]:
    """`count` statements for the database of `server` (where to log in directly, or through pgveil). `catalog`: system views too."""
    target = f"host={server.host} port={server.port} dbname={server.database} user={role}"
    command = ["sqlsmith", "--dry-run", f"--max-queries={count}", f"--seed={seed}", f"--target={target}"]
    done = subprocess.run(command + ([] if catalog else ["--exclude-catalog"]), capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"sqlsmith ended with {done.returncode}: {done.stderr[-300:]}")
    # Each ends with a semicolon and a line feed; one in a literal is doubled by no statement of it.
    found = [one.strip() for one in done.stdout.decode("utf-8", "replace").split(";\n") if one.strip()]
    return [_repeatable(one) for one in found[:count]]


def _repeatable(sql: str) -> str:
    """Samples are drawn anew at every execution unless a seed is given."""
    return re.sub(r"(tablesample (?:bernoulli|system) \([\d.]+\))", r"\1 repeatable (7)", sql)
