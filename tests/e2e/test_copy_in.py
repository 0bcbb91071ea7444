"""COPY from the client: new rows are written, masks among them are not, in every format and mode of the protocol."""

import asyncio
import contextlib
import io
import subprocess

import asyncpg
import psycopg
import pytest

from harness import drivers, wire
from harness.pgveil import Pgveil
from harness.postgres import binaries
from harness.wire import Raw, bind, describe, execute, frame, parse, query, sync

pytestmark = pytest.mark.proxy

DATABASE = "loads"
MASK = "c#####@#######.###"

POLICY = """
version: 1
tags:
  email: { mask: email }
  name: { mask: full }
  birth: { mask: { date_trunc: year } }
  token: { mask: nullify }
columns:
  customers: { email: email, name: name, born: birth, token: token }
  parts: { email: email }
  generated: { email: email }
roles:
  owners: { users: load_boss, sees: { "*": clear } }
  some: { users: load_half, sees: { email: clear } }
"""

TABLES = """
CREATE USER loader; CREATE USER load_boss; CREATE USER load_half;
CREATE TABLE customers (id int PRIMARY KEY, email text, name varchar(40), born date, token text, free text DEFAULT 'none');
CREATE VIEW customer_list AS SELECT id, email, name FROM customers;
CREATE FUNCTION to_customers() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO customers (id, email, name) VALUES (new.id, new.email, new.name); RETURN new; END $$;
CREATE TRIGGER fill INSTEAD OF INSERT ON customer_list FOR EACH ROW EXECUTE FUNCTION to_customers();
CREATE TABLE parts (id int, email text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE generated (twice text GENERATED ALWAYS AS (email || email) STORED, id int, email text);
CREATE TABLE plain (id int, email text);
CREATE TABLE dated (id int, day date);
GRANT ALL ON ALL TABLES IN SCHEMA public TO loader, load_boss, load_half;
"""


@pytest.fixture(scope="module")
def loads(pg, tmp_path_factory):
    pg.psql(f"CREATE DATABASE {DATABASE}")
    pg.psql(TABLES, database=DATABASE)
    directory = tmp_path_factory.mktemp("loads")
    (directory / "policy.yaml").write_text(POLICY)
    proxy = Pgveil(pg, directory / "policy.yaml", database=DATABASE).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def direct(pg, loads):
    with psycopg.connect(f"host={pg.host} port={pg.port} user=postgres dbname={DATABASE}", autocommit=True) as connection:
        connection.execute("TRUNCATE customers, parts, generated, plain, dated")
        yield connection


def login(loads, user="loader"):
    return drivers.Login("127.0.0.1", loads.port, user, DATABASE)


def connect(loads, user="loader", **more):
    return psycopg.connect(login(loads, user).dsn(), autocommit=True, **more)


def load(connection, sql, data):
    with connection.cursor() as cursor:
        with cursor.copy(sql) as copy:
            copy.write(data)
        return cursor.rowcount


# table, columns, number of columns before the email
TARGETS = {
    "customers": ("(id, email)", "SELECT id, email FROM customers"),
    "public.customers": ("(email, id)", "SELECT id, email FROM customers"),
    "customer_list": ("(id, email)", "SELECT id, email FROM customers"),
    "parts": ("", "SELECT id, email FROM parts"),
    "parts_low": ("(id, email)", "SELECT id, email FROM parts"),
    "generated": ("", "SELECT id, email FROM generated"),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("options", "row"),
    [
        ("", "{}\t{}\n"),
        ("(DELIMITER '|')", "{}|{}\r\n"),
        ("CSV", '"{}","{}"\n'),
        ("(FORMAT csv, HEADER, QUOTE '~')", "{},~{}~\r"),
    ],
)
def test_new_rows_are_written_and_masks_are_not(loads, direct, target, options, row):
    columns, select = TARGETS[target]
    reverse = columns == "(email, id)"
    header = row.format("id", "email").replace("~", "") if "HEADER" in options else ""

    def data(*rows):
        return header + "".join(row.format(*(reversed(one) if reverse else one)) for one in rows)

    copy = f"COPY {target} {columns} FROM STDIN {options}"
    with connect(loads) as connection:
        load(connection, copy, data((1, "jane@example.org"), (2, "joe@example.org")))
        expected = [(1, "jane@example.org"), (2, "joe@example.org")]
        assert direct.execute(select + " ORDER BY id").fetchall() == expected
        line = 4 if header else 3
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
            load(connection, copy, data((3, "ann@example.org"), (4, "x@example.org"), (5, MASK), (6, "y@example.org")))
        message = raised.value.diag.message_primary
        assert f"email is a mask (tag \"email\") in line {line} of the data" in message, message
        assert raised.value.diag.message_hint and MASK not in str(raised.value)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert direct.execute(select + " ORDER BY id").fetchall() == expected


