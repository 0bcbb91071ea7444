"""`pgveil encrypt run` and `decrypt run`, killed at random moments while others write."""

import random
import threading
import time
from dataclasses import dataclass, field

import psycopg

from .encryption import Encryption
from .postgres import Postgres

TABLES = """
CREATE TABLE person (id int PRIMARY KEY, email varchar(60) UNIQUE, name text, photo bytea, visits int DEFAULT 0);
CREATE TABLE entry (person int, note text);
CREATE INDEX ON entry (person);
"""
COLUMNS = {
    "person": {
        "email": "type: varchar(60), mode: deterministic, domain: email",
        "name": "type: text, domain: name",
        "photo": "type: bytea, domain: photo",
    },
    "entry": {"note": "type: text, domain: note"},
}


@dataclass
class Outcome:
    """What happened."""

    kills: dict[str, int] = field(default_factory=lambda: {"encrypt": 0, "decrypt": 0})
    finished: dict[str, int] = field(default_factory=lambda: {"encrypt": 0, "decrypt": 0})
    written: int = 0
    refused: int = 0


class Writer(threading.Thread):
    """Changes the rows whose ids leave this remainder, straight in the server, as plaintext; knows what they must hold."""

    def __init__(self, postgres: Postgres, database: str, remainder: int, writers: int, rows: int, seed: int):
        super().__init__(daemon=True)
        self.postgres, self.database, self.remainder, self.writers = postgres, database, remainder, writers
        self.random = random.Random(seed)
        self.expected = {number: values(number, 0) for number in range(rows) if number % writers == remainder}
        self.next = rows + (remainder - rows) % writers
        self.ends, self.pauses, self.paused = threading.Event(), threading.Event(), threading.Event()
        self.written = self.refused = 0
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            address = f"host={self.postgres.base} port={self.postgres.port} user=postgres dbname={self.database}"
            with psycopg.connect(address, autocommit=True) as connection:
                while not self.ends.is_set():
                    if self.pauses.is_set():
                        self.paused.set()
                        time.sleep(0.01)
                        continue
                    self.paused.clear()
                    self.write(connection)
                    time.sleep(0.002)
        except BaseException as fault:
            self.fault = fault

    def write(self, connection) -> None:
        kind = self.random.choice(["email", "name", "both", "visits", "insert", "delete", "note"])
        number = self.random.choice(sorted(self.expected)) if kind != "insert" else self.next
        email, name, photo, note = self.expected.get(number) or values(number, 0)
        fresh = values(number, self.random.randrange(1 << 30))
        try:
            with connection.transaction():
                if kind == "email":
                    email = fresh[0]
                    connection.execute("UPDATE person SET email = %s WHERE id = %s", (email, number))
                elif kind == "name":
                    name = None if self.random.random() < 0.1 else fresh[1]
                    connection.execute("UPDATE person SET name = %s WHERE id = %s", (name, number))
                elif kind == "both":
                    email, photo = fresh[0], fresh[2]
                    connection.execute("UPDATE person SET email = %s, photo = %s WHERE id = %s", (email, photo, number))
                elif kind == "visits":
                    connection.execute("UPDATE person SET visits = visits + 1 WHERE id = %s", (number,))
                elif kind == "note":
                    note = fresh[3]
                    connection.execute("UPDATE entry SET note = %s WHERE person = %s", (note, number))
                elif kind == "insert":
                    connection.execute("INSERT INTO person VALUES (%s, %s, %s, %s)", (number, email, name, photo))
                    connection.execute("INSERT INTO entry VALUES (%s, %s)", (number, note))
                elif len(self.expected) > 10:
                    connection.execute("DELETE FROM entry WHERE person = %s", (number,))
                    connection.execute("DELETE FROM person WHERE id = %s", (number,))
        except (psycopg.errors.CheckViolation, psycopg.errors.DeadlockDetected):
            # The server keeps plaintext out by then; or two have met, and this one gave way.
            self.refused += 1
            return
        self.written += 1
        if kind == "delete":
            if len(self.expected) > 10:
                del self.expected[number]
            return
        if kind == "insert":
            self.next += self.writers
        self.expected[number] = (email, name, photo, note)


