"""A question at the terminal, and the line that answers it."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable

import click

from pacs_recover.errors import Interrupted

LOOK = 0.2
"""Seconds between two looks at whether ctrl-c was pressed."""


def ask(question: str, stopped: str = "nothing was changed", leaving: Callable[[], bool] = lambda: False) -> str:
    """What the operator types, without the space around it. Interrupted, saying ``stopped``, by ctrl-c or ``leaving``.

    A read that waits by itself misses the ctrl-c that comes just before it, and would wait for another.
    """
    click.echo(question, err=True, nl=False)
    try:
        while not select.select([sys.stdin], [], [], LOOK)[0]:
            if leaving():
                raise Interrupted(stopped)
        return sys.stdin.readline().strip()
    except KeyboardInterrupt:
        raise Interrupted(stopped) from None
