"""The main job on the Chinook database whose customers' personal data are encrypted: five drivers, in each of their ways, get what they
get from the plain database, and leave the same behind.

All eleven columns of `customer` that say who somebody is are encrypted, `email` and `company` deterministically. By the contract, what the database
would have to compute with them is refused; of the script of the main job that is
- `lower(email)` ("derived"),
- `first_name || ' ' || last_name` ("full name").
Everything else has equal results.
"""

import subprocess
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from test_chinook import SCRIPT as MAIN_JOB
from test_chinook import steps_of as main_steps

from harness import drivers
from harness.pgveil import Direct, Pgveil, binary
from harness.script import PLAIN, Outcome, Statement, Step

pytestmark = [pytest.mark.proxy, pytest.mark.timeout(300)]

# column: type, mode
ENCRYPTED = {
    "first_name": ("varchar(40)", "randomized"),
    "last_name": ("varchar(20)", "randomized"),
    "company": ("varchar(80)", "deterministic"),
    "address": ("varchar(70)", "randomized"),
    "city": ("varchar(40)", "randomized"),
    "state": ("varchar(40)", "randomized"),
    "country": ("varchar(40)", None),
    "postal_code": ("varchar(10)", "randomized"),
    "phone": ("varchar(24)", "randomized"),
    "fax": ("varchar(24)", "randomized"),
    "email": ("varchar(60)", "deterministic"),
}
# What the contract refuses, and what the message says.
REFUSED = {"derived": "computing with its values", "full name": "computing with its values"}
# What is described otherwise than by the server: a cast to `varchar` without a length (`text`), a union with a column that is not encrypted
# (`varchar` without its length), and parameters in a list (`text`, not `varchar`). What is read and written is the same.
DESCRIBED_OTHERWISE = {"casts", "union", "by two"}
USER = "sealed_shopkeeper"


def read(name: str, sql: str, *params, width: int, ordered: bool = True) -> Statement:
    return Statement(name, sql, (PLAIN,) * width, params, ordered)


# What an application does with encrypted columns beyond the main job. Each may be run again: the prepared ways do it three times.
READS = [
    read("by literal", "SELECT first_name, last_name, phone FROM customer WHERE email = 'ftremblay@gmail.com'", width=3),
    read("by no literal", "SELECT first_name FROM customer WHERE email = 'nobody@example.org'", width=1),
    read("by two", "SELECT customer_id, city FROM customer WHERE email IN ($1, $2) ORDER BY 1", "ftremblay@gmail.com", "roberto.almeida@riotur.gov.br", width=2),
    read("by company and number", "SELECT email, fax FROM customer WHERE company = $1 AND customer_id < $2", "Google Inc.", 50, width=2),
    read("not by company", "SELECT customer_id FROM customer WHERE company <> 'Google Inc.' ORDER BY 1", width=1),
    read("companies", "SELECT company, count(*) FROM customer GROUP BY company", width=2, ordered=False),
    read("distinct", "SELECT DISTINCT company FROM customer", width=1, ordered=False),
    read("joined by it", "SELECT c.customer_id, d.state FROM customer c JOIN customer d ON d.email = c.email ORDER BY 1", width=2),
    read("in an array", "SELECT country, array_agg(phone ORDER BY customer_id) FROM customer GROUP BY country ORDER BY 1", width=2),
    read("chosen", "SELECT customer_id, CASE WHEN state IS NULL THEN city ELSE state END, coalesce(company, 'private') FROM customer ORDER BY 1", width=3),
    read("in a window", "SELECT customer_id, lag(email) OVER (ORDER BY customer_id) FROM customer ORDER BY 1", width=2),
    read("a page", "SELECT * FROM customer ORDER BY customer_id DESC LIMIT 7 OFFSET 10", width=13),
]
NEW = "(customer_id, first_name, last_name, email, city) OVERRIDING SYSTEM VALUE"
WRITES = [
    read("comes", f"INSERT INTO customer {NEW} VALUES ($1, $2, $3, $4, $5) ON CONFLICT (customer_id) DO UPDATE SET email = excluded.email "
         "RETURNING *", 1000, "Zoë", "Ünsal-Ōta", "zoe@example.org", "Wien", width=13),
    read("comes, by literals", f"INSERT INTO customer {NEW} VALUES (1001, 'D''Arcy', '', 'd@example.org', NULL) ON CONFLICT (customer_id) "
         "DO UPDATE SET last_name = excluded.last_name RETURNING email, last_name, city", width=3),
    read("moves", "UPDATE customer SET address = $1, city = $2, state = NULL WHERE email = $3 RETURNING customer_id, address, city, state",
         "Ringstraße 1", "Graz", "zoe@example.org", width=4),
    read("moves, by literals", "UPDATE customer SET phone = '+43 1 5139842', fax = NULL WHERE customer_id = 1001 RETURNING phone, fax", width=2),
    read("is copied", f"INSERT INTO customer {NEW} SELECT customer_id + 1000, first_name, last_name, email, city FROM customer "
         "WHERE customer_id IN (1000, 1001) ON CONFLICT (customer_id) DO NOTHING RETURNING first_name, email", width=2, ordered=False),
    read("there are", "SELECT * FROM customer WHERE customer_id >= 1000 ORDER BY customer_id", width=13),
    read("goes", "DELETE FROM customer WHERE email = $1 AND customer_id >= 1000 RETURNING first_name, last_name", "zoe@example.org", width=2, ordered=False),
    read("all go", "DELETE FROM customer WHERE customer_id >= 1000 RETURNING email", width=1, ordered=False),
]
# These ways have a cursor: they only read.
CURSORS = ("fetch-count*", "server-cursor")


