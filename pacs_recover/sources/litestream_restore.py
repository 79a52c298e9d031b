"""Making one database file from the files of a Litestream replica, page by page, every checksum checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.formats import lz4_frame, sqlite, wal
from pacs_recover.formats.ltx import Header, Pages, header
from pacs_recover.formats.streams import CHUNK, leave_room
from pacs_recover.formats.wal import Log
from pacs_recover.sources.litestream_plan import EARLIER, Range, Recipe, Segment
from pacs_recover.sources.litestream_store import Entry, Store
from pacs_recover.text import count, precise, safe, size

LZ4_MOST = 255
"""Bytes that LZ4 can make of one."""
SLACK = 1 << 14
"""Pages at the end of a database that a log may count without ever having written them."""
ROOM = "is there room? pacs-recover needs that of one queue database in its scratch directory"


class Reached(Struct, frozen=True):
    """The point that a restore really came to."""

    at: datetime
    """When Litestream read the last commit of it."""
    point: str
    """The transaction of 0.5; the generation, log and offset of 0.3."""
    files: int
    read: int
    """Bytes of those files."""

    def __str__(self) -> str:
        """As evidence."""
        source = f"{count(self.files, 'file')} ({size(self.read)})"
        return f"reached {self.point} of {precise(self.at)}, from {source}, all checksums right"


def from_chain(store: Store, chain: tuple[Range, ...], out: int) -> Reached:
    """Write the database that a chain of 0.5 files makes into an empty file.

    Raises BadBackup that names a file, Foreign, SourceError, Vanished.
    """
    last = head_of(store, chain[-1])
    if last.size > LZ4_MOST * sum(one.entry.size for one in chain) + last.page_size:  # the lock page takes no space
        raise _too_small(store, chain)
    seen = bytearray(last.pages + 1)
    with _writing():
        os.ftruncate(out, last.size)
    for one in reversed(chain):  # the newest content of a page is met first: each is written once
        _put_range(store, one, last, seen, out)
    if last.lock_page <= last.pages:
        seen[last.lock_page] = 1
    if (missing := seen.find(0, 1)) > 0:
        raise BadBackup(f"page {missing:,} of {last.pages:,} is in no file up to {safe(chain[-1].entry.key)}", EARLIER)
    _durable(out)
    return _reached(last.taken_at, f"transaction {last.last:016x}", [one.entry for one in chain])


def _too_small(store: Store, chain: tuple[Range, ...]) -> BadBackup:
    """Which file of a chain that cannot hold its database is damaged. BadBackup itself where one is cut off."""
    for one in chain:
        with store.open(one.entry.key) as raw:
            for _ in Pages(raw, safe(one.entry.key)):
                pass
    return lz4_frame.damaged(safe(chain[-1].entry.key), "it names more pages than the files can hold")


def head_of(store: Store, one: Range) -> Header:
    """The header of a 0.5 file, not yet proven. BadBackup, Foreign, SourceError, Vanished."""
    with store.open(one.entry.key, 100) as raw:
        found = header(raw.read(100), safe(one.entry.key))
    if (found.first, found.last) != (one.first, one.last):
        raise lz4_frame.damaged(safe(one.entry.key), "its header is not that of its name")
    return found


def _put_range(store: Store, one: Range, last: Header, seen: bytearray, out: int) -> None:
    """Write the pages of one file that no newer one had; the file is read and proven to its end in any case."""
    name = safe(one.entry.key)
    with store.open(one.entry.key) as raw:
        pages = Pages(raw, name)
        found = pages.header
        if (found.first, found.last, found.page_size) != (one.first, one.last, last.page_size):
            raise lz4_frame.damaged(name, "its header is not that of its name, or of its neighbours' page size")
        run = Run(out)
        for number, page in pages:
            if number <= last.pages and not seen[number]:
                seen[number] = 1
                run.put(number, page)
        run.end()
    if one.last == last.last and found != last:
        raise SourceError(f"{name} changed while it was read", "try again")


def from_recipe(store: Store, recipe: Recipe, out: int, path: Path) -> Reached:
    """Write the database that a 0.3 snapshot and the segments after it make into an empty file, ``out`` at ``path``.

    Raises BadBackup that names a file, Foreign, SourceError, Vanished.
    """
    page_size, size = _put_snapshot(store, recipe.snapshot.entry, out), 0
    for index, group in groupby(recipe.segments, key=lambda one: one.index):
        segments = tuple(group)
        size = _folded(store, segments, page_size, path) or _replayed(store, segments, page_size, out, index)
    _durable(out)
    end = recipe.segments[-1]
    point = f"generation {end.generation}, log {end.index:08x} up to {size:,} bytes"
    return _reached(end.entry.modified, point, [recipe.snapshot.entry, *(one.entry for one in recipe.segments)])


def _folded(store: Store, segments: tuple[Segment, ...], page_size: int, database: Path) -> int:
    """The bytes of one whole log that SQLite itself found right to its last frame, and has written into the database.

    0 where anything is odd: what that is, and in which file, ``_replayed`` finds out.
    """
    log = Path(f"{database}-wal")
    with _writing(), log.open("x+b") as file:
        try:
            size = _joined(store, segments, page_size, file.fileno())
            return size if size and wal.applied(database, page_size) else 0
        finally:
            log.unlink(missing_ok=True)


def _joined(store: Store, segments: tuple[Segment, ...], page_size: int, out: int) -> int:
    """Write the log that segments are cut from; its size, or 0 where they do not fit, or end amid a transaction."""
    at = 0
    for one in segments:
        if one.offset != at:
            return 0
        with store.open(one.entry.key) as raw:
            for piece in lz4_frame.unpacked(raw, safe(one.entry.key)):
                leave_room(out)
                _write(out, piece, at)
                at += len(piece)
        if not wal.ends_with_commit(out, at, page_size):
            return 0
    return at


def _replayed(store: Store, segments: tuple[Segment, ...], page_size: int, out: int, index: int) -> int:
    """The bytes of one whole log whose frames were written into the database one by one."""
    log = Log()
    for one in segments:
        _replay(store, one, log, page_size, out)
    _checkpoint(log, out, index)
    return log.size


def _put_snapshot(store: Store, entry: Entry, out: int) -> int:
    """The page size of the database file that a snapshot holds."""
    name, at, head = safe(entry.key), 0, b""
    with store.open(entry.key) as raw:
        for piece in lz4_frame.unpacked(raw, name):
            head = head or piece[: sqlite.HEADER]
            leave_room(out)
            _write(out, piece, at)
            at += len(piece)
    page_size = int.from_bytes(head[16:18]) if head[16:18] != b"\x00\x01" else 65536
    if not head.startswith(sqlite.MAGIC) or page_size < 512 or at % page_size:
        raise lz4_frame.damaged(name, "it holds no SQLite database")
    return page_size


def _replay(store: Store, one: Segment, log: Log, page_size: int, out: int) -> None:
    name = safe(one.entry.key)
    if one.offset != log.size:
        raise BadBackup(
            f"a file is missing: bytes {log.size:,} to {one.offset:,} of write-ahead log {one.index:08x}, "
            f"before {name}, are in none",
            EARLIER,
        )
    with store.open(one.entry.key) as packed:
        raw = lz4_frame.reader(packed, name)
        for number, page in log.frames(raw, name):
            if len(page) != page_size:
                raise lz4_frame.damaged(name, "its pages are not of the snapshot's size")
            _put(out, page, number)
    if not log.committed:
        raise lz4_frame.damaged(name, "it ends in the middle of a transaction")


def _checkpoint(log: Log, out: int, index: int) -> None:
    """What SQLite does at the end of a log: give the database the size of the last commit."""
    if not log.pages:
        return
    with _writing():
        written = os.fstat(out).st_size // log.page_size
        if log.pages > written + SLACK:
            raise BadBackup(
                f"write-ahead log {index:08x} counts {log.pages:,} pages, but {written:,} were ever written", EARLIER
            )
        os.ftruncate(out, log.pages * log.page_size)


def _reached(at: datetime, point: str, entries: list[Entry]) -> Reached:
    return Reached(at, point, len(entries), sum(one.size for one in entries))


class Run:
    """Pages on their way into a database: those that lie side by side are written together."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._first = 0
        self._pages: list[bytes] = []

    def put(self, number: int, page: bytes) -> None:
        """Take one more page, numbered from 1. SourceError where writing fails."""
        if number != self._first + len(self._pages) or len(self._pages) * len(page) >= CHUNK:
            self.end()
            self._first = number
        self._pages.append(page)

    def end(self) -> None:
        """Write what is left. SourceError."""
        if self._pages:
            _write(self._out, b"".join(self._pages), (self._first - 1) * len(self._pages[0]))
        self._pages.clear()


def _put(out: int, page: bytes, number: int) -> None:
    _write(out, page, (number - 1) * len(page))


def _write(out: int, data: bytes, at: int) -> None:
    with _writing():
        done = 0
        while done < len(data):
            done += os.pwrite(out, data[done:] if done else data, at + done)


def _durable(out: int) -> None:
    with _writing():
        os.fsync(out)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"cannot write the restored database: {error.strerror or error}", ROOM) from error
