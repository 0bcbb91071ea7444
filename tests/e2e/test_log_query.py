"""What the access log answers: who saw whose values, how often, and which rights nobody uses."""

import csv
import io
import json
import subprocess

import psycopg
import pytest

from harness.pgveil import binary

from test_reveal import ASKED, asking

pytestmark = pytest.mark.proxy


def connect(target, user: str) -> psycopg.Connection:
    return psycopg.connect(host=target.host, port=target.port, user=user, dbname="people", autocommit=True, sslmode="disable")


def ask(target, *words: str) -> str:
    done = subprocess.run([binary(), "log", *words, "--config", target.config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers(target, *words: str) -> list[dict]:
    return [json.loads(line) for line in ask(target, *words, "--format", "json").splitlines()]


@pytest.fixture
def seen(own_front):
    target = own_front("people.yaml")
    target.policy.write_text(target.policy.read_text() + "\nsubjects:\n  customer: person.id\n")
    target.stop()
    target.start()
    with connect(target, "bella") as client:
        client.execute("SELECT id, email FROM person WHERE id = 1").fetchall()
        client.execute("SELECT id, phone FROM person WHERE id IN (1, 2)").fetchall()
        client.execute("SELECT email FROM person WHERE id = 2").fetchall()
        client.execute("SELECT p.id, p.email, repeat('x', 500) FROM person p, generate_series(1, 2000) WHERE p.id = 2").fetchall()
    with connect(target, "sam") as client:
        client.execute("SELECT id, phone FROM person WHERE id = 2").fetchall()
        client.execute("SELECT id FROM person WHERE email = 'jane@example.com'").fetchall()
    target.stop()
    yield target


QUERIES = [
    (["--subject", "customer:1"], [("bella", "email", "seen"), ("bella", "phone", "seen"), ("bella", "email", "possible")]),
    (["--subject", "customer:1", "--certain"], [("bella", "email", "seen"), ("bella", "phone", "seen")]),
    (["--subject", "person:2", "--column", "email"], [("bella", "email", "possible"), ("bella", "email", "seen")]),
    (["--subject", "public.person:2", "--user", "sam"], [("sam", "phone", "seen")]),
    (["--subject", "customer:3", "--certain"], []),
    (["--subject", "order:1"], []),
    (["--column", "person.phone"], [("bella", "phone", None), ("sam", "phone", None)]),
    (["--user", "sam"], [("sam", "phone", None), ("sam", "email", None)]),
    (["--until", "2020-01-01"], []),
    (["--since", "2020-01-01T00:00:00Z", "--user", "nobody"], []),
]


def test_what_was_seen_of_whom_is_found(seen):
    for words, expected in QUERIES:
        found = [(one["user"], one["column"].rsplit(".")[-1], one["match"]) for one in answers(seen, "query", *words)]
        assert found == expected, words
    by_action = {one["action"]: one for one in answers(seen, "query")}
    assert by_action["export"]["rows"] == 2000
    assert by_action["filter"]["user"] == "sam"


def test_why_and_where_from_it_was_asked_for_is_answered(asking):
    with connect(asking, "bella") as client:
        client.execute("SET pgveil.reveal = 'INC-7 a letter came back'")
        client.execute(f"{ASKED} /*controller='orders',action='show'*/").fetchall()
        client.execute(f"{ASKED} /*route='%2Forders%2F%3Aid'*/").fetchall()
    found = answers(asking, "query", "--user", "bella")
    assert [(one["reason"], one["endpoint"]) for one in found] == [
        ("INC-7 a letter came back", "orders#show"), ("INC-7 a letter came back", "/orders/:id"),
    ]
    assert found[0]["grant"] == found[1]["grant"] and found[0]["grant"]


def test_answers_come_as_a_table_and_as_csv(seen):
    table = ask(seen, "query", "--subject", "customer:1").splitlines()
    assert len(table) == 4 and table[0].split()[:4] == ["time", "user", "actor", "role"]
    rows = list(csv.DictReader(io.StringIO(ask(seen, "query", "--format", "csv", "--user", "sam"))))
    assert [row["column"] for row in rows] == ["public.person.phone", "public.person.email"]


def test_reports_say_who_how_often_and_of_whom(seen):
    access = {(one["user"], one["column"]): one for one in answers(seen, "report", "access")}
    email = access["bella", "public.person.email"]
    assert (email["times"], email["exports"], email["role"], email["tag"]) == (3, 1, "billing", "email")
    assert ("sam", "public.person.email") not in access, "a filter shows nothing"
    exposure = [
        (one["subject"], one["key"], one["column"].rsplit(".")[-1], one["match"], one["times"], one["people"])
        for one in answers(seen, "report", "exposure")
    ]
    assert sorted(exposure, key=str) == sorted([
        ("customer", "1", "email", "seen", 1, "bella"), ("customer", "2", "email", "seen", 1, "bella"),
        ("customer", "1", "phone", "seen", 1, "bella"), ("customer", "2", "phone", "seen", 2, "bella sam"),
        ("", None, "email", "possible", 1, "bella"),
    ], key=str)
    one = answers(seen, "report", "exposure", "--subject", "customer:2", "--column", "phone")
    assert [(row["key"], row["times"]) for row in one] == [("2", 2)]


def test_rights_that_nobody_used_are_named(seen):
    unused = {(one["role"], one["who"], one["column"].rsplit(".", 1)[0], one["column"].rsplit(".")[-1])
              for one in answers(seen, "report", "unused", "--policy", str(seen.policy))}
    assert ("billing", "all", "public.person", "salary") in unused
    assert ("support", "all", "public.person", "full_name") in unused
    assert not {one for one in unused if one[0] == "billing" and one[2:] in [("public.person", "email"), ("public.person", "phone")]}
    assert not {one for one in unused if one[0] == "analyst"}
    wrong = subprocess.run([binary(), "log", "query", "--subject", "42", "--config", seen.config], capture_output=True, text=True)
    assert wrong.returncode == 2 and "customer:42" in wrong.stderr
