"""Past and present runs: runs, report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, json_option, program_for
from pacs_recover.text import safe, seconds

if TYPE_CHECKING:
    from pacs_recover.report import Report


@click.command("runs")
@json_option
@click.pass_obj
@guarded
def show_runs(context: Context, as_json: bool) -> None:
    """Past and present runs, newest first."""
    found = [_summary(run) for run in context.state.runs()]
    if as_json:
        return output.document({"runs": found})
    if not found:
        return output.say(f"no runs in {safe(context.state.path)}")
    return output.table(("RUN (UTC)", "LOCAL", "TOOK", "OUTCOME", "WHAT, BY"), (_run_row(row) for row in found))


def _summary(run: Path) -> dict[str, Any]:
    from pacs_recover.report import reading  # deferred, as there may be no run

    return reading.run_summary(run)


def _run_row(row: dict[str, Any]) -> tuple[str, ...]:
    from pacs_recover.model import LIVE

    local = output.local(datetime.fromisoformat(row["started_at"])) if row["started_at"] else "-"
    drill = "drill of " if row["mode"] == "drill" else ""
    what = "full" if set(row["components"]) == set(LIVE) else ",".join(row["components"])
    said = f"{drill}{what}, {safe(row['operator'])}" if what else "unknown"
    return row["run"], local, seconds(row["total_seconds"]), row["outcome"], said


@click.command("report")
@click.argument("run", default="latest")
@click.option("--format", "form", type=click.Choice(["text", "md", "json", "html"]), default="text")
@json_option
@click.pass_obj
@guarded
def show_report(context: Context, run: str, form: str, as_json: bool) -> None:
    """The report of RUN (default: the latest)."""
    from pacs_recover import report
    from pacs_recover.report import reading

    found = context.state.find(run)
    told = reading.report_of(found)
    if as_json or form == "json":
        return output.document(report.to_json(told))
    writers: dict[str, Callable[[Report], str]] = {
        "text": lambda told: report.as_text(told, output.width(), command=program_for(found)),
        "md": lambda told: report.as_markdown(told, command=program_for(found)),
        "html": lambda told: report.as_html(told, command=program_for(found)),
    }
    click.echo(writers[form](told), nl=False)
    return None
