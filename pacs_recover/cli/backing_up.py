"""Making backups."""

from __future__ import annotations

import sys

import click

from pacs_recover import notifying
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.cli.finishing import finishing
from pacs_recover.errors import UsageError
from pacs_recover.making import outcome, run
from pacs_recover.making.outcome import Outcome
from pacs_recover.making.run import Backing, Order
from pacs_recover.text import safe, size
from pacs_recover.wrapping import SYMBOLS


@click.command()
@click.argument("components", nargs=-1, required=True, metavar="COMPONENT...")
@click.option("--to", "to", multiple=True, metavar="SOURCE", help="Where to (default: backup.to of the site file).")
@click.option("--wait", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Wait so long for a restore.")
@click.option("--remove", is_flag=True, help="Remove closed logs that are proven to be stored everywhere.")
@json_option
@click.pass_obj
@guarded
def backup(
    context: Context, /, components: tuple[str, ...], to: tuple[str, ...], wait: float, remove: bool, as_json: bool
) -> None:
    """Back up what lives, proven before it is stored.

    COMPONENT is config, certs, queue, logs, or full for all of them. Read while no restore can run, proven as a restore
    would, and read back from each place; nothing is overwritten, and nothing that failed is kept.

    Exit status: 0; 1 something was not stored; 2 wrong usage; 3 something could not be read or reached; 5 refused, as a
    restore has the site; 6 what lives is damaged.
    """
    context.must_write("backup")
    wanted = run.ordered(components)
    if remove and "logs" not in wanted:
        raise UsageError("--remove is about logs", "back up logs too, or leave it out")
    order = Order(wanted, to, wait, remove)
    with finishing():
        made = _made(context, order, as_json)
        if as_json:
            output.document(outcome.to_json(made))
        elif not made:
            click.echo("no closed log that is not stored yet")
        leave(outcome.exit_code(made))


def _made(context: Context, order: Order, quiet: bool) -> list[Outcome]:
    """What came of it, each told as it comes."""
    made: list[Outcome] = []
    with notifying.around(context.site, "backup", " ".join(order.components), _warn) as told:
        for one in Backing(context.site, order, context.state, context.authority, output.say).run():
            made.append(one)
            if not quiet:
                _tell(one)
        failed = sum(not one.ok for one in made)
        told.ok, told.outcome = not failed, f"{failed} of {len(made)} failed" if failed else f"{len(made)} stored"
    return made


def _warn(problem: str) -> None:
    output.say(f"! {problem}")


def _tell(one: Outcome) -> None:
    """What was stored on stdout, what was not on stderr."""
    if one.ok:
        said = ", ".join(filter(None, (safe(one.id), size(one.size) if one.size is not None else "", one.note)))
        click.echo(f"{SYMBOLS['ok']} {said}")
        sys.stdout.flush()
        return
    where = f" to {safe(one.destination)}" if one.destination else ""
    output.say(f"{SYMBOLS['bad']} NOT BACKED UP: {one.component}{where}: {one.error}")
    if one.hint:
        output.say(f"  next: {one.hint}")