def test_what_masks_show_of_other_types_is_written_as_insert_writes_it(loads, direct):
    with connect(loads) as connection:
        # The first of January and NULL are ordinary values of new rows.
        load(connection, "COPY customers FROM STDIN", "1\ta@example.org\tAnn\t1980-01-01\t\\N\tx\n")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="customers.name is a mask"):
            load(connection, "COPY customers FROM STDIN", "2\ta@example.org\t####\t1980-01-01\t\\N\tx\n")
        load(connection, "COPY customers (id, free) FROM STDIN", "3\t####\n")
    with connect(loads, "load_half") as connection:
        load(connection, "COPY customers (id, email) FROM STDIN", f"4\t{MASK}\n")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="customers.name is a mask"):
            load(connection, "COPY customers (id, email, name) FROM STDIN", f"5\t{MASK}\t####\n")
    with connect(loads, "load_boss") as connection:
        load(connection, "COPY customers (id, email, name) FROM STDIN", f"6\t{MASK}\t####\n")
    assert direct.execute("SELECT id FROM customers ORDER BY id").fetchall() == [(1,), (3,), (4,), (6,)]


def test_transactions_go_on_as_the_server_says(loads, direct):
    with connect(loads) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            load(connection, "COPY customers (id, email) FROM STDIN", "1\ta@example.org\n")
            try:
                load(connection, "COPY customers (id, email) FROM STDIN", f"2\t{MASK}\n")
            finally:
                assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with connection.transaction():
            load(connection, "COPY customers (id, email) FROM STDIN", "1\ta@example.org\n")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                load(connection, "COPY customers (id, email) FROM STDIN", f"2\t{MASK}\n")
            load(connection, "COPY customers (id, email) FROM STDIN", "3\tc@example.org\n")
    assert direct.execute("SELECT id FROM customers ORDER BY id").fetchall() == [(1,), (3,)]
    assert loads.metric("pgveil_refusals_total", reason="write_back") >= 2


@pytest.mark.parametrize("binary", [False, True])
def test_rows_of_psycopg(loads, direct, binary):
    options = "(FORMAT BINARY)" if binary else ""

    def rows(connection, masked):
        with connection.cursor() as cursor, cursor.copy(f"COPY customers (id, email, free) FROM STDIN {options}") as copy:
            if binary:
                copy.set_types(["int4", "text", "text"])
            for number in range(20_000):
                copy.write_row((number, MASK if number == masked else f"user{number}@example.org", "x" * (number % 100)))

    with connect(loads) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="in (line|row) 15001 of the data"):
            rows(connection, 15_000)
        assert direct.execute("SELECT count(*) FROM customers").fetchone() == (0,)
        rows(connection, None)
    assert direct.execute("SELECT count(*), count(DISTINCT email), max(length(free)) FROM customers").fetchone() == (20_000, 20_000, 99)


def test_records_of_asyncpg(loads, direct):
    async def play():
        connection = await asyncpg.connect(login(loads).url())
        records = [(number, f"user{number}@example.org") for number in range(5_000)]
        assert await connection.copy_records_to_table("customers", records=records, columns=["id", "email"]) == "COPY 5000"
        with pytest.raises(asyncpg.exceptions.InsufficientPrivilegeError, match="in row 5001 of the data"):
            await connection.copy_records_to_table(
                "customers", records=[*((number + 10_000, email) for number, email in records), (9_999, MASK)], columns=["id", "email"]
            )
        done = await connection.copy_to_table(
            "customers", source=io.BytesIO(b"20000,zoe@example.org\n"), columns=["id", "email"], format="csv"
        )
        assert done == "COPY 1"
        assert await connection.fetchval("SELECT count(*) FROM customers") == 5_001
        await connection.close()

    asyncio.run(play())


