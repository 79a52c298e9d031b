"""The message queue: one SQLite database, always moved together with its -wal, -shm and -journal."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pacs_recover.components import Comparison, Job, Look, Unpack, carry_over, unpacking
from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.events import Question
from pacs_recover.formats import archive, carrying, queue_db, sqlite, sqlite_set, streams
from pacs_recover.formats import replay as replaying
from pacs_recover.formats.sqlite_set import Unknown
from pacs_recover.formats.streams import Peeking, Reader
from pacs_recover.model import Amount, Backup, Fact, Preview, Step
from pacs_recover.target import places, trees
from pacs_recover.text import count, safe

NAME = "queue.db"
OTHER = "choose another: pacs-recover catalog queue"
OUTLINE = "outline.db"
"""Beside the staged database: its ids, to count against the old queue when the new one is long in use."""
SIDECARS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; a stale -wal is replayed over whatever file it finds."""
SET_LIMITS = archive.Limits(members=16, total=1 << 44, file=1 << 44)
"""A set-aside queue is an archive of four files, as large as the filesystem lets them be."""


class Queue:
    """``queue_*.db.gz`` and a live queue."""

    name = "queue"

    def unpack(self, raw: Reader, backup: Backup, into: Path, look: Look) -> Unpack:
        """One self-contained database file, ``queue.db``. BadBackup, OSError."""
        if backup.format.startswith("tar"):
            yield from archive.extract(raw, into, SET_LIMITS)
            self.settle(into, look)
            return (into / NAME).stat().st_size
        with (into / NAME).open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            head = (raw := Peeking(raw)).peek(sqlite.HEADER)
            most, done = sqlite.stated_size(head), 0
            for done in streams.copy(raw, out):
                if most is not None and done > most:
                    raise BadBackup(f"the database goes on after the {most:,} bytes that its header says", OTHER)
                streams.leave_room(out.fileno())
                yield Amount(done, None)
            out.flush()
        return done

    def settle(self, content: Path, look: Look) -> None:
        """Fold a copied set of database, -wal and -journal into the one file."""
        found = [path for path in content.rglob("*") if path.is_file() and not path.name.endswith(SIDECARS)]
        if len(found) != 1:
            raise BadBackup(
                f"{count(len(found), 'database')} in it instead of one", "choose another: pacs-recover catalog"
            )
        base = found[0].name
        for path in list(found[0].parent.iterdir()):
            path.rename(content / path.name.replace(base, NAME, 1))
        sqlite_set.fold(content / NAME)

    def preview(self, content: Path, look: Look) -> Preview:
        """Integrity, tables, states, destinations, times; never a payload."""
        return queue_db.preview(content / NAME)

    def digest(self, content: Path) -> str:
        """The SHA-256 of the database. OSError."""
        with (content / NAME).open("rb") as database:
            return hashlib.file_digest(database, "sha256").hexdigest()

    def compare(self, content: Path, look: Look, scratch: Path) -> Comparison:
        """What would be sent again, dead-lettered and lost, by id against the live queue, or that it is unknown."""
        began = time.monotonic()
        try:
            held = self._live(look, scratch)
            took = time.monotonic() - began
            if isinstance(held, Unknown):
                return _unknown(f"the live queue cannot be read ({held.reason})", look)
            now, keep = datetime.now(UTC), look.carry_over
            replay = replaying.compare(content / NAME, held, now, ttl(look), carry_over=keep)
        except (RecoverError, OSError) as error:  # the backup was judged before: this is about what lives
            return _unknown(f"the live queue cannot be compared ({safe(error)})", look)
        question = None if replay.harmless else Question("The replay risk is accepted", replay.sentence())
        created = () if held else ("queue: nothing lives there now; it will be created",)
        found = Comparison((*created, f"queue: {replay.sentence()}"), question, replay=replay.numbers())
        return _rehearsed(found, content / NAME, held, scratch, took) if held and keep else found

    def _live(self, look: Look, scratch: Path) -> Path | Unknown | None:
        """A private copy of the live queue; None where there is none, Unknown where it cannot be had."""
        live = look.live["queue"]
        return sqlite_set.copy_live(live, scratch) if places.identity(live) else None

    def prepare(self, job: Job) -> Iterator[Step]:
        """Unpack, seal, prove what was sealed: its hash is taken once."""
        yield unpacking(self, job, "Unpack the queue backup and check its hash")
        yield Step("Give the restored database its owner and make it durable", lambda: self._seal(job))
        yield Step(
            "The restored database passes its integrity check",
            lambda: self._is_sound(job),
            kind="check",
            covers="Database integrity check passes",
        )
        yield Step("The restored database is a PACS Bridge queue", lambda: self._is_queue(job), kind="check")
        yield Step("List the backup's messages by id, to count them against the stopped queue", lambda: self._list(job))
        if job.look.carry_over:
            yield from carry_over.before_stop(job)

    def swap(self, job: Job) -> Iterator[Step]:
        """The whole set aside, the one file in."""
        yield Step("Set the live database aside with its -wal", lambda: job.target.set_aside("queue", *SIDECARS))
        if job.look.carry_over:
            yield from carry_over.while_down(job)
        yield Step("Put the restored database in place", lambda: job.target.put("queue", *SIDECARS))

    def afterwards(self, job: Job) -> Iterator[Step]:
        """The count that the plan could only foresee: what was set aside is complete and changes no more."""
        yield Step("Count what is sent again and what is lost", lambda: _counted(job), phase="after")

    def _list(self, job: Job) -> str:
        """What cannot be listed cannot be counted later, which is no reason to restore nothing."""
        staging = job.target.staging("queue")
        places.remove_tree(staging / OUTLINE)
        try:
            return replaying.outline(carry_over.sealed(job), staging / OUTLINE)
        except (RecoverError, OSError) as error:
            places.remove_tree(staging / OUTLINE)
            return f"they cannot be listed, so what is sent again will stay unknown: {safe(error)}"

    def _is_sound(self, job: Job) -> str:
        """The plan's own check, where these are the bytes that it was done on; else another."""
        database, seal = carry_over.sealed(job), job.target.sealed("queue")
        planned = job.choices["queue"].content_sha256
        if planned and seal and seal.sha256 == trees.digest_of(database, planned):
            return f"integrity_check: ok when it was planned, and these are the same bytes, SHA-256 {planned[:16]}"
        return sqlite.integrity(database)

    def _is_queue(self, job: Job) -> str:
        database = carry_over.sealed(job)
        queue_db.must_be_queue(database)
        return ", ".join(f"{safe(name)}: {count(rows, 'row')}" for name, rows in sqlite.tables(database))

    def _seal(self, job: Job) -> str:
        staging = job.target.staging("queue")
        return job.target.seal_as("queue", staging / NAME, lambda _: lambda _: 0o600)


