"""Every kind of statement that pgveil tells apart, as the masked owner of the tables: one that touches nothing tagged, whose
answer is that of a direct connection, byte for byte, and one that does.

`statement_kinds.tsv` has a row for each. `touches`: `no`, `yes`, or `-` where a masked caller may not run the command whatever it
names. `sql`: steps that end with a statement of that kind, or one that shows what it did; ` <<< ` comes before what prepares
for it. Each row runs in a transaction that is rolled back. Verdicts:

- `same`: the answer is that of a direct connection;
- `mask`: rows come that would have the value on a direct connection, and have not;
- `scrub`: the server's error, of the same code, without the value that it quotes on a direct connection;
- `refuse`: pgveil's error.
"""

import csv
import re
from pathlib import Path

import pytest

from harness.pgveil import ROOT
from harness.wire import Frame, Raw, bind, execute, parse, query, sync

HERE = Path(__file__).resolve().parent
VALUES = (b"jane", b"li@example.com")
ROWS = list(csv.DictReader((HERE / "statement_kinds.tsv").open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))


def kinds() -> list[str]:
    """The variants of `StatementKind`, as they are declared."""
    source = (ROOT / "src/sql/statement.rs").read_text(encoding="utf-8")
    declared = source[source.index("statement_kinds! {\n") :]
    return re.findall(r'^    (\w+) => "', declared[: declared.index("\n}\n")], re.MULTILINE)


def test_every_kind_has_a_statement_that_touches_nothing_and_one_that_does():
    assert len(kinds()) > 70
    rows = {}
    for row in ROWS:
        rows.setdefault(row["kind"], set()).add(row["touches"])
    assert set(rows) == set(kinds())
    lacking = {kind for kind, touches in rows.items() if touches not in ({"yes", "no"}, {"-"})}
    assert lacking == set()
    assert {row["verdict"] for row in ROWS if row["touches"] == "no"} == {"same"}
    assert {row["verdict"] for row in ROWS if row["touches"] == "-"} == {"refuse"}


@pytest.fixture(scope="module")
def clients(pg, front):
    """Directly, and through pgveil."""
    pg.psql("CREATE DATABASE kinds")
    pg.psql(file=HERE / "sql" / "kinds.sql", database="kinds")
    target = front("kinds.yaml", database="kinds")
    both = (Raw("127.0.0.1", pg.port), Raw(target.host, target.port))
    for client in both:
        client.login("olga", "kinds")
    yield both
    for client in both:
        client.close()


def asked(client: Raw, sql: str, protocol: str) -> list[Frame]:
    if protocol == "simple":
        return client.ask(query(sql))
    return client.ask(parse("", sql) + bind("", "") + execute() + sync())


def played(client: Raw, sql: str, protocol: str) -> list[Frame]:
    """The answers to the steps, without those that prepare."""
    steps, _, before = sql.partition(" <<< ")
    for one in ["ROLLBACK", "BEGIN", *(step for step in before.split(" ;;; ") if step)]:
        client.ask(query(one))
    try:
        return [frame for step in steps.split(" ;;; ") for frame in asked(client, step, protocol)]
    finally:
        client.ask(query("ROLLBACK"))


def without_oids(frames: list[Frame]) -> list:
    """What is made has another OID each time."""
    return [[(name, number, kind, form) for name, _, number, kind, form in one.columns()] if one.tag == "T" else one for one in frames]


def shown(frames: list[Frame]) -> bytes:
    return b"".join(one.body for one in frames if one.tag in "DdENA")


@pytest.mark.proxy
@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{row['kind']}-{number}" for number, row in enumerate(ROWS)])
def test_each_kind_is_judged_by_what_it_touches(clients, number, protocol):
    row = ROWS[number]
    direct, proxied = (client for client in clients)
    if protocol == "extended" and re.search(r";(?! *;)(?<!;;)", row["sql"].replace(";;;", "").split("$$")[0]):
        pytest.skip("several statements in one message")
    if row["verdict"] == "refuse":
        got = played(proxied, row["sql"], protocol)
        errors = [one.fields() for one in got if one.tag == "E"]
        assert errors and errors[0]["C"] in ("42501", "0A000") and errors[0]["M"].startswith("pgveil"), errors
    else:
        expected = played(direct, row["sql"], protocol)
        got = played(proxied, row["sql"], protocol)
    for value in VALUES:
        assert value not in shown(got) and value.hex().encode() not in shown(got)
    if row["verdict"] == "same":
        assert without_oids(got) == without_oids(expected)
    if row["verdict"] == "mask":
        assert [one.fields() for one in got if one.tag == "E"] == []
        assert b"jane" in shown(expected), "there is nothing to mask"
        assert len([one for one in got if one.tag in "Dd"]) == len([one for one in expected if one.tag in "Dd"]) > 0
    if row["verdict"] == "scrub":
        code = [one.fields()["C"] for one in got if one.tag == "E"]
        assert code == [one.fields()["C"] for one in expected if one.tag == "E"] and len(code) == 1
        assert b"jane" in shown(expected), "there is nothing to scrub"
