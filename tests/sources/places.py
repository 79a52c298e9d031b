"""Directories that tests read sources from, and a user that may not read everything."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pacs_recover.journal import Journal
from pacs_recover.sources import Problem, Source
from pacs_recover.target import places, rooms, undo

NOBODY = 65534


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory that any user can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="sources-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def unprivileged(tree: Path) -> Iterator[None]:
    """Whoever runs the test, modes count: root becomes another user for a while, who owns the tree."""
    if os.geteuid() != 0:
        yield
        return
    for found in (tree, *tree.rglob("*")):
        os.chown(found, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """A file or directory that nobody but root can read."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


def backup_file(path: Path, taken: datetime, content: bytes = b"content") -> Path:
    """A file that was written at that time, with the directories that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (taken.timestamp(), taken.timestamp()))
    return path


class Run:
    """A run that set live parts aside, as far as a source can see it: its journal and its room."""

    def __init__(self, home: Path, name: str, at: datetime) -> None:
        self.room = rooms.open_room(home / "live" / rooms.NAME, name, True)
        self.journal = home / "state" / name / "journal.jsonl"
        self.journal.parent.mkdir(parents=True)
        self.at = at
        Journal(self.journal, create=True).close()

    @property
    def path(self) -> Path:
        """The room."""
        return Path(self.room.path)

    def sets_aside(self, component: str, live: Path, *sidecars: str) -> Path:
        """Journal the inverse and move what stands there; where it is kept."""
        names = [live.name, *(live.name + suffix for suffix in sidecars)]
        standing = {name: places.identity(live.parent / name) for name in names}
        originals = tuple(undo.Original(name, found.inode if found else None) for name, found in standing.items())
        inverse = undo.BringBack(component=component, live=str(live), room=self.room, originals=originals)
        journal = Journal(self.journal, create=False, now=lambda: self.at)
        undo.journalled(journal, inverse, f"Set {live.name} aside")
        journal.close()
        aside = undo.aside_of(self.path, component)
        places.make_directories(aside)
        for name, found in standing.items():
            if found:
                places.move(live.parent / name, aside / name)
        return aside

    def withdraws(self, component: str, live: Path) -> None:
        """Move what stands at the live path out of the way, as a rollback does."""
        undo.clear(live.parent, (undo.Original(live.name),), self.path, component)


def ids(source: Source, component: str | None = None) -> list[str]:
    """What a source lists, sorted."""
    return sorted(found.id for found in source.listing(component) if not isinstance(found, Problem))


def problems(source: Source) -> list[Problem]:
    """What a source could not read."""
    return [found for found in source.listing() if isinstance(found, Problem)]
