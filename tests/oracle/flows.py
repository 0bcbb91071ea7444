"""What flows where in a statement, told from PostgreSQL's own analysed tree.

Written without a look at how pgveil does it, and simpler: a few rules over a tree in which every name is resolved. Columns
are pairs (relation, attnum); views are followed through the queries that `pg_rewrite` holds.
"""

from dataclasses import dataclass, field

from nodes import Node, items, number, unescaped

# How much of a column is in a value; a later one gives away more freely.
COUNTED, DIRECT, DERIVED = 1, 2, 3
FLOWS = {COUNTED: "counted", DIRECT: "direct", DERIVED: "derived"}

# What is done with a column by a condition or key. STRICT: more than filter mode `equality` permits.
PERMITTED, STRICT = 1, 2

# Functions whose result is one of their arguments (or an element of it), by the number of leading arguments for which that
# holds; the others only choose.
PRESERVING = {
    "min": 1, "max": 1, "array_agg": 1, "any_value": 1, "unnest": 1, "first_value": 1, "last_value": 1, "nth_value": 1,
    "array_append": 2, "array_prepend": 2, "array_cat": 2, "trim_array": 1,
}
LAGGING = {"lag", "lead"}
RANKS = {"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"}

RTE_RELATION, RTE_SUBQUERY, RTE_JOIN, RTE_FUNCTION, RTE_TABLEFUNC, RTE_VALUES, RTE_CTE, RTE_NAMEDTUPLESTORE, RTE_RESULT = range(9)
CMD_SELECT, CMD_UPDATE, CMD_INSERT, CMD_DELETE, CMD_MERGE, CMD_UTILITY = 1, 2, 3, 4, 5, 6
EXISTS, ALL, ANY, ROWCOMPARE, EXPR, MULTIEXPR, ARRAY, CTE = range(8)

# (relation, attnum) -> COUNTED, DIRECT or DERIVED. A third part GUARD: the condition of an aggregate's FILTER learns more of
# the column than `equality` permits; either the value counts as computed from it, or the condition as a filter.
Flow = dict
GUARD = "guard"


class NotTraced(Exception):
    """A construct that the oracle does not know."""


def join(one: Flow, *others: Flow) -> Flow:
    made = dict(one)
    for other in others:
        for column, flow in other.items():
            made[column] = max(flow, made.get(column, 0))
    return made


def derived(flow: Flow) -> Flow:
    return {column: DERIVED if strength != COUNTED else COUNTED for column, strength in flow.items()}


def counted(flow: Flow) -> Flow:
    return {column: COUNTED if strength != DERIVED else DERIVED for column, strength in flow.items()}


@dataclass
class Traced:
    """What is known of a statement."""

    outputs: list[tuple[str | None, Flow]] = field(default_factory=list)
    """Result columns: name and origin."""
    filters: dict[tuple[int, int], int] = field(default_factory=dict)
    """Columns that conditions, keys and limits look at: PERMITTED or STRICT."""
    why: dict[tuple[int, int], str] = field(default_factory=dict)
    """For STRICT ones, by what."""
    writes: list[tuple[int, int, Flow]] = field(default_factory=list)
    """Relation, attnum, origin of the new value."""
    relations: set[int] = field(default_factory=set)
    functions: set[int] = field(default_factory=set)


@dataclass
class Names:
    """What the tree says by number only."""

    functions: dict[int, str]
    operators: dict[int, str]
    columns: dict[int, list[int]]
    """The live attnums of each relation, in order."""


