"""Whether two answers are the same bytes, but for what differs from server to server."""

import re
import struct

from harness.wire import Frame
from play import Answer

# Folded, and nothing else: where pgveil's own policy file lies, the number of the server process behind a notification, the ids of
# tables that the statements themselves made, and the word that pg_dump makes up against statements in names.
PLACE = re.compile(rb"/tmp/pgveil-proxy-\w+/|(?<=restrict )\w+")


def folded(answer: Answer, newest_oid: int) -> list[tuple[str, bytes]]:
    """The frames as they are compared, and last what a program printed."""
    frames = [without_new_oids(one, newest_oid) for one in answer.frames()]
    frames = [(tag, body[4:] if tag == "A" else PLACE.sub(b"", body)) for tag, body in frames]
    return [*frames, ("output", PLACE.sub(b"", answer.output)), ("end", b"%d %d" % (answer.status, answer.closed))]


def difference(first: Answer, second: Answer, newest_oid: int) -> str | None:
    """What the second one has otherwise, in words; None if nothing. `newest_oid` is the highest OID before the statements."""
    here, there = folded(first, newest_oid), folded(second, newest_oid)
    if here == there:
        return None
    for one, other in zip(here, there, strict=False):
        if one != other:
            return f"{one[0]} {_around(one[1], other[1])} / {other[0]} {_around(other[1], one[1])}"
    return f"{len(here)} frames / {len(there)} frames"


def without_new_oids(one: Frame, newest_oid: int) -> tuple[str, bytes]:
    """A frame without what differs from database to database: the OIDs of tables that the row itself made."""
    if one.tag != "T":
        return one.tag, one.body
    body, at = bytearray(one.body), 2
    for _ in one.columns():
        at = one.body.index(b"\0", at) + 1
        if struct.unpack_from("!I", body, at)[0] > newest_oid:
            struct.pack_into("!I", body, at, 0)
        at += 18
    return one.tag, bytes(body)


def _around(text: bytes, other: bytes) -> bytes:
    """From a little before the first byte that differs."""
    at = next((at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), 0)
    return text[max(at - 20, 0) : at + 100]
