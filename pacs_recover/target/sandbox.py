"""A drill's own directory: live paths below it, locked while the drill lives, removed whatever comes of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from pacs_recover.errors import RecoverError, Refused
from pacs_recover.events import LivePath, Noted
from pacs_recover.journal import Journal
from pacs_recover.site import Site
from pacs_recover.target import places, trees
from pacs_recover.target.control import Control
from pacs_recover.target.host import Target
from pacs_recover.text import safe

TREE = "tree"
NOTE = "drill.json"


class Note(Struct, frozen=True, kw_only=True):
    """What a later drill needs to sweep this one, should it be killed."""

    run: str
    """The run's directory."""
    container: str = ""
    runtime: str = ""


def below(home: Path, live: Iterable[LivePath]) -> tuple[LivePath, ...]:
    """The live paths of a sandbox, by the names that the site declares."""
    return tuple(
        LivePath(component=path.component, declared=path.declared, real=str(under(home, Path(path.declared))))
        for path in live
    )


def under(home: Path, place: Path) -> Path:
    """Where a path of the host lies in a sandbox."""
    return home / TREE / place.relative_to("/")


@dataclass
class Home:
    """The directory of one living drill."""

    path: Path
    _lock: int

    @classmethod
    def make(cls, path: Path, note: Note) -> Home:
        """Make it, private, and lock it. Refused where that cannot be; OSError."""
        places.make_directories(path.parent)
        with places.private(path.parent):
            places.make_directory(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (path / NOTE).write_bytes(msgspec.json.encode(note))
        places.make_directory(path / TREE)
        return cls(path, fd)

    def remove(self) -> None:
        """Remove it with all that is in it, and let the lock go. OSError."""
        places.remove_tree(self.path)
        os.close(self._lock)


def left_behind(sandbox: Path) -> Iterator[tuple[Home, Note]]:
    """The directories of drills whose process is gone, each locked now."""
    try:
        found = sorted(sandbox.iterdir()) if sandbox.is_dir() else []
    except OSError:
        return
    for path in found:
        with suppress(OSError, msgspec.DecodeError):
            note = msgspec.json.decode((path / NOTE).read_bytes(), type=Note)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_uid != os.geteuid():
                    raise BlockingIOError
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            yield Home(path, fd), note


class Sandbox(Target):
    """The target of a drill; when its run ends, however it ends, it is gone."""

    def __init__(
        self,
        site: Site,
        live: Iterable[LivePath],
        control: Control,
        journal: Journal,
        home: Home,
        end: Callable[[], None],
    ) -> None:
        super().__init__(site, live, control, journal)
        self.home = home
        self._end = end
        """Ends what runs in it."""
        self.last: Callable[[], None] = lambda: None
        """What is still to be seen of production when the run ends early."""

    def copy(self, component: str, real: Path) -> str:
        """Put a copy of a live part at its place in the sandbox; absent is said. OSError, RecoverError."""
        place = self.live[component]
        if places.identity(real) is None:
            return f"{component}: nothing lives at {safe(real)}"
        if places.identity(place):
            return f"{component}: there already"
        self.make_room(place.parent)
        trees.copy(real, place)
        return f"{component}: a copy of {safe(real)}"

    def make_room(self, directory: Path) -> None:
        """Make a directory of the sandbox, the last one the service's own. OSError."""
        if places.identity(directory) is None:
            places.make_directories(directory.parent)
            places.make_directory(directory, 0o750, self.owner() if os.geteuid() == 0 else None)

    def tidy(self) -> list[str]:
        """End the service and remove everything: a sandbox holds copies of messages and keys. Says what stays."""
        left: list[str] = []
        for step in (self._end, self.last, self.home.remove):
            try:
                step()
            except Exception as error:  # whatever it is, the rest is still to be removed
                left.append(f"{safe(self.home.path)}: {error.message if isinstance(error, RecoverError) else error}")
        state = "bad" if left else "ok"
        said = "; ".join(left) or f"{self.home.path} and all that ran in it are gone"
        self.journal.write(Noted, topic="teardown", title="The sandbox is removed", evidence=said, state=state)
        return left


def refuse_drill(name: str) -> None:
    """Refused: a drill's sandbox is gone with it."""
    raise Refused(
        f"{name} was a drill: it changed nothing live, and its sandbox ends with it",
        "there is nothing to go on with or to take back: pacs-recover drill",
    )
