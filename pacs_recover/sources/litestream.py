"""A Litestream replica of the queue: every point in time that it can really give is a backup."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.formats.lz4_frame import Foreign
from pacs_recover.formats.streams import CHUNK
from pacs_recover.model import Backup, Fact
from pacs_recover.sources import REPLICA, Problem, names
from pacs_recover.sources import litestream_plan as planning
from pacs_recover.sources.litestream_plan import Range, Replica, Segment
from pacs_recover.sources.litestream_restore import Reached, from_chain, from_recipe, head_of
from pacs_recover.sources.litestream_store import Store, Vanished
from pacs_recover.text import count, precise, safe

COMPONENT = "queue"
TRIES = 3
"""How often a point is planned anew when its files vanish meanwhile, as retention merges and removes them."""
FINE = 10_000
"""How many points, the newest, are listed one by one; of older ones those that compaction keeps, or one a minute."""
AHEAD = 64
"""Headers that are asked for together where that is faster."""
KEPT = "transaction/"
"""Begins the key of a 0.5 point, whose files change while it stays; a 0.3 point's key is its last segment's."""


class Position(Struct, frozen=True):
    """How far a replica is."""

    generations: tuple[str, ...]
    """Of 0.3, all that there are."""
    transaction: int
    """Of 0.5, the last one."""

    def __str__(self) -> str:
        """As evidence."""
        parts = [f"transaction {self.transaction:016x}"] if self.transaction else []
        parts += [count(len(self.generations), "generation")] if self.generations else []
        return " and ".join(parts) or "empty"


class LitestreamSource:
    """The points of one replica, written by 0.3, by 0.5, or by one after the other."""

    kind = REPLICA
    proof = "no recorded hash of the database; the checksum of every file of the replica"

    def __init__(self, name: str, store: Store, database: Path = Path("/var/lib/pacs_bridge/queue.db")) -> None:
        self.name = name
        self.store = store
        self.database = database
        """What Litestream replicates; only for the commands that hints name."""

    def listing(self, component: str | None = None) -> Iterator[Backup | Problem]:
        """Every point that can be had, the newest first, then what is missing."""
        if component not in (None, COMPONENT):
            return
        failed: list[SourceError] = []
        replica = planning.read(self.store, failed)
        yield from (Problem(safe(self.store.url), error.message, error.hint) for error in failed)
        ids = names.Ids()
        yield from self._transactions(replica, ids)
        yield from self._segments(replica, ids)
        for hole, lost in planning.holes(replica):
            yield Problem(
                safe(self.store.url), f"{hole.message}: {count(lost, 'later point')} cannot be restored", AFTER
            )
        for gap in planning.breaks(replica):
            yield Problem(safe(self.store.url), gap, AFTER)

    @contextmanager
    def open(self, backup: Backup, scratch: Path) -> Iterator[Restored]:
        """The database as it was at that point, restored into ``scratch`` first; a ``Restored`` with what was reached.

        Raises SourceError, BadBackup that names the damaged or missing file; here and by later reads.
        """
        try:
            fd, name = tempfile.mkstemp(prefix=".point-", suffix=".db", dir=scratch)
        except OSError as error:
            raise SourceError(f"cannot write into {safe(scratch)}: {error.strerror}", "is there room?") from error
        try:
            with open(fd, "r+b", closefd=True) as out:
                reached = self._restore(backup, out.fileno(), Path(name))
            with Restored(Path(name), reached) as file:
                yield file
        finally:
            Path(name).unlink(missing_ok=True)

    def _read(self) -> Replica:
        """All of it, or SourceError."""
        failed: list[SourceError] = []
        replica = planning.read(self.store, failed)
        if failed:
            raise failed[0]
        return replica

    def _restore(self, backup: Backup, out: int, path: Path) -> Reached:
        for last in (False,) * (TRIES - 1) + (True,):
            os.ftruncate(out, 0)
            try:
                return self._made(backup.key, out, path)
            except Vanished as error:
                if last:
                    raise SourceError(
                        f"the replica changes faster than it can be read: {error.message}", AGAIN
                    ) from None
            except Foreign as error:
                raise Foreign(error.message, self._command(backup)) from None
        raise AssertionError

    def _made(self, key: str, out: int, path: Path) -> Reached:
        """One attempt, with the files as they are now."""
        failed: list[SourceError] = []
        replica = planning.read(self.store, failed)
        try:
            if key.startswith(KEPT):
                transaction = int(key.removeprefix(KEPT), 16)
                found = from_chain(self.store, planning.chain(replica, transaction), out)
                return replace(found, at=min(found.at, self._finest(replica, transaction, found.at)))
            return from_recipe(self.store, planning.recipe(replica, key), out, path)
        except Vanished:
            raise
        except RecoverError as error:
            if failed and not isinstance(error, Foreign):  # what seems missing may lie where nothing could be read
                raise failed[0] from error
            raise

    def _finest(self, replica: Replica, transaction: int, otherwise: datetime) -> datetime:
        """When a transaction was read from the log: a snapshot of it, or a merged file, may tell a later time."""
        for one in planning.transactions(replica)[transaction]:
            with suppress(Vanished):
                return head_of(self.store, one).taken_at
        return otherwise

    def _command(self, backup: Backup) -> str:
        """What restores a point by Litestream's own binary."""
        if backup.key.startswith(KEPT):
            transaction = backup.key.removeprefix(KEPT)
            return f"restore it with Litestream: litestream restore -o queue.db -txid {transaction} '{self.store.url}'"
        at = backup.taken_at + timedelta(milliseconds=1)
        return (
            "restore it with Litestream 0.3, whose configuration has the key (the newest point without -timestamp): "
            f"litestream restore -config /etc/litestream.yml -o queue.db -timestamp {precise(at)} {self.database}"
        )

    def _transactions(self, replica: Replica, ids: names.Ids) -> Iterator[Backup | Problem]:
        """The points of 0.5, with the times that their files' headers say."""
        points = list(planning.transactions(replica).items())[::-1]
        wanted = [files for n, (_, files) in enumerate(points) if n < FINE or files[-1].level > 1]
        newer: datetime | None = None
        for found in self._ahead(wanted):
            if isinstance(found, Backup):
                odd = newer is not None and found.taken_at > newer
                newer = found.taken_at
                yield _named(found, ids, (DISORDER,) if odd else ())
            elif found:
                yield found

    def _ahead(self, wanted: list[list[Range]]) -> Iterator[Backup | Problem | None]:
        """Each point in its order, a few at once where the store serves that better."""
        if self.store.parallel < 2:
            yield from map(self._transaction, wanted)
            return
        rest = iter(wanted)
        with ThreadPoolExecutor(self.store.parallel, "litestream") as pool:
            while batch := list(islice(rest, AHEAD)):
                yield from pool.map(self._transaction, batch)

    def _transaction(self, files: list[Range]) -> Backup | Problem | None:
        """The point at which these files end; None where all of them vanished since they were listed."""
        for one in files:
            try:
                found = head_of(self.store, one)
            except Vanished:
                continue
            except RecoverError as error:
                return Problem(safe(one.entry.key), error.message, error.hint)
            return self._point(f"{KEPT}{one.last:016x}", found.taken_at, found.size)
        return None

    def _segments(self, replica: Replica, ids: names.Ids) -> Iterator[Backup]:
        minute = ""
        for n, one in enumerate(planning.segments(replica)):
            at = one.entry.modified
            if n >= FINE and minute == f"{at:%Y%m%d%H%M}":
                continue
            minute = f"{at:%Y%m%d%H%M}"
            yield _named(self._segment(one), ids, () if replica.generations[one.generation].timely else (TIMES_LOST,))

    def _segment(self, one: Segment) -> Backup:
        return self._point(one.entry.key, one.entry.modified, None)

    def _point(self, key: str, at: datetime, size: int | None) -> Backup:
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        wanted = f"{COMPONENT}/{at:%Y%m%d_%H%M%S}.{at.microsecond // 1000:03}@{self.name}"
        return Backup(id=wanted, component=COMPONENT, source=self.name, key=key, taken_at=at, size=size, format="db")