def ttl(look: Look) -> float:
    """Seconds that a message may wait by the configuration that will be live; the service's default where unreadable.

    Its variables have the values that the service gets.
    """
    from pacs_recover.components.config import TREE
    from pacs_recover.formats import settings

    try:
        home = look.restored["config"] / TREE if "config" in look.restored else look.live["config"]
        tree = settings.read(home / look.site.live.config_file)
        return settings.message_ttl(settings.expand(tree, look.environment).tree)
    except (OSError, RecoverError):
        return settings.DEFAULT_TTL


def _counted(job: Job) -> str:
    """The final numbers, or that they are unknown: the site is restored and proven, whatever comes of counting."""
    try:
        return _count(job)
    except Exception as error:
        why = safe(error) if isinstance(error, RecoverError | OSError) else type(error).__name__
        return f"unknown what was sent again or lost: {why}"


def _count(job: Job) -> str:
    """Compare the backup's outline with the queue that was set aside, as of that moment. RecoverError, OSError."""
    listed = job.target.staging("queue") / OUTLINE
    if places.identity(listed) is None:
        raise RecoverError("the backup's messages were not listed before the stop")
    effect, aside = carry_over.set_aside(job)
    if aside is None:
        return (
            replaying.compare(listed, None, effect.at, ttl(job.look)).sentence(final=True) + "; no queue lived before"
        )
    with carry_over.whole(aside, job) as old:
        found = replaying.compare(listed, old, effect.at, ttl(job.look), carry_over=job.look.carry_over)
    return f"{found.sentence(final=True)}; counted as of the stop against {safe(aside)}, which is kept"


def _rehearsed(found: Comparison, backup: Path, live: Path, scratch: Path, took: float) -> Comparison:
    """The same, with what came of carrying over on copies: what fails here would fail while the service is down."""
    try:
        done = carry_over.rehearse(backup, live, scratch, took)
    except (RecoverError, OSError) as error:
        return replace(found, findings=(_no_carrying(str(error)),))
    return replace(found, findings=(Fact("carry-over", done.sentence()),), carry_over_seconds=done.seconds)


def _no_carrying(why: str) -> Fact:
    return Fact("carry-over", f"nothing can be carried over: {safe(why)}; {carrying.WITHOUT}", "bad")


def _unknown(why: str, look: Look) -> Comparison:
    """Nothing can be counted, which blocks no restore but one that carries over; it has to be accepted."""
    what = f"{why}: what would be sent again or lost is unknown"
    return Comparison(
        (f"queue: {what}",),
        Question("The unknown replay risk is accepted", what),
        replay=dict.fromkeys(replaying.NUMBERS),
        findings=(_no_carrying(why),) if look.carry_over else (),
    )


QUEUE = Queue()
