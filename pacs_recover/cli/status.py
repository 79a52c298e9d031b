"""How the site stands, or many: for people, scripts and monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pacs_recover import group, monitoring, standing
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.cli.groups import Contexts, failed_code, sites_option
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.group import Member
from pacs_recover.text import both_times, brief, safe
from pacs_recover.wrapping import SYMBOLS

Failures = list[tuple[Member, RecoverError]]
"""Site files that gave no status, each with why."""


@click.command()
@click.option("--nagios", is_flag=True, help="One line with performance data; exits as plugins do.")
@click.option("--prometheus", is_flag=True, help="The text format that node_exporter's textfile collector reads.")
@click.option("--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="Put that there, in one go.")
@json_option
@click.pass_obj
@sites_option
@guarded
def status(
    context: Context,
    /,
    nagios: bool,
    prometheus: bool,
    file: Path | None,
    contexts: Contexts,
    as_json: bool,
) -> None:
    """Freshness against RPO, what lives, drills, verification.

    What lives now: the services, how much waits in the queue, how many days the certificates last; unfinished runs.
    Exit status: 0 whatever it says; 2 where a file of --sites is no site; with --nagios 0 fine, 1 warning, 2 critical,
    3 unknown.
    """
    if nagios + prometheus + as_json > 1 or (file and not prometheus):
        raise UsageError("these do not go together", "one of --json, --nagios and --prometheus; --output with the last")
    if nagios:
        _nagios(contexts)
    every, failed = _read_all(contexts)
    if prometheus:
        text = monitoring.prometheus(every, [member.path.name for member, _ in failed])
        monitoring.write(file, text, context.authority) if file else click.echo(text, nl=False)
    elif as_json:
        output.document(_group(every, failed) if contexts.is_group or failed else every[0])
    elif contexts.is_group or failed:
        output.table(group.HEAD, [*map(group.row, every), *(group.failed_row(*one) for one in failed)])
    else:
        _print(context, every[0])
    leave(failed_code(failed))


def _read(context: Context) -> dict[str, Any]:
    return group.status(context.site, context.catalog(brief=True), context.state)


def _read_all(contexts: Contexts) -> tuple[list[dict[str, Any]], Failures]:
    """The status of each site, and what gave none: one of many keeps nobody from the others. RecoverError of one."""
    every, failed = [], list(contexts.failed)
    for one in contexts:
        try:
            every.append(_read(one))
        except RecoverError as problem:
            if not contexts.is_group:
                raise
            failed.append((Member(one.site_option or Path(one.site.name), one.site), problem))
    return every, failed


def _nagios(contexts: Contexts) -> None:
    """Print the line and leave: whatever fails is an unknown, in the same form."""
    try:
        every, failed = _read_all(contexts)
        code, line = monitoring.nagios(every, [f"{one.path.name}: {problem.message}" for one, problem in failed])
    except RecoverError as error:
        code, line = monitoring.unknown(error.message)
    except OSError as error:
        code, line = monitoring.unknown(str(error.strerror or error))
    click.echo(line)
    leave(code)


def _group(every: Sequence[dict[str, Any]], failed: Failures) -> dict[str, Any]:
    state = "bad" if failed else standing.worst([one["state"] for one in every])
    return {"sites": list(every), "failed": [group.failure(*one) for one in failed], "state": state}


def _print(context: Context, found: dict[str, Any]) -> None:
    output.paragraph(f"{safe(found['site'])}, {both_times(datetime.now(UTC))}")
    output.table(("", "BACKUPS", "AGE", "RPO", "NEWEST"), (_freshness(row) for row in found["components"]))
    for service in found["services"]:
        _state_line(service["state"], f"service {service['name']}: {service['detail']}")
    for part in ("queue", "certs"):
        _state_line(found["live"][part]["state"], f"live {part}: {found['live'][part]['sentence']}")
    for part in ("verification", "drill"):
        _state_line(found[part]["state"], f"{part}: {found[part]['sentence']}")
    for run in found["unfinished"]:
        _state_line("bad", f"run {run['run']} is {run['outcome']}")
        way = "attach {}" if run["outcome"] == "running" else "rollback {} (or resume, or close --why)"
        click.echo(f"  next: {context.program} {way.format(run['run'])}")
    for holder in found["locks"]:
        since = both_times(datetime.fromisoformat(holder["since"]))
        _state_line("warn", f"held by {holder['what']} of {holder['operator']} on {holder['host']} since {since}")
    for finding in found["findings"]:
        _state_line(finding["state"], f"{finding['label']}: {finding['value']}")
    for bad in found["sources"]:
        if not bad["ok"]:
            _state_line("bad", f"source {bad['name']}: {bad['error']}")


def _state_line(state: str, text: str) -> None:
    output.paragraph(text, f"{SYMBOLS[state]} {output.WORDS[state]}")


def _freshness(row: dict[str, Any]) -> tuple[str, ...]:
    """One component's newest backup against its RPO."""
    met = "" if row["rpo_seconds"] is None or row["newest"] is None else " met" if row["state"] == "ok" else " MISSED"
    age, rpo = brief(row["age_seconds"]), brief(row["rpo_seconds"]) + met
    taken = both_times(datetime.fromisoformat(row["taken_at"])) if row["taken_at"] else ""
    newest = f"{safe(row['newest'])} {taken}" if row["newest"] else row["sentence"]
    return SYMBOLS[row["state"]], row["component"], age, rpo, newest