class Query:
    """A query of the tree with what is around it."""

    def __init__(self, node: Node, parent: "Query | None"):
        self.node = node
        self.parent = parent
        self.multi: dict[int, Node] = {}
        self._subqueries: dict[int, Query] = {}

    def up(self, levels: int) -> "Query":
        query = self
        for _ in range(levels):
            if query.parent is None:
                raise NotTraced("a level that is not there")
            query = query.parent
        return query

    def below(self, node: Node) -> "Query":
        """The same object for the same sub-query each time."""
        made = self._subqueries.get(id(node))
        if made is None:
            made = self._subqueries[id(node)] = Query(node, self)
        return made

    def rte(self, index: int) -> Node:
        return items(self.node, "rtable")[index - 1]

    def outputs(self) -> list[Node]:
        """The target entries that whoever reads from this query sees."""
        command = number(self.node, "commandType")
        entries = items(self.node, "targetList" if command == CMD_SELECT else "returningList")
        return [entry for entry in entries if entry["resjunk"] == "false"]


class Trace:
    """Traces one statement."""

    def __init__(self, names: Names):
        self.names = names
        self.traced = Traced()
        self.visiting: set = set()

    def statement(self, node: Node) -> Traced:
        query = Query(node, None)
        self.visit(query)
        self.traced.outputs = [(unescaped(entry["resname"]), self.flow(entry["expr"], query)) for entry in query.outputs()]
        return self.traced

    # Values.

    def flow(self, node, query: Query) -> Flow:
        """What a value is made of."""
        if node is None:
            return {}
        if isinstance(node, list):
            return join({}, *(self.flow(part, query) for part in node))
        handler = getattr(self, "flow_" + node.kind.lower(), None)
        if handler is None:
            raise NotTraced(node.kind)
        return handler(node, query)

    def parts(self, node: Node, query: Query) -> Flow:
        return derived(join({}, *(self.flow(child, query) for child in node.children())))

    flow_opexpr = flow_boolexpr = flow_distinctexpr = flow_nullifexpr = flow_scalararrayopexpr = parts
    flow_rowcompareexpr = flow_booleantest = flow_xmlexpr = parts

    def nothing(self, node: Node, query: Query) -> Flow:
        return {}

    flow_const = flow_casetestexpr = flow_sqlvaluefunction = flow_groupingfunc = flow_currentofexpr = nothing
    flow_nextvalueexpr = flow_settodefault = flow_coercetodomainvalue = flow_sortgroupclause = nothing

    def inside(self, node: Node, query: Query) -> Flow:
        return join({}, *(self.flow(child, query) for child in node.children()))

    flow_relabeltype = flow_coercetodomain = flow_collateexpr = flow_coerceviaio = flow_targetentry = inside
    flow_coalesceexpr = flow_minmaxexpr = flow_arrayexpr = flow_arraycoerceexpr = flow_rowexpr = inside
    flow_convertrowtypeexpr = flow_namedargexpr = flow_fieldstore = inside

    def flow_var(self, node: Node, query: Query) -> Flow:
        owner = query.up(number(node, "varlevelsup"))
        return self.column(owner, number(node, "varno"), number(node, "varattno"))

    def column(self, owner: Query, varno: int, attno: int) -> Flow:
        rte = owner.rte(varno)
        if attno < 0:
            return {}
        if attno == 0:
            return join({}, *(self.column(owner, varno, one) for one in self.attributes(owner, rte)))
        key = (id(owner.node), varno, attno)
        if key in self.visiting:
            return {}  # a recursive query: what it adds to itself is there already
        self.visiting.add(key)
        try:
            return self.column_of(owner, rte, attno)
        finally:
            self.visiting.discard(key)

    def attributes(self, owner: Query, rte: Node) -> list[int]:
        if number(rte, "rtekind") == RTE_RELATION:
            return self.names.columns[number(rte, "relid")]
        return list(range(1, len(items(rte["eref"], "colnames")) + 1))

    def column_of(self, owner: Query, rte: Node, attno: int) -> Flow:
        kind = number(rte, "rtekind")
        conflict = owner.node.get("onConflict")
        if conflict is not None and number(conflict, "exclRelIndex") and rte is owner.rte(number(conflict, "exclRelIndex")):
            # EXCLUDED is the row that was to be inserted.
            proposed = [entry["expr"] for entry in items(owner.node, "targetList") if number(entry, "resno") == attno]
            return self.flow(proposed, owner)
        if kind == RTE_RELATION:
            return {(number(rte, "relid"), attno): DIRECT}
        if kind == RTE_SUBQUERY:
            return self.output(owner.below(rte["subquery"]), attno)
        if kind == RTE_JOIN:
            return self.flow(items(rte, "joinaliasvars")[attno - 1], owner)
        if kind == RTE_VALUES:
            return join({}, *(self.flow(row[attno - 1], owner) for row in items(rte, "values_lists")))
        if kind == RTE_CTE:
            holder = owner.up(number(rte, "ctelevelsup"))
            query, cte = self.cte(holder, rte["ctename"])
            if attno > len(items(cte, "ctecolnames")):
                return {}
            outputs = query.outputs()
            if attno > len(outputs):
                # SEARCH and CYCLE add columns that are made of the others.
                return derived(join({}, *(self.output(query, at + 1) for at in range(len(outputs)))))
            return self.output(query, attno)
        if kind == RTE_FUNCTION:
            return self.function_column(owner, rte, attno)
        if kind == RTE_TABLEFUNC:
            return derived(self.flow(list(rte["tablefunc"].children()), owner))
        if kind == RTE_RESULT:
            return {}
        raise NotTraced(f"rtekind {kind}")

    def cte(self, holder: Query, name: str) -> tuple[Query, Node]:
        for cte in items(holder.node, "cteList"):
            if cte["ctename"] == name:
                return holder.below(cte["ctequery"]), cte
        raise NotTraced("a CTE that is not there")

    def function_column(self, owner: Query, rte: Node, attno: int) -> Flow:
        return self.flow(function_of(rte, attno), owner)

    def output(self, query: Query, attno: int) -> Flow:
        """A column of a query, its set operations taken together."""
        operations = query.node.get("setOperations")
        if operations is not None:
            return join({}, *(self.column(query, leaf, attno) for leaf in leaves(operations)))
        entries = query.outputs()
        if attno > len(entries):
            raise NotTraced("a column that is not there")
        return self.flow(entries[attno - 1]["expr"], query)

    def flow_funcexpr(self, node: Node, query: Query) -> Flow:
        oid = number(node, "funcid")
        args = items(node, "args")
        name = self.names.functions.get(oid, "")
        if oid < 16384 and name in PRESERVING:
            return self.preserved(args, PRESERVING[name], query)
        if number(node, "funcformat") == 2 and args:
            return join(self.flow(args[:1], query), derived(self.flow(args[1:], query)))  # an implicit cast
        if oid < 16384 and name in ("num_nulls", "num_nonnulls"):
            return counted(self.flow(args, query))
        return derived(self.flow(args, query))

    def preserved(self, args: list, count: int, query: Query) -> Flow:
        return join(self.flow(args[:count], query), derived(self.flow(args[count:], query)))

    def flow_aggref(self, node: Node, query: Query) -> Flow:
        return join(self.aggregated(node, query), self.guards(node.get("aggfilter"), query))

    def guards(self, condition, query: Query) -> Flow:
        """What a FILTER learns beyond equality."""
        mine, self.traced = self.traced, Traced()
        self.condition(condition, query)
        mine, self.traced = self.traced, mine
        return {(*column, GUARD): DERIVED for column, how in mine.filters.items() if how == STRICT}

    def aggregated(self, node: Node, query: Query) -> Flow:
        oid = number(node, "aggfnoid")
        name = self.names.functions.get(oid, "") if oid < 16384 else ""
        if name in ("count",):
            return counted(self.flow(items(node, "args"), query))
        arguments = [entry for entry in items(node, "args") if entry["resjunk"] == "false"]
        # What only sorts the input is a filter, not a part of the value.
        direct = items(node, "aggdirectargs")
        if name in ("mode", "percentile_disc"):
            return join(self.flow(arguments, query), derived(self.flow(direct, query)))
        if name in PRESERVING:
            return self.preserved(arguments, PRESERVING[name], query)
        if name in RANKS:
            return derived(self.flow(direct, query))
        return derived(join(self.flow(arguments, query), self.flow(direct, query)))

    def flow_windowfunc(self, node: Node, query: Query) -> Flow:
        oid = number(node, "winfnoid")
        name = self.names.functions.get(oid, "") if oid < 16384 else ""
        args = items(node, "args")
        if name == "count":
            return counted(self.flow(args, query))
        if name in PRESERVING:
            return self.preserved(args, PRESERVING[name], query)
        if name in LAGGING:
            return join(self.flow(args[:1] + args[2:], query), derived(self.flow(args[1:2], query)))
        return derived(self.flow(args, query))

    def flow_nulltest(self, node: Node, query: Query) -> Flow:
        return counted(self.flow(node["arg"], query))

    def flow_caseexpr(self, node: Node, query: Query) -> Flow:
        conditions = [node["arg"]] + [when["expr"] for when in items(node, "args")]
        results = [when["result"] for when in items(node, "args")] + [node["defresult"]]
        looked_at = {column: flow for column, flow in self.flow(conditions, query).items() if flow != COUNTED}
        return join(derived(looked_at), self.flow(results, query))

    def flow_param(self, node: Node, query: Query) -> Flow:
        if number(node, "paramkind") != 3:
            return {}
        identity = number(node, "paramid")
        sublink = self.multiexpr(query, identity >> 16)
        return self.output(query.below(sublink["subselect"]), identity & 0xFFFF)

    def multiexpr(self, query: Query, identity: int) -> Node:
        for entry in items(query.node, "targetList") + [
            entry for action in items(query.node, "mergeActionList") for entry in items(action, "targetList")
        ] + (items(query.node["onConflict"], "onConflictSet") if query.node.get("onConflict") else []):
            expr = entry["expr"]
            if expr is not None and expr.kind == "SUBLINK" and number(expr, "subLinkId") == identity:
                return expr
        raise NotTraced("MULTIEXPR")

    def flow_sublink(self, node: Node, query: Query) -> Flow:
        kind = number(node, "subLinkType")
        inner = query.below(node["subselect"])
        if kind in (EXISTS, MULTIEXPR):
            # Whether there are rows is what the conditions inside say, and those are looked at as conditions.
            return {}
        shown = [self.output(inner, at + 1) for at in range(len(inner.outputs()))]
        if kind in (EXPR, ARRAY):
            return join({}, *shown)
        return derived(join(self.flow(node["testexpr"], query), *shown))

    def flow_fieldselect(self, node: Node, query: Query) -> Flow:
        arg, query = self.composite(node["arg"], query)
        if arg.kind == "VAR" and number(arg, "varattno") == 0:
            owner = query.up(number(arg, "varlevelsup"))
            return self.column(owner, number(arg, "varno"), number(node, "fieldnum"))
        if arg.kind == "ROWEXPR" and number(node, "fieldnum") <= len(items(arg, "args")):
            return self.flow(items(arg, "args")[number(node, "fieldnum") - 1], query)
        return self.flow(arg, query)

    def composite(self, node: Node, query: Query, left: int = 20) -> tuple[Node, Query]:
        """A composite value, followed through sub-queries to where it is put together."""
        if node.kind != "VAR" or number(node, "varattno") <= 0 or left == 0:
            return node, query
        owner = query.up(number(node, "varlevelsup"))
        rte, attno = owner.rte(number(node, "varno")), number(node, "varattno")
        kind = number(rte, "rtekind")
        if kind == RTE_JOIN:
            return self.composite(items(rte, "joinaliasvars")[attno - 1], owner, left - 1)
        if kind == RTE_SUBQUERY:
            inner = owner.below(rte["subquery"])
            entry = self.output_entry(inner, attno)
            if isinstance(entry, Node):
                return self.composite(entry, inner, left - 1)
        return node, query

    def flow_subscriptingref(self, node: Node, query: Query) -> Flow:
        chosen = [items(node, "refupperindexpr"), items(node, "reflowerindexpr")]
        return join(self.flow(node["refexpr"], query), self.flow(node["refassgnexpr"], query), derived(self.flow(chosen, query)))

    # Conditions, keys, writes: every query of the statement is visited once.

    def visit(self, query: Query):
        node = query.node
        if number(node, "commandType") == CMD_UTILITY:
            raise NotTraced("a utility statement")
        for cte in items(node, "cteList"):
            self.visit(query.below(cte["ctequery"]))
        for rte in items(node, "rtable"):
            kind = number(rte, "rtekind")
            if kind == RTE_RELATION:
                self.traced.relations.add(number(rte, "relid"))
            elif kind == RTE_SUBQUERY:
                self.visit(query.below(rte["subquery"]))
            if rte.get("tablesample") is not None:
                self.look(items(rte["tablesample"], "args"), query, STRICT, "TABLESAMPLE")
        if node.get("jointree") is not None:
            self.conditions(node["jointree"], query)
        self.condition(node.get("havingQual"), query)
        self.keys(query)
        for limit in ("limitOffset", "limitCount"):
            self.look(node.get(limit), query, STRICT, "LIMIT")
        if node.get("setOperations") is not None:
            self.set_operations(node["setOperations"], query)
        self.expressions(query)
        self.written(query)

    def conditions(self, node: Node, query: Query):
        if node.kind == "FROMEXPR":
            for item in items(node, "fromlist"):
                self.conditions(item, query)
            self.condition(node["quals"], query)
        elif node.kind == "JOINEXPR":
            self.conditions(node["larg"], query)
            self.conditions(node["rarg"], query)
            self.condition(node["quals"], query)

    def keys(self, query: Query):
        node = query.node
        entries = {number(entry, "ressortgroupref"): entry for entry in items(node, "targetList")}
        command = number(node, "commandType")
        if command != CMD_SELECT:
            return
        grouped = {number(clause, "tleSortGroupRef") for clause in items(node, "groupClause") + items(node, "distinctClause")}
        # Rows that are compared with each other may come out in their order.
        operations = node.get("setOperations")
        whole = operations is not None and (operations["all"] == "false" or number(operations, "op") != 1)
        clauses = [(clause, False) for clause in items(node, "groupClause") + items(node, "distinctClause")]
        clauses += [(clause, True) for clause in items(node, "sortClause")]
        used = windows_used([value for name, value in node.items() if name not in ("cteList", "rtable")])
        for window in items(node, "windowClause"):
            if number(window, "winref") not in used:
                # Nothing is sorted by it, but its keys are evaluated, and whether that fails tells of them.
                keys = items(window, "partitionClause") + items(window, "orderClause")
                for key in (entries[number(clause, "tleSortGroupRef")]["expr"] for clause in keys):
                    if key.kind != "VAR":
                        self.look(key, query, STRICT, "a window that is evaluated")
                continue
            clauses += [(clause, False) for clause in items(window, "partitionClause")]
            clauses += [(clause, True) for clause in items(window, "orderClause")]
            self.look([window["startOffset"], window["endOffset"]], query, STRICT, "frame")
        for clause, sorts in clauses:
            reference = number(clause, "tleSortGroupRef")
            expr = entries[reference]["expr"]
            if sorts and reference not in grouped and not whole:
                self.look(expr, query, STRICT, "sort")
            else:
                self.compare(expr, query, "group by something computed")

    def set_operations(self, node: Node, query: Query):
        if node.kind != "SETOPERATIONSTMT":
            return
        self.set_operations(node["larg"], query)
        self.set_operations(node["rarg"], query)
        if node["all"] == "false" or number(node, "op") != 1:
            for leaf in leaves(node):
                for attno in range(1, len(items(node, "colTypes")) + 1):
                    self.note(self.column(query, leaf, attno), PERMITTED, "")

    def expressions(self, query: Query):
        """Sub-queries, aggregates' own conditions and keys, and functions, wherever they stand in expressions."""
        waiting = [child for name, value in query.node.items() if name not in ("cteList", "rtable") for child in nodes_of(value)]
        for rte in items(query.node, "rtable"):
            for part in ("functions", "values_lists", "tablefunc", "tablesample"):
                waiting += nodes_of(rte.get(part))
        while waiting:
            node = waiting.pop()
            if node.kind == "QUERY":
                self.visit(query.below(node))
                continue
            if node.kind == "AGGREF":
                self.aggregate(node, query)
            elif node.kind == "WINDOWFUNC":
                self.condition(node.get("aggfilter"), query)
            elif node.kind == "FUNCEXPR" and number(node, "funcid") >= 16384:
                self.traced.functions.add(number(node, "funcid"))
            waiting += node.children()

    def aggregate(self, node: Node, query: Query):
        strict = {column[:2] for column in self.guards(node.get("aggfilter"), query)}
        self.note({column: DIRECT for column in self.flow(node.get("aggfilter"), query) if column not in strict and len(column) == 2}, PERMITTED, "FILTER")
        if number(node, "aggfnoid") >= 16384:
            self.traced.functions.add(number(node, "aggfnoid"))
        entries = {number(entry, "ressortgroupref"): entry for entry in items(node, "args")}
        distinct = {number(clause, "tleSortGroupRef") for clause in items(node, "aggdistinct")}
        # The commonest value, or the one at some place, is shown as a value is; it is not told how others compare with it.
        for clause in items(node, "aggorder") if node["aggkind"] == "n" else []:
            reference = number(clause, "tleSortGroupRef")
            if reference not in distinct:
                self.look(entries[reference]["expr"], query, STRICT, "sort in an aggregate")
        for reference in distinct:
            self.look(entries[reference]["expr"], query, PERMITTED, "")

    def written(self, query: Query):
        node = query.node
        command = number(node, "commandType")
        if command not in (CMD_INSERT, CMD_UPDATE, CMD_MERGE):
            return
        target = number(query.rte(number(node, "resultRelation")), "relid")
        entries = items(node, "targetList") if command != CMD_MERGE else []
        for action in items(node, "mergeActionList"):
            self.condition(action["qual"], query)
            entries = entries + items(action, "targetList")
        conflict = node.get("onConflict")
        if conflict is not None:
            self.condition(conflict["onConflictWhere"], query)
            entries = entries + items(conflict, "onConflictSet")
        for entry in entries:
            if entry["resjunk"] == "false":
                self.traced.writes.append((target, number(entry, "resno"), self.flow(entry["expr"], query)))

    # How much a condition can learn.

    def look(self, node, query: Query, how: int, why: str):
        self.note(self.flow(node, query), how, why)

    def note(self, flow: Flow, how: int, why: str):
        for column, strength in flow.items():
            if strength == COUNTED:
                continue
            if len(column) == 3:
                column, how, why = column[:2], STRICT, "a FILTER in a condition"
            if how > self.traced.filters.get(column, 0):
                self.traced.filters[column] = how
                self.traced.why[column] = why

    def condition(self, node, query: Query):
        """AND, OR and NOT are taken apart; the rest compares."""
        if node is None:
            return
        if isinstance(node, list):
            for part in node:
                self.condition(part, query)
        elif node.kind == "BOOLEXPR":
            self.condition(items(node, "args"), query)
        elif node.kind == "BOOLEANTEST":
            self.condition(node["arg"], query)
        elif node.kind == "SUBLINK" and number(node, "subLinkType") == EXISTS:
            pass
        elif node.kind in ("OPEXPR", "DISTINCTEXPR", "SCALARARRAYOPEXPR"):
            self.comparison(node, query)
        elif node.kind == "SUBLINK" and number(node, "subLinkType") == ANY:
            self.in_query(node, query)
        else:
            self.look(node, query, STRICT, node.kind)

    def comparison(self, node: Node, query: Query):
        args = items(node, "args")
        symbol = self.names.operators.get(number(node, "opno"), "?")
        equal = symbol in ("=", "<>")
        # What a parameter holds is looked at when it is bound.
        plain = args[-1].kind == "PARAM" or args[-1].kind == "CONST" and not wild(args[-1])
        like = symbol in ("~~", "~~*", "!~~", "!~~*") and plain
        if len(args) == 2 and (equal or like):
            for side in args:
                self.compare(side, query, symbol)
        else:
            self.look(args, query, STRICT, symbol)

    def in_query(self, node: Node, query: Query):
        inner = query.below(node["subselect"])
        test = node["testexpr"]
        shown = [self.output_entry(inner, at + 1) for at in range(len(inner.outputs()))]
        tests = items(test, "args") if test is not None and test.kind == "BOOLEXPR" else [test]
        if all(one is not None and one.kind == "OPEXPR" and self.names.operators.get(number(one, "opno")) == "=" for one in tests):
            for side in [side for one in tests for side in items(one, "args")]:
                self.compare(side, query, "IN a query")
            for entry in shown:
                self.compare(entry, inner, "IN a query")
        else:
            self.look(test, query, STRICT, "IN a query")
            self.look(shown, inner, STRICT, "IN a query")

    def output_entry(self, query: Query, attno: int) -> Node | list[Node]:
        """The expression of an output; of a set operation one for each arm."""
        if query.node.get("setOperations") is not None:
            return [var(leaf, attno) for leaf in leaves(query.node["setOperations"])]
        return query.outputs()[attno - 1]["expr"]

    def compare(self, node, query: Query, why: str, left: int = 60):
        """A value that is compared for equality: stored columns in it may be, what is computed from them may not."""
        if node is None or left == 0:
            self.look(node, query, STRICT, why)
        elif isinstance(node, list):
            for part in node:
                self.compare(part, query, why, left - 1)
        elif node.kind in ("RELABELTYPE", "COLLATEEXPR", "COERCETODOMAIN", "COERCEVIAIO", "FIELDSELECT", "TARGETENTRY", "ARRAYCOERCEEXPR"):
            self.compare(node["expr"] if node.kind == "TARGETENTRY" else node["arg"], query, why, left - 1)
        elif node.kind in ("ROWEXPR", "COALESCEEXPR"):
            self.compare(items(node, "args"), query, why, left - 1)
        elif node.kind == "ARRAYEXPR":
            self.compare(items(node, "elements"), query, why, left - 1)
        elif node.kind == "CASEEXPR":
            results = [when["result"] for when in items(node, "args")] + [node["defresult"]]
            self.compare(results, query, why, left - 1)
            self.look([node["arg"]] + [when["expr"] for when in items(node, "args")], query, STRICT, "CASE")
        elif node.kind == "FUNCEXPR" and self.names.functions.get(number(node, "funcid")) in ("lower", "upper", "initcap", "concat", "concat_ws"):
            self.compare(items(node, "args"), query, why, left - 1)
        elif node.kind == "OPEXPR" and self.names.operators.get(number(node, "opno")) == "||":
            self.compare(items(node, "args"), query, why, left - 1)
        elif node.kind == "SUBSCRIPTINGREF":
            self.compare(node["refexpr"], query, why, left - 1)
            self.look([items(node, "refupperindexpr"), items(node, "reflowerindexpr")], query, STRICT, why)
        elif node.kind == "WINDOWFUNC" and self.names.functions.get(number(node, "winfnoid")) in LAGGING | {"first_value", "last_value"}:
            self.compare(items(node, "args"), query, why, left - 1)
        elif node.kind == "AGGREF" and self.names.functions.get(number(node, "aggfnoid")) == "array_agg":
            self.compare(items(node, "args"), query, why, left - 1)
        elif node.kind == "FUNCEXPR" and self.names.functions.get(number(node, "funcid")) in ("unnest", "array_append", "array_prepend", "array_cat"):
            self.compare(items(node, "args"), query, why, left - 1)
        elif node.kind in ("CONST", "PARAM", "SQLVALUEFUNCTION"):
            pass
        elif node.kind == "SUBLINK" and number(node, "subLinkType") in (EXPR, ARRAY):
            self.compare(self.output_entry(query.below(node["subselect"]), 1), query.below(node["subselect"]), why, left - 1)
        elif node.kind == "VAR":
            self.compare_var(node, query, why, left)
        else:
            self.look(node, query, STRICT, why)

    def compare_var(self, node: Node, query: Query, why: str, left: int):
        owner = query.up(number(node, "varlevelsup"))
        varno, attno = number(node, "varno"), number(node, "varattno")
        rte = owner.rte(varno)
        kind = number(rte, "rtekind")
        if attno == 0:
            for one in self.attributes(owner, rte):
                self.compare(var(varno, one), owner, why, left - 1)
        elif attno < 0:
            pass
        elif kind == RTE_JOIN:
            self.compare(items(rte, "joinaliasvars")[attno - 1], owner, why, left - 1)
        elif kind == RTE_SUBQUERY:
            inner = owner.below(rte["subquery"])
            self.compare(self.output_entry(inner, attno), inner, why, left - 1)
        elif kind == RTE_FUNCTION:
            called = function_of(rte, attno)
            if called is not None:
                self.compare(called, owner, why, left - 1)
        elif kind == RTE_VALUES:
            self.compare([row[attno - 1] for row in items(rte, "values_lists")], owner, why, left - 1)
        elif kind == RTE_CTE:
            inner, _ = self.cte(owner.up(number(rte, "ctelevelsup")), rte["ctename"])
            key = (id(inner.node), attno)
            if key in self.visiting or attno > len(inner.outputs()):
                return
            self.visiting.add(key)
            self.compare(self.output_entry(inner, attno), inner, why, left - 1)
            self.visiting.discard(key)
        else:
            self.look(node, query, PERMITTED if kind == RTE_RELATION else STRICT, why)


