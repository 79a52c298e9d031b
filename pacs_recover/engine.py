"""Runs a plan: a generator of events with no input or output but the target's and the journal's.

Whatever happens between the first effect and the last check ends in a rollback. A question is an ``Asked`` event that
is answered through ``send``: True goes on, anything else declines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from pacs_recover.errors import Interrupted, RecoverError, Refused, RollbackIncomplete
from pacs_recover.events import (
    Answered,
    AnyEvent,
    Asked,
    Began,
    Effect,
    Ended,
    Failed,
    Passed,
    Progress,
    StepLine,
    Undone,
)
from pacs_recover.journal import Journal, pending
from pacs_recover.model import Step, Work
from pacs_recover.questions import ask
from pacs_recover.target import undo
from pacs_recover.target.control import Control
from pacs_recover.target.host import Target
from pacs_recover.text import safe

Run = Generator[AnyEvent, bool | None, int]
"""Yields events, takes answers, returns the exit code."""

PROGRESS_EVERY = 1.0
"""Seconds between two progress events, which are fsynced like all others."""


def lines(steps: Sequence[Step]) -> tuple[StepLine, ...]:
    """The checklist of these steps as data."""
    return tuple(
        StepLine(title=step.title, kind=step.kind, budget=step.budget, covers=step.covers, phase=step.phase)
        for step in steps
    )


def run(steps: Sequence[Step], target: Target, first: int = 0, stopping: Callable[[], bool] = lambda: False) -> Run:
    """Do the steps from ``first`` on; any way out but the last line rolls back. Returns the exit code.

    ``stopping`` is asked between steps and at each progress report; a rollback, once begun, is not to be stopped. What
    comes after the proof (phase ``after``) only tells: nothing that happens there undoes a proven restore.
    """
    journal = target.journal
    try:
        for number, step in enumerate(steps[first:], start=first):
            journal.step = number
            if step.phase == "after":
                yield from _afterwards(step, target)
            else:
                _go_on(stopping)
                yield from _do(step, target, stopping)
    except BaseException as error:  # whatever it is, the site comes first
        return (yield from _fail(error, steps, target))
    journal.step = None
    kept = tidied(target)
    # Proven, so it stays even where the disk takes no last line: a resume then finds nothing left to do and says so.
    yield from _tell(journal, Ended, outcome="restored", exit_code=0, evidence="restored and proven", kept=kept)
    return 0


def _afterwards(step: Step, target: Target) -> Iterator[AnyEvent]:
    yield from _tell(target.journal, Began, title=step.title)
    try:
        evidence = str(step.do())
    except Exception as error:
        evidence = f"not known: {told(error)[0]}"
    yield from _tell(target.journal, Passed, title=step.title, evidence=evidence)


def _do(step: Step, target: Target, stopping: Callable[[], bool]) -> Generator[AnyEvent, bool | None, None]:
    journal = target.journal
    yield journal.write(Began, title=step.title)
    result = step.do()
    evidence = result if isinstance(result, str) else (yield from _progress(result, step.title, journal, stopping))
    if step.kind == "ask" and evidence:
        evidence = yield from _question(step.title, evidence, target)
    yield journal.write(Passed, title=step.title, evidence=evidence)


def _go_on(stopping: Callable[[], bool]) -> None:
    if stopping():
        raise Interrupted("stopped by a signal", "")


def _progress(
    work: Work, title: str, journal: Journal, stopping: Callable[[], bool]
) -> Generator[AnyEvent, bool | None, str]:
    told = time.monotonic()
    while True:
        try:
            amount = next(work)
        except StopIteration as stop:
            return str(stop.value)
        _go_on(stopping)
        if time.monotonic() - told >= PROGRESS_EVERY:
            told = time.monotonic()
            yield journal.write(Progress, title=title, done=amount.done, total=amount.total, unit=amount.unit)


def _question(title: str, details: str, target: Target) -> Generator[AnyEvent, bool | None, str]:
    journal = target.journal
    asked = journal.write(Asked, title=title, evidence=details, **ask(target.site.question_timeout))
    answer = yield asked
    answered = next((e for e in reversed(journal.events) if isinstance(e, Answered)), None)
    by = answered.by if answered and answered.question == asked.question else ""
    if not answer:
        why = f"declined by {by}" if by else "not answered in time"
        raise Refused(f"{title}: {why}", "nothing was changed; plan again when it is clear")
    return f"yes ({by})" if by else "yes"


def _fail(error: BaseException, steps: Sequence[Step], target: Target) -> Run:
    """Tell of the failure, undo every effect, say how it ended."""
    journal = target.journal
    title = steps[journal.step].title if journal.step is not None else ""
    message, hint, code = told(error)
    yield from _tell(journal, Failed, title=title, evidence=message, hint=hint, exit_code=code)
    if not changed(journal.events):
        kept = tidied(target)
        outcome = "interrupted" if isinstance(error, Interrupted) else "failed_untouched"
        yield from _tell(journal, Ended, outcome=outcome, exit_code=code, evidence=message, kept=kept)
        return code
    return (yield from rollback(target, message))


def told(error: BaseException) -> tuple[str, str, int]:
    """Message, hint and exit code of whatever was raised."""
    match error:
        case RecoverError():
            return error.message, error.hint, error.exit_code
        case OSError():
            where = f" ({safe(error.filename)})" if error.filename else ""
            return (
                f"{error.strerror or error}{where}",
                "see what is wrong with that file or filesystem, then plan again",
                1,
            )
        case KeyboardInterrupt() | SystemExit() | GeneratorExit():
            return "stopped from outside", "", 130
        case _:
            return (
                f"a fault in this program: {type(error).__name__}: {safe(error)}",
                "report it with the run's worker.log",
                1,
            )


def rollback(target: Target, reason: str = "") -> Run:
    """Undo every effect that is not undone, newest first; safe to be cut at any point and run again."""
    journal = target.journal
    if not changed(journal.events):
        kept = tidied(target)
        yield from _tell(
            journal, Ended, outcome="interrupted", exit_code=130, evidence="nothing was changed", kept=kept
        )
        return 130
    left: list[str] = []
    for effect in pending(journal.events):
        journal.step = effect.step
        try:
            evidence = _undo(effect, target.control, bool(left))
        except RollbackIncomplete as error:
            left.extend(error.left)
            yield from _tell(
                journal, Failed, title=f"Undo: {effect.title}", evidence=error.message, hint=error.hint, exit_code=4
            )
        except Exception as error:
            message, hint, _ = told(error)
            left.append(f"{effect.title} could not be undone: {message}. {hint}")
            yield from _tell(journal, Failed, title=f"Undo: {effect.title}", evidence=message, hint=hint, exit_code=4)
        else:
            yield from _tell(journal, Undone, effect=effect.n, title=f"Undo: {effect.title}", evidence=evidence)
    return (yield from _rolled_back(target, reason, tuple(left)))


def _undo(effect: Effect, control: Control, incomplete: bool) -> str:
    inverse = undo.from_args(effect.args)
    if incomplete and isinstance(inverse, undo.ReturnTo):
        raise RollbackIncomplete(
            f"{inverse.service} stays stopped, as its files are not all back", (f"then start {inverse.service}",)
        )
    return inverse.undo(control)


def _rolled_back(target: Target, reason: str, left: tuple[str, ...]) -> Run:
    journal = target.journal
    journal.step = None
    kept = tidied(target)
    if left:
        run = journal.path.parent
        left = (*left, f"then: pacs-recover --state {run.parent.parent} rollback {run.name}")
    outcome, code = ("rollback_incomplete", 4) if left else ("rolled_back", 1)
    yield from _tell(journal, Ended, outcome=outcome, exit_code=code, evidence=reason, left=left, kept=kept)
    return code


def _tell(journal: Journal, kind: type[Any], **fields: Any) -> Iterator[AnyEvent]:
    """Write and yield; a journal that takes no more (a full disk) never stops a rollback, which can be run again."""
    try:
        event: AnyEvent = journal.write(kind, **fields)
    except (OSError, ValueError):
        journal.broken = True
        return
    yield event


def tidied(target: Target) -> tuple[str, ...]:
    """Remove what the run staged; where what must be kept lies."""
    try:
        return tuple(target.tidy())
    except Exception as error:  # whatever it is, how the run ended is decided already
        return (f"not tidied up: {told(error)[0]}",)


def resume(
    steps: Sequence[Step], target: Target, stopping: Callable[[], bool] = lambda: False, *, rebooted: bool = False
) -> Run:
    """Go on with a run that was cut: undo the cut step's effects, prove what is staged, then its remaining steps.

    The caller has made sure that it never failed and that its checklist is the same.
    """
    journal = target.journal
    cut, first = _where(steps, journal.events, rebooted)
    try:
        for effect in pending(journal.events):
            if effect.step == cut:
                journal.step = cut
                evidence = undo.from_args(effect.args).undo(target.control)
                yield journal.write(Undone, effect=effect.n, title=f"Undo: {effect.title}", evidence=evidence)
        target.check_sealed()
    except BaseException as error:
        return (yield from _fail(error, steps, target))
    return (yield from run(steps, target, first, stopping))


def _where(steps: Sequence[Step], events: Sequence[AnyEvent], rebooted: bool) -> tuple[int | None, int]:
    """The step whose effects are undone first, if any, and the step to go on with.

    After a reboot, what was unpacked but not sealed may be gone, so a run that changed nothing begins anew; and what
    runs was not started by this run, so the services are started and proven once more.
    """
    cut = cut_step(events)
    first = next_step(events) if cut is None else cut
    start = next((n for n, step in enumerate(steps) if step.phase == "up"), len(steps) + 1) - 1
    if rebooted and not changed(events):
        return None, 0
    if rebooted and first > start:
        return start, start
    return cut, first


def changed(events: Sequence[AnyEvent]) -> bool:
    """Whether the run ever touched the site."""
    return any(isinstance(event, Effect) for event in events)


def cut_step(events: Sequence[AnyEvent]) -> int | None:
    """The step that began last and has not passed since; None where the run stopped between two steps."""
    last = next((event for event in reversed(events) if isinstance(event, Began | Passed)), None)
    return last.step if isinstance(last, Began) else None


def next_step(events: Sequence[AnyEvent]) -> int:
    """The step after the one that passed last."""
    passed = next((event for event in reversed(events) if isinstance(event, Passed)), None)
    return 0 if passed is None or passed.step is None else passed.step + 1
