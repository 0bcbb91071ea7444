"""What filters may do by filter mode, and what the order of rows, an error or their number would tell."""

import pytest

from harness.wire import Raw, bind, describe, execute, parse, query, sync

pytestmark = pytest.mark.proxy

MODES = ("refuse", "equality", "search", "allow")
POLICY = """
version: 1
tags:
  name: {{ mask: {{ replace: "[name]" }}, filter: {mode} }}
  email: {{ mask: {{ replace: "[email]" }}, filter: {mode} }}
  phone: {{ mask: {{ replace: "[phone]" }}, filter: {mode} }}
columns:
  person: {{ full_name: name, email: email, phone: phone }}
"""

# Each shape with the modes in which it runs: r(efuse), e(quality), s(earch), a(llow).
SHAPES = {
    "SELECT id, email FROM person": "resa",
    "SELECT id FROM person WHERE email IS NULL": "resa",
    "SELECT count(email), count(*) FROM person": "resa",
    "SELECT id, upper(email), email::text, coalesce(email, ''), email || '!' FROM person ORDER BY id": "resa",
    "SELECT id, CASE WHEN email LIKE 'a%' THEN 'x' ELSE 'y' END FROM person": "resa",
    "SELECT id, length(email)::int8, left(email, 2) FROM person": "resa",
    "SELECT id FROM person WHERE email = 'x'": "esa",
    "SELECT id FROM person WHERE email <> 'x'": "esa",
    "SELECT id FROM person WHERE email IN ('x', 'y')": "esa",
    "SELECT id FROM person WHERE lower(email) = 'x'": "esa",
    "SELECT id FROM person WHERE email LIKE 'x@y.z'": "esa",
    "SELECT id FROM person WHERE email LIKE 'x%'": "sa",
    "SELECT id FROM person WHERE email ILIKE '%x%'": "sa",
    "SELECT id FROM person WHERE email ~ 'x'": "sa",
    "SELECT id FROM person WHERE email > 'x'": "sa",
    "SELECT id FROM person WHERE email BETWEEN 'x' AND 'y'": "sa",
    "SELECT id FROM person WHERE substr(email, 1, 1) = 'x'": "a",
    "SELECT id FROM person ORDER BY email": "sa",
    "SELECT id FROM person ORDER BY lower(email)": "sa",
    "SELECT id, rank() OVER (ORDER BY email) FROM person": "sa",
    "SELECT email, count(*) FROM person GROUP BY email": "esa",
    "SELECT email, count(*) FROM person GROUP BY email ORDER BY email": "esa",
    "SELECT DISTINCT email FROM person": "esa",
    "SELECT DISTINCT email FROM person ORDER BY email": "esa",
    "SELECT DISTINCT id, email FROM person ORDER BY id": "esa",
    "SELECT DISTINCT id, email FROM person ORDER BY email": "sa",
    "SELECT id, email, full_name FROM person GROUP BY id, email, full_name": "esa",
    "SELECT id, email FROM person GROUP BY id, email ORDER BY email": "sa",
    "SELECT id, email FROM person UNION SELECT id, email FROM person ORDER BY 2": "sa",
    "SELECT email FROM person UNION SELECT 'All'": "esa",
    "SELECT email FROM person UNION SELECT 'All' ORDER BY 1": "esa",
    "SELECT email, 0 FROM person UNION SELECT 'm', 1 ORDER BY 1": "sa",
    "SELECT 'All' UNION ALL SELECT email FROM person": "resa",
    "SELECT max(id) FROM person GROUP BY email": "esa",
    "SELECT max(id), email FROM person GROUP BY ROLLUP (email)": "sa",
    "SELECT DISTINCT ON (email) id, email FROM person": "sa",
    "SELECT id, count(*) OVER (PARTITION BY email) FROM person": "sa",
    "SELECT id, count(*) OVER (PARTITION BY email) FROM person ORDER BY id": "esa",
    "SELECT id, count(*) OVER (PARTITION BY email), row_number() OVER () FROM person ORDER BY id": "sa",
    "SELECT email, row_number() OVER (PARTITION BY email) FROM person": "esa",
    "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY email ORDER BY id) AS rn FROM person) t WHERE rn = 1": "sa",
    "SELECT id, email FROM (SELECT *, row_number() OVER (PARTITION BY email ORDER BY id) AS rn FROM person) t WHERE rn = 1 ORDER BY id": "esa",
    "SELECT id FROM (SELECT id, count(*) OVER (PARTITION BY email) FROM person LIMIT 2) t ORDER BY id": "sa",
    "SELECT array_agg(id) FROM (SELECT id, count(*) OVER (PARTITION BY email) FROM person) t": "sa",
    "SELECT a.id FROM person a JOIN person b ON a.email = b.email": "esa",
    "SELECT a.id FROM person a JOIN person b ON a.email = b.phone": "a",
    "SELECT email FROM person GROUP BY email HAVING count(*) > 1": "esa",
    "SELECT email FROM person GROUP BY email HAVING max(email) > 'x'": "a",
    "SELECT email::int FROM person WHERE false": "esa",
    "SELECT substr(email, 1, 1)::int FROM person WHERE false": "a",
    "SELECT email LIKE 'a\\' FROM person WHERE false": "sa",
    "SELECT CASE WHEN email = 'x' THEN 1 / id END FROM person": "esa",
    "SELECT CASE WHEN email LIKE 'x%' THEN 1 / id END FROM person": "sa",
    "SELECT 1 / (ascii(email) - 300) FROM person": "a",
    "SELECT repeat('x', ascii(email) * 100000) FROM person WHERE false": "a",
    "SELECT regexp_split_to_table(email, '') FROM person": "a",
    "SELECT generate_series(1, length(email)) FROM person": "a",
    "SELECT email FROM person EXCEPT SELECT 'x'": "esa",
    "EXPLAIN SELECT id FROM person": "resa",
    "EXPLAIN SELECT id FROM person WHERE email > 'x'": "sa",
}
PARAMETERS = {
    "SELECT id FROM person WHERE email = $1": ("x", "esa"),
    "SELECT id FROM person WHERE email = ANY($1::text[])": ("{x,y}", "esa"),
    "SELECT id FROM person WHERE email LIKE $1": ("x", "esa"),
    "SELECT id FROM person WHERE email LIKE $1 ": ("x%", "sa"),
    "SELECT id FROM person WHERE email > $1": ("x", "sa"),
    "SELECT id + $1::int FROM person": ("1", "resa"),
}


