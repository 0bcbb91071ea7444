"""`pgveil check`: wrong policies are caught before they go live, with a place and a suggestion."""

import subprocess

import pytest

from harness.pgveil import ROOT, binary
from conftest import POLICIES

pytestmark = pytest.mark.proxy


def check(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(binary()), "check", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


def against(pg, database: str) -> list[str]:
    return ["--against", f"host={pg.host} port={pg.port} user=pgveil dbname={database} sslmode=disable"]


@pytest.mark.parametrize("name", sorted(path.name for path in POLICIES.glob("*.yaml")))
def test_the_policies_of_the_tests_are_right(name):
    done = check(POLICIES / name)
    assert done.returncode == 0, done.stderr


def test_the_sample_policy_fits_the_demos_database(pg):
    pg.psql("CREATE DATABASE shop")
    # The roles are in this server already.
    tables = (ROOT / "deploy" / "demo-files" / "shop.sql").read_text(encoding="utf-8")
    pg.psql("\n".join(line for line in tables.splitlines() if not line.startswith("CREATE ROLE")), database="shop")
    done = check(ROOT / "policies" / "shop.yaml", *against(pg, "shop"))
    assert done.returncode == 0, done.stderr
    untagged = pg.psql(
        "SELECT table_name || '.' || column_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name ~ "
        "'name|mail|phone|birth|street|city|postal|iban|card|recipient|body|notes|login$|_ip'", database="shop").split()
    policy = (ROOT / "policies" / "shop.yaml").read_text(encoding="utf-8")
    for entry in untagged:
        if entry != "product.name":
            assert f"    {entry.split('.')[1]}:" in policy, f"the sample policy does not tag {entry}"


@pytest.mark.parametrize(("text", "place", "says"), [
    ("version: 1\ntags:\n  email: { maks: email }\n", "policy.yaml:3:", "mask"),
    ("version: 1\ntags:\n  email: { mask: emial }\n", "policy.yaml:3:", "email"),
    ("version: 1\ntags:\n  email: { mask: email }\ncolumns:\n  person:\n    email: e-mail\n", "policy.yaml:6:", "email"),
])
def test_a_mistake_has_a_place_and_a_suggestion(tmp_path, text, place, says):
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    done = check(policy)
    assert done.returncode == 1
    assert place in done.stderr
    assert says in done.stderr.replace(text, "")


@pytest.mark.parametrize(("text", "place"), [
    ("version: 1\ntags:\n  email: { mask: email }\ncolumns:\n  person:\n    emial: email\n", "policy.yaml:6:"),
    ("version: 1\ntags:\n  email: { mask: email }\ncolumns:\n  persno:\n    email: email\n", "policy.yaml:5:"),
    ("version: 1\ntags:\n  email: { mask: email }\ncolumns:\n  person:\n    born: email\n", "policy.yaml:"),
])
def test_what_does_not_fit_the_database_is_found_against_it(pg, tmp_path, text, place):
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    assert check(policy).returncode == 0
    done = check(policy, *against(pg, "people"))
    assert done.returncode == 1
    assert place in done.stderr
