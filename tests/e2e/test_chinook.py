"""The main job on the Chinook database, through five drivers, in each of their ways: untagged columns are those of a
direct connection, tagged ones are masked or clear as decided, and there are exactly the expected access events."""

from collections import Counter

import pytest

from harness import drivers, masks
from harness.script import PLAIN, Outcome, Statement, Step, as_text, derived, of

TAGS = {
    **{f"{table}.{column}": "name" for table in ("customer", "employee") for column in ("first_name", "last_name")},
    **{f"{table}.email": "email" for table in ("customer", "employee")},
    **{f"{table}.{column}": "phone" for table in ("customer", "employee") for column in ("phone", "fax")},
    **{f"{table}.address": "address" for table in ("customer", "employee")},
}

# What policies/chinook.yaml says, written down once more: tag to sight. A missing tag: the tag's own mask.
SIGHTS = {
    "support": {"name": "clear", "phone": "clear"},
    "billing": {"name": "clear", "address": "clear", "email": "clear"},
    "analyst": {"phone": "hidden", "address": "hidden"},
}
USERS = {"support": "sam", "billing": "bella", "analyst": "ana"}
MASKS = {
    "name": lambda value: masks.show_first(value, 1),
    "email": masks.email,
    "phone": lambda value: masks.phone(value, 4),
    "address": masks.full,
}

CUSTOMER = ("customer_id", "first_name", "last_name", "company", "address", "city", "state", "country", "postal_code", "phone", "fax",
            "email", "support_rep_id")
EMPLOYEE = ("employee_id", "last_name", "first_name", "title", "reports_to", "birth_date", "hire_date", "address", "city", "state",
            "country", "postal_code", "phone", "fax", "email")


def star(table: str, columns) -> tuple:
    return tuple(of(f"{table}.{name}") if f"{table}.{name}" in TAGS else PLAIN for name in columns)


SCRIPT = [
    Statement("customers", "SELECT * FROM customer ORDER BY customer_id", star("customer", CUSTOMER)),
    Statement("employees", "SELECT * FROM employee ORDER BY employee_id", star("employee", EMPLOYEE)),
    Statement("one customer", "SELECT c.*, 1 AS one FROM customer c WHERE customer_id = $1", (*star("customer", CUSTOMER), PLAIN), (5,)),
    Statement("no customer", "SELECT email, phone FROM customer WHERE customer_id = $1", (of("customer.email"), of("customer.phone")), (-1,)),
    Statement("aliases", "SELECT x.e AS mail, x.i FROM (SELECT email AS e, customer_id AS i FROM customer) AS x ORDER BY x.i",
              (of("customer.email"), PLAIN)),
    Statement("join",
              "SELECT i.invoice_id, i.total, c.last_name, e.last_name AS agent, e.email FROM invoice i JOIN customer c USING (customer_id) "
              "JOIN employee e ON e.employee_id = c.support_rep_id WHERE i.invoice_id <= 40 ORDER BY 1",
              (PLAIN, PLAIN, of("customer.last_name"), of("employee.last_name"), of("employee.email"))),
    Statement("self join",
              "SELECT e.first_name, m.first_name AS manager FROM employee e LEFT JOIN employee m ON m.employee_id = e.reports_to "
              "ORDER BY e.employee_id", (of("employee.first_name"), of("employee.first_name"))),
    Statement("cte", "WITH w AS (SELECT customer_id, email, city FROM customer WHERE country = $1) SELECT email, city FROM w ORDER BY customer_id",
              (of("customer.email"), PLAIN), ("Canada",)),
    Statement("casts", "SELECT email::text, coalesce(fax, '') AS fax, CAST(address AS varchar) FROM customer ORDER BY customer_id",
              (of("customer.email"), of("customer.fax"), of("customer.address"))),
    Statement("union", "SELECT email, 'c' AS kind FROM customer UNION ALL SELECT email, 'e' FROM employee",
              (of("customer.email", "employee.email"), PLAIN), ordered=False),
    Statement("scalar subquery",
              "SELECT i.invoice_id, (SELECT c.email FROM customer c WHERE c.customer_id = i.customer_id) AS who FROM invoice i "
              "WHERE i.invoice_id <= 10 ORDER BY 1", (PLAIN, of("customer.email"))),
    Statement("lateral",
              "SELECT c.customer_id, c.phone, l.total FROM customer c CROSS JOIN LATERAL (SELECT max(total) AS total FROM invoice i "
              "WHERE i.customer_id = c.customer_id) l ORDER BY 1", (PLAIN, of("customer.phone"), PLAIN)),
    Statement("derived", "SELECT lower(email) AS mail, customer_id FROM customer ORDER BY 2", (derived("customer.email"), PLAIN)),
    Statement("full name", "SELECT first_name || ' ' || last_name AS who, country FROM customer ORDER BY customer_id",
              (derived("customer.first_name", "customer.last_name"), PLAIN)),
    Statement("counted", "SELECT country, count(email) AS mails, count(*) FILTER (WHERE fax IS NULL) AS no_fax FROM customer GROUP BY country ORDER BY 1",
              (PLAIN, PLAIN, PLAIN)),
    Statement("by e-mail", "SELECT customer_id, country FROM customer WHERE email = $1", (PLAIN, PLAIN), ("luisg@embraer.com.br",)),
    Statement("tracks", "SELECT track_id, name, composer, milliseconds, unit_price FROM track ORDER BY track_id", (PLAIN,) * 5),
    Statement("invoices", "SELECT invoice_id, invoice_date, billing_country, total FROM invoice WHERE total > 5 ORDER BY 1", (PLAIN,) * 4),
    Statement("sales",
              "SELECT g.name, sum(il.unit_price * il.quantity) AS sales, array_agg(DISTINCT il.quantity) AS q FROM invoice_line il "
              "JOIN track t USING (track_id) JOIN genre g USING (genre_id) GROUP BY g.name ORDER BY 1", (PLAIN,) * 3),
]


