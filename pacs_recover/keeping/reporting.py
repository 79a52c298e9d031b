"""Declared against existing: what is kept where, what is missing in it, what goes next, and what contradicts itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import SourceError
from pacs_recover.keeping import groups as grouping
from pacs_recover.keeping import lifecycle, litestream
from pacs_recover.keeping.deciding import DAY, Group, is_good, lost_at
from pacs_recover.keeping.risks import fact_json
from pacs_recover.keeping.tiers import COLD, WARM, tiers
from pacs_recover.model import COMPONENTS, Backup, Fact, FactState
from pacs_recover.site import Ages, GitConfig, Site, durations
from pacs_recover.sources import REPLICA
from pacs_recover.sources.names import SKEW
from pacs_recover.sources.s3.archive import is_archived, needs_thaw
from pacs_recover.state import State
from pacs_recover.text import count, span, stamp

LATE = 1.5
"""How many times the usual distance makes a hole of a stretch without a backup."""
SMALL = 128 << 10
"""Bytes below which S3 leaves an object in its class."""
BUCKETS_PACE = 2 * DAY
"""Seconds that a bucket may take to do what its lifecycle says."""


class Hole(Struct, frozen=True):
    """A stretch of the series in which there is no backup."""

    after: datetime
    before: datetime


class Row(Struct, frozen=True, kw_only=True):
    """One component in one source."""

    component: str
    source: str
    kind: str
    declared: str
    """What the policy says, in words."""
    keeps_seconds: float | None
    """How long this source keeps a backup; None: for ever, or by count."""
    number: int
    good: int
    """Verified, and unchanged since."""
    oldest: datetime
    newest: datetime
    holes: tuple[Hole, ...] = ()
    next_lost: str | None = None
    """The id of the one that the policy lets go next."""
    lost_at: datetime | None = None
    findings: tuple[Fact, ...] = ()

    @property
    def state(self) -> FactState:
        """The worst of its findings."""
        return worst(self.findings)


class Gaps(Struct, frozen=True):
    """The report of a site."""

    rows: tuple[Row, ...]
    findings: tuple[Fact, ...]
    """Of the policy itself, of the buckets, and of components that have no backup at all."""

    @property
    def state(self) -> FactState:
        """The worst of all."""
        return worst((*self.findings, *(fact for row in self.rows for fact in row.findings)))


def worst(facts: Iterable[Fact]) -> FactState:
    """The worst state of these."""
    states = {fact.state for fact in facts}
    return "bad" if "bad" in states else "warn" if "warn" in states else "ok"


def report(site: Site, found: Catalog, state: State, now: datetime | None = None) -> Gaps:
    """What is kept of each component in each source, against what is declared."""
    moment = now or datetime.now(UTC)
    known = {(g.backups[0].component, g.backups[0].source): g for g in grouping.groups(site, found, state)}
    rows = tuple(_rows(site, found, known, moment))
    there = {row.component for row in rows if row.kind != "aside"}
    missing = tuple(Fact(name, "no backup in any source", "bad") for name in COMPONENTS if name not in there)
    return Gaps(rows, (*missing, *contradictions(site), *_buckets(site)))


def _rows(site: Site, found: Catalog, known: dict[tuple[str, str], Group], now: datetime) -> Iterator[Row]:
    for component in COMPONENTS:
        for source in found.sources:
            backups = [b for b in found.backups if (b.component, b.source) == (component, source.name) and b.current]
            if backups:
                yield _row(site, component, source, backups, known.get((component, source.name)), now)


def _row(
    site: Site, component: str, source: SourceState, backups: list[Backup], group: Group | None, now: datetime
) -> Row:
    """``backups`` are newest first."""
    declared, keeps = _declared(site, component, source)
    past = [one for one in backups if one.taken_at <= now + SKEW] or backups
    row = Row(
        component=component,
        source=source.name,
        kind=source.kind,
        declared=declared,
        keeps_seconds=keeps,
        number=len(backups),
        good=sum(is_good(one) for one in backups),
        oldest=past[-1].taken_at,
        newest=past[0].taken_at,
    )
    unread = [] if source.ok else [Fact("source", f"could not be read in whole: {source.error}", "bad")]
    if group is None:
        of_replica = _reach(site, row, now) if source.kind == REPLICA else []
        return replace(row, findings=(*unread, *of_replica))
    holes, oldest = _holes(site, component, past), past[-1]
    goes = lost_at(group, oldest)
    return replace(
        row,
        holes=holes,
        next_lost=oldest.id if goes else None,
        lost_at=goes,
        findings=(*unread, *_found(site, group, past, holes, now)),
    )


def _declared(site: Site, component: str, source: SourceState) -> tuple[str, float | None]:
    """What the policy says of a component in a source, and for how long it keeps it."""
    ages: Ages = getattr(site.retention, component)
    if source.kind == "git":
        return "for ever, by Git", None
    if source.kind == REPLICA:
        return f"points for {span(litestream.kept(site))}, by Litestream", litestream.kept(site)
    if source.kind == "aside":
        limit = site.retention.aside
        return ("for ever" if limit is None else f"{span(limit)} after a restore"), limit
    tier = site.retention.tiers.get(source.name)
    keeps = getattr(ages, tier) if tier else ages.total
    said = [
        f"{name} {durations.text(age)}" for name in ("hot", "warm", "archive", "total") if (age := getattr(ages, name))
    ]
    said += [f"newest {ages.last}"] if ages.last else []
    said += [f"here only {durations.text(keeps)}"] if tier and keeps else [] if ages.total else ["for ever"]
    return ", ".join(said), keeps


def _holes(site: Site, component: str, backups: list[Backup]) -> tuple[Hole, ...]:
    """Where the series, newest first, has no backup for longer than a day, or than its RPO where that is more."""
    usual = max(site.objectives[component].rpo or DAY, DAY) * LATE
    return tuple(
        Hole(older.taken_at, newer.taken_at)
        for newer, older in pairwise(backups)
        if (newer.taken_at - older.taken_at).total_seconds() > usual
    )


def _found(site: Site, group: Group, backups: list[Backup], holes: tuple[Hole, ...], now: datetime) -> Iterator[Fact]:
    """What is to be known of a group that is pruned here."""
    good = sum(is_good(one) for one in backups)
    if good < group.minimum:
        said = f"{good} verified good of at least {group.minimum}: nothing is pruned (pacs-recover verify --all)"
        yield Fact("verified", said, "warn")
    hot = [one for one in backups if group.ages.hot is None or (now - one.taken_at).total_seconds() <= group.ages.hot]
    if bad := sum(one.verdict in ("failed", "stale") for one in hot):  # certificates of old ones have expired
        yield Fact("bad", f"{count(bad, 'backup')} of the hot ones found bad, or changed since", "warn")
    old = (now - backups[0].taken_at).total_seconds()
    if group.rpo is not None and old > group.rpo:
        yield Fact("newest", f"{span(old)} old, RPO {span(group.rpo)}: later ones failed, nothing is pruned", "bad")
    if holes:
        longest = max((hole.before - hole.after for hole in holes), default=timedelta())
        yield Fact("holes", f"{count(len(holes), 'hole')}, the longest of {span(longest.total_seconds())}", "warn")
    yield from _classes(site, group, backups, now)


def _classes(site: Site, group: Group, backups: list[Backup], now: datetime) -> Iterator[Fact]:
    """Storage classes against the RTO, and against the tiers that the policy declares."""
    rto = site.objectives[backups[0].component].rto
    archived = Counter(one.storage_class or "" for one in backups if is_archived(one.storage_class or ""))
    for storage, number in archived.items():
        yield Fact("archived", f"{number:,} in {needs_thaw(storage, rto)}", "warn")
    if backups[0].storage_class and (late := sum(_is_late(group.ages, one, now) for one in backups)):
        said = f"{count(late, 'object')} in another class than their age says: pacs-recover lifecycle --diff"
        yield Fact("tiers", said, "warn")


def _is_late(ages: Ages, one: Backup, now: datetime) -> bool:
    """Whether an object lies in STANDARD though it should have been moved, or in an archive though it is hot."""
    old = (now - one.taken_at).total_seconds()
    if is_archived(one.storage_class or ""):
        return ages.hot is not None and old < ages.hot
    cold = ages.warm if ages.archive is not None else None
    return cold is not None and old > cold + BUCKETS_PACE and (one.size or 0) >= SMALL


def _reach(site: Site, row: Row, now: datetime) -> list[Fact]:
    """How far back a replica's points go (E2: 0.5 ignores the retention that the guide writes)."""
    reach, kept = (now - row.oldest).total_seconds(), litestream.kept(site)
    if reach >= kept:
        return []
    said = f"points reach back {span(reach)} of {span(kept)}: pacs-recover litestream config --check FILE tells why"
    return [Fact("points", f"{said}, unless Litestream is younger", "warn")]


