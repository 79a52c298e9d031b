"""How this program is called: again for the same site."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from pacs_recover.state import default_place


def program(site: Path | None, state: Path | None, *, read_only: bool = False) -> str:
    """The words before a command that name the same site file and state directory; the usual ones are left out."""
    words = ["pacs-recover"]
    if site is not None:
        words += ["--site", str(site.absolute())]
    if state is not None and state.absolute() != default_place():
        words += ["--state", str(state.absolute())]
    return " ".join(map(quote, words + (["--read-only"] if read_only else [])))
