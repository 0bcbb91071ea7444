"""A TCP relay that does to a connection what networks do: it cuts, resets, stalls, and lets bytes through one at a time.

It stands before pgveil (the client's leg) or behind it (the server's). Connections of pgveil's own catalog login are
left alone.
"""

import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

# The two directions of a relay.
REQUESTS, REPLIES = "requests", "replies"


@dataclass(frozen=True)
class Fault:
    """What happens when so many bytes have gone through in one direction.

    `cut`: both connections are closed; `reset`: they are reset; `half`: the side that wrote these bytes is closed, the
    other hears nothing more; `stall`: nothing more goes through in either direction, all stays open.
    """

    kind: str
    direction: str
    after: int


def same(data: bytes) -> bytes:
    return data


@dataclass
class Relay:
    """Use as a context manager. `fault`, `requests`, `replies` and `chunk` hold for connections made from then on."""

    target_host: str
    target_port: int
    fault: Fault | None = None
    requests: Callable[[bytes], bytes] = same
    replies: Callable[[bytes], bytes] = same
    # Whether it has answered the client's bytes itself, on that connection: then they go no further.
    answers: Callable[[bytes, socket.socket], bool] | None = None
    # Bytes that go on at a time.
    chunk: int | None = None
    # Bytes that have gone through on the connection that was made last, by direction.
    passed: dict[str, int] = field(default_factory=dict)
    recorded: dict[str, bytearray] = field(default_factory=dict)

    def __post_init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.host, self.port = self.listener.getsockname()
        self.stopping, self.open = threading.Event(), set()
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Relay":
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.drop()
        self.thread.join(10)
        self.listener.close()

    def drop(self, keep: frozenset = frozenset()) -> None:
        """Close all connections that are open, but these."""
        for one in self.open - keep:
            with _quiet():
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            if select.select([self.listener], [], [], 0.2)[0]:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((self.target_host, self.target_port), 10)
        except OSError:
            client.close()
            return
        both = {client, server}
        self.open |= both
        for one in both:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            first = client.recv(65536, socket.MSG_PEEK)
            if b"user\0pgveil\0" in first:
                _Exchange(client, server, None, same, same, None, None, {REQUESTS: 0, REPLIES: 0}, None).run()
            else:
                self.passed = {REQUESTS: 0, REPLIES: 0}
                self.recorded = {REQUESTS: bytearray(), REPLIES: bytearray()}
                _Exchange(client, server, self.fault, self.requests, self.replies, self.answers, self.chunk, self.passed,
                          self.recorded).run()
        except OSError:
            pass
        finally:
            self.open -= both
            for one in both:
                one.close()


@dataclass
class _Exchange:
    client: socket.socket
    server: socket.socket
    fault: Fault | None
    requests: Callable[[bytes], bytes]
    replies: Callable[[bytes], bytes]
    answers: Callable[[bytes, socket.socket], bool] | None
    chunk: int | None
    passed: dict[str, int]
    recorded: dict[str, bytearray] | None

    def run(self) -> None:
        ends = {self.client: (REQUESTS, self.server, self.requests), self.server: (REPLIES, self.client, self.replies)}
        if self.fault and self.fault.after == 0 and self._strikes(self.client if self.fault.direction == REQUESTS else self.server):
            return
        open_for_reading = set(ends)
        while open_for_reading:
            for one in select.select(list(open_for_reading), [], [], 60)[0]:
                direction, other, change = ends[one]
                data = one.recv(65536)
                if not data:
                    open_for_reading.discard(one)
                    other.shutdown(socket.SHUT_WR)
                    continue
                if one is self.client and self.answers and self.answers(data, one):
                    continue
                data = change(data)
                left = self._left(direction)
                if left is not None and len(data) >= left:
                    self._pass(direction, other, data[:left])
                    if self._strikes(one):
                        return
                    data = data[left:]
                self._pass(direction, other, data)

    def _left(self, direction: str) -> int | None:
        """Bytes until the fault."""
        if self.fault is None or self.fault.direction != direction or self.fault.after < self.passed[direction]:
            return None
        return self.fault.after - self.passed[direction]

    def _pass(self, direction: str, other: socket.socket, data: bytes) -> None:
        step = self.chunk or max(len(data), 1)
        for at in range(0, len(data), step):
            other.sendall(data[at : at + step])
        self.passed[direction] += len(data)
        if self.recorded is not None:
            self.recorded[direction] += data

    def _strikes(self, writer: socket.socket) -> bool:
        """Do what the fault says; whether the exchange is over."""
        if self.fault.kind == "reset":
            for one in (self.client, self.server):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        if self.fault.kind == "half":
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
        if self.fault.kind in ("half", "stall"):
            other = self.server if writer is self.client else self.client
            _wait_for_end([one for one in (other, writer) if one.fileno() >= 0])
        return True


def _wait_for_end(ends: list[socket.socket]) -> None:
    """Until one of them hangs up; what they say is not read, so that it stays on its way."""
    poll = select.poll()
    for one in ends:
        poll.register(one, select.POLLRDHUP)
    poll.poll(120_000)


class _quiet:
    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is not None and issubclass(kind, OSError)