def contradictions(site: Site) -> tuple[Fact, ...]:
    """What the policy says that cannot be, or not as it sounds."""
    found: list[Fact] = []
    for component in COMPONENTS:
        ages, objective = getattr(site.retention, component), site.objectives[component]
        if ages.last is not None and ages.total is None and not _has_git(site):
            said = f"kept for ever beyond the newest {ages.last}, as no Git source has its history: name one"
            found.append(Fact(component, said, "warn"))
        if ages.last is not None and objective.rpo:
            said = f"the newest {ages.last} are a number: at one every {span(objective.rpo)} they reach back"
            found.append(Fact(component, f"{said} {span(ages.last * objective.rpo)}"))
        if ages.total is not None and objective.rpo and ages.total < site.retention.minimum * objective.rpo:
            said = f"{span(ages.total)} at one every {span(objective.rpo)} are fewer than the minimum of"
            found.append(Fact(component, f"{said} {site.retention.minimum}: older ones stay", "warn"))
    for source in lifecycle.buckets(site):
        found += [
            Fact(f"{fact.label} in {source.name}", fact.value, fact.state) for fact in tiers(site, source).findings
        ]
    return tuple(found)


def _has_git(site: Site) -> bool:
    return any(isinstance(one, GitConfig) for one in site.sources)


