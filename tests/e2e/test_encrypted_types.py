"""What is written into an encrypted column through any path comes back equal through any path: for each of PostgreSQL's built-in scalar types,
held against a plain column of that type in the same server.

Each type has two tables, one encrypted and one plain. What is done to one is done to the other, through pgveil, and all that a client
sees of it has to be the same: rows, formats, types, modifiers, SQLSTATEs.
"""

import itertools
import subprocess

import pytest
from psycopg import pq

from harness.pgveil import binary
from harness.twins import RANDOMIZED, TYPES, Session, quoted, seen, served, short

pytestmark = [pytest.mark.proxy, pytest.mark.timeout(300)]

# Arrays, names of the catalog's objects, and what only the system has are no scalar types: a policy can not declare them.
NO_SCALARS = ["integer[]", "regclass", "xid", "cid", "tid", "int4multirange[]", "record", "oidvector", "aclitem", "refcursor", "pg_node_tree"]

@pytest.fixture(scope="module")
def twins(pg, tmp_path_factory):
    with served(pg, "sealed_types", tmp_path_factory.mktemp("sealed_types")) as all_of_them:
        yield all_of_them


def reads(session: Session, also: str = "") -> None:
    """Every path out."""
    for form in (0, 1):
        session.both(f"read, format {form}{also}", session.bound("SELECT id, v FROM TABLE_ ORDER BY id", shown=form))
        session.both(f"array_agg, format {form}{also}", session.bound("SELECT array_agg(v ORDER BY id) FROM TABLE_", shown=form))
        session.both(f"read prepared, format {form}{also}", session.prepared("SELECT v FROM TABLE_ WHERE id = $1", [b"1"], [b"2"], shown=form))
    session.both(f"read, simple{also}", session.simple("SELECT v, id, v AS again FROM TABLE_ ORDER BY id"))
    for binary_cursor in ("", "BINARY "):
        def fetched(table: str, binary_cursor=binary_cursor):
            session.simple("BEGIN")("")
            results = [session.simple(f"DECLARE c {binary_cursor}CURSOR FOR SELECT v FROM TABLE_ ORDER BY id")(table), session.simple("FETCH 2 FROM c")(""), session.simple("FETCH ALL FROM c")("")]
            session.simple("COMMIT")("")
            return results

        session.both(f"fetched from a {binary_cursor}cursor{also}", fetched)
    for options in ("", " (FORMAT csv, HEADER)", " (FORMAT csv, FORCE_QUOTE *, NULL 'nil')", " (FORMAT binary)"):
        session.both(f"COPY of a query{options}{also}", session.copied(f"COPY (SELECT id, v FROM TABLE_ ORDER BY id) TO STDOUT{options}"))
        session.both(f"COPY{options}{also}", session.copied(f"COPY TABLE_ (v, id) TO STDOUT{options}"))


def writes(session: Session, values: list[str], numbers) -> None:
    """Every path in, with RETURNING."""
    kind = session.kind
    insert = "INSERT INTO TABLE_ (id, v) VALUES"
    for value in values:
        raw, literal = value.encode(), quoted(value)
        what = repr(short(value))
        session.both(f"literal {what}", session.simple(f"{insert} ({next(numbers)}, {literal}) RETURNING v"))
        session.both(f"parameter {what}", session.bound(f"{insert} ({next(numbers)}, $1) RETURNING id, v", raw))
        session.both(f"literal with its ::type {what}", session.simple(f"{insert} ({next(numbers)}, {literal}::{kind}) RETURNING v"))
        session.both(f"INSERT of a query {what}", session.simple(f"INSERT INTO TABLE_ (id, v) SELECT {next(numbers)}, {literal} RETURNING v"))
        at = next(numbers)
        upsert = f"{insert} ({at}, {literal}) ON CONFLICT (id) DO UPDATE SET v = excluded.v, note = 'again' RETURNING v, note"
        session.both(f"upsert {what}", session.simple(upsert))
        session.both(f"upsert again {what}", session.simple(upsert))
        session.both(f"upsert with a value {what}", session.bound(f"{insert} ({at}, NULL) ON CONFLICT (id) DO UPDATE SET v = $1 RETURNING v", raw, shown=1))
        session.both(f"UPDATE by literal {what}", session.simple(f"UPDATE TABLE_ SET v = {literal} WHERE id = {at} RETURNING v"))
        session.both(f"prepared {what}", session.prepared(f"{insert} ($1, $2) RETURNING *", [b"%d" % next(numbers), raw], [b"%d" % next(numbers), None],
                                                          [b"%d" % next(numbers), raw]))
    session.both("NULL", session.simple(f"{insert} ({next(numbers)}, NULL), ({next(numbers)}, DEFAULT) RETURNING v"))
    session.both("NULL as parameter", session.bound(f"{insert} ({next(numbers)}, $1) RETURNING v", None))


