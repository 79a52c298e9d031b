"""Opens the console: what a slow link needs is settled before Textual is loaded, which reads it only then."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pacs_recover.errors import Refused

if TYPE_CHECKING:
    from pacs_recover.session import Session

SLOW = {"TEXTUAL_FPS": "10", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
"""Ten frames a second, nothing that moves by itself."""
ANSI = "ansi-dark"
FULL = "textual-dark"
OTHER = {"ansi-dark": "ansi-light", "textual-dark": "textual-light"}
"""The same for a light background."""
LIGHT = ("7", "15")
"""Backgrounds in ``$COLORFGBG``, which some terminals set, that are white."""

MakeDemo = Callable[[], "tuple[Session, Mapping[str, str]]"]
"""Makes a demo site: its session and the guide's sentence for each screen."""


def run(
    site: Path | None = None,
    state: Path | None = None,
    *,
    read_only: bool = False,
    slow: bool | None = None,
    guide: Mapping[str, str] | None = None,
    make_demo: MakeDemo | None = None,
    sites: Path | None = None,
) -> int:
    """Open the console and return its exit code; ``slow`` None is automatic on SSH. Refused where there is no screen.

    ``sites`` is a directory of site files: the first screen is their table. ``guide`` is a sentence for each screen of
    a demo; ``make_demo`` makes one where there is no site.
    """
    environ = os.environ
    refuse_terminal(environ, sys.stdin.isatty() and sys.stdout.isatty())
    slow = is_slow(environ) if slow is None else slow
    if all(os.get_terminal_size(sys.stdout.fileno())):  # a serial line may not know it
        for stale in ("COLUMNS", "LINES"):  # as a shell exported them; Textual believes them after every resize
            environ.pop(stale, None)
    environ.setdefault("TEXTUAL_THEME", theme_of(environ, slow))
    if slow:
        for name, value in SLOW.items():
            environ.setdefault(name, value)
    from pacs_recover.screens.console import Console

    if sites:
        from pacs_recover.sessions import Sessions

        console = Console(None, read_only=read_only, sites=Sessions(sites.absolute(), state, read_only))
    else:
        console = Console(lambda: open_site(site, state, read_only), guide, read_only=read_only)
    if make_demo and not read_only:
        console.make_demo = make_demo
    code = console.run(mouse=False)
    if console.last_words:
        sys.stdout.write(console.last_words)
    return code or console.return_code or 0


def open_site(site: Path | None, state: Path | None, read_only: bool) -> Session:
    """The session; its modules are loaded here, after the first screen is seen. UsageError."""
    from pacs_recover.session import open_session

    return open_session(site, state, read_only)


def is_slow(environ: Mapping[str, str]) -> bool:
    """Whether the terminal is at the other end of a network."""
    return bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))


def theme_of(environ: Mapping[str, str], slow: bool) -> str:
    """The terminal's own 16 colours on a slow link, where it has no more, and where colour is not wanted.

    Light where the terminal says so.
    """
    few = "256color" not in environ.get("TERM", "") and not environ.get("COLORTERM")
    theme = ANSI if slow or few or "NO_COLOR" in environ else FULL
    return OTHER[theme] if environ.get("COLORFGBG", "").rpartition(";")[2] in LIGHT else theme


def refuse_terminal(environ: Mapping[str, str], interactive: bool) -> None:
    """Refused where there is no terminal, or one that cannot place text."""
    instead = "without one: pacs-recover status, catalog, plan, restore (see pacs-recover --help)"
    if not interactive:
        raise Refused("the console needs a terminal on both ends", instead)
    if environ.get("TERM", "") in ("", "dumb", "unknown"):
        raise Refused(f"TERM={environ.get('TERM', '')} cannot show the console", instead)
