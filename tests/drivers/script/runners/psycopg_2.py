"""psycopg2: writes parameters into the statement, and speaks the simple protocol only."""

import io
import threading
import time

import psycopg2
import psycopg2.extras

from runner import main, short, table, with_marks

STATES = {0: "IDLE", 1: "ACTIVE", 2: "INTRANS", 3: "INERROR", 4: "UNKNOWN"}


class Psycopg2:
    def __init__(self, login):
        self.connection = psycopg2.connect(**login, application_name="drivers", sslmode="disable")
        self.connection.autocommit = True

    def close(self):
        self.connection.close()

    def aside(self):
        notices = list(self.connection.notices)
        self.connection.notices.clear()
        return {"notices": notices, "state": STATES[self.connection.info.transaction_status]}

    def failure(self, error):
        if not isinstance(error, psycopg2.Error):
            return {"class": type(error).__name__, "text": str(error)} if isinstance(error, (ValueError, TypeError)) else None
        names = ("severity", "message_primary", "message_detail", "message_hint", "statement_position", "context", "schema_name", "table_name", "column_name", "constraint_name")
        return {"class": type(error).__name__, "code": error.pgcode, "text": str(error), **{name: value for name in names if (value := getattr(error.diag, name))}}

    def results(self, cursor):
        described = cursor.description
        columns = [[one.name, one.type_code, one.internal_size, one.precision, one.scale, one.table_column] for one in described or []]
        return table(columns, cursor.fetchall() if described is not None else [], tag=cursor.statusmessage, changed=cursor.rowcount)

    def query(self, step):
        with self.connection.cursor() as cursor:
            cursor.execute(with_marks(step["sql"], "%s"), step["params"])
            return self.results(cursor)

    def simple(self, step):
        with self.connection.cursor() as cursor:
            cursor.execute(step["sql"])
            return self.results(cursor)

    def batch(self, step):
        with self.connection.cursor() as cursor:
            psycopg2.extras.execute_batch(cursor, with_marks(step["sql"], "%s"), step["runs"])
            return cursor.rowcount

    def fetch(self, step):
        self.connection.autocommit = False
        try:
            with self.connection.cursor(name="parts") as cursor:
                cursor.itersize = step["size"]
                cursor.execute(with_marks(step["sql"], "%s"), step["params"])
                rows = list(cursor)
                return table([one.name for one in cursor.description or []], rows)
        finally:
            self.connection.rollback()
            self.connection.autocommit = True

    def copy_out(self, step):
        out = io.BytesIO()
        with self.connection.cursor() as cursor:
            cursor.copy_expert(step["sql"], out)
            return [short(repr(out.getvalue())), cursor.rowcount]

    def copy_in(self, step):
        class Source(io.StringIO):
            def read(self, size=-1):
                part = super().read(size)
                if not part and step["fail"]:
                    raise ValueError("given up")
                return part

        with self.connection.cursor() as cursor:
            cursor.copy_expert(step["sql"], Source(step["data"]))
            return cursor.rowcount

    def listen(self, step):
        channel = '"' + step["channel"] + '"'
        with self.connection.cursor() as cursor:
            cursor.execute(f"LISTEN {channel}")
            cursor.execute("SELECT pg_notify(%s, %s)", [step["channel"], step["payload"]])
            for _ in range(50):
                self.connection.poll()
                if self.connection.notifies:
                    break
                time.sleep(0.1)
            cursor.execute(f"UNLISTEN {channel}")
        got = [[one.channel, one.payload, one.pid == self.connection.info.backend_pid] for one in self.connection.notifies]
        self.connection.notifies.clear()
        return got

    def cancel(self, step):
        timer = threading.Timer(0.3, self.connection.cancel)
        timer.start()
        try:
            return self.simple(step)
        finally:
            timer.join()

    def transaction(self, step):
        self.connection.autocommit = False
        try:
            self.connection.set_session(isolation_level=step["level"] or "DEFAULT")
            answers = []
            with self.connection.cursor() as cursor:
                for sql in step["statements"]:
                    cursor.execute(sql)
                    answers.append(self.results(cursor))
            getattr(self.connection, step["end"])()
            return answers
        finally:
            self.connection.rollback()
            self.connection.set_session(isolation_level="DEFAULT", autocommit=True)

    def meta(self, step):
        if step["what"] == "types":
            made = psycopg2.extras.register_composite("shop.pair", self.connection)
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT '(1,x)'::shop.pair")
                return [made.name, made.oid, made.attnames, made.atttypes, table([], cursor.fetchall())]
        info = self.connection.info
        return [info.server_version, self.connection.encoding, info.dbname, info.user, info.protocol_version, info.parameter_status("TimeZone")]


if __name__ == "__main__":
    main(Psycopg2)
