"""What is known of a site's backups before it is decided which of them stay: groups, holds, who else has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from pacs_recover import front
from pacs_recover.arming import VALID
from pacs_recover.audit.checking import records
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import SourceError
from pacs_recover.events import Choice
from pacs_recover.journal import read
from pacs_recover.keeping.deciding import Group
from pacs_recover.model import COMPONENTS, UNDECODABLE, Backup
from pacs_recover.plan import Plan
from pacs_recover.runs import is_finished, planned
from pacs_recover.site import Ages, Site
from pacs_recover.sources.aside import AsideSource
from pacs_recover.state import JOURNAL, State
from pacs_recover.text import safe, stamp

PRUNED = ("local", "s3")
"""The kinds of sources that are pruned here, beside what runs set aside."""
OTHERS = {
    "git": "Git keeps every commit for ever; who must shorten its history does so in the repository itself",
    "litestream": "Litestream removes what its own retention says (pacs-recover litestream config --check FILE)",
}
"""Who prunes the other kinds."""
OF = {"git": "config", "litestream": "queue"}
"""What they have backups of."""
BACKUP = "backup"
"""What the audit calls the making of one."""
Holds = Mapping[str, str]
"""Why a backup must stay, by its id and by its key."""


def groups(site: Site, found: Catalog, state: State, components: Iterable[str] = COMPONENTS) -> list[Group]:
    """One group for each of these components in each source that is pruned here, as far as it has any backups."""
    holds, states, failed = named(site, state), {one.name: one for one in found.sources}, failures(site, state)
    return [
        _group(site, found, states[source], component, holds, failed.get(component, ""))
        for source in states
        for component in components
        if states[source].kind in PRUNED and any(_of(found, source, component))
    ]


def _of(found: Catalog, source: str, component: str) -> Iterator[Backup]:
    """The backups of a group; versions that a bucket keeps of deleted ones are its own lifecycle's."""
    return (one for one in found.backups if (one.source, one.component) == (source, component) and one.current)


def failures(site: Site, state: State) -> dict[str, str]:
    """By component, how its newest backup failed, if this host's audit says that it did.

    A backup has one record when it begins, and one for each place that it goes to: one that failed is enough.
    """
    failed: dict[str, str] = {}
    begun: dict[str, bool] = {}
    try:
        for record in records(state.audit.home):
            component = record.object.partition("/")[0]
            if (record.what, record.site) != (BACKUP, site.name):
                continue
            if record.outcome.startswith("failed"):
                failed[component] = f"the newest backup, {stamp(record.at)}, {safe(record.outcome)}"
                begun[component] = False
            elif record.outcome == "began":
                begun[component] = True
            elif begun.get(component):
                failed.pop(component, None)
    except SourceError as error:
        return dict.fromkeys(COMPONENTS, f"whether the newest backup failed is not known: {error.message}")
    return failed


def _group(site: Site, found: Catalog, source: SourceState, component: str, holds: Holds, failed: str) -> Group:
    backups = tuple(_of(found, source.name, component))
    ages: Ages = getattr(site.retention, component)
    tier = site.retention.tiers.get(source.name)
    return Group(
        backups=backups,
        ages=ages,
        minimum=site.retention.minimum,
        limit=getattr(ages, tier) if tier else None,
        rpo=site.objectives[component].rpo,
        trouble=failed if source.ok else f"the source {source.name} could not be read in whole: {source.error}",
        held=held(site, backups, holds),
        elsewhere=_elsewhere(site, found, backups) if tier else frozenset(),
        history=_history(found) if component == "config" else None,
    )


def held(site: Site, backups: Iterable[Backup], holds: Holds) -> dict[str, str]:
    """Of these backups, why each must stay that must."""
    every = ((one.id, _hold(site, one) or holds.get(one.key) or holds.get(one.id)) for one in backups)
    return {id: why for id, why in every if why}


def _hold(site: Site, one: Backup) -> str:
    pattern = next((pattern for pattern in site.retention.hold if fnmatchcase(one.id, pattern)), "")
    return f"under legal hold: {safe(pattern)} in the site file" if pattern else ""


def _elsewhere(site: Site, found: Catalog, backups: Iterable[Backup]) -> frozenset[str]:
    """Of these backups, those that a source has too which keeps them for their total: same component, time and size."""
    keepers = {one.name for one in found.sources if one.kind in PRUNED and one.name not in site.retention.tiers}
    there = {
        (one.component, one.taken_at, one.size)
        for one in found.backups
        if one.source in keepers and one.current and one.verdict not in ("failed", "stale")
    }
    return frozenset(one.id for one in backups if (one.component, one.taken_at, one.size) in there)


def _history(found: Catalog) -> datetime | None:
    """Since when a Git source that could be read in whole has the configuration."""
    whole = {one.name for one in found.sources if one.kind == "git" and one.ok}
    return min((one.taken_at for one in found.backups if one.source in whole), default=None)


def named(site: Site, state: State) -> dict[str, str]:
    """What plans that can still be armed and runs that have not ended need."""
    holds: dict[str, str] = {}
    for plan in plans(state):
        holds |= _holds(plan.request.choices, f"the plan {plan.plan_id} names it, and can be armed until an hour old")
    for journal in unended(site, state):
        holds |= _holds(_choices(journal), f"the run {journal.parent.name} needs it, and has not ended")
    return holds


def _holds(choices: Iterable[Choice], why: str) -> dict[str, str]:
    return {name: why for choice in choices for name in (choice.backup.id, choice.backup.key)}


def plans(state: State) -> Iterator[Plan]:
    """The saved plans that can still be armed; one that cannot be read can arm nothing."""
    for path in (state.path / "plans").glob("*.json"):
        try:
            plan = msgspec.json.decode(path.read_bytes(), type=Plan)
        except (OSError, *UNDECODABLE):
            continue
        if datetime.now(UTC) - plan.made_at <= VALID:
            yield plan


def unended(site: Site, state: State) -> Iterator[Path]:
    """The journals of runs that have not ended: of this state directory, and of others that left their mark."""
    own = [run / JOURNAL for run in front.unfinished(state)]
    marked = [Path(mark.journal) for mark in front.marks(front.request_of(site)) if not mark.finished]
    yield from dict.fromkeys([*own, *(journal for journal in marked if not is_finished(journal))])


def _choices(journal: Path) -> tuple[Choice, ...]:
    try:
        first = planned(read(journal)[0])
    except SourceError:
        return ()
    return first.request.choices if first else ()


def aside(found: Catalog, components: Iterable[str]) -> list[Backup]:
    """What runs set aside of these components, newest first."""
    wanted = set(components)
    return [one for one in found.backups if one.source == AsideSource.name and one.component in wanted]
