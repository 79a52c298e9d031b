"""A report laid out once for all its written forms: headline, what to do, then lists, facts and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from pacs_recover.events import Outcome
from pacs_recover.report import drill_page
from pacs_recover.report.blocks import Block, Facts, List, Row, Table
from pacs_recover.report.contract import EffectReport, Report, StepReport
from pacs_recover.text import both_times, count, precise, seconds, size


@dataclass(frozen=True)
class Page:
    """What every written form of a report says, in the order in which it says it."""

    headline: str
    state: str
    """``good``, ``open`` or ``bad``."""
    blocks: tuple[Block, ...]


COMMAND = "pacs-recover"
"""How this program is called again; with its ``--state DIR`` where that is not the default."""


def page(report: Report, zone: tzinfo | None = None, command: str = COMMAND) -> Page:
    """The report laid out; times are given in UTC and in ``zone`` (default: the host's)."""
    blocks = _blocks(report, zone, command)
    return Page(headline(report), state(report), tuple(block for block in blocks if not _empty(block)))


def state(report: Report) -> str:
    """Whether all is well: a restore that missed its RTO is good too, its headline says so."""
    if report.outcome in ("restored", "closed"):
        return "open" if report.drill and report.recovery_seconds is None else "good"
    return "open" if report.outcome == "running" else "bad"


def headline(report: Report) -> str:
    """How it went, in one line that stands alone."""
    return f"DRILL {_of_drill(report)}" if report.mode == "drill" else _headline(report)


def _of_drill(report: Report) -> str:
    """Of a drill counts whether it proved what it should: there is no site to be put right."""
    if report.outcome in ("running", "unfinished", "closed"):
        return _headline(report)
    if report.outcome != "restored":
        why = report.failure.title or report.failure.evidence if report.failure else report.reason
        word = "INTERRUPTED" if report.outcome == "interrupted" else "FAILED"
        return f"{word} after {seconds(report.total_seconds)}: {why}"
    if report.drill and report.recovery_seconds is None:
        return f"restored files in {seconds(report.total_seconds)}; the service was NOT STARTED, so it is not proven"
    return _headline(report)


def _headline(report: Report) -> str:
    match report.outcome:
        case "restored":
            return f"RESTORED in {seconds(report.recovery_seconds)}, {_rto(report)}"
        case "rolled_back":
            return f"ROLLED BACK after {seconds(report.total_seconds)}: the site is as it was"
        case "rollback_incomplete":
            return "ROLLBACK INCOMPLETE: a person is needed"
        case "failed_untouched":
            return f"FAILED after {seconds(report.total_seconds)}: nothing was changed"
        case "interrupted":
            return f"INTERRUPTED after {seconds(report.total_seconds)}: nothing was changed"
        case "closed":
            return "CLOSED by hand"
        case "running":
            return f"{_doing(report)} for {seconds(report.total_seconds)}{_at(report)}, {_rto(report)}"
        case "unfinished":
            return f"UNFINISHED: cut off{_at(report)}; {_changes(report)}"


def _rto(report: Report) -> str:
    """The target against what was, or is so far, reached; it is met only once the run has ended well."""
    rto, reached = report.rto_seconds, report.recovery_seconds
    if rto is None:
        return "RTO unknown"
    over = (report.total_seconds if reached is None else reached) - rto
    if over > 0:
        return f"RTO {seconds(rto)} MISSED by {seconds(over)}"
    if report.outcome == "restored":
        return f"RTO {seconds(rto)} met"
    return f"RTO {seconds(rto)}: " + (
        f"{seconds(-over)} left" if reached is None else f"answered after {seconds(reached)}"
    )


def _doing(report: Report) -> str:
    return "ROLLING BACK" if report.going_back else "RUNNING"


def _at(report: Report) -> str:
    """The step that runs or was cut, else the one that comes next."""
    where = [number for number, step in enumerate(report.steps, start=1) if step.state in ("running", "cut")]
    if where:
        return f" in step {where[-1]} of {len(report.steps)}"
    following = [number for number, step in enumerate(report.steps, start=1) if step.state == "waiting"]
    return f" before step {following[0]} of {len(report.steps)}" if following else ""


def _changes(report: Report) -> str:
    made = sum(effect.state != "undone" for effect in report.effects)
    if made:
        return f"{count(made, 'change')} not undone"
    if report.effects:
        return "every change was undone"
    return "what was changed is not known" if report.damage else "nothing was changed"


def _blocks(report: Report, zone: tzinfo | None, command: str) -> Iterator[Block]:
    if report.mode == "live":
        yield List("To do now, in this order", report.left, numbered=True)
    yield List("To end this run, do one of", tuple(_ways_on(report, command)))
    yield List("What went wrong", tuple(_wrong(report)))
    yield Facts("Run", tuple(_run(report, zone)))
    if report.drill:
        yield from drill_page.opening(report.drill)
    yield Facts("Times", tuple(_times(report)))
    yield Table("Steps", ("State", "Step", "Time", "What", "Evidence"), tuple(_steps(report.steps)))
    yield Table(*_changed(report))
    yield Table("Checks", ("State", "Check", "Evidence"), tuple(_checks(report)))
    yield Table("Backups", ("Component", "Backup", "Evidence"), tuple(_backups(report, zone)))
    if report.drill:
        yield from drill_page.closing(report.drill)
    yield List("Notes", tuple(f"{both_times(note.at, zone)}, {note.title}: {note.evidence}" for note in report.notes))
    yield List("Kept", report.kept)
    yield List("Journal lines that could not be read", tuple(f"line {d.line}: {d.reason}" for d in report.damage))


def _empty(block: Block) -> bool:
    match block:
        case List():
            return not block.items
        case Facts():
            return not block.pairs
        case Table():
            return not block.rows


def _ways_on(report: Report, command: str) -> Iterator[str]:
    if report.outcome != "unfinished":
        return
    if report.mode == "drill":
        yield f"start another one, which removes what is left of its sandbox: {command} drill"
        return
    if not report.going_back:
        yield f"go on where it was cut: {command} resume {report.run}"
    yield f"take everything back: {command} rollback {report.run}"
    yield f"if a person put it right by hand: {command} close {report.run} --why TEXT"


def _wrong(report: Report) -> Iterator[str]:
    if report.failure is None:
        if report.reason and report.outcome not in ("restored", "closed"):
            yield report.reason
        return
    where = f"{report.failure.title}: " if report.failure.title else ""
    yield where + report.failure.evidence
    if report.failure.hint:
        yield f"Next: {report.failure.hint}"


def _run(report: Report, zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    yield "Run", f"{report.run or 'unknown'} ({'drill' if report.mode == 'drill' else 'live restore'})"
    yield "Restores", ", ".join(report.components) or "unknown"
    yield "Host", report.host or "unknown"
    yield "Operator", report.operator or "unknown"
    if report.started_at:
        yield "Started", both_times(report.started_at, zone)
    for takeover in report.resumed:
        what = "resumed" if takeover.purpose == "resume" else "rollback"
        yield what.capitalize(), f"{both_times(takeover.at, zone)} by {takeover.operator or 'unknown'}"
    if report.ended_at:
        yield "Ended", both_times(report.ended_at, zone)
    if report.outcome == "closed":
        yield "Closed because", report.reason


def _times(report: Report) -> Iterator[tuple[str, str]]:
    recovered = "not recovered" if report.recovery_seconds is None else seconds(report.recovery_seconds)
    yield "Start to answering", f"{recovered} ({_rto(report)})" if report.outcome == "restored" else recovered
    if report.outage_seconds is not None:
        yield "Outage to answering", seconds(report.outage_seconds) + _from_outage(report.outage_rto_met)
    least = "at least " if report.outcome == "unfinished" and report.downtime_seconds else ""
    carrying = (
        ""
        if report.carry_over_seconds is None
        else f", {seconds(report.carry_over_seconds)} of it carrying messages over"
    )
    yield "Downtime", least + seconds(report.downtime_seconds) + carrying if report.downtime_seconds else "none"
    yield "Soak", seconds(report.soak_seconds) if report.soak_seconds else "none"
    yield "Waited for people", seconds(report.human_wait_seconds) if report.human_wait_seconds else "none"
    yield "Total", seconds(report.total_seconds)


def _from_outage(met: bool | None) -> str:
    if met is None:
        return ""
    return " (RTO met from there as well)" if met else " (RTO MISSED from there)"


def _steps(steps: Sequence[StepReport]) -> Iterator[Row]:
    for number, step in enumerate(steps, start=1):
        yield Row(step.state, (f"{number}", spent(step.seconds, step.budget_seconds)), step.title, step.evidence)


def spent(took: float | None, budget: float | None) -> str:
    """Seconds against the budget: ``0.4 s``, ``31 s of 2:00``, ``2:10 of 2:00 OVER``."""
    if took is None:
        return "" if budget is None else f"of {seconds(budget)}"
    if budget is None:
        return seconds(took)
    return f"{seconds(took)} of {seconds(budget)}{' OVER' if took > budget else ''}"


def _changed(report: Report) -> tuple[str, tuple[str, ...], tuple[Row, ...]]:
    """A rollback as it ran, newest change first; before one, what there is to roll back."""
    columns = ("State", "Change", "Evidence")
    undone = [effect for effect in report.effects if effect.state != "made"]
    if undone:
        return "Rollback, in the order it ran", columns, tuple(_effect(effect) for effect in reversed(report.effects))
    if report.outcome in ("restored", "closed"):
        return "Changes", columns, ()
    return "Changes so far", columns, tuple(_effect(effect) for effect in report.effects)


def _effect(effect: EffectReport) -> Row:
    return Row(effect.state, (), effect.title, effect.evidence)


def _checks(report: Report) -> Iterator[Row]:
    for check in report.checks:
        yield Row(check.state, (), check.name, check.evidence)


def _backups(report: Report, zone: tzinfo | None) -> Iterator[Row]:
    for backup in report.backups:
        sha256 = backup.sha256 if report.mode == "drill" else f"{backup.sha256[:16]}…"
        odd = [f"{f.label}: {f.value}" for f in report.findings if f.backup == backup.id]
        evidence = f"taken {both_times(backup.taken_at, zone)}; {size(backup.size)}; SHA-256 {sha256}"
        asked = f"asked for {precise(backup.asked_at)}" if backup.asked_at else ""
        told = filter(None, (evidence, backup.manifest, asked, backup.reached, *odd))
        yield Row(backup.component, (), backup.id, "; ".join(told))


OUTCOMES: dict[Outcome, str] = {
    "restored": "RESTORED",
    "rolled_back": "ROLLED BACK",
    "rollback_incomplete": "ROLLBACK INCOMPLETE",
    "failed_untouched": "FAILED, nothing was changed",
    "interrupted": "INTERRUPTED, nothing was changed",
    "closed": "CLOSED by hand",
    "running": "RUNNING",
    "unfinished": "UNFINISHED",
}
"""One word or two for an end, as a followed run tells it."""
