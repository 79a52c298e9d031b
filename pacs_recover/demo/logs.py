"""The demo's logs: JSON lines of a plausible day, counts and states only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random


def bridge_log(begin: datetime, end: datetime, seed: int) -> str:
    """The service's own log between two times: one line every five minutes or so."""
    rng = Random(seed)  # noqa: S311 - repeatable, not secret
    return _lines(_bridge(rng, begin, end))


def audit_log(begin: datetime, end: datetime, seed: int) -> str:
    """Who connected when: one line an hour."""
    rng = Random(seed)  # noqa: S311 - repeatable, not secret
    return _lines(_audit(rng, begin, end))


def _lines(entries: Iterator[dict[str, object]]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def _bridge(rng: Random, begin: datetime, end: datetime) -> Iterator[dict[str, object]]:
    while begin < end:
        yield _entry(begin, "info", "queue", "messages delivered", count=rng.randrange(5, 60))
        if rng.random() < 0.2:
            yield _entry(begin, "warn", "outbound", "EMR_ARCHIVE refused the connection", attempt=rng.randrange(1, 10))
        begin += timedelta(seconds=rng.randrange(240, 360))


def _audit(rng: Random, begin: datetime, end: datetime) -> Iterator[dict[str, object]]:
    while begin < end:
        yield _entry(begin, "info", "audit", "HIS_DEMO connected", session=f"{rng.getrandbits(32):08x}")
        begin += timedelta(minutes=rng.randrange(40, 80))


def _entry(at: datetime, level: str, logger: str, message: str, **fields: object) -> dict[str, object]:
    return {
        "timestamp": at.isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": message,
    } | fields
