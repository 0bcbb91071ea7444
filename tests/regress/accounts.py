"""What pgveil refused in a run, held against the list of what may be."""

import re
from dataclasses import dataclass
from pathlib import Path

SAID = re.compile(rb"(?:ERROR|HINT|WARNING|FATAL): .*?pgveil|\(pgveil withheld|Through pgveil")


@dataclass
class Reason:
    """A line of `refused.tsv`."""

    most: int
    pattern: re.Pattern
    why: str
    count: int = 0


def reasons(path: Path) -> list[Reason]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Reason(int(most), re.compile(pattern), why) for most, pattern, why in (line.split("\t") for line in lines)]


class Account:
    """How often each reason came up, what has none or came up more often than it may, and which files pgveil said anything in."""

    def __init__(self, results: Path, known: list[Reason]):
        self.known = known
        self.unknown: list[str] = []
        self.files: set[str] = set()
        for path in sorted(results.glob("*.out")):
            for line in path.read_bytes().splitlines():
                if SAID.search(line):
                    self.files.add(path.stem)
                    self._book(path.stem, line.decode(errors="replace"))

    def _book(self, name: str, line: str) -> None:
        for reason in self.known:
            if reason.pattern.search(line):
                reason.count += 1
                if reason.count > reason.most:
                    self.unknown.append(f"{name}: {line}")
                return
        self.unknown.append(f"{name}: {line}")

    def report(self) -> None:
        for reason in sorted(self.known, key=lambda reason: -reason.count):
            if reason.count:
                print(f"  {reason.count:5} of {reason.most}  {reason.pattern.pattern}: {reason.why}")
        for line in self.unknown:
            print(f"  not on the list: {line}")


def unexplained(differences: Path, listed: Path) -> list[str]:
    """The lines of differences that no line of `otherwise.tsv` is about."""
    lines = [line.split("\t") for line in listed.read_text().splitlines() if line and not line.startswith("#")]
    left = []
    for path in sorted(differences.glob("*.diff")):
        patterns = [re.compile(pattern) for name, pattern, _ in lines if name == path.stem]
        changed = [line for line in path.read_text().splitlines()[2:] if line.startswith(("+", "-"))]
        left += [f"{path.stem}: {line[:200]}" for line in changed if not any(pattern.search(line) for pattern in patterns)]
    return left
