"""The statements of PostgreSQL's own regression suite, against the tables that the suite makes.

The suite is not part of this repository: give the directory `src/test/regress` of PostgreSQL's source, as `tests/regress/suite`
fetches it. What the suite drops or rolls back is kept, so that its statements still mean
something when all of its files have run; which columns are tagged is decided by their place (every second one).
"""

import json
import os
import re
import subprocess
from pathlib import Path

from harness.postgres import Postgres

TOKEN = re.compile(
    r"""--[^\n]*\n? | /\*.*?\*/ | \$(\w*)\$.*?\$\1\$ | [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | ; | [^;'"$/eE-]+ | .""",
    re.VERBOSE | re.DOTALL,
)
# What is about queries; the rest is about types, upkeep and rights, or runs for minutes.
WANTED = set(
    "test_setup boolean text strings arrays json jsonb create_table create_view create_aggregate inherit select select_into select_distinct "
    "select_distinct_on select_implicit select_having subselect union case join aggregates insert insert_conflict update delete merge returning "
    "rowtypes rangefuncs limit groupingsets window with tsrf generated domain polymorphism updatable_views portals matview identity xml "
    "join_hash partition_join equivclass functional_deps select_views tablesample xmlmap jsonpath_encoding".split()
)


def files(directory: Path) -> list[Path]:
    """In the order of the schedule."""
    found = []
    for line in (directory / "parallel_schedule").read_text().splitlines():
        if line.startswith("test:"):
            found += [name for name in line.split()[1:] if name in WANTED]
    return [directory / "sql" / f"{name}.sql" for name in found if (directory / "sql" / f"{name}.sql").exists()]


def kept(text: str) -> str:
    """The same without what would take objects away again."""
    text = re.sub(r"(?im)^\s*(drop|truncate)\s[^;]*;", "", text)
    text = re.sub(r"(?im)^\s*rollback\s*;", "COMMIT;", text)
    text = re.sub(r"(?i)\bcreate\s+(local\s+|global\s+)?temp(orary)?\s+", "CREATE ", text)
    return re.sub(r"(?im)^\s*(set\s+(local\s+)?(session|role)|reset\s+(session|role))[^;]*;", "", text)


def make(postgres: Postgres, directory: Path) -> None:
    """Run the files; what fails, fails."""
    environment = {**os.environ, "PG_ABS_SRCDIR": str(directory), "PG_ABS_BUILDDIR": str(directory), "PG_LIBDIR": str(directory), "PG_DLSUFFIX": ".so"}
    for path in files(directory):
        command = ["psql", "-X", "-q", "-h", str(postgres.base), "-p", str(postgres.port), "-U", "postgres", "-d", "postgres", "-f", "-"]
        try:
            subprocess.run(command, input=kept(path.read_text(errors="replace")).encode(), capture_output=True, check=False, env=environment, timeout=30)
        except subprocess.TimeoutExpired:
            print(f"{path.name} takes too long: left off")


def split(text: str) -> list[str]:
    """Cut at semicolons outside of strings and comments; psql's own lines and COPY's data go."""
    text = re.sub(r"(?im)^(copy\s[^;]*from\s+stdin[^;]*;)\n(.*?)^\\\.$", "", text, flags=re.DOTALL)
    text = re.sub(r"(?m)^\\.*$", "", text)
    found, current = [], ""
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == ";":
            found.append(current.strip())
            current = ""
        elif not token.startswith("--"):
            current += token
    return [one for one in found if one]


def statements(directory: Path) -> list[str]:
    """Every statement that yields or changes rows, once."""
    wanted = re.compile(r"(?i)^\(*\s*(select|with|insert|update|delete|merge|values|table)\b")
    found: dict[str, None] = {}
    for path in files(directory):
        for one in split(path.read_text(errors="replace")):
            if wanted.match(one) and "\\" not in one and len(one) < 20_000 and not re.search(r":['\"]?[a-z]\w*['\"]?", one.replace("::", "")):
                found[one] = None
    return list(found)


def policy(postgres: Postgres) -> str:
    """Every second column of every table is tagged."""
    rows = postgres.psql(
        "SELECT pg_catalog.json_build_array(n.nspname, c.relname, a.attname) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND a.attnum % 2 = 0 AND NOT a.attisdropped "
        "AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1::text"
    )
    tables: dict[str, list[str]] = {}
    for line in rows.splitlines():
        schema, table, column = json.loads(line)
        quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))
        tables.setdefault(quoted, []).append(column)
    text = "version: 1\ntags:\n  secret: { mask: full, filter: equality }\ncolumns:\n"
    for table, columns in tables.items():
        text += f"  {json.dumps(table)}:\n" + "".join(f"    {json.dumps(column)}: secret\n" for column in columns)
    return text
