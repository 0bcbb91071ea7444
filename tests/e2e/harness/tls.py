"""Certificates for the tests, made by the openssl command: an authority, a server's certificate, and a stranger's."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. `authority` signed `certificate` (localhost, 127.0.0.1) and `client`; `stranger` signed `forged`.

    `client` and `forged` are both of a client that is called desk.example; `authority` also signed `ann` and `proxy`, which
    are of clients that are called ann and pgveil.
    """

    authority: Path
    certificate: Path
    key: Path
    stranger: Path
    other_name: Path
    other_name_key: Path
    client: Path
    client_key: Path
    forged: Path
    forged_key: Path
    ann: Path
    ann_key: Path
    proxy: Path
    proxy_key: Path

    def context(self) -> ssl.SSLContext:
        """A client's that believes `authority`."""
        return ssl.create_default_context(cafile=self.authority)


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make(directory: Path) -> Certificates:
    def authority(name: str) -> tuple[Path, Path]:
        pem, key = directory / f"{name}.crt", directory / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", f"/CN=pgveil test {name}", "-keyout", str(key), "-out", str(pem))
        return pem, key

    def signed(name: str, subject_names: str, ca: Path, ca_key: Path, file: str = "") -> tuple[Path, Path]:
        file = file or name
        pem, key, request = directory / f"{file}.crt", directory / f"{file}.key", directory / f"{file}.csr"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", str(key), "-out", str(request))
        extensions = directory / f"{file}.ext"
        extensions.write_text(f"subjectAltName={subject_names}\n", encoding="ascii")
        openssl("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial",
                "-days", "30", "-extfile", str(extensions), "-out", str(pem))
        return pem, key

    ca, ca_key = authority("authority")
    stranger, stranger_key = authority("stranger")
    certificate, key = signed("localhost", "DNS:localhost,IP:127.0.0.1", ca, ca_key)
    other_name, other_name_key = signed("elsewhere.example", "DNS:elsewhere.example", ca, ca_key)
    client = signed("desk.example", "DNS:desk.example", ca, ca_key)
    forged = signed("desk.example", "DNS:desk.example", stranger, stranger_key, "forged")
    ann = signed("ann", "DNS:ann.example", ca, ca_key)
    proxy = signed("pgveil", "DNS:pgveil.example", ca, ca_key)
    return Certificates(ca, certificate, key, stranger, other_name, other_name_key, *client, *forged, *ann, *proxy)


def self_signed(directory: Path, name: str, *key_and_hash: str) -> tuple[Path, Path]:
    """A certificate of localhost that signs itself, with this kind of key and hash (arguments of `openssl req`), and its key."""
    pem, key = directory / f"{name}.crt", directory / f"{name}.key"
    openssl("req", "-x509", *key_and_hash, "-nodes", "-days", "30", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(pem))
    return pem, key
