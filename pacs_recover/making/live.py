"""Reading what lives, while no restore can run: trees as tar archives, the queue as one consistent database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pacs_recover.components import Look
from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.formats import sqlite, sqlite_set, streams
from pacs_recover.formats.sqlite_set import Unknown
from pacs_recover.sources.file import hint_for
from pacs_recover.sources.git_secrets import KEY, MARK
from pacs_recover.sources.tarball import Keep, Tarball
from pacs_recover.target import places
from pacs_recover.text import safe
from pacs_recover.text import size as human

TRIES = 3
"""Readings of a tree in which something changes meanwhile."""
PAUSE = 0.5
"""Seconds between them."""
LOCKED = 30.0
"""Seconds that a writer may keep the queue locked before the backup of it is given up."""
AGAIN = 0.25
"""Seconds between two attempts at a locked queue."""
HISTORY = ".git"
"""The configuration's own, which a restore keeps."""
LOOKED_INTO = 1 << 20
"""Bytes of a file that are looked through for a private key."""
WAL_MODE = 2
"""Bytes 18 and 19 of a database in WAL mode (https://www.sqlite.org/fileformat.html, section 1.3.3)."""
NOTHING = "an archive of nothing is no backup: see whether live.{} of the site file names the right directory"


@dataclass(frozen=True)
class Taken:
    """What was read of one part: a tar archive or a database, in private scratch."""

    component: str
    path: Path
    taken_at: datetime
    """Before the first byte was read."""


@dataclass
class Keys:
    """Leaves private keys out of an archive of the configuration, and remembers those that may not be left out."""

    certs: str
    """Where the certificates lie in the tree: those have a backup of their own, keys included."""
    found: list[str] = field(default_factory=list)
    """Private keys that no restore would keep or bring back if they were left out."""
    files: int = 0

    def keep(self, name: str, fd: int) -> bool:
        """Whether a thing belongs into the archive."""
        if name == HISTORY:
            return False
        if fd < 0 or not stat.S_ISREG(os.fstat(fd).st_mode):
            return True
        if is_key(name, fd):
            if name.endswith(".key") or (self.certs and name.startswith(f"{self.certs}/")):
                return False
            self.found.append(name)
        self.files += 1
        return True


def is_key(name: str, fd: int) -> bool:
    """Whether a file is called like a private key, or holds one."""
    own = os.fsencode(name.rpartition("/")[2])
    return bool(KEY.fullmatch(own)) or bool(MARK.search(os.pread(fd, LOOKED_INTO, 0)))


def config(look: Look, into: Path, *, keys_too: bool) -> Taken:
    """The configuration without ``*.key`` and the keys of the certificates. RecoverError, SourceError, OSError.

    A private key elsewhere is an error, unless ``keys_too``: left out it would be lost.
    """
    from pacs_recover.components.config import relative_certs

    live, declared = look.live["config"], look.site.live.config
    keys, taken = _read(live, declared.name, into / "config.tar", "config", lambda: Keys(relative_certs(look)))
    if keys.found and not keys_too:
        named = ", ".join(safe(name) for name in keys.found[:3])
        raise RecoverError(
            f"the configuration has a private key that would be readable in the archive: {named}",
            "encrypt its backups (backup.encrypt: [config]), or move the key to the certificates",
        )
    return taken


def certs(look: Look, into: Path) -> Taken:
    """The certificates and their keys. RecoverError, SourceError, OSError."""
    live, declared = look.live["certs"], look.site.live.certs
    return _read(live, declared.name, into / "certs.tar", "certs", _Everything)[1]


@dataclass
class _Everything(Keys):
    certs: str = ""

    def keep(self, name: str, fd: int) -> bool:  # noqa: ARG002 - as every Keep
        """All of it."""
        self.files += fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode)
        return True


def _read(live: Path, top: str, path: Path, component: str, keeping: Callable[[], Keys]) -> tuple[Keys, Taken]:
    """A tree as an archive; one that changes while it is read is read again."""
    for attempt in range(TRIES):
        time.sleep(PAUSE * attempt)
        keys, taken_at = keeping(), datetime.now(UTC)
        try:
            _write(live, top, path, keys.keep)
        except SourceError:
            path.unlink(missing_ok=True)
            if attempt == TRIES - 1:
                raise
            continue
        if not keys.files:
            raise BadBackup(f"there is no file in {safe(live)}", NOTHING.format(component))
        return keys, Taken(component, path, taken_at)
    raise AssertionError("the last attempt returns or raises")


