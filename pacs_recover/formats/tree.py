"""A directory that is filled by descriptor: no link is ever followed, no name is ever replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pacs_recover.errors import RecoverError
from pacs_recover.formats.streams import CHUNK
from pacs_recover.text import safe

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
KEPT = 0o755
"""Permission bits that are taken over: nobody but the owner may write, nothing is setuid, setgid or sticky."""

Parts = tuple[str, ...]
"""A name below the tree's top, one part per directory."""


@contextmanager
def planted(top: Path) -> Iterator[Tree]:
    """The empty directory ``top`` as a tree. Raises RecoverError where it is none."""
    with _told(str(top)):
        fd = os.open(top, DIRECTORY)
    try:
        if os.listdir(fd):
            raise RecoverError(f"{safe(top)} is not empty", "Unpack into an empty directory.")
        yield Tree(fd)
    finally:
        os.close(fd)


class Tree:
    """Writes below one directory; every method raises RecoverError where the system does not let it."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._made: set[Parts] = {()}

    def directory(self, parts: Parts) -> None:
        """Make a directory (0700 for now) and those above it, where they have not been made."""
        for depth in range(1, len(parts) + 1):
            if parts[:depth] not in self._made:
                with _told("/".join(parts)), self._above(parts[:depth]) as fd:
                    os.mkdir(parts[depth - 1], 0o700, dir_fd=fd)
                self._made.add(parts[:depth])

    def symlink(self, parts: Parts, target: str) -> None:
        """Make a symbolic link."""
        self.directory(parts[:-1])
        with _told("/".join(parts)), self._above(parts) as fd:
            os.symlink(target, parts[-1], dir_fd=fd)

    def file(self, parts: Parts, pieces: Iterator[bytes], mode: int) -> Iterator[int]:
        """Make a file (0600 until it is whole) and yield each piece's size once it is written."""
        self.directory(parts[:-1])
        name = "/".join(parts)
        with _told(name), self._above(parts) as above:
            fd = os.open(parts[-1], NEW, 0o600, dir_fd=above)
        try:
            for piece in pieces:
                with _told(name):
                    _write(fd, piece)
                yield len(piece)
            with _told(name):
                os.fchmod(fd, mode & KEPT)
        finally:
            os.close(fd)

    def duplicate(self, parts: Parts, source: Parts, mode: int) -> Iterator[int]:
        """Make a file with the content of another of the tree and yield each piece's size once it is written."""
        with _told("/".join(source)), self._above(source) as above:
            fd = os.open(source[-1], OLD, dir_fd=above)
        try:
            yield from self.file(parts, iter(lambda: os.read(fd, CHUNK), b""), mode)
        finally:
            os.close(fd)

    def finish(self, parts: Parts, mode: int) -> None:
        """Give a directory its permissions; its owner can always enter and change it."""
        with _told("/".join(parts)), self._above((*parts, ".")) as fd:
            os.fchmod(fd, (mode & KEPT) | 0o700)

    @contextmanager
    def _above(self, parts: Parts) -> Iterator[int]:
        """A descriptor of the directory that holds ``parts``, reached one real directory at a time."""
        fd = os.dup(self._top)
        try:
            for part in parts[:-1]:
                inner = os.open(part, DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)


def _write(fd: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecoverError(
            f"{safe(name)} could not be unpacked: {error.strerror}",
            "Look at the space, the permissions and the file system of the staging directory.",
        ) from error
