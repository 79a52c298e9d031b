"""A question at the terminal, and the line that answers it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from pacs_recover.errors import Interrupted

LOOK = 0.2
"""Seconds between two looks at whether ctrl-c was pressed."""


def ask(question: str, stopped: str = "nothing was changed", leaving: Callable[[], bool] = lambda: False) -> str:
    """What the operator types, as ``read_line`` has it. Interrupted, saying ``stopped``, by ctrl-c or ``leaving``."""
    click.echo(question, err=True, nl=False)
    try:
        return read_line(leaving)
    except KeyboardInterrupt:
        click.echo(err=True)  # what is said of it begins a line of its own
        raise Interrupted(stopped) from None


def read_line(leaving: Callable[[], bool]) -> str:
    """The next line that is typed, without the space around it. KeyboardInterrupt by ctrl-c, and once ``leaving``.

    A read that begins just after ctrl-c waits on as if it had not come, and what was typed before it is gone: the alarm
    ends each read every ``LOOK`` seconds, and Python goes on with it where nothing was pressed meanwhile.
    """

    def look(*_: Any) -> None:
        if leaving():
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, LOOK)

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK)
    try:
        return sys.stdin.readline().strip()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
