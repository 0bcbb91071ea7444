"""`pgveil encrypt plan`, `run`, `verify` and `pgveil decrypt run`: existing data become ciphertext, and plaintext again."""

import json
import signal
import subprocess
import time

import psycopg
import pytest

from harness.encryption import Encryption

pytestmark = pytest.mark.proxy

CANARY = "kanarie"


@pytest.fixture
def migration(pg, request):
    """`migration(tables, columns)`: a database of its own with these tables, and a policy that declares these columns encrypted."""
    made = []

    def make(tables: str, columns: dict[str, dict[str, str]], keys: tuple[str, ...] = ("customer",)) -> Encryption:
        database = f"migration_{len(made)}_{abs(hash(request.node.name)) % 10**8}"
        pg.psql(f"CREATE DATABASE {database}")
        pg.psql(tables, database=database)
        made.append(Encryption(pg, database, columns, keys))
        return made[-1]

    yield make
    for one in made:
        one.remove()
        pg.psql(f"DROP DATABASE {one.database} WITH (FORCE)")


def connect(encryption: Encryption):
    address = f"host={encryption.postgres.base} port={encryption.postgres.port} user=postgres dbname={encryption.database}"
    return psycopg.connect(address, autocommit=True)


def rows(encryption: Encryption, query: str) -> list[tuple]:
    with connect(encryption) as connection:
        return connection.execute(query).fetchall()


# What pg_dump says of a schema, for servers that are newer than it.
SCHEMA = """
    SELECT format('%s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull) FROM pg_attribute
     WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL SELECT format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
     FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1
"""


def dump(encryption: Encryption) -> tuple[str, list[str]]:
    """The schema, and the rows of all tables in an order that does not depend on where they are stored."""
    command = ["pg_dump", "-h", str(encryption.postgres.base), "-p", str(encryption.postgres.port), "-U", "postgres", encryption.database]
    schema = subprocess.run([*command, "--schema-only"], check=False, capture_output=True, text=True)
    if "server version mismatch" in schema.stderr:
        tables = rows(encryption, "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
        data = [row for (table,) in tables for row in rows(encryption, f"SELECT '{table}', {table}::text FROM {table}")]
        return str(rows(encryption, SCHEMA)), sorted(map(str, data))
    assert schema.returncode == 0, schema.stderr
    data = subprocess.run([*command, "--data-only"], check=True, capture_output=True, text=True).stdout
    schema, data = ([line for line in text.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))] for text in (schema.stdout, data))
    return "\n".join(schema), sorted(data)


def versions(encryption: Encryption, key: str = "customer") -> list[str]:
    """The ids of a key's versions, the oldest first."""
    return [version["id"] for version in json.loads(encryption.run("keys", "list", "--json")) if version["key"] == key]


# Each with values that its text form or its storage could lose: bounds, blanks, zeros, quotes, several bytes per character, 1 MB.
TYPES = {
    "text": ["'kanarie Zoë 𝄞'", "''", "E'a\\nb\\\\c\\t'", "'pgvei'", "repeat('é', 500000)"],
    "varchar(60)": ["'kanarie'", "''", "'  x  '", "repeat('ß', 60)"],
    "char(7)": ["'kana'", "''", "'  x'"],
    "bytea": ["'\\x00ff'", "''", "'\\x5056'", "decode(repeat('00ff', 500000), 'hex')"],
    "smallint": ["-32768", "0"],
    "integer": ["2147483647", "-1"],
    "bigint": ["-9223372036854775808", "7"],
    "numeric(12,3)": ["-1.500", "123456789.001", "'NaN'"],
    "numeric": ["1.50", "1e-40", "-123456789012345678901234567890.0001"],
    "real": ["1.1", "'-infinity'"],
    "double precision": ["0.30000000000000004", "'NaN'", "-0.0"],
    "boolean": ["true", "false"],
    "uuid": ["'0e37df36-f698-11e6-8dd4-cb9ced3df976'"],
    "date": ["'2026-11-22'", "'0044-03-15 BC'", "'infinity'", "'5874897-12-31'"],
    "time": ["'23:59:59.999999'", "'24:00'"],
    "timestamp": ["'2026-11-22 12:00:00.000001'", "'-infinity'"],
    "timestamptz": ["'2026-11-22 12:00:00+05:30'", "'infinity'"],
    "interval": ["'1 year -2 days 03:04:05.6'"],
    "inet": ["'10.0.0.1'", "'2001:db8::/32'"],
    "json": ["'{\"a\":  1, \"a\": 2}'"],
    "jsonb": ["'{\"b\": [1, null, \"é\"]}'"],
}


