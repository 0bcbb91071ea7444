"""The values that must not come out, and the shapes in which they could."""

import base64
import hashlib
import re
import struct

TAGGED = {
    "customers": ("name", "email", "phone", "street", "city", "card_number", "notes"),
    "orders": ("customer_email",),
    "people_p": ("email",),
    "people_gen": ("email",),
    "big_notes": ("body",),
}
# Relations whose names are in errors and plans.
NAMES = "customers_archive customers_archive_pkey audit_trail scratch people_p1 customers_sb customers_mv customers_v"
# A piece of a value is told from chance by its length, and by how many different characters it has.
PIECE = 7
DIFFERENT = 4
# No text that is looked for is shorter.
BEGINNING = 5


class Canaries:
    """Finds the stored values of the tagged columns in bytes: whole, in pieces, turned round, and in other encodings."""

    def __init__(self, values: list[str]):
        distinct = {value[:200] for value in values if len(value) >= BEGINNING}
        self.whole: dict[bytes, str] = {}
        for value in distinct:
            for shape, text in self._shapes(value):
                self.whole.setdefault(text.lower(), f"{shape} of {value!r}")
        # The name of a column is no piece of a value: "2 Filler Road" is a street, and so is the column.
        names = " ".join(["", NAMES, *TAGGED, *(name for columns in TAGGED.values() for name in columns), ""]).lower().encode()
        self.pieces: dict[bytes, str] = {}
        for value in distinct:
            for shape, low in (("a piece", value.lower().encode()), ("a reversed piece", value.lower().encode()[::-1])):
                for at in range(len(low) - PIECE + 1):
                    piece = low[at : at + PIECE]
                    # Numbers are everywhere: of figures alone it takes one more.
                    if len(set(piece)) < DIFFERENT + piece.isdigit() or piece.strip() in names:
                        continue
                    # Seven figures the wrong way round are any number.
                    if shape == "a piece" or not piece.isdigit():
                        self.pieces.setdefault(piece, f"{shape} of {value!r}")
        self.uniform = [repr(value) for value in distinct if value.isdigit() and len(set(value)) < 3]
        # By their first bytes: thousands of texts are looked for in one pass.
        self.by_beginning: dict[bytes, list[bytes]] = {}
        for text in (*self.whole, *self.pieces):
            self.by_beginning.setdefault(text[:BEGINNING], []).append(text)

    @staticmethod
    def _shapes(value: str):
        raw = value.encode()
        yield "the text", raw
        yield "the reversed text", raw[::-1]
        yield "the hexadecimal digits", raw.hex().encode()
        yield "the hexadecimal digits of the beginning", raw[:8].hex().encode()
        yield "the hexadecimal digits of the end", raw[-8:].hex().encode()
        for algorithm in ("md5", "sha1", "sha256"):
            digest = hashlib.new(algorithm, raw).digest()
            yield f"{algorithm} in binary", digest
            yield algorithm, digest.hex().encode()
        if value.isdigit() and len(value) < 19:
            yield "the number in binary", struct.pack("!q", int(value))
        if len(value) >= 8:
            # As octal and hexadecimal escapes of each character, as numbers, and percent-encoded.
            for form in ("\\%03o", "\\x%02x", "\\u%04x", "%%%02x", "&#%d;"):
                yield "escapes", "".join(form % one for one in raw).encode()
            for separator in (",", " ", "\n", "|"):
                yield "the codes of the characters", separator.join(str(one) for one in raw).encode()
        yield "UTF-16", value.encode("utf-16-le")
        yield "UTF-32", value.encode("utf-32-le")
        # What base64 makes of the middle of a longer text depends on where the value begins in it.
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + raw)
            inner = coded[4 * bool(shift) : len(coded) // 4 * 4 - 4]
            if len(inner) >= 8:
                yield "base64", inner
        if len(value) >= 8:
            for separator in (b",", b" ", b"\n", b"|"):
                yield "the characters one by one", separator.join(raw[at : at + 1] for at in range(len(raw)))

    def find(self, received: bytes, sent: bytes = b"", own_text_comes_back: bool = False) -> str | None:
        """What of a value is in the bytes, in words; None if nothing is. Pieces that the statement itself brought do not count;
        `own_text_comes_back` says that whole values of the statement do not count either."""
        return self._found(received.lower(), sent.lower(), own_text_comes_back)

    def find_spread(self, rows: list[list[bytes | None]]) -> str | None:
        """The same for values that come one character a cell, as text or as the code of the character, down a column or along a row."""
        if not rows:
            return None
        lines = [*rows, *([row[at] for row in rows if at < len(row)] for at in range(max(map(len, rows))))]
        for line in lines:
            text = b"".join(_character(cell) for cell in line if cell)
            # Digits come one a cell in any column of numbers: here a value counts as it is written, or the wrong way round, and one
            # of hardly any different figures does not: ranks of many groups are 1, 1, 1, 1, 4.
            found = self._found(text.lower(), b"", False)
            if found and "hexadecimal" not in found and not any(uniform in found for uniform in self.uniform):
                return found + ", one character a cell"
        return None

    def _found(self, low: bytes, own: bytes, own_text_comes_back: bool) -> str | None:
        beginnings = self.by_beginning
        for at in [at for at in range(len(low) - BEGINNING + 1) if low[at : at + BEGINNING] in beginnings]:
            for text in beginnings[low[at : at + BEGINNING]]:
                if not low.startswith(text, at):
                    continue
                if text in self.whole and not (own_text_comes_back and text in own):
                    return self.whole[text]
                if text in self.pieces and text not in own:
                    return f"{text!r}, {self.pieces[text]}"
        return None


def _character(cell: bytes) -> bytes:
    """What one cell adds to a text that is spread over many."""
    if len(cell) == 1:
        return cell
    if len(cell) in (2, 3) and cell.isdigit() and int(cell) < 128:
        return bytes([int(cell)])
    return cell[3:] if len(cell) == 4 and cell.startswith(b"\0\0\0") else b""
