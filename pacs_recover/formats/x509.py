"""A directory of certificates and keys, whatever its files are called: what is in it, and whether it can be used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.formats import certificate, pem, private_key
from pacs_recover.formats.assessment import Assessed, Directory, order
from pacs_recover.formats.certificate import Certificate
from pacs_recover.formats.private_key import PrivateKey
from pacs_recover.model import Fact, FactState, Preview
from pacs_recover.text import count, safe, stamp

LARGEST = 1 << 20
"""Bytes of a file that is looked into; the certificates of every public authority take 220,000."""
MOST_FILES = 2_000
MOST_CERTIFICATES = 2_000
MOST_KEYS = 50
SUFFIXES = (".crt", ".pem", ".cer", ".der", ".key")
"""Files of these names must hold something that a TLS service can use."""
CLOSED = (".p12", ".pfx", ".jks")
"""Key stores, which open only with their password."""
MOST_LINES = 5
"""Authorities of one file that get a line each; a bundle of more gets one line."""
LOOK = "look into the directory that this backup was made of"


class Contents(Struct, frozen=True):
    """What was found in a directory, file by file, before it is judged."""

    certificates: tuple[Certificate, ...]
    keys: tuple[PrivateKey, ...]
    findings: tuple[Fact, ...]
    """Files that could not be read, or hold nothing of what their name says."""


class Report(Struct, frozen=True):
    """What a directory of certificates holds, as of one moment."""

    certificates: tuple[Assessed, ...]
    facts: tuple[Fact, ...]


def read_directory(tree: Path, now: datetime | None = None) -> Report:
    """Read and judge every certificate and key below a directory; ``now`` is aware.

    Raises BadBackup where there is no directory or far too much in it, SourceError where it cannot be read.
    """
    with certificate.quietly():
        contents = read(tree)
        directory = Directory(contents.certificates, contents.keys, now or datetime.now(UTC))
        assessed = tuple(directory.certificates())
        nothing = () if assessed else (Fact("Certificates", "there is no certificate in it", "bad"),)
        facts = (*nothing, *_lines(assessed), *order(assessed), *directory.keys(), *_grouped(contents.findings))
    return Report(assessed, facts)


def preview(tree: Path, now: datetime | None = None) -> Preview:
    """Facts about a directory of certificates, and each certificate in full. Raises as :func:`read_directory`."""
    report = read_directory(tree, now)
    return Preview(report.facts, {"certificates": [_details(one) for one in report.certificates]})


def _details(one: Assessed) -> dict[str, Any]:
    found = one.certificate
    return {
        "file": found.file,
        "subject": found.subject,
        "sans": list(found.sans),
        "issuer": found.issuer,
        "serial": found.serial,
        "not_before": stamp(found.not_before),
        "not_after": stamp(found.not_after),
        "days_left": one.days_left,
        "key_matches": one.key_matches,
        "state": one.state,
        "findings": [fact.value for fact in one.findings],
    }


def _lines(assessed: tuple[Assessed, ...]) -> Iterator[Fact]:
    """One line for each certificate; the authorities of a bundle share one."""
    bundles: dict[str, list[Assessed]] = {}
    for one in assessed:
        if not one.own:
            bundles.setdefault(one.certificate.file, []).append(one)
    for one in assessed:
        bundle = [] if one.own else bundles.get(one.certificate.file, [])
        if len(bundle) <= MOST_LINES:
            words = "; ".join([one.certificate.subject, *(fact.value for fact in one.findings)])
            yield Fact(one.certificate.name, words, one.state)
        elif one is bundle[0]:
            yield _bundle(bundle)


def _bundle(authorities: list[Assessed]) -> Fact:
    odd = [one for one in authorities if one.state != "ok"]
    first = f": {odd[0].certificate.subject}: {odd[0].findings[0].value}" if odd else ""
    words = f"{count(len(authorities), 'authority', 'authorities')}, {len(odd):,} expired, expiring or weak{first}"
    return Fact(authorities[0].certificate.file, words, "warn" if odd else "ok")


def _grouped(findings: tuple[Fact, ...]) -> Iterator[Fact]:
    """What is odd about files; many files of one oddity, links into another directory say, share a line."""
    alike: dict[tuple[str, FactState], list[Fact]] = {}
    for fact in findings:
        alike.setdefault((fact.value, fact.state), []).append(fact)
    for (value, state), facts in alike.items():
        if len(facts) <= MOST_LINES:
            yield from facts
        else:
            yield Fact(f"{facts[0].label} and {len(facts) - 1:,} more", value, state)


def matching(cert_file: Path, key_file: Path) -> Fact:
    """Whether a certificate file and a key file belong together as a TLS service loads them: the first of each."""
    label = f"{safe(cert_file.name)} and {safe(key_file.name)}"
    try:
        with certificate.quietly():
            found, key = _first_certificate(cert_file), _first_key(key_file)
    except RecoverError as error:
        return Fact(label, error.message, "bad")
    if key.encrypted:
        return Fact(label, "whether they match is not known: the key is encrypted", "warn")
    if key.problem or found.public is None:
        return Fact(label, key.problem or "the certificate's key is of a kind that cannot be read here", "bad")
    if key.public != found.public:
        return Fact(label, f"MISMATCHED: the key is not the one of {found.subject}", "bad")
    return Fact(label, f"belong together: {key.kind}, {found.subject}")


def _first_certificate(file: Path) -> Certificate:
    found = _one(file)
    if found.findings or not found.certificates:
        raise BadBackup(
            f"{safe(file.name)} {found.findings[0].value if found.findings else 'holds no certificate'}", LOOK
        )
    return found.certificates[0]


def _first_key(file: Path) -> PrivateKey:
    found = _one(file)
    if not found.keys:
        raise BadBackup(
            f"{safe(file.name)} {found.findings[0].value if found.findings else 'holds no private key'}", LOOK
        )
    return found.keys[0]


def _one(file: Path) -> Contents:
    """What one file holds. BadBackup where it cannot be read."""
    try:
        return _contents(_bytes(_real(file)), safe(file.name))
    except OSError as error:
        raise BadBackup(f"{safe(file.name)} cannot be read: {error.strerror}", LOOK) from None


def _real(path: Path) -> Path:
    """Where a path leads; unlike ``Path.resolve`` without an exception for a loop of links, which fails to open."""
    return Path(os.path.realpath(path))


def read(tree: Path) -> Contents:
    """Find every certificate and key below a directory by content. BadBackup where there is none, or far too much."""
    certificates: list[Certificate] = []
    keys: list[PrivateKey] = []
    findings: list[Fact] = []
    for path in _files(tree):
        found = _read_file(tree, path)
        certificates += found.certificates
        keys += found.keys
        findings += found.findings
        if len(certificates) > MOST_CERTIFICATES or len(keys) > MOST_KEYS:
            raise BadBackup(
                f"{safe(tree)} holds more than {MOST_CERTIFICATES:,} certificates or {MOST_KEYS} keys", LOOK
            )
    return Contents(tuple(certificates), tuple(keys), tuple(findings))


def _files(tree: Path) -> Iterator[Path]:
    if not tree.is_dir():
        raise BadBackup(f"{safe(tree)} is not a directory", LOOK)
    seen = 0
    for top, folders, names in os.walk(tree, onerror=_unreadable):
        folders.sort()
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                raise BadBackup(f"{safe(tree)} holds more than {MOST_FILES:,} files", LOOK)
            yield Path(top, name)


def _unreadable(error: OSError) -> None:
    raise SourceError(f"{safe(error.filename)} cannot be read: {error.strerror}", "run it as root") from None


def _read_file(tree: Path, path: Path) -> Contents:
    """What one file of a directory holds; a link counts where it leads to a file of the same directory."""
    name = safe(path.relative_to(tree))
    try:
        real = _real(path)
        if not real.is_relative_to(_real(tree)):
            return _only(Fact(name, "is a link that leads out of the directory; not followed", "warn"))
        return _contents(_bytes(real), name)
    except OSError as error:
        return _only(Fact(name, f"cannot be read: {error.strerror}", "warn"))


def _bytes(real: Path) -> bytes:
    """A file's content, up to one byte more than is looked into. OSError, also for what is no file."""
    fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "it is no plain file")
        return stream.read(LARGEST + 1)