def policy(encrypted: bool, stored: str = "encrypted") -> str:
    columns = []
    for name, (kind, mode) in ENCRYPTED.items():
        more = f', encrypted: {{ type: "{kind}", mode: {mode}, key: customer, domain: {name}, stored: {stored} }}' if encrypted and mode else ""
        columns.append(f"    {name}: {{ tag: personal{more} }}")
    return ("version: 1\ntags:\n  personal: { mask: full }\ncolumns:\n  customer:\n" + "\n".join(columns) +
            f'\nroles:\n  shop: {{ users: [{USER}], sees: {{ "*": clear }} }}\n')


def front(pg, place: Path, name: str, text: str) -> Pgveil:
    (place / f"{name}.yaml").write_text(text, encoding="utf-8")
    return Pgveil(pg, place / f"{name}.yaml", {"keys": {"keyring": place / "keyring.toml", "kek_file": place / "kek"}}, name)


def command(one: Pgveil, *words: str, fails: bool = False) -> str:
    done = subprocess.run([binary(), *words, "--config", one.config], capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shops(pg, chinook, tmp_path_factory):
    """`direct`, `plain` and `sealed`: where to connect. `sealed` was converted by `pgveil encrypt run`; `written` has an empty table with
    columns for envelopes."""
    pg.psql(f"CREATE USER {USER}")
    names = {"direct": "chinook_direct", "plain": "chinook_tagged", "sealed": "chinook_sealed", "written": "chinook_written"}
    for name in names.values():
        pg.psql(f"CREATE DATABASE {name} TEMPLATE chinook_template")
        pg.psql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {USER}", database=name)
    alters = ", ".join(f"ALTER {name} TYPE text" for name, (_, mode) in ENCRYPTED.items() if mode)
    pg.psql(f"TRUNCATE customer CASCADE; ALTER TABLE customer {alters}", database=names["written"])
    place = tmp_path_factory.mktemp("shops")
    sealed = front(pg, place, names["sealed"], policy(True, "mixed"))
    command(sealed, "keys", "init")
    command(sealed, "keys", "create", "customer")
    against = f"host={pg.base} port={pg.port} user=postgres dbname={names['sealed']}"
    command(sealed, "encrypt", "run", "--against", against)
    sealed.policy.write_text(policy(True), encoding="utf-8")
    command(sealed, "encrypt", "verify", "--against", against)
    fronts = {"plain": front(pg, place, names["plain"], policy(False)).start(), "sealed": sealed.start(),
              "written": front(pg, place, names["written"], policy(True)).start()}
    yield {"direct": Direct(pg), **fronts, "names": names}
    for one in fronts.values():
        assert one.stop() == 0, one.log()[-2000:]
        assert "panicked" not in one.log(), one.log()[-2000:]
        one.remove()


def login(shops, name: str) -> drivers.Login:
    return drivers.Login(shops[name].host, shops[name].port, USER, shops["names"][name])


def steps_of(driver: str) -> list[Step]:
    """All that is not refused."""
    steps = [step for step in main_steps(driver) if step.statement.name not in REFUSED]
    for way, form in drivers.WAYS[driver]:
        for statement in READS + ([] if way in CURSORS else WRITES):
            if not (way.endswith("*") and statement.params):
                steps.append(Step(statement, way.rstrip("*"), form, runs=3 if way == "prepared" else 1))
    return steps


def shown(step: Step, outcome: Outcome):
    rows = outcome.rows if step.statement.ordered else sorted(outcome.rows, key=repr)
    return outcome.columns, rows, outcome.error


def revealed(events: list[dict]) -> Counter:
    return Counter(f"{event['table']}.{event['column']}" for event in events)


@pytest.mark.parametrize("driver", sorted(drivers.WAYS))
def test_a_driver_gets_from_encrypted_columns_what_it_gets_from_plain_ones(shops, driver):
    steps = steps_of(driver)
    runs = [step for step in steps for _ in range(step.runs)]
    tails = {name: shops[name].tail() for name in ("plain", "sealed")}
    outcomes = {name: drivers.run(driver, login(shops, name), steps) for name in ("direct", "plain", "sealed")}
    differing = []
    for at, step in enumerate(runs):
        direct, plain, sealed = (shown(step, outcomes[name][at]) for name in ("direct", "plain", "sealed"))
        assert direct[2] is None and plain == direct, (step, plain, direct)
        if sealed != direct:
            differing.append(f"{step.statement.name}, {step.mode}, {step.format}: {step.statement.sql}\n  plain  {str(direct)[:600]}\n  sealed {str(sealed)[:600]}")
        if sealed[2]:
            break
    assert not differing, "\n".join(differing)
    plain, sealed = (tails[name].events() for name in ("plain", "sealed"))
    encrypted = {f"customer.{name}" for name, (_, mode) in ENCRYPTED.items() if mode}
    assert revealed(sealed) == revealed(plain)
    assert all((event["how"] == "decrypted") == (f"{event['table']}.{event['column']}" in encrypted) for event in sealed)


@pytest.mark.parametrize("driver", sorted(drivers.WAYS))
def test_what_the_database_would_have_to_compute_is_refused_with_a_hint(shops, driver):
    way, form = drivers.WAYS[driver][0]
    for statement in MAIN_JOB:
        if statement.name not in REFUSED:
            continue
        step = Step(statement, way.rstrip("*"), form)
        if driver == "psql":
            with pytest.raises(AssertionError) as refused:
                drivers.run(driver, login(shops, "sealed"), [step])
            said = str(refused.value)
            assert "0A000" in said and "HINT" in said
        else:
            (outcome,) = drivers.run(driver, login(shops, "sealed"), [step])
            said = outcome.error["message"]
            assert outcome.error["code"] == "0A000" and outcome.error["hint"]
        assert REFUSED[statement.name] in said and "public.customer." in said


def description(result) -> list[tuple]:
    of = range(result.nfields)
    return [(result.fname(at), result.ftype(at), result.fmod(at), result.fsize(at), result.fformat(at), result.ftable(at), result.ftablecol(at)) for at in of]


def connect(shops, name: str) -> psycopg.Connection:
    one = login(shops, name)
    return psycopg.connect(one.dsn(), autocommit=True, cursor_factory=psycopg.RawCursor)


@pytest.mark.parametrize("binary_format", [False, True])
def test_results_and_parameters_are_described_as_of_the_plain_columns(shops, binary_format):
    seen = {}
    for name in ("direct", "sealed"):
        with connect(shops, name) as connection:
            seen[name] = []
            for number, statement in enumerate([*MAIN_JOB, *READS, *WRITES]):
                if statement.name in REFUSED:
                    continue
                pq = connection.pgconn
                pq.prepare(b"s%d" % number, statement.sql.encode())
                prepared = pq.describe_prepared(b"s%d" % number)
                parameters = [prepared.param_type(at) for at in range(prepared.nparams)]
                cursor = connection.cursor(binary=binary_format)
                cursor.execute(statement.sql, list(statement.params))
                seen[name].append((statement.name, description(prepared), parameters, description(cursor.pgresult)))
    differing = {one[0] for one, other in zip(seen["sealed"], seen["direct"], strict=True) if one != other}
    assert differing == DESCRIBED_OTHERWISE


def test_a_table_written_through_pgveil_reads_as_the_one_that_was_copied(pg, shops):
    columns = ["customer_id", *ENCRYPTED, "support_rep_id"]
    listed, places = ", ".join(columns), ", ".join(f"${number + 1}" for number in range(len(columns)))
    with connect(shops, "plain") as source, connect(shops, "written") as target:
        rows = source.execute(f"SELECT {listed} FROM customer ORDER BY 1").fetchall()
        half = len(rows) // 2
        insert = f"INSERT INTO customer ({listed}) OVERRIDING SYSTEM VALUE VALUES"
        cursor = target.cursor()
        cursor.executemany(f"{insert} ({places})", rows[:half])
        literals = [", ".join("NULL" if one is None else str(one) if isinstance(one, int) else psycopg.sql.quote(one) for one in row) for row in rows[half:]]
        target.execute(insert + ", ".join(f"({row})" for row in literals))
        assert target.execute(f"SELECT {listed} FROM customer ORDER BY 1").fetchall() == rows
    stored = pg.psql("SELECT customer::text FROM customer", database=shops["names"]["written"])
    values = [value for row in rows for name, value in zip(columns, row, strict=True) if ENCRYPTED.get(name, (0, None))[1] and value and len(value) > 5]
    assert len(values) > 250 and not [value for value in values if value in stored]


def test_a_dump_and_the_logs_hold_no_value(pg, shops):
    dump = subprocess.run(["pg_dump", "-h", pg.host, "-p", str(pg.port), "-U", "postgres", "-t", "customer", shops["names"]["sealed"]],
                          check=True, capture_output=True, text=True).stdout
    with connect(shops, "sealed") as connection:
        rows = connection.execute("SELECT email, phone, address, last_name, company, fax FROM customer").fetchall()
    values = [value for row in rows for value in row if value and len(value) > 5]
    written = shops["sealed"].log() + shops["sealed"].access_log.read_text(encoding="utf-8") + shops["sealed"].metrics_text()
    assert len(values) > 200 and not [value for value in values if value in dump or value in written]
