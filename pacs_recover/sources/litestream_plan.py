"""Which points in time a Litestream replica can give, and from which of its files each one is made."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from pacs_recover.errors import BadBackup, RecoverError, SourceError
from pacs_recover.sources.litestream_store import Entry, Store
from pacs_recover.text import count, safe

RANGE = re.compile(r"(?:ltx/([0-9])|000([0-9]))/([0-9a-f]{16})-([0-9a-f]{16})\.ltx")
SNAPSHOT = re.compile(r"generations/([0-9a-f]{16})/snapshots/([0-9a-f]{8})\.snapshot\.lz4")
SEGMENT = re.compile(r"generations/([0-9a-f]{16})/wal/([0-9a-f]{8})_([0-9a-f]{8,16})\.wal\.lz4")
PREFIXES = ("generations/", "ltx/", *(f"{level:04x}/" for level in range(10)))
"""0.3; 0.5 in files; 0.5 in S3 (which has another layout), also where the bucket was copied to disk."""
WHOLE = 9
"""The level of 0.5's snapshots."""
EARLIER = "choose an earlier point in time: pacs-recover points"


class Gone(SourceError):
    """A point that was listed, and that the replica does not hold any more."""


class Range(Struct, frozen=True):
    """One file of a 0.5 replica: what the transactions from ``first`` to ``last`` changed."""

    level: int
    """0 as they came, 1 to 3 compacted, 9 the whole database."""
    first: int
    last: int
    entry: Entry


class Snapshot(Struct, frozen=True):
    """A copy of the database file in a 0.3 replica, taken while the log with this index was written."""

    index: int
    entry: Entry


class Segment(Struct, frozen=True):
    """A piece of the write-ahead log with this index in a 0.3 replica, from a byte offset on."""

    generation: str
    index: int
    offset: int
    entry: Entry


class Recipe(Struct, frozen=True):
    """What a 0.3 point is made from."""

    snapshot: Snapshot
    segments: tuple[Segment, ...]


class Generation:
    """An unbroken run of a 0.3 replica: its snapshots and segments, by index and offset."""

    def __init__(self, snapshots: Iterable[Snapshot], segments: Iterable[Segment]) -> None:
        self.snapshots = sorted(snapshots, key=lambda one: one.index)
        self.segments = sorted(segments, key=lambda one: (one.index, one.offset))
        times = [one.entry.modified for one in self.segments]
        self.timely = times == sorted(times)
        """Whether the files' times agree with their order: a copy may have lost them."""
        every = times + [one.entry.modified for one in self.snapshots]
        self.begins, self.ends = min(every), max(every)
        self._since = self._unbroken()

    def _unbroken(self) -> dict[int, int]:
        """For each index whose log is there from its beginning: the index from which on none is missing."""
        since: dict[int, int] = {}
        for one in self.segments:
            if one.offset == 0:
                since[one.index] = since.get(one.index - 1, one.index)
        return since

    def base(self, segment: Segment) -> Snapshot | None:
        """The newest snapshot that this segment, and those before it, can safely be replayed over.

        A snapshot may hold pages of commits that were not uploaded yet: it is whole only together with a segment
        written after it. Where the times are lost, that is sure only for a later log.
        """
        oldest = self._since.get(segment.index)
        for one in reversed(self.snapshots):
            after = one.entry.modified < segment.entry.modified if self.timely else one.index < segment.index
            if one.index <= segment.index and after:
                return one if oldest is not None and one.index >= oldest else None
        return None

    def recipe(self, segment: Segment) -> Recipe | None:
        """What the point at the end of this segment is made from; None where the replica does not hold that."""
        base = self.base(segment)
        if base is None:
            return None
        end = segment.index, segment.offset
        return Recipe(base, tuple(s for s in self.segments if base.index <= s.index and (s.index, s.offset) <= end))


