"""Where a run stages and sets aside: private, on the live part's own filesystem, out of the service's reach."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import Refused, RollbackIncomplete
from pacs_recover.target import places
from pacs_recover.text import safe

NAME = ".pacs_recover"
"""The directory that we keep beside the live parts, 0700."""


class Room(Struct, frozen=True, kw_only=True):
    """One run's directory on one filesystem."""

    path: str
    inode: int
    private: bool
    """Whether nobody else can rename it; where that cannot be had, nothing is unpacked or checked in it."""


def writable_trusted_above(path: Path) -> Iterator[Path]:
    """The existing directories from here up that only root and we can change and that we can write, nearest first."""
    for place in (path, *path.parents):
        if place.is_dir() and places.is_trusted(place.stat()) and os.access(place, os.W_OK):
            yield place


def choose(real: Path, live_trees: Iterable[Path], overrides: Iterable[Path] = ()) -> tuple[Path, bool]:
    """The directory to work in for a live path, and whether it is private. Refused where none can be had."""
    device = places.nearest_existing(real.parent).stat().st_dev
    trees = tuple(live_trees)
    outside = [
        place for place in writable_trusted_above(real.parent) if not any(place.is_relative_to(t) for t in trees)
    ]
    for place in [*overrides, *(home / NAME for home in outside)]:
        home = places.nearest_existing(place)
        if home.stat().st_dev == device and places.is_trusted(home.stat()) and os.access(home, os.W_OK):
            return place, True
    return _inside(real, device)


def _inside(real: Path, device: int) -> tuple[Path, bool]:
    """The live part is alone on its filesystem: the room can only lie beside it, in a directory of the service."""
    home = places.nearest_existing(real.parent)
    if home.stat().st_dev != device or not os.access(home, os.W_OK):
        raise Refused(
            f"no directory beside {safe(real)} can be written", "run it as root, or see whether it is mounted read-only"
        )
    return home / NAME, places.is_trusted(home.stat())


def open_room(place: Path, run: str, private: bool) -> Room:
    """Make this run's own directory, owned by us and closed to others. Refused where the place is not ours; OSError."""
    make_private(place)
    places.make_directories(place / run, 0o700)
    made = places.identity(place / run)
    assert made is not None, place
    return Room(path=str(place / run), inode=made.inode, private=private)


def make_private(place: Path) -> None:
    """Make sure that a directory exists and is ours alone. Refused where it is somebody else's; OSError."""
    places.make_directories(place, 0o700)
    with places.private(place):
        pass


def locate(room: Room) -> Path:
    """Where the room is now. RollbackIncomplete where it was moved out of sight."""
    path = Path(room.path)
    found = places.identity(path)
    if found and found.same(room.inode):
        return path
    for other in _renamed(path.parent.parent, path.name):
        moved = places.identity(other)
        if moved and moved.same(room.inode):
            return other
    home = path.parent.parent
    raise RollbackIncomplete(
        f"the directory {safe(path)}, which holds what was set aside, is not there",
        (f"find the directory with inode {room.inode} (find {safe(home)} -inum {room.inode}) and move it back",),
        "then run the rollback again",
    )


def _renamed(home: Path, run: str) -> Iterator[Path]:
    """Directories beside the room's place that could be it under another name."""
    try:
        with places.directory(home) as fd:
            names = os.listdir(fd)
    except OSError:
        return
    for name in names:
        yield home / name / run
