"""Random statements aimed at tagged columns: nested functions, casts, aggregates, windows, CTEs, set operations, LATERAL, DML with
RETURNING, cursors, prepared statements, EXPLAIN, COPY. Constants that are compared with a tagged column are no stored value."""

import random

TABLES = {
    "customers": {"id": "int", "name": "text", "email": "text", "phone": "text", "street": "text", "city": "text", "card_number": "text",
                  "notes": "text", "tenant_id": "int"},
    "customers_v": {"id": "int", "name": "text", "contact": "text", "phone": "text"},
    "customers_sb": {"id": "int", "name": "text", "email": "text", "phone": "text", "street": "text", "city": "text", "tenant_id": "int"},
    "customers_mv": {"id": "int", "email": "text"},
    "customers_archive": {"id": "int", "name": "text", "email": "text", "notes": "text", "tenant_id": "int"},
    "orders": {"id": "int", "customer_id": "int", "customer_email": "text", "amount": "numeric"},
    "people_p": {"id": "int", "email": "text", "region": "int"},
    "people_gen": {"id": "int", "email": "text", "email_lc": "text"},
    "big_notes": {"id": "int", "body": "text"},
    "scratch": {"t": "text"},
}
UNSEEN = ("'no.such@nowhere.test'", "'Zzyzx Qwfpgj'", "'x'", "''", "'_'", "'zz%'")
TYPES = ("text", "int", "bool", "numeric", "json")
# What makes a value of the type on the left from those in the braces. `t`, `i`, `b`, `n`, `j` are expressions of the five types.
FORMS = {
    "text": ("upper({t})", "lower({t})", "substr({t}, {k}, 3)", "{t} || {t}", "coalesce({t}, {t})", "nullif({t}, {t})", "left({t}, {k})",
             "reverse({t})", "replace({t}, 'e', {t})", "md5({t})", "concat({t}, {i}, {t})", "format('%s-%s', {t}, {i})", "{i}::text", "{n}::text",
             "{j}::text", "{b}::text", "lpad({t}, 20, '*')", "translate({t}, 'ae', 'xy')", "split_part({t}, '@', 1)", "({t})::varchar(10)",
             "greatest({t}, {t})", "least({t}, 'm')", "CASE WHEN {b} THEN {t} ELSE {t} END", "quote_literal({t})", "initcap({t})",
             "encode(convert_to({t}, 'UTF8'), 'base64')", "regexp_replace({t}, '[aeiou]', '', 'g')", "({t})::char(12)::text", "{j} ->> 'a'",
             "(ARRAY[{t}, {t}])[{k}]", "array_to_string(ARRAY[{t}, {t}], ',')", "repeat({t}, 2)", "trim({t})", "overlay({t} placing 'x' from {k})",
             "to_char({n}, '999D9')", "(SELECT {t})", "({t} COLLATE \"C\")", "(ROW({t}, {i}))::text", "to_hex({i})", "chr(65 + abs({i}) % 26)",
             "CAST({t} AS text)", "string_to_array({t}, '@')::text", "btrim({t}, 'a')", "rtrim({t})", "concat_ws('|', {t}, {t})", "soundex({t})"),
    "int": ("length({t})", "position('a' in {t})", "ascii({t})", "{i} + {i}", "{i} - {k}", "{i} * 2", "abs({i})", "octet_length({t})", "strpos({t}, 'e')",
            "coalesce({i}, 0)", "CASE WHEN {b} THEN {i} ELSE {k} END", "({t})::int", "({n})::int", "hashtext({t})", "char_length({t})", "bit_length({t})",
            "pg_column_size({t})", "cardinality(ARRAY[{t}])", "num_nulls({t}, {i})", "array_length(string_to_array({t}, 'e'), 1)", "({b})::int",
            "levenshtein({t}, 'abc')", "greatest({i}, {i})", "1 / nullif({i}, 0)", "{i} % 7", "width_bucket({n}, 0, 100, 10)"),
    "bool": ("{t} = {t}", "{t} LIKE 'a%'", "{i} > {i}", "{t} IS NULL", "{t} < {t}", "NOT ({b})", "({b}) AND ({b})", "({b}) OR ({b})", "{t} ~ '^a'",
             "{i} BETWEEN {k} AND {i}", "{i} IN ({k}, {i})", "{t} IN ({u}, {u})", "{t} IS DISTINCT FROM {t}", "starts_with({t}, 'a')", "{t} ILIKE '%x%'",
             "EXISTS (SELECT 1 WHERE {b})", "{j} @> '{{}}'", "{t} = ANY (ARRAY[{u}, {t}])", "({t}, {i}) = ({t}, {i})", "({i})::bool", "{b} IS TRUE"),
    "numeric": ("{n} + {i}", "round({n}, 1)", "({t})::numeric", "({i})::numeric", "{n} * {n}", "coalesce({n}, 0)", "sqrt(abs({n}))", "power({n}, 2)",
                "extract(epoch from interval '1 s') * {n}", "CASE WHEN {b} THEN {n} ELSE 0 END", "similarity({t}, 'abc')::numeric", "ln(1 + abs({n}))"),
    "json": ("to_jsonb({t})", "jsonb_build_object('a', {t}, 'b', {i})", "jsonb_build_array({t}, {t})", "to_jsonb(ARRAY[{t}])", "{j} || {j}",
             "jsonb_build_object({t}, {i})", "{j} -> 'a'", "to_jsonb(ROW({t}, {i}))", "jsonb_strip_nulls({j})", "('\"' || {t} || '\"')::jsonb"),
}
AGGREGATES = {
    "text": ("max({t})", "min({t})", "string_agg({t}, ',')", "string_agg({t}, ',' ORDER BY {i})", "array_agg({t})::text", "mode() WITHIN GROUP (ORDER BY {t})",
             "string_agg(DISTINCT {t}, ',')", "max({t}) FILTER (WHERE {b})"),
    "int": ("count(*)", "count({t})", "count(DISTINCT {t})", "sum({i})", "max({i})", "count(*) FILTER (WHERE {b})", "bit_or({i})"),
    "bool": ("bool_or({b})", "every({b})", "bool_and({b})"),
    "numeric": ("sum({n})", "avg({i})", "avg({n})", "stddev({i})", "percentile_cont(0.5) WITHIN GROUP (ORDER BY {i})::numeric"),
    "json": ("jsonb_agg({t})", "jsonb_object_agg(coalesce({t}, '-'), {i})", "jsonb_agg({j})"),
}
WINDOWS = ("first_value({t}) OVER ({w})", "lag({t}) OVER ({w})", "lead({t}, 1, 'none') OVER ({w})", "row_number() OVER ({w})", "rank() OVER ({w})",
           "count(*) OVER ({w})", "max({t}) OVER ({w})", "ntile(3) OVER ({w})", "string_agg({t}, ',') OVER ({w})", "sum({i}) OVER ({w})")
