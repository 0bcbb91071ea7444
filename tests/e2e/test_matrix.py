"""The golden matrix: role x tagged column x statement shape, and what must hold of every cell whatever the golden says."""

import os
import re
from pathlib import Path

import pytest

from harness import matrix
from harness.wire import Raw

GOLDEN = Path(__file__).parent / "golden" / "matrix.txt"
POLICY = Path(__file__).parent / "policies" / "people.yaml"

# Which columns policies/people.yaml shows in clear to whom.
CLEAR = {"support": {"full_name", "phone"}, "billing": set(matrix.COLUMNS), "analyst": set()}


@pytest.fixture(scope="module")
def runs(front):
    target = front("people.yaml")
    made = {}
    for role, user in matrix.ROLES.items():
        client = Raw(target.host, target.port)
        client.login(user, "people")
        tail = target.tail() if target.proxied else None
        for column in matrix.COLUMNS:
            for shape in matrix.SHAPES:
                made[role, column, shape] = matrix.run(client, tail, shape, column)
        client.close()
    return made


def test_postgresql_accepts_every_shape(pg):
    client = Raw(pg.host, pg.port)
    client.login("postgres", "people")
    faults = {}
    for column in matrix.COLUMNS:
        for shape in matrix.SHAPES:
            errors = matrix.run(client, None, shape, column).errors()
            if errors:
                faults[shape, column] = errors[0]["M"]
    client.close()
    assert not faults


def test_every_tagged_column_of_the_policy_is_in_the_matrix():
    section = re.search(r"public\.person:\n((?:    .*\n)+)", POLICY.read_text(encoding="utf-8"))[1]
    assert [line.split(":")[0].strip() for line in section.splitlines()] == list(matrix.COLUMNS)


@pytest.mark.proxy
def test_the_matrix_is_as_agreed(runs):
    text = matrix.render(runs)
    if os.environ.get("BLESS"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert GOLDEN.exists(), "no golden matrix yet: tests/run --bless writes it"
    assert text.splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines(), "look at the difference, then tests/run --bless"


@pytest.mark.proxy
def test_the_golden_covers_every_role_column_and_shape(runs):
    wanted = {(role, column, shape) for role in matrix.ROLES for column in matrix.COLUMNS for shape in matrix.SHAPES}
    assert set(runs) == wanted
    assert matrix.covered(GOLDEN.read_text(encoding="utf-8")) == wanted


@pytest.mark.proxy
def test_a_value_is_shown_exactly_where_it_is_clear_and_logged(runs):
    faults = []
    for (role, column, shape), run in runs.items():
        value = matrix.COLUMNS[column][1].encode().lower()
        sent = b"".join(one.body for one in run.frames if one.tag in "DdENS").lower()
        logged = [event["column"] for event in run.events].count(column)
        where = f"{role}, {column}, {shape}: {run.shown()}"
        if column in CLEAR[role]:
            if value in sent and shape != "EXPLAIN" and logged < 1:
                faults.append(f"shown and not logged: {where}")
        else:
            # A statement's own text may come back in the position of an error; EXPLAIN prints the client's own literal.
            if value in sent and shape not in ("EXPLAIN",):
                faults.append(f"leaked: {where}")
            if logged:
                faults.append(f"logged and not shown: {where}")
        if len({(event["table"], event["column"]) for event in run.events}) != len(run.events):
            faults.append(f"a column logged twice: {where}")
    assert not faults, "\n".join(faults)


@pytest.mark.proxy
def test_a_refusal_has_a_hint_and_names_pgveil(runs):
    for key, run in runs.items():
        for error in run.errors():
            if error["C"] == "42501":
                assert "pgveil" in error["M"], (key, error)
                assert error.get("H"), (key, error)
