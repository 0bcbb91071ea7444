"""The checks that every driver runs, as data. A check is a name and steps; a step says what to do, with which SQL and parameters, and what
is expected of it: `rows`, `done` (no rows), an SQLSTATE, or `any` where drivers go different ways on purpose.

Parameters are text or null, written `$1` in order, each once, with its type behind it; a driver sends them as it sends such values.
"""


def check(name: str, *steps: dict) -> dict:
    return {"name": name, "steps": list(steps)}


def query(sql: str, *params: str | None, expect: str = "rows") -> dict:
    """The driver's usual way of running a statement with parameters."""
    return {"do": "query", "sql": sql, "params": list(params), "expect": expect}


def simple(sql: str, expect: str = "done") -> dict:
    """The driver's way of running text without parameters, possibly of several statements."""
    return {"do": "simple", "sql": sql, "expect": expect}


def prepared(sql: str, *runs: list, expect: str = "rows") -> dict:
    """One prepared statement, run once for each list of parameters."""
    return {"do": "prepared", "sql": sql, "runs": list(runs), "expect": expect}


def batch(sql: str, *runs: list, expect: str = "done") -> dict:
    """The driver's way of running one statement with many lists of parameters: executemany, pipeline, batch."""
    return {"do": "batch", "sql": sql, "runs": list(runs), "expect": expect}


def fetch(sql: str, *params: str | None, size: int = 100, expect: str = "rows") -> dict:
    """Reads a result `size` rows at a time: a portal that is suspended, or a cursor of the server."""
    return {"do": "fetch", "sql": sql, "params": list(params), "size": size, "expect": expect}


def copy_out(sql: str, expect: str = "rows") -> dict:
    return {"do": "copy_out", "sql": sql, "expect": expect}


def copy_in(sql: str, data: str, fail: bool = False, expect: str = "done") -> dict:
    """`fail`: the driver gives up after the data."""
    return {"do": "copy_in", "sql": sql, "data": data, "fail": fail, "expect": expect}


def listen(channel: str, payload: str) -> dict:
    return {"do": "listen", "channel": channel, "payload": payload, "expect": "rows"}


def cancel(sql: str) -> dict:
    """Begins the statement and cancels it from outside a third of a second later."""
    return {"do": "cancel", "sql": sql, "expect": "57014"}


def transaction(*statements: str, end: str = "commit", level: str | None = None) -> dict:
    """By the driver's own calls: begin (at that level), the statements, commit or rollback."""
    return {"do": "transaction", "statements": list(statements), "end": end, "level": level, "expect": "done"}


def meta(what: str, *arguments: str) -> dict:
    """What the driver's own calls say of tables, columns, types or of the server."""
    return {"do": "meta", "what": what, "arguments": list(arguments), "expect": "any"}


# (type, value as text): sent as a parameter and read back, in whatever format the driver uses.
SCALARS = [
    ("int2", "-32768"), ("int4", "2147483647"), ("int8", "-9223372036854775808"), ("numeric", "12345678901234567890.0123456789"),
    ("numeric(8,2)", "-0.50"), ("float4", "1.5"), ("float8", "0.1"), ("float8", "Infinity"), ("bool", "true"), ("text", "plain"),
    ("varchar(10)", "tenletters"), ("char(6)", "abc"), ("name", "a_name"), ('"char"', "c"), ("bytea", "\\xdeadbeef00ff"), ("date", "2020-02-29"),
    ("time", "12:34:56.789"), ("timetz", "12:34:56.789+02"), ("timestamp", "2020-02-29 12:34:56.789"), ("timestamptz", "2020-02-29 12:34:56.789+00"),
    ("interval", "1 day 02:03:04.5"), ("uuid", "00000000-0000-4000-8000-0000000000ff"), ("json", '{"a": [1, null, "x"]}'), ("jsonb", '{"b": {"c": 1.5}}'),
    ("xml", "<a>1</a>"), ("inet", "192.0.2.1/24"), ("cidr", "192.0.2.0/24"), ("macaddr", "08:00:2b:01:02:03"), ("money", "12.34"), ("bit(5)", "10101"),
    ("varbit", "101"), ("oid", "4294967295"), ("point", "(1,2)"), ("box", "(3,4),(1,2)"), ("tsvector", "'cat' 'fat'"), ("tsquery", "'fat' & 'cat'"),
    ("pg_lsn", "16/B374D848"), ("jsonpath", '$."a"'), ("regclass", "pg_class"),
]
OTHERS = [
    ("int4[]", "{1,2,NULL,-4}"), ("text[]", '{plain,"with, comma",NULL,"quo\\"te"}'), ("int4[]", "{{1,2},{3,4}}"), ("float8[]", "{1.5,NaN}"),
    ("date[]", "{2020-01-01,2021-12-31}"), ("shop.mood", "so so"), ("shop.mood[]", "{happy,NULL}"), ("shop.pair", '(7,"seven, or so")'),
    ("shop.pair[]", '{"(1,a)","(2,)"}'), ("shop.posint", "5"), ("shop.word", "short"), ("int4range", "[1,5)"), ("daterange", "[2020-01-01,2020-02-01)"),
    ("numrange", "[1.5,2.5]"), ("int4multirange", "{[1,3),[5,7)}"), ("tstzrange", '["2020-01-01 00:00:00+00",)'),
]
TYPES = [check(f"type {kind} {value}", query(f"SELECT $1::{kind} AS v, pg_typeof($2::{kind})::text AS t", value, value)) for kind, value in SCALARS + OTHERS]
NULLS = [check(f"null of type {kind}", query(f"SELECT $1::{kind} AS v, $2::{kind} IS NULL AS missing", None, None)) for kind in ("int4", "text", "timestamptz", "int4[]", "bytea")]

