"""PostgreSQL's regression suite by psql straight and through pgveil: the same output, file by file. See `run` and README.md."""

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE)]

from accounts import Account, reasons, unexplained  # noqa: E402
from cluster import BEHIND, DATABASE, FRONT, MIDDLE, SECRET, Cluster  # noqa: E402
from harness.pgveil import Pgveil  # noqa: E402
from relay import Book, Relay  # noqa: E402

# Seconds for one file.
PATIENCE = 900
TAGGED = "version: 1\ntags:\n  veiled: { mask: full }\ncolumns:\n  veiled_schema.veiled_person:\n    veiled_name: veiled\n"
CLEAR = "roles:\n  suite:\n    users: postgres\n    sees: { veiled: clear }\n"
POLICIES = {"empty": "version: 1\ncolumns: {}\n", "clear": TAGGED + CLEAR, "tagged": TAGGED}
# What the tagged column shows under each policy.
SHOWN = {"empty": SECRET, "clear": SECRET, "tagged": "######### ########"}


def groups(suite: Path, chosen: set[str]) -> list[list[str]]:
    """The files of the schedule: those of one group may run side by side."""
    found = [line.split()[1:] for line in (suite / "parallel_schedule").read_text().splitlines() if line.startswith("test:")]
    return [names for group in found if (names := [name for name in group if not chosen or name in chosen or name == "test_setup"])]


def play(cluster: Cluster, name: str, results: Path, address: str = FRONT) -> None:
    """One file by psql, as pg_regress calls it."""
    environment = cluster.environment() | {"PGAPPNAME": f"pg_regress/{name}", "PGHOST": address}
    command = [cluster.psql_program(), "-X", "-a", "-q", "-d", DATABASE, "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]
    began = time.monotonic()
    with open(cluster.suite / "sql" / f"{name}.sql", "rb") as given, open(results / f"{name}.out", "wb") as out:
        try:
            subprocess.run(command, stdin=given, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=cluster.written, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            out.write(f"\n=== no end after {PATIENCE} s\n".encode())
    (results / f"{name}.seconds").write_text(f"{time.monotonic() - began:.2f}")


def asked(cluster: Cluster, sql: str) -> str:
    """What psql shows of it, by the suite's own login."""
    command = [cluster.psql_program(), "-X", "-A", "-t", "-d", DATABASE, "-c", sql]
    done = subprocess.run(command, env=cluster.environment(), text=True, capture_output=True, check=False)
    return (done.stdout + done.stderr).strip()


def run(cluster: Cluster, way: str, schedule: list[list[str]], jobs: int, results: Path, given: Book | None = None) -> Book | None:
    """The whole schedule: straight, through pgveil under one of the policies, or straight with what is in the book failing.
    What pgveil refused and withheld, where it masks."""
    results.mkdir(parents=True)
    began = time.monotonic()
    proxy = relay = None
    masked = way in ("tagged", "explained")
    cluster.run(BEHIND if way in POLICIES or masked else FRONT)
    if way in POLICIES:
        policy = cluster.base / f"{way}.yaml"
        policy.write_text(POLICIES[way], encoding="utf-8")
        proxy = Pgveil(cluster, policy, {"listen": f"{MIDDLE if masked else FRONT}:{cluster.port}"}, database=DATABASE).start()
    if masked:
        relay = Relay(FRONT, MIDDLE if proxy else BEHIND, cluster.port, given).start()
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for group in schedule:
                # The tables of the suite are filled from files of the server, which is not for those who are shown masks.
                address = BEHIND if masked and group == ["test_setup"] else FRONT
                list(pool.map(lambda name, address=address: play(cluster, name, results, address), group))
        if proxy:
            shown = asked(cluster, "SELECT veiled_name FROM veiled_schema.veiled_person")
            if shown != SHOWN[way]:
                raise RuntimeError(f"under the policy {way!r} the tagged column shows {shown!r}")
            (results / "metrics").write_text(proxy.metrics_text())
    finally:
        if relay:
            relay.stop()
        if proxy:
            (results / "pgveil.log").write_text(proxy.log())
            proxy.stop()
            proxy.remove()
    print(f"{way}: {time.monotonic() - began:.0f} s", flush=True)
    return relay.book if relay else None


def differences(left: Path, right: Path, into: Path) -> list[str]:
    """The files of which the outputs differ; each difference is written down."""
    into.mkdir(parents=True)
    found = []
    for path in sorted(left.glob("*.out")):
        one, other = path.read_bytes(), (right / path.name).read_bytes()
        if one != other:
            found.append(path.stem)
            texts = [text.decode("utf-8", "backslashreplace").splitlines(keepends=True) for text in (one, other)]
            (into / f"{path.stem}.diff").write_text("".join(difflib.unified_diff(*texts, left.name, right.name)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", default="direct,empty", help="runs, in this order: direct, again (direct once more), empty, clear, tagged")
    parser.add_argument("--jobs", type=int, default=4, help="files at a time")
    parser.add_argument("--results", type=Path, default=HERE.parents[1] / "target/regression-suite/results", help="where outputs and differences are kept")
    parser.add_argument("--strict", action="store_true", help="nothing may be refused in these files either")
    parser.add_argument("files", nargs="*", help="only these (and test_setup)")
    arguments = parser.parse_args()
    suite = Path(subprocess.run([HERE / "suite"], check=True, capture_output=True, text=True).stdout.strip())
    shutil.rmtree(arguments.results, ignore_errors=True)
    ways = arguments.ways.split(",")
    schedule = groups(suite, set(arguments.files))
    cluster = Cluster(suite)
    try:
        cluster.prepare()
        for way in ways:
            book = run(cluster, way, schedule, arguments.jobs, arguments.results / way)
            if way == "tagged":
                run(cluster, "explained", schedule, arguments.jobs, arguments.results / "explained", book)
    finally:
        cluster.stop()
    failed = False
    for way in ways[1:]:
        found = differences(arguments.results / ways[0], arguments.results / way, arguments.results / f"{way}.diffs")
        count = sum(map(len, schedule))
        if way != "tagged":
            print(f"{ways[0]} against {way}: {len(found)} of {count} files differ: {' '.join(found)}")
            failed |= bool(found)
            continue
        account = Account(arguments.results / way, reasons(HERE / "refused.tsv"))
        print(f"{ways[0]} against {way}: {len(found)} of {count} files differ, in {len(account.files)} something was refused or withheld:")
        account.report()
        into = arguments.results / "unexplained.diffs"
        others = differences(arguments.results / "explained", arguments.results / way, into)
        print(f"straight with just that refused or withheld, against {way}: {len(others)} of {count} files differ: {' '.join(others)}")
        left = unexplained(into, HERE / "otherwise.tsv")
        print(f"unexplained lines: {len(left)}", *left[:40], sep="\n  ")
        failed |= bool(account.unknown) or bool(arguments.strict and found) or bool(left)
    return failed


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
