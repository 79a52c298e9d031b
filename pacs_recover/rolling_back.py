"""Rolling back a finished run: what arrived since, and the id that arms it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from pacs_recover.arming import VALID
from pacs_recover.authority import Authority
from pacs_recover.components import component
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.events import AnyEvent, Planned
from pacs_recover.jobs import look_at, site_of
from pacs_recover.journal import pending
from pacs_recover.model import UNDECODABLE
from pacs_recover.runs import last_end, planned
from pacs_recover.services import services_of
from pacs_recover.state import State
from pacs_recover.target import places, rooms, trees, undo
from pacs_recover.text import safe


class Plan(Struct, frozen=True, kw_only=True):
    """What rolling back a finished run would do."""

    plan_id: str
    run: str
    site: str
    made_at: datetime
    undoes: tuple[str, ...]
    since: tuple[str, ...]
    """What arrived since the run, by component."""

    def lines(self) -> list[str]:
        """The plan for a person."""
        return [
            f"ROLLBACK of run {self.run}  site {safe(self.site)}",
            *(f"  undo: {title}" for title in self.undoes),
            "Since then",
            *(f"  {line}" for line in self.since),
            "  what is live now is kept, and stays in the catalog (source aside)",
        ]


def is_restored(events: Sequence[AnyEvent]) -> bool:
    """Whether the run ended well, so that its rollback must be armed."""
    ended = last_end(events)
    return ended is not None and ended.outcome in ("restored", "closed") and bool(pending(events))


def make(run: str, events: Sequence[AnyEvent], state: State) -> Plan:
    """Look at what the rollback would bring back and at what arrived since. RollbackIncomplete, RecoverError."""
    first = planned(events)
    if first is None:
        raise RecoverError(f"the first line of the journal of {run} is damaged", "see docs/runs.md")
    with state.audit.noting("plan", f"rollback of {run}", str(first.request.site["name"])) as entry:
        made = _make(run, first, events, state)
        entry.outcome = f"plan {made.plan_id}"
    return made


def _make(run: str, first: Planned, events: Sequence[AnyEvent], state: State) -> Plan:
    effects = pending(events)
    inverses = [undo.from_args(effect.args) for effect in effects]
    bringing = [inverse for inverse in inverses if isinstance(inverse, undo.BringBack)]
    facts = [f"{e.n} {e.undo}" for e in effects] + [_identity(inverse) for inverse in bringing]
    return Plan(
        plan_id=hashlib.sha256("\n".join([run, *facts]).encode()).hexdigest()[:8],
        run=run,
        site=str(first.request.site["name"]),
        made_at=datetime.now(UTC),
        undoes=tuple(effect.title for effect in effects),
        since=tuple(line for inverse in bringing for line in _arrived(inverse, events, state)),
    )


def _identity(inverse: undo.BringBack) -> str:
    """What would be moved back and what is live now, so that a changed site is seen."""
    aside = undo.aside_of(rooms.locate(inverse.room), inverse.component)
    for original in inverse.originals:
        if original.inode is not None and places.identity(aside / original.name) is None:
            raise RecoverError(
                f"{safe(aside / original.name)} is not there any more", "what was set aside is needed for a rollback"
            )
    now = places.identity(Path(inverse.live))
    return f"{inverse.live} {now.inode if now else 'absent'} {[(o.name, o.inode) for o in inverse.originals]}"


def _arrived(inverse: undo.BringBack, events: Sequence[AnyEvent], state: State) -> list[str]:
    first = planned(events)
    assert first is not None
    site = site_of(first.request)
    look = look_at(site, first.request.live, services_of(site))
    aside = undo.aside_of(rooms.locate(inverse.room), inverse.component)
    with state.scratch() as scratch:
        content, spare = scratch / "aside", scratch / "live"
        content.mkdir(mode=0o700)
        spare.mkdir(mode=0o700)
        part = component(inverse.component)
        for original in inverse.originals:
            if original.inode is not None and not original.name.endswith("-shm"):
                trees.copy(aside / original.name, content / original.name)
        if not any(content.iterdir()):
            return [f"{inverse.component}: nothing was there before; it will be absent again"]
        part.settle(content, look)
        compared = part.compare(content, look, spare)
    return list(compared.changes) or [f"{inverse.component}: nothing changed"]


def save(plan: Plan, state: State, authority: Authority) -> None:
    """Keep it, so that its id arms the rollback within the hour. Refused, OSError."""
    authority.must_allow("keeping a plan")
    state.prepare()
    path = state.path / "plans" / f"rollback-{plan.plan_id}.json"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(msgspec.json.encode(plan))


def refuse_stale(plan_id: str, made: Plan, state: State) -> None:
    """Refused unless this very rollback was planned within the last hour and nothing has changed since."""
    path = state.path / "plans" / f"rollback-{plan_id}.json"
    again = f"look again: pacs-recover rollback {made.run}"
    if not plan_id.isalnum() or not path.is_file():
        raise Refused(f"there is no rollback plan {safe(plan_id)}", again)
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, *UNDECODABLE) as error:
        raise Refused(f"the rollback plan {safe(plan_id)} cannot be read: {safe(error)}", again) from error
    path.unlink()
    if saved.plan_id != made.plan_id or saved.run != made.run:
        raise Refused(f"since plan {plan_id} was made, the site changed", again)
    if datetime.now(UTC) - saved.made_at > VALID:
        raise Refused(f"plan {plan_id} was made more than an hour ago", again)
