"""Logins that pgveil checks itself: passwords by the server's SCRAM verifiers, certificates, and the rules that say who may come how."""

import asyncio
import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psycopg
import pytest

from harness import drivers, tls, wire
from harness.pgveil import Pgveil
from harness.postgres import Postgres
from harness.relay import REQUESTS, Fault, Relay
from harness.wire import Raw

pytestmark = pytest.mark.proxy

PASSWORD = "correct horse"
POLICY = Path(__file__).parent / "policies" / "people.yaml"

# The server asks everybody for a password over TLS, but pgveil, which has a certificate, for those of group `certified`.
SERVER_HBA = """\
local    all  all         trust
hostssl  all  pgveil      127.0.0.1/32  scram-sha-256
hostssl  all  +certified  127.0.0.1/32  cert map=proxy
host     all  truster     127.0.0.1/32  trust
host     all  md5er       127.0.0.1/32  md5
hostssl  all  all         127.0.0.1/32  scram-sha-256
"""

ROLES = """
CREATE ROLE pgveil LOGIN PASSWORD 'own secret';
CREATE ROLE certified;
CREATE ROLE ann LOGIN IN ROLE certified;
CREATE ROLE robert LOGIN IN ROLE certified;
CREATE ROLE sam LOGIN PASSWORD 'correct horse';
CREATE ROLE truster LOGIN PASSWORD 'correct horse';
CREATE ROLE expired LOGIN PASSWORD 'correct horse' VALID UNTIL '2020-01-01';
CREATE ROLE nologin PASSWORD 'correct horse';
CREATE ROLE "Odd ""Name""," LOGIN PASSWORD 'pass\\word''s, €=';
CREATE ROLE bare LOGIN;
SET password_encryption = md5; CREATE ROLE md5er LOGIN PASSWORD 'correct horse'; RESET password_encryption;
"""

VERIFIERS = """
CREATE FUNCTION pgveil_verifier(name text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
  $$ SELECT rolpassword FROM pg_authid WHERE rolname = name AND rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) $$;
REVOKE ALL ON FUNCTION pgveil_verifier(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgveil_verifier(text) TO pgveil;
CREATE TABLE person (id int, full_name text, email text, phone text, born date, salary numeric, notes text, city text);
CREATE TABLE visit (LIKE person);
INSERT INTO person (id, email, city) VALUES (1, 'jane@example.com', 'Köln');
GRANT SELECT ON person, visit TO PUBLIC;
"""

RULES = """\
hostssl    all  ann,robert  127.0.0.1/32  cert map=staff
hostssl    all  sam         127.0.0.1/32  scram-sha-256 clientcert=verify-ca
host       all  +certified  all           reject
host       all  all         127.0.0.1/32  scram-sha-256
"""


def open_server(certificates, name: str, certificate) -> Postgres:
    files = {"root.crt": certificates.authority.read_text(), "pg_ident.conf": "proxy pgveil ann\nproxy pgveil robert\n"}
    server = Postgres(name, tls=certificate, settings={"ssl_ca_file": "root.crt"}, hba=SERVER_HBA, files=files).start()
    server.psql(ROLES)
    server.psql("CREATE DATABASE people")
    server.psql(VERIFIERS, database="people")
    return server


@pytest.fixture(scope="module")
def server(certificates):
    one = open_server(certificates, "logins", (certificates.certificate, certificates.key))
    yield one
    one.stop()


@pytest.fixture
def proxy(server, certificates, tmp_path):
    """`proxy(rules, ...)`: pgveil with these rules, TLS on both legs."""
    started = []

    def start(rules: str = RULES, maps: str = "staff ann ann\nstaff desk.example robert\n", at: Postgres = server,
              certificate=None, seconds: float = 30.0, upstream: dict | None = None, **login) -> Pgveil:
        number = len(started)
        hba, ident, password = (tmp_path / f"{name}.{number}" for name in ("pg_hba.conf", "pg_ident.conf", "password"))
        hba.write_text(rules)
        ident.write_text(maps)
        password.write_text("own secret")
        password.chmod(0o600)
        own, key = certificate or (certificates.certificate, certificates.key)
        settings = {
            "tls": {"certificate": own, "key": key, "client_ca": certificates.authority},
            "upstream": {"sslmode": "require", "sslcert": certificates.proxy, "sslkey": certificates.proxy_key, **(upstream or {})},
            "catalog": {"password_file": password},
            "login": {"hba_file": hba, "ident_file": ident,
                      "verifier_query": "SELECT public.pgveil_verifier($1)", **login},
        }
        one = Pgveil(at, POLICY, settings, "people")
        started.append(one)
        one.rules = hba
        return one.start(seconds)

    yield start
    for one in started:
        one.stop()
        assert "panicked" not in one.log()
        one.remove()




