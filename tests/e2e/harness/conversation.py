"""Random conversations: sequences of messages as drivers may send them, valid for the most part.

A conversation is made from a seed alone, so that it can be played again: to a server directly, to pgveil, and with parts
of it left out. Only what does not depend on time or on other sessions is in it.
"""

import random
import struct
from dataclasses import dataclass

from . import wire
from .session200 import ABS_INT4
from .wire import Frame, Raw, bind, close, describe, execute, flush, frame, parse, query, sync

# What a conversation starts from.
TABLES = """
CREATE TABLE playground (id integer PRIMARY KEY, word text);
GRANT ALL ON playground TO PUBLIC;
GRANT CREATE ON SCHEMA public TO PUBLIC;
"""
START = "DROP TABLE IF EXISTS t2; TRUNCATE playground; INSERT INTO playground SELECT g, 'w' || g FROM generate_series(1, 10) g"

COPY_IN = {
    "text": "COPY playground FROM STDIN", "csv": "COPY playground (id, word) FROM STDIN (FORMAT csv)",
    "binary": "COPY playground FROM STDIN (FORMAT binary)",
}

# Statements with the number of their parameters.
STATEMENTS = [
    ("SELECT 1", 0), ("SELECT $1::int + 1 AS a", 1), ("SELECT id, body FROM note WHERE id = $1", 1), ("TABLE note", 0),
    ("SELECT g, repeat('r', 30) FROM generate_series(1, 12) g", 0), ("SELECT g FROM generate_series(1, 700) g", 0),
    ("INSERT INTO playground VALUES ($1, $2) RETURNING *", 2), ("UPDATE playground SET word = $1 WHERE id = $2", 2),
    ("DELETE FROM playground WHERE id = $1 RETURNING word", 1), ("SELECT * FROM playground ORDER BY id", 0),
    ("BEGIN", 0), ("BEGIN", 0), ("COMMIT", 0), ("ROLLBACK", 0), ("SAVEPOINT a", 0), ("ROLLBACK TO a", 0), ("RELEASE a", 0),
    ("SELECT 1/$1::int", 1), ("SELECT 1/(id - 3) FROM playground ORDER BY id", 0), ("SELEC 1", 0), ("SELECT no_such_column", 0),
    ("SELECT id, email, salary FROM person ORDER BY id", 0), ("SELECT email, upper(full_name), born FROM person WHERE id >= $1 ORDER BY id", 1),
    ("SELECT p FROM person p WHERE id < 3 ORDER BY id", 0), ("UPDATE person SET city = city WHERE id = $1 RETURNING email", 1),
    *((text, 0) for text in COPY_IN.values()),
    ("COPY playground TO STDOUT", 0), ("COPY (SELECT id, email FROM person ORDER BY id) TO STDOUT (FORMAT binary)", 0),
    ("COPY (VALUES (1, 'é')) TO STDOUT (FORMAT csv, HEADER)", 0),
    ("DECLARE c1 CURSOR WITH HOLD FOR SELECT g, 'c' FROM generate_series(1, 9) g", 0), ("DECLARE p1 CURSOR FOR SELECT id, email FROM person ORDER BY id", 0),
    ("FETCH 2 FROM c1", 0), ("MOVE 1 IN c1", 0), ("CLOSE c1", 0), ("CLOSE ALL", 0), ("", 0), (";", 0), ("-- nothing", 0),
    ("SELECT $1::text, $2::bytea", 2), ("SELECT $1::numeric, $2::text, $3::bool", 3), ("VALUES (1, 'a'), (2, NULL)", 0),
    ("SET client_encoding = 'LATIN1'", 0), ("SET client_encoding = 'UTF8'", 0), ("SET application_name = 'renamed'", 0),
    ("SELECT 'é ß' AS word", 0), ("SET DateStyle = 'German'", 0), ("RESET ALL", 0), ("SHOW client_encoding", 0),
    ("LISTEN here", 0), ("NOTIFY here, 'payload'", 0), ("SELECT pg_notify('here', 'again')", 0), ("UNLISTEN *", 0),
    ("PREPARE q1 (int) AS SELECT body FROM note WHERE id = $1", 0), ("EXECUTE q1(1)", 0), ("DEALLOCATE q1", 0), ("DEALLOCATE ALL", 0), ("DISCARD ALL", 0),
    ("PREPARE s1 AS SELECT 'by SQL'", 0), ("EXECUTE s1", 0),
    ("CREATE TEMP TABLE t1 AS SELECT 1 AS x, 'y' AS y", 0), ("DROP TABLE t1", 0), ("SELECT * FROM t1", 0), ("ALTER TABLE t1 ADD z int", 0),
    ("EXPLAIN (COSTS OFF) SELECT 1", 0), ("SELECT NULL::int, ''::text", 0), ("SELECT repeat('x', 40000)", 0), ("SELECT 1 WHERE false", 0),
    ("SELECT", 0), ("SELECT FROM note", 0), ("LOCK TABLE note IN SHARE MODE", 0), ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", 0),
    ("VACUUM note", 0), ("SELECT generate_series(1, 3), 'x'", 0), ("DROP TABLE IF EXISTS no_such_table", 0), ("SET CONSTRAINTS ALL DEFERRED", 0),
    ("SELECT '2020-02-29'::date, '{1,2}'::int[], row(1, 'x')", 0), ("CREATE TABLE t2 (x int)", 0), ("DROP TABLE t2", 0), ("SELECT * FROM t2", 0),
    ("INSERT INTO playground SELECT 50, 'fifty' RETURNING id; SELECT 2", 0), ("SET ROLE billing", 0), ("RESET ROLE", 0),
]
# What is answered otherwise on purpose while anything is tagged: what procedural code says, and names that are not ASCII
# behind what may have changed the encoding.
GUARDED = [("DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'more' USING HINT = 'a hint'; END $$", 0),
           ("DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P0042', DETAIL = 'why'; END $$", 0),
           ("SELECT 'é ß' AS \"ümlaut\"", 0)]