def stored_values(session: Session) -> list[bytes]:
    """The binary forms of what the plain table holds, each once."""
    (_, _, rows) = seen(session.bound("SELECT v FROM TABLE_ WHERE v IS NOT NULL ORDER BY id", shown=1)(f"p{session.number}"))
    return list(dict.fromkeys(row[0] for row in rows))


def writes_binary(session: Session, numbers) -> None:
    """What is there already, sent in binary form."""
    for raw in stored_values(session):
        for types in (None, [declared(session)]):
            session.both(f"binary parameter {raw[:30]}, {types}", session.bound("INSERT INTO TABLE_ (id, v) VALUES ($1, $2) RETURNING v", b"%d" % next(numbers), raw,
                         types=types and [23, *types], formats=[0, 1], shown=1))
        session.both(f"UPDATE by binary parameter {raw[:30]}", session.bound("UPDATE TABLE_ SET v = $1 WHERE id = 1 RETURNING v", raw, formats=[1]))


def copies_in(session: Session) -> None:
    """Rows that were copied out of the plain table go into an emptied twin of both."""
    for options in ("", " (FORMAT csv)", " (FORMAT csv, FORCE_QUOTE *, NULL 'nil')", " (FORMAT binary)"):
        copied = session.copied(f"COPY (SELECT id + 5000, v FROM TABLE_ WHERE id < 5000 ORDER BY id) TO STDOUT{options}")(f"p{session.number}")
        data = b"".join(copied[0])

        def run(table: str, data=data, options=options.replace("FORCE_QUOTE *, ", "")):
            begun = session.simple(f"COPY {table} (id, v) FROM STDIN{options}")("")
            if begun.status != pq.ExecStatus.COPY_IN:
                return begun
            for at in range(0, len(data), 997):
                session.pgconn.put_copy_data(data[at:at + 997])
            session.pgconn.put_copy_end()
            ended = session.pgconn.get_result()
            session.pgconn.get_result()
            return [ended, session.bound(f"SELECT id, v FROM {table} WHERE id > 5000 ORDER BY id", shown=1)(""),
                    session.simple(f"DELETE FROM {table} WHERE id > 5000")("")]

        session.both(f"COPY from the client{options}", run)


def declared(session: Session) -> int:
    return session.bound("SELECT v FROM TABLE_ LIMIT 0")(f"p{session.number}").ftype(0)


