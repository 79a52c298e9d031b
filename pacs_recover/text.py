"""Text for people: names from outside made harmless, amounts and times as an operator reads them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, tzinfo

UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that can move a cursor, reorder text or hide in it."""


def safe(text: object, limit: int = 200) -> str:
    """Outside text with control, format and bidirectional characters escaped, cut to ``limit`` characters."""
    head = str(text)[: limit + 1]
    if head.isascii() and head.isprintable():  # nearly all, of a hundred thousand names
        return head if len(head) <= limit else head[:limit] + "…"
    escaped = "".join(_escape(char) if unicodedata.category(char) in UNSAFE else char for char in head)
    return escaped if len(head) <= limit else escaped[:limit] + "…"


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def size(count: int | float | None) -> str:
    """Bytes for a person: ``1.2 MB``; ``unknown`` for None."""
    import humanize

    return "unknown" if count is None else str(humanize.naturalsize(count))


def seconds(value: float | None) -> str:
    """A duration as ``0.4 s``, ``12 s``, ``3:07`` (minutes) or ``1:02:03`` (hours); ``unknown`` for None."""
    if value is None:
        return "unknown"
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def brief(seconds: float | None) -> str:
    """A rough duration in one unit: ``40s``, ``90m``, ``20h``, ``7d``."""
    if seconds is None:
        return "-"
    for limit, unit, name in ((60, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if abs(seconds) < limit:
            return f"{int(seconds / unit)}{name}"
    return f"{int(seconds / 86400):,}d"


def stamp(moment: datetime) -> str:
    """An aware time as RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def span(value: float) -> str:
    """A long duration, roughly: ``90 days``, ``36 h``; a short one as ``seconds``."""
    for limit, unit, name in ((172800, 86400, "days"), (7200, 3600, "h")):
        if value >= limit:
            return f"{int(value // unit):,} {name}"
    return seconds(value)


def precise(moment: datetime) -> str:
    """An aware time as RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def both_times(moment: datetime, zone: tzinfo | None = None) -> str:
    """A time in UTC and in local (or the given) time, as the operator's wall clock shows it."""
    utc, local = moment.astimezone(UTC), moment.astimezone(zone)
    day = "" if local.date() == utc.date() else f"{local:%Y-%m-%d} "
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC ({day}{local:%H:%M %Z})"


def age(since: datetime, now: datetime) -> str:
    """How long ago, roughly: ``3 hours``; the future is said to be one."""
    import humanize

    delta = now - since
    words = str(humanize.naturaldelta(abs(delta)))
    return f"{words} in the future" if delta < -timedelta(seconds=1) else words


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 file``, ``2 files``, ``3 entries`` (with ``plural`` given)."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
