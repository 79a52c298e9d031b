"""Checking the audit: every line against the one before it, and against what was said of it elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pacs_recover.audit.log import LONGEST_LINE, segments
from pacs_recover.audit.record import Record, digest, record_of
from pacs_recover.audit.syslog import Anchor
from pacs_recover.errors import SourceError
from pacs_recover.text import count, safe

Damage = Literal["edited", "removed", "order", "unreadable", "truncated"]
State = Literal["verified", "unproven", "damaged"]
MOST = 100
"""Findings that are told one by one."""


class Finding(Struct, frozen=True):
    """One thing that is wrong with the audit."""

    kind: Damage
    place: str
    """File and line."""
    detail: str


class Anchors(Struct, frozen=True):
    """What one place outside says."""

    place: str
    detail: str
    """How many, up to which record; or why it says nothing."""
    found: tuple[Anchor, ...] = ()


class Verified(Struct, frozen=True, kw_only=True):
    """What was found: whole or not, and how far that is proven from outside."""

    records: int
    findings: tuple[Finding, ...]
    anchors: tuple[Anchors, ...]
    proven_to: int | None
    """The last record that an anchor proves; None where none does."""

    @property
    def state(self) -> State:
        """``damaged``; else ``verified`` to its last record, or ``unproven`` behind the last anchor."""
        if self.findings:
            return "damaged"
        return "verified" if self.records and self.proven_to == self.records - 1 else "unproven"

    @property
    def sentence(self) -> str:
        """The same for a person."""
        if self.findings:
            return f"DAMAGED: {count(len(self.findings), 'finding')} in {count(self.records, 'record')}"
        if not self.records:
            return "there are no records, and nothing outside says that there were any"
        if self.proven_to is None:
            return f"{count(self.records, 'record')} in an unbroken chain; UNPROVEN: no anchor says how it went on"
        if self.state == "unproven":
            left = self.records - 1 - self.proven_to
            return (
                f"{count(self.records, 'record')} in an unbroken chain; the last {left} UNPROVEN: newer than any anchor"
            )
        return f"VERIFIED: {count(self.records, 'record')} in an unbroken chain, proven to the last by an anchor"


class Line(Struct, frozen=True):
    """One line of the audit."""

    place: str
    text: bytes
    record: Record | None
    begins: bool
    """Whether a file begins with it."""


def lines(home: Path) -> Iterator[Line]:
    """Every whole line, oldest first. SourceError where they cannot be read."""
    try:
        for path in segments(home) if home.exists() else ():
            yield from _lines_of(path)
    except OSError as error:
        raise SourceError(
            f"the audit {safe(home)} cannot be read: {error.strerror}", "read it as the user who writes it: sudo"
        ) from error


def _lines_of(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        number = 0
        while text := file.readline(LONGEST_LINE):
            if not text.endswith(b"\n") and len(text) < LONGEST_LINE:
                return  # being written, or torn by a crash: nothing waited for it
            number += 1
            yield Line(f"{path.name} line {number}", text[:-1], record_of(text[:-1]), number == 1)


def records(home: Path, since: datetime | None = None) -> Iterator[Record]:
    """What the audit says, oldest first; a line that is no record is left to ``verify``. SourceError."""
    for line in lines(home):
        if line.record and (since is None or line.record.at >= since):
            yield line.record


def verify(home: Path, anchors: Sequence[Anchors]) -> Verified:
    """The chain from its first line to its last, held against anchors of this very audit alone. SourceError."""
    said: dict[int, set[str]] = {}
    for anchor in (anchor for place in anchors for anchor in place.found):
        said.setdefault(anchor.n, set()).add(anchor.sha256)
    checking = _Checking(said)
    for line in lines(home):
        checking.take(line)
    findings = (*checking.findings, *_truncated(said, checking.next))
    return Verified(
        records=checking.next, findings=findings[:MOST], anchors=tuple(anchors), proven_to=checking.proven_to
    )


def _truncated(said: Iterable[int], end: int) -> Iterator[Finding]:
    beyond = [n for n in said if n >= end]
    if beyond:
        yield Finding("truncated", f"after record {end - 1}", f"an anchor says that there was a record {max(beyond)}")


class _Checking:
    """Takes the lines one after the other."""

    def __init__(self, said: Mapping[int, set[str]]) -> None:
        self.said = said
        self.findings: list[Finding] = []
        self.next = 0
        self.previous = ""
        self.proven_to: int | None = None

    def take(self, line: Line) -> None:
        """Hold one line against the one before and against the anchors; go on from it whatever it is."""
        mine = digest(line.text)
        if line.record is None:
            self._find("unreadable", line, "it is no record")
        else:
            self._chained(line, line.record)
            self._anchored(line, line.record.n, mine)
            self.next = line.record.n
        self.next, self.previous = self.next + 1, mine

    def _chained(self, line: Line, record: Record) -> None:
        if record.n > self.next:
            what = "the file with " if line.begins else ""
            self._find("removed", line, f"{what}records {self.next} to {record.n - 1} are missing before it")
        elif record.n < self.next:
            self._find("order", line, f"record {record.n} stands where {self.next} belongs: inserted or moved")
        elif record.previous != self.previous:
            self._find("edited", line, f"record {record.n} does not follow from the line before it: one was changed")

    def _anchored(self, line: Line, n: int, mine: str) -> None:
        if n not in self.said:
            return
        if self.said[n] != {mine}:
            self._find("edited", line, f"record {n} is not what an anchor says that it was")
        elif not self.findings:
            self.proven_to = n

    def _find(self, kind: Damage, line: Line, detail: str) -> None:
        self.findings.append(Finding(kind, line.place, detail))