def _only(finding: Fact) -> Contents:
    return Contents((), (), (finding,))


def _contents(data: bytes, name: str) -> Contents:
    """Certificates and keys of one file, PEM or DER, and what is wrong with it."""
    suffix = Path(name).suffix.lower()
    if suffix in CLOSED:
        return _only(Fact(name, "is a key store: what is in it cannot be seen without its password", "warn"))
    if len(data) > LARGEST:
        odd = Fact(name, "is larger than 1 MiB: not looked into", "warn")
        return Contents((), (), (odd,) if suffix in SUFFIXES else ())
    found = _from_pem(data, name) if pem.BEGIN in data else _from_der(data, name)
    return found if suffix not in SUFFIXES else _as_named(found, pem.BEGIN in data, name, suffix)


def _as_named(found: Contents, is_pem: bool, name: str, suffix: str) -> Contents:
    """A file that is named like a certificate or key but holds neither would be what the service fails on."""
    empty = not (found.certificates or found.keys or found.findings)
    if empty and (suffix != ".pem" or not is_pem):
        return _only(Fact(name, "holds neither a certificate nor a key that can be read", "bad"))
    return found


def _from_pem(data: bytes, name: str) -> Contents:
    certificates: list[Certificate] = []
    keys: list[PrivateKey] = []
    findings: list[Fact] = []
    for block in pem.blocks(data):
        try:
            if not block.whole and (block.is_certificate or block.is_key):
                findings.append(Fact(name, "is cut off or damaged: a certificate or key has no end", "bad"))
            elif block.is_certificate:
                certificates.append(certificate.from_pem(block.text, name, len(certificates) + 1))
            elif block.is_key:
                keys.append(private_key.from_pem(block.text, name))
        except BadBackup as error:
            findings.append(Fact(name, error.message, "bad"))
    return Contents(tuple(certificates), tuple(keys), tuple(findings))


def _from_der(data: bytes, name: str) -> Contents:
    found = certificate.from_der(data, name) if data[:1] == b"\x30" else None
    key = private_key.from_der(data, name) if data[:1] == b"\x30" and not found else None
    return Contents((found,) if found else (), (key,) if key else (), ())
