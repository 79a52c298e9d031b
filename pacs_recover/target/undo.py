"""The inverses of the target's verbs: plain data in, idempotent, and they neither overwrite nor delete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from pacs_recover.errors import RecoverError, RollbackIncomplete
from pacs_recover.events import Effect
from pacs_recover.journal import Journal
from pacs_recover.model import Activity
from pacs_recover.target import places, rooms
from pacs_recover.target.rooms import Room
from pacs_recover.text import safe

if TYPE_CHECKING:
    from pacs_recover.target.control import Control


class Original(Struct, frozen=True):
    """What a name stood for before the run; no inode where nothing stood there."""

    name: str
    inode: int | None = None


class BringBack(Struct, frozen=True, kw_only=True, tag_field="verb", tag="bring_back"):
    """Undo of setting aside: clear the way, then move each original back."""

    component: str
    live: str
    room: Room
    originals: tuple[Original, ...]

    def undo(self, control: Control) -> str:
        """Leave every name as it was. RollbackIncomplete where an original is neither aside nor live."""
        control.ensure_stopped()
        room, live = rooms.locate(self.room), Path(self.live)
        kept = clear(live.parent, self.originals, room, self.component, keep_originals=True)
        lost = [o.name for o in self.originals if not self._back(o, room, live.parent)]
        if lost:
            raise RollbackIncomplete(
                f"{', '.join(lost)} of {safe(live)} is neither in place nor set aside",
                tuple(
                    f"find the file with inode {o.inode} and move it to {live.parent / o.name}"
                    for o in self._named(lost)
                ),
            )
        back = ", ".join(o.name for o in self.originals if o.inode)
        return (f"{back} back in place" if back else f"{live.name} absent again") + kept

    def _named(self, names: list[str]) -> list[Original]:
        return [original for original in self.originals if original.name in names]

    def _back(self, original: Original, room: Path, home: Path) -> bool:
        if original.inode is None:
            return True
        live = home / original.name
        if is_original(live, original):
            return True
        stored = next((p for p in _kept(room, self.component, original.name) if is_original(p, original)), None)
        if stored:
            places.move(stored, live)
        return stored is not None


class TakeOut(Struct, frozen=True, kw_only=True, tag_field="verb", tag="take_out"):
    """Undo of a put: the restored file back to staging if it is still what was put, else kept as withdrawn."""

    component: str
    live: str
    room: Room
    names: tuple[str, ...]
    staged: str
    inode: int

    def undo(self, control: Control) -> str:
        """Clear every name of the set."""
        control.ensure_stopped()
        room, live = rooms.locate(self.room), Path(self.live)
        standing = places.identity(live)
        alone = not any(places.identity(live.parent / name) for name in self.names[1:])
        fresh = standing and standing.same(self.inode) and alone and not control.was_started()
        if fresh and places.identity(Path(self.staged)) is None:
            places.move(live, Path(self.staged))
            return f"{live.name} taken out unchanged"
        kept = clear(live.parent, tuple(Original(name) for name in self.names), room, self.component)
        return f"{live.name} taken out{kept}" if kept else f"{live.name} was not in place"


class ReturnTo(Struct, frozen=True, kw_only=True, tag_field="verb", tag="return_to"):
    """Undo of a stop: the service does again what it did before."""

    service: str
    activity: Activity
    detail: str

    def undo(self, control: Control) -> str:
        """Return it to its prior state and see it there. RollbackIncomplete where that fails."""
        return control.return_to(self.service, self.activity)


class StopAgain(Struct, frozen=True, kw_only=True, tag_field="verb", tag="stop_again"):
    """Undo of a start."""

    services: tuple[str, ...]

    def undo(self, control: Control) -> str:
        """Stop what was started and see it stopped."""
        return control.stop_again(self.services) or "already stopped"


class RemoveDirectory(Struct, frozen=True, kw_only=True, tag_field="verb", tag="remove_directory"):
    """Undo of making a directory on a new host."""

    path: str

    def undo(self, _: Control) -> str:
        """Remove it if it is empty; otherwise it stays and is reported."""
        return places.remove_if_empty(Path(self.path))


Inverse = BringBack | TakeOut | ReturnTo | StopAgain | RemoveDirectory


def to_args(inverse: Inverse) -> dict[str, Any]:
    """An inverse as the plain data of an effect."""
    args: dict[str, Any] = msgspec.to_builtins(inverse)
    return args


def from_args(args: dict[str, Any]) -> Inverse:
    """The inverse that an effect names. RecoverError for one that this version does not know."""
    try:
        inverse: Inverse = msgspec.convert(args, Inverse)
    except msgspec.ValidationError as error:
        verb = safe(args.get("verb"))
        raise RecoverError(
            f"this version cannot undo {verb}: {safe(error)}", "use the version that made the run"
        ) from error
    return inverse


def journalled(journal: Journal, inverse: Inverse, title: str) -> None:
    """Put an inverse on disk: the change that it undoes may be made only after this returns. OSError."""
    args = to_args(inverse)
    journal.write(Effect, undo=args["verb"], args=args, title=title)


def is_original(path: Path, original: Original) -> bool:
    """Whether the very thing that stood there before the run is at this path."""
    found = places.identity(path)
    return found is not None and found.same(original.inode)


def _kept(room: Path, component: str, name: str) -> Iterator[Path]:
    """Where an original can be: aside, or withdrawn by a rollback after a person had put it back by hand."""
    yield aside_of(room, component) / name
    number = 1
    while places.identity(slot := room / "withdrawn" / f"{component}-{number}"):
        yield slot / name
        number += 1


def aside_of(room: Path, component: str) -> Path:
    """Where a run's originals of a component are."""
    return room / "aside" / component


def clear(home: Path, names: Iterable[Original], room: Path, component: str, *, keep_originals: bool = False) -> str:
    """Move whatever stands at these names into a fresh ``withdrawn`` directory; says where, if anything stood."""
    standing = [
        original.name
        for original in names
        if (found := places.identity(home / original.name)) and not (keep_originals and found.same(original.inode))
    ]
    if not standing:
        return ""
    slot = _slot(room, component, standing)
    for name in standing:
        places.move(home / name, slot / name)
    return f"; {', '.join(standing)} kept in {slot}"


def _slot(room: Path, component: str, names: list[str]) -> Path:
    """The first withdrawn directory in which all the names are free, so that an interrupted move goes on in its own."""
    number = 1
    while any(places.identity(room / "withdrawn" / f"{component}-{number}" / name) for name in names):
        number += 1
    slot = room / "withdrawn" / f"{component}-{number}"
    places.make_directories(slot)
    return slot