def client(target) -> Raw:
    raw = Raw(target.host, target.port)
    raw.login("sam", "people")
    return raw


def ran(frames) -> bool:
    """Whether a statement ran; where not, that pgveil refused it."""
    errors = [one.fields() for one in frames if one.tag == "E"]
    for error in errors:
        assert error["C"] == "42501" and error["M"].startswith("pgveil: ") and error["H"], error
    return not errors


@pytest.mark.parametrize("mode", MODES)
def test_each_shape_of_filter_runs_in_the_modes_that_permit_it(own_front, tmp_path, mode):
    path = tmp_path / "filters.yaml"
    path.write_text(POLICY.format(mode=mode), encoding="utf-8")
    raw = client(own_front(path))
    wrong = []
    for sql, modes in SHAPES.items():
        expected = mode[0] in modes
        for way, message in (("simple", query(sql)), ("extended", parse("", sql) + bind("", "") + describe("P", "") + execute() + sync())):
            if ran(raw.ask(message)) != expected:
                wrong.append(f"{way}: {sql}: expected {'to run' if expected else 'a refusal'}")
    for sql, (value, modes) in PARAMETERS.items():
        if ran(raw.ask(parse("", sql) + bind("", "", [value]) + describe("P", "") + execute() + sync())) != (mode[0] in modes):
            wrong.append(f"with {value}: {sql}")
    assert not wrong, "\n".join(wrong)


# Masks, and whether values that come out in order may be seen under them.
ORDERED = {
    "{ replace: '[email]' }": True, "nullify": True, "full": False, "email": False, "{ show_first: 1 }": False, "{ show_last: 4 }": False,
    "{ partial: { prefix: 1, suffix: 1, pad: '*' } }": False, "card": False,
}


