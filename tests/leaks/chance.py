"""Random statements as a masked role through pgveil, on two databases that differ in the tagged values only. See `random`."""

import argparse
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import smith  # noqa: E402
from catalogue import directory  # noqa: E402
from equal import difference  # noqa: E402
from grammar import Statements  # noqa: E402
from harness.wire import Closed, Raw, bind, describe, execute, parse, query, sync  # noqa: E402
from play import Answer, Server  # noqa: E402
from stage import SHARED, Stage, stages, with_schema  # noqa: E402

TOUCHES = re.compile(r"\b(name|email|phone|street|city|card_number|notes|contact|customer_email|body|email_lc)\b")
# A statement that runs into it has given away what it had to.
SETTINGS = "SET statement_timeout = '1s'"
# What differs between two servers whatever their data are: these are looked through for values, but not compared.
OF_THE_SERVER = re.compile(
    r"pg_control_\w+|pg_(current|last)_(wal|xact|committed)\w*|pg_walfile_name\w*|txid_\w+|pg_postmaster_start_time|pg_conf_load_time|pg_stat_\w+|pg_statio_\w+"
    r"|inet_(server|client)_(port|addr)|pg_backend_pid|now\(|clock_timestamp|(statement|transaction)_timestamp|timeofday|random\(|gen_random_uuid|\bxmin\b|\bxmax\b"
    r"|pg_settings|pg_show_all_settings|pg_file_settings|pg_hba_file_rules|pg_locks|pg_ls_\w+|pg_cursors|current_(date|time|timestamp)|localtime|pg_relation_filenode|pg_replication\w*",
    re.IGNORECASE)
# Differences that follow from what the filter mode permits, or from statistics. They are counted and listed, each by itself.
RESIDUAL = {
    "order of groups": re.compile(r"partition by|group by|distinct|union(?! all)|intersect|except|mode\(\)", re.IGNORECASE),
    "estimates of EXPLAIN": re.compile(r"^explain(?!.*costs off)", re.IGNORECASE),
}
ERRORS = "whether a cast of a value fails"
WRITES = re.compile(r"\s*(insert|update|delete|merge|with\s+\w+ as \(\s*(insert|update|delete))", re.IGNORECASE)


@dataclass
class Seat:
    """One connection through pgveil, opened anew where it ends."""

    stage: Stage
    server: Server
    role: str
    client: Raw | None = None

    def play(self, messages: list[str], extended: bool) -> Answer:
        answer = Answer()
        try:
            if self.client is None:
                self.client = Raw(self.server.host, self.server.port, 60.0)
                self.client.login(self.role, self.server.database)
                self.client.ask(query(SETTINGS))
            for sql in messages:
                sent = parse("", sql) + bind("", "", (), (), (1,)) + describe("P", "") + execute() + sync() if extended else query(sql)
                self.client.frames.clear()
                answer.messages.append(self.client.ask(sent))
        except (Closed, ConnectionError, TimeoutError):
            answer.closed = True
            self.client = None
        return answer


@dataclass
class Tally:
    """What happened. `leaks` and `different` hold the statements too."""

    outcomes: Counter = field(default_factory=Counter)
    refusals: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    residual: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in (*RESIDUAL, ERRORS)})

    def count(self, messages: list[str], answer: Answer) -> None:
        errors = answer.errors()
        ours = [one["M"] for one in errors if one["M"].startswith("pgveil:")]
        rows = sum(one.tag in "Dd" for one in answer.frames())
        touches = any(TOUCHES.search(one) for one in messages)
        self.outcomes["statements"] += 1
        self.outcomes["touch tagged columns"] += touches
        if ours:
            self.outcomes["refused"] += 1
            self.refusals[reason(ours[0])] += 1
        elif answer.closed:
            self.outcomes["connection closed"] += 1
        elif errors:
            self.outcomes["error of the server"] += 1
            self.errors[errors[0]["C"]] += 1
        else:
            self.outcomes["ran"] += 1
            self.outcomes["ran and gave rows"] += bool(rows)
            self.outcomes["touch tagged columns, ran and gave rows"] += bool(rows) and touches


def reason(message: str) -> str:
    """A refusal without the names in it."""
    message = re.sub(r"\(tag .*", "", message.removeprefix("pgveil: "))
    message = re.sub(r"column \S+|function \S+|type \S+|operator \S+", lambda hit: hit[0].split()[0] + " ...", message)
    return re.sub(r"\b\d+\b", "n", message).strip()[:140]


