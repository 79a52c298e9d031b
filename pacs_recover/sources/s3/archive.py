"""Objects in an archive tier: how long until they can be read, and the one request that changes that."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from pacs_recover.authority import Authority
from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import Backup, Fact
from pacs_recover.sources.s3.client import connected, telling
from pacs_recover.sources.s3.place import Place, place_of
from pacs_recover.text import safe, seconds, stamp

if TYPE_CHECKING:
    from pacs_recover.sources.s3 import S3Source
    from pacs_recover.sources.s3.pages import Entry

HOUR = 3600.0
Tier = Literal["Expedited", "Standard", "Bulk"]
TIERS: tuple[Tier, ...] = ("Expedited", "Standard", "Bulk")
FLEXIBLE = {
    "Expedited": (5 * 60, "1 to 5 minutes"),
    "Standard": (5 * HOUR, "3 to 5 hours"),
    "Bulk": (12 * HOUR, "5 to 12 hours"),
}
DEEP = {"Standard": (12 * HOUR, "up to 12 hours"), "Bulk": (48 * HOUR, "up to 48 hours")}
INTELLIGENT = {"ARCHIVE_ACCESS": FLEXIBLE, "DEEP_ARCHIVE_ACCESS": DEEP}
"""Where Intelligent-Tiering put an object; only the object itself tells it, and it is thawed for good."""
WAIT: dict[str, dict[str, tuple[float, str]]] = {"GLACIER": FLEXIBLE, "DEEP_ARCHIVE": DEEP, **INTELLIGENT}
"""Seconds at most and words, by storage class and tier: Amazon S3 User Guide, "Archive retrieval options"."""
DAYS = 7
"""How long a thawed copy stays."""


class Thaw(Struct, frozen=True):
    """How readable an archived backup is."""

    state: Literal["readable", "thawing", "archived"]
    storage_class: str
    detail: str
    """For a person: how long it takes at most, or until when it can be read."""
    until: datetime | None = None
    """When a thawed copy goes again; None where it does not, or is not known."""


def is_archived(storage_class: str) -> bool:
    """Whether objects of this class must be thawed before they can be read."""
    return storage_class in WAIT


def waiting(storage_class: str, tier: str = "Standard") -> tuple[float, str]:
    """Until an object of this class can be read once asked for: seconds at most, and words.

    Raises UsageError for a tier that it lacks.
    """
    if tier not in WAIT.get(storage_class, {}):
        offered = ", ".join(WAIT.get(storage_class, {})) or "none: it can be read at once"
        raise UsageError(f"{safe(storage_class)} has no tier {safe(tier)}", f"tiers: {offered}")
    return WAIT[storage_class][tier]


def findings(entry: Entry, rto: float | None) -> tuple[Fact, ...]:
    """What an operator must know of an archived object before a restore is planned with it."""
    if not is_archived(entry.storage_class):
        return ()
    if entry.thawed_until:
        return (Fact("thawed", f"{entry.storage_class}: can be read until {stamp(entry.thawed_until)}"),)
    if entry.thawing:
        longest = WAIT[entry.storage_class]["Standard"][1]
        return (Fact("thawing", f"{entry.storage_class}: {longest} from when it was asked (tier Standard)", "warn"),)
    return (Fact("archived", needs_thaw(entry.storage_class, rto), "warn"),)


def needs_thaw(storage_class: str, rto: float | None) -> str:
    """How long each tier takes until an object of this class can be read, against the RTO."""
    tiers = WAIT.get(storage_class, {})
    times = ", ".join(f"{words} ({tier})" for tier, (_, words) in tiers.items()) or "for an unknown time"
    return f"{safe(storage_class)}: can be read after a thaw, {times}{_against(tiers, rto)}"


def _against(tiers: dict[str, tuple[float, str]], rto: float | None) -> str:
    if rto is None:
        return ""
    late = [tier for tier, (longest, _) in tiers.items() if longest > rto]
    if not late:
        return ""
    which = "every tier is" if len(late) == len(tiers) else f"{' and '.join(late)} {'is' if len(late) == 1 else 'are'}"
    return f"; {which} slower than the RTO of {seconds(rto)}"


def state_of(source: S3Source, backup: Backup) -> Thaw:
    """Whether a backup of this source can be read now, as the bucket says it. SourceError."""
    with connected(source.config) as client:
        return state_at(client, place_of(backup.key))


def state_at(client: Any, place: Place) -> Thaw:
    """Whether the object can be read now. SourceError."""
    with telling(place):
        return state_in(client.head_object(**place.named))


def state_in(head: dict[str, Any]) -> Thaw:
    """What an answer to a HEAD tells: ``ongoing-request="false", expiry-date="…"``."""
    said = str(head.get("Restore") or "")
    storage_class = str(head.get("ArchiveStatus") or head.get("StorageClass") or "STANDARD")
    if not is_archived(storage_class):
        return Thaw("readable", storage_class, f"{safe(storage_class)}: it is not archived")
    longest = WAIT[storage_class]["Standard"][1]
    if 'ongoing-request="true"' in said:
        return Thaw("thawing", storage_class, f"{storage_class}, thawing: {longest} (tier Standard)")
    if 'ongoing-request="false"' in said:
        until = _expiry(said)
        return Thaw("readable", storage_class, f"{storage_class}, thawed{_until(until)}", until)
    return Thaw("archived", storage_class, f"{storage_class}: {longest} after a thaw (tier Standard)")


def _until(moment: datetime | None) -> str:
    return f" until {stamp(moment)}" if moment else ""


def _expiry(said: str) -> datetime | None:
    found = re.search(r'expiry-date="([^"]+)"', said)
    try:
        return parsedate_to_datetime(found[1]).astimezone(UTC) if found else None
    except (TypeError, ValueError):
        return None


def thaw(source: S3Source, backup: Backup, authority: Authority, tier: Tier = "Standard", days: int = DAYS) -> Thaw:
    """Ask S3 to make an archived backup readable for some days: the one request of this project that changes a bucket.

    It adds a temporary copy (which costs); the object stays as it is. What is readable or thawing is left alone.
    Raises Refused, SourceError, UsageError for a tier that the storage class lacks or a number of days that is none.
    """
    authority.must_allow("a thaw")
    if not 1 <= days <= 365:
        raise UsageError(f"a thawed copy cannot be kept for {days} days", "1 to 365 days")
    place = place_of(backup.key)
    with connected(source.config) as client:
        now = state_at(client, place)
        if now.state != "archived":
            return now
        longest = waiting(now.storage_class, tier)[1]
        _ask(client, place, tier, None if now.storage_class in INTELLIGENT else days)
    return Thaw("thawing", now.storage_class, f"{now.storage_class}, thawing: {longest} (tier {tier})")


def _ask(client: Any, place: Place, tier: str, days: int | None) -> None:
    request = {"GlacierJobParameters": {"Tier": tier}, **({"Days": days} if days else {})}
    try:
        with telling(place, "thaw"):
            client.restore_object(**place.named, RestoreRequest=request)
    except SourceError as error:
        code = getattr(error, "code", "")
        if code == "RestoreAlreadyInProgress":
            return
        if code == "GlacierExpeditedRetrievalNotAvailable":
            raise SourceError(
                f"cannot thaw {place}: AWS has no capacity for Expedited now", "ask with --tier Standard, or again"
            ) from error
        raise
