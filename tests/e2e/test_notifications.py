"""Notifications: a payload that a function or trigger may have made of tagged values does not reach who sees masks."""

import pytest

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
