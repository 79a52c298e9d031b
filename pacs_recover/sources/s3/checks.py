"""What the bucket says of an object's content, held against what came."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from pacs_recover.errors import SourceError
from pacs_recover.sources.s3.client import telling
from pacs_recover.sources.s3.place import Place


class Hash(Protocol):
    """As hashlib's."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class Crc32:
    """zlib's CRC-32 with the verbs of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """Four bytes, most significant first, as S3's header has them."""
        return self._value.to_bytes(4, "big")


class Checks:
    """Digests that grow with the content, and what each must be in the end."""

    def __init__(self, expected: list[tuple[str, Hash, bytes]]) -> None:
        self._expected = expected

    @property
    def names(self) -> tuple[str, ...]:
        """What the content is held against."""
        return tuple(name for name, _, _ in self._expected)

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        for _, growing, _ in self._expected:
            growing.update(data)

    def failed(self) -> str:
        """The name of the first that does not match; empty where all do."""
        return next((name for name, growing, wanted in self._expected if growing.digest() != wanted), "")


NATIVE: dict[str, tuple[str, Callable[[], Hash]]] = {
    "ChecksumSHA256": ("SHA-256 checksum", hashlib.sha256),
    "ChecksumSHA1": ("SHA-1 checksum", lambda: hashlib.sha1(usedforsecurity=False)),
    "ChecksumCRC32": ("CRC-32 checksum", Crc32),
}
"""Checksums of whole objects that this Python can compute at the speed of a download; CRC-32C and CRC-64 are not."""


def checks_of(client: Any, place: Place, answer: dict[str, Any], *, aws: bool) -> Checks:
    """How the content that this answer begins can be verified: by its MD5 where the ETag is one, else by a checksum."""
    md5 = _md5(answer, aws)
    if md5:
        return Checks([("MD5 (ETag)", hashlib.md5(usedforsecurity=False), md5)])
    try:
        with telling(place):
            head = client.head_object(**place.named, ChecksumMode="ENABLED")
    except SourceError:
        return Checks([])  # it is an additional proof, and the content can be read without
    in_parts = "-" in str(answer.get("ETag") or "")
    whole = head.get("ChecksumType", "" if in_parts else "FULL_OBJECT") == "FULL_OBJECT"
    if head.get("ETag") != answer.get("ETag") or not whole:
        return Checks([])
    found = [(name, make(), _decoded(head.get(field))) for field, (name, make) in NATIVE.items()]
    return Checks([(name, growing, wanted) for name, growing, wanted in found if wanted])


def _md5(answer: dict[str, Any], aws: bool) -> bytes:
    """The MD5 that an ETag is; of a multipart upload, and of most encrypted objects, it is something else."""
    etag = str(answer.get("ETag") or "").strip('"')
    encryption = answer.get("ServerSideEncryption") or ("customer" if answer.get("SSECustomerAlgorithm") else "")
    if encryption and not (aws and encryption == "AES256"):
        return b""
    return bytes.fromhex(etag) if re.fullmatch(r"[0-9a-f]{32}", etag) else b""


def _decoded(said: Any) -> bytes:
    """A checksum header's bytes; nothing where it has none or one of parts (``…-3``)."""
    try:
        return base64.b64decode(str(said), validate=True) if said else b""
    except ValueError:
        return b""
