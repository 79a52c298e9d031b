"""Saved plans: each arms one restore, within an hour, while all that it depends on is unchanged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from pacs_recover.authority import Authority
from pacs_recover.errors import Refused
from pacs_recover.formats.streams import Hashing
from pacs_recover.jobs import live_paths, look_at, opener
from pacs_recover.model import UNDECODABLE
from pacs_recover.plan import Plan
from pacs_recover.plan_inputs import inputs
from pacs_recover.services import services_of
from pacs_recover.site import Site
from pacs_recover.state import State
from pacs_recover.text import safe

VALID = timedelta(hours=1)
"""How long a plan arms an unattended restore."""


def save(plan: Plan, state: State, authority: Authority) -> None:
    """Keep the plan, so that its id arms a restore within the hour. Refused, OSError."""
    authority.must_allow("keeping a plan")
    state.prepare()
    path = state.path / "plans" / f"{plan.plan_id}.json"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(plan))


def load(plan_id: str, state: State, now: datetime | None = None) -> Plan:
    """A saved plan that is not too old. Refused where there is none, where it is used up or too old."""
    path = state.path / "plans" / f"{plan_id}.json"
    again = "make a new one: pacs-recover plan"
    if not plan_id.isalnum() or not path.is_file():
        raise Refused(f"there is no plan {safe(plan_id)}: a plan arms one restore, within an hour", again)
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, *UNDECODABLE) as error:
        raise Refused(f"the plan {safe(plan_id)} cannot be read: {safe(error)}", again) from error
    if (now or datetime.now(UTC)) - plan.made_at > VALID:
        raise Refused(f"the plan {plan_id} was made more than an hour ago", again)
    return plan


def use_up(plan: Plan, state: State, run: Path) -> None:
    """Move the plan into the run that it armed, so that it arms no other. Refused where another was faster."""
    try:
        (state.path / "plans" / f"{plan.plan_id}.json").rename(run / "plan.json")
    except FileNotFoundError as error:
        raise Refused(f"the plan {plan.plan_id} was used just now", "see: pacs-recover runs") from error


def refuse_stale(plan: Plan, now: Mapping[str, str]) -> None:
    """Refused where anything that the plan depends on has changed, naming it."""
    differ = [name for name in {**plan.inputs, **now} if plan.inputs.get(name) != now.get(name)]
    if differ:
        raise Refused(f"since the plan was made, {' and '.join(map(safe, differ))} changed", "look, then plan again")


def inputs_now(saved: Plan, site: Site, state: State) -> dict[str, str]:
    """The same inputs as they are now; each backup is read and hashed again as stored. SourceError."""
    live = live_paths(site)
    choices = {}
    with state.scratch() as scratch:
        open_backup = opener(site, state.journals(), scratch)
        for choice in saved.request.choices:
            with open_backup(choice.backup) as raw:
                hashing = Hashing(raw)
                hashing.drain()
            choices[choice.backup.component] = msgspec.structs.replace(choice, sha256=hashing.sha256)
    look = look_at(site, live, services_of(site), carry_over=saved.request.carry_over)
    return inputs(site, choices, look)
