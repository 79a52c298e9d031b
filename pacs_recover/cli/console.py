"""Opening the console from the command line: nothing else is loaded before it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pacs_recover import app

if TYPE_CHECKING:
    from pacs_recover.session import Session


def open_console(
    site: Path | None = None,
    state: Path | None = None,
    *,
    sites: Path | None = None,
    read_only: bool = False,
    slow: bool | None = None,
) -> int:
    """Open the console on the site, or on the table of many; where there is none, it offers to make a demo.

    Refused without a terminal.
    """
    with ExitStack() as stack:

        def make_demo() -> tuple[Session, Mapping[str, str]]:
            from pacs_recover.cli import demo

            return demo.session_of(demo.make(stack))

        return app.run(site, state, sites=sites, read_only=read_only, slow=slow, make_demo=make_demo)
