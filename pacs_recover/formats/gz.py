"""gzip, checked to its very end: CRC and length of every member, and nothing after the last one but zeros."""

from __future__ import annotations

from collections.abc import Iterator

from isal import igzip_lib

from pacs_recover.errors import BadBackup
from pacs_recover.formats.streams import CHUNK, Pieces, Reader
from pacs_recover.text import safe
from pacs_recover.text import size as human

MAGIC = b"\x1f\x8b"
ANOTHER = "It was cut short or changed after it was made: take another backup."


class Unzipping(Pieces):
    """The content of a gzip reader; reads raise BadBackup where it is damaged or grows over ``limit`` bytes.

    The last read, the one that returns ``b""``, proves the CRC: content is only good once it has been reached.
    """

    def __init__(self, raw: Reader, limit: int | None = None) -> None:
        pieces = _unzipped(_Source(raw))
        super().__init__(pieces if limit is None else _bounded(pieces, limit))


class _Source:
    """Compressed bytes of which a member may give back those that belong to what follows."""

    def __init__(self, raw: Reader) -> None:
        self._raw = raw
        self._back = b""

    def next(self) -> bytes:
        chunk, self._back = self._back or self._raw.read(CHUNK // 4), b""
        return chunk

    def give_back(self, chunk: bytes) -> None:
        self._back = chunk

    def begins(self, size: int) -> bytes:
        while len(self._back) < size and (more := self._raw.read(CHUNK // 4)):
            self._back += more
        return self._back[:size]


def _unzipped(source: _Source) -> Iterator[bytes]:
    if not source.begins(1):
        raise BadBackup("The gzip layer is missing: there are no bytes in it", "Take another backup.")
    if source.begins(2) != MAGIC:
        raise BadBackup("The gzip layer is missing: it does not begin as gzip does", ANOTHER)
    while source.begins(2) == MAGIC:
        yield from _member(source)
    _only_zeros(source)


def _member(source: _Source) -> Iterator[bytes]:
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    while not inflater.eof:
        chunk = b""
        if inflater.needs_input and not (chunk := source.next()):
            raise BadBackup("The gzip layer is cut short: it ends before its checksum", ANOTHER)
        try:
            yield inflater.decompress(chunk, CHUNK)
        except igzip_lib.error as error:  # type: ignore[misc] # its stub calls the class an instance
            raise BadBackup(f"The gzip layer is damaged: {_reason(error)}", ANOTHER) from error
    source.give_back(inflater.unused_data)


def _reason(error: Exception) -> str:
    """ISA-L's words without its number: ``Error -6 Incorrect checksum found``."""
    words = safe(error).split(maxsplit=2)
    return words[-1].lower() if words[:1] == ["Error"] else " ".join(words)


def _only_zeros(source: _Source) -> None:
    while chunk := source.next():
        if chunk.strip(b"\0"):
            raise BadBackup("The gzip layer is damaged: something else follows its end", ANOTHER)


def _bounded(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise BadBackup(
                f"The gzip layer grows over the {human(limit)} that are allowed here: it may be a decompression bomb",
                "Take another backup.",
            )
        yield piece
