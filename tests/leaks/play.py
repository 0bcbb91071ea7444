"""Plays one row of the catalogue against a server, over the wire, and keeps every byte that came back."""

import os
import re
import struct
import subprocess
from dataclasses import dataclass, field

from canaries import Canaries
from harness.wire import Closed, Frame, Raw, bind, close, describe, execute, flush, frame, parse, query, sync, text

TIMEOUT = 20.0
PROGRAMS = ("psql", "pg_dump")
EMAIL = "alice.zeph@example.org"


@dataclass
class Answer:
    """What came back: `messages` has the frames of each message that was sent, `output` what a program printed."""

    messages: list[list[Frame]] = field(default_factory=list)
    output: bytes = b""
    status: int = 0
    closed: bool = False
    startup: list[Frame] = field(default_factory=list)

    def frames(self) -> list[Frame]:
        return self.startup + [one for message in self.messages for one in message]

    def received(self) -> bytes:
        """All bytes that the client got, login apart."""
        return b"".join(one.tag.encode() + one.body for one in self.frames()) + self.output

    def leak(self, canaries: Canaries, sent: bytes) -> str | None:
        """What of a stored value is in it, in words. Masks repeat themselves: each frame is looked at once."""
        distinct = b"".join(dict.fromkeys(one.tag.encode() + one.body for one in self.frames()))
        rows = [one.cells() for one in self.frames() if one.tag == "D"]
        return canaries.find(distinct + self.output, sent) or canaries.find_spread(rows)

    def errors(self) -> list[dict[str, str]]:
        found = [one.fields() for one in self.frames() if one.tag == "E"]
        for line in re.finditer(rb"(?:ERROR|FATAL): +(?:([0-9A-Z]{5}): )?(.*)", self.output):
            found.append({"C": (line[1] or b"").decode(), "M": line[2].decode("utf-8", "replace")})
        return found


class Server:
    """Where to play: PostgreSQL itself or pgveil in front of it."""

    def __init__(self, host: str, port: int, database: str):
        self.host, self.port, self.database = host, port, database

    def play(self, row, lookup) -> Answer:
        """`lookup(name)` answers questions of the row about the database: the OID of a function, the name of a TOAST table."""
        if row.proto in PROGRAMS:
            return self._program(row)
        answer = Answer()
        parameters = {}
        if row.proto in ("repl", "repl-db"):
            parameters["replication"] = "true" if row.proto == "repl" else "database"
        if row.proto == "startup":
            parameters["options"] = "-c search_path=s3,public"
        client = Raw(self.host, self.port, TIMEOUT)
        try:
            login = client.login(row.role, self.database, **parameters)
            answer.startup = [one for one in login if one.tag == "N"]
            for message in self._messages(row, lookup):
                self._exchange(client, answer, *message)
        except (Closed, ConnectionError):
            answer.closed = True
        finally:
            if not answer.messages:
                answer.startup = list(client.frames)
            client.close()
        return answer

    def _exchange(self, client: Raw, answer: Answer, data: bytes, waits: bool) -> None:
        answer.messages.append([])
        client.send(data)
        if waits:
            while True:
                one = client.next()
                answer.messages[-1].append(one)
                if one.tag == "G":
                    client.send(frame("f", text("no data")))
                if one.tag == "W":
                    client.send(frame("c"))
                if one.tag == "Z":
                    return

    def _messages(self, row, lookup):
        """Pairs: the bytes of one message or flight, and whether a ReadyForQuery answers it."""
        if row.proto == "extended":
            count = len(set(re.findall(r"\$\d", row.sql)))
            flight = parse("", row.sql) + bind("", "", [EMAIL] * count, (), () if count else (1,))
            return [(flight + describe("P", "") + execute() + sync(), True)]
        if row.proto == "script":
            return self._script(row.sql, lookup)
        if row.proto == "simple-esc":
            decoded = re.sub(rb"\\x([0-9a-f]{2})", lambda hit: bytes.fromhex(hit[1].decode()), row.sql.encode())
            decoded = decoded.replace(b"\\r", b"\r").replace(b"\\n", b"\n")
            return [(frame("Q", decoded + b"\0"), True)]
        sql = row.sql.replace("%s", lookup("toast")) if row.proto == "toast" else row.sql
        return [(query(one), True) for one in sql.split(" ;;; ")]

    def _script(self, steps: str, lookup):
        pending = b""
        messages = []
        for step in steps.split(" | "):
            word, _, rest = step.strip().partition(" ")
            words = rest.split(" ")
            names = ["" if one == "-" else one for one in words]
            if word in ("Q", "S", "F"):
                data = {"Q": lambda: query(rest), "S": sync, "F": lambda: call(rest, lookup)}[word]()
                messages.append((pending + data, True))
                pending = b""
            elif word == "X":
                # The server may ignore the frame: a query after it shows that both sides are still in step.
                messages.append((pending + frame(words[0], bytes.fromhex(words[1])) + query("SELECT 1"), True))
                pending = b""
            elif word == "P":
                pending += parse(names[0], rest.partition(" ")[2])
            elif word == "B":
                formats = re.fullmatch(r"[01](,[01])*", words[2]) if len(words) > 2 else None
                given = () if formats or len(words) < 3 else words[2].split(",")
                pending += bind(names[0], names[1], given, (), [int(one) for one in words[2].split(",")] if formats else ())
            elif word == "D":
                pending += describe(names[0], names[1])
            elif word == "E":
                pending += execute(names[0], int(words[1]))
            elif word == "C":
                pending += close(names[0], names[1])
            elif word == "H":
                pending += flush()
            else:
                raise ValueError(f"unknown step {step!r}")
        return messages + ([(pending + sync(), True)] if pending else [])

    def _program(self, row) -> Answer:
        environment = {**os.environ, "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": row.role, "PGDATABASE": self.database}
        if row.proto == "pg_dump":
            command, given = row.sql.split(), None
        else:
            command, given = ["psql", "-X", "-v", "VERBOSITY=verbose"], (row.unescaped() + "\n").encode()
        done = subprocess.run(command, input=given, env=environment, capture_output=True, timeout=60, check=False)
        return Answer(output=done.stdout + done.stderr, status=done.returncode)


def call(step: str, lookup) -> bytes:
    """A fast-path call: `name(int4 n)`, or an OID in the place of the name."""
    name, arguments = re.fullmatch(r"(\w+)\((.*)\)", step).groups()
    number = int(name) if name.isdigit() else int(lookup(name))
    values = [struct.pack("!i", int(one.split()[1])) for one in arguments.split(",") if one]
    body = struct.pack("!IHHH", number, 1, 1, len(values))
    body += b"".join(struct.pack("!i", len(one)) + one for one in values)
    return frame("F", body + struct.pack("!H", 0))
