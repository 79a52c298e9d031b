"""Having an archived backup made readable: what it takes, against the RTO, shown before it is asked for."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pacs_recover.authority import Authority
from pacs_recover.errors import UsageError
from pacs_recover.jobs import source_of
from pacs_recover.model import Backup, Fact
from pacs_recover.site import Site
from pacs_recover.sources import Archive, archive_of
from pacs_recover.sources.s3.archive import DAYS, INTELLIGENT, TIERS, WAIT, Thaw, Tier, waiting
from pacs_recover.state import State
from pacs_recover.text import both_times, safe, seconds, stamp

COST = "of the retrieval, and of the copy for as long as it stays; the stored object stays as it is"

__all__ = ["COST", "DAYS", "TIERS", "Offer", "Tier", "ask", "look", "to_json"]


class Offer(Struct, frozen=True):
    """How readable a backup is, and what a thaw of it would take."""

    backup: Backup
    now: Thaw
    rto: float
    """Seconds, of the backup's component."""

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """What can be asked for; nothing where it can be read, or soon."""
        return tuple(tier for tier in TIERS if self.now.state == "archived" and tier in WAIT[self.now.storage_class])

    def facts(self) -> tuple[Fact, ...]:
        """For a person: its state, each tier against the RTO, and the cost."""
        if self.now.state != "archived":
            return (Fact(self.now.state, self._state(), "ok" if self.now.state == "readable" else "warn"),)
        head = Fact("archived", f"{safe(self.now.storage_class)}, cannot be read before a thaw", "warn")
        return (head, *(self._tier(tier) for tier in self.tiers), Fact("cost", COST, "warn"))

    def _state(self) -> str:
        return f"{self.now.detail} ({both_times(self.now.until)})" if self.now.until else self.now.detail

    def _tier(self, tier: Tier) -> Fact:
        longest, words = waiting(self.now.storage_class, tier)
        late = longest > self.rto
        return Fact(
            tier, f"{words}; {'MISSES' if late else 'within'} the RTO of {seconds(self.rto)}", "warn" if late else "ok"
        )


def look(site: Site, backup: Backup, state: State) -> Offer:
    """What a thaw of this backup would take. UsageError where it is in no archive, SourceError."""
    return Offer(backup, _archive(site, backup, state).state_of(backup), float(site.objectives[backup.component].rto))


def ask(site: Site, backup: Backup, state: State, authority: Authority, tier: Tier, days: int = DAYS) -> Offer:
    """Ask for it, unless it can be read or is being thawed already. Refused, UsageError, SourceError."""
    authority.must_allow("a thaw")
    with state.audit.noting("thaw", backup.id, site.name) as entry:
        after = _archive(site, backup, state).thaw(backup, authority, tier, days)
        entry.outcome = f"{after.state}, tier {tier}"
    return Offer(backup, after, float(site.objectives[backup.component].rto))


def _archive(site: Site, backup: Backup, state: State) -> Archive:
    archive = archive_of(source_of(site, state.journals(), backup))
    if archive is None:
        raise UsageError(
            f"{safe(backup.id)} is in no archive: only what is in a bucket is thawed", "see: pacs-recover catalog"
        )
    return archive


def to_json(offer: Offer, asked: Tier | None, days: int) -> dict[str, Any]:
    """The JSON contract of ``thaw``."""
    longest = waiting(offer.now.storage_class, asked)[0] if asked else None
    return {
        "backup": offer.backup.id,
        "storage_class": offer.now.storage_class,
        "state": offer.now.state,
        "detail": offer.now.detail,
        "until": stamp(offer.now.until) if offer.now.until else None,
        "asked": asked is not None,
        "tier": asked,
        "days": days if asked and offer.now.storage_class not in INTELLIGENT else None,
        "longest_seconds": longest,
        "rto_seconds": offer.rto,
        "within_rto": None if longest is None else longest <= offer.rto,
    }
