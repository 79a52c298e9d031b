"""One backup: hold the site still, read what lives, prove it, store it in every place; one place's fault is its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pacs_recover import holding, looks
from pacs_recover.authority import Authority
from pacs_recover.components import Look
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.making import judging, live, rotated, sealing
from pacs_recover.making.artifact import Artifact
from pacs_recover.making.destinations import Destination, Stored, chosen, of_files
from pacs_recover.making.history import History
from pacs_recover.making.live import Taken
from pacs_recover.making.outcome import Outcome, failed
from pacs_recover.making.rotated import Log
from pacs_recover.model import COMPONENTS
from pacs_recover.site import GitConfig, Site
from pacs_recover.sources import sources_of
from pacs_recover.state import State
from pacs_recover.target import places
from pacs_recover.text import safe
from pacs_recover.verdicts import known

FULL = "full"
"""All components."""
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
                yield from self._recorded(one.component, self._kept(one, scratch))
                one.path.unlink(missing_ok=True)
            if "logs" in self.order.components:
                yield from self._recorded("logs", self._logs(scratch))

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
        lost, taken = [], []
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
                    lost.append(failed(name, "", error, began))
        for one in lost:
            self.state.audit.note("backup", one.component, f"failed: {one.error}", self.site.name)
        return lost, taken

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

    def _recorded(self, component: str, work: Iterator[Outcome]) -> Iterator[Outcome]:
        """Record that it began and how each went, and keep what was proven."""
        self.state.audit.note("backup", component, "began", self.site.name)
        made = []
        for one in work:
            said = one.note or "stored" if one.ok else f"failed: {one.error}"
            self.state.audit.note("backup", one.id or component, said, self.site.name)
            made.append(one)
            yield one
        sources = sources_of(self.site, self.state.journals())
        judging.keep(self.site, known(self.state.path, self.authority, self.say), sources, made, self.say)

    def _kept(self, taken: Taken, scratch: Path) -> Iterator[Outcome]:
        """One component in every place."""
        name, began = taken.component, time.monotonic()
        if self._files:
            try:
                made = sealing.seal(taken, self._look, scratch)
                yield from (self._stored(place, made) for place in self._files)
            except (RecoverError, OSError) as error:
                yield failed(name, "", error, began)
            (scratch / f"{name}.made").unlink(missing_ok=True)
        for history in self._gits if name == "config" else ():
            yield self._committed(history, taken, scratch)

    def _stored(self, place: Destination, made: Artifact) -> Outcome:
        began = time.monotonic()
        try:
            self._begin(place, made.component)
            return self._done(made, place.name, place.store(_numbered(made, place)), began)
        except (RecoverError, OSError) as error:
            return failed(made.component, place.name, error, began)

    def _begin(self, place: Destination, component: str) -> None:
        for said in place.begin(component):
            self.say(f"{place.name}: {said}")

    def _committed(self, history: History, taken: Taken, scratch: Path) -> Outcome:
        began = time.monotonic()
        try:
            stored = history.store(taken, self._look, scratch)
            took = time.monotonic() - began
            return Outcome(
                "config", history.name, True, stored.id, note=stored.note, seconds=took, proven=stored.proven
            )
        except (RecoverError, OSError) as error:
            return failed("config", history.name, error, began)

    def _logs(self, scratch: Path) -> Iterator[Outcome]:
        """Every closed log that is not in every place yet."""
        began = time.monotonic()
        try:
            look = looks.look(self.site)
            found, passed = rotated.closed(places.resolve(self.site.live.logs))
        except (RecoverError, OSError) as error:
            yield failed("logs", "", error, began)
            return
        for said in passed:
            self.say(f"{said}: left for the next backup")
        ready = []
        for place in self._files:
            try:
                self._begin(place, "logs")
                ready.append(place)
            except (RecoverError, OSError) as error:
                yield failed("logs", place.name, error, began)
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
            yield failed("logs", "", error, began)
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
            yield failed("logs", "", error, began)

    def _done(self, made: Artifact, place: str, stored: Stored, began: float) -> Outcome:
        took = time.monotonic() - began
        return Outcome(
            made.component,
            place,
            True,
            stored.id,
            made.size,
            made.sha256,
            stored.note,
            seconds=took,
            proven=stored.proven,
        )


def _numbered(made: Artifact, place: Destination) -> Artifact:
    """Under a name that is free there; a log's says what is in it, and is never another's. RecoverError, OSError."""
    for number in () if made.title.log else range(2, MOST + 1):
        if not place.has(made):
            break
        made = replace(made, title=replace(made.title, number=number))
    return made
