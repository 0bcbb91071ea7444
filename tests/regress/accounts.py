"""What pgveil refused in a run, held against the list of what may be."""

import re
from collections import Counter
from pathlib import Path

SAID = re.compile(rb"(?:ERROR|HINT|WARNING|FATAL): .*?pgveil|\(pgveil withheld|Through pgveil")


def reasons(path: Path) -> list[tuple[re.Pattern, str]]:
    """The patterns of `refused.tsv`, each with its reason."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [(re.compile(pattern), reason) for pattern, reason in (line.split("\t") for line in lines)]


class Account:
    """How often each reason came up, what has none, and which files pgveil said anything in."""

    def __init__(self, results: Path, known: list[tuple[re.Pattern, str]]):
        self.counts: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.files: set[str] = set()
        for path in sorted(results.glob("*.out")):
            for line in path.read_bytes().splitlines():
                if SAID.search(line):
                    self.files.add(path.stem)
                    self._book(path.stem, line.decode(errors="replace"), known)

    def _book(self, name: str, line: str, known: list[tuple[re.Pattern, str]]) -> None:
        for pattern, reason in known:
            if pattern.search(line):
                self.counts[f"{pattern.pattern}: {reason}"] += 1
                return
        self.unknown.append(f"{name}: {line}")

    def report(self) -> None:
        for reason, count in self.counts.most_common():
            print(f"  {count:5}  {reason}")
        for line in self.unknown:
            print(f"  not on the list: {line}")