AFTER = "points before it and from the next snapshot on can be restored: pacs-recover points"
AGAIN = "try again, or stop Litestream first"
DISORDER = Fact("time", "later than the next point's: one of the two headers may be damaged", "warn")
QUIET = "nothing was written, or Litestream did not run"
TIMES_LOST = Fact("time", "the files' times contradict their order: a copy of the replica lost them", "warn")


class Restored(io.BufferedReader):
    """A restored database, for reading."""

    def __init__(self, path: Path, reached: Reached) -> None:
        """Open it. OSError."""
        super().__init__(io.FileIO(path, "rb"), CHUNK)
        self.path = path
        """Where it is until it is closed."""
        self.reached = reached
        """The point that it really is."""


def missing_between(older: Backup, newer: Backup) -> tuple[str, bool]:
    """Why a replica may have no point between two that follow each other, and whether that is sure to matter."""
    ends = [int(one.key.removeprefix(KEPT), 16) if one.key.startswith(KEPT) else None for one in (older, newer)]
    if None not in ends:
        merged = ends[1] - ends[0] - 1  # type: ignore[operator]
        return (f"{count(merged, 'transaction')} in it can no longer be had apart" if merged > 0 else QUIET), False
    if ends != [None, None]:
        return "another version of Litestream began", True
    anew = older.key.split("/")[1] != newer.key.split("/")[1]
    return ("Litestream began anew: what was written meanwhile came to it as one" if anew else QUIET), anew


def position(source: LitestreamSource) -> Position:
    """How far the replica is. SourceError."""
    replica = source._read()
    last = max((one.last for one in replica.ranges), default=0)
    return Position(tuple(replica.generations), last)


def newest(source: LitestreamSource, noted: Position, since: datetime) -> tuple[Backup | None, Backup | None]:
    """The newest point, if Litestream made it after ``since`` in a history of its own, and the last one before.

    0.3 does so by a generation that was not there when the position was noted, and nothing of another is in it:
    then there is none before. 0.5 goes on counting; its times are of the host's clock. SourceError, BadBackup.
    """
    replica, ids = source._read(), names.Ids()
    segment = next(source._segments(replica, ids), None)
    fresh = segment is not None and segment.key.split("/")[1] not in noted.generations
    new: Backup | None = None
    for point in source._transactions(replica, ids):
        if isinstance(point, Problem):
            raise SourceError(f"{point.place}: {point.reason}", point.hint)
        if point.taken_at < since or int(point.key.removeprefix(KEPT), 16) <= noted.transaction:
            return (new, point) if new or not fresh else (segment, None)
        new = new or point
    return (new, None) if new or not fresh else (segment, None)


def _named(backup: Backup, ids: names.Ids, findings: tuple[Fact, ...]) -> Backup:
    return replace(backup, id=ids.unique(backup.id, backup.key), findings=findings)
