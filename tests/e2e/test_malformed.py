"""Messages that are not as the protocol has them, and messages out of place: answered as PostgreSQL answers them, byte for byte."""

import socket
import struct

import pytest

from harness import wire
from harness.wire import Raw, bind, close, describe, execute, flush, frame, parse, query, sync, terminate

# What comes behind each of them, to see in what state the session is.
AFTER = sync() + query("SELECT 'after', note FROM (VALUES ('x')) AS v (note)") + parse("", "SELECT 2") + bind("", "") + describe("P", "") + execute() + sync()

PREPARED = parse("s", "SELECT $1::int AS a, $2::text AS b") + bind("p", "s", ["1", "x"])
COPY_IN = query("BEGIN") + query("COPY note (id, body) FROM STDIN")
COPY_OUT = query("COPY (SELECT 1) TO STDOUT")


def parse_of(name: bytes, text: bytes, types: bytes) -> bytes:
    return frame("P", name + text + types)


CASES: dict[str, bytes] = {
    # Describe and Close
    "describe of an unknown subtype": describe("Z", ""),
    "close of an unknown subtype": close("Q", "s"),
    "describe without a body": frame("D"),
    "describe without a name": frame("D", b"S"),
    "describe whose name has no end": frame("D", b"Sname"),
    "describe with more behind the name": frame("D", b"S\0more"),
    "close without a body": frame("C"),
    "close whose name has no end": frame("C", b"Pname"),
    "close with more behind the name": frame("C", b"S\0\0"),
    # Query
    "a query without a body": frame("Q"),
    "a query without its end": frame("Q", b"SELECT 1"),
    "a query with more behind its end": frame("Q", b"SELECT 1\0SELECT 2\0"),
    "a query with NULs behind its end": frame("Q", b"SELECT 1\0\0\0"),
    "an empty query": query(""),
    "a query that is not UTF-8": frame("Q", b"SELECT '\xff'\0"),
    "a query that is not UTF-8 in a transaction that has failed": query("BEGIN") + query("nonsense") + frame("Q", b"SELECT '\xff'\0"),
    "a parse that is not UTF-8": frame("P", b"\0SELECT '\xff'\0\0\0") + bind("", ""),
    # Parse
    "a parse without a body": frame("P"),
    "a parse whose name has no end": frame("P", b"name"),
    "a parse without a text": frame("P", b"name\0"),
    "a parse whose text has no end": frame("P", b"name\0SELECT 1"),
    "a parse without a count of types": frame("P", b"\0SELECT 1\0"),
    "a parse with half a count": frame("P", b"\0SELECT 1\0\0"),
    "a parse with fewer types than it says": parse_of(b"\0", b"SELECT $1\0", struct.pack("!HI", 2, 23)),
    "a parse with more types than it says": parse_of(b"\0", b"SELECT $1\0", struct.pack("!HII", 1, 23, 23)),
    "a parse with a negative count": parse_of(b"\0", b"SELECT 1\0", struct.pack("!h", -1)),
    "a parse of an unknown type": parse_of(b"\0", b"SELECT $1\0", struct.pack("!HI", 1, 4_000_000)),
    "a parse of two statements": parse("", "SELECT 1; SELECT 2"),
    # Bind
    "a bind without a body": PREPARED + frame("B"),
    "a bind whose portal has no end": PREPARED + frame("B", b"p"),
    "a bind without a statement": PREPARED + frame("B", b"\0"),
    "a bind without formats": PREPARED + frame("B", b"\0s\0"),
    "a bind with too few values": PREPARED + bind("", "s", ["1"]),
    "a bind with too many values": PREPARED + bind("", "s", ["1", "x", "y"]),
    "a bind with three formats for two values": PREPARED + bind("", "s", ["1", "x"], [0, 0, 0]),
    "a bind of an unknown parameter format": PREPARED + bind("", "s", ["1", "x"], [7]),
    "a bind of an unknown result format": PREPARED + bind("", "s", ["1", "x"], [], [7]),
    "a bind with three result formats for two columns": PREPARED + bind("", "s", ["1", "x"], [], [0, 0, 0]),
    "a bind with fewer values than it says": PREPARED + frame("B", b"\0s\0" + struct.pack("!HHi", 0, 2, 1) + b"1"),
    "a bind with a value that is cut": PREPARED + frame("B", b"\0s\0" + struct.pack("!HHi", 0, 2, 100) + b"1"),
    "a bind with a value of length -2": PREPARED + frame("B", b"\0s\0" + struct.pack("!HHiiH", 0, 2, -2, -1, 0)),
    "a bind with a negative count of values": PREPARED + frame("B", b"\0s\0" + struct.pack("!Hh", 0, -1)),
    "a bind with a negative count of formats": PREPARED + frame("B", b"\0s\0" + struct.pack("!h", -1)),
    "a bind with a negative count of result formats": PREPARED + frame("B", b"\0s\0" + struct.pack("!HHiih", 0, 2, -1, -1, -1)),
    "a bind with more behind its end": PREPARED + bind("", "s", ["1", "x"])[:1] + struct.pack("!I", len(bind("", "s", ["1", "x"])) + 3) + bind("", "s", ["1", "x"])[5:] + b"more",
    "a bind of a value that is no number": PREPARED + bind("", "s", ["nonsense", "x"]),
    "a bind of a binary value of another length": PREPARED + bind("", "s", [b"\0\1", "x"], [1, 0]),
    "a bind of a text with a NUL": PREPARED + bind("", "s", ["1", b"a\0b"]),
    "a bind of a text that is not UTF-8": PREPARED + bind("", "s", ["1", b"\xff\xfe"]),
    "a bind of no statement": bind("", "nowhere"),
    # Execute
    "an execute without a body": PREPARED + frame("E"),
    "an execute whose portal has no end": PREPARED + frame("E", b"p"),
    "an execute without a limit": PREPARED + frame("E", b"p\0"),
    "an execute with half a limit": PREPARED + frame("E", b"p\0\0\0"),
    "an execute with more behind its limit": PREPARED + frame("E", b"p\0\0\0\0\0more"),
    "an execute with a negative limit": PREPARED + frame("E", b"p\0" + struct.pack("!i", -5)),
    "an execute of no portal": execute("nowhere"),
    # Flush, Sync, Terminate
    "a flush with a body": frame("H", b"body"),
    "a flush with a body in a pipeline": parse("", "SELECT 1") + frame("H", b"body") + bind("", "") + execute(),
    "a sync with a body": frame("S", b"body"),
    "a sync with a body in a pipeline": parse("", "SELECT 1") + frame("S", b"body") + bind("", "") + execute(),
    "a terminate with a body": query("SELECT 1") + frame("X", b"body"),
    # Function call
    "a function call without a body": frame("F"),
    "a function call with half an OID": frame("F", b"\0\0"),
    "a function call with a negative count": frame("F", struct.pack("!IHh", 1397, 0, -1)),
    "a function call with too few arguments": frame("F", struct.pack("!IHHH", 1397, 0, 0, 0)),
    "a function call with a value that is cut": frame("F", struct.pack("!IHHi", 1397, 0, 1, 10) + b"5"),
    "a function call of no function": frame("F", struct.pack("!IHHH", 4_000_000, 0, 0, 0)),
    "a function call with a format that there is not": frame("F", struct.pack("!IHHHi", 1397, 1, 7, 1, 1) + b"5\0\0"),
    "a function call with more behind its end": frame("F", struct.pack("!IHHi", 1397, 0, 1, 1) + b"5\0\0more"),
    "a function call of what only computes": frame("F", struct.pack("!IHHi", 1397, 0, 1, 2) + b"-5\0\0"),
    "a function call of a function that looks at more with too few arguments": frame("F", struct.pack("!IHHH", 2322, 0, 0, 0)),
    "a function call of a function that looks at more with a value that is cut": frame("F", struct.pack("!IHHi", 2322, 0, 1, 10) + b"5"),
    "a function call of a function that looks at more in a transaction that has failed": query("BEGIN") + query("nonsense") + frame("F", struct.pack("!IHHi", 2322, 0, 1, 1) + b"5\0\0"),
    "a function call of an aggregate": frame("F", struct.pack("!IHHi", 2108, 0, 1, 1) + b"5\0\0"),
    # Unknown and out of place
    "an unknown message": frame("~"),
    "an unknown message with a body": frame("y", b"body"),
    "a NUL as a message": frame("\0"),
    "a message of the server": frame("T", b"\0\0"),
    "an unknown message in a pipeline": parse("", "SELECT 1") + bind("", "") + execute() + frame("!") + execute(),
    "copy data outside of a copy": frame("d", b"1\tx\n"),
    "copy done outside of a copy": frame("c"),
    "copy fail outside of a copy": frame("f", b"why\0"),
    "copy data in a pipeline": parse("", "SELECT 1") + frame("d", b"x") + bind("", "") + frame("c") + execute(),
    "a password after the login": frame("p", b"secret\0"),
    "an answer to SASL in a pipeline": parse("", "SELECT 1") + frame("p", b"secret"),
    "a second startup": wire.startup("sam", "people"),
    "an SSL request": struct.pack("!II", 8, wire.SSL_REQUEST),
    "a cancel request": struct.pack("!IIII", 16, wire.CANCEL_REQUEST, 1, 2),
    "a message of length 0": b"Q" + struct.pack("!I", 0),
    "a message of length 3": b"Q" + struct.pack("!I", 3),
    "a message of a negative length": b"Q" + struct.pack("!i", -1),
    "a message of 2 GB": b"Q" + struct.pack("!I", 2**31 - 1),
    "a sync that is too long": b"S" + struct.pack("!I", 20_000) + b"\0" * 19_996,
    "a describe that is too long": b"D" + struct.pack("!I", 20_000) + b"S" + b"x" * 19_994 + b"\0",
    "an execute that is too long": b"E" + struct.pack("!I", 20_000) + b"x" * 19_991 + b"\0\0\0\0\0",
    "half a message": frame("Q", b"SELECT 1\0")[:7],
    "half a header": b"Q\0\0",
    # In a transaction, and after an error
    "malformed in a transaction": query("BEGIN") + frame("B", b"\0"),
    "malformed after an error": parse("", "nonsense") + frame("B", b"\0") + frame("D"),
    "a query without its end after an error": parse("", "nonsense") + frame("Q", b"SELECT 1"),
    "an unknown message after an error": parse("", "nonsense") + frame("~"),
    "a flush with a body after an error": parse("", "nonsense") + frame("H", b"x"),
    # In COPY
    "a query in a copy in": COPY_IN + query("SELECT 1"),
    "a parse in a copy in": COPY_IN + frame("d", b"1\tx\n") + parse("", "SELECT 1") + frame("c"),
    "an unknown message in a copy in": COPY_IN + frame("~"),
    "a flush in a copy in": COPY_IN + flush() + frame("d", b"901\tx\n") + sync() + frame("c"),
    "a copy done with a body": COPY_IN + frame("c", b"body"),
    "a copy fail without a body": COPY_IN + frame("f"),
    "a copy fail whose reason has no end": COPY_IN + frame("f", b"why"),
    "copy data that is cut into pieces": COPY_IN + frame("d", b"90") + frame("d", b"2\t") + frame("d") + frame("d", b"x\n") + frame("c"),
    "copy data in a copy out": COPY_OUT + frame("d", b"x") + frame("c"),
    "a copy done in a copy that failed": COPY_IN + frame("d", b"nonsense\n") + frame("d", b"x\n") + frame("c"),
    "a function call in a copy in": COPY_IN + frame("F", struct.pack("!IHHH", 1397, 0, 0, 0)),
    "a parse in a copy in of a pipeline": parse("", "COPY note (id, body) FROM STDIN") + bind("", "") + execute() + parse("", "SELECT 1"),
    # Behind a Terminate
    "a query behind a terminate": query("SELECT 1") + terminate() + query("SELECT 2"),
    "a terminate behind a pipeline": PREPARED + execute("p") + describe("P", "p") + terminate(),
    "a terminate behind a pipeline and its sync": PREPARED + execute("p") + sync() + terminate(),
    "a terminate behind much": query("SELECT repeat('x', 1000) FROM generate_series(1, 3000)") + terminate(),
    "a terminate behind two queries": query("SELECT 1") + query("SELECT 1/0") + terminate(),
    "a terminate in a copy": COPY_IN + frame("d", b"903\tx\n") + terminate(),
    "a terminate after an error": parse("", "nonsense") + terminate(),
}


