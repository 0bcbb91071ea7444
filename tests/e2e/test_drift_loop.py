"""DDL in a loop, through pgveil and past it, with readers beside: what becomes tagged is never seen unmasked.

Each change turns something that a masked caller reads into something made of a tagged column, and back. The reader asks
all the time, on a session that was open before and has its statement prepared; canaries are counted in all that it receives.
"""

import contextlib
import itertools
import os
import threading
import time

import pytest

from conftest import HERE
from harness.wire import Closed, Raw, bind, describe, execute, parse, query, sync

pytestmark = pytest.mark.proxy

CANARY = b"jane@example.com"
NUMBERS = itertools.count()
#: 200 and more by hand: on a busy machine a round takes a second.
#: Sees everything in clear, and may change everything.
OWNER = "chief"
ROUNDS = int(os.environ.get("PGVEIL_ROUNDS", "10"))

#: name: (what there is before, what makes it tagged, what takes that back, what the reader asks)
CHANGES = {
    "replace view": (
        "CREATE VIEW v AS SELECT id, city AS x FROM person",
        "CREATE OR REPLACE VIEW v AS SELECT id, email AS x FROM person",
        "CREATE OR REPLACE VIEW v AS SELECT id, city AS x FROM person",
        "SELECT x FROM v WHERE id = 1",
    ),
    "replace view, computed": (
        "CREATE VIEW v AS SELECT id, city AS x FROM person",
        "CREATE OR REPLACE VIEW v AS SELECT id, email AS x FROM person",
        "CREATE OR REPLACE VIEW v AS SELECT id, city AS x FROM person",
        "SELECT lower(x) || '' FROM v WHERE id = 1",
    ),
    "swap of names": (
        "SELECT 1",
        "BEGIN; ALTER TABLE person RENAME city TO town; ALTER TABLE person RENAME email TO city; COMMIT",
        "BEGIN; ALTER TABLE person RENAME city TO email; ALTER TABLE person RENAME town TO city; COMMIT",
        "SELECT concat(city) FROM person WHERE id = 1",
    ),
    "rename of a table": (
        "CREATE TABLE other (id int, email text); INSERT INTO other VALUES (1, 'none')",
        "BEGIN; ALTER TABLE other RENAME TO aside; ALTER TABLE person RENAME TO other; COMMIT",
        "BEGIN; ALTER TABLE other RENAME TO person; ALTER TABLE aside RENAME TO other; COMMIT",
        "SELECT concat(email) FROM other WHERE id = 1",
    ),
    "drop and make again": (
        "CREATE TABLE t AS SELECT 1 AS id, 'none'::text AS x",
        "BEGIN; DROP TABLE t; CREATE VIEW t AS SELECT id, email AS x FROM person; COMMIT",
        "BEGIN; DROP VIEW t; CREATE TABLE t AS SELECT 1 AS id, 'none'::text AS x; COMMIT",
        "SELECT concat(x) FROM t WHERE id = 1",
    ),
    "attach a partition": (
        "CREATE TABLE p (LIKE visit) PARTITION BY LIST (id)",
        "ALTER TABLE p ATTACH PARTITION visit FOR VALUES IN (10, 20, 30, 40, 50)",
        "ALTER TABLE p DETACH PARTITION visit",
        "SELECT concat(email) FROM p WHERE id = 10",
    ),
    "inherit": (
        "CREATE TABLE above (id int, email text)",
        "ALTER TABLE visit INHERIT above",
        "ALTER TABLE visit NO INHERIT above",
        "SELECT concat(email) FROM above WHERE id = 10",
    ),
    "replace function": (
        "CREATE FUNCTION f(int) RETURNS text STABLE LANGUAGE sql AS $$ SELECT city FROM person WHERE id = $1 $$",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS text STABLE LANGUAGE sql AS $$ SELECT email FROM person WHERE id = $1 $$",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS text STABLE LANGUAGE sql AS $$ SELECT city FROM person WHERE id = $1 $$",
        "SELECT f(1)",
    ),
    "replace function in plpgsql": (
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'; END $$",
        "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT email FROM person WHERE id = 1); END $$",
        "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'; END $$",
        "SELECT f() FROM person WHERE id = 1",
    ),
    "rule": (
        "CREATE TABLE t (id int)",
        "CREATE RULE r AS ON INSERT TO t DO INSTEAD SELECT email FROM person WHERE id = 1",
        "DROP RULE r ON t",
        "INSERT INTO t VALUES (1)",
    ),
    "row security": (
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true);"
        "CREATE FUNCTION g() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', (SELECT email FROM person WHERE id = 1); RETURN true; END $$",
        "ALTER POLICY p ON t USING (g())",
        "ALTER POLICY p ON t USING (true)",
        "SELECT id FROM t",
    ),
    "trigger": (
        "CREATE TABLE t (id int); CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE NOTICE '%', (SELECT email FROM person WHERE id = 1); RETURN NEW; END $$",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()",
        "DROP TRIGGER g ON t",
        "INSERT INTO t VALUES (1)",
    ),
    "generated column": (
        "ALTER TABLE person ADD COLUMN g text GENERATED ALWAYS AS (city || '') STORED",
        "BEGIN; ALTER TABLE person DROP COLUMN g; ALTER TABLE person ADD COLUMN g text GENERATED ALWAYS AS (email || '') STORED; COMMIT",
        "BEGIN; ALTER TABLE person DROP COLUMN g; ALTER TABLE person ADD COLUMN g text GENERATED ALWAYS AS (city || '') STORED; COMMIT",
        "SELECT concat(g) FROM person WHERE id = 1",
    ),
    "domain": (
        "CREATE FUNCTION says(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', (SELECT email FROM person WHERE id = 1); RETURN true; END $$;"
        "CREATE DOMAIN d AS text",
        "ALTER DOMAIN d ADD CONSTRAINT c CHECK (says(VALUE)) NOT VALID",
        "ALTER DOMAIN d DROP CONSTRAINT c",
        "SELECT 'a'::d",
    ),
    "attributes of a type": (
        "CREATE TYPE pair AS (a text, b text); CREATE FUNCTION pairs() RETURNS pair STABLE LANGUAGE sql AS $$ SELECT ROW(city, 'b')::pair FROM person WHERE id = 1 $$;"
        "CREATE VIEW v AS SELECT (pairs()).a AS x",
        "BEGIN; CREATE OR REPLACE FUNCTION pairs() RETURNS pair STABLE LANGUAGE sql AS $$ SELECT ROW('b', email)::pair FROM person WHERE id = 1 $$;"
        "ALTER TYPE pair RENAME ATTRIBUTE a TO c; ALTER TYPE pair RENAME ATTRIBUTE b TO a; COMMIT",
        "BEGIN; ALTER TYPE pair RENAME ATTRIBUTE a TO b; ALTER TYPE pair RENAME ATTRIBUTE c TO a;"
        "CREATE OR REPLACE FUNCTION pairs() RETURNS pair STABLE LANGUAGE sql AS $$ SELECT ROW(city, 'b')::pair FROM person WHERE id = 1 $$; COMMIT",
        "SELECT (pairs()).a",
    ),
}


