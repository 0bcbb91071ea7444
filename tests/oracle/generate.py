"""Statements by a grammar over `schema.sql`: most of them mean something, and names are reused wherever that is allowed."""

import random
from dataclasses import dataclass

INT, TEXT, DATE, BOOL, NUM, ROW, ARRAY, STAMP, JSON, HOME = "int text date bool numeric row array stamp json home".split()

PEOPLE = [("id", INT), ("name", TEXT), ("email", TEXT), ("phone", TEXT), ("born", DATE), ("tenant", INT), ("tags", ARRAY),
          ("home", HOME), ("doc", JSON)]
RELATIONS = {
    "people": PEOPLE,
    "public.people": PEOPLE,
    "orders": [("id", INT), ("person_id", INT), ("email", TEXT), ("amount", NUM), ("note", TEXT), ("placed", STAMP)],
    "parts": [("id", INT), ("title", TEXT), ("price", NUM), ("stock", INT), ("origin", TEXT)],
    "scratch": [("id", INT), ("t", TEXT), ("n", INT), ("name", TEXT)],
    '"People"': [("id", INT), ('"Email"', TEXT), ('"select"', TEXT)],
    "email": [("id", INT), ("name", TEXT), ("people", TEXT)],
    "other.people": [("id", INT), ("title", TEXT), ("secret", TEXT)],
    "events": [("id", INT), ("email", TEXT), ("region", INT), ("at", DATE)],
    "events_1": [("id", INT), ("email", TEXT), ("region", INT), ("at", DATE)],
    "events_2": [("region", INT), ("at", DATE), ("id", INT), ("email", TEXT)],
    "people_archive": PEOPLE + [("gone", DATE)],
    "gen": [("id", INT), ("email", TEXT), ("lowered", TEXT), ("doubled", INT)],
    "contacts": [("id", INT), ("contact", TEXT), ("shouted", TEXT), ("tenant", INT)],
    "both_mails": [("id", INT), ("email", TEXT)],
    "counts": [("tenant", INT), ("mails", INT), ("youngest", DATE)],
    "nested": [("contact", TEXT), ("note", TEXT), ("id", INT)],
    "kept": [("id", INT), ("name", TEXT), ("home", HOME)],
}
TABLES = ["people", "orders", "parts", "scratch", '"People"', "email", "other.people", "events", "gen"]
ALIASES = ["a", "b", "c", "x", "email", "people", "name", "t", "id", '"A"', "p", "o", "q"]
LABELS = ["a", "email", "name", "x", "id", "end", "value", "tags", '"Weird ""one"""', "over", "no"]


@dataclass
class Item:
    """Something in FROM that columns can be taken from."""

    name: str
    columns: list[tuple[str, str]]


