"""Saves people by SQLAlchemy's ORM and core, in the ways that its manual has; prints what became of each."""

import datetime
import decimal
import json
import os

from sqlalchemy import Date, Numeric, String, bindparam, case, create_engine, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(String(80))
    name: Mapped[str | None]
    salary: Mapped[decimal.Decimal | None] = mapped_column(Numeric(12, 2))
    born: Mapped[datetime.date | None] = mapped_column(Date)
    note: Mapped[str | None]


FIELDS = ["email", "name", "salary", "born", "note"]
NEW = {"email": "new{}@example.org", "name": "New Name {}", "salary": decimal.Decimal(61000), "born": datetime.date(1991, 1, 1), "note": "new"}
url = "postgresql+psycopg://{PGUSER}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ)
engine = create_engine(url, connect_args={"autocommit": False})


def changed(row: dict, new: bool) -> dict:
    news = {field: value.format(row["id"]) if isinstance(value, str) else value for field, value in NEW.items()}
    return {**row, **(news if new else {}), "note": "after"}


def rows(session: Session, new: bool) -> list[dict]:
    found = session.execute(select(Person.__table__).where(Person.id.in_([1, 2])).order_by(Person.id))
    return [changed(dict(row._mapping), new) for row in found]


def save(session: Session, new: bool) -> None:
    for row in rows(session, new):
        person = session.get(Person, row["id"])
        for field in FIELDS:
            setattr(person, field, row[field])
        # What did not change is sent all the same.
        for field in FIELDS:
            session.execute(update(Person).where(Person.id == row["id"]).values({field: row[field]}))


def bulk_update(session: Session, new: bool) -> None:
    session.execute(update(Person), rows(session, new))


def executemany(session: Session, new: bool) -> None:
    table = Person.__table__
    statement = update(table).where(table.c.id == bindparam("key")).values({field: bindparam(f"v_{field}") for field in FIELDS})
    session.connection().execute(statement, [{"key": row["id"], **{f"v_{field}": row[field] for field in FIELDS}} for row in rows(session, new)])


def by_case(session: Session, new: bool) -> None:
    found = rows(session, new)
    values = {field: case({row["id"]: row[field] for row in found}, value=Person.id) for field in FIELDS}
    session.execute(update(Person).where(Person.id.in_([row["id"] for row in found])).values(values), execution_options={"synchronize_session": False})


def upsert(session: Session, new: bool) -> None:
    statement = pg_insert(Person).values(rows(session, new))
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={field: statement.excluded[field] for field in FIELDS}))


def insert(session: Session, new: bool) -> None:
    session.add_all([Person(**{**row, "id": row["id"] + 100}) for row in rows(session, new)])


DEEDS = {deed.__name__: deed for deed in (save, bulk_update, executemany, by_case, upsert, insert)}
try:
    with Session(engine) as session, session.begin():
        DEEDS[os.environ["DEED"]](session, os.environ["VALUES"] == "new")
    print(json.dumps("done"))
except DBAPIError as error:
    print(json.dumps(str(error.orig)))