@pytest.mark.parametrize("mask", ORDERED)
def test_values_come_out_in_order_where_their_masks_do_not_tell_them_apart(own_front, tmp_path, mask):
    path = tmp_path / "masks.yaml"
    path.write_text(f"version: 1\ntags:\n  email: {{ mask: {mask}, filter: equality }}\ncolumns:\n  person: {{ email: email }}\n", encoding="utf-8")
    raw = client(own_front(path))
    assert ran(raw.ask(query("SELECT DISTINCT email FROM person ORDER BY email"))) == ORDERED[mask]
    assert ran(raw.ask(query("SELECT DISTINCT email FROM person")))


STEERING = (
    "SET enable_hashagg = off",
    "SET LOCAL enable_sort = on",
    "SET work_mem = '64kB'",
    "SELECT set_config('enable_hashagg', 'off', false)",
    "DO $$ BEGIN SET enable_hashagg = off; END $$",
)


@pytest.mark.parametrize("steering", STEERING)
def test_a_session_that_told_the_planner_how_to_work_may_not_have_rows_sorted_by_it(own_front, tmp_path, steering):
    path = tmp_path / "filters.yaml"
    path.write_text(POLICY.format(mode="equality"), encoding="utf-8")
    raw = client(own_front(path))
    grouped = "SELECT id, email FROM person GROUP BY id, email"
    assert ran(raw.ask(query(grouped)))
    raw.ask(query(steering))
    for sql, expected in ((grouped, False), (grouped + " ORDER BY id", True), ("SELECT email, count(*) FROM person GROUP BY email", True),
                          ("SELECT DISTINCT id, email FROM person", False), ("SELECT max(id) FROM person GROUP BY email", False),
                          # what an index or a merge join would find in order
                          ("SELECT id FROM person WHERE email IS NOT NULL", False), ("SELECT count(*) FROM person WHERE email IS NULL", True),
                          ("SELECT p.id FROM person p JOIN person q USING (email)", False), ("SELECT id, email FROM person", True),
                          ("SELECT id FROM person WHERE email = 'a@b.c'", True)):
        assert ran(raw.ask(query(sql))) == expected, sql


READING = ("SET enable_seqscan = off", "SET LOCAL random_page_cost = 0.01", "SET SESSION cpu_tuple_cost = 9", "SELECT set_config('enable_seqscan', 'off', false)", "DO $$ BEGIN SET enable_seqscan = off; END $$")


@pytest.mark.parametrize("reading", READING)
def test_a_session_that_told_the_planner_how_to_read_may_not_have_rows_as_an_index_has_them(own_front, tmp_path, reading):
    path = tmp_path / "filters.yaml"
    path.write_text(POLICY.format(mode="equality"), encoding="utf-8")
    raw = client(own_front(path))
    shows = "SELECT id FROM person"
    assert ran(raw.ask(query(shows)))
    raw.ask(query(reading))
    for sql, expected in ((shows, False), ("SELECT p.id FROM person p, visit", False), ("CREATE TEMP TABLE t AS SELECT id FROM person", False),
                          ("SELECT count(*) FROM person", True), ("SELECT array_agg(id) FROM person", False), ("SELECT body FROM note", True)):
        assert ran(raw.ask(query(sql))) == expected, sql
    with_settings = Raw(raw.host, raw.port)
    with_settings.login("sam", "people", options="-c enable_seqscan=off")
    assert not ran(with_settings.ask(query(shows)))
    with_settings.close()


def test_settings_at_the_start_count_too(own_front, tmp_path):
    path = tmp_path / "filters.yaml"
    path.write_text(POLICY.format(mode="equality"), encoding="utf-8")
    target = own_front(path)
    for settings in ({"options": "-c enable_hashagg=off"}, {"options": "--enable-hashagg=off"}, {"enable_hashagg": "off"}):
        raw = Raw(target.host, target.port)
        raw.login("sam", "people", **settings)
        assert not ran(raw.ask(query("SELECT id, email FROM person GROUP BY id, email"))), settings