def _buckets(site: Site) -> Iterator[Fact]:
    """What the buckets' own lifecycles do otherwise than declared."""
    for source in lifecycle.buckets(site):
        try:
            change = lifecycle.compare(site, source)
        except SourceError as error:
            yield Fact(f"lifecycle of {source.name}", f"not known: {error.message}", "warn")
            continue
        if change.diff:
            yield Fact(f"lifecycle of {source.name}", f"{NOT_APPLIED} --source {source.name} --diff", "warn")
        for fact in change.others_findings:
            yield Fact(f"{fact.label} in {source.name}", fact.value, fact.state)


NOT_APPLIED = f"the bucket does not have the declared tiers ({WARM}, {COLD}): pacs-recover lifecycle"


def to_json(found: Gaps) -> dict[str, Any]:
    """The JSON contract of ``retention``."""
    return {
        "state": found.state,
        "rows": [_row_json(row) for row in found.rows],
        "findings": [fact_json(fact) for fact in found.findings],
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "component": row.component,
        "source": row.source,
        "kind": row.kind,
        "declared": row.declared,
        "keeps_seconds": row.keeps_seconds,
        "backups": row.number,
        "verified_good": row.good,
        "oldest": stamp(row.oldest),
        "newest": stamp(row.newest),
        "holes": [{"after": stamp(hole.after), "before": stamp(hole.before)} for hole in row.holes],
        "next_lost": row.next_lost,
        "lost_at": stamp(row.lost_at) if row.lost_at else None,
        "state": row.state,
        "findings": [fact_json(fact) for fact in row.findings],
    }
