"""What ORMs write into encrypted columns, in each of their ways: new values are stored, encrypted; masks that come back never are."""

import subprocess

import pytest
from test_write_back_orms import KEPT, NEW, STORED, WAYS, run, stored, two_people

from harness.pgveil import Pgveil, binary

pytestmark = pytest.mark.proxy

DATABASE = "sealed_saves"

ENCRYPTED = {"email": ("varchar(80)", "deterministic"), "name": ("text", "randomized"), "salary": ("numeric(12,2)", "randomized"), "born": ("date", "deterministic")}
MASKS = {"email": "email", "name": "full", "salary": "full", "born": "full"}

POLICY = "version: 1\ntags:\n" + "".join(f"  {name}: {{ mask: {mask} }}\n" for name, mask in MASKS.items()) + "columns:\n  person:\n" + "".join(
    f'    {name}: {{ tag: {name}, encrypted: {{ type: "{kind}", key: people, domain: {name}, mode: {mode} }} }}\n' for name, (kind, mode) in ENCRYPTED.items()
)
SEES = 'roles:\n  owners: {{ users: [{}], sees: {{ "*": clear }} }}\n'


@pytest.fixture(scope="module")
def sealed(pg, tmp_path_factory):
    """By the user's sight (`clear`, `masked`): pgveil under a policy by which the ORMs' user sees that."""
    pg.psql(f"CREATE DATABASE {DATABASE}")
    pg.psql(
        "CREATE USER sealed_saver; CREATE USER sealed_boss;"
        "CREATE TABLE person (id bigserial PRIMARY KEY, email text, name text, salary text, born text, note text);"
        "GRANT ALL ON person, person_id_seq TO sealed_saver, sealed_boss",
        database=DATABASE,
    )
    directory = tmp_path_factory.mktemp("sealed_saves")
    settings = {"keys": {"keyring": directory / "keyring.json", "kek_file": directory / "kek"}}
    proxies = {}
    for sight, users in (("clear", "sealed_saver, sealed_boss"), ("masked", "sealed_boss")):
        policy = directory / f"{sight}.yaml"
        policy.write_text(POLICY + SEES.format(users), encoding="utf-8")
        proxies[sight] = Pgveil(pg, policy, settings, DATABASE)
    for command in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *command, "--config", proxies["clear"].config], check=True, capture_output=True)
    for proxy in proxies.values():
        proxy.start()
    yield proxies
    for proxy in proxies.values():
        proxy.stop()


@pytest.fixture
def owner(sealed):
    """Somebody who sees everything, by way of pgveil."""
    with two_people("127.0.0.1", sealed["clear"].port, "sealed_boss", DATABASE) as connection:
        yield connection


def all_are_envelopes(pg) -> None:
    for name in ENCRYPTED:
        assert pg.psql(f"SELECT count(*) FROM person WHERE {name} NOT LIKE 'pgveil:%'", database=DATABASE).strip() == "0"


@pytest.mark.parametrize("sight", ["clear", "masked"])
@pytest.mark.parametrize(("script", "deed", "binding"), WAYS)
def test_new_values_are_stored(pg, sealed, owner, script, deed, binding, sight):
    assert run(sealed[sight], script, deed, "new", binding, DATABASE, "sealed_saver") == "done"
    found = stored(owner)
    if deed == "insert":
        assert found[:2] == STORED and [row[1:4] for row in found[2:]] == [row[1:4] for row in NEW]
    else:
        assert [row[:-1] for row in found] == [row[:-1] for row in NEW]
    all_are_envelopes(pg)


@pytest.mark.parametrize(("script", "deed", "binding"), WAYS)
def test_masks_are_kept_or_refused(pg, sealed, owner, script, deed, binding):
    outcome = run(sealed["masked"], script, deed, "masks", binding, DATABASE, "sealed_saver")
    found = stored(owner)
    if deed in ("upsert", "insert"):
        assert "is a mask" in outcome and found == STORED, outcome
    elif outcome == "done":
        assert found == KEPT
    else:
        # The server can not compare an encrypted value with what is shown of it.
        assert "may be the mask" in outcome and found == STORED
    all_are_envelopes(pg)
