"""Every key that the last line of a screen offers does something there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from pacs_recover.screens.console import Console
from pacs_recover.screens.run import RunPage
from pacs_recover.widgets.edges import NAMES, shown
from tests.report import story
from tests.screens.acted import RUN, TIMES, Acted, Told, bucket, replicated, report_of
from tests.screens.conftest import frame
from tests.screens.test_frames import drilled, settle

LEAVES = {"q", "esc"}
"""Pressed by other tests: they end the screen."""
Open = Callable[[Console, Pilot[Any]], Awaitable[None]]


def after(*keys: str) -> Open:
    """A screen that keys lead to."""

    async def go(_: Console, pilot: Pilot[Any]) -> None:
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return go


def run_of(told: Callable[[], story.Story], *keys: str) -> Open:
    """The screen of a run, and what keys lead to from there."""

    async def go(console: Console, pilot: Pilot[Any]) -> None:
        console.push_screen(RunPage(RUN, Told(told().events)))
        await pilot.pause(0.4)
        await after(*keys)(console, pilot)

    return go


def told_session() -> Acted:
    """One with a run that ended well, and times of others."""
    session = Acted()
    session.story, session.told = Told(story.restored().events), report_of(story.restored().events)
    session.times = TIMES
    session.past = [{"run": RUN.name, "outcome": "restored", "components": ["queue"], "path": RUN}]
    return session


def drill_session() -> Acted:
    """One with a drill that is over."""
    session = told_session()
    session.told = report_of(drilled().events)
    return session


ASKS = lambda: story.Story().do(0, 1, 2).begin(3)  # noqa: E731 - a story in the making
SCREENS: dict[str, tuple[Callable[[], Acted], Open]] = {
    "overview": (told_session, after()),
    "catalog": (told_session, after("c")),
    "bucket": (bucket, after("c", "down")),
    "preview": (told_session, after("c", "enter")),
    "thaw": (bucket, after("c", "down", "t")),
    "choose": (told_session, after("f")),
    "plan": (told_session, after("f", "enter")),
    "points": (replicated, after("i", "down")),
    "runs": (told_session, after("t")),
    "history": (told_session, after("v")),
    "audit": (told_session, after("w")),
    "drill": (told_session, after("d")),
    "run": (told_session, run_of(ASKS)),
    "run-over": (told_session, run_of(story.restored)),
    "report": (told_session, run_of(story.restored, "enter")),
    "undo": (told_session, run_of(story.restored, "enter", "b")),
    "notes": (drill_session, run_of(drilled, "n", "escape")),
    "handover": (told_session, run_of(story.restored, "h")),
    "help": (told_session, after("question_mark")),
}


@pytest.mark.parametrize("name", SCREENS)
def test_every_key_of_the_last_line_does_something(name: str) -> None:
    make, go = SCREENS[name]
    spelled = {display: key for key, display in NAMES.items()} | {"^p": "ctrl+p", ".": "full_stop", "←→": "right"}

    async def one(key: str | None) -> list[str]:
        console = Console(make(), theme="textual-dark")
        async with console.run_test(size=(120, 24)) as pilot:
            await settle(pilot)
            await go(console, pilot)
            if key is None:
                return [display for display, _ in shown(console.screen)]
            before = (frame(console), console.screen)
            console.session.clock += timedelta(minutes=7)  # type: ignore[attr-defined]
            await pilot.press(spelled.get(key, key))
            await settle(pilot)
            if (frame(console), console.screen) == before:
                await pilot.pause(0.5)
            return [] if (frame(console), console.screen) != before else [key]

    async def main() -> list[str]:
        keys = [key for key in await one(None) if key not in LEAVES]
        assert keys
        every = await asyncio.gather(*map(one, keys))
        return [key for dead in every for key in dead]

    assert asyncio.run(main()) == []
