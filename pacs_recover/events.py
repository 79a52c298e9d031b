"""What can happen in a run: one tagged union, written to the journal before anyone is told."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pacs_recover.model import Backup, FactState, Phase, StepKind

Outcome = Literal[
    "restored",
    "failed_untouched",
    "rolled_back",
    "rollback_incomplete",
    "interrupted",
    "closed",
    "running",
    "unfinished",
]
"""How a run ended; the last two are what a reader sees of one that has not."""


SandboxKind = Literal["root", "process", "container"]
"""What a drill restores into: a directory alone, or one in which the service runs too."""
Topic = Literal[
    "sandbox", "message", "queue", "health", "finding", "production", "teardown", "observation", "action", "note"
]
"""What a note is about: a drill's record, or (``note``) what an operator wrote down of any run."""


class StepLine(Struct, frozen=True, kw_only=True):
    """A step as data: what a checklist, a dry run and a report need of it."""

    title: str
    kind: StepKind = "do"
    budget: float | None = None
    covers: str | None = None
    phase: Phase = ""


class LivePath(Struct, frozen=True, kw_only=True):
    """One live part of the site with its links resolved once, at plan time."""

    component: str
    declared: str
    real: str
    """Free of links; every later walk refuses to follow one."""


class Choice(Struct, frozen=True, kw_only=True):
    """One backup of a plan and what was proven of it."""

    backup: Backup
    sha256: str
    """Of the backup as stored."""
    bytes: int
    """Of its content when unpacked; what the live filesystem must have room for."""
    content_sha256: str = ""
    """Of its content, where that was judged by its bytes alone: the same bytes need no second judgement."""
    manifest: str = "no recorded hash"
    reached: str = ""
    """The point in time that a replica came to, in words; empty for what is stored as it is."""


class Question(Struct, frozen=True):
    """Something the operator has to accept before the service is stopped."""

    title: str
    details: str


class Drill(Struct, frozen=True, kw_only=True):
    """What makes a run a drill: the same restore, into a sandbox."""

    sandbox: SandboxKind
    why: str = ""
    """Why the service is not started, where it is not."""
    home: str = ""
    """The drill's own directory; its live paths lie below."""
    production: tuple[LivePath, ...] = ()
    """The real live parts, which are looked at before and after, and never changed."""
    participants: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    """What is to be improved."""


class Request(Struct, frozen=True, kw_only=True):
    """Everything that a run is rebuilt from: by the worker, by a resume, by another version's rollback."""

    run: str
    mode: Literal["live", "drill"] = "live"
    plan_id: str
    site: dict[str, Any]
    components: tuple[str, ...]
    choices: tuple[Choice, ...]
    live: tuple[LivePath, ...]
    questions: tuple[Question, ...] = ()
    """The questions that the plan printed; the only ones that ``--yes`` may answer."""
    assume_yes: bool = False
    rto_seconds: float
    operator: str
    host: str
    carry_over: bool = False
    """Whether messages that only the live queue has are added to the restored one after the stop."""
    since: datetime | None = None
    """When the outage began, if the operator said so."""
    drill: Drill | None = None
    at: datetime | None = None
    """The time whose state was asked for, if the operator said one."""
    reading_seconds: float | None = None
    """How long the plan took to read and judge the backups, which the run does once more; None where not measured."""


class Event(Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """One line of a journal."""

    n: int = 0
    """Its place in the journal, from 0."""
    at: datetime
    """Wall clock, UTC."""
    clock: float
    """Seconds since boot (CLOCK_BOOTTIME): durations come from this, as the wall clock can jump."""
    step: int | None = None


class Planned(Event, frozen=True, kw_only=True):
    """The run exists: what it will do and all it is rebuilt from. The first line of every journal."""

    request: Request
    steps: tuple[StepLine, ...]
    program: str
    boot: str
    """The kernel's boot id: ``clock`` is comparable only within one."""


class Resumed(Event, frozen=True, kw_only=True):
    """Another process took the run up again."""

    program: str
    boot: str
    purpose: Literal["resume", "rollback"]
    operator: str
    armed: bool = False
    """A rollback of a finished run, which was armed like a restore."""


class Began(Event, frozen=True, kw_only=True):
    """A step began."""

    title: str


class Asked(Event, frozen=True, kw_only=True):
    """A question waits for the operator; the answer names ``question``."""

    title: str
    evidence: str
    question: str
    deadline: datetime


class Answered(Event, frozen=True, kw_only=True):
    """The question was answered, or its deadline passed (``yes`` false, ``by`` empty)."""

    title: str
    question: str
    yes: bool
    by: str


class Handed(Event, frozen=True, kw_only=True):
    """Another operator took the questions over: from now on only that one's answers count."""

    by: str
    before: str


class Progress(Event, frozen=True, kw_only=True):
    """How far a step is; at most one a second."""

    title: str
    done: float
    total: float | None
    unit: str


class Passed(Event, frozen=True, kw_only=True):
    """A step did what its title says."""

    title: str
    evidence: str


class Failed(Event, frozen=True, kw_only=True):
    """A step failed; what follows is the rollback."""

    title: str
    evidence: str
    hint: str = ""
    exit_code: int = 1


class Effect(Event, frozen=True, kw_only=True):
    """The site is about to be changed: the inverse, as plain data, before the change itself."""

    undo: str
    args: dict[str, Any]
    title: str = ""
    evidence: str = ""


class Sealed(Event, frozen=True, kw_only=True):
    """Something staged is complete, owned, durable and hashed; a put checks that it puts just this."""

    path: str
    sha256: str
    device: int
    inode: int
    size: int


class Undone(Event, frozen=True, kw_only=True):
    """One effect was undone."""

    effect: int
    """The ``n`` of the Effect."""
    title: str = ""
    evidence: str = ""


class Noted(Event, frozen=True, kw_only=True):
    """Something for the record, seen by a drill or said by a person; it may come after the end."""

    topic: Topic
    title: str
    evidence: str = ""
    state: FactState = "ok"
    said_at: datetime | None = None
    """When it was written down, where that was before the worker took it up."""


class Ended(Event, frozen=True, kw_only=True):
    """The run is over; ``left`` is what a person still has to do, in order."""

    outcome: Outcome
    exit_code: int
    evidence: str = ""
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Where set-aside and withdrawn files are kept."""


AnyEvent = (
    Planned
    | Resumed
    | Began
    | Asked
    | Answered
    | Handed
    | Progress
    | Passed
    | Failed
    | Effect
    | Sealed
    | Undone
    | Noted
    | Ended
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode(event: AnyEvent) -> bytes:
    """One event as one JSON object, without a line end."""
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:  # a lone surrogate from an undecodable name: an event is never lost for its spelling
        return json.dumps(msgspec.to_builtins(event)).encode("ascii").replace(b"\\ud", b"?d")


def decode(line: bytes) -> AnyEvent:
    """The event in one JSON object; one of UNDECODABLE where it is none."""
    event: AnyEvent = _decoder.decode(line)
    return event
