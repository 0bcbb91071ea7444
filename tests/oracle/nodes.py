"""Reads the text form of PostgreSQL's node trees (`outfuncs.c`): what `debug_print_parse` prints and `pg_rewrite` holds."""

import re

TOKEN = re.compile(r"[(){}]|(?:\\.|[^\s(){}\\])+", re.DOTALL)


class Node(dict):
    """A node: its fields by name, and its `kind` such as QUERY or VAR."""

    __slots__ = ("kind",)

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def children(self):
        """The nodes right below."""
        for value in self.values():
            yield from below(value)


def below(value):
    """The nodes in a field's value."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from below(part)


def parse(text: str):
    """The value that a text stands for: a Node, a list, a string, or None for `<>`."""
    tokens = TOKEN.findall(text)
    value, at = _value(tokens, 0)
    if at != len(tokens):
        raise ValueError(f"more behind the tree: {tokens[at:at + 5]}")
    return value


def _value(tokens: list[str], at: int):
    token = tokens[at]
    if token == "{":
        return _node(tokens, at + 1)
    if token == "(":
        return _list(tokens, at + 1)
    return (None if token == "<>" else token), at + 1


def _node(tokens: list[str], at: int):
    node = Node(tokens[at])
    at += 1
    while tokens[at] != "}":
        field = tokens[at]
        if not field.startswith(":"):
            raise ValueError(f"a field was expected, not {field}")
        at += 1
        values = []
        while tokens[at] != "}" and not tokens[at].startswith(":"):
            value, at = _value(tokens, at)
            values.append(value)
        node[field[1:]] = values[0] if len(values) == 1 else values
    return node, at + 1


def _list(tokens: list[str], at: int):
    values = []
    while tokens[at] != ")":
        value, at = _value(tokens, at)
        values.append(value)
    # Lists of numbers begin with a letter that says which sort.
    if values and values[0] in ("i", "o", "x", "b") and all(isinstance(part, str) for part in values):
        values = [int(part) for part in values[1:]]
    return values, at + 1


def unescaped(token: str | None) -> str | None:
    """A name as it is: without escapes, and without the quotes of a string node."""
    if token is None:
        return None
    plain = re.sub(r"\\(.)", r"\1", token, flags=re.DOTALL)
    return plain[1:-1] if len(plain) > 1 and plain[0] == plain[-1] == '"' else plain


def number(node: Node, field: str) -> int:
    """A field that is a number."""
    return int(node[field])


def items(node: Node, field: str) -> list:
    """A field that is a list; NIL is the empty list."""
    return node.get(field) or []
