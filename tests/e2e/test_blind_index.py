"""Randomized columns with a blind index: values are found by a column beside them, which the database makes itself and nobody is shown."""

import json
import subprocess
import time

import psycopg
import pytest
from psycopg import sql

from harness.encryption import Encryption
from harness.pgveil import Pgveil, binary

pytestmark = pytest.mark.proxy

DATABASE = "blind"

# column: the type that the application sees, the type that is stored, the column of its index
COLUMNS = {
    "email": ("varchar(60)", "text", "email_index"),
    "born": ("date", "character varying", "Born Index"),
    "number": ("int8", "text", "number_index"),
    "photo": ("bytea", "bytea", "photo_index"),
}


def policy(stored: str = "encrypted", budget: str = "unlimited", columns=COLUMNS) -> str:
    entries = "\n".join(
        f'    {name}: {{ tag: private, encrypted: {{ type: "{kind}", key: people, domain: {name}, blind_index: "{index}", stored: {stored} }} }}'
        for name, (kind, _, index) in columns.items()
    )
    return (
        f"version: 1\ntags:\n  private: {{ mask: full, budget: {budget} }}\n  strict: {{ mask: full, filter: refuse }}\n"
        f"columns:\n  people:\n{entries}\n"
        '    phone: { tag: strict, encrypted: { type: "text", key: people, domain: phone, blind_index: phone_index } }\n'
        'roles:\n  owners: { users: [owner5, postgres], sees: { "*": clear } }\n'
        '  careful: { users: [careful5], sees: { "*": hidden } }\n'
    )


