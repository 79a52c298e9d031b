"""What was recorded of a backup when it was made, in a manifest or by ``sha256sum``, beside it (docs/manifest.md)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from pacs_recover.errors import BadBackup
from pacs_recover.formats.streams import Hashing, Reader
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.model import UNDECODABLE, Fact
from pacs_recover.text import count, safe, stamp

LARGEST = 64 << 10
"""Bytes of a manifest; one of a full system has about 2,000."""
NONE = "no recorded hash"
FOREIGN = "nothing is held against it; it was cut short, changed or made by another program: see docs/manifest.md"
CHANGED = "It was damaged or replaced since it was made: choose another: pacs-recover catalog"
CONTRADICTS = "Find out who changed the manifest; without it the backup has no recorded hash."
SINCE = "Its bytes are those that were recorded, so nothing damaged it since: it was made so, or with another key."
SUM = re.compile(r"(?P<escaped>\\?)(?P<sha256>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
"""A line of ``sha256sum`` (GNU coreutils, "md5sum invocation")."""
TAGGED = re.compile(r"(?P<escaped>\\?)SHA256 \((?P<name>.+)\) = (?P<sha256>[0-9a-fA-F]{64})")
"""A line of ``sha256sum --tag``, and of BSD's ``sha256``."""
ESCAPES = {"\\": "\\", "n": "\n", "r": "\r"}

Short = Annotated[str, Meta(max_length=1024)]
Moment = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[int, Meta(ge=0, le=1 << 62)]


class Validity(Struct, frozen=True, kw_only=True):
    """The dates of one certificate."""

    file: Short
    """Relative to the backup's directory."""
    not_before: Moment
    not_after: Moment


class Manifest(Struct, frozen=True, kw_only=True):
    """The content of a ``.manifest.json``; keys that this version does not know are passed over."""

    manifest: Literal[1] = 1
    """The version of the format."""
    name: Short
    """Of the backup's file when it was made."""
    component: Short
    format: Short
    """As of a Backup: ``tar.gz``, ``tar.enc``, ``db.gz``."""
    size: Amount
    """Bytes as stored."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """Of the bytes as stored."""
    taken_at: Moment
    """When what is in it was read."""
    made_by: Short
    """The operator, or the user of the schedule."""
    made_on: Short
    """The host."""
    program: Short
    """What made it, and its version."""
    rows: dict[Short, Amount] | None = None
    """Of a queue: rows of every table."""
    certificates: list[Validity] | None = None
    """Of certificates: one for each certificate in each file."""


class Record(Struct, frozen=True):
    """What is recorded of a backup's bytes."""

    said: str = NONE
    """What the bytes are held against, for people."""
    sha256: str = ""
    """As hexadecimal digits; empty where none is recorded."""
    manifest: Manifest | None = None
    findings: tuple[Fact, ...] = ()

    def facts(self, component: str, details: Mapping[str, Any]) -> Iterator[Fact]:
        """How the record fits what was found in the backup (``Preview.details``)."""
        yield from self.findings
        yield Fact("held against", self.said)
        if self.manifest:
            yield from _misfits(self.manifest, component, details)


class Opened:
    """The bytes of a backup as stored, and what is recorded of them."""

    def __init__(self, raw: Reader, record: Record = Record()) -> None:  # noqa: B008 - a value
        self._raw = raw
        self.record = record
        self.reached = str(getattr(raw, "reached", ""))
        """The point in time that they came to, where they were assembled from a replica; else nothing."""

    def read(self, n: int = -1, /) -> bytes:
        """The next bytes, as a Reader's."""
        return self._raw.read(n)


