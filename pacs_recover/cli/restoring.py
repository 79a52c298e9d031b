"""Commands around a restore: plan, restore, runs, attach, resume, rollback, close, report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from pacs_recover import front, looks, report, rolling_back
from pacs_recover import plan as plans
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, interactive, json_option
from pacs_recover.cli.follow import end
from pacs_recover.errors import Interrupted, Refused, UsageError
from pacs_recover.events import AnyEvent
from pacs_recover.front import Following
from pacs_recover.jobs import LIVE
from pacs_recover.journal import read
from pacs_recover.plan import Plan
from pacs_recover.selection import moment, select
from pacs_recover.state import JOURNAL
from pacs_recover.text import both_times, safe, seconds


def _moment(_: Any, __: Any, text: str | None) -> datetime | None:
    return moment(text) if text else None


def choosing(function: Any) -> Any:
    """The options that choose what is restored."""
    for option in (
        click.argument("components", nargs=-1),
        click.option("--backup", "backups", multiple=True, metavar="ID", help="An id, a unique prefix, or a path."),
        click.option("--at", callback=_moment, metavar="TIME", help="The newest backups at or before this time."),
        click.option("--since", callback=_moment, metavar="TIME", help="When the outage began."),
    ):
        function = option(function)
    return function


@click.command("plan")
@choosing
@json_option
@click.pass_obj
@guarded
def show_plan(context: Context, /, components: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
    """The dry run: reads the backups to their end, judges them, and prints what a restore would do and its plan id.

    COMPONENT is config, certs, queue or full. Exit status: 0; 3 unreadable; 6 a bad backup.
    """
    made = _make(context, components, **chosen)
    try:
        plans.save(made, context.state)
    except Refused as problem:
        output.say(f"! this plan arms nothing: {problem.message}; {problem.hint}")
    if as_json:
        return output.document(looks.plan_json(made))
    return print_plan(made)


def _make(
    context: Context, components: tuple[str, ...], backups: tuple[str, ...], at: datetime | None, since: datetime | None
) -> Plan:
    chosen = select(context.catalog(), components, backups, at)
    return plans.make(context.site, chosen, context.state, since)


def print_plan(made: Plan) -> None:
    """A plan for a person."""
    request = made.request
    click.echo(
        f"PLAN {made.plan_id}  site {request.site['name']} on {request.host}  RTO {seconds(request.rto_seconds)}"
    )
    for choice in request.choices:
        backup = choice.backup
        click.echo(
            f"  {safe(backup.id)}  {both_times(backup.taken_at)}  SHA-256 {choice.sha256[:16]}, {choice.manifest}"
        )
        for line in output.fact_lines(fact for fact in made.previews[backup.component].facts if fact.state != "ok"):
            click.echo(f"    {line}")
    for line in output.fact_lines(made.findings):
        click.echo(f"  {line}")
    click.echo("Steps")
    for number, step in enumerate(made.steps, start=1):
        click.echo(f"  {number:2}. [{step.kind}] {step.title}")
    click.echo("Changes")
    for change in made.changes or ("none",):
        click.echo(f"  {change}")
    for question in request.questions:
        click.echo(f"To accept: {question.title}\n  {question.details}")


@click.command()
@choosing
@click.option("--plan", "plan_id", metavar="ID", help="A plan of the last hour whose inputs have not changed.")
@click.option("--yes", is_flag=True, help="Answer just the questions that the plan printed; needs --plan.")
@json_option
@click.pass_obj
@guarded
def restore(
    context: Context, /, components: tuple[str, ...], plan_id: str | None, yes: bool, as_json: bool, **chosen: Any
) -> None:
    """Restore COMPONENT (config, certs, queue or full): proven first, undone by itself when anything fails.

    Exit status: 0 done; 1 failed and rolled back; 3 unreadable; 4 rollback incomplete; 5 refused; 6 a bad backup;
    7 the run goes on without this terminal; 130 interrupted before anything was changed.
    """
    context.must_write("restore")
    context.state.prepare()
    if yes and not plan_id:
        raise Refused(
            "--yes needs --plan ID",
            "make a plan first: pacs-recover plan; a line of the shell's history restores nothing",
        )
    if not yes and not interactive():
        raise Refused(
            "a live restore is armed at a terminal", "without one: pacs-recover plan, then restore --yes --plan ID"
        )
    armed = _saved(context, plan_id, components) if plan_id else _make(context, components, **chosen)
    _refuse(armed)
    front.refuse_busy(armed.request)
    if not plan_id:
        plans.save(armed, context.state)
    if not yes:
        print_plan(armed)
        arm(armed.request.site["name"])
    end(front.start(armed, context.state, assume_yes=yes), as_json, ok=("restored",))


def _saved(context: Context, plan_id: str, components: tuple[str, ...]) -> Plan:
    """A saved plan, if it is what was asked for and nothing that it depends on has changed."""
    saved = plans.load(plan_id, context.state)
    names = set(saved.request.components)
    wanted = {name for word in components for name in (LIVE if word == "full" else (word,))}
    if wanted and wanted != names:
        raise UsageError(
            f"plan {plan_id} restores {', '.join(sorted(names))}", "name the same components, or plan again"
        )
    plans.refuse_stale(saved, plans.inputs_now(saved, context.site, context.state))
    return saved


def _refuse(armed: Plan) -> None:
    if armed.refusals:
        raise Refused(
            "; ".join(f"{fact.label}: {fact.value}" for fact in armed.refusals), "put that right, then plan again"
        )


def arm(name: str) -> None:
    """Have the operator type the site's name. Interrupted where it is anything else."""
    click.echo(f"This is a LIVE RESTORE. Type the site's name ({safe(name)}) to go on: ", err=True, nl=False)
    try:
        typed = click.get_text_stream("stdin").readline()
    except KeyboardInterrupt:
        raise Interrupted("not armed: nothing was changed", "") from None
    if typed.strip() != name:
        raise Refused("not armed: that is not the site's name; nothing was changed", "")