def dsn(target, user, **more) -> str:
    settings = {"host": target.host, "port": target.port, "user": user, "dbname": "people", "connect_timeout": 10, **more}
    return " ".join(f"{key}={quoted(value)}" for key, value in settings.items())


def quoted(value) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def certificate_of(certificates, who: str) -> dict:
    return {"sslcert": getattr(certificates, who), "sslkey": getattr(certificates, f"{who}_key")}


def refusal(target, user, **more) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(dsn(target, user, **more))
    return str(caught.value)


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_a_password_is_checked_between_two_tls_connections(proxy, certificates, binding):
    target = proxy()
    more = {"sslmode": "verify-full", "sslrootcert": certificates.authority, "channel_binding": binding}
    with psycopg.connect(dsn(target, "sam", password=PASSWORD, **more, **certificate_of(certificates, "client"))) as connection:
        assert connection.pgconn.ssl_in_use
        row = connection.execute("SELECT session_user::text, email, ssl FROM person, pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row == ("sam", "j###@#######.###", True)
    odd = dsn(target, 'Odd "Name",', password="pass\\word's, €=", **more)
    with psycopg.connect(odd) as connection:
        assert connection.execute("SELECT session_user::text").fetchone() == ('Odd "Name",',)


def test_a_password_is_checked_without_tls_to_the_client(proxy):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")
    with psycopg.connect(dsn(target, "sam", password=PASSWORD, sslmode="disable")) as connection:
        assert connection.execute("SELECT email FROM person").fetchone() == ("j###@#######.###",)


KINDS = {
    "rsa-sha256": ("-newkey", "rsa:2048", "-sha256"),
    "rsa-sha512": ("-newkey", "rsa:2048", "-sha512"),
    "p384-sha384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"),
    "ed25519": ("-newkey", "ed25519"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_logins_are_bound_to_certificates_of_every_kind(proxy, certificates, tmp_path, kind):
    own = tls.self_signed(tmp_path, kind, *KINDS[kind])
    # OpenSSL's servers can not bind a login to Ed25519 (PostgreSQL then fails all of them over TLS), so that the server has another
    server = open_server(certificates, "kinds", own if kind != "ed25519" else (certificates.certificate, certificates.key))
    try:
        target = proxy("hostssl all all all scram-sha-256", at=server, certificate=own)
        with psycopg.connect(dsn(target, "sam", password=PASSWORD, sslmode="require")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        bound = dsn(target, "sam", password=PASSWORD, sslmode="require", channel_binding="require")
        if kind == "ed25519":
            with pytest.raises(psycopg.OperationalError, match="channel binding"):
                psycopg.connect(bound)
        else:
            with psycopg.connect(bound) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()


NODE = """
const { Client } = require('pg');
const client = new Client({ host: '127.0.0.1', port: %d, user: 'sam', password: '%s', database: 'people',
                            %s ssl: { rejectUnauthorized: false } });
client.connect().then(() => client.query('SELECT email FROM person'))
  .then((answer) => { process.stdout.write(answer.rows[0].email); return client.end(); })
  .catch((error) => { console.error(error.message); process.exit(1); });
"""


def test_other_clients_log_in_as_well(proxy):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")
    async def by_asyncpg():
        connection = await asyncpg.connect(host=target.host, port=target.port, user="sam", password=PASSWORD,
                                           database="people", ssl="require")
        found = await connection.fetchval("SELECT email FROM person")
        await connection.close()
        return found

    assert asyncio.run(by_asyncpg()) == "j###@#######.###"
    done = subprocess.run(["psql", "-XAt", dsn(target, "sam", password=PASSWORD, sslmode="require", channel_binding="require"),
                           "-c", "SELECT email FROM person"], capture_output=True, text=True, check=False)
    assert done.stdout == "j###@#######.###\n", done.stderr
    for options in ["enableChannelBinding: true,", ""]:
        done = subprocess.run(["node", "-e", NODE % (target.port, PASSWORD, options)], capture_output=True, text=True, check=False,
                              env={**os.environ, "NODE_PATH": str(drivers.NODE_MODULES)})
        assert done.stdout == "j###@#######.###", done.stderr
    statement = {"sql": "SELECT email FROM person", "mode": "simple", "format": "text", "params": [], "runs": 1}
    plain = f"host={target.host} port={target.port} user=sam dbname=people password='{PASSWORD}'"
    done = subprocess.run([str(drivers.RUST_RUNNER)], input=json.dumps({"dsn": plain, "statements": [statement]}),
                          capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["results"][0]["rows"] == [["j###@#######.###"]], done.stderr


def test_who_has_no_valid_password_is_refused_as_the_server_would(proxy, server):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")
    before = target.metric("pgveil_login_failures_total")
    wrong = [("sam", "wrong"), ("expired", PASSWORD), ("nologin", PASSWORD), ("nobody", PASSWORD), ("bare", PASSWORD),
             ("bare", ""), ("md5er", PASSWORD)]
    for user, password in wrong:
        said = refusal(target, user, password=password or " ", sslmode="require")
        assert f'FATAL:  password authentication failed for user "{user}"' in said
    assert target.metric("pgveil_login_failures_total") == before + len(wrong)
    lines = [line for line in target.log().splitlines() if "a login failed" in line]
    assert len(lines) == len(wrong) and all("wrong password" in line and "127.0.0.1" in line for line in lines)
    assert "not stored for SCRAM-SHA-256" in target.log()
    assert PASSWORD not in target.log()
    # none of these came to the server
    assert "authentication failed" not in server.log()


def test_nobody_learns_which_users_there_are(proxy):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")

    def challenge(user: str) -> tuple[int, int, bytes]:
        client = Raw(target.host, target.port)
        client.send(wire.startup(user, "people"))
        offer = client.next()
        assert (offer.tag, offer.body) == ("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
        first = b"n,,n=,r=abcdefgh"
        client.send(wire.frame("p", b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big") + first))
        answer = client.next()
        client.close()
        assert (answer.tag, answer.body[:4]) == ("R", b"\0\0\0\x0b")
        nonce, salt, count = re.fullmatch(rb"r=(\S+),s=(\S+),i=(\d+)", answer.body[4:]).groups()
        return len(nonce), int(count), salt

    real, missing = challenge("sam"), challenge("nobody")
    assert real[:2] == missing[:2] and len(real[2]) == len(missing[2])
    assert challenge("nobody")[2] == missing[2] != challenge("noone")[2]


def test_a_changed_password_and_a_dropped_user_count_at_once(proxy, server):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")
    server.psql("CREATE ROLE leaver LOGIN PASSWORD 'first'")
    with psycopg.connect(dsn(target, "leaver", password="first", sslmode="require")):
        server.psql("ALTER ROLE leaver PASSWORD 'second'")
        assert "password authentication failed" in refusal(target, "leaver", password="first", sslmode="require")
        with psycopg.connect(dsn(target, "leaver", password="second", sslmode="require")):
            pass
    server.psql("DROP ROLE leaver")
    assert "password authentication failed" in refusal(target, "leaver", password="second", sslmode="require")


def test_a_verifier_that_the_server_does_not_have_opens_nothing(proxy, server):
    """The query answers of another password than the server's own: pgveil's check passes, the server's does not."""
    server.psql("CREATE ROLE stale LOGIN PASSWORD 'new'; CREATE ROLE older PASSWORD 'old'")
    verifier = server.psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'older'").strip()
    target = proxy("host all all 127.0.0.1/32 scram-sha-256", verifier_query=f"SELECT '{verifier}'::text FROM (SELECT $1) AS x")
    said = refusal(target, "stale", password="old", sslmode="require")
    assert 'password authentication failed for user "stale"' in said
    assert "the server refuses it" in target.log()


def test_the_server_may_trust_pgveil_but_not_ask_it_for_the_password(proxy):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")
    with psycopg.connect(dsn(target, "truster", password=PASSWORD, sslmode="require", channel_binding="require")) as connection:
        assert connection.execute("SELECT session_user::text").fetchone() == ("truster",)
    assert "password authentication failed" in refusal(target, "truster", password="wrong", sslmode="require")


def test_a_certificate_says_who_logs_in(proxy, certificates):
    target = proxy()
    tls_on = {"sslmode": "verify-full", "sslrootcert": certificates.authority}
    for user, shown, works in [("ann", "ann", True), ("robert", "client", True), ("ann", "client", False), ("robert", "ann", False)]:
        more = {**tls_on, **certificate_of(certificates, shown)}
        if works:
            with psycopg.connect(dsn(target, user, **more)) as connection:
                assert connection.execute("SELECT session_user::text, email FROM person").fetchone() == (user, "j###@#######.###")
        else:
            assert f'valid client certificate of user "{user}"' in refusal(target, user, **more)
    assert 'valid client certificate of user "ann"' in refusal(target, "ann", sslmode="require", sslcert="/nonexistent")
    assert "a rule rejects connections" in refusal(target, "ann", sslmode="disable")
    refusal(target, "ann", **tls_on, **certificate_of(certificates, "forged"))
    # a certificate beside a password
    assert "valid client certificate" in refusal(target, "sam", password=PASSWORD, sslmode="require", sslcert="/nonexistent")


def test_a_certificate_does_not_help_where_the_server_wants_a_password(proxy, certificates):
    target = proxy("hostssl all all all cert map=any", maps="any ann all")
    said = refusal(target, "sam", sslmode="require", **certificate_of(certificates, "ann"))
    assert "asks for a password where a certificate says who logs in" in said and "pg_hba.conf" in said


def test_who_is_relayed_does_not_come_by_pgveils_own_certificate(proxy, certificates):
    """The server lets pgveil's certificate in as ann: a rule that relays ann would let in anybody."""
    target = proxy("host all all all relay")
    said = refusal(target, "ann", sslmode="require")
    assert "the server asks for no password" in said and "scram-sha-256 or cert" in said
    with psycopg.connect(dsn(target, "sam", password=PASSWORD, sslmode="disable")) as connection:
        assert connection.execute("SELECT session_user::text").fetchone() == ("sam",)


def test_rules_are_read_again_and_wrong_ones_are_not_taken(proxy):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256")
    with psycopg.connect(dsn(target, "sam", password=PASSWORD, sslmode="require")) as open_session:
        target.rules.write_text("host all all 127.0.0.1/32 reject\n")
        target.reload()
        deadline = time.monotonic() + 10
        while "rules of logins read" not in target.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "a rule rejects connections" in refusal(target, "sam", password=PASSWORD, sslmode="require")
        assert open_session.execute("SELECT 1").fetchone() == (1,)
        target.rules.write_text("host all all 127.0.0.1/32 scram-sha-256\nhost all all all trust\n")
        target.reload()
        while target.metric("pgveil_login_rules_reload_failures_total") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert f"{target.rules}:2:18: write relay" in target.log()
        assert "a rule rejects connections" in refusal(target, "sam", password=PASSWORD, sslmode="require")


@pytest.mark.parametrize(("rules", "said"), [
    ("host all all all peer", ":1:18: write relay"),
    ("hostssl all all all cert map=nothing", ':1:26: there is no map "nothing"'),
])
def test_pgveil_does_not_start_with_wrong_rules(proxy, rules, said):
    with pytest.raises(RuntimeError, match=re.escape(said)):
        proxy(rules, seconds=10)


def test_a_verifier_that_can_not_be_had_lets_nobody_in(proxy):
    target = proxy("host all all 127.0.0.1/32 scram-sha-256", verifier_query="SELECT passwd FROM pg_shadow WHERE usename = $1")
    said = refusal(target, "sam", password=PASSWORD, sslmode="require")
    assert "FATAL:  pgveil: the password can not be checked" in said
    assert "setting login.verifier_query: permission denied" in target.log()
    assert target.metric("pgveil_verifier_failures_total") == 1


@pytest.mark.parametrize("connected", [False, True], ids=["before the first login", "after one"])
def test_logins_wait_together_for_a_server_that_says_nothing(server, proxy, connected):
    with Relay(server.host, server.port) as relay:
        target = proxy(upstream={"host": relay.host, "port": relay.port, "connect_timeout_ms": 3000})
        address = dsn(target, "truster", password=PASSWORD, sslmode="require")
        if connected:
            psycopg.connect(address).close()
        relay.fault = Fault("stall", REQUESTS, 0)
        relay.drop()

        def attempt(_) -> tuple[str, float]:
            begun = time.monotonic()
            with pytest.raises(psycopg.OperationalError) as caught:
                psycopg.connect(address, connect_timeout=60)
            return str(caught.value), time.monotonic() - begun

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(attempt, range(20)))
        assert all("can not be checked" in text for text, _ in answers), answers
        # One after the other they would wait a minute.
        assert max(took for _, took in answers) < 10, answers
        relay.fault = None
        begun = time.monotonic()
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT email FROM person WHERE id = 1").fetchone()[0] != "jane@example.com"
        assert time.monotonic() - begun < 5
