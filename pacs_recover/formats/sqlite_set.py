"""A SQLite database together with what lies beside it: made one file, or copied while somebody else is writing it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.formats.sqlite import (
    HEADER,
    OTHER_BACKUP,
    SIDECARS,
    check_magic,
    harden,
    holds_something,
    integrity,
    patience,
    refusing,
)
from pacs_recover.text import safe
from pacs_recover.text import size as bytes_text

WAL_HEADER = 32
"""Bytes; magic, page size, and the salts that change whenever the log starts again from its beginning."""
WAL_MAGIC = (0x377F0682, 0x377F0683)
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
CHUNK = 1 << 20
TRIES = 3
MARGIN = 64 << 20
"""Bytes that a look leaves free: the scratch may share its filesystem with the service."""
Marks = dict[str, "Mark"]
"""The files of one set by suffix (``""`` is the database itself); those that are missing have no entry."""


class Unknown(Struct, frozen=True):
    """That a live database could not be looked at without a doubt, and why."""

    reason: str
    damaged: bool = False
    """Whether that is because it is not sound itself."""


class Mark(Struct, frozen=True):
    """What changes when a file is written or replaced."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    head: bytes


def fold(path: Path) -> str:
    """Replay what lies beside a private database (``-wal``, a hot ``-journal``) into the one file; prove it intact.

    A file that stands alone is checked and left as it is, byte for byte. The set must be one that was copied together:
    SQLite replays any ``-wal`` over any database. Returns the evidence. Raises BadBackup, SourceError.
    """
    with refusing(path):
        beside = [path.name + suffix for suffix in SIDECARS if holds_something(path, suffix)]
        if beside:
            _check_set(path)
        Path(f"{path}-shm").unlink(missing_ok=True)
        if beside:
            _replay(path)
        for suffix in (*SIDECARS, "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    evidence = integrity(path)
    return f"{safe(' and '.join(beside))} replayed; {evidence}" if beside else evidence


def _check_set(path: Path) -> None:
    """What SQLite would do on opening this set: write through links, drop a damaged ``-wal``, delete files."""
    for suffix in ("", *SIDECARS):
        file = Path(f"{path}{suffix}")
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise BadBackup(f"{safe(file.name)} is not a plain file", OTHER_BACKUP)
    check_magic(path)
    _check_wal(Path(f"{path}-wal"))
    _check_journal(Path(f"{path}-journal"))


def _check_wal(wal: Path) -> None:
    """SQLite takes a ``-wal`` with a damaged header for an empty one, and its rows are gone without a word."""
    head = _ends(wal)[0][:WAL_HEADER]
    if head and (len(head) < WAL_HEADER or int.from_bytes(head[:4], "big") not in WAL_MAGIC):
        raise BadBackup(f"{safe(wal.name)} is damaged: it does not begin like a write-ahead log", OTHER_BACKUP)


def _check_journal(journal: Path) -> None:
    """A journal may name another file, a "super-journal", that SQLite deletes after the rollback: any file at all."""
    if _ends(journal)[1] == JOURNAL_MAGIC:
        raise BadBackup(f"{safe(journal.name)} names another file, as PACS Bridge never does", OTHER_BACKUP)


def _ends(file: Path) -> tuple[bytes, bytes]:
    """The beginning and the last 8 bytes of a file; of a missing one, nothing."""
    if not file.exists():
        return b"", b""
    with file.open("rb") as stream:
        head = stream.read(HEADER)
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - len(JOURNAL_MAGIC)))
        return head, stream.read()


def _replay(path: Path) -> None:
    with closing(sqlite3.connect(path.absolute(), isolation_level=None)) as database:
        harden(database, patience(path))
        busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        mode = database.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    left = [suffix for suffix in SIDECARS if holds_something(path, suffix)]
    if busy or mode != "delete" or left:
        raise BadBackup(f"{safe(path.name)} and what lies beside it could not be made one file", OTHER_BACKUP)


def copy_live(db: Path, into: Path, pause: float = 0.1, most: int | None = None) -> Path | Unknown:
    """Copy a database that may be in use into a fresh 0700 directory below ``into``; one intact file, or Unknown.

    The live files are only read: SQLite never opens them, since even a reader rewrites the ``-shm``, and where the
    service is down it would leave a ``-wal`` that belongs to us. ``pause`` is in seconds, between tries; a set of more
    than ``most`` bytes is not copied. The caller removes what is below ``into``.
    """
    failed = Unknown("")
    for attempt in range(TRIES):
        time.sleep(pause * attempt)
        try:
            scratch = Path(tempfile.mkdtemp(prefix="look-", dir=into))
            answer = _try(db, scratch, most)
        except OSError as error:
            return Unknown(f"{safe(db)} could not be copied: {_in_words(error)}")
        if answer is None:
            return scratch / db.name
        failed = answer
    return Unknown(f"{safe(db)}: {failed.reason} ({TRIES} tries)", failed.damaged)


