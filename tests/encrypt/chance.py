"""Random statements on encrypted tables through pgveil and on plain ones without it. See `random`."""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from grammar import TABLES, Statement, Statements
from harness.pgveil import Pgveil, binary
from harness.postgres import Postgres
from psycopg import OperationalError, pq

FIXTURE = (
    "INSERT INTO people (id, email, name, born, number, salary, code, city, rank) VALUES (1, 'ann@x.org', 'Ann', '1990-01-31', 77, 1.5, 'AB', 'Ulm', 1)",
    "INSERT INTO people (id, email, name, born, number, salary, code, city, rank) VALUES (2, 'bob@x.org', 'Bob Böll', '2000-02-29', -5, 1.50, 'xyz', 'Ulm', 2)",
    "INSERT INTO people (id, email, name, born, number, salary, code, city, rank) VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL, 'Bonn', 3)",
    "INSERT INTO people (id, email, name, born, number, salary, code, city, rank) VALUES (4, '', '', '1990-01-31', 77, -2, '', NULL, NULL)",
    "INSERT INTO orders (id, buyer, placed, amount, note) VALUES (1, 'ann@x.org', '1990-01-31', 1, 'a'), (2, 'ann@x.org', '2000-02-29', 5, ''), (3, NULL, NULL, 9, NULL), "
    "(4, 'nobody@x.org', 'infinity', 2, 'b')",
)
ENVELOPE = re.compile(rb"pgveil:UFYB|5056010[12]")
MISFITS = (b"42883", b"42804", b"22003")
CHOSEN = re.compile("coalesce|UNION|ARRAY")
CHOICE = re.compile("CASE|coalesce")
TENANT = "shop.tenant"
STATE = tuple(f"SELECT * FROM {table} ORDER BY id" for table in TABLES)


def policy(wanted: argparse.Namespace) -> str:
    lines = ["version: 1", "tags: { private: { mask: full } }", "columns:"]
    for table, columns in TABLES.items():
        lines.append(f"  {table}:")
        for name, (kind, mode) in columns.items():
            if mode:
                # What may be compared shares a domain, and so all of one type does.
                domain = name if mode == "randomized" else kind
                kept = f"mode: randomized, blind_index: {name}_index" if wanted.blind_index and mode == "deterministic" else f"mode: {mode}"
                kept += f", tenant: {{ setting: {TENANT} }}" if wanted.tenant else ""
                lines.append(f'    {name}: {{ tag: private, encrypted: {{ type: "{kind}", key: people, domain: "{domain}", {kept} }} }}')
    return "\n".join([*lines, 'roles: { shop: { users: [sam], sees: { "*": clear } } }']) + "\n"


def make(server: Postgres, database: str, sealed: bool, unique: bool) -> None:
    server.psql(f"CREATE DATABASE {database}")
    for table, columns in TABLES.items():
        parts = ", ".join(f"{name} {'text' if sealed and mode else kind}{' PRIMARY KEY' if name == 'id' else ''}{' UNIQUE' if unique and name == 'email' else ''}"
                          for name, (kind, mode) in columns.items())
        server.psql(f"CREATE TABLE {table} ({parts}); GRANT ALL ON {table} TO sam", database=database)


