"""Changes statements token by token, the ways in which readers of SQL are known to come apart."""

import random
import re

TOKEN = re.compile(
    r"""
    \s+ | --[^\n]*\n? | /\*.*?\*/ | \$(\w*)\$.*?\$\1\$
    | [eEbBxXnN]?'(?:[^'\\]|''|\\.)*' | [uU]&'(?:[^']|'')*' | [uU]&"(?:[^"]|"")*" | "(?:[^"]|"")*"
    | \$\d+ | \d+(?:\.\d*)?(?:[eE][+-]?\d+)? | [^\W\d][\w$]* | :: | [-+*/<>=~!@#%^&|`?]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)

KEYWORDS = (
    "END ONLY OR AND NOT XOR RLIKE REGEXP DIV INTERVAL ISNULL NOTNULL AS FROM WHERE SELECT TABLE VALUES UNION EXCEPT INTERSECT ALL DISTINCT ON "
    "USING NATURAL JOIN LEFT FULL CROSS LATERAL WITH RECURSIVE MATERIALIZED GROUP BY ORDER HAVING WINDOW OVER PARTITION ROWS RANGE FILTER "
    "WITHIN LIMIT OFFSET FETCH FIRST FOR UPDATE SHARE OF INTO INSERT DELETE SET DEFAULT RETURNING MERGE MATCHED THEN WHEN CASE ELSE CAST "
    "COLLATE AT TIME ZONE BETWEEN SYMMETRIC IN LIKE ILIKE SIMILAR TO ESCAPE UESCAPE ANY SOME EXISTS ARRAY ROW IS NULL TRUE UNKNOWN DOCUMENT "
    "OPERATOR TABLESAMPLE ORDINALITY VARIADIC XMLTABLE XMLELEMENT EXTRACT SUBSTRING TRIM OVERLAY POSITION GROUPING SETS CUBE ROLLUP EXPLAIN "
    "ANALYZE DECLARE CURSOR PREPARE COPY STDOUT CREATE TEMP VIEW BEGIN ATOMIC DO CALL QUALIFY TOP MINUS PIVOT SETTINGS FORMAT PREWHERE "
    "GLOBAL FINAL SAMPLE CLUSTER SORT STRUCT MAP CONNECT PRIOR START LOCALTIME CURRENT_USER USER SESSION_USER"
).split()
SYMBOLS = ["(", ")", ",", ";", ".", "*", "::", ":", "=", "[", "]", "||", "->", "->>", "@", "!", "?", "$1", ":=", "=>", "<>", "!=", "+", "-", "..", "{", "}",
           "\\", "`", "#", "&", "%", "~", "^@", "@-", "1", "1.", ".5", "0x1F", "1e5", "1_0", "'x'", '"q"', "E'\\''", "U&'\\0061'", "$$a$$", "--\n", "/* */"]
SPACES = ["\x0b", "\x0c", "\u00a0", "\r", "\r\n", "\t", "\n", "/**/", "--x\n", "/* /* */ */", "/*'*/", "--'\n", "\u2003", "\ufeff"]


def tokens(text: str) -> list[str]:
    return [match.group() for match in TOKEN.finditer(text)]


class Mutator:
    """Mutants of a set of statements, in an order that the seed decides."""

    def __init__(self, texts: list[str], seed: int):
        self.random = random.Random(seed)
        self.texts = [tokens(text) for text in texts]
        self.ways = [
            self.drop, self.double, self.swap, self.insert_keyword, self.insert_keyword, self.insert_symbol, self.requote, self.space,
            self.comment, self.glue, self.splice, self.splice, self.case, self.escape, self.prefix, self.dollar, self.replace_word,
            self.number_before, self.parentheses,
        ]

    def mutant(self) -> str:
        made = list(self.random.choice(self.texts))
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 3, 4))):
            if made:
                self.random.choice(self.ways)(made)
        return "".join(made)

    def at(self, made: list[str], wanted=None) -> int | None:
        places = [place for place, token in enumerate(made) if wanted is None or wanted(token)]
        return self.random.choice(places) if places else None

    def word(self, made):
        return self.at(made, lambda token: token[0].isalpha() or token[0] == "_")

    def drop(self, made):
        del made[self.at(made)]

    def double(self, made):
        place = self.at(made)
        made.insert(place, " ")
        made.insert(place, made[place + 1])

    def swap(self, made):
        solid = [place for place, token in enumerate(made) if not token.isspace()]
        if len(solid) > 1:
            which = self.random.randrange(len(solid) - 1)
            one, two = solid[which], solid[which + 1] if self.random.random() < 0.7 else self.random.choice(solid)
            made[one], made[two] = made[two], made[one]

    def insert_keyword(self, made):
        word = self.random.choice(KEYWORDS)
        made[self.at(made):0] = [" ", self.random.choice((word, word.lower())), " "] if self.random.random() < 0.9 else [word]

    def insert_symbol(self, made):
        made.insert(self.at(made), self.random.choice(SYMBOLS))

    def replace_word(self, made):
        place = self.word(made)
        if place is not None:
            made[place] = self.random.choice(KEYWORDS)

    def requote(self, made):
        place = self.at(made, lambda token: token[0] in "'\"")
        if place is not None:
            token = made[place]
            made[place] = self.random.choice((
                "'" + token[1:-1] + "'", '"' + token[1:-1] + '"', token[:-1], token[1:], token + token, token + " " + token, token + "\n" + token,
                token[0] + "\\" + token[1:], token[:-1] + "\\" + token[-1], token[0] * 2 + token[1:-1] + token[-1] * 2, "`" + token[1:-1] + "`",
                "[" + token[1:-1] + "]",
            ))

    def prefix(self, made):
        place = self.at(made, lambda token: token[0] in "'\"")
        if place is not None:
            made[place] = self.random.choice(("E", "e", "U&", "u&", "B", "X", "N", "n", "_utf8", "R", "Q", "date ", "interval ", "U& ", "text", "r")) + made[place]

    def space(self, made):
        place = self.at(made, str.isspace) if self.random.random() < 0.7 else self.at(made)
        if place is not None:
            made[place:place + (1 if made[place].isspace() else 0)] = [self.random.choice(SPACES)]

    def comment(self, made):
        place = self.at(made)
        made[place] = self.random.choice(("/*", "/* /*", "--", "/*+ ", "#", "//", "--'")) + made[place] + self.random.choice(("*/", "*/ */", "\n", "", "\r"))

    def glue(self, made):
        place = self.at(made, str.isspace)
        if place is not None:
            del made[place]

    def splice(self, made):
        other = self.random.choice(self.texts)
        if not other:
            return
        begin = self.random.randrange(len(other))
        piece = other[begin:begin + self.random.randint(1, 12)]
        place = self.at(made)
        made[place:place + self.random.choice((0, 0, 1, len(piece)))] = piece

    def case(self, made):
        place = self.word(made)
        if place is not None:
            made[place] = self.random.choice((made[place].upper(), made[place].lower(), made[place].swapcase(), made[place].title()))

    def escape(self, made):
        place = self.word(made)
        if place is not None and made[place].isalnum():
            word = made[place].lower()
            at = self.random.randrange(len(word))
            code = f"{ord(word[at]):04x}"
            made[place] = self.random.choice((
                f'U&"{word[:at]}\\{code}{word[at + 1:]}"', f'u&"{word[:at]}!{code}{word[at + 1:]}" UESCAPE \'!\'', f'"{word}"', f'"{word.upper()}"',
                f'U&"{word[:at]}\\+00{code}{word[at + 1:]}"', f"{word}{'x' * 63}", f'"{word}""{word}"', f"{word}\u00e9", f"{word}$", f"E'{word}'",
            ))

    def dollar(self, made):
        place = self.at(made)
        tag = self.random.choice(("", "a", "A_1", "1", "\u00e9", "select"))
        made[place] = f"${tag}${made[place]}${self.random.choice((tag, tag, ''))}$"

    def number_before(self, made):
        place = self.at(made, lambda token: token[0].isalnum() or token[0] in ".$")
        if place is not None:
            made[place] = self.random.choice(("1", "0x", "1e", "1.", "$1", "1_", "0b1", "0o7", ".1")) + made[place]

    def parentheses(self, made):
        one = self.at(made)
        two = self.random.randint(one, len(made))
        made.insert(two, ")")
        made.insert(one, "(")
