"""Holds pgveil's lineage against PostgreSQL's own analysed tree, statement by statement."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE)]

import psycopg  # noqa: E402

import flows  # noqa: E402
import generate  # noqa: E402
import nodes  # noqa: E402
import regress  # noqa: E402
import tags  # noqa: E402
from harness.postgres import Postgres  # noqa: E402

STRENGTH = {"counted": flows.COUNTED, "direct": flows.DIRECT, "derived": flows.DERIVED}


@dataclass
class Tally:
    """What came of the statements."""

    offered: int = 0
    rejected: Counter = field(default_factory=Counter)
    untraced: Counter = field(default_factory=Counter)
    compared: int = 0
    not_understood: Counter = field(default_factory=Counter)
    missed: list = field(default_factory=list)
    over: Counter = field(default_factory=Counter)
    outputs: int = 0
    over_outputs: int = 0
    over_examples: list = field(default_factory=list)
    not_understood_examples: list = field(default_factory=list)


class Server:
    """Asks PostgreSQL for its analysed trees; nothing is executed."""

    def __init__(self, conninfo: str):
        self.connection = psycopg.connect(conninfo, autocommit=True)
        self.trees: list[str] = []
        self.connection.add_notice_handler(self._notice)

    def _notice(self, diagnostic):
        if diagnostic.message_primary in ("parse tree:", "parse tree"):
            self.trees.append(diagnostic.message_detail)

    def watch(self):
        for setting in ("debug_print_parse = on", "debug_pretty_print = off", "client_min_messages = log", "log_min_messages = fatal"):
            self.connection.execute(f"SET {setting}")

    def tree(self, sql: str) -> tuple[nodes.Node | None, str]:
        """The tree of a statement, or why there is none."""
        self.trees.clear()
        result = self.connection.pgconn.prepare(b"", sql.encode())
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            message = result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY) or b""
            return None, re.sub(r'"[^"]*"|\d+', "_", message.decode(errors="replace"))
        if len(self.trees) != 1:
            return None, "not one tree"
        return nodes.parse(self.trees[0]), ""


def ask(program: Path, conninfo: str, policy: Path, texts: list[str]) -> list[dict]:
    """What pgveil says of each text."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([str(program), conninfo, str(policy)], input=lines, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class Judge:
    """Compares the two sides of one statement after the other."""

    def __init__(self, resolved: tags.Tags, tally: Tally):
        self.tags = resolved
        self.tally = tally

    def compare(self, sql: str, traced: flows.Traced, said: dict):
        tally = self.tally
        self.sql = sql
        if "opaque" in said or len(said["statements"]) != 1:
            tally.not_understood[said.get("opaque", "several statements")] += 1
            return
        statement = said["statements"][0]
        self.verdict = statement["verdict"]
        touched = self.touched(traced)
        if said["harmless"] and touched:
            self.miss("passed by the quick scan", f"touches {touched}")
        if self.verdict == "pass" and touched:
            self.miss("passed", f"touches {touched}")
        if statement["reading"] != "understood":
            tally.not_understood[statement["reading"].removeprefix("not understood: ")] += 1
            tally.not_understood_examples.append((statement["reading"], sql))
            return
        tally.compared += 1
        lineage = statement["lineage"]
        self.relations(traced, lineage)
        self.outputs(traced, lineage)
        self.filters(traced, lineage)
        self.writes(traced, lineage)

    def touched(self, traced: flows.Traced) -> set:
        """Tagged columns of which more than their presence is shown, looked at or written."""
        shown = [flow for _, flow in traced.outputs] + [flow for _, _, flow in traced.writes]
        shown.append({column: flows.DIRECT for column in traced.filters})
        return {one for flow in shown for one, how in self.tags.resolved(flow).items() if how != flows.COUNTED}

    def miss(self, what: str, detail: str):
        self.tally.missed.append((what, detail, self.verdict, self.sql))

    def relations(self, traced: flows.Traced, lineage: dict):
        missing = traced.relations - set(lineage["relations"])
        if missing:
            self.miss("relation", str(missing))
        missing = traced.functions - set(lineage["functions"])
        if missing:
            self.miss("function", str(missing))

    def outputs(self, traced: flows.Traced, lineage: dict):
        ours = lineage["outputs"]
        if lineage["open_ended"]:
            everything = {"tagged": {}, "unknown": None}
            for output in ours:
                for key, how in output["of"]["tagged"].items():
                    known = everything["tagged"].get(key, how)
                    everything["tagged"][key] = max(known, how, key=STRENGTH.get)
                everything["unknown"] = everything["unknown"] or output["of"]["unknown"]
            ours = [{"name": None, "of": everything}] * len(traced.outputs)
        elif len(ours) != len(traced.outputs):
            self.miss("number of columns", f"{len(traced.outputs)}, not {len(ours)}")
            return
        for at, ((name, flow), output) in enumerate(zip(traced.outputs, ours), 1):
            self.tally.outputs += 1
            if name and output["name"] is not None and output["name"].split() != (name or "").split():
                self.miss("name", f"column {at} is {name!r}, not {output['name']!r}")
            wanted = {one: how for one, how in self.tags.resolved(flow).items() if how != flows.COUNTED}
            had = output["of"]
            if had["unknown"]:
                if not wanted:
                    self.tally.over[f"unknown: {had['unknown']}"] += 1
                    self.tally.over_outputs += 1
                continue
            found = {tuple(map(int, key.split("."))): STRENGTH[how] for key, how in had["tagged"].items()}
            for column, how in wanted.items():
                if len(column) == 3:
                    if found.get(column[:2], 0) < how and not self.verdict.startswith("refuse"):
                        self.miss("guard", f"column {at} ({name}) tells of {self.shown(column[:2])} by a FILTER")
                elif found.get(column, 0) < how:
                    self.miss("flow", f"column {at} ({name}) has {self.shown(column)} {flows.FLOWS[how]}, not {flows.FLOWS.get(found.get(column, 0), 'at all')}")
            more = {column for column, how in found.items() if how != flows.COUNTED} - {column[:2] for column in wanted}
            if more:
                read = {one[0] for relation in traced.relations for one in self.tags.relation(relation)}
                if not any(column[0] in read for column in more):
                    cause = "another relation of the same name"
                elif lineage["open_ended"]:
                    cause = "the number of columns is not known"
                else:
                    cause = "columns that are not in it"
                    self.tally.over_examples.append((at, [self.shown(column) for column in more], self.sql))
                self.tally.over[cause] += 1
                self.tally.over_outputs += 1
            elif any(how > wanted.get(column, how) for column, how in found.items()):
                self.tally.over["derived where it is direct"] += 1
                self.tally.over_outputs += 1

    def shown(self, column: tuple[int, int]) -> str:
        return self.tags.label(column)

    def filters(self, traced: flows.Traced, lineage: dict):
        if lineage["filters_unknown"]:
            return
        found = {key for use in lineage["filters"] for key, how in use["tagged"].items() if how != "counted"}
        # What passes a FILTER that can not fail shows in the result alone: where that is redacted for it, nothing was learnt.
        redacted = {key for output in lineage["outputs"] for key, how in output["of"]["tagged"].items() if how == "derived"}
        for column, how in traced.filters.items():
            for tagged, flow in self.tags.resolved({column: flows.DIRECT}).items():
                if flow == flows.COUNTED:
                    continue
                key = f"{tagged[0]}.{tagged[1]}"
                if key not in found and not (traced.why[column] == "FILTER" and key in redacted):
                    self.miss("filter", f"{self.shown(tagged)} is looked at ({traced.why[column]})")
                elif how == flows.STRICT and not self.verdict.startswith("refuse"):
                    self.miss("strict filter", f"{self.shown(tagged)} is more than compared ({traced.why[column]})")

    def writes(self, traced: flows.Traced, lineage: dict):
        for relation, attnum, flow in traced.writes:
            # A part of a column that is set leaves the rest of it where it is.
            itself = self.tags.column((relation, attnum))
            resolved = self.tags.resolved(flow).items()
            wanted = {one: how for one, how in resolved if how != flows.COUNTED and one[:2] not in itself}
            if not wanted:
                continue
            found: dict = {}
            unknown = False
            for write in lineage["writes"]:
                if write["relation"] in (relation, None) and write["attnum"] in (attnum, None):
                    unknown |= write["of"]["unknown"] is not None
                    for key, how in write["of"]["tagged"].items():
                        found[tuple(map(int, key.split(".")))] = max(found.get(key, 0), STRENGTH[how])
            refused = self.verdict.startswith("refuse")
            missing = [
                self.shown(column[:2]) for column in wanted
                if found.get(column[:2], 0) < flows.DIRECT and not (len(column) == 3 and refused)
            ]
            if missing and not unknown:
                self.miss("write", f"{missing} into {relation}.{attnum}")


