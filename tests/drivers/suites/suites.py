"""The suites, each as its package ships it: where it comes from, how it is called, how its results are read."""

import hashlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packages import PLACE, crate, debian, sdist, tests_of

HERE = Path(__file__).resolve().parent

Outcomes = dict[str, str]
"""For each test `passed`, `failed` or `skipped`."""


@dataclass
class Suite:
    """`fetch` gives its directory; `play(place, environment, log)` runs it once. `database`: which one it uses; `sql`, and `files` of its directory: what it finds there."""

    name: str
    version: str
    fetch: Callable[[], Path]
    play: Callable[[Path, dict[str, str], Path], Outcomes]
    database: str = "suite"
    sql: str = ""
    files: tuple[str, ...] = ()
    # Where its tests can be told no other.
    port: int | None = None


def called(command: list[str], place: Path, environment: dict[str, str], log: Path, seconds: float) -> tuple[int, str]:
    """Runs a command; what it says is added to the log and returned."""
    try:
        done = subprocess.run(command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False)
        code, said = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        code, said = -1, (late.stdout or b"").decode(errors="replace") + f"\nnot done after {seconds} s"
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"==== {' '.join(command)}\n{said}\n")
    return code, said


def by_pytest(*arguments: str, seconds: float = 900, more: Callable[[dict[str, str]], dict[str, str]] = lambda _: {}) -> Callable:
    def play(place: Path, environment: dict[str, str], log: Path) -> Outcomes:
        report = log.with_suffix(".xml")
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "--timeout=60", f"--junitxml={report}", *arguments]
        called(command, place, environment | more(environment), log, seconds)
        outcomes = {}
        for case in ElementTree.parse(report).iter("testcase"):
            said = {one.tag for one in case}
            outcome = "failed" if said & {"failure", "error"} else "skipped" if "skipped" in said else "passed"
            outcomes[f"{case.get('classname')}::{case.get('name')}"] = outcome
        return outcomes
    return play


def by_node(*folders: str) -> Callable:
    """Each file is a program of its own; what of it failed is the file's outcome, what it said passed is counted."""
    def play(place: Path, environment: dict[str, str], log: Path) -> Outcomes:
        environment = environment | {"PGTESTNOSSL": "1", "NODE_PATH": str(node_modules())}
        called(["node", "script/create-test-tables.js"], place, environment, log, 60)
        outcomes = {}
        for folder in folders:
            for file in sorted((place / folder).rglob("*-tests.js")):
                name = str(file.relative_to(place))
                code, said = called(["node", name], place, environment, log, 60)
                outcomes[name] = "failed" if code else "passed"
                for test, end in re.findall(r"^  (.+?) (✔|FAILED!|\? - SKIPPED)$", said, re.MULTILINE):
                    outcomes[f"{name}: {test}"] = {"✔": "passed", "FAILED!": "failed"}.get(end, "skipped")
        return outcomes
    return play


def by_go(folder: str) -> Callable:
    def play(place: Path, environment: dict[str, str], log: Path) -> Outcomes:
        home = PLACE / "go"
        linked = home / "src" / folder
        linked.parent.mkdir(parents=True, exist_ok=True)
        linked.unlink(missing_ok=True)
        linked.symlink_to(place)
        environment = environment | {"GO111MODULE": "off", "GOPATH": f"{home}:/usr/share/gocode", "PQTEST_DRIVER": ""}
        _, said = called(["go", "test", "-v", "-count=1", f"{folder}/..."], linked, environment, log, 600)
        ends = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}
        return {name: ends[end] for end, name in re.findall(r"^ *--- (PASS|FAIL|SKIP): (\S+)", said, re.MULTILINE)}
    return play


def by_cargo(*arguments: str, anew: tuple[str, ...] = (), seconds: float = 2400) -> Callable:
    """`anew`: files that are compiled each time, since what they are compiled to comes from the server."""
    def play(place: Path, environment: dict[str, str], log: Path) -> Outcomes:
        for name in anew:
            (place / name).touch()
        url = f"postgres://postgres:pw@{environment['PGHOST']}:{environment['PGPORT']}/{environment['PGDATABASE']}?sslmode=disable"
        environment = environment | {"DATABASE_URL": url, "CARGO_TARGET_DIR": str(PLACE / "cargo"), "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_TERM_COLOR": "never"}
        _, said = called(["cargo", "test", "--no-fail-fast", *arguments], place, environment, log, seconds)
        ends = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
        outcomes = {}
        for part in re.split(r"^ +Running ", said, flags=re.MULTILINE)[1:]:
            name = part.split()[0]
            for test, end in re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", part, re.MULTILINE):
                outcomes[f"{name}: {test}"] = ends[end]
        return outcomes
    return play


