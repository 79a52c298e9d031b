"""Which backups stay, which may go, and why: one pure function of what is known of them.

A group is one component in one source; each is decided by itself. Age is the time of a backup's name, never a file's
mtime, and what is unknown keeps a backup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from pacs_recover.model import Backup
from pacs_recover.site import Ages
from pacs_recover.sources.names import SKEW
from pacs_recover.text import count, span

Rule = Literal["past", "age", "last", "indefinite", "elsewhere", "future", "held", "minimum", "blocked"]
"""What decided: ``past`` lets go, all others keep."""
DAY = 86400.0
ELSE = "; else: "
"""Between why nothing may go, and why it would."""


class Group(Struct, frozen=True, kw_only=True):
    """The backups of one component in one source, and what is known beside them."""

    backups: tuple[Backup, ...]
    ages: Ages
    minimum: int = 3
    """Verified good backups that stay."""
    limit: float | None = None
    """Seconds after which this source need not have one that another source has; None: it keeps them for the total."""
    rpo: float | None = None
    """Seconds; an older newest backup means that later ones failed. None: not judged."""
    trouble: str = ""
    """Why nothing may go whatever the rest says; empty where nothing speaks against it."""
    held: Mapping[str, str] = {}
    """By id: a legal hold, a lock, a plan or a run that needs it."""
    elsewhere: AbstractSet[str] = frozenset()
    """Ids of backups that a source which keeps them longer has as well."""
    history: datetime | None = None
    """Since when the Git history has the configuration; None: it has none."""


class Decision(Struct, frozen=True):
    """What becomes of one backup."""

    backup: Backup
    rule: Rule
    why: str

    @property
    def goes(self) -> bool:
        """Whether it may be removed."""
        return self.rule == "past"


def decide(group: Group, now: datetime) -> tuple[Decision, ...]:
    """What becomes of each backup of a group, newest first.

    A backup from the future neither counts nor goes, so a clock that jumped decides about none but those it dated.
    """
    ordered = sorted(group.backups, key=lambda one: (one.taken_at, one.id), reverse=True)
    past = [one for one in ordered if one.taken_at <= now + SKEW]
    kept = _last(group, past)
    found = {one.id: _by_policy(group, one, now, kept) for one in past}
    may = [one.id for one in past if found[one.id].goes]
    if may and (why := _blocked(group, past, now)):
        found |= {id: Decision(found[id].backup, "blocked", f"{why}{ELSE}{found[id].why}") for id in may}
    elif may:
        spared = _spared(group, past)
        found |= {id: Decision(found[id].backup, "minimum", spared[id]) for id in may if id in spared}
    return tuple(found.get(one.id) or Decision(one, "future", FUTURE) for one in ordered)


FUTURE = "dated in the future: a clock is or was wrong; remove it yourself once you know whose"


def _by_policy(group: Group, one: Backup, now: datetime, last: AbstractSet[str]) -> Decision:
    """By its age and its rank alone, and by what holds it."""
    if one.id in group.held:
        return Decision(one, "held", group.held[one.id])
    if one.id in last:
        return Decision(one, "last", f"among the newest {group.ages.last}, which stay whatever their age")
    old, total = (now - one.taken_at).total_seconds(), group.ages.total
    if total is None:
        return _without_total(group, one)
    if old > total:
        return Decision(one, "past", f"{span(old)} old; kept for {span(total)}")
    if group.limit is not None and old > group.limit:
        if one.id in group.elsewhere:
            said = f"{span(old)} old; kept here for {span(group.limit)}, and longer by a source that has it too"
            return Decision(one, "past", said)
        return Decision(one, "elsewhere", f"no source that keeps it for {span(total)} has it")
    return Decision(one, "age", f"{span(old)} old; kept for {span(group.limit or total)}")


def _without_total(group: Group, one: Backup) -> Decision:
    """Of what is kept for ever: archives beyond the newest ones may go where Git has what they hold."""
    if group.ages.last is None:
        return Decision(one, "indefinite", "kept for ever")
    if group.history is not None and group.history <= one.taken_at:
        return Decision(one, "past", f"not among the newest {group.ages.last}; the Git history has it for ever")
    return Decision(one, "indefinite", "kept for ever, and no Git history of the site reaches back to it")


def _last(group: Group, past: Sequence[Backup]) -> set[str]:
    """The newest ones by count; one that was found bad takes no place, and goes when its neighbours do."""
    is_bad = [one.verdict == "failed" for one in past]
    number = [good + bad for good, bad in zip(accumulate(not bad for bad in is_bad), is_bad, strict=True)]
    return {one.id for one, place in zip(past, number, strict=True) if place <= (group.ages.last or 0)}


def _blocked(group: Group, past: Sequence[Backup], now: datetime) -> str:
    """Why nothing of this group may go now; empty where it may."""
    if group.trouble:
        return group.trouble
    newest = past[0]
    if newest.verdict == "failed" or (newest.size == 0 and newest.component != "logs"):
        return f"the newest, {newest.id}, is bad"
    if newest.verdict == "stale":
        return f"the newest, {newest.id}, changed (or a certificate in it expired) since it was verified"
    if newest.verdict == "never":
        return f"the newest, {newest.id}, was not verified yet (pacs-recover verify {newest.id})"
    sure = next((one for one in past if not _is_doubtful(one)), newest)
    old = (now - sure.taken_at).total_seconds()
    if group.rpo is not None and old > group.rpo:
        return f"the newest, {sure.id}, is {span(old)} old and the RPO {span(group.rpo)}: later backups failed"
    good = sum(is_good(one) for one in past)
    if good < group.minimum:
        return f"only {count(good, 'backup')} of at least {group.minimum} verified good"
    return ""


def _is_doubtful(one: Backup) -> bool:
    """Whether its name and its file's own time contradict: no witness of when backups were made last."""
    return any(fact.label == "time" for fact in one.findings)


def _spared(group: Group, past: Sequence[Backup]) -> dict[str, str]:
    """The verified good ones that the minimum keeps."""
    good = [one.id for one in past if is_good(one)][: group.minimum]
    return dict.fromkeys(good, f"one of the {group.minimum} newest verified good backups, which always stay")


def is_good(one: Backup) -> bool:
    """Whether it counts as a verified good copy."""
    return one.verdict == "good" and one.current


def lost_at(group: Group, one: Backup) -> datetime | None:
    """When the policy lets it go, if nothing else keeps it; None: never."""
    total = group.ages.total if group.limit is None or group.ages.total is None else group.limit
    try:
        return None if total is None else one.taken_at + timedelta(seconds=total)
    except OverflowError:
        return None
