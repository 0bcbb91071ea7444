"""What clients ask for at the start, and fast-path calls among other messages: answered as PostgreSQL answers them, byte for byte."""

import struct

import pytest

from harness import wire
from harness.session200 import ABS_INT4, level
from harness.wire import Raw, bind, execute, flush, frame, parse, query, sync

ASKED = "SELECT current_setting('search_path'), current_setting('work_mem'), current_setting('application_name'), current_setting('my.own', true)"

OPTIONS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"options": ""},
    "blanks": {"options": "   "},
    "one": {"options": "-c work_mem=1234kB"},
    "without a blank": {"options": "-cwork_mem=1234kB"},
    "with dashes": {"options": "--work-mem=1234kB"},
    "several": {"options": "-c work_mem=1234kB -c my.own=x  --search_path=public -c application_name=by_option"},
    "escaped blanks": {"options": r"-c my.own=two\ words -c search_path=public,\ pg_temp"},
    "escaped backslashes": {"options": r"-c my.own=a\\b\\\\c\ d"},
    "a backslash at the end": {"options": "-c my.own=a\\"},
    "tabs and newlines": {"options": "-c\tmy.own=a\n-c work_mem=1234kB"},
    "the same twice": {"options": "-c my.own=first -c my.own=last"},
    "against a parameter": {"options": "-c application_name=by_option", "application_name": "by parameter"},
    "letters of any case": {"options": "-c WORK_MEM=1234kB", "APPLICATION_NAME": "shouted"},
    "a value with equals signs": {"options": "-c my.own=a=b=c"},
    "an empty value": {"options": "-c my.own="},
    "a value that is not ASCII": {"options": "-c my.own=größe"},
    "quotes": {"options": "-c my.own='x' -c search_path=\"$user\",public"},
    "an unknown setting": {"options": "-c no_such_setting=1"},
    "a setting without a value": {"options": "-c work_mem"},
    "a value that it can not have": {"options": "-c work_mem=much"},
    "a setting of the server": {"options": "-c port=1"},
    "a setting of superusers": {"options": "-c log_statement=all"},
    "an unknown option": {"options": "-Z"},
    "an option of the server": {"options": "-p 1234"},
    "debugging": {"options": "-d 2"},
    "work memory": {"options": "-S 1234"},
    "no option at all": {"options": "nonsense"},
    "isolation": {"options": "-c default_transaction_isolation=serializable"},
    "geqo": {"options": "-c geqo=off -c statement_timeout=5min"},
    "encoding": {"client_encoding": "LATIN1"},
    "encoding by option": {"options": "-c client_encoding=LATIN1"},
    "an unknown encoding": {"client_encoding": "KLINGON"},
    "a parameter of an extension": {"my.own": "by parameter"},
    "an unknown parameter": {"no_such_parameter": "x"},
    "date style": {"DateStyle": "German, DMY", "TimeZone": "Europe/Vienna", "IntervalStyle": "iso_8601"},
    "replication off": {"replication": "off"},
}


def begun(place, parameters: dict[str, str]) -> list:
    client = Raw(place.host, place.port)
    client.send(wire.startup("sam", "people", **parameters))
    try:
        client.until("Z")
        client.ask(query(ASKED))
        client.ask(query("SHOW client_encoding"))
    except wire.Closed:
        pass
    client.close()
    return level(client.frames, {})


@pytest.mark.parametrize("policy", ["empty.yaml", "elsewhere.yaml"])
@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_asked_for_at_the_start_is_answered_as_directly(pg, front, name, policy):
    assert begun(front(policy), OPTIONS[name]) == begun(pg, OPTIONS[name])


def call(function: int, *values: bytes, result: int = 1) -> bytes:
    arguments = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return frame("F", struct.pack("!IHH", function, 1, 1) + struct.pack("!H", len(values)) + arguments + struct.pack("!H", result))


MINUS = call(ABS_INT4, struct.pack("!i", -5))
SELECT = parse("", "SELECT 1") + bind("", "") + execute()

CALLS = {
    "alone": MINUS,
    "twice": MINUS + MINUS,
    "between queries": query("SELECT 1") + MINUS + query("SELECT 2"),
    "behind a pipeline": SELECT + sync() + MINUS + SELECT + sync(),
    "inside a pipeline": SELECT + MINUS + SELECT + sync(),
    "inside a pipeline with a flush": SELECT + flush() + MINUS + flush() + SELECT + sync(),
    "in a pipeline that has failed": parse("", "nonsense") + MINUS + sync() + MINUS,
    "in a transaction": query("BEGIN") + MINUS + query("SELECT 1/0") + MINUS + query("ROLLBACK") + MINUS,
    "one that fails": call(ABS_INT4, struct.pack("!i", -(2**31))) + query("SELECT 1"),
    "one that fails inside a pipeline": SELECT + call(ABS_INT4, struct.pack("!i", -(2**31))) + SELECT + sync(),
    "in text form": call(ABS_INT4, struct.pack("!i", -7), result=0),
    "of a value of another length": call(ABS_INT4, b"\0"),
    "with NULL": frame("F", struct.pack("!IHHHiH", ABS_INT4, 1, 1, 1, -1, 1)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_fast_path_call_is_answered_in_its_turn(pg, front, name):
    answers = []
    for place in (pg, front("empty.yaml")):
        client = Raw(place.host, place.port)
        client.login("sam", "people")
        client.frames.clear()
        client.send(CALLS[name] + query("SELECT 'after'") + wire.terminate())
        answers.append(level(client.until_closed(), {}))
    assert answers[0] == answers[1]
    assert len(answers[0]) > 3
