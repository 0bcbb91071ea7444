"""Statements made to exhaust a parser end in a clear error, and other sessions go on."""

import threading
import time

import pytest

from harness.wire import Closed, Raw, bind, describe, execute, parse, query, sync

pytestmark = pytest.mark.proxy

VALUE = b"JANE@EXAMPLE.COM"


def nested(open_with: str, inside: str, close_with: str, count: int = 10_000) -> str:
    return open_with * count + inside + close_with * count


# Text, and the SQLSTATEs that it may end with; None among them: it may be answered.
BOMBS = {
    "10,000 parentheses": ("SELECT " + nested("(", "email", ")") + " FROM person", ["0A000"]),
    "10,000 brackets": ("SELECT " + nested("ARRAY[", "email", "]") + " FROM person", ["0A000"]),
    "10,000 calls": ("SELECT " + nested("upper(", "email", ")") + " FROM person", ["0A000"]),
    "10,000 CASEs": ("SELECT " + nested("CASE WHEN true THEN ", "email", " END") + " FROM person", ["0A000"]),
    "10,000 casts": ("SELECT email" + "::text" * 10_000 + " FROM person", ["0A000"]),
    "10,000 CASTs": ("SELECT " + nested("CAST(", "email", " AS text)") + " FROM person", ["0A000"]),
    "10,000 subscripts": ("SELECT (ARRAY[email])" + "[1]" * 10_000 + " FROM person", ["0A000"]),
    "10,000 sub-selects": ("SELECT * FROM " + "(SELECT * FROM " * 10_000 + "person" + ") s" * 10_000, ["0A000"]),
    "10,000 scalar sub-selects": ("SELECT " + nested("(SELECT ", "email FROM person LIMIT 1", ")"), ["0A000"]),
    "10,000 WITHs": ("WITH a AS (" * 10_000 + "SELECT email FROM person" + ") SELECT * FROM a" * 10_000, ["0A000"]),
    "10,000 EXISTS": ("SELECT email FROM person WHERE " + nested("EXISTS (SELECT 1 WHERE ", "true", ")"), ["0A000"]),
    "10,000 NOT": ("SELECT " + "NOT " * 10_000 + "true, email FROM person", ["0A000"]),
    "10,000 minus signs": ("SELECT " + "- " * 10_000 + "1, email FROM person", ["0A000"]),
    "10,000 joins": ("SELECT email FROM person" + " CROSS JOIN note" * 10_000, ["0A000"]),
    "10,000 UNIONs": ("SELECT email FROM person" + " UNION SELECT email FROM person" * 10_000, ["0A000"]),
    "10,000 comments in comments": ("SELECT email, " + nested("/*", "x", "*/") + " id FROM person", [None]),
    "10,000 dollar quotes": ("SELECT email, " + " || ".join(f"$t{number}$x$t{number}$" for number in range(10_000)) + " FROM person", ["0A000", "54001"]),
    "10,000 EXPLAINs": ("EXPLAIN " * 10_000 + "SELECT email FROM person", ["0A000", "42501", "42601"]),
    "a million operators": ("SELECT email" + "||'a'" * 1_000_000 + " FROM person", ["0A000"]),
    "200,000 ANDs": ("SELECT email FROM person WHERE true" + " AND true" * 200_000, ["0A000"]),
    "200,000 columns": ("SELECT email" + ",id" * 200_000 + " FROM person", ["0A000"]),
    "200,000 rows": ("INSERT INTO person (id, email) VALUES (1,'')" + ",(1,'')" * 200_000, ["0A000"]),
    "200,000 constants": ("SELECT email FROM person WHERE id IN (1" + ",1" * 200_000 + ")", ["0A000"]),
    "a name of a megabyte": ("SELECT email AS " + "x" * (1 << 20) + " FROM person", [None, "0A000"]),
    "an open string of a megabyte": ("SELECT email FROM person WHERE email = '" + "x" * (1 << 20), ["42601"]),
    "an open comment of a megabyte": ("SELECT email FROM person /*" + "x" * (1 << 20), ["42601"]),
    "an open dollar quote of a megabyte": ("SELECT email FROM person $a$" + "$b$" * (1 << 18), ["42601"]),
    "16 MiB of text": ("SELECT email, '" + "x" * (16 << 20) + "' FROM person", ["0A000"]),
    "16 MiB of comment": ("SELECT email FROM person /*" + "x" * (16 << 20) + "*/", [None, "0A000"]),
    "100,000 semicolons": ("SELECT email FROM person" + ";" * 100_000, [None]),
    "100,000 statements": ("SELECT 1;" * 100_000 + "SELECT email FROM person", ["0A000", "42501"]),
    "a NUL": ("SELECT email\0 FROM person", ["08P01"]),
    "a NUL behind a semicolon": ("SELECT 1;\0SELECT email FROM person", ["08P01"]),
}


