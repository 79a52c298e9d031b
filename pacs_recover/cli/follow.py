"""Following a run in a terminal or a pipe: one line an event, questions inline, ctrl-c detaches."""

from __future__ import annotations

import select
import sys
from pathlib import Path

import click

from pacs_recover import looks, report
from pacs_recover.cli import output
from pacs_recover.cli.context import interactive, leave
from pacs_recover.errors import RecoverError
from pacs_recover.events import AnyEvent, Asked
from pacs_recover.front import Following
from pacs_recover.plan import operator
from pacs_recover.state import JOURNAL

DETACHED = 7
"""Exit code: the run goes on without this front end."""


def follow(following: Following, as_json: bool) -> int:
    """Show a run until it ends; the run's exit code, or 7 where the operator left it."""
    telling = Telling(following, as_json)
    try:
        for event in following.events():
            telling.tell(event)
    except KeyboardInterrupt:
        return detached(following.run, as_json)
    return finished(following, as_json)


class Telling:
    """Prints events; asks what is asked."""

    def __init__(self, following: Following, as_json: bool) -> None:
        self.following = following
        self.as_json = as_json
        self.teller = report.Teller()

    def tell(self, event: AnyEvent) -> None:
        """Print one event and answer a question where a person is there to answer it."""
        if self.as_json:
            output.line(report.line_json(event))
        elif text := self.teller.line(event):
            output.say(text)
        if isinstance(event, Asked) and interactive() and self.following.question is event:
            self._ask(event)

    def _ask(self, asked: Asked) -> None:
        """Wait for a line from the terminal, but no longer than the question is open."""
        click.echo("  Go on? Type yes or no: ", err=True, nl=False)
        while self.following.question is asked and not self.following.over():
            ready, _, _ = select.select([sys.stdin], [], [], 0.3)
            if ready:
                yes = sys.stdin.readline().strip().lower() in ("y", "yes")
                try:
                    self.following.answer(yes, operator())
                except RecoverError as problem:
                    output.error(problem, False)
                return
            for event in self.following.more():
                self.tell(event)


def detached(run: Path, as_json: bool) -> int:
    """Say how the run is found again."""
    if as_json:
        output.line({"kind": "detached", "run": run.name, "exit_code": DETACHED})
    state = run.parent.parent
    output.say(f"\nThe run {run.name} goes on without this terminal.")
    output.say(f"  follow it:    pacs-recover --state {state} attach {run.name}")
    output.say(f"  undo it:      pacs-recover --state {state} rollback {run.name}")
    return DETACHED


def finished(following: Following, as_json: bool) -> int:
    """The report of a run that is over, and its exit code."""
    run = following.run
    if not (run / JOURNAL).exists():
        raise RecoverError(
            f"the worker ended before it began: {following.last_words()}", f"see {run}/worker.log; nothing was changed"
        )
    told = looks.report_of(run)
    if as_json:
        output.line({"kind": "report", **report.to_json(told)})
    else:
        click.echo(report.as_text(told))
    if following.ended is None:
        words = following.last_words()
        output.say(f"✗ the worker of {run.name} is gone before the run ended{': ' + words if words else ''}")
        output.say(f"  next: pacs-recover rollback {run.name} (or resume {run.name})")
    return following.exit_code()


def end(following: Following, as_json: bool, *, ok: tuple[str, ...] = ()) -> None:
    """Follow and leave with the exit code; an outcome in ``ok`` is what was asked for, so it is 0."""
    code = follow(following, as_json)
    if code != DETACHED and following.ended and following.ended.outcome in ok:
        code = 0
    leave(code)
