"""The points in time of the site's Litestream replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click

from pacs_recover import points
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.cli.restoring import as_moment
from pacs_recover.model import Backup
from pacs_recover.points import Gap, Points
from pacs_recover.sources import sources_of
from pacs_recover.text import brief, count, safe

SHOWN = 20
"""How many points are printed where nobody says how many."""
CLOCK = "%Y-%m-%d %H:%M:%S"


@click.command("points")
@click.option("--source", metavar="NAME", help="Only this replica.")
@click.option("--at", callback=as_moment, metavar="TIME", help="Begin with the newest point at or before this time.")
@click.option("--limit", type=click.IntRange(0), default=SHOWN, show_default=True, help="How many; 0 is all.")
@json_option
@click.pass_obj
@guarded
def show_points(context: Context, source: str | None, at: datetime | None, limit: int, as_json: bool) -> None:
    """List the points in time of the queue's Litestream replicas.

    Newest first, with the stretches of time in which there is none, and what is damaged or missing. With --json all
    are listed unless --at or --limit says otherwise. Exit status: 0; 2 where the site has no replica; 3 where none
    could be read.
    """
    found = points.read(sources_of(context.site, ()), source)
    wanted = found.until(at)
    asked = click.get_current_context().get_parameter_source("limit") != click.core.ParameterSource.DEFAULT
    few = wanted[:limit] if limit and (asked or not as_json) else wanted
    if as_json:
        output.document(points.to_json(found, few))
    else:
        _print(found, few, len(wanted) - len(few))
    leave(0 if found.backups or all(state.ok for state in found.sources) else 3)


def _print(found: Points, shown: Sequence[Backup], more: int) -> None:
    if shown:
        output.table(("TAKEN (UTC)", "LOCAL", "AGE", "POINT"), _rows(shown, found.gaps_below()))
    else:
        output.say("no point in time" if not found.backups else "no point in time at or before that")
    if more:
        output.say(f"{count(more, 'older point')}: --at TIME begins there, --limit 0 shows all")
    for state in found.sources:
        for problem in state.problems:
            output.say(f"✗ {safe(state.name)}: {problem.reason}")
            output.say(f"  next: {problem.hint}" if problem.hint else "")
        if state.error and not state.problems:
            output.say(f"✗ {safe(state.name)}: {state.error}\n  next: {state.hint}")


def _rows(shown: Sequence[Backup], gaps: Mapping[str, Gap]) -> Iterator[tuple[str, ...]]:
    now = datetime.now(UTC)
    for one in shown:
        age = brief((now - one.taken_at).total_seconds())
        notes = [safe(one.id), *(fact.value for fact in one.findings)]
        yield clock(one.taken_at), f"{one.taken_at.astimezone():%H:%M:%S}", age, ", ".join(notes)
        if gap := gaps.get(one.id):
            yield "  nothing between", "", brief(gap.seconds), gap.reason


def clock(at: datetime) -> str:
    """A time in UTC to the millisecond, for a column."""
    return f"{at.astimezone(UTC):{CLOCK}}.{at.microsecond // 1000:03}"
