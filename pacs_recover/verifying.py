"""Verifying many backups side by side: which, how many at once, what is known of them already, and what came of it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Any

from pacs_recover import looks, proving
from pacs_recover.authority import Authority
from pacs_recover.components import Look
from pacs_recover.drill import STARTED
from pacs_recover.model import Backup
from pacs_recover.proving import Proven
from pacs_recover.site import Site
from pacs_recover.state import State
from pacs_recover.subjects import Subject
from pacs_recover.text import stamp
from pacs_recover.verdicts import Check, Verdict, Verdicts, is_past, judge_of, stored

CHANGED = "Content is what was verified before"
DATED = re.compile(r"[0-9]{8}")
"""A name that says when its backup was made is not used for another one."""
KNOWN = "It was verified"
MOST = 4
"""Backups at once, where nothing else is said and the host has as many processors."""
GROWS = 8
"""How many times its stored size a backup that was never unpacked may have, unpacked: text in gzip."""
UNKNOWN_SIZE = 1 << 30
"""Bytes that are set aside for a backup whose size only reading it tells."""
SHARE = 2
"""What unpacked copies may take of the free space together: one part of as many."""


@dataclass(frozen=True)
class Result:
    """What came of one subject."""

    subject: Subject
    checks: tuple[Check, ...]
    at: datetime
    sha256: str = ""
    is_read: bool = True
    is_known: bool = False
    """Found by an earlier verification; the backup is unchanged since."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return all(check.state != "bad" for check in self.checks)


@dataclass(frozen=True)
class Manner:
    """How it is done."""

    jobs: int = 0
    """How many at once; 0: as the host has processors, at most ``MOST``."""
    again: bool = False
    """Whether also what was verified and is unchanged is read."""
    start: bool = False
    """Whether the service is started with each, in a sandbox."""
    accept: bool = False
    """Whether content that changed under the same name and time is taken for the new truth."""
    binary: Path | None = None
    """Litestream's own program, to hold points of a replica against."""


