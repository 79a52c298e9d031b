"""A run's events folded into its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import overload

from pacs_recover.events import AnyEvent, Ended, Failed, Noted, Outcome, Planned, Request, Resumed
from pacs_recover.journal import Damage
from pacs_recover.report import drilled, steps
from pacs_recover.report.clocks import Passage, moments, passages
from pacs_recover.report.contract import BackupUsed, Check, Failure, Finding, Report, Takeover


def fold(
    events: Sequence[AnyEvent],
    damage: Iterable[Damage] = (),
    alive: bool = False,
    now: datetime | None = None,
    run: str = "",
) -> Report:
    """The report of a journal's events, of which any part may be missing.

    ``alive`` says that a worker holds the journal: a run that has not ended is then ``running``, and its clocks run
    until ``now``. Else it is ``unfinished`` and its clocks stand at its last event: also where nothing was changed yet,
    because what it staged still lies there until somebody resumes, rolls back or closes it; ``interrupted`` is a run
    that saw to its own end. Whatever follows an end opens the run again, so that the last end counts.
    ``run`` names it where the first line is damaged.
    """
    notes = [event for event in events if isinstance(event, Noted)]
    events = [event for event in events if not isinstance(event, Noted)]  # what is said of a run is no part of it
    told = moments(events)
    working = alive and bool(events) and not isinstance(events[-1], Ended)
    idle = max(0.0, ((now or datetime.now(UTC)) - events[-1].at).total_seconds()) if working else 0.0
    planned = next((event for event in events if isinstance(event, Planned)), None)
    lines = planned.steps if planned else ()
    worked = passages(told, {number: line.phase for number, line in enumerate(lines)}, idle)
    found = steps.rows(told, lines, told[-1].time + idle if working else None)
    request = planned.request if planned else _unknown(run)
    outcome = _outcome(events, alive)
    return _report(events, tuple(damage), planned, request, outcome, worked, found, notes)


def _report(
    events: Sequence[AnyEvent],
    damage: tuple[Damage, ...],
    planned: Planned | None,
    request: Request,
    outcome: Outcome,
    worked: Sequence[Passage],
    found: dict[int, steps.Row],
    notes: Sequence[Noted],
) -> Report:
    ends = [event for event in events if isinstance(event, Ended)]
    end = ends[-1] if ends and events[-1] is ends[-1] else None
    rto = request.rto_seconds if planned else None
    recovery = _rounded(worked[-1].recovered) if worked and not _unproven(request, found) else None
    outage = None if request.since is None or recovery is None else recovery + _before(request.since, events)
    return Report(
        run=request.run,
        mode=request.mode,
        outcome=outcome,
        started_at=events[0].at if events else None,
        ended_at=end.at if end else None,
        total_seconds=_rounded(sum(passage.seconds for passage in worked)),
        rto_seconds=rto,
        rto_met=None if _unproven(request, found) and outcome == "restored" else _met(outcome, recovery, rto),
        downtime_seconds=_rounded(sum(passage.downtime for passage in worked)),
        soak_seconds=_rounded(sum(row.seconds or 0.0 for row in found.values() if row.line.phase == "soak")),
        human_wait_seconds=_rounded(sum(passage.human_wait for passage in worked)),
        steps=tuple(found[number].report() for number in sorted(found)),
        checks=tuple(_checks(found)),
        backups=tuple(_backups(request)),
        operator=request.operator,
        host=request.host,
        components=request.components,
        recovery_seconds=recovery,
        since=request.since,
        outage_seconds=_rounded(outage),
        outage_rto_met=None if outage is None else _met(outcome, outage, rto),
        carry_over_seconds=_rounded(_carrying(found.values())),
        plan_id=request.plan_id,
        program=planned.program if planned else "",
        exit_code=end.exit_code if end else None,
        reason=end.evidence if end else "",
        left=end.left if end else (),
        kept=ends[-1].kept if ends else (),
        effects=steps.effects(events),
        failure=_failure(events),
        resumed=tuple(_takeovers(events)),
        findings=tuple(_findings(request)),
        damage=damage,
        drill=drilled.fold(request, notes, outcome, _failure(events), events[0].at if events else None),
        notes=tuple(drilled.note_of(note) for note in notes if note.topic == "note"),
    )


def _unproven(request: Request, found: dict[int, steps.Row]) -> bool:
    """Whether it is a drill in which no service was to be started, so that nothing ever answered."""
    return request.mode == "drill" and not any(row.line.phase == "up" for row in found.values())


def _carrying(rows: Iterable[steps.Row]) -> float | None:
    took = [row.seconds for row in rows if row.line.phase == "carry" and row.seconds is not None]
    return sum(took) if took else None


def _unknown(run: str) -> Request:
    """What is known of a run whose first line is damaged."""
    return Request(
        run=run, plan_id="", site={}, components=(), choices=(), live=(), rto_seconds=0, operator="", host=""
    )


def _outcome(events: Sequence[AnyEvent], alive: bool) -> Outcome:
    last = events[-1] if events else None
    if isinstance(last, Ended):
        return last.outcome
    return "running" if alive else "unfinished"


def _met(outcome: Outcome, seconds: float | None, rto: float | None) -> bool | None:
    """None where it is not decided, or where a person decided it outside of the run."""
    if rto is None or outcome in ("running", "unfinished", "closed"):
        return None
    return outcome == "restored" and seconds is not None and seconds <= rto


def _before(since: datetime, events: Sequence[AnyEvent]) -> float:
    """How long the outage lasted when the run began."""
    return max(0.0, (events[0].at - since).total_seconds())


@overload
def _rounded(seconds: float) -> float: ...
@overload
def _rounded(seconds: float | None) -> float | None: ...
def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _checks(found: dict[int, steps.Row]) -> Iterator[Check]:
    for number in sorted(found):
        row = found[number]
        if row.line.covers:
            yield Check(row.line.covers, row.state, row.evidence)


def _backups(request: Request) -> Iterator[BackupUsed]:
    for choice in request.choices:
        backup = choice.backup
        yield BackupUsed(
            id=backup.id,
            component=backup.component,
            source=backup.source,
            key=backup.key,
            taken_at=backup.taken_at,
            size=backup.size,
            sha256=choice.sha256,
            bytes=choice.bytes,
            manifest=choice.manifest,
            asked_at=request.at,
            reached=choice.reached,
        )


def _findings(request: Request) -> Iterator[Finding]:
    for choice in request.choices:
        for fact in choice.backup.findings:
            yield Finding(backup=choice.backup.id, label=fact.label, value=fact.value, state=fact.state)


def _failure(events: Sequence[AnyEvent]) -> Failure | None:
    """The first thing that failed by itself; a failing rollback is told by its changes."""
    own = (event for event in events if isinstance(event, Failed) and not steps.is_undoing(event))
    return next((Failure(event.title, event.evidence, event.hint) for event in own), None)


def _takeovers(events: Sequence[AnyEvent]) -> Iterator[Takeover]:
    for event in events:
        if isinstance(event, Resumed):
            yield Takeover(
                at=event.at, purpose=event.purpose, operator=event.operator, program=event.program, armed=event.armed
            )
