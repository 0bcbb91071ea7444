"""Which tagged columns a column of the database is made of: views, inheritance and generated columns followed."""

import nodes
from flows import COUNTED, DERIVED, DIRECT, Flow, Names, Trace, derived, join



def names(connection) -> Names:
    """What the server calls functions, operators and columns."""
    columns: dict[int, list[int]] = {}
    rows = connection.execute(
        "SELECT attrelid::int8, attnum FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped ORDER BY 1, 2"
    )
    for relation, attnum in rows:
        columns.setdefault(relation, []).append(attnum)
    functions = dict(connection.execute("SELECT oid::int8, proname FROM pg_proc"))
    operators = dict(connection.execute("SELECT oid::int8, oprname FROM pg_operator"))
    return Names(functions, operators, columns)


class Tags:
    """The policy's columns in a live database."""

    def __init__(self, connection, known: Names, tagged: set[tuple[int, int]]):
        self.names = known
        self.tagged = tagged
        self.views = {
            relation: tree for relation, tree in connection.execute(
                "SELECT ev_class::int8, ev_action::text FROM pg_rewrite WHERE rulename = '_RETURN' AND ev_type = '1'")
        }
        self.generated = {
            (relation, attnum): tree for relation, attnum, tree in connection.execute(
                "SELECT adrelid::int8, adnum, adbin::text FROM pg_attrdef d JOIN pg_attribute a "
                "ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated <> ''")
        }
        names_of = {
            (relation, attnum): name for relation, attnum, name in connection.execute(
                "SELECT attrelid::int8, attnum, attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped")
        }
        relations = dict(connection.execute("SELECT oid::int8, oid::regclass::text FROM pg_class"))
        self.labels = {column: f"{relations[column[0]]}.{name}" for column, name in names_of.items()}
        attnums = {(relation, name): attnum for (relation, attnum), name in names_of.items()}
        self.same: dict[tuple[int, int], list[tuple[int, int]]] = {}
        pairs = list(connection.execute("SELECT inhrelid::int8, inhparent::int8 FROM pg_inherits"))
        for child, parent in pairs:
            for (relation, attnum), name in names_of.items():
                if relation == parent and (child, name) in attnums:
                    other = (child, attnums[child, name])
                    # A parent shows its children's rows; a child's column is what its parent's is.
                    self.same.setdefault((relation, attnum), []).append(other)
                    self.same.setdefault(other, []).append((relation, attnum))
        self.known: dict[tuple[int, int], Flow] = {}
        self.visiting: set[tuple[int, int]] = set()

    def label(self, column: tuple[int, int]) -> str:
        """Its name, for people."""
        return self.labels.get(column, str(column))

    def resolved(self, flow: Flow) -> Flow:
        """The same down to tagged columns."""
        found: Flow = {}
        for column, strength in flow.items():
            inner = self.column(column[:2])
            if len(column) == 3:
                inner = {(*one, column[2]): how for one, how in inner.items() if how != COUNTED}
            if strength == DERIVED:
                inner = derived(inner)
            elif strength != DIRECT:
                inner = {one: strength for one in inner}
            found = join(found, inner)
        return found

    def relation(self, relation: int) -> set[tuple[int, int]]:
        """The tagged columns of everything that a relation shows."""
        return {one for attnum in self.names.columns.get(relation, []) for one in self.column((relation, attnum))}

    def column(self, column: tuple[int, int]) -> Flow:
        """The tagged columns in a column."""
        if column in self.known:
            return self.known[column]
        if column in self.visiting:
            return {}
        self.visiting.add(column)
        outermost = len(self.visiting) == 1
        found: Flow = {column: DIRECT} if column in self.tagged else {}
        for other in self.same.get(column, []):
            found = join(found, self.column(other))
        if column in self.generated:
            found = join(found, derived(self.generated_from(column)))
        if column[0] in self.views:
            found = join(found, self.resolved(self.view_column(*column)))
        self.visiting.discard(column)
        if outermost:
            self.known[column] = found
        return found

    def generated_from(self, column: tuple[int, int]) -> Flow:
        """Its expression's Vars are columns of the relation itself."""
        found: Flow = {}
        waiting = [nodes.parse(self.generated[column])]
        while waiting:
            node = waiting.pop()
            if node.kind == "VAR":
                found = join(found, self.column((column[0], int(node["varattno"]))))
            waiting += node.children()
        return found

    def view_column(self, relation: int, attnum: int) -> Flow:
        (tree,) = nodes.parse(self.views[relation])
        outputs = Trace(self.names).statement(tree).outputs
        return outputs[attnum - 1][1] if attnum <= len(outputs) else {}
