"""asyncpg: binary throughout, every statement prepared and kept, cursors by portals."""

import asyncio
import datetime
import decimal
import io
import json
import re

import asyncpg

from runner import Given, main, plain, short, table


def value(text, kind):
    """A parameter as a program that uses asyncpg would have it."""
    if text is None or kind.kind != "scalar" and kind.name != "int4[]":
        return text
    if kind.name in ("int2", "int4", "int8", "oid"):
        return int(text)
    if kind.name in ("float4", "float8"):
        return float(text)
    made = {"numeric": decimal.Decimal, "bool": lambda it: it == "true", "date": datetime.date.fromisoformat, "time": datetime.time.fromisoformat,
            "timestamp": datetime.datetime.fromisoformat, "timestamptz": datetime.datetime.fromisoformat, "bytea": lambda it: bytes.fromhex(it[2:]),
            "interval": lambda _: datetime.timedelta(days=1, hours=2, minutes=3, seconds=4.5), "point": lambda it: asyncpg.Point(*json.loads("[" + it[1:-1] + "]")),
            "int4[]": lambda it: json.loads(it.replace("{", "[").replace("}", "]").replace("NULL", "null"))}.get(kind.name)
    return made(text) if made else text


class Asyncpg:
    def __init__(self, login):
        self.loop = asyncio.new_event_loop()
        self.connection = self.wait(asyncpg.connect(host=login["host"], port=login["port"], user=login["user"], database=login["dbname"], ssl=False,
                                                    server_settings={"application_name": "drivers"}))
        self.notices = []
        self.connection.add_log_listener(lambda _, message: self.notices.append({key: str(one) for key, one in message.as_dict().items() if not key.startswith("server_source")}))

    def wait(self, awaited):
        return self.loop.run_until_complete(awaited)

    def close(self):
        self.wait(self.connection.close())

    def aside(self):
        self.wait(asyncio.sleep(0))
        notices, self.notices = self.notices, []
        return {"notices": notices, "state": self.connection.is_in_transaction()}

    def failure(self, error):
        if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
            said = {key: str(one) for key, one in error.as_dict().items() if not key.startswith("server_source")} if hasattr(error, "as_dict") else {}
            return {"class": type(error).__name__, "code": getattr(error, "sqlstate", None), "text": str(error), **said}
        return {"class": type(error).__name__, "text": str(error)} if isinstance(error, (ValueError, TypeError, OverflowError, AttributeError)) else None

    def query(self, step):
        async def run():
            statement = await self.connection.prepare(step["sql"])
            params = [value(text, kind) for text, kind in zip(step["params"], statement.get_parameters(), strict=True)]
            rows = await statement.fetch(*params)
            columns = [[one.name, one.type.name, one.type.oid, one.type.kind] for one in statement.get_attributes() or ()]
            again = await self.connection.fetch(step["sql"], *params) if step["sql"].startswith("SELECT") else []
            return table(columns, rows, tag=statement.get_statusmsg(), again=len(again))

        try:
            return self.wait(run())
        except asyncpg.DataError as error:
            if error.sqlstate != "22000":
                raise
            # No text for a value of this type: sent as text, and read back as the driver reads it.
            step = {**step, "sql": re.sub(r"(\$\d+)::", r"\1::text::", step["sql"])}
            return self.wait(run())

    def simple(self, step):
        if step["expect"] == "rows":
            return self.query({**step, "params": []})
        return self.wait(self.connection.execute(step["sql"]))

    def prepared(self, step):
        async def run():
            # `fetch` has a cache of prepared statements, which outlive this step.
            answers = []
            for params in step["runs"]:
                kinds = (await self.connection.prepare(step["sql"])).get_parameters()
                answers.append(table([], await self.connection.fetch(step["sql"], *[value(text, kind) for text, kind in zip(params, kinds, strict=True)])))
            return answers

        return self.wait(run())

    def batch(self, step):
        async def run():
            kinds = (await self.connection.prepare(step["sql"])).get_parameters()
            return await self.connection.executemany(step["sql"], [[value(text, kind) for text, kind in zip(params, kinds, strict=True)] for params in step["runs"]])

        return self.wait(run())

    def fetch(self, step):
        async def run():
            statement = await self.connection.prepare(step["sql"])
            params = [value(text, kind) for text, kind in zip(step["params"], statement.get_parameters(), strict=True)]
            async with self.connection.transaction():
                return table([one.name for one in statement.get_attributes()], [row async for row in statement.cursor(*params, prefetch=step["size"])])

        return self.wait(run())

    def copy_out(self, step):
        out = io.BytesIO()
        query = step["sql"][len("COPY "):step["sql"].rindex(" TO STDOUT")]
        options = step["sql"][step["sql"].rindex(" TO STDOUT"):]
        more = {"format": "csv" if "csv" in options else "binary" if "binary" in options else "text", **({"header": True} if "HEADER" in options else {})}
        if query.startswith("("):
            tag = self.wait(self.connection.copy_from_query(query[1:-1], output=out, **more))
        else:
            schema, _, rest = query.partition(".") if "." in query else (None, "", query)
            name, _, columns = rest.partition(" (")
            tag = self.wait(self.connection.copy_from_table(name, schema_name=schema, output=out, columns=columns.rstrip(")").split(", ") if columns else None, **more))
        return [short(repr(out.getvalue())), tag]

    def copy_in(self, step):
        async def parts():
            yield step["data"].encode()
            if step["fail"]:
                raise asyncpg.QueryCanceledError("given up by the source")

        name = step["sql"].split()[1]
        schema, _, table_name = name.rpartition(".")
        return self.wait(self.connection.copy_to_table(table_name, schema_name=schema or None, source=parts(), columns=["id", "word"] if schema else None,
                                                       format="csv" if "csv" in step["sql"] else "text"))

    def listen(self, step):
        async def run():
            got = asyncio.Queue()
            await self.connection.add_listener(step["channel"], heard := lambda _, pid, channel, payload: got.put_nowait([channel, payload, pid == self.connection.get_server_pid()]))
            await self.connection.fetch("SELECT pg_notify($1::text, $2::text)", step["channel"], step["payload"])
            answer = await asyncio.wait_for(got.get(), 5)
            await self.connection.remove_listener(step["channel"], heard)
            return answer

        return self.wait(run())

    def cancel(self, step):
        async def run():
            task = asyncio.ensure_future(self.connection.fetch(step["sql"]))
            await asyncio.sleep(0.3)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                raise Given({"code": "57014", "text": "a task that was cancelled", "then": await self.connection.fetchval("SELECT 1")}) from None
            return "not cancelled"

        return self.wait(run())

    def transaction(self, step):
        async def run():
            scope = self.connection.transaction(isolation=step["level"].replace(" ", "_") if step["level"] else None)
            await scope.start()
            answers = [table([], await self.connection.fetch(sql)) for sql in step["statements"]]
            await getattr(scope, step["end"])()
            return answers

        return self.wait(run())

    def meta(self, step):
        if step["what"] == "types":
            return plain(self.wait(self.connection.fetchrow("SELECT ARRAY[ROW(1, 'x')::shop.pair] AS pairs, 'sad'::shop.mood AS mood, '{[1,3)}'::int4multirange AS ranges, 'w'::shop.word AS w")).items().__iter__().__next__())
        settings = self.connection.get_settings()
        return [plain(self.connection.get_server_version()), {name: getattr(settings, name, None) for name in ("server_encoding", "client_encoding", "TimeZone", "DateStyle", "application_name", "is_superuser")}]


if __name__ == "__main__":
    main(Asyncpg)
