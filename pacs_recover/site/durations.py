"""Durations as a person writes them in the site file."""

from __future__ import annotations

import re

UNITS = {
    unit: seconds
    for units, seconds in {
        "s sec second seconds": 1,
        "m min minute minutes": 60,
        "h hour hours": 3600,
        "d day days": 86400,
    }.items()
    for unit in units.split()
}
DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([a-z]*)")
LONGEST = 100 * 365 * 86400
"""Seconds; what is longer is a slip."""


def duration(value: object) -> float:
    """Seconds of ``30s``, ``5m``, ``15 min``, ``1h``, ``7d`` or a plain number of seconds. Raises ValueError."""
    match = None if isinstance(value, bool) else DURATION.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in {"", *UNITS}:
        raise ValueError("is no duration: write 30s, 5m, 1h, 7d or a number of seconds")
    seconds = float(match[1]) * UNITS.get(match[2], 1)
    if seconds > LONGEST:
        raise ValueError("is longer than a hundred years")
    return seconds


def text(seconds: float) -> str:
    """The shortest exact way to write it: ``90s``, ``5m``, ``7d``."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS[unit] == 0:
            return f"{seconds // UNITS[unit]:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
