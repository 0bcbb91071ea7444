"""Inference budgets: how many filters on a masked column a caller may use, in every way to run a statement, over all its sessions."""

import concurrent.futures
import re
import time

import psycopg
import pytest

from harness.wire import Raw, bind, execute, parse, query, sync

pytestmark = pytest.mark.proxy

POLICY = """
version: 1
tags:
  name: { mask: full, filter: search, budget: 5/day }
  email: { mask: email, budget: 20/day }
  phone: { mask: full, filter: equality, budget: 4/s }
  notes: { mask: full, budget: unlimited }
columns:
  person: { full_name: name, email: email, phone: phone, notes: notes }
roles:
  billing: { member_of: billing, sees: { "*": clear } }
  analyst: { member_of: analyst, sees: { email: { budget: 3/day } } }
"""


@pytest.fixture
def budgeted(own_front, tmp_path):
    path = tmp_path / "budgets.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return own_front(path)


def client(target, user: str) -> Raw:
    raw = Raw(target.host, target.port)
    raw.login(user, "people")
    return raw


def permitted(frames) -> bool:
    """Whether a statement ran; that it was refused for its budget otherwise."""
    errors = [one.fields() for one in frames if one.tag == "E"]
    for error in errors:
        assert error["C"] == "42501" and "inference budget" in error["M"] and error["H"], error
    return not errors


def simple(raw: Raw, sql: str) -> bool:
    return permitted(raw.ask(query(sql)))


def test_the_budget_is_per_user_and_column_over_all_sessions(budgeted):
    first, second, other, clear = (client(budgeted, user) for user in ("sam", "sam", "ana", "bella"))
    one = "SELECT id FROM person WHERE email = 'x'"
    assert [simple(raw, one) for raw in (first, second) * 10] == [True] * 20
    assert not simple(first, one) and not simple(second, one) and not simple(client(budgeted, "sam"), one)
    # Others, other columns, tests for NULL and what filters by nothing protected go on.
    assert [simple(other, one) for _ in range(4)] == [True, True, True, False]
    assert all(simple(clear, one) for _ in range(30))
    assert simple(first, "SELECT id FROM person WHERE full_name LIKE 'J%'")
    assert simple(first, "SELECT id, email, count(email) OVER () FROM person WHERE email IS NOT NULL AND id = 1")
    assert all(simple(first, "SELECT id FROM person WHERE notes = 'x'") for _ in range(40))
    assert budgeted.metric("pgveil_filters_permitted_total", tag="email") == 23
    assert budgeted.metric("pgveil_refusals_total", reason="budget") == 4


@pytest.mark.parametrize(
    "statements",
    [
        ["SELECT id FROM person WHERE email IN (" + ", ".join(f"'{number}'" for number in range(20)) + ")"],
        ["SELECT id FROM person WHERE email = ANY(ARRAY['a', 'b', 'c', 'd'])"] * 5,
        ["SELECT id FROM person WHERE " + " OR ".join(f"email = '{number}'" for number in range(10))] * 2,
        ["SELECT a.id FROM person a JOIN person b ON a.email = b.email"] * 10,
        ["SELECT count(*) FROM person GROUP BY email"] * 20,
        ["BEGIN", *["DECLARE c CURSOR FOR SELECT id FROM person WHERE email = 'x'; FETCH ALL FROM c; FETCH ALL FROM c; CLOSE c"] * 20, "COMMIT"],
        ["PREPARE q(text) AS SELECT id FROM person WHERE email = $1", *["EXECUTE q('x')"] * 20],
        ["PREPARE q(text[]) AS SELECT id FROM person WHERE email = ANY($1)", *["EXECUTE q('{a,b,c,d}')"] * 5],
        ["COPY (SELECT id FROM person WHERE email = 'x') TO STDOUT"] * 20,
        ["UPDATE person SET city = city WHERE email = 'x'", "DELETE FROM person WHERE email = 'x'"] * 10,
        ["SELECT 1; SELECT id FROM person WHERE email = 'x'; SELECT id FROM person WHERE lower(email) = 'x'"] * 10,
        ["SELECT id FROM person WHERE email ILIKE 'x'"] * 20,
    ],
)
def test_each_execution_and_each_constant_counts(budgeted, statements):
    raw = client(budgeted, "sam")
    for sql in statements:
        assert simple(raw, sql), sql
    assert not simple(raw, "SELECT id FROM person WHERE email = 'one too many'")


