"""PACS Bridge's queue database: whether a file is one, and what it holds, without ever reading a message."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from msgspec import Struct

from pacs_recover.errors import BadBackup
from pacs_recover.formats import sqlite
from pacs_recover.model import Fact, FactState, Preview
from pacs_recover.text import count, safe

QUEUE, DEAD_LETTERS = "message_queue", "dead_letter_queue"
COLUMNS = {
    QUEUE: (
        *("id", "destination", "payload", "priority", "state", "created_at", "scheduled_at", "attempt_count"),
        *("last_error", "correlation_id", "message_type"),
    ),
    DEAD_LETTERS: (
        *("id", "destination", "payload", "priority", "created_at", "attempt_count", "reason", "dead_lettered_at"),
        *("error_history", "correlation_id", "message_type"),
    ),
}
"""The tables and columns that the service makes (its ``queue_manager.cpp``)."""
REQUIRED = ("id", "destination", "payload", "priority", "state", "created_at", "scheduled_at")
"""The columns without which no row of ``message_queue`` can be sent."""
INDEXES = (
    "idx_queue_state",
    "idx_queue_destination",
    "idx_queue_scheduled",
    "idx_queue_priority",
    "idx_dlq_destination",
)
STATES = ("pending", "processing", "retry_scheduled", "delivered", "dead_letter")
"""By the number that the service stores."""
UNSENT = (0, 1, 2)
"""States whose rows are sent, or sent again, once the service starts."""
UNSENT_STATES = tuple(STATES[number] for number in UNSENT)
MOST = 20
"""How many destinations, tables or odd states are named one by one."""
WELL_FORMED = """
created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'
AND julianday(substr(created_at, 1, 19)) IS NOT NULL
"""
"""Times as the service writes them, UTC: they sort as text."""
TIMES = f"""
SELECT min(time), max(time), count(time) FROM (
    SELECT CASE WHEN {WELL_FORMED} THEN substr(created_at, 1, 40) END AS time FROM message_queue NOT INDEXED LIMIT -1
)
"""  # noqa: S608
"""By the limit, which is none, SQLite finds each row's time once, instead of for each of the three."""
STATE_COUNTS = """
SELECT CASE typeof(state) WHEN 'integer' THEN state END, count(*) FROM message_queue GROUP BY state
"""
DESTINATIONS = """
SELECT substr(destination, 1, 200), count(*) AS messages FROM message_queue
GROUP BY destination ORDER BY messages DESC, destination LIMIT ?
"""


OLDEST_UNSENT = f"""
SELECT min(substr(created_at, 1, 40)) FROM message_queue NOT INDEXED WHERE state IN {UNSENT} AND {WELL_FORMED}
"""  # noqa: S608


class Depth(Struct, frozen=True, kw_only=True):
    """How much a queue has yet to send, in numbers."""

    states: dict[str, int]
    """As of ``Content``."""
    dead_letters: int
    oldest: datetime | None
    """When the oldest message was made that has yet to be sent; None where there is none that can be read."""

    @property
    def waiting(self) -> int:
        """Messages that have yet to be sent, or sent again."""
        return sum(self.states[name] for name in UNSENT_STATES)


class Content(Struct, frozen=True, kw_only=True):
    """What a queue database holds, in numbers."""

    tables: tuple[tuple[str, int], ...]
    """Every table with its number of rows, whatever it is called."""
    states: dict[str, int]
    """Rows of ``message_queue`` by state; the service's five are always there, others are ``state 7``."""
    destinations: tuple[tuple[str, int], ...]
    """The largest, at most ``MOST``, with their rows of ``message_queue``."""
    oldest: datetime | None
    newest: datetime | None
    """When the oldest and newest rows of ``message_queue`` were made; None where there is none that can be read."""
    unreadable_times: int
    """Rows of ``message_queue`` whose time is not written as the service writes it."""
    differences: tuple[str, ...]
    """How its schema differs from the one that the service makes."""

    @property
    def messages(self) -> int:
        """Rows of ``message_queue``."""
        return dict(self.tables)[QUEUE]


def must_be_queue(path: Path) -> None:
    """See that a private database is a PACS Bridge queue. BadBackup that says what was found instead; SourceError."""
    with sqlite.reading(path) as database:
        _must_be_queue(database, path)


def _must_be_queue(database: sqlite3.Connection, path: Path) -> None:
    found = sqlite.names(database, "table")
    if QUEUE not in found:
        has = f"it has {_listed(found)}" if found else "it has no tables at all"
        raise BadBackup(
            f"{safe(path.name)} is a database, but not a PACS Bridge queue: no table {QUEUE}; {has}",
            sqlite.OTHER_BACKUP,
        )
    missing = [name for name in REQUIRED if name not in _columns(database, QUEUE)]
    if missing:
        raise BadBackup(
            f"{safe(path.name)} is not a PACS Bridge queue: its {QUEUE} has no column {', '.join(missing)}",
            sqlite.OTHER_BACKUP,
        )


def content(path: Path, stopping: Callable[[], bool] = sqlite.never) -> Content:
    """Count what a private queue database holds, in flat memory. BadBackup where it is no queue; SourceError."""
    with sqlite.reading(path, stopping=stopping) as database:
        _must_be_queue(database, path)
        oldest, newest, readable = database.execute(TIMES).fetchone()
        tables = tuple((name, sqlite.rows(database, name)) for name in sqlite.names(database, "table"))
        return Content(
            tables=tables,
            states=_states(database),
            destinations=tuple((str(name), number) for name, number in database.execute(DESTINATIONS, (MOST,))),
            oldest=moment(oldest),
            newest=moment(newest),
            unreadable_times=dict(tables)[QUEUE] - readable,
            differences=tuple(_differences(database)),
        )


