"""A relay in front of the server that either writes down which requests pgveil refused and which reports it withheld, or,
without pgveil, makes exactly these requests fail and these reports be withheld.

So a run through pgveil can be held byte for byte against PostgreSQL's own behaviour where just those statements fail: what differs
from the run straight is what was refused, and what PostgreSQL makes of that.
"""

import asyncio
import re
import struct
import threading
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

# What pgveil lets fail in the place of what it refuses.
STAND_IN = b"SELECT FROM pg_catalog.pgveil_refused\0"
SSL_REQUEST = 80877103
# Views whose column of that name pgveil redacts: statements of the session, which may be made of values.
SHOWS_STATEMENTS = re.compile(rb"\b(pg_cursors?|pg_prepared_statements?|pg_stat_activity|pg_backend_memory_contexts)\b")

NAMES_PREPARED = re.compile(rb"\s*(PREPARE|EXECUTE)\s+(\w+)", re.IGNORECASE)


@dataclass
class Said:
    """What pgveil said in the answer to one request."""

    refused: bool = False
    # By the number of the report (error or notice) within the answer.
    reports: dict[int, bytes] = field(default_factory=dict)
    # The rows as they came, where a column of them may be redacted.
    rows: list[bytes] = field(default_factory=list)


# By psql's application name, number of its connection, and number of the request.
Book = dict[tuple[bytes, int, int], Said]


def fields(body: bytes) -> dict[bytes, bytes]:
    """The fields of an error or notice."""
    return {part[:1]: part[1:] for part in body.split(b"\0") if part}


def frame(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("!I", len(body) + 4) + body


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


class Session:
    """One connection. psql waits for ReadyForQuery before it sends its next request."""

    def __init__(self, relay: "Relay", client: asyncio.StreamWriter, server: asyncio.StreamWriter, name: bytes):
        self.relay, self.client, self.server = relay, client, server
        self.name, self.number = name, relay.connections[name]
        relay.connections[name] += 1
        self.request, self.reports, self.rows, self.redacts = 0, 0, 0, False
        # Prepared statements that show such columns.
        self.prepared: set[bytes] = set()

    @property
    def key(self) -> tuple[bytes, int, int]:
        return self.name, self.number, self.request

    async def forth(self, reader: asyncio.StreamReader) -> None:
        while True:
            tag, body = await message(reader)
            if tag in b"QPF":
                self.redacts = self.may_redact(body)
                said = self.relay.given.get(self.key) if self.relay.given is not None else None
                if said and said.refused:
                    tag, body = {b"Q": (b"Q", STAND_IN), b"P": (b"P", b"\0" + STAND_IN + b"\0\0"), b"F": (b"Q", STAND_IN)}[tag]
            self.server.write(frame(tag, body))
            await self.server.drain()

    async def back(self, reader: asyncio.StreamReader) -> None:
        while True:
            tag, body = await message(reader)
            if tag in b"EN":
                body = self.report(body)
                self.reports += 1
            elif tag == b"D" and self.redacts:
                body = self.row(body)
                self.rows += 1
            elif tag == b"Z":
                self.request, self.reports, self.rows = self.request + 1, 0, 0
            self.client.write(frame(tag, body))
            await self.client.drain()

    def may_redact(self, text: bytes) -> bool:
        shows = bool(SHOWS_STATEMENTS.search(text))
        if named := NAMES_PREPARED.match(text):
            verb, name = named[1].upper(), named[2]
            if verb == b"PREPARE" and shows:
                self.prepared.add(name)
            return verb == b"EXECUTE" and name in self.prepared
        return shows

    def report(self, body: bytes) -> bytes:
        if self.relay.given is not None:
            said = self.relay.given.get(self.key)
            instead = said.reports.get(self.reports) if said else None
            if instead is None:
                return body
            # Withheld is the text, not what kind of report it is, nor where.
            one, other = fields(body), fields(instead)
            kept = said.refused or all(one.get(code) == other.get(code) for code in (b"S", b"C", b"P"))
            return instead if kept else body
        if b"pgveil" in body:
            said = self.relay.book[self.key]
            said.reports[self.reports] = body
            said.refused |= b"pgveil withheld" not in body and not body.startswith(b"SWARNING")
        return body

    def row(self, body: bytes) -> bytes:
        if self.relay.given is not None:
            said = self.relay.given.get(self.key)
            return said.rows[self.rows] if said and self.rows < len(said.rows) else body
        self.relay.book[self.key].rows.append(body)
        return body


class Relay:
    """Listens at one address and passes everything on to another. `given`: the book of an earlier run, to be kept to."""

    def __init__(self, listen: str, upstream: str, port: int, given: Book | None = None):
        self.listen, self.upstream, self.port, self.given = listen, upstream, port, given
        self.book: Book = defaultdict(Said)
        self.connections: Counter[bytes] = Counter()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Relay":
        self.thread.start()
        if not self.ready.wait(10):
            raise RuntimeError("the relay does not listen")
        return self

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, self.listen, self.port, limit=1 << 20))
        self.ready.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        server = None
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                length = await reader.readexactly(4)
                startup = await reader.readexactly(struct.unpack("!I", length)[0] - 4)
                if struct.unpack("!I", startup[:4])[0] != SSL_REQUEST:
                    break
                client.write(b"N")
            given = startup[4:].split(b"\0")
            name = dict(zip(given[::2], given[1::2], strict=False)).get(b"application_name", b"")
            from_server, server = await asyncio.open_connection(self.upstream, self.port, limit=1 << 20)
            server.write(length + startup)
            session = Session(self, client, server, name)
            ways = [asyncio.ensure_future(session.forth(reader)), asyncio.ensure_future(session.back(from_server))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        for end in (client, server):
            if end:
                end.close()
