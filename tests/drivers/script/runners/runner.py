"""What the runners in Python share: they read a job `{login, checks}` as JSON and print one line of JSON for each check.

A driver is an object with a method for each thing that a step can ask for (`query`, `simple`, ...), which returns what the driver gave. It
has `failure(error)`, which says what the driver tells of an error of the server, and `aside()`, which gives and forgets notices.
What a driver has no way to do has no method, and is told as `unsupported`.
"""

import decimal
import json
import re
import sys
import traceback


class Unsupported(Exception):
    """The driver has no way to do it."""


class Given(Exception):
    """An outcome that is an error although the driver raises none: a dict of what is known of it."""


def plain(value):
    """A value as the driver made it, with its type: the type is part of what is compared."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        return f"bytes {raw.hex()}" if len(raw) <= 4000 else f"bytes {raw[:2000].hex()} of {len(raw)}"
    if isinstance(value, decimal.Decimal):
        return f"Decimal {value}"
    return f"{type(value).__name__} {value}"


def short(text: str) -> str:
    """A long text by its ends and its length: it would only be in the way."""
    return text if len(text) <= 4000 else f"{text[:2000]}...{text[-2000:]} of {len(text)}"


def table(columns, rows, **more) -> dict:
    rows = [plain(list(row)) for row in rows]
    return {"columns": columns, "count": len(rows), "rows": rows if len(rows) <= 60 else rows[:30] + rows[-30:], **more}


def with_marks(sql: str, mark: str) -> str:
    """`$1`, `$2`, ... written as the driver writes them."""
    return re.sub(r"\$\d+", mark, sql.replace("%", "%%") if mark == "%s" else sql)


def main(opened) -> None:
    job = json.load(sys.stdin)
    driver = opened(job["login"])
    for check in job["checks"]:
        outcomes = []
        for step in check["steps"]:
            method = getattr(driver, step["do"], None)
            if method is None:
                outcomes.append({"unsupported": step["do"]})
                continue
            try:
                outcome = {"got": method(step)}
            except Unsupported as reason:
                outcome = {"unsupported": str(reason)}
            except Given as error:
                outcome = {"error": error.args[0]}
            except Exception as error:  # what a driver raises is what is compared
                outcome = {"error": driver.failure(error)}
                if outcome["error"] is None:
                    traceback.print_exc()
                    print(f"in {check['name']}", file=sys.stderr)
                    sys.exit(3)
            outcomes.append({**outcome, **driver.aside()})
        print(json.dumps({"name": check["name"], "outcomes": outcomes}, ensure_ascii=False), flush=True)
    driver.close()
