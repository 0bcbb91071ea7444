"""Functions of users over encrypted columns: what those in SQL are given is encrypted where they store or look for it as it is; what may store
anything else is refused, and plaintext is in no row.
"""

import subprocess

import psycopg
import pytest

from harness.pgveil import Pgveil, binary

pytestmark = [pytest.mark.proxy, pytest.mark.timeout(300)]

POLICY = """version: 1
tags: { private: { mask: full } }
columns:
  people:
    email: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic } }
    note: { tag: private, encrypted: { type: text, key: people, domain: note } }
    born: { tag: private, encrypted: { type: date, key: people, domain: born, mode: deterministic } }
  folded:
    email: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic } }
  with_default:
    email: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic } }
    note: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic } }
    born: { tag: private, encrypted: { type: "varchar(60)", key: people, domain: email, mode: deterministic } }
roles:
  owners: { users: [functions_owner], sees: { "*": clear } }
"""
SETUP = """
CREATE TABLE people (id int PRIMARY KEY, email {email} UNIQUE, note text, born {born}, city text, seen int NOT NULL DEFAULT 0);
CREATE TABLE queue (what text); CREATE TABLE ruled (what text); CREATE TABLE defaulted (what text); CREATE TABLE log (id int, event text);
CREATE TABLE with_default (id serial, email {email} DEFAULT 'default@example.org', note {email} DEFAULT NULL::varchar, born {email} DEFAULT NULL::varchar(60));
CREATE FUNCTION add_person(i int, mail text, n text DEFAULT 'none', c text DEFAULT NULL) RETURNS int LANGUAGE sql
  AS 'INSERT INTO people (id, email, note, city) VALUES (i, mail, add_person.n, $4) RETURNING id';
CREATE FUNCTION add_born(i int, {born_argument}) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, born) VALUES ($1, $2)';
CREATE FUNCTION email(id int, email varchar) RETURNS int LANGUAGE sql
  AS 'INSERT INTO people AS p (id, email) VALUES (email.id, email.email) ON CONFLICT (id) DO UPDATE SET email = excluded.email RETURNING p.id';
CREATE FUNCTION change(old text, mail text) RETURNS void LANGUAGE sql BEGIN ATOMIC UPDATE people SET email = mail WHERE email = old; END;
CREATE FUNCTION move_to(mail text, c text) RETURNS bigint LANGUAGE sql
  AS 'UPDATE people SET city = c WHERE email = mail; INSERT INTO log SELECT id, c FROM people WHERE email = mail; SELECT count(*) FROM log';
CREATE FUNCTION id_of(mail text) RETURNS int LANGUAGE sql STABLE AS 'SELECT id FROM people WHERE email = mail';
CREATE FUNCTION found(mail text) RETURNS TABLE (number int, place text) LANGUAGE sql STABLE AS 'SELECT id, city FROM people WHERE email = $1';
CREATE FUNCTION any_of(mails text[]) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM people WHERE email = ANY (mails)';
CREATE FUNCTION lowers(mail text) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, email) VALUES (100, lower(mail))';
CREATE FUNCTION constant() RETURNS void LANGUAGE sql AS $$INSERT INTO people (id, email) VALUES (101, 'constant')$$;
CREATE FUNCTION or_none(mail text) RETURNS void LANGUAGE sql AS $$INSERT INTO people (id, email) VALUES (102, coalesce(mail, 'none'))$$;
CREATE FUNCTION twice(mail text) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, email, city) VALUES (103, mail, mail)';
CREATE FUNCTION shows(mail text) RETURNS text LANGUAGE sql AS 'INSERT INTO people (id, email) VALUES (104, mail); SELECT mail';
CREATE FUNCTION by_length(mail text) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, email) SELECT 105, mail WHERE length(mail) > 3';
CREATE FUNCTION in_plpgsql(mail text) RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO people VALUES (106, mail); END';
CREATE FUNCTION calls(mail text) RETURNS int LANGUAGE sql AS 'SELECT add_person(107, mail, mail)';
CREATE FUNCTION of_date(d date) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, born) VALUES (108, {date})';
CREATE FUNCTION many(VARIADIC mails text[]) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, email) SELECT 109, unnest(mails)';
CREATE FUNCTION two(mail text) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, email) VALUES (110, mail)';
CREATE FUNCTION two(number int) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id) VALUES (number)';
CREATE PROCEDURE of_a_procedure(mail text) LANGUAGE sql AS 'INSERT INTO people (id, email) VALUES (111, mail)';
CREATE FUNCTION state(int, text) RETURNS int LANGUAGE sql AS 'INSERT INTO people (id, email) VALUES ($1 + 112, $2) RETURNING id';
CREATE AGGREGATE aggregate(text) (SFUNC = state, STYPE = int, INITCOND = 0);
CREATE FUNCTION queued() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO people (id, email) VALUES (113, NEW.what); RETURN NEW; END';
CREATE TRIGGER queued AFTER INSERT ON queue FOR EACH ROW EXECUTE FUNCTION queued();
CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO people (id, email) VALUES (114, NEW.what);
ALTER TABLE defaulted ADD id int DEFAULT add_person(115, 'default@example.org');
CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.email IS DISTINCT FROM OLD.email THEN NEW.seen := OLD.seen + 1; END IF; RETURN NEW; END';
CREATE TRIGGER counted BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION counted();
CREATE TABLE folded (id int PRIMARY KEY, email {email});
CREATE FUNCTION fold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.email := lower(NEW.email); RETURN NEW; END';
CREATE TRIGGER fold BEFORE INSERT OR UPDATE ON folded FOR EACH ROW EXECUTE FUNCTION fold();
GRANT ALL ON ALL TABLES IN SCHEMA public TO functions_owner; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO functions_owner;
"""
# In this order, with what is in place of `$1`, `$2`.
ANSWERED = [
    ("SELECT add_person(1, 'jane@example.org', 'a note', 'Bern')", []),
    ("SELECT add_person($1, $2, $3, $4)", [2, "Zoë@example.org", "", None]),
    ("SELECT add_person(n => 'named', c => 'Chur', mail => $1, i => 3)", ["three@example.org"]),
    ("SELECT * FROM add_person(4, NULL, NULL)", []),
    ("SELECT add_person(5, 'cast@example.org'::varchar(4), $1)", ["n"]),
    ("SELECT add_person(i, m, 'from rows') FROM (VALUES (6, 'six@example.org'), (7, 'seven@example.org')) v(i, m)", []),
    ("SELECT add_born(20, '2000-02-29')", []),
    ("SELECT add_born(21, $1)", ["1984-02-29"]),
    ("SELECT email(1, 'new@example.org')", []),
    ("SELECT email(8, $1)", ["eight@example.org"]),
    ("SELECT change('new@example.org', $1)", ["newer@example.org"]),
    ("SELECT move_to('newer@example.org', 'Basel')", []),
    ("SELECT id_of('newer@example.org'), id_of($1), id_of('nobody')", ["Zoë@example.org"]),
    ("SELECT city FROM people WHERE id = id_of('newer@example.org')", []),
    ("INSERT INTO log SELECT id_of($1), 'id ' || id_of('six@example.org') RETURNING *", ["eight@example.org"]),
    ("SELECT * FROM found('newer@example.org') JOIN people ON id = number", []),
    ("SELECT f.number FROM (VALUES ('six@example.org'), ('none')) v(x), LATERAL found(x) f", []),
    ("EXPLAIN (COSTS false) SELECT add_person(1, 'x', 'y')", []),
    ("SELECT * FROM people ORDER BY id", []),
    ("SELECT * FROM log ORDER BY 1, 2", []),
    ("INSERT INTO with_default (email) VALUES ($1) RETURNING email, note, born", ["given@example.org"]),
]
REFUSED = [
    ("SELECT add_person(50, 'default@example.org')", []),
    ("SELECT add_person(51, 'a' || 'b', 'n')", []),
    ("SELECT add_person(id + 10, 'again' || id::text, 'no') FROM people WHERE false", []),
    ("SELECT add_person(52, upper($1), 'n')", ["x"]),
    ("SELECT add_person(53, city, 'n') FROM people", []),
    ("SELECT add_person(54, email, 'n') FROM people", []),
    ("SELECT add_person(55, x, 'n') FROM (VALUES ('a')) v(x) WHERE x LIKE 'a%'", []),
    ("SELECT x, add_person(56, x, 'n') FROM (VALUES ('a')) v(x)", []),
    ("SELECT lowers('A@example.org')", []),
    ("SELECT constant()", []),
    ("SELECT or_none(NULL)", []),
    ("SELECT twice('a')", []),
    ("SELECT shows('a')", []),
    ("SELECT by_length('long')", []),
    ("SELECT in_plpgsql('a')", []),
    ("SELECT calls('a')", []),
    ("SELECT of_date('2000-01-01')", []),
    ("SELECT many('a')", []),
    ("SELECT any_of('{a}')", []),
    ("SELECT two('a')", []),
    ("CALL of_a_procedure('a')", []),
    ("DO 'BEGIN PERFORM add_person(57, ''a'', ''b''); END'", []),
    ("SELECT aggregate('a')", []),
    ("INSERT INTO queue VALUES ('a')", []),
    ("COPY queue FROM STDIN", []),
    ("INSERT INTO ruled VALUES ('a')", []),
    ("INSERT INTO defaulted (what) VALUES ('a')", []),
    ("INSERT INTO folded VALUES (1, 'A')", []),
    ("INSERT INTO with_default (note) VALUES ('a')", []),
    ("INSERT INTO with_default (email) VALUES (DEFAULT)", []),
    ("INSERT INTO with_default DEFAULT VALUES", []),
    ("UPDATE with_default SET email = DEFAULT", []),
    ("COPY with_default (note) FROM STDIN", []),
    ("COPY folded FROM STDIN", []),
]


