"""Following a run in a terminal or a pipe: one line a step, questions inline, ctrl-c detaches."""

from __future__ import annotations

import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import click
import msgspec

from pacs_recover import pace, report
from pacs_recover.authority import Authority
from pacs_recover.cli import output
from pacs_recover.cli.asking import read_line
from pacs_recover.cli.context import interactive, leave, program_for
from pacs_recover.errors import RecoverError
from pacs_recover.events import AnyEvent, Asked, Began, Effect, Ended, Failed, Handed, Progress, Sealed, Undone
from pacs_recover.front import PATIENCE, Following
from pacs_recover.journal import read
from pacs_recover.plan import operator
from pacs_recover.projecting import Outlook, outlook
from pacs_recover.report import reading
from pacs_recover.runs import is_drill
from pacs_recover.standing import RANK
from pacs_recover.state import JOURNAL, State
from pacs_recover.text import safe
from pacs_recover.wrapping import SYMBOLS

DETACHED = 7
"""Exit code: the run goes on without this front end."""
INDENT = " " * 11
"""Before evidence, which goes under its title."""


def end(
    start: Callable[[], Following],
    as_json: bool,
    *,
    ok: tuple[str, ...] = (),
    afterwards: Callable[[Following, Callable[[], bool]], None] | None = None,
) -> None:
    """Start and follow a run; leave with its exit code, or 0 where its outcome is one that was asked for (``ok``).

    ``afterwards`` is done with a run that has ended, before its report is shown; ctrl-c, which it is given too, ends
    that and not the report.
    """
    with _detaching() as asked:
        following = start()
        code = follow(following, as_json, asked, afterwards)
    if code != DETACHED and following.ended and following.ended.outcome in ok:
        code = 0
    leave(code)


@contextmanager
def _detaching() -> Iterator[Callable[[], bool]]:
    """Ctrl-c is noted instead of raised: from the start on, it must never look as if nothing was changed."""
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


def follow(
    following: Following,
    as_json: bool,
    detaching: Callable[[], bool] = lambda: False,
    afterwards: Callable[[Following, Callable[[], bool]], None] | None = None,
) -> int:
    """Show a run until it ends; the run's exit code, or 7 where the operator or the reader of the output left it."""
    telling = Telling(following, as_json, detaching)
    try:
        telling.until_over()
        if afterwards and following.ended and not detaching():
            afterwards(following, detaching)
        if detaching() and not following.over():
            return detached(following.run, as_json)
        return finished(following, as_json)
    except BrokenPipeError:
        with suppress(OSError):
            return detached(following.run, False)
        return DETACHED


