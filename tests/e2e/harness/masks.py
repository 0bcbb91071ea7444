"""The masks once more, written from their description and not from the product's source: what the tests expect to see.

Works on the text form of a value. `None` is NULL, and stays NULL under every mask.
"""

import re


def full(value: str | None) -> str | None:
    """Each character but white space becomes `#`."""
    return None if value is None else "".join(c if c.isspace() else "#" for c in value)


def show_first(value: str | None, keep: int) -> str | None:
    """The first characters stay, each other one becomes `#`, white space too."""
    if value is None:
        return None
    return "#" * len(value) if len(value) <= keep else value[:keep] + "#" * (len(value) - keep)


def email(value: str | None) -> str | None:
    """`j###@#######.##`: the first character, `@`, and the dots of the domain stay."""
    if value is None:
        return None
    if not re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", value):
        return full(value)
    local, domain = value.split("@")
    if len(local) < 2:
        local = "#"
        return local + "@" + re.sub(r"[^.]", "#", domain)
    return local[0] + "#" * (len(local) - 1) + "@" + re.sub(r"[^.]", "#", domain)


def phone(value: str | None, keep: int) -> str | None:
    """A leading `+`, the last digits, and all that is not a digit stay. Too short: as `full`."""
    if value is None:
        return None
    digits = [at for at, c in enumerate(value) if c.isdigit()]
    others = [c for c in value if c.isalpha()]
    if len(digits) <= keep or others:
        return full(value)
    hidden = set(digits[: len(digits) - keep])
    return "".join("#" if at in hidden else c for at, c in enumerate(value))


# What stands in the place of a derived text, and of a hidden one.
REDACTED_TEXT = "####"
HIDDEN_TEXT = ""
