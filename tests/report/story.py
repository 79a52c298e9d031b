"""Runs told event by event, as an engine would journal them, on clocks that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pacs_recover.events import (
    Answered,
    AnyEvent,
    Asked,
    Began,
    Choice,
    Effect,
    Ended,
    Failed,
    LivePath,
    Passed,
    Planned,
    Request,
    Resumed,
    Sealed,
    StepLine,
    Undone,
)
from pacs_recover.model import Backup, Fact

START = datetime(2026, 11, 10, 2, 0, 0, tzinfo=UTC)
RUN = "20261110-020000-beef"
STEPS = (
    StepLine(title="The host can take the restored files", kind="check"),
    StepLine(title="Unpack the queue", budget=60.0),
    StepLine(title="The restored database is whole", kind="check", covers="Database integrity check passes"),
    StepLine(title="12 messages would be sent again", kind="ask"),
    StepLine(title="Stop pacs_bridge", phase="down"),
    StepLine(title="Set the live queue aside"),
    StepLine(title="Put the restored queue in place", budget=2.0),
    StepLine(title="Start pacs_bridge"),
    StepLine(
        title="PACS Bridge runs and answers", kind="check", phase="up", covers="Service starts with restored data"
    ),
    StepLine(title="PACS Bridge stays up", kind="check", phase="soak"),
)
DOWN, ASIDE, PUT, STARTS, UP, SOAK = range(4, 10)
UNDO = {DOWN: "return_to", ASIDE: "bring_back", PUT: "take_out", STARTS: "stop_again"}
TOOK = {1: 20.0, 4: 3.0, 5: 0.2, 6: 0.4, 7: 1.0, 8: 5.0, 9: 30.0}
EVIDENCE = {0: "owner 990:990", 1: "3.1 MB", 2: "integrity_check: ok", 8: "active/running", 9: "up for 30 s"}

BACKUP = Backup(
    id="queue/20261110_010000@local",
    component="queue",
    source="local",
    key="/backup/pacs_bridge/queue/queue_20261110_010000.db.gz",
    taken_at=datetime(2026, 11, 10, 1, 0, tzinfo=UTC),
    size=1_200_000,
    format="db.gz",
    findings=(Fact("name", "an hour from its mtime", "warn"),),
)


def request(**changed: Any) -> Request:
    """What a run of the queue was asked for."""
    fields: dict[str, Any] = {
        "run": RUN,
        "plan_id": "4f2a",
        "site": {"name": "radiology", "secret": "hunter2"},
        "components": ("queue",),
        "choices": (Choice(backup=BACKUP, sha256="ab" * 32, bytes=3_100_000),),
        "live": (LivePath(component="queue", declared="/q.db", real="/q.db"),),
        "rto_seconds": 900.0,
        "operator": "anna",
        "host": "pacs1",
    }
    return Request(**(fields | changed))


class Story:
    """A journal in the making; ``jump`` moves the wall clock alone, ``reboot`` restarts the other one."""

    def __init__(self, **asked: Any) -> None:
        self.events: list[AnyEvent] = []
        self.at, self.clock, self.boot = START, 5000.0, "boot-1"
        self.step: int | None = None
        self.tell(Planned, request=request(**asked), steps=STEPS, program="0.1.0", boot=self.boot)

    def wait(self, seconds: float) -> Story:
        """Let both clocks run."""
        self.clock += seconds
        self.at += timedelta(seconds=seconds)
        return self

    def jump(self, seconds: float) -> Story:
        """Let somebody set the wall clock."""
        self.at += timedelta(seconds=seconds)
        return self

    def reboot(self, seconds: float, clock: float = 40.0) -> Story:
        """Let the host be gone for so long, and its own clock begin anew."""
        self.boot += "'"
        self.at += timedelta(seconds=seconds)
        self.clock = clock
        return self

    def tell(self, kind: type[Any], **fields: Any) -> Story:
        """Let something happen now."""
        self.events.append(kind(n=len(self.events), at=self.at, clock=self.clock, step=self.step, **fields))
        return self

    def begin(self, number: int) -> Story:
        """Begin a step, and make the change that belongs to it."""
        self.step = number
        self.tell(Began, title=STEPS[number].title)
        if number == 1:
            self.tell(Sealed, path="/staged/queue.db", sha256="cd" * 32, device=1, inode=2, size=3_100_000)
        if STEPS[number].kind == "ask":
            late = self.at + timedelta(minutes=10)
            self.tell(Asked, title=STEPS[number].title, evidence="12 resent", question="q1", deadline=late)
        if number in UNDO:
            self.tell(Effect, undo=UNDO[number], args={"inode": 4711}, title=STEPS[number].title)
        return self

    def do(self, *numbers: int) -> Story:
        """Do whole steps, in the time that each takes."""
        for number in numbers:
            self.begin(number).wait(TOOK.get(number, 0.0))
            evidence = EVIDENCE.get(number, "")
            if STEPS[number].kind == "ask":
                self.wait(45.0).tell(Answered, title=STEPS[number].title, question="q1", yes=True, by="anna")
                evidence = "yes (anna)"
            self.tell(Passed, title=STEPS[number].title, evidence=evidence)
        return self

    def fail(self, number: int, evidence: str = "NRestarts went from 0 to 3") -> Story:
        """Let a step fail."""
        title = STEPS[number].title
        return self.begin(number).wait(10.0).tell(Failed, title=title, evidence=evidence, hint="see its log")

    def undo(self, but: str = "") -> Story:
        """Undo every change that is not undone, newest first; undoing the inverse ``but`` fails."""
        undone = {event.effect for event in self.events if isinstance(event, Undone)}
        for effect in [e for e in reversed(self.events) if isinstance(e, Effect) and e.n not in undone]:
            self.wait(1.0).step = effect.step
            title = f"Undo: {effect.title}"
            if effect.undo == but:
                self.tell(Failed, title=title, evidence="the disk is gone", exit_code=4)
            else:
                self.tell(Undone, effect=effect.n, title=title, evidence="as it was")
        return self

    def resume(self, purpose: str = "rollback") -> Story:
        """Let another process take it up."""
        self.step = None
        return self.tell(Resumed, program="0.1.0", boot=self.boot, purpose=purpose, operator="bert")

    def end(self, outcome: str, code: int = 1, **fields: Any) -> Story:
        """End the run."""
        self.step = None
        return self.tell(Ended, outcome=outcome, exit_code=code, **fields)


def restored(**asked: Any) -> Story:
    """Everything passed, after 74.6 s; answering after 44.6 s."""
    return Story(**asked).do(*range(len(STEPS))).end("restored", 0, kept=("/var/lib/.pacs_recover/aside/queue",))


def rolled_back() -> Story:
    """It did not stay up."""
    return Story().do(*range(SOAK)).fail(SOAK).undo().end("rolled_back", 1, kept=("/kept/withdrawn/queue-1",))


def incomplete() -> Story:
    """It did not stay up, and the old queue did not come back."""
    left = ("move /aside/queue.db to /q.db", f"then: pacs-recover rollback {RUN}")
    return Story().do(*range(SOAK)).fail(SOAK).undo(but="bring_back").end("rollback_incomplete", 4, left=left)


def cut() -> Story:
    """Its worker was killed while it put the queue in place."""
    return Story().do(*range(PUT)).begin(PUT)


def two_services(*, but: str = "") -> Story:
    """A run that stops two services and fails to stay up."""
    told = Story().do(*range(DOWN)).begin(DOWN)
    told.tell(Effect, undo="return_to", args={}, title="Stop litestream")
    told.tell(Passed, title=STEPS[DOWN].title, evidence="").fail(ASIDE, "it is held")
    return told.undo(but=but)
