"""SQLite databases from backups: opened so that nothing in them can act, and checked to the last page.

Everything here wants a *private copy*: a live database is looked at through :mod:`pacs_recover.formats.sqlite_set`.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

from pacs_recover.errors import BadBackup, SourceError
from pacs_recover.text import safe

MAGIC = b"SQLite format 3\x00"
HEADER = 100
"""Bytes of a database's header (https://www.sqlite.org/fileformat.html, section 1.3)."""
SIDECARS = ("-wal", "-journal")
"""What may hold rows beside the database file; ``-shm`` is only an index of the ``-wal``."""
HEAP = 128 << 20
"""Bytes that SQLite may use in this process, so that a hostile schema cannot fill the memory."""
TICK = 10_000
"""Virtual machine steps between two looks at the clock: well under a millisecond."""
OTHER_BACKUP = "choose an older backup: pacs-recover catalog queue"
OURS = ("SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PERM")
"""Errors of SQLite that speak of this machine, not of the backup; so do its I/O errors but the short read."""
HARDEN = (
    f"hard_heap_limit={HEAP}",
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "ignore_check_constraints=ON",
    "mmap_size=0",
    "cache_size=-8192",
)
"""CHECK constraints are the schema's own expressions, so they are not run; the service's schema has none."""
LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_ATTACHED: 3,
}
"""Far more than the service's schema and our own questions need (https://www.sqlite.org/security.html)."""
NAMES = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
FOREIGN_ROWS = """
SELECT count(*) FROM sqlite_master WHERE 1 IS NOT CASE type
    WHEN 'table' THEN sql LIKE 'CREATE TABLE %'
    WHEN 'index' THEN sql IS NULL OR sql LIKE 'CREATE INDEX %' OR sql LIKE 'CREATE UNIQUE INDEX %'
    WHEN 'view' THEN sql LIKE 'CREATE VIEW %'
    WHEN 'trigger' THEN sql LIKE 'CREATE TRIGGER %'
    ELSE 0 END
"""
"""SQLite writes just these beginnings itself; what is left are virtual tables, and rows that lie about their type."""
MISNAMED_TABLES = """
SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'table')
     - (SELECT count(DISTINCT lower(m.name)) FROM sqlite_master m JOIN pragma_table_xinfo(m.name)
        WHERE m.type = 'table')
"""
"""Tables whose definition makes another name than their row says, which the next look would miss."""
COMPUTED = """
SELECT (SELECT count(*) FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND c.hidden > 0)
     + (SELECT count(*) FROM sqlite_master m JOIN pragma_index_list(m.name) i JOIN pragma_index_xinfo(i.name) c
        WHERE m.type = 'table' AND (i.partial OR c.cid = -2))
"""
"""Generated columns, partial indexes and indexes on expressions: integrity_check would evaluate them."""


def never() -> bool:
    """Work goes on to its end."""
    return False


@contextmanager
def reading(
    path: Path, seconds: float | None = None, stopping: Callable[[], bool] = never
) -> Iterator[sqlite3.Connection]:
    """A private database for the length of a ``with``. BadBackup for whatever SQLite finds wrong in there."""
    with refusing(path), closing(open_private(path, seconds, stopping)) as database:
        yield database


def open_private(path: Path, seconds: float | None = None, stopping: Callable[[], bool] = never) -> sqlite3.Connection:
    """Open a private database read-only, for at most ``seconds`` of work (default: by its size), until it is stopped.

    Triggers have nothing to fire on and views are never selected from; a schema that could compute anything by being
    read or checked (virtual tables, generated columns, indexes on expressions) is refused. Raises BadBackup, also for a
    ``-wal`` or ``-journal`` beside it, whose rows would be left out; SourceError where it cannot be read.
    """
    with refusing(path):
        _check_header(path)
        _must_stand_alone(path)
        database = sqlite3.connect(uri(path), uri=True, isolation_level=None)
        try:
            harden(database, seconds or patience(path), stopping)
            database.execute("PRAGMA query_only=ON")
            _must_compute_nothing(database, path)
        except BaseException:
            database.close()
            raise
    return database


def uri(path: Path) -> str:
    """The address under which SQLite reads a file without locks, sidecars or the thought that it might change."""
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def patience(path: Path) -> float:
    """Seconds that work on a database may take: one minute, and one second for every 2 MiB."""
    return 60 + path.stat().st_size / (2 << 20)


def harden(database: sqlite3.Connection, seconds: float, stopping: Callable[[], bool] = never) -> None:
    """Bound a connection's memory and time, and let nothing but plain reads happen in it."""
    end = time.monotonic() + seconds
    database.text_factory = _decode
    for limit, most in LIMITS.items():
        database.setlimit(limit, most)
    if sys.version_info >= (3, 12):
        database.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        database.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        database.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
    database.set_progress_handler(lambda: time.monotonic() > end or stopping(), TICK)
    for pragma in HARDEN:
        database.execute(f"PRAGMA {pragma}")


def _decode(text: bytes) -> str:
    """Never strict: the error that SQLite's module raises otherwise quotes the text, which may be a patient's."""
    return text.decode("utf-8", "replace")


def integrity(path: Path, stopping: Callable[[], bool] = never) -> str:
    """Run the full integrity check on a private database and return the evidence.

    Only one row that is exactly ``ok``, from a call that succeeded, is sound: the check reports its findings as rows.
    Raises BadBackup with the first finding otherwise, SourceError where it cannot be read.
    """
    with reading(path, stopping=stopping) as database:
        findings = [str(row[0]) for row in database.execute("PRAGMA integrity_check")]
        pages, size = number(database, "PRAGMA page_count"), number(database, "PRAGMA page_size")
    if findings != ["ok"]:
        first = (
            safe(findings[0].strip().removeprefix("*** in database main ***").strip(), 120) if findings else "nothing"
        )
        raise BadBackup(f"{safe(path.name)} is damaged; its integrity check says: {first}", OTHER_BACKUP)
    return f"integrity_check: ok ({pages:,} pages of {size:,} bytes)"


