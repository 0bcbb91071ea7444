"""Plays the catalogue of ways out against pgveil and says what got out. See `run`."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from catalogue import Row, directory, rows  # noqa: E402
from play import Server  # noqa: E402
from stage import SHARED, Stage, stages, with_schema  # noqa: E402
from verdict import DIFFERS, LEAK, NEEDLESS, OK, RAN_ANYWAY, WRONG, Verdict, judge, judge_twin, table  # noqa: E402

TROUBLE = "trouble"


class Played:
    """The stages, and what was found on them."""

    def __init__(self, stage: Stage, twin: Stage | None):
        self.stage, self.twin = stage, twin

    def shared(self, chosen: list[Row]) -> list[tuple[Row, Verdict]]:
        """The rows that change nothing: all through one pgveil, one connection each."""
        with self.stage.proxied(SHARED) as through, self._twin_of(SHARED) as twin:
            return [(row, self._guarded(row, SHARED, SHARED, through, twin)) for row in chosen]

    def fresh(self, row: Row) -> tuple[Row, Verdict]:
        """A row that changes something: on databases of its own."""
        if row.proto == "slot":
            # The name of a slot is the row's, and belongs to the whole server: one after the other.
            with self.stage.slots:
                return row, self._on_copies(row)
        return row, self._on_copies(row)

    def _on_copies(self, row: Row) -> Verdict:
        with self.stage.fresh() as compared, self.stage.fresh() as database, self._copy_of(database):
            try:
                with self.stage.proxied(database) as through, self._twin_of(database) as twin:
                    return self._guarded(row, database, compared, through, twin)
            except RuntimeError as trouble:
                return Verdict(TROUBLE, str(trouble))

    def _copy_of(self, database: str):
        return self.twin.fresh(database) if self.twin else nullcontext()

    def _twin_of(self, database: str):
        return self.twin.proxied(database) if self.twin else nullcontext()

    def _guarded(self, row: Row, database: str, compared: str, through: Server, twin: Server | None) -> Verdict:
        stage = self.stage
        try:
            stage.prepare(row, compared)
            direct = stage.direct(compared).play(row, stage.lookup(compared))
            if row.proto == "slot":
                stage.clear(compared)
            stage.prepare(row, database)
            answer = through.play(row, stage.lookup(database))
            verdict = judge(row, direct, answer, stage.canaries, stage.newest_oid)
            if verdict.outcome != OK or twin is None:
                return verdict
            self.twin.prepare(row, database)
            other = twin.play(row, self.twin.lookup(database))
        except OSError as trouble:
            return Verdict(TROUBLE, repr(trouble))
        return judge_twin(row, answer, other, stage.newest_oid)


def still_open(row: Row, verdict: Verdict) -> bool:
    """Whether it is a needless refusal that is on the list of what is still to be mended."""
    return verdict.outcome == NEEDLESS and row.id in table("open.tsv")


def report(results: list[tuple[Row, Verdict]], skipped: int, quoted: list[str], seconds: float) -> bool:
    """Prints the failures and a table by class; True if there are none but those known to be open."""
    outcomes = (OK, LEAK, RAN_ANYWAY, WRONG, NEEDLESS, DIFFERS, TROUBLE)
    failed = 0
    for row, verdict in results:
        if verdict.outcome != OK:
            known = still_open(row, verdict)
            failed += not known
            print(f"{verdict.outcome:17} {row.id:15} {row.expected:6} {row.sql[:150]}\n{'':33} {verdict.detail[:300]}")
            if known:
                print(f"{'':33} known to be open: {table('open.tsv')[row.id]}")
        elif row.id in table("open.tsv"):
            print(f"{'mended':17} {row.id:15} take it off open.tsv")
    for line in quoted:
        print(f"{'leak':17} {line}")
    print("\n" + " ".join(f"{word:>17}" for word in ("class", *outcomes)))
    counts = Counter((row.kind, verdict.outcome) for row, verdict in results)
    for kind in sorted({row.kind for row, _ in results}):
        print(" ".join([f"{kind:>17}", *(f"{counts[kind, one] or '':>17}" for one in outcomes)]))
    total = Counter(verdict.outcome for _, verdict in results)
    print(" ".join([f"{'all':>17}", *(f"{total[one]:>17}" for one in outcomes)]))
    print(f"{len(results)} rows played, {skipped} skipped (other versions of PostgreSQL), {len(quoted)} lines with values in logs and metrics, {seconds:.0f} s")
    print(f"{len(results) - failed} passed, {failed + len(quoted)} failed")
    return not failed and not quoted


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
    parser.add_argument("--twin", action="store_true", help="also compare with a database that differs in the tagged values only")
    arguments = parser.parse_args()
    place = directory()
    if place is None:
        print("leaks.tsv is not there: set PGVEIL_LEAKS to its directory. Nothing was played.")
        return 0
    began = time.monotonic()
    chosen = [row for row in rows(place / "leaks.tsv") if not arguments.rows or {row.id, row.kind} & set(arguments.rows)]
    stage, twin = stages(place / "leaks-schema.sql") if arguments.twin else (Stage(with_schema(place / "leaks-schema.sql")), None)
    try:
        major = stage.major()
        played = [row for row in chosen if row.runs_on(major)]
        order = {row.id: at for at, row in enumerate(played)}
        with ThreadPoolExecutor(arguments.workers) as pool:
            both = Played(stage, twin)
            shared = pool.submit(both.shared, [row for row in played if not row.changes_something()])
            fresh = [pool.submit(both.fresh, row) for row in played if row.changes_something()]
            results = shared.result() + [one.result() for one in fresh]
        results.sort(key=lambda result: order[result[0].id])
        quoted = [line for one in (stage, twin) if one for line in one.quoted()]
    finally:
        for one in (stage, twin):
            if one:
                one.stop()
    if arguments.failures:
        write(arguments.failures, results)
    return 0 if report(results, len(chosen) - len(played), quoted, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
