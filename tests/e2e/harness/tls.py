"""Certificates for the tests, made by the openssl command: an authority, a server's certificate, and a stranger's."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. `authority` signed `certificate` (localhost, 127.0.0.1); `stranger` signed nothing here."""

    authority: Path
    certificate: Path
    key: Path
    stranger: Path
    other_name: Path
    other_name_key: Path


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make(directory: Path) -> Certificates:
    def authority(name: str) -> tuple[Path, Path]:
        pem, key = directory / f"{name}.crt", directory / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", f"/CN=pgveil test {name}", "-keyout", str(key), "-out", str(pem))
        return pem, key

    def server(name: str, subject_names: str) -> tuple[Path, Path]:
        pem, key, request = directory / f"{name}.crt", directory / f"{name}.key", directory / f"{name}.csr"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", str(key), "-out", str(request))
        extensions = directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject_names}\n", encoding="ascii")
        openssl("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial",
                "-days", "30", "-extfile", str(extensions), "-out", str(pem))
        return pem, key

    ca, ca_key = authority("authority")
    stranger, _ = authority("stranger")
    certificate, key = server("localhost", "DNS:localhost,IP:127.0.0.1")
    other_name, other_name_key = server("elsewhere.example", "DNS:elsewhere.example")
    return Certificates(ca, certificate, key, stranger, other_name, other_name_key)