ERRORS = [check(f"error: {name}", query(sql, *params, expect=state)) for name, sql, params, state in [
    ("syntax, with a position", "SELECT 1 FRM x WHERE", [], "42601"),
    ("no such column", "SELECT no_such_column FROM shop.thing", [], "42703"),
    ("no such table", "SELECT * FROM no_such_table", [], "42P01"),
    ("no such function, with a hint", "SELECT no_such_function($1::int)", ["1"], "42883"),
    ("division by zero", "SELECT 1 / $1::int", ["0"], "22012"),
    ("not a number", "SELECT ($1::text)::int", ["abc"], "22P02"),
    ("unique violation", "INSERT INTO shop.thing (id, label) VALUES ($1::int, 'again')", ["1"], "23505"),
    ("not null violation", "INSERT INTO shop.thing (id, label) VALUES ($1::int, NULL)", ["100"], "23502"),
    ("foreign key violation", "INSERT INTO shop.part (thing_id) VALUES ($1::int)", ["12345"], "23503"),
    ("check violation", "INSERT INTO shop.thing (id, label, amount) VALUES ($1::int, 'x', -1)", ["101"], "23514"),
    ("domain violation", "SELECT ($1::int)::shop.posint", ["-5"], "23514"),
    ("value too long", "INSERT INTO shop.thing (id, label, code) VALUES ($1::int, 'x', 'much too long')", ["102"], "22001"),
    ("no right", "SELECT * FROM shop.locked", [], "42501"),
    ("numeric overflow", "SELECT ($1::int8)::int2", ["70000"], "22003"),
    ("ambiguous column", "SELECT id FROM shop.thing a, shop.thing b", [], "42702"),
    ("a table that is there", "CREATE TABLE shop.thing (id int)", [], "42P07"),
]]

