"""Counting what would become of messages by destination, type and age, in flat memory."""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Literal

from msgspec import Struct

from pacs_recover.formats.queue_db import MOST
from pacs_recover.text import safe

Fate = Literal["resent", "dead_lettered", "lost_since", "carried"]
AGES = {"under_1_hour": "under 1 hour", "under_1_day": "under 1 day", "older": "older", "unknown": "unknown"}
"""How old messages are, by when the service took them in; ``unknown`` where that time cannot be read."""
OTHERS, UNNAMED = "others", "none"
LONGEST = 60
"""Characters of a destination or type that are kept: longer ones that begin alike are counted together."""
TALLY = f"""
SELECT substr({{column}}, 1, {LONGEST + 1}), substr({{beside}}, 1, {LONGEST + 1}), fate, waits, age, count(*)
FROM ({{rows}}) WHERE fate IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1
"""  # noqa: S608
MANY = 10_000
"""Message types that are counted while the queue is read for its destinations; HL7 has a few hundred."""


class Counts(Struct, frozen=True, kw_only=True):
    """Messages of one destination, type or age, by what would become of them."""

    resent: int = 0
    dead_lettered: int = 0
    lost_since: int = 0
    carried: int = 0


Breakdown = Mapping[str, Counts]


Row = tuple[str, int, str, int]
"""A fate, whether they wait to be sent, an age, and how many."""


class Tally:
    """Counts by name in flat memory: of all names only the largest are ever kept."""

    def __init__(self) -> None:
        self.total: dict[str, int] = dict.fromkeys(Counts.__struct_fields__, 0)
        self.ages = {age: dict(self.total) for age in AGES}
        self.unsent_lost = 0
        self._others = dict(self.total)
        self._largest: list[tuple[int, int, str, dict[str, int]]] = []

    def add(self, name: str, rows: Iterable[Row], serial: int) -> None:
        """All rows of one name; names come one after the other."""
        found = dict.fromkeys(self.total, 0)
        for fate, waits, age, number in rows:
            for counts in (found, self.total, self.ages[age]):
                counts[fate] += number
            self.unsent_lost += number if waits and fate == "lost_since" else 0
        heapq.heappush(self._largest, (sum(found.values()), -serial, name, found))
        if len(self._largest) > MOST:
            _add(self._others, heapq.heappop(self._largest)[3])

    @property
    def named(self) -> dict[str, Counts]:
        """The largest, largest first; names that look the same once they are harmless are one."""
        found: dict[str, dict[str, int]] = {}
        for _, _, name, counts in sorted(self._largest, reverse=True):
            _add(found.setdefault(name, dict.fromkeys(counts, 0)), counts)
        if any(self._others.values()):
            _add(found.setdefault(OTHERS, dict.fromkeys(self._others, 0)), self._others)
        return {name: Counts(**counts) for name, counts in found.items()}


def _add(to: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, number in counts.items():
        to[name] += number


def tallies(database: sqlite3.Connection, rows: str, times: Mapping[str, str]) -> tuple[Tally, Tally]:
    """By destination and by type, in one reading of the rows; in two where there are too many types to remember."""
    destinations, types, noted = Tally(), Tally(), _Noted()
    asked = database.execute(TALLY.format(column="destination", beside="message_type", rows=rows), times)
    for serial, (name, group) in enumerate(_by_name(asked)):
        destinations.add(_name(name), map(noted.note, group), serial)
    if noted.too_many:
        asked = database.execute(TALLY.format(column="message_type", beside="NULL", rows=rows), times)
    for serial, (name, group) in enumerate(_by_name(asked if noted.too_many else noted)):
        types.add(_name(name), (row[2:] for row in group), serial)
    return destinations, types


def _by_name(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, Iterator[tuple[Any, ...]]]]:
    return groupby(rows, key=lambda row: row[0])


class _Noted:
    """Counts by type, noted while others are counted; no more than ``MANY`` types are held."""

    def __init__(self) -> None:
        self._found: dict[Any, Counter[tuple[str, int, str]]] = {}

    def note(self, row: tuple[Any, ...]) -> Row:
        """Count a row of ``TALLY`` by what is beside its name; what is left of it."""
        _, beside, fate, waits, age, number = row
        if not self.too_many:
            self._found.setdefault(beside, Counter())[fate, waits, age] += number
        return fate, waits, age, number

    @property
    def too_many(self) -> bool:
        """Whether what was noted is not all."""
        return len(self._found) > MANY

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Rows as those of ``TALLY``, in SQLite's order of names: none, texts, blobs."""
        for name in sorted(self._found, key=lambda name: (name is not None, isinstance(name, bytes), name or "")):
            for (fate, waits, age), number in self._found[name].items():
                yield name, None, fate, waits, age, number


def _name(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return UNNAMED if text is None or text == "" else safe(text, LONGEST)
