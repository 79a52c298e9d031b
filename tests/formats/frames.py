"""LZ4 frames, LTX files and write-ahead logs for tests, written by the formats' own definitions."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import lz4.block
import lz4.frame
from fastcrc.crc64 import go_iso

from pacs_recover.formats.wal import LITTLE, checksum


def framed(data: bytes) -> bytes:
    """A frame as Litestream 0.3 writes it."""
    packed: bytes = lz4.frame.compress(data, block_size=7, block_linked=False, content_checksum=True, store_size=False)
    return packed


def ltx(
    pages: Sequence[tuple[int, bytes]],
    *,
    commit: int = 3,
    page_size: int = 512,
    transactions: tuple[int, int] = (1, 1),
    flags: int = 2,
    page_flags: int = 1,
    milliseconds: int = 1_794_276_000_123,
    old: bool = False,
) -> bytes:
    """An LTX file; ``old``: with a frame for each page, as the first releases of 0.5 wrote it."""
    head = b"LTX1" + struct.pack(">IIIQQq", flags, page_size, commit, *transactions, milliseconds) + bytes(60)
    crc, out = go_iso(head), [head]
    for number, page in pages:
        if old:
            start, size, packed = struct.pack(">IH", number, 0), b"", framed(page)
        else:
            packed = lz4.block.compress(page, store_size=False)
            start, size = struct.pack(">IH", number, page_flags), struct.pack(">I", len(packed))
        crc = go_iso(start + size + page, crc)
        out += [start, size, packed]
    index = b"\x01\x64\x20\x00" + struct.pack(">Q", 4)
    end = bytes(6) + index + bytes(8)
    return b"".join([*out, end, struct.pack(">Q", go_iso(end, crc) | 1 << 63)])


def wal(frames: Sequence[tuple[int, int, bytes]], *, magic: int = LITTLE, page_size: int = 512) -> bytes:
    """A write-ahead log of (page number, database size or 0, page), with right checksums."""
    big = bool(magic & 1)
    head = struct.pack(">IIII", magic, 3007000, page_size, 0) + b"saltSALT"
    sums = checksum((0, 0), head, big)
    out = [head, struct.pack(">II", *sums)]
    for number, commit, page in frames:
        start = struct.pack(">II", number, commit)
        sums = checksum(checksum(sums, start, big), page, big)
        out += [start, b"saltSALT", struct.pack(">II", *sums), page]
    return b"".join(out)
