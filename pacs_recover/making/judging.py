"""Keeping what was proven of new backups, as a verification keeps it: of each as the catalog lists it now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pacs_recover import catalog
from pacs_recover.making.outcome import Outcome
from pacs_recover.model import Backup
from pacs_recover.site import Site
from pacs_recover.sources import Source
from pacs_recover.text import safe
from pacs_recover.verdicts import Verdicts
from pacs_recover.verifying import verdict_of


def keep(
    site: Site, verdicts: Verdicts, sources: Sequence[Source], made: Sequence[Outcome], say: Callable[[str], None]
) -> None:
    """Keep a verdict of each of these; one that is not listed as it was stored is told, and was stored all the same."""
    proven = [one for one in made if one.proven]
    for place, component in sorted({(one.destination, one.component) for one in proven}):
        listed = {backup.id: backup for backup in catalog.read(sources, component, place).backups if backup.current}
        for one in proven:
            if (one.destination, one.component) == (place, component):
                _keep(site, verdicts, one, listed.get(one.id), say)


def _keep(site: Site, verdicts: Verdicts, one: Outcome, listed: Backup | None, say: Callable[[str], None]) -> None:
    if one.proven and listed and one.size in (None, listed.size):
        verdicts.keep(verdict_of(site, listed, one.proven, datetime.now(UTC)))
        return
    id = safe(one.id)
    say(f"{id} is stored, but not listed as it was stored; look at it: pacs-recover verify {id}")
