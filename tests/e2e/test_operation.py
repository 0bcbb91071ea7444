"""What an operator works with: settings, who may come in, the fields of the access log, the metrics."""

import os
import re
import subprocess
import threading
import tomllib
import uuid

import psycopg
import pytest

from conftest import POLICIES
from harness import wire
from harness.pgveil import binary, toml
from harness.wire import Raw, query

pytestmark = pytest.mark.proxy

# Each setting with three values: for the file, the variable and the flag. Paths are absolute.
SETTINGS = {
    "listen": ("127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"),
    "admin_listen": ("127.0.0.1:2001", "127.0.0.1:2002", "127.0.0.1:2003"),
    "policies": (["/a.yaml"], ["/b.yaml", "/b"], ["/c.yaml"]),
    "mask_keys_file": ("/a.toml", "/b.toml", "/c.toml"),
    "actor_keys_file": ("/a.toml", "/b.toml", "/c.toml"),
    "totp_file": ("/a.toml", "/b.toml", "/c.toml"),
    "reveal_state_file": ("/a.json", "/b.json", "/c.json"),
    "workers": (3, 4, 5),
    "max_connections": (11, 12, 13),
    "startup_timeout_ms": (101, 102, 103),
    "drain_timeout_ms": (201, 202, 203),
    "reuse_port": (True, False, True),
    "tcp.keepalives_idle": (21, 22, 23),
    "tcp.keepalives_interval": (31, 32, 33),
    "tcp.keepalives_count": (1, 2, 3),
    "tcp.user_timeout": (0, 1000, 2000),
    "upstream.host": ("a.example", "b.example", "/run/c"),
    "upstream.port": (1, 2, 3),
    "upstream.sslmode": ("disable", "require", "verify-full"),
    "upstream.sslrootcert": ("/a.pem", "/b.pem", "system"),
    "upstream.sslcert": ("/a.crt", "/b.crt", "/c.crt"),
    "upstream.sslkey": ("/a.key", "/b.key", "/c.key"),
    "upstream.connect_timeout_ms": (301, 302, 303),
    "catalog.database": ("a", "b", "c"),
    "catalog.user": ("ua", "ub", "uc"),
    "catalog.refresh_seconds": (6, 7, 8),
    "catalog.check": ("statement", "interval", "statement"),
    "catalog.check_ms": (61, 62, 63),
    "login.hba_file": ("/la.hba", "/lb.hba", "/lc.hba"),
    "login.ident_file": ("/la.ident", "/lb.ident", "/lc.ident"),
    "login.verifier_query": ("SELECT a($1)", "SELECT b($1)", "SELECT c($1)"),
    "login.user": ("la", "lb", "lc"),
    "tls.certificate": ("/ta.crt", "/tb.crt", "/tc.crt"),
    "tls.key": ("/ta.key", "/tb.key", "/tc.key"),
    "tls.client_ca": ("/ta.ca", "/tb.ca", "/tc.ca"),
    "tls.required": (True, False, True),
    "keys.keyring": ("/ka.json", "/kb.json", "/kc.json"),
    "keys.provider": ("file", "file", "file"),
    "keys.kek_file": ("/ka", "/kb", "/kc"),
    "state.engine": ("postgresql", "postgresql", "postgresql"),
    "state.dsn": ("host='a' port=5432 dbname='s' user='u' sslmode=require connect_timeout=5", "host='b' port=1 dbname='t' user='v' sslmode=require connect_timeout=5",
                  "host='c' port=2 dbname='r' user='w' sslmode=require connect_timeout=5"),
    "state.sslrootcert": ("/sa.pem", "/sb.pem", "system"),
    "access_log.path": ("/a.jsonl", "/b.jsonl", "/c.jsonl"),
    "access_log.durability": ("fsync", "write", "fsync"),
    "access_log.signing_key": ("/ka.key", "/kb.key", "/kc.key"),
    "access_log.checkpoint_file": ("/ca.note", "/cb.note", "/cc.note"),
    "access_log.checkpoint_seconds": (31, 32, 33),
    "access_log.segment_mib": (34, 35, 36),
    "access_log.segment_hours": (37, 38, 39),
    "access_log.retention": ("40 days", "41 days", "forever"),
    "log.level": ("warn", "debug", "trace"),
    "log.format": ("json", "text", "json"),
}
# A secret is not printed; its file is read at once.
PASSWORDS = {"catalog.password", "catalog.password_file", "login.password_file"}
# Settings of the other providers of keys, which are in force with those only: test_keys.py tries them.
PROVIDERS = {f"keys.{name}" for name in (
    "kek", "pkcs11_module", "pkcs11_token", "pkcs11_key", "pkcs11_pin_file", "aws_key", "aws_region", "aws_endpoint",
    "vault_address", "vault_mount", "vault_key", "vault_token_file")}
# Settings of alerts, which need a secret, and of the store in a file: test_guard.py tries them.
GUARD = {"state.path", "state.password_file", "alerts.url", "alerts.secret", "alerts.secret_file", "alerts.ca_file"}


