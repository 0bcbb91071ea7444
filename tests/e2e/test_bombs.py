"""Statements made to exhaust a parser end in a clear error, and other sessions go on."""

import pytest

from harness.wire import Closed, Raw, query

# Text, and the SQLSTATE that it ends with; None: it is answered.
BOMBS = {
    "10,000 parentheses": ("SELECT " + "(" * 10_000 + "email" + ")" * 10_000 + " FROM person", "0A000"),
    "10,000 sub-selects": ("SELECT * FROM " + "(SELECT * FROM " * 10_000 + "person" + ") s" * 10_000, "0A000"),
    "10,000 NOT": ("SELECT " + "NOT " * 10_000 + "true, email FROM person", "0A000"),
    "a million operators": ("SELECT email" + "||'a'" * 1_000_000 + " FROM person", "0A000"),
    "16 MiB of text": ("SELECT email, '" + "x" * (16 << 20) + "' FROM person", "0A000"),
    "100,000 semicolons": ("SELECT email FROM person" + ";" * 100_000, None),
    "a NUL": ("SELECT email\0 FROM person", "08P01"),
}


@pytest.mark.proxy
@pytest.mark.parametrize("name", list(BOMBS))
def test_it_ends_in_a_clear_error_and_others_go_on(front, name):
    text, expected = BOMBS[name]
    target = front("people.yaml")
    other, client = Raw(target.host, target.port), Raw(target.host, target.port)
    for one in (other, client):
        one.login("sam", "people")
    try:
        got = client.ask(query(text))
    except Closed as closed:
        assert expected == "08P01" and "'E'" in str(closed)
    else:
        assert [one.fields()["C"] for one in got if one.tag == "E"] == ([expected] if expected else [])
        assert not any(b"jane@example.com" in one.body for one in got)
    assert [one.tag for one in other.ask(query("SELECT 1"))] == ["T", "D", "C", "Z"]
    for one in (other, client):
        one.close()
