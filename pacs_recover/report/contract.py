"""What a report says: the keys of the JSON contract first, then what was added to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pacs_recover.events import Outcome, SandboxKind, Topic
from pacs_recover.journal import Damage
from pacs_recover.model import Fact, FactState, StepKind

StepState = Literal["waiting", "running", "passed", "failed", "cut", "undone"]
"""``cut``: it began and nobody saw it end; ``undone``: it passed and all that it changed was taken back."""
EffectState = Literal["made", "undone", "failed"]
"""``made``: still in force; ``failed``: the attempt to undo it failed."""


class StepReport(Struct, frozen=True, kw_only=True):
    """One line of the checklist and what became of it."""

    title: str
    kind: StepKind
    state: StepState
    seconds: float | None
    """Of its last attempt; None where it did not run or nobody saw it end."""
    budget_seconds: float | None
    evidence: str


class Check(Struct, frozen=True):
    """One line of the guide's verification checklist, proven by a step or not."""

    name: str
    state: StepState
    evidence: str


class BackupUsed(Struct, frozen=True, kw_only=True):
    """A backup that the run restored from."""

    id: str
    component: str
    source: str
    key: str
    taken_at: datetime
    size: int | None
    sha256: str
    bytes: int
    """Of its content, unpacked."""
    manifest: str
    """What its recorded hash says."""
    asked_at: datetime | None
    """The time whose state was asked for, if one was."""
    reached: str
    """The point in time that a replica came to, in words."""


class EffectReport(Struct, frozen=True, kw_only=True):
    """One change to the site, oldest first, and whether it was undone."""

    step: int | None
    """Index into the report's steps."""
    title: str
    state: EffectState
    evidence: str = ""


class Failure(Struct, frozen=True):
    """What made the run fail."""

    title: str
    """The step's; empty where it failed between two steps."""
    evidence: str
    hint: str


class Takeover(Struct, frozen=True, kw_only=True):
    """Another process took the run up."""

    at: datetime
    purpose: Literal["resume", "rollback"]
    operator: str
    program: str
    armed: bool


class Finding(Struct, frozen=True, kw_only=True):
    """What was odd about a backup before it was opened."""

    backup: str
    label: str
    value: str
    state: FactState


class Note(Struct, frozen=True, kw_only=True):
    """One result of a drill's functional validation, or what an operator wrote down."""

    topic: Topic
    title: str
    evidence: str
    state: FactState
    at: datetime


class Age(Struct, frozen=True, kw_only=True):
    """How old a restored part is at the drill's start, or at the time asked for: what a loss then would have lost."""

    component: str
    backup: str
    age_seconds: float
    rpo_seconds: float | None
    met: bool | None


class DrillReport(Struct, frozen=True, kw_only=True):
    """What makes a report that of a drill."""

    sandbox: SandboxKind
    why: str
    """Why the service was not started though it should have been; else empty."""
    participants: tuple[str, ...]
    observations: tuple[str, ...]
    actions: tuple[str, ...]
    findings: tuple[Fact, ...]
    results: tuple[Note, ...]
    """Of the functional validation, in the order in which they came."""
    ages: tuple[Age, ...]
    production_equal: bool | None
    """Whether the live site was after the drill what it was before; None where that was not seen."""
    production: str
    """The evidence."""
    removed: str
    """What became of the sandbox."""


class Report(Struct, frozen=True, kw_only=True):
    """A run as its journal tells it; durations are seconds, rounded to milliseconds."""

    run: str
    mode: Literal["live", "drill"]
    outcome: Outcome
    started_at: datetime | None
    """None for an empty journal."""
    ended_at: datetime | None
    total_seconds: float
    """Time worked on it; the rest between a finished run and its later rollback is not counted."""
    rto_seconds: float | None
    """None where the line that says it is damaged."""
    rto_met: bool | None
    """Restored, and ``recovery_seconds`` within ``rto_seconds``; None while running or unfinished."""
    downtime_seconds: float
    """From the stop to the first answer; when rolled back, to the return of the services to their prior state."""
    soak_seconds: float
    human_wait_seconds: float
    steps: tuple[StepReport, ...]
    checks: tuple[Check, ...]
    backups: tuple[BackupUsed, ...]
    operator: str
    host: str

    components: tuple[str, ...]
    recovery_seconds: float | None
    """From the start to running and answering, without the soak; None where nothing stayed recovered."""
    since: datetime | None
    outage_seconds: float | None
    """From ``since`` to answering; None where no ``since`` was given or nothing stayed recovered."""
    outage_rto_met: bool | None
    carry_over_seconds: float | None
    """How much of the downtime carrying messages over took; None where none were."""
    plan_id: str
    program: str
    exit_code: int | None
    reason: str
    """In the words of the run's end: why it failed, or why it was closed by hand."""
    left: tuple[str, ...]
    """What a person still has to do, in order."""
    kept: tuple[str, ...]
    """Where set-aside and withdrawn files are."""
    effects: tuple[EffectReport, ...]
    failure: Failure | None
    resumed: tuple[Takeover, ...]
    findings: tuple[Finding, ...]
    damage: tuple[Damage, ...]
    """Lines of the journal that could not be read; what they said is missing here."""
    drill: DrillReport | None = None
    """None for a live restore."""
    notes: tuple[Note, ...] = ()
    """What operators wrote down, oldest first."""

    @property
    def changed(self) -> bool:
        """Whether the site may have been changed: a damaged line can hide a change."""
        return bool(self.effects or self.damage)

    @property
    def going_back(self) -> bool:
        """Whether it failed or somebody asked for its rollback, so that it can only be rolled back."""
        return self.failure is not None or any(takeover.purpose == "rollback" for takeover in self.resumed)


SUMMARY = ("run", "mode", "components", "outcome", "started_at", "total_seconds", "operator", "host")
"""The keys of one line of ``runs --json``."""


def to_json(report: Report) -> dict[str, Any]:
    """The report as the plain data of the JSON contract; times are RFC 3339."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report))
    return plain


def summary(report: Report, run: str = "") -> dict[str, Any]:
    """One line of the list of runs, as plain data; ``run`` names one whose first line is damaged."""
    plain = to_json(report)
    return {key: plain[key] for key in SUMMARY} | ({"run": run} if run else {})
