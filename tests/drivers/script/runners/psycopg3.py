"""psycopg 3: text and binary results, prepared statements, server-side cursors, pipelines."""

import threading
import time

import psycopg
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo

from runner import Given, main, plain, short, table


def diagnosis(diag) -> dict:
    names = ("severity", "sqlstate", "message_primary", "message_detail", "message_hint", "statement_position", "context", "schema_name", "table_name",
             "column_name", "datatype_name", "constraint_name")
    return {name: value for name in names if (value := getattr(diag, name))}


class Psycopg:
    def __init__(self, login):
        self.connection = psycopg.connect(**login, autocommit=True, cursor_factory=psycopg.RawCursor, application_name="drivers", sslmode="disable")
        self.notices = []
        self.connection.add_notice_handler(lambda diag: self.notices.append(diagnosis(diag)))

    def close(self):
        self.connection.close()

    def aside(self):
        notices, self.notices = self.notices, []
        return {"notices": notices, "state": self.connection.info.transaction_status.name}

    def failure(self, error):
        if isinstance(error, psycopg.Error):
            return {"class": type(error).__name__, "code": error.sqlstate, "text": str(error), **diagnosis(error.diag)}
        return {"class": type(error).__name__, "text": str(error)} if isinstance(error, (UnicodeError, ValueError, OverflowError)) else None

    def results(self, cursor):
        answers = []
        while True:
            described = cursor.description
            columns = [[one.name, one.type_code, one.internal_size, one.precision, one.scale] for one in described or []]
            answers.append(table(columns, cursor.fetchall() if described is not None else [], tag=cursor.statusmessage, changed=cursor.rowcount))
            if not cursor.nextset():
                return answers

    def query(self, step):
        answers = []
        for binary in (False, True) if step["sql"].startswith("SELECT") else (False,):
            with self.connection.cursor(binary=binary) as cursor:
                cursor.execute(step["sql"], step["params"], prepare=False)
                answers += self.results(cursor)
        return answers

    def simple(self, step):
        with self.connection.cursor() as cursor:
            cursor.execute(step["sql"])
            return self.results(cursor)

    def prepared(self, step):
        answers = []
        with self.connection.cursor() as cursor:
            for params in step["runs"]:
                cursor.execute(step["sql"], params, prepare=True)
                answers += self.results(cursor)
        return answers

    def batch(self, step):
        with self.connection.cursor() as cursor:
            cursor.executemany(step["sql"], step["runs"])
            return cursor.rowcount

    def fetch(self, step):
        with self.connection.transaction(), psycopg.RawServerCursor(self.connection, "parts", scrollable=False) as cursor:
            cursor.itersize = step["size"]
            cursor.execute(step["sql"], step["params"])
            return table([one.name for one in cursor.description], list(cursor))

    def copy_out(self, step):
        with self.connection.cursor() as cursor:
            with cursor.copy(step["sql"]) as copied:
                data = b"".join(bytes(part) for part in copied)
            return [short(repr(data)), cursor.statusmessage]

    def copy_in(self, step):
        with self.connection.cursor() as cursor:
            try:
                with cursor.copy(step["sql"]) as copied:
                    copied.write(step["data"])
                    if step["fail"]:
                        raise KeyError("given up")
            except KeyError:
                raise Given({"code": "57014", "text": "psycopg keeps this error to itself"}) from None
            return cursor.statusmessage

    def listen(self, step):
        channel = '"' + step["channel"] + '"'
        self.connection.execute(f"LISTEN {channel}")
        self.connection.execute("SELECT pg_notify($1::text, $2::text)", [step["channel"], step["payload"]])
        got = [[one.channel, one.payload, one.pid == self.connection.info.backend_pid] for one in self.connection.notifies(timeout=5, stop_after=1)]
        self.connection.execute(f"UNLISTEN {channel}")
        return got

    def cancel(self, step):
        def later():
            time.sleep(0.3)
            self.connection.cancel_safe()

        thread = threading.Thread(target=later)
        thread.start()
        try:
            return self.simple(step)
        finally:
            thread.join()

    def transaction(self, step):
        self.connection.autocommit = False
        try:
            self.connection.isolation_level = getattr(psycopg.IsolationLevel, step["level"].upper().replace(" ", "_")) if step["level"] else None
            answers = [self.results(self.connection.execute(sql)) for sql in step["statements"]]
            getattr(self.connection, step["end"])()
            return answers
        finally:
            self.connection.rollback()
            self.connection.autocommit = True

    def meta(self, step):
        if step["what"] == "types":
            found = [kind.fetch(self.connection, name) for kind, name in ((EnumInfo, "shop.mood"), (CompositeInfo, "shop.pair"), (TypeInfo, "shop.word"), (TypeInfo, "no_such"))]
            return [one and [one.name, one.oid, one.array_oid, plain(getattr(one, "labels", None) or getattr(one, "field_names", None))] for one in found]
        info = self.connection.info
        names = ("server_encoding", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "is_superuser", "session_authorization",
                 "application_name", "server_version", "in_hot_standby", "default_transaction_read_only")
        return [info.server_version, info.encoding, info.dbname, info.user, {name: info.parameter_status(name) for name in names}]


if __name__ == "__main__":
    main(Psycopg)
