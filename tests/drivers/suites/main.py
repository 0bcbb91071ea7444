"""Runs the drivers' own suites, directly and through pgveil, and compares them test by test."""

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path

from front import Server, environment, front
from packages import PLACE
from suites import SUITES, Outcomes, Suite

HERE = Path(__file__).resolve().parent
RESULTS = PLACE / "results"


def reasons() -> list[tuple[str, str, re.Pattern, str]]:
    """(suite, ways, tests, why): what may differ."""
    lines = (HERE / "differences.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:] if line]
    return [(suite, ways, re.compile(tests), why) for suite, ways, tests, why in rows]


def play(suite: Suite, server: Server, place: Path, way: str) -> Outcomes:
    log = RESULTS / f"{suite.name.replace('/', '-')}.{way}.log"
    if log.exists():
        log.rename(log.with_suffix(".log.before"))
    begun = time.monotonic()
    with front(server, way, suite.database, log.with_suffix(".pgveil")):
        outcomes = suite.play(place, environment(server, suite.database), log)
    counts = Counter(outcomes.values())
    print(f"{suite.name} {suite.version}, {way}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped, {time.monotonic() - begun:.0f} s", flush=True)
    return outcomes


def differences(first: Outcomes, then: Outcomes) -> dict[str, tuple[str, str]]:
    """The tests that did not end the same way, and how they did."""
    ends = {test: (first.get(test, "not run"), then.get(test, "not run")) for test in first.keys() | then.keys()}
    return {test: both for test, both in ends.items() if both[0] != both[1]}


def reason(suite: Suite, way: str, test: str, known: list) -> str | None:
    """Why that test may differ in that way."""
    return next((why for of, ways, pattern, why in known if of == suite.name and way in ways.split(",") and pattern.fullmatch(test)), None)


def compared(suite: Suite, ways: list[str], known: list) -> tuple[str, bool]:
    """The suite's line of the table, and whether all that differs has its reason."""
    place = suite.fetch()
    server = Server(suite.port)
    try:
        server.prepare(suite.database, "\n".join([suite.sql, *((place / one).read_text(encoding="utf-8") for one in suite.files)]))
        seen = {way: play(suite, server, place, way) for way in ways}
        direct = seen[ways[0]]
        differing, unsteady = {}, set()
        for way in ways[1:]:
            differing[way] = differences(direct, seen[way])
            if all(reason(suite, way, test, known) for test in differing[way]):
                continue
            # What is not the same twice in one way is no difference between two.
            for again in dict.fromkeys([way, "direct"]):
                if differing[way]:
                    unsteady |= differences(seen[again], play(suite, server, place, again)).keys()
    finally:
        server.stop()
    if not any(outcome == "passed" for outcome in direct.values()):
        print(f"  {suite.name}: nothing passes directly: see {RESULTS}")
        return f"| {suite.name} {suite.version} | nothing passes directly |", False
    cells, good = [], True
    for way, tests in differing.items():
        without = 0
        for test, (first, then) in sorted(tests.items()):
            why = "not the same in each run" if test in unsteady else reason(suite, way, test, known)
            without += why is None
            print(f"  {way}: {test}: directly {first}, then {then}: {why or 'NOT EXPLAINED'}")
        good &= without == 0
        cells.append(f"{sum(one == 'passed' for one in seen[way].values())} passed, {len(tests)} differ, {without} without a reason")
    passed = sum(one == "passed" for one in direct.values())
    return f"| {suite.name} {suite.version} | {len(direct)} | {passed} | {' | '.join(cells)} |", good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", default="direct,empty", help="direct first, then of: again (direct once more), empty (nothing tagged), tagged (a column elsewhere, caller masked)")
    parser.add_argument("suites", nargs="*", help=f"of: {', '.join(one.name for one in SUITES)}; all if none is named")
    given = parser.parse_args()
    ways = given.ways.split(",")
    unknown = set(given.suites) - {one.name for one in SUITES}
    if ways[0] != "direct" or set(ways) - {"direct", "again", "empty", "tagged"} or unknown:
        parser.error(f"not known: {unknown or given.ways}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    known = reasons()
    lines, good = [], True
    for suite in SUITES:
        if not given.suites or suite.name in given.suites:
            line, fine = compared(suite, ways, known)
            lines.append(line)
            good &= fine
    print(f"\n| suite | tests | passed directly | {' | '.join(ways[1:])} |\n|---|---|---|{'---|' * len(ways[1:])}")
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
