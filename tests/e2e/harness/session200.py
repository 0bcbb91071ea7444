"""The scripted session of the transparency test: more than 200 statements, written as frames.

Each step is (name, bytes, tags to wait for). Nothing in it depends on time, chance or what ran before; object ids that
the session makes itself are levelled by `level()`.
"""

import re
import struct

from . import wire
from .wire import Frame, bind, close, describe, execute, flush, frame, parse, query, sync

TEXT, BINARY = 0, 1
INT4, INT8 = 23, 20
ABS_INT4 = 1397  # the function abs(integer)

# What a policy with any tag answers otherwise on purpose: what procedural code says could quote anything, and a fast-path
# call names a function by number only.
GUARDED = {"SELECT * FROM pg_temp.talk()", "notice in extended", "a function call"}

SIMPLE = [
    "SELECT 1", "SELECT 1 AS a, 'x'::text AS b, NULL::int AS c", "SELECT generate_series(1, 50)",
    "SELECT * FROM note ORDER BY id", "SELECT n.body, n.* FROM note n ORDER BY 1", "SELECT count(*) FROM note",
    "", " ", ";", ";;", "-- a comment", "/* a /* nested */ comment */", "SELECT 1;", "SELECT 1; SELECT 2", "SELECT 1;; SELECT 2;",
    "SELECT 'é ß 漢字 😀'", "SELECT E'tab\\t newline\\n'", "SELECT $$dollar 'quoted'$$, $tag$ $$ $tag$", "SELECT U&'\\0041\\00e9'",
    "SELECT 1.5::numeric, 1e300::float8, 'NaN'::float8, 'Infinity'::float4", "SELECT true, false, NULL::bool",
    "SELECT '2020-02-29'::date, '12:34:56.789'::time, '2020-02-29 12:00+02'::timestamptz, '1 mon 2 days'::interval",
    "SELECT '{1,2,NULL}'::int[], ARRAY[['a','b'],['c','d']]", "SELECT ROW(1, 'x', NULL)", "SELECT '\\xdeadbeef'::bytea",
    "SELECT '{\"a\": [1, null]}'::json, '{\"b\": 1}'::jsonb", "SELECT '192.0.2.1/24'::inet, '08:00:2b:01:02:03'::macaddr",
    "SELECT int4range(1, 5), '(0,1)'::point, '10101'::bit(5)", "SELECT 'a'::char(5), 'b'::varchar(3), 'c'::name",
    "SELECT '00000000-0000-0000-0000-000000000001'::uuid", "SELECT '<a>1</a>'::text, 'abc'::tsvector",
    "SELECT repeat('x', 10000)", "SELECT repeat('y', 200000)", "SELECT g, repeat('z', g) FROM generate_series(1, 200) g",
    "SELECT 1/0", "SELECT no_such_column", "SELECT * FROM no_such_table", "SELEC 1", "SELECT 'unterminated",
    "SELECT 1; SELECT 1/0; SELECT 3", "SELECT 'x'::int", "SELECT FROM note", "VALUES (1, 'a'), (2, 'b')", "TABLE note",
    "SHOW server_encoding", "SHOW standard_conforming_strings", "SET extra_float_digits = 2", "SHOW extra_float_digits",
    "RESET extra_float_digits", "SET application_name = 'renamed'", "SET DateStyle = 'German, DMY'", "SELECT '2020-12-31'::date",
    "RESET DateStyle", "SET TimeZone = 'Europe/Vienna'", "SELECT '2020-06-01 12:00+00'::timestamptz", "RESET TimeZone",
    "SET bytea_output = 'escape'", "SELECT '\\x00ff'::bytea", "RESET bytea_output", "SELECT set_config('my.setting', 'v', false)",
    "SELECT current_setting('my.setting')", "SET client_min_messages = debug1", "SELECT 1 AS after_debug", "RESET client_min_messages",
    "BEGIN", "SELECT 1 AS in_transaction", "SAVEPOINT a", "SELECT 1/0", "SELECT 2 AS ignored", "ROLLBACK TO a", "SELECT 3 AS after",
    "RELEASE a", "COMMIT", "COMMIT", "ROLLBACK", "BEGIN; SELECT 1; COMMIT", "BEGIN; SELECT 1/0; COMMIT", "ROLLBACK",
    "START TRANSACTION READ ONLY", "INSERT INTO note VALUES (99, 'x')", "ROLLBACK", "BEGIN ISOLATION LEVEL SERIALIZABLE", "END",
    "BEGIN", "BEGIN", "ABORT", "BEGIN; INSERT INTO note VALUES (100, 'kept for a moment')", "SELECT * FROM note WHERE id = 100",
    "ROLLBACK", "CREATE TEMP TABLE scratch (id int PRIMARY KEY, word text DEFAULT 'none', n numeric)",
    "CREATE TEMP TABLE scratch (id int)", "CREATE TEMP TABLE IF NOT EXISTS scratch (id int)",
    "INSERT INTO scratch VALUES (1, 'one', 1.1), (2, 'two', 2.2), (3, NULL, 3.3)", "INSERT INTO scratch VALUES (1, 'again')",
    "INSERT INTO scratch (id) VALUES (4) RETURNING *", "UPDATE scratch SET n = n * 2 WHERE id < 3 RETURNING id, n",
    "UPDATE scratch SET n = 0 WHERE id = 77", "DELETE FROM scratch WHERE id = 4 RETURNING word",
    "INSERT INTO scratch VALUES (1, 'up', 0) ON CONFLICT (id) DO UPDATE SET word = excluded.word RETURNING word",
    "SELECT * FROM scratch ORDER BY id", "SELECT s.id, n.body FROM scratch s JOIN note n USING (id) ORDER BY 1",
    "WITH w AS (SELECT id FROM scratch) SELECT sum(id) FROM w", "SELECT id FROM scratch UNION ALL SELECT id FROM note ORDER BY 1",
    "SELECT id, row_number() OVER (ORDER BY id DESC) FROM scratch", "SELECT word, count(*) FROM scratch GROUP BY word ORDER BY 1 NULLS FIRST",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20) SELECT n FROM r",
    "ALTER TABLE scratch ADD COLUMN extra int", "COMMENT ON TABLE scratch IS 'temporary'", "CREATE INDEX ON scratch (word)",
    "CREATE TEMP VIEW scratch_view AS SELECT id, word FROM scratch", "SELECT * FROM scratch_view ORDER BY id",
    "DROP TABLE no_such_table", "DROP TABLE IF EXISTS no_such_table", "EXPLAIN (COSTS OFF) SELECT 1", "TRUNCATE scratch",
    "DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning' USING HINT = 'a hint'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P0042', DETAIL = 'why'; END $$",
    "CREATE FUNCTION pg_temp.twice(i int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'", "SELECT pg_temp.twice(21)",
    "CREATE FUNCTION pg_temp.talk() RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN RETURN NEXT 1; RAISE NOTICE 'between'; RETURN NEXT 2; END $$",
    "SELECT * FROM pg_temp.talk()", "LISTEN here", "NOTIFY here, 'payload'", "SELECT pg_notify('here', 'again')",
    "BEGIN; NOTIFY here, 'late'; SELECT 'before the commit'; COMMIT", "UNLISTEN here", "NOTIFY here, 'unheard'", "UNLISTEN *",
    "PREPARE by_id (int) AS SELECT body FROM note WHERE id = $1", "EXECUTE by_id(1)", "EXECUTE by_id(2)", "EXECUTE by_id('x')",
    "DEALLOCATE by_id", "EXECUTE by_id(1)", "BEGIN", "DECLARE cur CURSOR FOR SELECT g FROM generate_series(1, 10) g", "FETCH 3 FROM cur",
    "FETCH ALL FROM cur", "FETCH 1 FROM cur", "MOVE BACKWARD 2 FROM cur", "FETCH 1 FROM cur", "CLOSE cur", "FETCH 1 FROM cur", "ROLLBACK",
    "BEGIN", "DECLARE hold SCROLL CURSOR WITH HOLD FOR SELECT id, body FROM note ORDER BY id", "COMMIT", "FETCH LAST FROM hold",
    "FETCH FIRST FROM hold", "CLOSE hold", "SELECT pg_advisory_lock(1), pg_advisory_unlock(1)", "SELECT pg_advisory_unlock(1)",
    "LOCK TABLE note", "VACUUM note", "BEGIN; VACUUM note", "ROLLBACK", "ANALYZE note", "CHECKPOINT", "DISCARD PLANS",
    "SELECT relname FROM pg_class WHERE relname = 'pg_class'", "SELECT attname FROM pg_attribute WHERE attrelid = 'note'::regclass AND attnum > 0",
    "SELECT 'note'::regclass, 'int4'::regtype", "SELECT unnest(ARRAY[1,2]), 'x'", "SELECT (SELECT body FROM note WHERE id = 1) AS sub",
    "SELECT json_agg(n ORDER BY id) FROM note n", "SELECT n FROM note n ORDER BY id", "SELECT xmlelement(name a, 1)",
    "SELECT \"body\" AS \"Odd \"\"Name\" FROM note ORDER BY id", "SELECT 1 AS \"\u00fcml\u00e4ut\"", "SELECT coalesce(NULL, 'x'), nullif(1, 1)",
    "SELECT CASE WHEN 1 = 1 THEN 'y' ELSE 'n' END", "SELECT 1 WHERE false", "SELECT 1 LIMIT 0", "MERGE INTO note USING (VALUES (1)) v(id) ON note.id = v.id WHEN MATCHED THEN DO NOTHING",
    "COPY (SELECT id, body FROM note ORDER BY id) TO STDOUT", "COPY note TO STDOUT (FORMAT csv, HEADER)", "COPY note TO STDOUT (FORMAT binary)",
    "COPY no_such TO STDOUT", "SELECT 1; COPY (SELECT 1) TO STDOUT; SELECT 2", "SET ROLE support", "SELECT * FROM vault", "SELECT body FROM note ORDER BY id LIMIT 1", "RESET ROLE",
]


