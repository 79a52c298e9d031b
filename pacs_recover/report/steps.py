"""What became of each step of the checklist and of each change to the site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pacs_recover import text
from pacs_recover.events import (
    AnyEvent,
    Asked,
    Began,
    Effect,
    Ended,
    Failed,
    Passed,
    Progress,
    Resumed,
    StepLine,
    Undone,
)
from pacs_recover.report.clocks import Moment
from pacs_recover.report.contract import EffectReport, EffectState, StepReport, StepState

UNDO = "Undo: "
"""How the engine titles the undoing of a change, and its failure."""


@dataclass
class Row:
    """A step on its way to its report."""

    line: StepLine
    state: StepState = "waiting"
    began: float | None = None
    """Of the attempt that runs."""
    seconds: float | None = None
    evidence: str = ""
    asked: str = ""
    """The details of its question: what a yes agreed to."""

    def report(self) -> StepReport:
        """As it stands."""
        return StepReport(
            title=self.line.title,
            kind=self.line.kind,
            state=self.state,
            seconds=None if self.seconds is None else round(self.seconds, 3),
            budget_seconds=self.line.budget,
            evidence=self.evidence,
        )


def rows(told: Sequence[Moment], lines: Sequence[StepLine], until: float | None) -> dict[int, Row]:
    """Every step by its number; ``until`` is now where a worker lives that could still end the step that runs."""
    found = {number: Row(line) for number, line in enumerate(lines)}
    for moment in told:
        if isinstance(moment.event, Resumed | Ended):
            _cut(found.values())
        else:
            _tell(found, moment)
    if until is None:
        _cut(found.values())
    for row in found.values():
        if until is not None and row.state == "running" and row.began is not None:
            row.seconds = until - row.began
    _mark_undone(found, effects([moment.event for moment in told]))
    return found


def _tell(found: dict[int, Row], moment: Moment) -> None:
    event = moment.event
    if event.step is None or not isinstance(event, Began | Asked | Progress | Passed | Failed) or is_undoing(event):
        return
    row = found.setdefault(event.step, Row(StepLine(title=event.title)))
    match event:
        case Began():
            row.state, row.began, row.seconds, row.evidence, row.asked = "running", moment.time, None, "", ""
        case Asked():
            row.evidence = row.asked = event.evidence
        case Progress():
            row.evidence = amount(event)
        case Passed():
            _end(row, "passed", moment.time, event.evidence)
        case Failed():
            _end(row, "failed", moment.time, event.evidence)


def _end(row: Row, state: StepState, time: float, evidence: str) -> None:
    row.state, row.seconds = state, None if row.began is None else time - row.began
    row.evidence = f"{row.asked}: {evidence}" if row.asked else evidence


def _cut(found: Iterable[Row]) -> None:
    for row in found:
        if row.state == "running":
            row.state = "cut"


def _mark_undone(found: dict[int, Row], changes: Sequence[EffectReport]) -> None:
    for number, row in found.items():
        states = {change.state for change in changes if change.step == number}
        if row.state == "passed" and states == {"undone"}:
            row.state = "undone"


def is_undoing(event: AnyEvent) -> bool:
    """Whether it tells of a rollback's work and not of a step's own."""
    return isinstance(event, Undone | Failed) and event.title.startswith(UNDO)


def amount(event: Progress) -> str:
    """How far a step is: ``1.2 GB of 3 GB``, ``12 s of 30 s``, ``7 of 9 files``."""
    if event.unit == "files":
        return f"{event.done:.0f} of {event.total:.0f} files" if event.total is not None else f"{event.done:.0f} files"
    show = text.seconds if event.unit == "seconds" else text.size
    return show(event.done) if event.total is None else f"{show(event.done)} of {show(event.total)}"


def effects(events: Sequence[AnyEvent]) -> tuple[EffectReport, ...]:
    """Every change, oldest first; one whose own line is damaged is known by its undoing."""
    found: dict[int, EffectReport] = {}
    for event in events:
        match event:
            case Effect():
                found[event.n] = _change(event, event.title, "made")
            case Undone():
                known = found.get(event.effect)
                title = known.title if known else event.title.removeprefix(UNDO)
                found[event.effect] = _change(known or event, title, "undone", event.evidence)
            case Failed() if is_undoing(event):
                number, title = _meant(found, event), event.title.removeprefix(UNDO)
                found[number] = _change(event, title, "failed", event.evidence)
    return tuple(change for _, change in sorted(found.items()))


def _change(owner: AnyEvent | EffectReport, title: str, state: EffectState, evidence: str = "") -> EffectReport:
    return EffectReport(step=owner.step, title=title, state=state, evidence=evidence)


def _meant(found: dict[int, EffectReport], failed: Failed) -> int:
    """The change that could not be undone: the newest of its step and title, first one not tried yet."""
    same = [
        n for n, c in found.items() if (c.step, UNDO + c.title) == (failed.step, failed.title) and c.state != "undone"
    ]
    return max(same, key=lambda n: (found[n].state == "made", n), default=failed.n)
