"""Measures how long keys wait in the console where lists are long: a hundred thousand backups, as many lines.

``python benchmarks/long_lists.py``: the longest that the console's own loop was held up while each was done.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.model import Backup
from pacs_recover.screens.catalog import CatalogPage
from pacs_recover.screens.console import Console
from pacs_recover.session import Session
from pacs_recover.site import LocalConfig, Site
from pacs_recover.state import State
from pacs_recover.widgets.edges import Typed
from pacs_recover.widgets.line import Line
from pacs_recover.widgets.listing import Listing
from pacs_recover.widgets.reading import Reading

MANY = 100_000
NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
SLICES = 10
"""Parts in which a source tells its backups."""


def backup(number: int) -> Backup:
    """One of many."""
    taken = NOW - timedelta(minutes=number)
    name = f"queue_{taken:%Y%m%d_%H%M%S}"
    key = f"/backup/queue/{name}.db.gz"
    return Backup(id=f"queue/{name}@local", component="queue", source="local", key=key, taken_at=taken, size=465_400)


class Slowly(Session):
    """A site whose source tells a hundred thousand backups, a part at a time."""

    def read(self, source: Any, partly: Any = None) -> Catalog:
        """All, in the end."""
        every = tuple(map(backup, range(MANY)))
        for part in range(1, SLICES):
            time.sleep(0.3)
            partly(
                Catalog(every[: part * MANY // SLICES], (SourceState(source.name, "local", False, "still reading"),))
            )
        return Catalog(every, (SourceState(source.name, "local", True),))

    def status(self, found: Catalog) -> dict[str, Any]:
        """Of few: it is computed in a thread of its own."""
        return super().status(Catalog(found.backups[:10], found.sources))


class Lag:
    """How long the loop was held up."""

    worst = 0.0

    async def watch(self) -> None:
        """Look a thousand times a second."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.perf_counter() - began)

    async def told(self, what: str, do: Callable[[], Any], seconds: float) -> None:
        """Do something and print what it held up."""
        self.worst = 0.0
        do()
        await asyncio.sleep(seconds)
        sys.stdout.write(f"{what:48}{self.worst:6.3f} s\n")


@asynccontextmanager
async def watched() -> AsyncIterator[Lag]:
    """A lag that is measured meanwhile."""
    lag = Lag()
    task = asyncio.create_task(lag.watch())
    yield lag
    task.cancel()


async def main() -> None:
    """Everything in turn."""
    sources = (LocalConfig(name="local", path=Path("/nonexistent")),)
    console = Console(Slowly(Site(sources=sources), State(Path("/nonexistent")), True))
    async with console.run_test(size=(80, 24)) as pilot, watched() as lag:
        await lag.told("100,000 backups are read, the catalog open", lambda: console.show_catalog(""), 6)
        page = console.screen
        assert isinstance(page, CatalogPage)
        rows, words = page.query_one("#backups", Listing), page.query_one("#filter", Typed)
        for name, do in (("end", lambda: rows.action_edge(-1)), ("page up", lambda: rows.action_page(-1))):
            await lag.told(f"  {name}", do, 0.3)
        page.action_filter()
        for letter in "2026":
            await lag.told(
                f"  / and a letter: {letter}", lambda letter=letter: words.insert_text_at_cursor(letter), 0.6
            )
        console.pop_screen()
        await asyncio.sleep(0.3)
        text = console.screen.query_one("#below", Reading)
        lines = [Line(f"line {number} " + "of a log " * 12, "", "  • ") for number in range(MANY)]
        await lag.told("100,000 lines are shown", lambda: text.show(lines), 1)
        await lag.told("  end, while they are wrapped", lambda: text.action_edge(1), 12)
        await lag.told("  page up", lambda: text.action_leaf(-1), 0.3)
        await pilot.pause()


if __name__ == "__main__":
    asyncio.run(main())