def steps() -> list[tuple[str, bytes, tuple[str, ...]]]:
    """All steps in order."""
    made = [(sql, query(sql), ("Z",)) for sql in SIMPLE]

    def step(name: str, data: bytes, *tags: str) -> None:
        made.append((name, data, tags or ("Z",)))

    step("extended, all in one", parse("", "SELECT 1") + bind("", "") + describe("P", "") + execute() + sync())
    step("text parameter", parse("", "SELECT body FROM note WHERE id = $1") + bind("", "", ["1"]) + execute() + sync())
    step("binary parameter and result",
         parse("", "SELECT id, body FROM note WHERE id = $1", (INT4,)) + describe("S", "")
         + bind("", "", [struct.pack("!i", 2)], [BINARY], [BINARY]) + describe("P", "") + execute() + sync())
    step("formats by column", parse("", "SELECT id, body FROM note ORDER BY id") + bind("", "", (), (), [BINARY, TEXT]) + execute() + sync())
    step("NULL parameters", parse("", "SELECT $1::int IS NULL, $2::text") + bind("", "", [None, None]) + execute() + sync())
    step("named statement", parse("s1", "SELECT $1::int8 + 1", (INT8,)) + sync())
    for at in range(5):
        step(f"named statement, run {at}", bind("", "s1", [str(at)]) + execute() + sync())
    step("named statement described", describe("S", "s1") + sync())
    step("named statement again", parse("s1", "SELECT 2") + sync())
    step("named statement closed", close("S", "s1") + sync())
    step("named statement gone", bind("", "s1", ["1"]) + execute() + sync())
    step("closing what is not there", close("S", "nothing") + close("P", "nothing") + sync())
    step("parse error", parse("", "SELEC 1") + bind("", "") + execute() + sync())
    step("bind error", parse("", "SELECT $1::int", (INT4,)) + bind("", "", ["not a number"]) + execute() + sync())
    step("wrong number of parameters", parse("", "SELECT $1::int", (INT4,)) + bind("", "") + execute() + sync())
    step("error in execution, the rest skipped", parse("", "SELECT 1/(id-1) FROM note ORDER BY id DESC") + bind("", "") + execute()
         + parse("", "SELECT 2") + bind("", "") + execute() + sync())
    step("pipeline of three", b"".join(parse("", f"SELECT {n}") + bind("", "") + describe("P", "") + execute() for n in range(3)) + sync())
    step("three with a Sync each", b"".join(parse("", f"SELECT {n}") + bind("", "") + execute() + sync() for n in range(3)), "Z", "Z", "Z")
    step("pipeline with an error in the middle", parse("", "SELECT 1") + bind("", "") + execute() + sync() + parse("", "SELECT 1/0")
         + bind("", "") + execute() + parse("", "SELECT 'skipped'") + bind("", "") + execute() + sync() + query("SELECT 'after'"), "Z", "Z", "Z")
    step("begin by extended", parse("", "BEGIN") + bind("", "") + execute() + sync())
    step("row limit: open", parse("", "SELECT g, repeat('r', 100) FROM generate_series(1, 25) g") + bind("p1", "") + execute("p1", 10) + flush(), "s")
    step("row limit: go on", execute("p1", 10) + flush(), "s")
    step("row limit: another between", parse("", "SELECT 'between'") + bind("", "") + execute() + flush(), "C")
    step("row limit: end", execute("p1", 10) + sync())
    step("row limit: after the end", execute("p1", 10) + sync())
    step("portal closed", close("P", "p1") + sync())
    step("portal gone", execute("p1") + sync())
    step("failed transaction refuses", parse("", "SELECT 1") + bind("", "") + execute() + sync())
    step("rollback by extended", parse("", "ROLLBACK") + bind("", "") + execute() + sync())
    step("exact row limit", parse("", "SELECT id FROM note ORDER BY id") + bind("", "") + execute("", 2) + sync())
    step("empty query, extended", parse("", "") + bind("", "") + describe("P", "") + execute() + sync())
    step("sync alone", sync())
    step("two syncs", sync() + sync(), "Z", "Z")
    step("flush after parse", parse("f", "SELECT 7") + flush(), "1")
    step("flush after describe", describe("S", "f") + flush(), "T")
    step("flush after bind", bind("", "f") + flush(), "2")
    step("flush after execute", execute() + flush(), "C")
    step("sync after flushes", sync())
    step("insert by extended", parse("", "INSERT INTO scratch (id, word) VALUES ($1, $2) RETURNING id") + bind("", "", ["50", "fifty"])
         + describe("P", "") + execute() + sync())
    step("COPY in, text", query("COPY scratch (id, word) FROM STDIN"), "G")
    step("COPY in, data", frame("d", b"60\tsixty\n61\tsixty-one\n") + frame("d", b"62\t\\N\n") + frame("c"))
    step("COPY in, bad data", query("COPY scratch (id, word) FROM STDIN"), "G")
    step("COPY in, bad data sent", frame("d", b"not a number\tx\n") + frame("c"))
    step("COPY in, given up", query("COPY scratch (id, word) FROM STDIN"), "G")
    step("COPY in, given up with a message", frame("f", b"changed my mind\0"))
    step("COPY in, extended", parse("", "COPY scratch (id, word) FROM STDIN (FORMAT csv)") + bind("", "") + execute() + flush(), "G")
    step("COPY in, extended, data", frame("d", b"70,\"seventy, and\"\n") + frame("c") + sync())
    step("COPY out, extended", parse("", "COPY scratch (id, word) TO STDOUT") + bind("", "") + execute() + sync())
    step("COPY in after another statement", query("SELECT 1; COPY scratch (id) FROM STDIN; SELECT 2"), "G")
    step("COPY in after another statement, data", frame("d", b"80\n81\n") + frame("c"))
    step("what COPY left", query("SELECT id, word FROM scratch ORDER BY id"))
    step("notice in extended", parse("", "SELECT * FROM pg_temp.talk()") + bind("", "") + execute() + sync())
    step("a long pipeline", b"".join(parse("", f"SELECT {n}, repeat('p', {n})") + bind("", "", (), (), [BINARY]) + execute()
                                     for n in range(300)) + sync())
    step("many statements in one query", query("; ".join(f"SELECT {n}" for n in range(200))))
    step("a function call", frame("F", struct.pack("!IHHHi4sH", ABS_INT4, 1, 1, 1, 4, struct.pack("!i", -5), 1)))
    step("a big statement", query("SELECT length('" + "b" * 100_000 + "')"))
    step("a big parameter", parse("", "SELECT length($1::text)") + bind("", "", ["c" * 300_000]) + execute() + sync())
    step("discard", query("DISCARD ALL"))
    step("last", query("SELECT 'the end'"))
    return made