# These only as a Query: a portal that reads itself is nothing to compare.
QUERIES = [("FETCH 2 FROM p1", 0)]
NAMES, PORTALS = ["", "", "s1", "s2"], ["", "", "p1", "p2"]
VALUES = ["1", "2", "7", "0", "x", "é", "", None, b"\0\0\0\x02", b"\xff\xfe", "12345678901234567890"]


@dataclass(frozen=True)
class Act:
    """One message, or several that belong together."""

    label: str
    data: bytes


def conversation(seed: int, guarded: bool) -> list[Act]:
    """`guarded`: also what is not answered as the server does while anything is tagged."""
    return _Maker(random.Random(seed), guarded).make()


class _Maker:
    def __init__(self, chance: random.Random, guarded: bool):
        self.chance, self.guarded = chance, guarded
        self.statements = STATEMENTS + (GUARDED if guarded else [])
        # What each name may stand for.
        self.prepared: dict[str, set[tuple[str, int]]] = {}
        self.portals: dict[str, set[str]] = {}

    def make(self) -> list[Act]:
        made: list[Act] = []
        for _ in range(self.chance.randint(4, 40)):
            made += self._some()
        return made

    def _some(self) -> list[Act]:
        weights = {self._query: 5, self._parse: 4, self._bind: 4, self._describe: 2, self._execute: 4, self._close: 1, self._sync: 3,
                   self._flush: 1, self._whole: 8, self._stray: 0.3}
        if self.guarded:
            weights[self._call] = 0.5
        return self.chance.choices(list(weights), list(weights.values()))[0]()

    def _statement(self) -> tuple[str, int]:
        return self.chance.choice(self.statements)

    def _query(self) -> list[Act]:
        texts = [text for text, count in self.chance.choices([one for one in self.statements + QUERIES if one[1] == 0], k=self.chance.choice([1, 1, 1, 2, 3]))]
        whole = "; ".join(texts)
        return [Act(f"Query {whole!r}", query(whole)), *self._data(texts)]

    def _parse(self, name: str | None = None, statement: tuple[str, int] | None = None) -> list[Act]:
        name = self.chance.choice(NAMES) if name is None else name
        text, count = statement or self._statement()
        types = tuple(self.chance.choice([0, 23, 25, 17, 1700]) for _ in range(self.chance.choice([0, 0, 0, count, count + 1])))
        self.prepared.setdefault(name, set()).add((text, count))
        return [Act(f"Parse {name!r} {text!r} {types}", parse(name, text, types))]

    def _bind(self, portal: str | None = None, name: str | None = None, count: int | None = None) -> list[Act]:
        portal = self.chance.choice(PORTALS) if portal is None else portal
        name = self.chance.choice(NAMES) if name is None else name
        known = sorted(self.prepared.get(name, ()))
        if count is None:
            count = self.chance.choice(known)[1] if known else 0
        if self.chance.random() < 0.04:
            count += 1
        values = [self.chance.choice(VALUES) for _ in range(count)]
        formats = self.chance.choice([[], [], [0], [int(isinstance(value, bytes)) for value in values], [1]])
        results = self.chance.choice([[], [], [0], [1], [0, 1], [1, 0, 0]])
        self.portals.setdefault(portal, set()).update(text for text, _ in known)
        return [Act(f"Bind {portal!r} {name!r} {values} {formats} {results}", bind(portal, name, values, formats, results))]

    def _describe(self) -> list[Act]:
        kind = self.chance.choice("SP")
        name = self.chance.choice(NAMES if kind == "S" else [*PORTALS, "c1"])
        return [Act(f"Describe {kind} {name!r}", describe(kind, name))]

    def _execute(self, portal: str | None = None) -> list[Act]:
        portal = self.chance.choice([*PORTALS, "c1"]) if portal is None else portal
        rows = self.chance.choice([0, 0, 0, 1, 2, 5])
        return [Act(f"Execute {portal!r} {rows}", execute(portal, rows)), *self._data(sorted(self.portals.get(portal, ())))]

    def _close(self) -> list[Act]:
        kind = self.chance.choice("SP")
        name = self.chance.choice(NAMES if kind == "S" else PORTALS)
        return [Act(f"Close {kind} {name!r}", close(kind, name))]

    def _sync(self) -> list[Act]:
        return [Act("Sync", sync())]

    def _flush(self) -> list[Act]:
        return [Act("Flush", flush())]

    def _whole(self) -> list[Act]:
        """As drivers do it."""
        statement = self._statement()
        name, portal = self.chance.choice(NAMES), self.chance.choice(PORTALS)
        made = self._parse(name, statement)
        if self.chance.random() < 0.3:
            made.append(Act(f"Describe S {name!r}", describe("S", name)))
        made += self._bind(portal, name, statement[1])
        if self.chance.random() < 0.6:
            made.append(Act(f"Describe P {portal!r}", describe("P", portal)))
        made += self._execute(portal)
        return made + (self._sync() if self.chance.random() < 0.6 else [])

    def _stray(self) -> list[Act]:
        """Messages of a COPY where there is none: the server ignores them."""
        return [self.chance.choice([Act("CopyData", frame("d", b"1\tx\n")), Act("CopyDone", frame("c")), Act("CopyFail", frame("f", b"no\0"))])]

    def _call(self) -> list[Act]:
        arguments = struct.pack("!IHHHi4sH", ABS_INT4, 1, 1, 1, 4, struct.pack("!i", -self.chance.randint(0, 9)), self.chance.randint(0, 1))
        return [Act("FunctionCall", frame("F", arguments))]

    def _data(self, texts: list[str]) -> list[Act]:
        """Where one of these texts copies from the client: what is copied, to its end. If it does not come to that, the
        server ignores it."""
        for form, text in COPY_IN.items():
            if text in texts:
                break
        else:
            return []
        rows = [(str(self.chance.randint(100, 130)), self.chance.choice(["a word", "é", "", "\\N"])) for _ in range(self.chance.randint(0, 5))]
        if form == "binary":
            data = b"PGCOPY\n\xff\r\n\0" + bytes(8)
            for number, word in rows:
                raw = word.encode()
                data += struct.pack("!hiii", 2, 4, int(number), len(raw)) + raw
            data += struct.pack("!h", -1) if self.chance.random() < 0.9 else b"\0"
        else:
            separator = "\t" if form == "text" else ","
            data = "".join(f"{number}{separator}{word}\n" for number, word in rows).encode()
            data += self.chance.choice([b"", b"", b"\\.\n", b"no number" + separator.encode() + b"x\n", b"200"])
        made = []
        while data:
            size = self.chance.choice([1, 3, 20, 1000])
            made.append(Act(f"CopyData {data[:size]!r}", frame("d", data[:size])))
            data = data[size:]
            if self.chance.random() < 0.05:
                made.append(Act(*self.chance.choice([("Flush", flush()), ("Sync", sync())])))
        made.append(Act("CopyDone", frame("c")) if self.chance.random() < 0.8 else Act("CopyFail", frame("f", b"given up\0")))
        return made