class Clock:
    """A followed run against its RTO."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.events: list[AnyEvent] = []
        self._rank, self._looked = 0, 0.0

    @cached_property
    def _pace(self) -> dict[str, float]:
        return pace.of_run(State(self.run.parent.parent), self.run)

    def outlook(self) -> Outlook | None:
        """As of now; None before its first line."""
        if not self.events:
            return None
        told = report.fold(self.events, alive=True, run=self.run.name)
        return outlook(told, self._pace, self.events)

    def words(self) -> str:
        """The same to stand behind a line; nothing where there is none."""
        found = self.outlook()
        return f"; {found.text}" if found else ""

    def worse(self) -> Outlook | None:
        """The same once a second, where it is worse than it ever was."""
        if (now := time.monotonic()) - self._looked < 1.0:
            return None
        self._looked = now
        found = self.outlook()
        if found is None or RANK[found.state] <= self._rank:
            return None
        self._rank = RANK[found.state]
        return found


class Telling:
    """Prints events; asks what is asked."""

    def __init__(self, following: Following, as_json: bool, detaching: Callable[[], bool]) -> None:
        self.following = following
        self.as_json = as_json
        self.detaching = detaching
        self.teller = report.Teller()
        self._answered: set[str] = set()
        """Questions that were answered here."""
        self._passing = False
        """Whether the last line on the terminal says what is being done, and is written over by the next."""
        self.clock = Clock(following.run)

    def until_over(self) -> None:
        """Tell every event as it comes, until the run ends, its worker is gone, or the operator leaves."""
        while not self.detaching():
            gone = self.following.over()
            fresh = self.following.more()
            for event in fresh:
                self.tell(event)
            if gone and not fresh:
                return
            self._warn()
            if not fresh:
                time.sleep(PATIENCE)

    def _warn(self) -> None:
        """Say it once when the RTO is in danger, and once when it is missed."""
        if (told := self.clock.worse()) and not self.as_json:
            self._clear()
            output.paragraph(told.text, f"{SYMBOLS[told.state]} {'RTO':<8} ", err=True)

    def tell(self, event: AnyEvent) -> None:
        """Print one event and answer a question where a person is there to answer it."""
        self.clock.events.append(event)
        if self.as_json:
            output.line(report.line_json(event))
        else:
            self._tell_text(event)
        asked = self.following.question
        if asked and interactive() and (event is asked or isinstance(event, Handed)):
            self._offer(asked)

    def _offer(self, asked: Asked) -> None:
        """Put the question, once, to whom it belongs."""
        if not self.following.may_answer(operator()):
            self._watch_only()
        elif asked.question not in self._answered:
            self._ask(asked)

    def _watch_only(self) -> None:
        name = self.following.run.name
        output.say(f"{safe(self.following.owner)} answers this run's questions. To answer them yourself:")
        output.say(f"  {program_for(self.following.run)} attach {name} --take-over")

    def _tell_text(self, event: AnyEvent) -> None:
        """What passed in one line (its evidence is in the report); all else with what is said of it."""
        head = self.teller.line(_bare(event))
        if isinstance(event, Began | Progress):
            self._pass_by(head, self.clock.words())
        elif not isinstance(event, Sealed | Effect):
            self._tell_whole(event, head)

    def _tell_whole(self, event: AnyEvent, head: str) -> None:
        self._clear()
        if len(head) > output.width():
            output.paragraph(head[len(INDENT) :], head[: len(INDENT)], err=True)
        else:
            click.echo(head, err=True)
        for text in _details(event):
            output.paragraph(text, INDENT, err=True)

    def _pass_by(self, text: str, clock: str) -> None:
        """On a terminal, what is being done now and when it all ends, until the next line; nothing in a pipe."""
        if sys.stderr.isatty():
            self._clear()
            room = output.width() - 1 - len(clock)
            click.echo(text[:room] + clock if room > len(INDENT) else text[: output.width() - 1], err=True, nl=False)
            self._passing = True

    def _clear(self) -> None:
        if self._passing:
            click.echo("\r\033[K", err=True, nl=False)
            self._passing = False

    def _ask(self, asked: Asked) -> None:
        """Wait for a line from the terminal, but no longer than the question is open."""
        with suppress(termios.error):
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before the question does not answer it
        click.echo("  Go on? Type yes or no: ", err=True, nl=False)
        while self._is_open(asked) and not self.following.over() and not self.detaching():
            ready, _, _ = select.select([sys.stdin], [], [], PATIENCE)
            if ready:
                self._answered.add(asked.question)
                with suppress(KeyboardInterrupt):  # then it is being left, which the loops see
                    self._answer(read_line(self.detaching))
                break
            for event in self.following.more():
                click.echo(err=True)
                self.tell(event)

    def _is_open(self, asked: Asked) -> bool:
        """Whether it still waits for this operator: another may have taken the questions over meanwhile."""
        return self.following.question is asked and self.following.may_answer(operator())

    def _answer(self, typed: str) -> None:
        try:
            self.following.answer(typed.lower() in ("y", "yes"), operator(), Authority())
        except RecoverError as problem:
            output.error(problem, False)


def _bare(event: AnyEvent) -> AnyEvent:
    """The event without what is told beneath it."""
    blank = {name: "" for name in ("evidence", "hint") if name in event.__struct_fields__}
    left = {"left": ()} if isinstance(event, Ended) else {}
    return msgspec.structs.replace(event, **blank, **left)


def _details(event: AnyEvent) -> Iterator[str]:
    """What is told beneath an event's line."""
    match event:
        case Failed():
            yield event.evidence
            yield from [f"next: {event.hint}"] * bool(event.hint)
        case Asked() | Undone():
            yield from [event.evidence] * bool(event.evidence)
        case Ended():
            yield from (f"to do: {item}" for item in event.left)
        case _:
            return


def detached(run: Path, as_json: bool) -> int:
    """Say how the run is found again."""
    if as_json:
        output.line({"kind": "detached", "run": run.name, "exit_code": DETACHED})
    output.say(f"\nThe run {run.name} goes on without this terminal.")
    output.say(f"  follow it:  {program_for(run)} attach {run.name}")
    if not is_drill(read(run / JOURNAL)[0]):
        output.say(f"  undo it:    {program_for(run)} rollback {run.name}")
    return DETACHED


def finished(following: Following, as_json: bool) -> int:
    """The report of a run that is over, and its exit code."""
    run = following.run
    if refusal := following.refusal():
        raise refusal
    if not (run / JOURNAL).exists():
        raise RecoverError(
            f"the worker ended before it began: {following.last_words()}", f"see {run}/worker.log; nothing was changed"
        )
    told = reading.report_of(run)
    if as_json:
        output.line({"kind": "report", **report.to_json(told)})
    else:
        click.echo(err=True)
        click.echo(report.as_text(told, output.width(), command=program_for(run)), nl=False)
    if following.ended is None:
        words = following.last_words()
        output.say(f"✗ the worker of {run.name} is gone before the run ended{': ' + words if words else ''}")
        output.say(f"  next: {program_for(run)} rollback {run.name} (or resume {run.name})")
    return following.exit_code()
