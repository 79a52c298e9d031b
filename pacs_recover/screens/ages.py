"""Ages and times as short as a column of 80 needs them."""

from __future__ import annotations

from datetime import UTC, datetime

STEPS = ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h"))


def short_age(seconds: float) -> str:
    """``50min``, ``20h``, ``7d``; ``AHEAD`` for what lies in the future."""
    if seconds < -1:
        return "AHEAD"
    unit, word = next(((unit, word) for below, unit, word in STEPS if seconds < below), (86400, "d"))
    return f"{seconds / unit:.0f}{word}"


def minute(moment: datetime) -> str:
    """A time in UTC to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
