"""What a test needs to say of an access log that it is evidence: readers that note what they were shown, and `pgveil log`."""

import json
import random
import subprocess
import threading
from collections import defaultdict

from .pgveil import ROOT, Pgveil, binary
from .wire import Closed, Raw, bind, execute, parse, query, sync

POLICY = ROOT / "tests" / "e2e" / "policies" / "people.yaml"
# Exit codes of `pgveil log verify`.
WHOLE, NOT_WHOLE, UNREADABLE, UNATTESTED, UNFINISHED = range(5)


def command(target: Pgveil, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([binary(), "log", *words, "--config", target.config], capture_output=True, text=True, timeout=60, check=False)


def verify(target: Pgveil, *words: str) -> tuple[int, str]:
    key = target.base / "public-key"
    done = command(target, "verify", *(["--public-key", str(key)] if key.exists() else []), *words)
    return done.returncode, done.stdout + done.stderr


def whole(target: Pgveil, *words: str) -> str:
    code, said = verify(target, *words)
    assert code == WHOLE, said
    return said


def connected(target, user: str) -> Raw:
    client = Raw(target.host, target.port)
    client.login(user, "people")
    return client


def lines(target: Pgveil) -> list[bytes]:
    """All whole lines of all segments, oldest first."""
    log = target.access_log
    closed = sorted(path for path in log.parent.glob(log.name + ".0*-*Z"))
    text = b"".join(path.read_bytes() for path in [*closed, *([log] if log.exists() else [])])
    return [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


# What clients ask, and the columns that a row of the answer reveals.
ASKED = [
    (query("SELECT email FROM person WHERE id = 1"), {"email"}),
    (query("SELECT email, phone FROM person ORDER BY id"), {"email", "phone"}),
    (parse("", "SELECT phone FROM person WHERE id = $1") + bind("", "", ["1"]) + execute() + sync(), {"phone"}),
    (parse("", "SELECT email FROM person ORDER BY id") + bind("", "") + execute("", 2) + execute("", 100) + sync(), {"email"}),
    (query("COPY (SELECT email, full_name FROM person) TO STDOUT"), {"email", "full_name"}),
    (query("SELECT p.email, repeat('x', 2000) FROM person p, generate_series(1, 40)"), {"email"}),
]


# A part of the first row that each question shows in clear; where all is hidden (`####`) there is nothing of it.
CLEAR = (b"jane@example.com", b"+49 170 5550100")


class Reader(threading.Thread):
    """Asks until the connection breaks, and notes for which questions clear values came.

    What becomes unwritable between a statement and its result is answered with hidden values: that is no reveal.
    """

    def __init__(self, target: Pgveil, seed: int):
        super().__init__()
        self.random, self.got = random.Random(seed), []
        self.client = connected(target, "bella")
        self.port = self.client.socket.getsockname()[1]

    def run(self) -> None:
        try:
            while True:
                asked, columns = self.random.choice(ASKED)
                self.client.frames.clear()
                self.client.send(asked)
                seen = False
                while (one := self.client.next()).tag != "Z":
                    if one.tag in "Dd" and not seen and any(value in one.body for value in CLEAR):
                        self.got.append(columns)
                        seen = True
        except (Closed, OSError):
            pass


class Masked(threading.Thread):
    """Goes on with what shows masks."""

    def __init__(self, target: Pgveil):
        super().__init__()
        self.client, self.count = connected(target, "sam"), 0

    def run(self) -> None:
        try:
            while True:
                assert self.client.rows("SELECT email FROM person WHERE id = 1") == [[b"j###@#######.###"]]
                self.count += 1
        except (Closed, OSError):
            pass


def reveals(target: Pgveil, since: int = 0) -> dict[int, list[set[str]]]:
    """By the port of the client: the revealed columns of each execution that has events, in order; of lines `since` on."""
    events: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in lines(target)[since:]:
        record = json.loads(line)
        if record["kind"] == "reveal":
            events[record["client_port"]][record["execution"]].add(record["column"])
    return {port: [found[execution] for execution in sorted(found)] for port, found in events.items()}