TRANSACTIONS = [
    check("commit", transaction("INSERT INTO shop.slip (id, word) VALUES (1, 'kept')"), query("SELECT * FROM shop.slip WHERE id = 1")),
    check("rollback", transaction("INSERT INTO shop.slip (id, word) VALUES (2, 'lost')", end="rollback"), query("SELECT count(*) FROM shop.slip WHERE id = 2")),
    check("error inside a transaction", simple("BEGIN"), query("INSERT INTO shop.slip (id) VALUES ($1::int)", "3", expect="done"), query("SELECT 1/$1::int", "0", expect="22012"),
          query("SELECT 1", expect="25P02"), simple("ROLLBACK"), query("SELECT count(*) FROM shop.slip WHERE id = 3")),
    check("savepoint", simple("BEGIN"), simple("SAVEPOINT a"), query("SELECT 1/$1::int", "0", expect="22012"), simple("ROLLBACK TO SAVEPOINT a"),
          query("SELECT 'after the savepoint'"), simple("RELEASE SAVEPOINT a"), simple("COMMIT")),
    check("nested savepoints", simple("BEGIN"), simple("SAVEPOINT a"), simple("INSERT INTO shop.slip (id) VALUES (4)"), simple("SAVEPOINT b"),
          simple("INSERT INTO shop.slip (id) VALUES (5)"), simple("ROLLBACK TO b"), simple("COMMIT"), query("SELECT id FROM shop.slip WHERE id IN (4, 5)")),
    *[check(f"isolation {level}", transaction("SELECT count(*) FROM shop.thing", "SELECT current_setting('transaction_isolation')", level=level))
      for level in ("read committed", "repeatable read", "serializable")],
    check("read only", simple("START TRANSACTION READ ONLY"), query("INSERT INTO shop.slip (id) VALUES ($1::int)", "6", expect="25006"), simple("ROLLBACK")),
    check("commit of a failed transaction", simple("BEGIN"), query("SELECT 1/$1::int", "0", expect="22012"), simple("COMMIT"), query("SELECT 'goes on'")),
    check("begin twice", simple("BEGIN"), simple("BEGIN"), simple("COMMIT"), simple("COMMIT")),
    check("deferred constraint at commit", simple("BEGIN"), simple("SET CONSTRAINTS ALL DEFERRED"), query("INSERT INTO shop.late (thing_id) VALUES ($1::int)", "999", expect="done"),
          simple("COMMIT", expect="23503"), query("SELECT 'out of it'")),
    check("two-phase commit", simple("BEGIN"), simple("INSERT INTO shop.slip (id, word) VALUES (7, 'two phases')"), simple("PREPARE TRANSACTION 'drivers'"),
          query("SELECT gid FROM pg_prepared_xacts"), simple("COMMIT PREPARED 'drivers'"), query("SELECT word FROM shop.slip WHERE id = 7")),
    check("two-phase rollback", simple("BEGIN"), simple("INSERT INTO shop.slip (id) VALUES (8)"), simple("PREPARE TRANSACTION 'drivers'"),
          simple("ROLLBACK PREPARED 'drivers'"), simple("ROLLBACK PREPARED 'drivers'", expect="42704")),
    check("autocommit", query("INSERT INTO shop.slip (id, word) VALUES ($1::int, 'by itself')", "9", expect="done"), query("SELECT word FROM shop.slip WHERE id = 9")),
]

PREPARED = [
    check("prepared, many runs", prepared("SELECT $1::int + 1 AS next, $2::text AS word", *[[str(n), f"w{n}"] for n in range(12)])),
    check("prepared, with NULLs between", prepared("SELECT $1::text AS word", ["a"], [None], ["b"])),
    check("prepared, a table", prepared("SELECT * FROM shop.thing WHERE id = $1::int", ["1"], ["2"], ["77"])),
    check("prepared, error in one run", prepared("SELECT 10 / $1::int", ["5"], expect="rows"), prepared("SELECT 10 / $1::int", ["0"], expect="22012"), prepared("SELECT 10 / $1::int", ["2"])),
    check("prepared, of a table that changes", simple("CREATE TABLE shop.changing (a int)"), prepared("SELECT * FROM shop.changing", [], [], expect="any"),
          simple("ALTER TABLE shop.changing ADD COLUMN b text DEFAULT 'new'"), prepared("SELECT * FROM shop.changing", [], expect="any"),
          simple("DROP TABLE shop.changing"), prepared("SELECT * FROM shop.changing", [], expect="any")),
    check("prepared by SQL", simple("PREPARE by_sql (int) AS SELECT label FROM shop.thing WHERE id = $1"), simple("EXECUTE by_sql (1)", "rows"), simple("EXECUTE by_sql (2)", "rows"),
          simple("DEALLOCATE by_sql"), simple("EXECUTE by_sql (1)", "26000")),
    check("prepared, then DISCARD ALL of a name", simple("PREPARE gone AS SELECT 1"), simple("DEALLOCATE gone"), simple("DEALLOCATE gone", "26000")),
    check("insert by a prepared statement", prepared("INSERT INTO shop.slip (id, word) VALUES ($1::int, $2::text)", ["20", "x"], ["21", None], expect="done"),
          query("SELECT * FROM shop.slip WHERE id IN (20, 21) ORDER BY id")),
]

