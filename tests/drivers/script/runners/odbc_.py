"""ODBC by pyodbc and PostgreSQL's own driver (psqlODBC): statements with parameters are prepared by the server, and the catalog functions."""

import pyodbc

from runner import main, plain, table, with_marks

DRIVER = "/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so"


def known(count: int, described) -> int:
    """Where a statement of several changes nothing, the driver's count is whatever was in memory: most often a large number, seen from 696,906 on. No
    check changes more than 10,000 rows."""
    return count if described or -1 <= count <= 10_000 else -1


class Odbc:
    def __init__(self, login):
        self.text = (f"DRIVER={DRIVER};SERVER={login['host']};PORT={login['port']};DATABASE={login['dbname']};UID={login['user']};SSLmode=disable;"
                     "UseServerSidePrepare=1;UseDeclareFetch={fetch};Fetch={size};Parse=0;ApplicationName=drivers;BoolsAsChar=0;TrueIsMinus1=0;Protocol=7.4-0")
        self.connection = self.connected(0, 100)

    def connected(self, fetch, size):
        connection = pyodbc.connect(self.text.format(fetch=fetch, size=size), autocommit=True)
        # Types that it has no converter for come as text.
        for kind in (-11, -98, -99):
            connection.add_output_converter(kind, lambda raw: None if raw is None else f"raw {raw.hex()}")
        return connection

    def close(self):
        self.connection.close()

    def aside(self):
        return {}

    def failure(self, error):
        if isinstance(error, pyodbc.Error):
            return {"class": type(error).__name__, "code": error.args[0], "text": str(error.args[-1])}
        return {"class": type(error).__name__, "text": str(error)} if isinstance(error, (ValueError, TypeError, UnicodeError)) else None

    def results(self, cursor):
        answers = []
        while True:
            described = cursor.description
            columns = [[one[0], one[1].__name__, *one[2:]] for one in described or []]
            answers.append(table(columns, cursor.fetchall() if described else [], changed=known(cursor.rowcount, described), notices=[str(one) for one in cursor.messages or []]))
            if not cursor.nextset():
                return answers

    def query(self, step):
        with self.connection.cursor() as cursor:
            return self.results(cursor.execute(with_marks(step["sql"], "?"), *step["params"]))

    def simple(self, step):
        with self.connection.cursor() as cursor:
            return self.results(cursor.execute(step["sql"]))

    def prepared(self, step):
        # The same text on the same cursor stays prepared. The driver names statements by addresses in memory and forgets to drop them: only a
        # connection of its own has no name twice.
        other = self.connected(0, 100)
        try:
            with other.cursor() as cursor:
                return [self.results(cursor.execute(with_marks(step["sql"], "?"), *params)) for params in step["runs"]]
        finally:
            other.close()

    def batch(self, step):
        with self.connection.cursor() as cursor:
            cursor.fast_executemany = True
            cursor.executemany(with_marks(step["sql"], "?"), step["runs"])
            return cursor.rowcount

    def fetch(self, step):
        other = self.connected(1, step["size"])
        try:
            with other.cursor() as cursor:
                cursor.execute(with_marks(step["sql"], "?"), *step["params"])
                rows = []
                while part := cursor.fetchmany(step["size"]):
                    rows += part
                return table([], rows)
        finally:
            other.close()

    def cancel(self, step):
        import threading

        with self.connection.cursor() as cursor:
            timer = threading.Timer(0.3, cursor.cancel)
            timer.start()
            try:
                return self.results(cursor.execute(step["sql"]))
            finally:
                timer.join()

    def transaction(self, step):
        level = {None: None, "read committed": pyodbc.SQL_TXN_READ_COMMITTED, "repeatable read": pyodbc.SQL_TXN_REPEATABLE_READ, "serializable": pyodbc.SQL_TXN_SERIALIZABLE}[step["level"]]
        if level:
            self.connection.set_attr(pyodbc.SQL_ATTR_TXN_ISOLATION, level)
        self.connection.autocommit = False
        try:
            answers = [self.simple({"sql": sql}) for sql in step["statements"]]
            getattr(self.connection, step["end"])()
            return answers
        finally:
            self.connection.autocommit = True
            if level:
                self.connection.set_attr(pyodbc.SQL_ATTR_TXN_ISOLATION, pyodbc.SQL_TXN_READ_COMMITTED)

    def meta(self, step):
        schema, name = [*step["arguments"], None, None][:2]
        with self.connection.cursor() as cursor:
            ask = {"tables": lambda: cursor.tables(schema=schema), "columns": lambda: cursor.columns(schema=schema, table=name), "primary key": lambda: cursor.primaryKeys(schema=schema, table=name),
                   "foreign keys": lambda: cursor.foreignKeys(foreignSchema=schema, foreignTable=name), "indexes": lambda: cursor.statistics(schema=schema, table=name), "types": lambda: cursor.getTypeInfo()}.get(step["what"])
            if ask:
                return plain([list(row) for row in ask()])
        return plain([self.connection.getinfo(kind) for kind in (pyodbc.SQL_DBMS_NAME, pyodbc.SQL_DBMS_VER, pyodbc.SQL_DATABASE_NAME, pyodbc.SQL_USER_NAME, pyodbc.SQL_IDENTIFIER_QUOTE_CHAR)])


if __name__ == "__main__":
    main(Odbc)
