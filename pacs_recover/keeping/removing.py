"""Taking one backup away, wherever it is: seen to be what was judged, then gone for good, its manifest with it."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pacs_recover.errors import RecoverError, Refused, SourceError
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.model import Backup
from pacs_recover.site import S3Config, Site
from pacs_recover.sources import tarball
from pacs_recover.sources.aside import AsideSource
from pacs_recover.target import places
from pacs_recover.text import safe, stamp

AGAIN = "look again: pacs-recover prune"
GET_FLAGS = 0x80086601
"""FS_IOC_GETFLAGS of linux/fs.h, on 64-bit machines."""
FIXED = 0x30
"""FS_IMMUTABLE_FL and FS_APPEND_FL."""
AT_ONCE = 8
"""Objects that are asked about side by side."""


class Remover:
    """Removes the backups of one site; a bucket is connected to once."""

    def __init__(self, site: Site) -> None:
        self._configs = {one.name: one for one in site.sources if isinstance(one, S3Config)}
        self._open = ExitStack()
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Remover:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def locks(self, backups: Sequence[Backup]) -> dict[str, str]:
        """By id, what locks each of these backups; that it could not be asked counts as a lock."""
        for name in {one.source for one in backups} & self._configs.keys():
            with suppress(SourceError):  # told of each of its objects
                self._client(self._configs[name])
        with ThreadPoolExecutor(AT_ONCE, "locks") as pool:
            said = pool.map(self._lock, backups)
        return {one.id: why for one, why in zip(backups, said, strict=True) if why}

    def _lock(self, one: Backup) -> str:
        config = self._configs.get(one.source)
        if config is None:
            return _fixed(Path(one.key))
        from pacs_recover.keeping import bucket

        try:
            return bucket.lock_of(bucket.head(self._client(config), one))
        except SourceError as error:
            return f"whether it is locked is not known: {error.message}"

    def remove(self, one: Backup) -> tuple[str, int]:
        """Remove it: what is to be said of it beside that, and how many bytes are free now.

        Refused where it is no longer what was judged or is locked; RecoverError, OSError.
        """
        if one.source == AsideSource.name:
            return _remove_aside(one)
        config = self._configs.get(one.source)
        if config is None:
            return _remove_file(one)
        from pacs_recover.keeping import bucket

        return bucket.remove(self._client(config), one)

    def _client(self, config: S3Config) -> Any:
        from pacs_recover.sources.s3.client import connected

        if config.name not in self._clients:
            self._clients[config.name] = self._open.enter_context(connected(config))
        return self._clients[config.name]


def _fixed(path: Path) -> str:
    """That a file is made immutable (chattr +i, +a); nothing where its filesystem knows no such thing."""
    answer = struct.pack("l", 0)
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            answer = fcntl.ioctl(fd, GET_FLAGS, answer)
        finally:
            os.close(fd)
    return "locked: the file is immutable (lsattr)" if struct.unpack("l", answer)[0] & FIXED else ""


def replaced(one: Backup) -> Refused:
    """What is told of a backup that is another one than was judged."""
    return Refused(f"{safe(one.id)} is not what was judged any more: it stays", AGAIN)


def gone(one: Backup) -> RecoverError:
    """What is told of a backup that somebody else removed meanwhile."""
    return RecoverError(f"{safe(one.id)} was not there any more", AGAIN)


def _remove_file(one: Backup) -> tuple[str, int]:
    """A file and its manifest, durably, in a directory that is reached without a link that others could change."""
    path = Path(one.key)
    with places.directory(places.resolve(path.parent)) as home:
        freed = _unlink(home, path.name, one)
        try:
            for end in RECORDS:
                with suppress(FileNotFoundError):
                    os.unlink(path.name + end, dir_fd=home)
        except OSError as error:
            raise RecoverError(f"{safe(one.id)} is removed, but not its manifest: {error.strerror}") from error
        finally:
            places.sync(home)
    return "", freed


def _unlink(home: int, name: str, one: Backup) -> int:
    """The file itself: the bytes that are free now."""
    try:
        found = os.stat(name, dir_fd=home, follow_symlinks=False)
    except FileNotFoundError as error:
        raise gone(one) from error
    if stat.S_ISLNK(found.st_mode):
        raise Refused(f"{safe(one.id)} is only a link: it stays", "remove what it leads to, and then the link")
    if (f"{found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}", found.st_size) != (one.stored, one.size):
        raise replaced(one)
    os.unlink(name, dir_fd=home)
    return found.st_size if found.st_nlink == 1 else 0


def _remove_aside(one: Backup) -> tuple[str, int]:
    """A set that a run set aside: out of sight by one rename, so that half a set is never listed, then away."""
    slot = Path(one.key)
    room = slot.parent.parent
    try:
        size = tarball.size(slot)
    except FileNotFoundError as error:
        raise gone(one) from error
    if size != one.size:
        raise replaced(one)
    hidden = room / f"pruned-{secrets.token_hex(4)}"
    places.move(slot, hidden)
    places.remove_tree(hidden)
    for place in (slot.parent, room):
        places.remove_if_empty(place)
    return "", size


def written(answer: dict[str, Any]) -> str:
    """What tells one content of an object from another, as its listing has it."""
    return f"{str(answer.get('ETag', '')).strip(chr(34))} {stamp(answer['LastModified'])}"
