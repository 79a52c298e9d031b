"""A plan: which backups, proven good now; what they would change; the checklist; and the id that arms it."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pacs_recover import engine, following, pace
from pacs_recover.anchoring import anchor as vouch
from pacs_recover.authority import Authority
from pacs_recover.checklist import checklist
from pacs_recover.components import Comparison, Job, Look, component, exhaust, judge, naming, read_backup
from pacs_recover.errors import BadBackup, RecoverError, Refused, UsageError
from pacs_recover.events import Choice, LivePath, Question, Request, StepLine
from pacs_recover.findings import host_findings, key_findings, set_findings
from pacs_recover.formats.streams import Hashing
from pacs_recover.jobs import live_paths, look_at, opener
from pacs_recover.model import UNDECODABLE, Backup, Fact, Preview
from pacs_recover.services import services_of
from pacs_recover.site import Site
from pacs_recover.site import model as site_model
from pacs_recover.state import State
from pacs_recover.target import places, trees
from pacs_recover.text import safe

VALID = timedelta(hours=1)
"""How long a plan arms an unattended restore."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a restore would do, before it does anything."""

    plan_id: str
    made_at: datetime
    request: Request
    steps: tuple[StepLine, ...]
    changes: tuple[str, ...] = ()
    replay: dict[str, Any] | None = None
    """What a restored queue sends again and loses (``formats.replay.NUMBERS``); each None where it is unknown."""
    anchor: datetime | None = None
    """The time that the set is meant for: the one asked for, else that of its newest backup."""
    predicted_seconds: float | None = None
    """Until the service answers, by earlier runs and without the waiting for a person; None where unknown."""
    predicted_downtime_seconds: float | None = None
    """Of these, from the stop to the answer."""
    carry_over_seconds: float | None = None
    """How much longer the service is down because messages are carried over; None where none are, or unknown."""
    previews: dict[str, Preview] = {}
    findings: tuple[Fact, ...] = ()
    """About the host and the set: a ``bad`` one forbids running it."""
    inputs: dict[str, str] = {}
    """What the plan depends on, by name, as digests: how an armed plan is seen to be stale."""

    @property
    def expectation(self) -> Fact:
        """How long it will take, against the RTO."""
        measured = pace.measured(self.request.reading_seconds, sum(choice.bytes for choice in self.request.choices))
        return pace.expectation(
            self.predicted_seconds, self.predicted_downtime_seconds, self.request.rto_seconds, measured
        )

    @property
    def refusals(self) -> tuple[Fact, ...]:
        """The findings that forbid running it."""
        return tuple(fact for fact in self.findings if fact.state == "bad")


def make(
    site: Site,
    backups: Sequence[Backup],
    state: State,
    since: datetime | None = None,
    at: datetime | None = None,
    *,
    carry_over: bool = False,
) -> Plan:
    """Read every backup to its end, judge it, compare it with what lives. BadBackup, SourceError, RecoverError."""
    refuse_carrying(backups, carry_over)
    with state.audit.noting("plan", " ".join(backup.id for backup in backups), site.name) as entry:
        made = _make(site, backups, state, since, at, carry_over=carry_over)
        entry.outcome = f"plan {made.plan_id}"
    vouch(site, state)
    return made


def _make(
    site: Site,
    backups: Sequence[Backup],
    state: State,
    since: datetime | None,
    at: datetime | None,
    *,
    carry_over: bool,
) -> Plan:
    live, services = live_paths(site), services_of(site)
    look = look_at(site, live, services, carry_over=carry_over)
    comparisons = {}
    with state.scratch() as scratch:
        open_backup = opener(site, state.journals(), scratch)
        began = time.monotonic()
        choices, previews = _read_all(backups, open_backup, scratch, look)
        reading = time.monotonic() - began
        together = replace(look, restored={name: scratch / name for name in choices})
        for backup in backups:
            comparisons[backup.component] = _compared(backup, scratch, together)
        disagreements = _disagreements(together)
    request = _request(site, live, choices, comparisons, since, carry_over, at)
    request = msgspec.structs.replace(request, reading_seconds=reading)
    found = (fact for comparison in comparisons.values() for fact in comparison.findings)
    job = Job(look=look, choices=choices, questions=request.questions, open=open_backup, services=services)
    steps, carrying = engine.lines(checklist(job)), _carrying(comparisons)
    known = pace.of(state, site.name)
    return Plan(
        plan_id=request.plan_id,
        made_at=datetime.now(UTC),
        request=request,
        steps=steps,
        changes=tuple(change for comparison in comparisons.values() for change in comparison.changes),
        replay=_replay(comparisons),
        anchor=at or max(backup.taken_at for backup in backups),
        predicted_seconds=pace.predicted(steps, known, carrying),
        predicted_downtime_seconds=pace.predicted_downtime(steps, known, carrying),
        carry_over_seconds=carrying,
        previews=previews,
        findings=(
            *host_findings(site, services),
            *key_findings(site, backups),
            *following.findings(site),
            *set_findings(backups),
            *disagreements,
            *found,
        ),
        inputs=inputs(site, choices, look),
    )


@dataclass(frozen=True)
class Judged:
    """Backups that were read to their end and found good, by component."""

    choices: dict[str, Choice]
    previews: dict[str, Preview]


def read_and_judge(site: Site, backups: Sequence[Backup], state: State) -> Judged:
    """Read every backup to its end and judge it, without a look at what lives. BadBackup, SourceError, RecoverError."""
    look = look_at(site, live_paths(site), services_of(site))
    with state.scratch() as scratch:
        return Judged(*_read_all(backups, opener(site, state.journals(), scratch), scratch, look))


