"""How long a run takes here, by the runs that went well: unknown until a step was seen to its end once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pacs_recover import report
from pacs_recover.errors import RecoverError
from pacs_recover.events import Planned, StepLine
from pacs_recover.journal import read
from pacs_recover.model import Fact
from pacs_recover.runs import planned
from pacs_recover.state import JOURNAL, State
from pacs_recover.text import seconds, size

REMEMBERED = 20
"""Runs that are looked through, newest first."""
UNKNOWN = "how long it takes here is unknown: no such run went well yet"
ENOUGH = 0.5
"""Seconds of reading from which it says something of a run."""
Pace = Mapping[str, float]
"""Seconds that a step took when it last went well, by its title."""


def of(state: State, site: str) -> dict[str, float]:
    """The pace of a site's newest runs in a state directory; a run that cannot be read tells nothing."""
    found: dict[str, float] = {}
    for run in reversed(state.runs()[:REMEMBERED]):
        try:
            events, damage = read(run / JOURNAL)
        except (RecoverError, OSError):
            continue
        told = report.fold(events, damage)
        first = events[0] if events else None
        if told.outcome == "restored" and isinstance(first, Planned) and first.request.site.get("name") == site:
            found |= {step.title: step.seconds for step in _telling(told, first) if step.seconds is not None}
    return found


def of_run(state: State, run: Path) -> dict[str, float]:
    """The pace of the site that a run is of; nothing where the run does not say. SourceError."""
    first = planned(read(run / JOURNAL)[0])
    return of(state, str(first.request.site.get("name", ""))) if first else {}


def _telling(told: report.Report, first: Planned) -> list[report.StepReport]:
    """The steps whose time says something of a live restore: a drill stops nothing."""
    drill = first.request.mode == "drill"
    return [step for step, line in zip(told.steps, first.steps, strict=False) if not (drill and line.phase == "down")]


def predicted(steps: Sequence[StepLine], pace: Pace, carrying: float | None = None) -> float | None:
    """Seconds until the service answers, without the waiting for a person; None where a step's time is unknown.

    ``carrying`` is how long carrying messages over will take, which this very plan has tried on copies.
    """
    told = [step for step in steps if step.phase not in ("carry", "soak", "after") and step.kind != "ask"]
    carries = any(step.phase == "carry" for step in steps)
    if (carries and carrying is None) or any(step.title not in pace for step in told):
        return None
    return sum(pace[step.title] for step in told) + ((carrying or 0.0) if carries else 0.0)


def predicted_downtime(steps: Sequence[StepLine], pace: Pace, carrying: float | None = None) -> float | None:
    """Of these, the seconds from the stop to the answer."""
    phases = [step.phase for step in steps]
    if "down" not in phases or "up" not in phases:
        return None
    return predicted(steps[phases.index("down") : phases.index("up") + 1], pace, carrying)


class Measured(NamedTuple):
    """How fast a plan itself read and unpacked its backups."""

    seconds: float
    bytes: int
    """Of their content."""

    def words(self, rto: float) -> str:
        """The least that a run takes, which reads them once more before it stops anything."""
        rate = f"{seconds(self.seconds)} ({size(self.bytes / self.seconds)}/s)"
        least = f"reading the backups alone takes about {rate}, as this plan measured"
        return f"{least}; that alone would MISS it" if self.seconds > rto else least


def measured(took: float | None, content: int) -> Measured | None:
    """What was measured, if it says anything."""
    return None if took is None or took < ENOUGH else Measured(took, content)


def expectation(whole: float | None, down: float | None, rto: float, reading: Measured | None = None) -> Fact:
    """What a plan says of its time, all in seconds; a ``warn`` where it would miss the RTO."""
    if whole is None:
        least = f"; {reading.words(rto)}" if reading else ""
        down_for = f"; down for about {seconds(down)}" if down is not None else ""
        late = reading is not None and reading.seconds > rto
        return Fact(f"RTO {seconds(rto)}", f"{UNKNOWN}{least}{down_for}", "warn" if late else "ok")
    text = f"about {seconds(whole)} by earlier runs, {seconds(down)} of it down"
    late = whole > rto
    return Fact(f"RTO {seconds(rto)}", f"{text}; that would MISS it" if late else text, "warn" if late else "ok")