class Generator:
    """Statements in an order that the seed decides."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.ctes: list[Item] = []
        self.windows: list[str] = []

    # Small choices.

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def one(self, *choices):
        return self.random.choice(choices)

    def word(self, name: str) -> str:
        """A name in one of its spellings."""
        if name.startswith('"') or not name.isidentifier() or self.maybe(0.88):
            return name
        return self.one(name.upper(), name.capitalize(), f'"{name}"', f'U&"\\{ord(name[0]):04x}{name[1:]}"', f"/* , */{name}", f"{name} -- '\n")

    def alias(self, taken: set[str]) -> str:
        free = [alias for alias in ALIASES if alias not in taken]
        alias = self.random.choice(free) if free else f"z{len(taken)}"
        taken.add(alias)
        return alias

    # Expressions. `scopes`: the innermost first, each a list of items.

    def column(self, kind: str, scopes: list[list[Item]]) -> str | None:
        level = scopes[0] if len(scopes) == 1 or self.maybe(0.8) else self.random.choice(scopes)
        found = [(item, name) for item in level for name, of in item.columns if of == kind]
        if not found:
            return None
        item, name = self.random.choice(found)
        alone = sum(name == other for each in level for other, _ in each.columns) == 1
        if alone and self.maybe(0.4):
            return self.word(name)
        return f"{self.word(item.name)}.{self.word(name)}"

    def constant(self, kind: str) -> str:
        return {
            INT: lambda: self.one("1", "2", "0", "$1::int", "-3"),
            TEXT: lambda: self.one("'x'", "E'a\\'b'", "'e1'", "$$ from people $$", "''", "'a' \n 'b'", "U&'\\0061'"),
            DATE: lambda: self.one("date '2000-01-01'", "current_date", "'2001-02-03'::date"),
            BOOL: lambda: self.one("true", "false"),
            NUM: lambda: self.one("1.5", "2e1", ".5"),
            ARRAY: lambda: "ARRAY['a', 'b']",
            STAMP: lambda: "now()",
            JSON: lambda: "'{}'::jsonb",
            HOME: lambda: "ROW('s', 'c')::address",
            ROW: lambda: "ROW(1, 'a')",
        }[kind]()

    def expr(self, kind: str, scopes, depth: int, aggregates: bool = False) -> str:
        scopes = scopes or [[]]
        if depth <= 0 or self.maybe(0.3):
            found = None if aggregates else self.column(kind, scopes)
            return found or self.constant(kind)
        if aggregates and self.maybe(0.7):
            return self.aggregate(kind, scopes, depth)
        if self.maybe(0.12):
            return self.subquery_value(kind, scopes, depth)
        return getattr(self, "expr_" + kind)(scopes, depth - 1, aggregates)

    def generic(self, kind: str, scopes, depth: int, aggregates: bool) -> str:
        e = lambda of=kind: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"coalesce({e()}, {e()})",
            lambda: f"CASE WHEN {self.condition(scopes, depth, aggregates)} THEN {e()} ELSE {e()} END",
            lambda: f"CASE {e(INT)} WHEN {e(INT)} THEN {e()} WHEN 2 THEN {e()} END",
            lambda: f"nullif({e()}, {e()})" if kind not in (JSON, HOME) else e(),
            lambda: f"greatest({e()}, {e()})" if kind in (INT, TEXT, DATE, NUM) else e(),
            lambda: f"({e()})",
            lambda: f"(ARRAY[{e()}, {e()}])[{e(INT)}]",
            lambda: f"(SELECT {e()})",
        )()

    def expr_int(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"{e(INT)} + {e(INT)}", lambda: f"length({e(TEXT)})", lambda: f"- {e(INT)}",
            lambda: f"extract(year FROM {e(DATE)})::int", lambda: f"position('a' IN {e(TEXT)})",
            lambda: f"cardinality({e(ARRAY)})", lambda: f"ascii({e(TEXT)}) % 7", lambda: f"({e(NUM)})::int",
            lambda: f"CAST({e(INT)} AS int)", lambda: f"num_nonnulls({e(TEXT)}, {e(INT)})", lambda: f"name({self.whole(scopes)})",
            lambda: self.generic(INT, scopes, depth, aggregates),
        )()

    def expr_text(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"lower({e(TEXT)})", lambda: f"{e(TEXT)} || {e(TEXT)}", lambda: f"substring({e(TEXT)} FROM 1 FOR 3)",
            lambda: f"{e(TEXT)}::varchar(20)", lambda: f"CAST({e(INT)} AS text)", lambda: f"{e(DATE)}::text",
            lambda: f"concat({e(TEXT)}, {e(INT)}, {e(TEXT)})", lambda: f"format('%s %s', {e(TEXT)}, {e(TEXT)})",
            lambda: f"trim(BOTH 'x' FROM {e(TEXT)})", lambda: f"plain({e(TEXT)})", lambda: f"find_mail({e(INT)})",
            lambda: f"({self.composite(scopes)}).{self.one('street', 'city')}", lambda: f"({e(ARRAY)})[1]",
            lambda: f"{e(JSON)} ->> 'a'", lambda: f"array_to_string({e(ARRAY)}, ',')", lambda: f"{e(TEXT)} COLLATE \"C\"",
            lambda: f"{self.whole(scopes)}::text", lambda: f"row_to_json({self.whole(scopes)})::text",
            lambda: f"overlay({e(TEXT)} PLACING {e(TEXT)} FROM 2)", lambda: f"upper({e(TEXT)}::text)",
            lambda: self.functional(scopes), lambda: f"quote_literal({e(TEXT)})", lambda: f"{e(TEXT)}::mail",
            lambda: self.generic(TEXT, scopes, depth, aggregates), lambda: self.generic(TEXT, scopes, depth, aggregates),
        )()

    def expr_date(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"{e(DATE)} + {e(INT)}", lambda: f"date_trunc('year', {e(STAMP)})::date", lambda: f"({e(STAMP)})::date",
            lambda: self.generic(DATE, scopes, depth, aggregates),
        )()

    def expr_numeric(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"{e(NUM)} * {e(INT)}", lambda: f"round({e(NUM)}, 1)", lambda: f"{e(INT)}::numeric",
            lambda: self.generic(NUM, scopes, depth, aggregates),
        )()

    def expr_stamp(self, scopes, depth, aggregates):
        return self.one(
            lambda: f"{self.expr(STAMP, scopes, depth, aggregates)} AT TIME ZONE 'UTC' AT TIME ZONE 'UTC'",
            lambda: f"({self.expr(DATE, scopes, depth, aggregates)})::timestamptz",
            lambda: self.generic(STAMP, scopes, depth, aggregates),
        )()

    def expr_array(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"ARRAY[{e(TEXT)}, {e(TEXT)}]", lambda: f"array_append({e(ARRAY)}, {e(TEXT)})",
            lambda: f"ARRAY(SELECT {e(TEXT)})", lambda: f"string_to_array({e(TEXT)}, ',')", lambda: f"({e(ARRAY)})[1:2]",
            lambda: f"{e(ARRAY)} || {e(ARRAY)}", lambda: self.generic(ARRAY, scopes, depth, aggregates),
        )()

    def expr_json(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(
            lambda: f"to_jsonb({e(TEXT)})", lambda: f"jsonb_build_object('k', {e(TEXT)}, 'n', {e(INT)})",
            lambda: f"{e(JSON)} -> 'a'", lambda: f"to_jsonb({self.whole(scopes)})", lambda: f"{e(JSON)} || {e(JSON)}",
        )()

    def expr_home(self, scopes, depth, aggregates):
        e = lambda of: self.expr(of, scopes, depth, aggregates)  # noqa: E731
        return self.one(lambda: f"ROW({e(TEXT)}, {e(TEXT)})::address", lambda: self.generic(HOME, scopes, depth, aggregates))()

    def expr_bool(self, scopes, depth, aggregates):
        return self.condition(scopes, depth, aggregates)

    def expr_row(self, scopes, depth, aggregates):
        return self.whole(scopes)

    def composite(self, scopes) -> str:
        return self.column(HOME, scopes) or self.constant(HOME)

    def whole(self, scopes) -> str:
        item = self.random.choice(scopes[0]) if scopes[0] else None
        if item is None:
            return "ROW(1, 2)"
        return self.one(item.name, f"ROW({item.name}.*)", item.name, f"({item.name})")

    def functional(self, scopes) -> str:
        """`email(p)`, `(p).email`: a column by another notation."""
        found = [(item, name) for item in scopes[0] for name, of in item.columns if of == TEXT]
        if not found:
            return self.constant(TEXT)
        item, name = self.random.choice(found)
        return self.one(f"{name}({item.name})", f"({item.name}).{name}", f"({item.name}.{name})")

    def aggregate(self, kind: str, scopes, depth: int) -> str:
        e = lambda of: self.expr(of, scopes, depth - 1)  # noqa: E731
        tail = f" FILTER (WHERE {self.condition(scopes, depth - 1)})" if self.maybe(0.2) else ""
        order = f" ORDER BY {e(self.one(INT, TEXT))}" if self.maybe(0.3) else ""
        if kind == INT:
            return self.one("count(*)", f"count({e(self.one(INT, TEXT, DATE))})", f"count(DISTINCT {e(TEXT)})", f"sum({e(INT)})::int", f"max({e(INT)})") + tail
        if kind == TEXT:
            return self.one(f"max({e(TEXT)})", f"string_agg({e(TEXT)}, ','{order})", f"min({e(TEXT)})",
                            f"mode() WITHIN GROUP (ORDER BY {e(TEXT)})", f"jsonb_agg({e(TEXT)}{order})::text") + tail
        if kind == ARRAY:
            return f"array_agg({e(TEXT)}{order})" + tail
        if kind in (DATE, NUM, STAMP):
            return f"{self.one('min', 'max')}({e(kind)})" + tail
        if kind == BOOL:
            return f"bool_or({self.condition(scopes, depth - 1)})" + tail
        return self.constant(kind)

    def window(self, kind: str, scopes, depth: int) -> str:
        e = lambda of: self.expr(of, scopes, depth - 1)  # noqa: E731
        over = f"({self.window_body(scopes, depth)})"
        if self.windows and self.maybe(0.4):
            over = self.random.choice(self.windows)
        if kind == INT:
            call = self.one("row_number()", "rank()", f"count({e(TEXT)})", f"lag({e(INT)})", "ntile(3)", f"sum({e(INT)})")
            return f"({call} OVER {over})::int"
        call = self.one("first_value", "last_value", "lag", "lead", "max")
        return f"{call}({e(kind)}) OVER {over}"

    def window_body(self, scopes, depth: int) -> str:
        e = lambda of: self.expr(of, scopes, depth - 1)  # noqa: E731
        body = f"PARTITION BY {e(self.one(INT, TEXT))} " if self.maybe(0.5) else ""
        if self.maybe(0.6):
            body += f"ORDER BY {e(self.one(INT, DATE, TEXT))} DESC "
            if self.maybe(0.3):
                body += self.one("ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "ROWS UNBOUNDED PRECEDING", "GROUPS 1 PRECEDING EXCLUDE TIES")
        return body

    def subquery_value(self, kind: str, scopes, depth: int) -> str:
        if kind == BOOL:
            return f"EXISTS ({self.select([self.one(INT, TEXT)], scopes, depth - 1)})"
        return f"({self.select([kind], scopes, depth - 1)} LIMIT 1)"

    def condition(self, scopes, depth: int, aggregates: bool = False) -> str:
        e = lambda of: self.expr(of, scopes, depth - 1, aggregates)  # noqa: E731
        if depth <= 0:
            return f"{e(INT)} = {e(INT)}"
        c = lambda: self.condition(scopes, depth - 1, aggregates)  # noqa: E731
        return self.one(
            lambda: f"{e(TEXT)} = {self.constant(TEXT)}", lambda: f"{e(INT)} = {e(INT)}", lambda: f"{e(TEXT)} = {e(TEXT)}",
            lambda: f"{c()} AND {c()}", lambda: f"({c()} OR {c()})", lambda: f"NOT {c()}", lambda: f"{e(TEXT)} IS NULL",
            lambda: f"{e(TEXT)} LIKE {self.one(chr(39) + 'a%' + chr(39), chr(39) + 'abc' + chr(39), '$2')}", lambda: f"{e(TEXT)} IN ('a', {e(TEXT)})",
            lambda: f"{e(INT)} BETWEEN {e(INT)} AND {e(INT)}", lambda: f"{e(DATE)} > {e(DATE)}", lambda: f"{e(TEXT)} ~ '^a'",
            lambda: f"{e(TEXT)} IN ({self.select([TEXT], scopes, depth - 1)})", lambda: f"{e(INT)} = ANY ({self.select([INT], scopes, depth - 1)})",
            lambda: f"EXISTS ({self.select([INT], scopes, depth - 1)})", lambda: f"{e(TEXT)} = ANY ({e(ARRAY)})",
            lambda: f"({e(INT)}, {e(TEXT)}) = ({e(INT)}, {e(TEXT)})", lambda: f"{e(TEXT)} IS DISTINCT FROM {e(TEXT)}",
            lambda: f"({c()}) IS NOT TRUE", lambda: f"lower({e(TEXT)}) = 'x'", lambda: f"{e(ARRAY)} && {e(ARRAY)}",
            lambda: f"({e(INT)}, {e(TEXT)}) IN ({self.select([INT, TEXT], scopes, depth - 1)})", lambda: f"{e(TEXT)} ILIKE {e(TEXT)}",
        )()

    # FROM.

    def relation(self, taken: set[str]) -> tuple[str, Item]:
        """A table, view or CTE with an alias that is free."""
        if self.ctes and self.maybe(0.5):
            source = self.random.choice(self.ctes)
            name, columns = source.name, source.columns
        else:
            name = self.random.choice(list(RELATIONS))
            columns = RELATIONS[name]
        bare = name.rsplit(".", 1)[-1]
        text = self.word(name)
        if self.maybe(0.08) and "." not in name and name in TABLES:
            text = self.one(f"ONLY {name}", f"{name} *", f"ONLY ({name})")
        if bare not in taken and self.maybe(0.45):
            taken.add(bare)
            return text, Item(bare, columns)
        alias = self.alias(taken)
        if self.maybe(0.15):
            count = self.random.randint(1, len(columns))
            new = [f"c{at}" for at in range(count)]
            renamed = [(name, of) for name, (_, of) in zip(new, columns)] + columns[count:]
            return f"{text} AS {alias} ({', '.join(new)})", Item(alias, renamed)
        return f"{text} {self.one('AS ', '')}{alias}", Item(alias, columns)

    def item(self, scopes, depth: int, taken: set[str], before: list[Item]) -> tuple[str, list[Item]]:
        """An entry of FROM, and what can be named by it."""
        if depth <= 0 or self.maybe(0.5):
            text, item = self.relation(taken)
            return text, [item]
        choice = self.random.random()
        if choice < 0.25:
            return self.join(scopes, depth, taken, before)
        if choice < 0.55:
            kinds = [self.one(INT, TEXT, TEXT, DATE, HOME) for _ in range(self.random.randint(1, 3))]
            lateral = self.maybe(0.4) and before
            around = [before] + scopes if lateral else scopes
            inner = self.query(kinds, around, depth - 1)
            alias = self.alias(taken)
            names = [f"s{at}" for at in range(len(kinds))]
            return f"{'LATERAL ' if lateral else ''}({inner}) AS {alias} ({', '.join(names)})", [Item(alias, list(zip(names, kinds)))]
        if choice < 0.65:
            alias = self.alias(taken)
            around = [before] + scopes if before else scopes
            rows = ", ".join(f"({self.expr(INT, around, 1)}, {self.expr(TEXT, around, 1)})" for _ in range(self.random.randint(1, 2)))
            prefix = "LATERAL " if before else ""
            return f"{prefix}(VALUES {rows}) AS {alias} (v1, v2)", [Item(alias, [("v1", INT), ("v2", TEXT)])]
        if choice < 0.8:
            return self.functions(scopes, taken, before)
        inner, items = self.join(scopes, depth, taken, before)
        return f"({inner})", items

    def functions(self, scopes, taken: set[str], before: list[Item]) -> tuple[str, list[Item]]:
        around = [before] + scopes if before else scopes
        alias = self.alias(taken)
        number, array, text = self.expr(INT, around, 1), self.expr(ARRAY, around, 1), self.expr(TEXT, around, 1)
        return self.one(
            lambda: (f"generate_series(1, {number}) AS {alias} (g)", [Item(alias, [("g", INT)])]),
            lambda: (f"unnest({array}) WITH ORDINALITY AS {alias} (u, o)", [Item(alias, [("u", TEXT)])]),
            lambda: (f"find_people({number}) AS {alias}", [Item(alias, PEOPLE)]),
            lambda: (f"pairs() {alias}", [Item(alias, [("a", INT), ("b", TEXT)])]),
            lambda: (f"ROWS FROM (generate_series(1, 2), unnest({array})) AS {alias} (g, u)", [Item(alias, [("g", INT), ("u", TEXT)])]),
            lambda: (f"regexp_split_to_table({text}, ',') AS {alias}", [Item(alias, [(alias, TEXT)])]),
            lambda: (f"jsonb_to_record({self.expr(JSON, around, 1)}) AS {alias} (a int, b text)", [Item(alias, [("a", INT), ("b", TEXT)])]),
            lambda: (f"jsonb_each_text({self.expr(JSON, around, 1)}) {alias}", [Item(alias, [("key", TEXT), ("value", TEXT)])]),
        )()

    def join(self, scopes, depth: int, taken: set[str], before: list[Item]) -> tuple[str, list[Item]]:
        left, one = self.item(scopes, depth - 1, taken, before)
        right, two = self.item(scopes, depth - 1, taken, before + one)
        shared = [name for item in one for name, of in item.columns for other in two if (name, of) in other.columns]
        usable = [
            name for name in set(shared)
            if sum(name == other for item in one for other, _ in item.columns) == 1
            and sum(name == other for item in two for other, _ in item.columns) == 1
        ]
        kind = self.one("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "INNER JOIN", "LEFT OUTER JOIN")
        both = [one + two] + scopes
        choice = self.random.random()
        if choice < 0.15:
            return f"{left} CROSS JOIN {right}", one + two
        if choice < 0.4 and usable:
            using = sorted(usable)[:self.random.randint(1, 2)]
            condition = f"USING ({', '.join(using)})"
            if self.maybe(0.15):
                condition += f" AS {self.alias(taken)}"
            return f"{left} {kind} {right} {condition}", merged(one, two, using)
        if choice < 0.5 and len(one) == len(two) == 1 and "LATERAL" not in right:
            return f"{left} NATURAL {kind} {right}", merged(one, two, shared)
        condition = self.condition(both, 2) if kind != "FULL JOIN" else f"{self.expr(INT, [one], 1)} = {self.expr(INT, [two], 1)}"
        return f"{left} {kind} {right} ON {condition}", one + two

    # Queries.

    def select(self, kinds: list[str], outer, depth: int, labels: bool = False, star: bool = False) -> str:
        """A SELECT of columns of these types; `star`: at the top, anything may be among them."""
        taken: set[str] = set()
        froms, items = [], []
        for _ in range(self.one(1, 1, 1, 2, 2, 3) if depth > 0 else 1):
            text, new = self.item(outer, depth, taken, items)
            froms.append(text)
            items += new
        scopes = [items] + outer
        self.windows, before = [], self.windows
        grouped = self.maybe(0.18)
        keys = [self.expr(self.one(INT, TEXT, DATE), scopes, 1) for _ in range(self.random.randint(0, 2))] if grouped else []
        keys = [key for key in keys if not key.lstrip("-").isdigit() and "$" not in key and "(" not in key and "'" not in key]
        window = ""
        if not grouped and self.maybe(0.1):
            window = f" WINDOW w AS ({self.window_body(scopes, depth)})"
            self.windows = ["w"]
        shown = []
        for kind in kinds:
            if grouped:
                text = self.expr(kind, scopes, depth, aggregates=True)
            elif kind in (INT, TEXT, DATE) and self.maybe(0.08):
                text = self.window(kind, scopes, depth)
            else:
                text = self.expr(kind, scopes, depth)
            if labels and self.maybe(0.5):
                label = self.random.choice(LABELS)
                text += f" {label}" if label == "end" and self.maybe(0.5) else f" AS {label}"
            shown.append(text)
        if star and not grouped and self.maybe(0.35):
            shown.append(self.stars(items))
        if grouped and star:
            shown += keys
        self.random.shuffle(shown) if star else None
        distinct = self.one("", "", "", "", "", "DISTINCT ", f"DISTINCT ON ({self.expr(INT, scopes, 1)}) ") if not grouped else ""
        if "DISTINCT ON" in distinct and ("(1)" in distinct or "$" in distinct or "-" in distinct):
            distinct = ""
        text = f"SELECT {distinct}{', '.join(shown)} FROM {', '.join(froms)}"
        if self.maybe(0.5):
            text += f" WHERE {self.condition(scopes, min(depth, 2))}"
        if keys:
            text += " GROUP BY " + self.one(", ".join(keys), f"ROLLUP ({', '.join(keys)})", f"GROUPING SETS (({', '.join(keys)}), ())", ", ".join(keys))
        if grouped and self.maybe(0.3):
            text += f" HAVING {self.condition(scopes, 2, aggregates=True)}"
        self.windows = before
        return text + window

    def stars(self, items: list[Item]) -> str:
        item = self.random.choice(items)
        homes = [f"({each.name}.{name}).*" for each in items for name, of in each.columns if of == HOME]
        return self.one("*", f"{item.name}.*", item.name, f"({item.name}).*", *homes[:1], f"ROW({item.name}.*, 1)")

    def query(self, kinds: list[str], outer, depth: int) -> str:
        """A SELECT, set operation or VALUES."""
        if depth > 0 and self.maybe(0.2):
            operator = self.one("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL")
            return f"{self.arm(kinds, outer, depth)} {operator} {self.arm(kinds, outer, depth)}"
        if self.maybe(0.05):
            return f"VALUES ({', '.join(self.expr(kind, outer if outer else [[]], 1) for kind in kinds)})"
        return self.select(kinds, outer, depth)

    def arm(self, kinds, outer, depth: int) -> str:
        inner = self.select(kinds, outer, depth - 1)
        return f"({inner} LIMIT 3)" if self.maybe(0.3) else f"({inner})" if self.maybe(0.3) else inner

    def top(self) -> str:
        kinds = [self.one(INT, TEXT, TEXT, TEXT, DATE, BOOL, NUM, ARRAY, JSON, HOME, STAMP, ROW) for _ in range(self.random.randint(1, 4))]
        depth = self.random.randint(1, 3)
        if self.maybe(0.12):
            simple = [kind if kind not in (JSON, HOME, ROW) else TEXT for kind in kinds]
            text = self.query(simple, [], depth)
        else:
            text = self.select(kinds, [], depth, labels=True, star=True)
        if self.maybe(0.3):
            text += f" ORDER BY {self.random.randint(1, len(kinds))}{self.one('', ' DESC', ' NULLS FIRST')}"
        if self.maybe(0.2):
            text += self.one(" LIMIT 5", " OFFSET 1", " FETCH FIRST 2 ROWS ONLY", " LIMIT (SELECT count(email) FROM people)", " LIMIT ALL")
        return text

    def cte_list(self) -> str:
        """WITH, and what it makes visible."""
        self.ctes = []
        parts, recursive = [], False
        for at in range(self.one(1, 1, 2, 3)):
            name = self.one("q", "people", "r", f"w{at}", "email") if at == 0 else f"w{at}"
            kinds = [self.one(INT, TEXT, TEXT, DATE) for _ in range(self.random.randint(1, 3))]
            names = [self.one("id", "email", "k", "name") + (str(column) if column else "") for column in range(len(kinds))]
            choice = self.random.random()
            if choice < 0.2:
                recursive = True
                head = self.select(kinds, [], 1)
                arms = ", ".join(self.one(*[other for other, of in zip(names, kinds) if of == kind]) for kind in kinds)
                body = f"{head} UNION {self.one('ALL ', '')}SELECT {arms} FROM {name}"
                tail = self.one("", "", f" SEARCH DEPTH FIRST BY {names[0]} SET ord", f" CYCLE {names[0]} SET looped USING walked")
                parts.append(f"{name} ({', '.join(names)}) AS ({body}){tail}")
            elif choice < 0.35:
                table = self.random.choice(TABLES)
                columns = [(column, of) for column, of in RELATIONS[table] if of in (INT, TEXT)]
                back = ", ".join(column for column, _ in columns)
                names, kinds = [column for column, _ in columns], [of for _, of in columns]
                parts.append(f"{name} AS ({self.changing(table)} RETURNING {back})")
            else:
                parts.append(f"{name} ({', '.join(names)}) AS {self.one('', 'MATERIALIZED ', 'NOT MATERIALIZED ')}({self.query(kinds, [], 1)})")
            self.ctes.append(Item(name, list(zip(names, kinds))))
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "

    def changing(self, table: str) -> str:
        """INSERT, UPDATE or DELETE without RETURNING."""
        columns = [(name, of) for name, of in RELATIONS[table] if of in (INT, TEXT, DATE) and name not in ("lowered", "doubled")]
        target = Item(table.rsplit(".", 1)[-1], RELATIONS[table])
        if self.maybe(0.35):
            chosen = self.random.sample(columns, self.random.randint(1, len(columns)))
            names, kinds = ", ".join(name for name, _ in chosen), [of for _, of in chosen]
            source = self.query(kinds, [], 1)
            conflict = ""
            if table in ("scratch", "people") and self.maybe(0.4):
                name, of = self.random.choice(columns)
                scopes = [[target, Item("excluded", RELATIONS[table])]]
                conflict = f" ON CONFLICT (id) DO UPDATE SET {name} = {self.expr(of, scopes, 2)}"
                if self.maybe(0.3):
                    conflict += f" WHERE {self.condition(scopes, 1)}"
            return f"INSERT INTO {self.word(table)} ({names}) {source}{conflict}"
        taken = {target.name}
        froms, items = "", [target]
        if self.maybe(0.5):
            text, new = self.item([], 1, taken, [])
            froms, items = text, [target] + new
        scopes = [items]
        where = f" WHERE {self.condition(scopes, 2)}" if self.maybe(0.7) else ""
        if self.maybe(0.4):
            return f"DELETE FROM {self.word(table)}{' USING ' + froms if froms else ''}{where}"
        chosen = self.random.sample(columns, self.random.randint(1, min(2, len(columns))))
        if len(chosen) == 2 and self.maybe(0.4):
            (a, one), (b, two) = chosen
            row = self.one(f"({self.select([one, two], scopes, 1)} LIMIT 1)", f"({self.expr(one, scopes, 2)}, {self.expr(two, scopes, 2)})")
            settings = f"({a}, {b}) = {row}"
        else:
            settings = ", ".join(f"{name} = {self.one(self.expr(of, scopes, 2), self.expr(of, scopes, 2), 'DEFAULT')}" for name, of in chosen)
        return f"UPDATE {self.one('', '', 'ONLY ')}{self.word(table)} SET {settings}{' FROM ' + froms if froms else ''}{where}"

    def merge(self) -> str:
        table = self.random.choice([table for table in TABLES if table not in ("gen",)])
        target = Item(table.rsplit(".", 1)[-1], RELATIONS[table])
        columns = [(name, of) for name, of in RELATIONS[table] if of in (INT, TEXT, DATE)]
        text, new = self.item([], 1, {target.name}, [])
        scopes = [[target] + new]
        (name, of), (other, kind) = self.random.choice(columns), self.random.choice(columns)
        extra = f" AND {self.condition(scopes, 1)}" if self.maybe(0.4) else ""
        merge = f"MERGE INTO {table} USING {text} ON {self.condition(scopes, 1)} WHEN MATCHED{extra} THEN "
        merge += self.one("DELETE", f"UPDATE SET {name} = {self.expr(of, scopes, 2)}", "DO NOTHING")
        return merge + f" WHEN NOT MATCHED THEN INSERT ({other}) VALUES ({self.expr(kind, [new], 2)})"

    def statement(self) -> str:
        """The next statement."""
        self.ctes, self.windows = [], []
        prefix = self.cte_list() if self.maybe(0.25) else ""
        choice = self.random.random()
        if choice < 0.76:
            return prefix + self.top()
        if choice < 0.96:
            table = self.random.choice(TABLES)
            item = Item(table.rsplit(".", 1)[-1], RELATIONS[table])
            back = self.one("*", ", ".join(self.expr(self.one(INT, TEXT), [[item]], 2) + " AS r" for _ in range(2)), f"{item.name}.*", item.name)
            return prefix + self.changing(table) + (f" RETURNING {back}" if self.maybe(0.5) else "")
        return prefix + self.merge()


def merged(one: list[Item], two: list[Item], using: list[str]) -> list[Item]:
    """What can be named after USING: the merged columns without a relation stand for both."""
    return [Item(item.name, [(name, of) for name, of in item.columns if name not in using]) for item in one + two]


def statements(seed: int, count: int):
    """So many statements."""
    generator = Generator(seed)
    for _ in range(count):
        yield generator.statement()
