"""A client that speaks PostgreSQL's protocol 3.0 byte by byte: it plays frames and records the server's frames.

Nothing is interpreted that a test did not ask for, so that two servers can be compared byte for byte.
"""

import socket
import ssl
import struct
from dataclasses import dataclass, field

PROTOCOL_3 = 196608
SSL_REQUEST = 80877103
CANCEL_REQUEST = 80877102
GSSENC_REQUEST = 80877104


def frame(tag: str, body: bytes = b"") -> bytes:
    return tag.encode() + struct.pack("!I", len(body) + 4) + body


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def startup_of(version: int, parameters: dict[str, str]) -> bytes:
    body = struct.pack("!I", version)
    for key, value in parameters.items():
        body += text(key) + text(value)
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def startup(user: str, database: str, **parameters: str) -> bytes:
    return startup_of(PROTOCOL_3, {"user": user, "database": database, **parameters})


def query(sql: str) -> bytes:
    return frame("Q", text(sql))


def parse(name: str, sql: str, types: tuple[int, ...] = ()) -> bytes:
    return frame("P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal: str, statement: str, params=(), param_formats=(), result_formats=()) -> bytes:
    body = text(portal) + text(statement)
    body += struct.pack(f"!H{len(param_formats)}H", len(param_formats), *param_formats)
    body += struct.pack("!H", len(params))
    for value in params:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            raw = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(raw)) + raw
    body += struct.pack(f"!H{len(result_formats)}H", len(result_formats), *result_formats)
    return frame("B", body)


def describe(kind: str, name: str) -> bytes:
    return frame("D", kind.encode() + text(name))


def execute(portal: str = "", rows: int = 0) -> bytes:
    return frame("E", text(portal) + struct.pack("!I", rows))


def close(kind: str, name: str) -> bytes:
    return frame("C", kind.encode() + text(name))


def sync() -> bytes:
    return frame("S")


def flush() -> bytes:
    return frame("H")


def terminate() -> bytes:
    return frame("X")


@dataclass(frozen=True)
class Frame:
    """One frame from the server."""

    tag: str
    body: bytes

    def fields(self) -> dict[str, str]:
        """Of an ErrorResponse or NoticeResponse: field code to value."""
        found = {}
        for part in self.body.split(b"\0"):
            if part:
                found[chr(part[0])] = part[1:].decode("utf-8", "replace")
        return found

    def cells(self) -> list[bytes | None]:
        """Of a DataRow: its cells."""
        count = struct.unpack_from("!H", self.body)[0]
        at, cells = 2, []
        for _ in range(count):
            length = struct.unpack_from("!i", self.body, at)[0]
            at += 4
            cells.append(None if length < 0 else self.body[at : at + length])
            at += max(length, 0)
        assert at == len(self.body), "a DataRow with bytes left over"
        return cells

    def columns(self) -> list[tuple[str, int, int, int, int]]:
        """Of a RowDescription: name, table OID, attribute number, type OID, format."""
        count = struct.unpack_from("!H", self.body)[0]
        at, columns = 2, []
        for _ in range(count):
            end = self.body.index(b"\0", at)
            table, attribute, kind, _, _, fmt = struct.unpack_from("!IhIhih", self.body, end + 1)
            columns.append((self.body[at:end].decode(), table, attribute, kind, fmt))
            at = end + 19
        return columns


def frames_of(data: bytes) -> list[Frame]:
    """These bytes as frames; a part of one at the end is an AssertionError."""
    found = []
    while data:
        assert len(data) >= 5, data
        length = struct.unpack_from("!I", data, 1)[0] + 1
        assert len(data) >= length, data
        found.append(Frame(chr(data[0]), data[5:length]))
        data = data[length:]
    return found


class Closed(Exception):
    """The server closed the connection."""


@dataclass
class Raw:
    """A raw connection. `frames` holds everything received since the last `take()`."""

    host: str
    port: int
    timeout: float = 20.0
    chunk: int | None = None
    frames: list[Frame] = field(default_factory=list)

    def __post_init__(self):
        self.socket = socket.create_connection((self.host, self.port), self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        if self.chunk is None:
            self.socket.sendall(data)
            return
        for at in range(0, len(data), self.chunk):
            self.socket.sendall(data[at : at + self.chunk])

    def start_tls(self, context: ssl.SSLContext, name: str = "localhost") -> None:
        self.socket.sendall(struct.pack("!II", 8, SSL_REQUEST))
        answer = self.socket.recv(1)
        assert answer == b"S", f"the answer to SSLRequest is {answer!r}"
        self.socket = context.wrap_socket(self.socket, server_hostname=name)

    def login(self, user: str, database: str, **parameters: str) -> list[Frame]:
        """Start up under `trust`; returns the frames up to the first ReadyForQuery."""
        self.send(startup(user, database, **parameters))
        return self.until("Z")

    def next(self) -> Frame:
        while True:
            if len(self.buffer) >= 5:
                length = struct.unpack_from("!I", self.buffer, 1)[0] + 1
                if len(self.buffer) >= length:
                    got = Frame(chr(self.buffer[0]), self.buffer[5:length])
                    self.buffer = self.buffer[length:]
                    self.frames.append(got)
                    return got
            more = self.socket.recv(65536)
            if not more:
                raise Closed(f"connection closed after {[f.tag for f in self.frames[-5:]]}")
            self.buffer += more

    def until(self, *tags: str) -> list[Frame]:
        """Read until one frame of each of these tags has come, in this order; returns all frames read."""
        got = []
        for tag in tags:
            while True:
                one = self.next()
                got.append(one)
                if one.tag == tag:
                    break
        return got

    def until_closed(self) -> list[Frame]:
        got = []
        try:
            while True:
                got.append(self.next())
        except (Closed, ConnectionResetError):
            return got

    def ask(self, data: bytes, *tags: str) -> list[Frame]:
        """Send, then read until these tags (by default one ReadyForQuery)."""
        self.send(data)
        return self.until(*(tags or ("Z",)))

    def rows(self, sql: str) -> list[list[bytes | None]]:
        """The rows of a simple query; an error of the server is an AssertionError."""
        got = self.ask(query(sql))
        for one in got:
            assert one.tag != "E", one.fields()
        return [one.cells() for one in got if one.tag == "D"]

    def close(self) -> None:
        try:
            self.socket.sendall(terminate())
        except OSError:
            pass
        self.socket.close()


def outline(frames: list[Frame]) -> list[str]:
    """Tags in order, errors with their SQLSTATE and ReadyForQuery with its status: what a driver's state depends on."""
    lines = []
    for one in frames:
        if one.tag == "E":
            lines.append("E " + one.fields()["C"])
        elif one.tag == "Z":
            lines.append("Z " + one.body.decode())
        elif one.tag == "C":
            lines.append("C " + one.body.rstrip(b"\0").decode())
        else:
            lines.append(one.tag)
    return lines
