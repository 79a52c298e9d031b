"""Writing the audit: append-only lines, each with the hash of the one before, on disk before anything goes on."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacs_recover.audit import syslog
from pacs_recover.audit.record import What, digest, line_of, made, record_of
from pacs_recover.audit.syslog import Anchor
from pacs_recover.durable import sync_directory
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.text import safe

HOME = "audit"
"""Its directory in the state directory."""
SEGMENT = re.compile(r"[0-9]{12}\.jsonl")
"""A file of it, named by the place of its first record."""
MOST = 4 << 20
"""Bytes after which the next file is begun."""
LONGEST_LINE = 1 << 16
PATIENCE = 5.0
"""Seconds to wait for another writer."""


@dataclass
class Entry:
    """What is said of something once it is over."""

    outcome: str = "done"


class Audit:
    """The audit of one state directory; what cannot be kept there goes to the system's log, and stops nothing."""

    def __init__(self, home: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self.home = Path(os.path.realpath(home))
        self.warn = warn
        """Tells the operator, once, that something is not recorded."""
        self.problem = ""
        """Why a record could not be kept; empty while all are."""
        self.newest: Anchor | None = None
        """Of the last record that was kept."""

    def note(self, what: What, object: str, outcome: str, site: str = "") -> None:
        """Record something."""
        said = {"object": object, "outcome": outcome, "site": site}
        try:
            self.newest = self._append(what, said)
        except (OSError, ValueError) as error:
            self._unrecorded(what, said, error)
        else:
            syslog.send(str(self.newest))

    def note_refusal(self, problem: RecoverError, doing: str, site: str = "") -> None:
        """Record what a front end was refused; any other problem is none of the audit's."""
        if problem.exit_code == Refused.exit_code:
            self.note("refusal", doing, problem.message, site)

    @contextmanager
    def noting(self, what: What, object: str, site: str = "") -> Iterator[Entry]:
        """Record that something begins, and then how it went, whichever way it ends."""
        self.note(what, object, "began", site)
        entry = Entry()
        try:
            yield entry
        except BaseException as error:
            said = error.message if isinstance(error, RecoverError) else type(error).__name__
            self.note(what, object, f"failed: {said}", site)
            raise
        self.note(what, object, entry.outcome, site)

    def _append(self, what: What, said: dict[str, str]) -> Anchor:
        with writing(self.home):
            path, last, cut = _last(self.home)
            n = _place(path, last) + 1 if path and last else 0
            line = line_of(made(n, digest(last) if last else "", cut, what, **said))
            _write(_current(self.home) or self.home / f"{n:012}.jsonl", line + b"\n")
        return Anchor(n, digest(line), socket.gethostname(), safe(self.home))

    def _unrecorded(self, what: What, said: dict[str, str], error: Exception) -> None:
        line = line_of(made(0, "", 0, what, **said)).decode()
        kept = syslog.send(f"unrecorded {line}", "warning")
        reason = getattr(error, "strerror", None) or str(error)
        instead = "the system's log has it instead" if kept else "NO LOG HAS IT"
        told, self.problem = self.problem, f"NOT RECORDED in {safe(self.home)} ({reason}): {instead}"
        if told != self.problem:
            self.warn(self.problem)


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """The right to append, one process at a time. OSError where the place is not ours or stays taken."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "it belongs to another user or others can write it", str(home))
    fd = os.open(home / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _take(fd)
        yield
    finally:
        os.close(fd)


def _take(fd: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def segments(home: Path) -> list[Path]:
    """The files of an audit, oldest first. OSError where it cannot be read."""
    return sorted(path for path in home.iterdir() if SEGMENT.fullmatch(path.name))


def _current(home: Path) -> Path | None:
    """The file that is written to; None where another has to be begun."""
    newest = next(reversed(segments(home)), None)
    return newest if newest and newest.stat().st_size < MOST else None


def _last(home: Path) -> tuple[Path | None, bytes, int]:
    """The last whole line of the audit and its file, and how much of a torn one was taken off behind it."""
    cut = 0
    for path in reversed(segments(home)):
        line, torn = _last_line(path)
        cut += torn
        if line:
            return path, line, cut
    return None, b"", cut


def _last_line(path: Path) -> tuple[bytes, int]:
    """A torn line is what a crash left of a record that nothing waited for; it is taken off."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        tail = os.pread(fd, LONGEST_LINE, max(0, size - LONGEST_LINE))
        whole = tail[: tail.rfind(b"\n") + 1]
        torn = len(tail) - len(whole)
        if torn:
            os.ftruncate(fd, size - torn)
        return whole[:-1].rpartition(b"\n")[2], torn
    finally:
        os.close(fd)


def _place(path: Path, last: bytes) -> int:
    """The place of the last record; where somebody damaged that line, it is counted."""
    record = record_of(last)
    if record:
        return record.n
    return int(path.stem) + path.read_bytes().count(b"\n") - 1


def _write(path: Path, line: bytes) -> None:
    fresh = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        try:
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)
    if fresh:
        sync_directory(path.parent)
