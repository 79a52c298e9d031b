"""Carrying over: messages that only one queue has are added to another, which stays as it is otherwise."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from pacs_recover.errors import RecoverError
from pacs_recover.formats import sqlite
from pacs_recover.formats.queue_db import DEAD_LETTERS, QUEUE, must_be_queue, tables_of
from pacs_recover.text import count, safe

PROCESSING = 1
"""The state of rows that were being sent; the service makes them pending again when it starts."""
WITHOUT = "plan again without carrying over, or choose another backup"
WANTED = """
CREATE TEMP TABLE wanted_{table} AS SELECT m.rowid AS row FROM live.{table} AS m WHERE NOT ({known})
"""
"""Row numbers only: what SQLite writes to its temporary files holds nothing of a message."""
ADD = """
INSERT INTO main.{table}({columns}) SELECT {columns} FROM live.{table} WHERE rowid IN (SELECT row FROM wanted_{table})
"""
ARRIVED = """
SELECT count(*) FROM temp.wanted_{table} AS w JOIN live.{table} AS m ON m.rowid = w.row
JOIN main.{table} AS c ON c.id = m.id AND {same}
"""


class Carried(Struct, frozen=True, kw_only=True):
    """What was, or would be, carried over, in rows."""

    waiting: int
    """Of ``message_queue``, whatever their state."""
    dead: int
    """Of ``dead_letter_queue``."""
    processing: int
    """Of ``waiting``, the ones that were being sent."""
    both: int
    """Rows of the old queue whose id the backup has too: they stay as they are in the backup."""

    def sentence(self) -> str:
        """The evidence, for people."""
        again = f" ({self.processing:,} in processing, which the service will send anew)"
        return (
            f"{count(self.waiting, 'message')}{again if self.processing else ''} and "
            f"{count(self.dead, 'dead letter')} only in the old queue; {self.both:,} in both stay as in the backup"
        )


def foresee(backup: Path, live: Path) -> Carried:
    """What ``carry`` would add to this private database, which is only read. As ``carry`` raises."""
    with sqlite.reading(backup, _patience(backup, live)) as database:
        database.execute("PRAGMA query_only=OFF")  # of temporary tables: the file itself is opened read-only
        return _want(database, backup, live)


def carry(into: Path, live: Path) -> Carried:
    """Add the rows whose id only ``live`` has to ``into``, durably; both are private, and ``live`` is only read.

    A row of ``into`` is never changed. Raises RecoverError where the tables do not fit, or where what arrived is not
    just what was wanted: then ``into`` is worth nothing any more. BadBackup, SourceError.
    """
    must_be_queue(into)
    with sqlite.refusing(into), _writing(into, _patience(into, live)) as database:
        found = _want(database, into, live)
        tables = tables_of(database, "live")
        before = {table: sqlite.rows(database, table) for table in tables_of(database, "main")}
        database.execute("BEGIN")
        for table in tables:
            if _wanted(database, table):
                database.execute(ADD.format(table=table, columns=", ".join(_columns(database, table))))
        database.execute("COMMIT")
        for table in tables:
            _prove(database, table, before.get(table, 0))
    _make_durable(into)
    return found


def _patience(into: Path, live: Path) -> float:
    return sqlite.patience(into) + sqlite.patience(live)


@contextmanager
def _writing(path: Path, seconds: float) -> Iterator[sqlite3.Connection]:
    """Without a journal: a copy that is cut is made anew. The file keeps the journal mode that it came with."""
    with closing(sqlite3.connect(path.absolute().as_uri(), uri=True, isolation_level=None)) as database:
        sqlite.harden(database, seconds)
        database.execute("PRAGMA main.locking_mode=EXCLUSIVE")
        mode = database.execute("PRAGMA main.journal_mode").fetchone()[0]
        database.execute("PRAGMA main.journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        yield database
        database.execute("DETACH live")
        if mode == "wal":
            database.execute("PRAGMA main.journal_mode=WAL")


def _make_durable(path: Path) -> None:
    """One file, alone and on disk. RecoverError, OSError."""
    left = [suffix for suffix in sqlite.SIDECARS if sqlite.holds_something(path, suffix)]
    if left:
        raise RecoverError(f"{safe(path.name)} could not be made one file: {', '.join(left)} is left", WITHOUT)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _want(database: sqlite3.Connection, into: Path, live: Path) -> Carried:
    """Find the rows that only ``live`` has, once both were seen to fit; leaves them in temporary tables."""
    must_be_queue(live)
    database.execute("ATTACH ? AS live", (sqlite.uri(live),))
    if sqlite.names(database, "trigger"):
        raise RecoverError(f"{safe(into.name)} has triggers, which would act on what is carried over", WITHOUT)
    here, there = tables_of(database, "main"), tables_of(database, "live")
    known = " OR ".join(f"EXISTS (SELECT 1 FROM main.{table} AS k WHERE k.id = m.id)" for table in here)  # noqa: S608
    for table in there:
        database.execute(WANTED.format(table=table, known=known))
        _must_fit(database, table, table in here)
    wanted = {table: _wanted(database, table) for table in there}
    every = sum(sqlite.number(database, f"SELECT count(*) FROM live.{table}") for table in there)  # noqa: S608
    return Carried(
        waiting=wanted[QUEUE],
        dead=wanted.get(DEAD_LETTERS, 0),
        processing=sqlite.number(
            database,
            f"SELECT count(*) FROM live.{QUEUE} WHERE +state = {PROCESSING} "  # noqa: S608
            f"AND rowid IN (SELECT row FROM wanted_{QUEUE})",
        ),
        both=every - sum(wanted.values()),
    )


def _must_fit(database: sqlite3.Connection, table: str, there: bool) -> None:
    """A row is carried over whole or not at all: the same columns, and an id that is the key."""
    if not there:
        if _wanted(database, table):
            raise RecoverError(f"the backup has no {table}, and the live queue has rows in it", WITHOUT)
        return
    ours, theirs = _shape(database, "main", table), _shape(database, "live", table)
    differ = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if differ:
        names = ", ".join(safe(name, 60) for name in differ[:5])
        raise RecoverError(
            f"{table} is not the same in the backup and in the live queue: they differ in {names}", WITHOUT
        )
    if sqlite.number(database, f"SELECT count(*) FROM live.{table} WHERE id IS NULL"):  # noqa: S608
        raise RecoverError(f"{table} of the live queue has rows without an id", WITHOUT)


def _shape(database: sqlite3.Connection, schema: str, table: str) -> dict[str, tuple[str, bool, bool]]:
    """Of each column its type, whether it must have a value, and whether it is of the key."""
    found = database.execute(f"PRAGMA {schema}.table_info({table})")
    return {str(name).lower(): (str(kind).upper(), bool(must), bool(key)) for _, name, kind, must, _, key in found}


def _prove(database: sqlite3.Connection, table: str, before: int) -> None:
    """Every wanted row arrived as it was, and nothing else. RecoverError."""
    wanted = _wanted(database, table)
    if not wanted:
        return
    same = " AND ".join(f"c.{name} IS m.{name}" for name in _columns(database, table))
    arrived = sqlite.number(database, ARRIVED.format(table=table, same=same))
    if arrived != wanted or sqlite.rows(database, table) != before + wanted:
        raise RecoverError(f"{arrived:,} of {count(wanted, 'row')} of {table} arrived as they were", WITHOUT)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [sqlite.quoted(str(row[1])) for row in database.execute(f"PRAGMA live.table_info({table})")]


def _wanted(database: sqlite3.Connection, table: str) -> int:
    return sqlite.number(database, f"SELECT count(*) FROM temp.wanted_{table}")  # noqa: S608
