"""A commit's directory as a tar, made of the objects themselves: no attribute or filter has a say in its bytes."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Generator
from datetime import datetime
from tarfile import TarInfo
from typing import Any

from pacs_recover.errors import SourceError
from pacs_recover.formats.streams import Peeking, Pieces
from pacs_recover.sources.git_history import parsed
from pacs_recover.sources.git_objects import DIRECTORY, LINK, SUBMODULE, Header, Item, Objects
from pacs_recover.text import safe

TOP = "pacs_bridge"
"""The one directory in it, called as in the guide's archives."""
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
DEEPEST = 32
LONGEST_LINK = 4096
"""Bytes of a link's target (PATH_MAX of Linux)."""
OTHER = "choose another: pacs-recover catalog config"


class CommitTar(io.RawIOBase):
    """The archive, made while it is read: the same bytes every time, as everything in it is named by its hash."""

    def __init__(self, objects: Objects, key: str) -> None:
        self._pieces = _pieces(objects, key)
        self._reader = Peeking(Pieces(self._pieces))

    def begin(self) -> None:
        """See that the commit is there and has the directory. SourceError."""
        self._reader.peek(1)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """The next bytes. SourceError where an object is missing or damaged."""
        piece = self._reader.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _pieces(objects: Objects, key: str) -> Generator[bytes, None, None]:
    commit, _, directory = key.partition(":")
    header = objects.find(commit)
    if header is None or (header.kind, header.oid) != ("commit", commit):
        raise SourceError(f"{objects.shown}: there is no commit {safe(key)} any more", OTHER)
    raw = objects.whole(header)
    when = parsed(commit.encode() + b"\n" + raw).committed
    tree = _below(objects, _root(objects, raw, key), directory, key)
    yield _directory(TOP, _seconds(when))
    yield from _tree(objects, tree, TOP, _seconds(when), 1)
    yield END


def _root(objects: Objects, raw: bytes, key: str) -> str:
    word, _, oid = raw.split(b"\n", 1)[0].partition(b" ")
    if word != b"tree":
        raise SourceError(f"{objects.shown}: commit {safe(key)} has no tree", OTHER)
    return oid.decode("ascii", "replace")


def _below(objects: Objects, oid: str, directory: str, key: str) -> str:
    """The tree of a directory, found from the commit's own: every step is proven by its hash."""
    for part in filter(None, directory.split("/")):
        inner = [item for item in objects.tree(oid) if item.name == os.fsencode(part) and item.kind == DIRECTORY]
        if not inner:
            raise SourceError(f"{objects.shown}: there is no directory {safe(directory)} in {safe(key)}", OTHER)
        oid = inner[0].oid
    return oid


def _tree(objects: Objects, oid: str, above: str, when: int, depth: int) -> Generator[bytes, None, None]:
    if depth > DEEPEST:
        raise SourceError(f"{safe(above)} lies more than {DEEPEST} directories deep", OTHER)
    for item in objects.tree(oid):
        name = f"{above}/{os.fsdecode(item.name)}"
        if item.kind == DIRECTORY:
            yield _directory(name, when)
            yield from _tree(objects, item.oid, name, when, depth + 1)
        elif item.kind == SUBMODULE:
            yield _directory(name, when)  # empty, as git leaves it
        else:
            yield from _blob(objects, item, name, when)


def _blob(objects: Objects, item: Item, name: str, when: int) -> Generator[bytes, None, None]:
    header = objects.must(item.oid, "blob")
    if item.kind == LINK:
        yield _link(objects, header, name, when)
        return
    info = _info(name, 0o755 if item.mode & 0o100 else 0o644, when)
    info.size = header.size
    yield _packed(info)
    yield from objects.content(header)
    yield bytes(-header.size % BLOCK)


def _link(objects: Objects, header: Header, name: str, when: int) -> bytes:
    target = objects.whole(header, LONGEST_LINK)
    if b"\0" in target:
        raise SourceError(f"{objects.shown}: the link {safe(name)} has a NUL in its target", OTHER)
    info = _info(name, 0o777, when)
    info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(target)
    return _packed(info)


def _directory(name: str, when: int) -> bytes:
    info = _info(name, 0o755, when)
    info.type = tarfile.DIRTYPE
    return _packed(info)


def _info(name: str, mode: int, when: int) -> TarInfo:
    info = TarInfo(name)
    info.mode, info.mtime = mode, when
    return info


def _packed(info: TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _seconds(when: datetime | None) -> int:
    """As far as an archive can hold it."""
    return min(max(0, int(when.timestamp())), 8**11 - 1) if when else 0