CURSORS = [
    check("cursor by SQL", simple("BEGIN"), simple("DECLARE c CURSOR FOR SELECT id, label FROM shop.thing ORDER BY id"), simple("FETCH 2 FROM c", "rows"),
          simple("MOVE 1 FROM c"), simple("FETCH ALL FROM c", "rows"), simple("CLOSE c"), simple("COMMIT")),
    check("cursor with hold", simple("BEGIN"), simple("DECLARE h CURSOR WITH HOLD FOR SELECT id FROM shop.thing ORDER BY id"), simple("COMMIT"),
          simple("FETCH 2 FROM h", "rows"), simple("FETCH 1 FROM h", "rows"), simple("CLOSE h"), simple("FETCH 1 FROM h", "34000")),
    check("scrolling cursor", simple("BEGIN"), simple("DECLARE s SCROLL CURSOR FOR SELECT id FROM shop.thing ORDER BY id"), simple("FETCH LAST FROM s", "rows"),
          simple("FETCH PRIOR FROM s", "rows"), simple("FETCH ABSOLUTE 1 FROM s", "rows"), simple("FETCH BACKWARD 1 FROM s", "any"), simple("COMMIT")),
    check("a cursor that may not go back", simple("BEGIN"), simple("DECLARE n NO SCROLL CURSOR FOR SELECT 1"), simple("FETCH 1 FROM n", "rows"),
          simple("FETCH BACKWARD 1 FROM n", "55000"), simple("ROLLBACK")),
    check("update at a cursor", simple("BEGIN"), simple("DECLARE u CURSOR FOR SELECT id FROM shop.thing WHERE id = 1 FOR UPDATE"), simple("FETCH 1 FROM u", "rows"),
          simple("UPDATE shop.thing SET amount = amount WHERE CURRENT OF u"), simple("ROLLBACK")),
    check("fetched in parts", fetch("SELECT g, repeat('x', g % 50) AS x FROM generate_series(1, 1000) g", size=100)),
    check("fetched in parts of one", fetch("SELECT id, label FROM shop.thing ORDER BY id", size=1)),
    check("fetched in parts with a parameter", fetch("SELECT g FROM generate_series(1, $1::int) g", "250", size=100)),
    check("fetched in parts, exactly", fetch("SELECT g FROM generate_series(1, 200) g", size=100)),
    check("fetched in parts, none", fetch("SELECT 1 WHERE false", size=10)),
    check("fetched in parts, error in the middle", fetch("SELECT 1 / (50 - g) FROM generate_series(1, 100) g", size=20, expect="22012"), query("SELECT 'goes on'")),
]

COPIES = [
    check("copy out, text", copy_out("COPY (SELECT g, 'row ' || g, NULL FROM generate_series(1, 20) g) TO STDOUT")),
    check("copy out, csv", copy_out("COPY shop.thing TO STDOUT (FORMAT csv, HEADER)")),
    check("copy out, binary", copy_out("COPY (SELECT 1::int, 'x'::text, NULL::int) TO STDOUT (FORMAT binary)")),
    check("copy out, a table", copy_out("COPY shop.thing (id, label) TO STDOUT")),
    check("copy out, big", copy_out("COPY (SELECT g, repeat('y', 200) FROM generate_series(1, 3000) g) TO STDOUT")),
    check("copy out, error before", copy_out("COPY no_such TO STDOUT", expect="42P01"), query("SELECT 'goes on'")),
    check("copy out, error in the middle", copy_out("COPY (SELECT 1 / (50 - g) FROM generate_series(1, 100) g) TO STDOUT", expect="22012"), query("SELECT 'goes on'")),
    check("copy in, text", copy_in("COPY shop.slip (id, word) FROM STDIN", "30\tthirty\n31\t\\N\n32\ttab\\there\n"), query("SELECT * FROM shop.slip WHERE id BETWEEN 30 AND 32 ORDER BY id")),
    check("copy in, csv", copy_in("COPY shop.slip (id, word) FROM STDIN (FORMAT csv)", '33,"quoted, ""so"""\n34,\n'), query("SELECT * FROM shop.slip WHERE id BETWEEN 33 AND 34 ORDER BY id")),
    check("copy in, bad data", copy_in("COPY shop.slip (id, word) FROM STDIN", "35\tfine\nnot a number\tx\n", expect="22P02"), query("SELECT count(*) FROM shop.slip WHERE id = 35")),
    check("copy in, given up", copy_in("COPY shop.slip (id, word) FROM STDIN", "36\tfine\n", fail=True, expect="57014"), query("SELECT count(*) FROM shop.slip WHERE id = 36")),
    check("copy in, big", copy_in("COPY shop.slip (id, word) FROM STDIN", "".join(f"{n}\t{'z' * 100}\n" for n in range(1000, 3000))), query("SELECT count(*), sum(id) FROM shop.slip WHERE id >= 1000"),
          query("DELETE FROM shop.slip WHERE id >= 1000", expect="done")),
    check("copy in, error before", copy_in("COPY no_such FROM STDIN", "1\n", expect="42P01"), query("SELECT 'goes on'")),
]

