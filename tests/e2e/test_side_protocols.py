"""Ways into the server that are no statements: fast-path calls, replication; and settings, none of which widens what is shown."""

import struct

import pytest

from harness.wire import Raw, bind, describe, execute, frame, outline, parse, query, startup, sync

pytestmark = pytest.mark.proxy

VALUES = (b"JANE@EXAMPLE", b"OC@EXAMPLE")


def hides(frames) -> bool:
    everything = b"".join(one.body for one in frames).upper()
    return not any(value in everything for value in VALUES)


def call(function: int, *arguments: bytes | None, formats: tuple[int, ...] = (), result: int = 0) -> bytes:
    body = struct.pack(f"!IH{len(formats)}H", function, len(formats), *formats) + struct.pack("!H", len(arguments))
    for one in arguments:
        body += struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one
    return frame("F", body + struct.pack("!H", result))


@pytest.fixture(scope="module")
def reader(pg) -> int:
    """A function that reads a tagged column, in the server's own right: its OID."""
    pg.psql("CREATE FUNCTION public.mail_of(int) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT email FROM public.person WHERE id = $1'", database="people")
    yield int(pg.psql("SELECT 'public.mail_of(int)'::regprocedure::oid", database="people"))
    pg.psql("DROP FUNCTION public.mail_of(int)", database="people")


def shapes(function: int) -> dict[str, bytes]:
    one = struct.pack("!i", 1)
    return {
        "text": call(function, b"1"),
        "binary": call(function, one, formats=(1,), result=1),
        "one format for all": call(function, one, formats=(1,)),
        "a format for each": call(function, b"1", formats=(0,)),
        "too many formats": call(function, b"1", formats=(0, 0, 0)),
        "an unknown format": call(function, b"1", formats=(7,), result=9),
        "NULL": call(function, None),
        "no argument": call(function),
        "too many arguments": call(function, b"1", b"2", b"3"),
        "a built-in function": call(870, b"X"),
        "lo_creat": call(957, b"-1"),
        "query_to_xml": call(2924, b"SELECT * FROM person", b"t", b"t", b""),
        "no such function": call(999_999, b"1"),
        "function 0": call(0),
        "the largest OID": call(2**32 - 1),
        "an empty body": frame("F", b""),
        "a short body": frame("F", b"\0\0"),
        "an argument longer than the body": frame("F", struct.pack("!IHHi", function, 0, 1, 1000) + b"1"),
        "bytes left over": frame("F", call(function, b"1")[5:] + b"more"),
        "a negative number of arguments": frame("F", struct.pack("!IHhH", function, 0, -1, 0)),
    }


# What the server refuses itself, before it has read a value, and what computes something of its argument alone.
AS_DIRECTLY = {"too many formats", "an unknown format", "no argument", "too many arguments", "a built-in function",
               "an empty body", "a short body", "an argument longer than the body", "a negative number of arguments"}


@pytest.mark.parametrize("user", ["sam", "ana", "bella", "postgres"])
def test_no_fast_path_call_of_any_shape_reaches_a_function(pg, front, reader, user):
    target = front("people.yaml")
    client, directly = Raw(target.host, target.port), Raw(pg.host, pg.port)
    client.login(user, "people")
    directly.login(user, "people")
    for name, message in shapes(reader).items():
        if name in AS_DIRECTLY:
            assert client.ask(message) == directly.ask(message), name
            continue
        if name == "lo_creat" and user == "bella":
            # Who sees everything in clear may use large objects.
            continue
        got = client.ask(message)
        assert [line[:7] for line in outline(got)] == ["E 42501", "Z I"], name
        assert hides(got) and "fast-path" in next(one.fields()["M"] for one in got if one.tag == "E"), name
    client.close()
    directly.close()


def test_large_objects_are_called_by_the_fast_path_in_any_pieces(front):
    target = front("people.yaml")
    for chunk in (None, 1):
        client = Raw(target.host, target.port, chunk=chunk)
        client.login("bella", "people")
        assert outline(client.ask(query("BEGIN") + call(957, struct.pack("!i", -1), formats=(1,), result=1) + query("ROLLBACK"), *"ZZZ"))[-1] == "Z I"
        got = client.ask(call(957, struct.pack("!i", -1), formats=(1,), result=1))
        assert [one.tag for one in got] == ["V", "Z"]
        client.close()


