"""Carrying over: after the stop, messages that only the old queue has are added to a copy of the proven one."""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from pacs_recover.components import Job
from pacs_recover.errors import RecoverError
from pacs_recover.events import Effect
from pacs_recover.formats import carrying, queue_db, sqlite, sqlite_set
from pacs_recover.formats.carrying import Carried
from pacs_recover.formats.sqlite_set import Unknown
from pacs_recover.journal import pending
from pacs_recover.model import Step
from pacs_recover.target import places, rooms, trees, undo
from pacs_recover.text import count, safe, seconds

NAME = "queue.db"
HOME = "carried"
"""Below the queue's staging: a copy apart, so that what was proven before the stop stays what it was."""


class Rehearsal(Struct, frozen=True):
    """How it went on private copies of both queues."""

    carried: Carried
    seconds: float
    """What the run will take longer while the service is down."""

    def sentence(self) -> str:
        """For the plan."""
        return f"{self.carried.sentence()}; tried on copies: adds about {seconds(self.seconds)} of downtime"


def rehearse(backup: Path, live: Path, scratch: Path, took: float) -> Rehearsal:
    """Do it all on a copy in ``scratch``; ``took`` is how many seconds the live queue's own copy and check took.

    RecoverError, OSError.
    """
    copy = scratch / "rehearsed.db"
    try:
        shutil.copyfile(backup, copy)
        began = time.monotonic()
        carried = carrying.carry(copy, live)
        sqlite.integrity(copy)
        trees.digest(copy)
        return Rehearsal(carried, took + time.monotonic() - began)
    finally:
        copy.unlink(missing_ok=True)


def before_stop(job: Job) -> Iterator[Step]:
    """Whatever can be known and done before the service is stopped."""
    yield Step("The live queue's own messages can be carried over", lambda: _foresee(job), kind="check")
    yield Step("Copy the restored database, to add them to", lambda: _copy(job))


def while_down(job: Job) -> Iterator[Step]:
    """Add them, prove it, seal it."""
    yield Step("Add the messages that only the stopped queue has", lambda: _carry(job), phase="carry")
    yield Step("The completed database passes its integrity check", lambda: _proven(job), kind="check", phase="carry")
    yield Step("Give the completed database its owner and make it durable", lambda: _seal(job), phase="carry")


def extra_bytes(job: Job) -> int:
    """Bytes that it needs beside the staged database: the copy that grows, and a whole copy of the old set."""
    live = job.look.live["queue"]
    found = [places.identity(live.with_name(live.name + suffix)) for suffix in ("", *sqlite.SIDECARS)]
    return job.choices["queue"].bytes + 2 * sum(one.size for one in found if one)


def _foresee(job: Job) -> str:
    live = job.look.live["queue"]
    if places.identity(live) is None:
        return "no queue lives there: there is nothing to carry over"
    with _scratch(job) as scratch:
        held = sqlite_set.copy_live(live, scratch)
        if isinstance(held, Unknown):
            raise RecoverError(f"the live queue cannot be read: {held.reason}", carrying.WITHOUT)
        return carrying.foresee(sealed(job), held).sentence()


def _copy(job: Job) -> str:
    """A copy of just what was sealed. RecoverError, OSError."""
    fresh, seal = _home(job) / "fresh" / NAME, job.target.sealed("queue")
    places.remove_tree(fresh.parent)
    places.make_directories(fresh.parent)
    trees.copy(sealed(job), fresh)
    if seal is None or trees.digest(fresh)[0] != seal.sha256:
        raise RecoverError(f"the copy of {safe(sealed(job))} is not what was verified", "plan again")
    return f"SHA-256 {seal.sha256[:16]}, as sealed"


def _carry(job: Job) -> str:
    """Begin with a fresh copy each time: one that a cut run was adding to is worth nothing."""
    home = _home(job)
    fresh, work = home / "fresh" / NAME, home / NAME
    for path in (work, *(Path(f"{work}{suffix}") for suffix in (*sqlite.SIDECARS, "-shm"))):
        places.remove_tree(path)
    if places.identity(fresh) is None:
        _copy(job)
    places.move(fresh, work)
    aside = set_aside(job)[1]
    if aside is None:
        return "no queue lived before: there is nothing to carry over"
    with whole(aside, job) as old:
        return f"{carrying.carry(work, old).sentence()}; from {safe(aside)}, which is kept as it is"


def _proven(job: Job) -> str:
    """The full check, and what is in it now."""
    work = _home(job) / NAME
    evidence = sqlite.integrity(work)
    tables = ", ".join(f"{safe(name)}: {count(rows, 'row')}" for name, rows in queue_db.content(work).tables)
    return f"{evidence}; {tables}"


def _seal(job: Job) -> str:
    return job.target.seal_as("queue", _home(job) / NAME, lambda _: lambda _: 0o600)


def _home(job: Job) -> Path:
    return job.target.staging("queue") / HOME


def sealed(job: Job) -> Path:
    """What was sealed before the stop, where only we can write."""
    return job.target.staging("queue") / "sealed" / job.look.live["queue"].name


def set_aside(job: Job) -> tuple[Effect, Path | None]:
    """The effect that set the old queue aside, and where that lies; None where nothing lived."""
    effects = pending(job.target.journal.events)
    effect = next(e for e in effects if e.undo == "bring_back" and e.args["component"] == "queue")
    inverse = undo.from_args(effect.args)
    assert isinstance(inverse, undo.BringBack)
    if inverse.originals[0].inode is None:
        return effect, None
    return effect, undo.aside_of(rooms.locate(inverse.room), "queue") / inverse.originals[0].name


@contextmanager
def whole(aside: Path, job: Job) -> Iterator[Path]:
    """What was set aside as one sound file: where it stands alone it is read in place, else a copy of the set is made.

    After a clean stop it stands alone, so that no second copy of a large queue is needed; it is checked while it is
    read, and what was read counts only if it is sound. RecoverError, OSError.
    """
    found = places.identity(aside)
    if found is None or not stat.S_ISREG(found.mode):
        raise RecoverError(f"{safe(aside)} is not a file")
    if not any(sqlite.holds_something(aside, suffix) for suffix in sqlite.SIDECARS):
        with sqlite.proven_beside(aside):
            yield aside
        return
    with _scratch(job) as scratch:
        copy = sqlite_set.copy_live(aside, scratch)
        if isinstance(copy, Unknown):
            raise RecoverError(copy.reason)
        yield copy


@contextmanager
def _scratch(job: Job) -> Iterator[Path]:
    """A directory for a copy of messages, which goes with it."""
    scratch = job.target.staging("queue") / "count"
    places.remove_tree(scratch)
    places.make_directories(scratch)
    try:
        yield scratch
    finally:
        places.remove_tree(scratch)