def index(server: Postgres, proxy: Pgveil) -> None:
    """Columns of blind indexes, and on the plain tables others that are NULL as these are shown."""
    against = f"host={server.base} port={server.port} user=postgres dbname=sealed"
    subprocess.run([binary(), "encrypt", "types", "--allow-rewrite", "--against", against, "--config", proxy.config], check=True, stdout=subprocess.DEVNULL)
    server.psql("CREATE UNIQUE INDEX ON people (email_index)", database="sealed")
    for table in TABLES:
        columns = server.psql(f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attgenerated <> '' ORDER BY attnum", database="sealed").split()
        if not columns:
            raise RuntimeError("there are no blind indexes")
        for column in columns:
            server.psql(f"ALTER TABLE {table} ADD {column} text GENERATED ALWAYS AS (NULL::text) STORED", database="plain")


class Answer:
    """What one message was answered by: rows without their order, since nothing says which it is."""

    def __init__(self, result: pq.PGresult):
        self.state = result.error_field(pq.DiagnosticField.SQLSTATE)
        self.text = b"\n".join(result.error_field(field) or b"" for field in (
            pq.DiagnosticField.MESSAGE_PRIMARY, pq.DiagnosticField.MESSAGE_DETAIL, pq.DiagnosticField.MESSAGE_HINT))
        self.columns = [(result.fname(at), result.ftype(at), result.fmod(at), result.fsize(at)) for at in range(result.nfields)]
        self.rows = sorted(([result.get_value(row, at) for at in range(result.nfields)] for row in range(result.ntuples)), key=repr)
        self.tag = result.command_status

    def refused(self) -> bool:
        return self.state in (b"0A000", b"42501") and self.text.startswith(b"pgveil:")

    def said(self) -> tuple:
        return self.state, self.tag, self.columns, self.rows

    def envelope(self) -> bool:
        return bool(ENVELOPE.search(self.text)) or any(cell and ENVELOPE.search(cell) for row in self.rows for cell in row)


class Seat:
    """One connection."""

    def __init__(self, host: str, port: int, database: str):
        self.connection = pq.PGconn.connect(f"host={host} port={port} dbname={database} user=sam".encode())
        if self.connection.status != pq.ConnStatus.OK:
            raise RuntimeError(self.connection.error_message)
        self.run("SET client_min_messages = error")
        self.run(f"SET {TENANT} = 'acme'")

    def run(self, text: str) -> Answer:
        return Answer(self.connection.exec_(text.encode()))

    def play(self, statement: Statement, formats: int) -> Answer:
        if self.connection.status != pq.ConnStatus.OK:
            raise OperationalError("the session has ended")
        values = [None if one is None else one.encode() for one in statement.parameters]
        if not values and not formats:
            return self.run(statement.text)
        return Answer(self.connection.exec_params(statement.text.encode(), values, None, None, formats))


def reason(text: bytes) -> str:
    said = text.decode(errors="replace").partition("\n")[0].removeprefix("pgveil: ")
    return re.sub(r"column \S+", "column ...", said)[:150]


class Campaign:
    """Both databases, and what was found."""

    def __init__(self, server: Postgres, proxy: Pgveil):
        self.server = server
        self.sit(server, proxy)
        self.outcomes: Counter = Counter()
        self.refusals: Counter = Counter()
        self.examples: dict[str, list[str]] = {}
        self.findings: list[str] = []

    def sit(self, server: Postgres, proxy: Pgveil) -> None:
        """Connect to both."""
        self.seats = (Seat(server.base, server.port, "plain"), Seat(proxy.host, proxy.port, "sealed"))

    def fill(self) -> None:
        for seat in self.seats:
            for text in (*(f"DELETE FROM {table}" for table in TABLES), *FIXTURE):
                answer = seat.run(text)
                if answer.state:
                    raise RuntimeError(f"{text}: {answer.text!r}")

    def experiment(self, statement: Statement, formats: int, keep: bool) -> None:
        changes = not statement.text.startswith(("SELECT", "WITH t"))
        if changes and not keep:
            for seat in self.seats:
                seat.run("BEGIN")
        expected, found = (seat.play(statement, formats) for seat in self.seats)
        self._compare(statement, expected, found)
        if changes and not found.state and not expected.state and expected.tag == found.tag:
            for text in (*STATE, "SELECT 1"):
                wanted, has = (seat.run(text) for seat in self.seats)
                if wanted.said() != has.said():
                    self._find("what is stored afterwards differs", statement, wanted, has)
        if changes and not keep:
            for seat in self.seats:
                seat.run("ROLLBACK")
        elif changes:
            self._at_rest(statement)
            self.fill()

    def _at_rest(self, statement: Statement) -> None:
        for table, columns in TABLES.items():
            bare = " OR ".join(f"{name} NOT LIKE 'pgveil:%'" for name, (_, mode) in columns.items() if mode)
            if self.server.psql(f"SELECT count(*) FROM {table} WHERE {bare}", database="sealed").strip() != "0":
                self.findings.append(f"plaintext in {table}\n    {statement.text} {statement.parameters}")

    def _compare(self, statement: Statement, expected: Answer, found: Answer) -> None:
        self.outcomes["statements"] += 1
        if found.envelope():
            self._find("an envelope", statement, expected, found)
        elif found.refused():
            if expected.state:
                self.outcomes["refused, and an error on the plain tables"] += 1
            else:
                self.outcomes["refused"] += 1
                self.refusals[reason(found.text)] += 1
                self.examples.setdefault(reason(found.text), []).append(f"{statement.text} {statement.parameters or ''}")
        elif expected.state in MISFITS and (not found.state or found.state[:2] in (b"22", b"23")):
            # To the server encrypted columns are text: it does not see that types do not fit where pgveil converts the values.
            self.outcomes["types do not fit, and an answer"] += 1
        elif not expected.state and (found.state or b"")[:2] == b"22" and CHOICE.search(statement.text):
            # The server does not look at what CASE does not choose; pgveil encrypts all values that are given.
            self.outcomes["a wrong value that is not chosen, and its error"] += 1
        elif expected.state and found.state and {expected.state[:2], found.state[:2]} == {b"22"}:
            self.outcomes["two wrong values, and the error of the other one"] += 1
        elif expected.said() != found.said() and expected.rows == found.rows and CHOSEN.search(statement.text) and [one[0] for one in expected.columns] == [one[0] for one in found.columns]:
            # Which type and length a choice among values has goes by their order, and by casts of constants.
            self.outcomes["the same rows, of a type with or without a length"] += 1
        elif expected.said() != found.said():
            self._find("the answers differ", statement, expected, found)
        else:
            self.outcomes["an error, the same" if found.state else "the same rows" if found.rows else "the same"] += 1

    def _find(self, what: str, statement: Statement, expected: Answer, found: Answer) -> None:
        self.outcomes["FOUND"] += 1
        lines = []
        for name, answer in (("plain ", expected), ("sealed", found)):
            lines.append(f"    {name} {answer.state} {answer.text[:200]!r} {answer.tag!r} {answer.columns} {answer.rows[:6]}")
        self.findings.append(f"{what}\n    {statement.text} {statement.parameters or ''}\n" + "\n".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path)
    parser.add_argument("--blind-index", action="store_true", help="columns are randomized, and found by a blind index")
    parser.add_argument("--tenant", action="store_true", help="values are bound to a tenant, by a setting")
    parser.add_argument("--examples", type=int, default=1, help="of each reason for a refusal, the shortest ones")
    wanted = parser.parse_args()
    started = time.monotonic()
    server = Postgres("chance").start()
    proxy = None
    try:
        server.psql("CREATE ROLE sam LOGIN; CREATE ROLE pgveil LOGIN")
        make(server, "plain", False, True)
        make(server, "sealed", True, not wanted.blind_index)
        with tempfile.TemporaryDirectory() as directory:
            written = Path(directory) / "policy.yaml"
            written.write_text(policy(wanted), encoding="utf-8")
            settings = {"keys": {"keyring": Path(directory) / "keyring.json", "kek_file": Path(directory) / "kek"}}
            proxy = Pgveil(server, written, settings, "sealed")
            for words in (["init"], ["create", "people"]):
                subprocess.run([binary(), "keys", *words, "--config", proxy.config], check=True, capture_output=True)
            if wanted.blind_index:
                index(server, proxy)
            proxy.start()
            campaign = Campaign(server, proxy)
            campaign.fill()
            stream = Statements(wanted.seed)
            for number in range(wanted.count):
                statement = stream.next()
                try:
                    campaign.experiment(statement, number % 2, number % 5 == 0)
                except OperationalError:
                    campaign.findings.append(f"the session has ended\n    {statement.text} {statement.parameters}\n    {proxy.log()[-600:]}")
                    campaign.sit(server, proxy)
                    campaign.fill()
    finally:
        if proxy:
            proxy.stop()
            proxy.remove()
        server.stop()
    for name, count in campaign.outcomes.most_common():
        print(f"{count:7}  {name}")
    print("refused, though the plain tables answer:")
    for name, count in campaign.refusals.most_common():
        print(f"{count:7}  {name}")
        for text in sorted(campaign.examples[name], key=len)[: wanted.examples]:
            print(f"           {text}")
    text = "\n\n".join(campaign.findings)
    if wanted.findings:
        wanted.findings.write_text(text + "\n", encoding="utf-8")
    print(f"{len(campaign.findings)} findings in {time.monotonic() - started:.0f} s, seed {wanted.seed}")
    print(text[:20000])
    return bool(campaign.findings)


if __name__ == "__main__":
    raise SystemExit(main())