def _write(live: Path, top: str, path: Path, keep: Keep) -> None:
    with closing(Tarball(live, top, keep)) as tar, path.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        for _ in streams.copy(tar, out):
            streams.leave_room(out.fileno())


def queue(look: Look, into: Path, patience: float = LOCKED) -> Taken:
    """One consistent copy of the queue, by SQLite's online backup. BadBackup, SourceError, RecoverError, OSError.

    A queue that is not there is never created.
    """
    live = look.live["queue"]
    taken_at, path = datetime.now(UTC), into / "queue.db"
    _must_be_a_database(live)
    _must_have_room(live, into)
    if not (_is_idle(live) and _copied(live, path, into)):
        _backed_up(live, path, into, patience)
    return Taken("queue", path, taken_at)


def _must_be_a_database(live: Path) -> None:
    try:
        found = places.identity(live)
        if found is None:
            raise SourceError(f"there is no queue {safe(live)}", "see live.queue of the site file; nothing was created")
        if not stat.S_ISREG(found.mode):
            raise SourceError(f"the queue {safe(live)} is no regular file", "see live.queue of the site file")
        sqlite.check_magic(live)
    except OSError as error:
        raise SourceError(f"the queue {safe(live)} cannot be read: {error.strerror}", hint_for(error)) from error


def _must_have_room(live: Path, into: Path) -> None:
    needed = sum(Path(f"{live}{end}").stat().st_size for end in ("", "-wal") if Path(f"{live}{end}").exists())
    usage = shutil.disk_usage(into)
    free = usage.free - min(streams.RESERVE, usage.total // 50)
    if 2 * needed > free:
        raise RecoverError(
            f"a copy of the queue and its backup need {human(2 * needed)}, and {human(max(free, 0))} are free for them",
            "make room, or name a place that has some: --state DIR, else $TMPDIR",
        )


def _is_idle(live: Path) -> bool:
    """Whether nobody has it open: opening it then would leave SQLite's own files behind, which nobody removes."""
    with live.open("rb") as file:
        head = file.read(sqlite.HEADER)
    return head[18] == WAL_MODE and not Path(f"{live}-shm").exists()


def _copied(live: Path, path: Path, into: Path) -> bool:
    """Whether the files could be copied as they lie. BadBackup where they are not sound."""
    scratch = into / "copy"
    scratch.mkdir(mode=0o700)
    found = sqlite_set.copy_live(live, scratch)
    if isinstance(found, Unknown):
        shutil.rmtree(scratch)
        if found.damaged:
            raise BadBackup(f"the live queue is damaged: {found.reason}", "restore it: pacs-recover restore queue")
        return False
    found.rename(path)
    shutil.rmtree(scratch)
    return True


def _backed_up(live: Path, path: Path, into: Path, patience: float) -> None:
    try:
        with sqlite.refusing(live), _opened(live, patience) as source, closing(sqlite3.connect(path)) as copy:
            path.chmod(0o600)
            source.backup(copy, sleep=AGAIN, progress=_until(time.monotonic() + patience))
    except _Locked:
        raise RecoverError(
            f"the queue {safe(live)} has been locked by a writer for {patience:.0f} s",
            "see who holds it (fuser), then try again",
        ) from None
    except (SourceError, BadBackup) as error:
        cause = error.__context__
        hot = str(getattr(cause, "sqlite_errorname", "")).startswith("SQLITE_READONLY")
        path.unlink(missing_ok=True)
        if not (hot and _copied(live, path, into)):  # a journal that only a writer may roll back
            raise


@contextmanager
def _opened(live: Path, patience: float) -> Iterator[sqlite3.Connection]:
    """The live database, read-only: one that is missing is not made."""
    address = f"file:{quote(str(live))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=patience)) as database:
        yield database


class _Locked(Exception):
    """A writer kept it for too long."""


def _until(end: float) -> Callable[[int, int, int], None]:
    """Ends a backup that has been waiting for a writer for too long; Python's own loop would wait for ever."""

    def progress(status: int, remaining: int, total: int) -> None:  # noqa: ARG001 - sqlite3's
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() >= end:
            raise _Locked

    return progress
