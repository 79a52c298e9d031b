"""Only what differs is sent, and it brings a terminal to exactly what is to be seen."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from rich.segment import Segment
from rich.style import Style
from textual import timer
from textual.containers import Container
from textual.strip import Strip

from pacs_recover.screens.thrifty import GAP, Cell, Thrifty, cells, changes, runs
from pacs_recover.widgets.once import once

STYLES = (Style(), Style(bold=True), Style(color="red"))
TEXT = "ab  ✓·漢字é…"


def strip(seed: random.Random, width: int) -> Strip:
    """A row of so many columns: plain, wide and combining characters in a few styles."""
    pieces: list[Segment] = []
    left = width
    while left > 0:
        char = seed.choice(TEXT) if left > 1 else "x"
        piece = Segment(char + seed.choice(("", "", "\u0301")), seed.choice(STYLES))
        pieces.append(piece)
        left -= Strip([piece]).cell_length
    return Strip(pieces)


def sent(shown: list[list[Cell]], rows: list[Strip]) -> int:
    """Put the changes onto a terminal that shows this; how many cells were sent."""
    many = 0
    for x, y, piece in changes(BEFORE, rows):
        new = cells(piece)
        assert new[0][0] != "", "no piece begins within a wide character"
        shown[y][x : x + len(new)] = new
        many += len(new)
    return many


BEFORE: list[Strip] = []


@pytest.mark.parametrize("number", range(40))
def test_a_terminal_comes_to_show_the_new_rows_whatever_they_are(number: int) -> None:
    seed = random.Random(number)
    BEFORE[:] = [strip(seed, 40) for _ in range(5)]
    rows = [seed.choice((old, strip(seed, 40))) for old in BEFORE]
    shown = [cells(old) for old in BEFORE]
    many = sent(shown, rows)
    assert shown == [cells(row) for row in rows]
    assert many <= sum(row.cell_length for row, old in zip(rows, BEFORE, strict=True) if row != old)


def test_a_clock_that_ticks_costs_its_seconds_and_a_screen_that_stays_nothing() -> None:
    before = [Strip([Segment(f"took {seconds:>4} s of 15:00" + " " * 40)]) for seconds in (7, 7)]
    after = [before[0], Strip([Segment("took    8 s of 15:00" + " " * 40)])]
    ((x, y, piece),) = changes(before, after)
    assert (x, y, piece.text) == (8, 1, "8")
    assert changes(after, after) == []


def test_far_cells_are_sent_apart_and_close_ones_together() -> None:
    old, new = cells(Strip([Segment("." * 40)])), cells(Strip([Segment("." * 40)]))
    new[2] = new[2 + GAP] = new[35] = ("x", None)
    assert list(runs(old, new)) == [(2, 3 + GAP), (35, 36)]


def test_another_size_is_sent_whole() -> None:
    one, wider = Strip([Segment("ab")]), Strip([Segment("abc")])
    assert [piece.text for _, _, piece in changes([one], [one, one])] == ["ab", "ab"]
    assert [piece.text for _, _, piece in changes([one], [wider])] == ["abc"]


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which every timer's task waits for the processor between its first two looks at the clock."""
    looks: Counter[Any] = Counter()

    def late() -> float:
        looks[task := asyncio.current_task()] += 1
        if looks[task] == 2:
            time.sleep(0.05)
        return time.monotonic()

    monkeypatch.setattr(timer, "_time", SimpleNamespace(get_time=late, sleep=asyncio.sleep))


async def until(reached: Any) -> bool:
    """Whether it came within five seconds."""
    end = time.monotonic() + 5.0
    while not reached() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return bool(reached())


@pytest.mark.usefixtures("busy")
def test_every_size_of_the_window_reaches_the_screen_on_a_busy_machine() -> None:
    async def resized() -> None:
        app, filled = Thrifty(), Container()
        async with app.run_test(size=(80, 24)) as pilot:
            await app.mount(filled)
            for size in ((120, 40), (60, 20), (80, 24)):
                await pilot.resize_terminal(*size)
                assert await until(lambda size=size: tuple(filled.size) == size), filled.size

    asyncio.run(resized())


@pytest.mark.usefixtures("busy")
def test_what_is_done_after_a_while_is_done_once_on_a_busy_machine() -> None:
    async def waited() -> list[str]:
        done: list[str] = []
        app = Thrifty()
        async with app.run_test():
            once(app, 0.03, lambda: done.append("late"))
            once(app, 0.03, lambda: done.append("taken back")).stop()
            assert await until(lambda: done)
            await asyncio.sleep(0.2)
        return done

    assert asyncio.run(waited()) == ["late"]