class Place:
    """A database of the test's own with pgveil in front."""

    def __init__(self, pg, own_front, **catalog):
        self.name = f"loop_{next(NUMBERS)}"
        pg.psql(f"CREATE DATABASE {self.name}")
        tables = (HERE / "sql" / "people.sql").read_text(encoding="utf-8")
        pg.psql("\n".join(line for line in tables.splitlines() if not line.startswith("CREATE ROLE")), database=self.name)
        self.pg = pg
        self.behind(f"DO $$ BEGIN CREATE ROLE {OWNER} LOGIN SUPERUSER IN ROLE billing; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        self.target = own_front("people.yaml", database=self.name, catalog=catalog)
        self.clients = []

    def client(self, user: str = "sam", target=None) -> Raw:
        target = target or self.target
        made = Raw(target.host, target.port)
        made.login(user, self.name)
        self.clients.append(made)
        return made

    def behind(self, sql: str) -> str:
        return self.pg.psql(sql, database=self.name)

    @contextlib.contextmanager
    def directly(self):
        """Runs SQL on one connection past pgveil."""
        client = Raw(self.pg.host, self.pg.port)
        client.login("postgres", self.name)

        def run(sql: str) -> None:
            got = received(client, query(sql))
            assert b"ERROR" not in got, got

        yield run
        client.close()

    def prepare(self, before: str) -> None:
        self.behind(
            f"{before}; GRANT ALL ON ALL TABLES IN SCHEMA public TO support; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO support"
        )

    def noticed(self, readings: float) -> None:
        """Wait until more readings than these have been made."""
        until = time.monotonic() + 30
        while self.target.metric("pgveil_catalog_reads_total") <= readings:
            assert time.monotonic() < until, "it was not noticed"
            time.sleep(0.01)

    def close(self) -> None:
        for one in self.clients:
            one.close()


@pytest.fixture
def place(pg, own_front):
    places = []

    def made(**catalog) -> Place:
        places.append(Place(pg, own_front, **catalog))
        return places[-1]

    yield made
    for one in places:
        one.close()


def received(client: Raw, data: bytes) -> bytes:
    return b"".join(one.body for one in client.ask(data))


class Asker:
    """A masked caller's session with its statement prepared. Where a change has ended it, it is made anew."""

    def __init__(self, place: Place, asked: str, target=None):
        self.place, self.asked, self.target = place, asked, target
        self.ended = 0
        self.connect()

    def connect(self) -> None:
        self.client = self.place.client(target=self.target)
        # What the statement names may not be there at this moment.
        received(self.client, parse("s", self.asked) + sync())

    def ask(self, data: bytes) -> bytes:
        self.client.frames.clear()
        try:
            return received(self.client, data)
        except (Closed, ConnectionResetError):
            got = b"".join(one.body for one in self.client.frames)
            assert b"C40001" in got or b"C40003" in got, got
            self.ended += 1
            self.connect()
            return got


class Reader:
    """Asks in a tight loop, in both protocols in turn, and counts canaries."""

    def __init__(self, place: Place, asked: str):
        self.asker, self.asked = Asker(place, asked), asked
        self.answers, self.seen, self.stop = 0, [], False
        self.error = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def ask(self) -> None:
        for data in (query(self.asked), bind("", "s") + execute() + sync(), bind("", "s") + describe("P", "") + execute() + sync()):
            got = self.asker.ask(data)
            self.answers += 1
            if CANARY in got:
                self.seen.append(got)

    def run(self) -> None:
        try:
            while not self.stop:
                self.ask()
        except Exception as error:  # the test tells
            self.error = error

    def ended(self) -> None:
        self.stop = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "the reader hangs"
        assert self.error is None, self.error


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_what_is_changed_through_it_is_never_unmasked(place, change):
    before, tagged, back, asked = CHANGES[change]
    here = place()
    here.prepare(before)
    owner = here.client(OWNER)
    session, reader = Asker(here, asked), Reader(here, asked)
    seen = 0
    for number in range(ROUNDS):
        for sql in (tagged, back):
            got = received(owner, query(sql))
            assert b"ERROR" not in got, got
            seen += CANARY in session.ask(query(asked) if number % 2 else bind("", "s") + execute() + sync())
    reader.ended()
    assert (seen, reader.seen) == (0, [])
    assert reader.answers > 3


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_what_is_changed_behind_its_back_is_never_unmasked(place, change):
    before, tagged, back, asked = CHANGES[change]
    here = place()
    here.prepare(before)
    session = Asker(here, asked)
    seen = 0
    with here.directly() as behind:
        for number in range(ROUNDS):
            for sql in (tagged, back):
                behind(sql)
                seen += CANARY in session.ask(query(asked) if number % 2 else bind("", "s") + execute() + sync())
    assert seen == 0


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_by_the_interval_what_is_changed_behind_its_back_is_masked_a_moment_later(place, change):
    before, tagged, back, asked = CHANGES[change]
    here = place(check="interval", refresh_seconds=60)
    here.prepare(before)
    session = Asker(here, asked)
    seen = 0
    with here.directly() as behind:
        for number in range(max(ROUNDS // 40, 2)):
            for sql in (tagged, back):
                # What is not known is looked for: all that was changed earlier has been read by then.
                session.ask(query(f"SELECT FROM nowhere_{next(NUMBERS)}"))
                before = here.target.metric("pgveil_catalog_reads_total")
                behind(sql)
                here.noticed(before)
                seen += CANARY in session.ask(query(asked) if number % 2 else bind("", "s") + execute() + sync())
    assert seen == 0


def test_a_simple_query_that_a_change_has_overtaken_is_sent_again(place):
    here = place()
    here.prepare("CREATE VIEW v AS SELECT id, city AS x FROM person")
    session = here.client()
    asked = "SELECT x FROM v WHERE id = 1"
    assert session.rows(asked) == [["Köln".encode()]]
    with here.directly() as behind:
        for column, shown in [("email", b"j###@#######.###"), ("city", "Köln".encode())] * ROUNDS:
            behind(f"CREATE OR REPLACE VIEW v AS SELECT id, {column} AS x FROM person")
            assert session.rows(asked) == [[shown]]
        received(session, query("BEGIN"))
        behind("CREATE OR REPLACE VIEW v AS SELECT id, email AS x FROM person")
        assert session.rows(asked) == [[b"j###@#######.###"]]
        assert session.ask(query("COMMIT"))[0].tag == "C"


def test_who_holds_what_a_definition_waits_for_goes_on(place):
    here = place()
    owner, session, other = here.client(OWNER), here.client(), here.client()
    received(session, query("BEGIN"))
    received(session, query("SELECT city FROM person WHERE id = 1"))
    owner.send(query("ALTER TABLE person RENAME city TO town"))
    time.sleep(0.05)
    started = time.monotonic()
    for _ in range(5):
        assert b"K\xc3\xb6ln" in received(session, query("SELECT city FROM person WHERE id = 1"))
    assert time.monotonic() - started < 5, "waits once for what may be committed, and not again and again"
    assert b"1" in received(other, query("SELECT 1"))
    received(session, query("COMMIT"))
    owner.until("Z")
    assert b"K\xc3\xb6ln" in received(session, query("SELECT town FROM person WHERE id = 1"))


def test_many_sessions_that_wait_share_a_reading(place):
    here = place()
    owner = here.client(OWNER)
    sessions = [here.client() for _ in range(40)]
    received(owner, query("ALTER TABLE person RENAME city TO town"))
    started = time.monotonic()
    for one in sessions:
        one.send(query("SELECT town FROM person WHERE id = 1"))
    for one in sessions:
        assert b"K\xc3\xb6ln" in b"".join(frame.body for frame in one.until("Z"))
    assert time.monotonic() - started < 10


def test_a_migration_of_a_thousand_definitions_does_not_wait_for_each(place):
    here = place()
    owner = here.client(OWNER)
    before = here.target.metric("pgveil_catalog_reads_total")
    for number in range(1_000):
        received(owner, query(f"CREATE TABLE made_{number} (id int)"))
    assert here.target.metric("pgveil_catalog_reads_total") - before < 400


def test_masked_callers_are_refused_while_what_was_changed_can_not_be_read(place):
    here = place()
    owner, session = here.client(OWNER), here.client()
    received(session, query("SELECT city FROM person WHERE id = 1"))
    # Nobody can read the catalog: pgveil's own connection is ended, and its login may not come back.
    here.behind("ALTER ROLE pgveil NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgveil'")
    try:
        received(owner, query("ALTER TABLE person RENAME city TO town"))
        got = received(session, query("SELECT town FROM person WHERE id = 1"))
        assert b"can not read it now" in got and b"K\xc3\xb6ln" not in got
    finally:
        here.behind("ALTER ROLE pgveil LOGIN")
    until = time.monotonic() + 30
    while b"K\xc3\xb6ln" not in received(session, query("SELECT town FROM person WHERE id = 1")):
        assert time.monotonic() < until
        time.sleep(0.2)
