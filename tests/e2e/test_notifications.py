"""What the server says unasked: it arrives where it was said, but for payloads that a function or trigger may have made of
tagged values: those do not reach who sees masks."""

import pytest

from harness import wire
from harness.relay import Relay
from harness.wire import Raw, query

MADE = """
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('changed', row_to_json(NEW)::text); RETURN NEW; END $$;
CREATE TRIGGER tell AFTER UPDATE ON person FOR EACH ROW EXECUTE FUNCTION tell();
"""


def heard(target, user: str, database: str) -> list[bytes]:
    """What a listener gets when somebody else has changed a row."""
    listener, changer = Raw(target.host, target.port), Raw(target.host, target.port)
    for one, name in ((listener, user), (changer, "bella")):
        one.login(name, database)
    listener.ask(query("LISTEN changed"))
    changer.ask(query("UPDATE person SET city = 'Bonn' WHERE id = 1"))
    got = [one.body for one in listener.until("A") if one.tag == "A"]
    for one in (listener, changer):
        one.close()
    return got


@pytest.mark.proxy
def test_the_payload_of_a_trigger_reaches_only_who_sees_everything(own_front, pg):
    pg.psql("CREATE DATABASE telling TEMPLATE people_template")
    pg.psql(MADE, database="telling")
    target = own_front("people.yaml", database="telling")
    (masked,), (clear,) = heard(target, "sam", "telling"), heard(target, "bella", "telling")
    assert masked[4:] == b"changed\0\0"
    assert b"jane@example.com" in clear


@pytest.mark.proxy
def test_where_no_such_function_is_payloads_pass(own_front, pg):
    pg.psql("CREATE DATABASE quiet TEMPLATE people_template")
    target = own_front("people.yaml", database="quiet")
    client = Raw(target.host, target.port)
    client.login("sam", "quiet")
    got = client.ask(query("LISTEN jobs; NOTIFY jobs, 'job 7'"))
    assert [one.body[4:] for one in got if one.tag == "A"] == [b"jobs\0job 7\0"]
    client.close()


class Inserted:
    """The server's bytes with what it may say at any time: behind each message of one of these types."""

    def __init__(self, tags: bytes):
        self.tags, self.buffer, self.count = tags, b"", 0

    def __call__(self, data: bytes) -> bytes:
        self.buffer += data
        out = b""
        while len(self.buffer) >= 5 and len(self.buffer) > (length := int.from_bytes(self.buffer[1:5], "big")):
            message, self.buffer = self.buffer[: length + 1], self.buffer[length + 1 :]
            out += message
            if message[0] in self.tags:
                self.count += 1
                out += wire.frame("A", self.count.to_bytes(4, "big") + b"jobs\0job\0")
                out += wire.frame("N", b"SNOTICE\0VNOTICE\0C00000\0Mof a moment\0Fguc.c\0L1\0Rnone\0\0")
                out += wire.frame("S", b"application_name\0" + str(self.count).encode() + b"\0")
        return out


SCRIPT = (query("SELECT id, body FROM note ORDER BY id") + wire.parse("", "SELECT g FROM generate_series(1, 5) g") + wire.bind("", "")
          + wire.execute("", 2) + wire.execute() + wire.sync() + query("SELECT 1/0") + query("COPY note TO STDOUT") + query("SELECT 'the end'"))


@pytest.mark.proxy
@pytest.mark.parametrize(("policy", "tags"), [("empty.yaml", b"TDCZE12sHdcI"), ("elsewhere.yaml", b"DCdE"), ("people.yaml", b"DCdE")])
def test_what_the_server_says_in_between_arrives_where_it_was_said(pg, own_front, policy, tags):
    answers = []
    with Relay(pg.host, pg.port) as relay:
        target = own_front(policy, upstream={"host": relay.host, "port": relay.port})
        for place in (relay, target):
            relay.replies = Inserted(tags)
            client = Raw(place.host, place.port)
            client.login("sam", "people")
            got = client.ask(SCRIPT, *"ZZZZZ")
            answers.append([(one.tag, one.body) for one in got])
            client.close()
    assert answers[0] == answers[1]
