"""Rehearsing a recovery and its times: drill, rto, history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import click

from pacs_recover import chart, drilling, recovery_times
from pacs_recover.authority import Authority
from pacs_recover.cli import output
from pacs_recover.cli.asking import ask
from pacs_recover.cli.context import Context, guarded, interactive, json_option
from pacs_recover.cli.follow import end
from pacs_recover.cli.restoring import as_moment
from pacs_recover.drilling import Made, Order
from pacs_recover.errors import Interrupted, Refused
from pacs_recover.front import Following
from pacs_recover.recovery_times import Actual
from pacs_recover.report.drill_page import SANDBOXES
from pacs_recover.selection import FULL, components_of, select
from pacs_recover.text import both_times, count, safe, seconds


@click.command()
@click.argument("components", nargs=-1)
@click.option("--backup", "backups", multiple=True, metavar="ID", help="An id, a unique prefix, or a path.")
@click.option("--at", callback=as_moment, metavar="TIME", help="The newest backups at or before this time.")
@click.option("--sandbox", type=click.Choice(["process", "container", "root"]), help="Instead of the site's own.")
@click.option("--participant", "participants", multiple=True, metavar="NAME", help="Who takes part.")
@click.option("--observation", "observations", multiple=True, metavar="TEXT", help="For the report.")
@click.option("--action", "actions", multiple=True, metavar="TEXT", help="What is to be improved.")
@click.option("--yes", is_flag=True, help="Ask nothing: for a timer.")
@json_option
@click.pass_obj
@guarded
def drill(
    context: Context,
    /,
    components: tuple[str, ...],
    backups: tuple[str, ...],
    at: datetime | None,
    sandbox: str | None,
    yes: bool,
    as_json: bool,
    **said: tuple[str, ...],
) -> None:
    """Restore into a sandbox, and try it there.

    The plan and the steps of a live restore of COMPONENT (config, certs, queue or full, the default), into a sandbox
    without a network that cannot touch production; then test messages, and a report. Exit status: 0 proven; 1 it
    failed; 3 a backup is missing or unreadable; 5 refused; 6 a bad backup; 7 it goes on without this terminal.
    """
    context.must_write("drill")
    guided = not yes
    if guided and not interactive():
        raise Refused("a guided drill needs a terminal", "without one: pacs-recover drill --yes")
    context.state.prepare()
    words = components or (() if backups else (FULL,))
    find = partial(_find, context, words, backups, at)
    order = Order(
        _components(context, words, backups), sandbox, at, **{k: tuple(map(_line, v)) for k, v in said.items()}
    )
    if guided:
        order = Order(**{**vars(order), "participants": order.participants or _asked_names()})
    output.say("Reading and judging the backups …")
    made = drilling.make(context.site, context.state, order, find, context.authority)
    _show(made)
    if guided:
        _go_on()
    end(
        lambda: drilling.start(made, context.site, context.state, context.authority),
        as_json,
        ok=("restored",),
        afterwards=partial(_ask_afterwards, context.authority) if guided else None,
    )


def _find(context: Context, words: tuple[str, ...], backups: tuple[str, ...], at: datetime | None) -> Any:
    return select(context.catalog(), words, backups, at)


def _components(context: Context, words: tuple[str, ...], backups: tuple[str, ...]) -> tuple[str, ...]:
    """What is drilled, also where there is no backup of it: that is a finding. UsageError."""
    if words:
        return components_of(words, ())
    return tuple(backup.component for backup in select(context.catalog(), words, backups))


def _show(made: Made) -> None:
    """What will be done, on stderr."""
    request = made.request
    assert request.drill is not None
    for line in made.swept:
        output.say(line)
    output.say(f"DRILL of {', '.join(request.components)} for site {safe(request.site['name'])}")
    output.say(f"Sandbox: {SANDBOXES[request.drill.sandbox]}")
    if request.drill.why:
        output.say(f"! the service will not be started: {request.drill.why}")
    for choice in request.choices:
        output.say(f"  {safe(choice.backup.id)}, taken {both_times(choice.backup.taken_at)}")
    if made.problem:
        output.say(f"✗ {made.problem.message}")


def _go_on() -> None:
    """Interrupted unless the operator says yes."""
    if ask("Start the drill? Type yes or no: ").lower() not in ("y", "yes"):
        raise Interrupted("not started: nothing was changed")


def _asked_names() -> tuple[str, ...]:
    return drilling.names(ask("Who takes part? Names, separated by commas: "))


def _ask_afterwards(authority: Authority, following: Following, leaving: Callable[[], bool]) -> None:
    """Observations and improvement actions, one a line, into the record; what was typed before ctrl-c too."""
    for topic, what in (("observation", "What was observed?"), ("action", "What is to be improved, by whom?")):
        output.say(f"{what} One a line; an empty line ends.")
        texts = []
        with suppress(Interrupted):
            while text := ask("> ", leaving=leaving):
                texts.append(_line(text))
        drilling.note(following, topic, texts, authority)  # type: ignore[arg-type]
        if leaving():
            break


def _line(text: str) -> str:
    return safe(text.strip(), 500)


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "md", "json"]), default="text")
@json_option
@click.pass_obj
@guarded
def rto(context: Context, form: str, as_json: bool) -> None:
    """Recovery times: the guide's table from real runs.

    RTO against the newest run or drill that recovered each; exit status 0 whatever it says.
    """
    rows = recovery_times.table(context.site, context.state)
    if as_json or form == "json":
        return output.document(recovery_times.to_json(context.site, rows))
    if form == "md":
        click.echo("| Recovery Type | RTO Target | Actual (Test) |\n|---|---|---|")
        for row in rows:
            click.echo(f"| {row.type} | < {_target(row)} | {_actual(row)} |")
        return None
    cells = ((row.type, f"< {_target(row)}", _actual(row)) for row in rows)
    return output.table(("RECOVERY TYPE", "RTO TARGET", "ACTUAL (TEST)"), cells)


@click.command("history")
@json_option
@click.pass_obj
@guarded
def show_history(context: Context, as_json: bool) -> None:
    """Chart every recovery and drill against the RTO, oldest first."""
    times = recovery_times.history(context.site, context.state)
    if as_json:
        return output.document(recovery_times.history_json(context.site, times))
    if not times:
        return output.say("no run and no drill yet: pacs-recover drill measures without touching the site")
    for text, _ in chart.rows(times, output.width()):
        click.echo(text)
    return click.echo(chart.LEGEND)


def _target(row: Actual) -> str:
    """In the guide's words: ``15 min``."""
    minutes, rest = divmod(row.rto_seconds, 60)
    return seconds(row.rto_seconds) if rest else f"{minutes:.0f} min"


def _actual(row: Actual) -> str:
    """The newest time, when and how it was measured, and whether the last attempt failed."""
    failed = f"; THE LAST ATTEMPT FAILED ({count(row.failed, 'failure')} in all)" if row.last_failed else ""
    if row.actual_seconds is None or row.at is None:
        return f"not tested{failed}"
    how = "drill" if row.mode == "drill" else "live restore"
    met = "met" if row.met else "MISSED"
    worst = f", worst of {row.recovered}: {seconds(row.worst_seconds)}" if row.recovered > 1 else ""
    return f"{seconds(row.actual_seconds)}, {met} ({how}, {row.at:%Y-%m-%d}{worst}){failed}"
