"""Statement shapes of the golden matrix, and how one run of them is shown."""

from dataclasses import dataclass

from .wire import Frame, Raw, bind, execute, parse, query, sync

# Of each tagged column of `person`: a literal that some rows have, and the value of row 1 as PostgreSQL prints it.
COLUMNS = {
    "full_name": ("'Jane Doe'", "Jane Doe"),
    "email": ("'jane@example.com'", "jane@example.com"),
    "phone": ("'+49 170 5550100'", "+49 170 5550100"),
    "born": ("DATE '1984-02-29'", "1984-02-29"),
    "salary": ("48250.75", "48250.75"),
    "notes": ("'calls in the evening'", "calls in the evening"),
}
ROLES = {"support": "sam", "billing": "bella", "analyst": "ana"}

# {c}: the column; {v}: a literal of its type. Steps are separated by ";;"; the last one's first row is shown.
# A name that starts with "extended" or "binary" runs by Parse, Bind and Execute.
SHAPES = {
    "direct": "SELECT {c} FROM person WHERE id = 1",
    "direct, NULL": "SELECT {c} FROM person WHERE id = 3",
    "direct, no row": "SELECT {c} FROM person WHERE id = 0",
    "extended protocol": "SELECT {c} FROM person WHERE id = 1",
    "binary format": "SELECT {c} FROM person WHERE id = 1",
    "alias": "SELECT p.{c} AS x FROM person AS p WHERE p.id = 1",
    "star": "SELECT {only} FROM (SELECT * FROM person) AS s WHERE id = 1",
    "cast": "SELECT {c}::text FROM person WHERE id = 1",
    "coalesce": "SELECT coalesce({c}, {v}) FROM person WHERE id = 1",
    "upper()": "SELECT upper({c}::text) FROM person WHERE id = 1",
    "substr()": "SELECT substr({c}::text, 1, 3) FROM person WHERE id = 1",
    "length()": "SELECT length({c}::text) FROM person WHERE id = 1",
    "concatenated": "SELECT {c} || '!' FROM person WHERE id = 1",
    "concat()": "SELECT concat({c}, '!') FROM person WHERE id = 1",
    "CASE on the value": "SELECT CASE WHEN {c} = {v} THEN 1 ELSE 2 END FROM person WHERE id = 1",
    "CASE to the value": "SELECT CASE WHEN id = 1 THEN {c} END FROM person WHERE id = 1",
    "IS NULL": "SELECT {c} IS NULL FROM person WHERE id = 1",
    "count()": "SELECT count({c}) FROM person",
    "count(DISTINCT)": "SELECT count(DISTINCT {c}) FROM person",
    "max()": "SELECT max({c}) FROM person WHERE id = 1",
    "array_agg()": "SELECT array_agg({c} ORDER BY id) FROM person WHERE id IN (1, 5)",
    "string_agg()": "SELECT string_agg({c}::text, ', ' ORDER BY id) FROM person WHERE id IN (1, 5)",
    "array": "SELECT ARRAY[{c}] FROM person WHERE id = 1",
    "record": "SELECT ROW({c}, city) FROM person WHERE id = 1",
    "whole row": "SELECT p FROM person AS p WHERE id = 1",
    "row as JSON": "SELECT row_to_json(p) FROM person AS p WHERE id = 1",
    "value as JSON": "SELECT to_json({c}) FROM person WHERE id = 1",
    "UNION ALL": "SELECT {c} FROM person WHERE id = 1 UNION ALL SELECT {c} FROM visit WHERE id = 10",
    "UNION with a constant": "SELECT {c}::text FROM person WHERE id = 1 UNION ALL SELECT 'none'",
    "subquery": "SELECT s.x FROM (SELECT {c} AS x FROM person WHERE id = 1) AS s",
    "scalar subquery": "SELECT (SELECT {c} FROM person WHERE id = 1)",
    "EXISTS": "SELECT EXISTS (SELECT {c} FROM person)",
    "CTE": "WITH w AS (SELECT id, {c} FROM person) SELECT {c} FROM w WHERE id = 1",
    "recursive CTE": "WITH RECURSIVE w AS (SELECT id, {c} FROM person WHERE id = 1 UNION ALL SELECT p.id, p.{c} FROM person p JOIN w "
    "ON p.id = w.id + 10) SELECT {c} FROM w",
    "LATERAL": "SELECT l.{c} FROM visit v CROSS JOIN LATERAL (SELECT p.{c} FROM person p WHERE p.id = v.person_id) AS l WHERE v.id = 10",
    "view": "SELECT {c} FROM person_view WHERE id = 1",
    "JOIN ON": "SELECT p.{c} FROM person p JOIN visit v ON v.person_id = p.id WHERE p.id = 1",
    "JOIN USING the column": "SELECT {c} FROM person p JOIN visit v USING ({c}) WHERE p.id = 1",
    "window": "SELECT first_value({c}) OVER (ORDER BY id) FROM person WHERE id = 1",
    "row_number() by it": "SELECT id, row_number() OVER (ORDER BY {c}) FROM person ORDER BY id",
    "WHERE =": "SELECT id FROM person WHERE {c} = {v} ORDER BY id",
    "WHERE IN": "SELECT id FROM person WHERE {c} IN ({v}) ORDER BY id",
    "WHERE >": "SELECT id FROM person WHERE {c} > {v} ORDER BY id",
    "WHERE LIKE": "SELECT id FROM person WHERE {c}::text LIKE 'J%' ORDER BY id",
    "WHERE IS NOT NULL": "SELECT id FROM person WHERE {c} IS NOT NULL ORDER BY id",
    "ORDER BY": "SELECT id FROM person ORDER BY {c}, id",
    "GROUP BY": "SELECT {c}, count(*) FROM person WHERE id IN (1, 5) GROUP BY {c}",
    "DISTINCT": "SELECT DISTINCT {c} FROM person WHERE id IN (1, 5)",
    "HAVING": "SELECT city FROM person GROUP BY city HAVING max({c}) > {v}",
    "UPDATE RETURNING": "UPDATE person SET city = city WHERE id = 1 RETURNING {c}",
    "INSERT RETURNING": "INSERT INTO person (id, full_name, {other}) VALUES (100, 'New', {v}) RETURNING {c}",
    "DELETE RETURNING": "DELETE FROM visit WHERE id = 10 RETURNING {c}",
    "UPDATE of it": "UPDATE person SET {c} = {v} WHERE id = 2",
    "into another column": "UPDATE person SET city = {c}::text WHERE id = 1",
    "into the same tag": "UPDATE visit SET {c} = p.{c} FROM person p WHERE p.id = person_id",
    "INSERT SELECT": "INSERT INTO note SELECT 100, {c}::text FROM person WHERE id = 1",
    "temporary table": "CREATE TEMP TABLE t AS SELECT {c} FROM person WHERE id = 1;;SELECT {c} FROM t;;DROP TABLE t",
    "COPY query": "COPY (SELECT {c} FROM person WHERE id = 1) TO STDOUT",
    "COPY table": "COPY person ({c}) TO STDOUT",
    "cursor": "DECLARE cur CURSOR FOR SELECT {c} FROM person ORDER BY id;;FETCH 1 FROM cur",
    "PREPARE, EXECUTE": "PREPARE st AS SELECT {c} FROM person WHERE id = 1;;EXECUTE st;;DEALLOCATE st",
    "EXPLAIN": "EXPLAIN (COSTS OFF) SELECT {c} FROM person WHERE {c} = {v}",
    "EXPLAIN ANALYZE": "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT {c} FROM person WHERE id = 1",
    "DO block": "DO $$ BEGIN PERFORM {c} FROM person; END $$",
    "statistics": "SELECT most_common_vals FROM pg_stats WHERE tablename = 'person' AND attname = '{c}'",
}


