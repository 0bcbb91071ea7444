"""Compares what a row gave through pgveil with what the catalogue says, and with what PostgreSQL itself gave."""

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from canaries import Canaries
from harness.wire import Frame
from play import Answer

REFUSALS = ("42501", "0A000")
# What a statement that ran has sent before its error: nothing of it may be there when it is refused.
RAN = "TDCGHW"
# The answer to `SELECT 1`.
PROBE = "T D C Z"

OK, LEAK, RAN_ANYWAY, NEEDLESS, WRONG = "ok", "leak", "not refused", "needless refusal", "wrong"


@dataclass(frozen=True)
class Verdict:
    """`outcome` is one of the five above; `detail` says what was seen, without the value."""

    outcome: str
    detail: str = ""


def judge(row, direct: Answer, answer: Answer, canaries: Canaries, newest_oid: int) -> Verdict:
    """`newest_oid` is the highest OID that the database had before the row: newer ones differ from run to run."""
    if row.id in decided() and own_refusal(direct, answer):
        found = canaries.find(answer.received(), row.sql.encode())
        return Verdict(LEAK, found) if found else Verdict(OK)
    if row.expected == "allow":
        return allowed(direct, answer, newest_oid)
    found = canaries.find(answer.received(), row.sql.encode())
    if found:
        return Verdict(LEAK, found)
    if row.expected == "deny":
        return denied(row, answer)
    return as_expected(row, direct, answer)


@cache
def decided() -> dict[str, str]:
    """Rows that the contract refuses although the catalogue says otherwise, with the reason."""
    lines = (Path(__file__).parent / "decided.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split("\t", 1) for line in lines if line)


def own_refusal(direct: Answer, answer: Answer) -> str | None:
    """What a refusal of pgveil's own says, if it refused."""
    theirs = sum(one["C"] in REFUSALS for one in direct.errors())
    ours = [one for one in answer.errors() if one["C"] in REFUSALS or one["M"].startswith("pgveil:")]
    return f"{ours[0]['C']} {ours[0]['M']}" if len(ours) > theirs else None


def denied(row, answer: Answer) -> Verdict:
    for message in answer.messages or [answer.startup]:
        before = ""
        for one in message:
            if one.tag == "E":
                code = one.fields()["C"]
                if code not in REFUSALS:
                    return Verdict(RAN_ANYWAY, f"{code} {one.fields()['M']}")
                return Verdict(RAN_ANYWAY, f"refused after {before}") if set(before) & set(RAN) else Verdict(OK)
            before += one.tag
    if answer.output and any(one["C"] in REFUSALS for one in answer.errors()):
        return Verdict(OK)
    if row.proto == "script" and row.sql.startswith("X ") and outline(answer) == PROBE:
        return Verdict(OK)  # ignored, and in step after it
    return Verdict(RAN_ANYWAY, "closed" if answer.closed else outline(answer))


def outline(answer: Answer) -> str:
    return " ".join(one.tag for one in answer.frames())[:100]


def as_expected(row, direct: Answer, answer: Answer) -> Verdict:
    """`mask` and `scrub`: the same errors as on a direct connection, by SQLSTATE and position."""
    refusal = own_refusal(direct, answer)
    if refusal:
        return Verdict(NEEDLESS, refusal)
    theirs = [(one["C"], one.get("P")) for one in direct.errors()]
    ours = [(one["C"], one.get("P")) for one in answer.errors()]
    if ours != theirs:
        texts = [f"{one['C']} {one['M']}" for one in answer.errors()]
        return Verdict(WRONG, f"errors {ours}, direct {theirs}: {texts}")
    if row.expected == "scrub":
        notices = [[one.fields()["C"] for one in each.frames() if one.tag == "N"] for each in (direct, answer)]
        if notices[0] != notices[1]:
            return Verdict(WRONG, f"notices {notices[1]}, direct {notices[0]}")
    if direct.status != answer.status or direct.closed != answer.closed:
        return Verdict(WRONG, f"ended with {answer.status}, closed: {answer.closed}; direct {direct.status}, {direct.closed}")
    return Verdict(OK)


def allowed(direct: Answer, answer: Answer, newest_oid: int) -> Verdict:
    """The same bytes as on a direct connection."""
    refusal = own_refusal(direct, answer)
    if refusal:
        return Verdict(NEEDLESS, refusal)
    theirs = [folded(one, newest_oid) for one in direct.frames()]
    ours = [folded(one, newest_oid) for one in answer.frames()]
    if ours == theirs and direct.output == answer.output and direct.closed == answer.closed:
        return Verdict(OK)
    differing = next((pair for pair in zip(theirs, ours) if pair[0] != pair[1]), None)
    return Verdict(WRONG, f"direct {outline(direct)}, closed: {direct.closed}; here {outline(answer)}, closed: {answer.closed}; first difference {shown(differing)}")


def folded(one: Frame, newest_oid: int) -> tuple[str, bytes]:
    """A frame without what differs from database to database: the OIDs of tables that the row itself made."""
    if one.tag != "T":
        return one.tag, one.body
    body, at = bytearray(one.body), 2
    for _ in one.columns():
        at = one.body.index(b"\0", at) + 1
        if struct.unpack_from("!I", body, at)[0] > newest_oid:
            struct.pack_into("!I", body, at, 0)
        at += 18
    return one.tag, bytes(body)


def shown(differing) -> str:
    """Kind and length of two frames that differ; of errors the texts."""
    if differing is None:
        return "one has more frames"
    parts = []
    for tag, body in differing:
        parts.append(f"{tag} {Frame(tag, body).fields()}" if tag in "EN" else f"{tag} of {len(body)} bytes")
    return " / ".join(parts)
