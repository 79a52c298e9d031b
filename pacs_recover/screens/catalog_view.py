"""What the catalog says: a row per backup, the filter, the pane beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from pacs_recover.catalog import Catalog, folded, mark
from pacs_recover.model import Backup, Fact, Preview
from pacs_recover.screens.ages import minute, short_age
from pacs_recover.screens.gathered import Gathered
from pacs_recover.text import both_times, count, safe, size
from pacs_recover.verdicts import told
from pacs_recover.widgets.line import Line, cells, stated

MOST = 1 << 19
"""Backups whose words are kept ready."""
WIDE = 66
"""Columns from which the source has a column of its own."""


def head(width: int) -> str:
    """The heads of the columns."""
    return "   " + cells(*_columns("PART", "TAKEN (UTC)", "AGE", "SIZE", "NOTE", "SOURCE", width))


def row(backup: Backup, now: datetime, width: int, chosen: bool) -> Line:
    """One backup; ● where it is in the recovery set."""
    age = short_age((now - backup.taken_at).total_seconds())
    note = notes(backup)
    text = cells(
        *_columns(backup.component, minute(backup.taken_at), age, short_size(backup.size), note, backup.source, width)
    )
    return Line(text, "warn" if is_odd(backup) or not backup.readable else "", "● " if chosen else "  ")


def _columns(
    part: str, taken: str, age: str, amount: str, note: str, source: str, width: int
) -> tuple[tuple[str, int], ...]:
    """Their widths: the source only where there is room; what is set aside is noted in any case."""
    first = ((part, 6), (taken, 16), (age, 5), (amount.rjust(6), 6))
    return (*first, (note, 9), (source, width - 49)) if width >= WIDE else (*first, (note, max(3, width - 39)))


def notes(backup: Backup) -> str:
    """The one thing to know of an entry before it is opened."""
    if word := mark(backup):
        return word
    if is_odd(backup):
        return "ODD"
    if backup.source == "aside":
        return "aside"
    return " ".join(word for word, holds in (("enc", backup.encrypted), ("hash", backup.recorded)) if holds)


def is_odd(backup: Backup) -> bool:
    """Whether something about its name, its time or its state is not as it should be."""
    return any(fact.state != "ok" for fact in backup.findings)


def short_size(amount: int | None) -> str:
    """A size in six columns: ``3.5kB``, ``465kB``."""
    if amount is None:
        return "?"
    number, unit = size(amount).split(" ")
    return f"{float(number):.{0 if float(number) >= 100 else 1}f}".removesuffix(".0") + unit.replace(
        "Bytes", "B"
    ).replace("Byte", "B")


def listed(catalog: Catalog, words: str) -> tuple[list[Backup], Mapping[str, int]]:
    """What is shown: of a replica's points only the newest, unless words choose among them; and how many more."""
    if words.split():
        return matching(catalog.backups, words), {}
    shown, more = folded(catalog)
    return list(shown), more


def matching(backups: Sequence[Backup], words: str) -> list[Backup]:
    """The backups in whose id, time, source and findings every word is found."""
    wanted = words.lower().split()
    if not wanted:
        return list(backups)
    return [backup for backup in backups if all(word in _searched(backup) for word in wanted)]


def place_of(backup: Backup, shown: Sequence[Backup]) -> int:
    """The row that a backup stands in; the first where it is not among them."""
    return next((n for n, one in enumerate(shown) if one.id == backup.id and one == backup), 0)


def lay_out(backups: Iterable[Backup], stopping: Callable[[], bool]) -> None:
    """Make ready what a filter looks through, where nobody waits: the first letter is then as fast as others."""
    for backup in backups:
        if stopping():
            return
        _searched(backup)


_laid_out: dict[int, tuple[Backup, str]] = {}
"""By the object itself: to hash all that a backup says costs more than to look through it."""


def _searched(backup: Backup) -> str:
    known = _laid_out.get(id(backup))
    if known is None or known[0] is not backup:
        if len(_laid_out) >= MOST:
            _laid_out.clear()
        known = _laid_out[id(backup)] = (backup, _text_of(backup))
    return known[1]


def _text_of(backup: Backup) -> str:
    flags = ("encrypted " if backup.encrypted else "") + ("odd " if is_odd(backup) else "") + mark(backup)
    flags += " hash recorded" if backup.recorded else ""
    said = " ".join(fact.value for fact in backup.findings)
    return f"{backup.id} {minute(backup.taken_at)} {backup.key} {flags} {said}".lower()


def summary(gathered: Gathered, shown: int, words: str, more: Mapping[str, int] | None = None) -> list[Line]:
    """How much there is, what is still read, what could not be."""
    every = len(gathered.catalog.backups)
    reading = f"; reading {', '.join(map(safe, sorted(gathered.waiting)))}…" if gathered.waiting else ""
    many = f"{shown:,} of {count(every, 'backup')} match {safe(words)}" if words else count(every, "backup")
    answered = count(sum(state.ok for state in gathered.catalog.sources), "source")
    lines = [Line(f"{many}, newest first, from {answered}{reading}")]
    for source, number in (more or {}).items():
        lines.append(Line(f"{count(number, 'more point')} in time of {safe(source)}: press i", "key", "  "))
    for state in gathered.catalog.sources:
        if not state.ok:
            lines.append(Line(f"{state.name} CANNOT BE READ: {state.error}", "bad", "✗ "))
    return lines


def pane(backup: Backup, seen: Preview | None, progress: str, problem: str) -> list[Line]:
    """What is known of the backup under the cursor, as far as it is read."""
    lines = [Line(safe(backup.id), "title"), Line(both_times(backup.taken_at)), Line(described(backup))]
    lines += [stated(fact.state, f"{fact.label}: {fact.value}", "") for fact in backup.findings]
    lines.append(Line(""))
    if problem:
        return [*lines, Line(problem, "bad", "✗ ")]
    if seen is None:
        return [*lines, Line(progress or "reading…", "", "… ")]
    return [*lines, *verdict(seen), *fact_lines(seen.facts, "")]


def described(backup: Backup) -> str:
    """Size, encryption and place, in words."""
    parts = [size(backup.size), backup.format or "no wrapping", f"from {safe(backup.source)}"]
    parts += [f"storage class {safe(backup.storage_class)}"] if backup.storage_class else []
    parts += ["its hash recorded"] if backup.recorded else []
    parts += [told(backup)] if backup.verdict != "never" else []
    parts += [] if backup.readable else ["cannot be read now"]
    return ", ".join(parts)


def verdict(seen: Preview) -> list[Line]:
    """What it comes to."""
    words = {
        "ok": ("GOOD: nothing speaks against restoring it", "good", "✓ "),
        "warn": ("LOOK: it can be restored, but read the warnings", "warn", "! "),
        "bad": ("BAD: it must not be restored", "bad", "✗ "),
    }
    text, look, symbol = words[seen.state]
    return [Line(text, look, symbol)]  # type: ignore[arg-type]


def fact_lines(facts: Iterable[Fact], indent: str = "  ") -> list[Line]:
    """Facts, the worst first."""
    order = {"bad": 0, "warn": 1, "ok": 2}
    return [
        stated(fact.state, f"{fact.label}: {fact.value}", indent)
        for fact in sorted(facts, key=lambda fact: order[fact.state])
    ]
