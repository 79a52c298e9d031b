"""A directory of backups as the guide's scripts leave them, flat or nested, on a disk or a mounted share."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from pacs_recover.formats.suffixes import RECORDS
from pacs_recover.model import COMPONENTS, Backup
from pacs_recover.sources import Problem, names
from pacs_recover.sources.file import hint_for, opened
from pacs_recover.text import safe

DEEPEST = 6
"""Directories below the source's own that are looked into."""
PASSED_OVER = ("lost+found",)
"""Directories that are no part of the backups, besides those whose names begin with a dot."""


class LocalSource:
    """The backups below one directory, told by their names."""

    kind = "local"
    proof = ""

    def __init__(self, name: str, path: Path, zone: tzinfo) -> None:
        self.name = name
        self.path = path
        self.zone = zone
        """In which names are read."""

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """Every backup below the directory, the newest names of a directory first; links only to what is elsewhere."""
        yield from _Walk(self, component, datetime.now(UTC)).run()

    @contextmanager
    def open(self, backup: Backup, scratch: Path) -> Iterator[BinaryIO]:  # noqa: ARG002 - the protocol's
        """The file's bytes. SourceError where it is missing, unreadable or no regular file."""
        with opened(Path(backup.key)) as file:
            yield file


@dataclass(frozen=True)
class _Place:
    path: str
    parts: tuple[str, ...] = ()
    """Its name relative to the source."""
    home: str = ""
    """The component whose directory this is or lies below."""

    @cached_property
    def prefix(self) -> str:
        """What a path below it begins with."""
        return os.path.join(self.path, "")

    @cached_property
    def relative(self) -> str:
        """The same, relative to the source."""
        return "".join(f"{part}/" for part in self.parts)

    def below(self, name: str) -> _Place:
        home = name if name in COMPONENTS else self.home
        return _Place(os.path.join(self.path, name), (*self.parts, name), home)


@dataclass
class _Walk:
    """One listing: links are left to the end, when it is known what is listed under its own name."""

    source: LocalSource
    component: str | None
    now: datetime
    ids: names.Ids = field(default_factory=names.Ids)
    seen: set[tuple[int, int]] = field(default_factory=set)
    """Device and inode of what is listed."""
    links: list[tuple[_Place, str]] = field(default_factory=list)

    def run(self) -> Iterator[Backup | Problem]:
        top = self.source.path
        yield from self._directory(_Place(str(top), home=top.name if top.name in COMPONENTS else ""))
        while self.links:
            yield from self._link(*self.links.pop(0))

    def _directory(self, place: _Place) -> Iterator[Backup | Problem]:
        """The files of a directory, then what lies in the directories below it."""
        below: list[str] = []
        try:
            fd = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            yield _problem(place.path, error)
            return
        try:
            yield from self._entries(place, fd, below)
        finally:
            os.close(fd)
        yield from self._below(place, below)

    def _entries(self, place: _Place, fd: int, below: list[str]) -> Iterator[Backup | Problem]:
        """The files of a directory; links and directories are noted for later."""
        entries: list[os.DirEntry[str]] = []
        try:
            if self._is_seen(os.fstat(fd)):
                return
            with os.scandir(fd) as scan:
                entries.extend(scan)
        except OSError as error:
            yield _problem(place.path, error)
        entries.sort(key=attrgetter("name"), reverse=True)
        beside = {entry.name for entry in entries if entry.name.endswith(RECORDS)}
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False):
                    if found := self._file(place, fd, entry, beside):
                        yield found
                elif entry.is_symlink():
                    self.links.append((place, entry.name))
                elif entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
            except FileNotFoundError:
                continue  # removed since the directory was read, as retention does
            except OSError as error:
                yield _problem(place.prefix + entry.name, error)

    def _below(self, place: _Place, found: list[str]) -> Iterator[Backup | Problem]:
        wanted = [name for name in found if not name.startswith(".") and name not in PASSED_OVER]
        if wanted and len(place.parts) >= DEEPEST:
            yield Problem(
                safe(place.path), f"more than {DEEPEST} directories deep: not looked into", "name it as a source"
            )
            return
        order = {name: number for number, name in enumerate(COMPONENTS)}
        for name in sorted(wanted, key=lambda name: (order.get(name, len(order)), name)):
            yield from self._directory(place.below(name))

    def _file(self, place: _Place, fd: int, entry: os.DirEntry[str], beside: set[str]) -> Backup | Problem | None:
        said = self._wanted(place, entry.name)
        if not said:
            return None
        status = entry.stat(follow_symlinks=False)
        self.seen.add((status.st_dev, status.st_ino))
        recorded = names.recorded(entry.name, beside.__contains__) if beside else ""
        readable = os.access(entry.name, os.R_OK, dir_fd=fd, effective_ids=True)
        return self._entry(place, entry.name, said, status, recorded, readable)

    def _link(self, place: _Place, name: str) -> Iterator[Backup | Problem]:
        """A link to a file or directory that is not listed yet; one more name for what is listed is none."""
        path, said = place.prefix + name, self._wanted(place, name)
        try:
            status = os.stat(path)
        except OSError as error:
            if said:
                yield _problem(path, error)
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._below(place, [name])
        elif said and not self._is_seen(status):
            recorded = names.recorded(name, lambda name: os.path.lexists(place.prefix + name))
            readable = os.access(path, os.R_OK, effective_ids=True)
            if found := self._entry(place, name, said, status, recorded, readable):
                yield found

    def _is_seen(self, status: os.stat_result) -> bool:
        identity = status.st_dev, status.st_ino
        known = identity in self.seen
        self.seen.add(identity)
        return known

    def _wanted(self, place: _Place, name: str) -> names.Name | None:
        said = names.read(name, place.home)
        return said if said and self.component in (None, said.component) else None

    def _entry(
        self, place: _Place, name: str, said: names.Name, status: os.stat_result, recorded: str, readable: bool
    ) -> Backup | Problem | None:
        if not stat.S_ISREG(status.st_mode):
            return None
        path = place.prefix + name
        if not path.isascii():
            try:
                path.encode()
            except UnicodeEncodeError:
                return Problem(safe(path), "its name is not UTF-8", "give it (or its directory) a plain name")
        taken_at, findings = names.taken(said, status, self.source.zone, self.now)
        return Backup(
            id=self.ids.unique(names.backup_id(said, place.parts, self.source.name), place.relative + name),
            component=said.component,
            source=self.source.name,
            key=path,
            taken_at=taken_at,
            size=status.st_size,
            stored=f"{status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}",
            format=said.format,
            readable=readable,
            recorded=recorded and place.prefix + recorded,
            findings=findings,
        )


def _problem(path: str, error: OSError) -> Problem:
    return Problem(safe(path), error.strerror or str(error), hint_for(error))
