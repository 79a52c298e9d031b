"""What a prune of a site would remove and why, and doing it: nothing is removed that is not what was judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pacs_recover import catalog, front, holding
from pacs_recover.authority import Authority
from pacs_recover.catalog import Catalog
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.keeping import groups as grouping
from pacs_recover.keeping.deciding import Decision, Group, decide, is_good
from pacs_recover.keeping.groups import OF, OTHERS
from pacs_recover.keeping.removing import Remover
from pacs_recover.model import COMPONENTS, Backup
from pacs_recover.site import Site
from pacs_recover.state import State
from pacs_recover.text import safe, span


class Removal(Struct, frozen=True):
    """What came of removing one backup."""

    backup: Backup
    ok: bool
    said: str
    freed: int = 0
    """Bytes; 0 where a bucket keeps the version."""


@dataclass(frozen=True)
class Proposal:
    """What would stay and go."""

    decisions: tuple[Decision, ...]
    others: tuple[tuple[str, str], ...]
    """The sources that are not pruned here, and who does it."""
    unread: tuple[catalog.SourceState, ...]

    @property
    def going(self) -> tuple[Decision, ...]:
        """Those that may go, oldest first: what is cut short has removed the oldest."""
        gone = [one for one in self.decisions if one.goes]
        return tuple(sorted(gone, key=lambda one: (one.backup.taken_at, one.backup.id)))


def propose(
    site: Site, found: Catalog, state: State, components: Sequence[str] = (), now: datetime | None = None
) -> Proposal:
    """What may go of these components (of all, where none is named), with what buckets say of locks."""
    moment, wanted = now or datetime.now(UTC), components or COMPONENTS
    found_groups = grouping.groups(site, found, state, wanted)
    decisions = [one for group in found_groups for one in _decided(site, group, moment)]
    decisions += _aside(site, found, state, wanted, found_groups, moment)
    others = [(one.name, OTHERS[one.kind]) for one in found.sources if OF.get(one.kind) in wanted]
    return Proposal(tuple(decisions), tuple(others), tuple(one for one in found.sources if not one.ok))


def _decided(site: Site, group: Group, now: datetime) -> tuple[Decision, ...]:
    """Decided, and decided again with the locks of those that would go: only these are asked for."""
    first = decide(group, now)
    going = [one.backup for one in first if one.goes]
    if not going:
        return first
    with Remover(site) as remover:
        locks = remover.locks(going)
    return decide(replace(group, held={**locks, **group.held}), now) if locks else first


def _aside(
    site: Site, found: Catalog, state: State, components: Iterable[str], known: Iterable[Group], now: datetime
) -> Iterator[Decision]:
    """Of what runs set aside: what is old, is not the newest of its component, and no run can need any more."""
    backups = grouping.aside(found, components)
    if not backups:
        return
    held = grouping.held(site, backups, grouping.named(site, state))
    needed = {mark.run for mark in front.marks(front.request_of(site))}
    needed |= {journal.parent.name for journal in grouping.unended(site, state)}
    proven = {group.backups[0].component for group in known if _has_enough(group)}
    seen: set[str] = set()
    for one in backups:
        yield _set_aside(site, one, now, held, needed, proven, first=one.component not in seen)
        seen.add(one.component)


def _has_enough(group: Group) -> bool:
    return sum(is_good(one) for one in group.backups) >= group.minimum


def _set_aside(
    site: Site, one: Backup, now: datetime, held: dict[str, str], needed: set[str], proven: set[str], *, first: bool
) -> Decision:
    limit, old = site.retention.aside, (now - one.taken_at).total_seconds()
    run = Path(one.key).parent.parent.name
    if one.id in held:
        return Decision(one, "held", held[one.id])
    if run in needed:
        return Decision(one, "held", f"the run {safe(run)} is the last that changed this site: a rollback needs it")
    if first:
        return Decision(one, "last", "the newest that was set aside")
    if limit is None:
        return Decision(one, "indefinite", "kept for ever")
    if old <= limit:
        return Decision(one, "age", f"what was set aside is kept for {span(limit)}")
    if one.component not in proven:
        return Decision(one, "blocked", f"no source has {site.retention.minimum} verified good backups instead")
    return Decision(one, "past", f"set aside {span(old)} ago; kept for {span(limit)}")


def apply(
    site: Site, proposal: Proposal, state: State, authority: Authority, patience: float = 0.0
) -> Iterator[Removal]:
    """Remove what may go, one by one, each looked at again right before; what fails does not keep the others.

    The site is held still meanwhile, and waited for so many seconds. Raises Refused, Busy before anything is removed.
    """
    authority.must_allow("prune")
    if not proposal.going:
        return
    held = holding.hold(site, "prune", authority, patience)
    try:
        with Remover(site) as remover:
            for decision in proposal.going:
                yield _removed(site, decision, state, remover)
    finally:
        held.close()


def _removed(site: Site, decision: Decision, state: State, remover: Remover) -> Removal:
    backup = decision.backup
    try:
        with state.audit.noting("prune", backup.id, site.name) as entry:
            if why := grouping.held(site, [backup], grouping.named(site, state)):
                raise Refused(f"it stays: {why[backup.id]}", "")
            said, freed = remover.remove(backup)
            entry.outcome = f"removed: {decision.why}{f' ({said})' if said else ''}"
    except RecoverError as error:
        return Removal(backup, False, error.message)
    except OSError as error:
        return Removal(backup, False, f"{safe(backup.key)} cannot be removed: {error.strerror or error}")
    return Removal(backup, True, said, freed)