ROW_FUNCTIONS = ("unnest(ARRAY[{t}, {t}])", "regexp_split_to_table({t}, 'e')", "generate_series(1, 3)", "string_to_table({t}, ' ')",
                 "jsonb_array_elements_text({j})", "generate_series(1, {i})", "unnest(string_to_array({t}, 'a'))")


class Statements:
    """A stream of statements, the same ones for the same seed."""

    def __init__(self, seed: int):
        self.dice = random.Random(seed)
        self.names = 0

    def next(self) -> list[str]:
        """The messages of one experiment, one after the other."""
        kind = self.dice.choices(("query", "dml", "cursor", "prepared", "explain", "copy", "errors"), (70, 9, 4, 4, 5, 4, 4))[0]
        return getattr(self, "_" + kind)()

    def _name(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    def _query(self) -> list[str]:
        return [self.select(self.dice.randint(0, 2))[0]]

    def select(self, depth: int, width: int | None = None) -> tuple[str, dict[str, str]]:
        """A query, and the names and types of its columns."""
        dice = self.dice
        if depth and dice.random() < 0.12:
            return self._set_operation(depth, width)
        prefix = ""
        sources: dict[str, dict[str, str]] = {}
        if depth and dice.random() < 0.2:
            name = self._name("w")
            inner, columns = self.select(depth - 1)
            prefix = f"WITH {name} AS {dice.choice(('', '', 'MATERIALIZED ', 'NOT MATERIALIZED '))}({inner}) "
            clause, sources = name, {name: columns}
        else:
            clause = self._source(depth, sources)
        if dice.random() < 0.35:
            clause = self._joined(clause, depth, sources)
        width = width or dice.randint(1, 4)
        grouped = dice.random() < 0.25
        items, columns, keys = [], {}, []
        for _ in range(width):
            kind = dice.choice(("text", "text", "text", "int", "bool", "numeric", "json"))
            label = self._name("c")
            if grouped and dice.random() < 0.6:
                text = self._filled(dice.choice(AGGREGATES[kind]), sources, 1)
            elif grouped:
                text = self._column(dice.choice(("text", "int")), sources) or dice.choice([f"{a}.{c}" for a, has in sources.items() for c in has])
                kind = "text"
                keys.append(text)
                text = f"({text})::text"
            elif dice.random() < 0.1:
                kind = "text"
                text = "(" + self._filled(dice.choice(WINDOWS), sources, 1).replace("{w}", self._window(sources)) + ")::text"
            elif depth == 0 and dice.random() < 0.05:
                kind, text = "text", "(" + self._filled(dice.choice(ROW_FUNCTIONS), sources, 0) + ")::text"
            elif dice.random() < 0.06:
                kind, text = "text", f"{dice.choice(list(sources))}::text"
            else:
                text = self.expression(kind, sources, dice.choice((0, 0, 1, 1, 2)))
            items.append(f"{text} AS {label}")
            columns[label] = kind
        sql = f"{prefix}SELECT {'DISTINCT ' if not grouped and dice.random() < 0.06 else ''}{', '.join(items)} FROM {clause}"
        if dice.random() < 0.75:
            sql += f" WHERE {self._condition(sources)}"
        if grouped and keys:
            form = dice.choice(("{}", "{}", "{}", "ROLLUP ({})", "GROUPING SETS (({}), ())"))
            sql += " GROUP BY " + form.format(", ".join(dict.fromkeys(keys)))
            if dice.random() < 0.15:
                sql += f" HAVING count(*) > {dice.randint(0, 2)}"
        elif not grouped and dice.random() < 0.5 and (own := self._column("int", sources)):
            if "DISTINCT" not in sql[:40]:
                sql += f" ORDER BY {own}"
        if dice.random() < 0.3:
            sql += f" LIMIT {dice.randint(1, 9)}"
        return sql, columns

    def _set_operation(self, depth: int, width: int | None) -> tuple[str, dict[str, str]]:
        width = width or self.dice.randint(1, 3)
        arms = []
        for _ in range(2):
            text, columns = self.select(depth - 1, width)
            arms.append("SELECT " + ", ".join(f"{one}::text" for one in columns) + f" FROM ({text}) {self._name('s')}")
        names = [self._name("c") for _ in range(width)]
        word = self.dice.choice(("UNION ALL", "UNION ALL", "UNION", "EXCEPT", "INTERSECT"))
        alias = self._name("u")
        return f"SELECT * FROM ({arms[0]} {word} {arms[1]}) {alias}({', '.join(names)})", dict.fromkeys(names, "text")

    def _source(self, depth: int, sources: dict) -> str:
        alias = self._name("r")
        if depth and self.dice.random() < 0.3:
            inner, columns = self.select(depth - 1)
            sources[alias] = columns
            return f"({inner}) {alias}"
        table = self.dice.choices(list(TABLES), (8, 3, 2, 2, 1, 3, 1, 1, 1, 1))[0]
        sources[alias] = TABLES[table]
        return f"{self.dice.choice(('', 'public.', 'ONLY ')) if table != 'people_p' else ''}{table} {alias}"

    def _joined(self, clause: str, depth: int, sources: dict) -> str:
        if self.dice.random() < 0.3:
            lateral, alias = dict(sources), self._name("l")
            text = self.expression("text", lateral, 1)
            sources[alias] = {"x": "text"}
            return f"{clause}, LATERAL (SELECT {text} AS x) {alias}"
        left = self._column("int", sources)
        other: dict = {}
        right = self._source(max(depth - 1, 0), other)
        sources.update(other)
        key = self._column("int", other)
        return f"{clause} {self.dice.choice(('JOIN', 'LEFT JOIN', 'FULL JOIN'))} {right} ON {left or '1'} = {key or '1'}"

    def _window(self, sources: dict) -> str:
        key = self._column("int", sources)
        parts = [f"PARTITION BY {self._column('text', sources) or key or '1'}"] if self.dice.random() < 0.3 else []
        return " ".join([*parts, f"ORDER BY {key or '1'}"])

    def _condition(self, sources: dict) -> str:
        """Mostly one that the filter mode `equality` permits: else most statements would only be refused."""
        number, text = self._column("int", sources), self._column("text", sources)
        chosen = self.dice.random()
        if chosen < 0.12:
            return self.expression("bool", sources, 1)
        if chosen < 0.3 and text:
            form = self.dice.choice(("{} = {}", "{} IN ({}, 'y')", "lower({}) = {}", "{} <> {}", "{} IS NOT NULL OR 'a' = {}"))
            return form.format(text, self.dice.choice(UNSEEN[:3]))
        if number:
            return f"{number} {self.dice.choice(('=', '<', '<=', '>'))} {self.dice.choice((1, 2, 3, 12, 30))}"
        return "true"

    def _column(self, kind: str, sources: dict) -> str | None:
        found = [f"{alias}.{name}" for alias, columns in sources.items() for name, has in columns.items() if has == kind]
        return self.dice.choice(found) if found else None

    def expression(self, kind: str, sources: dict, depth: int) -> str:
        """An expression of one of the five types."""
        if depth <= 0 or self.dice.random() < 0.15:
            constant = {"text": "'k'", "int": str(self.dice.randint(0, 9)), "bool": "true", "numeric": "1.5", "json": "'{\"a\": \"k\"}'::jsonb"}[kind]
            column = self._column(kind, sources)
            return column if column and self.dice.random() < 0.9 else constant
        return self._filled(self.dice.choice(FORMS[kind]), sources, depth - 1)

    def _filled(self, form: str, sources: dict, depth: int) -> str:
        out, at = [], 0
        kinds = {"t": "text", "i": "int", "b": "bool", "n": "numeric", "j": "json"}
        while at < len(form):
            if form.startswith(("{{", "}}"), at):
                out.append(form[at])
                at += 2
            elif form[at] == "{" and form[at + 2 : at + 3] == "}" and form[at + 1] != "w":
                letter = form[at + 1]
                if letter == "k":
                    out.append(str(self.dice.randint(1, 5)))
                elif letter == "u":
                    out.append(self.dice.choice(UNSEEN))
                else:
                    out.append(self.expression(kinds[letter], sources, depth))
                at += 3
            else:
                out.append(form[at])
                at += 1
        return "".join(out)

    def _dml(self) -> list[str]:
        dice, sources = self.dice, {"customers": TABLES["customers"]}
        returned = ", ".join(self.expression(dice.choice(TYPES), sources, dice.randint(0, 2)) for _ in range(dice.randint(1, 3)))
        sources_o = {"o": TABLES["orders"], "c": TABLES["customers"]}
        forms = (
            lambda: f"UPDATE customers SET tenant_id = {dice.randint(1, 9)} WHERE id = {dice.choice((1, 2, 3))} RETURNING {returned}",
            lambda: f"UPDATE customers SET tenant_id = 5, notes = 'new note' WHERE id IN (1, 12) RETURNING {returned}",
            lambda: f"DELETE FROM customers WHERE id = {dice.choice((20, 21, 1))} RETURNING {returned}",
            lambda: f"INSERT INTO customers (id, name, email, card_number) VALUES (7{dice.randint(10, 99)}, 'n', 'e{dice.random()}', '123456789012') RETURNING {returned}",
            lambda: "INSERT INTO customers (id, name, email, card_number) VALUES (1, 'n', 'other@nowhere.test', '123456789012') "
                    f"ON CONFLICT (id) DO UPDATE SET tenant_id = 9 RETURNING {returned}",
            lambda: f"WITH d AS (DELETE FROM customers WHERE id = 22 RETURNING *) SELECT {self.expression('text', {'d': TABLES['customers']}, 2)} FROM d",
            lambda: f"UPDATE orders o SET amount = {self.expression('numeric', sources_o, 1)} FROM customers c WHERE c.id = o.customer_id RETURNING o.id",
            lambda: f"INSERT INTO scratch SELECT {self.expression('text', sources, 1)} FROM customers WHERE id < 3",
            lambda: f"UPDATE customers SET city = {self.expression('text', sources, 1)} WHERE id = 1 RETURNING {returned}",
            lambda: f"CREATE TEMP TABLE held AS SELECT {self.expression('text', sources, 1)} AS x, id FROM customers WHERE id < 4",
            lambda: f"MERGE INTO customers USING (VALUES (1)) v(i) ON customers.id = v.i WHEN MATCHED THEN UPDATE SET tenant_id = {self.expression('int', sources, 1)}",
            lambda: f"INSERT INTO orders VALUES (9, 1, {self.expression('text', {}, 1)}, 1) RETURNING customer_email",
        )
        statement = dice.choice(forms)()
        after = ["SELECT x, length(x), id FROM held ORDER BY id"] if statement.startswith("CREATE TEMP") else ["SELECT t FROM scratch"]
        return ["BEGIN", statement, *after, "ROLLBACK"]

    def _cursor(self) -> list[str]:
        query = self.select(1)[0]
        fetches = self.dice.sample(("FETCH 2 FROM k", "FETCH ALL FROM k", "MOVE 1 FROM k", "FETCH ABSOLUTE 1 FROM k", "FETCH BACKWARD 1 FROM k"), 3)
        return ["BEGIN", f"DECLARE k {self.dice.choice(('', 'SCROLL '))}CURSOR FOR {query}", *fetches, "ROLLBACK"]

    def _prepared(self) -> list[str]:
        return [f"PREPARE s AS {self.select(1)[0]}", "EXECUTE s", "EXECUTE s", "DEALLOCATE ALL"]

    def _explain(self) -> list[str]:
        options = self.dice.choice(("", "(VERBOSE) ", "(COSTS OFF) ", "(FORMAT JSON, COSTS OFF) ", "ANALYZE ", "(VERBOSE, COSTS OFF) "))
        return [f"EXPLAIN {options}{self.select(1)[0]}"]

    def _copy(self) -> list[str]:
        form = self.dice.choice(("", " WITH (FORMAT csv, HEADER)", " (FORMAT binary)", " (DELIMITER '|')"))
        if self.dice.random() < 0.3:
            table = self.dice.choice([one for one in TABLES if one not in ("customers_v", "customers_sb", "customers_mv", "people_p")])
            return [f"COPY {table} TO STDOUT{form}"]
        return [f"COPY ({self.select(1)[0]}) TO STDOUT{form}"]

    def _errors(self) -> list[str]:
        sources: dict = {}
        clause = self._source(0, sources)
        kind = self.dice.choice(("int", "numeric", "date", "timestamptz", "inet", "uuid", "json", "bool", "int4range", "interval", "bit(3)", "xml", "regclass"))
        return [f"SELECT ({self.expression('text', sources, self.dice.randint(0, 2))})::{kind} FROM {clause} WHERE {self._condition(sources)}"]