def depth(path: Path) -> Depth:
    """Count what a private queue database has yet to send. BadBackup where it is no queue; SourceError."""
    with sqlite.reading(path) as database:
        _must_be_queue(database, path)
        has_dead = DEAD_LETTERS in sqlite.names(database, "table")
        return Depth(
            states=_states(database),
            dead_letters=sqlite.rows(database, DEAD_LETTERS) if has_dead else 0,
            oldest=moment(database.execute(OLDEST_UNSENT).fetchone()[0]),
        )


def _states(database: sqlite3.Connection) -> dict[str, int]:
    """Counted by number; what is no number is not repeated, as it can be anything."""
    found = dict.fromkeys(STATES, 0)
    for state, number in database.execute(STATE_COUNTS):
        name = _state_name(state)
        name = name if name in found or len(found) < MOST else "other states"
        found[name] = found.get(name, 0) + number
    return found


def by_state(states: dict[str, int]) -> dict[str, int]:
    """The service's states, and what is in any other as ``unknown``."""
    others = sum(number for name, number in states.items() if name not in STATES)
    return {name: states[name] for name in STATES} | ({"unknown": others} if others else {})


def _state_name(state: int | None) -> str:
    if state is None:
        return "no state"
    return STATES[state] if 0 <= state < len(STATES) else f"state {state}"


def moment(text: object) -> datetime | None:
    """A time as the service stores it, in UTC; None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def tables_of(database: sqlite3.Connection, schema: str) -> list[str]:
    """Which of the service's two tables a database has; a queue that never had a dead letter may lack theirs."""
    question = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name IN (?, ?)"  # noqa: S608
    return [str(row[0]) for row in database.execute(question, (QUEUE, DEAD_LETTERS))]


def _columns(database: sqlite3.Connection, table: str) -> dict[str, bool]:
    """The columns of a table, and whether each is its key alone."""
    found = list(database.execute(f"PRAGMA table_info({sqlite.quoted(table)})"))
    keys = sum(1 for row in found if row[5])
    return {str(row[1]).lower(): bool(row[5]) and keys == 1 for row in found}


def _differences(database: sqlite3.Connection) -> Iterator[str]:
    """One clause each: what is missing, what is there beside it."""
    tables = sqlite.names(database, "table")
    for table, columns in COLUMNS.items():
        if table not in tables:
            yield f"no table {table}"
            continue
        found = _columns(database, table)
        yield from (f"{table} has no column {name}" for name in columns if name not in found)
        if not found.get("id", True):
            yield f"the id is not the key of {table}"
        yield from _beside(f"{table} also has the column", tuple(found), columns)
    yield from (f"no index {name}" for name in INDEXES if name not in sqlite.names(database, "index"))
    yield from _beside("another table", tables, tuple(COLUMNS))
    for kind in ("trigger", "view"):
        yield from _beside(f"a {kind}, which PACS Bridge never makes:", sqlite.names(database, kind), ())


def _beside(words: str, found: tuple[str, ...], known: tuple[str, ...]) -> Iterator[str]:
    others = [name for name in found if name not in known]
    if others:
        yield f"{words} {_listed(others)}"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return ", ".join(safe(name, 60) for name in names[:MOST]) + more


def preview(path: Path) -> Preview:
    """Facts about a private queue database, checked to the last page. BadBackup where it is damaged; SourceError."""
    evidence, found = _checked_and_counted(path)
    details: dict[str, Any] = {
        "tables": [{"name": safe(name), "rows": number} for name, number in found.tables],
        "states": by_state(found.states),
        "destinations": [{"name": safe(name), "rows": number} for name, number in found.destinations],
        "oldest": _written(found.oldest),
        "newest": _written(found.newest),
    }
    return Preview((Fact("Integrity", evidence), *facts(found)), details)


def _checked_and_counted(path: Path) -> tuple[str, Content]:
    """The evidence of its integrity, and what it holds, side by side, as SQLite works without Python's lock.

    Damage is told before anything else that is wrong. Whoever waits here can be interrupted, and both end then.
    """
    from concurrent.futures import ThreadPoolExecutor  # deferred: a worker that restores no queue needs none

    stop = Event()
    with ThreadPoolExecutor(2, "queue") as pool:
        checked = pool.submit(sqlite.integrity, path, stop.is_set)
        counted = pool.submit(content, path, stop.is_set)
        try:
            return checked.result(), counted.result()
        finally:
            stop.set()


def _written(time: datetime | None) -> str | None:
    """RFC 3339 with the milliseconds that the service stores."""
    return None if time is None else time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def facts(found: Content) -> Iterator[Fact]:
    """What an operator wants to see of a queue, line by line."""
    for name, number in found.tables[:MOST]:
        yield Fact(f"Rows in {safe(name, 60)}", f"{number:,}", "warn" if name == QUEUE and not number else "ok")
    yield from (
        Fact(f"Messages {name}", f"{number:,}", _known(name)) for name, number in found.states.items() if number
    )
    if found.destinations:
        yield Fact("Destinations", _destinations(found))
    yield Fact("Oldest message", _written(found.oldest) or "none")
    yield Fact("Newest message", _written(found.newest) or "none")
    if found.unreadable_times:
        yield Fact("Unreadable times", count(found.unreadable_times, "message"), "warn")
    yield from (Fact("Schema", difference, "warn") for difference in found.differences)


def _known(state: str) -> FactState:
    return "ok" if state in STATES else "warn"


def _destinations(found: Content) -> str:
    """The largest by name, the rest in one number."""
    named = [f"{safe(name, 60)} {number:,}" for name, number in found.destinations]
    others = found.messages - sum(number for _, number in found.destinations)
    return ", ".join([*named, f"others {others:,}"] if others else named)
