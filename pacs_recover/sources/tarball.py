"""A directory as a tar archive that is made while it is read, in constant memory and without following a link."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tarfile import TarInfo
from typing import Any

from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.formats.streams import CHUNK, Peeking, Pieces
from pacs_recover.sources.file import HARMLESS, unreadable
from pacs_recover.target import places, trees
from pacs_recover.text import safe

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
DEEPEST = 30
"""Directories below one another: each holds a descriptor, and no reader of archives takes many more."""
LEFT_OUT = "-shm"
"""The end of the one name of a SQLite set that must not be copied: an index of the -wal in shared memory."""


Keep = Callable[[str, int], bool]
"""Whether a thing is to be in the archive, by its name below the directory and a descriptor (-1 for a link)."""


def everything(name: str, fd: int) -> bool:  # noqa: ARG001 - as every Keep
    """All of it."""
    return True


class Tarball(io.RawIOBase):
    """What is in a directory, sorted by name: the same bytes as long as nothing changes there.

    Sockets, fifos and devices are left out, and the setuid bits of files, which no restore takes.
    """

    def __init__(self, directory: Path, top: str = "", keep: Keep = everything) -> None:
        """With ``top`` as the name of the directory itself, else without it; of what is in it what is to be kept."""
        self._pieces = _pieces(directory, top, keep)
        self._reader = Peeking(Pieces(self._pieces))

    def begin(self) -> None:
        """See that the directory is there and can be read. SourceError."""
        self._reader.peek(1)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """The next bytes. SourceError where the directory or anything in it cannot be read, or changes meanwhile."""
        piece = self._reader.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Let every descriptor go."""
        self._pieces.close()
        super().close()


def size(directory: Path) -> int:
    """Bytes that the archive of a directory will have; 0 where nothing is in it. OSError, RecoverError."""
    every = _members(directory, "", everything)
    total = sum(len(_header(info)) + info.size + _padding(info) for info, _ in every)
    return total + len(END) if total else 0


def _pieces(directory: Path, top: str, keep: Keep) -> Generator[bytes, None, None]:
    """The archive in pieces. SourceError."""
    try:
        for info, fd in _members(directory, top, keep):
            yield _header(info)
            if info.isreg():
                yield from _content(info, fd)
                yield bytes(_padding(info))
        yield END
    except OSError as error:
        raise unreadable(directory, error) from error
    except SourceError:
        raise
    except RecoverError as error:
        raise SourceError(error.message, error.hint) from error


def _header(info: TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(info: TarInfo) -> int:
    return -info.size % BLOCK


def _content(info: TarInfo, fd: int) -> Iterator[bytes]:
    before, left = os.fstat(fd), info.size
    while left and (chunk := os.read(fd, min(CHUNK, left))):
        left -= len(chunk)
        yield chunk
    after = os.fstat(fd)
    if left or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _changed(info.name)


def _changed(name: str) -> SourceError:
    return SourceError(f"{safe(name)} changed while it was read", "see who writes there, then try again")


def _members(directory: Path, top: str, keep: Keep) -> Iterator[tuple[TarInfo, int]]:
    """What is in a directory with a descriptor that is good until the next; -1 for links. OSError, RecoverError."""
    with places.directory(directory) as fd:
        if top:
            yield _described(top, os.fstat(fd)), fd
        for name in sorted(os.listdir(fd)):
            if not name.endswith(LEFT_OUT):
                for info, inner in _walk(fd, name, name, keep):
                    info.name = f"{top}/{info.name}" if top else info.name
                    yield info, inner


def _walk(parent: int, name: str, label: str, keep: Keep, depth: int = 1) -> Iterator[tuple[TarInfo, int]]:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode) and keep(label, -1):
        yield _described(label, found, os.readlink(name, dir_fd=parent)), -1
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        return
    with _held(parent, name, label, found) as fd:
        if not keep(label, fd):
            return
        yield _described(label, os.fstat(fd)), fd
        inner = sorted(os.listdir(fd)) if stat.S_ISDIR(found.st_mode) else []
        if inner and depth == DEEPEST:
            raise SourceError(f"{safe(label)} lies {depth} directories deep", "copy what is needed by hand")
        for below in inner:
            yield from _walk(fd, below, f"{label}/{below}", keep, depth + 1)


@contextmanager
def _held(parent: int, name: str, label: str, found: os.stat_result) -> Iterator[int]:
    """A descriptor of the very thing that was looked at."""
    fd = os.open(name, HARMLESS | os.O_NOFOLLOW, dir_fd=parent)
    try:
        if not os.path.samestat(found, os.fstat(fd)):
            raise _changed(label)
        if stat.S_ISREG(found.st_mode):
            _must_belong_here(fd, parent, label)
        yield fd
    finally:
        os.close(fd)


def _must_belong_here(fd: int, parent: int, label: str) -> None:
    try:
        trees.must_belong_here(fd, parent, label)
    except RecoverError as error:
        raise SourceError(error.message, error.hint) from error


def _described(label: str, found: os.stat_result, target: str = "") -> TarInfo:
    info = TarInfo(label)
    info.mode, info.uid, info.gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    info.mtime = found.st_mtime_ns // 10**9
    if target:
        info.type, info.linkname = tarfile.SYMTYPE, target
    elif stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
    else:
        info.size, info.mode = found.st_size, info.mode & 0o777
    return info