def node_modules() -> Path:
    """What the suite of node-postgres wants beside the package itself."""
    place = PLACE / "node"
    if not (place / "node_modules").exists():
        place.mkdir(exist_ok=True)
        (place / "package.json").write_text('{"private": true, "dependencies": {"pg-types": "2.2.0", "pgpass": "1.0.5", "async": "2.6.4", "bluebird": "3.7.2", "co": "4.6.0", "pg-copy-streams": "0.3.0"}}', encoding="utf-8")
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"], cwd=place, check=True)
    return place / "node_modules"


def node_postgres() -> Path:
    """The packages of node-postgres' one repository, so that they find each other."""
    place = debian("node-postgres", "8.16.3+~cs35.24.27-5")
    modules = place / "packages" / "node_modules"
    if not modules.exists():
        modules.mkdir()
        for name in ("pg", "pg-pool", "pg-connection-string", "pg-cursor", "pg-query-stream"):
            (modules / name).symlink_to(place / "packages" / name)
        # It is written in TypeScript: the same release as npm has it.
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(PLACE / "node-protocol"), "pg-protocol@1.10.3"], check=True)
        (modules / "pg-protocol").symlink_to(PLACE / "node-protocol" / "node_modules" / "pg-protocol")
    return place / "packages" / "pg"


def dbd_pg() -> Path:
    """DBD::Pg, built where it is: its tests are of this very version."""
    place = debian("libdbd-pg-perl", "3.18.0-1")
    if not (place / "blib").exists():
        subprocess.run(["sh", "-c", "perl Makefile.PL </dev/null && make"], cwd=place, check=True, stdout=subprocess.DEVNULL)
    return place


def by_prove(place: Path, environment: dict[str, str], log: Path) -> Outcomes:
    environment = environment | {"DBI_DSN": f"dbi:Pg:dbname={environment['PGDATABASE']};host={environment['PGHOST']};port={environment['PGPORT']}", "DBI_USER": "postgres", "DBDPG_TEST_ALWAYS_ENV": "1"}
    outcomes = {}
    for file in sorted((place / "t").glob("*.t")):
        name = f"t/{file.name}"
        code, said = called(["perl", "-Mblib", name], place, environment, log, 120)
        outcomes[name] = "failed" if code else "passed"
        for no, number, what in re.findall(r"^(not )?ok (\d+)(.*)$", said, re.MULTILINE):
            outcomes[f"{name}: {number}"] = "failed" if no else "skipped" if "# skip" in what.lower() else "passed"
    return outcomes


def tests_of_crate(name: str, version: str, unused: tuple[str, ...], more: str = "") -> Path:
    """A crate whose manifest does not ask for what only benchmarks or tests for other servers use. `more`: what it says besides."""
    place = crate(name, version)
    # It is not to ask for a compiler of its own.
    (place / "rust-toolchain.toml").unlink(missing_ok=True)
    manifest = place / "Cargo.toml"
    said = manifest.read_text(encoding="utf-8")
    if "[workspace]" not in said:
        for section in (*(rf"\[dev-dependencies\.{one}\]" for one in unused), r"\[\[bench\]\]"):
            said = re.sub(rf"^{section}\n(?:[^\[\n].*\n|\n)*", "", said, flags=re.MULTILINE)
        manifest.write_text(f"{said}\n[workspace]\n{more}", encoding="utf-8")
    return place


def sqlx() -> Path:
    """sqlx with what its tests want of a package that is not published."""
    own = f'[patch.crates-io]\nsqlx = {{ path = "." }}\n[dev-dependencies.sqlx-test]\npath = "{HERE / "sqlx_test"}"\n'
    return tests_of_crate("sqlx", "0.8.6", ("async-std", "criterion", "libsqlite3-sys", "trybuild"), own)


