"""The verbs of a restore: few, undoable, each journalling its inverse before it acts."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pacs_recover.errors import RecoverError, Refused
from pacs_recover.events import Effect, LivePath, Sealed
from pacs_recover.journal import Journal, pending
from pacs_recover.processes import holders
from pacs_recover.services.calls import call
from pacs_recover.site import Site
from pacs_recover.target import places, rooms, trees, undo
from pacs_recover.target.control import Control
from pacs_recover.target.rooms import Room
from pacs_recover.target.trees import Entry
from pacs_recover.text import safe, size

SELINUX = Path("/sys/fs/selinux/enforce")
"""Exists where the kernel enforces or watches SELinux labels."""
RELABEL = 60.0
"""Seconds that restorecon may take."""
LINGER = 5.0
"""Seconds that a stopped service's processes get to let go of their files."""


class Target:
    """The host (or a sandbox) that one run restores."""

    def __init__(self, site: Site, live: Iterable[LivePath], control: Control, journal: Journal) -> None:
        self.site = site
        self.live = {path.component: Path(path.real) for path in live}
        self.control = control
        self.journal = journal

    def trees(self) -> tuple[Path, ...]:
        """The service's directories and those that this run made on a new host: nothing of ours is kept in them."""
        made = (e.args["path"] for e in self.journal.events if isinstance(e, Effect) and e.undo == "remove_directory")
        return (*live_trees(self.live), *map(Path, made))

    def room(self, component: str) -> Room:
        """This run's directory on the component's filesystem, made on first use. Refused, OSError."""
        live = self.live[component]
        if places.is_mount_point(live):
            raise Refused(
                f"{safe(live)} is a mount point, which cannot be set aside by a rename",
                "mount its parent directory instead, or name a directory inside it in the site file",
            )
        place, private = rooms.choose(live, self.trees(), self.site.staging)
        return rooms.open_room(place, self.journal.path.parent.name, private)

    def staging(self, component: str) -> Path:
        """An empty-at-first private directory in which a component is unpacked and checked."""
        room = self.room(component)
        home = Path(room.path) if room.private else self.journal.path.parent
        places.make_directories(home / "staged" / component)
        return home / "staged" / component

    def seal_as(self, component: str, staged: Path, modes: Callable[[Path], Callable[[Entry], int]]) -> str:
        """Give what is staged the live name, owner and modes, then seal it. OSError, RecoverError."""
        final = staged.parent / "sealed" / self.live[component].name
        if places.identity(staged):  # else a run that was cut here has moved it already
            places.remove_tree(staged.parent / "sealed")
            places.make_directories(final.parent)
            places.move(staged, final)
        uid, gid = self.owner()
        trees.own(final, uid, gid, modes(final))
        return f"owner {uid}:{gid}; {self.seal(component, final)}"

    def seal(self, component: str, staged: Path) -> str:
        """Make what is staged durable, on the live filesystem, and record its hash and inode. OSError, RecoverError."""
        from concurrent.futures import ThreadPoolExecutor  # deferred: a look seals nothing

        with ThreadPoolExecutor(1, "sync") as disk:  # it writes while the processor hashes
            durable = disk.submit(trees.make_durable, staged)
            digest, total = trees.digest(staged)
            durable.result()
        room = self.room(component)
        inner = staged.relative_to(self.staging(component))
        final = staged if room.private else Path(room.path) / "staged" / component / inner
        places.make_directories(final.parent)
        with places.private(final.parent) as home:
            if final != staged:
                _carry_across(staged, home, digest)
            trees.make_durable_in(home, final.name)
            found = places.identity_in(home, final.name)
        assert found is not None, final
        self.journal.write(Sealed, path=str(final), sha256=digest, device=found.device, inode=found.inode, size=total)
        return f"{size(total)}, SHA-256 {digest[:16]}"

    def sealed(self, component: str) -> Sealed | None:
        """What was sealed for a component, if anything."""
        mine = f"/staged/{component}/"
        return next((e for e in reversed(self.journal.events) if isinstance(e, Sealed) and mine in e.path), None)

    def check_sealed(self) -> str:
        """What is still staged is what was verified before this process began. RecoverError."""
        for component in self.live:
            seal = self.sealed(component)
            if seal and places.identity(Path(seal.path)) and trees.digest(Path(seal.path))[0] != seal.sha256:
                raise RecoverError(f"{safe(seal.path)} is not what was verified", "roll the run back and plan again")
        return "what is staged is what was verified"

    def set_aside(self, component: str, *sidecars: str) -> str:
        """Move the live part (and its sidecar files) out of the way, to where a rollback finds it."""
        self._must_be_quiet(component, sidecars)
        live, room = self.live[component], self.room(component)
        names = (live.name, *(live.name + suffix for suffix in sidecars))
        standing = {name: places.identity(live.parent / name) for name in names}
        originals = tuple(undo.Original(name, found.inode if found else None) for name, found in standing.items())
        aside = undo.aside_of(Path(room.path), component)
        places.make_directories(aside)
        inverse = undo.BringBack(component=component, live=str(live), room=room, originals=originals)
        undo.journalled(self.journal, inverse, f"Set {live.name} aside")
        moved = [original.name for original in originals if original.inode]
        for name in moved:
            places.move(live.parent / name, aside / name)
        return f"{', '.join(moved)} in {aside}" if moved else f"nothing was at {safe(live)}"

    def put(self, component: str, *sidecars: str) -> str:
        """Rename what was sealed into the empty live path. RecoverError, OSError."""
        seal, live = self.sealed(component), self.live[component]
        if seal is None:
            raise RecoverError(f"nothing verified is staged for {component}", "plan again")
        self._must_be_quiet(component, sidecars)
        names = (live.name, *(live.name + suffix for suffix in sidecars))
        self._make_parents(live.parent)
        inverse = undo.TakeOut(
            component=component,
            live=str(live),
            room=self.room(component),
            names=names,
            staged=seal.path,
            inode=seal.inode,
        )
        undo.journalled(self.journal, inverse, f"Put {live.name} in place")
        self._check_staged(seal)
        self._label(Path(seal.path), component)
        try:
            places.move(Path(seal.path), live)
        except FileExistsError as error:
            raise RecoverError(
                f"something appeared at {safe(live)} meanwhile", "see which process writes there"
            ) from error
        self._relabel(component)
        self.check_in_place(component, *sidecars)
        return f"{safe(live)}: {size(seal.size)}, verified"

    def check_in_place(self, component: str, *sidecars: str) -> str:
        """What is live is what was verified, and nothing is beside it that would be replayed. RecoverError."""
        seal, live = self.sealed(component), self.live[component]
        found = places.identity(live)
        if seal is None or not _is_sealed(found, seal):
            raise RecoverError(f"{safe(live)} is not the file that was verified", "somebody else changes it: see who")
        stray = [name for name in (live.name + suffix for suffix in sidecars) if places.identity(live.parent / name)]
        if stray:
            raise RecoverError(f"{', '.join(stray)} appeared beside {safe(live)}", "see which process writes there")
        return f"{safe(live)} is the verified file"

    def _must_be_quiet(self, component: str, sidecars: Iterable[str]) -> None:
        """A stop is no proof: no process may hold the files. RecoverError that names the process."""
        self.control.ensure_stopped()
        live = self.live[component]
        names = (live, *(live.parent / (live.name + suffix) for suffix in sidecars))
        paths = [path for path in names if not _is_link(path)]  # what a link leads to is none of the site's
        deadline = time.monotonic() + LINGER
        while holding := holders(paths).found:
            if time.monotonic() > deadline:
                who = ", ".join(dict.fromkeys(f"{holder.name} (pid {holder.pid})" for holder in holding))
                raise RecoverError(f"{who} still holds {safe(live)}", "stop that process, then plan again")
            time.sleep(0.2)

    def check_live(self) -> str:
        """Everything that this run put in place is there still, unchanged and alone. RecoverError."""
        standing = [undo.from_args(e.args) for e in pending(self.journal.events) if e.undo == "take_out"]
        return "; ".join(self._check_content(put) for put in standing if isinstance(put, undo.TakeOut))

    def _check_content(self, put: undo.TakeOut) -> str:
        """A tree is read once more: its user can swap what is in it without touching its top. A file is what it was."""
        evidence = self.check_in_place(put.component, *(name.removeprefix(put.names[0]) for name in put.names[1:]))
        live, seal = self.live[put.component], self.sealed(put.component)
        found = places.identity(live)
        if found and found.is_directory and seal and trees.digest(live)[0] != seal.sha256:
            raise RecoverError(f"what is in {safe(live)} is not what was verified", "somebody else changes it: see who")
        return evidence

    def _check_staged(self, seal: Sealed) -> None:
        if not _is_sealed(places.identity(Path(seal.path)), seal):
            raise RecoverError(f"{safe(seal.path)} is not what was verified", "see who else works in that directory")

    def _label(self, staged: Path, component: str) -> None:
        """Give each thing that goes live the security label and ACL of what was there, if that was of its kind."""
        old = undo.aside_of(Path(self.room(component).path), component) / self.live[component].name
        for entry in trees.entries(staged, hashed=False):
            one, other = (top if entry.name == "." else top / entry.name for top in (old, staged))
            was, comes = places.identity(one), places.identity(other)
            if (
                entry.kind in ("file", "directory")
                and was
                and comes
                and stat.S_IFMT(was.mode) == stat.S_IFMT(comes.mode)
            ):
                with suppress(PermissionError):  # we are not root and may not read the old one
                    trees.label(one, other)

    def _relabel(self, component: str) -> None:
        """Where nothing lived, the policy's own labels: a file keeps those of the directory that it was staged in."""
        aside = undo.aside_of(Path(self.room(component).path), component) / self.live[component].name
        if SELINUX.exists() and shutil.which("restorecon") and places.identity(aside) is None:
            call(["restorecon", "-R", str(self.live[component])], RELABEL)

    def _make_parents(self, home: Path) -> None:
        """On a new host the directory above is missing too: made with the site's owner, closed to others."""
        if places.identity(home):
            return
        self._make_parents(home.parent)
        undo.journalled(self.journal, undo.RemoveDirectory(path=str(home)), f"Make {home}")
        places.make_directory(home, 0o750, self.owner())

    def owner(self) -> tuple[int, int]:
        """The user and group ids that restored files get; our own where we are not root. Refused where unknown."""
        return owner_of(self.site)

    def tidy(self) -> list[str]:
        """Remove this run's own staged copies and empty directories; says where what must be kept lies. OSError."""
        rooms_used = dict.fromkeys(self._tidy(component) for component in self.live)
        return [str(room) for room in rooms_used if places.holds_something(room)]

    def _tidy(self, component: str) -> Path:
        place, _ = rooms.choose(self.live[component], self.trees(), self.site.staging)
        run = self.journal.path.parent
        for staged in (place / run.name / "staged" / component, run / "staged" / component):
            self._discard_staged(component, staged, place / run.name)
        own = () if pending(self.journal.events) else (".",)  # a rollback needs a room, though nothing is in it yet
        for name in ("staged", "aside", "withdrawn", *own):
            for inner in (f"{name}/{component}", name):
                if places.identity(place / run.name / inner):
                    places.remove_if_empty(place / run.name / inner)
        return place / run.name

    def _discard_staged(self, component: str, staged: Path, room: Path) -> None:
        """What was live for a while is removed only if it is still, bit for bit, what the backup gave."""
        if places.identity(staged) is None:
            return
        seal = self.sealed(component)
        taken_out = seal and any(
            e.args.get("staged") == seal.path for e in self.journal.events if isinstance(e, Effect)
        )
        if seal and taken_out and places.identity(Path(seal.path)) and trees.digest(Path(seal.path))[0] != seal.sha256:
            slot = room / "withdrawn" / f"{component}-changed"
            places.make_directories(slot)
            places.move(Path(seal.path), slot / Path(seal.path).name)
        places.remove_tree(staged)


