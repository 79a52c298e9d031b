"""Backups into a directory: written beside their place, made durable, read back from the disk, and only then named."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.formats import age, openssl_enc, streams
from pacs_recover.formats.streams import Hashing, Reader
from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.formats.wrapping import unwrap
from pacs_recover.making.artifact import Artifact
from pacs_recover.making.destinations import Stored
from pacs_recover.site import LocalConfig, Site
from pacs_recover.sources.file import opened
from pacs_recover.target import places
from pacs_recover.text import safe

UNFINISHED = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.part")
"""What a backup is called until it is proven; no listing takes it for one."""
BESIDE = RECORDS[0]


class Directory:
    """A directory in the guide's layout: ``config/``, ``certs/``, ``queue/``, ``logs/`` below it."""

    def __init__(self, config: LocalConfig, site: Site) -> None:
        self.name, self.path = config.name, config.path
        self._site, self._zone = site, site.zone(config)

    def _home(self, component: str) -> Path:
        return places.resolve(self.path) / component

    def begin(self, component: str) -> Iterator[str]:
        """See that the directory is there, and remove what a killed backup left. RecoverError, OSError."""
        if not self.path.is_dir():
            raise SourceError(
                f"there is no directory {safe(self.path)}",
                f"is its disk mounted? a new one: install -d -m 700 {safe(self.path)}",
            )
        home = self._home(component)
        places.make_directories(home, 0o700)
        with places.directory(home) as fd:
            for name in os.listdir(fd):
                if (match := UNFINISHED.fullmatch(name)) and _is_abandoned(fd, name):
                    yield from _cleared(fd, name, match["name"])

    def has(self, made: Artifact) -> bool:
        """Whether a file of this name is there. OSError."""
        return places.identity(self._home(made.component) / made.title.name(self._zone)) is not None

    def store(self, made: Artifact) -> Stored:
        """The backup and its manifest under their names, both durable. RecoverError, OSError."""
        name, home = made.title.name(self._zone), self._home(made.component)
        id = made.title.id(self._zone, self.name)
        with places.directory(home) as fd:
            if places.identity_in(fd, name):
                return Stored(id, self._same(home / name, made))
            with opened(made.path) as raw, _written(fd, home, name, raw, made.sha256) as unnamed:
                manifest = made.manifest(name)
                with _written(fd, home, name + BESIDE, BytesIO(manifest), "") as beside:
                    _named(fd, beside, name + BESIDE)
                    _named(fd, unnamed, name)
        return Stored(id, proven=made.proven)

    def _same(self, path: Path, made: Artifact) -> str:
        """That what is there already is this very content, read to its end. RecoverError where it is not."""
        if not made.content:
            raise RecoverError(f"{safe(path)} is there already, and nothing is overwritten", "try again in a second")
        with opened(path) as raw:
            if content_of(raw, made, self._site) != made.content:
                raise BadBackup(f"{safe(path)} is there already, and is not that log", "see what it is; it was kept")
        return "was there already"


def content_of(raw: Reader, made: Artifact, site: Site) -> str:
    """The SHA-256 of what is inside a stored backup. BadBackup, SourceError."""
    key = site.key_file
    plain = unwrap(raw, made.title.format, lambda: openssl_enc.password_from(key), lambda: age.identity_from(key))
    hashing = Hashing(plain)
    hashing.drain()
    return hashing.sha256


@contextmanager
def _written(fd: int, home: Path, name: str, raw: Reader, sha256: str) -> Iterator[str]:
    """A file that is on the disk and says what it should, under a name that is none yet; gone where that fails."""
    unnamed = f".{name}.{secrets.token_hex(4)}.part"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(unnamed, flags, 0o600, dir_fd=fd), "w+b", buffering=0) as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            os.fchmod(out.fileno(), 0o600)
            for _ in streams.copy(raw, out):
                pass
            os.fsync(out.fileno())
            if sha256:
                _must_read_back(home / unnamed, out.fileno(), sha256)
            yield unnamed
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unnamed, dir_fd=fd)
        raise


def _must_read_back(path: Path, fd: int, sha256: str) -> None:
    """BadBackup where the disk gives something else than was written; the copy in memory is dropped before."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    with opened(path) as raw:
        hashing = Hashing(raw)
        hashing.drain()
    if hashing.sha256 != sha256:
        raise BadBackup(
            f"{safe(path.parent)} gives back other bytes than were written", "see whether its disk is sound"
        )


def _named(fd: int, unnamed: str, name: str) -> None:
    try:
        places.rename_free(fd, unnamed, fd, name)
    except FileExistsError:
        raise RecoverError(f"{safe(name)} is there already, and nothing is overwritten", "try again") from None
    places.sync(fd)


def _is_abandoned(fd: int, name: str) -> bool:
    """Whether whoever wrote it is gone: the kernel frees the lock with its holder."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _cleared(fd: int, unnamed: str, name: str) -> Iterator[str]:
    """Remove what is left, and a manifest whose backup never came."""
    os.unlink(unnamed, dir_fd=fd)
    yield f"removed what a backup that was cut left of {safe(name)}"
    if places.identity_in(fd, name) is None and places.identity_in(fd, name + BESIDE):
        os.unlink(name + BESIDE, dir_fd=fd)
