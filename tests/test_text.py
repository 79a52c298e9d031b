"""Outside text can do nothing to a terminal, and amounts read as people say them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pacs_recover import text

NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


@given(st.text())
def test_no_character_that_controls_a_terminal_survives(outside: str) -> None:
    shown = text.safe(outside)
    assert all(unicodedata.category(char) not in text.UNSAFE for char in shown)
    assert len(shown) <= 2001


def test_escape_sequences_and_reordering_are_shown_not_obeyed() -> None:
    assert text.safe("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert text.safe("x" * 300).endswith("…")


def test_durations() -> None:
    assert [text.seconds(value) for value in (None, 0.04, 9.96, 59, 187, 3723)] == [
        "unknown", "0.0 s", "10.0 s", "59 s", "3:07", "1:02:03",
    ]  # fmt: skip


def test_ages_and_counts() -> None:
    assert text.age(NOON - timedelta(hours=3), NOON) == "3 hours"
    assert text.age(NOON + timedelta(hours=3), NOON) == "3 hours in the future"
    assert text.count(1, "entry", "entries") == "1 entry"
    assert text.count(1200, "entry", "entries") == "1,200 entries"
    assert text.stamp(NOON) == "2026-11-10T12:00:00Z"
