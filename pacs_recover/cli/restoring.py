"""Planning a restore and running it: plan, restore."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import click
import msgspec

from pacs_recover import arming, front, looks, sets
from pacs_recover import plan as plans
from pacs_recover.cli import output
from pacs_recover.cli.asking import ask
from pacs_recover.cli.context import Context, guarded, interactive, json_option
from pacs_recover.cli.follow import end
from pacs_recover.errors import Refused, UsageError
from pacs_recover.model import LIVE, Backup
from pacs_recover.plan import Plan
from pacs_recover.selection import gaps, moment, select
from pacs_recover.text import both_times, brief, precise, safe


def as_moment(_: Any, __: Any, text: str | None) -> datetime | None:
    """An option's value as a time. UsageError."""
    return moment(text) if text else None


def choosing(function: Any) -> Any:
    """The options that choose what is restored."""
    for option in (
        click.argument("components", nargs=-1),
        click.option("--backup", "backups", multiple=True, metavar="ID", help="An id, a unique prefix, or a path."),
        click.option(
            "--carry-over", is_flag=True, help="Keep the messages that only the live queue has: added after the stop."
        ),
        click.option("--at", callback=as_moment, metavar="TIME", help="The newest backups at or before this time."),
        click.option("--since", callback=as_moment, metavar="TIME", help="When the outage began."),
    ):
        function = option(function)
    return function


@click.command("plan")
@choosing
@json_option
@click.pass_obj
@guarded
def show_plan(context: Context, /, components: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
    """The dry run: what a restore would do, and its plan id.

    Reads the backups to their end, judges them and compares them with what lives. COMPONENT is config, certs, queue or
    full. Exit status: 0; 3 unreadable; 6 a bad backup.
    """
    made = _make(context, components, **chosen)
    armed = _saved_now(context, made)
    if as_json:
        return output.document(looks.plan_json(made))
    print_plan(made)
    if armed and not made.refusals:
        output.say(f"To run it within the hour:\n  {context.program} restore --yes --plan {made.plan_id}")
    return None


def _saved_now(context: Context, made: Plan) -> bool:
    """Keep the plan, unless nothing may be or can be written: then it is only looked at."""
    try:
        context.must_write("keeping a plan")
        arming.save(made, context.state, context.authority)
    except Refused as problem:
        output.say(f"! this plan arms nothing: {problem.message}\n  next: {problem.hint}")
        return False
    return True


def _make(
    context: Context,
    components: tuple[str, ...],
    backups: tuple[str, ...],
    at: datetime | None,
    since: datetime | None,
    carry_over: bool,
) -> Plan:
    found = context.catalog()
    chosen = select(found, components, backups, at)
    made = plans.make(context.site, chosen, context.state, since, at=at, carry_over=carry_over)
    return msgspec.structs.replace(made, findings=(*gaps(found, chosen, backups, at), *made.findings))


def print_plan(made: Plan, *, err: bool = False) -> None:
    """A plan for a person; to stderr where it only leads to a question."""
    request = made.request
    say = partial(output.paragraph, err=err)
    say(f"PLAN {made.plan_id}: site {safe(request.site['name'])} on {request.host}")
    output.facts((made.expectation,), err=err)
    say("Backups")
    for choice in request.choices:
        backup = choice.backup
        say(f"{safe(backup.id)}, taken {both_times(backup.taken_at)}{_skew(made, backup)}; {choice.manifest}", "  ")
        if request.at or choice.reached:
            say("; ".join(filter(None, (asked(request.at, backup), choice.reached))), "    ")
        output.facts((f for f in made.previews[backup.component].facts if f.state != "ok"), "    ", err=err)
    output.facts(made.findings, err=err)
    say("Steps")
    for number, step in enumerate(made.steps, start=1):
        say(f"{step.title}{'' if step.kind == 'do' else f' ({step.kind})'}", f"  {number:2}. ")
    say("Changes")
    for change in _changes(made) or [
        "nothing but what is listed under the questions below" if request.questions else "none"
    ]:
        say(change, "  - ")
    for question in request.questions:
        say(f"Question: {question.title}?")
        say(question.details, "  ")
    if made.refusals:
        say("This plan cannot run: put right what is marked BAD, then plan again.")


def _skew(made: Plan, backup: Backup) -> str:
    """How far a backup lies from the time of its set; nothing where it is the set's only one, or just of that time."""
    off = sets.skew(backup, made.anchor) if made.anchor and len(made.request.choices) > 1 else 0.0
    if not off:
        return ""
    return f", {brief(abs(off))} {'before' if off > 0 else 'after'} the set's time"


def asked(at: datetime | None, backup: Backup) -> str:
    """The time that was asked for beside the one that there is."""
    if at is None:
        return ""
    short = (at - backup.taken_at).total_seconds()
    return f"asked for {precise(at)}" + (f", which is {brief(short)} later" if short >= 1 else "")


def _changes(made: Plan) -> list[str]:
    """What a question does not tell anyway."""
    asked = [question.details for question in made.request.questions]
    return [change for change in made.changes if not any(details in change for details in asked)]


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
    """Restore COMPONENT: proven first, undone when it fails.

    COMPONENT is config, certs, queue or full. At a terminal you type the site's name; unattended it needs --yes and
    the id of a plan. Exit status: 0 done; 1 failed and rolled back; 3 unreadable; 4 rollback incomplete; 5 refused;
    6 a bad backup; 7 the run goes on without this terminal; 130 interrupted before anything was changed.
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
    armed = _saved(context, plan_id, components, **chosen) if plan_id else _make(context, components, **chosen)
    _refuse(armed)
    front.refuse_busy(armed.request)
    if not plan_id:
        arming.save(armed, context.state, context.authority)
    if not yes:
        print_plan(armed, err=True)
        arm(armed.request.site["name"])
    end(lambda: front.start(armed, context.state, context.authority, assume_yes=yes), as_json, ok=("restored",))


def _saved(
    context: Context,
    plan_id: str,
    components: tuple[str, ...],
    backups: tuple[str, ...],
    at: datetime | None,
    since: datetime | None,
    carry_over: bool,
) -> Plan:
    """A saved plan, if it is what was asked for and nothing that it depends on has changed."""
    if at or since:
        raise UsageError("--at and --since belong to the making of a plan", "leave them out beside --plan")
    saved = arming.load(plan_id, context.state)
    if carry_over and not saved.request.carry_over:
        raise UsageError(f"plan {plan_id} carries nothing over", "plan again with --carry-over")
    ids = {choice.backup.id for choice in saved.request.choices}
    named = {context.find(text).id for text in backups}
    names = {name for word in components for name in (LIVE if word == "full" else (word,))}
    if (names and names != set(saved.request.components)) or not named <= ids:
        raise UsageError(f"plan {plan_id} restores {', '.join(map(safe, sorted(ids)))}", "name the same, or plan again")
    arming.refuse_stale(saved, arming.inputs_now(saved, context.site, context.state))
    return saved


def _refuse(armed: Plan) -> None:
    if armed.refusals:
        raise Refused(
            "; ".join(f"{fact.label}: {fact.value}" for fact in armed.refusals), "put that right, then plan again"
        )


def arm(name: str, what: str = "This changes the LIVE SITE.") -> None:
    """Have the operator type the site's name. Refused where it is anything else, Interrupted by ctrl-c."""
    if ask(f"{what} Type its name ({safe(name)}) to go on: ", "not armed: nothing was changed") != name:
        raise Refused(
            "not armed: that is not the site's name; nothing was changed", "type the name as it is shown, to arm it"
        )
