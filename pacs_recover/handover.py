"""A run in a few lines for whoever takes over: how it stands, what was done, what is next, who, and how to go on.

Counts, times and the checklist's own words: neither messages nor secrets nor what people noted are in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pacs_recover import projecting, questions, report
from pacs_recover.events import Answered, AnyEvent, Asked
from pacs_recover.journal import is_written, read
from pacs_recover.pace import Pace
from pacs_recover.report import Report
from pacs_recover.runs import planned
from pacs_recover.state import JOURNAL
from pacs_recover.text import both_times, count, safe, seconds


def of(run: Path, known: Pace, program: str, now: datetime) -> list[str]:
    """The lines, each to be wrapped by who shows it; ``program`` is how this one is called again. SourceError."""
    alive = is_written(run / JOURNAL)
    events, damage = read(run / JOURNAL)
    told = report.fold(events, damage, alive=alive, now=now, run=run.name)
    return list(lines(told, events, known, program, now))


def lines(told: Report, events: list[AnyEvent], known: Pace, program: str, now: datetime) -> Iterator[str]:
    """The same of a run that was read already."""
    first = planned(events)
    site = first.request.site.get("name", "unknown") if first else "unknown"
    what = "drill" if told.mode == "drill" else "live restore"
    yield f"HAND-OVER, site {safe(site)} on {safe(told.host) or 'unknown'}, {both_times(now)}"
    yield f"Run: {safe(told.run)}, {what} of {', '.join(told.components) or 'unknown parts'}, {_who(told, events)}"
    yield f"State: {report.headline(told)}"
    if told.outcome == "running":
        yield f"Time: {_time(told, known, events)}"
    yield from _steps(told)
    yield from _wrong(told)
    if told.outcome == "running" and (asked := _open(events)):
        yield f"Question that waits: {asked.title}; an answer by {both_times(asked.deadline)}"
    made = sum(effect.state != "undone" for effect in told.effects)
    where = " in its sandbox, none in production" if made and told.mode == "drill" else ""
    yield f"Changes in force: {count(made, 'change') if made else 'none'}{where}"
    yield from (f"A person has to ({number}): {todo}" for number, todo in enumerate(told.left, start=1))
    if told.notes:
        yield f"Notes: {count(len(told.notes), 'note')}, in the report"
    yield from _ways(told, program, made)


def _who(told: Report, events: list[AnyEvent]) -> str:
    began = f" at {both_times(told.started_at)}" if told.started_at else ""
    owner = questions.owner(events)
    now = f", its questions are {safe(owner)}'s now" if owner and owner != told.operator else ""
    return f"begun by {safe(told.operator) or 'unknown'}{began}{now}"


def _time(told: Report, known: Pace, events: list[AnyEvent]) -> str:
    rto = told.rto_seconds
    text = f"{seconds(told.total_seconds)} so far, RTO {seconds(rto)}"
    if told.recovery_seconds is not None:
        return f"{text}; it answered after {seconds(told.recovery_seconds)} and has to stay up"
    if told.going_back:
        return f"{text}; it is rolling back, by itself"
    end = projecting.projected(told, known, events)
    if end is None:
        return f"{text}; when it ends is unknown: no such run went well here yet"
    late = "" if rto is None or end.seconds <= rto else f", the RTO {'will' if end.is_seen else 'may'} be MISSED"
    return f"{text}; {end.words()}, in {seconds(max(0.0, end.seconds - told.total_seconds))}{late}"


def _steps(told: Report) -> Iterator[str]:
    done = [step.title for step in told.steps if step.state == "passed"]
    yield f"Done: {len(done)} of {count(len(told.steps), 'step')}" + (f", the last: {done[-1]}" if done else "")
    for state, word in (("running", "Now"), ("cut", "Cut in")):
        yield from (f"{word}: {step.title} ({seconds(step.seconds)})" for step in told.steps if step.state == state)
    waiting = [step.title for step in told.steps if step.state == "waiting"]
    if waiting and not told.going_back and told.outcome in ("running", "unfinished"):
        yield f"Next: {waiting[0]}" + (f", then {count(len(waiting) - 1, 'more step')}" if waiting[1:] else "")


def _wrong(told: Report) -> Iterator[str]:
    if told.failure:
        yield f"Failed: {told.failure.title or 'between two steps'}: {told.failure.evidence}"
        if told.failure.hint:
            yield f"Next, after the rollback: {told.failure.hint}"


def _open(events: list[AnyEvent]) -> Asked | None:
    last = next((event for event in reversed(events) if isinstance(event, Asked | Answered)), None)
    return last if isinstance(last, Asked) else None


def _ways(told: Report, program: str, made: int) -> Iterator[str]:
    """The commands to go on with."""
    run = safe(told.run)
    if told.outcome == "running":
        yield f"Follow it: {program} attach {run}"
    elif told.outcome == "unfinished" and told.mode == "live":
        go_on = "" if told.going_back else f"{program} resume {run}, or "
        yield f"End it: {go_on}{program} rollback {run}"
    elif told.outcome == "rollback_incomplete":
        yield f"End it: {program} rollback {run}; by hand: {program} close {run} --why TEXT"
    elif made and told.mode == "live":
        yield f"Undo it: {program} rollback {run}"
    yield f"In full: {program} report {run}"