@dataclass(frozen=True)
class Run:
    """What one shape gave one role for one column."""

    frames: list[Frame]
    events: list[dict]

    def errors(self) -> list[dict]:
        return [one.fields() for one in self.frames if one.tag == "E"]

    def shown(self) -> str:
        """The first row of the last result, or the refusal; then the number of events, if any."""
        errors = self.errors()
        if errors:
            first = errors[0]
            text = "refused" if first["C"] == "42501" and "pgveil" in first["M"] else f"error {first['C']}"
        else:
            row = next((one for one in self.frames if one.tag in "Dd"), None)
            done = [one for one in self.frames if one.tag == "C"]
            if row is None:
                text = "(" + done[-1].body.rstrip(b"\0").decode() + ")"
            elif row.tag == "d":
                text = row.body.decode().rstrip("\n") or "''"
            else:
                text = " | ".join("NULL" if cell is None else printable(cell) for cell in row.cells())
        text = text if len(text) <= 58 else text[:57] + "…"
        return text + (f"  +{len(self.events)}" if self.events else "")


def printable(cell: bytes) -> str:
    try:
        text = cell.decode()
        if text.isprintable():
            return text if text else "''"
    except UnicodeDecodeError:
        pass
    return "\\x" + cell.hex()


def statements(shape: str, column: str) -> list[str]:
    literal = COLUMNS[column][0]
    # INSERT names full_name already: for that column another one is filled in beside it.
    other, value = (column, literal) if column != "full_name" else ("city", "'Wien'")
    sql = SHAPES[shape].replace("{other}", other)
    if shape == "INSERT RETURNING":
        sql = sql.replace("{v}", value)
    return sql.replace("{only}", "s." + column).replace("{c}", column).replace("{v}", literal).split(";;")