class Replica:
    """The files of a replica by what their names say."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.ranges: list[Range] = []
        snapshots: dict[str, list[Snapshot]] = {}
        segments: dict[str, list[Segment]] = {}
        for entry in entries:
            if found := RANGE.fullmatch(entry.key):
                one_range = Range(int(found[1] or found[2]), int(found[3], 16), int(found[4], 16), entry)
                if 0 < one_range.first <= one_range.last and (one_range.level < WHOLE or one_range.first == 1):
                    self.ranges.append(one_range)
            elif found := SNAPSHOT.fullmatch(entry.key):
                snapshots.setdefault(found[1], []).append(Snapshot(int(found[2], 16), entry))
            elif found := SEGMENT.fullmatch(entry.key):
                one = Segment(found[1], int(found[2], 16), int(found[3], 16), entry)
                segments.setdefault(found[1], []).append(one)
        if any(one.entry.key.startswith("ltx/") for one in self.ranges):  # two layouts are two databases' histories
            self.ranges = [one for one in self.ranges if one.entry.key.startswith("ltx/")]
        self.ranges.sort(key=lambda one: (one.last, one.first, one.level))
        self.generations = {
            name: Generation(snapshots.get(name, ()), segments.get(name, ()))
            for name in sorted(snapshots.keys() | segments.keys())
        }


def read(store: Store, failed: list[SourceError]) -> Replica:
    """All that a store holds of a replica; what could not be listed goes into ``failed``."""
    entries: list[Entry] = []
    for prefix in PREFIXES:
        try:
            entries.extend(store.list(prefix))
        except SourceError as error:
            if not entries and prefix == PREFIXES[0]:
                raise
            failed.append(error)
    return Replica(entries)


def transactions(replica: Replica) -> dict[int, list[Range]]:
    """The transactions that a chain of files leads to, oldest first, and the files that end there, finest first."""
    ends: dict[int, list[Range]] = {}
    reached = [0]
    for one in replica.ranges:
        before = bisect_left(reached, one.first - 1)
        if before < len(reached) and reached[before] < one.last:
            if reached[-1] != one.last:
                reached.append(one.last)
            ends.setdefault(one.last, []).append(one)
        elif one.last in ends:
            ends[one.last].append(one)
    return {last: sorted(files, key=lambda one: one.level) for last, files in ends.items()}


def chain(replica: Replica, transaction: int) -> tuple[Range, ...]:
    """The files that make the database as it was after a transaction, in their order: the binary's own choice.

    Raises Gone where no file ends there, BadBackup for a hole before it.
    """
    usable = [one for one in replica.ranges if one.last <= transaction]
    if not any(one.last == transaction for one in usable):
        raise Gone(f"transaction {transaction:016x} is not in the replica (any more)", "see: pacs-recover points")
    wholes = [one for one in usable if one.level == WHOLE]
    made = wholes[-1:]
    finer = [one for one in usable if one.level != WHOLE]
    at = made[0].last if made else 0
    while at < transaction:
        next_ones = [one for one in finer if one.first <= at + 1 and one.last > at]
        if not next_ones:
            raise hole(at, min(finer, key=lambda one: (one.first <= at + 1, one.first)))
        best = min(next_ones, key=lambda one: (-one.last, one.first, -one.level))
        made.append(best)
        at = best.last
    return tuple(made)


def hole(at: int, after: Range) -> BadBackup:
    """Transactions that no file holds."""
    return BadBackup(
        f"a file is missing: transactions {at + 1:016x} to {after.first - 1:016x}, "
        f"before {safe(after.entry.key)}, are in none",
        EARLIER,
    )


def holes(replica: Replica) -> Iterator[tuple[BadBackup, int]]:
    """Each hole behind which points are out of reach, and how many."""
    reachable = transactions(replica)
    lost: dict[int, set[int]] = {}
    nearest: dict[int, Range] = {}
    ends = sorted(reachable)
    for one in replica.ranges:
        if one.last not in reachable:
            at = bisect_left(ends, one.first)
            before = ends[at - 1] if at else 0
            lost.setdefault(before, set()).add(one.last)
            nearest.setdefault(before, one)
            nearest[before] = min(nearest[before], one, key=lambda range_: range_.first)
    for before, points in lost.items():
        yield hole(before, nearest[before]), len(points)


def segments(replica: Replica) -> Iterator[Segment]:
    """The 0.3 points that can be had, newest first: of segments with the same time the last.

    As with the binary, a time belongs to the generation that ends last of those that had begun by then.
    """
    ordered = sorted(replica.generations.values(), key=lambda one: one.ends, reverse=True)
    begun: datetime | None = None
    for generation in ordered:
        last: datetime | None = None
        for one in reversed(generation.segments):
            at = one.entry.modified
            if at == last or (begun is not None and at >= begun) or generation.base(one) is None:
                continue
            last = at
            yield one
        begun = min(begun, generation.begins) if begun else generation.begins


def breaks(replica: Replica) -> Iterator[str]:
    """What is missing in 0.3's generations, as far as names tell."""
    for name, generation in replica.generations.items():
        lost = [one for one in generation.segments if generation.base(one) is None]
        if not generation.snapshots:
            yield f"generation {name} has no snapshot: nothing in it can be restored"
        elif missing := _missing(generation):
            yield f"generation {name} has no {missing}: {count(len(lost), 'point')} cannot be restored"


def _missing(generation: Generation) -> str:
    """The first log, or beginning of one, that should be there and is not."""
    begun = {one.index for one in generation.segments if one.offset == 0}
    known = {one.index for one in generation.segments}
    if not known:
        return ""
    oldest = max(min(known), generation.snapshots[0].index)
    for index in range(oldest, max(known) + 1):
        if index not in begun:
            return f"write-ahead log {index:08x}" if index not in known else f"beginning of write-ahead log {index:08x}"
    return ""


def recipe(replica: Replica, key: str) -> Recipe:
    """What the 0.3 point at the end of the segment with this key is made from.

    Raises Gone where it is not there, BadBackup for a hole before it.
    """
    said = SEGMENT.fullmatch(key)
    generation = replica.generations.get(said[1]) if said else None
    for one in generation.segments if generation else ():
        if generation and one.entry.key == key:
            made = generation.recipe(one)
            if made is None:
                raise no_base(generation, one)
            return made
    raise Gone(f"segment {safe(key)} is not in the replica (any more)", "see: pacs-recover points")


def no_base(generation: Generation, segment: Segment) -> RecoverError:
    """Why a segment cannot be replayed over any snapshot."""
    if missing := _missing(generation):
        return BadBackup(f"generation {segment.generation} has no {missing}", EARLIER)
    return BadBackup(
        f"no snapshot of generation {segment.generation} can safely be brought to {safe(segment.entry.key)}",
        "choose a later point in time: pacs-recover points",
    )
