"""LZ4 frames as Litestream 0.3 writes them: one frame per file, with a checksum of its content."""

from __future__ import annotations

from collections.abc import Iterator

import lz4.frame

from pacs_recover.errors import BadBackup
from pacs_recover.formats.streams import CHUNK, Pieces, Reader, exactly

MAGIC = b"\x04\x22\x4d\x18"
AGE = b"age-encryption.org/"
"""How a file begins that age encrypted (https://age-encryption.org/v1)."""
CHECKSUM = 0x04
"""The bit of a frame's flags that says that a checksum of the content follows it (LZ4 Frame Format 1.6, FLG)."""
READ = 64 << 10
"""Compressed bytes that are unpacked at a time: LZ4 makes at most 255 of one."""
OTHER_POINT = "choose an earlier point in time: pacs-recover points"


class Foreign(BadBackup):
    """Written in a way that only Litestream itself can read."""


def unpacked(raw: Reader, name: str) -> Iterator[bytes]:
    """The content of a file that is one LZ4 frame, all of it checked. BadBackup that names it, Foreign for age."""
    data = exactly(raw, READ)
    _check_begin(data, name)
    frame = lz4.frame.LZ4FrameDecompressor()
    try:
        while not frame.eof:
            if frame.needs_input and not data:
                raise damaged(name, "it is cut off")
            if content := frame.decompress(data, CHUNK):
                yield content
            data = raw.read(READ) if frame.needs_input and not frame.eof else b""
    except RuntimeError as error:
        raise damaged(name, f"its compressed data is wrong ({error})") from None
    if frame.unused_data or raw.read(1):
        raise damaged(name, "something follows its end")


def reader(raw: Reader, name: str) -> Pieces:
    """The content of such a file as a reader; errors as those of ``unpacked``."""
    return Pieces(unpacked(raw, name))


def damaged(name: str, how: str) -> BadBackup:
    """A file of a replica that is not what Litestream wrote."""
    return BadBackup(f"{name} is damaged: {how}", OTHER_POINT)


def refuse_age(data: bytes, name: str) -> None:
    """Foreign where a file begins as age's do."""
    if data.startswith(AGE):
        raise Foreign(f"{name} is encrypted with age, whose key only Litestream's own configuration has")


def _check_begin(data: bytes, name: str) -> None:
    refuse_age(data, name)
    if not data.startswith(MAGIC):
        raise damaged(name, "it is no LZ4 frame" if data else "it is empty")
    if len(data) > len(MAGIC) and not data[len(MAGIC)] & CHECKSUM:
        raise damaged(name, "it has no checksum of its content, which Litestream always writes")
