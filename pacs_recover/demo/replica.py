"""A replica of the demo's queue as Litestream 0.3 leaves it: a snapshot, and the write-ahead log cut into segments."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import lz4.frame

from pacs_recover.demo import queue
from pacs_recover.demo.backups import new_file
from pacs_recover.demo.messages import Message

SOURCE = "replica"
"""What the demo's site file calls it."""
GENERATION = "3f9c2d1e8a7b6054"
EVERY = timedelta(minutes=5)
REACH = timedelta(hours=6)
"""How far back it goes."""
GAP = timedelta(hours=3, minutes=10), timedelta(hours=2, minutes=30)
"""Between these ages Litestream was down: there is no point in time."""


def write(root: Path, scratch: Path, traffic: Iterable[Message], now: datetime) -> None:
    """Make the replica of a database that ran through this traffic until a minute ago. OSError, sqlite3.Error."""
    messages, moments = list(traffic), _moments(now)
    database = scratch / "replicated.db"
    queue.write(database, messages, moments[0])
    generation = root / "generations" / GENERATION
    _put(generation / "snapshots" / "00000000.snapshot.lz4", database.read_bytes(), moments[0])
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        offset = 0
        for before, at in pairwise(moments):
            queue.advance(connection, messages, before, at)
            with Path(f"{database}-wal").open("rb") as log:
                log.seek(offset)
                content = log.read()
            if not content:
                continue  # nothing happened, and nothing is replicated
            _put(generation / "wal" / f"00000000_{offset:08x}.wal.lz4", content, at)
            offset += len(content)


def _moments(now: datetime) -> Sequence[datetime]:
    """When something was replicated, oldest first; to the millisecond, as times of real files are."""
    last = now - timedelta(minutes=1)
    every = [last - n * EVERY for n in range(REACH // EVERY)]
    return [at + timedelta(milliseconds=n * 137 % 1000) for n, at in enumerate(every) if not _is_down(now - at)][::-1]


def _is_down(age: timedelta) -> bool:
    return GAP[1] < age < GAP[0]


def _put(path: Path, content: bytes, at: datetime) -> None:
    """One file as Litestream's writer frames it; its time is all that tells when it was written."""
    packed = lz4.frame.compress(
        content,
        block_size=lz4.frame.BLOCKSIZE_MAX4MB,
        block_linked=False,
        content_checksum=True,
        store_size=False,
    )
    with new_file(path) as stream:
        stream.write(packed)
    os.utime(path, (at.timestamp(), at.timestamp()))
