"""Colour: legible on both backgrounds, and never all that tells a state."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from rich.segment import Segment
from textual.pilot import Pilot

from pacs_recover import app
from pacs_recover.screens.console import Console
from pacs_recover.screens.run import RunPage
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading
from pacs_recover.widgets.ticking import Ticking
from tests.report import story
from tests.screens.acted import RUN, Acted, Told
from tests.screens.conftest import frame
from tests.screens.test_flows import press
from tests.screens.test_frames import MAIN, running, settle

LEGIBLE = 3.0
"""Contrast that WCAG 2.1 asks of bold or large text at least; plain text has more."""
TELLING = (*"✓✗!▸↶?·•…", "BAD", "LOOK", "DEMO", "READ-ONLY", "NOT ARMED", "DRILL", "LIVE RESTORE", "ROLLING BACK")
"""What tells a state without its colour."""
SHOUTED = re.compile(r"\b(ODD|COLD|THAWING|DELETED|OLDER|UNREAD|AGAIN|LOST|RTO|NOT UNDONE|A PERSON HAS TO)\b")
"""Words of a row that say what its colour says."""
STORIES: dict[str, Callable[[], story.Story]] = {
    "run": lambda: story.Story().do(0, 1, 2, 3, 4).begin(5),
    "run-rolling-back": lambda: story.Story().do(*range(9)).fail(9).wait(1.0),
    "run-incomplete": story.incomplete,
}
SCREENS = ("overview", "catalog", "preview", "plan", "arming", "bucket", "audit", "points", "filter", "commands")


async def opened(console: Console, pilot: Pilot[Any], name: str) -> None:
    """Go to a screen."""
    await settle(pilot)
    if name in STORIES:
        console.push_screen(RunPage(RUN, Told(STORIES[name]().events)))
        await pilot.pause(0.6)
    else:
        await press(pilot, *MAIN[name][1])
    await settle(pilot)


def session_of(name: str) -> Acted:
    """The session that a screen is shown with."""
    return running(STORIES[name]())[0] if name in STORIES else MAIN[name][0]()


def drawn(console: Console) -> Iterator[tuple[str, Segment]]:
    """Every piece of text on the screen, with the row that it stands in."""
    for strip in console.screen._compositor.render_strips():
        for segment in strip:
            if segment.text.strip():
                yield strip.text, segment


def contrast(console: Console, segment: Segment) -> float:
    """Of the text to its background, by WCAG 2.1."""
    style = segment.style
    assert style
    assert style.color
    assert style.bgcolor
    light = [luminance(color.get_truecolor(console.ansi_theme)) for color in (style.color, style.bgcolor)]
    return (max(light) + 0.05) / (min(light) + 0.05)


def luminance(colour: Sequence[int]) -> float:
    """The relative luminance of sRGB (WCAG 2.1)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
def test_every_screen_is_legible_on_both_backgrounds(theme: str) -> None:
    async def main() -> list[tuple[str, float, str]]:
        faint = []
        for name in (*SCREENS, *STORIES):
            console = Console(session_of(name), theme=theme)
            async with console.run_test(size=(80, 24)) as pilot:
                await opened(console, pilot, name)
                for _, segment in drawn(console):
                    if segment.text.strip("─│▌▁▂▃▄▅▆▇█ ") and contrast(console, segment) < LEGIBLE:
                        faint.append((name, round(contrast(console, segment), 1), segment.text))
        return faint

    assert asyncio.run(main()) == []


def lines_of(console: Console) -> Iterator[Line]:
    """What lists, pages and clocks on the screen show."""
    for page in console.screen.query(Reading):
        yield from page.lines
    for listing in console.screen.query(Listing):
        yield from (listing._draw(number, 78) for number in range(listing.count))
    for clock in console.screen.query(Ticking):
        yield from [clock._told] if clock._told else []


def test_no_state_is_told_by_its_colour_alone() -> None:
    async def main() -> list[tuple[str, str]]:
        silent = []
        for name in (*SCREENS, *STORIES):
            console = Console(session_of(name), theme="textual-dark")
            async with console.run_test(size=(80, 24)) as pilot:
                await opened(console, pilot, name)
                for line in lines_of(console):
                    told = any(word in line.start + line.text for word in TELLING) or SHOUTED.search(line.text)
                    if line.look in ("good", "warn", "bad") and not told and not line.text.startswith(("  -", "  +")):
                        silent.append((name, line.start + line.text))
        return silent

    assert asyncio.run(main()) == []


def test_the_background_is_changed_by_a_key_and_told_by_some_terminals() -> None:
    async def main() -> None:
        for dark, light in app.OTHER.items():
            console = Console(Acted(), theme=dark)
            async with console.run_test(size=(80, 24)) as pilot:
                await settle(pilot)
                before = frame(console)
                await press(pilot, "ctrl+t")
                assert console.theme == light
                assert frame(console) == before
                await press(pilot, "ctrl+t")
                assert console.theme == dark

    asyncio.run(main())
    assert app.theme_of({"TERM": "xterm-256color", "COLORFGBG": "0;default;15"}, False) == "textual-light"
    assert app.theme_of({"TERM": "xterm-256color", "COLORFGBG": "0;7"}, True) == "ansi-light"
    assert app.theme_of({"TERM": "xterm-256color", "COLORFGBG": "15;0"}, True) == "ansi-dark"
