"""What a report says of a drill beyond what it says of a restore: who took part, what was tried, what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pacs_recover.events import Noted, Outcome, Request
from pacs_recover.model import Fact
from pacs_recover.report.contract import Age, DrillReport, Failure, Note
from pacs_recover.text import safe, seconds

RESULTS = ("health", "message", "queue")
"""Topics of the functional validation."""


def fold(
    request: Request, notes: Sequence[Noted], outcome: Outcome, failure: Failure | None, began: datetime | None
) -> DrillReport | None:
    """The drill's own part of a report; None for a live restore."""
    drill = request.drill
    if drill is None:
        return None
    said = {topic: tuple(note.evidence for note in notes if note.topic == topic) for topic in ("observation", "action")}
    ages = tuple(_ages(request, began))
    production = [note for note in notes if note.topic == "production"]
    return DrillReport(
        sandbox=drill.sandbox,
        why=drill.why,
        participants=drill.participants,
        observations=(*drill.observations, *said["observation"]),
        actions=(*drill.actions, *said["action"]),
        findings=tuple(_findings(request, notes, outcome, failure, ages)),
        results=tuple(note_of(note) for note in notes if note.topic in RESULTS),
        ages=ages,
        production_equal=all(note.state == "ok" for note in production) if production else None,
        production="; ".join(note.evidence for note in production),
        removed="; ".join(note.evidence for note in notes if note.topic == "teardown"),
    )


def note_of(note: Noted) -> Note:
    """As the report has it: of the time at which it was said."""
    at = note.said_at or note.at
    return Note(topic=note.topic, title=note.title, evidence=note.evidence, state=note.state, at=at)


def _ages(request: Request, began: datetime | None) -> Iterator[Age]:
    """How old what was restored is when the drill begins (or at the time asked for): what a loss then would lose."""
    until = request.at or began
    if until is None:
        return
    objectives = request.site.get("objectives", {})
    for choice in request.choices:
        backup = choice.backup
        age = max(0.0, (until - backup.taken_at).total_seconds())
        rpo = objectives.get(backup.component, {}).get("rpo")
        met = None if rpo is None else age <= rpo
        yield Age(component=backup.component, backup=backup.id, age_seconds=round(age, 3), rpo_seconds=rpo, met=met)


def _findings(
    request: Request, notes: Sequence[Noted], outcome: Outcome, failure: Failure | None, ages: Sequence[Age]
) -> Iterator[Fact]:
    """What the drill has to tell, the worst first."""
    if failure:
        yield Fact(failure.title or "The drill", failure.evidence, "bad")
    elif outcome in ("interrupted", "unfinished"):
        yield Fact("The drill", "it did not come to its end: nothing is proven", "bad")
    for note in notes:
        if note.state == "bad" and note.topic not in ("production",):
            yield Fact(note.title, note.evidence, "bad")
    if request.drill and request.drill.sandbox == "root" and outcome == "restored":
        yield Fact("Service", "it was not started: that it runs with the restored data is not proven", "warn")
    for age in ages:
        if age.met is False:
            told = f"{seconds(age.age_seconds)} old, RPO {seconds(age.rpo_seconds)} MISSED ({safe(age.backup)})"
            yield Fact(f"Age of {age.component}", told, "warn")
    for choice in request.choices:
        yield from (Fact(f"{choice.backup.id}, {f.label}", f.value, f.state) for f in choice.backup.findings)
