"""How this program is called: again for the same site, and by itself in another process."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote

from pacs_recover.state import default_place

HOME = Path(__file__).parents[1]
"""Where the package lies."""
UNPACKED = (HOME / "__main__.py").is_file()
"""Whether that is what the one file unpacked: then no Python finds it by itself, but runs the directory."""


def module(name: str) -> list[str]:
    """The words that run a module of this program in a Python of its own."""
    return [sys.executable, *([str(HOME)] if UNPACKED else ["-m"]), name]


def itself() -> list[str]:
    """The words that run this very program, at any later time: what was unpacked may be gone by then."""
    return [sys.executable, str(Path(sys.argv[0]).absolute())] if UNPACKED else module("pacs_recover")


def program(site: Path | None, state: Path | None, *, read_only: bool = False) -> str:
    """The words before a command that name the same site file and state directory; the usual ones are left out."""
    words = ["pacs-recover"]
    if site is not None:
        words += ["--site", str(site.absolute())]
    if state is not None and state.absolute() != default_place():
        words += ["--state", str(state.absolute())]
    return " ".join(map(quote, words + (["--read-only"] if read_only else [])))
