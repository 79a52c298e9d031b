"""The state directory: runs with their journals, plans made within the last hour, private scratch."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pacs_recover.durable import sync_directory
from pacs_recover.errors import Refused, UsageError
from pacs_recover.text import safe

if TYPE_CHECKING:
    from pacs_recover.audit import Audit

JOURNAL = "journal.jsonl"
SCRATCH = "pacs_recover-scratch-"
OUTSIDE = "outside"
"""In a scratch directory: names another one that belongs to it."""
RUN_SCRATCH = "scratch"
"""In a run's directory."""
JUST_MADE = 60.0
"""Seconds in which a scratch directory may not have its lock yet."""


def default_place() -> Path:
    """``/var/lib/pacs_recover`` for root, the user's own state directory for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/pacs_recover")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "pacs_recover"


class State:
    """One state directory; looking works where it does not exist."""

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda _: None) -> None:
        self.path = path.absolute()
        self._warn = warn

    @cached_property
    def audit(self) -> Audit:
        """Who did what with this state directory; what it cannot keep is told to ``warn``."""
        from pacs_recover.audit import HOME, Audit

        return Audit(self.path / HOME, self._warn)

    def prepare(self) -> None:
        """Make it, private, and see that it takes an fsync. Refused where it does not: no run without a journal."""
        try:
            for place in (self.path, self.path / "runs", self.path / "plans"):
                _make(place)
            self._must_be_private()
            _try_fsync(self.path)
        except OSError as error:
            raise Refused(
                f"the state directory {safe(self.path)} does not take a journal: {error.strerror}",
                "name another, on a disk that has room: --state DIR (for instance --state /root/pacs_recover-state)",
            ) from error

    def _must_be_private(self) -> None:
        found = self.path.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            owner, mode = found.st_uid, found.st_mode & 0o7777
            raise Refused(
                f"the state directory {safe(self.path)} can be written by others (owner {owner}, mode {mode:o})",
                f"chown {os.geteuid()} {safe(self.path)}; chmod 700 {safe(self.path)} - or name another: --state DIR",
            )

    def new_run(self, now: datetime | None = None) -> Path:
        """A fresh directory for a run, named by its start in UTC, which outlives a power cut. OSError."""
        began = (now or datetime.now(UTC)).astimezone(UTC)
        path = self.path / "runs" / f"{began:%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"
        path.mkdir(mode=0o700)
        (path / "answers").mkdir(mode=0o700)
        sync_directory(path)
        sync_directory(path.parent)
        return path

    def runs(self) -> list[Path]:
        """The directories of all runs that have a journal, newest first."""
        try:
            found = [path for path in (self.path / "runs").iterdir() if (path / JOURNAL).exists()]
        except OSError:
            return []
        return sorted(found, key=lambda path: path.name, reverse=True)

    def journals(self) -> list[Path]:
        """The journals of all runs, newest first."""
        return [run / JOURNAL for run in self.runs()]

    def find(self, text: str) -> Path:
        """The run with this name or unique prefix; ``latest`` is the newest. UsageError where there is none."""
        runs = self.runs()
        if text == "latest" and runs:
            return runs[0]
        found = [run for run in runs if run.name == text] or [run for run in runs if run.name.startswith(text)]
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} runs begin with" if found else "there is no run"
        raise UsageError(
            f"{what} {safe(text)} in {safe(self.path)}",
            "see: pacs-recover runs (a run's state directory is its --state)",
        )

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private directory that is gone afterwards; what a killed process left is swept first."""
        import tempfile

        temporary = Path(tempfile.gettempdir())
        home = self.path if _takes_fsync(self.path) else temporary
        for place in {home, temporary}:
            sweep(place)
        path = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=home))
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield path
        finally:
            _remove(path)
            os.close(fd)


def outside(scratch: Path, part: Path) -> Path:
    """A new private directory that has to lie elsewhere, and that is swept with this scratch. Refused, OSError."""
    (scratch / OUTSIDE).write_bytes(os.fsencode(part))
    try:
        part.mkdir(mode=0o700)
    except FileExistsError as error:
        raise Refused(
            f"{safe(part)} exists: another process works there", "name another place, or remove it"
        ) from error
    return part


def _sweep_outside(scratch: Path) -> None:
    part = Path(os.fsdecode((scratch / OUTSIDE).read_bytes()))
    found = part.lstat()
    if part.name.startswith(".") and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        _remove(part)


def run_scratch(run: Path) -> Path:
    """An empty private directory for what a run's sources assemble; what a killed process left goes first. OSError."""
    discard_scratch(run)
    (run / RUN_SCRATCH).mkdir(mode=0o700)
    return run / RUN_SCRATCH


def discard_scratch(run: Path) -> None:
    """It is not needed any more."""
    _remove(run / RUN_SCRATCH)


def sweep(home: Path) -> None:
    """Remove scratch directories of ours whose process is gone: they hold copies of messages."""
    for path in home.glob(SCRATCH + "*"):
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                found = os.fstat(fd)
                if found.st_uid == os.geteuid() and found.st_mtime < time.time() - JUST_MADE:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    with suppress(OSError):
                        _sweep_outside(path)
                    _remove(path)
            finally:
                os.close(fd)


def _remove(tree: Path) -> None:
    import shutil  # deferred: it loads every compression there is

    shutil.rmtree(tree, ignore_errors=True)


def _make(place: Path) -> None:
    """Make a directory and those missing above it, so that they outlive a power cut. OSError."""
    if place.is_dir():
        return
    _make(place.parent)
    place.mkdir(mode=0o700, exist_ok=True)
    with suppress(PermissionError):  # a parent that we may write but not list
        sync_directory(place.parent)


def _takes_fsync(place: Path) -> bool:
    try:
        _try_fsync(place)
    except OSError:
        return False
    return True


def _try_fsync(place: Path) -> None:
    import tempfile  # deferred: it loads what random numbers are made with, which looking has no use for

    fd, name = tempfile.mkstemp(prefix=".fsync-", dir=place)
    try:
        os.write(fd, b"\0" * 4096)
        os.fsync(fd)
    finally:
        os.close(fd)
        Path(name).unlink()
