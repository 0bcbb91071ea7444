"""Data of COPY, read as the manual of PostgreSQL describes it ("COPY", section "File Formats"), and not by the product."""

import struct

from .wire import Frame

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}

Row = list[bytes | None]


def data(frames: list[Frame]) -> bytes:
    return b"".join(one.body for one in frames if one.tag == "d")


def text_rows(content: bytes, delimiter: bytes = b"\t", null: bytes = b"\\N") -> list[Row]:
    rows, row, value, written, at = [], [], b"", b"", 0
    while at < len(content):
        byte = content[at : at + 1]
        if byte == b"\\":
            follows = content[at + 1 : at + 2]
            value += ESCAPES.get(follows, follows)
            written += byte + follows
            at += 2
            continue
        at += 1
        if byte in (delimiter, b"\n"):
            row.append(None if written == null else value)
            value = written = b""
            if byte == b"\n":
                rows.append(row)
                row = []
        else:
            value += byte
            written += byte
    assert not row and not written, "a line without an end"
    return rows


def csv_rows(content: bytes, delimiter: bytes = b",", quote: bytes = b'"', escape: bytes | None = None, null: bytes = b"") -> list[Row]:
    escape = escape or quote
    rows, row, value, at = [], [], b"", 0
    quoted = inside = False
    while at < len(content):
        byte, follows = content[at : at + 1], content[at + 1 : at + 2]
        at += 1
        if inside and byte == escape and follows in (quote, escape):
            value += follows
            at += 1
        elif inside and byte == quote:
            inside = False
        elif inside:
            value += byte
        elif byte == quote:
            inside = quoted = True
        elif byte in (delimiter, b"\n"):
            row.append(None if value == null and not quoted else value)
            value, quoted = b"", False
            if byte == b"\n":
                rows.append(row)
                row = []
        else:
            value += byte
    assert not row and not value and not quoted, "a line without an end"
    return rows


def binary_rows(content: bytes) -> list[Row]:
    assert content.startswith(SIGNATURE + bytes(8)), content[:30]
    at, rows = len(SIGNATURE) + 8, []
    while (count := struct.unpack_from("!h", content, at)[0]) >= 0:
        at += 2
        row: Row = []
        for _ in range(count):
            length = struct.unpack_from("!i", content, at)[0]
            at += 4
            row.append(None if length < 0 else content[at : at + length])
            at += max(length, 0)
        rows.append(row)
    assert (count, at + 2) == (-1, len(content)), "no trailer"
    return rows
