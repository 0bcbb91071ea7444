"""The names in a statement as PostgreSQL's own grammar reads them (libpg_query, by pglast)."""

import json
from collections import Counter

import pglast.parser

# Statements that hold a query: where in the tree.
QUERIES = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")
AROUND = {
    "ExplainStmt": "query", "DeclareCursorStmt": "query", "PrepareStmt": "query", "CreateTableAsStmt": "query", "ViewStmt": "query",
    "CopyStmt": "query",
}


class Names:
    """Names by what they are there for, as `analysis_lines --names` counts them."""

    def __init__(self):
        self.relations: Counter = Counter()
        self.columns: Counter = Counter()
        self.functions: Counter = Counter()
        self.targets: Counter = Counter()
        self.labels: Counter = Counter()
        self.items = 0
        self.words: set[str] = set()
        """All of these, and types: each has to be among the words that the lexer finds."""


def statements(text: str) -> list[tuple[str, dict]] | None:
    """The kind and tree of each statement; None: PostgreSQL does not read it."""
    try:
        tree = pglast.parser.parse_sql_json(text)
    except (pglast.parser.ParseError, UnicodeError, ValueError):
        return None
    found = []
    for raw in json.loads(tree)["stmts"]:
        ((kind, node),) = raw["stmt"].items()
        found.append((kind, node))
    return found


def query(kind: str, node: dict) -> tuple[str, dict] | None:
    """The query that a statement is or holds."""
    if kind in AROUND:
        inner = node.get(AROUND[kind])
        if inner is None:
            return None
        ((kind, node),) = inner.items()
    return (kind, node) if kind in QUERIES else None


def names(kind: str, node: dict) -> Names:
    """All names in a tree."""
    found = Names()
    _node(found, kind, node)
    return found


def _strings(values: list) -> list[str]:
    return [value["String"].get("sval", "") if "String" in value else "*" if "A_Star" in value else "" for value in values]


def _node(found: Names, kind: str, node: dict):
    if kind == "MultiAssignRef" and node.get("colno") != 1:
        return  # the source of (a, b) = ... hangs on each of its columns
    if "relname" in node and "relpersistence" in node:
        parts = [node[part] for part in ("catalogname", "schemaname", "relname") if part in node]
        found.words.update(parts)
        found.relations[("" if node.get("inh") else "only ") + ".".join(parts)] += 1
    elif kind == "ColumnRef":
        parts = _strings(node["fields"])
        found.words.update(part for part in parts if part != "*")
        found.columns[".".join(parts)] += 1
    elif "funcname" in node:
        parts = _strings(node["funcname"])
        if node.get("funcformat") == "COERCE_EXPLICIT_CALL" and parts[0] != "pg_catalog":
            found.words.update(parts)
            found.functions[".".join(parts)] += 1
    elif "names" in node and "typemod" in node:
        parts = _strings(node["names"])
        if parts[0] != "pg_catalog":
            found.words.update(parts)
    elif kind == "CommonTableExpr":
        _label(found, node["ctename"])
        for column in _strings(node.get("aliascolnames", [])):
            _label(found, column)
    elif "aliasname" in node:
        _label(found, node["aliasname"])
        for column in _strings(node.get("colnames", [])):
            _label(found, column)
    elif kind == "JoinExpr":
        for column in _strings(node.get("usingClause", [])):
            _label(found, column)
    for field, value in node.items():
        if field in ("lockingClause", "typmods"):
            continue  # a column in a type's modifiers is taken for a word: `length(email) 'x'`
        _field(found, kind, field, value)


def _label(found: Names, name: str):
    found.labels[name] += 1
    found.words.add(name)


def _field(found: Names, kind: str, field: str, value):
    if isinstance(value, dict):
        # A field whose type is fixed has the node itself; others say what they are.
        if len(value) == 1 and next(iter(value))[0].isupper():
            ((inner, node),) = value.items()
            if isinstance(node, dict):
                _node(found, inner, node)
        else:
            _node(found, field, value)
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, dict) and "ResTarget" in part:
                _target(found, kind, field, part["ResTarget"])
            elif isinstance(part, dict):
                _field(found, kind, field, part)


def _target(found: Names, kind: str, field: str, node: dict):
    name = node.get("name")
    if (kind == "SelectStmt" or kind in ("larg", "rarg")) and field == "targetList" or field == "exprs":
        found.items += 1
        # A label on a star is accepted and means nothing.
        if name is not None and '"A_Star"' not in json.dumps(node.get("val")):
            _label(found, name)
    elif field in ("cols", "targetList") and name is not None:
        found.targets[name] += 1
        found.words.add(name)
    for part, value in node.items():
        _field(found, "ResTarget", part, value)
