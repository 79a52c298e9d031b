"""Readers of bytes: the one shape in which every layer of a backup hands its content to the next."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from typing import BinaryIO, Protocol, TypeVar

from pacs_recover.errors import RecoverError
from pacs_recover.text import size as human

CHUNK = 1 << 20
"""Bytes that are held at a time, whatever the size of the backup."""

RESERVE = 1 << 30
"""Bytes of a filesystem that unpacking leaves free; of a small one 2 %."""

Result = TypeVar("Result")


class Reader(Protocol):
    """Bytes in their order: ``read`` gives at most ``n`` (all that are left for ``n`` < 0), ``b""`` only at the end."""

    def read(self, n: int = -1, /) -> bytes:
        """The next bytes; fewer than ``n`` do not mean the end. BadBackup where they are damaged, OSError."""
        ...


class Pieces:
    """A reader over an iterator of pieces; an error is raised again by later reads: none takes it for the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._error: Exception | None = None

    def read(self, n: int = -1, /) -> bytes:
        """The next bytes, as a Reader's."""
        if n < 0:
            return b"".join(chunks(self))
        while n and not self._rest:
            piece = self._next()
            if piece is None:
                return b""
            if 0 < len(piece) <= n:  # as nearly always: nothing is copied
                return piece
            self._rest = memoryview(piece)
        head, self._rest = self._rest[:n], self._rest[n:]
        return bytes(head)

    def _next(self) -> bytes | None:
        if self._error:
            raise self._error
        try:
            return next(self._pieces, None)
        except Exception as error:
            self._error = error
            raise


class Peeking:
    """A reader that can be looked into before it is read."""

    def __init__(self, raw: Reader) -> None:
        self._raw = raw
        self._seen = b""

    def peek(self, n: int) -> bytes:
        """The next ``n`` bytes (fewer only at the end), which the next read returns again."""
        self._seen += exactly(self._raw, n - len(self._seen))
        return self._seen[:n]

    def read(self, n: int = -1, /) -> bytes:
        """The next bytes, as a Reader's."""
        if n < 0:
            return b"".join(chunks(self))
        if not self._seen:
            return self._raw.read(n)
        head, self._seen = self._seen[:n], self._seen[n:]
        return head


class Hashing:
    """A reader that counts and hashes what is read through it."""

    def __init__(self, raw: Reader) -> None:
        self._raw = raw
        self._hash = hashlib.sha256()
        self.size = 0
        """Bytes read so far."""

    def read(self, n: int = -1, /) -> bytes:
        """The next bytes, as a Reader's."""
        chunk = self._raw.read(n)
        self._hash.update(chunk)
        self.size += len(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        """Of the bytes read so far, as hexadecimal digits."""
        return self._hash.hexdigest()

    def drain(self) -> None:
        """Read the rest, so that size and hash are of the whole and damage at the very end is found."""
        for _ in chunks(self):
            pass


def chunks(reader: Reader, size: int = CHUNK) -> Iterator[bytes]:
    """What is left of a reader, in pieces of at most ``size`` bytes."""
    while chunk := reader.read(size):
        yield chunk


def exactly(reader: Reader, n: int) -> bytes:
    """The next ``n`` bytes; fewer only where the reader ends."""
    pieces: list[bytes] = []
    while n > 0 and (piece := reader.read(n)):
        pieces.append(piece)
        n -= len(piece)
    return b"".join(pieces)


def copy(reader: Reader, out: BinaryIO) -> Iterator[int]:
    """Write the rest of a reader to ``out`` and yield after each chunk how many bytes that makes so far.

    While a chunk is written the next one is read; nothing is being written whenever it yields.
    """
    from concurrent.futures import ThreadPoolExecutor  # deferred: most commands copy nothing

    done, writing = 0, None
    with ThreadPoolExecutor(1, "copy") as writer:
        for chunk in chunks(reader):
            if writing:
                done += writing.result()
                yield done
            writing = writer.submit(_write, out, chunk)
        if writing:
            yield done + writing.result()


def _write(out: BinaryIO, chunk: bytes) -> int:
    """How many bytes that were. OSError."""
    view = memoryview(chunk)
    while view:  # an unbuffered file may take less than it is given
        view = view[out.write(view) :]
    return len(chunk)


def leave_room(fd: int) -> None:
    """RecoverError where the filesystem of a file is nearly full: what is unpacked must not take the service's room."""
    status = os.fstatvfs(fd)
    if status.f_bavail * status.f_frsize < min(RESERVE, status.f_blocks * status.f_frsize // 50):
        raise RecoverError(
            f"unpacking it would fill the disk: {human(os.fstat(fd).st_size)} are unpacked so far",
            "Make room there, or it is a decompression bomb: then take another backup.",
        )


def finished(work: Generator[object, None, Result]) -> Result:
    """Run work that reports progress to its end and return its result, where nobody watches the progress."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