@pytest.fixture(scope="module")
def sides(pg, tmp_path_factory):
    """A plain database, and one with encrypted columns behind pgveil."""
    pg.psql("CREATE USER functions_owner; CREATE DATABASE plain_functions; CREATE DATABASE sealed_functions")
    pg.psql(SETUP.format(email="varchar(60)", born="date", born_argument="b date", date="d"), database="plain_functions")
    pg.psql(SETUP.format(email="text", born="text", born_argument="b text", date="d::text"), database="sealed_functions")
    directory = tmp_path_factory.mktemp("sealed_functions")
    (directory / "policy.yaml").write_text(POLICY)
    proxy = Pgveil(pg, directory / "policy.yaml", {"keys": {"keyring": directory / "keyring.json", "kek_file": directory / "kek"}}, "sealed_functions")
    for command in (["init"], ["create", "people"]):
        subprocess.run([binary(), "keys", *command, "--config", proxy.config], check=True, capture_output=True)
    proxy.start()
    yield (pg, "plain_functions"), (proxy, "sealed_functions")
    assert proxy.stop() == 0, proxy.log()[-2000:]
    assert "panicked" not in proxy.log() and "example.org" not in proxy.log()
    proxy.remove()


def connected(side) -> psycopg.Connection:
    server, database = side
    return psycopg.connect(host=server.host, port=server.port, user="functions_owner", dbname=database, autocommit=True, cursor_factory=psycopg.RawCursor)


