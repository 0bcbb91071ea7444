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
# A piece of a value is told from chance by its length, and by how many different characters it has.
PIECE = 7
DIFFERENT = 4


class Canaries:
    """Finds the stored values of the tagged columns in bytes: whole, in pieces, turned round, and in other encodings."""

    def __init__(self, values: list[str]):
        distinct = {value[:200] for value in values if len(value) >= 5}
        self.whole: dict[bytes, str] = {}
        for value in distinct:
            for shape, text in self._shapes(value):
                self.whole.setdefault(text.lower(), f"{shape} of {value!r}")
        # The name of a column is no piece of a value: "2 Filler Road" is a street, and so is the column.
        names = " ".join(["", *TAGGED, *(name for columns in TAGGED.values() for name in columns), ""]).lower().encode()
        self.pieces: dict[bytes, str] = {}
        for value in distinct:
            for shape, low in (("a piece", value.lower().encode()), ("a reversed piece", value.lower().encode()[::-1])):
                for at in range(len(low) - PIECE + 1):
                    piece = low[at : at + PIECE]
                    if len(set(piece)) < DIFFERENT or piece.strip() in names:
                        continue
                    # Seven figures the wrong way round are any number.
                    if shape == "a piece" or not piece.isdigit():
                        self.pieces.setdefault(piece, f"{shape} of {value!r}")
        self.any_whole = re.compile(b"|".join(re.escape(one) for one in sorted(self.whole, key=len, reverse=True)))

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
        low, own = received.lower(), sent.lower()
        for found in self.any_whole.finditer(low):
            if not (own_text_comes_back and found[0] in own):
                return self.whole[found[0]]
        for at in range(len(low) - PIECE + 1):
            piece = low[at : at + PIECE]
            if piece in self.pieces and piece not in own:
                return f"{piece!r}, {self.pieces[piece]}"
        single = self._one_by_one(low)
        if single != low and (found := self.any_whole.search(single)):
            return self.whole[found[0]] + ", one character a cell"
        return None

    @staticmethod
    def _one_by_one(received: bytes) -> bytes:
        """Cells of one character each, in order, run together: the DataRow frames around them are taken out."""
        return re.sub(rb"d\0\0\0.\0.(?:\0\0\0.)?\0\0\0\x01(.)", rb"\1", received, flags=re.DOTALL)