def level(frames: list[Frame], own_objects: dict[int, int] | None = None) -> list[tuple[str, bytes]]:
    """The frames with process ids, cancel keys, and ids of objects that the session made itself taken out."""
    own_objects = {} if own_objects is None else own_objects
    levelled = []
    for one in frames:
        body = one.body
        if one.tag == "K":
            body = b"(key)"
        elif one.tag == "A":
            body = b"(pid)" + body[4:]
        elif one.tag == "T":
            body = _level_row_description(body, own_objects)
        elif one.tag in "EN":
            # The schema of temporary tables is numbered by the server process's slot.
            body = re.sub(rb"pg_temp_\d+", b"pg_temp_N", body)
        levelled.append((one.tag, body))
    return levelled


def _level_row_description(body: bytes, own_objects: dict[int, int]) -> bytes:
    out = bytearray(body)
    at = 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        end = body.index(b"\0", at) + 1
        for place in (end, end + 6):
            oid = struct.unpack_from("!I", body, place)[0]
            if oid >= OWN_OBJECTS_FROM:
                struct.pack_into("!I", out, place, own_objects.setdefault(oid, 4_000_000_000 + len(own_objects)))
        at = end + 18
    return bytes(out)


# PostgreSQL gives out object ids from here on; those of tables made before both sessions are the same in both, and
# become the same stand-ins, because stand-ins are dealt out in order of appearance.
OWN_OBJECTS_FROM = 16384


def play(client: wire.Raw) -> list[tuple[str, list[Frame]]]:
    """Play all steps; returns what each was answered with."""
    answers = []
    for name, data, tags in steps():
        client.send(data)
        try:
            answers.append((name, client.until(*tags)))
        except (TimeoutError, wire.Closed) as fault:
            raise AssertionError(f"step {name!r}: {fault!r}; got {wire.outline(client.frames)[-8:]}") from fault
    return answers