def variable(name: str) -> str:
    return "PGVEIL_" + name.upper().replace(".", "_")


def flag(name: str) -> str:
    return "--" + name.replace(".", "-").replace("_", "-")


def written(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)


def document(values: dict) -> dict:
    made: dict = {}
    for name, value in values.items():
        table, _, key = name.rpartition(".")
        (made.setdefault(table, {}) if table else made)[key] = value
    return made


def in_force(path, variables: dict, flags: list[str]) -> dict:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PGVEIL_")}
    done = subprocess.run([str(binary()), "config", "--config", str(path), *flags], env={**environment, **variables},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)


def test_every_setting_can_be_given_by_file_variable_and_flag_and_the_later_wins(tmp_path):
    path = tmp_path / "pgveil.toml"
    path.write_text(toml(document({name: values[0] for name, values in SETTINGS.items()})))
    variables = {variable(name): written(values[1]) for name, values in SETTINGS.items()}
    flags = [f"{flag(name)}={written(values[2])}" for name, values in SETTINGS.items()]
    for number, (variables, flags) in enumerate([({}, []), (variables, []), (variables, flags)]):
        assert in_force(path, variables, flags) == document({name: values[number] for name, values in SETTINGS.items()})
    # One at a time: each reaches its own place and no other.
    before = in_force(path, {}, [])
    for name, (_, by_variable, by_flag) in SETTINGS.items():
        for value, got in ((by_variable, in_force(path, {variable(name): written(by_variable)}, [])),
                           (by_flag, in_force(path, {}, [f"{flag(name)}={written(by_flag)}"]))):
            table, _, key = name.rpartition(".")
            assert (got[table] if table else got)[key] == value, name
            (got[table] if table else got)[key] = (before[table] if table else before)[key]
            assert got == before, name


def test_no_setting_is_forgotten_here():
    shown = subprocess.run([str(binary()), "serve", "--help"], capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"^ +(--[a-z0-9-]+)", shown, re.MULTILINE))
    assert flags - {"--config", "--help"} == {flag(name) for name in SETTINGS.keys() | PASSWORDS | PROVIDERS | GUARD}


def test_a_password_is_not_printed(tmp_path):
    path = tmp_path / "pgveil.toml"
    path.write_text(toml({"policies": [], "catalog": {"database": "x", "password": "swordfish"}}))
    done = subprocess.run([str(binary()), "config", "--config", str(path)], capture_output=True, text=True, check=True)
    assert "swordfish" not in done.stdout + done.stderr
    assert "redacted" in done.stdout


