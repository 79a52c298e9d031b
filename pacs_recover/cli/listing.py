"""What there is to restore from: catalog."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import click

from pacs_recover import catalog, verdicts
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.errors import UsageError
from pacs_recover.model import COMPONENTS, Backup
from pacs_recover.sources.aside import AsideSource
from pacs_recover.text import brief, count, safe, size


@click.command("catalog")
@click.argument("component", required=False)
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option("--sets", "as_sets", is_flag=True, help="What belongs together instead: a handful of recovery sets.")
@json_option
@click.pass_obj
@guarded
def show_catalog(context: Context, component: str | None, source: str | None, as_sets: bool, as_json: bool) -> None:
    """List the backups of all sources, newest first.

    With --sets, recovery sets: the newest of each component, then those of the times at which configuration or
    certificates were backed up (plan full --at TIME takes one). Also says which source could not be read. Exit status:
    0; 3 where none of the site's sources could be read.
    """
    if component and component not in COMPONENTS:
        raise UsageError(f"there is no component {safe(component)}", f"one of: {', '.join(COMPONENTS)}")
    if component and as_sets:
        raise UsageError("a recovery set is of all components", "leave the component or --sets out")
    found = context.catalog(component, source)
    if as_sets:
        _show_sets(found, as_json)
    elif as_json:
        output.document(catalog.to_json(found))
    else:
        _print_catalog(*catalog.folded(found))
    for state in found.sources:
        if not state.ok:
            _say_unread(state)
    own = [state for state in found.sources if state.kind != AsideSource.kind] or found.sources
    if own and not any(state.ok for state in own):
        leave(3)


def _print_catalog(backups: tuple[Backup, ...], more: Mapping[str, int]) -> None:
    if not backups:
        return output.say("no backups")
    now = datetime.now(UTC)
    output.table(("TAKEN (UTC)", "LOCAL", "AGE", "SIZE", "BACKUP"), (_row(backup, now) for backup in backups))
    for source, number in more.items():
        output.say(f"{count(number, 'more point')} in time of {safe(source)}: pacs-recover points --source {source}")
    return None


def _show_sets(found: Catalog, as_json: bool) -> None:
    from pacs_recover import sets

    proposed = sets.propose(found)
    if as_json:
        every = {"sets": [sets.to_json(one) for one in proposed], "sources": catalog.to_json(found)["sources"]}
        return output.document(every)
    for one in proposed:
        apart = brief(one.spread)
        output.paragraph(f"{sets.exact(one.anchor)} ({output.local(one.anchor)} here), within {apart} of each other")
        for backup in one.members:
            output.paragraph(f"{safe(backup.id)}, {brief(one.skew(backup))} before", "  • ")
        for name in one.missing:
            output.paragraph(f"no backup of {name} from then", "  ! ")
    return None if proposed else output.say("no backups")


def _row(backup: Backup, now: datetime) -> tuple[str, ...]:
    notes = [f"{catalog.MARKS[f.label]}: {f.value}" if f.label in catalog.MARKS else f.value for f in backup.findings]
    notes += ["encrypted"] if backup.encrypted else []
    notes += ["hash recorded"] if backup.recorded else []
    notes += [verdicts.told(backup)] if backup.verdict != "never" else []
    notes += [] if backup.readable else ["CANNOT BE READ"]
    old = brief((now - backup.taken_at).total_seconds())
    taken, stored = backup.taken_at.strftime("%Y-%m-%d %H:%M"), size(backup.size).replace("Bytes", "B")
    return taken, output.local(backup.taken_at), old, stored, ", ".join(map(safe, (backup.id, *notes)))


def _say_unread(state: SourceState) -> None:
    output.say(f"✗ source {state.name} ({state.kind}): {state.error}")
    if state.hint:
        output.say(f"  next: {state.hint}")
