from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from pacs_recover.errors import BadBackup
from pacs_recover.formats.alike import unlike
from tests.formats.queue_files import SCHEMA


def queue(path: Path, messages: Iterable[str], state: int = 0, more: str = "") -> Path:
    """A queue with these messages."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA + more)
        database.executemany(
            "INSERT INTO message_queue(id, destination, payload, state, created_at, scheduled_at)"
            " VALUES (?, 'RIS', 'x', ?, '2026-01-01 00:00:00.000', '2026-01-01 00:00:00.000')",
            [(message, state) for message in messages],
        )
    return path


def said(place: Path, copy: str, earlier: str, later: str, former: str | None = None) -> str:
    """What is said of queues whose messages are the letters of these words."""
    made = [queue(place / name, letters) for name, letters in (("c", copy), ("e", earlier), ("l", later))]
    return unlike(*made, None if former is None else queue(place / "f", former))


@pytest.mark.parametrize(
    ("copy", "earlier", "later", "former"),
    [
        ("abc", "abc", "abc", None),
        ("abc", "abc", "abc", "ab"),
        ("abcd", "abc", "abcd", "xyz"),
        ("abc", "abcd", "abc", "xyz"),
        ("abcn", "abc", "abc", "xyz"),  # came and went meanwhile
        ("", "", "", "xyz"),
    ],
)
def test_what_was_there_in_between_is_alike(
    tmp_path: Path, copy: str, earlier: str, later: str, former: str | None
) -> None:
    assert said(tmp_path, copy, earlier, later, former) == ""


@pytest.mark.parametrize(
    ("copy", "earlier", "later", "former", "why"),
    [
        ("ab", "abc", "abc", None, "message_queue: it lacks 1 row of the live queue"),
        ("", "abc", "abcd", None, "message_queue: it lacks 3 rows of the live queue"),
        ("abcx", "abc", "abc", "xyz", "message_queue: it still holds 1 row of the replaced queue"),
        ("abcxyz", "abc", "abcd", "xyz", "message_queue: it still holds 3 rows of the replaced queue"),
    ],
)
def test_what_lacks_a_row_or_has_one_of_the_former_queue_is_not(
    tmp_path: Path, copy: str, earlier: str, later: str, former: str | None, why: str
) -> None:
    assert said(tmp_path, copy, earlier, later, former) == why


def test_a_row_that_stood_still_has_to_be_the_same_and_one_that_changed_need_not(tmp_path: Path) -> None:
    copy = queue(tmp_path / "copy", "ab", state=2)
    still, moved = queue(tmp_path / "still", "ab", state=1), queue(tmp_path / "moved", "ab", state=3)
    assert "it lacks 2 rows" in unlike(copy, still, queue(tmp_path / "again", "ab", state=1))
    assert unlike(copy, still, moved) == ""


def test_litestreams_own_tables_are_not_compared_and_other_tables_are(tmp_path: Path) -> None:
    own = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);"
    other = "CREATE TABLE audit (what TEXT); INSERT INTO audit VALUES ('x');"
    live = [queue(tmp_path / name, "ab", more=own + other) for name in ("earlier", "later")]
    assert unlike(queue(tmp_path / "c", "ab", more=other), *live) == ""
    assert unlike(queue(tmp_path / "d", "ab", more="CREATE TABLE audit (what TEXT);"), *live).startswith(
        "audit: it lacks 1 row"
    )
    assert unlike(queue(tmp_path / "e", "ab"), *live) == "audit: it is missing"


def test_a_damaged_copy_is_an_error(tmp_path: Path) -> None:
    live = [queue(tmp_path / name, "ab") for name in ("earlier", "later")]
    copy = queue(tmp_path / "copy", "ab")
    copy.write_bytes(copy.read_bytes()[:-4096])
    with pytest.raises(BadBackup):
        unlike(copy, *live)
