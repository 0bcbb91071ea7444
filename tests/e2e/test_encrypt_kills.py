"""`pgveil encrypt run` and `decrypt run` killed at random moments while others write: nothing is lost, doubled or damaged.

The long campaign is `tests/encrypt/kills`.
"""

import random
import time

import pytest

from harness.encryption import Encryption
from harness.killing import campaign

pytestmark = pytest.mark.proxy


def test_runs_that_are_killed_lose_nothing(pg):
    outcome = campaign(pg, "killed", kills=8, rows=600, seed=5)
    assert outcome.kills["encrypt"] == 8
    assert outcome.written > 0


def test_a_conversion_in_one_transaction_that_is_killed_has_changed_nothing_or_all(pg):
    pg.psql("CREATE DATABASE killed_group")
    pg.psql("CREATE TABLE person (email varchar(60) PRIMARY KEY); CREATE TABLE entry (id int PRIMARY KEY, person varchar(60) REFERENCES person);"
            "INSERT INTO person SELECT 'u' || i FROM generate_series(1, 2000) i;"
            "INSERT INTO entry SELECT i, 'u' || 1 + i % 2000 FROM generate_series(1, 9000) i", database="killed_group")
    encryption = Encryption(pg, "killed_group", {
        "person": {"email": "type: varchar(60), mode: deterministic, domain: email"},
        "entry": {"person": "type: varchar(60), mode: deterministic, domain: email"}})
    chance = random.Random(7)

    def prefixes() -> set[str]:
        query = "SELECT DISTINCT left(email, 23) FROM person UNION SELECT DISTINCT left(person, 23) FROM entry"
        return {line[:7] if not line.startswith("pgveil:") else line for line in pg.psql(query, database="killed_group").split()}

    def killed(*arguments: str) -> int:
        """Kill it five times, and look at what there is each time; then let it come to its end."""
        kills = 0
        for _ in range(5):
            process = encryption.start(*arguments)
            time.sleep(chance.uniform(0.05, 0.5))
            if process.poll() is None:
                process.kill()
                kills += 1
            process.communicate()
            deadline = time.monotonic() + 10
            while pg.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgveil encrypt'") != "0\n":
                assert time.monotonic() < deadline
                time.sleep(0.05)
            found = prefixes()
            assert len(found) == 1 or all(not one.startswith("pgveil:") for one in found), found
            pairs = pg.psql("SELECT count(*) FROM entry JOIN person ON person = email", database="killed_group")
            assert pairs == "9000\n"
        encryption.run(*arguments)
        encryption.run("encrypt", "verify")
        return kills

    try:
        assert killed("encrypt", "run") > 0
        encryption.write_policy(stored="encrypted")
        encryption.run("keys", "rotate", "customer")
        assert killed("encrypt", "run", "--move-keys", "--settle-seconds", "0") > 0
        assert "customer v2" in encryption.run("encrypt", "verify")
        encryption.write_policy()
        encryption.run("decrypt", "run", "--allow-rewrite")
        assert pg.psql("SELECT count(*) FROM entry JOIN person ON person = email WHERE email LIKE 'u%'", database="killed_group") == "9000\n"
    finally:
        encryption.remove()
