"""SQLAlchemy over psycopg 3: text() with parameters, streamed results, its inspector, and its own transactions."""

import re

from sqlalchemy import MetaData, Table, create_engine, exc, inspect, text

from runner import main, plain, table


def named(sql: str):
    return text(re.sub(r"\$(\d+)", r":p\1 ", re.sub(r"(?<!:):(?=\w)", r"\\:", sql.replace("::", "\0")).replace("\0", "\\:\\:")))


def values(params):
    return {f"p{at}": value for at, value in enumerate(params, 1)}


class SqlAlchemy:
    def __init__(self, login):
        self.engine = create_engine("postgresql+psycopg://{user}@{host}:{port}/{dbname}?application_name=drivers&sslmode=disable".format(**login))
        self.connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def close(self):
        self.connection.close()
        self.engine.dispose()

    def aside(self):
        # It begins transactions of its own, which in autocommit are none for the server.
        state = self.connection.connection.driver_connection.info.transaction_status.name
        self.connection.rollback() if state == "IDLE" else None
        return {"state": state}

    def failure(self, error):
        if isinstance(error, exc.DBAPIError):
            return {"class": type(error).__name__, "code": error.orig.sqlstate, "text": str(error.orig), "statement": error.statement}
        return {"class": type(error).__name__, "text": str(error)} if isinstance(error, exc.SQLAlchemyError) else None

    def results(self, result):
        if not result.returns_rows:
            return {"changed": result.rowcount}
        return table(list(result.keys()), result.fetchall(), changed=result.rowcount)

    def query(self, step):
        return self.results(self.connection.execute(named(step["sql"]), values(step["params"])))

    def simple(self, step):
        return self.results(self.connection.exec_driver_sql(step["sql"]))

    def batch(self, step):
        return self.results(self.connection.execute(named(step["sql"]), [values(params) for params in step["runs"]]))

    def fetch(self, step):
        with self.engine.connect() as other:
            result = other.execution_options(stream_results=True, yield_per=step["size"]).execute(named(step["sql"]), values(step["params"]))
            return table(list(result.keys()), [row for part in result.partitions() for row in part])

    def transaction(self, step):
        with self.engine.connect() as other:
            if step["level"]:
                other = other.execution_options(isolation_level=step["level"].upper())
            with other.begin() as scope:
                answers = [self.results(other.execute(text(sql))) for sql in step["statements"]]
                if step["end"] == "rollback":
                    scope.rollback()
            return answers

    def meta(self, step):
        inspector, what, more = inspect(self.engine), step["what"], step["arguments"]
        schema, name = [*more, None, None][:2]
        if what == "tables":
            return [sorted(inspector.get_table_names(schema)), inspector.get_view_names(schema), inspector.get_schema_names()]
        if what == "columns":
            # Names with parentheses in it are not for reading further.
            reflected = Table(name, MetaData(), autoload_with=self.engine, schema=schema)
            return [plain([{**one, "type": str(one["type"])} for one in inspector.get_columns(name, schema)]), [str(column.type) for column in reflected.columns]]
        if what == "types":
            return plain([inspector.get_enums("shop"), [{key: str(value) for key, value in one.items()} for one in inspector.get_domains("shop")]])
        ask = {"primary key": inspector.get_pk_constraint, "foreign keys": inspector.get_foreign_keys, "indexes": inspector.get_indexes}.get(what)
        if ask:
            return plain([ask(name, schema), inspector.get_check_constraints(name, schema), inspector.get_unique_constraints(name, schema)])
        return [plain(self.engine.dialect.server_version_info), inspector.default_schema_name]


if __name__ == "__main__":
    main(SqlAlchemy)
