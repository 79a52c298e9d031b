"""What the commands print: data to stdout, everything else to stderr; one JSON document with ``--json``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from pacs_recover.errors import RecoverError
from pacs_recover.wrapping import SYMBOLS, columns, pad, wrap

if TYPE_CHECKING:
    from pacs_recover.model import Fact

WORDS = {"ok": "", "warn": "WARN ", "bad": "BAD "}
"""What stands between the symbol and the label; what is fine needs no word."""


def width() -> int:
    """Columns to lay text out in: the terminal's or ``$COLUMNS``, else 80."""
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def document(data: Any) -> None:
    """Print one JSON document; half a character, which JSON cannot hold as it is, is escaped."""
    import msgspec

    try:
        click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
    except UnicodeEncodeError:
        import json

        click.echo(json.dumps(data, indent=2))


def line(data: Any) -> None:
    """Print one JSON line, at once."""
    import json

    click.echo(json.dumps(data, ensure_ascii=False))
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the operator something that is not data; an indented line is one to copy, and is never broken."""
    for part in text.splitlines() or [""]:
        if sys.stderr.isatty() and not part.startswith(" "):
            paragraph(part, err=True)
        else:
            click.echo(part, err=True)


def error(problem: RecoverError, as_json: bool) -> None:
    """What happened, and what to do next."""
    if as_json:
        return document(error_json(problem))
    say(f"pacs-recover: {problem.message}")
    if problem.hint:
        say(f"  next: {problem.hint}")
    return None


def error_json(problem: RecoverError) -> dict[str, Any]:
    """The JSON contract of an error."""
    return {"error": {"message": problem.message, "hint": problem.hint, "exit_code": problem.exit_code}}


def paragraph(text: str, start: str = "", *, err: bool = False) -> None:
    """Text wrapped to the width, ``start`` before its first line and as many spaces before the others."""
    for part in wrap(text, width(), start):
        click.echo(part, err=err)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be; the last one takes what is left of the width, and goes on beneath itself."""
    grid = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(columns(row[i]) for row in grid) for i in range(len(head) - 1)]
    for row in grid:
        start = "".join(pad(cell, wide) + "  " for cell, wide in zip(row, widths, strict=False))
        paragraph(row[-1], start)


def facts(of: Iterable[Fact], indent: str = "  ", *, err: bool = False) -> None:
    """Facts, one a line, with their state as a symbol and, unless it is fine, a word."""
    for fact in of:
        paragraph(f"{fact.label}: {fact.value}", f"{indent}{SYMBOLS[fact.state]} {WORDS[fact.state]}", err=err)


def local(moment: datetime) -> str:
    """The hour that this host's wall clock showed."""
    return moment.astimezone().strftime("%H:%M")