@pytest.mark.parametrize("declared", TYPES)
def test_there_and_back_is_the_same_table(migration, declared):
    values = ", ".join(f"({number}, CAST({value} AS {declared}))" for number, value in enumerate([*TYPES[declared], "NULL"]))
    tables = f"CREATE TABLE t (id int PRIMARY KEY, v {declared}); INSERT INTO t VALUES {values}"
    encryption = migration(tables, {"t": {"v": f"type: '{declared}', domain: v"}})
    before = dump(encryption)
    encryption.run("encrypt", "verify", fails=True)
    encryption.run("encrypt", "run", "--allow-rewrite")
    stored = rows(encryption, "SELECT v FROM t WHERE v IS NOT NULL")
    assert all((value.startswith(b"PV\x01") if isinstance(value, bytes) else value.startswith("pgveil:")) for (value,) in stored)
    assert CANARY not in str(dump(encryption))
    assert f"{len(TYPES[declared])} values open, 1 NULL" in encryption.run("encrypt", "verify")
    with pytest.raises(psycopg.errors.CheckViolation):
        rows(encryption, "INSERT INTO t VALUES (99, 'kanarie')")
    # Nothing is left to do, and nothing is done.
    encryption.run("encrypt", "run", "--allow-rewrite")
    assert sorted(rows(encryption, "SELECT v FROM t WHERE v IS NOT NULL")) == sorted(stored)
    encryption.run("decrypt", "run", "--allow-rewrite")
    assert dump(encryption) == before


def test_a_length_goes_without_writing_the_table_anew(migration):
    encryption = migration("CREATE TABLE t (id int, v varchar(60)); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 10) i",
                           {"t": {"v": "type: varchar(60), domain: v"}})
    plan = json.loads(encryption.run("encrypt", "plan", "--json"))["columns"][0]
    assert (plan["present_type"], plan["stored_type"], plan["rewrites_table"]) == ("character varying(60)", "character varying", False)
    file = rows(encryption, "SELECT pg_relation_filenode('t')")
    encryption.run("encrypt", "run")
    assert rows(encryption, "SELECT pg_relation_filenode('t')") == file
    assert rows(encryption, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'v'") == [
        ("character varying",)]


def test_a_rewrite_is_announced_and_has_to_be_allowed(migration):
    encryption = migration("CREATE TABLE t (id int, v date); INSERT INTO t VALUES (1, now())", {"t": {"v": "type: date, domain: v"}})
    assert "writes the table anew" in encryption.run("encrypt", "plan")
    assert "--allow-rewrite" in encryption.run("encrypt", "run", fails=True)
    assert rows(encryption, "SELECT pg_typeof(v)::text FROM t") == [("date",)]


def test_deterministic_columns_keep_their_unique_index(migration):
    encryption = migration("CREATE TABLE t (id int, v text UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)",
                           {"t": {"v": "type: text, mode: deterministic, domain: v"}})
    encryption.run("encrypt", "run")
    envelope = rows(encryption, "SELECT v FROM t WHERE id = 1")[0][0]
    with pytest.raises(psycopg.errors.UniqueViolation), connect(encryption) as connection:
        connection.execute("INSERT INTO t VALUES (4, %s)", (envelope,))