# What a masked caller is told by pgveil while anything is tagged: whether there is such a function is not told by calling it.
REFUSED = {"a function call of no function": "42501"}
WAYS = ["whole", "bytes", "half-closed"]


def pieces(data: bytes, way: str) -> list[bytes]:
    match way:
        case "whole":
            return [data + AFTER + terminate()]
        case "bytes":
            return [data[at : at + 1] for at in range(len(data))] + [AFTER + terminate()]
        case _:
            return [data + AFTER]


def answer(place, data: bytes, way: str) -> bytes:
    """What comes back for it, up to the end of the connection, without what the login says."""
    client = Raw(place.host, place.port, timeout=10)
    client.login("sam", "people")
    one, got = client.socket, client.buffer
    try:
        for piece in pieces(data, way):
            one.sendall(piece)
        if way == "half-closed":
            one.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    try:
        while more := one.recv(65536):
            got += more
    except ConnectionResetError:
        # Something that was sent was not read: that is not an answer.
        pass
    except TimeoutError:
        got += b"(silence)"
    one.close()
    return got


@pytest.mark.parametrize("policy", ["empty.yaml", "elsewhere.yaml"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_malformed_or_out_of_place_is_answered_as_postgresql_does(pg, front, name, policy):
    target = front(policy)
    for way in WAYS if len(CASES[name]) < 1000 else WAYS[:1]:
        direct, through = answer(pg, CASES[name], way), answer(target, CASES[name], way)
        if policy == "elsewhere.yaml" and target.proxied and (refused := REFUSED.get(name)):
            assert f"\0C{refused}\0Mpgveil: ".encode() in through, (way, through)
            through = through[through.index(b"Z") :]
            direct = direct[direct.index(b"Z") :]
        if max(len(through), len(direct)) > 65536:
            # Behind its Terminate something was sent that nobody reads: the reset for that may overtake much of what came before.
            assert through.startswith(direct) or direct.startswith(through), way
        else:
            assert through == direct, way