def _in_words(error: OSError) -> str:
    reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
    return f"{reason}: {safe(error.filename)}" if error.filename else str(reason)


def _try(db: Path, scratch: Path, most: int | None) -> Unknown | None:
    """Make one whole copy; what is wrong with it, or nothing. The scratch of a failed try is removed. OSError."""
    try:
        reason = _copy_set(db, scratch / db.name, most)
        failed = Unknown(reason) if reason else _unsound(scratch / db.name)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    if failed:
        shutil.rmtree(scratch, ignore_errors=True)
    return failed


def _unsound(copy: Path) -> Unknown | None:
    try:
        fold(copy)
    except RecoverError as error:
        return Unknown(f"its copy is not sound: {error.message}", damaged=isinstance(error, BadBackup))
    return None


def _copy_set(db: Path, copy: Path, most: int | None) -> str:
    """Copy database, ``-wal`` and ``-journal``, in this order; what is wrong with the copy, or nothing. OSError."""
    with _opened(db) as files:
        before = _marks(files)
        size = sum(mark.size for mark in before.values())
        if most is not None and size > most:
            held = f"it has {bytes_text(size)}; a look copies {bytes_text(most)} at most, a plan all of it"
            raise OSError(errno.EFBIG, held)
        needed = 2 * size + MARGIN
        if needed > shutil.disk_usage(copy.parent).free:
            return f"a copy needs {bytes_text(needed)} free in {safe(copy.parent.parent)}"
        for suffix, fd in files.items():
            _copy_file(fd, Path(f"{copy}{suffix}"))
    with _opened(db) as files:
        after = _marks(files)
    return "" if _belong_together(before, after) else "it was written while it was copied"


def _belong_together(before: Marks, after: Marks) -> bool:
    """Whether the files that were copied between these two looks are one committed state.

    They are when nothing moved. They also are when only frames were added to the same ``-wal``: what a checkpoint
    writes into the database stays in the log until the log starts again, which changes the log's header; and the log
    is copied after the database, so replaying it mends every page that was copied old, new or torn.
    """
    if before == after:
        return True
    logged = all("-wal" in marks and "-journal" not in marks for marks in (before, after))
    return logged and _same_file(before[""], after[""]) and _same_log(before["-wal"], after["-wal"])


def _same_file(one: Mark, other: Mark) -> bool:
    return (one.device, one.inode) == (other.device, other.inode)


def _same_log(one: Mark, other: Mark) -> bool:
    head = one.head[:WAL_HEADER]
    return _same_file(one, other) and len(head) == WAL_HEADER and head == other.head[:WAL_HEADER]


@contextmanager
def _opened(db: Path) -> Iterator[dict[str, int]]:
    """Descriptors of the set's files by suffix, the database first. OSError where the database is missing or a link."""
    with ExitStack() as stack:
        parent = os.open(db.parent, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, parent)
        files = {}
        for suffix in ("", *SIDECARS):
            try:
                files[suffix] = _open_quietly(db.name + suffix, parent)
            except FileNotFoundError:
                if not suffix:
                    raise
                continue
            stack.callback(os.close, files[suffix])
        yield files


def _open_quietly(name: str, parent: int) -> int:
    """Open for reading without following a link, waiting at a fifo or, where we may, touching the access time."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(name, flags | os.O_NOATIME, dir_fd=parent)
    except PermissionError:
        fd = os.open(name, flags, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, f"{safe(name)} is not a plain file")
    return fd


def _marks(files: dict[str, int]) -> Marks:
    return {suffix: _mark(fd) for suffix, fd in files.items()}


def _mark(fd: int) -> Mark:
    head, found = os.pread(fd, HEADER, 0), os.fstat(fd)
    return Mark(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, head)


def _copy_file(fd: int, copy: Path) -> None:
    """Copy up to the end as it is now: a log that grows faster than we read must not lead us on."""
    left, offset = os.fstat(fd).st_size, 0
    out = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(out, "wb", buffering=0) as stream:
        while left > 0 and (chunk := os.pread(fd, min(CHUNK, left), offset)):
            stream.write(chunk)
            left, offset = left - len(chunk), offset + len(chunk)
