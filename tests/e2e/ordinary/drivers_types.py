"""What psycopg and asyncpg ask about types when an application registers its own."""

import asyncio
import os

import asyncpg
import psycopg
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo
from psycopg.types.range import RangeInfo

place = {"host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]), "user": os.environ["PGUSER"]}
MAKE = ("CREATE TYPE size AS ENUM ('s', 'm', 'l')", "CREATE TYPE box3 AS (w int, h int, kind size)", "CREATE TYPE span AS RANGE (subtype = numeric)",
        "CREATE DOMAIN short AS varchar(5)")

with psycopg.connect(**place, dbname=os.environ["PGDATABASE"], autocommit=True) as connection:
    for statement in MAKE:
        connection.execute(statement)
    for kind, name in ((EnumInfo, "size"), (CompositeInfo, "box3"), (RangeInfo, "span"), (TypeInfo, "short"), (TypeInfo, "track"), (TypeInfo, "no_such")):
        kind.fetch(connection, name)
    with connection.cursor(name="slow") as cursor, connection.transaction():
        cursor.execute("SELECT track_id, name FROM track ORDER BY 1")
        cursor.fetchmany(10)
    with connection.cursor() as cursor:
        cursor.executemany("SELECT %s::size", [("s",), ("m",)])
        with cursor.copy("COPY genre TO STDOUT") as copied:
            list(copied)


async def typed() -> None:
    connection = await asyncpg.connect(**place, database=os.environ["PGDATABASE"])
    await connection.fetch("SELECT ROW(1, 2, 's')::box3, ARRAY['s', 'm']::size[], '[1,2)'::span, 'a'::short, $1::int[]", [1, 2])
    await connection.set_type_codec("size", encoder=str, decoder=str, format="text")
    await connection.fetch("SELECT g.*, $1::text FROM genre g ORDER BY 1", "x")
    async with connection.transaction():
        async for _ in connection.cursor("SELECT a FROM album a ORDER BY album_id LIMIT 60", prefetch=20):
            pass
    await connection.reload_schema_state()
    await connection.close()


asyncio.run(typed())
