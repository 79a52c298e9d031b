"""What has to be known before a set is restored here, beside what is in its backups."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from pacs_recover.errors import RecoverError
from pacs_recover.model import Backup, Fact, Service
from pacs_recover.site import Site, key_facts
from pacs_recover.target import places
from pacs_recover.target.host import owner_of
from pacs_recover.text import both_times, count


def host_findings(site: Site, services: Iterable[Service]) -> tuple[Fact, ...]:
    """What this host lacks for the restore, each with the command that makes it."""
    facts = []
    if os.geteuid() != 0 and not os.access(places.nearest_existing(Path(site.live.config).parent), os.W_OK):
        facts.append(Fact("rights", "needs root: run it with sudo", "bad"))
    try:
        owner_of(site)
    except RecoverError as error:
        facts.append(Fact("owner", f"{error.message}: {error.hint}", "bad"))
    for service in services:
        state = service.state()
        if state.activity == "absent":
            facts.append(
                Fact("service", f"{service.name} is not installed ({state.detail}): install PACS Bridge", "bad")
            )
        elif state.activity == "unknown":
            proof = (
                "its health endpoint decides"
                if site.health
                else "a restore could never be proven: name a status command or a health URL"
            )
            facts.append(Fact("service", f"{service.name}: {state.detail}; {proof}", "warn" if site.health else "bad"))
    if not site.services:
        facts.append(Fact("service", "this site controls no service: stop PACS Bridge before, start it after", "warn"))
    return tuple(facts)


def key_findings(site: Site, backups: Sequence[Backup]) -> tuple[Fact, ...]:
    """What is not right with where the key of encrypted backups is kept."""
    found = key_facts(site, any(backup.encrypted for backup in backups))
    return tuple(fact for fact in found if fact.state != "ok")


def set_findings(backups: Sequence[Backup]) -> tuple[Fact, ...]:
    """How far apart the backups of a set were taken, and what is odd about their names."""
    facts = [fact for backup in backups for fact in backup.findings]
    times = sorted(backup.taken_at for backup in backups)
    if len(times) > 1 and times[-1] - times[0] > timedelta(days=1):
        skew = f"{count((times[-1] - times[0]).days, 'day')} apart: {both_times(times[0])} to {both_times(times[-1])}"
        facts.append(Fact("recovery set", skew, "warn"))
    return tuple(facts)
