"""Queue databases for tests, on the schema that PACS Bridge makes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE message_queue (id TEXT PRIMARY KEY, destination TEXT NOT NULL, payload TEXT NOT NULL,
    priority INTEGER DEFAULT 0, state INTEGER DEFAULT 0, created_at TEXT NOT NULL, scheduled_at TEXT NOT NULL,
    attempt_count INTEGER DEFAULT 0, last_error TEXT, correlation_id TEXT, message_type TEXT);
CREATE TABLE dead_letter_queue (id TEXT PRIMARY KEY, destination TEXT NOT NULL, payload TEXT NOT NULL,
    priority INTEGER DEFAULT 0, created_at TEXT NOT NULL, attempt_count INTEGER DEFAULT 0, reason TEXT NOT NULL,
    dead_lettered_at TEXT NOT NULL, error_history TEXT, correlation_id TEXT, message_type TEXT);
CREATE INDEX idx_queue_state ON message_queue(state);
CREATE INDEX idx_queue_destination ON message_queue(destination);
CREATE INDEX idx_queue_scheduled ON message_queue(scheduled_at);
CREATE INDEX idx_queue_priority ON message_queue(priority);
CREATE INDEX idx_dlq_destination ON dead_letter_queue(destination);
"""
SYNTHETIC = "MSH|^~\\&|RIS|HOSPITAL|PACS|HOSPITAL|20261110||ORM^O01|1|P|2.4"
"""A payload that no output may ever hold."""
Row = tuple[str, int, str]
"""Id, state, created_at."""


def execute(path: Path, *statements: str) -> None:
    """Run statements on a database, which is made where it is missing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        for statement in statements:
            database.executescript(statement)


def queue(path: Path, waiting: Iterable[Row] = (), dead: Iterable[str] = (), destination: str = "RIS") -> Path:
    """A queue as a clean stop of the service leaves it: in WAL mode, without a -wal file."""
    execute(path, "PRAGMA journal_mode=WAL", SCHEMA)
    add(path, waiting, dead, destination)
    return path


def add(path: Path, waiting: Iterable[Row] = (), dead: Iterable[str] = (), destination: str = "RIS") -> None:
    """Put more rows into a queue."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous=OFF")
        database.executemany(
            "INSERT INTO message_queue(id, destination, payload, state, created_at, scheduled_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ((name, destination, SYNTHETIC, state, created, created) for name, state, created in waiting),
        )
        database.executemany(
            "INSERT INTO dead_letter_queue(id, destination, payload, created_at, reason, dead_lettered_at) "
            "VALUES (?, ?, ?, '2026-11-10 02:00:00.000', 'Max retry count exceeded', '2026-11-11 02:00:00.000')",
            ((name, destination, SYNTHETIC) for name in dead),
        )


def many(number: int, state: int = 0, created: str = "2026-11-10 02:00:00.000", prefix: str = "id") -> list[Row]:
    """Rows that differ in their id alone."""
    return [(f"{prefix}-{serial:06}", state, created) for serial in range(number)]


def damage_an_index(path: Path) -> None:
    """Leave rows out of an index, as a lost write does: the kind of damage of which only the full check knows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        kept = database.execute("SELECT * FROM sqlite_master WHERE name = 'idx_queue_state'").fetchone()
        database.execute("PRAGMA writable_schema=ON")
        database.execute("DELETE FROM sqlite_master WHERE name = 'idx_queue_state'")
        version = database.execute("PRAGMA schema_version").fetchone()[0]
        database.execute(f"PRAGMA schema_version={version + 1}")
    add(path, many(3, prefix="unindexed"))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema=ON")
        database.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
        database.execute(f"PRAGMA schema_version={version + 2}")
