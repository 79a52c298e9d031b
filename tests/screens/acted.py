"""A session that only acts: fixed backups, previews, plans and runs, at a fixed time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from pacs_recover import handover, pace
from pacs_recover import report as reports
from pacs_recover.audit import Claimed, Record, Who
from pacs_recover.audit.checking import Verified
from pacs_recover.authority import Authority
from pacs_recover.catalog import Catalog, SourceState
from pacs_recover.components import Comparison
from pacs_recover.drilling import Made
from pacs_recover.errors import BadBackup, Interrupted, RecoverError, SourceError
from pacs_recover.events import Answered, AnyEvent, Asked, Choice, Drill, Ended, Question, Request, StepLine, Topic
from pacs_recover.front import Following
from pacs_recover.model import Amount, Backup, Fact, Preview
from pacs_recover.plan import Plan
from pacs_recover.recovery_times import Time
from pacs_recover.report import Report
from pacs_recover.session import OpenRun, Session, must_be_name
from pacs_recover.site import Site
from pacs_recover.sources.s3.archive import Thaw
from pacs_recover.state import State
from pacs_recover.text import both_times, stamp
from pacs_recover.thawing import Offer, Tier
from tests.report.story import STEPS

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
RUN = Path("/var/lib/pacs_recover/runs/20261110-020000-beef")
HOUR = timedelta(hours=1)
VERIFIED, STARTED = NOW - 6 * HOUR, NOW - 313 * HOUR


def backup(component: str, hours: float, form: str, size: int = 465_400, **fields: Any) -> Backup:
    """One that was taken so many hours ago."""
    taken = NOW - hours * HOUR
    source = fields.pop("source", "local")
    return Backup(
        id=f"{component}/{taken:%Y%m%d_%H%M%S}@{source}",
        component=component,
        source=source,
        key=f"/backup/pacs_bridge/{component}/{component}_{taken:%Y%m%d_%H%M%S}.{form}",
        taken_at=taken,
        size=size,
        format=form,
        **fields,
    )


BACKUPS = (
    backup("queue", 0.5, "db.gz", verdict="good", verified=stamp(NOW - HOUR / 4)),
    backup("queue", 1.5, "db.gz", 457_300),
    backup("config", 1.1, "tar.gz", 3_500, verdict="good", verified=stamp(VERIFIED)),
    backup("config", 25.1, "tar.gz", 3_490, findings=(Fact("name", "two days from its mtime", "warn"),)),
    backup("certs", 0.1, "tar.enc", 20_500),
    backup("queue", 30, "tar", 2_700_000, source="aside"),
    backup("logs", 47, "gz", 451),
)
COLD = Fact("archived", "GLACIER: can be read after a thaw, 3 to 5 hours (Standard)", "warn")
KEPT = "2026-11-22T08:00:00Z; the bucket still keeps this version"
BUCKET = (
    backup("queue", 3, "db.gz", source="s3", storage_class="STANDARD"),
    backup("queue", 4, "db.gz", source="s3", storage_class="GLACIER", readable=False, findings=(COLD,)),
    backup(
        "queue",
        5,
        "db.gz",
        source="s3",
        storage_class="GLACIER",
        readable=False,
        findings=(Fact("thawing", "soon", "warn"),),
    ),
    backup("config", 28, "tar.gz", source="s3", current=False, findings=(Fact("deleted", KEPT, "warn"),)),
    backup("config", 29, "tar.gz", source="s3", current=False, findings=(Fact("overwritten", KEPT, "warn"),)),
    backup("config", 30, "tar", source="git", findings=(Fact("author", "Op Erator"), Fact("subject", "Other port"))),
)


def point(transaction: int, seconds: float, **fields: Any) -> Backup:
    """A point in time of so many seconds ago."""
    taken = NOW - timedelta(seconds=seconds)
    label = f"queue/{taken:%Y%m%d_%H%M%S}.{taken.microsecond // 1000:03}@replica"
    more = {"size": 2_736_128, "format": "db", **fields}
    key = f"transaction/{transaction:016x}"
    return Backup(id=label, component="queue", source="replica", key=key, taken_at=taken, **more)


POINTS = (
    *(point(3000 - n, 0.5 + 1.007 * n) for n in range(8)),
    point(2700, 3500, findings=(Fact("time", "later than the next point's", "warn"),)),
    *(point(2700 - n, 3500 + 30.011 * n) for n in range(1, 30)),
)
SEEN = Preview(
    (
        Fact("read to its end", "2,736,128 bytes unpacked, SHA-256 19019ec8a48ea20b"),
        Fact("integrity_check", "ok"),
        Fact("rows in message_queue", "2,996"),
        Fact("messages pending", "1,798"),
        Fact("destinations", "EMR_ARCHIVE 1,786, RIS_PRIMARY 1,210"),
        Fact("dead letters", "50, the oldest 12 days old", "warn"),
    )
)
KEYS = Preview(
    (
        Fact("read to its end", "20,480 bytes unpacked, SHA-256 8c1f0a2b44d0e913"),
        Fact("server.crt", "CN=pacs-bridge.radiology.example, valid until 2027-02-08, 77 days left"),
        Fact("server.crt names", "pacs-bridge.radiology.example, 10.20.30.40"),
        Fact("server.key", "belongs to server.crt"),
        Fact("chain", "server.crt, radiology CA"),
        Fact("client.crt", "12 days left", "warn"),
    )
)
HELD = {
    "read_at": "2026-11-23T03:04:05Z",
    "queue": {
        "state": "ok",
        "sentence": "1,810 waiting (1,796 pending, 2 processing, 12 retry_scheduled), the oldest for 3 hours; "
        "50 dead letters",
    },
    "certs": {"state": "ok", "sentence": "server.crt valid until 2027-02-08 (77 days left)"},
}
PLAN_STEPS = (
    StepLine(title="The host can take the restored files", kind="check"),
    StepLine(title="Unpack the queue backup and check its hash"),
    StepLine(title="The restored database passes its integrity check", kind="check"),
    StepLine(title="The replay risk is accepted", kind="ask"),
    StepLine(title="Stop pacs_bridge", phase="down"),
    StepLine(title="Set the live database aside with its -wal"),
    StepLine(title="Put the restored database in place"),
    StepLine(title="Start pacs_bridge"),
    StepLine(title="PACS Bridge runs and answers", kind="check", phase="up"),
    StepLine(title="PACS Bridge stays up", kind="check", phase="soak"),
)
PACE = {step.title: 2.0 for step in (*PLAN_STEPS, *STEPS)}


def plan(backups: Sequence[Backup], *findings: Fact, carry_over: bool = False) -> Plan:
    """What restoring them would do."""
    question = Question("The replay risk is accepted", "84 messages would be sent again; 88 would be lost")
    replay = {"resent": 84, "dead_lettered": 0, "lost_since": 0 if carry_over else 88, "carried": 88 * carry_over}
    tried = Fact("carry-over", "86 messages and 2 dead letters only in the old queue; adds about 0.3 s of downtime")
    request = Request(
        run="",
        plan_id="4f2a77b1",
        site={"name": "radiology"},
        components=tuple(backup.component for backup in backups),
        choices=tuple(Choice(backup=backup, sha256="ab" * 32, bytes=2_736_128) for backup in backups),
        live=(),
        questions=(question,),
        rto_seconds=900.0,
        operator="anna",
        host="pacs1",
        carry_over=carry_over,
    )
    return Plan(
        plan_id="4f2a77b1",
        made_at=NOW,
        request=request,
        steps=PLAN_STEPS,
        changes=("queue: 84 messages would be sent again; 88 messages that arrived since would be lost",),
        replay=replay,
        previews={"queue": SEEN},
        findings=(*findings, *((tried,) if carry_over else ())),
        predicted_seconds=pace.predicted(PLAN_STEPS, PACE),
        predicted_downtime_seconds=pace.predicted_downtime(PLAN_STEPS, PACE),
    )


ANNA = Who(0, "root", Claimed("anna", 1000, "anna (1000)", "10.0.0.9 4711"))
RECORDS = tuple(
    Record(
        n=n,
        at=NOW - (6 - n) * HOUR / 4,
        previous="ab" * 32,
        what=what,  # type: ignore[arg-type]
        object=object,
        outcome=outcome,
        site="radiology",
        host="pacs1",
        pid=4711,
        who=ANNA,
        ticket="INC-42" if what == "plan" else "",
    )
    for n, (what, object, outcome) in enumerate(
        (
            ("preview", BACKUPS[0].id, "began"),
            ("preview", BACKUPS[0].id, "ok"),
            ("plan", BACKUPS[0].id, "plan 4f2a77b1"),
            ("run", f"{RUN.name} {BACKUPS[0].id}", "began"),
            ("refusal", "restore", "run 20261123-020000-beef of anna is going on"),
            ("take-over", RUN.name, "by berta, from anna"),
        )
    )
)


class Told(Following):
    """A run that a story tells; nobody can make it go on but the test."""

    def __init__(self, events: Sequence[AnyEvent], *, gone: bool = False) -> None:
        self.run, self.process, self.skip = RUN, None, 0
        self.question, self.ended = None, None
        self.site, self.owner = "radiology", ""
        self.waiting, self.gone = list(events), gone
        self.answers: list[bool] = []

    def more(self) -> list[AnyEvent]:
        """All that was told since."""
        told, self.waiting = self.waiting, []
        for event in told:
            self.question = (
                event if isinstance(event, Asked) else None if isinstance(event, Answered) else self.question
            )
            self.ended = event if isinstance(event, Ended) else self.ended
        return told

    def over(self) -> bool:
        """As the test says."""
        return self.gone or self.ended is not None

    def answer(self, yes: bool, by: str, authority: Authority) -> None:
        """Remember it."""
        authority.must_allow("an answer")
        self.answers.append(yes)

    def last_words(self) -> str:
        """None."""
        return "MemoryError"


class Place:
    """A source that gives its backups, or hangs until the test lets it go."""

    def __init__(self, name: str, kind: str, backups: Sequence[Backup], hangs: threading.Event | None = None) -> None:
        self.name, self.kind, self.backups, self.hangs = name, kind, tuple(backups), hangs


class Acted(Session):
    """What the console is told in tests."""

    def __init__(self, *, read_only: bool = False, runs: Sequence[OpenRun] = (), root: bool = True) -> None:
        super().__init__(Site(name="radiology"), State(Path("/nonexistent")), read_only)
        self.open, self.root = list(runs), root
        self.clock = NOW
        self.places = [
            Place("local", "local", [b for b in BACKUPS if b.source == "local"]),
            Place("aside", "aside", [b for b in BACKUPS if b.source == "aside"]),
        ]
        self.broken: dict[str, str] = {}
        self.compared: list[str] = []
        self.slow_compare: threading.Event | None = None
        self.previews: list[str] = []
        self.stopped: list[str] = []
        self.slow_preview: threading.Event | None = None
        self.findings: tuple[Fact, ...] = ()
        self.bad_plan: RecoverError | None = None
        self.held = dict(HELD)
        self.verification: dict[str, Any] = {
            "state": "ok",
            "sentence": f"all good, 6 hours ago ({both_times(VERIFIED)})",
        }
        passed = f"passed: drill 20261110-020000-beef, 13 days ago ({both_times(STARTED)}), 4:00 of RTO 15:00"
        self.rehearsal: dict[str, Any] = {"state": "ok", "sentence": passed}
        self.slow_live: threading.Event | None = None
        self.armed: list[str] = []
        self.verified = Verified(records=6, findings=(), anchors=(), proven_to=5)
        self.story: Told | None = None
        self.told: Report | None = None
        self.past: list[dict[str, Any]] = []
        self.thawed: list[str] = []
        self.noted: list[str] = []
        self.times: list[Time] = []
        self.known = PACE

    @property
    def host(self) -> str:
        """A fixed one."""
        return "pacs1"

    def now(self) -> datetime:
        """The fixed time."""
        return self.clock

    def sources(self) -> tuple[Any, ...]:
        """The places."""
        return tuple(self.places)

    def read(self, source: Any, partly: Any = None) -> Catalog:
        """What one holds."""
        if source.hangs:
            source.hangs.wait(20)
        error = self.broken.get(source.name)
        state = SourceState(source.name, source.kind, error is None, error, "is it mounted?" if error else "")
        return Catalog(() if error else source.backups, (state,))

    def status(self, found: Catalog) -> dict[str, Any]:
        """Freshness of the fixed backups; a service that runs."""
        services = [{"name": "pacs_bridge", "activity": "active", "detail": "active/running, pid 4711", "state": "ok"}]
        rows = [self._fresh(found, name, rpo) for name, rpo in (("config", 86400), ("certs", 604800), ("queue", 3600))]
        proofs = {"verification": self.verification, "drill": self.rehearsal}
        return {"components": [*rows, self._fresh(found, "logs", 86400)], "services": services, **proofs}

    def live(self) -> dict[str, Any]:
        """The fixed one; not before the test lets it go."""
        if self.slow_live:
            self.slow_live.wait(20)
        return self.held

    def _fresh(self, found: Catalog, name: str, rpo: float) -> dict[str, Any]:
        newest = next((b for b in found.backups if b.component == name and b.source == "local"), None)
        row: dict[str, Any] = {"component": name, "taken_at": None, "age_seconds": None, "rpo_seconds": rpo}
        row |= {"verdict": "never", "verified": None}
        if newest is None:
            return {**row, "state": "bad"}
        old = (NOW - newest.taken_at).total_seconds()
        state = "bad" if newest.verdict in ("failed", "stale") else "warn" if old > rpo else "ok"
        row |= {"verdict": newest.verdict, "verified": newest.verified}
        return {**row, "taken_at": newest.taken_at.isoformat(), "age_seconds": old, "state": state}

    def open_runs(self) -> list[OpenRun]:
        """The ones that the test named."""
        return self.open

    def needs_root(self) -> bool:
        """As the test says."""
        return not self.root

    def preview(self, backup: Backup, stopping: Callable[[], bool], amount: Callable[[Amount], None]) -> Preview:
        """The fixed one; slowly, if the test wants that."""
        self.previews.append(backup.id)
        while self.slow_preview and not self.slow_preview.wait(0.02):
            if stopping():
                self.stopped.append(backup.id)
                raise RecoverError("stopped")
        if not backup.readable:
            raise SourceError("it is archived and not thawed", f"pacs-recover thaw {backup.id}")
        if backup == BACKUPS[1]:
            return Preview((Fact("damaged", "The gzip layer is damaged: incorrect checksum", "bad"),))
        return KEYS if backup.component == "certs" else SEEN

    def compare(self, backup: Backup, stopping: Callable[[], bool] = lambda: False) -> Comparison:
        """Some changes; of a point in time what it does to messages, slowly if the test wants that."""
        self.compared.append(backup.id)
        while self.slow_compare and not self.slow_compare.wait(0.02):
            if stopping():
                self.stopped.append(backup.id)
                raise Interrupted("stopped")
        if backup.source == "replica":
            place = POINTS.index(backup)
            if place == 2:
                raise BadBackup("ltx/0/x.ltx is damaged: its checksum is wrong", "choose an earlier point in time")
            unknown = dict.fromkeys(("resent", "dead_lettered", "lost_since"))
            known = {"resent": 12 * place, "dead_lettered": place // 2, "lost_since": 31 * place}
            return Comparison(("the live queue cannot be read: unknown",), replay=unknown if place == 3 else known)
        return Comparison(("config: config.yaml changes",), diff=("@@ -1,2 +1,2 @@", "-port: 2575", "+port: 2576"))

    def thaw_offer(self, backup: Backup) -> Offer:
        """Of a cold one."""
        return Offer(backup, Thaw("archived", "GLACIER", "GLACIER: 3 to 5 hours after a thaw (tier Standard)"), 900.0)

    def thaw(self, backup: Backup, tier: Tier) -> Offer:
        """In words."""
        self.must_write("a thaw")
        self.thawed.append(f"{backup.id} {tier}")
        return Offer(backup, Thaw("thawing", "GLACIER", "GLACIER, thawing: 3 to 5 hours (tier Standard)"), 900.0)

    def plan(self, backups: Sequence[Backup], *, carry_over: bool = False, doubts: tuple[Fact, ...] = ()) -> Plan:
        """The fixed one."""
        if self.bad_plan:
            raise self.bad_plan
        return plan(backups, *doubts, *self.findings, carry_over=carry_over)

    def arm(self, plan: Plan, typed: str) -> Following:
        """Arms it, in words."""
        self.must_write("a restore")
        must_be_name(typed, "radiology")
        self.armed.append(plan.plan_id)
        assert self.story
        return self.story

    def drill(self, backups: Sequence[Backup], names: Sequence[str], found: Catalog) -> Made:
        """Of the fixed backups; no good where the test has a bad plan."""
        self.must_write("a drill")
        chosen = tuple(backups or (BACKUPS[2], BACKUPS[4], BACKUPS[0]))
        drill = Drill(sandbox="process")
        if isinstance(self.bad_plan, BadBackup):
            drill = Drill(sandbox="root", why="the site has no service: name the one to start")
            return Made(msgspec.structs.replace(plan(chosen).request, choices=(), drill=drill), [], self.bad_plan)
        return Made(msgspec.structs.replace(plan(chosen).request, mode="drill", drill=drill))

    def start_drill(self, made: Made, participants: Sequence[str]) -> Following:
        """In words."""
        self.must_write("a drill")
        self.armed.append(f"drill with {' and '.join(participants)}")
        assert self.story
        return self.story

    def undo_plan(self, run: Path) -> list[str]:
        """What a rollback would undo."""
        if self.bad_plan:
            raise self.bad_plan
        return [
            f"ROLLBACK of run {run.name}",
            "  undo: Put the restored queue in place",
            "Since then",
            "  queue: 3 new",
        ]

    def take_up(self, run: Path, purpose: str, typed: str) -> Following:
        """In words."""
        self.must_write(purpose)
        must_be_name(typed, "radiology")
        self.armed.append(purpose)
        assert self.story
        return self.story

    def close(self, run: Path, why: str) -> None:
        """In words."""
        self.must_write("closing")
        self.armed.append(f"close: {why}")

    def runs(self) -> list[dict[str, Any]]:
        """The ones that the test named."""
        return self.past

    def report(self, run: Path) -> Report:
        """Of the story."""
        assert self.told
        return self.told

    def note(self, run: Path, text: str, topic: Topic = "note") -> bool:
        """Remember it."""
        self.must_write("a note")
        self.noted.append(f"{topic}: {text}")
        return True

    def handover(self, run: Path) -> list[str]:
        """Of the story."""
        assert self.story
        told = self.report(run)
        return list(handover.lines(told, self.story.waiting, PACE, self.command, self.clock))

    def history(self) -> list[Time]:
        """The ones that the test named."""
        return self.times

    def records(self) -> list[Record]:
        """The fixed ones."""
        return list(RECORDS)

    def verify_audit(self) -> Verified:
        """As the test says."""
        return self.verified

    def pace(self) -> dict[str, float]:
        """Two seconds a step, unless the test says that nothing ran here before."""
        return self.known


def bucket(*, read_only: bool = False) -> Acted:
    """A session whose backups lie in a bucket and in Git."""
    session = Acted(read_only=read_only)
    session.places = [Place(name, name, [b for b in BUCKET if b.source == name]) for name in ("s3", "git")]
    return session


def replicated(**options: Any) -> Acted:
    """A session whose site has a Litestream replica too."""
    session = Acted(**options)
    session.places.append(Place("replica", "litestream", POINTS))
    return session


def report_of(events: Sequence[AnyEvent], *, alive: bool = False, now: datetime | None = None) -> Report:
    """A story's report."""
    return reports.fold(events, alive=alive, now=now, run=RUN.name)


def took(days: int, seconds: float | None, parts: str = "queue", **more: Any) -> Time:
    """A recovery of so many days ago."""
    fields: dict[str, Any] = {
        "run": f"run-{days}",
        "mode": "drill",
        "components": tuple(parts.split()),
        "outcome": "restored",
        "at": NOW - 24 * days * HOUR,
        "recovery_seconds": seconds,
        "rto_seconds": 600.0,
        "met": seconds is not None and seconds <= 600,
    }
    return Time(**fields | more)


TIMES = [
    took(93, 480.0),
    took(62, 301.5),
    took(40, 812.0, mode="live"),
    took(31, None, outcome="rolled_back", mode="live"),
    took(1, 95.0),
    took(1, 240.0, "config certs queue"),
    took(0, None, "config certs queue"),
]


def bad_plan() -> BadBackup:
    """A plan that is not made."""
    return BadBackup(
        "queue/20261123_013405@local must not be restored: damaged", "choose another: pacs-recover catalog"
    )