def test_prepared_statements_of_the_protocol_count_at_each_bind(budgeted):
    raw = client(budgeted, "sam")
    raw.ask(parse("s", "SELECT id FROM person WHERE email = $1") + parse("a", "SELECT id FROM person WHERE email = ANY($1)") + sync())
    assert all(permitted(raw.ask(bind("", "s", [b"x"]) + execute() + sync())) for _ in range(10))
    assert permitted(raw.ask(bind("", "a", [b'{a,"b c",d}']) + execute() + sync()))
    # the same array in binary format: one dimension, three texts from 1
    cells = b"".join(len(cell).to_bytes(4, "big") + cell for cell in (b"a", b"b c", b"d"))
    binary = b"".join(number.to_bytes(4, "big") for number in (1, 0, 25, 3, 1)) + cells
    assert permitted(raw.ask(bind("", "a", [binary], [1]) + execute() + sync()))
    assert permitted(raw.ask(b"".join(bind("", "s", [b"x"]) + execute() for _ in range(4)) + sync()))
    refused = raw.ask(bind("", "s", [b"x"]) + execute() + bind("", "s", [b"y"]) + execute() + sync())
    assert not permitted(refused) and [one.tag for one in refused].count("E") == 1
    assert not permitted(raw.ask(query("EXECUTE s('x')")))


def test_a_list_over_the_cap_is_no_equality_however_it_comes(budgeted):
    raw = client(budgeted, "sam")
    array = b"{" + b",".join(b"%d" % number for number in range(101)) + b"}"
    raw.ask(query("PREPARE q(text[]) AS SELECT id FROM person WHERE notes = ANY($1)"))
    for frames in (
        raw.ask(parse("", "SELECT id FROM person WHERE notes = ANY($1)") + bind("", "", [array]) + execute() + sync()),
        raw.ask(query(f"EXECUTE q('{array.decode()}')")),
        raw.ask(query("EXECUTE q((SELECT array_agg(g::text) FROM generate_series(1, 9) g))")),
        raw.ask(query("SELECT id FROM person WHERE notes = ANY(string_to_array('a,b', ','))")),
    ):
        errors = [one.fields() for one in frames if one.tag == "E"]
        assert errors and errors[0]["C"] in ("42501", "0A000") and "pgveil" in errors[0]["M"], errors


def test_the_pattern_in_a_parameter_decides(budgeted):
    with psycopg.connect(host=budgeted.host, port=budgeted.port, user="ana", dbname="people", autocommit=True) as connection:
        for sql in ("SELECT id FROM person WHERE notes LIKE %s", "SELECT id FROM person WHERE lower(notes) LIKE lower(%s::text)"):
            assert connection.execute(sql, ["calls in the evening"]).fetchall() == [(1,)]
            for pattern in ("calls%", "%evening", "calls_in the evening", "calls\\ in the evening"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql, [pattern])
        assert connection.execute("SELECT id FROM person WHERE full_name LIKE %s", ["Jane%"]).fetchall()


def test_a_budget_comes_back_by_itself_and_says_when(budgeted):
    raw = client(budgeted, "sam")
    sql = "SELECT id FROM person WHERE phone IN ('a', 'b', 'c', 'd')"
    assert simple(raw, sql)
    error = next(one.fields() for one in raw.ask(query(sql)) if one.tag == "E")
    assert re.search(r'of 4 per second for column public.person.phone is used up; it covers this statement in 1 s \(tag "phone", rule .*:6\)', error["M"])
    time.sleep(1.1)
    assert simple(raw, sql)


def test_a_reload_forgets_nothing_and_workers_share_one_account(budgeted):
    def some(_):
        raw = client(budgeted, "sam")
        return sum(simple(raw, "SELECT id FROM person WHERE email = 'x'") for _ in range(4))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(some, range(8))) == 20
    budgeted.policy.write_text(POLICY.replace("20/day", "21/day"), encoding="utf-8")
    budgeted.reload()
    time.sleep(1.5)
    assert some(0) <= 1