def run(client: Raw, tail, shape: str, column: str) -> Run:
    """Run a shape inside a transaction that is rolled back. Its trimmings (what follows the shown result) run outside."""
    client.ask(query("BEGIN"))
    shown: list[Frame] = []
    for sql in statements(shape, column):
        if shape.startswith(("extended", "binary")):
            got = client.ask(parse("", sql) + bind("", "", (), (), [int(shape.startswith("binary"))]) + execute() + sync())
        else:
            got = client.ask(query(sql))
        trimming = sql.startswith(("DROP", "DEALLOCATE"))
        if not trimming:
            shown = got if not any(one.tag == "E" for one in shown) else shown
    client.ask(query("ROLLBACK"))
    client.ask(query("DEALLOCATE ALL"))
    client.frames.clear()
    return Run(shown, tail.events() if tail else [])


def render(runs: dict[tuple[str, str, str], Run]) -> str:
    """The matrix as text: one table for each tagged column, one line for each shape, one column for each role."""
    lines = [
        "What each role is shown, by tagged column and by shape of the statement: the first row of the result, or `refused`",
        "(SQLSTATE 42501 of pgveil). `+n`: the execution left n access events. Written by `tests/run --bless`.",
    ]
    for column in COLUMNS:
        cells = [[shape, *(runs[role, column, shape].shown() for role in ROLES)] for shape in SHAPES]
        header = [f"person.{column}", *ROLES]
        widths = [max(len(row[at]) for row in [header, *cells]) for at in range(len(header))]
        rule = "-+-".join("-" * width for width in widths)

        def line(row, widths=widths):
            return " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

        lines += ["", line(header), rule, *map(line, cells)]
    return "\n".join(lines) + "\n"


def covered(text: str) -> set[tuple[str, str, str]]:
    """The (role, column, shape) that a rendered matrix has a non-empty cell for."""
    found, column, roles = set(), None, []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        if line.startswith("person."):
            column, roles = cells[0].removeprefix("person."), cells[1:]
        elif column and line.strip() and "-+-" not in line:
            shape = next((name for name in SHAPES if line.startswith(name.ljust(max(map(len, SHAPES))) + " |")), None)
            if shape:
                found |= {(role, column, shape) for role, cell in zip(roles, cells[1:], strict=False) if cell}
    return found
