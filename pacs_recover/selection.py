"""Which backups a restore takes: the ones named, or the newest of each component at or before a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pacs_recover import catalog, sets
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.errors import SourceError, UsageError
from pacs_recover.model import LIVE, Backup, Fact
from pacs_recover.text import both_times, safe

FULL = "full"


def components_of(words: Sequence[str], wanted: Sequence[Backup]) -> tuple[str, ...]:
    """The components that were asked for, in words or by naming a backup of each. UsageError."""
    named = [name for word in words for name in (LIVE if word == FULL else (word,))]
    names = tuple(dict.fromkeys([*named, *(backup.component for backup in wanted if not words)]))
    if "logs" in names:
        raise UsageError("logs are not restored over live ones", "get them out with: pacs-recover extract BACKUP DIR")
    unknown = [name for name in names if name not in LIVE]
    if unknown:
        raise UsageError(f"there is no component {safe(unknown[0])}", f"one of: {', '.join((*LIVE, FULL))}")
    if not names:
        raise UsageError("nothing to restore was named", f"name {', '.join(LIVE)} or {FULL}")
    return names


def select(
    found: Catalog, words: Sequence[str], named: Sequence[str] = (), at: datetime | None = None
) -> tuple[Backup, ...]:
    """One backup for each component. SourceError where there is none; UsageError where the words do not fit."""
    only = words[0] if len(words) == 1 and words[0] in LIVE else None
    wanted = [catalog.find(found, text, only) for text in named]
    names = components_of(words, wanted)
    chosen = {backup.component: backup for backup in wanted}
    strangers = [backup.id for backup in wanted if backup.component not in names]
    if strangers or len(chosen) < len(wanted):
        raise UsageError(
            f"{', '.join(map(safe, strangers)) or 'two backups of one component'} does not fit",
            "name one for each component",
        )
    rest = sets.at(found, at, [name for name in names if name not in chosen])
    if rest.missing:
        raise _none(found, rest.missing[0], at)
    chosen |= {backup.component: backup for backup in rest.members}
    return tuple(chosen[name] for name in names)


def _none(found: Catalog, name: str, at: datetime | None) -> SourceError:
    before = f" from before {both_times(at)}" if at else ""
    if cold := _archived(found, name, at):
        return SourceError(
            f"there is no backup of {name}{before} that can be read now; the newest is archived: {safe(cold.id)}",
            f"pacs-recover thaw {safe(cold.id)}",
        )
    unread = "; ".join(f"{state.name} could not be read: {state.error}" for state in found.sources if not state.ok)
    return SourceError(
        f"there is no backup of {name}{before}{f' ({unread})' if unread else ''}", "see: pacs-recover catalog"
    )


def _archived(found: Catalog, name: str, at: datetime | None) -> Backup | None:
    """The newest of a component that could be restored were it not archived."""
    fitting = (one for one in found.backups if one.component == name and one.current and not one.readable)
    return next((one for one in fitting if at is None or one.taken_at <= at), None)


def gaps(
    found: Catalog, chosen: Sequence[Backup], named: Sequence[str], at: datetime | None = None
) -> tuple[Fact, ...]:
    """Why what was taken as the newest may not be: a source that could not be read, an archived one that is newer."""
    if len(named) >= len(chosen):
        return ()
    facts = [Fact("source", _unread(state), "warn") for state in found.sources if not state.ok]
    for backup in chosen:
        cold = _archived(found, backup.component, at)
        if cold and cold.taken_at > backup.taken_at:
            facts.append(Fact("archived", f"{safe(cold.id)} is newer, and cannot be read before a thaw", "warn"))
    return tuple(facts)


def gaps_of_newest(found: Catalog, chosen: Sequence[Backup], waiting: Iterable[str] = ()) -> tuple[Fact, ...]:
    """The same of what an operator chose from a list: of those that are the newest in it, while sources are read."""
    taken = [backup for backup in chosen if backup == catalog.newest(found, backup.component)]
    slow = [Fact("source", f"{safe(name)} has not answered yet, it may have newer backups", "warn") for name in waiting]
    return (*(slow if taken else ()), *gaps(found, taken, ()))


def _unread(state: SourceState) -> str:
    return f"{state.name} could not be read in whole, it may have newer backups: {state.error}"


AGO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\w*\s+ago\s*", re.IGNORECASE)
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str, now: datetime | None = None) -> datetime:
    """A time as people write it: RFC 3339 (local time where no zone is given), ``2h ago``, ``now``. UsageError."""
    now = now or datetime.now(UTC)
    if text.strip().lower() == "now":
        return now
    if ago := AGO.fullmatch(text):
        return now - timedelta(seconds=float(ago[1]) * UNITS[ago[2].lower()])
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except ValueError:
        raise UsageError(f"{safe(text)} is not a time", "write 2026-11-10T02:00:00Z or '2h ago'") from None


def is_path(text: str) -> bool:
    """Whether an operator named a file rather than an id."""
    return text.startswith(("/", "./", "../", "~")) or Path(text).is_file()
