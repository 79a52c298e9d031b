"""What endangers retention now, as far as a listing tells it: for ``status``, without a request of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pacs_recover.catalog import Catalog
from pacs_recover.keeping import lag
from pacs_recover.keeping.deciding import DAY
from pacs_recover.keeping.groups import PRUNED
from pacs_recover.model import COMPONENTS, Backup, Fact
from pacs_recover.site import LitestreamConfig, Site
from pacs_recover.sources.names import SKEW
from pacs_recover.text import age, safe

MISSED = 3
"""How many times the RPO a source's newest backup may be old while another source has newer ones."""


def risks(site: Site, found: Catalog, now: datetime | None = None) -> tuple[Fact, ...]:
    """Sources in which backups no longer arrive though others have newer ones, and replicas that fell behind."""
    moment = now or datetime.now(UTC)
    return (*_silent(site, found, moment), *_behind(site, found, moment))


def _silent(site: Site, found: Catalog, now: datetime) -> Iterator[Fact]:
    sources = [one.name for one in found.sources if one.kind in PRUNED and one.ok]
    for component in COMPONENTS:
        newest = {name: _newest(found, component, name, now) for name in sources}
        there = {name: one.taken_at for name, one in newest.items() if one}
        limit = max(MISSED * (site.objectives[component].rpo or DAY), 2 * DAY)
        for name, moment in there.items():
            if (now - moment).total_seconds() > limit and moment < max(there.values()):
                said = (
                    f"the newest there is {age(moment, now)} old, and other sources have newer ones: none arrive there"
                )
                yield Fact(f"{component} in {name}", said, "warn")


def _newest(found: Catalog, component: str, source: str, now: datetime) -> Backup | None:
    """Of one component in one source: backups are listed newest first."""
    fitting = (one for one in found.backups if (one.component, one.source) == (component, source))
    return next((one for one in fitting if one.current and one.taken_at <= now + SKEW), None)


def _behind(site: Site, found: Catalog, now: datetime) -> Iterator[Fact]:
    for one in site.sources:
        if isinstance(one, LitestreamConfig) and one.followed:
            newest = next((backup.taken_at for backup in found.backups if backup.source == one.name), None)
            measured = lag.against(site, one.name, newest, now)
            if newest and measured.state != "ok":
                yield Fact(f"replica {one.name}", measured.sentence, measured.state)


def fact_json(fact: Fact) -> dict[str, Any]:
    """The JSON contract of a fact."""
    return {"label": safe(fact.label), "value": safe(fact.value, 600), "state": fact.state}
