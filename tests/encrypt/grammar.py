"""Random statements aimed at encrypted columns: what applications do with ordinary columns, whether or not encrypted ones can.

A statement is its text with `$1`, `$2`, ... and the texts of its parameters, or the text with these written into it.
"""

import random
import re
from dataclasses import dataclass

# table: columns with their types; those with a mode are encrypted: (type, mode)
TABLES: dict[str, dict[str, tuple[str, str | None]]] = {
    "people": {
        "id": ("int", None), "email": ("varchar(60)", "deterministic"), "name": ("text", "randomized"), "born": ("date", "deterministic"),
        "number": ("int8", "deterministic"), "salary": ("numeric(12,2)", "randomized"), "code": ("char(8)", "deterministic"),
        "city": ("text", None), "rank": ("int", None),
    },
    "orders": {
        "id": ("int", None), "buyer": ("varchar(60)", "deterministic"), "placed": ("date", "deterministic"), "amount": ("int", None), "note": ("text", None),
    },
}
# What is written and asked for, by the type's first word: few, so that they meet.
VALUES = {
    "varchar": ("ann@x.org", "bob@x.org", "Zoë@x.org", "", "it's", "a\\b", "pg veil", "ann@x.org "),
    "text": ("Ann", "Bob Böll", "", "x,y{z}", 'q"uote', "NULL"),
    "date": ("1990-01-31", "2000-02-29", "1990-1-31", "infinity"),
    "int8": ("0", "-5", "77", "9000000000"),
    "numeric": ("1.5", "1.50", "-2.00", "1234567890.12"),
    "char": ("AB", "AB  ", "xyz", "ABCDEFGH"),
    "int": ("1", "2", "3", "5", "9"),
}
# Some of these are no values of the type.
WRONG = {"varchar": "x" * 70, "date": "no date", "int8": "12x", "numeric": "99999999999.9", "char": "ABCDEFGHI", "int": "x", "text": "y"}
PLACE = re.compile(r"\$(\d+)")


def first_word(kind: str) -> str:
    return kind.partition("(")[0]


@dataclass
class Statement:
    """One message: `parameters` are texts or None, and empty for what is sent as it is."""

    text: str
    parameters: list[str | None]


