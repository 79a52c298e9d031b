"""What a plan says before anything is changed: may it be armed, what is sent again or lost, what changes, the steps."""

from __future__ import annotations

from collections.abc import Sequence

from pacs_recover.events import Choice, StepLine
from pacs_recover.model import Backup
from pacs_recover.plan import Plan
from pacs_recover.screens.choosing import skew
from pacs_recover.text import both_times, count, safe
from pacs_recover.widgets.line import Line, stated, title

RISKS = (
    ("resent", "message", "would be SENT AGAIN"),
    ("dead_lettered", "message", "past the time to live would become DEAD LETTERS"),
    ("lost_since", "message", "arrived since and would be LOST from the queue"),
)
CARRYING = ("m carries over what only the live queue has, after the stop", "m leaves that out again")
"""What the key does, by whether messages are carried over now."""


def lines(plan: Plan, read_only: bool) -> list[Line]:
    """The whole plan."""
    request = plan.request
    backups = tuple(choice.backup for choice in request.choices)
    return [
        Line(
            f"Plan {plan.plan_id} for {safe(request.site['name'])} on {safe(request.host)}: nothing changed yet",
            "title",
        ),
        *_may_it(plan, read_only),
        *_time(plan),
        Line(""),
        *_risk(plan),
        title("Recovery set"),
        *(Line(f"{safe(b.id)}  {both_times(b.taken_at)}", "", "  • ") for b in backups),
        *_records(request.choices),
        *(Line(choice.reached, "", "    ") for choice in request.choices if choice.reached),
        *(Line(line.text, line.look, f"  {line.start}") for line in skew(backups)),
        *(
            stated(fact.state, f"{fact.label}: {fact.value}")
            for fact in plan.findings
            if _is_of_host(fact.value, backups) and fact.label != "carry-over"
        ),
        *_warnings(plan),
        Line(""),
        title("What changes"),
        *([Line(change, "", "  • ") for change in plan.changes] or [Line("nothing", "", "  ")]),
        Line(""),
        title(f"Steps ({len(plan.steps)}); any failure undoes all of it"),
        *(_step(number, step) for number, step in enumerate(plan.steps, start=1)),
        Line(""),
        title("What lives now is kept"),
        Line("set aside beside it, listed in the catalog as aside; the run can be rolled back afterwards", "", "  "),
    ]


def _records(choices: Sequence[Choice]) -> list[Line]:
    """What the bytes were held against, once for all of which it is true."""
    of: dict[str, list[str]] = {}
    for choice in choices:
        of.setdefault(choice.manifest, []).append(choice.backup.component)
    return [Line(f"{', '.join(names)}: {said}", "", "    ") for said, names in of.items()]


def _may_it(plan: Plan, read_only: bool) -> list[Line]:
    if plan.refusals:
        return [Line("It CANNOT be armed until what is marked BAD below is put right", "bad", "✗ ")]
    if read_only:
        return [Line("READ-ONLY: this console cannot arm it", "warn", "! ")]
    return [Line("Every backup of it was read to its end and is good: press a to arm it", "good", "✓ ")]


def _time(plan: Plan) -> list[Line]:
    fact = plan.expectation
    return [Line(f"{fact.label}: {fact.value}", "warn" if fact.state == "warn" else "", "  ")]


def _risk(plan: Plan) -> list[Line]:
    if plan.replay is None:
        return []
    found = []
    for key, noun, what in RISKS:
        number = plan.replay.get(key)
        if number is None:
            found.append(Line(f"UNKNOWN how many {noun}s {what}", "bad", "  ✗ "))
        elif number:
            found.append(Line(f"{count(number, noun)} {what}", "bad", "  ✗ "))
    if not found:
        found.append(Line("no message would be sent again, none would be lost", "ok", "  ✓ "))
    if carried := plan.replay.get("carried"):
        found.append(Line(f"{count(carried, 'message')} only in the live queue would be CARRIED OVER", "ok", "  ✓ "))
    found += _carrying(plan)
    asked = [Line("the run asks you to accept this before it stops the service", "", "    ")] if _is_asked(plan) else []
    return [title("Replay risk: patients' messages"), *found, *asked, Line("")]


def _carrying(plan: Plan) -> list[Line]:
    tried = [stated(fact.state, fact.value) for fact in plan.findings if fact.label == "carry-over"]
    return [*tried, Line(CARRYING[plan.request.carry_over], "", "    ")]


def _is_asked(plan: Plan) -> bool:
    return bool(plan.request.questions)


def _is_of_host(value: str, backups: Sequence[Backup]) -> bool:
    """Whether a finding is not one that the recovery set tells already."""
    from pacs_recover.findings import set_findings

    return value not in {fact.value for fact in set_findings(backups)}


def _warnings(plan: Plan) -> list[Line]:
    found = [
        stated(fact.state, f"{name}: {fact.label}: {fact.value}")
        for name, preview in plan.previews.items()
        for fact in preview.facts
        if fact.state != "ok"
    ]
    return [Line(""), title("Read in the backups"), *found] if found else []


def _step(number: int, step: StepLine) -> Line:
    kind = {"do": "", "check": "check: ", "ask": "ASKS YOU: "}[step.kind]
    return Line(f"{kind}{step.title}", "key" if step.kind == "ask" else "", f"  {number:2}. ")
