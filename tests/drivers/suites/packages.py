"""Where the suites come from: sdists of PyPI, Debian's source packages, crates. Each is fetched once, into `target/driver-suites`."""

import hashlib
import os
import re
import subprocess
import tarfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLACE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "driver-suites"

SOURCES = """\
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: {suites}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def unpacked(archive: Path) -> Path:
    """The one directory that is in an archive, unpacked beside it."""
    place = archive.with_name(archive.name + ".unpacked")
    if not place.exists():
        fresh = place.with_name(place.name + ".new")
        subprocess.run(["rm", "-rf", str(fresh)], check=True)
        fresh.mkdir()
        with tarfile.open(archive) as tar:
            tar.extractall(fresh, filter="tar")
        fresh.rename(place)
    return next(one for one in place.iterdir() if one.is_dir())


def sdist(name: str, version: str) -> Path:
    """The source distribution of PyPI's package, its checksum as the index says; nothing of it is built."""
    archive = PLACE / f"{name}-{version}.tar.gz"
    if not archive.exists():
        with urllib.request.urlopen(f"https://pypi.org/simple/{name.lower()}/", timeout=60) as page:
            link = re.search(rf'href="([^"#]+/{name}-{re.escape(version)}\.tar\.gz)#sha256=([0-9a-f]+)"', page.read().decode(), re.IGNORECASE)
        with urllib.request.urlopen(link[1], timeout=300) as answer:
            data = answer.read()
        assert hashlib.sha256(data).hexdigest() == link[2], f"{name} {version} is not what the index says"
        archive.write_bytes(data)
    return unpacked(archive)


def tests_of(source: Path, folder: str) -> Path:
    """A directory with nothing but the tests of a source: its own package, which is not built, would hide the one that is installed."""
    place = PLACE / f"{source.name}-tests"
    if not (place / folder).exists():
        place.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", str(source / folder), str(place / folder)], check=True)
    return place


def debian(package: str, version: str, suites: str = "bookworm bookworm-updates trixie sid") -> Path:
    """The upstream archive of a Debian source package, by apt-get with lists of its own; nothing is installed."""
    upstream = re.sub(r"^\d+:|-[^-]*$", "", version)
    pattern = f"{package}_{upstream}.orig.tar.*"
    if not (found := [one for one in PLACE.glob(pattern) if one.is_file()]):
        own = PLACE / "apt"
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (own / part).mkdir(parents=True, exist_ok=True)
        (own / "sources" / "debian.sources").write_text(SOURCES.format(suites=suites), encoding="utf-8")
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={own}/lists", "-o", f"Dir::Cache={own}/cache", "-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={own}/sources"]
        subprocess.run([*apt, "update"], check=True)
        # Of a package with several upstream archives one that is gone from a mirror may be one that is not needed.
        subprocess.run([*apt, "source", "--tar-only", f"{package}={version}"], cwd=PLACE, check=False)
        found = [one for one in PLACE.glob(pattern) if one.is_file()]
        assert found, f"{pattern} did not come"
    return unpacked(found[0])


def crate(name: str, version: str) -> Path:
    """A crate's own directory as cargo unpacks it, copied: cargo builds in it."""
    place = PLACE / f"{name}-{version}"
    if not place.exists():
        wanted = PLACE / "wanted-crates" / name
        (wanted / "src").mkdir(parents=True, exist_ok=True)
        (wanted / "src" / "lib.rs").touch()
        (wanted / "Cargo.toml").write_text(f'[package]\nname = "wanted"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\n{name} = {{ version = "={version}", default-features = false }}\n[workspace]\n', encoding="utf-8")
        subprocess.run(["cargo", "fetch", "--quiet"], cwd=wanted, check=True)
        home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
        [source] = home.glob(f"registry/src/*/{name}-{version}")
        subprocess.run(["cp", "-r", str(source), str(place)], check=True)
    return place
