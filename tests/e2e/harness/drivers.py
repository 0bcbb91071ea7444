"""Runs steps of the script through a real driver. Each driver says which (mode, format) pairs it has.

Cells come back as the driver received them: text as it is, binary as hexadecimal digits behind `\\x`; asyncpg, which
gives no access to the bytes, has the text of its decoded value.
"""

import asyncio
import csv
import io
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg

from .pgveil import ROOT
from .script import Outcome, Step

NODE_MODULES = Path(os.environ.get("PGVEIL_NODE_MODULES", ROOT / "target" / "node" / "node_modules"))
NODE_RUNNER = Path(__file__).resolve().parents[1] / "node" / "run.js"
RUST_RUNNER = Path(os.environ.get("PGVEIL_RUST_DRIVER", ROOT / "target" / "debug" / "examples" / "tokio_postgres_driver"))
NULL = "\u2400"
# Rows that the ways with a cursor ask for at a time.
FETCH_ROWS = 7


@dataclass(frozen=True)
class Login:
    """Whom to log in as, where."""

    host: str
    port: int
    user: str
    database: str

    def dsn(self) -> str:
        return f"host={self.host} port={self.port} user={self.user} dbname={self.database} application_name=drivers"

    def url(self) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.database}?application_name=drivers&sslmode=disable"


# Ways of running a statement. A way whose name ends in "*" has no parameters: statements with parameters are left out.
WAYS = {
    "psql": [("simple*", "text"), ("sql-prepare", "text"), ("fetch-count*", "text")],
    "psycopg": [("simple*", "text"), ("extended", "text"), ("extended", "binary"), ("prepared", "text"), ("prepared", "binary"),
                ("pipeline", "binary"), ("server-cursor", "text"), ("stream", "text")],
    "asyncpg": [("extended", "binary"), ("prepared", "binary"), ("cursor", "binary")],
    "node": [("simple*", "text"), ("extended", "text"), ("extended", "binary"), ("prepared", "text"), ("prepared", "binary")],
    "tokio-postgres": [("simple*", "text"), ("extended", "binary"), ("prepared", "binary")],
}


def run(driver: str, login: Login, steps: list[Step]) -> list[Outcome]:
    """Runs the steps on one connection, in order: one outcome for each run, and one for a failed step."""
    return {"psql": _psql, "psycopg": _psycopg, "asyncpg": _asyncpg, "node": _node, "tokio-postgres": _rust}[driver](login, steps)


def _literal(value) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _psql(login: Login, steps: list[Step]) -> list[Outcome]:
    mark = "==== next ===="
    script = [f"\\pset null '{NULL}'", "\\pset format csv"]
    for at, step in enumerate(steps):
        sql = step.statement.sql
        if step.mode == "sql-prepare":
            script.append(f"PREPARE s{at} AS {sql};")
            arguments = ", ".join(_literal(value) for value in step.statement.params)
            sql = f"EXECUTE s{at}" + (f" ({arguments})" if arguments else "")
        script.append(f"\\set FETCH_COUNT {FETCH_ROWS if step.mode == 'fetch-count' else 0}")
        script += [f"{sql};\n\\echo '{mark}'"] * step.runs
    done = subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", login.url()],
        input="\n".join(script), text=True, capture_output=True, check=False, env={**os.environ, "PGCLIENTENCODING": "UTF8"},
    )
    if done.returncode:
        raise AssertionError(f"psql: {done.stderr}")
    outcomes = []
    for part in done.stdout.split(mark + "\n")[:-1]:
        lines = list(csv.reader(io.StringIO(part)))
        rows = [[None if cell == NULL else cell for cell in row] for row in lines[1:]]
        outcomes.append(Outcome(lines[0] if lines else [], rows))
    return outcomes


def _psycopg_outcome(cursor) -> Outcome:
    result = cursor.pgresult
    columns = [result.fname(at).decode() for at in range(result.nfields)]

    def cell(row: int, column: int) -> str | None:
        raw = result.get_value(row, column)
        if raw is None:
            return None
        return "\\x" + bytes(raw).hex() if result.fformat(column) else bytes(raw).decode()

    return Outcome(columns, [[cell(row, column) for column in range(result.nfields)] for row in range(result.ntuples)])


