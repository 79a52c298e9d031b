"""Recovery times as a chart of plain characters."""

from __future__ import annotations

import pytest

from pacs_recover import chart
from tests.screens.acted import TIMES, took


@pytest.mark.parametrize("width", [72, 77, 120])
def test_a_chart_is_no_wider_than_asked_and_of_plain_characters(width: int) -> None:
    for text, _ in chart.rows(TIMES, width):
        assert text.isascii()
        assert len(text) <= width


def test_a_bar_is_as_long_as_its_time_and_the_rto_stands_where_it_is() -> None:
    rows = [text for text, _ in chart.rows([took(2, 300.0), took(1, 600.0), took(0, 1200.0)], 100)][1:4]
    bars = [row[chart.BEFORE : chart.BEFORE + 60] for row in rows]
    assert [bar.count("#") for bar in bars] == [15, 30, 58]
    assert {bar.index("|") for bar in bars} == {30}
    assert [row.split()[-1] for row in rows] == ["met", "met", "MISSED"]


def test_what_did_not_recover_has_words_and_what_was_missed_is_bad() -> None:
    ends = {"rolled_back": "bad", "rollback_incomplete": "bad", "failed_untouched": "bad", "interrupted": "warn"}
    times = [took(0, None, outcome=outcome) for outcome in ends] + [took(0, 1e6)]
    rows = list(chart.rows(times, 80))[1:-1]
    assert [state for _, state in rows] == [*ends.values(), "bad"]
    assert all(
        word in text for word, (text, _) in zip(("ROLLED", "INCOMPLETE", "FAILED", "interrupt"), rows[:4], strict=True)
    )


def test_only_the_newest_are_shown_and_how_many_are_not() -> None:
    rows = [text for text, _ in chart.rows([took(99 - n, 60.0 + n) for n in range(30)], 80)]
    assert "30 runs, the last 1.0 s slower than the one before; 18 older runs not shown" in rows[0]
    assert sum("#" in row for row in rows) == chart.NEWEST


def test_an_rto_that_is_not_known_is_missed_by_nobody() -> None:
    (bar, state) = list(chart.rows([took(0, 60.0, rto_seconds=None, met=None)], 80))[1]
    assert "|" not in bar
    assert state == "ok"
