"""A run that somebody takes up, or hands over: attach, resume, rollback, close, note, handover."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from pacs_recover import closing, front, handover, notes, pace, rolling_back, worker
from pacs_recover.cli import output
from pacs_recover.cli.context import Context, guarded, interactive, json_option, leave, program_for
from pacs_recover.cli.follow import end
from pacs_recover.cli.restoring import arm
from pacs_recover.errors import Refused
from pacs_recover.events import AnyEvent
from pacs_recover.front import Following
from pacs_recover.journal import read
from pacs_recover.plan import operator
from pacs_recover.runs import is_drill
from pacs_recover.state import JOURNAL
from pacs_recover.target.sandbox import refuse_drill
from pacs_recover.text import safe, stamp

UNDONE = ("rolled_back", "interrupted", "failed_untouched")
"""How a rollback ends that did what it was asked for."""


@click.command()
@click.argument("run", default="latest")
@click.option("--take-over", is_flag=True, help="Answer its questions from now on, in place of who started it.")
@json_option
@click.pass_obj
@guarded
def attach(context: Context, run: str, take_over: bool, as_json: bool) -> None:
    """Follow RUN (default: the latest).

    Its questions are answered by the operator who started it; another takes them over first, by typing the site's
    name, and that is recorded. The exit status is the run's own; 4 where it was cut and nobody works on it; 7 when
    left by ctrl-c.
    """
    following = Following(context.state.find(run))
    if take_over:
        _take_over(context, following)
    end(lambda: following, as_json)


def _take_over(context: Context, following: Following) -> None:
    """The questions become this operator's, once the site's name is typed."""
    context.must_write("taking the questions over")
    following.look_ahead()
    if not interactive():
        raise Refused("the questions are taken over at a terminal", "without one the run's operator answers them")
    owner = safe(following.owner) or "nobody known"
    output.say(f"The questions of run {following.run.name} are {owner}'s. From now on only you would answer them.")
    arm(following.site, "This TAKES OVER the questions of a run of the LIVE SITE.")
    front.take_over(following, operator(), context.authority)


@click.command()
@click.argument("run")
@json_option
@click.pass_obj
@guarded
def resume(context: Context, run: str, as_json: bool) -> None:
    """Go on with RUN where it was cut.

    Only a run that never failed, by the same version, the site's newest. Exit status as of restore.
    """
    context.must_write("resume")
    found = _newest(context, run)
    end(lambda: front.take_up(found, "resume", context.authority), as_json, ok=("restored",))


def _newest(context: Context, run: str) -> Path:
    """The run, if no later one changed its site."""
    found = context.state.find(run)
    events, _ = read(found / JOURNAL)
    if is_drill(events):
        refuse_drill(found.name)
    front.refuse_newer(worker.request_of(events) or worker.read_request(found), found.name)
    return found


@click.command()
@click.argument("run")
@click.option("--plan", "plan_id", metavar="ID", help="The id that this command printed for a finished run.")
@click.option("--yes", is_flag=True, help="Do it unattended; needs --plan for a finished run.")
@json_option
@click.pass_obj
@guarded
def rollback(context: Context, run: str, plan_id: str | None, yes: bool, as_json: bool) -> None:
    """Undo RUN, the site's newest.

    An unfinished one at once. A finished one shows what arrived since, and is armed like a restore. Exit status: 0
    rolled back; 4 a person is needed; 5 refused; 7 it goes on without this terminal.
    """
    context.must_write("rollback")
    found = _newest(context, run)
    events, _ = read(found / JOURNAL)
    if rolling_back.is_restored(events):
        _arm_rollback(context, found.name, events, plan_id, yes, as_json)
    end(lambda: front.take_up(found, "rollback", context.authority), as_json, ok=UNDONE)


def _arm_rollback(
    context: Context, run: str, events: list[AnyEvent], plan_id: str | None, yes: bool, as_json: bool
) -> None:
    made = rolling_back.make(run, events, context.state)
    if yes and plan_id:
        return rolling_back.refuse_stale(plan_id, made, context.state)
    rolling_back.save(made, context.state, context.authority)
    if as_json or not interactive():
        _print_rollback(context, made, as_json)
    for line in made.lines():
        output.say(line)
    return arm(made.site)


def _print_rollback(context: Context, made: rolling_back.Plan, as_json: bool) -> NoReturn:
    """What the rollback of a finished run would do, and how it is armed; that is a refusal."""
    problem = Refused(
        f"rolling back a finished run is armed like a restore; this is plan {made.plan_id}",
        f"{context.program} rollback {made.run} --yes --plan {made.plan_id}",
    )
    if not as_json:
        for line in made.lines():
            click.echo(line)
        raise problem
    context.refused(problem)
    output.document(output.error_json(problem) | {"plan": _rollback_json(made)})
    leave(problem.exit_code)


def _rollback_json(made: rolling_back.Plan) -> dict[str, Any]:
    return {
        "plan_id": made.plan_id,
        "run": made.run,
        "site": made.site,
        "made_at": stamp(made.made_at),
        "undoes": list(made.undoes),
        "since": list(made.since),
    }


@click.command()
@click.argument("run")
@click.option("--why", required=True, help="What a person did, for the record.")
@click.pass_obj
@guarded
def close(context: Context, run: str, why: str) -> None:
    """End an unfinished RUN that was put right by hand.

    For the record only: nothing is changed, and what the run set aside stays. Exit status: 0; 5 where it has ended.
    """
    context.must_write("close")
    found = context.state.find(run)
    closing.close(found, why, context.authority)
    output.say(f"run {found.name} is closed; what it set aside stays in the catalog (source aside)")


@click.command()
@click.argument("run")
@click.argument("text", nargs=-1, required=True)
@click.pass_obj
@guarded
def note(context: Context, run: str, text: tuple[str, ...]) -> None:
    """Note TEXT in the record of RUN (or: latest), with its time.

    While it goes on or afterwards; it is in the report. No patients' data, no secrets: reports are handed on.
    """
    context.must_write("note")
    found = context.state.find(run)
    if notes.add(found, " ".join(text), operator(), context.authority):
        return output.say(f"noted in the record of run {found.name}")
    return output.say(f"left for the worker of run {found.name}, which takes it up when its step says something next")


@click.command("handover")
@click.argument("run", default="latest")
@json_option
@click.pass_obj
@guarded
def show_handover(context: Context, run: str, as_json: bool) -> None:
    """Print RUN (default: the latest) in a few lines to hand over.

    State, steps done, what is next, projected end, who, how to go on; no patients' data, no secrets.
    """
    found = context.state.find(run)
    told = handover.of(found, pace.of_run(context.state, found), program_for(found), datetime.now(UTC))
    if as_json:
        return output.document({"run": found.name, "lines": told})
    return click.echo("\n".join(told))