def var(varno: int, attno: int) -> Node:
    made = Node("VAR")
    made.update(varno=str(varno), varattno=str(attno), varlevelsup="0")
    return made


def function_of(rte: Node, attno: int) -> Node | None:
    """The call that a column of ROWS FROM is of; None: the number of WITH ORDINALITY."""
    for function in items(rte, "functions"):
        count = number(function, "funccolcount")
        if attno <= count:
            return function["funcexpr"]
        attno -= count
    return None


def leaves(node: Node) -> list[int]:
    """The arms of a set operation, as indexes into the range table."""
    if node.kind == "RANGETBLREF":
        return [number(node, "rtindex")]
    return leaves(node["larg"]) + leaves(node["rarg"])


def windows_used(value) -> set[int]:
    """The windows that calls in these parts of a query are about, those of sub-queries left out."""
    found: set[int] = set()
    waiting = nodes_of(value)
    while waiting:
        node = waiting.pop()
        if node.kind == "WINDOWFUNC":
            found.add(number(node, "winref"))
        if node.kind != "QUERY":
            waiting += node.children()
    return found


def nodes_of(value) -> list[Node]:
    if isinstance(value, Node):
        return [value]
    if isinstance(value, list):
        return [node for part in value for node in nodes_of(part)]
    return []


def wild(const: Node) -> bool:
    """Whether a text constant has something in it that LIKE gives a meaning to."""
    value = const.get("constvalue")
    if not isinstance(value, list):
        return False
    data = bytes(int(byte) & 0xFF for byte in value[2:-1])
    return any(special in data[4:] for special in (b"%", b"_", b"\\"))
