"""The journal of a run: append-only JSON lines, on disk before anyone is told, readable while it is written."""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pacs_recover import events
from pacs_recover.durable import sync_directory
from pacs_recover.errors import Refused, SourceError
from pacs_recover.events import AnyEvent
from pacs_recover.model import UNDECODABLE
from pacs_recover.text import safe

SUM = b',"sum":"%08x"}\n'
"""Ends every line: the CRC-32 of the object as it stood without it."""
SUM_BYTES = len(SUM % 0)

E = TypeVar("E", bound=events.Event)


def boot_id() -> str:
    """The kernel's id of this boot; empty where there is none to read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def clock() -> float:
    """Seconds since boot, suspended time included: comparable between processes of one boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Damage(msgspec.Struct, frozen=True):
    """A line of a journal that cannot be read."""

    line: int
    reason: str


class Reader:
    """Follows a journal from its start; each call of ``more`` gives what was added since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[Damage] = []
        self._offset = 0
        self._line = 0
        self._last = b""

    def more(self) -> list[AnyEvent]:
        """The events added since the last call; a line still being written is left for the next. SourceError."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset - len(self._last))
                fresh = self._after_last(file.read())
        except OSError as error:
            raise SourceError(
                f"cannot read the journal {self.path}: {error.strerror}", "is the state directory mounted?"
            ) from error
        lines = [line + b"\n" for line in fresh.split(b"\n")[:-1]]
        self._offset += sum(map(len, lines))
        self._last = lines[-1] if lines else self._last
        return [event for line in lines if (event := self._decode(line))]

    def _after_last(self, found: bytes) -> bytes:
        """What follows the last line read; that line itself was taken back if it did not reach the disk."""
        if found.startswith(self._last):
            return found[len(self._last) :]
        self._offset, self._line, self._last = self._offset - len(self._last), self._line - 1, b""
        return found

    def _decode(self, line: bytes) -> AnyEvent | None:
        self._line += 1
        body, end = line[:-SUM_BYTES] + b"}", line[-SUM_BYTES:]
        if SUM % zlib.crc32(body) != end:
            self.damage.append(Damage(self._line, "its checksum does not match"))
            return None
        try:
            return events.decode(body)
        except UNDECODABLE as error:
            self.damage.append(Damage(self._line, f"not an event this version knows: {safe(error)}"))
            return None


def read(path: Path) -> tuple[list[AnyEvent], list[Damage]]:
    """All whole events of a journal and the lines that are damaged. SourceError where it cannot be read."""
    reader = Reader(path)
    return reader.more(), reader.damage


def pending(found: Sequence[AnyEvent]) -> list[events.Effect]:
    """The effects that are not undone, newest first."""
    undone = {event.effect for event in found if isinstance(event, events.Undone)}
    return [event for event in reversed(found) if isinstance(event, events.Effect) and event.n not in undone]


class Journal:
    """The one writer of a run's journal; it holds a lock on the file for as long as it lives."""

    def __init__(self, path: Path, *, create: bool, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if create else 0)
        self.path = path
        self.step: int | None = None
        self.broken = False
        self._now = now
        self._fd = os.open(path, flags, 0o600)
        _lock(self._fd, path)
        _cut_torn_line(self._fd)
        self._reader = Reader(path)
        self.events = self._reader.more()
        self._next = max([self._reader._line, *(event.n + 1 for event in self.events)])
        if create:
            sync_directory(path.parent)

    @property
    def damage(self) -> list[Damage]:
        """The lines that could not be read when the journal was opened."""
        return self._reader.damage

    def write(self, kind: type[E], **fields: Any) -> E:
        """Append an event; when this returns, it is on disk. OSError where it cannot be written."""
        event = kind(n=self._next, at=self._now(), clock=clock(), step=self.step, **fields)
        body = events.encode(event)  # type: ignore[arg-type]
        line = body[:-1] + SUM % zlib.crc32(body)
        self._append(line)
        self._next += 1
        self.events.append(event)  # type: ignore[arg-type]
        return event

    def _append(self, line: bytes) -> None:
        end = os.fstat(self._fd).st_size
        if end and os.pread(self._fd, 1, end - 1) != b"\n":  # a torn line that could not be cut off
            line = b"\n" + line
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(28, "the disk is full", str(self.path))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, end)
            raise

    def close(self) -> None:
        """Let the file and its lock go."""
        os.close(self._fd)


def is_written(path: Path) -> bool:
    """Whether a living worker holds this journal."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(fd: int, path: Path) -> None:
    for _ in range(20):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
    os.close(fd)
    raise Refused(f"the run of {path.parent.name} is still being worked on", "follow it with: pacs-recover attach")


def _cut_torn_line(fd: int) -> None:
    """A crash can leave the last line half written; nobody was told of it, so it never happened."""
    size = end = os.fstat(fd).st_size
    while end and (found := os.pread(fd, min(end, 1 << 16), max(0, end - (1 << 16))).rfind(b"\n")) < 0:
        end = max(0, end - (1 << 16))
    end = max(0, end - (1 << 16)) + found + 1 if end else 0
    if end < size:
        os.ftruncate(fd, end)
        os.fsync(fd)
