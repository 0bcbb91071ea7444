"""Plays the catalogue of ways out against pgveil and says what got out. See `run`."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from catalogue import Row, directory, rows  # noqa: E402
from stage import Stage  # noqa: E402
from verdict import LEAK, NEEDLESS, OK, RAN_ANYWAY, WRONG, Verdict, judge  # noqa: E402

TROUBLE = "trouble"


def play_shared(stage: Stage, chosen: list[Row]) -> list[tuple[Row, Verdict]]:
    """The rows that change nothing: all through one pgveil, one connection each."""
    found = []
    with stage.proxied("veilrow") as through:
        for row in chosen:
            found.append((row, attempt(stage, row, through, "veilrow", "veilrow")))
    return found


def play_fresh(stage: Stage, row: Row) -> tuple[Row, Verdict]:
    """A row that changes something: on a database of its own, directly on another one."""
    if row.proto == "slot":
        # The name of a slot is the row's, and belongs to the whole server: one after the other.
        with stage.slots:
            return play_pair(stage, row)
    return play_pair(stage, row)


def play_pair(stage: Stage, row: Row) -> tuple[Row, Verdict]:
    with stage.fresh() as compared:
        stage.prepare(row, compared)
        direct = stage.direct(compared).play(row, stage.lookup(compared))
    with stage.fresh() as database:
        stage.prepare(row, database)
        try:
            with stage.proxied(database) as through:
                answer = through.play(row, stage.lookup(database))
        except (RuntimeError, OSError) as trouble:
            return row, Verdict(TROUBLE, str(trouble))
    return row, judge(row, direct, answer, stage.canaries, stage.newest_oid)


def attempt(stage: Stage, row: Row, through, database: str, compared: str) -> Verdict:
    try:
        direct = stage.direct(compared).play(row, stage.lookup(compared))
        answer = through.play(row, stage.lookup(database))
    except OSError as trouble:
        return Verdict(TROUBLE, repr(trouble))
    return judge(row, direct, answer, stage.canaries, stage.newest_oid)


def report(results: list[tuple[Row, Verdict]], skipped: int, quoted: list[str], seconds: float) -> bool:
    """Prints the failures and a table by class; True if there are none."""
    outcomes = (OK, LEAK, RAN_ANYWAY, WRONG, NEEDLESS, TROUBLE)
    for row, verdict in results:
        if verdict.outcome != OK:
            print(f"{verdict.outcome:17} {row.id:15} {row.expected:6} {row.sql[:150]}\n{'':33} {verdict.detail[:300]}")
    for line in quoted:
        print(f"{'leak':17} {line}")
    print("\n" + " ".join(f"{word:>17}" for word in ("class", *outcomes)))
    table = Counter((row.kind, verdict.outcome) for row, verdict in results)
    for kind in sorted({row.kind for row, _ in results}):
        print(" ".join([f"{kind:>17}", *(f"{table[kind, one] or '':>17}" for one in outcomes)]))
    total = Counter(verdict.outcome for _, verdict in results)
    print(" ".join([f"{'all':>17}", *(f"{total[one]:>17}" for one in outcomes)]))
    print(f"{len(results)} rows played, {skipped} skipped (other versions of PostgreSQL), {len(quoted)} lines with values in logs and metrics, {seconds:.0f} s")
    return total[OK] == len(results) and not quoted


def write(path: Path, results: list[tuple[Row, Verdict]]) -> None:
    """The failures as tab-separated lines: row, class, expected, outcome, detail."""
    lines = ["id\tclass\texpected\toutcome\tdetail\tsql"]
    for row, verdict in results:
        if verdict.outcome != OK:
            detail = " ".join(verdict.detail.split())
            lines.append("\t".join([row.id, row.kind, row.expected, verdict.outcome, detail, row.sql]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Play the catalogue of ways out through pgveil.")
    parser.add_argument("rows", nargs="*", help="ids or classes of rows (default: all)")
    parser.add_argument("--failures", type=Path, help="write the failures to this file, tab-separated")
    parser.add_argument("--workers", type=int, default=3)
    arguments = parser.parse_args()
    place = directory()
    if place is None:
        print("leaks.tsv is not there: set PGVEIL_LEAKS to its directory. Nothing was played.")
        return 0
    began = time.monotonic()
    chosen = [row for row in rows(place / "leaks.tsv") if not arguments.rows or {row.id, row.kind} & set(arguments.rows)]
    stage = Stage(place / "leaks-schema.sql")
    try:
        major = stage.major()
        played = [row for row in chosen if row.runs_on(major)]
        order = {row.id: at for at, row in enumerate(played)}
        with ThreadPoolExecutor(arguments.workers) as pool:
            shared = pool.submit(play_shared, stage, [row for row in played if not row.changes_something()])
            fresh = [pool.submit(play_fresh, stage, row) for row in played if row.changes_something()]
            results = shared.result() + [one.result() for one in fresh]
        results.sort(key=lambda result: order[result[0].id])
        quoted = [f"{found} in the {line[:60]}" for line in stage.logs if (found := stage.canaries.find(line.encode()))]
    finally:
        stage.stop()
    if arguments.failures:
        write(arguments.failures, results)
    return 0 if report(results, len(chosen) - len(played), quoted, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