def psql(target_dsn, sql, *options):
    command = [str(binaries() / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "-d", target_dsn, *options]
    return subprocess.run(command, input=sql, capture_output=True, text=True, check=False, timeout=60)


def test_copy_of_psql(loads, direct, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("id,email\n1,jane@example.org\n2,joe@example.org\n")
    bad.write_text(f"id,email\n3,jane@example.org\n4,{MASK}\n5,x@example.org\n" + "".join(f"{n},u{n}@example.org\n" for n in range(6, 30_000)))
    done = psql(login(loads).dsn(), f"\\copy customers (id, email) FROM '{good}' CSV HEADER\n")
    assert (done.returncode, done.stdout) == (0, "COPY 2\n"), done
    done = psql(login(loads).dsn(), f"\\copy customers (id, email) FROM '{bad}' CSV HEADER\nSELECT 1;\n")
    assert done.returncode != 0 and "email is a mask" in done.stderr and "in line 3 of the data" in done.stderr, done
    assert "HINT" in done.stderr and MASK not in done.stderr
    assert direct.execute("SELECT count(*) FROM customers").fetchone() == (2,)


def test_a_dump_of_a_masked_role_is_not_loaded_over_what_it_masks(loads, direct):
    direct.execute("INSERT INTO customers (id, email, name, born, free) VALUES (1, 'canary@example.com', 'Jane', '1984-02-29', 'x')")
    direct.execute("INSERT INTO plain VALUES (1, 'p@example.org'); INSERT INTO dated VALUES (1, '2000-01-01')")
    dumps = {}
    for table in ("customers", "plain", "dated"):
        command = [str(binaries() / "pg_dump"), "--data-only", "-t", table, "-d", login(loads).dsn()]
        dumps[table] = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "canary" not in dumps["customers"]
    direct.execute("TRUNCATE customers, plain, dated")
    for table, dump in dumps.items():
        done = psql(login(loads).dsn(), dump)
        if table == "customers":
            assert done.returncode != 0 and "column public.customers.email is a mask" in done.stderr, done
        else:
            assert done.returncode == 0, done
    counts = [direct.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in dumps]
    assert counts == [0, 1, 1]


def test_errors_about_rows_quote_what_the_client_sent_and_nothing_else(loads, direct):
    direct.execute("INSERT INTO customers (id, email) VALUES (1, 'canary@example.com')")
    direct.execute("CREATE UNIQUE INDEX IF NOT EXISTS only_one ON customers (email)")
    try:
        with connect(loads) as connection:
            with pytest.raises(psycopg.errors.InvalidTextRepresentation) as raised:
                load(connection, "COPY customers (id, email) FROM STDIN", "x\tnew@example.org\n")
            assert raised.value.diag.context == 'COPY customers, line 1, column id: "x"'
            with pytest.raises(psycopg.errors.UniqueViolation) as raised:
                load(connection, "COPY customers (id, email) FROM STDIN", "2\tcanary@example.com\n")
            assert "canary" not in str(vars(raised.value.diag)) + str(raised.value) + str(raised.value.diag.message_detail)
            assert raised.value.diag.context is None and raised.value.diag.constraint_name == "only_one"
            # What the server would refuse it refuses in its own words.
            with pytest.raises(psycopg.errors.UndefinedColumn):
                load(connection, "COPY customers (id, missing) FROM STDIN", "1\t2\n")
            with pytest.raises(psycopg.errors.BadCopyFileFormat):
                load(connection, "COPY customers (id, email) FROM STDIN", "1\n")
    finally:
        direct.execute("DROP INDEX only_one")


def test_conditions_look_at_the_new_rows_alone(loads, direct):
    with connect(loads) as connection:
        load(connection, "COPY customers (id, email) FROM STDIN WHERE email LIKE 'a%' AND id < 10", "1\ta@x.org\n2\tb@x.org\n30\tab@x.org\n")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            load(connection, "COPY customers (id, email) FROM STDIN WHERE query_to_xml('select email from customers', true, true, '')::text > ''", "4\ta@x.org\n")
        with pytest.raises(psycopg.Error):
            load(connection, "COPY customers (id, email) FROM STDIN WHERE id IN (SELECT id FROM customers WHERE email LIKE 'a%')", "4\ta@x.org\n")
    assert direct.execute("SELECT id FROM customers").fetchall() == [(1,)]


def test_encodings(loads, direct):
    with connect(loads, client_encoding="latin1") as connection:
        load(connection, "COPY customers (id, email, name) FROM STDIN", "1\tä@example.org\tZoë\n".encode("latin1"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            load(connection, "COPY customers (id, name) FROM STDIN", b"2\t####\n")
        load(connection, "COPY customers (id, name) FROM STDIN (ENCODING 'utf8')", "3\tZoë\n".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="because of their encoding"):
            load(connection, "COPY customers (id, name) FROM STDIN (ENCODING 'sjis')", b"4\tx\n")
        load(connection, "COPY customers (id, free) FROM STDIN (ENCODING 'sjis')", "5\t日本\n".encode("sjis"))
    assert direct.execute("SELECT id, name FROM customers ORDER BY id").fetchall() == [(1, "Zoë"), (3, "Zoë"), (5, None)]


def test_temporary_tables_are_filled_whatever_comes(loads, direct):
    with connect(loads) as connection:
        connection.execute("CREATE TEMP TABLE copied AS SELECT id, email FROM customers")
        load(connection, "COPY copied FROM STDIN", f"1\t{MASK}\n")
        connection.execute("CREATE TEMP TABLE staging (id int, email text)")
        load(connection, "COPY staging FROM STDIN", f"1\t{MASK}\n2\tx@example.org\n")
        assert connection.execute("SELECT count(*) FROM staging").fetchone() == (2,)


def data(text):
    return wire.frame("d", text.encode())


def test_pipelines_and_clients_that_do_not_wait(loads, direct):
    """Everything at once: before the server says that it reads, after a refusal, and another COPY behind it."""
    copy = "COPY customers (id, email) FROM STDIN"
    one = wire.parse("", copy) + wire.bind("", "") + wire.execute()
    client = Raw(loads.host, loads.port)
    client.login("loader", DATABASE)
    try:
        got = client.ask(one + data("1\ta@example.org\n") + wire.frame("c") + wire.sync())
        assert [frame.tag for frame in got] == ["1", "2", "G", "C", "Z"], wire.outline(got)
        got = client.ask(one + data("2\ta@example") + data(f".org\n3\t{MASK}") + data("\n4\tx\n") + wire.frame("c") + wire.sync())
        assert [frame.tag for frame in got] == ["1", "2", "G", "E", "Z"], wire.outline(got)
        client.send(one + data(f"5\t{MASK}\n") + data("6\tb@example.org\n") + wire.frame("c") + wire.sync())
        client.send(one + data("7\tb@example.org\n") + wire.frame("c") + wire.sync())
        got = client.until("Z") + client.until("Z")
        assert [frame.tag for frame in got] == ["1", "2", "G", "E", "Z", "1", "2", "G", "C", "Z"], wire.outline(got)
        got = client.ask(wire.query(f"{copy}; COPY plain FROM STDIN; {copy}; SELECT 1")
                         + data("8\tc@example.org\n") + wire.frame("c") + data(f"1\t{MASK}\n") + wire.frame("c")
                         + data("9\td@example.org") + wire.frame("c"))
        assert [frame.tag for frame in got] == ["G", "C", "G", "C", "G", "C", "T", "D", "C", "Z"], wire.outline(got)
        got = client.ask(wire.query(f"{copy}; COPY plain FROM STDIN; SELECT 1") + data(f"10\t{MASK}") + wire.frame("c"))
        assert [frame.tag for frame in got] == ["G", "E", "Z"], wire.outline(got)
        got = client.ask(wire.query("SELECT 1"))
        assert [frame.tag for frame in got] == ["T", "D", "C", "Z"], wire.outline(got)
    finally:
        client.close()
    assert direct.execute("SELECT id FROM customers ORDER BY id").fetchall() == [(1,), (7,), (8,), (9,)]
    assert direct.execute("SELECT count(*) FROM plain").fetchone() == (1,)


@pytest.mark.parametrize("user", ["loader", "load_boss"])
@pytest.mark.parametrize("between", [query("SELECT 1"), parse("", "SELECT 1"), sync() + describe("P", ""), execute()], ids=["query", "parse", "sync", "execute"])
def test_a_request_between_a_copy_and_its_data_ends_the_session_as_it_does_directly(pg, loads, user, between):
    """A client that waits for nothing: the server sees the request before any data."""
    copy = parse("", "COPY customers (id, email) FROM STDIN") + bind("", "") + execute()
    data = frame("d", f"9001\t{MASK}\n".encode()) + frame("c") + sync()
    answers = []
    for place in (pg, loads):
        client = Raw(place.host, place.port)
        client.login(user, DATABASE)
        client.send(copy + between + data)
        got = []
        with contextlib.suppress(wire.Closed, ConnectionResetError):
            while True:
                got.append(client.next())
        answers.append(got)
        client.close()
    assert answers[1] == answers[0] and "08P01" in str(answers[0])
    assert pg.psql("SELECT count(*) FROM customers WHERE id = 9001", database=DATABASE).strip() == "0"