class Run:
    """Two seats for each role, and what was found."""

    def __init__(self, stages: list[Stage], servers: list[Server], role: str, tally: Tally):
        self.seats = [Seat(stage, server, role) for stage, server in zip(stages, servers, strict=True)]
        self.tally = tally
        self.pool = ThreadPoolExecutor(2)

    def experiment(self, messages: list[str], extended: bool) -> None:
        sent = "\n".join(messages).encode()
        answers = list(self.pool.map(lambda seat: seat.play(messages, extended), self.seats))
        for seat, answer in zip(self.seats, answers, strict=True):
            if found := answer.leak(seat.stage.canaries, sent):
                self.tally.leaks.append(f"{found}\n    {messages}")
        self.tally.count(messages, answers[0])
        newest = self.seats[0].stage.newest_oid
        seen = difference(*answers, newest) if len(answers) == 2 else None
        if seen is None:
            return
        if any(OF_THE_SERVER.search(one) for one in messages):
            self.tally.outcomes["asks what differs from server to server, and does"] += 1
            return
        again = [seat.play(messages, extended) for seat in self.seats]
        if difference(answers[0], again[0], newest) or difference(answers[1], again[1], newest):
            self.tally.outcomes["not the same twice on one database"] += 1
        else:
            codes = [[one["C"] for one in answer.errors()] for answer in answers]
            known = ERRORS if codes[0] != codes[1] else next((name for name, pattern in RESIDUAL.items() if any(pattern.search(one) for one in messages)), None)
            (self.tally.residual[known] if known else self.tally.different).append(f"{seen}\n    {messages}")


def experiments(source: str, count: int, seed: int, direct: Server):
    """Triples: role, messages, whether by the extended protocol with binary results."""
    if source == "grammar":
        stream = Statements(seed)
        for at in range(count):
            messages = stream.next()
            yield "app" if len(messages) > 1 and messages[0] == "BEGIN" and "DECLARE" not in messages[1] else "ro", messages, len(messages) == 1 and at % 3 == 2
        return
    chunk, at = 1000, 0
    while at < count:
        role = "app" if at // chunk % 5 == 4 else "ro"
        for number, sql in enumerate(smith.statements(direct, role, min(chunk, count - at), seed + at, catalog=at // chunk % 10 == 3)):
            yield role, ["BEGIN", sql, "ROLLBACK"] if role == "app" or WRITES.match(sql) else [sql], role == "ro" and number % 3 == 2
        at += chunk


def play(here: list[Stage], arguments) -> tuple[Tally, int]:
    """Plays up to `count` statements, but no longer than `seconds`."""
    tally, played, deadline = Tally(), 0, time.monotonic() + arguments.seconds
    source = arguments.source
    with ExitStack() as stack:
        servers = [stack.enter_context(stage.proxied(SHARED, filter=arguments.filter)) for stage in here]
        runs = {role: Run(here, servers, role, tally) for role in ("ro", "app")}
        for role, messages, extended in experiments(source, arguments.count, arguments.seed, here[0].direct(SHARED)):
            if time.monotonic() > deadline:
                break
            runs[role].experiment(messages, extended)
            played += 1
            if played % 1000 == 0:
                print(f"{source}: {played} played, {len(tally.leaks)} leaks, {len(tally.different)} differ", file=sys.stderr, flush=True)
    return tally, played


def report(source: str, tally: Tally, played: int, quoted: list[str], seconds: float, findings: Path | None) -> bool:
    print(f"\n==== {source}: {played} statements in {seconds:.0f} s")
    for name, count in tally.outcomes.most_common():
        print(f"{count:>8}  {100 * count / max(played, 1):5.1f} %  {name}")
    print("refused, by reason:")
    for name, count in tally.refusals.most_common(40):
        print(f"{count:>8}  {100 * count / max(played, 1):5.1f} %  {name}")
    print("errors of the server:", ", ".join(f"{count} x {code}" for code, count in tally.errors.most_common(12)))
    for title, found in (("leak", tally.leaks), ("the twin differs", tally.different), *tally.residual.items(), ("in logs or metrics", quoted)):
        print(f"{len(found):>8}  {title}")
        for one in found[:5]:
            print("          " + one[:700])
    if findings:
        lines = [f"== {title}: {one}" for title, found in (("leak", tally.leaks), ("differs", tally.different), *tally.residual.items()) for one in found]
        findings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    bad = len(tally.leaks) + len(tally.different) + len(quoted)
    print(f"{played - bad} passed, {bad} failed")
    return not bad


def main() -> int:
    parser = argparse.ArgumentParser(description="Random statements through pgveil, on two databases that differ in the tagged values only.")
    parser.add_argument("source", choices=("sqlsmith", "grammar"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--filter", choices=("equality", "allow"), default="equality",
                        help="`allow` lets conditions through, so that more statements run: then nothing is compared with the twin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=86400, help="stop after so long")
    parser.add_argument("--findings", type=Path, help="write every statement that showed something to this file")
    arguments = parser.parse_args()
    place = directory()
    if place is None:
        print("leaks-schema.sql is not there: set PGVEIL_LEAKS to its directory. Nothing was played.")
        return 0
    schema = place / "leaks-schema.sql"
    here = list(stages(schema)) if arguments.filter == "equality" else [Stage(with_schema(schema))]
    for stage in here:
        # Else every second statement of sqlsmith is about statistics.
        stage.postgres.psql("DROP EXTENSION pg_stat_statements", database=SHARED)
    try:
        began = time.monotonic()
        tally, played = play(here, arguments)
        quoted = [line for stage in here for line in stage.quoted()]
    finally:
        for stage in here:
            stage.stop()
    return 0 if report(f"{arguments.source}, filter mode {arguments.filter}", tally, played, quoted, time.monotonic() - began, arguments.findings) else 1


if __name__ == "__main__":
    sys.exit(main())
