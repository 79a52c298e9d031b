"""Closed logs: which there are, each under a name that no other rotated file ever has, and which may go."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pacs_recover import processes
from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.formats.gz import Unzipping
from pacs_recover.formats.streams import Hashing, Reader
from pacs_recover.making.artifact import Artifact, Title
from pacs_recover.sources.file import hint_for, opened
from pacs_recover.target import places
from pacs_recover.text import safe

ROTATED = re.compile(r"(?P<log>[^.].*?\.log)[.-](?P<mark>.+?)(?P<gz>\.gz)?")
"""What logrotate makes of a log, numbered or dated, also compressed: ``bridge.log.1``, ``bridge.log-20261110.gz``."""
NUMBERED = re.compile(r"(?P<stem>[^.].*?)\.[0-9]+\.log(?P<gz>\.gz)?")
"""What spdlog's rotating sink makes of one: ``bridge.1.log``."""
MARK = 8
"""Digits of the content's hash in a name."""


@dataclass(frozen=True)
class Log:
    """One rotated log."""

    path: Path
    log: str
    """Its name before it was rotated."""
    zipped: bool
    found: os.stat_result

    @property
    def taken_at(self) -> datetime:
        """When its last line was written; a rotation keeps that."""
        return datetime.fromtimestamp(int(self.found.st_mtime), UTC)

    @contextmanager
    def plain(self) -> Iterator[Reader]:
        """Its content. BadBackup, SourceError; SourceError where it is written meanwhile."""
        with opened(self.path) as raw:
            yield Unzipping(raw) if self.zipped else raw
        if not self.is_unchanged():
            raise SourceError(f"{safe(self.path)} changed while it was read", "it is tried again by the next backup")

    def is_unchanged(self) -> bool:
        """Whether the name still stands for the file that was found, as it was. OSError."""
        now = places.identity(self.path)
        if now is None:
            return False
        status = self.path.lstat()
        return (status.st_ino, status.st_size, status.st_mtime_ns) == (
            self.found.st_ino,
            self.found.st_size,
            self.found.st_mtime_ns,
        )

    def title(self, format: str) -> tuple[Title, str]:
        """What its backup is called, and the SHA-256 of its content: the same however often it is rotated on.

        Raises BadBackup, SourceError.
        """
        with self.plain() as raw:
            hashing = Hashing(raw)
            hashing.drain()
        mark = hashing.sha256[:MARK]
        return Title("logs", self.taken_at, format, self.log, mark), hashing.sha256


def closed(directory: Path) -> tuple[list[Log], list[str]]:
    """The rotated logs below a directory, oldest first, and what is passed over, and why. SourceError."""
    try:
        found = sorted(_logs(directory), key=lambda log: (log.found.st_mtime_ns, log.path))
    except OSError as error:
        raise SourceError(f"the logs {safe(directory)} cannot be read: {error.strerror}", hint_for(error)) from error
    held = {holder.path: holder for holder in processes.holders([log.path for log in found]).found} if found else {}
    passed = [f"{safe(path)} is still open in {holder.name} (pid {holder.pid})" for path, holder in held.items()]
    return [log for log in found if safe(log.path) not in held], passed


def _logs(directory: Path) -> Iterator[Log]:
    for home, below, names in os.walk(directory, onerror=_raise):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            path = Path(home) / name
            match, numbered = ROTATED.fullmatch(name), NUMBERED.fullmatch(name)
            if match or numbered:
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    log = match["log"] if match else f"{numbered['stem']}.log" if numbered else ""
                    yield Log(path, log, name.endswith(".gz"), status)


def _raise(error: OSError) -> None:
    raise error


def removed(log: Log, made: Artifact) -> str:
    """Remove a log whose content was proven to be stored; what came of it. OSError, RecoverError."""
    with places.directory(log.path.parent) as home:
        if not log.is_unchanged():
            raise RecoverError(f"{safe(log.path)} changed since it was shipped, and stays", "the next backup ships it")
        os.unlink(log.path.name, dir_fd=home)
        places.sync(home)
    return f"{safe(log.path.name)} removed ({made.content[:MARK]})"
