"""When a run that goes on will answer, against its RTO: by earlier runs, else by what was measured and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pacs_recover.events import AnyEvent, Planned, Progress, StepLine
from pacs_recover.model import FactState
from pacs_recover.pace import Pace
from pacs_recover.report import Report
from pacs_recover.report.contract import StepReport
from pacs_recover.runs import planned
from pacs_recover.text import seconds

SOON = 0.8
"""Share of the RTO from which a projected end is amber."""


class Projection(NamedTuple):
    """When it will answer."""

    seconds: float
    """Since the start."""
    is_seen: bool
    """Whether each step that is left was seen to its end in an earlier run; else it is when it answers at the latest,
    as far as the plan's own reading and the services' time-outs tell."""

    def words(self) -> str:
        """``ends at about 1:18``, or ``ends by …`` where no earlier run tells."""
        when = whole(self.seconds)
        return f"ends at about {when}" if self.is_seen else f"ends by {when} (no earlier run)"


class Outlook(NamedTuple):
    """How a run stands against its RTO; ``warn`` before it is missed, ``bad`` when it is."""

    state: FactState
    text: str


def outlook(told: Report, pace: Pace, events: Sequence[AnyEvent]) -> Outlook | None:
    """How a run that goes on stands; None where it has no RTO, goes back, or has answered."""
    rto, so_far = told.rto_seconds, told.total_seconds
    if rto is None or told.outcome != "running" or told.going_back or told.recovery_seconds is not None:
        return None
    if so_far > rto:
        return Outlook("bad", f"RTO MISSED by {whole(so_far - rto)}")
    end = projected(told, pace, events)
    if end is None:
        return Outlook("warn" if so_far > SOON * rto else "ok", "end unknown")
    if end.seconds > rto:
        return Outlook("warn", f"{'will' if end.is_seen else 'may'} be MISSED, {end.words()}")
    return Outlook("warn", f"CLOSE, {end.words()}") if end.seconds > SOON * rto else Outlook("ok", end.words())


def projected(told: Report, pace: Pace, events: Sequence[AnyEvent]) -> Projection | None:
    """When it will answer, by the steps that are left; None where of one of them nothing is known."""
    first = planned(events)
    if first is None:
        return None
    unread = _unread(told, pace, first)
    left, is_seen = 0.0, True
    for number, (line, step) in enumerate(zip(first.steps, told.steps, strict=False)):
        if not _counts(line, step):
            continue
        takes = _takes(line, pace, first)
        if takes is None:
            return None
        spent = step.seconds or 0.0 if step.state == "running" else 0.0
        measured = _measured(number, spent, events)
        left += max(0.0, takes - spent) if measured is None else measured
        is_seen = is_seen and line.title in pace
    return Projection(told.total_seconds + left + unread, is_seen)


def _counts(line: StepLine, step: StepReport) -> bool:
    return line.phase not in ("soak", "after") and step.state != "passed" and line.kind != "ask"


def _takes(line: StepLine, pace: Pace, first: Planned) -> float | None:
    """Seconds of one step: as it took here, else as long as it may; a rename takes none that count."""
    if line.title in pace:
        return pace[line.title]
    if line.budget is not None:
        return line.budget
    known = first.request.mode == "live" and first.request.reading_seconds is not None and line.phase != "carry"
    return 0.0 if known else None


def _unread(told: Report, pace: Pace, first: Planned) -> float:
    """Seconds of reading and proving that are left before the stop, of steps that no earlier run tells of.

    Together they take what the plan took to read and judge the same backups.
    """
    spent, is_left = 0.0, False
    for line, step in zip(first.steps, told.steps, strict=False):
        if line.phase == "down":
            break
        if line.title not in pace and line.budget is None and line.kind != "ask":
            spent += step.seconds or 0.0
            is_left = is_left or step.state != "passed"
    return max(0.0, (first.request.reading_seconds or 0.0) - spent) if is_left else 0.0


def _measured(number: int, spent: float, events: Sequence[AnyEvent]) -> float | None:
    """Seconds that a step's own reading still takes at its rate so far; None where it does not tell."""
    last = next((event for event in reversed(events) if event.step == number), None)
    if not isinstance(last, Progress) or last.unit != "bytes" or not last.total or not last.done:
        return None
    return spent * max(0.0, last.total - last.done) / last.done


def whole(value: float) -> str:
    """Seconds that tick: ``7 s``, ``1:07``."""
    return seconds(float(int(value))) if value >= 10 else f"{int(value)} s"
