"""Finds out on PostgreSQL itself which arguments of which calls decide whether the call fails."""

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import psycopg
from calls import EXTENSIONS, FUNCTIONS, OPERATORS, Call, casts, forms, functions, operators
from harness.postgres import Postgres
from samples import SAMPLES, literal

GOLDEN = Path(__file__).resolve().parents[1] / "e2e" / "golden" / "failing.tsv"
COMBINATIONS = 48
PROBE = """
CREATE FUNCTION probe(before text, after text, samples text[], OUT bad text, OUT good text, OUT state text, OUT ran int) LANGUAGE plpgsql AS $$
DECLARE sample text;
BEGIN
    ran := 0;
    FOREACH sample IN ARRAY samples LOOP
        BEGIN
            EXECUTE 'SELECT ' || before || sample || after || ' LIMIT 3';
            good := coalesce(good, sample);
            ran := ran + 1;
        EXCEPTION
            -- what is not there fails for all of them; what runs out of time or memory is no property of the call
            WHEN undefined_function OR ambiguous_function OR undefined_object OR syntax_error OR cannot_coerce THEN
                IF sqlerrm ~ '(function|operator|aggregate) .*(does not exist|is not unique)|syntax error at or near|cannot cast type|anyelement|polymorphic' THEN RETURN; END IF;
                bad := coalesce(bad, sample);
                state := coalesce(state, sqlstate);
            WHEN query_canceled THEN RAISE;
            WHEN OTHERS THEN
                bad := coalesce(bad, sample);
                state := coalesce(state, sqlstate);
        END;
        EXIT WHEN bad IS NOT NULL AND good IS NOT NULL;
    END LOOP;
END $$;
"""


def usable(connection, of: str) -> list[str]:
    """The samples that the type accepts as input."""
    kept = []
    for text in SAMPLES[of]:
        value = literal(text, of)
        try:
            connection.execute(f"SELECT {value}")
            kept.append(value)
        except psycopg.Error:
            pass
    # last: most functions return NULL for it, and the others' first sample is an ordinary one
    return [*kept, "NULL::record" if of == "record" else f"NULL::{of}"]


class Finder:
    def __init__(self, connection):
        self.connection = connection
        self.samples = {of: usable(connection, of) for of in SAMPLES}
        self.chance = random.Random(7)
        self.late: list[str] = []

    def pieces(self, call: Call, place: int) -> list[tuple[str, str]]:
        """What stands before and behind the argument at `place`, for many choices of the others."""
        parts = call.template.split("{}")
        others = [self.samples[of] for number, of in enumerate(call.types) if number != place]
        total = 1
        for choices in others:
            total *= len(choices)
        picks = []
        if total <= COMBINATIONS:
            picks = [[]]
            for choices in others:
                picks = [[*pick, choice] for pick in picks for choice in choices]
        else:
            # the first sample of each type is an ordinary one
            picks = [[choices[0] for choices in others]]
            for number, choices in enumerate(others):
                for choice in [*choices[:12], choices[-1]]:
                    picks.append([choice if at == number else other[0] for at, other in enumerate(others)])
            picks += [[self.chance.choice(choices) for choices in others] for _ in range(COMBINATIONS)]
        found = []
        for pick in picks:
            values = iter(pick)
            whole = [parts[0]]
            at = 0
            for number in range(len(call.types)):
                whole.append("\0" if number == place else next(values))
                whole.append(parts[number + 1])
                at += 1
            before, after = "".join(whole).split("\0")
            found.append((before, after))
        return found

    def witness(self, call: Call, place: int):
        """(before, after, bad, good, state); False where nothing ran; None where nothing failed."""
        pieces = self.pieces(call, place)
        befores, afters = [one for one, _ in pieces], [two for _, two in pieces]
        samples = self.samples[call.types[place]]
        sql = """SELECT u.b, u.a, p.* FROM unnest(%s::text[], %s::text[]) AS u(b, a), LATERAL probe(u.b, u.a, %s::text[]) p
                 WHERE p.bad IS NOT NULL AND p.good IS NOT NULL LIMIT 1"""
        try:
            row = self.connection.execute(sql, (befores, afters, samples)).fetchone()
            if row:
                return row[:5]
            ran = self.connection.execute("SELECT max((probe(b, a, %s::text[])).ran) FROM unnest(%s::text[], %s::text[]) u(b, a)", (samples, befores, afters)).fetchone()
            return None if ran and ran[0] else False
        except psycopg.errors.QueryCanceled:
            self.late.append(f"{call.template} at {place + 1}")
            return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--never", type=Path, help="write the calls of which no argument made any difference to that file")
    parser.add_argument("names", nargs="*", help="only calls of these names")
    options = parser.parse_args()
    server = Postgres("failing").start()
    try:
        with psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: None)
            connection.execute("SET statement_timeout = '4s'; SET client_min_messages = error; SET xmloption = content")
            for extension in EXTENSIONS:
                connection.execute(f"CREATE EXTENSION {extension}")
            connection.execute(PROBE)
            calls = functions(connection.execute(FUNCTIONS).fetchall()) + operators(connection.execute(OPERATORS).fetchall()) + forms() + casts()
            calls = [call for call in calls if not options.names or call.name in options.names]
            finder = Finder(connection)
            lines, never, seen = [], [], set()
            for number, call in enumerate(calls):
                if number % 200 == 0:
                    print(f"{number} of {len(calls)}, {len(lines)} failing", file=sys.stderr, flush=True)
                if (call.template, call.types) in seen:
                    continue
                seen.add((call.template, call.types))
                outcomes = [finder.witness(call, place) for place in range(len(call.types))]
                for place, outcome in enumerate(outcomes):
                    if outcome:
                        before, after, bad, good, state = outcome
                        lines.append("\t".join((call.name, ", ".join(call.types), str(place + 1), state, before, after, bad, good)))
                if not any(outcomes) and None in outcomes:
                    never.append(f"{call.name}\t{', '.join(call.types)}")
            if not options.names:
                GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
            else:
                print("\n".join(lines))
            if options.never:
                options.never.write_text("\n".join(never) + "\n", encoding="utf-8")
            print(f"{len(calls)} calls, {len(lines)} arguments that decide, {len(never)} calls that never failed; out of time: {finder.late}", file=sys.stderr)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