@pytest.mark.parametrize(("made", "says"), [
    ("CREATE VIEW w AS SELECT v FROM t", "type"),
    ("ALTER TABLE t ADD CHECK (v <> '')", "constraint"),
    ("ALTER TABLE t ADD g text GENERATED ALWAYS AS (lower(v)) STORED", "generated column"),
    ("ALTER TABLE t ALTER v SET DEFAULT 'x'", "default"),
    ("CREATE POLICY p ON t USING (v = current_user)", "row security"),
    ("CREATE TABLE u (v varchar(60) REFERENCES t (v))", "foreign key"),
    ("CREATE RULE r AS ON INSERT TO t WHERE new.v = 'x' DO INSTEAD NOTHING", "rule"),
    ("CREATE UNIQUE INDEX ON t (lower(v))", "index"),
    ("CREATE TRIGGER g BEFORE UPDATE OF v ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "type"),
    ("INSERT INTO t VALUES (9, 'pgveil:but no envelope')", "values"),
    ("CREATE COLLATION c (provider = icu, locale = 'und', deterministic = false); ALTER TABLE t ALTER v TYPE varchar(60) COLLATE c", "collation"),
])
def test_what_is_in_the_way_is_said_and_nothing_is_changed(migration, made, says):
    encryption = migration(f"CREATE TABLE t (id int, v varchar(60) UNIQUE); INSERT INTO t VALUES (1, 'a'); {made}",
                           {"t": {"v": "type: varchar(60), mode: deterministic, domain: v"}})
    plan = json.loads(encryption.run("encrypt", "plan", "--json", fails=True))["columns"][0]
    assert says in {finding["about"] for finding in plan["findings"] if finding["weight"] == "blocks"}
    if says == "values":
        # Such a value is only met when it is read; the others are converted.
        assert "damaged" in encryption.run("encrypt", "run", fails=True)
        assert rows(encryption, "SELECT v FROM t WHERE id = 9") == [("pgveil:but no envelope",)]
        return
    assert "can not be encrypted as it is" in encryption.run("encrypt", "run", fails=True)
    assert rows(encryption, "SELECT v FROM t") == [("a",)]


def test_what_gets_worse_is_said(migration):
    encryption = migration(
        "CREATE TABLE t (id int, v text); INSERT INTO t SELECT i, 'v' || i % 3 FROM generate_series(1, 300) i;"
        "CREATE INDEX plain ON t (v); CREATE INDEX pattern ON t (v text_pattern_ops); CREATE INDEX part ON t (id) WHERE v > 'm';"
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
        "CREATE TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();"
        "CREATE MATERIALIZED VIEW copied AS SELECT v FROM t; CREATE VIEW shown AS SELECT v FROM t;"
        "CREATE FUNCTION by_text() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(v) FROM t); END';"
        "CREATE STATISTICS s ON id, v FROM t",
        {"t": {"v": "type: text, mode: deterministic, domain: v"}})
    said = encryption.run("encrypt", "plan")
    for part in ["3 different values", "33.3 %", "pattern (text_pattern_ops)", "public.part: ", "touched (public.touch())", "copies of the values in plaintext",
                 "public.by_text() names", "statistics object public.s", "goes on serving equality"]:
        assert part in said, part


def test_statements_of_a_log_are_judged(migration, tmp_path):
    encryption = migration("CREATE TABLE t (id int, v text, w text)", {"t": {
        "v": "type: text, mode: deterministic, domain: v", "w": "type: text, domain: w"}})
    log = tmp_path / "server.log"
    log.write_text(
        "2026 [7] LOG:  statement: SELECT * FROM t WHERE v = 'kanarie'\n"
        "2026 [7] LOG:  duration: 0.1 ms  execute s1: SELECT id FROM t\n\tWHERE v LIKE $1\n"
        "2026 [7] LOG:  statement: SELECT id FROM t WHERE w = 'kanarie'\n"
        "2026 [7] LOG:  statement: SELECT id FROM t ORDER BY v\n"
        "2026 [7] LOG:  statement: SELECT id FROM t ORDER BY v\n"
        "2026 [7] LOG:  statement: INSERT INTO t VALUES (1, 'kanarie', $$kanarie$$)\n")
    judged = json.loads(encryption.run("encrypt", "plan", "--json", "--statements", str(log), fails=True))["statements"]
    assert [(refused["line"], refused["count"]) for refused in judged["refused"]] == [(2, 1), (4, 1), (5, 2)]
    assert (judged["read"], judged["rewritten"]) == (6, 2)
    assert CANARY not in str(judged)


def test_a_run_needs_a_policy_that_reads_both_forms(migration):
    encryption = migration("CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a')", {"t": {"v": "type: text, domain: v"}})
    encryption.write_policy(stored="encrypted")
    assert "stored: mixed" in encryption.run("encrypt", "run", fails=True)
    assert rows(encryption, "SELECT v FROM t") == [("a",)]
    encryption.write_policy()
    encryption.run("encrypt", "run")
    encryption.write_policy(stored="encrypted")
    encryption.run("encrypt", "run")
    assert "stored: mixed" in encryption.run("decrypt", "run", fails=True)


def test_a_run_ends_after_its_batch_when_it_is_asked_to_and_goes_on_later(migration):
    encryption = migration("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 2000) i",
                           {"t": {"v": "type: text, domain: v"}})
    process = encryption.start("encrypt", "run", "--batch-rows", "20", "--sleep-ms", "20")
    done = 0
    while not done:
        done = rows(encryption, "SELECT count(*) FROM t WHERE v LIKE 'pgveil:%'")[0][0]
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 1 and "run the same command again" in said
    done = rows(encryption, "SELECT count(*) FROM t WHERE v LIKE 'pgveil:%'")[0][0]
    assert 0 < done < 2000 and done % 20 == 0
    stored = set(rows(encryption, "SELECT id, v FROM t WHERE v LIKE 'pgveil:%'"))
    encryption.run("encrypt", "run")
    encryption.run("encrypt", "verify")
    assert stored <= set(rows(encryption, "SELECT id, v FROM t"))


def test_foreign_keys_are_converted_on_both_sides_at_once(migration):
    encryption = migration(
        "CREATE TABLE person (email varchar(60) PRIMARY KEY, note text);"
        "CREATE TABLE entry (id int PRIMARY KEY, person varchar(60) CONSTRAINT of REFERENCES person ON UPDATE SET NULL ON DELETE CASCADE);"
        "COMMENT ON CONSTRAINT of ON entry IS 'it''s kept';"
        "INSERT INTO person SELECT 'u' || i, 'kanarie' FROM generate_series(1, 300) i;"
        "INSERT INTO entry SELECT i, 'u' || 1 + i % 300 FROM generate_series(1, 900) i; INSERT INTO entry VALUES (0, NULL)",
        {"person": {"email": "type: varchar(60), mode: deterministic, domain: email", "note": "type: text, domain: note"},
         "entry": {"person": "type: varchar(60), mode: deterministic, domain: email"}})
    before = dump(encryption)
    assert "foreign key" in encryption.run("encrypt", "plan")
    assert "choose both" in encryption.run("encrypt", "run", "--column", "person.email", fails=True)
    encryption.run("encrypt", "run")
    encryption.run("encrypt", "verify")
    assert rows(encryption, "SELECT count(*) FROM entry JOIN person ON person = email") == [(900,)]
    schema = dump(encryption)[0]
    assert "ON UPDATE SET NULL ON DELETE CASCADE" in schema and "s kept" in schema
    encryption.run("decrypt", "run", "--allow-rewrite")
    assert dump(encryption) == before


def test_partitions_and_tables_without_a_key_are_converted(migration):
    encryption = migration(
        "CREATE TABLE t (day date, v text) PARTITION BY RANGE (day);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-07-01'); CREATE TABLE t2 PARTITION OF t DEFAULT;"
        "INSERT INTO t SELECT date '2026-01-01' + i, 'v' || i % 50 FROM generate_series(0, 364) i", {"t": {"v": "type: text, domain: v"}})
    before = dump(encryption)
    encryption.run("encrypt", "run")
    assert "365 values open" in encryption.run("encrypt", "verify")
    assert rows(encryption, "SELECT DISTINCT left(v, 7) FROM t") == [("pgveil:",)]
    with pytest.raises(psycopg.errors.CheckViolation):
        rows(encryption, "INSERT INTO t1 VALUES ('2026-02-02', 'plain')")
    encryption.run("decrypt", "run")
    assert dump(encryption) == before


def test_triggers_are_kept_from_firing_where_that_is_asked_for(migration):
    encryption = migration(
        "CREATE TABLE t (id int, v text, changes int DEFAULT 0); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 10) i;"
        "CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.changes := old.changes + 1; RETURN new; END';"
        "CREATE TRIGGER counts BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION count_it()", {"t": {"v": "type: text, domain: v"}})
    encryption.run("encrypt", "run", "--disable-triggers")
    assert rows(encryption, "SELECT sum(changes)::int FROM t") == [(0,)]
    encryption.run("decrypt", "run")
    assert rows(encryption, "SELECT sum(changes)::int FROM t") == [(10,)]


def test_rows_that_a_trigger_keeps_from_being_changed_end_the_run(migration):
    encryption = migration(
        "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b');"
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keeps BEFORE UPDATE ON t FOR EACH ROW WHEN (old.id = 1) EXECUTE FUNCTION never()", {"t": {"v": "type: text, domain: v"}})
    assert "can not be changed" in encryption.run("encrypt", "run", fails=True)


def test_a_value_that_came_twice_in_both_forms_is_named_by_its_key(migration):
    encryption = migration("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE); INSERT INTO t VALUES (1, 'kanarie'), (2, 'b')",
                           {"t": {"v": "type: text, mode: deterministic, domain: v"}})
    encryption.run("encrypt", "run", "--no-constraint")
    rows_before = rows(encryption, "INSERT INTO t SELECT i, 'v' || i FROM generate_series(3, 40) i RETURNING id")
    rows(encryption, "INSERT INTO t VALUES (41, 'kanarie') RETURNING id")
    said = encryption.run("encrypt", "run", fails=True)
    assert "id=41: a row with an equal value is there already" in said and CANARY not in said
    assert len(rows(encryption, "SELECT FROM t WHERE v LIKE 'pgveil:%'")) == 2 + len(rows_before)


@pytest.mark.parametrize(("declared", "value"), [
    ("date", "11/12/2026"), ("timestamptz", "2026-11-22 12:00:00"), ("varchar(3)", "abc  "), ("varchar(3)", "abcd"), ("integer", "x")])
def test_a_text_that_would_be_guessed_at_or_cut_off_stays_as_it_is(migration, declared, value):
    encryption = migration(f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, '{value}')",
                           {"t": {"v": f"type: '{declared}', domain: v"}})
    assert "id=1: it is no value of the type that the policy declares" in encryption.run("encrypt", "run", fails=True)
    assert rows(encryption, "SELECT v FROM t") == [(value,)]


def test_verify_names_rows_that_are_not_right_by_their_keys(migration):
    encryption = migration(
        "CREATE TABLE t (id int, part int, v text, w text, PRIMARY KEY (part, id));"
        "INSERT INTO t SELECT i, 7, 'kanarie' || i, 'w' || i FROM generate_series(1, 9) i",
        {"t": {"v": "type: text, domain: v", "w": "type: text, domain: w, key: other"}}, keys=("customer", "other"))
    encryption.run("encrypt", "run", "--no-constraint")
    encryption.run("encrypt", "verify")
    pg = encryption.postgres
    pg.psql("""
        UPDATE t SET v = 'kanarie' WHERE id = 1;
        UPDATE t SET v = left(v, -4) WHERE id = 2;
        UPDATE t SET v = overlay(v PLACING 'AAAA' FROM 60) WHERE id = 3;
        UPDATE t SET v = w WHERE id = 4;
    """, database=encryption.database)
    found = json.loads(encryption.run("encrypt", "verify", "--json", fails=True)[:].split("\n", 1)[1])
    assert sorted(row.split(": ")[0] for row in found["rows"]) == [f"public.t.v, row part=7 id={number}" for number in (1, 2, 3, 4)]
    assert sum(found["columns"][0]["troubles"].values()) == 4 and not found["columns"][1]["troubles"]
    assert CANARY not in str(found)


def test_randomized_values_go_to_a_new_version_and_the_old_one_can_be_destroyed(migration):
    encryption = migration("CREATE TABLE t (id int, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i",
                           {"t": {"v": "type: text, domain: v"}})
    encryption.run("encrypt", "run")
    encryption.write_policy(stored="encrypted")
    old = versions(encryption)[0]
    encryption.run("keys", "rotate", "customer")
    encryption.run("encrypt", "run", "--move-keys")
    encryption.run("keys", "retire", old)
    said = encryption.run("encrypt", "verify")
    assert "100  key customer v2" in said and "customer v1" not in said
    encryption.run("keys", "destroy", old, "--yes")
    encryption.run("encrypt", "verify")


def test_deterministic_values_are_moved_to_a_new_version_all_at_once(migration):
    encryption = migration(
        "CREATE TABLE person (email text PRIMARY KEY); CREATE TABLE entry (id int, person text REFERENCES person);"
        "CREATE TABLE loose (v text, w bytea); INSERT INTO person SELECT 'u' || i FROM generate_series(1, 50) i;"
        "INSERT INTO entry SELECT i, 'u' || 1 + i % 50 FROM generate_series(1, 100) i; INSERT INTO loose VALUES ('u7', 'u7')",
        {"person": {"email": "type: text, mode: deterministic, domain: email"}, "entry": {"person": "type: text, mode: deterministic, domain: email"},
         "loose": {"v": "type: text, mode: deterministic, domain: email", "w": "type: bytea, mode: deterministic, domain: w"}})
    encryption.run("encrypt", "run")
    encryption.write_policy(stored="encrypted")
    encryption.run("keys", "rotate", "customer")
    assert "--move-keys" in encryption.run("encrypt", "run")
    assert "customer v1" in encryption.run("encrypt", "verify")
    old = versions(encryption)[0]
    encryption.run("keys", "retire", old, fails=True)
    encryption.run("encrypt", "run", "--move-keys", "--settle-seconds", "0")
    said = encryption.run("encrypt", "verify")
    assert "customer v2" in said and "customer v1" not in said
    assert rows(encryption, "SELECT count(*) FROM entry JOIN person ON person = email JOIN loose ON v = email") == [(2,)]
    encryption.run("keys", "retire", old)
    with pytest.raises(psycopg.errors.CheckViolation):
        rows(encryption, "INSERT INTO loose VALUES ('plain')")
    encryption.write_policy()
    encryption.run("decrypt", "run")
    assert rows(encryption, "SELECT v, w FROM loose") == [("u7", b"u7")]


def test_values_of_a_destroyed_key_are_reported_and_left_alone(migration):
    encryption = migration("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')", {"t": {"v": "type: text, domain: v"}})
    encryption.run("encrypt", "run")
    encryption.run("keys", "rotate", "customer")
    old = versions(encryption)[0]
    stored_before = rows(encryption, "SELECT v FROM t")
    encryption.run("encrypt", "run", "--move-keys")
    # As a copy that was put back would.
    with connect(encryption) as connection:
        connection.execute("UPDATE t SET v = %s", stored_before[0])
    encryption.run("keys", "retire", old)
    encryption.run("keys", "destroy", old, "--yes")
    stored = rows(encryption, "SELECT v FROM t")
    assert "id=1: it is sealed with a version of the key that was destroyed" in encryption.run("encrypt", "verify", fails=True)
    encryption.run("encrypt", "run", fails=True)
    assert rows(encryption, "SELECT v FROM t") == stored


def test_applications_go_on_while_their_rows_are_converted(migration, own_front):
    encryption = migration(
        "CREATE TABLE t (id int PRIMARY KEY, email varchar(60) UNIQUE, name text);"
        "INSERT INTO t SELECT i, 'u' || i || '@example.org', 'kanarie ' || i FROM generate_series(1, 1500) i;"
        "DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN END $$; GRANT ALL ON t TO app",
        {"t": {"email": "type: varchar(60), mode: deterministic, domain: email", "name": "type: text, domain: name"}})
    # Envelopes are longer than 60 characters.
    encryption.run("encrypt", "types")
    front = own_front(encryption.policy, encryption.database, keys=encryption.keys())
    expected = {number: (f"u{number}@example.org", f"kanarie {number}") for number in range(1, 1501)}
    process = encryption.start("encrypt", "run", "--batch-rows", "25", "--sleep-ms", "30")
    looked = 0
    with psycopg.connect(host=front.host, port=front.port, user="app", dbname=encryption.database, autocommit=True) as app:
        while process.poll() is None:
            number = 1 + looked * 37 % 1500
            found = app.execute("SELECT id, email, name FROM t WHERE email = %s", (expected[number][0],)).fetchall()
            assert found == [(number, *expected[number])]
            told = app.execute("SELECT count(CASE WHEN email = %s THEN 1 END), count(CASE WHEN email <> 'none' THEN 1 END) FROM t", (expected[number][0],))
            assert told.fetchone() == (1, len(expected))
            if looked % 3 == 0:
                name = f"kanarie changed {looked}"
                app.execute("UPDATE t SET name = %s WHERE id = %s", (name, number))
                expected[number] = (expected[number][0], name)
            elif looked % 3 == 1:
                email = f"new{looked}@example.org"
                app.execute("INSERT INTO t VALUES (%s, %s, %s)", (2000 + looked, email, "kanarie"))
                expected[2000 + looked] = (email, "kanarie")
            looked += 1
        assert process.returncode == 0, process.communicate()[0]
        assert looked > 20
        assert {row[0]: row[1:] for row in app.execute("SELECT id, email, name FROM t")} == expected
    encryption.run("encrypt", "verify")
    assert CANARY not in str(dump(encryption))
    encryption.run("decrypt", "run", "--allow-rewrite")
    assert {row[0]: row[1:] for row in rows(encryption, "SELECT id, email, name FROM t")} == expected


# Of a value that stands there is one form, and rows are in two: what is not converted yet would not be found.
OF_ONE_FORM = [
    "SELECT id FROM t JOIN (VALUES ('u1'), ('u3')) x(v) ON email = v",
    "SELECT count(*), count(id) FROM unnest(ARRAY['u1', 'u9']) x(v) LEFT JOIN t ON email = v",
    "SELECT id FROM t WHERE email IN (VALUES ('u1'))",
    "SELECT id, email = v FROM t, (VALUES ('u1')) x(v)",
    "SELECT find('u1')",
    "INSERT INTO t VALUES (1, 'u1') ON CONFLICT (id) DO UPDATE SET note = 'changed' WHERE t.email <> excluded.email",
    "INSERT INTO t (id, email) SELECT 10, v FROM (VALUES ('u1')) x(v) WHERE NOT EXISTS (SELECT FROM t WHERE email = v)",
]


def test_what_would_miss_rows_of_the_other_form_is_refused_meanwhile(migration, own_front):
    encryption = migration(
        "CREATE TABLE t (id int PRIMARY KEY, email text, note text); INSERT INTO t SELECT i, 'u' || i FROM generate_series(1, 4) i;"
        "CREATE FUNCTION find(text) RETURNS int LANGUAGE sql STABLE AS 'SELECT id FROM t WHERE email = $1';"
        "DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN END $$; GRANT ALL ON t TO app",
        {"t": {"email": "type: text, mode: deterministic, domain: email"}})

    def answers(connection) -> dict:
        done = {statement: connection.execute(statement) for statement in OF_ONE_FORM}
        return {statement: sorted(one.fetchall(), key=repr) if one.description else one.rowcount for statement, one in done.items()}

    with connect(encryption) as connection:
        plain = answers(connection)
    encryption.run("encrypt", "types")
    front = own_front(encryption.policy, encryption.database, keys=encryption.keys())
    login = dict(host=front.host, port=front.port, user="app", dbname=encryption.database, autocommit=True)
    with psycopg.connect(**login) as app:
        app.execute("INSERT INTO t VALUES (5, 'u5')")
        assert app.execute("SELECT id FROM t WHERE email IN ('u1', 'u5') ORDER BY id").fetchall() == [(1,), (5,)]
        app.execute("DELETE FROM t WHERE email = 'u5'")
        for statement in OF_ONE_FORM:
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="being converted"):
                app.execute(statement)
    encryption.run("encrypt", "run")
    encryption.write_policy(stored="encrypted")
    front = own_front(encryption.policy, encryption.database, keys=encryption.keys())
    with psycopg.connect(**(login | {"port": front.port})) as app:
        assert answers(app) == plain