def report(tally: Tally, seconds: float, examples: int) -> bool:
    print(f"{tally.offered} statements offered, {sum(tally.rejected.values())} rejected by the server, "
          f"{sum(tally.untraced.values())} not traced, {sum(tally.not_understood.values())} not understood by pgveil, "
          f"{tally.compared} compared, {tally.outputs} result columns, {seconds:.0f} s")
    for title, counter in (("rejected", tally.rejected), ("not traced", tally.untraced), ("not understood", tally.not_understood)):
        for reason, count in counter.most_common(12):
            print(f"  {title:15} {count:6}  {reason}")
    print(f"over-tainted: {tally.over_outputs} of {tally.outputs} result columns")
    for reason, count in tally.over.most_common():
        print(f"  {count:6}  {reason}")
    for at, columns, sql in sorted(tally.over_examples, key=lambda example: len(example[2]))[:examples]:
        print(f"    column {at} has {columns}\n      {sql}")
    shown: Counter = Counter()
    for reading, sql in sorted(tally.not_understood_examples, key=lambda example: len(example[1])):
        shown[reading] += 1
        if shown[reading] <= min(examples, 2):
            print(f"  {reading}\n      {sql}")
    kinds = Counter(what for what, *_ in tally.missed)
    print(f"missed: {len(tally.missed)}" + "".join(f", {what} {count}" for what, count in kinds.most_common()))
    shown = Counter()
    for what, detail, verdict, sql in sorted(tally.missed, key=lambda miss: len(miss[3])):
        shown[what] += 1
        if shown[what] <= examples:
            print(f"  {what}: {detail} [{verdict[:60]}]\n      {sql}")
    return not tally.missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="statements to make (default: 3000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=5, help="faults to print of each sort")
    parser.add_argument("--program", type=Path, default=os.environ.get("PGVEIL_ANALYSIS_LINES"), help="the example analysis_lines")
    parser.add_argument("--regress", type=Path, help="directory src/test/regress of PostgreSQL's source: its statements instead of made ones")
    arguments = parser.parse_args()
    program = arguments.program or HERE.parents[1] / "target/debug/examples/analysis_lines"
    began = time.monotonic()
    postgres = Postgres("oracle")
    postgres.start()
    try:
        if arguments.regress:
            regress.make(postgres, arguments.regress.resolve())
            policy = postgres.base / "policy.yaml"
            policy.write_text(regress.policy(postgres), encoding="utf-8")
            texts = regress.statements(arguments.regress.resolve())
        else:
            postgres.psql(file=HERE / "schema.sql")
            policy, texts = HERE / "policy.yaml", list(generate.statements(arguments.seed, arguments.count))
        tally = play(postgres, program, policy, texts)
    finally:
        postgres.stop()
    return 0 if report(tally, time.monotonic() - began, arguments.examples) else 1


def play(postgres: Postgres, program: Path, policy: Path, texts: list[str]) -> Tally:
    tally = Tally()
    conninfo = f"host={postgres.host} port={postgres.port} user=postgres dbname=postgres"
    server = Server(conninfo)
    known = tags.names(server.connection)
    tagged, *said = ask(program, conninfo, policy, ["", *texts])
    columns = {tuple(map(int, one.split("."))) for one in tagged["tagged"]}
    resolved = tags.Tags(server.connection, known, columns)
    server.watch()
    judge = Judge(resolved, tally)
    for sql, answer in zip(texts, said, strict=True):
        tally.offered += 1
        tree, why = server.tree(sql)
        if tree is None:
            tally.rejected[why] += 1
            continue
        try:
            traced = flows.Trace(known).statement(tree)
        except flows.NotTraced as reason:
            tally.untraced[str(reason)] += 1
            continue
        judge.compare(sql, traced, answer)
    return tally


if __name__ == "__main__":
    sys.exit(main())
