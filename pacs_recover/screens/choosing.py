"""Choosing a recovery set: one backup for each component that is to be restored, and how far apart they were taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pacs_recover.catalog import Catalog, newest
from pacs_recover.findings import set_findings
from pacs_recover.model import LIVE, Backup
from pacs_recover.screens.ages import minute, short_age
from pacs_recover.sets import RecoverySet, propose
from pacs_recover.text import both_times, safe
from pacs_recover.widgets.line import Line, cells, stated, title

HEAD = "   " + cells(("RESTORE", 9), ("PART", 7), ("TAKEN (UTC)", 16), ("AGE", 7), ("WHICH", 30))


@dataclass
class Choosing:
    """The choice so far; every verb changes one row."""

    catalog: Catalog
    wanted: set[str] = field(default_factory=set)
    picked: dict[str, Backup] = field(default_factory=dict)
    """A row keeps its backup while it is left out, so that nothing is lost by trying."""
    taken: int = 0
    """Which of the proposed sets was taken last."""
    _seen: tuple[Catalog, tuple[RecoverySet, ...]] | None = None

    @classmethod
    def of(cls, catalog: Catalog, names: Iterable[str], backups: Mapping[str, Backup]) -> Choosing:
        """These backups, and the newest of every other component."""
        found = {name: backup for name in LIVE if (backup := newest(catalog, name))}
        return cls(catalog, {*names, *backups} & ({*found} | {*backups}), {**found, **backups})

    def options(self, name: str) -> list[Backup]:
        """What this component can be restored from, newest first; a backup named by its path belongs to it too."""
        every = [backup for backup in self.catalog.backups if backup.component == name and backup.readable]
        mine = self.picked.get(name)
        return every if mine is None or mine in every else [mine, *every]

    def toggle(self, name: str) -> None:
        """Restore it, or leave it as it is."""
        if name in self.picked:
            self.wanted ^= {name}

    def step(self, name: str, by: int) -> None:
        """An older (1) or newer (-1) backup."""
        options = self.options(name)
        if name in self.picked:
            place = options.index(self.picked[name]) + by
            self.picked[name] = options[max(0, min(place, len(options) - 1))]
            self.wanted.add(name)

    def align(self, name: str) -> None:
        """Of every other component, the newest backup at or before the time of this one's."""
        if name in self.picked:
            for other in LIVE:
                if other != name and (backup := newest(self.catalog, other, self.picked[name].taken_at)):
                    self.picked[other] = backup

    @property
    def proposed(self) -> tuple[RecoverySet, ...]:
        """What belongs together: the newest of each first. Looked for once in each catalog, which may be long."""
        if self._seen is None or self._seen[0] is not self.catalog:
            self._seen = (self.catalog, propose(self.catalog))
        return self._seen[1]

    def take(self) -> RecoverySet | None:
        """Choose the next of the proposed sets; None where there is none."""
        proposed = self.proposed
        if not proposed:
            return None
        self.taken = (self.taken + 1) % len(proposed)
        one = proposed[self.taken]
        self.picked |= {backup.component: backup for backup in one.members}
        self.wanted |= {backup.component for backup in one.members}
        return one

    @property
    def backups(self) -> tuple[Backup, ...]:
        """What is to be restored."""
        return tuple(self.picked[name] for name in LIVE if name in self.wanted)


def rows(choosing: Choosing, now: datetime) -> list[Line]:
    """One row per component that can be restored."""
    return [_row(choosing, name, now) for name in LIVE]


def _row(choosing: Choosing, name: str, now: datetime) -> Line:
    backup = choosing.picked.get(name)
    if backup is None:
        return Line(cells(("✗ none", 9), (name, 7), ("no backup that can be read", 40)), "bad", "  ")
    options, age = choosing.options(name), short_age((now - backup.taken_at).total_seconds())
    place = options.index(backup)
    which = "the newest" if place == 0 else f"{place + 1} of {len(options)}"
    aside = ", set aside by a run" if backup.source == "aside" else ""
    box = "[x] yes" if name in choosing.wanted else "[ ] no"
    text = cells((box, 9), (name, 7), (minute(backup.taken_at), 16), (age, 7), (f"{which}{aside}", 30))
    return Line(text, "key" if name in choosing.wanted else "", "  ")


def below(choosing: Choosing, here: str) -> list[Line]:
    """What belongs together and what does not."""
    backups = choosing.backups
    if not backups:
        return [Line("nothing is chosen: space chooses the component under the cursor", "warn", "! ")]
    lines = [title("The recovery set"), *(Line(safe(backup.id), "", "  • ") for backup in backups), Line("")]
    lines += skew(backups)
    lines += _proposed(choosing)
    if backup := choosing.picked.get(here):
        lines += [Line(""), title(f"Under the cursor: {here}"), Line(both_times(backup.taken_at), "", "  ")]
        lines += [stated(fact.state, f"{fact.label}: {fact.value}") for fact in backup.findings]
    return lines


def _proposed(choosing: Choosing) -> list[Line]:
    proposed, chosen = choosing.proposed, set(choosing.backups)
    if len(proposed) < 2:
        return []
    lines = [Line(""), title("Sets that belong together: t takes the next")]
    for one in proposed:
        parts = ", ".join(f"{b.component} {short_age(one.skew(b))}" for b in one.members)
        mark = "• " if set(one.members) <= chosen else "  "
        lines.append(Line(f"{minute(one.anchor)} UTC: {parts} before", "", f"  {mark}"))
    return lines


def skew(backups: tuple[Backup, ...]) -> list[Line]:
    """How far apart they were taken, and what is odd about them."""
    found = [stated(fact.state, f"{fact.label}: {fact.value}", "") for fact in set_findings(backups)]
    if len(backups) < 2:
        return found or [Line("one backup: nothing else has to fit it but what lives", "", "")]
    times = sorted(backup.taken_at for backup in backups)
    apart = short_age((times[-1] - times[0]).total_seconds())
    return found or [Line(f"taken within {apart} of each other", "ok", "✓ ")]