def _is_sealed(found: places.Identity | None, seal: Sealed) -> bool:
    """Whether something is what was sealed, as far as can be told without reading it."""
    if found is None or (found.device, found.inode) != (seal.device, seal.inode):
        return False
    return found.is_directory or found.size == seal.size


def _is_link(path: Path) -> bool:
    found = places.identity(path)
    return found is not None and stat.S_ISLNK(found.mode)


def _carry_across(staged: Path, home: int, digest: str) -> None:
    """Copy what was verified into a directory that only we can enter, though its user may move it. RecoverError."""
    places.remove_in(home, staged.name)
    trees.copy_into(staged, home, staged.name)
    if trees.digest_in(home, staged.name)[0] != digest:
        raise RecoverError(
            f"{safe(staged.name)} changed while it was copied", "somebody writes into our directory: see who"
        )


def live_trees(live: dict[str, Path]) -> tuple[Path, ...]:
    """The directories that belong to the service, of these live paths."""
    return tuple(path.parent if component == "queue" else path for component, path in live.items())


def owner_of(site: Site) -> tuple[int, int]:
    """User and group ids of the site's owner and group; our own where we are not root. Refused where unknown."""
    import grp
    import pwd

    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        uid = int(site.owner) if site.owner.isdigit() else pwd.getpwnam(site.owner).pw_uid
        return uid, int(site.group) if site.group.isdigit() else grp.getgrnam(site.group).gr_gid
    except KeyError as error:
        raise Refused(
            f"there is no user {safe(site.owner)} or no group {safe(site.group)} on this host",
            f"useradd --system --user-group {safe(site.owner)}",
        ) from error
