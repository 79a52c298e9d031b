"""A plan: which backups, proven good now; what they would change; the checklist; and the id that arms it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pacs_recover import engine, following, pace
from pacs_recover.anchoring import anchor as vouch
from pacs_recover.checklist import checklist
from pacs_recover.components import ByBytes, Comparison, Job, Look, component, exhaust, judge, naming, read_backup
from pacs_recover.errors import BadBackup, UsageError
from pacs_recover.events import Choice, LivePath, Question, Request, StepLine
from pacs_recover.findings import host_findings, key_findings, set_findings
from pacs_recover.jobs import live_paths, look_at, opener
from pacs_recover.model import Backup, Fact, Preview
from pacs_recover.plan_inputs import inputs
from pacs_recover.services import services_of
from pacs_recover.site import Site
from pacs_recover.site import model as site_model
from pacs_recover.state import State
from pacs_recover.text import safe


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


@dataclass(frozen=True)
class Wanted:
    """What an operator asked for."""

    backups: Sequence[Backup]
    since: datetime | None
    at: datetime | None
    carry_over: bool


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
        made = _make(site, state, Wanted(backups, since, at, carry_over))
        entry.outcome = f"plan {made.plan_id}"
    vouch(site, state)
    return made


def _make(site: Site, state: State, wanted: Wanted) -> Plan:
    live, services = live_paths(site), services_of(site)
    look = look_at(site, live, services, carry_over=wanted.carry_over)
    comparisons = {}
    with state.scratch() as scratch:
        open_backup = opener(site, state.journals(), scratch)
        began = time.monotonic()
        choices, previews = _read_all(wanted.backups, open_backup, scratch, look)
        reading = time.monotonic() - began
        together = replace(look, restored={name: scratch / name for name in choices})
        for backup in wanted.backups:
            comparisons[backup.component] = _compared(backup, scratch, together)
        disagreements = _disagreements(together)
    request = _request(site, live, choices, comparisons, wanted)
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
        anchor=wanted.at or max(backup.taken_at for backup in wanted.backups),
        predicted_seconds=pace.predicted(steps, known, carrying),
        predicted_downtime_seconds=pace.predicted_downtime(steps, known, carrying),
        carry_over_seconds=carrying,
        previews=previews,
        findings=(
            *host_findings(site, services),
            *key_findings(site, wanted.backups),
            *following.findings(site),
            *set_findings(wanted.backups),
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
    choice = Choice(
        backup=backup,
        sha256=read.sha256,
        bytes=read.content,
        content_sha256=part.digest(content) if isinstance(part, ByBytes) else "",
        manifest=read.record.said,
        reached=read.reached,
    )
    return choice, preview


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
    wanted: Wanted,
) -> Request:
    return Request(
        run="",
        plan_id=os.urandom(4).hex(),
        site=site_model.to_data(site),
        components=tuple(choices),
        choices=tuple(choices.values()),
        live=live,
        questions=tuple(question for question in (*_asked(comparisons), _unproven(site, choices)) if question),
        rto_seconds=rto_of(site, tuple(choices)),
        operator=operator(),
        host=socket.gethostname(),
        carry_over=wanted.carry_over,
        since=wanted.since,
        at=wanted.at,
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
