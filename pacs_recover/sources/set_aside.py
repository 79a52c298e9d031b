"""What one run set aside, found by its journal, and what its rollback withdrew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from pacs_recover import journal
from pacs_recover.errors import RecoverError, RollbackIncomplete, SourceError
from pacs_recover.events import Effect, Planned
from pacs_recover.model import Backup
from pacs_recover.sources import Problem, names, tarball
from pacs_recover.sources.aside import AsideSource
from pacs_recover.sources.file import hint_for
from pacs_recover.target import places, rooms
from pacs_recover.target.undo import BringBack, aside_of
from pacs_recover.text import safe

LOOK = "look into the .pacs_recover directory beside the live files"


def listing(path: Path, component: str | None, ids: names.Ids) -> Iterator[Backup | Problem]:
    """One backup for each part (or the one) that still stands aside, and for each that a rollback withdrew."""
    try:
        events, damage = journal.read(path)
    except SourceError as error:
        yield Problem(safe(path), error.message, error.hint)
        return
    if damage:
        lines = ", ".join(str(found.line) for found in damage[:5])
        yield Problem(safe(path), f"damaged in line {lines}: what it set aside may not be listed", LOOK)
    if any(isinstance(e, Planned) and e.request.mode == "drill" for e in events[:1]):
        return  # its sandbox is gone with it
    effects = [e for e in events if isinstance(e, Effect) and e.args.get("verb") == "bring_back"]
    latest = {effect.args.get("component"): effect for effect in effects}  # a resumed run sets aside again
    for effect in latest.values():
        if component in (None, effect.args.get("component")):
            yield from _kept(effect, ids)


class _Slot(Struct, frozen=True):
    """A directory that holds one set."""

    path: Path
    suffix: str
    """Of its id."""
    taken_at: datetime
    size: int | None


def _kept(effect: Effect, ids: names.Ids) -> Iterator[Backup | Problem]:
    """The backups that one effect left; where they cannot be read, the one that must be there."""
    try:
        inverse = msgspec.convert(effect.args, BringBack)
    except msgspec.ValidationError as error:
        yield Problem(f"effect {effect.n}", f"not one this version knows: {safe(error)}", LOOK)
        return
    slots: list[_Slot] = []
    problem = None
    try:
        slots.extend(_slots(inverse, effect.at))
    except OSError as error:
        problem = Problem(safe(inverse.room.path), error.strerror or str(error), hint_for(error))
        slots = [_Slot(aside_of(Path(inverse.room.path), inverse.component), "", effect.at, None)]
    except RecoverError as error:
        problem = Problem(safe(inverse.room.path), error.message, error.hint)
    if problem:
        yield problem
    yield from (_backup(inverse.component, effect.at, slot, ids) for slot in slots)


def _backup(component: str, at: datetime, slot: _Slot, ids: names.Ids) -> Backup:
    wanted = f"{component}/{at.astimezone(UTC):%Y%m%d_%H%M%S}{slot.suffix}@{AsideSource.name}"
    return Backup(
        id=ids.unique(wanted, str(slot.path)),
        component=component,
        source=AsideSource.name,
        key=str(slot.path),
        taken_at=slot.taken_at.astimezone(UTC),
        size=slot.size,
        format="tar",
        readable=slot.size is not None,
    )


def _slots(inverse: BringBack, at: datetime) -> Iterator[_Slot]:
    """The sets of a run's room that hold anything. OSError, RecoverError."""
    room = _room(inverse)
    if room is None:
        return
    aside = aside_of(room, inverse.component)
    if size := _size(aside):
        yield _Slot(aside, "", at, size)
    for name in _withdrawn(room, inverse.component):
        path, suffix = room / "withdrawn" / name, name.removeprefix(inverse.component)
        if size := _size(path):
            yield _Slot(path, "-withdrawn" + (suffix[1:] if suffix[1:].isdecimal() else suffix), _mtime(path), size)


def _room(inverse: BringBack) -> Path | None:
    """Where the run's room is; None where it is gone, tidied up or pruned. OSError, RollbackIncomplete."""
    try:
        return rooms.locate(inverse.room)
    except RollbackIncomplete:
        if places.identity(Path(inverse.room.path)):
            raise  # something else stands in its place
        return None


def _withdrawn(room: Path, component: str) -> list[str]:
    """The directories into which rollbacks moved what they found of a component, oldest first."""
    try:
        with places.directory(room / "withdrawn") as fd:
            found = [name for name in os.listdir(fd) if name.startswith(f"{component}-")]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda name: (len(name), name))


def _size(slot: Path) -> int:
    try:
        return tarball.size(slot)
    except FileNotFoundError:
        return 0


def _mtime(slot: Path) -> datetime:
    with places.directory(slot) as fd:
        return datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
