"""The message queue: one SQLite database, always moved together with its -wal, -shm and -journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pacs_recover.components import Comparison, Job, Look, Unpack, unpacking
from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.events import Question
from pacs_recover.formats import archive, queue_db, settings, sqlite, sqlite_set, streams
from pacs_recover.formats import replay as replaying
from pacs_recover.formats.replay import Replay
from pacs_recover.formats.sqlite_set import Unknown
from pacs_recover.formats.streams import Reader
from pacs_recover.model import Amount, Backup, Preview, Step
from pacs_recover.target import places
from pacs_recover.text import count, safe

NAME = "queue.db"
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
            done = 0
            for done in streams.copy(raw, out):
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

    def compare(self, content: Path, look: Look, scratch: Path) -> Comparison:
        """What would be sent again, dead-lettered and lost, by id against the live queue, or that it is unknown."""
        try:
            held = self._live(look, scratch)
            if isinstance(held, Unknown):
                return _unknown(f"the live queue cannot be read ({held.reason})")
            replay = replaying.compare(content / NAME, held, datetime.now(UTC), ttl(look))
        except (RecoverError, OSError) as error:  # the backup was judged before: this is about what lives
            return _unknown(f"the live queue cannot be compared ({safe(error)})")
        risky = replay.resent or replay.dead_lettered or replay.lost_since
        question = Question("The replay risk is accepted", replay.sentence()) if risky else None
        created = () if held else ("queue: nothing lives there now; it will be created",)
        return Comparison((*created, f"queue: {replay.sentence()}"), question, replay=_numbers(replay))

    def _live(self, look: Look, scratch: Path) -> Path | Unknown | None:
        """A private copy of the live queue; None where there is none, Unknown where it cannot be had."""
        live = look.live["queue"]
        return sqlite_set.copy_live(live, scratch) if places.identity(live) else None

    def prepare(self, job: Job) -> Iterator[Step]:
        """Unpack, prove, seal."""
        yield unpacking(self, job, "Unpack the queue backup and check its hash")
        yield Step(
            "The restored database passes its integrity check",
            lambda: sqlite.integrity(job.target.staging("queue") / NAME),
            kind="check",
            covers="Database integrity check passes",
        )
        yield Step("The restored database is a PACS Bridge queue", lambda: self._is_queue(job), kind="check")
        yield Step("Give the restored database its owner and make it durable", lambda: self._seal(job))

    def swap(self, job: Job) -> Iterator[Step]:
        """The whole set aside, the one file in."""
        yield Step("Set the live database aside with its -wal", lambda: job.target.set_aside("queue", *SIDECARS))
        yield Step("Put the restored database in place", lambda: job.target.put("queue", *SIDECARS))

    def _is_queue(self, job: Job) -> str:
        found = queue_db.content(job.target.staging("queue") / NAME)
        return ", ".join(f"{safe(name)}: {count(rows, 'row')}" for name, rows in found.tables)

    def _seal(self, job: Job) -> str:
        staging = job.target.staging("queue")
        return job.target.seal_as("queue", staging / NAME, lambda _: lambda _: 0o600)


def ttl(look: Look) -> float:
    """Seconds that the live configuration lets a message wait; the service's default where it cannot be read."""
    try:
        return settings.message_ttl(settings.read(look.live["config"] / look.site.live.config_file))
    except (OSError, RecoverError):
        return settings.DEFAULT_TTL


def _numbers(replay: Replay | None) -> dict[str, int | None]:
    names = ("resent", "dead_lettered", "lost_since")
    return {name: getattr(replay, name) if replay else None for name in names}


def _unknown(why: str) -> Comparison:
    """Nothing can be counted, which never blocks a restore but has to be accepted."""
    what = f"{why}: what would be sent again or lost is unknown"
    return Comparison((f"queue: {what}",), Question("The unknown replay risk is accepted", what), replay=_numbers(None))


QUEUE = Queue()
