"""A run as it is followed: each event as one line of text, or as one line of the JSON contract."""

from __future__ import annotations

from typing import Any

import msgspec

from pacs_recover.events import (
    Answered,
    AnyEvent,
    Asked,
    Began,
    Effect,
    Ended,
    Failed,
    Handed,
    Noted,
    Passed,
    Planned,
    Progress,
    Resumed,
    Sealed,
    StepLine,
    Undone,
)
from pacs_recover.report.page import OUTCOMES
from pacs_recover.report.steps import UNDO, amount, is_undoing
from pacs_recover.text import both_times, seconds, size
from pacs_recover.wrapping import SYMBOLS, clean

INTERNAL = {"request", "args", "steps"}
"""Fields that the engine needs and a reader of lines does not: the site, the inverses."""


class Teller:
    """Tells a followed run line by line; it remembers how many steps there are and when each began."""

    def __init__(self, total: int = 0) -> None:
        self._total = total
        self._began: dict[int | None, float] = {}

    def line(self, event: AnyEvent) -> str:
        """The event as one line of text, with the seconds that a step took."""
        took = None
        match event:
            case Planned():
                self._total = len(event.steps)
            case Began():
                self._began[event.step] = event.clock
            case Passed() | Failed() if not is_undoing(event):
                began = self._began.pop(event.step, None)
                took = None if began is None else max(0.0, event.clock - began)
            case Resumed():
                self._began.clear()
            case _:
                pass
        return line(event, self._total, took)


def line(event: AnyEvent, total: int = 0, took: float | None = None) -> str:
    """The event as one line of text: a symbol, a word, which of the ``total`` steps, its title, time and evidence."""
    symbol, word, parts = _told(event, took)
    place = f" {event.step + 1}/{total}" if total and _has_place(event) and event.step is not None else ""
    said = [part for part in map(clean, parts) if part]
    return f"{symbol} {word:<8}{place} {'  '.join(said)}".rstrip()


def _has_place(event: AnyEvent) -> bool:
    """Steps are numbered; changes, their undoing and the run's own events are not."""
    return isinstance(event, Began | Asked | Answered | Progress | Passed | Failed) and not is_undoing(event)


def _told(event: AnyEvent, took: float | None) -> tuple[str, str, tuple[str, ...]]:
    """Symbol, word and the parts of what is said."""
    time = "" if took is None else seconds(took)
    match event:
        case Began():
            return "▸", "began", (event.title,)
        case Asked():
            return "?", "asked", (event.title, event.evidence, f"answer by {both_times(event.deadline)}")
        case Answered():
            return "✓" if event.yes else "✗", "answered", (event.title, _answer(event))
        case Progress():
            return "…", "progress", (event.title, amount(event))
        case Passed():
            return "✓", "passed", (event.title, time, event.evidence)
        case Failed():
            return "✗", "FAILED", (event.title, time, event.evidence, f"next: {event.hint}" if event.hint else "")
        case _:
            return _told_of_run(event)


def _told_of_run(
    event: Planned | Resumed | Handed | Effect | Sealed | Undone | Noted | Ended,
) -> tuple[str, str, tuple[str, ...]]:
    """The same for what is no part of one step's own story."""
    match event:
        case Planned():
            return "▸", "planned", (_plan(event),)
        case Resumed():
            again = "to go on" if event.purpose == "resume" else "to roll back"
            return "▸", "taken up", (f"by {event.operator or 'unknown'} {again}",)
        case Handed():
            before = f" from {event.before}" if event.before else ""
            return "▸", "handed", (f"the questions to {event.by}{before}",)
        case Effect():
            return "•", "changes", (event.title, event.evidence)
        case Sealed():
            return "•", "sealed", (event.path, size(event.size), f"SHA-256 {event.sha256[:16]}…")
        case Undone():
            return "↶", "undone", (event.title.removeprefix(UNDO), event.evidence)
        case Noted():
            return SYMBOLS[event.state], event.topic, (event.title, event.evidence)
        case Ended():
            left = f"to do: {'; '.join(event.left)}" if event.left else ""
            return "■", "ended", (OUTCOMES[event.outcome], event.evidence, left)


def _answer(event: Answered) -> str:
    if not event.by:
        return "yes" if event.yes else "no answer in time"
    return f"{'yes' if event.yes else 'no'} ({event.by})"


def _plan(event: Planned) -> str:
    request = event.request
    what = "drill" if request.mode == "drill" else "live restore"
    return (
        f"run {request.run}: {what} of {', '.join(request.components)}; {len(event.steps)} steps, "
        f"RTO {seconds(request.rto_seconds)}"
    )


def line_json(event: AnyEvent) -> dict[str, Any]:
    """The event as one line of the JSON contract: ``kind, at, step, title, evidence`` are there in every one.

    ``step`` counts from 0, an index into the steps of the ``planned`` line.
    """
    fields = {key: value for key, value in msgspec.structs.asdict(event).items() if key not in INTERNAL}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    first = {"kind": type(event).__name__.lower(), "at": plain.pop("at"), "step": None, "title": "", "evidence": ""}
    return first | plain | (_planned_json(event) if isinstance(event, Planned) else {})


def _planned_json(event: Planned) -> dict[str, Any]:
    request = event.request
    return {
        "run": request.run,
        "mode": request.mode,
        "components": list(request.components),
        "plan_id": request.plan_id,
        "rto_seconds": request.rto_seconds,
        "operator": request.operator,
        "host": request.host,
        "backups": [choice.backup.id for choice in request.choices],
        "steps": [_step_json(step) for step in event.steps],
    }


def _step_json(step: StepLine) -> dict[str, Any]:
    return {"title": step.title, "kind": step.kind, "budget_seconds": step.budget, "covers": step.covers}