ASIDE = [
    check("listen and notify", listen("here", "a payload")), check("listen, no payload", listen("Odd Channel", "")), check("listen, unicode", listen("kanal", "größer 漢字")),
    check("a notice", simple("DO $$ BEGIN RAISE NOTICE 'a notice'; END $$")),
    check("a warning with detail and hint", simple("DO $$ BEGIN RAISE WARNING 'a warning' USING DETAIL = 'why', HINT = 'what to do'; END $$")),
    check("a raised error", simple("DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P0042', DETAIL = 'why', HINT = 'what to do'; END $$", "P0042")),
    check("notice of DDL", simple("DROP TABLE IF EXISTS shop.no_such_table"), simple("CREATE TABLE IF NOT EXISTS shop.thing (id int)")),
    check("cancelled", cancel("SELECT pg_sleep(60)"), query("SELECT 'goes on'")),
    check("statement_timeout", simple("SET statement_timeout = 200"), query("SELECT pg_sleep($1::float8)", "60", expect="57014"), simple("RESET statement_timeout"), query("SELECT 'goes on'")),
    check("lock_timeout is a setting", simple("SET lock_timeout = '5s'"), query("SHOW lock_timeout"), simple("RESET lock_timeout")),
]

SETTINGS = [
    check("set and show", simple("SET work_mem = '5MB'"), query("SHOW work_mem"), simple("RESET work_mem")),
    check("set local", simple("BEGIN"), simple("SET LOCAL work_mem = '6MB'"), query("SHOW work_mem"), simple("COMMIT"), query("SELECT current_setting('work_mem') <> '6MB'")),
    check("application_name", query("SHOW application_name"), simple("SET application_name = 'renamed by a driver'"), query("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"), simple("SET application_name = 'drivers'")),
    check("time zone", simple("SET TimeZone = 'Europe/Vienna'"), query("SELECT '2020-06-01 12:00+00'::timestamptz::text"), simple("SET TimeZone = 'UTC'")),
    check("DateStyle", simple("SET DateStyle = 'German, DMY'", "any"), query("SELECT '2020-12-31'::date::text"), simple("SET DateStyle = 'ISO, MDY'")),
    check("search_path", simple("SET search_path = shop"), query("SELECT count(*) FROM thing"), simple("RESET search_path"), query("SELECT count(*) FROM thing", expect="42P01")),
    check("a setting of one's own", query("SELECT set_config('my.own', $1::text, false)", "worth"), query("SELECT current_setting('my.own')")),
    check("no such setting", simple("SET no_such_setting = 1", "42704")), check("a bad value", simple("SET work_mem = 'plenty'", "22023")),
    check("client_encoding", query("SHOW client_encoding"), query("SELECT 'größer', length($1::text)", "größer")),
    check("who and where", query("SELECT current_user, session_user, current_database(), current_schema()")), check("server version", query("SHOW server_version_num")),
]