def answer(connection: psycopg.Connection, sql: str, values: list) -> object:
    """Status, names and rows; or the error's code."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.statusmessage, [column.name for column in cursor.description or []], cursor.fetchall() if cursor.description else None
    except psycopg.Error as error:
        return error.sqlstate


def test_functions_do_with_encrypted_arguments_what_they_do_with_plain_ones(pg, sides):
    with connected(sides[0]) as plain, connected(sides[1]) as sealed:
        for sql, values in ANSWERED:
            assert answer(sealed, sql, values) == answer(plain, sql, values), sql
        # Prepared by the protocol and by SQL.
        for connection in (plain, sealed):
            connection.execute("PREPARE adds AS SELECT add_person($1, $2, $3)")
            assert connection.execute("EXECUTE adds (30, 'prepared@example.org', 'n')").fetchone() == (30,)
            for number in range(31, 36):
                connection.execute("SELECT add_person($1, $2, $3)", [number, f"{number}@example.org", "n"], prepare=True)
        everyone = "SELECT * FROM people ORDER BY id"
        assert answer(sealed, everyone, []) == answer(plain, everyone, [])
    stored = pg.psql("SELECT email, note, born FROM people", database="sealed_functions")
    assert "example" not in stored and "note" not in stored and "2000" not in stored


def test_what_may_store_plaintext_is_refused(pg, sides):
    before = pg.psql("SELECT * FROM people ORDER BY id; SELECT * FROM folded; SELECT * FROM queue", database="sealed_functions")
    with connected(sides[1]) as sealed:
        for sql, values in REFUSED:
            assert answer(sealed, sql, values) == "0A000", sql
        with pytest.raises(psycopg.Error, match="calling function lowers, which may store what is not encrypted") as refused:
            sealed.execute("SELECT lowers('x')")
        assert "Let the function take them as `text`" in refused.value.diag.message_hint
    assert pg.psql("SELECT * FROM people ORDER BY id; SELECT * FROM folded; SELECT * FROM queue", database="sealed_functions") == before


# A function that is made anew is followed anew, in the transaction that makes it too.
def test_functions_that_change_are_followed_as_they_are(pg, sides):
    pg.psql("GRANT CREATE ON SCHEMA public TO functions_owner", database="sealed_functions")
    made = "CREATE OR REPLACE FUNCTION fresh(i int, mail text) RETURNS void LANGUAGE sql AS 'INSERT INTO people (id, email) VALUES (i, {})'"
    with connected(sides[1]) as sealed:
        for number, (value, code) in enumerate([("mail", None), ("lower(mail)", "0A000"), ("mail", None)], 60):
            sealed.execute(made.format(value))
            found = answer(sealed, f"SELECT fresh({number}, 'fresh@example.org{number}')", [])
            assert (found if code else found[0]) == (code or "SELECT 1"), (value, found)
        sealed.execute("BEGIN")
        sealed.execute(made.format("upper(mail)"))
        assert answer(sealed, "SELECT fresh(70, 'never@example.org')", []) == "0A000"
        sealed.execute("ROLLBACK")
        for call in ("SELECT newer(72, 'never@example.org')", "DO 'BEGIN PERFORM newer(73, ''never@example.org''); END'"):
            sealed.execute("BEGIN")
            sealed.execute(made.format("mail").replace("fresh", "newer"))
            assert answer(sealed, call, []) == "0A000"
            sealed.execute("ROLLBACK")
        assert answer(sealed, made.format("upper(mail)") + "; SELECT fresh(71, 'never@example.org')", []) == "0A000"
        assert sealed.execute("SELECT email FROM people WHERE id = 62").fetchone() == ("fresh@example.org62",)
    assert "never" not in pg.psql("SELECT email FROM people", database="sealed_functions").lower()
