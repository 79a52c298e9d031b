"""How the site stands, or many: for people, scripts and monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pacs_recover import live, looks, monitoring, standing
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, leave
from pacs_recover.cli.groups import sites_option
from pacs_recover.errors import RecoverError, UsageError
from pacs_recover.keeping.risks import fact_json, risks
from pacs_recover.text import both_times, safe
from pacs_recover.wrapping import SYMBOLS


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
    contexts: Sequence[Context],
    as_json: bool,
) -> None:
    """Freshness against RPO, what lives, drills, verification.

    What lives now: the services, how much waits in the queue, how many days the certificates last; unfinished runs.
    Exit status: 0 whatever it says; with --nagios 0 fine, 1 warning, 2 critical, 3 unknown.
    """
    if nagios + prometheus + as_json > 1 or (file and not prometheus):
        raise UsageError("these do not go together", "one of --json, --nagios and --prometheus; --output with the last")
    if nagios:
        _nagios(contexts)
    every = [_read(one) for one in contexts]
    if prometheus:
        text = monitoring.prometheus(every)
        return monitoring.write(file, text, context.authority) if file else click.echo(text, nl=False)
    if as_json:
        return output.document(every[0] if len(every) == 1 else _group(every))
    return _print(context, every[0]) if len(every) == 1 else _table(every)


def _read(context: Context) -> dict[str, Any]:
    listed = context.catalog(brief=True)
    found = looks.status(context.site, listed, context.state)
    found["findings"] += [fact_json(fact) for fact in risks(context.site, listed)]
    found["live"] = live.read(context.site, context.state)
    found["state"] = standing.worst([state for state, _ in standing.issues(found)])
    return found


def _nagios(contexts: Sequence[Context]) -> None:
    """Print the line and leave: whatever fails is an unknown, in the same form."""
    try:
        code, line = monitoring.nagios([_read(one) for one in contexts])
    except RecoverError as error:
        code, line = monitoring.unknown(error.message)
    except OSError as error:
        code, line = monitoring.unknown(str(error.strerror or error))
    click.echo(line)
    leave(code)


def _group(every: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"sites": list(every), "state": standing.worst([one["state"] for one in every])}


def _table(every: Sequence[dict[str, Any]]) -> None:
    def row(one: dict[str, Any]) -> tuple[str, ...]:
        ages = [output.brief(one[part]["age_seconds"]) for part in ("verification", "drill")]
        said = [text for _, text in standing.issues(one)]
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        return SYMBOLS[one["state"]], safe(one["site"]), *ages, said[0] + more if said else "all fine"

    output.table(("", "SITE", "VERIFIED", "DRILL", "WORST"), map(row, every))


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
    age, rpo = output.brief(row["age_seconds"]), output.brief(row["rpo_seconds"]) + met
    taken = both_times(datetime.fromisoformat(row["taken_at"])) if row["taken_at"] else ""
    newest = f"{safe(row['newest'])} {taken}" if row["newest"] else row["sentence"]
    return SYMBOLS[row["state"]], row["component"], age, rpo, newest