def libpq_pipeline() -> Path:
    """PostgreSQL's own test of libpq's pipeline mode, built with the headers that the regression suite has fetched."""
    regress = PLACE.parent / "regression-suite"
    subprocess.run([str(HERE.parents[1] / "regress" / "suite")], check=True, stdout=subprocess.DEVNULL)
    place = PLACE / "libpq_pipeline"
    if not (place / "libpq_pipeline").exists():
        place.mkdir(exist_ok=True)
        [archive] = (regress / "download").glob("postgresql-15_*.orig.tar.bz2")
        subprocess.run(["tar", "-xf", str(archive), "-C", str(place), "--strip-components=5", "--no-same-owner", "--wildcards", "*/src/test/modules/libpq_pipeline"], check=True)
        server = regress / "headers" / "usr"
        subprocess.run(["cc", "-O1", "-o", "libpq_pipeline", "libpq_pipeline.c", f"-I{server}/include/postgresql/15/server", "-I/usr/include/postgresql/15/server", "-I/usr/include/postgresql",
                        f"-L{server}/lib/postgresql/15/lib", "-lpq", "-lpgcommon", "-lpgport"], cwd=place, check=True)
    return place


def play_libpq_pipeline(place: Path, environment: dict[str, str], log: Path) -> Outcomes:
    """Each of its tests; where PostgreSQL itself compares libpq's trace of the messages with one that it keeps, that, too."""
    program = str(place / "libpq_pipeline")
    _, names = called([program, "tests"], place, environment, log, 60)
    outcomes = {}
    for name in names.split():
        trace = log.with_suffix(".trace")
        trace.unlink(missing_ok=True)
        code, _ = called([program, "-t", str(trace), "-r", "700", name, "dbname=suite"], place, environment, log, 600)
        outcomes[name] = "failed" if code else "passed"
        if (place / "traces" / f"{name}.trace").exists() and trace.exists():
            outcomes[f"{name}: messages {hashlib.sha256(trace.read_bytes()).hexdigest()[:16]}"] = "passed"
    return outcomes


SQLX_TESTS = ["postgres", "postgres-types", "postgres-describe", "postgres-error", "postgres-derives", "postgres-macros", "postgres-test-attr", "postgres-migrate", "postgres-query-builder",
              "postgres-rustsec", "any", "any-pool", "migrate-macro"]
SQLX_FEATURES = "any,postgres,runtime-tokio,macros,migrate,_unstable-all-types"

# As tokio-postgres' repository prepares its server.
TOKIO_USERS = """
SET password_encryption = 'scram-sha-256'; CREATE ROLE scram_user PASSWORD 'password' LOGIN;
SET password_encryption = 'md5'; CREATE ROLE md5_user PASSWORD 'password' LOGIN; CREATE ROLE pass_user PASSWORD 'password' LOGIN;
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
"""

SUITES = [
    Suite("asyncpg", "0.32.0", lambda: tests_of(sdist("asyncpg", "0.32.0"), "tests"), by_pytest("tests"), database="postgres"),
    Suite("psycopg2", "2.9.13", lambda: sdist("psycopg2", "2.9.13"), by_pytest("tests", more=lambda it: {"PSYCOPG2_TESTDB": "suite", "PSYCOPG2_TEST_REPL_DSN": ""}),
          sql="CREATE EXTENSION hstore;"),
    Suite("pg8000", "1.31.6", lambda: tests_of(sdist("pg8000", "1.31.6"), "test"), by_pytest("test", "--ignore-glob=*benchmarks*"), database="postgres", sql="CREATE EXTENSION hstore;"),
    Suite("node-postgres", "8.16.3", node_postgres, by_node("test/unit", "test/integration")),
    Suite("lib/pq", "1.10.7", lambda: debian("golang-github-lib-pq", "1.10.7-2"), by_go("github.com/lib/pq"), database="pqgotest"),
    Suite("libpq, pipeline mode", "15", libpq_pipeline, play_libpq_pipeline),
    Suite("DBD::Pg", "3.18.0", dbd_pg, by_prove),
    Suite("sqlx", "0.8.6", sqlx, by_cargo("--no-default-features", "--features", SQLX_FEATURES, *[word for name in SQLX_TESTS for word in ("--test", name)], anew=("tests/postgres/macros.rs",)),
          files=("tests/postgres/setup.sql",)),
    Suite("tokio-postgres", "0.7.18", lambda: tests_of_crate("tokio-postgres", "0.7.18", ("criterion",)), by_cargo("--test", "test", "--all-features"), database="postgres", port=5433, sql=TOKIO_USERS),
]
