"""Whether what somebody else copied from a queue in use is what was in it, row by row."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pacs_recover.formats import sqlite
from pacs_recover.text import count, safe

OWN = "_litestream_"
"""Begins the names of the tables that Litestream keeps in the databases it replicates."""
KEPT = "SELECT count(*) FROM (SELECT * FROM main.{t} INTERSECT SELECT * FROM later.{t} EXCEPT SELECT * FROM copy.{t})"
STRANGE = "SELECT {c} FROM copy.{t} EXCEPT SELECT {c} FROM main.{t} EXCEPT SELECT {c} FROM later.{t}"
FORMER = "SELECT count(*) FROM (SELECT {c} FROM former.{t} INTERSECT SELECT * FROM ({strange}))"


def unlike(copy: Path, earlier: Path, later: Path, former: Path | None = None) -> str:
    """What speaks against that ``copy`` is what was there between ``earlier`` and ``later``; empty where nothing does.

    All are private files. Rows that stand unchanged in both must be in it. Rows that are in neither can have come and
    gone meanwhile, unless ``former`` has them, which is what the copy must have nothing from. BadBackup, SourceError.
    """
    sqlite.integrity(copy)
    seconds = sum(map(sqlite.patience, (copy, earlier, later)))
    with sqlite.reading(earlier, seconds) as database:
        for name, path in (("later", later), ("copy", copy), ("former", former)):
            if path is not None:
                database.execute(f"ATTACH ? AS {name}", (sqlite.uri(path),))
        for table in sqlite.names(database, "table"):
            if not table.startswith(OWN) and (why := _unlike(database, table, former is not None)):
                return f"{safe(table)}: {why}"
    return ""


def _unlike(database: sqlite3.Connection, table: str, former: bool) -> str:
    name = sqlite.quoted(table)
    for schema in ("later", "copy"):
        if not _has(database, schema, table):
            return "it is missing"
    if lacking := _number(database, KEPT.format(t=name)):
        return f"it lacks {count(lacking, 'row')} of the live queue"
    if not former or not _has(database, "former", table):
        return ""
    has_id = "id" in {str(row[1]).lower() for row in database.execute(f"PRAGMA main.table_info({name})")}
    columns = "id" if has_id else "*"
    strange = STRANGE.format(t=name, c=columns)
    foreign = _number(database, FORMER.format(t=name, c=columns, strange=strange))
    return f"it still holds {count(foreign, 'row')} of the replaced queue" if foreign else ""


def _has(database: sqlite3.Connection, schema: str, table: str) -> bool:
    question = f"SELECT count(*) FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?"  # noqa: S608
    return bool(database.execute(question, (table,)).fetchone()[0])


def _number(database: sqlite3.Connection, question: str) -> int:
    return int(database.execute(question).fetchone()[0])
