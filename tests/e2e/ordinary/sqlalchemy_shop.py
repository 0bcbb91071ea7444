"""SQLAlchemy: everything that its inspector can ask, reflection, its own tables, and the ORM."""

import datetime
import decimal
import os

from sqlalchemy import ForeignKey, MetaData, String, create_engine, func, inspect, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

engine = create_engine("postgresql+psycopg://{PGUSER}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**os.environ))


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(30), unique=True)
    made: Mapped[datetime.datetime] = mapped_column(server_default=func.now())
    extra: Mapped[dict] = mapped_column(JSONB, default=dict)
    marks: Mapped[list] = mapped_column(ARRAY(String), default=list)
    records: Mapped[list["Record"]] = relationship(back_populates="shelf")


class Record(Base):
    __tablename__ = "record"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    price: Mapped[decimal.Decimal]
    shelf: Mapped[Shelf] = relationship(back_populates="records")


inspector = inspect(engine)
for schema in inspector.get_schema_names():
    inspector.get_table_names(schema), inspector.get_view_names(schema), inspector.get_materialized_view_names(schema), inspector.get_sequence_names(schema)
for ask in ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints", "table_comment", "table_options"):
    getattr(inspector, f"get_multi_{ask}")()
inspector.get_enums(), inspector.get_domains()
known = MetaData()
known.reflect(engine, views=True)

Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([Shelf(label=f"shelf {n}", extra={"n": n}, marks=["a", "b"], records=[Record(price=n), Record(price=2 * n)]) for n in range(10)])
    session.commit()
    session.scalars(select(Shelf).options(selectinload(Shelf.records)).where(Shelf.label.like("shelf%")).order_by(Shelf.id)).all()
    session.execute(select(Shelf.label, func.sum(Record.price)).join(Record).group_by(Shelf.label).having(func.sum(Record.price) > 3).order_by(Shelf.label)).all()
    session.execute(select(Shelf.extra["n"].astext, Shelf.marks[1]).where(Shelf.marks.contains(["a"]))).all()
    session.execute(insert(Shelf).values(id=1, label="shelf 0").on_conflict_do_update(index_elements=["label"], set_={"extra": {"n": 100}}).returning(Shelf.id)).all()
    session.execute(select(Record, func.rank().over(partition_by=Record.shelf_id, order_by=Record.price.desc())).order_by(Record.id)).all()
    one = session.get(Shelf, 3)
    one.label = "moved"
    session.flush()
    session.rollback()
    artist, album, track = (known.tables[name] for name in ("artist", "album", "track"))
    session.execute(select(artist.c.name, func.count()).join(album, album.c.artist_id == artist.c.artist_id).join(track, track.c.album_id == album.c.album_id)
                    .group_by(artist.c.name).order_by(func.count().desc(), artist.c.name).limit(7)).all()
    session.execute(text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n")).all()
Base.metadata.drop_all(engine)