MANY = [
    check("batch of inserts", batch("INSERT INTO shop.slip (id, word) VALUES ($1::int, $2::text)", *[[str(n), f"batch {n}"] for n in range(200, 240)]), query("SELECT count(*), min(word) FROM shop.slip WHERE id BETWEEN 200 AND 239")),
    check("batch with an error", batch("INSERT INTO shop.slip (id, word) VALUES ($1::int, $2::text)", ["250", "a"], ["250", "twice"], ["251", "b"], expect="23505"), query("SELECT count(*) FROM shop.slip WHERE id IN (250, 251)")),
    check("batch of updates", batch("UPDATE shop.slip SET word = $1::text WHERE id = $2::int", ["x", "200"], ["y", "201"], ["z", "99999"]), query("SELECT word FROM shop.slip WHERE id IN (200, 201) ORDER BY id")),
    check("several statements", simple("SELECT 1 AS one; SELECT 2 AS two, 'x' AS x; SELECT 3 WHERE false", "any")),
    check("several statements that change", simple("INSERT INTO shop.slip (id) VALUES (260); UPDATE shop.slip SET word = 'w' WHERE id = 260; DELETE FROM shop.slip WHERE id = 260", "any")),
    check("several statements, one fails", simple("INSERT INTO shop.slip (id) VALUES (261); SELECT 1/0; SELECT 3", "any"), query("SELECT count(*) FROM shop.slip WHERE id = 261")),
    check("several statements with a transaction", simple("BEGIN; INSERT INTO shop.slip (id) VALUES (262); COMMIT; SELECT count(*) FROM shop.slip WHERE id = 262", "any")),
    check("several statements with parameters", query("SELECT $1::int; SELECT 2", "1", expect="any"), query("SELECT 'goes on'")),
    check("empty", simple("", "any")), check("only a semicolon", simple(";", "any")), check("only a comment", simple("-- nothing", "any")),
    check("a statement between empty ones", simple(";; SELECT 1 ;;", "any")),
    check("generated key", query("INSERT INTO shop.part (thing_id) VALUES ($1::int) RETURNING id, made_by", "1")),
    check("generated keys of several rows", query("INSERT INTO shop.part (thing_id) SELECT $1::int FROM generate_series(1, 3) RETURNING *", "2")),
    check("update returning", query("UPDATE shop.thing SET amount = amount + $1::numeric WHERE id = 3 RETURNING id, amount, label", "0.25")),
    check("delete returning", query("DELETE FROM shop.part RETURNING thing_id")),
    check("upsert", query("INSERT INTO shop.slip (id, word) VALUES ($1::int, 'up') ON CONFLICT (id) DO UPDATE SET word = excluded.word || '!' RETURNING word", "200")),
    check("counts of rows", query("UPDATE shop.slip SET word = word WHERE id BETWEEN $1::int AND 210", "205", expect="done"), query("DELETE FROM shop.slip WHERE id = $1::int", "99999", expect="done")),
    check("common table expression that changes", query("WITH gone AS (DELETE FROM shop.slip WHERE id = $1::int RETURNING *) SELECT count(*) FROM gone", "239")),
]

SHAPES = [
    check("no rows", query("SELECT id, label FROM shop.thing WHERE id < $1::int", "0")), check("no columns", query("SELECT FROM shop.thing", expect="any")),
    check("one name twice", query("SELECT 1 AS a, 2 AS a, 3 AS b")), check("a column without a name", query("SELECT 'x', 1 + 1")),
    check("unusual identifiers", query('SELECT "Odd ""Name""", "über", "select", "with space", "CamelCase" FROM shop."Odd Table" ORDER BY 1')),
    check("identifier at its longest", query(f'SELECT 1 AS "{"n" * 63}"')), check("identifier too long", query(f'SELECT 1 AS "{"n" * 70}"')),
    check("unicode", query("SELECT $1::text AS v, length($2::text) AS n", "é ß 漢字 😀 \u0301", "😀")), check("unicode escapes", query("SELECT U&'\\0041\\00e9', E'\\u6f22\\n\\t'")),
    check("quotes and dollars", query("SELECT 'it''s', E'\\'', $a$ $$ 'x' $a$, $1::text", "it's \\ \"so\" $1")),
    check("a big value", query("SELECT repeat('b', 300000) AS big, length($1::text)", "c" * 100_000)), check("many rows", query("SELECT g, g::text FROM generate_series(1, 3000) g")),
    check("many columns", query("SELECT " + ", ".join(f"{n} AS c{n}" for n in range(200)))), check("many parameters", query("SELECT " + " + ".join(f"${n}::int" for n in range(1, 101)), *[str(n) for n in range(1, 101)])),
    check("values", query("VALUES (1, 'a'), (2, NULL)")), check("a table's row", query("SELECT t FROM shop.thing t ORDER BY id")), check("aggregates", query("SELECT count(*), sum(amount), array_agg(label ORDER BY id), json_agg(id ORDER BY id) FROM shop.thing")),
    check("recursion", query("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < $1::int) SELECT sum(n) FROM r", "50")),
    check("explain", query("EXPLAIN (COSTS OFF) SELECT * FROM shop.thing WHERE label = 'x'")), check("DDL", simple("CREATE TABLE shop.fresh (id serial PRIMARY KEY, t text)"), query("INSERT INTO shop.fresh (t) VALUES ($1::text) RETURNING *", "first"),
          simple("ALTER TABLE shop.fresh ADD COLUMN more int DEFAULT 7"), query("SELECT * FROM shop.fresh"), simple("DROP TABLE shop.fresh")),
    check("a temporary table", simple("CREATE TEMP TABLE passing (id int, t text)"), query("INSERT INTO passing VALUES (1, $1::text)", "x", expect="done"), query("SELECT * FROM passing"), simple("DROP TABLE passing")),
    check("a function of one's own", simple("CREATE FUNCTION shop.twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'"), query("SELECT shop.twice($1::int)", "21"), simple("DROP FUNCTION shop.twice(int)")),
    check("a procedure", simple("CALL shop.note_it('called')"), query("SELECT word FROM shop.slip WHERE id = 500")),
    check("large objects", query("SELECT lo_unlink(lo_from_bytea(0, $1::bytea))", "\\x00ff", expect="any")),
    check("advisory locks", query("SELECT pg_advisory_lock(1) IS NULL, pg_advisory_unlock(1)"), query("SELECT pg_advisory_unlock(1)")),
]

