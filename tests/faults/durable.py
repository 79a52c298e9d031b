"""A power cut, from what the shim recorded: only what was fsynced is certain; of the rest, what a disk may have kept.

The model is the strict one of POSIX: the content and mode of a file are on the disk once that file was fsynced, and a
name once the directory that holds it was. A rename is one change and is there once either directory was fsynced. What
was not may be there or not, in any order. Files and directories keep their inodes: what was removed was only moved to
where it can be brought back from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Change:
    """One change of a directory's names: an inode that came, went or moved."""

    place: int
    """Its line in the record."""
    kind: str
    inode: int
    home: int
    name: str
    new_home: int = 0
    new_name: str = ""
    grave: str = ""
    """Where something that was removed is."""

    @property
    def homes(self) -> set[int]:
        """The directories, any of which makes it durable."""
        return {self.home, self.new_home} - {0}

    @property
    def names(self) -> set[tuple[int, str]]:
        """The names that it changes."""
        return {(self.home, self.name), (self.new_home, self.new_name)} - {(0, "")}


class Record:
    """What one worker did until the power went."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lines = [line.split("\t") for line in (home / "log").read_text().splitlines()]
        self.changes = [change for place, line in enumerate(self.lines) if (change := parsed(place, line))]

    def synced(self, inode: int) -> list[int]:
        """The places at which this file or directory was fsynced."""
        return [place for place, line in enumerate(self.lines) if line == ["sync", str(inode)]]

    def kept(self, chance: Random | None) -> set[int]:
        """The places of the changes that outlive the cut: what must, and by chance some of what may."""
        kept = {c.place for c in self.changes if any(p > c.place for home in c.homes for p in self.synced(home))}
        kept |= {c.place for c in self.changes if chance and chance.random() < 0.5}
        for change in reversed(self.changes):
            if change.place in kept:
                kept |= {earlier.place for earlier in self._needed(change)}
        return kept

    def _needed(self, change: Change) -> Iterator[Change]:
        """Earlier changes without which this one cannot be on the disk."""
        for earlier in self.changes:
            if earlier.place >= change.place:
                return
            same = earlier.inode == change.inode or earlier.names & change.names
            made_room = change.kind == "moved" and earlier.inode == change.new_home
            if same or made_room:
                yield earlier

    def attributes(self) -> Iterator[tuple[int, int, int, int]]:
        """Inode, mode, owner and group as they are on the disk, of what was changed since its last fsync."""
        seen: set[int] = set()
        for place, line in enumerate(self.lines):
            if (
                line[0] == "attributes"
                and (inode := int(line[1])) not in seen
                and place > max(self.synced(inode), default=-1)
            ):
                seen.add(inode)
                yield inode, int(line[2], 8), int(line[3]), int(line[4])


def parsed(place: int, line: Sequence[str]) -> Change | None:
    """A line of the record as a change of names, if it is one."""
    match line:
        case ["made", home, name, inode]:
            return Change(place, "made", int(inode), int(home), name)
        case ["gone", home, name, inode, grave]:
            return Change(place, "gone", int(inode), int(home), name, grave=grave)
        case ["moved", home, name, inode, new_home, new_name]:
            return Change(place, "moved", int(inode), int(home), name, int(new_home), new_name)
    return None


def cut(root: Path, record: Path, seed: int | None) -> None:
    """Turn the tree below ``root`` into what the disk may hold after a power cut: with no seed, as little as it may."""
    told = Record(record)
    chance = None if seed is None else Random(seed)
    undo_data(root, told, chance)
    kept = told.kept(chance)
    for change in reversed(told.changes):
        if change.place not in kept:
            undo(root, change)


def undo_data(root: Path, told: Record, chance: Random | None) -> None:
    """Contents and attributes that were not fsynced are as before, or nothing, or zeros."""
    where = inodes(root)
    made = {change.inode for change in told.changes if change.kind == "made"}
    for inode, path in where.items():
        if path.is_symlink() or not path.is_file():
            continue
        if (told.home / str(inode)).exists():
            rewrite(path, (told.home / str(inode)).read_bytes())
        elif inode in made:
            rewrite(path, bytes(path.stat().st_size if chance and chance.random() < 0.5 else 0))
    for inode, mode, uid, gid in told.attributes():
        if inode in where and not where[inode].is_symlink():
            os.chown(where[inode], uid, gid)
            where[inode].chmod(mode)


def rewrite(path: Path, content: bytes) -> None:
    """Other content in the same inode."""
    if path.read_bytes() != content:
        with path.open("r+b") as file:
            file.truncate(0)
            file.write(content)


def undo(root: Path, change: Change) -> None:
    """Take one change of names back."""
    where = inodes(root)
    home, new_home = where.get(change.home), where.get(change.new_home)
    if home is None:
        return
    if change.kind == "made":
        remove(home / change.name, change.inode)
    elif change.kind == "gone":
        bring_back(Path(change.grave), home / change.name)
    elif new_home:
        bring_back(new_home / change.new_name, home / change.name)


def bring_back(source: Path, destination: Path) -> None:
    """Move something to where it was, if it is still there and its place is free."""
    if os.path.lexists(source) and not os.path.lexists(destination):
        source.rename(destination)


def remove(path: Path, inode: int) -> None:
    """A name that never reached the disk, with all below it."""
    if os.path.lexists(path) and path.lstat().st_ino == inode:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def inodes(root: Path) -> dict[int, Path]:
    """Where everything is now, by inode."""
    paths: Iterable[Path] = (root, *root.rglob("*"))
    return {path.lstat().st_ino: path for path in paths}