def _psycopg_values(columns, rows) -> Outcome:
    return Outcome(columns, [[None if value is None else str(value) for value in row] for row in rows])


def _psycopg(login: Login, steps: list[Step]) -> list[Outcome]:
    outcomes = []
    with psycopg.connect(login.dsn(), autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        for step in steps:
            binary = step.format == "binary"
            params = list(step.statement.params) or None
            for _ in range(step.runs):
                try:
                    outcomes.append(_psycopg_run(connection, step, binary, params))
                except psycopg.Error as error:
                    outcomes.append(Outcome(error={"code": error.sqlstate, "message": error.diag.message_primary,
                                                   "hint": error.diag.message_hint}))
                    break
    return outcomes


def _psycopg_run(connection, step: Step, binary: bool, params) -> Outcome:
    sql = step.statement.sql
    if step.mode == "pipeline":
        with connection.cursor(binary=binary) as cursor:
            with connection.pipeline():
                connection.execute("SELECT 1")
                cursor.execute(sql, params, prepare=False)
                connection.execute("SELECT 2")
            return _psycopg_outcome(cursor)
    if step.mode == "server-cursor":
        with connection.transaction(), psycopg.RawServerCursor(connection, "portal") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(sql, params)
            rows = list(cursor)
            return _psycopg_values([column.name for column in cursor.description], rows)
    with connection.cursor(binary=binary) as cursor:
        if step.mode == "stream":
            rows = list(cursor.stream(sql, params))
            return _psycopg_values([column.name for column in cursor.description or []], rows)
        if step.mode == "simple":
            cursor.execute(sql)
        else:
            # An empty list of parameters is what makes psycopg use the extended protocol.
            cursor.execute(sql, params if params else [], prepare=step.mode == "prepared")
        return _psycopg_outcome(cursor)


def _asyncpg(login: Login, steps: list[Step]) -> list[Outcome]:
    async def play() -> list[Outcome]:
        outcomes = []
        connection = await asyncpg.connect(login.url(), statement_cache_size=0)
        try:
            for step in steps:
                prepared = None
                for _ in range(step.runs):
                    try:
                        if prepared is None:
                            prepared = await connection.prepare(step.statement.sql)
                        columns = [attribute.name for attribute in prepared.get_attributes()]
                        if step.mode == "extended":
                            records = await connection.fetch(step.statement.sql, *step.statement.params)
                        elif step.mode == "cursor":
                            async with connection.transaction():
                                records = [one async for one in prepared.cursor(*step.statement.params, prefetch=FETCH_ROWS)]
                        else:
                            records = await prepared.fetch(*step.statement.params)
                        outcomes.append(_psycopg_values(columns, [tuple(record) for record in records]))
                    except asyncpg.PostgresError as error:
                        outcomes.append(Outcome(error={"code": error.sqlstate, "message": error.message, "hint": error.hint}))
                        break
        finally:
            await connection.close()
        return outcomes

    return asyncio.run(play())


def _external(command: list[str], job: dict, **more) -> list[Outcome]:
    done = subprocess.run(command, input=json.dumps(job), text=True, capture_output=True, check=False, timeout=120, **more)
    if done.returncode:
        raise AssertionError(f"{command[0]}: {done.stderr}")
    return [Outcome(one.get("columns", []), one.get("rows", []), one.get("error")) for one in json.loads(done.stdout)["results"]]


def _node(login: Login, steps: list[Step]) -> list[Outcome]:
    job = {"statements": [step.job() for step in steps]}
    job["dsn"] = {"host": login.host, "port": login.port, "user": login.user, "database": login.database, "application_name": "drivers"}
    for at, one in enumerate(job["statements"]):
        one["name"] = f"s{at}"
    return _external(["node", str(NODE_RUNNER)], job, env={**os.environ, "NODE_PATH": str(NODE_MODULES)})


def _rust(login: Login, steps: list[Step]) -> list[Outcome]:
    return _external([str(RUST_RUNNER)], {"dsn": login.dsn(), "statements": [step.job() for step in steps]})