def encode(manifest: Manifest) -> bytes:
    """A manifest as it is written: JSON with one key a line."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read(raw: Reader, beside: str, backup: str) -> Record:
    """The record that a file of the name ``beside`` holds of the file ``backup``; one that cannot be read is a finding.

    Raises what the reader raises.
    """
    data = b""
    while len(data) <= LARGEST and (more := raw.read(LARGEST + 1 - len(data))):
        data += more
    try:
        return parse(data, beside, backup)
    except BadBackup as error:
        return unreadable(beside, error.message)


def unreadable(beside: str, why: str) -> Record:
    """No record, though a file of this name should hold one."""
    return Record(findings=(Fact("manifest", f"{safe(beside)} cannot be used: {why}; {FOREIGN}", "warn"),))


def parse(data: bytes, beside: str, backup: str) -> Record:
    """As ``read``, of its bytes. BadBackup where they are no manifest of this backup."""
    if len(data) > LARGEST:
        raise BadBackup(f"it is longer than the {LARGEST >> 10} KiB that a manifest may have")
    if beside.endswith(RECORDS[1]):
        return Record(f"SHA-256 as recorded in {safe(beside)}", _sum(data, backup))
    found = _decoded(data)
    made = f"by {safe(found.made_by, 60)} on {safe(found.made_on, 60)} with {safe(found.program, 60)}"
    return Record(f"SHA-256 as recorded {made}", found.sha256, found)


def _decoded(data: bytes) -> Manifest:
    try:
        found = msgspec.json.decode(data, type=Manifest)
        for one in found.certificates or ():  # a moment at the end of all calendars may have none in UTC
            stamp(one.not_before), stamp(one.not_after)
    except (*UNDECODABLE, OverflowError) as error:
        raise BadBackup(f"it is no manifest of this version ({safe(error, 120)})") from None
    return found


def _sum(data: bytes, backup: str) -> str:
    """The hash that lines of ``sha256sum`` give a file; what it read from a pipe is called ``-``."""
    lines = data.decode(errors="surrogateescape").split("\n")
    found = [match for line in lines if (match := SUM.fullmatch(line.rstrip("\r")) or TAGGED.fullmatch(line))]
    hashes = {match["sha256"].lower() for match in found if _named(match) in (backup, "-")}
    if len(hashes) != 1:
        raise BadBackup("it gives this file more than one hash" if hashes else "it has no hash of a file of this name")
    return hashes.pop()


def _named(match: re.Match[str]) -> str:
    name = match["name"]
    if match["escaped"]:
        name = re.sub(r"\\([\\nr])", lambda escape: ESCAPES[escape[1]], name)
    return name.rpartition("/")[2]


def must_match(record: Record, read: Hashing) -> None:
    """BadBackup where bytes that were read to their end are not those that were recorded."""
    if record.sha256 and read.sha256 != record.sha256:
        raise BadBackup(
            f"its SHA-256 is {read.sha256}, but {record.sha256} was recorded{_sizes(record, read)}", CHANGED
        )
    if record.manifest and read.size != record.manifest.size:
        raise BadBackup(
            f"its manifest contradicts itself: the hash is right and the size wrong{_sizes(record, read)}", CONTRADICTS
        )


def _sizes(record: Record, read: Hashing) -> str:
    if record.manifest is None or record.manifest.size == read.size:
        return ""
    return f" (it has {count(read.size, 'byte')}, {record.manifest.size:,} were recorded)"


def _misfits(manifest: Manifest, component: str, details: Mapping[str, Any]) -> Iterator[Fact]:
    if manifest.component != component:
        yield Fact("manifest", f"it is of a backup of {safe(manifest.component)}, not of {component}", "bad")
    if manifest.rows is not None:
        found = {str(table["name"]): int(table["rows"]) for table in details.get("tables", ())}
        recorded = {safe(name): rows for name, rows in manifest.rows.items()}
        for name in sorted(found.keys() | recorded.keys()):
            if found.get(name) != recorded.get(name):
                yield Fact(f"rows in {name}", f"{_rows(found.get(name))}, recorded: {_rows(recorded.get(name))}", "bad")
    if manifest.certificates is not None:
        yield from _dates(manifest.certificates, details)


def _rows(number: int | None) -> str:
    return "none, as there is no such table" if number is None else f"{number:,}"


def _dates(recorded: list[Validity], details: Mapping[str, Any]) -> Iterator[Fact]:
    expected = Counter((safe(one.file), stamp(one.not_before), stamp(one.not_after)) for one in recorded)
    found = Counter((one["file"], one["not_before"], one["not_after"]) for one in details.get("certificates", ()))
    for file, start, end in found - expected:
        yield Fact(file, f"valid from {start} to {end}, which was not recorded", "bad")
    for file, start, end in expected - found:
        yield Fact(file, f"recorded as valid from {start} to {end}, and not found", "bad")