def test_a_refused_fast_path_call_leaves_the_conversation_in_step(front, reader):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    message = call(reader, b"1")
    behind = parse("", "SELECT 1") + bind("", "") + execute()
    for data, ready in ((query("BEGIN") + message + query("SELECT 1") + query("ROLLBACK"), 4), (message * 5, 5),
                        (message + behind + sync() + message + query("SELECT 2"), 4), (behind + sync() + message + behind + sync(), 3)):
        client.send(data)
        got = [one for _ in range(ready) for one in client.until("Z")]
        assert hides(got)
        assert sum(one.tag == "E" for one in got) >= data.count(message) > 0
        assert client.rows("SELECT 7") == [[b"7"]]
    # Behind an error, up to the Sync, the server passes over it, as over everything.
    got = client.ask(parse("", "SELECT 1/0") + bind("", "") + execute() + message + sync())
    assert outline(got)[-1] == "Z I" and hides(got)
    assert client.rows("SELECT 8") == [[b"8"]]
    client.close()


REPLICATION_PARAMETERS = [
    {"replication": value} for value in ("database", "true", "on", "yes", "1", "t", "tr", "y", "DATABASE", "", "2", "maybe", " true")
] + [{"options": "-c x.y=1", "replication": "database"}]


@pytest.mark.parametrize("parameters", REPLICATION_PARAMETERS, ids=str)
@pytest.mark.parametrize("user", ["sam", "bella", "postgres"])
def test_no_spelling_opens_a_replication_connection(front, user, parameters):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.send(startup(user, "people", **parameters))
    assert [one.tag for one in client.until_closed()] == ["E"]


@pytest.mark.parametrize("order", [("false", "database"), ("database", "false", "true"), ("off", "1")])
def test_the_last_replication_parameter_counts(front, order):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    body = startup("postgres", "people")[4:-1] + b"".join(b"replication\0" + value.encode() + b"\0" for value in order) + b"\0"
    client.send(struct.pack("!I", len(body) + 4) + body)
    assert [one.tag for one in client.until_closed()] == ["E"]


REPLICATION_COMMANDS = [
    "IDENTIFY_SYSTEM", "CREATE_REPLICATION_SLOT s LOGICAL pgoutput", "CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL", "DROP_REPLICATION_SLOT s",
    "START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')", "START_REPLICATION 0/0", "TIMELINE_HISTORY 1",
    "BASE_BACKUP", "BASE_BACKUP (CHECKPOINT 'fast', WAL false)", "READ_REPLICATION_SLOT s", "SHOW data_directory",
]


def test_replication_commands_are_no_statements_of_an_ordinary_session(front):
    target = front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("postgres", "people")
    for command in REPLICATION_COMMANDS[:-1]:
        for message in (query(command), parse("", command) + sync()):
            assert [line for line in outline(client.ask(message)) if line[0] != "N"][0][:2] == "E ", command
    for function in ("pg_logical_slot_get_changes", "pg_logical_slot_peek_changes", "pg_logical_slot_get_binary_changes"):
        got = client.ask(query(f"SELECT data FROM {function}('s', NULL, NULL)"))
        assert outline(got)[0] == "E 42501", function
    client.close()


# What might widen a view, and what changes the text that values have.
SETTINGS = {
    "row_security": ["off"],
    "session_authorization": ["bella", "postgres"],
    "role": ["billing", "bella", "postgres", "none"],
    "search_path": ["pg_catalog", "public, pg_temp", "''", '"$user"'],
    "session_replication_role": ["replica", "local"],
    "lo_compat_privileges": ["on"],
    "allow_system_table_mods": ["on"],
    "default_transaction_read_only": ["on", "off"],
    "default_transaction_isolation": ["serializable"],
    "check_function_bodies": ["off"],
    "plan_cache_mode": ["force_generic_plan"],
    "xmlbinary": ["hex"],
    "xmloption": ["document"],
    "datestyle": ["German", "'SQL, DMY'", "'Postgres, MDY'", "'ISO, YMD'"],
    "intervalstyle": ["iso_8601", "postgres_verbose"],
    "bytea_output": ["escape"],
    "extra_float_digits": ["-15", "3"],
    "lc_monetary": ["'C'"],
    "timezone": ["'<+1530>-15:30'"],
    "client_min_messages": ["debug5"],
    "log_parameter_max_length_on_error": ["-1"],
    "backslash_quote": ["on"],
    "escape_string_warning": ["off"],
    "array_nulls": ["off"],
    "transform_null_equals": ["on"],
    "quote_all_identifiers": ["on"],
}
READS = ["SELECT email, phone, born, salary, notes FROM person", "SELECT upper(email) || born::text FROM person", "SELECT p::text FROM person p", "TABLE visit"]
# What is not shown of `born` and `salary`, in any style.
HIDDEN = (b"1984-02-29", b"29.02.1984", b"29/02/1984", b"02-29-1984", b"1984-29-02", b"48250", b"calls in")