@contextmanager
def proven_beside(path: Path) -> Iterator[None]:
    """Run the full check beside what is done meanwhile, which counts only if both end well. BadBackup, SourceError.

    SQLite works without Python's lock: they take one core each. Damage is told before what else went wrong by it.
    """
    from concurrent.futures import ThreadPoolExecutor  # deferred: most commands check nothing

    stop = Event()
    with ThreadPoolExecutor(1, "integrity") as pool:
        checked = pool.submit(integrity, path, stop.is_set)
        try:
            try:
                yield
            except BadBackup:
                checked.result()
                raise
            checked.result()
        finally:
            stop.set()


def tables(path: Path) -> tuple[tuple[str, int], ...]:
    """Every table of a private database with its number of rows, by name; SQLite's own are left out. BadBackup."""
    with reading(path) as database:
        return tuple((name, rows(database, name)) for name in names(database, "table"))


def names(database: sqlite3.Connection, kind: str) -> tuple[str, ...]:
    """The names of all tables, indexes, views or triggers but SQLite's own, sorted."""
    return tuple(str(row[0]) for row in database.execute(NAMES, (kind,)))


def rows(database: sqlite3.Connection, table: str) -> int:
    """How many rows a table has."""
    return number(database, f"SELECT count(*) FROM {quoted(table)}")  # noqa: S608


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into what happened, in our words."""
    try:
        yield
    except MemoryError:
        message = f"{safe(path.name)} would take more than {HEAP >> 20} MB of memory to read"
        raise BadBackup(message, OTHER_BACKUP) from None
    except UnicodeDecodeError:  # Python's module decodes error messages strictly, and they quote the schema
        raise BadBackup(
            f"{safe(path.name)} is not a sound SQLite database: its schema is damaged", OTHER_BACKUP
        ) from None
    except sqlite3.Error as error:
        raise _meaning(path, error) from None
    except OSError as error:
        raise SourceError(
            f"{safe(path)} cannot be read: {error.strerror}", "see that it exists and is a file"
        ) from None


def _meaning(path: Path, error: sqlite3.Error) -> BadBackup | SourceError:
    name = str(getattr(error, "sqlite_errorname", ""))
    said = safe(error, 120)
    if name == "SQLITE_INTERRUPT":
        return BadBackup(f"{safe(path.name)} took longer to read than any sound database of its size", OTHER_BACKUP)
    if name.startswith(OURS) or (name.startswith("SQLITE_IOERR") and name != "SQLITE_IOERR_SHORT_READ"):
        return SourceError(
            f"{safe(path)} could not be read: {said}", "see that its disk and /var/tmp work and have room"
        )
    return BadBackup(f"{safe(path.name)} is not a sound SQLite database: {said}", OTHER_BACKUP)


def _check_header(path: Path) -> None:
    """The header's own figures, which SQLite does not hold against it: a truncated file opens without a word."""
    head, size = check_magic(path)
    page = _page_size(head)
    if page < 512 or page & (page - 1):
        raise BadBackup(f"{safe(path.name)} is damaged: its header names pages of {page} bytes", OTHER_BACKUP)
    stated = stated_size(head) or size - size % page or page
    if size != stated:
        state = "truncated" if size < stated else "followed by something else"
        raise BadBackup(
            f"{safe(path.name)} is {state}: it has {size:,} bytes, its header says {stated:,}", OTHER_BACKUP
        )


def stated_size(head: bytes) -> int | None:
    """Bytes that the header of a database says it has; None where it does not count them, or is none."""
    counted = head.startswith(MAGIC) and head[24:28] == head[92:96] and head[28:32] != bytes(4)
    return int.from_bytes(head[28:32]) * _page_size(head) if counted else None


def _page_size(head: bytes) -> int:
    return int.from_bytes(head[16:18]) if head[16:18] != b"\x00\x01" else 65536


def check_magic(path: Path) -> tuple[bytes, int]:
    """The header and the size of what at least begins like a database. BadBackup, OSError."""
    head, size = _head(path), path.stat().st_size
    if not size:
        raise BadBackup(f"{safe(path.name)} is empty: 0 bytes are no database", OTHER_BACKUP)
    if len(head) < HEADER or not head.startswith(MAGIC):
        raise BadBackup(f"{safe(path.name)} is not a SQLite database", "see what it is with: file")
    return head, size


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEADER)


def _must_stand_alone(path: Path) -> None:
    for suffix in SIDECARS:
        if holds_something(path, suffix):
            raise BadBackup(
                f"{safe(path.name)}{suffix} lies beside {safe(path.name)}: its rows may belong to the database or not",
                "take the database alone, or the set that was copied together",
            )


def holds_something(path: Path, suffix: str) -> bool:
    """Whether a sidecar of a database lies there and is not empty; a link counts, wherever it leads. OSError."""
    beside = Path(f"{path}{suffix}")
    return beside.is_symlink() or (beside.exists() and beside.stat().st_size > 0)


def _must_compute_nothing(database: sqlite3.Connection, path: Path) -> None:
    for question in (FOREIGN_ROWS, MISNAMED_TABLES, COMPUTED):
        if number(database, question):
            raise BadBackup(
                f"{safe(path.name)} has virtual tables, computed columns or computed indexes: PACS Bridge makes none",
                "find out where this file comes from before anything else",
            )


def number(database: sqlite3.Connection, question: str) -> int:
    """The one number that a question has for an answer."""
    return int(database.execute(question).fetchone()[0])