# Ends whatever is going on, but no transaction, and is answered by three pairs of EmptyQueryResponse and ReadyForQuery.
END = frame("f", b"end\0") + sync() + query("") * 3
ENDED = ["I", "Z"] * 3


def play(client: Raw, acts: list[Act], seed: int) -> list[Frame]:
    """Play a conversation, in pieces and with pauses that the seed chooses; what was answered. (Closed: to there.)"""
    chance = random.Random(seed)
    client.frames.clear()
    if chance.random() < 0.5:
        flights = [acts]
    else:
        flights, at = [], 0
        while at < len(acts):
            size = chance.randint(1, 8)
            flights.append(acts[at : at + size])
            at += size
    answers: list[Frame] = []
    for flight in flights or [[]]:
        data = b"".join(act.data for act in flight) + END
        client.chunk = chance.choice([None, None, None, 1, 7, 100]) if len(data) < 3000 else None
        client.send(data)
        try:
            last: list[str] = []
            while last != ENDED:
                one = client.next()
                answers.append(one)
                if one.tag not in "ANS":
                    last = [*last, one.tag][-len(ENDED):]
        except TimeoutError:
            return [*answers, Frame("silent", b"")]
        except (wire.Closed, OSError):
            return [*answers, Frame("closed", b"")]
    return answers
