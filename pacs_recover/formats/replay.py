"""What putting an older queue in place of a newer one would do to messages: counted by id, before anything is done."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pacs_recover.formats import sqlite
from pacs_recover.formats.queue_db import DEAD_LETTERS, QUEUE, UNSENT, WELL_FORMED, must_be_queue, tables_of
from pacs_recover.formats.replay_tally import AGES, LONGEST, OTHERS, Breakdown, Counts, Fate, tallies
from pacs_recover.text import count

TOLD = 5
"""How many destinations or types a sentence names; the data names ``MOST``."""
BACKUP_ROWS = f"""
SELECT CASE WHEN ({WELL_FORMED}) AND created_at < :cutoff THEN 'dead_lettered' WHEN NOT {{held}} THEN 'resent' END
AS fate, 1 AS waits, {{facts}} FROM main.{QUEUE} AS m WHERE m.state IN {UNSENT}
"""  # noqa: S608
LIVE_ROWS = "SELECT '{fate}', {waits}, {facts} FROM live.{table} AS m WHERE NOT ({known})"
HELD = f"EXISTS (SELECT 1 FROM live.{QUEUE} AS l WHERE l.id = m.id AND +l.state IN {UNSENT})"  # noqa: S608
"""The unary plus keeps SQLite from looking rows up by their state instead of their id."""
AGE = f"""
CASE WHEN NOT ({WELL_FORMED}) THEN 'unknown' WHEN created_at >= :hour THEN 'under_1_hour'
WHEN created_at >= :day THEN 'under_1_day' ELSE 'older' END
"""
UNKNOWN_AGE = "'unknown'"
OUTLINE = f"""
CREATE TABLE main.{QUEUE} AS SELECT id, CASE WHEN state IN {UNSENT} THEN substr(destination, 1, {LONGEST + 1}) END
AS destination, '' AS payload, 0 AS priority, CASE WHEN state IN {UNSENT} THEN {UNSENT[0]} ELSE 3 END AS state,
CASE WHEN state IN {UNSENT} THEN substr(created_at, 1, 40) END AS created_at, '' AS scheduled_at,
CASE WHEN state IN {UNSENT} THEN substr({{message_type}}, 1, {LONGEST + 1}) END AS message_type
FROM backup.{QUEUE}
"""  # noqa: S608
ROOM = 64 << 20
"""Bytes that must stay free beside an outline: it may lie on the filesystem of the live service."""


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
    """Live, waiting or dead, unknown to the backup, and not carried over."""
    unsent_lost: int
    """Of those, the ones that still wait to be sent: nobody would ever send them."""
    carried: int = 0
    """Live, waiting or dead, unknown to the backup, and carried over: nothing becomes of them."""
    by_destination: Breakdown = {}
    """The ``MOST`` largest, largest first, then ``others``; names are made harmless and cut."""
    by_type: Breakdown = {}
    """The same by HL7 message type; ``none`` is a message without one."""
    by_age: Breakdown = {}
    """By every key of ``AGES``."""

    @property
    def harmless(self) -> bool:
        """Whether nothing would be sent again, die or be lost."""
        return not (self.resent or self.dead_lettered or self.lost_since)

    def sentence(self, *, final: bool = False) -> str:
        """What an operator has to know before agreeing to it; ``final`` once it is done."""
        be, become, are_lost, are_kept = WORDS[final]
        carried = f"{count(self.carried, 'message')} only in the live queue {are_kept}{self._of('carried')}"
        kept = (carried,) if self.carried else ()
        if self.harmless:
            verb = "is" if final else "would be"
            return "; ".join((f"no message {verb} sent again, none {verb} lost", *kept))
        again, dead, lost = (count(n, "message") for n in (self.resent, self.dead_lettered, self.lost_since))
        return "; ".join(
            (
                f"{again} {be}{self._of('resent')}",
                f"{dead} past the time to live {become} (some may be sent first){self._of('dead_lettered')}",
                f"{lost} {are_lost}, {self.unsent_lost:,} of them not yet sent{self._of('lost_since')}",
                *kept,
            )
        )

    def _of(self, fate: Fate) -> str:
        """The breakdown of one number, for a person."""
        ages = {AGES[name]: counts for name, counts in self.by_age.items()}
        told = (
            ("to", _ranked(self.by_destination, fate)),
            ("type", _ranked(self.by_type, fate)),
            ("age", _numbers(ages, fate)),
        )
        words = [f"{label} {', '.join(f'{name} {n:,}' for name, n in found.items())}" for label, found in told if found]
        return f" [{' / '.join(words)}]" if words else ""

    def numbers(self) -> dict[str, Any]:
        """The plain data of the JSON contract."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {name: found[name] for name in NUMBERS}


WORDS = (
    ("would be sent again", "would become dead letters", "that arrived since would be lost", "would be carried over"),
    ("sent again", "becoming dead letters", "arrived since and lost", "carried over"),
)
"""What becomes of messages, before and after it is decided; fit for one and for many."""
NUMBERS = ("resent", "dead_lettered", "lost_since", "carried", "by_destination", "by_type", "by_age")
"""The keys of ``replay_risk`` in the JSON contract."""


def _numbers(found: Breakdown, fate: Fate) -> dict[str, int]:
    return {name: getattr(counts, fate) for name, counts in found.items() if getattr(counts, fate)}


