"""One backup: hold the site still, read what lives, prove it, store it in every place; one place's fault is its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pacs_recover import holding, looks
from pacs_recover.authority import Authority
from pacs_recover.components import Look
from pacs_recover.errors import BadBackup, RecoverError, SourceError, UsageError
from pacs_recover.making import live, rotated, sealing
from pacs_recover.making.artifact import Artifact
from pacs_recover.making.destinations import Destination, Stored, chosen, of_files
from pacs_recover.making.history import History
from pacs_recover.making.live import Taken
from pacs_recover.making.rotated import Log
from pacs_recover.model import COMPONENTS
from pacs_recover.site import GitConfig, Site
from pacs_recover.state import State
from pacs_recover.target import places
from pacs_recover.text import safe

FULL = "full"
"""All components."""
SEVERITY = (BadBackup.exit_code, SourceError.exit_code, RecoverError.exit_code)
"""Of several failures the first of these is the exit code."""


MOST = 9
"""Backups whose names have the same time."""


@dataclass(frozen=True)
class Order:
    """What is backed up, and how."""

    components: tuple[str, ...]
    to: tuple[str, ...] = ()
    """Names of sources; none: as the site file says."""
    patience: float = 0.0
    """Seconds to wait for a restore that has the site."""
    remove: bool = False
    """Whether logs that are proven to be stored in every place go."""
    queue_patience: float = live.LOCKED


@dataclass(frozen=True)
class Outcome:
    """What came of one component in one place."""

    component: str
    destination: str
    """Empty: it came to none."""
    ok: bool
    id: str = ""
    size: int | None = None
    sha256: str = ""
    note: str = ""
    error: str = ""
    hint: str = ""
    code: int = 0
    seconds: float = 0.0


def ordered(words: Sequence[str]) -> tuple[str, ...]:
    """The components that are meant, in their order. UsageError."""
    for word in words:
        if word not in (*COMPONENTS, FULL):
            raise UsageError(f"there is no component {safe(word)}", f"one of: {', '.join((*COMPONENTS, FULL))}")
    return tuple(name for name in COMPONENTS if name in words or FULL in words)


@dataclass
class Backing:
    """One backup of a site."""

    site: Site
    order: Order
    state: State
    authority: Authority
    say: Callable[[str], None] = lambda _: None
    """Is told what else there is to know."""
    _files: list[Destination] = field(default_factory=list)
    _gits: list[History] = field(default_factory=list)

    def run(self) -> Iterator[Outcome]:
        """What comes of each, as it comes. Refused, UsageError before anything is done; Busy while the site is held."""
        self.authority.must_allow("backup")
        self._choose()
        with self.state.scratch() as scratch:
            outcomes, taken = self._taken(scratch)
            yield from outcomes
            for one in taken:
                yield from self._audited(one.component, self._kept(one, scratch))
                one.path.unlink(missing_ok=True)
            if "logs" in self.order.components:
                yield from self._audited("logs", self._logs(scratch))

    def _choose(self) -> None:
        for config in chosen(self.site, self.order.to, self.order.components):
            if isinstance(config, GitConfig):
                self._gits.append(History(config, self.site.name))
            elif place := of_files(config, self.site):
                self._files.append(place)
        lacking = [name for name in self.order.components if not self._files and not (self._gits and name == "config")]
        if lacking:
            raise UsageError(f"no place is named that takes {', '.join(lacking)}", "name a directory or a bucket: --to")

    def _taken(self, scratch: Path) -> tuple[list[Outcome], list[Taken]]:
        """What lives, read while no restore can run; what cannot be read does not keep the rest from it. Busy."""
        failed, taken = [], []
        wanted = [name for name in self.order.components if name != "logs"]
        if not wanted:
            return [], []
        with self._still(wanted):
            self._look = looks.look(self.site)
            for name in wanted:
                began = time.monotonic()
                try:
                    taken.append(self._take(name, self._look, scratch))
                except (RecoverError, OSError) as error:
                    failed.append(self._failed(name, "", error, began))
        for one in failed:
            self.state.audit.note("backup", one.component, f"failed: {one.error}", self.site.name)
        return failed, taken

    @contextmanager
    def _still(self, wanted: Sequence[str]) -> Iterator[None]:
        held = holding.hold(self.site, f"backup {' '.join(wanted)}", self.authority, self.order.patience)
        try:
            yield
        finally:
            held.close()

    def _take(self, name: str, look: Look, scratch: Path) -> Taken:
        match name:
            case "config":
                return live.config(look, scratch, keys_too="config" in self.site.backup.encrypt)
            case "certs":
                return live.certs(look, scratch)
            case _:
                return live.queue(look, scratch, self.order.queue_patience)

    def _audited(self, component: str, work: Iterator[Outcome]) -> Iterator[Outcome]:
        """Record that it began and how each went."""
        self.state.audit.note("backup", component, "began", self.site.name)
        for one in work:
            said = one.note or "stored" if one.ok else f"failed: {one.error}"
            self.state.audit.note("backup", one.id or component, said, self.site.name)
            yield one

    def _kept(self, taken: Taken, scratch: Path) -> Iterator[Outcome]:
        """One component in every place."""
        name, began = taken.component, time.monotonic()
        if self._files:
            try:
                made = sealing.seal(taken, self._look, scratch)
                yield from (self._stored(place, made) for place in self._files)
            except (RecoverError, OSError) as error:
                yield self._failed(name, "", error, began)
            (scratch / f"{name}.made").unlink(missing_ok=True)
        for history in self._gits if name == "config" else ():
            yield self._committed(history, taken, scratch)

    def _stored(self, place: Destination, made: Artifact) -> Outcome:
        began = time.monotonic()
        try:
            self._begin(place, made.component)
            return self._done(made, place.name, place.store(_numbered(made, place)), began)
        except (RecoverError, OSError) as error:
            return self._failed(made.component, place.name, error, began)

    def _begin(self, place: Destination, component: str) -> None:
        for said in place.begin(component):
            self.say(f"{place.name}: {said}")

    def _committed(self, history: History, taken: Taken, scratch: Path) -> Outcome:
        began = time.monotonic()
        try:
            stored = history.store(taken, self._look, scratch)
            return Outcome("config", history.name, True, stored.id, note=stored.note, seconds=time.monotonic() - began)
        except (RecoverError, OSError) as error:
            return self._failed("config", history.name, error, began)

    def _logs(self, scratch: Path) -> Iterator[Outcome]:
        """Every closed log that is not in every place yet."""
        began = time.monotonic()
        try:
            look = looks.look(self.site)
            found, passed = rotated.closed(places.resolve(self.site.live.logs))
        except (RecoverError, OSError) as error:
            yield self._failed("logs", "", error, began)
            return
        for said in passed:
            self.say(f"{said}: left for the next backup")
        ready = []
        for place in self._files:
            try:
                self._begin(place, "logs")
                ready.append(place)
            except (RecoverError, OSError) as error:
                yield self._failed("logs", place.name, error, began)
        for log in found:
            yield from self._shipped(log, ready, look, scratch)

    def _shipped(self, log: Log, ready: Sequence[Destination], look: Look, scratch: Path) -> Iterator[Outcome]:
        began, path = time.monotonic(), scratch / "log.made"
        try:
            title, content = log.title(sealing.format_for(self.site, "logs"))
            unmade = Artifact(title, path, 0, "", content)
            wanted = [place for place in ready if self.order.remove or not place.has(unmade)]
            if not wanted:
                return
            with log.plain() as raw:
                made = sealing.pack(raw, title, self.site, path)
            made = sealing.prove(Artifact(title, path, made.size, made.sha256, content), look, scratch)
        except (RecoverError, OSError) as error:
            path.unlink(missing_ok=True)
            yield self._failed("logs", "", error, began)
            return
        outcomes = [self._stored(place, made) for place in wanted]
        path.unlink()
        if self.order.remove and len(wanted) == len(self._files) and all(one.ok for one in outcomes):
            yield from self._without(log, made, outcomes)
        else:
            yield from outcomes

    def _without(self, log: Log, made: Artifact, outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
        began = time.monotonic()
        yield from outcomes
        try:
            self.say(rotated.removed(log, made))
        except (RecoverError, OSError) as error:
            yield self._failed("logs", "", error, began)

    def _done(self, made: Artifact, place: str, stored: Stored, began: float) -> Outcome:
        took = time.monotonic() - began
        return Outcome(made.component, place, True, stored.id, made.size, made.sha256, stored.note, seconds=took)

    def _failed(self, component: str, place: str, error: RecoverError | OSError, began: float) -> Outcome:
        known = error if isinstance(error, RecoverError) else in_words(error)
        return Outcome(
            component,
            place,
            False,
            error=known.message,
            hint=known.hint,
            code=known.exit_code,
            seconds=time.monotonic() - began,
        )


def _numbered(made: Artifact, place: Destination) -> Artifact:
    """Under a name that is free there; a log's says what is in it, and is never another's. RecoverError, OSError."""
    for number in () if made.title.log else range(2, MOST + 1):
        if not place.has(made):
            break
        made = replace(made, title=replace(made.title, number=number))
    return made


def in_words(error: OSError) -> RecoverError:
    """What the system said, and what to do about it."""
    import errno

    where = f": {safe(error.filename)}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RecoverError(f"the disk is full{where}", "make room there; nothing of it was kept")
    if error.errno in (errno.EACCES, errno.EPERM):
        return RecoverError(f"{error.strerror}{where}", "run it as root, or let this user write there")
    return RecoverError(f"{error.strerror or error}{where}", "see what is wrong with that file or filesystem")


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 where all went well; else the code of the worst failure."""
    codes = {one.code for one in outcomes if not one.ok}
    return next((code for code in SEVERITY if code in codes), 1) if codes else 0


def to_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The JSON contract of ``backup``."""
    return {"backups": [_json(one) for one in outcomes], "ok": all(one.ok for one in outcomes)}


def _json(one: Outcome) -> dict[str, Any]:
    failed = {"message": one.error, "hint": one.hint, "exit_code": one.code}
    return {
        "component": one.component,
        "destination": one.destination or None,
        "backup": one.id or None,
        "ok": one.ok,
        "size": one.size,
        "sha256": one.sha256 or None,
        "note": one.note or None,
        "error": None if one.ok else failed,
        "seconds": round(one.seconds, 3),
    }
