"""How a backup is wrapped, by its first bytes where its name does not say it, and the readers that unwrap it."""

from __future__ import annotations

from collections.abc import Callable

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats import age, gz, openssl_enc, tar
from pacs_recover.formats.gz import Unzipping
from pacs_recover.formats.openssl_enc import Decrypting
from pacs_recover.formats.streams import Peeking, Reader
from pacs_recover.formats.suffixes import CONTENTS, WRAPS

SECRET = ("enc", "age")
"""Wraps that need a key."""
KNOWN = {
    "tar": "a tar archive",
    "db": "a SQLite database",
    "gz": "gzip data",
    "enc": "data of `openssl enc`",
    "age": "data of age",
}
SQLITE = b"SQLite format 3\0"
"""The first bytes of every database (https://www.sqlite.org/fileformat.html)."""
ENOUGH = tar.BLOCK
"""Bytes that ``sniff`` needs."""


def no_identity() -> str:
    """None is known. SourceError."""
    raise SourceError("it is encrypted with age, and no key file is known", age.NO_KEY)


def sniff(first: bytes) -> str:
    """What the first ``ENOUGH`` bytes show: ``enc``, ``age``, ``gz``, ``db``, ``tar`` or ``""``."""
    if first.startswith(openssl_enc.MAGIC):
        return "enc"
    if first.startswith(age.MAGIC):
        return "age"
    if first.startswith(gz.MAGIC):
        return "gz"
    if first.startswith(SQLITE):
        return "db"
    return "tar" if tar.is_header(first[: tar.BLOCK]) else ""


def unwrap(
    raw: Reader, format: str, password: Callable[[], bytes], identity: Callable[[], str] = no_identity
) -> Peeking:
    """The tar, database or other content inside a reader; a key is asked for only where a layer needs it.

    A format that does not name the content (``""``, ``gz``, ``enc``) has its first bytes looked at as well. At most one
    gzip and one encryption are unwrapped. Raises BadBackup, here and by later reads, and what asking for a key raises.
    """
    content, layers = _layers(format)
    reader = Peeking(raw)
    passed: list[str] = []
    _must_be(layers[-1] if layers else content, reader, passed)
    while layer := layers.pop() if layers else _hidden(reader):
        if layer in passed:
            raise BadBackup(
                f"The backup is wrapped in {layer} more than once",
                "Nothing that makes backups does that: take another.",
            )
        passed.append(layer)
        match layer:
            case "enc":
                reader = Peeking(Decrypting(reader, password()))
            case "age":
                reader = Peeking(age.Decrypting(reader, identity()))
            case _:
                reader = Peeking(Unzipping(reader))
        _must_be(layers[-1] if layers else content, reader, passed)
    return reader


def _layers(format: str) -> tuple[str, list[str]]:
    parts = format.split(".") if format else []
    content = parts.pop(0) if parts and parts[0] in CONTENTS else ""
    if unknown := [part for part in parts if part not in WRAPS]:
        raise ValueError(f"no such layer: {unknown[0]}")
    return content, parts


def _hidden(reader: Peeking) -> str:
    """The layer that the first bytes show though no name said it."""
    found = sniff(reader.peek(ENOUGH))
    return found if found in WRAPS else ""


def _must_be(expected: str, reader: Peeking, passed: list[str]) -> None:
    if not expected:
        return
    first = reader.peek(ENOUGH)
    if sniff(first) == expected or (expected == "tar" and first == tar.ZEROS):  # an empty archive says so itself
        return
    if first and passed[-1:] == ["enc"]:
        raise BadBackup(f"Decryption does not give {KNOWN[expected]}: wrong key, or damaged", openssl_enc.WRONG_KEY)
    why = "damaged, or something else" if first else "there is nothing in it"
    raise BadBackup(f"The backup does not hold {KNOWN[expected]}, as its name says: {why}", "Take another backup.")
