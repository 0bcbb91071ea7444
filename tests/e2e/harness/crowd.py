"""Many clients at once, and a server that costs next to nothing for each of them.

The server is a stand-in in a process of its own: it lets everybody in and answers each message with the same row.
What pgveil's own login asks goes on to a real one.
"""

import multiprocessing
import resource
import selectors
import socket
import threading
import time

from . import wire
from .relay import Relay
from .wire import frame

LOGGED_IN = (frame("R", b"\0\0\0\0") + frame("S", b"client_encoding\0UTF8\0") + frame("S", b"server_encoding\0UTF8\0")
             + frame("S", b"standard_conforming_strings\0on\0"))
ANSWER = (frame("T", b"\0\1n\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0") + frame("D", b"\0\1\0\0\0\x011") + frame("C", b"SELECT 1\0")
          + frame("Z", b"I"))
FILES = 60_000


class Crowd:
    """The stand-in. Use as a context manager."""

    def __init__(self, real_host: str, real_port: int):
        self.real = (real_host, real_port)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.host, self.port = self.listener.getsockname()
        self.process = multiprocessing.get_context("fork").Process(target=self._serve, daemon=True)

    def __enter__(self) -> "Crowd":
        self.process.start()
        self.listener.close()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()

    def _serve(self) -> None:
        more_files()
        # One relay to the real server; who is not pgveil's own login never comes there.
        self.relay = Relay(*self.real)
        self.relay.__enter__()
        poll, self.keys = selectors.DefaultSelector(), 0
        self.listener.setblocking(False)
        poll.register(self.listener, selectors.EVENT_READ, None)
        while True:
            for key, _ in poll.select():
                if key.data is None:
                    self._accept(poll)
                elif not self._answer(key.fileobj, key.data):
                    poll.unregister(key.fileobj)
                    key.fileobj.close()

    def _accept(self, poll) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            poll.register(client, selectors.EVENT_READ, {"started": False})

    def _answer(self, client: socket.socket, state: dict) -> bool:
        """Whether the connection stays here."""
        try:
            data = client.recv(65536)
            if not data or data[:1] == b"X":
                return False
            if state["started"]:
                client.sendall(ANSWER)
            elif b"user\0pgveil\0" in data:
                threading.Thread(target=pass_on, args=(client.dup(), (self.relay.host, self.relay.port), data), daemon=True).start()
                return False
            else:
                self.keys += 1
                state["started"] = True
                client.sendall(LOGGED_IN + frame("K", self.keys.to_bytes(4, "big") + b"key!") + frame("Z", b"I"))
            return True
        except OSError:
            return False


def pass_on(client: socket.socket, target: tuple[str, int], first: bytes) -> None:
    server = socket.create_connection(target)
    client.setblocking(True)
    server.sendall(first)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join()
    client.close()
    server.close()


def more_files() -> None:
    """Let this process have as many descriptors as it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, max(FILES, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


STARTUP = wire.startup("sam", "people", application_name="crowd")


def came_in(host: str, port: int, timeout: float = 30.0) -> socket.socket:
    """A client that has logged in."""
    client = socket.create_connection((host, port), timeout)
    client.sendall(STARTUP)
    read_ready(client)
    return client


def read_ready(client: socket.socket) -> None:
    got = b""
    while not got.endswith(b"Z\0\0\0\5I"):
        more = client.recv(4096)
        if not more:
            raise ConnectionError(got)
        got += more


def ask(client: socket.socket, sql: str) -> None:
    client.sendall(wire.query(sql))
    read_ready(client)


def churn(host: str, port: int, seconds: float, processes: int) -> int:
    """Connect, log in and leave, as often as it goes; how often that was."""
    context = multiprocessing.get_context("fork")
    counts = context.Queue()
    workers = [context.Process(target=_churn, args=(host, port, seconds, counts)) for _ in range(processes)]
    for one in workers:
        one.start()
    total = sum(counts.get(timeout=seconds + 60) for _ in workers)
    for one in workers:
        one.join()
    return total


def _churn(host: str, port: int, seconds: float, counts) -> None:
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        client = came_in(host, port)
        client.sendall(wire.terminate())
        client.close()
        count += 1
    counts.put(count)
