"""What the commands print: data to stdout, everything else to stderr; one JSON document with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from pacs_recover.errors import RecoverError
from pacs_recover.model import Fact

SYMBOLS = {"ok": "✓", "warn": "!", "bad": "✗"}
"""State is always a symbol and a word, never colour alone."""


def document(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def line(data: Any) -> None:
    """Print one JSON line, at once."""
    click.echo(json.dumps(data, ensure_ascii=False))
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the operator something that is not data."""
    click.echo(text, err=True)


def error(problem: RecoverError, as_json: bool) -> None:
    """What happened, and what to do next."""
    if as_json:
        body = {"message": problem.message, "hint": problem.hint, "exit_code": problem.exit_code}
        return document({"error": body})
    say(f"pacs-recover: {problem.message}")
    if problem.hint:
        say(f"  next: {problem.hint}")
    return None


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be; the last one is not padded."""
    grid = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[i]) for row in grid) for i in range(len(head))]
    for row in grid:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def fact_lines(facts: Iterable[Fact]) -> Iterable[str]:
    """Facts, one a line, with their state as a symbol and, unless it is fine, a word."""
    for fact in facts:
        word = "" if fact.state == "ok" else f" ({fact.state})"
        yield f"{SYMBOLS[fact.state]} {fact.label}: {fact.value}{word}"