@click.command("runs")
@json_option
@click.pass_obj
@guarded
def show_runs(context: Context, as_json: bool) -> None:
    """Past and present runs, newest first."""
    found = [looks.run_summary(run) for run in context.state.runs()]
    if as_json:
        return output.document({"runs": found})
    head = ("RUN", "OUTCOME", "COMPONENTS", "STARTED", "SECONDS", "OPERATOR")
    return output.table(head, (_run_row(row) for row in found))


def _run_row(row: dict[str, Any]) -> tuple[str, ...]:
    total = row["total_seconds"]
    return (
        row["run"],
        row["outcome"],
        ",".join(row["components"]),
        str(row["started_at"]),
        seconds(total),
        safe(row["operator"]),
    )


@click.command()
@click.argument("run", default="latest")
@json_option
@click.pass_obj
@guarded
def attach(context: Context, run: str, as_json: bool) -> None:
    """Follow RUN (default: the latest); the exit status is the run's own."""
    end(Following(context.state.find(run)), as_json)


@click.command()
@click.argument("run")
@json_option
@click.pass_obj
@guarded
def resume(context: Context, run: str, as_json: bool) -> None:
    """Go on with RUN where it was cut: only for a run that never failed, by the same version."""
    context.must_write("resume")
    end(front.take_up(context.state.find(run), "resume"), as_json, ok=("restored",))


@click.command()
@click.argument("run")
@click.option("--plan", "plan_id", metavar="ID", help="The id that this command printed for a finished run.")
@click.option("--yes", is_flag=True, help="Do it unattended; needs --plan for a finished run.")
@json_option
@click.pass_obj
@guarded
def rollback(context: Context, run: str, plan_id: str | None, yes: bool, as_json: bool) -> None:
    """Undo RUN: an unfinished one at once; a finished one shows what arrived since and is armed like a restore."""
    context.must_write("rollback")
    found = context.state.find(run)
    events, _ = read(found / JOURNAL)
    if rolling_back.is_restored(events):
        _arm_rollback(context, found.name, events, plan_id, yes, as_json)
    end(front.take_up(found, "rollback"), as_json, ok=("rolled_back", "interrupted", "failed_untouched"))


def _arm_rollback(
    context: Context, run: str, events: list[AnyEvent], plan_id: str | None, yes: bool, as_json: bool
) -> None:
    made = rolling_back.make(run, events, context.state)
    if yes and plan_id:
        return rolling_back.refuse_stale(plan_id, made, context.state)
    rolling_back.save(made, context.state)
    for line in made.lines():
        output.say(line)
    if not interactive() or as_json:
        raise Refused(
            f"rolling back a finished run is armed like a restore; this is plan {made.plan_id}",
            f"pacs-recover rollback {run} --yes --plan {made.plan_id}",
        )
    return arm(made.site)


@click.command()
@click.argument("run")
@click.option("--why", required=True, help="What a person did, for the record.")
@click.pass_obj
@guarded
def close(context: Context, run: str, why: str) -> None:
    """End an unfinished RUN whose live state a person put right by hand."""
    context.must_write("close")
    found = context.state.find(run)
    front.close(found, why)
    output.say(f"run {found.name} is closed; what it set aside stays in the catalog (source aside)")


@click.command("report")
@click.argument("run", default="latest")
@click.option("--format", "form", type=click.Choice(["text", "md", "json", "html"]), default="text")
@json_option
@click.pass_obj
@guarded
def show_report(context: Context, run: str, form: str, as_json: bool) -> None:
    """The report of RUN (default: the latest)."""
    found = context.state.find(run)
    told = looks.report_of(found)
    if as_json or form == "json":
        return output.document(report.to_json(told))
    writers: dict[str, Callable[[report.Report], str]] = {
        "text": report.as_text,
        "md": report.as_markdown,
        "html": report.as_html,
    }
    click.echo(writers[form](told))
    return None
