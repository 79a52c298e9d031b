"""Commands that only look: catalog, preview, diff, extract, status, site."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pacs_recover import catalog, extraction, looks, site
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.components import registry
from pacs_recover.errors import UsageError
from pacs_recover.text import age, both_times, safe, size


@click.command("catalog")
@click.argument("component", required=False)
@click.option("--source", help="Only this source.")
@json_option
@click.pass_obj
@guarded
def show_catalog(context: Context, component: str | None, source: str | None, as_json: bool) -> None:
    """List the backups of all sources, newest first, and which source could not be read.

    Exit status: 0; 3 where no source could be read.
    """
    if component and component not in registry():
        raise UsageError(f"there is no component {safe(component)}", f"one of: {', '.join(registry())}")
    found = context.catalog(component, source)
    if as_json:
        output.document(catalog.to_json(found))
    else:
        output.table(("ID", "TAKEN (UTC)", "AGE", "SIZE", "NOTES"), (_row(backup) for backup in found.backups))
    for state in found.sources:
        if not state.ok:
            output.say(f"✗ source {state.name} ({state.kind}): {state.error}")
    if found.sources and not any(state.ok for state in found.sources):
        leave(3)


def _row(backup: Any) -> tuple[str, ...]:
    notes = [fact.value for fact in backup.findings]
    notes += ["encrypted"] if backup.encrypted else []
    notes += [] if backup.readable else ["cannot be read"]
    taken = backup.taken_at.strftime("%Y-%m-%d %H:%M:%S")
    return (
        safe(backup.id),
        taken,
        age(backup.taken_at, datetime.now(UTC)),
        size(backup.size),
        "; ".join(map(safe, notes)),
    )


@click.command()
@click.argument("backup")
@json_option
@click.pass_obj
@guarded
def preview(context: Context, backup: str, as_json: bool) -> None:
    """Read one backup to its end and show what is in it, without restoring it.

    BACKUP is an id of the catalog, a unique prefix of one, or a path. Exit status: 0; 6 where it is bad; 3 where it
    cannot be read.
    """
    chosen = catalog.find(context.catalog(), backup)
    seen = looks.preview(context.site, chosen, context.state)
    if as_json:
        output.document(looks.preview_json(chosen, seen))
    else:
        click.echo(f"{safe(chosen.id)}  {both_times(chosen.taken_at)}  {size(chosen.size)}")
        for line in output.fact_lines((*chosen.findings, *seen.facts)):
            click.echo(f"  {line}")
    if seen.state == "bad":
        leave(6)


@click.command()
@click.argument("backup")
@json_option
@click.pass_obj
@guarded
def diff(context: Context, backup: str, as_json: bool) -> None:
    """Show what restoring BACKUP would change against the live system, secrets masked."""
    chosen = catalog.find(context.catalog(), backup)
    compared = looks.compare(context.site, chosen, context.state)
    if as_json:
        changes = {"changes": list(compared.changes), "diff": list(compared.diff), "replay_risk": compared.replay}
        return output.document({"backup": chosen.id, **changes})
    for line in (*compared.changes, *compared.diff):
        click.echo(line)
    if not compared.changes and not compared.diff:
        output.say("nothing would change")
    return None


@click.command()
@click.argument("backup")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
@guarded
def extract(context: Context, backup: str, directory: Path) -> None:
    """Get the files of BACKUP out into DIRECTORY, which must not exist yet; nothing live is touched."""
    context.must_write("extract")
    chosen = catalog.find(context.catalog(), backup)
    output.say(extraction.extract(context.site, chosen, directory.absolute(), context.state))
    click.echo(str(directory.absolute()))


@click.command()
@json_option
@click.pass_obj
@guarded
def status(context: Context, as_json: bool) -> None:
    """How fresh the newest backups are against their RPO, what lives, and which runs have not ended."""
    found = looks.status(context.site, context.catalog(), context.state)
    if as_json:
        return output.document(found)
    for row in found["components"]:
        click.echo(f"{output.SYMBOLS[row['state']]} {row['component']}: {row['sentence']}")
    for service in found["services"]:
        click.echo(f"{output.SYMBOLS[service['state']]} service {service['name']}: {service['detail']}")
    for run in found["unfinished"]:
        click.echo(
            f"✗ run {run['run']} is {run['outcome']}: pacs-recover attach {run['run']} (or rollback, resume, close)"
        )
    for bad in found["sources"]:
        if not bad["ok"]:
            click.echo(f"✗ source {bad['name']}: {bad['error']}")
    return None


@click.group("site")
def site_group() -> None:
    """Write, check or show the site file."""


@site_group.command("init")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
@guarded
def site_init(context: Context, file: Path | None) -> None:
    """Write a commented site file to FILE, which must not exist, or to stdout."""
    if file is None:
        return click.echo(site.init_text(), nl=False)
    context.must_write("site init")
    site.write_init(file)
    return output.say(f"{file} written: look through it, then: pacs-recover --site {file} site check")


@site_group.command("check")
@json_option
@click.pass_obj
@guarded
def site_check(context: Context, as_json: bool) -> None:
    """List every problem of the site file at once, with its line, and what this host lacks. Exit status: 0 or 2."""
    problems, facts = looks.check_site(context.site_option)
    if as_json:
        output.document(
            {
                "problems": [{"line": p.line, "message": p.message, "hint": p.hint} for p in problems],
                "host": [{"label": f.label, "value": f.value, "state": f.state} for f in facts],
            }
        )
    else:
        for problem in problems:
            click.echo(f"✗ line {problem.line}: {problem.message}" + (f" ({problem.hint})" if problem.hint else ""))
        for line in output.fact_lines(facts):
            click.echo(line)
        click.echo("the site file is fine" if not problems else f"{len(problems)} problem(s)")
    leave(2 if problems else 0)


@site_group.command("show")
@click.pass_obj
@guarded
def site_show(context: Context) -> None:
    """Show the site with all defaults filled in."""
    click.echo(site.show(context.site), nl=False)
