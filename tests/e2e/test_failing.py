"""Whether a call fails says something of its arguments: where a masked value decides it, the call is refused.

`golden/failing.tsv` holds, for each built-in function, operator, cast and form that fails for some values of an argument and runs for
others, one such pair of values: found by PostgreSQL itself (`tests/failing/run`).
"""

from pathlib import Path

import pytest

from harness.wire import Raw, query

pytestmark = pytest.mark.proxy

GOLDEN = Path(__file__).resolve().parent / "golden" / "failing.tsv"
EXTENSIONS = ("hstore", "citext", "ltree", "fuzzystrmatch", "pg_trgm", "unaccent", "pgcrypto", "intarray")
POLICY = """
version: 1
tags:
  email: { mask: { replace: "[email]" }, filter: equality }
columns:
  person: { email: email }
"""


def calls():
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        name, types, place, state, before, after, bad, good = line.split("\t")
        yield f"{name}({types}) by argument {place} [{state}]", before, after, bad, good


def ways(bad: str, good: str):
    """Ways to have a bad value for some e-mail addresses and a good one for others."""
    yield "CASE", f"(CASE WHEN left(email, 1) = 'a' THEN {bad} ELSE {good} END)"


def test_what_fails_by_a_value_computed_of_a_masked_one_is_refused(pg, own_front, tmp_path):
    pg.psql("CREATE DATABASE failing TEMPLATE people_template")
    pg.psql("".join(f"CREATE EXTENSION {extension};" for extension in EXTENSIONS), database="failing")
    path = tmp_path / "failing.yaml"
    path.write_text(POLICY, encoding="utf-8")
    target = own_front(path, database="failing")
    raw = Raw(target.host, target.port)
    raw.login("sam", "failing")
    through = []
    for what, before, after, bad, good in calls():
        for way, value in ways(bad, good):
            sql = f"SELECT {before}{value}{after} FROM person"
            errors = [one.fields() for one in raw.ask(query(sql)) if one.tag == "E"]
            if not errors or not errors[0]["M"].startswith("pgveil: "):
                through.append(f"{what}, {way}: {sql}: {errors and errors[0]['C']}")
    assert not through, f"{len(through)}\n" + "\n".join(through)