class Statements:
    """A stream of them, the same one for the same seed."""

    def __init__(self, seed: int):
        self.dice = random.Random(seed)
        self.bound: list[str | None] = []
        self.literal = True
        self.names = 0

    def next(self) -> Statement:
        dice = self.dice
        self.literal, self.bound = dice.random() < 0.45, []
        kind = dice.choices((self._select, self._insert, self._update, self._delete, self._upsert, self._merge, self._moved), (50, 14, 12, 5, 7, 4, 8))[0]
        text = kind()
        # Parts that were made and not taken have left parameters behind.
        used = list(dict.fromkeys(PLACE.findall(text)))
        numbers = {place: number for number, place in enumerate(used, 1)}
        return Statement(PLACE.sub(lambda hit: f"${numbers[hit[1]]}", text), [self.bound[int(place) - 1] for place in used])

    # Parts ---------------------------------------------------------------

    def _alias(self) -> str:
        self.names += 1
        return f"t{self.names}"

    def _of(self, kind: str, wrong: float = 0.03) -> str:
        """A value of that type as a literal or a parameter."""
        dice, word = self.dice, first_word(kind)
        value = None if dice.random() < 0.06 else WRONG[word] if dice.random() < wrong else dice.choice(VALUES[word])
        if self.literal or dice.random() < 0.2:
            if value is None:
                return "NULL"
            quoted = "'" + value.replace("'", "''") + "'"
            number = word in ("int", "int8", "numeric") and value.lstrip("-").replace(".", "", 1).isdigit()
            return dice.choice((quoted, value, f"{quoted}::{kind}") if number else (quoted, quoted, quoted, f"{quoted}::{kind}", f"{kind} {quoted}" if word == "date" else quoted))
        self.bound.append(value)
        place = f"${len(self.bound)}"
        return f"{place}::{kind}" if dice.random() < 0.3 else place

    def _array(self, kind: str, count: int = 2) -> str:
        """An array of that type, whole as a literal or a parameter."""
        dice = self.dice
        parts = [dice.choice(VALUES[first_word(kind)]) for _ in range(count)]
        text = "{" + ",".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts) + "}"
        if self.literal:
            return "'" + text.replace("'", "''") + f"'::{kind}[]"
        self.bound.append(text)
        return f"${len(self.bound)}::{kind}[]"

    def _columns(self, table: str, encrypted: float = 0.8) -> str:
        sealed = [name for name, (_, mode) in TABLES[table].items() if mode]
        rest = [name for name in TABLES[table] if name not in sealed]
        return self.dice.choice(sealed if self.dice.random() < encrypted else rest)

    def _condition(self, sources: dict[str, str], depth: int = 1) -> str:
        dice = self.dice
        alias = dice.choice(list(sources))
        table = sources[alias]
        name = self._columns(table, 0.7)
        kind, _ = TABLES[table][name]
        column = dice.choice((f"{alias}.{name}", f'{alias}."{name}"'))
        chosen = dice.random()
        if depth and chosen < 0.25:
            return f"({self._condition(sources, depth - 1)} {dice.choice(('AND', 'OR'))} {self._condition(sources, depth - 1)})"
        if chosen < 0.5:
            sides = [column, self._of(kind)]
            if dice.random() < 0.2:
                sides.reverse()
            return f" {dice.choice(('=', '=', '=', '<>', '!='))} ".join(sides)
        if chosen < 0.62:
            return f"{column} {dice.choice(('', 'NOT '))}IN ({', '.join(self._of(kind) for _ in range(dice.randint(1, 3)))})"
        if chosen < 0.68:
            return f"{column} = ANY (ARRAY[{', '.join(self._of(kind) for _ in range(dice.randint(1, 3)))}])"
        if chosen < 0.74:
            return f"{column} IS {dice.choice(('', 'NOT '))}{dice.choice(('NULL', 'DISTINCT FROM ' + self._of(kind)))}"
        if chosen < 0.8:
            inner = self._alias()
            other = dice.choice(list(TABLES))
            of = self._columns(other, 0.8)
            return f"{column} IN (SELECT {inner}.{of} FROM {other} {inner}{dice.choice(('', f' WHERE {inner}.id < 3'))})"
        if chosen < 0.86:
            inner, other = self._alias(), dice.choice(list(TABLES))
            return f"{dice.choice(('', 'NOT '))}EXISTS (SELECT 1 FROM {other} {inner} WHERE {inner}.{self._columns(other)} = {column})"
        if chosen < 0.9:
            return f"({column}, {alias}.id) = ({self._of(kind)}, {dice.randint(1, 4)})"
        if chosen < 0.93:
            return dice.choice((f"{column}::text LIKE 'a%'", f"{column} > {self._of(kind)}", f"NOT ({column} = {self._of(kind)})", f"coalesce({column}, {self._of(kind)}) = {self._of(kind)}"))
        return f"{alias}.id {dice.choice(('=', '<', '>'))} {dice.randint(1, 4)}"

    def _item(self, sources: dict[str, str]) -> str:
        dice = self.dice
        alias = dice.choice(list(sources))
        name = self._columns(sources[alias])
        kind, _ = TABLES[sources[alias]][name]
        column, other = f"{alias}.{name}", dice.choice(list(sources))
        return dice.choices((
            column, f"coalesce({column}, {self._of(kind)})", f"CASE WHEN {self._condition(sources, 0)} THEN {column} END", f"nullif({column}, {self._of(kind)})",
            f"{column}::{kind}", f"{column}::text", f"(SELECT {column})", f"{alias}.*", f"{column} = {self._of(kind)}", f"{alias}.id", f"lower({column}::text)",
            f"({alias}).{name}", f"ARRAY[{column}]", f"{column} {dice.choice(('=', '<>', 'IS DISTINCT FROM'))} {other}.{self._columns(sources[other])}", f"CASE {column} WHEN {self._of(kind)} THEN 1 ELSE 0 END", f"{column} IS NULL", f"ROW({column}, {alias}.id)",
        ), (30, 5, 4, 3, 3, 3, 2, 3, 3, 8, 1, 2, 2, 3, 2, 2, 1))[0]

    def _source(self, sources: dict[str, str], depth: int) -> str:
        dice = self.dice
        alias, table = self._alias(), dice.choice(list(TABLES))
        sources[alias] = table
        if depth and dice.random() < 0.2:
            inner = self._alias()
            return f"(SELECT * FROM {table} {inner} WHERE {self._condition({inner: table}, 0)}) {alias}"
        return f"{table} {dice.choice(('', 'AS '))}{alias}"

    def _select(self) -> str:
        dice = self.dice
        sources: dict[str, str] = {}
        with_part = ""
        if dice.random() < 0.12:
            name, inner, table = self._alias(), self._alias(), dice.choice(list(TABLES))
            with_part = f"WITH {name} AS {dice.choice(('', 'MATERIALIZED '))}(SELECT * FROM {table} {inner} WHERE {self._condition({inner: table}, 0)}) "
            sources[name] = table
            clause = name
        else:
            clause = self._source(sources, 1)
        if dice.random() < 0.35:
            left = dice.choice(list(sources))
            right = self._source(sources, 1)
            added = list(sources)[-1]
            key = f"{left}.{self._columns(sources[left])} = {added}.{self._columns(sources[added])}" if dice.random() < 0.6 else f"{left}.id = {added}.id"
            clause += f" {dice.choice(('JOIN', 'LEFT JOIN', 'FULL JOIN'))} {right} ON {key}"
        elif dice.random() < 0.1:
            left = dice.choice(list(sources))
            name, made = self._columns(sources[left]), self._alias()
            kind = TABLES[sources[left]][name][0]
            rows = dice.choice((f"unnest({self._array(kind)}) {made}(given)", f"(VALUES ({self._of(kind)}), ({self._of(kind)})) {made}(given)"))
            clause += f" JOIN {rows} ON {left}.{name} = {made}.given"
        where = f" WHERE {self._condition(sources)}" if dice.random() < 0.75 else ""
        shape = dice.random()
        if shape < 0.14:
            alias = dice.choice(list(sources))
            column = f"{alias}.{self._columns(sources[alias])}"
            count = dice.choice(("count(*)", f"count(DISTINCT {column})", f"array_agg({alias}.id ORDER BY {alias}.id)", f"max({column})"))
            having = dice.choice(("", "", " HAVING count(*) > 1"))
            return f"{with_part}SELECT {column}, {count} FROM {clause}{where} GROUP BY {column}{having}"
        if shape < 0.2:
            alias = dice.choice(list(sources))
            column = f"{alias}.{self._columns(sources[alias])}"
            return f"{with_part}SELECT {dice.choice(('count(*)', f'count({column})', f'array_agg({column} ORDER BY {alias}.id)', f'min({column})', f'bool_or({column} IS NULL)'))} FROM {clause}{where}"
        if shape < 0.28:
            one, other = (self._columns(table) for table in ("people", "orders"))
            return f"SELECT {one} FROM people{dice.choice(('', f' WHERE id < 3'))} {dice.choice(('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'))} SELECT {other} FROM orders"
        items = ", ".join(self._item(sources) for _ in range(dice.randint(1, 4)))
        distinct = "DISTINCT " if dice.random() < 0.1 else ""
        return f"{with_part}SELECT {distinct}{items} FROM {clause}{where}"

    def _returning(self, table: str) -> str:
        return "" if self.dice.random() < 0.5 else " RETURNING " + ", ".join(self._item({table: table}) for _ in range(self.dice.randint(1, 2)))

    def _chosen(self, table: str) -> list[str]:
        return ["id", *self.dice.sample([name for name in TABLES[table] if name != "id"], self.dice.randint(1, 3))]

    def _row(self, table: str, names: list[str]) -> str:
        row = []
        for name in names:
            row.append(str(self.dice.randint(1, 12)) if name == "id" else "DEFAULT" if self.dice.random() < 0.04 else self._of(TABLES[table][name][0]))
        return "(" + ", ".join(row) + ")"

    def _insert(self) -> str:
        table = self.dice.choice(list(TABLES))
        names = self._chosen(table)
        if self.dice.random() < 0.3:
            return self._insert_selected(table, names)
        rows = ", ".join(self._row(table, names) for _ in range(self.dice.choice((1, 1, 2, 3))))
        end = self.dice.choice(("", "", " ON CONFLICT DO NOTHING"))
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES {rows}{end}{self._returning(table)}"

    def _insert_selected(self, table: str, names: list[str]) -> str:
        dice = self.dice
        made = ", ".join(str(dice.randint(10, 19)) if name == "id" else self._of(TABLES[table][name][0]) for name in names)
        rest = names[1:]
        rows = ", ".join("(" + ", ".join([str(dice.randint(10, 19)), *(self._of(TABLES[table][name][0]) for name in rest)]) + ")" for _ in range(2))
        arrays = ", ".join(f"ARRAY[{', '.join(self._of(TABLES[table][name][0]) for _ in range(2))}]::{TABLES[table][name][0]}[]" for name in rest)
        end = dice.choice((" ON CONFLICT DO NOTHING", ""))
        bare = ", ".join(self._array(TABLES[table][name][0]) for name in rest)
        return f"INSERT INTO {table} ({', '.join(names)}) " + dice.choice((
            f"SELECT {made}", f"SELECT {made} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE id = 15)", f"SELECT * FROM (VALUES {rows}) v({', '.join(names)})",
            f"SELECT * FROM unnest(ARRAY[{dice.randint(10, 19)}, {dice.randint(10, 19)}], {arrays})", f"SELECT * FROM unnest('{{31,32}}'::int[], {bare})",
            f"SELECT {dice.randint(10, 19)}, {', '.join(f'unnest({self._array(TABLES[table][name][0], 1)})' for name in rest)}", f"SELECT id + 20, {', '.join(rest)} FROM {table} WHERE id < 4",
        )) + end

    def _update(self) -> str:
        dice = self.dice
        table = dice.choice(list(TABLES))
        parts = []
        for name in self._chosen(table)[1:]:
            kind = TABLES[table][name][0]
            parts.append(f"{name} = " + dice.choices((self._of(kind), "DEFAULT", name, f"coalesce({name}, {self._of(kind)})", f"CASE WHEN id < 3 THEN {self._of(kind)} ELSE {name} END",
                                                      f"(SELECT {self._of(kind)})", f"lower({name}::text)"), (20, 1, 1, 2, 2, 1, 1))[0])
        if dice.random() < 0.1:
            name = self._columns(table)
            given = self._of(TABLES[table][name][0])
            parts = [f"({name}, id) = " + dice.choice((f"({given}, id)", f"(SELECT {given}, id)", f"(SELECT x.{dice.choice((name, self._columns(table)))}, x.id FROM {table} x WHERE x.id = {table}.id)"))]
        if dice.random() < 0.15:
            # Not the key: whether two rows meet on the way depends on their order in the table.
            name = dice.choice([name for name in TABLES[table] if name != "id"])
            rows = ", ".join(f"({key}, {self._of(TABLES[table][name][0])})" for key in dice.sample((1, 2, 3, 4), 2))
            return f"UPDATE {table} SET {name} = v.given FROM (VALUES {rows}) v(key, given) WHERE {table}.id = v.key{self._returning(table)}"
        return f"UPDATE {table} SET {', '.join(parts)} WHERE {self._condition({table: table})}{self._returning(table)}"

    def _delete(self) -> str:
        table = self.dice.choice(list(TABLES))
        return f"DELETE FROM {table} WHERE {self._condition({table: table})}{self._returning(table)}"

    def _upsert(self) -> str:
        names = ["id", "email", "name", "number"]
        key = self.dice.choice(("id", "email"))
        change = self.dice.choice(("name = excluded.name", "number = excluded.number, name = people.name", f"name = {self._of('text')}", "email = excluded.email",
                                   "name = coalesce(excluded.name, people.name)"))
        if self.dice.random() < 0.3:
            # What Rails says of timestamps in upsert_all.
            of = self._columns("people")
            change += f", city = CASE WHEN people.{of} {self.dice.choice(('IS NOT DISTINCT FROM', '=', '<>'))} excluded.{self.dice.choice((of, of, 'email'))} THEN people.city ELSE 'new' END"
        where = self.dice.choice(("", "", " WHERE people.number IS DISTINCT FROM excluded.number", " WHERE people.email = excluded.email"))
        return f"INSERT INTO people ({', '.join(names)}) VALUES {self._row('people', names)} ON CONFLICT ({key}) DO UPDATE SET {change}{where}{self._returning('people')}"

    def _merge(self) -> str:
        dice = self.dice
        row = f"({dice.randint(1, 12)}, {self._of('varchar(60)')}::varchar(60), {self._of('text')}::text)"
        on = dice.choice(("p.id = s.id", "p.id = s.id", "p.email = s.email"))
        change = dice.choice(("UPDATE SET name = s.name", "UPDATE SET email = s.email", "DELETE", f"UPDATE SET name = {self._of('text')}"))
        return (f"MERGE INTO people p USING (VALUES {row}) s(id, email, name) ON {on} "
                f"WHEN MATCHED THEN {change} "
                f"WHEN NOT MATCHED THEN {dice.choice(('INSERT (id, email, name) VALUES (s.id, s.email, s.name)', 'DO NOTHING'))}")

    def _moved(self) -> str:
        """Values that move between columns."""
        one, other = self._columns("people"), self._columns("orders")
        return self.dice.choice((
            f"UPDATE people SET {one} = o.{other} FROM orders o WHERE o.id = people.id", f"INSERT INTO orders (id, {other}) SELECT id + 30, {one} FROM people ON CONFLICT DO NOTHING",
            f"UPDATE people SET {one} = {self._columns('people')}", f"UPDATE orders SET {other} = (SELECT p.{one} FROM people p WHERE p.id = orders.id)",
            f"WITH d AS (DELETE FROM orders WHERE id > 30 RETURNING *) INSERT INTO orders SELECT id + 1, buyer, placed, amount, note FROM d",
            f"WITH n AS (INSERT INTO people (id, {one}) VALUES ({self.dice.randint(50, 60)}, {self._of(TABLES['people'][one][0])}) RETURNING id, {one}) SELECT * FROM n",
        ))