def test_values_are_converted_for_the_tenant_of_their_row(migration, own_front):
    tables = ("CREATE TABLE t (id int PRIMARY KEY, org int NOT NULL, owner uuid, email text, note bytea, title text); INSERT INTO t SELECT i, i % 3, "
              "md5((i % 2)::text)::uuid, 'kanarie ' || i / 3, 'kanarie', 'title' FROM generate_series(1, 60) i; INSERT INTO t VALUES (61, 1, NULL, 'x', 'kanarie', 'y');"
              "DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN END $$; GRANT ALL ON t TO app")
    encryption = migration(tables, {"t": {
        "email": "type: text, mode: deterministic, domain: email, tenant: { column: org }", "note": "type: bytea, domain: note, tenant: { column: owner }",
        "title": "type: text, domain: title, tenant: { setting: app.org }"}})
    before = rows(encryption, "SELECT id, org, email, note FROM t ORDER BY id")
    assert "bound to setting app.org" in encryption.run("encrypt", "plan")
    # A row without tenant stays as it is, and so does what is bound to a setting that nobody has set.
    said = encryption.run("encrypt", "run", fails=True)
    assert "says whose it is is NULL" in said and "bound to a setting" in said and "id=61" in said
    rows_of_nobody = "DELETE FROM t WHERE owner IS NULL; UPDATE t SET title = NULL"
    with connect(encryption) as connection:
        connection.execute(rows_of_nobody)
    encryption.run("encrypt", "run")
    before.pop()
    front = own_front(encryption.policy, encryption.database, keys=encryption.keys())
    with psycopg.connect(host=front.host, port=front.port, user="app", dbname=encryption.database, autocommit=True) as app:
        assert app.execute("SELECT id, org, email FROM t ORDER BY id").fetchall() == [one[:3] for one in before]
        for org in range(3):
            expected = [(one[0], one[2]) for one in before if one[1] == org]
            assert app.execute("SELECT id, email FROM t WHERE org = %s ORDER BY id", (org,)).fetchall() == expected
        app.execute("INSERT INTO t (id, org, email) VALUES (100, 2, 'through pgveil')")
        app.execute("SET app.org = 'acme'")
        app.execute("UPDATE t SET title = 'set' WHERE id = 1")
    said = encryption.run("encrypt", "verify")
    assert "public.t.email: 61 values open" in said and "60 values open" in said and "1 values are envelopes of its key" in said
    encryption.run("keys", "rotate", "customer")
    with connect(encryption) as connection:
        connection.execute("UPDATE t SET title = NULL; UPDATE t SET org = 7 WHERE id = 100")
    assert "id=100" in encryption.run("encrypt", "verify", fails=True)
    with connect(encryption) as connection:
        connection.execute("DELETE FROM t WHERE id = 100")
    encryption.run("encrypt", "run", "--move-keys", "--settle-seconds", "0")
    encryption.run("encrypt", "verify")
    encryption.run("decrypt", "run")
    assert rows(encryption, "SELECT id, org, email, note FROM t ORDER BY id") == before


