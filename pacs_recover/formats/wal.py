"""SQLite's write-ahead log as Litestream 0.3 keeps it: cut into segments, each of which ends with a commit.

The layout is SQLite's own (https://www.sqlite.org/fileformat2.html#walformat).
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pacs_recover.formats import sqlite
from pacs_recover.formats.lz4_frame import damaged
from pacs_recover.formats.streams import Reader, exactly

LITTLE, BIG = 0x377F0682, 0x377F0683
"""The magic numbers: they also tell in which byte order the checksums add words up."""
HEADER, FRAME = 32, 24
"""Bytes of the log's header, and of the one before each page."""
WORD = (1 << 32) - 1


class Log:
    """One write-ahead log that is read segment by segment, every frame of it checked."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes read so far: the offset at which the next segment has to begin."""
        self.page_size = 0
        self.pages = 0
        """Of the database at the last commit; 0 before the first."""
        self.committed = True
        """Whether the last frame so far was a commit."""
        self._sums = 0, 0
        self._salts = b""
        self._big = False

    def frames(self, raw: Reader, name: str) -> Iterator[tuple[int, bytes]]:
        """Page numbers (from 1) and contents of the next segment, as they were written. BadBackup that names it.

        Whoever writes the log has to have valid frames alone: an invalid one, which SQLite itself would take for the
        end of the log, is damage.
        """
        if not self.size:
            self._begin(exactly(raw, HEADER), name)
        number = 0
        while head := exactly(raw, FRAME):
            number += 1
            page = exactly(raw, self.page_size)
            if len(page) < self.page_size:
                raise damaged(name, f"frame {number:,} is cut off")
            pgno = self._check(head, page, f"frame {number:,}", name)
            self.size += FRAME + self.page_size
            yield pgno, page

    def _begin(self, head: bytes, name: str) -> None:
        if len(head) < HEADER:
            raise damaged(name, "its write-ahead log has no header")
        magic, _, page_size = struct.unpack(">III", head[:12])
        if magic not in (LITTLE, BIG):
            raise damaged(name, "it is no write-ahead log")
        if not 512 <= page_size <= 65536 or page_size & (page_size - 1):
            raise damaged(name, f"its write-ahead log names pages of {page_size:,} bytes")
        self._big, self.page_size, self._salts, self.size = magic == BIG, page_size, head[16:24], HEADER
        self._sums = checksum((0, 0), head[:24], self._big)
        if struct.pack(">II", *self._sums) != head[24:]:
            raise damaged(name, "the header of its write-ahead log has a wrong checksum")

    def _check(self, head: bytes, page: bytes, frame: str, name: str) -> int:
        """The number of the page that a frame holds."""
        if head[8:16] != self._salts:
            raise damaged(name, f"{frame} belongs to another write-ahead log")
        self._sums = checksum(checksum(self._sums, head[:8], self._big), page, self._big)
        if struct.pack(">II", *self._sums) != head[16:]:
            raise damaged(name, f"{frame} has a wrong checksum")
        number, pages = struct.unpack(">II", head[:8])
        if not number:
            raise damaged(name, f"{frame} holds page 0")
        self.committed = pages > 0
        self.pages = pages or self.pages
        return int(number)


def ends_with_commit(log: int, size: int, page_size: int) -> bool:
    """Whether the first ``size`` bytes of an open log are whole frames of such pages, the last a commit. OSError."""
    frame = FRAME + page_size
    whole = size > HEADER and (size - HEADER) % frame == 0 and os.pread(log, 4, 8) == page_size.to_bytes(4)
    return whole and os.pread(log, 4, size - frame + 4) != bytes(4)


def applied(database: Path, page_size: int) -> bool:
    """Have SQLite write the log beside a private database into it, and say whether that was the whole log.

    It takes no frame whose checksum or salts are wrong, and none after such a one: it tells how many it took. OSError.
    """
    log = Path(f"{database}-wal")
    frames = (log.stat().st_size - HEADER) // (FRAME + page_size)
    try:
        with closing(sqlite3.connect(database.absolute(), isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # else it makes a -shm
            connection.execute("PRAGMA synchronous=OFF")
            sqlite.harden(connection, sqlite.patience(database) + sqlite.patience(log))
            answer = connection.execute("PRAGMA wal_checkpoint").fetchone()
    except (sqlite3.Error, MemoryError, UnicodeDecodeError):
        return False
    return bool(answer == (0, frames, frames))


def checksum(sums: tuple[int, int], data: bytes, big: bool) -> tuple[int, int]:
    """SQLite's running checksum after more data, whose length is a multiple of 8."""
    first, second = sums
    words = memoryview(data).cast("I") if big == (sys.byteorder == "big") else _swapped(data)
    pairs = iter(words)
    for even, odd in zip(pairs, pairs, strict=True):
        first = (first + second + even) & WORD
        second = (second + first + odd) & WORD
    return first, second


def _swapped(data: bytes) -> tuple[int, ...]:
    order = "<" if sys.byteorder == "big" else ">"
    return struct.unpack(f"{order}{len(data) // 4}I", data)