@pytest.fixture(scope="module")
def blind(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    types = ", ".join(f"{name} {stored}" for name, (_, stored, _) in COLUMNS.items())
    plain = ", ".join(f"{name} {kind}" for name, (kind, _, _) in COLUMNS.items())
    pg.psql(
        "CREATE USER owner5; CREATE USER clerk5; CREATE USER careful5;"
        f"CREATE TABLE people (id int PRIMARY KEY, {types}, phone text, city text);"
        f"CREATE TABLE plain_people (id int PRIMARY KEY, {plain}, phone text, city text);"
        "CREATE TABLE orders (id int PRIMARY KEY, person int, amount int);"
        "CREATE TABLE log (said text);",
        database=DATABASE,
    )
    directory = tmp_path_factory.mktemp("blind")
    (directory / "policy.yaml").write_text(policy())
    settings = {"keys": {"keyring": directory / "keyring.json", "kek_file": directory / "kek"}}
    proxy = Pgveil(pg, directory / "policy.yaml", settings, DATABASE)
    for command in (["keys", "init"], ["keys", "create", "people"], ["encrypt", "types", "--allow-rewrite", *against(pg)]):
        subprocess.run([binary(), *command, "--config", proxy.config], check=True, capture_output=True)
    pg.psql(
        "CREATE VIEW emails AS SELECT id, email AS mail FROM people;"
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO owner5, clerk5, careful5",
        database=DATABASE,
    )
    proxy.directory = directory
    proxy.start()
    yield proxy
    assert proxy.stop() == 0, proxy.log()
    assert "panicked" not in proxy.log() and "a@x.org" not in proxy.log()
    proxy.remove()


def against(pg, database=DATABASE):
    return ["--against", f"host={pg.base} port={pg.port} user=postgres dbname={database}"]


def reload(proxy):
    """Have it read its policy again, and wait until the new one is in force."""
    generation = proxy.metric("pgveil_policy_generation")
    proxy.reload()
    for _ in range(200):
        if proxy.metric("pgveil_policy_generation") > generation:
            return
        time.sleep(0.05)
    raise AssertionError(proxy.log())


@pytest.fixture(autouse=True)
def empty(pg, blind):
    pg.psql("TRUNCATE people, plain_people, orders", database=DATABASE)


def connect(blind, user="owner5", **options):
    return psycopg.connect(host=blind.host, port=blind.port, user=user, dbname=DATABASE, autocommit=True, **options)


def direct(pg, database=DATABASE):
    return psycopg.connect(host=pg.host, port=pg.port, user="postgres", dbname=database, autocommit=True)


def rows(cursor):
    return [(tuple(row), [column.type_code for column in cursor.description]) for row in cursor.fetchall()]


def both(blind, statements, user="owner5", **options):
    """What the statements answer on the encrypted table and on the plain one."""
    answers = []
    for table in ("people", "plain_people"):
        answer = []
        with connect(blind, user, **options) as connection:
            cursor = connection.cursor()
            for statement, *values in statements:
                try:
                    cursor.execute(statement.replace("PEOPLE", table), *values)
                    answer.append((cursor.statusmessage, sorted(rows(cursor), key=repr) if cursor.description else None))
                except psycopg.Error as error:
                    answer.append((error.sqlstate, str(error) if table == "people" else None))
        answers.append(answer)
    return answers


FILL = [
    ("INSERT INTO PEOPLE (id, email, born, number, city) VALUES (1, 'a@x.org', '1990-01-31', 5, 'Ulm'), (2, 'b@x.org', '1985-02-28', 6, 'Ulm'), "
     "(3, NULL, NULL, NULL, 'Bonn'), (4, 'a@x.org', '1990-01-31', 5, NULL), (5, '', NULL, -7, 'Ulm')",),
    ("INSERT INTO PEOPLE (id, email, number, photo) VALUES (%s, %s, %s, %s)", (6, "Zoë 𝄞", 5, b"\x00\xff")),
    ("INSERT INTO PEOPLE (id, photo) VALUES (7, '\\x00ff'), (8, '\\x')",),
]

SEARCHES = [
    ("SELECT id, email FROM PEOPLE WHERE email = 'a@x.org'",),
    ("SELECT id, email FROM PEOPLE WHERE email = %s", ("b@x.org",)),
    ("SELECT id FROM PEOPLE WHERE email = %s", ("Zoë 𝄞",)),
    ("SELECT id FROM PEOPLE WHERE email = %s", (None,)),
    ("SELECT id FROM PEOPLE WHERE email = ''",),
    ("SELECT id FROM PEOPLE WHERE email <> 'a@x.org'",),
    ("SELECT id FROM PEOPLE WHERE NOT email = 'a@x.org'",),
    ("SELECT id FROM PEOPLE WHERE email IS DISTINCT FROM 'a@x.org'",),
    ("SELECT id FROM PEOPLE WHERE email IS NOT DISTINCT FROM %s", ("a@x.org",)),
    ("SELECT id FROM PEOPLE WHERE email IN ('a@x.org', 'zz', '')",),
    ("SELECT id FROM PEOPLE WHERE email IN ('a@x.org', NULL)",),
    ("SELECT id FROM PEOPLE WHERE email NOT IN ('a@x.org', %s)", ("b@x.org",)),
    ("SELECT id FROM PEOPLE WHERE email NOT IN ('a@x.org', NULL)",),
    ("SELECT id FROM PEOPLE WHERE email = ANY(%s)", (["a@x.org", 'q"\\', None],)),
    ("SELECT id FROM PEOPLE WHERE email <> ALL(%s)", (["a@x.org"],)),
    ("SELECT id FROM PEOPLE WHERE email = ANY('{a@x.org,NULL}')",),
    ("SELECT id FROM PEOPLE WHERE (email)::text = ANY ((ARRAY['a@x.org', 'y'])::text[])",),
    ("SELECT id FROM PEOPLE WHERE born = '1990-01-31' AND number = 5",),
    ("SELECT id FROM PEOPLE WHERE born = DATE '1990-01-31'",),
    ("SELECT id FROM PEOPLE WHERE number = ANY(%s)", ([5, 7],)),
    ("SELECT id FROM PEOPLE WHERE number = -7 OR number = '6'",),
    ("SELECT id FROM PEOPLE WHERE photo = '\\x00FF'",),
    ("SELECT id, email = 'a@x.org', email <> %s, email IN ('', 'b@x.org'), email IS DISTINCT FROM 'a@x.org', born = '1990-01-31' FROM PEOPLE", ("b@x.org",)),
    ("SELECT email = ANY(%s), count(CASE WHEN number = 5 THEN 1 END) FROM PEOPLE GROUP BY 1", (["a@x.org", None],)),
    ("SELECT photo = %s, CASE WHEN NOT email = 'a@x.org' THEN born END FROM PEOPLE ORDER BY email = 'a@x.org', id", (b"",)),
    ("SELECT id FROM PEOPLE WHERE photo = %s OR photo IN (%s, NULL)", (b"", b"\x00\xff")),
    ("SELECT id FROM PEOPLE WHERE 'b@x.org' = email",),
    ('SELECT "P".id FROM PEOPLE AS "P" JOIN PEOPLE p ON p.id = "P".id WHERE "P".email = \'a@x.org\' AND p.number = 5',),
    ("SELECT (SELECT count(*) FROM PEOPLE q WHERE q.email = %s AND q.id >= p.id) FROM PEOPLE p", ("a@x.org",)),
    ("SELECT id FROM (SELECT id, email AS e FROM PEOPLE) s WHERE s.e = %s", ("a@x.org",)),
    ("WITH c AS (SELECT * FROM PEOPLE WHERE email = 'a@x.org') SELECT id, email FROM c WHERE number = 5",),
    ("WITH c AS MATERIALIZED (SELECT id, email, number FROM PEOPLE) SELECT id FROM c WHERE email IN ('a@x.org')",),
    ("SELECT count(*) FILTER (WHERE email = 'a@x.org'), count(email) FROM PEOPLE",),
    ("SELECT p.id FROM PEOPLE p WHERE EXISTS (SELECT FROM PEOPLE q WHERE q.id = p.id AND email = 'a@x.org')",),
    ("SELECT id FROM PEOPLE WHERE email = 'a@x.org' UNION SELECT id FROM PEOPLE WHERE number = 6",),
    ("SELECT email FROM PEOPLE WHERE email IS NULL OR email = 'b@x.org'",),
]

CHANGES = [
    ("UPDATE PEOPLE SET email = 'new@x.org' WHERE email = 'b@x.org' RETURNING id, email",),
    ("UPDATE PEOPLE SET email = %s, number = %s WHERE email = %s", ("c@x.org", 9, "new@x.org")),
    ("SELECT id FROM PEOPLE WHERE email = 'c@x.org' AND number = 9",),
    ("UPDATE PEOPLE p SET city = 'x' FROM orders o WHERE p.email = 'a@x.org' RETURNING p.id",),
    ("MERGE INTO PEOPLE p USING (VALUES (1), (77)) AS v (id) ON p.id = v.id AND p.email = 'a@x.org' WHEN MATCHED THEN UPDATE SET email = 'm@x.org' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, 'n@x.org')",),
    ("SELECT id FROM PEOPLE WHERE email IN ('m@x.org', 'n@x.org')",),
    ("DELETE FROM PEOPLE WHERE email = %s", ("a@x.org",)),
    ("SELECT id FROM PEOPLE",),
]


@pytest.mark.parametrize("cursor", ["simple", "extended", "prepared", "binary"])
def test_searches_answer_as_on_the_plain_table(blind, cursor):
    factory = psycopg.ClientCursor if cursor == "simple" else psycopg.Cursor
    options = {"cursor_factory": factory, "prepare_threshold": 0 if cursor == "prepared" else None}
    script = FILL + SEARCHES + CHANGES
    if cursor == "binary":
        script = [(statement.replace("%s", "%b"), *values) for statement, *values in script]
    found, expected = both(blind, script, **options)
    for (statement, *values), one, other in zip(script, found, expected, strict=True):
        assert one == other, (statement, values)


def test_a_prepared_statement_is_used_again(blind):
    both(blind, FILL)
    with connect(blind) as connection:
        for value, expected in [("a@x.org", [1, 4]), ("b@x.org", [2]), ("none", []), (None, []), ("a@x.org", [1, 4])]:
            found = connection.execute("SELECT id FROM people WHERE email = %s ORDER BY id", (value,), prepare=True).fetchall()
            assert [row[0] for row in found] == expected
        connection.execute("PREPARE p (varchar, bytea) AS SELECT id FROM people WHERE email = $1 OR photo = $2")
        assert connection.execute("EXECUTE p ('b@x.org', '\\x00ff')").fetchall() == [(2,), (6,), (7,)]


def stored(pg):
    with direct(pg) as connection:
        return connection.execute('SELECT id, email, email_index, "Born Index", number_index, photo, photo_index FROM people ORDER BY id').fetchall()


def test_the_database_makes_the_index_however_a_row_is_written(pg, blind):
    both(blind, FILL)
    with connect(blind) as connection:
        for options, data in (("", "20\ta@x.org\n21\t\\N\n"), ("(FORMAT csv)", "22,a@x.org\n")):
            with connection.cursor().copy(f"COPY people (id, email) FROM STDIN {options}") as copy:
                copy.write(data)
        connection.execute("INSERT INTO people VALUES (23, 'a@x.org', '1990-01-31')")
        found = connection.execute("SELECT id FROM people WHERE email = 'a@x.org' ORDER BY id").fetchall()
        assert [row[0] for row in found] == [1, 4, 20, 22, 23]
    of = {row[0]: row for row in stored(pg)}
    assert len({of[number][1] for number in (1, 4, 20, 22, 23)}) == 5
    assert len({of[number][2] for number in (1, 4, 20, 22, 23)}) == 1
    assert len({of[number][2] for number in (1, 2, 5, 6)}) == 4
    assert of[3][1:] == (None,) * 6 and of[21][1] is None and of[21][2] is None
    for row in of.values():
        assert row[1] is None or (row[1].startswith("pgveil:UFYBB") and row[1][23:43] == row[2])
    # Equal values of bytea columns are equal there too, and are found by both.
    assert of[6][6] == of[7][6] != of[8][6] and of[6][5][:4] == b"PV\x01\x04"


def test_a_copy_of_the_table_leaves_the_index_out(blind):
    both(blind, FILL)
    with connect(blind) as connection:
        answers = []
        for table in ("people", "plain_people"):
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                answers.append(b"".join(bytes(piece) for piece in copy))
        assert answers[0] == answers[1]
        connection.execute("TRUNCATE people")
        with connection.cursor().copy("COPY people FROM STDIN") as copy:
            copy.write(answers[0])
        assert connection.execute("SELECT count(*) FROM people WHERE email = 'a@x.org'").fetchone() == (2,)


@pytest.mark.parametrize("user", ["owner5", "clerk5", "careful5"])
def test_nobody_is_shown_the_index(blind, user):
    both(blind, FILL)
    with connect(blind, user) as connection:
        for statement in (
            "SELECT * FROM people", "TABLE people", "SELECT email_index, number_index FROM people", "SELECT p.* FROM people p WHERE id = 1",
            "UPDATE people SET city = 'x' RETURNING *", "SELECT email_index FROM people UNION ALL SELECT photo_index FROM people",
            "SELECT * FROM (SELECT * FROM people) s", "WITH c AS (SELECT * FROM people) SELECT * FROM c",
        ):
            cursor = connection.execute(statement)
            places = [place for place, column in enumerate(cursor.description) if "index" in column.name.lower()]
            found = cursor.fetchall()
            assert places and found and all(row[place] is None for row in found for place in places), statement
        with connection.cursor().copy("COPY (SELECT id, email_index FROM people) TO STDOUT") as copy:
            assert {bytes(row).split(b"\t")[1] for row in copy} == {b"\\N\n"}
        for statement in (
            "SELECT id FROM people WHERE email_index = 'x'", "SELECT id FROM people ORDER BY email_index", "SELECT md5(email_index) FROM people",
            "INSERT INTO log SELECT email_index FROM people", "CREATE TEMP TABLE t AS SELECT email_index FROM people",
            "SELECT people FROM people", "SELECT max(email_index) FROM people", "SELECT DISTINCT email_index FROM people",
            "SELECT row_to_json(p) FROM people p", "UPDATE people SET city = email_index", "SELECT substr(email, 24, 20) FROM people",
        ):
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(statement)
            assert refused.value.sqlstate in ("0A000", "42501"), (statement, refused.value)


def test_what_it_does_not_serve_is_refused_with_a_hint(blind):
    both(blind, FILL)
    with connect(blind) as connection:
        for statement, hint in (
            ("SELECT email FROM people GROUP BY email", "deterministic"),
            ("SELECT DISTINCT email FROM people", "deterministic"),
            ("SELECT 1 FROM people a JOIN people b ON a.email = b.email", "deterministic"),
            ("SELECT id FROM people ORDER BY email", "deterministic"),
            ("INSERT INTO people (id, email) VALUES (30, 'a@x.org') ON CONFLICT (email) DO NOTHING", "ON CONFLICT (email_index)"),
            ("SELECT id FROM people WHERE (email, id) = ('a@x.org', 1)", "column = value"),
            ("SELECT id FROM people WHERE email LIKE 'a%'", "blind index"),
            ("SELECT id FROM people WHERE email_index = 'x'", "Compare the column itself"),
        ):
            with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
                connection.execute(statement)
            assert hint in refused.value.diag.message_hint, statement
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (8,)


def test_a_unique_index_on_it_makes_values_unique(pg, blind):
    with direct(pg) as admin:
        admin.execute("CREATE UNIQUE INDEX people_email ON people (email_index)")
    time.sleep(0.5)
    try:
        with connect(blind) as connection:
            connection.execute("INSERT INTO people (id, email) VALUES (1, 'a@x.org'), (2, NULL), (3, NULL)")
            with pytest.raises(psycopg.errors.UniqueViolation) as refused:
                connection.execute("INSERT INTO people (id, email) VALUES (4, 'a@x.org')")
            assert "Key (email_index)=((encrypted)) already exists." in str(refused.value) and "a@x" not in str(refused.value)
            with direct(pg) as admin:
                admin.execute("ALTER TABLE people ADD CONSTRAINT positive CHECK (id > 0)")
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                connection.execute("INSERT INTO people (id, email) VALUES (-1, 'z@x.org')")
            indexes = [word for word in str(refused.value).replace(",", " ").split() if len(word) == 20]
            assert not indexes and "pgveil:" not in str(refused.value)
            upsert = "INSERT INTO people (id, email, city) VALUES (%s, %s, %s) ON CONFLICT (email_index) DO UPDATE SET city = excluded.city, email = excluded.email RETURNING id"
            assert connection.execute(upsert, (5, "a@x.org", "Ulm")).fetchall() == [(1,)]
            assert connection.execute(upsert, (6, "b@x.org", "Bonn")).fetchall() == [(6,)]
            connection.execute("INSERT INTO people (id, email) VALUES (7, 'b@x.org') ON CONFLICT DO NOTHING")
            connection.execute("INSERT INTO people (id, email) VALUES (8, 'b@x.org'), (9, 'c@x.org') ON CONFLICT (email_index) DO NOTHING")
            assert connection.execute("SELECT id, email, city FROM people ORDER BY id").fetchall() == [
                (1, "a@x.org", "Ulm"), (2, None, None), (3, None, None), (6, "b@x.org", "Bonn"), (9, "c@x.org", None)]
        # An ordinary caller too.
        with connect(blind, "clerk5") as connection:
            assert connection.execute("INSERT INTO people (id, email) VALUES (10, 'c@x.org') ON CONFLICT (email_index) DO NOTHING").rowcount == 0
    finally:
        with direct(pg) as admin:
            admin.execute("DROP INDEX people_email")
            admin.execute("ALTER TABLE people DROP CONSTRAINT IF EXISTS positive")


def test_an_index_of_the_database_serves_the_search(pg, blind):
    with connect(blind) as connection:
        with connection.cursor().copy("COPY people (id, email) FROM STDIN") as copy:
            for number in range(5_000):
                copy.write_row((number, f"person{number}@x.org"))
        with direct(pg) as admin:
            admin.execute("ANALYZE people")
        for statement, values in (
            ("SELECT id FROM people WHERE email = 'person77@x.org'", None),
            ("SELECT id FROM people p WHERE p.email IN (%s, 'person2@x.org')", ("person77@x.org",)),
            ("SELECT id FROM people WHERE email = ANY (%s)", (["person77@x.org"],)),
            ("SELECT id FROM (SELECT id FROM people WHERE email = %s) s", ("person77@x.org",)),
            ("UPDATE people SET city = 'x' WHERE email = %s", ("person77@x.org",)),
        ):
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", values).fetchall())
            assert "email_index_idx" in plan and "Seq Scan" not in plan, plan
        started = time.perf_counter()
        for number in range(100):
            assert connection.execute("SELECT id FROM people WHERE email = %s", (f"person{number}@x.org",)).fetchall() == [(number,)]
        assert time.perf_counter() - started < 5


def test_behind_a_view_the_answer_is_the_same(blind):
    both(blind, FILL)
    with connect(blind) as connection:
        for value, expected in (("a@x.org", [1, 4]), ("b@x.org", [2]), ("none", [])):
            found = connection.execute("SELECT id FROM emails WHERE mail = %s ORDER BY id", (value,)).fetchall()
            assert [row[0] for row in found] == expected
        assert connection.execute("SELECT mail FROM emails WHERE mail <> 'a@x.org' AND mail NOT IN ('')").fetchall() == [("b@x.org",), ("Zoë 𝄞",)]


def test_a_masked_caller_searches_as_its_filter_mode_and_budget_say(pg, blind):
    both(blind, FILL)
    with connect(blind, "clerk5") as connection:
        assert connection.execute("SELECT id, email FROM people WHERE email = 'b@x.org'").fetchall() == [(2, "#######")]
        assert connection.execute("SELECT id FROM people WHERE born = %s", ("1985-02-28",)).fetchall() == [(2,)]
        for statement in ("SELECT id FROM people WHERE phone = 'x'", "SELECT id FROM people WHERE phone_index = 'x'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    with connect(blind) as connection:
        assert connection.execute("SELECT id FROM people WHERE phone = 'x'").fetchall() == []
    blind.policy.write_text(policy(budget="4/day"))
    reload(blind)
    try:
        with connect(blind, "clerk5") as connection:
            for _ in range(4):
                connection.execute("SELECT id FROM people WHERE email = %s", ("b@x.org",))
            with pytest.raises(psycopg.Error) as refused:
                connection.execute("SELECT id FROM people WHERE email = %s", ("b@x.org",))
            assert "budget" in str(refused.value)
        with connect(blind) as connection:
            for _ in range(10):
                connection.execute("SELECT id FROM people WHERE email = %s", ("b@x.org",))
    finally:
        blind.policy.write_text(policy())
        reload(blind)


def test_values_are_found_under_both_versions_of_a_key(pg, blind):
    both(blind, FILL)

    def command(*arguments):
        done = subprocess.run([binary(), *arguments, "--config", blind.config], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command("keys", "rotate", "people")
    with connect(blind, prepare_threshold=None) as connection:

        def run(statement, values=None):
            # What was parsed just before the move began is to be prepared again.
            try:
                return connection.execute(statement, values)
            except psycopg.errors.FeatureNotSupported:
                return connection.execute(statement, values)

        run("INSERT INTO people (id, email) VALUES (20, 'a@x.org')")
        expected = [(1,), (4,), (20,)]
        find = "SELECT id FROM people WHERE email = %s ORDER BY id"
        assert run(find, ("a@x.org",)).fetchall() == expected
        moving = subprocess.Popen(
            [binary(), "encrypt", "run", "--move-keys", "--settle-seconds", "4", *against(pg), "--config", blind.config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        written = 100
        while moving.poll() is None:
            assert run(find.replace("ORDER", "AND id < 100 ORDER"), ("a@x.org",)).fetchall() == expected
            assert run("SELECT count(*) FROM people WHERE email NOT IN ('a@x.org', '') AND id < 100").fetchone() == (2,)
            told = "SELECT count(CASE WHEN email = %s THEN 1 END), sum(CASE WHEN email <> 'a@x.org' THEN 1 END) FROM people WHERE email <> '' AND id < 100"
            assert run(told, ("a@x.org",)).fetchone() == (3, 2)
            run("INSERT INTO people (id, email) VALUES (%s, 'late@x.org')", (written,))
            written += 1
            assert run("SELECT count(*) FROM people WHERE email = 'late@x.org'").fetchone() == (written - 100,)
            time.sleep(0.05)
        assert moving.returncode == 0, moving.stdout.read()
        assert run(find, ("a@x.org",)).fetchall() == expected
        assert run("SELECT count(*) FROM people WHERE email = 'late@x.org'").fetchone() == (written - 100,)
    with direct(pg) as admin:
        assert admin.execute("SELECT count(DISTINCT left(email, 23)), count(DISTINCT email_index) FROM people WHERE id IN (1, 4, 20)").fetchone() == (1, 1)
    said = command("encrypt", "verify", *against(pg))
    assert "NOT VALID" not in said and "people v2" in said and "people v1" not in said


@pytest.fixture
def migration(pg, request):
    made = []

    def make(tables: str, columns: dict[str, dict[str, str]]) -> Encryption:
        database = f"blind_{len(made)}_{abs(hash(request.node.name)) % 10**8}"
        pg.psql(f"CREATE DATABASE {database}")
        pg.psql(tables, database=database)
        made.append(Encryption(pg, database, columns))
        return made[-1]

    yield make
    for one in made:
        one.remove()
        pg.psql(f"DROP DATABASE {one.database} WITH (FORCE)")


TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, v varchar(60), n int, b bytea);"
    "INSERT INTO t SELECT g, 'value ' || g % 50, g % 7, decode('00ff', 'hex') FROM generate_series(1, 500) g;"
    "INSERT INTO t VALUES (501, NULL, NULL, NULL)"
)
INDEXED = {
    "t": {
        "v": "type: varchar(60), domain: v, blind_index: v_index",
        "n": "type: int, domain: n, blind_index: n_index",
        "b": "type: bytea, domain: b, blind_index: b_index",
    }
}


def test_a_table_is_converted_and_back_and_searched_all_the_while(pg, migration):
    encryption = migration(TABLES, INDEXED)
    before = pg_dump(encryption)
    plan = encryption.run("encrypt", "plan")
    assert 'ADD COLUMN "v_index" text' in plan and 'CREATE INDEX CONCURRENTLY ON "public"."t" ("v_index")' in plan
    planned = json.loads(encryption.run("encrypt", "plan", "--json"))["columns"]
    assert all(column["blind_index"]["alter"].startswith("ALTER TABLE") for column in planned)
    assert "--allow-rewrite" in encryption.run("encrypt", "types", fails=True)
    encryption.run("encrypt", "types", "--allow-rewrite")
    assert pg.psql("SELECT count(v_index) FROM t", database=encryption.database).strip() == "0"
    proxy = Pgveil(pg, encryption.policy, {"keys": encryption.keys()}, encryption.database)
    proxy.start()
    try:
        pg.psql("DO $$ BEGIN CREATE USER app; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT ALL ON t TO app", database=encryption.database)
        time.sleep(1)
        with psycopg.connect(host=proxy.host, port=proxy.port, user="app", dbname=encryption.database, autocommit=True) as connection:
            def found():
                searches = (
                    "v = 'value 7'", "v <> 'value 7'", "NOT v = 'value 7'", "v IN ('value 7', 'value 8')", "n = 3 AND v = 'value 7'", "b = '\\x00ff'",
                    "v NOT IN ('value 7')", "n = ANY ('{1,2}')", "v IS NOT DISTINCT FROM 'value 7'", "v IS DISTINCT FROM 'value 7'",
                )
                found = [connection.execute(f"SELECT count(*) FROM t WHERE {search}").fetchone()[0] for search in searches]
                # The same as a value.
                counts = ", ".join(f"count(CASE WHEN {search} THEN 1 END)" for search in searches)
                assert list(connection.execute(f"SELECT {counts} FROM t").fetchone()) == found
                return found

            expected = found()
            assert expected[:4] == [10, 490, 490, 20]
            # Written in the one form, found beside the others.
            connection.execute("UPDATE t SET v = 'value 7' WHERE v = 'value 7' AND id < 200")
            assert found() == expected
            running = encryption.start("encrypt", "run", "--allow-rewrite", "--batch-rows", "20", "--sleep-ms", "40")
            while running.poll() is None:
                assert found() == expected
            assert running.returncode == 0, running.stdout.read()
            assert found() == expected
            assert "499 values open" not in encryption.run("encrypt", "verify")
            encryption.write_policy("encrypted")
            reload(proxy)
            assert found() == expected
            encryption.write_policy("mixed")
            reload(proxy)
            running = encryption.start("decrypt", "run", "--allow-rewrite", "--batch-rows", "50")
            assert running.wait() == 0, running.stdout.read()
    finally:
        assert proxy.stop() == 0
        proxy.remove()
    assert pg_dump(encryption) == before


def pg_dump(encryption):
    command = ["pg_dump", "-h", str(encryption.postgres.base), "-p", str(encryption.postgres.port), "-U", "postgres", "--no-acl", encryption.database]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return sorted(line for line in done.stdout.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict")))


def test_verify_holds_the_index_against_the_value(pg, migration):
    encryption = migration(TABLES, INDEXED)
    encryption.run("encrypt", "run", "--allow-rewrite")
    said = encryption.run("encrypt", "verify")
    assert "500 values open, 1 NULL" in said and "NOT VALID" not in said
    # A column that is not the index, though it has its name.
    pg.psql("ALTER TABLE t DROP COLUMN v_index; ALTER TABLE t ADD COLUMN v_index text GENERATED ALWAYS AS (substr(v, 24, 19)) STORED", database=encryption.database)
    assert "v_index of its blind index is not generated of it" in encryption.run("encrypt", "verify", fails=True)
    assert "is not generated as the blind index" in encryption.run("encrypt", "run", "--allow-rewrite", fails=True)
    pg.psql("ALTER TABLE t DROP COLUMN v_index", database=encryption.database)
    assert "v_index of its blind index is not there" in encryption.run("encrypt", "verify", fails=True)
    encryption.run("encrypt", "run", "--allow-rewrite")
    assert "NOT VALID" not in encryption.run("encrypt", "verify")
    # What was sealed without an index is not found, and is said.
    with direct(pg, encryption.database) as admin:
        admin.execute("ALTER TABLE t DROP CONSTRAINT pgveil_encrypted_v")
        admin.execute("UPDATE t SET v = (SELECT v FROM t WHERE id = 2) WHERE id = 1")
    encryption.run("encrypt", "verify")
    with direct(pg, encryption.database) as admin:
        admin.execute("UPDATE t SET v = overlay(v placing (SELECT v_index FROM t WHERE id = 2) from 24) WHERE id = 3")
    assert "damaged" in encryption.run("encrypt", "verify", fails=True)


def test_a_randomized_column_gets_a_blind_index(pg, migration):
    encryption = migration(TABLES, {"t": {"v": "type: varchar(60), domain: v"}})
    encryption.run("encrypt", "run")
    encryption.columns = {"t": {"v": INDEXED["t"]["v"]}}
    encryption.write_policy("encrypted")
    assert "not of the mode" in encryption.run("encrypt", "verify", fails=True)
    encryption.run("encrypt", "run", "--allow-rewrite")
    assert "500 values open" in encryption.run("encrypt", "verify")
    assert pg.psql("SELECT count(DISTINCT v_index) FROM t", database=encryption.database).strip() == "50"
    # And loses it.
    encryption.columns = {"t": {"v": "type: varchar(60), domain: v"}}
    encryption.write_policy("encrypted")
    pg.psql("ALTER TABLE t DROP COLUMN v_index", database=encryption.database)
    encryption.run("encrypt", "run", "--allow-rewrite")
    assert pg.psql("SELECT count(*) FROM t WHERE v LIKE 'pgveil:UFYBA%'", database=encryption.database).strip() == "500"


def test_check_holds_the_policy_against_the_column(pg, blind):
    def check():
        command = [binary(), "check", str(blind.directory / "policy.yaml"), "--against", against(pg)[1]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    assert check()[0] == 0, check()
    with direct(pg) as admin:
        admin.execute("ALTER TABLE people DROP COLUMN email_index")
        code, said = check()
        assert code == 1 and "has no column `email_index`" in said and "ADD COLUMN" in said and "policy.yaml:7:" in said
        with connect(blind) as connection:
            connection.execute("INSERT INTO people (id, email) VALUES (1, 'a@x.org')")
            # Searches do without.
            assert connection.execute("SELECT id FROM people WHERE email = 'a@x.org'").fetchall() == [(1,)]
        admin.execute("ALTER TABLE people ADD COLUMN email_index text")
        code, said = check()
        assert code == 1 and "is not generated as the blind index" in said
        with connect(blind) as connection:
            assert connection.execute("SELECT id FROM people WHERE email = 'a@x.org'").fetchall() == [(1,)]
        admin.execute("ALTER TABLE people DROP COLUMN email_index")
        definition = said.split("makes it: ")[1].splitlines()[0]
        admin.execute(sql.SQL(definition))
        admin.execute("CREATE INDEX people_email_index_idx ON people (email_index)")
        assert check()[0] == 0
    with connect(blind) as connection:
        assert connection.execute("SELECT id FROM people WHERE email = 'a@x.org'").fetchall() == [(1,)]