class Room:
    """Lets work begin while there is room for what it unpacks; one alone always may, and stops by itself when full."""

    def __init__(self, free: Callable[[], int]) -> None:
        self._free, self._taken, self._changed = free, 0, Condition()

    @contextmanager
    def taking(self, need: int) -> Iterator[None]:
        """Wait for room for this many bytes, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + need <= self._free() // SHARE)
            self._taken += need
        try:
            yield
        finally:
            with self._changed:
                self._taken -= need
                self._changed.notify_all()


@dataclass
class Verification:
    """One verification: what is known is told at once, the rest is read, each verdict kept as soon as it is found."""

    state: State
    verdicts: Verdicts
    authority: Authority
    manner: Manner = Manner()
    _stop: Event = field(default_factory=Event)
    _starting: Lock = field(default_factory=Lock)
    _lock: Lock = field(default_factory=Lock)
    _looks: dict[str, Look] = field(default_factory=dict)

    def run(self, every: Sequence[Subject]) -> Generator[Result, None, None]:
        """Each result as it comes; leaving early stops what is being read. Interrupted, Refused, OSError."""
        self._room = Room(lambda: shutil.disk_usage(self._scratch()).free)
        at_once = self.manner.jobs or min(MOST, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(at_once, thread_name_prefix="verify")
        waiting, running = list(reversed(every)), set[Future[Result]]()
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.add(pool.submit(self._one, waiting.pop()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _scratch(self) -> Path:
        return self.state.path if self.state.path.is_dir() else Path(tempfile.gettempdir())

    def _one(self, subject: Subject) -> Result:
        now = datetime.now(UTC)
        if subject.backup is None:
            return Result(subject, (Check(proving.EXISTS, "bad", subject.missing),), now, is_read=not subject.is_source)
        if not subject.backup.readable:
            why = "it is there, but cannot be read now (see: pacs-recover catalog)"
            return Result(subject, (Check(proving.READ, "bad", why),), now, is_read=False)
        before = self.verdicts.newest(subject.site.name, subject.name)
        if before and not self.manner.again and self._holds(before, subject, subject.backup):
            return Result(subject, before.checks, before.at, before.sha256, is_known=True)
        return self._read(subject, subject.backup, before)

    def _holds(self, before: Verdict, subject: Subject, backup: Backup) -> bool:
        """Whether a good verdict still holds: the same bytes, judged the same way, tried as much as is asked for."""
        tried = {check.name for check in before.checks if check.state == "ok"}
        enough = (not self.manner.start or STARTED in tried) and (self.manner.binary is None or proving.SAME in tried)
        return bool(backup.stored) and enough and is_valid(before, subject.site, backup)

    def _read(self, subject: Subject, backup: Backup, before: Verdict | None) -> Result:
        need = before.content if before and before.content else backup.size and backup.size * GROWS
        with self._room.taking(need or UNKNOWN_SIZE):
            found = proving.prove(
                subject.site, backup, self.state, self._look(subject.site), self.manner.binary, self._stop.is_set
            )
        found = self._compared(found, backup, before)
        if self.manner.start and found.ok:
            with self._starting:
                check = proving.started(subject.site, backup, self.state, self.authority)
            found = replace(found, checks=(*found.checks, check))
        now = datetime.now(UTC)
        if found.is_read:
            self.verdicts.keep(verdict_of(subject.site, backup, found, now, before))
        return Result(subject, found.checks, now, found.sha256, found.is_read)

    def _compared(self, found: Proven, backup: Backup, before: Verdict | None) -> Proven:
        """Other bytes than those that were good, by a dated name or of the same time, are no backup of that time."""
        if before is None or not (before.good_sha256 and found.sha256 and backup.stored):
            return found
        is_same = before.taken_at == backup.taken_at or DATED.search(backup.id)
        if found.sha256 == before.good_sha256 or not is_same or self.manner.accept:
            return found
        said = (
            f"its SHA-256 was {before.good_sha256[:16]} when it was good, and is {found.sha256[:16]} now "
            "(if it was replaced on purpose: verify --accept-changed)"
        )
        return replace(found, checks=(*found.checks, Check(CHANGED, "bad", said)))

    def _look(self, site: Site) -> Look:
        with self._lock:
            if site.name not in self._looks:
                self._looks[site.name] = looks.look(site)
            return self._looks[site.name]


def is_valid(known: Verdict, site: Site, backup: Backup) -> bool:
    """Whether a verdict is good and of this backup as it is listed and would be judged now."""
    unchanged = known.stored == stored(backup) and known.judged_by == judge_of(site)
    return known.ok and unchanged and not is_past(known)


def verdict_of(site: Site, backup: Backup, found: Proven, now: datetime, before: Verdict | None = None) -> Verdict:
    """What is kept of a backup that was proven as it is listed; ``before``: what was kept of it last."""
    return Verdict(
        site=site.name,
        backup=backup.id,
        at=now,
        ok=found.ok,
        checks=found.checks,
        taken_at=backup.taken_at,
        stored=stored(backup),
        sha256=found.sha256,
        good_sha256=found.sha256 if found.ok else before.good_sha256 if before else "",
        content=found.content,
        judged_by=judge_of(site),
        until=found.until,
    )


def merged(every: Iterable[Subject], verdicts: Verdicts) -> Iterator[Result]:
    """What the shards found, read from what they kept; a backup without a verdict as it is now counts as bad."""
    for one in every:
        yield _merged(one, verdicts)


def _merged(subject: Subject, verdicts: Verdicts) -> Result:
    now = datetime.now(UTC)
    if subject.backup is None:
        return Result(subject, (Check(proving.EXISTS, "bad", subject.missing),), now, is_read=not subject.is_source)
    known = verdicts.newest(subject.site.name, subject.name)
    if known and (
        is_valid(known, subject.site, subject.backup) or (not known.ok and known.stored == stored(subject.backup))
    ):
        return Result(subject, known.checks, known.at, known.sha256, is_known=True)
    why = "no shard has kept a verdict of it as it is now: run the shard again, or pacs-recover verify"
    return Result(subject, (Check(KNOWN, "bad", why),), now)


def completed(site: Site, results: Sequence[Result], verdicts: Verdicts) -> None:
    """Keep that the newest backup of every component was verified, and how: what a dead man's switch looks for."""
    bad = tuple(
        Check(one.subject.name, "bad", _first_bad(one)) for one in results if one.subject.is_newest and not one.ok
    )
    verdicts.keep(Verdict(site=site.name, backup="", at=datetime.now(UTC), ok=not bad, checks=bad))


def _first_bad(one: Result) -> str:
    return next(f"{check.name}: {check.evidence}" for check in one.checks if check.state == "bad")


def exit_code(results: Iterable[Result]) -> int:
    """0 all are good; 3 one could not be read; 6 one is bad or missing."""
    bad = [one for one in results if not one.ok]
    return 0 if not bad else 6 if any(one.is_read for one in bad) else 3


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    """The JSON contract of ``verify``."""
    return {"results": [_json(one) for one in results], "ok": all(one.ok for one in results)}


def _json(one: Result) -> dict[str, Any]:
    checks = [{"name": c.name, "state": c.state, "evidence": c.evidence} for c in one.checks]
    return {
        "site": one.subject.site.name,
        "backup": one.subject.name,
        "component": one.subject.component or None,
        "ok": one.ok,
        "at": stamp(one.at),
        "known": one.is_known,
        "sha256": one.sha256 or None,
        "checks": checks,
    }
