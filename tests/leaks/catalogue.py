"""The catalogue of ways out: one row a way, with the right answer. It lives outside the repository."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Changes nothing but its own session, whatever the role: such rows share one database.
READERS = ("ro", "mon")


def directory() -> Path | None:
    """PGVEIL_LEAKS, else `shared/design` beside one of the directories above the repository; None where neither has it."""
    given = os.environ.get("PGVEIL_LEAKS")
    candidates = [Path(given)] if given else [above / "shared" / "design" for above in ROOT.parents]
    return next((path for path in candidates if (path / "leaks.tsv").is_file()), None)


@dataclass(frozen=True)
class Row:
    """One way out. `expected` is `mask`, `deny`, `scrub` or `allow`."""

    id: str
    kind: str
    role: str
    proto: str
    sql: str
    channel: str
    expected: str
    leak: str
    twin: str
    versions: str
    sqlstate: str
    note: str

    def runs_on(self, major: int) -> bool:
        """Whether the way exists on this major version of PostgreSQL."""
        first, _, last = self.versions.partition("-")
        return int(first) <= major <= int(last or first)

    def changes_something(self) -> bool:
        """Whether the row needs a database of its own, so that the rows after it find what they expect."""
        plain = self.proto == "simple" and ";" not in self.sql and self.sql.split()[0] in ("SELECT", "TABLE", "VALUES")
        return self.role not in READERS and not (plain and self.role == "app")

    def unescaped(self) -> str:
        """The statements with the line ends that the row writes as `\\n`."""
        return self.sql.replace("\\n", "\n")


def rows(path: Path) -> list[Row]:
    """All rows of the catalogue, in its order."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Row(*(line.split("\t") + [""] * 12)[:12]) for line in lines[1:] if line]