@pytest.mark.parametrize("user", ["sam", "postgres"])
@pytest.mark.parametrize("name", list(SETTINGS))
def test_no_setting_widens_what_is_shown(front, name, user):
    target = front("people.yaml")
    for value in SETTINGS[name]:
        ways = {
            "SET": [f"SET {name} = {value}"],
            "SET SESSION": [f"SET SESSION {name} TO {value}"],
            "SET LOCAL": ["BEGIN", f"SET LOCAL {name} = {value}"],
            "set_config()": [f"SELECT set_config('{name}', $v${value.strip(chr(39))}$v$, false)"],
            "options": [],
        }
        if name == "role":
            ways["SET ROLE"] = [f"SET ROLE {value}"]
        if name == "session_authorization":
            ways["SET SESSION AUTHORIZATION"] = [f"SET SESSION AUTHORIZATION {value}"]
        for way, statements in ways.items():
            client = Raw(target.host, target.port)
            parameters = {"options": f"-c {name}={value.strip(chr(39)).replace(' ', chr(92) + ' ')}"} if way == "options" else {}
            client.send(startup(user, "people", **parameters))
            # A setting that the user may not make at the start is an error of the server's.
            got = []
            while (one := client.next()).tag not in "EZ":
                got.append(one)
            if one.tag == "E":
                client.close()
                continue
            for sql in [*statements, *READS]:
                got += client.ask(query(sql))
            for sql in READS:
                got += client.ask(parse("", sql) + bind("", "") + describe("P", "") + execute() + sync())
            assert hides(got), (way, value)
            # Where the setting is not the user's to make, a transaction fails with it.
            failed = any(one.tag == "E" and one.fields()["C"] == "25P02" for one in got)
            assert failed or sum(one.tag == "D" for one in got) >= 20 or name in ("search_path", "role", "session_authorization"), (way, value)
            everything = b"".join(one.body for one in got)
            assert not any(hidden in everything for hidden in HIDDEN), (way, value)
            client.close()


@pytest.mark.parametrize("whose", ["ROLE sam", "DATABASE people", "ROLE sam IN DATABASE people", "ROLE ALL"])
def test_strings_that_escape_by_default_are_not_read_as_those_that_do_not(pg, front, whose):
    target = front("people.yaml")
    hidden = "SELECT 'x\\' , ' || upper(email) FROM person --'"
    pg.psql(f"ALTER {whose} SET standard_conforming_strings = off")
    try:
        client = Raw(target.host, target.port)
        client.login("sam", "people")
        for message in (query(hidden), parse("", hidden) + bind("", "") + execute() + sync(), query(f"PREPARE p AS {hidden}")):
            got = client.ask(message)
            assert hides(got) and outline(got)[0] == "E 0A000", got
        # What does not depend on it goes on.
        got = client.ask(query("SELECT 'it''s', email FROM person WHERE id = 1"))
        assert hides(got) and any(one.tag == "D" for one in got)
        # It may be turned on, and then holds; nobody turns it off again.
        client.rows("SET standard_conforming_strings = on")
        assert client.rows("SELECT 'x\\', 'y'") == [[b"x\\", b"y"]]
        for back in ("SET standard_conforming_strings = off", "SELECT set_config('standard_conforming_strings', 'off', false)"):
            assert outline(client.ask(query(back)))[0] == "E 42501", back
        for back in ("RESET standard_conforming_strings", "SET standard_conforming_strings TO DEFAULT", "RESET ALL", "DISCARD ALL"):
            got = client.ask(query(back)) + client.ask(query(hidden))
            got += client.ask(query("SET standard_conforming_strings = on") + query(back) + query(hidden), "Z", "Z", "Z")
            assert hides(got), back
        client.close()
    finally:
        pg.psql(f"ALTER {whose} RESET standard_conforming_strings")
