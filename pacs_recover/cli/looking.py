"""Commands that only look: preview, diff, extract, site."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pacs_recover import extraction, looks, site, timers
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.keeping.reporting import contradictions
from pacs_recover.site import LitestreamConfig, Site
from pacs_recover.text import both_times, safe, size


@click.command()
@click.argument("backup")
@json_option
@click.pass_obj
@guarded
def preview(context: Context, backup: str, as_json: bool) -> None:
    """Read one backup to its end and show what is in it.

    BACKUP is an id of the catalog, a unique prefix of one, or a path. Exit status: 0; 6 where it is bad; 3 where it
    cannot be read.
    """
    chosen = context.find(backup)
    seen = looks.preview(context.site, chosen, context.state)
    if as_json:
        output.document(looks.preview_json(chosen, seen))
    else:
        output.paragraph(f"{safe(chosen.id)}, taken {both_times(chosen.taken_at)}, {size(chosen.size)}")
        output.facts((*chosen.findings, *seen.facts))
    if seen.state == "bad":
        output.say("✗ it must not be restored; choose another: pacs-recover catalog")
        leave(6)


@click.command()
@click.argument("backup")
@json_option
@click.pass_obj
@guarded
def diff(context: Context, backup: str, as_json: bool) -> None:
    """Show what restoring BACKUP would change, secrets masked.

    Compared with what lives now. Exit status: 0; 3 where it cannot be read; 6 where it is bad.
    """
    chosen = context.find(backup)
    compared = looks.compare(context.site, chosen, context.state)
    if as_json:
        changes = {"changes": list(compared.changes), "diff": list(compared.diff), "replay_risk": compared.replay}
        return output.document({"backup": chosen.id, **changes})
    for change in compared.changes:
        output.paragraph(change, "• ")
    for row in compared.diff:
        click.echo(row)
    if not compared.changes and not compared.diff:
        output.say("nothing would change")
    return None


@click.command()
@click.argument("backup")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
@guarded
def extract(context: Context, backup: str, directory: Path) -> None:
    """Get the files of BACKUP out into a new DIRECTORY.

    Nothing live is touched. Exit status: 0; 3 where the backup cannot be read; 5 where DIRECTORY exists; 6 where it
    is bad.
    """
    context.must_write("extract")
    chosen = context.find(backup)
    output.say(extraction.extract(context.site, chosen, directory.absolute(), context.state, context.authority))
    click.echo(str(directory.absolute()))


@click.group("site")
def site_group() -> None:
    """Write, check or show the site file."""


@site_group.command("init")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
@guarded
def site_init(context: Context, file: Path | None) -> None:
    """Write a commented site file to a new FILE, or to stdout."""
    if file is None:
        return click.echo(site.init_text(), nl=False)
    context.must_write("site init")
    site.write_init(file, context.authority)
    return output.say(f"{safe(file)} written: look through it, then: pacs-recover --site {safe(file)} site check")


@site_group.command("check")
@json_option
@click.pass_obj
@guarded
def site_check(context: Context, as_json: bool) -> None:
    """List every problem of the site file at once.

    Each with its line; where there is none, what this host lacks for it. Exit status: 0; 2 where there are problems.
    """
    problems, facts = looks.check_site(context.site_option)
    facts = facts if problems else (*facts, *contradictions(context.site))
    if as_json:
        output.document(
            {
                "problems": [{"line": p.line, "message": p.message, "hint": p.hint} for p in problems],
                "host": [{"label": f.label, "value": f.value, "state": f.state} for f in facts],
            }
        )
    else:
        for problem in problems:
            hint = f" ({problem.hint})" if problem.hint else ""
            output.paragraph(f"line {problem.line}: {problem.message}{hint}", "✗ ")
        output.facts(facts, "")
        click.echo(f"{len(problems)} problem(s)" if problems else "the site file is fine")
    leave(2 if problems else 0)


@site_group.command("timers")
@click.option("--install", "into", type=click.Path(path_type=Path), metavar="DIR", help="Write them there instead.")
@click.option("--cron", is_flag=True, help="A file for /etc/cron.d instead of systemd's units.")
@click.pass_obj
@guarded
def site_timers(context: Context, into: Path | None, cron: bool) -> None:
    """Units for systemd, or a cron file, for backups, status, verify and drill.

    Printed, or written into DIR, such as /etc/systemd/system. Exit status: 0; 2 where other files are there.
    """
    found = site.find(context.site_option, os.environ)
    made = timers.files(found.path, context.state.path, cron=cron, replicated=_is_replicated(found.load()))
    if into is None:
        return click.echo("\n".join(f"# {name}\n{text}" for name, text in made.items()), nl=False)
    context.must_write("site timers --install")
    timers.install(made, into, context.authority)
    for name in made:
        click.echo(str(into / name))
    return output.say(timers.afterwards(made))


def _is_replicated(of: Site) -> bool:
    """Whether Litestream replicates the queue: the guide backs it up by the hour only where it does not."""
    return any(isinstance(source, LitestreamConfig) and source.followed for source in of.sources)


@site_group.command("show")
@click.pass_obj
@guarded
def site_show(context: Context) -> None:
    """Show the site with all defaults filled in."""
    click.echo(site.show(context.site), nl=False)
