"""What a group of sites says: a row a site, how many are not fine, all that is not fine of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pacs_recover.text import count
from pacs_recover.widgets.line import LOOKS, Line, cells, stated, title

if TYPE_CHECKING:
    from pathlib import Path

    from pacs_recover.errors import RecoverError
    from pacs_recover.group import Member

    Told = Mapping[str, Any] | RecoverError | None
    """A site's status, or why there is none; None while it is read."""

WORDS = {"bad": "need somebody", "warn": "to look at", "ok": "fine"}


def head() -> str:
    """The heads of the columns."""
    return " " + _columns("", "SITE", "VERIFIED", "DRILL", "WORST")


def _columns(symbol: str, name: str, verified: str, drill: str, worst: str) -> str:
    return cells((symbol, 1), (name, 20), (verified, 8), (drill, 5), (worst, 200))


def row(member: Member, told: Told) -> Line:
    """One site."""
    from pacs_recover import group

    problem = member.problem or (told if isinstance(told, Exception) else None)
    if problem:
        return Line(_columns(*group.failed_row(member, problem)), "bad")
    if told is None or isinstance(told, Exception):
        return Line(_columns("…", member.name, "", "", "reading"))
    return Line(_columns(*group.row(told)), LOOKS[told["state"]])


def summary(members: Sequence[Member], told: Mapping[Path, Told]) -> Line:
    """How many there are, and how they stand."""
    states = Counter(state_of(member, told.get(member.path)) for member in members)
    parts = [f"{states[state]:,} {word}" for state, word in WORDS.items() if states[state]]
    parts += [f"reading {states['']:,}…"] if states[""] else []
    look = next((state for state in ("bad", "warn") if states[state]), "ok")
    return Line(f"{count(len(members), 'site')}: {', '.join(parts)}", LOOKS[look])


def state_of(member: Member, told: Told) -> str:
    """The worst of a site; nothing while that is not known."""
    if member.problem or isinstance(told, Exception):
        return "bad"
    return "" if told is None else str(told["state"])


def below(member: Member, told: Told) -> list[Line]:
    """Everything that is not fine of one site."""
    from pacs_recover import standing

    lines = [title(f"{member.name} ({member.path})")]
    problem = member.problem or (told if isinstance(told, Exception) else None)
    if problem:
        said = [Line(text.strip(), "bad", "  ✗ ") for text in problem.message.splitlines()]
        return [*lines, *said, Line(f"next: {problem.hint}", "", "    ")]
    if told is None or isinstance(told, Exception):
        return [*lines, Line("reading…", "", "  … ")]
    found = [stated(state, text) for state, text in standing.issues(told)]
    return [*lines, *(found or [stated("ok", "all fine")])]