def values(number: int, salt: int) -> tuple[str, str | None, bytes, str]:
    """What a row holds that nobody has changed: (email, name, photo, note)."""
    name = None if number % 11 == 0 else "" if number % 13 == 0 else f"Zoë Ünsal 𝄞 {number}.{salt}"
    return f"u{number}.{salt}@example.org", name, f"photo {number} {salt}".encode() * (1 + number % 7), f"note {number} {salt} " * (number % 40)


def prepare(postgres: Postgres, database: str, rows: int) -> Encryption:
    postgres.psql(f"CREATE DATABASE {database}")
    postgres.psql(TABLES, database=database)
    with psycopg.connect(f"host={postgres.base} port={postgres.port} user=postgres dbname={database}") as connection:
        for number in range(rows):
            email, name, photo, note = values(number, 0)
            connection.execute("INSERT INTO person VALUES (%s, %s, %s, %s)", (number, email, name, photo))
            connection.execute("INSERT INTO entry VALUES (%s, %s)", (number, note))
    return Encryption(postgres, database, COLUMNS)


def held(postgres: Postgres, database: str) -> dict[int, tuple]:
    """What the tables hold, straight from the server; AssertionError where a row is there twice."""
    with psycopg.connect(f"host={postgres.base} port={postgres.port} user=postgres dbname={database}") as connection:
        people = connection.execute("SELECT id, email, name, photo FROM person").fetchall()
        notes = connection.execute("SELECT person, note FROM entry").fetchall()
    assert len({row[0] for row in people}) == len(people)
    assert len({row[0] for row in notes}) == len(notes)
    note_of = dict(notes)
    assert set(note_of) == {row[0] for row in people}
    return {number: (email, name, photo, note_of[number]) for number, email, name, photo in people}


def campaign(postgres: Postgres, database: str, kills: int, rows: int, seed: int, say=lambda line: None) -> Outcome:
    """Kill runs of both directions until `encrypt run` was killed so often; then all must be there, once, and open.

    AssertionError where something is lost, doubled or damaged.
    """
    chance = random.Random(seed)
    encryption = prepare(postgres, database, rows)
    writers = [Writer(postgres, database, remainder, 2, rows, seed + remainder) for remainder in range(2)]
    outcome = Outcome()

    def quiet(check) -> None:
        for writer in writers:
            writer.pauses.set()
        for writer in writers:
            while not writer.paused.wait(0.1):
                assert writer.fault is None and writer.is_alive(), writer.fault
        check()
        for writer in writers:
            writer.pauses.clear()
            writer.paused.clear()

    def expected() -> dict[int, tuple]:
        return {number: row for writer in writers for number, row in writer.expected.items()}

    def all_is_there() -> None:
        assert set(held(postgres, database)) == set(expected())

    def plain_is_right() -> None:
        encryption.run("decrypt", "run", "--allow-rewrite")
        assert held(postgres, database) == expected()

    try:
        for writer in writers:
            writer.start()
        direction, longest = "encrypt", 2.0
        pace = ["--batch-rows", "40", "--sleep-ms", "1"]
        while outcome.kills["encrypt"] < kills:
            more = ["--allow-rewrite"] if direction == "decrypt" else []
            started = time.monotonic()
            process = encryption.start(direction, "run", *pace, *more)
            deadline = started + chance.uniform(0.02, longest)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            if process.poll() is None:
                process.kill()
                process.communicate()
                outcome.kills[direction] += 1
                if sum(outcome.kills.values()) % 10 == 0:
                    quiet(all_is_there)
                    say(f"{outcome.kills} kills, {outcome.finished} runs came to their end")
                continue
            said = process.communicate()[0]
            assert process.returncode == 0, said
            longest = max(0.3, 0.9 * (time.monotonic() - started))
            outcome.finished[direction] += 1
            if direction == "encrypt":
                quiet(lambda: encryption.run("encrypt", "verify"))
            else:
                quiet(plain_is_right)
            direction = "decrypt" if direction == "encrypt" else "encrypt"
        for writer in writers:
            writer.ends.set()
            writer.join(10)
            assert writer.fault is None, writer.fault
        encryption.run("encrypt", "run")
        encryption.run("encrypt", "verify")
        all_is_there()
        plain_is_right()
        outcome.written = sum(writer.written for writer in writers)
        outcome.refused = sum(writer.refused for writer in writers)
        return outcome
    finally:
        for writer in writers:
            writer.ends.set()
        encryption.remove()
