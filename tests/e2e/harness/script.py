"""Driver-neutral statements: what is run, and where each column of its result comes from."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """Where a result column comes from: source columns as `table.column`; none of them: untagged.

    `derived`: computed from the value (`lower(email)`), and not the value itself.
    """

    sources: tuple[str, ...] = ()
    derived: bool = False


PLAIN = Column()


def of(*sources: str) -> Column:
    return Column(sources)


def derived(*sources: str) -> Column:
    return Column(sources, derived=True)


@dataclass(frozen=True)
class Statement:
    """One statement of the script. Parameters are written `$1`, and are int or str."""

    name: str
    sql: str
    columns: tuple[Column, ...]
    params: tuple = ()
    ordered: bool = True


@dataclass(frozen=True)
class Step:
    """One statement in one of the ways that a driver can run it."""

    statement: Statement
    mode: str
    format: str
    runs: int = 1

    def job(self) -> dict:
        one = self.statement
        return {"name": one.name, "sql": one.sql, "params": list(one.params), "mode": self.mode, "format": self.format, "runs": self.runs}


@dataclass
class Outcome:
    """What one run of a statement gave: rows, or the server's error."""

    columns: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    error: dict | None = None


def as_text(cell: str | None) -> str | None:
    """The text of a cell of a text type, whichever format it came in."""
    if cell is not None and cell.startswith("\\x"):
        return bytes.fromhex(cell[2:]).decode()
    return cell
