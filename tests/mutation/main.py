"""Mutates ordinary statements, has PostgreSQL's own grammar and pgveil read each mutant, and compares the names found."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "oracle")]

import generate  # noqa: E402
import names  # noqa: E402
from mutate import Mutator  # noqa: E402

CHUNK = 10_000


def ordinary() -> list[str]:
    """What is mutated."""
    lines = (HERE / "statements.sql").read_text(encoding="utf-8").split(";;\n")
    written = [line.strip() for line in lines if line.strip()]
    return written + [text for text in generate.statements(1, 150) if len(text) < 400]


def read(program: Path, texts: list[str]) -> list[dict]:
    """What pgveil finds in each."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([str(program), "--names"], input=lines.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Comparison:
    """Counts, and the mutants in which a name is missed."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.missed: list[tuple[str, str, str]] = []

    def compare(self, text: str, ours: dict):
        self.counts["mutants"] += 1
        theirs = names.statements(text)
        if theirs is None:
            return
        self.counts["read by PostgreSQL"] += 1
        if not theirs:
            return
        found = [names.names(kind, node) for kind, node in theirs]
        if ours["words"] is None:
            # A text that the lexer does not accept passes only if no run of word characters in it names anything tagged.
            self.counts["not lexed by pgveil"] += 1
            return
        words = set(ours["words"])
        for one in found:
            missing = {cut(word) for word in one.words if word} - words
            if missing:
                self.miss("word", str(sorted(missing)), text)
        queries = [query for kind, node in theirs if (query := names.query(kind, node)) is not None]
        readings = ours["readings"] or []
        if len(queries) != len(readings):
            kinds = [kind for kind, _ in theirs]
            if any(second is not None for _, second in readings):
                self.miss("statements", f"{len(queries)} queries in {kinds}, not {len(readings)}", text)
            return
        for (kind, node), (first, second) in zip(queries, readings):
            self.counts["queries"] += 1
            if second is None:
                self.counts["queries not read by squawk"] += 1
                continue
            self.counts["queries read by squawk"] += 1
            self.counts["queries read by both"] += first is not None
            wanted = names.names(kind, node)
            self.reading(wanted, second, text)
            if first is not None and self.differs(wanted, first):
                # The lineages of both have to be the same, so this is refused unless it makes no difference.
                self.counts["queries in which sqlparser misses a name"] += 1

    def reading(self, wanted: names.Names, had: dict, text: str):
        for part in ("relations", "columns", "functions", "targets", "labels"):
            missing = lacking(getattr(wanted, part), had[part])
            if missing:
                self.miss(part, str(missing), text)
        if wanted.items != had["items"]:
            self.miss("items", f"{wanted.items}, not {had['items']}", text)

    def differs(self, wanted: names.Names, had: dict) -> bool:
        return wanted.items != had["items"] or any(lacking(getattr(wanted, part), had[part]) for part in ("relations", "columns"))

    def miss(self, what: str, detail: str, text: str):
        self.missed.append((what, detail, text))


def cut(word: str) -> str:
    """As PostgreSQL cuts names."""
    return word if len(word) < 16 else word.encode()[:63].decode(errors="ignore")


def lacking(wanted: Counter, had: dict) -> dict:
    return {name: count for name, count in wanted.items() if had.get(name, 0) < count}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=8, help="faults to print of each sort")
    parser.add_argument("--program", type=Path, default=os.environ.get("PGVEIL_ANALYSIS_LINES"), help="the example analysis_lines")
    arguments = parser.parse_args()
    program = arguments.program or HERE.parents[1] / "target/debug/examples/analysis_lines"
    began = time.monotonic()
    mutator = Mutator(ordinary(), arguments.seed)
    comparison = Comparison()
    left = arguments.count
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        while left > 0 or waiting is not None:
            texts = [mutator.mutant() for _ in range(min(CHUNK, left))]
            texts = [text for text in texts if "\0" not in text]
            left -= CHUNK
            started = (texts, reader.submit(read, program, texts)) if texts else None
            if waiting is not None:
                for text, ours in zip(waiting[0], waiting[1].result(), strict=True):
                    comparison.compare(text, ours)
            waiting = started
    print(f"seed {arguments.seed}, {time.monotonic() - began:.0f} s")
    for what, count in comparison.counts.items():
        print(f"{count:10} {what}")
    kinds = Counter(what for what, *_ in comparison.missed)
    print(f"{len(comparison.missed):10} names missed" + "".join(f", {what} {count}" for what, count in kinds.most_common()))
    shown: Counter = Counter()
    for what, detail, text in sorted(comparison.missed, key=lambda miss: len(miss[2])):
        shown[what] += 1
        if shown[what] <= arguments.examples:
            print(f"  {what}: {detail}\n      {text!r}")
    return 1 if comparison.missed else 0


if __name__ == "__main__":
    sys.exit(main())
