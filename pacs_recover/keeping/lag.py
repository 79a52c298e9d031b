"""How far a Litestream replica is behind the live queue."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from pacs_recover.errors import RecoverError, SourceError
from pacs_recover.model import Backup, FactState
from pacs_recover.site import LitestreamConfig, Site
from pacs_recover.sources import Problem, replica_of
from pacs_recover.text import both_times, seconds, stamp

SETTLED = 10.0
"""Seconds that a change may take until it is replicated: a few of the guide's sync intervals."""
LATE = 60.0
"""Seconds after which somebody should look."""


class Lag(Struct, frozen=True):
    """One replica against the live queue."""

    source: str
    changed_at: datetime | None
    """When the live queue was written last; None where it is not there."""
    newest: datetime | None
    """The replica's newest point."""
    seconds: float | None
    """By how much the replica's newest point is older than the last change; None where that is unknown."""
    state: FactState
    sentence: str


def measure(site: Site, now: datetime | None = None) -> tuple[Lag, ...]:
    """Of every replica that the site's Litestream writes."""
    moment = now or datetime.now(UTC)
    return tuple(_of(site, one, moment) for one in site.sources if isinstance(one, LitestreamConfig) and one.followed)


def _of(site: Site, one: LitestreamConfig, now: datetime) -> Lag:
    try:
        newest = _newest(site, one)
    except RecoverError as error:
        return Lag(one.name, None, None, None, "bad", f"unknown: {error.message}")
    return against(site, one.name, newest, now)


def against(site: Site, source: str, newest: datetime | None, now: datetime) -> Lag:
    """A replica whose newest point is known, against the live queue."""
    try:
        changed = changed_at(site)
    except OSError as error:
        said = f"unknown: {site.live.queue} cannot be looked at: {error.strerror}"
        return Lag(source, None, newest, None, "bad", said)
    if newest is None:
        return Lag(source, changed, None, None, "bad", "there is no point in the replica")
    if changed is None:
        said = f"unknown: there is no live queue; newest point {both_times(newest)}"
        return Lag(source, None, newest, None, "warn", said)
    behind = max(0.0, (changed - newest).total_seconds())
    state = _state(site, behind, (now - changed).total_seconds())
    said = f"{seconds(behind)} behind" if behind else "up to date"
    return Lag(source, changed, newest, behind, state, f"{said}; newest point {both_times(newest)}")


def _state(site: Site, behind: float, since: float) -> FactState:
    """A change of just now need not have arrived; what is behind by more than the RPO would be lost."""
    rpo = site.objectives["queue"].rpo
    if rpo is not None and behind > rpo:
        return "bad"
    return "warn" if behind > LATE and since > SETTLED else "ok"


def changed_at(site: Site) -> datetime | None:
    """When the live queue was written last: by its write-ahead log, as checkpoints write the database without a change.

    OSError.
    """
    log, database = (_times(f"{site.live.queue}{end}") for end in ("-wal", ""))
    found = log if log and log[1] else database
    return datetime.fromtimestamp(found[0], UTC) if found else None


def _times(name: str) -> tuple[float, int] | None:
    """The time of the last write, and the size. OSError."""
    try:
        found = os.stat(name)
    except FileNotFoundError:
        return None
    return found.st_mtime, found.st_size


def _newest(site: Site, one: LitestreamConfig) -> datetime | None:
    """The time of its newest point, which is listed first. SourceError."""
    problem: Problem | None = None
    for found in replica_of(one, site).listing("queue"):
        if isinstance(found, Backup):
            return found.taken_at
        problem = problem or found
    if problem:
        raise SourceError(f"{problem.place}: {problem.reason}", problem.hint)
    return None


def to_json(lags: tuple[Lag, ...]) -> dict[str, Any]:
    """The JSON contract of ``litestream lag``."""
    return {
        "replicas": [
            {
                "source": one.source,
                "changed_at": stamp(one.changed_at) if one.changed_at else None,
                "newest": stamp(one.newest) if one.newest else None,
                "lag_seconds": one.seconds,
                "state": one.state,
                "sentence": one.sentence,
            }
            for one in lags
        ]
    }
