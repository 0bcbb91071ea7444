"""Compares what a row gave through pgveil with what the catalogue says, and with what PostgreSQL itself gave."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from canaries import Canaries
from equal import difference, without_new_oids
from harness.wire import Frame
from play import Answer

REFUSALS = ("42501", "0A000")
# What a statement that ran has sent before its error: nothing of it may be there when it is refused.
RAN = "TDCGHW"
# The answer to `SELECT 1`.
PROBE = "T D C Z"

OK, LEAK, RAN_ANYWAY, NEEDLESS, WRONG, DIFFERS = "ok", "leak", "not refused", "needless refusal", "wrong", "twin differs"


@dataclass(frozen=True)
class Verdict:
    """`outcome` is one of those above; `detail` says what was seen, without the value."""

    outcome: str
    detail: str = ""


def judge(row, direct: Answer, answer: Answer, canaries: Canaries, newest_oid: int) -> Verdict:
    """`newest_oid` is the highest OID that the database had before the row: newer ones differ from run to run."""
    if row.id in table("decided.tsv") and own_refusal(direct, answer):
        found = answer.leak(canaries, row.sql.encode())
        return Verdict(LEAK, found) if found else Verdict(OK)
    if row.expected == "allow":
        return allowed(direct, answer, newest_oid)
    found = answer.leak(canaries, row.sql.encode())
    if found:
        return Verdict(LEAK, found)
    if row.expected == "deny" and row.id not in table("decided.tsv"):
        return denied(row, direct, answer)
    return as_expected(row, direct, answer, newest_oid)


@cache
def table(name: str) -> dict[str, str]:
    """Rows of the catalogue with a reason each: `decided.tsv`, what the contract refuses, or masks, although the catalogue says otherwise;
    `open.tsv`, what is still to be mended; `twin.tsv`, what may tell two databases apart."""
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()[1:]
    return dict(line.split("\t", 1) for line in lines if line)


def judge_twin(row, answer: Answer, other: Answer, newest_oid: int) -> Verdict:
    """The answers of two databases that differ in the values of the tagged columns only, through the same policy."""
    found = difference(answer, other, newest_oid)
    if found is None or row.leak == "residual" or row.id in table("twin.tsv"):
        return Verdict(OK)
    return Verdict(DIFFERS, found)


def own_refusal(direct: Answer, answer: Answer) -> str | None:
    """What a refusal of pgveil's own says, if it refused."""
    theirs = sum(one["C"] in REFUSALS for one in direct.errors())
    ours = [one for one in answer.errors() if one["C"] in REFUSALS or one["M"].startswith("pgveil:")]
    return f"{ours[0]['C']} {ours[0]['M']}" if len(ours) > theirs else None


def denied(row, direct: Answer, answer: Answer) -> Verdict:
    """Refused, by pgveil or as the server itself would, before anything of the message ran."""
    refused_by_the_server = any(one["C"] in REFUSALS for one in direct.errors())
    for message in answer.messages or [answer.startup]:
        before = ""
        for one in message:
            if one.tag == "E":
                code, said = one.fields()["C"], one.fields()["M"]
                if code not in REFUSALS or not (said.startswith("pgveil:") or refused_by_the_server):
                    return Verdict(RAN_ANYWAY, f"{code} {said}")
                return Verdict(RAN_ANYWAY, f"refused after {before}") if set(before) & set(RAN) else Verdict(OK)
            before += one.tag
    if answer.output and any(one["C"] in REFUSALS for one in answer.errors()):
        return Verdict(OK)
    if row.proto == "script" and row.sql.startswith("X ") and outline(answer) == PROBE:
        return Verdict(OK)  # ignored, and in step after it
    return Verdict(RAN_ANYWAY, "closed" if answer.closed else outline(answer))


def outline(answer: Answer) -> str:
    return " ".join(one.tag for one in answer.frames())[:100]


def kept_of_an_error(fields: dict[str, str]) -> tuple:
    """What a scrubbed error keeps: SQLSTATE, severity and position; of a violated constraint also its names, which ORMs read."""
    names = tuple(fields.get(one) for one in "stcdn") if fields["C"].startswith("23") else ()
    return fields["C"], fields.get("V"), fields.get("P"), names


def shape(answer: Answer, newest_oid: int) -> list:
    """What masks leave as it is: the kinds and the order of the frames, descriptions, the number of cells, and the counts of rows."""
    kept = []
    for one in answer.frames():
        if one.tag in "ENS":
            continue  # compared by their fields, or by the search for values
        tag, body = without_new_oids(one, newest_oid)
        if tag == "D":
            body = body[:2]
        kept.append((tag, b"" if tag == "d" else body))
    return kept


def as_expected(row, direct: Answer, answer: Answer, newest_oid: int) -> Verdict:
    """`mask` and `scrub`: the same errors as on a direct connection, and all but the cells as there."""
    refusal = own_refusal(direct, answer)
    if refusal:
        return Verdict(NEEDLESS, refusal)
    theirs = [kept_of_an_error(one) for one in direct.errors()]
    ours = [kept_of_an_error(one) for one in answer.errors()]
    if ours != theirs:
        texts = [f"{one['C']} {one['M']}" for one in answer.errors()]
        return Verdict(WRONG, f"errors {ours}, direct {theirs}: {texts}")
    if row.expected == "scrub":
        notices = [[one.fields()["C"] for one in each.frames() if one.tag == "N"] for each in (direct, answer)]
        if notices[0] != notices[1]:
            return Verdict(WRONG, f"notices {notices[1]}, direct {notices[0]}")
    shapes = [shape(each, newest_oid) for each in (direct, answer)]
    if shapes[0] != shapes[1]:
        differing = next((pair for pair in zip(*shapes, strict=False) if pair[0] != pair[1]), "one has more frames")
        return Verdict(WRONG, f"direct {outline(direct)}; here {outline(answer)}; first difference {differing}")
    if direct.status != answer.status or direct.closed != answer.closed:
        return Verdict(WRONG, f"ended with {answer.status}, closed: {answer.closed}; direct {direct.status}, {direct.closed}")
    return Verdict(OK)


def allowed(direct: Answer, answer: Answer, newest_oid: int) -> Verdict:
    """The same bytes as on a direct connection."""
    refusal = own_refusal(direct, answer)
    if refusal:
        return Verdict(NEEDLESS, refusal)
    theirs = [without_new_oids(one, newest_oid) for one in direct.frames()]
    ours = [without_new_oids(one, newest_oid) for one in answer.frames()]
    if ours == theirs and direct.output == answer.output and direct.closed == answer.closed:
        return Verdict(OK)
    differing = next((pair for pair in zip(theirs, ours) if pair[0] != pair[1]), None)
    return Verdict(WRONG, f"direct {outline(direct)}, closed: {direct.closed}; here {outline(answer)}, closed: {answer.closed}; first difference {shown(differing)}")


def shown(differing) -> str:
    """Kind and length of two frames that differ; of errors the texts."""
    if differing is None:
        return "one has more frames"
    parts = []
    for tag, body in differing:
        parts.append(f"{tag} {Frame(tag, body).fields()}" if tag in "EN" else f"{tag} of {len(body)} bytes")
    return " / ".join(parts)
