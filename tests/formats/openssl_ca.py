"""Certificates made by the real openssl, with any dates: ``openssl ca`` is its one command that takes them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pacs_recover.formats import x509
from pacs_recover.model import Preview

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALGORITHMS = {
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "weak": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ed25519": ("-algorithm", "ED25519"),
}
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
SERVER = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:pacs.example,DNS:localhost,IP:127.0.0.1\n"
CONFIG = """
[ca]
default_ca = d
[d]
database = {work}/index.txt
new_certs_dir = {work}
rand_serial = yes
unique_subject = no
default_md = {digest}
policy = p
email_in_dn = yes
[p]
countryName = optional
organizationName = optional
commonName = supplied
emailAddress = optional
"""


def openssl(*args: object) -> str:
    """Run openssl and return what it prints; a failure shows its own words."""
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def key(path: Path, kind: str = "ec", *more: str) -> Path:
    """Make a private key."""
    openssl("genpkey", *ALGORITHMS[kind], "-out", path, *more)
    return path


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(
        self, work: Path, subject: str = "/CN=Root", above: Authority | None = None, kind: str = "ec", **dates: str
    ) -> None:
        work.mkdir(parents=True)
        (work / "index.txt").touch()
        self.work = work
        self.key = key(work / "ca.key", kind)
        self.certificate = work / "ca.crt"
        issuer = above or self
        issuer.issue(self.certificate, self.key, subject, extensions=AUTHORITY, self_signed=above is None, **dates)

    def issue(
        self,
        certificate: Path,
        private: Path,
        subject: str = "/CN=pacs.example",
        *,
        start: str = "20260101000000Z",
        end: str = "20270601000000Z",
        extensions: str = SERVER,
        digest: str = "sha256",
        self_signed: bool = False,
    ) -> Path:
        """Sign a certificate for a key."""
        config, request, extra = (self.work / name for name in ("ca.cnf", "request.csr", "extensions.cnf"))
        config.write_text(CONFIG.format(work=self.work, digest=digest))
        extra.write_text(extensions)
        openssl("req", "-new", "-utf8", "-key", private, "-subj", subject, "-out", request)
        signer = ("-selfsign",) if self_signed else ("-cert", self.certificate)
        openssl(
            *("ca", "-batch", "-notext", "-utf8", "-config", config, "-keyfile", self.key, *signer, "-in", request),
            *("-out", certificate, "-startdate", start, "-enddate", end, "-extfile", extra),
        )
        return certificate

    def server(self, directory: Path, name: str = "server", kind: str = "ec", **options: Any) -> Path:
        """A server's certificate and key, as ``server.crt`` and ``server.key``."""
        directory.mkdir(exist_ok=True)
        return self.issue(directory / f"{name}.crt", key(directory / f"{name}.key", kind), **options)


def look(directory: Path, now: datetime = NOW) -> Preview:
    """The preview of a directory as of one moment."""
    return x509.preview(directory, now)


def one(directory: Path, file: str = "server.crt", now: datetime = NOW) -> dict[str, Any]:
    """The first certificate of one file, as the JSON contract shows it."""
    rows: list[dict[str, Any]] = look(directory, now).details["certificates"]
    return next(row for row in rows if row["file"] == file)


def said(directory: Path, file: str = "server.crt", now: datetime = NOW) -> str:
    """All that was found of that certificate."""
    return "; ".join(one(directory, file, now)["findings"])


def put(directory: Path, name: str, *parts: Path) -> Path:
    """Write several files into one, as a bundle."""
    target = directory / name
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target
