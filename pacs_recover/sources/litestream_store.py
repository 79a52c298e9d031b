"""Where a Litestream replica lies, as far as reading it goes: keys below one root."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableSequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.formats.streams import Reader
from pacs_recover.sources.file import opened, unreadable
from pacs_recover.text import safe

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOUNTED = "is the path right, and is the disk or share mounted?"


class Entry(Struct, frozen=True):
    """One file or object of a replica."""

    key: str
    """Relative to the replica's root, with ``/``."""
    size: int
    modified: datetime
    """Aware, UTC: the file's mtime, the object's LastModified (whole seconds)."""


class Vanished(SourceError):
    """There is no such key any more, or it is another file now: retention ran since it was listed."""


class Store(Protocol):
    """A place that holds a replica; nothing in it is ever written."""

    @property
    def url(self) -> str:
        """What ``litestream restore`` is given for it: ``file:///…``, ``s3://bucket/prefix``."""
        ...

    @property
    def parallel(self) -> int:
        """How many small reads at a time serve it best."""
        ...

    def list(self, prefix: str) -> Iterator[Entry]:
        """All keys that begin with the prefix (nothing, or one that ends with ``/``), in any order.

        No key is no error. What can be listed comes first, then SourceError where something could not.
        """
        ...

    def open(self, key: str, length: int | None = None) -> AbstractContextManager[Reader]:
        """The bytes of a key, or its first ``length`` ones. Vanished, SourceError: here and by later reads."""
        ...


class FileStore:
    """A replica in a directory: one that Litestream writes, or a bucket that was copied to disk."""

    parallel = 1

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        """As a Store's."""
        return self.root.absolute().as_uri()

    def list(self, prefix: str) -> Iterator[Entry]:
        """As a Store's; a link to a file is one, a link to a directory is not followed."""
        failed: MutableSequence[SourceError] = []
        if not self.root.is_dir():
            raise SourceError(f"there is no directory {safe(self.root)}", MOUNTED)
        yield from self._below(prefix.strip("/"), failed)
        if failed:
            raise failed[0]

    def _below(self, directory: str, failed: MutableSequence[SourceError]) -> Iterator[Entry]:
        path = self.root / directory
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
            for entry in entries:
                key = f"{directory}/{entry.name}" if directory else entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(key, failed)
                elif found := _entry(key, entry):
                    yield found
        except FileNotFoundError:
            return
        except OSError as error:
            failed.append(unreadable(path, error))

    @contextmanager
    def open(self, key: str, length: int | None = None) -> Iterator[Reader]:
        """As a Store's."""
        try:
            with opened(self.root / key) as file:
                yield file if length is None else _Head(file, length)
        except SourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise Vanished(error.message, error.hint) from error
            raise


class _Head:
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, n: int = -1, /) -> bytes:
        data = self._file.read(self._left if n < 0 else min(n, self._left))
        self._left -= len(data)
        return data


def _entry(key: str, entry: os.DirEntry[str]) -> Entry | None:
    """A regular file; None for what is none, or was removed meanwhile."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    if not entry.is_file():
        return None
    return Entry(key, status.st_size, EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000))
