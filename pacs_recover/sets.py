"""Recovery sets: one backup of each component that belong together in time, from whichever sources they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from pacs_recover import catalog
from pacs_recover.catalog import Catalog
from pacs_recover.model import LIVE, Backup
from pacs_recover.text import stamp

ROUND = timedelta(minutes=10)
"""How long one round of backups may take: what was taken so shortly after a backup belongs to its time."""
HANDFUL = 5
"""How many sets are proposed."""
STEADY = ("config", "certs")
"""The components that change seldom: their backups are the times that sets are proposed for."""


class RecoverySet(Struct, frozen=True, kw_only=True):
    """What each component was at one time, as far as it was backed up."""

    anchor: datetime
    """The time that it is meant for."""
    members: tuple[Backup, ...]
    """The newest usable backup of each component at or before the anchor."""
    missing: tuple[str, ...] = ()
    """The components without one."""

    @property
    def spread(self) -> float:
        """Seconds between the oldest and the newest of it."""
        times = [backup.taken_at for backup in self.members]
        return (max(times) - min(times)).total_seconds() if times else 0.0

    def skew(self, backup: Backup) -> float:
        """Seconds before the anchor that a member was taken."""
        return skew(backup, self.anchor)


def skew(backup: Backup, anchor: datetime) -> float:
    """Seconds before a time that a backup was taken; negative where it is newer."""
    return (anchor - backup.taken_at).total_seconds()


def at(found: Catalog, anchor: datetime | None = None, names: Iterable[str] = LIVE) -> RecoverySet:
    """The set of a time; without one the newest of each, which loses least."""
    every = {name: catalog.newest(found, name, anchor) for name in names}
    members = tuple(backup for backup in every.values() if backup)
    latest = max((backup.taken_at for backup in members), default=datetime.fromtimestamp(0, UTC))
    missing = tuple(name for name, backup in every.items() if backup is None)
    return RecoverySet(anchor=anchor or latest, members=members, missing=missing)


def propose(found: Catalog, names: Iterable[str] = LIVE, most: int = HANDFUL) -> tuple[RecoverySet, ...]:
    """The newest of each, then the sets of the times at which configuration or certificates were backed up."""
    names = tuple(names)
    proposed: dict[tuple[str, ...], RecoverySet] = {}
    for anchor in (None, *_anchors(found)):
        one = at(found, anchor, names)
        if one.members:
            proposed.setdefault(tuple(backup.id for backup in one.members), one)
        if len(proposed) >= most:
            break
    return tuple(proposed.values())


def _anchors(found: Catalog) -> Iterator[datetime]:
    """Newest first; of each round of backups the time at which it was complete."""
    times = [backup.taken_at for backup in found.backups if backup.component in LIVE and catalog.is_usable(backup)]
    for backup in found.backups:
        if backup.component in STEADY and catalog.is_usable(backup):
            yield max(time for time in times if backup.taken_at <= time <= backup.taken_at + ROUND)


def exact(anchor: datetime) -> str:
    """A time as RFC 3339 in UTC with all its digits: given back with ``--at`` it is this very set's."""
    return anchor.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_json(one: RecoverySet) -> dict[str, Any]:
    """The JSON contract of one proposed set."""
    return {
        "anchor": exact(one.anchor),
        "spread_seconds": one.spread,
        "members": [
            {
                "component": backup.component,
                "backup": backup.id,
                "source": backup.source,
                "taken_at": stamp(backup.taken_at),
                "skew_seconds": one.skew(backup),
            }
            for backup in one.members
        ],
        "missing": list(one.missing),
    }