# Rows of a table with tagged columns. Their order is by untagged columns only, and nothing is computed from a tagged one.
TAGGED = [
    check("people", query("SELECT * FROM shop.person ORDER BY id")), check("one person", query("SELECT id, name, email FROM shop.person WHERE id = $1::int", "2")),
    check("people without what is tagged", query("SELECT id, city, born FROM shop.person ORDER BY id")), check("people, simple", simple("SELECT id, name, phone FROM shop.person ORDER BY id", "rows")),
    check("people, prepared", prepared("SELECT name, city FROM shop.person WHERE id = $1::int", ["1"], ["2"], ["3"], ["99"])),
    check("people, in parts", fetch("SELECT id, email, note FROM shop.person ORDER BY id", size=2)),
    check("people, joined", query("SELECT p.name, t.label FROM shop.person p JOIN shop.thing t ON t.id = p.id ORDER BY t.id")),
    check("people, by a view", query("SELECT who, city FROM shop.people ORDER BY id")), check("people, from a subquery", query("SELECT q.mail FROM (SELECT email AS mail, id FROM shop.person) q ORDER BY q.id")),
    check("people, by a cursor", simple("BEGIN"), simple("DECLARE p CURSOR FOR SELECT name, email FROM shop.person ORDER BY id"), simple("FETCH 2 FROM p", "rows"), simple("FETCH ALL FROM p", "rows"), simple("COMMIT")),
    check("people, copied out", copy_out("COPY shop.person (id, name, email) TO STDOUT")), check("people, copied out as csv", copy_out("COPY (SELECT id, phone, city FROM shop.person ORDER BY id) TO STDOUT (FORMAT csv, HEADER)")),
    check("a person is added", query("INSERT INTO shop.person (id, name, email, city) VALUES ($1::int, $2::text, $3::text, 'Linz') RETURNING id, city", "50", "Newcomer Nina", "nina@newcomers.test"), query("SELECT count(*) FROM shop.person")),
    check("a person is changed", query("UPDATE shop.person SET city = $1::text WHERE id = 50", "Graz", expect="done"), query("SELECT city FROM shop.person WHERE id = 50")),
    check("a person is removed", query("DELETE FROM shop.person WHERE id = $1::int", "50", expect="done")),
    check("people, counted", query("SELECT city, count(*) FROM shop.person GROUP BY city ORDER BY city")), check("people, found", query("SELECT id FROM shop.person WHERE email = $1::text", "karl@canaries.test")),
    check("people, error beside", query("SELECT name, 1 / (id - id) FROM shop.person", expect="22012"), query("SELECT name FROM shop.person WHERE id = $1::int", "1")),
    check("people, locked", transaction("SELECT name FROM shop.person WHERE id = 1 FOR UPDATE")),
]

META = [check(" ".join(["metadata:", what, *arguments]), meta(what, *arguments)) for what, *arguments in [
    ("tables", "shop"), ("columns", "shop", "thing"), ("columns", "shop", "person"), ("primary key", "shop", "thing"), ("foreign keys", "shop", "part"), ("indexes", "shop", "thing"),
    ("types",), ("server",), ("columns", "shop", "Odd Table"),
]]

CHECKS = TYPES + NULLS + ERRORS + TRANSACTIONS + PREPARED + CURSORS + COPIES + ASIDE + SETTINGS + MANY + SHAPES + TAGGED + META