def test_pgveil_without_settings_says_what_it_needs(tmp_path):
    done = subprocess.run([str(binary()), "serve"], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin"})
    assert done.returncode == 1
    assert "--policies" in done.stderr


def test_each_mask_says_what_it_is():
    shown = subprocess.run([str(binary()), "masks"], capture_output=True, text=True, check=True).stdout
    masks = {block.split(":", 1)[0]: block for block in shown.strip().split("\n\n")}
    assert set(masks) == {"full", "partial", "show_first", "show_last", "email", "phone", "card", "iban", "hash", "pseudonym",
                          "date_trunc", "round", "bucket", "network", "replace", "nullify"}
    for name, block in masks.items():
        assert re.search(r"deterministic +(yes|no), reversible (yes|no), keeps length (yes|no)", block), name


REPLICATION = """version: 1
tags:
  email: { mask: email }
columns:
  person:
    email: email
roles:
  backup:
    users: postgres
    sees: { email: clear }
    replication: true
"""


def test_a_role_that_may_replicate_opens_a_replication_connection(own_front, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(REPLICATION)
    target = own_front(policy)
    client = Raw(target.host, target.port)
    start = client.login("postgres", "people", replication="database")
    assert start[-1].tag == "Z"
    (system,) = client.rows("IDENTIFY_SYSTEM")
    assert system[3] == b"people"
    client.close()
    other = Raw(target.host, target.port)
    other.send(wire.startup("sam", "people", replication="database"))
    assert [one.tag for one in other.until_closed()] == ["E"]


NETWORKS = """version: 1
tags:
  email: { mask: email }
columns:
  person:
    email: email
roles:
  here:
    networks: {network}
    sees: {{ email: clear }}
"""


@pytest.mark.parametrize(("network", "shown"), [("127.0.0.0/8", b"jane@example.com"), ("10.0.0.0/8", b"j###@#######.###")])
def test_a_role_can_be_had_by_where_a_client_comes_from(own_front, tmp_path, network, shown):
    policy = tmp_path / "policy.yaml"
    policy.write_text(NETWORKS.replace("{ mask: email }", "{{ mask: email }}").format(network=network))
    target = own_front(policy)
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    assert client.rows("SELECT email FROM person WHERE id = 1") == [[shown]]
    client.close()


CERTIFICATES = """version: 1
tags:
  email: { mask: email }
columns:
  person:
    email: email
roles:
  desk:
    certificates: desk.example
    sees: { email: clear }
"""


def test_a_role_can_be_had_by_a_client_certificate(own_front, certificates, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(CERTIFICATES)
    target = own_front(policy, tls={"certificate": certificates.certificate, "key": certificates.key, "client_ca": certificates.authority})
    dsn = f"host={target.host} port={target.port} user=sam dbname=people sslmode=require"
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone() == ("j###@#######.###",)
    with psycopg.connect(f"{dsn} sslcert={certificates.client} sslkey={certificates.client_key}") as connection:
        assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone() == ("jane@example.com",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"{dsn} sslcert={certificates.forged} sslkey={certificates.forged_key}").execute("SELECT 1")


@pytest.mark.parametrize(("client", "server", "works"), [
    ({"sslmode": "require"}, "require", False),
    ({"sslmode": "require", "channel_binding": "disable"}, "require", True),
    ({"sslmode": "require"}, "disable", True),
    ({"sslmode": "disable"}, "require", True),
])
def test_scram_with_tls_on_both_legs_works_without_channel_binding_and_else_says_why(own_front, certificates, client, server, works):
    target = own_front("people.yaml", tls={"certificate": certificates.certificate, "key": certificates.key}, upstream={"sslmode": server})
    parameters = {"host": target.host, "port": target.port, "user": "scram_user", "password": "correct horse", "dbname": "people", **client}
    if works:
        with psycopg.connect(**parameters) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    else:
        with pytest.raises(psycopg.OperationalError, match="channel_binding=disable"):
            psycopg.connect(**parameters)


def test_notifications_reach_a_session_that_waits(front):
    target = front("people.yaml")
    listener, sender = Raw(target.host, target.port), Raw(target.host, target.port)
    listener.login("sam", "people")
    sender.login("bella", "people")
    listener.rows("LISTEN orders")
    later = threading.Timer(0.2, lambda: sender.ask(query("NOTIFY orders, 'number 7'")))
    later.start()
    got = listener.next()
    later.join()
    assert got.tag == "A"
    assert got.body[4:] == b"orders\0number 7\0"
    listener.close()
    sender.close()


def test_an_event_has_every_field(own_front):
    target = own_front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("bella", "people", application_name="billing desk")
    client.rows("SELECT email FROM person WHERE id = 1")
    port = client.socket.getsockname()[1]
    client.rows("SELECT email FROM person WHERE id = 2")
    client.close()
    first, second = target.events()
    assert list(first) == ["seq", "prev", "time", "id", "kind", "user", "actor", "role", "rule", "database", "tenant", "schema", "table", "column", "tag", "how", "action",
                           "fingerprint", "rows", "client_address", "client_port", "application_name", "session", "execution", "endpoint", "entities", "grant", "reason"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["time"])
    assert uuid.UUID(first["id"]) != uuid.UUID(second["id"])
    assert (first["client_address"], first["client_port"]) == ("127.0.0.1", port)
    assert first["rule"].endswith(f"policy.yaml:{policy_line('billing', '*')}")
    assert first["rows"] == 1
    assert first["fingerprint"] == second["fingerprint"], "the same statement but for its constant"
    assert first["session"] == second["session"]
    assert first["execution"] != second["execution"]


def policy_line(role: str, key: str) -> int:
    lines = (POLICIES / "people.yaml").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"  {role}:")
    return next(number for number, line in enumerate(lines[start:], start + 1) if f'"{key}"' in line)


METRICS = {
    "connections": ["pgveil_client_connections", "pgveil_client_connections_total", "pgveil_client_connections_refused_total",
                    "pgveil_client_connections_closed_total"],
    "statements by verdict": ["pgveil_statements_total{verdict="],
    "columns by tag": ["pgveil_columns_masked_total{tag=", "pgveil_columns_revealed_total{tag="],
    "refusals by reason": ["pgveil_refusals_total{reason="],
    "restrictive defaults by reason": ["pgveil_restrictive_defaults_total{reason="],
    "analysis cache": ["pgveil_analysis_cache_hits_total", "pgveil_analysis_cache_misses_total"],
    "latency": ["pgveil_analysis_seconds_bucket", "pgveil_statement_overhead_seconds_bucket"],
    "policy": ["pgveil_policy_info{digest=", "pgveil_policy_generation", "pgveil_policy_reload_ok", "pgveil_policy_reload_failures_total"],
    "access log": ["pgveil_access_log_writes_total", "pgveil_access_log_failures_total", "pgveil_access_log_ready",
                   "pgveil_access_log_bytes_total", "pgveil_access_log_segments", "pgveil_access_log_checkpoint_timestamp_seconds"],
    "server": ["pgveil_upstream_connect_errors_total"],
    "build": ["pgveil_build_info{version="],
}


@pytest.mark.parametrize("subject", METRICS)
def test_the_metrics_tell_of(front, subject):
    shown = front("people.yaml").metrics_text()
    for name in METRICS[subject]:
        assert re.search(rf"^{re.escape(name)}", shown, re.MULTILINE), name
