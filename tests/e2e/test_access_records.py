"""What the access log says beside reveals, and whose rows they were: complete, and never a value."""

import time

import psycopg
import pytest

from harness.wire import Raw, query

pytestmark = pytest.mark.proxy

SECRETS = ["jane@example.com", "oc@example.org", "48250.75", "Jane Doe", "calls in the evening"]


def connect(target, user: str, **more) -> psycopg.Connection:
    return psycopg.connect(
        host=target.host, port=target.port, user=user, dbname="people", autocommit=True, sslmode="disable", **more
    )


def records(target, kind: str, count: int = 1, seconds: float = 5.0) -> list[dict]:
    """The records of a kind, once there are so many: nobody waits for them to be written."""
    deadline = time.monotonic() + seconds
    while True:
        found = [record for record in target.records() if record["kind"] == kind]
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def test_who_comes_and_goes_is_written_down(own_front):
    target = own_front("people.yaml")
    with connect(target, "bella", application_name="books") as client:
        client.execute("SELECT email FROM person").fetchall()
    (logout,) = records(target, "logout")
    (login,) = records(target, "login")
    assert (login["user"], login["database"], login["method"], login["tls"]) == ("bella", "people", "relayed", False)
    assert login["client_address"] == "127.0.0.1" and login["application_name"] == "books"
    assert (logout["session"], logout["reason"], logout["executions"]) == (login["session"], "client_left", 1)


@pytest.mark.parametrize(
    ("user", "password", "database", "reason"),
    [
        ("scram_user", "wrong horse", "people", "server"),
        ("scram_user", "wrong horse", "nowhere", "protocol"),
        ("nobody_of_that_name", "x", "people", "server"),
        ("u" * 5000, "x", "people", "server"),
    ],
)
def test_who_is_not_let_in_is_written_down(own_front, user, password, database, reason):
    target = own_front("people.yaml")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            host=target.host, port=target.port, user=user, password=password, dbname=database, sslmode="disable"
        )
    (failed,) = records(target, "login_failed")
    assert (failed["user"], failed["database"], failed["reason"]) == (user[:63], database, reason)
    assert failed["client_address"] == "127.0.0.1"
    assert not records(target, "login", 1, 0.1)
    assert "wrong horse" not in target.access_log.read_text()


REFUSED = [
    ("sam", "SELECT id FROM person WHERE email LIKE 'jane%'", "filter", "public.person.email"),
    ("ana", "SELECT notes FROM person", "denied", "public.person.notes"),
    ("sam", "INSERT INTO note SELECT id + 100, email FROM person", "write", "public.person.email"),
    ("sam", "SELECT query_to_xml('SELECT email FROM person', true, true, '')", "function", None),
]


@pytest.mark.parametrize("prepared", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize(("user", "statement", "reason", "column"), REFUSED)
def test_a_refusal_is_written_down_without_its_statement(own_front, user, statement, reason, column, prepared):
    target = own_front("people.yaml")
    with connect(target, user) as client, pytest.raises(psycopg.Error) as refused:
        client.execute(statement, prepare=prepared)
    (record,) = records(target, "refusal")
    assert (record["user"], record["reason"], record["sqlstate"]) == (user, reason, refused.value.sqlstate)
    assert record["object"] == column
    assert (record["rule"] is not None) == (column is not None)
    assert "jane%" not in target.access_log.read_text()


def test_permitted_filters_are_written_down_each_time(own_front):
    target = own_front("people.yaml")
    with connect(target, "sam") as client:
        for address in ("jane@example.com", "oc@example.org"):
            client.execute("SELECT id FROM person WHERE email = %s", (address,)).fetchall()
        client.execute("SELECT id FROM person WHERE email IN ('jane@example.com', 'x')").fetchall()
        client.execute("SELECT id FROM person WHERE full_name = 'Jane Doe'").fetchall()  # sam sees it in clear
    found = records(target, "filter", 3)
    assert [(one["action"], one["table"], one["column"], one["tag"], one["times"]) for one in found] == [
        ("filter", "person", "email", "email", times) for times in (1, 1, 2)
    ]
    text = target.access_log.read_text()
    assert not [secret for secret in SECRETS if secret in text]


def test_starts_stops_and_reloads_are_written_down(own_front):
    target = own_front("people.yaml")
    (first,) = records(target, "reload")
    assert (first["what"], first["trigger"], first["ok"], first["generation"]) == ("policy", "start", True, 1)
    target.policy.write_text(target.policy.read_text() + "\n# changed\n")
    second = records(target, "reload", 2)[1]
    assert (second["trigger"], second["ok"], second["generation"]) == ("file", True, 2)
    assert second["policy_sha256"] != first["policy_sha256"]
    good = target.policy.read_text()
    target.policy.write_text("version: 1\nrubbish: true\n")
    third = records(target, "reload", 3)[2]
    assert (third["ok"], third["generation"], third["policy_sha256"]) == (False, 2, second["policy_sha256"])
    target.policy.write_text(good)
    records(target, "reload", 4)
    target.reload()
    assert records(target, "reload", 5)[4]["trigger"] == "signal"
    assert target.stop() == 0
    done = records(target, "admin")
    assert [one["action"] for one in done] == ["start", "reload", "stop"]
    assert done[0]["version"] and len(done[0]["settings_sha256"]) == 64


def test_a_storm_of_refusals_is_cut_and_counted(own_front):
    target = own_front("people.yaml")
    client = Raw(target.host, target.port)
    client.login("sam", "people")
    storm = 3000
    for _ in range(storm // 50):
        client.ask(query("SELECT id FROM person WHERE email LIKE 'jane%'") * 50, *["Z"] * 50)
    client.close()
    refused = int(target.metric("pgveil_refusals_total", reason="filter"))
    assert target.stop() == 0
    written = records(target, "refusal")
    told = records(target, "suppressed")
    assert {(one["of"], one["user"]) for one in told} == {("refusal", "sam")}
    assert 500 <= len(written) < storm
    assert len(written) + sum(one["count"] for one in told) == refused == storm


def reveals(target, count: int = 1) -> list[dict]:
    return records(target, "reveal", count)


def told(event: dict) -> list[tuple]:
    return [(one["type"], one["keys"], one["complete"]) for one in event["entities"]]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT id, email FROM person WHERE id < 3 ORDER BY id", [("public.person", ["1", "2"], True)]),
        ("SELECT id, upper(email) FROM person WHERE id = 2", [("public.person", ["2"], True)]),
        ("SELECT email FROM person WHERE id = 1", [("public.person", [], False)]),
        ("SELECT id * 2, email FROM person WHERE id = 1", [("public.person", [], False)]),
        ("SELECT a.id, b.email FROM person a, person b WHERE a.id = 1 AND b.id = 2", [("public.person", [], False)]),
        ("SELECT id, (SELECT email FROM person WHERE id = 2) FROM person WHERE id = 1", [("public.person", [], False)]),
    ],
)
@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_whose_rows_were_seen_is_written_down(own_front, statement, expected, binary):
    target = own_front("people.yaml")
    with connect(target, "bella") as client:
        client.execute(statement, binary=binary).fetchall()
    (event,) = reveals(target)
    assert told(event) == expected


