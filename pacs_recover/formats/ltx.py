"""LTX, the files of a Litestream 0.5 replica: the pages of a database that a range of transactions changed.

The layout is that of github.com/superfly/ltx, version 3; all its integers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import lz4.block
import lz4.frame
from fastcrc.crc64 import go_iso
from msgspec import Struct

from pacs_recover.errors import BadBackup
from pacs_recover.formats.lz4_frame import Foreign, damaged, refuse_age
from pacs_recover.formats.streams import CHUNK, Reader

MAGIC = b"LTX1"
HEADER = 100
"""Bytes of a header; its last 20 are reserved."""
NO_CHECKSUM = 0x2
"""The header's only flag that is known: the database as a whole has no checksum."""
SIZED = 0x1
"""The page's only flag that is known: a size and an LZ4 block follow, instead of an LZ4 frame."""
PAGE = struct.Struct(">IH")
"""A page's header: its number and flags."""
PAGE_HEADER, END = PAGE.size, bytes(PAGE.size)
FILE_CHECKSUM = 1 << 63
"""Set in every file checksum, so that none is 0."""
TRAILER = 16
FRAMING = 64
"""Bytes by which an LZ4 frame can be longer than what it holds, and more."""
LOCKED = 0x40000000
"""The byte of a database that SQLite locks: the page that holds it is never written."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Header(Struct, frozen=True):
    """What an LTX file says of itself, before its checksum is known to be right."""

    page_size: int
    pages: int
    """Of the database after the last transaction."""
    first: int
    """Transaction id."""
    last: int
    taken_at: datetime

    @property
    def size(self) -> int:
        """Bytes of the database after the last transaction."""
        return self.pages * self.page_size

    @property
    def lock_page(self) -> int:
        """The page that is never stored, and is all zeros."""
        return LOCKED // self.page_size + 1


def header(data: bytes, name: str) -> Header:
    """Read the first bytes of a file. BadBackup that names it, Foreign for what is not known here."""
    refuse_age(data, name)
    if len(data) < HEADER or not data.startswith(MAGIC):
        raise damaged(name, "it is no LTX file" if len(data) >= HEADER else "it is cut off")
    flags, page_size, pages, first, last, milliseconds = struct.unpack(">IIIQQq", data[4:40])
    if flags & ~NO_CHECKSUM:
        raise Foreign(f"{name} has flags that are not known here ({flags:#x}): a later Litestream wrote it")
    if not 512 <= page_size <= 65536 or page_size & (page_size - 1) or not 0 < first <= last or not pages:
        raise damaged(name, "the figures in its header make no sense")
    try:
        taken_at = EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise damaged(name, "the time in its header is none") from None
    return Header(page_size, pages, first, last, taken_at)


class Pages:
    """The pages of one LTX file, in rising order; an iteration that ends has proven the whole file by its checksum."""

    def __init__(self, raw: Reader, name: str) -> None:
        """Read the header. BadBackup that names the file, Foreign."""
        self._input = _Input(raw, name)
        self._name = name
        first = self._input.upto(HEADER)
        self.header = header(first, name)
        self._crc = go_iso(first)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Page numbers (from 1) and contents. BadBackup that names the file, Foreign."""
        before = 0
        while (head := self._input.take(PAGE_HEADER)) != END:
            number, flags = PAGE.unpack(head)
            if flags & ~SIZED:
                raise Foreign(f"{self._name} has pages with flags that are not known here ({flags:#x})")
            if number <= before:
                raise damaged(self._name, f"page {number:,} comes after page {before:,}")
            before = number
            yield number, self._page(number, head, flags)
        self._finish()

    def _page(self, number: int, head: bytes, flags: int) -> bytes:
        try:
            head, page = self._block(head) if flags else (head, self._frame())
        except (lz4.block.LZ4BlockError, RuntimeError):
            raise self._bad_page(number) from None
        if len(page) != self.header.page_size:
            raise self._bad_page(number)
        self._crc = go_iso(page, go_iso(head, self._crc))
        return page

    def _bad_page(self, number: int) -> BadBackup:
        return damaged(self._name, f"page {number:,} cannot be unpacked")

    def _block(self, head: bytes) -> tuple[bytes, bytes]:
        """The header with the size, and the content, of a page as 0.5 writes it since 0.5.6 or so."""
        size = self._input.take(4)
        if (length := int.from_bytes(size)) > 2 * self.header.page_size + FRAMING:
            raise RuntimeError("longer than any page")
        return head + size, lz4.block.decompress(self._input.take(length), self.header.page_size)

    def _frame(self) -> bytes:
        """The content of a page as the first releases of 0.5 wrote it, whose length only the frame itself tells."""
        data = self._input.peek(self.header.page_size + FRAMING)
        frame = lz4.frame.LZ4FrameDecompressor()
        page: bytes = frame.decompress(data, self.header.page_size + 1)
        if not frame.eof:
            raise RuntimeError("no end")
        self._input.take(len(data) - len(frame.unused_data or b""))
        return page

    def _finish(self) -> None:
        """Read the index, which only serves random access, and the trailer, and hold the checksum against it."""
        crc, tail = go_iso(END, self._crc), self._input.upto(TRAILER)
        while more := self._input.upto(CHUNK):
            tail += more
            crc, tail = go_iso(tail[:-TRAILER], crc), tail[-TRAILER:]
        if len(tail) < TRAILER:
            raise damaged(self._name, "it is cut off")
        if go_iso(tail[:8], crc) | FILE_CHECKSUM != int.from_bytes(tail[8:]):
            raise damaged(self._name, "its checksum is wrong")


class _Input:
    """A reader that gives exact amounts, a few bytes at a time, and can be looked into."""

    def __init__(self, raw: Reader, name: str) -> None:
        self._raw = raw
        self._name = name
        self._data = b""
        self._at = 0

    def peek(self, n: int) -> bytes:
        """The next ``n`` bytes, fewer only at the end, which stay."""
        while len(self._data) - self._at < n and (more := self._raw.read(CHUNK)):
            self._data, self._at = self._data[self._at :] + more, 0
        return self._data[self._at : self._at + n]

    def upto(self, n: int) -> bytes:
        """The next ``n`` bytes, fewer only at the end."""
        data = self.peek(n)
        self._at += len(data)
        return data

    def take(self, n: int) -> bytes:
        """The next ``n`` bytes. BadBackup where there are fewer."""
        at, end = self._at, self._at + n
        if end <= len(self._data):  # as nearly always: a page takes three of these
            self._at = end
            return self._data[at:end]
        data = self.upto(n)
        if len(data) < n:
            raise damaged(self._name, "it is cut off")
        return data
