"""Stands between a tool and a server, keeps what the tool sends, and plays it again to others."""

import socket
import struct
import threading
from dataclasses import dataclass, field

from .wire import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, Closed, Frame, Raw


@dataclass
class Flight:
    """What a client sends before it waits for ReadyForQuery, and the COPY data that it sends when asked for them."""

    data: bytes = b""
    copied: bytes = b""
    statements: list[str] = field(default_factory=list)


class Recorder:
    """Listens on a port of its own and passes everything on. `sessions()` are the sessions so far."""

    def __init__(self, host: str, port: int):
        self.target = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        self.taken: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            kept = bytearray()
            self.taken.append(kept)
            threading.Thread(target=self._pass_on, args=(client, server, kept), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, bytearray()), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
        try:
            while data := source.recv(65536):
                kept += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def sessions(self) -> list[tuple[bytes, list[Flight]]]:
        """Of each session that logged in: its startup message, and its flights in order."""
        return [session for taken in self.taken if (session := split(bytes(taken)))]

    def close(self) -> None:
        self.listener.close()


def split(taken: bytes) -> tuple[bytes, list[Flight]] | None:
    """The startup message and the flights of what one client sent; None where it only asked to cancel something or for TLS."""
    at = 0
    while True:
        if len(taken) < at + 8:
            return None
        length, code = struct.unpack_from("!II", taken, at)
        if code == CANCEL_REQUEST:
            return None
        if code not in (SSL_REQUEST, GSSENC_REQUEST):
            break
        at += length
    begin, at = taken[at : at + length], at + length
    flights, current = [], Flight()
    while at + 5 <= len(taken):
        tag, length = chr(taken[at]), struct.unpack_from("!I", taken, at + 1)[0] + 1
        whole, body = taken[at : at + length], taken[at + 5 : at + length]
        at += length
        if tag in "dcf" and flights and not current.data:
            flights[-1].copied += whole
            continue
        if tag == "X":
            break
        current.data += whole
        if tag in "QP":
            current.statements.append(body.split(b"\0")[0 if tag == "Q" else 1].decode())
        if tag in "QSF":
            flights.append(current)
            current = Flight()
    return begin, flights


def replay(host: str, port: int, database: str, session: tuple[bytes, list[Flight]]) -> list[list[Frame]]:
    """What a server answers to each flight; a connection that ends early answers the rest with nothing."""
    begin, flights = session
    words = begin[8:].split(b"\0")
    parameters = dict(zip((one.decode() for one in words[::2]), (one.decode() for one in words[1::2]), strict=False))
    parameters.pop("", None)
    client = Raw(host, port, 60.0)
    answers: list[list[Frame]] = []
    try:
        client.login(parameters.pop("user"), database, **{key: value for key, value in parameters.items() if key != "database"})
        for flight in flights:
            answer: list[Frame] = []
            client.send(flight.data)
            while not answer or answer[-1].tag != "Z":
                answer.append(client.next())
                if answer[-1].tag == "G":
                    client.send(flight.copied)
            answers.append(answer)
    except (Closed, ConnectionError):
        pass
    client.close()
    return answers + [[]] * (len(flights) - len(answers))
