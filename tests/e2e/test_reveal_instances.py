"""Several instances of pgveil on one store: what is asked for at the one is approved, denied and reviewed at the other."""

import json
import subprocess
import time

import psycopg
import pytest

from harness.pgveil import binary
from test_guard import shared, within  # noqa: F401  (a fixture)
from test_reveal import JANE, MASKED, code, connect, one, records, refused

pytestmark = pytest.mark.proxy

POLICY = """
version: 1
tags:
  email: { mask: email }
columns:
  person: { email: email }
roles:
  careful:
    users: [carl]
    sees: { "*": masked }
    reveal: { tags: [email], lasts: 60s, rows: 2, approval: [leads], urgent: true }
  leads: { users: [lea], sees: { "*": masked } }
"""


@pytest.fixture(params=["embedded", "postgresql"])
def instances(request, pg, own_front, tmp_path, shared):  # noqa: F811
    for user in ("carl", "lea"):
        pg.psql(f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') THEN CREATE ROLE {user} LOGIN; END IF; END $$; GRANT SELECT ON person TO {user};", database="people")
    (tmp_path / "policy.yaml").write_text(POLICY)
    state = shared if request.param == "postgresql" else {"engine": "embedded", "path": str(tmp_path / "state.jsonl")}
    return [own_front(tmp_path / "policy.yaml", state=state, reveal_state_file=tmp_path / f"reveals{number}.json") for number in (1, 2)]


def status(connection: psycopg.Connection) -> str:
    return one(connection, "SHOW pgveil.reveal_status")


def listed(connection: psycopg.Connection, what: str) -> list[str]:
    return [request["id"] for request in json.loads(one(connection, f"SHOW pgveil.{what}"))]


def test_what_is_asked_for_at_one_instance_is_approved_at_the_other_and_once(instances):
    here, there = instances
    with connect(here, "carl") as carl, connect(there, "lea") as lea, connect(there, "carl") as himself:
        carl.execute("SET pgveil.reveal = 'calls'")
        number = status(carl).split()[0]
        assert one(carl) == MASKED
        within(2.0, lambda: listed(lea, "reveal_requests") == [number])
        assert listed(himself, "reveal_requests") == []
        assert refused(himself, f"SET pgveil.reveal_approve = '{number}'").sqlstate == "42501", "nobody approves his own"
        connection = f"host={there.host} port={there.port} user=lea dbname=people"
        subprocess.run([binary(), "reveal", "approve", number, "--connection", connection], check=True, capture_output=True)
        within(2.0, lambda: "on:" in status(carl))
        assert one(carl) == JANE
        assert one(himself) == MASKED, "it is that session's alone"
        within(2.0, lambda: listed(lea, "reveal_requests") == [])
        refused(lea, f"SET pgveil.reveal_approve = '{number}'")
        # Its rows are counted as everywhere: the second is the last.
        assert one(carl) == JANE and one(carl) == MASKED
    assert records(here, "reveal_granted")[0]["approved_by"] == "lea"
    assert [record["grant"] for record in records(there, "reveal_approved")] == [number]
    assert {record["grant"] for record in records(here, "reveal")} == {number}


def test_what_is_denied_or_withdrawn_is_so_everywhere(instances):
    here, there = instances
    with connect(here, "carl") as carl, connect(there, "lea") as lea, connect(here, "lea") as near:
        carl.execute("SET pgveil.reveal = 'calls'")
        number = status(carl).split()[0]
        within(2.0, lambda: listed(lea, "reveal_requests") == [number] == listed(near, "reveal_requests"))
        lea.execute(f"SET pgveil.reveal_deny = '{number}'")
        within(2.0, lambda: status(carl) == "off")
        assert one(carl) == MASKED
        within(2.0, lambda: listed(lea, "reveal_requests") == [] == listed(near, "reveal_requests"))
        carl.execute("SET pgveil.reveal = 'again'")
        number = status(carl).split()[0]
        within(2.0, lambda: listed(lea, "reveal_requests") == [number])
        carl.execute("RESET pgveil.reveal")
        one(carl)
        within(2.0, lambda: listed(lea, "reveal_requests") == [])
        assert refused(lea, f"SET pgveil.reveal_approve = '{number}'").sqlstate == "42501"
        assert one(carl) == MASKED
        # One that is answered near by is gone from afar.
        carl.execute("SET pgveil.reveal = 'once more'")
        number = status(carl).split()[0]
        within(2.0, lambda: listed(lea, "reveal_requests") == [number])
        near.execute(f"SET pgveil.reveal_approve = '{number}'")
        assert one(carl) == JANE
        within(2.0, lambda: listed(lea, "reveal_requests") == [])


def test_an_urgent_one_is_reviewed_at_either_instance_also_after_a_restart(instances):
    here, there = instances
    with connect(here, "carl") as carl:
        carl.execute("SET pgveil.reveal_urgent = on")
        carl.execute("SET pgveil.reveal = 'fire'")
        assert one(carl) == JANE
        number = status(carl).split()[0]
    with connect(there, "lea") as lea, connect(there, "carl") as himself:
        within(2.0, lambda: listed(lea, "reveal_reviews") == [number])
        assert refused(himself, f"SET pgveil.reveal_review = '{number}'").sqlstate == "42501"
        here.stop()
        lea.execute(f"SET pgveil.reveal_review = '{number}'")
        within(2.0, lambda: listed(lea, "reveal_reviews") == [])
        here.start()
    with connect(here, "lea") as lea:
        assert listed(lea, "reveal_reviews") == []
    assert len(records(there, "reveal_reviewed")) == 1


def test_who_writes_his_own_approval_into_the_store_is_denied(instances, pg, request):
    if "postgresql" not in request.node.name:
        pytest.skip("a file that only pgveil writes")
    here, _ = instances
    with connect(here, "carl") as carl:
        carl.execute("SET pgveil.reveal = 'calls'")
        number = status(carl).split()[0]
        within(2.0, lambda: pg.psql(f"SELECT count(*) FROM pgveil.state_kept WHERE id = '{number}'", database="state_store").strip() == "1")
        answer = "jsonb_build_object('approved', true, 'user', 'carl', 'actor', null, 'at', (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
        pg.psql(f"UPDATE pgveil.state_kept SET document = (document::jsonb || jsonb_build_object('answer', {answer}))::text, changed_at = clock_timestamp() WHERE id = '{number}'", database="state_store")
        within(2.0, lambda: status(carl) == "off")
        assert one(carl) == MASKED
    assert not records(here, "reveal_granted", "reveal")


def test_a_code_is_used_up_everywhere(pg, own_front, tmp_path, shared):  # noqa: F811
    pg.psql("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'carl') THEN CREATE ROLE carl LOGIN; END IF; END $$; GRANT SELECT ON person TO carl;", database="people")
    (tmp_path / "policy.yaml").write_text(POLICY.replace("approval: [leads], urgent: true", "totp: true"))
    totp = tmp_path / "totp"
    subprocess.run([binary(), "reveal", "totp-secret", "carl", "--file", totp], capture_output=True, check=True)
    secret = next(line.split('"')[-2] for line in totp.read_text().splitlines() if "carl" in line)
    here, there = (own_front(tmp_path / "policy.yaml", state=shared, totp_file=totp, reveal_state_file=tmp_path / f"reveals{number}.json") for number in (1, 2))
    now = code(secret)
    with connect(here, "carl") as carl, connect(there, "carl") as elsewhere:
        carl.execute(f"SET pgveil.reveal_totp = '{now}'")
        carl.execute("SET pgveil.reveal = 'calls'")
        assert one(carl) == JANE
        time.sleep(1)
        elsewhere.execute(f"SET pgveil.reveal_totp = '{now}'")
        assert refused(elsewhere, "SET pgveil.reveal = 'calls'").sqlstate == "42501"
        assert one(elsewhere) == MASKED