def searches(session: Session) -> None:
    """Values that are found, in every form, and what is only compared with itself."""
    values = [raw for raw in stored_values(session) if len(raw) < 1000]
    (_, _, rows) = seen(session.simple("SELECT v FROM TABLE_ WHERE v IS NOT NULL AND length(v::text) < 1000 ORDER BY id")(f"p{session.number}"))
    texts = list(dict.fromkeys(row[0].decode() for row in rows))
    for raw in values[:12]:
        session.both(f"= binary {raw[:30]}", session.bound("SELECT id FROM TABLE_ WHERE v = $1 ORDER BY id", raw, formats=[1]))
    for text in texts[:12]:
        session.both(f"= literal {short(text)!r}", session.simple(f"SELECT id FROM TABLE_ WHERE v = {quoted(text)} ORDER BY id"))
        session.both(f"= parameter {short(text)!r}", session.prepared("SELECT id, v FROM TABLE_ WHERE v = $1 ORDER BY id", [text.encode()], [None]))
        session.both(f"<> literal {short(text)!r}", session.simple(f"SELECT id FROM TABLE_ WHERE v <> {quoted(text)} AND id < 20 ORDER BY id"))
    some = texts[1::2]
    listed = ", ".join(quoted(text) for text in some)
    if some:
        session.both("IN", session.simple(f"SELECT id FROM TABLE_ WHERE v IN ({listed}) ORDER BY id"))
        session.both("NOT IN", session.simple(f"SELECT id FROM TABLE_ WHERE v NOT IN ({listed}) ORDER BY id"))
    of = "::text" if session.kind.startswith("varchar") else "::inet" if session.kind == "cidr" else ""
    for form in (0, 1):
        (_, _, ((array,),)) = seen(session.bound(f"SELECT array_agg(v{of} ORDER BY id) FILTER (WHERE id % 2 = 0 AND length(v::text) < 1000) FROM TABLE_", shown=form)(f"p{session.number}"))
        session.both(f"= ANY, format {form}", session.bound("SELECT id FROM TABLE_ WHERE v = ANY($1) ORDER BY id", array, formats=[form]))
        if form == 0 and array:
            session.both("= ANY of a literal", session.simple(f"SELECT id FROM TABLE_ WHERE v = ANY({quoted(array.decode())}) ORDER BY id"))
    session.both("distinct", session.simple("SELECT count(DISTINCT v), count(v), count(*) FROM TABLE_"))
    session.both("sizes of groups", session.simple("SELECT n, count(*) FROM (SELECT count(*) AS n FROM TABLE_ GROUP BY v) AS q GROUP BY n ORDER BY n"))
    session.both("joined", session.simple("SELECT count(*) FROM TABLE_ one JOIN TABLE_ other ON one.v = other.v"))


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_written_through_any_path_comes_back_through_any(twins, kind):
    numbers = itertools.count(1)
    with twins.emptied(kind).session(kind) as session:
        writes(session, TYPES[kind], numbers)
        writes_binary(session, numbers)
        # What only one of them took is told already.
        twins.only_what_both_took(kind)
        reads(session)
        copies_in(session)
        if kind not in RANDOMIZED:
            searches(session)
    twins.all_are_envelopes(kind)
    session.ended()


@pytest.mark.parametrize("kind", NO_SCALARS)
def test_a_type_that_is_no_scalar_can_not_be_declared(tmp_path, kind):
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"version: 1\ntags:\n  private: {{ mask: full }}\ncolumns:\n  t:\n    v: {{ tag: private, encrypted: {{ type: '{kind}', key: people, domain: d }} }}\n",
                      encoding="utf-8")
    done = subprocess.run([binary(), "check", str(policy)], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "encrypted columns have one of PostgreSQL's own scalar types" in done.stdout + done.stderr


def test_every_type_of_the_server_is_either_tried_here_or_can_not_be_declared(twins, tmp_path):
    """Those that the catalog has as base, range and multirange types, outside of the system's own."""
    names = twins.psql("SELECT format_type(oid, NULL) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typelem = 0 AND typname !~ '^(_|pg_(dep|mcv|ndis|node|ddl|brin))'").splitlines()
    assert len(names) > 60
    short_names = {"time without time zone": "time", "time with time zone": "timetz", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
                   "character varying": "varchar", "character": "bpchar"}
    left = [name for name in names if short_names.get(name, name) not in TYPES]
    columns = "".join(f"    v{number}: {{ tag: private, encrypted: {{ type: '{name}', key: people, domain: d }} }}\n" for number, name in enumerate(left))
    (tmp_path / "policy.yaml").write_text(f"version: 1\ntags:\n  private: {{ mask: full }}\ncolumns:\n  t:\n{columns}", encoding="utf-8")
    done = subprocess.run([binary(), "check", str(tmp_path / "policy.yaml")], capture_output=True, text=True, check=False)
    taken = [name for name in left if f"`{name}`" not in done.stdout + done.stderr]
    assert done.returncode != 0 and not taken, (taken, done.stdout + done.stderr)
