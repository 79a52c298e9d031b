"""What can be restored: the backups of every source that answers in time, and which source does not, and why."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

from msgspec import Struct, to_builtins

from pacs_recover.errors import RecoverError, SourceError, UsageError
from pacs_recover.model import Backup
from pacs_recover.sources import REPLICA, Problem, Source
from pacs_recover.sources.aside import AsideSource
from pacs_recover.sources.file import FileSource, at
from pacs_recover.sources.names import SKEW
from pacs_recover.text import count, safe, seconds

PATIENCE = 10.0
"""Seconds without a new entry after which a source is not waited for: a dead share never answers at all."""
LONGEST = 60.0
"""Seconds after which a source is not waited for whatever it gives."""
WATCHED = 600.0
"""The same where a person sees what it gives meanwhile."""
EVERY = 1.0
"""Seconds between two looks at what a source has given so far."""
CANDIDATES = 10
"""How many backups are named where several fit."""
GUESSES = 2000
"""How many ids, newest first, a mistyped one is compared with."""


class SourceState(Struct, frozen=True):
    """Whether a source could be read, in whole."""

    name: str
    kind: str
    ok: bool
    error: str | None = None
    """What could not be read; what could is listed all the same."""
    hint: str = ""
    problems: tuple[Problem, ...] = ()
    """Each part of it that could not be read, of which ``error`` tells the first."""


Partly = Callable[["Catalog"], None]
"""Is told of what has been read so far: at most once in ``EVERY`` seconds, more and more seldom."""
ANSWERS = {
    "s3": "does the server answer, and is no firewall between? a large bucket needs longer: narrow the source's prefix",
    "git": "does the host of the repository answer?",
}
"""What to look at where a source is not read to its end in time, by its kind."""
MARKS = {"archived": "COLD", "thawing": "THAWING", "deleted": "DELETED", "overwritten": "OLDER"}
"""The word for what an operator must know of an entry, by the finding that tells it; the first one counts most."""


@dataclass(frozen=True)
class Catalog:
    """Backups, newest first, and where they were looked for."""

    backups: tuple[Backup, ...]
    sources: tuple[SourceState, ...]
    files: FileSource = FileSource()  # noqa: RUF009 - it has no state but a time zone
    """Where a backup is found that is named by its path."""


class _Reading(Thread):
    """One source being read; a daemon, as a read from a dead share can neither be waited for nor stopped."""

    def __init__(self, source: Source, component: str | None, brief: bool) -> None:
        super().__init__(daemon=True, name=f"reading {source.name}")
        self.source = source
        self.component = component
        self.brief = brief and source.kind == REPLICA
        self.backups: list[Backup] = []
        self.problems: list[Problem] = []
        self.given_up = False
        self.began = self.heard = time.monotonic()
        self.start()

    def run(self) -> None:
        try:
            self._read()
        except RecoverError as error:
            self.problems.append(Problem(safe(self.source.name), error.message, error.hint))
        except Exception as error:  # one source's fault must not hide the others
            self.problems.append(Problem(safe(self.source.name), f"{type(error).__name__}: {safe(error)}"))

    def _read(self) -> None:
        for found in self.source.listing(self.component):
            self.heard = time.monotonic()
            if self.given_up:
                return
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                self.backups.append(found)
                if self.brief:
                    return

    def wait(self, patience: float, longest: float, look: Callable[[], None]) -> None:
        """Until it is done, or has been silent or busy for too long."""
        while self.is_alive() and (left := min(self.heard + patience, self.began + longest) - time.monotonic()) > 0:
            self.join(min(left, EVERY))
            look()
        self.given_up = True

    def state(self) -> SourceState:
        """What came of it."""
        name, kind, problems = safe(self.source.name), self.source.kind, tuple(self.problems)
        if self.is_alive():
            waited = seconds(time.monotonic() - self.began)
            slow = f"still reading after {waited}; {count(len(self.backups), 'backup')} seen so far"
            hint = ANSWERS.get(kind, "is the disk or share mounted, and does it answer?")
            return SourceState(name, kind, False, slow, hint)
        if not problems:
            return SourceState(name, kind, True)
        more = f" (and {count(len(problems) - 1, 'other place')})" if len(problems) > 1 else ""
        return SourceState(
            name, kind, False, f"{problems[0].place}: {problems[0].reason}{more}", problems[0].hint, problems
        )


def read(
    sources: Iterable[Source],
    component: str | None = None,
    source: str | None = None,
    *,
    brief: bool = False,
    patience: float = PATIENCE,
    longest: float = LONGEST,
    partly: Partly | None = None,
) -> Catalog:
    """What all sources (or the one of this name) hold, read side by side. UsageError for an unknown name.

    ``brief``: of the thousands of points of a replica only the newest.
    """
    every = tuple(sources)
    wanted = [one for one in every if one.kind != FileSource.kind]
    if source is not None:
        wanted = [one for one in wanted if one.name == source] or _unknown(source, wanted)
    files = next((one for one in every if isinstance(one, FileSource)), FileSource())
    readings = [_Reading(one, component, brief) for one in wanted]
    look = _Growing(readings, files, partly).look if partly else lambda: None
    for reading in readings:
        reading.wait(patience, longest, look)
    return _catalog(readings, files)


def _catalog(readings: Sequence[_Reading], files: FileSource) -> Catalog:
    """What these have given so far."""
    states = tuple(reading.state() for reading in readings)
    found = [backup for reading in readings for backup in tuple(reading.backups)]
    found.sort(key=lambda backup: (backup.taken_at, backup.id), reverse=True)
    return Catalog(tuple(found), states, files)


class _Growing:
    """Tells of what has been read so far, where that is more than it told before."""

    def __init__(self, readings: Sequence[_Reading], files: FileSource, partly: Partly) -> None:
        self.readings, self.files, self.partly = readings, files, partly
        self._told, self._began = 0, time.monotonic()
        self._next = self._began + EVERY

    def look(self) -> None:
        number, now = sum(len(reading.backups) for reading in self.readings), time.monotonic()
        if number > self._told and now >= self._next:
            self.partly(_catalog(self.readings, self.files))
            self._told, self._next = number, now + max(EVERY, (now - self._began) / 2)


def _unknown(source: str, known: Sequence[Source]) -> list[Source]:
    raise UsageError(f"there is no source {safe(source)}", f"one of: {', '.join(safe(one.name) for one in known)}")


def find(catalog: Catalog | Iterable[Source], text: str, component: str | None = None) -> Backup:
    """The backup of this id, of an unambiguous beginning of one, or at this path.

    Raises UsageError where several fit or it is of another component than asked for, SourceError where none fits.
    """
    catalog = catalog if isinstance(catalog, Catalog) else read(catalog)
    exact = [backup for backup in catalog.backups if backup.id == text]
    if not exact and text.startswith(("/", "./", "../", "~")):
        return at(Path(text), component, catalog.files.zone)
    fitting = exact or [backup for backup in catalog.backups if _fits(backup, text, component)]
    if len(fitting) > 1:
        raise UsageError(
            f"{count(len(fitting), 'backup')} begin with {safe(text)}: {_names(fitting)}",
            "name one, or its source too: …@SOURCE",
        )
    if fitting:
        return _of(component, fitting[0])
    if os.path.exists(text):
        return at(Path(text), component, catalog.files.zone)
    raise _nothing(catalog, text, component)


def _fits(backup: Backup, text: str, component: str | None) -> bool:
    """Whether the id begins with the text, which may leave out the component asked for and what follows its ``@``."""
    if component not in (None, backup.component):
        return False
    head, _, source = backup.id.rpartition("@")
    said, _, where = text.partition("@")
    beginnings = (said, f"{component}/{said}") if component else (said,)
    return bool(said.strip()) and source.startswith(where) and head.startswith(beginnings)


def _names(fitting: Sequence[Backup]) -> str:
    more = f" and {len(fitting) - CANDIDATES:,} more" if len(fitting) > CANDIDATES else ""
    return ", ".join(safe(backup.id) for backup in fitting[:CANDIDATES]) + more


def _of(component: str | None, backup: Backup) -> Backup:
    if component not in (None, backup.component):
        raise UsageError(
            f"{safe(backup.id)} is a backup of {backup.component}, not of {component}",
            f"see: pacs-recover catalog {component}",
        )
    return backup


def _nothing(catalog: Catalog, text: str, component: str | None) -> SourceError:
    ids = [backup.id for backup in catalog.backups[:GUESSES] if component in (None, backup.component)]
    beginnings = {id[: len(text)]: id for id in reversed(ids)}
    near = difflib.get_close_matches(text, beginnings, 1)
    guess = f"did you mean {safe(beginnings[near[0]])}? " if near else ""
    unread = [state.name for state in catalog.sources if not state.ok]
    gap = f" (it could not read {', '.join(unread)} in whole)" if unread else ""
    what = f"no backup and no file {safe(text)}" if "/" in text else f"no backup {safe(text)}"
    return SourceError(f"there is {what}", f"{guess}see: pacs-recover catalog{gap}")


def newest(catalog: Catalog, component: str, at: datetime | None = None) -> Backup | None:
    """The latest readable backup of a component at or before a time; none set aside, superseded or from the future."""
    fitting = (
        backup
        for backup in catalog.backups
        if backup.component == component and is_usable(backup) and (at is None or backup.taken_at <= at)
    )
    return next(fitting, None)


def mark(backup: Backup) -> str:
    """The word for the one thing to know of an entry before it is opened; empty where there is none."""
    labels = {fact.label for fact in backup.findings}
    return next((word for label, word in MARKS.items() if label in labels), "" if backup.readable else "UNREAD")


def is_usable(backup: Backup) -> bool:
    """Whether it may be chosen without being named: readable, not set aside, superseded or from the future."""
    late = datetime.now(UTC) + SKEW
    return backup.readable and backup.current and backup.source != AsideSource.name and backup.taken_at <= late


def folded(catalog: Catalog) -> tuple[tuple[Backup, ...], dict[str, int]]:
    """The backups with only the newest point of each Litestream replica, and how many more each has."""
    replicas = {state.name for state in catalog.sources if state.kind == REPLICA}
    more: dict[str, int] = {}
    shown = []
    for backup in catalog.backups:
        if backup.source in more:
            more[backup.source] += 1
            continue
        shown.append(backup)
        if backup.source in replicas:
            more[backup.source] = 0
    return tuple(shown), {name: number for name, number in more.items() if number}


def to_json(catalog: Catalog) -> dict[str, Any]:
    """The JSON contract of ``catalog``."""
    return {
        "backups": [backup_json(backup) for backup in catalog.backups],
        "sources": [source_json(state) for state in catalog.sources],
    }


def source_json(state: SourceState) -> dict[str, Any]:
    """The JSON contract of one source."""
    return {"name": state.name, "kind": state.kind, "ok": state.ok, "error": state.error, "hint": state.hint}


def backup_json(backup: Backup) -> dict[str, Any]:
    """The JSON contract of one backup."""
    return {
        "id": backup.id,
        "component": backup.component,
        "source": backup.source,
        "key": backup.key,
        "taken_at": to_builtins(backup.taken_at.astimezone(UTC).replace(microsecond=0)),  # as `stamp`, far sooner
        "size": backup.size,
        "encrypted": backup.encrypted,
        "format": backup.format,
        "storage_class": backup.storage_class,
        "readable": backup.readable,
        "current": backup.current,
        "recorded": bool(backup.recorded),
        "verified": backup.verified,
        "verdict": backup.verdict,
        "findings": [{"label": fact.label, "value": fact.value, "state": fact.state} for fact in backup.findings],
    }
