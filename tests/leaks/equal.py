"""Whether two answers are the same bytes, but for what differs from server to server."""

import re

from play import Answer

# Folded, and nothing else: where pgveil's own policy file lies, and the number of the server process behind a notification.
PLACE = re.compile(rb"/tmp/pgveil-proxy-\w+/")


def folded(answer: Answer) -> list[tuple[str, bytes]]:
    """The frames as they are compared, and last what a program printed."""
    frames = [(one.tag, one.body[4:] if one.tag == "A" else PLACE.sub(b"", one.body)) for one in answer.frames()]
    return [*frames, ("output", PLACE.sub(b"", answer.output)), ("end", b"%d %d" % (answer.status, answer.closed))]


def difference(first: Answer, second: Answer) -> str | None:
    """What the second one has otherwise, in words; None if nothing."""
    here, there = folded(first), folded(second)
    if here == there:
        return None
    for one, other in zip(here, there, strict=False):
        if one != other:
            return f"{one[0]} {_around(one[1], other[1])} / {other[0]} {_around(other[1], one[1])}"
    return f"{len(here)} frames / {len(there)} frames"


def _around(text: bytes, other: bytes) -> bytes:
    """From a little before the first byte that differs."""
    at = next((at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), 0)
    return text[max(at - 20, 0) : at + 100]
