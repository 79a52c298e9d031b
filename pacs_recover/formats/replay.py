"""What putting an older queue in place of a newer one would do to messages: counted by id, before anything is done."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from pacs_recover.formats import sqlite
from pacs_recover.formats.queue_db import DEAD_LETTERS, QUEUE, UNSENT, WELL_FORMED, must_be_queue
from pacs_recover.text import count

SENT_AGAIN = f"""
SELECT count(CASE WHEN b.old THEN 1 END), count(CASE WHEN NOT b.old AND NOT held THEN 1 END) FROM (
    SELECT ({WELL_FORMED}) AND created_at < :cutoff AS old, {{held}} AS held
    FROM main.message_queue AS m WHERE m.state IN {UNSENT}
) AS b
"""  # noqa: S608
HELD = f"EXISTS (SELECT 1 FROM live.message_queue AS l WHERE l.id = m.id AND +l.state IN {UNSENT})"  # noqa: S608
"""The unary plus keeps SQLite from looking rows up by their state instead of their id."""


class Replay(Struct, frozen=True, kw_only=True):
    """What a restore of a queue would do to messages, in numbers of rows.

    A message is its id: rows of one id are the same message even where their content differs, since the service makes
    each id once and afterwards changes only the row's state, attempts and error.
    """

    resent: int
    """Unsent in the backup, younger than their time to live, and no longer waiting live: they would be sent again."""
    dead_lettered: int
    """Unsent in the backup and past their time to live: the service's clean-up, every 5 minutes, makes dead letters of
    them; some may be sent before it runs."""
    lost_since: int
    """Live, waiting or dead, and unknown to the backup."""
    unsent_lost: int
    """Of those, the ones that still wait to be sent: nobody would ever send them."""

    @property
    def harmless(self) -> bool:
        """Whether nothing would be sent again, die or be lost."""
        return not (self.resent or self.dead_lettered or self.lost_since)

    def sentence(self) -> str:
        """What an operator has to know before agreeing to it."""
        if self.harmless:
            return "no message would be sent again, none would be lost"
        return "; ".join(
            (
                f"{count(self.resent, 'message')} would be sent again",
                f"{count(self.dead_lettered, 'message')} past the time to live would become dead letters "
                "(some may be sent first)",
                f"{count(self.lost_since, 'message')} that arrived since would be lost, "
                f"{self.unsent_lost:,} of them not yet sent",
            )
        )


def compare(backup: Path, live: Path | None, now: datetime, ttl_seconds: float) -> Replay:
    """Count what putting ``backup`` in the place of ``live`` would do; both are private files, None is no live queue.

    ``ttl_seconds`` is the service's ``queue.message_ttl``, in seconds. Times that cannot be read count as young: sent
    again. A rollback is the same question: the queue that was set aside comes back in the place of the one now live.
    Memory stays flat. Raises BadBackup where either is damaged or no queue, SourceError where it cannot be read.
    """
    must_be_queue(backup)
    if live is None:
        with sqlite.reading(backup) as database:
            dead, resent = _sent_again(database, "0", _cutoff(now, ttl_seconds))
        return Replay(resent=resent, dead_lettered=dead, lost_since=0, unsent_lost=0)
    must_be_queue(live)
    with sqlite.reading(backup, sqlite.patience(backup) + sqlite.patience(live)) as database:
        database.execute("ATTACH ? AS live", (sqlite.uri(live),))
        dead, resent = _sent_again(database, HELD, _cutoff(now, ttl_seconds))
        lost, unsent = _lost(database)
    return Replay(resent=resent, dead_lettered=dead, lost_since=lost, unsent_lost=unsent)


def _cutoff(now: datetime, ttl_seconds: float) -> str:
    """The time before which messages are too old, as the service writes times."""
    try:
        moment = now.astimezone(UTC) - timedelta(seconds=ttl_seconds)
    except OverflowError:
        moment = datetime.min
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def _sent_again(database: sqlite3.Connection, held: str, cutoff: str) -> tuple[int, int]:
    dead, resent = database.execute(SENT_AGAIN.format(held=held), {"cutoff": cutoff}).fetchone()
    return dead, resent


def _lost(database: sqlite3.Connection) -> tuple[int, int]:
    """Rows of both live tables whose id is in neither of the backup's, and how many of them wait to be sent."""
    known = " OR ".join(
        f"EXISTS (SELECT 1 FROM main.{table} AS k WHERE k.id = m.id)"  # noqa: S608
        for table in _tables(database, "main")
    )
    lost = unsent = 0
    for table in _tables(database, "live"):
        waits = f"state IN {UNSENT}" if table == QUEUE else "0"
        question = f"SELECT count(*), count(CASE WHEN {waits} THEN 1 END) FROM live.{table} AS m WHERE NOT ({known})"  # noqa: S608
        found = database.execute(question).fetchone()
        lost, unsent = lost + found[0], unsent + found[1]
    return lost, unsent


def _tables(database: sqlite3.Connection, schema: str) -> list[str]:
    """Which of the service's two tables a database has; a queue that never had a dead letter may lack theirs."""
    question = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name IN (?, ?)"  # noqa: S608
    return [str(row[0]) for row in database.execute(question, (QUEUE, DEAD_LETTERS))]
