"""The replay risk once more, by plain sets in Python: what the questions in SQL are held against."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pacs_recover.formats.replay import Replay
from pacs_recover.formats.replay_tally import AGES, Counts
from tests.formats.queue_files import SYNTHETIC, queue

FATES = ("resent", "dead_lettered", "lost_since", "carried")


class Message(NamedTuple):
    """A row of either table; one without a state is a dead letter."""

    id: str
    state: int | None
    created: str
    destination: str = "RIS"
    type: str | None = "ORM^O01"


def write(path: Path, messages: Iterable[Message]) -> Path:
    """A queue of just these."""
    queue(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous=OFF")
        for m in messages:
            if m.state is None:
                database.execute(
                    "INSERT INTO dead_letter_queue(id, destination, payload, created_at, reason, dead_lettered_at,"
                    " message_type) VALUES (?, ?, ?, ?, 'expired', ?, ?)",
                    (m.id, m.destination, SYNTHETIC, m.created, m.created, m.type),
                )
            else:
                database.execute(
                    "INSERT INTO message_queue(id, destination, payload, state, created_at, scheduled_at, message_type)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (m.id, m.destination, SYNTHETIC, m.state, m.created, m.created, m.type),
                )
    return path


def read(path: Path) -> list[Message]:
    """Every message of a queue that nobody writes."""
    with closing(sqlite3.connect(path)) as database:
        waiting = database.execute("SELECT id, state, created_at, destination, message_type FROM message_queue")
        dead = database.execute("SELECT id, NULL, created_at, destination, message_type FROM dead_letter_queue")
        return [Message(*row) for row in (*waiting, *dead)]


def completed(backup: Iterable[Message], live: Iterable[Message]) -> list[Message]:
    """The backup with what only the live queue has."""
    backup = list(backup)
    known = {m.id for m in backup}
    return [*backup, *(m for m in live if m.id not in known)]


def by_hand(
    backup: Iterable[Message], live: Iterable[Message], now: datetime, ttl: float, *, carry_over: bool = False
) -> Replay:
    """What comparing these two by id gives, without a limit on how many names are told."""
    backup, live = list(backup), list(live)
    known = {m.id for m in backup}
    held = {m.id for m in live if waits(m)}
    found: list[tuple[str, Message]] = []
    for m in backup:
        if waits(m) and age(m, now) > ttl:
            found.append(("dead_lettered", m))
        elif waits(m) and m.id not in held:
            found.append(("resent", m))
    found += [("carried" if carry_over else "lost_since", m) for m in live if m.id not in known]
    totals = Counter(fate for fate, _ in found)
    return Replay(
        **{fate: totals[fate] for fate in FATES},
        unsent_lost=sum(fate == "lost_since" and waits(m) for fate, m in found),
        by_destination=broken_down((m.destination, fate) for fate, m in found),
        by_type=broken_down((m.type or "none", fate) for fate, m in found),
        by_age=dict.fromkeys(AGES, Counts()) | broken_down((bucket(m, now), fate) for fate, m in found),
    )


def waits(m: Message) -> bool:
    """Whether the service would send it."""
    return m.state in (0, 1, 2)


def age(m: Message, now: datetime) -> float:
    """Seconds since the service took it in; none for a time that cannot be read."""
    try:
        return (now - datetime.strptime(m.created, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)) / timedelta(seconds=1)
    except ValueError:
        return float("-inf")


def bucket(m: Message, now: datetime) -> str:
    """Which of ``AGES``."""
    old = age(m, now)
    if old == float("-inf"):
        return "unknown"
    return "under_1_hour" if old <= 3600 else "under_1_day" if old <= 86400 else "older"


def broken_down(pairs: Iterable[tuple[str, str]]) -> dict[str, Counts]:
    """Counts by name."""
    counted = Counter(pairs)
    names = {name for name, _ in counted}
    return {name: Counts(**{fate: counted[name, fate] for fate in FATES}) for name in names}