def quoted(text: str) -> str:
    return "$bomb$" + text + "$bomb$"


# What the text is sent as; whether a NUL may be in it.
WAYS = {
    "Query": query,
    "Parse": lambda text: parse("", text) + bind("", "") + describe("P", "") + execute() + sync(),
    "PREPARE": lambda text: query("PREPARE bomb AS " + text),
    "DO": lambda text: query("DO " + quoted("BEGIN PERFORM * FROM (" + text + ") s; END")),
    "EXECUTE in DO": lambda text: query("DO " + quoted("BEGIN EXECUTE '" + text.replace("'", "''") + "'; END")),
    "a function": lambda text: query("CREATE FUNCTION pg_temp.bomb() RETURNS SETOF text LANGUAGE sql AS " + quoted(text)),
    "a view": lambda text: query("CREATE TEMP VIEW bomb AS " + text),
    "a cursor": lambda text: query("BEGIN; DECLARE bomb CURSOR FOR " + text),
    "EXPLAIN": lambda text: query("EXPLAIN " + text),
    "COPY": lambda text: query("COPY (" + text + ") TO STDOUT"),
}
# Wrapped, some of each sort; what takes long to read, in what is read in another way.
WRAPPED = ["10,000 parentheses", "10,000 sub-selects", "10,000 NOT", "100,000 semicolons", "a NUL", "10,000 UNIONs"]
LONG = {"a million operators": ["DO", "a view"], "16 MiB of text": ["EXECUTE in DO", "a function"]}


def pairs():
    for name in BOMBS:
        for way in WAYS:
            if way in ("Query", "Parse") or name in WRAPPED or way in LONG.get(name, []):
                yield name, way


class Bystander(threading.Thread):
    """Another session, which asks all the time."""

    def __init__(self, host: str, port: int):
        super().__init__()
        self.client = Raw(host, port)
        self.client.login("sam", "people")
        self.over = threading.Event()
        self.slowest, self.answers = 0.0, 0
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            since = time.monotonic()
            assert self.client.rows("SELECT 1") == [[b"1"]]
            self.slowest, self.answers = max(self.slowest, time.monotonic() - since), self.answers + 1
            time.sleep(0.02)

    def stop(self) -> None:
        self.over.set()
        self.join()
        assert self.client.rows("SELECT id FROM note ORDER BY id") == [[b"1"], [b"2"]]
        self.client.close()


@pytest.mark.parametrize(("name", "way"), list(pairs()))
def test_it_ends_in_a_clear_error_and_others_go_on(front, name, way):
    text, expected = BOMBS[name]
    message = WAYS[way](text)
    target = front("people.yaml")
    client = Raw(target.host, target.port, timeout=60)
    client.login("sam", "people")
    other = Bystander(target.host, target.port)
    try:
        got = client.ask(message)
    except Closed as closed:
        assert expected == ["08P01"] and "'E'" in str(closed)
    else:
        codes = [one.fields()["C"] for one in got if one.tag == "E"]
        # What only keeps the text, or is refused for what it is, says so in its own way.
        assert way not in ("Query", "Parse") or all(code in expected for code in codes), codes
        assert codes or None in expected or way in ("a function", "a view"), "it is an error"
        assert not any(VALUE in one.body.upper() for one in got)
        client.ask(query("ROLLBACK"))
        assert client.rows("SELECT 1") == [[b"1"]]
    finally:
        other.stop()
    assert other.answers > 0 and other.slowest < 5, other.slowest
    client.close()