def sight(role: str, source: str, proxied: bool) -> str:
    return SIGHTS[role].get(TAGS[source], "masked") if proxied else "clear"


def expected_cell(role: str, column, cell, proxied: bool):
    """What must stand in the place of `cell`, which a direct connection got."""
    seen = {sight(role, source, proxied) for source in column.sources}
    if seen <= {"clear"}:
        return cell
    if column.derived:
        return masks.REDACTED_TEXT
    assert len({TAGS[source] for source in column.sources}) == 1
    if "hidden" in seen:
        return None if cell is None else masks.HIDDEN_TEXT
    return MASKS[TAGS[column.sources[0]]](as_text(cell))


def expected_events(role: str, statement: Statement, rows: int) -> Counter:
    """One for each revealed column of an execution with rows: a cursor is one execution, however it is read."""
    revealed = set()
    for column in statement.columns:
        if column.sources and all(sight(role, source, True) == "clear" for source in column.sources):
            revealed.update(column.sources)
    return Counter(revealed) if rows else Counter()


def steps_of(driver: str) -> list[Step]:
    steps = []
    for way, form in drivers.WAYS[driver]:
        mode = way.rstrip("*")
        for statement in SCRIPT:
            if way.endswith("*") and statement.params:
                continue
            steps.append(Step(statement, mode, form, runs=3 if mode == "prepared" else 1))
    return steps


def in_order(statement: Statement, rows):
    return rows if statement.ordered else sorted(rows, key=repr)


def compare(role: str, step: Step, direct: Outcome, through: Outcome, proxied: bool) -> None:
    what = f"{step.statement.name}, {step.mode}, {step.format}"
    assert through.error is None, f"{what}: {through.error}"
    assert through.columns == direct.columns, what
    expected = [[expected_cell(role, column, cell, proxied) for column, cell in zip(step.statement.columns, row, strict=True)]
                for row in direct.rows]
    got = [[as_text(cell) if column.sources else cell for column, cell in zip(step.statement.columns, row, strict=True)]
           for row in through.rows]
    expected = [[as_text(cell) if column.sources else cell for column, cell in zip(step.statement.columns, row, strict=True)]
                for row in expected]
    assert in_order(step.statement, got) == in_order(step.statement, expected), what


@pytest.fixture(scope="module")
def steps():
    return {driver: steps_of(driver) for driver in drivers.WAYS}


@pytest.mark.parametrize("role", sorted(USERS))
@pytest.mark.parametrize("driver", sorted(drivers.WAYS))
def test_rows_and_events(pg, chinook, front, driver, role):
    target = front("chinook.yaml", database=chinook)
    steps = steps_of(driver)
    runs = [step for step in steps for _ in range(step.runs)]
    direct = drivers.run(driver, drivers.Login(pg.host, pg.port, USERS[role], chinook), steps)
    before = len(target.events())
    through = drivers.run(driver, drivers.Login(target.host, target.port, USERS[role], chinook), steps)
    assert len(direct) == len(runs)
    assert len(through) == len(runs), [one.error for one in through if one.error]
    wanted: Counter = Counter()
    for step, here, there in zip(runs, direct, through, strict=True):
        compare(role, step, here, there, target.proxied)
        wanted += expected_events(role, step.statement, len(here.rows))
    if target.proxied:
        events = target.events()[before:]
        assert Counter(f"{event['table']}.{event['column']}" for event in events) == wanted
        for event in events:
            assert (event["user"], event["role"], event["database"]) == (USERS[role], role, chinook)
            assert event["tag"] == TAGS[f"{event['table']}.{event['column']}"]
            assert (event["how"], event["action"]) == ("clear", "view")


@pytest.mark.proxy
def test_the_access_log_and_the_metrics_hold_no_value(pg, chinook, front):
    target = front("chinook.yaml", database=chinook)
    login = drivers.Login(target.host, target.port, "bella", chinook)
    drivers.run("psycopg", login, steps_of("psycopg"))
    values = pg.psql("SELECT unnest(ARRAY[email, phone, address, last_name]) FROM customer", database=chinook).splitlines()
    values = [value for value in values if len(value) > 5]
    written = target.access_log.read_text(encoding="utf-8") + target.log() + target.metrics_text()
    assert not [value for value in values if value in written]


@pytest.mark.proxy
def test_the_metrics_count_what_was_masked_and_revealed(chinook, front):
    target = front("chinook.yaml", database=chinook)

    def counts() -> tuple[float, float]:
        return tuple(target.metric(f"pgveil_columns_{what}_total", tag="email") for what in ("masked", "revealed"))

    masked, revealed = counts()
    for user in ("sam", "bella"):
        drivers.run("psycopg", drivers.Login(target.host, target.port, user, chinook), [Step(SCRIPT[4], "extended", "text")])
    assert counts() == (masked + 1, revealed + 1)
