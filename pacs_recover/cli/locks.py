"""The site's lock: who has it, and commands that run while they have it."""

from __future__ import annotations

from pathlib import Path

import click

from pacs_recover import cli, holding, looks
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.errors import Busy


@click.group("lock")
def lock_group() -> None:
    """Who holds the site, and holding it for a backup."""


@lock_group.command("show")
@json_option
@click.pass_obj
@guarded
def lock_show(context: Context, as_json: bool) -> None:
    """Who holds the site now: a run, or a command."""
    found = holding.holders(context.site)
    if as_json:
        return output.document({"locks": [looks.holder_json(holder) for holder in found]})
    for holder in found:
        output.paragraph(str(holder), "▸ ")
    if not found:
        click.echo("nobody holds the site")
    return None


@lock_group.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long for a run to end.")
@click.option("--skip", is_flag=True, help="While a run has the site, do nothing: exit status 0.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
@guarded
def lock_exec(context: Context, wait: float | None, skip: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND while no restore can run: for backups from cron.

    While a restore runs or has not ended it is refused (5), with --wait after SECONDS, with --skip silently (0). A
    restore is refused while COMMAND or anything it started runs. Exit status: COMMAND's own; 127 where there is none.
    """
    context.must_write("lock exec")
    try:
        held = holding.hold(context.site, Path(command[0]).name, context.authority, wait or 0.0)
    except Busy as problem:
        if not skip:
            raise
        output.say(f"skipped: {problem.message}")
        leave(0)
    holding.become(command, held, context.state, context.site, cli.umask)