def _read_all(
    backups: Sequence[Backup], open_backup: Any, scratch: Path, look: Look
) -> tuple[dict[str, Choice], dict[str, Preview]]:
    read = {backup.component: _read(backup, open_backup, scratch, look) for backup in backups}
    return {name: one[0] for name, one in read.items()}, {name: one[1] for name, one in read.items()}


def _read(backup: Backup, open_backup: Any, scratch: Path, look: Look) -> tuple[Choice, Preview]:
    """One backup, read to its end and judged. BadBackup names every bad fact."""
    part, content = component(backup.component), scratch / backup.component
    content.mkdir(mode=0o700)
    with open_backup(backup) as raw:
        read = exhaust(read_backup(part, backup, raw, content, look))
    preview = judge(part, backup, read, content, look)
    refuse_bad(backup, preview)
    record, came_to = read.record.said, read.reached
    return Choice(backup=backup, sha256=read.sha256, bytes=read.content, manifest=record, reached=came_to), preview


def _compared(backup: Backup, scratch: Path, look: Look) -> Comparison:
    """What one backup, read before, would change. BadBackup."""
    spare = scratch / f"{backup.component}-live"
    spare.mkdir(mode=0o700)
    with naming(backup, look):
        return component(backup.component).compare(scratch / backup.component, look, spare)


def refuse_carrying(backups: Sequence[Backup], carry_over: bool) -> None:
    """UsageError where messages are to be carried over into a queue that is not restored."""
    if carry_over and not any(backup.component == "queue" for backup in backups):
        raise UsageError("only a restore of the queue can carry messages over", "leave --carry-over out")


def _disagreements(look: Look) -> tuple[Fact, ...]:
    """Where the parts do not fit each other; loaded only here, as reading certificates takes a large library."""
    from pacs_recover.components import agreement

    return tuple(agreement.findings(look))


def refuse_bad(backup: Backup, preview: Preview) -> None:
    """BadBackup for a preview with bad facts."""
    bad = [f"{fact.label}: {fact.value}" for fact in preview.facts if fact.state == "bad"]
    if bad:
        raise BadBackup(
            f"{safe(backup.id)} must not be restored: {'; '.join(bad)}", "choose another: pacs-recover catalog"
        )


def _request(
    site: Site,
    live: tuple[LivePath, ...],
    choices: Mapping[str, Choice],
    comparisons: Mapping[str, Comparison],
    since: datetime | None,
    carry_over: bool,
    at: datetime | None,
) -> Request:
    return Request(
        run="",
        plan_id=secrets.token_hex(4),
        site=site_model.to_data(site),
        components=tuple(choices),
        choices=tuple(choices.values()),
        live=live,
        questions=tuple(question for question in (*_asked(comparisons), _unproven(site, choices)) if question),
        rto_seconds=rto_of(site, tuple(choices)),
        operator=operator(),
        host=socket.gethostname(),
        carry_over=carry_over,
        since=since,
        at=at,
    )


def _asked(comparisons: Mapping[str, Comparison]) -> Iterable[Question | None]:
    return (comparison.question for comparison in comparisons.values())


def _unproven(site: Site, choices: Mapping[str, Choice]) -> Question | None:
    return following.question(site) if "queue" in choices else None


def rto_of(site: Site, components: Sequence[str]) -> float:
    """Seconds that restoring these may take: a component's own target, or that of the full system for several."""
    name = components[0] if len(components) == 1 else "full"
    return float(site.objectives[name].rto)


def operator() -> str:
    """Who does it: the login behind a sudo, else the user."""
    import pwd

    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        login = f"uid {os.getuid()}"
    return safe(os.environ.get("SUDO_USER") or login, 80)


def _replay(comparisons: Mapping[str, Comparison]) -> dict[str, Any] | None:
    found = [comparison.replay for comparison in comparisons.values() if comparison.replay is not None]
    return dict(found[0]) if found else None


def _carrying(comparisons: Mapping[str, Comparison]) -> float | None:
    return next((c.carry_over_seconds for c in comparisons.values() if c.carry_over_seconds is not None), None)


def inputs(site: Site, choices: Mapping[str, Choice], look: Look) -> dict[str, str]:
    """What the plan depends on: the site, the backups and, of what lives, all but the queue's rows."""
    return {
        "the site file": _digest(site_model.to_json(site)),
        "what is carried over": "the live queue's own messages" if look.carry_over else "nothing",
        **{f"the backup {choice.backup.id}": choice.sha256 for choice in choices.values()},
        **{
            f"the live {name}": live_input(name, look.live[name])
            for name in ("config", "certs", "queue")
            if name in look.live
        },
    }


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


def live_input(name: str, live: Path) -> str:
    """One live part as a digest: files by hash; of the queue its path, device and owner."""
    try:
        found = places.identity(live)
        if found is None:
            return "absent"
        if name == "queue":
            with places.directory(live.parent) as parent:
                status = os.stat(live.name, dir_fd=parent, follow_symlinks=False)
            return _digest(f"{live} {status.st_dev} {status.st_uid} {status.st_gid}".encode())
        rows = [f"{e.name!r} {e.kind} {e.mode:o} {e.sha256}" for e in trees.entries(live) if not is_git(e.name)]
        return _digest("\n".join(rows).encode())
    except (OSError, RecoverError) as error:
        return f"unreadable: {type(error).__name__}"


def is_git(name: str) -> bool:
    """Whether a tree's entry belongs to Git's own directory."""
    return name == ".git" or name.startswith(".git/")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