def test_subjects_of_the_policy_name_whose_rows_they_are(own_front):
    target = own_front("people.yaml")
    target.policy.write_text(target.policy.read_text() + "\nsubjects:\n  customer: person.id\n")
    assert records(target, "reload", 2)[1]["ok"]
    with connect(target, "bella") as client:
        client.execute("SELECT email, id FROM person WHERE id = 2").fetchall()
        with client.cursor().copy("COPY (SELECT id, email FROM person ORDER BY id LIMIT 2) TO STDOUT") as copy:
            assert len(list(copy.rows())) == 2
        with client.cursor().copy("COPY (SELECT id, email FROM person ORDER BY id LIMIT 1) TO STDOUT (FORMAT csv)") as copy:
            for _ in copy:
                pass
        with client.cursor().copy("COPY (SELECT id, email FROM person ORDER BY id LIMIT 1) TO STDOUT (FORMAT binary)") as copy:
            for _ in copy:
                pass
    events = reveals(target, 4)
    assert [(event["action"], told(event)) for event in events] == [
        ("view", [("customer", ["2"], True)]),
        ("export", [("customer", ["1", "2"], True)]),
        ("export", [("customer", ["1"], True)]),
        ("export", [("customer", ["1"], True)]),
    ]


def test_of_a_long_result_every_key_is_somewhere_and_it_is_an_export(own_front):
    target = own_front("people.yaml")
    with connect(target, "bella") as client:
        client.execute(
            "SELECT p.id, p.email, repeat('x', 500) FROM person p, generate_series(1, 2000) ORDER BY p.id"
        ).fetchall()
    (close,) = records(target, "close")
    (event,) = reveals(target)
    found = set()
    for record in [event, close, *records(target, "entities", 1, 0.2)]:
        for one in record["entities"]:
            assert one["type"] == "public.person" and one["complete"]
            found.update(one["keys"])
    assert close["action"] == "export" and close["rows"] == 2000 * len(found)
    assert found >= {"1", "2", "3"}


def test_what_the_application_says_of_itself_is_written_down(own_front):
    target = own_front("people.yaml")
    comment = "/*controller='people',route='%2Fpeople%2F%3Aid',password='secret'*/"
    with connect(target, "bella") as client, connect(target, "sam") as masked:
        client.execute(f"SELECT email FROM person WHERE id = 1 {comment}").fetchall()
        client.execute(f"{comment.replace('%', '%%')} SELECT email FROM person WHERE id = %s", (1,)).fetchall()
        client.execute("SELECT email FROM person WHERE id = 1").fetchall()
        masked.execute(f"SELECT id FROM person WHERE email = 'x' {comment}").fetchall()
    said = {"controller": "people", "route": "/people/:id"}
    assert [event["endpoint"] for event in reveals(target, 3)] == [said, said, None]
    (filtered,) = records(target, "filter")
    assert filtered["endpoint"] == said
    assert "secret" not in target.access_log.read_text()
