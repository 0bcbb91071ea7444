"""A shop that no one here wrote (django-oscar, from its package), through pgveil: as somebody who sees every tagged column it is the same
shop, page by page; at the desk of somebody who does not, it works, and shows and stores no more than it should.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.pgveil import Direct, Pgveil

pytestmark = [pytest.mark.proxy, pytest.mark.timeout(400)]

HERE = Path(__file__).parent / "application"
# Parts of everything that is tagged.
CANARIES = ("canary", "canarova", "canarsky", "canarina", "@canaries.test", "5139842")
# What the desk can not do with masks, and what the application is told. The form for an address also writes the whole of it, as it was
# shown, into a column for searching: that would store masks.
REFUSED = {"dashboard: order: address: sent": "holds part of a mask", "dashboard: customers by mail": "that you need."}
# Tokens, times, and what comes from them.
FOLDS = [(re.compile(pattern), stand_in) for pattern, stand_in in [
    (r'name="csrfmiddlewaretoken" value="\w+"', "csrf"), (r"csrfmiddlewaretoken[^>]*", "csrf"), (r"\b\d{1,2}(st|nd|rd|th)? \w{3,9}\.? \d{4},? \d{1,2}(:\d\d)?(:\d\d)?( [ap]\.?m\.?)?", "TIME"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?", "TIME"), (r"\b\d\d:\d\d(:\d\d)?\b", "TIME"), (r"\b(\d{1,2}(:\d\d)? [ap]\.m\.|noon|midnight)", "TIME"), (r"(?<=[/\"])[\w-]{6}-[0-9a-f]{32}", "TOKEN"), (r"[0-9a-f]{30,}", "HASH"),
    (r"/accounts/order-status/[^\s\"<]+", "STATUS"), (r"id_\w*\d{6,}", "id"),
]]
# Tables with tagged columns, as they are to be in the end.
STORED = """SELECT 'user', username = 'old', first_name, last_name, email FROM auth_user UNION ALL
  SELECT 'order', true, first_name, last_name || line1 || line4 || postcode, phone_number || notes FROM order_shippingaddress UNION ALL
  SELECT 'book', true, first_name, last_name || line1 || line4 || postcode, phone_number || notes FROM address_useraddress ORDER BY 1, 2, 3, 5"""


def run(part: str, place, user: str, database: str) -> list[dict]:
    done = subprocess.run([sys.executable, "-W", "ignore", str(HERE / "oscar_shop.py"), part], text=True, capture_output=True, check=False, timeout=300,
                          env={**os.environ, "PGHOST": place.host, "PGPORT": str(place.port), "PGUSER": user, "PGDATABASE": database, "PYTHONHASHSEED": "0"})
    assert done.returncode == 0, f"{part}: {done.stdout[-300:]}\n{done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def folded(page: dict) -> str:
    text = json.dumps(page, ensure_ascii=False)
    for pattern, stand_in in FOLDS:
        text = pattern.sub(stand_in, text)
    return text


@pytest.fixture(scope="module")
def oscar(pg):
    """`oscar_clerk` sees masks, `manager` sees everything."""
    pg.psql("CREATE ROLE owners; CREATE ROLE shopkeeper LOGIN SUPERUSER; CREATE ROLE oscar_clerk LOGIN; CREATE ROLE manager LOGIN IN ROLE owners; CREATE DATABASE oscar")
    run("prepare", pg, "shopkeeper", "oscar")
    pg.psql("GRANT ALL ON ALL TABLES IN SCHEMA public TO oscar_clerk, manager; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO oscar_clerk, manager", database="oscar")
    for name in ("direct", "clear", "masked"):
        pg.psql(f"CREATE DATABASE oscar_{name} TEMPLATE oscar")
    return Direct(pg)


def test_a_shop_that_no_one_here_wrote_works_and_shows_masks(pg, oscar):
    started = []

    def front(database: str) -> Pgveil:
        started.append(Pgveil(pg, HERE / "oscar.yaml", {}, database))
        return started[-1].start()

    try:
        direct = run("shop", oscar, "manager", "oscar_direct") + run("office", oscar, "manager", "oscar_direct")
        assert all(page["status"] in (200, 302) and not page["failed"] for page in direct), [[page["name"], page["status"], page["failed"]] for page in direct]
        seen = "".join(page["page"] for page in direct).lower()
        assert all(canary in seen for canary in CANARIES), "the pages show what is tagged"

        place = front("oscar_clear")
        clear = run("shop", place, "manager", "oscar_clear") + run("office", place, "manager", "oscar_clear")
        differing = []
        for wanted, got in zip(direct, clear, strict=True):
            one, other = folded(wanted), folded(got)
            if one != other:
                at = next(n for n, (a, b) in enumerate(zip(one + " ", other + "  ", strict=False)) if a != b)
                differing.append(f"{wanted['name']}: {one[max(at - 80, 0):at + 120]!r} {other[max(at - 80, 0):at + 120]!r}")
        assert not differing, "\n".join(differing)
        assert pg.psql(STORED, database="oscar_clear") == pg.psql(STORED, database="oscar_direct")

        place = front("oscar_masked")
        run("shop", place, "manager", "oscar_masked")
        masked = run("office", place, "oscar_clerk", "oscar_masked")
        office = direct[-len(masked):]
        outcome = ("status", "goes_to", "failed")
        other = {page["name"]: page["failed"] for page, wanted in zip(masked, office, strict=True) if [page[key] for key in outcome] != [wanted[key] for key in outcome]}
        assert other.keys() == REFUSED.keys() and all(said in str(other[name]) for name, said in REFUSED.items()), other
        for page in masked:
            # What the clerk has typed is shown again.
            text = json.dumps(page).lower().replace("boss@canaries.test", "").replace("ottilie@canaries.test", "" if "by mail" in page["name"] else "ottilie@canaries.test")
            assert not [canary for canary in CANARIES if canary in text], page["name"]
        pages = {page["name"]: page["page"] for page in masked}
        assert "withheld@example.com" in pages["dashboard: customers"] and "withheld@example.com" in pages["admin: customers"]
        # No mask was stored, and nothing of the edit that was refused.
        assert pg.psql(STORED, database="oscar_masked") == pg.psql(STORED, database="oscar_direct").replace("Graz", "Wien")
    finally:
        for one in started:
            one.stop()
            assert "panicked" not in one.log(), one.log()[-2000:]
            one.remove()