def test_a_column_says_what_the_setting_is_that_values_are_bound_to(migration, own_front):
    encryption = migration(
        "CREATE TABLE t (id int PRIMARY KEY, org int, title text, body text); CREATE TABLE u (id int PRIMARY KEY, firm text NOT NULL, title text, at date);"
        "INSERT INTO t SELECT i, i % 3, 'kanarie ' || i % 5, 'kanarie' FROM generate_series(1, 60) i; INSERT INTO u SELECT id, org, title FROM t;"
        "DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN END $$; GRANT ALL ON t, u TO app",
        {"t": {"title": "type: text, mode: deterministic, domain: title, tenant: { setting: App.Org }", "body": "type: text, domain: body"},
         "u": {"title": "type: text, mode: deterministic, domain: title, tenant: { setting: app.org }"}})
    everything = "SELECT t.*, u.* FROM t JOIN u USING (id) ORDER BY t.id"
    before = rows(encryption, everything)
    assert "--setting-column app.org=COLUMN" in encryption.run("encrypt", "plan")
    for wrong, why in [("app.firm=org", "no column of such a table is bound"), ("app.org=v.org", "no column of such a table is bound"),
                       ("app.org=org", "public.u.title are, is not there"), ("app.org=u.at", "is not of a type that can"), ("app.org=t.body", "is encrypted itself")]:
        assert why in encryption.run("encrypt", "run", "--setting-column", wrong, fails=True)
        assert rows(encryption, everything) == before
    bound = "--setting-column", "app.org=org", "--setting-column", "APP.ORG=public.u.firm"
    assert "--setting-column" not in encryption.run("encrypt", "plan", *bound)
    encryption.run("encrypt", "run", *bound)
    assert "public.t.title: 60 values open" in encryption.run("encrypt", "verify", *bound)
    assert "60 values are envelopes of its key" in encryption.run("encrypt", "verify")

    def is_seen():
        encryption.write_policy(stored="encrypted")
        front = own_front(encryption.policy, encryption.database, keys=encryption.keys())
        with psycopg.connect(host=front.host, port=front.port, user="app", dbname=encryption.database, autocommit=True) as app:
            for org in range(3):
                app.execute(f"SET app.org = '{org}'")
                assert app.execute("SELECT id, title FROM t WHERE org = %s ORDER BY id", (org,)).fetchall() == [(row[0], row[2]) for row in before if row[1] == org]
                found = app.execute("SELECT t.id FROM t JOIN u USING (title) WHERE t.id = u.id AND title = 'kanarie 2' ORDER BY 1").fetchall()
                assert found == [row[:1] for row in before if row[1] == org and row[2] == "kanarie 2"]
                with pytest.raises(psycopg.errors.DataCorrupted):
                    app.execute("SELECT title FROM t WHERE org <> %s", (org,)).fetchall()

    is_seen()
    # Values of another tenant than their row's do not open.
    with connect(encryption) as connection:
        connection.execute("UPDATE u SET firm = '7' WHERE id = 9")
    assert "id=9" in encryption.run("encrypt", "verify", *bound, fails=True)
    with connect(encryption) as connection:
        connection.execute("UPDATE u SET firm = '0' WHERE id = 9")
    encryption.run("keys", "rotate", "customer")
    encryption.run("encrypt", "run", "--move-keys", "--settle-seconds", "0", *bound)
    assert "v2" in encryption.run("encrypt", "verify", *bound)
    is_seen()
    encryption.write_policy()
    encryption.run("decrypt", "run", *bound)
    assert rows(encryption, everything) == before


def test_types_make_room_and_leave_the_values(migration):
    encryption = migration(
        "CREATE TABLE person (id uuid PRIMARY KEY); CREATE TABLE entry (person uuid REFERENCES person, v varchar(9));"
        "INSERT INTO person SELECT md5(i::text)::uuid FROM generate_series(1, 20) i; INSERT INTO entry SELECT id, 'v' FROM person",
        {"person": {"id": "type: uuid, mode: deterministic, domain: person"},
         "entry": {"person": "type: uuid, mode: deterministic, domain: person", "v": "type: varchar(9), domain: v"}})
    before = dump(encryption)
    assert "--allow-rewrite" in encryption.run("encrypt", "types", fails=True)
    encryption.run("encrypt", "types", "--allow-rewrite")
    query = "SELECT pg_typeof(person)::text, pg_typeof(v)::text, count(*)::int, min(length(person)), min(v) FROM entry JOIN person ON id = person GROUP BY 1, 2"
    assert rows(encryption, query) == [("text", "character varying", 20, 36, "v")]
    encryption.run("encrypt", "run")
    encryption.run("encrypt", "verify")
    encryption.run("decrypt", "run", "--allow-rewrite")
    assert dump(encryption) == before
