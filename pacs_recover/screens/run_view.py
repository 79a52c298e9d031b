"""What a run shows: its checklist, its clock against the RTO, the evidence, the question, the rollback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pacs_recover.events import AnyEvent, Asked
from pacs_recover.projecting import outlook, whole
from pacs_recover.report import Report, headline
from pacs_recover.report.contract import EffectReport, StepReport
from pacs_recover.text import both_times, count, safe, seconds
from pacs_recover.widgets.line import LOOKS, Line, cells, title
from pacs_recover.wrapping import SYMBOLS

OVER = ("restored", "failed_untouched", "rolled_back", "interrupted", "closed")


def head(report: Report) -> Line:
    """What it is and how it stands, in one line."""
    parts = ", ".join(report.components) or "unknown parts"
    match report.outcome:
        case "running":
            what = "ROLLING BACK" if report.going_back else "RESTORING"
            into = " into a sandbox, production is not touched" if report.mode == "drill" else ""
            return Line(f"{what} {parts}{into} - run {safe(report.run)}", "key")
        case "restored" | "closed":
            return Line(headline(report), "ok", "✓ ")
        case "unfinished":
            return Line(f"NOBODY WORKS ON THIS RUN and it has not ended - run {safe(report.run)}", "bad", "✗ ")
        case _:
            return Line(headline(report), "bad", "✗ ")


def checklist(report: Report) -> list[Line]:
    """A row per step; once it fails, below them a row per change and whether it is undone."""
    number = len(str(len(report.steps)))
    rows = [_step(place, step, number) for place, step in enumerate(report.steps, start=1)]
    if not report.going_back:
        return rows
    now = undoing(report)
    changes = [_change(effect, effect is now) for effect in reversed(report.effects)]
    return [*rows, title(" Rollback, newest change first:"), *(changes or [Line(" nothing had been changed", "ok")])]


def _step(place: int, step: StepReport, wide: int) -> Line:
    took = "" if step.seconds is None or step.state in ("running", "waiting") else seconds(step.seconds)
    over = step.budget_seconds is not None and step.seconds is not None and step.seconds > step.budget_seconds
    asks = step.kind == "ask" and step.state == "running"
    state = "? asks you" if asks else f"{SYMBOLS[step.state]} {step.state}"
    text = cells((f"{place:{wide}}", wide), (state, 10), (took.rjust(6), 6), (step.title, 200))
    return Line(f" {text}" + (" (over its budget)" if over else ""), LOOKS.get(step.state, ""))


def undoing(report: Report) -> EffectReport | None:
    """The change that is being undone now."""
    if report.outcome != "running" or not report.going_back:
        return None
    return next((effect for effect in reversed(report.effects) if effect.state == "made"), None)


def _change(effect: EffectReport, now: bool) -> Line:
    words = {"made": ("·", "to undo", ""), "undone": ("↶", "undone", "ok"), "failed": ("✗", "NOT UNDONE", "bad")}
    symbol, word, look = ("▸", "undoing", "key") if now else words[effect.state]
    evidence = f": {effect.evidence}" if effect.evidence and effect.state == "failed" else ""
    return Line(f"   {cells((f'{symbol} {word}', 12), (effect.title + evidence, 200))}", look)  # type: ignore[arg-type]


def current(report: Report) -> int:
    """The row that matters now: of the rollback the change that is next, else the step that runs or failed."""
    if report.going_back:
        left = [place for place, effect in enumerate(reversed(report.effects)) if effect.state == "made"]
        last = len(report.steps) + len(report.effects)
        return len(report.steps) + 1 + left[0] if left else last
    states = [step.state for step in report.steps]
    for state in ("running", "failed", "cut"):
        if state in states:
            return states.index(state)
    passed = [place for place, state in enumerate(states) if state == "passed"]
    return passed[-1] if passed else 0


def clock(report: Report, known: Mapping[str, float], events: Sequence[AnyEvent], width: int = 78) -> Line:
    """Time against the RTO with the projected end: amber before it is missed, red when it is.

    How long the step takes is left out where there is no room for it.
    """
    rto, so_far = report.rto_seconds, report.total_seconds
    if report.outcome == "unfinished":
        return Line(f"it was worked on for {seconds(so_far)}; RTO {_rto(rto)}")
    if report.outcome != "running":
        return Line(f"took {seconds(so_far)} in all; down for {seconds(report.downtime_seconds)}; RTO {_rto(rto)}")
    if report.recovery_seconds is not None:
        met = rto is None or report.recovery_seconds <= rto
        text = f"answered after {seconds(report.recovery_seconds)}, RTO {_rto(rto)} {'met' if met else 'MISSED'}"
        return Line(f"{text}; it has to stay up: {whole(report.soak_seconds)}", "ok" if met else "bad")
    found = outlook(report, known, events)
    text = f"{whole(so_far)} of RTO {_rto(rto)}" + (f"; {found.text}" if found else "")
    line = Line(text, LOOKS[found.state], STARTS[found.state]) if found else Line(text)
    step = _step_time(report)
    return replace(line, text=text + step) if len(line.start + text + step) <= width else line


STARTS = {"ok": "", "warn": "! ", "bad": "✗ "}


def _step_time(report: Report) -> str:
    running = [(place, step) for place, step in enumerate(report.steps, start=1) if step.state == "running"]
    return f"; step {running[0][0]} of {len(report.steps)} for {whole(running[0][1].seconds or 0)}" if running else ""


def _rto(rto: float | None) -> str:
    return "unknown" if rto is None else seconds(rto)


def evidence(report: Report, row: int) -> list[Line]:
    """What was seen of the step or the change under the cursor."""
    if row < len(report.steps):
        step = report.steps[row]
        budget = f" (budget {seconds(step.budget_seconds)})" if step.budget_seconds is not None else ""
        said = step.evidence or {"waiting": "not begun", "running": "working…"}.get(step.state, "no evidence")
        return [
            Line(f"{step.title}{budget}", "title"),
            Line(said, LOOKS.get(step.state, "") if step.state == "failed" else ""),
        ]
    changes = list(reversed(report.effects))
    place = row - len(report.steps) - 1
    if 0 <= place < len(changes):
        change = changes[place]
        if change is undoing(report):
            return [Line(f"Being undone: {change.title}", "title"), *_why(report)]
        return [Line(change.title, "title"), Line(change.evidence or change.state)]
    return _why(report)


def _why(report: Report) -> list[Line]:
    failed = report.failure
    if failed is None:
        return [Line("Somebody asked for the rollback", "title")]
    lines = [Line(f"Failed: {failed.title or 'between two steps'}", "title"), Line(failed.evidence, "bad", "✗ ")]
    return [*lines, Line(f"next: {failed.hint}")] if failed.hint else lines


def question(asked: Asked, owner: str = "") -> list[Line]:
    """The question and how it is answered; with ``owner``, whose it is, who is somebody else."""
    if owner:
        how = f"{safe(owner)} answers this run's questions, by {both_times(asked.deadline)}. T takes them over"
        return [
            Line(f"QUESTION: {asked.title}", "bad", "? "),
            Line(asked.evidence, "title", "  "),
            Line(how, "", "  "),
        ]
    return [
        Line(f"QUESTION: {asked.title}", "bad", "? "),
        Line(asked.evidence, "title", "  "),
        Line(
            f"Press A to ACCEPT and go on, D to DECLINE (then nothing is changed). By {both_times(asked.deadline)}",
            "",
            "  ",
        ),
    ]


def ending(report: Report, last_words: str) -> list[Line]:
    """After a bad end: what a person has to do, then why it failed; nothing after a good one."""
    if report.outcome in ("restored", "closed"):
        return []
    lines = [Line("A PERSON HAS TO, in this order:", "bad")] if report.left else []
    lines += [Line(what, "", f"  {number}. ") for number, what in enumerate(report.left, start=1)]
    if report.outcome == "unfinished":
        lines += _gone(last_words, report)
    if report.failure or report.going_back:
        lines += _why(report)
    elif report.reason:
        lines += [Line(report.reason)]
    return lines


def _gone(words: str, report: Report) -> list[Line]:
    """The worker is gone without an end."""
    said = f": {words}" if words else ""
    lines = [Line(f"Its worker is gone{said}", "bad", "✗ ")]
    if report.mode == "drill":
        return [*lines, Line("nothing of production was changed: the next drill removes its sandbox", "ok", "✓ ")]
    if not report.changed:
        return [*lines, Line("nothing had been changed: u goes on with it, b or x ends it", "ok", "✓ ")]
    made = [effect for effect in report.effects if effect.state == "made"]
    ways = "u goes on where it was cut, b takes all back, x if you mend it by hand"
    many = Line(f"{count(len(made), 'change')} in force; {ways}", "warn", "! ")
    return [*lines, many, *(Line(effect.title, "", "  • ") for effect in made)]
