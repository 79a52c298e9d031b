"""Time zones by name, and the host's own with its changes of the hour."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo


class HostZone(tzinfo):
    """The host's local time as the C library keeps it (``TZ``, ``/etc/localtime``), with its changes of the hour.

    Timestamps of naive times follow PEP 495: ``fold`` chooses in a doubled hour, and shows that an hour is missing.
    """

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """As of that wall-clock time."""
        wall = _wall(moment)
        return timedelta(seconds=wall.replace(tzinfo=UTC).timestamp() - wall.timestamp())

    def dst(self, moment: datetime | None) -> None:
        """Not told by the C library."""

    def tzname(self, moment: datetime | None) -> str:
        """``CET``, ``CEST``."""
        return time.localtime(_wall(moment).timestamp()).tm_zone

    def fromutc(self, moment: datetime) -> datetime:
        """The wall-clock time of a UTC time, with ``fold`` set in the second of two equal hours."""
        wall = datetime.fromtimestamp(_wall(moment).replace(tzinfo=UTC).timestamp())
        return wall.replace(tzinfo=self, microsecond=moment.microsecond)

    def __repr__(self) -> str:
        return "HostZone()"


def _wall(moment: datetime | None) -> datetime:
    return (moment or datetime.now()).replace(tzinfo=None, microsecond=0)


def zone(name: str | None) -> tzinfo:
    """The time zone of this name (``Europe/Berlin``), or the host's. Raises ValueError."""
    if name is None:
        return HostZone()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("is no time zone: write one such as Europe/Berlin or UTC") from error
