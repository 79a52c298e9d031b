"""One changing run at a time for a live path, whichever site file or state directory names it.

The lock is a flock on a file beside the live part, so the kernel frees it with its holder. Its text names the last
changing run and that run's journal: an unfinished run is found there even from another state directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from pacs_recover.errors import Busy, Refused
from pacs_recover.model import UNDECODABLE
from pacs_recover.target import places, rooms
from pacs_recover.text import both_times, safe

RUN = "run "
"""What the holder of a lock is called begins so where it is a run."""


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds the lock, for people; true only while the lock is held."""

    what: str
    """``run NAME``, or the command that the site is held still for."""
    operator: str
    host: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        place = f"on {safe(self.host)} since {both_times(self.since)} (pid {self.pid})"
        return f"{safe(self.what)} of {safe(self.operator)} {place}"


def holder_now(what: str, operator: str) -> Holder:
    """This process as a holder."""
    return Holder(what=what, operator=operator, host=socket.gethostname(), pid=os.getpid(), since=datetime.now(UTC))


class Mark(Struct, frozen=True, kw_only=True):
    """What a lock file says: the last changing run of this live path."""

    run: str
    journal: str
    finished: bool = False
    operator: str = ""
    pid: int = 0
    previous: Mark | None = None
    """The mark before this run, which holds again if the run changes nothing."""


def files(real: Path, live_trees: Iterable[Path]) -> list[Path]:
    """The lock files that a live path can have, nearest first; a new host's first run made its own further up.

    Only where nobody else can write: what another user puts there is no lock, and we would write into it.
    """
    trees = tuple(live_trees)
    name = f"{real.name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}.lock"
    homes = [home for home in (real.parent, *real.parent.parents) if not any(home.is_relative_to(t) for t in trees)]
    return [home / rooms.NAME / name for home in homes if home.is_dir() and places.is_trusted(home.stat())]


def read_mark(path: Path) -> Mark | None:
    """What a lock file says; None where it says nothing or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except (OSError, *UNDECODABLE):
        return None


def marks(reals: Iterable[Path], live_trees: Iterable[Path]) -> list[Mark]:
    """The marks of these live paths, each run once."""
    trees = tuple(live_trees)
    found = [mark for real in reals for file in files(real, trees) if (mark := read_mark(file))]
    return list({mark.run: mark for mark in found}.values())


def holders(reals: Iterable[Path], live_trees: Iterable[Path]) -> list[Holder]:
    """Who holds the locks of these live paths now, as far as we may look."""
    trees = tuple(live_trees)
    found = [holder for real in reals for file in files(real, trees) if (holder := _holder_now(file))]
    return list({(holder.host, holder.pid): holder for holder in found}.values())


def _holder_now(file: Path) -> Holder | None:
    try:
        with file.open("rb") as looking:
            fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_holder(file) or Holder(what="somebody", operator="", host="", pid=0, since=datetime.now(UTC))
    except OSError:
        pass
    return None


def read_holder(file: Path) -> Holder | None:
    """Who took this lock last; None where that is not known."""
    try:
        return msgspec.json.decode(_by(file).read_bytes(), type=Holder)
    except (OSError, *UNDECODABLE):
        return None


def _by(file: Path) -> Path:
    """Beside the lock: its own text is of the last changing run, whoever holds it now."""
    return file.with_suffix(".holder")


class SiteLock:
    """The right to change these live paths; held until closed or the process ends."""

    def __init__(self, reals: Iterable[Path], live_trees: Iterable[Path], holder: Holder | None = None) -> None:
        """Take it. Refused where another process holds any of it; OSError."""
        self._held: list[int] = []
        self._holder = holder
        trees = tuple(live_trees)
        try:
            for real in sorted(set(reals)):
                self._take(real, trees)
        except BaseException:
            self.close()
            raise

    def _take(self, real: Path, trees: tuple[Path, ...]) -> None:
        paths = files(real, trees)
        own = next(
            (
                home / rooms.NAME / paths[0].name
                for home in rooms.writable_trusted_above(real.parent)
                if not _within(home, trees)
            ),
            None,
        )
        if own is None:
            raise Refused(f"no directory above {real} can hold the lock", "run it as root")
        rooms.make_private(own.parent)
        for path in paths:
            if path == own or path.exists():
                self._held.append(_flock(path))
                self._tell(path)

    def _tell(self, path: Path) -> None:
        """For people; a full disk is not told of here."""
        with suppress(OSError), places.directory(path.parent) as home:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(_by(path).name, flags, 0o600, dir_fd=home)
            try:
                os.write(fd, msgspec.json.encode(self._holder) if self._holder else b"")
            finally:
                os.close(fd)

    def outlive(self) -> None:
        """Let the lock pass to what this process becomes by exec, and to its children: held until all have ended."""
        for fd in self._held:
            os.set_inheritable(fd, True)

    def mark(self, mark: Mark) -> None:
        """Write, durably, what the lock files say. OSError."""
        earlier = msgspec.structs.replace(mark.previous, previous=None) if mark.previous else None
        text = msgspec.json.encode(msgspec.structs.replace(mark, previous=earlier))
        for fd in self._held:
            os.pwrite(fd, text, 0)
            os.ftruncate(fd, len(text))
            os.fsync(fd)

    def said(self) -> list[Mark]:
        """What the held lock files say."""
        texts = [os.pread(fd, 65536, 0) for fd in self._held]
        return [mark for text in texts if (mark := _decode(text))]

    def clear(self) -> None:
        """Say nothing: no run changed these live paths yet. OSError."""
        for fd in self._held:
            os.ftruncate(fd, 0)
            os.fsync(fd)

    def close(self) -> None:
        """Let it go."""
        for fd in self._held:
            os.close(fd)
        self._held.clear()


def _decode(text: bytes) -> Mark | None:
    try:
        return msgspec.json.decode(text, type=Mark)
    except UNDECODABLE:
        return None


def _within(home: Path, trees: tuple[Path, ...]) -> bool:
    return any(home.is_relative_to(tree) for tree in trees)


def _flock(path: Path) -> int:
    with places.directory(path.parent) as parent:
        fd = os.open(path.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        places.sync(parent)
    for _ in range(10):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            time.sleep(0.05)
    said = _decode(os.pread(fd, 65536, 0))
    os.close(fd)
    raise taken(path.stem.rsplit("-", 1)[0], read_holder(path), said)


def taken(what: str, holder: Holder | None, said: Mark | None = None) -> Busy:
    """The refusal that names who holds something; where no holder says so, the last run that it was taken for."""
    if holder is None or holder.what.startswith(RUN):
        run = f" by run {said.run} of {said.operator} (pid {said.pid})" if said else ""
        who = f" by {holder}" if holder else run
        return Busy(f"{what} is being restored{who}", "follow it with: pacs-recover attach")
    return Busy(f"{what} is held still for {holder}", "wait until that has ended, then try again")
