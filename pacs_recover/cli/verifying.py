"""Verifying stored backups."""

from __future__ import annotations

from pathlib import Path

import click

from pacs_recover import verifying
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.text import both_times, safe
from pacs_recover.verifying import Verified
from pacs_recover.wrapping import SYMBOLS


@click.command()
@click.argument("backups", nargs=-1, required=True)
@click.option("--cross-check", is_flag=True, help="Restore a replica's point with Litestream's own program too.")
@click.option("--litestream", metavar="PATH", help="That program, 0.5.17 or newer (default: litestream on $PATH).")
@json_option
@click.pass_obj
@guarded
def verify(
    context: Context, backups: tuple[str, ...], cross_check: bool, litestream: str | None, as_json: bool
) -> None:
    """Read BACKUPS to their end and judge each.

    Nothing live is touched. Exit status: 0 all are good; 3 one cannot be read; 6 one is bad.
    """
    chosen = [context.find(text) for text in backups]
    binary: Path | None = None
    if cross_check or litestream:
        from pacs_recover.sources.litestream_vendor import program

        verifying.refuse_uncrossable(context.site, chosen)
        binary = program(litestream)
    results = []
    for backup in chosen:
        results.append(verifying.verify(context.site, backup, context.state, binary))
        if not as_json:
            _print(results[-1])
    if as_json:
        output.document(verifying.to_json(results))
    bad = [one for one in results if not one.ok]
    leave(0 if not bad else 6 if any(one.is_read for one in bad) else 3)


def _print(one: Verified) -> None:
    word = "GOOD" if one.ok else "BAD" if one.is_read else "NOT READ"
    symbol = SYMBOLS["ok" if one.ok else "bad"]
    output.paragraph(f"{word}: {safe(one.backup.id)}, taken {both_times(one.backup.taken_at)}", f"{symbol} ")
    output.facts(one.checks)