def _ranked(found: Breakdown, fate: Fate) -> dict[str, int]:
    """The largest of one fate, the rest in one number."""
    numbers = _numbers(found, fate)
    rest = numbers.pop(OTHERS, 0)
    named = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    rest += sum(number for _, number in named[TOLD:])
    return dict(named[:TOLD]) | ({OTHERS: rest} if rest else {})


def compare(backup: Path, live: Path | None, now: datetime, ttl_seconds: float, *, carry_over: bool = False) -> Replay:
    """Count what putting ``backup`` in the place of ``live`` would do; both are private files, None is no live queue.

    With ``carry_over`` the rows that only ``live`` has are added to it. ``backup`` may be an outline. ``ttl_seconds``
    is the service's ``queue.message_ttl``. Times that cannot be read count as young: sent again. A rollback is the
    same question: the queue that was set aside comes back in the place of the one now live. Memory stays flat. Raises
    BadBackup where either is damaged or no queue, SourceError where it cannot be read.
    """
    must_be_queue(backup)
    seconds = sqlite.patience(backup)
    if live is not None:
        must_be_queue(live)
        seconds += sqlite.patience(live)
    with sqlite.reading(backup, seconds) as database:
        if live is not None:
            database.execute("ATTACH ? AS live", (sqlite.uri(live),))
        times = {"cutoff": _before(now, ttl_seconds), "hour": _before(now, 3600), "day": _before(now, 86400)}
        fate: Fate = "carried" if carry_over else "lost_since"
        rows = " UNION ALL ".join(_rows(database, live is not None, fate))
        destinations, types = tallies(database, rows, times)
    total = destinations.total
    return Replay(
        resent=total["resent"],
        dead_lettered=total["dead_lettered"],
        lost_since=total["lost_since"],
        unsent_lost=destinations.unsent_lost,
        carried=total["carried"],
        by_destination=destinations.named,
        by_type=types.named,
        by_age={name: Counts(**found) for name, found in destinations.ages.items()},
    )


def _before(now: datetime, seconds: float) -> str:
    """The time so long ago, as the service writes times."""
    try:
        moment = now.astimezone(UTC) - timedelta(seconds=seconds)
    except OverflowError:
        moment = datetime.min
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def _rows(database: sqlite3.Connection, live: bool, fate: Fate) -> Iterator[str]:
    """Questions for each row that something would become of, and for its facts; ``fate`` is that of new rows."""
    yield BACKUP_ROWS.format(held=HELD if live else "0", facts=_facts(database, "main", QUEUE))
    known = " OR ".join(
        f"EXISTS (SELECT 1 FROM main.{table} AS k WHERE k.id = m.id)"  # noqa: S608
        for table in tables_of(database, "main")
    )
    for table in tables_of(database, "live") if live else ():
        waits = f"m.state IN {UNSENT}" if table == QUEUE else "0"
        yield LIVE_ROWS.format(fate=fate, waits=waits, facts=_facts(database, "live", table), table=table, known=known)


def _facts(database: sqlite3.Connection, schema: str, table: str) -> str:
    """Destination, type and age of a row; only those columns are asked for that the table has."""
    has = _columns(database, schema, table)
    told = [f"m.{name} AS {name}" if name in has else f"NULL AS {name}" for name in ("destination", "message_type")]
    return ", ".join((*told, f"{AGE if 'created_at' in has else UNKNOWN_AGE} AS age"))


def outline(backup: Path, into: Path) -> str:
    """Write what ``compare`` asks of a private backup to a new file: ids, and of unsent rows where to, type and time.

    So the backup can be counted against another queue when it is long in use itself. No payload is in it. Returns the
    evidence. BadBackup, SourceError where it cannot be written or there is no room.
    """
    must_be_queue(backup)
    with sqlite.refusing(into):
        needed, room = backup.stat().st_size + ROOM, os.statvfs(into.parent)
        if needed > room.f_bavail * room.f_frsize:
            raise OSError(28, "not enough room")
        os.close(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        with closing(sqlite3.connect(into.absolute().as_uri(), uri=True, isolation_level=None)) as database:
            sqlite.harden(database, sqlite.patience(backup))
            database.execute("PRAGMA journal_mode=OFF")
            database.execute("ATTACH ? AS backup", (sqlite.uri(backup),))
            return f"{count(_outline(database), 'message')} listed by id"


def _outline(database: sqlite3.Connection) -> int:
    has = _columns(database, "backup", QUEUE)
    database.execute("BEGIN")
    database.execute(OUTLINE.format(message_type="message_type" if "message_type" in has else "NULL"))
    if DEAD_LETTERS in tables_of(database, "backup"):
        database.execute(f"CREATE TABLE main.{DEAD_LETTERS} AS SELECT id FROM backup.{DEAD_LETTERS}")  # noqa: S608
    tables = tables_of(database, "main")
    for table in tables:
        database.execute(f"CREATE INDEX main.{table}_id ON {table}(id)")
    database.execute("COMMIT")
    return sum(sqlite.rows(database, table) for table in tables)


def _columns(database: sqlite3.Connection, schema: str, table: str) -> set[str]:
    return {str(row[1]).lower() for row in database.execute(f"PRAGMA {schema}.table_info({table})")}
