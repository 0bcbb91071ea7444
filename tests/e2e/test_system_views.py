"""Statistics, activity views and the functions of the server: what can quote values is refused or redacted, the rest works."""

import re

import psycopg
import pytest

from harness.pgveil import ROOT
from harness.wire import Raw, query

REVIEWED = ROOT / "src" / "sql" / "lineage" / "reviewed_functions.txt"

# Statement, and what becomes of it for somebody who sees masks and may see other sessions (`mona`), and for one who may not.
VIEWS = {
    "SELECT most_common_vals FROM pg_stats": ("refused", "refused"),
    "SELECT histogram_bounds::text FROM pg_stats WHERE tablename = 'person'": ("refused", "refused"),
    "SELECT n_distinct, correlation FROM pg_stats": ("refused", "refused"),
    "SELECT * FROM pg_stats": ("refused", "refused"),
    "SELECT s FROM pg_stats s": ("refused", "refused"),
    "SELECT row_to_json(s) FROM pg_stats s": ("refused", "refused"),
    "SELECT max(x) FROM (SELECT most_common_vals::text AS x FROM pg_stats) y": ("refused", "refused"),
    "SELECT most_common_vals FROM pg_stats_ext": ("refused", "refused"),
    "SELECT count(most_common_vals) FROM pg_stats": ("runs", "runs"),
    "SELECT schemaname, tablename, attname, null_frac FROM pg_stats": ("runs", "runs"),
    "SELECT query FROM pg_stat_activity": ("refused", "runs"),
    "SELECT * FROM pg_stat_activity": ("refused", "runs"),
    "SELECT pid, usename, state FROM pg_stat_activity": ("runs", "runs"),
    "SELECT statement FROM pg_prepared_statements": ("runs", "runs"),
    "SELECT * FROM pg_cursors": ("runs", "runs"),
    "SELECT * FROM pg_stat_get_activity(NULL)": ("refused", "refused"),
    "SELECT pg_stat_get_backend_activity(1)": ("refused", "refused"),
    "SELECT * FROM pg_locks": ("runs", "runs"),
    "SELECT * FROM pg_settings": ("runs", "runs"),
    "SELECT * FROM pg_stat_user_tables": ("runs", "runs"),
    "SELECT * FROM pg_stat_progress_vacuum": ("runs", "runs"),
    "SELECT * FROM information_schema.columns": ("runs", "runs"),
    "SELECT pg_get_expr(adbin, adrelid), obj_description(adrelid) FROM pg_attrdef": ("runs", "runs"),
    "SELECT pg_get_constraintdef(oid), pg_get_viewdef('person_view'::regclass) FROM pg_constraint": ("runs", "runs"),
}

# Functions with arguments or results that could hold values, and that their author does not call immutable.
FUNCTIONS = """
SELECT DISTINCT p.proname, array_to_string(ARRAY(SELECT 'NULL::' || format_type(t, NULL) FROM unnest(p.proargtypes) t), ', ')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.provolatile <> 'i' AND p.prokind = 'f' AND n.nspname = 'pg_catalog' AND l.lanname IN ('internal', 'c')
AND NOT EXISTS (SELECT FROM unnest(p.proargtypes || p.prorettype) t JOIN pg_type y ON y.oid = t WHERE y.typname = 'internal')
AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype) AND p.provariadic = 0
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 1
"""


def outcome(client: Raw, sql: str) -> str:
    errors = [one.fields() for one in client.ask(query(sql)) if one.tag == "E"]
    if errors:
        assert errors[0]["C"] == "42501" and errors[0]["M"].startswith("pgveil: "), (sql, errors)
        return "refused"
    return "runs"


@pytest.mark.proxy
@pytest.mark.parametrize("sql", sorted(VIEWS))
def test_what_can_quote_values_is_refused_or_redacted(front, sql):
    target = front("people.yaml")
    for user, expected in zip(("mona", "sam"), VIEWS[sql], strict=True):
        client = Raw(target.host, target.port)
        client.login(user, "people")
        assert outcome(client, sql) == expected, user
        client.close()


@pytest.mark.proxy
def test_who_sees_everything_reads_them(front):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("bella", "people")
    for sql in VIEWS:
        if "pg_stat_get" not in sql:
            assert outcome(client, sql) == "runs", sql
    client.close()


@pytest.mark.proxy
def test_a_function_of_the_server_runs_only_if_somebody_has_reviewed_it(front, pg):
    """On whatever version the tests run against: what a new version brings is refused until it is reviewed."""
    reviewed = set(re.sub(r"(?m)^#.*", "", REVIEWED.read_text(encoding="utf-8")).split())
    target = front("people.yaml")
    with psycopg.connect(host=pg.host, port=pg.port, user="postgres", dbname="people") as direct:
        functions = direct.execute(FUNCTIONS).fetchall()
    assert len(functions) > 300
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    client.ask(query("BEGIN"))
    for name, arguments in functions:
        if re.match(r"pg_(sleep|terminate|cancel)|binary_upgrade|set_config", name):
            continue
        client.ask(query("SAVEPOINT before"))
        # EXPLAIN does not run it.
        errors = [one.fields() for one in client.ask(query(f'EXPLAIN SELECT pg_catalog."{name}"({arguments})')) if one.tag == "E"]
        client.ask(query("ROLLBACK TO before"))
        closed = any(one["M"].startswith("pgveil: function") for one in errors)
        assert closed == (name not in reviewed), (name, errors)
    client.close()
