"""The demo's queue database: the service's own schema, and what of the traffic was in it at a moment."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pacs_recover.demo.messages import Message

PENDING, PROCESSING, RETRY_SCHEDULED, DELIVERED = range(4)
SCHEMA = """
CREATE TABLE IF NOT EXISTS message_queue (
    id TEXT PRIMARY KEY,
    destination TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INTEGER DEFAULT 0,
    state INTEGER DEFAULT 0,
    created_at TEXT NOT NULL,
    scheduled_at TEXT NOT NULL,
    attempt_count INTEGER DEFAULT 0,
    last_error TEXT,
    correlation_id TEXT,
    message_type TEXT
);
CREATE TABLE IF NOT EXISTS dead_letter_queue (
    id TEXT PRIMARY KEY,
    destination TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INTEGER DEFAULT 0,
    created_at TEXT NOT NULL,
    attempt_count INTEGER DEFAULT 0,
    reason TEXT NOT NULL,
    dead_lettered_at TEXT NOT NULL,
    error_history TEXT,
    correlation_id TEXT,
    message_type TEXT
);
CREATE INDEX IF NOT EXISTS idx_queue_state ON message_queue(state);
CREATE INDEX IF NOT EXISTS idx_queue_destination ON message_queue(destination);
CREATE INDEX IF NOT EXISTS idx_queue_scheduled ON message_queue(scheduled_at);
CREATE INDEX IF NOT EXISTS idx_queue_priority ON message_queue(priority);
CREATE INDEX IF NOT EXISTS idx_dlq_destination ON dead_letter_queue(destination);
"""
"""The schema of PACS Bridge's ``queue_manager.cpp``, name by name."""
WAITING = "INSERT INTO message_queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DEAD = "INSERT INTO dead_letter_queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

LEAVES = "DELETE FROM message_queue WHERE id = ?"


def timestamp(moment: datetime) -> str:
    """A time as the service stores it: UTC, ``YYYY-MM-DD HH:MM:SS.mmm``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def write(path: Path, messages: Iterable[Message], at: datetime) -> None:
    """Make the database that the service would have left at ``at`` after a clean stop: WAL mode, no ``-wal`` file."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=OFF")
        database.executescript(SCHEMA)
        arrived = [message for message in messages if message.created_at <= at]
        with database:
            database.executemany(WAITING, (_waiting(message, at) for message in arrived if _waits(message, at)))
            database.executemany(DEAD, (_dead(message) for message in arrived if _is_dead(message, at)))


def advance(database: sqlite3.Connection, messages: Iterable[Message], before: datetime, at: datetime) -> None:
    """What the service commits from one moment to a later one, as one transaction."""
    known = [message for message in messages if message.created_at <= at]
    came = [message for message in known if message.created_at > before and _waits(message, at)]
    left = [message for message in known if message.created_at <= before and _waits(message, before)]
    died = [message for message in known if _is_dead(message, at) and not _is_dead(message, before)]
    with database:
        database.executemany(WAITING, (_waiting(message, at) for message in came))
        database.executemany(LEAVES, ((message.id,) for message in left if not _waits(message, at)))
        database.executemany(DEAD, map(_dead, died))


def waiting_row(message: Message, state: int = PENDING) -> tuple[object, ...]:
    """A new message as a row of ``message_queue``."""
    return _row(message, state, message.created_at, 0, None)


def _row(message: Message, state: int, scheduled: datetime, attempts: int, error: str | None) -> tuple[object, ...]:
    head = (message.id, message.destination, message.payload, message.priority, state)
    times = (timestamp(message.created_at), timestamp(scheduled))
    return (*head, *times, attempts, error, message.correlation_id, message.message_type)


def _waits(message: Message, at: datetime) -> bool:
    left = message.acknowledged or message.dead_lettered
    return left is None or left > at


def _is_dead(message: Message, at: datetime) -> bool:
    return message.dead_lettered is not None and message.dead_lettered <= at


def _waiting(message: Message, at: datetime) -> tuple[object, ...]:
    """Most of ADT waits for a receiver that refuses; a few rows are in a worker's hands or just acknowledged."""
    if message.serial % 401 == 1:
        return _row(message, PROCESSING, message.created_at, 1, None)
    if message.serial % 601 == 2:
        return _row(message, DELIVERED, message.created_at, 1, None)
    if message.destination == "EMR_ARCHIVE" and message.serial % 3:
        attempts = min(9, 1 + int((at - message.created_at) / timedelta(hours=3)))
        return _row(message, RETRY_SCHEDULED, at + timedelta(minutes=5), attempts, "Connection refused")
    return waiting_row(message)


def _dead(message: Message) -> tuple[object, ...]:
    head = (message.id, message.destination, message.payload, message.priority, timestamp(message.created_at))
    died = timestamp(message.dead_lettered or message.created_at)
    why = (10, "Max retry count exceeded", died, '["Connection refused"]')
    return (*head, *why, message.correlation_id, message.message_type)
